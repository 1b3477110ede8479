//! A set of numbers as sorted disjoint ranges.

use std::collections::BTreeMap;

/// Numbers 0 to 2^64 - 2, as few ranges as possible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start → end (exclusive); never touching or overlapping.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    pub fn new() -> RangeSet {
        RangeSet::default()
    }

    /// Adds `start..start + len`.
    pub fn insert(&mut self, start: u64, len: u64) {
        let (mut start, mut end) = (start, start.saturating_add(len));
        if start == end {
            return;
        }
        if let Some((&first, &last)) = self.ranges.range(..=start).next_back()
            && last >= start
        {
            start = first;
            end = end.max(last);
        }
        while let Some((&first, &last)) = self.ranges.range(start..=end).next() {
            end = end.max(last);
            self.ranges.remove(&first);
        }
        self.ranges.insert(start, end);
    }

    /// Takes `start..start + len` out.
    pub fn remove(&mut self, start: u64, len: u64) {
        let end = start.saturating_add(len);
        if start == end {
            return;
        }
        if let Some((&first, &last)) = self.ranges.range(..start).next_back()
            && last > start
        {
            self.ranges.insert(first, start);
            if last > end {
                self.ranges.insert(end, last);
            }
        }
        while let Some((&first, &last)) = self.ranges.range(start..end).next() {
            self.ranges.remove(&first);
            if last > end {
                self.ranges.insert(end, last);
            }
        }
    }

    pub fn contains(&self, at: u64) -> bool {
        self.end_of(at).is_some()
    }

    /// The end (exclusive) of the range that contains `at`.
    pub fn end_of(&self, at: u64) -> Option<u64> {
        self.ranges.range(..=at).next_back().map(|(_, &end)| end).filter(|&end| end > at)
    }

    /// The first number at or after `from` that is in the set.
    pub fn next(&self, from: u64) -> Option<u64> {
        if self.contains(from) {
            return Some(from);
        }
        self.ranges.range(from..).next().map(|(&start, _)| start)
    }

    /// The ranges as (start, length), ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(&start, &end)| (start, end - start))
    }

    /// The parts of the ranges that lie in `start..end`, as (start, length).
    pub fn within(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = match self.ranges.range(..=start).next_back() {
            Some((&first, _)) => first,
            None => start,
        };
        self.ranges.range(first..end.max(first)).filter_map(move |(&a, &b)| {
            let (a, b) = (a.max(start), b.min(end));
            (a < b).then(|| (a, b - a))
        })
    }

    /// How many numbers of `start..start + len` are in the set.
    pub fn covered(&self, start: u64, len: u64) -> u64 {
        self.within(start, start.saturating_add(len)).map(|(_, len)| len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.iter().map(|(_, len)| len).sum()
    }

    /// How many ranges those are.
    pub fn ranges(&self) -> usize {
        self.ranges.len()
    }

    pub fn clear(&mut self) {
        self.ranges.clear();
    }
}

impl FromIterator<(u64, u64)> for RangeSet {
    fn from_iter<T: IntoIterator<Item = (u64, u64)>>(ranges: T) -> RangeSet {
        let mut set = RangeSet::new();
        ranges.into_iter().for_each(|(start, len)| set.insert(start, len));
        set
    }
}
