//! Other histories of a core (hyper/SPEC c.13): a writer that truncated signs with a higher fork, and
//! what was before is kept as far as both agree; two signatures for one length and fork freeze the
//! core.

use super::ask::{Ask, Indexed, Proof};
use super::authority::Authority;
use super::check::{self, Refusal, Signed};
use super::tree::{Held, Tree};
use crate::crypto::hash::Node;
use crate::crypto::hyper;
use crate::feed::flat;
use crate::few;

/// On the way to a tree of a higher fork: what of ours can stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reorg {
    signed: Signed,
    /// Blocks at the front that are the same for sure.
    common: u64,
    /// The node of the new tree in which the first difference is, not narrowed to a block yet.
    differs: Option<Node>,
    /// Of the new tree, to be stored.
    nodes: Vec<Node>,
}

impl Reorg {
    /// From an answer to [`Reorg::ask`], with our tree's nodes in `held`.
    pub fn new<H: Held>(
        authority: &Authority,
        ours: &Tree,
        held: &mut H,
        fork: u64,
        proof: &Proof,
    ) -> Result<Result<Reorg, Refusal>, H::Error> {
        let accepted = match check::verify_alone(authority, fork, proof, None) {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(signed) = accepted.grown else { return Ok(Err(Refusal::Empty)) };
        let mut reorg = Reorg { signed, common: 0, differs: None, nodes: accepted.nodes };
        for root in reorg.signed.tree.roots().to_vec() {
            if !reorg.compare(root, ours, held)? {
                reorg.narrow(root, ours, held)?;
                break;
            }
        }
        Ok(Ok(reorg))
    }

    /// What is asked of a peer with this fork and length, to begin with.
    pub fn ask(length: u64) -> Ask {
        let upgrade = Some(super::ask::Upgrade { start: 0, length });
        Ask { upgrade, ..Ask::default() }
    }

    /// What is asked next; `None`: nothing more has to be known.
    pub fn next(&self) -> Option<Ask> {
        let node = self.differs?;
        let (first, _) = flat::blocks(node.index);
        let hash = Indexed { index: 2 * first, nodes: u64::from(flat::depth(node.index)) };
        Some(Ask { hash: Some(hash), ..Ask::default() })
    }

    /// An answer to [`Reorg::next`].
    pub fn narrowed<H: Held>(
        &mut self,
        ours: &Tree,
        held: &mut H,
        proof: &Proof,
    ) -> Result<Result<(), Refusal>, H::Error> {
        let Some(top) = self.differs else { return Ok(Err(Refusal::Empty)) };
        let (path, parents) = match climb(top, proof) {
            Ok(climbed) => climbed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Every hash of the path covers a sum, so only the two lowest sizes can be wrong. They are not
        // if one of them is ours, by which a wrong one is known.
        let mut lowest = 2;
        for node in path.iter().take(2) {
            match held.node(node.index)?.filter(|own| own.hash == node.hash) {
                Some(own) if own.size != node.size => return Ok(Err(Refusal::Wrong)),
                Some(_) => lowest = 0,
                None => {}
            }
        }
        self.differs = None;
        let known: Vec<Node> = path.iter().chain(&parents).copied().collect();
        self.nodes.extend(path.into_iter().skip(lowest).chain(parents));
        // From left to right, the largest first: the first difference is under the smallest node at
        // the place where no node is the same. Of what is in ours as a whole only its top may be held.
        loop {
            let begins = |node: &&Node| flat::blocks(node.index).0 == self.common;
            let mut here: Vec<Node> = known.iter().filter(begins).copied().collect();
            few::sort(&mut here, |a, b| flat::depth(a.index) > flat::depth(b.index));
            let mut same = false;
            for node in &here {
                same = self.compare(*node, ours, held)?;
                if same {
                    break;
                }
            }
            if !same {
                if let Some(smallest) = here.last() {
                    self.narrow(*smallest, ours, held)?;
                }
                return Ok(Ok(()));
            }
        }
    }

    /// Blocks of ours that stay. The rest is to be dropped.
    pub fn common(&self) -> u64 {
        self.common
    }

    /// The new tree, its fork and signature, and nodes of it to be stored.
    pub fn finish(self) -> (Signed, Vec<Node>) {
        (self.signed, self.nodes)
    }

    /// Whether a node of the new tree, which begins at `common`, is the same in ours.
    fn compare<H: Held>(
        &mut self,
        node: Node,
        ours: &Tree,
        held: &mut H,
    ) -> Result<bool, H::Error> {
        let (first, span) = flat::blocks(node.index);
        debug_assert_eq!(first, self.common);
        let same = first + span <= ours.length()
            && held.node(node.index)?.is_some_and(|own| own.hash == node.hash);
        if same {
            self.common = first + span;
        }
        Ok(same)
    }

    /// The difference is under this node. A single block says all, and so does one under which nothing
    /// of ours is held.
    fn narrow<H: Held>(&mut self, node: Node, ours: &Tree, held: &mut H) -> Result<(), H::Error> {
        let (first, span) = flat::blocks(node.index);
        let mut worth = first < ours.length();
        if let (true, Some((left, _))) = (worth, flat::children(node.index)) {
            worth = first + span > ours.length() || held.node(left)?.is_some();
        } else {
            worth = false;
        }
        self.differs = worth.then_some(node);
        Ok(())
    }
}

/// The way from the first block under `top` up to it: that leaf and the siblings, which together are
/// all that is under `top`; and the parents on it, without `top`.
fn climb(top: Node, proof: &Proof) -> Result<(Vec<Node>, Vec<Node>), Refusal> {
    let hash = proof.hash.as_ref().ok_or(Refusal::Empty)?;
    if proof.block.is_some() || proof.seek.is_some() || proof.upgrade.is_some() {
        return Err(Refusal::Wrong);
    }
    let (first, rest) = hash.nodes.split_first().ok_or(Refusal::Empty)?;
    if first.index != flat::left_span(top.index) || rest.len() != flat::depth(top.index) as usize {
        return Err(Refusal::Wrong);
    }
    let mut node = *first;
    let mut parents = Vec::new();
    for sibling in rest {
        if sibling.index != flat::sibling(node.index) {
            return Err(Refusal::Wrong);
        }
        node = hyper::parent(&node, sibling).ok_or(Refusal::Size)?;
        parents.push(node);
    }
    parents.pop();
    if node == top { Ok((hash.nodes.clone(), parents)) } else { Err(Refusal::Wrong) }
}

/// Two properly signed trees of one fork that are not the same history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The tree that contradicts ours.
    pub theirs: Signed,
}

/// Looks at what a peer gives for a conflict probe (a request with id 0 for an upgrade from nothing):
/// whether its tree, properly signed for our fork, contradicts ours within the common length.
pub fn conflict<H: Held>(
    authority: &Authority,
    ours: &Tree,
    held: &mut H,
    fork: u64,
    proof: &Proof,
) -> Result<Result<Option<Conflict>, Refusal>, H::Error> {
    let accepted = match check::verify_alone(authority, fork, proof, None) {
        Ok(accepted) => accepted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(theirs) = accepted.grown else { return Ok(Err(Refusal::Empty)) };
    let roots = |tree: &Tree| tree.roots().to_vec();
    let differs = if theirs.tree.length() <= ours.length() {
        disagree(&roots(&theirs.tree), held)?
    } else {
        // Ours are the roots; theirs has them among what the proof gave, if it was asked for our
        // length.
        roots(ours).iter().any(|own| {
            let given = accepted.nodes.iter().chain(&accepted.unsure);
            given.into_iter().any(|node| node.index == own.index && node.hash != own.hash)
        })
    };
    Ok(Ok(differs.then_some(Conflict { theirs })))
}

fn disagree<H: Held>(roots: &[Node], held: &mut H) -> Result<bool, H::Error> {
    for root in roots {
        if held.node(root.index)?.is_some_and(|own| own.hash != root.hash) {
            return Ok(true);
        }
    }
    Ok(false)
}
