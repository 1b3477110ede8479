//! Connections of the Hypercore dialect: one stream carries the cores of many topics. Who opened it
//! opens the cores that it was dialled for; each side answers for the others that it has
//! (hyper/SPEC b.3, c.1, d.1).

use std::net::SocketAddr;

use crate::conn::Reason;
use crate::crypto::hyper as crypto;
use crate::crypto::noise::Role;
use crate::crypto::sign::KeyPair;
use crate::ids::{ConnId, FeedId};
use crate::store::disk::Disk;
use crate::sync::Input;
use crate::time::Instant;
use crate::wire::dat::Handshake;
use crate::wire::hyper::{self, Setup, Unsendable};

use super::Node;
use super::io::Output;
use super::peer::Peer;
use super::session::{Asked, Hyper, Session, core_message};
use super::topic::TopicId;

impl Node {
    /// Fresh secret bytes, of which earlier and later ones tell nothing.
    pub(super) fn secret(&mut self) -> [u8; 32] {
        self.secrets += 1;
        crypto::hash(&[&self.config.entropy, &self.secrets.to_le_bytes()])
    }

    /// A stream that we opened, or that a peer did.
    pub(super) fn core_session(&mut self, ours: bool) -> Session {
        let ephemeral = KeyPair::from_seed(self.secret());
        let mut header = [0; 24];
        header.copy_from_slice(&self.secret()[..24]);
        let role = if ours { Role::Initiator } else { Role::Responder };
        let setup = Setup { role, own: self.host.clone(), ephemeral, header };
        let mut session = hyper::Session::new(setup);
        session.count_from(self.sealed_from);
        Session::Hyper(Box::new(Hyper { session, asked: Asked::default() }))
    }

    /// Whether a topic's feeds are cores.
    pub(super) fn is_core(&self, topic: TopicId) -> bool {
        let first = self.topics.get(&topic).and_then(|topic| self.feeds.get(topic.first));
        first.is_some_and(|open| open.store.feed().as_core().is_some())
    }

    /// The stream stands, and the other end is no gannet: a peer by that alone.
    pub(super) fn met_other(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        let remote = peer.remote;
        let reason = self.known(now, peer, Handshake::of(&remote));
        let topics: Vec<TopicId> = peer.topics().collect();
        match reason {
            None => {
                for topic in topics {
                    if let Some(why) = self.open_topic(now, conn, peer, topic, disk) {
                        return Some(why);
                    }
                }
            }
            // What it was dialled for is asked for on the stream that stays.
            Some(Reason::Duplicate) => {
                let called = self.peers.called(now, &remote);
                let open = |peer: &Peer| peer.life.is_open();
                let twin = called.into_iter().find(|conn| self.peers.get(conn).is_some_and(open));
                if let Some(twin) = twin {
                    topics.into_iter().for_each(|topic| {
                        self.attach(now, twin, topic, false, disk);
                    });
                }
            }
            Some(_) => {}
        }
        reason
    }

    /// Opens the feeds of a topic that are open here.
    pub(super) fn open_topic(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        topic: TopicId,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        let topic = self.topics.get(&topic).filter(|topic| topic.is_active())?;
        for feed in topic.feeds() {
            if let Some(why) = self.open_core(now, conn, peer, feed, disk) {
                return Some(why);
            }
        }
        None
    }

    /// Opens a core on a stream, unless it is open.
    pub(super) fn open_core(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        if peer.kin.is_meeting() {
            // It is opened when both have met.
            return None;
        }
        let Session::Hyper(session) = &mut peer.session else { return None };
        let open = self.feeds.get(feed)?;
        let (key, discovery_key) = (*open.store.feed().key(), *open.store.feed().discovery_key());
        open.store.feed().as_core()?;
        let opened = session.session.open(&discovery_key, &key, &mut peer.staged);
        self.out.push_back(Output::Wake { conn });
        match opened {
            Ok(Some(_)) => self.core_live(now, conn, peer, &discovery_key, disk),
            // A core is live once the peer has opened it too.
            Ok(None) | Err(Unsendable::OpenAlready | Unsendable::NotUp) => None,
            Err(Unsendable::Capability) => Some(Reason::Fault),
            Err(error) => {
                log::info!("{}: {feed:?} is not opened: {error}", peer.name());
                None
            }
        }
    }

    /// The peer opened a core: we open it too if we have it.
    pub(super) fn core_opened(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        discovery_key: &[u8; 32],
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        let found = self.feeds.find(discovery_key);
        let found = found.filter(|feed| {
            let open = self.feeds.get(*feed);
            open.is_some_and(|open| open.store.feed().as_core().is_some())
        });
        match found {
            Some(feed) => self.open_core(now, conn, peer, feed, disk),
            None => {
                peer.refusals.refuse(*discovery_key);
                if self.may_be_paused(now, peer, discovery_key) {
                    return None;
                }
                if let Session::Hyper(session) = &mut peer.session {
                    session.session.refuse(discovery_key, &mut peer.staged);
                    self.out.push_back(Output::Wake { conn });
                }
                None
            }
        }
    }

    /// Both sides have opened a core, and know its key.
    pub(super) fn core_live(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        discovery_key: &[u8; 32],
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        let feed = self.feeds.find(discovery_key)?;
        let topic = self.feeds.get(feed)?.topic;
        if peer.add_topic(topic, false) {
            let id = peer.handshake.as_ref().map(|h| h.id.clone()).unwrap_or_default();
            if let Some(swarm) = self.swarms.get_mut(&topic) {
                swarm.connected(None, &id);
                // What it is about was not known when it greeted.
                if swarm.is_banned(now, peer.dialed.or(peer.address()), Some(&id)) {
                    return Some(Reason::Banned);
                }
            }
            self.may_listen(now, conn, peer, topic);
        }
        if peer.joined.contains(&feed) {
            return None;
        }
        let id = peer.remote;
        if let Some(why) = self.take_seat(now, peer, &id) {
            return Some(why);
        }
        peer.joined.push(feed);
        if let (Some(addr), Some(swarm)) = (peer.dialed, self.swarms.get_mut(&topic)) {
            swarm.has(addr);
        }
        self.in_company();
        let joined = Input::Joined { peer: conn, feed, live: true, ack: false, told: true };
        self.sync.handle(now, joined, &self.feeds);
        loop {
            let Session::Hyper(session) = &mut peer.session else { return None };
            let early = session.session.early(discovery_key)?;
            match early.message() {
                Ok(Some(message)) => {
                    let what = core_message(*discovery_key, message);
                    if let Some(why) = self.heard(now, conn, peer, what, disk) {
                        return Some(why);
                    }
                }
                Ok(None) => {}
                Err(fault) => {
                    log::info!("{}: {fault}", peer.name());
                    return Some(Reason::Fault);
                }
            }
        }
    }

    /// The peer does not have a core, or has closed it. It may open it again; where the stream was dialled
    /// for the core, so do we, after a pause.
    pub(super) fn core_closed(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        discovery_key: &[u8; 32],
    ) {
        let Some(feed) = self.feeds.find(discovery_key) else { return };
        let topic = self.feeds.get(feed).map(|open| open.topic);
        if peer.dialed_for().iter().any(|(of, dialed)| *dialed && Some(*of) == topic) {
            peer.refusals.refused(now, feed);
        }
        let had = peer.joined.contains(&feed);
        self.part(now, conn, peer, feed);
        if let (false, Some(addr), Some(topic)) = (had, peer.dialed, topic)
            && !self.has_any_of(peer, topic)
        {
            self.lacks_it(now, addr, topic);
        }
        if peer.is_stranger() {
            if !had {
                self.lacks_all(now, peer);
            }
            self.left_alone(now);
        }
    }

    /// Whether a feed of a topic is open on both sides: who has one of a drive's two does not lack it.
    fn has_any_of(&self, peer: &Peer, topic: TopicId) -> bool {
        let topic = self.topics.get(&topic);
        topic.is_some_and(|topic| topic.feeds().any(|feed| peer.joined.contains(&feed)))
    }

    /// A peer lacks what it was dialled for. Many such connections are no use: the oldest of those that serve
    /// nothing else goes, and waits as one that failed.
    fn lacks_it(&mut self, now: Instant, addr: SocketAddr, topic: TopicId) {
        let Some(swarm) = self.swarms.get_mut(&topic) else { return };
        swarm.lacks(now, addr);
        let lacking: Vec<SocketAddr> = swarm.too_many_lack().filter(|at| *at != addr).collect();
        let oldest = lacking.into_iter().find_map(|at| {
            let conn = self.stream_to(now, at)?;
            self.peers.get(&conn).is_some_and(|peer| peer.is_stranger()).then_some(conn)
        });
        if let Some(conn) = oldest {
            self.close(now, conn, Reason::Finished);
        }
    }

    /// A core is not live on a stream any more.
    pub(super) fn part(&mut self, now: Instant, conn: ConnId, peer: &mut Peer, feed: FeedId) {
        if let Session::Hyper(session) = &mut peer.session {
            session.asked.forget(feed);
        }
        peer.reorgs.remove(&feed);
        peer.unqueue(feed);
        peer.upload.take_if(|(of, _)| *of == feed);
        if peer.arrival.as_ref().is_some_and(|arrival| arrival.block().0 == feed)
            && let Some(arrival) = peer.arrival.take()
            && let (feed, Some(index)) = arrival.block()
        {
            self.sync.handle(now, Input::Lost { feed, index }, &self.feeds);
        }
        if let Some(at) = peer.joined.iter().position(|joined| *joined == feed) {
            peer.joined.swap_remove(at);
            self.sync.handle(now, Input::Parted { peer: conn, feed }, &self.feeds);
        }
    }

    /// A stream that stands is used for one topic more. `dialed`: its swarm chose the address.
    pub(super) fn attach(
        &mut self,
        now: Instant,
        conn: ConnId,
        topic: TopicId,
        dialed: bool,
        disk: &mut dyn Disk,
    ) {
        if !self.swarms.has(&topic) {
            return;
        }
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        let new = peer.add_topic(topic, dialed);
        let mut end = None;
        if let Some(id) = peer.handshake.as_ref().map(|h| h.id.clone()) {
            let at = peer.dialed.filter(|_| dialed);
            match self.swarms.get_mut(&topic) {
                Some(swarm) if new => swarm.connected(at, &id),
                // The peer has opened one of the topic's cores by itself.
                Some(swarm) => at.into_iter().for_each(|addr| swarm.reached(addr, &id)),
                None => {}
            }
            end = self.open_topic(now, conn, &mut peer, topic, disk);
        }
        self.peers.insert(conn, peer);
        if let Some(why) = end {
            self.close(now, conn, why);
        }
    }

    /// A stream to this address that a dial for one topic more is spared by.
    pub(super) fn stream_to(&mut self, now: Instant, addr: SocketAddr) -> Option<ConnId> {
        let open = |peer: &Peer| !peer.life.is_closing();
        let streams = self.peers.streams_to(now, addr);
        streams.into_iter().find(|conn| self.peers.get(conn).is_some_and(open))
    }
}
