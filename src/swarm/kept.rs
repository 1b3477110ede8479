//! The candidates and bans as bytes, so that a restart neither hammers addresses that do not
//! answer nor forgets those that did (P05). Integers are big-endian:
//!
//! ```text
//! "gnsw" version(1) count(4) candidate* count(4) ban* count(4) host*  checksum(8, FNV-1a of all before)
//! candidate := addr flags(1: 1 proven, 2 anchor, 4 it answers) failures(1) until(8) id
//! ban       := addr id until(8)
//! host      := addr(its port is 0) bans(4) until(8)
//! addr      := 0 | 4 ip(4) port(2) | 6 ip(16) port(2) scope(4)          id := length(1) bytes
//! ```
//!
//! A file of version 1 has no hosts. Times are calendar milliseconds. A clock that was set meanwhile can shorten a wait, or make it
//! as long as the longest legal one, not longer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use super::Swarm;
use super::candidate::{Entry, State};
pub(super) use crate::codec::fnv::checksum;
use crate::limits;
use crate::time::{Instant, Wall};

const MAGIC: &[u8; 4] = b"gnsw";
const VERSION: u8 = 2;

/// The bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list of peers or bans is damaged and starts empty")]
pub struct Corrupt;

impl Swarm {
    /// Everything worth keeping over a restart. Addresses that the user named are not in it: he
    /// names them again.
    pub fn encode(&self, now: Instant, wall: Wall) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        let entries: Vec<(&SocketAddr, &Box<Entry>)> =
            self.entries.iter().filter(|(_, e)| !e.configured && !e.ourselves).collect();
        out.extend((entries.len() as u32).to_be_bytes());
        let mut anchors = limits::ANCHORS;
        for (addr, entry) in entries {
            put_addr(Some(*addr), &mut out);
            let anchor = entry.state() == State::Connected && entry.proven && anchors > 0;
            anchors -= usize::from(anchor);
            let flags = [(1, entry.proven), (2, anchor), (4, entry.answers)];
            out.push(flags.iter().filter(|(_, set)| *set).map(|(bit, _)| bit).sum());
            out.push(entry.failures() as u8);
            let until = match entry.state() {
                State::Idle { until } => until,
                State::Dialing | State::Connected => now,
            };
            put_time(until, now, wall, &mut out);
            put_id(entry.id.as_deref().unwrap_or(&[]), &mut out);
        }
        let bans = self.bans.ids.iter().map(|(id, until)| (None, id.as_slice(), until));
        let by_addr = self.bans.addrs.iter().map(|(addr, until)| (Some(*addr), &[][..], until));
        out.extend(((self.bans.ids.len() + self.bans.addrs.len()) as u32).to_be_bytes());
        for (addr, id, until) in bans.chain(by_addr) {
            put_addr(addr, &mut out);
            put_id(id, &mut out);
            put_time(*until, now, wall, &mut out);
        }
        out.extend((self.bans.hosts.len() as u32).to_be_bytes());
        for (host, (count, until)) in self.bans.hosts.iter() {
            put_addr(Some(SocketAddr::new(*host, 0)), &mut out);
            out.extend(count.to_be_bytes());
            put_time(*until, now, wall, &mut out);
        }
        out.extend(checksum(&out).to_be_bytes());
        out
    }

    /// Takes kept candidates and bans in, beside those known already. On an error nothing changes.
    pub fn restore(&mut self, bytes: &[u8], now: Instant, wall: Wall) -> Result<(), Corrupt> {
        let mut from = Reader::checked(bytes, MAGIC)?;
        let [version] = from.take()?;
        if !(1..=VERSION).contains(&version) {
            return Err(Corrupt);
        }
        let mut entries = Vec::new();
        for _ in 0..from.count(limits::CANDIDATES)? {
            let addr = from.addr()?.ok_or(Corrupt)?;
            let [flags, failures] = from.take()?;
            let until = from.time(now, wall, limits::BACKOFF_MAX * 2)?;
            let id = from.id()?;
            let id = (!id.is_empty()).then(|| id.to_vec());
            let mut entry = Entry::kept(until, flags & 1 != 0, u32::from(failures), id);
            (entry.anchor, entry.answers) = (flags & 2 != 0, flags & 4 != 0);
            entries.push((addr, Box::new(entry)));
        }
        let mut bans = Vec::new();
        for _ in 0..from.count(2 * limits::BANS)? {
            bans.push((from.addr()?, from.id()?, from.time(now, wall, limits::BAN)?));
        }
        let mut hosts = Vec::new();
        let count = if version < 2 { 0 } else { from.count(limits::BANS)? };
        for _ in 0..count {
            let host = from.addr()?.ok_or(Corrupt)?.ip();
            let bans = u32::from_be_bytes(from.take()?);
            hosts.push((host, bans, from.time(now, wall, limits::BAN)?));
        }
        from.end()?;
        for (addr, entry) in entries {
            if self.entries.len() < limits::CANDIDATES {
                self.entries.entry(addr).or_insert(entry);
            }
        }
        for (addr, id, until) in bans {
            self.bans.insert(now, addr, Some(id), until);
        }
        for (host, bans, until) in hosts {
            self.bans.insert_host(now, host, bans, until);
        }
        self.next_at(now);
        Ok(())
    }
}

pub(super) fn put_addr(addr: Option<SocketAddr>, out: &mut Vec<u8>) {
    match addr {
        None => out.push(0),
        Some(SocketAddr::V4(addr)) => {
            out.push(4);
            out.extend(addr.ip().octets());
            out.extend(addr.port().to_be_bytes());
        }
        Some(SocketAddr::V6(addr)) => {
            out.push(6);
            out.extend(addr.ip().octets());
            out.extend(addr.port().to_be_bytes());
            out.extend(addr.scope_id().to_be_bytes());
        }
    }
}

fn put_id(id: &[u8], out: &mut Vec<u8>) {
    let id = &id[..id.len().min(limits::PEER_ID_BYTES)];
    out.push(id.len() as u8);
    out.extend(id);
}

pub(super) fn put_time(at: Instant, now: Instant, wall: Wall, out: &mut Vec<u8>) {
    let wait = at.since(now).as_millis() as i64;
    out.extend(wall.0.saturating_add(wait).to_be_bytes());
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// What stands between a file's first bytes and its checksum.
    pub(super) fn checked(bytes: &'a [u8], magic: &[u8; 4]) -> Result<Reader<'a>, Corrupt> {
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(Corrupt)?;
        if checksum(body) != u64::from_be_bytes(*sum) {
            return Err(Corrupt);
        }
        body.strip_prefix(magic).map(Reader).ok_or(Corrupt)
    }

    /// There is nothing more.
    pub(super) fn end(&self) -> Result<(), Corrupt> {
        if self.0.is_empty() { Ok(()) } else { Err(Corrupt) }
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn count(&mut self, most: usize) -> Result<usize, Corrupt> {
        let count = u32::from_be_bytes(self.take()?) as usize;
        (count <= most).then_some(count).ok_or(Corrupt)
    }

    pub(super) fn addr(&mut self) -> Result<Option<SocketAddr>, Corrupt> {
        Ok(match self.take::<1>()? {
            [0] => None,
            [4] => {
                let ip = Ipv4Addr::from(self.take::<4>()?);
                Some(SocketAddrV4::new(ip, u16::from_be_bytes(self.take()?)).into())
            }
            [6] => {
                let ip = Ipv6Addr::from(self.take::<16>()?);
                let port = u16::from_be_bytes(self.take()?);
                let scope = u32::from_be_bytes(self.take()?);
                Some(SocketAddrV6::new(ip, port, 0, scope).into())
            }
            _ => return Err(Corrupt),
        })
    }

    fn id(&mut self) -> Result<&'a [u8], Corrupt> {
        let [length] = self.take()?;
        if usize::from(length) > limits::PEER_ID_BYTES {
            return Err(Corrupt);
        }
        let (id, rest) = self.0.split_at_checked(usize::from(length)).ok_or(Corrupt)?;
        self.0 = rest;
        Ok(id)
    }

    /// A point in time at most `most` away.
    pub(super) fn time(
        &mut self,
        now: Instant,
        wall: Wall,
        most: Duration,
    ) -> Result<Instant, Corrupt> {
        let at = i64::from_be_bytes(self.take()?);
        let wait = u64::try_from(at.saturating_sub(wall.0)).unwrap_or(0);
        Ok(now + Duration::from_millis(wait).min(most))
    }
}
