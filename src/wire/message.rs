//! The messages of a feed. What only one dialect has stays a variant here; `sync` never asks which
//! dialect it is serving. Borrowed bytes point into the connection's receive buffer.

use super::hyper;
use crate::crypto::hash::Node;

/// How far the sender's feed reaches, and what it knows of the receiver's.
pub use super::hyper::Sync as Head;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Head(Head),
    /// Whether the sender uploads or downloads at all.
    Info {
        uploading: bool,
        downloading: bool,
    },
    Have(Have<'a>),
    /// The sender lost blocks `start..start+length`.
    Unhave {
        start: u64,
        length: u64,
    },
    /// The receiver is asked to announce what it has; `None` is everything from `start` on.
    Want {
        start: u64,
        length: Option<u64>,
    },
    Unwant {
        start: u64,
        length: Option<u64>,
    },
    Request(Request),
    Cancel(Request),
    /// The sender is not going to answer for a block.
    Refusal {
        index: u64,
    },
    Data(Data<'a>),
    /// `id` counts in the sender's own Handshake list.
    Extension {
        id: u64,
        payload: &'a [u8],
    },
}

/// The sender holds blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have<'a> {
    /// First block.
    pub start: u64,
    /// Blocks; with `bits`, the width of the Want that this answers.
    pub length: u64,
    /// Bit k = block `start + k`. Without them all of `start..start+length` is held.
    pub bits: Option<Bits<'a>>,
    /// Acknowledges a block just received.
    pub ack: bool,
}

/// Which blocks are held, one by one; what they do not reach is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits<'a> {
    /// Run-length-coded (`codec::rle`), the first block in the highest bit.
    Runs(&'a [u8]),
    /// 32 blocks each, little-endian, the first block in the lowest bit.
    Words(&'a [[u8; 4]]),
}

/// Asks for one block (or takes that back, as `Cancel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub index: u64,
    /// Non-zero: the block that contains this byte of the feed, instead of `index`.
    pub bytes: u64,
    /// Only the hash, no value.
    pub hash: bool,
    /// What the asker holds of the tree (dat/SPEC §7.1). 0: nothing; 1: no nodes needed.
    pub digest: u64,
    /// Where requests have numbers, the whole of it; then only `index` of the above counts, if a block
    /// is asked for.
    pub numbered: Option<hyper::Request>,
}

/// A block, or only its hash, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    pub index: u64,
    /// Absent in a hash-only answer. An empty block is `Some(&[])`.
    pub value: Option<&'a [u8]>,
    pub nodes: Vec<Node>,
    pub signature: Option<[u8; 64]>,
}
