//! What a host says of where it is, signed by itself, so that others can keep it and pass it on.

use std::net::IpAddr;
use std::time::Duration;

use super::address::{self, IP_BYTES};
use super::datagram::NetworkId;
use super::{Boot, Fault, fields};
use crate::codec::compact::{Reader, put_buffer};
use crate::crypto::sign::{KeyPair, Signature, verify};
use crate::host::HostId;
use crate::limits::{LAN_ADDRESSES, LAN_RECORD_BYTES, LAN_RECORD_TTL, MAX_SAFE_INTEGER};

const HOST: u64 = 1;
const BOOT: u64 = 2;
const SEQUENCE: u64 = 3;
const TTL: u64 = 4;
const TCP: u64 = 5;
const UDP: u64 = 6;
const ADDRESSES: u64 = 7;

const NAMESPACE: &[u8] = b"gannet host record 1";

/// Where one process of a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub host: HostId,
    pub boot: Boot,
    /// Grows with each record that the host says, over restarts too.
    pub sequence: u64,
    /// How long it holds after it was heard; no longer than [`LAN_RECORD_TTL`], whatever it says.
    pub ttl: Duration,
    /// Where it listens for peers.
    pub tcp: Option<u16>,
    /// Where datagrams reach it.
    pub udp: Option<u16>,
    /// Its own, as it sees them.
    pub addresses: Vec<IpAddr>,
}

/// A record as it came: nothing in it is to be believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    record: Record,
    fields: &'a [u8],
    signature: &'a Signature,
    bytes: &'a [u8],
}

/// A record that the host which it describes has signed, and its bytes for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    record: Record,
    bytes: Box<[u8]>,
}

impl<'a> Claim<'a> {
    /// A whole record and not a byte more.
    pub fn decode(bytes: &'a [u8]) -> Result<Claim<'a>, Fault> {
        if bytes.len() > LAN_RECORD_BYTES {
            return Err(Fault::Bounds("record"));
        }
        let mut reader = Reader::new(bytes);
        let (fields, signature) = (reader.buffer()?, reader.fixed()?);
        if !reader.is_empty() {
            return Err(Fault::Bounds("record"));
        }
        Ok(Claim { record: Record::read(fields)?, fields, signature, bytes })
    }

    pub fn claimed(&self) -> &Record {
        &self.record
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// `None`: it is forged, or of another network.
    pub fn verify(self, network: &NetworkId) -> Option<SignedRecord> {
        let signable = signable(network, self.fields);
        let good = verify(&self.record.host.0, &signable, self.signature);
        good.then(|| SignedRecord { record: self.record, bytes: self.bytes.into() })
    }

    /// What was verified before it was kept, or its host has said itself.
    pub fn assume_verified(self) -> SignedRecord {
        SignedRecord { record: self.record, bytes: self.bytes.into() }
    }
}

impl SignedRecord {
    pub fn record(&self) -> &Record {
        &self.record
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Record {
    fn read(bytes: &[u8]) -> Result<Record, Fault> {
        let (mut host, mut boot, mut sequence, mut ttl) = (None, None, None, None);
        let (mut tcp, mut udp, mut addresses) = (None, None, Vec::new());
        fields::read(bytes, |field, value| {
            match field {
                HOST => host = Some(HostId(fields::fixed(value, "host")?)),
                BOOT => boot = Some(fields::fixed(value, "boot")?),
                SEQUENCE => sequence = Some(fields::uint(value, "sequence")?),
                TTL => {
                    let said = Duration::from_secs(fields::uint(value, "ttl")?);
                    ttl = Some(said.min(LAN_RECORD_TTL));
                }
                TCP => tcp = Some(fields::port(value)?),
                UDP => udp = Some(fields::port(value)?),
                ADDRESSES => addresses = address::ips(value, LAN_ADDRESSES)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Record {
            host: host.ok_or(Fault::Missing("host"))?,
            boot: boot.ok_or(Fault::Missing("boot"))?,
            sequence: sequence.ok_or(Fault::Missing("sequence"))?,
            ttl: ttl.ok_or(Fault::Missing("ttl"))?,
            tcp,
            udp,
            addresses,
        })
    }

    fn write(&self) -> Vec<u8> {
        debug_assert!(self.sequence <= MAX_SAFE_INTEGER && self.ttl <= LAN_RECORD_TTL);
        debug_assert!(self.addresses.len() <= LAN_ADDRESSES);
        let mut out = Vec::new();
        fields::put(HOST, &self.host.0, &mut out);
        fields::put(BOOT, &self.boot, &mut out);
        fields::put_number(SEQUENCE, self.sequence, &mut out);
        fields::put_number(TTL, self.ttl.as_secs(), &mut out);
        for (field, port) in [(TCP, self.tcp), (UDP, self.udp)] {
            if let Some(port) = port {
                fields::put_number(field, u64::from(port), &mut out);
            }
        }
        if !self.addresses.is_empty() {
            let mut bytes = Vec::with_capacity(self.addresses.len() * IP_BYTES);
            self.addresses.iter().for_each(|ip| bytes.extend(address::put_ip(*ip)));
            fields::put(ADDRESSES, &bytes, &mut out);
        }
        out
    }

    /// Signed by the host's key, which is that of `self.host`.
    pub fn sign(self, key: &KeyPair, network: &NetworkId) -> SignedRecord {
        debug_assert_eq!(self.host.0, key.public());
        let fields = self.write();
        let signature = key.sign(&signable(network, &fields));
        let mut bytes = Vec::new();
        put_buffer(&fields, &mut bytes);
        bytes.extend_from_slice(&signature);
        SignedRecord { record: self, bytes: bytes.into() }
    }
}

fn signable(network: &NetworkId, fields: &[u8]) -> Vec<u8> {
    [NAMESPACE, network, fields].concat()
}
