//! A file of ours that is replaced or removed is taken out of its place first, and looked at there,
//! where nobody else reaches it: between the last look at a path and what is done to it a user may
//! save another file. Only what is proven to be ours goes; what is not is kept.
//!
//! What was taken out is `.dat/tmp/<entry>.<inode>.<proven inode>.<size>.<time>`. So a run that
//! comes after a kill knows without the content what it finds there: the file that was to be put in
//! place (`inode`; 0 where one was to be removed), the one that was proven, or the user's.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Mirror;
use super::present::{Ours, Present};
use crate::drive::path;
use crate::job::files::{entry, temp_dir, temp_path, waits};
use crate::job::{Budget, Cx, Output};
use crate::limits::SCAN_NAMES;
use crate::store::StoreError;
use crate::store::disk::Meta;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aside {
    seq: u32,
    /// The file that is put in place; 0: none is.
    own: u64,
    inode: u64,
    size: u64,
    mtime_ns: i128,
}

impl Aside {
    fn new(seq: u32, own: u64, proven: &Meta) -> Aside {
        let Meta { inode, size, mtime_ns, .. } = *proven;
        Aside { seq, own, inode, size, mtime_ns }
    }

    fn path(&self) -> PathBuf {
        let Aside { seq, own, inode, size, mtime_ns } = self;
        PathBuf::from(format!("{}/{seq}.{own}.{inode}.{size}.{mtime_ns}", temp_dir()))
    }

    fn parse(name: &str) -> Option<Aside> {
        let mut parts = name.split('.');
        let mut next = || parts.next();
        let aside = Aside {
            seq: next()?.parse().ok()?,
            own: next()?.parse().ok()?,
            inode: next()?.parse().ok()?,
            size: next()?.parse().ok()?,
            mtime_ns: next()?.parse().ok()?,
        };
        next().is_none().then_some(aside)
    }

    /// Renaming changes a file's `ctime`, so that this alone says nothing of it.
    fn is_proven(&self, meta: &Meta) -> bool {
        (meta.inode, meta.size, meta.mtime_ns) == (self.inode, self.size, self.mtime_ns)
    }
}

/// Whether what stands at a path is what was looked at.
pub(super) fn is_still(cx: &mut Cx<'_>, path: &Path, proven: &Meta) -> io::Result<bool> {
    match cx.disk.stat(cx.dir, path, false) {
        Ok(meta) => Ok(meta == *proven),
        Err(error) if waits(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether an error is about what stands there, and not about what the file system can.
fn says_more(error: &io::Error) -> bool {
    waits(error) || matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound)
}

impl Mirror {
    /// What stands at a path, as `present` says, looked at once more. What changed meanwhile is
    /// compared anew, once; then it is somebody else's. `None`: call again.
    pub(super) fn present_still(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        path: &Path,
        ours: Ours,
    ) -> Result<Option<Present>, StoreError> {
        let Some(present) = self.present(cx, budget, path, ours)? else { return Ok(None) };
        if let Present::Ours(proven) = present
            && !is_still(cx, path, &proven)?
        {
            self.changed = !self.changed;
            return Ok(Some(Present::Foreign).filter(|_| !self.changed));
        }
        self.changed = false;
        Ok(Some(present))
    }

    /// Puts a complete file to where nothing stands. `AlreadyExists`: something does.
    pub(super) fn put_there(&mut self, cx: &mut Cx<'_>, seq: u32, path: &Path) -> io::Result<()> {
        let Err(error) = cx.disk.rename(cx.dir, &temp_path(seq), path, true) else {
            return Ok(());
        };
        if says_more(&error) || cx.disk.stat(cx.dir, path, false).is_ok() {
            return Err(error);
        }
        // A file system may have no way to say "only if nothing is there".
        cx.disk.rename(cx.dir, &temp_path(seq), path, false)
    }

    /// Puts a complete file in the place of one that is proven to be ours.
    pub(super) fn put_over(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        path: &Path,
        proven: &Meta,
    ) -> io::Result<()> {
        let temp = temp_path(seq);
        let own = cx.disk.stat(cx.dir, &temp, false)?.inode;
        let aside = Aside::new(seq, own, proven);
        match cx.disk.rename(cx.dir, &temp, &aside.path(), true) {
            Ok(()) => {
                // From here on it is one or the other that lies there.
                self.asides.push(aside);
                let exchanged = cx.disk.exchange(cx.dir, &aside.path(), path);
                let Err(error) = exchanged else { return Ok(()) };
                cx.disk.rename(cx.dir, &aside.path(), &temp, true)?;
                self.asides.pop();
                if says_more(&error) {
                    return Err(error);
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        match is_still(cx, path, proven)? {
            true => cx.disk.rename(cx.dir, &temp, path, false),
            false => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    /// Removes a file that is proven to be ours. `false`: it was somebody else's and is there again.
    pub(super) fn take_away(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        path: &Path,
        proven: &Meta,
    ) -> Result<bool, StoreError> {
        let aside = Aside::new(seq, 0, proven);
        match cx.disk.rename(cx.dir, path, &aside.path(), true) {
            Ok(()) => {
                self.asides.push(aside);
                self.let_go(cx)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) if waits(&error) => Err(error.into()),
            // Another device, say.
            Err(_) if is_still(cx, path, proven)? => {
                Ok(cx.disk.remove(cx.dir, path).map(|()| true)?)
            }
            Err(_) => Err(StoreError::NotYet),
        }
    }

    /// Decides about what was taken out. `false`: something of it was the user's.
    pub(super) fn let_go(&mut self, cx: &mut Cx<'_>) -> Result<bool, StoreError> {
        let mut all_ours = true;
        while let Some(&aside) = self.asides.last() {
            let at = aside.path();
            match cx.disk.stat(cx.dir, &at, false) {
                Err(error) if waits(&error) => return Err(error.into()),
                Err(_) => {}
                Ok(meta) if aside.own != 0 && meta.inode == aside.own => {
                    // It did not come to its place.
                    match cx.disk.rename(cx.dir, &at, &temp_path(aside.seq), true) {
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                            cx.disk.remove(cx.dir, &at)?;
                        }
                        renamed => renamed?,
                    }
                    self.temps.insert(aside.seq);
                }
                Ok(meta) if aside.is_proven(&meta) => cx.disk.remove(cx.dir, &at)?,
                Ok(_) => {
                    self.give_back(cx, &aside)?;
                    all_ours = false;
                }
            }
            self.asides.pop();
        }
        Ok(all_ours)
    }

    /// The user's file goes to where it was, or beside.
    fn give_back(&mut self, cx: &mut Cx<'_>, aside: &Aside) -> Result<(), StoreError> {
        let name = match entry(&mut self.nodes(cx), aside.seq) {
            Ok(found) => found.map(|(name, _)| name),
            // Not here yet: the next run comes to it. Nobody else touches it.
            Err(StoreError::Absent) => None,
            Err(error) => return Err(error),
        };
        let Some(name) = name else { return Ok(()) };
        let Ok(path) = path::check(&name) else { return Ok(()) };
        self.made = PathBuf::new();
        if !self.make_dirs(cx, path.parent().unwrap_or(Path::new("")), &name)? {
            return Ok(());
        }
        if aside.own == 0 {
            match cx.disk.rename(cx.dir, &aside.path(), &path, true) {
                Ok(()) => {
                    let path = path.to_string_lossy().into_owned();
                    self.outputs.push_back(Output::Kept { kept_as: path.clone(), path });
                    return Ok(());
                }
                Err(error) if waits(&error) => return Err(error.into()),
                Err(_) => {}
            }
        }
        self.keep_as(cx, &aside.path(), &path)
    }

    /// What an earlier run did not come to decide about.
    pub(super) fn let_go_of_earlier(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        self.asides.clear();
        let mut names = Vec::new();
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            cursor = cx.disk.list(cx.dir, Path::new(temp_dir()), from, SCAN_NAMES, &mut names)?;
            self.asides.extend(names.drain(..).filter_map(|n| Aside::parse(n.name.to_str()?)));
        }
        self.let_go(cx).map(drop)
    }
}
