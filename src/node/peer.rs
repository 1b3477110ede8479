//! One connection as the node keeps it: its life, its dialect's session, and what waits to be sent.

use std::collections::VecDeque;

use crate::conn::{Direction, Life, Reason};
use crate::ids::FeedId;
use crate::sync::OwnedMessage;
use crate::sys::Endpoint;
use crate::time::Instant;
use crate::wire::dat::{Handshake, Session};
use crate::wire::{Data, Request};

use super::topic::TopicId;

/// A connection to another program that speaks a dialect.
pub struct Peer {
    pub life: Life,
    pub session: Session,
    /// What the connection is about. An accepted one learns it from the first feed.
    pub topic: Option<TopicId>,
    /// Encoded before anything else may be: Feed and Handshake.
    pub staged: Vec<u8>,
    /// Small messages in the order in which `sync` said them; they overtake uploads.
    pub outbox: VecDeque<(FeedId, OwnedMessage)>,
    /// A keep-alive is to be sent.
    pub keepalive: bool,
    /// An upload that waits for the disk.
    pub upload: Option<(FeedId, Request)>,
    /// A block that came in and waits for the disk; meanwhile the socket is not read.
    pub arrival: Option<Arrival>,
    /// The reactor was told to hold the socket.
    pub held: bool,
    /// Feeds joined in `sync` for this peer.
    pub joined: Vec<FeedId>,
    pub handshake: Option<Handshake>,
    /// The dialled address, where we dialled.
    pub dialed: Option<std::net::SocketAddr>,
    /// Bytes of the frame at the front that is not complete yet.
    pub partial: usize,
    /// It is the newer of two that we opened to one peer, which has until then to close one.
    pub twin_until: Option<Instant>,
    /// Useful bytes from this peer, for `swarm`.
    pub useful: bool,
}

/// A Data message that owns its bytes.
pub struct Arrival {
    pub feed: FeedId,
    pub index: u64,
    pub value: Option<Vec<u8>>,
    pub nodes: Vec<crate::crypto::hash::Node>,
    pub signature: Option<[u8; 64]>,
}

impl Arrival {
    pub fn owned(feed: FeedId, data: Data<'_>) -> Arrival {
        Arrival {
            feed,
            index: data.index,
            value: data.value.map(<[u8]>::to_vec),
            nodes: data.nodes,
            signature: data.signature,
        }
    }
}

impl Peer {
    pub fn new(
        now: Instant,
        direction: Direction,
        remote: Endpoint,
        session: Session,
        topic: Option<TopicId>,
    ) -> Peer {
        Peer {
            life: Life::new(now, direction, remote),
            session,
            topic,
            staged: Vec::new(),
            outbox: VecDeque::new(),
            keepalive: false,
            upload: None,
            arrival: None,
            held: false,
            joined: Vec::new(),
            handshake: None,
            dialed: None,
            partial: 0,
            twin_until: None,
            useful: false,
        }
    }

    pub fn close(&mut self, why: Reason) {
        self.life.close(why);
    }

    /// Whether it calls itself so. Who has no name is nobody's twin.
    pub fn is(&self, id: &[u8]) -> bool {
        !id.is_empty() && self.handshake.as_ref().is_some_and(|h| h.id == id)
    }

    /// For logs.
    pub fn name(&self) -> String {
        match &self.life.remote {
            Endpoint::Tcp(addr) => addr.to_string(),
            Endpoint::Unix(path) => path.display().to_string(),
        }
    }

    /// The remote address, if it has one.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        match self.life.remote {
            Endpoint::Tcp(addr) => Some(addr),
            Endpoint::Unix(_) => None,
        }
    }
}
