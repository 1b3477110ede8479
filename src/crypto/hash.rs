//! BLAKE2b with 32 bytes of output as Dat feeds use it (dat/SPEC §1). Knows the bytes that are
//! hashed, not the shape of the tree (that is `feed::flat`).

use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, Mac};
use blake2::{Blake2b256, Blake2bMac, Digest};

/// A 32-byte BLAKE2b hash.
pub type Hash = [u8; 32];

/// A node of a feed's Merkle tree: its in-order number, the bytes of block data under it, its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub index: u64,
    pub size: u64,
    pub hash: Hash,
}

const LEAF: u8 = 0;
const PARENT: u8 = 1;
const ROOTS: u8 = 2;

/// The hash of a block.
pub fn leaf(block: &[u8]) -> Hash {
    let mut leaf = Leaf::new(block.len() as u64);
    leaf.update(block);
    leaf.finish()
}

/// The hash of a block that comes in pieces.
#[derive(Clone)]
pub struct Leaf(Blake2b256);

impl Leaf {
    /// `size`: bytes of the whole block; the pieces must add up to it.
    pub fn new(size: u64) -> Leaf {
        Leaf::headed(size.to_be_bytes())
    }

    /// The dialects differ in how they write the size.
    pub(super) fn headed(size: [u8; 8]) -> Leaf {
        let mut state = Blake2b256::new();
        state.update([LEAF]);
        state.update(size);
        Leaf(state)
    }

    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

/// The parent of two siblings, given in any order. `None`: their sizes do not add up in 64 bits.
pub fn parent(a: &Node, b: &Node) -> Option<Node> {
    parent_headed(a, b, u64::to_be_bytes)
}

pub(super) fn parent_headed(a: &Node, b: &Node, written: fn(u64) -> [u8; 8]) -> Option<Node> {
    let (left, right) = if a.index <= b.index { (a, b) } else { (b, a) };
    let size = left.size.checked_add(right.size)?;
    let mut bytes = [PARENT; 73];
    bytes[1..9].copy_from_slice(&written(size));
    bytes[9..41].copy_from_slice(&left.hash);
    bytes[41..].copy_from_slice(&right.hash);
    let index = left.index + (right.index - left.index) / 2;
    Some(Node { index, size, hash: Blake2b256::digest(bytes).into() })
}

/// The hash that a signature covers: over the full roots in ascending order.
pub fn roots(roots: &[Node]) -> Hash {
    let mut state = Blake2b256::new();
    state.update([ROOTS]);
    for root in roots {
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(&root.hash);
        bytes[32..40].copy_from_slice(&root.index.to_be_bytes());
        bytes[40..].copy_from_slice(&root.size.to_be_bytes());
        state.update(bytes);
    }
    state.finalize().into()
}

/// The name under which a feed is looked for without giving its key away.
pub fn discovery_key(public_key: &[u8; 32]) -> [u8; 32] {
    keyed(public_key, &[], &[], b"hypercore")
}

/// BLAKE2b with a key, salt and personalisation (16 bytes each at most).
pub(super) fn keyed(key: &[u8; 32], salt: &[u8], personal: &[u8], message: &[u8]) -> Hash {
    let mut mac = Blake2bMac::<U32>::new_with_salt_and_personal(Some(key), salt, personal)
        .expect("key, salt and personalisation have legal lengths");
    Mac::update(&mut mac, message);
    mac.finalize_fixed().into()
}
