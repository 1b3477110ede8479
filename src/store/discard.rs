//! Blocks that are given up for their space: forgotten first, durably, and then their bytes.

use std::io;

use super::StoreError;
use super::disk::Disk;
use super::feed::{Content, FeedStore};
use crate::limits;

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

    /// Forgets blocks, whose bytes are in the feed's own file, for their space; how many bytes they
    /// have. It is given back by [`give_back`](Self::give_back), once the feed was committed.
    pub fn discard(
        &mut self,
        disk: &mut dyn Disk,
        start: u64,
        len: u64,
    ) -> Result<u64, StoreError> {
        if self.content == Content::External || self.feed.writable() {
            return Err(StoreError::ReadOnly);
        }
        let mut bytes = 0;
        let runs: Vec<_> = self.feed.have().ranges(start, start.saturating_add(len)).collect();
        for &(start, len) in &runs {
            bytes += self.run_bytes(disk, start, len)?;
        }
        self.clear(disk, start, len)?;
        runs.iter().for_each(|&(start, len)| self.discarded.insert(start, len));
        Ok(bytes)
    }

    /// Gives the space of discarded blocks back to the file system, where it takes it. The feed was
    /// committed since; the bits are synced here, before a byte goes.
    pub fn give_back(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if self.discarded.is_empty() {
            return Ok(());
        }
        let synced = self.bitfield.sync(disk, &self.place);
        self.note_sync(synced)?;
        let runs: Vec<(u64, u64)> = self.discarded.iter().collect();
        for (start, len) in runs {
            // Some may have come again meanwhile.
            let mut at = start;
            while at < start + len {
                let end = self.feed.have().next_set(at).map_or(start + len, |n| n.min(start + len));
                if at < end {
                    self.punch(disk, at, end)?;
                }
                at = self.feed.have().next_clear(end);
            }
            self.discarded.remove(start, len);
        }
        Ok(())
    }

    /// Blocks `from..to` are not here.
    fn punch(&mut self, disk: &mut dyn Disk, from: u64, to: u64) -> Result<(), StoreError> {
        let (mut low, _) = self.extent(disk, from)?;
        let (last, size) = self.extent(disk, to - 1)?;
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
            return Ok(());
        }
        let file = self.data.slot.open(disk, &self.place)?;
        match disk.punch(file, low, high - low) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                log::debug!("this file system does not give space within a file back");
                Ok(())
            }
            other => {
                // The next commit makes that durable, too.
                self.data.slot.unsynced = true;
                Ok(other?)
            }
        }
    }
}
