//! One connection's bytes, both directions (hyper/SPEC a, b): what is received here, what is sent in
//! `sending`.

mod sending;

use sending::Batch;

use super::body;
use super::channels::{Channel, Channels, Closed, Early, HOST, Opening, Said};
use super::{Fault, Message};
use crate::codec::compact::Reader;
use crate::crypto::hyper;
use crate::crypto::noise::{Handshake, Role};
use crate::crypto::sealed::{self, Opener, Sealer};
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::limits::{HYPER_FRAME_BYTES, HYPER_NAME_BYTES, HYPER_REJECTS};
use crate::wire::host;

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
    /// The peer opened the channel between hosts, which we had opened: it is a gannet.
    HostOpen,
    /// It does not know that channel, or closed it.
    HostClosed,
    /// A message on that channel ([`crate::wire::host`]).
    Host {
        message: &'b [u8],
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

/// A connection that speaks the Hypercore dialect.
pub struct Session {
    role: Role,
    inbound: Inbound,
    inside: Option<Inside>,
    pub(super) outbound: Option<Sealer>,
    header: [u8; sealed::HEADER_BYTES],
    /// What the first sealed message of each side is counted as.
    first: u32,
    /// Names this connection, once the handshake is over.
    hash: [u8; 64],
    channels: Channels,
    /// Our number of the channel between hosts; 0 before it is opened.
    host: u64,
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
            first: 1,
            hash: [0; 64],
            channels: Channels::default(),
            host: 0,
            hello: Vec::new(),
            rejects: Vec::new(),
            batch: Batch::default(),
        };
        let spoke = session.speak();
        debug_assert!(spoke.is_ok(), "the first message needs nothing of the peer's");
        session
    }

    /// Counts sealed messages from here, which the other side has to do too. For tests of what happens
    /// when all 2^32 are used up: both sides change their keys. Say it before anything is received.
    pub fn count_from(&mut self, first: u32) {
        self.first = first;
    }

    /// The handshake is over on our side: we can send.
    pub fn is_up(&self) -> bool {
        self.outbound.is_some()
    }

    /// Both sides have opened the core.
    pub fn is_open(&self, discovery_key: &[u8; 32]) -> bool {
        self.channels.ours(discovery_key).is_some()
    }

    /// What a hello of one side is signed for, once the handshake is over.
    pub fn channel(&self, ours: bool) -> host::Channel<'_> {
        let initiator = (self.role == Role::Initiator) == ours;
        host::Channel { handshake: &self.hash, initiator }
    }

    /// The oldest message kept for a core that is open on both sides now. To be asked until `None`,
    /// right after `open`.
    pub fn early(&mut self, discovery_key: &[u8; 32]) -> Option<Early> {
        self.channels.early(discovery_key)
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
        let mut sealer = Sealer::new(&outcome.send, &self.header);
        sealer.count_from(self.first);
        self.outbound = Some(sealer);
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
                if handshake.crosses(len) {
                    handshake.cross(frame)?;
                    self.role = handshake.role();
                } else {
                    handshake.read(frame)?;
                }
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
            Inbound::Handshake(handshake) if handshake.crosses(len) => len,
            Inbound::Handshake(handshake) => handshake.reads_next(),
            Inbound::Header { .. } => STREAM_ID_BYTES + sealed::HEADER_BYTES,
            // Three bytes cannot say more than a frame may have.
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
        let (mut opener, remote) = (Opener::new(key, header), *remote);
        opener.count_from(self.first);
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
            Channel::Live(HOST) => return Ok(What::Host { message: bytes }),
            Channel::Waits(HOST) => return Ok(What::Ignored),
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
                Some(HOST) => self.host_over(),
                Some(discovery_key) => What::Rejected { discovery_key },
                None => What::Ignored,
            }),
            CLOSE => {
                let number = r.uint()?;
                match self.channels.closed_by_peer(number) {
                    Some(Closed::Core(HOST)) => Ok(self.host_over()),
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
        if protocol == host::PROTOCOL.as_bytes() && id.is_empty() {
            return self.host_opened(number, at);
        }
        let ours = [PROTOCOL, PROTOCOL_ALIAS].map(str::as_bytes).contains(&protocol);
        let id = Some(id).filter(|id| **id != HOST).unwrap_or_default();
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

    /// The peer opened the channel between hosts. Who does not open it himself does not speak it.
    fn host_opened<'b>(&mut self, number: u64, at: usize) -> Result<What<'b>, Fault> {
        if self.host == 0 {
            self.reject(number)?;
            return Ok(What::Ignored);
        }
        Ok(match self.channels.opened_by_peer(at, &HOST, Said::default())? {
            Opening::Live { .. } => What::HostOpen,
            Opening::Waits | Opening::TooLate => What::Ignored,
            Opening::Again => {
                self.reject(number)?;
                What::Ignored
            }
        })
    }

    fn host_over<'b>(&mut self) -> What<'b> {
        self.host = 0;
        What::HostClosed
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

const _: () = assert!(HYPER_FRAME_BYTES + 1 == 1 << (8 * LENGTH_BYTES));
