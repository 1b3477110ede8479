//! Blocks of a hyperbee (hyper/SPEC d.2): the header, and one put or delete each, with the part of the
//! B-tree that it changed. Knows the bytes, not how a tree is searched or written.

use std::rc::Rc;

use crate::codec::proto::{self, Value, put_bytes};
use crate::codec::varint;
use crate::limits::{HYPER_BEE_KEYS, HYPER_BEE_LEVELS};

const PROTOCOL: &[u8] = b"hyperbee";

/// The block is not one of a hyperbee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block of the bee is malformed")]
pub struct Malformed;

impl From<proto::Malformed> for Malformed {
    fn from(_: proto::Malformed) -> Malformed {
        Malformed
    }
}

/// Where blocks come from. `Error` is the keeper's own: not yet, not held, malformed.
pub trait Blocks {
    type Error;
    /// Block `seq`, which is not 0.
    fn block(&mut self, seq: u64) -> Result<Block, Self::Error>;
}

/// Why a tree could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed<E> {
    #[error("{0}")]
    Source(E),
    /// The writer's fault.
    #[error("the bee is damaged: {0}")]
    Damaged(&'static str),
}

impl<E> From<Malformed> for Failed<E> {
    fn from(_: Malformed) -> Failed<E> {
        Failed::Damaged("a level is malformed")
    }
}

/// Block 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The key of the blobs; only drives of Hypercore 10's time say it here.
    pub content: Option<[u8; 32]>,
    pub user_data: Option<Vec<u8>>,
    /// Whether there is any metadata, be it empty: drives have it.
    pub metadata: bool,
}

impl Header {
    pub fn decode(block: &[u8]) -> Result<Header, Malformed> {
        let mut header = Header::default();
        let mut protocol = None;
        for field in proto::fields(block) {
            match field? {
                (1, value) => protocol = Some(value.bytes()?),
                (2, value) => header.read_metadata(value)?,
                _ => {}
            }
        }
        if protocol == Some(PROTOCOL) { Ok(header) } else { Err(Malformed) }
    }

    fn read_metadata(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        self.metadata = true;
        for field in proto::fields(value.bytes()?) {
            match field? {
                // JavaScript takes the first 32 bytes of a longer one.
                (1, value) => {
                    let key = value.bytes()?.first_chunk::<32>();
                    self.content = key.copied();
                }
                (2, value) => self.user_data = Some(value.bytes()?.to_vec()),
                _ => {}
            }
        }
        Ok(())
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(1, PROTOCOL, out);
        if self.metadata || self.content.is_some() || self.user_data.is_some() {
            let mut metadata = Vec::new();
            if let Some(content) = &self.content {
                put_bytes(1, content, &mut metadata);
            }
            if let Some(data) = &self.user_data {
                put_bytes(2, data, &mut metadata);
            }
            put_bytes(2, &metadata, out);
        }
    }
}

/// A node of the B-tree: the blocks whose keys stand in it, in order, and the nodes between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub keys: Vec<u64>,
    /// Block and number within its index; none, or one more than keys.
    pub children: Vec<(u64, u64)>,
}

/// Any block but the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub seq: u64,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    index: Rc<Index>,
}

/// The levels as they are encoded, one behind the other: a stranger's block may have thousands, of which
/// a reader wants one at a time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Index {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Index {
    fn decode(bytes: &[u8]) -> Result<Index, Malformed> {
        let mut index = Index::default();
        for field in proto::fields(bytes).take(HYPER_BEE_LEVELS) {
            if let (1, level) = field? {
                index.bytes.extend_from_slice(level.bytes()?);
                index.ends.push(index.bytes.len());
            }
        }
        Ok(index)
    }

    fn level(&self, number: usize) -> Option<&[u8]> {
        let start =
            number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start..*self.ends.get(number)?)
    }
}

/// What a block did to the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put { key: Vec<u8>, value: Option<Vec<u8>> },
    Delete { key: Vec<u8> },
}

impl Block {
    pub fn decode(seq: u64, bytes: &[u8]) -> Result<Block, Malformed> {
        let (mut index, mut key, mut value) = (None, None, None);
        for field in proto::fields(bytes) {
            match field? {
                (1, field) => index = Some(field.bytes()?),
                (2, field) => key = Some(field.bytes()?),
                (3, field) => value = Some(field.bytes()?),
                _ => {}
            }
        }
        let (Some(index), Some(key)) = (index, key) else { return Err(Malformed) };
        let index = Rc::new(Index::decode(index)?);
        Ok(Block { seq, key: key.to_vec(), value: value.map(<[u8]>::to_vec), index })
    }

    /// Appends a block with these levels.
    pub fn encode(
        key: &[u8],
        value: Option<&[u8]>,
        levels: impl IntoIterator<Item = Level>,
        out: &mut Vec<u8>,
    ) {
        let (mut index, mut level) = (Vec::new(), Vec::new());
        for Level { keys, children } in levels {
            level.clear();
            put_packed(1, keys, &mut level);
            put_packed(2, children.into_iter().flat_map(|(seq, n)| [seq, n]), &mut level);
            put_bytes(1, &level, &mut index);
        }
        put_bytes(1, &index, out);
        put_bytes(2, key, out);
        if let Some(value) = value {
            put_bytes(3, value, out);
        }
    }

    /// How many nodes of the tree are in it.
    pub fn levels(&self) -> usize {
        self.index.ends.len()
    }

    /// A node of the tree.
    pub fn level(&self, number: u64) -> Result<Level, Malformed> {
        let number = usize::try_from(number).map_err(|_| Malformed)?;
        decode_level(self.index.level(number).ok_or(Malformed)?)
    }

    /// Bytes that it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let index = self.index.bytes.len() + size_of_val(&self.index.ends[..]);
        index + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }

    /// A put or a delete: a block without a value whose key stands in no level of its own deletes.
    pub fn change(self) -> Result<Change, Malformed> {
        if self.value.is_none() {
            let mut own = false;
            for number in 0..self.levels() as u64 {
                own |= self.level(number)?.keys.contains(&self.seq);
            }
            if !own {
                return Ok(Change::Delete { key: self.key });
            }
        }
        Ok(Change::Put { key: self.key, value: self.value })
    }
}

fn decode_level(bytes: &[u8]) -> Result<Level, Malformed> {
    let mut level = Level::default();
    for field in proto::fields(bytes) {
        match field? {
            (1, value) => packed(value.bytes()?, HYPER_BEE_KEYS, &mut level.keys)?,
            (2, value) => {
                let mut numbers = Vec::new();
                packed(value.bytes()?, 2 * (HYPER_BEE_KEYS + 1), &mut numbers)?;
                let (pairs, rest) = numbers.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(Malformed);
                }
                level.children.extend(pairs.iter().map(|&[seq, number]| (seq, number)));
            }
            _ => {}
        }
    }
    let whole = level.children.is_empty() || level.children.len() == level.keys.len() + 1;
    if whole { Ok(level) } else { Err(Malformed) }
}

fn packed(mut bytes: &[u8], most: usize, out: &mut Vec<u64>) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let (number, n) = varint::decode(bytes).map_err(|_| Malformed)?;
        if out.len() == most {
            return Err(Malformed);
        }
        out.push(number);
        bytes = &bytes[n..];
    }
    Ok(())
}

fn put_packed(field: u64, numbers: impl IntoIterator<Item = u64>, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    numbers.into_iter().for_each(|number| varint::encode(number, &mut bytes));
    if !bytes.is_empty() {
        put_bytes(field, &bytes, out);
    }
}
