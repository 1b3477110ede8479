//! The share's side: files become entries. First what the drive has is held against the folder,
//! so that what vanished while nobody looked is deleted; then the whole folder is walked; from then
//! on paths are looked at when something is told to have happened to them.
//!
//! A file becomes an entry when it was the same before and after its bytes were hashed. What cannot
//! be read is reported and never taken for deleted.

mod attend;
mod batch;
mod hashing;
mod links;
mod marks;
mod publish;
mod tidy;
mod times;
mod walk;

use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::files::{Files, Gaps};
use super::{Budget, Cx, Figures, Nodes, Output, Step, pause};
use crate::drive::diff::{Change as Difference, Diff};
use crate::drive::format::{Entry as Found, Format};
use crate::drive::ignore::{DATIGNORE, Rules};
use crate::drive::names::Names;
use crate::drive::path::{self, DAT_DIR};
use crate::drive::stat::Stat;
use crate::limits::{IGNORE_BYTES, POLL_FOLDER, SKIPPED_PATHS};
use crate::store::disk::Open;
use crate::store::{Progress, StoreError};
use crate::time::Instant;
pub(super) use batch::clear_unless_claimed;
use batch::{Batch, Entry, Tree};
use hashing::Hashing;
use links::{Links, Look};
use marks::Marks;
use publish::Removing;
use times::Times;
use walk::Frame;

/// Publishes a folder: first all of it, then what changes. The metadata feed must hold block 0.
pub struct Import {
    watch: bool,
    files: Files,
    outputs: VecDeque<Output>,
    figures: Figures,
    rules: Rules,
    /// What the drive is known to hold.
    names: Names,
    phase: Phase,
    /// Directories being walked, the deepest last.
    frames: Vec<Frame>,
    /// Entries to delete at and below a name.
    removing: Option<Removing>,
    hashing: Option<Hashing>,
    batch: Batch,
    /// The batch is written before anything else goes on.
    flush: bool,
    marks: Marks,
    links: Links,
    times: Times,
    rescan: Option<Instant>,
    rescanned: Instant,
    /// Some directory cannot be watched.
    polls: bool,
    skipped: BTreeSet<PathBuf>,
    told: Option<u64>,
}

enum Phase {
    Recover,
    Rules,
    Sweep(Diff),
    Tidy(Gaps),
    Scan,
    Watch,
}

impl Import {
    /// `watch`: directories are watched (each is asked for with `Output::Watch` before it is
    /// listed).
    pub fn new(watch: bool) -> Import {
        Import {
            watch,
            files: Files::default(),
            outputs: VecDeque::new(),
            figures: Figures::default(),
            rules: Rules::default(),
            names: Names::new(Format::Dat, 0),
            phase: Phase::Recover,
            frames: Vec::new(),
            removing: None,
            hashing: None,
            batch: Batch::default(),
            flush: false,
            marks: Marks::default(),
            links: Links::default(),
            times: Times::default(),
            rescan: None,
            rescanned: Instant::default(),
            polls: false,
            skipped: BTreeSet::new(),
            told: None,
        }
    }

    /// Goes on. Errors are those of the stores and of the folder as a whole.
    pub fn step(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Step, StoreError> {
        while !budget.is_spent() {
            match self.advance(cx, budget) {
                Ok(Step::More) => {}
                Ok(step) => return Ok(step),
                Err(error) => return pause(error),
            }
        }
        Ok(Step::More)
    }

    /// The next piece of work, in the order in which pieces must be done.
    fn advance(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Step, StoreError> {
        if self.flush || self.batch.is_flushing() {
            self.write(cx, budget)?;
            return Ok(Step::More);
        }
        if self.batch.is_full() {
            self.flush = true;
            return Ok(Step::More);
        }
        if self.hashing.is_some() {
            return self.hash(cx, budget);
        }
        if self.removing.is_some() {
            self.remove(cx, budget)?;
            return Ok(Step::More);
        }
        if !self.frames.is_empty() {
            return self.walk(cx, budget);
        }
        match self.phase {
            Phase::Recover => self.recover(cx, budget)?,
            Phase::Rules => self.start(cx)?,
            Phase::Sweep(_) => self.sweep(cx, budget)?,
            Phase::Tidy(_) => self.tidy(cx, budget)?,
            Phase::Scan => {
                self.phase = Phase::Watch;
                self.rescanned = cx.now;
                if self.polls {
                    self.rescan = Some(cx.now + POLL_FOLDER);
                }
            }
            Phase::Watch => return self.attend(cx, budget),
        }
        Ok(Step::More)
    }

    fn write(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let mut tree = Tree {
            names: &mut self.names,
            files: &mut self.files,
            outputs: &mut self.outputs,
            figures: &mut self.figures,
            times: &mut self.times,
        };
        if self.batch.flush(cx, &mut tree, budget)? {
            self.flush = false;
        }
        Ok(())
    }

    fn recover(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let units = budget.left();
        budget.bytes(units / 2 + 1);
        if cx.metadata.recovering() && cx.metadata.recover(cx.disk, None, units)? == Progress::More
        {
            return Ok(());
        }
        // Content is made durable before an entry speaks of it: nothing that counts is missing.
        let (disk, content) = cx.content()?;
        if content.recovering() && content.recover(disk, None, units)? == Progress::More {
            return Ok(());
        }
        self.batch = Batch::new(content.feed().length());
        self.phase = Phase::Rules;
        Ok(())
    }

    /// Begins to hold the drive and the folder against each other.
    fn start(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        // A folder that is not there has no files, which must not be taken for deletions.
        cx.disk.stat(cx.dir, Path::new(DAT_DIR), false)?;
        self.rules = read_rules(cx)?;
        let format = cx.format();
        let version = format.version(cx.metadata.feed().length());
        if (self.names.format(), self.names.version()) != (format, version) {
            self.names = Names::new(format, version);
        }
        self.figures = Figures::default();
        self.skipped.clear();
        self.links.clear();
        self.polls = false;
        self.phase = Phase::Sweep(Diff::all(format, version));
        Ok(())
    }

    /// One entry of the drive: is it still there?
    fn sweep(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let Phase::Sweep(walk) = &mut self.phase else { return Ok(()) };
        budget.calls(2);
        let Some(difference) = walk.next(&mut Nodes { disk: cx.disk, metadata: cx.metadata })?
        else {
            self.phase = Phase::Tidy(Gaps::default());
            self.flush = true;
            return Ok(());
        };
        let Difference::Put { entry, .. } = difference else { return Ok(()) };
        let Some(old) = known(&entry) else { return Ok(()) };
        if !old.1.is_dir() {
            self.figures.files += 1;
            self.figures.bytes += old.1.size;
        }
        let Ok(path) = path::check(&entry.name) else { return Ok(()) };
        // A failing look must not lose the entry, which the walk has passed: the file is taken as
        // there, and the walk of the folder finds out more.
        let gone = match self.look(cx, &path) {
            Look::File(_) => old.1.is_dir(),
            Look::Dir(_) => !old.1.is_dir(),
            Look::Link(_) => false,
            Look::Gone | Look::Odd(_) => true,
            Look::Unreadable(error) => {
                self.skip(&path, &format!("it cannot be read: {error}"));
                false
            }
        };
        if gone {
            let name = entry.name;
            self.batch.push(Entry::delete(name, old), &[]);
        } else {
            self.files.insert(old.0, &old.1, false);
        }
        Ok(())
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        if !matches!(self.phase, Phase::Watch) {
            return None;
        }
        [self.rescan, self.marks.next()].into_iter().flatten().min()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where the published blocks are.
    pub fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    /// The whole folder was looked at once, and everything found is published.
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Watch)
            && self.batch.is_empty()
            && self.frames.is_empty()
            && self.hashing.is_none()
            && self.marks.is_empty()
            && self.told.is_some()
    }

    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Closes the files. What was not announced is found again by the next scan.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        if let Some(mut hashing) = self.hashing.take() {
            hashing.close(cx);
        }
        self.files.rest(cx.disk);
        self.times.close(cx.disk);
    }

    /// Reports a path once.
    fn skip(&mut self, path: &Path, why: &str) {
        if self.skipped.len() < SKIPPED_PATHS && self.skipped.insert(path.to_owned()) {
            let path = path.to_string_lossy().into_owned();
            self.outputs.push_back(Output::Skipped { path, why: why.to_owned() });
        }
    }
}

/// What an entry says, if it says anything that we can keep track of.
fn known(entry: &Found) -> Option<(u32, Stat)> {
    Some((u32::try_from(entry.seq).ok()?, entry.stat?))
}

fn read_rules(cx: &mut Cx<'_>) -> Result<Rules, StoreError> {
    let file = match cx.disk.open(cx.dir, Path::new(DATIGNORE), Open::ReadFollow) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(StoreError::NotYet),
        Err(_) => return Ok(Rules::default()),
    };
    let mut text = vec![0; IGNORE_BYTES];
    let mut len = 0;
    let read = loop {
        match cx.disk.read_at(file, len as u64, &mut text[len..]) {
            Ok(0) => break Ok(()),
            Ok(n) => len += n,
            Err(error) => break Err(error),
        }
    };
    cx.disk.close(file);
    match read {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(StoreError::NotYet),
        _ => Ok(Rules::new(&String::from_utf8_lossy(&text[..len]))),
    }
}
