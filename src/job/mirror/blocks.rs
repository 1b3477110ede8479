//! Blocks of content: which are wanted, and where they go when they come.

use super::{Mirror, Phase};
use crate::bits::RangeSet;
use crate::drive::stat::Stat;
use crate::job::files::{self, Part, Place, within};
use crate::job::{Budget, Cx, Nodes, Output};
use crate::limits::{MIRROR_BATCH_FILES, MIRROR_BATCH_WAIT};
use crate::store::disk::File;
use crate::store::{StoreError, write_all};
use crate::time::Instant;

impl Mirror {
    /// Looks whether a file that got blocks is complete. `false`: there is none to look at.
    pub(super) fn look_at_touched(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let Some(&seq) = self.touched.last() else { return Ok(false) };
        budget.calls(1);
        if self.pending.contains_key(&seq) && !self.adopt.contains(&seq) {
            if !self.look_at_map(cx, seq)? {
                self.touched.retain(|&touched| touched != seq);
                return Ok(true);
            }
            let found = files::entry(&mut self.nodes(cx), seq)?;
            if let Some((_, stat)) = found
                && self.is_stored(cx, &stat)
                && !self.ready.contains(&seq)
            {
                self.ready.push_back(seq);
                self.ready_since.get_or_insert(cx.now);
            }
        }
        self.touched.retain(|&touched| touched != seq);
        Ok(true)
    }

    pub(super) fn is_batch_due(&self, now: Instant) -> bool {
        let waited = self.ready_since.is_some_and(|since| since + MIRROR_BATCH_WAIT <= now);
        let all = self.ready.len() == self.pending.len() && matches!(self.phase, Phase::Ready);
        !self.ready.is_empty() && (waited || all || self.ready.len() >= MIRROR_BATCH_FILES)
    }

    pub(super) fn want(&mut self, stat: &Stat) {
        if stat.blocks > 0 {
            self.wanted.insert(stat.offset, stat.blocks);
            self.wanted_changed = true;
        }
    }

    pub(super) fn publish_wanted(&mut self) {
        let planning = matches!(self.phase, Phase::Plan(..) | Phase::Base(..) | Phase::Orphans(_));
        if planning {
            return;
        }
        if std::mem::take(&mut self.rebuild) {
            let mut wanted = RangeSet::new();
            for place in self.files.iter().filter(|p| p.temp && !self.adopt.contains(&p.seq)) {
                wanted.insert(place.first, place.blocks);
            }
            self.wanted = wanted;
            self.wanted_changed = true;
        }
        if std::mem::take(&mut self.wanted_changed) {
            self.outputs.push_back(Output::Wanted);
        }
    }

    /// The content blocks still needed, or needed and stored already.
    pub fn wanted(&self) -> &RangeSet {
        &self.wanted
    }

    /// Writes a verified content block that begins at byte `offset` of the feed (between
    /// `FeedStore::check` and `accept`; both numbers are in `Accepted`). `false`: no file of the
    /// drive needs it, so it is not stored. `Full`: call again later.
    pub fn place(
        &mut self,
        cx: &mut Cx<'_>,
        block: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let mut placed = false;
        let places: Vec<_> = self.files.at(block).filter(|place| place.temp).collect();
        for place in places {
            let written = match place.part {
                Part::Run => self.write_temp(cx, place.seq, offset, bytes)?,
                Part::Map => self.write_map(cx, place.seq, offset, bytes)?,
                Part::Chunk => self.write_chunks(cx, place.seq, block, bytes)?,
            };
            if written {
                placed = true;
            } else if let Some((name, stat)) = files::entry(&mut self.nodes(cx), place.seq)? {
                self.refuse_pending(cx, place.seq, &name, &stat)?;
            }
        }
        Ok(placed)
    }

    /// Writes bytes of the content feed into an entry's temporary file. `false`: they do not lie
    /// in it (D07).
    pub(super) fn write_temp(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let Some((file, stat)) = self.temp(cx, seq)? else { return Ok(false) };
        let Some(at) = within(&stat, offset, bytes.len() as u64) else { return Ok(false) };
        write_all(cx.disk, file, at, bytes)?;
        let written = bytes.len() as u64;
        self.wrote(written);
        self.partial += written;
        Ok(true)
    }

    /// The temporary file of an entry, made if it is not there, and what the entry says. `None`: it
    /// says nothing.
    pub(super) fn temp(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
    ) -> Result<Option<(File, Stat)>, StoreError> {
        let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
        let opened = self.files.open_temp(&mut nodes, cx.dir, seq)?;
        if opened.is_some() {
            self.temps.insert(seq);
        }
        Ok(opened)
    }

    /// Bytes of content were written that are not durable yet.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.uncommitted += bytes;
        self.unflushed = true;
    }

    /// The block was accepted by the content feed.
    pub fn stored(&mut self, _now: Instant, block: u64) {
        for seq in self.files.waiting(block).collect::<Vec<_>>() {
            let Some(missing) = self.missing.get_mut(&seq) else { continue };
            *missing = missing.saturating_sub(1);
            if *missing == 0 {
                // Each is looked at once more where it lies: of those that wait for a block, not all
                // need to have got it.
                self.missing.remove(&seq);
                self.touched.push(seq);
            }
        }
        let whole = |place: &Place| place.temp && place.part != Part::Chunk;
        for place in self.files.at(block).filter(whole) {
            if self.touched.last() != Some(&place.seq) {
                self.touched.push(place.seq);
            }
        }
    }
}
