//! A feed's files (dat/SPEC §8): a directory and a prefix like `metadata.`.

use super::StoreError;
use super::disk::{Dir, Disk};
use crate::crypto::hash::{Hash, Node};
use crate::crypto::sign::{KeyPair, PublicKey, Signature};
use crate::feed::Feed;
use crate::feed::proof::{Accepted, Proof};
use crate::time::Instant;

/// Where the blocks' bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// In the feed's own `data` file.
    File,
    /// Elsewhere, in the caller's care: a drive's content lives in the user's files.
    External,
}

/// The keys of a new feed.
#[derive(Clone, Debug)]
pub struct Keys {
    pub public: PublicKey,
    /// Present for the writer.
    pub secret: Option<KeyPair>,
    /// Also write the secret key beside the feed, as `secret_key`. (Drives keep it elsewhere.)
    pub keep_secret: bool,
}

/// What `accept` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The block was not here before.
    pub new: bool,
    /// The feed is known to be longer: the length before and after.
    pub grew: Option<(u64, u64)>,
}

/// Where step-wise work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
}

/// Where `verify_step` goes on. `Cursor::default()` is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    node: u64,
}

/// Something on disk that is not what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A block's bytes do not match its hash, or are not there.
    Block(u64),
    /// The hashes under this tree node do not make it up.
    Node(u64),
    /// The roots do not match the signature of the feed's length, or it is missing.
    Signature,
}

/// What one `verify_step` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Blocks looked at in this step.
    pub blocks: u64,
    pub bad: Vec<Damage>,
    /// Nothing is left to look at.
    pub done: bool,
}

/// Reads a block of a feed whose content is `External`: block, byte offset in the feed, size, where
/// to put it (appended). `false`: the bytes are not there.
pub type Reader<'a> =
    dyn FnMut(&mut dyn Disk, u64, u64, u64, &mut Vec<u8>) -> Result<bool, StoreError> + 'a;

/// A feed and its files.
pub struct FeedStore {
    feed: Feed,
}

/// An open that can wait for the disk without starting over.
pub struct Opening {}

impl Opening {
    /// `prefix` comes before every file name. `key`: what must be stored here, if known. `secret`:
    /// to write, unless a `secret_key` lies beside the feed.
    pub fn new(
        _dir: Dir,
        _prefix: &str,
        _key: Option<PublicKey>,
        _secret: Option<KeyPair>,
        _content: Content,
    ) -> Opening {
        todo!()
    }

    /// Goes on opening. After any error but `NotYet` all files are closed again.
    pub fn step(&mut self, _disk: &mut dyn Disk) -> Result<FeedStore, StoreError> {
        todo!()
    }

    /// Gives up.
    pub fn cancel(self, _disk: &mut dyn Disk) {
        todo!()
    }
}

impl FeedStore {
    /// A new, empty feed. `StoreError::Exists` if there is one.
    pub fn create(
        _disk: &mut dyn Disk,
        _dir: Dir,
        _prefix: &str,
        _keys: Keys,
        _content: Content,
    ) -> Result<FeedStore, StoreError> {
        todo!()
    }

    /// Opens a feed; see [`Opening`], which does not start over after `NotYet`.
    pub fn open(
        _disk: &mut dyn Disk,
        _dir: Dir,
        _prefix: &str,
        _key: Option<PublicKey>,
        _secret: Option<KeyPair>,
        _content: Content,
    ) -> Result<FeedStore, StoreError> {
        todo!()
    }

    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    pub fn is_writable(&self) -> bool {
        self.feed.writable()
    }

    /// Whether the last stop was not in order and `recover` has not run to its end yet. The feed can
    /// be read and take blocks meanwhile, but not be appended to.
    pub fn recovering(&self) -> bool {
        todo!()
    }

    /// Finds blocks that are on disk and verify but whose bits were lost at an unclean stop.
    /// `budget`: bytes to look at in this step. A feed with `External` content needs a reader; with
    /// none its blocks are left to be fetched again.
    pub fn recover(
        &mut self,
        _disk: &mut dyn Disk,
        _reader: Option<&mut Reader<'_>>,
        _budget: usize,
    ) -> Result<Progress, StoreError> {
        todo!()
    }

    /// A tree node, if held.
    pub fn node(&mut self, _disk: &mut dyn Disk, _index: u64) -> Result<Option<Node>, StoreError> {
        todo!()
    }

    /// Where a block lies in the feed: byte offset and size. `Absent` if its path is not held.
    pub fn extent(&mut self, _disk: &mut dyn Disk, _block: u64) -> Result<(u64, u64), StoreError> {
        todo!()
    }

    /// A block's size and hash.
    pub fn leaf(&mut self, _disk: &mut dyn Disk, _block: u64) -> Result<Node, StoreError> {
        todo!()
    }

    /// Whether `bytes` are the block. For content that others can change under us.
    pub fn check_leaf(
        &mut self,
        _disk: &mut dyn Disk,
        _block: u64,
        _bytes: &[u8],
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// Appends a block's bytes to `out` (content `File` only). `out` is untouched on error.
    pub fn read(
        &mut self,
        _disk: &mut dyn Disk,
        _block: u64,
        _out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// What proves a block to a peer with this digest (dat/SPEC §7.2). `Absent`: cannot be proven.
    pub fn proof(
        &mut self,
        _disk: &mut dyn Disk,
        _index: u64,
        _digest: u64,
        _hash_only: bool,
    ) -> Result<Proof, StoreError> {
        todo!()
    }

    /// The block that contains a byte of the feed, and where in it. `Absent`: not known.
    pub fn seek(&mut self, _disk: &mut dyn Disk, _byte: u64) -> Result<(u64, u64), StoreError> {
        todo!()
    }

    /// Checks what a peer sent; stores nothing (but the evidence, if it proves a fork).
    /// `StoreError::Refused` when it is wrong.
    pub fn check(
        &mut self,
        _disk: &mut dyn Disk,
        _index: u64,
        _value: Option<&[u8]>,
        _nodes: &[Node],
        _signature: Option<&Signature>,
    ) -> Result<Accepted, StoreError> {
        todo!()
    }

    /// Stores what `check` accepted, with the same value. For `External` content the caller has
    /// written the bytes first. With no value (hash-only) only the tree grows.
    pub fn accept(
        &mut self,
        _disk: &mut dyn Disk,
        _accepted: &Accepted,
        _value: Option<&[u8]>,
    ) -> Result<Stored, StoreError> {
        todo!()
    }

    /// Appends blocks under one signature. Returns the new length. Announce it only after `commit`.
    pub fn append(&mut self, _disk: &mut dyn Disk, _blocks: &[&[u8]]) -> Result<u64, StoreError> {
        todo!()
    }

    /// As `append`, for blocks that live elsewhere: their sizes and leaf hashes.
    pub fn append_leaves(
        &mut self,
        _disk: &mut dyn Disk,
        _leaves: &[(u64, Hash)],
    ) -> Result<u64, StoreError> {
        todo!()
    }

    /// Forgets blocks (not their hashes). Their bytes may go once this was committed.
    pub fn clear(
        &mut self,
        _disk: &mut dyn Disk,
        _start: u64,
        _len: u64,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Makes everything so far durable: data, tree and signatures are written and synced, then the
    /// bitfield. For `External` content the caller has synced the bytes before.
    pub fn commit(&mut self, _disk: &mut dyn Disk, _now: Instant) -> Result<(), StoreError> {
        todo!()
    }

    /// Bytes that `commit` would have to write or sync.
    pub fn dirty(&self) -> usize {
        todo!()
    }

    /// Writes what is in memory, without waiting for the device.
    pub fn flush(&mut self, _disk: &mut dyn Disk) -> Result<(), StoreError> {
        todo!()
    }

    /// Gives back memory and descriptors while nothing happens. The lock is kept.
    pub fn rest(&mut self, _disk: &mut dyn Disk) -> Result<(), StoreError> {
        todo!()
    }

    /// Commits and closes. On an error the store is closed too, and recovers at the next open.
    pub fn close(self, _disk: &mut dyn Disk, _now: Instant) -> Result<(), StoreError> {
        todo!()
    }

    /// Closes the files and nothing else, as a killed process would.
    pub fn abandon(self, _disk: &mut dyn Disk) {
        todo!()
    }

    /// Checks held blocks and nodes against the tree and the signature, `budget` bytes in a step.
    /// Blocks of `External` content are read through `reader`; without one they are skipped.
    pub fn verify_step(
        &mut self,
        _disk: &mut dyn Disk,
        _cursor: &mut Cursor,
        _reader: Option<&mut Reader<'_>>,
        _budget: usize,
    ) -> Result<Verified, StoreError> {
        todo!()
    }

    /// Forgets what `verify_step` found to be bad, so that it is fetched again.
    pub fn forget(&mut self, _disk: &mut dyn Disk, _damage: Damage) -> Result<(), StoreError> {
        todo!()
    }
}
