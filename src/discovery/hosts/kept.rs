//! The table as bytes, so that a restart finds who was there where multicast does not reach. Integers
//! are big-endian:
//!
//! ```text
//! "gnhs" version(1) sequence(8) written(8) count(4) host*   checksum(8, FNV-1a of all before)
//! host := expires(8) length(2) record addresses(1) (ip(16) port(2, little-endian))*
//! ```
//!
//! Times are calendar milliseconds. `sequence` is that of our latest record. Whoever is kept is asked
//! himself before he is believed to be anywhere.

use std::time::Duration;

use super::Hosts;
use super::table::{Known, State, is_reachable};
use crate::codec::fnv;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::Claim;
use crate::wire::host::address::{self, ADDRESS_BYTES};

const MAGIC: &[u8; 4] = b"gnhs";
const VERSION: u8 = 1;

/// The bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list of hosts is damaged and starts empty")]
pub struct Corrupt;

/// When the table may be written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keeping {
    /// Not before: whoever wrote it last did so `LAN_KEEP_EVERY` before that.
    allowed: Instant,
    /// A run that has just begun waits until it knows more.
    settled: Instant,
}

impl Hosts {
    /// When the table is to be written, as things stand.
    pub fn next_keep(&self) -> Option<Instant> {
        let at = self.keeping.allowed.max(self.keeping.settled);
        self.table.is_changed().then_some(at)
    }

    /// Whether it may be written right now, at the end of a run.
    pub fn may_keep(&self, now: Instant) -> bool {
        self.table.is_changed() && self.keeping.allowed <= now
    }

    /// The table, to be written now.
    pub fn encode(&mut self, now: Instant) -> Vec<u8> {
        self.table.take_changed();
        self.keeping.allowed = now + limits::LAN_KEEP_EVERY;
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.wall.0.to_be_bytes());
        let known: Vec<&Known> = self.table.iter().filter(|known| known.expires > now).collect();
        out.extend((known.len() as u32).to_be_bytes());
        for known in known {
            let left = known.expires.since(now).as_millis() as i64;
            out.extend(self.wall.0.saturating_add(left).to_be_bytes());
            out.extend((known.record.bytes().len() as u16).to_be_bytes());
            out.extend(known.record.bytes());
            let proven: Vec<_> = known.proven.iter().filter(|a| is_reachable(a.ip())).collect();
            out.push(proven.len() as u8);
            proven.iter().for_each(|addr| out.extend(address::put(addr)));
        }
        out.extend(fnv::checksum(&out).to_be_bytes());
        out
    }

    /// Takes in what an earlier run kept. Called once, at the start; on an error nothing changes.
    /// `None`: nothing was kept.
    pub fn restore(&mut self, now: Instant, kept: Option<&[u8]>) -> Result<(), Corrupt> {
        self.keeping.settled = now + limits::LAN_KEEP_SETTLED;
        let Some(bytes) = kept else { return Ok(()) };
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(Corrupt)?;
        if fnv::checksum(body) != u64::from_be_bytes(*sum) {
            return Err(Corrupt);
        }
        let mut from = Reader(body);
        if from.take::<4>()? != *MAGIC || from.take()? != [VERSION] {
            return Err(Corrupt);
        }
        let sequence = u64::from_be_bytes(from.take()?);
        let every = limits::LAN_KEEP_EVERY;
        let again = i64::from_be_bytes(from.take()?).saturating_add(every.as_millis() as i64);
        let count = u32::from_be_bytes(from.take()?) as usize;
        if count > limits::LAN_HOSTS || sequence > limits::MAX_SAFE_INTEGER {
            return Err(Corrupt);
        }
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.kept(now, &mut from)?);
        }
        if !from.0.is_empty() {
            return Err(Corrupt);
        }
        self.sequence = self.sequence.max(sequence);
        self.keeping.allowed = now + self.left_of(again, every);
        for known in all {
            let there = self.table.get_mut(known.host(), known.boot()).is_some();
            if !there && known.host() != self.id && known.expires > now {
                self.table.insert(now, known);
            }
        }
        Ok(())
    }

    fn kept(&self, now: Instant, from: &mut Reader<'_>) -> Result<Known, Corrupt> {
        let left = self.left_of(i64::from_be_bytes(from.take()?), limits::LAN_RECORD_TTL);
        let length = usize::from(u16::from_be_bytes(from.take()?));
        let claim = Claim::decode(from.bytes(length)?).map_err(|_| Corrupt)?;
        let mut known = Known::new(now, claim.assume_verified(), State::Kept);
        known.expires = now + left;
        let [addresses] = from.take()?;
        if usize::from(addresses) > limits::LAN_PROVEN {
            return Err(Corrupt);
        }
        for _ in 0..addresses {
            let addr = address::read(&from.take::<ADDRESS_BYTES>()?);
            known.hints.extend(address::is_somebody(&addr).then_some(addr));
        }
        Ok(known)
    }

    /// Time from now to a calendar time, at most `most`. A clock that was set meanwhile can shorten it.
    fn left_of(&self, at: i64, most: Duration) -> Duration {
        let left = u64::try_from(at.saturating_sub(self.wall.0)).unwrap_or(0);
        Duration::from_millis(left).min(most)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*head)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Corrupt> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Corrupt)?;
        self.0 = rest;
        Ok(bytes)
    }
}
