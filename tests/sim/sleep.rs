//! Reads a feed's files (dat/SPEC §8) without any of gannet's store: every bit that is set must
//! stand for bytes that verify up to a signature. The tree arithmetic is written down again here, so
//! that a mistake in it cannot hide. Cores (hyper/SPEC c.8–c.10) lie in the same files but for the
//! signatures: the file `core` has the newest in one of two slots.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gannet::crypto::hash::{self, Node};
use gannet::crypto::{hyper, sign};
use gannet::feed::hyper::{Authority, Manifest, Tree};
use gannet::limits;

use crate::disk::Device;

const HEADER: usize = 32;
const ZERO_SIGNATURE: [u8; 64] = [0; 64];

/// What the files of one feed say.
pub struct Feed {
    pub key: [u8; 32],
    pub held: BTreeSet<u64>,
    /// Signature by the length it is for.
    pub signatures: BTreeMap<u64, [u8; 64]>,
    tree: Vec<u8>,
    data: Option<Vec<u8>>,
    /// Of a core: its manifest, and the signature and fork of its length.
    core: Option<Core>,
}

struct Core {
    manifest: Option<Manifest>,
    length: u64,
    fork: u64,
    signature: Vec<u8>,
}

/// The heads of a core, the newest first: fork, length, tree hash, signature. One that was not made
/// durable may be there without its tree.
fn heads(key: &[u8; 32], bytes: &[u8]) -> Vec<(u64, u64, [u8; 32], Vec<u8>)> {
    let slots = [bytes, bytes.get(limits::STORE_HEAD_BYTES..).unwrap_or_default()];
    let valid = |bytes: &[u8]| {
        let number = |n: usize| Some(u64::from_be_bytes(*bytes.get(8 * n..)?.first_chunk()?));
        let size = u32::from_be_bytes(*bytes.get(64..)?.first_chunk()?) as usize;
        let (body, sum) = (bytes.get(..68 + size)?, bytes.get(68 + size..100 + size)?);
        let good = *sum == hyper::hash(&[b"gannet core head", key, body]);
        let tree: [u8; 32] = body[32..64].try_into().ok()?;
        good.then_some((number(0)?, number(1)?, number(2)?, tree, body[68..].to_vec()))
    };
    let mut found: Vec<_> = slots.into_iter().filter_map(valid).collect();
    found.sort_by_key(|head| std::cmp::Reverse(head.0));
    found.into_iter().map(|(_, fork, length, tree, signed)| (fork, length, tree, signed)).collect()
}

/// `None`: there is no feed (yet).
pub fn load(device: &Device, dir: &str, prefix: &str) -> Result<Option<Feed>, String> {
    let read = |name: &str| device.read(Path::new(dir).join(format!("{prefix}{name}"))).ok();
    let Some(key) = read("key") else { return Ok(None) };
    let Ok(key) = <[u8; 32]>::try_from(key) else { return Ok(None) };
    let bitfield = read("bitfield").unwrap_or_default();
    let tree = read("tree").unwrap_or_default();
    let signed = read("signatures").unwrap_or_default();
    let mut held = BTreeSet::new();
    if bitfield.len() >= HEADER {
        let page = usize::from(u16::from_be_bytes([bitfield[5], bitfield[6]]));
        if page != 3584 && page != 3328 {
            return Err(format!("{dir}/{prefix}bitfield has pages of {page} bytes"));
        }
        for (number, page) in bitfield[HEADER..].chunks(page).enumerate() {
            for (at, byte) in page.iter().take(1024).enumerate() {
                let bits = (0..8).filter(|bit| byte & (128 >> bit) != 0);
                held.extend(bits.map(|bit| (number * 8192 + at * 8 + bit) as u64));
            }
        }
    }
    let mut signatures = BTreeMap::new();
    for (at, signature) in signed.get(HEADER..).unwrap_or_default().chunks_exact(64).enumerate() {
        if signature != ZERO_SIGNATURE {
            let mut copy = ZERO_SIGNATURE;
            copy.copy_from_slice(signature);
            signatures.insert(at as u64 + 1, copy);
        }
    }
    let core = match read("core") {
        Some(bytes) => {
            let there = |length: u64, hash: &[u8; 32]| {
                let nodes: Option<Vec<Node>> =
                    roots(length).into_iter().map(|index| raw(&tree, index)).collect();
                nodes.is_some_and(|nodes| hyper::tree(&nodes) == *hash)
            };
            let mut heads = heads(&key, &bytes).into_iter();
            let (fork, length, _, signature) = heads
                .find(|(_, length, hash, _)| *length == 0 || there(*length, hash))
                .ok_or(format!("{dir}/{prefix}core has no head with its tree"))?;
            // Before the first head it may be cut off.
            let manifest = read("manifest").filter(|_| length > 0);
            let manifest = manifest.map(|bytes| Manifest::decode(&bytes)).transpose();
            let manifest = manifest.map_err(|why| why.to_string())?;
            if let Some(signed) = signature.get(2..66).filter(|_| length > 0) {
                signatures.insert(length, signed.try_into().expect("64 bytes"));
            }
            // Bits beyond the head mean nothing.
            held.retain(|block| *block < length);
            Some(Core { manifest, length, fork, signature })
        }
        None => None,
    };
    Ok(Some(Feed { key, held, signatures, tree, data: read("data"), core }))
}

fn raw(tree: &[u8], index: u64) -> Option<Node> {
    let at = HEADER + usize::try_from(index).ok()? * 40;
    let entry = tree.get(at..at + 40)?;
    if entry.iter().all(|byte| *byte == 0) {
        return None;
    }
    let (hash, size) = (entry[..32].try_into().ok()?, entry[32..].try_into().ok()?);
    Some(Node { index, hash, size: u64::from_be_bytes(size) })
}

impl Feed {
    fn node(&self, index: u64) -> Option<Node> {
        if self.core.as_ref().is_some_and(|core| last_leaf(index) >= 2 * core.length) {
            // What a longer history left behind.
            return None;
        }
        raw(&self.tree, index)
    }

    /// Every held block verifies. `data`: its bytes are in the feed's own file and are checked too.
    /// Returns the lengths whose signature is good.
    pub fn verify(&self, data: bool) -> Result<BTreeSet<u64>, String> {
        let good: BTreeSet<u64> = self
            .signatures
            .iter()
            .filter(|(l, s)| self.is_signed(**l, s))
            .map(|(l, _)| *l)
            .collect();
        for block in &self.held {
            self.verify_block(*block, data, &good)
                .map_err(|why| format!("block {block} is said to be held, but {why}"))?;
        }
        Ok(good)
    }

    fn is_signed(&self, length: u64, signature: &[u8; 64]) -> bool {
        let roots: Option<Vec<Node>> = roots(length).into_iter().map(|i| self.node(i)).collect();
        let Some(roots) = roots else { return false };
        let Some(core) = &self.core else {
            return sign::verify(&self.key, &hash::roots(&roots), signature);
        };
        let authority = Authority::new(self.key, core.manifest.clone());
        let (Ok(authority), Ok(tree)) = (authority, Tree::from_roots(roots)) else { return false };
        length == core.length && authority.verify(&tree, core.fork, Some(&core.signature))
    }

    fn leaf_hash(&self, bytes: &[u8]) -> [u8; 32] {
        if self.core.is_some() { hyper::leaf(bytes) } else { hash::leaf(bytes) }
    }

    fn parent(&self, a: &Node, b: &Node) -> Option<Node> {
        if self.core.is_some() { hyper::parent(a, b) } else { hash::parent(a, b) }
    }

    fn verify_block(&self, block: u64, data: bool, good: &BTreeSet<u64>) -> Result<(), String> {
        let leaf = self.node(2 * block).ok_or("its leaf is not there")?;
        if data {
            let bytes = self.block(block)?;
            if self.leaf_hash(bytes) != leaf.hash {
                return Err(format!("its {} bytes have another hash", bytes.len()));
            }
        }
        // What stands above a signed root proves nothing, and may be torn: it was on its way to the disk.
        let signed = |at: &Node| {
            let mut lengths = good.iter().filter(|length| **length > block);
            lengths.any(|length| roots(*length).contains(&at.index))
        };
        let (mut at, mut depth, mut offset) = (leaf, 0, block);
        while !signed(&at) {
            let sibling = ((offset ^ 1) << (depth + 1)) + (1 << depth) - 1;
            let parent = ((offset >> 1) << (depth + 2)) + (1 << (depth + 1)) - 1;
            let (Some(sibling), Some(parent)) = (self.node(sibling), self.node(parent)) else {
                break;
            };
            let made = self.parent(&at, &sibling).ok_or("sizes that overflow")?;
            if (made.hash, made.size) != (parent.hash, parent.size) {
                return Err(format!("node {} is not made of its children", parent.index));
            }
            (at, depth, offset) = (parent, depth + 1, offset >> 1);
        }
        if signed(&at) { Ok(()) } else { Err("nothing signed covers it".into()) }
    }

    /// The history of a core that the signature is for.
    pub fn fork(&self) -> u64 {
        self.core.as_ref().map_or(0, |core| core.fork)
    }

    /// The bytes of a block in the data file.
    pub fn block(&self, block: u64) -> Result<&[u8], String> {
        let mut start = 0;
        for root in roots(block) {
            start += self.node(root).ok_or(format!("node {root} is not there"))?.size;
        }
        let size = self.node(2 * block).ok_or("its leaf is not there")?.size;
        if size == 0 {
            return Ok(&[]);
        }
        let data = self.data.as_deref().unwrap_or_default();
        let range = start as usize..(start + size) as usize;
        data.get(range).ok_or_else(|| format!("the data file ends at {}", data.len()))
    }
}

/// The last leaf below a node.
fn last_leaf(node: u64) -> u64 {
    node + (1 << node.trailing_ones()) - 1
}

/// The full roots of a tree of `length` blocks.
fn roots(length: u64) -> Vec<u64> {
    let (mut found, mut start, mut left) = (Vec::new(), 0, length);
    while left > 0 {
        let span = 1 << (63 - left.leading_zeros());
        found.push(2 * start + span - 1);
        start += span;
        left -= span;
    }
    found
}
