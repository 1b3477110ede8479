//! Drives as the node keeps them: two feeds, found through each other, and the job that stands
//! between them and a folder.

use crate::bits::RangeSet;
use crate::drive::hyper::{Header, keys};
use crate::drive::stat::Index;
use crate::feed::hyper::Authority;
use crate::ids::FeedId;
use crate::limits;
use crate::link::Key;
use crate::store::Opening;
use crate::store::disk::{Dir, Disk};
use crate::store::{Content, FeedStore, Keys, Progress, StoreError};
use crate::swarm::Swarm;
use crate::sync::Wanted;
use crate::time::Instant;

use super::event::{Event, Role};
use super::io::Work;
use super::topic::{Refill, Topic, TopicId, What};
use super::{Node, Stopping};

/// The content feed of a drive on its way to being open.
pub(super) struct ContentOpening {
    pub topic: TopicId,
    key: [u8; 32],
    pub stage: Stage,
}

/// What opening a feed costs of a budget, beyond what it reads: some files, some pages.
const OPENING_COST: usize = 8 * limits::COST_OF_CALL;

pub(super) enum Stage {
    Begin,
    Opening(Box<Opening>),
    /// It was not closed in order: what the bits do not tell is found before anything is asked for.
    Recovering(Box<FeedStore>),
}

impl Node {
    /// Takes a feed in as the first of a topic.
    pub(super) fn add_topic(
        &mut self,
        now: Instant,
        dir: Dir,
        folder: String,
        store: FeedStore,
        role: Role,
        what: What,
    ) -> TopicId {
        let id = TopicId(self.next_topic);
        self.next_topic += 1;
        let names = (*store.feed().discovery_key(), store.feed().link().to_string());
        let first = self.feeds.add(store, id, role);
        let mut topic = Topic::new(first, names, dir, folder, what);
        topic.started = now;
        if matches!(topic.what, What::Share(_) | What::Clone(_)) {
            self.folders.push(id);
        }
        if topic.what.ends() {
            self.ending.push(id);
        }
        if matches!(&topic.what, What::Core(core) if core.shows()) {
            self.showing.push(id);
        }
        self.topics.insert(id, topic);
        self.unrestored.push(id);
        let rng = crate::rng::Rng::from_seed(self.rng.next_u64());
        self.swarms.insert(id, Swarm::new(rng));
        self.say_opened(first);
        id
    }

    pub(super) fn say_opened(&mut self, id: FeedId) {
        let Some(open) = self.feeds.get(id) else { return };
        let feed = open.store.feed();
        let event = Event::FeedOpened {
            key: Key(*feed.key()),
            role: open.role,
            length: feed.length(),
            have: feed.have().count(),
            writable: open.store.is_writable(),
        };
        self.publish(&event);
    }

    /// The first feed of a topic takes part in the exchange from now on.
    pub(super) fn add_to_sync(
        &mut self,
        now: Instant,
        topic: TopicId,
        wanted: Wanted,
        follow: bool,
    ) {
        let Some(feed) = self.topics.get(&topic).map(|t| t.first) else { return };
        self.exchange(now, feed, wanted, follow);
        if !self.peers.is_empty() {
            self.late.push_back(topic);
        }
        self.say_ready(now);
        self.work_due = true;
    }

    /// A drive (or bare feed: its first block tells) kept whole, without a folder.
    /// `below`: what the names of all its files begin with, a directory of `dir` and a slash. The caller
    /// holds the lock of `dir`.
    pub fn add_keep(
        &mut self,
        now: Instant,
        (dir, below): (Dir, &str),
        folder: String,
        store: FeedStore,
    ) -> TopicId {
        self.add_kept(now, (dir, below), folder, (store, Role::Metadata), None)
    }

    /// Fetches these blocks of a kept drive's metadata (or of a bare feed), and these of its content,
    /// then ends the run.
    pub fn add_refill(
        &mut self,
        now: Instant,
        dir: Dir,
        folder: String,
        store: (FeedStore, Role),
        (first, content): (RangeSet, RangeSet),
    ) -> TopicId {
        let (metadata_whole, content_whole) = (first.is_empty(), content.is_empty());
        let refill = Refill { first, content, metadata_whole, content_whole };
        self.add_kept(now, (dir, ""), folder, store, Some(refill))
    }

    fn add_kept(
        &mut self,
        now: Instant,
        (dir, below): (Dir, &str),
        folder: String,
        (store, role): (FeedStore, Role),
        refill: Option<Refill>,
    ) -> TopicId {
        let known = store.feed().has(0) && role == Role::Metadata;
        let follow = refill.is_none();
        let id = self.add_topic(now, dir, folder, store, role, What::Keep(refill));
        if let Some(topic) = self.topics.get_mut(&id) {
            below.clone_into(&mut topic.below);
        }
        let first = self.topics.get(&id).map(|topic| topic.first);
        let wanted = first.map_or(Wanted::Nothing, |feed| {
            self.quota_opened(feed);
            self.wanted_of(feed)
        });
        self.add_to_sync(now, id, wanted, follow);
        if known {
            self.index_due.push_back(id);
        }
        id
    }

    /// A block of a metadata feed was stored.
    pub(super) fn metadata_stored(&mut self, topic: TopicId, index: u64) {
        let unknown = self.topics.get(&topic).is_some_and(|t| t.content.is_none());
        if index == 0 && unknown {
            self.index_due.push_back(topic);
            self.work_due = true;
        }
    }

    /// Reads block 0 of drives whose content feed is not open yet, and opens that (CHECKLIST F05,
    /// F06).
    pub(super) fn find_content(
        &mut self,
        now: Instant,
        budget: usize,
        disk: &mut dyn Disk,
    ) -> Work {
        let (mut work, mut left) = (Work::Idle, budget);
        // Each opening under way has files open: the others wait for their turn.
        let mut unread = false;
        for _ in 0..self.index_due.len() {
            unread = left == 0 || self.openings.len() >= limits::OPENINGS;
            if unread {
                break;
            }
            let Some(id) = self.index_due.pop_front() else { break };
            let Some(feed) = self.topics.get(&id).map(|t| t.first) else { continue };
            self.wake(now, feed, disk);
            let Some(open) = self.feeds.get_mut(feed) else { continue };
            left = left.saturating_sub(OPENING_COST);
            let mut block = Vec::new();
            match open.store.read(disk, 0, &mut block) {
                Ok(()) => self.index_read(id, &block),
                Err(StoreError::NotYet) => {
                    self.index_due.push_back(id);
                    work = if work == Work::Idle { Work::Waiting } else { work };
                }
                Err(error) => self.pause(now, feed, &error),
            }
        }
        for _ in 0..self.openings.len() {
            if left == 0 {
                work = Work::More;
                break;
            }
            left = left.saturating_sub(OPENING_COST);
            let Some(mut opening) = self.openings.pop_front() else { break };
            match self.open_content(now, &mut opening, &mut left, disk) {
                Ok(Progress::Done) => {}
                Ok(Progress::More) => {
                    work = Work::More;
                    self.openings.push_back(opening);
                }
                Err(StoreError::NotYet) => {
                    work = if work == Work::Idle { Work::Waiting } else { work };
                    self.openings.push_back(opening);
                }
                Err(error) => {
                    self.cannot_open(now, opening.topic, &error);
                    if let Stage::Recovering(store) = opening.stage {
                        store.abandon(disk);
                    }
                }
            }
        }
        if unread && self.openings.len() < limits::OPENINGS {
            work = Work::More;
        }
        work
    }

    fn cannot_open(&mut self, now: Instant, topic: TopicId, error: &StoreError) {
        let Some(feed) = self.topics.get(&topic).map(|t| t.first) else { return };
        let text = format!("the content feed cannot be opened: {error}");
        self.publish(&Event::Warning { text });
        self.pause(now, feed, error);
    }

    fn index_read(&mut self, topic: TopicId, block: &[u8]) {
        match self.content_key(topic, block) {
            Ok(key) => {
                self.openings.push_back(ContentOpening { topic, key, stage: Stage::Begin });
                self.work_due = true;
            }
            Err(why) => self.not_a_drive(topic, &why),
        }
    }

    /// The key of a drive's content, by the first block of its metadata.
    fn content_key(&self, topic: TopicId, block: &[u8]) -> Result<[u8; 32], String> {
        let first = self.topics.get(&topic).and_then(|topic| self.feeds.get(topic.first));
        let feed = first.map(|open| open.store.feed());
        let Some((feed, core)) = feed.and_then(|feed| Some((feed, feed.as_core()?))) else {
            return Index::decode(block).map(|index| index.content).map_err(|e| e.to_string());
        };
        let header = Header::decode(block).map_err(|_| "it is a bare core".to_owned())?;
        let manifest = core.authority.as_ref().and_then(Authority::manifest);
        let key = keys::content_key(feed.key(), manifest, Some(block)).ok().flatten();
        // A bee that is no drive has no metadata in its header.
        key.filter(|_| header.metadata).ok_or_else(|| "it is a bee of other things".to_owned())
    }

    /// Block 0 says nothing of content: a bare feed is kept as it is; nothing else can be done
    /// with it.
    fn not_a_drive(&mut self, topic: TopicId, why: &str) {
        let Some(entry) = self.topics.get(&topic) else { return };
        match entry.what {
            What::Keep(_) | What::Core(_) => {
                if let Some(open) = self.feeds.get_mut(entry.first) {
                    open.role = Role::Core;
                }
            }
            _ => {
                let what = format!("this link is not a drive: {why}");
                let failure = crate::failure::Failure::new(crate::failure::Kind::Usage, what)
                    .hint("fetch a bare feed with gannet core get");
                self.fail(failure);
            }
        }
    }

    /// Opens or makes the content feed and lets everybody know, in steps.
    fn open_content(
        &mut self,
        now: Instant,
        content: &mut ContentOpening,
        budget: &mut usize,
        disk: &mut dyn Disk,
    ) -> Result<Progress, StoreError> {
        let Some(topic) = self.topics.get(&content.topic) else { return Ok(Progress::Done) };
        // A folder's content is looked for by its job, which knows the files.
        let kept = matches!(topic.what, What::Keep(_));
        let place = if kept { Content::File } else { Content::External };
        let stores = topic.stores;
        let (prefix, lock_above) = (format!("{}content.", topic.below), !topic.below.is_empty());
        let is_core = self.is_core(content.topic);
        loop {
            match &mut content.stage {
                Stage::Begin => {
                    let key = Some(content.key);
                    let mut opening = Opening::new(stores, &prefix, key, None, place);
                    if lock_above {
                        opening = opening.locked_above();
                    }
                    content.stage = Stage::Opening(Box::new(opening));
                }
                Stage::Opening(opening) => {
                    let store = match opening.step(disk) {
                        Err(StoreError::Missing) => {
                            let public = content.key;
                            let keys = match is_core {
                                true => Keys::core(public),
                                false => Keys::dat(public, None, false),
                            };
                            let mut store = FeedStore::create(disk, stores, &prefix, keys, place)?;
                            if lock_above {
                                store.lock_above();
                            }
                            store
                        }
                        other => other?,
                    };
                    content.stage = Stage::Recovering(Box::new(store));
                }
                Stage::Recovering(store) => {
                    let share = (*budget).clamp(1, limits::WORK_BUSY_COST);
                    if kept && store.recover(disk, None, share)? == Progress::More {
                        *budget -= share.min(*budget);
                        return Ok(Progress::More);
                    }
                    let stage = std::mem::replace(&mut content.stage, Stage::Begin);
                    if let Stage::Recovering(store) = stage {
                        self.content_opened(now, content.topic, *store, disk);
                    }
                    return Ok(Progress::Done);
                }
            }
        }
    }

    fn content_opened(&mut self, now: Instant, id: TopicId, store: FeedStore, disk: &mut dyn Disk) {
        let key = Key(*store.feed().key());
        let feed = self.feeds.add(store, id, Role::Content);
        self.wake(now, feed, disk);
        self.mirror_content_opened(id, key);
        let Some(topic) = self.topics.get_mut(&id) else { return };
        topic.content = Some(feed);
        self.quota_opened(feed);
        let wanted = self.wanted_of(feed);
        self.exchange(now, feed, wanted, true);
        self.say_opened(feed);
        self.open_on_all(now, id, disk);
        self.work_due = true;
    }

    /// What is wanted of a feed when nothing stands in the way.
    pub(super) fn wanted_of(&self, feed: FeedId) -> Wanted {
        let Some(open) = self.feeds.get(feed) else { return Wanted::Nothing };
        let Some(topic) = self.topics.get(&open.topic) else { return Wanted::Nothing };
        if open.store.is_writable() {
            return Wanted::Nothing;
        }
        if let (What::Keep(None), Some(_), Some(dropped)) =
            (&topic.what, &self.quota, open.store.dropped())
        {
            return Wanted::AllBut(dropped.clone());
        }
        match (&topic.what, open.role) {
            (What::Core(core), _) => Node::core_wanted(core),
            (_, Role::Content) => Node::content_wanted(topic),
            (What::Keep(Some(refill)), _) => Wanted::Ranges(refill.first.clone()),
            _ => Wanted::All,
        }
    }

    /// Nothing wanted of a feed is missing.
    pub(super) fn feed_complete(&mut self, now: Instant, feed: FeedId, heard: bool) {
        let Some(open) = self.feeds.get(feed) else { return };
        let (topic, length) = (open.topic, open.store.feed().length());
        if open.role == Role::Metadata {
            self.mirror_heard(topic, heard);
        }
        let Some(open) = self.feeds.get(feed) else { return };
        if open.role == Role::Content && self.keeps_files(topic) {
            // The mirror commits its content itself, after the files.
            return;
        }
        if !heard || open.store.is_writable() {
            return;
        }
        // It is said when that is durable, too.
        self.feeds.hurry(feed, now);
        self.completed.push((topic, feed, length));
        self.work_due = true;
    }

    /// Everything wanted of these feeds is here; said once it is durable too.
    fn say_complete(&mut self, now: Instant) {
        for (id, feed, length) in std::mem::take(&mut self.completed) {
            let Some(open) = self.feeds.get(feed) else { continue };
            if open.commit_at.is_some() {
                self.completed.push((id, feed, length));
                continue;
            }
            let (key, bytes) = (Key(*open.store.feed().key()), open.store.feed().byte_length());
            let role = open.role;
            let Some(topic) = self.topics.get_mut(&id) else { continue };
            if matches!(topic.what, What::Core(_)) && self.core_settles(now, id) {
                continue;
            }
            if self.refilled(now, id, role) {
                continue;
            }
            let Some(topic) = self.topics.get_mut(&id) else { continue };
            if matches!(topic.what, What::Core(_)) || role == Role::Core {
                if topic.complete_at != Some(length) {
                    topic.complete_at = Some(length);
                    let elapsed_ms = now.since(topic.started).as_millis() as u64;
                    let event =
                        Event::Complete { key, version: length, files: 0, bytes, elapsed_ms };
                    self.publish(&event);
                }
                self.core_complete(now, id);
            }
        }
    }

    /// A feed of a drive being refilled is whole; with the last one the run ends.
    fn refilled(&mut self, now: Instant, id: TopicId, role: Role) -> bool {
        let Some(topic) = self.topics.get_mut(&id) else { return false };
        let What::Keep(Some(refill)) = &mut topic.what else { return false };
        match role {
            Role::Metadata => refill.metadata_whole = true,
            Role::Content => refill.content_whole = true,
            // It is no drive: there is no content.
            Role::Core => (refill.metadata_whole, refill.content_whole) = (true, true),
        }
        if refill.metadata_whole && refill.content_whole && topic.complete_at.is_none() {
            let Some(open) = self.feeds.get(topic.first) else { return true };
            let (key, length) = (Key(*open.store.feed().key()), open.store.feed().length());
            let format = crate::job::format_of(&open.store);
            let version = if role == Role::Core { length } else { format.version(length) };
            let bytes = match topic.content.and_then(|content| self.feeds.get(content)) {
                Some(content) => content.store.feed().byte_length(),
                None => open.store.feed().byte_length(),
            };
            topic.complete_at = Some(length);
            let elapsed_ms = now.since(topic.started).as_millis() as u64;
            self.publish(&Event::Complete { key, version, files: 0, bytes, elapsed_ms });
            self.stop(now, 0);
        }
        true
    }

    /// Closes all stores in order, at the end of a run.
    pub fn close_all(&mut self, now: Instant, disk: &mut dyn Disk) {
        self.keep_peers(now, disk, true);
        self.keep_hosts_at_end(now, disk);
        let topics: Vec<TopicId> = self.topics.keys().collect();
        for id in topics {
            if let Err(error) = self.close_job(now, id, disk) {
                self.was_not_closed(id, &error);
            }
        }
        for id in self.feeds.ids() {
            let Some(open) = self.feeds.remove(id) else { continue };
            if let Err(error) = open.store.close(disk, now) {
                log::warn!("{id:?} was not closed in order: {error}");
            }
        }
    }

    /// Everything that is not an answer to an event: blocks that wait for the disk, commits, jobs.
    pub(super) fn background(&mut self, now: Instant, budget: usize, disk: &mut dyn Disk) -> Work {
        if let Stopping::Committing { code, until } = self.stopping {
            let work = self.write_back(now, disk);
            if work == Work::Idle && !self.feeds.any_dirty() || now >= until {
                self.stopping = Stopping::Done;
                self.out.push_back(super::io::Output::Exit { code });
                return Work::Idle;
            }
            return if work == Work::More { Work::More } else { Work::Waiting };
        }
        if !self.work_due {
            return Work::Idle;
        }
        self.work_due = false;
        let mut settled = !self.retry_clients();
        settled &= self.retry_peers(now, disk);
        let restoring = self.restore_peers(now, disk);
        settled &= restoring != Work::Waiting;
        settled &= self.restore_hosts(now, disk) != Work::Waiting;
        let late = self.open_late(now, disk);
        let leaving = self.close_leaving(now, disk);
        settled &= leaving != Work::Waiting;
        let opening = self.find_content(now, budget, disk);
        settled &= opening != Work::Waiting;
        let writing = self.write_back(now, disk);
        settled &= writing != Work::Waiting;
        let within = self.keep_within_quota(now, disk);
        settled &= within != Work::Waiting;
        self.say_complete(now);
        let jobs = self.step_jobs(now, budget, disk);
        let work = if [jobs, late, opening, restoring, writing, within].contains(&Work::More) {
            Work::More
        } else if settled && jobs == Work::Idle {
            Work::Idle
        } else {
            Work::Waiting
        };
        self.work_due |= work != Work::Idle;
        work
    }

    /// Peers whose blocks or uploads wait for the disk. `false`: some still wait.
    fn retry_peers(&mut self, now: Instant, disk: &mut dyn Disk) -> bool {
        let waiting: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.arrival.is_some() || peer.upload.is_some())
            .map(|(conn, _)| *conn)
            .collect();
        let mut settled = true;
        for conn in waiting {
            let Some(mut peer) = self.peers.remove(&conn) else { continue };
            settled &= self.retry_arrival(now, conn, &mut peer, disk);
            self.read_on(conn, &mut peer);
            if peer.upload.is_some() {
                // Trying it again is what polling does; the reactor's retry timer paces it.
                self.out.push_back(super::io::Output::Wake { conn });
                settled = false;
            }
            self.peers.insert(conn, peer);
        }
        settled
    }

    /// When something of the drives and feeds is due.
    pub(super) fn drives_next(&self) -> Option<Instant> {
        [self.commit_deadline(), self.jobs_next(), self.alarm].into_iter().flatten().min()
    }
}
