//! Sessions that are not live come to an end (dat/SPEC §5.4). A JavaScript client that is not live
//! would wait for ever for a word from a live server; this one gives it.

use super::feed::Completeness;
use super::remote::{Ending, Remote};
use super::{Output, OwnedMessage, PeerId, Sync};
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;

impl Sync {
    pub(super) fn end_sessions(&mut self, now: Instant) {
        let ids: Vec<PeerId> = match self.tuning.live {
            true => self.peers.awake(),
            false => self.peers.keys().copied().collect(),
        };
        for id in ids {
            let Some(peer) = self.peers.get(&id) else { continue };
            if self.tuning.live && peer.lasting || peer.leaving || peer.finished {
                continue;
            }
            let feeds: Vec<FeedId> = peer.feeds.keys().copied().collect();
            feeds.into_iter().for_each(|of| self.end_feed(now, id, of));
            self.end_peer(now, id);
        }
    }

    fn end_feed(&mut self, now: Instant, id: PeerId, of: FeedId) {
        let (Some(peer), Some(state)) = (self.peers.get_mut(&id), self.feeds.get(&of)) else {
            return;
        };
        let busy = peer.ripe.contains(&of) || !peer.asked_in(of, 0, u64::MAX).is_empty();
        let done = !state.downloading() || state.completeness == Completeness::Heard;
        let live = self.tuning.live;
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        let (ending, info) = remote.next_ending(now, live, busy, done);
        remote.ending = ending;
        if let Some(uploading) = info {
            self.send(id, of, OwnedMessage::Info { uploading, downloading: false });
        }
    }

    /// The peer goes when it is done with all its feeds and opened no other for a while.
    fn end_peer(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.feeds.is_empty()) else {
            return;
        };
        let over = |remote: &Remote| match remote.ending {
            Ending::Over(since) => Some(since),
            _ => None,
        };
        let since = peer
            .feeds
            .values()
            .map(|remote| over(remote))
            .try_fold(Instant::default(), |last, at| at.map(|at| last.max(at)));
        let Some(since) = since else { return };
        let due = since + limits::FINISHED_GRACE;
        if due <= now {
            peer.finished = true;
            self.out.push_back(Output::Finished { peer: id });
        } else {
            self.wake_for(Some(due));
        }
    }
}

impl Remote {
    /// The next state of the end, and the `uploading` of an Info that says so. `live` is ours;
    /// `busy`: something is wanted from this peer; `done`: nothing is missing here at all.
    fn next_ending(
        &self,
        now: Instant,
        live: bool,
        busy: bool,
        done: bool,
    ) -> (Ending, Option<bool>) {
        let peer_done = !self.live && !self.downloading;
        match self.ending {
            Ending::Over(_) => (self.ending, None),
            _ if busy => (self.ending, None),
            // Neither side downloads any more.
            Ending::Open | Ending::Said if peer_done => (Ending::Over(now), Some(false)),
            Ending::Open if !live && done && self.live => (Ending::Over(now), None),
            Ending::Open if !live && done => (Ending::Said, Some(true)),
            Ending::Open | Ending::Said => (self.ending, None),
        }
    }
}
