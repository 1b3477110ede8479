//! Connections: accepted, dialled, greeted, met, joined to feeds, ended.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::conn::{Direction, Due, Reason};
use crate::ids::ConnId;
use crate::limits;
use crate::store::disk::Disk;
use crate::swarm;
use crate::sync::{self, Input};
use crate::sys::Endpoint;
use crate::time::Instant;
use crate::wire::dat::{self, FirstFeed, Handshake};
use crate::wire::host::{Close, Code};

use super::event::Event;
use super::io::{Output, Tag};
use super::peer::Peer;
use super::session::Session;
use super::topic::TopicId;
use super::{Node, Purpose};

/// What one host can have for itself: an address of IPv4, a network of 64 bits of IPv6.
pub(super) fn host_of(addr: SocketAddr) -> IpAddr {
    match addr.ip().to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

impl Node {
    pub(super) fn accepted(&mut self, now: Instant, conn: ConnId, listener: Tag, from: Endpoint) {
        if self.tags.get(&listener) == Some(&Purpose::Control) {
            self.clients.insert(conn, Box::default());
            return;
        }
        if let Endpoint::Tcp(at) = &from
            && self.standings.is_barred(at.ip(), now)
        {
            *self.ends.or_default((Reason::Banned, true)) += 1;
            self.out.push_back(Output::Close { conn, flush: false });
            return;
        }
        if self.peers.len() >= self.connections() {
            *self.ends.or_default((Reason::Full, true)) += 1;
            self.out.push_back(Output::Close { conn, flush: false });
            return;
        }
        let peer = Peer::new(now, Direction::In, from, Session::Unknown);
        self.peers.insert(conn, Box::new(peer));
        self.greeting.push_back(conn);
        self.bound_greeting(now);
    }

    /// How many connections to peers there may be.
    pub(super) fn connections(&self) -> usize {
        self.config.connections.unwrap_or(limits::CONNECTIONS)
    }

    /// There may be so many from now on. Those that are there stay.
    pub fn set_connections(&mut self, most: usize) {
        self.config.connections = Some(most);
    }

    /// Strangers who connect and say nothing cannot keep those out who do.
    fn bound_greeting(&mut self, now: Instant) {
        if self.greeting.len() <= limits::HALF_OPEN {
            return;
        }
        let peers = &self.peers;
        self.greeting.retain(|conn| peers.get(conn).is_some_and(|peer| peer.is_stranger()));
        while self.greeting.len() > limits::HALF_OPEN {
            let Some(oldest) = self.oldest_of_the_most() else { return };
            self.greeting.retain(|conn| *conn != oldest);
            self.close(now, oldest, Reason::HandshakeTimeout);
        }
    }

    /// Of the host with the most connections that are not met yet, the oldest: one that opens many
    /// pushes itself out, not those who take their time elsewhere.
    fn oldest_of_the_most(&self) -> Option<ConnId> {
        let host =
            |conn: &ConnId| self.peers.get(conn).and_then(|peer| peer.address()).map(host_of);
        let mut hosts: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        self.greeting.iter().for_each(|conn| *hosts.entry(host(conn)).or_default() += 1);
        let most = hosts.values().copied().max()?;
        self.greeting.iter().find(|conn| hosts.get(&host(conn)) == Some(&most)).copied()
    }

    /// A dial ended. With a connection, we speak first.
    pub(super) fn dialed(&mut self, now: Instant, tag: Tag, conn: io::Result<ConnId>) {
        if let Some(Purpose::Ping(id)) = self.tags.get(&tag) {
            let id = *id;
            self.tags.remove(&tag);
            return self.ping_dialed(now, id, conn);
        }
        self.dialing = self.dialing.saturating_sub(1);
        let Some(Purpose::Dial { topics, addr }) = self.tags.remove(&tag) else {
            if let Ok(conn) = conn {
                self.out.push_back(Output::Close { conn, flush: false });
            }
            return;
        };
        let conn = match conn {
            Ok(conn) => conn,
            Err(error) => {
                log::debug!("{addr}: {error}");
                self.doubt_name_of(now, addr);
                for topic in topics {
                    if let Some(swarm) = self.swarms.get_mut(&topic) {
                        swarm.dial_failed(now, addr);
                    }
                }
                return;
            }
        };
        let remote = Endpoint::Tcp(addr);
        if topics.iter().any(|topic| self.is_core(*topic)) {
            let mut peer = Peer::new(now, Direction::Out, remote, self.core_session(true));
            peer.dialed = Some(addr);
            for topic in topics {
                peer.add_topic(topic, true);
            }
            self.peers.insert(conn, Box::new(peer));
            self.out.push_back(Output::Wake { conn });
            return;
        }
        let topic = topics.first().copied().filter(|topic| self.topics.contains_key(topic));
        let first = topic.and_then(|topic| self.topics.get(&topic));
        let feed = first.and_then(|t| self.feeds.get(t.first)).map(|open| open.store.feed());
        let (Some(topic), Some(feed)) = (topic, feed) else {
            self.out.push_back(Output::Close { conn, flush: false });
            return;
        };
        let (key, discovery_key) = (*feed.key(), *feed.discovery_key());
        let mut staged = Vec::new();
        let nonce = self.nonce();
        let first = FirstFeed { key, discovery_key, nonce };
        let session = Session::Dat(Box::new(dat::Session::dial(first, &mut staged)));
        let mut peer = Peer::new(now, Direction::Out, remote, session);
        peer.add_topic(topic, true);
        peer.staged = staged;
        peer.dialed = Some(addr);
        self.introduce(&mut peer, topic);
        self.peers.insert(conn, Box::new(peer));
        self.out.push_back(Output::Wake { conn });
    }

    fn nonce(&mut self) -> [u8; 24] {
        let mut nonce = [0; 24];
        self.rng.fill(&mut nonce);
        nonce
    }

    /// The peer named its first feed: we speak if it is the first feed of a topic of ours.
    /// Otherwise nothing is said at all (CHECKLIST F01).
    pub(super) fn greet(
        &mut self,
        _now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        discovery_key: &[u8; 32],
    ) -> Option<Reason> {
        let feed = self.feeds.find(discovery_key)?;
        let open = self.feeds.get(feed);
        let found = open.filter(|open| {
            let first = self.topics.get(&open.topic).is_some_and(|topic| topic.first == feed);
            first && open.store.feed().as_core().is_none()
        });
        let Some(open) = found else { return Some(Reason::UnknownFeed) };
        let (topic, key) = (open.topic, *open.store.feed().key());
        let nonce = self.nonce();
        let Session::Dat(session) = &mut peer.session else { return Some(Reason::Fault) };
        session.provide_key(&key);
        if session.open(discovery_key, &nonce, &mut peer.staged).is_err() {
            return Some(Reason::Fault);
        }
        peer.add_topic(topic, false);
        self.introduce(peer, topic);
        self.out.push_back(Output::Wake { conn });
        None
    }

    /// Stages our Handshake and the other feeds of the topic.
    fn introduce(&mut self, peer: &mut Peer, topic: TopicId) {
        let handshake = Handshake::of(&self.config.id);
        let Session::Dat(session) = &mut peer.session else { return };
        if session.handshake(&handshake, &mut peer.staged).is_err() {
            log::error!("a handshake could not be sent");
        }
        let Some(content) = self.topics.get(&topic).and_then(|t| t.content) else { return };
        if let Some(key) = self.feeds.discovery_key(content) {
            // The nonce is only for the first feed.
            let _ = session.open(&key, &[0; 24], &mut peer.staged);
        }
    }

    /// The peer said who it is: not ourselves, not banned, not connected already.
    pub(super) fn meet(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        handshake: Handshake,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        // (Nothing was asked for: there is nothing to meet for.)
        peer.topics().next()?;
        let why = self.known(now, peer, handshake);
        if why.is_none() {
            self.join(now, conn, peer, disk);
        }
        why
    }

    /// It is known who the peer is: not ourselves, not banned, not connected already.
    pub(super) fn known(
        &mut self,
        now: Instant,
        peer: &mut Peer,
        mut handshake: Handshake,
    ) -> Option<Reason> {
        if handshake.id.is_empty() {
            // Whoever does not say who it is is nobody else, and takes a place of its own.
            handshake.id = self.secret().to_vec();
        }
        if !peer.life.handshaken(now, handshake.id.clone(), handshake.live) {
            return None;
        }
        let id = handshake.id.clone();
        peer.handshake = Some(handshake);
        let own = match peer.session {
            Session::Hyper(_) => self.host.public().to_vec(),
            Session::Dat(_) | Session::Unknown | Session::Ping => self.config.id.to_vec(),
        };
        let mut banned = false;
        for topic in peer.topics() {
            let Some(swarm) = self.swarms.get_mut(&topic) else { continue };
            swarm.connected(peer.dialed, &id);
            banned |= swarm.is_banned(now, peer.dialed.or(peer.address()), Some(&id));
            if let Some(addr) = peer.dialed.filter(|_| id == own) {
                swarm.mark_self(addr);
            }
        }
        if id == own {
            return Some(Reason::Ourselves);
        }
        if banned {
            return Some(Reason::Banned);
        }
        if let Session::Dat(_) = peer.session
            && let Some(why) = self.take_seat(now, peer, &id)
        {
            return Some(why);
        }
        let twins = self.twins_of(now, peer);
        let opened = |direction| match direction {
            Direction::Out => swarm::Opened::ByUs,
            Direction::In => swarm::Opened::ByPeer,
        };
        // There are several only while those that we opened wait for the peer's word.
        for old in twins {
            let Some(direction) = self.peers.get(&old).map(|old| old.life.direction) else {
                continue;
            };
            let (older, newer) = (opened(direction), opened(peer.life.direction));
            match swarm::verdict(&own, &id, older, newer) {
                swarm::Verdict::Keep(swarm::Survivor::Old) => {
                    let began = self.peers.get(&old).map_or(now, |old| old.life.started);
                    if now < began + limits::DUPLICATE_PATIENCE {
                        return Some(Reason::Duplicate);
                    }
                    // Who comes again after a while may have lost the old one (U05): that is asked first.
                    self.doubt(now, old);
                    peer.twin_until = Some(now + limits::DOUBT_LIMIT + limits::TICK);
                }
                swarm::Verdict::Keep(swarm::Survivor::New) => {
                    self.inherit(peer, old, &id);
                    self.close(now, old, Reason::Duplicate);
                }
                swarm::Verdict::Wait => {
                    self.doubt(now, old);
                    peer.twin_until = Some(now + limits::DUPLICATE_PATIENCE);
                }
            }
        }
        self.say_joined(peer);
        None
    }

    /// Other connections to the same peer, for the same thing.
    pub(super) fn twins_of(&mut self, now: Instant, peer: &Peer) -> Vec<ConnId> {
        let Some(handshake) = &peer.handshake else { return Vec::new() };
        let called = self.peers.called(now, &handshake.id);
        let twin = |conn: &ConnId| self.peers.get(conn).is_some_and(|other| other.is_twin(peer));
        called.into_iter().filter(twin).collect()
    }

    /// A stream that takes the place of an older one to the same host is about the same things.
    pub(super) fn inherit(&mut self, peer: &mut Peer, old: ConnId, id: &[u8]) {
        let Some(old) = self.peers.get(&old) else { return };
        if !matches!(peer.session, Session::Hyper(_)) {
            return;
        }
        for topic in old.topics().filter(|topic| peer.add_topic(*topic, false)) {
            if let Some(swarm) = self.swarms.get_mut(&topic) {
                swarm.connected(None, id);
            }
        }
    }

    /// Joins the peer to every feed of its topic that both sides have opened by now, and handles
    /// what it said about them before.
    pub(super) fn join(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        disk: &mut dyn Disk,
    ) {
        let Some(handshake) = &peer.handshake else { return };
        let (live, ack) = (handshake.live, handshake.ack);
        let topic = peer.topics().next().and_then(|topic| self.topics.get(&topic));
        let Some(topic) = topic else { return };
        for feed in [Some(topic.first), topic.content].into_iter().flatten() {
            let Some(key) = self.feeds.discovery_key(feed) else { continue };
            if peer.joined.contains(&feed) || !peer.session.is_open(&key) {
                continue;
            }
            peer.joined.push(feed);
            let joined = Input::Joined { peer: conn, feed, live, ack, told: false };
            self.sync.handle(now, joined, &self.feeds);
            loop {
                let Session::Dat(session) = &mut peer.session else { return };
                let Some(early) = session.early(&key) else { break };
                match early.message() {
                    Ok(Some(message)) => self.message(now, conn, peer, feed, message, disk),
                    Ok(None) => {}
                    Err(fault) => {
                        log::info!("{}: {fault}", peer.name());
                        break;
                    }
                }
            }
        }
    }

    /// A feed of a topic was opened after peers had connected (CHECKLIST F05).
    pub(super) fn open_on_all(&mut self, now: Instant, topic: TopicId, disk: &mut dyn Disk) {
        let Some(content) = self.topics.get(&topic).and_then(|t| t.content) else { return };
        let Some(key) = self.feeds.discovery_key(content) else { return };
        let conns: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_about(topic) && !peer.life.is_closing())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in conns {
            let Some(mut peer) = self.peers.remove(&conn) else { continue };
            let mut end = None;
            if let Session::Dat(session) = &mut peer.session {
                if session.open(&key, &[0; 24], &mut peer.staged).is_ok() {
                    self.out.push_back(Output::Wake { conn });
                }
                self.join(now, conn, &mut peer, disk);
            } else {
                end = self.open_core(now, conn, &mut peer, content, disk);
            }
            self.peers.insert(conn, peer);
            if let Some(why) = end {
                self.close(now, conn, why);
            }
        }
    }

    /// Ends a connection from our side.
    pub(super) fn close(&mut self, now: Instant, conn: ConnId, why: Reason) {
        let said = self.say_farewell(conn, why);
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.close(why);
            // Bytes said before the end still go out, but for those who broke the rules.
            let flush = said
                || matches!(
                    why,
                    Reason::Finished
                        | Reason::Shutdown
                        | Reason::Duplicate
                        | Reason::Removed
                        | Reason::Paused
                        | Reason::Pinged
                );
            self.out.push_back(Output::Close { conn, flush });
            self.gone(now, conn, why);
        }
    }

    /// The socket ended by itself.
    pub(super) fn closed(&mut self, now: Instant, conn: ConnId, why: io::Result<()>) {
        if self.clients.remove(&conn).is_some() || self.ping_closed(now, conn) {
            return;
        }
        let reason = match why {
            Ok(()) => Reason::PeerClosed,
            Err(error) => {
                log::debug!("{conn:?}: {error}");
                Reason::Broken
            }
        };
        self.gone(now, conn, reason);
    }

    fn gone(&mut self, now: Instant, conn: ConnId, why: Reason) {
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        peer.close(why);
        // A block that waits for the disk is not lost with its peer's connection, but it is
        // simpler to ask again: it was not stored.
        if let Some((feed, Some(index))) = peer.arrival.take().map(|arrival| arrival.block()) {
            self.sync.handle(now, Input::Lost { feed, index }, &self.feeds);
        }
        self.sync.handle(now, Input::Gone { peer: conn }, &self.feeds);
        self.parted(now, conn, &peer, why);
        self.unseat(now, &mut peer);
        let inbound = peer.life.direction == Direction::In;
        *self.ends.or_default((why, inbound)) += 1;
        log::debug!("{} ended: {why}", peer.name());
        self.decline(now, &peer, why);
        let useful = if peer.useful { now.since(peer.life.started) } else { Duration::ZERO };
        let id = peer.handshake.as_ref().map(|h| h.id.as_slice());
        let (mut end, rest) = (why_closed(why, peer.told.as_ref()), self.rest_of(&peer));
        if peer.was_lost(why) {
            end = swarm::End::Lost;
        }
        for (topic, dialed) in peer.dialed_for() {
            if let Some(swarm) = self.swarms.get_mut(topic) {
                let dialed = peer.dialed.filter(|_| *dialed);
                if let Some(addr) = dialed {
                    swarm.note(addr, why.code());
                }
                swarm.closed(now, dialed, id, useful, end);
                if let Some(until) = rest {
                    swarm.rest(&peer.remote, until);
                }
            }
        }
        if let (Reason::Told(Code::Paused), Some(addr), Some(until)) = (why, peer.dialed, rest) {
            // Whatever else is wanted there is asked for with it, next time.
            self.swarms.values_mut().for_each(|swarm| swarm.rest_at(addr, until));
        }
        if peer.said_joined
            && let Some(addr) = peer.address()
        {
            self.publish(&Event::PeerLeft { peer: addr, reason: why.code().to_owned() });
        }
        self.left_alone(now);
    }

    pub(super) fn ban(&mut self, now: Instant, conn: ConnId, why: sync::Why) {
        let Some(peer) = self.peers.get(&conn) else { return };
        let id = peer.handshake.as_ref().map(|h| h.id.clone());
        let addr = peer.dialed.or(peer.address());
        for topic in peer.topics() {
            if let Some(swarm) = self.swarms.get_mut(&topic) {
                swarm.ban(now, addr, id.as_deref());
            }
        }
        log::warn!("{} is banned: {why}", peer.name());
        let mut swarms = peer.topics().filter_map(|topic| self.swarms.get(&topic));
        let named = addr.is_some_and(|addr| swarms.any(|swarm| swarm.is_configured(addr)));
        if let (Some(host), false) = (peer.kin.host(), named) {
            self.standings.misbehaved(now, host);
        }
    }

    /// A session that is not live has nothing left to do (dat/SPEC §5.4).
    pub(super) fn finish(&mut self, now: Instant, conn: ConnId) {
        self.close(now, conn, Reason::Finished);
    }

    /// Once a second: who is silent, who needs a sign of life.
    pub(super) fn tick_peers(&mut self, now: Instant, disk: &mut dyn Disk) {
        for conn in self.read_on_all(now) {
            if let Some(peer) = self.peers.get_mut(&conn).filter(|peer| peer.held) {
                // It cannot be heard while we do not listen.
                peer.life.received(now, 0);
            }
        }
        self.look_at_peers(now, disk);
        self.end_twins(now);
        self.part_from_paused(now);
        self.tick_meetings(now, disk);
    }

    /// Some of those whose time has come: who is silent, who needs a sign of life, who did not have a core
    /// a while ago.
    pub(super) fn look_at_peers(&mut self, now: Instant, disk: &mut dyn Disk) {
        let (due, left) = self.peers.due(now);
        self.peers_left = left;
        for conn in due {
            let Some(peer) = self.peers.get_mut(&conn) else { continue };
            match peer.life.due(now) {
                Due::Nothing => {}
                Due::KeepAlive => {
                    peer.keepalive = true;
                    self.out.push_back(Output::Wake { conn });
                }
                Due::Close(why) => self.close(now, conn, why),
            }
            self.open_again(now, conn, disk);
        }
    }
}

impl Node {
    /// Of two connections that we opened to one peer, the peer closes one. One that does not gets
    /// the newer of them closed by us, long after its own word would have come: both sides closing a
    /// different one at the same time would lose both.
    fn end_twins(&mut self, now: Instant) {
        let over = |peer: &&mut Peer| peer.twin_until.is_some_and(|until| until <= now);
        for conn in self.peers.busy(now) {
            let Some(peer) = self.peers.get_mut(&conn).filter(over) else { continue };
            peer.twin_until = None;
            if let Some(peer) = self.peers.remove(&conn) {
                let twins = self.twins_of(now, &peer);
                self.peers.insert(conn, peer);
                if !twins.is_empty() {
                    self.close(now, conn, Reason::Duplicate);
                }
            }
        }
    }
}

/// How the end of a connection counts for the address that was dialled.
fn why_closed(why: Reason, told: Option<&Close>) -> swarm::End {
    let hint = told.and_then(|close| close.retry);
    // Whoever says "at once" is not taken at his word: that would be a loop.
    let hinted = |usual| swarm::End::Refused(hint.unwrap_or(usual).max(limits::FULL_SOON));
    match why {
        Reason::Full | Reason::Told(Code::Full) => hinted(limits::FULL_AGAIN),
        Reason::Version | Reason::Told(Code::Version) => hinted(limits::VERSION_AGAIN),
        Reason::NotAllowed
        | Reason::Cloned
        | Reason::Told(Code::NotAllowed | Code::Banned | Code::Paused | Code::Cloned) => {
            hinted(limits::REFUSED_AGAIN)
        }
        Reason::Told(Code::Shutdown) => hinted(limits::BACKOFF_FIRST),
        Reason::Told(Code::Finished | Code::Removed) => swarm::End::Good,
        Reason::Told(Code::Duplicate) => swarm::End::Duplicate,
        Reason::PeerClosed
        | Reason::Finished
        | Reason::Shutdown
        | Reason::Removed
        | Reason::Paused => swarm::End::Good,
        Reason::Duplicate => swarm::End::Duplicate,
        _ => swarm::End::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn k04_who_refuses_and_wants_to_be_dialed_at_once_is_given_a_pause_all_the_same() {
        for code in [Code::Full, Code::Paused, Code::Version, Code::NotAllowed, Code::Shutdown] {
            let mut close = Close::new(code);
            for (said, least) in [(0, limits::FULL_SOON), (60, Duration::from_secs(60))] {
                close.retry = Some(Duration::from_secs(said));
                let end = why_closed(Reason::Told(code), Some(&close));
                assert!(matches!(end, swarm::End::Refused(wait) if wait == least), "{code:?}");
            }
        }
    }
}
