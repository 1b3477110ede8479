//! What a run tells its user: progress on a terminal, a line an event in a pipe, JSON lines.
//!
//! Standard output may be slow or stuck; the loop may not. A [`Printer`] keeps a bounded amount of
//! text and writes only what the kernel takes at once; while it is full it takes no more events, so
//! that the subscriber's queue marks the gap.

use crate::daemon::config::Print;
use crate::node::event::{Event, Interest};
use crate::node::status::Status;
use crate::time::Instant;

/// Prints events. Between turns: `while printer.room() { printer.event(next) }`, then `pump`.
pub struct Printer {
    print: Print,
}

impl Printer {
    pub fn new(print: Print) -> Printer {
        Printer { print }
    }

    /// What to subscribe to.
    pub fn interest(&self) -> Interest {
        Interest::NOTABLE
    }

    /// Whether another event can be taken.
    pub fn room(&self) -> bool {
        true
    }

    pub fn event(&mut self, _now: Instant, _event: &Event) {}

    /// SIGUSR1.
    pub fn status(&mut self, _status: &Status) {}

    /// Blocks of a bare feed for standard output.
    pub fn block(&mut self, _bytes: &[u8], _after: &[u8]) {}

    /// Writes what can be written without waiting. True: something is left, call again soon.
    pub fn pump(&mut self) -> bool {
        let _ = self.print;
        false
    }

    /// At the end: writes all, waiting if need be.
    pub fn finish(self) {}
}
