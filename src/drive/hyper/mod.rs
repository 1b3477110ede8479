//! Drives of Hypercore's time (hyper/SPEC d.2–d.5): a hyperbee of entries and a core of blobs. Knows
//! blocks as bytes; where they are kept, and who is asked for them, is for others.

pub mod bee;
pub mod blobs;
pub mod changes;
pub mod dedup;
pub mod entry;
mod kept;
pub mod keys;
pub mod search;
#[cfg(test)]
mod tests;
pub mod write;

pub use bee::{Block, Blocks, Change, Failed, Header, Level, Malformed};
pub use blobs::{BadBlob, BlobId, Layout, encode_map};
pub use changes::{Diff, Difference, History};
pub use dedup::Dedup;
pub use search::{Entry, Range, Walk, get};
pub use write::Batch;
