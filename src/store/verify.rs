//! Checking what lies on disk against the tree and the signature, in steps; and forgetting what is
//! bad, so that it is fetched again.

use super::StoreError;
use super::disk::Disk;
use super::feed::{Content, FeedStore, Reader, raw_signature};
use crate::feed::flat;
use crate::limits;

/// Where `verify_step` goes on. `Cursor::default()` is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Phase);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Signature,
    /// By node. All of the tree before any block: a wrong size shifts every later block.
    Tree(u64),
    Blocks(u64),
    Done,
}

/// Something on disk that is not what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its bytes do not match its hash, or are not there.
    #[error("block {0} is damaged")]
    Block(u64),
    /// What is below this tree node does not make it up.
    #[error("the tree is damaged below node {0}")]
    Node(u64),
    /// The roots do not match the signature of the feed's length, or it is missing.
    #[error("the signature or the top of the tree is damaged")]
    Signature,
}

/// What one `verify_step` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Blocks looked at in this step.
    pub blocks: u64,
    pub bad: Vec<Damage>,
    /// Nothing is left to look at.
    pub done: bool,
}

/// Cost of a node, in bytes read.
const NODE_COST: usize = 40;

impl FeedStore {
    /// Checks held nodes and blocks against the tree and the signature, about `budget` bytes in a
    /// step. Blocks of `External` content are read through `reader`; without one they are skipped.
    /// `NotYet` only when it found nothing before it had to wait; the cursor has moved on all the same.
    pub fn verify_step(
        &mut self,
        disk: &mut dyn Disk,
        cursor: &mut Cursor,
        mut reader: Option<&mut Reader<'_>>,
        budget: usize,
    ) -> Result<Verified, StoreError> {
        let mut found = Verified::default();
        let mut left = budget;
        while left > 0 && cursor.0 != Phase::Done {
            let before = (found.blocks, found.bad.len());
            let stepped = match &mut reader {
                Some(reader) => self.verify_one(disk, cursor.0, Some(&mut **reader), &mut found),
                None => self.verify_one(disk, cursor.0, None, &mut found),
            };
            match stepped {
                Ok((next, cost)) => {
                    cursor.0 = next;
                    left = left.saturating_sub(cost);
                }
                // What was found so far is told first.
                Err(StoreError::NotYet) if before != (0, 0) => break,
                Err(error) => return Err(error),
            }
        }
        found.done = cursor.0 == Phase::Done;
        Ok(found)
    }

    fn verify_one(
        &mut self,
        disk: &mut dyn Disk,
        phase: Phase,
        reader: Option<&mut Reader<'_>>,
        found: &mut Verified,
    ) -> Result<(Phase, usize), StoreError> {
        match phase {
            Phase::Signature => {
                if !self.is_signed(disk)? {
                    found.bad.push(Damage::Signature);
                }
                Ok((Phase::Tree(0), limits::STORE_DATA_BYTES / 8))
            }
            Phase::Tree(from) => match self.feed.nodes().next_set(from) {
                Some(node) => {
                    let bad = self.bad_node(disk, node)?.map(Damage::Node);
                    found.bad.extend(bad.filter(|bad| !found.bad.contains(bad)));
                    Ok((Phase::Tree(node + 1), NODE_COST))
                }
                None => Ok((Phase::Blocks(0), 1)),
            },
            Phase::Blocks(from) => match self.feed.have().next_set(from) {
                Some(block) => {
                    let cost = match self.is_whole(disk, block, reader)? {
                        Some((whole, size)) => {
                            found.blocks += 1;
                            found.bad.extend((!whole).then_some(Damage::Block(block)));
                            size
                        }
                        None => 0,
                    };
                    Ok((Phase::Blocks(block + 1), NODE_COST + cost))
                }
                None => Ok((Phase::Done, 1)),
            },
            Phase::Done => Ok((Phase::Done, 1)),
        }
    }

    fn is_signed(&mut self, disk: &mut dyn Disk) -> Result<bool, StoreError> {
        let length = self.feed.length();
        if length == 0 {
            return Ok(true);
        }
        let mut roots = Vec::new();
        for root in flat::full_roots(length) {
            roots.extend(self.raw(disk, root)?);
        }
        let whole = roots.len() as u32 == length.count_ones();
        if let Some(core) = self.feed.as_core() {
            return Ok(whole && self.feed.is_signed(&roots, &core.signature));
        }
        let signature = raw_signature(&mut self.signatures, disk, &self.place, length)?;
        Ok(whole && signature.is_some_and(|sig| self.feed.is_signed(&roots, &sig)))
    }

    /// The node below which all is to be doubted, if this one does not fit.
    fn bad_node(&mut self, disk: &mut dyn Disk, node: u64) -> Result<Option<u64>, StoreError> {
        let Some(stored) = self.raw(disk, node)? else { return Ok(Some(flat::parent(node))) };
        let Some((left, right)) = flat::children(node) else { return Ok(None) };
        if !self.feed.holds(left) || !self.feed.holds(right) {
            return Ok(None);
        }
        let (left, right) = (self.raw(disk, left)?, self.raw(disk, right)?);
        let made = left.zip(right).and_then(|(left, right)| self.feed.parent(&left, &right));
        Ok((made != Some(stored)).then_some(node))
    }

    /// Whether a block's bytes match, and its size. `None`: they cannot be looked at.
    fn is_whole(
        &mut self,
        disk: &mut dyn Disk,
        block: u64,
        reader: Option<&mut Reader<'_>>,
    ) -> Result<Option<(bool, usize)>, StoreError> {
        let extent = match self.extent(disk, block) {
            Err(StoreError::Damaged(_) | StoreError::Absent) => return Ok(Some((false, 0))),
            extent => extent?,
        };
        let leaf = self.leaf(disk, block)?;
        let mut bytes = Vec::new();
        let (offset, size) = extent;
        let there = match (self.content, reader) {
            (Content::File, _) => self.data.read(disk, &self.place, offset, size, &mut bytes)?,
            (Content::External, Some(read)) => read(disk, block, offset, size, &mut bytes)?,
            (Content::External, None) => return Ok(None),
        };
        Ok(Some((there && self.feed.is_block(&leaf, &bytes), bytes.len())))
    }

    /// Forgets what `verify_step` found to be bad, so that it is fetched again. A writer's own top
    /// of the tree cannot be had from anybody: `Damaged`.
    pub fn forget(&mut self, disk: &mut dyn Disk, damage: Damage) -> Result<(), StoreError> {
        if damage == Damage::Signature && self.feed.writable() {
            let file = if self.core.is_some() { "tree" } else { "signatures" };
            return Err(self.place.damaged(file, "does not have what the writer signed last"));
        }
        self.mark(disk)?;
        self.changed += 1;
        let (first, end) = match damage {
            Damage::Block(block) => {
                self.feed.set_have(block, 1, false);
                self.shape.touch_blocks(block, 1);
                return Ok(());
            }
            Damage::Node(node) => {
                let (first, last) = (flat::left_span(node), flat::right_span(node));
                self.feed.set_nodes(first, node - first, false);
                self.feed.set_nodes(node + 1, last - node, false);
                (first, last + 1)
            }
            Damage::Signature => {
                let all = 2 * limits::FEED_BLOCKS;
                self.feed.set_nodes(0, all, false);
                self.feed.set_lengths(0, 0);
                self.sealed(self.feed.fork_id(), Vec::new());
                (0, all)
            }
        };
        self.feed.set_have(first / 2, end.div_ceil(2) - first / 2, false);
        self.shape.touch_cleared(first, end);
        self.roots = None;
        self.last = (0, 0);
        Ok(())
    }
}
