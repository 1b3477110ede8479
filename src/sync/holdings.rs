//! What a peer says it holds of a feed. The numbers come from strangers, so every operation costs
//! by what is stored, never by the width of a range, and memory has a bound given by the caller.

use std::collections::BTreeMap;

use crate::bits::RangeSet;
use crate::codec::rle;
use crate::limits::MAX_SAFE_INTEGER;

/// Blocks of a page; a page that is neither empty nor full costs `PAGE_BYTES`.
const PAGE: u64 = 4096;
const WORDS: usize = (PAGE / 64) as usize;
/// Heap of a page: its words, its place in the map.
const PAGE_BYTES: usize = WORDS * 8 + 48;
const RANGE_BYTES: usize = 32;

#[derive(Debug)]
struct Page {
    words: [u64; WORDS],
    ones: u32,
}

/// A set of block numbers below 2^53: full pages as ranges, mixed pages as bits, empty ones not at
/// all.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// In pages.
    full: RangeSet,
    pages: BTreeMap<u64, Box<Page>>,
}

impl Holdings {
    /// Heap in use.
    pub(super) fn bytes(&self) -> usize {
        self.pages.len() * PAGE_BYTES + self.full.ranges() * RANGE_BYTES
    }

    pub(super) fn contains(&self, block: u64) -> bool {
        match self.pages.get(&(block / PAGE)) {
            Some(page) => page.words[word(block)] & mask(block) != 0,
            None => self.full.contains(block / PAGE),
        }
    }

    /// The first block held at or behind `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let page = from / PAGE;
        if self.full.contains(page) {
            return Some(from);
        }
        if let Some(found) = self.pages.get(&page).and_then(|p| p.next(from % PAGE)) {
            return Some(page * PAGE + found);
        }
        let full = self.full.next(page + 1).map(|first| first * PAGE);
        let mixed = self.pages.range(page + 1..).next();
        let mixed = mixed.and_then(|(n, p)| p.next(0).map(|found| n * PAGE + found));
        match (full, mixed) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Adds `[start, end)`. `false`: only in part, because more than `room` bytes were needed.
    pub(super) fn set(&mut self, start: u64, end: u64, room: usize) -> bool {
        self.change(start, end, true, room)
    }

    /// Removes `[start, end)`. `false`: what could not be kept apart within `room` bytes was
    /// removed too.
    pub(super) fn clear(&mut self, start: u64, end: u64, room: usize) -> bool {
        self.change(start, end, false, room)
    }

    fn change(&mut self, start: u64, end: u64, value: bool, room: usize) -> bool {
        let end = end.min(MAX_SAFE_INTEGER + 1);
        if start >= end {
            return true;
        }
        let (first, last) = (start.div_ceil(PAGE), end / PAGE);
        if first > last {
            // Inside one page.
            return self.part(start, end, value, room);
        }
        let mut fits = self.part(start, first * PAGE, value, room);
        fits &= self.part(last * PAGE, end, value, room);
        if first < last {
            let gone: Vec<u64> = self.pages.range(first..last).map(|(n, _)| *n).collect();
            for page in gone {
                self.pages.remove(&page);
            }
            if !value {
                self.full.remove(first, last - first);
            } else if self.bytes() + RANGE_BYTES <= room || self.full.contains(first) {
                self.full.insert(first, last - first);
            } else {
                fits = false;
            }
        }
        fits
    }

    /// A range inside one page.
    fn part(&mut self, start: u64, end: u64, value: bool, room: usize) -> bool {
        if start >= end {
            return true;
        }
        let number = start / PAGE;
        if self.full.contains(number) {
            if value {
                return true;
            }
            let fits = self.bytes() + PAGE_BYTES + RANGE_BYTES <= room;
            self.full.remove(number, 1);
            if !fits {
                return false;
            }
            self.pages.insert(number, Box::new(Page { words: [!0; WORDS], ones: PAGE as u32 }));
        }
        if !self.pages.contains_key(&number) {
            if !value {
                return true;
            }
            if self.bytes() + PAGE_BYTES > room {
                return false;
            }
            self.pages.insert(number, Box::new(Page { words: [0; WORDS], ones: 0 }));
        }
        if let Some(page) = self.pages.get_mut(&number) {
            page.change(start % PAGE, (end - 1) % PAGE + 1, value);
            self.settle(number);
        }
        true
    }

    /// Takes a page that became empty or full out of the map.
    fn settle(&mut self, number: u64) {
        match self.pages.get(&number).map(|p| u64::from(p.ones)) {
            Some(0) => drop(self.pages.remove(&number)),
            Some(PAGE) => {
                self.pages.remove(&number);
                self.full.insert(number, 1);
            }
            _ => {}
        }
    }

    /// Replaces the bits from `start` (a multiple of 8) on by a run-length-coded bitfield, for as
    /// far as it decodes (dat/SPEC §5.2). The end of the last block in it, and whether all fitted.
    pub(super) fn replace(
        &mut self,
        start: u64,
        encoded: &[u8],
        room: usize,
    ) -> Result<(u64, bool), rle::Error> {
        let (mut length, mut fits) = (0, true);
        for run in rle::runs(encoded) {
            let run = run?;
            let at = start + run.start;
            match run.kind {
                rle::Kind::Fill(value) => {
                    fits &= self.change(at, at + run.len, value, room);
                    length = if value { at + run.len } else { length };
                }
                rle::Kind::Literal(bytes) => {
                    if let Some(last) = bytes.iter().rposition(|&b| b != 0) {
                        let used = 8 - u64::from(bytes[last].trailing_zeros());
                        length = at + last as u64 * 8 + used;
                    }
                    fits &= self.literal(at, bytes, room);
                }
            }
        }
        Ok((length, fits))
    }

    /// Replaces the bits from `start` (a multiple of 8) on by words whose lowest bit comes first. The end
    /// of the last block in them.
    pub(super) fn replace_words(&mut self, start: u64, words: &[[u8; 4]], room: usize) -> u64 {
        let mut end = start;
        for (part, at) in words.chunks(WORDS).zip((start..).step_by(32 * WORDS)) {
            let mut bytes = [0; 4 * WORDS];
            for (byte, lowest_first) in bytes.iter_mut().zip(part.as_flattened()) {
                *byte = lowest_first.reverse_bits();
            }
            let bytes = &bytes[..4 * part.len()];
            if let Some(last) = bytes.iter().rposition(|&b| b != 0) {
                end = at + last as u64 * 8 + (8 - u64::from(bytes[last].trailing_zeros()));
            }
            self.literal(at, bytes, room);
        }
        end
    }

    fn literal(&mut self, start: u64, bytes: &[u8], room: usize) -> bool {
        let (mut at, mut rest, mut fits) = (start, bytes, true);
        while !rest.is_empty() {
            let here = (((PAGE - at % PAGE) / 8) as usize).min(rest.len());
            let (part, more) = rest.split_at(here);
            let end = at + here as u64 * 8;
            if self.part_exists(at / PAGE, room) {
                if let Some(page) = self.pages.get_mut(&(at / PAGE)) {
                    page.write(at % PAGE, part);
                    self.settle(at / PAGE);
                }
            } else {
                fits = false;
            }
            (at, rest) = (end, more);
        }
        fits
    }

    /// Makes a page's bits writable.
    fn part_exists(&mut self, number: u64, room: usize) -> bool {
        if self.pages.contains_key(&number) {
            return true;
        }
        let full = self.full.contains(number);
        if full {
            self.full.remove(number, 1);
        }
        if self.bytes() + PAGE_BYTES > room {
            return false;
        }
        let (words, ones) = if full { ([!0; WORDS], PAGE as u32) } else { ([0; WORDS], 0) };
        self.pages.insert(number, Box::new(Page { words, ones }));
        true
    }
}

fn word(block: u64) -> usize {
    ((block % PAGE) / 64) as usize
}

fn mask(block: u64) -> u64 {
    1 << (block % 64)
}

impl Page {
    /// The first bit set at or behind `from`, which is below `PAGE`.
    fn next(&self, from: u64) -> Option<u64> {
        let first = word(from);
        let mut bits = self.words[first] & (!0 << (from % 64));
        for (n, &later) in (first..).zip(self.words[first + 1..].iter().chain([&0])) {
            if bits != 0 {
                return Some(n as u64 * 64 + u64::from(bits.trailing_zeros()));
            }
            bits = later;
        }
        None
    }

    /// `start < end <= PAGE`.
    fn change(&mut self, start: u64, end: u64, value: bool) {
        for n in word(start)..=word(end - 1) {
            let low = n as u64 * 64;
            let from = start.max(low) - low;
            let count = end.min(low + 64) - low - from;
            let bits = (!0 >> (64 - count)) << from;
            let old = self.words[n];
            self.words[n] = if value { old | bits } else { old & !bits };
            self.ones = self.ones + self.words[n].count_ones() - old.count_ones();
        }
    }

    /// Bits from `start`, a multiple of 8, on; most significant bit of each byte first.
    fn write(&mut self, start: u64, bytes: &[u8]) {
        for (at, byte) in (start..PAGE).step_by(8).zip(bytes) {
            let (n, shift) = (word(at), at % 64);
            let old = self.words[n];
            self.words[n] = old & !(0xff << shift) | u64::from(byte.reverse_bits()) << shift;
            self.ones = self.ones + self.words[n].count_ones() - old.count_ones();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Holdings, PAGE, PAGE_BYTES};
    use crate::codec::rle;
    use crate::rng::Rng;

    const ROOM: usize = 1 << 20;

    fn blocks(h: &Holdings) -> Vec<u64> {
        std::iter::successors(h.next(0), |b| h.next(b + 1)).collect()
    }

    #[test]
    fn b01_any_mixture_of_ranges_bitfields_and_singles_gives_the_same_set() {
        for seed in 0..150 {
            let mut rng = Rng::from_seed(seed);
            let (mut held, mut model) = (Holdings::default(), BTreeSet::new());
            for _ in 0..30 {
                let start = rng.below(3 * PAGE);
                let wide = rng.one_in(2);
                let end = start + rng.below(if wide { 2 * PAGE } else { 40 });
                match rng.below(4) {
                    0 => {
                        assert!(held.clear(start, end, ROOM));
                        (start..end).for_each(|b| {
                            model.remove(&b);
                        });
                    }
                    1 => {
                        let start = start / 8 * 8;
                        let mut bytes = vec![0; rng.below(900) as usize];
                        rng.fill(&mut bytes);
                        if rng.one_in(2) {
                            bytes.iter_mut().for_each(|b| *b = if *b > 99 { 255 } else { 0 });
                        }
                        bytes.push(1);
                        let encoded = rle::encode(&bytes);
                        let (end, fits) = held.replace(start, &encoded, ROOM).unwrap();
                        assert!(fits && end == start + bytes.len() as u64 * 8);
                        for (b, at) in (start..end).zip(0..) {
                            if bytes[at / 8] & (0x80 >> (at % 8)) != 0 {
                                model.insert(b);
                            } else {
                                model.remove(&b);
                            }
                        }
                    }
                    _ => {
                        assert!(held.set(start, end, ROOM));
                        model.extend(start..end);
                    }
                }
            }
            assert_eq!(blocks(&held), model.iter().copied().collect::<Vec<_>>());
            for b in (0..6 * PAGE).step_by(7) {
                assert_eq!(held.contains(b), model.contains(&b));
            }
        }
    }

    #[test]
    fn b01_haves_commute() {
        let mut rng = Rng::from_seed(7);
        let mut parts: Vec<(u64, u64)> = (0..40)
            .map(|_| {
                let s = rng.below(30_000);
                (s, s + 1 + rng.below(6000))
            })
            .collect();
        let mut sets = Vec::new();
        for _ in 0..8 {
            rng.shuffle(&mut parts);
            let mut held = Holdings::default();
            parts.iter().for_each(|&(s, e)| assert!(held.set(s, e, ROOM)));
            sets.push(blocks(&held));
        }
        assert!(sets.windows(2).all(|w| w[0] == w[1]));
    }

    #[test]
    fn b02_b08_huge_claims_cost_nothing_and_scattered_ones_stay_below_the_bound() {
        let mut held = Holdings::default();
        assert!(held.set(0, u64::MAX, ROOM));
        assert!(held.bytes() < 1024 && held.contains(1 << 52) && !held.contains(1 << 53));
        assert!(held.clear(1 << 51, (1 << 51) + 1, ROOM));
        assert!(!held.contains(1 << 51) && held.bytes() < 2048);
        let mut held = Holdings::default();
        for n in 0..10_u64 {
            assert!(held.set(n * 429_496_729, n * 429_496_729 + 1, ROOM));
        }
        assert!(held.bytes() < 16 * 1024, "2^32 blocks with 10 held take {}", held.bytes());
        // A stranger who scatters single blocks hits the bound, and ranges of whole pages do too.
        let mut held = Holdings::default();
        let refused = (0..100_000_u64).filter(|n| !held.set(n << 20, (n << 20) + 1, ROOM)).count();
        assert!(refused > 90_000 && held.bytes() <= ROOM);
        let mut held = Holdings::default();
        let refused =
            (0..200_000_u64).filter(|n| !held.set(n << 13, (n << 13) + PAGE, ROOM)).count();
        assert!(refused > 100_000 && held.bytes() <= ROOM + PAGE_BYTES);
    }

    #[test]
    fn b02_a_small_bitfield_that_claims_2_to_the_40_bits_is_refused() {
        let mut held = Holdings::default();
        let run = [0xff, 0xff, 0xff, 0xff, 0xff, 0x1f];
        assert!(held.replace(0, &run, ROOM).is_err());
        assert!(held.bytes() < 64);
    }
}
