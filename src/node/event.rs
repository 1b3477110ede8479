//! What happened, for those who watch: the library's observers, `--json`, the printed line and
//! `--exec`. Events only tell; nothing in the engine depends on who listens, and a subscriber that
//! is slow gets a marked gap instead of costing memory.
//!
//! Knows no terminal, no socket and no clock.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use crate::limits;
use crate::link::Key;

/// What a feed is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Metadata,
    Content,
    /// A bare feed.
    Core,
}

/// Something that happened. `key` is the public key of the feed, or of the drive (its metadata
/// feed) where the event is about a drive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Served from now on; the first event of every run.
    Ready {
        link: String,
        key: Key,
        listen: Vec<SocketAddr>,
    },
    FeedOpened {
        key: Key,
        role: Role,
        /// Blocks known to exist.
        length: u64,
        /// Blocks stored here.
        have: u64,
        writable: bool,
    },
    /// The feed became longer: blocks `from..to` exist.
    Appended {
        key: Key,
        from: u64,
        to: u64,
    },
    /// A verified block is stored (not necessarily durable yet).
    BlockStored {
        key: Key,
        index: u64,
        bytes: u64,
    },
    Cleared {
        key: Key,
        start: u64,
        length: u64,
    },
    /// Everything wanted is here, durable, at this version (drives) or length (bare feeds).
    Complete {
        key: Key,
        version: u64,
        files: u64,
        bytes: u64,
        /// Since the run began, or since the last `complete`.
        elapsed_ms: u64,
    },
    /// A share has written its folder's state as this version.
    Published {
        key: Key,
        version: u64,
        files: u64,
        bytes: u64,
    },
    PeerJoined {
        peer: SocketAddr,
        /// What the peer calls itself, hexadecimal; may be empty.
        id: String,
        inbound: bool,
    },
    PeerLeft {
        peer: SocketAddr,
        reason: String,
    },
    /// A file of the drive stands in the folder (clone), or was published (share).
    FilePut {
        path: String,
        size: u64,
    },
    FileDeleted {
        path: String,
    },
    /// A file changed by the user was in the way and is kept under another name.
    FileKept {
        path: String,
        kept_as: String,
    },
    /// An entry of the drive that is not written here.
    FileRefused {
        path: String,
        why: String,
    },
    /// Something in the folder that is not published.
    Skipped {
        path: String,
        why: String,
    },
    Progress {
        key: Key,
        /// Blocks.
        done: u64,
        total: u64,
        done_bytes: u64,
        /// Bytes in all, as far as known.
        total_bytes: u64,
        bytes_per_s: u64,
        peers: u32,
    },
    /// Nothing is fetched for now (the disk is full, …).
    Paused {
        why: String,
    },
    Resumed {},
    Warning {
        text: String,
    },
    /// This subscriber was too slow: so many events are missing here.
    Gap {
        missed: u64,
    },
}

/// An event without its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    Ready,
    FeedOpened,
    Appended,
    BlockStored,
    Cleared,
    Complete,
    Published,
    PeerJoined,
    PeerLeft,
    FilePut,
    FileDeleted,
    FileKept,
    FileRefused,
    Skipped,
    Progress,
    Paused,
    Resumed,
    Warning,
    Gap,
}

impl Event {
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Ready { .. } => EventKind::Ready,
            Event::FeedOpened { .. } => EventKind::FeedOpened,
            Event::Appended { .. } => EventKind::Appended,
            Event::BlockStored { .. } => EventKind::BlockStored,
            Event::Cleared { .. } => EventKind::Cleared,
            Event::Complete { .. } => EventKind::Complete,
            Event::Published { .. } => EventKind::Published,
            Event::PeerJoined { .. } => EventKind::PeerJoined,
            Event::PeerLeft { .. } => EventKind::PeerLeft,
            Event::FilePut { .. } => EventKind::FilePut,
            Event::FileDeleted { .. } => EventKind::FileDeleted,
            Event::FileKept { .. } => EventKind::FileKept,
            Event::FileRefused { .. } => EventKind::FileRefused,
            Event::Skipped { .. } => EventKind::Skipped,
            Event::Progress { .. } => EventKind::Progress,
            Event::Paused { .. } => EventKind::Paused,
            Event::Resumed {} => EventKind::Resumed,
            Event::Warning { .. } => EventKind::Warning,
            Event::Gap { .. } => EventKind::Gap,
        }
    }

    /// The facts as variables for a program: `GANNET_EVENT=file_put`, `GANNET_PATH=a/b`, one for
    /// each field. Values are data of strangers: they are never part of a command.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) else {
            return Vec::new();
        };
        fields
            .into_iter()
            .map(|(name, value)| {
                let text = match value {
                    serde_json::Value::String(text) => text.replace('\0', ""),
                    serde_json::Value::Array(items) => items
                        .iter()
                        .map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned))
                        .collect::<Vec<_>>()
                        .join(" "),
                    other => other.to_string(),
                };
                (format!("GANNET_{}", name.to_ascii_uppercase()), text.into())
            })
            .collect()
    }

    /// The event as one line of JSON, without the line end.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Bytes on the heap, roughly: what the queue bound counts beside the event itself.
    fn weight(&self) -> usize {
        let heap = match self {
            Event::Ready { link, listen, .. } => link.len() + listen.len() * 32,
            Event::PeerJoined { id, .. } => id.len(),
            Event::PeerLeft { reason, .. } => reason.len(),
            Event::FilePut { path, .. } | Event::FileDeleted { path } => path.len(),
            Event::FileKept { path, kept_as: other }
            | Event::FileRefused { path, why: other }
            | Event::Skipped { path, why: other } => path.len() + other.len(),
            Event::Paused { why: text } | Event::Warning { text } => text.len(),
            _ => 0,
        };
        heap + size_of::<Event>()
    }
}

/// A set of event kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interest(u32);

impl Interest {
    pub const NOTHING: Interest = Interest(0);
    pub const EVERYTHING: Interest = Interest(u32::MAX);
    /// Everything but what comes once a block or once a tick.
    pub const NOTABLE: Interest = Interest::EVERYTHING
        .without(EventKind::BlockStored)
        .without(EventKind::Progress)
        .without(EventKind::Cleared)
        .without(EventKind::Appended);

    pub const fn with(self, kind: EventKind) -> Interest {
        Interest(self.0 | 1 << kind as u8)
    }

    pub const fn without(self, kind: EventKind) -> Interest {
        Interest(self.0 & !(1 << kind as u8))
    }

    pub const fn and(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    pub const fn has(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

/// Whoever embeds the library and wants to hear what happens.
pub trait Observer {
    /// The kinds to be told of. Asked once.
    fn interest(&self) -> Interest {
        Interest::EVERYTHING
    }

    /// Called from the loop between two turns: it must not block.
    fn event(&mut self, event: &Event);
}

/// A bounded queue of events for one who may be slow.
#[derive(Debug)]
pub struct Subscriber {
    interest: Interest,
    queue: VecDeque<Event>,
    bytes: usize,
    missed: u64,
}

impl Subscriber {
    pub fn new(interest: Interest) -> Subscriber {
        Subscriber { interest, queue: VecDeque::new(), bytes: 0, missed: 0 }
    }

    pub fn interest(&self) -> Interest {
        self.interest
    }

    /// Queues the event if it is wanted and there is room; else counts it as missed.
    pub fn push(&mut self, event: &Event) {
        if !self.interest.has(event.kind()) {
            return;
        }
        if let (Some(Event::Progress { key: last, .. }), Event::Progress { key, .. }) =
            (self.queue.back(), event)
            && last == key
            && let Some(back) = self.queue.back_mut()
        {
            // Only the newest figures matter.
            *back = event.clone();
            return;
        }
        let room = self.queue.len() + 2 <= limits::SUBSCRIBER_EVENTS
            && self.bytes + event.weight() + size_of::<Event>() <= limits::SUBSCRIBER_BYTES;
        if !room {
            self.missed += 1;
            return;
        }
        self.mark_gap();
        self.enqueue(event.clone());
    }

    fn mark_gap(&mut self) {
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            self.enqueue(Event::Gap { missed });
        }
    }

    fn enqueue(&mut self, event: Event) {
        self.bytes += event.weight();
        self.queue.push_back(event);
    }

    /// The oldest event not taken yet.
    pub fn next_event(&mut self) -> Option<Event> {
        if self.queue.is_empty() {
            self.mark_gap();
        }
        let event = self.queue.pop_front()?;
        self.bytes -= event.weight();
        Some(event)
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.missed == 0
    }
}

/// All who watch. The node publishes here; each subscriber is drained by its owner.
#[derive(Debug, Default)]
pub struct Subscribers {
    list: Vec<Option<Subscriber>>,
    union: Interest,
}

/// A subscriber's place in [`Subscribers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriberId(usize);

impl Subscribers {
    /// `None` when there are too many already.
    pub fn add(&mut self, interest: Interest) -> Option<SubscriberId> {
        let free = self.list.iter().position(Option::is_none).unwrap_or(self.list.len());
        if free >= limits::SUBSCRIBERS {
            return None;
        }
        if free == self.list.len() {
            self.list.push(None);
        }
        self.list[free] = Some(Subscriber::new(interest));
        self.union = self.union.and(interest);
        Some(SubscriberId(free))
    }

    pub fn remove(&mut self, id: SubscriberId) {
        if let Some(slot) = self.list.get_mut(id.0) {
            *slot = None;
        }
        self.union =
            self.list.iter().flatten().fold(Interest::NOTHING, |union, s| union.and(s.interest));
    }

    /// Whether anybody wants events of this kind; spares the cost of making them.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.union.has(kind)
    }

    pub fn publish(&mut self, event: &Event) {
        if self.wants(event.kind()) {
            self.list.iter_mut().flatten().for_each(|s| s.push(event));
        }
    }

    pub fn next_event(&mut self, id: SubscriberId) -> Option<Event> {
        self.list.get_mut(id.0)?.as_mut()?.next_event()
    }
}

/// Text of strangers for a terminal or a log: control characters escaped.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|c| match c {
            c if c.is_control() || is_bidi_control(c) => write!(f, "{}", c.escape_unicode()),
            c => f.write_char(c),
        })
    }
}

/// Characters that reorder what follows, and so could disguise a name.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
