//! What became of a hyperbee between two versions: every put and delete, block by block, or the
//! difference of the two trees, which passes over all that they share.

use std::cmp::Ordering;
use std::rc::Rc;

use super::bee::{Block, Blocks, Change, Failed};
use super::kept::Kept;
use super::search::{Entry, Frame, Item, below};

/// What happened since a version, block by block. Needs every block.
pub struct History {
    next: u64,
    end: u64,
}

impl History {
    /// From a core of `since` blocks to one of `version`.
    pub fn new(since: u64, version: u64) -> History {
        History { next: since.max(1), end: version }
    }

    /// The next change and the block that made it; may be called again after an error of the source.
    pub fn next<B: Blocks>(
        &mut self,
        source: &mut B,
    ) -> Result<Option<(u64, Change)>, Failed<B::Error>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let block = source.block(self.next).map_err(Failed::Source)?;
        let seq = self.next;
        self.next += 1;
        Ok(Some((seq, block.change()?)))
    }
}

/// A key that stands for something else than before; at least one of both is there. Who put the same
/// once more has changed it, too: the blocks differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

impl Difference {
    pub fn key(&self) -> &[u8] {
        self.after.as_ref().or(self.before.as_ref()).map_or(&[], |entry| &entry.key)
    }
}

/// The keys that differ between two versions, in order. Asks for the nodes that are not in both trees
/// and the keys that stand in those, so that a mirror of a large bee pays for what changed alone.
/// `next` may be called again after an error of the source.
pub struct Diff {
    before: Side,
    after: Side,
    /// Whether `after` is the newer one.
    forth: bool,
    /// Nodes of blocks from this one on are in the newer tree alone.
    shared: u64,
}

impl Diff {
    /// From the bee as it was when its core had `before` blocks to what it was with `after`.
    pub fn new(before: u64, after: u64) -> Diff {
        Diff {
            before: Side::new(before),
            after: Side::new(after),
            forth: before <= after,
            shared: before.min(after),
        }
    }

    pub fn next<B: Blocks>(
        &mut self,
        source: &mut B,
    ) -> Result<Option<Difference>, Failed<B::Error>> {
        let Diff { before, after, forth, shared } = self;
        loop {
            match (before.peek(), after.peek()) {
                (None, None) => return Ok(None),
                (Some(Item::Child(a)), Some(Item::Child(b))) if a == b => {
                    before.advance();
                    after.advance();
                }
                (Some(Item::Child(a)), Some(Item::Child(b))) => {
                    // What the newer tree has from of old stands further on in the older one.
                    let newer = if *forth { b } else { a };
                    if (newer.0 >= *shared) == *forth {
                        after.open(source)?
                    } else {
                        before.open(source)?
                    }
                }
                (Some(Item::Child(_)), _) => before.open(source)?,
                (_, Some(Item::Child(_))) => after.open(source)?,
                (Some(Item::Key(a)), Some(Item::Key(b))) if a == b => {
                    // Read for its order alone: a tree that comes back to its own nodes has no end.
                    let key = before.key(source, a)?;
                    after.take(key)?;
                    before.advance();
                    after.advance();
                }
                (Some(Item::Key(a)), Some(Item::Key(b))) => {
                    let (a, b) = (before.key(source, a)?, after.key(source, b)?);
                    let order = a.key.cmp(&b.key);
                    let a = (order != Ordering::Greater).then(|| before.entry(a));
                    let b = (order != Ordering::Less).then(|| after.entry(b));
                    return Ok(Some(Difference { before: a, after: b }));
                }
                (Some(Item::Key(a)), None) => {
                    let a = before.key(source, a)?;
                    return Ok(Some(Difference { before: Some(before.entry(a)), after: None }));
                }
                (None, Some(Item::Key(b))) => {
                    let b = after.key(source, b)?;
                    return Ok(Some(Difference { before: None, after: Some(after.entry(b)) }));
                }
            }
        }
    }
}

/// One of the two trees, and how far it was read.
struct Side {
    frames: Vec<Frame>,
    root: Option<(u64, u64)>,
    /// The key that stands next, once it was read.
    head: Option<Rc<Block>>,
    last: Option<Vec<u8>>,
    kept: Kept,
}

impl Side {
    fn new(version: u64) -> Side {
        let root = version.saturating_sub(1);
        Side {
            frames: Vec::new(),
            root: (root > 0).then_some((root, 0)),
            head: None,
            last: None,
            kept: Kept::default(),
        }
    }

    fn peek(&mut self) -> Option<Item> {
        if let Some(root) = self.root {
            return Some(Item::Child(root));
        }
        while let Some(frame) = self.frames.last_mut() {
            let item = frame.item(false);
            if item.is_some() {
                return item;
            }
            self.frames.pop();
        }
        None
    }

    /// Past what stands next.
    fn advance(&mut self) {
        if let Some(head) = self.head.take() {
            self.last = Some(head.key.clone());
        }
        if self.root.take().is_none()
            && let Some(frame) = self.frames.last_mut()
        {
            frame.advance(false);
        }
    }

    /// Goes into the node that stands next.
    fn open<B: Blocks>(&mut self, source: &mut B) -> Result<(), Failed<B::Error>> {
        if let Some(Item::Child(at)) = self.peek() {
            let place = below(source, &mut self.kept, &self.frames, at)?;
            self.advance();
            self.frames.push(Frame::new(place, false));
        }
        Ok(())
    }

    /// The key that stands next.
    fn key<B: Blocks>(&mut self, source: &mut B, seq: u64) -> Result<Rc<Block>, Failed<B::Error>> {
        match &self.head {
            Some(head) => Ok(head.clone()),
            None => {
                let block = source.block(seq).map_err(Failed::Source)?;
                let block = Rc::new(block);
                self.take(block.clone())?;
                Ok(block)
            }
        }
    }

    /// The key that stands next was read.
    fn take<E>(&mut self, block: Rc<Block>) -> Result<(), Failed<E>> {
        if self.last.as_ref().is_some_and(|last| block.key <= *last) {
            return Err(Failed::Damaged("keys are not in order"));
        }
        self.head = Some(block);
        Ok(())
    }

    /// Past the key that stands next, which is this one.
    fn entry(&mut self, block: Rc<Block>) -> Entry {
        self.advance();
        Rc::unwrap_or_clone(block).into()
    }
}
