//! The file `core`: which tree of a core is the signed one. Two slots, each a whole head with a
//! checksum; the valid one with the higher sequence number counts. A head is only ever written over
//! the slot that is not the last one known to be durable, so a torn write loses nothing.

use crate::crypto::hash::Hash;
use crate::crypto::hyper;
use crate::crypto::sign::PublicKey;
use crate::feed::hyper::Tree;
use crate::few;
use crate::limits::{FEED_BLOCKS, HYPER_SIGNATURE_BYTES, MAX_SAFE_INTEGER, STORE_HEAD_BYTES};
use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::store::files::{Place, Slot};

pub(in crate::store) const CORE: &str = "core";
/// So that no other checksum of ours can stand in for a head's.
const CONTEXT: &[u8] = b"gannet core head";
/// Sequence, fork, length, byte length, tree hash, length of the signature.
const FIXED: usize = 4 * 8 + 32 + 4;
const CHECKSUM: usize = 32;

/// What is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Head {
    pub fork: u64,
    /// Blocks.
    pub length: u64,
    pub byte_length: u64,
    /// The hash over its full roots.
    pub tree: Hash,
    pub signature: Vec<u8>,
}

impl Head {
    pub fn of(tree: &Tree, fork: u64, signature: Vec<u8>) -> Head {
        let (length, byte_length) = (tree.length(), tree.byte_length());
        Head { fork, length, byte_length, tree: tree.hash(), signature }
    }

    /// The head of `key`'s core as it lies in a slot or a record.
    pub fn encode(&self, key: &PublicKey, sequence: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.signature.len() + CHECKSUM);
        for number in [sequence, self.fork, self.length, self.byte_length] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.tree);
        bytes.extend_from_slice(&(self.signature.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&self.signature);
        let sum = hyper::hash(&[CONTEXT, key, &bytes]);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Sequence number, head, and what is behind it. `None`: torn, damaged, or of another core.
    pub fn decode<'a>(key: &PublicKey, bytes: &'a [u8]) -> Option<(u64, Head, &'a [u8])> {
        let mut rest = bytes;
        let mut number = || {
            let (number, behind) = rest.split_first_chunk()?;
            rest = behind;
            Some(u64::from_be_bytes(*number))
        };
        let (sequence, fork, length, byte_length) = (number()?, number()?, number()?, number()?);
        let (tree, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let size = u32::from_be_bytes(*size) as usize;
        if size > HYPER_SIGNATURE_BYTES || length > FEED_BLOCKS || byte_length > MAX_SAFE_INTEGER {
            return None;
        }
        let (signature, rest) = rest.split_at_checked(size)?;
        let (sum, rest) = rest.split_first_chunk::<CHECKSUM>()?;
        if *sum != hyper::hash(&[CONTEXT, key, &bytes[..FIXED + size]]) {
            return None;
        }
        let head = Head { fork, length, byte_length, tree: *tree, signature: signature.to_vec() };
        Some((sequence, head, rest))
    }
}

/// A valid head and where it lies.
pub(in crate::store) struct Found {
    pub slot: u64,
    pub sequence: u64,
    pub head: Head,
}

#[derive(Debug)]
pub(in crate::store) struct Heads {
    pub file: Slot,
    /// Of the newest head that counts: its slot, 0 or 1, and sequence number.
    slot: u64,
    sequence: u64,
    /// That head is known to be durable.
    pub durable: bool,
    /// A newer one was written to the other slot and not synced yet.
    fresh: bool,
    /// The feed's head is not what was last written.
    pub dirty: bool,
    /// A slot is neither blank nor a head.
    pub torn: bool,
}

impl Heads {
    pub fn new() -> Heads {
        let file = Slot::new(CORE);
        let (slot, sequence) = (1, 0);
        Heads { file, slot, sequence, durable: true, fresh: false, dirty: false, torn: false }
    }

    /// Makes the file with the head of an empty core; it is to be synced.
    pub fn create(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        key: &PublicKey,
    ) -> Result<(), StoreError> {
        self.file.create(disk, place)?;
        let file = self.file.open(disk, place)?;
        disk.set_len(file, 0)?;
        self.write(disk, place, key, &Head::default())
    }

    /// The valid heads, the newest first.
    pub fn read(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        key: &PublicKey,
    ) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        self.torn = false;
        for slot in 0..2 {
            let mut bytes = vec![0; STORE_HEAD_BYTES];
            let read = self.file.read(disk, place, slot * STORE_HEAD_BYTES as u64, &mut bytes)?;
            let decoded = Head::decode(key, &bytes[..read]);
            self.torn |= decoded.is_none() && bytes[..read].iter().any(|&byte| byte != 0);
            found.extend(decoded.map(|(sequence, head, _)| Found { slot, sequence, head }));
        }
        few::sort(&mut found, |a, b| a.sequence > b.sequence);
        Ok(found)
    }

    /// This one counts. `durable`: it was synced for sure.
    pub fn choose(&mut self, found: &Found, durable: bool) {
        (self.slot, self.sequence) = (found.slot, found.sequence);
        (self.durable, self.fresh) = (durable, false);
    }

    /// Makes sure of the head that counts: the one to fall back to, should the next write be torn.
    pub fn settle(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<(), StoreError> {
        self.file.unsynced = true;
        self.file.sync(disk, place)?;
        self.durable = true;
        Ok(())
    }

    /// Writes the feed's head, without waiting for the device. Settle first.
    pub fn write(
        &mut self,
        disk: &mut dyn Disk,
        place: &Place,
        key: &PublicKey,
        head: &Head,
    ) -> Result<(), StoreError> {
        let bytes = head.encode(key, self.sequence + 1);
        self.file.write(disk, place, (1 - self.slot) * STORE_HEAD_BYTES as u64, &bytes)?;
        (self.fresh, self.dirty) = (true, false);
        Ok(())
    }

    /// Makes what was written durable. True: there was something.
    pub fn sync(&mut self, disk: &mut dyn Disk, place: &Place) -> Result<bool, StoreError> {
        self.file.sync(disk, place)?;
        let fresh = std::mem::take(&mut self.fresh);
        if fresh {
            (self.slot, self.sequence) = (1 - self.slot, self.sequence + 1);
            self.durable = true;
        }
        Ok(fresh)
    }
}
