//! Going through a drive's tree, or through what differs between two versions of it, a node at a
//! time. A directory whose newest nodes are the same in both versions is not entered.
//!
//! The tree is a stranger's: it may lead to the same names many times. Visits are counted, and a
//! walk that makes more of them than an honest tree of that length can need ends with an error.

use std::collections::BTreeMap;

use super::dirs::hash;
use super::tree::{self, NodeSource, TreeError, TreeNode, parts};
use crate::limits::{DRIVE_DEPTH, WALK_NUMBERS};

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The entry stands in the new version; `old` is the number of the node that stood under its
    /// name in the old one.
    Put { node: TreeNode, old: Option<u64> },
    /// The entry stands in the old version alone.
    Delete { name: String, old: u64 },
    /// This node, and what could be reached by it alone, cannot be read.
    Malformed { seq: u64 },
}

/// The differences from one version to another, in the order of the tree: in a directory first
/// what vanished, then the others by age.
#[derive(Debug)]
pub struct Diff {
    old: u64,
    new: u64,
    /// Directory to start in.
    below: String,
    started: bool,
    stack: Vec<Frame>,
    /// Numbers in `stack`.
    numbers: usize,
    visits_left: u64,
}

#[derive(Debug)]
struct Frame {
    dir: String,
    depth: usize,
    /// Members of the new version that the old does not have, descending (taken from the end).
    new: Vec<u64>,
    /// Members of the old version that the new does not have, descending.
    old: Vec<u64>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Reads the names of the old members (kept as hashes).
    Old { names: BTreeMap<u64, u64> },
    /// Looks which of them the new version still has; `at` counts in `new`.
    Match { names: BTreeMap<u64, u64>, pairs: BTreeMap<u64, u64>, at: usize },
    /// Goes into what vanished.
    Gone { gone: Vec<u64>, pairs: BTreeMap<u64, u64> },
    /// Goes into what is new.
    New { pairs: BTreeMap<u64, u64> },
}

impl Diff {
    /// From version `old` to version `new`; either may be the newer.
    pub fn new(old: u64, new: u64) -> Diff {
        Diff::below(old, new, "")
    }

    /// Every entry of a version.
    pub fn all(version: u64) -> Diff {
        Diff::new(0, version)
    }

    /// As [`Diff::new`] for one directory (`/a/b`; `""` is the root) with its own entry.
    pub fn below(old: u64, new: u64, dir: &str) -> Diff {
        let visits_left = (old + new + 16).saturating_mul(DRIVE_DEPTH as u64 + 4);
        Diff {
            old,
            new,
            below: dir.to_owned(),
            started: false,
            stack: Vec::new(),
            numbers: 0,
            visits_left,
        }
    }

    /// The next difference. After an error of the source the same call goes on; after another
    /// error the walk is over.
    pub fn next<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<Change>, TreeError<S::Error>> {
        if !self.started {
            let dir = std::mem::take(&mut self.below);
            let lists = tree::list(source, self.old, &dir)
                .and_then(|old| Ok((old, tree::list(source, self.new, &dir)?)));
            let (old, new) = match lists {
                Ok(lists) => lists,
                Err(error) => {
                    self.below = dir;
                    return Err(error);
                }
            };
            self.started = true;
            self.enter(dir, old, new)?;
        }
        while !self.stack.is_empty() {
            if let Some(change) = self.advance(source)? {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    fn enter<E>(
        &mut self,
        dir: String,
        mut old: Vec<u64>,
        mut new: Vec<u64>,
    ) -> Result<(), TreeError<E>> {
        drop_common(&mut old, &mut new);
        self.numbers += old.len() + new.len();
        if self.numbers > WALK_NUMBERS {
            self.stack.clear();
            return Err(TreeError::Malformed(self.new));
        }
        let depth = parts(&dir).count();
        let stage = Stage::Old { names: BTreeMap::new() };
        self.stack.push(Frame { dir, depth, new, old, stage });
        Ok(())
    }

    /// One node's worth of progress.
    fn advance<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<Change>, TreeError<S::Error>> {
        let Some(frame) = self.stack.last_mut() else { return Ok(None) };
        let step = match &mut frame.stage {
            Stage::Old { names } => match frame.old.last().copied() {
                Some(seq) => {
                    // What was malformed in the old version was never applied.
                    if let Some(node) = read(source, seq, &frame.dir, frame.depth)? {
                        names.insert(hash(node.part(frame.depth)), seq);
                    }
                    frame.old.pop();
                    self.numbers -= 1;
                    Step::Visited
                }
                None if names.is_empty() => {
                    frame.stage = Stage::New { pairs: BTreeMap::new() };
                    Step::Visited
                }
                None => {
                    let names = std::mem::take(names);
                    frame.stage = Stage::Match { names, pairs: BTreeMap::new(), at: 0 };
                    Step::Visited
                }
            },
            Stage::Match { names, pairs, at } => match frame.new.get(*at).copied() {
                Some(seq) if !names.is_empty() => {
                    if let Some(node) = read(source, seq, &frame.dir, frame.depth)?
                        && let Some(old) = names.remove(&hash(node.part(frame.depth)))
                    {
                        pairs.insert(seq, old);
                    }
                    *at += 1;
                    Step::Visited
                }
                _ => {
                    let gone = std::mem::take(names).into_values().collect();
                    frame.stage = Stage::Gone { gone, pairs: std::mem::take(pairs) };
                    Step::Visited
                }
            },
            Stage::Gone { gone, pairs } => match gone.last() {
                Some(&seq) => {
                    let old = read(source, seq, &frame.dir, frame.depth)?;
                    gone.pop();
                    let part = old.as_ref().and_then(|o| o.part(frame.depth).map(str::to_owned));
                    Step::Pair { part, old, new: None, seq: 0 }
                }
                None => {
                    frame.stage = Stage::New { pairs: std::mem::take(pairs) };
                    Step::Visited
                }
            },
            Stage::New { pairs } => match frame.new.last().copied() {
                Some(seq) => {
                    let new = read(source, seq, &frame.dir, frame.depth)?;
                    let old = match pairs.get(&seq) {
                        Some(&old) => read(source, old, &frame.dir, frame.depth)?,
                        None => None,
                    }
                    .filter(|old| {
                        new.as_ref().is_none_or(|n| n.part(frame.depth) == old.part(frame.depth))
                    });
                    pairs.remove(&seq);
                    frame.new.pop();
                    self.numbers -= 1;
                    let part = new.as_ref().and_then(|n| n.part(frame.depth).map(str::to_owned));
                    Step::Pair { part, old, new, seq }
                }
                None => Step::Leave,
            },
        };
        self.take(step)
    }

    fn take<E>(&mut self, step: Step) -> Result<Option<Change>, TreeError<E>> {
        self.visits_left = self.visits_left.saturating_sub(1);
        if self.visits_left == 0 {
            self.stack.clear();
            return Err(TreeError::Malformed(self.new));
        }
        match step {
            Step::Visited => Ok(None),
            Step::Leave => {
                self.stack.pop();
                Ok(None)
            }
            Step::Pair { old: None, new: None, seq, .. } => {
                Ok((seq != 0).then_some(Change::Malformed { seq }))
            }
            Step::Pair { part: None, old, new, .. } => Ok(entry(old, new)),
            Step::Pair { part: Some(part), old, new, .. } => {
                let Some(frame) = self.stack.last() else { return Ok(None) };
                let depth = frame.depth + 1;
                if let (None, Some(node)) = (&old, &new)
                    && node.depth() == depth
                    && node.list(depth).eq([node.seq])
                {
                    // A file that is no directory: no need to read it again below.
                    return Ok(entry(None, new));
                }
                let dir = format!("{}/{part}", frame.dir);
                let numbers = |node: Option<TreeNode>| {
                    node.map_or_else(Vec::new, |node| node.list(depth).collect())
                };
                self.enter(dir, numbers(old), numbers(new))?;
                Ok(None)
            }
        }
    }
}

enum Step {
    Visited,
    Leave,
    /// A child (or the directory's own entry) in both versions.
    Pair {
        part: Option<String>,
        old: Option<TreeNode>,
        new: Option<TreeNode>,
        seq: u64,
    },
}

/// The change of an entry that stands, or stood, under one name.
fn entry(old: Option<TreeNode>, new: Option<TreeNode>) -> Option<Change> {
    let old = old.filter(|node| node.value.is_some());
    match (old, new.filter(|node| node.value.is_some())) {
        (old, Some(node)) => Some(Change::Put { node, old: old.map(|old| old.seq) }),
        (Some(old), None) => Some(Change::Delete { name: old.name, old: old.seq }),
        (None, None) => None,
    }
}

/// A node that a list of directory `dir` names; `None` if it is malformed or stands elsewhere.
fn read<S: NodeSource>(
    source: &mut S,
    seq: u64,
    dir: &str,
    depth: usize,
) -> Result<Option<TreeNode>, TreeError<S::Error>> {
    match tree::node(source, seq) {
        Ok(node) => Ok((tree::common(&node.name, dir) == depth).then_some(node)),
        Err(TreeError::Malformed(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what both ascending lists have, and turns them round.
fn drop_common(old: &mut Vec<u64>, new: &mut Vec<u64>) {
    let (mut i, mut j) = (0, 0);
    let (mut only_old, mut only_new) = (Vec::new(), Vec::new());
    while i < old.len() && j < new.len() {
        match old[i].cmp(&new[j]) {
            std::cmp::Ordering::Less => {
                only_old.push(old[i]);
                i += 1;
            }
            std::cmp::Ordering::Greater => {
                only_new.push(new[j]);
                j += 1;
            }
            std::cmp::Ordering::Equal => {
                i += 1;
                j += 1;
            }
        }
    }
    only_old.extend_from_slice(&old[i..]);
    only_new.extend_from_slice(&new[j..]);
    only_old.reverse();
    only_new.reverse();
    (*old, *new) = (only_old, only_new);
}
