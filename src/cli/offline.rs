//! Stores without a daemon. The same stores on the same disk as in the loop; but a command has
//! nothing else to do, so it waits where the loop would come back later.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::peek::Peek;
use super::place;
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::daemon::open::SEEDS_LOCK;
use crate::failure::{Failure, Kind};
use crate::feed::Feed;
use crate::limits;
use crate::store::disk::{Dir, Disk, Open};
use crate::store::{
    Content, Cursor, Damage, FeedStore, Keys, Opening, Progress, Reader, StoreError,
};
use crate::sys::linux::disk::LinuxDisk;
use crate::time::Instant;

/// When a command commits: nobody asks a store that is soon closed how long ago that was.
pub const NOW: Instant = Instant(0);

/// A disk, for one command.
pub struct Offline {
    pub disk: Box<dyn Disk>,
    /// What is opened is changed.
    writes: bool,
}

impl Offline {
    /// For commands that only look: works beside a running process.
    pub fn looking() -> Offline {
        Offline::on(Box::new(Peek::new(LinuxDisk::new())), false)
    }

    /// For commands that write: one process at a time.
    pub fn writing() -> Offline {
        Offline::on(Box::new(LinuxDisk::new()), true)
    }

    fn on(disk: Box<dyn Disk>, writes: bool) -> Offline {
        Offline { disk, writes }
    }

    pub fn root(&mut self, path: &Path, create: bool) -> Result<Dir, Failure> {
        self.disk.open_root(path, create).map_err(|e| Failure::io(path.display(), &e))
    }

    /// Of many seeds under one lock none is changed while a process has that lock.
    fn lock_above(&mut self, path: &Path) -> Result<(), Failure> {
        let above = path.join("..");
        if !self.writes || !above.join(SEEDS_LOCK).exists() {
            return Ok(());
        }
        let dir = self.root(&above, false)?;
        let file = self.disk.open(dir, Path::new(SEEDS_LOCK), Open::Write);
        let locked = file.and_then(|file| self.disk.lock(file));
        self.disk.close_dir(dir);
        locked.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => failure(path, StoreError::Locked),
            _ => Failure::io(above.join(SEEDS_LOCK).display(), &error),
        })
    }

    /// Repeats what the disk is not ready for.
    pub fn wait<T>(
        &mut self,
        mut what: impl FnMut(&mut dyn Disk) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut pause = limits::WORK_RETRY_MIN;
        loop {
            match what(&mut *self.disk) {
                Err(StoreError::NotYet) => std::thread::sleep(pause),
                other => return other,
            }
            pause = (pause * 2).min(limits::WORK_RETRY_MAX);
        }
    }

    /// As `wait`, for plain calls of the disk.
    pub fn wait_io<T>(
        &mut self,
        mut what: impl FnMut(&mut dyn Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut pause = Duration::ZERO;
        loop {
            match what(&mut *self.disk) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(pause),
                other => return other,
            }
            pause = (pause * 2).clamp(limits::WORK_RETRY_MIN, limits::WORK_RETRY_MAX);
        }
    }
}

/// A feed's store open for a command.
pub struct Opened {
    pub off: Offline,
    pub dir: Dir,
    pub store: FeedStore,
    path: PathBuf,
}

/// Where a feed is: a directory, and what stands before its files' names.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub path: &'a Path,
    pub prefix: &'static str,
    pub content: Content,
}

impl<'a> At<'a> {
    /// A new bare feed.
    pub fn new_core(path: &'a Path) -> At<'a> {
        At { path, prefix: "", content: Content::File }
    }

    /// The bare feed that is there.
    pub fn core(path: &'a Path) -> Result<At<'a>, Failure> {
        Ok(At { path, prefix: place::core(path)?, content: Content::File })
    }
}

impl Opened {
    /// Opens what is there. `secret`: to write to a feed whose secret key lies elsewhere.
    pub fn open(
        mut off: Offline,
        at: At<'_>,
        key: Option<PublicKey>,
        secret: Option<KeyPair>,
    ) -> Result<Opened, Failure> {
        let dir = off.root(at.path, false)?;
        off.lock_above(at.path)?;
        let store = open(&mut off, dir, at, key, secret)?;
        Ok(Opened { off, dir, store, path: at.path.to_owned() })
    }

    /// Makes a new feed.
    pub fn create(mut off: Offline, at: At<'_>, keys: &Keys) -> Result<Opened, Failure> {
        let dir = off.root(at.path, true)?;
        let store = off
            .wait(|disk| FeedStore::create(disk, dir, at.prefix, keys.clone(), at.content))
            .map_err(|e| failure(at.path, e))?;
        Ok(Opened { off, dir, store, path: at.path.to_owned() })
    }

    pub fn feed(&self) -> &Feed {
        self.store.feed()
    }

    /// After an unclean stop: finds what is there. Needed before appending.
    pub fn recover(&mut self) -> Result<(), Failure> {
        let Opened { off, store, path, .. } = self;
        while store.recovering() {
            let step = off.wait(|disk| store.recover(disk, None, limits::WORK_IDLE_COST));
            if step.map_err(|e| failure(path, e))? == Progress::Done {
                break;
            }
        }
        Ok(())
    }

    /// Forgets what is damaged, so that it is fetched again.
    pub fn forget(&mut self, bad: &[Damage]) -> Result<(), Failure> {
        let Opened { off, store, path, .. } = self;
        bad.iter()
            .try_for_each(|bad| off.wait(|disk| store.forget(disk, *bad)))
            .map_err(|e| failure(path, e))
    }

    /// Appends block `index` to `out`.
    pub fn read(&mut self, index: u64, out: &mut Vec<u8>) -> Result<(), Failure> {
        let feed = self.store.feed();
        if !feed.has(index) && index < feed.length() && self.store.recovering() {
            // Who works on the feed, or was killed, has written it and not its bit.
            self.recover()?;
        }
        let Opened { off, store, path, .. } = self;
        match off.wait(|disk| store.read(disk, index, out)) {
            Err(StoreError::Absent) => Err(Failure::new(
                Kind::NotFound,
                format!("{}: block {index} is not here", path.display()),
            )),
            other => other.map_err(|e| failure(path, e)),
        }
    }

    /// Appends blocks; the new length.
    pub fn append(&mut self, blocks: &[&[u8]]) -> Result<u64, Failure> {
        let Opened { off, store, path, .. } = self;
        off.wait(|disk| store.append(disk, blocks)).map_err(|e| failure(path, e))
    }

    /// Takes back all blocks from `length` on.
    pub fn truncate(&mut self, length: u64) -> Result<(), Failure> {
        let Opened { off, store, path, .. } = self;
        off.wait(|disk| store.truncate(disk, length)).map_err(|e| failure(path, e))
    }

    /// Makes everything so far durable.
    pub fn commit(&mut self) -> Result<(), Failure> {
        let Opened { off, store, path, .. } = self;
        off.wait(|disk| store.commit(disk, NOW)).map_err(|e| failure(path, e))
    }

    pub fn close(self) -> Result<(), Failure> {
        let Opened { mut off, dir, store, path } = self;
        let closed = store.close(&mut *off.disk, NOW).map_err(|e| failure(&path, e));
        off.disk.close_dir(dir);
        closed
    }
}

fn open(
    off: &mut Offline,
    dir: Dir,
    at: At<'_>,
    key: Option<PublicKey>,
    secret: Option<KeyPair>,
) -> Result<FeedStore, Failure> {
    let mut opening = Opening::new(dir, at.prefix, key, secret, at.content);
    off.wait(|disk| opening.step(disk)).map_err(|e| failure(at.path, e))
}

/// Opens a second feed of the same directory.
pub fn open_beside(opened: &mut Opened, at: At<'_>, key: PublicKey) -> Result<FeedStore, Failure> {
    open(&mut opened.off, opened.dir, at, Some(key), None)
}

/// Checks every block that is held; `bad` hears of each that is wrong. Returns how many were
/// looked at.
pub fn verify(
    off: &mut Offline,
    store: &mut FeedStore,
    path: &Path,
    mut reader: Option<&mut Reader<'_>>,
    mut bad: impl FnMut(Damage),
) -> Result<u64, Failure> {
    let mut cursor = Cursor::default();
    let mut blocks = 0;
    loop {
        let step = off.wait(|disk| {
            let reader: Option<&mut Reader<'_>> = match &mut reader {
                Some(reader) => Some(*reader),
                None => None,
            };
            store.verify_step(disk, &mut cursor, reader, limits::WORK_IDLE_COST)
        });
        let step = step.map_err(|e| failure(path, e))?;
        blocks += step.blocks;
        step.bad.into_iter().for_each(&mut bad);
        if step.done {
            return Ok(blocks);
        }
    }
}

/// What a user is told of an error of the store in `path`.
pub fn failure(path: &Path, error: StoreError) -> Failure {
    let path = path.display();
    let (kind, what, hint) = match error {
        StoreError::Io(error) => return Failure::io(path, &error),
        StoreError::Full => {
            return Failure::io(path, &io::Error::from(io::ErrorKind::StorageFull));
        }
        StoreError::Damaged(what) => {
            (Kind::Damaged, what, "gannet verify --repair fetches what is damaged again")
        }
        StoreError::Locked => (
            Kind::Locked,
            "another process is working on it".to_owned(),
            "stop that process first (gannet status shows it)",
        ),
        StoreError::Missing => {
            (Kind::NotFound, "there is no feed here".to_owned(), "check the path")
        }
        StoreError::OtherFeed => {
            (Kind::General, "another feed is stored here".to_owned(), "choose another folder")
        }
        StoreError::Exists => {
            (Kind::General, "there is a feed here already".to_owned(), "choose another folder")
        }
        StoreError::ReadOnly => (
            Kind::Permission,
            "the feed's secret key is not here".to_owned(),
            "only its owner can write; gannet key import brings a key here",
        ),
        other => (Kind::General, other.to_string(), ""),
    };
    Failure::new(kind, format!("{path}: {what}")).hint(hint)
}
