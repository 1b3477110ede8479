//! Blocks that are kept while a tree is read or written. Where a writer puts thousands of nodes into one
//! block, to fetch and decode it again for each of them would cost the square of their number.

use std::collections::VecDeque;
use std::rc::Rc;

use super::bee::{Block, Blocks};
use crate::limits::{HYPER_BEE_DEPTH, HYPER_BEE_KEPT};

/// The blocks with many nodes, the one used last at the end.
#[derive(Default)]
pub(super) struct Kept {
    blocks: VecDeque<Rc<Block>>,
    bytes: usize,
}

impl Kept {
    pub fn block<B: Blocks>(&mut self, source: &mut B, seq: u64) -> Result<Rc<Block>, B::Error> {
        if let Some(at) = self.blocks.iter().position(|block| block.seq == seq)
            && let Some(block) = self.blocks.remove(at)
        {
            self.blocks.push_back(block.clone());
            return Ok(block);
        }
        let block = Rc::new(source.block(seq)?);
        // Blocks as JavaScript and we write them have few, and would only push the others out.
        if block.levels() > HYPER_BEE_DEPTH {
            self.bytes += block.bytes();
            self.blocks.push_back(block.clone());
            while self.bytes > HYPER_BEE_KEPT
                && self.blocks.len() > 1
                && let Some(oldest) = self.blocks.pop_front()
            {
                self.bytes -= oldest.bytes();
            }
        }
        Ok(block)
    }
}
