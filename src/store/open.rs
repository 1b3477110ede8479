//! Creating and opening a feed's files.

use std::io;

use super::StoreError;
use super::bitpage;
use super::core;
use super::disk::{Dir, Disk, Open};
use super::dropped;
use super::feed::{Content, FeedStore, Shelf};
use super::files::{Place, Slot};
use super::pages::HEADER;
use super::recover::Recovery;
use crate::bits::Bitfield;
use crate::crypto::hash::Node;
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::feed::proof::Nodes;
use crate::feed::{Feed, Fork, flat};
use crate::limits;

/// Lies beside a feed while its bits may not tell all that is there.
pub(super) const MARKER: &str = "gannet.open";
/// The evidence that a feed's writer made two histories.
pub(super) const FORK: &str = "gannet.fork";

/// An open that can wait for the disk without starting over.
#[derive(Debug)]
pub struct Opening {
    key: Option<PublicKey>,
    secret: Option<KeyPair>,
    content: Content,
    place: Place,
    bitfield: Slot,
    locked_above: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Key,
    Lock(Box<Feed>),
    /// Reading the bitfield.
    Bits(Box<FeedStore>),
    Lengths(Box<FeedStore>),
    Ended,
}

/// The feed whose files lie in a directory, as it is without a block: its key, its kind, and who signs
/// it, if that is known. Nothing is locked. `None`: there is none.
pub fn stored(disk: &mut dyn Disk, dir: Dir, prefix: &str) -> Result<Option<Feed>, StoreError> {
    let place = Place { dir, prefix: prefix.to_owned() };
    let Some(key) = place.read_small(disk, "key", 33)?.filter(|key| !key.is_empty()) else {
        return Ok(None);
    };
    let key: PublicKey =
        key.try_into().map_err(|_| place.damaged("key", "does not have 32 bytes"))?;
    let secret = place.read_small(disk, "secret_key", 65)?.and_then(|bytes| bytes.try_into().ok());
    let secret = secret.and_then(|bytes| KeyPair::from_secret(bytes).ok());
    core::stored_feed(disk, &place, key, secret.as_ref()).map(Some)
}

impl Opening {
    /// `prefix` comes before every file name. `key`: what must be stored here, if known. `secret`:
    /// to write, unless a `secret_key` lies beside the feed.
    pub fn new(
        dir: Dir,
        prefix: &str,
        key: Option<PublicKey>,
        secret: Option<KeyPair>,
        content: Content,
    ) -> Opening {
        let place = Place { dir, prefix: prefix.to_owned() };
        let bitfield = Slot::new("bitfield");
        let (locked_above, stage) = (false, Stage::Key);
        Opening { key, secret, content, place, bitfield, locked_above, stage }
    }

    /// The caller holds a lock for this feed, so no file has to stay open for one.
    pub fn locked_above(mut self) -> Opening {
        self.locked_above = true;
        self
    }

    /// Goes on opening. After any error but `NotYet` all files are closed again.
    pub fn step(&mut self, disk: &mut dyn Disk) -> Result<FeedStore, StoreError> {
        loop {
            match self.advance(disk) {
                Ok(Some(store)) => return Ok(store),
                Ok(None) => {}
                Err(StoreError::NotYet) => return Err(StoreError::NotYet),
                Err(error) => {
                    self.end(disk);
                    return Err(error);
                }
            }
        }
    }

    /// Gives up.
    pub fn cancel(mut self, disk: &mut dyn Disk) {
        self.end(disk);
    }

    fn end(&mut self, disk: &mut dyn Disk) {
        self.bitfield.close(disk);
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Bits(store) | Stage::Lengths(store) => store.abandon(disk),
            Stage::Key | Stage::Lock(_) | Stage::Ended => {}
        }
    }

    fn advance(&mut self, disk: &mut dyn Disk) -> Result<Option<FeedStore>, StoreError> {
        match &mut self.stage {
            Stage::Key => {
                let feed = self.keys(disk)?;
                self.stage = Stage::Lock(Box::new(feed));
            }
            Stage::Lock(feed) => {
                let feed = Feed::clone(feed);
                let store = self.locked(disk, feed)?;
                self.stage = Stage::Bits(Box::new(store));
            }
            Stage::Bits(store) => {
                if store.load_bits(disk)? {
                    let next = std::mem::replace(&mut self.stage, Stage::Ended);
                    if let Stage::Bits(store) = next {
                        self.stage = Stage::Lengths(store);
                    }
                }
            }
            Stage::Lengths(store) => {
                store.load_lengths(disk)?;
                if let Stage::Lengths(mut store) = std::mem::replace(&mut self.stage, Stage::Ended)
                {
                    store.settle_dropped();
                    return Ok(Some(*store));
                }
            }
            Stage::Ended => return Err(StoreError::Missing),
        }
        Ok(None)
    }

    fn keys(&mut self, disk: &mut dyn Disk) -> Result<Feed, StoreError> {
        let key = self.place.read_small(disk, "key", 33)?.ok_or(StoreError::Missing)?;
        if key.is_empty() {
            return Err(StoreError::Missing);
        }
        let key: PublicKey =
            key.try_into().map_err(|_| self.place.damaged("key", "does not have 32 bytes"))?;
        if self.key.is_some_and(|wanted| wanted != key) {
            return Err(StoreError::OtherFeed);
        }
        self.key = Some(key);
        let stored = self.place.read_small(disk, "secret_key", 65)?.filter(|s| !s.is_empty());
        if let Some(stored) = stored {
            let bad = |_| self.place.damaged("secret_key", "is not a secret key");
            let stored = <[u8; 64]>::try_from(stored).map_err(bad)?;
            let pair = KeyPair::from_secret(stored);
            self.secret =
                Some(pair.map_err(|_| self.place.damaged("secret_key", "is not a secret key"))?);
        }
        let feed = core::stored_feed(disk, &self.place, key, self.secret.as_ref())?;
        if self.secret.as_ref().is_some_and(|pair| !feed.is_signer(&pair.public())) {
            return Err(self.place.damaged("secret_key", "belongs to another feed"));
        }
        Ok(feed)
    }

    fn locked(&mut self, disk: &mut dyn Disk, mut feed: Feed) -> Result<FeedStore, StoreError> {
        let file = self.bitfield.open(disk, &self.place)?;
        if !self.locked_above {
            lock(disk, file)?;
        }
        let mut header = [0; HEADER as usize];
        let read = self.bitfield.read(disk, &self.place, 0, &mut header)?;
        let page_bytes = page_bytes(&self.place, read, &header)?;
        let marked = self.place.exists(disk, MARKER)?;
        if let Some(bytes) = self.place.read_small(disk, FORK, limits::FORK_BYTES)? {
            let fork = Fork::decode(&bytes, feed.as_core().is_some());
            feed.freeze(fork.ok_or_else(|| self.place.damaged(FORK, "cannot be read"))?);
        }
        let dropped = dropped::load(disk, &self.place, feed.key())?;
        let bitfield = std::mem::replace(&mut self.bitfield, Slot::new("bitfield"));
        let secret = self.secret.take();
        let mut store = FeedStore::new(feed, secret, self.content, self.place.clone(), bitfield);
        store.locked_above = self.locked_above;
        store.page_bytes = page_bytes;
        store.shape.old = page_bytes == bitpage::OLD_PAGE_BYTES;
        store.marked = marked;
        store.recovery = marked.then(Recovery::default);
        store.dropped = dropped;
        if marked {
            // A killed process left what it wrote to the kernel, which may not have written it yet.
            for slot in [&mut store.bitfield, &mut store.tree.slot] {
                slot.unsynced = true;
            }
            store.signatures.slot.unsynced = store.feed.as_core().is_none();
            store.data.slot.unsynced =
                self.content == Content::File && self.place.exists(disk, store.data.slot.name)?;
        }
        Ok(store)
    }
}

pub(super) fn lock(disk: &mut dyn Disk, file: super::disk::File) -> Result<(), StoreError> {
    disk.lock(file).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::Locked,
        _ => error.into(),
    })
}

/// The page size that a bitfield's header tells; a file without a header will get one.
fn page_bytes(place: &Place, read: usize, header: &[u8]) -> Result<usize, StoreError> {
    let size = usize::from(u16::from_be_bytes([header[5], header[6]]));
    let known = size == bitpage::PAGE_BYTES || size == bitpage::OLD_PAGE_BYTES;
    match read {
        0 => Ok(bitpage::PAGE_BYTES),
        _ if header[..4] == [5, 2, 0x57, 0] && known => Ok(size),
        _ => Err(place.damaged("bitfield", "does not begin as such a file does")),
    }
}

impl FeedStore {
    /// Opens a feed; see [`Opening`], which does not start over after `NotYet`.
    pub fn open(
        disk: &mut dyn Disk,
        dir: Dir,
        prefix: &str,
        key: Option<PublicKey>,
        secret: Option<KeyPair>,
        content: Content,
    ) -> Result<FeedStore, StoreError> {
        let mut opening = Opening::new(dir, prefix, key, secret, content);
        let opened = opening.step(disk);
        if opened.is_err() {
            opening.cancel(disk);
        }
        opened
    }

    /// Reads some pages of the bitfield. True: that was all.
    fn load_bits(&mut self, disk: &mut dyn Disk) -> Result<bool, StoreError> {
        let first = self.shape.pages;
        let mut bytes = vec![0; limits::STORE_BITFIELD_PAGES * self.page_bytes];
        let offset = HEADER + first * self.page_bytes as u64;
        let read = self.bitfield.read(disk, &self.place, offset, &mut bytes)?;
        let (mut have, mut nodes) = (Bitfield::new(), Bitfield::new());
        for (at, page) in bytes[..read].chunks(self.page_bytes).enumerate() {
            let number = first + at as u64;
            if page[..page.len().min(bitpage::INDEX_AT)].iter().any(|&byte| byte != 0) {
                bitpage::decode(page, number, &mut have, &mut nodes);
                self.shape.loaded(number, &have, &nodes);
            }
            self.shape.pages += 1;
        }
        have.ranges(0, u64::MAX).for_each(|(at, len)| self.feed.set_have(at, len, true));
        nodes.ranges(0, u64::MAX).for_each(|(at, len)| self.feed.set_nodes(at, len, true));
        if self.shape.pages > limits::FEED_BLOCKS / bitpage::BLOCKS {
            return Err(self.place.damaged("bitfield", "is longer than any feed"));
        }
        Ok(read < bytes.len())
    }

    /// Finds out the length, which no file tells, and looks at the headers of the other files.
    fn load_lengths(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if self.feed.as_core().is_some() {
            return self.load_head(disk);
        }
        self.tree.open(disk, &self.place)?;
        self.signatures.open(disk, &self.place)?;
        let length = self.feed.length_by_nodes();
        if self.set_length(disk, length)? {
            return Ok(());
        }
        // As JavaScript does: the last append may have been cut off.
        if length > 1 && self.set_length(disk, length - 1)? {
            return Ok(());
        }
        if self.recovery.is_some() {
            return Ok(());
        }
        Err(self.place.damaged("tree", format_args!("lacks roots of its {length} blocks")))
    }

    /// Takes over a length if its roots are there.
    pub(super) fn set_length(
        &mut self,
        disk: &mut dyn Disk,
        length: u64,
    ) -> Result<bool, StoreError> {
        let mut bytes = 0u64;
        for root in flat::full_roots(length) {
            let node = if self.feed.holds(root) { self.raw(disk, root)? } else { None };
            match node.and_then(|node| bytes.checked_add(node.size)) {
                Some(sum) => bytes = sum,
                None => return Ok(false),
            }
        }
        self.feed.set_lengths(length, bytes);
        self.roots = None;
        Ok(true)
    }

    /// The roots of the writer's tree.
    pub(super) fn load_roots(&mut self, disk: &mut dyn Disk) -> Result<Vec<Node>, StoreError> {
        if let Some(roots) = &self.roots {
            return Ok(roots.clone());
        }
        let FeedStore { feed, tree, signatures, place, .. } = self;
        let mut shelf = Shelf { feed, tree, signatures, place, disk };
        let mut roots = Vec::new();
        for root in flat::full_roots(feed.length()) {
            roots.push(shelf.node(root)?.ok_or(StoreError::Absent)?);
        }
        self.roots = Some(roots.clone());
        Ok(roots)
    }

    /// Before the first change: lays the marker.
    pub(super) fn mark(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if !self.marked {
            let file = disk.open(self.place.dir, &self.place.path(MARKER), Open::Create)?;
            disk.close(file);
            self.marked = true;
        }
        // One that was found may have been laid by a process that was killed before this.
        if !self.mark_durable {
            self.place.sync_names(disk)?;
            self.mark_durable = true;
        }
        Ok(())
    }

    /// After the last change: everything is durable and the bits tell it.
    pub(super) fn unmark(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if self.marked && self.recovery.is_none() {
            self.place.remove(disk, MARKER)?;
            (self.marked, self.mark_durable) = (false, false);
        }
        Ok(())
    }

    /// The caller holds a lock for this feed, so no file has to stay open for one.
    pub fn lock_above(&mut self) {
        self.locked_above = true;
    }

    /// Closes the files and nothing else, as a killed process would.
    pub fn abandon(mut self, disk: &mut dyn Disk) {
        self.close_idle(disk);
        self.bitfield.close(disk);
    }

    pub(super) fn close_idle(&mut self, disk: &mut dyn Disk) {
        self.data.slot.close(disk);
        self.tree.slot.close(disk);
        self.signatures.slot.close(disk);
        if let Some(files) = &mut self.core {
            files.heads.file.close(disk);
        }
        if self.locked_above {
            self.bitfield.close(disk);
        }
    }
}
