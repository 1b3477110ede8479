//! `gannet status`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::drive::Drive;
use super::offline::{At, Offline, Opened};
use super::place::{self, Holds};
use super::{Global, Outcome, peers, put};
use crate::failure::Failure;
use crate::feed::Feed;
use crate::link::Key;
use crate::node::control::What;
use crate::node::event::Role;
use crate::node::status::{DriveStatus, FeedStatus, Status};

/// What is in a folder, and what the process running on it is doing
///
/// Asks the running share, clone, seed or core serve; where none runs, reads the store.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The folder [default: everything of the running daemon, else the current folder]
    dir: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        if let Some(code) = peers::of(self.dir.clone(), What::Status, global)? {
            return Ok(code);
        }
        let dir = self.dir.unwrap_or_else(|| ".".into());
        let status = stored(&dir, place::store(&dir)?)?;
        if global.json {
            put(format!("{}\n", serde_json::json!(status)).as_bytes())
        } else {
            put(status.text().as_bytes())
        }
    }
}

/// The status of what lies in `dir`, while nobody works on it.
fn stored(dir: &Path, holds: Holds) -> Result<Status, Failure> {
    let mut status = Status { version: env!("CARGO_PKG_VERSION").to_owned(), ..Status::default() };
    match holds {
        Holds::Drive => drive(dir, &mut status)?,
        Holds::Core => core(dir, &mut status)?,
        Holds::Seed => seed(dir, &mut status)?,
        Holds::Seeds => {
            for dir in place::seeds_in(dir) {
                if let Err(failure) = seed(&dir, &mut status) {
                    status.drives.push(unreadable(&dir, &failure));
                }
            }
        }
    }
    let mut off = Offline::looking();
    let root = off.root(dir, false)?;
    status.disk.free = off.disk.space(root).unwrap_or(0);
    Ok(status)
}

fn core(dir: &Path, status: &mut Status) -> Result<(), Failure> {
    let opened = Opened::open(Offline::looking(), At::core(dir)?, None, None)?;
    status.feeds.push(feed(opened.feed(), Role::Core, dir.join("secret_key").exists()));
    Ok(())
}

fn seed(dir: &Path, status: &mut Status) -> Result<(), Failure> {
    // A bare feed has no entries to count.
    if dir.join("content.key").exists() { drive(dir, status) } else { core(dir, status) }
}

/// A seed among others that cannot be looked at.
fn unreadable(dir: &Path, failure: &Failure) -> DriveStatus {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let key = hex::decode(&name).ok().and_then(|key| key.try_into().ok()).unwrap_or_default();
    DriveStatus {
        link: name,
        key: Key(key),
        folder: dir.display().to_string(),
        writable: false,
        seed: true,
        version: 0,
        shown: 0,
        files: 0,
        bytes: 0,
        state: failure.to_string(),
    }
}

fn drive(dir: &Path, status: &mut Status) -> Result<(), Failure> {
    let mut drive = Drive::open(Offline::looking(), dir)?;
    let writable = dir.join(".dat/metadata.ogd").exists();
    let key = Key(*drive.metadata.feed().key());
    let version = drive.newest();
    let (mut files, mut bytes) = (0, 0);
    // A copy that has only begun lacks entries; what is known of it is told all the same.
    let whole = drive.entries(version, "", |entry| {
        files += u64::from(!entry.stat.is_dir());
        bytes += entry.stat.size;
    });
    let state = if whole.is_ok() { String::new() } else { "not everything is here yet".into() };
    status.drives.push(DriveStatus {
        link: drive.metadata.feed().link().to_string(),
        key,
        folder: dir.display().to_string(),
        writable,
        seed: !dir.join(".dat").exists(),
        version,
        shown: if writable { version } else { shown(dir).unwrap_or(version) },
        files,
        bytes,
        state,
    });
    status.feeds.push(feed(drive.metadata.feed(), Role::Metadata, writable));
    if let Some(content) = &drive.content {
        status.feeds.push(feed(content.feed(), Role::Content, writable));
    }
    Ok(())
}

/// The version whose deletions were applied to a copy (dat/SPEC §10).
fn shown(dir: &Path) -> Option<u64> {
    let bytes = std::fs::read(dir.join(".dat/metadata.latest")).ok()?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn feed(feed: &Feed, role: Role, writable: bool) -> FeedStatus {
    FeedStatus {
        key: Key(*feed.key()),
        role,
        writable,
        length: feed.length(),
        have: feed.have().count(),
        wanted: 0,
        in_flight: 0,
        bytes: feed.byte_length(),
        peers: 0,
        paused: false,
    }
}
