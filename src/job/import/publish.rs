//! What is to be published of a path: nothing, a mode, its content, or that it is gone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::batch::{Blocks, Entry};
use super::hashing::{Hashed, Hashing};
use super::links::Look;
use super::marks::Trust;
use super::times::Seen;
use super::{Import, known};
use crate::drive::diff::{Change as Difference, Diff};
use crate::drive::format;
use crate::drive::path;
use crate::drive::stat::{Form, Stat};
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
            Look::Link(target) => return self.consider_link(cx, path, target),
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
        let same_size = old.filter(|(_, stat)| stat.is_file() && stat.size == meta.size);
        let same_time = match same_size {
            Some(old) => self.same_time(cx, old, &meta)?,
            None => false,
        };
        self.figures.files_done += 1;
        if let Some((_, stat)) = same_size
            && same_time
            && (trust == Trust::Times || trust == Trust::OldTimes && !is_racy(cx.wall, &meta))
        {
            if !stat.has_mode(meta.mode) {
                let stat = stat.with_mode(meta.mode);
                let entry = Entry::put(name, stat, old, Blocks::Placed);
                let seen = Seen::of(&meta).filter(|_| stat.form == Form::Blob);
                self.batch.push(Entry { seen, ..entry }, &[]);
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

    /// Whether the file has the time that it had when its entry was written.
    fn same_time(
        &mut self,
        cx: &mut Cx<'_>,
        (seq, stat): (u32, Stat),
        meta: &Meta,
    ) -> Result<bool, StoreError> {
        match (stat.form, Seen::of(meta)) {
            (Form::Posix, _) => Ok(stat.same_mtime(meta.mtime_ns)),
            (Form::Blob, Some(seen)) => self.times.knows(cx, seq, &seen),
            (Form::Blob | Form::Map, _) => Ok(false),
        }
    }

    /// A symbolic link is published as such.
    fn consider_link(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        target: String,
    ) -> Result<(), StoreError> {
        let Some(name) = self.name(path) else { return Ok(()) };
        let old = self.find(cx, &name)?;
        let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
        if let Some((seq, stat)) = old
            && stat.is_link()
        {
            let record = format::record(&mut nodes, u64::from(seq))?;
            if record.and_then(|record| record.link).as_ref() == Some(&target) {
                self.figures.files_done += 1;
                return Ok(());
            }
        }
        // Names below it, if it was a directory, go first.
        if self.names.has_children(&mut nodes, &name)? {
            self.remove_below(&name, Some(name.clone()), None);
        }
        self.figures.files_done += 1;
        let entry = Entry::put(name, Stat::link(), old, Blocks::New(0));
        self.batch.push(Entry { link: Some(target), ..entry }, &[]);
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
                // What was doubted, or has another time alone, may be as it was.
                match (entry.old, &entry.stat) {
                    (Some((seq, old)), Some(stat)) if entry.is_placed() && stat.says(&old) => {
                        if let (Some(seen), Form::Blob) = (&entry.seen, stat.form) {
                            self.times.note(cx, seq, seen)?;
                        }
                    }
                    _ => self.batch.push(*entry, &leaves),
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
                    self.batch.push(Entry::delete(entry.name, old), &[]);
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
