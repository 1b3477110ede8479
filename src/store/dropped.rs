//! The file `gannet.dropped`: blocks of a seed that were given up, or never fetched, for want of room.
//! They are not missed, so a start neither looks for them nor asks for them again.
//!
//! It holds, in this order: the bound that was kept to, in bytes; how many ranges follow and for each of
//! them the blocks since the end of the one before and how many it has, all of them varints; the same
//! for the blocks among these whose space is not given back yet; and a BLAKE2b checksum over a name, the
//! key and all of that. It is replaced whole. One that cannot be read counts as none: its blocks are
//! fetched again.

use super::StoreError;
use super::disk::Disk;
use super::feed::FeedStore;
use super::files::Place;
use crate::bits::{Bitfield, RangeSet};
use crate::codec::varint;
use crate::crypto::hyper;
use crate::crypto::sign::PublicKey;
use crate::limits;

pub(super) const DROPPED: &str = "gannet.dropped";
const NEW: &str = "gannet.dropped.new";
/// So that no other checksum of ours can stand in for one of these.
const CONTEXT: &[u8] = b"gannet dropped blocks";
const CHECKSUM: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// May cover blocks that are here, where there were too many ranges to be kept apart.
    ranges: RangeSet,
    /// Of these, what takes up space still.
    pub due: RangeSet,
    /// Of these, what the bits on the disk may still speak of.
    pub told: bool,
    /// Bytes that all seeds might have when this was last changed.
    bound: u64,
    /// The file says something else.
    pub dirty: bool,
    /// The file lists space that was given back since.
    pub worn: bool,
}

impl Dropped {
    fn encode(&self, key: &PublicKey) -> Vec<u8> {
        let mut bytes = Vec::new();
        varint::encode(self.bound, &mut bytes);
        for set in [&self.ranges, &self.due] {
            varint::encode(set.ranges() as u64, &mut bytes);
            let mut behind = 0;
            for (start, len) in set.iter() {
                varint::encode(start - behind, &mut bytes);
                varint::encode(len, &mut bytes);
                behind = start + len;
            }
        }
        let sum = hyper::hash(&[CONTEXT, key, &bytes]);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// `None`: damaged, or of another feed.
    fn decode(key: &PublicKey, bytes: &[u8]) -> Option<Dropped> {
        let (mut rest, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
        if *sum != hyper::hash(&[CONTEXT, key, rest]) {
            return None;
        }
        let mut number = || {
            let (number, size) = varint::decode(rest).ok()?;
            rest = &rest[size..];
            Some(number)
        };
        let mut dropped = Dropped { bound: number()?, ..Dropped::default() };
        for set in [&mut dropped.ranges, &mut dropped.due] {
            let count = number()?;
            if count > limits::STORE_DROPPED_RANGES as u64 {
                return None;
            }
            let mut behind = 0u64;
            for _ in 0..count {
                let start = behind.checked_add(number()?)?;
                let len = number()?;
                behind = start.checked_add(len).filter(|end| *end <= limits::FEED_BLOCKS)?;
                set.insert(start, len);
            }
        }
        rest.is_empty().then_some(dropped)
    }

    /// What is here is not dropped.
    fn settle(&mut self, have: &Bitfield) {
        for set in [&mut self.ranges, &mut self.due] {
            let listed: Vec<(u64, u64)> = set.iter().collect();
            for (start, len) in listed {
                have.ranges(start, start + len).for_each(|(at, len)| set.remove(at, len));
            }
        }
        self.bound_ranges();
    }

    fn insert(&mut self, start: u64, len: u64) {
        self.ranges.insert(start, len);
        self.dirty = true;
        self.bound_ranges();
    }

    /// Closes the smallest gaps until the ranges are few enough. What is here between them is not
    /// looked for again should it be lost, which does no harm where room is short.
    fn bound_ranges(&mut self) {
        let mut gap = 1;
        while self.ranges.ranges() > limits::STORE_DROPPED_RANGES {
            let mut joined = RangeSet::new();
            let mut behind = None;
            for (start, len) in self.ranges.iter() {
                match behind.filter(|end| start - end <= gap) {
                    Some(end) => joined.insert(end, start + len - end),
                    None => joined.insert(start, len),
                }
                behind = Some(start + len);
            }
            self.ranges = joined;
            gap *= 2;
        }
    }
}

impl FeedStore {
    /// What is here is not dropped, whatever the file says.
    pub(super) fn settle_dropped(&mut self) {
        if let Some(dropped) = &mut self.dropped {
            dropped.settle(self.feed.have());
        }
    }

    /// Blocks that were given up for want of room, or not fetched for it.
    pub fn dropped(&self) -> Option<&RangeSet> {
        self.dropped.as_ref().map(|dropped| &dropped.ranges).filter(|ranges| !ranges.is_empty())
    }

    /// Whether [`give_back`](Self::give_back) has something to do.
    pub fn owes(&self) -> bool {
        self.dropped.as_ref().is_some_and(|dropped| dropped.dirty || !dropped.due.is_empty())
    }

    /// All seeds may have `bound` bytes from now on. Where that is more than before, what was dropped is
    /// wanted again.
    pub fn bound(&mut self, bound: u64) {
        let Some(dropped) = &mut self.dropped else { return };
        if dropped.bound < bound {
            dropped.ranges = dropped.due.clone();
            (dropped.bound, dropped.dirty) = (bound, true);
        }
    }

    /// The blocks of `start..end` that are not here are not to be fetched, for want of room within
    /// `bound` bytes. Durable after [`give_back`](Self::give_back).
    pub fn set_aside(&mut self, start: u64, end: u64, bound: u64) {
        if start >= end {
            return;
        }
        let mut missing = RangeSet::new();
        missing.insert(start, end - start);
        self.feed.have().ranges(start, end).for_each(|(at, len)| missing.remove(at, len));
        missing.iter().for_each(|(start, len)| self.drop_range(start, len, bound));
    }

    pub(super) fn drop_range(&mut self, start: u64, len: u64, bound: u64) {
        let dropped = self.dropped.get_or_insert_default();
        dropped.bound = bound;
        dropped.insert(start, len);
    }

    /// A block is here, or is another one now, from `start` on.
    pub(super) fn undrop(&mut self, start: u64, len: u64) {
        if let Some(dropped) = &mut self.dropped
            && dropped.ranges.covered(start, len) > 0
        {
            dropped.ranges.remove(start, len);
            dropped.due.remove(start, len);
            dropped.dirty = true;
        }
    }

    /// Whether a block was dropped.
    pub(super) fn is_dropped(&self, block: u64) -> bool {
        self.dropped.as_ref().is_some_and(|dropped| dropped.ranges.contains(block))
    }

    /// From a dropped block on, the first that is not, or whose space is to be given back yet.
    pub(super) fn dropped_end(&self, block: u64) -> Option<u64> {
        let dropped = self.dropped.as_ref()?;
        let end = dropped.ranges.end_of(block)?;
        Some(dropped.due.next(block).map_or(end, |due| end.min(due))).filter(|end| *end > block)
    }

    /// Makes the list durable.
    pub(super) fn write_dropped(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let Some(dropped) = self.dropped.as_mut().filter(|dropped| dropped.dirty) else {
            return Ok(());
        };
        if dropped.worn {
            // What is not listed as due any more is gone for sure.
            let synced = self.data.slot.sync(disk, &self.place);
            self.unsynced |= synced.as_ref().is_err_and(|why| !matches!(why, StoreError::NotYet));
            synced?;
        }
        let place = &self.place;
        if dropped.ranges.is_empty() && dropped.due.is_empty() {
            place.remove(disk, DROPPED)?;
        } else {
            place.write_small(disk, NEW, None, &dropped.encode(self.feed.key()))?;
            disk.rename(place.dir, &place.path(NEW), &place.path(DROPPED), false)?;
        }
        place.sync_names(disk)?;
        (dropped.dirty, dropped.worn) = (false, false);
        Ok(())
    }
}

/// What was dropped in earlier runs, if that is listed.
pub(super) fn load(
    disk: &mut dyn Disk,
    place: &Place,
    key: &PublicKey,
) -> Result<Option<Box<Dropped>>, StoreError> {
    let most = limits::STORE_DROPPED_BYTES;
    let Some(bytes) = place.read_small(disk, DROPPED, most)? else { return Ok(None) };
    let dropped = Dropped::decode(key, &bytes);
    if dropped.is_none() {
        log::warn!(
            "{}",
            place.damaged(DROPPED, "cannot be read: what was dropped is fetched again")
        );
    }
    Ok(dropped.map(Box::new))
}

/// Removes what is listed beside a feed that is made anew.
pub(super) fn remove(disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
    place.remove(disk, DROPPED)?;
    place.remove(disk, NEW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const KEY: PublicKey = [7; 32];

    fn sample() -> Dropped {
        let ranges: RangeSet = [(0, 3), (64, 64), (1 << 31, 1 << 31)].into_iter().collect();
        let due = [(70, 5)].into_iter().collect();
        Dropped { ranges, due, bound: 20 << 30, ..Dropped::default() }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let bytes = sample().encode(&KEY);
        let read = Dropped::decode(&KEY, &bytes).expect("it is whole");
        assert_eq!((&read.ranges, &read.due), (&sample().ranges, &sample().due));
        assert_eq!(read.bound, 20 << 30);
        assert!(Dropped::decode(&[8; 32], &bytes).is_none());
        for cut in 0..bytes.len() {
            assert!(Dropped::decode(&KEY, &bytes[..cut]).is_none());
            let mut bent = bytes.clone();
            bent[cut] ^= 1;
            assert!(Dropped::decode(&KEY, &bent).is_none());
        }
    }

    #[test]
    fn what_no_feed_can_have_is_refused_and_what_is_odd_does_no_harm() {
        let with_sum = |bytes: &[u8]| {
            let sum = hyper::hash(&[CONTEXT, &KEY, bytes]);
            [bytes, &sum[..]].concat()
        };
        let numbers = |numbers: &[u64]| {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| varint::encode(*number, &mut bytes));
            with_sum(&bytes)
        };
        assert!(Dropped::decode(&KEY, &numbers(&[1, 0, 0])).is_some());
        for bad in [
            &[1, 1, u64::MAX, 2, 0][..],
            &[1, 1, 1, u64::MAX, 0],
            &[1, 1, limits::FEED_BLOCKS, 1, 0],
            &[1, u64::MAX, 0],
            &[1, 0, 0, 0],
            &[1, 0],
        ] {
            assert!(Dropped::decode(&KEY, &numbers(bad)).is_none(), "{bad:?}");
        }
        let mut rng = Rng::from_seed(3);
        for _ in 0..2000 {
            let mut noise = vec![0; rng.below(40) as usize];
            rng.fill(&mut noise);
            Dropped::decode(&KEY, &with_sum(&noise));
        }
    }

    #[test]
    fn there_are_never_more_ranges_than_may_be() {
        let mut dropped = Dropped::default();
        let most = limits::STORE_DROPPED_RANGES as u64;
        (0..2 * most).for_each(|n| dropped.ranges.insert(3 * n, 1));
        dropped.bound_ranges();
        assert!(dropped.ranges.ranges() <= limits::STORE_DROPPED_RANGES);
        assert!((0..2 * most).all(|n| dropped.ranges.contains(3 * n)));
        assert!(dropped.encode(&KEY).len() <= limits::STORE_DROPPED_BYTES);
    }
}
