//! What the command line shows of a drive: its history, its names, a file's blocks.

use super::Nodes;
use crate::drive::stat::Stat;
use crate::drive::tree::{self, TreeError, TreeNode};
use crate::drive::walk::{Change, Diff};
use crate::store::StoreError;

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; the drive's version once it was written.
    pub seq: u64,
    pub name: String,
    /// `None`: the entry deletes the name. A value that is no Stat counts as all zeros.
    pub stat: Option<Stat>,
}

impl Entry {
    fn of(node: TreeNode) -> Entry {
        let stat = node.value.map(|value| Stat::decode(&value).unwrap_or_default());
        Entry { seq: node.seq, name: node.name, stat }
    }
}

/// Entry `seq` of the log (1 is the first); `None` if it is malformed.
pub fn entry(nodes: &mut Nodes<'_>, seq: u64) -> Result<Option<Entry>, StoreError> {
    match tree::node(nodes, seq) {
        Ok(node) => Ok(Some(Entry::of(node))),
        Err(TreeError::Malformed(_)) => Ok(None),
        Err(TreeError::Source(error)) => Err(error),
    }
}

/// The entries of a version, in the order of the tree.
#[derive(Debug)]
pub struct Listing {
    walk: Diff,
}

impl Listing {
    /// Everything at and below `dir` (`/a/b`; `""` is all) in `version`.
    pub fn new(version: u64, dir: &str) -> Listing {
        Listing { walk: Diff::below(0, version, dir) }
    }

    /// The next entry. After `NotYet` the same call goes on.
    pub fn next(&mut self, nodes: &mut Nodes<'_>) -> Result<Option<Entry>, StoreError> {
        loop {
            match self.walk.next(nodes)? {
                Some(Change::Put { node, .. }) => return Ok(Some(Entry::of(node))),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The entry of a path (with or without its leading slash) in a version. Its content is blocks
/// `stat.offset..stat.offset + stat.blocks`.
pub fn find(nodes: &mut Nodes<'_>, version: u64, path: &str) -> Result<Option<Entry>, StoreError> {
    Ok(tree::get(nodes, version, path)?.map(Entry::of))
}
