//! Which two cores make a drive (hyper/SPEC d.4): the bee, whose key is the drive's, and the blobs.

use super::bee::{Header, Malformed};
use crate::crypto::sign::PublicKey;
use crate::feed::hyper::Manifest;

/// The first block of a new drive's bee, as hyperdrive 13 writes it.
pub fn header() -> Vec<u8> {
    let mut block = Vec::new();
    Header { metadata: true, ..Header::default() }.encode(&mut block);
    block
}

/// The manifests of a new drive of one writer: the bee's, whose key is the drive's, and the blobs'. Both
/// are signed with the same key.
pub fn manifests(writer: PublicKey) -> (Manifest, Manifest) {
    let bee = Manifest::single(writer);
    // Of a manifest that is not of version 0 there is always one.
    let blobs = bee.of_blobs(&bee.key()).unwrap_or_else(|| Manifest::single(writer));
    (bee, blobs)
}

/// The key of a drive's blobs: what the first block of its bee says, or, if it is silent or not here
/// yet, what follows from the bee's manifest. `None`: neither is enough (with both known, it is no drive
/// that anybody could read).
pub fn content_key(
    bee: &PublicKey,
    manifest: Option<&Manifest>,
    first: Option<&[u8]>,
) -> Result<Option<[u8; 32]>, Malformed> {
    let said = match first {
        Some(block) => Header::decode(block)?.content,
        None => None,
    };
    let derived = || {
        // The key of a compat core is its signer's: nothing follows from that.
        let manifest = manifest.filter(|manifest| !manifest.is_compat(bee))?;
        Some(manifest.of_blobs(bee)?.key())
    };
    Ok(said.or_else(derived))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blobs_key_is_said_or_follows() {
        let writer = crate::crypto::sign::KeyPair::from_seed([3; 32]).public();
        let (bee, blobs) = manifests(writer);
        let key = bee.key();
        assert_ne!(key, blobs.key());
        let first = header();
        assert_eq!(content_key(&key, Some(&bee), Some(&first)), Ok(Some(blobs.key())));
        assert_eq!(content_key(&key, Some(&bee), None), Ok(Some(blobs.key())));
        assert_eq!(content_key(&key, None, Some(&first)), Ok(None));
        let mut said = Vec::new();
        Header { content: Some([9; 32]), ..Header::default() }.encode(&mut said);
        assert_eq!(content_key(&key, Some(&bee), Some(&said)), Ok(Some([9; 32])));
        assert_eq!(content_key(&writer, Some(&bee), Some(&first)), Ok(None));
        assert!(content_key(&key, Some(&bee), Some(b"\x0a\x01x")).is_err());
    }
}
