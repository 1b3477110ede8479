//! Bees, entries and blob maps from strangers.

use std::ops::Bound;

use gannet::drive::hyper::entry::{self, Entry};
use gannet::drive::hyper::{
    Batch, BlobId, Block, Blocks, Diff, Header, Layout, Level, Malformed, Range, Walk, encode_map,
    get,
};

/// A core of the input's pieces: each a byte with its length, then its bytes.
struct Core(Vec<Vec<u8>>);

impl Core {
    fn new(mut data: &[u8]) -> Core {
        let mut blocks = vec![Vec::new()];
        while let Some((&len, rest)) = data.split_first() {
            let (block, rest) = rest.split_at(usize::from(len).min(rest.len()));
            blocks.push(block.to_vec());
            data = rest;
        }
        Core(blocks)
    }
}

impl Blocks for Core {
    type Error = Malformed;
    fn block(&mut self, seq: u64) -> Result<Block, Malformed> {
        let at = usize::try_from(seq).map_err(|_| Malformed)?;
        Block::decode(seq, self.0.get(at).ok_or(Malformed)?)
    }
}

/// Searches, walks, differences and writes end, whatever the tree; a walk's keys go its way, and what is
/// written can be read.
pub fn bee(data: &[u8]) {
    let mut core = Core::new(data);
    let version = core.0.len() as u64;
    let _ = Header::decode(data);
    let _ = get(&mut core, version, b"m");
    let backwards = Range { reverse: true, ..Range::default() };
    let until = Range { until: Bound::Included(b"k".to_vec()), ..backwards.clone() };
    for (mut walk, reverse) in [
        (Walk::new(version, Vec::new(), None), false),
        (Walk::new(version, b"k".to_vec(), None), false),
        (Walk::range(version, backwards), true),
        (Walk::range(version, until), true),
    ] {
        let mut last: Option<Vec<u8>> = None;
        let mut entries = 0;
        while let Ok(Some(entry)) = walk.next(&mut core) {
            assert!(last.is_none_or(|last| last != entry.key && (last > entry.key) == reverse));
            last = Some(entry.key);
            entries += 1;
            assert!(entries <= core.0.len());
        }
    }
    for (before, after) in [(version / 2, version), (version, version - 1)] {
        let mut diff = Diff::new(before, after);
        let mut last: Option<Vec<u8>> = None;
        while let Ok(Some(difference)) = diff.next(&mut core) {
            assert!(last.is_none_or(|last| *last < *difference.key()));
            last = Some(difference.key().to_vec());
        }
    }
    let mut batch = Batch::new(version);
    for key in [&b"a"[..], b"m", b"z"] {
        let _ = batch.put(&mut core, key, Some(b"1"));
        let _ = batch.delete(&mut core, key);
    }
    let written = batch.finish();
    for block in written {
        let block = Block::decode(version, &block).expect("our own block");
        (0..block.levels() as u64).for_each(|n| drop(block.level(n).expect("our own node")));
    }
}

pub fn bee_seeds() -> Vec<Vec<u8>> {
    let mut core = Core(vec![Vec::new()]);
    let mut batch = Batch::new(1);
    for n in 0..20 {
        let key = format!("k{n}");
        batch.put(&mut core, key.as_bytes(), Some(b"v")).expect("an honest tree");
        if n % 5 == 4 {
            core.0.extend(batch.finish());
            batch = Batch::new(core.0.len() as u64);
            batch.delete(&mut core, b"k3").expect("an honest tree");
        }
    }
    let framed = |block: &Vec<u8>| [&[block.len() as u8][..], block].concat();
    [core.0, unequal()].map(|core| core.iter().skip(1).flat_map(framed).collect()).to_vec()
}

/// A tree in which a leaf of four keys has an inner node for a neighbour.
fn unequal() -> Vec<Vec<u8>> {
    let level = |keys: &[u64], children: std::ops::Range<u64>| Level {
        keys: keys.to_vec(),
        children: children.map(|number| (14, number)).collect(),
    };
    let mut levels =
        vec![level(&[5], 1..3), level(&[1, 2, 3, 4], 0..0), level(&[7, 9, 11, 13], 3..8)];
    levels.extend([6, 8, 10, 12, 14].map(|key| level(&[key], 0..0)));
    let mut core = vec![Vec::new()];
    for key in b'a'..=b'n' {
        let levels = if key == b'n' { std::mem::take(&mut levels) } else { Vec::new() };
        let mut block = Vec::new();
        Block::encode(&[key], Some(b"1"), levels, &mut block);
        core.push(block);
    }
    core
}

/// As an entry, as a key, and as a map block.
pub fn entry(data: &[u8]) {
    if let Ok(read) = Entry::decode(data) {
        let mut again = Vec::new();
        if read.encode(&mut again).is_ok() {
            let second = Entry::decode(&again).expect("our own entry");
            assert_eq!((second.blob, &second.link), (read.blob, &read.link));
            assert_eq!(second.metadata, read.metadata);
        }
    }
    if let Ok(name) = entry::name(data) {
        assert_eq!(entry::key(name), data);
    }
    let id = BlobId { block_length: 1, byte_length: 1, block_map: true, ..BlobId::default() };
    if let Ok(Layout::Map(chunks)) = Layout::new(&id, [data]) {
        let again = encode_map(&chunks);
        assert!(
            again.len() == usize::from(!chunks.is_empty()) && again.concat().len() <= data.len()
        );
    }
}

pub fn entry_seeds() -> Vec<Vec<u8>> {
    let blob = BlobId::append(3, 70, 100_000);
    let metadata = Some(r#"{"mtime":5}"#.to_owned());
    let file = Entry { executable: true, blob: Some(blob), metadata, ..Entry::default() };
    let link = Entry { link: Some("../x".into()), ..Entry::default() };
    let mut seeds = vec![entry::key("a/b"), encode_map(&[(8, 30), (9, 300), (8, 30)]).concat()];
    for entry in [file, link] {
        let mut out = Vec::new();
        entry.encode(&mut out).expect("short");
        seeds.push(out);
    }
    seeds
}
