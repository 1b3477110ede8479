//! Who lives on the machines: whole nodes, and those who wish them ill.

use std::io::ErrorKind;

use gannet::ids::ConnId;
use gannet::node::Node;
use gannet::node::event::{Event, SubscriberId};
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::Engine;
use gannet::store::disk::Disk;
use gannet::time::{Instant, Wall};

use crate::hostile::Hostile;
use crate::listener::Listener;
use crate::stranger::Stranger;
use crate::sybil::Sybil;
use crate::world::Live;

pub enum Actor {
    Node { node: Box<Node>, events: Option<SubscriberId> },
    Hostile(Box<Hostile>),
    Listener(Box<Listener>),
    Stranger(Box<Stranger>),
    Sybil(Box<Sybil>),
}

impl Actor {
    fn engine(&mut self) -> &mut dyn Engine {
        match self {
            Actor::Node { node, .. } => node.as_mut(),
            Actor::Hostile(hostile) => hostile.as_mut(),
            Actor::Listener(listener) => listener.as_mut(),
            Actor::Stranger(stranger) => stranger.as_mut(),
            Actor::Sybil(sybil) => sybil.as_mut(),
        }
    }

    pub fn node(&self) -> Option<&Node> {
        match self {
            Actor::Node { node, .. } => Some(node),
            Actor::Hostile(_) | Actor::Listener(_) | Actor::Stranger(_) | Actor::Sybil(_) => None,
        }
    }

    /// What the node said since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        match self {
            Actor::Node { node, events: Some(id) } => {
                std::iter::from_fn(|| node.subscribers.next_event(*id)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A connection ends for what the network did, never for an answer that only means "again".
pub fn check_closed(input: &Input<'_>) {
    if let Input::Closed { why: Err(error), .. } = input {
        let again = matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock);
        assert!(!again, "a connection is given up: {error}");
    }
}

impl Live for Actor {
    fn set_wall(&mut self, wall: Wall) {
        if let Actor::Node { node, .. } = self {
            node.set_wall(wall);
        }
    }
}

impl Engine for Actor {
    fn handle(&mut self, now: Instant, input: Input<'_>, disk: &mut dyn Disk) {
        check_closed(&input);
        self.engine().handle(now, input, disk);
    }

    fn bytes(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &mut [u8],
        disk: &mut dyn Disk,
    ) -> Consumed {
        self.engine().bytes(now, conn, buf, disk)
    }

    fn poll_frames(
        &mut self,
        now: Instant,
        conn: ConnId,
        out: &mut Vec<u8>,
        room: usize,
        disk: &mut dyn Disk,
    ) {
        self.engine().poll_frames(now, conn, out, room, disk);
    }

    fn work(&mut self, now: Instant, budget: usize, disk: &mut dyn Disk) -> Work {
        self.engine().work(now, budget, disk)
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.engine().poll_output()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        self.engine().next_deadline()
    }
}
