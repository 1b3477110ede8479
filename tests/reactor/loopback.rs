//! The loop over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use gannet::ids::ConnId;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::{Engine, Reactor, Tuning};
use gannet::store::disk::Disk;
use gannet::sys::linux::{LinuxSys, Signals};
use gannet::sys::{Endpoint, Program, Sys};
use gannet::time::Instant;

use super::mill::{Mill, Plan, SERVER};

pub fn anywhere() -> Endpoint {
    Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into())
}

pub fn linux() -> LinuxSys {
    LinuxSys::new(Signals::Leave).unwrap()
}

fn mill(plan: Plan, at: Endpoint) -> Reactor<LinuxSys, Mill> {
    let mut reactor = Reactor::new(linux(), Mill::new(plan, at, 7), Tuning::default());
    assert_eq!(reactor.run().unwrap(), 0);
    assert!(reactor.engine().failed.is_empty(), "{:?}", reactor.engine().failed);
    reactor
}

#[test]
fn many_connections_at_once() {
    let plan = Plan { clients: 200, frames: 30, largest: 3000, server_closes: false };
    let reactor = mill(plan, anywhere());
    assert_eq!((reactor.stats().accepted, reactor.stats().dialed), (200, 200));
}

#[test]
fn large_frames_both_ways() {
    let plan = Plan { clients: 3, frames: 12, largest: 5_000_000, server_closes: false };
    let reactor = mill(plan, anywhere());
    assert!(reactor.stats().longest_turn < 25_000_000, "{:?}", reactor.stats());
}

#[test]
fn a_flushing_close_sends_all_first() {
    mill(Plan { clients: 5, frames: 20, largest: 300_000, server_closes: true }, anywhere());
}

#[test]
fn over_ipv6_and_unix_sockets() {
    let plan = Plan { clients: 4, frames: 20, largest: 100_000, server_closes: false };
    if std::net::UdpSocket::bind("[::1]:0").is_ok() {
        mill(plan.clone(), Endpoint::Tcp("[::1]:0".parse().unwrap()));
    }
    let dir = tempfile::tempdir().unwrap();
    mill(plan, Endpoint::Unix(dir.path().join("s")));
}

/// An engine for one purpose: it records what it hears and does what it is told.
#[derive(Default)]
pub struct Ears {
    pub heard: Vec<String>,
    pub conns: Vec<ConnId>,
    pub at: Vec<Endpoint>,
    pub closed: Vec<Result<(), ErrorKind>>,
    pub dialed: Vec<Result<ConnId, ErrorKind>>,
    pub exited: Vec<(u32, i32)>,
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub bound: Vec<SocketAddr>,
    pub received: usize,
    pub send: usize,
    pub echo: Vec<u8>,
    pub outputs: std::collections::VecDeque<Output>,
    pub deadline: Option<Instant>,
    pub work: Option<Box<dyn FnMut(Instant) -> Work>>,
    pub works: usize,
}

impl Engine for Ears {
    fn handle(&mut self, _: Instant, input: Input<'_>, _: &mut dyn Disk) {
        self.heard.push(format!("{input:?}"));
        match input {
            Input::Listening { at: Ok(at), .. } => self.at.push(at),
            Input::Accepted { conn, .. } => {
                self.conns.push(conn);
                self.outputs.push_back(Output::Wake { conn });
            }
            Input::Dialed { conn, .. } => self.dialed.push(conn.map_err(|e| e.kind())),
            Input::Closed { why, .. } => self.closed.push(why.map_err(|e| e.kind())),
            Input::Exited { tag, code } => self.exited.push((tag, code)),
            Input::Bound { at: Ok(at), .. } => self.bound.push(at),
            Input::Datagram { from, bytes, .. } => self.datagrams.push((from, bytes.to_vec())),
            Input::Deadline => self.deadline = None,
            _ => {}
        }
    }
    fn bytes(&mut self, _: Instant, conn: ConnId, buf: &mut [u8], _: &mut dyn Disk) -> Consumed {
        self.received += buf.len();
        self.echo.extend_from_slice(buf);
        self.outputs.push_back(Output::Wake { conn });
        Consumed { bytes: buf.len(), frames: 1, ..Consumed::default() }
    }
    fn poll_frames(
        &mut self,
        _: Instant,
        _: ConnId,
        out: &mut Vec<u8>,
        room: usize,
        _: &mut dyn Disk,
    ) {
        out.append(&mut self.echo);
        let n = self.send.min(room);
        self.send -= n;
        out.resize(out.len() + n, 7);
    }
    fn work(&mut self, now: Instant, _: usize, _: &mut dyn Disk) -> Work {
        self.works += 1;
        self.work.as_mut().map_or(Work::Idle, |work| work(now))
    }
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn next_deadline(&mut self) -> Option<Instant> {
        self.deadline
    }
}

pub fn ears(tuning: Tuning, outputs: Vec<Output>) -> Reactor<LinuxSys, Ears> {
    let ears = Ears { outputs: outputs.into(), ..Ears::default() };
    Reactor::new(linux(), ears, tuning)
}

/// Turns for as long as `time` lasts; returns how often it woke.
pub fn turn_for(reactor: &mut Reactor<LinuxSys, Ears>, time: Duration) -> u64 {
    let before = reactor.stats().wakeups;
    reactor.with(|ears, now, _| ears.deadline = Some(now + time));
    while reactor.engine().deadline.is_some() {
        reactor.turn().unwrap();
    }
    reactor.stats().wakeups - before
}

/// Turns until `done`, for at most five seconds.
pub fn turn_until(reactor: &mut Reactor<LinuxSys, Ears>, done: impl Fn(&Ears) -> bool) {
    reactor.with(|ears, now, _| ears.deadline = Some(now + Duration::from_secs(5)));
    while !done(reactor.engine()) {
        assert!(
            reactor.engine().deadline.is_some(),
            "waited in vain: {:?}",
            reactor.engine().heard
        );
        reactor.turn().unwrap();
    }
}

pub fn tcp(at: &Endpoint) -> SocketAddr {
    match at {
        Endpoint::Tcp(at) => *at,
        Endpoint::Unix(_) => panic!("not tcp"),
    }
}

#[test]
fn an_idle_loop_sleeps() {
    let mut reactor = ears(Tuning::default(), vec![Output::Listen { tag: 1, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    let _peer = TcpStream::connect(tcp(&reactor.engine().at[0])).unwrap();
    turn_until(&mut reactor, |ears| !ears.conns.is_empty());
    let woken = turn_for(&mut reactor, Duration::from_millis(1500));
    assert!(woken <= 3, "woke {woken} times");
}

#[test]
fn the_deadline_is_met_to_the_millisecond() {
    let mut reactor = ears(Tuning::default(), vec![]);
    for ms in [1u64, 3, 20, 77] {
        let start = reactor.sys().now();
        turn_for(&mut reactor, Duration::from_millis(ms));
        let took = reactor.sys().now().since(start);
        assert!(
            took >= Duration::from_millis(ms) && took < Duration::from_millis(ms + 40),
            "{took:?}"
        );
    }
}

#[test]
fn a_dial_to_nobody_is_refused() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let nobody = std::path::PathBuf::from("/nonexistent/socket");
    let mut reactor = ears(
        Tuning::default(),
        vec![
            Output::Dial { tag: 1, to: Endpoint::Tcp(free) },
            Output::Dial { tag: 2, to: Endpoint::Unix(nobody) },
        ],
    );
    turn_until(&mut reactor, |ears| ears.dialed.len() == 2);
    let dialed = &reactor.engine().dialed;
    assert!(dialed.contains(&Err(ErrorKind::ConnectionRefused)), "{dialed:?}");
    assert!(dialed.contains(&Err(ErrorKind::NotFound)), "{dialed:?}");
}

#[test]
fn a_dial_that_hangs_times_out() {
    use socket2::{Domain, Socket, Type};
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    full.listen(0).unwrap();
    let at = full.local_addr().unwrap().as_socket().unwrap();
    // The kernel answers no more once its queue is full.
    let tuning = Tuning { dial_timeout: Duration::from_millis(150), ..Tuning::default() };
    let dials = (0..4).map(|tag| Output::Dial { tag, to: Endpoint::Tcp(at) }).collect();
    let mut reactor = ears(tuning, dials);
    turn_until(&mut reactor, |ears| ears.dialed.len() == 4);
    assert!(reactor.engine().dialed.contains(&Err(ErrorKind::TimedOut)));
}

#[test]
fn p09_a_peer_that_takes_nothing_is_dropped() {
    let tuning = Tuning { write_stall: Duration::from_millis(300), ..Tuning::default() };
    let mut reactor = ears(tuning, vec![Output::Listen { tag: 1, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    reactor.with(|ears, _, _| ears.send = 100 << 20);
    let peer = TcpStream::connect(tcp(&reactor.engine().at[0])).unwrap();
    turn_until(&mut reactor, |ears| !ears.closed.is_empty());
    assert_eq!(reactor.engine().closed, [Err(ErrorKind::TimedOut)]);
    assert!(reactor.engine().send > 50 << 20, "all of it was buffered");
    assert_eq!((reactor.connections(), reactor.unsent()), (0, 0));
    drop(peer);
}

#[test]
fn peers_that_take_nothing_keep_no_other_waiting() {
    let tuning = Tuning { send_memory: 200_000, ..Tuning::default() };
    let mut reactor = ears(tuning, vec![Output::Listen { tag: 1, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    let at = tcp(&reactor.engine().at[0]);
    reactor.with(|ears, _, _| ears.send = 1 << 40);
    let lazy: Vec<_> = (0..10).map(|_| TcpStream::connect(at).unwrap()).collect();
    turn_until(&mut reactor, |ears| ears.conns.len() == 10);
    turn_for(&mut reactor, Duration::from_millis(300));
    assert!(reactor.unsent() >= 200_000 && reactor.unsent() < 300_000, "{}", reactor.unsent());
    let mut keen = TcpStream::connect(at).unwrap();
    keen.set_nonblocking(true).unwrap();
    let mut got = 0;
    let mut buf = vec![0; 1 << 16];
    reactor.with(|ears, now, _| ears.deadline = Some(now + Duration::from_secs(10)));
    while got < 100_000 && reactor.engine().deadline.is_some() {
        reactor.turn().unwrap();
        got += keen.read(&mut buf).unwrap_or(0);
    }
    assert!(got > 0, "the honest peer got nothing");
    drop(lazy);
}

#[test]
fn a_peer_that_stops_talking_still_hears_the_answer() {
    let mut reactor = ears(Tuning::default(), vec![Output::Listen { tag: 1, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    let mut peer = TcpStream::connect(tcp(&reactor.engine().at[0])).unwrap();
    peer.write_all(b"question").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&mut reactor, |ears| !ears.closed.is_empty());
    turn_for(&mut reactor, Duration::from_millis(20));
    let mut answer = Vec::new();
    peer.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    peer.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"question");
    assert_eq!(reactor.engine().closed, [Ok(())]);
    assert_eq!(reactor.connections(), 0);
}

#[test]
fn h14_a_close_that_the_peer_ignores_ends_within_the_linger_time() {
    let mut reactor = ears(Tuning::default(), vec![Output::Listen { tag: 1, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    let peer = TcpStream::connect(tcp(&reactor.engine().at[0])).unwrap();
    turn_until(&mut reactor, |ears| !ears.conns.is_empty());
    let conn = reactor.engine().conns[0];
    reactor.with(|ears, _, _| ears.outputs.push_back(Output::Close { conn, flush: true }));
    turn_for(&mut reactor, Duration::from_millis(300));
    assert_eq!(reactor.connections(), 1);
    turn_for(&mut reactor, Duration::from_millis(900));
    assert_eq!(reactor.connections(), 0);
    assert!(reactor.engine().closed.is_empty(), "the engine closed it itself");
    drop(peer);
}

#[test]
fn above_the_cap_nothing_is_accepted_and_nothing_spins() {
    let tuning = Tuning { connections: 3, ..Tuning::default() };
    let mut reactor = ears(tuning, vec![Output::Listen { tag: SERVER, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    let at = tcp(&reactor.engine().at[0]);
    let mut peers: Vec<_> = (0..5).map(|_| TcpStream::connect(at).unwrap()).collect();
    let woken = turn_for(&mut reactor, Duration::from_millis(300));
    assert_eq!(reactor.engine().conns.len(), 3);
    assert!(woken < 20, "woke {woken} times");
    peers.remove(0);
    turn_until(&mut reactor, |ears| ears.conns.len() == 4);
}

#[test]
fn work_that_waits_is_tried_again_ever_later() {
    let mut reactor = ears(Tuning::default(), vec![]);
    reactor.with(|ears, _, _| ears.work = Some(Box::new(|_| Work::Waiting)));
    turn_for(&mut reactor, Duration::from_millis(400));
    let works = reactor.engine().works;
    assert!((30..=120).contains(&works), "tried {works} times in 400 ms");
    reactor.with(|ears, _, _| ears.work = None);
    turn_for(&mut reactor, Duration::from_millis(50));
    let works = reactor.engine().works;
    turn_for(&mut reactor, Duration::from_millis(300));
    assert!(reactor.engine().works - works <= 2);
}

#[test]
fn programs_run_and_are_heard_of() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let spawn = |tag, command: &str| {
        let environment = vec![("WHERE".to_owned(), file.clone().into_os_string())];
        Output::Spawn { tag, program: Program { command: command.to_owned(), environment } }
    };
    let mut reactor = ears(
        Tuning::default(),
        vec![
            spawn(1, "echo hello > \"$WHERE\"; exit 3"),
            spawn(2, "kill -9 $$"),
            spawn(3, "sleep 0.2"),
        ],
    );
    turn_until(&mut reactor, |ears| ears.exited.len() == 3);
    let mut exited = reactor.engine().exited.clone();
    exited.sort();
    assert_eq!(exited, [(1, 3), (2, 137), (3, 0)]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello\n");
    let woken = turn_for(&mut reactor, Duration::from_millis(200));
    assert!(woken <= 3, "woke {woken} times");
}

#[test]
fn held_bytes_come_after_resume() {
    let mut reactor = ears(Tuning::default(), vec![Output::Listen { tag: 1, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    let mut peer = TcpStream::connect(tcp(&reactor.engine().at[0])).unwrap();
    turn_until(&mut reactor, |ears| !ears.conns.is_empty());
    let conn = reactor.engine().conns[0];
    reactor.with(|ears, _, _| ears.outputs.push_back(Output::Hold { conn }));
    peer.write_all(b"patience").unwrap();
    let woken = turn_for(&mut reactor, Duration::from_millis(200));
    assert_eq!(reactor.engine().received, 0);
    assert!(woken < 10, "woke {woken} times");
    reactor.with(|ears, _, _| ears.outputs.push_back(Output::Resume { conn }));
    turn_until(&mut reactor, |ears| ears.received == 8);
}

/// Sends blocks and gets them back, looking at nothing: what is left is the loop's own cost.
struct Stream {
    outputs: std::collections::VecDeque<Output>,
    server: Option<ConnId>,
    client: Option<ConnId>,
    to_send: usize,
    to_receive: usize,
    back: usize,
    block: Vec<u8>,
}

impl Engine for Stream {
    fn handle(&mut self, _: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Listening { at, .. } => {
                self.outputs.push_back(Output::Dial { tag: 2, to: at.unwrap() });
            }
            Input::Accepted { conn, .. } => self.server = Some(conn),
            Input::Dialed { conn, .. } => {
                let conn = conn.unwrap();
                self.client = Some(conn);
                self.outputs.push_back(Output::Wake { conn });
            }
            _ => {}
        }
    }
    fn bytes(&mut self, _: Instant, conn: ConnId, buf: &mut [u8], _: &mut dyn Disk) -> Consumed {
        if Some(conn) == self.client {
            self.to_receive -= buf.len();
            if self.to_receive == 0 {
                self.outputs.push_back(Output::Exit { code: 0 });
            }
        } else {
            self.back += buf.len();
            self.outputs.push_back(Output::Wake { conn });
        }
        Consumed { bytes: buf.len(), frames: 1, ..Consumed::default() }
    }
    fn poll_frames(
        &mut self,
        _: Instant,
        conn: ConnId,
        out: &mut Vec<u8>,
        room: usize,
        _: &mut dyn Disk,
    ) {
        let left = if Some(conn) == self.client { &mut self.to_send } else { &mut self.back };
        let n = (*left).min(room).min(self.block.len());
        *left -= n;
        out.extend_from_slice(&self.block[..n]);
    }
    fn work(&mut self, _: Instant, _: usize, _: &mut dyn Disk) -> Work {
        Work::Idle
    }
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn next_deadline(&mut self) -> Option<Instant> {
        None
    }
}

/// `cargo test --release --test reactor -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let bytes = 4 << 30;
    let engine = Stream {
        outputs: [Output::Listen { tag: 1, at: anywhere() }].into(),
        server: None,
        client: None,
        to_send: bytes,
        to_receive: bytes,
        back: 0,
        block: vec![7; 65_536],
    };
    let mut reactor = Reactor::new(linux(), engine, Tuning::default());
    let start = std::time::Instant::now();
    assert_eq!(reactor.run().unwrap(), 0);
    let took = start.elapsed().as_secs_f64();
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    let stats = reactor.stats();
    let gb = stats.bytes_read as f64 / 1e9;
    eprintln!("one thread: {gb:.2} GB sent and received in {took:.2} s: {:.2} GB/s", gb / took);
    eprintln!("{cpu:.2} s of CPU: {:.2} GB/s if it had the machine for itself", gb / cpu);
    let calls = (stats.reads + stats.writes + stats.turns) as f64;
    eprintln!("{:.2} system calls for 64 KiB; {stats:?}", calls / (gb * 1e9 / 65_536.0));
}
