//! Who is too slow to keep (P02). A peer is judged only by what it did while it owed us blocks,
//! only while others are faster, and never when it alone has what we need; each verdict makes the
//! next one take longer, so that a slow line of our own does not cost us all peers.

use std::time::Duration;

use super::peer::{Peer, Watch};
use super::{Feeds, PeerId, Sync, Why};
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Judge {
    after: Duration,
    verdicts: u32,
    last: Instant,
}

impl Judge {
    pub(super) fn new(after: Duration) -> Judge {
        Judge { after, verdicts: 0, last: Instant::default() }
    }

    /// How long a peer is watched now.
    pub(super) fn patience(&self) -> Duration {
        self.after * (1 << self.verdicts.min(limits::SLOW_PEER_DOUBLINGS))
    }

    fn verdict(&mut self, now: Instant) {
        self.verdicts = (self.verdicts + 1).min(limits::SLOW_PEER_DOUBLINGS);
        self.last = now;
    }

    /// Patience goes back to normal over time, a step in each span of it.
    fn decay(&mut self, now: Instant) {
        if self.verdicts > 0 && now.since(self.last) > self.patience() * 2 {
            self.verdicts -= 1;
            self.last = now;
        }
    }
}

impl Sync {
    pub(super) fn judge_slow(&mut self, now: Instant, feeds: &dyn Feeds) {
        self.judge.decay(now);
        let patience = self.judge.patience();
        let due: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, p)| !p.leaving && p.watch.since.is_some_and(|s| now.since(s) >= patience))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            if self.is_slow(now, id) && !self.is_only_holder(now, id, feeds) {
                self.judge.verdict(now);
                self.disconnect(now, id, Why::Slow, false);
                return;
            }
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.watch = Watch { since: Some(now), bytes: 0 };
            }
        }
    }

    fn is_slow(&self, now: Instant, id: PeerId) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let Some(since) = peer.watch.since else { return false };
        let span = now.since(since).as_micros().max(1);
        let own = (u128::from(peer.watch.bytes) * 1_000_000 / span) as u64;
        let others = self.peers.iter().filter(|(other, p)| **other != id && !p.leaving);
        let mut rates: Vec<u64> =
            others.map(|(_, p)| p.down.per_second(now)).filter(|rate| *rate > 0).collect();
        rates.sort_unstable();
        let Some(&median) = rates.get(rates.len() / 2) else { return false };
        let floor = limits::SLOW_PEER_BYTES_PER_SECOND.max(median / limits::SLOW_PEER_PART);
        own < floor && rates.last().is_some_and(|fastest| *fastest > floor)
    }

    /// Whether a peer alone offers a block that it is, or is soon to be, asked for. Blocks beyond
    /// what is proven to exist do not count: anybody can claim those.
    fn is_only_holder(&self, now: Instant, id: PeerId, feeds: &dyn Feeds) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let more = peer.feeds.iter().flat_map(|(of, remote)| {
            let queued = remote.picks.queue.iter().take(limits::REQUESTS_MAX);
            let tried = remote.declined.iter().filter(|(_, d)| d.until.is_some());
            let tried = tried.map(|(block, _)| block).take(limits::REQUESTS_MAX);
            queued.chain(tried).map(|block| (*of, *block))
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
