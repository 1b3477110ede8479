//! Figures that adapt: bytes a second, answer times, how many requests are worth having out.

use std::time::Duration;

use crate::limits;
use crate::time::Instant;

/// A smoothed rate, in units a second, over about a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    per_second: u64,
    total: u64,
    /// Of the running sample.
    amount: u64,
    since: Instant,
    measured: bool,
}

const SAMPLE: Duration = Duration::from_millis(100);

impl Rate {
    pub(super) fn add(&mut self, now: Instant, amount: u64) {
        self.total += amount;
        if self.since == Instant::default() {
            self.since = now;
        }
        self.settle(now);
        self.amount += amount;
    }

    /// Ends the running sample if it is old enough. A long silence counts as zeros.
    fn settle(&mut self, now: Instant) {
        let age = now.since(self.since);
        if age < SAMPLE {
            return;
        }
        let sample = (u128::from(self.amount) * 1_000_000 / age.as_micros().max(1)) as u64;
        let eighths = (age.as_millis() as u64 / 100).clamp(1, 8);
        self.per_second = if self.measured {
            (self.per_second * (8 - eighths) + sample * eighths) / 8
        } else {
            sample
        };
        self.measured = true;
        self.amount = 0;
        self.since = now;
    }

    pub(super) fn per_second(&self, now: Instant) -> u64 {
        let mut seen = self.clone();
        seen.settle(now);
        seen.per_second
    }

    /// At the last sample's end; `None` before the first.
    pub(super) fn last(&self) -> Option<u64> {
        self.measured.then_some(self.per_second)
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

/// Times from request to answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Delay {
    /// Smoothed, µs; 0 before the first answer.
    smooth: u64,
    /// The shortest lately, µs: the way without our own queue on it.
    shortest: u64,
    shortest_at: Instant,
}

/// After this the shortest delay is let grow by a quarter, should the way have become longer.
const SHORTEST_FOR: Duration = Duration::from_secs(10);

impl Delay {
    pub(super) fn add(&mut self, now: Instant, sample: Duration) {
        let us = (sample.as_micros() as u64).max(1);
        self.smooth = if self.smooth == 0 { us } else { (self.smooth * 7 + us) / 8 };
        if now.since(self.shortest_at) > SHORTEST_FOR && self.shortest != 0 {
            self.shortest += self.shortest / 4 + 1;
            self.shortest_at = now;
        }
        if self.shortest == 0 || us < self.shortest {
            (self.shortest, self.shortest_at) = (us, now);
        }
    }

    /// Smoothed; `None` before the first answer.
    pub(super) fn smooth(&self) -> Option<Duration> {
        (self.smooth != 0).then(|| Duration::from_micros(self.smooth))
    }

    pub(super) fn shortest(&self) -> Duration {
        Duration::from_micros(self.shortest)
    }
}

/// How many requests one peer may have out (R01), from rate × delay.
#[derive(Clone, Debug)]
pub(super) struct Depth {
    now: usize,
    start: usize,
    most: usize,
    tiny: usize,
}

impl Depth {
    pub(super) fn new((start, most): (usize, usize), tiny: usize) -> Depth {
        Depth { now: start, start, most, tiny: tiny.max(most) }
    }

    pub(super) fn get(&self) -> usize {
        self.now
    }

    /// An answer came: room for one more while the peer answers faster than requests would pile
    /// up at it for `limits::REQUEST_QUEUE`, one fewer otherwise.
    pub(super) fn answered(&mut self, blocks_per_second: Option<u64>, delay: &Delay, block: u64) {
        let most = if block <= limits::TINY_BLOCK_BYTES { self.tiny } else { self.most };
        let aim = match blocks_per_second {
            Some(rate) => {
                let span = delay.shortest() + limits::REQUEST_QUEUE;
                (u128::from(rate) * span.as_micros() / 1_000_000) as usize
            }
            None => most.min(4 * self.start),
        };
        let aim = aim.clamp(self.start.min(most), most);
        match self.now.cmp(&aim) {
            std::cmp::Ordering::Less => self.now += 1,
            std::cmp::Ordering::Greater => self.now -= 1,
            std::cmp::Ordering::Equal => {}
        }
    }
}

/// When a request counts as unanswered (R02): `unanswered` bytes are on their way with it, and
/// each time-out in a row doubles the patience.
pub(super) fn timeout(delay: &Delay, rate: Option<u64>, unanswered: u64, in_row: u32) -> Duration {
    let base = match delay.smooth() {
        Some(smooth) => {
            let rate = rate.unwrap_or(0).max(limits::SLOW_PEER_BYTES_PER_SECOND);
            let transfer = u128::from(unanswered) * 1_000_000 / u128::from(rate);
            smooth * 4 + Duration::from_micros(transfer as u64)
        }
        None => limits::REQUEST_TIMEOUT_FIRST,
    };
    let base = base.clamp(limits::REQUEST_TIMEOUT_MIN, limits::REQUEST_TIMEOUT_MAX);
    (base * (1 << in_row.min(5))).min(limits::REQUEST_TIMEOUT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r01_depth_grows_to_what_the_way_holds() {
        let at = |ms: u64| Instant(ms * 1000);
        let run = |blocks_per_second: u64, size: u64| {
            let (mut depth, mut delay, mut rate) =
                (Depth::new((4, 64), 256), Delay::default(), Rate::default());
            for n in 0..2000_u64 {
                let now = at(1 + n * 1000 / blocks_per_second);
                delay.add(now, Duration::from_millis(50));
                rate.add(now, 1);
                depth.answered(rate.last(), &delay, size);
                assert!(depth.get() >= 4);
            }
            depth.get()
        };
        assert_eq!(run(1, 65536), 4);
        assert!((20..=40).contains(&run(200, 65536)), "{}", run(200, 65536));
        assert_eq!(run(1000, 65536), 64);
        assert!(run(1000, 100) > 100);
    }

    #[test]
    fn r02_timeout_is_four_delays_and_the_transfer_within_bounds() {
        let mut delay = Delay::default();
        assert_eq!(timeout(&delay, None, 0, 0), limits::REQUEST_TIMEOUT_FIRST);
        delay.add(Instant(1), Duration::from_millis(100));
        assert_eq!(timeout(&delay, Some(1 << 20), 65536, 0), limits::REQUEST_TIMEOUT_MIN);
        let slow = timeout(&delay, Some(100_000), 1_000_000, 0);
        assert_eq!(slow, Duration::from_millis(10_400));
        assert_eq!(timeout(&delay, Some(100_000), 1_000_000, 1), slow * 2);
        assert_eq!(timeout(&delay, Some(1), u64::MAX / 2, 9), limits::REQUEST_TIMEOUT_MAX);
    }

    #[test]
    fn r01_rate_follows_and_fades() {
        let mut rate = Rate::default();
        for n in 1..=200 {
            rate.add(Instant(n * 10_000), 1000);
        }
        let steady = rate.per_second(Instant(2_000_000));
        assert!((90_000..=110_000).contains(&steady), "{steady}");
        assert!(rate.per_second(Instant(4_000_000)) < steady / 10);
        assert_eq!(rate.total(), 200_000);
    }
}
