//! What all the store's tests use.

use std::path::Path;

use gannet::crypto::sign::KeyPair;
use gannet::feed::proof::Proof;
use gannet::store::disk::{Dir, Disk};
use gannet::store::{Content, FeedStore, Keys, Progress, StoreError, Stored};
use gannet::time::Instant;

pub const NOW: Instant = Instant(0);

/// Tries again for as long as the disk asks for it.
pub fn wait<T>(mut run: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..100_000 {
        match run() {
            Err(StoreError::NotYet) => {}
            other => return other,
        }
    }
    panic!("the disk never answers");
}

pub fn pair() -> KeyPair {
    KeyPair::from_seed([9; 32])
}

pub fn root(disk: &mut dyn Disk) -> Dir {
    disk.open_root(Path::new("/feed"), true).expect("a directory")
}

pub fn create(disk: &mut dyn Disk, prefix: &str, write: bool) -> Result<FeedStore, StoreError> {
    let dir = root(disk);
    wait(|| {
        let keys = Keys::dat(pair().public(), write.then(pair), write);
        FeedStore::create(disk, dir, prefix, keys, Content::File)
    })
}

pub fn open(disk: &mut dyn Disk, prefix: &str) -> Result<FeedStore, StoreError> {
    let dir = root(disk);
    let key = Some(pair().public());
    wait(|| FeedStore::open(disk, dir, prefix, key, None, Content::File))
}

pub fn recover(disk: &mut dyn Disk, store: &mut FeedStore) -> Result<(), StoreError> {
    while wait(|| store.recover(disk, None, 1000))? == Progress::More {}
    Ok(())
}

/// Some bytes that tell which block they are: of all sizes, none at times.
pub fn block(number: u64) -> Vec<u8> {
    let size = (number * 37 + number / 7) % 300;
    (0..size).map(|at| (at ^ number) as u8).collect()
}

pub fn append(disk: &mut dyn Disk, store: &mut FeedStore, count: u64) -> Result<u64, StoreError> {
    let length = store.feed().length();
    let blocks: Vec<Vec<u8>> = (length..length + count).map(block).collect();
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    wait(|| store.append(disk, &blocks))
}

pub fn try_read(
    disk: &mut dyn Disk,
    store: &mut FeedStore,
    index: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    wait(|| store.read(disk, index, &mut bytes))?;
    Ok(bytes)
}

pub fn read(disk: &mut dyn Disk, store: &mut FeedStore, index: u64) -> Vec<u8> {
    try_read(disk, store, index).expect("a block")
}

pub fn proof(disk: &mut dyn Disk, store: &mut FeedStore, index: u64, digest: u64) -> Proof {
    wait(|| store.proof(disk, index, digest, false)).expect("a proof")
}

pub fn take(
    disk: &mut dyn Disk,
    store: &mut FeedStore,
    index: u64,
    value: &[u8],
    proof: &Proof,
) -> Result<Stored, StoreError> {
    let accepted =
        wait(|| store.check(disk, index, Some(value), &proof.nodes, proof.signature.as_ref()))?;
    wait(|| store.accept(disk, &accepted, Some(value)))
}

/// Brings a block from one store to another as two peers would.
pub fn fetch(
    from: (&mut dyn Disk, &mut FeedStore),
    to: (&mut dyn Disk, &mut FeedStore),
    index: u64,
) -> Result<Stored, StoreError> {
    let proof = proof(from.0, from.1, index, to.1.feed().digest(index));
    let value = read(from.0, from.1, index);
    take(to.0, to.1, index, &value, &proof)
}
