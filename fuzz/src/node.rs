//! A whole node: everything that a peer may say on a connection, in any segments, with time passing
//! in between and the disk below.

use std::time::Duration;

use gannet::codec::varint;
use gannet::crypto::hash;
use gannet::crypto::sign::KeyPair;
use gannet::crypto::stream::StreamCipher;
use gannet::ids::ConnId;
use gannet::node::io::{Input, Output};
use gannet::node::{self, Blocks, CoreOptions, Node};
use gannet::reactor::Engine;
use gannet::store::disk::Dir;
use gannet::store::{Content, FeedStore, Keys};
use gannet::sys::Endpoint;
use gannet::time::Instant;
use gannet::wire::dat::{FirstFeed, Handshake, Session};

use super::dat;
use super::disk::Memory;

const NONCE: [u8; 24] = [2; 24];
const CONN: ConnId = ConnId { slot: 1, generation: 1 };
/// Outputs that one input may lead to.
const OUTPUTS: usize = 10_000;
/// Bytes that a node may want to send for each that it got, at the most: blocks are asked for in a
/// few bytes, and all are small here.
const SENT: usize = 1 << 20;

fn pair() -> KeyPair {
    KeyPair::from_seed([3; 32])
}

struct Loop {
    node: Node,
    disk: Memory,
    now: Instant,
    listener: u32,
    /// The node has not closed the connection.
    open: bool,
    held: bool,
    sent: usize,
}

impl Loop {
    fn new(writes: bool) -> Loop {
        let (mut disk, now) = (Memory::default(), Instant(1_000_000));
        let secret = writes.then(pair);
        let keys = Keys::dat(pair().public(), secret, false);
        let store = FeedStore::create(&mut disk, Dir(0), "", keys, Content::File);
        let mut store = store.expect("a new feed");
        if writes {
            store.append(&mut disk, &[b"a", b"bb", b"", b"dddd", b"hello world"]).expect("room");
            store.commit(&mut disk, now).expect("room");
        }
        let config = node::Config {
            id: [7; 32],
            host: [8; 32],
            entropy: [9; 32],
            seed: 1,
            listen: vec![([127, 0, 0, 1], 3282).into()],
            pid: 1,
            ..node::Config::default()
        };
        let mut node = Node::new(config, now);
        let options = CoreOptions { blocks: Blocks::Follow, show: None };
        node.add_core(now, Dir(0), "feed".into(), store, options);
        node.start(now);
        let mut this = Loop { node, disk, now, listener: 0, open: true, held: false, sent: 0 };
        this.settle();
        let at = Ok(Endpoint::Tcp(([127, 0, 0, 1], 3282).into()));
        let listener = this.listener;
        this.input(Input::Listening { tag: listener, at });
        let from = Endpoint::Tcp(([10, 0, 0, 9], 40_000).into());
        this.input(Input::Accepted { conn: CONN, listener, from });
        this
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.disk);
        self.settle();
    }

    fn settle(&mut self) {
        for count in 0.. {
            assert!(count < OUTPUTS, "outputs without end");
            match self.node.poll_output() {
                None => break,
                Some(Output::Listen { tag, .. }) => self.listener = tag,
                Some(Output::Close { .. }) => self.open = false,
                Some(Output::Hold { .. }) => self.held = true,
                Some(Output::Resume { .. }) => self.held = false,
                Some(Output::Exit { .. }) => panic!("a peer ended the run"),
                Some(_) => {}
            }
        }
        if self.open {
            let mut out = Vec::new();
            self.node.poll_frames(self.now, CONN, &mut out, 1 << 16, &mut self.disk);
            self.sent += out.len();
            assert!(self.sent < SENT, "{} bytes sent", self.sent);
        }
    }

    /// What is left of the bytes.
    fn bytes(&mut self, buf: &mut Vec<u8>) {
        while self.open && !self.held && !buf.is_empty() {
            let consumed = self.node.bytes(self.now, CONN, buf, &mut self.disk);
            assert!(consumed.bytes <= buf.len());
            buf.drain(..consumed.bytes);
            self.settle();
            if consumed.bytes == 0 {
                break;
            }
        }
    }

    fn pass(&mut self) {
        self.now += Duration::from_millis(700);
        self.input(Input::Deadline);
        let _ = self.node.work(self.now, 1 << 16, &mut self.disk);
        self.settle();
    }
}

/// The input's first byte says which side of a feed it is and how long the segments are; the rest
/// is the plain stream behind the first message.
pub fn node_loop(data: &[u8]) {
    let (&first, plain) = data.split_first().unwrap_or((&0, &[]));
    let mut this = Loop::new(first & 1 == 0);
    let key = pair().public();
    let feed = FirstFeed { key, discovery_key: hash::discovery_key(&key), nonce: NONCE };
    let mut stream = Vec::new();
    let mut dialer = Session::dial(feed, &mut stream);
    let clear = stream.len();
    let hand = Handshake { id: vec![9; 32], live: true, ..Handshake::default() };
    dialer.handshake(&hand, &mut stream).expect("open");
    let mut cipher = StreamCipher::new(&key, &NONCE);
    cipher.apply(&mut stream[clear..]);
    cipher = StreamCipher::new(&key, &NONCE);
    stream.extend_from_slice(plain);
    cipher.apply(&mut stream[clear..]);
    let mut segment = usize::from(first >> 1) * 9 + 1;
    let (mut buf, mut rest) = (Vec::new(), &stream[..]);
    while this.open && !rest.is_empty() {
        let (now, later) = rest.split_at(segment.min(rest.len()));
        buf.extend_from_slice(now);
        rest = later;
        this.bytes(&mut buf);
        segment = segment * 5 % 1009 + 1;
        if segment % 4 == 0 {
            this.pass();
        }
    }
    if this.open {
        this.open = false;
        this.input(Input::Closed { conn: CONN, why: Ok(()) });
    }
    for _ in 0..4 {
        this.pass();
    }
    let status = this.node.status(this.now, &mut this.disk);
    assert!(status.feeds.iter().all(|feed| feed.in_flight == 0), "asked of nobody");
}

pub fn node_loop_seeds() -> Vec<Vec<u8>> {
    [0, 1, 40, 41, 255]
        .into_iter()
        .map(|first| {
            let mut seed = vec![first];
            for message in dat::message_seeds() {
                varint::encode(message.len() as u64, &mut seed);
                seed.extend_from_slice(&message);
            }
            seed
        })
        .collect()
}
