//! What the user and other programs do to the disk: no faults, absolute paths, seen by watchers.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use gannet::store::disk::{Kind, Open};

use super::Device;
use super::fs::{Follow, Fs, Ino, ROOT};

/// What a path holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    File { bytes: Vec<u8>, mode: u32, mtime_ns: i128 },
    Dir { mode: u32 },
    Symlink(PathBuf),
    Other,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Item::File { bytes, mode, mtime_ns } => {
                let front = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]).into_owned();
                write!(f, "File({} bytes {front:?}…, {mode:o}, {mtime_ns})", bytes.len())
            }
            Item::Dir { mode } => write!(f, "Dir({mode:o})"),
            Item::Symlink(to) => write!(f, "Symlink({})", to.display()),
            Item::Other => write!(f, "Other"),
        }
    }
}

impl Device {
    /// Runs something on the file system with its faults switched off.
    fn quietly<T>(&self, run: impl FnOnce(&mut Fs) -> io::Result<T>) -> io::Result<T> {
        let mut fs = self.fs();
        fs.now_ns += 1000;
        let faults = std::mem::take(&mut fs.faults);
        let result = run(&mut fs);
        fs.faults = faults;
        result
    }

    pub fn make_dirs(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.quietly(|fs| fs.make_dirs(path.as_ref()).map(drop))
    }

    /// Writes a whole file, making its parents.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        self.edit(path.as_ref(), |fs, ino| {
            fs.set_len(ino, 0)?;
            write_all(fs, ino, 0, bytes)
        })
    }

    pub fn append(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        self.edit(path.as_ref(), |fs, ino| {
            let end = fs.meta(ino)?.size;
            write_all(fs, ino, end, bytes)
        })
    }

    /// Changes bytes in the middle (a rotten disk, or a program's own format).
    pub fn overwrite(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.edit(path.as_ref(), |fs, ino| write_all(fs, ino, offset, bytes))
    }

    pub fn truncate(&self, path: impl AsRef<Path>, len: u64) -> io::Result<()> {
        self.edit(path.as_ref(), |fs, ino| fs.set_len(ino, len))
    }

    fn edit(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Fs, Ino) -> io::Result<()>,
    ) -> io::Result<()> {
        self.quietly(|fs| {
            if let Some(parent) = path.parent() {
                fs.make_dirs(parent)?;
            }
            let ino = fs.open(ROOT, below(path), Open::Create)?;
            let result = change(fs, ino);
            fs.close(ino, (0, 0), true);
            result
        })
    }

    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.quietly(|fs| {
            let ino = fs.lookup(ROOT, path.as_ref(), Follow::Anywhere)?;
            read_all(fs, ino)
        })
    }

    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.fs().lookup(ROOT, below(path.as_ref()), Follow::Never).is_ok()
    }

    /// Removes a file, link or empty directory.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.quietly(|fs| {
            let path = below(path.as_ref());
            match fs.meta(fs.lookup(ROOT, path, Follow::Never)?)?.kind {
                Kind::Dir => fs.remove_dir(ROOT, path),
                _ => fs.remove(ROOT, path),
            }
        })
    }

    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.quietly(|fs| fs.rename(ROOT, below(from.as_ref()), below(to.as_ref()), false))
    }

    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        self.quietly(|fs| fs.make_symlink(ROOT, below(path.as_ref()), target.as_ref()).map(drop))
    }

    /// A named pipe, say.
    pub fn make_other(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.quietly(|fs| fs.make_other(ROOT, below(path.as_ref())).map(drop))
    }

    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        self.set_meta(path.as_ref(), Some(mode), None)
    }

    pub fn set_mtime(&self, path: impl AsRef<Path>, ns: i128) -> io::Result<()> {
        self.set_meta(path.as_ref(), None, Some(ns))
    }

    fn set_meta(&self, path: &Path, mode: Option<u32>, mtime: Option<i128>) -> io::Result<()> {
        self.quietly(|fs| {
            let ino = fs.lookup(ROOT, path, Follow::Anywhere)?;
            fs.set_meta(ino, mode, mtime)
        })
    }

    /// `sync`: everything written so far is durable.
    pub fn sync(&self) {
        // Without faults it cannot fail.
        let _ = self.quietly(Fs::sync_fs);
    }

    /// Everything below `root`, by path relative to it.
    pub fn tree(&self, root: impl AsRef<Path>) -> BTreeMap<PathBuf, Item> {
        let mut found = BTreeMap::new();
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            let mut names = Vec::new();
            let path = root.as_ref().join(&dir);
            if self.quietly(|fs| fs.list(ROOT, below(&path), 0, usize::MAX, &mut names)).is_err() {
                continue;
            }
            for entry in names {
                let path = dir.join(&entry.name);
                if let Ok(item) = self.item(&root.as_ref().join(&path)) {
                    if matches!(item, Item::Dir { .. }) {
                        todo.push(path.clone());
                    }
                    found.insert(path, item);
                }
            }
        }
        found
    }

    fn item(&self, path: &Path) -> io::Result<Item> {
        self.quietly(|fs| {
            let ino = fs.lookup(ROOT, below(path), Follow::Never)?;
            let meta = fs.meta(ino)?;
            Ok(match meta.kind {
                Kind::File => Item::File {
                    bytes: read_all(fs, ino)?,
                    mode: meta.mode,
                    mtime_ns: meta.mtime_ns,
                },
                Kind::Dir => Item::Dir { mode: meta.mode },
                Kind::Symlink => Item::Symlink(fs.link_target(ino)),
                Kind::Other => Item::Other,
            })
        })
    }
}

impl Fs {
    /// An editor saves: the whole file beside, then the rename over it.
    pub fn user_saves(&mut self, path: &str, bytes: &[u8]) {
        let beside = format!("{path}.part");
        self.user_writes(&beside, 0, bytes);
        self.rename(ROOT, below(beside.as_ref()), below(path.as_ref()), false).unwrap();
    }

    /// A program writes into a file as it is; one that is not there is made.
    pub fn user_writes(&mut self, path: &str, offset: u64, bytes: &[u8]) {
        let ino = self.open(ROOT, below(path.as_ref()), Open::Create).unwrap();
        write_all(self, ino, offset, bytes).unwrap();
        self.close(ino, (0, 0), true);
    }
}

fn below(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn read_all(fs: &mut Fs, ino: Ino) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; fs.meta(ino)?.size as usize];
    let count = fs.read(ino, 0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn write_all(fs: &mut Fs, ino: Ino, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = fs.write(ino, offset, bytes)?;
        offset += count as u64;
        bytes = &bytes[count..];
    }
    Ok(())
}
