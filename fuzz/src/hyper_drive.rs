//! Bees, entries and blob maps from strangers.

use gannet::drive::hyper::entry::{self, Entry};
use gannet::drive::hyper::{
    Batch, BlobId, Block, Blocks, Header, Layout, Malformed, Walk, encode_map, get,
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

/// Searches, walks and writes end, whatever the tree; a walk's keys go up.
pub fn bee(data: &[u8]) {
    let mut core = Core::new(data);
    let version = core.0.len() as u64;
    let _ = Header::decode(data);
    let _ = get(&mut core, version, b"m");
    for mut walk in [Walk::new(version, Vec::new(), None), Walk::new(version, b"k".to_vec(), None)]
    {
        let mut last: Option<Vec<u8>> = None;
        let mut entries = 0;
        while let Ok(Some(entry)) = walk.next(&mut core) {
            assert!(last.is_none_or(|last| last < entry.key));
            last = Some(entry.key);
            entries += 1;
            assert!(entries <= core.0.len());
        }
    }
    let mut batch = Batch::new(version);
    for key in [&b"a"[..], b"m", b"z"] {
        let _ = batch.put(&mut core, key, Some(b"1"));
        let _ = batch.delete(&mut core, key);
    }
    let written = batch.finish();
    assert!(written.iter().all(|block| Block::decode(version, block).is_ok()));
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
    vec![core.0.iter().skip(1).flat_map(framed).collect()]
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
