//! A file of fixed-size entries behind a 32-byte header (`tree`, `signatures`; dat/SPEC §8) through
//! a bounded cache with write-back. Entries can be put without reading what is around them.

use std::collections::BTreeMap;

use super::StoreError;
use super::disk::Disk;
use super::files::{Place, Slot};
use crate::limits;

pub(super) const HEADER: u64 = 32;
/// Entries of a page: one bit each in `Page::known`.
pub(super) const ENTRIES: u64 = 128;

#[derive(Debug)]
pub(super) struct Pages {
    pub slot: Slot,
    entry: usize,
    /// The file's header, for when it has to be made.
    header: [u8; HEADER as usize],
    /// Bytes of the file; everything behind is zeros.
    len: u64,
    pages: BTreeMap<u64, Box<Page>>,
    /// Counts uses, to know the page that was not used for longest.
    clock: u64,
    /// Entries put and not yet written.
    dirty: usize,
    most: usize,
}

#[derive(Debug)]
struct Page {
    bytes: Box<[u8]>,
    /// Which entries of `bytes` mean something.
    known: u128,
    /// Which of them the file does not have yet.
    dirty: u128,
    used: u64,
}

impl Pages {
    pub fn new(name: &'static str, kind: u8, algorithm: &str, entry: u8, most: usize) -> Pages {
        let slot = Slot::new(name);
        let header = header(kind, u16::from(entry), algorithm);
        let (entry, pages) = (usize::from(entry), BTreeMap::new());
        Pages { slot, entry, header, len: 0, pages, clock: 0, dirty: 0, most }
    }

    /// Looks at header and size. A file without a byte is one without an entry.
    pub fn open(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
        let mut header = [0; HEADER as usize];
        let read = self.slot.read(disk, place, 0, &mut header)?;
        self.len = self.slot.len(disk, place)?;
        if read > 0 && (header[..4] != self.header[..4] || header[5..7] != self.header[5..7]) {
            return Err(place.damaged(self.slot.name, "does not begin as such a file does"));
        }
        Ok(())
    }

    /// Makes the file with its header; nothing else may be in it. It is to be synced.
    pub fn create(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
        self.slot.create(disk, place)?;
        let file = self.slot.open(disk, place)?;
        disk.set_len(file, 0)?;
        self.slot.write(disk, place, 0, &self.header)?;
        self.len = HEADER;
        Ok(())
    }

    /// Entries that the file has room for.
    pub fn entries(&self) -> u64 {
        self.len.saturating_sub(HEADER) / self.entry as u64
    }

    pub fn get(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        index: u64,
    ) -> Result<&[u8], StoreError> {
        let (number, at) = (index / ENTRIES, (index % ENTRIES) as usize);
        self.touch(number);
        let known = self.pages.get(&number).is_some_and(|page| page.known >> at & 1 == 1);
        if !known {
            self.load(disk, place, number)?;
        }
        let entry = self.entry;
        let page = self.pages.get(&number).map(|page| &page.bytes[at * entry..(at + 1) * entry]);
        page.ok_or(StoreError::NotYet)
    }

    /// Whether a whole page's worth of entries, those around `index`, is zeros.
    pub fn is_blank(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        index: u64,
    ) -> Result<bool, StoreError> {
        self.get(disk, place, index)?;
        let page = self.pages.get(&(index / ENTRIES));
        Ok(page.is_some_and(|page| page.known == u128::MAX && page.bytes.iter().all(|&b| b == 0)))
    }

    /// Puts an entry; call `trim` afterwards, sooner or later.
    pub fn put(&mut self, index: u64, entry: impl FnOnce(&mut [u8])) {
        let (number, at) = (index / ENTRIES, (index % ENTRIES) as usize);
        self.touch(number);
        if let Some(page) = self.pages.get_mut(&number) {
            entry(&mut page.bytes[at * self.entry..(at + 1) * self.entry]);
            page.known |= 1 << at;
            self.dirty += usize::from(page.dirty >> at & 1 == 0);
            page.dirty |= 1 << at;
        }
    }

    /// Makes a page the most recently used one.
    fn touch(&mut self, number: u64) {
        self.clock += 1;
        let size = self.entry * ENTRIES as usize;
        let beyond = HEADER + number * size as u64 >= self.len;
        let page = self.pages.entry(number).or_insert_with(|| {
            let known = if beyond { u128::MAX } else { 0 };
            Box::new(Page { bytes: vec![0; size].into(), known, dirty: 0, used: 0 })
        });
        page.used = self.clock;
    }

    /// Fills in the entries of a page that are not known.
    fn load(&mut self, disk: &mut dyn Disk, place: &Place, number: u64) -> Result<(), StoreError> {
        self.trim(disk, place)?;
        let size = self.entry * ENTRIES as usize;
        let mut bytes = vec![0; size];
        self.slot.read(disk, place, HEADER + number * size as u64, &mut bytes)?;
        self.touch(number);
        if let Some(page) = self.pages.get_mut(&number) {
            for at in (0..ENTRIES as usize).filter(|&at| page.known >> at & 1 == 0) {
                let span = at * self.entry..(at + 1) * self.entry;
                page.bytes[span.clone()].copy_from_slice(&bytes[span]);
            }
            page.known = u128::MAX;
        }
        Ok(())
    }

    /// Writes what was put.
    pub fn flush(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
        if self.dirty == 0 {
            return Ok(());
        }
        if self.len < HEADER {
            self.slot.write(disk, place, 0, &self.header)?;
            self.len = HEADER;
        }
        for (&number, page) in &mut self.pages {
            while page.dirty != 0 {
                // From the first dirty entry on: as far as everything is known, up to the last dirty.
                let from = page.dirty.trailing_zeros();
                let known = (page.known >> from).trailing_ones();
                let span = mask(from, known) & page.dirty;
                let to = 128 - span.leading_zeros();
                let bytes = &page.bytes[from as usize * self.entry..to as usize * self.entry];
                let entry = number * ENTRIES + u64::from(from);
                let offset = HEADER + entry * self.entry as u64;
                self.slot.write(disk, place, offset, bytes)?;
                self.len = self.len.max(offset + bytes.len() as u64);
                self.dirty -= span.count_ones() as usize;
                page.dirty &= !span;
            }
        }
        Ok(())
    }

    /// Keeps the cache within its bound.
    pub fn trim(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
        if self.pages.len() <= self.most {
            return Ok(());
        }
        self.flush(disk, place)?;
        self.shrink(self.most - self.most / 4);
        Ok(())
    }

    /// Drops the pages that were not used for longest, but none with something to write.
    pub fn shrink(&mut self, most: usize) {
        if self.pages.len() > most {
            let mut uses: Vec<u64> = self.pages.values().map(|page| page.used).collect();
            uses.sort_unstable();
            let oldest = uses[uses.len() - most..].first().copied().unwrap_or(u64::MAX);
            self.pages.retain(|_, page| page.used >= oldest || page.dirty != 0);
        }
    }

    /// Cuts the file behind so many entries.
    pub fn cut(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        entries: u64,
    ) -> Result<(), StoreError> {
        let len = HEADER + entries * self.entry as u64;
        if self.len > len {
            self.flush(disk, place)?;
            let file = self.slot.open(disk, place)?;
            self.slot.unsynced = true;
            disk.set_len(file, len)?;
            self.len = len;
            self.pages.clear();
        }
        Ok(())
    }
}

/// `count` ones from bit `from` on.
fn mask(from: u32, count: u32) -> u128 {
    (u128::MAX >> (128 - count)) << from
}

/// The first 32 bytes of a SLEEP file.
pub(super) fn header(kind: u8, entry: u16, algorithm: &str) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..4].copy_from_slice(&[5, 2, 0x57, kind]);
    header[5..7].copy_from_slice(&entry.to_be_bytes());
    header[7] = algorithm.len() as u8;
    header[8..8 + algorithm.len()].copy_from_slice(algorithm.as_bytes());
    header
}

pub(super) fn tree() -> Pages {
    Pages::new("tree", 2, "BLAKE2b", 40, limits::STORE_TREE_PAGES)
}

pub(super) fn signatures() -> Pages {
    Pages::new("signatures", 1, "Ed25519", 64, limits::STORE_SIGNATURE_PAGES)
}
