//! The `data` file: blocks back to back, small neighbours written together.

use std::collections::BTreeMap;

use super::StoreError;
use super::disk::Disk;
use super::files::{Place, Slot};
use crate::{codec, limits};

#[derive(Debug)]
pub(super) struct Data {
    pub slot: Slot,
    /// Offset → bytes that are not in the file yet; runs never touch or overlap.
    runs: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    /// The file was made and its name may not be durable.
    pub made: bool,
    /// Written in one go and not handed to the device yet: from, to.
    fresh: (u64, u64),
}

impl Data {
    pub fn new() -> Data {
        Data {
            slot: Slot::new("data"),
            runs: BTreeMap::new(),
            bytes: 0,
            made: false,
            fresh: (0, 0),
        }
    }

    /// Takes a block to be written. On an error nothing of it counts as written.
    pub fn put(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        offset: u64,
        block: &[u8],
    ) -> Result<(), StoreError> {
        if block.is_empty() {
            return Ok(());
        }
        let end = offset + block.len() as u64;
        let before = self.runs.range(..end).next_back();
        let overlaps = before.is_some_and(|(at, run)| at + run.len() as u64 > offset);
        let full = self.bytes + block.len() > limits::STORE_DATA_BYTES
            || self.runs.len() >= limits::STORE_DATA_RUNS;
        if overlaps || full {
            self.flush(disk, place)?;
        }
        if block.len() >= limits::STORE_DATA_BYTES / 4 {
            self.made |= self.slot.create(disk, place)?;
            self.slot.write(disk, place, offset, block)?;
            return self.hand_on(disk, place, offset, end);
        }
        self.bytes += block.len();
        let next = self.runs.remove(&end);
        match self.runs.range_mut(..offset).next_back() {
            Some((at, run)) if at + run.len() as u64 == offset => {
                run.extend_from_slice(block);
                run.extend(next.unwrap_or_default());
            }
            _ => {
                let mut run = block.to_vec();
                run.extend(next.unwrap_or_default());
                self.runs.insert(offset, run);
            }
        }
        Ok(())
    }

    /// Appends a block's bytes to `out`. False: the file does not reach that far, or no block is
    /// that large.
    pub fn read(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        offset: u64,
        size: u64,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        if size == 0 {
            return Ok(true);
        }
        if size > limits::STORE_BLOCK_BYTES as u64 {
            return Ok(false);
        }
        let (end, size) = (offset + size, size as usize);
        if let Some((at, run)) = self.runs.range(..end).next_back() {
            let last = at + run.len() as u64;
            if *at <= offset && end <= last {
                let from = (offset - at) as usize;
                out.extend_from_slice(&run[from..from + size]);
                return Ok(true);
            }
            if last > offset {
                self.flush(disk, place)?;
            }
        }
        self.made |= self.slot.create(disk, place)?;
        let start = out.len();
        codec::extend_zeros(out, size);
        match self.slot.read(disk, place, offset, &mut out[start..]) {
            Ok(read) if read == size => Ok(true),
            other => {
                out.truncate(start);
                other.map(|_| false)
            }
        }
    }

    pub fn flush(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
        if self.runs.is_empty() {
            return Ok(());
        }
        self.made |= self.slot.create(disk, place)?;
        while let Some(run) = self.runs.first_entry() {
            let offset = *run.key();
            self.slot.write(disk, place, offset, run.get())?;
            let len = run.remove().len();
            self.bytes -= len;
            self.hand_on(disk, place, offset, offset + len as u64)?;
        }
        Ok(())
    }

    /// Bytes were written. A long run of them is handed to the device at once, so that the next
    /// sync has less to wait for.
    fn hand_on(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        from: u64,
        to: u64,
    ) -> Result<(), StoreError> {
        self.fresh = if self.fresh.1 == from { (self.fresh.0, to) } else { (from, to) };
        let len = to - self.fresh.0;
        if len >= limits::WRITE_BACK_BYTES {
            let file = self.slot.open(disk, place)?;
            disk.write_back(file, self.fresh.0, len);
            self.fresh = (to, to);
        }
        Ok(())
    }
}
