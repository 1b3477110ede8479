//! The node's state in figures, for `status`, `peers` and SIGUSR1 (CHECKLIST D11).

use crate::conn::Direction;
use crate::ids::ConnId;
use crate::link::Key;
use crate::store::disk::Disk;
use crate::time::Instant;

use super::Node;
use super::status::{
    CandidateStatus, DiskStatus, DriveStatus, FeedStatus, PeerStatus, STRANGER, Status,
};
use super::topic::{Topic, TopicId, What};

impl Node {
    pub fn status(&self, now: Instant, disk: &mut dyn Disk) -> Status {
        self.status_of(now, None, disk)
    }

    /// Of these topics alone, if they are named.
    pub(super) fn status_of(
        &self,
        now: Instant,
        about: Option<&[TopicId]>,
        disk: &mut dyn Disk,
    ) -> Status {
        let shown = |id: TopicId| about.is_none_or(|about| about.contains(&id));
        let mut topics = self.topics.iter().filter(|(id, _)| shown(*id)).map(|(_, topic)| topic);
        let drives = topics.clone().filter_map(|topic| self.drive_status(topic)).collect();
        let first = topics.next();
        let open = self.feeds.iter().filter(|(_, open)| shown(open.topic));
        let paused = open.clone().find_map(|(_, open)| open.paused.clone());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: self.config.pid,
            uptime_s: now.since(self.started).as_secs(),
            listen: self.listening.clone(),
            seen: self.seen.believed().to_vec(),
            drives,
            feeds: self.feed_status(&shown),
            unopened: match about {
                None => self.unopened.iter().map(|unopened| unopened.status(now)).collect(),
                Some(_) => Vec::new(),
            },
            peers: self.peer_status(now, about),
            candidates: self.candidate_status(now, &shown),
            banned: self.swarms.values().map(|swarm| swarm.banned(now) as u64).sum(),
            disk: DiskStatus {
                unsynced: open.map(|(_, open)| open.store.dirty() as u64).sum(),
                free: first.and_then(|topic| disk.space(topic.dir).ok()).unwrap_or(0),
                paused: paused.unwrap_or_default(),
            },
            quota: self.quota_status(),
        }
    }

    fn feed_status(&self, shown: &dyn Fn(TopicId) -> bool) -> Vec<FeedStatus> {
        let open = self.feeds.iter().filter(|(_, open)| shown(open.topic));
        let status = open.map(|(id, open)| {
            let feed = open.store.feed();
            let sync = self.sync.feed_status(id, &self.feeds).unwrap_or_default();
            FeedStatus {
                key: Key(*feed.key()),
                role: open.role,
                writable: open.store.is_writable(),
                length: feed.length(),
                have: feed.have().count(),
                wanted: sync.missing,
                in_flight: sync.in_flight + sync.arriving,
                bytes: feed.byte_length(),
                peers: sync.peers,
                paused: self.topics.get(&open.topic).is_some_and(Topic::is_resting),
            }
        });
        status.collect()
    }

    fn peer_status(&self, now: Instant, about: Option<&[TopicId]>) -> Vec<PeerStatus> {
        let kept = self.kept_for(now);
        let kept_for = |conn: &ConnId| {
            let at = kept.binary_search_by_key(conn, |(conn, _)| *conn).ok()?;
            kept[at].1
        };
        let met = self.peers.iter().filter_map(|(conn, peer)| {
            if about.is_some_and(|about| !peer.topics().any(|id| about.contains(&id))) {
                return None;
            }
            let handshake = peer.handshake.as_ref()?;
            let sync = self.sync.peer_status(now, *conn).unwrap_or_default();
            Some(PeerStatus {
                addr: peer.address()?,
                id: hex::encode(&handshake.id),
                host: peer.kin.host(),
                inbound: peer.life.direction == Direction::In,
                dialect: peer.session.dialect(),
                age_s: now.since(peer.life.started).as_secs(),
                delay_ms: sync.delay.as_millis() as u64,
                down_bytes_per_s: sync.down_per_second,
                up_bytes_per_s: sync.up_per_second,
                down_bytes: peer.life.received_bytes,
                up_bytes: peer.life.sent_bytes,
                outstanding: sync.outstanding,
                kept: match kept_for(conn) {
                    Some(merit) => merit.name().to_owned(),
                    None if peer.is_stranger() => STRANGER.to_owned(),
                    None => String::new(),
                },
            })
        });
        met.collect()
    }

    fn candidate_status(
        &self,
        now: Instant,
        shown: &dyn Fn(TopicId) -> bool,
    ) -> Vec<CandidateStatus> {
        let swarms = self.swarms.iter().filter(|(id, _)| shown(*id));
        let all = swarms.flat_map(|(_, swarm)| swarm.candidates(now));
        all.map(|candidate| CandidateStatus {
            addr: candidate.addr,
            failures: candidate.failures,
            retry_in_s: (!candidate.ourselves).then_some(candidate.retry_in.as_secs()),
            why: candidate.why.unwrap_or_default(),
        })
        .collect()
    }

    fn drive_status(&self, topic: &Topic) -> Option<DriveStatus> {
        let open = self.feeds.get(topic.first)?;
        if matches!(topic.what, What::Core(_)) {
            return None;
        }
        let key = Key(*open.store.feed().key());
        let version = self.version_of(topic);
        let figures = self.drive_figures(topic);
        Some(DriveStatus {
            link: topic.link.clone(),
            key,
            folder: topic.folder.clone(),
            writable: open.store.is_writable(),
            seed: matches!(topic.what, What::Keep(_)),
            version,
            shown: figures.shown,
            files: figures.files,
            bytes: figures.bytes,
            state: figures.state,
        })
    }
}
