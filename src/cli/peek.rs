//! A disk that is only looked at. `ls`, `cat`, `log` and the like must work while a share or clone
//! runs on the folder, and where we may not write at all: locks are taken for granted, files open
//! for reading, and what a store would tidy up is forgotten.
//!
//! Bits reach the bitfield after the blocks they stand for, so that what is seen is always sound,
//! if a moment old.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::disk::{Dir, Disk, Entry, File, Kind, Meta, Open};

pub struct Peek<D> {
    disk: D,
}

/// A file that a store wanted to make: empty, and whatever is written to it is gone.
const NOWHERE: File = File(u32::MAX);

impl<D: Disk> Peek<D> {
    pub fn new(disk: D) -> Peek<D> {
        Peek { disk }
    }
}

impl<D: Disk> Disk for Peek<D> {
    fn open_root(&mut self, path: &Path, _create: bool) -> io::Result<Dir> {
        self.disk.open_root(path, false)
    }

    fn open_dir(&mut self, dir: Dir, path: &Path) -> io::Result<Dir> {
        self.disk.open_dir(dir, path)
    }

    fn close_dir(&mut self, dir: Dir) {
        self.disk.close_dir(dir);
    }

    fn open(&mut self, dir: Dir, path: &Path, how: Open) -> io::Result<File> {
        match how {
            Open::Read | Open::ReadFollow => self.disk.open(dir, path, how),
            Open::Write => self.disk.open(dir, path, Open::Read),
            Open::CreateNew => match self.disk.stat(dir, path, false) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NOWHERE),
                Err(error) => Err(error),
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            },
            Open::Create => match self.disk.open(dir, path, Open::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NOWHERE),
                other => other,
            },
        }
    }

    fn close(&mut self, file: File) {
        if file != NOWHERE {
            self.disk.close(file);
        }
    }

    fn read_at(&mut self, file: File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if file == NOWHERE { Ok(0) } else { self.disk.read_at(file, offset, buf) }
    }

    fn write_at(&mut self, _file: File, _offset: u64, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn set_len(&mut self, _file: File, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self, _file: File) -> io::Result<()> {
        Ok(())
    }

    fn set_meta(
        &mut self,
        _file: File,
        _mode: Option<u32>,
        _mtime_ns: Option<i128>,
    ) -> io::Result<()> {
        Ok(())
    }

    fn set_dir_mode(&mut self, _dir: Dir, _path: &Path, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    fn meta(&mut self, file: File) -> io::Result<Meta> {
        if file != NOWHERE {
            return self.disk.meta(file);
        }
        Ok(Meta {
            kind: Kind::File,
            size: 0,
            mode: 0o600,
            mtime_ns: 0,
            ctime_ns: 0,
            inode: 0,
            device: 0,
            uid: 0,
            gid: 0,
        })
    }

    fn lock(&mut self, _file: File) -> io::Result<()> {
        Ok(())
    }

    fn stat(&mut self, dir: Dir, path: &Path, follow: bool) -> io::Result<Meta> {
        self.disk.stat(dir, path, follow)
    }

    fn resolve(&mut self, dir: Dir, path: &Path) -> io::Result<PathBuf> {
        self.disk.resolve(dir, path)
    }

    fn list(
        &mut self,
        dir: Dir,
        path: &Path,
        cursor: u64,
        max: usize,
        out: &mut Vec<Entry>,
    ) -> io::Result<Option<u64>> {
        self.disk.list(dir, path, cursor, max, out)
    }

    fn make_dir(&mut self, _dir: Dir, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&mut self, _dir: Dir, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _dir: Dir, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, _dir: Dir, _from: &Path, _to: &Path, _keep: bool) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&mut self, _dir: Dir, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_fs(&mut self, _dir: Dir) -> io::Result<()> {
        Ok(())
    }

    fn space(&mut self, dir: Dir) -> io::Result<u64> {
        self.disk.space(dir)
    }
}
