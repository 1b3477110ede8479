//! What the command line shows of a drive: its history, its names, a file's blocks.

use super::Nodes;
use super::map::{Chunk, Map};
use crate::drive::diff::{Change, Diff};
use crate::drive::format::{self, Logged};
use crate::drive::stat::Stat;
use crate::drive::tree::TreeError;
use crate::store::StoreError;
use crate::store::disk::{Dir, Disk};

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The block of the metadata feed.
    pub seq: u64,
    pub name: String,
    /// `None`: the entry deletes the name. A value that makes no sense counts as all zeros.
    pub stat: Option<Stat>,
}

impl From<format::Entry> for Entry {
    fn from(found: format::Entry) -> Entry {
        let format::Entry { seq, name, stat } = found;
        Entry { seq, name, stat: Some(stat.unwrap_or_default()) }
    }
}

/// What block `seq` of the log did (1 is the first); `None` if it is malformed or not about a file.
pub fn entry(nodes: &mut Nodes<'_>, seq: u64) -> Result<Option<Entry>, StoreError> {
    match nodes.format().logged(nodes, seq) {
        Ok(Logged::Put(found)) => Ok(Some(found.into())),
        Ok(Logged::Delete { seq, name }) => Ok(Some(Entry { seq, name, stat: None })),
        Ok(Logged::Other) | Err(TreeError::Malformed(_)) => Ok(None),
        Err(TreeError::Source(error)) => Err(error),
    }
}

/// The entries of a version: of a Dat drive in the order of the tree, of a hyperdrive in that of the
/// names.
pub struct Listing {
    version: u64,
    dir: String,
    /// Once it has begun.
    walk: Option<Diff>,
}

impl Listing {
    /// Everything at and below `dir` (`/a/b`; `""` is all) in `version`.
    pub fn new(version: u64, dir: &str) -> Listing {
        Listing { version, dir: dir.to_owned(), walk: None }
    }

    /// The next entry. After `NotYet` the same call goes on.
    pub fn next(&mut self, nodes: &mut Nodes<'_>) -> Result<Option<Entry>, StoreError> {
        let Listing { version, dir, walk } = self;
        let walk = walk.get_or_insert_with(|| Diff::below(nodes.format(), *version, dir));
        loop {
            match walk.next(nodes)? {
                Some(Change::Put { entry, .. }) => return Ok(Some(entry.into())),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The entry of a path (with or without its leading slash) in a version. Its content is blocks
/// `stat.offset..stat.offset + stat.blocks`, unless these are a map's.
pub fn find(nodes: &mut Nodes<'_>, version: u64, path: &str) -> Result<Option<Entry>, StoreError> {
    let name = format!("/{}", path.trim_start_matches('/'));
    Ok(nodes.format().get(nodes, version, &name)?.map(Entry::from))
}

/// A piece of a content that has a map, in the file that it is the content of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The content block.
    pub block: u64,
    /// Where it begins in the file, in bytes.
    pub at: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// The pieces of a content that has a map, of a drive whose content stands in the folder `dir`. `Absent`:
/// the map is not here. What it says is proven by the blocks that it names.
pub fn pieces(disk: &mut dyn Disk, dir: Dir, stat: &Stat) -> Result<Vec<Piece>, StoreError> {
    let map = Map::read(disk, dir, stat)?.ok_or(StoreError::Absent)?;
    let piece = |chunk: &Chunk| Piece { block: chunk.block, at: chunk.at, bytes: chunk.bytes };
    Ok(map.chunks.iter().map(piece).collect())
}
