//! The files of a feed as a broken disk, an old version or a stranger may have left them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gannet::crypto::sign::KeyPair;
use gannet::feed::Feed;
use gannet::limits::BLOCK_BYTES;
use gannet::store::disk::{Dir, Disk};
use gannet::store::{Content, Cursor, FeedStore, Keys, Progress};
use gannet::time::Instant;

use super::disk::Memory;

const FILES: [&str; 6] = ["bitfield", "tree", "signatures", "data", "key", "gannet.open"];
const DIR: Dir = Dir(0);
const NOW: Instant = Instant(0);
/// Steps of verification and recovery that a few kilobytes may take.
const STEPS: usize = 10_000;

fn pair() -> KeyPair {
    KeyPair::from_seed([3; 32])
}

/// The input: for each file its place among the names, its length in two bytes, its bytes.
pub fn files_of(data: &[u8], names: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut rest) = (BTreeMap::new(), data);
    while let Some(([file, high, low], behind)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (bytes, behind) = behind.split_at(len);
        files.insert(names[usize::from(*file) % names.len()].into(), bytes.to_vec());
        rest = behind;
    }
    files
}

pub fn feed(data: &[u8]) {
    let disk = &mut Memory::with(files_of(data, &FILES));
    let secret = data.len().is_multiple_of(2).then(pair);
    let opened = FeedStore::open(disk, DIR, "", None, secret, Content::File);
    let Ok(mut store) = opened else { return };
    use_store(&mut store, disk);
    let _ = store.close(disk, NOW);
}

pub fn use_store(store: &mut FeedStore, disk: &mut dyn Disk) {
    let mut steps = 0;
    while let Ok(Progress::More) = store.recover(disk, None, 1 << 16) {
        steps += 1;
        assert!(steps < STEPS, "recovery without end");
    }
    read(store, disk);
    let mut cursor = Cursor::default();
    for step in 0.. {
        assert!(step < STEPS, "verification without end");
        match store.verify_step(disk, &mut cursor, None, 1 << 16) {
            Ok(found) if found.done => break,
            Ok(found) => found.bad.into_iter().for_each(|bad| drop(store.forget(disk, bad))),
            Err(_) => break,
        }
    }
    let _ = store.append(disk, &[b"one more", b""]);
    let _ = store.clear(disk, 1, 1);
    let _ = store.commit(disk, NOW);
    read(store, disk);
}

fn read(store: &mut FeedStore, disk: &mut dyn Disk) {
    let length = Feed::length(store.feed());
    for block in (0..40).chain(length.saturating_sub(2)..=length) {
        let mut out = Vec::new();
        if store.read(disk, block, &mut out).is_ok() {
            assert!(out.len() <= BLOCK_BYTES);
        }
        let digest = store.feed().digest(block);
        let _ = store.proof(disk, block, 0, false);
        let _ = store.proof(disk, block, digest, true);
        let _ = store.seek(disk, block * 3);
    }
}

pub fn feed_seeds() -> Vec<Vec<u8>> {
    let mut disk = Memory::default();
    let keys = Keys::dat(pair().public(), Some(pair()), false);
    let mut store = FeedStore::create(&mut disk, DIR, "", keys, Content::File).expect("a new feed");
    store.append(&mut disk, &[b"a", b"bb", b"", b"dddd", b"hello world"]).expect("room");
    store.commit(&mut disk, NOW).expect("room");
    let open = seed_of(&disk, &FILES);
    store.close(&mut disk, NOW).expect("room");
    vec![seed_of(&disk, &FILES), open]
}

pub fn seed_of(disk: &Memory, names: &[&str]) -> Vec<u8> {
    let mut seed = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let Some(bytes) = disk.file(name) else { continue };
        seed.push(at as u8);
        seed.extend((bytes.len() as u16).to_be_bytes());
        seed.extend(bytes);
    }
    seed
}
