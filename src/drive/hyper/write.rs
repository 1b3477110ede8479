//! Writing a hyperbee (hyper/SPEC d.2): puts and deletes as the JavaScript writer makes them, split and
//! merged alike, so that both give the same blocks. One [`Batch`] is one append to the core.

use std::rc::Rc;

use super::bee::{Block, Blocks, Failed, Level};
use crate::limits::{HYPER_BEE_BATCH, HYPER_BEE_DEPTH};

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

    // ── Loading ─────────────────────────────────────────────────────────────────────────────────

    fn load_root<B: Blocks>(&mut self, source: &mut B) -> Result<NodeId, Failed<B::Error>> {
        let root = match self.root {
            Some(root) => root,
            None if self.length < 2 => self.node(Node::default()),
            None => self.load(source, self.length - 1, 0)?,
        };
        self.root = Some(root);
        Ok(root)
    }

    fn load<B: Blocks>(
        &mut self,
        source: &mut B,
        seq: u64,
        number: u64,
    ) -> Result<NodeId, Failed<B::Error>> {
        if seq == 0 || seq >= self.length {
            return Err(Failed::Damaged("a node that points ahead"));
        }
        let block = source.block(seq).map_err(Failed::Source)?;
        let Level { keys, children } = block.level(number)?;
        if keys.len() >= SPLIT_KEYS || keys.iter().any(|&key| key == 0 || key > seq) {
            return Err(Failed::Damaged("a node that no writer makes"));
        }
        let own: Rc<[u8]> = block.key.into();
        let key = |key: u64| Key { seq: key, bytes: (key == seq).then(|| own.clone()) };
        let keys = keys.into_iter().map(key).collect();
        let children = children
            .into_iter()
            .map(|(seq, number)| self.child(Child { seq, number, node: None }))
            .collect();
        Ok(self.node(Node { keys, children, changed: false }))
    }

    fn child_node<B: Blocks>(
        &mut self,
        source: &mut B,
        node: NodeId,
        at: usize,
    ) -> Result<NodeId, Failed<B::Error>> {
        let id = self.nodes[node].children[at];
        let Child { seq, number, node } = self.children[id];
        if let Some(node) = node {
            return Ok(node);
        }
        let node = self.load(source, seq, number)?;
        self.children[id].node = Some(node);
        Ok(node)
    }

    fn key<B: Blocks>(
        &mut self,
        source: &mut B,
        node: NodeId,
        at: usize,
    ) -> Result<Rc<[u8]>, Failed<B::Error>> {
        let key = &mut self.nodes[node].keys[at];
        if let Some(bytes) = &key.bytes {
            return Ok(bytes.clone());
        }
        let bytes: Rc<[u8]> = source.block(key.seq).map_err(Failed::Source)?.key.into();
        Ok(key.bytes.insert(bytes).clone())
    }

    /// The nodes from the root to the one where the key is, or to the leaf where it would be.
    fn way<B: Blocks>(
        &mut self,
        source: &mut B,
        root: NodeId,
        key: &[u8],
    ) -> Result<Way, Failed<B::Error>> {
        let mut path = vec![root];
        let mut node = root;
        loop {
            let (mut low, mut high) = (0, self.nodes[node].keys.len());
            while low < high {
                let middle = (low + high) / 2;
                match key.cmp(&self.key(source, node, middle)?) {
                    std::cmp::Ordering::Equal => return Ok(Way { path, found: Some(middle) }),
                    std::cmp::Ordering::Less => high = middle,
                    std::cmp::Ordering::Greater => low = middle + 1,
                }
            }
            if self.nodes[node].children.is_empty() {
                return Ok(Way { path, found: None });
            }
            if path.len() == HYPER_BEE_DEPTH {
                return Err(Failed::Damaged("the tree is too deep"));
            }
            node = self.child_node(source, node, low)?;
            path.push(node);
        }
    }

    /// What full nodes need on the way up: all their keys, and those of the node that takes the middle.
    fn load_for_split<B: Blocks>(
        &mut self,
        source: &mut B,
        path: &[NodeId],
    ) -> Result<(), Failed<B::Error>> {
        for &node in path.iter().rev() {
            let keys = self.nodes[node].keys.len();
            for at in 0..keys {
                self.key(source, node, at)?;
            }
            if keys + 1 < SPLIT_KEYS {
                break;
            }
        }
        Ok(())
    }

    /// The neighbours of nodes that will have too few keys.
    fn load_for_merge<B: Blocks>(
        &mut self,
        source: &mut B,
        path: &[NodeId],
    ) -> Result<(), Failed<B::Error>> {
        for pair in path.windows(2).rev() {
            let [parent, node] = *pair else { continue };
            if self.nodes[node].keys.len() > MIN_KEYS {
                break;
            }
            let at = self.place(parent, node);
            for neighbour in [at.checked_sub(1), Some(at + 1)].into_iter().flatten() {
                if neighbour < self.nodes[parent].children.len() {
                    self.child_node(source, parent, neighbour)?;
                }
            }
        }
        Ok(())
    }

    /// The way below a node to the leaf whose key takes the place of key `at`: the side whose leaf has
    /// more, the left one if both have as many. Whether it is the right one.
    fn nearest_leaf<B: Blocks>(
        &mut self,
        source: &mut B,
        node: NodeId,
        at: usize,
    ) -> Result<(Vec<NodeId>, bool), Failed<B::Error>> {
        let mut ways = [Vec::new(), Vec::new()];
        for (right, way) in [false, true].into_iter().zip(&mut ways) {
            let mut below = self.child_node(source, node, at + usize::from(right))?;
            way.push(below);
            while !self.nodes[below].children.is_empty() {
                if way.len() == HYPER_BEE_DEPTH {
                    return Err(Failed::Damaged("the tree is too deep"));
                }
                let last = self.nodes[below].children.len() - 1;
                below = self.child_node(source, below, if right { 0 } else { last })?;
                way.push(below);
            }
            if self.nodes[below].keys.is_empty() {
                return Err(Failed::Damaged("an empty leaf"));
            }
        }
        let [left, right] = ways;
        let keys = |way: &[NodeId]| way.last().map_or(0, |&leaf| self.nodes[leaf].keys.len());
        Ok(if keys(&left) < keys(&right) { (right, true) } else { (left, false) })
    }

    // ── Changing, with everything loaded ────────────────────────────────────────────────────────

    /// Puts a key into the leaf at the end of the path and splits upwards; the root then.
    fn insert(&mut self, mut path: Vec<NodeId>, key: Key) -> NodeId {
        let root = path.first().copied();
        let (mut key, mut beside) = (key, None);
        while let Some(node) = path.pop() {
            let at = self.nodes[node].keys.partition_point(|own| own.bytes < key.bytes);
            self.nodes[node].keys.insert(at, key);
            if let Some(right) = beside {
                let child = self.child(Child { seq: 0, number: 0, node: Some(right) });
                self.nodes[node].children.insert(at + 1, child);
            }
            self.nodes[node].changed = true;
            if self.nodes[node].keys.len() < SPLIT_KEYS {
                return root.unwrap_or(node);
            }
            let (middle, right) = self.split(node);
            if path.is_empty() {
                let children = [node, right]
                    .map(|node| self.child(Child { seq: 0, number: 0, node: Some(node) }));
                return self.node(Node {
                    keys: vec![middle],
                    children: children.to_vec(),
                    changed: true,
                });
            }
            (key, beside) = (middle, Some(right));
        }
        root.unwrap_or_default()
    }

    fn split(&mut self, node: NodeId) -> (Key, NodeId) {
        let left = &mut self.nodes[node];
        let half = left.keys.len() / 2;
        let keys = left.keys.split_off(left.keys.len() - half);
        let middle = left.keys.remove(left.keys.len() - 1);
        let children = match left.children.len() {
            0 => Vec::new(),
            n => left.children.split_off(n - half - 1),
        };
        left.changed = true;
        (middle, self.node(Node { keys, children, changed: true }))
    }

    /// Which child of `parent` a node is.
    fn place(&self, parent: NodeId, node: NodeId) -> usize {
        let is = |&child: &ChildId| self.children[child].node == Some(node);
        self.nodes[parent].children.iter().position(is).unwrap_or(0)
    }

    /// Fills nodes with too few keys from a neighbour, the left one first, or joins them; the root
    /// then.
    fn rebalance(&mut self, mut path: Vec<NodeId>) -> NodeId {
        let root = path.first().copied().unwrap_or_default();
        while let [.., parent, node] = path[..] {
            path.pop();
            if self.nodes[node].keys.len() >= MIN_KEYS {
                return root;
            }
            let at = self.place(parent, node);
            let neighbour = |at: Option<usize>| {
                let child = self.nodes[parent].children.get(at?)?;
                self.children[*child].node
            };
            let (left, right) = (neighbour(at.checked_sub(1)), neighbour(Some(at + 1)));
            if let Some(left) = left.filter(|&left| self.nodes[left].keys.len() > MIN_KEYS) {
                self.borrow_left(parent, at, left, node);
                return root;
            }
            if let Some(right) = right.filter(|&right| self.nodes[right].keys.len() > MIN_KEYS) {
                self.borrow_right(parent, at, node, right);
                return root;
            }
            match (left, right) {
                (Some(left), _) => self.join(parent, at - 1, left, node),
                (None, Some(right)) => self.join(parent, at, node, right),
                // A node alone below its parent, which no writer makes.
                (None, None) => return root,
            }
        }
        let Node { keys, children, .. } = &self.nodes[root];
        match (keys.is_empty(), children.first()) {
            (true, Some(&only)) => self.children[only].node.unwrap_or(root),
            _ => root,
        }
    }

    fn borrow_left(&mut self, parent: NodeId, at: usize, left: NodeId, node: NodeId) {
        let child = self.nodes[left].children.pop();
        let Some(key) = self.nodes[left].keys.pop() else { return };
        self.nodes[left].changed = true;
        let down = std::mem::replace(&mut self.nodes[parent].keys[at - 1], key);
        self.nodes[node].keys.insert(0, down);
        if let Some(child) = child {
            self.nodes[node].children.insert(0, child);
        }
    }

    fn borrow_right(&mut self, parent: NodeId, at: usize, node: NodeId, right: NodeId) {
        let Node { keys, children, changed } = &mut self.nodes[right];
        *changed = true;
        let key = keys.remove(0);
        let child = (!children.is_empty()).then(|| children.remove(0));
        let down = std::mem::replace(&mut self.nodes[parent].keys[at], key);
        self.nodes[node].keys.push(down);
        self.nodes[node].children.extend(child);
    }

    /// Joins two neighbours and the key between them, which is the parent's key `at`.
    fn join(&mut self, parent: NodeId, at: usize, left: NodeId, right: NodeId) {
        let Node { keys, children, .. } = std::mem::take(&mut self.nodes[right]);
        let between = self.nodes[parent].keys.remove(at);
        let freed = self.nodes[parent].children.remove(at + 1);
        self.children[freed].seq = 0;
        self.nodes[parent].changed = true;
        let left = &mut self.nodes[left];
        left.changed = true;
        left.keys.push(between);
        left.keys.extend(keys);
        left.children.extend(children);
    }
}

/// The nodes from the root down, and the key's place in the last of them if it is there.
struct Way {
    path: Vec<NodeId>,
    found: Option<usize>,
}
