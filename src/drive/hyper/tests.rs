//! A bee against a map, with blocks that are not there yet at any read.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

/// A core whose reads fail now and then, as a cold disk's do.
pub(super) struct Shelf {
    pub blocks: Vec<Vec<u8>>,
    /// One read in so many fails; 0: none.
    pub fails: u64,
    pub rng: Rng,
    pub reads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    NotYet,
    Malformed,
}

impl Shelf {
    fn new(fails: u64) -> Shelf {
        let mut header = Vec::new();
        Header::default().encode(&mut header);
        Shelf { blocks: vec![header], fails, rng: Rng::from_seed(1), reads: 0 }
    }

    fn version(&self) -> u64 {
        self.blocks.len() as u64
    }
}

impl Blocks for Shelf {
    type Error = Error;
    fn block(&mut self, seq: u64) -> Result<Block, Error> {
        self.reads += 1;
        if self.fails > 0 && self.rng.below(self.fails) == 0 {
            return Err(Error::NotYet);
        }
        let bytes = self.blocks.get(seq as usize).ok_or(Error::Malformed)?;
        Block::decode(seq, bytes).map_err(|Malformed| Error::Malformed)
    }
}

/// Tries until it is there.
fn sure<T>(mut attempt: impl FnMut() -> Result<T, Failed<Error>>) -> T {
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(Failed::Source(Error::NotYet)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

fn entries(shelf: &mut Shelf, mut walk: Walk) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    while let Some(entry) = sure(|| walk.next(shelf)) {
        found.push((entry.key, entry.value));
    }
    found
}

#[derive(Clone, Debug)]
enum Op {
    Put(u16, u8),
    Delete(u16),
    Append,
}

fn ops(keys: u16) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (0..keys, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        4 => (0..keys).prop_map(Op::Delete),
        2 => Just(Op::Append),
    ];
    proptest::collection::vec(op, 0..250)
}

fn key(n: u16) -> Vec<u8> {
    // Of different lengths, and prefixes of each other.
    let digits = n.to_string();
    digits.repeat(1 + usize::from(n % 3)).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_bee_is_a_map(ops in ops(90), fails in prop_oneof![Just(0u64), 2u64..6], from: u16, to: u16) {
        let (mut shelf, mut steady) = (Shelf::new(fails), Shelf::new(0));
        let mut map = Map::new();
        let mut versions = vec![(1, Map::new())];
        let mut batches = [Batch::new(1), Batch::new(1)];
        for op in ops.into_iter().chain([Op::Append]) {
            let [batch, other] = &mut batches;
            match op {
                Op::Put(n, value) => {
                    // Odd values are none.
                    let value = (value % 2 == 0).then_some(vec![value]);
                    sure(|| batch.put(&mut shelf, &key(n), value.as_deref()));
                    sure(|| other.put(&mut steady, &key(n), value.as_deref()));
                    map.insert(key(n), value);
                }
                Op::Delete(n) => {
                    let was = map.remove(&key(n)).is_some();
                    prop_assert_eq!(sure(|| batch.delete(&mut shelf, &key(n))), was);
                    prop_assert_eq!(sure(|| other.delete(&mut steady, &key(n))), was);
                }
                Op::Append => {
                    let [batch, other] = batches;
                    shelf.blocks.extend(batch.finish());
                    steady.blocks.extend(other.finish());
                    // Reads that fail change nothing.
                    prop_assert_eq!(&shelf.blocks, &steady.blocks);
                    batches = [Batch::new(shelf.version()), Batch::new(shelf.version())];
                    versions.push((shelf.version(), map.clone()));
                }
            }
        }
        for (version, map) in &versions {
            let whole = entries(&mut shelf, Walk::new(*version, Vec::new(), None));
            prop_assert_eq!(&whole, &map.clone().into_iter().collect::<Vec<_>>());
        }
        let version = shelf.version();
        for n in 0..95 {
            let found = sure(|| get(&mut shelf, version, &key(n))).map(|entry| entry.value);
            prop_assert_eq!(found.as_ref(), map.get(&key(n)));
        }
        let (from, to) = (key(from % 100), key(to % 100));
        let range = entries(&mut shelf, Walk::new(version, from.clone(), Some(to.clone())));
        let expected = map.iter().filter(|(key, _)| **key >= from && **key < to);
        let expected: Vec<_> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
        prop_assert_eq!(range, expected);
        let below = entries(&mut shelf, Walk::prefix(version, &from));
        let expected = map.iter().filter(|(key, _)| key.starts_with(&from));
        let expected: Vec<_> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
        prop_assert_eq!(below, expected);
    }

    /// Replaying each block from any version leads to the newest map. (In a batch a put of nothing
    /// cannot be told from a delete, also for JavaScript: here everything has a value.)
    #[test]
    fn replay(ops in ops(40), since: prop::sample::Index) {
        let mut shelf = Shelf::new(3);
        let mut batch = Batch::new(1);
        let (mut map, mut maps) = (Map::new(), vec![Map::new(), Map::new()]);
        for op in ops.into_iter().chain([Op::Append]) {
            match op {
                Op::Put(n, value) => {
                    sure(|| batch.put(&mut shelf, &key(n), Some(&[value])));
                    map.insert(key(n), Some(vec![value]));
                    maps.push(map.clone());
                }
                Op::Delete(n) => {
                    if sure(|| batch.delete(&mut shelf, &key(n))) {
                        map.remove(&key(n));
                        maps.push(map.clone());
                    }
                }
                Op::Append => {
                    shelf.blocks.extend(batch.finish());
                    batch = Batch::new(shelf.version());
                }
            }
        }
        let since = 1 + since.index(shelf.blocks.len());
        let mut replayed = maps[since].clone();
        let mut history = History::new(since as u64, shelf.version());
        while let Some((_, change)) = sure(|| history.next(&mut shelf)) {
            match change {
                Change::Put { key, value } => drop(replayed.insert(key, value)),
                Change::Delete { key } => drop(replayed.remove(&key)),
            }
        }
        prop_assert_eq!(replayed, map);
    }
}

#[test]
fn one_key_of_many_takes_few_blocks() {
    let mut shelf = Shelf::new(0);
    let mut batch = Batch::new(1);
    for n in 0..4000 {
        batch.put(&mut shelf, format!("{n:05}").as_bytes(), Some(b"x")).unwrap();
    }
    shelf.blocks.extend(batch.finish());
    shelf.reads = 0;
    let version = shelf.version();
    assert!(get(&mut shelf, version, b"02718").unwrap().is_some());
    assert!(shelf.reads < 30, "{}", shelf.reads);
}

/// What no writer makes and a hostile one may.
#[test]
fn damaged_trees_end() {
    let level = |keys: &[u64], children: &[(u64, u64)]| Level {
        keys: keys.to_vec(),
        children: children.to_vec(),
    };
    let shelf = |levels: Vec<Level>| {
        let mut shelf = Shelf::new(0);
        let mut block = Vec::new();
        Block::encode(b"m", Some(b"1"), levels, &mut block);
        shelf.blocks.push(block);
        shelf
    };
    for levels in [
        // A node below itself; one after the block; a key after the block; the header as a node.
        vec![level(&[1], &[(1, 0), (1, 0)])],
        vec![level(&[1], &[(2, 0), (1, 0)])],
        vec![level(&[2], &[])],
        vec![level(&[1], &[(0, 0), (0, 0)])],
        // Children without keys, for ever.
        vec![level(&[], &[(1, 0)])],
        vec![level(&[1, 1], &[])],
        vec![],
    ] {
        let mut shelf = shelf(levels.clone());
        for wanted in [&b"a"[..], b"z"] {
            let found = get(&mut shelf, 2, wanted);
            assert!(!matches!(found, Ok(Some(_))), "{levels:?} {found:?}");
        }
        let mut walk = Walk::new(2, Vec::new(), None);
        let ends = (0..1000).any(|_| !matches!(walk.next(&mut shelf), Ok(Some(_))));
        assert!(ends, "{levels:?}");
        let mut batch = Batch::new(2);
        let _ = batch.put(&mut shelf, b"a", None);
        let _ = batch.delete(&mut shelf, b"m");
        let _ = batch.finish();
    }
    // The same key twice.
    let mut shelf = shelf(vec![level(&[1, 1], &[])]);
    let mut walk = Walk::new(2, Vec::new(), None);
    assert!(matches!(walk.next(&mut shelf), Ok(Some(_))));
    assert_eq!(walk.next(&mut shelf), Err(Failed::Damaged("keys are not in order")));
    assert_eq!(Block::decode(1, &[10, 5, 1]), Err(Malformed));
    assert_eq!(Block::decode(1, &[0x12, 1, b'k']), Err(Malformed));
    assert_eq!(Header::decode(b"\x0a\x05other"), Err(Malformed));
}
