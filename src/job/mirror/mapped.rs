//! Contents that have a map. First the map's blocks are fetched; what they name is then looked for
//! block by block where it may lie already, wanted where it does not, and looked at once more before
//! the file goes to its place: a block may belong to many files at many places.

use std::path::Path;
use std::rc::Rc;

use super::Mirror;
use crate::drive::stat::{Form, Stat};
use crate::job::files::{Part, entry, read_all, within};
use crate::job::import::clear_unless_claimed;
use crate::job::map::{self, Chunk, MAPS, Map, map_path};
use crate::job::{Budget, Cx, Nodes, Output};
use crate::limits::SCAN_NAMES;
use crate::store::disk::{File, Open};
use crate::store::{StoreError, write_all};

/// A content being looked for.
#[derive(Debug)]
pub(super) struct Search {
    pub map: Rc<Map>,
    next: usize,
    missing: Vec<u64>,
}

impl Search {
    pub fn new(map: Rc<Map>) -> Search {
        Search { map, next: 0, missing: Vec::new() }
    }

    /// From the beginning.
    pub fn restart(&mut self) {
        self.next = 0;
        self.missing.clear();
    }
}

impl Mirror {
    /// Whether a pending entry can be looked at like any other: it has no map, or all of it was found
    /// to be here. Else what comes next is begun.
    pub(super) fn look_at_map(&mut self, cx: &mut Cx<'_>, seq: u32) -> Result<bool, StoreError> {
        let Some((name, stat)) = entry(&mut self.nodes(cx), seq)? else { return Ok(true) };
        if stat.form != Form::Map || self.missing.get(&seq) == Some(&0) {
            return Ok(true);
        }
        if self.missing.contains_key(&seq) {
            return Ok(false);
        }
        if !self.files.is_mapped(seq) {
            if !self.is_stored(cx, &stat) {
                return Ok(false);
            }
            if !map::is_true(cx, &stat)? {
                // Its bytes are gone, whatever the bits say.
                let (disk, content) = cx.content()?;
                content.clear(disk, stat.offset, stat.blocks)?;
                let (start, len) = (stat.offset, stat.blocks);
                self.outputs.push_back(Output::Cleared { start, len });
                self.rebuild = true;
                return Ok(false);
            }
            let Some(map) = self.files.map(cx.disk, cx.dir, seq, &stat)? else {
                self.refuse_pending(cx, seq, &name, &stat)?;
                return Ok(false);
            };
            self.files.insert_map(seq, &stat, &map, true);
        }
        self.adopt.insert(seq);
        Ok(false)
    }

    /// A file of the version that the folder is. `false`: its map is not here, or it has another size.
    pub(super) fn base_mapped(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        stat: &Stat,
        size: u64,
    ) -> Result<bool, StoreError> {
        if !self.is_stored(cx, stat) || !map::is_true(cx, stat)? {
            return Ok(false);
        }
        let map = self.files.map(cx.disk, cx.dir, seq, stat)?.filter(|map| map.bytes == size);
        if let Some(map) = &map {
            self.count_planned(stat, None);
            self.files.insert_map(seq, stat, map, false);
        }
        Ok(map.is_some())
    }

    /// The file of an entry is in its place. Its size.
    pub(super) fn settle(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        stat: &Stat,
    ) -> Result<u64, StoreError> {
        self.missing.remove(&seq);
        let map = match stat.form {
            Form::Map => self.files.map(cx.disk, cx.dir, seq, stat)?,
            _ => None,
        };
        match map {
            Some(map) => {
                self.files.insert_map(seq, stat, &map, false);
                Ok(map.bytes)
            }
            None => {
                self.files.insert(seq, stat, false);
                Ok(stat.size)
            }
        }
    }

    /// The blocks of a content that nobody names any more.
    pub(super) fn retire_chunks(
        &mut self,
        cx: &mut Cx<'_>,
        chunks: &[u64],
    ) -> Result<(), StoreError> {
        for &block in chunks {
            clear_unless_claimed(cx, &self.files, block, 1, &mut self.outputs)?;
        }
        Ok(())
    }

    /// Removes the maps that no entry needs. Everything is in its place, durably: until then a map may
    /// be needed to know a file of ours.
    pub(super) fn tidy_maps(&mut self, cx: &mut Cx<'_>) -> Result<(), StoreError> {
        let mut names = Vec::new();
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            cursor = cx.disk.list(cx.dir, Path::new(MAPS), from, SCAN_NAMES, &mut names)?;
            for name in names.drain(..) {
                let first = name.name.to_str().and_then(|name| name.parse().ok());
                let needed = |first| self.files.at(first).any(|place| place.part == Part::Map);
                if !first.is_some_and(needed) {
                    let _ = cx.disk.remove(cx.dir, &Path::new(MAPS).join(&name.name));
                }
            }
        }
        Ok(())
    }

    /// Writes a block of a map. `false`: it does not lie in it.
    pub(super) fn write_map(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let Some((_, stat)) = entry(&mut self.nodes(cx), seq)? else { return Ok(false) };
        let Some(at) = within(&stat, offset, bytes.len() as u64) else { return Ok(false) };
        let file = cx.disk.open(cx.dir, &map_path(&stat), Open::Create)?;
        let written = write_all(cx.disk, file, at, bytes);
        cx.disk.close(file);
        written?;
        self.wrote(bytes.len() as u64);
        Ok(true)
    }

    /// Writes a block of content to all its places in an entry's temporary file. `false`: the map says
    /// another size.
    pub(super) fn write_chunks(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        block: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let Some((file, stat)) = self.temp(cx, seq)? else { return Ok(false) };
        let Some(map) = self.files.map(cx.disk, cx.dir, seq, &stat)? else { return Ok(false) };
        for chunk in map.places(block) {
            if chunk.bytes != bytes.len() as u64 {
                return Ok(false);
            }
            write_all(cx.disk, file, chunk.at, bytes)?;
        }
        self.wrote(bytes.len() as u64);
        Ok(true)
    }

    /// Goes on looking for the chunks of a content, in the standing file as long as all were there.
    /// `true`: done.
    pub(super) fn search(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        seq: u32,
        search: &mut Search,
        (standing, whole): (Option<File>, &mut bool),
    ) -> Result<bool, StoreError> {
        let map = search.map.clone();
        let mut bytes = Vec::new();
        while let Some(chunk) = map.chunks.get(search.next) {
            if budget.is_spent() {
                return Ok(false);
            }
            let (disk, content) = cx.content()?;
            let size = match content.leaf(disk, chunk.block) {
                Ok(leaf) => Some(leaf.size),
                Err(StoreError::Absent) => None,
                Err(error) => return Err(error),
            };
            if size.is_some_and(|size| size != chunk.bytes) {
                // It contradicts the blobs: nothing more is asked for.
                search.missing = vec![u64::MAX];
                *whole = false;
                return Ok(true);
            }
            budget.calls(2);
            budget.bytes(chunk.bytes as usize);
            let here = match (size, standing) {
                (None, _) => false,
                (Some(_), Some(file)) if *whole => {
                    bytes.clear();
                    read_all(cx.disk, file, chunk.at, chunk.bytes, &mut bytes)?
                        && self.found(cx, chunk.block, &bytes)?
                }
                (Some(_), _) => self.find_chunk(cx, seq, chunk, standing, &mut bytes)?,
            };
            if !here && *whole {
                // Take what can be, chunk by chunk.
                *whole = false;
                search.restart();
                continue;
            }
            if !here && map.is_first(chunk) {
                search.missing.push(chunk.block);
            }
            search.next += 1;
        }
        Ok(true)
    }

    /// One chunk, from wherever it is, into the temporary file.
    fn find_chunk(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        chunk: &Chunk,
        standing: Option<File>,
        bytes: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let Some((temp, _)) = self.temp(cx, seq)? else { return Ok(false) };
        for file in [Some(temp), standing].into_iter().flatten() {
            bytes.clear();
            if read_all(cx.disk, file, chunk.at, chunk.bytes, bytes)?
                && self.found(cx, chunk.block, bytes)?
            {
                if file != temp {
                    write_all(cx.disk, temp, chunk.at, bytes)?;
                }
                return Ok(true);
            }
        }
        let (disk, content) = cx.content()?;
        let (offset, size) = match content.extent(disk, chunk.block) {
            Ok(extent) => extent,
            Err(StoreError::Absent) => return Ok(false),
            Err(error) => return Err(error),
        };
        for place in self.files.at(chunk.block).collect::<Vec<_>>() {
            bytes.clear();
            let mut nodes = Nodes { disk: cx.disk, metadata: cx.metadata };
            let at = (chunk.block, offset, size);
            if self.files.read_place(&mut nodes, cx.dir, place, at, bytes)?
                && self.found(cx, chunk.block, bytes)?
            {
                let Some((temp, _)) = self.temp(cx, seq)? else { return Ok(false) };
                write_all(cx.disk, temp, chunk.at, bytes)?;
                return Ok(true);
            }
        }
        let (disk, content) = cx.content()?;
        if content.feed().has(chunk.block) {
            content.clear(disk, chunk.block, 1)?;
            self.outputs.push_back(Output::Cleared { start: chunk.block, len: 1 });
        }
        Ok(false)
    }

    /// The content was looked for: what is missing is wanted; without that the file is complete.
    pub(super) fn searched(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u32,
        search: &Search,
    ) -> Result<(), StoreError> {
        if search.missing.first() == Some(&u64::MAX) {
            if let Some((name, stat)) = entry(&mut self.nodes(cx), seq)? {
                self.refuse_pending(cx, seq, &name, &stat)?;
            }
            return Ok(());
        }
        for &block in &search.missing {
            self.wanted.insert(block, 1);
            self.wanted_changed = true;
        }
        // Some may have come meanwhile.
        let content = cx.content()?.1;
        let left = search.missing.iter().filter(|&&block| !content.feed().has(block)).count();
        if left == 0 && !search.missing.is_empty() {
            self.adopt.insert(seq);
            return Ok(());
        }
        self.missing.insert(seq, left as u64);
        self.touched.push(seq);
        Ok(())
    }
}
