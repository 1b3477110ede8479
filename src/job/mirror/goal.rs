//! Which version the folder goes to next, and being there.

use super::begin::write_latest;
use super::{Mirror, Options, Phase};
use crate::drive::diff::Diff;
use crate::drive::format::Format;
use crate::job::{Budget, Cx, Figures, Output, Step};
use crate::store::StoreError;

impl Mirror {
    /// Nothing is in progress: what comes next?
    pub(super) fn go_on(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<Step, StoreError> {
        if self.adopting.is_some() {
            self.adopt_step(cx, budget)?;
            return Ok(Step::More);
        }
        if let Some(&seq) = self.adopt.first() {
            self.begin_adopt(cx, seq)?;
            if self.adopting.is_none() {
                self.adopt.remove(&seq);
            }
            return Ok(Step::More);
        }
        if let Some(target) = self.next_target(cx) {
            let walk = Diff::new(cx.format(), self.planned, target);
            self.phase = Phase::Plan(walk, target, None);
            return Ok(Step::More);
        }
        // A goal ahead: there is more to come, unless something was done that is not durable yet.
        let done = self.goal.is_none() || self.planned != self.applied;
        if done && self.pending.is_empty() && self.told != Some(self.planned) {
            return self.finish(cx);
        }
        Ok(Step::Idle)
    }

    /// A version to go to, all of whose metadata is here.
    fn next_target(&mut self, cx: &mut Cx<'_>) -> Option<u64> {
        let (format, feed) = (cx.format(), cx.metadata.feed());
        if feed.length() == 0 {
            return None;
        }
        let newest = format.version(feed.length());
        let goal = match self.version {
            Some(version) => version,
            // With a busy writer the newest version is always incomplete: keep to one goal.
            None => *self.goal.get_or_insert(newest),
        };
        let here = feed.have().prefix();
        if here < format.blocks(goal).max(1) {
            return None;
        }
        self.goal = None;
        let target = match format {
            Format::Dat => self.version.unwrap_or(format.version(here)),
            // Only what was signed as a length is known to be one that can be read from.
            Format::Hyper => goal,
        };
        (target != self.planned).then_some(target)
    }

    /// The folder is the version planned: makes that durable and tells.
    fn finish(&mut self, cx: &mut Cx<'_>) -> Result<Step, StoreError> {
        let blocks = cx.format().blocks(self.planned).max(1);
        let whole = cx.metadata.feed().have().prefix() >= blocks;
        if cx.metadata.feed().length() == 0 || !whole {
            return Ok(Step::Idle);
        }
        if self.applied != self.planned {
            self.journal.write(cx.disk)?;
            self.commit(cx)?;
            cx.metadata.commit(cx.disk, cx.now)?;
            // With a choice of paths other files belong to other versions.
            if self.only.is_empty() {
                write_latest(cx, self.planned, self.fork)?;
                self.journal.clear(cx.disk)?;
                self.tidy_maps(cx)?;
            }
            self.applied = self.planned;
        }
        self.told = Some(self.planned);
        let Figures { files, bytes, .. } = self.figures;
        let bytes = bytes.saturating_add_signed(self.files.beyond());
        // What was wanted for this version is here: nothing is wanted now.
        self.rebuild = true;
        self.outputs.push_back(Output::Complete { version: self.planned, files, bytes });
        Ok(Step::More)
    }

    /// The version that decides what stands in the folder.
    pub(super) fn target(&self) -> u64 {
        match self.phase {
            Phase::Plan(_, target, _) => target,
            _ => self.planned,
        }
    }

    /// A writer may take versions back and write others in their place. Then nothing that was known by
    /// numbers counts, and the folder is held against the whole of the new history.
    pub(super) fn follow_fork(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let fork = cx.metadata.feed().fork_id();
        if fork == self.fork || matches!(self.phase, Phase::Recover | Phase::Open) {
            return Ok(());
        }
        self.put_down(cx);
        let only = std::mem::take(&mut self.only);
        let outputs = std::mem::take(&mut self.outputs);
        let options = Options { only: Vec::new(), version: self.version };
        *self = Mirror { only, outputs, ..Mirror::new(options) };
        self.wanted_changed = true;
        Ok(())
    }
}
