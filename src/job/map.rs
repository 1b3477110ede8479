//! Where the chunks of a mapped content lie (hyper/SPEC d.3): any blocks of the blobs, each perhaps
//! several times. The map's own blocks lie in a file `.dat/maps/<first block>` for as long as an entry
//! needs them; which chunks they name is read from there again when it is needed.

use std::path::PathBuf;

use super::Cx;
use super::files::read_all;
use crate::drive::hyper::blobs::{BlobId, Layout};
use crate::drive::stat::Stat;
use crate::store::StoreError;
use crate::store::disk::{Dir, Disk, Open};

/// The chunks of one content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// By their place in the file.
    pub chunks: Vec<Chunk>,
    /// Numbers of chunks, by their block.
    by_block: Vec<u32>,
    /// Bytes of the content.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub block: u64,
    /// Where it begins in the file.
    pub at: u64,
    pub bytes: u64,
}

/// The directory of the maps.
pub(super) const MAPS: &str = ".dat/maps";

/// The file of an entry's map.
pub(super) fn map_path(stat: &Stat) -> PathBuf {
    PathBuf::from(format!("{MAPS}/{}", stat.offset))
}

impl Map {
    /// From the bytes of the map's blocks, one behind the other; `None`: they are no map.
    pub fn decode(stat: &Stat, bytes: &[u8]) -> Option<Map> {
        let blob: BlobId = stat.to_entry().blob?;
        let Layout::Map(list) = Layout::joined(&blob, bytes).ok()? else { return None };
        let mut map = Map::default();
        for (block, bytes) in list {
            map.chunks.push(Chunk { block, at: map.bytes, bytes });
            map.bytes += bytes;
        }
        let mut by_block: Vec<u32> = (0..map.chunks.len() as u32).collect();
        by_block.sort_by_key(|&n| map.chunks[n as usize].block);
        map.by_block = by_block;
        Some(map)
    }

    /// The map of an entry, if its file is there and whole. What it says is not checked.
    pub fn read(disk: &mut dyn Disk, dir: Dir, stat: &Stat) -> Result<Option<Map>, StoreError> {
        let file = match disk.open(dir, &map_path(stat), Open::Read) {
            Ok(file) => file,
            Err(error) if super::files::waits(&error) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let mut bytes = Vec::new();
        let read = read_all(disk, file, 0, stat.size, &mut bytes);
        disk.close(file);
        Ok(read?.then(|| Map::decode(stat, &bytes)).flatten())
    }

    /// Every place of a block.
    pub fn places(&self, block: u64) -> impl Iterator<Item = Chunk> + '_ {
        let chunk = |&n: &u32| self.chunks[n as usize];
        let from = self.by_block.partition_point(|n| chunk(n).block < block);
        self.by_block[from..].iter().map(chunk).take_while(move |chunk| chunk.block == block)
    }

    /// Whether this is the first place of its block.
    pub fn is_first(&self, chunk: &Chunk) -> bool {
        self.places(chunk.block).all(|other| chunk.at <= other.at)
    }
}

/// Whether the file of an entry's map holds what its blocks are.
pub(super) fn is_true(cx: &mut Cx<'_>, stat: &Stat) -> Result<bool, StoreError> {
    let file = match cx.disk.open(cx.dir, &map_path(stat), Open::Read) {
        Ok(file) => file,
        Err(error) if super::files::waits(&error) => return Err(error.into()),
        Err(_) => return Ok(false),
    };
    let checked = check(cx, stat, file);
    cx.disk.close(file);
    checked
}

fn check(cx: &mut Cx<'_>, stat: &Stat, file: crate::store::disk::File) -> Result<bool, StoreError> {
    let (disk, content) = cx.content()?;
    let (mut bytes, mut at) = (Vec::new(), 0);
    for block in stat.offset..stat.offset + stat.blocks {
        let size = match content.leaf(disk, block) {
            Ok(leaf) => leaf.size,
            Err(StoreError::Absent) => return Ok(false),
            Err(error) => return Err(error),
        };
        bytes.clear();
        if size > stat.size
            || !read_all(disk, file, at, size, &mut bytes)?
            || !content.check_leaf(disk, block, &bytes)?
        {
            return Ok(false);
        }
        at += size;
    }
    Ok(at == stat.size)
}
