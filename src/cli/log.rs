//! `gannet log`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::drive::Drive;
use super::offline::Offline;
use super::{Global, Outcome, calendar, put};
use crate::job::history::Entry;
use crate::text::{Plain, Size};

/// The whole history of a drive, oldest first
#[derive(Args)]
pub struct Arguments {
    /// The folder
    #[arg(default_value = ".")]
    dir: PathBuf,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let mut drive = Drive::open(Offline::looking(), &self.dir)?;
        for version in 1..=drive.newest() {
            if !drive.metadata.feed().has(version) {
                missing(&self.dir, version, global)?;
                continue;
            }
            let line = match (drive.logged(version)?, global.json) {
                (Some(entry), true) => figures(&entry),
                (Some(entry), false) => text(&entry),
                (None, true) => format!("{}\n", json!({"version": version, "what": "malformed"})),
                (None, false) => format!("{version}\t(malformed)\n"),
            };
            put(line.as_bytes())?;
        }
        Ok(0)
    }
}

/// A sparse copy does not have every entry.
fn missing(dir: &Path, version: u64, global: &Global) -> Outcome {
    log::info!("{}: entry {version} is not here", dir.display());
    put(match global.json {
        true => format!("{}\n", json!({"version": version, "what": "missing"})),
        false => format!("{version}\t(not here)\n"),
    }
    .as_bytes())
}

fn text(entry: &Entry) -> String {
    let (seq, name) = (entry.seq, Plain(entry.name.trim_start_matches('/')));
    match &entry.stat {
        None => format!("{seq}\tdelete\t{name}\n"),
        Some(stat) if stat.is_dir() => format!("{seq}\tmkdir\t{name}\n"),
        Some(stat) => {
            let (size, time) = (Size(stat.size), calendar::utc(stat.mtime_ms));
            format!("{seq}\tput\t{name}\t{size}\t{time}\n")
        }
    }
}

fn figures(entry: &Entry) -> String {
    let (seq, name) = (entry.seq, entry.name.trim_start_matches('/'));
    let value = match &entry.stat {
        None => json!({"version": seq, "what": "delete", "path": name}),
        Some(stat) => json!({
            "version": seq, "what": if stat.is_dir() { "mkdir" } else { "put" }, "path": name,
            "size": stat.size, "mode": stat.mode & 0o7777, "mtime_ms": stat.mtime_ms,
            "blocks": stat.blocks, "offset": stat.offset,
        }),
    };
    format!("{value}\n")
}
