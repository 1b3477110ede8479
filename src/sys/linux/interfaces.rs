//! The network interfaces, the ways out of here, and their changes, asked of the kernel through a routing
//! socket (rtnetlink). Names and flags come with the links, addresses with the addresses. Of the routes,
//! of which a router may have a million, only that to one address far away is asked for, in each family.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::limits;
use crate::sys::{Interface, Route};

/// Groups of messages on links coming and going, and on IPv4 and IPv6 addresses and routes.
pub(super) const CHANGES: u32 = 0x1 | 0x10 | 0x100 | 0x40 | 0x400;
/// Addresses that are far away from everybody (one of the root name servers'); nothing is sent there.
const FAR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
];

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 0x1;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x1 | 0x300;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const IFF_UP: u32 = 0x1;
/// There is a carrier.
const IFF_RUNNING: u32 = 0x40;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_MULTICAST: u32 = 0x1000;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Bytes of a message's header, of `ifinfomsg`, of `ifaddrmsg` and of `rtmsg`.
const HEADER: usize = 16;
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;
const ROUTE_BODY: usize = 12;

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

/// The interfaces that are up and have a carrier, one entry an address, in the order of their numbers.
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
            && link.flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING
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

/// The ways to far away, of the families that lead there.
pub(super) fn routes(route: &OwnedFd) -> io::Result<Vec<Route>> {
    let mut found = Vec::new();
    for far in FAR {
        found.extend(route_to(route, far)?);
    }
    Ok(found)
}

fn route_to(route: &OwnedFd, to: IpAddr) -> io::Result<Option<Route>> {
    let (family, address) = match to {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    };
    let len = HEADER + ROUTE_BODY + 4 + address.len();
    let mut request = header(len, RTM_GETROUTE, NLM_F_REQUEST);
    // The family, and how many bits of the address count.
    request.extend([family, 8 * address.len() as u8]);
    request.resize(HEADER + ROUTE_BODY, 0);
    request.extend((4 + address.len() as u16).to_ne_bytes());
    request.extend(RTA_DST.to_ne_bytes());
    request.extend(address);
    retry_on_intr(|| rustix::net::send(route, &request, SendFlags::empty()))?;
    let mut buf = [0u8; 1024];
    let (n, _) = retry_on_intr(|| rustix::net::recv(route, &mut buf[..], RecvFlags::empty()))?;
    // (An error says that there is no way.)
    Ok(message(&buf[..n]).filter(|(kind, ..)| *kind == RTM_NEWROUTE).and_then(|(_, body, _)| {
        let attributes = body.get(ROUTE_BODY..)?;
        let address = |wanted| attribute(attributes, wanted).and_then(|ip| ip_of(family, ip));
        let interface = u32_at(attribute(attributes, RTA_OIF)?, 0)?;
        Some(Route { interface, gateway: address(RTA_GATEWAY), own: address(RTA_PREFSRC) })
    }))
}

/// A message's header: its length in all, its kind, its flags. Sequence number and port (the kernel fills it
/// in) are 0.
fn header(len: usize, kind: u16, flags: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    bytes.extend((len as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes
}

/// Asks for all of one kind and hands each message's kind and body over.
fn dump(route: &OwnedFd, ask: u16, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let mut request = header(HEADER + LINK_BODY, ask, DUMP);
    // A body that says: any family.
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
    Some((index, ip_of(family, value)?))
}

fn ip_of(family: u8, value: &[u8]) -> Option<IpAddr> {
    Some(match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => return None,
    })
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
    fn the_way_out_is_what_the_kernel_would_take() {
        for route in routes(&open(0).unwrap()).unwrap() {
            // A connected socket takes it, too, and nothing is sent for that.
            let v4 = route.own.is_some_and(|own| own.is_ipv4());
            let (any, far) = if v4 { ("0.0.0.0:0", FAR[0]) } else { ("[::]:0", FAR[1]) };
            let socket = std::net::UdpSocket::bind(any).unwrap();
            socket.connect((far, 9)).unwrap();
            assert_eq!(Some(socket.local_addr().unwrap().ip()), route.own);
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
