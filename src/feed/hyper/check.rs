//! What a proof makes trustworthy (hyper/SPEC c.12). Pure: the tree we hold, the nodes that are held,
//! and what came go in; what may be stored comes out.
//!
//! A hash covers the sum of the sizes below it, not how that divides between two siblings. A size is
//! proven where the block came, where the sibling's is proven, or where a signature covers it as a
//! root's. What is proven in sum only is in [`Accepted::unsure`].

use super::ask::{Grown, Proof};
use super::authority::Authority;
use super::tree::{Held, Misplaced, Tree};
use crate::crypto::hash::Node;
use crate::crypto::hyper;
use crate::feed::flat;
use crate::limits::{FEED_BLOCKS, PROOF_NODES};

/// What is proven; nothing is stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// To be stored: they serve later proofs.
    pub nodes: Vec<Node>,
    /// Their hashes are proven, of their sizes only the sums: good to find a byte by, not to
    /// measure a block with that comes later.
    pub unsure: Vec<Node>,
    /// The longer tree, and what it is signed with.
    pub grown: Option<Signed>,
}

/// A tree with the signature that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub tree: Tree,
    pub fork: u64,
    /// Empty for a tree within its prologue.
    pub signature: Vec<u8>,
}

/// Why an answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a block or node number is beyond every core")]
    Index,
    #[error("a size is beyond every core")]
    Size,
    #[error("the proof has too many nodes")]
    Nodes,
    #[error("the proof proves nothing")]
    Empty,
    #[error("the proof begins at another length than ours")]
    Stale,
    #[error("the proof is for another fork than ours")]
    Fork,
    #[error("the proof stops within the blocks that the core begins with")]
    Prologue,
    #[error("the block or its proof is wrong")]
    Wrong,
    #[error("the tree is not signed by those who may")]
    Unsigned,
}

/// What we hold of a core.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    pub authority: &'a Authority,
    pub tree: &'a Tree,
    pub fork: u64,
}

/// Checks an answer of this fork against what we hold. `leaf`: the node of the block that came,
/// there if and only if `proof.block` is.
pub fn verify<H: Held>(
    ours: Ours<'_>,
    held: &mut H,
    fork: u64,
    proof: &Proof,
    leaf: Option<Node>,
) -> Result<Result<Accepted, Refusal>, H::Error> {
    if fork != ours.fork {
        return Ok(Err(Refusal::Fork));
    }
    let mut check = Check::default();
    let (top, grown) = match check.prove(ours.authority, ours.tree, fork, proof, leaf) {
        Ok(proven) => proven,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(top) = top {
        match held.node(top.node.index)? {
            Some(node) if node == top.node => check.keep(Given { sure: true, ..top }),
            _ => return Ok(Err(Refusal::Wrong)),
        }
    }
    Ok(Ok(check.accepted(grown)))
}

/// Checks an answer that begins at nothing, whatever we hold: of another fork, or as evidence.
pub fn verify_alone(
    authority: &Authority,
    fork: u64,
    proof: &Proof,
    leaf: Option<Node>,
) -> Result<Accepted, Refusal> {
    let mut check = Check::default();
    match check.prove(authority, &Tree::default(), fork, proof, leaf)? {
        (None, Some(grown)) => Ok(check.accepted(Some(grown))),
        _ => Err(Refusal::Wrong),
    }
}

/// A node of a proof or made of some.
#[derive(Clone, Copy)]
struct Given {
    node: Node,
    /// Its size is proven if its hash is.
    sure: bool,
}

#[derive(Default)]
struct Check {
    nodes: Vec<Node>,
    unsure: Vec<Node>,
}

impl Check {
    /// All that can be said without what is held: the node that a stored one must equal, and the
    /// longer tree.
    fn prove(
        &mut self,
        authority: &Authority,
        tree: &Tree,
        fork: u64,
        proof: &Proof,
        leaf: Option<Node>,
    ) -> Result<(Option<Given>, Option<Signed>), Refusal> {
        plausible(proof)?;
        let mut top = self.climb(proof, leaf)?;
        let mut signed = None;
        if let Some(grown) = &proof.upgrade {
            signed = Some(self.grow(authority, tree, fork, grown, &mut top)?);
        } else if top.is_none() {
            return Err(Refusal::Empty);
        }
        Ok((top, signed))
    }

    fn keep(&mut self, given: Given) {
        if given.sure { self.nodes.push(given.node) } else { self.unsure.push(given.node) }
    }

    fn accepted(self, grown: Option<Signed>) -> Accepted {
        Accepted { nodes: self.nodes, unsure: self.unsure, grown }
    }

    /// One level up. The parent's hash covers the sum of both sizes, so one proves the other.
    fn join(&mut self, a: Given, b: Given) -> Result<Given, Refusal> {
        let node = hyper::parent(&a.node, &b.node).ok_or(Refusal::Size)?;
        let sure = a.sure || b.sure;
        self.keep(Given { sure, ..a });
        self.keep(Given { sure, ..b });
        Ok(Given { node, sure: true })
    }

    /// Hashes seek, block and hash upwards as far as their nodes reach.
    fn climb(&mut self, proof: &Proof, leaf: Option<Node>) -> Result<Option<Given>, Refusal> {
        let mut extra = None;
        if let Some((first, rest)) = proof.seek.as_ref().and_then(|seek| seek.nodes.split_first()) {
            let mut top = Given { node: *first, sure: false };
            for node in rest {
                top = self.beside(top, *node)?;
            }
            extra = Some(top);
        }
        let (mut top, path) = match (&proof.block, &proof.hash, leaf) {
            (Some(block), None, Some(leaf)) => {
                if leaf.index / 2 != block.index || leaf.index % 2 != 0 {
                    return Err(Refusal::Wrong);
                }
                (Given { node: leaf, sure: true }, &block.nodes[..])
            }
            (None, Some(hash), None) => {
                let (first, rest) = hash.nodes.split_first().ok_or(Refusal::Empty)?;
                if first.index != hash.index {
                    return Err(Refusal::Wrong);
                }
                (Given { node: *first, sure: false }, rest)
            }
            (None, None, None) => return Ok(extra),
            _ => return Err(Refusal::Wrong),
        };
        let mut path = path.iter();
        loop {
            let sibling = flat::sibling(top.node.index);
            if let Some(sought) = extra.take_if(|sought| sought.node.index == sibling) {
                top = self.join(top, sought)?;
            } else if let Some(node) = path.next() {
                top = self.beside(top, *node)?;
            } else {
                break;
            }
        }
        if extra.is_some() { Err(Refusal::Wrong) } else { Ok(Some(top)) }
    }

    /// Joined with the sibling that the proof gives.
    fn beside(&mut self, top: Given, node: Node) -> Result<Given, Refusal> {
        if node.index != flat::sibling(top.node.index) {
            return Err(Refusal::Wrong);
        }
        self.join(top, Given { node, sure: false })
    }

    /// The longer tree. What was climbed to takes the place of a node of it, if it is one.
    fn grow(
        &mut self,
        authority: &Authority,
        tree: &Tree,
        fork: u64,
        grown: &Grown,
        top: &mut Option<Given>,
    ) -> Result<Signed, Refusal> {
        if grown.start != tree.length() {
            return Err(Refusal::Stale);
        }
        let end = grown.start.checked_add(grown.length).filter(|&end| end <= FEED_BLOCKS);
        let end = end.ok_or(Refusal::Index)?;
        if grown.length == 0 {
            return Err(Refusal::Empty);
        }
        let prologue = authority.prologue();
        if prologue.is_some_and(|prologue| grown.start < prologue.length && end < prologue.length) {
            return Err(Refusal::Prologue);
        }
        let mut growing = Growing::new(tree);
        let mut nodes = grown.nodes.iter();
        while growing.length < end {
            let next = match top.take_if(|top| growing.next_is(top.node.index)) {
                Some(climbed) => climbed,
                None => Given { node: *nodes.next().ok_or(Refusal::Wrong)?, sure: false },
            };
            growing.append(self, next)?;
        }
        if growing.length != end || nodes.next().is_some() {
            return Err(Refusal::Wrong);
        }
        if let Some(prologue) = prologue
            && end == prologue.length
            && growing.tree()?.hash() != prologue.hash
        {
            return Err(Refusal::Prologue);
        }
        for node in &grown.additional {
            growing.append(self, Given { node: *node, sure: false })?;
        }
        let tree = growing.tree()?;
        if !authority.verify(&tree, fork, grown.signature.as_deref()) {
            return Err(Refusal::Unsigned);
        }
        growing.roots.into_iter().for_each(|root| self.keep(Given { sure: true, ..root }));
        Ok(Signed { tree, fork, signature: grown.signature.clone().unwrap_or_default() })
    }
}

/// A tree that remembers which sizes are proven.
struct Growing {
    roots: Vec<Given>,
    length: u64,
}

impl Growing {
    fn new(tree: &Tree) -> Growing {
        let given = |root: &Node| Given { node: *root, sure: true };
        Growing { roots: tree.roots().iter().map(given).collect(), length: tree.length() }
    }

    fn next_is(&self, index: u64) -> bool {
        flat::left_span(index) == 2 * self.length
    }

    fn append(&mut self, check: &mut Check, given: Given) -> Result<(), Refusal> {
        if !self.next_is(given.node.index) {
            return Err(Refusal::Wrong);
        }
        let (_, span) = flat::blocks(given.node.index);
        self.length += span;
        if self.length > FEED_BLOCKS {
            return Err(Refusal::Index);
        }
        let mut top = given;
        while let Some(left) =
            self.roots.pop_if(|left| left.node.index == flat::sibling(top.node.index))
        {
            top = check.join(left, top)?;
        }
        self.roots.push(top);
        Ok(())
    }

    fn tree(&self) -> Result<Tree, Refusal> {
        let roots = self.roots.iter().map(|root| root.node).collect();
        Tree::from_roots(roots).map_err(|Misplaced| Refusal::Size)
    }
}

/// Numbers that arithmetic can take.
fn plausible(proof: &Proof) -> Result<(), Refusal> {
    let Proof { block, hash, seek, upgrade } = proof;
    let lists = [
        block.as_ref().map(|block| &block.nodes),
        hash.as_ref().map(|hash| &hash.nodes),
        seek.as_ref().map(|seek| &seek.nodes),
        upgrade.as_ref().map(|upgrade| &upgrade.nodes),
        upgrade.as_ref().map(|upgrade| &upgrade.additional),
    ];
    for nodes in lists.into_iter().flatten() {
        if nodes.len() > PROOF_NODES {
            return Err(Refusal::Nodes);
        }
        if nodes.iter().any(|node| node.index >= 2 * FEED_BLOCKS) {
            return Err(Refusal::Index);
        }
    }
    if block.as_ref().is_some_and(|block| block.index >= FEED_BLOCKS) {
        return Err(Refusal::Index);
    }
    Ok(())
}
