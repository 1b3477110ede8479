//! Where the content blocks of a drive's current version lie in the working files. A file costs 16
//! bytes (and the map's share): its path is read again from its entry when it is opened.
//!
//! Knows nothing about hashes: files belong to the user and may change, so whoever sends a block
//! checks it first.

mod mapped;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use super::Nodes;
use super::map::Map;
use crate::codec;
use crate::drive::format::{self, Format};
use crate::drive::path;
use crate::drive::stat::{Form, Stat};
use crate::drive::tree::TreeError;
use crate::limits::{DRIVE_OPEN_FILES, DRIVE_OVERLAPS};
use crate::store::disk::{Dir, Disk, File, Open};
use crate::store::{FeedStore, StoreError};

/// Set in a place's block count while its bytes are in a temporary file.
const TEMP: u32 = 1 << 31;
/// Set if the blocks are those of a map, which has a file of its own; of that file `TEMP` says that
/// it is not whole.
const MAP: u32 = 1 << 30;

/// Content blocks and their files.
#[derive(Debug, Default)]
pub struct Files {
    /// (first block, entry) → blocks, with `TEMP`.
    places: BTreeMap<(u64, u32), u32>,
    /// (block, entry) of contents that have a map → whether the bytes are in a temporary file.
    chunks: BTreeMap<(u64, u32), u32>,
    /// Entries whose maps are known, and what their contents have beyond the bytes of the map.
    mapped: BTreeMap<u32, u64>,
    /// The map used last.
    map: Option<(u32, Rc<Map>)>,
    /// Last used at the end.
    open: Vec<Opened>,
}

/// How far a walk over the blocks that no file claims has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gaps {
    /// The place to look at next.
    next: (u64, u32),
    /// Blocks before this one have been passed.
    passed: u64,
    done: bool,
}

/// A file's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub first: u64,
    pub blocks: u64,
    /// The file's entry.
    pub seq: u32,
    /// The bytes are in `.dat/tmp/<seq>`, not all of them there.
    pub temp: bool,
    pub(super) part: Part,
}

/// What of a file a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Run,
    /// The map of its chunks.
    Map,
    /// A chunk.
    Chunk,
}

#[derive(Debug)]
struct Opened {
    seq: u32,
    temp: bool,
    file: File,
    stat: Stat,
    /// Closed at the next occasion.
    stale: bool,
}

/// Where the blocks of a file are put until it is complete.
pub fn temp_path(seq: u32) -> PathBuf {
    PathBuf::from(format!("{}/{seq}", temp_dir()))
}

/// The directory of the temporary files.
pub fn temp_dir() -> &'static str {
    ".dat/tmp"
}

impl Files {
    /// A file with content. Files of 2^31 blocks or more are refused before.
    pub fn insert(&mut self, seq: u32, stat: &Stat, temp: bool) {
        if stat.blocks > 0 {
            let map = if stat.form == Form::Map { MAP } else { 0 };
            let blocks = (stat.blocks as u32) & !(TEMP | MAP) | map | if temp { TEMP } else { 0 };
            self.places.insert((stat.offset, seq), blocks);
        }
    }

    pub fn remove(&mut self, seq: u32, stat: &Stat) {
        self.places.remove(&(stat.offset, seq));
        if self.mapped.remove(&seq).is_some() {
            self.chunks.retain(|(_, of), _| *of != seq);
        }
        if self.map.as_ref().is_some_and(|(of, _)| *of == seq) {
            self.map = None;
        }
        self.forget(seq);
    }

    /// The open file of an entry is not the right one any more.
    pub fn forget(&mut self, seq: u32) {
        self.open.iter_mut().filter(|o| o.seq == seq).for_each(|o| o.stale = true);
    }

    /// The files that claim a block, the likeliest first.
    pub fn at(&self, block: u64) -> impl Iterator<Item = Place> + '_ {
        let chunks = self.chunks.range((block, 0)..=(block, u32::MAX)).take(DRIVE_OVERLAPS);
        let runs = self.before(block).filter(move |p| block - p.first < p.blocks);
        runs.chain(chunks.map(chunk))
    }

    /// Whether any file claims one of these blocks.
    pub fn claims(&self, start: u64, len: u64) -> bool {
        let Some(last) = (start + len).checked_sub(1) else { return false };
        self.before(last).any(|p| p.first + p.blocks > start)
    }

    /// The next blocks `start..end` that no run of any file has, or none of them at a place where two
    /// files meet; the last ones have no end.
    pub(super) fn next_gap(&self, gaps: &mut Gaps) -> Option<(u64, u64)> {
        if gaps.done {
            return None;
        }
        let start = gaps.passed;
        match self.places.range(gaps.next..).next().map(place) {
            Some(place) => {
                gaps.next = (place.first, place.seq.saturating_add(1));
                gaps.passed = start.max(place.first.saturating_add(place.blocks));
                Some((start, place.first.max(start)))
            }
            None => {
                gaps.done = true;
                Some((start, u64::MAX))
            }
        }
    }

    fn before(&self, block: u64) -> impl Iterator<Item = Place> + '_ {
        self.places.range(..=(block, u32::MAX)).rev().take(DRIVE_OVERLAPS).map(place)
    }

    /// All files, by their first block.
    pub fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        self.places.iter().map(place).chain(self.chunks.iter().map(chunk))
    }

    /// Live files with content.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Reads a block (`offset` bytes into the content feed, `size` bytes) from its working file,
    /// appended to `out`. `false`: the file is not there or too short. The bytes are not checked.
    #[allow(clippy::too_many_arguments)]
    pub fn read(
        &mut self,
        disk: &mut dyn Disk,
        dir: Dir,
        metadata: &mut FeedStore,
        block: u64,
        offset: u64,
        size: u64,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let places: Vec<Place> = self.at(block).collect();
        for place in places {
            let mut nodes = Nodes { disk, metadata };
            if self.read_place(&mut nodes, dir, place, (block, offset, size), out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same at one place.
    pub(super) fn read_place(
        &mut self,
        nodes: &mut Nodes<'_>,
        dir: Dir,
        place: Place,
        (block, offset, size): (u64, u64, u64),
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let (file, stat) = match place.part {
            Part::Map => return mapped::read_map_block(nodes, dir, place.seq, offset, size, out),
            Part::Run | Part::Chunk => match self.open(nodes, dir, place.seq, place.temp)? {
                Some(opened) => opened,
                None => return Ok(false),
            },
        };
        let at = match place.part {
            Part::Chunk => {
                let map = self.map(nodes.disk, dir, place.seq, &stat)?;
                let chunk = map.and_then(|map| map.places(block).find(|c| c.bytes == size));
                chunk.map(|chunk| chunk.at)
            }
            _ => within(&stat, offset, size),
        };
        match at {
            Some(at) => read_all(nodes.disk, file, at, size, out),
            None => Ok(false),
        }
    }

    /// The file of an entry and what the entry says; `None` if there is no such file to be read.
    pub(super) fn open(
        &mut self,
        nodes: &mut Nodes<'_>,
        dir: Dir,
        seq: u32,
        temp: bool,
    ) -> Result<Option<(File, Stat)>, StoreError> {
        self.close_stale(nodes.disk);
        if let Some(at) = self.open.iter().position(|o| o.seq == seq && o.temp == temp) {
            let opened = self.open.remove(at);
            let found = (opened.file, opened.stat);
            self.open.push(opened);
            return Ok(Some(found));
        }
        let Some((name, stat)) = entry(nodes, seq)? else { return Ok(None) };
        let (path, how) = if temp {
            (temp_path(seq), Open::Write)
        } else {
            match path::check(&name) {
                Ok(path) => (path, Open::ReadFollow),
                Err(_) => return Ok(None),
            }
        };
        match nodes.disk.open(dir, &path, how) {
            Ok(file) => {
                self.keep(nodes.disk, seq, temp, file, stat);
                Ok(Some((file, stat)))
            }
            Err(error) if waits(&error) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// The temporary file of an entry, made if it is not there.
    pub(super) fn open_temp(
        &mut self,
        nodes: &mut Nodes<'_>,
        dir: Dir,
        seq: u32,
    ) -> Result<Option<(File, Stat)>, StoreError> {
        if let Some(found) = self.open(nodes, dir, seq, true)? {
            return Ok(Some(found));
        }
        let Some((_, stat)) = entry(nodes, seq)? else { return Ok(None) };
        let file = nodes.disk.open(dir, &temp_path(seq), Open::Create)?;
        self.keep(nodes.disk, seq, true, file, stat);
        Ok(Some((file, stat)))
    }

    fn keep(&mut self, disk: &mut dyn Disk, seq: u32, temp: bool, file: File, stat: Stat) {
        if self.open.len() >= DRIVE_OPEN_FILES {
            disk.close(self.open.remove(0).file);
        }
        self.open.push(Opened { seq, temp, file, stat, stale: false });
    }

    /// Closes the open file of an entry.
    pub(super) fn close(&mut self, disk: &mut dyn Disk, seq: u32) {
        self.forget(seq);
        self.close_stale(disk);
    }

    fn close_stale(&mut self, disk: &mut dyn Disk) {
        self.open.retain(|o| {
            if o.stale {
                disk.close(o.file);
            }
            !o.stale
        });
    }

    /// Closes all files.
    pub fn rest(&mut self, disk: &mut dyn Disk) {
        self.open.drain(..).for_each(|o| disk.close(o.file));
    }
}

fn place((&(first, seq), &blocks): (&(u64, u32), &u32)) -> Place {
    let part = if blocks & MAP != 0 { Part::Map } else { Part::Run };
    let temp = blocks & TEMP != 0;
    Place { first, blocks: u64::from(blocks & !(TEMP | MAP)), seq, temp, part }
}

fn chunk((&(first, seq), &temp): (&(u64, u32), &u32)) -> Place {
    Place { first, blocks: 1, seq, temp: temp != 0, part: Part::Chunk }
}

/// Where bytes of the content feed lie in the file, if they lie in it at all.
pub(super) fn within(stat: &Stat, offset: u64, size: u64) -> Option<u64> {
    let at = offset.checked_sub(stat.byte_offset)?;
    (at.checked_add(size)? <= stat.size).then_some(at)
}

/// Reads exactly `size` bytes, appended; `false` (and nothing appended) if the file ends before.
pub(super) fn read_all(
    disk: &mut dyn Disk,
    file: File,
    offset: u64,
    size: u64,
    out: &mut Vec<u8>,
) -> Result<bool, StoreError> {
    let start = out.len();
    codec::extend_zeros(out, size as usize);
    let mut at = start;
    while at < out.len() {
        match disk.read_at(file, offset + (at - start) as u64, &mut out[at..]) {
            Ok(0) => {
                out.truncate(start);
                return Ok(false);
            }
            Ok(n) => at += n,
            Err(error) => {
                out.truncate(start);
                return Err(error.into());
            }
        }
    }
    Ok(true)
}

/// The name of an entry and what it says, if it is a readable one.
pub(super) fn entry(nodes: &mut Nodes<'_>, seq: u32) -> Result<Option<(String, Stat)>, StoreError> {
    match nodes.format().entry(nodes, u64::from(seq)) {
        Ok(found) => Ok(found.and_then(|entry| Some((entry.name, entry.stat?)))),
        Err(TreeError::Malformed(_)) => Ok(None),
        Err(TreeError::Source(error)) => Err(error),
    }
}

/// Where the symbolic link leads that an entry of a hyperdrive stands for.
pub(super) fn link_of(nodes: &mut Nodes<'_>, seq: u32) -> Result<Option<String>, StoreError> {
    if nodes.format() == Format::Dat {
        return Ok(None);
    }
    Ok(format::record(nodes, u64::from(seq))?.and_then(|record| record.link))
}

/// Errors that say "later", not "not so".
pub(super) fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
