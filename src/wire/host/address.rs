//! Addresses as messages carry them: 16 bytes, IPv4 mapped, and a port of two bytes, little-endian.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Fault;

pub const IP_BYTES: usize = 16;
pub const ADDRESS_BYTES: usize = IP_BYTES + 2;

pub fn put_ip(ip: IpAddr) -> [u8; IP_BYTES] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
    .octets()
}

pub fn put(addr: &SocketAddr) -> [u8; ADDRESS_BYTES] {
    let mut bytes = [0; ADDRESS_BYTES];
    bytes[..IP_BYTES].copy_from_slice(&put_ip(addr.ip()));
    bytes[IP_BYTES..].copy_from_slice(&addr.port().to_le_bytes());
    bytes
}

pub fn ip(bytes: [u8; IP_BYTES]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

pub fn read(bytes: &[u8; ADDRESS_BYTES]) -> SocketAddr {
    let (mut octets, mut port) = ([0; IP_BYTES], [0; 2]);
    octets.copy_from_slice(&bytes[..IP_BYTES]);
    port.copy_from_slice(&bytes[IP_BYTES..]);
    SocketAddr::new(ip(octets), u16::from_le_bytes(port))
}

/// Whether anybody can be at an address.
pub fn is_somebody(addr: &SocketAddr) -> bool {
    addr.port() != 0 && is_host(addr.ip())
}

fn is_host(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// All of a field that is a list of addresses without ports; what cannot be a host is left out.
pub fn ips(value: &[u8], most: usize) -> Result<Vec<IpAddr>, Fault> {
    let (ips, rest) = value.as_chunks::<IP_BYTES>();
    if !rest.is_empty() || ips.len() > most {
        return Err(Fault::Bounds("addresses"));
    }
    Ok(ips.iter().map(|bytes| ip(*bytes)).filter(|ip| is_host(*ip)).collect())
}
