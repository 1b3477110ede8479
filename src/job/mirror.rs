//! The clone's side: entries become files. Content is written beside, in `.dat/tmp`, and a file
//! goes to its place when it is whole: mode and time set, synced, renamed. Only what the drive
//! wrote is replaced or deleted; a file that the user changed is kept.
//!
//! What the folder is, is known after any kill: `.dat/metadata.latest` holds the last version that
//! it was durably, the journal which files went beyond it, and the rest is found out by looking.

mod adopt;
mod apply;
mod aside;
mod begin;
mod blocks;
mod goal;
mod journal;
mod mapped;
mod plan;
mod present;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use self::adopt::Adopt;
use self::apply::Placing;
use self::aside::Aside;
use self::journal::Journal;
use self::present::Compare;
use super::files::Files;
use super::{Budget, Cx, Figures, Nodes, Output, Step, pause};
use crate::bits::RangeSet;
use crate::drive::diff::{Change, Diff};
use crate::limits::{MIRROR_BATCH_WAIT, MIRROR_COMMIT_BYTES};
use crate::store::StoreError;
use crate::time::Instant;

/// What of a drive to have in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Paths (files or directories); empty: everything.
    pub only: Vec<String>,
    /// This version and no later one.
    pub version: Option<u64>,
}

/// Keeps a folder like the drive. Content blocks come in by `place`, then `stored`.
pub struct Mirror {
    only: Vec<PathBuf>,
    version: Option<u64>,
    files: Files,
    outputs: VecDeque<Output>,
    figures: Figures,
    phase: Phase,
    /// Number of the metadata's history; a writer that takes versions back counts it up.
    fork: u64,
    /// The version that the folder is, and the one that it is on its way to.
    applied: u64,
    planned: u64,
    /// The version to go to once all metadata up to it is here.
    goal: Option<u64>,
    told: Option<u64>,
    /// Entries whose files are not in place → the entry whose file stands there (0: none).
    pending: BTreeMap<u32, u32>,
    pending_bytes: u64,
    /// Bytes of pending files that are here.
    partial: u64,
    wanted: RangeSet,
    wanted_changed: bool,
    /// `wanted` is made anew: ranges of entries given up may be those of others.
    rebuild: bool,
    /// Temporary files that are there.
    temps: BTreeSet<u32>,
    /// Pending entries whose blocks may be on disk already; not wanted before that is known.
    adopt: BTreeSet<u32>,
    adopting: Option<Adopt>,
    /// Pending contents with a map that is known → how many of their blocks are not here; 0: all
    /// were found where they belong.
    missing: BTreeMap<u32, u64>,
    /// Pending entries that may be complete.
    touched: Vec<u32>,
    ready: VecDeque<u32>,
    ready_since: Option<Instant>,
    placing: Option<Placing>,
    comparing: Option<Compare>,
    /// What was compared last had changed when that was done.
    changed: bool,
    /// Files taken out of their places, about which is to be decided.
    asides: Vec<Aside>,
    journal: Journal,
    /// The last directory made.
    made: PathBuf,
    /// Bytes placed since the last commit.
    uncommitted: u64,
    /// Blocks were placed whose hashes are only in memory.
    unflushed: bool,
}

enum Phase {
    Recover,
    Open,
    /// Looks whether the files of the version applied are there.
    Base(Diff, Option<Item>),
    Ready,
    Plan(Diff, u64, Option<Item>),
    /// Files of an earlier run that the plan did not meet.
    Orphans(Option<Item>),
    /// Removes temporary files that belong to nothing.
    Tidy,
}

/// A difference being worked on.
pub(super) struct Item {
    change: Change,
}

impl Mirror {
    pub fn new(options: Options) -> Mirror {
        let relative = |path: &String| PathBuf::from(path.trim_matches('/'));
        Mirror {
            only: options.only.iter().map(relative).collect(),
            version: options.version,
            files: Files::default(),
            outputs: VecDeque::new(),
            figures: Figures::default(),
            phase: Phase::Recover,
            fork: 0,
            applied: 0,
            planned: 0,
            goal: None,
            told: None,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            partial: 0,
            wanted: RangeSet::new(),
            wanted_changed: false,
            rebuild: false,
            temps: BTreeSet::new(),
            adopt: BTreeSet::new(),
            adopting: None,
            missing: BTreeMap::new(),
            touched: Vec::new(),
            ready: VecDeque::new(),
            ready_since: None,
            placing: None,
            comparing: None,
            changed: false,
            asides: Vec::new(),
            journal: Journal::default(),
            made: PathBuf::new(),
            uncommitted: 0,
            unflushed: false,
        }
    }

    /// Goes on: plans newer versions once their metadata is here, puts complete files in place.
    /// Commits the content feed by itself (nobody else may: its bytes must be synced first).
    pub fn step(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Step, StoreError> {
        // What was placed since the last step outlives a kill, whatever else this step is about.
        if let Err(error) = self.write_back(cx).and_then(|()| self.follow_fork(cx)) {
            return pause(error);
        }
        let result = loop {
            if budget.is_spent() {
                break Ok(Step::More);
            }
            match self.advance(cx, budget) {
                Ok(Step::More) => {}
                Ok(step) => break Ok(step),
                Err(error) => break pause(error),
            }
        };
        self.publish_wanted();
        result
    }

    fn advance(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<Step, StoreError> {
        if !self.asides.is_empty() {
            self.let_go(cx)?;
        }
        if self.placing.is_some() {
            self.place_step(cx, budget)?;
            return Ok(Step::More);
        }
        if self.keep_durable(cx)? {
            return Ok(Step::More);
        }
        match self.phase {
            Phase::Recover => return self.recover(cx, budget),
            Phase::Open => {
                self.open(cx)?;
                return Ok(Step::More);
            }
            Phase::Base(..) => return self.base(cx, budget),
            // What was begun is finished first: the comparison it may be in is the only one.
            Phase::Plan(_, _, Some(_)) => {
                self.plan_step(cx, budget)?;
                return Ok(Step::More);
            }
            _ => {}
        }
        if self.look_at_touched(cx, budget)? {
            return Ok(Step::More);
        }
        if self.is_batch_due(cx.now) {
            self.begin_placing();
            return Ok(Step::More);
        }
        match self.phase {
            Phase::Plan(..) => self.plan_step(cx, budget)?,
            Phase::Orphans(_) => self.orphan_step(cx, budget)?,
            Phase::Tidy => self.tidy(cx)?,
            _ => return self.go_on(cx, budget),
        }
        Ok(Step::More)
    }

    fn plan_step(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let Phase::Plan(walk, target, item) = &mut self.phase else { return Ok(()) };
        let item = match item.take() {
            Some(item) => item,
            None => {
                budget.calls(1);
                match walk.next(&mut Nodes { disk: cx.disk, metadata: cx.metadata })? {
                    Some(change) => Item { change },
                    None => {
                        self.planned = *target;
                        self.phase = Phase::Orphans(None);
                        return Ok(());
                    }
                }
            }
        };
        let done = self.plan(cx, budget, &item);
        if !matches!(done, Ok(true))
            && let Phase::Plan(_, _, slot) = &mut self.phase
        {
            *slot = Some(item);
        }
        done.map(drop)
    }

    fn orphan_step(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let Phase::Orphans(item) = &mut self.phase else { return Ok(()) };
        let item = match item.take() {
            Some(item) => item,
            None => {
                let Some(seq) = self.journal.take_stale() else {
                    self.phase = Phase::Tidy;
                    return Ok(());
                };
                match self.orphan(cx, seq)? {
                    Some(item) => item,
                    None => return Ok(()),
                }
            }
        };
        let done = self.plan(cx, budget, &item);
        if !matches!(done, Ok(true)) {
            self.phase = Phase::Orphans(Some(item));
        }
        done.map(drop)
    }

    /// Removes temporary files of entries that nobody waits for.
    fn tidy(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let stale = self.temps.iter().copied().find(|seq| !self.pending.contains_key(seq));
        match stale {
            Some(seq) => {
                let _ = cx.disk.remove(cx.dir, &super::files::temp_path(seq));
                self.temps.remove(&seq);
            }
            None => self.phase = Phase::Ready,
        }
        Ok(())
    }

    /// Writes the hashes of blocks that were placed to the files, without waiting for the device.
    /// The next run finds every block by them whose bytes are in its file; the bits, which are
    /// believed without a look, wait for `commit`.
    fn write_back(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        if self.unflushed {
            let (disk, content) = cx.content()?;
            content.flush(disk)?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Syncs when enough was placed since the last time.
    fn keep_durable(&mut self, cx: &mut Cx<'_>) -> Result<bool, StoreError> {
        let due = self.uncommitted >= MIRROR_COMMIT_BYTES;
        if due {
            self.commit(cx)?;
        }
        Ok(due)
    }

    fn nodes<'a>(&self, cx: &'a mut Cx<'_>) -> Nodes<'a> {
        Nodes { disk: cx.disk, metadata: cx.metadata }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.ready_since.map(|since| since + MIRROR_BATCH_WAIT)
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where the stored blocks are.
    pub fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    /// The version that stands in the folder, whole and durable.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Nothing is left to do for the metadata known so far.
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Ready)
            && self.pending.is_empty()
            && self.goal.is_none()
            && self.told == Some(self.planned)
    }

    pub fn figures(&self) -> Figures {
        let Figures { files, bytes, .. } = self.figures;
        let bytes = bytes.saturating_add_signed(self.files.beyond());
        let files_done = files.saturating_sub(self.pending.len() as u64);
        let partial = self.partial.min(self.pending_bytes);
        let bytes_done = bytes.saturating_sub(self.pending_bytes) + partial;
        Figures { files_done, files, bytes_done, bytes }
    }

    /// Makes what is there durable and closes the files (before the stores are closed).
    pub fn close(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let written = self.journal.write(cx.disk);
        self.put_down(cx);
        written.and_then(|()| self.commit(cx))
    }

    /// Closes all files.
    fn put_down(&mut self, cx: &mut Cx<'_>) {
        if let Some(adopting) = self.adopting.take() {
            adopting.close(cx);
        }
        if let Some(compare) = self.comparing.take() {
            compare.close(cx);
        }
        self.files.rest(cx.disk);
        self.journal.close(cx.disk);
    }
}
