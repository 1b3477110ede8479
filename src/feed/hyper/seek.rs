//! Which block holds a byte (hyper/SPEC c.11). Offsets are counted from the start of the core;
//! `padding` bytes at the front of each block do not count. Every walk is bounded by the depth of a tree.

use super::ask::Seek;
use super::build::{Stop, Unprovable};
use super::tree::{Held, Tree};
use crate::crypto::hash::Node;
use crate::feed::flat;
use crate::limits::MAX_SAFE_INTEGER;

/// Where a byte is, as far as the held nodes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this block, so many bytes behind its start.
    Block { index: u64, offset: u64 },
    /// Somewhere below this node, which has to be asked for: a hash with this seek.
    Below { node: u64 },
    /// Behind the end of the tree.
    Beyond,
}

/// Bytes of a node that count. Below 0 where somebody claims absurd padding.
fn size(node: &Node, padding: u64) -> i128 {
    let (_, leaves) = flat::blocks(node.index);
    i128::from(node.size) - i128::from(padding) * i128::from(leaves)
}

/// Finds a byte of a tree of ours.
pub fn find<H: Held>(tree: &Tree, held: &mut H, seek: Seek) -> Result<Place, H::Error> {
    let mut bytes = i128::from(seek.bytes);
    for root in tree.roots() {
        let size = size(root, seek.padding);
        if bytes > 0 && bytes >= size {
            bytes -= size;
            continue;
        }
        let mut node = root.index;
        while bytes > 0
            && let Some((left, right)) = flat::children(node)
        {
            let Some(known) = held.node(left)? else { return Ok(Place::Below { node }) };
            let size = self::size(&known, seek.padding);
            if bytes < size {
                node = left;
            } else {
                bytes -= size;
                node = right;
            }
        }
        let offset = u64::try_from(bytes).unwrap_or(0);
        return Ok(Place::Block { index: flat::left_span(node) / 2, offset });
    }
    // The end itself is the start of the next block.
    Ok(match bytes {
        0 => Place::Block { index: tree.length(), offset: 0 },
        _ => Place::Beyond,
    })
}

/// Where a block begins, from the roots and what is held below them. `None`: a node is not held.
pub fn byte_offset<H: Held>(
    tree: &Tree,
    held: &mut H,
    block: u64,
) -> Result<Option<u64>, H::Error> {
    if block > tree.length() {
        return Ok(None);
    }
    let mut sum = 0u64;
    for index in flat::full_roots(block) {
        let root = tree.roots().iter().find(|root| root.index == index).copied();
        let node = match root {
            Some(root) => Some(root),
            None => held.node(index)?,
        };
        let Some(node) = node else { return Ok(None) };
        sum = sum.saturating_add(node.size);
    }
    Ok(Some(sum.min(MAX_SAFE_INTEGER)))
}

/// The node at which an asker resolves the byte, in a tree that ends before node `to`. Past the end:
/// `to`.
pub(super) fn from_start<H: Held>(
    held: &mut H,
    to: u64,
    bytes: u64,
    padding: u64,
) -> Result<u64, Stop<H::Error>> {
    let mut bytes = i128::from(bytes);
    for root in flat::full_roots(to / 2) {
        let node = held.node(root).map_err(Stop::Failed)?.ok_or(Unprovable::NotHeld)?;
        let size = size(&node, padding);
        if bytes == size {
            return Ok(root);
        }
        if bytes < size {
            return below(held, root, bytes, padding);
        }
        bytes -= size;
    }
    Ok(to)
}

/// The same below a node that the asker claims the byte is under.
pub(super) fn in_claimed<H: Held>(
    held: &mut H,
    root: u64,
    seek: Seek,
    length: u64,
) -> Result<u64, Stop<H::Error>> {
    let first = flat::left_span(root) / 2;
    if first >= length {
        return Err(Unprovable::Invalid.into());
    }
    let mut start = -i128::from(seek.padding) * i128::from(first);
    for index in flat::full_roots(first) {
        let node = held.node(index).map_err(Stop::Failed)?.ok_or(Unprovable::NotHeld)?;
        start += i128::from(node.size);
    }
    let bytes = i128::from(seek.bytes) - start;
    if bytes < 0 {
        return Err(Unprovable::Invalid.into());
    }
    if bytes == 0 {
        return Ok(root);
    }
    let node = held.node(root).map_err(Stop::Failed)?.ok_or(Unprovable::NotHeld)?;
    if size(&node, seek.padding) <= bytes {
        return Err(Unprovable::Invalid.into());
    }
    below(held, root, bytes, seek.padding)
}

/// Down from a node that the byte is under, as far as nodes are held.
fn below<H: Held>(
    held: &mut H,
    root: u64,
    mut bytes: i128,
    padding: u64,
) -> Result<u64, Stop<H::Error>> {
    let mut node = root;
    if bytes == 0 {
        return Ok(root);
    }
    while let Some((left, right)) = flat::children(node) {
        let Some(known) = held.node(left).map_err(Stop::Failed)? else { return Ok(node) };
        let size = size(&known, padding);
        if size == bytes {
            return Ok(left);
        }
        if size > bytes {
            node = left;
        } else {
            bytes -= size;
            node = right;
        }
    }
    Ok(node)
}
