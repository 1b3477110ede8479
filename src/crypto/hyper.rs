//! Hashes and derived keys of Hypercore 10 and 11 (hyper/SPEC §0.2, §0.3, c.3, c.8, c.9, c.14, d.1,
//! d.4). BLAKE2b with 32 bytes of output throughout; integers are little-endian here, big-endian in
//! Dat. Knows the bytes that are hashed, not the shape of the tree nor what a manifest says.

use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, KeyInit, Mac};
use blake2::{Blake2b256, Blake2bMac, Digest};

use super::hash::{Hash, Leaf, Node, parent_headed};
use super::sign::KeyPair;
use super::stream::StreamCipher;

const TREE: u8 = 2;

/// Bytes in front of an encrypted block.
pub const ENCRYPTION_BYTES: usize = 8;

/// What a hash is made for, so that no hash can stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    Tree,
    ReplicateInitiator,
    ReplicateResponder,
    Manifest,
    DefaultNamespace,
    DefaultEncryption,
    StreamInitiator,
    StreamResponder,
    Corestore,
    Blobs,
}

impl Namespace {
    /// Its 32 bytes.
    pub fn bytes(self) -> Hash {
        let (name, number) = match self {
            Namespace::Tree => ("hypercore", 0),
            Namespace::ReplicateInitiator => ("hypercore", 1),
            Namespace::ReplicateResponder => ("hypercore", 2),
            Namespace::Manifest => ("hypercore", 3),
            Namespace::DefaultNamespace => ("hypercore", 4),
            Namespace::DefaultEncryption => ("hypercore", 5),
            Namespace::StreamInitiator => ("hyperswarm/secret-stream", 0),
            Namespace::StreamResponder => ("hyperswarm/secret-stream", 1),
            Namespace::Corestore => ("corestore", 0),
            Namespace::Blobs => ("hyperdrive", 0),
        };
        hash(&[&hash(&[name.as_bytes()]), &[number]])
    }
}

/// The hash of the parts one behind the other.
pub fn hash(parts: &[&[u8]]) -> Hash {
    let mut state = Blake2b256::new();
    parts.iter().for_each(|part| state.update(part));
    state.finalize().into()
}

/// The same under a key of at most 64 bytes.
fn keyed(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut mac = Blake2bMac::<U32>::new_from_slice(key).expect("at most 64 bytes");
    parts.iter().for_each(|part| Mac::update(&mut mac, part));
    mac.finalize_fixed().into()
}

/// The hash of a block.
pub fn leaf(block: &[u8]) -> Hash {
    let mut leaf = Leaf::headed((block.len() as u64).to_le_bytes());
    leaf.update(block);
    leaf.finish()
}

/// The parent of two siblings, given in any order. `None`: their sizes do not add up in 64 bits.
pub fn parent(a: &Node, b: &Node) -> Option<Node> {
    parent_headed(a, b, u64::to_le_bytes)
}

/// The hash of a whole tree: over its full roots in ascending order.
pub fn tree(roots: &[Node]) -> Hash {
    let mut state = Blake2b256::new();
    state.update([TREE]);
    for root in roots {
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(&root.hash);
        bytes[32..40].copy_from_slice(&root.index.to_le_bytes());
        bytes[40..].copy_from_slice(&root.size.to_le_bytes());
        state.update(bytes);
    }
    state.finalize().into()
}

/// What a signature covers: the tree's namespace, `context` (the core's key, a signer's namespace, or
/// nothing for compat cores), tree hash, length and fork (hyper/SPEC c.10).
pub fn signable(context: Option<&Hash>, tree: &Hash, length: u64, fork: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(112);
    bytes.extend_from_slice(&Namespace::Tree.bytes());
    bytes.extend(context.into_iter().flatten());
    bytes.extend_from_slice(tree);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&fork.to_le_bytes());
    bytes
}

/// The key of a core with this manifest.
pub fn manifest_key(manifest: &[u8]) -> Hash {
    hash(&[&Namespace::Manifest.bytes(), manifest])
}

/// Proves to the other side of a stream that we know a core's key (hyper/SPEC c.3).
/// `initiator`: whether the prover opened the stream.
pub fn capability(handshake: &[u8; 64], initiator: bool, core: &[u8; 32]) -> Hash {
    let namespace =
        if initiator { Namespace::ReplicateInitiator } else { Namespace::ReplicateResponder };
    keyed(handshake, &[&namespace.bytes(), core])
}

/// The name under which a side announces its sealed stream (hyper/SPEC a.5).
pub fn stream_id(handshake: &[u8; 64], initiator: bool) -> Hash {
    let namespace = if initiator { Namespace::StreamInitiator } else { Namespace::StreamResponder };
    keyed(handshake, &[&namespace.bytes()])
}

/// The secret all cores of a store come from, and where in the store's tree of names one stands
/// (hyper/SPEC d.1).
pub struct Corestore {
    primary: zeroize::Zeroizing<[u8; 32]>,
    namespace: Hash,
}

impl Corestore {
    pub fn new(primary: [u8; 32]) -> Corestore {
        Corestore { primary: zeroize::Zeroizing::new(primary), namespace: [0; 32] }
    }

    /// The part of the store below a name.
    pub fn namespace(&self, name: &str) -> Corestore {
        let namespace = hash(&[&self.namespace, name.as_bytes()]);
        Corestore { primary: self.primary.clone(), namespace }
    }

    /// What signs the core of a name.
    pub fn key_pair(&self, name: &str) -> KeyPair {
        let parts = [&Namespace::Corestore.bytes()[..], &self.namespace, name.as_bytes()];
        KeyPair::from_seed(keyed(&*self.primary, &parts))
    }
}

/// The namespace of a drive's blobs signer, from its bee's key and that core's signer (hyper/SPEC d.4).
pub fn blobs_namespace(bee: &[u8; 32], signer_namespace: &Hash) -> Hash {
    hash(&[&Namespace::Blobs.bytes(), bee, signer_namespace])
}

/// The two keys that the blocks of an encrypted core are under (hyper/SPEC c.14).
pub struct BlockCipher {
    block: zeroize::Zeroizing<Hash>,
    blinding: zeroize::Zeroizing<Hash>,
}

/// The block is shorter than what stands in front of every encrypted block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an encrypted block has at least {ENCRYPTION_BYTES} bytes")]
pub struct TooShort;

impl BlockCipher {
    /// `compat`: the core's key is its signer's.
    pub fn new(core: &[u8; 32], encryption_key: &[u8; 32], compat: bool) -> BlockCipher {
        let block = if compat {
            keyed(core, &[encryption_key])
        } else {
            hash(&[&Namespace::DefaultEncryption.bytes(), core, encryption_key])
        };
        BlockCipher::of_blocks(block)
    }

    /// Of the blocks' own key (`block: true` of the JavaScript): who was given that one reads this core
    /// and no other of the same encryption key.
    pub fn of_blocks(block: Hash) -> BlockCipher {
        let blinding = zeroize::Zeroizing::new(hash(&[&block]));
        BlockCipher { block: zeroize::Zeroizing::new(block), blinding }
    }

    /// The blocks' own key, to be given to others.
    pub fn block_key(&self) -> &Hash {
        &self.block
    }

    /// Encrypts where it is: [`ENCRYPTION_BYTES`] of room, then the block.
    pub fn encrypt(&self, index: u64, fork: u64, stored: &mut [u8]) -> Result<(), TooShort> {
        let (head, block) = stored.split_first_chunk_mut::<ENCRYPTION_BYTES>().ok_or(TooShort)?;
        *head = fork.to_le_bytes();
        self.blind(index, head);
        self.apply(index, head, block);
        Ok(())
    }

    /// Decrypts where it is; the block is what follows the first [`ENCRYPTION_BYTES`].
    /// Integrity comes from the tree alone.
    pub fn decrypt(&self, index: u64, stored: &mut [u8]) -> Result<(), TooShort> {
        let (head, block) = stored.split_first_chunk_mut::<ENCRYPTION_BYTES>().ok_or(TooShort)?;
        self.apply(index, head, block);
        Ok(())
    }

    /// A stored block in clear.
    pub fn open(&self, index: u64, stored: &[u8]) -> Result<Vec<u8>, TooShort> {
        let (head, block) = stored.split_first_chunk::<ENCRYPTION_BYTES>().ok_or(TooShort)?;
        let mut block = block.to_vec();
        self.apply(index, head, &mut block);
        Ok(block)
    }

    fn blind(&self, index: u64, head: &mut [u8; ENCRYPTION_BYTES]) {
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&index.to_le_bytes());
        StreamCipher::new(&self.blinding, &nonce).apply(head);
    }

    fn apply(&self, index: u64, head: &[u8; ENCRYPTION_BYTES], block: &mut [u8]) {
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&index.to_le_bytes());
        nonce[8..16].copy_from_slice(head);
        StreamCipher::new(&self.block, &nonce).apply(block);
    }
}
