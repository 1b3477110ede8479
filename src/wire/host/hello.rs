//! The first message of each side: who it is, signed for this connection and no other.

use std::net::IpAddr;

use super::{Fault, address, fields};
use crate::codec::compact::{Reader, put_buffer};
use crate::crypto::sign::{KeyPair, Signature, verify};
use crate::host::HostId;
use crate::limits::{HOST_HOLDS, HOST_OWN, HOST_VERSION, MAX_SAFE_INTEGER};

const VERSIONS: u64 = 1;
const HOST: u64 = 2;
const BOOT: u64 = 3;
const NUMBER: u64 = 4;
const PORT: u64 = 5;
const FEATURES: u64 = 6;
const HOLDS: u64 = 7;
const SEEN: u64 = 8;
const OWN: u64 = 9;

/// The feature bit that says that the sender has fewer peers than it needs.
pub const NEEDY: u64 = 1;
/// The feature bit that says that the sender has so many peers that signs of life are to be rare.
pub const SELDOM: u64 = 2;

pub const BOOT_BYTES: usize = 16;
/// Drawn at random when a process starts.
pub type Boot = [u8; BOOT_BYTES];

const NAMESPACE: &[u8] = b"gannet hello 1";

/// Versions of the protocol, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Versions {
    pub first: u64,
    pub last: u64,
}

impl Versions {
    /// The highest that both speak.
    pub fn common(self, other: Versions) -> Option<u64> {
        let last = self.last.min(other.last);
        (last >= self.first.max(other.first)).then_some(last)
    }

    pub(in crate::wire) fn put(self, field: u64, out: &mut Vec<u8>) {
        // Equal ends would not go up.
        let ends = [self.first, self.last];
        let distinct = if self.first == self.last { &ends[..1] } else { &ends[..] };
        fields::put_numbers(field, distinct, out);
    }

    pub(in crate::wire) fn read(value: &[u8]) -> Result<Versions, Fault> {
        let bad = Fault::Bounds("versions");
        match fields::ascending(value, 2, "versions")?[..] {
            [first] if first <= HOST_VERSION => Ok(Versions { first, last: first }),
            [first, last] if last <= HOST_VERSION => Ok(Versions { first, last }),
            _ => Err(bad),
        }
    }
}

/// What a side says of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hello {
    pub versions: Versions,
    pub host: HostId,
    pub boot: Boot,
    /// Grows with each hello that this process says, to whomever: which of two connections it began
    /// first, and the name of this one for it.
    pub number: u64,
    /// The TCP port that it listens on.
    pub port: Option<u16>,
    /// Bits; those that we do not know mean nothing.
    pub features: u64,
    /// Where the sender sees the other end. Not to be believed.
    pub seen: Option<IpAddr>,
    /// Where many others have seen the sender, who listens there, too, as far as it knows.
    pub own: Vec<IpAddr>,
    /// Numbers of its earlier connections to the same process that it still has and trusts, going up.
    pub holds: Vec<u64>,
}

/// Names the connection and the side that speaks, so that a hello is good nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel<'a> {
    /// The hash of the Noise handshake, which both keys and both ephemeral keys are in.
    pub handshake: &'a [u8; 64],
    /// Whether the side that says it opened the connection.
    pub initiator: bool,
}

impl Channel<'_> {
    fn signable(&self, fields: &[u8]) -> Vec<u8> {
        [NAMESPACE, self.handshake, &[u8::from(self.initiator)], fields].concat()
    }
}

/// A hello as it came: nothing in it is to be believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    hello: Hello,
    fields: &'a [u8],
    signature: &'a Signature,
}

/// A hello that the host which it names has said, on this connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verified(Hello);

impl Verified {
    pub fn hello(&self) -> &Hello {
        &self.0
    }

    /// In simulations of what comes after the signature.
    #[cfg(test)]
    pub fn assumed(hello: Hello) -> Verified {
        Verified(hello)
    }
}

impl<'a> Signed<'a> {
    /// `None`: it is forged, or was said on another connection.
    pub fn verify(self, channel: Channel<'_>) -> Option<Verified> {
        let signable = channel.signable(self.fields);
        verify(&self.hello.host.0, &signable, self.signature).then_some(Verified(self.hello))
    }

    /// What is claimed, for the log.
    pub fn claimed(&self) -> &Hello {
        &self.hello
    }

    pub(super) fn decode(body: &'a [u8]) -> Result<Signed<'a>, Fault> {
        let mut reader = Reader::new(body);
        let (fields, signature) = (reader.buffer()?, reader.fixed()?);
        if !reader.is_empty() {
            return Err(Fault::Bounds("hello"));
        }
        Ok(Signed { hello: Hello::read(fields)?, fields, signature })
    }
}

impl Hello {
    fn read(bytes: &[u8]) -> Result<Hello, Fault> {
        let (mut versions, mut host, mut boot, mut number) = (None, None, None, None);
        let (mut port, mut features, mut holds) = (None, 0, Vec::new());
        let (mut seen, mut own) = (None, Vec::new());
        fields::read(bytes, |field, value| {
            match field {
                VERSIONS => versions = Some(Versions::read(value)?),
                HOST => host = Some(HostId(fields::fixed(value, "host")?)),
                BOOT => boot = Some(fields::fixed(value, "boot")?),
                NUMBER => number = Some(fields::uint(value, "number")?),
                PORT => port = Some(fields::port(value)?),
                FEATURES => features = fields::uint(value, "features")?,
                HOLDS => holds = fields::ascending(value, HOST_HOLDS, "holds")?,
                SEEN => seen = address::ips(value, 1)?.pop(),
                OWN => own = address::ips(value, HOST_OWN)?,
                _ => {}
            }
            Ok(())
        })?;
        let number = number.ok_or(Fault::Missing("number"))?;
        if holds.last().is_some_and(|last| *last >= number) {
            return Err(Fault::Bounds("holds"));
        }
        Ok(Hello {
            versions: versions.ok_or(Fault::Missing("versions"))?,
            host: host.ok_or(Fault::Missing("host"))?,
            boot: boot.ok_or(Fault::Missing("boot"))?,
            number,
            port,
            features,
            seen,
            own,
            holds,
        })
    }

    fn write(&self) -> Vec<u8> {
        debug_assert!(self.number <= MAX_SAFE_INTEGER && self.features <= MAX_SAFE_INTEGER);
        debug_assert!(self.holds.len() <= HOST_HOLDS);
        let mut out = Vec::new();
        self.versions.put(VERSIONS, &mut out);
        fields::put(HOST, &self.host.0, &mut out);
        fields::put(BOOT, &self.boot, &mut out);
        fields::put_number(NUMBER, self.number, &mut out);
        if let Some(port) = self.port {
            fields::put_number(PORT, u64::from(port), &mut out);
        }
        if self.features != 0 {
            fields::put_number(FEATURES, self.features, &mut out);
        }
        if !self.holds.is_empty() {
            fields::put_numbers(HOLDS, &self.holds, &mut out);
        }
        if let Some(seen) = self.seen {
            fields::put(SEEN, &address::put_ip(seen), &mut out);
        }
        if !self.own.is_empty() {
            debug_assert!(self.own.len() <= HOST_OWN);
            let own: Vec<u8> = self.own.iter().flat_map(|ip| address::put_ip(*ip)).collect();
            fields::put(OWN, &own, &mut out);
        }
        out
    }

    /// Appends the body, signed by `host`'s key for this connection.
    pub fn sign(&self, host: &KeyPair, channel: Channel<'_>, out: &mut Vec<u8>) {
        let fields = self.write();
        let signature = host.sign(&channel.signable(&fields));
        put_buffer(&fields, out);
        out.extend_from_slice(&signature);
    }
}
