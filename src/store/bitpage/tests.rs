use serde_json::Value;

use super::*;
use crate::codec::rle::{self, Kind};
use crate::rng::Rng;

fn unpack(text: &Value, size: usize) -> Vec<u8> {
    let packed = hex::decode(text.as_str().expect("text")).expect("hex");
    let mut bytes = vec![0; size];
    for run in rle::runs(&packed) {
        let run = run.expect("a run");
        let start = (run.start / 8) as usize;
        let span = start..start + (run.len / 8) as usize;
        match run.kind {
            Kind::Fill(bit) => bytes[span].fill(if bit { 0xff } else { 0 }),
            Kind::Literal(literal) => bytes[span].copy_from_slice(literal),
        }
    }
    bytes
}

/// "0..4" or "5,40,70".
fn blocks(text: &str) -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match text.split_once("..") {
        Some((first, last)) => (number(first)..=number(last)).collect(),
        None => text.split(',').map(number).collect(),
    }
}

/// A file as it stands after all dirty pages were written.
fn write(file: &mut BTreeMap<u64, Vec<u8>>, shape: &mut Shape, have: &Bitfield) {
    while let Some(&number) = shape.dirty.first() {
        file.insert(number, shape.encode(number, have, &Bitfield::new()));
        shape.dirty.remove(&number);
        shape.pages = shape.pages.max(number + 1);
    }
}

#[test]
fn accelerator_as_in_the_vectors() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/dat.json")).expect("vectors");
    for v in vectors["bitfieldIndex"].as_array().expect("list") {
        // All at once, and block by block.
        for every in [1, 100, usize::MAX] {
            let (mut have, mut shape, mut file) =
                (Bitfield::new(), Shape::default(), BTreeMap::new());
            let all = blocks(v["blocks"].as_str().expect("text"));
            for (at, &block) in all.iter().enumerate() {
                have.set(block);
                shape.touch_blocks(block, 1);
                if at % every == every - 1 && (every > 1 || all.len() < 200) {
                    write(&mut file, &mut shape, &have);
                }
            }
            write(&mut file, &mut shape, &have);
            for page in v["pages"].as_array().expect("list") {
                let number = page["page"].as_u64().expect("number");
                let bytes = &file[&number];
                assert_eq!(bytes[..1024], unpack(&page["data"], 1024), "{}", v["blocks"]);
                assert_eq!(bytes[3072..], unpack(&page["index"], 512), "{}", v["blocks"]);
            }
        }
    }
}

/// The accelerator the slow way: every byte from the bits under it.
#[allow(clippy::only_used_in_recursion)]
fn slow(file: &BTreeMap<u64, Vec<u8>>, pages: u64, node: u64) -> u8 {
    let byte = |at: u64| file.get(&(at / 1024)).map_or(0, |page| page[(at % 1024) as usize]);
    match flat::children(node) {
        Some((left, right)) => over(slow(file, pages, left), slow(file, pages, right)),
        None => (0..4).fold(0, |sum, at| {
            sum << 2
                | match byte(2 * node + at) {
                    0xff => 3,
                    0 => 0,
                    _ => 1,
                }
        }),
    }
}

#[test]
fn accelerator_over_many_pages() {
    for (seed, old) in (0..60).map(|n| (n / 2, n % 2 == 1)) {
        let mut rng = Rng::from_seed(seed);
        let (mut have, mut shape, mut file) =
            (Bitfield::new(), Shape { old, ..Shape::default() }, BTreeMap::new());
        for _ in 0..rng.between(1, 12) {
            let (start, len) = (rng.below(12 * BLOCKS), rng.below(2 * BLOCKS) + 1);
            if rng.one_in(4) {
                have.clear_range(start, len);
                let end = (start + len).min(shape.pages * BLOCKS);
                shape.touch_blocks(start.min(end), end - start.min(end));
            } else {
                have.set_range(start, len);
                shape.touch_blocks(start, len);
            }
            if rng.one_in(2) {
                write(&mut file, &mut shape, &have);
            }
            if rng.one_in(4) {
                // Reopened.
                write(&mut file, &mut shape, &have);
                let mut fresh = Shape { pages: shape.pages, old, ..Shape::default() };
                (0..fresh.pages).for_each(|page| fresh.loaded(page, &have, &Bitfield::new()));
                shape = fresh;
            }
        }
        write(&mut file, &mut shape, &have);
        for (&number, page) in &file {
            let each = page.len() as u64 - 3072;
            assert_eq!(each, if old { 256 } else { 512 });
            for at in [0, 1, 100, 127, 254, 255, 510, 511].into_iter().filter(|&at| at < each) {
                let node = number * each + at;
                assert_eq!(
                    page[3072 + at as usize],
                    slow(&file, shape.pages, node),
                    "{seed} {node} {old}"
                );
            }
            let (mut back, mut nodes) = (Bitfield::new(), Bitfield::new());
            decode(page, number, &mut back, &mut nodes);
            let start = number * BLOCKS;
            assert!(back.ranges(0, u64::MAX).eq(have.ranges(start, start + BLOCKS)));
            assert!(nodes.is_empty());
        }
    }
}
