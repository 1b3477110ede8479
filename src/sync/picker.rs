//! Which block to ask a peer for: the rarest of those that it has and we lack, in random order
//! among equals; in ascending order where one peer is the only source, which keeps proofs and disk
//! writes short.
//!
//! A window of candidates per peer is looked up at a time, by steps from gap to gap that cost by
//! the number of gaps and not by the length of the feed. Candidates are looked at again when
//! their turn comes, so nothing needs to be taken out of a window when others fetch its blocks.

use super::PeerId;
use super::feed::FeedState;
use super::peer::Peer;
use super::remote::{Picks, Remote};
use crate::feed::Feed;
use crate::ids::FeedId;
use crate::lent::Lent;
use crate::limits;
use crate::rng::Rng;
use crate::time::Instant;

/// What a search brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    Block(u64),
    /// The peer has nothing that we lack.
    Nothing,
    /// The search is long: go on later.
    Later,
}

/// Everything that a search looks at.
pub(super) struct Picker<'a> {
    pub(super) now: Instant,
    pub(super) moment: u64,
    pub(super) id: FeedId,
    pub(super) state: &'a FeedState,
    pub(super) feed: &'a Feed,
    pub(super) rng: &'a mut Rng,
}

impl Picker<'_> {
    /// The next block to ask of `peer`.
    pub(super) fn pick(&mut self, peers: &mut Lent<PeerId, Peer>, peer: PeerId) -> Pick {
        let Some(asked) = peers.get_mut(&peer) else { return Pick::Nothing };
        let may_search = asked.may_search(self.moment);
        let good = |remote: &&mut Box<Remote>| remote.uploading && remote.shares_history(self.feed);
        let Some(remote) = asked.feeds.get_mut(&self.id).filter(good) else { return Pick::Nothing };
        let mut picks = std::mem::take(&mut remote.picks);
        if let Some(block) = self.take_window(remote, &mut picks) {
            remote.picks = picks;
            return Pick::Block(block);
        }
        if !may_search {
            remote.picks = picks;
            return Pick::Later;
        }
        let (whole, steps) = self.search(remote, &mut picks);
        asked.searched(steps);
        self.sort_by_rarity(peers, &mut picks);
        let found = picks.queue.pop_front();
        if let Some(remote) = peers.get_mut(&peer).and_then(|p| p.feeds.get_mut(&self.id)) {
            remote.picks = picks;
        }
        match (found, whole) {
            (Some(block), _) => Pick::Block(block),
            (None, true) => Pick::Nothing,
            (None, false) => Pick::Later,
        }
    }

    fn take_window(&self, remote: &Remote, picks: &mut Picks) -> Option<u64> {
        while let Some(block) = picks.queue.pop_front() {
            let good = block < self.feed.askable() && self.state.is_missing(self.feed, block);
            if good && remote.offers(block, self.now) {
                return Some(block);
            }
        }
        None
    }

    /// Fills the window. `true`: a whole pass over what the peer holds was made, and the window
    /// has everything that it found. And the steps it took.
    fn search(&mut self, remote: &Remote, picks: &mut Picks) -> (bool, usize) {
        if !picks.placed {
            picks.placed = true;
            // Several downloaders of one source start apart, so that they have something to give
            // to each other.
            let far = remote.length > 4 * limits::PICK_WINDOW as u64;
            let apart = far && self.state.peers.len() > 1;
            picks.at = if apart { self.rng.below(remote.length.max(1)) } else { 0 };
            picks.barren = picks.at == 0;
        }
        for steps in 0..limits::PICK_STEPS {
            match self.step(remote, picks.at) {
                Some((candidate, at)) => {
                    picks.at = at;
                    if let Some(block) = candidate {
                        picks.barren = false;
                        picks.queue.push_back(block);
                        if picks.queue.len() >= limits::PICK_WINDOW {
                            return (false, steps);
                        }
                    }
                }
                None => {
                    let whole = std::mem::replace(&mut picks.barren, true);
                    picks.at = 0;
                    if whole || !picks.queue.is_empty() {
                        return (whole, steps);
                    }
                }
            }
        }
        (false, limits::PICK_STEPS)
    }

    /// One step of the search: a block to ask for, perhaps, and where to go on.
    fn step(&self, remote: &Remote, at: u64) -> Option<(Option<u64>, u64)> {
        let missing = self.state.next_missing(self.feed, at)?;
        if missing >= self.feed.askable() {
            return None;
        }
        let held = remote.holdings.next(missing)?;
        if held > missing {
            return (held < self.feed.askable()).then_some((None, held));
        }
        let good = !self.state.flights.contains_key(&held) && !remote.declines(held, self.now);
        Some((good.then_some(held), held + 1))
    }

    fn sort_by_rarity(&mut self, peers: &Lent<PeerId, Peer>, picks: &mut Picks) {
        if picks.queue.len() < 2 || self.state.peers.len() < 2 {
            return;
        }
        let others: Vec<&Remote> = self
            .state
            .peers
            .iter()
            .filter_map(|peer| peers.get(peer)?.feeds.get(&self.id))
            .map(|remote| &**remote)
            .filter(|remote| remote.length > 0)
            .take(limits::RARITY_PEERS)
            .collect();
        let rarity = |block: u64| others.iter().filter(|r| r.holdings.contains(block)).count();
        let queue = picks.queue.make_contiguous();
        self.rng.shuffle(queue);
        queue.sort_by_cached_key(|&block| rarity(block));
    }
}
