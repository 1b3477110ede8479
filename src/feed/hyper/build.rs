//! Answers to what is asked of a tree (hyper/SPEC c.11): the very nodes that JavaScript peers choose.
//! Which they are follows from the request alone; nothing is remembered for a peer.

use super::ask::{Ask, Grown, Path, Proof, Seek, SeekPath, Upgrade};
use super::manifest::Prologue;
use super::seek;
use super::tree::Held;
use crate::crypto::hash::Node;
use crate::feed::flat;
use crate::limits::{FEED_BLOCKS, FEED_DEPTH, PROOF_NODES};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprovable {
    /// What is asked makes no sense for a tree of this length: the asker is wrong.
    #[error("the request cannot be answered by any holder of this tree")]
    Invalid,
    /// A node that is needed is not held.
    #[error("a node of the proof is not held")]
    NotHeld,
}

/// What answers are made from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Blocks of the signed tree.
    pub length: u64,
    /// Of that length.
    pub signature: Option<&'a [u8]>,
    pub prologue: Option<&'a Prologue>,
}

/// The answer, but for the block.
pub fn build<H: Held>(
    source: Source<'_>,
    held: &mut H,
    ask: &Ask,
) -> Result<Result<Proof, Unprovable>, H::Error> {
    match Plan::new(source, held, ask) {
        Ok(plan) => plan.fetch(source, held, ask),
        Err(Stop::Unprovable(why)) => Ok(Err(why)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

pub(super) enum Stop<E> {
    Unprovable(Unprovable),
    Failed(E),
}

impl<E> From<Unprovable> for Stop<E> {
    fn from(why: Unprovable) -> Stop<E> {
        Stop::Unprovable(why)
    }
}

/// A block or a node that was asked for.
#[derive(Clone, Copy)]
struct Target {
    /// Its node.
    index: u64,
    /// Levels up.
    nodes: u64,
    /// The last block it covers.
    last: u64,
    /// A node alone is sent itself, a block is not.
    alone: bool,
}

/// The numbers of the nodes to send.
#[derive(Default)]
struct Plan {
    node: Option<Vec<u64>>,
    seek: Option<Vec<u64>>,
    upgrade: Option<Vec<u64>>,
    additional: Vec<u64>,
    /// The upgrade as it is answered, which a prologue may widen.
    answered: Option<Upgrade>,
}

impl Plan {
    fn new<H: Held>(source: Source<'_>, held: &mut H, ask: &Ask) -> Result<Plan, Stop<H::Error>> {
        let head = 2 * source.length;
        if head == 0 {
            return Err(Unprovable::NotHeld.into());
        }
        let upgrade = ask.upgrade.map(|upgrade| widened(upgrade, source.prologue));
        let (from, to) = match upgrade {
            Some(Upgrade { start, length }) => {
                let end = start.checked_add(length).filter(|&end| end <= source.length);
                let end = end.ok_or(Unprovable::Invalid)?;
                if length == 0 {
                    return Err(Unprovable::Invalid.into());
                }
                (2 * start, 2 * end)
            }
            None => (0, head),
        };
        let target = target(ask)?;
        let seek = ask.seek;
        if seek.is_some() && upgrade.is_some() && target.is_some_and(|target| target.index >= from)
        {
            return Err(Unprovable::Invalid.into());
        }
        let mut plan = Plan { answered: upgrade, ..Plan::default() };
        // Where the target or the seek joins the upgrade; past the end if nowhere.
        let mut joins = head;
        match (target, seek) {
            (Some(target), _) if upgrade.is_none_or(|up| target.last < up.start) => {
                let root = climbed(target, to)?;
                joins = root;
                let found = match seek {
                    Some(seek) => seek::in_claimed(held, root, seek, source.length)?,
                    None => head,
                };
                plan.target_and_seek(Some(target), seek.is_some(), found, root)?;
            }
            (_, Some(Seek { bytes, padding })) if upgrade.is_some() => {
                joins = seek::from_start(held, to, bytes, padding)?;
            }
            (Some(target), None) if upgrade.is_some() => joins = target.index,
            _ => {}
        }
        if upgrade.is_some() {
            plan.grow(target, seek.is_some(), from, to, joins)?;
            for (root, climb) in contributed(to, head) {
                plan.additional.extend(climb.unwrap_or_else(|| vec![root]));
            }
        }
        if plan.node.is_none() && target.is_some() {
            return Err(Unprovable::Invalid.into());
        }
        Ok(plan)
    }

    /// From the seek's place up to `root`.
    fn seek_path(&mut self, found: u64, root: u64) -> Result<(), Unprovable> {
        let mut path = vec![found];
        path.extend(siblings(found, root)?);
        self.seek = Some(path);
        Ok(())
    }

    /// From the target up to `root`; where the seek's place is beside that way, it has a way of its own
    /// up to there.
    fn target_and_seek(
        &mut self,
        target: Option<Target>,
        seeks: bool,
        found: u64,
        root: u64,
    ) -> Result<(), Unprovable> {
        let Some(target) = target else { return self.seek_path(found, root) };
        let mut path = Vec::new();
        if target.alone {
            path.push(target.index);
        }
        for sibling in siblings(target.index, root)? {
            if seeks && covers(sibling, found) && sibling != found {
                self.seek_path(found, sibling)?;
            } else {
                path.push(sibling);
            }
        }
        self.node = Some(path);
        Ok(())
    }

    /// What leads from a tree that ends before node `from` to one that ends before `to`.
    fn grow(
        &mut self,
        target: Option<Target>,
        seeks: bool,
        from: u64,
        to: u64,
        joins: u64,
    ) -> Result<(), Unprovable> {
        let mut send = Vec::new();
        for (root, climb) in contributed(from, to) {
            for node in climb.unwrap_or_else(|| vec![root]) {
                if self.node.is_none() && self.seek.is_none() && covers(node, joins) {
                    // The way up from there ends here: the node itself follows from it.
                    self.target_and_seek(target, seeks, joins, node)?;
                } else {
                    send.push(node);
                }
            }
        }
        self.upgrade = Some(send);
        Ok(())
    }

    fn fetch<H: Held>(
        self,
        source: Source<'_>,
        held: &mut H,
        ask: &Ask,
    ) -> Result<Result<Proof, Unprovable>, H::Error> {
        let mut lists = [
            self.node.unwrap_or_default(),
            self.seek.clone().unwrap_or_default(),
            self.upgrade.unwrap_or_default(),
            self.additional,
        ]
        .into_iter();
        let mut nodes: [Vec<Node>; 4] = Default::default();
        for list in &mut nodes {
            let numbers = lists.next().unwrap_or_default();
            if numbers.len() > PROOF_NODES {
                return Ok(Err(Unprovable::Invalid));
            }
            for number in numbers {
                match held.node(number)? {
                    Some(node) => list.push(node),
                    None => return Ok(Err(Unprovable::NotHeld)),
                }
            }
        }
        let [path, seek, upgrade, additional] = nodes;
        let block = ask.block.map(|block| block.index);
        let hash = if block.is_none() { ask.hash.map(|hash| hash.index) } else { None };
        let sought = ask.seek.filter(|_| self.seek.is_some());
        Ok(Ok(Proof {
            block: block.map(|index| Path { index, nodes: path.clone() }),
            hash: hash.map(|index| Path { index, nodes: path }),
            seek: sought.map(|sought| SeekPath { bytes: sought.bytes, nodes: seek }),
            upgrade: self.answered.map(|Upgrade { start, length }| Grown {
                start,
                length,
                nodes: upgrade,
                additional,
                signature: source.signature.map(<[u8]>::to_vec),
            }),
        }))
    }
}

/// A tree within its prologue is only grown to all of that.
fn widened(upgrade: Upgrade, prologue: Option<&Prologue>) -> Upgrade {
    match prologue {
        Some(prologue) if upgrade.start < prologue.length => {
            Upgrade { start: 0, length: prologue.length }
        }
        _ => upgrade,
    }
}

fn target(ask: &Ask) -> Result<Option<Target>, Unprovable> {
    let target = match (ask.block, ask.hash) {
        (Some(block), _) => {
            let index = block.index.checked_mul(2).ok_or(Unprovable::Invalid)?;
            Target { index, nodes: block.nodes, last: block.index, alone: false }
        }
        (None, Some(hash)) if hash.index < 2 * FEED_BLOCKS => {
            let last = flat::right_span(hash.index) / 2;
            Target { index: hash.index, nodes: hash.nodes, last, alone: true }
        }
        (None, Some(_)) => return Err(Unprovable::Invalid),
        (None, None) => return Ok(None),
    };
    if target.index >= 2 * FEED_BLOCKS { Err(Unprovable::Invalid) } else { Ok(Some(target)) }
}

/// As many levels up as were asked for, staying within a tree that ends before node `to`.
fn climbed(target: Target, to: u64) -> Result<u64, Unprovable> {
    if target.nodes > u64::from(FEED_DEPTH) || target.index >= to {
        return Err(Unprovable::Invalid);
    }
    let mut node = target.index;
    for _ in 0..target.nodes {
        node = flat::parent(node);
        if flat::right_span(node) >= to {
            return Err(Unprovable::Invalid);
        }
    }
    Ok(node)
}

/// Whether a node's number lies within what `node` covers.
fn covers(node: u64, number: u64) -> bool {
    (flat::left_span(node)..=flat::right_span(node)).contains(&number)
}

/// The siblings of the way from `node` up to `root`.
fn siblings(mut node: u64, root: u64) -> Result<Vec<u64>, Unprovable> {
    if !covers(root, node) || flat::depth(node) > flat::depth(root) {
        return Err(Unprovable::Invalid);
    }
    let mut found = Vec::new();
    while node != root {
        found.push(flat::sibling(node));
        node = flat::parent(node);
    }
    Ok(found)
}

/// The full roots of a tree that ends before node `to` and are not wholly in one that ends before
/// `from`; of the one that is in part, the nodes that lie right of it on the way up.
fn contributed(from: u64, to: u64) -> Vec<(u64, Option<Vec<u64>>)> {
    let mut found = Vec::new();
    for root in flat::full_roots(to / 2) {
        if flat::right_span(root) < from {
            continue;
        }
        if from > 0 && covers(root, from - 2) {
            let last = from - 2;
            let way = siblings(last, root).unwrap_or_default();
            found.push((root, Some(way.into_iter().filter(|&node| node > last).collect())));
        } else {
            found.push((root, None));
        }
    }
    found
}
