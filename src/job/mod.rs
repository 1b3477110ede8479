//! Long work on a drive's folder, cut into steps: the share's import, the clone's mirror, and where
//! the content blocks are. Each is told what happened, is given a budget and the stores to work
//! with, and leaves outputs to be taken.
//!
//! A step that meets a disk that is fetching (`NotYet`) keeps its place and is called again. Nothing
//! here knows peers, sockets or a clock.

pub mod files;
pub mod history;
pub mod import;
mod map;
pub mod mirror;

use std::path::PathBuf;

use crate::drive::format::Format;
use crate::drive::tree::{NodeSource, TreeError};
use crate::limits::COST_CALL;
use crate::store::disk::{Dir, Disk};
use crate::store::{FeedStore, StoreError};
use crate::time::{Instant, Wall};

/// What one step may cost, in units: a byte read, hashed or written is one, a system call or an
/// entry is `COST_CALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    left: usize,
}

impl Budget {
    pub fn new(units: usize) -> Budget {
        Budget { left: units }
    }

    pub fn bytes(&mut self, n: usize) {
        self.left = self.left.saturating_sub(n);
    }

    pub fn calls(&mut self, n: usize) {
        self.bytes(n.saturating_mul(COST_CALL));
    }

    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    pub fn left(&self) -> usize {
        self.left
    }
}

/// What a step is lent.
pub struct Cx<'a> {
    pub disk: &'a mut dyn Disk,
    /// The folder itself, not `.dat`.
    pub dir: Dir,
    pub metadata: &'a mut FeedStore,
    /// `None` in a clone that has not read block 0 yet.
    pub content: Option<&'a mut FeedStore>,
    pub now: Instant,
    pub wall: Wall,
}

impl Cx<'_> {
    /// How the drive keeps its entries.
    pub fn format(&self) -> Format {
        format_of(self.metadata)
    }

    /// The content feed, where there is one.
    fn content(&mut self) -> Result<(&mut dyn Disk, &mut FeedStore), StoreError> {
        match &mut self.content {
            Some(content) => Ok((self.disk, content)),
            None => Err(StoreError::Absent),
        }
    }
}

/// The metadata feed's blocks for [`crate::drive`].
pub struct Nodes<'a> {
    pub disk: &'a mut dyn Disk,
    pub metadata: &'a mut FeedStore,
}

impl Nodes<'_> {
    /// How the drive keeps its entries.
    pub fn format(&self) -> Format {
        format_of(self.metadata)
    }
}

/// The dialect of a drive's metadata feed says how its entries are kept.
pub fn format_of(metadata: &FeedStore) -> Format {
    match metadata.feed().as_core() {
        Some(_) => Format::Hyper,
        None => Format::Dat,
    }
}

/// The newest version that a drive's metadata feed is known to have.
pub fn version_of(metadata: &FeedStore) -> u64 {
    format_of(metadata).version(metadata.feed().length())
}

impl NodeSource for Nodes<'_> {
    type Error = StoreError;
    fn block(&mut self, seq: u64, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.metadata.read(self.disk, seq, out)
    }
}

impl From<TreeError<StoreError>> for StoreError {
    fn from(error: TreeError<StoreError>) -> StoreError {
        match error {
            TreeError::Source(error) => error,
            TreeError::Malformed(seq) => {
                StoreError::Damaged(format!("entry {seq} of the metadata feed is malformed"))
            }
        }
    }
}

/// Where a job stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do before the next input or `next_deadline`.
    Idle,
    /// There is more to do at once.
    More,
    /// The disk is fetching what is needed: try again soon.
    Waiting,
    /// The disk is full: try again later. Nothing is lost.
    Full,
}

/// Which of a drive's feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Metadata,
    Content,
}

/// What comes out of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Watch this directory of the folder (`""` is the folder; no link is on the way), then call `Import::watched`. It is
    /// not listed before.
    Watch { path: PathBuf },
    /// Blocks `from..to` were appended and are durable: announce them.
    Grew { which: Which, from: u64, to: u64 },
    /// These content blocks are gone: take the announcement back.
    Cleared { start: u64, len: u64 },
    /// `Mirror::wanted` has changed.
    Wanted,
    /// An entry was written (share), or its file stands in the folder (clone).
    Put { path: String, seq: u64, size: u64 },
    /// An entry was deleted (share), or its file was removed (clone).
    Deleted { path: String, seq: u64 },
    /// A file changed by the user is not overwritten: it is kept under this name.
    Kept { path: String, kept_as: String },
    /// An entry of the drive that is not written here.
    Refused { path: String, why: String },
    /// Something in the folder that is not published.
    Skipped { path: String, why: String },
    /// Share: everything in the folder is published as of now. Clone: the folder is this version,
    /// durably.
    Complete { version: u64, files: u64, bytes: u64 },
}

/// Figures for status and progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Share: files looked at in this scan. Clone: files in place.
    pub files_done: u64,
    /// Files known so far.
    pub files: u64,
    /// Share: bytes hashed. Clone: bytes in place.
    pub bytes_done: u64,
    pub bytes: u64,
}

/// An error as a step's end, where it is one.
fn pause(error: StoreError) -> Result<Step, StoreError> {
    match error {
        StoreError::NotYet => Ok(Step::Waiting),
        StoreError::Full => Ok(Step::Full),
        error => Err(error),
    }
}
