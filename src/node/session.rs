//! What a connection speaks, as the rest of the node uses it: one of the dialects, told apart by an
//! accepted connection's first bytes, and for the Hypercore dialect the numbers of our requests.

use std::time::Duration;

use crate::codec::rle;
use crate::feed::Feed;
use crate::feed::hyper::{Ask, Indexed, Upgrade};
use crate::few::Few;
use crate::ids::FeedId;
use crate::limits;
use crate::sync::OwnedMessage;
use crate::wire::dat::{self, Handshake};
use crate::wire::hyper::{self, Message as Core};
use crate::wire::ping::{self, PING_BYTES};
use crate::wire::{Bits, Have, Message, Request, host};

pub enum Session {
    /// Accepted, and what came does not tell the dialect yet.
    Unknown,
    /// Accepted, and asks only whether we are there.
    Ping,
    Dat(Box<dat::Session>),
    Hyper(Box<Hyper>),
}

/// A connection of the Hypercore dialect.
pub struct Hyper {
    pub session: hyper::Session,
    pub asked: Asked,
}

/// What we asked for, by the numbers that the answers bear. Few are open at a time, so lists will do.
#[derive(Default)]
pub struct Asked {
    last: u64,
    /// Ascending by number.
    open: Vec<(u64, FeedId, Aim)>,
    /// Asked with the number 0, which all of these have.
    probes: Few<FeedId, Probe>,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    Block(u64),
    /// What proves the core longer, or leads to another history.
    Growth,
}

/// What made us ask whether there are two histories of one fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    Block(u64),
    Growth,
}

/// What came in.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // It is looked at and gone; nobody keeps many.
pub enum What<'b> {
    Incomplete,
    /// Nothing to act on.
    Nothing,
    Ping {
        nonce: ping::Nonce,
    },
    /// Dat: the feed that an accepted connection is about.
    FirstFeed {
        discovery_key: [u8; 32],
    },
    /// Dat: the peer opened a feed.
    Feed,
    Handshake(Handshake),
    /// Hypercore: the stream stands; the peer's host key.
    Up {
        remote: [u8; 32],
    },
    /// Hypercore: the peer opened the channel between hosts.
    HostOpen,
    /// Hypercore: it does not know that channel, or closed it.
    HostClosed,
    /// Hypercore: a message on it.
    Host {
        message: &'b [u8],
    },
    /// Hypercore: the peer opened a core that we have not.
    Opened {
        discovery_key: [u8; 32],
    },
    /// Hypercore: both sides have opened the core.
    Live {
        discovery_key: [u8; 32],
    },
    /// Hypercore: the peer does not have the core, or closed it.
    Closed {
        discovery_key: [u8; 32],
    },
    Message {
        discovery_key: [u8; 32],
        message: Message<'b>,
    },
    /// Hypercore: an answer, or what claims to be one.
    Data {
        discovery_key: [u8; 32],
        data: hyper::Data<'b>,
    },
    /// Hypercore: there is no answer to a request of ours.
    NoData {
        discovery_key: [u8; 32],
        request: u64,
    },
}

pub struct Received<'b> {
    pub consumed: usize,
    pub need: usize,
    pub what: What<'b>,
}

/// The peer broke its dialect's rules.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{0}")]
    Dat(#[from] dat::Fault),
    #[error("{0}")]
    Hyper(#[from] hyper::Fault),
    #[error("{0}")]
    Ping(#[from] host::Fault),
}

/// What cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum Unsaid {
    #[error("{0}")]
    Dat(#[from] dat::Unsendable),
    #[error("{0}")]
    Hyper(#[from] hyper::Unsendable),
    #[error("nothing is known of the peer yet")]
    Unknown,
}

impl Session {
    pub fn dialect(&self) -> &'static str {
        match self {
            Session::Unknown => "unknown",
            Session::Ping => "ping",
            Session::Dat(_) => "dat",
            Session::Hyper(_) => "hypercore",
        }
    }

    /// Silence of ours after which the dialect wants a keep-alive.
    pub fn keepalive_after(&self) -> Duration {
        match self {
            Session::Hyper(_) => limits::STREAM_KEEPALIVE_AFTER,
            Session::Unknown | Session::Ping | Session::Dat(_) => limits::KEEPALIVE_AFTER,
        }
    }

    /// Whether both sides have opened a feed.
    pub fn is_open(&self, discovery_key: &[u8; 32]) -> bool {
        match self {
            Session::Unknown | Session::Ping => false,
            Session::Dat(session) => session.is_open(discovery_key),
            Session::Hyper(hyper) => hyper.session.is_open(discovery_key),
        }
    }

    /// What stands at the front of what came in.
    pub fn receive<'b>(&mut self, buf: &'b mut [u8]) -> Result<Received<'b>, Fault> {
        match self {
            Session::Unknown => Ok(Received { consumed: 0, need: 0, what: What::Incomplete }),
            Session::Ping => Ok(match ping::read_ping(buf)? {
                Some(nonce) => {
                    Received { consumed: PING_BYTES, need: 0, what: What::Ping { nonce } }
                }
                None => Received { consumed: 0, need: PING_BYTES, what: What::Incomplete },
            }),
            Session::Dat(session) => {
                let dat::Received { consumed, need, what } = session.receive(buf)?;
                Ok(Received { consumed, need, what: what.into() })
            }
            Session::Hyper(hyper) => {
                let hyper::Received { consumed, need, what } = hyper.session.receive(buf)?;
                Ok(Received { consumed, need, what: what.into() })
            }
        }
    }

    /// Appends what `sync` wants said about a feed.
    pub fn say(
        &mut self,
        of: FeedId,
        feed: &Feed,
        message: &OwnedMessage,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsaid> {
        match self {
            Session::Unknown | Session::Ping => Err(Unsaid::Unknown),
            Session::Dat(session) => match message.borrow() {
                Some(message) => Ok(session.send(feed.discovery_key(), &message, out)?),
                None => Ok(()),
            },
            Session::Hyper(hyper) => hyper.say(of, feed, message, out),
        }
    }

    /// `finish` has something to say.
    pub fn wants_to_send(&self) -> bool {
        matches!(self, Session::Hyper(hyper) if hyper.session.wants_to_send())
    }

    /// Appends what the dialect has to say by itself; last in a round.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Session::Hyper(hyper) = self {
            hyper.session.poll(out);
        }
    }

    pub fn keepalive(&mut self, out: &mut Vec<u8>) {
        match self {
            Session::Unknown | Session::Ping => {}
            Session::Dat(session) => session.keepalive(out),
            Session::Hyper(hyper) => hyper.session.keepalive(out),
        }
    }
}

impl Hyper {
    fn say(
        &mut self,
        of: FeedId,
        feed: &Feed,
        message: &OwnedMessage,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsaid> {
        let message = match message {
            // A Head says it.
            OwnedMessage::Info { .. } => return Ok(()),
            OwnedMessage::Head(head) => Core::Sync(*head),
            OwnedMessage::Have { start, bits: Some(bits), .. } => {
                return self.bitfield(feed, *start, bits, out);
            }
            OwnedMessage::Have { start, length, bits: None, .. } => {
                Core::Range { drop: false, start: *start, length: *length }
            }
            OwnedMessage::Unhave { start, length } => {
                Core::Range { drop: true, start: *start, length: *length }
            }
            OwnedMessage::Want { start, length } => {
                Core::Want(hyper::Window { start: *start, length: *length, any: false })
            }
            OwnedMessage::Request(request) => {
                let index = request.index;
                let id = self.asked.number(of, Aim::Block(index));
                let block = Some(Indexed { index, nodes: feed.levels(index) });
                return self.ask(feed, id, feed.fork_id(), Ask { block, ..Ask::default() }, out);
            }
            OwnedMessage::Probe { index, length } => {
                self.asked.probes.insert(of, Probe::Block(*index));
                return self.probe(feed, *length, out);
            }
            OwnedMessage::Grow { fork, start, length } => {
                let upgrade = Some(Upgrade { start: *start, length: *length });
                let id = self.asked.number(of, Aim::Growth);
                return self.ask(feed, id, *fork, Ask { upgrade, ..Ask::default() }, out);
            }
            OwnedMessage::Cancel(request) => {
                match self.asked.cancelled(of, Aim::Block(request.index)) {
                    Some(request) => Core::Cancel { request },
                    None => return Ok(()),
                }
            }
            OwnedMessage::Refusal(request) => {
                let request = request.numbered.map_or(0, |numbered| numbered.id);
                Core::NoData { request, reason: Some(hyper::Reason::NotAvailable) }
            }
        };
        Ok(self.session.send(feed.discovery_key(), &message, out)?)
    }

    /// Asks for what belongs to a growth that is under way.
    pub fn ask_on(
        &mut self,
        of: FeedId,
        feed: &Feed,
        fork: u64,
        ask: Ask,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsaid> {
        let id = self.asked.number(of, Aim::Growth);
        self.ask(feed, id, fork, ask, out)
    }

    /// Asks whether the peer's tree contradicts ours, because what proves its growth does not fit.
    pub fn probe_growth(
        &mut self,
        of: FeedId,
        feed: &Feed,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsaid> {
        self.asked.probes.insert(of, Probe::Growth);
        self.probe(feed, feed.length(), out)
    }

    fn probe(&mut self, feed: &Feed, length: u64, out: &mut Vec<u8>) -> Result<(), Unsaid> {
        let upgrade = Some(Upgrade { start: 0, length });
        self.ask(feed, 0, feed.fork_id(), Ask { upgrade, ..Ask::default() }, out)
    }

    fn ask(
        &mut self,
        feed: &Feed,
        id: u64,
        fork: u64,
        ask: Ask,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsaid> {
        let manifest = ask.upgrade.is_some() && !feed.knows_authority();
        let request = hyper::Request { id, fork, ask, manifest, priority: 0 };
        Ok(self.session.send(feed.discovery_key(), &Core::Request(request), out)?)
    }

    /// What is held in a window: as ranges where these are few.
    fn bitfield(
        &mut self,
        feed: &Feed,
        start: u64,
        bits: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unsaid> {
        let bytes = decoded(bits);
        // (The window may end behind what is durable.)
        let end = (start + bytes.len() as u64 * 8).min(feed.shown_length());
        let front = feed.have().ranges(start, end).take(limits::HYPER_FEW_RANGES + 1);
        let ranges: Vec<(u64, u64)> = front.collect();
        if ranges.len() <= limits::HYPER_FEW_RANGES {
            for (start, length) in ranges {
                let range = Core::Range { drop: false, start, length };
                self.session.send(feed.discovery_key(), &range, out)?;
            }
            return Ok(());
        }
        let word = |four: &[u8]| {
            let mut word = [0; 4];
            word.iter_mut().zip(four).for_each(|(to, from)| *to = from.reverse_bits());
            word
        };
        let words: Vec<[u8; 4]> = bytes.chunks(4).map(word).collect();
        let bitfield = Core::Bitfield { start, words: &words };
        Ok(self.session.send(feed.discovery_key(), &bitfield, out)?)
    }
}

/// The bytes that runs of our own stand for.
fn decoded(runs: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for run in rle::runs(runs).flatten() {
        match run.kind {
            rle::Kind::Fill(value) => {
                bytes.resize(bytes.len() + (run.len / 8) as usize, if value { 0xff } else { 0 });
            }
            rle::Kind::Literal(literal) => bytes.extend_from_slice(literal),
        }
    }
    bytes
}

impl Asked {
    /// The number of a new request. Old ones that were never answered are forgotten at last.
    fn number(&mut self, of: FeedId, aim: Aim) -> u64 {
        self.cancelled(of, aim);
        self.last += 1;
        self.open.push((self.last, of, aim));
        if self.open.len() > limits::HYPER_ASKED {
            self.open.remove(0);
        }
        self.last
    }

    /// What an answer is to, which is answered by it.
    pub fn take(&mut self, id: u64) -> Option<(FeedId, Aim)> {
        let at = self.open.binary_search_by_key(&id, |(id, ..)| *id).ok()?;
        let (_, of, aim) = self.open.remove(at);
        Some((of, aim))
    }

    fn cancelled(&mut self, of: FeedId, aim: Aim) -> Option<u64> {
        let at = self.open.iter().rposition(|(_, feed, own)| *feed == of && *own == aim)?;
        Some(self.open.remove(at).0)
    }

    /// What an answer with the number 0 is to.
    pub fn take_probe(&mut self, of: FeedId) -> Option<Probe> {
        self.probes.remove(&of)
    }

    /// The core is not open any more.
    pub fn forget(&mut self, of: FeedId) {
        self.probes.remove(&of);
        self.open.retain(|(_, feed, _)| *feed != of);
    }
}

impl<'b> From<dat::What<'b>> for What<'b> {
    fn from(what: dat::What<'b>) -> What<'b> {
        match what {
            dat::What::Incomplete => What::Incomplete,
            dat::What::KeepAlive | dat::What::Ignored => What::Nothing,
            dat::What::FirstFeed { discovery_key } => What::FirstFeed { discovery_key },
            dat::What::Feed { .. } => What::Feed,
            dat::What::Handshake(handshake) => What::Handshake(handshake),
            dat::What::Message { discovery_key, message } => {
                What::Message { discovery_key, message }
            }
        }
    }
}

impl<'b> From<hyper::What<'b>> for What<'b> {
    fn from(what: hyper::What<'b>) -> What<'b> {
        match what {
            hyper::What::Incomplete => What::Incomplete,
            hyper::What::KeepAlive | hyper::What::Ignored => What::Nothing,
            hyper::What::Up { remote } => What::Up { remote },
            hyper::What::HostOpen => What::HostOpen,
            hyper::What::HostClosed => What::HostClosed,
            hyper::What::Host { message } => What::Host { message },
            hyper::What::Opened { discovery_key } => What::Opened { discovery_key },
            hyper::What::Live { discovery_key, .. } => What::Live { discovery_key },
            hyper::What::Rejected { discovery_key } | hyper::What::Closed { discovery_key } => {
                What::Closed { discovery_key }
            }
            hyper::What::Message { discovery_key, message } => core_message(discovery_key, message),
        }
    }
}

/// A message of a core in the words of all dialects.
pub fn core_message(discovery_key: [u8; 32], message: Core<'_>) -> What<'_> {
    let message = match message {
        Core::Sync(head) => Message::Head(head),
        Core::Request(request) => {
            let index = request.ask.block.map_or(0, |block| block.index);
            Message::Request(Request { index, numbered: Some(request), ..Request::default() })
        }
        Core::Cancel { request: id } => {
            let numbered = Some(hyper::Request { id, ..hyper::Request::default() });
            Message::Cancel(Request { numbered, ..Request::default() })
        }
        Core::Data(data) => return What::Data { discovery_key, data },
        Core::NoData { request, .. } => return What::NoData { discovery_key, request },
        Core::Want(window) => {
            // Narrow windows are answered with what lies around them too.
            let start = window.start - window.start % limits::WANT_ALIGN;
            let end = window.start.saturating_add(window.length);
            Message::Want { start, length: Some(end - start) }
        }
        Core::Unwant(window) => {
            Message::Unwant { start: window.start, length: Some(window.length) }
        }
        Core::Bitfield { start, words } => {
            let length = 32 * words.len() as u64;
            Message::Have(Have { start, length, bits: Some(Bits::Words(words)), ack: false })
        }
        // "Nothing", which answers a want.
        Core::Range { length: 0, .. } => {
            let bits = Some(Bits::Words(&[]));
            Message::Have(Have { start: 0, length: 0, bits, ack: false })
        }
        Core::Range { drop: true, start, length } => Message::Unhave { start, length },
        Core::Range { drop: false, start, length } => {
            Message::Have(Have { start, length, bits: None, ack: false })
        }
        // Hints of applications to each other.
        Core::Extension { .. } => return What::Nothing,
    };
    What::Message { discovery_key, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c06_a_range_of_no_blocks_offers_none() {
        let what = |message| core_message([0; 32], message);
        for drop in [false, true] {
            let nothing = Have { start: 0, length: 0, bits: Some(Bits::Words(&[])), ack: false };
            let message = Core::Range { drop, start: 5, length: 0 };
            let said =
                What::Message { discovery_key: [0; 32], message: Message::Have(nothing.clone()) };
            assert_eq!(what(message), said);
        }
    }
}
