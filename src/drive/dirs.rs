//! The writer's memory of a drive's directories. Each node lists its whole directories, so putting
//! ten thousand names into one directory by look-ups would read fifty million nodes; here the
//! members of the directories last used are kept as (number, hash of the child's name).

use std::collections::BTreeMap;

use super::tree::{self, NodeSource, TreeError, TreeNode, encode, parts};
use crate::few;
use crate::limits::{DRIVE_LIST_NAMES, TREE_CACHE_NUMBERS};

/// Directories of the newest version. Every call may be repeated after an error of the source and
/// goes on where it stopped.
#[derive(Debug)]
pub struct Dirs {
    /// The newest node; 0 in an empty drive.
    head: u64,
    known: BTreeMap<String, Box<Members>>,
    /// Members in `known`, all directories together.
    numbers: usize,
    uses: u64,
    loading: Option<Loading>,
}

#[derive(Debug, Default)]
struct Members {
    /// Ascending by number. The hash is that of the child's name, 0 for the entry of the
    /// directory itself.
    list: Vec<(u64, u64)>,
    used: u64,
}

#[derive(Debug)]
struct Loading {
    dir: String,
    numbers: Vec<u64>,
    members: Members,
}

/// Why an entry cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError<E> {
    Tree(TreeError<E>),
    /// A directory on the way has as many names as it can.
    DirectoryFull,
}

impl<E> From<TreeError<E>> for PutError<E> {
    fn from(error: TreeError<E>) -> Self {
        PutError::Tree(error)
    }
}

impl Dirs {
    pub fn new(head: u64) -> Dirs {
        Dirs { head, known: BTreeMap::new(), numbers: 0, uses: 0, loading: None }
    }

    /// The newest node, which is the drive's version.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Members kept in memory.
    pub fn numbers(&self) -> usize {
        self.numbers
    }

    /// The entry of `name`.
    pub fn get<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
    ) -> Result<Option<TreeNode>, TreeError<S::Error>> {
        let depth = parts(name).count();
        let (dir, last) = split(name);
        let Some(seq) = self.child(source, dir, depth - usize::from(depth > 0), Some(last))? else {
            return Ok(None);
        };
        let node = tree::node(source, seq)?;
        if node.depth() == depth {
            return Ok(node.value.is_some().then_some(node));
        }
        // The newest node under the name is deeper: the name is a directory, perhaps an entry too.
        let Some(seq) = self.child(source, name, depth, None)? else { return Ok(None) };
        let node = tree::node(source, seq)?;
        Ok(node.value.is_some().then_some(node))
    }

    /// Whether anything at all stands below `dir`, or is its own entry.
    pub fn has_members<S: NodeSource>(
        &mut self,
        source: &mut S,
        dir: &str,
    ) -> Result<bool, TreeError<S::Error>> {
        self.load(source, dir)?;
        Ok(self.members(dir).is_some_and(|m| !m.list.is_empty()))
    }

    /// Whether anything stands below `name` as a directory.
    pub fn has_children<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
    ) -> Result<bool, TreeError<S::Error>> {
        self.load(source, name)?;
        Ok(self.members(name).is_some_and(|m| m.list.iter().any(|m| m.1 != 0)))
    }

    /// The block that puts `value` under `name`, which becomes node `head + 1`.
    pub fn put<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
        value: &[u8],
    ) -> Result<Vec<u8>, PutError<S::Error>> {
        let seq = self.head + 1;
        let others = self.others(source, name)?;
        let mut lists = Vec::with_capacity(others.len());
        for (dir, part, gone) in &others {
            let list = &self.members(dir).map_or(&[][..], |m| &m.list);
            if list.len() >= DRIVE_LIST_NAMES && gone.is_none() {
                return Err(PutError::DirectoryFull);
            }
            let mut numbers = Vec::with_capacity(list.len() + 1);
            numbers.extend(list.iter().map(|m| m.0).filter(|&n| Some(n) != *gone));
            numbers.push(seq);
            lists.push((numbers, *part));
        }
        let lists_only: Vec<&[u64]> = lists.iter().map(|(list, _)| list.as_slice()).collect();
        let block = encode(name, Some(value), &lists_only, true);
        for (dir, part, gone) in &others {
            self.replace(dir, *gone, Some((seq, hash(*part))));
        }
        self.head = seq;
        self.loading = None;
        self.shrink(name);
        Ok(block)
    }

    /// The block that deletes `name`, which becomes node `head + 1`.
    pub fn delete<S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &str,
    ) -> Result<Vec<u8>, PutError<S::Error>> {
        let seq = self.head + 1;
        let others = self.others(source, name)?;
        let mut lists: Vec<Vec<u64>> = others
            .iter()
            .map(|(dir, _, gone)| {
                let list = self.members(dir).map_or(&[][..], |m| &m.list);
                list.iter().map(|m| m.0).filter(|&n| Some(n) != *gone).collect()
            })
            .collect();
        let keep = lists.iter().rposition(|list| !list.is_empty()).unwrap_or(0);
        lists.truncate(keep + 1);
        lists[..keep].iter_mut().for_each(|list| list.push(seq));
        let block = encode(name, None, &lists, false);
        for (depth, (dir, part, gone)) in others.iter().enumerate() {
            let own = (depth < keep).then_some((seq, hash(*part)));
            self.replace(dir, *gone, own);
        }
        self.head = seq;
        self.loading = None;
        self.shrink(name);
        Ok(block)
    }

    /// For each directory on the way to `name`, and `name` as a directory: its name, the component
    /// in it, and the member that leads there.
    #[allow(clippy::type_complexity)]
    fn others<'n, S: NodeSource>(
        &mut self,
        source: &mut S,
        name: &'n str,
    ) -> Result<Vec<(&'n str, Option<&'n str>, Option<u64>)>, TreeError<S::Error>> {
        let mut out = Vec::new();
        for (depth, (dir, part)) in ways(name).enumerate() {
            let gone = self.child(source, dir, depth, part)?;
            out.push((dir, part, gone));
        }
        Ok(out)
    }

    /// The member of `dir`, which has `depth` components, that leads to its child `part`.
    fn child<S: NodeSource>(
        &mut self,
        source: &mut S,
        dir: &str,
        depth: usize,
        part: Option<&str>,
    ) -> Result<Option<u64>, TreeError<S::Error>> {
        self.load(source, dir)?;
        let wanted = hash(part);
        let Some(members) = self.members(dir) else { return Ok(None) };
        for &(seq, _) in members.list.iter().filter(|m| m.1 == wanted) {
            if tree::leaf(source, seq)?.part(depth) == part {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// Makes the members of `dir` known.
    fn load<S: NodeSource>(
        &mut self,
        source: &mut S,
        dir: &str,
    ) -> Result<(), TreeError<S::Error>> {
        self.uses += 1;
        if let Some(members) = self.known.get_mut(dir) {
            members.used = self.uses;
            return Ok(());
        }
        if self.loading.as_ref().is_none_or(|loading| loading.dir != dir) {
            let numbers = self.numbers_of(source, dir)?;
            let (dir, members) = (dir.to_owned(), Members::default());
            self.loading = Some(Loading { dir, numbers, members });
        }
        let depth = parts(dir).count();
        if let Some(loading) = &mut self.loading {
            while let Some(&seq) = loading.numbers.get(loading.members.list.len()) {
                let part_hash = hash(tree::leaf(source, seq)?.part(depth));
                loading.members.list.push((seq, part_hash));
            }
        }
        if let Some(Loading { dir, mut members, .. }) = self.loading.take() {
            members.used = self.uses;
            self.numbers += members.list.len();
            self.known.insert(dir, Box::new(members));
        }
        Ok(())
    }

    /// The numbers of a directory's members, by way of its parent where that is known.
    fn numbers_of<S: NodeSource>(
        &mut self,
        source: &mut S,
        dir: &str,
    ) -> Result<Vec<u64>, TreeError<S::Error>> {
        let (parent, last) = split(dir);
        let depth = parts(dir).count();
        if depth == 0 || !self.known.contains_key(parent) {
            return tree::list(source, self.head, dir);
        }
        match self.child(source, parent, depth - 1, Some(last))? {
            Some(seq) => Ok(tree::node(source, seq)?.list(depth).collect()),
            None => Ok(Vec::new()),
        }
    }

    fn members(&self, dir: &str) -> Option<&Members> {
        self.known.get(dir).map(|members| &**members)
    }

    fn replace(&mut self, dir: &str, gone: Option<u64>, new: Option<(u64, u64)>) {
        let Some(members) = self.known.get_mut(dir) else { return };
        let before = members.list.len();
        if let Some(at) = gone.and_then(|n| members.list.binary_search_by_key(&n, |m| m.0).ok()) {
            members.list.remove(at);
        }
        members.list.extend(new);
        self.numbers = self.numbers + members.list.len() - before;
    }

    /// Forgets what was not used for longest, but nothing on the way to `name`. A name that is no
    /// directory is forgotten at once.
    fn shrink(&mut self, name: &str) {
        if self.members(name).is_some_and(|m| m.list.iter().all(|m| m.1 == 0)) {
            self.forget(name);
        }
        // A directory counts as some members itself, so that empty ones have a bound too.
        if self.numbers + self.known.len() * 8 <= TREE_CACHE_NUMBERS {
            return;
        }
        let mut by_use: Vec<(u64, &String)> = self
            .known
            .iter()
            .filter(|(dir, _)| !ways(name).any(|(way, _)| way == dir.as_str()))
            .map(|(dir, members)| (members.used, dir))
            .collect();
        few::sort(&mut by_use, |a, b| a < b);
        let half = by_use.len().div_ceil(2);
        let oldest: Vec<String> = by_use[..half].iter().map(|(_, dir)| (*dir).clone()).collect();
        oldest.iter().for_each(|dir| self.forget(dir));
    }

    fn forget(&mut self, dir: &str) {
        if let Some(members) = self.known.remove(dir) {
            self.numbers -= members.list.len();
        }
    }
}

/// A name's directory (`""` is the root) and last component.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// Each directory on the way to a name and the component in it, the name itself last.
fn ways(name: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut at = 0;
    parts(name)
        .map(move |part| {
            let dir = &name[..at];
            at += 1 + part.len();
            (dir, Some(part))
        })
        .chain([(name, None)])
}

/// FNV-1a; equal hashes are compared by name.
pub(super) fn hash(part: Option<&str>) -> u64 {
    let Some(part) = part else { return 0 };
    part.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
