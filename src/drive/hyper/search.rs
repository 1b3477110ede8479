//! Reading a hyperbee (hyper/SPEC d.2): one key, or the keys of a range in order or backwards. Only the
//! blocks on the way are asked for, so that a sparse core will do. Every step can be repeated when a
//! block was not there yet. The tree is the writer's word: depth, order and directions are checked.

use std::cmp::Ordering;
use std::ops::Bound;
use std::rc::Rc;

use super::bee::{Block, Blocks, Failed, Level};
use super::kept::Kept;
use crate::limits::HYPER_BEE_DEPTH;

/// A key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The block that it was put with.
    pub seq: u64,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl From<Block> for Entry {
    fn from(Block { seq, key, value, .. }: Block) -> Entry {
        Entry { seq, key, value }
    }
}

/// A node of the tree, and which block its level is in.
pub(super) struct Place {
    pub block: Rc<Block>,
    pub level: Level,
}

/// A key's place in a node with its block, or between which keys it would be.
type Found = Result<(usize, Rc<Block>), usize>;

impl Place {
    pub fn load<B: Blocks>(
        source: &mut B,
        kept: &mut Kept,
        (seq, number): (u64, u64),
    ) -> Result<Place, Failed<B::Error>> {
        if seq == 0 {
            return Err(Failed::Damaged("a node in the header"));
        }
        let block = kept.block(source, seq).map_err(Failed::Source)?;
        let level = block.level(number)?;
        if level.keys.iter().any(|&key| key == 0 || key > seq)
            || level.children.iter().any(|&(child, _)| child > seq)
        {
            return Err(Failed::Damaged("a node that points ahead"));
        }
        Ok(Place { block, level })
    }

    fn key<B: Blocks>(&self, source: &mut B, at: usize) -> Result<Rc<Block>, Failed<B::Error>> {
        match self.level.keys.get(at) {
            Some(&seq) if seq == self.block.seq => Ok(self.block.clone()),
            Some(&seq) => source.block(seq).map(Rc::new).map_err(Failed::Source),
            None => Err(Failed::Damaged("a key that is not there")),
        }
    }

    fn find<B: Blocks>(&self, source: &mut B, key: &[u8]) -> Result<Found, Failed<B::Error>> {
        let (mut low, mut high) = (0, self.level.keys.len());
        while low < high {
            let middle = (low + high) / 2;
            let found = self.key(source, middle)?;
            match key.cmp(&found.key) {
                Ordering::Equal => return Ok(Ok((middle, found))),
                Ordering::Less => high = middle,
                Ordering::Greater => low = middle + 1,
            }
        }
        Ok(Err(low))
    }
}

/// What a key stood for when the core had `version` blocks.
pub fn get<B: Blocks>(
    source: &mut B,
    version: u64,
    key: &[u8],
) -> Result<Option<Entry>, Failed<B::Error>> {
    let mut kept = Kept::default();
    let mut at = (version.saturating_sub(1), 0);
    if at.0 == 0 {
        return Ok(None);
    }
    for _ in 0..HYPER_BEE_DEPTH {
        let place = Place::load(source, &mut kept, at)?;
        match place.find(source, key)? {
            Ok((_, found)) => return Ok(Some(Rc::unwrap_or_clone(found).into())),
            Err(between) => match place.level.children.get(between) {
                Some(&child) => at = child,
                None => return Ok(None),
            },
        }
    }
    Err(Failed::Damaged("the tree is too deep"))
}

/// Which keys, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: Bound<Vec<u8>>,
    pub until: Bound<Vec<u8>>,
    /// From the last to the first.
    pub reverse: bool,
    /// Entries at most.
    pub limit: Option<u64>,
}

impl Default for Range {
    /// All of them, in order.
    fn default() -> Range {
        Range { from: Bound::Unbounded, until: Bound::Unbounded, reverse: false, limit: None }
    }
}

/// The first key behind this one.
fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// A node that a walk is in. Its items are its children and keys in order: twice a child's number,
/// twice a key's number and one.
pub(super) struct Frame {
    seq: u64,
    level: Level,
    /// Forwards the next item, backwards how many are left.
    next: usize,
}

/// What stands next in a node.
pub(super) enum Item {
    Child((u64, u64)),
    Key(u64),
}

impl Frame {
    pub fn new(Place { block, level }: Place, reverse: bool) -> Frame {
        let next = if reverse { 2 * level.keys.len() + 1 } else { 0 };
        Frame { seq: block.seq, level, next }
    }

    /// `None`: it is over. In a leaf there are keys alone.
    pub fn item(&mut self, reverse: bool) -> Option<Item> {
        loop {
            let at = if reverse { self.next.checked_sub(1)? } else { self.next };
            if at > 2 * self.level.keys.len() {
                return None;
            }
            let item = match at % 2 {
                0 => self.level.children.get(at / 2).map(|&child| Item::Child(child)),
                _ => self.level.keys.get(at / 2).map(|&key| Item::Key(key)),
            };
            if item.is_some() {
                return item;
            }
            self.advance(reverse);
        }
    }

    pub fn advance(&mut self, reverse: bool) {
        if reverse {
            self.next = self.next.saturating_sub(1);
        } else {
            self.next += 1;
        }
    }
}

/// The node at `at`, to be gone into below those of `frames`.
pub(super) fn below<B: Blocks>(
    source: &mut B,
    kept: &mut Kept,
    frames: &[Frame],
    at: (u64, u64),
) -> Result<Place, Failed<B::Error>> {
    if frames.len() == HYPER_BEE_DEPTH {
        return Err(Failed::Damaged("the tree is too deep"));
    }
    if frames.last().is_some_and(|frame| at.0 > frame.seq) {
        return Err(Failed::Damaged("a node that points ahead"));
    }
    Place::load(source, kept, at)
}

/// The entries between two keys in order. `next` may be called again after an error of the source.
pub struct Walk {
    frames: Vec<Frame>,
    /// A node to go into, and whether keys of it may lie before the walk's start.
    enter: Option<((u64, u64), bool)>,
    from: Vec<u8>,
    /// Not itself.
    until: Option<Vec<u8>>,
    reverse: bool,
    left: u64,
    last: Option<Vec<u8>>,
    kept: Kept,
}

impl Walk {
    /// From `from` on (empty: from the first), before `until` (`None`: to the last), as it was when the
    /// core had `version` blocks.
    pub fn new(version: u64, from: Vec<u8>, until: Option<Vec<u8>>) -> Walk {
        let until = until.map_or(Bound::Unbounded, Bound::Excluded);
        Walk::range(version, Range { from: Bound::Included(from), until, ..Range::default() })
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(version: u64, prefix: &[u8]) -> Walk {
        let until = prefix.iter().rposition(|&byte| byte < 0xff).map(|last| {
            let mut until = prefix[..=last].to_vec();
            until[last] += 1;
            until
        });
        Walk::new(version, prefix.to_vec(), until)
    }

    /// The keys of a range, as it was when the core had `version` blocks.
    pub fn range(version: u64, range: Range) -> Walk {
        let root = version.saturating_sub(1);
        let from = match range.from {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key,
            Bound::Excluded(key) => behind(key),
        };
        let until = match range.until {
            Bound::Unbounded => None,
            Bound::Excluded(key) => Some(key),
            Bound::Included(key) => Some(behind(key)),
        };
        let edge = if range.reverse { until.is_some() } else { !from.is_empty() };
        Walk {
            frames: Vec::new(),
            enter: (root > 0).then_some(((root, 0), edge)),
            from,
            until,
            reverse: range.reverse,
            left: range.limit.unwrap_or(u64::MAX),
            last: None,
            kept: Kept::default(),
        }
    }

    pub fn next<B: Blocks>(&mut self, source: &mut B) -> Result<Option<Entry>, Failed<B::Error>> {
        while self.left > 0 {
            if let Some((at, edge)) = self.enter {
                self.go_into(source, at, edge)?;
                continue;
            }
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            let seq = match frame.item(self.reverse) {
                None => {
                    self.frames.pop();
                    continue;
                }
                Some(Item::Child(child)) => {
                    frame.advance(self.reverse);
                    self.enter = Some((child, false));
                    continue;
                }
                Some(Item::Key(seq)) => seq,
            };
            let block = source.block(seq).map_err(Failed::Source)?;
            frame.advance(self.reverse);
            let before = block.key < self.from;
            let behind = self.until.as_ref().is_some_and(|until| block.key >= *until);
            let (early, late) = if self.reverse { (behind, before) } else { (before, behind) };
            if late {
                self.left = 0;
                break;
            }
            let way = if self.reverse { Ordering::Less } else { Ordering::Greater };
            if early || self.last.as_ref().is_some_and(|last| block.key.cmp(last) != way) {
                return Err(Failed::Damaged("keys are not in order"));
            }
            self.left -= 1;
            self.last = Some(block.key.clone());
            return Ok(Some(block.into()));
        }
        self.frames.clear();
        Ok(None)
    }

    fn go_into<B: Blocks>(
        &mut self,
        source: &mut B,
        at: (u64, u64),
        edge: bool,
    ) -> Result<(), Failed<B::Error>> {
        let place = below(source, &mut self.kept, &self.frames, at)?;
        let mut enter = None;
        let mut next = None;
        let start = if self.reverse { self.until.as_ref() } else { Some(&self.from) };
        if let Some(start) = start.filter(|_| edge) {
            next = Some(match (place.find(source, start)?, self.reverse) {
                (Ok((key, _)), _) => 2 * key + 1,
                (Err(between), reverse) => {
                    // Into the child first; then on with the key beside it.
                    enter = place.level.children.get(between).map(|&child| (child, true));
                    2 * between + usize::from(!reverse)
                }
            });
        }
        let mut frame = Frame::new(place, self.reverse);
        frame.next = next.unwrap_or(frame.next);
        self.frames.push(frame);
        self.enter = enter;
        Ok(())
    }
}
