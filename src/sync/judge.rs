//! Who is too slow to keep (P02). A peer is judged only by what it did while it owed us blocks,
//! only while others are faster, and never when it alone has what we need. There are two verdicts:
//! *slow*, over half a minute, by bytes a second; and *stalled*, over seconds, when everybody else
//! has nothing left to do but wait for a peer that sends nothing. Each verdict makes the next of its
//! kind take longer, so that a slow line of our own does not cost us all peers.
//!
//! A stall costs no time by itself, because what one peer sits on is asked of a second one (R10);
//! the verdict is about the peer, which holds a place that a better one could have.

use std::time::Duration;

use super::feed::Flight;
use super::peer::Peer;
use super::{Feeds, PeerId, Sync, Why};
use crate::few;
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Judge {
    slow: Patience,
    stall: Patience,
}

impl Judge {
    pub(super) fn new(slow_after: Duration) -> Judge {
        let patience = |after| Patience { after, verdicts: 0, last: Instant::default() };
        Judge { slow: patience(slow_after), stall: patience(limits::STALLED_PEER_AFTER) }
    }
}

/// How long a peer is watched: twice as long after each verdict, and less again over time.
#[derive(Debug)]
struct Patience {
    after: Duration,
    verdicts: u32,
    last: Instant,
}

impl Patience {
    fn now(&self) -> Duration {
        self.after * (1 << self.verdicts.min(limits::SLOW_PEER_DOUBLINGS))
    }

    fn verdict(&mut self, now: Instant) {
        self.verdicts = (self.verdicts + 1).min(limits::SLOW_PEER_DOUBLINGS);
        self.last = now;
    }

    /// Patience goes back to normal over time, a step in each span of it.
    fn decay(&mut self, now: Instant) {
        while self.verdicts > 0 && now.since(self.last) > self.now() * 2 {
            self.last += self.now() * 2;
            self.verdicts -= 1;
        }
    }
}

impl Sync {
    pub(super) fn judge_slow(&mut self, now: Instant, feeds: &dyn Feeds) {
        self.judge.slow.decay(now);
        let patience = self.judge.slow.now();
        let watched =
            |p: &Peer| !p.leaving && p.watch.since.is_some_and(|s| now.since(s) >= patience);
        let mut due = self.peers.awake();
        due.retain(|id| self.peers.get(id).is_some_and(watched));
        for id in due {
            if self.is_slow(now, id) && !self.is_only_holder(now, id, feeds) {
                self.judge.slow.verdict(now);
                self.disconnect(now, id, Why::Slow, false);
                return;
            }
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.watch.fade(now);
            }
        }
    }

    /// An idle peer is asked for a block that others were asked for before: they are what is waited
    /// for.
    pub(super) fn hold_up(&mut self, now: Instant, of: FeedId, block: u64) {
        let flight = self.feeds.get(&of).and_then(|state| state.flights.get(&block));
        for owner in flight.copied().into_iter().flat_map(Flight::owners) {
            if let Some(peer) = self.peers.get_mut(&owner) {
                peer.holds_up(now, of, block);
            }
        }
    }

    /// Drops one peer, at most, that held up everybody else for too long without sending a byte. A
    /// limit of Bitcoin's: 2 s, doubled to 64 s by each drop.
    pub(super) fn judge_stalled(&mut self, now: Instant, feeds: &dyn Feeds) {
        self.judge.stall.decay(now);
        let limit = self.judge.stall.now();
        let mut next = None;
        let mut due: Vec<(Duration, PeerId)> = Vec::new();
        for id in self.peers.awake() {
            let Some(peer) = self.peers.get(&id).filter(|peer| !peer.leaving) else { continue };
            let Some(at) = peer.head.due(limit.max(peer.usual())) else { continue };
            if at <= now {
                due.push((peer.head.total(now), id));
            } else {
                next = Some(next.map_or(at, |next: Instant| next.min(at)));
            }
        }
        self.wake_for(next);
        few::sort(&mut due, |a, b| a > b);
        let guilty = due
            .into_iter()
            .map(|(_, id)| id)
            .find(|id| self.is_outrun(*id) && !self.is_only_holder(now, *id, feeds));
        if let Some(id) = guilty {
            self.judge.stall.verdict(now);
            self.disconnect(now, id, Why::Slow, false);
            // The others have the longer limit, from now on.
            self.peers.values_mut().for_each(|peer| peer.head.restart(now));
        }
    }

    /// Whether another peer answered what it was asked for after this one began to hold it up: our
    /// own line works.
    fn is_outrun(&self, id: PeerId) -> bool {
        let since = self.peers.get(&id).and_then(|peer| peer.head.first);
        let mut others = self.peers.iter().filter(|(other, _)| **other != id);
        since.is_some_and(|since| others.any(|(_, peer)| peer.reached >= since))
    }

    fn is_slow(&self, now: Instant, id: PeerId) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let Some((own, span)) = peer.watch.rate(now) else { return false };
        // Only who was heard lately is faster; with nobody heard it is our line.
        let others = self.peers.iter().filter(|(other, p)| **other != id && !p.leaving);
        let others = others.filter(|(_, p)| now.since(p.heard) < span / 2);
        let mut rates: Vec<u64> =
            others.map(|(_, p)| self.lasting_rate(now, p)).filter(|rate| *rate > 0).collect();
        rates.sort_unstable();
        let Some(&median) = rates.get(rates.len() / 2) else { return false };
        let floor = limits::SLOW_PEER_BYTES_PER_SECOND.max(median / limits::SLOW_PEER_PART);
        own < floor && rates.last().is_some_and(|fastest| *fastest > floor)
    }

    /// What a peer brings over time, if it has owed us something for some time: where all share a
    /// slow line, each is fast for the moment in which its block comes through.
    fn lasting_rate(&self, now: Instant, peer: &Peer) -> u64 {
        match peer.watch.rate(now) {
            Some((rate, span)) if span >= self.judge.slow.after / 3 => rate,
            _ => peer.down.per_second(now),
        }
    }

    /// Whether a peer alone offers a block that it is, or is soon to be, asked for. Blocks beyond
    /// what is proven to exist do not count: anybody can claim those.
    fn is_only_holder(&self, now: Instant, id: PeerId, feeds: &dyn Feeds) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let more = peer.feeds.iter().flat_map(|(of, remote)| {
            let queued = remote.picks.queue.iter().take(limits::REQUESTS_MAX);
            let tried = remote.declined.passing().take(limits::REQUESTS_MAX);
            queued.copied().chain(tried).map(|block| (*of, block))
        });
        peer.live_asks().chain(more).any(|(of, block)| self.lonely(now, id, of, block, feeds))
    }

    fn lonely(&self, now: Instant, id: PeerId, of: FeedId, block: u64, feeds: &dyn Feeds) -> bool {
        let (Some(state), Some(feed)) = (self.feeds.get(&of), feeds.feed(of)) else { return false };
        let proven = feed.length() == 0 || block < feed.length();
        let offers = |p: &Peer| p.feeds.get(&of).is_some_and(|r| r.offers(block, now));
        let mut others = state.peers.iter().filter(|other| **other != id);
        proven
            && state.wants(block)
            && !feed.has(block)
            && !others.any(|o| self.peers.get(o).is_some_and(|p| !p.leaving && offers(p)))
    }
}
