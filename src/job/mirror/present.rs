//! What stands where a file is to go: ours, the user's, or nothing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Mirror;
use crate::drive::stat::{Form, Stat};
use crate::job::files::{entry, link_of, read_all, waits, within};
use crate::job::map::Map;
use crate::job::{Budget, Cx};
use crate::store::StoreError;
use crate::store::disk::{File, Kind, Meta, Open};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    Nothing,
    /// A file that the drive wrote, unchanged: this one. Another may stand there by now.
    Ours(Meta),
    /// A file that somebody else wrote or changed.
    Foreign,
    Dir,
    /// The way there leads through something that is no directory.
    Unreachable,
}

/// Whose file counts as ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    /// The entry that was put there last (0: none), and no other.
    Written(u32),
    /// That one, a second one, and those that a killed run may have left.
    Any(u32, Option<u32>),
}

/// A file whose content is being compared with entries.
#[derive(Debug)]
pub(super) struct Compare {
    path: PathBuf,
    file: File,
    /// What stood at the path before it was opened.
    meta: Meta,
    /// Entries of the file's size still to try, the next one last.
    candidates: Vec<(Stat, Option<Rc<Map>>)>,
    block: u64,
}

impl Mirror {
    /// What stands at a path: `Ours` if its size and time are those of the entry written there by
    /// us, or its content is that of one of the entries of `ours`. Size and time alone say
    /// nothing of an entry that we have not written: a user may save a file of the same size in the
    /// same millisecond. `None`: the budget is spent before that is known.
    pub(super) fn present(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        path: &Path,
        ours: Ours,
    ) -> Result<Option<Present>, StoreError> {
        if self.comparing.as_ref().is_none_or(|comparing| comparing.path != path) {
            if let Some(other) = self.comparing.take() {
                cx.disk.close(other.file);
            }
            let meta = match cx.disk.stat(cx.dir, path, false) {
                Ok(meta) => meta,
                Err(error) => {
                    return match error.kind() {
                        ErrorKind::NotFound => Ok(Some(Present::Nothing)),
                        ErrorKind::WouldBlock => Err(StoreError::NotYet),
                        _ => Ok(Some(Present::Unreachable)),
                    };
                }
            };
            match meta.kind {
                Kind::File => {}
                Kind::Dir => return Ok(Some(Present::Dir)),
                Kind::Symlink => {
                    let entries = self.entries_of(cx, path, ours)?;
                    let is_ours = self.is_link_of(cx, path, &entries)?;
                    return Ok(Some(if is_ours { Present::Ours(meta) } else { Present::Foreign }));
                }
                Kind::Other => return Ok(Some(Present::Foreign)),
            }
            let mut candidates = Vec::new();
            let (Ours::Written(written) | Ours::Any(written, _)) = ours;
            for seq in self.entries_of(cx, path, ours)? {
                let Some((_, stat)) = entry(&mut self.nodes(cx), seq)? else { continue };
                let same = stat.size == meta.size && stat.same_mtime(meta.mtime_ns);
                if same && seq == written {
                    return Ok(Some(Present::Ours(meta)));
                }
                let map = match stat.form {
                    Form::Map => self.files.map(cx.disk, cx.dir, seq, &stat)?,
                    _ => None,
                };
                let size = match stat.form {
                    Form::Map => map.as_ref().map(|map| map.bytes),
                    _ => Some(stat.size).filter(|_| !stat.is_link()),
                };
                if size == Some(meta.size) {
                    candidates.push((stat, map));
                }
            }
            if candidates.is_empty() {
                return Ok(Some(Present::Foreign));
            }
            if meta.size == 0 {
                return Ok(Some(Present::Ours(meta)));
            }
            let file = match cx.disk.open(cx.dir, path, Open::Read) {
                Ok(file) => file,
                Err(error) if waits(&error) => return Err(error.into()),
                Err(_) => return Ok(Some(Present::Foreign)),
            };
            let path = path.to_owned();
            self.comparing = Some(Compare { path, file, meta, candidates, block: 0 });
        }
        let Some(mut compare) = self.comparing.take() else { return Ok(None) };
        let result = compare_step(cx, budget, &mut compare);
        match result {
            Ok(Some(is_ours)) => {
                cx.disk.close(compare.file);
                Ok(Some(if is_ours { Present::Ours(compare.meta) } else { Present::Foreign }))
            }
            other => {
                self.comparing = Some(compare);
                other.map(|_| None)
            }
        }
    }
}

impl Mirror {
    /// The entries whose files count as ours. A run that was killed has said what it would put there,
    /// and may not have done it: then what was there before stands there still.
    fn entries_of(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        ours: Ours,
    ) -> Result<Vec<u32>, StoreError> {
        let (written, other) = match ours {
            Ours::Written(written) => {
                return Ok(Some(written).filter(|&seq| seq != 0).into_iter().collect());
            }
            Ours::Any(written, other) => (written, other),
        };
        let mut entries: Vec<u32> = other.into_iter().chain([written]).collect();
        if let Some(path) = path.to_str() {
            let name = format!("/{path}");
            entries.extend(self.journal.before(&name));
            if self.applied > 0 && self.journal.get(&name).is_some() {
                let applied = cx.format().get(&mut self.nodes(cx), self.applied, &name)?;
                entries.extend(applied.and_then(|entry| u32::try_from(entry.seq).ok()));
            }
        }
        entries.retain(|&seq| seq != 0);
        Ok(entries)
    }

    /// Whether a link leads where one of the entries says.
    pub(super) fn is_link_of(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        entries: &[u32],
    ) -> Result<bool, StoreError> {
        let target = match cx.disk.read_link(cx.dir, path) {
            Ok(target) => target,
            Err(error) if waits(&error) => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        for &seq in entries {
            let link = link_of(&mut self.nodes(cx), seq)?;
            if link.is_some_and(|link| Path::new(&link) == target) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn compare_step(
    cx: &mut Cx<'_>,
    budget: &mut Budget,
    compare: &mut Compare,
) -> Result<Option<bool>, StoreError> {
    let mut bytes = Vec::new();
    while let Some((stat, map)) = compare.candidates.last() {
        let chunk = map.as_ref().map(|map| map.chunks.get(compare.block as usize));
        let block = match chunk {
            Some(None) => return Ok(Some(true)),
            None if compare.block == stat.blocks => return Ok(Some(true)),
            Some(Some(chunk)) => chunk.block,
            None => stat.offset + compare.block,
        };
        let (disk, content) = cx.content()?;
        let same = match content.extent(disk, block) {
            Ok((offset, size)) => {
                budget.calls(2);
                budget.bytes(size as usize);
                bytes.clear();
                let at = match chunk.flatten() {
                    Some(chunk) => Some(chunk.at).filter(|_| chunk.bytes == size),
                    None => within(stat, offset, size),
                };
                match at {
                    Some(at) => {
                        read_all(disk, compare.file, at, size, &mut bytes)?
                            && content.check_leaf(disk, block, &bytes)?
                    }
                    None => false,
                }
            }
            Err(StoreError::Absent) => false,
            Err(error) => return Err(error),
        };
        if same {
            compare.block += 1;
        } else {
            compare.candidates.pop();
            compare.block = 0;
        }
        // After a block, not before: what led here may have spent all of it, each time.
        if budget.is_spent() {
            return Ok(None);
        }
    }
    Ok(Some(false))
}

impl Compare {
    pub fn close(self, cx: &mut Cx<'_>) {
        cx.disk.close(self.file);
    }
}
