//! Both formats against one model: the same names, look-ups and differences.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::diff::{Change, Diff};
use super::format::{Entry, Format};
use super::hyper::Header;
use super::names::Names;
use super::stat::{Form, Index, Stat};
use super::tree::NodeSource;

/// Metadata in memory.
struct Blocks(Vec<Vec<u8>>);

impl NodeSource for Blocks {
    type Error = u64;

    fn block(&mut self, seq: u64, out: &mut Vec<u8>) -> Result<(), u64> {
        out.extend_from_slice(self.0.get(seq as usize).ok_or(seq)?);
        Ok(())
    }
}

type Model = BTreeMap<String, Stat>;

/// A drive with all its versions.
struct World {
    format: Format,
    blocks: Blocks,
    names: Names,
    now: Model,
    versions: Vec<(u64, Model)>,
}

fn stat(format: Format, n: u64) -> Stat {
    let stat = Stat { mode: 0o100_644, size: n, blocks: n.min(1), offset: n, ..Stat::default() };
    match format {
        Format::Dat => stat,
        Format::Hyper => Stat { form: Form::Blob, ..stat },
    }
}

impl World {
    fn new(format: Format) -> World {
        let mut header = Vec::new();
        match format {
            Format::Dat => header = Index { content: [1; 32] }.encode(),
            Format::Hyper => Header { metadata: true, ..Header::default() }.encode(&mut header),
        }
        let version = format.version(1);
        let (now, versions) = (Model::new(), vec![(version, Model::new())]);
        let names = Names::new(format, version);
        World { format, blocks: Blocks(vec![header]), names, now, versions }
    }

    fn put(&mut self, name: &str, n: u64) {
        let stat = stat(self.format, n);
        let version = self.names_version();
        let old = self.format.get(&mut self.blocks, version, name).unwrap();
        let old = old.map(|old| old.seq);
        self.names.put(&mut self.blocks, name, &stat, None, old).unwrap();
        self.now.insert(name.to_owned(), stat);
    }

    fn delete(&mut self, name: &str) {
        if self.now.remove(name).is_some() {
            assert_eq!(self.names.delete(&mut self.blocks, name), Ok(true));
        }
    }

    /// The newest version that is appended.
    fn names_version(&self) -> u64 {
        self.versions.last().unwrap().0
    }

    fn append(&mut self) {
        self.blocks.0.extend_from_slice(self.names.waiting());
        self.names.appended();
        let version = self.format.version(self.blocks.0.len() as u64);
        assert_eq!(self.names.version(), version);
        if version > 0 {
            assert_eq!(self.format.blocks(version), self.blocks.0.len() as u64);
        }
        self.versions.push((version, self.now.clone()));
    }

    /// What `Diff` says, applied to the old version.
    fn applied(&mut self, old: usize, new: usize) -> Model {
        let (from, mut model) = self.versions[old].clone();
        let to = self.versions[new].0;
        let mut diff = Diff::new(self.format, from, to);
        let mut puts = false;
        while let Some(change) = diff.next(&mut self.blocks).unwrap() {
            match change {
                Change::Put { entry: Entry { seq, name, stat }, old } => {
                    puts = true;
                    assert_ne!(old, Some(seq));
                    let before = model.insert(name.clone(), stat.unwrap());
                    assert_eq!(before.is_some(), old.is_some(), "{name}");
                }
                Change::Delete { name, old } => {
                    assert!(!puts || self.format == Format::Dat, "what is gone comes first");
                    let entry = self.format.entry(&mut self.blocks, old).unwrap().unwrap();
                    assert_eq!(entry.name, name);
                    assert!(model.remove(&name).is_some(), "{name}");
                }
                Change::Malformed { seq } => panic!("{seq}"),
            }
        }
        model
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(String, u64),
    Delete(String),
    Append,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let name = || "(/[ab-]){1,3}";
    let op = prop_oneof![
        4 => (name(), 0u64..1000).prop_map(|(name, n)| Op::Put(name, n)),
        2 => name().prop_map(Op::Delete),
        2 => Just(Op::Append),
    ];
    vec(op, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_formats_are_the_same_map(ops in ops(), pairs in vec(any::<(prop::sample::Index, prop::sample::Index)>(), 6)) {
        for format in [Format::Dat, Format::Hyper] {
            let mut world = World::new(format);
            let mut touched = std::collections::BTreeSet::new();
            for op in &ops {
                match op {
                    // What is put is asked for before: nothing of that name may wait.
                    Op::Put(name, _) | Op::Delete(name) if touched.contains(name) => {}
                    Op::Put(name, n) => {
                        touched.insert(name);
                        world.put(name, *n);
                    }
                    Op::Delete(name) => {
                        touched.insert(name);
                        world.delete(name);
                    }
                    Op::Append => {
                        touched.clear();
                        world.append();
                    }
                }
            }
            world.append();
            let (version, model) = world.versions.last().unwrap().clone();
            for name in ["/a", "/a/a", "/b/-/a", "/-", "/-/b"] {
                let found = world.names.get(&mut world.blocks, name).unwrap();
                prop_assert_eq!(found.and_then(|entry| entry.stat), model.get(name).copied());
                let below = format!("{name}/");
                let expected = model.keys().any(|key| key.starts_with(&below));
                prop_assert_eq!(world.names.has_children(&mut world.blocks, name), Ok(expected));
                prop_assert_eq!(format.has_children(&mut world.blocks, version, name), Ok(expected));
                let members = expected || model.contains_key(name);
                prop_assert_eq!(world.names.has_members(&mut world.blocks, name), Ok(members));
                let mut found = 0;
                let mut walk = Diff::below(format, version, name);
                while let Some(change) = walk.next(&mut world.blocks).unwrap() {
                    let Change::Put { entry, .. } = change else { panic!() };
                    prop_assert!(entry.name == name || entry.name.starts_with(&below));
                    found += 1;
                }
                let expected = model.keys().filter(|key| *key == name || key.starts_with(&below));
                prop_assert_eq!(found, expected.count());
            }
            for (old, new) in &pairs {
                let (old, new) = (old.index(world.versions.len()), new.index(world.versions.len()));
                let expected = world.versions[new].1.clone();
                prop_assert_eq!(world.applied(old, new), expected);
            }
        }
    }
}

#[test]
fn what_an_application_said_of_a_file_is_carried_along() {
    let mut world = World::new(Format::Hyper);
    let value = br#"{"executable":false,"linkname":null,"blob":null,"metadata":{"a": [1]}}"#;
    let mut batch = super::hyper::Batch::new(1);
    struct None_;
    impl super::hyper::Blocks for None_ {
        type Error = ();
        fn block(&mut self, _: u64) -> Result<super::hyper::Block, ()> {
            Err(())
        }
    }
    batch.put(&mut None_, b"files\0/x", Some(value)).unwrap();
    world.blocks.0.extend(batch.finish());
    world.names = Names::new(Format::Hyper, 2);
    world.versions.push((2, Model::new()));
    world.put("/x", 5);
    world.put("/y", 6);
    world.append();
    let x = super::format::record(&mut world.blocks, 2).unwrap().unwrap();
    assert_eq!(x.metadata.as_deref(), Some(r#"{"a": [1]}"#));
    assert_eq!(x.blob.unwrap().byte_length, 5);
    let y = super::format::record(&mut world.blocks, 3).unwrap().unwrap();
    assert_eq!(y.metadata, None);
}
