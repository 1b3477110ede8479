//! Opening a path below a directory without ever leaving it.
//!
//! The kernel does it in one call since 5.6 (`openat2`). Elsewhere the path is walked a component at
//! a time, with a handle on each directory passed, so that a name swapped for a symbolic link
//! meanwhile leads nowhere.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::limits;

/// How paths are resolved on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beneath {
    Kernel,
    Walk,
}

/// Mode of a new file, less the umask.
const NEW_FILE: u32 = 0o666;

impl Beneath {
    /// Asks the kernel whether it knows `openat2`. Some sandboxes answer "not permitted".
    pub fn detect() -> Beneath {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(fs::CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => Beneath::Walk,
            _ => Beneath::Kernel,
        }
    }

    /// Opens `path` below `root`; an empty path is `root` itself. `follow`: symbolic links are
    /// followed as long as they stay below; otherwise there may be none in `path`.
    pub fn open(
        self,
        root: BorrowedFd,
        path: &Path,
        flags: OFlags,
        follow: bool,
    ) -> io::Result<OwnedFd> {
        check(path)?;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC;
        let opened = match self {
            Beneath::Kernel => by_kernel(root, path, flags, follow),
            Beneath::Walk => walk(root, path, flags, follow),
        };
        opened.map_err(|e| match e {
            Errno::LOOP => refused_link("a symbolic link stands in the path"),
            Errno::XDEV => refused_link("a symbolic link leads out of the folder"),
            e => e.into(),
        })
    }
}

/// `path` names something below a directory: no root, no `..`, no NUL. An empty one is the directory.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let ok = path.components().all(|part| matches!(part, Component::Normal(_)));
    if ok && !path.as_os_str().as_bytes().contains(&0) {
        Ok(())
    } else {
        Err(refused("a path leads out of its folder"))
    }
}

pub(super) fn refused(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

fn refused_link(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
}

fn mode(flags: OFlags) -> Mode {
    // The kernel refuses a mode where no file is made.
    if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(NEW_FILE) } else { Mode::empty() }
}

fn by_kernel(root: BorrowedFd, path: &Path, flags: OFlags, follow: bool) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if !follow {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let mut tries = 0;
    loop {
        match fs::openat2(root, path, flags, mode(flags), resolve) {
            Err(Errno::INTR) => {}
            // Something was renamed while the kernel looked.
            Err(Errno::AGAIN) if tries < limits::OPEN_TRIES => tries += 1,
            result => return result,
        }
    }
}

/// The way from the root to where the walk stands, and what is left to walk.
struct Walk<'a> {
    root: BorrowedFd<'a>,
    passed: Vec<OwnedFd>,
    /// Components still to go, the next one last.
    left: Vec<OsString>,
    links: usize,
}

fn walk(root: BorrowedFd, path: &Path, flags: OFlags, follow: bool) -> Result<OwnedFd, Errno> {
    let mut walk = Walk { root, passed: Vec::new(), left: Vec::new(), links: 0 };
    walk.add(path)?;
    while let Some(name) = walk.left.pop() {
        if name == ".." {
            walk.passed.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let last = walk.left.is_empty();
        let step = if last { flags } else { OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC };
        // A link that is opened as such must be seen here, so that it can be refused or followed.
        if (last && flags.contains(OFlags::PATH) && !flags.contains(OFlags::DIRECTORY))
            && walk.enter_link(&name, follow)?
        {
            continue;
        }
        let opened =
            retry_on_intr(|| fs::openat(walk.here(), &name, step | OFlags::NOFOLLOW, mode(step)));
        match opened {
            Ok(fd) if last => return Ok(fd),
            Ok(fd) => walk.passed.push(fd),
            Err(e @ (Errno::LOOP | Errno::NOTDIR)) => {
                if !walk.enter_link(&name, follow)? {
                    return Err(e);
                }
            }
            Err(e) => return Err(e),
        }
    }
    // The path was the directory itself, or a link to one passed on the way.
    retry_on_intr(|| fs::openat(walk.here(), ".", flags, mode(flags)))
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.passed.last().map_or(self.root, AsFd::as_fd)
    }

    /// If `name` is a symbolic link: goes on with where it leads. False if it is none.
    fn enter_link(&mut self, name: &OsStr, follow: bool) -> Result<bool, Errno> {
        match fs::statat(self.here(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {}
            Ok(_) => return Ok(false),
            Err(e) => return Err(e),
        }
        self.links += 1;
        if !follow || self.links > limits::SYMLINKS {
            return Err(Errno::LOOP);
        }
        let target = fs::readlinkat(self.here(), name, Vec::new())?;
        self.add(&PathBuf::from(OsStr::from_bytes(target.as_bytes())))?;
        Ok(true)
    }

    fn add(&mut self, path: &Path) -> Result<(), Errno> {
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => self.left.push(name.to_owned()),
                Component::ParentDir => self.left.push("..".into()),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
            }
        }
        Ok(())
    }
}
