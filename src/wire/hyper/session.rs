//! One connection's bytes, both directions (hyper/SPEC a, b).

use super::body::{self, DataHead};
use super::channels::{Channel, Channels, Closed, Early, Opening, Said};
use super::{Fault, Message, Unsendable};
use crate::codec::compact::{self, Reader};
use crate::crypto::noise::{Handshake, Role};
use crate::crypto::sealed::{self, Opener, Sealer};
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::crypto::{hash, hyper};
use crate::limits::{HYPER_BATCH_BYTES, HYPER_FRAME_BYTES, HYPER_NAME_BYTES, HYPER_REJECTS};

/// The protocol that cores are replicated with, and its other name.
const PROTOCOL: &str = "hypercore/alpha";
const PROTOCOL_ALIAS: &str = "hypercore";

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 3;
const STREAM_ID_BYTES: usize = 32;

/// Control messages on channel 0.
const BATCH: u64 = 0;
const OPEN: u64 = 1;
const REJECT: u64 = 2;
const CLOSE: u64 = 3;

/// What a connection starts with.
pub struct Setup {
    pub role: Role,
    /// Our host key.
    pub own: KeyPair,
    /// A fresh pair for this connection alone.
    pub ephemeral: KeyPair,
    /// Fresh random bytes.
    pub header: [u8; sealed::HEADER_BYTES],
}

/// What stood at the front of the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// Bytes to drop from the front of the buffer before the next `receive`.
    pub consumed: usize,
    /// The whole length of the frame at the front if it is incomplete and its length is known,
    /// else 0.
    pub need: usize,
    pub what: What<'b>,
}

#[derive(Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // It is looked at and gone; nobody keeps many.
pub enum What<'b> {
    /// More bytes are needed.
    Incomplete,
    KeepAlive,
    /// The handshake is over: cores can be opened.
    Up {
        /// The peer's host key, proven.
        remote: PublicKey,
    },
    /// The peer opened a core that we have not opened: open or refuse it.
    Opened {
        discovery_key: [u8; 32],
    },
    /// The peer opened a core that we had opened, and knows its key.
    Live {
        discovery_key: [u8; 32],
        /// It answers seeks.
        seeks: bool,
    },
    /// The peer does not have, or not want, a core that we opened.
    Rejected {
        discovery_key: [u8; 32],
    },
    /// The peer closed a core; it can be opened again.
    Closed {
        discovery_key: [u8; 32],
    },
    /// A message on a core that both sides have opened.
    Message {
        discovery_key: [u8; 32],
        message: Message<'b>,
    },
    /// Nothing to act on: an unknown type or protocol, a closed channel, or a message put aside for
    /// [`Session::early`].
    Ignored,
}

/// Where the peer's bytes are.
enum Inbound {
    Handshake(Box<Handshake>),
    /// The handshake is over, the header of the sealed stream has not come.
    Header {
        key: zeroize::Zeroizing<[u8; 32]>,
        remote: PublicKey,
    },
    Open(Opener),
}

/// A batch at the front of the receive buffer: opened, read in part.
#[derive(Clone, Copy)]
struct Inside {
    /// Bytes of it that were not read yet; the authenticator follows.
    left: usize,
    /// The channel of the next item.
    channel: u64,
}

/// Small messages that wait to be sealed together.
#[derive(Default)]
struct Batch {
    items: Vec<u8>,
    /// The channel of the last item.
    channel: u64,
}

/// A connection that speaks the Hypercore dialect.
pub struct Session {
    role: Role,
    inbound: Inbound,
    inside: Option<Inside>,
    outbound: Option<Sealer>,
    header: [u8; sealed::HEADER_BYTES],
    /// Names this connection, once the handshake is over.
    hash: [u8; 64],
    channels: Channels,
    /// Handshake bytes that wait to be sent, framed.
    hello: Vec<u8>,
    /// The peer's numbers that are refused.
    rejects: Vec<u64>,
    batch: Batch,
}

impl Session {
    /// What a dialling side says first is there for [`Session::poll`] at once.
    pub fn new(setup: Setup) -> Session {
        let Setup { role, own, ephemeral, header } = setup;
        let mut session = Session {
            role,
            inbound: Inbound::Handshake(Box::new(Handshake::new(role, own, ephemeral))),
            inside: None,
            outbound: None,
            header,
            hash: [0; 64],
            channels: Channels::default(),
            hello: Vec::new(),
            rejects: Vec::new(),
            batch: Batch::default(),
        };
        let spoke = session.speak();
        debug_assert!(spoke.is_ok(), "the first message needs nothing of the peer's");
        session
    }

    /// The handshake is over on our side: we can send.
    pub fn is_up(&self) -> bool {
        self.outbound.is_some()
    }

    /// Both sides have opened the core.
    pub fn is_open(&self, discovery_key: &[u8; 32]) -> bool {
        self.channels.ours(discovery_key).is_some()
    }

    /// Something waits for [`Session::poll`].
    pub fn wants_to_send(&self) -> bool {
        !self.hello.is_empty() || !self.rejects.is_empty() || !self.batch.items.is_empty()
    }

    /// Appends what waits to be sent: the handshake, answers that nobody has to think about, and
    /// the small messages put together so far. To be called when everything else was appended.
    pub fn poll(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.hello);
        self.flush(out);
    }

    /// Opens a core. `Some`: the peer had opened it and knows its key, so that it is live at once;
    /// whether it answers seeks.
    pub fn open(
        &mut self,
        discovery_key: &[u8; 32],
        key: &[u8; 32],
        out: &mut Vec<u8>,
    ) -> Result<Option<bool>, Unsendable> {
        if !self.is_up() {
            return Err(Unsendable::NotUp);
        }
        debug_assert_eq!(hash::discovery_key(key), *discovery_key);
        let initiator = self.role == Role::Initiator;
        let expected = hyper::capability(&self.hash, !initiator, key);
        let (number, live) = self.channels.open(discovery_key, &expected)?;
        let capability = hyper::capability(&self.hash, initiator, key);
        self.item(0, out, |out| {
            compact::put_uint(OPEN, out);
            compact::put_uint(number, out);
            compact::put_buffer(PROTOCOL.as_bytes(), out);
            compact::put_buffer(discovery_key, out);
            // We answer seeks.
            out.push(1);
            out.extend_from_slice(&capability);
        });
        Ok(live)
    }

    /// Refuses a core that only the peer opened.
    pub fn refuse(&mut self, discovery_key: &[u8; 32], out: &mut Vec<u8>) {
        if let Some(number) = self.channels.refuse(discovery_key) {
            self.control(REJECT, number, out);
        }
    }

    /// Closes a core that we opened. It can be opened again.
    pub fn close(&mut self, discovery_key: &[u8; 32], out: &mut Vec<u8>) {
        if let Some(number) = self.channels.close(discovery_key) {
            self.control(CLOSE, number, out);
        }
    }

    /// Sends a message on a core that both sides have opened. Small ones are kept to be sealed
    /// together, until [`Session::poll`] or until there are enough of them.
    pub fn send(
        &mut self,
        discovery_key: &[u8; 32],
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        body::check(message)?;
        let channel = self.channels.ours(discovery_key).ok_or(Unsendable::NotOpen)?;
        let kind = body::kind(message);
        if matches!(
            message,
            Message::Data(_) | Message::Bitfield { .. } | Message::Extension { .. }
        ) {
            let from = self.begin(channel, kind, out);
            body::encode(message, out);
            return self.seal(from, out);
        }
        self.item(channel, out, |out| {
            compact::put_uint(kind, out);
            body::encode(message, out);
        });
        Ok(())
    }

    /// Appends a Data message up to its block, which the caller appends next, exactly `value_len`
    /// bytes, and then calls [`Session::data_end`] with the position returned here. Nothing else
    /// may be sent in between; to give up, truncate `out` to that position.
    pub fn data_begin(
        &mut self,
        discovery_key: &[u8; 32],
        data: &DataHead<'_>,
        value_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Unsendable> {
        body::check_data(true, data.proof, data.manifest)?;
        let channel = self.channels.ours(discovery_key).ok_or(Unsendable::NotOpen)?;
        if value_len > HYPER_FRAME_BYTES {
            return Err(Unsendable::TooLong);
        }
        let from = self.begin(channel, body::DATA, out);
        data.front(Some(value_len), out);
        out.reserve(value_len + sealed::BEHIND_BYTES);
        Ok(from)
    }

    /// Appends what follows the block and seals the whole where it is.
    pub fn data_end(
        &mut self,
        from: usize,
        data: &DataHead<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        data.tail(out);
        self.seal(from, out)
    }

    /// An empty message; nothing before the handshake is over.
    pub fn keepalive(&mut self, out: &mut Vec<u8>) {
        if self.is_up() {
            self.flush(out);
            let from = out.len();
            out.extend_from_slice(&[0; LENGTH_BYTES + sealed::FRONT_BYTES]);
            let sent = self.seal(from, out);
            debug_assert_eq!(sent, Ok(()));
        }
    }

    /// The oldest message kept for a core that is open on both sides now. To be asked until `None`,
    /// right after `open`.
    pub fn early(&mut self, discovery_key: &[u8; 32]) -> Option<Early> {
        self.channels.early(discovery_key)
    }

    /// Begins a message of its own; where it begins.
    fn begin(&mut self, channel: u64, kind: u64, out: &mut Vec<u8>) -> usize {
        self.flush(out);
        let from = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES + sealed::FRONT_BYTES]);
        compact::put_uint(channel, out);
        compact::put_uint(kind, out);
        from
    }

    /// Seals what stands behind `from` and its room.
    fn seal(&mut self, from: usize, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        let len = out.len() - from - LENGTH_BYTES + sealed::BEHIND_BYTES;
        let Some(sealer) = self.outbound.as_mut().filter(|_| len <= HYPER_FRAME_BYTES) else {
            out.truncate(from);
            return Err(Unsendable::TooLong);
        };
        out.extend_from_slice(&[0; sealed::BEHIND_BYTES]);
        let frame = &mut out[from..];
        frame[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_le_bytes()[..LENGTH_BYTES]);
        sealer.seal(&mut frame[LENGTH_BYTES..]);
        Ok(())
    }

    fn control(&mut self, kind: u64, number: u64, out: &mut Vec<u8>) {
        self.item(0, out, |out| {
            compact::put_uint(kind, out);
            compact::put_uint(number, out);
        });
    }

    /// Adds an item to the batch, behind the refusals: an opening of ours must not be taken for the
    /// answer to one that was refused before it.
    fn item(&mut self, channel: u64, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        for number in std::mem::take(&mut self.rejects) {
            self.control(REJECT, number, out);
        }
        if self.batch.items.len() >= HYPER_BATCH_BYTES {
            self.flush(out);
        }
        let Batch { items, channel: last } = &mut self.batch;
        if items.is_empty() {
            compact::put_uint(channel, items);
        } else if *last != channel {
            items.push(0);
            compact::put_uint(channel, items);
        }
        *last = channel;
        let from = items.len();
        body(items);
        let len = (items.len() - from) as u64;
        compact::put_uint(len, items);
        items[from..].rotate_right(compact::uint_len(len));
    }

    /// Seals the refusals and the batch, if there are any.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(number) = self.rejects.pop() {
            self.control(REJECT, number, out);
        }
        if self.batch.items.is_empty() || !self.is_up() {
            return;
        }
        let from = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES + sealed::FRONT_BYTES]);
        out.extend_from_slice(&[0, BATCH as u8]);
        out.append(&mut self.batch.items);
        // A connection that says little keeps little.
        self.batch.items.shrink_to(HYPER_BATCH_BYTES / 16);
        let sent = self.seal(from, out);
        debug_assert_eq!(sent, Ok(()), "batches are far shorter than a frame may be");
    }

    /// Says whatever the handshake has us say now.
    fn speak(&mut self) -> Result<(), Fault> {
        let Inbound::Handshake(handshake) = &mut self.inbound else { return Ok(()) };
        if handshake.writes_next() {
            let mut message = Vec::new();
            handshake.write(&mut message)?;
            framed(&message, &mut self.hello);
        }
        let Some(outcome) = handshake.finish() else { return Ok(()) };
        self.hash = outcome.hash;
        let id = hyper::stream_id(&self.hash, self.role == Role::Initiator);
        framed(&[&id[..], &self.header].concat(), &mut self.hello);
        self.outbound = Some(Sealer::new(&outcome.send, &self.header));
        self.inbound = Inbound::Header { key: outcome.receive, remote: outcome.remote };
        Ok(())
    }

    /// Reads what stands at the front of `buf`, in place: a frame is opened where it is, once, when
    /// it is whole, so the caller keeps what is not consumed as it is and appends to it. One item of
    /// a batch at a time.
    pub fn receive<'b>(&mut self, buf: &'b mut [u8]) -> Result<Received<'b>, Fault> {
        if let Some(inside) = self.inside {
            return self.next_item(buf, 0, inside);
        }
        let Some((length, _)) = buf.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(Received::incomplete(0));
        };
        let [a, b, c] = length.map(usize::from);
        let len = a | b << 8 | c << 16;
        self.check_length(len)?;
        let end = LENGTH_BYTES + len;
        let Some(frame) = buf.get_mut(LENGTH_BYTES..end) else {
            return Ok(Received::incomplete(end));
        };
        match &mut self.inbound {
            Inbound::Handshake(handshake) => {
                handshake.read(frame)?;
                self.speak()?;
                Ok(Received { consumed: end, need: 0, what: What::Ignored })
            }
            Inbound::Header { .. } => {
                let what = self.stream_header(frame)?;
                Ok(Received { consumed: end, need: 0, what })
            }
            Inbound::Open(opener) => {
                opener.open(frame)?;
                self.frame(buf, end)
            }
        }
    }

    /// A stranger cannot make us buffer more than the handshake's own bytes.
    fn check_length(&self, len: usize) -> Result<(), Fault> {
        let expected = match &self.inbound {
            Inbound::Handshake(handshake) => handshake.reads_next(),
            Inbound::Header { .. } => STREAM_ID_BYTES + sealed::HEADER_BYTES,
            Inbound::Open(_) if len > HYPER_FRAME_BYTES => {
                return Err(Fault::FrameTooLong { len });
            }
            Inbound::Open(_) => return Ok(()),
        };
        if len == expected { Ok(()) } else { Err(Fault::HandshakeLength { len, expected }) }
    }

    fn stream_header<'b>(&mut self, frame: &[u8]) -> Result<What<'b>, Fault> {
        let Inbound::Header { key, remote } = &self.inbound else { return Ok(What::Ignored) };
        let (id, header) = frame.split_at(STREAM_ID_BYTES);
        if id != hyper::stream_id(&self.hash, self.role == Role::Responder) {
            return Err(Fault::StreamId);
        }
        let header = header.try_into().map_err(|_| Fault::StreamId)?;
        let (opener, remote) = (Opener::new(key, header), *remote);
        self.inbound = Inbound::Open(opener);
        Ok(What::Up { remote })
    }

    /// An opened frame of `end` bytes, its length included.
    fn frame<'b>(&mut self, buf: &'b mut [u8], end: usize) -> Result<Received<'b>, Fault> {
        let start = LENGTH_BYTES + sealed::FRONT_BYTES;
        let whole = &buf[start..end - sealed::BEHIND_BYTES];
        if whole.is_empty() {
            return Ok(Received { consumed: end, need: 0, what: What::KeepAlive });
        }
        let mut r = Reader::new(whole);
        let channel = r.uint()?;
        let mut ahead = r;
        if channel == 0 && ahead.uint()? == BATCH {
            let channel = ahead.uint()?;
            let left = ahead.rest().len();
            let at = end - sealed::BEHIND_BYTES - left;
            return self.next_item(buf, at, Inside { left, channel });
        }
        let at = end - sealed::BEHIND_BYTES - r.rest().len();
        let buf: &'b [u8] = buf;
        let what = self.message(channel, &buf[at..end - sealed::BEHIND_BYTES])?;
        Ok(Received { consumed: end, need: 0, what })
    }

    /// The next item of a batch whose unread part begins at `at`.
    fn next_item<'b>(
        &mut self,
        buf: &'b mut [u8],
        at: usize,
        inside: Inside,
    ) -> Result<Received<'b>, Fault> {
        let buf: &'b [u8] = buf;
        let Inside { left, mut channel } = inside;
        let mut r = Reader::new(buf.get(at..at + left).unwrap_or_default());
        let mut item: &[u8] = &[];
        while !r.is_empty() {
            item = r.buffer()?;
            if !item.is_empty() {
                break;
            }
            channel = r.uint()?;
        }
        let left = r.rest().len();
        let read = at + inside.left - left;
        let over = left == 0;
        self.inside = (!over).then_some(Inside { left, channel });
        let consumed = if over { read + sealed::BEHIND_BYTES } else { read };
        let what = if item.is_empty() { What::Ignored } else { self.message(channel, item)? };
        Ok(Received { consumed, need: 0, what })
    }

    /// One message: its type and what follows.
    fn message<'b>(&mut self, channel: u64, bytes: &'b [u8]) -> Result<What<'b>, Fault> {
        let mut r = Reader::new(bytes);
        let kind = r.uint()?;
        if channel == 0 {
            return self.control_message(kind, r);
        }
        let id = match self.channels.channel(channel) {
            _ if !body::known(kind) => return Ok(What::Ignored),
            Channel::None => return Ok(What::Ignored),
            Channel::Waits(id) => {
                self.channels.keep(&id, kind, r.rest())?;
                return Ok(What::Ignored);
            }
            Channel::Live(id) => id,
        };
        Ok(match body::decode(kind, r.rest())? {
            Some(message) => What::Message { discovery_key: id, message },
            None => What::Ignored,
        })
    }

    fn control_message<'b>(&mut self, kind: u64, mut r: Reader<'_>) -> Result<What<'b>, Fault> {
        match kind {
            BATCH => Err(Fault::NestedBatch),
            OPEN => self.opened(r),
            REJECT => Ok(match self.channels.rejected(r.uint()?)? {
                Some(discovery_key) => What::Rejected { discovery_key },
                None => What::Ignored,
            }),
            CLOSE => {
                let number = r.uint()?;
                match self.channels.closed_by_peer(number) {
                    Some(Closed::Core(discovery_key)) => Ok(What::Closed { discovery_key }),
                    Some(Closed::Unanswered(discovery_key)) => {
                        self.reject(number)?;
                        Ok(What::Closed { discovery_key })
                    }
                    None => Ok(What::Ignored),
                }
            }
            _ => Ok(What::Ignored),
        }
    }

    fn opened<'b>(&mut self, mut r: Reader<'_>) -> Result<What<'b>, Fault> {
        let number = r.uint()?;
        let at = self.channels.taken_by_peer(number)?;
        let (protocol, id) = (r.buffer()?, r.buffer()?);
        if protocol.len() > HYPER_NAME_BYTES {
            return Err(Fault::Bounds("protocol name"));
        }
        let ours = [PROTOCOL, PROTOCOL_ALIAS].map(str::as_bytes).contains(&protocol);
        let (true, Ok(discovery_key)) = (ours, <[u8; 32]>::try_from(id)) else {
            self.reject(number)?;
            return Ok(What::Ignored);
        };
        let seeks = r.uint()? & 1 == 1;
        let said = Said { seeks, capability: *r.fixed()? };
        Ok(match self.channels.opened_by_peer(at, &discovery_key, said)? {
            Opening::Waits => What::Opened { discovery_key },
            Opening::Live { seeks } => What::Live { discovery_key, seeks },
            Opening::TooLate => What::Ignored,
            Opening::Again => {
                self.reject(number)?;
                What::Ignored
            }
        })
    }

    /// Puts a refusal aside until the socket has room.
    fn reject(&mut self, number: u64) -> Result<(), Fault> {
        if self.rejects.len() == HYPER_REJECTS {
            return Err(Fault::TooManyOpens);
        }
        self.rejects.push(number);
        Ok(())
    }
}

impl Received<'_> {
    fn incomplete(need: usize) -> Self {
        Received { consumed: 0, need, what: What::Incomplete }
    }
}

fn framed(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(message.len() as u32).to_le_bytes()[..LENGTH_BYTES]);
    out.extend_from_slice(message);
}

const _: () = assert!(HYPER_FRAME_BYTES < 1 << (8 * LENGTH_BYTES));
