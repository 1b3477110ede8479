//! What is to be done about a difference between two versions.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::aside::is_still;
use super::present::{Ours, Present};
use super::{Item, Mirror};
use crate::drive::diff::Change;
use crate::drive::format::Entry;
use crate::drive::path::{self, Refusal};
use crate::drive::stat::{Form, Stat};
use crate::job::files::{entry, link_of, temp_path};
use crate::job::import::clear_unless_claimed;
use crate::job::{Budget, Cx, Nodes, Output};
use crate::limits::HYPER_MAP_BLOCK_BYTES;
use crate::store::StoreError;
use crate::store::disk::{Kind, Meta, Open};

/// What the owner of a directory may always do.
const OWNER_ALL: u32 = 0o700;

impl Mirror {
    /// Whether the entry is one of those asked for.
    pub(super) fn is_chosen(&self, path: &Path) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| path.starts_with(only))
    }

    /// Works on one difference; `true` when done with it. May be called again after any error.
    pub(super) fn plan(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        item: &Item,
    ) -> Result<bool, StoreError> {
        budget.calls(2);
        match &item.change {
            Change::Malformed { seq } => {
                self.refuse(&format!("entry {seq}"), "the entry cannot be read");
                Ok(true)
            }
            Change::Delete { name, old } => match path::check(name) {
                Ok(path) if self.is_chosen(&path) => {
                    self.plan_delete(cx, budget, name, &path, *old)
                }
                _ => Ok(true),
            },
            Change::Put { entry, old } => match path::check(&entry.name) {
                Ok(path) if !self.is_chosen(&path) => Ok(true),
                Ok(path) => self.plan_put(cx, budget, entry, &path, *old),
                Err(why) => {
                    self.refuse(&entry.name, &why.to_string());
                    Ok(true)
                }
            },
        }
    }

    pub(super) fn plan_put(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        found: &Entry,
        path: &Path,
        old: Option<u64>,
    ) -> Result<bool, StoreError> {
        self.journal.met(&found.name);
        let Some(stat) = found.stat else {
            self.refuse(&found.name, "what the entry says of the file cannot be read");
            return Ok(true);
        };
        if stat.is_dir() {
            if self.make_dirs(cx, path, &found.name)? {
                // Whoever keeps the copy has to be able to put there what the drive will.
                let mode = stat.permissions(None) | OWNER_ALL;
                cx.disk.set_dir_mode(cx.dir, path, mode).or_else(later::<StoreError>)?;
            }
            return Ok(true);
        }
        let seq = u32::try_from(found.seq).unwrap_or(u32::MAX);
        if let Some(why) = self.refusal(cx, &found.name, seq, &stat)? {
            self.refuse(&found.name, &why);
            return Ok(true);
        }
        let old = match old.and_then(|old| u32::try_from(old).ok()) {
            Some(old) => entry(&mut self.nodes(cx), old)?.map(|(_, stat)| (old, stat)),
            None => None,
        };
        let old = old.filter(|(_, stat)| !stat.is_dir());
        let superseded = old.and_then(|(old, _)| self.pending.get(&old).copied());
        let standing = self
            .journal
            .get(&found.name)
            .or(superseded)
            .unwrap_or_else(|| old.map_or(0, |(old, _)| old));

        let meta = cx.disk.stat(cx.dir, path, false).ok().filter(|meta| meta.kind == Kind::File);
        let same_size = meta.is_some_and(|meta| meta.size == stat.size);
        let is_same = same_size && meta.is_some_and(|meta| stat.same_mtime(meta.mtime_ns));
        if is_same && self.is_stored(cx, &stat) {
            let other_mode = |mode: u32| stat.permissions(Some(mode)) != mode & 0o777;
            if let Some(meta) = meta.filter(|meta| other_mode(meta.mode))
                && !self.set_meta(cx, path, &stat, &meta)?
            {
                return Ok(false);
            }
            self.count_planned(&stat, old.map(|(_, stat)| stat));
            self.files.insert(seq, &stat, false);
            self.journal.note(&found.name, seq);
            self.retire(cx, old, superseded.is_some())?;
            return Ok(true);
        }
        if standing == seq && stat.blocks == 0 && stat.form == Form::Blob {
            // A link or empty file that an earlier run may have put there.
            let is_there = match stat.is_link() {
                true => self.is_link_of(cx, path, &[seq])?,
                false => same_size,
            };
            if is_there {
                if let Some(meta) = meta.filter(|_| !stat.is_link())
                    && !self.set_meta(cx, path, &stat, &meta)?
                {
                    return Ok(false);
                }
                self.count_planned(&stat, old.map(|(_, stat)| stat));
                self.retire(cx, old, superseded.is_some())?;
                return Ok(true);
            }
        }
        let same_blocks = old.filter(|(_, old)| {
            let range = |stat: &Stat| (stat.offset, stat.blocks, stat.byte_offset, stat.size);
            range(old) == range(&stat) && stat.blocks > 0 && stat.form != Form::Map
        });
        if let (Some((old_seq, old_stat)), None) = (same_blocks, superseded) {
            // Only time or mode changed: the file that stands there gets them.
            let Some(present) = self.present(cx, budget, path, Ours::Written(standing))? else {
                return Ok(false);
            };
            if let Present::Ours(proven) = present
                && self.is_stored(cx, &stat)
            {
                if !self.set_meta(cx, path, &stat, &proven)? {
                    return Ok(false);
                }
                self.count_planned(&stat, Some(old_stat));
                self.files.remove(old_seq, &old_stat);
                self.files.insert(seq, &stat, false);
                self.journal.note(&found.name, seq);
                self.tell_put(path, seq, stat.size);
                return Ok(true);
            }
        }
        if let (Some((old_seq, _)), Some(_)) = (same_blocks, superseded) {
            self.files.close(cx.disk, old_seq);
            match cx.disk.rename(cx.dir, &temp_path(old_seq), &temp_path(seq), false) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => drop(self.temps.insert(seq)),
            }
        }
        if self.pending.insert(seq, standing).is_none() {
            self.count_planned(&stat, old.map(|(_, stat)| stat));
            self.pending_bytes += stat.size;
        }
        self.files.insert(seq, &stat, true);
        if let Some((old_seq, _)) = old
            && (superseded.is_some() || old_seq != standing)
        {
            self.retire(cx, old, superseded.is_some())?;
        }
        let known = stat.form != Form::Map && known_blocks(cx, &stat);
        if known && (self.has_any(cx, &stat) || same_size || self.temps.contains(&seq)) {
            self.adopt.insert(seq);
        } else {
            self.want(&stat);
            self.touched.push(seq);
        }
        Ok(true)
    }

    /// Why an entry that is no directory cannot stand in the folder.
    pub(super) fn refusal(
        &mut self,
        cx: &mut Cx<'_>,
        name: &str,
        seq: u32,
        stat: &Stat,
    ) -> Result<Option<String>, StoreError> {
        if stat.is_link() {
            let link = link_of(&mut self.nodes(cx), seq)?;
            let checked = path::check_link(name, link.as_deref().unwrap_or_default());
            return Ok(checked.err().map(|why| match why {
                Refusal::LeavesFolder => "it is a link that leads out of the folder".to_owned(),
                Refusal::DatDirectory => "it is a link into the folder's own .dat".to_owned(),
                why => format!("it is a link, and where it leads, {why}"),
            }));
        }
        if stat.form == Form::Map && stat.size > stat.blocks.saturating_mul(HYPER_MAP_BLOCK_BYTES) {
            return Ok(Some("the map of its content is too long".to_owned()));
        }
        let why = match stat.is_file() {
            true if stat.is_consistent() && seq != u32::MAX => return Ok(None),
            true => "the entry's size and blocks contradict each other",
            false => "it is neither a file nor a directory",
        };
        Ok(Some(why.to_owned()))
    }

    fn plan_delete(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        name: &str,
        path: &Path,
        old: u64,
    ) -> Result<bool, StoreError> {
        self.journal.met(name);
        let Ok(old) = u32::try_from(old) else { return Ok(true) };
        let Some((_, stat)) = entry(&mut self.nodes(cx), old)? else { return Ok(true) };
        if stat.is_dir() {
            let _ = cx.disk.remove_dir(cx.dir, path);
            return Ok(true);
        }
        let superseded = self.pending.get(&old).copied();
        let standing = self.journal.get(name).or(superseded).unwrap_or(old);
        if standing != 0 {
            let ours = Ours::Any(standing, None);
            let Some(present) = self.present_still(cx, budget, path, ours)? else {
                return Ok(false);
            };
            match present {
                Present::Ours(proven) => {
                    self.files.close(cx.disk, standing);
                    match self.take_away(cx, old, path, &proven) {
                        Err(error @ (StoreError::NotYet | StoreError::Full)) => return Err(error),
                        Err(error) => {
                            self.refuse(name, &format!("it cannot be removed: {error}"));
                        }
                        Ok(false) => {}
                        Ok(true) => {
                            let path = path.to_string_lossy().into_owned();
                            let seq = u64::from(standing);
                            self.outputs.push_back(Output::Deleted { path, seq });
                        }
                    }
                    self.prune(cx, path);
                }
                Present::Foreign => {
                    let path = path.to_string_lossy().into_owned();
                    self.outputs.push_back(Output::Kept { kept_as: path.clone(), path });
                }
                Present::Nothing | Present::Dir | Present::Unreachable => {}
            }
        }
        self.journal.note(name, 0);
        self.figures.files = self.figures.files.saturating_sub(1);
        self.figures.bytes = self.figures.bytes.saturating_sub(stat.size);
        if standing != old && standing != 0 {
            let standing = entry(&mut self.nodes(cx), standing)?.map(|(_, stat)| (standing, stat));
            self.retire(cx, standing, false)?;
        }
        self.retire(cx, Some((old, stat)), superseded.is_some())?;
        Ok(true)
    }

    /// Removes the directories above a removed file that are empty now.
    fn prune(&mut self, cx: &mut Cx<'_>, path: &Path) {
        self.made = PathBuf::new();
        for dir in path.ancestors().skip(1) {
            if dir.as_os_str().is_empty() || cx.disk.remove_dir(cx.dir, dir).is_err() {
                return;
            }
        }
    }

    /// An entry stands no more: its content is forgotten, and its temporary file if it has one.
    pub(super) fn retire(
        &mut self,
        cx: &mut Cx<'_>,
        old: Option<(u32, Stat)>,
        pending: bool,
    ) -> Result<(), StoreError> {
        let Some((seq, stat)) = old else { return Ok(()) };
        let chunks = self.files.chunks_of(seq);
        self.files.remove(seq, &stat);
        if pending {
            self.drop_pending(cx, seq, &stat);
        }
        self.retire_chunks(cx, &chunks)?;
        clear_unless_claimed(cx, &self.files, stat.offset, stat.blocks, &mut self.outputs)
    }

    /// The entry is not worked on any more.
    pub(super) fn drop_pending(&mut self, cx: &mut Cx<'_>, seq: u32, stat: &Stat) {
        if self.pending.remove(&seq).is_none() {
            return;
        }
        self.pending_bytes = self.pending_bytes.saturating_sub(stat.size);
        self.adopt.remove(&seq);
        self.missing.remove(&seq);
        if self.adopting.as_ref().is_some_and(|adopting| adopting.seq == seq)
            && let Some(adopting) = self.adopting.take()
        {
            adopting.close(cx);
        }
        self.ready.retain(|&ready| ready != seq);
        if self.ready.is_empty() {
            self.ready_since = None;
        }
        self.files.remove(seq, stat);
        self.files.close(cx.disk, seq);
        let _ = cx.disk.remove(cx.dir, &temp_path(seq));
        self.temps.remove(&seq);
        self.rebuild = true;
    }

    pub(super) fn count_planned(&mut self, stat: &Stat, old: Option<Stat>) {
        if let Some(old) = old {
            self.figures.files = self.figures.files.saturating_sub(1);
            self.figures.bytes = self.figures.bytes.saturating_sub(old.size);
        }
        self.figures.files += 1;
        self.figures.bytes += stat.size;
    }

    /// A file that an earlier run put in place and that the plan has not met: the version planned
    /// has another entry under its name, or none.
    pub(super) fn orphan(&mut self, cx: &mut Cx<'_>, seq: u32) -> Result<Option<Item>, StoreError> {
        if !cx.metadata.feed().has(u64::from(seq)) {
            return Ok(None);
        }
        let version = self.planned;
        let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
        let Some((name, _)) = entry(&mut nodes, seq)? else { return Ok(None) };
        let old = u64::from(seq);
        let change = match nodes.format().get(&mut nodes, version, &name)? {
            Some(entry) => Change::Put { entry, old: Some(old) },
            None => Change::Delete { name, old },
        };
        Ok(Some(Item { change }))
    }

    pub(super) fn is_stored(&self, cx: &mut Cx<'_>, stat: &Stat) -> bool {
        stat.blocks == 0 || stored(cx, stat) == stat.blocks
    }

    fn has_any(&self, cx: &mut Cx<'_>, stat: &Stat) -> bool {
        stat.blocks > 0 && stored(cx, stat) > 0
    }

    /// Gives a file that stands in the folder its mode and time. `false`: it is not the one any more
    /// that was looked at. With the drive's time another one would pass for the drive's.
    pub(super) fn set_meta(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        stat: &Stat,
        proven: &Meta,
    ) -> Result<bool, StoreError> {
        let file = match cx.disk.open(cx.dir, path, Open::Read) {
            Ok(file) => Some(file),
            Err(error) => later::<StoreError>(error).map(|()| None)?,
        };
        let still = is_still(cx, path, proven);
        let Some(file) = file else { return Ok(still?) };
        let set = still.and_then(|still| {
            if still {
                let mode = Some(stat.permissions(Some(proven.mode)));
                cx.disk.set_meta(file, mode, stat.mtime_ns()).or_else(later::<std::io::Error>)?;
            }
            Ok(still)
        });
        cx.disk.close(file);
        Ok(set?)
    }
}

/// Only errors that pass are errors here; a file whose mode cannot be set is left as it is.
fn later<E: From<std::io::Error>>(error: std::io::Error) -> Result<(), E> {
    if crate::job::files::waits(&error) { Err(error.into()) } else { Ok(()) }
}

/// Blocks of the file whose bits are set.
fn stored(cx: &mut Cx<'_>, stat: &Stat) -> u64 {
    cx.content.as_ref().map_or(0, |c| c.feed().have().count_range(stat.offset, stat.blocks))
}

/// Whether the hash of any of its blocks is known.
fn known_blocks(cx: &mut Cx<'_>, stat: &Stat) -> bool {
    let first = cx.content.as_ref().and_then(|c| c.feed().nodes().next_set(2 * stat.offset));
    first.is_some_and(|node| node < 2 * (stat.offset + stat.blocks))
}
