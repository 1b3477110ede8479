//! The share's side: files become entries. First what the drive has is held against the folder,
//! so that what vanished while nobody looked is deleted; then the whole folder is walked; from then
//! on paths are looked at when something is told to have happened to them.
//!
//! A file becomes an entry when it was the same before and after its bytes were hashed. What cannot
//! be read is reported and never taken for deleted.

mod batch;
mod hashing;
mod links;
mod marks;

use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::{Budget, Cx, Figures, Nodes, Output, Step, pause};
use crate::drive::dirs::Dirs;
use crate::drive::ignore::{DATIGNORE, Rules};
use crate::drive::path::{self, DAT_DIR};
use crate::drive::stat::Stat;
use crate::drive::tree::TreeNode;
use crate::drive::walk::{Change as Difference, Diff};
use crate::limits::{
    DRIVE_DEPTH, IGNORE_BYTES, POLL_FOLDER, RACY_MTIME, RESCAN_AFTER, SCAN_NAMES, SKIPPED_PATHS,
};
use crate::store::disk::{Entry as Name, Kind, Meta, Open};
use crate::store::{Progress, StoreError};
use crate::sys::Change;
use crate::time::{Instant, Wall};
pub(super) use batch::clear_unless_claimed;
use batch::{Batch, Blocks, Entry, Tree};
use hashing::{Hashed, Hashing};
use links::{Links, Look};
use marks::{Mark, Marks, Trust};

/// Publishes a folder: first all of it, then what changes. The metadata feed must hold block 0.
pub struct Import {
    watch: bool,
    files: Files,
    outputs: VecDeque<Output>,
    figures: Figures,
    rules: Rules,
    /// What the drive's tree is known to hold.
    dirs: Dirs,
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
    rescan: Option<Instant>,
    rescanned: Instant,
    /// Some directory cannot be watched.
    polls: bool,
    skipped: BTreeSet<PathBuf>,
    told: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    Recover,
    Rules,
    Sweep(Diff),
    Scan,
    Watch,
}

/// A directory being walked.
#[derive(Debug)]
struct Frame {
    path: PathBuf,
    /// Where that is, without links on the way.
    real: PathBuf,
    stage: Listing,
    /// Names still to look at, the next one last.
    names: Vec<Name>,
    /// Names were seen that are not ignored.
    inhabited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    /// Waits until it is watched.
    Unwatched,
    From(u64),
    Listed,
}

#[derive(Debug)]
struct Removing {
    walk: Diff,
    /// An entry that stays.
    keep: Option<String>,
    /// Directory that may be empty afterwards.
    parent: Option<PathBuf>,
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
            dirs: Dirs::new(0),
            phase: Phase::Recover,
            frames: Vec::new(),
            removing: None,
            hashing: None,
            batch: Batch::default(),
            flush: false,
            marks: Marks::default(),
            links: Links::default(),
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
            dirs: &mut self.dirs,
            files: &mut self.files,
            outputs: &mut self.outputs,
            figures: &mut self.figures,
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
        let head = cx.metadata.feed().length().saturating_sub(1);
        if self.dirs.head() != head {
            self.dirs = Dirs::new(head);
        }
        self.figures = Figures::default();
        self.skipped.clear();
        self.links.clear();
        self.polls = false;
        self.phase = Phase::Sweep(Diff::all(head));
        Ok(())
    }

    /// One entry of the drive: is it still there?
    fn sweep(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let Phase::Sweep(walk) = &mut self.phase else { return Ok(()) };
        budget.calls(2);
        let Some(difference) = walk.next(&mut Nodes { disk: cx.disk, metadata: cx.metadata })?
        else {
            self.phase = Phase::Scan;
            self.flush = true;
            self.enter(PathBuf::new());
            return Ok(());
        };
        let Difference::Put { node, .. } = difference else { return Ok(()) };
        let Some(old) = known(&node) else { return Ok(()) };
        if !old.1.is_dir() {
            self.figures.files += 1;
            self.figures.bytes += old.1.size;
        }
        let Ok(path) = path::check(&node.name) else { return Ok(()) };
        // A failing look must not lose the entry, which the walk has passed: the file is taken as
        // there, and the walk of the folder finds out more.
        let gone = match self.look(cx, &path) {
            Look::File(_) => old.1.is_dir(),
            Look::Dir(_) => !old.1.is_dir(),
            Look::Gone | Look::Odd(_) => true,
            Look::Unreadable(error) => {
                self.skip(&path, &format!("it cannot be read: {error}"));
                false
            }
        };
        if gone {
            let (name, blocks) = (node.name, Blocks::Placed);
            self.batch.push(Entry { name, stat: None, old: Some(old), blocks }, &[]);
        } else {
            self.files.insert(old.0, &old.1, false);
        }
        Ok(())
    }

    fn enter(&mut self, path: PathBuf) {
        if path.components().count() >= DRIVE_DEPTH {
            self.skip(&path, "it is too deep");
            return;
        }
        let real = self.links.leads_to(&path);
        let stage = if self.watch {
            self.outputs.push_back(Output::Watch { path: real.clone() });
            Listing::Unwatched
        } else {
            Listing::From(0)
        };
        self.frames.push(Frame { path, real, stage, names: Vec::new(), inhabited: false });
    }

    /// One name of the deepest directory being walked.
    fn walk(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Step, StoreError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Step::More) };
        if let Some(name) = frame.names.last() {
            budget.calls(1);
            let path = frame.path.join(&name.name);
            let kind = name.kind;
            let Some(text) = path.to_str() else {
                let path = path.clone();
                frame.names.pop();
                self.skip(&path, "its name is not UTF-8");
                return Ok(Step::More);
            };
            if self.rules.ignores_itself(text, kind == Kind::Dir) {
                frame.names.pop();
                return Ok(Step::More);
            }
            frame.inhabited = true;
            if kind == Kind::Dir {
                frame.names.pop();
                self.enter(path);
                return Ok(Step::More);
            }
            let found = self.look(cx, &path);
            let linked = matches!(found, Look::Dir(_));
            self.consider(cx, &path, found, Trust::Times)?;
            if let Some(frame) = self.frames.last_mut() {
                frame.names.pop();
            }
            if linked {
                self.enter(path);
            }
            return Ok(Step::More);
        }
        match frame.stage {
            Listing::Unwatched => Ok(Step::Idle),
            Listing::From(cursor) => {
                budget.calls(4);
                let mut cursor = Some(cursor);
                while let Some(from) = cursor.filter(|_| frame.names.len() < SCAN_NAMES) {
                    let room = SCAN_NAMES - frame.names.len();
                    let listed = cx.disk.list(cx.dir, &frame.real, from, room, &mut frame.names);
                    match listed {
                        Ok(next) => cursor = next,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            frame.names.clear();
                            return Err(StoreError::NotYet);
                        }
                        Err(error) if frame.path.as_os_str().is_empty() => return Err(error.into()),
                        Err(error) => {
                            let path = frame.path.clone();
                            self.frames.pop();
                            if error.kind() != ErrorKind::NotFound {
                                self.skip(&path, &format!("it cannot be read: {error}"));
                            }
                            return Ok(Step::More);
                        }
                    }
                }
                frame.names.sort_by(|a, b| b.name.cmp(&a.name));
                frame.names.dedup_by(|a, b| a.name == b.name);
                frame.stage = cursor.map_or(Listing::Listed, Listing::From);
                Ok(Step::More)
            }
            Listing::Listed => {
                if !frame.inhabited && !frame.path.as_os_str().is_empty() {
                    let path = frame.path.clone();
                    self.publish_dir(cx, &path)?;
                }
                self.frames.pop();
                Ok(Step::More)
            }
        }
    }

    /// An empty directory gets an entry of its own; others live by their files.
    fn publish_dir(&mut self, cx: &mut Cx<'_>, path: &Path) -> Result<(), StoreError> {
        let Look::Dir(meta) = self.look(cx, path) else { return Ok(()) };
        let Some(name) = self.name(path) else { return Ok(()) };
        let old = self.find(cx, &name)?;
        let same = |stat: Stat| stat.is_dir() && stat.mode & 0o7777 == meta.mode & 0o7777;
        if old.is_some_and(|(_, stat)| same(stat)) || self.batch.has(&name) {
            return Ok(());
        }
        let stat = Some(Stat::of(&meta, true));
        self.batch.push(Entry { name, stat, old, blocks: Blocks::New(0) }, &[]);
        Ok(())
    }

    /// The entry's name for a path, unless it cannot have one.
    fn name(&mut self, path: &Path) -> Option<String> {
        let name = format!("/{}", path.to_str()?);
        match path::check(&name) {
            Ok(_) => Some(name),
            Err(why) => {
                self.skip(path, &why.to_string());
                None
            }
        }
    }

    fn find(&mut self, cx: &mut Cx<'_>, name: &str) -> Result<Option<(u32, Stat)>, StoreError> {
        let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
        Ok(self.dirs.get(&mut nodes, name)?.and_then(|node| known(&node)))
    }

    /// Decides what is to be done about a path that is no directory.
    fn consider(
        &mut self,
        cx: &mut Cx<'_>,
        path: &Path,
        found: Look,
        trust: Trust,
    ) -> Result<(), StoreError> {
        let meta = match found {
            Look::File(meta) => meta,
            Look::Odd(why) => {
                self.skip(path, why);
                return Ok(());
            }
            Look::Unreadable(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(StoreError::NotYet);
            }
            Look::Unreadable(error) => {
                self.skip(path, &format!("it cannot be read: {error}"));
                return Ok(());
            }
            Look::Gone | Look::Dir(_) => return Ok(()),
        };
        let Some(name) = self.name(path) else { return Ok(()) };
        let old = self.find(cx, &name)?;
        self.figures.files_done += 1;
        let same_size = old.filter(|(_, stat)| stat.is_file() && stat.size == meta.size);
        if let Some((_, stat)) = same_size
            && stat.same_mtime(meta.mtime_ns)
            && (trust == Trust::Times || trust == Trust::OldTimes && !is_racy(cx.wall, &meta))
        {
            if stat.mode & 0o7777 != meta.mode & 0o7777 {
                let mode = stat.mode & !0o7777 | meta.mode & 0o7777;
                let stat = Some(Stat { mode, ..stat });
                self.batch.push(Entry { name, stat, old, blocks: Blocks::Placed }, &[]);
            }
            return Ok(());
        }
        // Names below it, if it was a directory, go first.
        let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
        if self.dirs.has_children(&mut nodes, &name)? {
            self.remove_below(&name, Some(name.clone()), None);
        }
        let compare = same_size.is_some_and(|(_, stat)| stat.blocks > 0);
        self.hashing = Some(Hashing::new(path.to_owned(), name, meta, old, compare));
        Ok(())
    }

    fn hash(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Step, StoreError> {
        let Some(hashing) = &mut self.hashing else { return Ok(Step::More) };
        if self.removing.is_some() {
            self.remove(cx, budget)?;
            return Ok(Step::More);
        }
        let before = budget.left();
        let hashed = hashing.step(cx, budget);
        let (disk, content) = cx.content()?;
        match hashed? {
            Hashed::More => {}
            Hashed::LeavesFull if !self.batch.is_empty() => self.flush = true,
            Hashed::LeavesFull => {
                let (from, byte) = (content.feed().length(), content.feed().byte_length());
                content.append_leaves(disk, hashing.leaves())?;
                hashing.placed(from, byte);
            }
            Hashed::Done(entry, leaves) => {
                // What was doubted may be as it was.
                if entry.old.is_none_or(|(_, old)| Some(old) != entry.stat) {
                    self.batch.push(*entry, &leaves);
                }
                self.hashing = None;
            }
            Hashed::Changed { start, len } => {
                if len > 0 {
                    content.clear(disk, start, len)?;
                    self.batch.orphan(start, len);
                }
                let path = std::mem::take(&mut hashing.path);
                self.hashing = None;
                self.marks.again(cx.now, &path);
            }
            Hashed::Unreadable(error) => {
                let path = std::mem::take(&mut hashing.path);
                self.hashing = None;
                self.skip(&path, &format!("it cannot be read: {error}"));
            }
        }
        self.figures.bytes_done += before.saturating_sub(budget.left()) as u64;
        Ok(Step::More)
    }

    /// Deletes the entries at and below `name`, but not `keep`.
    fn remove_below(&mut self, name: &str, keep: Option<String>, parent: Option<PathBuf>) {
        let walk = Diff::below(0, self.dirs.head(), name);
        self.removing = Some(Removing { walk, keep, parent });
        self.flush = true;
    }

    fn remove(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let Some(removing) = &mut self.removing else { return Ok(()) };
        budget.calls(1);
        match removing.walk.next(&mut Nodes { disk: cx.disk, metadata: cx.metadata })? {
            Some(Difference::Put { node, .. }) if removing.keep.as_ref() != Some(&node.name) => {
                if let Some(old) = known(&node) {
                    let (name, blocks) = (node.name, Blocks::Placed);
                    self.batch.push(Entry { name, stat: None, old: Some(old), blocks }, &[]);
                }
            }
            Some(_) => {}
            None => {
                if !self.batch.is_empty() {
                    // What comes next asks the tree.
                    self.flush = true;
                }
                let parent = removing.parent.take();
                self.removing = None;
                if let Some(parent) = parent.filter(|p| !p.as_os_str().is_empty()) {
                    self.marks.add(cx.now, &parent, Change::Attributes);
                }
            }
        }
        Ok(())
    }

    /// The steady state: rescans, marked paths, and telling when all is written.
    fn attend(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Step, StoreError> {
        if self.rescan.is_some_and(|at| at <= cx.now) {
            self.rescan = None;
            self.marks.clear();
            self.phase = Phase::Rules;
            self.flush = true;
            return Ok(Step::More);
        }
        if let Some((path, mark)) = self.marks.due(cx.now) {
            budget.calls(2);
            match self.mind(cx, &path, mark) {
                Ok(()) => return Ok(Step::More),
                Err(error) => {
                    self.marks.add(cx.now, &path, Change::Attributes);
                    return Err(error);
                }
            }
        }
        if !self.batch.is_empty() {
            self.flush = true;
            return Ok(Step::More);
        }
        let version = self.dirs.head();
        if self.told != Some(version) {
            self.told = Some(version);
            let Figures { files, bytes, .. } = self.figures;
            self.outputs.push_back(Output::Complete { version, files, bytes });
        }
        Ok(Step::Idle)
    }

    /// A marked path whose time has come.
    fn mind(&mut self, cx: &mut Cx<'_>, path: &Path, mark: Mark) -> Result<(), StoreError> {
        let Some(name) = self.name(path) else { return Ok(()) };
        if self.batch.has(&name) {
            self.flush = true;
            self.marks.add(cx.now, path, Change::Attributes);
            return Ok(());
        }
        let found = self.look(cx, path);
        let is_dir = matches!(found, Look::Dir(_));
        if self.rules.ignores(path, is_dir) {
            return Ok(());
        }
        match found {
            Look::File(meta) => {
                if self.marks.is_still(cx.now, path, mark, &meta) {
                    self.consider(cx, path, Look::File(meta), mark.trust)?;
                }
            }
            Look::Dir(_) => {
                if let Some((_, stat)) = self.find(cx, &name)?
                    && !stat.is_dir()
                {
                    self.remove_below(&name, None, None);
                }
                let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
                if mark.scan || !self.dirs.has_children(&mut nodes, &name)? {
                    self.enter(path.to_owned());
                }
            }
            Look::Gone | Look::Odd(_) => {
                cx.disk.stat(cx.dir, Path::new(DAT_DIR), false)?;
                if let Look::Odd(why) = found {
                    self.skip(path, why);
                }
                let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
                if self.dirs.has_members(&mut nodes, &name)? || self.find(cx, &name)?.is_some() {
                    let parent = path.parent().map(Path::to_owned);
                    self.remove_below(&name, None, parent);
                }
            }
            Look::Unreadable(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(StoreError::NotYet);
            }
            Look::Unreadable(error) => self.skip(path, &format!("it cannot be read: {error}")),
        }
        Ok(())
    }

    /// The directory of an `Output::Watch` is watched now, or cannot be (it is then looked at from
    /// time to time).
    pub fn watched(&mut self, path: &Path, ok: bool) {
        self.polls |= !ok;
        for frame in &mut self.frames {
            if frame.stage == Listing::Unwatched && frame.real == path {
                frame.stage = Listing::From(0);
            }
        }
    }

    /// Something happened to a path (relative to the folder).
    pub fn changed(&mut self, now: Instant, path: &Path, what: Change) {
        if path == Path::new(DATIGNORE) {
            self.look_again(now + crate::limits::CLOSED_SETTLE);
        } else if !path.starts_with(DAT_DIR) {
            let mut names = self.links.others(path, what);
            names.push(path.to_owned());
            if !names.iter().all(|path| self.marks.add(now, path, what)) {
                self.overflow(now);
            }
        }
    }

    /// The file does not have this content block any more: it was changed, and nobody told. It is
    /// published as it is, even if its size and time say that it is the same.
    pub fn doubt(
        &mut self,
        nodes: &mut Nodes<'_>,
        now: Instant,
        block: u64,
    ) -> Result<(), StoreError> {
        let places: Vec<u32> = self.files.at(block).map(|place| place.seq).collect();
        for seq in places {
            let Some((name, _)) = super::files::entry(nodes, seq)? else { continue };
            let Ok(path) = path::check(&name) else { continue };
            let hashing = self.hashing.as_ref().is_some_and(|hashing| hashing.path == path);
            if !hashing && !self.marks.doubt(now, &path) {
                self.overflow(now);
            }
        }
        Ok(())
    }

    /// A watched directory is gone.
    pub fn lost(&mut self, now: Instant, path: &Path) {
        if path.as_os_str().is_empty() {
            self.overflow(now);
        } else {
            self.changed(now, path, Change::Vanished { dir: true });
        }
    }

    /// Events were lost: everything is looked at again.
    pub fn overflow(&mut self, now: Instant) {
        let earliest = self.rescanned + RESCAN_AFTER;
        let soon = now + crate::limits::STILL_FOR;
        self.look_again(if self.told.is_none() { soon } else { soon.max(earliest) });
    }

    fn look_again(&mut self, at: Instant) {
        self.rescan = Some(self.rescan.map_or(at, |rescan| rescan.min(at)));
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
    }

    /// Reports a path once.
    fn skip(&mut self, path: &Path, why: &str) {
        if self.skipped.len() < SKIPPED_PATHS && self.skipped.insert(path.to_owned()) {
            let path = path.to_string_lossy().into_owned();
            self.outputs.push_back(Output::Skipped { path, why: why.to_owned() });
        }
    }
}

/// What an entry's node says, if it says anything that we can keep track of.
fn known(node: &TreeNode) -> Option<(u32, Stat)> {
    let stat = Stat::decode(node.value.as_deref()?).ok()?;
    Some((u32::try_from(node.seq).ok()?, stat))
}

/// Whether the file may have changed again without its time telling.
fn is_racy(wall: Wall, meta: &Meta) -> bool {
    let age_ms = i128::from(wall.0) - meta.mtime_ns / 1_000_000;
    age_ms < RACY_MTIME.as_millis() as i128
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
