//! The jobs that stand between a drive's feeds and a folder: how they are lent what they work with
//! and what follows from what they say.

use std::collections::BTreeSet;

use crate::feed::Feed;
use crate::ids::FeedId;
use crate::job::import::Import;
use crate::job::mirror::{Mirror, Options};
use crate::job::{self, Budget, Cx, Step};
use crate::limits;
use crate::link::Key;
use crate::store::disk::{Dir, Disk};
use crate::store::{FeedStore, StoreError};
use crate::sync::{Input, Wanted};
use crate::sys::WatchEvent;
use crate::time::{Instant, Wall};

use super::event::{Event, EventKind, Interest, Observer, Role};
use super::feeds::Feeds;
use super::io::{Output, Tag, Work};
use super::topic::{Topic, TopicId, What};
use super::{Node, Purpose};

/// How a clone was asked for.
#[derive(Clone, Debug, Default)]
pub struct CloneOptions {
    /// Exactly this version.
    pub version: Option<u64>,
    /// Only these paths and what is below them; empty: everything.
    pub only: Vec<String>,
    /// End when it is complete.
    pub once: bool,
}

/// A drive in figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub shown: u64,
    pub files: u64,
    pub bytes: u64,
    pub state: String,
}

/// A folder published by us.
pub struct Share {
    import: Import,
}

/// A folder that follows a drive.
pub struct Clone {
    mirror: Mirror,
    pub(super) once: bool,
    version: Option<u64>,
    /// The key of the content feed, once that is open.
    content: Option<Key>,
    /// When the event that it hears of happened.
    now: Instant,
    /// The metadata feed is whole, as far as a peer that is connected knows.
    heard: bool,
}

impl Clone {
    /// A peer has said which version is the newest, or the user has named one.
    pub(super) fn knows_its_version(&self) -> bool {
        self.heard || self.version.is_some()
    }
}

/// The folder follows what is stored of the content feed.
impl Observer for Clone {
    fn interest(&self) -> Interest {
        Interest::NOTHING.with(EventKind::BlockStored)
    }

    fn event(&mut self, event: &Event) {
        if let Event::BlockStored { key, index, .. } = event
            && Some(*key) == self.content
        {
            self.mirror.stored(self.now, *index);
        }
    }
}

/// Lends a topic's stores to one of its jobs.
fn lend<'a>(
    feeds: &'a mut Feeds,
    (dir, first, content): (Dir, FeedId, Option<FeedId>),
    disk: &'a mut dyn Disk,
    now: Instant,
    wall: Wall,
) -> Option<Cx<'a>> {
    let (metadata, content) = match content {
        Some(content) => {
            let (metadata, content) = feeds.pair(first, content)?;
            (&mut metadata.store, Some(&mut content.store))
        }
        None => (&mut feeds.get_mut(first)?.store, None),
    };
    Some(Cx { disk, dir, metadata, content, now, wall })
}

fn stores_of(topic: &Topic) -> (Dir, FeedId, Option<FeedId>) {
    (topic.dir, topic.first, topic.content)
}

impl Node {
    /// A folder of ours: what is in it becomes the drive. The metadata feed holds block 0. `stores`
    /// is its `.dat`: nothing of gannet's own is kept beside it, where it would be published.
    pub fn add_share(
        &mut self,
        now: Instant,
        dir: Dir,
        stores: Dir,
        folder: String,
        metadata: FeedStore,
        content: FeedStore,
    ) -> TopicId {
        let what = What::Share(Box::new(Share { import: Import::new(true) }));
        let id = self.add_topic(now, dir, folder, metadata, Role::Metadata, what);
        self.add_to_sync(now, id, Wanted::Nothing, true);
        let feed = self.feeds.add(content, id, Role::Content);
        if let Some(topic) = self.topics.get_mut(&id) {
            topic.content = Some(feed);
            topic.stores = stores;
        }
        self.exchange(now, feed, Wanted::Nothing, true);
        self.say_opened(feed);
        id
    }

    /// A folder that becomes and stays what the drive is. `stores` is its `.dat`.
    pub fn add_clone(
        &mut self,
        now: Instant,
        dir: Dir,
        stores: Dir,
        folder: String,
        metadata: FeedStore,
        options: CloneOptions,
    ) -> TopicId {
        let known = metadata.feed().has(0);
        let mirror = Mirror::new(Options { only: options.only, version: options.version });
        let clone = Clone {
            mirror,
            once: options.once,
            version: options.version,
            content: None,
            now,
            heard: false,
        };
        let what = What::Clone(Box::new(clone));
        let id = self.add_topic(now, dir, folder, metadata, Role::Metadata, what);
        if let Some(topic) = self.topics.get_mut(&id) {
            topic.stores = stores;
        }
        if known {
            self.index_due.push_back(id);
        }
        self.add_to_sync(now, id, Wanted::All, true);
        id
    }

    /// Whether a drive's content lives in a folder of files.
    pub(super) fn keeps_files(&self, topic: TopicId) -> bool {
        let what = self.topics.get(&topic).map(|t| &t.what);
        matches!(what, Some(What::Share(_) | What::Clone(_)))
    }

    /// Reads a content block from its file. What does not match its hash is not served: the file
    /// was changed since, which a share looks into at once.
    pub(super) fn read_content(
        &mut self,
        now: Instant,
        id: TopicId,
        index: u64,
        out: &mut Vec<u8>,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        let topic = self.topics.get_mut(&id).ok_or(StoreError::Absent)?;
        let stores = stores_of(topic);
        let files = match &mut topic.what {
            What::Share(share) => share.import.files(),
            What::Clone(clone) => clone.mirror.files(),
            What::Core(_) | What::Keep(_) => return Err(StoreError::Absent),
        };
        let (dir, first, content) = stores;
        let content = content.ok_or(StoreError::Absent)?;
        let (metadata, content) = self.feeds.pair(first, content).ok_or(StoreError::Absent)?;
        let (metadata, content) = (&mut metadata.store, &mut content.store);
        let (offset, size) = content.extent(disk, index)?;
        if files.read(disk, dir, metadata, index, offset, size, out)?
            && content.check_leaf(disk, index, out)?
        {
            return Ok(());
        }
        if let What::Share(share) = &mut topic.what {
            share.import.doubt(&mut job::Nodes { disk, metadata }, now, index)?;
            self.work_due = true;
        }
        Err(StoreError::Absent)
    }

    /// Writes a verified content block into its file. `false`: no file needs it any more.
    pub(super) fn place(
        &mut self,
        now: Instant,
        id: TopicId,
        (index, offset): (u64, u64),
        value: &[u8],
        disk: &mut dyn Disk,
    ) -> Result<bool, StoreError> {
        let topic = self.topics.get_mut(&id).ok_or(StoreError::Absent)?;
        let stores = stores_of(topic);
        let What::Clone(clone) = &mut topic.what else { return Ok(false) };
        let mut cx =
            lend(&mut self.feeds, stores, disk, now, self.wall).ok_or(StoreError::Absent)?;
        clone.mirror.place(&mut cx, index, offset, value)
    }

    /// Lets the job of a drive hear of its feeds.
    pub(super) fn tell_job(&mut self, now: Instant, topic: TopicId, event: &Event) {
        if let Some(What::Clone(clone)) = self.topics.get_mut(&topic).map(|t| &mut t.what)
            && clone.interest().has(event.kind())
        {
            clone.now = now;
            clone.event(event);
        }
    }

    /// The content feed of a clone is known.
    pub(super) fn mirror_content_opened(&mut self, topic: TopicId, key: Key) {
        if let Some(What::Clone(clone)) = self.topics.get_mut(&topic).map(|t| &mut t.what) {
            clone.content = Some(key);
        }
    }

    /// The metadata feed of a clone is whole as far as a connected peer knows.
    pub(super) fn mirror_heard(&mut self, topic: TopicId, heard: bool) {
        if let Some(What::Clone(clone)) = self.topics.get_mut(&topic).map(|t| &mut t.what) {
            clone.heard = heard;
            self.work_due = true;
        }
    }

    /// One step of every job, sharing the budget.
    pub(super) fn step_jobs(&mut self, now: Instant, budget: usize, disk: &mut dyn Disk) -> Work {
        let ids = self.folders.clone();
        let mut all = Work::Idle;
        let mut budget = Budget::new(budget);
        for id in ids {
            let work = self.step_job(now, id, &mut budget, disk);
            all = match (all, work) {
                (Work::More, _) | (_, Work::More) => Work::More,
                (Work::Waiting, _) | (_, Work::Waiting) => Work::Waiting,
                _ => Work::Idle,
            };
        }
        all
    }

    fn step_job(
        &mut self,
        now: Instant,
        id: TopicId,
        budget: &mut Budget,
        disk: &mut dyn Disk,
    ) -> Work {
        let Some(topic) = self.topics.get_mut(&id) else { return Work::Idle };
        if topic.broken || topic.full_until.is_some_and(|until| now < until) {
            return Work::Idle;
        }
        let stores = stores_of(topic);
        let Some(mut cx) = lend(&mut self.feeds, stores, disk, now, self.wall) else {
            return Work::Idle;
        };
        let step = match &mut topic.what {
            What::Share(share) => share.import.step(&mut cx, budget),
            What::Clone(clone) => clone.mirror.step(&mut cx, budget),
            What::Core(_) | What::Keep(_) => return Work::Idle,
        };
        let was_full = topic.full_until.take().is_some();
        let work = match step {
            Ok(Step::Idle) => Work::Idle,
            Ok(Step::More) => Work::More,
            Ok(Step::Waiting) | Err(StoreError::NotYet) => Work::Waiting,
            Ok(Step::Full) | Err(StoreError::Full) => {
                topic.full_until = Some(now + limits::FULL_RETRY);
                if !was_full {
                    self.publish(&Event::Paused { why: "the disk is full".to_owned() });
                }
                self.job_outputs(now, id);
                return Work::Idle;
            }
            Err(error) => {
                topic.broken = true;
                self.publish(&Event::Paused { why: error.to_string() });
                Work::Idle
            }
        };
        if was_full {
            self.publish(&Event::Resumed {});
        }
        self.job_outputs(now, id);
        self.job_settled(now, id);
        work
    }

    fn job_outputs(&mut self, now: Instant, id: TopicId) {
        while let Some(topic) = self.topics.get_mut(&id) {
            let output = match &mut topic.what {
                What::Share(share) => share.import.poll_output(),
                What::Clone(clone) => clone.mirror.poll_output(),
                What::Core(_) | What::Keep(_) => None,
            };
            let Some(output) = output else { break };
            self.job_output(now, id, output);
        }
    }

    fn job_output(&mut self, now: Instant, id: TopicId, output: job::Output) {
        let Some(topic) = self.topics.get(&id) else { return };
        let (dir, first, content) = stores_of(topic);
        match output {
            job::Output::Watch { path } => {
                let tag = self.tag(Purpose::Watch { topic: id, path: path.clone() });
                self.out.push_back(Output::Watch { tag, dir, path });
            }
            job::Output::Grew { which, from, to } => {
                let feed = match which {
                    job::Which::Metadata => Some(first),
                    job::Which::Content => content,
                };
                let Some(feed) = feed else { return };
                self.sync.handle(now, Input::Grew { feed, from, to }, &self.feeds);
                if let Some(key) = self.feeds.get(feed).map(|f| Key(*f.store.feed().key())) {
                    self.publish(&Event::Appended { key, from, to });
                }
            }
            job::Output::Cleared { start, len } => {
                let Some(feed) = content else { return };
                let cleared = Input::Cleared { feed, start, length: len };
                self.sync.handle(now, cleared, &self.feeds);
                if let Some(key) = self.feeds.get(feed).map(|f| Key(*f.store.feed().key())) {
                    self.publish(&Event::Cleared { key, start, length: len });
                }
            }
            job::Output::Wanted => {
                let Some(feed) = content else { return };
                if self.feeds.get(feed).is_some_and(|open| open.paused.is_none()) {
                    let wanted = self.wanted_of(feed);
                    self.sync.handle(now, Input::SetWanted { feed, wanted }, &self.feeds);
                }
            }
            job::Output::Put { path, size, .. } => self.publish(&Event::FilePut { path, size }),
            job::Output::Deleted { path, .. } => self.publish(&Event::FileDeleted { path }),
            job::Output::Kept { path, kept_as } => {
                self.publish(&Event::FileKept { path, kept_as });
            }
            job::Output::Refused { path, why } => self.publish(&Event::FileRefused { path, why }),
            job::Output::Skipped { path, why } => self.publish(&Event::Skipped { path, why }),
            job::Output::Complete { version, files, bytes } => {
                self.drive_complete(now, id, (version, files, bytes));
            }
        }
    }

    /// A share has published its folder, or a clone stands at a version.
    fn drive_complete(&mut self, now: Instant, id: TopicId, figures: (u64, u64, u64)) {
        let Some(topic) = self.topics.get_mut(&id) else { return };
        let (version, files, bytes) = figures;
        let Some(open) = self.feeds.get(topic.first) else { return };
        let key = Key(*open.store.feed().key());
        match &topic.what {
            What::Share(_) => self.publish(&Event::Published { key, version, files, bytes }),
            What::Clone(_) => {
                topic.shown = Some(figures);
                self.say_clone_complete(now, id);
            }
            What::Core(_) | What::Keep(_) => {}
        }
    }

    /// A clone is complete once its folder is what a connected peer says is the newest.
    fn say_clone_complete(&mut self, now: Instant, id: TopicId) {
        let Some(topic) = self.topics.get_mut(&id) else { return };
        let What::Clone(clone) = &topic.what else { return };
        let Some((version, files, bytes)) = topic.shown else { return };
        let Some(open) = self.feeds.get(topic.first) else { return };
        let newest = job::format_of(&open.store).version(open.store.feed().length());
        let target = clone.version.unwrap_or(newest);
        let there = version >= target && (clone.heard || clone.version.is_some());
        if !there || topic.complete_at == Some(version) {
            return;
        }
        let once = clone.once;
        topic.complete_at = Some(version);
        let key = Key(*open.store.feed().key());
        let elapsed_ms = now.since(topic.started).as_millis() as u64;
        self.publish(&Event::Complete { key, version, files, bytes, elapsed_ms });
        if once {
            self.stop(now, 0);
        }
    }

    /// A clone that has nothing to do may have become complete by hearing so.
    fn job_settled(&mut self, now: Instant, id: TopicId) {
        if let Some(What::Clone(clone)) = self.topics.get(&id).map(|t| &t.what)
            && clone.mirror.is_settled()
        {
            let applied = clone.mirror.applied();
            let figures = clone.mirror.figures();
            if let Some(topic) = self.topics.get_mut(&id)
                && applied > 0
            {
                topic.shown.get_or_insert((applied, figures.files, figures.bytes));
            }
            self.say_clone_complete(now, id);
        }
    }

    /// SIGHUP: everything is looked at again.
    pub(super) fn rescan(&mut self, now: Instant) {
        for topic in self.topics.values_mut() {
            topic.broken = false;
            if let What::Share(share) = &mut topic.what {
                share.import.overflow(now);
            }
        }
        self.work_due = true;
    }

    pub(super) fn watching(&mut self, tag: Tag, watch: Result<u32, std::io::Error>) {
        let Some(Purpose::Watch { topic, path }) = self.tags.remove(&tag) else { return };
        let Some(What::Share(share)) = self.topics.get_mut(&topic).map(|t| &mut t.what) else {
            // It was removed meanwhile.
            self.out.extend(watch.ok().map(|watch| Output::Unwatch { watch }));
            return;
        };
        share.import.watched(&path, watch.is_ok());
        match watch {
            Ok(watch) => {
                self.watches.insert(watch, Box::new((topic, path)));
            }
            Err(error) => log::warn!("{} is not watched: {error}", path.display()),
        }
        self.work_due = true;
    }

    pub(super) fn watch_event(&mut self, now: Instant, event: WatchEvent) {
        self.work_due = true;
        match event {
            WatchEvent::Overflow => self.rescan(now),
            WatchEvent::Lost { watch } => {
                let Some((topic, path)) = self.watches.remove(&watch).map(|watch| *watch) else {
                    return;
                };
                self.with_import(topic, |import| import.lost(now, &path));
            }
            WatchEvent::Changed { watch, name, what } => {
                let Some((topic, dir)) = self.watches.get(&watch).map(|watch| &**watch) else {
                    return;
                };
                let (topic, path) = (*topic, dir.join(&name));
                self.with_import(topic, |import| import.changed(now, &path, what));
            }
        }
    }

    fn with_import(&mut self, topic: TopicId, call: impl FnOnce(&mut Import)) {
        if let Some(What::Share(share)) = self.topics.get_mut(&topic).map(|t| &mut t.what) {
            call(&mut share.import);
        }
    }

    /// Once a second: what is fetched or imported tells how far it is.
    pub(super) fn tick_drives(&mut self) {
        let moving = self.sync.moving();
        let moving = moving.into_iter().filter_map(|feed| self.feeds.get(feed)).map(|o| o.topic);
        let busy: BTreeSet<TopicId> = moving.chain(self.folders.iter().copied()).collect();
        for topic in busy {
            self.progress(topic);
        }
    }

    fn progress(&mut self, id: TopicId) {
        let Some(topic) = self.topics.get(&id) else { return };
        let content = match &topic.what {
            What::Core(_) => Some(topic.first),
            What::Clone(_) | What::Keep(_) => topic.content,
            What::Share(share) if share.import.is_settled() => None,
            What::Share(_) => return self.import_progress(id),
        };
        let Some(feed) = content else { return };
        let Some(status) = self.sync.feed_status(feed, &self.feeds) else { return };
        let Some(open) = self.feeds.get(feed) else { return };
        let moving = status.in_flight > 0 || status.arriving > 0;
        if status.missing == 0 || status.peers == 0 || !moving {
            return;
        }
        let done = status.wanted.saturating_sub(status.missing);
        let bytes = open.store.feed().byte_length();
        let share = |part: u64| match open.store.feed().length() {
            0 => 0,
            length => (u128::from(bytes) * u128::from(part) / u128::from(length)) as u64,
        };
        let rate =
            self.peers.keys().filter_map(|conn| self.sync.peer_status(self.last_tick, *conn));
        let event = Event::Progress {
            key: Key(*open.store.feed().key()),
            done,
            total: status.wanted,
            done_bytes: share(done),
            total_bytes: share(status.wanted),
            bytes_per_s: rate.map(|peer| peer.down_per_second).sum(),
            peers: u32::try_from(status.peers).unwrap_or(u32::MAX),
        };
        self.publish(&event);
    }

    fn import_progress(&mut self, id: TopicId) {
        let Some(topic) = self.topics.get(&id) else { return };
        let What::Share(share) = &topic.what else { return };
        let Some(open) = self.feeds.get(topic.first) else { return };
        let figures = share.import.figures();
        let event = Event::Progress {
            key: Key(*open.store.feed().key()),
            done: figures.files_done,
            total: figures.files,
            done_bytes: figures.bytes_done,
            total_bytes: figures.bytes,
            bytes_per_s: 0,
            peers: 0,
        };
        self.publish(&event);
    }

    /// While a job runs, its progress is told once a second.
    pub(super) fn drives_need_tick(&self) -> bool {
        self.folders.iter().filter_map(|id| self.topics.get(id)).any(|topic| match &topic.what {
            What::Share(share) => !share.import.is_settled(),
            What::Clone(_) | What::Core(_) | What::Keep(_) => false,
        })
    }

    /// When a job is due next.
    pub(super) fn jobs_next(&self) -> Option<Instant> {
        let due = self.folders.iter().filter_map(|id| self.topics.get(id)).filter_map(|topic| {
            let job = match &topic.what {
                What::Share(share) => share.import.next_deadline(),
                What::Clone(clone) => clone.mirror.next_deadline(),
                What::Core(_) | What::Keep(_) => None,
            };
            if topic.broken { None } else { topic.full_until.or(job) }
        });
        due.min()
    }

    pub(super) fn drive_figures(&self, topic: &Topic) -> Figures {
        let peers = self.peers.values().any(|p| p.is_about(topic_of(self, topic)));
        let (shown, figures, settled, doing) = match &topic.what {
            What::Share(share) => {
                let version = self.version_of(topic);
                let import = &share.import;
                (version, import.figures(), import.is_settled(), "importing")
            }
            What::Clone(clone) => {
                let mirror = &clone.mirror;
                (mirror.applied(), mirror.figures(), mirror.is_settled(), "fetching")
            }
            What::Core(_) | What::Keep(_) => {
                let lacks =
                    |feed| self.sync.feed_status(feed, &self.feeds).is_some_and(|s| s.missing > 0);
                let settled = ![Some(topic.first), topic.content].into_iter().flatten().any(lacks);
                (0, job::Figures::default(), settled, "fetching")
            }
        };
        let feeds = [Some(topic.first), topic.content].into_iter().flatten();
        let open = feeds.filter_map(|feed| self.feeds.get(feed));
        let paused = open.clone().find_map(|open| open.paused.as_ref());
        let bounded = self.quota.is_some()
            && matches!(topic.what, What::Keep(_))
            && open.clone().any(|open| open.store.dropped().is_some());
        let kept;
        let state = if topic.is_resting() {
            "paused"
        } else if topic.is_leaving() {
            "being closed"
        } else if let Some(why) = paused {
            kept = format!("paused: {why}");
            &kept
        } else if topic.full_until.is_some() {
            "paused: the disk is full"
        } else if !settled && !peers && !matches!(topic.what, What::Share(_)) {
            "waiting for peers"
        } else if !settled && self.nobody_has_the_rest(topic) {
            // Its owner changed or removed the file since, and nobody else kept the old one.
            "waiting: no connected peer has the rest"
        } else if !settled {
            doing
        } else if matches!(topic.what, What::Clone(_)) && !peers {
            "waiting for peers"
        } else if bounded {
            let sum = |of: fn(&Feed) -> u64| open.clone().map(|o| of(o.store.feed())).sum::<u64>();
            let (have, length) = (sum(|feed| feed.have().count()), sum(Feed::length));
            kept = format!("{have} of {length} blocks kept (bound)");
            &kept
        } else {
            "up to date"
        };
        Figures { shown, files: figures.files, bytes: figures.bytes, state: state.to_owned() }
    }

    /// The newest version of a drive that is known.
    pub(super) fn version_of(&self, topic: &Topic) -> u64 {
        let open = self.feeds.get(topic.first);
        open.map_or(0, |open| job::format_of(&open.store).version(open.store.feed().length()))
    }

    /// Whether a clone or seed lacks content that none of its peers offers.
    fn nobody_has_the_rest(&self, topic: &Topic) -> bool {
        if let What::Share(_) = &topic.what {
            return false;
        }
        topic.content.is_some_and(|feed| self.sync.is_unoffered(feed, &self.feeds))
    }

    /// The blocks of content that a drive's folder needs.
    pub(super) fn content_wanted(topic: &Topic) -> Wanted {
        match &topic.what {
            What::Clone(clone) => Wanted::Ranges(clone.mirror.wanted().clone()),
            What::Keep(None) => Wanted::All,
            What::Keep(Some(refill)) => Wanted::Ranges(refill.content.clone()),
            What::Core(_) | What::Share(_) => Wanted::Nothing,
        }
    }

    /// Closes a job's files, before the stores are closed.
    pub(super) fn close_job(
        &mut self,
        now: Instant,
        id: TopicId,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        let Some(topic) = self.topics.get_mut(&id) else { return Ok(()) };
        let stores = stores_of(topic);
        let Some(mut cx) = lend(&mut self.feeds, stores, disk, now, self.wall) else {
            return Ok(());
        };
        match &mut topic.what {
            What::Share(share) => share.import.close(&mut cx),
            What::Clone(clone) => clone.mirror.close(&mut cx)?,
            What::Core(_) | What::Keep(_) => {}
        }
        Ok(())
    }
}

fn topic_of(node: &Node, topic: &Topic) -> TopicId {
    node.feeds.get(topic.first).map_or(TopicId(u32::MAX), |open| open.topic)
}
