//! Which files were put in place since the last version that the folder is known to be. After a
//! kill the folder is between two versions; this says which files are ours all the same.
//!
//! `.dat/gannet.files`: records of 16 bytes, the hash of a name and the number of the entry that
//! may stand under it (0: none). The last record of a name counts, but written, and made durable,
//! before a file is renamed, it may be ahead of the folder: then what the records before say stands
//! there still.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::job::files::read_all;
use crate::limits::{JOURNAL_BEFORE, JOURNAL_BYTES};
use crate::store::StoreError;
use crate::store::disk::{Dir, Disk, File, Open};

const PATH: &str = ".dat/gannet.files";
const RECORD: u64 = 16;

#[derive(Debug, Default)]
pub(super) struct Journal {
    file: Option<File>,
    len: u64,
    names: BTreeMap<u64, Box<Entry>>,
    unwritten: Vec<u8>,
    /// Names whose files were removed. To say so before that is durable would make a file that comes
    /// back with the power nobody's.
    gone: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
struct Entry {
    seq: u32,
    /// Those before, the newest last.
    before: Vec<u32>,
    /// From an earlier run, and not met by the plan of this one.
    stale: bool,
}

impl Journal {
    /// Reads what an earlier run left, of entries from number `beyond` on.
    pub fn open(disk: &mut dyn Disk, dir: Dir, beyond: u64) -> Result<Journal, StoreError> {
        let file = disk.open(dir, Path::new(PATH), Open::Create)?;
        let mut bytes = Vec::new();
        let read = disk.meta(file).map_err(StoreError::from).and_then(|meta| {
            let len = (meta.size / RECORD * RECORD).min(JOURNAL_BYTES);
            read_all(disk, file, 0, len, &mut bytes)
        });
        if let Err(error) = read {
            disk.close(file);
            return Err(error);
        }
        let mut journal =
            Journal { file: Some(file), len: bytes.len() as u64, ..Journal::default() };
        for record in bytes.chunks_exact(RECORD as usize) {
            let number = |half: &[u8]| u64::from_be_bytes(half.try_into().unwrap_or_default());
            let (hash, seq) = (number(&record[..8]), number(&record[8..]));
            match u32::try_from(seq) {
                Ok(0) | Err(_) => drop(journal.names.remove(&hash)),
                Ok(seq) => journal.insert(hash, seq, true),
            }
        }
        journal.names.retain(|_, entry| u64::from(entry.seq) >= beyond);
        Ok(journal)
    }

    /// The entry that may stand under a name.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.names.get(&hash(name)).map(|entry| entry.seq)
    }

    /// The entries that may stand there in its place.
    pub fn before(&self, name: &str) -> Vec<u32> {
        self.names.get(&hash(name)).map_or_else(Vec::new, |entry| entry.before.clone())
    }

    fn insert(&mut self, hash: u64, seq: u32, stale: bool) {
        let mut before = Vec::new();
        if let Some(entry) = self.names.remove(&hash) {
            before = entry.before;
            if before.len() == JOURNAL_BEFORE {
                before.remove(0);
            }
            before.push(entry.seq);
        }
        self.names.insert(hash, Box::new(Entry { seq, before, stale }));
    }

    /// The plan has met the name.
    pub fn met(&mut self, name: &str) {
        if let Some(entry) = self.names.get_mut(&hash(name)) {
            entry.stale = false;
        }
    }

    /// An entry of an earlier run that no plan has met.
    pub fn take_stale(&mut self) -> Option<u32> {
        let entry = self.names.values_mut().find(|entry| entry.stale)?;
        entry.stale = false;
        Some(entry.seq)
    }

    /// The file of this entry stands under the name, or soon will (0: no file of ours).
    pub fn note(&mut self, name: &str, seq: u32) {
        let hash = hash(name);
        if self.names.get(&hash).map_or(0, |entry| entry.seq) == seq {
            return;
        }
        if seq == 0 {
            self.names.remove(&hash);
            self.gone.insert(hash);
            return;
        }
        self.insert(hash, seq, false);
        self.gone.remove(&hash);
        self.unwritten.extend_from_slice(&hash.to_be_bytes());
        self.unwritten.extend_from_slice(&u64::from(seq).to_be_bytes());
    }

    /// Everything done so far is durable.
    pub fn synced(&mut self) {
        for hash in std::mem::take(&mut self.gone) {
            self.unwritten.extend_from_slice(&hash.to_be_bytes());
            self.unwritten.extend_from_slice(&[0; 8]);
        }
    }

    /// Writes what was noted; durable after the next sync of the file system.
    pub fn write(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let Some(file) = self.file else { return Ok(()) };
        if self.len >= JOURNAL_BYTES {
            self.rewrite();
            disk.set_len(file, 0)?;
        }
        while !self.unwritten.is_empty() {
            let n = disk.write_at(file, self.len, &self.unwritten)?;
            self.unwritten.drain(..n);
            self.len += n as u64;
        }
        Ok(())
    }

    fn rewrite(&mut self) {
        self.len = 0;
        self.unwritten.clear();
        for (hash, entry) in &self.names {
            for &seq in entry.before.iter().chain([&entry.seq]) {
                self.unwritten.extend_from_slice(&hash.to_be_bytes());
                self.unwritten.extend_from_slice(&u64::from(seq).to_be_bytes());
            }
        }
    }

    /// The folder is a version, durably: nothing needs to be remembered.
    pub fn clear(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if let (Some(file), true) = (self.file, self.len > 0) {
            disk.set_len(file, 0)?;
        }
        self.len = 0;
        self.unwritten.clear();
        self.gone.clear();
        self.names.clear();
        Ok(())
    }

    pub fn close(&mut self, disk: &mut dyn Disk) {
        if let Some(file) = self.file.take() {
            disk.close(file);
        }
    }
}

/// FNV-1a.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
