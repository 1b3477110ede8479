//! Proofs that a block belongs to a feed: the asker's digest, the holder's answer, the asker's
//! check (dat/SPEC §7). Stateless: nothing is remembered for a peer.

use super::{Feed, Fork, flat};
use crate::crypto::hash::{self, Node};
use crate::crypto::sign::{self, Signature};
use crate::limits;

/// Where hashes and signatures are kept. `Error` is the keeper's own, "not yet" included.
pub trait Nodes {
    type Error;
    /// A node that is held; `None` if it is not.
    fn node(&mut self, index: u64) -> Result<Option<Node>, Self::Error>;
    /// The signature of the tree with `length` blocks, if it is kept.
    fn signature(&mut self, length: u64) -> Result<Option<Signature>, Self::Error>;
}

/// What proves a block to somebody who holds what their digest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// In the order of dat/SPEC §7.2.
    pub nodes: Vec<Node>,
    pub signature: Option<Signature>,
}

/// A block, or a leaf alone, that was proven to belong to the feed; nothing is stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Block number.
    pub index: u64,
    /// Where the block begins in the feed, in bytes.
    pub offset: u64,
    /// The block's size in bytes.
    pub size: u64,
    /// The nodes that the proof made trustworthy. A leaf whose block did not come is not among
    /// them, nor is its sibling: only the sum of their sizes is proven.
    pub nodes: Vec<Node>,
    /// The tree that the proof's signature is for.
    pub signed: Option<Signed>,
}

/// A signature that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub length: u64,
    pub byte_length: u64,
    pub signature: Signature,
}

/// What became of a block or hash from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted(Accepted),
    Refused(Refusal),
    /// It is properly signed and contradicts what we hold: the writer made two histories.
    Forked(Fork),
}

/// Why a block or hash from a peer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a block or node number is beyond every feed")]
    Index,
    #[error("the proof has neither a block nor its hash")]
    Empty,
    #[error("a size is beyond every feed")]
    Size,
    #[error("the proof has too many nodes")]
    Nodes,
    #[error("the proof lacks roots of the tree")]
    Roots,
    #[error("the proof lacks a signature")]
    Unsigned,
    #[error("the block or its proof is wrong")]
    Wrong,
    /// It is properly signed, and what we hold is not proven: the sender is not to blame.
    #[error("it contradicts what is stored here, which no signature covers")]
    Contradicts,
    #[error("the feed's writer signed two different histories")]
    Forked,
    /// Of cores alone, as are the next ones: it was asked for before we knew what we know now.
    #[error("the proof begins at another length than ours")]
    Stale,
    #[error("the proof is for another fork than ours")]
    OtherFork,
    #[error("the proof stops within the blocks that the core begins with")]
    Prologue,
    #[error("the manifest does not belong to the core's key")]
    Manifest,
}

pub(super) fn digest(feed: &Feed, block: u64) -> u64 {
    let mut node = 2 * block;
    if block >= limits::FEED_BLOCKS {
        return 0;
    }
    if feed.holds(node) {
        return 1;
    }
    let end = (2 * feed.length).max(flat::sibling(node) + 2);
    let mut bits = 0;
    for k in 1.. {
        let (sibling, parent) = (flat::sibling(node), flat::parent(node));
        if flat::right_span(sibling) >= end && flat::left_span(parent) == 0 {
            break;
        }
        if feed.holds(sibling) {
            bits |= 1 << k;
        }
        if feed.holds(parent) {
            bits |= 1 << (k + 1) | 1;
            let whole = bits + 1 == 1 << (k + 2);
            return if whole { 1 } else { bits };
        }
        node = parent;
    }
    bits
}

/// The answer to a request (dat/SPEC §7.2). `None`: the block's hash or its path is not held.
pub fn build<N: Nodes>(
    feed: &Feed,
    held: &mut N,
    index: u64,
    digest: u64,
    hash_only: bool,
) -> Result<Option<Proof>, N::Error> {
    let leaf = 2 * index.min(limits::FEED_BLOCKS);
    if index >= limits::FEED_BLOCKS || !feed.holds(leaf) {
        return Ok(None);
    }
    let mut send: Vec<u64> = if hash_only { vec![leaf] } else { Vec::new() };
    let mut signature = None;
    if digest != 1 {
        let known = Known::from_digest(feed, leaf, digest);
        // The way up, each node with how much is to be sent when it is the root.
        let mut path = Vec::new();
        let mut node = leaf;
        while !known.has(node) {
            path.push((node, send.len()));
            let sibling = flat::sibling(node);
            if !feed.holds(sibling) {
                break;
            }
            if !known.has(sibling) {
                send.push(sibling);
            }
            node = flat::parent(node);
        }
        if !known.has(node) {
            let Some((root, keep, length, signed)) = signed_root(feed, held, &path)? else {
                return Ok(None);
            };
            send.truncate(keep);
            send.extend(flat::full_roots(length).filter(|&r| r != root && !known.has(r)));
            signature = Some(signed);
        }
    }
    let mut nodes = Vec::with_capacity(send.len());
    for number in send {
        match held.node(number)? {
            Some(node) => nodes.push(node),
            None => return Ok(None),
        }
    }
    Ok(Some(Proof { nodes, signature }))
}

/// The nodes that an asker holds, as far as their digest tells.
struct Known(Vec<u64>);

impl Known {
    fn from_digest(feed: &Feed, leaf: u64, digest: u64) -> Known {
        let mut known = Known(Vec::new());
        let (ancestor, mut left) = (digest & 1 == 1, digest >> 1);
        let mut node = leaf;
        while left != 0 && flat::depth(node) < limits::FEED_DEPTH {
            if left == 1 && ancestor {
                known.add(node);
                let span = flat::right_span(node.min(flat::sibling(node)));
                flat::full_roots(span / 2 + 1)
                    .filter(|&r| feed.holds(r))
                    .for_each(|r| known.add(r));
                break;
            }
            if left & 1 == 1 {
                known.add(flat::sibling(node));
            }
            node = flat::parent(node);
            left >>= 1;
        }
        known
    }

    fn has(&self, node: u64) -> bool {
        self.0.contains(&node)
    }

    /// Who holds two siblings holds their parent.
    fn add(&mut self, mut node: u64) {
        while !self.has(node) {
            self.0.push(node);
            if !self.has(flat::sibling(node)) {
                break;
            }
            node = flat::parent(node);
        }
    }
}

/// Where a proof ends: the root, its companion from the path, the length and signature of its tree.
type SignedRoot = (u64, usize, u64, Signature);

/// The topmost node of `path` that is a full root of a tree whose signature and roots we hold.
fn signed_root<N: Nodes>(
    feed: &Feed,
    held: &mut N,
    path: &[(u64, usize)],
) -> Result<Option<SignedRoot>, N::Error> {
    for &(root, keep) in path.iter().rev() {
        let (start, span) = flat::blocks(root);
        let (low, high) = (start + span, start + 2 * span - 1);
        // The whole feed, the tree that the held nodes on the right make likely, then any other.
        let likely = [feed.length, verified_by(feed, root)];
        let first = high.min(feed.length);
        let others = (low..=first).rev().take(limits::SIGNATURES_TRIED);
        for length in likely.into_iter().chain(others) {
            let possible =
                (low..=high).contains(&length) && flat::full_roots(length).all(|r| feed.holds(r));
            if possible && let Some(signature) = held.signature(length)? {
                return Ok(Some((root, keep, length, signature)));
            }
        }
    }
    Ok(None)
}

/// The length of the tree under which a held node was proven, going by the nodes that are held to
/// the right of it (dat/SPEC §7.2, partial holder). 0 if the node is not held.
pub(crate) fn verified_by(feed: &Feed, node: u64) -> u64 {
    if !feed.holds(node) {
        return 0;
    }
    let mut top = node;
    while feed.holds(flat::parent(top)) && feed.holds(flat::sibling(top)) {
        top = flat::parent(top);
    }
    while flat::depth(top) > 0 {
        top = flat::index(flat::depth(top), flat::offset(top) + 1);
        while !feed.holds(top) {
            match flat::children(top) {
                Some((left, _)) => top = left,
                None => return top / 2,
            }
        }
    }
    top / 2 + 1
}

/// Checks an answer (dat/SPEC §7.4). `leaf` is the node of the value that came, or `None` when
/// there was no value and the first of `nodes` is the leaf.
pub fn verify<N: Nodes>(
    feed: &Feed,
    held: &mut N,
    index: u64,
    leaf: Option<Node>,
    nodes: &[Node],
    signature: Option<&Signature>,
) -> Result<Verdict, N::Error> {
    let mut run = |alone| {
        let mut check = Check { feed, held, rest: nodes, kept: Vec::new(), alone };
        match check.run(index, leaf, signature) {
            Ok(accepted) => Ok(Verdict::Accepted(accepted)),
            Err(Stop::Refused(refusal)) => Ok(Verdict::Refused(refusal)),
            Err(Stop::Forked(fork)) => Ok(Verdict::Forked(fork)),
            Err(Stop::Failed(error)) => Err(error),
        }
    };
    let verdict = run(false)?;
    let wrong = [Refusal::Wrong, Refusal::Roots, Refusal::Unsigned].map(Verdict::Refused);
    if signature.is_none() || !wrong.contains(&verdict) {
        return Ok(verdict);
    }
    // With what we hold it leads nowhere. If what we hold is of another history of the writer, it may
    // still be right by itself, up to the root of the shorter tree that its signature is for.
    Ok(match run(true)? {
        Verdict::Refused(why) if why != Refusal::Contradicts => verdict,
        by_itself => by_itself,
    })
}

enum Stop<E> {
    Refused(Refusal),
    Forked(Fork),
    Failed(E),
}

impl<E> From<Refusal> for Stop<E> {
    fn from(refusal: Refusal) -> Stop<E> {
        Stop::Refused(refusal)
    }
}

/// A check under way.
struct Check<'a, N: Nodes> {
    feed: &'a Feed,
    held: &'a mut N,
    /// Nodes of the proof that were not used yet.
    rest: &'a [Node],
    /// What is to be stored if all is well.
    kept: Vec<Node>,
    /// The way up is made of nodes that were sent, not of ours.
    alone: bool,
}

impl<N: Nodes> Check<'_, N> {
    fn run(
        &mut self,
        index: u64,
        leaf: Option<Node>,
        signature: Option<&Signature>,
    ) -> Result<Accepted, Stop<N::Error>> {
        if self.feed.fork.is_some() {
            return Err(Refusal::Forked.into());
        }
        self.plausible(index)?;
        let with_block = leaf.is_some();
        let leaf = match leaf {
            Some(leaf) => leaf,
            None => self.shift().ok_or(Refusal::Empty)?,
        };
        if leaf.index != 2 * index {
            return Err(Refusal::Wrong.into());
        }
        let (top, trusted) = self.climb(leaf)?;
        if !with_block && top.index != leaf.index {
            // Only the sum of these two sizes is covered by a hash.
            let sibling = flat::sibling(leaf.index);
            self.kept.retain(|node| node.index != leaf.index && node.index != sibling);
        }
        let signed = match trusted {
            true => self.agrees(top)?,
            false => Some(self.signed(top, signature)?),
        };
        let offset = self.offset(index)?;
        let size = leaf.size;
        if offset.checked_add(size).is_none_or(|end| end > limits::MAX_SAFE_INTEGER) {
            return Err(Refusal::Size.into());
        }
        let nodes = std::mem::take(&mut self.kept);
        Ok(Accepted { index, offset, size, nodes, signed })
    }

    /// Numbers that arithmetic can take.
    fn plausible(&self, index: u64) -> Result<(), Refusal> {
        if self.rest.len() > limits::PROOF_NODES {
            return Err(Refusal::Nodes);
        }
        let beyond = |node: &Node| node.index >= 2 * limits::FEED_BLOCKS;
        if index >= limits::FEED_BLOCKS || self.rest.iter().any(beyond) {
            return Err(Refusal::Index);
        }
        Ok(())
    }

    fn shift(&mut self) -> Option<Node> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn shift_if(&mut self, index: u64) -> Option<Node> {
        if self.rest.first()?.index == index { self.shift() } else { None }
    }

    fn stored(&mut self, index: u64) -> Result<Option<Node>, Stop<N::Error>> {
        if self.feed.holds(index) { self.held.node(index).map_err(Stop::Failed) } else { Ok(None) }
    }

    /// Hashes upwards as far as siblings reach. True: ended at a node that we hold and that agrees.
    fn climb(&mut self, leaf: Node) -> Result<(Node, bool), Stop<N::Error>> {
        let mut top = leaf;
        while flat::depth(top.index) < limits::FEED_DEPTH {
            if self.stored(top.index)? == Some(top) {
                return Ok((top, true));
            }
            let sibling = flat::sibling(top.index);
            let other = match self.shift_if(sibling) {
                Some(sent) => {
                    self.kept.push(sent);
                    sent
                }
                None if self.alone => break,
                None => match self.stored(sibling)? {
                    Some(stored) => stored,
                    None => break,
                },
            };
            self.kept.push(top);
            top = hash::parent(&top, &other).ok_or(Refusal::Size)?;
        }
        self.kept.push(top);
        Ok((top, false))
    }

    /// `top` must be a full root of a tree that is signed.
    fn signed(
        &mut self,
        top: Node,
        signature: Option<&Signature>,
    ) -> Result<Signed, Stop<N::Error>> {
        let last = self.rest.last().map_or(0, |node| flat::right_span(node.index));
        let length = last.max(flat::right_span(top.index)) / 2 + 1;
        if length > limits::FEED_BLOCKS {
            return Err(Refusal::Index.into());
        }
        let mut roots = Vec::new();
        for root in flat::full_roots(length) {
            roots.push(if root == top.index {
                top
            } else if let Some(sent) = self.shift_if(root) {
                self.kept.push(sent);
                sent
            } else {
                self.stored(root)?.ok_or(Refusal::Roots)?
            });
        }
        // Without its root in the tree, or with nodes that nothing was done with, nothing is proven.
        if !self.rest.is_empty() || !roots.iter().any(|root| root.index == top.index) {
            return Err(Refusal::Wrong.into());
        }
        let signature = *signature.ok_or(Refusal::Unsigned)?;
        if !sign::verify(&self.feed.key, &hash::roots(&roots), &signature) {
            return Err(Refusal::Wrong.into());
        }
        if let Some(ours) = self.contradicted()? {
            let proven = self.tree_of(ours)?.is_some();
            let fork = Fork { length, roots, signature: signature.to_vec() };
            return Err(if proven { Stop::Forked(fork) } else { Refusal::Contradicts.into() });
        }
        let sizes = roots.iter().try_fold(0u64, |sum, root| sum.checked_add(root.size));
        let byte_length = sizes.filter(|&sum| sum <= limits::MAX_SAFE_INTEGER);
        Ok(Signed { length, byte_length: byte_length.ok_or(Refusal::Size)?, signature })
    }

    /// A node that we hold and that is another one than was sent.
    fn contradicted(&mut self) -> Result<Option<Node>, Stop<N::Error>> {
        for at in 0..self.kept.len() {
            let node = self.kept[at];
            if let Some(stored) = self.stored(node.index)?.filter(|stored| *stored != node) {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// What was sent leads to `top`, which we hold. It may contradict what we hold below, where that
    /// was proven by an earlier signature: both are the writer's then.
    fn agrees(&mut self, top: Node) -> Result<Option<Signed>, Stop<N::Error>> {
        let Some(ours) = self.contradicted()? else { return Ok(None) };
        let (older, newer) = (self.tree_of(ours)?, self.tree_of(top)?);
        match (older, newer) {
            (Some(older), Some(newer)) if older.length != newer.length => Err(Stop::Forked(newer)),
            _ => Err(Refusal::Contradicts.into()),
        }
    }

    /// The signed tree that proves a node of ours, with its signature checked again: what is on the
    /// disk may have been damaged, which is not the writer's doing.
    fn tree_of(&mut self, node: Node) -> Result<Option<Fork>, Stop<N::Error>> {
        let mut top = node;
        while let Some(sibling) = self.stored(flat::sibling(top.index))?
            && let Some(parent) = hash::parent(&top, &sibling)
            && self.stored(parent.index)? == Some(parent)
        {
            top = parent;
        }
        let length = verified_by(self.feed, top.index);
        let Some(signature) = self.held.signature(length).map_err(Stop::Failed)? else {
            return Ok(None);
        };
        let mut roots = Vec::new();
        for root in flat::full_roots(length) {
            match self.stored(root)? {
                Some(root) => roots.push(root),
                None => return Ok(None),
            }
        }
        let proven =
            roots.contains(&top) && sign::verify(&self.feed.key, &hash::roots(&roots), &signature);
        Ok(proven.then_some(Fork { length, roots, signature: signature.to_vec() }))
    }

    /// Where a block begins: the sizes of the full roots of all before it, old and new.
    fn offset(&mut self, block: u64) -> Result<u64, Stop<N::Error>> {
        let mut sum = 0u64;
        for root in flat::full_roots(block) {
            let kept = self.kept.iter().find(|node| node.index == root).copied();
            let node = match kept {
                Some(node) => node,
                None => self.stored(root)?.ok_or(Refusal::Roots)?,
            };
            sum = sum.checked_add(node.size).ok_or(Refusal::Size)?;
        }
        Ok(sum)
    }
}
