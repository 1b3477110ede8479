//! What goes into the synchronizer and what comes out.

use std::time::Duration;

use super::OwnedMessage;
use crate::bits::RangeSet;
use crate::feed::Feed;
use crate::ids::{ConnId, FeedId};
use crate::limits;
use crate::wire::{Message, Request};

/// A peer is a connection past its handshake.
pub type PeerId = ConnId;

/// Where the synchronizer looks a feed's state up. It never changes it.
pub trait Feeds {
    fn feed(&self, id: FeedId) -> Option<&Feed>;
}

/// Which blocks are to be fetched, apart from those that are held already.
#[derive(Clone, Debug)]
pub enum Wanted {
    Nothing,
    All,
    Ranges(RangeSet),
    /// As `All`, but for these.
    AllBut(RangeSet),
}

/// What a daemon is told once.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Our Handshake says `live`: connections stay when everything is fetched.
    pub live: bool,
    /// Requests unanswered by one peer, at the start and at most.
    pub requests: (usize, usize),
    /// The most where blocks are tiny and a round trip is worth more of them.
    pub tiny_requests: usize,
    /// Bytes unanswered by one peer; two requests are always allowed.
    pub bytes_in_flight: u64,
    /// How long a peer may deliver next to nothing before it is judged.
    pub slow_after: Duration,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            live: true,
            requests: (limits::REQUESTS_START, limits::REQUESTS_MAX),
            tiny_requests: limits::REQUESTS_TINY,
            bytes_in_flight: limits::REQUEST_BYTES_IN_FLIGHT,
            slow_after: limits::SLOW_PEER_AFTER,
        }
    }
}

#[derive(Debug)]
pub enum Input<'a> {
    /// A feed takes part from now on. `upload`: its blocks are announced and served. `follow`: once
    /// complete, growth is fetched too.
    FeedAdded {
        feed: FeedId,
        wanted: Wanted,
        upload: bool,
        follow: bool,
    },
    FeedRemoved {
        feed: FeedId,
    },
    SetWanted {
        feed: FeedId,
        wanted: Wanted,
    },
    /// Adds a range to `Wanted::Ranges` (or to `Nothing`) without saying the others again.
    WantMore {
        feed: FeedId,
        start: u64,
        length: u64,
    },
    SetMode {
        feed: FeedId,
        upload: bool,
        follow: bool,
    },
    /// Both sides have opened the feed's channel and the peer's Handshake is here. `live` and `ack`
    /// are the Handshake's. `told`: each side tells the other of everything it holds, and how long its
    /// feed is. Ignored for a feed that was not added.
    Joined {
        peer: PeerId,
        feed: FeedId,
        live: bool,
        ack: bool,
        told: bool,
    },
    Parted {
        peer: PeerId,
        feed: FeedId,
    },
    /// The connection ended. Blocks of its that are arriving stay arriving: `Stored`, `Rejected`
    /// or `Lost` must still follow.
    Gone {
        peer: PeerId,
    },
    /// Everything but Data, for which there is [`Sync::data`](super::Sync::data).
    Message {
        peer: PeerId,
        feed: FeedId,
        message: &'a Message<'a>,
    },
    /// The block's bit is set. (Should the feed have grown with it, `Grew` follows.)
    Stored {
        feed: FeedId,
        index: u64,
    },
    /// What this peer sent does not verify: a strike, and the block is wanted from others. Also
    /// for unasked blocks and for malformed answers.
    Rejected {
        feed: FeedId,
        peer: PeerId,
        index: u64,
    },
    /// As `Rejected`, but for what may be true of a second history of the writer, whose nodes the
    /// digest in our request left out: the peer is asked once more for all of them before that
    /// counts as a strike (B07).
    Doubtful {
        feed: FeedId,
        peer: PeerId,
        index: u64,
    },
    /// What came is true and cannot be stored beside what is here: it is not asked of this peer
    /// again, which is no strike.
    Unusable {
        feed: FeedId,
        peer: PeerId,
        index: u64,
    },
    /// What came belongs to another state of the feed than ours. It is asked of this peer again after a
    /// while, which is no strike.
    Overtaken {
        feed: FeedId,
        peer: PeerId,
        index: u64,
    },
    /// The writer signed two histories: nothing more is fetched of this feed. No peer is to blame.
    Forked {
        feed: FeedId,
    },
    /// The block arrived and could not be stored, through no fault of the peer.
    Lost {
        feed: FeedId,
        index: u64,
    },
    /// The length that is proven, or our own, is now `to`. Own blocks `from..to` can be served.
    Grew {
        feed: FeedId,
        from: u64,
        to: u64,
    },
    /// Blocks are not held any more.
    Cleared {
        feed: FeedId,
        start: u64,
        length: u64,
    },
    /// An upload's last byte was handed to the connection.
    Uploaded {
        peer: PeerId,
        feed: FeedId,
        index: u64,
        bytes: u64,
    },
    /// An upload cannot be answered.
    Unavailable {
        peer: PeerId,
        feed: FeedId,
        request: Request,
    },
    /// What a peer was asked to prove the feed longer with is not coming, or did not prove it. `bad`:
    /// it was wrong, which is a strike.
    GrowthFailed {
        peer: PeerId,
        feed: FeedId,
        bad: bool,
    },
    /// The writer began another history with `kept` blocks of the old one, which had `from`; `Grew`
    /// follows where the new one is longer than what was kept.
    Reorganised {
        feed: FeedId,
        from: u64,
        kept: u64,
    },
    /// This process did not run for that long beyond its time: nobody else is to blame.
    SelfStalled(Duration),
    /// The once-a-second timer, or `next_deadline` has come.
    Tick,
}

/// Why a peer is to be disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("sent data that does not verify")]
    BadData,
    #[error("sent blocks that nobody asked for")]
    Unasked,
    #[error("asks faster than it can be answered")]
    Flood,
    #[error("sent a bitfield that cannot be read")]
    BadBitfield,
    #[error("too slow while others are faster")]
    Slow,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    Send {
        peer: PeerId,
        feed: FeedId,
        message: OwnedMessage,
    },
    /// Disconnect. Nothing more comes for this peer; `Gone` is expected.
    Drop {
        peer: PeerId,
        why: Why,
    },
    /// Do not talk to it for `limits::BAN`; the `Drop` follows.
    Ban {
        peer: PeerId,
        why: Why,
    },
    /// Nothing wanted is missing. `heard`: at least one connected peer has told what it has, so
    /// this is not only yesterday's knowledge. Comes again when that becomes true and after growth.
    Complete {
        feed: FeedId,
        heard: bool,
    },
    /// Nothing is left to do with a peer whose session is not live (dat/SPEC §5.4): end it.
    Finished {
        peer: PeerId,
    },
    /// Blocks are missing and no peer is there for them. At most every `limits::NEED_PEERS_EVERY`.
    NeedPeers {
        feed: FeedId,
    },
}

/// What a Data message is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Asked for: verify and store it, then say `Stored`, `Rejected`, `Doubtful` or `Lost`.
    Expected,
    /// Asked for, given up and still useful: as `Expected`.
    Late,
    /// Asked for once; held, arriving from somebody else or not wanted by now: drop it unread.
    Unneeded,
    /// Never asked for: drop it. If it does not verify say `Rejected`.
    Unasked,
}

/// A request of a peer that is next to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    pub feed: FeedId,
    pub request: Request,
}

/// One feed in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedStatus {
    pub length: u64,
    pub have: u64,
    /// Blocks wanted, held or not, as far as the feed is known to reach.
    pub wanted: u64,
    /// Of these, blocks that are not stored.
    pub missing: u64,
    pub in_flight: u64,
    pub arriving: u64,
    pub peers: u64,
    pub complete: bool,
}

/// One peer in figures; rates in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    pub down_per_second: u64,
    pub up_per_second: u64,
    pub down_bytes: u64,
    pub up_bytes: u64,
    /// Smoothed time from request to answer; zero before the first.
    pub delay: Duration,
    pub outstanding: u64,
    /// Requests that may be outstanding now.
    pub depth: u64,
    pub queued_uploads: u64,
    pub strikes: u32,
    pub unasked: u64,
}
