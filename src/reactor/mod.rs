//! The poll loop.

pub mod engine;
pub mod timers;
pub mod tuning;

pub use engine::Engine;
pub use tuning::Tuning;

use std::io;

use crate::store::disk::Disk;
use crate::sys::Sys;
use crate::time::Instant;

/// When the loop has something to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// At once: the next turn does not sleep.
    Now,
    /// At this time, if no event comes first.
    At(Instant),
    /// Only when an event comes.
    Never,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rounds of the loop.
    pub turns: u64,
    /// Turns that slept before they began.
    pub wakeups: u64,
    /// Cost units of all turns (`limits::COST_OF_CALL`).
    pub cost: u64,
    /// Cost units of the longest turn.
    pub longest_turn: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub reads: u64,
    pub writes: u64,
    pub accepted: u64,
    pub dialed: u64,
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    /// Datagrams that the socket would not take.
    pub datagrams_dropped: u64,
}

/// The poll loop over a system and an engine.
pub struct Reactor<S: Sys, E: Engine> {
    sys: S,
    engine: E,
}

impl<S: Sys, E: Engine> Reactor<S, E> {
    pub fn new(sys: S, engine: E, _tuning: Tuning) -> Reactor<S, E> {
        Reactor { sys, engine }
    }
    /// One round: sleeps until there is something to do (not at all if there is at once), then does
    /// a bounded share of it. Returns the exit code once the engine asked for the end.
    pub fn turn(&mut self) -> io::Result<Option<i32>> {
        todo!()
    }
    /// Turns until the engine asks for the end; returns its exit code.
    pub fn run(&mut self) -> io::Result<i32> {
        todo!()
    }
    /// When the next turn is needed; the simulator schedules by it.
    pub fn wakeup(&mut self) -> Wakeup {
        todo!()
    }
    /// Lends the engine to the embedder, then carries out what it wants done.
    pub fn with<R>(&mut self, _call: impl FnOnce(&mut E, Instant, &mut dyn Disk) -> R) -> R {
        todo!()
    }
    pub fn engine(&self) -> &E {
        &self.engine
    }
    pub fn sys(&mut self) -> &mut S {
        &mut self.sys
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
    /// Checks what must hold between turns; for the simulator and debug builds.
    pub fn check(&self) {
        todo!()
    }
}
