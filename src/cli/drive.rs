//! A drive on disk, read by a command: its two feeds, its entries, its files' bytes.

mod mapped;

use std::io;
use std::path::{Path, PathBuf};

use super::offline::{At, NOW, Offline, Opened, failure, open_beside};
use super::place::{self, Holds};
use crate::codec;
use crate::drive::format::{self, Format};
use crate::drive::hyper::{Block, keys};
use crate::drive::stat::{Form, Index, Stat};
use crate::drive::tree::NodeSource as _;
use crate::failure::{Failure, Kind};
use crate::feed::hyper::Authority;
use crate::job::history::{self, Listing};
use crate::job::{self, Nodes};
use crate::store::disk::{Disk, File, Open};
use crate::store::{Content, Damage, FeedStore, StoreError};

pub struct Drive {
    /// The metadata feed.
    pub metadata: Opened,
    /// `None`: nothing of it has come yet.
    pub content: Option<FeedStore>,
    /// The folder with the files; `None` where the content feed keeps its blocks itself.
    pub folder: Option<PathBuf>,
    path: PathBuf,
}

/// An entry that stands in a version.
pub struct Entry {
    /// Without the leading slash.
    pub path: String,
    /// The entry of the metadata feed that put it.
    pub seq: u64,
    pub stat: Stat,
}

impl Drive {
    /// Opens what is in `dir`: a folder with a `.dat`, or a kept seed of a drive.
    pub fn open(off: Offline, dir: &Path) -> Result<Drive, Failure> {
        let (inside, prefix, content) = match place::store(dir)? {
            Holds::Drive => (dir.join(".dat"), ["metadata.", "content."], Content::External),
            Holds::Seed => (dir.to_owned(), ["metadata.", "content."], Content::File),
            Holds::Core => {
                let what = format!("{}: a bare feed, not a drive", dir.display());
                return Err(Failure::new(Kind::NotFound, what).hint("use gannet core get or info"));
            }
            Holds::Seeds => {
                let what = format!("{}: many feeds are kept here", dir.display());
                return Err(Failure::new(Kind::NotFound, what).hint("name one of its directories"));
            }
        };
        let at = At { path: &inside, prefix: prefix[0], content: Content::File };
        let metadata = Opened::open(off, at, None, None)?;
        let folder = (content == Content::External).then(|| dir.to_owned());
        let mut drive = Drive { metadata, content: None, folder, path: dir.to_owned() };
        if let Some(key) = drive.content_key()?
            && inside.join(format!("{}key", prefix[1])).exists()
        {
            let at = At { path: &inside, prefix: prefix[1], content };
            drive.content = Some(open_beside(&mut drive.metadata, at, key)?);
        }
        Ok(drive)
    }

    /// As the first block of the metadata says it. `None`: that is not here yet.
    fn content_key(&mut self) -> Result<Option<[u8; 32]>, Failure> {
        if !self.metadata.feed().has(0) {
            return Ok(None);
        }
        let mut block = Vec::new();
        self.metadata.read(0, &mut block)?;
        let feed = self.metadata.feed();
        let key = match feed.as_core() {
            None => {
                Index::decode(&block).map(|index| Some(index.content)).map_err(|e| e.to_string())
            }
            Some(core) => {
                let manifest = core.authority.as_ref().and_then(Authority::manifest);
                keys::content_key(feed.key(), manifest, Some(&block)).map_err(|e| e.to_string())
            }
        };
        key.map_err(|why| {
            Failure::new(Kind::NotFound, format!("{}: no drive: {why}", self.path.display()))
                .hint("bare feeds are read with gannet core get")
        })
    }

    /// How the drive keeps its entries.
    pub fn format(&self) -> Format {
        job::format_of(&self.metadata.store)
    }

    /// The newest version.
    pub fn newest(&self) -> u64 {
        job::version_of(&self.metadata.store)
    }

    /// `asked`, if it exists; else the newest.
    pub fn version(&mut self, asked: Option<u64>) -> Result<u64, Failure> {
        let newest = self.newest();
        let Some(version) = asked else { return Ok(newest) };
        let name = self.path.display().to_string();
        if version > newest {
            let what = format!("{name}: there is no version {version}");
            return Err(Failure::new(Kind::NotFound, what).hint(format!("the newest is {newest}")));
        }
        let mut whole = version;
        while whole < newest && !self.is_whole(whole)? {
            whole += 1;
        }
        if whole > version {
            let what = format!("{name}: version {version} was written together with others");
            let hint = format!("the next that can be looked at is {whole}");
            return Err(Failure::new(Kind::NotFound, what).hint(hint));
        }
        Ok(version)
    }

    /// Whether a version can be looked at: within a batch of a hyperdrive's entries none can
    /// (hyper/SPEC d.2).
    fn is_whole(&mut self, version: u64) -> Result<bool, Failure> {
        let seq = version.saturating_sub(1);
        if self.format() == Format::Dat || seq == 0 {
            return Ok(true);
        }
        let mut block = Vec::new();
        self.nodes(|nodes| {
            block.clear();
            nodes.block(seq, &mut block)
        })?;
        Ok(Block::decode(seq, &block).is_ok_and(|block| block.levels() > 0))
    }

    /// Tells `see` of every entry below `path` (`""`: of all) in a version, in the tree's order.
    pub fn entries(
        &mut self,
        version: u64,
        path: &str,
        mut see: impl FnMut(Entry),
    ) -> Result<(), Failure> {
        let below = if path.is_empty() { String::new() } else { format!("/{path}") };
        let mut listing = Listing::new(version, &below);
        while let Some(found) = self.nodes(|nodes| listing.next(nodes))? {
            see(self.sensible(found)?);
        }
        Ok(())
    }

    /// The entry of one file.
    pub fn entry(&mut self, version: u64, path: &str) -> Result<Entry, Failure> {
        let name = format!("/{path}");
        match self.nodes(|nodes| history::find(nodes, version, &name))? {
            Some(found) => self.sensible(found),
            None => Err(Failure::new(
                Kind::NotFound,
                format!("{}: there is no {path} in version {version}", self.path.display()),
            )
            .hint("gannet ls lists what is there")),
        }
    }

    /// Where the link of an entry leads. `None`: it is none.
    pub fn target(&mut self, entry: &Entry) -> Result<Option<String>, Failure> {
        if !entry.stat.is_link() {
            return Ok(None);
        }
        let record =
            self.nodes(|nodes| format::record(nodes, entry.seq).map_err(StoreError::from))?;
        Ok(record.and_then(|record| record.link))
    }

    /// Entry `seq` of the history; `None` if it is malformed.
    pub fn logged(&mut self, seq: u64) -> Result<Option<history::Entry>, Failure> {
        self.nodes(|nodes| history::entry(nodes, seq))
    }

    /// Asks the metadata feed until its disk has answered.
    fn nodes<T>(
        &mut self,
        mut ask: impl FnMut(&mut Nodes<'_>) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        let Opened { off, store, .. } = &mut self.metadata;
        off.wait(|disk| ask(&mut Nodes { disk, metadata: store })).map_err(|e| match e {
            StoreError::Absent => {
                let what = format!("{}: not all entries are here", self.path.display());
                Failure::new(Kind::NotFound, what).hint("gannet clone fetches the rest")
            }
            other => failure(&self.path, other),
        })
    }

    fn sensible(&self, found: history::Entry) -> Result<Entry, Failure> {
        let history::Entry { seq, name, stat } = found;
        match stat.filter(|stat| stat.is_dir() || stat.is_consistent()) {
            Some(stat) => Ok(Entry { path: name.trim_start_matches('/').to_owned(), seq, stat }),
            None => {
                let what = format!("{}: entry {seq} makes no sense", self.path.display());
                Err(Failure::new(Kind::Damaged, what).hint("its writer has to put the file again"))
            }
        }
    }

    /// Whether its secret key is ours: JavaScript and we leave this mark (dat/SPEC §10).
    pub fn is_ours(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.join(".dat/metadata.ogd").exists())
    }

    /// Forgets what is damaged in the content feed.
    pub fn forget(&mut self, bad: Damage) -> Result<(), Failure> {
        let (off, path) = (&mut self.metadata.off, &self.path);
        let Some(content) = &mut self.content else { return Ok(()) };
        off.wait(|disk| content.forget(disk, bad)).map_err(|e| failure(path, e))
    }

    /// Renames a file that is not what the drive says, which may be its user's work, and forgets
    /// its blocks.
    pub fn set_aside(&mut self, entry: &Entry) -> Result<(), Failure> {
        let Drive { metadata: Opened { off, .. }, content, folder, path } = self;
        let (Some(content), Some(folder)) = (content, folder) else { return Ok(()) };
        let Stat { offset, blocks, .. } = entry.stat;
        off.wait(|disk| content.clear(disk, offset, blocks)).map_err(|e| failure(path, e))?;
        let place = crate::drive::path::check(&entry.path)
            .map_err(|e| Failure::new(Kind::NotFound, format!("{}: {e}", entry.path)))?;
        let root = off.root(folder, false)?;
        let mut renamed = Err(io::ErrorKind::AlreadyExists.into());
        for number in 1..=crate::limits::SET_ASIDE_NAMES {
            let beside = format!("{} (damaged {number})", place.display());
            renamed = off.wait_io(|disk| disk.rename(root, &place, Path::new(&beside), true));
            if !matches!(&renamed, Err(e) if e.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        off.disk.close_dir(root);
        match renamed {
            // Gone already, or was never there: it is fetched all the same.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::io(folder.join(place).display(), &error))
            }
            _ => Ok(()),
        }
    }

    /// Makes durable what was forgotten, and closes.
    pub fn close(self) -> Result<(), Failure> {
        let Drive { mut metadata, content, path, .. } = self;
        if let Some(content) = content {
            content.close(&mut *metadata.off.disk, NOW).map_err(|e| failure(&path, e))?;
        }
        metadata.close()
    }

    /// Gives the verified bytes of an entry's file to `out`, block by block.
    pub fn bytes(
        &mut self,
        entry: &Entry,
        mut out: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if entry.stat.size == 0 {
            return Ok(());
        }
        let not_here = |path: &Path| {
            let what = format!("{}: the content of {} is not here", path.display(), entry.path);
            Failure::new(Kind::NotFound, what).hint("fetch it with gannet clone")
        };
        let Drive { metadata, content, folder, path } = self;
        let content = content.as_mut().ok_or_else(|| not_here(path))?;
        let off = &mut metadata.off;
        let file = match folder {
            Some(folder) => Some(open_file(off, folder, &entry.path)?),
            None => None,
        };
        let mut block = Vec::new();
        let run = entry.stat.offset..entry.stat.offset + entry.stat.blocks;
        let mut blocks: Vec<u64> = Vec::new();
        if let (Form::Map, Some(file), Some(folder)) = (entry.stat.form, file, &*folder) {
            return mapped::pieces(off, content, (folder, file), path, entry, out);
        }
        if entry.stat.form == Form::Map {
            blocks = mapped::blocks(off, content, path, entry, not_here)?;
        }
        let plain = if blocks.is_empty() { run } else { 0..0 };
        for index in plain.chain(blocks) {
            block.clear();
            let read = off.wait(|disk| match file {
                None => content.read(disk, index, &mut block).map(|()| true),
                Some(file) => read_in_file(disk, content, file, &entry.stat, index, &mut block),
            });
            match read {
                Ok(true) => out(&block)?,
                Ok(false) => return Err(changed(path, &entry.path)),
                Err(StoreError::Absent) => return Err(not_here(path)),
                Err(error) => return Err(failure(path, error)),
            }
        }
        if let Some(file) = file {
            off.disk.close(file);
        }
        Ok(())
    }
}

fn changed(path: &Path, name: &str) -> Failure {
    let what = format!("{}: {name} does not hold what the drive says", path.display());
    Failure::new(Kind::Damaged, what)
        .hint("it was edited, belongs to another version, or gannet verify --repair is due")
}

fn open_file(off: &mut Offline, folder: &Path, name: &str) -> Result<File, Failure> {
    let place = crate::drive::path::check(name)
        .map_err(|e| Failure::new(Kind::NotFound, format!("{name}: {e}")))?;
    let dir = off.root(folder, false)?;
    let file = off.wait_io(|disk| disk.open(dir, &place, Open::ReadFollow));
    off.disk.close_dir(dir);
    file.map_err(|e| Failure::io(folder.join(place).display(), &e))
}

/// Content block `index` from the file that holds it; `false` if the bytes there are others.
fn read_in_file(
    disk: &mut dyn Disk,
    content: &mut FeedStore,
    file: File,
    stat: &Stat,
    index: u64,
    out: &mut Vec<u8>,
) -> Result<bool, StoreError> {
    let (start, size) = content.extent(disk, index)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let Some(offset) = start.checked_sub(stat.byte_offset) else { return Ok(false) };
    if size > crate::limits::BLOCK_BYTES {
        return Ok(false);
    }
    out.clear();
    Ok(read_at(disk, file, offset, size, out)? && content.check_leaf(disk, index, out)?)
}

/// Appends `size` bytes of a file to `out`; `false` (and nothing appended) where it is shorter.
pub fn read_at(
    disk: &mut dyn Disk,
    file: File,
    offset: u64,
    size: usize,
    out: &mut Vec<u8>,
) -> Result<bool, StoreError> {
    let before = out.len();
    codec::extend_zeros(out, size);
    let mut done = 0;
    while done < size {
        match disk.read_at(file, offset + done as u64, &mut out[before + done..]) {
            Ok(n) if n > 0 => done += n,
            other => {
                out.truncate(before);
                return other.map(|_| false).map_err(StoreError::from);
            }
        }
    }
    Ok(true)
}
