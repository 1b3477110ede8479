//! How bad the world is: every fault's rate, and what links are like, drawn from the seed.

use gannet::rng::Rng;

/// Rates are "once in so many"; 0 is never.
#[derive(Clone, Debug)]
pub struct Weather {
    /// One way, for each pair of machines drawn between these, in microseconds.
    pub latency_us: (u64, u64),
    /// Bytes a second and direction.
    pub rate: u64,
    /// Bytes that arrive together.
    pub segment: usize,
    /// Bytes that one direction of a stream holds before the writer has to wait.
    pub window: usize,
    /// Streams whose reads (or writes) move one byte at a time.
    pub one_byte: u64,
    /// Reads and writes that move only a part.
    pub short: u64,
    /// Calls that answer EINTR.
    pub interrupted: u64,
    /// Reads and writes at which the connection is reset.
    pub reset: u64,
    /// Segments after which a stream delivers nothing any more and nobody is told.
    pub blackhole: u64,
    /// Segments that are lost once and come late, and all behind them too.
    pub retransmit: u64,
    /// Dials that fail at once or are refused although somebody listens.
    pub refuse: u64,
    /// Accepts and dials for which no descriptor is left.
    pub no_descriptor: u64,
    /// Waits that report something that is not so, or only a part of what is.
    pub spurious: u64,
    pub datagram_loss: u64,
    pub datagram_twice: u64,
    pub datagram_late: u64,
    /// Microseconds that a turn takes, at most.
    pub turn_us: u64,
}

impl Weather {
    /// A fast network without faults.
    pub fn calm() -> Weather {
        Weather {
            latency_us: (50, 500),
            rate: 100_000_000,
            segment: 1460,
            window: 64 * 1024,
            one_byte: 0,
            short: 0,
            interrupted: 0,
            reset: 0,
            blackhole: 0,
            retransmit: 0,
            refuse: 0,
            no_descriptor: 0,
            spurious: 0,
            datagram_loss: 0,
            datagram_twice: 0,
            datagram_late: 0,
            turn_us: 50,
        }
    }

    /// Whatever the seed says: each fault is there or not, often or seldom.
    pub fn draw(rng: &mut Rng) -> Weather {
        let latency = 20 << rng.below(12);
        Weather {
            latency_us: (latency, latency * rng.between(1, 8)),
            rate: 50_000 << rng.below(12),
            segment: [100, 536, 1460, 9000, 65_536][rng.below(5) as usize],
            window: [300, 4096, 16 * 1024, 64 * 1024, 256 * 1024][rng.below(5) as usize],
            one_byte: maybe(rng, 3, 20),
            short: maybe(rng, 2, 100),
            interrupted: maybe(rng, 5, 500),
            reset: maybe(rng, 200, 5000),
            blackhole: maybe(rng, 500, 5000),
            retransmit: maybe(rng, 50, 2000),
            refuse: maybe(rng, 2, 20),
            no_descriptor: maybe(rng, 5, 50),
            spurious: maybe(rng, 2, 50),
            datagram_loss: maybe(rng, 2, 20),
            datagram_twice: maybe(rng, 2, 20),
            datagram_late: maybe(rng, 2, 20),
            turn_us: 5 << rng.below(8),
        }
    }

    /// The same links without their faults.
    pub fn without_faults(&self) -> Weather {
        Weather {
            latency_us: self.latency_us,
            rate: self.rate,
            segment: self.segment,
            window: self.window,
            turn_us: self.turn_us,
            ..Weather::calm()
        }
    }
}

/// Half the time 0, else between `often` and `seldom`.
fn maybe(rng: &mut Rng, often: u64, seldom: u64) -> u64 {
    if rng.one_in(2) { 0 } else { rng.between(often, seldom) }
}
