//! A bee against a map, with blocks that are not there yet at any read.

use std::collections::BTreeMap;
use std::ops::Bound;

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

fn bound() -> impl Strategy<Value = Bound<u16>> {
    prop_oneof![
        Just(Bound::Unbounded),
        (0..60u16).prop_map(Bound::Included),
        (0..60u16).prop_map(Bound::Excluded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Ranges of all kinds, both ways, cut at any count.
    #[test]
    fn ranges(
        ops in ops(60),
        fails in prop_oneof![Just(0u64), 2u64..6],
        cuts in proptest::collection::vec((bound(), bound(), any::<bool>(), prop::option::of(0..20u64)), 20),
    ) {
        let (mut shelf, versions) = written(ops, fails);
        let (version, map) = versions.last().unwrap();
        for (from, until, reverse, limit) in cuts {
            let (from, until) = (from.map(key), until.map(key));
            let within = |k: &Vec<u8>| {
                (match &from {
                    Bound::Unbounded => true,
                    Bound::Included(from) => k >= from,
                    Bound::Excluded(from) => k > from,
                }) && (match &until {
                    Bound::Unbounded => true,
                    Bound::Included(until) => k <= until,
                    Bound::Excluded(until) => k < until,
                })
            };
            let mut expected: Vec<_> =
                map.iter().filter(|(k, _)| within(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit.unwrap_or(u64::MAX) as usize);
            let range = Range { from: from.clone(), until: until.clone(), reverse, limit };
            let walk = Walk::range(*version, range.clone());
            prop_assert_eq!(entries(&mut shelf, walk), expected, "{:?}", range);
        }
    }

    /// The difference of any two versions, back and forth: each key once, in order, with the entries
    /// that it had.
    #[test]
    fn differences(
        ops in ops(60),
        fails in prop_oneof![Just(0u64), 2u64..6],
        pairs in proptest::collection::vec(any::<[prop::sample::Index; 2]>(), 8),
    ) {
        let (mut shelf, versions) = written(ops, fails);
        for pair in pairs {
            let [(before, old), (after, new)] = pair.map(|n| n.get(&versions));
            let mut found = Vec::new();
            let mut diff = Diff::new(*before, *after);
            while let Some(difference) = sure(|| diff.next(&mut shelf)) {
                found.push(difference);
            }
            let mut expected = Vec::new();
            let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let [was, is] = [*before, *after].map(|version| sure(|| get(&mut shelf, version, key)));
                let value = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.value.clone());
                prop_assert_eq!((value(&was), value(&is)), (old.get(key).cloned(), new.get(key).cloned()));
                if was != is {
                    expected.push(Difference { before: was, after: is });
                }
            }
            prop_assert_eq!(found, expected, "{} to {}", before, after);
        }
    }
}

/// The bee after these, and what it was after each append.
fn written(ops: Vec<Op>, fails: u64) -> (Shelf, Vec<(u64, Map)>) {
    let (mut shelf, mut map) = (Shelf::new(fails), Map::new());
    let mut versions = vec![(1, Map::new())];
    let mut batch = Batch::new(1);
    for op in ops.into_iter().chain([Op::Append]) {
        match op {
            Op::Put(n, value) => {
                sure(|| batch.put(&mut shelf, &key(n), Some(&[value])));
                map.insert(key(n), Some(vec![value]));
            }
            Op::Delete(n) => {
                sure(|| batch.delete(&mut shelf, &key(n)));
                map.remove(&key(n));
            }
            Op::Append => {
                shelf.blocks.extend(batch.finish());
                batch = Batch::new(shelf.version());
                versions.push((shelf.version(), map.clone()));
            }
        }
    }
    (shelf, versions)
}

/// Keys of five digits, all in one append.
fn thousands(count: u32) -> Shelf {
    let mut shelf = Shelf::new(0);
    let mut batch = Batch::new(1);
    for n in 0..count {
        batch.put(&mut shelf, format!("{n:05}").as_bytes(), Some(b"x")).unwrap();
    }
    shelf.blocks.extend(batch.finish());
    shelf
}

/// A block with all nodes of a tree is fetched and decoded once.
#[test]
fn a_block_of_many_nodes_is_fetched_once() {
    const KEYS: u64 = 50;
    let count = KEYS + (KEYS + 1) * KEYS;
    let mut levels = vec![Level {
        keys: (1..=KEYS).map(|n| n * (KEYS + 1)).collect(),
        children: (0..=KEYS).map(|n| (count, n + 1)).collect(),
    }];
    levels.extend((0..=KEYS).map(|leaf| {
        let keys = (1..=KEYS).map(|n| leaf * (KEYS + 1) + n).collect();
        Level { keys, children: Vec::new() }
    }));
    let mut shelf = Shelf::new(0);
    for seq in 1..=count {
        let levels = if seq == count { levels.clone() } else { Vec::new() };
        let mut block = Vec::new();
        Block::encode(format!("{seq:05}").as_bytes(), Some(b"x"), levels, &mut block);
        shelf.blocks.push(block);
    }
    let version = shelf.version();
    for reverse in [false, true] {
        let walk = Walk::range(version, Range { reverse, ..Range::default() });
        assert_eq!(entries(&mut shelf, walk).len() as u64, count);
        let reads = std::mem::take(&mut shelf.reads) as u64;
        assert!(reads <= count + 1, "{reads} reads for {count} keys");
    }
    let mut diff = Diff::new(1, version);
    assert!((0..count).all(|_| matches!(diff.next(&mut shelf), Ok(Some(_)))));
    assert!(shelf.reads as u64 <= count + 1, "{}", shelf.reads);
}

/// What changed is found without what did not.
#[test]
fn a_difference_takes_few_blocks() {
    let mut shelf = thousands(4000);
    let before = shelf.version();
    let mut batch = Batch::new(before);
    for key in ["00007", "02718", "03999"] {
        assert!(batch.delete(&mut shelf, key.as_bytes()).unwrap());
    }
    batch.put(&mut shelf, b"01234", Some(b"y")).unwrap();
    batch.put(&mut shelf, b"01234a", Some(b"z")).unwrap();
    shelf.blocks.extend(batch.finish());
    shelf.reads = 0;
    for (before, after) in [(before, shelf.version()), (shelf.version(), before)] {
        let mut diff = Diff::new(before, after);
        let mut keys = Vec::new();
        while let Some(difference) = diff.next(&mut shelf).unwrap() {
            keys.push(String::from_utf8(difference.key().to_vec()).unwrap());
        }
        assert_eq!(keys, ["00007", "01234", "01234a", "02718", "03999"]);
        let reads = std::mem::take(&mut shelf.reads);
        assert!(reads < 250, "{reads}");
    }
}

#[test]
fn one_key_of_many_takes_few_blocks() {
    let mut shelf = thousands(4000);
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
        for mut diff in [Diff::new(1, 2), Diff::new(2, 1)] {
            let ends = (0..1000).any(|_| !matches!(diff.next(&mut shelf), Ok(Some(_))));
            assert!(ends, "{levels:?}");
        }
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

/// A leaf of four keys, and beside it a node of four keys with five leaves.
#[test]
fn neighbours_of_unequal_depth_are_damage() {
    let keys = "abcdefghijklmn";
    const LAST: u64 = 14;
    let level = |keys: &[u64], children: std::ops::Range<u64>| Level {
        keys: keys.to_vec(),
        children: children.map(|number| (LAST, number)).collect(),
    };
    let mut levels =
        vec![level(&[5], 1..3), level(&[1, 2, 3, 4], 0..0), level(&[7, 9, 11, 13], 3..8)];
    levels.extend([6, 8, 10, 12, 14].map(|key| level(&[key], 0..0)));
    let mut shelf = Shelf::new(0);
    for (key, seq) in keys.bytes().zip(1..) {
        let levels = if seq == LAST { levels.clone() } else { Vec::new() };
        let mut block = Vec::new();
        Block::encode(&[key], Some(b"1"), levels, &mut block);
        shelf.blocks.push(block);
    }
    let whole = entries(&mut shelf, Walk::new(15, Vec::new(), None));
    assert_eq!(whole.len(), 14);
    // From the leaf, which has too few then; and from above, with a leaf on either side.
    for key in [b"a", b"e"] {
        let mut batch = Batch::new(15);
        let deleted = batch.delete(&mut shelf, key);
        assert_eq!(deleted, Err(Failed::Damaged("neighbours of unequal depth")));
        assert!(batch.finish().is_empty());
    }
}

/// Two versions that differ at every level and come back to the same keys and nodes: without a look
/// at the keys they would be walked two to the thirtieth times.
#[test]
fn trees_that_come_back_to_their_nodes_end() {
    let mut shelf = Shelf::new(0);
    for seq in [1, 2] {
        let level = |n: u64| Level { keys: vec![1], children: vec![(seq, n + 1); 2] };
        let leaf = Level { keys: vec![1], children: vec![] };
        let mut block = Vec::new();
        Block::encode(b"m", Some(b"1"), (0..30).map(level).chain([leaf]), &mut block);
        shelf.blocks.push(block);
    }
    let mut diff = Diff::new(2, 3);
    assert_eq!(diff.next(&mut shelf), Err(Failed::Damaged("keys are not in order")));
}
