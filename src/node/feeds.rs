//! The table of open feeds, and what happens to their blocks: answered, stored, committed, paused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::failure::{Failure, Kind};
use crate::feed::Feed;
use crate::feed::proof::Proof;
use crate::ids::FeedId;
use crate::limits;
use crate::link::Key;
use crate::store::disk::Disk;
use crate::store::{FeedStore, StoreError, Stored};
use crate::sync::{self, Input, Wanted};
use crate::time::Instant;
use crate::wire::{Data, Request};

use super::Node;
use super::event::{Event, EventKind, Role};
use super::io::Work;
use super::topic::{OpenFeed, TopicId, What};

/// The open feeds by number and by discovery key.
#[derive(Default)]
pub struct Feeds {
    open: Vec<Option<Box<OpenFeed>>>,
    by_key: BTreeMap<[u8; 32], FeedId>,
    /// The same of those that are hidden.
    hidden: BTreeMap<[u8; 32], FeedId>,
    /// Those with bytes that are not committed, by the time when that is due; of these, those whose bytes
    /// were not even written yet; and those that wait for room on the disk: nothing regular looks at the
    /// others (CHECKLIST P01).
    dirty: BTreeSet<(Instant, FeedId)>,
    unwritten: BTreeSet<FeedId>,
    paused: BTreeSet<FeedId>,
    /// Those whose files may be open, the longest at the front.
    awake: VecDeque<FeedId>,
    /// The paused feed that is looked at next.
    next_paused: u32,
    /// The block that is being answered; kept to spare an allocation for each.
    pub scratch: Vec<u8>,
}

impl sync::Feeds for Feeds {
    fn feed(&self, id: FeedId) -> Option<&Feed> {
        self.get(id).map(|open| open.store.feed())
    }
}

impl Feeds {
    pub fn add(&mut self, store: FeedStore, topic: TopicId, role: Role) -> FeedId {
        let id = FeedId(u32::try_from(self.open.len()).expect("feeds are bounded"));
        self.by_key.insert(*store.feed().discovery_key(), id);
        self.open.push(Some(Box::new(OpenFeed {
            store,
            topic,
            role,
            commit_at: None,
            unannounced: None,
            paused: None,
            full: false,
            pauses: 0,
            paused_at: Instant::default(),
            resume_at: Instant::default(),
            fork_told: false,
            awake: false,
        })));
        id
    }

    pub fn remove(&mut self, id: FeedId) -> Option<OpenFeed> {
        self.hide(id);
        self.hidden.retain(|_, of| *of != id);
        let open = *self.open.get_mut(id.0 as usize)?.take()?;
        if let Some(at) = open.commit_at {
            self.dirty.remove(&(at, id));
        }
        self.unwritten.remove(&id);
        self.paused.remove(&id);
        self.awake.retain(|other| *other != id);
        Some(open)
    }

    /// A feed is found by nobody who asks for its discovery key, until it is shown again.
    pub fn hide(&mut self, id: FeedId) {
        let Some(key) = self.discovery_key(id) else { return };
        if self.by_key.get(&key) == Some(&id) {
            self.by_key.remove(&key);
            self.hidden.insert(key, id);
        }
    }

    /// The feed of that key which is hidden.
    pub fn hidden(&self, discovery_key: &[u8; 32]) -> Option<FeedId> {
        self.hidden.get(discovery_key).copied()
    }

    pub fn show(&mut self, id: FeedId) {
        let Some(key) = self.discovery_key(id) else { return };
        self.hidden.remove(&key);
        self.by_key.insert(key, id);
    }

    pub fn find(&self, discovery_key: &[u8; 32]) -> Option<FeedId> {
        self.by_key.get(discovery_key).copied()
    }

    pub fn discovery_key(&self, id: FeedId) -> Option<[u8; 32]> {
        self.get(id).map(|open| *open.store.feed().discovery_key())
    }

    pub fn get(&self, id: FeedId) -> Option<&OpenFeed> {
        self.open.get(id.0 as usize)?.as_deref()
    }

    pub fn get_mut(&mut self, id: FeedId) -> Option<&mut OpenFeed> {
        self.open.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// Both feeds of a drive at once.
    pub fn pair(&mut self, a: FeedId, b: FeedId) -> Option<(&mut OpenFeed, &mut OpenFeed)> {
        let [a, b] = self.open.get_disjoint_mut([a.0 as usize, b.0 as usize]).ok()?;
        Some((a.as_mut()?, b.as_mut()?))
    }

    pub fn iter(&self) -> impl Iterator<Item = (FeedId, &OpenFeed)> + Clone {
        let numbered = self.open.iter().enumerate();
        numbered.filter_map(|(i, open)| Some((FeedId(i as u32), open.as_deref()?)))
    }

    pub fn ids(&self) -> Vec<FeedId> {
        self.iter().map(|(id, _)| id).collect()
    }

    pub fn any_paused(&self) -> bool {
        !self.paused.is_empty()
    }

    /// Those with bytes that are not committed.
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    pub fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// A feed took bytes that are to be committed.
    pub fn touch(&mut self, id: FeedId, now: Instant) {
        let Some(open) = self.get_mut(id) else { return };
        if open.commit_at.is_none() {
            let at = now + limits::COMMIT_EVERY;
            open.commit_at = Some(at);
            self.dirty.insert((at, id));
        }
        self.unwritten.insert(id);
    }

    /// What a feed took is committed as soon as there is time.
    pub fn hurry(&mut self, id: FeedId, now: Instant) {
        let Some(open) = self.get_mut(id) else { return };
        let Some(at) = open.commit_at.filter(|at| *at > now) else { return };
        open.commit_at = Some(now);
        self.dirty.remove(&(at, id));
        self.dirty.insert((now, id));
    }

    /// Notes that a feed's files may be open. True: they were not before.
    fn wake(&mut self, id: FeedId) -> bool {
        let rested = self.get_mut(id).is_some_and(|open| !std::mem::replace(&mut open.awake, true));
        if rested {
            self.awake.push_back(id);
        }
        rested
    }

    /// Everything of a feed is durable.
    fn clean(&mut self, id: FeedId) {
        if let Some(at) = self.get_mut(id).and_then(|open| open.commit_at.take()) {
            self.dirty.remove(&(at, id));
        }
        self.unwritten.remove(&id);
    }

    /// The next paused feeds in turn, a tick's worth of them.
    fn paused_turn(&mut self) -> Vec<FeedId> {
        let behind = self.paused.range(FeedId(self.next_paused)..);
        let all = behind.chain(self.paused.range(..FeedId(self.next_paused))).copied();
        let turn: Vec<FeedId> = all.take(limits::PAUSED_PER_TICK).collect();
        self.next_paused = turn.last().map_or(0, |last| last.0 + 1);
        turn
    }
}

/// What a request is answered with; the block itself is in `Feeds::scratch`.
pub(super) struct Answer {
    pub index: u64,
    pub proof: Proof,
}

impl Node {
    /// Proof and block for a request; the block is left in `feeds.scratch`.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        feed: FeedId,
        request: Request,
        disk: &mut dyn Disk,
    ) -> Result<Answer, StoreError> {
        self.wake(now, feed, disk);
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let (index, digest) = match request.bytes {
            0 => (request.index, request.digest),
            byte => match open.store.seek(disk, byte) {
                Ok((block, _)) => (block, 0),
                Err(StoreError::Absent) => (request.index, request.digest),
                Err(error) => return Err(error),
            },
        };
        if !request.hash && !open.store.feed().has(index) {
            return Err(StoreError::Absent);
        }
        let proof = open.store.proof(disk, index, digest, request.hash)?;
        if !request.hash {
            self.read_block(now, feed, index, disk)?;
        }
        Ok(Answer { index, proof })
    }

    /// Reads a block into `feeds.scratch`, from wherever its bytes are.
    pub(super) fn read_block(
        &mut self,
        now: Instant,
        feed: FeedId,
        index: u64,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        let open = self.feeds.get(feed).ok_or(StoreError::Absent)?;
        let (topic, role) = (open.topic, open.role);
        let mut block = std::mem::take(&mut self.feeds.scratch);
        block.clear();
        let read = match role {
            Role::Content if self.keeps_files(topic) => {
                self.read_content(now, topic, index, &mut block, disk)
            }
            _ => self
                .feeds
                .get_mut(feed)
                .ok_or(StoreError::Absent)
                .and_then(|open| open.store.read(disk, index, &mut block)),
        };
        self.feeds.scratch = block;
        read
    }

    /// A feed's files are going to be opened. Those of the feeds that were woken longest ago are closed
    /// before, so that any number of feeds needs a bounded number of descriptors, whatever happens
    /// within a turn.
    pub(super) fn wake(&mut self, now: Instant, id: FeedId, disk: &mut dyn Disk) {
        if !self.feeds.wake(id) {
            return;
        }
        for _ in 0..self.feeds.awake.len().saturating_sub(limits::FEEDS_AWAKE) {
            let Some(id) = self.feeds.awake.pop_front() else { return };
            let Some(open) = self.feeds.get_mut(id) else { continue };
            open.awake = false;
            match open.store.rest(disk) {
                Ok(()) => {}
                // It is tried again when the next one wakes.
                Err(StoreError::NotYet) => {
                    self.feeds.wake(id);
                }
                Err(error) => self.pause(now, id, &error),
            }
        }
    }

    /// Verifies a block of a peer and stores it.
    pub(super) fn store_block(
        &mut self,
        now: Instant,
        feed: FeedId,
        data: &Data<'_>,
        disk: &mut dyn Disk,
    ) -> Result<Stored, StoreError> {
        let files = self.taking(now, feed, disk)?;
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let signature = data.signature.as_ref();
        let accepted = open.store.check(disk, data.index, data.value, &data.nodes, signature)?;
        if let (Some(topic), Some(value)) = (files, data.value)
            && !self.place(now, topic, (accepted.index, accepted.offset), value, disk)?
        {
            return Err(StoreError::Absent);
        }
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let stored = open.store.accept(disk, &accepted, data.value)?;
        self.taken(now, feed, files);
        Ok(stored)
    }

    /// Before a block of a peer is checked. The topic whose files it goes into, where the feed's own
    /// does not hold it.
    pub(super) fn taking(
        &mut self,
        now: Instant,
        feed: FeedId,
        disk: &mut dyn Disk,
    ) -> Result<Option<TopicId>, StoreError> {
        self.wake(now, feed, disk);
        let open = self.feeds.get(feed).ok_or(StoreError::Absent)?;
        if let Some(why) = &open.paused {
            log::debug!("{feed:?} is paused: {why}");
            return Err(StoreError::Full);
        }
        Ok(self.files_of(feed))
    }

    /// The topic in whose files a feed's blocks lie; `None`: in its own.
    pub(super) fn files_of(&self, feed: FeedId) -> Option<TopicId> {
        let open = self.feeds.get(feed).filter(|open| open.role == Role::Content)?;
        Some(open.topic).filter(|topic| self.keeps_files(*topic))
    }

    /// A feed took a block, or what proves it longer. What lies in a folder's files is committed by the
    /// job that syncs these first.
    pub(super) fn taken(&mut self, now: Instant, feed: FeedId, files: Option<TopicId>) {
        if files.is_none() {
            self.feeds.touch(feed, now);
        }
        self.work_due = true;
    }

    /// Tells everybody about a block that was stored.
    pub(super) fn block_stored(
        &mut self,
        now: Instant,
        feed: FeedId,
        index: u64,
        bytes: usize,
        grew: Option<(u64, u64)>,
    ) {
        let Some(open) = self.feeds.get(feed) else { return };
        let (topic, role, key) = (open.topic, open.role, *open.store.feed().key());
        if let Some((from, to)) = grew {
            self.publish(&Event::Appended { key: key.into(), from, to });
        }
        self.quota_stored(feed, index, bytes as u64);
        let stored = Event::BlockStored { key: key.into(), index, bytes: bytes as u64 };
        self.tell_job(now, topic, &stored);
        if self.subscribers.wants(EventKind::BlockStored) {
            self.publish(&stored);
        }
        if role == Role::Metadata {
            self.metadata_stored(topic, index);
        }
    }

    /// Writes what is in memory of feeds that took blocks, and makes it durable when it is time: of a few
    /// feeds, those that wait longest, because each waits for the device several times.
    pub(super) fn write_back(&mut self, now: Instant, disk: &mut dyn Disk) -> Work {
        let mut work = Work::Idle;
        let unwritten: Vec<FeedId> = self.feeds.unwritten.iter().copied().collect();
        for id in unwritten {
            if self.is_resting(now, id) {
                continue;
            }
            match self.flush(now, id, disk) {
                Ok(()) => {}
                Err(StoreError::NotYet) => work = Work::Waiting,
                Err(error) => self.pause(now, id, &error),
            }
        }
        let until = if self.stopping == super::Stopping::No { now } else { Instant(u64::MAX) };
        let due = self.feeds.dirty.iter().take_while(|(at, _)| *at <= until);
        let due = due.map(|(_, id)| *id).filter(|id| !self.is_resting(now, *id));
        let due: Vec<FeedId> = due.take(limits::COMMITS_AT_ONCE + 1).collect();
        let (more, mut done) = (due.len() > limits::COMMITS_AT_ONCE, false);
        for id in due.into_iter().take(limits::COMMITS_AT_ONCE) {
            match self.commit(now, id, disk) {
                Ok(()) => done = true,
                Err(StoreError::NotYet) => work = Work::Waiting,
                Err(error) => self.pause(now, id, &error),
            }
        }
        if more && done { Work::More } else { work }
    }

    /// Whether its disk is given time to mend.
    fn is_resting(&self, now: Instant, id: FeedId) -> bool {
        let Some(open) = self.feeds.get(id) else { return false };
        let rests = now < open.resume_at || open.store.is_unsynced();
        open.paused.is_some() && rests && self.stopping == super::Stopping::No
    }

    /// Writes what is in memory of a feed.
    fn flush(&mut self, now: Instant, id: FeedId, disk: &mut dyn Disk) -> Result<(), StoreError> {
        self.wake(now, id, disk);
        let open = self.feeds.get_mut(id).ok_or(StoreError::Absent)?;
        open.store.flush(disk)?;
        let much = open.store.dirty() >= limits::COMMIT_BYTES;
        self.feeds.unwritten.remove(&id);
        if much {
            self.feeds.hurry(id, now);
        }
        Ok(())
    }

    /// Makes everything that a feed took durable.
    pub(super) fn commit(
        &mut self,
        now: Instant,
        id: FeedId,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        self.wake(now, id, disk);
        let open = self.feeds.get_mut(id).ok_or(StoreError::Absent)?;
        open.store.commit(disk, now)?;
        self.feeds.clean(id);
        let open = self.feeds.get_mut(id).ok_or(StoreError::Absent)?;
        if let Some(from) = open.unannounced.take() {
            let (key, to) = ((*open.store.feed().key()).into(), open.store.feed().length());
            self.sync.handle(now, Input::Grew { feed: id, from, to }, &self.feeds);
            self.publish(&Event::Appended { key, from, to });
        }
        Ok(())
    }

    /// A feed takes part in the exchange from now on. One that is known to be forked only serves.
    pub(super) fn exchange(&mut self, now: Instant, feed: FeedId, wanted: Wanted, follow: bool) {
        let added = Input::FeedAdded { feed, wanted, upload: true, follow };
        self.sync.handle(now, added, &self.feeds);
        if self.is_forked(feed) {
            self.sync.handle(now, Input::Forked { feed }, &self.feeds);
            if self.started_up {
                self.forked(now, feed);
            }
        }
    }

    pub(super) fn is_forked(&self, feed: FeedId) -> bool {
        self.feeds.get(feed).is_some_and(|open| open.store.feed().fork().is_some())
    }

    /// The writer signed two histories, which is proven: nothing more is fetched, what is here is
    /// served on, and no peer is to blame (CHECKLIST B07).
    pub(super) fn forked(&mut self, now: Instant, feed: FeedId) {
        self.sync.handle(now, Input::Forked { feed }, &self.feeds);
        let Some(open) = self.feeds.get_mut(feed) else { return };
        if std::mem::replace(&mut open.fork_told, true) {
            return;
        }
        let (key, length) = (Key(*open.store.feed().key()), open.store.feed().length());
        let text = format!("the writer of {key} signed two histories: it stays at length {length}");
        let ends = self.topics.get(&open.topic).is_some_and(|topic| topic.what.ends());
        self.publish(&Event::Warning { text: text.clone() });
        if ends {
            let failure = Failure::new(Kind::Damaged, text);
            self.fail(failure.hint("ask its writer for a new link"));
        }
    }

    /// Nothing more is taken for a feed until the disk has room again.
    pub(super) fn pause(&mut self, now: Instant, feed: FeedId, error: &StoreError) {
        let Some(open) = self.feeds.get_mut(feed) else { return };
        if open.paused.is_some() && now < open.resume_at {
            return;
        }
        let why = match error {
            StoreError::Full => "the disk is full".to_owned(),
            other => other.to_string(),
        };
        // Room is looked for every second; a device that fails is given more time each time.
        let wait = match error {
            StoreError::Full => limits::TICK,
            _ => {
                // A clone's job commits by itself.
                if open.store.committed() > open.paused_at {
                    open.pauses = 0;
                }
                let wait = limits::TICK * (2 << open.pauses.min(limits::PAUSE_DOUBLINGS));
                (open.pauses, open.paused_at) = (open.pauses.saturating_add(1), now);
                wait
            }
        };
        open.resume_at = now + wait;
        open.full = matches!(error, StoreError::Full);
        if open.paused.is_some() {
            return;
        }
        log::warn!("{feed:?} pauses: {why}");
        open.paused = Some(why.clone());
        self.feeds.paused.insert(feed);
        self.sync.handle(
            now,
            Input::SetWanted { feed, wanted: sync::Wanted::Nothing },
            &self.feeds,
        );
        self.publish(&Event::Paused { why });
    }

    /// Once a second: paused feeds whose disk has room again, or has had time to mend, go on.
    pub(super) fn tick_feeds(&mut self, now: Instant, disk: &mut dyn Disk) {
        for id in self.feeds.paused_turn() {
            let Some(open) = self.feeds.get(id) else { continue };
            let Some(topic) = self.topics.get(&open.topic) else { continue };
            if now < open.resume_at || open.store.is_unsynced() {
                continue;
            }
            let room = disk.space(topic.dir).unwrap_or(0);
            let enough = match (&self.quota, &topic.what) {
                (Some(quota), What::Keep(_)) => quota.room().min(limits::RESUME_SPACE_BYTES),
                _ => limits::RESUME_SPACE_BYTES,
            };
            if room < enough {
                // What it took before may fit by now.
                self.work_due |= open.commit_at.is_some();
                continue;
            }
            let Some(open) = self.feeds.get_mut(id) else { continue };
            (open.paused, open.full) = (None, false);
            if open.role == Role::Metadata && open.store.feed().has(0) && topic.content.is_none() {
                // Opening the content is what the disk failed at, perhaps.
                self.index_due.push_back(open.topic);
            }
            self.feeds.paused.remove(&id);
            let wanted = self.wanted_of(id);
            self.sync.handle(now, Input::SetWanted { feed: id, wanted }, &self.feeds);
            self.publish(&Event::Resumed {});
            self.work_due = true;
        }
    }

    /// When a commit is due next. That of a paused feed is tried at ticks: it would be due again as
    /// soon as it has failed.
    pub(super) fn commit_deadline(&self) -> Option<Instant> {
        let paused = |id| self.feeds.get(id).is_some_and(|open| open.paused.is_some());
        self.feeds.dirty.iter().find(|(_, id)| !paused(*id)).map(|(at, _)| *at)
    }
}
