//! Where we speak and where we can be reached: groups, interfaces, and our own record.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Hosts, Output, Ports};
use crate::limits;
use crate::sys::{Bind, Interface};
use crate::time::Instant;
use crate::wire::host::Record;

/// Of this site alone (RFC 2365), and of this link.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 71, 78);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0x6761, 0x6e6e, 0x6574);
const PORT: u16 = 7178;

/// Interfaces that are not used unless somebody says otherwise: those of containers and virtual
/// machines, and tunnels.
pub const EXCLUDED: &[&str] = &[
    "docker*",
    "br-*",
    "veth*",
    "virbr*",
    "vnet*",
    "cni*",
    "flannel*",
    "cali*",
    "podman*",
    "lxc*",
    "lxdbr*",
    "tun*",
    "tap*",
    "wg*",
    "zt*",
    "tailscale*",
    "utun*",
    "ppp*",
];

/// The group of an address's family.
pub fn group(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => GROUP_V4.into(),
        IpAddr::V6(_) => GROUP_V6.into(),
    }
}

fn any(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// The socket that hears what goes to the group; every process of a machine has one.
pub fn bind_group(v6: bool) -> Bind {
    Bind { at: SocketAddr::new(any(v6), PORT), shared: true, multicast_ttl: 1 }
}

/// The socket that everything is sent from, so that answers reach this process and no other one.
pub fn bind_own(v6: bool) -> Bind {
    Bind { at: SocketAddr::new(any(v6), 0), shared: false, multicast_ttl: 1 }
}

/// Whether a pattern names an interface: its name, or how it begins before a `*`.
pub(super) fn names(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Whether an interface is named by one of the patterns.
pub fn is_excluded(patterns: &[String], on: &Interface) -> bool {
    patterns.iter().any(|pattern| names(pattern, &on.name))
}

impl Hosts {
    /// Where others see this machine, which stands in our record from the next `set_places` on.
    pub fn set_seen(&mut self, seen: Vec<IpAddr>) {
        self.seen = seen;
    }

    /// All interfaces there are, where TCP listens, and names of interfaces that are not to be used.
    /// What changed is told to everybody.
    pub fn set_places(
        &mut self,
        now: Instant,
        all: &[Interface],
        listening: &[SocketAddr],
        ports: Ports,
        excluded: &[String],
    ) {
        self.addresses = all.iter().map(|on| on.address).collect();
        let mut next: Vec<Interface> = Vec::new();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for on in all {
            let shut = is_excluded(excluded, on);
            if shut || !(on.multicast || on.loopback) || !is_reached(on, listening, ports.tcp) {
                continue;
            }
            if !on.loopback && addresses.len() < limits::LAN_ADDRESSES {
                addresses.push(on.address);
            }
            let family = |other: &Interface| other.address.is_ipv4() == on.address.is_ipv4();
            let known = next.iter().any(|other| other.index == on.index && family(other));
            if !known && next.len() < 2 * limits::MULTICAST_INTERFACES {
                next.push(on.clone());
            }
        }
        for ip in &self.seen {
            if addresses.len() < limits::LAN_ADDRESSES && !addresses.contains(ip) {
                addresses.push(*ip);
            }
        }
        let before = std::mem::replace(&mut self.interfaces, next);
        let gone = before.iter().filter(|on| !self.interfaces.contains(on));
        self.outputs.extend(gone.cloned().map(Output::Leave));
        let fresh: Vec<Interface> =
            self.interfaces.iter().filter(|on| !before.contains(on)).cloned().collect();
        let news = !fresh.is_empty();
        self.outputs.extend(fresh.into_iter().map(Output::Join));
        self.ports = ports;
        if self.renew(now, addresses) || news {
            self.ping_soon(now);
        }
    }

    /// Interfaces in use.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Makes our record anew, if anything in it is new.
    fn renew(&mut self, now: Instant, addresses: Vec<IpAddr>) -> bool {
        if self.ended {
            return false;
        }
        let same = self.record.as_ref().is_some_and(|(signed, _)| {
            let record = signed.record();
            record.addresses == addresses
                && (record.tcp, record.udp) == (self.ports.tcp, self.ports.udp)
        });
        if !same {
            self.sign_record(now, addresses);
        }
        !same
    }

    /// Sequence numbers go on where those of earlier runs ended: after the last one kept, or by the
    /// calendar.
    pub(super) fn sign_record(&mut self, now: Instant, addresses: Vec<IpAddr>) {
        let calendar = self.wall.0.max(0).cast_unsigned();
        self.sequence = (self.sequence + 1).max(calendar).min(limits::MAX_SAFE_INTEGER);
        let record = Record {
            host: self.id,
            boot: self.boot,
            sequence: self.sequence,
            ttl: limits::LAN_RECORD_TTL,
            tcp: self.ports.tcp,
            udp: self.ports.udp,
            addresses,
        };
        self.record = Some((record.sign(&self.key, &self.network), now));
        self.table.touch();
    }

    /// Whether an address is one of this machine.
    pub(super) fn is_here(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains(&ip)
    }

    /// Sends the same to everybody on every interface.
    pub(super) fn cast(&mut self, bytes: &[u8]) {
        for via in self.interfaces.clone() {
            let to = SocketAddr::new(group(via.address), PORT);
            self.counts.sent += 1;
            self.outputs.push_back(Output::Send { to, via: Some(via), bytes: bytes.to_vec() });
        }
    }
}

/// Whether who hears us on this interface could dial us: a listener at loopback is announced there
/// alone, one at a given address on the interface that has it.
fn is_reached(on: &Interface, listening: &[SocketAddr], tcp: Option<u16>) -> bool {
    listening.iter().filter(|at| Some(at.port()) == tcp).any(|at| {
        let family = at.is_ipv4() == on.address.is_ipv4();
        let ip = at.ip();
        family && (ip.is_unspecified() || ip == on.address || on.loopback && ip.is_loopback())
    })
}
