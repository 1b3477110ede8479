//! One connection as the node keeps it: its life, its dialect's session, and what waits to be sent.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::conn::{Direction, Life, Reason};
use crate::crypto::sign::PublicKey;
use crate::few::Few;
use crate::ids::FeedId;
use crate::limits;
use crate::sync::OwnedMessage;
use crate::sys::Endpoint;
use crate::time::Instant;
use crate::wire::dat::Handshake;
use crate::wire::host::{Close, Versions};
use crate::wire::{Data, Request, hyper};

use super::doubts::Doubt;
use super::late::Refusals;
use super::meeting::Kin;
use super::session::{Probe, Session};
use super::topic::TopicId;

/// A connection to another program that speaks a dialect.
pub struct Peer {
    pub life: Life,
    pub session: Session,
    /// What the connection is about, and whether it was dialled for that. An accepted one learns it
    /// from the feeds that the peer opens. With Dat it is one thing: the stream proves the knowledge of
    /// one key; a Hypercore peer proves that of each.
    topics: Vec<(TopicId, bool)>,
    /// Encoded before anything else may be: Feed and Handshake.
    pub staged: Vec<u8>,
    /// Small messages in the order in which they were said; they overtake uploads.
    pub outbox: VecDeque<(FeedId, Line)>,
    /// Feeds whose length waits in the outbox, once each.
    heads: BTreeSet<FeedId>,
    /// A keep-alive is to be sent.
    pub keepalive: bool,
    /// It may be gone, and is asked.
    pub doubt: Option<Doubt>,
    /// An upload that waits for the disk.
    pub upload: Option<(FeedId, Request)>,
    /// A block that came in and waits for the disk; meanwhile the socket is not read.
    pub arrival: Option<Arrival>,
    /// The reactor was told to hold the socket.
    pub held: bool,
    /// Feeds joined in `sync` for this peer.
    pub joined: Vec<FeedId>,
    pub handshake: Option<Handshake>,
    /// The peer's static key, once its stream stands.
    pub remote: PublicKey,
    pub kin: Kin,
    /// What it says that it speaks.
    pub said_versions: Option<Versions>,
    /// Where it says that it listens.
    pub said_port: Option<u16>,
    /// Where it says that many others see it.
    pub said_own: Vec<IpAddr>,
    /// Whether somebody answers where it says that it listens; `None`: nobody has looked.
    pub listens: Option<bool>,
    /// It has fewer peers than it needs, and: it can do without us; it says.
    pub needy: bool,
    pub spare: bool,
    /// One of us has so many peers that both are to speak seldom.
    pub seldom: bool,
    /// It was told of as there; it is told of when it goes.
    pub said_joined: bool,
    /// It counts as a peer.
    pub seated: bool,
    /// It was asked for others that have this core.
    pub asked_for: Option<[u8; 32]>,
    /// When it was last told of others.
    pub answered: Option<Instant>,
    /// What is to be said when it is closed, if that is known better than the reason tells.
    pub farewell: Option<Close>,
    /// What the peer said when it closed.
    pub told: Option<Close>,
    /// The dialled address, where we dialled.
    pub dialed: Option<std::net::SocketAddr>,
    /// Bytes of the frame at the front that is not complete yet.
    pub partial: usize,
    /// It is the newer of two that we opened to one peer, which has until then to close one.
    pub twin_until: Option<Instant>,
    /// It wants what is paused here: if nothing else comes of it until then, it is told so.
    pub paused_until: Option<Instant>,
    /// Useful bytes from this peer, for `swarm`.
    pub useful: bool,
    /// Cores of which one side knew nothing when the other opened them.
    pub refusals: Refusals,
    /// A history that this peer is asked to prove, by its core.
    pub reorgs: Few<FeedId, Box<crate::store::Reorg>>,
}

/// What is to be said about a feed.
pub enum Line {
    Sync(OwnedMessage),
    /// Asks for more of another history that the peer proves.
    Narrow {
        fork: u64,
        ask: crate::feed::hyper::Ask,
    },
    /// Asks whether the peer has two histories of one fork.
    Probe,
}

/// What came in and waits for the disk, owning its bytes.
pub enum Arrival {
    Dat {
        feed: FeedId,
        index: u64,
        value: Option<Vec<u8>>,
        nodes: Vec<crate::crypto::hash::Node>,
        signature: Option<[u8; 64]>,
    },
    Core {
        feed: FeedId,
        purpose: Purpose,
        fork: u64,
        value: Option<Vec<u8>>,
        proof: Box<crate::feed::hyper::Proof>,
        manifest: Option<Vec<u8>>,
    },
}

/// What an answer of a core is taken as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Block(u64),
    Growth,
    Probe(Probe),
}

impl Arrival {
    pub fn owned(feed: FeedId, data: Data<'_>) -> Arrival {
        Arrival::Dat {
            feed,
            index: data.index,
            value: data.value.map(<[u8]>::to_vec),
            nodes: data.nodes,
            signature: data.signature,
        }
    }

    pub fn of_core(feed: FeedId, purpose: Purpose, data: hyper::Data<'_>) -> Arrival {
        Arrival::Core {
            feed,
            purpose,
            fork: data.fork,
            value: data.value.map(<[u8]>::to_vec),
            proof: Box::new(data.proof),
            manifest: data.manifest.map(<[u8]>::to_vec),
        }
    }

    /// The feed and, if it is about one, the block.
    pub fn block(&self) -> (FeedId, Option<u64>) {
        match self {
            Arrival::Dat { feed, index, .. } => (*feed, Some(*index)),
            Arrival::Core { feed, purpose, .. } => (*feed, purpose.block()),
        }
    }
}

impl Purpose {
    pub fn block(self) -> Option<u64> {
        match self {
            Purpose::Block(index) | Purpose::Probe(Probe::Block(index)) => Some(index),
            Purpose::Growth | Purpose::Probe(Probe::Growth) => None,
        }
    }
}

impl Peer {
    pub fn new(now: Instant, direction: Direction, remote: Endpoint, session: Session) -> Peer {
        let mut life = Life::new(now, direction, remote);
        life.keepalive_after = session.keepalive_after();
        Peer {
            life,
            session,
            topics: Vec::new(),
            staged: Vec::new(),
            outbox: VecDeque::new(),
            heads: BTreeSet::new(),
            keepalive: false,
            doubt: None,
            upload: None,
            arrival: None,
            held: false,
            joined: Vec::new(),
            handshake: None,
            remote: [0; 32],
            kin: Kin::Unknown,
            said_versions: None,
            said_port: None,
            said_own: Vec::new(),
            listens: None,
            needy: false,
            spare: false,
            seldom: false,
            said_joined: false,
            seated: false,
            asked_for: None,
            answered: None,
            farewell: None,
            told: None,
            dialed: None,
            partial: 0,
            twin_until: None,
            paused_until: None,
            useful: false,
            refusals: Refusals::default(),
            reorgs: Few::new(),
        }
    }

    /// Puts a small message behind the others. What is said of a length takes the place of what was
    /// to be said of it before.
    pub fn queue(&mut self, feed: FeedId, message: OwnedMessage) {
        if matches!(message, OwnedMessage::Head(_)) && !self.heads.insert(feed) {
            let head = |line: &Line| matches!(line, Line::Sync(OwnedMessage::Head(_)));
            let waits = self.outbox.iter_mut().find(|(of, line)| *of == feed && head(line));
            if let Some((_, line)) = waits {
                *line = Line::Sync(message);
            }
            return;
        }
        self.outbox.push_back((feed, Line::Sync(message)));
    }

    /// The next small message.
    pub fn next_line(&mut self) -> Option<(FeedId, Line)> {
        let (feed, line) = self.outbox.pop_front()?;
        if matches!(line, Line::Sync(OwnedMessage::Head(_))) {
            self.heads.remove(&feed);
        }
        Some((feed, line))
    }

    /// What is to be said about a feed never will be.
    pub fn unqueue(&mut self, feed: FeedId) {
        self.heads.remove(&feed);
        self.outbox.retain(|(of, _)| *of != feed);
    }

    /// So much waits for its socket that it is not read: what it says would lead to more.
    pub fn is_full(&self) -> bool {
        self.outbox.len() >= limits::OUTBOX_LINES || self.staged.len() >= limits::STAGED_BYTES
    }

    /// Whether it shares nothing with us that we know of.
    pub fn is_stranger(&self) -> bool {
        match &self.session {
            Session::Hyper(_) => self.joined.is_empty(),
            Session::Dat(_) | Session::Unknown | Session::Ping => self.handshake.is_none(),
        }
    }

    pub fn is_about(&self, topic: TopicId) -> bool {
        self.place(topic).is_ok()
    }

    fn place(&self, topic: TopicId) -> Result<usize, usize> {
        self.topics.binary_search_by_key(&topic, |(topic, _)| *topic)
    }

    /// It is about one thing more, perhaps. `dialed`: it is used for it because we dialled it for that.
    /// True: it was not about it before.
    pub fn add_topic(&mut self, topic: TopicId, dialed: bool) -> bool {
        let place = self.place(topic);
        match place {
            Ok(at) => self.topics[at].1 |= dialed,
            Err(at) => self.topics.insert(at, (topic, dialed)),
        }
        place.is_err()
    }

    /// It is not about that any more. Whether it was dialled for it; `None`: it was not about it.
    pub fn remove_topic(&mut self, topic: TopicId) -> Option<bool> {
        let at = self.place(topic).ok()?;
        Some(self.topics.remove(at).1)
    }

    /// What it is about.
    pub fn topics(&self) -> impl Iterator<Item = TopicId> + '_ {
        self.topics.iter().map(|(topic, _)| *topic)
    }

    /// And whether it was dialled for that.
    pub fn dialed_for(&self) -> &[(TopicId, bool)] {
        &self.topics
    }

    pub fn close(&mut self, why: Reason) {
        self.life.close(why);
    }

    /// Whether it calls itself so. Who has no name is nobody's twin.
    pub fn is(&self, id: &[u8]) -> bool {
        !id.is_empty() && self.handshake.as_ref().is_some_and(|h| h.id == id)
    }

    /// Whether it is another connection to the same peer, for the same thing.
    pub fn is_twin(&self, peer: &Peer) -> bool {
        let Some(handshake) = &peer.handshake else { return false };
        let streams = |peer: &Peer| matches!(peer.session, Session::Hyper(_));
        let same = match (streams(self), streams(peer)) {
            (true, true) => true,
            (false, false) => self.topics().eq(peer.topics()),
            _ => false,
        };
        same && self.is(&handshake.id)
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
