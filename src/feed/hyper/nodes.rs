//! Lists of tree nodes, as proofs and containers of signatures carry them (hyper/SPEC c.4, c.10).

use crate::codec::compact::{Error, Reader, put_uint};
use crate::crypto::hash::Node;
use crate::limits::PROOF_NODES;

/// Bytes of a node, at least.
const NODE_BYTES: usize = 34;

pub fn put_nodes(nodes: &[Node], out: &mut Vec<u8>) {
    put_uint(nodes.len() as u64, out);
    for node in nodes {
        put_uint(node.index, out);
        put_uint(node.size, out);
        out.extend_from_slice(&node.hash);
    }
}

/// `None`: there are more than anybody needs.
pub fn read_nodes(r: &mut Reader<'_>) -> Result<Option<Vec<Node>>, Error> {
    let count = r.count(NODE_BYTES)?;
    if count > PROOF_NODES {
        return Ok(None);
    }
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        nodes.push(Node { index: r.uint()?, size: r.uint()?, hash: *r.fixed()? });
    }
    Ok(Some(nodes))
}
