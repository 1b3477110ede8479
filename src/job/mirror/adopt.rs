//! Content that is on disk already is not fetched again: what a killed run left in a temporary
//! file, a file that another program put in place, blocks of another file. Every block is checked
//! against its hash, and a bit without bytes behind it is taken back.

use std::path::PathBuf;

use super::Mirror;
use super::mapped::Search;
use crate::drive::path;
use crate::drive::stat::{Form, Stat};
use crate::job::files::{entry, read_all, within};
use crate::job::{Budget, Cx, Nodes, Output};
use crate::store::StoreError;
use crate::store::disk::{File, Kind, Meta, Open};

#[derive(Debug)]
pub(super) struct Adopt {
    pub seq: u32,
    name: String,
    path: PathBuf,
    stat: Stat,
    /// The file that stands under the name, if it is one of that size.
    standing: Option<(File, Meta)>,
    /// Every block so far is in the standing file.
    whole: bool,
    /// Next block to look at.
    block: u64,
    /// For a content that has a map.
    search: Option<Search>,
}

impl Adopt {
    pub fn close(self, cx: &mut Cx<'_>) {
        if let Some((file, _)) = self.standing {
            cx.disk.close(file);
        }
    }
}

impl Mirror {
    pub(super) fn begin_adopt(&mut self, cx: &mut Cx<'_>, seq: u32) -> Result<(), StoreError> {
        let Some((name, stat)) = entry(&mut self.nodes(cx), seq)? else { return Ok(()) };
        let Ok(path) = path::check(&name) else { return Ok(()) };
        let map = match stat.form {
            Form::Map => self.files.map(cx.disk, cx.dir, seq, &stat)?,
            _ => None,
        };
        let size = map.as_ref().map_or(stat.size, |map| map.bytes);
        let search = map.map(Search::new);
        let standing = match cx.disk.stat(cx.dir, &path, false) {
            Ok(meta) if meta.kind == Kind::File && meta.size == size => {
                cx.disk.open(cx.dir, &path, Open::Read).ok().map(|file| (file, meta))
            }
            _ => None,
        };
        let (whole, block) = (standing.is_some(), stat.offset);
        self.adopting = Some(Adopt { seq, name, path, stat, standing, whole, block, search });
        Ok(())
    }

    /// Goes on with the file being adopted.
    pub(super) fn adopt_step(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
    ) -> Result<(), StoreError> {
        let Some(mut adopt) = self.adopting.take() else { return Ok(()) };
        let result = match adopt.search.as_mut() {
            Some(search) => {
                let standing = (adopt.standing.map(|(file, _)| file), &mut adopt.whole);
                self.search(cx, budget, adopt.seq, search, standing)
            }
            None => self.adopt_blocks(cx, budget, &mut adopt),
        };
        let whole = adopt.whole;
        let result = match result {
            Ok(true) if whole => match self.adopt_whole(cx, &adopt) {
                Ok(false) => {
                    // Another file stands there by now: take what can be, block by block.
                    adopt.whole = false;
                    adopt.block = adopt.stat.offset;
                    adopt.search.iter_mut().for_each(Search::restart);
                    Ok(false)
                }
                result => result,
            },
            result => result,
        };
        if !matches!(result, Ok(true)) {
            self.adopting = Some(adopt);
            return result.map(drop);
        }
        self.adopt.remove(&adopt.seq);
        if let (Some(search), false) = (&adopt.search, whole) {
            self.searched(cx, adopt.seq, search)?;
        } else if !whole {
            self.want(&adopt.stat);
            self.touched.push(adopt.seq);
        }
        adopt.close(cx);
        Ok(())
    }

    /// The standing file is the entry's, block by block: it only needs mode and time. `false`: it
    /// does not stand there any more, or was changed meanwhile.
    fn adopt_whole(&mut self, cx: &mut Cx<'_>, adopt: &Adopt) -> Result<bool, StoreError> {
        let (seq, stat) = (adopt.seq, adopt.stat);
        let Some((_, proven)) = adopt.standing else { return Ok(false) };
        let standing = self.pending.get(&seq).copied().filter(|&s| s != 0 && s != seq);
        let old = match standing {
            Some(old) => entry(&mut self.nodes(cx), old)?.map(|(_, stat)| (old, stat)),
            None => None,
        };
        if !self.set_meta(cx, &adopt.path, &stat, &proven)? {
            return Ok(false);
        }
        self.drop_pending(cx, seq, &stat);
        let size = self.settle(cx, seq, &stat)?;
        self.journal.note(&adopt.name, seq);
        self.tell_put(&adopt.path, seq, size);
        self.retire(cx, old, false)?;
        Ok(true)
    }

    fn adopt_blocks(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        adopt: &mut Adopt,
    ) -> Result<bool, StoreError> {
        let end = adopt.stat.offset + adopt.stat.blocks;
        let mut bytes = Vec::new();
        while adopt.block < end {
            if budget.is_spent() {
                return Ok(false);
            }
            let (disk, content) = cx.content()?;
            if !content.feed().holds(2 * adopt.block) {
                if adopt.whole {
                    // Not everything can be told from here: take what can, block by block.
                    adopt.whole = false;
                    adopt.block = adopt.stat.offset;
                    continue;
                }
                let next = content.feed().nodes().next_set(2 * adopt.block).unwrap_or(2 * end);
                adopt.block = next.div_ceil(2).max(adopt.block + 1);
                budget.calls(1);
                continue;
            }
            let (offset, size) = match content.extent(disk, adopt.block) {
                Ok(extent) => extent,
                Err(StoreError::Absent) => {
                    adopt.whole = false;
                    adopt.block += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            budget.calls(2);
            budget.bytes(size as usize);
            bytes.clear();
            if adopt.whole {
                if self.read_standing(cx, adopt, offset, size, &mut bytes)? {
                    self.found(cx, adopt.block, &bytes)?;
                    adopt.block += 1;
                } else {
                    adopt.whole = false;
                    adopt.block = adopt.stat.offset;
                }
                continue;
            }
            self.adopt_block(cx, adopt, offset, size, &mut bytes)?;
            adopt.block += 1;
        }
        Ok(true)
    }

    /// One block, from wherever it is, into the temporary file.
    fn adopt_block(
        &mut self,
        cx: &mut Cx<'_>,
        adopt: &Adopt,
        offset: u64,
        size: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        if within(&adopt.stat, offset, size).is_none() {
            return Ok(());
        }
        if self.temps.contains(&adopt.seq) {
            let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
            if let Some((file, stat)) = self.files.open(&mut nodes, cx.dir, adopt.seq, true)?
                && let Some(at) = within(&stat, offset, size)
                && read_all(cx.disk, file, at, size, bytes)?
                && is_block(cx, adopt.block, bytes)?
            {
                return self.found(cx, adopt.block, bytes).map(drop);
            }
        }
        bytes.clear();
        let found = self.read_standing(cx, adopt, offset, size, bytes)?
            || self.read_others(cx, adopt, offset, size, bytes)?;
        if found {
            self.write_temp(cx, adopt.seq, offset, bytes)?;
            return self.found(cx, adopt.block, bytes).map(drop);
        }
        let (disk, content) = cx.content()?;
        if content.feed().has(adopt.block) {
            content.clear(disk, adopt.block, 1)?;
            self.outputs.push_back(Output::Cleared { start: adopt.block, len: 1 });
        }
        Ok(())
    }

    fn read_standing(
        &mut self,
        cx: &mut Cx<'_>,
        adopt: &Adopt,
        offset: u64,
        size: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        bytes.clear();
        let at = within(&adopt.stat, offset, size);
        let (Some((file, _)), Some(at)) = (adopt.standing, at) else {
            return Ok(false);
        };
        Ok(read_all(cx.disk, file, at, size, bytes)? && is_block(cx, adopt.block, bytes)?)
    }

    /// The block as part of another entry's file.
    fn read_others(
        &mut self,
        cx: &mut Cx<'_>,
        adopt: &Adopt,
        offset: u64,
        size: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let others: Vec<_> = self.files.at(adopt.block).filter(|p| p.seq != adopt.seq).collect();
        for other in others {
            bytes.clear();
            let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
            if let Some((file, stat)) =
                self.files.open(&mut nodes, cx.dir, other.seq, other.temp)?
                && let Some(at) = within(&stat, offset, size)
                && read_all(cx.disk, file, at, size, bytes)?
                && is_block(cx, adopt.block, bytes)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_block(cx: &mut Cx<'_>, block: u64, bytes: &[u8]) -> Result<bool, StoreError> {
    let (disk, content) = cx.content()?;
    content.check_leaf(disk, block, bytes)
}

impl Mirror {
    /// Whether these bytes, which were found, are the block. Then it is here, and whoever waits for it
    /// hears of it.
    pub(super) fn found(
        &mut self,
        cx: &mut Cx<'_>,
        block: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let (disk, content) = cx.content()?;
        let known = content.feed().has(block);
        let found = content.found(disk, block, bytes)?;
        if found && !known {
            self.stored(cx.now, block);
        }
        Ok(found)
    }
}
