//! Blocks that are given up for their space: forgotten first, durably, and then their bytes.

use std::io;

use super::StoreError;
use super::bitpage::{self, BLOCKS};
use super::disk::Disk;
use super::feed::{Content, FeedStore};
use super::pages::HEADER;
use crate::limits;

/// What became of the space of dropped blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    Back,
    /// The file system cannot take space within a file back.
    Kept,
}

impl FeedStore {
    /// Bytes of the blocks that are here.
    pub fn held_bytes(&mut self, disk: &mut dyn Disk) -> Result<u64, StoreError> {
        let mut sum = 0;
        let runs: Vec<_> = self.feed.have().ranges(0, self.feed.length()).collect();
        for (start, len) in runs {
            sum += self.run_bytes(disk, start, len)?;
        }
        Ok(sum)
    }

    /// Bytes of a run of blocks that are here.
    fn run_bytes(&mut self, disk: &mut dyn Disk, start: u64, len: u64) -> Result<u64, StoreError> {
        let (from, _) = self.extent(disk, start)?;
        let (last, size) = self.extent(disk, start + len - 1)?;
        Ok((last + size).saturating_sub(from))
    }

    /// Bytes of those of `start..start + len` that are here.
    pub fn bytes_in(
        &mut self,
        disk: &mut dyn Disk,
        start: u64,
        len: u64,
    ) -> Result<u64, StoreError> {
        let runs: Vec<_> = self.feed.have().ranges(start, start.saturating_add(len)).collect();
        runs.into_iter().try_fold(0, |sum, (at, len)| Ok(sum + self.run_bytes(disk, at, len)?))
    }

    /// Forgets blocks, whose bytes are in the feed's own file, for their space: all seeds may have
    /// `bound` bytes. How many bytes they have. Durable, and given back, by
    /// [`give_back`](Self::give_back).
    pub fn discard(
        &mut self,
        disk: &mut dyn Disk,
        start: u64,
        len: u64,
        bound: u64,
    ) -> Result<u64, StoreError> {
        if self.content == Content::External || self.feed.writable() {
            return Err(StoreError::ReadOnly);
        }
        let runs: Vec<_> = self.feed.have().ranges(start, start.saturating_add(len)).collect();
        let bytes = self.bytes_in(disk, start, len)?;
        self.clear(disk, start, len)?;
        for (start, len) in runs {
            self.drop_range(start, len, bound);
            if let Some(dropped) = &mut self.dropped {
                dropped.due.insert(start, len);
                dropped.told = true;
            }
        }
        Ok(bytes)
    }

    /// Makes the list of dropped blocks durable, then that their bits are cleared, and then gives their
    /// space back to the file system, where it takes it. Needs no commit, and no room on the disk but
    /// for the list, which waits for the space if there is none: `Full` then, when all else is done.
    pub fn give_back(&mut self, disk: &mut dyn Disk) -> Result<Given, StoreError> {
        self.believe()?;
        let mut given = Given::Back;
        let listed = match self.write_dropped(disk) {
            Err(StoreError::Full) => false,
            other => {
                other?;
                true
            }
        };
        let due = |store: &FeedStore| store.dropped.as_ref().and_then(|d| d.due.iter().next());
        if due(self).is_some() {
            self.clear_told(disk)?;
            // What is not in the file yet must not fill the holes later.
            match self.data.flush(disk, &self.place) {
                Err(StoreError::Full) => {}
                other => other?,
            }
        }
        while let Some((start, len)) = due(self) {
            // Some may have come again meanwhile.
            let mut at = start;
            while at < start + len {
                let end = self.feed.have().next_set(at).map_or(start + len, |n| n.min(start + len));
                if at < end && !self.punch(disk, at, end)? {
                    given = Given::Kept;
                }
                at = self.feed.have().next_clear(end);
            }
            if let Some(dropped) = &mut self.dropped {
                dropped.due.remove(start, len);
                dropped.worn = true;
            }
        }
        if !listed {
            self.write_dropped(disk)?;
        }
        Ok(given)
    }

    /// Clears the bits of dropped blocks on the disk, and those alone, durably: of what came since the
    /// last commit nothing is told before it is durable itself.
    fn clear_told(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let Some(dropped) = self.dropped.as_ref().filter(|dropped| dropped.told) else {
            return Ok(());
        };
        let due: Vec<(u64, u64)> = dropped.due.iter().collect();
        let mut number = 0;
        while let Some(&(start, len)) = due.iter().find(|(at, len)| at + len > number * BLOCKS) {
            number = number.max(start / BLOCKS);
            let (first, end) = (number * BLOCKS, (number + 1) * BLOCKS);
            let inside = |&(at, len): &(u64, u64)| {
                let (from, to) = (at.max(first), (at + len).min(end));
                (from < to).then(|| (from, to - from))
            };
            let offset = HEADER + number * self.page_bytes as u64;
            let mut page = vec![0; self.page_bytes];
            let read = self.bitfield.read(disk, &self.place, offset, &mut page)?;
            page.truncate(read);
            let before = page.clone();
            bitpage::forget(&mut page, number, due.iter().filter_map(inside));
            if page != before {
                self.bitfield.write(disk, &self.place, offset, &page)?;
            }
            debug_assert!(start + len > first);
            number += 1;
        }
        let synced = self.bitfield.sync(disk, &self.place);
        self.note_sync(synced)?;
        if let Some(dropped) = &mut self.dropped {
            dropped.told = false;
        }
        Ok(())
    }

    /// Blocks `from..to` are not here. `false`: the file system does not take their space.
    fn punch(&mut self, disk: &mut dyn Disk, from: u64, to: u64) -> Result<bool, StoreError> {
        // After a power cut it may not be known any more where they lay.
        let known = self.extent(disk, from).and_then(|low| Ok((low, self.extent(disk, to - 1)?)));
        let ((mut low, _), (last, size)) = match known {
            Err(StoreError::Absent) => return Ok(true),
            other => other?,
        };
        let mut high = last + size;
        // A page is given back whole: what the neighbours have of the first and the last one goes too,
        // if they are not here either.
        let (mut first, mut end) = (from, to);
        while !low.is_multiple_of(limits::DISK_PAGE) && first > 0 && !self.feed.has(first - 1) {
            match self.extent(disk, first - 1) {
                Ok((at, _)) => (first, low) = (first - 1, at.max(low - low % limits::DISK_PAGE)),
                Err(StoreError::Absent) => break,
                Err(error) => return Err(error),
            }
        }
        while !high.is_multiple_of(limits::DISK_PAGE) && !self.feed.has(end) {
            if end >= self.feed.length() {
                high = high.next_multiple_of(limits::DISK_PAGE);
                break;
            }
            match self.extent(disk, end) {
                Ok((at, size)) => {
                    let page = high.next_multiple_of(limits::DISK_PAGE);
                    (end, high) = (end + 1, (at + size).min(page));
                }
                Err(StoreError::Absent) => break,
                Err(error) => return Err(error),
            }
        }
        if high <= low {
            return Ok(true);
        }
        let file = self.data.slot.open(disk, &self.place)?;
        match disk.punch(file, low, high - low) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
            other => {
                // The next commit makes that durable, too.
                self.data.slot.unsynced = true;
                Ok(other.map(|()| true)?)
            }
        }
    }
}
