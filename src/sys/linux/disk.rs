//! Files on Linux, as [`Disk`] wants them: below directory handles, and never waited for where the
//! kernel can say that it would have to wait.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, Advice, AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, RenameFlags, SeekFrom,
    Timespec, Timestamps, UTIME_OMIT,
};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use slab::Slab;

use crate::limits;
use crate::store::disk::{Dir, Disk, Entry, File, Kind, Meta, Open};

use super::beneath::{Beneath, check, refused};

/// The disk of this machine.
pub struct LinuxDisk {
    dirs: Slab<OwnedFd>,
    files: Slab<OpenFile>,
    beneath: Beneath,
}

struct OpenFile {
    fd: OwnedFd,
    /// The file system answers reads with `RWF_NOWAIT`.
    nowait: bool,
    /// Places where a read would have waited, and how often it was tried since.
    waits: Vec<(u64, u32)>,
    /// Where the last read ended: one that begins there is part of a longer run.
    next: u64,
    /// Up to where the kernel was asked to read ahead.
    hinted: u64,
}

/// The parent directory of a path: the handle itself, or one that was opened for this.
enum Parent<'a> {
    Handle(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Parent::Handle(fd) => fd.as_fd(),
            Parent::Opened(fd) => fd.as_fd(),
        }
    }
}

impl Default for LinuxDisk {
    fn default() -> LinuxDisk {
        LinuxDisk::new()
    }
}

impl LinuxDisk {
    pub fn new() -> LinuxDisk {
        LinuxDisk { dirs: Slab::new(), files: Slab::new(), beneath: Beneath::detect() }
    }

    /// Resolves paths component by component even where the kernel could do it; for tests.
    pub fn without_openat2() -> LinuxDisk {
        LinuxDisk { beneath: Beneath::Walk, ..LinuxDisk::new() }
    }

    /// A handle of a directory that can do nothing but name it.
    pub(super) fn locate(&self, dir: Dir, path: &Path) -> io::Result<OwnedFd> {
        self.at(dir, path, OFlags::PATH | OFlags::DIRECTORY, false)
    }

    fn dir(&self, dir: Dir) -> io::Result<BorrowedFd<'_>> {
        self.dirs.get(dir.0 as usize).map(AsFd::as_fd).ok_or_else(not_open)
    }

    fn file(&mut self, file: File) -> io::Result<&mut OpenFile> {
        self.files.get_mut(file.0 as usize).ok_or_else(not_open)
    }

    fn fd(&self, file: File) -> io::Result<BorrowedFd<'_>> {
        self.files.get(file.0 as usize).map(|f| f.fd.as_fd()).ok_or_else(not_open)
    }

    /// Opens what is at `path` below `dir`; an empty path is `dir` itself.
    fn at(&self, dir: Dir, path: &Path, flags: OFlags, follow: bool) -> io::Result<OwnedFd> {
        self.beneath.open(self.dir(dir)?, path, flags, follow)
    }

    /// The parent of `path` and its last component.
    fn parent<'a>(&'a self, dir: Dir, path: &'a Path) -> io::Result<(Parent<'a>, &'a OsStr)> {
        check(path)?;
        let name = path.file_name().ok_or_else(|| refused("a path with a name is needed"))?;
        let parent = match path.parent() {
            None => Parent::Handle(self.dir(dir)?),
            Some(parent) if parent.as_os_str().is_empty() => Parent::Handle(self.dir(dir)?),
            Some(parent) => {
                Parent::Opened(self.at(dir, parent, OFlags::PATH | OFlags::DIRECTORY, false)?)
            }
        };
        Ok((parent, name))
    }
}

impl Disk for LinuxDisk {
    fn open_root(&mut self, path: &Path, create: bool) -> io::Result<Dir> {
        if create {
            std::fs::create_dir_all(path)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| fs::open(path, flags, Mode::empty()))?;
        Ok(Dir(self.dirs.insert(fd) as u32))
    }

    fn open_dir(&mut self, dir: Dir, path: &Path) -> io::Result<Dir> {
        let fd = self.at(dir, path, OFlags::RDONLY | OFlags::DIRECTORY, false)?;
        Ok(Dir(self.dirs.insert(fd) as u32))
    }

    fn close_dir(&mut self, dir: Dir) {
        self.dirs.try_remove(dir.0 as usize);
    }

    fn open(&mut self, dir: Dir, path: &Path, how: Open) -> io::Result<File> {
        // Not blocking: opening a FIFO would wait for its other end.
        let flags = OFlags::NONBLOCK
            | OFlags::NOCTTY
            | match how {
                Open::Read | Open::ReadFollow => OFlags::RDONLY,
                Open::Write => OFlags::RDWR,
                Open::Create => OFlags::RDWR | OFlags::CREATE,
                Open::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            };
        let fd = self.at(dir, path, flags, how == Open::ReadFollow)?;
        if how != Open::CreateNew
            && kind(FileType::from_raw_mode(fs::fstat(&fd)?.st_mode)) != Kind::File
        {
            return Err(refused("not a regular file"));
        }
        let file = OpenFile { fd, nowait: true, waits: Vec::new(), next: 0, hinted: 0 };
        Ok(File(self.files.insert(file) as u32))
    }

    fn close(&mut self, file: File) {
        self.files.try_remove(file.0 as usize);
    }

    fn read_at(&mut self, file: File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file(file)?.read(offset, buf)
    }

    fn write_at(&mut self, file: File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let fd = self.fd(file)?;
        Ok(retry_on_intr(|| rustix::io::pwrite(fd, bytes, offset))?)
    }

    fn set_len(&mut self, file: File, len: u64) -> io::Result<()> {
        let fd = self.fd(file)?;
        Ok(retry_on_intr(|| fs::ftruncate(fd, len))?)
    }

    fn punch(&mut self, file: File, offset: u64, len: u64) -> io::Result<()> {
        let fd = self.fd(file)?;
        let how = fs::FallocateFlags::PUNCH_HOLE | fs::FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fs::fallocate(fd, how, offset, len)) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            other => Ok(other?),
        }
    }

    fn write_back(&mut self, file: File, offset: u64, len: u64) {
        // Linux begins to write what is dirty, and drops only what was written before; it is the
        // one hint of this kind that every C library and architecture has.
        if let (Ok(fd), Some(len)) = (self.fd(file), std::num::NonZeroU64::new(len)) {
            let _ = fs::fadvise(fd, offset, Some(len), Advice::DontNeed);
        }
    }

    fn sync_data(&mut self, file: File) -> io::Result<()> {
        let fd = self.fd(file)?;
        Ok(retry_on_intr(|| fs::fdatasync(fd))?)
    }

    fn set_meta(
        &mut self,
        file: File,
        mode: Option<u32>,
        mtime_ns: Option<i128>,
    ) -> io::Result<()> {
        let fd = self.fd(file)?;
        if let Some(mode) = mode {
            retry_on_intr(|| fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777)))?;
        }
        if let Some(ns) = mtime_ns {
            let times = Timestamps {
                last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
                last_modification: timespec(ns)?,
            };
            retry_on_intr(|| fs::futimens(fd, &times))?;
        }
        Ok(())
    }

    fn set_dir_mode(&mut self, dir: Dir, path: &Path, mode: u32) -> io::Result<()> {
        let fd = self.at(dir, path, OFlags::RDONLY | OFlags::DIRECTORY, false)?;
        Ok(retry_on_intr(|| fs::fchmod(&fd, Mode::from_raw_mode(mode & 0o7777)))?)
    }

    fn meta(&mut self, file: File) -> io::Result<Meta> {
        Ok(meta(&fs::fstat(self.fd(file)?)?))
    }

    fn lock(&mut self, file: File) -> io::Result<()> {
        let fd = self.fd(file)?;
        Ok(retry_on_intr(|| fs::flock(fd, FlockOperation::NonBlockingLockExclusive))?)
    }

    fn stat(&mut self, dir: Dir, path: &Path, follow: bool) -> io::Result<Meta> {
        if follow || path.as_os_str().is_empty() {
            let fd = self.at(dir, path, OFlags::PATH, follow)?;
            return Ok(meta(&fs::fstat(&fd)?));
        }
        let (parent, name) = self.parent(dir, path)?;
        Ok(meta(&retry_on_intr(|| fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW))?))
    }

    fn resolve(&mut self, dir: Dir, path: &Path) -> io::Result<PathBuf> {
        let found = place_of(self.at(dir, path, OFlags::PATH, true)?.as_fd())?;
        let root = place_of(self.dir(dir)?)?;
        // It may have been moved away since it was opened.
        found.strip_prefix(&root).map(Path::to_owned).map_err(|_| ErrorKind::NotFound.into())
    }

    fn read_link(&mut self, dir: Dir, path: &Path) -> io::Result<PathBuf> {
        let (parent, name) = self.parent(dir, path)?;
        let target = retry_on_intr(|| fs::readlinkat(&parent, name, Vec::new()))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    fn make_link(&mut self, dir: Dir, target: &Path, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(dir, path)?;
        Ok(retry_on_intr(|| fs::symlinkat(target, &parent, name))?)
    }

    fn list(
        &mut self,
        dir: Dir,
        path: &Path,
        cursor: u64,
        max: usize,
        out: &mut Vec<Entry>,
    ) -> io::Result<Option<u64>> {
        // A handle of its own: the position belongs to the open directory.
        let fd = self.at(dir, path, OFlags::RDONLY | OFlags::DIRECTORY, false)?;
        if cursor != 0 {
            fs::seek(&fd, SeekFrom::Start(cursor))?;
        }
        let mut buf = Vec::with_capacity(limits::LIST_BUFFER_BYTES);
        let mut entries = RawDir::new(&fd, buf.spare_capacity_mut());
        let mut at = cursor;
        for _ in 0..max.max(1) {
            let entry = loop {
                match entries.next() {
                    Some(Err(Errno::INTR)) => {}
                    // A directory that was removed meanwhile has no names.
                    None | Some(Err(Errno::NOENT)) => return Ok(None),
                    Some(entry) => break entry?,
                }
            };
            at = entry.next_entry_cookie();
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => kind(FileType::from_raw_mode(stat.st_mode)),
                    Err(_) => continue,
                },
                known => kind(known),
            };
            out.push(Entry { name: name.to_owned(), kind });
        }
        Ok(Some(at))
    }

    fn make_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(dir, path)?;
        Ok(retry_on_intr(|| fs::mkdirat(&parent, name, Mode::from_raw_mode(0o777)))?)
    }

    fn remove_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(dir, path)?;
        Ok(retry_on_intr(|| fs::unlinkat(&parent, name, AtFlags::REMOVEDIR))?)
    }

    fn remove(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(dir, path)?;
        Ok(retry_on_intr(|| fs::unlinkat(&parent, name, AtFlags::empty()))?)
    }

    fn rename(&mut self, dir: Dir, from: &Path, to: &Path, keep: bool) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(dir, from)?;
        let to_parent;
        let (to_fd, to_name) = if from.parent() == to.parent() && to.file_name().is_some() {
            check(to)?;
            (from_parent.as_fd(), to.file_name().unwrap_or_default())
        } else {
            let (parent, name) = self.parent(dir, to)?;
            to_parent = parent;
            (to_parent.as_fd(), name)
        };
        if !keep {
            return Ok(retry_on_intr(|| fs::renameat(&from_parent, from_name, to_fd, to_name))?);
        }
        let flags = RenameFlags::NOREPLACE;
        match retry_on_intr(|| fs::renameat_with(&from_parent, from_name, to_fd, to_name, flags)) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rename_by_link(from_parent.as_fd(), from_name, to_fd, to_name)
            }
            done => Ok(done?),
        }
    }

    fn exchange(&mut self, dir: Dir, one: &Path, other: &Path) -> io::Result<()> {
        let (one_parent, one_name) = self.parent(dir, one)?;
        let (parent, name) = self.parent(dir, other)?;
        let flags = RenameFlags::EXCHANGE;
        match retry_on_intr(|| fs::renameat_with(&one_parent, one_name, &parent, name, flags)) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                Err(ErrorKind::Unsupported.into())
            }
            done => Ok(done?),
        }
    }

    fn sync_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            let fd = self.dir(dir)?;
            return Ok(retry_on_intr(|| fs::fsync(fd))?);
        }
        let fd = self.at(dir, path, OFlags::RDONLY | OFlags::DIRECTORY, false)?;
        Ok(retry_on_intr(|| fs::fsync(&fd))?)
    }

    fn sync_fs(&mut self, dir: Dir) -> io::Result<()> {
        let fd = self.dir(dir)?;
        Ok(retry_on_intr(|| fs::syncfs(fd))?)
    }

    fn space(&mut self, dir: Dir) -> io::Result<u64> {
        let stat = fs::fstatvfs(self.dir(dir)?)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Where the kernel has what a handle is of.
fn place_of(fd: BorrowedFd<'_>) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

impl OpenFile {
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.read_now(offset, buf)?;
        self.waits.retain(|(at, _)| *at != offset);
        self.next = offset + n as u64;
        // Keep ahead of a run of reads, once one of them had to wait.
        if self.hinted > 0
            && self.next <= self.hinted
            && self.hinted - self.next < limits::READ_AHEAD_BYTES / 2
        {
            self.hint(self.hinted, limits::READ_AHEAD_BYTES);
        }
        Ok(n)
    }

    fn read_now(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.nowait {
            let parts = &mut [IoSliceMut::new(buf)];
            match retry_on_intr(|| {
                rustix::io::preadv2(&self.fd, parts, offset, ReadWriteFlags::NOWAIT)
            }) {
                Ok(n) => return Ok(n),
                Err(Errno::AGAIN) => {
                    self.ask_for(offset, buf.len());
                    if !self.patience_is_over(offset) {
                        return Err(ErrorKind::WouldBlock.into());
                    }
                }
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    self.nowait = false;
                    self.ask_for(offset, buf.len());
                }
                Err(e) => return Err(e.into()),
            }
        }
        let len = buf.len().min(limits::WAITING_READ_BYTES);
        Ok(retry_on_intr(|| rustix::io::pread(&self.fd, &mut buf[..len], offset))?)
    }

    /// True when a read at `offset` was put off so often that it has to be done the slow way.
    /// `RWF_NOWAIT` may never succeed: the page is evicted as fast as it comes in, reading ahead met
    /// a bad sector (and only a read that waits reports it), or the file system does not do it for
    /// this kind of file. Without an end the work would be tried for ever.
    fn patience_is_over(&mut self, offset: u64) -> bool {
        if let Some((_, tries)) = self.waits.iter_mut().find(|(at, _)| *at == offset) {
            *tries += 1;
            return *tries >= limits::NOT_YET_TRIES;
        }
        if self.waits.len() >= limits::NOT_YET_PLACES {
            // Whoever was tried least has lost least.
            let least = self.waits.iter().enumerate().min_by_key(|(_, (_, tries))| *tries);
            if let Some((index, _)) = least {
                self.waits.swap_remove(index);
            }
        }
        self.waits.push((offset, 1));
        false
    }

    /// Asks the kernel to read what is wanted, and more if the reads follow one another.
    fn ask_for(&mut self, offset: u64, len: usize) {
        let len = len as u64;
        let run = offset == self.next && offset > 0;
        self.hint(offset, if run { len.max(limits::READ_AHEAD_BYTES) } else { len });
    }

    fn hint(&mut self, offset: u64, len: u64) {
        // Only advice: a failure shows when the read comes.
        let _ = fs::fadvise(&self.fd, offset, std::num::NonZeroU64::new(len), Advice::WillNeed);
        self.hinted = offset + len;
    }
}

/// `RENAME_NOREPLACE` where the file system has none: a link is never made over something.
fn rename_by_link(
    from: BorrowedFd,
    name: &OsStr,
    to: BorrowedFd,
    to_name: &OsStr,
) -> io::Result<()> {
    let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if kind(FileType::from_raw_mode(stat.st_mode)) == Kind::Dir {
        // Directories have no links. An empty one in the way would be replaced, nothing else.
        if fs::statat(to, to_name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        return Ok(fs::renameat(from, name, to, to_name)?);
    }
    fs::linkat(from, name, to, to_name, AtFlags::empty())?;
    Ok(fs::unlinkat(from, name, AtFlags::empty())?)
}

fn not_open() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "no open file or directory has this number")
}

fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

#[allow(clippy::unnecessary_cast)] // The fields' types differ between machines.
fn meta(stat: &fs::Stat) -> Meta {
    let ns = |sec: i64, nsec: i64| i128::from(sec) * 1_000_000_000 + i128::from(nsec);
    Meta {
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        size: stat.st_size as u64,
        mode: stat.st_mode & 0o7777,
        mtime_ns: ns(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        ctime_ns: ns(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        inode: stat.st_ino as u64,
        device: stat.st_dev as u64,
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}

fn timespec(ns: i128) -> io::Result<Timespec> {
    let sec = i64::try_from(ns.div_euclid(1_000_000_000));
    let sec = sec.map_err(|_| refused("a time is out of range"))?;
    Ok(Timespec { tv_sec: sec, tv_nsec: ns.rem_euclid(1_000_000_000) as _ })
}
