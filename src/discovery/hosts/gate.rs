//! What is looked at at all: checking a signature is the dearest that a stranger can make us do, so it
//! is counted before it is done.

use std::net::IpAddr;

use serde::Serialize;

use super::Via;
use crate::discovery::allowance::Allowance;
use crate::few::Few;
use crate::host::HostId;
use crate::limits;
use crate::time::Instant;

/// What became of what came in. Nothing of it is logged one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Everything.
    pub received: u64,
    /// Longer than any datagram may be.
    pub too_long: u64,
    /// Of another protocol, version or network.
    pub foreign: u64,
    pub malformed: u64,
    /// Our own, come back.
    pub own: u64,
    /// For somebody else.
    pub misdirected: u64,
    /// Not looked at, because there were too many.
    pub limited: u64,
    /// Signed by nobody.
    pub forged: u64,
    /// Said before.
    pub replayed: u64,
    /// Too old.
    pub expired: u64,
    /// Answers that nobody had asked for, or that another one gave than was asked.
    pub unasked: u64,
    /// Records not taken: old ones, forged ones, of others than whom they are said of.
    pub records: u64,
    /// Records stored without a right to it.
    pub tokens: u64,
    /// Our own id, used elsewhere.
    pub impostors: u64,
    /// Commands to stop by somebody who may not.
    pub unauthorised: u64,
    /// Commands that are not known here, and ours that others did not know.
    pub unknown: u64,
    pub unsupported: u64,
    /// Sent.
    pub sent: u64,
}

/// Whose signatures may be checked now.
pub(super) struct Gate {
    all: Allowance,
    strangers: Allowance,
    sources: Few<Source, Allowance>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Ip(IpAddr),
    Peer(HostId),
}

impl Gate {
    pub fn new() -> Gate {
        let (all, burst) = (limits::LAN_VERIFIED_PER_SECOND, limits::LAN_VERIFIED_BURST);
        let (strange, at_once) = (limits::LAN_STRANGERS_PER_SECOND, limits::LAN_STRANGERS_BURST);
        Gate {
            all: Allowance::new(all, burst),
            strangers: Allowance::new(strange, at_once),
            sources: Few::new(),
        }
    }

    /// Takes one check out of what is allowed. `known`: somebody has proven to be at that address.
    pub fn admit(&mut self, now: Instant, via: Via, known: bool) -> bool {
        let source = match via {
            Via::Udp(addr) => Source::Ip(addr.ip()),
            Via::Peer(host) => Source::Peer(host),
        };
        if !self.sources.contains_key(&source) {
            if self.sources.len() >= limits::LAN_SOURCES {
                self.sources.remove_least(|allowance| allowance.next());
            }
            let (rate, burst) = (limits::LAN_SOURCE_PER_SECOND, limits::LAN_SOURCE_BURST);
            self.sources.insert(source, Allowance::new(rate, burst));
        }
        let own = self.sources.get_mut(&source).is_some_and(|allowance| allowance.take(now, 1));
        own && (known || self.strangers.take(now, 1)) && self.all.take(now, 1)
    }

    /// A second check for the same datagram, of what stands in it.
    pub fn admit_more(&mut self, now: Instant) -> bool {
        self.all.take(now, 1)
    }
}
