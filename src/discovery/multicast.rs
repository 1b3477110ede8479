//! Finding peers on the local network by multicast DNS, as the two generations of the `dat`
//! program do it: TXT look-ups below `dat.local` (dat/SPEC §11.1) and SRV look-ups and
//! announcements below `hyperswarm.local` (§11.2). Both names are asked and answered.
//!
//! Feed it interfaces and datagrams, drain [`Multicast::poll_output`], call [`Multicast::tick`] at
//! [`Multicast::next_deadline`]. What is sent and what is reported is paced, so that a flood on
//! the network is neither amplified nor handed on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use super::allowance::Allowance;
use super::packet::{self, Kind, Marker, Prefix};
use crate::few::Few;
use crate::limits;
use crate::rng::Rng;
use crate::sys::{Bind, Interface};
use crate::time::Instant;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;

/// What the owner has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Become a member of [`group`] on this interface.
    Join(Interface),
    /// Leave [`group`] on this interface, which may be gone already.
    Leave(Interface),
    /// Send from the socket of [`bind`].
    Send { to: SocketAddr, via: Interface, bytes: Vec<u8> },
    /// Somebody says that a peer for this drive listens there (TCP). Comes again whenever it is
    /// heard again.
    Found { discovery_key: [u8; 32], addr: SocketAddr },
}

/// The socket to send from and receive on.
pub fn bind() -> Bind {
    let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    Bind { at, shared: true, multicast_ttl: 255 }
}

/// The group to join: 224.0.0.251.
pub fn group() -> IpAddr {
    GROUP.into()
}

/// The interfaces of `all` to use when TCP listens at `listen`: a loopback listener is announced
/// on loopback alone, one at a given address on the interface with that address, one at the
/// unspecified address everywhere.
pub fn usable(all: &[Interface], listen: IpAddr) -> Vec<Interface> {
    let reaches = |on: &Interface| {
        listen.is_unspecified() || on.address == listen || (on.loopback && listen.is_loopback())
    };
    // Loopback carries multicast whether or not it says so.
    let can = |on: &Interface| on.address.is_ipv4() && (on.multicast || on.loopback);
    all.iter().filter(|on| can(on) && reaches(on)).cloned().collect()
}

/// Something to do for a drive at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Announce,
    Ask(Kind),
    Answer(Kind),
}

struct Drive {
    discovery_key: [u8; 32],
    /// 0: we ask, but nobody can connect to us.
    tcp_port: u16,
    /// When each task is due; the same pairs stand in the agenda.
    due: Few<Task, Instant>,
    /// How often each task was repeated since the drive was joined.
    repeats: Few<Task, usize>,
    answered: Few<Kind, Instant>,
    /// Indexes of the interfaces that the next answer goes to.
    answer_on: BTreeSet<u32>,
    refreshed: Instant,
}

pub struct Multicast {
    rng: Rng,
    marker: Marker,
    /// One entry per interface, also when it has several addresses.
    interfaces: Vec<Interface>,
    /// All addresses of this machine.
    addresses: Vec<IpAddr>,
    drives: BTreeMap<Prefix, Drive>,
    agenda: BTreeSet<(Instant, Prefix, Task)>,
    sending: Allowance,
    finding: Allowance,
    outputs: VecDeque<Output>,
}

impl Multicast {
    /// `rng` must come from the system's entropy: other machines tell our datagrams by it.
    pub fn new(mut rng: Rng) -> Multicast {
        let mut marker = Marker { token: [0; 32], id: [0; 32] };
        rng.fill(&mut marker.token);
        rng.fill(&mut marker.id);
        let sent = (limits::MULTICAST_SENT_PER_SECOND, limits::MULTICAST_SENT_BURST);
        let found = (limits::MULTICAST_FOUND_PER_SECOND, limits::MULTICAST_FOUND_BURST);
        Multicast {
            rng,
            marker,
            interfaces: Vec::new(),
            addresses: Vec::new(),
            drives: BTreeMap::new(),
            agenda: BTreeSet::new(),
            sending: Allowance::new(sent.0, sent.1),
            finding: Allowance::new(found.0, found.1),
            outputs: VecDeque::new(),
        }
    }

    /// Starts asking for peers of a drive and, if `tcp_port` is not 0, answering for ourselves.
    /// A second call changes the port. False: too many drives are joined.
    pub fn join(&mut self, now: Instant, discovery_key: [u8; 32], tcp_port: u16) -> bool {
        let prefix = prefix(&discovery_key);
        if !self.drives.contains_key(&prefix) && self.drives.len() >= limits::MULTICAST_KEYS {
            return false;
        }
        let drive = self.drives.entry(prefix).or_insert_with(|| Drive {
            discovery_key,
            tcp_port,
            due: Few::new(),
            repeats: Few::new(),
            answered: Few::new(),
            answer_on: BTreeSet::new(),
            refreshed: now,
        });
        drive.tcp_port = tcp_port;
        self.start(now, prefix);
        true
    }

    pub fn leave(&mut self, discovery_key: &[u8; 32]) {
        let prefix = prefix(discovery_key);
        if let Some(drive) = self.drives.remove(&prefix) {
            for (task, at) in drive.due {
                self.agenda.remove(&(at, prefix, task));
            }
        }
    }

    /// The interfaces to use from now on (see [`usable`]); what is new is joined, and everything
    /// asked and announced there.
    pub fn set_interfaces(&mut self, now: Instant, interfaces: &[Interface]) {
        self.addresses = interfaces.iter().map(|on| on.address).collect();
        let mut next: Vec<Interface> = Vec::new();
        for on in interfaces.iter().filter(|on| on.address.is_ipv4()) {
            let known = next.iter().any(|other| other.index == on.index);
            if !known && next.len() < limits::MULTICAST_INTERFACES {
                next.push(on.clone());
            }
        }
        let before = std::mem::replace(&mut self.interfaces, next);
        for gone in before.iter().filter(|on| !self.interfaces.contains(on)) {
            self.outputs.push_back(Output::Leave(gone.clone()));
        }
        let fresh = self.interfaces.iter().filter(|on| !before.contains(on));
        let joins: Vec<Output> = fresh.cloned().map(Output::Join).collect();
        if !joins.is_empty() {
            self.outputs.extend(joins);
            let prefixes: Vec<Prefix> = self.drives.keys().copied().collect();
            for prefix in prefixes {
                self.start(now, prefix);
            }
        }
    }

    /// Asks and announces this drive again soon: peers are needed. Rate-limited.
    pub fn refresh(&mut self, now: Instant, discovery_key: &[u8; 32]) {
        let prefix = prefix(discovery_key);
        let Some(drive) = self.drives.get_mut(&prefix) else { return };
        if now.since(drive.refreshed) >= limits::MULTICAST_REFRESH_GAP {
            drive.refreshed = now;
            self.start(now, prefix);
        }
    }

    /// A datagram from the socket. Anything that is not for us is ignored.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let SocketAddr::V4(from) = from else { return };
        let Some(heard) = packet::hear(bytes, &self.marker) else { return };
        for (prefix, kind) in heard.asked {
            self.asked(now, from, prefix, kind);
        }
        for (prefix, peer) in heard.peers {
            self.found(now, from, prefix, peer);
        }
        self.tick(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        while let Some((at, prefix, task)) = self.agenda.first().copied() {
            if at > now || !self.sending.take(now, 1) {
                break;
            }
            self.agenda.pop_first();
            self.run(now, prefix, task);
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let (at, ..) = self.agenda.first()?;
        Some((*at).max(self.sending.next()))
    }

    /// Everything from the beginning, as if the drive was joined now.
    fn start(&mut self, now: Instant, prefix: Prefix) {
        if self.interfaces.is_empty() {
            return;
        }
        let Some(drive) = self.drives.get_mut(&prefix) else { return };
        drive.repeats.clear();
        drive.refreshed = now;
        for task in [Task::Announce, Task::Ask(Kind::Dat), Task::Ask(Kind::Swarm)] {
            self.schedule(now, prefix, task);
        }
        self.tick(now);
    }

    fn schedule(&mut self, at: Instant, prefix: Prefix, task: Task) {
        let Some(drive) = self.drives.get_mut(&prefix) else { return };
        if let Some(before) = drive.due.insert(task, at) {
            self.agenda.remove(&(before, prefix, task));
        }
        self.agenda.insert((at, prefix, task));
    }

    fn run(&mut self, now: Instant, prefix: Prefix, task: Task) {
        let Some(drive) = self.drives.get_mut(&prefix) else { return };
        drive.due.remove(&task);
        let (port, marker) = (drive.tcp_port, self.marker);
        match task {
            Task::Announce => {
                if port != 0 {
                    self.send_everywhere(now, packet::announce_srv(&prefix, &marker, port));
                    self.repeat(now, prefix, task);
                }
            }
            Task::Ask(kind) => {
                self.send_everywhere(now, packet::ask(&prefix, kind));
                self.repeat(now, prefix, task);
            }
            Task::Answer(kind) => {
                drive.answered.insert(kind, now);
                let on = std::mem::take(&mut drive.answer_on);
                let bytes = answer(&prefix, kind, &marker, port);
                self.send(now, |via| on.contains(&via.index), PORT, &bytes);
            }
        }
    }

    fn repeat(&mut self, now: Instant, prefix: Prefix, task: Task) {
        let Some(drive) = self.drives.get_mut(&prefix) else { return };
        let count = drive.repeats.or_default(task);
        let early = limits::MULTICAST_REPEATS.get(*count).copied();
        *count += 1;
        let usual = match task {
            Task::Ask(Kind::Dat) => Some(self.rng.between(60_000, 70_000)),
            Task::Ask(Kind::Swarm) => Some(self.rng.between(30_000, 60_000)),
            Task::Announce | Task::Answer(_) => None,
        };
        if let Some(after) = early.or(usual.map(Duration::from_millis)) {
            self.schedule(now + after, prefix, task);
        }
    }

    fn asked(&mut self, now: Instant, from: SocketAddrV4, prefix: Prefix, kind: Kind) {
        let on: Vec<u32> = self.facing(from).map(|on| on.index).collect();
        let Some(drive) = self.drives.get_mut(&prefix).filter(|drive| drive.tcp_port != 0) else {
            return;
        };
        // Somebody behind a port of his own hears nothing that goes to the usual one.
        if kind == Kind::Dat && from.port() != PORT {
            if self.sending.take(now, 1) {
                let bytes = answer(&prefix, kind, &self.marker, drive.tcp_port);
                self.send(now, |via| on.contains(&via.index), from.port(), &bytes);
            }
            return;
        }
        drive.answer_on.extend(on);
        let last = drive.answered.get(&kind);
        let at = last.map_or(now, |last| (*last + limits::MULTICAST_ANSWER_GAP).max(now));
        if !drive.due.contains_key(&Task::Answer(kind)) {
            self.schedule(at, prefix, Task::Answer(kind));
        }
    }

    fn found(&mut self, now: Instant, from: SocketAddrV4, prefix: Prefix, peer: SocketAddrV4) {
        let Some(drive) = self.drives.get(&prefix) else { return };
        let ip = if peer.ip().is_unspecified() { *from.ip() } else { *peer.ip() };
        let own = ip.is_loopback() || self.addresses.contains(&ip.into());
        if peer.port() == 0
            || ip.is_unspecified()
            || ip.is_multicast()
            || ip.is_broadcast()
            || (own && peer.port() == drive.tcp_port)
            || !self.finding.take(now, 1)
        {
            return;
        }
        let addr = SocketAddr::from((ip, peer.port()));
        let discovery_key = drive.discovery_key;
        self.outputs.push_back(Output::Found { discovery_key, addr });
    }

    /// The interfaces on which `from` hears us. A socket does not tell where a datagram came in.
    fn facing(&self, from: SocketAddrV4) -> impl Iterator<Item = &Interface> {
        let ours = self.interfaces.iter().find(|on| on.address == IpAddr::V4(*from.ip()));
        let index = ours.map(|on| on.index);
        self.interfaces.iter().filter(move |on| match index {
            Some(index) => on.index == index,
            None => on.loopback == from.ip().is_loopback(),
        })
    }

    fn send_everywhere(&mut self, now: Instant, bytes: Vec<u8>) {
        self.send(now, |_| true, PORT, &bytes);
    }

    /// Sends on the chosen interfaces; the first was taken from the allowance already.
    fn send(&mut self, now: Instant, on: impl Fn(&Interface) -> bool, port: u16, bytes: &[u8]) {
        let to = SocketAddr::from((GROUP, port));
        let chosen: Vec<&Interface> = self.interfaces.iter().filter(|via| on(via)).collect();
        self.sending.take(now, (chosen.len() as u32).saturating_sub(1));
        for via in chosen {
            let (via, bytes) = (via.clone(), bytes.to_vec());
            self.outputs.push_back(Output::Send { to, via, bytes });
        }
    }
}

fn prefix(discovery_key: &[u8; 32]) -> Prefix {
    let mut prefix = Prefix::default();
    prefix.copy_from_slice(&discovery_key[..20]);
    prefix
}

fn answer(prefix: &Prefix, kind: Kind, marker: &Marker, port: u16) -> Vec<u8> {
    match kind {
        Kind::Dat => {
            let here = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            packet::answer_txt(prefix, marker, &[here])
        }
        Kind::Swarm => packet::announce_srv(prefix, marker, port),
    }
}

#[cfg(test)]
mod tests;
