//! A disk in memory, with one directory.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use gannet::store::disk::{Dir, Disk, Entry, File, Kind, Meta, Open};

/// Bytes that a file may have: damaged numbers shall not fill the memory.
const MOST: u64 = 1 << 26;

#[derive(Default)]
pub struct Memory {
    names: BTreeMap<PathBuf, usize>,
    files: Vec<Vec<u8>>,
}

impl Memory {
    pub fn with(files: BTreeMap<PathBuf, Vec<u8>>) -> Memory {
        let names = files.keys().cloned().zip(0..).collect();
        Memory { names, files: files.into_values().collect() }
    }

    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.names.get(Path::new(name)).map(|&at| self.files[at].as_slice())
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for Memory {
    fn open_root(&mut self, _: &Path, _: bool) -> io::Result<Dir> {
        Ok(Dir(0))
    }

    fn open_dir(&mut self, dir: Dir, _: &Path) -> io::Result<Dir> {
        Ok(dir)
    }

    fn close_dir(&mut self, _: Dir) {}

    fn open(&mut self, _: Dir, path: &Path, how: Open) -> io::Result<File> {
        let at = match (self.find(path), how) {
            (Ok(_), Open::CreateNew) => return Err(ErrorKind::AlreadyExists.into()),
            (Ok(at), _) => at,
            (Err(_), Open::Create | Open::CreateNew) => {
                self.files.push(Vec::new());
                self.names.insert(path.into(), self.files.len() - 1);
                self.files.len() - 1
            }
            (Err(error), _) => return Err(error),
        };
        Ok(File(at as u32))
    }

    fn close(&mut self, _: File) {}

    fn read_at(&mut self, file: File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = &self.files[file.0 as usize];
        let bytes = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let len = buf.len().min(bytes.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn write_at(&mut self, file: File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > MOST {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = &mut self.files[file.0 as usize];
        file.resize(file.len().max(end as usize), 0);
        file[offset as usize..end as usize].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn set_len(&mut self, file: File, len: u64) -> io::Result<()> {
        if len > MOST {
            return Err(ErrorKind::StorageFull.into());
        }
        self.files[file.0 as usize].resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&mut self, _: File) -> io::Result<()> {
        Ok(())
    }

    fn set_meta(&mut self, _: File, _: Option<u32>, _: Option<i128>) -> io::Result<()> {
        Ok(())
    }

    fn set_dir_mode(&mut self, _: Dir, _: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn resolve(&mut self, _: Dir, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn meta(&mut self, file: File) -> io::Result<Meta> {
        let size = self.files[file.0 as usize].len() as u64;
        let (inode, device, uid, gid) = (file.0.into(), 1, 0, 0);
        let (mtime_ns, ctime_ns) = (0, 0);
        Ok(Meta {
            kind: Kind::File,
            size,
            mode: 0o600,
            mtime_ns,
            ctime_ns,
            inode,
            device,
            uid,
            gid,
        })
    }

    fn lock(&mut self, _: File) -> io::Result<()> {
        Ok(())
    }

    fn stat(&mut self, _: Dir, path: &Path, _: bool) -> io::Result<Meta> {
        let file = self.find(path)?;
        self.meta(File(file as u32))
    }

    fn list(
        &mut self,
        _: Dir,
        _: &Path,
        _: u64,
        _: usize,
        out: &mut Vec<Entry>,
    ) -> io::Result<Option<u64>> {
        out.extend(self.names.keys().map(|name| Entry { name: name.into(), kind: Kind::File }));
        Ok(None)
    }

    fn make_dir(&mut self, _: Dir, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&mut self, _: Dir, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: Dir, path: &Path) -> io::Result<()> {
        self.find(path)?;
        self.names.remove(path);
        Ok(())
    }

    fn rename(&mut self, _: Dir, from: &Path, to: &Path, keep: bool) -> io::Result<()> {
        let file = self.find(from)?;
        if keep && self.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.names.remove(from);
        self.names.insert(to.into(), file);
        Ok(())
    }

    fn sync_dir(&mut self, _: Dir, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_fs(&mut self, _: Dir) -> io::Result<()> {
        Ok(())
    }

    fn space(&mut self, _: Dir) -> io::Result<u64> {
        Ok(MOST)
    }
}
