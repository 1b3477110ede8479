//! Entries of a hyperdrive 11 to 13 (hyper/SPEC d.4): keys of its bee and the JSON behind them. Names
//! are judged by [`path::check`](crate::drive::path::check) before they become paths.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::blobs::BlobId;
use super::search::Walk;
use crate::limits::{DRIVE_NAME_BYTES, HYPER_ENTRY_BYTES};

/// What the keys of files begin with; a bee may have others.
const FILES: &[u8] = b"files\0";

/// Why an entry is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    #[error("the entry's key is not one of a file")]
    Key,
    #[error("the entry is not what a drive writes")]
    Malformed,
    #[error("the entry is too long")]
    TooLong,
}

/// A file, link or empty file. Directories there are none.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub executable: bool,
    /// Where a symbolic link leads; such an entry has no blob.
    pub link: Option<String>,
    pub blob: Option<BlobId>,
    /// What the application said of it, as the JSON text that it is; carried along unchanged.
    pub metadata: Option<String>,
}

/// In the order in which JavaScript writes the fields.
#[derive(Serialize)]
struct Written<'a> {
    executable: bool,
    linkname: Option<&'a str>,
    blob: Option<&'a BlobId>,
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(default)]
    executable: Option<bool>,
    #[serde(default)]
    linkname: Option<String>,
    #[serde(default)]
    blob: Option<BlobId>,
    #[serde(default, borrow)]
    metadata: Option<&'a RawValue>,
}

impl Entry {
    pub fn decode(value: &[u8]) -> Result<Entry, BadEntry> {
        if value.len() > HYPER_ENTRY_BYTES {
            return Err(BadEntry::TooLong);
        }
        // Lists would be taken for records too.
        if value.trim_ascii_start().first() != Some(&b'{') {
            return Err(BadEntry::Malformed);
        }
        let read: Read<'_> = serde_json::from_slice(value).map_err(|_| BadEntry::Malformed)?;
        if read.blob.is_some_and(|blob| blob.check().is_err()) {
            return Err(BadEntry::Malformed);
        }
        let link = read.linkname.filter(|link| !link.is_empty());
        if link.as_ref().is_some_and(|link| link.contains('\0')) {
            return Err(BadEntry::Malformed);
        }
        Ok(Entry {
            executable: read.executable.unwrap_or(false),
            link,
            blob: read.blob,
            metadata: read.metadata.map(|text| text.get().to_owned()),
        })
    }

    /// Appends the entry's value. Metadata that is no JSON is refused.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadEntry> {
        let metadata = match &self.metadata {
            Some(text) => {
                Some(serde_json::from_str::<&RawValue>(text).map_err(|_| BadEntry::Malformed)?)
            }
            None => None,
        };
        let written = Written {
            executable: self.executable,
            linkname: self.link.as_deref(),
            blob: self.blob.as_ref(),
            metadata,
        };
        let from = out.len();
        serde_json::to_writer(&mut *out, &written).map_err(|_| BadEntry::Malformed)?;
        if out.len() - from > HYPER_ENTRY_BYTES {
            out.truncate(from);
            return Err(BadEntry::TooLong);
        }
        Ok(())
    }

    /// Bytes of the content, unless a map has to be read first.
    pub fn size(&self) -> Option<u64> {
        match &self.blob {
            Some(blob) if blob.block_map && blob.byte_length > 0 => None,
            Some(blob) => Some(blob.byte_length),
            None => Some(0),
        }
    }
}

/// The bee's key of a file, by its path below the drive (`a/b`, one leading slash may stand there).
pub fn key(path: &str) -> Vec<u8> {
    let path = path.strip_prefix('/').unwrap_or(path);
    [FILES, b"/", path.as_bytes()].concat()
}

/// The name (`/a/b`) that a key of the bee stands for. Not judged yet: it may be anything but too long.
pub fn name(key: &[u8]) -> Result<&str, BadEntry> {
    let name = key.strip_prefix(FILES).ok_or(BadEntry::Key)?;
    if name.len() > DRIVE_NAME_BYTES + 1 {
        return Err(BadEntry::TooLong);
    }
    std::str::from_utf8(name).ok().filter(|name| name.starts_with('/')).ok_or(BadEntry::Key)
}

/// The files below a directory (empty: all) as of a version of the bee.
pub fn files(version: u64, dir: &str) -> Walk {
    let dir = dir.trim_matches('/');
    let mut prefix = key(dir);
    if !dir.is_empty() {
        prefix.push(b'/');
    }
    Walk::prefix(version, &prefix)
}
