//! Changing a feed: blocks from peers, blocks of our own, and making both durable.

use super::StoreError;
use super::disk::{Dir, Disk};
use super::feed::{Content, FeedStore, Stored};
use super::pages::HEADER;
use crate::crypto::hash::{self, Hash, Node};
use crate::crypto::sign::Signature;
use crate::feed::proof::Accepted;
use crate::feed::{Refusal, flat};
use crate::limits;
use crate::time::Instant;

/// Blocks of a batch after which the cache is looked at.
const TRIM_EVERY: usize = 1024;

impl FeedStore {
    /// Stores what `check` accepted, with the same value. For `External` content the caller has
    /// written the bytes first. With no value (hash-only) only the tree grows.
    pub fn accept(
        &mut self,
        disk: &mut dyn Disk,
        accepted: &Accepted,
        value: Option<&[u8]>,
    ) -> Result<Stored, StoreError> {
        if self.feed.fork().is_some() {
            return Err(Refusal::Forked.into());
        }
        self.prepare(disk)?;
        let new = value.is_some() && !self.feed.has(accepted.index);
        if let (Some(value), true, Content::File) = (value, new, self.content) {
            self.data.put(disk, &self.place, accepted.offset, value)?;
        }
        for node in &accepted.nodes {
            if !self.feed.holds(node.index) {
                self.put_node(node);
                self.hold(node.index);
            }
        }
        let length = self.feed.length();
        let mut grew = None;
        if let Some(signed) = &accepted.signed {
            self.put_signature(signed.length, &signed.signature);
            if signed.length > length {
                self.feed.set_lengths(signed.length, signed.byte_length);
                self.roots = None;
                grew = Some((length, signed.length));
            }
        }
        if new {
            self.have(accepted.index);
            self.changed += value.map_or(0, <[u8]>::len);
        }
        Ok(Stored { new, grew })
    }

    /// Before a change: the marker lies there, and what was changed before leaves room in memory.
    pub(super) fn prepare(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        self.believe()?;
        if self.moving() {
            self.commit(disk, self.committed)?;
        }
        self.mark(disk)?;
        self.tree.trim(disk, &self.place)?;
        self.signatures.trim(disk, &self.place)
    }

    pub(super) fn put_node(&mut self, node: &Node) {
        self.changed += 40;
        self.tree.put(node.index, |entry| {
            let (hash, size) = entry.split_at_mut(32);
            hash.copy_from_slice(&node.hash);
            size.copy_from_slice(&node.size.to_be_bytes());
        });
    }

    pub(super) fn put_signature(&mut self, length: u64, signature: &Signature) {
        self.changed += 64;
        self.signatures.put(length - 1, |entry| entry.copy_from_slice(signature));
    }

    /// The node is held from now on.
    pub(super) fn hold(&mut self, node: u64) {
        if self.feed.set_node(node) {
            self.shape.touch_node(node);
            self.changed += 1;
        }
    }

    /// The block is here from now on.
    pub(super) fn have(&mut self, block: u64) {
        if self.feed.set_block(block) {
            self.undrop(block, 1);
            self.shape.touch_blocks(block, 1);
            self.changed += 1;
        }
    }

    /// Appends blocks under one signature. Returns the new length. Announce it only after `commit`.
    pub fn append(&mut self, disk: &mut dyn Disk, blocks: &[&[u8]]) -> Result<u64, StoreError> {
        if blocks.iter().any(|block| block.len() > limits::BLOCK_BYTES) {
            return Err(Refusal::Size.into());
        }
        self.may_append(blocks.len())?;
        self.prepare(disk)?;
        let mut roots = self.load_roots(disk)?;
        let mut offset = self.feed.byte_length();
        for (number, block) in blocks.iter().enumerate() {
            if self.content == Content::File {
                self.data.put(disk, &self.place, offset, block)?;
            }
            offset += block.len() as u64;
            let (size, hash) = (block.len() as u64, self.feed.leaf_hash(block));
            self.grow(disk, &mut roots, number, size, hash)?;
        }
        self.changed += (offset - self.feed.byte_length()) as usize;
        self.sign(roots, blocks.len())
    }

    /// As `append`, for blocks that live elsewhere: their sizes and leaf hashes.
    pub fn append_leaves(
        &mut self,
        disk: &mut dyn Disk,
        leaves: &[(u64, Hash)],
    ) -> Result<u64, StoreError> {
        if leaves.iter().any(|&(size, _)| size > limits::BLOCK_BYTES as u64) {
            return Err(Refusal::Size.into());
        }
        self.may_append(leaves.len())?;
        self.prepare(disk)?;
        let mut roots = self.load_roots(disk)?;
        for (number, &(size, hash)) in leaves.iter().enumerate() {
            self.grow(disk, &mut roots, number, size, hash)?;
        }
        self.sign(roots, leaves.len())
    }

    fn may_append(&self, blocks: usize) -> Result<(), StoreError> {
        if self.secret.is_none() {
            return Err(StoreError::ReadOnly);
        }
        if self.recovery.is_some() {
            return Err(StoreError::Recovering);
        }
        if self.feed.fork().is_some() {
            return Err(Refusal::Forked.into());
        }
        if self.feed.length() + blocks as u64 > limits::FEED_BLOCKS {
            return Err(Refusal::Index.into());
        }
        Ok(())
    }

    /// Puts the nodes that block `number` of a batch completes. The feed does not know them yet.
    fn grow(
        &mut self,
        disk: &mut dyn Disk,
        roots: &mut Vec<Node>,
        number: usize,
        size: u64,
        hash: Hash,
    ) -> Result<(), StoreError> {
        let index = 2 * (self.feed.length() + number as u64);
        self.add_leaf(roots, Node { index, size, hash })?;
        if number % TRIM_EVERY == TRIM_EVERY - 1 {
            self.tree.trim(disk, &self.place)?;
        }
        Ok(())
    }

    /// Puts a leaf and every parent that it completes; `roots` are those of the tree before it.
    pub(super) fn add_leaf(&mut self, roots: &mut Vec<Node>, leaf: Node) -> Result<(), StoreError> {
        self.put_node(&leaf);
        let mut top = leaf;
        while let Some(left) =
            roots.pop_if(|left| left.index == flat::sibling(top.index) && left.index < top.index)
        {
            top = self.feed.parent(&left, &top).ok_or(Refusal::Size)?;
            self.put_node(&top);
        }
        roots.push(top);
        Ok(())
    }

    /// Signs the tree of a batch, and only then lets the feed know it.
    fn sign(&mut self, roots: Vec<Node>, blocks: usize) -> Result<u64, StoreError> {
        let old = self.feed.length();
        if blocks == 0 {
            return Ok(old);
        }
        let bytes = roots.iter().map(|root| root.size).sum();
        if bytes > limits::MAX_SAFE_INTEGER {
            return Err(Refusal::Size.into());
        }
        let length = old + blocks as u64;
        if let Some(core) = self.feed.as_core() {
            let fork = core.fork;
            let signature = self.sign_core(&roots).ok_or(StoreError::ReadOnly)?;
            self.sealed(fork, signature);
        } else {
            let pair = self.secret.as_ref().ok_or(StoreError::ReadOnly)?;
            let signature = pair.sign(&hash::roots(&roots));
            self.put_signature(length, &signature);
        }
        self.feed.unsettle(old);
        self.adopt(roots, length, bytes);
        self.feed.set_have(old, length - old, true);
        self.shape.touch_blocks(old, length - old);
        Ok(length)
    }

    /// The feed has this length from now on, and every node of the tree above the old one.
    pub(super) fn adopt(&mut self, roots: Vec<Node>, length: u64, bytes: u64) {
        for block in self.feed.length()..length {
            let mut node = 2 * block;
            self.hold(node);
            // A right child completes its parent.
            while flat::offset(node) & 1 == 1 {
                node = flat::parent(node);
                self.hold(node);
            }
        }
        self.feed.set_lengths(length, bytes);
        self.roots = Some(roots);
    }

    /// The bytes of an `External` block were found where they belong. `false`: they are not the block.
    /// `Absent`: its hash is not held.
    pub fn found(
        &mut self,
        disk: &mut dyn Disk,
        block: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        if !self.check_leaf(disk, block, bytes)? {
            return Ok(false);
        }
        if !self.feed.has(block) {
            self.prepare(disk)?;
            self.have(block);
            self.changed += bytes.len();
        }
        Ok(true)
    }

    /// Forgets blocks (not their hashes). Their bytes may go once this was committed.
    pub fn clear(&mut self, disk: &mut dyn Disk, start: u64, len: u64) -> Result<(), StoreError> {
        let len = len.min(limits::FEED_BLOCKS.saturating_sub(start));
        if self.feed.have().count_range(start, len) == 0 {
            return Ok(());
        }
        self.prepare(disk)?;
        let runs: Vec<_> = self.feed.have().ranges(start, start + len).collect();
        for (start, len) in runs {
            self.shape.touch_blocks(start, len);
            self.changed += 1;
        }
        self.feed.set_have(start, len, false);
        Ok(())
    }

    /// Writes what is in memory, without waiting for the device.
    pub fn flush(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        self.data.flush(disk, &self.place)?;
        self.tree.flush(disk, &self.place)?;
        self.signatures.flush(disk, &self.place)?;
        // A writer's head is written when all that it stands for is durable.
        if self.feed.writable() { Ok(()) } else { self.write_head(disk) }
    }

    /// Bytes that were changed since the last `commit`.
    pub fn dirty(&self) -> usize {
        self.changed
    }

    /// Makes everything so far durable: data, tree and signatures are written and synced, then a
    /// core's head, then the bitfield. For `External` content the caller has synced the bytes before.
    /// Once a sync has failed it answers `Unsynced`.
    pub fn commit(&mut self, disk: &mut dyn Disk, now: Instant) -> Result<(), StoreError> {
        self.believe()?;
        self.flush(disk)?;
        let synced = self.sync_files(disk);
        self.note_sync(synced)?;
        self.commit_head(disk)?;
        self.write_bits(disk)?;
        if self.feed.writable() || self.moving() {
            // What others may have seen signed must never be forgotten, nor may bits of another
            // history come back.
            let synced = self.bitfield.sync(disk, &self.place);
            self.note_sync(synced)?;
        }
        self.feed.settle();
        if self.moving() {
            // Blocks of the other history are not those that were dropped.
            self.write_dropped(disk)?;
        }
        self.end_move(disk)?;
        self.changed = 0;
        self.committed = now;
        Ok(())
    }

    pub(super) fn sync_files(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        self.data.slot.sync(disk, &self.place)?;
        self.tree.slot.sync(disk, &self.place)?;
        self.signatures.slot.sync(disk, &self.place)?;
        if self.data.made {
            self.place.sync_names(disk)?;
            self.data.made = false;
        }
        Ok(())
    }

    /// Makes the files in which `External` content lies durable, before `commit`.
    pub fn sync_around(&mut self, disk: &mut dyn Disk, dir: Dir) -> Result<(), StoreError> {
        self.believe()?;
        let synced = disk.sync_fs(dir).map_err(StoreError::from);
        self.note_sync(synced)
    }

    pub(super) fn note_sync(&mut self, synced: Result<(), StoreError>) -> Result<(), StoreError> {
        self.unsynced |= synced.as_ref().is_err_and(|why| !matches!(why, StoreError::NotYet));
        synced
    }

    /// Whether a sync failed in this run: `Unsynced` is the answer to every change from then on.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    pub(super) fn believe(&self) -> Result<(), StoreError> {
        if self.unsynced { Err(StoreError::Unsynced) } else { Ok(()) }
    }

    fn write_bits(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if self.shape.dirty.is_empty() {
            return Ok(());
        }
        if self.shape.pages == 0 {
            let header = super::pages::header(0, self.page_bytes as u16, "");
            self.bitfield.write(disk, &self.place, 0, &header)?;
        }
        while let Some(&number) = self.shape.dirty.first() {
            let page = self.shape.encode(number, self.feed.have(), self.feed.nodes());
            let offset = HEADER + number * self.page_bytes as u64;
            self.bitfield.write(disk, &self.place, offset, &page)?;
            self.shape.dirty.remove(&number);
            self.shape.pages = self.shape.pages.max(number + 1);
        }
        Ok(())
    }

    /// Gives back memory and descriptors while nothing happens. The lock is kept, and with it the
    /// bitfield open, unless the caller has one above.
    pub fn rest(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        self.flush(disk)?;
        self.tree.shrink(0);
        self.signatures.shrink(0);
        self.roots = None;
        self.close_idle(disk);
        Ok(())
    }

    /// Commits and closes. On an error the store is closed too, and recovers at the next open.
    pub fn close(mut self, disk: &mut dyn Disk, now: Instant) -> Result<(), StoreError> {
        let done = self.settle(disk, now);
        self.abandon(disk);
        done
    }

    /// Makes everything durable and says that it is closed in order. To be followed by `abandon`.
    pub fn settle(&mut self, disk: &mut dyn Disk, now: Instant) -> Result<(), StoreError> {
        self.commit(disk, now)?;
        let synced = self.bitfield.sync(disk, &self.place);
        self.note_sync(synced)?;
        match self.give_back(disk) {
            // The next start goes on with it: the marker stays, so that what is not listed is found.
            Err(StoreError::Full) => return Ok(()),
            other => drop(other?),
        }
        if let Some(dropped) = &mut self.dropped {
            dropped.dirty |= dropped.worn;
        }
        self.write_dropped(disk)?;
        self.unmark(disk)
    }
}
