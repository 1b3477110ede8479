//! Writing a hyperbee (hyper/SPEC d.2): puts and deletes as the JavaScript writer makes them, split and
//! merged alike, so that both give the same blocks. One [`Batch`] is one append to the core.

mod change;
mod load;

use std::rc::Rc;

use super::bee::{Block, Blocks, Failed, Level};
use super::kept::Kept;
use crate::limits::HYPER_BEE_BATCH;

/// Keys of a node at least, but for the root.
const MIN_KEYS: usize = 4;
/// A node of so many keys is split.
const SPLIT_KEYS: usize = 2 * MIN_KEYS + 1;

type NodeId = usize;
type ChildId = usize;

/// A node of the tree in memory.
#[derive(Default)]
struct Node {
    keys: Vec<Key>,
    children: Vec<ChildId>,
    /// To be written with the next block.
    changed: bool,
}

#[derive(Clone)]
struct Key {
    /// The block that it was put with.
    seq: u64,
    /// Once it was needed.
    bytes: Option<Rc<[u8]>>,
}

/// A reference to a node, on disk until it was needed.
struct Child {
    seq: u64,
    number: u64,
    node: Option<NodeId>,
}

/// A put or delete that waits for the append.
struct Pending {
    seq: u64,
    key: Rc<[u8]>,
    value: Option<Vec<u8>>,
    /// The nodes written with it.
    index: Vec<Option<ChildId>>,
}

/// Puts and deletes that become one append. After an error of the source the same call can be made
/// again: nothing is changed before everything is loaded.
pub struct Batch {
    /// Blocks of the core, the header among them.
    length: u64,
    root: Option<NodeId>,
    nodes: Vec<Node>,
    children: Vec<Child>,
    pending: Vec<Pending>,
    kept: Kept,
}

impl Batch {
    /// Upon a core of `length` blocks, of which the first is the header.
    pub fn new(length: u64) -> Batch {
        Batch {
            length: length.max(1),
            root: None,
            nodes: Vec::new(),
            children: Vec::new(),
            pending: Vec::new(),
            kept: Kept::default(),
        }
    }

    /// Puts and deletes so far.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// No more fit: append first.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= HYPER_BEE_BATCH
    }

    /// Sets a key, also to what it is already.
    pub fn put<B: Blocks>(
        &mut self,
        source: &mut B,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Failed<B::Error>> {
        let root = self.load_root(source)?;
        let Way { path, found } = self.way(source, root, key)?;
        if found.is_none() {
            self.load_for_split(source, &path)?;
        }
        let seq = self.length + self.pending.len() as u64;
        let key: Rc<[u8]> = key.into();
        let own = Key { seq, bytes: Some(key.clone()) };
        for &node in &path {
            self.nodes[node].changed = true;
        }
        let root = match (found, path.last()) {
            (Some(at), Some(&node)) => {
                self.nodes[node].keys[at] = own;
                root
            }
            (_, _) => self.insert(path, own),
        };
        self.append(root, key, value);
        Ok(())
    }

    /// Deletes a key. False: it was not there, and no block says so.
    pub fn delete<B: Blocks>(
        &mut self,
        source: &mut B,
        key: &[u8],
    ) -> Result<bool, Failed<B::Error>> {
        let root = self.load_root(source)?;
        let Way { mut path, found } = self.way(source, root, key)?;
        let (Some(at), Some(&node)) = (found, path.last()) else { return Ok(false) };
        let below = match self.nodes[node].children.is_empty() {
            true => None,
            false => Some(self.nearest_leaf(source, node, at)?),
        };
        if let Some((way, _)) = &below {
            path.extend(way);
        }
        self.load_for_merge(source, &path)?;
        match below {
            Some((_, on_the_right)) => {
                let leaf = path.last().copied().unwrap_or(node);
                let keys = &mut self.nodes[leaf].keys;
                let taken = if on_the_right { Some(keys.remove(0)) } else { keys.pop() };
                if let Some(taken) = taken {
                    self.nodes[node].keys[at] = taken;
                }
            }
            None => drop(self.nodes[node].keys.remove(at)),
        }
        for &node in &path {
            self.nodes[node].changed = true;
        }
        let root = self.rebalance(path);
        self.append(root, key.into(), None);
        Ok(true)
    }

    /// The blocks to append, in order, all at once.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        let mut blocks = Vec::with_capacity(self.pending.len());
        let last = self.pending.len().saturating_sub(1);
        for (n, mut pending) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if n < last {
                self.drop_rewritten(&mut pending);
            }
            let levels = pending.index.iter().flatten().map(|&child| self.level(child));
            let mut block = Vec::new();
            Block::encode(&pending.key, pending.value.as_deref(), levels, &mut block);
            blocks.push(block);
        }
        blocks
    }

    /// Of a block that is not the batch's last only those nodes are written that no later one has
    /// written again; the root always is. They change places as in JavaScript.
    fn drop_rewritten(&mut self, pending: &mut Pending) {
        let index = &mut pending.index;
        if let Some(root) = index.first_mut() {
            *root = None;
        }
        let mut at = 0;
        while at < index.len() {
            match index[at] {
                Some(child) if self.children[child].seq == pending.seq => {
                    self.children[child].number = at as u64;
                    at += 1;
                }
                _ => drop(index.swap_remove(at)),
            }
        }
    }

    fn level(&self, child: ChildId) -> Level {
        let Some(node) = self.children[child].node else { return Level::default() };
        let pointer = |&child: &ChildId| (self.children[child].seq, self.children[child].number);
        Level {
            keys: self.nodes[node].keys.iter().map(|key| key.seq).collect(),
            children: self.nodes[node].children.iter().map(pointer).collect(),
        }
    }

    fn append(&mut self, root: NodeId, key: Rc<[u8]>, value: Option<&[u8]>) {
        let seq = self.length + self.pending.len() as u64;
        let mut index = Vec::new();
        self.number(root, seq, &mut index);
        let child = self.child(Child { seq, number: 0, node: Some(root) });
        index[0] = Some(child);
        self.root = Some(root);
        self.pending.push(Pending { seq, key, value: value.map(<[u8]>::to_vec), index });
    }

    /// Numbers the changed nodes, parents before children. As deep as the tree, which is bounded.
    fn number(&mut self, node: NodeId, seq: u64, index: &mut Vec<Option<ChildId>>) -> usize {
        let own = index.len();
        index.push(None);
        self.nodes[node].changed = false;
        for child in self.nodes[node].children.clone() {
            let Some(below) = self.children[child].node else { continue };
            if self.nodes[below].changed {
                self.children[child].seq = seq;
                let number = self.number(below, seq, index);
                self.children[child].number = number as u64;
                index[number] = Some(child);
            }
        }
        own
    }

    fn child(&mut self, child: Child) -> ChildId {
        self.children.push(child);
        self.children.len() - 1
    }

    fn node(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

/// The nodes from the root down, and the key's place in the last of them if it is there.
struct Way {
    path: Vec<NodeId>,
    found: Option<usize>,
}
