//! Secret keys in the user's home, where the JavaScript programs keep them too (dat/SPEC §10):
//! `<first 2 hex of the discovery key>/<other 62>`, 64 bytes, readable by their owner alone.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crypto::hash::discovery_key;
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::store::disk::{Dir, Disk, File, Open};

/// Owner reads and writes, nobody else does anything.
const PRIVATE: u32 = 0o600;

/// Where a feed's secret key lies below the directory of secret keys.
pub fn place(public: &PublicKey) -> PathBuf {
    let name = hex::encode(discovery_key(public));
    Path::new(&name[..2]).join(&name[2..])
}

/// The key pair of the feed `public` from the directory `keys`, if it is there. `WouldBlock`:
/// call it again. `InvalidData`: something else lies in its place.
pub fn load(disk: &mut dyn Disk, keys: &Path, public: &PublicKey) -> io::Result<Option<KeyPair>> {
    let dir = match disk.open_root(keys, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let pair = load_from(disk, dir, &place(public), public);
    disk.close_dir(dir);
    pair
}

/// The key pair in the file `path` of `dir`, if it is there and belongs to `public`.
pub fn load_from(
    disk: &mut dyn Disk,
    dir: Dir,
    path: &Path,
    public: &PublicKey,
) -> io::Result<Option<KeyPair>> {
    let file = match disk.open(dir, path, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut secret = Zeroizing::new([0; 64]);
    let read = read_exactly(disk, file, secret.as_mut_slice());
    disk.close(file);
    read?;
    match KeyPair::from_secret(*secret) {
        Ok(pair) if pair.public() == *public => Ok(Some(pair)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the secret key in {} belongs to another feed", path.display()),
        )),
    }
}

/// Stores the key pair below `keys`, made when missing; durable when it returns.
pub fn save(disk: &mut dyn Disk, keys: &Path, pair: &KeyPair) -> io::Result<()> {
    let dir = disk.open_root(keys, true)?;
    let done = save_at(disk, dir, &place(&pair.public()), pair);
    disk.close_dir(dir);
    done
}

/// Stores the key pair in the file `path` of `dir`, whose last parent is made when missing. Written
/// beside and renamed, so that a whole key or none is there.
pub fn save_at(disk: &mut dyn Disk, dir: Dir, path: &Path, pair: &KeyPair) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        match disk.make_dir(dir, parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => disk.sync_dir(dir, Path::new(""))?,
        }
    }
    let beside = path.with_extension("new");
    match disk.remove(dir, &beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(dir, &beside, Open::CreateNew)?;
    let written = write_private(disk, file, pair);
    disk.close(file);
    written?;
    disk.rename(dir, &beside, path, false)?;
    disk.sync_dir(dir, parent.unwrap_or(Path::new("")))
}

pub(super) fn write_private(disk: &mut dyn Disk, file: File, pair: &KeyPair) -> io::Result<()> {
    // Before a secret byte is in it.
    disk.set_meta(file, Some(PRIVATE), None)?;
    let secret = pair.secret();
    let mut done = 0;
    while done < secret.len() {
        match disk.write_at(file, done as u64, &secret[done..])? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => done += n,
        }
    }
    disk.sync_data(file)
}

pub(super) fn read_exactly(disk: &mut dyn Disk, file: File, out: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        match disk.read_at(file, done as u64, &mut out[done..])? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the secret key is cut off",
                ));
            }
            n => done += n,
        }
    }
    Ok(())
}
