//! Seeds under a bound: who writes appends, edits and takes back; the keeper gives up what is too much,
//! fetches nothing of it again however it is ended, and serves what it says it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gannet::crypto::sign::KeyPair;
use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};
use gannet::node::event::Event;
use gannet::node::status::FeedStatus;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::sys::Signal;
use gannet::time::Instant;

use crate::feeds::{self, DIR, Truth, patiently};
use crate::sleep;
use crate::swarm::Swarm;
use crate::world::SECOND;

const SHARED: &str = "/w";
/// What the seed keeps of its own.
const OWN: [u8; 32] = *b"the keeper writes this core too.";
/// Blocks at the front of a drive's metadata that are never dropped, and of other feeds.
const SPARED: (u64, u64) = (64, 1);
/// Bytes that may come over the bound before what is over goes.
const BETWEEN_LOOKS: u64 = 1 << 20;

/// What somebody writes.
struct Source {
    post: usize,
    link: Link,
    drive: bool,
    truth: Truth,
}

struct Bound {
    swarm: Swarm,
    sources: Vec<Source>,
    keeper: usize,
    max: u64,
    /// Blocks given up, by feed.
    gone: BTreeMap<Key, BTreeSet<u64>>,
    /// Blocks from here on may have been others.
    moved: BTreeMap<Key, u64>,
}

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let mut sources = Vec::new();
    if swarm.rng.one_in(2) {
        sources.push(share(&mut swarm));
    }
    for number in 0..swarm.rng.between(1, 3) {
        let dialect = if swarm.rng.one_in(2) { Dialect::Dat } else { Dialect::Hyper };
        let keys = feeds::writer(dialect, seed.wrapping_mul(4).wrapping_add(number));
        let post = swarm.add(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)]);
        swarm.posts[post].writer = true;
        let device = swarm.world.device(swarm.posts[post].machine);
        feeds::create(&device, &keys);
        let mut truth = Truth::new();
        for _ in 0..swarm.rng.between(1, 12) {
            feeds::append(&mut swarm.rng, &device, &mut truth);
        }
        let link = Link::new(dialect, Key(keys.public));
        sources.push(Source { post, link, drive: false, truth });
    }
    let mut links: Vec<Link> = sources.iter().map(|source| source.link.clone()).collect();
    let own = swarm.rng.one_in(3).then(|| Keys::core_writer(KeyPair::from_seed(OWN), true));
    links.extend(own.iter().map(|keys| Link::new(Dialect::Hyper, Key(keys.public))));
    let max = (1 << swarm.rng.between(11, 18)) + swarm.rng.below(1000);
    let stores = links.iter().flat_map(|link| {
        let dir = format!("/seed/{}", link.key);
        [(dir.clone(), "metadata.", true), (dir, "content.", true)]
    });
    let run = Run::Seed { links: links.clone(), dir: "/seed".into(), max_storage: Some(max) };
    let keeper = swarm.add(run, stores.collect());
    swarm.watch = Some(swarm.posts[keeper].machine);
    if let Some(keys) = &own {
        let mut disk = swarm.world.device(swarm.posts[keeper].machine).process();
        let dir = disk.open_root(Path::new("/seed"), true).expect("the disk is empty");
        let (name, content) = (Key(keys.public).to_string(), Content::File);
        disk.make_dir(dir, Path::new(&name)).expect("the disk is empty");
        let prefix = format!("{name}/metadata.");
        let mut store =
            patiently(|| FeedStore::create(&mut disk, dir, &prefix, keys.clone(), content));
        patiently(|| store.append(&mut disk, &[&[7; 3000], b"own", &[8; 9000]]));
        store.close(&mut disk, Instant(0)).expect("a good disk");
        swarm.world.device(swarm.posts[keeper].machine).sync();
    }
    for source in &sources {
        let known = Swarm::address(swarm.posts[source.post].machine);
        swarm.posts[keeper].peers.push(known);
    }
    let (gone, moved) = (BTreeMap::new(), BTreeMap::new());
    let mut bound = Bound { swarm, sources, keeper, max, gone, moved };
    for _ in 0..bound.swarm.rng.between(0, 14) {
        let span = bound.swarm.rng.below(4 * SECOND);
        bound.run(span);
        match bound.swarm.rng.below(4) {
            0 => bound.end_keeper(),
            1 => bound.write(),
            _ => bound.swarm.accident(),
        }
    }
    bound.swarm.calm_down();
    // Seeds that its disk would not let it open are left out until it is started again.
    let machine = bound.swarm.posts[bound.keeper].machine;
    bound.swarm.world.net().machines[machine].signals.push_back(Signal::Stop);
    bound.settle();
    bound.read_it_all();
    bound.swarm.check_idle();
    let (used, most) = (bound.used().expect("it runs"), bound.max);
    bound.swarm.check_stop();
    bound.check_disk(used, most);
    bound.swarm.world.trace()
}

/// The first run of a share, in fair weather: the others need its link.
fn share(swarm: &mut Swarm) -> Source {
    let dialect = if swarm.rng.one_in(2) { Dialect::Dat } else { Dialect::Hyper };
    let stores = format!("{SHARED}/.dat");
    let feeds = vec![(stores.clone(), "metadata.", true), (stores.clone(), "content.", false)];
    let post = swarm.add(Run::Share { dir: SHARED.into(), dat: dialect == Dialect::Dat }, feeds);
    let device = swarm.world.device(swarm.posts[post].machine);
    device.make_dirs(SHARED).expect("the disk is empty");
    for _ in 0..swarm.rng.between(1, 6) {
        edit(swarm, post);
    }
    swarm.run(SECOND, |_| false);
    let key = device.read(format!("{stores}/metadata.key")).expect("it has a key");
    device.sync();
    swarm.world.kill(swarm.posts[post].machine);
    swarm.posts[post].down_until = Some(0);
    let link = Link::new(dialect, Key(key.try_into().expect("32 bytes")));
    Source { post, link, drive: true, truth: Truth::new() }
}

fn edit(swarm: &mut Swarm, post: usize) {
    let size = [20, 5000, 70_000][swarm.rng.below(3) as usize];
    let mut text = vec![0; swarm.rng.between(1, size) as usize];
    swarm.rng.fill(&mut text);
    let path = format!("{SHARED}/{}", swarm.rng.below(12));
    let device = swarm.world.device(swarm.posts[post].machine);
    // The disk may be full.
    let _ = device.write(path, &text);
    device.sync();
}

impl Bound {
    fn run(&mut self, span: u64) {
        let end = self.swarm.world.now() + span;
        while self.swarm.world.now() < end {
            let left = end - self.swarm.world.now();
            self.swarm.run(left.min(SECOND / 10), |_| false);
            self.check();
        }
    }

    /// What the keeper said of its blocks since the last look.
    fn check(&mut self) {
        let keeper = &self.swarm.posts[self.keeper];
        let (tight, hurt) = (keeper.tight, keeper.hurt || keeper.unsynced);
        for event in std::mem::take(&mut self.swarm.deeds) {
            match event {
                Event::Cleared { key, start, length } => {
                    self.gone.entry(key).or_default().extend(start..start + length);
                }
                Event::Appended { key, from, .. } => {
                    // It had that length: what is behind it was never here, or in another history.
                    drop(self.gone.get_mut(&key).map(|gone| gone.split_off(&from)));
                }
                Event::BlockStored { key, index, .. } => {
                    let moved = self.moved.get(&key).is_some_and(|from| index >= *from);
                    let again = self.gone.get(&key).is_some_and(|gone| gone.contains(&index));
                    // Where there was no room for the list itself, a kill may lose it.
                    assert!(!again || moved || tight, "block {index} of {key} is fetched again");
                }
                _ => {}
            }
        }
        if let Some(used) = self.used()
            && !hurt
        {
            let most = self.max + BETWEEN_LOOKS;
            assert!(used <= most, "{used} bytes stored where {} may be", self.max);
        }
    }

    fn used(&self) -> Option<u64> {
        Some(self.swarm.status(self.keeper)?.quota?.used)
    }

    fn end_keeper(&mut self) {
        let machine = self.swarm.posts[self.keeper].machine;
        if !self.swarm.world.runs(machine) {
            return;
        }
        self.swarm.say("the keeper ends");
        if self.swarm.rng.one_in(3) {
            self.swarm.world.net().machines[machine].signals.push_back(Signal::Stop);
        } else {
            self.swarm.world.kill(machine);
            let now = self.swarm.world.now();
            self.swarm.posts[self.keeper].down_until = Some(now + self.swarm.rng.below(SECOND));
        }
    }

    /// Somebody has more to say, or takes something back.
    fn write(&mut self) {
        let number = self.swarm.rng.below(self.sources.len() as u64) as usize;
        let source = &mut self.sources[number];
        let (post, swarm) = (source.post, &mut self.swarm);
        if source.drive {
            return edit(swarm, post);
        }
        let device = swarm.world.device(swarm.posts[post].machine);
        if device.is_cut() {
            return;
        }
        swarm.world.kill(swarm.posts[post].machine);
        swarm.posts[post].down_until = Some(swarm.world.now());
        if source.link.dialect == Some(Dialect::Hyper) && swarm.rng.one_in(4) {
            let length = feeds::truncate(&mut swarm.rng, &device, &mut source.truth);
            let from = self.moved.entry(source.link.key).or_insert(length);
            *from = length.min(*from);
        }
        for _ in 0..swarm.rng.between(1, 6) {
            feeds::append(&mut swarm.rng, &device, &mut source.truth);
        }
    }

    /// What the keeper says of feeds, and those who write them.
    fn pairs(&self) -> Option<Vec<(FeedStatus, FeedStatus)>> {
        let kept = self.swarm.status(self.keeper)?.feeds;
        let mut pairs = Vec::new();
        for source in &self.sources {
            for theirs in self.swarm.status(source.post)?.feeds {
                let ours = kept.iter().find(|feed| feed.key == theirs.key)?.clone();
                pairs.push((ours, theirs));
            }
        }
        Some(pairs)
    }

    /// Runs until the keeper wants nothing more and knows all there is.
    fn settle(&mut self) {
        for _ in 0..600 {
            self.run(SECOND);
            let done = |(ours, theirs): &(FeedStatus, FeedStatus)| {
                // Who edits a file has its old blocks no more.
                let nowhere = theirs.length - theirs.have;
                ours.length == theirs.length && ours.in_flight == 0 && ours.wanted <= nowhere
            };
            let paused = self.swarm.status(self.keeper).is_none_or(|s| !s.disk.paused.is_empty());
            if !paused && self.pairs().is_some_and(|pairs| pairs.iter().all(done)) {
                return;
            }
        }
        panic!("it does not end: {:?}\n{:#?}", self.swarm.status(self.keeper), self.pairs());
    }

    /// Readers who know the keeper alone get every block that it says it has.
    fn read_it_all(&mut self) {
        let mut readers = Vec::new();
        for source in &self.sources {
            let link = source.link.clone();
            let blocks = Blocks::Follow;
            let run = Run::CoreFetch { link, dir: DIR.into(), blocks, show: None };
            let reader = self.swarm.add(run, vec![(DIR.into(), "", true)]);
            let known = Swarm::address(self.swarm.posts[self.keeper].machine);
            self.swarm.posts[reader].peers.push(known);
            readers.push((reader, source.link.key));
        }
        // Nor can they come to know others through it.
        let machine = |swarm: &Swarm, post: usize| swarm.posts[post].machine;
        for (reader, _) in &readers {
            for other in (0..self.swarm.posts.len()).filter(|post| *post != self.keeper) {
                let (a, b) = (machine(&self.swarm, *reader), machine(&self.swarm, other));
                if a != b {
                    self.swarm.world.net().part(a, b);
                }
            }
        }
        let of = |swarm: &Swarm, post: usize, key: Key| {
            let status = swarm.status(post)?;
            status.feeds.iter().find(|feed| feed.key == key).map(|feed| feed.have)
        };
        let keeper = self.keeper;
        let read = |swarm: &mut Swarm| {
            readers.iter().all(|(reader, key)| {
                let held = of(swarm, keeper, *key);
                held.is_some() && of(swarm, *reader, *key) == held
            })
        };
        if !self.swarm.run(300 * SECOND, read) {
            let said = readers.iter().map(|(reader, key)| {
                (of(&self.swarm, keeper, *key), of(&self.swarm, *reader, *key))
            });
            panic!("not all that is held is served: {:?}", said.collect::<Vec<_>>());
        }
        self.check();
    }

    /// The books are true, and what could be dropped is within the bound.
    fn check_disk(&mut self, used: u64, max: u64) {
        let device = self.swarm.world.device(self.swarm.posts[self.keeper].machine);
        let drives: BTreeSet<Key> =
            self.sources.iter().filter(|s| s.drive).map(|s| s.link.key).collect();
        let (mut all, mut droppable) = (0, 0);
        for (dir, prefix, _) in self.swarm.posts[self.keeper].feeds.clone() {
            let Ok(Some(feed)) = sleep::load(&device, &dir, prefix) else { continue };
            let own = device.exists(format!("{dir}/{prefix}secret_key"));
            let key = Key(feed.key);
            let spared = match prefix {
                "content." => 0,
                _ if drives.contains(&key) => SPARED.0,
                _ => SPARED.1,
            };
            for block in &feed.held {
                let bytes = feed.block(*block).expect("it is held").len() as u64;
                all += bytes;
                droppable += if own || *block < spared { 0 } else { bytes };
            }
            assert!(!own || feed.held.len() == 3, "blocks of our own are gone");
            let source = self.sources.iter().find(|source| source.link.key == key);
            for (number, block) in source.iter().flat_map(|source| &source.truth) {
                let right = !feed.held.contains(number) || feed.block(*number) == Ok(&block[..]);
                assert!(right, "block {number} of {key} is not what was written");
            }
        }
        assert_eq!(all, used, "bytes held, and what the books say");
        assert!(droppable <= max, "{droppable} bytes where {max} may be");
    }
}
