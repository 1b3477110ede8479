//! Sizes and times of files as they were published. A hyperdrive's entries have no times; without this
//! every file would have to be read again at every start.
//!
//! `.dat/gannet.times`: for entry n, at 24 n bytes, the file's size, its time in nanoseconds (both
//! big-endian), and the first eight bytes of a hash over these and the hash of the entry's block. What
//! is missing, torn, or about another history says nothing: then the file is compared with its blocks.

use std::path::Path;

use crate::crypto::hyper;
use crate::job::Cx;
use crate::job::files::read_all;
use crate::store::disk::{Disk, File, Meta, Open};
use crate::store::{StoreError, write_all};

const PATH: &str = ".dat/gannet.times";
const RECORD: u64 = 24;

#[derive(Debug, Default)]
pub(super) struct Times {
    file: Option<File>,
}

/// What is remembered of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    size: u64,
    mtime_ns: i64,
}

impl Seen {
    /// `None`: a time beyond what can be remembered.
    pub fn of(meta: &Meta) -> Option<Seen> {
        let mtime_ns = i64::try_from(meta.mtime_ns).ok()?;
        Some(Seen { size: meta.size, mtime_ns })
    }

    fn encode(&self, cx: &mut Cx<'_>, seq: u32) -> Result<[u8; RECORD as usize], StoreError> {
        let leaf = cx.metadata.leaf(cx.disk, u64::from(seq))?;
        let (size, time) = (self.size.to_be_bytes(), self.mtime_ns.to_be_bytes());
        let check = hyper::hash(&[&leaf.hash, &size, &time]);
        let mut record = [0; RECORD as usize];
        record[..8].copy_from_slice(&size);
        record[8..16].copy_from_slice(&time);
        record[16..].copy_from_slice(&check[..8]);
        Ok(record)
    }
}

impl Times {
    /// Whether this is what the file of an entry was.
    pub fn knows(&mut self, cx: &mut Cx<'_>, seq: u32, seen: &Seen) -> Result<bool, StoreError> {
        let expected = seen.encode(cx, seq)?;
        let Some(file) = self.open(cx, Open::Write) else { return Ok(false) };
        let mut record = Vec::new();
        match read_all(cx.disk, file, u64::from(seq) * RECORD, RECORD, &mut record) {
            Ok(there) => Ok(there && record == expected),
            Err(StoreError::NotYet) => Err(StoreError::NotYet),
            Err(_) => Ok(false),
        }
    }

    /// Remembers it, if that can be done: nothing depends on it.
    pub fn note(&mut self, cx: &mut Cx<'_>, seq: u32, seen: &Seen) -> Result<(), StoreError> {
        let record = seen.encode(cx, seq)?;
        if let Some(file) = self.open(cx, Open::Create) {
            let _ = write_all(cx.disk, file, u64::from(seq) * RECORD, &record);
        }
        Ok(())
    }

    fn open(&mut self, cx: &mut Cx<'_>, how: Open) -> Option<File> {
        if self.file.is_none() {
            self.file = cx.disk.open(cx.dir, Path::new(PATH), how).ok();
        }
        self.file
    }

    pub fn close(&mut self, disk: &mut dyn Disk) {
        if let Some(file) = self.file.take() {
            disk.close(file);
        }
    }
}
