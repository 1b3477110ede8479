//! Nodes that talk to each other without a loop between them: what they do in one call, and in which order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gannet::crypto::sign::KeyPair;
use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::event::{Event, Interest, SubscriberId};
use gannet::node::io::{Input, Output, Tag};
use gannet::node::{Blocks, Config, CoreOptions, Node, TopicId};
use gannet::reactor::Engine;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys, Opening, StoreError};
use gannet::sys::Endpoint;
use gannet::time::Instant;

use crate::disk::{Device, SimDisk};

const BUDGET: usize = 1 << 20;
/// What a socket takes at once.
const ROOM: usize = 64 * 1024;

/// One of the nodes, with a disk of its own.
pub struct Side {
    pub node: Node,
    pub device: Device,
    disk: SimDisk,
    listener: Tag,
    /// The other end of each connection, and what came from there and was not read.
    links: BTreeMap<ConnId, (ConnId, Vec<u8>)>,
    events: SubscriberId,
    /// Events that were not taken.
    left: Vec<Event>,
    /// The most syncs in one call.
    pub most_syncs: u64,
    conns: u32,
    /// Bytes of connections that the other side has not got.
    lost: BTreeMap<ConnId, usize>,
}

/// Two of them; the first is at `10.0.0.1:3282`, the second at `10.0.0.2:3282`.
pub struct Pair {
    pub sides: [Side; 2],
    pub now: Instant,
    /// Who dialled, and where.
    pub dials: Vec<(usize, SocketAddr)>,
    /// Questions to the name server.
    pub questions: usize,
    /// Bytes that each side has said.
    pub said: [usize; 2],
    /// Nothing gets through between them.
    pub cut: bool,
    /// Dials are not answered but put here.
    pub held: Option<Vec<(usize, Tag)>>,
    /// When each side asked whether what it had said on a connection had arrived.
    pub asked: [Vec<Instant>; 2],
    /// Somebody has something to say since that was looked at.
    woken: bool,
}

pub fn address(side: usize) -> SocketAddr {
    ([10, 0, 0, 1 + side as u8], 3282).into()
}

/// The keys of a core, of its writer.
pub fn writer(number: u8) -> Keys {
    Keys::core_compat(KeyPair::from_seed([number; 32]), true)
}

impl Side {
    fn new(number: usize, now: Instant) -> Side {
        let device = Device::new(number as u64);
        let host = 1 + number as u8;
        let listen = vec![address(number)];
        let (id, seed) = ([host; 32], u64::from(host));
        let resolv_conf = "nameserver 10.0.0.53\n".to_owned();
        let config = Config {
            id,
            host: id,
            entropy: id,
            seed,
            listen,
            resolv_conf,
            lan_exclude: vec!["veth*".into()],
            ..Config::default()
        };
        let mut node = Node::new(config, now);
        let events = node.subscribers.add(Interest::EVERYTHING).expect("room");
        let (disk, links) = (device.process(), BTreeMap::new());
        let lost = BTreeMap::new();
        let left = Vec::new();
        Side { node, device, disk, listener: 0, links, events, left, most_syncs: 0, conns: 0, lost }
    }

    /// Keeps a core, with a block if it is ours.
    pub fn keep(&mut self, now: Instant, keys: Keys) -> TopicId {
        self.keep_many(now, keys, 1)
    }

    /// Keeps a core, with so many blocks of its own if it is ours.
    pub fn keep_many(&mut self, now: Instant, keys: Keys, blocks: usize) -> TopicId {
        let name = format!("/{}", hex::encode(&keys.public[..8]));
        let dir = self.disk.open_root(Path::new(&name), true).expect("a folder");
        let (key, secret) = (Some(keys.public), keys.secret.clone());
        let mut opening = Opening::new(dir, "", key, secret, Content::File);
        let mut store = match opening.step(&mut self.disk) {
            Ok(store) => store,
            Err(StoreError::Missing) => {
                FeedStore::create(&mut self.disk, dir, "", keys, Content::File)
                    .expect("a good disk")
            }
            Err(error) => panic!("{error}"),
        };
        assert!(!store.recovering(), "it was not closed in order");
        if store.is_writable() && store.feed().length() == 0 {
            let all: Vec<[u8; 100]> = (0..blocks).map(|n| [n as u8; 100]).collect();
            let all: Vec<&[u8]> = all.iter().map(|block| &block[..]).collect();
            store.append(&mut self.disk, &all).expect("a good disk");
            store.commit(&mut self.disk, now).expect("a good disk");
        }
        let options = CoreOptions { blocks: Blocks::Follow, show: None };
        self.node.add_core(now, dir, name, store, options)
    }

    fn conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId { slot: self.conns, generation: 1 }
    }

    /// A call of the engine, and what its disk had to sync in it.
    pub fn call<T>(&mut self, what: impl FnOnce(&mut Node, &mut SimDisk) -> T) -> T {
        let before = self.device.syncs();
        let done = what(&mut self.node, &mut self.disk);
        self.most_syncs = self.most_syncs.max(self.device.syncs() - before);
        done
    }

    pub fn events(&mut self) -> Vec<Event> {
        let left = std::mem::take(&mut self.left);
        let new = std::iter::from_fn(|| self.node.subscribers.next_event(self.events));
        left.into_iter().chain(new).collect()
    }

    /// The same without warnings, which are left for later.
    pub fn events_but_warnings(&mut self) -> Vec<Event> {
        let all = self.events().into_iter();
        let (warnings, others) = all.partition(|event| matches!(event, Event::Warning { .. }));
        self.left = warnings;
        others
    }
}

impl Pair {
    pub fn new() -> Pair {
        let now = Instant(10_000_000);
        let sides = [0, 1].map(|side| Side::new(side, now));
        let (dials, asked) = (Vec::new(), Default::default());
        let mut pair = Pair {
            sides,
            now,
            dials,
            questions: 0,
            said: [0; 2],
            cut: false,
            held: None,
            asked,
            woken: false,
        };
        for side in 0..2 {
            pair.sides[side].node.start(now);
            pair.outputs(side);
        }
        pair
    }

    pub fn put(&mut self, side: usize, input: Input<'_>) {
        let now = self.now;
        self.sides[side].call(|node, disk| node.handle(now, input, disk));
        self.outputs(side);
    }

    pub fn outputs(&mut self, side: usize) {
        while let Some(output) = self.sides[side].node.poll_output() {
            match output {
                Output::Listen { tag, at } => {
                    self.sides[side].listener = tag;
                    self.put(side, Input::Listening { tag, at: Ok(at) });
                }
                Output::Dial { tag, to: Endpoint::Tcp(to) } => {
                    self.dials.push((side, to));
                    self.dial(side, tag, to);
                }
                Output::Close { conn, flush } => {
                    if let Some((there, _)) = self.sides[side].links.remove(&conn)
                        && !self.cut
                    {
                        if flush {
                            self.last_words(side, conn, there);
                        }
                        self.sides[1 - side].links.remove(&there);
                        self.put(1 - side, Input::Closed { conn: there, why: Ok(()) });
                    }
                }
                Output::Wake { .. } => self.woken = true,
                Output::AskUnacknowledged { conn } => {
                    self.asked[side].push(self.now);
                    let bytes = Ok(self.sides[side].lost.get(&conn).copied().unwrap_or(0));
                    self.put(side, Input::Unacknowledged { conn, bytes });
                }
                Output::Bind { tag, bind } => self.put(side, Input::Bound { tag, at: Ok(bind.at) }),
                Output::Datagram { tag, to, bytes, .. } => {
                    self.questions += 1;
                    let bytes = &named(&bytes);
                    self.put(side, Input::Datagram { tag, from: to, bytes });
                }
                _ => {}
            }
        }
    }

    /// What is left to be said on a connection that is closed reaches the other side.
    fn last_words(&mut self, side: usize, conn: ConnId, there: ConnId) {
        let (now, mut said) = (self.now, Vec::new());
        self.sides[side].call(|node, disk| node.poll_frames(now, conn, &mut said, ROOM, disk));
        let other = &mut self.sides[1 - side];
        let Some((_, inbox)) = other.links.get_mut(&there) else { return };
        let mut bytes = std::mem::take(inbox);
        bytes.extend(said);
        while !bytes.is_empty() {
            let done = other.call(|node, disk| node.bytes(now, there, &mut bytes, disk));
            if done.bytes == 0 {
                break;
            }
            bytes.drain(..done.bytes);
        }
        self.outputs(1 - side);
    }

    fn dial(&mut self, side: usize, tag: Tag, to: SocketAddr) {
        let other = 1 - side;
        if let Some(held) = &mut self.held {
            return held.push((side, tag));
        }
        if self.cut {
            let conn = Err(std::io::ErrorKind::TimedOut.into());
            return self.put(side, Input::Dialed { tag, conn });
        }
        if to != address(other) {
            // Nobody answers.
            return;
        }
        let (here, there) = (self.sides[side].conn(), self.sides[other].conn());
        self.sides[side].links.insert(here, (there, Vec::new()));
        self.sides[other].links.insert(there, (here, Vec::new()));
        let from = Endpoint::Tcp(([10, 0, 0, 1 + side as u8], 40_000).into());
        let listener = self.sides[other].listener;
        self.put(other, Input::Accepted { conn: there, listener, from });
        self.put(side, Input::Dialed { tag, conn: Ok(here) });
    }

    /// What one side has to say reaches the other. True: something moved.
    pub fn carry(&mut self, side: usize) -> bool {
        let (now, mut moved) = (self.now, false);
        let conns: Vec<ConnId> = self.sides[side].links.keys().copied().collect();
        for conn in conns {
            let mut said = Vec::new();
            self.sides[side].call(|node, disk| node.poll_frames(now, conn, &mut said, ROOM, disk));
            self.outputs(side);
            let Some(there) = self.sides[side].links.get(&conn).map(|(there, _)| *there) else {
                continue;
            };
            let bytes = said.len();
            self.said[side] += bytes;
            self.put(side, Input::Sent { conn, bytes });
            if self.cut {
                *self.sides[side].lost.entry(conn).or_default() += bytes;
                continue;
            }
            let other = &mut self.sides[1 - side];
            let Some((_, inbox)) = other.links.get_mut(&there) else { continue };
            inbox.extend(said);
            let mut bytes = std::mem::take(inbox);
            let done = other.call(|node, disk| node.bytes(now, there, &mut bytes, disk));
            moved |= done.bytes > 0;
            if let Some((_, inbox)) = other.links.get_mut(&there) {
                inbox.extend_from_slice(&bytes[done.bytes..]);
            }
            self.outputs(1 - side);
        }
        moved
    }

    /// Until nobody has anything to say or to do.
    pub fn talk(&mut self) {
        let now = self.now;
        for _ in 0..100_000 {
            self.woken = false;
            let mut moved = self.carry(0) | self.carry(1);
            for side in 0..2 {
                let work = self.sides[side].call(|node, disk| node.work(now, BUDGET, disk));
                moved |= work == gannet::node::io::Work::More;
                self.outputs(side);
            }
            if !moved && !self.woken {
                return;
            }
        }
        panic!("they never come to an end");
    }

    /// Time passes as the loop lets it.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..100_000 {
            self.talk();
            let next = self.sides.iter_mut().filter_map(|side| side.node.next_deadline()).min();
            match next.filter(|at| *at <= end) {
                None => {
                    self.now = end;
                    return;
                }
                Some(at) => self.now = self.now.max(at),
            }
            for side in 0..2 {
                self.put(side, Input::Deadline);
            }
        }
        panic!("a node spins");
    }
}

/// What the name server answers: everything is at the first side's address.
fn named(question: &[u8]) -> Vec<u8> {
    use simple_dns::rdata::{A, RData};
    use simple_dns::{CLASS, Packet, QTYPE, ResourceRecord, TYPE};
    let question = Packet::parse(question).expect("a question");
    let mut answer = Packet::new_reply(question.id());
    for asked in question.questions {
        if asked.qtype == QTYPE::TYPE(TYPE::A) {
            let address = u32::from_be_bytes([10, 0, 0, 1]);
            let data = RData::A(A { address });
            answer.answers.push(ResourceRecord::new(asked.qname.clone(), CLASS::IN, 60, data));
        }
        answer.questions.push(asked);
    }
    answer.build_bytes_vec().expect("an answer")
}

/// Cores that were stored.
pub fn stored(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::BlockStored { .. })).count()
}

#[test]
fn d01_hundreds_of_feeds_are_made_durable_a_few_at_a_time() {
    const CORES: u8 = 100;
    let mut pair = Pair::new();
    let now = pair.now;
    for number in 0..CORES {
        let keys = writer(number);
        pair.sides[1].keep(now, Keys::core(keys.public));
        pair.sides[0].keep(now, keys);
    }
    pair.sides[1].node.add_peer_everywhere(now, "10.0.0.1:3282").expect("an address");
    pair.sides[1].most_syncs = 0;
    pair.put(1, Input::Deadline);
    pair.talk();
    let events = pair.sides[1].events();
    assert_eq!(stored(&events), usize::from(CORES));
    let most = pair.sides[1].most_syncs;
    assert!(most <= 30, "{most} syncs in one call");
    // All of it is durable without a pause, and said to be so after that.
    let said = |event: &&Event| matches!(event, Event::Complete { .. });
    assert_eq!(events.iter().filter(said).count(), usize::from(CORES));
    let syncs = pair.sides[1].device.syncs();
    pair.pass(Duration::from_secs(5));
    assert_eq!(pair.sides[1].device.syncs(), syncs, "something was not durable");
}

#[test]
fn p01_a_dial_that_a_standing_stream_spares_is_over() {
    let mut pair = Pair::new();
    let (first, second) = (writer(1), writer(2));
    let now = pair.now;
    let topic = pair.sides[1].keep(now, Keys::core(first.public));
    let other = pair.sides[1].keep(now, Keys::core(second.public));
    pair.sides[0].keep(now, first);
    let add = |pair: &mut Pair, topic: TopicId, peer: SocketAddr| {
        pair.sides[1].node.add_peer(now, topic, &peer.to_string()).expect("an address");
        pair.put(1, Input::Deadline);
        pair.talk();
    };
    add(&mut pair, topic, address(0));
    // The peer opens the second core by itself.
    pair.sides[0].keep(now, second);
    pair.talk();
    assert_eq!(stored(&pair.sides[1].events()), 2);
    // Its address is known for that core, too: no dial is under way for it.
    add(&mut pair, other, address(0));
    pair.dials.clear();
    for host in 100..110 {
        add(&mut pair, other, ([10, 0, 0, host], 1).into());
    }
    assert_eq!(pair.dials.len(), limits::DIALS_AT_ONCE);
}

#[test]
fn f01_a_peer_named_by_its_host_is_looked_up_once_for_all_feeds() {
    const CORES: u8 = 100;
    let mut pair = Pair::new();
    let now = pair.now;
    for number in 0..CORES {
        let keys = writer(number);
        pair.sides[1].keep(now, Keys::core(keys.public));
        pair.sides[0].keep(now, keys);
    }
    pair.sides[1].node.add_peer_everywhere(now, "nas.example:3282").expect("a peer");
    pair.put(1, Input::Deadline);
    pair.talk();
    let events = pair.sides[1].events();
    let warned = events.iter().find(|event| matches!(event, Event::Warning { .. }));
    assert_eq!(warned, None);
    assert_eq!(pair.questions, 2, "questions to the name server");
    assert_eq!(stored(&events), usize::from(CORES));
    // One that comes later is told what is known.
    let late = writer(CORES);
    let topic = pair.sides[1].keep(now, Keys::core(late.public));
    pair.sides[0].keep(now, late);
    pair.sides[1].node.add_peer(now, topic, "nas.example:3282").expect("a peer");
    pair.put(1, Input::Deadline);
    pair.talk();
    assert_eq!((stored(&pair.sides[1].events()), pair.questions), (1, 2));
}

#[test]
fn f04_a_core_that_is_added_later_is_opened_on_the_stream_that_stands() {
    // The peer has it already, and nobody knows an address for it.
    let mut pair = Pair::new();
    let (first, second, third) = (writer(1), writer(2), writer(3));
    let now = pair.now;
    pair.sides[0].keep(now, second.clone());
    pair.sides[0].keep(now, first.clone());
    pair.sides[1].keep(now, Keys::core(first.public));
    pair.sides[1].node.add_peer_everywhere(now, "10.0.0.1:3282").expect("an address");
    pair.put(1, Input::Deadline);
    pair.talk();
    assert_eq!(stored(&pair.sides[1].events()), 1);
    pair.sides[1].keep(now, Keys::core(second.public));
    pair.talk();
    assert_eq!(stored(&pair.sides[1].events()), 1);
    // Who was asked for it and did not have it.
    let topic = pair.sides[1].keep(now, Keys::core(third.public));
    pair.sides[1].node.add_peer(now, topic, "10.0.0.1:3282").expect("an address");
    pair.put(1, Input::Deadline);
    pair.talk();
    pair.sides[0].keep(now, third);
    pair.talk();
    assert_eq!(stored(&pair.sides[1].events()), 1);
    let dials = pair.dials.iter().filter(|(side, _)| *side == 1);
    assert_eq!(dials.count(), 1, "one stream does");
}

#[test]
fn f04_who_shared_nothing_hears_of_the_core_that_it_asked_for_and_of_no_other() {
    let mut pair = Pair::new();
    let (wanted, other) = (writer(1), writer(2));
    let now = pair.now;
    pair.sides[1].keep(now, Keys::core(wanted.public));
    pair.sides[1].node.add_peer_everywhere(now, "10.0.0.1:3282").expect("an address");
    pair.put(1, Input::Deadline);
    pair.talk();
    pair.said[0] = 0;
    pair.sides[0].keep(now, other);
    pair.talk();
    assert_eq!(pair.said[0], 0, "a stranger was told of a core");
    pair.sides[0].keep(now, wanted);
    pair.talk();
    assert_eq!(stored(&pair.sides[1].events()), 1);
}
