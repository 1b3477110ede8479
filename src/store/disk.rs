//! The disk as the engine sees it: non-blocking like a socket, and closed under directory handles.
//!
//! Every path is relative to a [`Dir`] that was opened first and can never lead out of it: `..`,
//! absolute paths and symbolic links in any parent component are refused (`ErrorKind::InvalidInput`
//! or `PermissionDenied`), so that no name from a peer reaches a file elsewhere.
//!
//! A read that would wait for the device answers `ErrorKind::WouldBlock` after asking the kernel to
//! prefetch; the same call later succeeds. Reads and writes may be short. Nothing is durable before
//! `sync_data` / `sync_fs` / `sync_dir` say so.

use std::io;
use std::path::{Path, PathBuf};

/// An open directory, the root of what can be reached through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dir(pub u32);

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct File(pub u32);

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Must exist. The last component may not be a symbolic link.
    Read,
    /// As `Read`, but symbolic links are followed as long as they stay below the `Dir`.
    ReadFollow,
    /// Read and write, must exist.
    Write,
    /// Read and write, created when missing. Parents must exist.
    Create,
    /// Read and write, must not exist yet.
    CreateNew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    Symlink,
    Other,
}

/// What `stat` says of a file. Times are nanoseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub kind: Kind,
    pub size: u64,
    /// POSIX permission bits (12 bits, no type).
    pub mode: u32,
    pub mtime_ns: i128,
    pub ctime_ns: i128,
    pub inode: u64,
    pub device: u64,
    pub uid: u32,
    pub gid: u32,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: std::ffi::OsString,
    pub kind: Kind,
}

pub trait Disk {
    /// Opens a directory by a path of the user's, symbolic links and all. `create`: make it and
    /// its missing parents.
    fn open_root(&mut self, path: &Path, create: bool) -> io::Result<Dir>;
    /// Opens a directory below another one.
    fn open_dir(&mut self, dir: Dir, path: &Path) -> io::Result<Dir>;
    fn close_dir(&mut self, dir: Dir);

    fn open(&mut self, dir: Dir, path: &Path, how: Open) -> io::Result<File>;
    fn close(&mut self, file: File);
    /// Bytes from `offset` into `buf`; 0 at the end of the file. `WouldBlock`: not yet.
    fn read_at(&mut self, file: File, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    fn write_at(&mut self, file: File, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    fn set_len(&mut self, file: File, len: u64) -> io::Result<()>;
    /// The bytes from `offset` on will be synced soon: the device may begin to write them. Only a
    /// hint, which neither waits nor fails.
    fn write_back(&mut self, _file: File, _offset: u64, _len: u64) {}
    /// Gives the space of a range back; its bytes read as zeros, the file keeps its length.
    /// `Unsupported` where the file system cannot, and then nothing is changed.
    fn punch(&mut self, _file: File, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// `fdatasync`.
    fn sync_data(&mut self, file: File) -> io::Result<()>;
    /// Sets permission bits and modification time.
    fn set_meta(&mut self, file: File, mode: Option<u32>, mtime_ns: Option<i128>)
    -> io::Result<()>;
    /// Sets a directory's permission bits.
    fn set_dir_mode(&mut self, dir: Dir, path: &Path, mode: u32) -> io::Result<()>;
    fn meta(&mut self, file: File) -> io::Result<Meta>;
    /// Takes the exclusive advisory lock of the file; `WouldBlock`: somebody else holds it.
    fn lock(&mut self, file: File) -> io::Result<()>;

    /// `follow`: what a symbolic link leads to (below `dir` only), else the link itself.
    fn stat(&mut self, dir: Dir, path: &Path, follow: bool) -> io::Result<Meta>;
    /// The path below `dir`, without any symbolic link in it, of what `path` leads to.
    fn resolve(&mut self, dir: Dir, path: &Path) -> io::Result<PathBuf>;
    /// Where the symbolic link at `path` leads, as it is written in it.
    fn read_link(&mut self, _dir: Dir, _path: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes a symbolic link; `AlreadyExists` if something is there. Where it leads is not looked at.
    fn make_link(&mut self, _dir: Dir, _target: &Path, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// The names in a directory in any order, at most `max` of them, from `cursor` on (0 = start).
    /// Returns the cursor to go on with, or `None` at the end. A name that is there during the
    /// whole listing is listed at least once.
    fn list(
        &mut self,
        dir: Dir,
        path: &Path,
        cursor: u64,
        max: usize,
        out: &mut Vec<Entry>,
    ) -> io::Result<Option<u64>>;
    /// Makes a directory; `AlreadyExists` if something is there.
    fn make_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()>;
    fn remove(&mut self, dir: Dir, path: &Path) -> io::Result<()>;
    /// Replaces `to`. With `keep`, fails with `AlreadyExists` instead (atomically).
    fn rename(&mut self, dir: Dir, from: &Path, to: &Path, keep: bool) -> io::Result<()>;
    /// Each of two things gets the name of the other, atomically. `Unsupported` where the file system
    /// cannot, and then nothing is changed.
    fn exchange(&mut self, _dir: Dir, _one: &Path, _other: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the names in a directory durable.
    fn sync_dir(&mut self, dir: Dir, path: &Path) -> io::Result<()>;
    /// `syncfs`: everything written to the file system of `dir` so far is durable afterwards.
    fn sync_fs(&mut self, dir: Dir) -> io::Result<()>;
    /// Free bytes for us on the file system of `dir`.
    fn space(&mut self, dir: Dir) -> io::Result<u64>;
}
