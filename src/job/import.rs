//! The share's side: files become entries.

use std::collections::VecDeque;
use std::path::Path;

use super::files::Files;
use super::{Budget, Cx, Figures, Output, Step};
use crate::store::StoreError;
use crate::sys::Change;
use crate::time::Instant;

/// Publishes a folder: first all of it, then what changes. The metadata feed must hold block 0.
pub struct Import {
    files: Files,
    outputs: VecDeque<Output>,
}

impl Import {
    /// `watch`: directories are watched (each is asked for with `Output::Watch` before it is
    /// listed).
    pub fn new(_watch: bool) -> Import {
        todo!()
    }

    /// Goes on. Errors are those of the stores and of the folder as a whole.
    pub fn step(&mut self, _cx: &mut Cx<'_>, _budget: &mut Budget) -> Result<Step, StoreError> {
        todo!()
    }

    /// The directory of an `Output::Watch` is watched now, or cannot be (it is then looked at from
    /// time to time).
    pub fn watched(&mut self, _path: &Path, _ok: bool) {
        todo!()
    }

    /// Something happened to a path (relative to the folder).
    pub fn changed(&mut self, _now: Instant, _path: &Path, _what: Change) {
        todo!()
    }

    /// A watched directory is gone.
    pub fn lost(&mut self, _now: Instant, _path: &Path) {
        todo!()
    }

    /// Events were lost: everything is looked at again.
    pub fn overflow(&mut self, _now: Instant) {
        todo!()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where the published blocks are.
    pub fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    /// The whole folder was looked at once and is published.
    pub fn is_settled(&self) -> bool {
        todo!()
    }

    pub fn figures(&self) -> Figures {
        todo!()
    }
}
