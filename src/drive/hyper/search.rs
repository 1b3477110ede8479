//! Reading a hyperbee (hyper/SPEC d.2): one key, keys in order, changes since a version. Only the
//! blocks on the way are asked for, so that a sparse core will do. Every step can be repeated when a
//! block was not there yet. The tree is the writer's word: depth, order and directions are checked.

use super::bee::{Block, Blocks, Change, Failed, Level};
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
struct Place {
    block: Block,
    level: Level,
}

impl Place {
    fn load<B: Blocks>(
        source: &mut B,
        (seq, number): (u64, u64),
    ) -> Result<Place, Failed<B::Error>> {
        if seq == 0 {
            return Err(Failed::Damaged("a node in the header"));
        }
        let block = source.block(seq).map_err(Failed::Source)?;
        let level = block.level(number)?;
        if level.keys.iter().any(|&key| key == 0 || key > seq)
            || level.children.iter().any(|&(child, _)| child > seq)
        {
            return Err(Failed::Damaged("a node that points ahead"));
        }
        Ok(Place { block, level })
    }

    fn key<B: Blocks>(&self, source: &mut B, at: usize) -> Result<Block, Failed<B::Error>> {
        match self.level.keys.get(at) {
            Some(&seq) if seq == self.block.seq => Ok(self.block.clone()),
            Some(&seq) => source.block(seq).map_err(Failed::Source),
            None => Err(Failed::Damaged("a key that is not there")),
        }
    }

    /// The key itself, or between which keys it would be.
    fn find<B: Blocks>(
        &self,
        source: &mut B,
        key: &[u8],
    ) -> Result<Result<Block, usize>, Failed<B::Error>> {
        let (mut low, mut high) = (0, self.level.keys.len());
        while low < high {
            let middle = (low + high) / 2;
            let found = self.key(source, middle)?;
            match key.cmp(&found.key) {
                std::cmp::Ordering::Equal => return Ok(Ok(found)),
                std::cmp::Ordering::Less => high = middle,
                std::cmp::Ordering::Greater => low = middle + 1,
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
    let mut at = (version.saturating_sub(1), 0);
    if at.0 == 0 {
        return Ok(None);
    }
    for _ in 0..HYPER_BEE_DEPTH {
        let place = Place::load(source, at)?;
        match place.find(source, key)? {
            Ok(found) => return Ok(Some(found.into())),
            Err(between) => match place.level.children.get(between) {
                Some(&child) => at = child,
                None => return Ok(None),
            },
        }
    }
    Err(Failed::Damaged("the tree is too deep"))
}

/// A node that a walk is in.
struct Frame {
    seq: u64,
    level: Level,
    /// Twice a child's number, or twice a key's number and one.
    next: usize,
}

/// The entries between two keys in order. `next` may be called again after an error of the source.
pub struct Walk {
    frames: Vec<Frame>,
    /// A node to go into, and whether keys of it may lie before the walk's start.
    enter: Option<((u64, u64), bool)>,
    from: Vec<u8>,
    until: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

impl Walk {
    /// From `from` on (empty: from the first), before `until` (`None`: to the last), as it was when the
    /// core had `version` blocks.
    pub fn new(version: u64, from: Vec<u8>, until: Option<Vec<u8>>) -> Walk {
        let root = version.saturating_sub(1);
        let edge = !from.is_empty();
        let enter = (root > 0).then_some(((root, 0), edge));
        Walk { frames: Vec::new(), enter, from, until, last: None }
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

    pub fn next<B: Blocks>(&mut self, source: &mut B) -> Result<Option<Entry>, Failed<B::Error>> {
        loop {
            if let Some((at, edge)) = self.enter {
                self.go_into(source, at, edge)?;
                continue;
            }
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            let at = frame.next / 2;
            if frame.next % 2 == 0 {
                frame.next += 1;
                self.enter = frame.level.children.get(at).map(|&child| (child, false));
                continue;
            }
            let Some(&seq) = frame.level.keys.get(at) else {
                self.frames.pop();
                continue;
            };
            let block = source.block(seq).map_err(Failed::Source)?;
            frame.next += 1;
            if self.until.as_ref().is_some_and(|until| block.key >= *until) {
                self.frames.clear();
                return Ok(None);
            }
            if self.last.as_ref().is_some_and(|last| block.key <= *last) {
                return Err(Failed::Damaged("keys are not in order"));
            }
            self.last = Some(block.key.clone());
            return Ok(Some(block.into()));
        }
    }

    fn go_into<B: Blocks>(
        &mut self,
        source: &mut B,
        at: (u64, u64),
        edge: bool,
    ) -> Result<(), Failed<B::Error>> {
        if self.frames.len() == HYPER_BEE_DEPTH {
            return Err(Failed::Damaged("the tree is too deep"));
        }
        if self.frames.last().is_some_and(|frame| at.0 > frame.seq) {
            return Err(Failed::Damaged("a node that points ahead"));
        }
        let place = Place::load(source, at)?;
        let mut frame = Frame { seq: place.block.seq, next: 0, level: Level::default() };
        let mut enter = None;
        if edge {
            match place.find(source, &self.from)? {
                Ok(found) => {
                    let of = |&key: &u64| key == found.seq;
                    frame.next = 2 * place.level.keys.iter().position(of).unwrap_or(0) + 1;
                }
                Err(between) => {
                    // Into the child first; then on with the key behind it.
                    frame.next = 2 * between + 1;
                    enter = place.level.children.get(between).map(|&child| (child, true));
                }
            }
        }
        frame.level = place.level;
        self.frames.push(frame);
        self.enter = enter;
        Ok(())
    }
}

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
