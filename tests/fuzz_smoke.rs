//! The fuzz targets on stable Rust: each over its seeds, over mutations of them and over random
//! bytes, the same ones in every run.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use gannet::rng::Rng;
use targets::TARGETS;

/// Inputs for each target.
const INPUTS: usize = 3000;
/// For those that begin each time with the key exchange of a sealed stream, milliseconds of work.
const INPUTS_WITH_KEYS: usize = 300;
const MAX_BYTES: u64 = 600;

fn random(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.below(MAX_BYTES) as usize];
    rng.fill(&mut bytes);
    bytes
}

/// A seed with a few changes of the kinds that fuzzers make.
fn mutated(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let Some(mut bytes) = seeds.get(rng.below(seeds.len() as u64) as usize).cloned() else {
        return random(rng);
    };
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.next_u64() as u8),
            2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
            3 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let other = &seeds[rng.below(seeds.len() as u64) as usize];
                let from = rng.below(other.len() as u64) as usize;
                bytes.splice(at..at, other[from..].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn all_targets() {
    for target in TARGETS {
        let mut rng = Rng::from_seed(target.name.len() as u64);
        let seeds = (target.seeds)();
        (target.run)(&[]);
        seeds.iter().for_each(|seed| (target.run)(seed));
        let inputs = if target.name.starts_with("hyper_") { INPUTS_WITH_KEYS } else { INPUTS };
        for n in 0..inputs {
            let input = if n % 4 == 0 { random(&mut rng) } else { mutated(&mut rng, &seeds) };
            let run = std::panic::catch_unwind(|| (target.run)(&input));
            assert!(run.is_ok(), "{} panics at {}", target.name, hex::encode(&input));
        }
    }
}

#[test]
fn every_target_can_be_run_by_cargo_fuzz() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");
    let manifest = std::fs::read_to_string(format!("{dir}/Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        assert!(std::fs::exists(format!("{dir}/targets/{name}.rs")).unwrap(), "{name}.rs");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "[[bin]] {name}");
    }
    let files = std::fs::read_dir(format!("{dir}/targets")).unwrap().count();
    assert_eq!(files, TARGETS.len(), "files without a row in TARGETS");
}
