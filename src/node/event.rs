//! What happened, for those who watch. Everybody who does is an [`Observer`]: the job that keeps a
//! clone's folder, `--exec`, what an embedding program registers ([`Subscribers::observe`]), and the
//! bounded queue of a [`Subscriber`], for `--json`, the printed line and whoever may be slow: it gets
//! a marked gap instead of costing memory or the loop's time.
//!
//! Knows no terminal, no socket and no clock.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use crate::limits;
use crate::link::Key;
use crate::text::{Count, Plain, Size, Span};

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
    /// It rests (`"paused"`), goes on (`"resumed"`), or is closed and kept no longer (`"removed"`).
    Topic {
        link: String,
        folder: String,
        state: &'static str,
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
    Topic,
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
            Event::Topic { .. } => EventKind::Topic,
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
            Event::Topic { link, folder, .. } => link.len() + folder.len(),
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

/// Whoever wants to hear what happens.
pub trait Observer {
    /// The kinds to be told of. Asked once.
    fn interest(&self) -> Interest {
        Interest::EVERYTHING
    }

    /// Called from within the loop, in the order of events: it must not block, and be short. Who
    /// cannot promise that takes a [`Subscriber`]'s queue and drains it when there is time.
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

impl Observer for Subscriber {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn event(&mut self, event: &Event) {
        self.push(event);
    }
}

/// All who watch. The node publishes here; each subscriber is drained by its owner.
#[derive(Default)]
pub struct Subscribers {
    list: Vec<Option<Subscriber>>,
    observers: Vec<(Interest, Box<dyn Observer>)>,
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
        let observers = self.observers.iter().map(|(interest, _)| *interest);
        let all = self.list.iter().flatten().map(|s| s.interest).chain(observers);
        self.union = all.fold(Interest::NOTHING, Interest::and);
    }

    /// Tells `observer` of everything from now on, for as long as the node lives. Register before the
    /// feeds are opened to hear of that too. `false`: there are too many already.
    pub fn observe(&mut self, observer: Box<dyn Observer>) -> bool {
        if self.observers.len() >= limits::SUBSCRIBERS {
            return false;
        }
        let interest = observer.interest();
        self.union = self.union.and(interest);
        self.observers.push((interest, observer));
        true
    }

    /// Whether anybody wants events of this kind; spares the cost of making them.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.union.has(kind)
    }

    pub fn publish(&mut self, event: &Event) {
        let kind = event.kind();
        if !self.wants(kind) {
            return;
        }
        self.list.iter_mut().flatten().for_each(|s| s.push(event));
        for (interest, observer) in &mut self.observers {
            if interest.has(kind) {
                observer.event(event);
            }
        }
    }

    pub fn next_event(&mut self, id: SubscriberId) -> Option<Event> {
        self.list.get_mut(id.0)?.as_mut()?.next_event()
    }
}

/// One line for people. Paths and what peers say are escaped, so that no name can move the cursor.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Ready { link, listen, .. } => {
                write!(f, "{link}")?;
                let mut between = " on ";
                for at in listen {
                    write!(f, "{between}{at}")?;
                    between = ", ";
                }
                Ok(())
            }
            Event::Topic { link, folder, state } => {
                write!(f, "{state}: {link} in {}", Plain(folder))
            }
            Event::FeedOpened { key, role, length, have, writable } => write!(
                f,
                "opened {role} feed {}: {have} of {length} blocks{}",
                key.short(),
                if *writable { ", ours" } else { "" }
            ),
            Event::Appended { key, from, to } => {
                write!(f, "feed {} has {} more blocks: {to}", key.short(), to.saturating_sub(*from))
            }
            Event::BlockStored { key, index, bytes } => {
                write!(f, "feed {} block {index} stored, {}", key.short(), Size(*bytes))
            }
            Event::Cleared { key, start, length } => {
                write!(f, "feed {} dropped blocks {start}..{}", key.short(), start + length)
            }
            Event::Complete { version, files, bytes, elapsed_ms, .. } => {
                write!(f, "complete: version {version}, ")?;
                if *files > 0 {
                    write!(f, "{} and ", Count(*files, "file"))?;
                }
                write!(f, "{} in {}", Size(*bytes), Span(elapsed_ms.div_ceil(1000)))
            }
            Event::Published { version, files, bytes, .. } => {
                write!(
                    f,
                    "published version {version}: {}, {}",
                    Count(*files, "file"),
                    Size(*bytes)
                )
            }
            Event::PeerJoined { peer, inbound, .. } => {
                write!(f, "peer {peer} {}", if *inbound { "came" } else { "reached" })
            }
            Event::PeerLeft { peer, reason } => write!(f, "peer {peer} left: {}", Plain(reason)),
            Event::FilePut { path, size } => write!(f, "put {}, {}", Plain(path), Size(*size)),
            Event::FileDeleted { path } => write!(f, "deleted {}", Plain(path)),
            Event::FileKept { path, kept_as } => {
                write!(f, "kept your changes to {} as {}", Plain(path), Plain(kept_as))
            }
            Event::FileRefused { path, why } => {
                write!(f, "refused {}: {}", Plain(path), Plain(why))
            }
            Event::Skipped { path, why } => write!(f, "skipped {}: {}", Plain(path), Plain(why)),
            Event::Progress { .. } => self.write_progress(f),
            Event::Paused { why } => write!(f, "paused: {}", Plain(why)),
            Event::Resumed {} => f.write_str("resumed"),
            Event::Warning { text } => write!(f, "warning: {}", Plain(text)),
            Event::Gap { missed } => write!(f, "({} not shown)", Count(*missed, "event")),
        }
    }
}

impl Event {
    /// `57 % · 12.3 MB of 21.6 MB · 4.1 MB/s · 3 s left · 2 peers`
    fn write_progress(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event::Progress { done, total, done_bytes, total_bytes, bytes_per_s, peers, .. } = self
        else {
            return Ok(());
        };
        let (part, whole) =
            if *total_bytes > 0 { (done_bytes, total_bytes) } else { (done, total) };
        if *whole > 0 {
            // Never 100 before it is.
            write!(f, "{} % · ", u128::from(*part) * 100 / u128::from(*whole).max(1))?;
        }
        match total_bytes {
            0 => write!(f, "{done} of {total} blocks, {}", Size(*done_bytes))?,
            _ => write!(f, "{} of {}", Size(*done_bytes), Size(*total_bytes))?,
        }
        if *bytes_per_s > 0 {
            write!(f, " · {}/s", Size(*bytes_per_s))?;
            let left = total_bytes.saturating_sub(*done_bytes);
            if left > 0 {
                write!(f, " · {} left", Span(left.div_ceil(*bytes_per_s)))?;
            }
        }
        write!(f, " · {}", Count(u64::from(*peers), "peer"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Metadata => "metadata",
            Role::Content => "content",
            Role::Core => "core",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &str) -> Event {
        Event::FilePut { path: path.into(), size: 1 }
    }

    fn progress(done_bytes: u64) -> Event {
        Event::Progress {
            key: Key([7; 32]),
            done: 1,
            total: 4,
            done_bytes,
            total_bytes: 4_000_000,
            bytes_per_s: 500_000,
            peers: 1,
        }
    }

    #[test]
    fn a_slow_subscriber_gets_a_marked_gap_and_costs_no_memory() {
        let mut slow = Subscriber::new(Interest::NOTABLE);
        for n in 0..10 * limits::SUBSCRIBER_EVENTS {
            slow.push(&put(&format!("{n}")));
        }
        let mut seen = 0;
        while slow.queue.len() > 1 {
            assert_eq!(slow.next_event(), Some(put(&format!("{seen}"))));
            seen += 1;
        }
        slow.push(&put("after"));
        assert_eq!(slow.next_event(), Some(put(&format!("{seen}"))));
        let missed = (10 * limits::SUBSCRIBER_EVENTS - seen - 1) as u64;
        assert_eq!(slow.next_event(), Some(Event::Gap { missed }));
        assert_eq!(slow.next_event(), Some(put("after")));
        assert_eq!((slow.next_event(), slow.bytes), (None, 0));
    }

    #[test]
    fn a_gap_at_the_end_is_told_too_and_long_paths_count() {
        let mut slow = Subscriber::new(Interest::EVERYTHING);
        let long = "x".repeat(4096);
        for _ in 0..limits::SUBSCRIBER_EVENTS {
            slow.push(&put(&long));
            assert!(slow.bytes <= limits::SUBSCRIBER_BYTES);
        }
        let mut last = None;
        while let Some(event) = slow.next_event() {
            last = Some(event);
        }
        assert!(matches!(last, Some(Event::Gap { missed }) if missed > 900));
        assert!(slow.is_empty());
    }

    #[test]
    fn only_the_newest_progress_waits() {
        let mut slow = Subscriber::new(Interest::EVERYTHING);
        slow.push(&progress(1));
        slow.push(&progress(2));
        assert_eq!(slow.next_event(), Some(progress(2)));
        assert_eq!(slow.next_event(), None);
    }

    #[test]
    fn subscribers_hear_what_they_asked_for() {
        let mut all = Subscribers::default();
        assert!(!all.wants(EventKind::FilePut));
        let one = all.add(Interest::NOTHING.with(EventKind::FilePut)).unwrap();
        let two = all.add(Interest::NOTABLE).unwrap();
        all.publish(&Event::Resumed {});
        assert_eq!(all.next_event(one), None);
        assert_eq!(all.next_event(two), Some(Event::Resumed {}));
        assert!(!all.wants(EventKind::BlockStored));
        all.remove(two);
        assert!(all.wants(EventKind::FilePut) && !all.wants(EventKind::Resumed));
        let added = (0..100).filter_map(|_| all.add(Interest::NOTHING)).count();
        assert_eq!(added, limits::SUBSCRIBERS - 1);
    }

    #[test]
    fn events_as_json_and_as_environment() {
        let ready = Event::Ready {
            link: "dat://x".into(),
            key: Key([0xab; 32]),
            listen: vec!["127.0.0.1:3282".parse().unwrap()],
        };
        let hex = "ab".repeat(32);
        assert_eq!(
            ready.json(),
            format!(
                r#"{{"event":"ready","link":"dat://x","key":"{hex}","listen":["127.0.0.1:3282"]}}"#
            )
        );
        assert_eq!(Event::Resumed {}.json(), r#"{"event":"resumed"}"#);
        let mut facts = ready.environment();
        facts.sort_unstable();
        let facts: Vec<(&str, &str)> =
            facts.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(
            facts,
            [
                ("GANNET_EVENT", "ready"),
                ("GANNET_KEY", hex.as_str()),
                ("GANNET_LINK", "dat://x"),
                ("GANNET_LISTEN", "127.0.0.1:3282"),
            ]
        );
    }

    #[test]
    fn a_line_says_what_matters_and_no_name_moves_the_cursor() {
        assert_eq!(
            progress(1_000_000).to_string(),
            "25 % · 1.0 MB of 4.0 MB · 500 kB/s · 6 s left · 1 peer"
        );
        assert_eq!(put("a\x1b[2J\nb").to_string(), "put a\\u{1b}[2J\\u{a}b, 1 B");
        let complete = Event::Complete {
            key: Key([0; 32]),
            version: 3,
            files: 1,
            bytes: 2048,
            elapsed_ms: 61_000,
        };
        assert_eq!(complete.to_string(), "complete: version 3, 1 file and 2.0 kB in 1 min 1 s");
    }
}
