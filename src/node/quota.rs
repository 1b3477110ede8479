//! A bound for what seeds store: the blocks that were wanted (served or fetched) least recently go first.
//!
//! What is wanted is remembered for pieces of [`limits::QUOTA_BLOCKS`] blocks, and for the
//! [`limits::QUOTA_RECENT`] pieces of all feeds that were wanted last; every other piece is older than
//! these and goes before them. The metadata of drives goes last, its first piece never, because it names
//! the content. What was dropped is not fetched again by itself. After a start that finds the bound
//! nearly reached, what is missing counts as dropped.

use std::collections::{BTreeMap, BTreeSet};

use crate::bits::RangeSet;
use crate::few::Numbered;
use crate::ids::FeedId;
use crate::limits::{self, MAX_SAFE_INTEGER, QUOTA_BLOCKS};
use crate::link::Key;
use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::sync::{Input, Wanted};
use crate::time::Instant;

use super::Node;
use super::event::{Event, Role};
use super::io::Work;
use super::topic::What;

/// A piece of a feed: blocks from `QUOTA_BLOCKS` times its number on.
type Piece = (FeedId, u64);

/// In one number: feeds have at most 2^32 blocks.
fn pack((feed, piece): Piece) -> u64 {
    u64::from(feed.0) << 32 | piece
}

fn unpack(packed: u64) -> Piece {
    (FeedId((packed >> 32) as u32), packed & u64::from(u32::MAX))
}

pub(super) struct Quota {
    /// Bytes of blocks.
    max: u64,
    used: u64,
    /// Bytes of the blocks that are here, by feed.
    counted: Numbered<FeedId, u64>,
    uncounted: BTreeSet<FeedId>,
    /// What was there at the start is counted.
    begun: bool,
    /// The pieces (packed) wanted last: when, on a clock that counts such wants.
    recent: BTreeMap<u64, u64>,
    by_time: BTreeMap<u64, u64>,
    clock: u64,
    /// Where among the others the next one to go is looked for.
    cursor: Piece,
    dropped: Numbered<FeedId, RangeSet>,
    /// Space is to be given back.
    due: BTreeSet<FeedId>,
}

impl Quota {
    fn new(max: u64) -> Quota {
        Quota {
            max,
            used: 0,
            counted: Numbered::new(),
            uncounted: BTreeSet::new(),
            begun: false,
            recent: BTreeMap::new(),
            by_time: BTreeMap::new(),
            clock: 0,
            cursor: (FeedId(0), 0),
            dropped: Numbered::new(),
            due: BTreeSet::new(),
        }
    }

    fn slack(&self) -> u64 {
        (self.max / limits::QUOTA_SLACK).min(limits::QUOTA_SLACK_BYTES)
    }

    fn is_over(&self) -> bool {
        self.used > self.max - self.slack()
    }

    /// What is left when something was dropped. A start that finds as much finds the store full.
    fn low(&self) -> u64 {
        self.max - 2 * self.slack()
    }

    fn want(&mut self, feed: FeedId, block: u64) {
        let piece = pack((feed, block / QUOTA_BLOCKS));
        self.clock += 1;
        if let Some(before) = self.recent.insert(piece, self.clock) {
            self.by_time.remove(&before);
        }
        self.by_time.insert(self.clock, piece);
        if self.recent.len() > limits::QUOTA_RECENT
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.recent.remove(&oldest);
        }
    }

    fn forget(&mut self, piece: Piece) {
        if let Some(time) = self.recent.remove(&pack(piece)) {
            self.by_time.remove(&time);
        }
    }

    fn count(&mut self, feed: FeedId, bytes: u64) {
        let before = self.counted.get(&feed).copied().unwrap_or(0);
        self.counted.insert(feed, bytes);
        self.used = self.used - before + bytes;
    }

    /// All but what was dropped.
    pub fn wanted(&self, feed: FeedId) -> Wanted {
        let Some(dropped) = self.dropped.get(&feed).filter(|dropped| !dropped.is_empty()) else {
            return Wanted::All;
        };
        Wanted::AllBut(dropped.clone())
    }
}

impl Node {
    /// Bounds what the kept drives and feeds store, in bytes of blocks. To be called before they are
    /// added.
    pub fn set_quota(&mut self, max: u64) {
        self.quota = Some(Box::new(Quota::new(max)));
    }

    /// A feed is open.
    pub(super) fn quota_opened(&mut self, feed: FeedId) {
        let kept = self.feeds.get(feed).and_then(|open| self.topics.get(&open.topic));
        if let (Some(quota), Some(What::Keep(_))) = (&mut self.quota, kept.map(|t| &t.what)) {
            quota.uncounted.insert(feed);
            self.work_due = true;
        }
    }

    pub(super) fn quota_stored(&mut self, feed: FeedId, block: u64, bytes: u64) {
        let Some(quota) = &mut self.quota else { return };
        quota.want(feed, block);
        if let (Some(counted), false) =
            (quota.counted.get_mut(&feed), quota.uncounted.contains(&feed))
        {
            *counted += bytes;
            quota.used += bytes;
            self.work_due |= quota.is_over();
        }
    }

    pub(super) fn quota_served(&mut self, feed: FeedId, block: u64) {
        if let Some(quota) = &mut self.quota {
            quota.want(feed, block);
        }
    }

    /// The blocks from here on are others now.
    pub(super) fn quota_moved(&mut self, feed: FeedId, from: u64) {
        let Some(quota) = &mut self.quota else { return };
        if let Some(dropped) = quota.dropped.get_mut(&feed) {
            dropped.remove(from, MAX_SAFE_INTEGER - from);
        }
        if quota.counted.contains_key(&feed) {
            quota.uncounted.insert(feed);
            self.work_due = true;
        }
    }

    /// Drops what is over the bound.
    pub(super) fn keep_within_quota(&mut self, now: Instant, disk: &mut dyn Disk) -> Work {
        let Some(mut quota) = self.quota.take() else { return Work::Idle };
        let work = self.quota_step(now, &mut quota, disk);
        self.quota = Some(quota);
        self.want_again(now);
        work
    }

    fn quota_step(&mut self, now: Instant, quota: &mut Quota, disk: &mut dyn Disk) -> Work {
        if !self.count_held(now, quota, disk) {
            return Work::Waiting;
        }
        let mut work = Work::Idle;
        if quota.is_over() {
            let feeds: Vec<FeedId> = quota.counted.keys().collect();
            for piece in 0.. {
                if quota.used <= quota.low() {
                    break;
                }
                if piece == limits::QUOTA_AT_ONCE {
                    work = Work::More;
                    break;
                }
                let Some(piece) = self.oldest_piece(quota, &feeds) else { break };
                match self.drop_piece(quota, piece, disk) {
                    Ok(()) => {}
                    Err(StoreError::NotYet) => {
                        work = Work::Waiting;
                        break;
                    }
                    Err(error) => {
                        self.pause(now, piece.0, &error);
                        break;
                    }
                }
            }
        }
        for feed in quota.due.clone() {
            let given =
                self.commit(now, feed, disk).and_then(|()| match self.feeds.get_mut(feed) {
                    Some(open) => open.store.give_back(disk),
                    None => Ok(()),
                });
            match given {
                Ok(()) => {
                    quota.due.remove(&feed);
                }
                Err(StoreError::NotYet) => work = Work::Waiting,
                Err(error) => {
                    quota.due.remove(&feed);
                    self.pause(now, feed, &error);
                }
            }
        }
        work
    }

    /// Counts what feeds hold. `false`: the disk is fetching what tells.
    fn count_held(&mut self, now: Instant, quota: &mut Quota, disk: &mut dyn Disk) -> bool {
        let mut fresh = Vec::new();
        while let Some(&feed) = quota.uncounted.first() {
            let held = match self.feeds.get_mut(feed) {
                Some(open) => open.store.held_bytes(disk),
                None => Ok(0),
            };
            match held {
                Ok(bytes) => {
                    if !quota.counted.contains_key(&feed) {
                        fresh.push(feed);
                    }
                    quota.count(feed, bytes);
                }
                Err(StoreError::NotYet) => return false,
                Err(error) => self.pause(now, feed, &error),
            }
            quota.uncounted.remove(&feed);
        }
        if !quota.begun {
            fresh = quota.counted.keys().collect();
            quota.begun = true;
        }
        if quota.used >= quota.low() {
            // An earlier run dropped what is missing, as far as anybody can tell.
            for feed in fresh {
                let Some(open) = self.feeds.get(feed) else { continue };
                let mut missing = RangeSet::new();
                missing.insert(0, open.store.feed().length());
                let have = open.store.feed().have().ranges(0, u64::MAX);
                have.for_each(|(start, len)| missing.remove(start, len));
                if !missing.is_empty() && !open.store.is_writable() {
                    quota.dropped.insert(feed, missing);
                    self.rewanted.insert(feed);
                }
            }
        }
        true
    }

    /// What is to go next.
    fn oldest_piece(&self, quota: &mut Quota, feeds: &[FeedId]) -> Option<Piece> {
        for last in [false, true] {
            let may = |feed: FeedId| {
                self.feeds.get(feed).filter(|open| {
                    let names = open.role == Role::Metadata;
                    !open.store.is_writable() && names == last && open.paused.is_none()
                })
            };
            let begin = feeds.partition_point(|feed| *feed < quota.cursor.0);
            // The feed of the cursor comes again at the end, for what is before it.
            for turn in 0..=feeds.len() {
                let Some(&feed) = feeds.get((begin + turn) % feeds.len().max(1)) else { break };
                let Some(open) = may(feed) else { continue };
                let resumes = turn == 0 && feed == quota.cursor.0;
                let mut piece = if resumes { quota.cursor.1 } else { u64::from(last) };
                while let Some(block) = open.store.feed().have().next_set(piece * QUOTA_BLOCKS) {
                    piece = block / QUOTA_BLOCKS;
                    if !quota.recent.contains_key(&pack((feed, piece))) {
                        quota.cursor = (feed, piece);
                        return Some((feed, piece));
                    }
                    piece += 1;
                }
            }
            let oldest = quota
                .by_time
                .values()
                .map(|packed| unpack(*packed))
                .find(|(feed, piece)| may(*feed).is_some() && (!last || *piece > 0));
            if let Some(piece) = oldest {
                return Some(piece);
            }
        }
        None
    }

    fn drop_piece(
        &mut self,
        quota: &mut Quota,
        (feed, piece): Piece,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        let start = piece * QUOTA_BLOCKS;
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let have = open.store.feed().have();
        let runs: Vec<(u64, u64)> = have.ranges(start, start + QUOTA_BLOCKS).collect();
        let bytes = open.store.discard(disk, start, QUOTA_BLOCKS)?;
        let key = Key(*open.store.feed().key());
        quota.forget((feed, piece));
        let left = quota.counted.get(&feed).map_or(0, |held| held.saturating_sub(bytes));
        quota.count(feed, left);
        quota.due.insert(feed);
        for (start, length) in runs {
            if !quota.dropped.contains_key(&feed) {
                quota.dropped.insert(feed, RangeSet::new());
            }
            if let Some(dropped) = quota.dropped.get_mut(&feed) {
                dropped.insert(start, length);
            }
            self.sync.handle(self.last_tick, Input::Cleared { feed, start, length }, &self.feeds);
            self.publish(&Event::Cleared { key, start, length });
        }
        self.rewanted.insert(feed);
        Ok(())
    }

    /// Tells the synchronizer what is wanted of feeds that lost something.
    fn want_again(&mut self, now: Instant) {
        for feed in std::mem::take(&mut self.rewanted) {
            if self.feeds.get(feed).is_some_and(|open| open.paused.is_none()) {
                let wanted = self.wanted_of(feed);
                self.sync.handle(now, Input::SetWanted { feed, wanted }, &self.feeds);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_piece_wanted_longest_ago_goes_first_and_what_is_remembered_is_bounded() {
        let mut quota = Quota::new(1000);
        let feed = FeedId(3);
        for block in [0, QUOTA_BLOCKS, 2 * QUOTA_BLOCKS, 1] {
            quota.want(feed, block);
        }
        let order =
            |quota: &Quota| quota.by_time.values().map(|p| unpack(*p).1).collect::<Vec<_>>();
        assert_eq!(order(&quota), [1, 2, 0]);
        quota.forget((feed, 2));
        assert_eq!(order(&quota), [1, 0]);
        for piece in 0..2 * limits::QUOTA_RECENT as u64 {
            quota.want(feed, piece * QUOTA_BLOCKS);
        }
        assert_eq!(quota.recent.len(), limits::QUOTA_RECENT);
        assert_eq!(quota.by_time.len(), limits::QUOTA_RECENT);
        assert!(!quota.recent.contains_key(&pack((feed, 0))));
    }

    #[test]
    fn figures_add_up() {
        let mut quota = Quota::new(1600);
        quota.count(FeedId(1), 700);
        quota.count(FeedId(2), 900);
        assert!((quota.used, quota.is_over()) == (1600, true));
        quota.count(FeedId(2), 700);
        assert!((quota.used, quota.is_over(), quota.low()) == (1400, false, 1400));
    }
}
