//! How long feeds are: what both sides tell each other of it, and who is asked to prove more
//! (hyper/SPEC c.5, c.13). Only peers that hear of everything speak of lengths; a feed whose blocks
//! prove its length themselves grows without any of this.

use std::cmp::Reverse;

use super::feed::{FeedState, Growth};
use super::remote::Remote;
use super::{Feeds, OwnedMessage, PeerId, Sync, Why};
use crate::feed::Feed;
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;
use crate::wire::Head;

/// Failures in a row, fork and length: who is asked first to prove more.
type Merit = (Reverse<u32>, u64, u64);

/// What of a peer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Await {
    /// Its answer; then somebody else is asked.
    Answer,
    /// Its answer, while somebody else is asked already.
    LateAnswer,
    /// That it may be asked again.
    Turn,
}

impl Sync {
    /// A peer said how long its feed is, and how long it takes ours to be.
    pub(super) fn head(
        &mut self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        head: &Head,
        feeds: &dyn Feeds,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        if head.length > limits::FEED_BLOCKS || head.fork > limits::MAX_SAFE_INTEGER {
            return;
        }
        let before = remote.head.replace(*head);
        remote.wants.answered = true;
        let same = before.is_some_and(|old| (old.fork, old.length) == (head.fork, head.length));
        if !same {
            remote.length = head.length;
            // News are worth another question; to boast of ever more is not.
            if remote.stuck <= 1 {
                remote.stuck_until = None;
                self.no_hope(id, of);
            }
        }
        if before.is_some_and(|old| old.length > head.length || old.fork != head.fork) {
            // What it held behind its end is gone, and was asked for in vain.
            self.unhave(now, id, of, head.length, limits::MAX_SAFE_INTEGER);
        }
        if before == Some(*head) {
            return;
        }
        self.touched.insert(of);
        self.info(now, id, of, head.uploading, head.downloading);
        self.extend_wants(id, of);
        // It waits for our word that we know before it asks us for more.
        self.say_head(id, of, feeds);
        self.hasten_growth(now, id, of, head, feeds);
    }

    /// Somebody else was asked, and may be silent: it is not waited for as long any more.
    fn hasten_growth(
        &mut self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        head: &Head,
        feeds: &dyn Feeds,
    ) {
        let (Some(state), Some(feed)) = (self.feeds.get_mut(&of), feeds.feed(of)) else { return };
        let soon = now + limits::HEDGE_AFTER;
        let growth = state.growth.as_mut().filter(|growth| growth.peer != id);
        let Some(growth) = growth.filter(|_| proves_more(head, feed)) else { return };
        if let Some(due) = growth.due.filter(|due| *due > soon) {
            growth.due = Some(soon);
            let asked = growth.peer;
            self.growths.remove(&(due, of, asked, Await::Answer));
            self.grow_again(of, asked, soon, Await::Answer);
        }
    }

    /// Tells a peer how long the feed is, unless it knows and nothing changed.
    pub(super) fn say_head(&mut self, id: PeerId, of: FeedId, feeds: &dyn Feeds) {
        let (Some(state), Some(feed)) = (self.feeds.get(&of), feeds.feed(of)) else { return };
        let (uploading, live) = (state.upload, self.tuning.live);
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.leaving) else { return };
        let Some(remote) = peer.feeds.get_mut(&of).filter(|remote| remote.told) else { return };
        let theirs = remote.head.filter(|head| head.fork == feed.fork_id());
        let remote_length = theirs.map_or(0, |head| head.length);
        let said = (feed.fork_id(), feed.shown_length(), remote_length);
        if remote.said == Some(said) {
            return;
        }
        remote.said = Some(said);
        // Of an older history nothing counts: what leads to ours is proven from the first block on.
        let elsewhere = remote.head.is_some_and(|head| head.fork < feed.fork_id());
        let head = Head {
            fork: feed.fork_id(),
            length: feed.shown_length(),
            remote_length,
            can_upgrade: feed.shown_length() > 0
                && feed.can_upgrade_from(if elsewhere { 0 } else { remote_length }),
            uploading,
            // A peer that is done with everything ends the exchange with one that is done too.
            downloading: live || state.downloading(),
            has_manifest: feed.has_manifest(),
            allow_push: false,
        };
        self.send(id, of, OwnedMessage::Head(head));
    }

    /// Tells all that listen how long the feed is.
    pub(super) fn tell_head(&mut self, of: FeedId, feeds: &dyn Feeds) {
        let peers = self.feeds.get(&of).map(|state| state.peers.clone()).unwrap_or_default();
        peers.into_iter().for_each(|id| self.say_head(id, of, feeds));
    }

    /// Asks a peer with a longer feed than ours to prove it: of those that failed least often in a row
    /// the one with the longest.
    pub(super) fn grow(&mut self, now: Instant, of: FeedId, feeds: &dyn Feeds) {
        let (Some(state), Some(feed)) = (self.feeds.get(&of), feeds.feed(of)) else { return };
        if state.growth.is_some() || !state.grows() || feed.askable() > feed.length() {
            return;
        }
        let mut best: Option<(Merit, Head, PeerId)> = None;
        let mut later: Option<(Instant, PeerId)> = None;
        let mut others = false;
        for id in &state.peers {
            let Some(peer) = self.peers.get(id).filter(|peer| !peer.leaving) else { continue };
            let Some(remote) = peer.feeds.get(&of) else { continue };
            let Some(head) = remote.head.filter(|head| proves_more(head, feed)) else { continue };
            match remote.stuck_until.filter(|until| *until > now) {
                Some(until) => later = Some(later.map_or((until, *id), |at| at.min((until, *id)))),
                None => {
                    others |= best.is_some();
                    let merit = (Reverse(remote.stuck), head.fork, head.length);
                    if best.is_none_or(|(most, ..)| most < merit) {
                        best = Some((merit, head, *id));
                    }
                }
            }
        }
        let Some((_, head, id)) = best else {
            return later.into_iter().for_each(|(at, id)| self.grow_again(of, id, at, Await::Turn));
        };
        let start = if head.fork == feed.fork_id() { feed.length() } else { 0 };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let hope = now + peer.timeout();
        // Where somebody else has it too, nobody waits long for one that is silent.
        let patience = peer.delay.smooth().unwrap_or_default() * 2;
        let due = if others { hope.min(now + patience.max(limits::HEDGE_AFTER)) } else { hope };
        let before = peer.feeds.get_mut(&of).and_then(|remote| remote.hoped_until.replace(hope));
        if let Some(before) = before {
            self.growths.remove(&(before, of, id, Await::LateAnswer));
        }
        self.grow_again(of, id, hope, Await::LateAnswer);
        if let Some(state) = self.feeds.get_mut(&of) {
            state.growth = Some(Growth { peer: id, due: Some(due) });
        }
        self.grow_again(of, id, due, Await::Answer);
        let grow = OwnedMessage::Grow { fork: head.fork, start, length: head.length - start };
        self.send(id, of, grow);
    }

    fn grow_again(&mut self, of: FeedId, id: PeerId, at: Instant, what: Await) {
        self.growths.insert((at, of, id, what));
        self.wake_for(Some(at));
    }

    /// No answer to a question about its length is waited for any more.
    pub(super) fn no_hope(&mut self, id: PeerId, of: FeedId) {
        let remote = self.peers.get_mut(&id).and_then(|peer| peer.feeds.get_mut(&of));
        if let Some(hope) = remote.and_then(|remote| remote.hoped_until.take()) {
            self.growths.remove(&(hope, of, id, Await::LateAnswer));
        }
    }

    /// A proof that came was taken: whose it was is believed again.
    pub(super) fn growth_succeeded(&mut self, of: FeedId) {
        let Some(id) = self.feeds.get_mut(&of).and_then(|state| state.prover.take()) else {
            return;
        };
        let remote = self.peers.get_mut(&id).and_then(|peer| peer.feeds.get_mut(&of));
        if let Some(remote) = remote {
            (remote.stuck, remote.stuck_until) = (0, None);
        }
        self.no_hope(id, of);
    }

    /// What was to prove a feed longer is overdue, or may be asked for again.
    pub(super) fn expire_growths(&mut self, now: Instant) {
        while let Some((_, of, ..)) = self.growths.first().copied().filter(|(at, ..)| *at <= now) {
            self.growths.pop_first();
            let growth = self.feeds.get(&of).and_then(|state| state.growth);
            if let Some(growth) = growth.filter(|g| g.due.is_some_and(|due| due <= now)) {
                self.growth_ended(now, growth.peer, of, true);
            }
            self.touched.insert(of);
        }
        let next = self.growths.first().map(|(at, ..)| *at);
        self.wake_for(next);
    }

    /// An answer came from a peer to what it was asked to prove the feed longer with, be it late;
    /// whether it is of use. Say `Grew`, `Reorganised` or `GrowthFailed` when it was looked at.
    pub fn grown(&mut self, now: Instant, id: PeerId, of: FeedId) -> bool {
        let Some(state) = self.feeds.get_mut(&of).filter(|state| state.grows()) else {
            return false;
        };
        let growth = state.growth.as_mut().filter(|growth| growth.peer == id);
        if let Some(due) = growth.and_then(|growth| growth.due.take()) {
            self.growths.remove(&(due, of, id, Await::Answer));
        }
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.leaving) else { return false };
        peer.heard = now;
        let joined = peer.feeds.contains_key(&of);
        if joined {
            state.prover = Some(id);
        }
        joined
    }

    /// The same peer was asked for more that belongs to the answer.
    pub fn growing_on(&mut self, now: Instant, id: PeerId, of: FeedId) {
        let wait = self.peers.get(&id).map_or(limits::REQUEST_TIMEOUT_FIRST, |peer| peer.timeout());
        let growth = self.feeds.get_mut(&of).and_then(|state| state.growth.as_mut());
        if let Some(growth) = growth.filter(|growth| growth.peer == id) {
            growth.due = Some(now + wait);
            self.grow_again(of, id, now + wait, Await::Answer);
        }
    }

    /// It is over with what a peer was asked to prove the feed longer with.
    pub(super) fn growth_failed(&mut self, now: Instant, id: PeerId, of: FeedId, bad: bool) {
        self.growth_ended(now, id, of, false);
        if let Some(state) = self.feeds.get_mut(&of) {
            state.prover.take_if(|prover| *prover == id);
        }
        let Some(peer) = self.peers.get_mut(&id).filter(|_| bad) else { return };
        peer.strikes += 1;
        if peer.strikes >= limits::STRIKES {
            self.disconnect(now, id, Why::BadData, true);
        }
    }

    fn growth_ended(&mut self, now: Instant, id: PeerId, of: FeedId, overdue: bool) {
        self.end_growth(of, Some(id));
        self.touched.insert(of);
        let wait = self.peers.get(&id).map_or(limits::REQUEST_TIMEOUT_MIN, |peer| peer.timeout());
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(remote) = peer.feeds.get_mut(&of) {
            let wait = (wait * (1 << remote.stuck.min(8))).min(limits::DECLINED_FOR);
            remote.stuck += 1;
            remote.stuck_until = Some(now + wait);
            // (Overdue is not yet hopeless.)
            if !overdue {
                self.no_hope(id, of);
            }
        }
    }

    /// Nobody is asked any more (but perhaps by somebody else than `only`).
    pub(super) fn end_growth(&mut self, of: FeedId, only: Option<PeerId>) {
        let Some(state) = self.feeds.get_mut(&of) else { return };
        let ends = |growth: &Growth| only.is_none_or(|only| only == growth.peer);
        if let Some(growth) = state.growth.take_if(|growth| ends(growth)) {
            if let Some(due) = growth.due {
                self.growths.remove(&(due, of, growth.peer, Await::Answer));
            }
            self.touched.insert(of);
        }
    }

    /// The writer began another history with `kept` of the `from` blocks of the old one.
    pub(super) fn reorganised(
        &mut self,
        now: Instant,
        of: FeedId,
        from: u64,
        kept: u64,
        feeds: &dyn Feeds,
    ) {
        self.growth_succeeded(of);
        self.end_growth(of, None);
        let state = self.feeds.get(&of);
        let gone = state.map(|s| s.flights.range(kept..).map(|(block, _)| *block).collect());
        let gone: Vec<u64> = gone.unwrap_or_default();
        for block in gone {
            let flight = self.feeds.get_mut(&of).and_then(|state| state.land(block));
            for owner in flight.into_iter().flat_map(super::feed::Flight::owners) {
                self.take_back(now, owner, of, block);
            }
        }
        self.cleared(of, kept, from.saturating_sub(kept));
        if let Some(state) = self.feeds.get_mut(&of) {
            state.rewound(kept);
        }
        self.search_again(of);
        self.tell_head(of, feeds);
    }
}

impl FeedState {
    /// Whether a peer may prove the feed longer than it is, now or when it knows how long ours is.
    pub(super) fn expects(&self, remote: &Remote, feed: &Feed, now: Instant) -> bool {
        let after = |at: Option<Instant>| at.is_some_and(|at| at > now);
        let stuck = after(remote.stuck_until) && !after(remote.hoped_until);
        let ahead = |head: Head| {
            let waits = head.fork == feed.fork_id() && head.remote_length != feed.length();
            proves_more(&head, feed) || waits && head.length > feed.length()
        };
        self.grows() && self.wants(feed.length()) && !stuck && remote.head.is_some_and(ahead)
    }
}

/// Whether a peer with this head can prove more than we hold: it knows where we are, or its history
/// supersedes ours. (A history that is empty is waited for until it is not.)
fn proves_more(head: &Head, feed: &Feed) -> bool {
    if head.fork > feed.fork_id() {
        return head.length > 0;
    }
    let knows = head.can_upgrade && head.remote_length == feed.length();
    head.fork == feed.fork_id() && head.length > feed.length() && knows
}
