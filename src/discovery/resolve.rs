//! A stub resolver: host names to addresses by the hosts file and by asking the name servers of
//! resolv.conf over UDP, A and AAAA at once. Knows no socket and no file: it gets both texts and
//! the datagrams as arguments.

use std::net::SocketAddr;

use thiserror::Error;

use crate::rng::Rng;
use crate::time::Instant;

/// Names one look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookupId(pub u32);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    #[error("not a host name: {0}")]
    BadName(String),
    #[error("no such host: {0}")]
    NotFound(String),
    #[error("no name server answered for {0}")]
    TimedOut(String),
    #[error("too many look-ups at once")]
    TooMany,
}

/// Finished look-ups come out of [`Resolver::poll_done`], also those that needed no question.
pub struct Resolver {}

impl Resolver {
    /// `hosts` and `resolv_conf` are the texts of the two files; either may be empty.
    pub fn new(rng: Rng, hosts: &str, resolv_conf: &str) -> Resolver {
        let _ = (rng, hosts, resolv_conf);
        todo!()
    }

    /// New texts of the two files, for the look-ups to come.
    pub fn set_files(&mut self, hosts: &str, resolv_conf: &str) {
        let _ = (hosts, resolv_conf);
        todo!()
    }

    /// Starts a look-up of a host name or an IP address in text.
    pub fn lookup(&mut self, now: Instant, name: &str, port: u16) -> LookupId {
        let _ = (now, name, port);
        todo!()
    }

    /// Forgets a look-up; nothing will be reported for it.
    pub fn cancel(&mut self, id: LookupId) {
        let _ = id;
        todo!()
    }

    /// A datagram from a name server, or from anybody.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let _ = (now, from, bytes);
        todo!()
    }

    /// Retries and gives up what is due.
    pub fn tick(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// A question to send, from an unshared UDP socket of the server's address family.
    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        todo!()
    }

    /// Addresses in the order to try them: never empty when `Ok`.
    #[allow(clippy::type_complexity)]
    pub fn poll_done(&mut self) -> Option<(LookupId, Result<Vec<SocketAddr>, ResolveError>)> {
        todo!()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }
}
