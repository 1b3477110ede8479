//! Finding peers on the local network by multicast DNS, as the two generations of the `dat`
//! program do it: TXT look-ups below `dat.local` (dat/SPEC §11.1) and SRV look-ups and
//! announcements below `hyperswarm.local` (§11.2). Both names are asked and answered.
//!
//! Feed it interfaces and datagrams, drain [`Multicast::poll_output`], call [`Multicast::tick`] at
//! [`Multicast::next_deadline`].

use std::net::{IpAddr, SocketAddr};

use crate::rng::Rng;
use crate::sys::{Bind, Interface};
use crate::time::Instant;

/// What the owner has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Become a member of [`group`] on this interface.
    Join(Interface),
    /// Leave [`group`] on this interface, which may be gone already.
    Leave(Interface),
    /// Send from the socket of [`bind`].
    Send { to: SocketAddr, via: Interface, bytes: Vec<u8> },
    /// Somebody says that a peer for this drive listens there (TCP). Comes again whenever it is
    /// heard again.
    Found { discovery_key: [u8; 32], addr: SocketAddr },
}

/// The socket to send from and receive on.
pub fn bind() -> Bind {
    todo!()
}

/// The group to join: 224.0.0.251.
pub fn group() -> IpAddr {
    todo!()
}

/// The interfaces of `all` to use when TCP listens at `listen`: a loopback listener is announced
/// on loopback alone, one at a given address on the interface with that address, one at the
/// unspecified address everywhere.
pub fn usable(all: &[Interface], listen: IpAddr) -> Vec<Interface> {
    let _ = (all, listen);
    todo!()
}

pub struct Multicast {}

impl Multicast {
    pub fn new(rng: Rng) -> Multicast {
        let _ = rng;
        todo!()
    }

    /// Starts asking for peers of a drive and, if `tcp_port` is not 0, answering for ourselves.
    /// A second call changes the port.
    pub fn join(&mut self, now: Instant, discovery_key: [u8; 32], tcp_port: u16) {
        let _ = (now, discovery_key, tcp_port);
        todo!()
    }

    pub fn leave(&mut self, discovery_key: &[u8; 32]) {
        let _ = discovery_key;
        todo!()
    }

    /// The interfaces to use from now on (see [`usable`]); what is new is joined, and everything
    /// asked and announced there.
    pub fn set_interfaces(&mut self, now: Instant, interfaces: &[Interface]) {
        let _ = (now, interfaces);
        todo!()
    }

    /// Asks and announces this drive again soon: peers are needed. Rate-limited.
    pub fn refresh(&mut self, now: Instant, discovery_key: &[u8; 32]) {
        let _ = (now, discovery_key);
        todo!()
    }

    /// A datagram from the socket. Anything that is not for us is ignored.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let _ = (now, from, bytes);
        todo!()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }
}
