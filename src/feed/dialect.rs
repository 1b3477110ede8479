//! What a feed of the Hypercore dialect is beyond blocks and nodes (hyper/SPEC c.8–c.13), and what a
//! peer may ask of it, judged by the bitfields alone.

use super::hyper::{self, Ask, Authority, Tree};
use super::{Feed, Fork, flat};
use crate::crypto::hash::{self, Hash, Node};
use crate::crypto::sign::{self, PublicKey};
use crate::limits;
use crate::link::{Dialect, Key, Link};

/// Of a Dat feed.
const SIGNATURE_BYTES: usize = 64;

/// Of a core; a Dat feed has none of this.
#[derive(Clone, Debug, Default)]
pub struct Core {
    /// Who signs. `None`: the manifest is not known yet.
    pub authority: Option<Authority>,
    /// Number of the history: a writer that truncates counts it up.
    pub fork: u64,
    /// Of the feed's length and fork; empty for length 0 and for a tree within its prologue.
    pub signature: Vec<u8>,
}

impl Feed {
    /// An empty core that can be read.
    pub fn core(key: PublicKey, authority: Option<Authority>) -> Feed {
        let core = Core { authority, ..Core::default() };
        Feed { core: Some(Box::new(core)), ..Feed::new(key) }
    }

    pub fn dialect(&self) -> Dialect {
        if self.core.is_some() { Dialect::Hyper } else { Dialect::Dat }
    }

    /// What people ask for the feed by.
    pub fn link(&self) -> Link {
        Link::new(self.dialect(), Key(self.key))
    }

    /// What only cores have; `None` for a Dat feed.
    pub fn as_core(&self) -> Option<&Core> {
        self.core.as_deref()
    }

    pub(crate) fn core_mut(&mut self) -> Option<&mut Core> {
        self.core.as_deref_mut()
    }

    /// Number of the history; 0 for a Dat feed.
    pub fn fork_id(&self) -> u64 {
        self.core.as_ref().map_or(0, |core| core.fork)
    }

    /// Blocks from here on cannot be asked for before the feed is known to be longer.
    pub fn askable(&self) -> u64 {
        if self.core.is_some() { self.length } else { u64::MAX }
    }

    /// The manifest can be given to who asks for it.
    pub fn has_manifest(&self) -> bool {
        let authority = self.core.as_ref().and_then(|core| core.authority.as_ref());
        authority.is_some_and(|authority| authority.manifest().is_some())
    }

    /// Who signs is known.
    pub fn knows_authority(&self) -> bool {
        self.core.as_ref().is_none_or(|core| core.authority.is_some())
    }

    /// Levels from a block's leaf up to the first node that is held: `nodes` of a request
    /// (hyper/SPEC c.11). 0 for a block that is not below the length.
    pub fn levels(&self, block: u64) -> u64 {
        let (mut levels, mut node) = (0, 2 * block.min(limits::FEED_BLOCKS));
        while flat::depth(node) <= limits::FEED_DEPTH
            && flat::right_span(node) < 2 * self.length
            && !self.holds(node)
        {
            levels += 1;
            node = flat::parent(node);
        }
        levels
    }

    /// Whether we can prove to who has so many blocks that there are as many as we know of.
    pub fn can_upgrade_from(&self, length: u64) -> bool {
        length < self.length && flat::full_roots(length).all(|root| self.holds(root))
    }

    /// Whether we hold what a request for this history asks for, as far as the bitfields tell.
    pub fn answers(&self, ask: &Ask, fork: u64) -> bool {
        let Some(core) = &self.core else { return false };
        let prologue = core.authority.as_ref().and_then(Authority::prologue);
        let within = prologue.map_or(0, |prologue| prologue.length);
        let start = |start| if start < within { 0 } else { start };
        fork == core.fork
            && self.length > 0
            && ask.block.is_none_or(|block| self.has(block.index))
            && ask.hash.is_none_or(|hash| self.holds(hash.index))
            && ask.upgrade.is_none_or(|up| {
                up.start.checked_add(up.length).is_some_and(|end| end <= self.length)
                    && self.can_upgrade_from(start(up.start))
            })
    }

    /// Whose signature alone is needed. `None`: several sign, or it is not known yet who does.
    pub fn signer(&self) -> Option<PublicKey> {
        match &self.core {
            Some(core) => core.authority.as_ref()?.signer(),
            None => Some(self.key),
        }
    }

    /// Whether the owner of this key may append.
    pub(crate) fn is_signer(&self, public: &PublicKey) -> bool {
        match &self.core {
            Some(core) => core.authority.as_ref().is_some_and(|one| one.is_signer(public)),
            None => self.key == *public,
        }
    }

    /// The hash of a block in this feed's dialect.
    pub fn leaf_hash(&self, block: &[u8]) -> Hash {
        if self.core.is_some() { crate::crypto::hyper::leaf(block) } else { hash::leaf(block) }
    }

    /// Whether `bytes` are the block that a leaf stands for.
    pub(crate) fn is_block(&self, leaf: &Node, bytes: &[u8]) -> bool {
        leaf.size == bytes.len() as u64 && leaf.hash == self.leaf_hash(bytes)
    }

    /// The parent of two siblings. `None`: their sizes do not add up in 64 bits.
    pub(crate) fn parent(&self, a: &Node, b: &Node) -> Option<Node> {
        if self.core.is_some() { crate::crypto::hyper::parent(a, b) } else { hash::parent(a, b) }
    }

    /// Whether the tree with these full roots is signed, in the history that we hold.
    pub(crate) fn is_signed(&self, roots: &[Node], signature: &[u8]) -> bool {
        match &self.core {
            Some(core) => {
                let (Some(authority), Ok(tree)) =
                    (&core.authority, Tree::from_roots(roots.to_vec()))
                else {
                    return false;
                };
                authority.verify(&tree, core.fork, Some(signature))
            }
            None => signature
                .try_into()
                .is_ok_and(|signature| sign::verify(&self.key, &hash::roots(roots), signature)),
        }
    }
}

impl From<hyper::Refusal> for super::Refusal {
    fn from(refusal: hyper::Refusal) -> super::Refusal {
        use super::Refusal;
        match refusal {
            hyper::Refusal::Index => Refusal::Index,
            hyper::Refusal::Size => Refusal::Size,
            hyper::Refusal::Nodes => Refusal::Nodes,
            hyper::Refusal::Empty => Refusal::Empty,
            hyper::Refusal::Stale => Refusal::Stale,
            hyper::Refusal::Fork => Refusal::OtherFork,
            hyper::Refusal::Prologue => Refusal::Prologue,
            hyper::Refusal::Wrong => Refusal::Wrong,
            hyper::Refusal::Unsigned => Refusal::Unsigned,
        }
    }
}

impl Fork {
    /// As evidence on disk. `fork`: the core's history that there are two of; `None` for a Dat feed.
    pub(crate) fn encode(&self, fork: Option<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(fork.map(u64::to_be_bytes).into_iter().flatten());
        bytes.extend_from_slice(&self.length.to_be_bytes());
        if fork.is_some() {
            bytes.extend_from_slice(&(self.signature.len() as u32).to_be_bytes());
        }
        bytes.extend_from_slice(&self.signature);
        for root in &self.roots {
            bytes.extend_from_slice(&root.index.to_be_bytes());
            bytes.extend_from_slice(&root.size.to_be_bytes());
            bytes.extend_from_slice(&root.hash);
        }
        bytes
    }

    /// The evidence, if that is what it is. `core`: of a core.
    pub(crate) fn decode(bytes: &[u8], core: bool) -> Option<Fork> {
        let rest = if core { bytes.get(8..)? } else { bytes };
        let (length, mut rest) = rest.split_first_chunk()?;
        let mut size = SIGNATURE_BYTES;
        if core {
            let (written, behind) = rest.split_first_chunk()?;
            (size, rest) = (u32::from_be_bytes(*written) as usize, behind);
        }
        let (signature, rest) = rest.split_at_checked(size)?;
        let roots = rest.chunks(48).map(|root| {
            let (index, rest) = root.split_first_chunk()?;
            let (size, hash) = rest.split_first_chunk()?;
            let (index, size) = (u64::from_be_bytes(*index), u64::from_be_bytes(*size));
            Some(Node { index, size, hash: hash.try_into().ok()? })
        });
        let roots = roots.collect::<Option<Vec<Node>>>()?;
        Some(Fork { length: u64::from_be_bytes(*length), roots, signature: signature.to_vec() })
    }
}
