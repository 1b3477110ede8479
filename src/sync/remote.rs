//! One feed at one peer: what the peer holds, what each side asked the other to announce, and
//! which blocks are next to be asked of it.

use std::collections::VecDeque;

use super::declined::Declined;
use super::holdings::Holdings;
use crate::bits::RangeSet;
use crate::feed::Feed;
use crate::time::Instant;
use crate::wire::Head;

#[derive(Debug)]
pub(super) struct Remote {
    /// From its Handshake.
    pub(super) live: bool,
    pub(super) ack: bool,
    pub(super) holdings: Holdings,
    /// One behind the last block it is known to hold.
    pub(super) length: u64,
    /// Its last Info; without one it uploads, and downloads as far as we know.
    pub(super) uploading: bool,
    pub(super) downloading: bool,
    pub(super) wants: Wants,
    pub(super) windows: Windows,
    pub(super) picks: Picks,
    /// Blocks that it did not answer for, or answered wrongly.
    pub(super) declined: Declined,
    pub(super) ending: Ending,
    pub(super) doubt: Doubt,
    /// Blocks of it that failed and were no strike.
    pub(super) excused: u32,
    /// It hears of everything that we hold without asking, and tells us so.
    pub(super) told: bool,
    /// The last that it said of its length.
    pub(super) head: Option<Head>,
    /// The last that we said: fork, length, and its own length as we knew it.
    pub(super) said: Option<(u64, u64, u64)>,
    /// It did not prove its length when it was asked: it is not asked again before.
    pub(super) stuck_until: Option<Instant>,
    /// How often in a row.
    pub(super) stuck: u32,
    /// It was asked to prove its length and may still answer until then.
    pub(super) hoped_until: Option<Instant>,
}

/// Whether it was asked for all nodes of a block, to see if it has another history than we (B07).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    Never,
    /// For this block it is to be.
    About(u64),
    /// It was, and that did not verify either or did not come.
    Spent,
}

/// Our Wants to it.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// Wants sent and not answered.
    pub(super) open: u32,
    /// The next range of `limits::WANT_BLOCKS` to ask for.
    pub(super) next: u64,
    /// It told what it has at least once.
    pub(super) answered: bool,
    /// A peer of 2017, which answers once for everything and must get a Have before a Request.
    pub(super) old: bool,
    /// We sent it a Have.
    pub(super) have_sent: bool,
}

/// Its Wants to us.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// Blocks that are announced to it.
    pub(super) blocks: RangeSet,
    pub(super) count: usize,
    /// It has sent a Want at all.
    pub(super) subscribed: bool,
    /// The length it was given a hint of, outside its windows.
    pub(super) hinted: u64,
}

/// Where the search for blocks to ask of it stands.
#[derive(Debug, Default)]
pub(super) struct Picks {
    /// Looked up and not asked yet. Some may have been stored or asked elsewhere since.
    pub(super) queue: VecDeque<u64>,
    /// Where the search goes on.
    pub(super) at: u64,
    /// The running pass over the feed started at block 0 and has found nothing yet.
    pub(super) barren: bool,
    /// A search has set a place to start.
    pub(super) placed: bool,
}

/// How far the end of a session that is not live has come (dat/SPEC §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Open,
    /// We said that we are done downloading.
    Said,
    /// Both sides are done since then.
    Over(Instant),
}

impl Remote {
    pub(super) fn new(live: bool, ack: bool, told: bool) -> Remote {
        Remote {
            live,
            ack,
            holdings: Holdings::default(),
            length: 0,
            uploading: true,
            downloading: true,
            wants: Wants::default(),
            windows: Windows::default(),
            picks: Picks::default(),
            declined: Declined::default(),
            ending: Ending::Open,
            doubt: Doubt::Never,
            excused: 0,
            told,
            head: None,
            said: None,
            stuck_until: None,
            stuck: 0,
            hoped_until: None,
        }
    }

    /// Whether its blocks are of the history that we hold.
    pub(super) fn shares_history(&self, feed: &Feed) -> bool {
        self.head.is_none_or(|head| head.fork == feed.fork_id())
    }

    /// Whether it announced the block that we hold: what it has of another history it is going to drop.
    pub(super) fn has_the_same(&self, block: u64, feed: &Feed) -> bool {
        self.shares_history(feed) && self.holdings.contains(block)
    }

    /// Whether it announced the block, and nothing speaks against asking it now.
    pub(super) fn offers(&self, block: u64, now: Instant) -> bool {
        self.uploading && self.holdings.contains(block) && !self.declines(block, now)
    }

    pub(super) fn declines(&self, block: u64, now: Instant) -> bool {
        self.declined.contains(block, now)
    }
}
