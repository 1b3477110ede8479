//! What differs between two versions of a drive, and what stands in one, whichever format it has.

use std::collections::BTreeSet;

use super::format::{Bee, Entry, Format, below, flat};
use super::hyper::entry::{self, BadEntry};
use super::hyper::{self, Blocks, Walk};
use super::tree::{NodeSource, TreeError};
use super::walk;

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The entry stands in the new version; `old` is the number of the one that stood under its
    /// name in the old one.
    Put { entry: Entry, old: Option<u64> },
    /// The entry stands in the old version alone.
    Delete { name: String, old: u64 },
    /// This entry cannot be read.
    Malformed { seq: u64 },
}

/// The differences from one version to another. What vanished from a directory comes before what
/// came into it.
pub enum Diff {
    Dat(Box<walk::Diff>),
    Hyper(Box<BeeDiff>),
}

/// The same for a bee.
pub struct BeeDiff {
    old: u64,
    new: u64,
    stage: Stage,
}

enum Stage {
    /// From nothing: all entries, before them that of the name itself.
    Own(String),
    All(Walk),
    /// From version to version by the blocks between them: first what is gone, then the rest.
    Gone(Between),
    Here(Between),
}

struct Between {
    next: u64,
    /// Keys that were told of.
    told: BTreeSet<Vec<u8>>,
}

impl Diff {
    /// From version `old` to version `new`; either may be the newer. Of a bee every block between
    /// them has to be here.
    pub fn new(format: Format, old: u64, new: u64) -> Diff {
        match format {
            Format::Dat => Diff::Dat(Box::new(walk::Diff::new(old, new))),
            // The header alone has no entries.
            Format::Hyper if old < 2 => Diff::below(format, new, ""),
            Format::Hyper => {
                let stage = Stage::Gone(Between::new(old, new));
                Diff::Hyper(Box::new(BeeDiff { old, new, stage }))
            }
        }
    }

    /// Every entry of a version.
    pub fn all(format: Format, version: u64) -> Diff {
        Diff::below(format, version, "")
    }

    /// The entries of a version at and below `dir` (`/a/b`; `""` is all).
    pub fn below(format: Format, version: u64, dir: &str) -> Diff {
        match format {
            Format::Dat => Diff::Dat(Box::new(walk::Diff::below(0, version, dir))),
            Format::Hyper => {
                let stage = Stage::Own(dir.to_owned());
                Diff::Hyper(Box::new(BeeDiff { old: 0, new: version, stage }))
            }
        }
    }

    /// The next difference. After an error of the source the same call goes on; after another
    /// error the walk is over.
    pub fn next<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<Change>, TreeError<S::Error>> {
        match self {
            Diff::Dat(walk) => Ok(walk.next(source)?.map(|change| match change {
                walk::Change::Put { node, old } => Change::Put { entry: node.into(), old },
                walk::Change::Delete { name, old } => Change::Delete { name, old },
                walk::Change::Malformed { seq } => Change::Malformed { seq },
            })),
            Diff::Hyper(diff) => diff.next(source),
        }
    }
}

impl Between {
    fn new(old: u64, new: u64) -> Between {
        Between { next: old.min(new).max(1), told: BTreeSet::new() }
    }
}

impl BeeDiff {
    fn next<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<Change>, TreeError<S::Error>> {
        let BeeDiff { old, new, stage } = self;
        let (old, new) = (*old, *new);
        loop {
            match stage {
                Stage::Own(dir) => {
                    let is_root = dir.trim_matches('/').is_empty();
                    let own = if is_root { None } else { Format::Hyper.get(source, new, dir)? };
                    *stage = Stage::All(below(new, dir));
                    if let Some(entry) = own {
                        return Ok(Some(Change::Put { entry, old: None }));
                    }
                }
                Stage::All(walk) => {
                    let found = walk.next(&mut Bee(source)).map_err(|failed| flat(failed, new))?;
                    let Some(found) = found else { return Ok(None) };
                    let seq = found.seq;
                    return Ok(Some(match Entry::of_bee(found) {
                        Some(entry) => Change::Put { entry, old: None },
                        None => Change::Malformed { seq },
                    }));
                }
                Stage::Gone(between) => match between.step(source, old, new, true)? {
                    Some(Some(change)) => return Ok(Some(change)),
                    Some(None) => {}
                    None => *stage = Stage::Here(Between::new(old, new)),
                },
                Stage::Here(between) => match between.step(source, old, new, false)? {
                    Some(Some(change)) => return Ok(Some(change)),
                    Some(None) => {}
                    None => return Ok(None),
                },
            }
        }
    }
}

impl Between {
    /// One block; `None` behind the last. Only what is gone, or only what is here.
    fn step<S: NodeSource>(
        &mut self,
        source: &mut S,
        old: u64,
        new: u64,
        gone: bool,
    ) -> Result<Option<Option<Change>>, TreeError<S::Error>> {
        let seq = self.next;
        if seq >= old.max(new) {
            return Ok(None);
        }
        let change = self.look(source, old, new, gone)?;
        self.next = seq + 1;
        Ok(Some(change))
    }

    fn look<S: NodeSource>(
        &mut self,
        source: &mut S,
        old: u64,
        new: u64,
        gone: bool,
    ) -> Result<Option<Change>, TreeError<S::Error>> {
        let seq = self.next;
        let block = match Bee(source).block(seq) {
            Ok(block) => block,
            // If it stands in the tree, that cannot be read either.
            Err(TreeError::Malformed(_)) => {
                return Ok((!gone).then_some(Change::Malformed { seq }));
            }
            Err(error) => return Err(error),
        };
        let name = match entry::name(&block.key) {
            Ok(name) => name.to_owned(),
            Err(BadEntry::Key) => return Ok(None),
            Err(_) => return Ok((!gone).then_some(Change::Malformed { seq })),
        };
        // On the way forward only a block that deletes can be the last word on what is gone.
        if gone && new > old && block.value.is_some() || self.told.contains(&block.key) {
            return Ok(None);
        }
        let mut get = |version| {
            let found = hyper::get(&mut Bee(source), version, &block.key);
            found.map_err(|failed| flat(failed, version))
        };
        let after = get(new)?;
        if gone {
            let (None, Some(before)) = (&after, get(old)?) else { return Ok(None) };
            self.told.insert(block.key);
            return Ok(Some(Change::Delete { name, old: before.seq }));
        }
        let Some(after) = after else { return Ok(None) };
        if new > old && after.seq != seq {
            // It was put again later.
            return Ok(None);
        }
        let before = get(old)?.map(|before| before.seq);
        if before == Some(after.seq) {
            return Ok(None);
        }
        if new < old {
            self.told.insert(block.key);
        }
        let entry = Entry::of_bee(after);
        Ok(entry.map(|entry| Change::Put { entry, old: before }))
    }
}
