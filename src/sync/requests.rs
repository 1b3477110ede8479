//! The life of a request: sent, answered, overdue, taken back. Whoever ends a flight here puts the
//! block back to where others find it, in the same call.

use super::feed::{Completeness, FeedState, Flight};
use super::peer::Answer;
use super::picker::{Pick, Picker};
use super::remote::Doubt;
use super::{Arrival, Feeds, Output, OwnedMessage, PeerId, Sync, Why};
use crate::feed::Feed;
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;
use crate::wire::Request;

impl Sync {
    /// A Data message came from `peer` with a value of `bytes` bytes (a hash-only answer is never
    /// asked for and needs no call). Says what to do with it.
    pub fn data(
        &mut self,
        now: Instant,
        peer: PeerId,
        feed: FeedId,
        index: u64,
        bytes: u64,
    ) -> Arrival {
        let Some(from) = self.peers.get_mut(&peer).filter(|p| !p.leaving) else {
            return Arrival::Unneeded;
        };
        let answer = from.answered(now, feed, index, bytes);
        if answer == Answer::Unasked {
            from.unasked += 1;
            if from.unasked > limits::UNASKED_BLOCKS {
                self.disconnect(now, peer, Why::Unasked, false);
            }
            return Arrival::Unasked;
        }
        self.hungry.insert(peer);
        let Some(state) = self.feeds.get_mut(&feed) else { return Arrival::Unneeded };
        let flight = state.flights.get(&index).copied();
        let arriving = matches!(flight, Some(Flight::Arriving(_)));
        if arriving || answer == Answer::Satisfied || !state.wants(index) {
            return Arrival::Unneeded;
        }
        state.flights.insert(index, Flight::Arriving(peer));
        self.moving.insert(feed);
        for owner in flight.into_iter().flat_map(Flight::owners).filter(|owner| *owner != peer) {
            self.take_back(now, owner, feed, index);
        }
        match answer {
            Answer::Asked => Arrival::Expected,
            Answer::GivenUp | Answer::Satisfied | Answer::Unasked => Arrival::Late,
        }
    }

    /// `bytes` more of a frame that is not complete yet, a block if it was asked for one, came from
    /// `peer`. Optional; keeps large blocks on slow lines from counting as unanswered.
    pub fn progress(&mut self, now: Instant, peer: PeerId, bytes: u64) {
        if let Some(peer) = self.peers.get_mut(&peer).filter(|peer| peer.owes()) {
            peer.partial(now, bytes);
        }
    }

    /// The frame that `progress` told of is complete. If it was no block, none is on its way.
    pub fn frame_over(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.no_block();
        }
    }

    /// Tells an owner that its block is not needed from it any more.
    pub(super) fn take_back(&mut self, now: Instant, owner: PeerId, feed: FeedId, block: u64) {
        if let Some(peer) = self.peers.get_mut(&owner) {
            peer.give_up(now, feed, block);
            self.hungry.insert(owner);
            let request = Request { index: block, ..Request::default() };
            self.send(owner, feed, OwnedMessage::Cancel(request));
        }
    }

    /// A flight is over without the block: it goes to the front of what its other holders are
    /// asked for.
    pub(super) fn requeue(&mut self, now: Instant, feed: FeedId, block: u64) {
        let Some(state) = self.feeds.get_mut(&feed) else { return };
        state.land(block);
        for id in &state.peers {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let Some(remote) = peer.feeds.get_mut(&feed) else { continue };
            if !peer.leaving && remote.offers(block, now) {
                remote.picks.queue.push_front(block);
                remote.picks.queue.truncate(2 * limits::PICK_WINDOW);
                remote.picks.barren = false;
                peer.ripe.insert(feed);
                self.hungry.insert(*id);
            }
        }
    }

    /// `owner` is not going to deliver a block: another owner goes on alone, or the block is
    /// requeued.
    pub(super) fn disown(&mut self, now: Instant, owner: PeerId, feed: FeedId, block: u64) {
        if let Some(peer) = self.peers.get_mut(&owner) {
            peer.give_up(now, feed, block);
            let remote = peer.feeds.get_mut(&feed);
            if let Some(remote) = remote.filter(|remote| remote.doubt == Doubt::About(block)) {
                // Who does not answer for the block in question has had its chance.
                remote.doubt = Doubt::Spent;
            }
            self.hungry.insert(owner);
        }
        let Some(state) = self.feeds.get_mut(&feed) else { return };
        let Some(Flight::Asked(first, second)) = state.flights.get(&block).copied() else { return };
        let left = [Some(first), second].into_iter().flatten().find(|o| *o != owner);
        match left {
            Some(left) => drop(state.flights.insert(block, Flight::Asked(left, None))),
            None => self.requeue(now, feed, block),
        }
    }

    /// All live requests to a peer, for one feed or for all, go back.
    pub(super) fn return_all(&mut self, now: Instant, peer: PeerId, only: Option<FeedId>) {
        let Some(from) = self.peers.get(&peer) else { return };
        let asks: Vec<(FeedId, u64)> =
            from.live_asks().filter(|(feed, _)| only.is_none_or(|only| only == *feed)).collect();
        for (feed, block) in asks {
            self.disown(now, peer, feed, block);
        }
    }

    /// Requests that are overdue go to other holders at once (R02).
    pub(super) fn expire_requests(&mut self, now: Instant) {
        for id in self.peers.awake() {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let wait = peer.timeout();
            let overdue = peer.take_overdue(now);
            let again = overdue
                .iter()
                .filter_map(|(feed, block)| peer.decline(now, wait, *feed, *block))
                .min();
            let next = peer.next_overdue();
            self.wake_for(next);
            if let Some(again) = again {
                self.look_again(id, again);
            }
            for (feed, block) in overdue {
                self.touched.insert(feed);
                self.disown(now, id, feed, block);
            }
        }
    }

    pub(super) fn stored(&mut self, now: Instant, id: FeedId, index: u64, feeds: &dyn Feeds) {
        let Some(state) = self.feeds.get_mut(&id) else { return };
        let flight = state.land(index);
        self.touched.insert(id);
        for owner in flight.into_iter().flat_map(Flight::owners) {
            self.take_back(now, owner, id, index);
        }
        if let Some(state) = self.feeds.get(&id) {
            for peer in &state.peers {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.satisfied(id, index);
                    if let Some(remote) = peer.feeds.get_mut(&id) {
                        remote.declined.remove(index);
                        if remote.doubt == Doubt::About(index) {
                            remote.doubt = Doubt::Never;
                        }
                    }
                }
            }
        }
        if let Some(Flight::Arriving(from)) = flight {
            self.hungry.insert(from);
            self.acknowledge(from, id, index);
        }
        self.queue_announcement(now, id, index, feeds);
    }

    pub(super) fn lost(&mut self, now: Instant, feed: FeedId, index: u64) {
        let flight = self.feeds.get(&feed).and_then(|state| state.flights.get(&index));
        if matches!(flight, Some(Flight::Arriving(_))) {
            self.requeue(now, feed, index);
        }
    }

    /// What came does not verify, perhaps because we hold nodes of another history of the writer: the
    /// peer is asked once for everything. What else it sends meanwhile is neither taken nor held
    /// against it (up to a bound), and asked again later.
    pub(super) fn doubtful(
        &mut self,
        now: Instant,
        feed: FeedId,
        from: PeerId,
        index: u64,
        feeds: &dyn Feeds,
    ) {
        let here = feeds.feed(feed);
        let told = here.is_some_and(|here| here.digest(index) != 0);
        let flight = self.feeds.get(&feed).and_then(|state| state.flights.get(&index)).copied();
        let remote = self.peers.get_mut(&from).and_then(|peer| peer.feeds.get_mut(&feed));
        let Some(remote) = remote else { return self.rejected(now, feed, from, index) };
        let excused = remote.excused < limits::DOUBTED_BLOCKS;
        match remote.doubt {
            Doubt::Never if excused && told && flight == Some(Flight::Arriving(from)) => {
                remote.excused += 1;
                remote.doubt = Doubt::About(index);
                self.ask_again(now, feed, from, index, here);
            }
            Doubt::About(other) if excused && other != index => {
                remote.excused += 1;
                self.decline(now, from, feed, index);
                self.set_aside(now, feed, from, index);
            }
            Doubt::Never | Doubt::About(_) | Doubt::Spent => {
                remote.doubt = Doubt::Spent;
                self.rejected(now, feed, from, index);
            }
        }
    }

    /// A block that came from a peer is asked of the same one once more: only its own answer tells
    /// which history it has.
    fn ask_again(
        &mut self,
        now: Instant,
        of: FeedId,
        from: PeerId,
        block: u64,
        feed: Option<&Feed>,
    ) {
        self.requeue(now, of, block);
        let (Some(feed), Some(state)) = (feed, self.feeds.get(&of)) else { return };
        let fits = self.peers.get(&from).is_some_and(|peer| {
            let offers = peer.feeds.get(&of).is_some_and(|remote| remote.offers(block, now));
            offers && peer.can_ask(block_estimate(feed), &self.tuning)
        });
        if fits && state.is_missing(feed, block) {
            self.request(now, from, of, block, feed);
        }
    }

    pub(super) fn unusable(&mut self, now: Instant, feed: FeedId, from: PeerId, index: u64) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.decline_for_good(now, feed, index);
        }
        self.set_aside(now, feed, from, index);
    }

    /// What a peer said of a block was true once, or is going to be.
    pub(super) fn overtaken(&mut self, now: Instant, feed: FeedId, from: PeerId, index: u64) {
        self.decline(now, from, feed, index);
        self.hungry.insert(from);
        self.set_aside(now, feed, from, index);
    }

    /// A block that came from a peer is not stored: it is asked of somebody else, or later.
    fn set_aside(&mut self, now: Instant, feed: FeedId, from: PeerId, index: u64) {
        let flight = self.feeds.get(&feed).and_then(|state| state.flights.get(&index));
        if flight == Some(&Flight::Arriving(from)) {
            self.requeue(now, feed, index);
        }
    }

    /// A strike (R06). The block is asked of others only, as long as this connection lasts.
    pub(super) fn rejected(&mut self, now: Instant, feed: FeedId, from: PeerId, index: u64) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.strikes += 1;
            let strikes = peer.strikes;
            self.hungry.insert(from);
            if strikes >= limits::STRIKES {
                self.disconnect(now, from, Why::BadData, true);
            }
        }
        self.unusable(now, feed, from, index);
    }

    /// Asks the node to end a connection and has nothing to do with it from here on.
    pub(super) fn disconnect(&mut self, now: Instant, id: PeerId, why: Why, ban: bool) {
        let Some(peer) = self.peers.get_mut(&id).filter(|p| !p.leaving) else { return };
        peer.leaving = true;
        let feeds: Vec<FeedId> = peer.feeds.keys().copied().collect();
        feeds.into_iter().for_each(|of| self.end_growth(of, Some(id)));
        self.return_all(now, id, None);
        if ban {
            self.out.push_back(Output::Ban { peer: id, why });
        }
        self.out.push_back(Output::Drop { peer: id, why });
    }

    /// Asks hungry peers for blocks, those with the fewest requests out first, one at a time (R09).
    pub(super) fn fill(&mut self, now: Instant, feeds: &dyn Feeds) {
        while !self.hungry.is_empty() {
            let mut round: Vec<(usize, PeerId)> = std::mem::take(&mut self.hungry)
                .into_iter()
                .filter_map(|id| self.peers.get(&id).map(|peer| (peer.live(), id)))
                .collect();
            if round.len() > 1 {
                self.rng.shuffle(&mut round);
                round.sort_unstable_by_key(|(live, _)| *live);
            }
            for (_, id) in round {
                if self.ask_one(now, id, feeds) || self.hedge(now, id, feeds) {
                    self.hungry.insert(id);
                }
            }
        }
    }

    /// Sends one request to a peer, from the next of its feeds that has one. `false`: no room, or
    /// nothing to ask for.
    fn ask_one(&mut self, now: Instant, id: PeerId, feeds: &dyn Feeds) -> bool {
        loop {
            let Some(peer) = self.peers.get_mut(&id) else { return false };
            let next = peer.ripe.range(FeedId(peer.turn.0.saturating_add(1))..).next();
            let Some(of) = next.or(peer.ripe.first()).copied() else { return false };
            let (state, feed) = (self.feeds.get(&of), feeds.feed(of));
            let (Some(state), Some(feed)) = (state, feed) else {
                peer.ripe.remove(&of);
                continue;
            };
            let estimate = block_estimate(feed);
            peer.full = !peer.can_ask(estimate, &self.tuning);
            if peer.full {
                return false;
            }
            peer.turn = of;
            let moment = self.moment;
            let mut picker = Picker { now, moment, id: of, state, feed, rng: &mut self.rng };
            match picker.pick(&mut self.peers, id) {
                Pick::Block(block) => {
                    self.request(now, id, of, block, feed);
                    return true;
                }
                Pick::Nothing => {
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.ripe.remove(&of);
                        let remote = peer.feeds.get(&of);
                        if let Some(at) = remote.and_then(|remote| remote.declined.next_retry(now))
                        {
                            self.look_again(id, at);
                        }
                    }
                }
                Pick::Later => {
                    self.look_again(id, now);
                    return false;
                }
            }
        }
    }

    /// Leaves a peer alone with a block for a while.
    pub(super) fn decline(&mut self, now: Instant, id: PeerId, of: FeedId, block: u64) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let wait = peer.timeout();
        if let Some(until) = peer.decline(now, wait, of, block) {
            self.look_again(id, until);
        }
    }

    pub(super) fn look_again(&mut self, id: PeerId, at: Instant) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.retry = Some(peer.retry.map_or(at, |old| old.min(at)));
            self.wake_for(Some(at));
        }
    }

    fn request(&mut self, now: Instant, id: PeerId, of: FeedId, block: u64, feed: &Feed) {
        let (Some(peer), Some(state)) = (self.peers.get_mut(&id), self.feeds.get_mut(&of)) else {
            return;
        };
        let flight = match state.flights.get(&block) {
            Some(Flight::Asked(first, _)) => Flight::Asked(*first, Some(id)),
            _ => Flight::Asked(id, None),
        };
        state.flights.insert(block, flight);
        self.moving.insert(of);
        peer.ask(now, of, block, block_estimate(feed));
        let due = now + peer.timeout();
        self.have_before_request(id, of);
        let remote = self.peers.get(&id).and_then(|peer| peer.feeds.get(&of));
        let doubted = remote.is_some_and(|remote| remote.doubt == Doubt::About(block));
        let theirs = remote.and_then(|remote| remote.head).map_or(u64::MAX, |head| head.length);
        let length = theirs.min(feed.length());
        let digest = feed.digest(block);
        let request = Request { index: block, digest, ..Request::default() };
        self.send(
            id,
            of,
            match doubted {
                true => OwnedMessage::Probe { index: block, length },
                false => OwnedMessage::Request(request),
            },
        );
        self.wake_for(Some(due));
    }

    /// The endgame (R10): a peer with nothing else to do is asked for a block that somebody else
    /// has had for a while.
    fn hedge(&mut self, now: Instant, id: PeerId, feeds: &dyn Feeds) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let patience = peer.delay.smooth().unwrap_or_default() * 2;
        let patience = patience.max(limits::HEDGE_AFTER);
        if peer.silent > 0 || !peer.ripe.is_empty() {
            return false;
        }
        let mut soonest = None;
        let mut found = None;
        'feeds: for of in self.moving.iter().filter(|of| peer.feeds.contains_key(of)) {
            let (Some(state), Some(feed)) = (self.feeds.get(of), feeds.feed(*of)) else { continue };
            let few = state.flights.len() <= limits::REQUESTS_MAX;
            if state.flights.is_empty() || !few || !peer.can_ask(block_estimate(feed), &self.tuning)
            {
                continue;
            }
            if !state.nearly_done(feed, limits::REQUESTS_MAX) {
                continue;
            }
            for block in self.hedgeable(now, id, *of, state) {
                let (block, since) = block;
                if since + patience <= now {
                    found = Some((*of, block));
                    break 'feeds;
                }
                soonest = Some(soonest.map_or(since, |s: Instant| s.min(since)));
            }
        }
        if let Some((of, block)) = found
            && let Some(feed) = feeds.feed(of)
        {
            self.hold_up(now, of, block);
            self.request(now, id, of, block, feed);
            return true;
        }
        if let Some(since) = soonest {
            self.look_again(id, since + patience);
        }
        false
    }

    /// Blocks that one other peer was asked for and `id` has too, with the time of asking.
    fn hedgeable(
        &self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        state: &FeedState,
    ) -> Vec<(u64, Instant)> {
        let remote = self.peers.get(&id).and_then(|peer| peer.feeds.get(&of));
        let asked_at = |owner: PeerId, block| {
            self.peers.get(&owner).and_then(|owner| owner.asked_at(of, block))
        };
        let mut blocks = Vec::new();
        for (&block, flight) in &state.flights {
            if let Flight::Asked(owner, None) = *flight
                && owner != id
                && remote.is_some_and(|remote| remote.offers(block, now))
                && let Some(since) = asked_at(owner, block)
            {
                blocks.push((block, since));
            }
        }
        blocks
    }

    /// Whether a feed has become complete, or is so with better reason than before.
    pub(super) fn judge_completeness(&mut self, now: Instant, id: FeedId, feeds: &dyn Feeds) {
        let (Some(state), Some(feed)) = (self.feeds.get_mut(&id), feeds.feed(id)) else { return };
        if !state.is_filled(feed) {
            state.completeness = Completeness::Missing;
            return self.look_for_company(now, id);
        }
        let peers = state.peers.iter().filter_map(|peer| self.peers.get(peer));
        let mut peers = peers.filter(|peer| !peer.leaving);
        let heard = peers.clone().any(|p| p.feeds.get(&id).is_some_and(|r| r.wants.answered));
        // Somebody announces more than is proven to exist: wait until that is asked for and here,
        // or was not answered. One that has fallen silent keeps nobody waiting.
        let more = peers.any(|peer| {
            let Some(remote) = peer.feeds.get(&id).filter(|_| peer.silent == 0) else {
                return false;
            };
            if feed.askable() <= feed.length() {
                return state.expects(remote, feed, now);
            }
            let held = |from| remote.holdings.next(from);
            let behind = std::iter::successors(held(feed.length()), |block| held(block + 1));
            let mut behind = behind.take(limits::REQUESTS_MAX);
            remote.uploading && behind.any(|b| state.wants(b) && !remote.declines(b, now))
        });
        let reached = match heard {
            true => Completeness::Heard,
            false => Completeness::Unheard,
        };
        if more {
            state.completeness = Completeness::Missing;
            self.look_for_company(now, id);
        } else if state.completeness != reached {
            let worse = state.completeness == Completeness::Heard;
            state.completeness = reached;
            if heard {
                state.freeze(feed);
            }
            if !worse {
                self.out.push_back(Output::Complete { feed: id, heard });
            }
        }
    }
}

/// How large a block of the feed is going to be.
pub(super) fn block_estimate(feed: &Feed) -> u64 {
    match feed.byte_length().checked_div(feed.length()) {
        Some(mean) => mean.max(1),
        None => limits::BLOCK_ESTIMATE_BYTES,
    }
}
