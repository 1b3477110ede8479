//! What one side asks of a tree and what the other answers, as shapes (hyper/SPEC c.4, c.11).

use crate::crypto::hash::Node;

/// What is asked for at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// A block; `index` counts blocks.
    pub block: Option<Indexed>,
    /// A node of the tree alone; `index` counts nodes.
    pub hash: Option<Indexed>,
    pub seek: Option<Seek>,
    pub upgrade: Option<Upgrade>,
}

/// A block or node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    pub index: u64,
    /// Levels up to the first node that the asker holds.
    pub nodes: u64,
}

/// Which block holds a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seek {
    /// Offset from the start of the core.
    pub bytes: u64,
    /// Bytes at the front of each block that are not counted (those of encrypted cores).
    pub padding: u64,
}

/// From a length that the asker holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Blocks that are there already.
    pub start: u64,
    /// Blocks more.
    pub length: u64,
}

/// The answer to an [`Ask`], but for the block itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    pub block: Option<Path>,
    pub hash: Option<Path>,
    pub seek: Option<SeekPath>,
    pub upgrade: Option<Grown>,
}

/// From a block (its leaf not included) or a node (itself first) upwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// As asked: a block's or a node's number.
    pub index: u64,
    pub nodes: Vec<Node>,
}

/// From the node that resolves a byte offset (first) upwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeekPath {
    pub bytes: u64,
    pub nodes: Vec<Node>,
}

/// What leads from the asker's tree to a longer one that is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grown {
    pub start: u64,
    pub length: u64,
    /// From `start` to `start + length`.
    pub nodes: Vec<Node>,
    /// From there to the length that is signed.
    pub additional: Vec<Node>,
    pub signature: Option<Vec<u8>>,
}
