//! Cores that come late to a stream: one that is added while the stream stands, and one that the peer did
//! not have when we opened it.

use std::collections::{BTreeSet, VecDeque};

use crate::ids::{ConnId, FeedId};
use crate::limits;
use crate::store::disk::Disk;
use crate::time::Instant;

use super::Node;
use super::io::Work;
use super::peer::Peer;
use super::session::Session;

/// What two sides of a stream refused each other.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Cores that the peer opened and we did not have, the oldest first.
    by_us: VecDeque<[u8; 32]>,
    /// When cores that it did not have are opened again, the next one first; and which these are.
    due: VecDeque<(Instant, FeedId)>,
    waiting: BTreeSet<FeedId>,
}

impl Refusals {
    pub fn refuse(&mut self, discovery_key: [u8; 32]) {
        if self.by_us.contains(&discovery_key) {
            return;
        }
        if self.by_us.len() == limits::REFUSED_CORES {
            self.by_us.pop_front();
        }
        self.by_us.push_back(discovery_key);
    }

    /// Cores that the peer opened and we did not have.
    pub fn by_us(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.by_us.iter()
    }

    /// Whether the peer has opened a core that we did not have. It is forgotten.
    fn take(&mut self, discovery_key: &[u8; 32]) -> bool {
        let at = self.by_us.iter().position(|refused| refused == discovery_key);
        at.is_some_and(|at| self.by_us.remove(at).is_some())
    }

    /// The peer does not have a core that we opened: it may have it later.
    pub fn refused(&mut self, now: Instant, feed: FeedId) {
        if self.waiting.insert(feed) {
            self.due.push_back((now + limits::REOPEN_AFTER, feed));
        }
    }

    /// We do not have the core any more.
    pub fn forget(&mut self, feed: FeedId) {
        if self.waiting.remove(&feed) {
            self.due.retain(|(_, other)| *other != feed);
        }
    }

    /// When the next one is opened again.
    pub fn next(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }

    fn next_due(&mut self, now: Instant) -> Option<FeedId> {
        let (_, feed) = self.due.pop_front_if(|(at, _)| *at <= now)?;
        self.waiting.remove(&feed);
        Some(feed)
    }
}

impl Node {
    /// Opens what was added while streams stand, on those with whom we share something already, and on
    /// those that asked for it before.
    pub(super) fn open_late(&mut self, now: Instant, disk: &mut dyn Disk) -> Work {
        for _ in 0..limits::OPENED_LATE {
            let Some(topic) = self.late.pop_front() else { return Work::Idle };
            let entry = self.topics.get(&topic).filter(|_| self.is_core(topic));
            let Some(entry) = entry else { continue };
            let feeds = entry.feeds();
            let Some(key) = self.feeds.discovery_key(entry.first) else { continue };
            let streams = self.peers.iter().filter(|(_, peer)| peer.is_stream());
            let conns: Vec<ConnId> = streams.map(|(conn, _)| *conn).collect();
            for conn in conns {
                let Some(peer) = self.peers.get_mut(&conn) else { continue };
                if peer.refusals.take(&key) || !peer.is_stranger() {
                    // The content of one that rested is open already.
                    feeds.clone().for_each(|feed| self.open_on(now, conn, feed, disk));
                }
            }
        }
        if self.late.is_empty() { Work::Idle } else { Work::More }
    }

    fn open_on(&mut self, now: Instant, conn: ConnId, feed: FeedId, disk: &mut dyn Disk) {
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        let end = self.open_core(now, conn, &mut peer, feed, disk);
        self.peers.insert(conn, peer);
        if let Some(why) = end {
            self.close(now, conn, why);
        }
    }

    /// Opens again what a peer did not have a while ago, some cores at a time.
    pub(super) fn open_again(&mut self, now: Instant, conn: ConnId, disk: &mut dyn Disk) {
        for _ in 0..limits::OPENED_LATE {
            let peer = self.peers.get_mut(&conn).filter(|peer| peer.is_stream());
            let feed = peer.and_then(|peer| peer.refusals.next_due(now));
            let Some(feed) = feed else { break };
            self.open_on(now, conn, feed, disk);
        }
    }
}

impl Peer {
    /// Whether cores can be opened on it.
    fn is_stream(&self) -> bool {
        let stream = matches!(self.session, Session::Hyper(_));
        stream && self.handshake.is_some() && !self.life.is_closing()
    }
}
