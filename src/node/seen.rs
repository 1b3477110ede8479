//! Where peers see us (`swarm::seen`), and what we say of it: in hellos, and in our record for the hosts that
//! look for us. The port is always that of a listener of ours.

use std::net::{IpAddr, SocketAddr};

use crate::ids::ConnId;
use crate::limits;
use crate::time::Instant;

use super::Node;
use super::peer::Peer;

impl Node {
    /// The port that hellos tell of.
    pub(super) fn said_port(&self) -> Option<u16> {
        self.listening.first().map(SocketAddr::port)
    }

    /// Where it may be reached, as others see us.
    pub(super) fn seen_served(&self, port: Option<u16>) -> Vec<IpAddr> {
        let served = self.seen.believed().iter().filter(|ip| {
            self.listening.iter().any(|at| {
                Some(at.port()) == port && at.is_ipv4() == ip.is_ipv4() && !at.ip().is_loopback()
            })
        });
        served.take(limits::HOST_OWN).copied().collect()
    }

    /// A peer has told where it sees us.
    pub(super) fn seen_at(&mut self, now: Instant, conn: ConnId, peer: &Peer, at: Option<IpAddr>) {
        if let (Some(from), Some(at)) = (peer.address(), at)
            && self.seen.told(now, conn, from.ip(), at)
        {
            self.seen_anew(now);
        }
    }

    /// What was seen long ago does not count any more.
    pub(super) fn seen_expires(&mut self, now: Instant) {
        if self.seen.expire(now) {
            self.seen_anew(now);
        }
    }

    fn seen_anew(&mut self, now: Instant) {
        log::info!("others see this host at {:?}", self.seen.believed());
        self.lan_places(now);
    }
}
