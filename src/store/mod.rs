//! Feeds on disk, and the disk as the engine sees it.
//!
//! Every function that takes a `Disk` may answer `StoreError::NotYet` and can then be called again
//! with the same arguments; nothing happens twice.

mod bitpage;
mod core;
mod create;
mod data;
mod discard;
pub mod disk;
mod dropped;
pub mod feed;
mod files;
pub mod identity;
mod open;
mod pages;
mod recover;
pub mod secret;
mod verify;
mod write;

use std::io;

use crate::feed::Refusal;

pub use self::core::{CoreAccepted, Flavor, Leafed, Moved, Reorg};
pub use discard::Given;
pub use feed::{Content, FeedStore, Keys, Progress, Reader, Stored};
pub use files::{read_small, write_all, write_small};
pub use open::{Opening, stored};
pub use verify::{Cursor, Damage, Verified};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is fetching what is needed: call again.
    #[error("the disk is busy")]
    NotYet,
    #[error("{0}")]
    Io(io::Error),
    /// No space, or over quota. Nothing was changed; the same call works once there is space.
    #[error("the disk is full")]
    Full,
    /// What is wrong and where, in one line for a person.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Another process has the feed open.
    #[error("another process has it open")]
    Locked,
    /// There is no feed at this place.
    #[error("there is no feed here")]
    Missing,
    /// A feed with another key is at this place.
    #[error("another feed is stored here")]
    OtherFeed,
    /// A feed is at this place already.
    #[error("there is a feed here already")]
    Exists,
    /// We do not hold this block or what would prove it.
    #[error("the block is not here")]
    Absent,
    /// We do not have the secret key.
    #[error("the feed's secret key is not here")]
    ReadOnly,
    /// A sync failed in this run. The kernel then counts as written what it could not write, so
    /// that no later sync can be believed: what is there is looked at when the feed is opened anew.
    #[error(
        "the disk failed to keep what was written: start gannet again, it then checks what is there"
    )]
    Unsynced,
    /// The feed was not closed in order: `recover` it first.
    #[error("the feed is being recovered")]
    Recovering,
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::WouldBlock => StoreError::NotYet,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
            _ => StoreError::Io(error),
        }
    }
}
