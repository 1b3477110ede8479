//! Drives against bytes made by append-tree 2.4.4 and hyperdrive 9.16.0 (`vectors/drive.json`),
//! and against a model: a map from names to values for every version.

use std::collections::{BTreeMap, BTreeSet};

use gannet::drive::dirs::Dirs;
use gannet::drive::stat::{Index, IndexError, Stat};
use gannet::drive::tree::{self, NodeSource, TreeError, TreeNode};
use gannet::drive::walk::{Change, Diff};
use proptest::prelude::*;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/drive.json")).unwrap()
}

fn bytes(v: &Value) -> Vec<u8> {
    hex::decode(v.as_str().unwrap()).unwrap()
}

/// A metadata feed in memory. While it is cold, the first read of a block says "not yet".
#[derive(Default)]
struct Log {
    blocks: Vec<Vec<u8>>,
    /// Blocks that were asked for while cold.
    warm: Option<BTreeSet<u64>>,
    reads: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct NotYet;

impl NodeSource for Log {
    type Error = NotYet;
    fn block(&mut self, seq: u64, out: &mut Vec<u8>) -> Result<(), NotYet> {
        self.reads += 1;
        if self.warm.as_mut().is_some_and(|warm| warm.insert(seq)) {
            return Err(NotYet);
        }
        out.extend_from_slice(&self.blocks[seq as usize]);
        Ok(())
    }
}

impl Log {
    fn new() -> Log {
        Log { blocks: vec![Vec::new()], ..Log::default() }
    }

    fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The node that the pure functions write next.
    fn next_node(&mut self, name: &str, value: Option<&[u8]>) -> Vec<u8> {
        let head = self.head();
        match value {
            Some(value) => {
                let lists = tree::put_paths(self, head, name).unwrap();
                tree::encode(name, Some(value), &lists, true)
            }
            None => {
                let lists = tree::delete_paths(self, head, name).unwrap();
                tree::encode(name, None, &lists, false)
            }
        }
    }

    fn names(&mut self, dir: &str) -> Vec<String> {
        let depth = tree::parts(dir).count();
        let mut names: Vec<String> = tree::list(self, self.head(), dir)
            .unwrap()
            .into_iter()
            .filter_map(|seq| tree::node(self, seq).unwrap().part(depth).map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    fn all(&mut self, version: u64) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for change in changes(self, Diff::all(version)) {
            let Change::Put { node, old: None } = change else { panic!("{change:?}") };
            assert!(all.insert(node.name, node.seq).is_none());
        }
        all
    }
}

/// Runs a walk to its end, again after each `NotYet`.
fn changes(log: &mut Log, mut diff: Diff) -> Vec<Change> {
    let mut out = Vec::new();
    loop {
        match diff.next(log) {
            Ok(Some(change)) => out.push(change),
            Ok(None) => return out,
            Err(TreeError::Source(NotYet)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn retry<T, E: std::fmt::Debug>(mut call: impl FnMut() -> Result<T, E>) -> T {
    for _ in 0..100_000 {
        if let Ok(value) = call() {
            return value;
        }
    }
    panic!("{:?}", call().err())
}

#[test]
fn append_tree_byte_for_byte() {
    let mut log = Log::new();
    let mut dirs = Dirs::new(0);
    for step in vectors()["appendTree"].as_array().unwrap() {
        let name = step["name"].as_str().unwrap();
        let value = (!step["value"].is_null()).then(|| bytes(&step["value"]));
        let node = log.next_node(name, value.as_deref());
        assert_eq!(hex::encode(&node), step["node"].as_str().unwrap());
        let same = match &value {
            Some(value) => dirs.put(&mut log, name, value).unwrap(),
            None => dirs.delete(&mut log, name).unwrap(),
        };
        assert_eq!(same, node);
        let seq = step["seq"].as_u64().unwrap();
        let decoded = TreeNode::decode(seq, &node).unwrap();
        let lists = step["pathsDecoded"].as_array().unwrap();
        for (depth, list) in lists.iter().enumerate() {
            let list: Vec<u64> =
                list.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
            assert_eq!(decoded.list(depth).collect::<Vec<_>>(), list);
        }
        assert_eq!(decoded.list(lists.len()).count(), 0);
        log.blocks.push(node);
        for (dir, names) in step["after"].as_object().unwrap() {
            let names: Vec<String> = names
                .as_array()
                .map(|n| n.iter().map(|n| n.as_str().unwrap().to_owned()).collect())
                .unwrap_or_default();
            assert_eq!(log.names(dir), names, "{dir} after {seq}");
        }
    }
}

/// Puts and deletions that JavaScript made at random. Deletions where its rule cuts live names off
/// (dat/SPEC §9.3) are written differently by ours; there the log goes on with its bytes.
#[test]
fn append_tree_random_byte_for_byte() {
    let mut log = Log::new();
    let (mut same_deletions, mut deletions) = (0, 0);
    for step in vectors()["appendTreeRandom"].as_array().unwrap() {
        let name = step[1].as_str().unwrap();
        let paths = bytes(&step[2]);
        let put = step[0] == "put";
        let ours = log.next_node(name, put.then_some(b"v"));
        let mut theirs = Vec::new();
        gannet::codec::proto::put_bytes(1, name.as_bytes(), &mut theirs);
        if put {
            gannet::codec::proto::put_bytes(2, b"v", &mut theirs);
        }
        gannet::codec::proto::put_bytes(3, &paths, &mut theirs);
        if put {
            assert_eq!(ours, theirs);
        } else {
            deletions += 1;
            same_deletions += usize::from(ours == theirs);
        }
        log.blocks.push(theirs);
        assert!(TreeNode::decode(log.head(), log.blocks.last().unwrap()).is_some());
    }
    assert_eq!((same_deletions, deletions), (40, 45));
}

#[test]
fn hyperdrive_byte_for_byte() {
    let v = &vectors()["hyperdrive"];
    let mut log = Log::new();
    let mut dirs = Dirs::new(0);
    for entry in v["metadata"].as_array().unwrap() {
        let block = bytes(&entry["hex"]);
        if entry["seq"] == 0 {
            let index = Index::decode(&block).unwrap();
            assert_eq!(index.content.to_vec(), bytes(&v["contentKey"]));
            assert_eq!(index.encode(), block);
            continue;
        }
        let name = entry["name"].as_str().unwrap();
        let ours = if entry["stat"].is_null() {
            dirs.delete(&mut log, name).unwrap()
        } else {
            let s = &entry["stat"];
            let n = |key: &str| s[key].as_u64().unwrap();
            let stat = Stat {
                mode: n("mode") as u32,
                uid: n("uid"),
                gid: n("gid"),
                size: n("size"),
                blocks: n("blocks"),
                offset: n("offset"),
                byte_offset: n("byteOffset"),
                mtime_ms: n("mtime"),
                ctime_ms: n("ctime"),
                ..Stat::default()
            };
            assert_eq!(hex::encode(stat.encode()), entry["statHex"].as_str().unwrap());
            assert_eq!(Stat::decode(&bytes(&entry["statHex"])), Ok(stat));
            assert!(stat.is_dir() || (stat.is_file() && stat.is_consistent()));
            dirs.put(&mut log, name, &stat.encode()).unwrap()
        };
        assert_eq!(ours, block, "{name}");
        log.blocks.push(block);
    }
}

#[test]
fn f06_block_zero_that_is_no_drive() {
    let good = Index { content: [7; 32] }.encode();
    assert!(Index::decode(&good).is_ok());
    assert_eq!(Index::decode(&good[..20]), Err(IndexError::Malformed));
    assert_eq!(Index::decode(&good[..12]), Err(IndexError::BadKey));
    assert_eq!(Index::decode(b""), Err(IndexError::Malformed));
    let mut other = good.clone();
    other[2] = b'H';
    assert_eq!(Index::decode(&other), Err(IndexError::OtherType));
}

/// Nodes that no honest writer makes.
#[test]
fn hostile_nodes() {
    let node = |name: &str, lists: &[Vec<u64>], own| tree::encode(name, Some(b"v"), lists, own);
    let ok = |seq, block: &[u8]| TreeNode::decode(seq, block).is_some();
    assert!(ok(5, &node("/a", &[vec![1, 4, 5], vec![5]], true)));
    assert!(ok(5, &node("/a", &[vec![1, 5]], false)));
    // Forward, to itself twice, to block 0, too many lists, no name, not UTF-8.
    assert!(!ok(5, &node("/a", &[vec![1, 6]], false)));
    assert!(!ok(5, &node("/a", &[vec![1, 5, 0]], true)));
    assert!(!ok(5, &node("/a", &[vec![0, 1]], false)));
    assert!(!ok(5, &node("/a", &[vec![1], vec![1], vec![1]], false)));
    assert!(!ok(5, &[0x1a, 1, 0]));
    assert!(!ok(5, &[0x0a, 2, b'/', 0xff, 0x1a, 1, 0]));
    assert!(!ok(5, &node("/a//b", &[vec![1]], false)));
    assert!(!ok(5, &node(&"/a".repeat(129), &[vec![1]], false)));
    assert!(!ok(5, &node(&format!("/{}", "a".repeat(4096)), &[vec![1]], false)));
    // A count that nothing stands behind, descending numbers, an overflowing sum.
    assert!(!ok(5, &[0x0a, 2, b'/', b'a', 0x1a, 3, 0, 0xff, 1]));
    assert!(!ok(9, &[0x0a, 2, b'/', b'a', 0x1a, 4, 0, 2, 3, 0]));
    let mut huge = vec![0x0a, 2, b'/', b'a', 0x1a, 12, 0, 2, 1];
    huge.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    assert!(!ok(9, &huge));
}

/// Every list leads to the two nodes before it, under names as deep as can be: an honest reader
/// would visit 2^60 nodes.
#[test]
fn hostile_tree_ends_the_walk() {
    let mut log = Log::new();
    let name = "/a".repeat(60);
    for seq in 1..200u64 {
        let lists: Vec<Vec<u64>> =
            (0..=60).map(|_| (seq.saturating_sub(2).max(1)..=seq).collect()).collect();
        log.blocks.push(tree::encode(&name, Some(b"v"), &lists, true));
    }
    let head = log.head();
    let mut diff = Diff::all(head);
    let end = loop {
        match diff.next(&mut log) {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(end, Err(TreeError::Malformed(head)));
    assert!(log.reads < 200_000, "{}", log.reads);
    let _ = tree::get(&mut log, head, "/a/b");
}

#[test]
fn malformed_nodes_cost_only_what_hangs_on_them() {
    let mut log = Log::new();
    for name in ["/a/1", "/b/1", "/c"] {
        let node = log.next_node(name, Some(b"v"));
        log.blocks.push(node);
    }
    log.blocks[2] = b"garbage".to_vec();
    let all = changes(&mut log, Diff::all(3));
    assert_eq!(all.len(), 3);
    assert!(all.contains(&Change::Malformed { seq: 2 }));
}

#[test]
fn ten_thousand_names_in_one_directory() {
    let mut log = Log::new();
    let mut dirs = Dirs::new(0);
    for i in 0..10_000u32 {
        let block = dirs.put(&mut log, &format!("/file-{i:05}"), b"v").unwrap();
        log.blocks.push(block);
    }
    assert!(log.reads < 10, "{}", log.reads);
    let node = dirs.get(&mut log, "/file-04711").unwrap().unwrap();
    assert_eq!(node.seq, 4712);
    let all = log.all(10_000);
    assert_eq!(all.len(), 10_000);
    // One more: a reader that has 10,000 reads two nodes and no other.
    let block = dirs.put(&mut log, "/one-more", b"v").unwrap();
    log.blocks.push(block);
    log.reads = 0;
    assert_eq!(changes(&mut log, Diff::new(10_000, 10_001)).len(), 1);
    assert!(log.reads <= 4, "{}", log.reads);
}

#[test]
fn a_walk_enters_changed_directories_only() {
    let mut log = Log::new();
    let mut dirs = Dirs::new(0);
    for d in 0..40 {
        for f in 0..40 {
            let block = dirs.put(&mut log, &format!("/d{d}/f{f}"), b"v").unwrap();
            log.blocks.push(block);
        }
    }
    let old = log.head();
    let block = dirs.put(&mut log, "/d7/f7", b"w").unwrap();
    log.blocks.push(block);
    let block = dirs.delete(&mut log, "/d9/f9").unwrap();
    log.blocks.push(block);
    log.reads = 0;
    let found = changes(&mut log, Diff::new(old, old + 2));
    assert_eq!(found.len(), 2);
    assert!(log.reads < 100, "{}", log.reads);
}

#[derive(Clone, Debug)]
enum Op {
    Put(String),
    Delete(usize),
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "dd", "e"]), 1..5)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![3 => name().prop_map(Op::Put), 2 => any::<usize>().prop_map(Op::Delete)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    /// Names that are files and directories at once included: look-ups, listings, walks and
    /// differences of all versions say what the model says.
    #[test]
    fn agrees_with_a_model(
        ops in prop::collection::vec(op(), 1..60),
        cold: bool,
        probe in name(),
        pick in any::<(usize, usize)>(),
    ) {
        let mut log = Log::new();
        let mut dirs = Dirs::new(0);
        let mut model: BTreeMap<String, u64> = BTreeMap::new();
        let mut versions = vec![model.clone()];
        for (i, op) in ops.iter().enumerate() {
            if i % 7 == 6 {
                // A writer that starts again knows nothing.
                dirs = Dirs::new(log.head());
            }
            let seq = log.head() + 1;
            let pure;
            let block = match op {
                Op::Put(name) => {
                    pure = log.next_node(name, Some(b"v"));
                    log.warm = cold.then(BTreeSet::new);
                    let block = retry(|| dirs.put(&mut log, name, b"v"));
                    model.insert(name.clone(), seq);
                    block
                }
                Op::Delete(n) => {
                    let Some(name) = model.keys().nth(n % model.len().max(1)).cloned() else {
                        continue;
                    };
                    pure = log.next_node(&name, None);
                    log.warm = cold.then(BTreeSet::new);
                    let block = retry(|| dirs.delete(&mut log, &name));
                    model.remove(&name);
                    block
                }
            };
            log.warm = None;
            prop_assert_eq!(&block, &pure);
            log.blocks.push(block);
            versions.push(model.clone());
        }
        let head = log.head();
        for name in model.keys().chain([&probe]) {
            let expected = model.get(name).copied();
            let got = tree::get(&mut log, head, name).unwrap();
            prop_assert_eq!(got.as_ref().map(|n| n.seq), expected);
            prop_assert_eq!(dirs.get(&mut log, name).unwrap().map(|n| n.seq), expected);
        }
        log.warm = cold.then(BTreeSet::new);
        for (version, model) in versions.iter().enumerate() {
            prop_assert_eq!(&log.all(version as u64), model);
        }
        let (from, to) = (pick.0 % versions.len(), pick.1 % versions.len());
        let mut copy = versions[from].clone();
        for change in changes(&mut log, Diff::new(from as u64, to as u64)) {
            match change {
                Change::Put { node, old } => {
                    prop_assert_ne!(old, Some(node.seq));
                    prop_assert_eq!(copy.insert(node.name, node.seq), old);
                }
                Change::Delete { name, old } => {
                    prop_assert_eq!(copy.remove(&name), Some(old));
                }
                Change::Malformed { .. } => prop_assert!(false),
            }
        }
        prop_assert_eq!(&copy, &versions[to]);
        let dir = "/a";
        let below: Vec<String> = changes(&mut log, Diff::below(0, head, dir))
            .into_iter()
            .map(|change| match change {
                Change::Put { node, .. } => node.name,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = model.keys().filter(|n| *n == dir || n.starts_with("/a/")).count();
        prop_assert_eq!(below.len(), expected);
    }

    #[test]
    fn any_bytes_decode_or_not(seq in 0u64..300, block: Vec<u8>) {
        if let Some(node) = TreeNode::decode(seq, &block) {
            for depth in 0..5 {
                prop_assert!(node.list(depth).all(|n| n <= seq));
            }
        }
        let _ = Stat::decode(&block);
        let _ = Index::decode(&block);
    }
}
