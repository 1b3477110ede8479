//! What is done once a second, and whether it has to be: while blocks are on their way, anything is
//! written or a job tells its progress. A node whose peers are all idle is woken when one of them is
//! owed a sign of life, one without peers not at all. What a tick costs goes by what is going on,
//! not by how many feeds there are (CHECKLIST P01).

use crate::limits;
use crate::store::disk::Disk;
use crate::sync;
use crate::time::Instant;

use super::Node;
use super::peer::Peer;

impl Node {
    pub(super) fn tick(&mut self, now: Instant, disk: &mut dyn Disk) {
        let late = now.since(self.next_tick);
        if late > 2 * limits::TICK {
            // We stood still ourselves: nobody else is to blame for that time.
            self.sync.handle(now, sync::Input::SelfStalled(late), &self.feeds);
            self.peers.values_mut().for_each(|peer| peer.life.forgive(late));
        }
        self.last_tick = now;
        self.sync.handle(now, sync::Input::Tick, &self.feeds);
        self.tick_peers(now, disk);
        self.tick_company(now);
        self.tick_feeds(now, disk);
        self.tick_quota();
        self.tick_bans(now, disk);
        self.tick_drives();
        self.keep_peers(now, disk, false);
        // The next one is set anew, by `pace`.
        self.ticking = false;
    }

    /// Sets the time of the next tick, if there is to be one: within a second when anything goes on,
    /// otherwise when a connection is due, several of them together.
    pub(super) fn pace(&mut self, now: Instant) {
        if self.ticking && self.brisk && !self.peers.is_empty() {
            // The tick itself is going to see whether it is needed again.
            return;
        }
        let soon = now + limits::TICK;
        let brisk = self.is_brisk(now);
        if brisk {
            self.next_tick = if self.ticking { self.next_tick.min(soon) } else { soon };
            self.ticking = true;
        } else if self.peers.is_empty() {
            self.ticking = false;
        } else if !self.ticking {
            let due = self.peers.next(now);
            self.next_tick = due.map_or(soon, |at| at.max(soon));
            self.ticking = true;
        }
        self.brisk = brisk;
    }

    /// Whether something is to be looked at every second.
    fn is_brisk(&mut self, now: Instant) -> bool {
        self.feeds.any_dirty()
            || self.feeds.any_paused()
            || self.keep_next.is_some()
            || self.is_crowded()
            || self.drives_need_tick()
            || self.quota.as_ref().is_some_and(|quota| quota.waits())
            || self.sync.needs_tick()
            || self.peers.any_busy(now)
    }
}

impl Peer {
    /// It is not met yet, waits for the disk, or is one of two.
    pub(super) fn is_busy(&self) -> bool {
        let waits = self.held || self.arrival.is_some() || self.upload.is_some();
        !self.life.is_open() || waits || self.twin_until.is_some() || self.paused_until.is_some()
    }
}
