//! The append-only tree of names in a metadata feed (dat/SPEC §9.1–9.3). Every node knows, for
//! each directory above its name, the newest node under each child of that directory.
//!
//! Nodes come from strangers: lists that do not ascend or point forward are refused when they are
//! decoded, look-ups only ever go to smaller numbers, and nothing here recurses.

use crate::codec::proto;
use crate::codec::varint;
use crate::limits::{DRIVE_DEPTH, DRIVE_LIST_NAMES, DRIVE_NAME_BYTES, MAX_SAFE_INTEGER};

/// Where the nodes are.
pub trait NodeSource {
    type Error;
    /// Block `seq` of the metadata feed into `out`, which is empty.
    fn block(&mut self, seq: u64, out: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// Why an answer could not be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError<E> {
    /// The source failed; what was asked can be asked again.
    #[error("{0}")]
    Source(E),
    #[error("entry {0} of the metadata feed is malformed")]
    Malformed(u64),
}

/// An entry: a name, what is said of it, and the lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeNode {
    pub seq: u64,
    /// Absolute, `/a/b`.
    pub name: String,
    /// `None` marks a deletion.
    pub value: Option<Vec<u8>>,
    paths: Vec<u8>,
}

/// A node without its lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub name: String,
    pub value: Option<Vec<u8>>,
}

impl Leaf {
    /// Reads a block of a metadata feed for its name and value alone.
    pub fn decode(block: &[u8]) -> Option<Leaf> {
        let (name, value, _) = fields(block)?;
        Some(Leaf { name: name.to_owned(), value: value.map(<[u8]>::to_vec) })
    }

    /// Component `depth` of the name; `None` behind its end.
    pub fn part(&self, depth: usize) -> Option<&str> {
        parts(&self.name).nth(depth)
    }
}

/// Name, value and encoded lists of a node; the name is checked.
type Fields<'a> = (&'a str, Option<&'a [u8]>, &'a [u8]);

fn fields(block: &[u8]) -> Option<Fields<'_>> {
    let (mut name, mut value, mut paths) = (None, None, &[][..]);
    for field in proto::fields(block) {
        match field.ok()? {
            (1, v) => name = Some(v.bytes().ok()?),
            (2, v) => value = Some(v.bytes().ok()?),
            (3, v) => paths = v.bytes().ok()?,
            _ => {}
        }
    }
    let name = std::str::from_utf8(name?).ok()?;
    let hollow = parts(name).any(str::is_empty);
    let deep = parts(name).count() > DRIVE_DEPTH;
    (!hollow && !deep && name.len() <= DRIVE_NAME_BYTES).then_some((name, value, paths))
}

impl TreeNode {
    /// Reads block `seq` of a metadata feed and checks all its lists.
    pub fn decode(seq: u64, block: &[u8]) -> Option<TreeNode> {
        let (name, value, paths) = fields(block)?;
        check_paths(seq, parts(name).count(), paths)?;
        let (name, value) = (name.to_owned(), value.map(<[u8]>::to_vec));
        Some(TreeNode { seq, name, value, paths: paths.to_vec() })
    }

    /// Component `depth` of the name; `None` behind its end.
    pub fn part(&self, depth: usize) -> Option<&str> {
        parts(&self.name).nth(depth)
    }

    /// Components of the name.
    pub fn depth(&self) -> usize {
        parts(&self.name).count()
    }

    /// The list at `depth`, ascending: for each child of the directory made of this name's first
    /// `depth` components the newest node under it. Empty where the node has no such list.
    pub fn list(&self, depth: usize) -> List<'_> {
        let mut list = List { rest: &[], left: 0, last: 0, own: None };
        let Ok((head, n)) = varint::decode(&self.paths) else { return list };
        let own = (head & 1 == 1).then_some(self.seq);
        list.rest = &self.paths[n..];
        for _ in 0..=depth {
            while list.left > 0 {
                list.delta();
            }
            if list.rest.is_empty() {
                return list;
            }
            let (count, n) = varint::decode(list.rest).unwrap_or((0, list.rest.len()));
            list = List { rest: &list.rest[n..], left: count, last: 0, own: None };
        }
        list.own = own;
        list
    }
}

/// The numbers of one list. See [`TreeNode::list`].
#[derive(Clone, Debug)]
pub struct List<'a> {
    rest: &'a [u8],
    left: u64,
    last: u64,
    own: Option<u64>,
}

impl List<'_> {
    fn delta(&mut self) {
        let (delta, n) = varint::decode(self.rest).unwrap_or((0, self.rest.len()));
        self.rest = &self.rest[n..];
        self.last += delta;
        self.left = if self.rest.is_empty() { self.left.min(1) } else { self.left } - 1;
    }
}

impl Iterator for List<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.left == 0 {
            return self.own.take();
        }
        self.delta();
        Some(self.last)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.left as usize + usize::from(self.own.is_some());
        (n, Some(n))
    }
}

/// Checks encoded lists: complete, ascending, within their bounds, never beyond `seq`.
fn check_paths(seq: u64, depth: usize, paths: &[u8]) -> Option<()> {
    if paths.is_empty() {
        return Some(());
    }
    let mut rest = paths;
    let mut int = || -> Option<Option<u64>> {
        if rest.is_empty() {
            return Some(None);
        }
        let (n, used) = varint::decode(rest).ok()?;
        rest = &rest[used..];
        Some(Some(n))
    };
    let own = int()?? & 1;
    let mut lists = 0;
    while let Some(count) = int()? {
        lists += 1;
        if lists > depth + 1 || count > DRIVE_LIST_NAMES as u64 {
            return None;
        }
        let mut last = 0u64;
        for _ in 0..count {
            let delta = int()??;
            last = last.checked_add(delta)?;
            // Block 0 is no node, and with the own number left out it cannot stand in the list.
            if delta == 0 || last + own > seq || last > MAX_SAFE_INTEGER {
                return None;
            }
        }
    }
    Some(())
}

/// The components of a name. An empty name is the root, which has none.
pub fn parts(name: &str) -> impl Iterator<Item = &str> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let name = name.strip_suffix('/').unwrap_or(name);
    let whole = if name.is_empty() { None } else { Some(name.split('/')) };
    whole.into_iter().flatten()
}

/// How many leading components two names share.
pub fn common(a: &str, b: &str) -> usize {
    parts(a).zip(parts(b)).take_while(|(a, b)| a == b).count()
}

/// The encoded block of a node. `lists` ascend; with `own` each ends with the node's own number,
/// which is left out.
pub fn encode(name: &str, value: Option<&[u8]>, lists: &[impl AsRef<[u64]>], own: bool) -> Vec<u8> {
    let numbers: usize = lists.iter().map(|list| list.as_ref().len()).sum();
    let mut paths = Vec::with_capacity(numbers * 2 + lists.len() * 3 + 1);
    varint::encode(u64::from(own), &mut paths);
    for list in lists {
        let list = list.as_ref();
        let count = list.len().saturating_sub(usize::from(own));
        varint::encode(count as u64, &mut paths);
        let mut last = 0;
        for &seq in &list[..count] {
            varint::encode(seq - last, &mut paths);
            last = seq;
        }
    }
    let value_len = value.map_or(0, <[u8]>::len);
    let mut out = Vec::with_capacity(paths.len() + name.len() + value_len + 32);
    proto::put_bytes(1, name.as_bytes(), &mut out);
    if let Some(value) = value {
        proto::put_bytes(2, value, &mut out);
    }
    proto::put_bytes(3, &paths, &mut out);
    out
}

/// Reads and decodes one node.
pub fn node<S: NodeSource>(source: &mut S, seq: u64) -> Result<TreeNode, TreeError<S::Error>> {
    let mut block = Vec::new();
    source.block(seq, &mut block).map_err(TreeError::Source)?;
    TreeNode::decode(seq, &block).ok_or(TreeError::Malformed(seq))
}

/// Reads one node for its name and value alone: its lists may be long and are not checked.
pub fn leaf<S: NodeSource>(source: &mut S, seq: u64) -> Result<Leaf, TreeError<S::Error>> {
    let mut block = Vec::new();
    source.block(seq, &mut block).map_err(TreeError::Source)?;
    Leaf::decode(&block).ok_or(TreeError::Malformed(seq))
}

/// The entry of `name` in the version whose newest node is `head` (0: the empty drive).
pub fn get<S: NodeSource>(
    source: &mut S,
    head: u64,
    name: &str,
) -> Result<Option<TreeNode>, TreeError<S::Error>> {
    let Some(mut at) = head_node(source, head)? else { return Ok(None) };
    let depth = parts(name).count();
    loop {
        let shared = common(&at.name, name);
        if shared == depth && at.depth() == depth {
            return Ok(at.value.is_some().then_some(at));
        }
        match member(source, &at, shared, parts(name).nth(shared))? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
}

/// The newest node under each child of `dir` (and the entry of `dir` itself, if it has one) in
/// the version of `head`, ascending.
pub fn list<S: NodeSource>(
    source: &mut S,
    head: u64,
    dir: &str,
) -> Result<Vec<u64>, TreeError<S::Error>> {
    let Some(mut at) = head_node(source, head)? else { return Ok(Vec::new()) };
    let depth = parts(dir).count();
    loop {
        let shared = common(&at.name, dir);
        if shared == depth {
            return Ok(at.list(depth).collect());
        }
        match member(source, &at, shared, parts(dir).nth(shared))? {
            Some(next) => at = next,
            None => return Ok(Vec::new()),
        }
    }
}

fn head_node<S: NodeSource>(
    source: &mut S,
    head: u64,
) -> Result<Option<TreeNode>, TreeError<S::Error>> {
    if head == 0 { Ok(None) } else { node(source, head).map(Some) }
}

/// The member of a list, other than the node itself, whose component is `part`.
fn member<S: NodeSource>(
    source: &mut S,
    at: &TreeNode,
    depth: usize,
    part: Option<&str>,
) -> Result<Option<TreeNode>, TreeError<S::Error>> {
    let list: Vec<u64> = at.list(depth).filter(|&seq| seq < at.seq).collect();
    for &seq in list.iter().rev() {
        let node = node(source, seq)?;
        if common(&node.name, &at.name) >= depth && node.part(depth) == part {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

/// The lists of a node that puts `name`, the next after `head` (§9.3).
pub fn put_paths<S: NodeSource>(
    source: &mut S,
    head: u64,
    name: &str,
) -> Result<Vec<Vec<u64>>, TreeError<S::Error>> {
    let mut lists = others(source, head, name)?;
    lists.iter_mut().for_each(|list| list.push(head + 1));
    Ok(lists)
}

/// The lists of a node that deletes `name`, by the corrected rule (§9.3).
pub fn delete_paths<S: NodeSource>(
    source: &mut S,
    head: u64,
    name: &str,
) -> Result<Vec<Vec<u64>>, TreeError<S::Error>> {
    let mut lists = others(source, head, name)?;
    let keep = lists.iter().rposition(|list| !list.is_empty()).unwrap_or(0);
    lists.truncate(keep + 1);
    lists[..keep].iter_mut().for_each(|list| list.push(head + 1));
    Ok(lists)
}

/// For each directory on the way to `name`, and for `name` as a directory, its members that do
/// not lead to `name`.
fn others<S: NodeSource>(
    source: &mut S,
    head: u64,
    name: &str,
) -> Result<Vec<Vec<u64>>, TreeError<S::Error>> {
    let mut lists = Vec::new();
    let mut dir = String::new();
    for (depth, part) in parts(name).map(Some).chain([None]).enumerate() {
        let mut kept = Vec::new();
        for seq in list(source, head, &dir)? {
            if node(source, seq)?.part(depth) != part {
                kept.push(seq);
            }
        }
        lists.push(kept);
        dir.push('/');
        dir.push_str(part.unwrap_or_default());
    }
    Ok(lists)
}
