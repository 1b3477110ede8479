//! Topics that rest, go on and go while everything else runs. What rests is listed and its stores are
//! open, and that is all: to peers it is as if it were not here. What goes is closed in order, and when
//! that is done its locks are free and nothing of it is left.

use crate::ids::ConnId;
use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::swarm::{End, Swarm};
use crate::sync::{Input, Wanted};
use crate::time::Instant;

use super::drives::Stage;
use super::event::{Event, Role};
use super::io::{Output, Work};
use super::peer::Peer;
use super::session::Session;
use super::topic::{Activity, Topic, TopicId, What};
use super::{Node, Purpose};
use crate::conn::Reason;

impl Node {
    /// The topic whose first feed has this key.
    pub fn topic_of(&self, key: &[u8; 32]) -> Option<TopicId> {
        let names = |topic: &Topic| {
            let first = self.feeds.get(topic.first);
            first.is_some_and(|open| open.store.feed().key() == key)
        };
        self.topics.iter().find(|(_, topic)| names(topic)).map(|(id, _)| id)
    }

    /// Where what has this key is kept, as its user named that.
    pub fn folder_of(&self, key: &[u8; 32]) -> Option<&str> {
        Some(self.topics.get(&self.topic_of(key)?)?.folder.as_str())
    }

    /// Until everything of a topic that was removed is closed.
    pub fn has_topic(&self, id: TopicId) -> bool {
        self.topics.contains_key(&id)
    }

    /// Nothing is fetched, served or announced for a topic from now on, and its job rests. False: it does
    /// already, or is not here.
    pub fn pause_topic(&mut self, now: Instant, id: TopicId, disk: &mut dyn Disk) -> bool {
        let Some(swarm) = self.withdraw(now, id, Reason::Paused, disk) else { return false };
        if let Some(topic) = self.topics.get_mut(&id) {
            topic.set_activity(Activity::Resting(Box::new(swarm)));
        }
        self.say_topic(id, "paused");
        self.settle(now, disk);
        true
    }

    /// A topic that rests goes on where it was. False: it does not rest.
    pub fn resume_topic(&mut self, now: Instant, id: TopicId, disk: &mut dyn Disk) -> bool {
        let Some(topic) = self.topics.get_mut(&id).filter(|topic| topic.is_resting()) else {
            return false;
        };
        let Activity::Resting(swarm) = topic.set_activity(Activity::Active) else { return false };
        let (restored, ready) = (topic.peers_restored, topic.ready);
        let (first, discovery_key) = (topic.first, topic.discovery_key);
        let has_job = matches!(topic.what, What::Share(_) | What::Clone(_));
        let feeds = topic.feeds();
        let unopened = topic.content.is_none() && !matches!(topic.what, What::Core(_));
        self.swarms.insert(id, *swarm);
        self.folders.extend(has_job.then_some(id));
        self.unrestored.extend((!restored).then_some(id));
        for feed in feeds {
            self.feeds.show(feed);
            let follow = feed != first || self.topics.get(&id).is_some_and(|t| t.what.follows());
            let paused = self.feeds.get(feed).is_some_and(|open| open.paused.is_some());
            let wanted = if paused { Wanted::Nothing } else { self.wanted_of(feed) };
            self.exchange(now, feed, wanted, follow);
        }
        let opens =
            |open: &super::topic::OpenFeed| open.role == Role::Metadata && open.store.feed().has(0);
        if unopened && self.feeds.get(first).is_some_and(opens) {
            self.index_due.push_back(id);
        }
        if !self.peers.is_empty() {
            self.late.push_back(id);
        }
        self.name_peers(now, id);
        self.call_back(now, id);
        match ready {
            true => self.announce(now, discovery_key),
            false => self.say_ready(now),
        }
        self.say_topic(id, "resumed");
        self.work_due = true;
        self.settle(now, disk);
        true
    }

    /// Begins to remove a topic; [`Node::has_topic`] tells when it is gone. Files stay as they are. False:
    /// it goes already, or is not here.
    pub fn remove_topic(&mut self, now: Instant, id: TopicId, disk: &mut dyn Disk) -> bool {
        self.withdraw(now, id, Reason::Removed, disk);
        let Some(topic) = self.topics.get_mut(&id).filter(|topic| !topic.is_leaving()) else {
            return false;
        };
        topic.set_activity(Activity::Leaving);
        let feeds = topic.feeds();
        if let Some(quota) = &mut self.quota {
            feeds.for_each(|feed| quota.feed_removed(feed));
        }
        for list in [&mut self.ending, &mut self.showing, &mut self.unrestored] {
            list.retain(|other| *other != id);
        }
        for named in &mut self.names {
            named.topics.retain(|other| *other != id);
        }
        self.names.retain(|named| !named.topics.is_empty());
        let watches: Vec<u32> =
            self.watches.iter().filter(|(_, of)| of.0 == id).map(|(watch, _)| *watch).collect();
        for watch in watches {
            self.watches.remove(&watch);
            self.out.push_back(Output::Unwatch { watch });
        }
        self.leaving.push(id);
        self.work_due = true;
        self.settle(now, disk);
        true
    }

    fn say_topic(&mut self, id: TopicId, state: &'static str) {
        let Some(topic) = self.topics.get(&id) else { return };
        let (link, folder) = (topic.link.clone(), topic.folder.clone());
        self.publish(&Event::Topic { link, folder, state });
    }

    /// Takes a topic out of everything that peers see; whom it knew. `None`: it was not in it.
    fn withdraw(
        &mut self,
        now: Instant,
        id: TopicId,
        why: Reason,
        disk: &mut dyn Disk,
    ) -> Option<Swarm> {
        let topic = self.topics.get(&id).filter(|topic| topic.is_active())?;
        let (discovery_key, feeds) = (topic.discovery_key, topic.feeds());
        for feed in feeds {
            self.feeds.hide(feed);
            self.sync.handle(now, Input::FeedRemoved { feed }, &self.feeds);
            self.rewanted.remove(&feed);
        }
        // What was said to peers until now lies in their queues, and is taken out of these.
        self.settle_sync(now);
        self.part_from_all(now, id, why);
        self.take_dials_back(now, id);
        if let Some(multicast) = &mut self.multicast {
            multicast.leave(&discovery_key);
        }
        self.index_due.retain(|other| *other != id);
        self.late.retain(|other| *other != id);
        self.heirs.retain(|(_, other)| *other != id);
        self.folders.retain(|other| *other != id);
        self.completed.retain(|(of, ..)| *of != id);
        for _ in 0..self.openings.len() {
            let Some(opening) = self.openings.pop_front() else { break };
            if opening.topic != id {
                self.openings.push_back(opening);
                continue;
            }
            match opening.stage {
                Stage::Begin => {}
                Stage::Opening(opening) => opening.cancel(disk),
                Stage::Recovering(store) => store.abandon(disk),
            }
        }
        self.mirror_heard(id, false);
        self.keep_peers_of(now, id, disk);
        self.swarms.remove(&id)
    }

    /// No connection is about the topic any more. One of Dat, which can be about nothing else, ends.
    fn part_from_all(&mut self, now: Instant, id: TopicId, why: Reason) {
        let about = self.peers.iter().filter(|(_, peer)| peer.is_about(id));
        let about: Vec<ConnId> = about.map(|(conn, _)| *conn).collect();
        for conn in about {
            let Some(mut peer) = self.peers.remove(&conn) else { continue };
            let stream = matches!(peer.session, Session::Hyper(_));
            if stream {
                self.part_stream(now, conn, &mut peer, id);
            }
            let ends = !stream || peer.topics().next().is_none();
            self.peers.insert(conn, peer);
            match why {
                _ if !ends => {}
                Reason::Paused => self.close_paused(now, conn),
                why => self.close(now, conn, why),
            }
        }
    }

    /// Closes a topic's cores on a stream. The peer may open them again: that is remembered.
    fn part_stream(&mut self, now: Instant, conn: ConnId, peer: &mut Peer, id: TopicId) {
        let Some(topic) = self.topics.get(&id) else { return };
        for feed in topic.feeds() {
            let Some(key) = self.feeds.discovery_key(feed) else { continue };
            if peer.joined.contains(&feed) {
                peer.refusals.refuse(key);
            }
            self.part(now, conn, peer, feed);
            peer.refusals.forget(feed);
            if let Session::Hyper(hyper) = &mut peer.session {
                hyper.session.close(&key, &mut peer.staged);
                self.out.push_back(Output::Wake { conn });
            }
        }
        let Some(dialed) = peer.remove_topic(id) else { return };
        let useful =
            if peer.useful { now.since(peer.life.started) } else { std::time::Duration::ZERO };
        let host = peer.handshake.as_ref().map(|h| h.id.as_slice());
        if let Some(swarm) = self.swarms.get_mut(&id) {
            swarm.closed(now, peer.dialed.filter(|_| dialed), host, useful, End::Good);
        }
    }

    /// Dials on their way are not for this topic any more; what comes of one that is for none is closed.
    fn take_dials_back(&mut self, now: Instant, id: TopicId) {
        for purpose in self.tags.values_mut() {
            let Purpose::Dial { topics, addr } = purpose else { continue };
            let before = topics.len();
            topics.retain(|other| *other != id);
            if topics.len() < before
                && let Some(swarm) = self.swarms.get_mut(&id)
            {
                swarm.closed(now, Some(*addr), None, std::time::Duration::ZERO, End::Good);
            }
        }
    }

    /// Goes on closing what was removed.
    pub(super) fn close_leaving(&mut self, now: Instant, disk: &mut dyn Disk) -> Work {
        let mut work = Work::Idle;
        for id in std::mem::take(&mut self.leaving) {
            match self.close_topic(now, id, disk) {
                Ok(()) => {}
                Err(_) => {
                    work = Work::Waiting;
                    self.leaving.push(id);
                }
            }
        }
        work
    }

    /// Its job, then its stores. An error: the disk is fetching what is needed.
    fn close_topic(
        &mut self,
        now: Instant,
        id: TopicId,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        if let Err(error) = self.close_job(now, id, disk) {
            self.not_in_order(id, error)?;
        }
        let Some(topic) = self.topics.get(&id) else { return Ok(()) };
        for feed in topic.feeds() {
            let Some(open) = self.feeds.get_mut(feed) else { continue };
            if let Err(error) = open.store.settle(disk, now) {
                self.not_in_order(id, error)?;
            }
            if let Some(open) = self.feeds.remove(feed) {
                open.store.abandon(disk);
            }
        }
        let Some(topic) = self.topics.remove(&id) else { return Ok(()) };
        if topic.below.is_empty() {
            disk.close_dir(topic.dir);
            if topic.stores != topic.dir {
                disk.close_dir(topic.stores);
            }
        }
        let Topic { link, folder, .. } = topic;
        self.publish(&Event::Topic { link, folder, state: "removed" });
        Ok(())
    }

    /// What cannot be closed in order is looked at when it is opened again.
    fn not_in_order(&self, id: TopicId, error: StoreError) -> Result<(), StoreError> {
        if matches!(error, StoreError::NotYet) {
            return Err(error);
        }
        self.was_not_closed(id, &error);
        Ok(())
    }

    pub(super) fn was_not_closed(&self, id: TopicId, error: &StoreError) {
        let folder = self.topics.get(&id).map_or("", |topic| &topic.folder);
        log::warn!("{folder} was not closed in order: {error}");
    }
}
