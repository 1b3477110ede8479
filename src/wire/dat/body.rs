//! The bodies of a feed's messages (dat/SPEC §4): protobuf with required fields always written.

use super::{Fault, Unsendable};
use crate::codec::{proto, rle, varint};
use crate::crypto::hash::Node;
use crate::crypto::sign::Signature;
use crate::limits::{MAX_SAFE_INTEGER, PROOF_NODES, WANT_ALIGN_BLOCKS, WANT_BLOCKS};
use crate::wire::{Bits, Data, Have, Message, Request};

pub(super) const FEED: u8 = 0;
pub(super) const HANDSHAKE: u8 = 1;
const INFO: u8 = 2;
const HAVE: u8 = 3;
const UNHAVE: u8 = 4;
const WANT: u8 = 5;
const UNWANT: u8 = 6;
const REQUEST: u8 = 7;
const CANCEL: u8 = 8;
pub(super) const DATA: u8 = 9;
const EXTENSION: u8 = 15;

/// Why a body gives no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Not what it claims to be; JavaScript peers drop such a message, so do we.
    Malformed,
    /// A number or size that no honest peer sends.
    Bounds(&'static str),
}

impl From<proto::Malformed> for Bad {
    fn from(_: proto::Malformed) -> Bad {
        Bad::Malformed
    }
}

/// The message, `None` where there is nothing to act on.
pub(super) fn decode(kind: u8, body: &[u8]) -> Result<Option<Message<'_>>, Fault> {
    let message = match kind {
        INFO => info(body),
        HAVE => have(body),
        UNHAVE => range(body)
            .map(|(start, length)| Message::Unhave { start, length: length.unwrap_or(1).max(1) }),
        WANT => range(body).map(|(start, length)| Message::Want { start, length }),
        UNWANT => range(body).map(|(start, length)| Message::Unwant { start, length }),
        REQUEST => request(body).map(Message::Request),
        CANCEL => request(body).map(|r| Message::Cancel(Request { digest: 0, ..r })),
        DATA => data(body).map(Message::Data),
        EXTENSION => extension(body),
        _ => return Ok(None),
    };
    drop_malformed(message)
}

/// Malformed is nothing, out of bounds is a fault.
pub(super) fn drop_malformed<T>(result: Result<T, Bad>) -> Result<Option<T>, Fault> {
    match result {
        Ok(message) => Ok(Some(message)),
        Err(Bad::Malformed) => Ok(None),
        Err(Bad::Bounds(what)) => Err(Fault::Bounds(what)),
    }
}

/// Whether `kind` is one that [`decode`] or the session itself understands.
pub(super) fn known(kind: u8) -> bool {
    kind <= DATA || kind == EXTENSION
}

fn int(value: proto::Value<'_>) -> Result<u64, Bad> {
    match value.int()? {
        n if n <= MAX_SAFE_INTEGER => Ok(n),
        _ => Err(Bad::Bounds("number")),
    }
}

/// Blocks `start..start+length` must end at a number that all peers can hold.
fn check_range(start: u64, length: u64) -> Result<(), Bad> {
    if start + length > MAX_SAFE_INTEGER { Err(Bad::Bounds("range")) } else { Ok(()) }
}

fn info<'a>(body: &[u8]) -> Result<Message<'a>, Bad> {
    let (mut uploading, mut downloading) = (false, false);
    for field in proto::fields(body) {
        match field? {
            (1, value) => uploading = value.bool()?,
            (2, value) => downloading = value.bool()?,
            _ => {}
        }
    }
    Ok(Message::Info { uploading, downloading })
}

fn have(body: &[u8]) -> Result<Message<'_>, Bad> {
    let mut start = None;
    let (mut length, mut bits, mut ack) = (1, None, false);
    for field in proto::fields(body) {
        match field? {
            (1, value) => start = Some(int(value)?),
            (2, value) => length = int(value)?,
            (3, value) => bits = Some(Bits::Runs(value.bytes()?)),
            (4, value) => ack = value.bool()?,
            _ => {}
        }
    }
    let start = start.ok_or(Bad::Malformed)?;
    if bits.is_none() {
        length = length.max(1);
    }
    check_range(start, length)?;
    Ok(Message::Have(Have { start, length, bits, ack }))
}

/// Unhave, Want and Unwant: a start and perhaps a length.
fn range(body: &[u8]) -> Result<(u64, Option<u64>), Bad> {
    let (mut start, mut length) = (None, None);
    for field in proto::fields(body) {
        match field? {
            (1, value) => start = Some(int(value)?),
            (2, value) => length = Some(int(value)?),
            _ => {}
        }
    }
    let start = start.ok_or(Bad::Malformed)?;
    check_range(start, length.unwrap_or(0))?;
    Ok((start, length))
}

fn request(body: &[u8]) -> Result<Request, Bad> {
    let mut index = None;
    let mut request = Request::default();
    for field in proto::fields(body) {
        match field? {
            (1, value) => index = Some(int(value)?),
            (2, value) => request.bytes = int(value)?,
            (3, value) => request.hash = value.bool()?,
            (4, value) => request.digest = int(value)?,
            _ => {}
        }
    }
    request.index = index.ok_or(Bad::Malformed)?;
    Ok(request)
}

fn data(body: &[u8]) -> Result<Data<'_>, Bad> {
    let mut index = None;
    let (mut value, mut nodes, mut signature) = (None, Vec::new(), None);
    for field in proto::fields(body) {
        match field? {
            (1, field) => index = Some(int(field)?),
            (2, field) => value = Some(field.bytes()?),
            (3, field) => {
                if nodes.len() == PROOF_NODES {
                    return Err(Bad::Bounds("number of nodes"));
                }
                nodes.push(node(field.bytes()?)?);
            }
            (4, field) => {
                let bytes = field.bytes()?.try_into();
                signature = Some(bytes.map_err(|_| Bad::Bounds("size of a signature"))?);
            }
            _ => {}
        }
    }
    let index = index.ok_or(Bad::Malformed)?;
    Ok(Data { index, value, nodes, signature })
}

fn node(body: &[u8]) -> Result<Node, Bad> {
    let (mut index, mut hash, mut size) = (None, None, None);
    for field in proto::fields(body) {
        match field? {
            (1, value) => index = Some(int(value)?),
            (2, value) => {
                let bytes = value.bytes()?.try_into();
                hash = Some(bytes.map_err(|_| Bad::Bounds("size of a hash"))?);
            }
            (3, value) => size = Some(int(value)?),
            _ => {}
        }
    }
    match (index, hash, size) {
        (Some(index), Some(hash), Some(size)) => Ok(Node { index, size, hash }),
        _ => Err(Bad::Malformed),
    }
}

fn extension(body: &[u8]) -> Result<Message<'_>, Bad> {
    let (id, n) = varint::decode(body).map_err(|_| Bad::Malformed)?;
    Ok(Message::Extension { id, payload: &body[n..] })
}

/// The type of a message on the wire.
pub(super) fn kind(message: &Message<'_>) -> u8 {
    match message {
        // What Dat has of it.
        Message::Info { .. } | Message::Head(_) => INFO,
        Message::Have(_) => HAVE,
        Message::Unhave { .. } | Message::Refusal { .. } => UNHAVE,
        Message::Want { .. } => WANT,
        Message::Unwant { .. } => UNWANT,
        Message::Request(_) => REQUEST,
        Message::Cancel(_) => CANCEL,
        Message::Data(_) => DATA,
        Message::Extension { .. } => EXTENSION,
    }
}

/// Appends a message's body. Data is written as [`data_head`] writes it.
pub(super) fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    match message {
        Message::Info { uploading, downloading } => {
            proto::put_int(1, (*uploading).into(), out);
            proto::put_int(2, (*downloading).into(), out);
        }
        Message::Head(head) => {
            proto::put_int(1, head.uploading.into(), out);
            proto::put_int(2, head.downloading.into(), out);
        }
        Message::Have(have) => put_have(have, out),
        Message::Refusal { index } => put_range(*index, Some(1), out),
        Message::Unhave { start, length } => put_range(*start, Some(*length), out),
        Message::Want { start, length } | Message::Unwant { start, length } => {
            put_range(*start, *length, out);
        }
        Message::Request(request) => {
            put_request(request, out);
            proto::put_int(4, request.digest, out);
        }
        Message::Cancel(request) => put_request(request, out),
        Message::Data(data) => {
            let value_len = data.value.map(<[u8]>::len);
            data_head(data.index, value_len, &data.nodes, data.signature.as_ref(), out);
            out.extend_from_slice(data.value.unwrap_or_default());
        }
        Message::Extension { id, payload } => {
            varint::encode(*id, out);
            out.extend_from_slice(payload);
        }
    }
}

fn put_have(have: &Have<'_>, out: &mut Vec<u8>) {
    proto::put_int(1, have.start, out);
    if have.length != 1 || have.bits.is_some() || have.ack {
        proto::put_int(2, have.length, out);
    }
    if let Some(Bits::Runs(bits)) = have.bits {
        proto::put_bytes(3, bits, out);
    }
    if have.ack {
        proto::put_int(4, 1, out);
    }
}

fn put_range(start: u64, length: Option<u64>, out: &mut Vec<u8>) {
    proto::put_int(1, start, out);
    if let Some(length) = length {
        proto::put_int(2, length, out);
    }
}

fn put_request(request: &Request, out: &mut Vec<u8>) {
    proto::put_int(1, request.index, out);
    proto::put_int(2, request.bytes, out);
    proto::put_int(3, request.hash.into(), out);
}

/// Appends all of a Data body but the bytes of its value, which is the last field so that it can
/// be read from the disk straight behind the rest. Readers of protobuf take fields in any order.
pub(super) fn data_head(
    index: u64,
    value_len: Option<usize>,
    nodes: &[Node],
    signature: Option<&Signature>,
    out: &mut Vec<u8>,
) {
    proto::put_int(1, index, out);
    for node in nodes {
        proto::put_bytes_head(3, node_len(node), out);
        proto::put_int(1, node.index, out);
        proto::put_bytes(2, &node.hash, out);
        proto::put_int(3, node.size, out);
    }
    if let Some(signature) = signature {
        proto::put_bytes(4, signature, out);
    }
    if let Some(len) = value_len {
        proto::put_bytes_head(2, len, out);
    }
}

/// Bytes that [`data_head`] appends.
pub(super) fn data_head_len(
    index: u64,
    value_len: Option<usize>,
    nodes: &[Node],
    signature: Option<&Signature>,
) -> usize {
    proto::int_len(index)
        + nodes.iter().map(|node| proto::bytes_len(node_len(node))).sum::<usize>()
        + signature.map_or(0, |s| proto::bytes_len(s.len()))
        + value_len.map_or(0, |len| proto::bytes_len(len) - len)
}

fn node_len(node: &Node) -> usize {
    proto::int_len(node.index) + proto::bytes_len(node.hash.len()) + proto::int_len(node.size)
}

/// Refuses what must never be sent (dat/SPEC §5.2, §12.1).
pub(super) fn check(message: &Message<'_>) -> Result<(), Unsendable> {
    let aligned = |n: u64| n.is_multiple_of(WANT_ALIGN_BLOCKS);
    let fits = |start: u64, length: u64| {
        start.checked_add(length).is_some_and(|end| end <= MAX_SAFE_INTEGER)
    };
    let harm = match message {
        Message::Have(Have { bits: Some(Bits::Words(_)), .. }) => "bitfield of another dialect",
        Message::Have(Have { start, length, bits: Some(Bits::Runs(bits)), .. }) => {
            if !aligned(*start) || !fits(*start, *length) {
                "bitfield that starts within a page"
            } else if rle::runs(bits).any(|run| run.is_err()) {
                "bitfield that cannot be decoded"
            } else {
                return Ok(());
            }
        }
        Message::Have(Have { start, length, .. }) | Message::Unhave { start, length } => {
            if *length <= WANT_BLOCKS && fits(*start, *length) {
                return Ok(());
            }
            "range that peers walk block by block"
        }
        Message::Want { start, length } | Message::Unwant { start, length } => {
            let length = length.unwrap_or(0);
            if aligned(*start) && aligned(length) && length <= WANT_BLOCKS && fits(*start, length) {
                return Ok(());
            }
            "want that is too long or within a page"
        }
        Message::Request(r) | Message::Cancel(r) => {
            if r.index.max(r.bytes).max(r.digest) <= MAX_SAFE_INTEGER {
                return Ok(());
            }
            "number above 2^53"
        }
        Message::Data(data) => return check_data(data.value.is_some(), &data.nodes),
        Message::Refusal { index } if *index > MAX_SAFE_INTEGER => "number above 2^53",
        Message::Info { .. }
        | Message::Head(_)
        | Message::Refusal { .. }
        | Message::Extension { .. } => return Ok(()),
    };
    Err(Unsendable::Harmful(harm))
}

/// As [`check`], for a Data message whose value is not at hand.
pub(super) fn check_data(value: bool, nodes: &[Node]) -> Result<(), Unsendable> {
    if !value && nodes.is_empty() {
        return Err(Unsendable::Harmful("data without value and nodes"));
    }
    if nodes.len() > PROOF_NODES {
        return Err(Unsendable::Harmful("too many nodes"));
    }
    Ok(())
}
