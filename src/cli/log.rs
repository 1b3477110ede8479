//! `gannet log`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::drive::Drive;
use super::offline::Offline;
use super::{Global, Outcome, calendar, put};
use crate::drive::stat::Stat;
use crate::drive::tree::TreeNode;
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
            let node = drive.node(version)?;
            let stat = node.value.as_deref().map(|value| Stat::decode(value).ok());
            let line = if global.json { figures(&node, stat) } else { text(&node, stat) };
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

fn text(node: &TreeNode, stat: Option<Option<Stat>>) -> String {
    let (seq, name) = (node.seq, node.name.trim_start_matches('/'));
    let name = Plain(name);
    match stat {
        None => format!("{seq}\tdelete\t{name}\n"),
        Some(None) => format!("{seq}\tput\t{name}\t(makes no sense)\n"),
        Some(Some(stat)) if stat.is_dir() => format!("{seq}\tmkdir\t{name}\n"),
        Some(Some(stat)) => {
            let (size, time) = (Size(stat.size), calendar::utc(stat.mtime_ms));
            format!("{seq}\tput\t{name}\t{size}\t{time}\n")
        }
    }
}

fn figures(node: &TreeNode, stat: Option<Option<Stat>>) -> String {
    let (seq, name) = (node.seq, node.name.trim_start_matches('/'));
    let value = match stat {
        None => json!({"version": seq, "what": "delete", "path": name}),
        Some(None) => json!({"version": seq, "what": "malformed", "path": name}),
        Some(Some(stat)) => json!({
            "version": seq, "what": if stat.is_dir() { "mkdir" } else { "put" }, "path": name,
            "size": stat.size, "mode": stat.mode & 0o7777, "mtime_ms": stat.mtime_ms,
            "blocks": stat.blocks, "offset": stat.offset,
        }),
    };
    format!("{value}\n")
}
