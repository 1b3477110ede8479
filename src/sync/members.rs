//! Feeds and peers that come and go, and what is wanted.

use super::feed::{Completeness, FeedState, Flight};
use super::peer::Peer;
use super::remote::Remote;
use super::{Feeds, Output, OwnedMessage, PeerId, Sync};
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;

impl Sync {
    pub(super) fn joined(&mut self, id: PeerId, of: FeedId, mut remote: Remote, feeds: &dyn Feeds) {
        if !self.feeds.contains_key(&of) {
            return;
        }
        if !self.peers.contains_key(&id) {
            self.peers.insert(id, Box::new(Peer::new(&self.tuning)));
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.leaving || peer.feeds.contains_key(&of) {
            return;
        }
        if remote.told {
            remote.windows.add(0, None);
        }
        let told = remote.told;
        peer.lasting &= remote.live;
        peer.feeds.insert(of, Box::new(remote));
        peer.finished = false;
        if let Some(state) = self.feeds.get_mut(&of) {
            state.peers.insert(id);
        }
        if told {
            self.say_head(id, of, feeds);
            self.tell_front(id, of, feeds);
        }
        self.extend_wants(id, of);
    }

    pub(super) fn parted(&mut self, now: Instant, id: PeerId, of: FeedId) {
        self.end_growth(of, Some(id));
        self.no_hope(id, of);
        self.return_all(now, id, Some(of));
        if let Some(state) = self.feeds.get_mut(&of) {
            state.peers.remove(&id);
            self.touched.insert(of);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            self.held_bytes -= peer.forget(now, of);
        }
    }

    pub(super) fn gone(&mut self, now: Instant, id: PeerId) {
        let feeds = self.peers.get(&id).map(|peer| peer.feeds.keys().copied().collect());
        let feeds: Vec<FeedId> = feeds.unwrap_or_default();
        feeds.into_iter().for_each(|of| self.parted(now, id, of));
        self.peers.remove(&id);
        self.hungry.remove(&id);
    }

    pub(super) fn feed_removed(&mut self, now: Instant, of: FeedId) {
        let peers = self.feeds.get(&of).map(|state| state.peers.clone()).unwrap_or_default();
        self.feeds.remove(&of);
        peers.into_iter().for_each(|id| self.parted(now, id, of));
        self.unannounced.remove(&of);
        self.calls.retain(|(_, called)| *called != of);
        self.touched.remove(&of);
        self.growths.retain(|(_, growing, ..)| *growing != of);
    }

    /// Changes what is wanted: requests that are not wanted any more are taken back, and every
    /// peer is looked at again (D02).
    pub(super) fn change_wanted(
        &mut self,
        now: Instant,
        of: FeedId,
        change: impl FnOnce(&mut FeedState),
    ) {
        let Some(state) = self.feeds.get_mut(&of) else { return };
        change(state);
        let idle: Vec<(u64, Flight)> = state
            .flights
            .iter()
            .filter(|(b, _)| !state.wants(**b))
            .map(|(b, f)| (*b, *f))
            .collect();
        for (block, flight) in idle {
            if matches!(flight, Flight::Asked(..)) {
                if let Some(state) = self.feeds.get_mut(&of) {
                    state.land(block);
                }
                flight.owners().for_each(|owner| self.take_back(now, owner, of, block));
            }
        }
        self.touched.insert(of);
        self.search_again(of);
        let peers = self.feeds.get(&of).map(|state| state.peers.clone()).unwrap_or_default();
        peers.into_iter().for_each(|id| self.extend_wants(id, of));
        self.wake_for(Some(now));
    }

    pub(super) fn set_mode(
        &mut self,
        now: Instant,
        of: FeedId,
        upload: bool,
        follow: bool,
        feeds: &dyn Feeds,
    ) {
        let Some(state) = self.feeds.get(&of) else { return };
        let (before, peers) = (state.upload, state.peers.clone());
        self.change_wanted(now, of, |state| state.set_mode(upload, follow));
        if upload && !before {
            self.announce_all(of, feeds);
        } else if !upload {
            for id in peers {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.uploads.forget(of);
                }
            }
        }
    }

    /// All peers of a feed may have something for us.
    pub(super) fn search_again(&mut self, of: FeedId) {
        let Some(state) = self.feeds.get(&of).filter(|state| state.downloading()) else { return };
        for id in &state.peers {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if let Some(remote) = peer.feeds.get_mut(&of) {
                remote.picks.barren = false;
                peer.ripe.insert(of);
                self.hungry.insert(*id);
            }
        }
    }

    /// Asks the peer to tell what it has: the first range at once, further ones as far as it is
    /// known to reach.
    pub(super) fn extend_wants(&mut self, id: PeerId, of: FeedId) {
        if !self.feeds.get(&of).is_some_and(|state| state.downloading()) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.leaving) else { return };
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        let mut starts = Vec::new();
        let wants = &mut remote.wants;
        while !wants.old && wants.open < limits::WANTS_IN_FLIGHT && wants.next < limits::WANT_RANGES
        {
            let start = wants.next * limits::WANT_BLOCKS;
            if start > 0 && start >= remote.length {
                break;
            }
            wants.next += 1;
            wants.open += 1;
            starts.push(start);
        }
        for start in starts {
            self.send(id, of, OwnedMessage::Want { start, length: limits::WANT_BLOCKS });
        }
    }

    /// A feed lacks blocks: it is going to be seen whether somebody can be asked for them.
    pub(super) fn look_for_company(&mut self, now: Instant, of: FeedId) {
        let Some(state) = self.feeds.get_mut(&of) else { return };
        if state.call_at.is_some() || !state.downloading() {
            return;
        }
        let again = state.called.map_or(now, |called| called + limits::NEED_PEERS_EVERY);
        self.look_for_company_at(of, again.max(now + limits::TICK));
    }

    fn look_for_company_at(&mut self, of: FeedId, at: Instant) {
        if let Some(state) = self.feeds.get_mut(&of) {
            state.call_at = Some(at);
            self.calls.insert((at, of));
            self.wake_for(Some(at));
        }
    }

    /// Blocks are missing and nobody there can be asked: once in a while, call for peers (P07). At
    /// most `CALLS_PER_TICK` feeds are looked at; the others have their turn in the next second.
    pub(super) fn call_for_peers(&mut self, now: Instant) {
        for _ in 0..limits::CALLS_PER_TICK {
            let Some(&(at, of)) = self.calls.first().filter(|(at, _)| *at <= now) else { break };
            self.calls.remove(&(at, of));
            let Some(state) = self.feeds.get_mut(&of) else { continue };
            state.call_at = None;
            if state.completeness != Completeness::Missing || !state.downloading() {
                continue;
            }
            let hopeful = |id| self.peers.get(id).is_some_and(|p| p.ripe.contains(&of));
            let quiet = state.flights.is_empty() && state.growth.is_none();
            let alone = quiet && !state.peers.iter().any(hopeful);
            if alone {
                state.called = Some(now);
                self.out.push_back(Output::NeedPeers { feed: of });
                self.look_for_company_at(of, now + limits::NEED_PEERS_EVERY);
            } else {
                self.look_for_company_at(of, now + limits::TICK);
            }
        }
        let next = self.calls.first().map(|(at, _)| (*at).max(now + limits::TICK));
        self.wake_for(next);
    }
}
