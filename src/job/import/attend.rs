//! The steady state: what is told to have happened to paths, and looking at them when it is time.

use std::io::ErrorKind;
use std::path::Path;

use super::links::Look;
use super::marks::Mark;
use super::{Import, Phase};
use crate::drive::ignore::DATIGNORE;
use crate::drive::path::{self, DAT_DIR};
use crate::job::{Budget, Cx, Figures, Nodes, Output, Step};
use crate::limits::RESCAN_AFTER;
use crate::store::StoreError;
use crate::sys::Change;
use crate::time::Instant;

impl Import {
    /// The steady state: rescans, marked paths, and telling when all is written.
    pub(super) fn attend(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<Step, StoreError> {
        if self.rescan.is_some_and(|at| at <= cx.now) {
            self.rescan = None;
            self.marks.clear();
            self.phase = Phase::Rules;
            self.flush = true;
            return Ok(Step::More);
        }
        if let Some((path, mark)) = self.marks.due(cx.now) {
            budget.calls(2);
            match self.mind(cx, &path, mark) {
                Ok(()) => return Ok(Step::More),
                Err(error) => {
                    self.marks.add(cx.now, &path, Change::Attributes);
                    return Err(error);
                }
            }
        }
        if !self.batch.is_empty() {
            self.flush = true;
            return Ok(Step::More);
        }
        let version = self.names.version();
        if self.told != Some(version) {
            self.told = Some(version);
            let Figures { files, bytes, .. } = self.figures;
            self.outputs.push_back(Output::Complete { version, files, bytes });
        }
        Ok(Step::Idle)
    }

    /// A marked path whose time has come.
    pub(super) fn mind(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        mark: Mark,
    ) -> Result<(), StoreError> {
        let Some(name) = self.name(path) else { return Ok(()) };
        if self.batch.has(&name) {
            self.flush = true;
            self.marks.add(cx.now, path, Change::Attributes);
            return Ok(());
        }
        let found = self.look(cx, path);
        let is_dir = matches!(found, Look::Dir(_));
        if self.rules.ignores(path, is_dir) {
            return Ok(());
        }
        match found {
            Look::File(meta) => {
                if self.marks.is_still(cx.now, path, mark, &meta) {
                    self.consider(cx, path, Look::File(meta), mark.trust)?;
                }
            }
            Look::Link(target) => self.consider(cx, path, Look::Link(target), mark.trust)?,
            Look::Dir(_) => {
                if let Some((_, stat)) = self.find(cx, &name)?
                    && !stat.is_dir()
                {
                    self.remove_below(&name, None, None);
                }
                let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
                if mark.scan || !self.names.has_children(&mut nodes, &name)? {
                    self.enter(path.to_owned());
                }
            }
            Look::Gone | Look::Odd(_) => {
                cx.disk.stat(cx.dir, Path::new(DAT_DIR), false)?;
                if let Look::Odd(why) = found {
                    self.skip(path, why);
                }
                let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
                if self.names.has_members(&mut nodes, &name)? || self.find(cx, &name)?.is_some() {
                    let parent = path.parent().map(Path::to_owned);
                    self.remove_below(&name, None, parent);
                }
            }
            Look::Unreadable(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(StoreError::NotYet);
            }
            Look::Unreadable(error) => self.skip(path, &format!("it cannot be read: {error}")),
        }
        Ok(())
    }

    /// Something happened to a path (relative to the folder).
    pub fn changed(&mut self, now: Instant, path: &Path, what: Change) {
        if path == Path::new(DATIGNORE) {
            self.look_again(now + crate::limits::CLOSED_SETTLE);
        } else if !path.starts_with(DAT_DIR) {
            let mut names = self.links.others(path, what);
            names.push(path.to_owned());
            if !names.iter().all(|path| self.marks.add(now, path, what)) {
                self.overflow(now);
            }
        }
    }

    /// The file does not have this content block any more: it was changed, and nobody told. It is
    /// published as it is, even if its size and time say that it is the same.
    pub fn doubt(
        &mut self,
        nodes: &mut Nodes<'_>,
        now: Instant,
        block: u64,
    ) -> Result<(), StoreError> {
        let places: Vec<u32> = self.files.at(block).map(|place| place.seq).collect();
        for seq in places {
            let Some((name, _)) = crate::job::files::entry(nodes, seq)? else { continue };
            let Ok(path) = path::check(&name) else { continue };
            let hashing = self.hashing.as_ref().is_some_and(|hashing| hashing.path == path);
            if !hashing && !self.marks.doubt(now, &path) {
                self.overflow(now);
            }
        }
        Ok(())
    }

    /// A watched directory is gone.
    pub fn lost(&mut self, now: Instant, path: &Path) {
        if path.as_os_str().is_empty() {
            self.overflow(now);
        } else {
            self.changed(now, path, Change::Vanished { dir: true });
        }
    }

    /// Events were lost: everything is looked at again.
    pub fn overflow(&mut self, now: Instant) {
        let earliest = self.rescanned + RESCAN_AFTER;
        let soon = now + crate::limits::STILL_FOR;
        self.look_again(if self.told.is_none() { soon } else { soon.max(earliest) });
    }

    pub(super) fn look_again(&mut self, at: Instant) {
        self.rescan = Some(self.rescan.map_or(at, |rescan| rescan.min(at)));
    }
}
