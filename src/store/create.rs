//! A new feed's files.

use super::StoreError;
use super::bitpage::{self, Shape};
use super::core::{self, CORE, MANIFEST, RECORD};
use super::data::Data;
use super::disk::{Dir, Disk};
use super::dropped;
use super::feed::{Content, FeedStore, Keys};
use super::files::{Place, Slot, write_small};
use super::open::{FORK, MARKER, lock};
use super::pages;
use crate::crypto::sign::KeyPair;
use crate::feed::Feed;
use crate::time::Instant;

const NEW_KEY: &str = "gannet.key";
const SECRET_MODE: u32 = 0o600;

impl FeedStore {
    pub(super) fn new(
        feed: Feed,
        secret: Option<KeyPair>,
        content: Content,
        place: Place,
        bitfield: Slot,
    ) -> FeedStore {
        FeedStore {
            feed: if secret.is_some() { feed.writer() } else { feed },
            secret: secret.map(Box::new),
            content,
            place,
            data: Data::new(),
            tree: pages::tree(),
            signatures: pages::signatures(),
            core: None,
            bitfield,
            locked_above: false,
            shape: Shape::default(),
            page_bytes: bitpage::PAGE_BYTES,
            roots: None,
            last: (0, 0),
            marked: false,
            mark_durable: false,
            recovery: None,
            changed: 0,
            committed: Instant::default(),
            unsynced: false,
            dropped: None,
        }
    }

    /// A new, empty feed. `StoreError::Exists` if there is one; `Refused` or `ReadOnly` if the keys
    /// of a core do not belong together.
    pub fn create(
        disk: &mut dyn Disk,
        dir: Dir,
        prefix: &str,
        keys: Keys,
        content: Content,
    ) -> Result<FeedStore, StoreError> {
        let mut store = FeedStore::made(disk, (dir, prefix), keys, content, true)?;
        match store.name(disk).and_then(|()| store.place.sync_names(disk)) {
            Ok(()) => Ok(store),
            Err(error) => {
                store.abandon(disk);
                Err(error)
            }
        }
    }

    /// Whether it is nobody's work: not ours to write, and nothing of it has come.
    pub fn is_empty_reader(&self) -> bool {
        let nothing = self.feed.length() == 0 && self.feed.have().is_empty();
        nothing && !self.is_writable() && !self.recovering()
    }

    /// Takes the files of an empty reader away, so that another feed can be made there.
    pub fn unmake(self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let place = Place { dir: self.place.dir, prefix: self.place.prefix.clone() };
        if !self.is_empty_reader() {
            self.abandon(disk);
            return Err(StoreError::OtherFeed);
        }
        self.abandon(disk);
        // Without it there is none; the next one makes the rest anew.
        place.remove(disk, "key")?;
        place.sync_names(disk)
    }

    /// As [`create`](Self::create), but nothing waits for the device and no feed is there yet: for making many
    /// at the price of one. After `Disk::sync_fs` each of them gets its [`name`](Self::name), which a second
    /// one makes durable.
    pub fn create_unnamed(
        disk: &mut dyn Disk,
        dir: Dir,
        prefix: &str,
        keys: Keys,
        content: Content,
    ) -> Result<FeedStore, StoreError> {
        FeedStore::made(disk, (dir, prefix), keys, content, false)
    }

    fn made(
        disk: &mut dyn Disk,
        (dir, prefix): (Dir, &str),
        keys: Keys,
        content: Content,
        durable: bool,
    ) -> Result<FeedStore, StoreError> {
        let place = Place { dir, prefix: prefix.to_owned() };
        if place.read_small(disk, "key", 32)?.is_some_and(|key| !key.is_empty()) {
            return Err(StoreError::Exists);
        }
        let feed = core::new_feed(&keys)?;
        let bitfield = Slot::new("bitfield");
        let mut store = FeedStore::new(feed, keys.secret, content, place, bitfield);
        match store.make_files(disk, keys.keep_secret, durable) {
            Ok(()) => Ok(store),
            Err(error) => {
                store.abandon(disk);
                Err(error)
            }
        }
    }

    /// Makes all files but the one that says that there is a feed.
    fn make_files(
        &mut self,
        disk: &mut dyn Disk,
        keep_secret: bool,
        durable: bool,
    ) -> Result<(), StoreError> {
        self.bitfield.create(disk, &self.place)?;
        let file = self.bitfield.open(disk, &self.place)?;
        lock(disk, file)?;
        disk.set_len(file, 0)?;
        let header = pages::header(0, bitpage::PAGE_BYTES as u16, "");
        self.bitfield.write(disk, &self.place, 0, &header)?;
        for stale in [MARKER, FORK, CORE, MANIFEST, RECORD] {
            self.place.remove(disk, stale)?;
        }
        dropped::remove(disk, &self.place)?;
        self.tree.create(disk, &self.place)?;
        match self.feed.as_core() {
            Some(_) => self.make_core(disk)?,
            None => self.signatures.create(disk, &self.place)?,
        }
        if self.content == Content::File {
            self.data.slot.create(disk, &self.place)?;
            let file = self.data.slot.open(disk, &self.place)?;
            disk.set_len(file, 0)?;
        }
        if let (Some(pair), true) = (&self.secret, keep_secret) {
            let secret = pair.secret();
            let path = self.place.path("secret_key");
            write_small(disk, (self.place.dir, &path), Some(SECRET_MODE), &*secret, durable)?;
        }
        let path = self.place.path(NEW_KEY);
        write_small(disk, (self.place.dir, &path), None, self.feed.key(), durable)?;
        if durable {
            self.bitfield.sync(disk, &self.place)?;
            self.sync_files(disk)?;
            if let Some(files) = &mut self.core {
                files.heads.sync(disk, &self.place)?;
            }
            self.place.sync_names(disk)?;
        }
        Ok(())
    }

    /// Makes a feed of what was [created so](Self::create_unnamed), all of which is durable. Renamed into place, so that
    /// there never is half a key; that is not durable yet.
    pub fn name(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let FeedStore { data, tree, signatures, bitfield, place, .. } = self;
        for slot in [&mut data.slot, &mut tree.slot, &mut signatures.slot, bitfield] {
            slot.unsynced = false;
        }
        if let Some(files) = &mut self.core {
            files.heads.file.unsynced = false;
            files.heads.sync(disk, place)?;
        }
        disk.rename(place.dir, &place.path(NEW_KEY), &place.path("key"), false)?;
        Ok(())
    }
}
