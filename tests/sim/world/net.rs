//! Everything between and around the nodes: time, machines, their handles, and what is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use gannet::rng::Rng;
use gannet::sys::{Bind, Endpoint, Event, Handle, Interface, Program, Route, Signal};
use gannet::time::Instant;

use super::stream::{Side, Stream, StreamId};
use super::weather::Weather;
use crate::disk::Device;

pub type MachineId = usize;

pub const EINTR: i32 = 4;
pub const EBADF: i32 = 9;
pub const EAGAIN: i32 = 11;
pub const EINVAL: i32 = 22;
pub const EMFILE: i32 = 24;
pub const EPIPE: i32 = 32;
pub const EMSGSIZE: i32 = 90;
pub const EADDRINUSE: i32 = 98;
pub const EADDRNOTAVAIL: i32 = 99;
pub const ENETUNREACH: i32 = 101;
pub const ECONNABORTED: i32 = 103;
pub const ECONNRESET: i32 = 104;
pub const ETIMEDOUT: i32 = 110;
pub const ECONNREFUSED: i32 = 111;

pub fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

pub fn fail<T>(code: i32) -> io::Result<T> {
    Err(error(code))
}

/// What is under way: happens at its time.
pub enum Action {
    Syn {
        stream: StreamId,
        tries: u32,
    },
    SynAck {
        stream: StreamId,
    },
    Refused {
        stream: StreamId,
    },
    Segment {
        stream: StreamId,
        to: Side,
        bytes: Vec<u8>,
    },
    Fin {
        stream: StreamId,
        to: Side,
    },
    Reset {
        stream: StreamId,
        to: Side,
    },
    /// The reader took bytes, and now the writer knows.
    Acked {
        stream: StreamId,
        to: Side,
        bytes: usize,
    },
    /// The system of the writer gives up.
    GiveUp {
        stream: StreamId,
    },
    Datagram {
        machine: MachineId,
        socket: Handle,
        epoch: u32,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Exited {
        machine: MachineId,
        epoch: u32,
        number: u32,
        code: i32,
    },
    /// A machine that was suspended is awake.
    Awake {
        machine: MachineId,
    },
}

impl Action {
    fn stream(&self) -> Option<StreamId> {
        match self {
            Action::Syn { stream, .. }
            | Action::SynAck { stream }
            | Action::Refused { stream }
            | Action::Segment { stream, .. }
            | Action::Fin { stream, .. }
            | Action::Reset { stream, .. }
            | Action::Acked { stream, .. } => Some(*stream),
            _ => None,
        }
    }
}

/// What a handle stands for.
pub enum Thing {
    Listener { at: Endpoint, backlog: VecDeque<StreamId>, armed: bool },
    Stream { id: StreamId, side: Side },
    Udp(Udp),
    Watcher { number: u32, armed: bool },
    Interfaces { armed: bool },
}

pub struct Udp {
    pub at: SocketAddr,
    pub shared: bool,
    /// (group, interface)
    pub groups: BTreeSet<(IpAddr, u32)>,
    pub inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    pub armed: bool,
}

pub struct Nic {
    pub interface: Interface,
    pub link: usize,
    pub up: bool,
}

/// The number of a machine's loopback link; real links are smaller.
const LOOPBACK: usize = 1000;
const BACKLOG: usize = 16;
const DATAGRAMS_QUEUED: usize = 64;

/// A computer: its disk, interfaces and clock outlive its process.
pub struct Machine {
    pub device: Device,
    pub nics: Vec<Nic>,
    pub up: bool,
    /// Suspended: nothing reaches it.
    pub asleep: bool,
    /// Its ways to elsewhere, where nobody is.
    pub routes: Vec<Route>,
    /// Counts processes: what was meant for an earlier one is lost.
    pub epoch: u32,
    pub things: BTreeMap<u32, Thing>,
    pub ready: Vec<Event>,
    pub signals: VecDeque<Signal>,
    pub children: u32,
    pub exited: VecDeque<(u32, i32)>,
    pub programs: Vec<Program>,
    /// The monotonic clock gains or loses: parts in a million.
    pub drift_ppm: i64,
    /// The calendar clock is wrong by this.
    pub wall_off_ms: i64,
    pub entropy: Rng,
    next_port: u16,
}

pub struct Net {
    /// Microseconds since the beginning.
    pub now: u64,
    pub rng: Rng,
    pub weather: Weather,
    pub machines: Vec<Machine>,
    pub streams: BTreeMap<StreamId, Stream>,
    last_stream: StreamId,
    agenda: BTreeMap<(u64, u64), Action>,
    last_action: u64,
    /// Pairs (smaller, larger) that cannot reach each other, and what waits for that to end.
    parted: BTreeMap<(MachineId, MachineId), Vec<Action>>,
    /// What streams have sent since one of their ends was cut off, and since when.
    stranded: BTreeMap<StreamId, (u64, Vec<Action>)>,
    latency: BTreeMap<(MachineId, MachineId), u64>,
    pub trace: u64,
    pub verbose: bool,
}

impl Net {
    pub fn new(seed: u64, weather: Weather) -> Net {
        Net {
            now: 1_000_000,
            rng: Rng::from_seed(seed),
            weather,
            machines: Vec::new(),
            streams: BTreeMap::new(),
            last_stream: 0,
            agenda: BTreeMap::new(),
            last_action: 0,
            parted: BTreeMap::new(),
            stranded: BTreeMap::new(),
            latency: BTreeMap::new(),
            trace: 0,
            verbose: std::env::var_os("GANNET_SIM_TRACE").is_some(),
        }
    }

    /// A new machine on the links given (up to 256), switched on.
    pub fn add_machine(&mut self, links: &[usize]) -> MachineId {
        let id = self.machines.len();
        let mut nics = vec![nic(1, "lo", Ipv4Addr::LOCALHOST, LOOPBACK)];
        for (place, link) in links.iter().enumerate() {
            let address = Ipv4Addr::new(10, *link as u8, 0, id as u8 + 1);
            nics.push(nic(place as u32 + 2, &format!("eth{place}"), address, *link));
        }
        let seed = self.rng.next_u64();
        self.machines.push(Machine {
            device: Device::new(seed),
            nics,
            up: true,
            asleep: false,
            routes: Vec::new(),
            epoch: 0,
            things: BTreeMap::new(),
            ready: Vec::new(),
            signals: VecDeque::new(),
            children: 0,
            exited: VecDeque::new(),
            programs: Vec::new(),
            drift_ppm: 0,
            wall_off_ms: 0,
            entropy: Rng::from_seed(seed ^ 0xe47),
            next_port: 40_000,
        });
        id
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.rng.one_in(one_in)
    }

    /// Folds a call and its result into the trace.
    pub fn note<T: Hash + std::fmt::Debug>(&mut self, machine: MachineId, what: &str, facts: T) {
        if self.verbose {
            eprintln!("{:>12} m{machine} {what} {facts:?}", self.now);
        }
        let mut hasher = DefaultHasher::new();
        (self.trace, self.now, machine, what, facts).hash(&mut hasher);
        self.trace = hasher.finish();
    }

    // ── Time ────────────────────────────────────────────────────────────────────────────────────

    /// The monotonic clock of a machine.
    pub fn clock(&self, machine: MachineId) -> Instant {
        let drift = self.now as i128 * i128::from(self.machines[machine].drift_ppm) / 1_000_000;
        Instant((self.now as i128 + drift) as u64)
    }

    /// When that clock shows `at` or more.
    pub fn time_of(&self, machine: MachineId, at: Instant) -> u64 {
        let ppm = 1_000_000 + i128::from(self.machines[machine].drift_ppm);
        (((i128::from(at.0)) * 1_000_000).div_euclid(ppm) + 2) as u64
    }

    /// Milliseconds since 1970.
    pub fn wall(&self, machine: MachineId) -> i64 {
        1_700_000_000_000 + (self.now / 1000) as i64 + self.machines[machine].wall_off_ms
    }

    pub fn schedule(&mut self, at: u64, action: Action) {
        self.last_action += 1;
        self.agenda.insert((at.max(self.now), self.last_action), action);
    }

    /// When the next thing under way happens.
    pub fn next(&self) -> Option<u64> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due.
    pub fn happen(&mut self) {
        while let Some(((at, number), _)) = self.agenda.first_key_value() {
            let key = (*at, *number);
            if key.0 > self.now {
                break;
            }
            if let Some(action) = self.agenda.remove(&key) {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        let pair = action.stream().and_then(|id| self.streams.get(&id)).map(Stream::pair);
        if let Some(pair) = pair
            && let Some(waiting) = self.parted.get_mut(&pair)
        {
            match action {
                Action::Syn { stream, tries } => {
                    let at = self.now + (1_000_000 << tries.min(6));
                    self.schedule(at, Action::Syn { stream, tries: tries + 1 });
                }
                other => waiting.push(other),
            }
            return;
        }
        if let Some(id) = action.stream().filter(|id| !self.reaches(*id)) {
            match action {
                Action::Syn { stream, tries } => {
                    let at = self.now + (1_000_000 << tries.min(6));
                    self.schedule(at, Action::Syn { stream, tries: tries + 1 });
                }
                other => {
                    let since = self.now;
                    self.stranded.entry(id).or_insert((since, Vec::new())).1.push(other);
                }
            }
            return;
        }
        match action {
            Action::Awake { machine } => {
                self.machines[machine].asleep = false;
                self.float();
            }
            Action::Syn { stream, tries } => self.syn(stream, tries),
            Action::SynAck { stream } => self.syn_ack(stream),
            Action::Refused { stream } => self.reset_arrives(stream, Side::Dialer, ECONNREFUSED),
            Action::Segment { stream, to, bytes } => self.segment_arrives(stream, to, bytes),
            Action::Fin { stream, to } => self.fin_arrives(stream, to),
            Action::Reset { stream, to } => self.reset_arrives(stream, to, ECONNRESET),
            Action::Acked { stream, to, bytes } => self.acked(stream, to, bytes),
            Action::GiveUp { stream } => self.give_up(stream),
            Action::Datagram { machine, socket, epoch, from, bytes } => {
                self.datagram_arrives(machine, socket, epoch, from, bytes);
            }
            Action::Exited { machine, epoch, number, code } => {
                let machine = &mut self.machines[machine];
                if machine.epoch == epoch {
                    machine.exited.push_back((number, code));
                    machine.signals.push_back(Signal::Child);
                }
            }
        }
    }

    // ── Partitions ──────────────────────────────────────────────────────────────────────────────

    /// From now on nothing passes between the two.
    pub fn part(&mut self, a: MachineId, b: MachineId) {
        self.parted.entry((a.min(b), a.max(b))).or_default();
    }

    /// The two can reach each other again; streams go on unless their systems gave up.
    pub fn heal(&mut self, a: MachineId, b: MachineId) {
        let pair = (a.min(b), a.max(b));
        let waiting = self.parted.remove(&pair).unwrap_or_default();
        let at = self.now + self.latency(a, b);
        for action in waiting {
            self.schedule(at, action);
        }
    }

    pub fn heal_all(&mut self) {
        let pairs: Vec<_> = self.parted.keys().copied().collect();
        for (a, b) in pairs {
            self.heal(a, b);
        }
    }

    /// Nothing reaches a machine, nor comes from it, for a while.
    pub fn suspend(&mut self, machine: MachineId, us: u64) {
        self.machines[machine].asleep = true;
        self.schedule(self.now + us, Action::Awake { machine });
    }

    /// What waited for an interface, an address or a machine is sent again: systems try later and later,
    /// so that takes as long again as it was cut off, at most.
    fn float(&mut self) {
        for (id, (since, waiting)) in std::mem::take(&mut self.stranded) {
            if !self.streams.contains_key(&id) {
                continue;
            }
            if !self.reaches(id) {
                self.stranded.insert(id, (since, waiting));
                continue;
            }
            let at = self.now + self.rng.below(self.now - since + 1000);
            waiting.into_iter().for_each(|action| self.schedule(at, action));
            self.arrives_behind(id, at);
        }
    }

    /// The streams between two machines that anybody still has: whether each is good for anything.
    pub fn lines(&self, a: MachineId, b: MachineId) -> Vec<bool> {
        let between =
            self.streams.iter().filter(|(_, stream)| stream.pair() == (a.min(b), a.max(b)));
        let held = between.filter(|(_, stream)| stream.held().0);
        held.map(|(id, stream)| stream.held().1 && self.reaches(*id)).collect()
    }

    /// Packets to elsewhere take another way from now on.
    pub fn reroute(&mut self, machine: MachineId, gateway: IpAddr) {
        let route = Route { interface: 2, gateway: Some(gateway), own: None };
        self.machines[machine].routes = vec![route];
        self.say_interfaces(machine);
    }

    pub fn parted(&self, a: MachineId, b: MachineId) -> bool {
        self.parted.contains_key(&(a.min(b), a.max(b)))
    }

    /// One way, in microseconds.
    pub fn latency(&mut self, a: MachineId, b: MachineId) -> u64 {
        if a == b {
            return 10;
        }
        let (low, high) = self.weather.latency_us;
        let pair = (a.min(b), a.max(b));
        match self.latency.get(&pair) {
            Some(latency) => *latency,
            None => {
                let drawn = self.rng.between(low, high);
                self.latency.insert(pair, drawn);
                drawn
            }
        }
    }

    // ── Handles ─────────────────────────────────────────────────────────────────────────────────

    /// The lowest free number, as a system gives them out.
    pub fn keep(&mut self, machine: MachineId, thing: Thing) -> Handle {
        let things = &mut self.machines[machine].things;
        let number = (3..).find(|n| !things.contains_key(n)).unwrap_or(3);
        things.insert(number, thing);
        Handle(number)
    }

    pub fn thing(&mut self, machine: MachineId, handle: Handle) -> io::Result<&mut Thing> {
        self.machines[machine].things.get_mut(&handle.0).ok_or_else(|| error(EBADF))
    }

    pub fn wake(&mut self, machine: MachineId, handle: Handle, readable: bool, writable: bool) {
        let ready = &mut self.machines[machine].ready;
        match ready.iter_mut().find(|event| event.handle == handle) {
            Some(event) => {
                event.readable |= readable;
                event.writable |= writable;
            }
            None => ready.push(Event { handle, readable, writable }),
        }
    }

    /// What a wait returns: sometimes only a part, in any order, with lies among it.
    pub fn events(&mut self, machine: MachineId, out: &mut Vec<Event>) -> io::Result<()> {
        self.collect_watches(machine);
        if self.chance(self.weather.interrupted) {
            return fail(EINTR);
        }
        let mut ready = std::mem::take(&mut self.machines[machine].ready);
        if self.chance(self.weather.spurious) {
            self.rng.shuffle(&mut ready);
            let cut = self.rng.between(1.min(ready.len() as u64), ready.len() as u64) as usize;
            self.machines[machine].ready = ready.split_off(cut);
            let numbers: Vec<u32> = self.machines[machine].things.keys().copied().collect();
            if !numbers.is_empty() {
                let handle = Handle(numbers[self.rng.below(numbers.len() as u64) as usize]);
                let (readable, writable) = (self.rng.one_in(2), self.rng.one_in(2));
                ready.push(Event { handle, readable, writable });
            }
        }
        out.extend(ready);
        Ok(())
    }

    /// Turns what the disk's watchers saw into readiness.
    fn collect_watches(&mut self, machine: MachineId) {
        let woken = std::mem::take(&mut self.machines[machine].device.fs().woken);
        for watcher in woken {
            let found =
                self.machines[machine].things.iter_mut().find_map(|(n, thing)| match thing {
                    Thing::Watcher { number, armed } if *number == watcher => {
                        std::mem::take(armed).then_some(*n)
                    }
                    _ => None,
                });
            if let Some(number) = found {
                self.wake(machine, Handle(number), true, false);
            }
        }
    }

    /// Whether the machine's process has something to hear.
    pub fn stirs(&mut self, machine: MachineId) -> bool {
        let machine = &self.machines[machine];
        !machine.ready.is_empty()
            || !machine.signals.is_empty()
            || !machine.device.fs().woken.is_empty()
    }

    // ── Addresses ───────────────────────────────────────────────────────────────────────────────

    pub fn free_port(&mut self, machine: MachineId) -> u16 {
        let machine = &mut self.machines[machine];
        machine.next_port = machine.next_port.checked_add(1).unwrap_or(40_000);
        machine.next_port
    }

    /// The machine that has `to`, and our own address on the way there.
    pub fn route(&self, from: MachineId, to: IpAddr) -> Option<(MachineId, IpAddr)> {
        let own = &self.machines[from].nics;
        if own.iter().any(|nic| nic.up && nic.interface.address == to) {
            return Some((from, to));
        }
        own.iter().filter(|nic| nic.up && nic.link != LOOPBACK).find_map(|mine| {
            let there = self.machines.iter().position(|machine| {
                let mut nics = machine.nics.iter();
                nics.any(|nic| nic.link == mine.link && nic.up && nic.interface.address == to)
            });
            there.map(|there| (there, mine.interface.address))
        })
    }

    /// Whether `from` has any interface up that could lead to `to`'s link.
    pub fn can_try(&self, from: MachineId, to: IpAddr) -> bool {
        let IpAddr::V4(to) = to else { return false };
        self.machines[from].nics.iter().any(|nic| match nic.interface.address {
            IpAddr::V4(own) => nic.up && own.octets()[..2] == to.octets()[..2],
            IpAddr::V6(_) => false,
        })
    }

    pub fn listen(&mut self, machine: MachineId, at: &Endpoint) -> io::Result<(Handle, Endpoint)> {
        let at = match at {
            Endpoint::Tcp(address) => {
                self.own_address(machine, address.ip())?;
                let port = match address.port() {
                    0 => self.free_port(machine),
                    port => port,
                };
                Endpoint::Tcp(SocketAddr::new(address.ip(), port))
            }
            unix => unix.clone(),
        };
        let taken = self.machines[machine].things.values().any(|thing| match (thing, &at) {
            (Thing::Listener { at: Endpoint::Tcp(other), .. }, Endpoint::Tcp(at)) => {
                other.port() == at.port() && overlap(other.ip(), at.ip())
            }
            (Thing::Listener { at: other, .. }, at) => other == at,
            _ => false,
        });
        if taken {
            return fail(EADDRINUSE);
        }
        let backlog = VecDeque::new();
        let handle = self.keep(machine, Thing::Listener { at: at.clone(), backlog, armed: false });
        Ok((handle, at))
    }

    fn own_address(&self, machine: MachineId, address: IpAddr) -> io::Result<()> {
        let mut nics = self.machines[machine].nics.iter();
        let own = nics.any(|nic| nic.up && nic.interface.address == address);
        if own || address.is_unspecified() || address.is_multicast() {
            Ok(())
        } else {
            fail(EADDRNOTAVAIL)
        }
    }

    /// The listener of `machine` that `to` reaches, if its backlog has room.
    pub fn listener(&self, machine: MachineId, to: &Endpoint) -> Option<Handle> {
        let machine = &self.machines[machine];
        if !machine.up {
            return None;
        }
        machine.things.iter().find_map(|(number, thing)| {
            let Thing::Listener { at, backlog, .. } = thing else { return None };
            let hit = match (at, to) {
                (Endpoint::Tcp(at), Endpoint::Tcp(to)) => {
                    at.port() == to.port() && (at.ip().is_unspecified() || at.ip() == to.ip())
                }
                (at, to) => at == to,
            };
            (hit && backlog.len() < BACKLOG).then_some(Handle(*number))
        })
    }

    pub fn new_stream(&mut self, stream: Stream) -> StreamId {
        self.last_stream += 1;
        self.streams.insert(self.last_stream, stream);
        self.last_stream
    }

    // ── Interfaces ──────────────────────────────────────────────────────────────────────────────

    pub fn interfaces(&mut self, machine: MachineId) -> Vec<Interface> {
        let machine = &mut self.machines[machine];
        for thing in machine.things.values_mut() {
            if let Thing::Interfaces { armed } = thing {
                *armed = true;
            }
        }
        let up = machine.nics.iter().filter(|nic| nic.up);
        up.map(|nic| nic.interface.clone()).collect()
    }

    /// An interface (by place, 1 = the first real one) goes up or down. Who is a member of a group there
    /// is one again, as Linux has it.
    pub fn set_interface(&mut self, machine: MachineId, place: usize, up: bool) {
        let Some(nic) = self.machines[machine].nics.get_mut(place) else { return };
        if std::mem::replace(&mut nic.up, up) == up {
            return;
        }
        self.say_interfaces(machine);
        self.float();
    }

    fn say_interfaces(&mut self, machine: MachineId) {
        let mut woken = Vec::new();
        for (number, thing) in &mut self.machines[machine].things {
            if let Thing::Interfaces { armed } = thing {
                woken.extend(std::mem::take(armed).then_some(*number));
            }
        }
        for number in woken {
            self.wake(machine, Handle(number), true, false);
        }
    }

    // ── Datagrams ───────────────────────────────────────────────────────────────────────────────

    pub fn bind(&mut self, machine: MachineId, bind: &Bind) -> io::Result<(Handle, SocketAddr)> {
        self.own_address(machine, bind.at.ip())?;
        let port = if bind.at.port() == 0 { self.free_port(machine) } else { bind.at.port() };
        let at = SocketAddr::new(bind.at.ip(), port);
        let taken = self.machines[machine].things.values().any(|thing| {
            matches!(thing, Thing::Udp(udp) if udp.at.port() == port
                && overlap(udp.at.ip(), at.ip()) && !(udp.shared && bind.shared))
        });
        if taken {
            return fail(EADDRINUSE);
        }
        let udp = Udp {
            at,
            shared: bind.shared,
            groups: BTreeSet::new(),
            inbox: VecDeque::new(),
            armed: false,
        };
        Ok((self.keep(machine, Thing::Udp(udp)), at))
    }

    pub fn send_to(
        &mut self,
        machine: MachineId,
        socket: Handle,
        to: SocketAddr,
        via: Option<u32>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let Thing::Udp(udp) = self.thing(machine, socket)? else { return fail(EINVAL) };
        let port = udp.at.port();
        if bytes.len() > 65_507 {
            return fail(EMSGSIZE);
        }
        let mut targets = Vec::new();
        let from;
        if to.ip().is_multicast() {
            let nics = &self.machines[machine].nics;
            let out = nics.iter().find(|nic| match via {
                Some(index) => nic.up && index == nic.interface.index,
                None => nic.up && nic.interface.multicast,
            });
            let Some(out) = out else { return fail(ENETUNREACH) };
            from = out.interface.address;
            let link = out.link;
            for (id, there) in self.machines.iter().enumerate().filter(|(_, there)| there.up) {
                if link == LOOPBACK && id != machine {
                    continue;
                }
                for nic in there.nics.iter().filter(|nic| nic.up && nic.link == link) {
                    let member = (to.ip(), nic.interface.index);
                    targets.extend(there.things.iter().filter_map(|(number, thing)| match thing {
                        Thing::Udp(udp) if udp.at.port() == to.port() => {
                            udp.groups.contains(&member).then_some((id, Handle(*number)))
                        }
                        _ => None,
                    }));
                }
            }
        } else {
            let Some((there, own)) = self.route(machine, to.ip()) else { return fail(ENETUNREACH) };
            from = own;
            let things = self.machines[there].things.iter();
            targets.extend(things.filter_map(|(number, thing)| match thing {
                Thing::Udp(udp) if udp.at.port() == to.port() => Some((there, Handle(*number))),
                _ => None,
            }));
            targets.truncate(1);
        }
        for (there, target) in targets {
            self.throw(machine, there, target, SocketAddr::new(from, port), bytes);
        }
        Ok(bytes.len())
    }

    fn throw(
        &mut self,
        from: MachineId,
        machine: MachineId,
        socket: Handle,
        source: SocketAddr,
        bytes: &[u8],
    ) {
        if self.parted(from, machine) || self.chance(self.weather.datagram_loss) {
            return;
        }
        let copies = if self.chance(self.weather.datagram_twice) { 2 } else { 1 };
        for _ in 0..copies {
            let mut at = self.now + self.latency(from, machine);
            if self.chance(self.weather.datagram_late) {
                at += self.rng.below(300_000);
            }
            let epoch = self.machines[machine].epoch;
            let bytes = bytes.to_vec();
            self.schedule(at, Action::Datagram { machine, socket, epoch, from: source, bytes });
        }
    }

    fn datagram_arrives(
        &mut self,
        machine: MachineId,
        socket: Handle,
        epoch: u32,
        from: SocketAddr,
        bytes: Vec<u8>,
    ) {
        let there = &self.machines[machine];
        if there.epoch != epoch || !there.up || there.asleep {
            return;
        }
        if let Ok(Thing::Udp(udp)) = self.thing(machine, socket)
            && udp.inbox.len() < DATAGRAMS_QUEUED
        {
            udp.inbox.push_back((from, bytes));
            if std::mem::take(&mut udp.armed) {
                self.wake(machine, socket, true, false);
            }
        }
    }

    // ── Processes ───────────────────────────────────────────────────────────────────────────────

    /// The process of a machine is gone; its system closes what it had open. After a power cut
    /// (`silent`) nobody tells the peers.
    pub fn end_process(&mut self, machine: MachineId, silent: bool) {
        let handles: Vec<u32> = self.machines[machine].things.keys().copied().collect();
        for number in handles {
            if silent
                && let Some(Thing::Stream { id, side }) = self.machines[machine].things.get(&number)
            {
                let (id, side) = (*id, *side);
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.end_mut(side).gone = true;
                }
            }
            self.close(machine, Handle(number));
        }
        let machine = &mut self.machines[machine];
        machine.epoch += 1;
        machine.ready.clear();
        machine.signals.clear();
        machine.exited.clear();
    }

    pub fn close(&mut self, machine: MachineId, handle: Handle) {
        self.machines[machine].ready.retain(|event| event.handle != handle);
        match self.machines[machine].things.remove(&handle.0) {
            Some(Thing::Stream { id, side }) => self.close_stream(id, side),
            Some(Thing::Listener { backlog, .. }) => {
                for id in backlog {
                    self.close_stream(id, Side::Listener);
                }
            }
            Some(Thing::Watcher { number, .. }) => {
                self.machines[machine].device.fs().watch_close(number);
            }
            _ => {}
        }
    }
}

fn nic(index: u32, name: &str, address: Ipv4Addr, link: usize) -> Nic {
    let loopback = link == LOOPBACK;
    Nic {
        interface: Interface {
            index,
            name: name.into(),
            address: IpAddr::V4(address),
            loopback,
            multicast: !loopback,
        },
        link,
        up: true,
    }
}

/// Whether two listeners on one port are in each other's way.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}
