//! What the command line shows of a drive: its history, its names, a file's blocks.

use crate::drive::stat::Stat;
use crate::drive::walk::Diff;
use crate::store::StoreError;

use super::Nodes;

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; the drive's version once it was written.
    pub seq: u64,
    pub name: String,
    /// `None`: the entry deletes the name. A value that is no Stat has `Stat::default()`.
    pub stat: Option<Stat>,
}

/// Entry `seq` of the log (1 is the first); `None` if it is malformed.
pub fn entry(_nodes: &mut Nodes<'_>, _seq: u64) -> Result<Option<Entry>, StoreError> {
    todo!()
}

/// The entries of a version, in the order of the tree.
pub struct Listing {
    _walk: Diff,
}

impl Listing {
    /// Everything below `dir` (`""` is all) in `version`.
    pub fn new(version: u64, dir: &str) -> Listing {
        Listing { _walk: Diff::below(0, version, dir) }
    }

    /// The next entry. After `NotYet` the same call goes on.
    pub fn next(&mut self, _nodes: &mut Nodes<'_>) -> Result<Option<Entry>, StoreError> {
        todo!()
    }
}

/// The entry of a path in a version; its content blocks are `stat.offset..stat.offset + blocks`.
pub fn find(
    _nodes: &mut Nodes<'_>,
    _version: u64,
    _path: &str,
) -> Result<Option<Entry>, StoreError> {
    todo!()
}
