//! Asking a peer for others that have what both of us have, and the answer. What is asked about is named
//! by the discovery key of a core that is open on the stream on both sides.

use std::net::SocketAddr;

use super::address::{self, ADDRESS_BYTES};
use super::{Fault, fields};
use crate::codec::compact::put_uint;
use crate::limits::{HOST_CANDIDATES, HOST_HINTS};

pub(super) const ASK: u64 = 3;
pub(super) const CANDIDATES: u64 = 4;

const CORE: u64 = 1;
/// `Ask`.
const COUNT: u64 = 2;
/// `Candidates`.
const ADDRESSES: u64 = 2;

/// Who else has this core?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub core: [u8; 32],
    /// Addresses that are wanted at most.
    pub count: usize,
}

/// Where others may be that have this core. Not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    pub core: [u8; 32],
    pub addrs: Vec<SocketAddr>,
}

impl Ask {
    pub(super) fn read(bytes: &[u8]) -> Result<Ask, Fault> {
        let (mut core, mut count) = (None, HOST_CANDIDATES as u64);
        fields::read(bytes, |field, value| {
            match field {
                CORE => core = Some(fields::fixed(value, "core")?),
                COUNT => count = fields::uint(value, "count")?,
                _ => {}
            }
            Ok(())
        })?;
        let count = count.min(HOST_CANDIDATES as u64) as usize;
        Ok(Ask { core: core.ok_or(Fault::Missing("core"))?, count })
    }

    /// Appends type and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(ASK, out);
        fields::put(CORE, &self.core, out);
        fields::put_number(COUNT, self.count as u64, out);
    }
}

impl Candidates {
    pub(super) fn read(bytes: &[u8]) -> Result<Candidates, Fault> {
        let (mut core, mut addrs) = (None, Vec::new());
        fields::read(bytes, |field, value| {
            match field {
                CORE => core = Some(fields::fixed(value, "core")?),
                ADDRESSES => addrs = read_addresses(value, HOST_CANDIDATES, "addresses")?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Candidates { core: core.ok_or(Fault::Missing("core"))?, addrs })
    }

    /// Appends type and body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.addrs.len() <= HOST_CANDIDATES);
        put_uint(CANDIDATES, out);
        fields::put(CORE, &self.core, out);
        put_addresses(ADDRESSES, &self.addrs, out);
    }
}

/// A field of addresses, unless there are none.
pub(super) fn put_addresses(field: u64, addrs: &[SocketAddr], out: &mut Vec<u8>) {
    if !addrs.is_empty() {
        let bytes: Vec<u8> = addrs.iter().flat_map(address::put).collect();
        fields::put(field, &bytes, out);
    }
}

/// Addresses without a port, or of nobody, are left out.
pub(super) fn read_addresses(
    value: &[u8],
    most: usize,
    name: &'static str,
) -> Result<Vec<SocketAddr>, Fault> {
    let (addrs, rest) = value.as_chunks::<ADDRESS_BYTES>();
    if !rest.is_empty() || addrs.len() > most {
        return Err(Fault::Bounds(name));
    }
    Ok(addrs.iter().map(address::read).filter(address::is_somebody).collect())
}

const _: () = assert!(HOST_HINTS <= HOST_CANDIDATES);
