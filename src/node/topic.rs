//! What a connection can be about: a drive or a bare feed. A topic is named by its first feed;
//! only its own feeds are ever opened on its connections, because a connection proves the
//! knowledge of the first feed's key and of no other.

use std::path::PathBuf;

use crate::bits::RangeSet;
use crate::few::Number;
use crate::ids::FeedId;
use crate::store::FeedStore;
use crate::store::disk::Dir;
use crate::swarm::Swarm;
use crate::time::Instant;

use super::cores::Core;
use super::event::Role;
use super::jobs::{Clone, Share};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u32);

impl Number for TopicId {
    fn of(number: u32) -> TopicId {
        TopicId(number)
    }

    fn number(self) -> u32 {
        self.0
    }
}

/// A feed that is open here.
pub struct OpenFeed {
    pub store: FeedStore,
    pub topic: TopicId,
    pub role: Role,
    /// Bytes were written that are not committed; they are to be from this time on.
    pub commit_at: Option<Instant>,
    /// Blocks of ours from here on are appended, not durable, and nobody was told of them.
    pub unannounced: Option<u64>,
    /// Nothing is written to it for now: why.
    pub paused: Option<String>,
    /// … which is that the disk is full.
    pub full: bool,
    /// How often its disk failed without a commit in between, and when it did last.
    pub pauses: u32,
    pub paused_at: Instant,
    /// It is not tried again before.
    pub resume_at: Instant,
    /// The user was told that its writer signed two histories.
    pub fork_told: bool,
    /// Among those whose files may be open.
    pub awake: bool,
}

/// A drive or a bare feed.
pub struct Topic {
    pub first: FeedId,
    pub content: Option<FeedId>,
    pub discovery_key: [u8; 32],
    activity: Activity,
    /// As people write it.
    pub link: String,
    pub dir: Dir,
    /// As the user named it, for status.
    pub folder: String,
    pub what: What,
    pub started: Instant,
    /// The length at which it was last said to be complete.
    pub complete_at: Option<u64>,
    /// Where the feeds' files are, and what their names begin with: a directory and a slash, where
    /// many are kept under one lock, or nothing.
    pub stores: Dir,
    pub below: String,
    /// Addresses kept by an earlier run were read.
    pub peers_restored: bool,
    /// The user was told that it is served.
    pub ready: bool,
    /// A clone stands at this version, with so many files and bytes.
    pub shown: Option<(u64, u64, u64)>,
    /// The disk is full: its job is tried again then.
    pub full_until: Option<Instant>,
    /// Its job met what it cannot get over; SIGHUP tries again.
    pub broken: bool,
}

impl Topic {
    pub fn new(
        first: FeedId,
        (discovery_key, link): ([u8; 32], String),
        dir: Dir,
        folder: String,
        what: What,
    ) -> Topic {
        Topic {
            first,
            content: None,
            discovery_key,
            activity: Activity::Active,
            link,
            dir,
            folder,
            what,
            started: Instant::default(),
            complete_at: None,
            stores: dir,
            below: String::new(),
            peers_restored: false,
            ready: false,
            shown: None,
            full_until: None,
            broken: false,
        }
    }
}

/// Whether a topic takes part in anything.
pub enum Activity {
    Active,
    /// Paused by the user: open and listed, and nothing else. Whom it knows waits here.
    Resting(Box<Swarm>),
    /// On its way out: its job is closed first, then its stores.
    Leaving,
}

impl Topic {
    /// The only place where that changes; what it was.
    pub(super) fn set_activity(&mut self, next: Activity) -> Activity {
        let legal = matches!(
            (&self.activity, &next),
            (Activity::Active, Activity::Resting(_) | Activity::Leaving)
                | (Activity::Resting(_), Activity::Active | Activity::Leaving)
        );
        assert!(legal, "a topic cannot change so");
        std::mem::replace(&mut self.activity, next)
    }

    pub fn is_active(&self) -> bool {
        matches!(self.activity, Activity::Active)
    }

    pub fn is_resting(&self) -> bool {
        matches!(self.activity, Activity::Resting(_))
    }

    /// Whom it knows, while it rests.
    pub fn resting(&mut self) -> Option<&mut Swarm> {
        match &mut self.activity {
            Activity::Resting(swarm) => Some(swarm),
            Activity::Active | Activity::Leaving => None,
        }
    }

    pub fn is_leaving(&self) -> bool {
        matches!(self.activity, Activity::Leaving)
    }

    /// Its feeds that are open.
    pub fn feeds(&self) -> impl Iterator<Item = FeedId> + std::clone::Clone + use<> {
        [Some(self.first), self.content].into_iter().flatten()
    }

    /// The path below `stores` of a file that is kept beside the feeds.
    pub fn beside(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}{name}", self.below))
    }
}

impl What {
    /// Whether the run is meant to end by itself: being stopped then is being interrupted.
    pub fn ends(&self) -> bool {
        match self {
            What::Core(core) => core.ends(),
            What::Clone(clone) => clone.once,
            What::Keep(refill) => refill.is_some(),
            What::Share(_) => false,
        }
    }

    /// Whether what its first feed grows by is fetched, too.
    pub(super) fn follows(&self) -> bool {
        match self {
            What::Core(core) => !core.ends(),
            What::Keep(refill) => refill.is_none(),
            What::Clone(_) | What::Share(_) => true,
        }
    }
}

/// What is done with a topic beyond keeping its feeds.
pub enum What {
    /// A bare feed.
    Core(Core),
    /// A folder published by us.
    Share(Box<Share>),
    /// A folder that follows a drive.
    Clone(Box<Clone>),
    /// A drive kept whole, without a folder; or one whose gaps are filled before the run ends.
    Keep(Option<Refill>),
}

/// A run that fetches what a kept drive has lost.
pub struct Refill {
    /// Blocks of the first feed.
    pub first: RangeSet,
    /// The content blocks.
    pub content: RangeSet,
    /// What was lost of the metadata is here, and of the content.
    pub metadata_whole: bool,
    pub content_whole: bool,
}
