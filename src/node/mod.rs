//! The node owns one of each behaviour — feeds, synchronizer, swarm, discovery, jobs — and is the
//! only place that sees them all. It reads no clock and opens no socket: inputs, bytes and a disk
//! are lent to it, outputs are taken from it (see [`io`]).
//!
//! After anything happened, [`Node::settle`] carries what one behaviour says to the others until
//! nobody has anything left to say.

pub mod control;
pub mod event;
pub mod io;
pub mod status;

mod activity;
mod balance;
mod clients;
mod cores;
mod declined;
mod doubts;
mod drives;
mod exec;
mod feeds;
mod finding;
mod frames;
mod hosts;
mod jobs;
mod kept;
mod late;
mod listening;
mod lonely;
mod meeting;
mod orders;
mod paused;
mod peer;
mod peers;
mod pings;
mod proofs;
mod quota;
mod report;
mod roster;
mod seen;
mod session;
mod streams;
mod swarms;
mod tick;
mod topic;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::conn::Reason;
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::discovery::multicast::Multicast;
use crate::discovery::resolve::Resolver;
use crate::failure::Failure;
use crate::few::{Few, Numbered};
use crate::host::HostId;
use crate::ids::{ConnId, FeedId};
use crate::limits;
use crate::reactor::Engine;
use crate::rng::Rng;
use crate::store::disk::{Dir, Disk};
use crate::swarm::balance::Bounds;
use crate::swarm::hello::Standing;
use crate::swarm::seen::Seen;
use crate::swarm::standing::Standings;
use crate::swarm::twins::Twins;
use crate::sync::{self, Sync};
use crate::sys::{Endpoint, Signal};
use crate::time::{Instant, Wall};
use crate::wire::host::Boot;

use balance::Company;
use clients::Client;
use doubts::Doubts;
use drives::ContentOpening;
use event::{Event, Observer, Subscribers};
use exec::Exec;
use feeds::Feeds;
use finding::{NameSocket, Named};
use hosts::Lan;
use io::{Consumed, Input, Output, Tag, Work};
use listening::Listeners;
use paused::Callers;
use pings::Pings;
use quota::Quota;
use roster::Roster;
use swarms::Swarms;
use topic::Topic;

pub use cores::{Blocks, CoreOptions, Show};
pub use hosts::HostStatus;
pub use jobs::CloneOptions;
pub use pings::{PingId, PingOutcome, Pinged};
pub use topic::TopicId;

/// What a node is told once. By default it listens nowhere and looks for nobody; `id` and `seed` have to
/// be drawn.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Names this process to Dat peers; fresh random bytes at each start.
    pub id: [u8; 32],
    /// The seed of our static key in Hypercore streams (`host::stream_pair`).
    pub host: [u8; 32],
    /// The seed of the host's own key, which signs what we say of ourselves.
    pub identity: [u8; 32],
    /// Names this life of the process to other gannets; fresh random bytes at each start.
    pub boot: Boot,
    /// Fresh random bytes at each start, which every secret of a connection is made of.
    pub entropy: [u8; 32],
    /// Seeds every decision; from the system's entropy in a daemon.
    pub seed: u64,
    /// How many peers there are to be.
    pub bounds: Bounds,
    /// Where to listen for peers. With `any_port`, a port that is taken is replaced by any.
    pub listen: Vec<SocketAddr>,
    pub any_port: bool,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// Look for peers on the local network.
    pub discovery: bool,
    /// Names of interfaces on which no hosts are looked for, or how they begin before a `*`.
    pub lan_exclude: Vec<String>,
    /// Where what belongs to the user is kept, the table of hosts among it.
    pub data: Option<PathBuf>,
    /// Run on events (`/bin/sh -c`).
    pub exec: Option<String>,
    /// Text of /etc/hosts and /etc/resolv.conf.
    pub hosts: String,
    pub resolv_conf: String,
    pub tuning: sync::Tuning,
    /// The embedder takes orders (`Node::take_order`), and what SIGHUP asks for (`Node::take_reload`).
    pub orders: bool,
    /// Connections to peers above which one more is refused; `limits::CONNECTIONS` if nothing is said.
    pub connections: Option<usize>,
    pub pid: u32,
}

/// What a tag of ours stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Listener {
        at: SocketAddr,
    },
    Control,
    Dial {
        /// Several only where one stream serves them.
        topics: Vec<TopicId>,
        addr: SocketAddr,
    },
    Ping(PingId),
    Multicast,
    /// A socket for hosts on the local network.
    Lan,
    Resolver,
    /// A directory of a shared folder.
    Watch {
        topic: TopicId,
        path: PathBuf,
    },
    Program,
}

/// How far an orderly stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// Peers were told; the last commit is due at the next work.
    Committing {
        code: i32,
        until: Instant,
    },
    Done,
}

pub struct Node {
    config: Config,
    /// Our static key in streams.
    host: KeyPair,
    /// The host's own key.
    identity: KeyPair,
    /// Secrets made so far.
    secrets: u64,
    company: Company,
    /// The connections to each process that speaks with gannets, by its static key.
    processes: BTreeMap<PublicKey, Box<Twins>>,
    /// Those of them of whom something may be due, for the tick.
    meetings: BTreeSet<PublicKey>,
    /// Hellos said so far.
    hellos: u64,
    /// Last words on connections that are closed here, the oldest first.
    farewells: VecDeque<(ConnId, Vec<u8>)>,
    /// What connections that lost were about, and those that go on for them.
    heirs: Vec<(ConnId, TopicId)>,
    /// Accepted connections, oldest first, that have not greeted us; with some that have since.
    greeting: VecDeque<ConnId>,
    /// Dials under way.
    dialing: usize,
    rng: Rng,
    out: VecDeque<Output>,
    tags: BTreeMap<Tag, Purpose>,
    next_tag: Tag,
    started: Instant,
    /// Calendar time as the embedder last told it, for file times only.
    wall: Wall,
    peers: Roster,
    /// The time of some has come who were not looked at for want of time.
    peers_left: bool,
    clients: Few<ConnId, Box<Client>>,
    topics: Numbered<TopicId, Topic>,
    feeds: Feeds,
    sync: Sync,
    swarms: Swarms,
    /// What the operator says of hosts, and who is banned everywhere.
    standings: Standings,
    /// Where bans are kept.
    bans_dir: Option<Dir>,
    /// For the embedder.
    orders: VecDeque<(ConnId, control::Request)>,
    reload_wanted: bool,
    /// Peers that the user named by host names.
    names: Vec<Named>,
    name_ids: u32,
    multicast: Option<Multicast>,
    multicast_tag: Option<Tag>,
    /// Hosts on the local network.
    lan: Option<Box<Lan>>,
    /// The same while nobody is looked for: what it has counted goes on.
    lan_asleep: Option<Box<Lan>>,
    interfaces: Vec<crate::sys::Interface>,
    /// Peers that may be gone.
    doubts: Doubts,
    resolver: Resolver,
    /// Asking others whether they are there, and being asked.
    pings: Pings,
    listening: Vec<SocketAddr>,
    listeners: Listeners,
    listeners_pending: usize,
    /// `start` was called.
    started_up: bool,
    /// Whether the control socket stands; `None` until the system said.
    control_open: Option<bool>,
    name_sockets: [NameSocket; 2],
    failure: Option<Failure>,
    next_topic: u32,
    /// Topics that were added while there were peers: they are opened on the streams that stand.
    late: VecDeque<TopicId>,
    /// Topics that were removed and are not closed yet.
    leaving: Vec<TopicId>,
    /// Drives whose block 0 is to be read.
    index_due: VecDeque<TopicId>,
    openings: VecDeque<ContentOpening>,
    /// Complete, and to be said so once durable.
    completed: Vec<(TopicId, FeedId, u64)>,
    /// The embedder wants a turn at this time.
    alarm: Option<Instant>,
    /// There is a next tick.
    ticking: bool,
    /// It comes every second; otherwise when a connection needs a look.
    brisk: bool,
    /// Topics with a folder, those whose run is to end, and those whose blocks are shown; few even
    /// where thousands of drives are kept.
    folders: Vec<TopicId>,
    ending: Vec<TopicId>,
    showing: Vec<TopicId>,
    peers_kept: Instant,
    /// Keeping them has come to this topic.
    keep_next: Option<TopicId>,
    /// A run that is to end with everything fetched gives up then, if it has met nobody, or
    /// nobody since the last peer left.
    lonely_until: Option<Instant>,
    /// Some peer was there in this run.
    met: bool,
    /// Who came for what is paused.
    callers: Callers,
    /// Directories that are watched, by the watcher's numbers.
    watches: BTreeMap<u32, Box<(TopicId, PathBuf)>>,
    pub subscribers: Subscribers,
    exec: Exec,
    next_tick: Instant,
    last_tick: Instant,
    /// Something waits for `work`.
    work_due: bool,
    /// Topics for which the addresses of an earlier run were not read yet.
    unrestored: Vec<TopicId>,
    stopping: Stopping,
    /// What the first sealed message of a stream is counted as.
    sealed_from: u32,
    /// Ends by reason, inbound and outbound.
    ends: Few<(Reason, bool), u64>,
    declined: declined::Declined,
    /// Where others see us.
    seen: Seen,
    shutdowns: Vec<hosts::Shutdown>,
    status_wanted: bool,
    /// What the embedder cannot open.
    unopened: Vec<status::Unopened>,
    /// A bound for what is kept.
    quota: Option<Box<Quota>>,
    /// Warnings from before the start, when nobody listened.
    unsaid: Vec<String>,
    /// Of these feeds something else is wanted than before.
    rewanted: BTreeSet<FeedId>,
}

impl Node {
    pub fn new(config: Config, now: Instant) -> Node {
        let mut rng = Rng::from_seed(config.seed);
        let mut fork = || Rng::from_seed(rng.next_u64());
        let (sync_rng, cast_rng, name_rng) = (fork(), fork(), fork());
        let identity = KeyPair::from_seed(config.identity);
        let lan = config.discovery.then(|| Box::new(Lan::new(fork(), &config, &identity)));
        Node {
            sync: Sync::new(sync_rng, config.tuning.clone()),
            multicast: config.discovery.then(|| Multicast::new(cast_rng)),
            resolver: Resolver::new(name_rng, &config.hosts, &config.resolv_conf),
            exec: Exec::new(config.exec.clone()),
            rng,
            host: KeyPair::from_seed(config.host),
            identity,
            secrets: 0,
            company: Company::new(config.bounds),
            processes: BTreeMap::new(),
            meetings: BTreeSet::new(),
            hellos: 0,
            farewells: VecDeque::new(),
            heirs: Vec::new(),
            greeting: VecDeque::new(),
            dialing: 0,
            config,
            out: VecDeque::new(),
            tags: BTreeMap::new(),
            next_tag: 0,
            started: now,
            wall: Wall::default(),
            peers: Roster::default(),
            peers_left: false,
            clients: Few::new(),
            topics: Numbered::new(),
            feeds: Feeds::default(),
            swarms: Swarms::default(),
            standings: Standings::default(),
            bans_dir: None,
            orders: VecDeque::new(),
            reload_wanted: false,
            names: Vec::new(),
            name_ids: 0,
            multicast_tag: None,
            lan,
            lan_asleep: None,
            interfaces: Vec::new(),
            doubts: Doubts::default(),
            pings: Pings::default(),
            listening: Vec::new(),
            listeners: Listeners::default(),
            listeners_pending: 0,
            started_up: false,
            control_open: None,
            name_sockets: Default::default(),
            failure: None,
            next_topic: 0,
            late: VecDeque::new(),
            leaving: Vec::new(),
            index_due: VecDeque::new(),
            openings: VecDeque::new(),
            completed: Vec::new(),
            alarm: None,
            ticking: false,
            brisk: false,
            folders: Vec::new(),
            ending: Vec::new(),
            showing: Vec::new(),
            keep_next: None,
            peers_kept: now,
            lonely_until: None,
            met: false,
            callers: Callers::default(),
            watches: BTreeMap::new(),
            subscribers: Subscribers::default(),
            next_tick: now + limits::TICK,
            last_tick: now,
            work_due: true,
            unrestored: Vec::new(),
            stopping: Stopping::No,
            sealed_from: 1,
            ends: Few::new(),
            declined: declined::Declined::default(),
            seen: Seen::default(),
            shutdowns: Vec::new(),
            status_wanted: false,
            unopened: Vec::new(),
            quota: None,
            unsaid: Vec::new(),
            rewanted: BTreeSet::new(),
        }
    }

    /// Who this host is.
    pub fn host_id(&self) -> HostId {
        HostId(self.identity.public())
    }

    /// What a hello of this host is judged by.
    pub fn standing(&self, host: &HostId, now: Instant) -> Standing {
        self.standings.standing(host, now)
    }

    /// What the user is to hear once the node has started.
    pub fn warn_at_start(&mut self, text: String) {
        self.unsaid.push(text);
    }

    /// Opens listeners and discovery. Called once, before or after topics were added.
    pub fn start(&mut self, now: Instant) {
        if let Some(path) = self.config.control.clone() {
            let tag = self.tag(Purpose::Control);
            self.out.push_back(Output::Listen { tag, at: Endpoint::Unix(path) });
        }
        for at in self.config.listen.clone() {
            self.listen_at(at);
        }
        self.start_discovery();
        self.started_up = true;
        self.say_ready(now);
        for text in std::mem::take(&mut self.unsaid) {
            self.publish(&Event::Warning { text });
        }
        let ends = !self.ending.is_empty();
        self.lonely_until = ends.then(|| now + limits::NO_PEERS_AFTER);
    }

    /// Whether SIGUSR1 or the embedder asked for a status since the last call.
    pub fn take_status_request(&mut self) -> bool {
        std::mem::take(&mut self.status_wanted)
    }

    /// Calendar time, told by the embedder before it lets the node work.
    pub fn set_wall(&mut self, wall: Wall) {
        self.wall = wall;
    }

    /// The embedder wants a turn at `at`, once.
    pub fn wake_at(&mut self, at: Instant) {
        self.alarm = Some(self.alarm.map_or(at, |old| old.min(at)));
    }

    /// Why the run could not go on, once.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    fn tag(&mut self, purpose: Purpose) -> Tag {
        self.next_tag += 1;
        self.tags.insert(self.next_tag, purpose);
        self.next_tag
    }

    fn publish(&mut self, event: &Event) {
        self.subscribers.publish(event);
        self.exec.event(event);
    }

    /// Begins an orderly stop: peers are told, what is written is made durable, the loop ends with
    /// `code` (CHECKLIST D10).
    pub fn stop(&mut self, now: Instant, code: i32) {
        if self.stopping != Stopping::No {
            return;
        }
        self.stopping = Stopping::Committing { code, until: now + limits::STOP_WITHIN };
        self.work_due = true;
        let all: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in all {
            self.close(now, conn, Reason::Shutdown);
        }
        self.lan_leave();
    }

    /// Counts the sealed messages of new streams from here, as all peers have to: for tests of what
    /// happens when the counter ends (`wire::hyper::Session::count_from`).
    pub fn count_sealed_from(&mut self, first: u32) {
        self.sealed_from = first;
    }

    /// Whether an orderly stop has begun and is not done.
    pub fn is_stopping(&self) -> bool {
        matches!(self.stopping, Stopping::Committing { .. })
    }

    fn signal(&mut self, now: Instant, signal: Signal) {
        match signal {
            Signal::Stop => {
                let stays = self.ending.is_empty();
                let code = if stays { 0 } else { crate::failure::Kind::Interrupted.code() };
                self.stop(now, code);
            }
            Signal::Status => self.status_wanted = true,
            Signal::Reload => {
                self.reload_wanted = self.config.orders;
                self.rescan(now);
            }
            Signal::Child => {}
        }
    }

    /// Carries what each behaviour says to the others until all are silent.
    fn settle(&mut self, now: Instant, disk: &mut dyn Disk) {
        loop {
            let moved = self.settle_sync(now)
                | self.settle_meetings(now, disk)
                | self.settle_finding(now, disk);
            if !moved {
                break;
            }
        }
        self.pace(now);
        if let Some(program) = self.exec.next_program() {
            let tag = self.tag(Purpose::Program);
            self.out.push_back(Output::Spawn { tag, program });
        }
    }
}

impl Engine for Node {
    fn handle(&mut self, now: Instant, input: Input<'_>, disk: &mut dyn Disk) {
        match input {
            Input::Listening { tag, at } => self.listening(now, tag, at),
            Input::Accepted { conn, listener, from } => self.accepted(now, conn, listener, from),
            Input::Dialed { tag, conn } => self.dialed(now, tag, conn),
            Input::Closed { conn, why } => self.closed(now, conn, why),
            Input::Sent { conn, bytes } => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.life.sent(now, bytes);
                    if let Some(doubt) = &mut peer.doubt {
                        doubt.sent(now);
                    }
                }
            }
            Input::Bound { tag, at } => self.bound(now, tag, at),
            Input::Datagram { tag, from, bytes } => self.datagram(now, tag, from, bytes),
            Input::Interfaces(list) => {
                let before = std::mem::take(&mut self.interfaces);
                self.interfaces_changed(now, list);
                self.doubt_interfaces(now, &before);
            }
            Input::Rerouted => {
                log::debug!("the way to the rest of the world has changed");
                self.doubt_all(now);
            }
            Input::Unacknowledged { conn, bytes } => self.unacknowledged(now, conn, bytes),
            Input::Watching { tag, watch } => self.watching(tag, watch),
            Input::Watch(event) => self.watch_event(now, event),
            Input::Signal(signal) => self.signal(now, signal),
            Input::Exited { tag, code } => self.program_ended(tag, code),
            Input::Deadline => {
                self.notice_sleep(now);
                if self.ticking && now >= self.next_tick {
                    self.tick(now, disk);
                }
                if self.peers_left {
                    self.look_at_peers(now, disk);
                }
                self.doubts_due(now);
                self.finding_deadline(now);
                self.lan_deadline(now, disk);
                self.pings_due(now);
                self.company_deadline(now);
                self.give_up_alone(now);
                self.alarm = self.alarm.filter(|at| *at > now);
                let due = [self.commit_deadline(), self.jobs_next()].into_iter().flatten().min();
                self.work_due |= due.is_some_and(|at| at <= now);
                if self.sync.next_deadline().is_some_and(|at| at <= now) {
                    self.sync.handle(now, sync::Input::Tick, &self.feeds);
                }
            }
        }
        self.settle(now, disk);
    }

    fn bytes(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &mut [u8],
        disk: &mut dyn Disk,
    ) -> Consumed {
        if self.clients.contains_key(&conn) {
            return self.client_bytes(now, conn, buf, disk);
        }
        if let Some(consumed) = self.pong_bytes(now, conn, buf) {
            return consumed;
        }
        let Some(mut peer) = self.peers.remove(&conn) else {
            return Consumed { bytes: buf.len(), ..Consumed::default() };
        };
        let (consumed, end) = self.read_frames(now, conn, &mut peer, buf, disk);
        self.peers.insert(conn, peer);
        if let Some(why) = end {
            self.close(now, conn, why);
        }
        self.settle(now, disk);
        consumed
    }

    fn poll_frames(
        &mut self,
        now: Instant,
        conn: ConnId,
        out: &mut Vec<u8>,
        room: usize,
        disk: &mut dyn Disk,
    ) {
        if let Some(client) = self.clients.get_mut(&conn) {
            out.append(&mut client.answer);
            return;
        }
        if self.say_ping(conn, out) {
            return;
        }
        let Some(mut peer) = self.peers.remove(&conn) else {
            return self.last_words(conn, out);
        };
        let before = out.len();
        let end = self.write_frames(now, conn, &mut peer, out, room, disk);
        peer.life.queued(now, out.len() - before);
        self.peers.insert(conn, peer);
        if let Some(why) = end {
            self.close(now, conn, why);
        }
        self.settle(now, disk);
    }

    fn work(&mut self, now: Instant, budget: usize, disk: &mut dyn Disk) -> Work {
        let work = self.background(now, budget, disk);
        self.settle(now, disk);
        match work {
            // What was done led to the end: nobody else may ever call.
            Work::Idle if self.is_stopping() => Work::More,
            work => work,
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let tick = self.ticking.then_some(self.next_tick);
        let company = self.company_next();
        let tick = if self.peers_left { Some(self.last_tick) } else { tick };
        let others =
            [self.lonely_until, self.finding_next(), self.drives_next(), self.pings.next()];
        let due = [tick, company, self.sync.next_deadline(), self.doubts_next()];
        let next = due.into_iter().chain(others).flatten().min();
        self.doubts.promised = next;
        next
    }
}
