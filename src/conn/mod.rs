//! The life of one connection: from the first byte to a peer to the one reason it ended. It knows
//! the clock only as an argument, and neither feeds nor sockets.
//!
//! ```text
//! Greeting ──stream──▶ Meeting ──continue──▶ Open ──┐
//!     ├──────────Handshake──────────────────▶┘      │
//!     └───────────────────────┴──────────────────────┴──▶ Closing
//! ```

mod reason;

pub use reason::Reason;

use std::time::Duration;

use crate::limits;
use crate::sys::Endpoint;
use crate::time::Instant;

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We dialled; the tag of the dial.
    Out,
    In,
}

/// Where a connection is in its life, with what only that state has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The peer's Handshake has not come yet.
    Greeting,
    /// A stream stands; hello and continue are exchanged, with deadlines of their own (`swarm::twins`).
    Meeting,
    /// Both sides know each other.
    Open { remote_id: Vec<u8>, live: bool, since: Instant },
    /// We decided to end it; nothing more is handled.
    Closing { why: Reason },
}

/// The timers and state of one connection.
#[derive(Debug)]
pub struct Life {
    state: State,
    pub direction: Direction,
    pub remote: Endpoint,
    pub started: Instant,
    last_received: Instant,
    last_sent: Instant,
    /// Bytes handed to the socket's buffer that it has not taken yet, and since when.
    unsent: u64,
    unsent_since: Instant,
    /// Whether our first message is out: before that no keep-alive may be sent.
    greeted: bool,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Silence of ours after which a keep-alive is due: it is the dialect's.
    pub keepalive_after: Duration,
    /// Silence of the peer after which it is dead.
    silence: Duration,
}

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    KeepAlive,
    Close(Reason),
}

impl Life {
    pub fn new(now: Instant, direction: Direction, remote: Endpoint) -> Life {
        Life {
            state: State::Greeting,
            direction,
            remote,
            started: now,
            last_received: now,
            last_sent: now,
            unsent: 0,
            unsent_since: now,
            greeted: false,
            received_bytes: 0,
            sent_bytes: 0,
            keepalive_after: limits::KEEPALIVE_AFTER,
            silence: limits::PEER_SILENCE,
        }
    }

    /// Both sides speak seldom from now on, we after `after` of silence.
    pub fn seldom(&mut self, after: Duration) {
        (self.keepalive_after, self.silence) = (after, limits::SELDOM_SILENCE);
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The only place where the state changes.
    fn set_state(&mut self, next: State) {
        let legal = matches!(
            (&self.state, &next),
            (State::Greeting, State::Meeting | State::Open { .. } | State::Closing { .. })
                | (State::Meeting, State::Open { .. } | State::Closing { .. })
                | (State::Open { .. }, State::Closing { .. })
        );
        assert!(legal, "a connection cannot go from {:?} to {:?}", self.state, next);
        self.state = next;
    }

    /// The stream stands: hello comes next.
    pub fn up(&mut self, _now: Instant) {
        if self.state == State::Greeting {
            self.set_state(State::Meeting);
        }
    }

    /// The peer's Handshake came. `false`: it was not the first, which is ignored as JavaScript
    /// peers do.
    pub fn handshaken(&mut self, now: Instant, remote_id: Vec<u8>, live: bool) -> bool {
        if !matches!(self.state, State::Greeting | State::Meeting) {
            return false;
        }
        self.set_state(State::Open { remote_id, live, since: now });
        true
    }

    /// Ends the connection from our side. The first reason stays.
    pub fn close(&mut self, why: Reason) {
        if !self.is_closing() {
            self.set_state(State::Closing { why });
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// Bytes came in.
    pub fn received(&mut self, now: Instant, bytes: usize) {
        self.last_received = now;
        self.received_bytes += bytes as u64;
    }

    /// Frames were handed to the socket's buffer.
    pub fn queued(&mut self, now: Instant, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if self.unsent == 0 {
            self.unsent_since = now;
        }
        self.unsent += bytes as u64;
        self.last_sent = now;
        self.greeted = true;
    }

    /// The socket took bytes.
    pub fn sent(&mut self, now: Instant, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes as u64);
        self.unsent_since = now;
        self.sent_bytes += bytes as u64;
    }

    /// Our own loop stood still for `span`: nobody is judged for that time.
    pub fn forgive(&mut self, span: Duration) {
        self.last_received += span;
        self.unsent_since += span;
        if self.state == State::Greeting {
            self.started += span;
        }
    }

    /// What is due now. A keep-alive that is due stays due until something is sent.
    pub fn due(&self, now: Instant) -> Due {
        match self.state {
            State::Closing { .. } => return Due::Nothing,
            State::Greeting if now >= self.started + limits::HANDSHAKE_TIMEOUT => {
                return Due::Close(Reason::HandshakeTimeout);
            }
            State::Greeting | State::Meeting | State::Open { .. } => {}
        }
        if now >= self.last_received + self.silence {
            Due::Close(Reason::Silent)
        } else if self.unsent > 0 && now >= self.unsent_since + limits::WRITE_STALL {
            Due::Close(Reason::WriteStall)
        } else if self.greeted && now >= self.last_sent + self.keepalive_after {
            Due::KeepAlive
        } else {
            Due::Nothing
        }
    }

    /// When `due` has to be asked next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let mut at = self.last_received + self.silence;
        match self.state {
            State::Closing { .. } => return None,
            State::Greeting => at = at.min(self.started + limits::HANDSHAKE_TIMEOUT),
            State::Meeting | State::Open { .. } => {}
        }
        if self.unsent > 0 {
            at = at.min(self.unsent_since + limits::WRITE_STALL);
        }
        if self.greeted {
            at = at.min(self.last_sent + self.keepalive_after);
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life() -> Life {
        let remote = Endpoint::Tcp(([127, 0, 0, 1], 1).into());
        Life::new(Instant(0), Direction::In, remote)
    }

    #[test]
    fn f02_no_handshake_in_time_closes() {
        let life = life();
        let limit = Instant(0) + limits::HANDSHAKE_TIMEOUT;
        assert_eq!(life.due(limit - Duration::from_micros(1)), Due::Nothing);
        assert_eq!(life.due(limit), Due::Close(Reason::HandshakeTimeout));
    }

    #[test]
    fn f02_second_handshake_changes_nothing() {
        let mut life = life();
        assert!(life.handshaken(Instant(1), vec![1], true));
        assert!(!life.handshaken(Instant(2), vec![2], false));
        assert!(
            matches!(life.state(), State::Open { remote_id, live: true, .. } if *remote_id == [1])
        );
    }

    #[test]
    fn l01_f10_keepalive_after_own_silence_and_death_after_the_peers() {
        let mut life = life();
        life.handshaken(Instant(0), vec![1], true);
        let later = Instant(0) + limits::KEEPALIVE_AFTER;
        assert_eq!(life.due(later), Due::Nothing, "nothing may be sent before the first message");
        life.queued(Instant(0), 10);
        life.sent(Instant(0), 10);
        assert_eq!(life.due(later), Due::KeepAlive);
        assert_eq!(life.next_deadline(), Some(later));
        let dead = Instant(0) + limits::PEER_SILENCE;
        assert_eq!(life.due(dead), Due::Close(Reason::Silent));
        life.received(dead, 1);
        assert_ne!(life.due(dead), Due::Close(Reason::Silent));
    }

    #[test]
    fn l01_who_is_to_speak_seldom_has_longer_before_it_is_dead() {
        let mut life = life();
        life.handshaken(Instant(0), vec![1], true);
        life.queued(Instant(0), 10);
        life.sent(Instant(0), 10);
        let after = limits::SELDOM_KEEPALIVE_AFTER;
        life.seldom(after);
        let early = Instant(0) + after - Duration::from_micros(1);
        assert!(early > Instant(0) + limits::PEER_SILENCE);
        assert_eq!(life.due(early), Due::Nothing);
        assert_eq!(life.due(Instant(0) + after), Due::KeepAlive);
        assert_eq!(life.next_deadline(), Some(Instant(0) + after));
        // Two that are lost are no death.
        let longest = limits::SELDOM_KEEPALIVE_AFTER * 6 / 5;
        assert_ne!(life.due(Instant(0) + longest * 2), Due::Close(Reason::Silent));
        let dead = Instant(0) + limits::SELDOM_SILENCE;
        assert_eq!(life.due(dead), Due::Close(Reason::Silent));
    }

    #[test]
    fn l02_p09_slow_reader_is_dropped() {
        let mut life = life();
        life.handshaken(Instant(0), vec![1], true);
        life.queued(Instant(0), 10);
        life.sent(Instant(0), 9);
        let stall = Instant(0) + limits::WRITE_STALL;
        life.received(stall, 1);
        assert_eq!(life.due(stall), Due::Close(Reason::WriteStall));
        life.forgive(Duration::from_secs(1));
        assert_ne!(life.due(stall), Due::Close(Reason::WriteStall));
    }

    #[test]
    fn l03_nobody_is_judged_for_the_time_that_we_stood_still() {
        let mut life = life();
        life.handshaken(Instant(0), vec![1], true);
        let dead = Instant(0) + limits::PEER_SILENCE;
        assert_eq!(life.due(dead), Due::Close(Reason::Silent));
        let stood = Duration::from_secs(7);
        life.forgive(stood);
        assert_ne!(life.due(dead), Due::Close(Reason::Silent));
        assert_eq!(life.due(dead + stood), Due::Close(Reason::Silent));
    }

    #[test]
    fn l09_the_first_reason_stays() {
        let mut life = life();
        life.close(Reason::Silent);
        life.close(Reason::Shutdown);
        assert_eq!(*life.state(), State::Closing { why: Reason::Silent });
        assert_eq!(life.next_deadline(), None);
    }
}
