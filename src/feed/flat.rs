//! The arithmetic of the flat tree (dat/SPEC §2): binary trees over blocks, nodes numbered in
//! order, block `b` being node `2b`. Node numbers stay below `limits::FEED_NODES`, depths below 64.

/// The depth of a node: 0 for a leaf.
pub fn depth(node: u64) -> u32 {
    node.trailing_ones()
}

/// How many nodes of its depth are to the left of it.
pub fn offset(node: u64) -> u64 {
    node >> depth(node) >> 1
}

/// The node at a depth and offset.
pub fn index(depth: u32, offset: u64) -> u64 {
    ((offset << 1 | 1) << depth) - 1
}

pub fn parent(node: u64) -> u64 {
    let d = depth(node);
    index(d + 1, offset(node) >> 1)
}

pub fn sibling(node: u64) -> u64 {
    index(depth(node), offset(node) ^ 1)
}

/// Left and right child; `None` for a leaf.
pub fn children(node: u64) -> Option<(u64, u64)> {
    let d = depth(node).checked_sub(1)?;
    let o = offset(node) << 1;
    Some((index(d, o), index(d, o + 1)))
}

/// The leaf (node number) at the left end of what a node covers.
pub fn left_span(node: u64) -> u64 {
    offset(node) << (depth(node) + 1)
}

/// The leaf (node number) at the right end of what a node covers.
pub fn right_span(node: u64) -> u64 {
    ((offset(node) + 1) << (depth(node) + 1)) - 2
}

/// The blocks that a node covers: first, and how many.
pub fn blocks(node: u64) -> (u64, u64) {
    (left_span(node) / 2, 1 << depth(node))
}

/// The full roots of a tree of `length` blocks, ascending.
pub fn full_roots(length: u64) -> impl Iterator<Item = u64> {
    let mut left = length;
    let mut start = 0;
    std::iter::from_fn(move || {
        let span = 1 << left.checked_ilog2()?;
        let root = 2 * start + span - 1;
        start += span;
        left -= span;
        Some(root)
    })
}

/// The largest node that begins with block `start` and ends before block `end` (`start < end`).
pub fn largest_from(start: u64, end: u64) -> u64 {
    let fits = (end - start).ilog2();
    let aligned = start.trailing_zeros().min(63);
    let depth = fits.min(aligned);
    index(depth, start >> depth)
}
