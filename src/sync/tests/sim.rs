//! Many synchronizers and the messages between them, on virtual time: delays, slow lines, lost
//! connections, peers that lie, answer wrongly or not at all. After every step the invariants are
//! swept, and every message goes through a `Watcher`. A failing seed is named by the panic.

use std::collections::VecDeque;

use super::rules::Watcher;
use super::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Honest,
    /// Announces everything and never answers.
    Silent,
    /// A third of its blocks do not verify.
    Corrupt,
}

struct Host {
    kind: Kind,
    sync: Sync,
    shelf: Shelf,
    /// Blocks that are being verified and written.
    writing: VecDeque<Arrived>,
    tick: Instant,
    complete: u32,
}

struct Arrived {
    ready: Instant,
    from: PeerId,
    feed: FeedId,
    index: u64,
    length: u64,
    good: bool,
}

/// A connection between two hosts; direction d carries what end d sends.
struct Link {
    ends: [usize; 2],
    generation: u32,
    up: bool,
    /// When it comes back; never if a host does not want it back.
    again: Option<Instant>,
    wire: [VecDeque<(Instant, FeedId, Body)>; 2],
    /// When the last upload has left.
    free: [Instant; 2],
    watchers: [BTreeMap<FeedId, Watcher>; 2],
    delay: Duration,
    bytes_per_second: u64,
}

enum Body {
    Message(OwnedMessage),
    Data {
        index: u64,
        length: u64,
        good: bool,
    },
    /// What proves a feed of this length, or (0) that there is no such proof.
    Growth {
        length: u64,
        good: bool,
    },
}

struct World {
    now: Instant,
    rng: Rng,
    hosts: Vec<Host>,
    links: Vec<Link>,
    /// A connection is lost once in so many steps; 0: never.
    cut_one_in: u64,
    cuts: u32,
    stored: u64,
    /// Feeds are cores, and peers tell each other of all that they hold and how long it is.
    told: bool,
}

const STEP: Duration = Duration::from_millis(5);

impl World {
    fn new(seed: u64) -> World {
        let rng = Rng::from_seed(seed);
        World {
            now: Instant(1_000_000),
            rng,
            hosts: Vec::new(),
            links: Vec::new(),
            cut_one_in: 0,
            cuts: 0,
            stored: 0,
            told: seed % 2 == 1,
        }
    }

    fn host(&mut self, kind: Kind, feeds: Vec<(Feed, Wanted)>) -> usize {
        let sync = Sync::new(Rng::from_seed(self.rng.next_u64()), Tuning::default());
        let tick = self.now + Duration::from_micros(self.rng.below(1_000_000));
        let mut host = Host {
            kind,
            sync,
            shelf: Shelf::default(),
            writing: VecDeque::new(),
            tick,
            complete: 0,
        };
        for ((feed, wanted), n) in feeds.into_iter().zip(1..) {
            let feed = if self.told { as_core(&feed) } else { feed };
            host.shelf.0.insert(FeedId(n), feed);
            let added = Input::FeedAdded { feed: FeedId(n), wanted, upload: true, follow: true };
            host.sync.handle(self.now, added, &host.shelf);
        }
        self.hosts.push(host);
        self.hosts.len() - 1
    }

    fn link(&mut self, a: usize, b: usize) {
        let delay = Duration::from_micros(200 + self.rng.below(40_000));
        self.links.push(Link {
            ends: [a, b],
            generation: 0,
            up: false,
            again: Some(self.now),
            wire: Default::default(),
            free: [self.now; 2],
            watchers: Default::default(),
            delay,
            bytes_per_second: 1 << (20 + self.rng.below(5)),
        });
    }

    fn peer_of(&self, link: usize) -> PeerId {
        ConnId { slot: link as u32, generation: self.links[link].generation }
    }

    fn put(&mut self, host: usize, input: Input<'_>) {
        let at = &mut self.hosts[host];
        at.sync.handle(self.now, input, &at.shelf);
        self.drain(host);
    }

    fn drain(&mut self, host: usize) {
        let mut lost = Vec::new();
        while let Some(output) = self.hosts[host].sync.poll_output() {
            match output {
                Output::Send { peer, feed, message } => self.transmit(host, peer, feed, message),
                Output::Drop { peer, .. } => lost.push((peer, true)),
                Output::Ban { peer, .. } => lost.push((peer, false)),
                Output::Complete { .. } => self.hosts[host].complete += 1,
                Output::Finished { peer } => panic!("{peer:?} is live"),
                Output::NeedPeers { .. } => {}
            }
        }
        for (peer, comes_back) in lost {
            let link = peer.slot as usize;
            if self.links[link].generation == peer.generation {
                self.cut(link, comes_back);
            }
        }
    }

    fn transmit(&mut self, host: usize, peer: PeerId, feed: FeedId, message: OwnedMessage) {
        let link = &mut self.links[peer.slot as usize];
        if !link.up || link.generation != peer.generation {
            return;
        }
        let end = usize::from(link.ends[1] == host);
        let own = &self.hosts[host].shelf.0[&feed];
        let watcher = link.watchers[end].entry(feed).or_default();
        watcher.told = self.told;
        watcher.sends(&message, own);
        // Behind the uploads that are on their way already, as on a stream of bytes.
        let at = (self.now + link.delay).max(link.wire[end].back().map_or(self.now, |w| w.0));
        link.wire[end].push_back((at, feed, Body::Message(message)));
    }

    fn cut(&mut self, link: usize, comes_back: bool) {
        let peer = self.peer_of(link);
        let at = &mut self.links[link];
        if !comes_back {
            at.again = None;
        }
        if !at.up {
            return;
        }
        at.up = false;
        at.again = comes_back.then(|| self.now + Duration::from_millis(self.rng.below(1500)));
        at.wire = Default::default();
        at.watchers = Default::default();
        self.cuts += 1;
        for host in at.ends {
            let abandoned: Vec<(FeedId, u64)> = if self.rng.one_in(2) {
                let writing = self.hosts[host].writing.iter();
                writing.filter(|w| w.from == peer).map(|w| (w.feed, w.index)).collect()
            } else {
                Vec::new()
            };
            self.hosts[host].writing.retain(|w| !abandoned.contains(&(w.feed, w.index)));
            for (feed, index) in abandoned {
                self.put(host, Input::Lost { feed, index });
            }
            self.put(host, Input::Gone { peer });
        }
    }

    fn raise(&mut self, link: usize) {
        let at = &mut self.links[link];
        at.up = true;
        at.again = None;
        at.generation += 1;
        at.free = [self.now; 2];
        let (peer, ends) = (self.peer_of(link), self.links[link].ends);
        for host in ends {
            let feeds: Vec<FeedId> = self.hosts[host].shelf.0.keys().copied().collect();
            for feed in feeds {
                self.put(
                    host,
                    Input::Joined { peer, feed, live: true, ack: false, told: self.told },
                );
            }
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        for host in 0..self.hosts.len() {
            self.time(host);
            self.write(host);
        }
        let mut order: Vec<(usize, usize)> =
            (0..self.links.len()).flat_map(|link| [(link, 0), (link, 1)]).collect();
        self.rng.shuffle(&mut order);
        for (link, end) in order {
            if self.links[link].again.is_some_and(|at| at <= self.now) {
                self.raise(link);
            }
            self.upload(link, end);
            self.deliver(link, end);
            if self.cut_one_in > 0 && self.links[link].up && self.rng.one_in(self.cut_one_in) {
                self.cut(link, true);
            }
        }
        for (n, host) in self.hosts.iter().enumerate() {
            assert_eq!(host.sync.check_invariants(&host.shelf), Ok(()), "host {n}");
        }
    }

    /// Deadlines and the tick.
    fn time(&mut self, host: usize) {
        for round in 0.. {
            assert!(round < 1000, "host {host} spins");
            let at = &mut self.hosts[host];
            let ticks = at.tick <= self.now;
            if !ticks && at.sync.next_deadline().is_none_or(|due| due > self.now) {
                return;
            }
            at.tick += if ticks { limits::TICK } else { Duration::ZERO };
            self.put(host, Input::Tick);
        }
    }

    fn write(&mut self, host: usize) {
        while let Some(next) = self.hosts[host].writing.front()
            && next.ready <= self.now
        {
            let Some(done) = self.hosts[host].writing.pop_front() else { return };
            let (feed, index) = (done.feed, done.index);
            if !done.good {
                self.put(host, Input::Rejected { feed, peer: done.from, index });
                continue;
            }
            let own = self.hosts[host].shelf.0.get_mut(&feed).unwrap();
            assert!(!own.has(index), "block {index} is written twice");
            let from = own.length();
            own.set_have(index, 1, true);
            if own.as_core().is_none() {
                own.set_length(from.max(done.length));
            }
            let to = own.length();
            self.stored += 1;
            self.put(host, Input::Stored { feed, index });
            if from < to {
                self.put(host, Input::Grew { feed, from, to });
            }
        }
    }

    /// Answers requests as long as the line is free.
    fn upload(&mut self, link: usize, end: usize) {
        let (peer, host) = (self.peer_of(link), self.links[link].ends[end]);
        while self.links[link].up && self.links[link].free[end] <= self.now {
            let at = &mut self.hosts[host];
            let Some(upload) = at.sync.next_upload(self.now, peer) else { return };
            let (feed, index) = (upload.feed, upload.request.index);
            let own = &at.shelf.0[&feed];
            let (here, length) = (own.has(index), own.length());
            match at.kind {
                Kind::Silent => continue,
                _ if !here => {
                    self.put(host, Input::Unavailable { peer, feed, request: block(index) });
                    continue;
                }
                Kind::Honest | Kind::Corrupt => {}
            }
            let good = at.kind == Kind::Honest || !self.rng.one_in(3);
            let at = &mut self.links[link];
            let time = Duration::from_micros(BLOCK * 1_000_000 / at.bytes_per_second);
            at.free[end] = at.free[end].max(self.now - STEP) + time;
            let arrives = at.free[end] + at.delay;
            let arrives = arrives.max(at.wire[end].back().map_or(self.now, |w| w.0));
            at.wire[end].push_back((arrives, feed, Body::Data { index, length, good }));
            self.put(host, Input::Uploaded { peer, feed, index, bytes: BLOCK });
        }
    }

    fn deliver(&mut self, link: usize, end: usize) {
        let (peer, host) = (self.peer_of(link), self.links[link].ends[1 - end]);
        while self.links[link].generation == peer.generation
            && self.links[link].wire[end].front().is_some_and(|w| w.0 <= self.now)
            && !self.hosts[host].sync.uploads_full(peer)
        {
            let Some((_, feed, body)) = self.links[link].wire[end].pop_front() else { return };
            match body {
                Body::Message(message) => {
                    let watcher = self.links[link].watchers[1 - end].entry(feed).or_default();
                    watcher.receives(&message);
                    if let OwnedMessage::Grow { start, length, .. } = message {
                        self.prove(link, 1 - end, feed, start, start + length);
                    }
                    let Some(message) = message.borrow() else { continue };
                    self.put(host, Input::Message { peer, feed, message: &message });
                }
                Body::Growth { length, good } => self.grown(host, peer, feed, length, good),
                Body::Data { index, length, good } => {
                    let at = &mut self.hosts[host];
                    let arrival = at.sync.data(self.now, peer, feed, index, BLOCK);
                    self.drain(host);
                    assert_ne!(arrival, Arrival::Unasked, "block {index} was answered twice");
                    if matches!(arrival, Arrival::Expected | Arrival::Late) {
                        let ready = self.now + Duration::from_micros(self.rng.below(20_000));
                        let arrived = Arrived { ready, from: peer, feed, index, length, good };
                        self.hosts[host].writing.push_back(arrived);
                    }
                }
            }
        }
    }

    /// The host at this end of a link is asked to prove its feed longer.
    fn prove(&mut self, link: usize, end: usize, feed: FeedId, from: u64, to: u64) {
        let host = &self.hosts[self.links[link].ends[end]];
        let own = &host.shelf.0[&feed];
        let can = own.can_upgrade_from(from) && to <= own.length();
        let (length, kind) = (if can { own.length() } else { 0 }, host.kind);
        let good = kind == Kind::Honest || !self.rng.one_in(3);
        if kind != Kind::Silent {
            let at = &mut self.links[link];
            let arrives = self.now + at.delay;
            let arrives = arrives.max(at.wire[end].back().map_or(self.now, |w| w.0));
            at.wire[end].push_back((arrives, feed, Body::Growth { length, good }));
        }
    }

    fn grown(&mut self, host: usize, peer: PeerId, feed: FeedId, length: u64, good: bool) {
        let at = &mut self.hosts[host];
        if !at.sync.grown(self.now, peer, feed) {
            return;
        }
        let own = at.shelf.0.get_mut(&feed).unwrap();
        let from = own.length();
        if !good || length <= from {
            let bad = !good;
            return self.put(host, Input::GrowthFailed { peer, feed, bad });
        }
        own.set_length(length);
        own.set_nodes(0, 2 * length, true);
        self.put(host, Input::Grew { feed, from, to: length });
    }

    fn run(&mut self, seconds: u64, done: impl Fn(&World) -> bool) -> bool {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            if done(self) {
                return true;
            }
            self.step();
        }
        done(self)
    }

    /// For a failing seed.
    fn state(&self) -> String {
        let mut text = String::new();
        for (n, host) in self.hosts.iter().enumerate() {
            text += &format!("\n{n}: {:?}", host.sync.feed_status(F, &host.shelf));
            for link in (0..self.links.len()).filter(|l| self.links[*l].ends.contains(&n)) {
                let (up, ends) = (self.links[link].up, self.links[link].ends);
                let peer = host.sync.peer_status(self.now, self.peer_of(link));
                text += &format!("\n   {ends:?} {up} {peer:?}");
            }
        }
        text
    }

    /// Whether these hosts hold every block of their first feed below `length`.
    fn full(&self, hosts: std::ops::Range<usize>, length: u64) -> bool {
        hosts.into_iter().all(|host| self.hosts[host].shelf.0[&F].have().prefix() >= length)
    }
}

fn as_core(feed: &Feed) -> Feed {
    let mut core = Feed::core(*feed.key(), None);
    core.set_length(feed.length());
    core.set_nodes(0, 2 * feed.length(), true);
    for (start, length) in feed.have().ranges(0, u64::MAX) {
        core.set_have(start, length, true);
    }
    core
}

fn all(length: u64) -> Vec<(Feed, Wanted)> {
    vec![(feed(length, &[(0, length)]), Wanted::Nothing)]
}

fn none() -> Vec<(Feed, Wanted)> {
    vec![(feed(0, &[]), Wanted::All)]
}

#[test]
fn r03_a_mesh_with_random_disconnects_completes() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        let length = 1 + world.rng.below(250);
        let hosts = 2 + world.rng.below(4) as usize;
        world.host(Kind::Honest, all(length));
        (1..hosts).for_each(|_| {
            world.host(Kind::Honest, none());
        });
        for a in 0..hosts {
            for b in a + 1..hosts {
                world.link(a, b);
            }
        }
        world.cut_one_in = 200 + world.rng.below(3000);
        let done = world.run(60, |w| w.full(0..hosts, length));
        world.cut_one_in = 0;
        assert!(done || world.run(60, |w| w.full(0..hosts, length)), "seed {seed}");
        assert!(world.run(30, |w| w.hosts[1..].iter().all(|h| h.complete > 0)), "seed {seed}");
        assert_eq!(world.stored, length * (hosts as u64 - 1), "seed {seed}");
    }
}

#[test]
fn r03_a_thousand_disconnects_and_a_complete_transfer() {
    for told in [false, true] {
        a_thousand_disconnects(told);
    }
}

fn a_thousand_disconnects(told: bool) {
    let mut world = World::new(77);
    world.told = told;
    let length = 60_000;
    world.host(Kind::Honest, all(length));
    world.host(Kind::Honest, none());
    world.link(0, 1);
    world.link(0, 1);
    world.cut_one_in = 60;
    assert!(world.run(4000, |w| w.cuts >= 1000 || w.full(0..2, length)));
    assert!(world.cuts >= 1000, "complete after only {} disconnects", world.cuts);
    world.cut_one_in = 0;
    assert!(world.run(2000, |w| w.full(0..2, length)));
}

#[test]
fn r06_liars_and_the_mute_neither_stop_it_nor_stay() {
    for seed in 0..60 {
        let mut world = World::new(1000 + seed);
        let length = 50 + world.rng.below(200);
        world.host(Kind::Honest, all(length));
        world.host(Kind::Honest, none());
        world.host(Kind::Honest, none());
        world.host(Kind::Corrupt, all(length));
        world.host(Kind::Silent, all(length));
        // The last one claims more than there is.
        world.host(Kind::Silent, all(length + 40));
        for host in 1..3 {
            [0, 3, 4, 5].into_iter().for_each(|from| world.link(from, host));
        }
        world.link(1, 2);
        let done = world.run(240, |w| w.full(1..3, length));
        assert!(done, "seed {seed}: {}", world.state());
        assert!(world.hosts[1].shelf.0[&F].length() == length);
        assert!(world.run(120, |w| w.hosts[1..3].iter().all(|h| h.complete > 0)), "seed {seed}");
    }
}

#[test]
fn r09_several_clones_give_to_each_other() {
    for told in [false, true] {
        several_clones(told);
    }
}

fn several_clones(told: bool) {
    let mut world = World::new(5);
    world.told = told;
    let length = 2000;
    let source = world.host(Kind::Honest, all(length));
    (0..5).for_each(|_| {
        world.host(Kind::Honest, none());
    });
    for a in 0..6 {
        (a + 1..6).for_each(|b| world.link(a, b));
    }
    world.links.iter_mut().for_each(|link| link.bytes_per_second = 1 << 20);
    assert!(world.run(300, |w| w.full(0..6, length)));
    let given: u64 = (0..5)
        .filter_map(|link| {
            let peer = world.peer_of(link);
            world.hosts[source].sync.peer_status(world.now, peer)
        })
        .map(|status| status.up_bytes / BLOCK)
        .sum();
    assert!(given < 3 * length, "the source gave {given} of {} blocks", 5 * length);
}

#[test]
fn d01_a_relay_of_two_fifths_serves_those_on() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let mut rng = Rng::from_seed(seed);
        let held: Vec<(u64, u64)> = (0..500).filter(|_| rng.below(5) < 2).map(|b| (b, 1)).collect();
        let count = held.len() as u64;
        world.host(Kind::Honest, vec![(feed(500, &held), Wanted::Nothing)]);
        world.host(Kind::Honest, none());
        world.link(0, 1);
        assert!(world.run(60, |w| w.stored == count), "seed {seed}");
        assert!(!world.run(30, |w| w.stored > count));
        assert_eq!(world.hosts[1].complete, 0);
        world.host(Kind::Honest, all(500));
        world.link(1, 2);
        assert!(world.run(60, |w| w.full(1..2, 500)), "seed {seed}");
        assert_eq!(world.stored, 500);
    }
}

#[test]
fn d02_halves_are_swapped_over_two_feeds() {
    for seed in 0..40 {
        let mut world = World::new(300 + seed);
        for host in 0..2 {
            let feeds = (0..2).map(|n| {
                let half = [((host + n) % 2 * 150, 150)];
                (feed(300, &half), Wanted::All)
            });
            world.host(Kind::Honest, feeds.collect());
        }
        world.link(0, 1);
        world.cut_one_in = 500;
        let full = |w: &World| {
            w.hosts.iter().all(|h| h.shelf.0.values().all(|f| f.have().prefix() == 300))
        };
        assert!(world.run(100, full), "seed {seed}");
        assert_eq!(world.stored, 600);
    }
}

#[test]
fn d02_appends_are_followed_within_a_second_through_a_relay() {
    for seed in 0..30 {
        let mut world = World::new(500 + seed);
        world.host(Kind::Honest, all(10));
        world.host(Kind::Honest, none());
        world.host(Kind::Honest, none());
        world.link(0, 1);
        world.link(1, 2);
        assert!(world.run(20, |w| w.full(0..3, 10)), "seed {seed}");
        for length in 11..40 {
            let feed = world.hosts[0].shelf.0.get_mut(&F).unwrap();
            feed.set_have(length - 1, 1, true);
            feed.set_length(length);
            feed.set_nodes(0, 2 * length, true);
            world.put(0, Input::Grew { feed: F, from: length - 1, to: length });
            assert!(world.run(1, |w| w.full(0..3, length)), "seed {seed} block {length}");
        }
    }
}

#[test]
fn b03_blocks_cleared_under_way_come_from_elsewhere() {
    for seed in 0..60 {
        let mut world = World::new(700 + seed);
        (0..2).for_each(|_| {
            world.host(Kind::Honest, all(300));
        });
        world.host(Kind::Honest, none());
        world.link(0, 2);
        world.link(1, 2);
        for n in 0..60 {
            world.run(0, |_| false);
            (0..4).for_each(|_| world.step());
            // Of each block one copy is left.
            let (start, length) = (n * 5, 1 + world.rng.below(5));
            let host = world.rng.below(2) as usize;
            world.hosts[host].shelf.0.get_mut(&F).unwrap().set_have(start, length, false);
            world.put(host, Input::Cleared { feed: F, start, length });
        }
        assert!(world.run(60, |w| w.full(2..3, 300)), "seed {seed}");
    }
}

#[test]
fn d03_chosen_ranges_of_a_feed_of_millions_of_blocks() {
    const LENGTH: u64 = (5 << 20) + 77;
    for seed in 0..10 {
        let mut world = World::new(900 + seed);
        world.host(Kind::Honest, all(LENGTH));
        let ranges: RangeSetOf = [(0, 3), ((1 << 20) - 5, 10), (3 << 20, 20), (LENGTH - 7, 7)];
        let wanted = Wanted::Ranges(ranges.into_iter().collect());
        world.host(Kind::Honest, vec![(feed(0, &[]), wanted)]);
        world.link(0, 1);
        world.cut_one_in = 300;
        let done = world.run(60, |w| w.hosts[1].shelf.0[&F].have().count() == 40);
        assert!(done && world.stored == 40, "seed {seed}");
        assert!(world.run(20, |w| w.hosts[1].complete > 0));
    }
}

type RangeSetOf = [(u64, u64); 4];

#[test]
fn r10_one_stuck_source_does_not_hold_up_the_end() {
    for seed in 0..20 {
        let mut world = World::new(1300 + seed);
        world.host(Kind::Honest, all(100));
        world.host(Kind::Silent, all(100));
        world.host(Kind::Honest, none());
        world.link(0, 2);
        world.link(1, 2);
        assert!(world.run(4, |w| w.full(2..3, 100)), "seed {seed}: hedged before the time-out");
    }
}

#[test]
fn b06_the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.host(Kind::Honest, all(300));
        (0..3).for_each(|_| {
            world.host(Kind::Honest, none());
        });
        (0..4).for_each(|a| (a + 1..4).for_each(|b| world.link(a, b)));
        world.cut_one_in = 400;
        world.run(60, |w| w.full(0..4, 300));
        (world.now, world.cuts, world.rng.next_u64())
    };
    assert_eq!((run(1), run(2)), (run(1), run(2)));
    assert_ne!(run(1), run(2));
}
