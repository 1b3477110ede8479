//! What the store of a core (Hypercore 10 and 11) does otherwise than that of a Dat feed: proofs, and
//! the signed head, which lies in a file of its own instead of a signature for each length.

mod head;
mod open;
mod reorg;

pub(super) use head::CORE;
use head::{Head, Heads};
pub(super) use open::{new_feed, stored_feed};
pub use reorg::Moved;
pub(super) use reorg::RECORD;

use super::StoreError;
use super::disk::Disk;
use super::feed::{Content, FeedStore, Shelf, Stored};
use crate::crypto::hash::Node;
use crate::crypto::hyper as hashes;
use crate::feed::hyper::{
    self, Accepted, Ask, Authority, Held, Manifest, Ours, Proof, Signed, Source, Tree, Unprovable,
};
use crate::feed::{Feed, Refusal, flat};
use crate::limits;

pub(super) const MANIFEST: &str = "manifest";

/// The dialect of a new feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flavor {
    Dat,
    /// A core. `None`: the key is its signer's, or the manifest is not known yet.
    Core(Option<Manifest>),
}

/// What a core has beside the files of every feed.
#[derive(Debug)]
pub(super) struct CoreFiles {
    pub heads: Heads,
    /// What a writer has made durable and may show: fork, length, signature.
    shown: (u64, u64, Vec<u8>),
    /// A record of a change of history lies there.
    moving: bool,
    /// The last such change in this run, and the fork it led to.
    moved: Option<(u64, Moved)>,
}

impl CoreFiles {
    pub fn new() -> CoreFiles {
        CoreFiles { heads: Heads::new(), shown: (0, 0, Vec::new()), moving: false, moved: None }
    }
}

/// On the way to another history of a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reorg {
    inner: hyper::Reorg,
    /// Who signs, where that was not known before.
    authority: Option<Authority>,
    fork: u64,
    /// Fork and length that it leads away from.
    base: (u64, u64),
}

impl Reorg {
    /// What a peer with that history is asked next; `None`: nothing more has to be known.
    pub fn next(&self) -> Option<Ask> {
        self.inner.next()
    }

    /// The history that it leads to.
    pub fn fork(&self) -> u64 {
        self.fork
    }

    /// Blocks of ours that stay, as far as is known by now.
    pub fn common(&self) -> u64 {
        self.inner.common()
    }
}

/// A block that was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leafed {
    /// Block number.
    pub index: u64,
    /// Where the block begins in the core, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// What a peer proved; nothing is stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreAccepted {
    /// There if a block came.
    pub block: Option<Leafed>,
    /// Nodes to be stored, and the longer tree.
    pub proven: Accepted,
    /// Who signs, where that was not known before.
    pub authority: Option<Authority>,
    /// The history that it is of.
    pub fork: u64,
    /// The length that it was checked against.
    base: u64,
}

impl Held for Shelf<'_> {
    type Error = StoreError;

    fn node(&mut self, index: u64) -> Result<Option<Node>, StoreError> {
        crate::feed::proof::Nodes::node(self, index)
    }
}

/// Who signs the core of a feed whose manifest is not known: the given one, if it belongs to the
/// key. None given: the key is the signer's.
fn learn(feed: &Feed, manifest: Option<&[u8]>) -> Result<Authority, Refusal> {
    let manifest = match manifest {
        Some(bytes) => Some(Manifest::decode(bytes).map_err(|_| Refusal::Manifest)?),
        None => None,
    };
    Authority::new(*feed.key(), manifest).map_err(|_| Refusal::Manifest)
}

impl FeedStore {
    /// The core's manifest for peers that ask for it. `None`: there is none, or it is not known yet.
    pub fn manifest(&self) -> Option<Vec<u8>> {
        let manifest = self.feed.as_core()?.authority.as_ref()?.manifest()?;
        let mut bytes = Vec::new();
        manifest.encode(&mut bytes);
        Some(bytes)
    }

    /// The answer to what a peer asks of a core, but for the block itself (hyper/SPEC c.11).
    /// `Absent`: we do not hold what is needed. `Refused`: nobody could answer that.
    pub fn prove(&mut self, disk: &mut dyn Disk, ask: &Ask) -> Result<Proof, StoreError> {
        let FeedStore { feed, tree, signatures, place, core: files, .. } = self;
        let (Some(core), Some(files)) = (feed.as_core(), files) else {
            return Err(StoreError::Absent);
        };
        if ask.block.is_some_and(|block| !feed.has(block.index)) {
            return Err(StoreError::Absent);
        }
        // What a writer has signed and not made durable it may sign differently after a crash.
        let (_, length, signature) = &files.shown;
        let (length, signature) = match feed.writable() {
            true => (*length, signature),
            false => (feed.length(), &core.signature),
        };
        let prologue = core.authority.as_ref().and_then(Authority::prologue);
        let source = Source { length, signature: Some(signature), prologue };
        let mut shelf = Shelf { feed, tree, signatures, place, disk };
        match hyper::build(source, &mut shelf, ask)? {
            Ok(proof) => Ok(proof),
            Err(Unprovable::NotHeld) => Err(StoreError::Absent),
            Err(Unprovable::Invalid) => Err(Refusal::Index.into()),
        }
    }

    /// Checks what a peer sent of a core; stores nothing. `fork`: the history that it is of.
    /// `manifest`: what the peer gave for the key, needed for as long as it is not known here; none
    /// means that the key is the signer's. `value`: the block, there if `proof.block` is.
    /// A core of which nothing is held takes any history but older ones.
    pub fn check_core(
        &mut self,
        disk: &mut dyn Disk,
        fork: u64,
        proof: &Proof,
        manifest: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<CoreAccepted, StoreError> {
        if self.feed.fork().is_some() {
            return Err(Refusal::Forked.into());
        }
        if value.is_some_and(|value| value.len() > limits::STORE_BLOCK_BYTES) {
            return Err(Refusal::Size.into());
        }
        let tree = self.core_tree(disk)?;
        let FeedStore { feed, tree: pages, signatures, place, .. } = self;
        let core = feed.as_core().ok_or(Refusal::Wrong)?;
        let learned = match &core.authority {
            Some(_) => None,
            None => Some(learn(feed, manifest)?),
        };
        let authority = core.authority.as_ref().or(learned.as_ref()).ok_or(Refusal::Manifest)?;
        let leaf = proof.block.as_ref().zip(value).map(|(block, value)| Node {
            index: block.index.saturating_mul(2),
            size: value.len() as u64,
            hash: hashes::leaf(value),
        });
        let base = feed.length();
        let ours = if base == 0 { core.fork.max(fork) } else { core.fork };
        let ours = Ours { authority, tree: &tree, fork: ours };
        let mut shelf = Shelf { feed, tree: pages, signatures, place, disk };
        let proven = match hyper::verify(ours, &mut shelf, fork, proof, leaf)? {
            Ok(proven) => proven,
            Err(refusal) => return Err(Refusal::from(refusal).into()),
        };
        let block = match leaf {
            Some(leaf) => Some(placed(&mut shelf, &proven, leaf)?),
            None => None,
        };
        Ok(CoreAccepted { block, proven, authority: learned, fork, base })
    }

    /// Stores what `check_core` accepted, with the same value. For `External` content the caller has
    /// written the bytes first. Nodes whose sizes are proven in sum only are not stored.
    /// `Refused(Stale)`: the core has become longer since; check again.
    pub fn accept_core(
        &mut self,
        disk: &mut dyn Disk,
        accepted: &CoreAccepted,
        value: Option<&[u8]>,
    ) -> Result<Stored, StoreError> {
        let core = self.feed.as_core().ok_or(Refusal::Wrong)?;
        let length = self.feed.length();
        let refusal = match &accepted.proven.grown {
            _ if self.feed.fork().is_some() => Some(Refusal::Forked),
            _ if accepted.fork != core.fork && length > 0 => Some(Refusal::OtherFork),
            Some(_) if accepted.base != length => Some(Refusal::Stale),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        self.prepare(disk)?;
        self.learn(disk, accepted.authority.as_ref())?;
        let block = accepted.block.zip(value).filter(|(block, _)| !self.feed.has(block.index));
        if let (Some((block, value)), Content::File) = (block, self.content) {
            self.data.put(disk, &self.place, block.offset, value)?;
        }
        self.keep(&accepted.proven.nodes);
        let grew = accepted.proven.grown.as_ref().map(|signed| {
            self.take_head(signed);
            (length, signed.tree.length())
        });
        if let Some((block, value)) = block {
            self.have(block.index);
            self.changed += value.len();
        }
        Ok(Stored { new: block.is_some(), grew })
    }

    /// Holds nodes that are proven.
    fn keep(&mut self, nodes: &[Node]) {
        for node in nodes {
            if !self.feed.holds(node.index) {
                self.put_node(node);
                self.hold(node.index);
            }
        }
    }

    /// Remembers who signs, from before the first head that it is needed for.
    fn learn(
        &mut self,
        disk: &mut dyn Disk,
        authority: Option<&Authority>,
    ) -> Result<(), StoreError> {
        let known = self.feed.as_core().is_none_or(|core| core.authority.is_some());
        let Some(authority) = authority.filter(|_| !known) else { return Ok(()) };
        if let Some(manifest) = authority.manifest() {
            write_manifest(self, disk, manifest)?;
            self.place.sync_names(disk)?;
        }
        if let Some(core) = self.feed.core_mut() {
            core.authority = Some(authority.clone());
        }
        Ok(())
    }

    /// This tree is the core's from now on. Its roots are held.
    fn take_head(&mut self, signed: &Signed) {
        self.feed.set_lengths(signed.tree.length(), signed.tree.byte_length());
        self.roots = Some(signed.tree.roots().to_vec());
        self.sealed(signed.fork, signed.signature.clone());
    }

    /// The signature of the feed's length, as it is now.
    pub(super) fn sealed(&mut self, fork: u64, signature: Vec<u8>) {
        self.changed += signature.len();
        if let (Some(core), Some(files)) = (self.feed.core_mut(), &mut self.core) {
            (core.fork, core.signature) = (fork, signature);
            files.heads.dirty = true;
        }
    }

    /// The signed tree.
    fn core_tree(&mut self, disk: &mut dyn Disk) -> Result<Tree, StoreError> {
        let roots = self.load_roots(disk)?;
        Tree::from_roots(roots).map_err(|_| self.place.damaged("tree", "holds impossible sizes"))
    }

    /// Signs a core's tree. `None`: it is not ours alone to sign.
    pub(super) fn sign_core(&self, roots: &[Node]) -> Option<Vec<u8>> {
        let core = self.feed.as_core()?;
        let tree = Tree::from_roots(roots.to_vec()).ok()?;
        core.authority.as_ref()?.sign(&tree, core.fork, self.secret.as_ref()?)
    }

    /// Writes the head, if it is not the one that was written last.
    pub(super) fn write_head(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if !self.core.as_ref().is_some_and(|files| files.heads.dirty) {
            return Ok(());
        }
        let tree = self.core_tree(disk)?;
        self.settle_head(disk)?;
        let (Some(core), Some(files)) = (self.feed.as_core(), &mut self.core) else {
            return Ok(());
        };
        let head = Head::of(&tree, core.fork, core.signature.clone());
        files.heads.write(disk, &self.place, self.feed.key(), &head)
    }

    /// Makes sure of the head that was found after a kill, and of what it stands for.
    fn settle_head(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let Some(files) = self.core.as_mut().filter(|files| !files.heads.durable) else {
            return Ok(());
        };
        let tree = self.tree.slot.sync(disk, &self.place);
        let synced = tree.and_then(|()| files.heads.settle(disk, &self.place));
        self.note_sync(synced)
    }

    /// Makes the head durable; what it stands for is already.
    pub(super) fn commit_head(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        self.write_head(disk)?;
        self.settle_head(disk)?;
        let Some(files) = &mut self.core else { return Ok(()) };
        let synced = files.heads.sync(disk, &self.place);
        if *synced.as_ref().unwrap_or(&false) {
            self.show();
        }
        self.note_sync(synced.map(drop))
    }

    /// What a writer has is durable: others may see it.
    fn show(&mut self) {
        if let (true, Some(core), Some(files)) =
            (self.feed.writable(), self.feed.as_core(), &mut self.core)
        {
            files.shown = (core.fork, self.feed.length(), core.signature.clone());
        }
    }

    /// Nothing at or behind this block is held any more.
    fn drop_above(&mut self, length: u64) {
        let (first, end) = (2 * length, 2 * limits::FEED_BLOCKS);
        let blocks = self.feed.have().next_set(length).is_some();
        if blocks || self.feed.nodes().next_set(first).is_some() {
            self.feed.set_have(length, limits::FEED_BLOCKS - length, false);
            self.feed.set_nodes(first, end - first, false);
            self.shape.touch_cleared(first, end);
        }
        self.undrop(length, limits::FEED_BLOCKS - length);
        // Nodes on the left that reach over the end lie above the first leaf behind it.
        let mut node = first;
        while flat::depth(node) < limits::FEED_DEPTH {
            node = flat::parent(node);
            if node < first && self.feed.holds(node) {
                self.feed.set_nodes(node, 1, false);
                self.shape.touch_node(node);
            }
        }
        self.roots = None;
        self.last = (0, 0);
    }
}

/// Where a proven block lies.
fn placed(shelf: &mut Shelf<'_>, proven: &Accepted, leaf: Node) -> Result<Leafed, StoreError> {
    let index = leaf.index / 2;
    let mut offset = 0u64;
    for root in flat::full_roots(index) {
        let given = proven.nodes.iter().find(|node| node.index == root).copied();
        let node = match given {
            Some(node) => node,
            None => Held::node(shelf, root)?.ok_or(Refusal::Roots)?,
        };
        offset = offset.checked_add(node.size).ok_or(Refusal::Size)?;
    }
    let end = offset.checked_add(leaf.size);
    end.filter(|&end| end <= limits::MAX_SAFE_INTEGER).ok_or(Refusal::Size)?;
    Ok(Leafed { index, offset, size: leaf.size })
}

/// The manifest's contents are durable then, its name is not yet.
fn write_manifest(
    store: &FeedStore,
    disk: &mut dyn Disk,
    manifest: &Manifest,
) -> Result<(), StoreError> {
    let mut bytes = Vec::new();
    manifest.encode(&mut bytes);
    store.place.write_small(disk, MANIFEST, None, &bytes)
}
