//! The messages: a type, then what it says.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Code, Fault, Signed, Versions, fields};
use crate::codec::compact::{Reader, put_uint};
use crate::crypto::sign::KeyPair;
use crate::limits::{HOST_HINTS, HOST_MESSAGE_BYTES, HOST_RETRY, HOST_VERSION, LAN_DATAGRAM_BYTES};

use super::candidates::{ASK, Ask, CANDIDATES, Candidates, put_addresses, read_addresses};
use super::hello::{Channel, Hello};

const HELLO: u64 = 0;
const CONTINUE: u64 = 1;
const CLOSE: u64 = 2;
/// (3 and 4 are in `candidates`.)
const SPARE: u64 = 5;
const COMMAND: u64 = 6;

/// `Continue`.
const VERSION: u64 = 1;

/// `Close`.
const CODE: u64 = 1;
const WINNER: u64 = 2;
const VERSIONS: u64 = 3;
const RETRY: u64 = 4;
const HINTS: u64 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Hello(Signed<'a>),
    Continue(Continue),
    Close(Close),
    Ask(Ask),
    Candidates(Candidates),
    /// Whether the sender can do without this connection.
    Spare(bool),
    /// A signed command, as datagrams carry it (`datagram::Unverified`).
    Command(&'a [u8]),
}

/// We want this connection. When both sides have said it there is a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continue {
    /// The highest that both speak, by the two hellos.
    pub version: u64,
}

/// We do not want this connection, or not any more. The last that its sender says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Close {
    pub code: Code,
    /// `Duplicate`: the number of the sender's hello on the connection that stays.
    pub winner: Option<u64>,
    /// `Version`: those that the sender speaks.
    pub versions: Option<Versions>,
    /// Not to be tried again before that.
    pub retry: Option<Duration>,
    /// `Full`: where else there may be room. Not to be believed.
    pub hints: Vec<SocketAddr>,
}

impl Close {
    pub fn new(code: Code) -> Close {
        Close { code, winner: None, versions: None, retry: None, hints: Vec::new() }
    }

    fn read(bytes: &[u8]) -> Result<Close, Fault> {
        let mut code = None;
        let mut close = Close::new(Code::Other(0));
        fields::read(bytes, |field, value| {
            match field {
                CODE => code = Some(Code::of(fields::uint(value, "reason")?)),
                WINNER => close.winner = Some(fields::uint(value, "winner")?),
                VERSIONS => close.versions = Some(Versions::read(value)?),
                RETRY => {
                    let said = Duration::from_secs(fields::uint(value, "retry")?);
                    close.retry = Some(said.min(HOST_RETRY));
                }
                HINTS => close.hints = read_addresses(value, HOST_HINTS, "hints")?,
                _ => {}
            }
            Ok(())
        })?;
        close.code = code.ok_or(Fault::Missing("reason"))?;
        Ok(close)
    }

    /// Appends type and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.hints.len() <= HOST_HINTS);
        put_uint(CLOSE, out);
        fields::put_number(CODE, self.code.number(), out);
        if let Some(winner) = self.winner {
            fields::put_number(WINNER, winner, out);
        }
        if let Some(versions) = self.versions {
            versions.put(VERSIONS, out);
        }
        if let Some(retry) = self.retry {
            fields::put_number(RETRY, retry.as_secs(), out);
        }
        put_addresses(HINTS, &self.hints, out);
    }
}

impl Continue {
    fn read(bytes: &[u8]) -> Result<Continue, Fault> {
        let mut version = None;
        fields::read(bytes, |field, value| {
            if field == VERSION {
                version = Some(fields::uint(value, "version")?);
            }
            Ok(())
        })?;
        match version.ok_or(Fault::Missing("version"))? {
            version @ 0..=HOST_VERSION => Ok(Continue { version }),
            _ => Err(Fault::Bounds("version")),
        }
    }

    /// Appends type and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(CONTINUE, out);
        fields::put_number(VERSION, self.version, out);
    }
}

impl Hello {
    /// Appends type and body, signed by `host`'s key for this connection.
    pub fn encode(&self, host: &KeyPair, channel: Channel<'_>, out: &mut Vec<u8>) {
        put_uint(HELLO, out);
        self.sign(host, channel, out);
    }
}

/// `Spare`.
const CAN: u64 = 1;

fn read_spare(bytes: &[u8]) -> Result<bool, Fault> {
    let mut can = None;
    fields::read(bytes, |field, value| {
        if field == CAN {
            can = Some(fields::uint(value, "spare")?);
        }
        Ok(())
    })?;
    match can.ok_or(Fault::Missing("spare"))? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::Bounds("spare")),
    }
}

/// Appends type and body of what says whether we can do without a connection.
pub fn put_spare(can: bool, out: &mut Vec<u8>) {
    put_uint(SPARE, out);
    fields::put_number(CAN, u64::from(can), out);
}

impl<'a> Message<'a> {
    /// A whole message: its type and what follows. `None`: a type that we do not know.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<Message<'a>>, Fault> {
        let most = match bytes.first() {
            Some(first) if u64::from(*first) == COMMAND => 1 + LAN_DATAGRAM_BYTES,
            _ => HOST_MESSAGE_BYTES,
        };
        if bytes.len() > most {
            return Err(Fault::TooLong { len: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        Ok(Some(match reader.uint()? {
            HELLO => Message::Hello(Signed::decode(reader.rest())?),
            CONTINUE => Message::Continue(Continue::read(reader.rest())?),
            CLOSE => Message::Close(Close::read(reader.rest())?),
            ASK => Message::Ask(Ask::read(reader.rest())?),
            CANDIDATES => Message::Candidates(Candidates::read(reader.rest())?),
            SPARE => Message::Spare(read_spare(reader.rest())?),
            COMMAND => Message::Command(reader.rest()),
            _ => return Ok(None),
        }))
    }
}

/// Appends type and body of a signed command, which is a whole datagram.
pub fn put_command(datagram: &[u8], out: &mut Vec<u8>) {
    put_uint(COMMAND, out);
    out.extend_from_slice(datagram);
}
