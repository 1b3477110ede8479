//! Connections that come and go, by the ten thousand, on real sockets: whatever they had said by then and
//! however they end, no descriptor and no byte is left behind (CHECKLIST L10).
//!
//! `GANNET_CYCLES=1000000 cargo test --test cycles -- --nocapture` makes a million.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "sim/memory.rs"]
mod memory;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gannet::crypto::hash::discovery_key;
use gannet::crypto::noise::Role;
use gannet::crypto::sign::KeyPair;
use gannet::host::HostId;
use gannet::node::{self, Blocks, CoreOptions, Node};
use gannet::reactor::{Reactor, Tuning};
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::sys::Sys;
use gannet::sys::linux::{LinuxSys, Signals};
use gannet::wire::dat::{self, FirstFeed, Handshake};
use gannet::wire::host::{Close, Code, Continue, Hello, Message, VERSIONS};
use gannet::wire::hyper::{self, Setup, What};
use gannet::wire::ping::ping;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

const CYCLES: u64 = 20_000;
/// Hosts that connect: more of them than this would fill tables that are bounded, not leak.
const HOSTS: u64 = 100;
/// Connections for which there is room.
const ROOM: usize = 40;
/// Between two looks nobody may need more than a buffer more.
const SLACK: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

/// How far a connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Silent,
    Garbage,
    Ping,
    DatStranger,
    DatFirst,
    DatMet,
    /// A part of the first message of a handshake, and all of it.
    Half,
    Begun,
    Up,
    /// A core that is not there was asked for.
    Refused,
    Live,
    /// A gannet, before and after both have said continue.
    Greeted,
    Peer,
    /// So many at once that there is no room for one of them.
    Crowd,
}

const STAGES: [Stage; 14] = [
    Stage::Silent,
    Stage::Garbage,
    Stage::Ping,
    Stage::DatStranger,
    Stage::DatFirst,
    Stage::DatMet,
    Stage::Half,
    Stage::Begun,
    Stage::Up,
    Stage::Refused,
    Stage::Live,
    Stage::Greeted,
    Stage::Peer,
    Stage::Crowd,
];

/// How it ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Closed, half closed until the other side closes, or reset.
    Fin,
    Half,
    Reset,
}

struct Server {
    reactor: Reactor<LinuxSys, Node>,
    at: SocketAddr,
    core: [u8; 32],
    feed: [u8; 32],
    _dir: tempfile::TempDir,
}

impl Server {
    fn new() -> Server {
        let mut sys = LinuxSys::new(Signals::Leave).expect("this system");
        let dir = tempfile::tempdir().expect("a directory");
        let config = node::Config {
            id: [1; 32],
            host: [2; 32],
            identity: [3; 32],
            entropy: [4; 32],
            seed: 5,
            listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
            connections: Some(ROOM),
            pid: 1,
            ..node::Config::default()
        };
        let now = sys.now();
        let mut node = Node::new(config, now);
        let secret = KeyPair::from_seed([9; 32]);
        let both = [
            Keys::core_compat(KeyPair::from_seed([8; 32]), true),
            Keys::dat(secret.public(), Some(secret), true),
        ];
        let [core, feed] = both.map(|keys| {
            let (key, disk) = (keys.public, sys.disk());
            let path = dir.path().join(hex::encode(&key[..4]));
            let place = disk.open_root(&path, true).expect("a directory");
            let store = FeedStore::create(disk, place, "", keys, Content::File);
            let mut store = store.expect("a feed is made");
            store.append(disk, &[&[7; 100]]).expect("a good disk");
            store.commit(disk, now).expect("a good disk");
            let options = CoreOptions { blocks: Blocks::Follow, show: None };
            node.add_core(now, place, hex::encode(key), store, options);
            key
        });
        let mut reactor = Reactor::new(sys, node, Tuning::default());
        reactor.with(|node, now, _| node.start(now));
        let at = reactor.with(|node, now, disk| node.status(now, disk).listen[0]);
        Server { reactor, at, core, feed, _dir: dir }
    }

    /// One that does not sleep for long, whatever is going on.
    fn turn(&mut self) {
        self.reactor.with(|node, now, _| node.wake_at(now + Duration::from_millis(1)));
        assert_eq!(self.reactor.turn().expect("the system is well"), None);
    }

    /// Turns until nobody is connected and nothing is kept for who was.
    fn rest(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.reactor.connections() > 0 {
            assert!(Instant::now() < until, "{} are left", self.reactor.connections());
            self.turn();
        }
        for _ in 0..5 {
            self.turn();
        }
        let peers = self.reactor.engine().peer_count();
        assert_eq!((peers, self.reactor.unsent()), (0, 0));
    }
}

/// Whoever connects.
struct Client {
    stream: TcpStream,
    /// What came and was not understood yet.
    inbox: Vec<u8>,
    ended: bool,
}

impl Client {
    fn dial(server: &Server, number: u64) -> Client {
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        let own = Ipv4Addr::new(127, 0, 1, 1 + (number % HOSTS) as u8);
        socket.bind(&SocketAddr::from((own, 0)).into()).expect("a port");
        socket.connect(&server.at.into()).expect("somebody listens");
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(true).expect("a socket");
        Client { stream, inbox: Vec::new(), ended: false }
    }

    fn say(&mut self, bytes: &[u8]) {
        if !self.ended && self.stream.write_all(bytes).is_err() {
            self.ended = true;
        }
    }

    /// A turn of the server; what it has said is in the inbox.
    fn hear(&mut self, server: &mut Server) {
        server.turn();
        let mut buf = [0; 4096];
        match self.stream.read(&mut buf) {
            Ok(0) => self.ended = true,
            Ok(got) => self.inbox.extend_from_slice(&buf[..got]),
            Err(error) => self.ended |= error.kind() != ErrorKind::WouldBlock,
        }
    }

    fn until(&mut self, server: &mut Server, what: &str, done: impl Fn(&Client) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < until, "{what} does not come");
            self.hear(server);
        }
    }

    fn end(mut self, server: &mut Server, how: End) {
        match how {
            End::Fin => {}
            End::Half => {
                let _ = self.stream.shutdown(Shutdown::Write);
                self.until(server, "the end", |client| client.ended);
            }
            End::Reset => {
                let linger = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                linger.expect("a socket");
            }
        }
    }

    /// Says a Dat first message and, if it is to be met, hears the answer.
    fn dat(&mut self, server: &mut Server, key: [u8; 32], meets: bool) {
        let first = FirstFeed { key, discovery_key: discovery_key(&key), nonce: [7; 24] };
        let mut out = Vec::new();
        let mut session = dat::Session::dial(first, &mut out);
        session.handshake(&Handshake::of(&[6; 32]), &mut out).expect("it fits");
        self.say(&out);
        let until = Instant::now() + PATIENCE;
        let mut met = false;
        while meets && !met {
            assert!(Instant::now() < until && !self.ended, "no Handshake");
            self.hear(server);
            loop {
                let got = session.receive(&mut self.inbox).expect("the server speaks properly");
                let consumed = got.consumed;
                met |= matches!(got.what, dat::What::Handshake(_));
                if consumed == 0 {
                    break;
                }
                self.inbox.drain(..consumed);
            }
        }
    }

    /// A stream of the Hypercore dialect, as far as it is to come.
    fn hyper(&mut self, server: &mut Server, number: u64, stage: Stage) {
        let seed = |what: u8| {
            let mut seed = [what; 32];
            let names = if what == b'e' { number } else { number % HOSTS };
            seed[..8].copy_from_slice(&names.to_le_bytes());
            seed
        };
        let (own, ephemeral) = (KeyPair::from_seed(seed(b's')), KeyPair::from_seed(seed(b'e')));
        let header = [number as u8; 24];
        let setup = Setup { role: Role::Initiator, own, ephemeral, header };
        let mut session = hyper::Session::new(setup);
        let identity = KeyPair::from_seed(seed(b'i'));
        let hello = Hello {
            versions: VERSIONS,
            host: HostId(identity.public()),
            boot: [(number % HOSTS) as u8; 16],
            number,
            port: None,
            features: 0,
            seen: None,
            own: Vec::new(),
            holds: Vec::new(),
        };
        let gannet = stage >= Stage::Greeted;
        let (mut out, mut reached) = (Vec::new(), Stage::Begun);
        let until = Instant::now() + PATIENCE;
        loop {
            session.poll(&mut out);
            if stage == Stage::Half {
                return self.say(&out[..10]);
            }
            self.say(&std::mem::take(&mut out));
            if reached >= stage {
                return;
            }
            assert!(Instant::now() < until && !self.ended, "{stage:?} is not reached: {reached:?}");
            self.hear(server);
            loop {
                let got = session.receive(&mut self.inbox).expect("the server speaks properly");
                let consumed = got.consumed;
                match got.what {
                    What::Up { .. } => {
                        reached = Stage::Up;
                        let wanted = if stage == Stage::Refused { [99; 32] } else { server.core };
                        if gannet {
                            session.open_host(&mut out).expect("it is up");
                            let mut said = Vec::new();
                            hello.encode(&identity, session.channel(true), &mut said);
                            session.say_host(&mut out, |out| out.extend_from_slice(&said));
                        } else if stage > Stage::Up {
                            let name = discovery_key(&wanted);
                            session.open(&name, &wanted, &mut out).expect("it is up");
                        }
                    }
                    What::Rejected { .. } => reached = Stage::Refused,
                    What::Live { .. } => reached = Stage::Live,
                    What::Opened { discovery_key } => session.refuse(&discovery_key, &mut out),
                    What::Host { message } => match Message::decode(message) {
                        Ok(Some(Message::Hello(_))) if stage == Stage::Greeted => {
                            reached = Stage::Greeted;
                        }
                        Ok(Some(Message::Continue(said))) => {
                            let said = Continue { version: said.version };
                            session.say_host(&mut out, |out| said.encode(out));
                            if number.is_multiple_of(2) {
                                let close = Close::new(Code::Shutdown);
                                session.say_host(&mut out, |out| close.encode(out));
                            }
                            reached = Stage::Peer;
                        }
                        _ => {}
                    },
                    _ => {}
                }
                if consumed == 0 {
                    break;
                }
                self.inbox.drain(..consumed);
            }
        }
    }
}

fn cycle(server: &mut Server, number: u64, stage: Stage, how: End) {
    let mut client = Client::dial(server, number);
    match stage {
        Stage::Silent => server.turn(),
        Stage::Garbage => {
            client.say(&[b'x'; 1000]);
            client.until(server, "a refusal", |client| client.ended);
        }
        Stage::Ping => {
            client.say(&ping(&[number as u8; 16]));
            client.until(server, "the end", |client| client.ended);
        }
        // (It is told nothing.)
        Stage::DatStranger => client.dat(server, [98; 32], false),
        Stage::DatFirst => client.dat(server, server.feed, false),
        Stage::DatMet => client.dat(server, server.feed, true),
        Stage::Crowd => {
            let others: Vec<Client> =
                (0..ROOM as u64).map(|n| Client::dial(server, number + n)).collect();
            let mut ended = 0;
            let until = Instant::now() + PATIENCE;
            let mut crowd: Vec<Client> = others.into_iter().chain([client]).collect();
            while ended == 0 {
                assert!(Instant::now() < until, "all of them have room");
                crowd.iter_mut().for_each(|client| client.hear(server));
                ended = crowd.iter().filter(|client| client.ended).count();
            }
            return crowd.into_iter().for_each(|client| client.end(server, End::Reset));
        }
        _ => client.hyper(server, number, stage),
    }
    client.end(server, how);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("this process").count()
}

#[test]
fn l10_connections_that_come_and_go_leave_no_descriptor_and_no_byte_behind() {
    let cycles = std::env::var("GANNET_CYCLES").map_or(CYCLES, |text| {
        text.parse().unwrap_or_else(|_| panic!("GANNET_CYCLES is no number: {text}"))
    });
    let mut server = Server::new();
    let began = Instant::now();
    let (mut done, mut number) = (0, 0u64);
    let mut times: BTreeMap<Stage, u64> = BTreeMap::new();
    // Descriptors and bytes each time that all is quiet, a quarter of all having warmed the tables.
    let mut looks: Vec<(usize, usize)> = Vec::new();
    while done < cycles {
        number += 1;
        // (Crowds are many at once.)
        let crowd = number.is_multiple_of(200);
        let stage = if crowd { Stage::Crowd } else { STAGES[(number % 13) as usize] };
        let how = [End::Fin, End::Half, End::Reset][(number / 13 % 3) as usize];
        cycle(&mut server, number, stage, how);
        *times.entry(stage).or_default() += 1;
        done += if crowd { ROOM as u64 + 1 } else { 1 };
        if number.is_multiple_of(cycles.div_ceil(100)) {
            server.rest();
            if done > cycles / 4 {
                looks.push((descriptors(), memory::used()));
            }
        }
    }
    println!("{done} connections in {:.1?}: {times:?}", began.elapsed());
    println!("descriptors and heap: {:?} … {:?}", looks.first(), looks.last());
    assert_eq!(times.len(), STAGES.len(), "something was never done");
    let accepted = server.reactor.stats().accepted;
    assert_eq!(accepted, done, "some were never accepted");
    assert!(looks.len() > 20, "too few looks");
    let first = looks[0];
    assert!(looks.iter().all(|look| look.0 == first.0), "descriptors: {looks:?}");
    // Each half by its quietest moment: what is left there has leaked.
    let (early, late) = looks.split_at(looks.len() / 2);
    let least =
        |looks: &[(usize, usize)]| looks.iter().map(|look| look.1).min().unwrap_or_default();
    let (early, late) = (least(early), least(late));
    assert!(late <= early + SLACK, "the heap has grown from {early} to {late} bytes: {looks:?}");
}
