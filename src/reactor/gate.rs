//! The gate of send memory: unsent bytes of all connections together are bounded.
//!
//! Below the mark everybody pulls frames. Above it only connections with nothing unsent may, one
//! after the other, so that peers that do not read cannot keep the others waiting. Memory is thus
//! bounded by the mark and one frame, and one more frame for each [`TURN`] in which the connection
//! whose turn it was took nothing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::ConnId;

/// How long the connection whose turn it is may keep the others waiting.
pub(super) const TURN: Duration = Duration::from_secs(1);

pub(super) struct Gate {
    mark: usize,
    used: usize,
    /// Pulled above the mark and has not sent it all.
    turn: Option<ConnId>,
    /// Have frames, nothing unsent, and no leave.
    waiting: VecDeque<ConnId>,
}

/// What the gate says to one that wants to pull.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Pull about this many bytes.
    Room(usize),
    /// Pull one frame; it is your turn, for at most [`TURN`].
    OneFrame,
    /// You will be called.
    Wait,
    /// Send first what you have.
    SendFirst,
}

impl Gate {
    pub fn new(mark: usize) -> Gate {
        Gate { mark, used: 0, turn: None, waiting: VecDeque::new() }
    }

    /// `id` has `unsent` bytes and wants to pull `want` more.
    pub fn ask(&mut self, id: ConnId, unsent: usize, want: usize) -> Leave {
        if self.used < self.mark {
            Leave::Room(want.min(self.mark - self.used))
        } else if unsent > 0 {
            Leave::SendFirst
        } else if self.turn.is_none() || self.turn == Some(id) {
            self.turn = Some(id);
            Leave::OneFrame
        } else {
            self.waiting.push_back(id);
            Leave::Wait
        }
    }

    pub fn pulled(&mut self, bytes: usize) {
        self.used += bytes;
    }

    /// `bytes` of `id` were sent or given up, and `unsent` are left.
    pub fn released(&mut self, id: ConnId, bytes: usize, unsent: usize) {
        debug_assert!(bytes <= self.used);
        self.used -= bytes;
        if unsent == 0 && self.turn == Some(id) {
            self.turn = None;
        }
    }

    /// The turn is over, sent or not.
    pub fn end_turn(&mut self) {
        self.turn = None;
    }

    /// One that waited and may ask again.
    pub fn call(&mut self) -> Option<ConnId> {
        if self.used < self.mark || self.turn.is_none() { self.waiting.pop_front() } else { None }
    }

    /// Nobody has the turn.
    pub fn idle(&self) -> bool {
        self.turn.is_none()
    }

    pub fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    #[test]
    fn above_the_mark_empty_connections_take_turns() {
        let mut gate = Gate::new(100);
        assert_eq!(gate.ask(id(1), 0, 64), Leave::Room(64));
        gate.pulled(70);
        assert_eq!(gate.ask(id(2), 0, 64), Leave::Room(30));
        gate.pulled(40);
        assert_eq!(gate.ask(id(1), 70, 64), Leave::SendFirst);
        assert_eq!(gate.ask(id(3), 0, 64), Leave::OneFrame);
        gate.pulled(10);
        assert_eq!(gate.ask(id(4), 0, 64), Leave::Wait);
        assert_eq!(gate.ask(id(5), 0, 64), Leave::Wait);
        assert_eq!(gate.call(), None);
        gate.released(id(3), 10, 0);
        assert_eq!(gate.call(), Some(id(4)));
        assert_eq!(gate.ask(id(4), 0, 64), Leave::OneFrame);
        gate.pulled(10);
        assert_eq!(gate.call(), None);
        gate.end_turn();
        assert_eq!(gate.call(), Some(id(5)));
        gate.released(id(1), 70, 0);
        assert_eq!(gate.ask(id(5), 0, 64), Leave::Room(50));
        assert_eq!(gate.used(), 50);
    }
}
