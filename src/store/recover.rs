//! After an unclean stop: finding what is on disk, verifies, and is not told by the bits.
//!
//! A bit that is set is always true, but the newest may be missing, and of a page that was being
//! written when the power failed some are. So, in this order: parents whose children are held are
//! held again; a reader takes the longest tree whose roots and signature are there, a writer goes
//! through its appends for as long as tree, blocks and signatures agree; then every block below the
//! length whose hash leads up to a held node and whose bytes match counts as here.

use super::StoreError;
use super::disk::Disk;
use super::feed::{Content, FeedStore, Progress, Reader, raw_signature};
use super::pages::ENTRIES;
use crate::crypto::hash::Node;
use crate::feed::flat;
use crate::limits;

/// How far a recovery has come.
#[derive(Debug)]
pub(super) enum Recovery {
    /// Parents, by node.
    Parents(u64),
    /// A reader's search for a longer tree: its length, and how many more to try.
    Longer {
        length: u64,
        tries: u64,
    },
    Appends(Appends),
    /// Blocks, by number.
    Blocks(u64),
}

impl Default for Recovery {
    fn default() -> Recovery {
        Recovery::Parents(0)
    }
}

/// A writer's way through its uncommitted appends.
#[derive(Clone, Debug)]
pub(super) struct Appends {
    block: u64,
    bytes: u64,
    roots: Vec<Node>,
    /// The last tree with a signature: its roots, length and bytes.
    signed: Option<(Vec<Node>, u64, u64)>,
}

/// Cost of a step that reads no block: about what it reads of the tree.
const NODE_COST: usize = 40;
/// Cost of a signature, in bytes hashed in the same time.
const SIGNATURE_COST: usize = 32 * 1024;
/// Blocks whose leaves share a page of the tree's cache.
const BLOCKS_A_PAGE: u64 = ENTRIES / 2;

impl FeedStore {
    /// Whether the last stop was not in order and `recover` has not run to its end yet. The feed can
    /// be read and take blocks meanwhile, but not be appended to.
    pub fn recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Finds blocks that are on disk and verify but whose bits were lost at an unclean stop; blocks
    /// cleared shortly before it may be found again, too. `budget`: bytes to look at in this step. A
    /// feed with `External` content needs a reader; without one its blocks are not looked for.
    pub fn recover(
        &mut self,
        disk: &mut dyn Disk,
        mut reader: Option<&mut Reader<'_>>,
        budget: usize,
    ) -> Result<Progress, StoreError> {
        let mut left = budget;
        while left > 0 {
            let cost = match &self.recovery {
                None => return Ok(Progress::Done),
                Some(Recovery::Parents(node)) => self.recover_parents(disk, *node)?,
                Some(Recovery::Longer { length, tries }) => {
                    self.recover_length(disk, *length, *tries)?
                }
                Some(Recovery::Appends(appends)) => {
                    let appends = appends.clone();
                    self.recover_append(disk, appends)?
                }
                Some(Recovery::Blocks(block)) => {
                    let reader: Option<&mut Reader<'_>> = match &mut reader {
                        Some(reader) => Some(&mut **reader),
                        None => None,
                    };
                    self.recover_block(disk, *block, reader)?
                }
            };
            self.tree.trim(disk, &self.place)?;
            left = left.saturating_sub(cost);
        }
        Ok(if self.recovery.is_some() { Progress::More } else { Progress::Done })
    }

    fn recover_parents(&mut self, disk: &mut dyn Disk, from: u64) -> Result<usize, StoreError> {
        let Some(node) = self.feed.nodes().next_set(from) else {
            if self.feed.as_core().is_some() {
                // Its length is what the head says, which was read already.
                self.recovery = Some(Recovery::Blocks(0));
                return Ok(1);
            }
            let length = self.feed.length_by_nodes();
            if length > self.feed.length() {
                self.set_length(disk, length)?;
            }
            self.recovery = Some(if self.feed.writable() {
                let roots = self.load_roots(disk)?;
                let (block, bytes) = (self.feed.length(), self.feed.byte_length());
                Recovery::Appends(Appends { block, bytes, roots, signed: None })
            } else {
                let length = self.signatures.entries().min(limits::FEED_BLOCKS);
                Recovery::Longer { length, tries: limits::RECOVERY_SIGNATURES }
            });
            return Ok(1);
        };
        let mut top = node;
        while self.feed.holds(flat::sibling(top)) && !self.feed.holds(flat::parent(top)) {
            let (this, other) = (self.raw(disk, top)?, self.raw(disk, flat::sibling(top))?);
            let (Some(this), Some(other)) = (this, other) else { break };
            let Some(parent) = self.feed.parent(&this, &other) else { break };
            self.put_node(&parent);
            self.hold(parent.index);
            top = parent.index;
        }
        self.recovery = Some(Recovery::Parents(node + 1));
        Ok(8)
    }

    fn recover_length(
        &mut self,
        disk: &mut dyn Disk,
        length: u64,
        tries: u64,
    ) -> Result<usize, StoreError> {
        if length <= self.feed.length() || tries == 0 {
            self.recovery = Some(Recovery::Blocks(0));
            return Ok(1);
        }
        let mut cost = NODE_COST;
        if let Some(signature) = raw_signature(&mut self.signatures, disk, &self.place, length)? {
            let mut roots = Vec::new();
            for root in flat::full_roots(length) {
                roots.extend(self.raw(disk, root)?);
            }
            cost = SIGNATURE_COST;
            let bytes = roots.iter().try_fold(0u64, |sum, root| sum.checked_add(root.size));
            if roots.len() as u32 == length.count_ones()
                && let Some(bytes) = bytes
                && self.feed.is_signed(&roots, &signature)
            {
                roots.iter().for_each(|root| self.hold(root.index));
                self.feed.set_lengths(length, bytes);
                self.recovery = Some(Recovery::Blocks(0));
                return Ok(cost);
            }
        }
        self.recovery = Some(Recovery::Longer { length: length - 1, tries: tries - 1 });
        Ok(cost)
    }

    fn recover_append(
        &mut self,
        disk: &mut dyn Disk,
        mut appends: Appends,
    ) -> Result<usize, StoreError> {
        let block = appends.block;
        let leaf = if block < limits::FEED_BLOCKS { self.raw(disk, 2 * block)? } else { None };
        let leaf = match leaf {
            Some(leaf) if self.content == Content::File => {
                let mut bytes = Vec::new();
                let there =
                    self.data.read(disk, &self.place, appends.bytes, leaf.size, &mut bytes)?;
                (there && self.feed.is_block(&leaf, &bytes)).then_some(leaf)
            }
            leaf => leaf,
        };
        let Some(leaf) = leaf else {
            self.end_appends(disk, appends)?;
            return Ok(NODE_COST);
        };
        let signature = raw_signature(&mut self.signatures, disk, &self.place, block + 1)?;
        if self.add_leaf(&mut appends.roots, leaf).is_err() {
            self.end_appends(disk, appends)?;
            return Ok(NODE_COST);
        }
        appends.block += 1;
        appends.bytes += leaf.size;
        let mut cost = NODE_COST + leaf.size as usize;
        if let Some(signature) = signature {
            cost += SIGNATURE_COST;
            if self.feed.is_signed(&appends.roots, &signature) {
                appends.signed = Some((appends.roots.clone(), appends.block, appends.bytes));
            }
        }
        self.recovery = Some(Recovery::Appends(appends));
        Ok(cost)
    }

    /// What was signed and is whole counts as appended; what is behind it was never announced.
    fn end_appends(&mut self, disk: &mut dyn Disk, appends: Appends) -> Result<(), StoreError> {
        let length = appends.signed.as_ref().map_or(self.feed.length(), |(_, length, _)| *length);
        // Nobody may see what a power cut could still take.
        self.flush(disk)?;
        let synced = self.sync_files(disk);
        self.note_sync(synced)?;
        self.signatures.cut(disk, &self.place, length)?;
        if let Some((roots, length, bytes)) = appends.signed {
            let old = self.feed.length();
            self.adopt(roots, length, bytes);
            if self.content == Content::File {
                self.feed.set_have(old, length - old, true);
                self.shape.touch_blocks(old, length - old);
            }
        }
        self.recovery = Some(Recovery::Blocks(0));
        Ok(())
    }

    fn recover_block(
        &mut self,
        disk: &mut dyn Disk,
        block: u64,
        reader: Option<&mut Reader<'_>>,
    ) -> Result<usize, StoreError> {
        let Some(root) = self.root_over(block) else {
            self.recovery = None;
            return Ok(1);
        };
        if self.is_complete(root) {
            self.recovery = Some(Recovery::Blocks(flat::right_span(root) / 2 + 1));
            return Ok(NODE_COST);
        }
        if let Some(end) = self.dropped_end(block).filter(|_| !self.feed.has(block)) {
            // Given up, and gone or about to go.
            let held = self.feed.have().next_set(block).unwrap_or(u64::MAX);
            self.recovery = Some(Recovery::Blocks(end.min(held)));
            return Ok(NODE_COST);
        }
        let mut next = block + 1;
        let mut cost = 2 * NODE_COST;
        if !self.feed.has(block) || !self.holds_way(2 * block, root) {
            match self.raw(disk, 2 * block)? {
                None if self.tree.is_blank(disk, &self.place, 2 * block)?
                    && !self.feed.has(block) =>
                {
                    let held = self.feed.have().next_set(block).unwrap_or(u64::MAX);
                    next = ((block / BLOCKS_A_PAGE + 1) * BLOCKS_A_PAGE).min(held);
                }
                Some(leaf) if self.recover_way(disk, leaf, root)? => {
                    if !self.feed.has(block) && !self.is_dropped(block) {
                        cost += self.recover_bytes(disk, block, leaf, reader)?;
                    }
                }
                // A block without a hash above it is of no use.
                _ => self.drop_block(block),
            }
        }
        self.recovery = Some(Recovery::Blocks(next));
        Ok(cost)
    }

    /// The full root of the feed's tree over a block.
    fn root_over(&self, block: u64) -> Option<u64> {
        flat::full_roots(self.feed.length()).find(|&root| flat::right_span(root) >= 2 * block)
    }

    /// Whether all blocks and nodes below a root are here.
    fn is_complete(&self, root: u64) -> bool {
        let (start, count) = flat::blocks(root);
        self.feed.have().next_clear(start) >= start + count
            && self.feed.nodes().next_clear(2 * start) > flat::right_span(root)
    }

    /// Whether a node and all that leads from it up to the root are held.
    fn holds_way(&self, mut node: u64, root: u64) -> bool {
        while node != root {
            if !self.feed.holds(node) || !self.feed.holds(flat::sibling(node)) {
                return false;
            }
            node = flat::parent(node);
        }
        self.feed.holds(root)
    }

    /// Holds the nodes between a leaf in the file and the root, if they are there and agree.
    fn recover_way(
        &mut self,
        disk: &mut dyn Disk,
        leaf: Node,
        root: u64,
    ) -> Result<bool, StoreError> {
        let mut way = Vec::new();
        let mut top = leaf;
        while top.index != root {
            let Some(other) = self.raw(disk, flat::sibling(top.index))? else { return Ok(false) };
            way.extend([top.index, other.index]);
            let Some(parent) = self.feed.parent(&top, &other) else { return Ok(false) };
            if self.raw(disk, parent.index)? != Some(parent) {
                return Ok(false);
            }
            top = parent;
        }
        let proven = self.feed.holds(root);
        if proven {
            way.into_iter().for_each(|node| self.hold(node));
        }
        Ok(proven)
    }

    /// Looks whether a block's bytes are there. Returns how many were read.
    fn recover_bytes(
        &mut self,
        disk: &mut dyn Disk,
        block: u64,
        leaf: Node,
        reader: Option<&mut Reader<'_>>,
    ) -> Result<usize, StoreError> {
        let offset = self.offset(disk, block)?;
        let mut bytes = Vec::new();
        let there = match (self.content, reader) {
            (Content::File, _) => {
                self.data.read(disk, &self.place, offset, leaf.size, &mut bytes)?
            }
            (Content::External, Some(read)) => read(disk, block, offset, leaf.size, &mut bytes)?,
            (Content::External, None) => false,
        };
        if there && self.feed.is_block(&leaf, &bytes) {
            self.have(block);
        }
        Ok(bytes.len())
    }

    fn drop_block(&mut self, block: u64) {
        if self.feed.has(block) {
            self.feed.set_have(block, 1, false);
            self.shape.touch_blocks(block, 1);
        }
    }
}
