//! Whether a tree is signed by those who may sign it (hyper/SPEC c.10): compat cores, one signer,
//! several of them with a quorum, signatures of longer trees (patches), prologues.

use super::manifest::{Manifest, Prologue, Signer};
use super::nodes::{put_nodes, read_nodes};
use super::tree::Tree;
use crate::codec::compact::{Error, Reader, put_uint};
use crate::crypto::hash::Node;
use crate::crypto::hyper::{self, BlockCipher};
use crate::crypto::sign::{self, KeyPair, PublicKey, Signature};
use crate::feed::{Feed, flat};
use crate::limits::{FEED_BLOCKS, HYPER_SIGNATURE_BYTES, HYPER_SIGNERS, PROOF_NODES};

const SIGNATURE_BYTES: usize = 64;
/// Bytes of a proof in a container, at least.
const PROOF_BYTES: usize = 66;

/// The manifest is not the one that the core's key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest does not belong to the core's key")]
pub struct WrongManifest;

/// Who signs a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The key is the signer's.
    Compat(PublicKey),
    /// The key stands for this manifest.
    Manifest { key: [u8; 32], manifest: Manifest },
}

/// The secret that an encrypted core is read with (hyper/SPEC c.14). Seeding needs none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum EncryptionKey {
    /// One secret for any number of cores, from which each core's key and this give its own.
    Store([u8; 32]),
    /// That of this core's blocks alone.
    Block([u8; 32]),
}

/// Says nothing of the secret.
impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            EncryptionKey::Store(_) => "Store",
            EncryptionKey::Block(_) => "Block",
        })
    }
}

/// A signature of one signer in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Place among the manifest's signers.
    pub signer: u64,
    pub signature: Signature,
    /// How many blocks longer the tree was that it covers.
    pub patch: u64,
}

/// Signatures of several signers, and the nodes that lead from the tree they agree on to the longer
/// ones that some of them signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub signed: Vec<Share>,
    pub nodes: Vec<Node>,
}

impl Authority {
    /// Of a core whose peers have no manifest, or this one.
    pub fn new(key: [u8; 32], manifest: Option<Manifest>) -> Result<Authority, WrongManifest> {
        match manifest {
            None => Ok(Authority::Compat(key)),
            Some(manifest) if manifest.is_compat(&key) => Ok(Authority::Compat(key)),
            Some(manifest) if manifest.key() == key => Ok(Authority::Manifest { key, manifest }),
            Some(_) => Err(WrongManifest),
        }
    }

    /// Of a core made by ourselves.
    pub fn of(manifest: Manifest) -> Authority {
        Authority::Manifest { key: manifest.key(), manifest }
    }

    pub fn key(&self) -> &[u8; 32] {
        match self {
            Authority::Compat(key) | Authority::Manifest { key, .. } => key,
        }
    }

    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Authority::Compat(_) => None,
            Authority::Manifest { manifest, .. } => Some(manifest),
        }
    }

    /// The key whose owner signs alone, if there is one.
    pub fn signer(&self) -> Option<PublicKey> {
        match self {
            Authority::Compat(key) => Some(*key),
            Authority::Manifest { manifest, .. } => match &manifest.signers[..] {
                [signer] if manifest.quorum == 1 => Some(signer.key),
                _ => None,
            },
        }
    }

    /// Whether the owner of this key alone signs.
    pub fn is_signer(&self, public: &PublicKey) -> bool {
        self.signer().is_some_and(|signer| signer == *public)
    }

    /// What the core's blocks are encrypted with, if they are.
    pub fn cipher(&self, key: EncryptionKey) -> BlockCipher {
        match key {
            EncryptionKey::Block(key) => BlockCipher::of_blocks(key),
            EncryptionKey::Store(key) => {
                BlockCipher::new(self.key(), &key, matches!(self, Authority::Compat(_)))
            }
        }
    }

    /// The blocks that need no signature.
    pub fn prologue(&self) -> Option<&Prologue> {
        self.manifest().and_then(|manifest| manifest.prologue.as_ref())
    }

    /// Whether the tree with this fork is properly signed.
    pub fn verify(&self, tree: &Tree, fork: u64, signature: Option<&[u8]>) -> bool {
        match self {
            Authority::Compat(key) => signature
                .and_then(plain)
                .is_some_and(|signature| sign::verify(key, &signable(None, tree, fork), signature)),
            Authority::Manifest { key, manifest } => {
                verify_manifest(key, manifest, tree, fork, signature)
            }
        }
    }

    /// Signs with the only signer's key. `None`: it is not ours alone to sign.
    pub fn sign(&self, tree: &Tree, fork: u64, pair: &KeyPair) -> Option<Vec<u8>> {
        if !self.is_signer(&pair.public()) {
            return None;
        }
        match self {
            Authority::Compat(_) => Some(pair.sign(&signable(None, tree, fork)).to_vec()),
            Authority::Manifest { key, manifest } => {
                let signer = manifest.signers.first()?;
                let signature = pair.sign(&signable_by(key, manifest, signer, tree, fork));
                if manifest.version == 0 && !manifest.allow_patch {
                    return Some(signature.to_vec());
                }
                let signed = vec![Share { signer: 0, signature, patch: 0 }];
                let mut out = Vec::new();
                Container { signed, nodes: Vec::new() }.encode(manifest.version, &mut out);
                Some(out)
            }
        }
    }
}

/// Why a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Sealed {
    #[error("only blocks of Hypercore are encrypted")]
    Dat,
    #[error("it is not known yet who signs the core")]
    Unknown,
    #[error(transparent)]
    TooShort(#[from] hyper::TooShort),
}

/// Decrypts block `index` of a core where it is (hyper/SPEC c.14). With a wrong key, or where the block
/// is not encrypted, what comes out is noise: nothing in it tells.
pub fn open_block(
    feed: &Feed,
    key: EncryptionKey,
    index: u64,
    block: &mut Vec<u8>,
) -> Result<(), Sealed> {
    let core = feed.as_core().ok_or(Sealed::Dat)?;
    let cipher = match (key, &core.authority) {
        (EncryptionKey::Block(key), _) => BlockCipher::of_blocks(key),
        (_, Some(authority)) => authority.cipher(key),
        (_, None) => return Err(Sealed::Unknown),
    };
    cipher.decrypt(index, block)?;
    block.drain(..hyper::ENCRYPTION_BYTES);
    Ok(())
}

fn verify_manifest(
    key: &[u8; 32],
    manifest: &Manifest,
    tree: &Tree,
    fork: u64,
    signature: Option<&[u8]>,
) -> bool {
    if manifest.version > 0
        && let Some(prologue) = &manifest.prologue
        && tree.length() <= prologue.length
    {
        return tree.length() == prologue.length && tree.hash() == prologue.hash;
    }
    let Some(signature) = signature else { return false };
    if let (0, false, [signer]) = (manifest.version, manifest.allow_patch, &manifest.signers[..]) {
        let signable = signable_by(key, manifest, signer, tree, fork);
        return plain(signature).is_some_and(|s| sign::verify(&signer.key, &signable, s));
    }
    let Ok(container) = Container::decode(manifest.version, signature) else { return false };
    quorum(key, manifest, tree, fork, &container)
}

/// The first signatures of a container, as many as are needed: by different signers, all valid.
fn quorum(
    key: &[u8; 32],
    manifest: &Manifest,
    tree: &Tree,
    fork: u64,
    container: &Container,
) -> bool {
    let needed = usize::try_from(manifest.quorum).unwrap_or(usize::MAX);
    let Some(first) = container.signed.get(..needed).filter(|first| !first.is_empty()) else {
        return false;
    };
    let mut seen = vec![false; manifest.signers.len()];
    first.iter().all(|signed| {
        let Some(place) = usize::try_from(signed.signer).ok().filter(|&n| n < seen.len()) else {
            return false;
        };
        if std::mem::replace(&mut seen[place], true) {
            return false;
        }
        let signer = &manifest.signers[place];
        let valid = |tree: &Tree| {
            let signable = signable_by(key, manifest, signer, tree, fork);
            sign::verify(&signer.key, &signable, &signed.signature)
        };
        if signed.patch == 0 {
            return valid(tree);
        }
        if !manifest.allow_patch {
            return false;
        }
        longer(tree, signed.patch, &container.nodes).is_some_and(|tree| valid(&tree))
    })
}

/// The tree with `patch` blocks more, from nodes in any order.
fn longer(tree: &Tree, patch: u64, nodes: &[Node]) -> Option<Tree> {
    let end = tree.length().checked_add(patch).filter(|&end| end <= FEED_BLOCKS)?;
    let mut tree = tree.clone();
    while tree.length() < end {
        let next = flat::largest_from(tree.length(), end);
        let node = nodes.iter().find(|node| node.index == next)?;
        tree.append(*node, |_| ()).ok()?;
    }
    Some(tree)
}

fn plain(signature: &[u8]) -> Option<&Signature> {
    signature.try_into().ok()
}

fn signable(context: Option<&[u8; 32]>, tree: &Tree, fork: u64) -> Vec<u8> {
    hyper::signable(context, &tree.hash(), tree.length(), fork)
}

/// Version 0 signs in the signer's namespace, later ones for the core's key.
fn signable_by(
    key: &[u8; 32],
    manifest: &Manifest,
    signer: &Signer,
    tree: &Tree,
    fork: u64,
) -> Vec<u8> {
    let context = if manifest.version == 0 { &signer.namespace } else { key };
    signable(Some(context), tree, fork)
}

impl Container {
    /// Appends the container as cores of this manifest version carry it.
    pub fn encode(&self, version: u64, out: &mut Vec<u8>) {
        put_uint(self.signed.len() as u64, out);
        for signed in &self.signed {
            if version == 0 {
                put_uint(u64::from(signed.patch > 0), out);
            }
            put_uint(signed.signer, out);
            out.extend_from_slice(&signed.signature);
            if version > 0 {
                put_uint(signed.patch, out);
            } else if signed.patch > 0 {
                self.encode_patch(signed.patch, out);
            }
        }
        put_nodes(&self.nodes, out);
    }

    /// Version 0 says which of the nodes a patch uses; nobody reads more of it than the length.
    fn encode_patch(&self, length: u64, out: &mut Vec<u8>) {
        let end = self.nodes.last().map_or(0, |node| flat::right_span(node.index) / 2 + 1);
        put_uint(end, out);
        put_uint(length, out);
        put_uint(self.nodes.len() as u64, out);
        (0..self.nodes.len() as u64).for_each(|place| put_uint(place, out));
    }

    /// Reads a container of a core of this manifest version.
    pub fn decode(version: u64, bytes: &[u8]) -> Result<Container, Error> {
        if bytes.len() > HYPER_SIGNATURE_BYTES {
            return Err(Error::TooMany);
        }
        let mut r = Reader::new(bytes);
        let count = bounded(r.count(PROOF_BYTES)?, HYPER_SIGNERS)?;
        let mut signed = Vec::with_capacity(count);
        for _ in 0..count {
            let flags = if version == 0 { r.uint()? } else { 0 };
            let (signer, signature) = (r.uint()?, *r.fixed::<SIGNATURE_BYTES>()?);
            let patch = match version {
                0 if flags & 1 == 0 => 0,
                0 => decode_patch(&mut r)?,
                _ => r.uint()?,
            };
            signed.push(Share { signer, signature, patch });
        }
        let nodes = read_nodes(&mut r)?.ok_or(Error::TooMany)?;
        Ok(Container { signed, nodes })
    }
}

/// The length of a version 0 patch.
fn decode_patch(r: &mut Reader<'_>) -> Result<u64, Error> {
    let (_start, length) = (r.uint()?, r.uint()?);
    for _ in 0..bounded(r.count(1)?, PROOF_NODES)? {
        r.uint()?;
    }
    Ok(length)
}

fn bounded(count: usize, most: usize) -> Result<usize, Error> {
    if count > most { Err(Error::TooMany) } else { Ok(count) }
}
