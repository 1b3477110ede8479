//! Sets of block and node numbers: a bitfield that costs what is mixed in it and nothing for what
//! is all there or all missing, and a plain set of ranges. Knows no feed, no peer, no wire format.

mod ranges;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bit_set::BitSet;

pub use ranges::RangeSet;

use crate::limits::BITS_PER_PAGE as PAGE;

/// Bits numbered 0 to 2^64 - 1, all clear at first.
///
/// Pages of `limits::BITS_PER_PAGE` bits that are wholly set are kept as ranges, wholly clear ones
/// not at all; so a feed that is complete, or of which a stranger claims 2^50 blocks, costs bytes.
#[derive(Clone, Debug, Default)]
pub struct Bitfield {
    /// Page numbers whose bits are all set.
    full: RangeSet,
    /// The pages with set and clear bits.
    mixed: BTreeMap<u64, Box<Page>>,
    /// Every bit below is set; the true prefix may be longer until `prefix` is asked.
    known_prefix: u64,
    count: u64,
}

/// A page with at least one bit set and one clear.
#[derive(Clone, Debug, Default)]
struct Page {
    bits: BitSet<u64>,
    ones: u32,
}

impl Page {
    fn full() -> Page {
        let mut page = Page { bits: BitSet::default(), ones: PAGE as u32 };
        page.bits.extend(0..PAGE as usize);
        page
    }

    fn word(&self, at: u64) -> u64 {
        self.bits.get_ref().storage().get(at as usize).copied().unwrap_or(0)
    }

    /// The first bit at or after `from` that is `value`, if there is one in the page.
    fn next(&self, from: u64, value: bool) -> Option<u64> {
        let mut at = from / 64;
        let mut mask = u64::MAX << (from % 64);
        while at < PAGE / 64 {
            let word = if value { self.word(at) } else { !self.word(at) } & mask;
            if word != 0 {
                return Some(at * 64 + u64::from(word.trailing_zeros()));
            }
            mask = u64::MAX;
            at += 1;
        }
        None
    }

    fn count(&self, from: u64, to: u64) -> u64 {
        let mut sum = 0;
        let mut at = from;
        while at < to {
            let end = (at / 64 * 64 + 64).min(to);
            let width = end - at;
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            sum += u64::from((self.word(at / 64) >> (at % 64) & mask).count_ones());
            at = end;
        }
        sum
    }
}

impl Bitfield {
    pub fn new() -> Bitfield {
        Bitfield::default()
    }

    pub fn get(&self, bit: u64) -> bool {
        if bit < self.known_prefix {
            return true;
        }
        match self.mixed.get(&(bit / PAGE)) {
            Some(page) => page.bits.contains((bit % PAGE) as usize),
            None => self.full.contains(bit / PAGE),
        }
    }

    /// Sets a bit. Whether that changed it.
    pub fn set(&mut self, bit: u64) -> bool {
        if self.get(bit) {
            return false;
        }
        let number = bit / PAGE;
        let page = self.mixed.entry(number).or_default();
        page.bits.insert((bit % PAGE) as usize);
        page.ones += 1;
        if u64::from(page.ones) == PAGE {
            self.mixed.remove(&number);
            self.full.insert(number, 1);
        }
        self.count += 1;
        if bit == self.known_prefix {
            self.known_prefix = self.next_clear(bit);
        }
        true
    }

    /// Clears a bit. Whether that changed it.
    pub fn clear(&mut self, bit: u64) -> bool {
        if !self.get(bit) {
            return false;
        }
        let number = bit / PAGE;
        if self.full.contains(number) {
            self.full.remove(number, 1);
            self.mixed.insert(number, Box::new(Page::full()));
        }
        if let Some(page) = self.mixed.get_mut(&number) {
            page.bits.remove((bit % PAGE) as usize);
            page.ones -= 1;
            if page.ones == 0 {
                self.mixed.remove(&number);
            }
        }
        self.count -= 1;
        self.known_prefix = self.known_prefix.min(bit);
        true
    }

    /// Sets `start..start + len` (cut at 2^64 - 1). Costs a page at each end, whatever the length.
    pub fn set_range(&mut self, start: u64, len: u64) {
        self.each_part(start, len, Bitfield::set, |bits, first, pages| {
            bits.drop_pages(first, pages);
            bits.full.insert(first, pages);
            bits.count += pages * PAGE;
        });
        if start <= self.known_prefix {
            self.known_prefix = self.next_clear(self.known_prefix);
        }
    }

    /// Clears `start..start + len`.
    pub fn clear_range(&mut self, start: u64, len: u64) {
        self.each_part(start, len, Bitfield::clear, Bitfield::drop_pages);
        if len > 0 {
            self.known_prefix = self.known_prefix.min(start);
        }
    }

    /// Walks a range: bits one by one where it covers a page in part, whole pages together.
    fn each_part(
        &mut self,
        start: u64,
        len: u64,
        bit: fn(&mut Bitfield, u64) -> bool,
        whole: fn(&mut Bitfield, u64, u64),
    ) {
        let end = start.saturating_add(len);
        let first = start.div_ceil(PAGE);
        let last = end / PAGE;
        if first >= last {
            for at in start..end {
                bit(self, at);
            }
            return;
        }
        for at in start..first * PAGE {
            bit(self, at);
        }
        whole(self, first, last - first);
        for at in last * PAGE..end {
            bit(self, at);
        }
    }

    /// Clears whole pages.
    fn drop_pages(&mut self, first: u64, pages: u64) {
        let mut tail = self.mixed.split_off(&first);
        self.mixed.append(&mut tail.split_off(&(first + pages)));
        self.count -= tail.values().map(|page| u64::from(page.ones)).sum::<u64>();
        self.count -= self.full.covered(first, pages) * PAGE;
        self.full.remove(first, pages);
        self.known_prefix = self.known_prefix.min(first * PAGE);
    }

    /// The first set bit at or after `from`.
    pub fn next_set(&self, from: u64) -> Option<u64> {
        let number = from / PAGE;
        if let Some(page) = self.mixed.get(&number) {
            if let Some(bit) = page.next(from % PAGE, true) {
                return Some(number * PAGE + bit);
            }
        } else if self.full.contains(number) {
            return Some(from);
        }
        let number = number + 1;
        let full = self.full.next(number);
        match self.mixed.range(number..).next() {
            Some((&at, page)) if full.is_none_or(|full| at < full) => {
                page.next(0, true).map(|bit| at * PAGE + bit)
            }
            _ => full.map(|page| page * PAGE),
        }
    }

    /// The highest set bit.
    pub fn last_set(&self) -> Option<u64> {
        let full = self.full.iter().next_back().map(|(page, pages)| (page + pages) * PAGE - 1);
        let mixed = self.mixed.last_key_value().and_then(|(&number, page)| {
            let words = page.bits.get_ref().storage();
            let at = words.iter().rposition(|&word| word != 0)? as u64;
            Some(number * PAGE + at * 64 + 63 - u64::from(page.word(at).leading_zeros()))
        });
        full.max(mixed)
    }

    /// The first clear bit at or after `from`. (Bit 2^64 - 1 cannot be set by ranges, so there
    /// always is one.)
    pub fn next_clear(&self, from: u64) -> u64 {
        let mut from = from.max(if from < self.known_prefix { self.known_prefix } else { 0 });
        loop {
            let number = from / PAGE;
            if let Some(page) = self.mixed.get(&number) {
                match page.next(from % PAGE, false) {
                    Some(bit) => return number * PAGE + bit,
                    None => from = (number + 1) * PAGE,
                }
            } else if let Some(end) = self.full.end_of(number) {
                from = end.saturating_mul(PAGE);
            } else {
                return from;
            }
        }
    }

    /// How many bits are set.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many bits of `start..start + len` are set.
    pub fn count_range(&self, start: u64, len: u64) -> u64 {
        let end = start.saturating_add(len);
        let (first, last) = (start / PAGE, end.div_ceil(PAGE));
        let mut sum = 0;
        for (&number, page) in self.mixed.range(first..last.max(first)) {
            let base = number * PAGE;
            sum += page.count(start.max(base) - base, end.min(base.saturating_add(PAGE)) - base);
        }
        for (number, pages) in self.full.within(first, last) {
            let base = number * PAGE;
            sum += end.min((number + pages).saturating_mul(PAGE)).saturating_sub(start.max(base));
        }
        sum
    }

    /// How many bits from 0 on are set without a gap.
    pub fn prefix(&self) -> u64 {
        self.next_clear(0)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The runs of set bits within `start..end`, as (first, how many), ascending.
    pub fn ranges(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at = start;
        std::iter::from_fn(move || {
            let first = self.next_set(at).filter(|&first| first < end)?;
            at = self.next_clear(first).min(end);
            Some((first, at - first))
        })
    }

    /// Bytes of memory that hold the pages, about.
    pub fn memory(&self) -> usize {
        let page = PAGE as usize / 8 + size_of::<(u64, Page)>();
        self.mixed.len() * page + self.full.iter().count() * 2 * size_of::<(u64, u64)>()
    }
}
