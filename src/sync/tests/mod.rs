//! One synchronizer against peers that the test plays by hand (`Rig`), and many against each other
//! (`sim`).

mod growth;
mod haves;
mod modes;
mod peers;
mod requests;
mod rules;
mod scale;
mod sim;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Arrival, Feeds, Input, Output, OwnedMessage, PeerId, Sync, Tuning, Wanted, Why};
use crate::feed::Feed;
use crate::ids::{ConnId, FeedId};
use crate::limits;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::{Bits, Have, Head, Message, Request};

pub(super) const F: FeedId = FeedId(1);
/// No blocks.
pub(super) const NONE: [u64; 0] = [];
/// Bytes of every block here.
pub(super) const BLOCK: u64 = 10_000;

#[derive(Default)]
pub(super) struct Shelf(pub(super) BTreeMap<FeedId, Feed>);

impl Feeds for Shelf {
    fn feed(&self, id: FeedId) -> Option<&Feed> {
        self.0.get(&id)
    }
}

pub(super) fn feed(length: u64, here: &[(u64, u64)]) -> Feed {
    let mut feed = Feed::new([1; 32]);
    feed.set_length(length);
    here.iter().for_each(|&(start, len)| feed.set_have(start, len, true));
    feed
}

pub(super) fn block(index: u64) -> Request {
    Request { index, ..Request::default() }
}

pub(super) fn peer(n: u32) -> PeerId {
    ConnId { slot: n, generation: 1 }
}

/// A synchronizer, its feeds and its time.
pub(super) struct Rig {
    pub(super) sync: Sync,
    pub(super) shelf: Shelf,
    pub(super) now: Instant,
    pub(super) out: Vec<Output>,
}

impl Rig {
    pub(super) fn new(feed: Feed, wanted: Wanted) -> Rig {
        Rig::tuned(feed, wanted, Tuning::default())
    }

    pub(super) fn tuned(feed: Feed, wanted: Wanted, tuning: Tuning) -> Rig {
        let mut rig = Rig {
            sync: Sync::new(Rng::from_seed(5), tuning),
            shelf: Shelf([(F, feed)].into()),
            now: Instant(10_000_000),
            out: Vec::new(),
        };
        rig.put(Input::FeedAdded { feed: F, wanted, upload: true, follow: true });
        rig
    }

    pub(super) fn put(&mut self, input: Input<'_>) {
        self.sync.handle(self.now, input, &self.shelf);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.sync.poll_output() {
            self.out.push(output);
        }
        assert_eq!(self.sync.check_invariants(&self.shelf), Ok(()));
    }

    pub(super) fn message(&mut self, from: PeerId, message: Message<'_>) {
        self.put(Input::Message { peer: from, feed: F, message: &message });
    }

    pub(super) fn join(&mut self, id: PeerId) {
        self.put(Input::Joined { peer: id, feed: F, live: true, ack: false, told: false });
    }

    pub(super) fn have(&mut self, from: PeerId, start: u64, length: u64) {
        self.message(from, Message::Have(Have { start, length, bits: None, ack: false }));
    }

    /// A peer that holds `start..start + length`.
    pub(super) fn source(&mut self, id: PeerId, start: u64, length: u64) {
        self.join(id);
        self.have(id, start, length);
    }

    /// Time passes as the node lets it: deadlines, and a tick a second.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut tick = self.now + limits::TICK;
        for _ in 0..100_000 {
            let next = self.sync.next_deadline().map_or(tick, |at| at.min(tick)).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            tick = if next == tick { tick + limits::TICK } else { tick };
            self.put(Input::Tick);
        }
        panic!("the synchronizer spins");
    }

    /// Takes out everything sent to a peer since the last call.
    pub(super) fn sent(&mut self, to: PeerId) -> Vec<OwnedMessage> {
        let mut sent = Vec::new();
        self.out.retain(|output| match output {
            Output::Send { peer, message, .. } if *peer == to => {
                sent.push(message.clone());
                false
            }
            _ => true,
        });
        sent
    }

    /// The blocks asked of a peer since the last look.
    pub(super) fn asked(&mut self, of: PeerId) -> Vec<u64> {
        let requests = self.sent(of).into_iter().filter_map(|message| match message {
            OwnedMessage::Request(request) => Some(request.index),
            OwnedMessage::Probe { index, .. } => Some(index),
            _ => None,
        });
        requests.collect()
    }

    pub(super) fn data(&mut self, from: PeerId, block: u64) -> Arrival {
        let arrival = self.sync.data(self.now, from, F, block, BLOCK);
        self.drain();
        arrival
    }

    /// A good block comes and is stored.
    pub(super) fn deliver(&mut self, from: PeerId, block: u64) -> Arrival {
        let arrival = self.data(from, block);
        if matches!(arrival, Arrival::Expected | Arrival::Late) {
            self.store(block);
        }
        arrival
    }

    pub(super) fn store(&mut self, block: u64) {
        let feed = self.shelf.0.get_mut(&F).unwrap();
        let (from, to) = (feed.length(), feed.length().max(block + 1));
        feed.set_have(block, 1, true);
        feed.set_length(to);
        self.put(Input::Stored { feed: F, index: block });
        if from < to {
            self.put(Input::Grew { feed: F, from, to });
        }
    }

    pub(super) fn reject(&mut self, from: PeerId, block: u64) {
        self.put(Input::Rejected { feed: F, peer: from, index: block });
    }

    /// Whether an output like this came, which is taken out.
    pub(super) fn said(&mut self, like: impl Fn(&Output) -> bool) -> bool {
        let found = self.out.iter().position(like);
        found.map(|at| self.out.remove(at)).is_some()
    }

    pub(super) fn dropped(&mut self, id: PeerId) -> Option<Why> {
        let why = self.out.iter().find_map(|output| match output {
            Output::Drop { peer, why } if *peer == id => Some(*why),
            _ => None,
        });
        self.out.retain(|output| !matches!(output, Output::Drop { peer, .. } if *peer == id));
        why
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.sync.feed_status(F, &self.shelf).unwrap().in_flight
    }

    pub(super) fn outstanding(&self, id: PeerId) -> u64 {
        self.sync.peer_status(self.now, id).unwrap().outstanding
    }

    pub(super) fn request(&mut self, from: PeerId, index: u64) {
        self.message(from, Message::Request(Request { index, ..Request::default() }));
    }
}
