//! Pings, both ways: answering who asks whether we are there, and asking others. Neither makes a peer or a
//! candidate of anybody (CHECKLIST G01).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::conn::Reason;
use crate::discovery::resolve::{Answer as Resolved, LookupId};
use crate::few::Few;
use crate::host::HostId;
use crate::ids::ConnId;
use crate::limits;
use crate::sys::Endpoint;
use crate::time::Instant;
use crate::wire::host::Versions;
use crate::wire::ping::{self, LOAD_FULL, NONCE_BYTES, Nonce, Pong};

use super::io::{Consumed, Output};
use super::peer::Peer;
use super::peers::host_of;
use super::{Node, Purpose};

/// Names a ping of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PingId(pub u32);

/// What came of a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingOutcome {
    pub id: PingId,
    pub addr: SocketAddr,
    pub what: Pinged,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinged {
    /// A gannet answered. What it says of itself is not proven.
    Answered {
        host: Option<HostId>,
        versions: Versions,
        /// How much of its room is taken, in percent.
        load: u8,
        /// From the ping to the pong.
        delay: Duration,
    },
    /// Somebody accepts connections there and gave no pong.
    NotOurs,
    /// Nobody does.
    Unreachable(io::ErrorKind),
    /// It is this very process.
    Ourselves,
}

/// A ping of ours that is under way.
struct Asking {
    id: PingId,
    addr: SocketAddr,
    nonce: Nonce,
    state: State,
}

enum State {
    /// The loop ends it.
    Dialing,
    Talking {
        conn: ConnId,
        since: Instant,
        said: bool,
    },
}

#[derive(Default)]
pub(super) struct Pings {
    asking: Vec<Asking>,
    last: u32,
    /// Hosts that pinged us: since when it is counted, and how often.
    heard: Few<IpAddr, (Instant, u32)>,
    outcomes: VecDeque<PingOutcome>,
    /// A name that the embedder wants looked up, and what came of it.
    lookup: Option<LookupId>,
    resolved: Option<Resolved>,
}

impl Pings {
    /// When the next one has waited long enough.
    pub(super) fn next(&self) -> Option<Instant> {
        self.asking.iter().filter_map(Asking::until).min()
    }

    fn of(&mut self, conn: ConnId) -> Option<&mut Asking> {
        let talks = |asking: &&mut Asking| matches!(asking.state, State::Talking { conn: at, .. } if at == conn);
        self.asking.iter_mut().find(talks)
    }

    fn take(&mut self, id: PingId) -> Option<Asking> {
        let at = self.asking.iter().position(|asking| asking.id == id)?;
        Some(self.asking.remove(at))
    }

    /// Whether a host may have an answer.
    fn may_answer(&mut self, now: Instant, host: IpAddr) -> bool {
        let second = Duration::from_secs(1);
        if !self.heard.contains_key(&host) && self.heard.len() >= limits::PING_SOURCES {
            self.heard.retain(|(since, _)| now < *since + second);
            if self.heard.len() >= limits::PING_SOURCES {
                return false;
            }
        }
        let (since, count) = self.heard.or_default(host);
        if now >= *since + second {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= limits::PINGS_PER_SECOND
    }

    /// Hands an outcome to whoever asks for it; the oldest one goes if nobody does.
    fn keep(&mut self, outcome: PingOutcome) {
        if self.outcomes.len() == limits::PING_OUTCOMES {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(outcome);
    }
}

impl Asking {
    fn outcome(&self, what: Pinged) -> PingOutcome {
        PingOutcome { id: self.id, addr: self.addr, what }
    }

    /// When it has waited long enough.
    fn until(&self) -> Option<Instant> {
        match self.state {
            State::Dialing => None,
            State::Talking { since, .. } => Some(since + limits::PING_TIMEOUT),
        }
    }
}

impl Node {
    /// Asks whether a gannet is at an address. `None`: too many are under way. What comes of it is told
    /// within twice `limits::PING_TIMEOUT`.
    pub fn ping(&mut self, _now: Instant, addr: SocketAddr) -> Option<PingId> {
        if self.pings.asking.len() >= limits::PINGS {
            return None;
        }
        self.pings.last = self.pings.last.wrapping_add(1);
        let id = PingId(self.pings.last);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.secret()[..NONCE_BYTES]);
        self.pings.asking.push(Asking { id, addr, nonce, state: State::Dialing });
        let tag = self.tag(Purpose::Ping(id));
        self.out.push_back(Output::Dial { tag, to: Endpoint::Tcp(addr) });
        Some(id)
    }

    /// The outcome of a ping that the embedder asked for.
    pub fn take_ping(&mut self) -> Option<PingOutcome> {
        self.pings.outcomes.pop_front()
    }

    /// Looks up a host for the embedder, who asks for one at a time.
    pub fn look_up(&mut self, now: Instant, name: &str, port: u16) {
        if let Some(earlier) = self.pings.lookup.take() {
            self.resolver.cancel(earlier);
        }
        self.pings.lookup = Some(self.resolver.lookup(now, name, port));
    }

    /// What came of it: addresses in the order to try them.
    pub fn take_looked_up(&mut self) -> Option<Resolved> {
        self.pings.resolved.take()
    }

    /// A look-up is over; true if it was the embedder's.
    pub(super) fn looked_up(&mut self, id: LookupId, result: &Resolved) -> bool {
        let ours = self.pings.lookup == Some(id);
        if ours {
            self.pings.lookup = None;
            self.pings.resolved = Some(result.clone());
        }
        ours
    }

    /// What came of a ping of ours.
    fn pinged(&mut self, now: Instant, outcome: PingOutcome) {
        log::debug!("ping {}: {:?}", outcome.addr, outcome.what);
        if let Some(outcome) = self.probed(now, outcome) {
            self.pings.keep(outcome);
        }
    }

    /// A peer asks whether we are there. The reason is why nothing is answered.
    pub(super) fn pinged_by(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        nonce: Nonce,
    ) -> Option<Reason> {
        if let Some(own) = self.pings.asking.iter().find(|asking| asking.nonce == nonce) {
            let id = own.id;
            self.end_ping(now, id, Pinged::Ourselves);
            return Some(Reason::Ourselves);
        }
        let host = peer.address().map(host_of);
        let silent = host.is_some_and(|host| !self.pings.may_answer(now, host));
        if silent || !peer.staged.is_empty() {
            return Some(Reason::Pinged);
        }
        let taken = self.peers.len() * usize::from(LOAD_FULL) / self.connections();
        let load = u8::try_from(taken).unwrap_or(LOAD_FULL);
        Pong::new(nonce, self.host_id(), load).encode(&mut peer.staged);
        self.out.push_back(Output::Wake { conn });
        None
    }

    /// The dial of a ping ended.
    pub(super) fn ping_dialed(&mut self, now: Instant, id: PingId, conn: io::Result<ConnId>) {
        let conn = match conn {
            Ok(conn) => conn,
            Err(error) => return self.end_ping(now, id, Pinged::Unreachable(error.kind())),
        };
        match self.pings.asking.iter_mut().find(|asking| asking.id == id) {
            Some(asking) => {
                asking.state = State::Talking { conn, since: now, said: false };
                self.out.push_back(Output::Wake { conn });
            }
            // It turned out to be ourselves.
            None => self.out.push_back(Output::Close { conn, flush: false }),
        }
    }

    /// Appends the ping if that is what `conn` is for.
    pub(super) fn say_ping(&mut self, conn: ConnId, out: &mut Vec<u8>) -> bool {
        let Some(Asking { nonce, state, .. }) = self.pings.of(conn) else { return false };
        if let State::Talking { said, .. } = state
            && !std::mem::replace(said, true)
        {
            out.extend_from_slice(&ping::ping(nonce));
        }
        true
    }

    /// What is said on a connection that is for a ping.
    pub(super) fn pong_bytes(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &[u8],
    ) -> Option<Consumed> {
        let asking = self.pings.of(conn)?;
        let (id, nonce, State::Talking { since, .. }) = (asking.id, asking.nonce, &asking.state)
        else {
            return None;
        };
        let delay = now.since(*since);
        let what = match Pong::read(buf) {
            Ok(None) => return Some(Consumed { need: ping::PING_BYTES, ..Consumed::default() }),
            Ok(Some(Pong { nonce: said, host, versions, load })) if said == nonce => {
                Pinged::Answered { host, versions, load, delay }
            }
            Ok(Some(_)) | Err(_) => Pinged::NotOurs,
        };
        self.end_ping(now, id, what);
        Some(Consumed { bytes: buf.len(), frames: 1, ..Consumed::default() })
    }

    /// The other end hung up; true if the connection was for a ping.
    pub(super) fn ping_closed(&mut self, now: Instant, conn: ConnId) -> bool {
        let Some(id) = self.pings.of(conn).map(|asking| asking.id) else { return false };
        if let Some(asking) = self.pings.take(id) {
            self.pinged(now, asking.outcome(Pinged::NotOurs));
        }
        true
    }

    /// Ends those that have waited for long enough.
    pub(super) fn pings_due(&mut self, now: Instant) {
        while let Some(asking) =
            self.pings.asking.iter().find(|asking| asking.until().is_some_and(|at| at <= now))
        {
            let id = asking.id;
            self.end_ping(now, id, Pinged::NotOurs);
        }
    }

    fn end_ping(&mut self, now: Instant, id: PingId, what: Pinged) {
        let Some(asking) = self.pings.take(id) else { return };
        if let State::Talking { conn, .. } = asking.state {
            self.out.push_back(Output::Close { conn, flush: false });
        }
        self.pinged(now, asking.outcome(what));
    }
}
