//! A feed as pure state: which blocks and which nodes of its Merkle tree are held, how long it is,
//! and the proofs made and checked from that (dat/SPEC §2, §7). Knows no file, no peer, no message.

mod dialect;
pub mod flat;
pub mod hyper;
pub mod proof;
#[cfg(test)]
mod tests;

use crate::bits::Bitfield;
use crate::crypto::hash::{self, Node};
use crate::crypto::sign::PublicKey;
use crate::limits;

pub use dialect::Core;
pub use proof::{Accepted, Refusal, Verdict};

/// What is known of one feed. The blocks, hashes and signatures themselves are in the store.
#[derive(Clone, Debug)]
pub struct Feed {
    key: PublicKey,
    discovery_key: [u8; 32],
    length: u64,
    byte_length: u64,
    have: Bitfield,
    nodes: Bitfield,
    writable: bool,
    /// Blocks of ours from here on are not durable: nobody may hear of them.
    unsettled: u64,
    /// Rare, so it does not take room in every feed.
    fork: Option<Box<Fork>>,
    core: Option<Box<Core>>,
}

/// A second valid tree for a length that we hold another one of: the writer signed two histories.
/// Kept as evidence beside our own; the feed neither grows nor takes blocks any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Blocks of the other tree.
    pub length: u64,
    /// Its full roots.
    pub roots: Vec<Node>,
    /// 64 bytes of a Dat feed, a core's may be a container.
    pub signature: Vec<u8>,
}

impl Feed {
    /// An empty Dat feed that can be read.
    pub fn new(key: PublicKey) -> Feed {
        Feed {
            key,
            discovery_key: hash::discovery_key(&key),
            length: 0,
            byte_length: 0,
            have: Bitfield::new(),
            nodes: Bitfield::new(),
            writable: false,
            unsettled: u64::MAX,
            fork: None,
            core: None,
        }
    }

    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    pub fn discovery_key(&self) -> &[u8; 32] {
        &self.discovery_key
    }

    /// Blocks that the writer is known to have signed.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Blocks that others may hear of: those of a writer are durable (hyper/SPEC f.1).
    pub fn shown_length(&self) -> u64 {
        self.length.min(self.unsettled)
    }

    /// Bytes of those blocks together.
    pub fn byte_length(&self) -> u64 {
        self.byte_length
    }

    /// Whether the block itself is here.
    pub fn has(&self, block: u64) -> bool {
        self.have.get(block)
    }

    /// The blocks that are here.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether hash and size of a tree node are here.
    pub fn holds(&self, node: u64) -> bool {
        self.nodes.get(node)
    }

    /// The tree nodes that are here.
    pub fn nodes(&self) -> &Bitfield {
        &self.nodes
    }

    /// Whether we can sign.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// Set when the writer signed two different trees: the feed is frozen.
    pub fn fork(&self) -> Option<&Fork> {
        self.fork.as_deref()
    }

    /// What to put into `Request.nodes` for a block: which nodes on its way up are held
    /// (dat/SPEC §7.1). 1: send no nodes; 0: nothing is held.
    pub fn digest(&self, block: u64) -> u64 {
        proof::digest(self, block)
    }

    /// The length of the longest tree that the held nodes make up (dat/SPEC §8).
    pub(crate) fn length_by_nodes(&self) -> u64 {
        let Some(last) = self.nodes.last_set() else { return 0 };
        let (mut top, mut node) = (0, 0);
        while flat::right_span(node) < last && flat::depth(node) < limits::FEED_DEPTH {
            node = flat::parent(node);
            if self.holds(node) {
                top = node;
            }
        }
        proof::verified_by(self, top)
    }

    pub(crate) fn writer(mut self) -> Feed {
        self.writable = true;
        self
    }

    pub(crate) fn freeze(&mut self, fork: Fork) {
        self.fork = Some(Box::new(fork));
    }

    /// Blocks from here on are being appended.
    pub(crate) fn unsettle(&mut self, from: u64) {
        self.unsettled = self.unsettled.min(from);
    }

    /// Everything is durable.
    pub(crate) fn settle(&mut self) {
        self.unsettled = u64::MAX;
    }

    pub(crate) fn set_nodes(&mut self, start: u64, len: u64, here: bool) {
        if here {
            self.nodes.set_range(start, len);
        } else {
            self.nodes.clear_range(start, len);
        }
    }

    /// Marks one node as held. Whether it was not before.
    pub(crate) fn set_node(&mut self, node: u64) -> bool {
        self.nodes.set(node)
    }

    /// Marks one block as held. Whether it was not before.
    pub(crate) fn set_block(&mut self, block: u64) -> bool {
        self.have.set(block)
    }

    pub(crate) fn set_lengths(&mut self, length: u64, byte_length: u64) {
        self.length = length;
        self.byte_length = byte_length;
    }

    /// Marks blocks as held or not; for a feed whose store does not matter, as in tests.
    pub fn set_have(&mut self, start: u64, len: u64, here: bool) {
        if here {
            self.have.set_range(start, len);
        } else {
            self.have.clear_range(start, len);
        }
    }

    /// Sets the known length; see `set_have`.
    pub fn set_length(&mut self, length: u64) {
        self.length = length;
    }
}
