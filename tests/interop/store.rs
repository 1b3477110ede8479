//! The feed store alone, on a real disk, with hypercore opening what it wrote and the other way
//! round: when this holds and feeds do not arrive equal, the fault is not in the files.

use std::path::Path;

use ::gannet::crypto::sign::KeyPair;
use ::gannet::rng::Rng;
use ::gannet::store::disk::Disk;
use ::gannet::store::{Content, FeedStore, Keys, StoreError};
use ::gannet::sys::linux::disk::LinuxDisk;
use ::gannet::time::Instant;

use crate::install::left_out;
use crate::tools::{Scratch, hex, js, key_bytes, sha256, str, text};

/// Repeats what the disk was not ready for.
fn patient<T>(mut step: impl FnMut() -> Result<T, StoreError>) -> T {
    loop {
        match step() {
            Err(StoreError::NotYet) => std::thread::yield_now(),
            other => return other.unwrap_or_else(|error| panic!("{error}")),
        }
    }
}

fn open(disk: &mut LinuxDisk, folder: &Path, key: Option<[u8; 32]>) -> FeedStore {
    let dir = disk.open_root(folder, true).expect("a folder");
    patient(|| FeedStore::open(disk, dir, "", key, None, Content::File))
}

/// Length, digest of all blocks, digest of their sizes.
fn summary(disk: &mut LinuxDisk, store: &mut FeedStore) -> (u64, String, String) {
    let (mut all, mut sizes) = (Vec::new(), Vec::new());
    for index in 0..store.feed().length() {
        let mut block = Vec::new();
        patient(|| {
            block.clear();
            store.read(disk, index, &mut block)
        });
        sizes.push(block.len().to_string());
        all.extend_from_slice(&block);
    }
    (store.feed().length(), sha256(&all), sha256(sizes.join(",").as_bytes()))
}

/// Closes the store as an orderly stop does.
fn settle(disk: &mut LinuxDisk, mut store: FeedStore) {
    patient(|| store.commit(disk, Instant(1)));
    store.close(disk, Instant(1)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn hypercore_opens_what_the_store_wrote() {
    if left_out() {
        return;
    }
    for (n, length) in [1, 2, 3, 5, 8, 100, 3001, 8193, 20_000].into_iter().enumerate() {
        let (scratch, mut disk) = (Scratch::new(), LinuxDisk::new());
        let (folder, mut rng) = (scratch.dir("feed"), Rng::from_seed(length));
        let dir = disk.open_root(&folder, true).expect("a folder");
        let pair = KeyPair::from_seed([n as u8; 32]);
        let key = hex(&pair.public());
        let keys = Keys::dat(pair.public(), Some(pair), true);
        let mut store =
            patient(|| FeedStore::create(&mut disk, dir, "", keys.clone(), Content::File));
        let mut left = length;
        while left > 0 {
            let count = (1 + rng.below(700)).min(left);
            let blocks: Vec<Vec<u8>> =
                (0..count).map(|_| vec![rng.next_u64() as u8; rng.below(90) as usize]).collect();
            let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
            patient(|| store.append(&mut disk, &blocks));
            left -= count;
        }
        let (_, all, sizes) = summary(&mut disk, &mut store);
        settle(&mut disk, store);
        let core = ["6", "7"][n % 2];
        let mut peer = js("feed.js", &["--core", core, "--storage", str(&folder)]);
        let ready = peer.expect("ready");
        assert_eq!((&ready["length"], &ready["writable"]), (&length.into(), &true.into()));
        assert_eq!(text(&ready, "key"), key);
        assert_eq!((text(&ready, "sha256"), text(&ready, "sizes")), (&*all, &*sizes));
        peer.say("audit");
        assert_eq!(peer.expect("audit")["invalid"], 0);
        peer.say("append 3");
        let grown = peer.expect("appended");
        peer.end_input();
        peer.succeed();
        let mut store = open(&mut disk, &folder, None);
        let (length, all, sizes) = summary(&mut disk, &mut store);
        assert_eq!(grown["length"], length);
        assert_eq!((text(&grown, "sha256"), text(&grown, "sizes")), (&*all, &*sizes));
        settle(&mut disk, store);
    }
}

#[test]
fn the_store_opens_and_continues_what_hypercore_wrote() {
    if left_out() {
        return;
    }
    for (n, length) in [1, 2, 3, 5, 8, 100, 3001, 8193].into_iter().enumerate() {
        let (scratch, mut disk) = (Scratch::new(), LinuxDisk::new());
        let folder = scratch.dir("feed");
        let (core, count) = (["7", "6"][n % 2], length.to_string());
        let sizes = ["--sizes", "5,0,80,1", "--blocks", &count];
        let options = [&["--core", core, "--storage", str(&folder)], &sizes[..]].concat();
        let mut peer = js("feed.js", &options);
        let ready = peer.expect("ready");
        peer.end_input();
        peer.succeed();
        let key = key_bytes(text(&ready, "key"));
        let mut store = open(&mut disk, &folder, Some(key));
        let (opened, all, sizes) = summary(&mut disk, &mut store);
        assert_eq!(opened, length);
        assert_eq!((text(&ready, "sha256"), text(&ready, "sizes")), (&*all, &*sizes));
        for blocks in [vec![&b"one"[..]], vec![b"two", b"", b"four"]] {
            patient(|| store.append(&mut disk, &blocks));
        }
        settle(&mut disk, store);
        let mut peer = js("feed.js", &["--core", core, "--storage", str(&folder)]);
        assert_eq!(peer.expect("ready")["length"], length + 4);
        peer.say("audit");
        let audit = peer.expect("audit");
        assert_eq!((&audit["valid"], &audit["invalid"]), (&(length + 4).into(), &0.into()));
    }
}
