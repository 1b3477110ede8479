//! Where the content blocks of a drive's current version lie in the working files.

use crate::drive::stat::Stat;
use crate::store::FeedStore;
use crate::store::StoreError;
use crate::store::disk::{Dir, Disk, File};

/// Content blocks and their files.
#[derive(Debug, Default)]
pub struct Files {
    places: std::collections::BTreeMap<(u64, u32), u32>,
    open: Vec<(u32, File, Stat)>,
}

impl Files {
    /// Reads a block (`offset` bytes into the content feed, `size` bytes) from its working file,
    /// appended to `out`. `false`: the file is not there or too short. The bytes are not checked.
    #[allow(clippy::too_many_arguments)]
    pub fn read(
        &mut self,
        _disk: &mut dyn Disk,
        _dir: Dir,
        _metadata: &mut FeedStore,
        _block: u64,
        _offset: u64,
        _size: u64,
        _out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// Live files with content.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Closes all files.
    pub fn rest(&mut self, _disk: &mut dyn Disk) {
        self.open.clear();
        todo!()
    }
}
