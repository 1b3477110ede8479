//! The loop over a fake system: pipes of drawn size that read and write in pieces, interrupt, and
//! tell of readiness once.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::{Engine, Reactor, Tuning};
use gannet::rng::Rng;
use gannet::store::disk::{Dir, Disk};
use gannet::sys::linux::disk::LinuxDisk;
use gannet::sys::{
    Bind, Endpoint, Event, Handle, Interface, Program, Route, Signal, Sys, WatchEvent,
};
use gannet::time::{Instant, Wall};

use super::mill::{Mill, Plan};

struct End {
    peer: Handle,
    incoming: VecDeque<u8>,
    fin: bool,
    /// The peer's write would have blocked.
    awaited: bool,
}

pub struct FakeSys {
    pub rng: Rng,
    pub clock: u64,
    next: u32,
    ends: BTreeMap<Handle, End>,
    listener: Option<(Handle, VecDeque<Handle>)>,
    events: Vec<Event>,
    pub capacity: usize,
    disk: LinuxDisk,
    /// What a datagram socket gives, in this order, told of once.
    datagrams: VecDeque<io::Result<usize>>,
    /// It never tells of what is not there.
    pub quiet: bool,
    /// Who is accepted.
    pub from: Endpoint,
    /// What there is of the network, how often it was listed, and who hears of changes.
    interfaces: Vec<Interface>,
    routes: Vec<Route>,
    listed: usize,
    changes: Option<Handle>,
}

impl FakeSys {
    pub fn new(seed: u64) -> FakeSys {
        let mut rng = Rng::from_seed(seed ^ 0xfa4e);
        let capacity = [1, 7, 1000, 100_000][rng.below(4) as usize];
        FakeSys {
            rng,
            clock: 1_000_000,
            next: 0,
            ends: BTreeMap::new(),
            listener: None,
            events: Vec::new(),
            capacity,
            disk: LinuxDisk::new(),
            datagrams: VecDeque::new(),
            quiet: false,
            from: Endpoint::Unix("peer".into()),
            interfaces: Vec::new(),
            routes: Vec::new(),
            listed: 0,
            changes: None,
        }
    }

    fn handle(&mut self) -> Handle {
        self.next += 1;
        Handle(self.next)
    }

    fn event(&mut self, handle: Handle, readable: bool, writable: bool) {
        self.events.push(Event { handle, readable, writable });
    }

    /// At most `max`, and a trouble now and then.
    fn piece(&mut self, max: usize) -> io::Result<usize> {
        match self.rng.below(12) {
            0 => Err(ErrorKind::Interrupted.into()),
            1..4 => Ok(1.min(max)),
            _ => Ok(1 + self.rng.below(max.max(1) as u64) as usize),
        }
    }
}

fn blocked<T>() -> io::Result<T> {
    Err(ErrorKind::WouldBlock.into())
}

fn none<T>() -> io::Result<T> {
    Err(ErrorKind::Unsupported.into())
}

impl Sys for FakeSys {
    type Disk = LinuxDisk;

    fn disk(&mut self) -> &mut LinuxDisk {
        &mut self.disk
    }
    fn now(&mut self) -> Instant {
        Instant(self.clock)
    }
    fn wall(&mut self) -> Wall {
        Wall(0)
    }
    fn entropy(&mut self, out: &mut [u8]) {
        self.rng.fill(out);
    }
    fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        if self.rng.one_in(10) {
            return Err(ErrorKind::Interrupted.into());
        }
        self.rng.shuffle(&mut self.events);
        out.append(&mut self.events);
        if out.is_empty() {
            let timeout = timeout.expect("asleep for ever with work undone");
            self.clock += timeout.as_micros() as u64;
        }
        // Nothing, said loudly.
        if !self.quiet && self.rng.one_in(5) && self.next > 0 {
            let handle = Handle(1 + self.rng.below(u64::from(self.next)) as u32);
            out.push(Event { handle, readable: true, writable: true });
        }
        self.clock += self.rng.below(50);
        Ok(())
    }
    fn listen(&mut self, at: &Endpoint) -> io::Result<(Handle, Endpoint)> {
        let handle = self.handle();
        self.listener = Some((handle, VecDeque::new()));
        Ok((handle, at.clone()))
    }
    fn accept(&mut self, _: Handle) -> io::Result<(Handle, Endpoint)> {
        if self.rng.one_in(6) {
            return Err(ErrorKind::Interrupted.into());
        }
        let at = self.from.clone();
        match self.listener.as_mut().and_then(|(_, backlog)| backlog.pop_front()) {
            Some(handle) => Ok((handle, at)),
            None => blocked(),
        }
    }
    fn connect(&mut self, _: &Endpoint) -> io::Result<Handle> {
        let (near, far) = (self.handle(), self.handle());
        for (here, peer) in [(near, far), (far, near)] {
            let end = End { peer, incoming: VecDeque::new(), fin: false, awaited: false };
            self.ends.insert(here, end);
        }
        let (listener, backlog) = self.listener.as_mut().unwrap();
        backlog.push_back(far);
        let listener = *listener;
        self.event(listener, true, false);
        self.event(near, false, true);
        Ok(near)
    }
    fn connected(&mut self, _: Handle) -> io::Result<bool> {
        if self.rng.one_in(3) { Err(ErrorKind::Interrupted.into()) } else { Ok(true) }
    }
    fn read(&mut self, stream: Handle, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!buf.is_empty());
        let n = self.piece(buf.len())?;
        let Some(end) = self.ends.get_mut(&stream) else { panic!("read of a closed handle") };
        if end.incoming.is_empty() {
            return if end.fin { Ok(0) } else { blocked() };
        }
        let n = n.min(end.incoming.len());
        for (to, from) in buf.iter_mut().zip(end.incoming.drain(..n)) {
            *to = from;
        }
        if std::mem::take(&mut end.awaited) {
            let peer = end.peer;
            self.event(peer, false, true);
        }
        Ok(n)
    }
    fn write(&mut self, stream: Handle, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty());
        let n = self.piece(bytes.len())?;
        let peer = self.ends.get(&stream).expect("write to a closed handle").peer;
        let capacity = self.capacity;
        let Some(end) = self.ends.get_mut(&peer) else { return Err(ErrorKind::BrokenPipe.into()) };
        let n = n.min(capacity - end.incoming.len());
        if n == 0 {
            end.awaited = true;
            return blocked();
        }
        end.incoming.extend(&bytes[..n]);
        self.event(peer, true, false);
        Ok(n)
    }
    fn unacknowledged(&mut self, _: Handle) -> io::Result<usize> {
        none()
    }
    fn shutdown(&mut self, stream: Handle) -> io::Result<()> {
        let peer = self.ends[&stream].peer;
        if let Some(end) = self.ends.get_mut(&peer) {
            end.fin = true;
            self.event(peer, true, false);
        }
        Ok(())
    }
    fn close(&mut self, handle: Handle) {
        if self.ends.contains_key(&handle) {
            let _ = self.shutdown(handle);
            self.ends.remove(&handle);
        }
    }
    fn bind(&mut self, _: &Bind) -> io::Result<(Handle, SocketAddr)> {
        let handle = self.handle();
        self.event(handle, true, false);
        Ok((handle, ([127, 0, 0, 1], 1).into()))
    }
    fn join(&mut self, _: Handle, _: IpAddr, _: &Interface) -> io::Result<()> {
        none()
    }
    fn leave(&mut self, _: Handle, _: IpAddr, _: &Interface) -> io::Result<()> {
        none()
    }
    fn send_to(
        &mut self,
        _: Handle,
        _: SocketAddr,
        _: Option<&Interface>,
        _: &[u8],
    ) -> io::Result<usize> {
        none()
    }
    fn receive_from(&mut self, _: Handle, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.datagrams.pop_front() {
            Some(got) => got.map(|bytes| (bytes, ([127, 0, 0, 1], 2).into())),
            None => blocked(),
        }
    }
    fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        if self.rng.one_in(5) {
            return Err(ErrorKind::Interrupted.into());
        }
        self.listed += 1;
        Ok(self.interfaces.clone())
    }
    fn routes(&mut self) -> io::Result<Vec<Route>> {
        Ok(self.routes.clone())
    }
    fn watch_interfaces(&mut self) -> io::Result<Handle> {
        let handle = self.handle();
        self.changes = Some(handle);
        Ok(handle)
    }
    fn watch_open(&mut self) -> io::Result<Handle> {
        none()
    }
    fn watch_add(&mut self, _: Handle, _: Dir, _: &Path) -> io::Result<u32> {
        none()
    }
    fn watch_remove(&mut self, _: Handle, _: u32) {}
    fn watch_next(&mut self, _: Handle) -> io::Result<WatchEvent> {
        none()
    }
    fn signal(&mut self) -> Option<Signal> {
        None
    }
    fn spawn(&mut self, _: &Program) -> io::Result<u32> {
        none()
    }
    fn reap(&mut self) -> Option<(u32, i32)> {
        None
    }
}

/// Hears datagrams, and of the network.
#[derive(Default)]
struct Ear {
    outputs: VecDeque<Output>,
    heard: usize,
    lists: Vec<Vec<Interface>>,
    rerouted: usize,
}

impl Engine for Ear {
    fn handle(&mut self, _: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Datagram { .. } => self.heard += 1,
            Input::Interfaces(list) => self.lists.push(list),
            Input::Rerouted => self.rerouted += 1,
            _ => {}
        }
    }
    fn bytes(&mut self, _: Instant, _: ConnId, _: &mut [u8], _: &mut dyn Disk) -> Consumed {
        Consumed::default()
    }
    fn poll_frames(&mut self, _: Instant, _: ConnId, _: &mut Vec<u8>, _: usize, _: &mut dyn Disk) {}
    fn work(&mut self, _: Instant, _: usize, _: &mut dyn Disk) -> Work {
        Work::Idle
    }
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn next_deadline(&mut self) -> Option<Instant> {
        Some(Instant(u64::MAX / 2))
    }
}

#[test]
fn datagrams_behind_many_errors_are_read() {
    let mut sys = FakeSys::new(1);
    sys.quiet = true;
    // What many datagrams of ours met at their destinations, and an answer.
    let errors = (0..3 * limits::SOCKET_ERRORS).map(|_| Err(ErrorKind::ConnectionRefused.into()));
    sys.datagrams = errors.chain([Ok(5)]).collect();
    let at = Bind { at: ([127, 0, 0, 1], 0).into(), shared: false, multicast_ttl: 1 };
    let bind = Output::Bind { tag: 1, bind: at };
    let ear = Ear { outputs: [bind].into(), ..Ear::default() };
    let mut reactor = Reactor::new(sys, ear, Tuning::default());
    for _ in 0..20 {
        assert_eq!(reactor.turn().unwrap(), None);
        reactor.check();
    }
    assert_eq!(reactor.engine().heard, 1);
}

/// The system tells of a change of the network, and time passes.
fn change(reactor: &mut Reactor<FakeSys, Ear>, what: impl FnOnce(&mut FakeSys)) {
    let sys = reactor.sys();
    what(sys);
    let changes = sys.changes.expect("it is watched");
    sys.event(changes, true, false);
    sys.clock += 10_000;
    assert_eq!(reactor.turn().unwrap(), None);
    reactor.check();
}

#[test]
fn l04_the_network_is_looked_at_four_times_a_second_at_most_and_after_the_last_change() {
    let mut sys = FakeSys::new(1);
    sys.quiet = true;
    let address = |n: u8| Interface {
        index: 2,
        name: "eth0".into(),
        address: [10, 0, 0, n].into(),
        loopback: false,
        multicast: true,
    };
    let route = |n: u8| Route { interface: 2, gateway: Some([10, 0, 0, n].into()), own: None };
    let ear = Ear { outputs: [Output::WatchInterfaces].into(), ..Ear::default() };
    let mut reactor = Reactor::new(sys, ear, Tuning::default());
    change_begins(&mut reactor);
    let before = reactor.sys().listed;
    // Ten seconds in which the address is another one at each look.
    for n in 0..1000 {
        change(&mut reactor, |sys| sys.interfaces = vec![address(n as u8)]);
    }
    let listed = reactor.sys().listed - before;
    assert!((30..=42).contains(&listed), "listed {listed} times in ten seconds");
    // Nothing more is told, and the last is found all the same.
    while reactor.engine().lists.last() != Some(&vec![address(231)]) {
        assert!(reactor.sys().listed < before + listed + 2, "the last change was never seen");
        assert_eq!(reactor.turn().unwrap(), None);
    }
    // What is as before is not told of; that the way out is another is, once.
    let lists = reactor.engine().lists.len();
    for n in 0..100 {
        change(&mut reactor, |sys| sys.routes = vec![route(1 + n / 50)]);
    }
    assert_eq!((reactor.engine().lists.len(), reactor.engine().rerouted), (lists, 2));
}

/// Until the interfaces were listed once: that is no change.
fn change_begins(reactor: &mut Reactor<FakeSys, Ear>) {
    while reactor.sys().listed == 0 {
        assert_eq!(reactor.turn().unwrap(), None);
    }
    assert_eq!((reactor.engine().lists.len(), reactor.engine().rerouted), (1, 0));
}

/// Quanta from one byte up: with the usual ones many a mistake never shows.
fn drawn_tuning(rng: &mut Rng) -> Tuning {
    let mut size = |max: u64| match rng.below(3) {
        0 => 1 + rng.below(3) as usize,
        1 => 1 + rng.below(max / 16 + 1) as usize,
        _ => 1 + rng.below(max) as usize,
    };
    Tuning {
        read_quantum: size(100_000),
        write_quantum: size(100_000),
        frame_quantum: size(300),
        send_low: size(50_000),
        send_room: size(100_000),
        send_memory: size(300_000),
        receive_memory: size(300_000),
        connections: 40,
        accepts: size(8),
        // Bytes may take long here.
        dial_timeout: Duration::from_secs(3600),
        write_stall: Duration::from_secs(1 << 30),
        linger: Duration::from_secs(1 << 30),
        ..Tuning::default()
    }
}

#[test]
fn every_frame_comes_back_whatever_the_pieces() {
    for seed in 0..40 {
        let mut rng = Rng::from_seed(seed);
        let plan = Plan {
            clients: 1 + rng.below(8) as usize,
            frames: 1 + rng.below(12) as usize,
            largest: [10, 500, 200_000][seed as usize % 3],
            server_closes: rng.one_in(3),
        };
        let mut sys = FakeSys::new(seed);
        sys.capacity += plan.largest as usize / 20;
        let at = Endpoint::Unix("here".into());
        let mill = Mill::new(plan, at, seed);
        let mut reactor = Reactor::new(sys, mill, drawn_tuning(&mut rng));
        let mut turns = 0;
        while reactor.turn().unwrap().is_none() {
            reactor.check();
            turns += 1;
            assert!(turns < 20_000_000, "seed {seed} does not end: {:?}", reactor.stats());
        }
        assert!(reactor.engine().failed.is_empty(), "seed {seed}: {:?}", reactor.engine().failed);
    }
}
