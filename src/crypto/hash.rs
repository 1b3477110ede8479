//! BLAKE2b as Dat feeds use it (dat/SPEC §1).

/// A 32-byte BLAKE2b hash.
pub type Hash = [u8; 32];

/// A node of a feed's Merkle tree: its in-order number, the bytes of block data under it, its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub index: u64,
    pub size: u64,
    pub hash: Hash,
}
