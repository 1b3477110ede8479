//! One file on its way to be an entry: its blocks are hashed, and if it may be what an entry says
//! already, compared with that.

use super::batch::{Blocks, Entry};
use super::times::Seen;
use crate::codec;
use crate::crypto::hash::Hash;
use crate::drive::format::Format;
use crate::drive::stat::{Form, Stat};
use crate::job::{Budget, Cx};
use crate::limits::{DRIVE_BLOCK_BYTES, IMPORT_LEAVES};
use crate::store::StoreError;
use crate::store::disk::{File, Meta, Open};
use std::path::PathBuf;

#[derive(Debug)]
pub(super) struct Hashing {
    pub path: PathBuf,
    name: String,
    meta: Meta,
    /// The entry that stands under the name.
    old: Option<(u32, Stat)>,
    file: Option<File>,
    /// The block being read, from here on in the file.
    at: u64,
    block: Vec<u8>,
    leaves: Vec<(u64, Hash)>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// So far every block is that of the old entry.
    Compare,
    Hash,
    /// Too big for one signature: these leaves were appended already.
    Placed {
        first: u64,
        byte_offset: u64,
        blocks: u64,
    },
}

/// What came of it.
pub(super) enum Hashed {
    /// The budget is spent.
    More,
    /// There are as many leaves as one signature takes: append them and tell with `placed`.
    LeavesFull,
    /// The file as it was from beginning to end.
    Done(Box<Entry>, Vec<(u64, Hash)>),
    /// The file changed meanwhile, or is gone. These content blocks were appended for nothing.
    Changed {
        start: u64,
        len: u64,
    },
    Unreadable(std::io::Error),
}

impl Hashing {
    /// `compare`: the old entry may have the same content.
    pub fn new(
        path: PathBuf,
        name: String,
        meta: Meta,
        old: Option<(u32, Stat)>,
        compare: bool,
    ) -> Hashing {
        let stage = if compare { Stage::Compare } else { Stage::Hash };
        let (block, leaves) = (Vec::new(), Vec::new());
        Hashing { path, name, meta, old, file: None, at: 0, block, leaves, stage }
    }

    pub fn leaves(&self) -> &[(u64, Hash)] {
        &self.leaves
    }

    /// Where the block that the file begins with was, or will be, appended at `length`.
    pub fn placed(&mut self, from: u64, byte_offset: u64) {
        let more = self.leaves.len() as u64;
        self.leaves.clear();
        self.stage = match self.stage {
            Stage::Placed { first, byte_offset, blocks } => {
                Stage::Placed { first, byte_offset, blocks: blocks + more }
            }
            _ => Stage::Placed { first: from, byte_offset, blocks: more },
        };
    }

    /// Goes on. `NotYet` keeps the place.
    pub fn step(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Hashed, StoreError> {
        let file = match self.file {
            Some(file) => file,
            None => {
                budget.calls(1);
                match cx.disk.open(cx.dir, &self.path, Open::ReadFollow) {
                    Ok(file) => {
                        self.file = Some(file);
                        file
                    }
                    Err(error) => return self.failed(cx, error),
                }
            }
        };
        while self.at < self.meta.size {
            if budget.is_spent() {
                return Ok(Hashed::More);
            }
            if self.leaves.len() >= IMPORT_LEAVES {
                return Ok(Hashed::LeavesFull);
            }
            let want = (self.meta.size - self.at).min(DRIVE_BLOCK_BYTES as u64) as usize;
            let have = self.block.len();
            codec::extend_zeros(&mut self.block, want.saturating_sub(have));
            let read = cx.disk.read_at(file, self.at + have as u64, &mut self.block[have..]);
            self.block.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(self.changed(cx)),
                Ok(n) => {
                    budget.bytes(n);
                    budget.calls(1);
                }
                Err(error) => return self.failed(cx, error),
            }
            if self.block.len() == want {
                self.finish_block(cx)?;
            }
        }
        self.finish(cx)
    }

    fn finish_block(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let size = self.block.len() as u64;
        let leaf = cx.content()?.1.feed().leaf_hash(&self.block);
        if self.stage == Stage::Compare && !self.is_old_block(cx, size, &leaf)? {
            // Another content: all of it is new.
            self.stage = Stage::Hash;
            self.at = 0;
            self.block.clear();
            return Ok(());
        }
        if self.stage != Stage::Compare {
            self.leaves.push((size, leaf));
        }
        self.at += size;
        self.block.clear();
        Ok(())
    }

    fn is_old_block(&self, cx: &mut Cx<'_>, size: u64, leaf: &Hash) -> Result<bool, StoreError> {
        let Some((_, old)) = self.old else { return Ok(false) };
        let block = self.at / DRIVE_BLOCK_BYTES as u64;
        if block >= old.blocks {
            return Ok(false);
        }
        let (disk, content) = cx.content()?;
        match content.leaf(disk, old.offset + block) {
            Ok(node) => Ok(node.size == size && node.hash == *leaf),
            Err(StoreError::Absent) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks once more whether the file is what it was.
    fn finish(&mut self, cx: &mut Cx<'_>) -> Result<Hashed, StoreError> {
        let Some(file) = self.file else { return Ok(Hashed::More) };
        match cx.disk.meta(file) {
            Ok(meta) if same(&meta, &self.meta) => {}
            Ok(_) => return Ok(self.changed(cx)),
            Err(error) => return self.failed(cx, error),
        }
        self.close(cx);
        let mut stat = match cx.format() {
            Format::Dat => Stat::of(&self.meta, false),
            Format::Hyper => Stat::of_blob(&self.meta),
        };
        let leaves = std::mem::take(&mut self.leaves);
        let blocks = match (self.stage, self.old) {
            (Stage::Compare, Some((_, old))) => {
                stat.offset = old.offset;
                stat.byte_offset = old.byte_offset;
                stat.blocks = old.blocks;
                Blocks::Placed
            }
            (Stage::Placed { first, byte_offset, blocks }, _) => {
                stat.offset = first;
                stat.byte_offset = byte_offset;
                stat.blocks = blocks + leaves.len() as u64;
                Blocks::Tail(leaves.len())
            }
            _ => {
                stat.blocks = leaves.len() as u64;
                Blocks::New(leaves.len())
            }
        };
        let name = std::mem::take(&mut self.name);
        let entry = Entry::put(name, stat, self.old, blocks);
        let seen = Seen::of(&self.meta).filter(|_| stat.form == Form::Blob);
        Ok(Hashed::Done(Box::new(Entry { seen, ..entry }), leaves))
    }

    fn changed(&mut self, cx: &mut Cx<'_>) -> Hashed {
        self.close(cx);
        match self.stage {
            Stage::Placed { first, blocks, .. } => Hashed::Changed { start: first, len: blocks },
            _ => Hashed::Changed { start: 0, len: 0 },
        }
    }

    fn failed(&mut self, cx: &mut Cx<'_>, error: std::io::Error) -> Result<Hashed, StoreError> {
        match error.kind() {
            std::io::ErrorKind::WouldBlock => Err(StoreError::NotYet),
            std::io::ErrorKind::NotFound => Ok(self.changed(cx)),
            _ => {
                self.close(cx);
                Ok(Hashed::Unreadable(error))
            }
        }
    }

    pub fn close(&mut self, cx: &mut Cx<'_>) {
        if let Some(file) = self.file.take() {
            cx.disk.close(file);
        }
    }
}

fn same(a: &Meta, b: &Meta) -> bool {
    (a.size, a.mtime_ns, a.inode, a.device) == (b.size, b.mtime_ns, b.inode, b.device)
}
