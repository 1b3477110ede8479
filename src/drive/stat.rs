//! The records of a drive: block 0 of the metadata feed, and what an entry says of its file
//! (dat/SPEC §9; for hyperdrives made from their entries, hyper/SPEC d.4).

use super::hyper::blobs::BlobId;
use super::hyper::entry::Entry;
use crate::codec::proto::{self, Malformed};
use crate::limits::{BLOCK_BYTES, HYPER_BLOCK_BYTES, MAX_SAFE_INTEGER};
use crate::store::disk::Meta;

/// The file type bits of a mode.
const TYPE: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const DIR: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
/// Who may execute a file.
const EXECUTE: u32 = 0o111;
/// The name of the format in block 0.
const HYPERDRIVE: &[u8] = b"hyperdrive";

/// Block 0 of a metadata feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Public key of the content feed.
    pub content: [u8; 32],
}

/// Why block 0 does not open a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("the first block of the feed is not readable as the head of a drive")]
    Malformed,
    #[error("the feed is not a drive but something else")]
    OtherType,
    #[error("the key of the drive's content feed does not have 32 bytes")]
    BadKey,
}

impl Index {
    pub fn decode(block: &[u8]) -> Result<Index, IndexError> {
        let (mut kind, mut content) = (None, None);
        for field in proto::fields(block) {
            match field.map_err(|_| IndexError::Malformed)? {
                (1, value) => kind = Some(value.bytes().map_err(|_| IndexError::Malformed)?),
                (2, value) => content = Some(value.bytes().map_err(|_| IndexError::Malformed)?),
                _ => {}
            }
        }
        match kind {
            None => Err(IndexError::Malformed),
            Some(kind) if kind != HYPERDRIVE => Err(IndexError::OtherType),
            Some(_) => {
                let content = content.and_then(|c| c.try_into().ok()).ok_or(IndexError::BadKey)?;
                Ok(Index { content })
            }
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(46);
        proto::put_bytes(1, HYPERDRIVE, &mut out);
        proto::put_bytes(2, &self.content, &mut out);
        out
    }
}

/// What an entry can say at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Mode, owner and times.
    #[default]
    Posix,
    /// A hyperdrive's: of the mode whether the file can be executed; no owner and no time.
    Blob,
    /// The same, but the numbers are those of a map of the content (hyper/SPEC d.3).
    Map,
}

/// What an entry says of its file. The content is blocks `offset..offset + blocks` of the content
/// feed, `size` bytes from byte `byte_offset` on. Everything but the encoding is a stranger's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// POSIX mode with its type bits.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub blocks: u64,
    pub offset: u64,
    pub byte_offset: u64,
    /// Milliseconds since 1970 UTC.
    pub mtime_ms: u64,
    pub ctime_ms: u64,
    pub form: Form,
}

impl Stat {
    pub fn decode(value: &[u8]) -> Result<Stat, Malformed> {
        let mut stat = Stat::default();
        let mut has_mode = false;
        for field in proto::fields(value) {
            let (number, value) = field?;
            if !(1..=9).contains(&number) {
                continue;
            }
            let n = value.int()?;
            if n > MAX_SAFE_INTEGER {
                return Err(Malformed);
            }
            match number {
                1 => {
                    stat.mode = u32::try_from(n).map_err(|_| Malformed)?;
                    has_mode = true;
                }
                2 => stat.uid = n,
                3 => stat.gid = n,
                4 => stat.size = n,
                5 => stat.blocks = n,
                6 => stat.offset = n,
                7 => stat.byte_offset = n,
                8 => stat.mtime_ms = n,
                _ => stat.ctime_ms = n,
            }
        }
        if has_mode { Ok(stat) } else { Err(Malformed) }
    }

    /// The bytes that JavaScript drives write: a directory has no owner, size and blocks.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        proto::put_int(1, u64::from(self.mode), &mut out);
        if !self.is_dir() {
            proto::put_int(2, self.uid, &mut out);
            proto::put_int(3, self.gid, &mut out);
            proto::put_int(4, self.size, &mut out);
            proto::put_int(5, self.blocks, &mut out);
        }
        proto::put_int(6, self.offset, &mut out);
        proto::put_int(7, self.byte_offset, &mut out);
        proto::put_int(8, self.mtime_ms, &mut out);
        proto::put_int(9, self.ctime_ms, &mut out);
        out
    }

    /// The record of a file or directory on disk, its content not placed yet.
    pub fn of(meta: &Meta, dir: bool) -> Stat {
        Stat {
            mode: if dir { DIR } else { FILE } | (meta.mode & 0o7777),
            uid: u64::from(meta.uid),
            gid: u64::from(meta.gid),
            size: if dir { 0 } else { meta.size },
            mtime_ms: ms(meta.mtime_ns),
            ctime_ms: ms(meta.ctime_ns),
            ..Stat::default()
        }
    }

    /// What an entry of a hyperdrive says.
    pub fn of_entry(entry: &Entry) -> Stat {
        let mode = match (&entry.link, entry.executable) {
            (Some(_), _) => LINK | 0o777,
            (None, true) => FILE | 0o755,
            (None, false) => FILE | 0o644,
        };
        let blob = entry.blob.filter(|_| entry.link.is_none()).unwrap_or_default();
        Stat {
            mode,
            size: blob.byte_length,
            // Blocks without bytes say nothing.
            blocks: if blob.byte_length == 0 { 0 } else { blob.block_length },
            offset: blob.block_offset,
            byte_offset: blob.byte_offset,
            form: if blob.block_map && blob.byte_length > 0 { Form::Map } else { Form::Blob },
            ..Stat::default()
        }
    }

    /// A file on disk as a hyperdrive's entry, its content not placed yet.
    pub fn of_blob(meta: &Meta) -> Stat {
        let stat = Stat { mode: FILE, size: meta.size, form: Form::Blob, ..Stat::default() };
        stat.with_mode(meta.mode)
    }

    /// A symbolic link as a hyperdrive's entry.
    pub fn link() -> Stat {
        Stat { mode: LINK | 0o777, form: Form::Blob, ..Stat::default() }
    }

    /// The entry of a hyperdrive with this content. A link's target and metadata are the caller's.
    pub fn to_entry(&self) -> Entry {
        let blob = BlobId {
            block_offset: self.offset,
            byte_offset: self.byte_offset,
            block_length: self.blocks,
            byte_length: self.size,
            block_map: self.form == Form::Map,
        };
        let blob = (!self.is_link()).then_some(blob);
        Entry { executable: self.is_executable(), blob, ..Entry::default() }
    }

    pub fn is_dir(&self) -> bool {
        self.mode & TYPE == DIR
    }

    /// A symbolic link; it has no content.
    pub fn is_link(&self) -> bool {
        self.mode & TYPE == LINK
    }

    fn is_executable(&self) -> bool {
        self.is_file() && self.mode & EXECUTE != 0
    }

    /// A regular file; a mode without type bits is one too.
    pub fn is_file(&self) -> bool {
        matches!(self.mode & TYPE, FILE | 0)
    }

    /// The permission bits that a clone applies: never set-user-id and the like from a stranger. Of
    /// what the entry does not say, a file keeps what it `has`.
    pub fn permissions(&self, has: Option<u32>) -> u32 {
        match has {
            Some(has) if self.form != Form::Posix && self.is_executable() => {
                // Who may read it may execute it.
                (has | (has & 0o444) >> 2) & 0o777
            }
            Some(has) if self.form != Form::Posix => has & 0o777 & !EXECUTE,
            _ => self.mode & 0o777,
        }
    }

    /// Nanoseconds since 1970 UTC, if the entry says.
    pub fn mtime_ns(&self) -> Option<i128> {
        (self.form == Form::Posix).then(|| i128::from(self.mtime_ms) * 1_000_000)
    }

    /// Whether a file with this mode needs no new entry for its sake.
    pub fn has_mode(&self, mode: u32) -> bool {
        match self.form {
            Form::Posix => self.mode & 0o7777 == mode & 0o7777,
            Form::Blob | Form::Map => self.is_executable() == (mode & EXECUTE != 0),
        }
    }

    /// This record with the mode of a file.
    pub fn with_mode(mut self, mode: u32) -> Stat {
        let bits = match self.form {
            Form::Posix => mode & 0o7777,
            Form::Blob | Form::Map if mode & EXECUTE != 0 => 0o755,
            Form::Blob | Form::Map => 0o644,
        };
        self.mode = self.mode & !0o7777 | bits;
        self
    }

    /// Whether both say the same, so that neither needs to be written over the other.
    pub fn says(&self, other: &Stat) -> bool {
        let empty = self.form == Form::Blob && self.blocks == 0 && other.blocks == 0;
        let moved = Stat { offset: other.offset, byte_offset: other.byte_offset, ..*self };
        self == other || empty && moved == *other
    }

    /// Whether `mtime_ns` is the time that this record was made from. JavaScript rounds to the
    /// nearest millisecond, we cut off.
    pub fn same_mtime(&self, mtime_ns: i128) -> bool {
        let same =
            ms(mtime_ns) == self.mtime_ms || ms(mtime_ns.saturating_add(500_000)) == self.mtime_ms;
        same && self.form == Form::Posix
    }

    /// Whether the numbers can describe a file at all (D07). What they say is still to be held
    /// against the content feed's own sizes.
    pub fn is_consistent(&self) -> bool {
        let end = self.offset.checked_add(self.blocks);
        let bytes_end = self.byte_offset.checked_add(self.size);
        // Blocks of a core may be empty, and a little larger than those of Dat.
        let (sparse, largest) = match self.form {
            Form::Posix => (false, BLOCK_BYTES),
            Form::Blob | Form::Map => (true, HYPER_BLOCK_BYTES),
        };
        (self.blocks == 0) == (self.size == 0)
            && (sparse || self.blocks <= self.size)
            && self.size <= self.blocks.saturating_mul(largest as u64)
            && self.blocks < 1 << 31
            && end.is_some_and(|end| end <= MAX_SAFE_INTEGER)
            && bytes_end.is_some_and(|end| end <= MAX_SAFE_INTEGER)
    }
}

/// Whole milliseconds; times before 1970 become 1970, as records have no sign.
fn ms(ns: i128) -> u64 {
    u64::try_from(ns / 1_000_000).unwrap_or(if ns < 0 { 0 } else { u64::MAX })
}
