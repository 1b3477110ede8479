//! The synchronizer: which blocks are asked of whom, what is announced to whom, what is answered
//! next. One for all feeds and all peers of a node.
//!
//! A pure state machine: [`Sync::handle`] one input, [`Sync::poll_output`] until none is left, then
//! [`Sync::next_deadline`]. A block that arrives goes through [`Sync::data`] first; the node
//! verifies and stores it and says what came of it. Uploads are pulled with [`Sync::next_upload`]
//! when the peer's socket has room.
//!
//! It knows no bytes on a wire, no proof, no disk and no clock; feeds are only looked at, through
//! [`Feeds`]. The rules of asking and announcing are those of dat/SPEC §5, and nothing of §12.1 is
//! ever sent.

mod announce;
mod check;
mod contract;
mod declined;
mod ending;
mod feed;
mod growth;
mod holdings;
mod judge;
mod members;
mod message;
mod peer;
mod picker;
mod rates;
mod received;
mod remote;
mod requests;
#[cfg(test)]
mod tests;
mod uploads;

use std::collections::{BTreeSet, VecDeque};

pub use contract::{
    Arrival, FeedStatus, Feeds, Input, Output, PeerId, PeerStatus, Tuning, Upload, Wanted, Why,
};
pub use message::OwnedMessage;

use crate::few::Numbered;
use crate::ids::FeedId;
use crate::lent::Lent;
use crate::rng::Rng;
use crate::time::Instant;
use feed::FeedState;
use growth::Await;
use judge::Judge;
use peer::Peer;
use remote::Remote;

pub struct Sync {
    rng: Rng,
    tuning: Tuning,
    feeds: Numbered<FeedId, FeedState>,
    peers: Lent<PeerId, Peer>,
    /// Peers that may have room for a request and something to be asked for.
    hungry: BTreeSet<PeerId>,
    /// Feeds whose completeness is to be looked at.
    touched: BTreeSet<FeedId>,
    /// Feeds with blocks stored and not announced.
    unannounced: BTreeSet<FeedId>,
    announce_at: Option<Instant>,
    /// Feeds with blocks in flight, and some that had.
    moving: BTreeSet<FeedId>,
    /// Feeds that lack blocks, and when it is to be seen whether anybody can be asked for them.
    calls: BTreeSet<(Instant, FeedId)>,
    /// Feeds that somebody was or will be asked to prove longer, and when that is to be looked at: at
    /// most three times for each feed of a peer.
    growths: BTreeSet<(Instant, FeedId, PeerId, Await)>,
    judge: Judge,
    /// Heap for what all peers say they hold.
    held_bytes: usize,
    out: VecDeque<Output>,
    /// The next time at which something is due; it may be too early, never too late.
    wake: Option<Instant>,
    /// Counts moments: the time as it is told, and ticks.
    moment: u64,
    at: Instant,
    /// The moment in which it was last looked at what is due.
    timed: u64,
}

impl Sync {
    pub fn new(rng: Rng, tuning: Tuning) -> Sync {
        Sync {
            rng,
            judge: Judge::new(tuning.slow_after),
            tuning,
            feeds: Numbered::new(),
            peers: Lent::default(),
            hungry: BTreeSet::new(),
            touched: BTreeSet::new(),
            unannounced: BTreeSet::new(),
            announce_at: None,
            moving: BTreeSet::new(),
            calls: BTreeSet::new(),
            growths: BTreeSet::new(),
            held_bytes: 0,
            out: VecDeque::new(),
            wake: None,
            moment: 0,
            at: Instant::default(),
            timed: 0,
        }
    }

    /// Takes one input in. Drain `poll_output` before the next one.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, feeds: &dyn Feeds) {
        let ticked = matches!(input, Input::Tick);
        self.moment += u64::from(ticked || now != self.at);
        self.at = now;
        match input {
            Input::FeedAdded { feed, wanted, upload, follow } => {
                if !self.feeds.contains_key(&feed) {
                    self.feeds.insert(feed, FeedState::new(wanted, upload, follow));
                }
                self.touched.insert(feed);
            }
            Input::FeedRemoved { feed } => self.feed_removed(now, feed),
            Input::SetWanted { feed, wanted } => {
                self.change_wanted(now, feed, |state| state.set_wanted(wanted));
            }
            Input::WantMore { feed, start, length } => {
                self.change_wanted(now, feed, |state| state.want_more(start, length));
            }
            Input::SetMode { feed, upload, follow } => {
                self.set_mode(now, feed, upload, follow, feeds);
            }
            Input::Joined { peer, feed, live, ack, told } => {
                self.joined(peer, feed, Remote::new(live, ack, told), feeds);
            }
            Input::Parted { peer, feed } => self.parted(now, peer, feed),
            Input::Gone { peer } => self.gone(now, peer),
            Input::Message { peer, feed, message } => {
                self.received(now, peer, feed, message, feeds);
            }
            Input::Stored { feed, index } => self.stored(now, feed, index, feeds),
            Input::Rejected { feed, peer, index } => self.rejected(now, feed, peer, index),
            Input::Doubtful { feed, peer, index } => self.doubtful(now, feed, peer, index, feeds),
            Input::Unusable { feed, peer, index } => self.unusable(now, feed, peer, index),
            Input::Overtaken { feed, peer, index } => self.overtaken(now, feed, peer, index),
            Input::Forked { feed } => self.change_wanted(now, feed, FeedState::fork),
            Input::Lost { feed, index } => self.lost(now, feed, index),
            Input::Grew { feed, from, to } => self.grew(feed, from, to, feeds),
            Input::Cleared { feed, start, length } => self.cleared(feed, start, length),
            Input::Uploaded { peer, bytes, .. } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.up.add(now, bytes);
                }
            }
            Input::Unavailable { peer, feed, request } => {
                self.unavailable(now, peer, feed, &request);
            }
            Input::GrowthFailed { peer, feed, bad } => self.growth_failed(now, peer, feed, bad),
            Input::Reorganised { feed, from, kept } => {
                self.reorganised(now, feed, from, kept, feeds);
            }
            Input::SelfStalled(span) => {
                self.peers.values_mut().for_each(|peer| peer.excuse(span));
            }
            Input::Tick => {}
        }
        self.settle(now, feeds);
        // Once in a moment, however many messages that brings.
        let due = self.wake.is_some_and(|wake| wake <= now) && self.timed != self.moment;
        if ticked || due {
            self.timed = self.moment;
            self.timers(now, feeds);
            self.settle(now, feeds);
        }
        if ticked {
            debug_assert_eq!(self.check_invariants(feeds), Ok(()));
        }
    }

    /// What follows from the input just taken in.
    fn settle(&mut self, now: Instant, feeds: &dyn Feeds) {
        while let Some(feed) = self.touched.pop_first() {
            self.grow(now, feed, feeds);
            self.judge_completeness(now, feed, feeds);
        }
        self.fill(now, feeds);
    }

    /// Everything that time brings.
    fn timers(&mut self, now: Instant, feeds: &dyn Feeds) {
        self.wake = None;
        self.peers.settle(|_, _, ()| ());
        self.expire_requests(now);
        self.expire_growths(now);
        self.judge_slow(now, feeds);
        self.judge_stalled(now, feeds);
        self.end_sessions(now);
        self.call_for_peers(now);
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce_stored(feeds);
        }
        self.wake_for(self.announce_at);
        for id in self.peers.awake() {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if peer.retry.is_some_and(|at| at <= now) {
                peer.retry = None;
                peer.search_declined();
                self.hungry.insert(id);
            }
            let retry = peer.retry;
            self.wake_for(retry);
        }
    }

    /// What to do next, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call `handle` with `Tick` at the latest, should nothing else happen. May be early.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wake
    }

    fn wake_for(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
    }

    fn send(&mut self, peer: PeerId, feed: FeedId, message: OwnedMessage) {
        self.out.push_back(Output::Send { peer, feed, message });
    }

    /// The peer's requests that can wait here do; read nothing more from it (R11). Never so while it
    /// owes us blocks, within reason: two peers that fetch from each other would both stop reading,
    /// and neither could answer the other.
    pub fn uploads_full(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.uploads.full(peer.owes()))
    }

    /// Whether a request of the peer waits for its answer.
    pub fn has_upload(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.uploads.len() > 0)
    }

    /// Takes the next request to answer out of the peer's queue. Say `Uploaded` or `Unavailable`
    /// when that is done; answers may overtake each other a little.
    pub fn next_upload(&mut self, _now: Instant, peer: PeerId) -> Option<Upload> {
        self.peers.get_mut(&peer)?.uploads.pop()
    }

    /// Whether nothing wanted of the feed is missing, as `Output::Complete` said last.
    pub fn is_complete(&self, feed: FeedId) -> bool {
        let state = self.feeds.get(&feed);
        state.is_some_and(|state| state.completeness != feed::Completeness::Missing)
    }

    /// The feeds with blocks on their way.
    pub fn moving(&mut self) -> Vec<FeedId> {
        let feeds = &self.feeds;
        self.moving.retain(|of| feeds.get(of).is_some_and(|state| !state.flights.is_empty()));
        self.moving.iter().copied().collect()
    }

    /// Whether `Input::Tick` is to come every second: somebody owes us blocks and may be too slow, or
    /// waits for blocks, or has a session that ends by itself. All else has its time in
    /// `next_deadline`.
    pub fn needs_tick(&mut self) -> bool {
        self.peers.settle(|_, _, ()| ());
        let ticks = |peer: &Peer| peer.owes() || peer.uploads.len() > 0 || !peer.lasting;
        !self.tuning.live && !self.peers.is_empty()
            || self.peers.awake().iter().any(|id| self.peers.get(id).is_some_and(ticks))
    }

    /// Whether blocks are missing, none of them is on its way, and nobody is left to be asked.
    pub fn is_unoffered(&self, feed: FeedId, feeds: &dyn Feeds) -> bool {
        let (Some(state), Some(known)) = (self.feeds.get(&feed), feeds.feed(feed)) else {
            return false;
        };
        let hopeful = |id| self.peers.get(id).is_some_and(|peer| peer.ripe.contains(&feed));
        let missing = state.downloading() && state.next_missing(known, 0).is_some();
        let quiet = state.flights.is_empty() && state.growth.is_none();
        missing && quiet && !state.peers.iter().any(hopeful)
    }

    /// One behind the last block that any connected peer says it has: how long the feed is at
    /// least, once somebody has spoken.
    pub fn reach(&self, feed: FeedId) -> u64 {
        let Some(state) = self.feeds.get(&feed) else { return 0 };
        let peers = state.peers.iter().filter_map(|id| self.peers.get(id));
        peers
            .filter_map(|peer| peer.feeds.get(&feed))
            .map(|remote| remote.length)
            .max()
            .unwrap_or(0)
    }

    pub fn feed_status(&self, feed: FeedId, feeds: &dyn Feeds) -> Option<FeedStatus> {
        let (state, known) = (self.feeds.get(&feed)?, feeds.feed(feed)?);
        let (wanted, missing) = state.figures(known);
        let arriving =
            state.flights.values().filter(|f| matches!(f, feed::Flight::Arriving(_))).count();
        Some(FeedStatus {
            length: known.length(),
            have: known.have().count(),
            wanted,
            missing,
            in_flight: (state.flights.len() - arriving) as u64,
            arriving: arriving as u64,
            peers: state.peers.len() as u64,
            complete: self.is_complete(feed),
        })
    }

    pub fn peer_status(&self, now: Instant, peer: PeerId) -> Option<PeerStatus> {
        self.peers.get(&peer).map(|peer| peer.status(now))
    }
}
