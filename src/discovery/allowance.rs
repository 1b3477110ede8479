//! How much of something may be done: a rate, and more at once after a rest. Knows no clock.

use std::time::Duration;

use crate::time::Instant;

/// So many in a second, more at once after a rest. May be overdrawn by one take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    gap: Duration,
    burst: Duration,
    /// Taking is allowed up to `burst` after this time has come.
    spent_until: Instant,
}

impl Allowance {
    pub fn new(per_second: u32, burst: u32) -> Allowance {
        let gap = Duration::from_secs(1) / per_second.max(1);
        Allowance { gap, burst: gap * burst.max(1), spent_until: Instant(0) }
    }

    pub fn take(&mut self, now: Instant, count: u32) -> bool {
        if now < self.next() {
            return false;
        }
        self.spent_until = self.spent_until.max(now) + self.gap * count;
        true
    }

    /// When the next take will be allowed.
    pub fn next(&self) -> Instant {
        (self.spent_until + self.gap) - self.burst
    }
}
