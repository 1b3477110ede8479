//! `gannet verify`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::drive::{Drive, Entry, read_at};
use super::network::Network;
use super::offline::{At, Offline, Opened, verify};
use super::place::{self, Holds};
use super::{Global, Outcome, put};
use crate::daemon::{self, config::Run};
use crate::failure::{Failure, Kind};
use crate::store::disk::{Dir, Disk, File, Open};
use crate::store::{Damage, StoreError};
use crate::text::{Count, Plain};

/// Check every block that is here against the tree and the signature
///
/// Exit code 5 if anything is damaged. With --repair what is bad is fetched from peers again.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  gannet verify ./copy
  gannet verify ./copy --repair --peer nas.local:3282"
)]
pub struct Arguments {
    /// The folder, or a feed's directory
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Fetch again what is damaged
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let holds = place::store(&self.dir)?;
        if self.repair {
            let run = Run::Repair { dir: self.dir };
            return daemon::run(self.network.config(run, global));
        }
        let mut report = Report { json: global.json, bad: 0 };
        let blocks = match holds {
            Holds::Core => core(&self.dir, &mut report)?,
            Holds::Seed if !self.dir.join("content.key").exists() => core(&self.dir, &mut report)?,
            Holds::Drive | Holds::Seed | Holds::Seeds => drive(&self.dir, &mut report)?,
        };
        report.end(&self.dir, blocks, global)
    }
}

/// Says what is bad, a line each.
struct Report {
    json: bool,
    bad: u64,
}

impl Report {
    fn bad(&mut self, feed: &str, damage: Damage, path: Option<&str>) {
        self.bad += 1;
        let (what, number) = match damage {
            Damage::Block(n) => ("block", n),
            Damage::Node(n) => ("node", n),
            Damage::Signature => ("signature", 0),
        };
        // A reader that left makes the exit code no less true.
        let _ = put(match (self.json, damage) {
            (true, _) => format!(
                "{}\n",
                json!({"event": "damaged", "feed": feed, "what": what, "number": number, "path": path})
            ),
            (false, Damage::Signature) => format!("{feed} feed: the signature is damaged\n"),
            (false, _) => {
                let of = path.map(|p| format!(" of {}", Plain(p))).unwrap_or_default();
                format!("{feed} feed: {what} {number}{of} is damaged\n")
            }
        }
        .as_bytes());
    }

    fn end(self, dir: &Path, blocks: u64, global: &Global) -> Outcome {
        let checked = Count(blocks, "block");
        if self.bad > 0 {
            let what = format!("{}: {} of {checked} damaged", dir.display(), self.bad);
            return Err(Failure::new(Kind::Damaged, what)
                .hint("gannet verify --repair fetches what is damaged again"));
        }
        match (global.json, global.quiet) {
            (true, _) => {
                put(format!("{}\n", json!({"event": "verified", "blocks": blocks})).as_bytes())
            }
            (false, true) => Ok(0),
            (false, false) => put(format!("{checked} checked, all well\n").as_bytes()),
        }
    }
}

fn core(dir: &Path, report: &mut Report) -> Result<u64, Failure> {
    let mut opened = Opened::open(Offline::looking(), At::core(dir)?, None, None)?;
    let Opened { off, store, .. } = &mut opened;
    verify(off, store, dir, None, |damage| report.bad("core", damage, None))
}

fn drive(dir: &Path, report: &mut Report) -> Result<u64, Failure> {
    let mut drive = Drive::open(Offline::looking(), dir)?;
    let Opened { off, store, .. } = &mut drive.metadata;
    let metadata = verify(off, store, dir, None, |bad| report.bad("metadata", bad, None))?;

    let mut files = Files::default();
    let newest = drive.newest();
    drive.entries(newest, "", |entry| files.add(entry))?;
    let Drive { metadata: Opened { off, .. }, content, folder, .. } = &mut drive;
    let Some(store) = content else { return Ok(metadata) };
    let mut found = Vec::new();
    let content = match folder {
        None => verify(off, store, dir, None, |bad| found.push(bad))?,
        Some(folder) => {
            files.root = Some(off.root(folder, false)?);
            let mut read = |disk: &mut dyn Disk, block, start, size, out: &mut Vec<u8>| {
                files.read(disk, block, start, size, out)
            };
            verify(off, store, dir, Some(&mut read), |bad| found.push(bad))?
        }
    };
    for bad in found {
        let path = match bad {
            Damage::Block(block) => files.holding(block).map(|entry| entry.path.as_str()),
            Damage::Node(_) | Damage::Signature => None,
        };
        report.bad("content", bad, path);
    }
    Ok(metadata + content)
}

/// Which file holds a content block.
#[derive(Default)]
struct Files {
    root: Option<Dir>,
    /// By first block.
    entries: BTreeMap<u64, Entry>,
    /// The file read last, by its first block.
    open: Option<(u64, File)>,
}

impl Files {
    fn add(&mut self, entry: Entry) {
        if entry.stat.blocks > 0 {
            self.entries.insert(entry.stat.offset, entry);
        }
    }

    fn holding(&self, block: u64) -> Option<&Entry> {
        let (offset, entry) = self.entries.range(..=block).next_back()?;
        (block - offset < entry.stat.blocks).then_some(entry)
    }

    /// The bytes of a block; `false` where no file has them.
    fn read(
        &mut self,
        disk: &mut dyn Disk,
        block: u64,
        start: u64,
        size: u64,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let (Some(root), Some(entry)) = (self.root, self.holding(block)) else { return Ok(false) };
        let first = entry.stat.offset;
        let (Some(offset), Ok(size)) =
            (start.checked_sub(entry.stat.byte_offset), usize::try_from(size))
        else {
            return Ok(false);
        };
        let file = match self.open {
            Some((open, file)) if open == first => file,
            _ => {
                let Ok(path) = crate::drive::path::check(&entry.path) else { return Ok(false) };
                let file = match disk.open(root, &path, Open::ReadFollow) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Err(StoreError::NotYet);
                    }
                    Err(_) => return Ok(false),
                };
                if let Some((_, old)) = self.open.replace((first, file)) {
                    disk.close(old);
                }
                file
            }
        };
        read_at(disk, file, offset, size, out)
    }
}
