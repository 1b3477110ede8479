//! The network interfaces and their changes, asked of the kernel through a routing socket
//! (rtnetlink). Names and flags come with the links, addresses with the addresses.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::limits;
use crate::sys::Interface;

/// Groups of messages on links coming and going and on IPv4 and IPv6 addresses.
pub(super) const CHANGES: u32 = 0x1 | 0x10 | 0x100;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x1 | 0x300;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_MULTICAST: u32 = 0x1000;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Bytes of a message's header, of `ifinfomsg` and of `ifaddrmsg`.
const HEADER: usize = 16;
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;

/// A routing socket that hears of `groups`.
pub(super) fn open(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 is NETLINK_ROUTE.
    let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
    Ok(fd)
}

/// Reads away what came in; only that something came matters.
pub(super) fn drain(fd: &OwnedFd) {
    let mut buf = [0u8; 4096];
    loop {
        match rustix::net::recv(fd, &mut buf[..], RecvFlags::empty()) {
            Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
            Err(_) => return,
        }
    }
}

struct Link {
    name: String,
    flags: u32,
}

/// The interfaces that are up, one entry an address, in the order of their numbers.
pub(super) fn list(route: &OwnedFd) -> io::Result<Vec<Interface>> {
    let mut links = BTreeMap::new();
    dump(route, RTM_GETLINK, |kind, body| {
        if kind == RTM_NEWLINK
            && let Some((index, link)) = link(body)
        {
            links.insert(index, link);
        }
    })?;
    let mut found = Vec::new();
    dump(route, RTM_GETADDR, |kind, body| {
        if kind == RTM_NEWADDR
            && let Some((index, address)) = address(body)
            && let Some(link) = links.get(&index)
            && link.flags & IFF_UP != 0
        {
            found.push(Interface {
                index,
                name: link.name.clone(),
                address,
                loopback: link.flags & IFF_LOOPBACK != 0,
                multicast: link.flags & IFF_MULTICAST != 0,
            });
        }
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Asks for all of one kind and hands each message's kind and body over.
fn dump(route: &OwnedFd, ask: u16, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let mut request = Vec::with_capacity(HEADER + LINK_BODY);
    request.extend(((HEADER + LINK_BODY) as u32).to_ne_bytes());
    request.extend(ask.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    // Sequence number, port (the kernel fills it in), and a body that says: any family.
    request.resize(HEADER + LINK_BODY, 0);
    retry_on_intr(|| rustix::net::send(route, &request, SendFlags::empty()))?;
    let mut buf = vec![0u8; limits::NETLINK_BYTES];
    loop {
        // The kernel prepares the answer within our call: there is nothing to wait for.
        let (n, _) = retry_on_intr(|| rustix::net::recv(route, &mut buf[..], RecvFlags::empty()))?;
        let mut rest = &buf[..n];
        while let Some((kind, body, more)) = message(rest) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    return Err(io::Error::other("the kernel refused to list interfaces"));
                }
                kind => each(kind, body),
            }
            rest = more;
        }
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The first message of `bytes`: its kind, its body, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32_at(bytes, 0)? as usize;
    let body = bytes.get(HEADER..len)?;
    Some((u16_at(bytes, 4)?, body, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// The value of an attribute.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(4..len)?;
        if u16_at(bytes, 2)? == wanted {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(4)..)?;
    }
}

fn link(body: &[u8]) -> Option<(u32, Link)> {
    let index = u32_at(body, 4)?;
    let flags = u32_at(body, 8)?;
    let name = attribute(body.get(LINK_BODY..)?, IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    Some((index, Link { name, flags }))
}

fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let family = *body.first()?;
    let index = u32_at(body, 4)?;
    let attributes = body.get(ADDRESS_BODY..)?;
    // On a point-to-point link the other one is the peer's.
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    let address = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => return None,
    };
    Some((index, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_loopback_interface() {
        let list = list(&open(0).unwrap()).unwrap();
        // In a fresh network namespace nothing is up.
        if let Some(lo) = list.iter().find(|i| i.address == IpAddr::V4(Ipv4Addr::LOCALHOST)) {
            assert_eq!(lo.name, "lo");
            assert!(lo.loopback && lo.index > 0);
        }
    }

    #[test]
    fn cut_messages_are_no_harm() {
        let bytes: Vec<u8> = (0..=255).collect();
        for from in 0..256 {
            for to in from..256 {
                let part = &bytes[from..to];
                message(part);
                attribute(part, 3);
                link(part);
                address(part);
            }
        }
        assert_eq!(attribute(&[0, 0, 3, 0], 7), None);
    }
}
