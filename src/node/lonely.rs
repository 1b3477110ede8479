//! A run that is to end (`clone --once`, `core get`) does not wait for ever: alone for
//! [`limits::NO_PEERS_AFTER`], from its start or since the last peer left, it gives up.

use crate::failure::{Failure, Kind};
use crate::limits;
use crate::time::Instant;

use super::topic::{Topic, What};
use super::{Node, Stopping};

impl Node {
    /// Somebody is there who has, or wants, something that we have.
    pub(super) fn in_company(&mut self) {
        self.lonely_until = None;
        self.met = true;
    }

    /// A connection ended. If it was the last one, somebody else has to come in time.
    pub(super) fn left_alone(&mut self, now: Instant) {
        if self.ending.is_empty() || self.stopping != Stopping::No {
            return;
        }
        if self.peers.values().all(|peer| peer.is_stranger()) {
            self.lonely_until.get_or_insert(now + limits::NO_PEERS_AFTER);
        }
    }

    /// A run that is to end and was alone for too long ends with a failure that says so, unless all
    /// it was to fetch is here and only its own work is left.
    pub(super) fn give_up_alone(&mut self, now: Instant) {
        if self.lonely_until.is_none_or(|until| now < until) {
            return;
        }
        let mut ending = self.ending.iter().filter_map(|topic| self.topics.get(topic));
        if !ending.any(|topic| self.lacks(topic)) {
            // What it does now may show that there is more to fetch.
            self.lonely_until = Some(now + limits::NO_PEERS_AFTER);
            return;
        }
        self.lonely_until = None;
        let after = limits::NO_PEERS_AFTER.as_secs();
        let what = match self.met {
            false => format!("nobody who has this was found in {after} s"),
            true => format!("every peer has left, and nobody who has the rest came in {after} s"),
        };
        let failure = Failure::new(Kind::NoPeers, what);
        self.fail(failure.hint("name a peer with --peer HOST:PORT, or leave out --once"));
    }

    /// Whether the end of a topic's run needs a peer.
    fn lacks(&self, topic: &Topic) -> bool {
        match &topic.what {
            What::Core(core) => !core.is_over(),
            What::Clone(clone) => {
                let content = topic.content.is_some_and(|feed| self.sync.is_complete(feed));
                !(content && clone.knows_its_version() && self.sync.is_complete(topic.first))
            }
            What::Keep(_) => true,
            What::Share(_) => false,
        }
    }
}
