//! Hosts that find each other on the local network and speak in signed commands (docs/PROTOCOL.md
//! §14.5): pings to everybody, answers, records of where a host is, searches for one. Datagrams in,
//! datagrams out; knows no socket, no clock, no peer's session and no drive.
//!
//! Nobody is believed for a signature alone, which may be old: a process is taken for live when it
//! has repeated what we drew ([`fresh`]), and where it is follows from its own record or from where
//! that answer came from. So nothing hangs on the clocks of two machines.
//!
//! Feed it interfaces and datagrams, drain [`Hosts::poll_output`], call [`Hosts::tick`] at
//! [`Hosts::next_deadline`]. What is sent and checked is paced ([`gate`]), and no answer to a stranger
//! is longer than what he sent. A distributed hash table beyond the local network would be one more
//! way in which a [`Via`] comes to us; searches ask whoever is closest already.

mod believe;
mod fresh;
mod gate;
mod heard;
mod kept;
mod ping;
mod places;
mod search;
pub mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::crypto::sign::KeyPair;
use crate::few::Few;
use crate::host::HostId;
use crate::limits;
use crate::rng::Rng;
use crate::sys::Interface;
use crate::time::{Instant, Wall};
use crate::wire::host::datagram::{Body, Command, Contact, NetworkId, Refused, Unverified};
use crate::wire::host::{Boot, SignedRecord};

use fresh::Nonces;
pub use fresh::{Purpose, Window};
pub use gate::Counts;
use gate::Gate;
pub use kept::Corrupt;
use kept::Keeping;
use ping::{Pings, Waiting};
pub use places::{EXCLUDED, bind_group, bind_own, group, is_excluded};
pub use search::Finding;
use search::Search;
use table::{Known, Table};

/// What the hosts of a process are told once.
#[derive(Clone, Debug)]
pub struct Settings {
    pub key: KeyPair,
    pub boot: Boot,
    pub network: NetworkId,
    /// Drawn by the system; nobody else may know it.
    pub secret: [u8; 32],
    /// Hosts that may end this process with a command.
    pub stoppers: Vec<HostId>,
}

/// How something came to us, and how its sender is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Udp(SocketAddr),
    /// On a connection with this host, which has proven who it is.
    Peer(HostId),
}

impl Via {
    fn ip(self) -> Option<IpAddr> {
        match self {
            Via::Udp(addr) => Some(addr.ip()),
            Via::Peer(_) => None,
        }
    }
}

/// What the owner has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Become a member of a group on this interface, of IPv4 or IPv6 as its address is.
    Join(Interface),
    /// Leave it on this interface, which may be gone already.
    Leave(Interface),
    /// Send from our own socket of the address's family; `via` to a group.
    Send { to: SocketAddr, via: Option<Interface>, bytes: Vec<u8> },
    /// Send on a connection with this host.
    ToPeer { host: HostId, bytes: Vec<u8> },
    /// A host listens there (TCP). Said when it is new or the address is.
    Found { host: HostId, addr: SocketAddr },
    /// A search has ended: ask [`Hosts::find`] again.
    Searched { wanted: HostId },
    /// This process is to end: somebody who may say so did. He was answered.
    Stop { by: HostId },
    /// A host has been told to end its process, and does.
    Stopped { host: HostId },
    /// For the user.
    Warn(String),
}

pub struct Hosts {
    key: KeyPair,
    id: HostId,
    boot: Boot,
    network: NetworkId,
    stoppers: Vec<HostId>,
    /// Somebody who may has told us to stop, or we do so ourselves: nothing more is said.
    ended: bool,
    rng: Rng,
    nonces: Nonces,
    gate: Gate,
    pub counts: Counts,
    wall: Wall,
    /// Of the latest datagram that we signed.
    counter: u64,
    /// Of our latest record.
    sequence: u64,
    /// It, and since when.
    record: Option<(SignedRecord, Instant)>,
    interfaces: Vec<Interface>,
    /// All addresses of this machine.
    addresses: Vec<IpAddr>,
    /// Where hosts elsewhere see this machine.
    seen: Vec<IpAddr>,
    ports: Ports,
    table: Table,
    pings: Pings,
    keeping: Keeping,
    waiting: Vec<Waiting>,
    searches: Vec<Search>,
    /// What was not found, until when that holds.
    missing: Few<HostId, Instant>,
    /// Hosts to which we are connected.
    peers: Vec<HostId>,
    /// When each kind of warning was last given.
    warned: Few<&'static str, Instant>,
    outputs: VecDeque<Output>,
}

/// Where we can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    pub tcp: Option<u16>,
    /// Of our own sockets; of IPv4 where it is told to others that cannot know better.
    pub udp: Option<u16>,
}

impl Hosts {
    pub fn new(rng: Rng, settings: Settings) -> Hosts {
        let id = HostId(settings.key.public());
        Hosts {
            key: settings.key,
            id,
            boot: settings.boot,
            network: settings.network,
            stoppers: settings.stoppers,
            ended: false,
            rng,
            nonces: Nonces::new(settings.secret),
            gate: Gate::new(),
            counts: Counts::default(),
            wall: Wall::default(),
            counter: 0,
            sequence: 0,
            record: None,
            interfaces: Vec::new(),
            addresses: Vec::new(),
            seen: Vec::new(),
            ports: Ports::default(),
            table: Table::new(id),
            pings: Pings::default(),
            keeping: Keeping::default(),
            waiting: Vec::new(),
            searches: Vec::new(),
            missing: Few::new(),
            peers: Vec::new(),
            warned: Few::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Calendar time; told before anything that may look at it.
    pub fn set_wall(&mut self, wall: Wall) {
        self.wall = wall;
    }

    /// All processes of hosts that are known.
    pub fn known(&self) -> impl Iterator<Item = &Known> {
        self.table.iter()
    }

    /// A datagram from one of the sockets. Anything that is not for us is ignored.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.hear(now, Via::Udp(from), bytes);
    }

    /// A command on a connection with `host`, which has proven who it is.
    pub fn receive_from_peer(&mut self, now: Instant, host: HostId, bytes: &[u8]) {
        self.hear(now, Via::Peer(host), bytes);
    }

    /// We are connected to a host, and it can be told something on that connection.
    pub fn peer_joined(&mut self, now: Instant, host: HostId) {
        if !self.peers.contains(&host) && self.peers.len() < limits::LAN_PEERS && !self.ended {
            self.peers.push(host);
            self.ping_one(now, host, Via::Peer(host));
        }
    }

    pub fn peer_left(&mut self, host: HostId) {
        self.peers.retain(|peer| *peer != host);
    }

    /// This process ends: everybody is told. Nothing is said or heard after that.
    pub fn leave(&mut self) {
        if self.ended || self.record.is_none() {
            return;
        }
        let bytes = self.sign(None, Body::Leaving, 0);
        self.cast(&bytes);
        for host in self.peers.clone() {
            self.outputs.push_back(Output::ToPeer { host, bytes: bytes.clone() });
        }
        self.ended = true;
    }

    /// Who may tell this process to end, from now on.
    pub fn set_stoppers(&mut self, hosts: Vec<HostId>) {
        self.stoppers = hosts;
    }

    /// Tells a host to end the process that it is known by; false if it is not known.
    pub fn shut_down(&mut self, now: Instant, host: HostId) -> bool {
        let known = self.table.iter().find(|known| known.host() == host && known.is_live());
        let Some((life, addr)) =
            known.and_then(|known| Some((known.boot(), *known.proven.first()?)))
        else {
            return false;
        };
        let challenge = self.nonces.make(now, Purpose::One(host), Via::Udp(addr));
        self.say(Via::Udp(addr), Some(host), Body::ShutdownHost { challenge, life }, 0);
        true
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        self.answer_strangers(now);
        self.ping(now);
        self.drive_searches(now);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let waiting = self.waiting.iter().map(|waiting| waiting.at);
        let searches = self.searches.iter().filter_map(Search::next_deadline);
        waiting.chain(searches).chain(self.pings.next_deadline()).min()
    }

    fn hear(&mut self, now: Instant, via: Via, bytes: &[u8]) {
        if self.ended {
            return;
        }
        self.counts.received += 1;
        let unverified = match Unverified::decode(bytes, &self.network) {
            Ok(unverified) => unverified,
            Err(refused) => {
                match refused {
                    Refused::TooLong => self.counts.too_long += 1,
                    Refused::Foreign => self.counts.foreign += 1,
                    Refused::Malformed(_) => self.counts.malformed += 1,
                }
                return;
            }
        };
        let claimed = unverified.claimed();
        if claimed.boot == self.boot {
            self.counts.own += 1;
        } else if claimed.target.is_some_and(|target| target != self.id) {
            self.counts.misdirected += 1;
        } else if !self.gate.admit(now, via, via.ip().is_none_or(|ip| self.table.is_at(ip))) {
            self.counts.limited += 1;
        } else if let Some(command) = unverified.verify() {
            self.heard(now, via, &command, bytes);
        } else {
            self.counts.forged += 1;
        }
    }

    /// Signs what is to be said.
    fn sign(&mut self, target: Option<HostId>, body: Body<'_>, least: usize) -> Vec<u8> {
        self.counter += 1;
        let set = self.wall.0 >= limits::LAN_CLOCK_IS_SET_MS;
        let after = limits::LAN_EXPIRES_AFTER.as_millis() as i64;
        let expires = set.then_some(Wall(self.wall.0.saturating_add(after)));
        let (host, boot, counter) = (self.id, self.boot, self.counter);
        let command = Command { host, boot, counter, expires, target, body };
        command.encode(&self.key, &self.network, least)
    }

    fn say(&mut self, via: Via, target: Option<HostId>, body: Body<'_>, least: usize) {
        let bytes = self.sign(target, body, least);
        self.send(via, bytes);
    }

    fn send(&mut self, via: Via, bytes: Vec<u8>) {
        debug_assert!(bytes.len() <= limits::LAN_DATAGRAM_BYTES);
        self.counts.sent += 1;
        self.outputs.push_back(match via {
            Via::Udp(to) => Output::Send { to, via: None, bytes },
            Via::Peer(host) => Output::ToPeer { host, bytes },
        });
    }

    /// Says something for the user, seldom enough that nobody can flood him.
    fn warn(&mut self, now: Instant, kind: &'static str, text: impl FnOnce() -> String) {
        let lately = |at: &Instant| now.since(*at) < limits::LAN_WARN_EVERY;
        if !self.warned.get(&kind).is_some_and(lately) {
            self.warned.insert(kind, now);
            self.outputs.push_back(Output::Warn(text()));
        }
    }
}
