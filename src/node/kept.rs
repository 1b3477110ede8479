//! Tried addresses and bans over a restart: a small file beside the stores, replaced as a whole
//! (CHECKLIST P05). Losing it costs nothing but a few dials.

use crate::limits;
use crate::store::disk::Disk;
use crate::store::{StoreError, read_small, write_small};
use crate::time::Instant;

use super::Node;
use super::io::Work;
use super::topic::{Topic, TopicId};

const FILE: &str = "gannet.peers";
const BESIDE: &str = "gannet.peers.new";

impl Node {
    /// Reads what an earlier run kept, a few topics at a time.
    pub(super) fn restore_peers(&mut self, now: Instant, disk: &mut dyn Disk) -> Work {
        for _ in 0..limits::KEPT_AT_ONCE {
            let Some(&id) = self.unrestored.last() else { return Work::Idle };
            let Some(topic) = self.topics.get_mut(&id) else {
                self.unrestored.pop();
                continue;
            };
            if !topic.is_active() {
                // When it goes on.
                self.unrestored.pop();
                continue;
            }
            match read_small(disk, topic.stores, &topic.beside(FILE), limits::KEPT_PEERS_BYTES) {
                Err(StoreError::NotYet) => return Work::Waiting,
                Err(error) => log::warn!("{FILE}: {error}"),
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    if let Some(swarm) = self.swarms.get_mut(&id)
                        && let Err(error) = swarm.restore(&bytes, now, self.wall)
                    {
                        log::warn!("{error}");
                    }
                }
            }
            topic.peers_restored = true;
            self.unrestored.pop();
        }
        if self.unrestored.is_empty() { Work::Idle } else { Work::More }
    }

    /// Keeps what changed of one topic.
    pub(super) fn keep_peers_of(&mut self, now: Instant, id: TopicId, disk: &mut dyn Disk) {
        let Some(topic) = self.topics.get(&id).filter(|topic| topic.peers_restored) else { return };
        if let Some(swarm) = self.swarms.get_mut(&id)
            && swarm.take_changed()
            && let Err(error) = write(disk, topic, &swarm.encode(now, self.wall))
        {
            log::warn!("{FILE}: {error}");
        }
    }

    /// Keeps what changed, not more often than `limits::KEEP_PEERS_EVERY` and a few topics in a
    /// second, unless `at_once`.
    pub(super) fn keep_peers(&mut self, now: Instant, disk: &mut dyn Disk, at_once: bool) {
        let from = match self.keep_next.take() {
            Some(from) if !at_once => from,
            _ if at_once || now >= self.peers_kept + limits::KEEP_PEERS_EVERY => TopicId(0),
            _ => return,
        };
        self.peers_kept = now;
        let mut room = if at_once { usize::MAX } else { limits::KEPT_AT_ONCE };
        for (id, topic) in self.topics.from(from) {
            if room == 0 {
                self.keep_next = Some(id);
                break;
            }
            let Some(swarm) = self.swarms.get_mut(&id) else { continue };
            if topic.peers_restored && swarm.take_changed() {
                room -= 1;
                let bytes = swarm.encode(now, self.wall);
                if let Err(error) = write(disk, topic, &bytes) {
                    log::warn!("{FILE}: {error}");
                }
            }
        }
    }
}

/// Replaces the file. It is not synced: one that a power cut spoils does not fit its checksum.
fn write(disk: &mut dyn Disk, topic: &Topic, bytes: &[u8]) -> Result<(), StoreError> {
    let (beside, place) = (topic.beside(BESIDE), topic.beside(FILE));
    write_small(disk, (topic.stores, &beside), None, bytes, false)?;
    Ok(disk.rename(topic.stores, &beside, &place, false)?)
}
