//! The keys of a drive that is published here: found, or made and kept in the home directory.

use std::path::Path;

use super::open::{Halt, failed};
use crate::crypto::sign::KeyPair;
use crate::drive::hyper;
use crate::drive::stat::Index;
use crate::failure::{Failure, Kind};
use crate::feed::Feed;
use crate::link::Dialect;
use crate::store::disk::{Dir, Disk};
use crate::store::{Flavor, Keys, StoreError, secret, stored};

/// The keys of a drive to publish, and whether it is a new one.
pub(super) struct DriveKeys {
    pub metadata: Keys,
    pub content: Keys,
    pub new: bool,
}

impl DriveKeys {
    /// All follows from the writer's key pair.
    fn of(pair: KeyPair, dat: bool, new: bool) -> DriveKeys {
        if dat {
            let content = pair.content_pair();
            let content = Keys::dat(content.public(), Some(content), false);
            return DriveKeys {
                metadata: Keys::dat(pair.public(), Some(pair), false),
                content,
                new,
            };
        }
        let (bee, blobs) = hyper::keys::manifests(pair.public());
        let content = Keys::core_of(blobs, pair.clone(), false);
        DriveKeys { metadata: Keys::core_of(bee, pair, false), content, new }
    }

    /// Of the drive that is in a folder, whose stores are in `stores`, or new ones of this pair, one of Dat
    /// or not. The secret key is the writer's, kept in the home.
    pub fn find(
        disk: &mut dyn Disk,
        folder: &Path,
        stores: Dir,
        secret_keys: Option<&Path>,
        (fresh, dat): (&KeyPair, bool),
    ) -> Result<DriveKeys, Halt> {
        let known = stored(disk, stores, "metadata.").map_err(|e| Halt::at(folder, e))?;
        if let Some(feed) = known {
            let pair = kept_pair(disk, folder, stores, secret_keys, &feed)?;
            let keys = DriveKeys::of(pair, feed.dialect() == Dialect::Dat, false);
            if keys.metadata.public != *feed.key() {
                let what = format!("{}: this drive was not made by gannet", folder.display());
                let failure = Failure::new(Kind::General, what);
                let hint = "follow it with gannet clone, or share another folder";
                return Err(failure.hint(hint).into());
            }
            return Ok(keys);
        }
        let keys = secret_keys.ok_or_else(|| {
            Failure::new(Kind::NotFound, "there is no home directory for the secret key")
                .hint("set HOME")
        })?;
        secret::save(disk, keys, fresh).map_err(|e| Halt::at(keys, e.into()))?;
        Ok(DriveKeys::of(fresh.clone(), dat, true))
    }

    /// The first block of the metadata.
    pub fn first_block(&self) -> Vec<u8> {
        match self.metadata.flavor {
            Flavor::Dat => Index { content: self.content.public }.encode(),
            Flavor::Core(_) => hyper::keys::header(),
        }
    }
}

/// The key pair that signs the drive which is there.
fn kept_pair(
    disk: &mut dyn Disk,
    folder: &Path,
    stores: Dir,
    secret_keys: Option<&Path>,
    feed: &Feed,
) -> Result<KeyPair, Halt> {
    let absent = || {
        let what = format!("{}: this drive's secret key is not here", folder.display());
        Failure::new(Kind::NotFound, what)
            .hint("import it with gannet key import, or follow the drive with gannet clone")
    };
    let public = feed.signer().ok_or_else(absent)?;
    let halt = |error: std::io::Error| match StoreError::from(error) {
        StoreError::NotYet => Halt::NotYet,
        error => Halt::Failed(failed(folder, error)),
    };
    let kept = match secret_keys {
        Some(keys) => secret::load(disk, keys, &public).map_err(halt)?,
        None => None,
    };
    if let Some(pair) = kept {
        return Ok(pair);
    }
    let beside = secret::load_from(disk, stores, Path::new("metadata.secret_key"), &public);
    Ok(beside.map_err(halt)?.ok_or_else(absent)?)
}
