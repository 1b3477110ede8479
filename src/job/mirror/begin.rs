//! The beginning: what is on disk of an earlier run. The feeds are recovered, then the version that
//! the folder was is held against it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use super::journal::Journal;
use super::{Item, Mirror, Phase};
use crate::drive::diff::{Change, Diff};
use crate::drive::format::Format;
use crate::drive::path::{self, DAT_DIR};
use crate::drive::stat::Form;
use crate::job::files::{read_all, temp_dir, temp_path};
use crate::job::import::clear_unless_claimed;
use crate::job::map::MAPS;
use crate::job::{Budget, Cx, Nodes, Output, Step};
use crate::limits::{MAX_SAFE_INTEGER, SCAN_NAMES};
use crate::store::disk::{Kind, Open};
use crate::store::{Progress, StoreError, write_all};

/// The version whose changes the folder has (dat/SPEC §10).
const LATEST: &str = ".dat/metadata.latest";

impl Mirror {
    pub(super) fn recover(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<Step, StoreError> {
        // Without a content feed there is no block 0 yet, and nothing to do.
        let Some(content) = &mut cx.content else { return Ok(Step::Idle) };
        let units = budget.left();
        budget.bytes(units / 2 + 1);
        if cx.metadata.recovering() && cx.metadata.recover(cx.disk, None, units)? == Progress::More
        {
            return Ok(Step::More);
        }
        // Blocks whose bits were lost are found by adopting.
        if !content.recovering() || content.recover(cx.disk, None, units)? == Progress::Done {
            self.phase = Phase::Open;
        }
        Ok(Step::More)
    }

    pub(super) fn open(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let (applied, fork) = read_latest(cx)?;
        self.fork = cx.metadata.feed().fork_id();
        match cx.disk.make_dir(cx.dir, Path::new(temp_dir())) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        match cx.disk.make_dir(cx.dir, Path::new(MAPS)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        self.let_go_of_earlier(cx)?;
        self.temps = list_temps(cx)?;
        if fork == self.fork {
            self.applied = applied;
            let beyond = cx.format().blocks(applied);
            self.journal = Journal::open(cx.disk, cx.dir, beyond)?;
        } else {
            // Of another history: the same numbers stand for other entries.
            for seq in std::mem::take(&mut self.temps) {
                cx.disk.remove(cx.dir, &temp_path(seq))?;
            }
            write_latest(cx, 0, self.fork)?;
            self.journal = Journal::open(cx.disk, cx.dir, u64::MAX)?;
            self.journal.clear(cx.disk)?;
        }
        self.planned = self.applied;
        self.phase = Phase::Base(Diff::all(cx.format(), self.applied), None);
        Ok(())
    }

    pub(super) fn base(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<Step, StoreError> {
        if cx.metadata.feed().have().prefix() < cx.format().blocks(self.applied) {
            return Ok(Step::Idle);
        }
        let Phase::Base(walk, item) = &mut self.phase else { return Ok(Step::More) };
        let item = match item.take() {
            Some(item) => item,
            None => match walk.next(&mut Nodes { disk: cx.disk, metadata: cx.metadata })? {
                Some(change) => Item { change },
                None => {
                    self.phase = Phase::Ready;
                    return Ok(Step::More);
                }
            },
        };
        let done = self.plan_base(cx, budget, &item);
        if !matches!(done, Ok(true))
            && let Phase::Base(_, slot) = &mut self.phase
        {
            *slot = Some(item);
        }
        done.map(|_| Step::More)
    }

    /// One entry of the version that the folder is known to be: is the file still there?
    fn plan_base(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        item: &Item,
    ) -> Result<bool, StoreError> {
        let Change::Put { entry: found, .. } = &item.change else { return Ok(true) };
        let Ok(path) = path::check(&found.name) else { return Ok(true) };
        let Some(stat) = found.stat.filter(|stat| !stat.is_dir()) else { return Ok(true) };
        let seq = u32::try_from(found.seq).unwrap_or(u32::MAX);
        if !self.is_chosen(&path) || self.refusal(cx, &found.name, seq, &stat)?.is_some() {
            return Ok(true);
        }
        if self.journal.get(&found.name).is_some() {
            // A newer entry's file stands there; the plan will come to it.
            self.count_planned(&stat, None);
            return Ok(true);
        }
        budget.calls(1);
        match cx.disk.stat(cx.dir, &path, false) {
            Ok(meta) if meta.kind == Kind::Symlink && stat.is_link() => {
                self.count_planned(&stat, None);
                Ok(true)
            }
            Ok(meta) if meta.kind == Kind::File && stat.form == Form::Map => {
                if self.base_mapped(cx, seq, &stat, meta.size)? {
                    return Ok(true);
                }
                // Whose it is shows when the map is here again.
                self.plan_put(cx, budget, found, &path, Some(found.seq))
            }
            Ok(meta) if meta.kind == Kind::File && meta.size == stat.size && stat.is_file() => {
                self.count_planned(&stat, None);
                self.files.insert(seq, &stat, false);
                Ok(true)
            }
            Ok(_) => {
                let path = path.to_string_lossy().into_owned();
                self.outputs.push_back(Output::Kept { kept_as: path.clone(), path });
                clear_unless_claimed(cx, &self.files, stat.offset, stat.blocks, &mut self.outputs)?;
                Ok(true)
            }
            // What is missing comes again.
            Err(_) => self.plan_put(cx, budget, found, &path, None),
        }
    }
}

/// The version, and of which history it is one: a core may have several (16 bytes), a Dat feed has one
/// (8 bytes).
pub(super) fn read_latest(cx: &mut Cx<'_>) -> Result<(u64, u64), StoreError> {
    let file = match cx.disk.open(cx.dir, Path::new(LATEST), Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error.into()),
    };
    let (mut version, mut fork) = (Vec::new(), Vec::new());
    let read = read_all(cx.disk, file, 0, 8, &mut version)
        .and_then(|_| read_all(cx.disk, file, 8, 8, &mut fork));
    cx.disk.close(file);
    read?;
    let number = |bytes: Vec<u8>| bytes.try_into().map_or(0, u64::from_be_bytes);
    let (version, fork) = (number(version), number(fork));
    Ok((if version > MAX_SAFE_INTEGER { 0 } else { version }, fork))
}

pub(super) fn write_latest(cx: &mut Cx<'_>, version: u64, fork: u64) -> Result<(), StoreError> {
    let mut bytes = version.to_be_bytes().to_vec();
    if cx.format() == Format::Hyper {
        bytes.extend(fork.to_be_bytes());
    }
    let file = cx.disk.open(cx.dir, Path::new(LATEST), Open::Create)?;
    let new = cx.disk.meta(file).map(|meta| meta.size == 0);
    let written = write_all(cx.disk, file, 0, &bytes);
    let synced = written.and_then(|()| Ok(cx.disk.sync_data(file)?));
    cx.disk.close(file);
    synced?;
    if new? {
        cx.disk.sync_dir(cx.dir, Path::new(DAT_DIR))?;
    }
    Ok(())
}

pub(super) fn list_temps(cx: &mut Cx<'_>) -> Result<BTreeSet<u32>, StoreError> {
    let mut temps = BTreeSet::new();
    let mut names = Vec::new();
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        cursor = cx.disk.list(cx.dir, Path::new(temp_dir()), from, SCAN_NAMES, &mut names)?;
        let numbers = names.drain(..).filter_map(|n| n.name.to_str()?.parse::<u32>().ok());
        temps.extend(numbers);
    }
    Ok(temps)
}
