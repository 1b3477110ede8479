//! Pings between nodes whose bytes are carried by hand.

use std::net::SocketAddr;
use std::time::Duration;

use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::io::{Input, Output, Tag};
use gannet::node::{Config, Node, PingOutcome, Pinged};
use gannet::reactor::Engine;
use gannet::sys::Endpoint;
use gannet::time::Instant;
use gannet::wire::ping;

use crate::disk::{Device, SimDisk};

const AT: ([u8; 4], u16) = ([10, 0, 0, 9], 3282);
const LISTENER: Tag = 1;

/// A node that listens, and what it wants done.
struct Rig {
    node: Node,
    disk: SimDisk,
    now: Instant,
    conns: u32,
    woken: Vec<ConnId>,
    /// What it closed, and whether flushing.
    closed: Vec<(ConnId, bool)>,
    dials: Vec<Tag>,
}

impl Rig {
    fn new(host: u8) -> Rig {
        let now = Instant(10_000_000);
        let config = Config {
            id: [host; 32],
            identity: [host; 32],
            entropy: [host; 32],
            seed: u64::from(host),
            listen: vec![AT.into()],
            ..Config::default()
        };
        let mut node = Node::new(config, now);
        node.start(now);
        let disk = Device::new(u64::from(host)).process();
        let (woken, closed, dials) = Default::default();
        let mut rig = Rig { node, disk, now, conns: 0, woken, closed, dials };
        rig.outputs();
        rig
    }

    fn outputs(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Listen { tag, at } => {
                    assert_eq!(tag, LISTENER);
                    self.put(Input::Listening { tag, at: Ok(at) });
                }
                Output::Wake { conn } => self.woken.push(conn),
                Output::Close { conn, flush } => self.closed.push((conn, flush)),
                Output::Dial { tag, .. } => self.dials.push(tag),
                _ => {}
            }
        }
    }

    fn put(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.disk);
        self.outputs();
    }

    fn conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId { slot: self.conns, generation: 1 }
    }

    fn accept(&mut self, from: SocketAddr) -> ConnId {
        let conn = self.conn();
        self.put(Input::Accepted { conn, listener: LISTENER, from: Endpoint::Tcp(from) });
        conn
    }

    /// It pings somebody and is connected: the connection and what it says there.
    fn ping(&mut self, addr: SocketAddr) -> (ConnId, Vec<u8>) {
        self.node.ping(self.now, addr).expect("room");
        self.outputs();
        let conn = self.conn();
        let tag = self.dials.pop().expect("a dial");
        self.put(Input::Dialed { tag, conn: Ok(conn) });
        let said = self.pull(conn);
        (conn, said)
    }

    fn pull(&mut self, conn: ConnId) -> Vec<u8> {
        let mut said = Vec::new();
        if self.woken.contains(&conn) {
            self.node.poll_frames(self.now, conn, &mut said, 1000, &mut self.disk);
            self.outputs();
        }
        said
    }

    /// Gives bytes, in pieces of this size; what is said to them.
    fn hear(&mut self, conn: ConnId, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut kept = Vec::new();
        for part in bytes.chunks(piece) {
            kept.extend_from_slice(part);
            let done = self.node.bytes(self.now, conn, &mut kept, &mut self.disk);
            kept.drain(..done.bytes);
            self.outputs();
        }
        self.pull(conn)
    }

    fn outcome(&mut self) -> Option<Pinged> {
        self.node.take_ping().map(|PingOutcome { what, .. }| what)
    }

    /// Nobody is a peer, and nobody is known.
    fn knows_nobody(&mut self) {
        let status = self.node.status(self.now, &mut self.disk);
        assert_eq!((status.peers.len(), status.candidates.len()), (0, 0));
    }
}

/// Where a pinger is.
fn from(host: u8, port: u16) -> SocketAddr {
    ([10, 1, 0, host], port).into()
}

#[test]
fn g01_a_ping_is_answered_without_hello_slot_or_candidate() {
    for piece in [1, 7, 1000] {
        let (mut here, mut there) = (Rig::new(1), Rig::new(2));
        let (ours, said) = here.ping(AT.into());
        let theirs = there.accept(from(1, 40_000));
        here.now += Duration::from_millis(7);
        let answer = there.hear(theirs, &said, piece);
        assert_eq!(there.closed, [(theirs, true)], "over with the answer");
        there.knows_nobody();
        assert!(here.hear(ours, &answer, piece).is_empty());
        let Some(Pinged::Answered { host, delay, load, .. }) = here.outcome() else {
            panic!("no answer in pieces of {piece}")
        };
        assert_eq!((host, delay), (Some(there.node.host_id()), Duration::from_millis(7)));
        assert!(load <= 1, "{load} % with nobody there");
        assert_eq!(here.closed, [(ours, false)]);
        here.knows_nobody();
        assert_eq!((here.outcome(), here.node.next_deadline()), (None, None));
        assert_eq!(there.node.next_deadline(), None, "nothing is left of it");
    }
}

#[test]
fn g01_one_answer_a_connection() {
    let (mut here, mut there) = (Rig::new(1), Rig::new(2));
    let said = here.ping(AT.into()).1;
    let conn = there.accept(from(1, 40_000));
    let answer = there.hear(conn, &[&said[..], &said].concat(), 1000);
    assert!(answer.is_empty(), "two answers");
    assert_eq!(there.closed.len(), 1);
}

#[test]
fn g02_ten_answers_a_second_to_one_host_none_longer_than_the_question() {
    let (mut here, mut there) = (Rig::new(1), Rig::new(2));
    let (_, said) = here.ping(AT.into());
    let answered = |there: &mut Rig, host: u8, count: u16| {
        let answers = (0..count).map(|n| {
            let conn = there.accept(from(host, 40_000 + n));
            let answer = there.hear(conn, &said, 1000);
            assert!(answer.len() <= said.len());
            assert_eq!(there.closed.pop().map(|(closed, _)| closed), Some(conn));
            usize::from(!answer.is_empty())
        });
        answers.sum::<usize>()
    };
    assert_eq!(answered(&mut there, 1, 50), limits::PINGS_PER_SECOND as usize);
    // One that floods keeps nobody else from being answered.
    assert_eq!(answered(&mut there, 2, 3), 3);
    there.now += Duration::from_millis(999);
    assert_eq!(answered(&mut there, 1, 50), 0);
    there.now += Duration::from_millis(1);
    assert_eq!(answered(&mut there, 1, 50), limits::PINGS_PER_SECOND as usize);
}

#[test]
fn g02_a_flood_from_everywhere_takes_no_memory() {
    let (mut here, mut there) = (Rig::new(1), Rig::new(2));
    let (_, said) = here.ping(AT.into());
    let mut answers = 0;
    for n in 0..3 * limits::PING_SOURCES as u32 {
        let conn = there.accept((n.to_be_bytes(), 1).into());
        answers += usize::from(!there.hear(conn, &said, 1000).is_empty());
    }
    assert_eq!(answers, limits::PING_SOURCES);
    there.now += Duration::from_secs(1);
    let conn = there.accept(from(1, 40_000));
    assert!(!there.hear(conn, &said, 1000).is_empty());
}

#[test]
fn g04_a_ping_to_ourselves_is_known_by_its_nonce() {
    let mut rig = Rig::new(1);
    let (out, said) = rig.ping(AT.into());
    let inn = rig.accept(from(1, 40_000));
    assert!(rig.hear(inn, &said, 1000).is_empty(), "it answers itself");
    assert_eq!(rig.outcome(), Some(Pinged::Ourselves));
    rig.closed.sort_unstable();
    assert_eq!(rig.closed, [(out, false), (inn, false)]);
    // What was heard before the dial was known to have ended.
    rig.node.ping(rig.now, AT.into());
    rig.outputs();
    let tag = rig.dials.pop().expect("a dial");
    let other = Rig::new(2).ping(AT.into()).1;
    let conn = rig.accept(from(1, 40_001));
    assert!(!rig.hear(conn, &other, 1000).is_empty(), "it takes another for itself");
    rig.put(Input::Dialed { tag, conn: Err(std::io::ErrorKind::ConnectionRefused.into()) });
    let refused = Pinged::Unreachable(std::io::ErrorKind::ConnectionRefused);
    assert_eq!((rig.outcome(), rig.outcome()), (Some(refused), None));
}

#[test]
fn g05_who_speaks_something_else_or_nothing_is_not_ours() {
    let mut rig = Rig::new(1);
    for said in [&b"SSH-2.0-OpenSSH"[..], b"HTTP/1.1 400 Bad Request\r\n", b"\0", &[b'g'; 500]] {
        let (conn, _) = rig.ping(AT.into());
        rig.hear(conn, said, 1000);
        assert_eq!(rig.outcome(), Some(Pinged::NotOurs));
        assert_eq!(rig.closed.pop(), Some((conn, false)));
    }
    // An answer to somebody else.
    let (conn, _) = rig.ping(AT.into());
    let mut pong = Vec::new();
    ping::Pong::new([7; 16], rig.node.host_id(), 0).encode(&mut pong);
    rig.hear(conn, &pong, 1000);
    assert_eq!(rig.outcome(), Some(Pinged::NotOurs));
    // Half an answer, and nothing more.
    rig.closed.clear();
    let (conn, _) = rig.ping(AT.into());
    rig.hear(conn, b"gnt!", 1000);
    assert_eq!(rig.outcome(), None);
    let end = rig.now + limits::PING_TIMEOUT;
    assert_eq!(rig.node.next_deadline(), Some(end));
    rig.now = end;
    rig.put(Input::Deadline);
    assert_eq!(rig.outcome(), Some(Pinged::NotOurs));
    assert_eq!(rig.closed, [(conn, false)]);
    assert_eq!(rig.node.next_deadline(), None);
    // The other end hangs up: there is nothing left to close.
    let (conn, _) = rig.ping(AT.into());
    rig.put(Input::Closed { conn, why: Ok(()) });
    assert_eq!(rig.outcome(), Some(Pinged::NotOurs));
    assert_eq!(rig.closed.len(), 1);
}

#[test]
fn g05_no_more_of_them_are_under_way_than_is_said() {
    let mut rig = Rig::new(1);
    let begun = (0..100).filter(|_| rig.node.ping(rig.now, AT.into()).is_some());
    assert_eq!(begun.count(), limits::PINGS);
}
