//! A bare feed: one writes, the others fetch, keep and pass it on.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gannet::crypto::sign::KeyPair;
use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};
use gannet::node::control::{Block, Request, encode};
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys, StoreError};
use gannet::sys::{Endpoint, Handle};
use gannet::time::Instant;

use crate::disk::Device;
use crate::swarm::{CONTROL, Swarm};
use crate::world::SECOND;

pub const DIR: &str = "/feed";

/// Blocks that the writer was told are durable, by number. What it was told nothing about may be
/// there too.
pub type Truth = BTreeMap<u64, Vec<u8>>;

pub fn run(seed: u64) -> u64 {
    exchange(seed, Dialect::Dat)
}

/// The same with cores, whose writer may also take blocks back.
pub fn run_cores(seed: u64) -> u64 {
    exchange(seed, Dialect::Hyper)
}

/// The keys of a feed of this dialect that can be written.
pub fn writer(dialect: Dialect, seed: u64) -> Keys {
    let pair = KeyPair::from_seed([seed as u8; 32]);
    match dialect {
        Dialect::Dat => Keys::dat(pair.public(), Some(pair), true),
        Dialect::Hyper => Keys::core_writer(pair, true),
    }
}

fn exchange(seed: u64, dialect: Dialect) -> u64 {
    let mut swarm = Swarm::new(seed);
    let keys = writer(dialect, seed);
    let link = Link::new(dialect, Key(keys.public));
    swarm.add(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)]);
    let device = swarm.world.device(swarm.posts[0].machine);
    create(&device, &keys);
    let mut truth = Truth::new();
    append(&mut swarm.rng, &device, &mut truth);
    for _ in 0..swarm.rng.between(1, 4) {
        add_reader(&mut swarm, &link);
    }
    swarm.introduce();
    if swarm.rng.one_in(3) {
        swarm.add_hostile(&link);
    }
    let mut tool = None;
    for _ in 0..swarm.rng.between(0, 12) {
        let span = swarm.rng.below(3 * SECOND);
        swarm.run(span, |swarm| {
            Tool::go_on(&mut tool, swarm, &mut truth);
            false
        });
        swarm.accident();
        match swarm.world.runs(swarm.posts[0].machine) {
            true if swarm.rng.one_in(2) => Tool::start(&mut tool, &mut swarm),
            false if swarm.rng.one_in(3) => {
                if dialect == Dialect::Hyper && tool.is_none() && swarm.rng.one_in(3) {
                    truncate(&mut swarm.rng, &device, &mut truth);
                }
                append(&mut swarm.rng, &device, &mut truth);
            }
            _ => {}
        }
    }
    swarm.calm_down();
    let patience = swarm.world.now() + 300 * SECOND;
    let whole = |swarm: &mut Swarm| {
        Tool::go_on(&mut tool, swarm, &mut truth);
        if swarm.world.now() > patience {
            Tool::give_up(&mut tool, swarm);
        }
        let length = |swarm: &Swarm, post| Some(swarm.status(post)?.feeds.first()?.have);
        let all = length(swarm, 0);
        let least = truth.keys().last().map_or(0, |last| last + 1);
        tool.is_none()
            && all.is_some_and(|all| all >= least)
            && (0..swarm.posts.len()).all(|post| length(swarm, post) == all)
    };
    if !swarm.run(600 * SECOND, whole) {
        let states: Vec<String> =
            (0..swarm.posts.len()).map(|post| format!("{:?}", swarm.status(post))).collect();
        panic!("not everything of {} blocks arrived:\n{}", truth.len(), states.join("\n"));
    }
    swarm.check_idle();
    swarm.check_stop();
    let written = swarm.check_stores(0).pop_first().expect("the writer has a feed").1;
    for (number, block) in &truth {
        assert!(written.block(*number) == Ok(&block[..]), "block {number} is not what was written");
    }
    for post in 1..swarm.posts.len() {
        let stores = swarm.check_stores(post);
        let feed = stores.values().next().expect("there is a feed");
        assert_eq!(feed.held, written.held, "blocks on the disk of {post}");
        for number in &feed.held {
            assert!(feed.block(*number) == written.block(*number), "block {number} at {post}");
        }
    }
    swarm.world.trace()
}

/// A run that keeps these.
pub fn keep(links: Vec<Link>) -> Run {
    Run::Seed { links, dir: "/seed".into(), max_storage: None }
}

fn add_reader(swarm: &mut Swarm, link: &Link) {
    let link = link.clone();
    if swarm.rng.one_in(2) {
        let dir = format!("/seed/{}", link.key);
        swarm.add(keep(vec![link]), vec![(dir.clone(), "", true), (dir, "metadata.", true)]);
    } else {
        let blocks = Blocks::Follow;
        let run = Run::CoreFetch { link, dir: DIR.into(), blocks, show: None };
        swarm.add(run, vec![(DIR.into(), "", true)]);
    }
}

/// A process of its own that makes the feed.
pub fn create(device: &Device, keys: &Keys) {
    let mut disk = device.process();
    let dir = disk.open_root(Path::new(DIR), true).expect("the disk is empty");
    let store = patiently(|| FeedStore::create(&mut disk, dir, "", keys.clone(), Content::File));
    store.close(&mut disk, Instant(0)).expect("a good disk");
    device.sync();
}

/// A process of its own that appends.
pub fn append(rng: &mut Rng, device: &Device, truth: &mut Truth) {
    let mut disk = device.process();
    let faults = std::mem::take(&mut device.fs().faults);
    let capacity = std::mem::replace(&mut device.fs().capacity, 1 << 40);
    let dir = disk.open_root(Path::new(DIR), false).expect("it was made");
    let mut store = patiently(|| FeedStore::open(&mut disk, dir, "", None, None, Content::File));
    while store.recovering() {
        patiently(|| store.recover(&mut disk, None, 1 << 20));
    }
    let length = store.feed().length();
    assert!(truth.keys().all(|known| *known < length), "blocks of the writer are lost");
    for _ in 0..rng.between(1, 3) {
        let blocks = draw_blocks(rng);
        let parts: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        let length = store.feed().length();
        patiently(|| store.append(&mut disk, &parts));
        truth.extend((length..).zip(blocks));
    }
    store.close(&mut disk, Instant(0)).expect("a good disk");
    device.fs().faults = faults;
    device.fs().capacity = capacity;
}

/// A process of its own that takes blocks back; how many are left.
pub fn truncate(rng: &mut Rng, device: &Device, truth: &mut Truth) -> u64 {
    let mut disk = device.process();
    let faults = std::mem::take(&mut device.fs().faults);
    let capacity = std::mem::replace(&mut device.fs().capacity, 1 << 40);
    let dir = disk.open_root(Path::new(DIR), false).expect("it was made");
    let mut store = patiently(|| FeedStore::open(&mut disk, dir, "", None, None, Content::File));
    while store.recovering() {
        patiently(|| store.recover(&mut disk, None, 1 << 20));
    }
    let length = rng.below(store.feed().length() + 1);
    patiently(|| store.truncate(&mut disk, length));
    truth.retain(|block, _| *block < length);
    store.close(&mut disk, Instant(0)).expect("a good disk");
    device.fs().faults = faults;
    device.fs().capacity = capacity;
    length
}

fn draw_blocks(rng: &mut Rng) -> Vec<Vec<u8>> {
    let size = [0, 1, 10, 1000, 5000, 70_000][rng.below(6) as usize];
    let count = if size > 5000 { 1 } else { rng.between(1, 20) };
    let draw = |_| {
        let mut block = vec![0; rng.between(0, size) as usize];
        rng.fill(&mut block);
        block
    };
    (0..count).map(draw).collect()
}

/// `gannet core append` beside a running node: a program that talks to its control socket.
struct Tool {
    handle: Handle,
    /// The machine's processes before were all ended.
    epoch: u32,
    left: Vec<u8>,
    heard: Vec<u8>,
    blocks: Vec<Vec<u8>>,
}

impl Tool {
    fn start(tool: &mut Option<Tool>, swarm: &mut Swarm) {
        if tool.is_some() {
            return;
        }
        let blocks = draw_blocks(&mut swarm.rng);
        let request = Request::append(blocks.iter().cloned().map(Block).collect());
        let machine = swarm.posts[0].machine;
        let to = Endpoint::Unix(PathBuf::from(CONTROL));
        // Nobody listens, or not just now: the user tries another time.
        let Ok(handle) = swarm.world.net().connect(machine, &to) else { return };
        let epoch = swarm.world.net().machines[machine].epoch;
        *tool = Some(Tool { handle, epoch, left: encode(&request), heard: Vec::new(), blocks });
    }

    /// Where a socket takes a few bytes at a time, a large request is never said to its end.
    fn give_up(tool: &mut Option<Tool>, swarm: &mut Swarm) {
        if let Some(this) = tool.take_if(|this| !this.left.is_empty()) {
            let machine = swarm.posts[0].machine;
            swarm.world.net().close(machine, this.handle);
        }
    }

    fn go_on(tool: &mut Option<Tool>, swarm: &mut Swarm, truth: &mut Truth) {
        let Some(this) = tool else { return };
        let machine = swarm.posts[0].machine;
        match this.step(machine, swarm) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => *tool = None,
            Ok(length) => {
                if let Some(length) = length {
                    let first = length - this.blocks.len() as u64;
                    truth.extend((first..).zip(std::mem::take(&mut this.blocks)));
                }
                swarm.world.net().close(machine, this.handle);
                *tool = None;
            }
        }
    }

    /// The answer: the length that is durable, or that it is refused.
    fn step(&mut self, machine: usize, swarm: &mut Swarm) -> std::io::Result<Option<u64>> {
        let mut net = swarm.world.net();
        if net.machines[machine].epoch != self.epoch {
            return Err(ErrorKind::ConnectionReset.into());
        }
        while !self.left.is_empty() {
            let count = net.write(machine, self.handle, &self.left)?;
            self.left.drain(..count);
        }
        let mut buf = [0; 1000];
        loop {
            let count = net.read(machine, self.handle, &mut buf)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.heard.extend(&buf[..count]);
            if self.heard.ends_with(b"\n") {
                let answer: serde_json::Value = serde_json::from_slice(&self.heard)?;
                return Ok(answer["length"].as_u64());
            }
        }
    }
}

pub fn patiently<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> T {
    loop {
        match call() {
            Err(StoreError::NotYet) => {}
            done => return done.expect("a good disk"),
        }
    }
}
