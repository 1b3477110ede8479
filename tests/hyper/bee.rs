//! Hyperbees: the same blocks as JavaScript from the same puts and deletes, and read back.

use gannet::crypto::hyper;
use gannet::drive::hyper::{Batch, Header, Walk, get};
use serde_json::Value;

use super::{Core, bytes, list, vectors};

impl Core {
    fn new() -> Core {
        let mut header = Vec::new();
        Header::default().encode(&mut header);
        Core(vec![header])
    }

    /// One append; nothing if nothing changed.
    fn append<'a>(&mut self, ops: impl Iterator<Item = (&'a str, Option<&'a str>)>) {
        let mut batch = Batch::new(self.0.len() as u64);
        for (key, value) in ops {
            match value {
                Some(value) => {
                    batch.put(self, key.as_bytes(), Some(value.as_bytes())).unwrap();
                }
                None => drop(batch.delete(self, key.as_bytes()).unwrap()),
            }
        }
        self.0.extend(batch.finish());
    }

    fn entries(&mut self) -> Vec<(String, String)> {
        let mut walk = Walk::new(self.0.len() as u64, Vec::new(), None);
        let mut found = Vec::new();
        while let Some(entry) = walk.next(self).unwrap() {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            found.push((text(entry.key), text(entry.value.unwrap())));
        }
        found
    }
}

fn bee_vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/hyper_bee.json")).unwrap()
}

#[test]
fn the_same_blocks_as_javascript() {
    for (n, case) in list(&bee_vectors()["cases"]).iter().enumerate() {
        let mut core = Core::new();
        for ops in list(&case["appends"]) {
            let ops = ops.as_str().unwrap().split(' ');
            core.append(ops.map(|op| match op.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (op, None),
            }));
        }
        if let Some(blocks) = case["blocks"].as_array() {
            for (seq, (ours, theirs)) in core.0.iter().zip(blocks).enumerate() {
                assert_eq!(hex::encode(ours), theirs.as_str().unwrap(), "case {n}, block {seq}");
            }
        }
        assert_eq!(core.0.len() as u64, case["length"].as_u64().unwrap(), "case {n}");
        let framed: Vec<Vec<u8>> = core
            .0
            .iter()
            .map(|block| [&(block.len() as u32).to_le_bytes()[..], block].concat())
            .collect();
        let parts: Vec<&[u8]> = framed.iter().map(Vec::as_slice).collect();
        assert_eq!(hex::encode(hyper::hash(&parts)), case["hash"].as_str().unwrap(), "case {n}");
        let entries: Vec<String> =
            core.entries().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(entries.join(" "), case["entries"].as_str().unwrap(), "case {n}");
    }
}

#[test]
fn the_bees_of_the_first_vectors() {
    let v = &vectors()["hyperbee"];
    let mut core = Core::new();
    for n in 0..=10 {
        core.append([(&format!("k{n:02}")[..], Some(&format!("v{n}")[..]))].into_iter());
    }
    core.append([("k04", None)].into_iter());
    core.append([("k00", Some("again"))].into_iter());
    assert_eq!(core.0, list(&v["blocks"]).iter().map(bytes).collect::<Vec<_>>());
    let expected: Vec<(String, String)> = serde_json::from_value(v["entries"].clone()).unwrap();
    assert_eq!(core.entries(), expected);
    let mut core = Core::new();
    core.append(["b0", "b1", "b2", "b3"].into_iter().map(|key| (key, Some("x"))));
    assert_eq!(core.0, list(&v["batch_blocks"]).iter().map(bytes).collect::<Vec<_>>());
    // As of an older version.
    let found = get(&mut core, 2, b"b0");
    assert!(found.is_err(), "a block within a batch has no root: {found:?}");
}

#[test]
fn headers() {
    let v = vectors();
    let drive = bytes(&v["hyperdrive"]["db_blocks"][0]);
    let header = Header::decode(&drive).unwrap();
    assert_eq!(header, Header { metadata: true, ..Header::default() });
    let older = bytes(&v["hyperdrive_v10_compat"]["db_blocks"][0]);
    let compat = Header::decode(&older).unwrap();
    let content = compat.content.map(hex::encode);
    assert_eq!(content.as_deref(), v["hyperdrive_v10_compat"]["blobs_key"].as_str());
    for (header, expected) in [(header, drive), (compat, older)] {
        let mut again = Vec::new();
        header.encode(&mut again);
        assert_eq!(again, expected);
    }
}
