//! Nodes that talk to each other without a loop between them: what they do in one call, and in which order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gannet::crypto::sign::KeyPair;
use gannet::ids::ConnId;
use gannet::node::event::{Event, Interest, SubscriberId};
use gannet::node::io::{Input, Output, Tag};
use gannet::node::{Blocks, Config, CoreOptions, Node, TopicId};
use gannet::reactor::Engine;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
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
    /// The most syncs in one call.
    pub most_syncs: u64,
    conns: u32,
}

/// Two of them; the first is at `10.0.0.1:3282`, the second at `10.0.0.2:3282`.
pub struct Pair {
    pub sides: [Side; 2],
    pub now: Instant,
    /// Who dialled, and where.
    pub dials: Vec<(usize, SocketAddr)>,
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
        let config = Config { id, host: id, entropy: id, seed, listen, ..Config::default() };
        let mut node = Node::new(config, now);
        let events = node.subscribers.add(Interest::EVERYTHING).expect("room");
        let (disk, links) = (device.process(), BTreeMap::new());
        Side { node, device, disk, listener: 0, links, events, most_syncs: 0, conns: 0 }
    }

    /// Keeps a core, with a block if it is ours.
    pub fn keep(&mut self, now: Instant, keys: Keys) -> TopicId {
        let name = format!("/{}", hex::encode(&keys.public[..8]));
        let dir = self.disk.open_root(Path::new(&name), true).expect("a folder");
        let made = FeedStore::create(&mut self.disk, dir, "", keys, Content::File);
        let mut store = made.expect("a good disk");
        if store.is_writable() {
            store.append(&mut self.disk, &[&[7; 100]]).expect("a good disk");
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
    fn call<T>(&mut self, what: impl FnOnce(&mut Node, &mut SimDisk) -> T) -> T {
        let before = self.device.syncs();
        let done = what(&mut self.node, &mut self.disk);
        self.most_syncs = self.most_syncs.max(self.device.syncs() - before);
        done
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.node.subscribers.next_event(self.events)).collect()
    }
}

impl Pair {
    pub fn new() -> Pair {
        let now = Instant(10_000_000);
        let mut pair =
            Pair { sides: [0, 1].map(|side| Side::new(side, now)), now, dials: Vec::new() };
        for side in 0..2 {
            pair.sides[side].node.start(now);
            pair.outputs(side);
        }
        pair
    }

    fn put(&mut self, side: usize, input: Input<'_>) {
        let now = self.now;
        self.sides[side].call(|node, disk| node.handle(now, input, disk));
        self.outputs(side);
    }

    fn outputs(&mut self, side: usize) {
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
                Output::Close { conn, .. } => {
                    if let Some((there, _)) = self.sides[side].links.remove(&conn) {
                        self.sides[1 - side].links.remove(&there);
                        self.put(1 - side, Input::Closed { conn: there, why: Ok(()) });
                    }
                }
                _ => {}
            }
        }
    }

    fn dial(&mut self, side: usize, tag: Tag, to: SocketAddr) {
        let other = 1 - side;
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
    fn carry(&mut self, side: usize) -> bool {
        let (now, mut moved) = (self.now, false);
        let conns: Vec<ConnId> = self.sides[side].links.keys().copied().collect();
        for conn in conns {
            let mut said = Vec::new();
            self.sides[side].call(|node, disk| node.poll_frames(now, conn, &mut said, ROOM, disk));
            self.outputs(side);
            let Some(there) = self.sides[side].links.get(&conn).map(|(there, _)| *there) else {
                continue;
            };
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
            let mut moved = self.carry(0) | self.carry(1);
            for side in 0..2 {
                let work = self.sides[side].call(|node, disk| node.work(now, BUDGET, disk));
                moved |= work == gannet::node::io::Work::More;
                self.outputs(side);
            }
            if !moved {
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

/// Cores that were stored.
fn stored(events: &[Event]) -> usize {
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
