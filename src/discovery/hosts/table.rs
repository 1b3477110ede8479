//! The hosts that are known, each process of a host an entry: bounded, and open to newcomers however
//! full it is. Knows no datagram; who may enter what is for its owner.

use std::net::{IpAddr, SocketAddr};

use super::fresh::Window;
use crate::host::HostId;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::{Boot, Record, SignedRecord};

/// How a process is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Somebody behind this network prefix has its record. It is not proven that it is there.
    Told { by: Group },
    /// It was known to an earlier run.
    Kept,
    /// It has said something just now, or not long ago.
    Live { window: Window },
    /// It does not answer any more, and is asked again then.
    Silent { window: Window, again: Instant },
}

/// Addresses that one owner has as a rule: the first 24 bits of IPv4, 64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group([u8; 8]);

impl Group {
    pub fn of(ip: IpAddr) -> Group {
        let mut group = [0; 8];
        match ip.to_canonical() {
            IpAddr::V4(ip) => group[..3].copy_from_slice(&ip.octets()[..3]),
            IpAddr::V6(ip) => group.copy_from_slice(&ip.octets()[..8]),
        }
        Group(group)
    }

    /// What a host says on a connection is its own affair.
    pub fn of_host(host: HostId) -> Group {
        let mut group = [0; 8];
        group.copy_from_slice(&host.0[..8]);
        Group(group)
    }
}

#[derive(Clone, Debug)]
pub struct Known {
    pub record: SignedRecord,
    state: State,
    /// Where it has answered itself, the latest first: addresses for datagrams.
    pub proven: Vec<SocketAddr>,
    /// Where an earlier run knew it.
    pub hints: Vec<SocketAddr>,
    /// Where it listens, as was told to whoever wants to dial it.
    pub offered: Vec<SocketAddr>,
    pub heard: Instant,
    /// Its record is worth nothing any more.
    pub expires: Instant,
    /// How often it was asked in vain.
    pub tries: u32,
    /// It was last told that a command is not known.
    pub refused: Option<Instant>,
}

impl Known {
    pub fn new(now: Instant, record: SignedRecord, state: State) -> Known {
        Known {
            expires: now + record.record().ttl,
            record,
            state,
            proven: Vec::new(),
            hints: Vec::new(),
            offered: Vec::new(),
            heard: now,
            tries: 0,
            refused: None,
        }
    }

    pub fn host(&self) -> HostId {
        self.record.record().host
    }

    pub fn boot(&self) -> Boot {
        self.record.record().boot
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn set_state(&mut self, next: State) {
        debug_assert!(
            !matches!(
                (self.state, next),
                (State::Live { .. } | State::Silent { .. }, State::Told { .. } | State::Kept)
                    | (State::Told { .. }, State::Silent { .. } | State::Kept)
                    | (State::Kept, State::Told { .. })
            ),
            "{:?} -> {next:?}",
            self.state
        );
        self.state = next;
    }

    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    /// The counters that were seen of it, if it was ever heard.
    pub fn window(&mut self) -> Option<&mut Window> {
        match &mut self.state {
            State::Live { window } | State::Silent { window, .. } => Some(window),
            State::Told { .. } | State::Kept => None,
        }
    }

    /// Where datagrams may reach it: where it has answered, else where it says that it is.
    pub fn places(&self) -> Vec<SocketAddr> {
        if !self.proven.is_empty() {
            return vec![self.proven[0]];
        }
        if !self.hints.is_empty() {
            return self.hints.clone();
        }
        let record = self.record.record();
        let Some(port) = record.udp else { return Vec::new() };
        let far = record.addresses.iter().filter(|ip| is_reachable(**ip));
        far.take(limits::LAN_PROVEN).map(|ip| SocketAddr::new(*ip, port)).collect()
    }
}

/// Whether an address alone says where to send to: those of a link need the link too.
pub(super) fn is_reachable(ip: IpAddr) -> bool {
    !ip.is_loopback() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Whether two records describe one process, or one that took the other's place.
pub fn is_same_place(a: &Record, b: &Record) -> bool {
    let shared = |one: Option<u16>, other: Option<u16>| one.is_some() && one == other;
    let meet = a.addresses.iter().any(|ip| b.addresses.contains(ip));
    a.host == b.host && (a.boot == b.boot || meet && (shared(a.tcp, b.tcp) || shared(a.udp, b.udp)))
}

/// How far two hosts are from each other: what their ids differ in.
pub fn distance(a: HostId, b: HostId) -> [u8; 32] {
    let mut apart = a.0;
    apart.iter_mut().zip(b.0).for_each(|(byte, other)| *byte ^= other);
    apart
}

/// All of them.
pub(super) struct Table {
    us: HostId,
    all: Vec<Known>,
    /// Processes that have left, the latest last.
    left: Vec<Boot>,
    /// Something worth keeping changed.
    changed: bool,
}

impl Table {
    pub fn new(us: HostId) -> Table {
        Table { us, all: Vec::new(), left: Vec::new(), changed: false }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Known> {
        self.all.iter_mut()
    }

    pub fn get_mut(&mut self, host: HostId, boot: Boot) -> Option<&mut Known> {
        self.all.iter_mut().find(|known| known.boot() == boot && known.host() == host)
    }

    /// Whether somebody has proven to be at an address.
    pub fn is_at(&self, ip: IpAddr) -> bool {
        self.all.iter().any(|known| known.proven.iter().any(|addr| addr.ip() == ip))
    }

    pub fn has_left(&self, boot: Boot) -> bool {
        self.left.contains(&boot)
    }

    pub fn touch(&mut self) {
        self.changed = true;
    }

    /// Whether anything worth keeping changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Takes a process in, which is not there yet; whoever is worth least makes room.
    pub fn insert(&mut self, now: Instant, known: Known) {
        let host = known.host();
        let of_host = |other: &Known| other.host() == host;
        self.shrink(now, limits::LAN_INSTANCES, of_host);
        if let State::Told { by } = known.state {
            let told = |other: &Known| other.state == State::Told { by };
            self.shrink(now, limits::LAN_TOLD_PER_GROUP, told);
        }
        self.shrink(now, limits::LAN_HOSTS, |_| true);
        self.all.push(known);
        self.changed = true;
    }

    /// One more host is at an address: too many there are not all believed.
    pub fn crowd(&mut self, now: Instant, ip: IpAddr) {
        let there = |other: &Known| other.proven.first().is_some_and(|addr| addr.ip() == ip);
        self.shrink(now, limits::LAN_HOSTS_PER_ADDRESS, there);
    }

    /// Makes room for one of a kind of which there may be `most`.
    fn shrink(&mut self, now: Instant, most: usize, of_kind: impl Fn(&Known) -> bool) {
        if self.all.iter().filter(|known| of_kind(known)).count() < most {
            return;
        }
        let kind = self.all.iter().enumerate().filter(|(_, known)| of_kind(known));
        if let Some((at, _)) = kind.min_by_key(|(_, known)| self.worth(now, known)) {
            self.all.swap_remove(at);
            self.changed = true;
        }
    }

    /// What is worth least goes first: what is over, what was only told, farthest from us first, who
    /// is silent, and then who was heard longest ago.
    fn worth(&self, now: Instant, known: &Known) -> (u8, [u8; 32], Instant) {
        let near = |known: &Known| distance(self.us, known.host()).map(|byte| !byte);
        match known.state {
            _ if known.expires <= now => (0, [0; 32], known.heard),
            State::Told { .. } => (1, near(known), known.heard),
            State::Kept => (2, [0; 32], known.heard),
            State::Silent { .. } => (3, [0; 32], known.heard),
            State::Live { .. } => (4, [0; 32], known.heard),
        }
    }

    /// Removes those that took no other's place but are in the place of `record`.
    pub fn displace(&mut self, record: &Record) {
        let before = self.all.len();
        self.all.retain(|known| {
            known.boot() == record.boot || !is_same_place(known.record.record(), record)
        });
        self.changed |= self.all.len() != before;
    }

    /// A process says that it ends; true if it was there.
    pub fn leave(&mut self, host: HostId, boot: Boot) -> bool {
        if self.get_mut(host, boot).is_none() {
            return false;
        }
        self.all.retain(|known| known.boot() != boot || known.host() != host);
        if self.left.len() >= limits::LAN_LEFT {
            self.left.remove(0);
        }
        self.left.push(boot);
        self.changed = true;
        true
    }

    pub fn expire(&mut self, now: Instant) {
        let before = self.all.len();
        self.all.retain(|known| known.expires > now);
        self.changed |= self.all.len() != before;
    }

    /// The live ones closest to a host, with where they are.
    pub fn closest(&self, to: HostId, most: usize) -> Vec<(HostId, SocketAddr)> {
        let live = self.all.iter().filter(|known| known.is_live());
        let mut found: Vec<(HostId, SocketAddr)> =
            live.filter_map(|known| Some((known.host(), *known.proven.first()?))).collect();
        crate::few::sort(&mut found, |a, b| distance(to, a.0) < distance(to, b.0));
        found.dedup_by_key(|(host, _)| *host);
        found.truncate(most);
        found
    }
}
