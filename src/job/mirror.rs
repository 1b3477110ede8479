//! The clone's side: entries become files.

use std::collections::VecDeque;

use super::files::Files;
use super::{Budget, Cx, Figures, Output, Step};
use crate::bits::RangeSet;
use crate::store::StoreError;
use crate::time::Instant;

/// What of a drive to have in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Paths (files or directories); empty: everything.
    pub only: Vec<String>,
    /// This version and no later one.
    pub version: Option<u64>,
}

/// Keeps a folder like the drive. Content blocks come in by `place`, then `stored`.
pub struct Mirror {
    files: Files,
    outputs: VecDeque<Output>,
}

impl Mirror {
    pub fn new(_options: Options) -> Mirror {
        todo!()
    }

    /// Goes on: plans newer versions once their metadata is here, puts complete files in place.
    /// Commits the content feed by itself (nobody else may: its bytes must be synced first).
    pub fn step(&mut self, _cx: &mut Cx<'_>, _budget: &mut Budget) -> Result<Step, StoreError> {
        todo!()
    }

    /// The content blocks still needed, or needed and stored already.
    pub fn wanted(&self) -> &RangeSet {
        todo!()
    }

    /// Writes a verified content block that begins at byte `offset` of the feed (between
    /// `FeedStore::check` and `accept`; both numbers are in `Accepted`). `false`: no file of the
    /// drive needs it, so it is not stored. `Full`: nothing is changed, call again later.
    pub fn place(
        &mut self,
        _cx: &mut Cx<'_>,
        _block: u64,
        _offset: u64,
        _bytes: &[u8],
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// The block was accepted by the content feed.
    pub fn stored(&mut self, _now: Instant, _block: u64) {
        todo!()
    }

    /// The metadata feed grew or got blocks.
    pub fn metadata_changed(&mut self) {
        todo!()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where the stored blocks are.
    pub fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    /// The version that stands in the folder, whole and durable.
    pub fn applied(&self) -> u64 {
        todo!()
    }

    /// Nothing is left to do for the metadata known so far.
    pub fn is_settled(&self) -> bool {
        todo!()
    }

    pub fn figures(&self) -> Figures {
        todo!()
    }

    /// Makes what is there durable and closes the files (before the stores are closed).
    pub fn close(&mut self, _cx: &mut Cx<'_>) -> Result<(), StoreError> {
        todo!()
    }
}
