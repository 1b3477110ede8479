//! What the scenarios with whole nodes share: machines with a node on each, the accidents that
//! befall them, and what must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gannet::daemon::config::{Config, Listen, Rates, Run};
use gannet::daemon::open;
use gannet::failure::Failure;
use gannet::limits;
use gannet::link::{Dialect, Link};
use gannet::node::event::{Event, Interest};
use gannet::node::status::Status;
use gannet::node::{self, Node};
use gannet::reactor::{Engine, Wakeup};
use gannet::rng::Rng;
use gannet::swarm::balance::Bounds;
use gannet::sync;
use gannet::sys::{Endpoint, Signal, Sys};
use gannet::wire::host::BOOT_BYTES;

use crate::actor::Actor;
use crate::disk::Faults;
use crate::hostile::Hostile;
use crate::memory;
use crate::sleep;
use crate::stranger::Stranger;
use crate::sybil::Sybil;
use crate::world::net::MachineId;
use crate::world::weather::Weather;
use crate::world::{SECOND, Step, World, draw_tuning};

pub const PORT: u16 = 3282;
/// Heap that a machine may use, its disk and what is on its wires included.
const HEAP_PER_MACHINE: usize = 16 << 20;
/// Turns in a row that leave a deadline in the past: the loop spins.
const OVERDUE_TURNS: u32 = 1000;
/// Where a node listens for its own user.
pub const CONTROL: &str = "/run/gannet.sock";

/// A node's machine: what runs there whenever it runs.
pub struct Post {
    pub machine: MachineId,
    pub run: Run,
    /// Addresses that its user names.
    pub peers: Vec<String>,
    /// Its /etc/hosts.
    pub hosts: String,
    pub discovery: bool,
    /// Nobody can dial it.
    pub hidden: bool,
    /// Where it keeps what belongs to its user.
    pub data: Option<PathBuf>,
    /// Directory and prefix of its feeds, and whether the blocks are in a `data` file.
    pub feeds: Vec<(String, &'static str, bool)>,
    pub writer: bool,
    /// When it is started again.
    pub down_until: Option<u64>,
    /// Its run comes to an end by itself and is not started again.
    pub ends: bool,
    /// How it ended: when, with which exit code, and why it could not go on.
    pub ended: Option<(u64, i32, Option<Failure>)>,
    /// The next cut of its disk kills only the process.
    spare: bool,
    /// Its disk had errors that are no full disk: its user has to say that it is mended.
    pub hurt: bool,
    /// A sync may have failed: only a new start helps.
    pub unsynced: bool,
    /// Its disk was full once.
    pub tight: bool,
    /// Power cuts so far.
    pub cuts: u32,
    /// How often it was started.
    pub lives: u32,
}

pub struct Swarm {
    pub seed: u64,
    pub world: World<Actor>,
    pub rng: Rng,
    /// How many peers each has.
    pub bounds: Bounds,
    pub posts: Vec<Post>,
    calm: Weather,
    stormy: bool,
    /// Every signature that a reader ever held: (key, length) → signature.
    seen: BTreeMap<([u8; 32], u64, u64), [u8; 64]>,
    pub hostile: Option<MachineId>,
    /// Who hung up and what was warned of, if the scenario wants to know.
    pub log: Option<Vec<(MachineId, Event)>>,
    /// Whose blocks come and go is of interest, and what it said of them.
    pub watch: Option<MachineId>,
    pub deeds: Vec<Event>,
    /// How much the nodes ask for at once, instead of what the seed draws.
    pub sync: Option<sync::Tuning>,
    /// What the first sealed message of each stream is counted as.
    sealed_from: u32,
    verbose: bool,
    /// Heap in use before there was anything.
    heap: usize,
    /// Peers that left somebody.
    partings: u32,
    /// For each machine, the turns in a row after which its deadline had passed still.
    overdue: BTreeMap<MachineId, u32>,
}

impl Swarm {
    pub fn new(seed: u64) -> Swarm {
        let mut rng = Rng::from_seed(seed ^ 0x5a3f);
        let weather = Weather::draw(&mut rng);
        Swarm {
            seed,
            calm: weather.without_faults(),
            world: World::new(seed, weather),
            rng,
            bounds: Bounds::default(),
            posts: Vec::new(),
            stormy: true,
            seen: BTreeMap::new(),
            hostile: None,
            heap: memory::used(),
            partings: 0,
            overdue: BTreeMap::new(),
            log: None,
            watch: None,
            deeds: Vec::new(),
            sync: None,
            // In some worlds all streams change their keys soon.
            sealed_from: if seed % 3 == 1 { u32::MAX - (seed % 200) as u32 } else { 1 },
            verbose: std::env::var_os("GANNET_SIM_TRACE").is_some(),
        }
    }

    pub fn address(machine: MachineId) -> String {
        format!("10.0.0.{}:{PORT}", machine + 1)
    }

    /// A new machine for a node that does not run yet.
    pub fn add(&mut self, run: Run, feeds: Vec<(String, &'static str, bool)>) -> usize {
        let links: &[usize] = if self.rng.one_in(3) { &[0, 1] } else { &[0] };
        self.add_on(run, feeds, links)
    }

    pub fn add_on(
        &mut self,
        run: Run,
        feeds: Vec<(String, &'static str, bool)>,
        links: &[usize],
    ) -> usize {
        let machine = self.world.add_machine(links);
        self.world.net().machines[machine].drift_ppm = self.rng.below(400) as i64 - 200;
        let writer = self.posts.is_empty();
        let down_until = Some(0);
        self.posts.push(Post {
            machine,
            run,
            peers: Vec::new(),
            hosts: String::new(),
            discovery: false,
            hidden: false,
            data: None,
            feeds,
            writer,
            down_until,
            ends: false,
            ended: None,
            spare: false,
            hurt: false,
            unsynced: false,
            tight: false,
            cuts: 0,
            lives: 0,
        });
        self.posts.len() - 1
    }

    /// Everybody can find everybody: by name along a random tree, by multicast, or both.
    pub fn introduce(&mut self) {
        let multicast = self.rng.one_in(2);
        for post in 0..self.posts.len() {
            self.posts[post].discovery = multicast;
            if post > 0 && (!multicast || self.rng.one_in(2)) {
                let known = self.rng.below(post as u64) as usize;
                let known = Swarm::address(self.posts[known].machine);
                self.posts[post].peers.push(known);
            }
        }
    }

    /// Somebody with any number of keys who would be everybody's only company: so many connections to each.
    pub fn add_sybil(&mut self, key: [u8; 32], each: usize) -> MachineId {
        let machine = self.world.add_machine(&[0]);
        let address = |post: &Post| Swarm::address(post.machine).parse().expect("an address");
        let targets: Vec<Endpoint> =
            self.posts.iter().map(|post| Endpoint::Tcp(address(post))).collect();
        let (seed, tuning) = (self.rng.next_u64(), draw_tuning(&mut self.rng));
        let started: Result<(), ()> = self.world.start(machine, tuning, |sys| {
            let sybil = Sybil::new(seed, sys.now(), key, targets, each);
            Ok(Actor::Sybil(Box::new(sybil)))
        });
        assert!(started.is_ok());
        machine
    }

    /// Somebody who knows the key, or has only heard of it, and speaks the dialect of what it is for.
    pub fn add_hostile(&mut self, link: &Link) {
        let machine = self.world.add_machine(&[0]);
        let targets: Vec<Endpoint> = (0..self.posts.len())
            .map(|post| {
                let host = self.posts[post].machine as u8 + 1;
                Endpoint::Tcp(([10, 0, 0, host], PORT).into())
            })
            .collect();
        let seed = self.rng.next_u64();
        let tuning = draw_tuning(&mut self.rng);
        let (key, sealed_from) = (link.key.0, self.sealed_from);
        let started: Result<(), ()> = self.world.start(machine, tuning, |sys| {
            Ok(match link.dialect {
                None | Some(Dialect::Dat) => {
                    Actor::Hostile(Box::new(Hostile::new(seed, sys.now(), key, targets)))
                }
                Some(Dialect::Hyper) => Actor::Stranger(Box::new(Stranger::new(
                    seed,
                    sys.now(),
                    key,
                    targets,
                    sealed_from,
                ))),
            })
        });
        assert!(started.is_ok());
        // Somebody honest may be told of it.
        if self.rng.one_in(2) {
            let post = self.rng.below(self.posts.len() as u64) as usize;
            self.posts[post].peers.push(Swarm::address(machine));
        }
        self.hostile = Some(machine);
    }

    // ── Starting and ending ─────────────────────────────────────────────────────────────────────

    /// Starts a node; it may fail where the disk does.
    pub fn boot(&mut self, post: usize) -> Result<(), Failure> {
        self.posts[post].lives += 1;
        let tuning = draw_tuning(&mut self.rng);
        let mut sync = sync::Tuning::default();
        if !self.rng.one_in(3) {
            let most = 1usize << self.rng.between(1, 8);
            sync.requests = (self.rng.between(1, most as u64) as usize, most);
            sync.tiny_requests = most.max(1 << self.rng.between(1, 8));
            sync.bytes_in_flight = 1 << self.rng.between(8, 22);
        }
        let sync = self.sync.clone().unwrap_or(sync);
        let seed = self.rng.next_u64();
        let control = (!self.rng.one_in(4)).then(|| PathBuf::from(CONTROL));
        let Post { machine, run, peers, hosts, discovery, hidden, data, .. } = &self.posts[post];
        let (machine, sealed_from, bounds) = (*machine, self.sealed_from, self.bounds);
        let hosts = hosts.clone();
        let (listen, data) = ((!hidden).then(|| ([0, 0, 0, 0], PORT).into()), data.clone());
        let config = Config {
            run: run.clone(),
            peers: peers.clone(),
            listen: Listen::Usual,
            discovery: *discovery,
            connections: None,
            rates: Rates::default(),
            exec: None,
            secret_keys: Some(PathBuf::from("/home/keys")),
            data: None,
            signals: false,
            print: None,
        };
        let result = self.world.start(machine, tuning, |sys| {
            let (mut id, mut boot) = ([0; 32], [0; BOOT_BYTES]);
            sys.entropy(&mut id);
            sys.entropy(&mut boot);
            // Who it is stays through restarts.
            let host = [post as u8 + 1; 32];
            let node_config = node::Config {
                id,
                host,
                identity: host,
                boot,
                entropy: id,
                seed,
                bounds,
                listen: listen.into_iter().collect(),
                any_port: true,
                control,
                discovery: config.discovery,
                hosts,
                data,
                tuning: sync,
                pid: 1,
                ..node::Config::default()
            };
            let now = sys.now();
            let mut node = Box::new(Node::new(node_config, now));
            node.count_sealed_from(sealed_from);
            open::run(&mut node, sys, &config)?;
            let events = node.subscribers.add(Interest::EVERYTHING);
            Ok(Actor::Node { node, events })
        });
        if self.world.device(machine).is_cut() {
            self.fall(machine);
            return Ok(());
        }
        result?;
        let peers = self.posts[post].peers.clone();
        self.world.with(machine, |actor, now, _| {
            if let Actor::Node { node, .. } = actor {
                node.start(now);
                for peer in &peers {
                    node.add_peer_everywhere(now, peer).expect("it is an address");
                }
            }
        });
        self.posts[post].down_until = None;
        Ok(())
    }

    fn post_of(&self, machine: MachineId) -> Option<usize> {
        self.posts.iter().position(|post| post.machine == machine)
    }

    /// A disk was cut at a write: the power failed, or the process was killed.
    fn fall(&mut self, machine: MachineId) {
        let Some(post) = self.post_of(machine) else { return };
        if std::mem::take(&mut self.posts[post].spare) {
            self.world.kill(machine);
        } else {
            self.world.cut_power(machine);
            self.posts[post].cuts += 1;
            self.check_stores(post);
        }
        self.down(post);
    }

    /// A process ends, killed or in order, and its machine comes back after a while.
    pub fn leave(&mut self, post: usize, silent: bool, pause: u64) {
        let machine = self.posts[post].machine;
        if !self.world.runs(machine) {
            return;
        }
        if silent {
            self.world.kill(machine);
        } else {
            self.world.net().machines[machine].signals.push_back(Signal::Stop);
            self.world.run_until(2 * SECOND, |world| world.exit_code(machine).is_some());
            self.world.kill(machine);
        }
        self.posts[post].down_until = Some(self.world.now() + pause);
    }

    pub fn node(&self, post: usize) -> Option<&Node> {
        self.world.engine(self.posts[post].machine)?.node()
    }

    /// Peers that left somebody so far.
    pub fn partings(&self) -> u32 {
        self.partings
    }

    fn down(&mut self, post: usize) {
        let pause = if self.stormy { self.rng.below(5 * SECOND) } else { SECOND / 10 };
        self.posts[post].down_until = Some(self.world.now() + pause);
    }

    /// Starts what has been down for long enough.
    fn revive(&mut self) {
        for post in 0..self.posts.len() {
            let due = self.posts[post].down_until.is_some_and(|at| at <= self.world.now());
            if !due {
                continue;
            }
            self.world.restore_power(self.posts[post].machine);
            if let Err(failure) = self.boot(post) {
                assert!(self.stormy, "{post} does not start: {failure:?}");
                self.world.kill(self.posts[post].machine);
                self.down(post);
            }
        }
    }

    // ── Running ─────────────────────────────────────────────────────────────────────────────────

    /// Runs until `done` or for `us`; true if it is done.
    pub fn run(&mut self, us: u64, mut done: impl FnMut(&mut Swarm) -> bool) -> bool {
        let end = self.world.now() + us;
        let mut look = self.world.now();
        while self.world.now() < end {
            self.revive();
            let wake = self.posts.iter().filter_map(|post| post.down_until).min();
            let limit = wake.map_or(end, |at| at.min(end)).max(self.world.now() + 1);
            match self.world.step(limit) {
                Step::Cut(machine) => self.fall(machine),
                Step::Turn(machine) => self.after_turn(machine),
                _ => {}
            }
            if self.world.now() >= look {
                look = self.world.now() + SECOND / 10;
                if done(self) {
                    return true;
                }
            }
        }
        done(self)
    }

    fn after_turn(&mut self, machine: MachineId) {
        let now = self.world.net().clock(machine);
        let Some(reactor) = self.world.reactor(machine) else { return };
        let passed = reactor.engine_mut().next_deadline().is_some_and(|at| at <= now);
        let turns = self.overdue.entry(machine).or_default();
        *turns = if passed { *turns + 1 } else { 0 };
        assert!(*turns < OVERDUE_TURNS, "machine {machine} spins: its deadline stays in the past");
        let ended = self.world.exit_code(machine).is_some();
        let Some(reactor) = self.world.reactor(machine) else { return };
        if !ended && reactor.engine().node().is_some_and(Node::is_stopping) {
            // Whoever else does or does not do anything.
            let soon = match reactor.wakeup() {
                Wakeup::Now => true,
                Wakeup::At(at) => at <= now + limits::STOP_WITHIN,
                Wakeup::Never => false,
            };
            assert!(soon, "machine {machine} is to stop and sleeps");
        }
        let events = reactor.engine_mut().events();
        for event in events {
            self.partings += u32::from(matches!(event, Event::PeerLeft { .. }));
            if self.verbose {
                eprintln!("{:>12} m{machine} says {event:?}", self.world.now());
            }
            if self.watch == Some(machine)
                && matches!(
                    event,
                    Event::Cleared { .. } | Event::BlockStored { .. } | Event::Appended { .. }
                )
            {
                self.deeds.push(event);
                continue;
            }
            if matches!(event, Event::PeerLeft { .. } | Event::Warning { .. })
                && let Some(log) = &mut self.log
            {
                log.push((machine, event));
            }
        }
        self.check_memory();
        if let Some(code) = self.world.exit_code(machine) {
            self.exited(machine, code);
        }
    }

    /// A process has ended by itself, or because it was asked to.
    fn exited(&mut self, machine: MachineId, code: i32) {
        let failure = self.world.with(machine, |actor, now, disk| match actor {
            Actor::Node { node, .. } => {
                node.close_all(now, disk);
                node.take_failure()
            }
            Actor::Hostile(_) | Actor::Listener(_) | Actor::Stranger(_) | Actor::Sybil(_) => None,
        });
        self.world.kill(machine);
        let Some(post) = self.post_of(machine) else { return };
        if self.posts[post].ends {
            self.posts[post].ended = Some((self.world.now(), code, failure.flatten()));
        } else {
            self.down(post);
        }
    }

    /// All machines together, disks and wires included, stay small.
    fn check_memory(&self) {
        let used = memory::used().saturating_sub(self.heap);
        let most = HEAP_PER_MACHINE * self.world.machines();
        assert!(used <= most, "{used} bytes of heap for {} machines", self.world.machines());
    }

    /// Something happens to somebody.
    pub fn accident(&mut self) {
        let post = self.rng.below(self.posts.len() as u64) as usize;
        let other = self.rng.below(self.posts.len() as u64) as usize;
        let (machine, other) = (self.posts[post].machine, self.posts[other].machine);
        let device = self.world.device(machine);
        let runs = self.world.runs(machine);
        let draw = self.rng.below(15);
        self.say(&format!("accident {draw} at m{machine}"));
        match draw {
            0 if other != machine => self.world.net().part(machine, other),
            1 | 2 => self.world.net().heal_all(),
            3 => self.world.freeze(machine, self.rng.below(8 * SECOND)),
            4 if runs => {
                self.world.kill(machine);
                self.down(post);
            }
            5 if runs => {
                device.cut_after(self.rng.below(60));
            }
            6 if runs => {
                self.posts[post].spare = true;
                device.cut_after(self.rng.below(60));
            }
            7 => {
                let room = self.rng.below(200_000);
                self.posts[post].tight = true;
                device.set_capacity(device.used() + room);
            }
            8 => device.set_capacity(1 << 40),
            9 if runs => self.world.net().machines[machine].signals.push_back(Signal::Stop),
            10 => {
                let signal = [Signal::Reload, Signal::Status][self.rng.below(2) as usize];
                self.world.net().machines[machine].signals.push_back(signal);
            }
            11 => {
                self.world.net().machines[machine].wall_off_ms =
                    self.rng.below(2_000_000_000) as i64 - 1_000_000_000;
            }
            12 => {
                let up = self.rng.one_in(2);
                self.world.net().set_interface(machine, 1, up);
            }
            13 => self.set_faults(post),
            14 => device.fs().overflow_watches(),
            _ => {}
        }
    }

    fn set_faults(&mut self, post: usize) {
        let rng = &mut self.rng;
        let mut rare = || if rng.one_in(3) { rng.between(30, 3000) } else { 0 };
        let (read_error, write_error) = (rare(), rare());
        let (sync_error, no_space) = (rare(), rare());
        self.posts[post].hurt |= read_error + write_error > 0;
        self.posts[post].unsynced |= sync_error > 0;
        self.posts[post].tight |= no_space > 0;
        let gentle = Faults::gentle(rng);
        let faults = Faults { read_error, write_error, sync_error, no_space, ..gentle };
        self.world.device(self.posts[post].machine).set_faults(faults);
    }

    /// No more faults: from here on everything has to come to its end.
    pub fn calm_down(&mut self) {
        self.say("calm");
        self.stormy = false;
        self.world.net().weather = self.calm.clone();
        self.world.net().heal_all();
        for machine in 0..self.world.machines() {
            let device = self.world.device(machine);
            device.set_faults(Faults::default());
            device.set_capacity(1 << 40);
            device.fs().cut_in = None;
            for place in 1..3 {
                self.world.net().set_interface(machine, place, true);
            }
        }
        for post in 0..self.posts.len() {
            if std::mem::take(&mut self.posts[post].hurt) {
                let machine = self.posts[post].machine;
                self.world.net().machines[machine].signals.push_back(Signal::Reload);
            }
            let machine = self.posts[post].machine;
            if std::mem::take(&mut self.posts[post].unsynced) && self.world.runs(machine) {
                self.world.net().machines[machine].signals.push_back(Signal::Stop);
            }
            self.posts[post].spare = false;
            if let Some(at) = &mut self.posts[post].down_until {
                *at = (*at).min(self.world.now() + SECOND / 10);
            }
        }
        if let Some(reactor) = self.hostile.and_then(|machine| self.world.reactor(machine)) {
            reactor.with(|actor, _, _| match actor {
                Actor::Node { .. } => {}
                Actor::Hostile(hostile) => hostile.rest(),
                Actor::Listener(listener) => listener.rest(),
                Actor::Stranger(stranger) => stranger.rest(),
                Actor::Sybil(sybil) => sybil.rest(),
            });
        }
    }

    pub fn say(&mut self, what: &str) {
        if self.verbose {
            eprintln!("{:>12} == {what}", self.world.now());
        }
    }

    // ── Looking ─────────────────────────────────────────────────────────────────────────────────

    pub fn status(&self, post: usize) -> Option<Status> {
        let machine = self.posts[post].machine;
        let mut disk = self.world.device(machine).process();
        let now = self.world.net().clock(machine);
        Some(self.world.engine(machine)?.node()?.status(now, &mut disk))
    }

    /// Every bit on disk stands for what was signed, and nobody ever saw two signatures for one
    /// length.
    pub fn check_stores(&mut self, post: usize) -> BTreeMap<String, sleep::Feed> {
        let (machine, writer) = (self.posts[post].machine, self.posts[post].writer);
        let device = self.world.device(machine);
        let mut found = BTreeMap::new();
        for (dir, prefix, data) in self.posts[post].feeds.clone() {
            let feed = sleep::load(&device, &dir, prefix)
                .unwrap_or_else(|why| panic!("machine {machine}: {why}"));
            let Some(feed) = feed else { continue };
            let good = feed
                .verify(data)
                .unwrap_or_else(|why| panic!("machine {machine}, {dir}/{prefix}: {why}"));
            for length in good.iter().filter(|_| !writer) {
                let signature = feed.signatures[length];
                let which = (feed.key, feed.fork(), *length);
                let first = *self.seen.entry(which).or_insert(signature);
                assert!(first == signature, "length {length} of {dir}/{prefix} was signed twice");
            }
            found.insert(prefix.to_owned(), feed);
        }
        found
    }

    pub fn check_all_stores(&mut self) {
        for post in 0..self.posts.len() {
            self.check_stores(post);
        }
    }

    /// An idle minute costs next to nothing and parts nobody, and nobody was banned without reason.
    pub fn check_idle(&mut self) {
        // A keep-alive every four seconds for each connection, and a tick a second.
        let most = 60 * 12 * self.posts.len() as u64;
        let (mut turns, mut partings) = (u64::MAX, 0);
        for _ in 0..10 {
            // Somebody may still be fetching what this scenario does not wait for.
            let before = (self.world.turns, self.partings);
            self.run(60 * SECOND, |_| false);
            (turns, partings) = (self.world.turns - before.0, self.partings - before.1);
            if turns <= most && partings == 0 {
                break;
            }
        }
        assert!(turns <= most, "{turns} turns in an idle minute");
        assert!(partings == 0 || self.hostile.is_some(), "{partings} partings in an idle minute");
        if self.hostile.is_none() {
            for post in 0..self.posts.len() {
                let banned = self.status(post).map_or(0, |status| status.banned);
                assert_eq!(banned, 0, "an honest peer was banned by {post}");
            }
        }
    }

    /// Everybody stops in order when asked, within two seconds.
    pub fn check_stop(&mut self) {
        let all: BTreeSet<MachineId> = self.posts.iter().map(|post| post.machine).collect();
        for machine in &all {
            self.world.net().machines[*machine].signals.push_back(Signal::Stop);
        }
        let stopped = self.world.run_until(2 * SECOND, |world| {
            all.iter().all(|machine| world.exit_code(*machine).is_some())
        });
        assert!(stopped, "somebody does not stop");
        for machine in &all {
            self.world.with(*machine, |actor, now, disk| {
                if let Actor::Node { node, .. } = actor {
                    node.close_all(now, disk);
                }
            });
            self.world.kill(*machine);
        }
        self.check_all_stores();
    }
}
