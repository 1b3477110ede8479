//! The writer's side of a drive's names, whichever format it has: what stands there, and the blocks
//! of puts and deletes that are appended together.

use super::dirs::{Dirs, PutError};
use super::format::{self, Bee, Entry, Format, flat};
use super::hyper::{Batch, entry};
use super::stat::Stat;
use super::tree::{NodeSource, TreeError};
use crate::limits::{BEE_BATCH_ENTRIES, HYPER_ENTRY_BYTES, IMPORT_ENTRY_BYTES};

/// What is known of the newest version, and blocks that wait to be appended. Every call may be
/// repeated after an error of the source.
pub struct Names {
    writer: Writer,
    /// Blocks that are ready.
    blocks: Vec<Vec<u8>>,
    /// Bytes of puts and deletes that wait, about.
    bytes: usize,
}

enum Writer {
    Dat(Box<Dirs>),
    /// The bee's length without what waits.
    Hyper {
        length: u64,
        batch: Option<Box<Batch>>,
    },
}

/// Why an entry is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPut<E> {
    Tree(TreeError<E>),
    /// It cannot be, and why.
    Impossible(&'static str),
}

impl<E> From<TreeError<E>> for NotPut<E> {
    fn from(error: TreeError<E>) -> NotPut<E> {
        NotPut::Tree(error)
    }
}

/// The blocks that wait, behind those of the source.
struct Overlay<'a, S> {
    source: &'a mut S,
    base: u64,
    blocks: &'a [Vec<u8>],
}

impl<S: NodeSource> NodeSource for Overlay<'_, S> {
    type Error = S::Error;

    fn block(&mut self, seq: u64, out: &mut Vec<u8>) -> Result<(), S::Error> {
        let ours = seq.checked_sub(self.base).and_then(|at| self.blocks.get(at as usize));
        match ours {
            Some(block) => {
                out.extend_from_slice(block);
                Ok(())
            }
            None => self.source.block(seq, out),
        }
    }
}

impl Names {
    /// Upon a drive whose newest version is this one.
    pub fn new(format: Format, version: u64) -> Names {
        let writer = match format {
            Format::Dat => Writer::Dat(Box::new(Dirs::new(version))),
            Format::Hyper => Writer::Hyper { length: version.max(1), batch: None },
        };
        Names { writer, blocks: Vec::new(), bytes: 0 }
    }

    pub fn format(&self) -> Format {
        match &self.writer {
            Writer::Dat(_) => Format::Dat,
            Writer::Hyper { .. } => Format::Hyper,
        }
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        match &self.writer {
            Writer::Dat(dirs) => dirs.head(),
            Writer::Hyper { length, .. } => *length,
        }
    }

    /// The entry of a name. Nothing may wait.
    pub fn get<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
    ) -> Result<Option<Entry>, TreeError<S::Error>> {
        match &mut self.writer {
            Writer::Dat(dirs) => Ok(dirs.get(source, name)?.map(Entry::from)),
            Writer::Hyper { length, .. } => Format::Hyper.get(source, *length, name),
        }
    }

    /// Whether anything at all stands below `dir`, or is its own entry. Nothing may wait.
    pub fn has_members<S: NodeSource>(
        &mut self,
        source: &mut S,
        dir: &str,
    ) -> Result<bool, TreeError<S::Error>> {
        if let Writer::Dat(dirs) = &mut self.writer {
            return dirs.has_members(source, dir);
        }
        Ok(self.has_children(source, dir)? || self.get(source, dir)?.is_some())
    }

    /// Whether anything stands below `name` as a directory. Nothing may wait.
    pub fn has_children<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
    ) -> Result<bool, TreeError<S::Error>> {
        match &mut self.writer {
            Writer::Dat(dirs) => dirs.has_children(source, name),
            Writer::Hyper { length, .. } => Format::Hyper.has_children(source, *length, name),
        }
    }

    /// Puts an entry, a link with its target. `old` is the entry under this name, if there is one:
    /// what an application said of the file is carried along.
    pub fn put<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
        stat: &Stat,
        link: Option<&str>,
        old: Option<u64>,
    ) -> Result<(), NotPut<S::Error>> {
        match &mut self.writer {
            Writer::Dat(dirs) => {
                let base = dirs.head() + 1 - self.blocks.len() as u64;
                let mut source = Overlay { source, base, blocks: &self.blocks };
                let block = dirs.put(&mut source, name, &stat.encode()).map_err(full)?;
                self.bytes += block.len();
                self.blocks.push(block);
            }
            Writer::Hyper { length, batch } => {
                let mut record = stat.to_entry();
                record.link = link.map(str::to_owned);
                if let Some(old) = old {
                    let old = format::record(source, old)?;
                    record.metadata = old.and_then(|old| old.metadata);
                }
                let mut value = Vec::new();
                if record.encode(&mut value).is_err() || value.len() > HYPER_ENTRY_BYTES {
                    return Err(NotPut::Impossible("its entry would be too long"));
                }
                let batch = batch.get_or_insert_with(|| Box::new(Batch::new(*length)));
                let put = batch.put(&mut Bee(source), &entry::key(name), Some(&value));
                put.map_err(|failed| flat(failed, *length))?;
                self.bytes += name.len() + value.len();
            }
        }
        Ok(())
    }

    /// Deletes an entry. `false`: there was none, and no block says so.
    pub fn delete<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
    ) -> Result<bool, NotPut<S::Error>> {
        match &mut self.writer {
            Writer::Dat(dirs) => {
                let base = dirs.head() + 1 - self.blocks.len() as u64;
                let mut source = Overlay { source, base, blocks: &self.blocks };
                let block = dirs.delete(&mut source, name).map_err(full)?;
                self.bytes += block.len();
                self.blocks.push(block);
                Ok(true)
            }
            Writer::Hyper { length, batch } => {
                let batch = batch.get_or_insert_with(|| Box::new(Batch::new(*length)));
                let deleted = batch.delete(&mut Bee(source), &entry::key(name));
                let deleted = deleted.map_err(|failed| flat(failed, *length))?;
                self.bytes += name.len();
                Ok(deleted)
            }
        }
    }

    /// As much waits as is appended under one signature.
    pub fn is_full(&self) -> bool {
        let many = match &self.writer {
            Writer::Dat(_) => false,
            Writer::Hyper { batch, .. } => {
                batch.as_ref().is_some_and(|batch| batch.len() >= BEE_BATCH_ENTRIES)
            }
        };
        many || self.bytes >= IMPORT_ENTRY_BYTES
    }

    /// The blocks that wait, to be appended all at once; then call `appended`. Nothing can be put or
    /// deleted between the two.
    pub fn waiting(&mut self) -> &[Vec<u8>] {
        if let Writer::Hyper { batch, .. } = &mut self.writer
            && let Some(batch) = batch.take()
        {
            self.blocks = batch.finish();
        }
        &self.blocks
    }

    /// What waited is in the feed.
    pub fn appended(&mut self) {
        if let Writer::Hyper { length, .. } = &mut self.writer {
            *length += self.blocks.len() as u64;
        }
        self.blocks.clear();
        self.bytes = 0;
    }
}

fn full<E>(error: PutError<E>) -> NotPut<E> {
    match error {
        PutError::Tree(error) => NotPut::Tree(error),
        PutError::DirectoryFull => {
            NotPut::Impossible("its directory has more names than a drive can list")
        }
    }
}
