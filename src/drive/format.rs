//! The two formats of a drive behind one face: hyperdrive 9 (append-tree, Dat) and hyperdrive 11 to
//! 13 (a hyperbee of entries). Whoever works with a drive's names asks here, and in [`diff`] and
//! [`names`] beside; what only one of them has shows in the [`Stat`].
//!
//! [`diff`]: super::diff
//! [`names`]: super::names

use super::hyper::entry::{self, BadEntry};
use super::hyper::{self, Block, Blocks, Failed, Walk};
use super::stat::Stat;
use super::tree::{self, NodeSource, TreeError};

/// How a drive's entries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Dat,
    Hyper,
}

/// An entry that stands in some version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The block that it was put with.
    pub seq: u64,
    /// Absolute, `/a/b`; not judged yet.
    pub name: String,
    /// `None`: what it says cannot be read.
    pub stat: Option<Stat>,
}

/// What a block of the metadata did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    Put(Entry),
    Delete {
        seq: u64,
        name: String,
    },
    /// Something that is not about files.
    Other,
}

impl Format {
    /// The version of a drive whose metadata has so many blocks. A Dat drive's is the number of its
    /// newest entry, a hyperdrive's the length of its bee: what their own tools call so.
    pub fn version(self, blocks: u64) -> u64 {
        match self {
            Format::Dat => blocks.saturating_sub(1),
            Format::Hyper => blocks,
        }
    }

    /// How many blocks of metadata a version has; 0 for the version before all others.
    pub fn blocks(self, version: u64) -> u64 {
        match self {
            Format::Dat if version > 0 => version.saturating_add(1),
            Format::Dat | Format::Hyper => version,
        }
    }

    /// The version that an entry made.
    pub fn version_of(self, seq: u64) -> u64 {
        self.version(seq.saturating_add(1))
    }

    /// The entry of a name in a version.
    pub fn get<S: NodeSource>(
        self,
        source: &mut S,
        version: u64,
        name: &str,
    ) -> Result<Option<Entry>, TreeError<S::Error>> {
        match self {
            Format::Dat => Ok(tree::get(source, version, name)?.map(Entry::from)),
            Format::Hyper => {
                let found = hyper::get(&mut Bee(source), version, &entry::key(name));
                Ok(found.map_err(|failed| flat(failed, version))?.and_then(Entry::of_bee))
            }
        }
    }

    /// Whether anything stands below a name as a directory.
    pub fn has_children<S: NodeSource>(
        self,
        source: &mut S,
        version: u64,
        name: &str,
    ) -> Result<bool, TreeError<S::Error>> {
        match self {
            Format::Dat => {
                let depth = tree::parts(name).count();
                for seq in tree::list(source, version, name)? {
                    if tree::leaf(source, seq)?.part(depth).is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Format::Hyper => {
                let next = below(version, name).next(&mut Bee(source));
                Ok(next.map_err(|failed| flat(failed, version))?.is_some())
            }
        }
    }

    /// What block `seq` put; `None` if it did not, or cannot be read.
    pub fn entry<S: NodeSource>(
        self,
        source: &mut S,
        seq: u64,
    ) -> Result<Option<Entry>, TreeError<S::Error>> {
        let mut block = Vec::new();
        source.block(seq, &mut block).map_err(TreeError::Source)?;
        Ok(match self {
            Format::Dat => tree::Leaf::decode(&block).and_then(|leaf| {
                let stat = Stat::decode(leaf.value.as_deref()?).ok();
                Some(Entry { seq, name: leaf.name, stat })
            }),
            Format::Hyper => {
                let block = Block::decode(seq, &block).ok().filter(|block| block.value.is_some());
                block.and_then(|block| Entry::of_bee(block.into()))
            }
        })
    }

    /// What block `seq` did; `Malformed` if it cannot be read.
    pub fn logged<S: NodeSource>(
        self,
        source: &mut S,
        seq: u64,
    ) -> Result<Logged, TreeError<S::Error>> {
        let malformed = TreeError::Malformed(seq);
        match self {
            Format::Dat => {
                let node = tree::node(source, seq)?;
                Ok(match node.value {
                    Some(_) => Logged::Put(node.into()),
                    None => Logged::Delete { seq, name: node.name },
                })
            }
            Format::Hyper => {
                let block = Bee(source).block(seq)?;
                let name = match entry::name(&block.key) {
                    Ok(name) => name.to_owned(),
                    Err(BadEntry::Key) => return Ok(Logged::Other),
                    Err(_) => return Err(malformed),
                };
                match block.change().map_err(|_| malformed)? {
                    hyper::Change::Put { value, .. } => {
                        let stat = stat(value.as_deref());
                        Ok(Logged::Put(Entry { seq, name, stat }))
                    }
                    hyper::Change::Delete { .. } => Ok(Logged::Delete { seq, name }),
                }
            }
        }
    }
}

/// All that block `seq` of a hyperdrive says; `None` if it says nothing that can be read.
pub fn record<S: NodeSource>(
    source: &mut S,
    seq: u64,
) -> Result<Option<entry::Entry>, TreeError<S::Error>> {
    let value = match Bee(source).block(seq) {
        Ok(block) => block.value,
        Err(TreeError::Malformed(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(value.and_then(|value| entry::Entry::decode(&value).ok()))
}

impl Entry {
    /// `None`: it is not one of a file.
    pub(super) fn of_bee(found: hyper::Entry) -> Option<Entry> {
        let name = entry::name(&found.key).ok()?.to_owned();
        Some(Entry { seq: found.seq, name, stat: stat(found.value.as_deref()) })
    }
}

fn stat(value: Option<&[u8]>) -> Option<Stat> {
    let entry = entry::Entry::decode(value?).ok()?;
    Some(Stat::of_entry(&entry))
}

impl From<tree::TreeNode> for Entry {
    fn from(node: tree::TreeNode) -> Entry {
        let stat = node.value.as_deref().and_then(|value| Stat::decode(value).ok());
        Entry { seq: node.seq, name: node.name, stat }
    }
}

/// What stands below a name, not the name itself.
pub(super) fn below(version: u64, name: &str) -> Walk {
    entry::files(version, name)
}

/// The blocks of a bee out of the same source as nodes of an append-tree.
pub(super) struct Bee<'a, S>(pub &'a mut S);

impl<S: NodeSource> Blocks for Bee<'_, S> {
    type Error = TreeError<S::Error>;

    fn block(&mut self, seq: u64) -> Result<Block, Self::Error> {
        let mut bytes = Vec::new();
        self.0.block(seq, &mut bytes).map_err(TreeError::Source)?;
        Block::decode(seq, &bytes).map_err(|_| TreeError::Malformed(seq))
    }
}

/// An error of the bee's tree is one of the version whose tree it is.
pub(super) fn flat<E>(failed: Failed<TreeError<E>>, version: u64) -> TreeError<E> {
    match failed {
        Failed::Source(error) => error,
        Failed::Damaged(_) => TreeError::Malformed(version.saturating_sub(1)),
    }
}
