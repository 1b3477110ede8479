//! Whom not to talk to. By id and by exact address; a host from which several banned peers came is
//! banned as a whole, but never this one.

use std::net::{IpAddr, SocketAddr};

use crate::few::Few;
use crate::limits;
use crate::time::Instant;

#[derive(Clone, Debug, Default)]
pub(super) struct Bans {
    pub(super) ids: Few<Vec<u8>, Instant>,
    pub(super) addrs: Few<SocketAddr, Instant>,
    /// Bans of a host's peers, and when the last of them ends.
    pub(super) hosts: Few<IpAddr, (u32, Instant)>,
}

impl Bans {
    pub(super) fn add(&mut self, now: Instant, addr: Option<SocketAddr>, id: Option<&[u8]>) {
        let until = now + limits::BAN;
        self.insert(now, addr, id, until);
        let Some(addr) = addr else { return };
        self.insert_host(now, addr.ip(), 1, until);
    }

    /// Counts `bans` more peers of a host as banned, the last of them until then.
    pub(super) fn insert_host(&mut self, now: Instant, host: IpAddr, bans: u32, until: Instant) {
        let ip = host.to_canonical();
        if ip.is_loopback() {
            return;
        }
        self.hosts.retain(|(_, until)| *until > now);
        if self.hosts.len() >= limits::BANS && !self.hosts.contains_key(&ip) {
            self.hosts.remove_least(|(_, until)| *until);
        }
        let (count, last) = self.hosts.get(&ip).copied().unwrap_or((0, until));
        self.hosts.insert(ip, (count.saturating_add(bans), last.max(until)));
    }

    pub(super) fn insert(
        &mut self,
        now: Instant,
        addr: Option<SocketAddr>,
        id: Option<&[u8]>,
        until: Instant,
    ) {
        self.ids.retain(|until| *until > now);
        self.addrs.retain(|until| *until > now);
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            if self.ids.len() >= limits::BANS {
                self.ids.remove_least(|until| *until);
            }
            self.ids.insert(id.to_vec(), until);
        }
        if let Some(addr) = addr {
            if self.addrs.len() >= limits::BANS {
                self.addrs.remove_least(|until| *until);
            }
            self.addrs.insert(addr, until);
        }
    }

    /// When the last ban that applies ends.
    pub(super) fn until(&self, addr: Option<SocketAddr>, id: Option<&[u8]>) -> Option<Instant> {
        let by_id =
            id.and_then(|id| self.ids.iter().find(|(known, _)| known == id)).map(|(_, at)| *at);
        let by_addr = addr.and_then(|addr| self.addrs.get(&addr)).copied();
        let host = addr.and_then(|addr| self.hosts.get(&addr.ip().to_canonical()));
        let by_host = host.filter(|(count, _)| *count >= limits::BANS_OF_HOST).map(|h| h.1);
        by_id.max(by_addr).max(by_host)
    }

    /// Forgets all of an address. False: there was nothing.
    pub(super) fn lift_at(&mut self, ip: IpAddr) -> bool {
        let before = self.addrs.len();
        let gone: Vec<SocketAddr> =
            self.addrs.keys().filter(|addr| addr.ip().to_canonical() == ip).copied().collect();
        for addr in &gone {
            self.addrs.remove(addr);
        }
        self.hosts.remove(&ip).is_some() || self.addrs.len() < before
    }

    pub(super) fn count(&self, now: Instant) -> usize {
        let ids = self.ids.values().filter(|until| **until > now).count();
        ids.max(self.addrs.values().filter(|until| **until > now).count())
    }
}
