//! The files of a core as a broken disk or a stranger may have left them, with checksums that fit or
//! do not.

use gannet::crypto::hyper::{hash, leaf};
use gannet::crypto::sign::KeyPair;
use gannet::feed::hyper::{Ask, Authority, Indexed, Manifest, Reorg, Seek, Tree, Upgrade};
use gannet::limits::STORE_HEAD_BYTES;
use gannet::store::disk::{Dir, Disk};
use gannet::store::{Content, FeedStore, Keys};
use gannet::time::Instant;

use super::disk::Memory;
use super::store::{files_of, seed_of, use_store};

const FILES: [&str; 10] = [
    "core",
    "bitfield",
    "tree",
    "data",
    "key",
    "manifest",
    "core.reorg",
    "gannet.fork",
    "gannet.open",
    "gannet.dropped",
];
const DIR: Dir = Dir(0);
const NOW: Instant = Instant(0);
/// Sequence, fork, length, byte length, tree hash; then the length of the signature.
const NUMBERS: usize = 4 * 8 + 32;
const HEAD: &[u8] = b"gannet core head";
const RECORD: &[u8] = b"gannet core reorganisation";
const DROPPED: &[u8] = b"gannet dropped blocks";

fn pair() -> KeyPair {
    KeyPair::from_seed([3; 32])
}

/// Puts the checksum that fits behind a head that begins at `at`. Returns where that ends.
fn seal(key: &[u8], bytes: &mut [u8], at: usize) -> Option<usize> {
    let size = bytes.get(at + NUMBERS..at + NUMBERS + 4)?;
    let size = u32::from_be_bytes(size.try_into().ok()?) as usize;
    let end = at.checked_add(NUMBERS + 4)?.checked_add(size)?;
    let sum = hash(&[HEAD, key, bytes.get(at..end)?]);
    bytes.get_mut(end..end + 32)?.copy_from_slice(&sum);
    Some(end + 32)
}

fn seal_record(key: &[u8], bytes: &mut [u8]) -> Option<()> {
    seal(key, bytes, 0)?;
    let end = bytes.len().checked_sub(32)?;
    let sum = hash(&[RECORD, key, &bytes[..end]]);
    bytes[end..].copy_from_slice(&sum);
    Some(())
}

fn seal_dropped(key: &[u8], bytes: &mut [u8]) -> Option<()> {
    let (listed, sum) = bytes.split_last_chunk_mut::<32>()?;
    *sum = hash(&[DROPPED, key, listed]);
    Some(())
}

/// The first byte: whether the checksums are made to fit. Then files as for a feed.
pub fn core(data: &[u8]) {
    let (&fits, rest) = data.split_first().unwrap_or((&0, &[]));
    let mut files = files_of(rest, &FILES);
    if fits & 1 == 1 {
        let key = files.get(std::path::Path::new("key")).cloned().unwrap_or_default();
        if let Some(core) = files.get_mut(std::path::Path::new("core")) {
            let _ = (seal(&key, core, 0), seal(&key, core, STORE_HEAD_BYTES));
        }
        if let Some(record) = files.get_mut(std::path::Path::new("core.reorg")) {
            seal_record(&key, record);
        }
        if let Some(listed) = files.get_mut(std::path::Path::new("gannet.dropped")) {
            seal_dropped(&key, listed);
        }
    }
    let disk = &mut Memory::with(files);
    let secret = (fits & 2 == 2).then(pair);
    let opened = FeedStore::open(disk, DIR, "", None, secret, Content::File);
    let Ok(mut store) = opened else { return };
    let held = store.feed().have().last_set();
    assert!(held.is_none_or(|last| last < store.feed().length()), "held behind the end");
    use_store(&mut store, disk);
    ask(&mut store, disk);
    let _ = store.truncate(disk, store.feed().length() / 2);
    let _ = store.append(disk, &[b"after all"]);
    let _ = store.commit(disk, NOW);
    ask(&mut store, disk);
    let _ = store.close(disk, NOW);
}

fn ask(store: &mut FeedStore, disk: &mut dyn Disk) {
    let length = store.feed().length();
    let whole = Reorg::ask(length);
    for index in (0..12).chain(length.saturating_sub(2)..=length) {
        let one = Indexed { index, nodes: store.feed().levels(index) };
        let seek = Some(Seek { bytes: index * 3, padding: index % 2 });
        let upgrade = (index < length).then(|| Upgrade { start: index, length: length - index });
        for ask in [
            Ask { block: Some(one), ..Ask::default() },
            Ask { hash: Some(Indexed { nodes: 0, ..one }), seek, ..Ask::default() },
            Ask { block: Some(one), upgrade, ..Ask::default() },
        ] {
            let Ok(proof) = store.prove(disk, &ask) else { continue };
            let fork = store.feed().fork_id();
            let _ = store.check_core(disk, fork, &proof, None, Some(b"hello"));
        }
    }
    if let Ok(proof) = store.prove(disk, &whole) {
        let fork = store.feed().fork_id();
        let _ = store.conflicts(disk, fork, &proof);
        let _ = store.reorg_begin(disk, fork.saturating_add(1), &proof, None);
    }
}

pub fn core_seeds() -> Vec<Vec<u8>> {
    let mut disk = Memory::default();
    let keys = Keys::core_writer(pair(), true);
    let key = keys.public;
    let mut store = FeedStore::create(&mut disk, DIR, "", keys, Content::File).expect("a new core");
    let blocks: [&[u8]; 5] = [b"a", b"bb", b"", b"dddd", b"hello world"];
    store.append(&mut disk, &blocks).expect("room");
    store.commit(&mut disk, NOW).expect("room");
    let mut open = vec![3];
    open.extend(seed_of(&disk, &FILES));
    store.close(&mut disk, NOW).expect("room");
    let mut closed = vec![3];
    closed.extend(seed_of(&disk, &FILES));
    // Stopped on the way to three blocks.
    let (mut tree, mut nodes) = (Tree::default(), Vec::new());
    for block in &blocks[..3] {
        tree.append_block(block.len() as u64, leaf(block), &mut nodes).expect("short");
    }
    let signature =
        Authority::of(Manifest::single(pair().public())).sign(&tree, 1, &pair()).expect("ours");
    let mut record = Vec::new();
    for number in [0, 1, tree.length(), tree.byte_length()] {
        record.extend(u64::to_be_bytes(number));
    }
    record.extend(tree.hash());
    record.extend((signature.len() as u32).to_be_bytes());
    record.extend(signature);
    record.extend([0; 32]);
    record.extend(tree.length().to_be_bytes());
    for root in tree.roots() {
        record.extend(root.index.to_be_bytes());
        record.extend(root.size.to_be_bytes());
        record.extend(root.hash);
    }
    record.extend([0; 32]);
    seal_record(&key, &mut record).expect("a whole record");
    let mut moving = open.clone();
    moving.push(6);
    moving.extend((record.len() as u16).to_be_bytes());
    moving.extend(record);
    // A list of blocks 1 and 2 as given up under a bound of 100 bytes, 2 still on the disk. (They are here,
    // so opening finds nothing of it true.)
    let mut listed = vec![100, 1, 1, 2, 1, 2, 1];
    listed.extend([0; 32]);
    seal_dropped(&key, &mut listed).expect("room for the sum");
    let mut bounded = closed.clone();
    bounded.push(9);
    bounded.extend((listed.len() as u16).to_be_bytes());
    bounded.extend(listed);
    // A seed that does not reach the end reaches nothing.
    for seed in [&open, &closed, &moving, &bounded] {
        let disk = &mut Memory::with(files_of(&seed[1..], &FILES));
        let opened = FeedStore::open(disk, DIR, "", Some(key), Some(pair()), Content::File);
        let length = if *seed == moving { 3 } else { 5 };
        let store = opened.expect("a core");
        assert_eq!(store.feed().length(), length);
        assert!(store.dropped().is_none());
    }
    vec![open, closed, moving, bounded]
}
