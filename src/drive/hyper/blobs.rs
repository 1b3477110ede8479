//! Hyperblobs (hyper/SPEC d.3): where the bytes of a blob are in its core. Blocks may have any size; a
//! blob is a run of them, or, where equal chunks are stored once, a map that names them one by one.

use serde::{Deserialize, Serialize};

use crate::codec::compact::{self, Error, Reader, put_uint};
use crate::limits::{DRIVE_BLOCK_BYTES, HYPER_MAP_BLOCKS, HYPER_MAP_CHUNKS, MAX_SAFE_INTEGER};

/// The only version of maps there is.
const MAP_VERSION: u64 = 0;
/// Bytes of a chunk in a map, at least.
const CHUNK_BYTES: usize = 2;

/// Where a blob is. With a map, all four numbers are the map's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobId {
    pub block_offset: u64,
    pub byte_offset: u64,
    pub block_length: u64,
    pub byte_length: u64,
    /// The blocks are those of a map.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub block_map: bool,
}

/// Why a blob cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlob {
    #[error("the blob's {0} is out of bounds")]
    Bounds(&'static str),
    #[error("the blob's map is malformed: {0}")]
    Malformed(#[from] Error),
    #[error("the blob's map has version {0}")]
    Version(u64),
}

/// A block of a blob's content, and how much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub block: u64,
    /// Bytes; known before the block is here only where a map tells.
    pub bytes: Option<u64>,
}

/// What a blob is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `count` blocks from `first` on.
    Run { first: u64, count: u64, bytes: u64 },
    /// Any blocks, each with its size; the same one may come again.
    Map(Vec<(u64, u64)>),
}

impl BlobId {
    /// Where a blob of `bytes` goes in a core of `blocks` blocks and `offset` bytes, in chunks of 64 KiB.
    pub fn append(blocks: u64, offset: u64, bytes: u64) -> BlobId {
        BlobId {
            block_offset: blocks,
            byte_offset: offset,
            block_length: bytes.div_ceil(DRIVE_BLOCK_BYTES as u64),
            byte_length: bytes,
            block_map: false,
        }
    }

    /// Numbers that arithmetic can take.
    pub fn check(&self) -> Result<(), BadBlob> {
        let end = |start: u64, len: u64| start.checked_add(len).filter(|&e| e <= MAX_SAFE_INTEGER);
        if end(self.block_offset, self.block_length).is_none() {
            return Err(BadBlob::Bounds("blocks"));
        }
        if end(self.byte_offset, self.byte_length).is_none() {
            return Err(BadBlob::Bounds("bytes"));
        }
        if self.block_map && self.block_length > HYPER_MAP_BLOCKS {
            return Err(BadBlob::Bounds("map"));
        }
        // Blocks may be empty, but nobody writes those; content without blocks there is not.
        if self.block_length == 0 && self.byte_length > 0 {
            return Err(BadBlob::Bounds("length"));
        }
        Ok(())
    }

    /// The blocks that have to be here before the layout is known: those of the map, or none.
    pub fn map_blocks(&self) -> std::ops::Range<u64> {
        let count = if self.block_map { self.block_length.min(HYPER_MAP_BLOCKS) } else { 0 };
        self.block_offset..self.block_offset.saturating_add(count)
    }
}

impl Layout {
    /// Of a blob whose map blocks, if it has some, are these, in order.
    pub fn new<'a>(
        id: &BlobId,
        map: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Layout, BadBlob> {
        id.check()?;
        if !id.block_map {
            let (first, count, bytes) = (id.block_offset, id.block_length, id.byte_length);
            return Ok(Layout::Run { first, count, bytes });
        }
        let mut chunks = Vec::new();
        let mut blocks = 0;
        for block in map {
            blocks += 1;
            read_map(block, &mut chunks)?;
        }
        if blocks != id.block_length {
            return Err(BadBlob::Bounds("map"));
        }
        let total = chunks.iter().try_fold(0u64, |sum, (_, bytes)| sum.checked_add(*bytes));
        if total.is_none_or(|total| total > MAX_SAFE_INTEGER) {
            return Err(BadBlob::Bounds("bytes"));
        }
        Ok(Layout::Map(chunks))
    }

    /// Of a map whose blocks are given one behind the other, which then have nothing behind their
    /// chunks.
    pub fn joined(id: &BlobId, map: &[u8]) -> Result<Layout, BadBlob> {
        let mut blocks = Vec::new();
        let mut rest = map;
        for _ in 0..id.block_length.min(HYPER_MAP_BLOCKS) {
            let left = read_map(rest, &mut Vec::new())?;
            let (block, behind) = rest.split_at(rest.len() - left);
            blocks.push(block);
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(BadBlob::Bounds("map"));
        }
        Layout::new(id, blocks)
    }

    /// Bytes of the content.
    pub fn bytes(&self) -> u64 {
        match self {
            Layout::Run { bytes, .. } => *bytes,
            Layout::Map(chunks) => chunks.iter().map(|(_, bytes)| bytes).sum(),
        }
    }

    /// Blocks of the content, repeated ones counted again.
    pub fn len(&self) -> u64 {
        match self {
            Layout::Run { count, .. } => *count,
            Layout::Map(chunks) => chunks.len() as u64,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Chunk `n` of the content.
    pub fn chunk(&self, n: u64) -> Option<Chunk> {
        match self {
            Layout::Run { first, count, .. } => {
                (n < *count).then(|| Chunk { block: first + n, bytes: None })
            }
            Layout::Map(chunks) => {
                let (block, bytes) = *chunks.get(usize::try_from(n).ok()?)?;
                Some(Chunk { block, bytes: Some(bytes) })
            }
        }
    }
}

/// How many bytes are left behind the chunks.
fn read_map(block: &[u8], chunks: &mut Vec<(u64, u64)>) -> Result<usize, BadBlob> {
    let mut r = Reader::new(block);
    match r.uint()? {
        MAP_VERSION => {}
        version => return Err(BadBlob::Version(version)),
    }
    let count = r.count(CHUNK_BYTES)?;
    if count > HYPER_MAP_CHUNKS {
        return Err(BadBlob::Bounds("map"));
    }
    chunks.reserve(count);
    for _ in 0..count {
        chunks.push((r.uint()?, r.uint()?));
    }
    Ok(r.rest().len())
}

/// The map blocks of these chunks (block, bytes), to be appended behind the content.
pub fn encode_map(chunks: &[(u64, u64)]) -> Vec<Vec<u8>> {
    let block = |chunks: &[(u64, u64)]| {
        let mut out = Vec::with_capacity(2 + chunks.len() * (CHUNK_BYTES + compact::MAX_BYTES));
        put_uint(MAP_VERSION, &mut out);
        put_uint(chunks.len() as u64, &mut out);
        for &(index, bytes) in chunks {
            put_uint(index, &mut out);
            put_uint(bytes, &mut out);
        }
        out
    };
    chunks.chunks(HYPER_MAP_CHUNKS).map(block).collect()
}
