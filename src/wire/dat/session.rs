//! One connection's bytes, both directions (dat/SPEC §3).

use super::channels::{Channels, Early};
use super::handshake::Feed;
use super::{Fault, Handshake, Unsendable, body};
use crate::codec::varint;
use crate::crypto::hash::Node;
use crate::crypto::sign::Signature;
use crate::crypto::stream::StreamCipher;
use crate::limits::{
    DAT_FIRST_BYTES, DAT_HEADER_VARINT_BYTES, DAT_LENGTH_VARINT_BYTES, DAT_MESSAGE_BYTES,
};
use crate::wire::Message;

/// What a dialling side starts with.
#[derive(Clone, Copy)]
pub struct FirstFeed {
    /// The feed's public key: it is the key of both directions' ciphers.
    pub key: [u8; 32],
    pub discovery_key: [u8; 32],
    /// Fresh random bytes.
    pub nonce: [u8; 24],
}

/// What stood at the front of the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// Bytes to drop from the front of the buffer before the next `receive`.
    pub consumed: usize,
    /// The whole length of the message at the front if it is incomplete and its length is known,
    /// else 0.
    pub need: usize,
    pub what: What<'b>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum What<'b> {
    /// More bytes are needed, or `provide_key` first.
    Incomplete,
    KeepAlive,
    /// Only on an accepted connection, once: call `provide_key` and `open` it, or close.
    FirstFeed {
        discovery_key: [u8; 32],
    },
    /// The peer opened a channel for this feed.
    Feed {
        discovery_key: [u8; 32],
    },
    Handshake(Handshake),
    /// A message on a feed that both sides have opened.
    Message {
        discovery_key: [u8; 32],
        message: Message<'b>,
    },
    /// Nothing to act on: an unknown type or extension, a body that JavaScript peers drop too, or
    /// a message put aside for [`Session::early`].
    Ignored,
}

/// Where the peer's bytes are.
enum Inbound {
    /// Its first Feed has not come.
    Clear,
    /// Its first Feed has come, the key has not been provided.
    Keyless {
        nonce: [u8; 24],
    },
    Cipher(Box<StreamCipher>),
}

/// A connection that speaks Dat.
pub struct Session {
    /// The first feed's public key.
    key: Option<[u8; 32]>,
    /// The first feed, as soon as either side has named it.
    first: Option<[u8; 32]>,
    inbound: Inbound,
    /// Bytes at the front of the receive buffer that are decrypted already.
    plain: usize,
    /// There from our first Feed on.
    outbound: Option<StreamCipher>,
    channels: Channels,
    /// The number of the peer's extensions, once its Handshake has come.
    extensions: Option<usize>,
}

impl Session {
    /// Opens `first` and appends the Feed message, the only one in clear.
    pub fn dial(first: FirstFeed, out: &mut Vec<u8>) -> Session {
        let mut session = Session::accept();
        session.key = Some(first.key);
        let opened = session.open(&first.discovery_key, &first.nonce, out);
        debug_assert_eq!(opened, Ok(()));
        session
    }

    /// Waits for the peer's first Feed; nothing can be sent before `provide_key` and `open`.
    pub fn accept() -> Session {
        Session {
            key: None,
            first: None,
            inbound: Inbound::Clear,
            plain: 0,
            outbound: None,
            channels: Channels::default(),
            extensions: None,
        }
    }

    /// The public key of the feed that [`What::FirstFeed`] named.
    pub fn provide_key(&mut self, key: &[u8; 32]) {
        self.key = Some(*key);
        if let Inbound::Keyless { nonce } = &self.inbound {
            self.inbound = Inbound::Cipher(Box::new(StreamCipher::new(key, nonce)));
        }
    }

    /// Opens a channel for a feed, once. The first on an accepted connection must be the peer's
    /// first feed and goes out in clear with `nonce`; for all others `nonce` is not used.
    pub fn open(
        &mut self,
        discovery_key: &[u8; 32],
        nonce: &[u8; 24],
        out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        if self.outbound.is_some() {
            let channel = self.channels.open(discovery_key)?;
            let feed = Feed { discovery_key, nonce: None };
            return self.put(channel, body::FEED, out, |out| feed.encode(out));
        }
        let key = self.key.ok_or(Unsendable::NotOpen)?;
        if *self.first.get_or_insert(*discovery_key) != *discovery_key {
            return Err(Unsendable::NotOpen);
        }
        let channel = self.channels.open(discovery_key)?;
        let feed = Feed { discovery_key, nonce: Some(nonce) };
        self.put(channel, body::FEED, out, |out| feed.encode(out))?;
        self.outbound = Some(StreamCipher::new(&key, nonce));
        Ok(())
    }

    /// Both sides have opened the feed.
    pub fn is_open(&self, discovery_key: &[u8; 32]) -> bool {
        self.channels.ours(discovery_key).is_some()
    }

    /// Once, right after the first Feed.
    pub fn handshake(
        &mut self,
        handshake: &Handshake,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        if self.outbound.is_none() {
            return Err(Unsendable::NotOpen);
        }
        self.put(0, body::HANDSHAKE, out, |out| handshake.encode(out))
    }

    /// Appends a message on a feed that both sides have opened.
    pub fn send(
        &mut self,
        discovery_key: &[u8; 32],
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        body::check(message)?;
        let channel = self.channels.ours(discovery_key).ok_or(Unsendable::NotOpen)?;
        self.put(channel, body::kind(message), out, |out| body::encode(message, out))
    }

    /// A keep-alive; nothing before the first Feed.
    pub fn keepalive(&mut self, out: &mut Vec<u8>) {
        if self.outbound.is_some() {
            let from = out.len();
            out.push(0);
            self.seal(from, out);
        }
    }

    /// Appends everything of a Data message but its value, which the caller appends next, exactly
    /// `value_len` bytes, and then calls [`Session::seal`] with the position returned here.
    /// Nothing else may be sent in between; to give up, truncate `out` to that position.
    pub fn data_header(
        &mut self,
        discovery_key: &[u8; 32],
        index: u64,
        value_len: usize,
        nodes: &[Node],
        signature: Option<&Signature>,
        out: &mut Vec<u8>,
    ) -> Result<usize, Unsendable> {
        body::check_data(true, nodes)?;
        let channel = self.channels.ours(discovery_key).ok_or(Unsendable::NotOpen)?;
        let header = header(channel, body::DATA);
        let value = Some(value_len);
        let head = body::data_head_len(index, value, nodes, signature);
        let len = varint::len(header) + head + value_len;
        if len > DAT_MESSAGE_BYTES {
            return Err(Unsendable::TooLong);
        }
        let from = out.len();
        out.reserve(DAT_LENGTH_VARINT_BYTES + len);
        varint::encode(len as u64, out);
        varint::encode(header, out);
        body::data_head(index, value, nodes, signature, out);
        Ok(from)
    }

    /// Encrypts what was appended since `from`.
    pub fn seal(&mut self, from: usize, out: &mut [u8]) {
        if let Some(cipher) = &mut self.outbound {
            cipher.apply(&mut out[from..]);
        }
    }

    /// Appends a whole message and encrypts it, once the first Feed is out.
    fn put(
        &mut self,
        channel: usize,
        kind: u8,
        out: &mut Vec<u8>,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Unsendable> {
        let from = out.len();
        varint::encode(header(channel, kind), out);
        body(out);
        let len = out.len() - from;
        if len > DAT_MESSAGE_BYTES {
            out.truncate(from);
            return Err(Unsendable::TooLong);
        }
        varint::encode(len as u64, out);
        out[from..].rotate_right(varint::len(len as u64));
        self.seal(from, out);
        Ok(())
    }

    /// Reads what stands at the front of `buf`, in place: the bytes are decrypted where they are,
    /// each once, so the caller keeps what is not consumed as it is and appends to it. Never
    /// allocates but for a Handshake, Data nodes, and messages kept for later.
    pub fn receive<'b>(&mut self, buf: &'b mut [u8]) -> Result<Received<'b>, Fault> {
        match &mut self.inbound {
            Inbound::Clear => {}
            Inbound::Keyless { .. } => return Ok(Received::incomplete(0)),
            Inbound::Cipher(cipher) => {
                debug_assert!(self.plain <= buf.len(), "more was dropped than consumed");
                cipher.apply(buf.get_mut(self.plain..).unwrap_or_default());
                self.plain = buf.len();
            }
        }
        let buf: &'b [u8] = buf;
        let (start, end) = match frame(buf)? {
            Frame::Unknown => return Ok(Received::incomplete(0)),
            Frame::Known { start, end } => (start, end),
        };
        if matches!(self.inbound, Inbound::Clear) && end - start > DAT_FIRST_BYTES {
            return Err(Fault::FirstNotFeed);
        }
        let Some(payload) = buf.get(start..end) else {
            return Ok(Received::incomplete(end));
        };
        let what = match (&self.inbound, payload.len()) {
            (_, 0) => What::KeepAlive,
            (Inbound::Clear, _) => self.first_feed(payload)?,
            // JavaScript peers drop it unread.
            (_, 1) => What::Ignored,
            _ => self.payload(payload)?,
        };
        self.plain = self.plain.saturating_sub(end);
        Ok(Received { consumed: end, need: 0, what })
    }

    /// The oldest message kept for a feed that is open on both sides now. To be asked until
    /// `None`, right after `open`.
    pub fn early(&mut self, discovery_key: &[u8; 32]) -> Option<Early> {
        self.channels.early(discovery_key)
    }

    /// The peer's first message; what follows it is encrypted.
    fn first_feed<'b>(&mut self, payload: &[u8]) -> Result<What<'b>, Fault> {
        let (channel, kind, body) = split_header(payload)?;
        if channel != 0 || kind != body::FEED {
            return Err(Fault::FirstNotFeed);
        }
        let feed = Feed::decode(body)?;
        let nonce = feed.nonce.ok_or(Fault::Nonce)?;
        let discovery_key = *feed.discovery_key;
        if *self.first.get_or_insert(discovery_key) != discovery_key {
            return Err(Fault::OtherFirstFeed);
        }
        self.channels.opened_by_peer(channel, &discovery_key)?;
        match &self.key {
            Some(key) => {
                self.inbound = Inbound::Cipher(Box::new(StreamCipher::new(key, nonce)));
                Ok(What::Feed { discovery_key })
            }
            None => {
                self.inbound = Inbound::Keyless { nonce: *nonce };
                Ok(What::FirstFeed { discovery_key })
            }
        }
    }

    fn payload<'b>(&mut self, payload: &'b [u8]) -> Result<What<'b>, Fault> {
        let (channel, kind, body) = split_header(payload)?;
        if kind == body::FEED {
            let discovery_key = *Feed::decode(body)?.discovery_key;
            let new = self.channels.opened_by_peer(channel, &discovery_key)?;
            return Ok(if new { What::Feed { discovery_key } } else { What::Ignored });
        }
        let (at, discovery_key, open) = self.channels.feed(channel)?;
        if kind == body::HANDSHAKE {
            return if channel == 0 { self.hands(body) } else { Ok(What::Ignored) };
        }
        if !body::known(kind) {
            return Ok(What::Ignored);
        }
        if !open {
            self.channels.keep(at, kind, body)?;
            return Ok(What::Ignored);
        }
        let discovery_key = *discovery_key;
        Ok(match body::decode(kind, body)? {
            Some(Message::Extension { id, .. }) if !self.knows_extension(id) => What::Ignored,
            Some(message) => What::Message { discovery_key, message },
            None => What::Ignored,
        })
    }

    /// A Handshake; peers ignore all but the first.
    fn hands<'b>(&mut self, body: &[u8]) -> Result<What<'b>, Fault> {
        if self.extensions.is_some() {
            return Ok(What::Ignored);
        }
        let Some(handshake) = body::drop_malformed(Handshake::decode(body))? else {
            return Ok(What::Ignored);
        };
        self.extensions = Some(handshake.extensions.len());
        Ok(What::Handshake(handshake))
    }

    fn knows_extension(&self, id: u64) -> bool {
        self.extensions.is_some_and(|n| id < n as u64)
    }
}

impl Received<'_> {
    fn incomplete(need: usize) -> Self {
        Received { consumed: 0, need, what: What::Incomplete }
    }
}

/// Where the message at the front of the bytes starts and ends behind its length prefix.
enum Frame {
    Unknown,
    Known { start: usize, end: usize },
}

fn frame(bytes: &[u8]) -> Result<Frame, Fault> {
    let prefix = &bytes[..bytes.len().min(DAT_LENGTH_VARINT_BYTES)];
    match varint::decode(prefix) {
        Ok((len, _)) if len > DAT_MESSAGE_BYTES as u64 => Err(Fault::MessageTooLong { len }),
        Ok((len, start)) => Ok(Frame::Known { start, end: start + len as usize }),
        Err(_) if prefix.len() < DAT_LENGTH_VARINT_BYTES => Ok(Frame::Unknown),
        Err(_) => Err(Fault::LengthPrefix),
    }
}

fn header(channel: usize, kind: u8) -> u64 {
    (channel as u64) << 4 | u64::from(kind)
}

/// Channel, type and body of a payload.
fn split_header(payload: &[u8]) -> Result<(u64, u8, &[u8]), Fault> {
    let prefix = &payload[..payload.len().min(DAT_HEADER_VARINT_BYTES)];
    let (header, n) = varint::decode(prefix).map_err(|_| Fault::Header)?;
    Ok((header >> 4, (header & 15) as u8, &payload[n..]))
}
