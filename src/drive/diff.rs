//! What differs between two versions of a drive, and what stands in one, whichever format it has.

use super::format::{Bee, Entry, Format, below, flat};
use super::hyper::entry::{self, BadEntry};
use super::hyper::{self, Difference, Walk};
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
    /// From version to version: first what is gone, then the rest.
    Gone(Box<hyper::Diff>),
    Here(Box<hyper::Diff>),
}

impl Diff {
    /// From version `old` to version `new`; either may be the newer.
    pub fn new(format: Format, old: u64, new: u64) -> Diff {
        match format {
            Format::Dat => Diff::Dat(Box::new(walk::Diff::new(old, new))),
            // The header alone has no entries.
            Format::Hyper if old < 2 => Diff::below(format, new, ""),
            Format::Hyper => {
                let stage = Stage::Gone(Box::new(hyper::Diff::new(old, new)));
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
                Stage::Gone(diff) => {
                    let found = diff.next(&mut Bee(source)).map_err(|failed| flat(failed, new))?;
                    match found {
                        Some(Difference { before: Some(gone), after: None }) => {
                            // What is no file was never told of.
                            if let Some(Entry { seq, name, .. }) = Entry::of_bee(gone) {
                                return Ok(Some(Change::Delete { name, old: seq }));
                            }
                        }
                        Some(_) => {}
                        None => *stage = Stage::Here(Box::new(hyper::Diff::new(old, new))),
                    }
                }
                Stage::Here(diff) => {
                    let found = diff.next(&mut Bee(source)).map_err(|failed| flat(failed, new))?;
                    let Some(Difference { before, after }) = found else { return Ok(None) };
                    let Some(after) = after else { continue };
                    let seq = after.seq;
                    let is_file = !matches!(entry::name(&after.key), Err(BadEntry::Key));
                    if let Some(entry) = Entry::of_bee(after) {
                        let old = before.map(|before| before.seq);
                        return Ok(Some(Change::Put { entry, old }));
                    }
                    if is_file {
                        return Ok(Some(Change::Malformed { seq }));
                    }
                }
            }
        }
    }
}
