//! Who may sign a core, as its key stands for it (hyper/SPEC c.9): manifests of versions 0 to 3.

use crate::codec::compact::{Error, Reader, put_buffer, put_uint};
use crate::crypto::hash::Hash;
use crate::crypto::hyper::{self, Namespace};
use crate::crypto::sign::PublicKey;
use crate::limits::{HYPER_LINKED, HYPER_MANIFEST_BYTES, HYPER_SIGNERS};

const SIGNER_BYTES: usize = 65;
const NEWEST: u64 = 3;

/// Flags of versions 1 to 3.
const ALLOW_PATCH: u64 = 1;
const PROLOGUE: u64 = 2;
const LINKED: u64 = 4;
const USER_DATA: u64 = 8;

/// Kinds of version 0.
const STATIC: u64 = 0;
const SINGLE: u64 = 1;
const SEVERAL: u64 = 2;

/// One that may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub namespace: Hash,
    pub key: PublicKey,
}

/// The blocks that a core begins with need no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prologue {
    /// Of the tree of those blocks.
    pub hash: Hash,
    /// Blocks; 0 in version 0, which does not say.
    pub length: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// 0 to 3.
    pub version: u64,
    /// Signatures of longer trees count for shorter ones.
    pub allow_patch: bool,
    /// Signatures that are needed.
    pub quorum: u64,
    pub signers: Vec<Signer>,
    pub prologue: Option<Prologue>,
    /// Keys of other cores; from version 2 on.
    pub linked: Option<Vec<Hash>>,
    /// From version 2 on.
    pub user_data: Option<Vec<u8>>,
}

/// Why bytes are no manifest for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    #[error("the manifest is malformed: {0}")]
    Malformed(#[from] Error),
    #[error("the manifest has version {0}, known are 0 to {NEWEST}")]
    Version(u64),
    #[error("the manifest's {0} is of a kind that is not known")]
    Kind(&'static str),
    #[error("the manifest's {0} is out of bounds")]
    Bounds(&'static str),
}

impl Manifest {
    /// What a new core of one writer has.
    pub fn single(key: PublicKey) -> Manifest {
        let namespace = Namespace::DefaultNamespace.bytes();
        Manifest {
            version: 1,
            allow_patch: false,
            quorum: 1,
            signers: vec![Signer { namespace, key }],
            prologue: None,
            linked: None,
            user_data: None,
        }
    }

    /// The manifest of the blobs of a drive whose bee has this one and this key (hyper/SPEC d.4).
    /// `None`: version 0, where only the bee's header can name them.
    pub fn of_blobs(&self, bee: &[u8; 32]) -> Option<Manifest> {
        let signer = |signer: &Signer| Signer {
            namespace: hyper::blobs_namespace(bee, &signer.namespace),
            key: signer.key,
        };
        (self.version > 0).then(|| Manifest {
            version: self.version,
            allow_patch: self.allow_patch,
            quorum: self.quorum,
            signers: self.signers.iter().map(signer).collect(),
            prologue: None,
            linked: None,
            user_data: None,
        })
    }

    /// The core's key.
    pub fn key(&self) -> [u8; 32] {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        hyper::manifest_key(&bytes)
    }

    /// A manifest whose only signer's key is the core's is compat, whatever it says.
    pub fn is_compat(&self, core: &[u8; 32]) -> bool {
        matches!(&self.signers[..], [signer] if signer.key == *core)
    }

    /// Appends the manifest in its one spelling, which the key is the hash of.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(self.version, out);
        if self.version == 0 {
            return self.encode_version_0(out);
        }
        let flags = [
            (self.allow_patch, ALLOW_PATCH),
            (self.prologue.is_some(), PROLOGUE),
            (self.linked.is_some(), LINKED),
            (self.user_data.is_some(), USER_DATA),
        ];
        put_uint(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum(), out);
        // BLAKE2b.
        out.push(0);
        put_uint(self.quorum, out);
        put_signers(&self.signers, out);
        if let Some(prologue) = &self.prologue {
            out.extend_from_slice(&prologue.hash);
            put_uint(prologue.length, out);
        }
        if let Some(linked) = &self.linked {
            put_uint(linked.len() as u64, out);
            out.extend_from_slice(linked.as_flattened());
        }
        if let Some(data) = &self.user_data {
            put_buffer(data, out);
        }
    }

    fn encode_version_0(&self, out: &mut Vec<u8>) {
        out.push(0);
        match (&self.prologue, &self.signers[..]) {
            (Some(prologue), []) => {
                put_uint(STATIC, out);
                out.extend_from_slice(&prologue.hash);
            }
            (_, [signer]) if self.quorum == 1 && !self.allow_patch => {
                put_uint(SINGLE, out);
                put_signer(signer, out);
            }
            (_, signers) => {
                put_uint(SEVERAL, out);
                put_uint(u64::from(self.allow_patch), out);
                put_uint(self.quorum, out);
                put_signers(signers, out);
            }
        }
    }

    /// Reads a manifest in any spelling.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, BadManifest> {
        if bytes.len() > HYPER_MANIFEST_BYTES {
            return Err(BadManifest::Bounds("length"));
        }
        let mut r = Reader::new(bytes);
        match r.uint()? {
            0 => decode_version_0(&mut r),
            version @ 1..=NEWEST => decode_flagged(version, &mut r),
            version => Err(BadManifest::Version(version)),
        }
    }
}

fn decode_version_0(r: &mut Reader<'_>) -> Result<Manifest, BadManifest> {
    kind(r, "hash")?;
    let mut manifest = Manifest {
        version: 0,
        allow_patch: false,
        quorum: 0,
        signers: Vec::new(),
        prologue: None,
        linked: None,
        user_data: None,
    };
    match r.uint()? {
        STATIC => manifest.prologue = Some(Prologue { hash: *r.fixed()?, length: 0 }),
        SINGLE => {
            manifest.quorum = 1;
            manifest.signers.push(signer(r)?);
        }
        SEVERAL => {
            manifest.allow_patch = r.uint()? & ALLOW_PATCH != 0;
            manifest.quorum = r.uint()?;
            manifest.signers = signers(r)?;
        }
        _ => return Err(BadManifest::Kind("version 0")),
    }
    Ok(manifest)
}

fn decode_flagged(version: u64, r: &mut Reader<'_>) -> Result<Manifest, BadManifest> {
    let flags = r.uint()?;
    kind(r, "hash")?;
    let quorum = r.uint()?;
    let signers = signers(r)?;
    let has = |flag: u64| flags & flag != 0;
    let prologue =
        if has(PROLOGUE) { Some(Prologue { hash: *r.fixed()?, length: r.uint()? }) } else { None };
    let linked = if has(LINKED) { Some(linked(r)?) } else { None };
    let user_data = if has(USER_DATA) { Some(r.buffer()?.to_vec()) } else { None };
    let allow_patch = has(ALLOW_PATCH);
    Ok(Manifest { version, allow_patch, quorum, signers, prologue, linked, user_data })
}

/// The only kind of hash and of signature that there is.
fn kind(r: &mut Reader<'_>, what: &'static str) -> Result<(), BadManifest> {
    if r.uint()? == 0 { Ok(()) } else { Err(BadManifest::Kind(what)) }
}

fn signer(r: &mut Reader<'_>) -> Result<Signer, BadManifest> {
    kind(r, "signature")?;
    Ok(Signer { namespace: *r.fixed()?, key: *r.fixed()? })
}

fn signers(r: &mut Reader<'_>) -> Result<Vec<Signer>, BadManifest> {
    let count = r.count(SIGNER_BYTES)?;
    if count > HYPER_SIGNERS {
        return Err(BadManifest::Bounds("number of signers"));
    }
    (0..count).map(|_| signer(r)).collect()
}

fn linked(r: &mut Reader<'_>) -> Result<Vec<Hash>, BadManifest> {
    let count = r.count(32)?;
    if count > HYPER_LINKED {
        return Err(BadManifest::Bounds("number of linked cores"));
    }
    (0..count).map(|_| Ok(*r.fixed()?)).collect()
}

fn put_signer(signer: &Signer, out: &mut Vec<u8>) {
    // Ed25519.
    out.push(0);
    out.extend_from_slice(&signer.namespace);
    out.extend_from_slice(&signer.key);
}

fn put_signers(signers: &[Signer], out: &mut Vec<u8>) {
    put_uint(signers.len() as u64, out);
    signers.iter().for_each(|signer| put_signer(signer, out));
}
