//! A node that keeps a core, and peers of the Hypercore dialect who do as they like.

use std::path::Path;
use std::time::Duration;

use gannet::crypto::hash::discovery_key;
use gannet::crypto::noise::Role;
use gannet::crypto::sign::KeyPair;
use gannet::feed::hyper::{Grown, Proof};
use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::io::{Input, Output};
use gannet::node::{Blocks, Config, CoreOptions, Node};
use gannet::reactor::Engine;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::swarm::balance::Bounds;
use gannet::sys::Endpoint;
use gannet::time::Instant;
use gannet::wire::host::Hello;
use gannet::wire::hyper::{Data, Message, Request, Session, Setup, Sync, What};

use crate::disk::{Device, SimDisk};

/// More than a socket ever has.
const ROOM: usize = 1 << 30;

pub struct Rig {
    pub node: Node,
    pub disk: SimDisk,
    pub now: Instant,
    listener: u32,
    /// Who wrote the core that the node keeps.
    writer: FeedStore,
    closed: Vec<ConnId>,
    pub dials: Vec<u32>,
    /// What it wants of listeners and of sockets for datagrams, in order.
    pub wants: Vec<Output>,
    /// When it was asked what of a connection's bytes has arrived.
    pub asked: Vec<(Instant, ConnId)>,
    conns: u32,
}

/// A peer's side of a connection.
pub struct Stream {
    pub conn: ConnId,
    pub session: Session,
    pub out: Vec<u8>,
    inbound: Vec<u8>,
    /// Requests that came in.
    asked: Vec<Request>,
    pub live: bool,
    /// What a gannet says first on the channel between hosts, if it is one; and what it heard there.
    pub hello: Option<Hello>,
    pub heard: Vec<Vec<u8>>,
    /// Cores that the node opened and the peer did not have.
    pub refused: usize,
    /// The core that it has by now.
    has: Option<[u8; 32]>,
}

impl Rig {
    pub fn new(blocks: Blocks) -> Rig {
        Rig::bounded(blocks, Bounds::default())
    }

    /// With so many peers.
    pub fn bounded(blocks: Blocks, bounds: Bounds) -> Rig {
        let mut disk = Device::new(1).process();
        let now = Instant(10_000_000);
        let listen = vec![([0, 0, 0, 0], 3282).into()];
        let (id, host, identity) = ([1; 32], [1; 32], [11; 32]);
        let config = Config { id, host, identity, seed: 1, listen, bounds, ..Config::default() };
        let mut node = Node::new(config, now);
        let keys = Keys::core_compat(KeyPair::from_seed([9; 32]), true);
        let public = keys.public;
        let there = disk.open_root(Path::new("/writer"), true).expect("a folder");
        let mut writer =
            FeedStore::create(&mut disk, there, "", keys, Content::File).expect("made");
        let all: Vec<[u8; 100]> = (0..8).map(|n| [n; 100]).collect();
        let parts: Vec<&[u8]> = all.iter().map(|block| &block[..]).collect();
        writer.append(&mut disk, &parts).expect("a good disk");
        writer.commit(&mut disk, now).expect("a good disk");
        let here = disk.open_root(Path::new("/core"), true).expect("a folder");
        let store = FeedStore::create(&mut disk, here, "", Keys::core(public), Content::File);
        let options = CoreOptions { blocks, show: None };
        node.add_core(now, here, "/core".into(), store.expect("made"), options);
        node.start(now);
        let (closed, dials, asked) = (Vec::new(), Vec::new(), Vec::new());
        let wants = Vec::new();
        let mut rig =
            Rig { node, disk, now, listener: 0, writer, closed, dials, wants, asked, conns: 0 };
        while let Some(output) = rig.node.poll_output() {
            if let Output::Listen { tag, at } = output {
                rig.listener = tag;
                rig.put(Input::Listening { tag, at: Ok(at) });
            }
        }
        rig
    }

    pub fn key(&self) -> [u8; 32] {
        *self.writer.feed().key()
    }

    pub fn put(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.disk);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            if let Output::Close { conn, .. } = output {
                self.closed.push(conn);
            } else if let Output::Dial { tag, .. } = output {
                self.dials.push(tag);
            } else if let Output::AskUnacknowledged { conn } = output {
                self.asked.push((self.now, conn));
            } else if let Output::Listen { .. }
            | Output::Unlisten { .. }
            | Output::Bind { .. }
            | Output::Join { .. } = output
            {
                self.wants.push(output);
            }
        }
    }

    /// The user changes something.
    pub fn change(&mut self, what: impl FnOnce(&mut Node, Instant, &mut SimDisk)) {
        what(&mut self.node, self.now, &mut self.disk);
        self.drain();
    }

    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.node.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.put(Input::Deadline);
            self.node.work(self.now, 1 << 20, &mut self.disk);
            self.drain();
        }
        self.now = end;
    }

    /// Somebody connects and says nothing.
    pub fn connect(&mut self) -> ConnId {
        self.connect_from([10, 0, 0, 9])
    }

    pub fn connect_from(&mut self, host: [u8; 4]) -> ConnId {
        self.conns += 1;
        let conn = ConnId { slot: self.conns, generation: 1 };
        let from = Endpoint::Tcp((host, 1000 + self.conns as u16).into());
        self.put(Input::Accepted { conn, listener: self.listener, from });
        conn
    }

    /// Somebody with this host key connects and shakes hands.
    fn greet(&mut self, host: u8) -> Stream {
        let conn = self.connect();
        self.greet_on(conn, host)
    }

    fn greet_on(&mut self, conn: ConnId, host: u8) -> Stream {
        self.greet_as(conn, host, None)
    }

    /// … as a gannet that says this first.
    pub fn greet_as(&mut self, conn: ConnId, host: u8, hello: Option<Hello>) -> Stream {
        let mut ephemeral = [host; 32];
        ephemeral[0] = conn.slot as u8;
        let session = Session::new(Setup {
            role: Role::Initiator,
            own: KeyPair::from_seed([host; 32]),
            ephemeral: KeyPair::from_seed(ephemeral),
            header: [host; 24],
        });
        let mut stream = Stream::new(conn, session);
        stream.hello = hello;
        self.talk(&mut stream);
        stream
    }

    /// … and opens the core too.
    pub fn meet(&mut self, host: u8) -> Stream {
        let mut stream = self.greet(host);
        let key = self.key();
        stream.session.open(&discovery_key(&key), &key, &mut stream.out).expect("it is up");
        self.talk(&mut stream);
        stream
    }

    /// What the peer has to say is read, as far as the node likes.
    fn listen(&mut self, stream: &mut Stream) {
        stream.session.poll(&mut stream.out);
        while !stream.out.is_empty() {
            let Stream { conn, out, .. } = stream;
            let done = self.node.bytes(self.now, *conn, out, &mut self.disk);
            out.drain(..done.bytes);
            self.drain();
            if done.hold || done.bytes == 0 {
                return;
            }
        }
    }

    /// What the node has to say is read.
    fn pull(&mut self, stream: &mut Stream) -> usize {
        let mut out = Vec::new();
        self.node.poll_frames(self.now, stream.conn, &mut out, ROOM, &mut self.disk);
        self.drain();
        let pulled = out.len();
        self.put(Input::Sent { conn: stream.conn, bytes: pulled });
        stream.inbound.extend(out);
        loop {
            let received = stream.session.receive(&mut stream.inbound).expect("we speak properly");
            let consumed = received.consumed;
            match received.what {
                What::Message { message: Message::Request(request), .. } => {
                    stream.asked.push(request);
                }
                What::Live { .. } => stream.live = true,
                What::Host { message } => stream.heard.push(message.to_vec()),
                What::Up { .. } => stream.up(),
                What::Opened { discovery_key } => match stream.has {
                    Some(key) => {
                        let Stream { session, out, .. } = &mut *stream;
                        let opened = session.open(&discovery_key, &key, out);
                        stream.live = opened.expect("it is up").is_some();
                    }
                    None => {
                        stream.refused += 1;
                        stream.session.refuse(&discovery_key, &mut stream.out);
                    }
                },
                What::Incomplete if consumed == 0 => return pulled,
                _ => {}
            }
            stream.inbound.drain(..consumed);
        }
    }

    /// Until nobody has anything to say.
    pub fn talk(&mut self, stream: &mut Stream) {
        loop {
            self.listen(stream);
            if self.pull(stream) == 0 && stream.out.is_empty() && !stream.session.wants_to_send() {
                return;
            }
        }
    }

    fn say(&mut self, stream: &mut Stream, message: &Message<'_>) {
        let core = discovery_key(&self.key());
        stream.session.send(&core, message, &mut stream.out).expect("it is open");
    }

    /// Whether we have ended a connection.
    pub fn ended(&self, stream: &Stream) -> bool {
        self.closed.contains(&stream.conn)
    }

    /// What the writer would answer.
    fn answer(&mut self, request: &Request) -> (Proof, Option<Vec<u8>>) {
        let proof = self.writer.prove(&mut self.disk, &request.ask).expect("it is there");
        let value = request.ask.block.map(|block| {
            let mut value = Vec::new();
            self.writer.read(&mut self.disk, block.index, &mut value).expect("it is there");
            value
        });
        (proof, value)
    }

    /// The peer answers what the node asked, as of this fork.
    fn reply(&mut self, stream: &mut Stream, request: &Request, fork: u64) {
        let (proof, value) = self.answer(request);
        let value = value.as_deref();
        let data = Data { request: request.id, fork, value, proof, manifest: None };
        self.say(stream, &Message::Data(data));
    }
}

impl Stream {
    fn new(conn: ConnId, session: Session) -> Stream {
        let (out, inbound, asked) = (Vec::new(), Vec::new(), Vec::new());
        let (hello, heard) = (None, Vec::new());
        let (live, refused, has) = (false, 0, None);
        Stream { conn, session, out, inbound, asked, live, hello, heard, refused, has }
    }

    /// The stream stands: a gannet says hello.
    fn up(&mut self) {
        let Some(hello) = self.hello.take() else { return };
        self.session.open_host(&mut self.out).expect("it is up");
        if hello.number == MUTE {
            return;
        }
        let mut said = Vec::new();
        hello.encode(&host_of(&hello), self.session.channel(true), &mut said);
        self.session.say_host(&mut self.out, |out| out.extend_from_slice(&said));
    }

    /// Says something on the channel between hosts.
    pub fn say_host(&mut self, said: impl FnOnce(&mut Vec<u8>)) {
        self.session.say_host(&mut self.out, said);
    }
}

/// The number of a hello that is never said: the channel is opened, and that is all.
pub const MUTE: u64 = u64::MAX;

/// The key pair of a host whose boot tells the seed of it.
pub fn host_of(hello: &Hello) -> KeyPair {
    KeyPair::from_seed([hello.boot[0]; 32])
}

fn head(length: u64) -> Message<'static> {
    Message::Sync(Sync {
        length,
        can_upgrade: true,
        uploading: true,
        downloading: true,
        ..Sync::default()
    })
}

const EVERYTHING: Message<'static> = Message::Range { drop: false, start: 0, length: 8 };

#[test]
fn p10_a_peer_that_does_not_read_makes_the_node_keep_little() {
    const MOST: usize = 256 * 1024;
    // Lengths that change, to each of which there is an answer.
    let mut rig = Rig::new(Blocks::Follow);
    let mut peer = rig.meet(7);
    assert!(peer.live);
    for length in 0..60_000 {
        rig.say(&mut peer, &head(length % 8));
    }
    rig.listen(&mut peer);
    assert!(rig.pull(&mut peer) < MOST);
    rig.talk(&mut peer);
    assert!(peer.out.is_empty() && !rig.ended(&peer));
    // The core is opened and closed.
    let (key, core) = (rig.key(), discovery_key(&rig.key()));
    for _ in 0..10_000 {
        peer.session.close(&core, &mut peer.out);
        peer.session.open(&core, &key, &mut peer.out).expect("it is up");
    }
    rig.listen(&mut peer);
    let pulled = rig.pull(&mut peer);
    assert!(pulled < MOST, "{pulled} bytes were kept for it");
}

#[test]
fn p08_who_is_banned_is_not_let_in_by_another_connection() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut liar = rig.meet(7);
    rig.say(&mut liar, &head(5));
    rig.talk(&mut liar);
    for _ in 0..60 {
        for request in std::mem::take(&mut liar.asked) {
            let upgrade = Grown { length: 5, signature: Some(vec![1; 64]), ..Grown::default() };
            let proof = Proof { upgrade: Some(upgrade), ..Proof::default() };
            let data = Data { request: request.id, proof, ..Data::default() };
            rig.say(&mut liar, &Message::Data(data));
        }
        if rig.ended(&liar) {
            break;
        }
        liar.session.keepalive(&mut liar.out);
        rig.talk(&mut liar);
        rig.pass(limits::TICK);
    }
    assert!(rig.ended(&liar), "lies have no consequence");
    let again = rig.meet(7);
    assert!(rig.ended(&again), "who is banned is served again");
    let other = rig.meet(8);
    assert!(!rig.ended(&other) && other.live);
}

#[test]
fn p10_the_oldest_of_the_silent_goes_and_who_greets_stays() {
    let mut rig = Rig::new(Blocks::Follow);
    let first = rig.connect();
    let honest = rig.meet(8);
    for _ in 0..limits::HALF_OPEN - 1 {
        rig.connect();
    }
    assert!(rig.closed.is_empty());
    let late = rig.connect();
    assert_eq!(rig.closed, [first]);
    for _ in 0..3 * limits::HALF_OPEN {
        rig.connect();
    }
    assert!(!rig.ended(&honest) && rig.closed.contains(&late));
    assert_eq!(rig.closed.len(), 3 * limits::HALF_OPEN + 1);
}

#[test]
fn p10_who_opens_many_connections_pushes_out_its_own() {
    let mut rig = Rig::new(Blocks::Follow);
    let slow: Vec<ConnId> = (20..60).map(|host| rig.connect_from([10, 0, 0, host])).collect();
    for _ in 0..5 * limits::HALF_OPEN {
        rig.connect();
    }
    assert_eq!(rig.closed.len(), 4 * limits::HALF_OPEN + slow.len());
    assert!(!slow.iter().any(|conn| rig.closed.contains(conn)));
}

#[test]
fn p10_strangers_who_share_nothing_with_us_are_bounded_as_the_silent_are() {
    let mut rig = Rig::new(Blocks::Follow);
    let honest = rig.meet(200);
    let strangers: Vec<Stream> = (0..limits::HALF_OPEN + 20).map(|n| rig.greet(n as u8)).collect();
    assert_eq!(strangers.iter().filter(|stranger| rig.ended(stranger)).count(), 20);
    assert!(rig.ended(&strangers[0]) && !rig.ended(&honest));
}

#[test]
fn l07_a_run_that_is_to_end_does_not_take_strangers_for_company() {
    let mut rig = Rig::new(Blocks::All);
    let mut stranger = rig.greet(7);
    let mut waited = Duration::ZERO;
    while waited < limits::NO_PEERS_AFTER + 2 * limits::TICK {
        rig.pass(limits::TICK);
        waited += limits::TICK;
        stranger.session.keepalive(&mut stranger.out);
        rig.talk(&mut stranger);
    }
    assert!(rig.node.take_failure().is_some(), "it waits for ever");
}

#[test]
fn r06_blocks_of_another_history_are_not_asked_for_again_at_once() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut liar = rig.meet(7);
    rig.say(&mut liar, &head(8));
    rig.talk(&mut liar);
    let growth = liar.asked.pop().expect("the length is asked for");
    assert!(growth.ask.upgrade.is_some());
    rig.reply(&mut liar, &growth, 0);
    rig.talk(&mut liar);
    rig.say(&mut liar, &EVERYTHING);
    let mut answered = 0;
    for _ in 0..20 {
        rig.talk(&mut liar);
        for request in std::mem::take(&mut liar.asked) {
            answered += 1;
            rig.reply(&mut liar, &request, 3);
        }
    }
    assert!((1..=8).contains(&answered), "{answered} answers at one point in time");
    // It is believed again when it has had time to think.
    rig.pass(Duration::from_secs(10));
    rig.talk(&mut liar);
    assert!(!rig.ended(&liar) && !liar.asked.is_empty());
}

#[test]
fn f04_a_core_that_a_peer_did_not_have_is_opened_again_after_a_pause() {
    let mut rig = Rig::new(Blocks::Follow);
    rig.node.add_peer_everywhere(rig.now, "10.0.0.9:3282").expect("an address");
    rig.put(Input::Deadline);
    let tag = rig.dials.pop().expect("it is dialled");
    let conn = ConnId { slot: 1, generation: 1 };
    rig.put(Input::Dialed { tag, conn: Ok(conn) });
    let (own, ephemeral) = (KeyPair::from_seed([7; 32]), KeyPair::from_seed([8; 32]));
    let setup = Setup { role: Role::Responder, own, ephemeral, header: [7; 24] };
    let mut peer = Stream::new(conn, Session::new(setup));
    rig.talk(&mut peer);
    assert_eq!(peer.refused, 1);
    let mut tries = Vec::new();
    for second in 0..650 {
        rig.pass(limits::TICK);
        peer.session.keepalive(&mut peer.out);
        rig.talk(&mut peer);
        if peer.refused > 1 + tries.len() {
            tries.push(second);
        }
    }
    assert!(!rig.ended(&peer));
    // As soon as there is a tick after that.
    let due = [300, 600];
    assert_eq!(tries.len(), 2, "{tries:?}");
    assert!(tries.iter().zip(due).all(|(at, due)| (due - 1..due + 15).contains(at)), "{tries:?}");
    // It has it now.
    peer.has = Some(rig.key());
    assert!(!peer.live);
    for _ in 0..300 {
        rig.pass(limits::TICK);
        peer.session.keepalive(&mut peer.out);
        rig.talk(&mut peer);
    }
    assert!(peer.live);
}
