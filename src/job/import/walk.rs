//! The walk of the folder: directories are listed, watched before that, and their names looked at in
//! order.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Import;
use super::batch::{Blocks, Entry};
use super::links::Look;
use super::marks::Trust;
use crate::drive::format::Format;
use crate::drive::stat::Stat;
use crate::job::{Budget, Cx, Output, Step};
use crate::limits::{DRIVE_DEPTH, SCAN_NAMES};
use crate::store::StoreError;
use crate::store::disk::{Entry as Name, Kind};

/// A directory being walked.
#[derive(Debug)]
pub(super) struct Frame {
    pub path: PathBuf,
    /// Where that is, without links on the way.
    real: PathBuf,
    stage: Listing,
    /// Names still to look at, the next one last.
    names: Vec<Name>,
    /// Names were seen that are not ignored.
    inhabited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    /// Waits until it is watched.
    Unwatched,
    From(u64),
    Listed,
}

impl Import {
    pub(super) fn enter(&mut self, path: PathBuf) {
        if path.components().count() >= DRIVE_DEPTH {
            self.skip(&path, "it is too deep");
            return;
        }
        let real = self.links.leads_to(&path);
        let stage = if self.watch {
            self.outputs.push_back(Output::Watch { path: real.clone() });
            Listing::Unwatched
        } else {
            Listing::From(0)
        };
        self.frames.push(Frame { path, real, stage, names: Vec::new(), inhabited: false });
    }

    /// One name of the deepest directory being walked.
    pub(super) fn walk(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<Step, StoreError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Step::More) };
        if let Some(name) = frame.names.last() {
            budget.calls(1);
            let path = frame.path.join(&name.name);
            let kind = name.kind;
            let Some(text) = path.to_str() else {
                let path = path.clone();
                frame.names.pop();
                self.skip(&path, "its name is not UTF-8");
                return Ok(Step::More);
            };
            if self.rules.ignores_itself(text, kind == Kind::Dir) {
                frame.names.pop();
                return Ok(Step::More);
            }
            frame.inhabited = true;
            if kind == Kind::Dir {
                frame.names.pop();
                self.enter(path);
                return Ok(Step::More);
            }
            let found = self.look(cx, &path);
            let linked = matches!(found, Look::Dir(_));
            self.consider(cx, &path, found, Trust::Times)?;
            if let Some(frame) = self.frames.last_mut() {
                frame.names.pop();
            }
            if linked {
                self.enter(path);
            }
            return Ok(Step::More);
        }
        match frame.stage {
            Listing::Unwatched => Ok(Step::Idle),
            Listing::From(cursor) => {
                budget.calls(4);
                let mut cursor = Some(cursor);
                while let Some(from) = cursor.filter(|_| frame.names.len() < SCAN_NAMES) {
                    let room = SCAN_NAMES - frame.names.len();
                    let listed = cx.disk.list(cx.dir, &frame.real, from, room, &mut frame.names);
                    match listed {
                        Ok(next) => cursor = next,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            frame.names.clear();
                            return Err(StoreError::NotYet);
                        }
                        Err(error) if frame.path.as_os_str().is_empty() => return Err(error.into()),
                        Err(error) => {
                            let path = frame.path.clone();
                            self.frames.pop();
                            if error.kind() != ErrorKind::NotFound {
                                self.skip(&path, &format!("it cannot be read: {error}"));
                            }
                            return Ok(Step::More);
                        }
                    }
                }
                frame.names.sort_unstable_by(|a, b| b.name.cmp(&a.name));
                frame.names.dedup_by(|a, b| a.name == b.name);
                frame.stage = cursor.map_or(Listing::Listed, Listing::From);
                Ok(Step::More)
            }
            Listing::Listed => {
                if !frame.inhabited && !frame.path.as_os_str().is_empty() {
                    let path = frame.path.clone();
                    self.publish_dir(cx, &path)?;
                }
                self.frames.pop();
                Ok(Step::More)
            }
        }
    }

    /// An empty directory gets an entry of its own; others live by their files.
    pub(super) fn publish_dir(&mut self, cx: &mut Cx<'_>, path: &Path) -> Result<(), StoreError> {
        if cx.format() == Format::Hyper {
            // There, directories live by their files alone.
            return Ok(());
        }
        let Look::Dir(meta) = self.look(cx, path) else { return Ok(()) };
        let Some(name) = self.name(path) else { return Ok(()) };
        let old = self.find(cx, &name)?;
        let same = |stat: Stat| stat.is_dir() && stat.mode & 0o7777 == meta.mode & 0o7777;
        if old.is_some_and(|(_, stat)| same(stat)) || self.batch.has(&name) {
            return Ok(());
        }
        self.batch.push(Entry::put(name, Stat::of(&meta, true), old, Blocks::New(0)), &[]);
        Ok(())
    }

    /// The directory of an `Output::Watch` is watched now, or cannot be (it is then looked at from
    /// time to time).
    pub fn watched(&mut self, path: &Path, ok: bool) {
        self.polls |= !ok;
        for frame in &mut self.frames {
            if frame.stage == Listing::Unwatched && frame.real == path {
                frame.stage = Listing::From(0);
            }
        }
    }
}
