//! `gannet ls`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::drive::{Drive, Entry};
use super::offline::Offline;
use super::{Global, Outcome, calendar, put};
use crate::drive::format::Format;
use crate::failure::{Failure, Kind};
use crate::text::Plain;

/// List the files of a drive
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet ls ./photos
  gannet ls ./photos 2024/may -l
  gannet ls ./photos --version 12")]
pub struct Arguments {
    /// The folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only this file, or what is below this directory
    #[arg(default_value = "")]
    path: String,
    /// With mode, size and time
    #[arg(short)]
    long: bool,
    /// As of this version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let mut drive = Drive::open(Offline::looking(), &self.dir)?;
        let version = drive.version(self.version)?;
        let path = self.path.trim_matches('/');
        let mut entries = Vec::new();
        drive.entries(version, path, |entry| entries.push(entry))?;
        if entries.is_empty() && !path.is_empty() {
            let what = format!("{}: there is no {path} in version {version}", self.dir.display());
            return Err(Failure::new(Kind::NotFound, what));
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let (format, told) = (drive.format(), global.json || self.long);
        let mut out = String::new();
        for entry in &entries {
            let target = if told { drive.target(entry)? } else { None };
            out.push_str(&match (global.json, self.long) {
                (true, _) => json(entry, format, target).to_string(),
                (false, true) => long(entry, target),
                (false, false) => Plain(&entry.path).to_string(),
            });
            out.push('\n');
        }
        put(out.as_bytes())
    }
}

/// What the entry does not say is null.
fn json(entry: &Entry, format: Format, target: Option<String>) -> serde_json::Value {
    let Entry { path, seq, stat } = entry;
    json!({
        "path": path, "size": stat.size, "mode": stat.mode & 0o7777, "directory": stat.is_dir(),
        "mtime_ms": stat.mtime_ns().map(|_| stat.mtime_ms), "version": format.version_of(*seq),
        "link": target,
    })
}

fn long(entry: &Entry, target: Option<String>) -> String {
    let Entry { path, stat, .. } = entry;
    let kind = match stat {
        stat if stat.is_dir() => "d",
        stat if stat.is_link() => "l",
        _ => "-",
    };
    let mut mode = String::from(kind);
    for bit in (0..9).rev() {
        let letter = ['x', 'w', 'r'][bit % 3];
        mode.push(if stat.mode >> bit & 1 == 1 { letter } else { '-' });
    }
    let time = match stat.mtime_ns() {
        Some(_) => calendar::utc(stat.mtime_ms),
        None => "-".to_owned(),
    };
    let target = target.map(|to| format!(" -> {}", Plain(&to))).unwrap_or_default();
    format!("{mode} {:>12} {time} {}{target}", stat.size, Plain(path))
}
