//! Signed commands between hosts (docs/PROTOCOL.md §14.5): each is whole in one datagram, and the same
//! over multicast, to one address and on a connection. Bytes ⇄ commands; what they lead to is for
//! `discovery::hosts`.

use std::net::SocketAddr;

use super::address::{self, ADDRESS_BYTES};
use super::{BOOT_BYTES, Boot, Fault, fields};
use crate::codec::compact::{self, Reader, put_uint};
use crate::crypto::sign::{KeyPair, Signature, verify};
use crate::host::HostId;
use crate::limits::{LAN_CLOSEST, LAN_DATAGRAM_BYTES, LAN_RECORD_BYTES, MAX_SAFE_INTEGER};
use crate::time::Wall;

/// What every datagram begins with.
pub const MAGIC: &[u8; 6] = b"gannet";
/// The version of the format, in one byte.
pub const VERSION: u8 = 1;

/// Hosts of different networks do not hear each other.
pub type NetworkId = [u8; 8];
/// The network of everybody who was not told another one.
pub const EVERYBODY: NetworkId = *b"everyone";

const HEAD_BYTES: usize = MAGIC.len() + 1 + 8;
const SIGNATURE_BYTES: usize = 64;
const NAMESPACE: &[u8] = b"gannet datagram 1";

pub const NONCE_BYTES: usize = 16;
/// Drawn by one side, to be repeated by the other: who repeats it has heard it just now.
pub type Nonce = [u8; NONCE_BYTES];

const TYPE: u64 = 1;
const HOST: u64 = 2;
const BOOT: u64 = 3;
const COUNTER: u64 = 4;
const EXPIRES: u64 = 5;
const TARGET: u64 = 6;
const CHALLENGE: u64 = 7;
const ECHO: u64 = 8;
const TOKEN: u64 = 9;
const WANTED: u64 = 10;
const LIFE: u64 = 11;
const KIND: u64 = 12;
const RECORD: u64 = 13;
const RECORDS: u64 = 14;
const CONTACTS: u64 = 15;
const SEEN: u64 = 16;
const PADDING: u64 = 17;

const PING: u64 = 0;
const PONG: u64 = 1;
const FIND_HOST: u64 = 2;
const FOUND: u64 = 3;
const STORE_HOST: u64 = 4;
const LEAVING: u64 = 5;
const SHUTDOWN_HOST: u64 = 6;
const DONE: u64 = 7;
const UNSUPPORTED: u64 = 8;

/// A host that may be asked at an address. Not to be believed: its answer shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    pub host: HostId,
    pub addr: SocketAddr,
}

const CONTACT_BYTES: usize = 32 + ADDRESS_BYTES;

/// What is said. Records are whole ones in bytes (`Claim`), not looked into yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Who is there? With what the sender says of itself.
    Ping { challenge: Nonce, record: Option<&'a [u8]> },
    /// I am: repeats a challenge, says from where that came, may ask the other side the same, and says
    /// where the sender is.
    Pong {
        echo: Nonce,
        challenge: Option<Nonce>,
        record: Option<&'a [u8]>,
        seen: Option<SocketAddr>,
    },
    /// Where is this host?
    FindHost { challenge: Nonce, wanted: HostId },
    /// Its records, or who may know; and the right to store something here.
    Found { echo: Nonce, token: Option<Nonce>, records: &'a [u8], contacts: Vec<Contact> },
    /// Keep this record, for which the receiver has given a token.
    StoreHost { token: Nonce, record: &'a [u8] },
    /// The process that signs this ends.
    Leaving,
    /// The process that is in this life shall end, if it allows the signer to say so.
    ShutdownHost { challenge: Nonce, life: Boot },
    /// It does.
    Done { echo: Nonce },
    /// A command of this type is not known here.
    Unsupported { kind: u64 },
    /// A command that we do not know.
    Other(u64),
}

/// What is said, by whom and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    pub host: HostId,
    pub boot: Boot,
    /// Grows with each datagram that the process signs.
    pub counter: u64,
    /// When it is worth nothing any more, by the sender's clock; `None`: that was never set.
    pub expires: Option<Wall>,
    /// For this host alone.
    pub target: Option<HostId>,
    pub body: Body<'a>,
}

/// A command as it came: nothing in it is to be believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified<'a> {
    command: Command<'a>,
    signed: &'a [u8],
    signature: &'a Signature,
}

/// Why a datagram is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    TooLong,
    /// Not of this protocol, version or network.
    Foreign,
    Malformed(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused::Malformed(fault)
    }
}

impl<'a> Unverified<'a> {
    pub fn decode(bytes: &'a [u8], network: &NetworkId) -> Result<Unverified<'a>, Refused> {
        if bytes.len() > LAN_DATAGRAM_BYTES {
            return Err(Refused::TooLong);
        }
        let head = [MAGIC.as_slice(), &[VERSION], network].concat();
        if !bytes.starts_with(&head) {
            return Err(Refused::Foreign);
        }
        let short = Refused::Malformed(Fault::Malformed(compact::Error::Short));
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or(short)?;
        let fields = signed.get(HEAD_BYTES..).ok_or(short)?;
        Ok(Unverified { command: Command::read(fields)?, signed, signature })
    }

    /// What is claimed, for what can be decided without believing it.
    pub fn claimed(&self) -> &Command<'a> {
        &self.command
    }

    /// `None`: it is forged.
    pub fn verify(self) -> Option<Command<'a>> {
        let signable = [NAMESPACE, self.signed].concat();
        verify(&self.command.host.0, &signable, self.signature).then_some(self.command)
    }
}

/// The fields of all commands, as far as they are there.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<u64>,
    host: Option<HostId>,
    boot: Option<Boot>,
    counter: Option<u64>,
    expires: Option<Wall>,
    target: Option<HostId>,
    challenge: Option<Nonce>,
    echo: Option<Nonce>,
    token: Option<Nonce>,
    wanted: Option<HostId>,
    life: Option<Boot>,
    unknown: Option<u64>,
    record: Option<&'a [u8]>,
    records: &'a [u8],
    contacts: Vec<Contact>,
    seen: Option<SocketAddr>,
}

impl<'a> Fields<'a> {
    fn read(bytes: &'a [u8]) -> Result<Fields<'a>, Fault> {
        let mut all = Fields::default();
        fields::read(bytes, |field, value| {
            match field {
                TYPE => all.kind = Some(fields::uint(value, "type")?),
                HOST => all.host = Some(HostId(fields::fixed(value, "host")?)),
                BOOT => all.boot = Some(fields::fixed(value, "boot")?),
                COUNTER => all.counter = Some(fields::uint(value, "counter")?),
                EXPIRES => {
                    let ms = fields::uint(value, "expires")?;
                    all.expires = Some(Wall(ms.cast_signed()));
                }
                TARGET => all.target = Some(HostId(fields::fixed(value, "target")?)),
                CHALLENGE => all.challenge = Some(fields::fixed(value, "challenge")?),
                ECHO => all.echo = Some(fields::fixed(value, "echo")?),
                TOKEN => all.token = Some(fields::fixed(value, "token")?),
                WANTED => all.wanted = Some(HostId(fields::fixed(value, "wanted")?)),
                LIFE => all.life = Some(fields::fixed(value, "life")?),
                KIND => all.unknown = Some(fields::uint(value, "kind")?),
                RECORD if value.len() > LAN_RECORD_BYTES => return Err(Fault::Bounds("record")),
                RECORD => all.record = Some(value),
                RECORDS => all.records = value,
                CONTACTS => all.contacts = read_contacts(value)?,
                SEEN => all.seen = Some(address::read(&fields::fixed(value, "seen")?)),
                _ => {}
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn body(self, kind: u64) -> Result<Body<'a>, Fault> {
        let challenge = || self.challenge.ok_or(Fault::Missing("challenge"));
        let echo = || self.echo.ok_or(Fault::Missing("echo"));
        Ok(match kind {
            PING => Body::Ping { challenge: challenge()?, record: self.record },
            PONG => Body::Pong {
                echo: echo()?,
                challenge: self.challenge,
                record: self.record,
                seen: self.seen,
            },
            FIND_HOST => {
                let wanted = self.wanted.ok_or(Fault::Missing("wanted"))?;
                Body::FindHost { challenge: challenge()?, wanted }
            }
            FOUND => Body::Found {
                echo: echo()?,
                token: self.token,
                records: self.records,
                contacts: self.contacts,
            },
            STORE_HOST => Body::StoreHost {
                token: self.token.ok_or(Fault::Missing("token"))?,
                record: self.record.ok_or(Fault::Missing("record"))?,
            },
            LEAVING => Body::Leaving,
            SHUTDOWN_HOST => {
                let life = self.life.ok_or(Fault::Missing("life"))?;
                Body::ShutdownHost { challenge: challenge()?, life }
            }
            DONE => Body::Done { echo: echo()? },
            UNSUPPORTED => Body::Unsupported { kind: self.unknown.ok_or(Fault::Missing("kind"))? },
            other => Body::Other(other),
        })
    }
}

fn read_contacts(value: &[u8]) -> Result<Vec<Contact>, Fault> {
    let (contacts, rest) = value.as_chunks::<CONTACT_BYTES>();
    if !rest.is_empty() || contacts.len() > LAN_CLOSEST {
        return Err(Fault::Bounds("contacts"));
    }
    let mut read = Vec::new();
    for bytes in contacts {
        let mut reader = Reader::new(bytes);
        let (host, addr) = (HostId(*reader.fixed()?), address::read(reader.fixed()?));
        if address::is_somebody(&addr) {
            read.push(Contact { host, addr });
        }
    }
    Ok(read)
}

/// The records of an answer, one after the other, each behind its length; ends at what is none.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let mut reader = Reader::new(bytes);
        let record = reader.buffer().ok()?;
        bytes = reader.rest();
        Some(record)
    })
}

impl<'a> Command<'a> {
    fn read(bytes: &'a [u8]) -> Result<Command<'a>, Fault> {
        let fields = Fields::read(bytes)?;
        let kind = fields.kind.ok_or(Fault::Missing("type"))?;
        Ok(Command {
            host: fields.host.ok_or(Fault::Missing("host"))?,
            boot: fields.boot.ok_or(Fault::Missing("boot"))?,
            counter: fields.counter.ok_or(Fault::Missing("counter"))?,
            expires: fields.expires,
            target: fields.target,
            body: fields.body(kind)?,
        })
    }

    /// A whole datagram, signed by the key of `self.host` and filled up to `least` bytes.
    pub fn encode(&self, key: &KeyPair, network: &NetworkId, least: usize) -> Vec<u8> {
        debug_assert!(self.counter <= MAX_SAFE_INTEGER && least <= LAN_DATAGRAM_BYTES);
        let mut out = [MAGIC.as_slice(), &[VERSION], network].concat();
        fields::put_number(TYPE, self.body.kind(), &mut out);
        fields::put(HOST, &self.host.0, &mut out);
        fields::put(BOOT, &self.boot, &mut out);
        fields::put_number(COUNTER, self.counter, &mut out);
        if let Some(Wall(ms)) = self.expires {
            fields::put_number(EXPIRES, ms.max(0).cast_unsigned().min(MAX_SAFE_INTEGER), &mut out);
        }
        if let Some(target) = self.target {
            fields::put(TARGET, &target.0, &mut out);
        }
        self.body.write(&mut out);
        pad(&mut out, least);
        let signature = key.sign(&[NAMESPACE, &out].concat());
        out.extend_from_slice(&signature);
        out
    }
}

/// A field of zeros, so that with the signature behind it there are `least` bytes or a few more.
fn pad(out: &mut Vec<u8>, least: usize) {
    let missing = least.saturating_sub(out.len() + SIGNATURE_BYTES);
    if missing > 0 {
        let head = 1 + compact::uint_len(missing as u64);
        fields::put(PADDING, &vec![0; missing.saturating_sub(head)], out);
    }
}

impl Body<'_> {
    pub fn kind(&self) -> u64 {
        match self {
            Body::Ping { .. } => PING,
            Body::Pong { .. } => PONG,
            Body::FindHost { .. } => FIND_HOST,
            Body::Found { .. } => FOUND,
            Body::StoreHost { .. } => STORE_HOST,
            Body::Leaving => LEAVING,
            Body::ShutdownHost { .. } => SHUTDOWN_HOST,
            Body::Done { .. } => DONE,
            Body::Unsupported { .. } => UNSUPPORTED,
            Body::Other(kind) => *kind,
        }
    }

    /// In the order of the fields' numbers.
    fn write(&self, out: &mut Vec<u8>) {
        let nonce = |field: u64, nonce: &Nonce, out: &mut Vec<u8>| fields::put(field, nonce, out);
        match self {
            Body::Ping { challenge, record } => {
                nonce(CHALLENGE, challenge, out);
                put_record(*record, out);
            }
            Body::Pong { echo, challenge, record, seen } => {
                if let Some(challenge) = challenge {
                    nonce(CHALLENGE, challenge, out);
                }
                nonce(ECHO, echo, out);
                put_record(*record, out);
                if let Some(seen) = seen {
                    fields::put(SEEN, &address::put(seen), out);
                }
            }
            Body::FindHost { challenge, wanted } => {
                nonce(CHALLENGE, challenge, out);
                fields::put(WANTED, &wanted.0, out);
            }
            Body::Found { echo, token, records, contacts } => {
                nonce(ECHO, echo, out);
                if let Some(token) = token {
                    nonce(TOKEN, token, out);
                }
                if !records.is_empty() {
                    fields::put(RECORDS, records, out);
                }
                put_contacts(contacts, out);
            }
            Body::StoreHost { token, record } => {
                nonce(TOKEN, token, out);
                put_record(Some(record), out);
            }
            Body::ShutdownHost { challenge, life } => {
                nonce(CHALLENGE, challenge, out);
                fields::put(LIFE, life, out);
            }
            Body::Done { echo } => nonce(ECHO, echo, out),
            Body::Unsupported { kind } => fields::put_number(KIND, *kind, out),
            Body::Leaving | Body::Other(_) => {}
        }
    }
}

fn put_record(record: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(record) = record {
        debug_assert!(record.len() <= LAN_RECORD_BYTES);
        fields::put(RECORD, record, out);
    }
}

fn put_contacts(contacts: &[Contact], out: &mut Vec<u8>) {
    debug_assert!(contacts.len() <= LAN_CLOSEST);
    if contacts.is_empty() {
        return;
    }
    put_uint(CONTACTS, out);
    put_uint((contacts.len() * CONTACT_BYTES) as u64, out);
    for contact in contacts {
        out.extend_from_slice(&contact.host.0);
        out.extend_from_slice(&address::put(&contact.addr));
    }
}

/// Bytes of an answer to a search that has neither record nor contact in it, at most.
pub const FOUND_BYTES: usize =
    HEAD_BYTES + 3 + 34 + (2 + BOOT_BYTES) + 2 * 11 + 34 + 2 * (2 + NONCE_BYTES) + SIGNATURE_BYTES;
/// What the first contact and each contact take beside that.
pub const CONTACTS_HEAD_BYTES: usize = 4;
pub const CONTACT_EACH_BYTES: usize = CONTACT_BYTES;
