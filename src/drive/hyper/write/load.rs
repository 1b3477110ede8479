//! Bringing into memory what a put or a delete will change, all of it before anything is changed.

use std::rc::Rc;

use super::{Batch, Child, Key, MIN_KEYS, Node, NodeId, SPLIT_KEYS, Way};
use crate::drive::hyper::bee::{Blocks, Failed, Level};
use crate::limits::HYPER_BEE_DEPTH;

impl Batch {
    pub(super) fn load_root<B: Blocks>(
        &mut self,
        source: &mut B,
    ) -> Result<NodeId, Failed<B::Error>> {
        let root = match self.root {
            Some(root) => root,
            None if self.length < 2 => self.node(Node::default()),
            None => self.load(source, self.length - 1, 0)?,
        };
        self.root = Some(root);
        Ok(root)
    }

    pub(super) fn load<B: Blocks>(
        &mut self,
        source: &mut B,
        seq: u64,
        number: u64,
    ) -> Result<NodeId, Failed<B::Error>> {
        if seq == 0 || seq >= self.length {
            return Err(Failed::Damaged("a node that points ahead"));
        }
        let block = self.kept.block(source, seq).map_err(Failed::Source)?;
        let Level { keys, children } = block.level(number)?;
        if keys.len() >= SPLIT_KEYS || keys.iter().any(|&key| key == 0 || key > seq) {
            return Err(Failed::Damaged("a node that no writer makes"));
        }
        let own: Rc<[u8]> = block.key.as_slice().into();
        let key = |key: u64| Key { seq: key, bytes: (key == seq).then(|| own.clone()) };
        let keys = keys.into_iter().map(key).collect();
        let children = children
            .into_iter()
            .map(|(seq, number)| self.child(Child { seq, number, node: None }))
            .collect();
        Ok(self.node(Node { keys, children, changed: false }))
    }

    pub(super) fn child_node<B: Blocks>(
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

    pub(super) fn key<B: Blocks>(
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
    pub(super) fn way<B: Blocks>(
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
    pub(super) fn load_for_split<B: Blocks>(
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
    pub(super) fn load_for_merge<B: Blocks>(
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
                    let beside = self.child_node(source, parent, neighbour)?;
                    // A leaf and an inner node would become one that has too few children.
                    let leaf = |node: NodeId| self.nodes[node].children.is_empty();
                    if leaf(beside) != leaf(node) {
                        return Err(Failed::Damaged("neighbours of unequal depth"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The way below a node to the leaf whose key takes the place of key `at`: the side whose leaf has
    /// more, the left one if both have as many. Whether it is the right one.
    pub(super) fn nearest_leaf<B: Blocks>(
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
        if left.len() != right.len() {
            return Err(Failed::Damaged("neighbours of unequal depth"));
        }
        let keys = |way: &[NodeId]| way.last().map_or(0, |&leaf| self.nodes[leaf].keys.len());
        Ok(if keys(&left) < keys(&right) { (right, true) } else { (left, false) })
    }
}
