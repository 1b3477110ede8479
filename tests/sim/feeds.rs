//! A bare feed: one writes, the others fetch, keep and pass it on.

use std::path::Path;

use gannet::crypto::sign::KeyPair;
use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Key, Link};
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys, StoreError};
use gannet::time::Instant;

use crate::disk::Device;
use crate::swarm::Swarm;
use crate::world::SECOND;

const DIR: &str = "/feed";

/// What the writer has made durable, block by block.
type Truth = Vec<Vec<u8>>;

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let pair = KeyPair::from_seed([seed as u8; 32]);
    let key = Key(pair.public());
    swarm.add(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)]);
    let device = swarm.world.device(swarm.posts[0].machine);
    create(&device, &pair);
    let mut truth = Truth::new();
    append(&mut swarm.rng, &device, &mut truth);
    for _ in 0..swarm.rng.between(1, 4) {
        add_reader(&mut swarm, key);
    }
    swarm.introduce();
    if swarm.rng.one_in(3) {
        swarm.add_hostile(key.0);
    }
    for _ in 0..swarm.rng.between(0, 12) {
        let span = swarm.rng.below(3 * SECOND);
        swarm.run(span, |_| false);
        swarm.accident();
        if swarm.rng.one_in(3) && !swarm.world.runs(swarm.posts[0].machine) {
            append(&mut swarm.rng, &device, &mut truth);
        }
    }
    swarm.calm_down();
    let whole = |swarm: &mut Swarm| {
        (0..swarm.posts.len()).all(|post| {
            let Some(status) = swarm.status(post) else { return false };
            status.feeds.first().is_some_and(|feed| feed.have == truth.len() as u64)
        })
    };
    if !swarm.run(600 * SECOND, whole) {
        let states: Vec<String> =
            (0..swarm.posts.len()).map(|post| format!("{:?}", swarm.status(post))).collect();
        panic!("not everything of {} blocks arrived:\n{}", truth.len(), states.join("\n"));
    }
    swarm.check_idle();
    swarm.check_stop();
    for post in 0..swarm.posts.len() {
        let stores = swarm.check_stores(post);
        let feed = stores.values().next().expect("there is a feed");
        assert_eq!(feed.held.len(), truth.len(), "blocks on the disk of {post}");
        for (number, block) in truth.iter().enumerate() {
            assert!(feed.block(number as u64) == Ok(&block[..]), "block {number} at {post}");
        }
    }
    swarm.world.trace()
}

fn add_reader(swarm: &mut Swarm, key: Key) {
    let link = Link { key, version: None, path: String::new() };
    if swarm.rng.one_in(2) {
        let dir = format!("/seed/{key}");
        let run = Run::Seed { links: vec![link], dir: "/seed".into() };
        swarm.add(run, vec![(dir.clone(), "", true), (dir, "metadata.", true)]);
    } else {
        let blocks = Blocks::Follow;
        let run = Run::CoreFetch { link, dir: DIR.into(), blocks, show: None };
        swarm.add(run, vec![(DIR.into(), "", true)]);
    }
}

/// A process of its own that makes the feed.
fn create(device: &Device, pair: &KeyPair) {
    let mut disk = device.process();
    let dir = disk.open_root(Path::new(DIR), true).expect("the disk is empty");
    let keys = Keys { public: pair.public(), secret: Some(pair.clone()), keep_secret: true };
    let store = patiently(|| FeedStore::create(&mut disk, dir, "", keys.clone(), Content::File));
    store.close(&mut disk, Instant(0)).expect("a good disk");
    device.sync();
}

/// A process of its own that appends.
fn append(rng: &mut Rng, device: &Device, truth: &mut Truth) {
    let mut disk = device.process();
    let faults = std::mem::take(&mut device.fs().faults);
    let capacity = std::mem::replace(&mut device.fs().capacity, 1 << 40);
    let dir = disk.open_root(Path::new(DIR), false).expect("it was made");
    let mut store = patiently(|| FeedStore::open(&mut disk, dir, "", None, None, Content::File));
    while store.recovering() {
        patiently(|| store.recover(&mut disk, None, 1 << 20));
    }
    assert!(store.feed().length() == truth.len() as u64, "blocks of the writer are lost");
    for _ in 0..rng.between(1, 3) {
        let size = [0, 1, 10, 1000, 5000, 70_000][rng.below(6) as usize];
        let count = if size > 5000 { 1 } else { rng.between(1, 20) };
        let blocks: Truth = (0..count)
            .map(|_| {
                let mut block = vec![0; rng.between(0, size) as usize];
                rng.fill(&mut block);
                block
            })
            .collect();
        let parts: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        patiently(|| store.append(&mut disk, &parts));
        truth.extend(blocks);
    }
    store.close(&mut disk, Instant(0)).expect("a good disk");
    device.fs().faults = faults;
    device.fs().capacity = capacity;
}

fn patiently<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> T {
    loop {
        match call() {
            Err(StoreError::NotYet) => {}
            done => return done.expect("a good disk"),
        }
    }
}
