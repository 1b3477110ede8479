//! Peers that want what is paused here. Who has shown that it knows the key of a core, and wants nothing else,
//! is told so and when to come again; where everything is paused, whoever comes is. What goes on is looked for
//! at once among those who came meanwhile.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::conn::{Direction, Reason};
use crate::crypto::sign::PublicKey;
use crate::ids::ConnId;
use crate::limits;
use crate::swarm::Source;
use crate::time::Instant;
use crate::wire::host::{Close, Code};

use super::Node;
use super::io::Output;
use super::meeting::Kin;
use super::peer::Peer;
use super::session::Session;
use super::topic::{Topic, TopicId};

/// Where those listen, as they say, who came for what is paused; the oldest first.
#[derive(Debug, Default)]
pub(super) struct Callers(VecDeque<(SocketAddr, PublicKey)>);

impl Callers {
    fn note(&mut self, addr: SocketAddr, key: PublicKey) {
        self.0.retain(|(of, _)| *of != addr);
        if self.0.len() == limits::PAUSED_CALLERS {
            self.0.pop_front();
        }
        self.0.push_back((addr, key));
    }
}

/// What they are told.
fn close() -> Close {
    Close { retry: Some(limits::PAUSED_AGAIN), ..Close::new(Code::Paused) }
}

impl Node {
    /// Whether nothing that is kept here takes part in anything.
    pub(super) fn is_all_paused(&self) -> bool {
        let mut topics = self.topics.iter().map(|(_, topic)| topic);
        let mut any = false;
        topics.all(|topic| {
            any |= topic.is_resting();
            !topic.is_active()
        }) && any
    }

    /// What somebody is told who wants what is paused. We may call when it goes on.
    pub(super) fn is_paused(&mut self, peer: &Peer) -> Close {
        if let (Direction::In, Some(port), Some(from)) =
            (peer.life.direction, peer.said_port, peer.address())
        {
            self.callers.note(SocketAddr::new(from.ip(), port), peer.remote);
        }
        close()
    }

    /// The peer has opened a core that is not to be found here. True: a gannet came for one that is paused.
    /// It is not refused yet: if it does not come for others, too, it is told so soon.
    pub(super) fn may_be_paused(
        &self,
        now: Instant,
        peer: &mut Peer,
        discovery_key: &[u8; 32],
    ) -> bool {
        let Session::Hyper(hyper) = &peer.session else { return false };
        let hidden = self.feeds.hidden(discovery_key).and_then(|feed| self.feeds.get(feed));
        let Some(open) = hidden else { return false };
        let rests = self.topics.get(&open.topic).is_some_and(Topic::is_resting);
        let came = matches!(peer.kin, Kin::Gannet { .. }) && peer.dialed.is_none();
        let waits = rests
            && came
            && peer.is_stranger()
            && hyper.session.has_shown(discovery_key, open.store.feed().key());
        if waits {
            peer.paused_until.get_or_insert(now + limits::PAUSED_GRACE);
        }
        waits
    }

    /// At a tick: who wants nothing but what is paused.
    pub(super) fn part_from_paused(&mut self, now: Instant) {
        let due = |peer: &&mut Peer| peer.paused_until.is_some_and(|until| until <= now);
        for conn in self.peers.busy(now) {
            let Some(peer) = self.peers.get_mut(&conn).filter(due) else { continue };
            peer.paused_until = None;
            if peer.is_stranger() && !peer.life.is_closing() {
                self.close_paused(now, conn);
            } else if let Session::Hyper(hyper) = &mut peer.session {
                for key in peer.refusals.by_us() {
                    hyper.session.refuse(key, &mut peer.staged);
                }
                self.out.push_back(Output::Wake { conn });
            }
        }
    }

    /// Ends a connection that is about nothing but what is paused.
    pub(super) fn close_paused(&mut self, now: Instant, conn: ConnId) {
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        peer.farewell = Some(self.is_paused(&peer));
        self.peers.insert(conn, peer);
        self.close(now, conn, Reason::Paused);
    }

    /// A topic goes on: whom it knew is dialled anew, and who came for it meanwhile, and the hosts that are
    /// known on the local network may have it.
    pub(super) fn call_back(&mut self, now: Instant, id: TopicId) {
        for conn in self.peers.busy(now) {
            if let Some(peer) = self.peers.get_mut(&conn)
                && let Some(until) = &mut peer.paused_until
            {
                // It has this one first.
                *until = now + limits::PAUSED_GRACE;
            }
        }
        let rest = self.topics.iter().any(|(_, topic)| topic.is_resting());
        let callers: Vec<(SocketAddr, PublicKey)> = match rest {
            true => self.callers.0.iter().copied().collect(),
            false => std::mem::take(&mut self.callers.0).into(),
        };
        let mut there = self.live_hosts(now);
        there.retain(|addr| !self.is_ours(*addr));
        let Some(swarm) = self.swarms.get_mut(&id) else { return };
        swarm.forgive(now);
        for (addr, key) in callers {
            swarm.found(now, addr, Source::Peer(key));
        }
        for addr in there {
            swarm.found(now, addr, Source::Lan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_callers_are_remembered_each_once() {
        let mut callers = Callers::default();
        let at = |n: u16| SocketAddr::from(([10, 0, 0, 1], n));
        for n in 0..2 * limits::PAUSED_CALLERS as u16 {
            callers.note(at(n), [1; 32]);
            callers.note(at(n), [2; 32]);
        }
        assert_eq!(callers.0.len(), limits::PAUSED_CALLERS);
        assert_eq!(callers.0.front(), Some(&(at(limits::PAUSED_CALLERS as u16), [2; 32])));
    }
}
