//! One feed as the synchronizer sees it: what is wanted, and the one map of who was asked.
//!
//! Every block is in exactly one of four states. *Stored*: its bit in [`Feed::have`] is set.
//! *Asked* and *arriving*: it has an entry in `flights`. *Missing*: neither. Whatever ends a flight
//! goes through [`FeedState::land`], so none can be forgotten in a corner.

use std::collections::{BTreeMap, BTreeSet};

use super::{PeerId, Wanted};
use crate::bits::RangeSet;
use crate::feed::Feed;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct FeedState {
    wanted: Wanted,
    pub(super) upload: bool,
    follow: bool,
    /// There are two histories of it: nothing is fetched, whatever is wanted.
    forked: bool,
    /// Growth at and behind this block is not fetched: complete, and not to be followed.
    frozen: Option<u64>,
    pub(super) flights: BTreeMap<u64, Flight>,
    /// Peers that have this feed open.
    pub(super) peers: BTreeSet<PeerId>,
    pub(super) completeness: Completeness,
    /// Everything wanted below is stored.
    done_below: u64,
    /// Stored and not announced yet.
    pub(super) fresh: RangeSet,
    /// Peers were called for at this time.
    pub(super) called: Option<Instant>,
    /// It is seen then whether they are to be called for.
    pub(super) call_at: Option<Instant>,
    /// Somebody was asked to prove the feed longer.
    pub(super) growth: Option<Growth>,
    /// Whose proof is being looked at.
    pub(super) prover: Option<PeerId>,
}

/// A request for what proves a feed longer; one at a time for each feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) peer: PeerId,
    /// It is given up then. `None`: the answer is here and being stored.
    pub(super) due: Option<Instant>,
}

/// A block that was asked for and is not stored yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    /// By its first owner, and in the endgame by a second one.
    Asked(PeerId, Option<PeerId>),
    /// Being verified and written.
    Arriving(PeerId),
}

impl Flight {
    pub(super) fn owners(self) -> impl Iterator<Item = PeerId> {
        let (first, second) = match self {
            Flight::Asked(first, second) => (Some(first), second),
            Flight::Arriving(_) => (None, None),
        };
        first.into_iter().chain(second)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    Missing,
    /// Nothing is missing as far as we know by ourselves.
    Unheard,
    /// Nothing is missing, and a peer has told what it has.
    Heard,
}

impl FeedState {
    pub(super) fn new(wanted: Wanted, upload: bool, follow: bool) -> FeedState {
        FeedState {
            wanted,
            upload,
            follow,
            forked: false,
            frozen: None,
            flights: BTreeMap::new(),
            peers: BTreeSet::new(),
            completeness: Completeness::Missing,
            done_below: 0,
            fresh: RangeSet::new(),
            called: None,
            call_at: None,
            growth: None,
            prover: None,
        }
    }

    /// Whether the feed is to become longer than it is.
    pub(super) fn grows(&self) -> bool {
        self.downloading() && self.frozen.is_none()
    }

    fn wanted(&self) -> &Wanted {
        if self.forked { &Wanted::Nothing } else { &self.wanted }
    }

    pub(super) fn fork(&mut self) {
        self.forked = true;
        self.recompute();
    }

    /// Whether anything at all is to be fetched.
    pub(super) fn downloading(&self) -> bool {
        match self.wanted() {
            Wanted::Nothing => false,
            Wanted::All | Wanted::AllBut(_) => true,
            Wanted::Ranges(ranges) => !ranges.is_empty(),
        }
    }

    pub(super) fn wants(&self, block: u64) -> bool {
        match self.wanted() {
            Wanted::Nothing => false,
            Wanted::All => self.frozen.is_none_or(|end| block < end),
            Wanted::Ranges(ranges) => ranges.contains(block),
            Wanted::AllBut(ranges) => {
                !ranges.contains(block) && self.frozen.is_none_or(|end| block < end)
            }
        }
    }

    /// The first block at or behind `from` that is wanted and not stored. It may be in flight.
    pub(super) fn next_missing(&self, feed: &Feed, from: u64) -> Option<u64> {
        let mut at = from.max(self.done_below);
        loop {
            let wanted = self.next_wanted(at)?;
            at = feed.have().next_clear(wanted);
            if at == wanted {
                return Some(at);
            }
        }
    }

    pub(super) fn next_wanted(&self, from: u64) -> Option<u64> {
        match self.wanted() {
            Wanted::Nothing => None,
            Wanted::All => self.frozen.is_none_or(|end| from < end).then_some(from),
            Wanted::Ranges(ranges) => ranges.next(from),
            Wanted::AllBut(ranges) => {
                let next = ranges.end_of(from).unwrap_or(from);
                self.frozen.is_none_or(|end| next < end).then_some(next)
            }
        }
    }

    /// Wanted and neither stored nor in flight.
    pub(super) fn is_missing(&self, feed: &Feed, block: u64) -> bool {
        self.wants(block) && !feed.has(block) && !self.flights.contains_key(&block)
    }

    pub(super) fn set_wanted(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.recompute();
    }

    pub(super) fn want_more(&mut self, start: u64, length: u64) {
        match &mut self.wanted {
            Wanted::All => return,
            Wanted::Nothing => {
                self.wanted = Wanted::Ranges([(start, length)].into_iter().collect())
            }
            Wanted::Ranges(ranges) => ranges.insert(start, length),
            Wanted::AllBut(ranges) => ranges.remove(start, length),
        }
        self.done_below = self.done_below.min(start);
        self.completeness = Completeness::Missing;
    }

    pub(super) fn set_mode(&mut self, upload: bool, follow: bool) {
        self.upload = upload;
        if self.follow != follow {
            self.follow = follow;
            self.recompute();
        }
    }

    /// Blocks from `start` on were lost.
    pub(super) fn lost(&mut self, start: u64) {
        self.done_below = self.done_below.min(start);
        self.completeness = Completeness::Missing;
    }

    /// The feed has another history behind `kept` blocks.
    pub(super) fn rewound(&mut self, kept: u64) {
        self.lost(kept);
        self.frozen = None;
    }

    fn recompute(&mut self) {
        self.frozen = None;
        self.done_below = 0;
        self.completeness = Completeness::Missing;
    }

    /// Everything that is known to be wanted is here: growth is not fetched unless followed.
    /// (Chosen ranges bound themselves.)
    pub(super) fn freeze(&mut self, feed: &Feed) {
        if !self.follow && matches!(self.wanted, Wanted::All | Wanted::AllBut(_)) {
            self.frozen = Some(feed.length());
        }
    }

    /// The flight of a block ends, however it ends.
    pub(super) fn land(&mut self, block: u64) -> Option<Flight> {
        self.flights.remove(&block)
    }

    /// Whether nothing wanted is missing within what is proven to exist. Costs by what was stored
    /// since it was last asked.
    pub(super) fn is_filled(&mut self, feed: &Feed) -> bool {
        let end = match self.wanted() {
            Wanted::Nothing => return false,
            Wanted::All | Wanted::AllBut(_) if feed.length() == 0 => return false,
            Wanted::All | Wanted::AllBut(_) => feed.length(),
            Wanted::Ranges(_) => u64::MAX,
        };
        let missing = self.next_missing(feed, 0);
        self.done_below = missing.unwrap_or(self.done_below).min(end);
        missing.is_none_or(|block| block >= end)
    }

    /// How many blocks are wanted within what is proven to exist, and how many of them are missing.
    pub(super) fn figures(&self, feed: &Feed) -> (u64, u64) {
        let length = feed.length();
        match &self.wanted {
            Wanted::Nothing => (0, 0),
            Wanted::All => (length, length - feed.have().count_range(0, length).min(length)),
            Wanted::Ranges(ranges) => ranges.iter().fold((0, 0), |(all, missing), (start, len)| {
                let here = feed.have().count_range(start, len);
                (all + len, missing + (len - here.min(len)))
            }),
            Wanted::AllBut(ranges) => {
                let but = ranges.covered(0, length);
                let among = ranges
                    .within(0, length)
                    .map(|(start, len)| feed.have().count_range(start, len))
                    .sum::<u64>();
                let here = feed.have().count_range(0, length) - among;
                (length - but, (length - but).saturating_sub(here))
            }
        }
    }

    /// Whether at most `most` blocks are left to be stored (R10).
    pub(super) fn nearly_done(&self, feed: &Feed, most: usize) -> bool {
        let missing =
            |from: u64| self.next_missing(feed, from).filter(|&block| block < feed.length());
        let mut left = std::iter::successors(missing(0), |block| missing(block + 1));
        left.nth(most).is_none()
    }
}
