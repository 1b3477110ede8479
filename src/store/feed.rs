//! A feed's files (dat/SPEC §8): a directory and a prefix like `metadata.`. This file is what can be
//! asked of a feed; `open`, `write`, `recover` and `verify` do the rest.
//!
//! Order on disk: data, tree and signatures are written and synced before the bitfield says so, and
//! a block counts only when its bit is set. From the first change to an orderly end a marker
//! `gannet.open` lies beside the feed; who finds it recovers what the bits do not tell.

use super::StoreError;
use super::bitpage::Shape;
use super::core::{CoreFiles, Flavor};
use super::data::Data;
use super::disk::Disk;
use super::dropped::Dropped;
use super::files::{Place, Slot};
use super::pages::Pages;
use super::recover::Recovery;
use crate::crypto::hash::{self, Node};
use crate::crypto::sign::{KeyPair, PublicKey, Signature};
use crate::feed::hyper::Manifest;
use crate::feed::proof::{self, Accepted, Nodes, Proof, Verdict};
use crate::feed::{Feed, Fork, Refusal, flat};
use crate::limits;
use crate::link::Dialect;
use crate::time::Instant;

/// Where the blocks' bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// In the feed's own `data` file.
    File,
    /// Elsewhere, in the caller's care: a drive's content lives in the user's files.
    External,
}

/// The keys of a new feed.
#[derive(Clone, Debug)]
pub struct Keys {
    pub public: PublicKey,
    /// Present for the writer.
    pub secret: Option<KeyPair>,
    /// Also write the secret key beside the feed, as `secret_key`. (Drives keep it elsewhere.)
    pub keep_secret: bool,
    pub flavor: Flavor,
}

impl Keys {
    /// Of a Dat feed.
    pub fn dat(public: PublicKey, secret: Option<KeyPair>, keep_secret: bool) -> Keys {
        Keys { public, secret, keep_secret, flavor: Flavor::Dat }
    }

    /// Of a core that we read; its manifest comes with the first proof.
    pub fn core(public: PublicKey) -> Keys {
        Keys { public, secret: None, keep_secret: false, flavor: Flavor::Core(None) }
    }

    /// Of a feed of this kind that we read.
    pub fn reader(dialect: Dialect, public: PublicKey) -> Keys {
        match dialect {
            Dialect::Dat => Keys::dat(public, None, false),
            Dialect::Hyper => Keys::core(public),
        }
    }

    /// Of a core that we write, as Hypercore 11 makes them: the key stands for a manifest with one
    /// signer.
    pub fn core_writer(secret: KeyPair, keep_secret: bool) -> Keys {
        Keys::core_of(Manifest::single(secret.public()), secret, keep_secret)
    }

    /// Of a core that we write, with this manifest.
    pub fn core_of(manifest: Manifest, secret: KeyPair, keep_secret: bool) -> Keys {
        let public = manifest.key();
        let flavor = Flavor::Core(Some(manifest));
        Keys { public, secret: Some(secret), keep_secret, flavor }
    }

    /// Of a core that we write, whose key is that of its signer, as Hypercore 10 makes them.
    pub fn core_compat(secret: KeyPair, keep_secret: bool) -> Keys {
        let public = secret.public();
        Keys { public, secret: Some(secret), keep_secret, flavor: Flavor::Core(None) }
    }
}

/// What `accept` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The block was not here before.
    pub new: bool,
    /// The feed is known to be longer: the length before and after.
    pub grew: Option<(u64, u64)>,
}

/// Where step-wise work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
}

/// Reads a block of a feed whose content is `External`: block, byte offset in the feed, size, where
/// to put it (appended). `false`: the bytes are not there.
pub type Reader<'a> =
    dyn FnMut(&mut dyn Disk, u64, u64, u64, &mut Vec<u8>) -> Result<bool, StoreError> + 'a;

/// A feed and its files.
#[derive(Debug)]
pub struct FeedStore {
    pub(super) feed: Feed,
    /// Boxed: who only reads needs no room for it.
    pub(super) secret: Option<Box<KeyPair>>,
    pub(super) content: Content,
    pub(super) place: Place,
    pub(super) data: Data,
    pub(super) tree: Pages,
    /// Of Dat feeds.
    pub(super) signatures: Pages,
    /// Of cores.
    pub(super) core: Option<Box<CoreFiles>>,
    /// Always open, because it holds the lock, unless the caller has one above.
    pub(super) bitfield: Slot,
    pub(super) locked_above: bool,
    pub(super) shape: Shape,
    pub(super) page_bytes: usize,
    /// The full roots of the writer's tree, once they were read.
    pub(super) roots: Option<Vec<Node>>,
    /// A block and the byte where it begins, for what asks in sequence.
    pub(super) last: (u64, u64),
    /// The marker lies there.
    pub(super) marked: bool,
    pub(super) mark_durable: bool,
    pub(super) recovery: Option<Recovery>,
    /// Bytes changed since the last commit.
    pub(super) changed: usize,
    pub(super) committed: Instant,
    /// Blocks that a seed gave up for want of room; boxed, because few feeds have any.
    pub(super) dropped: Option<Box<Dropped>>,
    /// A sync failed: nothing is taken and no bit is written any more.
    pub(super) unsynced: bool,
}

/// Where nothing is held.
struct Nothing;

impl Nodes for Nothing {
    type Error = StoreError;

    fn node(&mut self, _: u64) -> Result<Option<Node>, StoreError> {
        Ok(None)
    }

    fn signature(&mut self, _: u64) -> Result<Option<Signature>, StoreError> {
        Ok(None)
    }
}

/// The proof of a block of a forked feed, all of it, if it is one: nodes of both histories may be
/// held, and who is sent a mixture would hold it against us.
fn whole_proof(feed: &Feed, shelf: &mut Shelf<'_>, index: u64) -> Result<Proof, StoreError> {
    let proof = proof::build(feed, shelf, index, 0, false)?.ok_or(StoreError::Absent)?;
    let leaf = shelf.node(index.saturating_mul(2))?.ok_or(StoreError::Absent)?;
    let stranger = Feed::new(*feed.key());
    let signature = proof.signature.as_ref();
    match proof::verify(&stranger, &mut Nothing, index, Some(leaf), &proof.nodes, signature)? {
        Verdict::Accepted(_) => Ok(proof),
        _ => Err(StoreError::Absent),
    }
}

/// Tree and signatures as proofs want them.
pub(super) struct Shelf<'a> {
    pub feed: &'a Feed,
    pub tree: &'a mut Pages,
    pub signatures: &'a mut Pages,
    pub place: &'a Place,
    pub disk: &'a mut dyn Disk,
}

impl Nodes for Shelf<'_> {
    type Error = StoreError;

    fn node(&mut self, index: u64) -> Result<Option<Node>, StoreError> {
        if !self.feed.holds(index) {
            return Ok(None);
        }
        match raw_node(self.tree, self.disk, self.place, index)? {
            Some(node) => Ok(Some(node)),
            None => Err(self.place.damaged("tree", format_args!("lacks node {index}"))),
        }
    }

    fn signature(&mut self, length: u64) -> Result<Option<Signature>, StoreError> {
        raw_signature(self.signatures, self.disk, self.place, length)
    }
}

/// A node as it lies in the file, whatever the bits say.
pub(super) fn raw_node(
    tree: &mut Pages,
    disk: &mut dyn Disk,
    place: &Place,
    index: u64,
) -> Result<Option<Node>, StoreError> {
    let entry = tree.get(disk, place, index)?;
    let (Some(&hash), Some(&size)) = (entry.first_chunk(), entry.last_chunk()) else {
        return Ok(None);
    };
    let size = u64::from_be_bytes(size);
    // A damaged entry is as good as none, and sizes that can be added up need no checks further on.
    let there = (hash != [0; 32] || size != 0) && size <= limits::MAX_SAFE_INTEGER;
    Ok(there.then_some(Node { index, size, hash }))
}

pub(super) fn raw_signature(
    signatures: &mut Pages,
    disk: &mut dyn Disk,
    place: &Place,
    length: u64,
) -> Result<Option<Signature>, StoreError> {
    let Some(at) = length.checked_sub(1) else { return Ok(None) };
    let entry = signatures.get(disk, place, at)?;
    Ok(entry.first_chunk().filter(|bytes| **bytes != [0; 64]).copied())
}

impl FeedStore {
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    pub fn is_writable(&self) -> bool {
        self.feed.writable()
    }

    /// When `commit` last succeeded in this process.
    pub fn committed(&self) -> Instant {
        self.committed
    }

    pub(super) fn shelf<'a>(&'a mut self, disk: &'a mut dyn Disk) -> Shelf<'a> {
        let FeedStore { feed, tree, signatures, place, .. } = self;
        Shelf { feed, tree, signatures, place, disk }
    }

    pub(super) fn raw(
        &mut self,
        disk: &mut dyn Disk,
        index: u64,
    ) -> Result<Option<Node>, StoreError> {
        raw_node(&mut self.tree, disk, &self.place, index)
    }

    /// A tree node, if held.
    pub fn node(&mut self, disk: &mut dyn Disk, index: u64) -> Result<Option<Node>, StoreError> {
        self.shelf(disk).node(index)
    }

    fn held(&mut self, disk: &mut dyn Disk, index: u64) -> Result<Node, StoreError> {
        self.node(disk, index)?.ok_or(StoreError::Absent)
    }

    /// Where a block lies in the feed: byte offset and size. `Absent` if its path is not held.
    pub fn extent(&mut self, disk: &mut dyn Disk, block: u64) -> Result<(u64, u64), StoreError> {
        let size = self.leaf(disk, block)?.size;
        let offset = self.offset(disk, block)?;
        self.last = (block + 1, offset + size);
        Ok((offset, size))
    }

    /// Where a block begins: the sizes of the full roots of all blocks before it.
    pub(super) fn offset(&mut self, disk: &mut dyn Disk, block: u64) -> Result<u64, StoreError> {
        if self.last.0 == block {
            return Ok(self.last.1);
        }
        let mut sum = 0u64;
        for root in flat::full_roots(block) {
            let size = self.held(disk, root)?.size;
            let more = sum.checked_add(size);
            sum = more.ok_or_else(|| self.place.damaged("tree", "holds impossible sizes"))?;
        }
        Ok(sum)
    }

    /// A block's size and hash. `Absent` if not held.
    pub fn leaf(&mut self, disk: &mut dyn Disk, block: u64) -> Result<Node, StoreError> {
        self.held(disk, block.saturating_mul(2))
    }

    /// Whether `bytes` are the block. For content that others can change under us.
    pub fn check_leaf(
        &mut self,
        disk: &mut dyn Disk,
        block: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let leaf = self.leaf(disk, block)?;
        Ok(self.feed.is_block(&leaf, bytes))
    }

    /// Appends a block's bytes to `out` (content `File` only). `out` is untouched on error.
    pub fn read(
        &mut self,
        disk: &mut dyn Disk,
        block: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        if !self.feed.has(block) || self.content == Content::External {
            return Err(StoreError::Absent);
        }
        let (offset, size) = self.extent(disk, block)?;
        if self.data.read(disk, &self.place, offset, size, out)? {
            Ok(())
        } else {
            Err(self.place.damaged("data", format_args!("ends before block {block}")))
        }
    }

    /// What proves a block to a peer with this digest (dat/SPEC §7.2). `Absent`: cannot be proven.
    pub fn proof(
        &mut self,
        disk: &mut dyn Disk,
        index: u64,
        digest: u64,
        hash_only: bool,
    ) -> Result<Proof, StoreError> {
        let FeedStore { feed, tree, signatures, place, .. } = self;
        let mut shelf = Shelf { feed, tree, signatures, place, disk };
        if feed.fork().is_some() && !hash_only {
            return whole_proof(feed, &mut shelf, index);
        }
        proof::build(feed, &mut shelf, index, digest, hash_only)?.ok_or(StoreError::Absent)
    }

    /// The block that contains a byte of the feed, and where in it. `Absent`: not known.
    pub fn seek(&mut self, disk: &mut dyn Disk, byte: u64) -> Result<(u64, u64), StoreError> {
        let mut left = byte;
        for root in flat::full_roots(self.feed.length()) {
            let size = self.held(disk, root)?.size;
            if left >= size {
                left -= size;
                continue;
            }
            let mut node = root;
            while let Some((first, second)) = flat::children(node) {
                let size = self.held(disk, first)?.size;
                node = if left < size { first } else { second };
                left -= if left < size { 0 } else { size };
            }
            return Ok((node / 2, left));
        }
        Err(StoreError::Absent)
    }

    /// Checks what a peer sent; stores nothing (but the evidence, if it proves a fork).
    /// `StoreError::Refused` when it is wrong.
    pub fn check(
        &mut self,
        disk: &mut dyn Disk,
        index: u64,
        value: Option<&[u8]>,
        nodes: &[Node],
        signature: Option<&Signature>,
    ) -> Result<Accepted, StoreError> {
        let leaf = value.map(|value| Node {
            index: index.saturating_mul(2),
            size: value.len() as u64,
            hash: hash::leaf(value),
        });
        let verdict = {
            let FeedStore { feed, tree, signatures, place, .. } = self;
            let mut shelf = Shelf { feed, tree, signatures, place, disk };
            proof::verify(feed, &mut shelf, index, leaf, nodes, signature)?
        };
        match verdict {
            Verdict::Accepted(accepted) => Ok(accepted),
            Verdict::Refused(refusal) => Err(refusal.into()),
            Verdict::Forked(fork) => {
                self.freeze(disk, fork)?;
                Err(Refusal::Forked.into())
            }
        }
    }

    /// Keeps the other history beside ours, and takes no more blocks.
    pub(super) fn freeze(&mut self, disk: &mut dyn Disk, fork: Fork) -> Result<(), StoreError> {
        let bytes = fork.encode(self.feed.as_core().map(|core| core.fork));
        self.place.write_small(disk, super::open::FORK, None, &bytes)?;
        self.place.sync_names(disk)?;
        self.feed.freeze(fork);
        Ok(())
    }
}
