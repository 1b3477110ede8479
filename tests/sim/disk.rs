//! A simulated disk: an in-memory file system behind the same [`Disk`] trait as the real one, with
//! faults drawn from a seed and a power cut that keeps only what was synced.
//!
//! [`Device`] is the machine's disk; it outlives processes. [`SimDisk`] is one process's view of it
//! with open files and locks; dropping it is `kill -9`: the page cache survives, the locks do not.
//! [`Device::crash`] is a power cut; `fs.rs` says what survives one.
//!
//! Other test targets may use it: `#[path = "sim/disk.rs"] mod disk;`. It needs no clock: unless
//! somebody sets the time, it advances by a microsecond an operation.
#![allow(dead_code)] // Every test target uses another part of it.

#[path = "disk/content.rs"]
mod content;
#[path = "disk/fs.rs"]
mod fs;
#[path = "disk/user.rs"]
mod user;

use std::cell::{RefCell, RefMut};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use gannet::rng::Rng;
use gannet::store::disk::{Dir, Disk, Entry, File, Meta, Open};

pub use fs::{Follow, Fs};
use fs::{Ino, Op};
#[allow(unused_imports)] // Of the programs that share this file some look at files.
pub use user::Item;

/// How often each fault happens: once in so many operations, 0 = never.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A read finds its page evicted: `WouldBlock` until prefetched.
    pub cold: u64,
    /// How many tries a prefetch takes at most.
    pub cold_tries: u64,
    /// A read or write moves fewer bytes than it was given.
    pub short: u64,
    pub read_error: u64,
    pub write_error: u64,
    pub sync_error: u64,
    /// A write, create or set_len finds no space although there is some.
    pub no_space: u64,
}

impl Faults {
    /// Nothing fails; reads may be short and have to wait.
    pub fn gentle(rng: &mut Rng) -> Faults {
        Faults {
            // A disk that forgets faster than one piece of work reads would never let it end.
            cold: if rng.one_in(3) { 0 } else { rng.between(8, 60) },
            cold_tries: rng.between(1, 4),
            short: rng.between(0, 10),
            ..Faults::default()
        }
    }
}

/// The disk of a machine.
#[derive(Clone)]
pub struct Device(Rc<RefCell<Fs>>);

impl Device {
    /// An empty disk of 2^40 bytes without faults.
    pub fn new(seed: u64) -> Device {
        Device(Rc::new(RefCell::new(Fs::new(seed))))
    }

    pub fn set_faults(&self, faults: Faults) {
        self.fs().faults = faults;
    }

    pub fn set_capacity(&self, bytes: u64) {
        self.fs().capacity = bytes;
    }

    /// Bytes in use, open deleted files included.
    pub fn used(&self) -> u64 {
        self.fs().used()
    }

    /// Sets the clock that stamps files: nanoseconds since 1970.
    pub fn set_time(&self, ns: i128) {
        self.fs().now_ns = ns;
    }

    /// A process starts.
    pub fn process(&self) -> SimDisk {
        let mut fs = self.fs();
        fs.next_process += 1;
        SimDisk {
            device: self.clone(),
            process: fs.next_process,
            epoch: fs.epoch,
            dirs: Vec::new(),
            files: Vec::new(),
        }
    }

    /// The power fails after `writes` more changing operations (0: at the next one). That one and
    /// everything after it fails until [`Device::crash`].
    pub fn cut_after(&self, writes: u64) {
        self.fs().cut_in = Some(writes);
    }

    /// True from the moment a `cut_after` struck until `crash`.
    pub fn is_cut(&self) -> bool {
        self.fs().cut
    }

    /// Right before the `calls`th call that the process makes from now on (0: the next one), the user
    /// does something.
    pub fn before(&self, calls: u64, act: impl FnOnce(&mut Fs) + 'static) {
        self.fs().user = Some((calls, Box::new(act)));
    }

    /// A file system that cannot exchange names.
    pub fn forbid_exchange(&self) {
        self.fs().no_exchange = true;
    }

    /// Whether what was said with `before` is still to be done.
    pub fn is_to_act(&self) -> bool {
        self.fs().user.is_some()
    }

    /// Changing operations so far: the range to draw `cut_after` from.
    pub fn writes(&self) -> u64 {
        self.fs().writes
    }

    /// Times that somebody waited for the device to keep something.
    pub fn syncs(&self) -> u64 {
        self.fs().syncs
    }

    /// The power fails and comes back. Every open handle is dead afterwards.
    pub fn crash(&self) {
        self.fs().crash();
    }

    /// `kill -9` of every process: what was written stays, handles and locks end.
    pub fn kill(&self) {
        self.fs().restart();
    }

    /// A hash of every operation and its result so far.
    pub fn trace(&self) -> u64 {
        self.fs().trace
    }

    /// Everything read from now on has to wait first (as after a reboot).
    pub fn evict(&self) {
        self.fs().evict();
    }

    pub fn fs(&self) -> RefMut<'_, Fs> {
        self.0.borrow_mut()
    }
}

struct Opened {
    ino: Ino,
    write: bool,
}

/// A process's view of a [`Device`].
pub struct SimDisk {
    device: Device,
    process: u32,
    epoch: u32,
    dirs: Vec<Option<Ino>>,
    files: Vec<Option<Opened>>,
}

impl SimDisk {
    /// A fresh disk with one process, for tests that need nothing else.
    pub fn new(seed: u64) -> SimDisk {
        Device::new(seed).process()
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn open_files(&self) -> usize {
        self.files.iter().flatten().count() + self.dirs.iter().flatten().count()
    }

    /// The inode of an open directory, for the watcher of the simulated system.
    pub fn dir_ino(&self, dir: Dir) -> io::Result<u64> {
        self.dir(dir)
    }

    fn fs(&self) -> io::Result<RefMut<'_, Fs>> {
        let fs = self.device.fs();
        if fs.epoch != self.epoch { Err(fs::error(fs::EBADF)) } else { Ok(fs) }
    }

    fn dir(&self, dir: Dir) -> io::Result<Ino> {
        self.dirs.get(dir.0 as usize).copied().flatten().ok_or_else(|| fs::error(fs::EBADF))
    }

    fn file(&self, file: File) -> io::Result<&Opened> {
        self.files.get(file.0 as usize).and_then(Option::as_ref).ok_or_else(|| fs::error(fs::EBADF))
    }

    fn writable(&self, file: File) -> io::Result<Ino> {
        let opened = self.file(file)?;
        if opened.write { Ok(opened.ino) } else { Err(fs::error(fs::EBADF)) }
    }

    fn keep_dir(&mut self, ino: Ino) -> Dir {
        Dir(insert(&mut self.dirs, ino))
    }
}

fn insert<T>(table: &mut Vec<Option<T>>, item: T) -> u32 {
    match table.iter().position(Option::is_none) {
        Some(free) => {
            table[free] = Some(item);
            free as u32
        }
        None => {
            table.push(Some(item));
            table.len() as u32 - 1
        }
    }
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        let mut fs = self.device.fs();
        if fs.epoch != self.epoch {
            return;
        }
        for (number, file) in self.files.drain(..).enumerate() {
            if let Some(file) = file {
                fs.close(file.ino, (self.process, number as u32), file.write);
            }
        }
        for ino in self.dirs.drain(..).flatten() {
            fs.release(ino);
        }
    }
}

impl Disk for SimDisk {
    fn open_root(&mut self, path: &Path, create: bool) -> io::Result<Dir> {
        let ino = self.fs()?.traced(Op::OpenRoot, path, |fs| fs.open_root(path, create))?;
        Ok(self.keep_dir(ino))
    }

    fn open_dir(&mut self, dir: Dir, path: &Path) -> io::Result<Dir> {
        let at = self.dir(dir)?;
        let ino = self.fs()?.traced(Op::OpenDir, path, |fs| fs.open_dir(at, path))?;
        Ok(self.keep_dir(ino))
    }

    fn close_dir(&mut self, dir: Dir) {
        if let Some(ino) = self.dirs.get_mut(dir.0 as usize).and_then(Option::take)
            && let Ok(mut fs) = self.fs()
        {
            fs.release(ino);
        }
    }

    fn open(&mut self, dir: Dir, path: &Path, how: Open) -> io::Result<File> {
        let at = self.dir(dir)?;
        let ino = self.fs()?.traced(Op::Open, (path, how as u8), |fs| fs.open(at, path, how))?;
        let write = !matches!(how, Open::Read | Open::ReadFollow);
        Ok(File(insert(&mut self.files, Opened { ino, write })))
    }

    fn close(&mut self, file: File) {
        if let Some(opened) = self.files.get_mut(file.0 as usize).and_then(Option::take) {
            let owner = (self.process, file.0);
            if let Ok(mut fs) = self.fs() {
                fs.close(opened.ino, owner, opened.write);
            }
        }
    }

    fn read_at(&mut self, file: File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let ino = self.file(file)?.ino;
        let args = (ino, offset, buf.len());
        self.fs()?.traced(Op::Read, args, |fs| fs.read(ino, offset, buf))
    }

    fn write_at(&mut self, file: File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let ino = self.writable(file)?;
        self.fs()?.traced(Op::Write, (ino, offset, bytes), |fs| fs.write(ino, offset, bytes))
    }

    fn set_len(&mut self, file: File, len: u64) -> io::Result<()> {
        let ino = self.writable(file)?;
        self.fs()?.traced(Op::SetLen, (ino, len), |fs| fs.set_len(ino, len))
    }

    fn punch(&mut self, file: File, offset: u64, len: u64) -> io::Result<()> {
        let ino = self.writable(file)?;
        if self.fs()?.solid {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.fs()?.traced(Op::SetLen, (ino, offset, len), |fs| fs.punch(ino, offset, len))
    }

    fn sync_data(&mut self, file: File) -> io::Result<()> {
        let ino = self.file(file)?.ino;
        self.fs()?.traced(Op::SyncData, ino, |fs| fs.sync_data(ino))
    }

    fn set_meta(
        &mut self,
        file: File,
        mode: Option<u32>,
        mtime_ns: Option<i128>,
    ) -> io::Result<()> {
        let ino = self.file(file)?.ino;
        self.fs()?.traced(Op::SetMeta, (ino, mode, mtime_ns), |fs| fs.set_meta(ino, mode, mtime_ns))
    }

    fn meta(&mut self, file: File) -> io::Result<Meta> {
        let ino = self.file(file)?.ino;
        self.fs()?.meta(ino)
    }

    fn lock(&mut self, file: File) -> io::Result<()> {
        let ino = self.file(file)?.ino;
        let owner = (self.process, file.0);
        self.fs()?.traced(Op::Lock, ino, |fs| fs.lock(ino, owner))
    }

    fn set_dir_mode(&mut self, dir: Dir, path: &Path, mode: u32) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::SetMeta, (path, mode), |fs| {
            let ino = fs.lookup(at, path, Follow::Never)?;
            if fs.meta(ino)?.kind != gannet::store::disk::Kind::Dir {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            fs.set_meta(ino, Some(mode), None)
        })
    }

    fn resolve(&mut self, dir: Dir, path: &Path) -> io::Result<PathBuf> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::Stat, path, |fs| {
            let ino = fs.lookup(at, path, Follow::Beneath)?;
            fs.path_of(at, ino)
        })
    }

    fn stat(&mut self, dir: Dir, path: &Path, follow: bool) -> io::Result<Meta> {
        let at = self.dir(dir)?;
        let follow = if follow { Follow::Beneath } else { Follow::Never };
        self.fs()?.traced(Op::Stat, path, |fs| {
            let ino = fs.lookup(at, path, follow)?;
            fs.meta(ino)
        })
    }

    fn read_link(&mut self, dir: Dir, path: &Path) -> io::Result<PathBuf> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::Stat, path, |fs| {
            let ino = fs.lookup(at, path, Follow::Never)?;
            match fs.meta(ino)?.kind {
                gannet::store::disk::Kind::Symlink => Ok(fs.link_target(ino)),
                _ => Err(io::ErrorKind::InvalidInput.into()),
            }
        })
    }

    fn make_link(&mut self, dir: Dir, target: &Path, path: &Path) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?
            .traced(Op::MakeDir, (target, path), |fs| fs.make_symlink(at, path, target).map(drop))
    }

    fn list(
        &mut self,
        dir: Dir,
        path: &Path,
        cursor: u64,
        max: usize,
        out: &mut Vec<Entry>,
    ) -> io::Result<Option<u64>> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::List, (path, cursor), |fs| fs.list(at, path, cursor, max, out))
    }

    fn make_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::MakeDir, path, |fs| fs.make_dir(at, path).map(drop))
    }

    fn remove_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::RemoveDir, path, |fs| fs.remove_dir(at, path))
    }

    fn remove(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::Remove, path, |fs| fs.remove(at, path))
    }

    fn rename(&mut self, dir: Dir, from: &Path, to: &Path, keep: bool) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::Rename, (from, to, keep), |fs| fs.rename(at, from, to, keep))
    }

    fn exchange(&mut self, dir: Dir, one: &Path, other: &Path) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::Rename, (one, other), |fs| fs.exchange(at, one, other))
    }

    fn sync_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        let at = self.dir(dir)?;
        self.fs()?.traced(Op::SyncDir, path, |fs| fs.sync_dir(at, path))
    }

    fn sync_fs(&mut self, dir: Dir) -> io::Result<()> {
        self.dir(dir)?;
        self.fs()?.traced(Op::SyncFs, 0, |fs| fs.sync_fs())
    }

    fn space(&mut self, dir: Dir) -> io::Result<u64> {
        self.dir(dir)?;
        Ok(self.fs()?.free())
    }
}
