//! Where peers might be, which of them to dial and when, which to leave alone. Addresses come from
//! the user, from discovery and from the last run; every failure makes an address wait longer.
//!
//! A pure table for one drive or feed: it is told what happened ([`Swarm::found`],
//! [`Swarm::connected`], [`Swarm::closed`] …), and [`Swarm::poll_dial`] says what to dial now. It
//! opens no socket and knows no message.

pub mod balance;
mod bans;
mod candidate;
mod duplicate;
pub mod hello;
mod kept;
pub mod seen;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod twins;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

pub use duplicate::{Opened, Survivor, Verdict, survives, verdict};
pub use kept::Corrupt;

use crate::crypto::sign::PublicKey;
use crate::limits;
use crate::rng::Rng;
use crate::time::Instant;
use bans::Bans;
use candidate::{Entry, State};

/// Who told of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Multicast,
    /// The host at the address has answered us there just now.
    Lan,
    /// A peer, by its static key.
    Peer(PublicKey),
    /// The peer itself, and somebody answers there.
    Proven,
}

/// For whom there is room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hunger {
    /// More peers are wanted.
    #[default]
    More,
    /// There are enough, but for who has nobody.
    Lonely,
    /// Nobody but whom the user named.
    Named,
}

/// Why a dial failed: nobody answered.
const NOBODY: &str = "nobody";

/// A name that the user wrote for a peer: its addresses are one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameId(pub u32);

/// How many at a time.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Dials under way.
    pub dialing: usize,
    /// Connections that we dialed, dials included.
    pub outgoing: usize,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps { dialing: limits::DIALS_AT_ONCE, outgoing: limits::OUTGOING_CONNECTIONS }
    }
}

/// How a connection ended, as far as dialing again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Good,
    Bad,
    /// It lost against another connection to the same peer.
    Duplicate,
    /// One of the two did not want the other, and does not for so long.
    Refused(Duration),
    /// It was lost with the network, or while we slept: nothing speaks against whoever is there.
    Lost,
}

/// An address for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub addr: SocketAddr,
    /// Failures in a row.
    pub failures: u32,
    /// Until it may be dialed again.
    pub retry_in: Duration,
    /// Why the last connection ended, if there was one.
    pub why: Option<&'static str>,
    /// It is this very process, and not dialed.
    pub ourselves: bool,
}

pub struct Swarm {
    rng: Rng,
    caps: Caps,
    entries: BTreeMap<SocketAddr, Box<Entry>>,
    /// Connections past their handshake by peer id, whoever opened them.
    sessions: BTreeMap<Vec<u8>, u32>,
    bans: Bans,
    /// Serial of the latest use of an entry.
    used: u64,
    dialing: usize,
    connected: usize,
    /// Addresses with a connection whose peer does not have what it was dialled for, the oldest first. They
    /// are nobody's company and take nobody's place.
    lacking: VecDeque<SocketAddr>,
    /// When an entry may be ready to be dialed; too early is harmless.
    next: Option<Instant>,
    /// When discovery was last asked for more.
    refreshed: Option<Instant>,
    changed: bool,
    hunger: Hunger,
}

impl Swarm {
    pub fn new(rng: Rng) -> Swarm {
        Swarm::with_caps(rng, Caps::default())
    }

    pub fn with_caps(rng: Rng, caps: Caps) -> Swarm {
        Swarm {
            rng,
            caps,
            entries: BTreeMap::new(),
            sessions: BTreeMap::new(),
            bans: Bans::default(),
            used: 0,
            dialing: 0,
            connected: 0,
            lacking: VecDeque::new(),
            next: None,
            refreshed: None,
            changed: false,
            hunger: Hunger::More,
        }
    }

    /// Discovery found an address. Known ones keep their back-off (P04), unless somebody is known to be
    /// there again. True: it is a new one.
    pub fn found(&mut self, now: Instant, addr: SocketAddr, source: Source) -> bool {
        let told_by = match source {
            Source::Multicast | Source::Lan | Source::Proven => None,
            Source::Peer(peer) => Some(peer),
        };
        if let Some(entry) = self.entries.get_mut(&addr) {
            if told_by.is_none() {
                entry.told_by = None;
            }
            self.enter(now, addr, false);
            if source == Source::Lan {
                self.hasten(now, addr);
            }
            return false;
        }
        if told_by.is_some() {
            // Nobody fills the table alone, nor do any number of keys (K02).
            let told = self.entries.values().filter(|entry| entry.told_by == told_by);
            if told.count() >= limits::TOLD_BY_ONE {
                return false;
            }
            let hearsay = self.entries.values().filter(|entry| entry.is_hearsay());
            if hearsay.count() >= limits::TOLD_OF && !self.forget_hearsay() {
                return false;
            }
        }
        if source == Source::Proven && !self.has_room_for_network(addr.ip()) {
            return false;
        }
        self.enter(now, addr, false);
        let entry = self.entries.get_mut(&addr);
        entry.map(|entry| entry.told_by = told_by).is_some()
    }

    /// Whoever has one network has many keys and ports, too, where he answers: of one network there are only
    /// so many addresses, and it is one of them that goes for another.
    fn has_room_for_network(&mut self, ip: IpAddr) -> bool {
        let network = network_of(ip);
        let there = self.entries.iter().filter(|(addr, _)| network_of(addr.ip()) == network);
        if there.clone().count() < limits::CANDIDATES_OF_NETWORK {
            return true;
        }
        let idle = there.filter(|(_, entry)| entry.may_be_forgotten());
        let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(addr, _)| *addr);
        oldest.is_some_and(|oldest| self.entries.remove(&oldest).is_some())
    }

    /// What waits after failures is dialled soon.
    fn hasten(&mut self, now: Instant, addr: SocketAddr) {
        let soon = now + limits::BACKOFF_FIRST;
        if let Some(entry) = self.entries.get_mut(&addr)
            && matches!(entry.state(), State::Idle { until } if until > soon)
        {
            entry.set_state(State::Idle { until: soon });
            self.next_at(soon);
        }
    }

    /// The network is another one than before, or we slept: who was not to be reached may be now. Everybody
    /// is dialled anew, as far as there is room, but for who said when; and whoever the user named or has
    /// been there begins as if he had never failed (L04).
    pub fn forgive(&mut self, now: Instant) {
        let mut soonest = None;
        for entry in self.entries.values_mut() {
            if let Some(until) = entry.forgive(now, &mut self.rng) {
                soonest = earlier(soonest, until);
            }
        }
        if let Some(at) = soonest {
            self.next_at(at);
        }
    }

    /// There is room for these from now on. True: that is a change.
    pub fn set_hunger(&mut self, now: Instant, hunger: Hunger) -> bool {
        let changed = std::mem::replace(&mut self.hunger, hunger) != hunger;
        if changed {
            self.next_at(now);
        }
        changed
    }

    /// Whether whoever is found may be dialed, not only whom the user named.
    fn is_hungry(&self) -> bool {
        match self.hunger {
            Hunger::More => true,
            Hunger::Lonely => self.is_alone(),
            Hunger::Named => false,
        }
    }

    /// Whether nobody is connected who has it.
    pub fn is_alone(&self) -> bool {
        self.sessions.len() <= self.lacking.len()
    }

    /// One of those who are not connected, to see whether they are there (G03); nobody who was dialed
    /// lately. Every other time one of those who have answered before, if there are any: whoever tells of
    /// thousands of addresses shall not have all the looks.
    pub fn somebody_else(&mut self, now: Instant) -> Option<SocketAddr> {
        let idle = self
            .entries
            .iter()
            .filter(|(addr, entry)| !entry.configured && self.ready_unless_full(addr, entry, now));
        let idle: Vec<(SocketAddr, bool)> =
            idle.map(|(addr, entry)| (*addr, entry.is_known())).collect();
        let known = idle.iter().any(|(_, known)| *known) && self.rng.one_in(2);
        let of: Vec<SocketAddr> =
            idle.into_iter().filter(|(_, of)| *of || !known).map(|(addr, _)| addr).collect();
        let count = of.len() as u64;
        (count > 0).then(|| of[self.rng.below(count) as usize])
    }

    fn ready_unless_full(&self, addr: &SocketAddr, entry: &Entry, now: Instant) -> bool {
        self.idle_until(addr, entry, now).is_some_and(|at| at <= now)
    }

    /// A gannet has answered a ping there. `invite`: it is dialed, whether there are enough or not.
    pub fn answered(&mut self, now: Instant, addr: SocketAddr, invite: bool) {
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.answers = true;
            entry.invited |= invite;
            self.changed = true;
            self.next_at(now);
        }
    }

    /// Nobody, or no gannet, has answered a ping there.
    pub fn silent(&mut self, now: Instant, addr: SocketAddr) {
        let Some(entry) = self.entries.get_mut(&addr) else { return };
        if let State::Idle { .. } = entry.state() {
            entry.closed(now, Duration::ZERO, End::Bad, &mut self.rng);
            self.bury(addr);
            self.changed = true;
        }
    }

    /// Whether somebody is known to be at an address.
    pub fn has_answered(&self, addr: SocketAddr) -> bool {
        self.entries.get(&addr).is_some_and(|entry| entry.is_known())
    }

    fn bury(&mut self, addr: SocketAddr) {
        if self.entries.get(&addr).is_some_and(|entry| entry.is_dead()) {
            self.entries.remove(&addr);
        }
    }

    /// Addresses for a peer at `to` that asks for more: such as have answered, a part of all that are
    /// known at most, and none of a realm that is not its own (K02).
    /// `own`: where it listens itself.
    pub fn share(&mut self, to: IpAddr, own: Option<SocketAddr>, most: usize) -> Vec<SocketAddr> {
        let known = self.entries.iter().filter(|(_, entry)| !entry.ourselves);
        let part = (known.count() * limits::SHARED_PERCENT / 100).max(limits::SHARED_LEAST);
        let good = self.entries.iter().filter(|(addr, entry)| {
            let answered = entry.proven || entry.answers || entry.state() == State::Connected;
            answered && !entry.ourselves && realm(addr.ip()) >= realm(to) && own != Some(**addr)
        });
        let mut addrs: Vec<SocketAddr> = good.map(|(addr, _)| *addr).collect();
        let most = most.min(part).min(addrs.len());
        for at in 0..most {
            let other = at + self.rng.below((addrs.len() - at) as u64) as usize;
            addrs.swap(at, other);
        }
        addrs.truncate(most);
        addrs
    }

    /// The user named an address: never forgotten, never banned, dialed before all others.
    pub fn configured(&mut self, addr: SocketAddr) {
        self.enter(Instant::default(), addr, true);
    }

    /// The user does not name an address any more: it is a candidate like any.
    pub fn not_configured(&mut self, addr: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&addr).filter(|entry| entry.name.is_none()) {
            entry.configured = false;
            self.changed = true;
        }
    }

    /// The user named a host by `name`, which leads to these addresses now: the families take turns, one
    /// address is dialed a quarter of a second after the other, or at once when the one before has failed,
    /// and none while one of them is connected (RFC 8305, K09). Others that the name led to are
    /// candidates like any.
    pub fn named(&mut self, now: Instant, name: NameId, addrs: &[SocketAddr]) {
        for (addr, entry) in &mut self.entries {
            if entry.name == Some(name) && !addrs.contains(addr) {
                (entry.name, entry.configured, entry.in_turn) = (None, false, false);
            }
        }
        let under_way = self
            .entries
            .values()
            .any(|entry| entry.name == Some(name) && !matches!(entry.state(), State::Idle { .. }));
        let mut turn = now;
        for addr in in_turns(addrs) {
            self.enter(now, addr, true);
            let Some(entry) = self.entries.get_mut(&addr) else { continue };
            entry.name = Some(name);
            if let (State::Idle { until }, false) = (entry.state(), under_way) {
                (entry.in_turn, turn) = match until > turn {
                    true => (false, turn),
                    false => {
                        entry.set_state(State::Idle { until: turn });
                        (turn > now, turn + limits::NAME_TURN)
                    }
                };
            }
        }
        self.next_at(now);
    }

    /// Whether one of the addresses of a name is connected.
    fn is_up(&self, name: NameId) -> bool {
        self.entries.values().any(|e| e.name == Some(name) && e.state() == State::Connected)
    }

    /// One address of a name has failed: the next one need not wait for its turn.
    fn next_of(&mut self, now: Instant, name: NameId) {
        let waiting = self.entries.iter_mut().filter_map(|(_, entry)| match entry.state() {
            State::Idle { until } if entry.name == Some(name) && entry.in_turn => {
                Some((until, entry))
            }
            _ => None,
        });
        if let Some((_, entry)) = waiting.min_by_key(|(until, _)| *until) {
            entry.in_turn = false;
            entry.set_state(State::Idle { until: now });
            self.next_at(now);
        }
    }

    fn enter(&mut self, ready: Instant, addr: SocketAddr, configured: bool) {
        self.used += 1;
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.used = self.used;
            entry.configured |= configured;
            return;
        }
        if addr.port() == 0 || addr.ip().is_unspecified() || !self.make_room() {
            return;
        }
        self.entries.insert(addr, Box::new(Entry::new(ready, configured, self.used)));
        self.next_at(ready);
        self.changed = true;
    }

    /// Makes room for one more entry: the one longest not used goes, but none that the user named
    /// and none in use; those go first of which others told and where nobody ever answered.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < limits::CANDIDATES || self.forget_hearsay() {
            return true;
        }
        let idle = self.entries.iter().filter(|(_, entry)| entry.may_be_forgotten());
        let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(addr, _)| *addr);
        oldest.is_some_and(|oldest| self.entries.remove(&oldest).is_some())
    }

    /// The address longest not used of which a peer told and where nobody ever answered goes.
    fn forget_hearsay(&mut self) -> bool {
        let idle =
            self.entries.iter().filter(|(_, entry)| entry.is_hearsay() && entry.may_be_forgotten());
        let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(addr, _)| *addr);
        oldest.is_some_and(|oldest| self.entries.remove(&oldest).is_some())
    }

    /// What to dial now, if anything. Answer with `dial_failed`,
    /// `connected` or `closed`.
    pub fn poll_dial(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.full() || self.next.is_none_or(|next| next > now) {
            return None;
        }
        let mut best: Option<(SocketAddr, (bool, bool, bool, u32))> = None;
        let (mut next, mut equals) = (None, 0);
        for (addr, entry) in &self.entries {
            let Some(ready) = self.ready_at(addr, entry, now) else { continue };
            if ready > now {
                next = earlier(next, ready);
                continue;
            }
            let rank = (!entry.configured, !entry.anchor, !entry.proven, entry.failures());
            let better = match best.map(|(_, of_best)| rank.cmp(&of_best)) {
                Some(std::cmp::Ordering::Greater) => false,
                // A fair choice among equals, so that nobody can steer it by addresses.
                Some(std::cmp::Ordering::Equal) => {
                    equals += 1;
                    self.rng.one_in(equals)
                }
                Some(std::cmp::Ordering::Less) | None => {
                    equals = 1;
                    true
                }
            };
            if better {
                best = Some((*addr, rank));
            }
        }
        let Some((addr, _)) = best else {
            self.next = next;
            return None;
        };
        self.used += 1;
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.used = self.used;
            entry.in_turn = false;
            entry.set_state(State::Dialing);
            self.dialing += 1;
        }
        Some(addr)
    }

    /// When an address may be dialed; `None`: not as things stand.
    fn ready_at(&self, addr: &SocketAddr, entry: &Entry, now: Instant) -> Option<Instant> {
        let wanted = entry.configured || entry.invited || self.is_hungry();
        wanted.then(|| self.idle_until(addr, entry, now)).flatten()
    }

    /// The same if there is room.
    fn idle_until(&self, addr: &SocketAddr, entry: &Entry, now: Instant) -> Option<Instant> {
        let State::Idle { until } = entry.state() else { return None };
        let id = entry.id.as_deref();
        if entry.ourselves || id.is_some_and(|id| self.sessions.contains_key(id)) {
            return None;
        }
        if entry.name.is_some_and(|name| self.is_up(name)) {
            return None;
        }
        if entry.configured {
            return Some(until);
        }
        let ban = self.bans.until(Some(*addr), id).filter(|ban| *ban > now);
        Some(ban.map_or(until, |ban| ban.max(until)))
    }

    fn full(&self) -> bool {
        let outgoing = self.dialing + self.connected.saturating_sub(self.lacking.len());
        self.dialing >= self.caps.dialing || outgoing >= self.caps.outgoing
    }

    fn next_at(&mut self, at: Instant) {
        self.next = earlier(self.next, at);
    }

    /// When `poll_dial` may have something, should nothing else happen. May be early.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next.filter(|_| !self.full())
    }

    /// A dial brought no connection.
    pub fn dial_failed(&mut self, now: Instant, addr: SocketAddr) {
        self.note(addr, NOBODY);
        self.closed(now, Some(addr), None, Duration::ZERO, End::Bad);
    }

    /// A connection is past its handshake with the peer `id`. `dialed`: where we found it.
    pub fn connected(&mut self, dialed: Option<SocketAddr>, id: &[u8]) {
        *self.sessions.entry(id.to_vec()).or_default() += 1;
        if let Some(addr) = dialed {
            self.reached(addr, id);
        }
    }

    /// The peer `id` is the one at an address that was to be dialed; it has a connection, of which
    /// `connected` was told.
    pub fn reached(&mut self, addr: SocketAddr, id: &[u8]) {
        let entry = self.entries.get_mut(&addr);
        if let Some(entry) = entry.filter(|entry| entry.state() == State::Dialing) {
            self.dialing -= 1;
            self.connected += 1;
            entry.set_state(State::Connected);
            entry.id = Some(id.to_vec());
            self.changed = true;
        }
    }

    /// The peer that was dialled at an address does not have what it was dialled for: others are looked for
    /// as if it were not there.
    pub fn lacks(&mut self, now: Instant, addr: SocketAddr) {
        let entry = self.entries.get(&addr);
        let connected = entry.is_some_and(|entry| entry.state() == State::Connected);
        if connected && !self.lacking.contains(&addr) {
            self.lacking.push_back(addr);
            self.next_at(now);
        }
    }

    /// It has it now.
    pub fn has(&mut self, addr: SocketAddr) {
        self.lacking.retain(|at| *at != addr);
    }

    /// Those who do not have it, the oldest first, if they are too many to be kept.
    pub fn too_many_lack(&self) -> impl Iterator<Item = SocketAddr> {
        let many = self.lacking.len() > limits::LACKING;
        self.lacking.iter().copied().filter(move |_| many)
    }

    /// A connection ended. `id`: as `connected` was told, `None` if it did not come so far.
    /// `useful`: for how long it has been up, if blocks moved on it at all, else zero.
    pub fn closed(
        &mut self,
        now: Instant,
        dialed: Option<SocketAddr>,
        id: Option<&[u8]>,
        useful: Duration,
        end: End,
    ) {
        if let Some(id) = id
            && let Some(count) = self.sessions.get_mut(id)
        {
            *count -= 1;
            if *count == 0 {
                self.sessions.remove(id);
            }
        }
        // Whoever it was can be dialed again, at whatever address.
        self.next_at(now);
        let Some(addr) = dialed else { return };
        let name = self.entries.get(&addr).and_then(|entry| entry.name);
        let lost = name.is_some_and(|name| self.is_up(name));
        let Some(entry) = self.entries.get_mut(&addr) else { return };
        let end = match entry.state() {
            State::Idle { .. } => return,
            State::Dialing => {
                self.dialing -= 1;
                // Another address of its name was faster.
                if lost { End::Duplicate } else { end }
            }
            State::Connected => {
                self.connected -= 1;
                self.lacking.retain(|at| *at != addr);
                end
            }
        };
        entry.closed(now, useful, end, &mut self.rng);
        if let Some(name) = name {
            self.next_of(now, name);
        }
        self.changed = true;
        self.bury(addr);
    }

    /// Why a connection to an address has ended, for status.
    pub fn note(&mut self, addr: SocketAddr, why: &'static str) {
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.why = Some(why);
        }
    }

    /// The peer `id` has answered at an address, whatever becomes of the connection.
    pub fn alias(&mut self, addr: SocketAddr, id: &[u8]) {
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.id = Some(id.to_vec());
        }
    }

    /// The peer `id` is not to be dialed before, at whatever address.
    pub fn rest(&mut self, id: &[u8], until: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.id.as_deref() == Some(id)) {
            entry.rest(until);
        }
    }

    /// Whoever is at an address is not to be dialed there before.
    pub fn rest_at(&mut self, addr: SocketAddr, until: Instant) {
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.rest(until);
        }
    }

    /// Connections to a peer that are past their handshake.
    pub fn sessions(&self, id: &[u8]) -> u32 {
        self.sessions.get(id).copied().unwrap_or(0)
    }

    /// The address turned out to be this very process: not dialed again in this run (F03).
    pub fn mark_self(&mut self, addr: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.ourselves = true;
        }
    }

    /// Nobody talks to this peer for `limits::BAN`. An address that the user named only waits as
    /// long as after many failures.
    pub fn ban(&mut self, now: Instant, addr: Option<SocketAddr>, id: Option<&[u8]>) {
        self.changed = true;
        let entry = addr.and_then(|addr| self.entries.get_mut(&addr));
        match entry.filter(|entry| entry.configured) {
            Some(entry) => entry.punish(now),
            None => self.bans.add(now, addr, id),
        }
    }

    /// Whether an address or a peer is banned now. `id`: once known.
    pub fn is_banned(&self, now: Instant, addr: Option<SocketAddr>, id: Option<&[u8]>) -> bool {
        let named = addr.and_then(|addr| self.entries.get(&addr)).is_some_and(|e| e.configured);
        !named && self.bans.until(addr, id).is_some_and(|until| until > now)
    }

    /// Whether the user named an address.
    pub fn is_configured(&self, addr: SocketAddr) -> bool {
        self.entries.get(&addr).is_some_and(|entry| entry.configured)
    }

    /// Lifts what bans there are of an address. False: there are none.
    pub fn unban_at(&mut self, ip: IpAddr) -> bool {
        let lifted = self.bans.lift_at(ip);
        self.lifted(lifted);
        lifted
    }

    /// Lifts the ban of a peer.
    pub fn unban_id(&mut self, id: &[u8]) -> bool {
        let lifted = self.bans.ids.remove(&id.to_vec()).is_some();
        self.lifted(lifted);
        lifted
    }

    /// Who was banned may be dialled at once.
    fn lifted(&mut self, any: bool) {
        if any {
            self.changed = true;
            self.next_at(Instant(0));
        }
    }

    /// Who is banned now, by address or by id in hexadecimal digits, and until when.
    pub fn bans(&self, now: Instant) -> impl Iterator<Item = (String, Instant)> {
        let ids = self.bans.ids.iter().map(|(id, until)| (hex::encode(id), *until));
        let addrs = self.bans.addrs.iter().map(|(addr, until)| (addr.ip().to_canonical(), *until));
        let addrs = addrs.map(|(ip, until)| (ip.to_string(), until));
        ids.chain(addrs).filter(move |(_, until)| *until > now)
    }

    /// Bans that stand.
    pub fn banned(&self, now: Instant) -> usize {
        self.bans.count(now)
    }

    /// Peers are needed: whether to ask discovery again. Not while a candidate is at hand, and at
    /// most every `limits::NEED_PEERS_EVERY` (P07).
    pub fn refresh(&mut self, now: Instant) -> bool {
        let at_hand = self.entries.iter().any(|(addr, entry)| {
            let ready = self.ready_at(addr, entry, now).is_some_and(|at| at <= now);
            ready || entry.state() == State::Dialing
        });
        let lately = |at| now.since(at) < limits::NEED_PEERS_EVERY;
        if at_hand || self.refreshed.is_some_and(lately) {
            return false;
        }
        self.refreshed = Some(now);
        true
    }

    /// The addresses that wait to be dialed, for status.
    pub fn candidates(&self, now: Instant) -> Vec<Candidate> {
        let idle = self.entries.iter().filter_map(|(addr, entry)| match entry.state() {
            State::Idle { until } => Some((*addr, entry, until)),
            _ => None,
        });
        idle.map(|(addr, entry, until)| Candidate {
            addr,
            failures: entry.failures(),
            retry_in: until.since(now),
            why: entry.why,
            ourselves: entry.ourselves,
        })
        .collect()
    }

    /// Whether anything worth keeping changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// The realm of addresses that are good anywhere.
const EVERYWHERE: u8 = 2;

/// How far an address can be told of: 0 on this machine, 1 in its network, 2 everywhere.
fn realm(ip: IpAddr) -> u8 {
    match ip.to_canonical() {
        ip if ip.is_loopback() => 0,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => 1,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => 1,
        _ => EVERYWHERE,
    }
}

/// Whether somebody who is at `from` can know how to reach `addr`, which is not so of what is nearer to us
/// than he is.
pub fn may_know(from: IpAddr, addr: IpAddr) -> bool {
    realm(addr) >= realm(from)
}

/// Whether an address is good anywhere.
pub fn is_everywhere(ip: IpAddr) -> bool {
    realm(ip) == EVERYWHERE
}

/// What one party can have as much of as it likes: the addresses of a network of 24 bits of IPv4, of 48
/// bits of IPv6.
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() >> 8 << 8).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into(),
    }
}

/// Addresses of a name in the order in which they are dialed: as they come, but the families by turns.
fn in_turns(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addrs.iter().rev().partition(|addr| addr.is_ipv6() == first);
    let mut out = Vec::new();
    while let Some(addr) = one.pop().or_else(|| other.pop()) {
        out.push(addr);
        std::mem::swap(&mut one, &mut other);
    }
    out
}

fn earlier(a: Option<Instant>, b: Instant) -> Option<Instant> {
    Some(a.map_or(b, |a| a.min(b)))
}
