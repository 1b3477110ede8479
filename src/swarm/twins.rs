//! All connections to one process, of which one stays (docs/PROTOCOL.md §14.3).
//!
//! A process is known by its static key in the stream. Of the two ends of a pair the one with the lower
//! key *decides*: it alone closes a connection because there is another. So nothing has to be agreed
//! upon, and that both are lost cannot happen:
//!
//! * it closes one only when a better one is open on its side, that is, when both ends want that one;
//! * better is what it opened itself; of two that the same end opened, the older. What either end has
//!   given up is worse than everything else.
//!
//! What an end has given up, the other learns from the next hello: it names the connections that its
//! sender still holds, and its number tells which of them were begun before. A connection that was begun
//! before and is not named is lost over there, however healthy its socket looks here; so nobody has to
//! be asked and nothing has to time out. The same holds for all connections of an earlier boot.

use std::collections::{BTreeMap, VecDeque};

use super::Opened;
use super::hello::{End, Meeting, State, Terms, Trust};
use crate::crypto::sign::PublicKey;
use crate::ids::ConnId;
use crate::limits::{
    BACKOFF_DOUBLINGS, BACKOFF_FIRST, BACKOFF_MAX, DUPLICATE_PATIENCE, HOST_BOOTS, HOST_HOLDS,
    USEFUL_UPTIME,
};
use crate::time::Instant;
use crate::wire::host::{Boot, Close, Code, Continue, Hello, Verified};

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Say it.
    Continue { conn: ConnId, said: Continue },
    /// Both sides want the connection. If there was an open one, it goes with one of the next acts, and
    /// what it was used for goes on on this one.
    Opened { conn: ConnId },
    /// Say it, then close. The connection is forgotten here.
    Close { conn: ConnId, close: Close },
    /// It has ended. Once for each connection, after `Close` if we ended it; `peer`: it had been open.
    Ended { conn: ConnId, opened: Opened, end: End, peer: bool },
}

/// The connections to one process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Twins {
    ours: PublicKey,
    our_boot: Boot,
    theirs: PublicKey,
    /// Its boot as far as we know, and those before.
    boot: Option<Boot>,
    earlier: VecDeque<Boot>,
    conns: BTreeMap<ConnId, Meeting>,
    /// Peers in a row that did not last.
    short: u32,
    /// Not to be dialled before.
    rest: Option<Instant>,
}

impl Twins {
    /// Our static key and boot, and the static key of the other process.
    pub fn new(ours: PublicKey, our_boot: Boot, theirs: PublicKey) -> Twins {
        Twins {
            ours,
            our_boot,
            theirs,
            boot: None,
            earlier: VecDeque::new(),
            conns: BTreeMap::new(),
            short: 0,
            rest: None,
        }
    }

    /// Whether it is ours to close one of two.
    fn decides(&self) -> bool {
        self.ours < self.theirs
    }

    /// A stream stands. Returns what our hello on it says that we hold; `None`: there are too many, and
    /// it is to be closed as `Full`. `number` has to be above all before.
    pub fn begin(
        &mut self,
        now: Instant,
        conn: ConnId,
        opened: Opened,
        number: u64,
    ) -> Option<Vec<u64>> {
        if self.conns.len() >= HOST_HOLDS {
            return None;
        }
        let trusted = self.conns.values().filter(|meeting| meeting.trust == Trust::Full);
        let mut holds: Vec<u64> = trusted.map(|meeting| meeting.number).collect();
        holds.sort_unstable();
        debug_assert!(holds.last().is_none_or(|last| *last < number));
        self.conns.insert(conn, Meeting::new(now, opened, number));
        Some(holds)
    }

    /// The peer's hello on a connection.
    pub fn hello(
        &mut self,
        now: Instant,
        conn: ConnId,
        theirs: Verified,
        terms: &Terms,
        acts: &mut Vec<Act>,
    ) {
        let Some(meeting) = self.conns.get(&conn) else { return };
        if !meeting.is_greeting() {
            return self.close(now, conn, Close::new(Code::Fault), acts);
        }
        let said = theirs.hello();
        if let Err(code) = self.of_this_life(said) {
            return self.close(now, conn, Close::new(code), acts);
        }
        // One that is open takes no more room.
        let room = terms.room || self.current().is_some();
        let version = match (Terms { room, ..*terms }).judge(said) {
            Ok(version) => version,
            Err(close) => return self.close(now, conn, close, acts),
        };
        self.learn(said);
        if let Some(meeting) = self.conns.get_mut(&conn) {
            meeting.willing(now, theirs, version);
        }
        match self.better_than(conn) {
            Some(winner) => self.lose(now, conn, winner, acts),
            None => acts.push(Act::Continue { conn, said: Continue { version } }),
        }
    }

    /// Not ourselves, and not a second process with the same key.
    fn of_this_life(&self, said: &Hello) -> Result<(), Code> {
        if self.ours == self.theirs {
            let ourselves = said.boot == self.our_boot;
            return Err(if ourselves { Code::Ourselves } else { Code::Cloned });
        }
        // Who comes back from an earlier life has lived all the time.
        if self.earlier.contains(&said.boot) { Err(Code::Cloned) } else { Ok(()) }
    }

    /// What a hello says of the connections that are there.
    fn learn(&mut self, said: &Hello) {
        if let Some(boot) = self.boot.replace(said.boot).filter(|boot| *boot != said.boot) {
            if self.earlier.len() == HOST_BOOTS {
                self.earlier.pop_front();
            }
            self.earlier.push_back(boot);
        }
        for meeting in self.conns.values_mut() {
            let gone = meeting.theirs().is_some_and(|then| {
                let before = then.number < said.number;
                then.boot != said.boot || before && !said.holds.contains(&then.number)
            });
            if gone {
                meeting.trust = Trust::NotTheirs;
            }
        }
    }

    /// The peer's continue.
    pub fn continued(&mut self, now: Instant, conn: ConnId, version: u64, acts: &mut Vec<Act>) {
        let Some(meeting) = self.conns.get_mut(&conn) else { return };
        if let Err(code) = meeting.continued(now, version) {
            return self.close(now, conn, Close::new(code), acts);
        }
        if let Some(winner) = self.better_than(conn) {
            return self.lose(now, conn, winner, acts);
        }
        self.rest = None;
        acts.push(Act::Opened { conn });
        let losers: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(other, meeting)| **other != conn && meeting.theirs().is_some())
            .filter(|(_, meeting)| match meeting.trust {
                Trust::NotTheirs => true,
                // What we alone distrust is not ours to close if we do not decide: the peer, which may
                // not have heard of it, may just be closing this one in its favour.
                Trust::Full | Trust::NotOurs => self.decides() && self.worse(meeting, conn),
            })
            .map(|(other, _)| *other)
            .collect();
        losers.into_iter().for_each(|loser| self.lose(now, loser, conn, acts));
    }

    /// The open one in whose favour we close this.
    fn better_than(&self, conn: ConnId) -> Option<ConnId> {
        let this = self.conns.get(&conn).filter(|_| self.decides())?;
        let better = |meeting: &Meeting| self.rank(meeting) < self.rank(this);
        let open = self.conns.iter().filter(|(_, meeting)| meeting.is_open());
        open.filter(|(_, meeting)| better(meeting)).map(|(other, _)| *other).next()
    }

    fn worse(&self, meeting: &Meeting, than: ConnId) -> bool {
        self.conns.get(&than).is_some_and(|best| self.rank(best) < self.rank(meeting))
    }

    /// The lowest stays. Both ends know all of it once both hellos are there, but it is enough that the
    /// one which decides does.
    fn rank(&self, meeting: &Meeting) -> (bool, bool, u64, u64) {
        let number = match meeting.opened {
            Opened::ByUs => meeting.number,
            Opened::ByPeer => meeting.theirs().map_or(u64::MAX, |theirs| theirs.number),
        };
        // (Our own numbers differ, whatever the peer says of its.)
        (meeting.trust != Trust::Full, meeting.opened == Opened::ByPeer, number, meeting.number)
    }

    fn lose(&mut self, now: Instant, loser: ConnId, winner: ConnId, acts: &mut Vec<Act>) {
        let winner = self.conns.get(&winner).map(|meeting| meeting.number);
        self.close(now, loser, Close { winner, ..Close::new(Code::Duplicate) }, acts);
    }

    /// Closes a connection, for whatever reason we have.
    pub fn close(&mut self, now: Instant, conn: ConnId, close: Close, acts: &mut Vec<Act>) {
        if self.conns.contains_key(&conn) {
            let end = End::Ours(close.code);
            acts.push(Act::Close { conn, close });
            self.ended(now, conn, end, acts);
        }
    }

    /// The peer closed one.
    pub fn closed(&mut self, now: Instant, conn: ConnId, close: &Close, acts: &mut Vec<Act>) {
        if !self.conns.contains_key(&conn) {
            return;
        }
        self.ended(now, conn, End::Theirs(close.code), acts);
        let wait = match close.code {
            // The one that stays is on its way to being open here, too.
            Code::Duplicate if self.current().is_none() && !self.conns.is_empty() => {
                Some(DUPLICATE_PATIENCE)
            }
            _ => close.retry,
        };
        if let Some(wait) = wait {
            self.rest = self.rest.max(Some(now + wait));
        }
    }

    /// One broke, or the peer is gone without a word.
    pub fn lost(&mut self, now: Instant, conn: ConnId, acts: &mut Vec<Act>) {
        self.ended(now, conn, End::Lost, acts);
    }

    fn ended(&mut self, now: Instant, conn: ConnId, end: End, acts: &mut Vec<Act>) {
        let Some(mut meeting) = self.conns.remove(&conn) else { return };
        let since = match meeting.state() {
            State::Open { since, .. } => Some(*since),
            State::Greeting { .. } | State::Willing { .. } | State::Ended(_) => None,
        };
        let opened = meeting.opened;
        // What seemed dead was lost on the way, not given up by a peer that comes and goes.
        let lost = meeting.trust == Trust::NotOurs;
        meeting.end(end);
        acts.push(Act::Ended { conn, opened, end, peer: since.is_some() });
        if let Some(since) = since.filter(|_| self.current().is_none() && !lost) {
            if now >= since + USEFUL_UPTIME {
                self.short = 0;
            } else {
                // One that comes and goes is dialled ever more rarely.
                let doublings = self.short.min(BACKOFF_DOUBLINGS);
                let wait = (BACKOFF_FIRST * 2u32.pow(doublings)).min(BACKOFF_MAX);
                self.short = self.short.saturating_add(1);
                self.rest = self.rest.max(Some(now + wait));
            }
        }
    }

    /// An open connection that seems dead: another one takes its place as soon as there is one.
    pub fn suspect(&mut self, conn: ConnId) {
        if let Some(meeting) = self.conns.get_mut(&conn) {
            meeting.trust = meeting.trust.max(Trust::NotOurs);
        }
    }

    /// The open connection, the best one while there are several.
    pub fn current(&self) -> Option<ConnId> {
        let open = self.conns.iter().filter(|(_, meeting)| meeting.is_open());
        open.min_by_key(|(_, meeting)| self.rank(meeting)).map(|(conn, _)| *conn)
    }

    /// The connection that goes on for one that is gone: the open one, else any that may become it.
    pub fn heir(&self) -> Option<ConnId> {
        self.current().or_else(|| self.conns.keys().next().copied())
    }

    /// Until when it is not to be dialled.
    pub fn rest(&self) -> Option<Instant> {
        self.rest
    }

    /// Whether to dial it: nothing is open or on its way, but for what seems dead, and it is not time
    /// to rest. Dials that are under way go on whatever comes in.
    pub fn may_dial(&self, now: Instant) -> bool {
        let rested = self.rest.is_none_or(|until| now >= until);
        rested && self.conns.values().all(|meeting| meeting.trust != Trust::Full)
    }

    /// Closes those who did not say what was due by now.
    pub fn tick(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let late = |meeting: &Meeting| meeting.deadline().is_some_and(|at| now >= at);
        let conns = self.conns.iter().filter(|(_, meeting)| late(meeting));
        let conns: Vec<ConnId> = conns.map(|(conn, _)| *conn).collect();
        for conn in conns {
            self.close(now, conn, Close::new(Code::Timeout), acts);
        }
    }

    /// When `tick` has to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.conns.values().filter_map(Meeting::deadline).min()
    }

    pub fn meeting(&self, conn: ConnId) -> Option<&Meeting> {
        self.conns.get(&conn)
    }

    /// Nothing is remembered but boots: it may be dropped.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }
}

#[cfg(test)]
mod every;
#[cfg(test)]
mod tests;
