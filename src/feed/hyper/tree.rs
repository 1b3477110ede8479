//! A tree known by its full roots: what is signed, what grows, what a proof is checked against
//! (hyper/SPEC c.8, c.11).

use crate::crypto::hash::{Hash, Node};
use crate::crypto::hyper;
use crate::feed::flat;
use crate::limits::{FEED_BLOCKS, FEED_DEPTH, MAX_SAFE_INTEGER};

/// Where hashes are kept. `Error` is the keeper's own, "not yet" included.
pub trait Held {
    type Error;
    /// A node that is held; `None` if it is not.
    fn node(&mut self, index: u64) -> Result<Option<Node>, Self::Error>;
}

/// The node does not follow the tree, or the tree would be longer than any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node does not belong behind the tree")]
pub struct Misplaced;

/// The full roots of a tree and what they cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    roots: Vec<Node>,
    length: u64,
    byte_length: u64,
}

impl Tree {
    /// Of these full roots, ascending and without gaps.
    pub fn from_roots(roots: Vec<Node>) -> Result<Tree, Misplaced> {
        let mut tree = Tree::default();
        for root in &roots {
            tree.append(*root, |_| ())?;
        }
        if tree.roots == roots { Ok(tree) } else { Err(Misplaced) }
    }

    /// The first `length` blocks of what is held. `None`: a root is not held.
    pub fn load<H: Held>(held: &mut H, length: u64) -> Result<Option<Tree>, H::Error> {
        let mut roots = Vec::new();
        for root in flat::full_roots(length.min(FEED_BLOCKS)) {
            match held.node(root)? {
                Some(node) => roots.push(node),
                None => return Ok(None),
            }
        }
        Ok(Tree::from_roots(roots).ok().filter(|tree| tree.length == length))
    }

    pub fn roots(&self) -> &[Node] {
        &self.roots
    }

    /// Blocks.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of all blocks together.
    pub fn byte_length(&self) -> u64 {
        self.byte_length
    }

    pub fn hash(&self) -> Hash {
        hyper::tree(&self.roots)
    }

    /// Appends what begins where the tree ends: a leaf, or a node over several. `parent` is told of
    /// each parent that comes to be.
    pub fn append(&mut self, node: Node, mut parent: impl FnMut(Node)) -> Result<(), Misplaced> {
        if node.index >= 2 * FEED_BLOCKS || flat::left_span(node.index) != 2 * self.length {
            return Err(Misplaced);
        }
        let (_, span) = flat::blocks(node.index);
        let length = self.length + span;
        let byte_length = self.byte_length.checked_add(node.size);
        let byte_length = byte_length.filter(|&b| b <= MAX_SAFE_INTEGER).ok_or(Misplaced)?;
        if length > FEED_BLOCKS {
            return Err(Misplaced);
        }
        (self.length, self.byte_length) = (length, byte_length);
        let mut top = node;
        while let Some(left) = self.roots.pop_if(|left| left.index == flat::sibling(top.index)) {
            top = hyper::parent(&left, &top).ok_or(Misplaced)?;
            parent(top);
        }
        self.roots.push(top);
        Ok(())
    }

    /// Appends a block of ours; the leaf and every parent go to `kept`.
    pub fn append_block(
        &mut self,
        size: u64,
        hash: Hash,
        kept: &mut Vec<Node>,
    ) -> Result<(), Misplaced> {
        let leaf = Node { index: 2 * self.length, size, hash };
        kept.push(leaf);
        self.append(leaf, |node| kept.push(node))
    }
}

/// Levels from a node up to the first that is held, itself counted from 0: what a request says in
/// `nodes`. 0 for a node that is not in a tree of `length` blocks.
pub fn missing<H: Held>(held: &mut H, index: u64, length: u64) -> Result<u64, H::Error> {
    let mut levels = 0;
    let mut node = index;
    while flat::depth(node) <= FEED_DEPTH && flat::right_span(node) < 2 * length {
        if held.node(node)?.is_some() {
            break;
        }
        levels += 1;
        node = flat::parent(node);
    }
    Ok(levels)
}
