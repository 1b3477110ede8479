//! Complete files go to their places: mode and time, one sync for many, then the renames. What the
//! user changed is never overwritten.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Mirror;
use super::present::{Ours, Present};
use crate::drive::path;
use crate::drive::stat::{Form, Stat};
use crate::job::files::{entry, link_of, temp_path, waits};
use crate::job::{Budget, Cx, Nodes, Output};
use crate::limits::{DRIVE_COMPONENT_BYTES, KEPT_NAMES, MIRROR_BATCH_FILES};
use crate::store::StoreError;
use crate::store::disk::Kind;

/// Files being put in place.
#[derive(Debug)]
pub(super) struct Placing {
    list: Vec<u32>,
    at: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Prepare,
    Sync,
    Rename,
}

impl Mirror {
    pub(super) fn begin_placing(&mut self) {
        let n = self.ready.len().min(MIRROR_BATCH_FILES);
        let list = self.ready.drain(..n).collect();
        self.ready_since = None;
        self.placing = Some(Placing { list, at: 0, stage: Stage::Prepare });
    }

    pub(super) fn place_step(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<(), StoreError> {
        let Some(mut placing) = self.placing.take() else { return Ok(()) };
        let result = self.place_some(cx, budget, &mut placing);
        if !matches!(result, Ok(true)) {
            self.placing = Some(placing);
        }
        result.map(drop)
    }

    fn place_some(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        placing: &mut Placing,
    ) -> Result<bool, StoreError> {
        while !budget.is_spent() {
            let next = placing.list.get(placing.at).copied();
            match (placing.stage, next) {
                (Stage::Prepare, Some(seq)) => {
                    budget.calls(3);
                    if self.prepare(cx, seq)? {
                        placing.at += 1;
                    } else {
                        placing.list.remove(placing.at);
                    }
                }
                (Stage::Prepare, None) => {
                    self.journal.write(cx.disk)?;
                    placing.stage = Stage::Sync;
                }
                (Stage::Sync, _) => {
                    if !placing.list.is_empty() {
                        self.commit(cx)?;
                    }
                    (placing.stage, placing.at) = (Stage::Rename, 0);
                }
                (Stage::Rename, Some(seq)) => {
                    budget.calls(3);
                    if !self.put_in_place(cx, budget, seq)? {
                        return Ok(false);
                    }
                    placing.at += 1;
                }
                (Stage::Rename, None) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Makes everything placed so far durable, then the bits that say so.
    pub(super) fn commit(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let now = cx.now;
        if let Some(content) = &mut cx.content {
            content.sync_around(cx.disk, cx.dir)?;
            content.commit(cx.disk, now)?;
        } else {
            cx.disk.sync_fs(cx.dir)?;
        }
        self.journal.synced();
        self.uncommitted = 0;
        self.unflushed = false;
        Ok(())
    }

    /// The temporary file gets its mode and time. `false`: the entry is refused.
    fn prepare(&mut self, cx: &mut Cx<'_>, seq: u32) -> Result<bool, StoreError> {
        let Some((name, stat)) = entry(&mut self.nodes(cx), seq)? else { return Ok(false) };
        if stat.is_link() {
            return self.prepare_link(cx, seq, &name);
        }
        if stat.form != Form::Map && !fits(cx, &stat)? {
            self.refuse_pending(cx, seq, &name, &stat)?;
            return Ok(false);
        }
        let Some((file, _)) = self.temp(cx, seq)? else { return Ok(false) };
        // A file of ours that it takes the place of may have another mode by the user's will.
        let standing = self.pending.get(&seq).is_some_and(|&standing| standing != 0);
        let has = path::check(&name).ok().filter(|_| standing && stat.form != Form::Posix);
        let has = has.and_then(|path| cx.disk.stat(cx.dir, &path, false).ok());
        let has = has.filter(|meta| meta.kind == Kind::File).map(|meta| meta.mode);
        match cx.disk.set_meta(file, Some(stat.permissions(has)), stat.mtime_ns()) {
            Err(error) if waits(&error) => return Err(error.into()),
            _ => {}
        }
        self.files.close(cx.disk, seq);
        self.journal.note(&name, seq);
        Ok(true)
    }

    /// The link as the entry says it, where a file's content would be. Whoever took it away, or an
    /// earlier run, may have left something there.
    fn prepare_link(&mut self, cx: &mut Cx<'_>, seq: u32, name: &str) -> Result<bool, StoreError> {
        let Some(link) = link_of(&mut self.nodes(cx), seq)? else { return Ok(false) };
        let temp = temp_path(seq);
        match cx.disk.remove(cx.dir, &temp) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        match cx.disk.make_link(cx.dir, Path::new(&link), &temp) {
            Ok(()) => {}
            Err(error) if waits(&error) => return Err(error.into()),
            Err(error) => {
                self.refuse(name, &format!("its link cannot be made: {error}"));
                if let Some((_, stat)) = entry(&mut self.nodes(cx), seq)? {
                    self.count_dropped(&stat);
                    self.drop_pending(cx, seq, &stat);
                }
                return Ok(false);
            }
        }
        self.temps.insert(seq);
        self.journal.note(name, seq);
        Ok(true)
    }

    /// Its blocks are not what the entry says (D07).
    pub(super) fn refuse_pending(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        name: &str,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        self.refuse(name, "its size is not that of its blocks");
        self.count_dropped(stat);
        self.drop_pending(cx, seq, stat);
        self.retire(cx, Some((seq, *stat)), false)
    }

    /// The entry is not written, and why.
    pub(super) fn refuse(&mut self, name: &str, why: &str) {
        let path = name.trim_start_matches('/').to_owned();
        self.outputs.push_back(Output::Refused { path, why: why.to_owned() });
    }

    fn count_dropped(&mut self, stat: &Stat) {
        self.figures.files = self.figures.files.saturating_sub(1);
        self.figures.bytes = self.figures.bytes.saturating_sub(stat.size);
    }

    /// `false`: the budget is spent.
    fn put_in_place(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        seq: u32,
    ) -> Result<bool, StoreError> {
        // A newer version may have taken the entry back meanwhile.
        let Some(&standing) = self.pending.get(&seq) else { return Ok(true) };
        let Some((name, stat)) = entry(&mut self.nodes(cx), seq)? else { return Ok(true) };
        let Ok(path) = path::check(&name) else { return Ok(true) };
        let parent = path.parent().unwrap_or(Path::new("")).to_owned();
        if !self.make_dirs(cx, &parent, &name)? {
            self.count_dropped(&stat);
            self.drop_pending(cx, seq, &stat);
            return Ok(true);
        }
        let ours = Ours::Any(standing, Some(seq));
        let Some(present) = self.present_still(cx, budget, &path, ours)? else {
            return Ok(false);
        };
        let in_the_way = match present {
            Present::Nothing | Present::Ours(_) => false,
            Present::Dir if cx.disk.remove_dir(cx.dir, &path).is_ok() => false,
            Present::Dir => {
                let (format, target) = (cx.format(), self.target());
                if format.has_children(&mut self.nodes(cx), target, &name)? {
                    self.refuse(&name, "the drive has a directory where this file is");
                    self.count_dropped(&stat);
                    self.drop_pending(cx, seq, &stat);
                    return Ok(true);
                }
                true
            }
            Present::Foreign | Present::Unreachable => true,
        };
        if in_the_way {
            self.keep_as(cx, &path, &path)?;
        }
        let old = match standing {
            0 => None,
            old if old == seq => None,
            old => entry(&mut self.nodes(cx), old)?.map(|(_, stat)| (old, stat)),
        };
        let mut renamed = match present {
            Present::Ours(proven) => self.put_over(cx, seq, &path, &proven),
            _ => self.put_there(cx, seq, &path),
        };
        if renamed.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            if cx.disk.stat(cx.dir, &temp_path(seq), false).is_err() {
                // Somebody took the temporary file away: what it held is fetched again.
                self.adopt.insert(seq);
                self.rebuild = true;
                return Ok(true);
            }
            self.made = PathBuf::new();
            if self.make_dirs(cx, &parent, &name)? {
                renamed = self.put_there(cx, seq, &path);
            }
        }
        if let Err(error) = renamed {
            if waits(&error) {
                return Err(error.into());
            }
            if error.kind() == ErrorKind::AlreadyExists {
                // Somebody was faster. What stands there now is another question.
                return Ok(false);
            }
            self.refuse(&name, &format!("it cannot be written: {error}"));
            self.count_dropped(&stat);
            self.drop_pending(cx, seq, &stat);
            return Ok(true);
        }
        self.pending.remove(&seq);
        self.temps.remove(&seq);
        self.pending_bytes = self.pending_bytes.saturating_sub(stat.size);
        self.partial = self.partial.saturating_sub(stat.size);
        let size = self.settle(cx, seq, &stat)?;
        self.tell_put(&path, seq, size);
        self.retire(cx, old, false)?;
        self.let_go(cx)?;
        Ok(true)
    }

    pub(super) fn tell_put(&mut self, path: &Path, seq: u32, size: u64) {
        let path = path.to_string_lossy().into_owned();
        self.outputs.push_back(Output::Put { path, seq: u64::from(seq), size });
    }

    /// Makes a directory and those above it. `false`: it cannot be, which was reported.
    pub(super) fn make_dirs(
        &mut self,
        cx: &mut Cx<'_>,
        dir: &Path,
        name: &str,
    ) -> Result<bool, StoreError> {
        if self.made == dir || dir.as_os_str().is_empty() {
            return Ok(true);
        }
        let mut ways: Vec<&Path> = dir.ancestors().filter(|d| !d.as_os_str().is_empty()).collect();
        ways.reverse();
        for way in ways {
            let Err(error) = cx.disk.make_dir(cx.dir, way) else { continue };
            if waits(&error) {
                return Err(error.into());
            }
            let meta = cx.disk.stat(cx.dir, way, false);
            match meta.map(|meta| meta.kind) {
                Ok(Kind::Dir) => {}
                Ok(Kind::Symlink) => {
                    self.refuse(name, "a link stands where it needs a directory");
                    return Ok(false);
                }
                Ok(_) => {
                    let entry = format!("/{}", way.to_string_lossy());
                    let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
                    if nodes.format().get(&mut nodes, self.target(), &entry)?.is_some() {
                        self.refuse(name, "the drive has a file where this needs a directory");
                        return Ok(false);
                    }
                    self.keep_as(cx, way, way)?;
                    cx.disk.make_dir(cx.dir, way)?;
                }
                Err(_) => {
                    self.refuse(name, &format!("its directory cannot be made: {error}"));
                    return Ok(false);
                }
            }
        }
        self.made = dir.to_owned();
        Ok(true)
    }

    /// Keeps a file of the user's that stood at `path` under a name beside that is free.
    pub(super) fn keep_as(
        &mut self,
        cx: &mut Cx<'_>,
        from: &Path,
        path: &Path,
    ) -> Result<(), StoreError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for n in 1..=KEPT_NAMES {
            let suffix = format!(".kept-{n}");
            let mut end = name.len().min(DRIVE_COMPONENT_BYTES - suffix.len());
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            let beside = path.with_file_name(format!("{}{suffix}", &name[..end]));
            match cx.disk.rename(cx.dir, from, &beside, true) {
                Ok(()) => {
                    let path = path.to_string_lossy().into_owned();
                    let kept_as = beside.to_string_lossy().into_owned();
                    self.outputs.push_back(Output::Kept { path, kept_as });
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                // The user has taken it away.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(std::io::Error::from(ErrorKind::AlreadyExists).into())
    }
}

/// Whether the entry's numbers are those of the content feed (D07).
fn fits(cx: &mut Cx<'_>, stat: &Stat) -> Result<bool, StoreError> {
    if stat.blocks == 0 {
        return Ok(true);
    }
    let (disk, content) = cx.content()?;
    let (start, _) = content.extent(disk, stat.offset)?;
    let (last, size) = content.extent(disk, stat.offset + stat.blocks - 1)?;
    Ok(start == stat.byte_offset && last + size == stat.byte_offset + stat.size)
}
