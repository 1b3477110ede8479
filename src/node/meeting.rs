//! Hypercore streams between gannets: a hello each on the channel between hosts, then continue or close,
//! before anything else is said (docs/PROTOCOL.md §14.3). Who rejects that channel, or speaks of a core
//! before it has opened it, is no gannet and is met as Hypercore programs meet each other.
//!
//! What a hello leads to is decided by `swarm::hello` and `swarm::twins`; here it is carried out.

use crate::conn::{Direction, Reason};
use crate::host::HostId;
use crate::ids::ConnId;
use crate::limits;
use crate::store::disk::Disk;
use crate::swarm::hello::{End, Standing, Terms};
use crate::swarm::twins::{Act, Twins};
use crate::swarm::{self, is_everywhere};
use crate::time::Instant;
use crate::wire::dat::Handshake;
use crate::wire::host::{Close, Code, Hello, Message, NEEDY, SELDOM, Signed, VERSIONS};

use super::Node;
use super::event::Event;
use super::io::Output;
use super::peer::Peer;
use super::session::Session;
use super::topic::TopicId;

/// Whether a stream's other end is a gannet, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// No stream stands.
    Unknown,
    /// Our hello is out.
    Asked,
    /// It has opened the channel, so it is one; it is not a peer yet.
    Greeting,
    /// Both have said continue.
    Gannet { host: HostId },
    /// It does not know the channel.
    Other,
}

impl Kin {
    /// Whether nothing but hello, continue and close may be said.
    pub fn is_meeting(self) -> bool {
        matches!(self, Kin::Asked | Kin::Greeting)
    }

    pub fn host(self) -> Option<HostId> {
        match self {
            Kin::Gannet { host } => Some(host),
            Kin::Unknown | Kin::Asked | Kin::Greeting | Kin::Other => None,
        }
    }
}

impl Node {
    /// The stream stands and the peer has proven who it is: our hello.
    pub(super) fn up(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        remote: &[u8; 32],
    ) -> Option<Reason> {
        self.hellos += 1;
        let (number, opened) = (self.hellos, opened(peer));
        let (own, boot) = (self.host.public(), self.config.boot);
        self.forget_processes(now);
        self.meetings.insert(*remote);
        let twins = self.processes.entry(*remote);
        let twins = twins.or_insert_with(|| Box::new(Twins::new(own, boot, *remote)));
        let Some(holds) = twins.begin(now, conn, opened, number) else {
            return Some(Reason::Full);
        };
        peer.life.up(now);
        if let Some(addr) = peer.dialed {
            for topic in peer.topics() {
                if let Some(swarm) = self.swarms.get_mut(&topic) {
                    swarm.alias(addr, remote);
                }
            }
        }
        (peer.remote, peer.kin) = (*remote, Kin::Asked);
        peer.seldom = self.company.is_large();
        let hello = Hello {
            versions: VERSIONS,
            host: self.host_id(),
            boot,
            number,
            port: self.said_port(),
            features: bit(NEEDY, self.company.is_needy()) | bit(SELDOM, peer.seldom),
            seen: peer.address().map(|addr| addr.ip().to_canonical()),
            own: self.seen_served(self.said_port()),
            holds,
        };
        let Session::Hyper(hyper) = &mut peer.session else { return Some(Reason::Fault) };
        if hyper.session.open_host(&mut peer.staged).is_err() {
            return Some(Reason::Fault);
        }
        let mut said = Vec::new();
        hello.encode(&self.identity, hyper.session.channel(true), &mut said);
        hyper.session.say_host(&mut peer.staged, |out| out.extend_from_slice(&said));
        self.out.push_back(Output::Wake { conn });
        None
    }

    /// The peer says something that only who is no gannet may say now.
    pub(super) fn meets_as_other(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        match peer.kin {
            Kin::Asked => {}
            Kin::Greeting => {
                log::info!("{}: speaks of cores before both sides have met", peer.name());
                return Some(Reason::Fault);
            }
            Kin::Unknown | Kin::Gannet { .. } | Kin::Other => return None,
        }
        peer.kin = Kin::Other;
        if let Some(twins) = self.processes.get_mut(&peer.remote) {
            twins.lost(now, conn, &mut Vec::new());
        }
        self.met_other(now, conn, peer, disk)
    }

    /// The peer opened the channel between hosts.
    pub(super) fn host_open(&mut self, peer: &mut Peer) -> Option<Reason> {
        match peer.kin {
            Kin::Asked => {
                peer.kin = Kin::Greeting;
                None
            }
            Kin::Unknown | Kin::Greeting | Kin::Gannet { .. } | Kin::Other => Some(Reason::Fault),
        }
    }

    /// The peer does not know the channel, or has closed it, which no gannet does.
    pub(super) fn host_closed(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        match peer.kin {
            Kin::Greeting | Kin::Gannet { .. } => Some(Reason::Fault),
            Kin::Unknown | Kin::Asked | Kin::Other => self.meets_as_other(now, conn, peer, disk),
        }
    }

    /// A message on the channel between hosts.
    pub(super) fn host_message(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        bytes: &[u8],
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        if !matches!(peer.kin, Kin::Greeting | Kin::Gannet { .. }) {
            return Some(Reason::Fault);
        }
        let mut acts = Vec::new();
        self.meetings.insert(peer.remote);
        match Message::decode(bytes) {
            Ok(Some(Message::Hello(hello))) => {
                if let Some(why) = self.hello(now, conn, peer, hello, &mut acts) {
                    return Some(why);
                }
            }
            Ok(Some(Message::Continue(said))) => {
                let twins = self.processes.get_mut(&peer.remote)?;
                twins.continued(now, conn, said.version, &mut acts);
            }
            Ok(Some(Message::Close(close))) => {
                let twins = self.processes.get_mut(&peer.remote)?;
                twins.closed(now, conn, &close, &mut acts);
                let topics: Vec<TopicId> = peer.topics().collect();
                self.hinted(now, &topics, peer, &close.hints);
                peer.told = Some(close);
            }
            Ok(Some(Message::Ask(ask))) if peer.life.is_open() => {
                self.asked(now, conn, peer, &ask);
            }
            Ok(Some(Message::Candidates(said))) if peer.life.is_open() => {
                self.told_of_others(now, peer, &said);
            }
            Ok(Some(Message::Spare(can))) if peer.life.is_open() => peer.spare = can,
            Ok(Some(Message::Ask(_) | Message::Candidates(_) | Message::Spare(_))) => {
                return Some(Reason::Fault);
            }
            Ok(Some(Message::Command(bytes))) => {
                let Some(host) = peer.kin.host() else { return Some(Reason::Fault) };
                self.lan_heard(now, host, bytes);
            }
            Ok(None) => {}
            Err(fault) => {
                log::info!("{}: {fault}", peer.name());
                return Some(Reason::Fault);
            }
        }
        self.act(now, Some((conn, peer)), acts, disk)
    }

    fn hello(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        hello: Signed<'_>,
        acts: &mut Vec<Act>,
    ) -> Option<Reason> {
        let Session::Hyper(hyper) = &peer.session else { return Some(Reason::Fault) };
        let Some(theirs) = hello.verify(hyper.session.channel(false)) else {
            log::info!("{}: its hello is not signed for this connection", peer.name());
            return Some(Reason::Fault);
        };
        let said = theirs.hello();
        (peer.said_port, peer.needy) = (said.port, said.features & NEEDY != 0);
        peer.said_versions = Some(said.versions);
        peer.seldom |= said.features & SELDOM != 0;
        peer.said_own = said.own.iter().copied().filter(|ip| is_everywhere(*ip)).collect();
        let terms = self.terms(now, peer, &theirs.hello().host);
        let twins = self.processes.get_mut(&peer.remote)?;
        twins.hello(now, conn, theirs, &terms, acts);
        None
    }

    /// What we say about a host that greets us.
    fn terms(&mut self, now: Instant, peer: &Peer, host: &HostId) -> Terms {
        let mut standing = self.standing(host, now);
        let addr = peer.dialed.or(peer.address());
        let barred = addr.is_some_and(|addr| self.standings.is_barred(addr.ip(), now));
        let banned = peer.topics().any(|topic| {
            let swarm = self.swarms.get_mut(&topic);
            swarm.is_some_and(|swarm| swarm.is_banned(now, addr, Some(&peer.remote)))
        });
        if standing == Standing::Allowed && (barred || banned) {
            standing = Standing::Banned;
        }
        if standing == Standing::Allowed && self.is_all_paused() {
            standing = Standing::Paused;
        }
        let room = standing != Standing::Allowed || self.may_admit(now, peer, &peer.remote);
        Terms { standing, room, ..Terms::default() }
    }

    /// Carries out what was decided about the connections to a process, of which `lent` is one that is
    /// not among our peers at the moment; why that one is to be closed.
    fn act(
        &mut self,
        now: Instant,
        lent: Option<(ConnId, &mut Peer)>,
        acts: Vec<Act>,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        let (mut lent, mut end) = (lent, None);
        for act in acts {
            let conn = match act {
                Act::Continue { conn, .. }
                | Act::Opened { conn }
                | Act::Close { conn, .. }
                | Act::Ended { conn, .. } => conn,
            };
            match &mut lent {
                Some((own, peer)) if *own == conn => {
                    let why = self.act_on(now, conn, peer, &act, disk);
                    end = end.or(why);
                }
                _ => {
                    let Some(mut peer) = self.peers.remove(&conn) else { continue };
                    let why = self.act_on(now, conn, &mut peer, &act, disk);
                    self.peers.insert(conn, peer);
                    if let Some(why) = why {
                        self.close(now, conn, why);
                    }
                }
            }
        }
        end
    }

    fn act_on(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        act: &Act,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        match act {
            Act::Continue { said, .. } => {
                if let Session::Hyper(hyper) = &mut peer.session {
                    hyper.session.say_host(&mut peer.staged, |out| said.encode(out));
                }
                self.out.push_back(Output::Wake { conn });
                None
            }
            Act::Opened { .. } => self.met_gannet(now, conn, peer, disk),
            Act::Close { close, .. } => {
                peer.farewell = Some(match close.code {
                    Code::Full => self.full(now, peer),
                    Code::Paused => self.is_paused(peer),
                    _ => close.clone(),
                });
                Some(Reason::of(close.code))
            }
            Act::Ended { end: End::Theirs(code), .. } => Some(Reason::Told(*code)),
            Act::Ended { end: End::Ours(code), .. } => Some(Reason::of(*code)),
            Act::Ended { end: End::Lost, .. } => None,
        }
    }

    /// What somebody is told for whom there is no room: where else there may be some. If we know nobody,
    /// we may soon.
    pub(super) fn full(&mut self, now: Instant, peer: &Peer) -> Close {
        let hints = self.hints(peer);
        self.may_have_room(now, peer);
        let soon = hints.is_empty() || peer.needy;
        let again = if soon { limits::FULL_SOON } else { limits::FULL_AGAIN };
        Close { hints, retry: Some(again), ..Close::new(Code::Full) }
    }

    /// Both sides want the connection: there is a peer.
    fn met_gannet(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        let twins = self.processes.get(&peer.remote)?;
        let hello = twins.meeting(conn)?.theirs()?;
        let (host, seen) = (hello.host, hello.seen);
        peer.kin = Kin::Gannet { host };
        let id = peer.remote;
        if !peer.life.handshaken(now, id.to_vec(), true) {
            return Some(Reason::Fault);
        }
        peer.handshake = Some(Handshake::of(&id));
        if peer.seldom {
            // Not all of them in the same second.
            peer.life.seldom(self.rng.jitter(limits::SELDOM_KEEPALIVE_AFTER, 20));
        }
        let mut banned = false;
        for topic in peer.topics() {
            let Some(swarm) = self.swarms.get_mut(&topic) else { continue };
            swarm.connected(peer.dialed, &id);
            banned |= swarm.is_banned(now, peer.dialed.or(peer.address()), Some(&id));
        }
        if banned {
            return Some(Reason::Banned);
        }
        let older = self.twins_of(now, peer);
        older.into_iter().for_each(|old| self.inherit(peer, old, &id));
        self.greet_spare(peer);
        self.seen_at(now, conn, peer, seen);
        self.say_joined(peer);
        self.lan_joined(now, host);
        let topics: Vec<TopicId> = peer.topics().collect();
        topics.into_iter().find_map(|topic| self.open_topic(now, conn, peer, topic, disk))
    }

    /// Events of a peer that is there from now on.
    pub(super) fn say_joined(&mut self, peer: &mut Peer) {
        peer.said_joined = true;
        if !peer.is_stranger() {
            self.in_company();
        }
        let id = peer.handshake.as_ref().map(|h| hex::encode(&h.id)).unwrap_or_default();
        if let Some(addr) = peer.address() {
            let inbound = peer.life.direction == Direction::In;
            self.publish(&Event::PeerJoined { peer: addr, id, inbound });
        }
    }

    /// A connection of a stream is over, for whatever reason: the others to its process go on for it.
    pub(super) fn parted(&mut self, now: Instant, conn: ConnId, peer: &Peer, why: Reason) {
        match why {
            Reason::Ourselves => self.mark_self(peer),
            // Whose key it is, the stream has proven; anybody can say the rest.
            Reason::Told(Code::Ourselves) if peer.remote == self.host.public() => {
                self.mark_self(peer);
            }
            Reason::Cloned => self.warn_of_clone(now, peer, true),
            Reason::Told(Code::Cloned) => self.warn_of_clone(now, peer, false),
            _ => {}
        }
        if let Some(host) = peer.kin.host() {
            self.lan_parted(host, conn);
        }
        self.seen.parted(now, conn);
        let Some(twins) = self.processes.get_mut(&peer.remote) else { return };
        if peer.was_lost(why) {
            twins.suspect(conn);
        }
        self.meetings.insert(peer.remote);
        // What we close for reasons of our own was not said through it.
        twins.lost(now, conn, &mut Vec::new());
        let heir = twins.heir();
        if matches!(why, Reason::Duplicate | Reason::Told(Code::Duplicate))
            && let Some(heir) = heir
        {
            self.heirs.extend(peer.topics().map(|topic| (heir, topic)));
        }
    }

    /// The address that was dialled is our own.
    fn mark_self(&mut self, peer: &Peer) {
        let Some(addr) = peer.dialed else { return };
        for topic in peer.topics() {
            if let Some(swarm) = self.swarms.get_mut(&topic) {
                swarm.mark_self(addr);
            }
        }
    }

    /// Somebody has copied the key of one of us to another machine, or to another directory.
    /// `seen`: by us; otherwise the peer says so, of us, as anybody can: that is said once a day.
    fn warn_of_clone(&mut self, now: Instant, peer: &Peer, seen: bool) {
        let name = peer.name();
        let (who, text) = if seen {
            let text = format!(
                "{name} has the same key as another process that runs: was the identity file copied? \
                 Remove it on one of the two hosts, so that it makes a new one"
            );
            (hex::encode(peer.remote), text)
        } else {
            let text = format!(
                "{name} says that another process has the key of this host: if the identity file was \
                 copied, remove it on one of the two hosts, so that it makes a new one"
            );
            (String::new(), text)
        };
        if !self.declined.is_news(now, who, Reason::Cloned.code(), false) {
            return;
        }
        log::warn!("{text}");
        self.publish(&Event::Warning { text });
    }

    /// Until when the process at the other end is not to be dialled, at whatever address.
    pub(super) fn rest_of(&self, peer: &Peer) -> Option<Instant> {
        self.processes.get(&peer.remote).and_then(|twins| twins.rest())
    }

    /// What was dialled for on a connection that lost is asked for on the one that stays.
    pub(super) fn settle_meetings(&mut self, now: Instant, disk: &mut dyn Disk) -> bool {
        let heirs = std::mem::take(&mut self.heirs);
        let any = !heirs.is_empty();
        for (conn, topic) in heirs {
            self.attach(now, conn, topic, false, disk);
        }
        any
    }

    /// At a tick: who has not said hello or continue in time.
    pub(super) fn tick_meetings(&mut self, now: Instant, disk: &mut dyn Disk) {
        let mut acts = Vec::new();
        // Thousands may be there; only those that are met or left cost anything.
        self.meetings.retain(|remote| {
            let Some(twins) = self.processes.get_mut(remote) else { return false };
            twins.tick(now, &mut acts);
            twins.next_deadline().is_some()
        });
        self.act(now, None, acts, disk);
    }

    /// Our last word on a connection, where the other side would hear it.
    pub(super) fn say_farewell(&mut self, conn: ConnId, why: Reason) -> bool {
        let Some(peer) = self.peers.get_mut(&conn) else { return false };
        if !matches!(peer.kin, Kin::Greeting | Kin::Gannet { .. }) {
            return false;
        }
        let said = peer.farewell.take().or_else(|| why.said().map(Close::new));
        let (Some(close), Session::Hyper(hyper)) = (said, &mut peer.session) else { return false };
        let mut bytes = std::mem::take(&mut peer.staged);
        hyper.session.say_host(&mut bytes, |out| close.encode(out));
        hyper.session.poll(&mut bytes);
        if self.farewells.len() == limits::FAREWELLS {
            self.farewells.pop_front();
        }
        self.farewells.push_back((conn, bytes));
        self.out.push_back(Output::Wake { conn });
        true
    }

    /// What is left to be said on a connection that is closed here.
    pub(super) fn last_words(&mut self, conn: ConnId, out: &mut Vec<u8>) {
        if let Some(at) = self.farewells.iter().position(|(of, _)| *of == conn)
            && let Some((_, mut bytes)) = self.farewells.remove(at)
        {
            out.append(&mut bytes);
        }
    }

    /// Processes without a connection are remembered for a while, for their boots and rests, but only so
    /// many of them.
    fn forget_processes(&mut self, now: Instant) {
        let most = limits::PROCESSES + self.peers.len();
        if self.processes.len() < most {
            return;
        }
        self.processes
            .retain(|_, twins| !twins.is_empty() || twins.rest().is_some_and(|until| now < until));
        if self.processes.len() >= most {
            self.processes.retain(|_, twins| !twins.is_empty());
        }
    }
}

/// A feature's bit, if it is to be said.
fn bit(feature: u64, is_said: bool) -> u64 {
    if is_said { feature } else { 0 }
}

/// Which end opened a peer's connection.
fn opened(peer: &Peer) -> swarm::Opened {
    match peer.life.direction {
        Direction::Out => swarm::Opened::ByUs,
        Direction::In => swarm::Opened::ByPeer,
    }
}
