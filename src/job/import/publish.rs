//! What is to be published of a path: nothing, a mode, its content, or that it is gone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::batch::{Blocks, Entry};
use super::hashing::{Hashed, Hashing};
use super::links::Look;
use super::marks::Trust;
use super::{Import, known};
use crate::drive::diff::{Change as Difference, Diff};
use crate::drive::path;
use crate::drive::stat::Stat;
use crate::job::{Budget, Cx, Nodes, Step};
use crate::limits::RACY_MTIME;
use crate::store::StoreError;
use crate::store::disk::Meta;
use crate::sys::Change;
use crate::time::Wall;

pub(super) struct Removing {
    walk: Diff,
    /// An entry that stays.
    keep: Option<String>,
    /// Directory that may be empty afterwards.
    parent: Option<PathBuf>,
}

impl Import {
    /// The entry's name for a path, unless it cannot have one.
    pub(super) fn name(&mut self, path: &Path) -> Option<String> {
        let name = format!("/{}", path.to_str()?);
        match path::check(&name) {
            Ok(_) => Some(name),
            Err(why) => {
                self.skip(path, &why.to_string());
                None
            }
        }
    }

    pub(super) fn find(
        &mut self,
        cx: &mut Cx<'_>,
        name: &str,
    ) -> Result<Option<(u32, Stat)>, StoreError> {
        let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
        Ok(self.names.get(&mut nodes, name)?.and_then(|entry| known(&entry)))
    }

    /// Decides what is to be done about a path that is no directory.
    pub(super) fn consider(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        found: Look,
        trust: Trust,
    ) -> Result<(), StoreError> {
        let meta = match found {
            Look::File(meta) => meta,
            Look::Odd(why) => {
                self.skip(path, why);
                return Ok(());
            }
            Look::Unreadable(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(StoreError::NotYet);
            }
            Look::Unreadable(error) => {
                self.skip(path, &format!("it cannot be read: {error}"));
                return Ok(());
            }
            Look::Gone | Look::Dir(_) => return Ok(()),
        };
        let Some(name) = self.name(path) else { return Ok(()) };
        let old = self.find(cx, &name)?;
        self.figures.files_done += 1;
        let same_size = old.filter(|(_, stat)| stat.is_file() && stat.size == meta.size);
        if let Some((_, stat)) = same_size
            && stat.same_mtime(meta.mtime_ns)
            && (trust == Trust::Times || trust == Trust::OldTimes && !is_racy(cx.wall, &meta))
        {
            if !stat.has_mode(meta.mode) {
                let stat = Some(stat.with_mode(meta.mode));
                self.batch.push(Entry { name, stat, old, blocks: Blocks::Placed }, &[]);
            }
            return Ok(());
        }
        // Names below it, if it was a directory, go first.
        let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
        if self.names.has_children(&mut nodes, &name)? {
            self.remove_below(&name, Some(name.clone()), None);
        }
        let compare = same_size.is_some_and(|(_, stat)| stat.blocks > 0);
        self.hashing = Some(Hashing::new(path.to_owned(), name, meta, old, compare));
        Ok(())
    }

    pub(super) fn hash(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<Step, StoreError> {
        let Some(hashing) = &mut self.hashing else { return Ok(Step::More) };
        if self.removing.is_some() {
            self.remove(cx, budget)?;
            return Ok(Step::More);
        }
        let before = budget.left();
        let hashed = hashing.step(cx, budget);
        let (disk, content) = cx.content()?;
        match hashed? {
            Hashed::More => {}
            Hashed::LeavesFull if !self.batch.is_empty() => self.flush = true,
            Hashed::LeavesFull => {
                let (from, byte) = (content.feed().length(), content.feed().byte_length());
                content.append_leaves(disk, hashing.leaves())?;
                hashing.placed(from, byte);
            }
            Hashed::Done(entry, leaves) => {
                // What was doubted may be as it was.
                if entry.old.is_none_or(|(_, old)| Some(old) != entry.stat) {
                    self.batch.push(*entry, &leaves);
                }
                self.hashing = None;
            }
            Hashed::Changed { start, len } => {
                if len > 0 {
                    content.clear(disk, start, len)?;
                    self.batch.orphan(start, len);
                }
                let path = std::mem::take(&mut hashing.path);
                self.hashing = None;
                self.marks.again(cx.now, &path);
            }
            Hashed::Unreadable(error) => {
                let path = std::mem::take(&mut hashing.path);
                self.hashing = None;
                self.skip(&path, &format!("it cannot be read: {error}"));
            }
        }
        self.figures.bytes_done += before.saturating_sub(budget.left()) as u64;
        Ok(Step::More)
    }

    /// Deletes the entries at and below `name`, but not `keep`.
    pub(super) fn remove_below(
        &mut self,
        name: &str,
        keep: Option<String>,
        parent: Option<PathBuf>,
    ) {
        let walk = Diff::below(self.names.format(), self.names.version(), name);
        self.removing = Some(Removing { walk, keep, parent });
        self.flush = true;
    }

    pub(super) fn remove(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<(), StoreError> {
        let Some(removing) = &mut self.removing else { return Ok(()) };
        budget.calls(1);
        match removing.walk.next(&mut Nodes { disk: cx.disk, metadata: cx.metadata })? {
            Some(Difference::Put { entry, .. }) if removing.keep.as_ref() != Some(&entry.name) => {
                if let Some(old) = known(&entry) {
                    let (name, blocks) = (entry.name, Blocks::Placed);
                    self.batch.push(Entry { name, stat: None, old: Some(old), blocks }, &[]);
                }
            }
            Some(_) => {}
            None => {
                if !self.batch.is_empty() {
                    // What comes next asks the tree.
                    self.flush = true;
                }
                let parent = removing.parent.take();
                self.removing = None;
                if let Some(parent) = parent.filter(|p| !p.as_os_str().is_empty()) {
                    self.marks.add(cx.now, &parent, Change::Attributes);
                }
            }
        }
        Ok(())
    }
}

/// Whether the file may have changed again without its time telling.
fn is_racy(wall: Wall, meta: &Meta) -> bool {
    let age_ms = i128::from(wall.0) - meta.mtime_ns / 1_000_000;
    age_ms < RACY_MTIME.as_millis() as i128
}
