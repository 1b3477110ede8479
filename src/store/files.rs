//! The files of one feed: opened when first needed, closed when idle.

use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::disk::{Dir, Disk, File, Open};

/// A directory and what every file name of the feed begins with.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub dir: Dir,
    pub prefix: String,
}

impl Place {
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}{name}", self.prefix))
    }

    /// One line on a file of this feed.
    pub fn damaged(&self, name: &str, what: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged(format!("{}{name} {what}", self.prefix))
    }

    /// Makes the names of the feed's files durable; the prefix may lead into a directory.
    pub fn sync_names(&self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let below = self.prefix.rfind('/').map_or("", |end| &self.prefix[..end]);
        Ok(disk.sync_dir(self.dir, Path::new(below))?)
    }

    pub fn exists(&self, disk: &mut dyn Disk, name: &str) -> Result<bool, StoreError> {
        match disk.stat(self.dir, &self.path(name), false) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file, if it is there. That is not durable yet.
    pub fn remove(&self, disk: &mut dyn Disk, name: &str) -> Result<(), StoreError> {
        match disk.remove(self.dir, &self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The whole of a small file; `None` if there is none.
    pub fn read_small(
        &self,
        disk: &mut dyn Disk,
        name: &str,
        most: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        read_small(disk, self.dir, &self.path(name), most)
    }

    /// Makes a small file that lies there durable, its name too.
    pub fn sync_small(&self, disk: &mut dyn Disk, name: &str) -> Result<(), StoreError> {
        let file = disk.open(self.dir, &self.path(name), Open::Write)?;
        let synced = disk.sync_data(file);
        disk.close(file);
        synced?;
        self.sync_names(disk)
    }

    /// Writes a small file and makes its contents durable; its name is not yet.
    pub fn write_small(
        &self,
        disk: &mut dyn Disk,
        name: &str,
        mode: Option<u32>,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        write_small(disk, (self.dir, &self.path(name)), mode, bytes, true)
    }
}

/// The whole of a small file, or its first `most` bytes; `None` if there is none.
pub fn read_small(
    disk: &mut dyn Disk,
    dir: Dir,
    path: &Path,
    most: usize,
) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match disk.open(dir, path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let read = (|| {
        let size = usize::try_from(disk.meta(file)?.size).unwrap_or(most);
        let mut bytes = vec![0; size.min(most)];
        let read = read_full(disk, file, 0, &mut bytes)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    })();
    disk.close(file);
    read
}

/// Writes a small file, with this mode, and if asked to makes its contents durable; its name is not.
pub fn write_small(
    disk: &mut dyn Disk,
    (dir, path): (Dir, &Path),
    mode: Option<u32>,
    bytes: &[u8],
    durable: bool,
) -> Result<(), StoreError> {
    let file = disk.open(dir, path, Open::Create)?;
    let done = (|| {
        if mode.is_some() {
            disk.set_meta(file, mode, None)?;
        }
        disk.set_len(file, bytes.len() as u64)?;
        write_all(disk, file, 0, bytes)?;
        if durable {
            disk.sync_data(file)?;
        }
        Ok(())
    })();
    disk.close(file);
    done
}

/// One file of a feed.
#[derive(Debug)]
pub(super) struct Slot {
    pub name: &'static str,
    file: Option<File>,
    /// Written to since the last sync.
    pub unsynced: bool,
}

impl Slot {
    pub fn new(name: &'static str) -> Slot {
        Slot { name, file: None, unsynced: false }
    }

    /// The file, opened if need be. It must exist.
    pub fn open(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<File, StoreError> {
        if let Some(file) = self.file {
            return Ok(file);
        }
        match disk.open(place.dir, &place.path(self.name), Open::Write) {
            Ok(file) => Ok(*self.file.insert(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(place.damaged(self.name, "is missing"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The file, made if it does not exist. True: it was made, and its name is not durable yet.
    pub fn create(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<bool, StoreError> {
        if self.file.is_some() {
            return Ok(false);
        }
        let path = place.path(self.name);
        let (file, new) = match disk.open(place.dir, &path, Open::Write) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (disk.open(place.dir, &path, Open::CreateNew)?, true)
            }
            Err(error) => return Err(error.into()),
        };
        self.file = Some(file);
        Ok(new)
    }

    /// Bytes from `offset` on, until `out` is full or the file ends.
    pub fn read(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        offset: u64,
        out: &mut [u8],
    ) -> Result<usize, StoreError> {
        let file = self.open(disk, place)?;
        read_full(disk, file, offset, out)
    }

    pub fn write(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let file = self.open(disk, place)?;
        self.unsynced = true;
        write_all(disk, file, offset, bytes)
    }

    pub fn sync(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
        if self.unsynced {
            let file = self.open(disk, place)?;
            disk.sync_data(file)?;
            self.unsynced = false;
        }
        Ok(())
    }

    pub fn len(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<u64, StoreError> {
        let file = self.open(disk, place)?;
        Ok(disk.meta(file)?.size)
    }

    pub fn close(&mut self, disk: &mut dyn Disk) {
        if let Some(file) = self.file.take() {
            disk.close(file);
        }
    }
}

/// Reads until `out` is full or the file ends.
pub(super) fn read_full(
    disk: &mut dyn Disk,
    file: File,
    offset: u64,
    out: &mut [u8],
) -> Result<usize, StoreError> {
    let mut done = 0;
    while done < out.len() {
        match disk.read_at(file, offset + done as u64, &mut out[done..])? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// Writes all of it.
pub fn write_all(
    disk: &mut dyn Disk,
    file: File,
    offset: u64,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let mut done = 0;
    while done < bytes.len() {
        match disk.write_at(file, offset + done as u64, &bytes[done..])? {
            0 => return Err(StoreError::Io(io::ErrorKind::WriteZero.into())),
            n => done += n,
        }
    }
    Ok(())
}
