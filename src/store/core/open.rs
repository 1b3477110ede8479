//! Creating and opening a core's own files.

use super::head::{Found, Head};
use super::{CORE, CoreFiles, MANIFEST, write_manifest};
use crate::crypto::hash::Node;
use crate::crypto::hyper as hashes;
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::feed::hyper::{Authority, Manifest};
use crate::feed::{Feed, Refusal, flat};
use crate::limits;
use crate::store::StoreError;
use crate::store::core::Flavor;
use crate::store::disk::Disk;
use crate::store::feed::{FeedStore, Keys};
use crate::store::files::Place;

/// The feed of new keys. `Refused`: they do not belong together.
pub(in crate::store) fn new_feed(keys: &Keys) -> Result<Feed, StoreError> {
    let Flavor::Core(manifest) = &keys.flavor else { return Ok(Feed::new(keys.public)) };
    let authority = match (manifest, &keys.secret) {
        (None, None) => return Ok(Feed::core(keys.public, None)),
        (manifest, _) => Authority::new(keys.public, manifest.clone()),
    };
    let authority = authority.map_err(|_| Refusal::Manifest)?;
    if keys.secret.as_ref().is_some_and(|pair| !authority.is_signer(&pair.public())) {
        return Err(StoreError::ReadOnly);
    }
    Ok(Feed::core(keys.public, Some(authority)))
}

/// The feed whose files lie there, of either dialect, with nothing in it yet.
pub(in crate::store) fn stored_feed(
    disk: &mut dyn Disk,
    place: &Place,
    key: PublicKey,
    secret: Option<&KeyPair>,
) -> Result<Feed, StoreError> {
    if !place.exists(disk, CORE)? {
        return Ok(Feed::new(key));
    }
    let bytes = place.read_small(disk, MANIFEST, limits::HYPER_MANIFEST_BYTES + 1)?;
    // Half a manifest lies there if its writing was cut off: nothing was stored that needs it.
    let manifest = bytes.and_then(|bytes| Manifest::decode(&bytes).ok());
    let authority = manifest.and_then(|manifest| Authority::new(key, Some(manifest)).ok());
    let compat = secret.is_some_and(|pair| pair.public() == key);
    let compat = compat.then_some(Authority::Compat(key));
    Ok(Feed::core(key, authority.or(compat)))
}

impl FeedStore {
    /// Makes what only a core has.
    pub(in crate::store) fn make_core(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        let Some(core) = self.feed.as_core() else { return Ok(()) };
        if let Some(manifest) = core.authority.as_ref().and_then(Authority::manifest) {
            write_manifest(self, disk, manifest)?;
        }
        let files = self.core.insert(Box::new(CoreFiles::new()));
        files.heads.create(disk, &self.place, self.feed.key())
    }

    /// Finds out what is signed, and looks at the header of the tree.
    pub(in crate::store) fn load_head(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        self.tree.open(disk, &self.place)?;
        if self.finish_move(disk)? {
            return Ok(());
        }
        let marked = self.marked;
        let files = self.core.get_or_insert_with(|| Box::new(CoreFiles::new()));
        let found = files.heads.read(disk, &self.place, self.feed.key())?;
        if files.heads.torn && !marked && self.feed.writable() {
            // A write that was cut off leaves the marker. Going on from the head before would be to
            // sign what others may have seen signed otherwise.
            return Err(self.place.damaged(CORE, "is rotten: what was signed last is not known"));
        }
        for found in found {
            if let Some(roots) = self.roots_of(disk, &found.head)? {
                self.open_head(found, roots);
                if self.feed.writable() {
                    // Nobody may see what a power cut could still take.
                    self.settle_head(disk)?;
                    self.show();
                }
                return Ok(());
            }
            // Only a reader that was killed or cut off wrote a head before its tree was durable.
            if self.feed.writable() || !marked {
                return Err(self
                    .place
                    .damaged("tree", "does not have the roots of what is signed"));
            }
            // It is overwritten at the next commit: without the marker it would be taken at its word.
            if let Some(files) = &mut self.core {
                files.heads.torn = true;
            }
        }
        Err(self.place.damaged(CORE, "does not say what is signed"))
    }

    /// The full roots of what a head stands for, if they are in the file.
    pub(super) fn roots_of(
        &mut self,
        disk: &mut dyn Disk,
        head: &Head,
    ) -> Result<Option<Vec<Node>>, StoreError> {
        let mut roots = Vec::new();
        let mut bytes = 0u64;
        for root in flat::full_roots(head.length) {
            let Some(node) = self.raw(disk, root)? else { return Ok(None) };
            bytes = bytes.saturating_add(node.size);
            roots.push(node);
        }
        let same =
            bytes == head.byte_length && (head.length == 0 || hashes::tree(&roots) == head.tree);
        let key = *self.feed.key();
        if let (true, Some(core)) = (same, self.feed.core_mut()) {
            core.fork = head.fork;
            // Something is signed and there is no manifest: the key is the signer's.
            let known = core.authority.is_some();
            if head.length > 0 {
                core.authority.get_or_insert(Authority::Compat(key));
            }
            let doubted = self.marked || !known;
            if doubted && head.length > 0 && !self.feed.is_signed(&roots, &head.signature) {
                return Ok(None);
            }
        }
        Ok(same.then_some(roots))
    }

    fn open_head(&mut self, found: Found, roots: Vec<Node>) {
        if let Some(files) = &mut self.core {
            files.heads.choose(&found, !self.marked);
            // Whole again at the next commit, so that no marker means no torn slot.
            files.heads.dirty |= files.heads.torn;
        }
        let Head { fork, length, byte_length, signature, .. } = found.head;
        if let Some(core) = self.feed.core_mut() {
            (core.fork, core.signature) = (fork, signature);
        }
        self.drop_above(length);
        roots.iter().for_each(|root| self.hold(root.index));
        self.feed.set_lengths(length, byte_length);
        self.roots = Some(roots);
    }
}
