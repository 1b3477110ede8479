//! Messages ⇄ bytes behind channel and type (hyper/SPEC c.4). Trailing bytes are left unread: newer
//! peers may say more.

use super::message::{Data, Message, Reason, Request, Sync, Window};
use super::{Fault, Unsendable};
use crate::codec::compact::{self, Error, Reader, flags, put_buffer, put_uint};
use crate::crypto::hash::Node;
use crate::feed::hyper::{
    Ask, Grown, Indexed, Path, Proof, Seek, SeekPath, Upgrade, put_nodes, read_nodes,
};
use crate::limits::{
    HYPER_MANIFEST_BYTES, HYPER_NAME_BYTES, HYPER_SIGNATURE_BYTES, HYPER_WINDOW_BLOCKS, PROOF_NODES,
};

const SYNC: u64 = 0;
const REQUEST: u64 = 1;
const CANCEL: u64 = 2;
pub(super) const DATA: u64 = 3;
const NO_DATA: u64 = 4;
const WANT: u64 = 5;
const UNWANT: u64 = 6;
const BITFIELD: u64 = 7;
const RANGE: u64 = 8;
const EXTENSION: u64 = 9;

/// The type number of a message.
pub fn kind(message: &Message<'_>) -> u64 {
    match message {
        Message::Sync(_) => SYNC,
        Message::Request(_) => REQUEST,
        Message::Cancel { .. } => CANCEL,
        Message::Data(_) => DATA,
        Message::NoData { .. } => NO_DATA,
        Message::Want(_) => WANT,
        Message::Unwant(_) => UNWANT,
        Message::Bitfield { .. } => BITFIELD,
        Message::Range { .. } => RANGE,
        Message::Extension { .. } => EXTENSION,
    }
}

/// Whether a type number means something to us.
pub fn known(kind: u64) -> bool {
    kind <= EXTENSION
}

/// Reads the body of a known type.
pub fn decode(kind: u64, body: &[u8]) -> Result<Option<Message<'_>>, Fault> {
    let mut r = Reader::new(body);
    Ok(Some(match kind {
        SYNC => Message::Sync(sync(&mut r)?),
        REQUEST => Message::Request(request(&mut r)?),
        CANCEL => Message::Cancel { request: r.uint()? },
        DATA => Message::Data(data(&mut r)?),
        NO_DATA => {
            let request = r.uint()?;
            let reason = trailing_flags(&mut r)? & 1 == 1;
            let reason = if reason { reason_of(r.uint()?) } else { None };
            Message::NoData { request, reason }
        }
        WANT => Message::Want(window(&mut r)?),
        UNWANT => Message::Unwant(window(&mut r)?),
        BITFIELD => {
            let (start, words) = (r.uint()?, r.words()?);
            if words.len() as u64 > HYPER_WINDOW_BLOCKS / 32 || start % 32 != 0 {
                return Err(Fault::Bounds("bitfield"));
            }
            Message::Bitfield { start, words }
        }
        RANGE => {
            let flags = r.uint()?;
            let start = r.uint()?;
            let length = if flags & 2 == 2 { 1 } else { r.uint()? };
            Message::Range { drop: flags & 1 == 1, start, length }
        }
        EXTENSION => {
            let name = r.string()?;
            if name.len() > HYPER_NAME_BYTES {
                return Err(Fault::Bounds("extension name"));
            }
            Message::Extension { name, payload: r.rest() }
        }
        _ => return Ok(None),
    }))
}

/// Flags that older peers leave out.
fn trailing_flags(r: &mut Reader<'_>) -> Result<u64, Error> {
    if r.is_empty() { Ok(0) } else { r.uint() }
}

fn reason_of(number: u64) -> Option<Reason> {
    match number {
        0 => None,
        1 => Some(Reason::NotAvailable),
        2 => Some(Reason::InvalidRequest),
        other => Some(Reason::Other(other)),
    }
}

fn sync(r: &mut Reader<'_>) -> Result<Sync, Fault> {
    let flags = r.uint()?;
    let bit = |n: u32| flags >> n & 1 == 1;
    Ok(Sync {
        fork: r.uint()?,
        length: r.uint()?,
        remote_length: r.uint()?,
        can_upgrade: bit(0),
        uploading: bit(1),
        downloading: bit(2),
        has_manifest: bit(3),
        allow_push: bit(4),
    })
}

/// Reads a part if its flag is set.
fn part<'a, T, E>(
    flags: u64,
    bit: u64,
    r: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, E>,
) -> Result<Option<T>, E> {
    if flags & bit == bit { read(r).map(Some) } else { Ok(None) }
}

fn request(r: &mut Reader<'_>) -> Result<Request, Fault> {
    let flags = r.uint()?;
    let (id, fork) = (r.uint()?, r.uint()?);
    let indexed =
        |r: &mut Reader<'_>| Ok::<_, Error>(Indexed { index: r.uint()?, nodes: r.uint()? });
    let ask = Ask {
        block: part(flags, 1, r, indexed)?,
        hash: part(flags, 2, r, indexed)?,
        seek: part(flags, 4, r, |r| Ok::<_, Error>(Seek { bytes: r.uint()?, padding: r.uint()? }))?,
        upgrade: part(flags, 8, r, |r| {
            Ok::<_, Error>(Upgrade { start: r.uint()?, length: r.uint()? })
        })?,
    };
    let priority = part(flags, 32, r, Reader::uint)?.unwrap_or(0);
    Ok(Request { id, fork, ask, manifest: flags & 16 == 16, priority })
}

fn window(r: &mut Reader<'_>) -> Result<Window, Error> {
    let (start, length) = (r.uint()?, r.uint()?);
    Ok(Window { start, length, any: trailing_flags(r)? & 1 == 1 })
}

fn nodes(r: &mut Reader<'_>) -> Result<Vec<Node>, Fault> {
    read_nodes(r)?.ok_or(Fault::Bounds("number of nodes"))
}

fn data<'a>(r: &mut Reader<'a>) -> Result<Data<'a>, Fault> {
    let flags = r.uint()?;
    let (request, fork) = (r.uint()?, r.uint()?);
    let mut value = None;
    let block = part(flags, 1, r, |r| {
        let index = r.uint()?;
        value = Some(r.buffer()?);
        Ok::<_, Fault>(Path { index, nodes: nodes(r)? })
    })?;
    let proof = Proof {
        block,
        hash: part(flags, 2, r, |r| Ok::<_, Fault>(Path { index: r.uint()?, nodes: nodes(r)? }))?,
        seek: part(flags, 4, r, |r| {
            Ok::<_, Fault>(SeekPath { bytes: r.uint()?, nodes: nodes(r)? })
        })?,
        upgrade: part(flags, 8, r, grown)?,
    };
    let manifest = (flags & 16 == 16).then(|| r.rest());
    if manifest.is_some_and(|bytes| bytes.len() > HYPER_MANIFEST_BYTES) {
        return Err(Fault::Bounds("manifest"));
    }
    Ok(Data { request, fork, value, proof, manifest })
}

fn grown(r: &mut Reader<'_>) -> Result<Grown, Fault> {
    let (start, length) = (r.uint()?, r.uint()?);
    let (nodes, additional) = (nodes(r)?, nodes(r)?);
    let signature = r.optional_buffer()?;
    if signature.is_some_and(|bytes| bytes.len() > HYPER_SIGNATURE_BYTES) {
        return Err(Fault::Bounds("signature"));
    }
    Ok(Grown { start, length, nodes, additional, signature: signature.map(<[u8]>::to_vec) })
}

/// What peers, or we ourselves, would refuse.
pub fn check(message: &Message<'_>) -> Result<(), Unsendable> {
    match message {
        Message::Data(data) => check_data(data.value.is_some(), &data.proof, data.manifest),
        Message::Bitfield { start, words }
            if words.len() as u64 > HYPER_WINDOW_BLOCKS / 32 || start % 32 != 0 =>
        {
            Err(Unsendable::Bounds("bitfield"))
        }
        Message::Extension { name, .. } if name.len() > HYPER_NAME_BYTES => {
            Err(Unsendable::Bounds("extension name"))
        }
        _ => Ok(()),
    }
}

pub fn check_data(value: bool, proof: &Proof, manifest: Option<&[u8]>) -> Result<(), Unsendable> {
    let too_many = |nodes: &Vec<Node>| nodes.len() > PROOF_NODES;
    if value != proof.block.is_some() {
        return Err(Unsendable::Bounds("value without its proof"));
    }
    if proof.block.iter().chain(&proof.hash).any(|path| too_many(&path.nodes))
        || proof.seek.as_ref().is_some_and(|seek| too_many(&seek.nodes))
        || proof.upgrade.as_ref().is_some_and(|up| too_many(&up.nodes) || too_many(&up.additional))
    {
        return Err(Unsendable::Bounds("number of nodes"));
    }
    let signature = proof.upgrade.as_ref().and_then(|up| up.signature.as_ref());
    if signature.is_some_and(|s| s.len() > HYPER_SIGNATURE_BYTES) {
        return Err(Unsendable::Bounds("signature"));
    }
    if manifest.is_some_and(|m| m.len() > HYPER_MANIFEST_BYTES) {
        return Err(Unsendable::Bounds("manifest"));
    }
    Ok(())
}

/// Appends the body.
pub fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    match message {
        Message::Sync(sync) => {
            out.push(flags([
                sync.can_upgrade,
                sync.uploading,
                sync.downloading,
                sync.has_manifest,
                sync.allow_push,
            ]));
            put_uints([sync.fork, sync.length, sync.remote_length], out);
        }
        Message::Request(request) => put_request(request, out),
        Message::Cancel { request } => put_uint(*request, out),
        Message::Data(data) => {
            let head = DataHead {
                request: data.request,
                fork: data.fork,
                proof: &data.proof,
                manifest: data.manifest,
            };
            head.front(data.value.map(<[u8]>::len), out);
            out.extend_from_slice(data.value.unwrap_or_default());
            head.tail(out);
        }
        Message::NoData { request, reason } => {
            put_uints([*request, u64::from(reason.is_some())], out);
            match reason {
                None => {}
                Some(Reason::NotAvailable) => out.push(1),
                Some(Reason::InvalidRequest) => out.push(2),
                Some(Reason::Other(number)) => put_uint(*number, out),
            }
        }
        Message::Want(window) | Message::Unwant(window) => {
            put_uints([window.start, window.length], out);
            if window.any {
                out.push(1);
            }
        }
        Message::Bitfield { start, words } => {
            put_uint(*start, out);
            compact::put_words(words, out);
        }
        Message::Range { drop, start, length } => {
            out.push(flags([*drop, *length == 1]));
            put_uint(*start, out);
            if *length != 1 {
                put_uint(*length, out);
            }
        }
        Message::Extension { name, payload } => {
            put_buffer(name.as_bytes(), out);
            out.extend_from_slice(payload);
        }
    }
}

fn put_uints<const N: usize>(values: [u64; N], out: &mut Vec<u8>) {
    values.into_iter().for_each(|value| put_uint(value, out));
}

fn put_request(request: &Request, out: &mut Vec<u8>) {
    let Ask { block, hash, seek, upgrade } = &request.ask;
    let priority = request.priority != 0;
    out.push(flags([
        block.is_some(),
        hash.is_some(),
        seek.is_some(),
        upgrade.is_some(),
        request.manifest,
        priority,
    ]));
    put_uints([request.id, request.fork], out);
    block.iter().chain(hash).for_each(|part| put_uints([part.index, part.nodes], out));
    seek.iter().for_each(|seek| put_uints([seek.bytes, seek.padding], out));
    upgrade.iter().for_each(|upgrade| put_uints([upgrade.start, upgrade.length], out));
    if priority {
        put_uint(request.priority, out);
    }
}

/// A Data message but for the block, which stands in its middle.
pub struct DataHead<'a> {
    pub request: u64,
    pub fork: u64,
    pub proof: &'a Proof,
    pub manifest: Option<&'a [u8]>,
}

impl DataHead<'_> {
    /// Up to the block of `value` bytes.
    pub fn front(&self, value: Option<usize>, out: &mut Vec<u8>) {
        let Proof { block, hash, seek, upgrade } = self.proof;
        out.push(flags([
            block.is_some(),
            hash.is_some(),
            seek.is_some(),
            upgrade.is_some(),
            self.manifest.is_some(),
        ]));
        put_uints([self.request, self.fork], out);
        if let (Some(block), Some(len)) = (block, value) {
            put_uints([block.index, len as u64], out);
        }
    }

    /// What follows the block.
    pub fn tail(&self, out: &mut Vec<u8>) {
        let Proof { block, hash, seek, upgrade } = self.proof;
        if let Some(block) = block {
            put_nodes(&block.nodes, out);
        }
        if let Some(hash) = hash {
            put_uint(hash.index, out);
            put_nodes(&hash.nodes, out);
        }
        if let Some(seek) = seek {
            put_uint(seek.bytes, out);
            put_nodes(&seek.nodes, out);
        }
        if let Some(upgrade) = upgrade {
            put_uints([upgrade.start, upgrade.length], out);
            put_nodes(&upgrade.nodes, out);
            put_nodes(&upgrade.additional, out);
            put_buffer(upgrade.signature.as_deref().unwrap_or_default(), out);
        }
        out.extend_from_slice(self.manifest.unwrap_or_default());
    }
}
