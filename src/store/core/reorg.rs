//! From one history of a core to another: the writer truncates, a reader follows (hyper/SPEC c.13).
//!
//! What is to be done is written down first, in `core.reorg`, and made durable; then bits, nodes and
//! head are changed and made durable; then the record goes. Opening with a record finishes it.

use super::head::Head;
use super::{CoreFiles, Reorg, learn};
use crate::crypto::hash::Node;
use crate::crypto::hyper as hashes;
use crate::crypto::sign::PublicKey;
use crate::feed::hyper::{self, Authority, Proof, Tree};
use crate::feed::{Fork, Refusal, flat};
use crate::limits;
use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::store::feed::{FeedStore, Shelf};

pub(in crate::store) const RECORD: &str = "core.reorg";
const CONTEXT: &[u8] = b"gannet core reorganisation";
const CHECKSUM: usize = 32;

/// What a core became. All three count blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Blocks at the front that are the same in both histories; those behind are dropped.
    pub common: u64,
    /// The length before.
    pub old: u64,
    /// The length now.
    pub new: u64,
}

/// What is to be done.
struct Record {
    head: Head,
    common: u64,
    /// Of the new tree, its roots among them where they are not held.
    nodes: Vec<Node>,
}

impl Record {
    fn encode(&self, key: &PublicKey) -> Vec<u8> {
        let mut bytes = self.head.encode(key, 0);
        bytes.extend_from_slice(&self.common.to_be_bytes());
        for node in &self.nodes {
            bytes.extend_from_slice(&node.index.to_be_bytes());
            bytes.extend_from_slice(&node.size.to_be_bytes());
            bytes.extend_from_slice(&node.hash);
        }
        let sum = hashes::hash(&[CONTEXT, key, &bytes]);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// `None`: its writing was cut off.
    fn decode(key: &PublicKey, bytes: &[u8]) -> Option<Record> {
        let (written, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
        if *sum != hashes::hash(&[CONTEXT, key, written]) {
            return None;
        }
        let (_, head, rest) = Head::decode(key, written)?;
        let (common, rest) = rest.split_first_chunk()?;
        let common = u64::from_be_bytes(*common);
        let nodes = rest.chunks(48).map(|node| {
            let (index, rest) = node.split_first_chunk()?;
            let (size, hash) = rest.split_first_chunk()?;
            let (index, size) = (u64::from_be_bytes(*index), u64::from_be_bytes(*size));
            let possible =
                index < 2 * limits::FEED_BLOCKS && flat::right_span(index) < 2 * head.length;
            possible.then_some(Node { index, size, hash: hash.try_into().ok()? })
        });
        let nodes = nodes.collect::<Option<Vec<Node>>>()?;
        (common <= head.length).then_some(Record { head, common, nodes })
    }
}

impl FeedStore {
    /// Begins to follow to a higher fork, with a peer's answer to [`hyper::Reorg::ask`]; stores
    /// nothing. `fork`, `manifest`: as for `check_core`. Ask on while [`Reorg::next`] says so.
    pub fn reorg_begin(
        &mut self,
        disk: &mut dyn Disk,
        fork: u64,
        proof: &Proof,
        manifest: Option<&[u8]>,
    ) -> Result<Reorg, StoreError> {
        let tree = self.core_tree(disk)?;
        let FeedStore { feed, tree: pages, signatures, place, .. } = self;
        let core = feed.as_core().ok_or(Refusal::Wrong)?;
        let refusal = match feed.fork() {
            Some(_) => Some(Refusal::Forked),
            None if fork <= core.fork => Some(Refusal::OtherFork),
            None => None,
        };
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        let learned = match &core.authority {
            Some(_) => None,
            None => Some(learn(feed, manifest)?),
        };
        let authority = core.authority.as_ref().or(learned.as_ref()).ok_or(Refusal::Manifest)?;
        let mut shelf = Shelf { feed, tree: pages, signatures, place, disk };
        let begun = hyper::Reorg::new(authority, &tree, &mut shelf, fork, proof)?;
        let inner = begun.map_err(Refusal::from)?;
        Ok(Reorg { inner, authority: learned, fork, base: (core.fork, tree.length()) })
    }

    /// Takes a peer's answer to [`Reorg::next`]. On an error nothing has changed.
    pub fn reorg_narrow(
        &mut self,
        disk: &mut dyn Disk,
        reorg: &mut Reorg,
        proof: &Proof,
    ) -> Result<(), StoreError> {
        self.follows(reorg)?;
        let tree = self.core_tree(disk)?;
        let mut inner = reorg.inner.clone();
        inner.narrowed(&tree, &mut self.shelf(disk), proof)?.map_err(Refusal::from)?;
        reorg.inner = inner;
        Ok(())
    }

    /// Whether a reorganisation was begun from what is here now.
    fn follows(&self, reorg: &Reorg) -> Result<(), StoreError> {
        match self.feed.fork() {
            Some(_) => Err(Refusal::Forked.into()),
            None if reorg.base == (self.feed.fork_id(), self.feed.length()) => Ok(()),
            None => Err(Refusal::Stale.into()),
        }
    }

    /// Changes over to the other history, durably. Blocks behind the common ones are not held any
    /// more; of `External` content their bytes are the caller's to drop.
    pub fn reorganise(&mut self, disk: &mut dyn Disk, reorg: &Reorg) -> Result<Moved, StoreError> {
        let (signed, mut nodes) = reorg.inner.clone().finish();
        // Its roots come first.
        nodes.truncate(limits::STORE_REORG_NODES);
        // The call before this one waited for the disk.
        let done = self.core.as_ref().and_then(|files| files.moved);
        if let Some((fork, moved)) = done
            && (fork, moved.new) == (signed.fork, signed.tree.length())
        {
            self.commit(disk, self.committed)?;
            return Ok(moved);
        }
        self.follows(reorg)?;
        if reorg.next().is_some() {
            return Err(Refusal::Empty.into());
        }
        self.prepare(disk)?;
        self.learn(disk, reorg.authority.as_ref())?;
        let head = Head::of(&signed.tree, signed.fork, signed.signature);
        self.change_over(disk, Record { head, common: reorg.inner.common(), nodes })
    }

    /// Takes back all blocks from `length` on: the writer signs what is left as a new history, one
    /// number higher, durable when this returns. Nothing happens if there are not more blocks.
    pub fn truncate(&mut self, disk: &mut dyn Disk, length: u64) -> Result<(), StoreError> {
        if self.recovering() {
            return Err(StoreError::Recovering);
        }
        let core = self.feed.as_core().ok_or(StoreError::ReadOnly)?;
        let (Some(pair), Some(authority)) = (&self.secret, &core.authority) else {
            return Err(StoreError::ReadOnly);
        };
        let (pair, authority) = (pair.clone(), authority.clone());
        let fork = core.fork.checked_add(1).ok_or(Refusal::OtherFork)?;
        let refusal = match self.feed.length() {
            _ if self.feed.fork().is_some() => Some(Refusal::Forked),
            ours if length > ours => Some(Refusal::Index),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        self.prepare(disk)?;
        if length == self.feed.length() {
            return Ok(());
        }
        let mut nodes = Vec::new();
        for root in flat::full_roots(length) {
            nodes.push(self.node(disk, root)?.ok_or(StoreError::Absent)?);
        }
        let tree = Tree::from_roots(nodes.clone()).map_err(|_| Refusal::Size)?;
        let signature = match length {
            0 => Vec::new(),
            _ => authority.sign(&tree, fork, &pair).ok_or(StoreError::ReadOnly)?,
        };
        let head = Head::of(&tree, fork, signature);
        self.change_over(disk, Record { head, common: length, nodes }).map(drop)
    }

    fn change_over(&mut self, disk: &mut dyn Disk, record: Record) -> Result<Moved, StoreError> {
        // What stays must not be lost with the record that builds on it.
        self.commit(disk, self.committed)?;
        let bytes = record.encode(self.feed.key());
        self.place.write_small(disk, RECORD, None, &bytes)?;
        self.place.sync_names(disk)?;
        let (old, fork) = (self.feed.length(), record.head.fork);
        let moved = Moved { common: record.common, old, new: record.head.length };
        self.enter(record);
        if let Some(files) = &mut self.core {
            files.moved = Some((fork, moved));
        }
        self.commit(disk, self.committed)?;
        Ok(moved)
    }

    /// The new history is ours from now on, but for the disk.
    fn enter(&mut self, record: Record) {
        self.drop_above(record.common);
        self.keep(&record.nodes);
        self.feed.set_lengths(record.head.length, record.head.byte_length);
        self.sealed(record.head.fork, record.head.signature);
        if let Some(files) = &mut self.core {
            files.moving = true;
        }
    }

    /// Whether a record lies there.
    pub(in crate::store) fn moving(&self) -> bool {
        self.core.as_ref().is_some_and(|files| files.moving)
    }

    /// All that the record says is durable.
    pub(in crate::store) fn end_move(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if self.moving() {
            self.place.remove(disk, RECORD)?;
            self.place.sync_names(disk)?;
            if let Some(files) = &mut self.core {
                files.moving = false;
            }
        }
        Ok(())
    }

    /// At opening: finishes what a record says, if there is one. True: there was.
    pub(super) fn finish_move(&mut self, disk: &mut dyn Disk) -> Result<bool, StoreError> {
        let most = limits::STORE_REORG_BYTES;
        let Some(bytes) = self.place.read_small(disk, RECORD, most)? else { return Ok(false) };
        let key = *self.feed.key();
        let Some(record) = Record::decode(&key, &bytes) else {
            // Not written to its end: nothing was changed yet.
            self.place.remove(disk, RECORD)?;
            self.place.sync_names(disk)?;
            return Ok(false);
        };
        self.mark(disk)?;
        // Who wrote it may have been killed before it was durable.
        self.place.sync_small(disk, RECORD)?;
        let files = self.core.get_or_insert_with(|| Box::new(CoreFiles::new()));
        if let Some(found) = files.heads.read(disk, &self.place, &key)?.first() {
            files.heads.choose(found, false);
        }
        if let (Some(core), true) = (self.feed.core_mut(), record.head.length > 0) {
            core.authority.get_or_insert(Authority::Compat(key));
        }
        let head = record.head.clone();
        self.enter(record);
        match self.roots_of(disk, &head)? {
            Some(roots) => {
                roots.iter().for_each(|root| self.hold(root.index));
                self.roots = Some(roots);
            }
            None => {
                return Err(self
                    .place
                    .damaged("tree", "does not have the roots of what is signed"));
            }
        }
        self.commit(disk, self.committed)?;
        Ok(true)
    }

    /// Looks at a peer's answer to a conflict probe, which is for an upgrade from nothing to our
    /// length. True: its tree is properly signed for our fork and is another history than ours. The
    /// evidence is kept then, and the core is frozen as a Dat feed of two histories is.
    pub fn conflicts(
        &mut self,
        disk: &mut dyn Disk,
        fork: u64,
        proof: &Proof,
    ) -> Result<bool, StoreError> {
        if self.feed.fork().is_some() {
            return Ok(true);
        }
        let tree = self.core_tree(disk)?;
        let FeedStore { feed, tree: pages, signatures, place, .. } = self;
        let core = feed.as_core().ok_or(Refusal::Wrong)?;
        if fork != core.fork {
            return Err(Refusal::OtherFork.into());
        }
        let Some(authority) = core.authority.as_ref().filter(|_| tree.length() > 0) else {
            return Ok(false);
        };
        let mut shelf = Shelf { feed, tree: pages, signatures, place, disk };
        let found = hyper::conflict(authority, &tree, &mut shelf, fork, proof)?;
        let Some(conflict) = found.map_err(Refusal::from)? else { return Ok(false) };
        let theirs = conflict.theirs;
        // What is here may have been damaged, which is not the writer's doing.
        if !self.proven(disk, &tree, theirs.tree.roots())? {
            return Err(Refusal::Contradicts.into());
        }
        let (length, roots) = (theirs.tree.length(), theirs.tree.roots().to_vec());
        self.freeze(disk, Fork { length, roots, signature: theirs.signature })?;
        Ok(true)
    }

    /// Whether our tree is signed, and what we hold in the places of `others` belongs to it.
    fn proven(
        &mut self,
        disk: &mut dyn Disk,
        tree: &Tree,
        others: &[Node],
    ) -> Result<bool, StoreError> {
        let Some(core) = self.feed.as_core() else { return Ok(false) };
        if !self.feed.is_signed(tree.roots(), &core.signature) {
            return Ok(false);
        }
        for other in others {
            let Some(mut top) = self.node(disk, other.index)? else { continue };
            while !tree.roots().iter().any(|root| root.index == top.index) {
                let Some(sibling) = self.node(disk, flat::sibling(top.index))? else {
                    return Ok(false);
                };
                let Some(parent) = self.feed.parent(&top, &sibling) else { return Ok(false) };
                top = parent;
            }
            if !tree.roots().contains(&top) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
