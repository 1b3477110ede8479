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
        let format = drive.format();
        for seq in 1..format.blocks(drive.newest()) {
            let version = format.version_of(seq);
            if !drive.metadata.feed().has(seq) {
                missing(&self.dir, version, global)?;
                continue;
            }
            let line = match (drive.logged(seq)?, global.json) {
                (Some(entry), true) => figures(version, &entry),
                (Some(entry), false) => text(version, &entry),
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

fn text(version: u64, entry: &Entry) -> String {
    let name = Plain(entry.name.trim_start_matches('/'));
    match &entry.stat {
        None => format!("{version}\tdelete\t{name}\n"),
        Some(stat) if stat.is_dir() => format!("{version}\tmkdir\t{name}\n"),
        Some(stat) if stat.is_link() => format!("{version}\tlink\t{name}\n"),
        Some(stat) => {
            let size = Size(stat.size);
            match stat.mtime_ns() {
                Some(_) => {
                    let time = calendar::utc(stat.mtime_ms);
                    format!("{version}\tput\t{name}\t{size}\t{time}\n")
                }
                // Entries of hyperdrives have no times.
                None => format!("{version}\tput\t{name}\t{size}\n"),
            }
        }
    }
}

fn figures(version: u64, entry: &Entry) -> String {
    let name = entry.name.trim_start_matches('/');
    let Some(stat) = &entry.stat else {
        return format!("{}\n", json!({"version": version, "what": "delete", "path": name}));
    };
    let what = match stat {
        stat if stat.is_dir() => "mkdir",
        stat if stat.is_link() => "link",
        _ => "put",
    };
    let value = json!({
        "version": version, "what": what, "path": name, "size": stat.size,
        "mode": stat.mode & 0o7777, "mtime_ms": stat.mtime_ns().map(|_| stat.mtime_ms),
        "blocks": stat.blocks, "offset": stat.offset,
    });
    format!("{value}\n")
}
