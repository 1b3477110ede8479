//! The bytes of a file whose equal chunks are stored once (hyper/SPEC d.3).

use std::path::Path;

use super::{Entry, changed, read_at};
use crate::cli::offline::{Offline, failure};
use crate::drive::hyper::Layout;
use crate::failure::{Failure, Kind};
use crate::job::history;
use crate::store::disk::File;
use crate::store::{FeedStore, StoreError};

/// The bytes of a file whose equal chunks are stored once, from the file that stands in the folder.
pub(super) fn pieces(
    off: &mut Offline,
    content: &mut FeedStore,
    (folder, file): (&Path, File),
    path: &Path,
    entry: &Entry,
    mut out: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let dir = off.root(folder, false)?;
    let pieces = off.wait(|disk| history::pieces(disk, dir, &entry.stat));
    off.disk.close_dir(dir);
    let mut bytes = Vec::new();
    for piece in pieces.map_err(|e| failure(path, e))? {
        let size = usize::try_from(piece.bytes).unwrap_or(usize::MAX);
        let read = off.wait(|disk| {
            bytes.clear();
            let fits = content.leaf(disk, piece.block)?.size == piece.bytes;
            Ok(fits
                && read_at(disk, file, piece.at, size, &mut bytes)?
                && content.check_leaf(disk, piece.block, &bytes)?)
        });
        match read {
            Ok(true) => out(&bytes)?,
            Ok(false) => return Err(changed(path, &entry.path)),
            Err(error) => return Err(failure(path, error)),
        }
    }
    off.disk.close(file);
    Ok(())
}

/// The blocks of a file whose equal chunks are stored once (hyper/SPEC d.3).
pub(super) fn blocks(
    off: &mut Offline,
    content: &mut FeedStore,
    path: &Path,
    entry: &Entry,
    not_here: impl Fn(&Path) -> Failure,
) -> Result<Vec<u64>, Failure> {
    let id = entry.stat.to_entry().blob.unwrap_or_default();
    let mut map = Vec::new();
    for index in id.map_blocks() {
        let mut block = Vec::new();
        match off.wait(|disk| content.read(disk, index, &mut block)) {
            Err(StoreError::Absent) => return Err(not_here(path)),
            other => other.map_err(|e| failure(path, e))?,
        }
        map.push(block);
    }
    let layout = Layout::new(&id, map.iter().map(Vec::as_slice)).map_err(|e| {
        let what = format!("{}: {}: {e}", path.display(), entry.path);
        Failure::new(Kind::Damaged, what).hint("its writer has to put the file again")
    })?;
    Ok((0..layout.len()).filter_map(|n| layout.chunk(n)).map(|chunk| chunk.block).collect())
}
