//! Addresses that may be peers: which are dialled, when, and which are not talked to any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::rng::Rng;
use crate::time::Instant;

/// Who told of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Multicast,
}

/// How a connection that we dialled ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Good,
    Bad,
    Duplicate,
}

/// An address for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub addr: SocketAddr,
    pub failures: u32,
    pub retry_in: Duration,
}

#[derive(Debug, Default)]
struct Entry {
    busy: bool,
    failures: u32,
    retry_at: Instant,
    ourselves: bool,
}

pub struct Swarm {
    rng: Rng,
    entries: BTreeMap<SocketAddr, Entry>,
}

/// Whether the old of two connections with the same peer survives (dat/SPEC §11.5).
pub fn old_survives(own: &[u8], other: &[u8], old_out: bool, new_out: bool) -> bool {
    let initiator_larger = if new_out { own > other } else { other > own };
    let _ = old_out;
    initiator_larger
}

impl Swarm {
    pub fn new(rng: Rng) -> Swarm {
        Swarm { rng, entries: BTreeMap::new() }
    }
    pub fn found(&mut self, _now: Instant, addr: SocketAddr, _source: Source) {
        self.entries.entry(addr).or_default();
    }
    pub fn configured(&mut self, addr: SocketAddr) {
        self.entries.entry(addr).or_default();
    }
    pub fn poll_dial(&mut self, now: Instant) -> Option<SocketAddr> {
        let (addr, entry) =
            self.entries.iter_mut().find(|(_, e)| !e.busy && !e.ourselves && e.retry_at <= now)?;
        entry.busy = true;
        Some(*addr)
    }
    pub fn dial_failed(&mut self, now: Instant, addr: SocketAddr) {
        self.closed(now, addr, Duration::ZERO, End::Bad);
    }
    pub fn mark_self(&mut self, addr: SocketAddr) {
        self.entries.entry(addr).or_default().ourselves = true;
    }
    pub fn is_banned(&mut self, _: Instant, _: Option<SocketAddr>, _: Option<&[u8]>) -> bool {
        false
    }
    pub fn connected(&mut self, _now: Instant, addr: SocketAddr, _id: &[u8]) {
        self.entries.entry(addr).or_default().busy = true;
    }
    pub fn closed(&mut self, now: Instant, addr: SocketAddr, uptime: Duration, _end: End) {
        let entry = self.entries.entry(addr).or_default();
        entry.busy = false;
        entry.failures = if uptime > Duration::from_secs(15) { 0 } else { entry.failures + 1 };
        let wait = Duration::from_secs(1 << entry.failures.min(9));
        entry.retry_at = now + self.rng.jitter(wait, 25);
    }
    pub fn ban(&mut self, _: Instant, addr: Option<SocketAddr>, _: Option<&[u8]>) {
        if let Some(addr) = addr {
            self.entries.entry(addr).or_default().ourselves = true;
        }
    }
    pub fn next_deadline(&self) -> Option<Instant> {
        self.entries.values().filter(|e| !e.busy && !e.ourselves).map(|e| e.retry_at).min()
    }
    pub fn banned(&self, _: Instant) -> usize {
        0
    }
    pub fn candidates(&self, now: Instant) -> Vec<Candidate> {
        let all = self.entries.iter().filter(|(_, e)| !e.busy);
        all.map(|(addr, e)| Candidate {
            addr: *addr,
            failures: e.failures,
            retry_in: e.retry_at.since(now),
        })
        .collect()
    }
}
