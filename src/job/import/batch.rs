//! Entries on their way into the feeds. Many wait for one signature and one sync; then content is
//! appended and made durable before any entry speaks of it, and entries are made durable before
//! anybody is told.

use std::collections::VecDeque;

use super::times::{Seen, Times};
use crate::crypto::hash::Hash;
use crate::drive::names::{Names, NotPut};
use crate::drive::stat::Stat;
use crate::job::files::Files;
use crate::job::{Budget, Cx, Figures, Nodes, Output, Which};
use crate::limits::{IMPORT_ENTRIES, IMPORT_LEAVES};
use crate::store::StoreError;

/// An entry to be written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    /// `None` deletes.
    pub stat: Option<Stat>,
    /// The entry that stands under the name.
    pub old: Option<(u32, Stat)>,
    pub blocks: Blocks,
    /// Where a symbolic link leads.
    pub link: Option<String>,
    /// The file as it was when it was hashed.
    pub seen: Option<Seen>,
}

impl Entry {
    pub fn delete(name: String, old: (u32, Stat)) -> Entry {
        Entry { stat: None, ..Entry::put(name, Stat::default(), Some(old), Blocks::Placed) }
    }

    pub fn put(name: String, stat: Stat, old: Option<(u32, Stat)>, blocks: Blocks) -> Entry {
        Entry { name, stat: Some(stat), old, blocks, link: None, seen: None }
    }

    /// What the Stat says of the content is true already. (A new one says block 0, which may be where
    /// the old one is.)
    pub fn is_placed(&self) -> bool {
        self.blocks == Blocks::Placed || self.stat.is_none_or(|stat| stat.blocks == 0)
    }
}

/// Where the content of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocks {
    /// So many of the batch's leaves, not placed yet.
    New(usize),
    /// As the Stat says, with so many of the batch's leaves at its end.
    Tail(usize),
    /// As the Stat says.
    Placed,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    leaves: Vec<(u64, Hash)>,
    entries: Vec<Entry>,
    stage: Stage,
    /// Content blocks that were announced, or were there at the start.
    announced: u64,
    /// Content blocks appended for nothing.
    orphans: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Gather,
    Append,
    /// Content blocks from here on are new.
    CommitContent,
    /// The first `entries` of the batch are written so far.
    Build {
        from: u64,
        entries: usize,
    },
    CommitEntries {
        from: u64,
    },
    Clear {
        at: usize,
        from: u64,
    },
}

/// What the batch works with beside the stores.
pub(super) struct Tree<'a> {
    pub names: &'a mut Names,
    pub files: &'a mut Files,
    pub outputs: &'a mut VecDeque<Output>,
    pub figures: &'a mut Figures,
    pub times: &'a mut Times,
}

impl Batch {
    /// With content of this length before.
    pub fn new(announced: u64) -> Batch {
        Batch { announced, ..Batch::default() }
    }

    /// These content blocks belong to no entry.
    pub fn orphan(&mut self, start: u64, len: u64) {
        self.orphans.push((start, len));
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.leaves.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.entries.len() >= IMPORT_ENTRIES || self.leaves.len() >= IMPORT_LEAVES
    }

    /// Whether a flush has begun.
    pub fn is_flushing(&self) -> bool {
        !matches!(self.stage, Stage::Gather)
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    pub fn push(&mut self, entry: Entry, leaves: &[(u64, Hash)]) {
        debug_assert!(!self.is_flushing());
        self.entries.push(entry);
        self.leaves.extend_from_slice(leaves);
    }

    /// Writes everything, in steps; `true` when done.
    pub fn flush(
        &mut self,
        cx: &mut Cx<'_>,
        tree: &mut Tree<'_>,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        if !self.is_flushing() {
            if self.is_empty() {
                return Ok(true);
            }
            self.stage = Stage::Append;
        }
        loop {
            match &mut self.stage {
                Stage::Gather => return Ok(true),
                Stage::Append => {
                    let (disk, content) = cx.content()?;
                    let (from, bytes) = (content.feed().length(), content.feed().byte_length());
                    if !self.leaves.is_empty() {
                        content.append_leaves(disk, &self.leaves)?;
                    }
                    budget.calls(1 + self.leaves.len() / 32);
                    place(&mut self.entries, &self.leaves, from, bytes);
                    self.leaves.clear();
                    self.stage = Stage::CommitContent;
                }
                Stage::CommitContent => {
                    let (from, now, dir) = (self.announced, cx.now, cx.dir);
                    let (disk, content) = cx.content()?;
                    let to = content.feed().length();
                    if to > from {
                        // What is signed must not be lost by a power cut while its size and time
                        // are kept: nobody would look at the file again.
                        content.sync_around(disk, dir)?;
                        content.commit(disk, now)?;
                        tree.outputs.push_back(Output::Grew { which: Which::Content, from, to });
                        self.announced = to;
                    }
                    for (start, len) in self.orphans.drain(..) {
                        tree.outputs.push_back(Output::Cleared { start, len });
                    }
                    let from = cx.metadata.feed().length();
                    self.stage = Stage::Build { from, entries: 0 };
                }
                Stage::Build { .. } => self.build(cx, tree, budget)?,
                Stage::CommitEntries { from } => {
                    let from = *from;
                    let to = cx.metadata.feed().length();
                    if to > from {
                        cx.metadata.commit(cx.disk, cx.now)?;
                        tree.outputs.push_back(Output::Grew { which: Which::Metadata, from, to });
                    }
                    self.stage = Stage::Clear { at: 0, from };
                }
                Stage::Clear { .. } => self.clear(cx, tree, budget)?,
            }
            if budget.is_spent() {
                return Ok(!self.is_flushing());
            }
        }
    }

    /// Makes blocks of the entries and appends them, as many under a signature as fit.
    fn build(
        &mut self,
        cx: &mut Cx<'_>,
        tree: &mut Tree<'_>,
        budget: &mut Budget,
    ) -> Result<(), StoreError> {
        let Stage::Build { from, entries: at } = &mut self.stage else { return Ok(()) };
        while *at < self.entries.len() && !tree.names.is_full() && !budget.is_spent() {
            let Entry { name, stat, old, link, .. } = &self.entries[*at];
            let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
            let written = match stat {
                Some(stat) => {
                    let old = old.as_ref().map(|(seq, _)| u64::from(*seq));
                    tree.names.put(&mut nodes, name, stat, link.as_deref(), old).map(|()| true)
                }
                None => tree.names.delete(&mut nodes, name),
            };
            match written {
                Ok(true) => {
                    budget.calls(1);
                    *at += 1;
                }
                Ok(false) => drop(self.entries.remove(*at)),
                Err(NotPut::Tree(error)) => return Err(error.into()),
                Err(NotPut::Impossible(why)) => {
                    let (path, why) = (name.trim_start_matches('/').to_owned(), why.to_owned());
                    tree.outputs.push_back(Output::Skipped { path, why });
                    self.entries.remove(*at);
                }
            }
        }
        let done = *at >= self.entries.len();
        if done || tree.names.is_full() {
            let blocks: Vec<&[u8]> = tree.names.waiting().iter().map(Vec::as_slice).collect();
            if !blocks.is_empty() {
                budget.bytes(blocks.iter().map(|block| block.len()).sum());
                cx.metadata.append(cx.disk, &blocks)?;
            }
            tree.names.appended();
        }
        if done {
            self.stage = Stage::CommitEntries { from: *from };
        }
        Ok(())
    }

    /// Takes back content that no entry speaks of any more, and tells what was done.
    fn clear(
        &mut self,
        cx: &mut Cx<'_>,
        tree: &mut Tree<'_>,
        budget: &mut Budget,
    ) -> Result<(), StoreError> {
        let Stage::Clear { at, from } = &mut self.stage else { return Ok(()) };
        while let Some(entry) = self.entries.get(*at) {
            if budget.is_spent() {
                return Ok(());
            }
            let seq = *from + *at as u64;
            if let Some((old_seq, old)) = &entry.old {
                tree.files.remove(*old_seq, old);
            }
            if let Some(stat) = &entry.stat {
                let seq = u32::try_from(seq).unwrap_or(u32::MAX);
                if let Some(seen) = &entry.seen {
                    tree.times.note(cx, seq, seen)?;
                }
                tree.files.insert(seq, stat, false);
            }
            if let Some((_, old)) = &entry.old {
                clear_unless_claimed(cx, tree.files, old.offset, old.blocks, tree.outputs)?;
            }
            tell(entry, seq, tree);
            budget.calls(1);
            *at += 1;
        }
        // Everything else of the batch is durable by now. What was taken back has to be so too: who
        // looks at the store meanwhile, or opens it after a kill, would miss bytes that its bits
        // promise.
        if let Some(content) = cx.content.as_mut().filter(|content| content.dirty() > 0) {
            content.commit(cx.disk, cx.now)?;
        }
        self.entries.clear();
        self.stage = Stage::Gather;
        Ok(())
    }
}

/// Forgets content blocks that no file has any more.
pub(in crate::job) fn clear_unless_claimed(
    cx: &mut Cx<'_>,
    files: &Files,
    start: u64,
    len: u64,
    outputs: &mut VecDeque<Output>,
) -> Result<(), StoreError> {
    let (disk, content) = cx.content()?;
    if len == 0 || content.feed().have().count_range(start, len) == 0 {
        return Ok(());
    }
    for (start, len) in files.unclaimed(start, len) {
        content.clear(disk, start, len)?;
        outputs.push_back(Output::Cleared { start, len });
    }
    Ok(())
}

/// Says in each Stat where its content went.
fn place(entries: &mut [Entry], leaves: &[(u64, Hash)], from: u64, bytes: u64) {
    let mut sizes = leaves.iter().map(|leaf| leaf.0);
    let (mut block, mut byte) = (from, bytes);
    for entry in entries {
        let Some(stat) = &mut entry.stat else { continue };
        if let Blocks::New(_) = entry.blocks {
            stat.offset = block;
            stat.byte_offset = byte;
        }
        if let Blocks::New(n) | Blocks::Tail(n) = entry.blocks {
            block += n as u64;
            byte += sizes.by_ref().take(n).sum::<u64>();
        }
        entry.blocks = Blocks::Placed;
    }
}

fn tell(entry: &Entry, seq: u64, tree: &mut Tree<'_>) {
    let path = entry.name.trim_start_matches('/').to_owned();
    let is_file = |stat: &&Stat| !stat.is_dir();
    if let Some(old) = entry.old.as_ref().map(|(_, stat)| stat).filter(is_file) {
        tree.figures.files = tree.figures.files.saturating_sub(1);
        tree.figures.bytes = tree.figures.bytes.saturating_sub(old.size);
    }
    match &entry.stat {
        Some(stat) => {
            if is_file(&stat) {
                tree.figures.files += 1;
                tree.figures.bytes += stat.size;
            }
            tree.outputs.push_back(Output::Put { path, seq, size: stat.size });
        }
        None => tree.outputs.push_back(Output::Deleted { path, seq }),
    }
}
