//! Changing a tree whose nodes are loaded, as the JavaScript writer does: splitting, borrowing, joining.

use super::{Batch, Child, ChildId, Key, MIN_KEYS, Node, NodeId, SPLIT_KEYS};

impl Batch {
    /// Puts a key into the leaf at the end of the path and splits upwards; the root then.
    pub(super) fn insert(&mut self, mut path: Vec<NodeId>, key: Key) -> NodeId {
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

    pub(super) fn split(&mut self, node: NodeId) -> (Key, NodeId) {
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
    pub(super) fn place(&self, parent: NodeId, node: NodeId) -> usize {
        let is = |&child: &ChildId| self.children[child].node == Some(node);
        self.nodes[parent].children.iter().position(is).unwrap_or(0)
    }

    /// Fills nodes with too few keys from a neighbour, the left one first, or joins them; the root
    /// then.
    pub(super) fn rebalance(&mut self, mut path: Vec<NodeId>) -> NodeId {
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

    pub(super) fn borrow_left(&mut self, parent: NodeId, at: usize, left: NodeId, node: NodeId) {
        let child = self.nodes[left].children.pop();
        let Some(key) = self.nodes[left].keys.pop() else { return };
        self.nodes[left].changed = true;
        let down = std::mem::replace(&mut self.nodes[parent].keys[at - 1], key);
        self.nodes[node].keys.insert(0, down);
        if let Some(child) = child {
            self.nodes[node].children.insert(0, child);
        }
    }

    pub(super) fn borrow_right(&mut self, parent: NodeId, at: usize, node: NodeId, right: NodeId) {
        let Node { keys, children, changed } = &mut self.nodes[right];
        *changed = true;
        let key = keys.remove(0);
        let child = (!children.is_empty()).then(|| children.remove(0));
        let down = std::mem::replace(&mut self.nodes[parent].keys[at], key);
        self.nodes[node].keys.push(down);
        self.nodes[node].children.extend(child);
    }

    /// Joins two neighbours and the key between them, which is the parent's key `at`.
    pub(super) fn join(&mut self, parent: NodeId, at: usize, left: NodeId, right: NodeId) {
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
