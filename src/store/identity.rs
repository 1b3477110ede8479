//! The host's key in a directory of the user's: made once, the same for all processes, readable by its
//! owner alone. 64 bytes, seed and public key.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::secret::{read_exactly, write_private};
use crate::crypto::sign::KeyPair;
use crate::store::disk::{Dir, Disk, Open};

/// Its file in the directory.
pub const NAME: &str = "identity";

/// The key that is kept in `dir`, if there is one. `WouldBlock`: call it again. `InvalidData`: what lies
/// there is not a key.
pub fn load(disk: &mut dyn Disk, dir: Dir) -> io::Result<Option<KeyPair>> {
    let file = match disk.open(dir, Path::new(NAME), Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut secret = Zeroizing::new([0; 64]);
    // A longer one is none either.
    let mut more = [0];
    let read = read_exactly(disk, file, secret.as_mut_slice())
        .and_then(|()| disk.read_at(file, secret.len() as u64, &mut more));
    disk.close(file);
    let pair = match read? {
        0 => KeyPair::from_secret(*secret).ok(),
        _ => None,
    };
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "it is not a host's key");
    pair.map(Some).ok_or_else(bad)
}

/// Keeps `pair` as the key of `dir` and makes that durable, unless another process was faster: then
/// `false`, and its key is to be loaded. `beside`: a number that no other process has.
pub fn make(disk: &mut dyn Disk, dir: Dir, pair: &KeyPair, beside: u64) -> io::Result<bool> {
    let beside = PathBuf::from(format!("{NAME}.{beside:016x}.new"));
    let file = disk.open(dir, &beside, Open::CreateNew)?;
    let written = write_private(disk, file, pair);
    disk.close(file);
    let kept = written.and_then(|()| disk.rename(dir, &beside, Path::new(NAME), true));
    if kept.is_err() {
        // Nobody uses it; that it stays is no harm.
        let _ = disk.remove(dir, &beside);
    }
    let ours = match kept {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    // Also when it is another's, who may not have come to this yet.
    disk.sync_dir(dir, Path::new(""))?;
    Ok(ours)
}
