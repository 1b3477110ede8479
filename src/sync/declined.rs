//! The blocks of a feed that a peer did not answer for, and when it may be asked again. Bounded: who
//! refuses more than can be remembered is left alone with the whole feed for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::limits;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Declined {
    blocks: BTreeMap<u64, Refusal>,
    /// Those of `blocks` with an end, in the order of it.
    ends: BTreeSet<(Instant, u64)>,
    /// Nothing at all is asked until then.
    rests_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// It may be asked again then; `None`: never on this connection.
    until: Option<Instant>,
    times: u32,
}

impl Declined {
    pub(super) fn contains(&self, block: u64, now: Instant) -> bool {
        let open = |until: Option<Instant>| until.is_none_or(|until| until > now);
        self.rests_until.is_some_and(|until| until > now)
            || self.blocks.get(&block).is_some_and(|refusal| open(refusal.until))
    }

    /// Leaves the peer alone with a block for `wait`, longer each time. Until when. `most` are
    /// remembered.
    pub(super) fn add(&mut self, block: u64, now: Instant, wait: Duration, most: usize) -> Instant {
        let times = self.blocks.get(&block).map_or(0, |refusal| refusal.times);
        let until = now + (wait * (1 << times.min(8))).min(limits::DECLINED_FOR);
        self.insert(block, Refusal { until: Some(until), times: times + 1 }, now, most);
        until
    }

    /// Never asks for the block again.
    pub(super) fn add_for_good(&mut self, block: u64, now: Instant, most: usize) {
        self.insert(block, Refusal { until: None, times: 1 }, now, most);
    }

    fn insert(&mut self, block: u64, refusal: Refusal, now: Instant, most: usize) {
        self.remove(block);
        if self.blocks.len() >= most {
            while let Some((_, over)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
                self.remove(over);
            }
        }
        if self.blocks.len() >= most {
            let soonest = self.ends.first().map(|(at, _)| *at);
            self.rests_until = soonest.or(Some(now + limits::DECLINED_FOR));
            return;
        }
        self.blocks.insert(block, refusal);
        self.ends.extend(refusal.until.map(|until| (until, block)));
    }

    /// The block is here.
    pub(super) fn remove(&mut self, block: u64) {
        let refusal = self.blocks.remove(&block);
        if let Some(until) = refusal.and_then(|refusal| refusal.until) {
            self.ends.remove(&(until, block));
        }
    }

    /// When the first of them may be asked for again.
    pub(super) fn next_retry(&self, now: Instant) -> Option<Instant> {
        let rests = self.rests_until.filter(|until| *until > now);
        let next = self.ends.range((now, u64::MAX)..).next();
        rests.or_else(|| next.map(|(at, _)| *at).filter(|at| *at > now))
    }

    /// Blocks that it may be asked for again some time, those before that can be long.
    pub(super) fn passing(&self) -> impl Iterator<Item = u64> + '_ {
        self.ends.iter().map(|(_, block)| *block)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn r02_a_block_rests_longer_each_time() {
        let mut declined = Declined::default();
        for (times, wait) in [(0, 1), (1, 2), (2, 4), (9, 256), (30, 256)] {
            for _ in 0..times {
                declined.add(7, at(0), WAIT, 16);
            }
            assert_eq!(declined.add(7, at(0), WAIT, 16), at(wait));
            assert!(declined.contains(7, at(wait - 1)) && !declined.contains(7, at(wait)));
            assert!(!declined.contains(8, at(0)));
            assert_eq!(declined.next_retry(at(0)), Some(at(wait)));
            declined.remove(7);
            assert!(declined.is_empty() && declined.next_retry(at(0)).is_none());
        }
    }

    #[test]
    fn r02_who_refuses_everything_is_left_alone_with_the_feed() {
        let mut declined = Declined::default();
        let mut asked = 0;
        for second in 0..600 {
            for block in 0..10_000 {
                if !declined.contains(block, at(second)) {
                    declined.add(block, at(second), WAIT, 16);
                    asked += 1;
                }
            }
            assert!(declined.blocks.len() <= 16 && declined.ends.len() <= 16);
        }
        // Not ten thousand a second.
        assert!((100..20_000).contains(&asked), "{asked}");
    }

    #[test]
    fn r06_lies_are_remembered_until_there_is_no_room() {
        let mut declined = Declined::default();
        (0..16).for_each(|block| declined.add_for_good(block, at(0), 16));
        assert!(declined.contains(15, at(1_000_000)) && !declined.contains(16, at(0)));
        declined.add_for_good(16, at(0), 16);
        assert!(declined.contains(16, at(299)) && !declined.contains(16, at(300)));
        assert!(declined.contains(15, at(1_000_000)));
    }
}
