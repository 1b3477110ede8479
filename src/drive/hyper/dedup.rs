//! Writing a blob whose equal chunks are stored once (hyper/SPEC d.3), as JavaScript does with
//! `dedup: true`: within one blob. Knows chunks by their leaf hashes, which the core needs anyway.

use std::collections::BTreeMap;

use super::blobs::{BadBlob, BlobId, encode_map};
use crate::crypto::hash::Hash;
use crate::limits::{HYPER_DEDUP_CHUNKS, HYPER_MAP_BLOCKS, HYPER_MAP_CHUNKS, MAX_SAFE_INTEGER};

/// A blob on its way into its core, chunk by chunk.
#[derive(Debug)]
pub struct Dedup {
    /// Of the core before the blob.
    blocks: u64,
    offset: u64,
    /// Blocks and bytes appended for the blob.
    new_blocks: u64,
    new_bytes: u64,
    /// Block and bytes of each chunk so far.
    chunks: Vec<(u64, u64)>,
    /// Where the chunks with these leaf hashes are.
    known: BTreeMap<Hash, u64>,
}

impl Dedup {
    /// Upon a core of `blocks` blocks and `offset` bytes.
    pub fn new(blocks: u64, offset: u64) -> Dedup {
        Dedup {
            blocks,
            offset,
            new_blocks: 0,
            new_bytes: 0,
            chunks: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// The next chunk, with its leaf hash and its size. True: it is to be appended to the core; else it
    /// is there already. An error leaves the blob as it was.
    pub fn chunk(&mut self, leaf: &Hash, bytes: u64) -> Result<bool, BadBlob> {
        if self.chunks.len() as u64 == HYPER_MAP_BLOCKS * HYPER_MAP_CHUNKS as u64 {
            return Err(BadBlob::Bounds("map"));
        }
        if let Some(&block) = self.known.get(leaf) {
            self.chunks.push((block, bytes));
            return Ok(false);
        }
        let block = self.blocks + self.new_blocks;
        let end = (self.offset + self.new_bytes).checked_add(bytes);
        if end.is_none_or(|end| end > MAX_SAFE_INTEGER) {
            return Err(BadBlob::Bounds("bytes"));
        }
        if self.known.len() < HYPER_DEDUP_CHUNKS {
            self.known.insert(*leaf, block);
        }
        self.chunks.push((block, bytes));
        self.new_blocks += 1;
        self.new_bytes += bytes;
        Ok(true)
    }

    /// The blob, and the blocks of its map, to be appended behind its chunks. Where no chunk came twice it
    /// is a run like any other and needs no map.
    pub fn finish(self) -> (BlobId, Vec<Vec<u8>>) {
        let run = self.chunks.len() as u64 == self.new_blocks;
        let map = if run { Vec::new() } else { encode_map(&self.chunks) };
        let id = match run {
            true => BlobId {
                block_offset: self.blocks,
                byte_offset: self.offset,
                block_length: self.new_blocks,
                byte_length: self.new_bytes,
                block_map: false,
            },
            false => BlobId {
                block_offset: self.blocks + self.new_blocks,
                byte_offset: self.offset + self.new_bytes,
                block_length: map.len() as u64,
                byte_length: map.iter().map(|block| block.len() as u64).sum(),
                block_map: true,
            },
        };
        (id, map)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::hyper;
    use crate::drive::hyper::Layout;

    proptest! {
        /// What is read back is what was written, and no chunk is stored twice.
        #[test]
        fn a_blob_comes_back(chunks in proptest::collection::vec(0..9u8, 0..40), before in 0..5usize) {
            let mut core = vec![vec![7; 3]; before];
            let mut dedup = Dedup::new(before as u64, 3 * before as u64);
            for &chunk in &chunks {
                let chunk = vec![chunk; usize::from(chunk) + 1];
                if dedup.chunk(&hyper::leaf(&chunk), chunk.len() as u64).unwrap() {
                    core.push(chunk);
                }
            }
            let stored = core.len();
            let different = chunks.iter().collect::<std::collections::BTreeSet<_>>().len();
            prop_assert_eq!(stored, before + different);
            let (id, map) = dedup.finish();
            core.extend(map);
            prop_assert_eq!(id.block_map, different < chunks.len());
            // The id says where its blocks begin, and how long they are.
            let (start, len) = (id.block_offset as usize, id.block_length as usize);
            let bytes = |blocks: &[Vec<u8>]| blocks.concat().len() as u64;
            prop_assert_eq!(bytes(&core[..start]), id.byte_offset);
            prop_assert_eq!(bytes(&core[start..start + len]), id.byte_length);
            prop_assert_eq!(start + len, core.len());
            let map = id.map_blocks().map(|block| &core[block as usize][..]);
            let layout = Layout::new(&id, map).unwrap();
            let read: Vec<u8> = (0..layout.len())
                .flat_map(|n| core[layout.chunk(n).unwrap().block as usize].clone())
                .collect();
            let written: Vec<u8> =
                chunks.iter().flat_map(|&chunk| vec![chunk; usize::from(chunk) + 1]).collect();
            prop_assert_eq!(layout.bytes(), written.len() as u64);
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn no_more_chunks_than_a_map_names() {
        let mut dedup = Dedup::new(0, 0);
        for _ in 0..HYPER_MAP_BLOCKS * HYPER_MAP_CHUNKS as u64 {
            dedup.chunk(&[1; 32], 5).unwrap();
        }
        assert_eq!(dedup.chunk(&[1; 32], 5), Err(BadBlob::Bounds("map")));
        let (id, map) = dedup.finish();
        assert_eq!((id.check(), map.len() as u64), (Ok(()), HYPER_MAP_BLOCKS));
        let mut dedup = Dedup::new(0, MAX_SAFE_INTEGER);
        assert_eq!(dedup.chunk(&[2; 32], 1), Err(BadBlob::Bounds("bytes")));
    }

    /// Chunks that are not remembered are stored again, and found all the same.
    #[test]
    fn what_is_remembered_is_bounded() {
        let mut dedup = Dedup::new(0, 0);
        let leaf = |n: u64| hyper::leaf(&n.to_le_bytes());
        for n in 0..=HYPER_DEDUP_CHUNKS as u64 {
            assert_eq!(dedup.chunk(&leaf(n), 8), Ok(true));
        }
        assert_eq!(dedup.chunk(&leaf(HYPER_DEDUP_CHUNKS as u64), 8), Ok(true));
        assert_eq!(dedup.chunk(&leaf(3), 8), Ok(false));
        assert!(dedup.finish().0.block_map);
    }
}
