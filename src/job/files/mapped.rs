//! Contents that have a map: their blocks stand one by one beside the runs of others.

use std::rc::Rc;

use super::{Files, Nodes, entry, read_all, waits, within};
use crate::drive::stat::Stat;
use crate::job::map::{Map, map_path};
use crate::store::StoreError;
use crate::store::disk::{Dir, Disk, Open};

impl Files {
    /// The map of a content that has one: where its chunks are.
    pub(in crate::job) fn insert_map(&mut self, seq: u32, stat: &Stat, map: &Rc<Map>, temp: bool) {
        self.insert(seq, stat, false);
        self.chunks.extend(map.chunks.iter().map(|chunk| ((chunk.block, seq), u32::from(temp))));
        self.mapped.insert(seq, map.bytes.wrapping_sub(stat.size));
        self.map = Some((seq, map.clone()));
    }

    /// The map of an entry is known.
    pub(in crate::job) fn is_mapped(&self, seq: u32) -> bool {
        self.mapped.contains_key(&seq)
    }

    /// The bytes of all contents beyond what their entries say.
    pub(in crate::job) fn beyond(&self) -> i64 {
        self.mapped.values().map(|more| more.cast_signed()).sum()
    }

    /// The blocks of a content that has a map.
    pub(in crate::job) fn chunks_of(&self, seq: u32) -> Vec<u64> {
        let of = self.chunks.keys().filter(|(_, of)| *of == seq);
        if self.is_mapped(seq) { of.map(|(block, _)| *block).collect() } else { Vec::new() }
    }

    /// The contents that wait for a block of theirs.
    pub(in crate::job) fn waiting(&self, block: u64) -> impl Iterator<Item = u32> + '_ {
        let chunks = self.chunks.range((block, 0)..=(block, u32::MAX));
        chunks.filter(|(_, temp)| **temp != 0).map(|((_, seq), _)| *seq)
    }

    /// The map of an entry, if it is here.
    pub(in crate::job) fn map(
        &mut self,
        disk: &mut dyn Disk,
        dir: Dir,
        seq: u32,
        stat: &Stat,
    ) -> Result<Option<Rc<Map>>, StoreError> {
        if let Some((_, map)) = self.map.as_ref().filter(|(of, _)| *of == seq) {
            return Ok(Some(map.clone()));
        }
        let map = Map::read(disk, dir, stat)?.map(Rc::new);
        if let Some(map) = &map {
            self.map = Some((seq, map.clone()));
        }
        Ok(map)
    }

    /// Those of these blocks that no file claims.
    pub(in crate::job) fn unclaimed(&self, start: u64, len: u64) -> Vec<(u64, u64)> {
        let mut free = Vec::new();
        if self.claims(start, len) {
            return free;
        }
        let mut from = start;
        for (block, _) in self.chunks.range((start, 0)..(start + len, 0)).map(|(key, _)| *key) {
            free.extend((block > from).then(|| (from, block - from)));
            from = from.max(block + 1);
        }
        free.extend((start + len > from).then(|| (from, start + len - from)));
        free
    }
}

/// A block of an entry's map.
pub(super) fn read_map_block(
    nodes: &mut Nodes<'_>,
    dir: Dir,
    seq: u32,
    offset: u64,
    size: u64,
    out: &mut Vec<u8>,
) -> Result<bool, StoreError> {
    let Some((_, stat)) = entry(nodes, seq)? else { return Ok(false) };
    let Some(at) = within(&stat, offset, size) else { return Ok(false) };
    let file = match nodes.disk.open(dir, &map_path(&stat), Open::Read) {
        Ok(file) => file,
        Err(error) if waits(&error) => return Err(error.into()),
        Err(_) => return Ok(false),
    };
    let read = read_all(nodes.disk, file, at, size, out);
    nodes.disk.close(file);
    read
}
