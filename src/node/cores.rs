//! Bare feeds: which blocks are fetched, when the run is over, and blocks handed out in order.

use crate::failure::{Failure, Kind};
use crate::feed::hyper::{EncryptionKey, open_block};
use crate::store::disk::{Dir, Disk};
use crate::store::{FeedStore, StoreError};
use crate::sync::{Input, Wanted};
use crate::time::Instant;

use super::Node;
use super::event::Role;
use super::topic::{Topic, TopicId, What};

/// Which blocks of a bare feed are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// `from..to`, then the run ends.
    Range { from: u64, to: u64 },
    /// Everything that exists when the first peers have spoken, then the run ends.
    All,
    /// As `All`, without the blocks before `from`.
    From { from: u64 },
    /// The last `count` that exist when the first peers have spoken, then the run ends.
    Last { count: u64 },
    /// The last `count` that exist now and all that follow.
    Tail { count: u64 },
    /// Everything, and all that follow.
    Follow,
}

#[derive(Clone, Debug)]
pub struct CoreOptions {
    pub blocks: Blocks,
    /// Hand out the blocks in order (`Node::next_shown`).
    pub show: Option<Show>,
}

/// How blocks of a bare feed are handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    /// What follows each of them.
    pub after: Vec<u8>,
    /// They are encrypted, and read with this.
    pub key: Option<EncryptionKey>,
}

/// A bare feed's run.
pub struct Core {
    blocks: Blocks,
    show: Option<Show>,
    /// The next block to hand out; `None` until a tail knows where it begins.
    cursor: Option<u64>,
    /// Everything wanted is here and durable: what is not handed out yet is the last.
    over: bool,
}

impl Core {
    fn new(options: CoreOptions) -> Core {
        let cursor = match options.blocks {
            Blocks::Range { from, .. } => Some(from),
            Blocks::All | Blocks::Follow => Some(0),
            Blocks::From { .. } | Blocks::Last { .. } | Blocks::Tail { .. } => None,
        };
        Core { blocks: options.blocks, show: options.show, cursor, over: false }
    }

    /// What is wanted, as far as it is known.
    fn wanted(&self) -> Wanted {
        let range = |from: u64, to: u64| {
            let mut ranges = crate::bits::RangeSet::new();
            ranges.insert(from, to.saturating_sub(from));
            Wanted::Ranges(ranges)
        };
        match (self.blocks, self.cursor) {
            (Blocks::Range { from, to }, _) => range(from, to),
            (Blocks::All | Blocks::Follow, _) => Wanted::All,
            // With the first block comes the proof of the feed's length.
            (_, None) => range(0, 1),
            (_, Some(from)) => range(from, crate::limits::MAX_SAFE_INTEGER),
        }
    }

    /// Takes what is counted from the end of a feed of `length` blocks as block numbers.
    fn settle(&mut self, length: u64) {
        let from = match self.blocks {
            Blocks::From { from } => from,
            Blocks::Last { count } | Blocks::Tail { count } => length.saturating_sub(count),
            Blocks::Range { .. } | Blocks::All | Blocks::Follow => return,
        };
        if self.ends() {
            self.blocks = Blocks::Range { from, to: length.max(from) };
        }
        self.cursor = Some(from);
    }

    /// Whether a block is to be handed out.
    fn in_range(&self, block: u64) -> bool {
        !matches!(self.blocks, Blocks::Range { to, .. } if block >= to)
    }

    /// Whether everything wanted is here and durable.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether its blocks are handed out.
    pub(super) fn shows(&self) -> bool {
        self.show.is_some()
    }

    /// Whether the run ends when everything wanted is here.
    pub(super) fn ends(&self) -> bool {
        !matches!(self.blocks, Blocks::Tail { .. } | Blocks::Follow)
    }
}

impl Node {
    /// A bare feed, served and (if it is not ours) fetched.
    pub fn add_core(
        &mut self,
        now: Instant,
        dir: Dir,
        folder: String,
        store: FeedStore,
        options: CoreOptions,
    ) -> TopicId {
        let writable = store.is_writable();
        let mut core = Core::new(options);
        if writable {
            core.settle(store.feed().length());
        }
        let wanted = if writable { Wanted::Nothing } else { core.wanted() };
        let follow = !core.ends();
        let id = self.add_topic(now, dir, folder, store, Role::Core, What::Core(core));
        self.add_to_sync(now, id, wanted, follow);
        id
    }

    pub(super) fn core_wanted(core: &Core) -> Wanted {
        core.wanted()
    }

    /// Whether the run waited for the feed's length, which is proven now: block 0 is here, and a
    /// peer has said what it has. What is counted from the end becomes block numbers.
    pub(super) fn core_settles(&mut self, now: Instant, topic: TopicId) -> bool {
        let Some(entry) = self.topics.get_mut(&topic) else { return false };
        let feed = entry.first;
        let What::Core(core) = &mut entry.what else { return false };
        if core.cursor.is_some() {
            return false;
        }
        let known = self.feeds.get(feed).map_or(0, |open| open.store.feed().length());
        core.settle(known.max(self.sync.reach(feed)));
        let wanted = core.wanted();
        self.sync.handle(now, Input::SetWanted { feed, wanted }, &self.feeds);
        true
    }

    /// Everything wanted of a bare feed is here and durable.
    pub(super) fn core_complete(&mut self, now: Instant, topic: TopicId) {
        let Some(entry) = self.topics.get_mut(&topic) else { return };
        let What::Core(core) = &mut entry.what else { return };
        if !core.ends() || core.cursor.is_none() {
            return;
        }
        core.over = true;
        if core.show.is_none() {
            self.stop(now, 0);
        }
    }

    /// Whether `next_shown` may have something, or has to end the run.
    pub fn can_show(&self) -> bool {
        let shown = self.showing.iter().filter_map(|topic| self.topics.get(topic));
        let may = |topic: &Topic| {
            let What::Core(core) = &topic.what else { return false };
            let has = |at| self.feeds.get(topic.first).is_some_and(|o| o.store.feed().has(at));
            core.over || core.cursor.is_some_and(|at| core.in_range(at) && has(at))
        };
        self.stopping == super::Stopping::No && shown.into_iter().any(may)
    }

    /// The next block in order and what comes behind it, for a run that shows blocks. After the
    /// last one of a run that ends, the node stops.
    pub fn next_shown(&mut self, now: Instant, disk: &mut dyn Disk) -> Option<(Vec<u8>, Vec<u8>)> {
        let topic = self.topics.get_mut(self.showing.first()?)?;
        let What::Core(core) = &mut topic.what else { return None };
        let feed = topic.first;
        let (cursor, over) = (core.cursor?, core.over);
        let open = self.feeds.get_mut(feed)?;
        let end = match core.blocks {
            Blocks::Range { to, .. } => to,
            Blocks::All | Blocks::From { .. } | Blocks::Last { .. } => open.store.feed().length(),
            Blocks::Tail { .. } | Blocks::Follow => u64::MAX,
        };
        if over && cursor >= end {
            self.stop(now, 0);
            return None;
        }
        if cursor >= end || !open.store.feed().has(cursor) {
            return None;
        }
        let mut block = Vec::new();
        match open.store.read(disk, cursor, &mut block) {
            Ok(()) => {
                let Show { after, key } = core.show.clone()?;
                if let Some(key) = key
                    && let Err(error) = open_block(open.store.feed(), key, cursor, &mut block)
                {
                    let what = format!("block {cursor} cannot be decrypted: {error}");
                    self.fail(Failure::new(Kind::Damaged, what).hint("is it the right key?"));
                    return None;
                }
                core.cursor = Some(cursor + 1);
                Some((block, after))
            }
            Err(StoreError::NotYet) => {
                self.wake_at(now + crate::limits::OUTPUT_RETRY);
                None
            }
            Err(error) => {
                log::error!("block {cursor}: {error}");
                self.stop(now, crate::failure::Kind::Damaged.code());
                None
            }
        }
    }
}
