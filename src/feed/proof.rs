//! Proofs that a block belongs to a feed: the asker's digest, the holder's answer, the asker's
//! check (dat/SPEC §7). Stateless: nothing is remembered for a peer.

use super::Feed;
use crate::crypto::hash::Node;
use crate::crypto::sign::Signature;

/// Where hashes and signatures are kept. `E` is the keeper's own error, "not yet" included.
pub trait Nodes {
    type Error;
    /// A node that is held; `None` if it is not.
    fn node(&mut self, index: u64) -> Result<Option<Node>, Self::Error>;
    /// The signature of the tree with `length` blocks, if it is kept.
    fn signature(&mut self, length: u64) -> Result<Option<Signature>, Self::Error>;
}

/// What proves a block to somebody who holds what their digest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// In the order of dat/SPEC §7.2.
    pub nodes: Vec<Node>,
    pub signature: Option<Signature>,
}

/// A block, or a leaf alone, that was proven to belong to the feed; nothing is stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Block number.
    pub index: u64,
    /// Where the block begins in the feed, in bytes.
    pub offset: u64,
    /// The block's size in bytes.
    pub size: u64,
    /// The nodes that the proof made trustworthy, the leaf among them.
    pub nodes: Vec<Node>,
    /// The length and byte length that the proof's signature is for, and the signature.
    pub signed: Option<Signed>,
}

/// A signature that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub length: u64,
    pub byte_length: u64,
    pub signature: Signature,
}

/// Why a block or hash from a peer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the block number is beyond every feed")]
    Index,
    #[error("the proof has neither a block nor its hash")]
    Empty,
    #[error("the block is too large")]
    Size,
    #[error("the proof has too many nodes")]
    Nodes,
    #[error("the proof lacks roots of the tree")]
    Roots,
    #[error("the proof lacks a signature")]
    Unsigned,
    #[error("the block or its proof is wrong")]
    Wrong,
    #[error("the feed's writer signed two different histories")]
    Forked,
}

pub(super) fn digest(_feed: &Feed, _block: u64) -> u64 {
    todo!()
}

/// The answer to a request (dat/SPEC §7.2). `None`: the block or its path is not held.
pub fn build<N: Nodes>(
    _feed: &Feed,
    _nodes: &mut N,
    _index: u64,
    _digest: u64,
    _hash_only: bool,
) -> Result<Option<Proof>, N::Error> {
    todo!()
}

/// Checks an answer (dat/SPEC §7.4): `leaf` is the node of the value that came, or `None` when the
/// first of `nodes` is the leaf. The inner result says what is wrong.
pub fn verify<N: Nodes>(
    _feed: &Feed,
    _held: &mut N,
    _index: u64,
    _leaf: Option<Node>,
    _nodes: &[Node],
    _signature: Option<&Signature>,
) -> Result<Result<Accepted, Refusal>, N::Error> {
    todo!()
}
