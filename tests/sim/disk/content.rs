//! The bytes of one file: what is there now, and every version since the last sync that a power
//! cut may leave behind.

use std::collections::{BTreeMap, BTreeSet};

use gannet::rng::Rng;

pub const PAGE: u64 = 4096;
/// What a disk writes whole.
const SECTOR: usize = 512;
/// Unsynced versions of one page that are remembered besides the synced one.
const VERSIONS: usize = 3;

/// `None`: zeros (a hole).
type Version = Option<Box<[u8]>>;

#[derive(Default)]
struct Page {
    live: Version,
    /// Empty: synced. Otherwise the synced version first, then later ones.
    old: Vec<Version>,
}

#[derive(Default)]
pub struct Content {
    pages: BTreeMap<u64, Page>,
    dirty: BTreeSet<u64>,
    len: u64,
    /// As `Page::old`.
    old_lens: Vec<u64>,
}

impl Content {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of space taken.
    pub fn used(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// How many more pages a write of this range needs.
    pub fn missing(&self, offset: u64, len: u64) -> u64 {
        (offset / PAGE..(offset + len).div_ceil(PAGE))
            .filter(|page| !self.pages.contains_key(page))
            .count() as u64
    }

    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let end = self.len.min(offset.saturating_add(buf.len() as u64));
        let mut at = offset;
        while at < end {
            let (page, within) = (at / PAGE, (at % PAGE) as usize);
            let part = (PAGE as usize - within).min((end - at) as usize);
            let out = &mut buf[(at - offset) as usize..][..part];
            match self.pages.get(&page).and_then(|page| page.live.as_ref()) {
                Some(bytes) => out.copy_from_slice(&bytes[within..within + part]),
                None => out.fill(0),
            }
            at += part as u64;
        }
        end.saturating_sub(offset) as usize
    }

    pub fn write(&mut self, rng: &mut Rng, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let mut at = offset;
        while at < end {
            let (number, within) = (at / PAGE, (at % PAGE) as usize);
            let part = (PAGE as usize - within).min((end - at) as usize);
            let page = self.touch(rng, number);
            let live = page.live.get_or_insert_with(zeros);
            live[within..within + part].copy_from_slice(&bytes[(at - offset) as usize..][..part]);
            at += part as u64;
        }
        if end > self.len {
            self.change_len(end);
        }
    }

    pub fn set_len(&mut self, rng: &mut Rng, len: u64) {
        if len < self.len {
            let gone: Vec<u64> = self.pages.range(len.div_ceil(PAGE)..).map(|(n, _)| *n).collect();
            for number in gone {
                self.touch(rng, number).live = None;
            }
            if !len.is_multiple_of(PAGE) && self.pages.contains_key(&(len / PAGE)) {
                let page = self.touch(rng, len / PAGE);
                if let Some(live) = &mut page.live {
                    live[(len % PAGE) as usize..].fill(0);
                }
            }
        }
        if len != self.len {
            self.change_len(len);
        }
    }

    /// Whole pages give their space back, what is left at both ends becomes zeros.
    pub fn punch(&mut self, rng: &mut Rng, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.len.next_multiple_of(PAGE));
        let there: Vec<u64> = self
            .pages
            .range(offset / PAGE..end.div_ceil(PAGE).max(offset / PAGE))
            .map(|(n, _)| *n)
            .collect();
        for number in there {
            let first = number * PAGE;
            let (from, to) = (offset.max(first) - first, end.min(first + PAGE) - first);
            let page = self.touch(rng, number);
            if to - from == PAGE {
                page.live = None;
            } else if let Some(live) = &mut page.live {
                live[from as usize..to as usize].fill(0);
            }
        }
    }

    fn change_len(&mut self, len: u64) {
        if self.old_lens.len() <= VERSIONS {
            self.old_lens.push(self.len);
        }
        self.len = len;
    }

    /// The page, with its present version remembered for a power cut.
    fn touch(&mut self, rng: &mut Rng, number: u64) -> &mut Page {
        self.dirty.insert(number);
        let page = self.pages.entry(number).or_default();
        if page.old.is_empty() || page.old.len() <= VERSIONS && rng.one_in(4) {
            page.old.push(page.live.clone());
        }
        page
    }

    /// Whether the length changed since the last sync (then the inode is written with the data).
    pub fn len_changed(&self) -> bool {
        !self.old_lens.is_empty()
    }

    pub fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            if let Some(page) = self.pages.get_mut(&number) {
                page.old.clear();
                if page.live.is_none() {
                    self.pages.remove(&number);
                }
            }
        }
        self.old_lens.clear();
    }

    /// A power cut: each sector of each unsynced page becomes one of its versions, and so does the
    /// length.
    pub fn crash(&mut self, rng: &mut Rng) {
        let taste = Taste::draw(rng);
        for number in std::mem::take(&mut self.dirty) {
            if let Some(page) = self.pages.get_mut(&number) {
                page.crash(rng, taste);
                if page.live.is_none() {
                    self.pages.remove(&number);
                }
            }
        }
        let mut lens = std::mem::take(&mut self.old_lens);
        lens.push(self.len);
        self.len = lens[taste.pick(rng, lens.len())];
        let last = self.len.div_ceil(PAGE);
        self.pages.retain(|number, _| *number < last);
        if !self.len.is_multiple_of(PAGE)
            && let Some(Page { live: Some(live), .. }) = self.pages.get_mut(&(self.len / PAGE))
        {
            live[(self.len % PAGE) as usize..].fill(0);
        }
    }
}

impl Page {
    fn crash(&mut self, rng: &mut Rng, taste: Taste) {
        let mut versions = std::mem::take(&mut self.old);
        versions.push(self.live.take());
        if taste != Taste::Sectors {
            let pick = taste.pick(rng, versions.len());
            self.live = versions.swap_remove(pick);
            return;
        }
        let mut torn = zeros();
        for sector in torn.chunks_mut(SECTOR).enumerate() {
            if let Some(bytes) = &versions[taste.pick(rng, versions.len())] {
                sector.1.copy_from_slice(&bytes[sector.0 * SECTOR..][..SECTOR]);
            }
        }
        self.live = Some(torn);
    }
}

fn zeros() -> Box<[u8]> {
    vec![0; PAGE as usize].into_boxed_slice()
}

/// The kind of accident: extremes find other bugs than a uniform draw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Taste {
    /// Nothing unsynced survives.
    Lost,
    /// All of it survives.
    Kept,
    /// Page by page.
    Pages,
    /// Torn pages.
    Sectors,
}

impl Taste {
    pub fn draw(rng: &mut Rng) -> Taste {
        [Taste::Lost, Taste::Kept, Taste::Pages, Taste::Sectors][rng.below(4) as usize]
    }

    /// Which of `count` versions survives, the synced one being the first.
    pub fn pick(self, rng: &mut Rng, count: usize) -> usize {
        match self {
            Taste::Lost => 0,
            Taste::Kept => count - 1,
            Taste::Pages | Taste::Sectors => rng.below(count as u64) as usize,
        }
    }
}
