//! `gannet verify`.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::drive::stat::Form;
use crate::failure::{Failure, Kind};
use crate::feed::Feed;
use crate::link::Link;
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
        let bare = holds == Holds::Seed && !self.dir.join("content.key").exists();
        let mut report = Report { json: global.json, bad: 0 };
        if holds == Holds::Core || bare {
            let mut opened = Opened::open(self.disk(), At::core(&self.dir)?, None, None)?;
            let (blocks, bad) = check_core(&mut opened, &self.dir)?;
            bad.iter().for_each(|bad| report.bad("core", *bad, None));
            if self.repair && !bad.is_empty() {
                return self.repair_core(opened, &bad, global);
            }
            report.end(&self.dir, blocks, global)
        } else {
            let mut drive = Drive::open(self.disk(), &self.dir)?;
            let checked = Checked::new(&mut drive, &self.dir)?;
            checked.tell(&mut report);
            if self.repair && report.bad > 0 {
                return self.repair_drive(drive, &checked, global);
            }
            report.end(&self.dir, checked.blocks, global)
        }
    }

    /// Repairing needs the folder for itself.
    fn disk(&self) -> Offline {
        if self.repair { Offline::writing() } else { Offline::looking() }
    }

    /// Nobody has better blocks of a feed than its writer.
    fn ours(&self) -> Failure {
        Failure::new(Kind::Damaged, format!("{}: damaged, and it is ours", self.dir.display()))
            .hint("gannet share publishes the files as they are; or restore it from a copy")
    }

    /// Forgets what is bad, then fetches.
    fn repair_core(self, mut opened: Opened, bad: &[Damage], global: &Global) -> Outcome {
        if opened.store.is_writable() {
            return Err(self.ours());
        }
        let before = held(opened.feed());
        opened.forget(bad)?;
        let first = lost_since(opened.feed(), &before);
        let link = opened.feed().link();
        opened.close()?;
        let bare = place::core(&self.dir)?.is_empty();
        self.refill(link, bare, (first, Vec::new()), global)
    }

    /// Fetches the blocks that were lost, and nothing else.
    fn refill(
        self,
        link: Link,
        bare: bool,
        (first, content): (Ranges, Ranges),
        global: &Global,
    ) -> Outcome {
        if first.is_empty() && content.is_empty() {
            // Hashes that stand above nothing which is here.
            return match global.json || global.quiet {
                true => Ok(0),
                false => put(b"no block was lost\n"),
            };
        }
        let run = Run::Refill { link, dir: self.dir, bare, first, content };
        daemon::run(self.network.config(run, global))
    }

    /// Forgets what is bad and sets damaged files aside, then fetches that again.
    fn repair_drive(self, mut drive: Drive, checked: &Checked, global: &Global) -> Outcome {
        if drive.is_ours() {
            return Err(self.ours());
        }
        let before = [Some(&drive.metadata.store), drive.content.as_ref()]
            .map(|store| store.map_or_else(Vec::new, |store| held(store.feed())));
        drive.metadata.forget(&checked.metadata)?;
        let mut only = BTreeSet::new();
        for bad in &checked.content {
            match (checked.file_of(*bad), &drive.folder) {
                (Some(entry), Some(_)) if only.insert(entry.path.clone()) => {
                    drive.set_aside(entry)?;
                }
                (Some(_), Some(_)) => {}
                _ => drive.forget(*bad)?,
            }
        }
        let mut first = lost_since(drive.metadata.feed(), &before[0]);
        if !drive.metadata.feed().has(0) && first.first().is_none_or(|&(start, _)| start > 0) {
            // It names the content.
            first.insert(0, (0, 1));
        }
        let content = drive.content.as_ref();
        let content = content.map_or_else(Vec::new, |c| lost_since(c.feed(), &before[1]));
        let link = drive.metadata.feed().link();
        let in_folder = drive.folder.is_some();
        drive.close()?;
        let only = only.into_iter().collect();
        if !in_folder {
            return self.refill(link, false, (first, content), global);
        }
        let run = Run::Clone { link, dir: self.dir, once: true, only };
        daemon::run(self.network.config(run, global))
    }
}

/// Blocks: first and count.
type Ranges = Vec<(u64, u64)>;

/// The blocks that are here.
fn held(feed: &Feed) -> Ranges {
    feed.have().ranges(0, u64::MAX).collect()
}

/// Those of them that are not here any more.
fn lost_since(feed: &Feed, before: &[(u64, u64)]) -> Ranges {
    let have = feed.have();
    let mut lost = Vec::new();
    for &(start, len) in before {
        let (mut at, end) = (start, start + len);
        while at < end {
            let from = have.next_clear(at).min(end);
            at = have.next_set(from).unwrap_or(end).min(end);
            lost.extend((at > from).then(|| (from, at - from)));
        }
    }
    lost
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

fn check_core(opened: &mut Opened, dir: &Path) -> Result<(u64, Vec<Damage>), Failure> {
    let mut bad = Vec::new();
    let Opened { off, store, .. } = opened;
    let blocks = verify(off, store, dir, None, |damage| bad.push(damage))?;
    Ok((blocks, bad))
}

/// What was found in a drive.
struct Checked {
    blocks: u64,
    metadata: Vec<Damage>,
    content: Vec<Damage>,
    files: Files,
}

impl Checked {
    fn new(drive: &mut Drive, dir: &Path) -> Result<Checked, Failure> {
        let (mut blocks, metadata) = check_core(&mut drive.metadata, dir)?;
        let mut checked =
            Checked { blocks, metadata, content: Vec::new(), files: Files::default() };
        if !checked.metadata.is_empty() {
            // Where the files' blocks are cannot be trusted.
            return Ok(checked);
        }
        let newest = drive.newest();
        drive.entries(newest, "", |entry| checked.files.add(entry))?;
        let Drive { metadata: Opened { off, .. }, content, folder, .. } = drive;
        let Some(store) = content else { return Ok(checked) };
        let Checked { files, content: bad, .. } = &mut checked;
        blocks += match folder {
            None => verify(off, store, dir, None, |damage| bad.push(damage))?,
            Some(folder) => {
                files.root = Some(off.root(folder, false)?);
                let mut read = |disk: &mut dyn Disk, block, start, size, out: &mut Vec<u8>| {
                    files.read(disk, block, start, size, out)
                };
                verify(off, store, dir, Some(&mut read), |damage| bad.push(damage))?
            }
        };
        checked.blocks = blocks;
        Ok(checked)
    }

    fn tell(&self, report: &mut Report) {
        self.metadata.iter().for_each(|bad| report.bad("metadata", *bad, None));
        for bad in &self.content {
            report.bad("content", *bad, self.file_of(*bad).map(|entry| entry.path.as_str()));
        }
    }

    fn file_of(&self, damage: Damage) -> Option<&Entry> {
        match damage {
            Damage::Block(block) => self.files.holding(block),
            Damage::Node(_) | Damage::Signature => None,
        }
    }
}

/// Which file holds a content block.
#[derive(Default)]
struct Files {
    root: Option<Dir>,
    /// By first block.
    entries: BTreeMap<u64, Box<Entry>>,
    /// The file read last, by its first block.
    open: Option<(u64, File)>,
}

impl Files {
    fn add(&mut self, entry: Entry) {
        // A map's content is in the blocks of other files, too, and in none here.
        if entry.stat.blocks > 0 && entry.stat.form != Form::Map {
            self.entries.insert(entry.stat.offset, Box::new(entry));
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
