//! One connection's bytes, both directions.

use super::{Fault, Handshake, Unsendable};
use crate::crypto::hash::Node;
use crate::crypto::sign::Signature;
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

pub struct Session {}

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

/// A message that came before we had opened its feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Early {}

impl Early {
    /// The message, or `None` where [`What::Ignored`] would have been said.
    pub fn message(&self) -> Result<Option<Message<'_>>, Fault> {
        todo!()
    }
}

impl Session {
    /// Opens `first` and appends the Feed message, the only one in clear.
    pub fn dial(_first: FirstFeed, _out: &mut Vec<u8>) -> Session {
        todo!()
    }

    /// Waits for the peer's first Feed; nothing can be sent before `provide_key` and `open`.
    pub fn accept() -> Session {
        todo!()
    }

    /// The public key of the feed that [`What::FirstFeed`] named.
    pub fn provide_key(&mut self, _key: &[u8; 32]) {
        todo!()
    }

    /// Opens a channel for a feed, once. The first on an accepted connection must be the peer's
    /// first feed and goes out in clear with `nonce`; for all others `nonce` is not used.
    pub fn open(
        &mut self,
        _discovery_key: &[u8; 32],
        _nonce: &[u8; 24],
        _out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        todo!()
    }

    /// Both sides have opened the feed.
    pub fn is_open(&self, _discovery_key: &[u8; 32]) -> bool {
        todo!()
    }

    /// Once, right after the first Feed.
    pub fn handshake(
        &mut self,
        _handshake: &Handshake,
        _out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        todo!()
    }

    pub fn send(
        &mut self,
        _discovery_key: &[u8; 32],
        _message: &Message<'_>,
        _out: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        todo!()
    }

    /// A keep-alive; nothing before the first Feed.
    pub fn keepalive(&mut self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Appends everything of a Data message but its value, which the caller appends next, exactly
    /// `value_len` bytes, and then calls [`Session::seal`] with the position returned here.
    /// Nothing else may be sent in between.
    pub fn data_header(
        &mut self,
        _discovery_key: &[u8; 32],
        _index: u64,
        _value_len: usize,
        _nodes: &[Node],
        _signature: Option<&Signature>,
        _out: &mut Vec<u8>,
    ) -> Result<usize, Unsendable> {
        todo!()
    }

    /// Encrypts what was appended since `from`.
    pub fn seal(&mut self, _from: usize, _out: &mut [u8]) {
        todo!()
    }

    /// Reads what stands at the front of `buf`, in place: the bytes are decrypted where they are,
    /// each once, so the caller keeps what is not consumed as it is and appends to it. Never
    /// allocates but for Data nodes and messages kept for later.
    pub fn receive<'b>(&mut self, _buf: &'b mut [u8]) -> Result<Received<'b>, Fault> {
        todo!()
    }

    /// The oldest message kept for a feed that is open on both sides now.
    pub fn early(&mut self, _discovery_key: &[u8; 32]) -> Option<Early> {
        todo!()
    }
}
