//! Tried addresses and bans over a restart: a small file beside the stores, replaced as a whole
//! (CHECKLIST P05). Losing it costs nothing but a few dials.

use std::io;
use std::path::Path;

use crate::limits;
use crate::store::disk::{Dir, Disk, Open};
use crate::time::Instant;

use super::Node;
use super::topic::TopicId;

const FILE: &str = "gannet.peers";
const BESIDE: &str = "gannet.peers.new";

impl Node {
    /// Reads what an earlier run kept, once a topic. `false`: the disk is fetching it.
    pub(super) fn restore_peers(&mut self, now: Instant, disk: &mut dyn Disk) -> bool {
        let mut settled = true;
        for (id, topic) in self.topics.iter_mut().filter(|(_, topic)| !topic.peers_restored) {
            match read(disk, topic.stores) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    settled = false;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => log::warn!("{FILE}: {error}"),
                Ok(bytes) => {
                    if let Some(swarm) = self.swarms.get_mut(id)
                        && let Err(error) = swarm.restore(&bytes, now, self.wall)
                    {
                        log::warn!("{error}");
                    }
                }
            }
            topic.peers_restored = true;
        }
        settled
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
        let mut room = if at_once { usize::MAX } else { limits::KEPT_PER_TICK };
        for (id, topic) in self.topics.range(from..) {
            if room == 0 {
                self.keep_next = Some(*id);
                break;
            }
            let Some(swarm) = self.swarms.get_mut(id) else { continue };
            if topic.peers_restored && swarm.take_changed() {
                room -= 1;
                let bytes = swarm.encode(now, self.wall);
                if let Err(error) = write(disk, topic.stores, &bytes) {
                    log::warn!("{FILE}: {error}");
                }
            }
        }
    }
}

fn read(disk: &mut dyn Disk, dir: Dir) -> io::Result<Vec<u8>> {
    let file = disk.open(dir, Path::new(FILE), Open::Read)?;
    let mut bytes = vec![0; limits::KEPT_PEERS_BYTES];
    let mut done = 0;
    let result = loop {
        match disk.read_at(file, done as u64, &mut bytes[done..]) {
            Ok(0) => break Ok(()),
            Ok(n) => done += n,
            Err(error) => break Err(error),
        }
    };
    disk.close(file);
    result?;
    bytes.truncate(done);
    Ok(bytes)
}

fn write(disk: &mut dyn Disk, dir: Dir, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(dir, Path::new(BESIDE), Open::Create)?;
    let written = write_all(disk, file, bytes);
    disk.close(file);
    written?;
    disk.rename(dir, Path::new(BESIDE), Path::new(FILE), false)
}

fn write_all(disk: &mut dyn Disk, file: crate::store::disk::File, bytes: &[u8]) -> io::Result<()> {
    disk.set_len(file, 0)?;
    let mut done = 0;
    while done < bytes.len() {
        match disk.write_at(file, done as u64, &bytes[done..])? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => done += n,
        }
    }
    disk.sync_data(file)
}
