//! What stands where a file is to go: ours, the user's, or nothing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Mirror;
use crate::drive::stat::Stat;
use crate::job::files::{entry, link_of, read_all, waits, within};
use crate::job::{Budget, Cx};
use crate::store::StoreError;
use crate::store::disk::{File, Kind, Open};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    Nothing,
    /// A file that the drive wrote, unchanged.
    Ours,
    /// A file that somebody else wrote or changed.
    Foreign,
    Dir,
    /// The way there leads through something that is no directory.
    Unreachable,
}

/// A file whose content is being compared with entries.
#[derive(Debug)]
pub(super) struct Compare {
    path: PathBuf,
    file: File,
    /// Entries of the file's size still to try, the next one last.
    candidates: Vec<(u32, Stat)>,
    block: u64,
}

impl Mirror {
    /// What stands at a path: `Ours` if its size and time are those of the entry `written` there by
    /// us (0: none), or its content is that of this or the `other` entry. Size and time alone say
    /// nothing of an entry that we have not written: a user may save a file of the same size in the
    /// same millisecond. `None`: the budget is spent before that is known.
    pub(super) fn present(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        path: &Path,
        other: Option<u32>,
        written: u32,
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
                Kind::Symlink => return self.present_link(cx, path, other, written).map(Some),
                Kind::Other => return Ok(Some(Present::Foreign)),
            }
            let mut candidates = Vec::new();
            let entries = other.into_iter().chain([written]);
            for seq in entries.filter(|&seq| seq != 0) {
                let Some((_, stat)) = entry(&mut self.nodes(cx), seq)? else { continue };
                if stat.is_link() {
                    continue;
                }
                let same = stat.size == meta.size && stat.same_mtime(meta.mtime_ns);
                if same && seq == written {
                    return Ok(Some(Present::Ours));
                }
                if stat.size == meta.size {
                    candidates.push((seq, stat));
                }
            }
            if candidates.is_empty() {
                return Ok(Some(Present::Foreign));
            }
            if meta.size == 0 {
                return Ok(Some(Present::Ours));
            }
            let file = match cx.disk.open(cx.dir, path, Open::Read) {
                Ok(file) => file,
                Err(error) if waits(&error) => return Err(error.into()),
                Err(_) => return Ok(Some(Present::Foreign)),
            };
            let path = path.to_owned();
            self.comparing = Some(Compare { path, file, candidates, block: 0 });
        }
        let Some(mut compare) = self.comparing.take() else { return Ok(None) };
        let result = compare_step(cx, budget, &mut compare);
        match result {
            Ok(Some(is_ours)) => {
                cx.disk.close(compare.file);
                Ok(Some(if is_ours { Present::Ours } else { Present::Foreign }))
            }
            other => {
                self.comparing = Some(compare);
                other.map(|_| None)
            }
        }
    }
}

impl Mirror {
    /// A link is ours if it leads where an entry says.
    fn present_link(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        other: Option<u32>,
        written: u32,
    ) -> Result<Present, StoreError> {
        let target = match cx.disk.read_link(cx.dir, path) {
            Ok(target) => target,
            Err(error) if waits(&error) => return Err(error.into()),
            Err(_) => return Ok(Present::Foreign),
        };
        for seq in other.into_iter().chain([written]).filter(|&seq| seq != 0) {
            let link = link_of(&mut self.nodes(cx), seq)?;
            if link.is_some_and(|link| Path::new(&link) == target) {
                return Ok(Present::Ours);
            }
        }
        Ok(Present::Foreign)
    }
}

fn compare_step(
    cx: &mut Cx<'_>,
    budget: &mut Budget,
    compare: &mut Compare,
) -> Result<Option<bool>, StoreError> {
    let mut bytes = Vec::new();
    while let Some((_, stat)) = compare.candidates.last() {
        if compare.block == stat.blocks {
            return Ok(Some(true));
        }
        let block = stat.offset + compare.block;
        let (disk, content) = cx.content()?;
        let same = match content.extent(disk, block) {
            Ok((offset, size)) => {
                budget.calls(2);
                budget.bytes(size as usize);
                bytes.clear();
                match within(stat, offset, size) {
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
