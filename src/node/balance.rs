//! The right number of peers (`swarm::balance`), carried out: who is let in and who goes, for whom there
//! is room, asking peers for others when there are too few, and looking now and then whether somebody
//! else is there when there are enough (CHECKLIST N01 to N10, G03, K07).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::conn::{Direction, Reason};
use crate::ids::ConnId;
use crate::limits;
use crate::swarm::balance::{Balance, Bounds, Comer, Look, Merit, Room, Seat};
use crate::swarm::{Hunger, Source, may_know};
use crate::time::Instant;
use crate::wire::host::{Ask, Candidates, put_spare};

use super::io::Output;
use super::meeting::Kin;
use super::peer::Peer;
use super::pings::{PingId, PingOutcome, Pinged};
use super::session::Session;
use super::topic::TopicId;
use super::{Node, Stopping};

/// Who is there, and how more are found.
pub(super) struct Company {
    balance: Balance,
    /// Connections of each peer that is there, or that we have said continue to.
    seats: BTreeMap<Vec<u8>, u32>,
    hunger: Hunger,
    /// Peers were told that we can do without one of them.
    spare: bool,
    /// When it was last looked for whom somebody could go, and the answer.
    looked: Option<(Instant, Look)>,
    /// When peers are asked for others, and how often that came to nothing.
    ask_at: Option<Instant>,
    vain: u32,
    /// When somebody else is looked for although there are enough.
    probe_at: Option<Instant>,
    /// Addresses that peers say they listen at, to be looked at; and what is being looked at.
    unproven: VecDeque<(SocketAddr, Option<ConnId>)>,
    /// Gannets that were refused for want of room and are there, the latest last.
    refused: VecDeque<SocketAddr>,
    probing: Option<(PingId, Probe)>,
}

/// Why somebody is pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// A candidate, to be dialled if it is there.
    Candidate(TopicId),
    /// A peer's own address, to be told of to others; of no topic if it was refused.
    OfPeer(Option<ConnId>),
}

impl Company {
    pub fn new(bounds: Bounds) -> Company {
        Company {
            balance: Balance::new(bounds),
            seats: BTreeMap::new(),
            hunger: Hunger::More,
            spare: false,
            looked: None,
            ask_at: None,
            vain: 0,
            probe_at: None,
            unproven: VecDeque::new(),
            refused: VecDeque::new(),
            probing: None,
        }
    }

    pub fn len(&self) -> usize {
        self.seats.len()
    }

    pub fn has(&self, id: &[u8]) -> bool {
        self.seats.contains_key(id)
    }

    /// Whether there may be so many that signs of life would be most of what is done.
    pub fn is_large(&self) -> bool {
        self.balance.bounds().max > limits::SELDOM_FROM
    }

    /// Whether there are fewer than there have to be.
    pub fn is_needy(&self) -> bool {
        self.len() < self.balance.bounds().min
    }

    /// When something has to be done next.
    pub fn next(&self) -> Option<Instant> {
        [self.ask_at, self.probe_at].into_iter().flatten().min()
    }

    fn enter(&mut self, id: &[u8]) {
        *self.seats.entry(id.to_vec()).or_default() += 1;
        self.balance.count(self.seats.len());
    }

    fn leave(&mut self, id: &[u8]) {
        if let Some(count) = self.seats.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                self.seats.remove(id);
            }
        }
        self.balance.count(self.seats.len());
    }

    fn hunger(&self) -> Hunger {
        if self.balance.wants_more() {
            Hunger::More
        } else if self.len() < self.balance.bounds().max {
            Hunger::Lonely
        } else {
            Hunger::Named
        }
    }
}

impl Node {
    /// Peers that are there, or about to be.
    pub fn peer_count(&self) -> usize {
        self.company.len()
    }

    /// How many peers there are to be, from now on (N10).
    pub fn set_bounds(&mut self, now: Instant, bounds: Bounds) {
        self.company.balance.set_bounds(bounds);
        let peers = self.company.len();
        self.company.balance.count(peers);
        self.rehunger(now);
    }

    /// Whether there would be room for one that greets us, once it has shown what it shares with us.
    pub(super) fn may_admit(&mut self, now: Instant, peer: &Peer, id: &[u8]) -> bool {
        if self.company.has(id) {
            return true;
        }
        let configured = self.is_configured(peer);
        match self.company.balance.room(now, self.company.len(), configured) {
            Room::Yes => true,
            Room::No => false,
            Room::Instead if configured => true,
            Room::Instead => self.could_evict(now, comer(peer)),
        }
    }

    /// Whether somebody could go; the answer holds for a moment, so that a crowd at the door costs little.
    fn could_evict(&mut self, now: Instant, comer: Comer) -> bool {
        let fresh = |(at, _): &(Instant, Look)| now.since(*at) < limits::EVICT_LOOK;
        if !self.company.looked.as_ref().is_some_and(fresh) {
            let look = self.company.balance.look(now, &self.seats());
            self.company.looked = Some((now, look));
        }
        self.company.looked.as_ref().is_some_and(|(_, look)| look.could(comer))
    }

    /// Makes a peer of one that shares something with us, if there is room; somebody may have to go for it.
    pub(super) fn take_seat(&mut self, now: Instant, peer: &mut Peer, id: &[u8]) -> Option<Reason> {
        if peer.seated {
            return None;
        }
        if !self.admits(now, peer, id) {
            peer.farewell = Some(self.full(now, peer));
            return Some(Reason::Full);
        }
        self.seat(now, peer, id);
        None
    }

    /// Whether there is room for a peer; somebody may have to go for it.
    fn admits(&mut self, now: Instant, peer: &Peer, id: &[u8]) -> bool {
        if self.company.has(id) {
            return true;
        }
        let configured = self.is_configured(peer);
        match self.company.balance.room(now, self.company.len(), configured) {
            Room::Yes => true,
            Room::No => false,
            Room::Instead => {
                let seats = self.seats();
                let balance = &mut self.company.balance;
                let loser = match configured {
                    true => balance.trim(now, &seats),
                    false => balance.evict(now, comer(peer), &seats),
                };
                loser.inspect(|conn| self.close(now, *conn, Reason::Full)).is_some()
            }
        }
    }

    pub(super) fn is_configured(&self, peer: &Peer) -> bool {
        let Some(addr) = peer.dialed else { return false };
        let mut swarms = peer.topics().filter_map(|topic| self.swarms.get(&topic));
        swarms.any(|swarm| swarm.is_configured(addr))
    }

    /// A peer counts from now on.
    fn seat(&mut self, now: Instant, peer: &mut Peer, id: &[u8]) {
        if !std::mem::replace(&mut peer.seated, true) {
            self.company.enter(id);
            self.rehunger(now);
        }
    }

    /// It is gone.
    pub(super) fn unseat(&mut self, now: Instant, peer: &mut Peer) {
        if std::mem::take(&mut peer.seated) {
            match &peer.handshake {
                Some(handshake) => self.company.leave(&handshake.id),
                None => self.company.leave(&peer.remote),
            }
            self.rehunger(now);
        }
    }

    /// Tells all topics for whom there is room, where that has changed, and when to look for others.
    fn rehunger(&mut self, now: Instant) {
        let hunger = self.company.hunger();
        if hunger != std::mem::replace(&mut self.company.hunger, hunger) {
            self.swarms.set_hunger(now, hunger);
        }
        self.say_spare();
        let (some, more) = (self.company.len() > 0, hunger == Hunger::More);
        let company = &mut self.company;
        match some && more {
            true => _ = company.ask_at.get_or_insert(now + limits::ASK_FIRST),
            false => company.ask_at = None,
        }
        let rng = &mut self.rng;
        match some && !more {
            true => {
                let wait = || now + rng.jitter(limits::PROBE_EVERY, limits::BACKOFF_JITTER_PERCENT);
                _ = company.probe_at.get_or_insert_with(wait);
            }
            false => company.probe_at = None,
        }
    }

    /// Tells all gannets whether we can do without one of them, where that has changed.
    fn say_spare(&mut self) {
        let spare = self.company.len() > self.company.balance.bounds().min;
        if spare == std::mem::replace(&mut self.company.spare, spare) {
            return;
        }
        let all: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in all {
            let Some(peer) = self.peers.get_mut(&conn) else { continue };
            if peer.tell_spare(spare) {
                self.out.push_back(Output::Wake { conn });
            }
        }
    }

    /// The same to one that has just become a peer.
    pub(super) fn greet_spare(&mut self, peer: &mut Peer) {
        if self.company.spare {
            peer.tell_spare(true);
        }
    }

    /// Dials that may be under way now.
    pub(super) fn dials_at_once(&self) -> usize {
        let (peers, bounds) = (self.company.len(), self.company.balance.bounds());
        let most = match self.company.hunger {
            Hunger::More => bounds.target.saturating_sub(peers),
            Hunger::Lonely => bounds.max.saturating_sub(peers),
            Hunger::Named => limits::DIALS,
        };
        most.clamp(1, limits::DIALS)
    }

    /// All peers as far as keeping them is concerned.
    fn seats(&self) -> Vec<Seat<ConnId>> {
        let mut about: BTreeMap<TopicId, u32> = BTreeMap::new();
        let seated = |(_, peer): &(&ConnId, &Peer)| peer.seated && peer.life.is_open();
        let open = || self.peers.iter().filter(seated);
        for (_, peer) in open() {
            peer.topics().for_each(|topic| *about.entry(topic).or_default() += 1);
        }
        let seat = |(conn, peer): (&ConnId, &Peer)| {
            let sync = self.sync.peer_status(self.last_tick, *conn).unwrap_or_default();
            let useful =
                if peer.useful { peer.life.received_bytes + peer.life.sent_bytes } else { 0 };
            Seat {
                key: *conn,
                since: peer.life.started,
                configured: self.is_configured(peer),
                spare: peer.spare,
                only: peer.topics().any(|topic| about.get(&topic) == Some(&1)),
                delay: Some(sync.delay).filter(|delay| !delay.is_zero()),
                useful,
                ip: peer.address().map(|addr| addr.ip()),
            }
        };
        open().map(seat).collect()
    }

    /// What speaks for keeping each peer, for status.
    pub(super) fn kept_for(&self, now: Instant) -> Vec<(ConnId, Option<Merit>)> {
        let seats = self.seats();
        let merits = self.company.balance.merits(now, &seats);
        seats.iter().map(|seat| seat.key).zip(merits).collect()
    }

    /// At a tick: one goes if there are too many.
    pub(super) fn tick_company(&mut self, now: Instant) {
        if self.company.balance.surplus(self.company.len()) > 0 {
            let seats = self.seats();
            if let Some(conn) = self.company.balance.trim(now, &seats) {
                self.close(now, conn, Reason::Full);
            }
        }
    }

    /// Whether somebody has to go, one at each tick.
    pub(super) fn is_crowded(&self) -> bool {
        self.company.balance.surplus(self.company.len()) > 0
    }

    /// When the clock has something to ask of the company.
    pub(super) fn company_next(&self) -> Option<Instant> {
        self.company.next().filter(|_| self.stopping == Stopping::No)
    }

    /// What the clock asks of the company.
    pub(super) fn company_deadline(&mut self, now: Instant) {
        if self.company.ask_at.is_some_and(|at| at <= now) {
            let doublings = self.company.vain.min(limits::ASK_DOUBLINGS);
            self.company.vain += 1;
            self.company.ask_at = Some(now + limits::ASK_EVERY * (1 << doublings));
            self.ask_for_others();
        }
        if self.company.probe_at.is_some_and(|at| at <= now) {
            let wait = self.rng.jitter(limits::PROBE_EVERY, limits::BACKOFF_JITTER_PERCENT);
            self.company.probe_at = Some(now + wait);
            self.probe_somebody(now);
        }
        self.prove_next(now);
    }

    /// Asks some peers for others, each about one core that both have.
    fn ask_for_others(&mut self) {
        let gannets = self.peers.iter().filter(|(_, peer)| {
            matches!(peer.kin, Kin::Gannet { .. }) && peer.life.is_open() && !peer.joined.is_empty()
        });
        let mut gannets: Vec<ConnId> = gannets.map(|(conn, _)| *conn).collect();
        for _ in 0..limits::ASKED_AT_ONCE.min(gannets.len()) {
            let conn = gannets.swap_remove(self.rng.below(gannets.len() as u64) as usize);
            let Some(peer) = self.peers.get_mut(&conn) else { continue };
            let feed = peer.joined[self.rng.below(peer.joined.len() as u64) as usize];
            let Some(core) = self.feeds.discovery_key(feed) else { continue };
            peer.asked_for = Some(core);
            if let Session::Hyper(hyper) = &mut peer.session {
                let ask = Ask { core, count: limits::HOST_CANDIDATES };
                hyper.session.say_host(&mut peer.staged, |out| ask.encode(out));
                self.out.push_back(Output::Wake { conn });
            }
        }
    }

    /// A peer asks for others.
    pub(super) fn asked(&mut self, now: Instant, conn: ConnId, peer: &mut Peer, ask: &Ask) {
        let lately = peer.answered.is_some_and(|at| now.since(at) < limits::ANSWER_EVERY);
        let feed = self.feeds.find(&ask.core).filter(|feed| peer.joined.contains(feed));
        let (Some(feed), Some(addr), false) = (feed, peer.address(), lately) else { return };
        peer.answered = Some(now);
        let Some(topic) = self.feeds.get(feed).map(|open| open.topic) else { return };
        let Some(swarm) = self.swarms.get_mut(&topic) else { return };
        let own = peer.said_port.map(|port| SocketAddr::new(addr.ip(), port));
        let addrs = swarm.share(addr.ip(), own, ask.count);
        let said = Candidates { core: ask.core, addrs };
        if let Session::Hyper(hyper) = &mut peer.session {
            hyper.session.say_host(&mut peer.staged, |out| said.encode(out));
            self.out.push_back(Output::Wake { conn });
        }
    }

    /// A peer tells of others. What was not asked for is not listened to.
    pub(super) fn told_of_others(&mut self, now: Instant, peer: &mut Peer, said: &Candidates) {
        if peer.asked_for.take_if(|core| *core == said.core).is_none() {
            return;
        }
        let topic = self.feeds.find(&said.core).and_then(|feed| self.feeds.get(feed));
        let Some(topic) = topic.map(|open| open.topic) else { return };
        self.hinted(now, &[topic], peer, &said.addrs);
    }

    /// Addresses that a peer says others are at.
    pub(super) fn hinted(
        &mut self,
        now: Instant,
        topics: &[TopicId],
        peer: &Peer,
        addrs: &[SocketAddr],
    ) {
        let Some(from) = peer.address() else { return };
        let known = |addr: &SocketAddr| may_know(from.ip(), addr.ip());
        let addrs: Vec<SocketAddr> =
            addrs.iter().copied().filter(|addr| known(addr) && !self.is_ours(*addr)).collect();
        for topic in topics {
            let Some(swarm) = self.swarms.get_mut(topic) else { continue };
            for addr in &addrs {
                if swarm.found(now, *addr, Source::Peer(peer.remote)) {
                    self.company.vain = 0;
                }
            }
        }
    }

    /// Where there may be room, for one that is refused.
    pub(super) fn hints(&mut self, peer: &Peer) -> Vec<SocketAddr> {
        let Some(to) = peer.address() else { return Vec::new() };
        // Who was refused has room, most likely.
        let own = peer.said_port.map(|port| SocketAddr::new(to.ip(), port));
        let others = self.company.refused.iter().rev().filter(|addr| own != Some(**addr));
        let mut hints: Vec<SocketAddr> = others.take(limits::HOST_HINTS / 2).copied().collect();
        let swarms = self.swarms.values_mut().take(limits::HOST_HINTS);
        for swarm in swarms {
            hints.extend(swarm.share(to.ip(), own, limits::HOST_HINTS));
            hints.sort_unstable();
            hints.dedup();
            if hints.len() >= limits::HOST_HINTS {
                break;
            }
        }
        hints.truncate(limits::HOST_HINTS);
        hints
    }

    /// There are enough: is somebody else there, too? So islands meet, and addresses are known to be good
    /// when they are needed.
    fn probe_somebody(&mut self, now: Instant) {
        if self.company.probing.is_some() {
            return;
        }
        let Some((topic, addr)) = self.swarms.somebody_else(now, &mut self.rng) else { return };
        if let Some(id) = self.ping(now, addr) {
            self.company.probing = Some((id, Probe::Candidate(topic)));
        }
    }

    /// A gannet that came in says where it listens: others may be told of it when somebody has answered
    /// there.
    pub(super) fn may_listen(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        topic: TopicId,
    ) {
        let (Kin::Gannet { .. }, Some(port)) = (peer.kin, peer.said_port) else { return };
        match peer.listens {
            None => {
                if self.prove_listening(now, peer, port, Some(conn)) {
                    peer.listens = Some(false);
                }
            }
            Some(true) => {
                if let Some(from) = peer.address() {
                    self.proven_for(now, peer, SocketAddr::new(from.ip(), port), topic);
                }
            }
            Some(false) => {}
        }
    }

    fn proven_for(&mut self, now: Instant, peer: &Peer, addr: SocketAddr, topic: TopicId) {
        if let Some(swarm) = self.swarms.get_mut(&topic) {
            swarm.found(now, addr, Source::Proven);
            swarm.answered(now, addr, false);
            swarm.alias(addr, &peer.remote);
        }
    }

    /// The same of one that is refused for want of room.
    pub(super) fn may_have_room(&mut self, now: Instant, peer: &Peer) {
        if let Some(port) = peer.said_port {
            self.prove_listening(now, peer, port, None);
        }
    }

    /// Whether it is going to be looked at.
    fn prove_listening(
        &mut self,
        now: Instant,
        peer: &Peer,
        port: u16,
        conn: Option<ConnId>,
    ) -> bool {
        let (Direction::In, Some(from)) = (peer.life.direction, peer.address()) else {
            return false;
        };
        let room = self.company.unproven.len() < limits::UNPROVEN;
        // Others see it elsewhere, too (K08): it is no more than another place to look.
        let others = peer.said_own.iter().filter(|ip| **ip != from.ip().to_canonical());
        let ips = std::iter::once(from.ip()).chain(others.copied());
        let addrs: Vec<SocketAddr> = ips.map(|ip| SocketAddr::new(ip, port)).collect();
        for addr in addrs {
            if self.company.unproven.len() < limits::UNPROVEN && !self.is_ours(addr) {
                self.company.unproven.push_back((addr, conn));
            }
        }
        self.prove_next(now);
        room
    }

    fn prove_next(&mut self, now: Instant) {
        while self.company.probing.is_none()
            && let Some((addr, conn)) = self.company.unproven.pop_front()
        {
            if conn.is_none() && self.company.refused.contains(&addr) {
                continue;
            }
            let Some(id) = self.ping(now, addr) else {
                // Others are asked at the moment: it is tried again when one of them has answered.
                self.company.unproven.push_front((addr, conn));
                return;
            };
            self.company.probing = Some((id, Probe::OfPeer(conn)));
        }
    }

    /// What came of a ping; `Some`: it was not one of ours.
    pub(super) fn probed(&mut self, now: Instant, outcome: PingOutcome) -> Option<PingOutcome> {
        let Some((_, probe)) = self.company.probing.take_if(|(id, _)| *id == outcome.id) else {
            self.prove_next(now);
            return Some(outcome);
        };
        let there = matches!(outcome.what, Pinged::Answered { .. });
        let answers = match outcome.what {
            Pinged::Answered { host, .. } => host,
            _ => None,
        };
        match probe {
            Probe::Candidate(topic) => {
                let room = there && self.makes_room(now, outcome.addr);
                match self.swarms.get_mut(&topic) {
                    Some(swarm) if there => swarm.answered(now, outcome.addr, room),
                    Some(swarm) => swarm.silent(now, outcome.addr),
                    None => {}
                }
            }
            Probe::OfPeer(Some(conn)) if there => {
                // It may name somebody else's address, or come from where another host listens.
                let peer = self.peers.get(&conn);
                let its = peer.is_some_and(|peer| answers.is_some() && peer.kin.host() == answers);
                if its && let Some(mut peer) = self.peers.remove(&conn) {
                    // Of an address that it comes from, too, the port is good for other topics.
                    let from = peer.address().map(|from| from.ip());
                    peer.listens =
                        Some(peer.listens == Some(true) || from == Some(outcome.addr.ip()));
                    let topics: Vec<TopicId> = peer.topics().collect();
                    for topic in topics {
                        self.proven_for(now, &peer, outcome.addr, topic);
                    }
                    self.peers.insert(conn, peer);
                }
            }
            Probe::OfPeer(None) if there => {
                if self.company.refused.len() == limits::UNPROVEN {
                    self.company.refused.pop_front();
                }
                self.company.refused.push_back(outcome.addr);
            }
            Probe::OfPeer(_) => {}
        }
        self.prove_next(now);
        None
    }

    /// Whether somebody else at that address can be dialled although there are enough; somebody may have to
    /// go.
    fn makes_room(&mut self, now: Instant, addr: SocketAddr) -> bool {
        match self.company.balance.room(now, self.company.len(), false) {
            Room::Yes => true,
            Room::No => false,
            Room::Instead => {
                let seats = self.seats();
                let comer = Comer { needy: false, ip: Some(addr.ip()) };
                let loser = self.company.balance.evict(now, comer, &seats);
                loser.inspect(|conn| self.close(now, *conn, Reason::Full)).is_some()
            }
        }
    }
}

/// A peer for whom somebody may have to go.
fn comer(peer: &Peer) -> Comer {
    Comer { needy: peer.needy, ip: peer.address().map(|addr| addr.ip()) }
}

impl Peer {
    fn tell_spare(&mut self, spare: bool) -> bool {
        match (&mut self.session, self.kin) {
            (Session::Hyper(hyper), Kin::Gannet { .. }) if self.life.is_open() => {
                hyper.session.say_host(&mut self.staged, |out| put_spare(spare, out));
                true
            }
            _ => false,
        }
    }
}
