//! Timers by (owner, kind): at most one of each, rounded up to a millisecond.
//!
//! Behind it stands a hierarchical wheel, where setting a timer costs the same however many there
//! are. Moving a timer to a later time, or cancelling it, leaves its entry in the wheel alone: the
//! entry finds out when it comes up. That makes the timers that are moved with every packet free.
//! The price is that the wheel does not know when the next timer is really due, and what it offers
//! for that (`can_skip`) only says when it must be turned again: a loop that slept by it would wake
//! 93 times a second for nothing. So the next deadline comes from the table of timers, and is exact.
//!
//! Knows no clock: the time is an argument.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::quad_wheel::{QuadWheelWithOverflow, no_prune};

use crate::limits::TIMER_TICKS;
use crate::time::Instant;

/// What names a timer: a small copyable key made of an owner and a kind.
pub trait Key: Copy + Ord + Debug {}
impl<T: Copy + Ord + Debug> Key for T {}

/// Microseconds of a tick.
const TICK_US: u64 = 1000;

/// A set of timers. See the module's documentation.
pub struct Timers<K: Key> {
    wheel: QuadWheelWithOverflow<Entry<K>>,
    /// The time the wheel stands at, in ticks.
    tick: u64,
    slots: BTreeMap<K, Slot>,
    /// Timers that were set to a time already past; the wheel cannot hold those.
    overdue: Vec<K>,
    next: Next,
}

/// A timer as the wheel knows it: stale unless its slot is `armed` for the same tick.
#[derive(Debug)]
struct Entry<K> {
    key: K,
    tick: u64,
}

struct Slot {
    /// When the timer is due; `None`: cancelled, but the wheel still has an entry.
    due: Option<u64>,
    /// When the wheel's entry, or the one in `overdue`, comes up; never later than `due`.
    armed: u64,
}

/// The earliest `due` of all slots.
#[derive(Clone, Copy)]
enum Next {
    Known(Option<u64>),
    /// The earliest one was moved or cancelled: look again.
    Unknown,
}

impl<K: Key> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers::new()
    }
}

impl<K: Key> Timers<K> {
    /// No timers.
    pub fn new() -> Timers<K> {
        Timers {
            wheel: QuadWheelWithOverflow::new(no_prune::<Entry<K>>),
            tick: 0,
            slots: BTreeMap::new(),
            overdue: Vec::new(),
            next: Next::Known(None),
        }
    }

    /// Sets the timer `key`, or moves it. A time that is past is due at once.
    pub fn set(&mut self, now: Instant, key: K, at: Instant) {
        if self.slots.is_empty() {
            // Nothing is in the wheel that could be missed by jumping.
            self.tick = self.tick.max(now.0 / TICK_US);
        }
        let due = at.0.div_ceil(TICK_US);
        match self.slots.get_mut(&key) {
            Some(slot) => {
                let before = slot.due.replace(due);
                let armed = slot.armed <= due;
                self.moved(before, Some(due));
                if !armed {
                    self.arm(key, due);
                }
            }
            None => {
                self.slots.insert(key, Slot { due: Some(due), armed: due });
                self.moved(None, Some(due));
                self.arm(key, due);
            }
        }
    }

    /// Drops the timer; true if there was one.
    pub fn cancel(&mut self, key: K) -> bool {
        let Some(before) = self.slots.get_mut(&key).and_then(|slot| slot.due.take()) else {
            return false;
        };
        self.moved(Some(before), None);
        true
    }

    /// When the timer is due, rounded up to a tick.
    pub fn due(&self, key: K) -> Option<Instant> {
        self.slots.get(&key)?.due.map(instant)
    }

    /// When the earliest timer is due, rounded up to a tick.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let next = match self.next {
            Next::Known(next) => next,
            Next::Unknown => self.slots.values().filter_map(|slot| slot.due).min(),
        };
        self.next = Next::Known(next);
        next.map(instant)
    }

    /// Takes the timers that are due, earliest first (equal ones by key), and appends their keys to `out`.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<K>) {
        let to = now.0 / TICK_US;
        let mut due = Vec::new();
        for key in std::mem::take(&mut self.overdue) {
            self.came_up(key, None, to, &mut due);
        }
        while self.tick < to {
            match self.wheel.can_skip() {
                Skip::Empty => self.tick = to,
                Skip::Millis(ticks) => {
                    let skip = u64::from(ticks).min(to - self.tick);
                    self.wheel.skip(skip as u32);
                    self.tick += skip;
                }
                Skip::None => {
                    self.tick += 1;
                    for entry in self.wheel.tick() {
                        self.came_up(entry.key, Some(entry.tick), to, &mut due);
                    }
                }
            }
        }
        due.sort_unstable();
        out.extend(due.into_iter().map(|(_, key)| key));
    }

    /// Timers set and not yet due.
    pub fn len(&self) -> usize {
        self.slots.values().filter(|slot| slot.due.is_some()).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An entry of the wheel (`armed`: for this tick) or of `overdue` came up.
    fn came_up(&mut self, key: K, armed: Option<u64>, to: u64, out: &mut Vec<(u64, K)>) {
        let Some(slot) = self.slots.get(&key) else { return };
        if armed.is_some_and(|tick| tick != slot.armed) {
            return;
        }
        match slot.due {
            // Moved meanwhile, or further away than the wheel reaches.
            Some(due) if due > to.max(self.tick) => return self.arm(key, due),
            Some(due) => {
                self.moved(Some(due), None);
                out.push((due, key));
            }
            None => {}
        }
        self.slots.remove(&key);
    }

    /// Puts an entry for `due`, or as near as the wheel may hold, into the wheel.
    fn arm(&mut self, key: K, due: u64) {
        let tick = due.min(self.tick + TIMER_TICKS);
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.armed = tick;
        }
        let delay = tick.saturating_sub(self.tick);
        let entry = Entry { key, tick };
        if delay == 0 || self.wheel.insert_with_delay(entry, Duration::from_millis(delay)).is_err()
        {
            self.overdue.push(key);
        }
    }

    /// Keeps `next` true when a timer's time changes.
    fn moved(&mut self, before: Option<u64>, after: Option<u64>) {
        let Next::Known(next) = self.next else { return };
        self.next = match (next, after) {
            (None, after) => Next::Known(after),
            (Some(next), Some(after)) if after <= next => Next::Known(Some(after)),
            (Some(next), _) if before == Some(next) => Next::Unknown,
            (next, _) => Next::Known(next),
        };
    }
}

fn instant(tick: u64) -> Instant {
    Instant(tick.saturating_mul(TICK_US))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Instant {
        Instant(ms * 1000)
    }

    fn expired(timers: &mut Timers<u32>, now: Instant) -> Vec<u32> {
        let mut out = Vec::new();
        timers.expire(now, &mut out);
        out
    }

    #[test]
    fn rounds_up_and_never_fires_early() {
        let mut timers = Timers::new();
        timers.set(Instant(10), 1, Instant(1001));
        assert_eq!(timers.next_deadline(), Some(Instant(2000)));
        assert_eq!(expired(&mut timers, Instant(1999)), [0u32; 0]);
        assert_eq!(expired(&mut timers, Instant(2000)), [1]);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_time_that_is_past_is_due_at_once() {
        let mut timers = Timers::new();
        timers.set(ms(500), 1, ms(7));
        assert_eq!(timers.next_deadline(), Some(ms(7)));
        assert_eq!(expired(&mut timers, ms(500)), [1]);
        timers.set(ms(500), 1, ms(7));
        timers.set(ms(500), 1, ms(501));
        assert_eq!(expired(&mut timers, ms(500)), [0u32; 0]);
        assert_eq!(expired(&mut timers, ms(501)), [1]);
    }

    #[test]
    fn delays_beyond_the_wheel_are_exact() {
        let mut timers = Timers::new();
        let far = ms((1 << 33) + 17);
        timers.set(ms(3), 1, far);
        timers.set(ms(3), 2, Instant(u64::MAX));
        let mut now = ms(3);
        while now < Instant(far.0 - 1) {
            now = Instant((now.0 + (1 << 40)).min(far.0 - 1));
            assert_eq!(expired(&mut timers, now), [0u32; 0], "at {now:?}");
        }
        assert_eq!(timers.next_deadline(), Some(far));
        assert_eq!(expired(&mut timers, far), [1]);
    }

    #[test]
    fn moving_and_cancelling_leave_one_entry_in_the_wheel() {
        let mut timers = Timers::new();
        for i in 0..100_000 {
            timers.set(ms(i / 1000), 1, ms(30_000 + i / 1000));
            if i % 3 == 0 {
                timers.cancel(1);
            }
        }
        assert_eq!(timers.slots.len(), 1);
        assert!(timers.overdue.is_empty());
        assert_eq!(expired(&mut timers, ms(30_098)), [0u32; 0]);
        assert_eq!(expired(&mut timers, ms(40_000)), [0u32; 0]);
        assert!(timers.slots.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Cancel(u32),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let span = prop_oneof![0..5_000u64, 0..2_000_000u64, 0..(1u64 << 34), 0..(1u64 << 44)];
        prop_oneof![
            4 => (0..12u32, span.clone()).prop_map(|(key, us)| Step::Set(key, us)),
            1 => (0..12u32).prop_map(Step::Cancel),
            3 => span.prop_map(Step::Advance),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(start in 0..(1u64 << 40), steps in prop::collection::vec(step(), 1..200)) {
            let mut timers = Timers::new();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = Instant(start);
            for step in steps {
                match step {
                    Step::Set(key, us) => {
                        // Sometimes in the past.
                        let at = Instant((now.0 + us).saturating_sub(2_000));
                        timers.set(now, key, at);
                        model.insert(key, at.0.div_ceil(1000));
                    }
                    Step::Cancel(key) => {
                        prop_assert_eq!(timers.cancel(key), model.remove(&key).is_some());
                    }
                    Step::Advance(us) => {
                        now = Instant(now.0 + us);
                        let mut want: Vec<_> = model
                            .iter()
                            .filter(|(_, tick)| **tick * 1000 <= now.0)
                            .map(|(key, tick)| (*tick, *key))
                            .collect();
                        want.sort_unstable();
                        want.iter().for_each(|(_, key)| { model.remove(key); });
                        let want: Vec<u32> = want.into_iter().map(|(_, key)| key).collect();
                        prop_assert_eq!(expired(&mut timers, now), want);
                    }
                }
                prop_assert_eq!(timers.next_deadline(), model.values().min().map(|t| Instant(t * 1000)));
                prop_assert_eq!(timers.len(), model.len());
            }
        }
    }
}
