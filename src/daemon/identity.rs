//! Who this host is, found or made when a run begins. That it cannot be kept is no reason not to run.

use std::io;
use std::path::{Path, PathBuf};

use super::open::patiently;
use crate::crypto::sign::KeyPair;
use crate::failure::Failure;
use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::store::identity::{self, NAME};
use crate::sys::Sys;

/// The host's key, kept in `data`; with a warning, one for this run alone.
pub(super) fn of_run(sys: &mut impl Sys, data: Option<&Path>) -> KeyPair {
    let new = fresh(|bytes| sys.entropy(bytes));
    let Some(data) = data else {
        log::warn!(
            "there is no home directory: this host has another id in each run (set HOME or \
             GANNET_DATA_DIR)"
        );
        return new.pair;
    };
    let found = patiently(sys, |disk| Ok(find_or_make(disk, data, &new)?));
    found.unwrap_or_else(|error| {
        let why = match error {
            StoreError::Io(error) => Failure::io(data.join(NAME).display(), &error).what,
            StoreError::Full => format!("{}: the disk is full", data.join(NAME).display()),
            other => format!("{}: {other}", data.join(NAME).display()),
        };
        log::warn!("{why}: this host has another id until it is stopped");
        new.pair
    })
}

/// A key that may become the host's.
pub(crate) struct Fresh {
    pair: KeyPair,
    /// Tells processes apart that start at once.
    beside: u64,
}

/// Made of random bytes.
pub(crate) fn fresh(mut fill: impl FnMut(&mut [u8])) -> Fresh {
    let (mut seed, mut beside) = (zeroize::Zeroizing::new([0; 32]), [0; 8]);
    fill(seed.as_mut_slice());
    fill(&mut beside);
    Fresh { pair: KeyPair::from_seed(*seed), beside: u64::from_le_bytes(beside) }
}

/// The key that is kept in `data`; if there is none, the new one, kept from now on. `WouldBlock`: call it
/// again.
pub(crate) fn find_or_make(disk: &mut dyn Disk, data: &Path, new: &Fresh) -> io::Result<KeyPair> {
    let dir = disk.open_root(data, true).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
        _ => error,
    })?;
    let found = match identity::load(disk, dir) {
        Ok(Some(pair)) => Ok(pair),
        Ok(None) => match identity::make(disk, dir, &new.pair, new.beside) {
            Ok(true) => Ok(new.pair.clone()),
            // Somebody else has just made one.
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    disk.close_dir(dir);
    found
}

/// What names the directory that a run works on, however it was called.
pub(super) fn place(inside: &Path) -> PathBuf {
    std::fs::canonicalize(inside).unwrap_or_else(|_| inside.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sys::linux::disk::LinuxDisk;

    fn new(n: u8) -> Fresh {
        Fresh { pair: KeyPair::from_seed([n; 32]), beside: u64::from(n) }
    }

    fn found(data: &Path, new: &Fresh) -> io::Result<[u8; 32]> {
        let mut disk = LinuxDisk::new();
        loop {
            match find_or_make(&mut disk, data, new) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                other => return other.map(|pair| pair.public()),
            }
        }
    }

    fn names(data: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(data).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("share/gannet");
        let first = found(&data, &new(1)).unwrap();
        assert_eq!(first, new(1).pair.public());
        assert_eq!(found(&data, &new(2)).unwrap(), first);
        assert_eq!(names(&data), [NAME]);
        let mode = std::fs::metadata(data.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(std::fs::read(data.join(NAME)).unwrap(), new(1).pair.secret().as_slice());
    }

    #[test]
    fn who_start_at_once_have_the_same() {
        for _ in 0..20 {
            let home = tempfile::tempdir().unwrap();
            let barrier = std::sync::Barrier::new(8);
            let ids: BTreeSet<[u8; 32]> = std::thread::scope(|scope| {
                let start = |n| {
                    let (barrier, data) = (&barrier, home.path());
                    scope.spawn(move || {
                        barrier.wait();
                        found(data, &new(n)).unwrap()
                    })
                };
                let all: Vec<_> = (0..8).map(start).collect();
                all.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(ids.len(), 1);
            assert_eq!(names(home.path()), [NAME]);
        }
    }

    #[test]
    fn what_is_no_key_is_neither_used_nor_replaced() {
        let home = tempfile::tempdir().unwrap();
        let long = [new(1).pair.secret().as_slice(), &[0]].concat();
        for bad in [&[][..], &[1; 63], &[1; 64], &long] {
            std::fs::write(home.path().join(NAME), bad).unwrap();
            let error = found(home.path(), &new(2)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(std::fs::read(home.path().join(NAME)).unwrap(), bad);
            assert_eq!(names(home.path()), [NAME]);
        }
    }

    #[test]
    fn a_place_has_one_name() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dir");
        std::fs::create_dir(&dir).unwrap();
        std::os::unix::fs::symlink(&dir, home.path().join("link")).unwrap();
        assert_eq!(place(&home.path().join("link")), place(&home.path().join("dir/../dir")));
    }
}
