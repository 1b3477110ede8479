//! Opens what a run works on: folders, stores and keys; every way in which that can fail is one line for
//! the user. In steps (`adding`), because a process may be busy with other things meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::adding::{Adding, Step};
use super::config::{Config, Run};
use crate::failure::{Failure, Kind};
use crate::node::Node;
use crate::store::StoreError;
use crate::store::disk::{Dir, Disk, File, Open};
use crate::sys::Sys;

/// The directory of a drive's stores, in its folder.
pub(super) const STORES: &str = ".dat";

/// Its lock is that of all seeds in the directory.
pub const SEEDS_LOCK: &str = "gannet.lock";

/// The directory in which a run keeps its stores and control socket.
pub(super) fn inside(run: &Run) -> PathBuf {
    match run {
        Run::Share { dir, .. } | Run::Clone { dir, .. } => dir.join(STORES),
        Run::Seed { dir, .. }
        | Run::Refill { dir, .. }
        | Run::CoreServe { dir }
        | Run::CoreFetch { dir, .. } => dir.clone(),
    }
}

/// Opens the stores of a run and hands them to the node. Only before the loop runs: it waits.
pub fn run(node: &mut Node, sys: &mut impl Sys, config: &Config) -> Result<(), Failure> {
    if let Run::Seed { max_storage, .. } = &config.run {
        node.set_quota(*max_storage);
    }
    let mut shelf = Shelf::new(config.secret_keys.clone());
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    sys.entropy(seed.as_mut_slice());
    let mut adding = Adding::new(config.run.clone(), *seed);
    let mut ignored = Vec::new();
    loop {
        let now = sys.now();
        match adding.step(now, node, &mut shelf, sys.disk(), usize::MAX)? {
            Step::More => {}
            Step::Waiting => sys
                .wait(Some(Duration::from_millis(1)), &mut ignored)
                .map_err(|e| Failure::io("the disk", &e))?,
            Step::Done(added) => {
                let left_out = added.left_out.iter();
                left_out.for_each(|(_, f)| node.warn_at_start(format!("left out: {f}")));
                return Ok(());
            }
        }
    }
}

/// Repeats what answers `NotYet` until the disk is ready. Only before the loop runs.
pub(super) fn patiently<T>(
    sys: &mut impl Sys,
    mut call: impl FnMut(&mut dyn Disk) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut ignored = Vec::new();
    loop {
        match call(sys.disk()) {
            Err(StoreError::NotYet) => {}
            done => return done,
        }
        sys.wait(Some(Duration::from_millis(1)), &mut ignored)?;
    }
}

/// Why opening does not go on.
pub(super) enum Halt {
    /// The disk is fetching what is needed: again.
    NotYet,
    Failed(Failure),
}

impl Halt {
    /// What a store at this place says.
    pub fn at(path: &Path, error: StoreError) -> Halt {
        match error {
            StoreError::NotYet => Halt::NotYet,
            error => Halt::Failed(failed(path, error)),
        }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Halt {
        Halt::Failed(failure)
    }
}

/// What a store at this place says, for its user.
pub(super) fn failed(path: &Path, error: StoreError) -> Failure {
    let name = path.display();
    match error {
        StoreError::Io(error) => Failure::io(name, &error),
        StoreError::Full => Failure::io(name, &io::ErrorKind::StorageFull.into()),
        StoreError::Locked => {
            Failure::new(Kind::Locked, format!("{name}: another process works on this folder"))
                .hint("stop it first, or ask it with gannet status")
        }
        StoreError::Damaged(what) => {
            Failure::new(Kind::Damaged, format!("{name}: damaged: {what}"))
                .hint("run gannet verify --repair on it")
        }
        StoreError::OtherFeed => {
            Failure::new(Kind::Usage, format!("{name}: something else is kept here"))
                .hint("choose another folder")
        }
        other => Failure::new(Kind::General, format!("{name}: {other}")),
    }
}

/// A directory of the user's.
pub(super) fn open_dir(disk: &mut dyn Disk, path: &Path, create: bool) -> Result<Dir, Failure> {
    disk.open_root(path, create).map_err(|e| Failure::io(path.display(), &e))
}

/// Takes the one lock of a directory with many seeds, for as long as the file is open.
pub(super) fn lock_seeds(disk: &mut dyn Disk, dir: Dir, path: &Path) -> Result<File, Failure> {
    let file = disk.open(dir, Path::new(SEEDS_LOCK), Open::Create);
    let file = file.map_err(|e| failed(path, e.into()))?;
    disk.lock(file).map(|()| file).map_err(|error| {
        disk.close(file);
        match error.kind() {
            io::ErrorKind::WouldBlock => failed(path, StoreError::Locked),
            _ => failed(path, error.into()),
        }
    })
}

/// What a process opens its stores with, and the directories that it keeps seeds in.
pub struct Shelf {
    pub(super) secret_keys: Option<PathBuf>,
    roots: Vec<Root>,
}

/// A directory with seeds, all under one lock: thousands of them need no descriptor each.
struct Root {
    path: PathBuf,
    dir: Dir,
    lock: File,
}

impl Shelf {
    pub fn new(secret_keys: Option<PathBuf>) -> Shelf {
        Shelf { secret_keys, roots: Vec::new() }
    }

    /// A directory for seeds, locked by us.
    pub(super) fn root(&mut self, disk: &mut dyn Disk, path: &Path) -> Result<Dir, Failure> {
        if let Some(root) = self.roots.iter().find(|root| root.path == path) {
            return Ok(root.dir);
        }
        let dir = open_dir(disk, path, true)?;
        let lock = lock_seeds(disk, dir, path).inspect_err(|_| disk.close_dir(dir))?;
        self.roots.push(Root { path: path.to_owned(), dir, lock });
        Ok(dir)
    }

    /// Where nothing is kept any more others may.
    pub(super) fn close_unused(&mut self, disk: &mut dyn Disk, used: impl Fn(&Path) -> bool) {
        self.roots.retain(|root| {
            let stays = used(&root.path);
            if !stays {
                disk.close(root.lock);
                disk.close_dir(root.dir);
            }
            stays
        });
    }
}
