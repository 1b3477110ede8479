//! Rates that bytes may not exceed: what passes is paid for with time. Knows no socket; who may pass, and
//! who waits, is told by `Reactor` in `limited.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::ConnId;
use crate::limits;
use crate::time::Instant;

/// Bytes a second; `None`: as many as there are. Sockets of this machine (Unix) are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of all connections together.
    pub upload_rate: Option<u64>,
    pub download_rate: Option<u64>,
    /// Of each connection.
    pub peer_upload_rate: Option<u64>,
    pub peer_download_rate: Option<u64>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Up,
    Down,
}

impl Rates {
    pub(super) fn all(&self, way: Way) -> Option<u64> {
        match way {
            Way::Up => self.upload_rate,
            Way::Down => self.download_rate,
        }
    }

    pub(super) fn each(&self, way: Way) -> Option<u64> {
        match way {
            Way::Up => self.peer_upload_rate,
            Way::Down => self.peer_download_rate,
        }
    }
}

/// Up to when what has passed is paid for: a debt in time rather than in bytes, so that another rate from
/// now on changes nothing of what was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Debt {
    /// Nanoseconds, as `Instant` counts microseconds.
    paid: u64,
}

const SECOND: u128 = 1_000_000_000;

/// The time in which so many bytes pass, in nanoseconds.
fn time(bytes: usize, rate: u64) -> u64 {
    u64::try_from(bytes as u128 * SECOND / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

fn bytes(ns: u64, rate: u64) -> usize {
    usize::try_from(u128::from(ns) * u128::from(rate) / SECOND).unwrap_or(usize::MAX)
}

fn nanoseconds(now: Instant) -> u64 {
    now.0.saturating_mul(1000)
}

/// Bytes that pass in one go: as many as the rate lets through in some milliseconds, so that the loop is not
/// woken for a few.
pub(super) fn piece(rate: u64) -> usize {
    let some = bytes(limits::RATE_PIECE.as_nanos() as u64, rate);
    let second = usize::try_from(rate).unwrap_or(usize::MAX).max(limits::RATE_TRICKLE_PIECE);
    some.clamp(second.min(limits::RATE_PIECE_BYTES), limits::WRITE_QUANTUM_BYTES)
}

/// How far ahead of its payment the rate lets bytes pass, in nanoseconds: what was not used in the last
/// moments is not lost.
fn ahead(rate: u64) -> u64 {
    time(2 * piece(rate), rate).max(limits::RATE_AHEAD.as_nanos() as u64)
}

impl Debt {
    /// Whether so many bytes may pass now.
    fn fits(&self, now: Instant, rate: u64, bytes: usize) -> bool {
        let (time, ahead) = (time(bytes, rate), ahead(rate));
        time <= ahead && self.paid.saturating_add(time) <= nanoseconds(now).saturating_add(ahead)
    }

    /// Bytes that may pass now; at least so many, or none.
    fn room(&self, now: Instant, rate: u64, least: usize) -> usize {
        if !self.fits(now, rate, least) {
            return 0;
        }
        let owed = self.paid.saturating_sub(nanoseconds(now));
        bytes(ahead(rate).saturating_sub(owed), rate).max(least)
    }

    /// When so many bytes may pass, at most two pieces.
    fn opens(&self, rate: u64, bytes: usize) -> Instant {
        let keep = ahead(rate).saturating_sub(time(bytes, rate));
        Instant(self.paid.saturating_sub(keep).div_ceil(1000))
    }

    /// So many bytes have passed. What is owed is forgotten beyond `most`: it was let pass although there
    /// was no room for it.
    fn spend(&mut self, now: Instant, rate: u64, bytes: usize, most: Duration) {
        let now = nanoseconds(now);
        let debt = ahead(rate).saturating_add(most.as_nanos() as u64);
        let most = now.saturating_add(debt).max(self.paid);
        self.paid = self.paid.max(now).saturating_add(time(bytes, rate)).min(most);
    }
}

/// The bytes of all connections in one direction, and who waits to let some pass.
#[derive(Debug, Default)]
pub(super) struct Line {
    debt: Debt,
    waiting: VecDeque<ConnId>,
    /// Connections that were called and have not had their turn yet: room for a piece is theirs.
    called: usize,
}

impl Line {
    /// Bytes that one may let pass which comes now; 0: it has to wait for its turn.
    pub fn room(&self, now: Instant, rate: u64) -> usize {
        let piece = piece(rate);
        if !self.waiting.is_empty() {
            return 0;
        }
        let taken = self.called * piece;
        self.debt.room(now, rate, taken + piece).saturating_sub(taken)
    }

    pub fn wait(&mut self, id: ConnId) {
        self.waiting.push_back(id);
    }

    pub fn leave(&mut self, id: ConnId) {
        self.waiting.retain(|waits| *waits != id);
    }

    /// Nobody waits any more, and nothing is owed; those that were called have their turn still.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.debt = Debt::default();
    }

    /// The next one in the line, if there is room for it. Who was called says `turn_over` once.
    pub fn call(&mut self, now: Instant, rate: u64) -> Option<ConnId> {
        if !self.debt.fits(now, rate, (self.called + 1) * piece(rate)) {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.called += 1;
        Some(next)
    }

    pub fn turn_over(&mut self) {
        debug_assert!(self.called > 0);
        self.called = self.called.saturating_sub(1);
    }

    /// When the next one can be called, if nobody is who could be the first to let it.
    pub fn next(&self, rate: u64) -> Option<Instant> {
        let waits = self.called == 0 && !self.waiting.is_empty();
        waits.then(|| self.debt.opens(rate, piece(rate)))
    }

    pub fn spend(&mut self, now: Instant, rate: u64, bytes: usize) {
        self.debt.spend(now, rate, bytes, limits::RATE_DEBT);
    }

    pub fn waits(&self, id: ConnId) -> bool {
        self.waiting.contains(&id)
    }

    pub fn called(&self) -> usize {
        self.called
    }
}

/// What one connection has let pass in one direction, and how it waits.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Under the rate of each connection.
    own: Debt,
    /// Under the least that flows whatever the rates say.
    floor: Debt,
    /// Bytes that have passed, up to those that a connection begins with.
    passed: u64,
    pub state: Waits,
}

/// What a connection waits for in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Waits {
    #[default]
    No,
    /// Its own rate.
    Alone,
    /// Its turn in the line of all.
    InLine,
    /// The same, but it may try: the least that flows is due.
    InLineDue,
    /// Its turn has come, for so many bytes.
    Called(usize),
}

impl Waits {
    pub fn is_shut(self) -> bool {
        matches!(self, Waits::Alone | Waits::InLine)
    }

    pub fn is_called(self) -> bool {
        matches!(self, Waits::Called(_))
    }

    pub fn is_in_line(self) -> bool {
        matches!(self, Waits::InLine | Waits::InLineDue)
    }
}

impl Share {
    /// Bytes that may pass under the rate of each.
    pub fn room(&self, now: Instant, rate: Option<u64>) -> usize {
        rate.map_or(usize::MAX, |rate| self.own.room(now, rate, piece(rate)))
    }

    /// The least that flows, in bytes a second, and in what pieces: so much that a handshake comes to its
    /// end, then so much that nobody is taken for dead.
    fn least(&self) -> (u64, usize) {
        match self.passed < limits::RATE_CREDIT {
            true => (limits::RATE_FLOOR, limits::RATE_FLOOR_PIECE),
            false => (limits::RATE_TRICKLE, limits::RATE_TRICKLE_PIECE),
        }
    }

    /// Bytes of the least that flows.
    pub fn floor(&self, now: Instant) -> usize {
        let (rate, piece) = self.least();
        let credit = limits::RATE_CREDIT.saturating_sub(self.passed) as usize;
        self.floor.room(now, rate, piece).min(credit.max(piece))
    }

    /// Nothing is owed under the rate of each any more, which is another one now.
    pub fn forget(&mut self) {
        self.own = Debt::default();
    }

    /// When it may let something pass by itself: under its own rate, or as the least.
    pub fn opens(&self, rate: Option<u64>) -> Instant {
        let (least, of_least) = self.least();
        let least = self.floor.opens(least, of_least);
        match rate {
            Some(rate) if self.state == Waits::Alone => {
                least.min(self.own.opens(rate, piece(rate)))
            }
            _ => least,
        }
    }

    pub fn spend(&mut self, now: Instant, rate: Option<u64>, bytes: usize) {
        if let Some(rate) = rate {
            self.own.spend(now, rate, bytes, limits::RATE_DEBT);
        }
        self.floor.spend(now, self.least().0, bytes, limits::RATE_FLOOR_DEBT);
        self.passed = self.passed.saturating_add(bytes as u64).min(limits::RATE_CREDIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    proptest! {
        /// Whenever something may pass, all of it does; over any span it is what the rate says and what
        /// it may be ahead.
        #[test]
        fn what_passes_is_what_the_rate_says(
            rate in prop_oneof![1u64..10_000, 1u64..10_000_000, 1u64..20_000_000_000],
            late in 0u64..1000,
            most in 1usize..100_000,
        ) {
            let (mut debt, begin) = (Debt::default(), Instant(5_000_000));
            let (mut now, mut passed, piece) = (begin, 0u128, piece(rate));
            for _ in 0..200 {
                let opens = debt.opens(rate, piece);
                now = now.max(opens + Duration::from_micros(late));
                let room = debt.room(now, rate, piece);
                prop_assert!(room >= piece, "{room} of {piece} when it opens");
                let bytes = room.min(most.max(piece));
                debt.spend(now, rate, bytes, limits::RATE_DEBT);
                passed += bytes as u128;
                let ns = u128::from(nanoseconds(now) - nanoseconds(begin) + ahead(rate));
                // (Each time it is spent, less than a nanosecond is lost.)
                let allowed = (ns + 200) * u128::from(rate) / SECOND + 1;
                prop_assert!(passed <= allowed, "{passed} of {allowed}");
            }
            let before = Instant(debt.opens(rate, piece).0.saturating_sub(1));
            prop_assert!(before <= now || debt.room(before, rate, piece) == 0, "it opens before it says");
        }
    }

    #[test]
    fn an_own_debt_is_forgotten_after_a_while() {
        let (mut debt, now) = (Debt::default(), Instant(1_000_000));
        for _ in 0..1000 {
            debt.spend(now, 1000, 1000, limits::RATE_DEBT);
        }
        let opens = debt.opens(1000, piece(1000));
        let most = limits::RATE_DEBT + Duration::from_nanos(time(piece(1000), 1000) + 1000);
        assert!(opens <= now + most && opens > now + limits::RATE_DEBT, "{opens:?}");
    }

    #[test]
    fn what_flows_in_spite_of_the_rates_is_a_handshake_and_then_a_trickle() {
        let (mut share, mut now) = (Share::default(), Instant(1_000_000));
        let mut passed = Vec::new();
        let end = now + Duration::from_secs(100);
        while now <= end {
            let room = share.floor(now);
            assert!(room > 0, "it opens when it says");
            share.spend(now, None, room);
            passed.push((now, room as u64));
            now = share.opens(None);
        }
        let until = |seconds: u64| {
            let last = Instant(1_000_000) + Duration::from_secs(seconds);
            passed.iter().filter(|(at, _)| *at <= last).map(|(_, bytes)| bytes).sum::<u64>()
        };
        assert!(until(4) >= limits::RATE_CREDIT, "{passed:?}");
        let trickle = until(100) - limits::RATE_CREDIT;
        assert!(trickle <= 100 * limits::RATE_TRICKLE + 100, "{passed:?}");
        // Whatever flowed besides, there is something in less than half the time in which a peer is silent.
        share.spend(now, None, 1 << 20);
        assert!(share.opens(None) <= now + limits::PEER_SILENCE / 2, "{:?}", share.opens(None));
    }

    #[test]
    fn who_waits_is_called_in_order_and_nobody_comes_before() {
        let (rate, now) = (1_000_000, Instant(1_000_000));
        let piece = piece(rate);
        let mut line = Line::default();
        let all = line.room(now, rate);
        assert!(all >= 2 * piece);
        line.spend(now, rate, all);
        assert_eq!(line.room(now, rate), 0);
        (1..=3).for_each(|slot| line.wait(id(slot)));
        assert_eq!(line.call(now, rate), None);
        let then = line.next(rate).expect("somebody waits");
        assert_eq!(line.call(then, rate), Some(id(1)));
        assert_eq!((line.call(then, rate), line.next(rate)), (None, None));
        assert_eq!(line.room(then, rate), 0, "others wait");
        line.spend(then, rate, 1);
        line.turn_over();
        // It did not need all.
        let then = line.next(rate).expect("somebody waits");
        assert_eq!(line.call(then, rate), Some(id(2)));
        line.leave(id(3));
        line.turn_over();
        assert_eq!((line.call(then, rate), line.next(rate)), (None, None));
    }
}
