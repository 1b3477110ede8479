//! A node alone, without a loop around it, on a simulated disk that fails: what it tries, and when.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "node/crossing.rs"]
mod crossing;
#[path = "sim/disk.rs"]
#[allow(unused_imports)]
mod disk;
#[path = "node/doubts.rs"]
mod doubts;
#[path = "node/hosts.rs"]
mod hosts;
#[path = "node/moved.rs"]
mod moved;
#[path = "node/pair.rs"]
mod pair;
#[path = "node/pings.rs"]
mod pings;
#[path = "node/streams.rs"]
mod streams;
#[path = "node/topics.rs"]
mod topics;

use std::path::Path;
use std::time::Duration;

use disk::{Device, Faults, SimDisk};
use gannet::crypto::sign::KeyPair;
use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::control::{self, Block, Request};
use gannet::node::event::{Event, Interest, SubscriberId};
use gannet::node::io::{Input, Output};
use gannet::node::{Blocks, Config, CoreOptions, Node};
use gannet::reactor::Engine;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::sys::{Endpoint, Signal};
use gannet::time::Instant;

const CLIENT: ConnId = ConnId { slot: 1, generation: 1 };
/// Cost units of a turn's work.
const BUDGET: usize = 1 << 20;

/// A node that serves a bare feed of its own, and a client of its control socket.
struct Rig {
    node: Node,
    device: Device,
    disk: SimDisk,
    now: Instant,
    events: SubscriberId,
}

impl Rig {
    fn new() -> Rig {
        let device = Device::new(1);
        let mut disk = device.process();
        let now = Instant(10_000_000);
        let config = Config {
            id: [1; 32],
            seed: 1,
            control: Some("control".into()),
            pid: 1,
            ..Config::default()
        };
        let mut node = Node::new(config, now);
        let events = node.subscribers.add(Interest::EVERYTHING).expect("room");
        let dir = disk.open_root(Path::new("/feed"), true).expect("a folder");
        let pair = KeyPair::from_seed([9; 32]);
        let keys = Keys::dat(pair.public(), Some(pair), true);
        let store =
            FeedStore::create(&mut disk, dir, "", keys, Content::File).expect("a feed is made");
        let options = CoreOptions { blocks: Blocks::Follow, show: None };
        node.add_core(now, dir, "/feed".into(), store, options);
        node.start(now);
        let mut rig = Rig { node, device, disk, now, events };
        let control = rig.outputs().into_iter().find_map(|output| match output {
            Output::Listen { tag, at: Endpoint::Unix(_) } => Some(tag),
            _ => None,
        });
        let at = Endpoint::Unix("control".into());
        let tag = control.expect("a control socket");
        rig.put(Input::Listening { tag, at: Ok(at.clone()) });
        rig.put(Input::Accepted { conn: CLIENT, listener: tag, from: at });
        rig.work();
        rig
    }

    fn put(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.disk);
        self.outputs();
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.node.poll_output()).collect()
    }

    /// A turn of background work that something else has called for.
    fn work(&mut self) {
        self.put(Input::Signal(Signal::Reload));
        self.node.work(self.now, BUDGET, &mut self.disk);
        self.outputs();
    }

    /// Time passes as the loop lets it.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..10_000 {
            match self.node.next_deadline().filter(|at| *at <= end) {
                None => {
                    self.now = end;
                    return;
                }
                Some(at) => self.now = self.now.max(at),
            }
            self.put(Input::Deadline);
            self.node.work(self.now, BUDGET, &mut self.disk);
            self.outputs();
        }
        panic!("the node spins");
    }

    /// Appends a block through the control socket: the answer.
    fn append(&mut self) -> String {
        let mut request = control::encode(&Request::append(vec![Block(vec![7; 100])]));
        let done = self.node.bytes(self.now, CLIENT, &mut request, &mut self.disk);
        assert_eq!(done.bytes, request.len());
        let mut answer = Vec::new();
        self.node.poll_frames(self.now, CLIENT, &mut answer, BUDGET, &mut self.disk);
        self.outputs();
        String::from_utf8(answer).expect("text")
    }

    fn sync_fails(&self, fails: bool) {
        self.device.set_faults(Faults { sync_error: u64::from(fails), ..Faults::default() });
    }

    fn heard(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.node.subscribers.next_event(self.events)).collect()
    }
}

fn paused(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Paused { .. })).count()
}

#[test]
fn d09_a_device_that_fails_is_left_alone_until_it_had_time_to_mend() {
    let mut rig = Rig::new();
    assert!(rig.append().contains(r#""ok":true"#));
    rig.device.set_faults(Faults { write_error: 1, ..Faults::default() });
    assert!(rig.append().contains(r#""ok":false"#));
    rig.pass(limits::COMMIT_EVERY);
    assert_eq!(paused(&rig.heard()), 1);
    let tried = rig.device.writes();
    for _ in 0..50 {
        rig.now += Duration::from_millis(10);
        rig.work();
    }
    assert_eq!(rig.device.writes(), tried, "it is tried again at every turn");
}

#[test]
fn d09_a_feed_whose_sync_failed_takes_nothing_more_and_says_what_to_do() {
    let mut rig = Rig::new();
    assert!(rig.append().contains(r#""ok":true"#));
    rig.sync_fails(true);
    assert!(rig.append().contains(r#""ok":false"#));
    rig.sync_fails(false);
    let answer = rig.append();
    assert!(answer.contains("start gannet again"), "{answer}");
    rig.pass(Duration::from_secs(200));
    let events = rig.heard();
    assert_eq!(paused(&events), 1, "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Resumed { .. })), "{events:?}");
    // Only the first block was ever announced.
    let told = events.iter().filter(|event| matches!(event, Event::Appended { .. })).count();
    assert_eq!(told, 1, "{events:?}");
}

/// Other bare feeds served by the same node.
fn add_feeds(rig: &mut Rig, count: u8) {
    for n in 0..count {
        let dir = rig.disk.open_root(&Path::new("/feeds").join(n.to_string()), true);
        let dir = dir.expect("a folder");
        let keys = Keys::dat(KeyPair::from_seed([n; 32]).public(), None, false);
        let store =
            FeedStore::create(&mut rig.disk, dir, "", keys, Content::File).expect("a feed is made");
        let options = CoreOptions { blocks: Blocks::Follow, show: None };
        rig.node.add_core(rig.now, dir, n.to_string(), store, options);
    }
    rig.outputs();
}

#[test]
fn p05_what_was_kept_of_peers_is_read_a_few_feeds_at_a_time() {
    let mut rig = Rig::new();
    add_feeds(&mut rig, 30);
    let mut turns = 0;
    loop {
        let before = rig.device.writes();
        rig.node.work(rig.now, BUDGET, &mut rig.disk);
        rig.outputs();
        let opened = rig.device.writes() - before;
        assert!(opened <= limits::KEPT_AT_ONCE as u64, "{opened} files in one piece of work");
        if opened == 0 {
            break;
        }
        turns += 1;
    }
    assert_eq!(turns, 4);
}

#[test]
fn p05_what_is_kept_of_peers_does_not_wait_for_the_device() {
    let mut rig = Rig::new();
    rig.node.add_peer_everywhere(rig.now, "10.0.0.1:1").expect("an address");
    rig.sync_fails(true);
    rig.node.close_all(rig.now, &mut rig.disk);
    assert!(rig.device.exists("/feed/gannet.peers"));
}

#[test]
fn d09_a_full_disk_does_not_make_the_first_pause_of_a_failing_one_longer() {
    let mut rig = Rig::new();
    let used = rig.device.used();
    rig.device.set_capacity(used);
    assert!(rig.append().contains(r#""ok":false"#));
    rig.pass(limits::COMMIT_EVERY + 10 * limits::TICK);
    rig.device.set_capacity(1 << 40);
    rig.device.set_faults(Faults { write_error: 1, ..Faults::default() });
    rig.heard();
    rig.pass(2 * limits::TICK);
    assert_eq!(paused(&rig.heard()), 1, "it went on and failed");
    rig.device.set_faults(Faults::default());
    rig.pass(4 * limits::TICK);
    let events = rig.heard();
    assert!(events.iter().any(|event| matches!(event, Event::Appended { .. })), "{events:?}");
}

#[test]
fn d09_a_full_disk_is_tried_again_once_a_second() {
    let mut rig = Rig::new();
    let used = rig.device.used();
    rig.device.set_capacity(used);
    assert!(rig.append().contains(r#""ok":false"#));
    rig.pass(limits::COMMIT_EVERY);
    assert_eq!(paused(&rig.heard()), 1);
    // What it takes is there again, but too little to go on with.
    let tried = rig.device.writes();
    for _ in 0..40 {
        rig.now += Duration::from_millis(10);
        rig.work();
    }
    assert_eq!(rig.device.writes(), tried, "it is tried again at every turn");
    rig.device.set_capacity(used + limits::RESUME_SPACE_BYTES / 2);
    rig.pass(2 * limits::TICK);
    let events = rig.heard();
    assert!(events.iter().any(|event| matches!(event, Event::Appended { .. })), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Resumed { .. })), "{events:?}");
}
