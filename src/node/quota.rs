//! A bound for what seeds store: the blocks that were wanted (served or fetched) least recently go first.
//!
//! What is wanted is remembered for pieces of [`limits::QUOTA_BLOCKS`] blocks, and for the
//! [`limits::QUOTA_RECENT`] pieces of all feeds that were wanted last; every other piece is older than
//! these and goes before them. The metadata of drives goes last; its first piece, which names the content,
//! never does, nor block 0 of other feeds that a key names, which tells what they are.
//!
//! What was dropped is not fetched again by itself, in later runs neither: each store lists it. When the
//! bound is reached, what is missing by then is set aside in the same way, so that a terabyte under a
//! bound of some gigabytes is not fetched through it; what is new is fetched in place of the old.

use std::collections::{BTreeMap, BTreeSet};

use crate::few::Numbered;
use crate::ids::FeedId;
use crate::limits::{self, QUOTA_BLOCKS};
use crate::link::Key;
use crate::store::disk::Disk;
use crate::store::{Given, StoreError};
use crate::sync::Input;
use crate::time::Instant;

use super::Node;
use super::event::{Event, Role};
use super::io::Work;
use super::status::QuotaStatus;
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
    /// The bound was reached: what was missing then is set aside.
    full: bool,
    /// The pieces (packed) wanted last: when, on a clock that counts such wants.
    recent: BTreeMap<u64, u64>,
    by_time: BTreeMap<u64, u64>,
    clock: u64,
    /// Where among the others the next one to go is looked for.
    cursor: Piece,
    /// The bound has changed since these were told of it.
    rebound: BTreeSet<FeedId>,
    /// Space is to be given back, or a list of what was dropped to be written.
    due: BTreeSet<FeedId>,
    /// The disk failed, or was full, when these were counted or their space given back: they are tried
    /// again at the next tick.
    later: BTreeSet<FeedId>,
    /// The user was told that space is not given back here.
    told: bool,
}

impl Quota {
    fn new(max: u64) -> Quota {
        Quota {
            max,
            used: 0,
            counted: Numbered::new(),
            uncounted: BTreeSet::new(),
            full: false,
            recent: BTreeMap::new(),
            by_time: BTreeMap::new(),
            clock: 0,
            cursor: (FeedId(0), 0),
            rebound: BTreeSet::new(),
            due: BTreeSet::new(),
            later: BTreeSet::new(),
            told: false,
        }
    }

    /// The bound when there is none any more: what is to be given back still is.
    const NONE: u64 = u64::MAX;

    fn slack(&self) -> u64 {
        (self.max / limits::QUOTA_SLACK).min(limits::QUOTA_SLACK_BYTES)
    }

    fn is_over(&self) -> bool {
        self.used > self.max - self.slack()
    }

    /// What is left when something was dropped.
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

    /// Nothing of a feed is kept here any more.
    pub fn feed_removed(&mut self, feed: FeedId) {
        self.used -= self.counted.remove(&feed).unwrap_or(0);
        for set in [&mut self.uncounted, &mut self.rebound, &mut self.due, &mut self.later] {
            set.remove(&feed);
        }
        self.by_time.retain(|_, packed| unpack(*packed).0 != feed);
        self.recent.retain(|packed, _| unpack(*packed).0 != feed);
    }

    /// Free space with which a feed goes on that met a full disk: what may still come.
    pub fn room(&self) -> u64 {
        self.max.saturating_sub(self.used).max(self.slack()).saturating_mul(2)
    }

    /// Whether something is tried again at ticks.
    pub fn waits(&self) -> bool {
        !self.later.is_empty()
    }
}

/// The blocks before this one are never dropped.
fn spared(role: Role) -> u64 {
    match role {
        Role::Metadata => QUOTA_BLOCKS,
        Role::Content => 0,
        Role::Core => 1,
    }
}

impl Node {
    /// Bounds what the kept drives and feeds store, in bytes of blocks, from now on. Under a smaller bound
    /// than before what is too much goes; under a larger one, or none, what was given up is wanted again.
    pub fn set_quota(&mut self, max: Option<u64>) {
        self.work_due = true;
        let max = max.filter(|max| *max != Quota::NONE);
        match (&mut self.quota, max) {
            (None, None) => {}
            (None, Some(max)) => {
                self.quota = Some(Box::new(Quota::new(max)));
                let open: Vec<FeedId> = self.feeds.iter().map(|(feed, _)| feed).collect();
                for feed in open {
                    self.quota_opened(feed);
                    self.rewanted.insert(feed);
                }
            }
            (Some(quota), max) => {
                let max = max.unwrap_or(Quota::NONE);
                if std::mem::replace(&mut quota.max, max) != max {
                    // What is missing when it is reached is another thing than before.
                    quota.full = false;
                    quota.rebound.extend(quota.counted.keys());
                    quota.rebound.extend(quota.uncounted.iter().copied());
                }
            }
        }
    }

    /// Feeds that were under another bound before. What they still have to give back comes first.
    fn rebind(&mut self, quota: &mut Quota) {
        for feed in std::mem::take(&mut quota.rebound) {
            let Some(open) = self.feeds.get_mut(feed) else { continue };
            if open.store.owes() {
                quota.rebound.insert(feed);
                if !quota.later.contains(&feed) {
                    quota.due.insert(feed);
                }
                continue;
            }
            open.store.bound(quota.max);
            if open.store.owes() {
                quota.due.insert(feed);
            }
            self.rewanted.insert(feed);
        }
    }

    /// A feed is open.
    pub(super) fn quota_opened(&mut self, feed: FeedId) {
        let kept = self.feeds.get(feed).and_then(|open| self.topics.get(&open.topic));
        let (Some(quota), Some(What::Keep(_))) = (&mut self.quota, kept.map(|t| &t.what)) else {
            return;
        };
        quota.uncounted.insert(feed);
        if let Some(open) = self.feeds.get_mut(feed) {
            open.store.bound(quota.max);
            quota.full |= open.store.dropped().is_some();
            if open.store.owes() {
                quota.due.insert(feed);
            }
        }
        self.work_due = true;
    }

    /// Of feeds that take part in the bound: the bound, what is used of it, and blocks dropped.
    pub(super) fn quota_status(&self) -> Option<QuotaStatus> {
        let quota = self.quota.as_ref().filter(|quota| quota.max != Quota::NONE)?;
        let open = quota.counted.keys().filter_map(|feed| self.feeds.get(feed));
        let dropped = open.filter_map(|open| {
            let (feed, dropped) = (open.store.feed(), open.store.dropped()?);
            let missing = |(start, len)| len - feed.have().count_range(start, len);
            Some(dropped.within(0, feed.length()).map(missing).sum::<u64>())
        });
        Some(QuotaStatus { max: quota.max, used: quota.used, dropped: dropped.sum() })
    }

    /// Once a second: what the disk failed at is tried again.
    pub(super) fn tick_quota(&mut self) {
        let Some(quota) = &mut self.quota else { return };
        for feed in std::mem::take(&mut quota.later) {
            match quota.counted.contains_key(&feed) {
                true => quota.due.insert(feed),
                false => quota.uncounted.insert(feed),
            };
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

    /// Some of the blocks are others now.
    pub(super) fn quota_moved(&mut self, feed: FeedId) {
        let Some(quota) = &mut self.quota else { return };
        if quota.counted.contains_key(&feed) {
            quota.uncounted.insert(feed);
            self.rewanted.insert(feed);
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
        let mut work = self.count_held(now, quota, disk);
        if work != Work::Idle {
            return work;
        }
        self.rebind(quota);
        if quota.is_over() {
            let feeds: Vec<FeedId> = quota.counted.keys().collect();
            self.set_aside(quota, &feeds);
            for piece in 0.. {
                if quota.used <= quota.low() {
                    break;
                }
                if piece == limits::QUOTA_AT_ONCE {
                    work = Work::More;
                    break;
                }
                let Some(piece) = self.oldest_piece(quota, &feeds) else { break };
                match self.drop_piece(now, quota, piece, disk) {
                    Ok(()) => {}
                    Err(StoreError::NotYet) => {
                        work = Work::Waiting;
                        break;
                    }
                    Err(error) => {
                        quota.later.insert(piece.0);
                        self.pause(now, piece.0, &error);
                        break;
                    }
                }
            }
        }
        let mut given = self.give_back(now, quota, disk);
        if given == Work::Idle {
            self.rebind(quota);
            given = if quota.due.is_empty() { Work::Idle } else { Work::More };
        }
        if work == Work::Idle { given } else { work }
    }

    /// Gives the space of some feeds back.
    fn give_back(&mut self, now: Instant, quota: &mut Quota, disk: &mut dyn Disk) -> Work {
        let turn: Vec<FeedId> = quota.due.iter().copied().collect();
        for (at, feed) in turn.into_iter().enumerate() {
            if at == limits::QUOTA_GIVEN_AT_ONCE {
                return Work::More;
            }
            self.wake(now, feed, disk);
            let given = match self.feeds.get_mut(feed) {
                Some(open) => open.store.give_back(disk),
                None => Ok(Given::Back),
            };
            if matches!(given, Err(StoreError::NotYet)) {
                return Work::Waiting;
            }
            quota.due.remove(&feed);
            match given {
                Ok(Given::Kept) if !std::mem::replace(&mut quota.told, true) => {
                    let text = "this file system does not take back the space of dropped blocks: \
                                the bound holds for blocks, not for the disk";
                    self.publish(&Event::Warning { text: text.to_owned() });
                }
                Ok(_) | Err(StoreError::Unsynced) => {}
                Err(error) => {
                    quota.later.insert(feed);
                    self.pause(now, feed, &error);
                }
            }
        }
        Work::Idle
    }

    /// Counts what feeds hold, some of them at once.
    fn count_held(&mut self, now: Instant, quota: &mut Quota, disk: &mut dyn Disk) -> Work {
        for _ in 0..limits::QUOTA_AT_ONCE {
            let Some(&feed) = quota.uncounted.first() else { return Work::Idle };
            if self.feeds.get(feed).is_some_and(|open| !open.store.feed().have().is_empty()) {
                self.wake(now, feed, disk);
            }
            let held = match self.feeds.get_mut(feed) {
                Some(open) => open.store.held_bytes(disk),
                None => Ok(0),
            };
            match held {
                Ok(bytes) => quota.count(feed, bytes),
                Err(StoreError::NotYet) => return Work::Waiting,
                Err(error) => {
                    quota.later.insert(feed);
                    self.pause(now, feed, &error);
                }
            }
            quota.uncounted.remove(&feed);
        }
        Work::More
    }

    /// The bound is reached: what is missing is not fetched any more, but of feeds that have grown since
    /// it was reached first, where that is no large part of the bound.
    fn set_aside(&mut self, quota: &mut Quota, feeds: &[FeedId]) {
        let first = !std::mem::replace(&mut quota.full, true);
        for &feed in feeds {
            let Some(open) = self.feeds.get_mut(feed) else { continue };
            let (have, length) = (open.store.feed().have(), open.store.feed().length());
            let dropped = open.store.dropped().map_or(0, |dropped| dropped.covered(0, length));
            let missing = length.saturating_sub(have.count()).saturating_sub(dropped);
            if missing == 0 || open.store.is_writable() {
                continue;
            }
            let each = open.store.feed().byte_length() / length;
            let large = each.saturating_mul(missing) > quota.max / limits::QUOTA_NEW;
            if large || first && open.role != Role::Metadata {
                open.store.set_aside(spared(open.role), length, quota.max);
                quota.due.insert(feed);
                self.rewanted.insert(feed);
            }
        }
    }

    /// What is to go next.
    fn oldest_piece(&self, quota: &mut Quota, feeds: &[FeedId]) -> Option<Piece> {
        for last in [false, true] {
            let may = |feed: FeedId| {
                self.feeds.get(feed).filter(|open| {
                    let names = open.role == Role::Metadata;
                    // One that waits for room on the disk gives some, too.
                    let works = open.paused.is_none() || open.full;
                    !open.store.is_writable() && names == last && works
                })
            };
            let begin = feeds.partition_point(|feed| *feed < quota.cursor.0);
            // The feed of the cursor comes again at the end, for what is before it.
            for turn in 0..=feeds.len() {
                let Some(&feed) = feeds.get((begin + turn) % feeds.len().max(1)) else { break };
                let Some(open) = may(feed) else { continue };
                let have = open.store.feed().have();
                let resumes = turn == 0 && feed == quota.cursor.0;
                let mut from = if resumes { quota.cursor.1 * QUOTA_BLOCKS } else { 0 };
                while let Some(block) = have.next_set(from.max(spared(open.role))) {
                    let piece = block / QUOTA_BLOCKS;
                    if !quota.recent.contains_key(&pack((feed, piece))) {
                        quota.cursor = (feed, piece);
                        return Some((feed, piece));
                    }
                    from = (piece + 1) * QUOTA_BLOCKS;
                }
            }
            let oldest =
                quota.by_time.values().map(|packed| unpack(*packed)).find(|(feed, piece)| {
                    may(*feed).is_some_and(|open| {
                        let (start, end) = (piece * QUOTA_BLOCKS, (piece + 1) * QUOTA_BLOCKS);
                        let first = open.store.feed().have().next_set(start.max(spared(open.role)));
                        quota.counted.contains_key(feed) && first.is_some_and(|block| block < end)
                    })
                });
            if oldest.is_some() {
                return oldest;
            }
        }
        None
    }

    /// Drops of a piece what is too much.
    fn drop_piece(
        &mut self,
        now: Instant,
        quota: &mut Quota,
        (feed, piece): Piece,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        self.wake(self.last_tick, feed, disk);
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let end = (piece + 1) * QUOTA_BLOCKS;
        let from = (piece * QUOTA_BLOCKS).max(spared(open.role));
        let start = open.store.feed().have().next_set(from).map_or(end, |block| block.min(end));
        let (mut len, need) = (end - start, quota.used - quota.low());
        while len > 1 && open.store.bytes_in(disk, start, len / 2)? >= need {
            len /= 2;
        }
        let runs: Vec<(u64, u64)> = open.store.feed().have().ranges(start, start + len).collect();
        let bytes = open.store.discard(disk, start, len, quota.max)?;
        let key = Key(*open.store.feed().key());
        if start + len >= end {
            quota.forget((feed, piece));
        }
        let left = quota.counted.get(&feed).map_or(0, |held| held.saturating_sub(bytes));
        quota.count(feed, left);
        quota.due.insert(feed);
        self.feeds.touch(feed, now);
        for (start, length) in runs {
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
