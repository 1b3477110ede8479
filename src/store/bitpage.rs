//! Pages of the `bitfield` file (dat/SPEC §8): 1024 bytes of block bits, 2048 of node bits, then an
//! accelerator over the block bits that spans all pages as one flat tree.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::bits::Bitfield;
use crate::feed::flat;

/// Blocks of a page, and nodes.
pub(super) const BLOCKS: u64 = 8192;
pub(super) const NODES: u64 = 2 * BLOCKS;
const DATA_BYTES: usize = (BLOCKS / 8) as usize;
const TREE_BYTES: usize = (NODES / 8) as usize;
pub(super) const INDEX_AT: usize = DATA_BYTES + TREE_BYTES;
const INDEX_BYTES: usize = 512;
/// Bytes of a page, now and in folders made before 2018.
pub(super) const PAGE_BYTES: usize = INDEX_AT + INDEX_BYTES;
pub(super) const OLD_PAGE_BYTES: usize = INDEX_AT + INDEX_BYTES / 2;
/// The number of a page's own top node within it, and its depth.
const TOP: u64 = 255;
/// Depth up to which the accelerator is kept: above all pages of the longest feed.
const HIGHEST: u32 = crate::limits::FEED_DEPTH - 4;

/// Adds what a page says to the sets.
pub(super) fn decode(bytes: &[u8], number: u64, have: &mut Bitfield, nodes: &mut Bitfield) {
    let (blocks, rest) = bytes.split_at(DATA_BYTES.min(bytes.len()));
    runs(blocks, |at, len| have.set_range(number * BLOCKS + at, len));
    let tree = &rest[..TREE_BYTES.min(rest.len())];
    runs(tree, |at, len| nodes.set_range(number * NODES + at, len));
}

/// Runs of set bits, most significant bit of a byte first.
fn runs(bytes: &[u8], mut each: impl FnMut(u64, u64)) {
    let mut open: Option<u64> = None;
    for (at, &byte) in bytes.iter().enumerate() {
        let base = at as u64 * 8;
        match (byte, open) {
            (0, None) | (0xff, Some(_)) => {}
            (0xff, None) => open = Some(base),
            _ => {
                for bit in 0..8 {
                    let set = byte & 0x80 >> bit != 0;
                    match open {
                        None if set => open = Some(base + bit),
                        Some(start) if !set => {
                            each(start, base + bit - start);
                            open = None;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    if let Some(start) = open {
        each(start, bytes.len() as u64 * 8 - start);
    }
}

/// A page's bytes up to the accelerator.
fn bits(number: u64, have: &Bitfield, nodes: &Bitfield) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_BYTES];
    let start = number * BLOCKS;
    for (at, len) in have.ranges(start, start + BLOCKS) {
        fill(&mut bytes[..DATA_BYTES], at - start, len);
    }
    let start = number * NODES;
    for (at, len) in nodes.ranges(start, start + NODES) {
        fill(&mut bytes[DATA_BYTES..INDEX_AT], at - start, len);
    }
    bytes
}

fn fill(bytes: &mut [u8], start: u64, len: u64) {
    let (start, end) = (start as usize, (start + len) as usize);
    let (first, last) = (start / 8, end / 8);
    let (head, tail) = (0xffu8 >> (start % 8), !(0xff >> (end % 8)));
    if first == last {
        bytes[first] |= head & tail;
        return;
    }
    bytes[first] |= head;
    bytes[first + 1..last].fill(0xff);
    if tail != 0 {
        bytes[last] |= tail;
    }
}

/// Clears the bits of blocks in a page as it lies on disk. Of the accelerator only the page's own part is
/// made true, where it has one.
pub(super) fn forget(bytes: &mut [u8], number: u64, blocks: impl Iterator<Item = (u64, u64)>) {
    for (start, len) in blocks {
        for bit in start - number * BLOCKS..start + len - number * BLOCKS {
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte &= !(0x80 >> (bit % 8));
            }
        }
    }
    if bytes.len() == PAGE_BYTES {
        index(bytes);
    }
}

/// The accelerator's node over two of its nodes: for each half of each child two bits, 11 all set,
/// 00 none, 01 mixed.
fn over(left: u8, right: u8) -> u8 {
    let half = |nibble: u8| match nibble & 15 {
        15 => 3,
        0 => 0,
        _ => 1,
    };
    half(left >> 4) << 6 | half(left) << 4 | half(right >> 4) << 2 | half(right)
}

/// Fills in a page's own part of the accelerator; returns its top.
fn index(bytes: &mut [u8]) -> u8 {
    let (bits, index) = bytes.split_at_mut(INDEX_AT);
    for (at, four) in bits[..DATA_BYTES].chunks_exact(4).enumerate() {
        index[2 * at] = four.iter().fold(0, |sum, &byte| {
            sum << 2
                | match byte {
                    0xff => 3,
                    0 => 0,
                    _ => 1,
                }
        });
    }
    for depth in 1..=flat::depth(TOP) {
        for offset in 0..256 >> depth {
            let node = flat::index(depth, offset);
            if let Some((left, right)) = flat::children(node) {
                index[node as usize] = over(index[left as usize], index[right as usize]);
            }
        }
    }
    index[TOP as usize]
}

/// What is known of the file's pages besides the bits: how many there are, which ones changed, and
/// the accelerator above the pages.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Pages that the file has.
    pub pages: u64,
    /// Pages whose bits are not what the file says.
    pub dirty: BTreeSet<u64>,
    /// The file is an old one: a page has room for 256 bytes of the accelerator, which is the same
    /// and so lies on twice as many pages; what there are no pages for is left out.
    pub old: bool,
    /// Tops of pages and everything over them, where not zero.
    upper: BTreeMap<u64, u64>,
}

impl Shape {
    /// A page was read from the file.
    pub fn loaded(&mut self, number: u64, have: &Bitfield, nodes: &Bitfield) {
        let mut bytes = bits(number, have, nodes);
        let top = index(&mut bytes);
        self.raise(number, top);
    }

    /// Bits of these blocks changed.
    pub fn touch_blocks(&mut self, start: u64, len: u64) {
        let (first, last) = (start / BLOCKS, (start + len).div_ceil(BLOCKS));
        self.touch(first, last);
        if self.old {
            // The accelerator over these pages.
            self.touch((2 * first).min(self.pages), (2 * last).min(self.pages));
        }
    }

    /// Bits of this node changed.
    pub fn touch_node(&mut self, node: u64) {
        self.dirty.insert(node / NODES);
    }

    /// Bits of these nodes were cleared; pages that do not exist need no writing.
    pub fn touch_cleared(&mut self, start: u64, end: u64) {
        let (first, last) = (start / NODES, end.div_ceil(NODES).min(self.pages));
        self.touch(first, last);
        if self.old {
            self.touch((2 * first).min(self.pages), (2 * last).min(self.pages));
        }
    }

    fn touch(&mut self, first: u64, last: u64) {
        self.dirty.extend(first..last);
    }

    /// Bytes of the accelerator on a page.
    fn index_bytes(&self) -> u64 {
        (if self.old { INDEX_BYTES / 2 } else { INDEX_BYTES }) as u64
    }

    /// Sets the top of a page and all above it; the pages that hold a changed byte.
    fn raise(&mut self, number: u64, top: u8) -> Vec<u64> {
        let mut changed = Vec::new();
        let (mut node, mut value) = (2 * (TOP + 1) * number + TOP, top);
        loop {
            let old = if value == 0 {
                self.upper.remove(&node)
            } else {
                self.upper.insert(node, value.into())
            };
            if old.unwrap_or(0) == u64::from(value) {
                break;
            }
            changed.push(node / self.index_bytes());
            node = flat::parent(node);
            let Some((left, right)) = flat::children(node) else { break };
            if flat::depth(node) > HIGHEST {
                break;
            }
            value = over(self.value(left), self.value(right));
        }
        changed
    }

    fn value(&self, node: u64) -> u8 {
        self.upper.get(&node).map_or(0, |&value| value as u8)
    }

    /// A page as it is to be written. Other pages whose share of the accelerator changed with it
    /// become dirty.
    pub fn encode(&mut self, number: u64, have: &Bitfield, nodes: &Bitfield) -> Vec<u8> {
        let mut bytes = bits(number, have, nodes);
        let top = index(&mut bytes);
        let changed = self.raise(number, top);
        let last = self.dirty.last().map_or(0, |last| last + 1);
        let pages = self.pages.max(number + 1).max(last);
        let elsewhere = changed.into_iter().filter(|&page| page != number && page < pages);
        self.dirty.extend(elsewhere);
        // A file that grew over a gap now has room for nodes that there was none for.
        let each = self.index_bytes();
        for (&node, _) in self.upper.range(self.pages * each..) {
            let page = node / each;
            if page < pages && page != number {
                self.dirty.insert(page);
            }
        }
        if self.old {
            // Half of the bytes over another page.
            let mut covered = self.with_index(number / 2, have, nodes);
            let half = INDEX_AT + (number % 2) as usize * INDEX_BYTES / 2;
            bytes.truncate(INDEX_AT);
            bytes.extend(covered.drain(half..half + INDEX_BYTES / 2));
        } else {
            bytes[PAGE_BYTES - 1] = self.over(number);
        }
        bytes
    }

    /// A page as it would be with all of the accelerator over it.
    fn with_index(&self, number: u64, have: &Bitfield, nodes: &Bitfield) -> Vec<u8> {
        let mut bytes = bits(number, have, nodes);
        index(&mut bytes);
        bytes[PAGE_BYTES - 1] = self.over(number);
        bytes
    }

    /// The byte behind those of a page: the first that spans others, too.
    fn over(&self, number: u64) -> u8 {
        self.value((number + 1) * INDEX_BYTES as u64 - 1)
    }
}
