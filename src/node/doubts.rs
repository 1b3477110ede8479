//! Whether peers are still there after the network has changed or this process has slept (CHECKLIST L04,
//! L05): each is asked, who does not answer in two seconds is closed and dialled again, and so are those
//! who are known and were not to be reached before.
//!
//! What is asked is the other end's *system*: it acknowledges what it gets, whatever the peer speaks, and
//! if only a keep-alive. What it acknowledges from now on proves that the way there leads to a system
//! which has the connection; one that has lost it says so, and the connection breaks. Bytes that come in
//! prove nothing: they may have waited here while we slept. That a process behind a good connection
//! hangs is found by its silence, as ever.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use crate::conn::Reason;
use crate::discovery::hosts;
use crate::ids::ConnId;
use crate::limits;
use crate::sys::Interface;
use crate::time::{Instant, Wall};

use super::io::Output;
use super::peer::Peer;
use super::{Node, Stopping};

#[derive(Default)]
pub(super) struct Doubts {
    /// When each is to be asked, or judged.
    due: BTreeSet<(Instant, ConnId)>,
    /// When all were last called into doubt, and when they are to be again.
    last: Option<Instant>,
    again: Option<Instant>,
    /// The interfaces were told of once.
    pub told: bool,
    /// What was last said to be the next deadline.
    pub promised: Option<Instant>,
    /// Both clocks at the last one.
    seen: Option<(Instant, Wall)>,
}

/// A peer that may be gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Doubt {
    /// Bytes that its system had acknowledged when it was asked; `None`: it is to be.
    acknowledged: Option<u64>,
    /// Since when there is something to be acknowledged.
    since: Option<Instant>,
}

impl Doubt {
    /// Bytes are on their way to it.
    pub fn sent(&mut self, now: Instant) {
        if self.acknowledged.is_some() {
            self.since.get_or_insert(now);
        }
    }
}

impl Peer {
    /// Whether its end shows no more than that the network has changed, or that we slept.
    pub fn was_lost(&self, why: Reason) -> bool {
        // One in doubt that ends says itself that it is gone.
        let in_doubt = self.doubt.is_some() && matches!(why, Reason::PeerClosed | Reason::Broken);
        in_doubt || why == Reason::Unanswered
    }
}

impl Doubts {
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at).into_iter().chain(self.again).min()
    }
}

impl Node {
    /// Who is connected may be so no more, and who was not to be reached may be again.
    pub(super) fn doubt_all(&mut self, now: Instant) {
        // Who is being asked has time from now on: what was lost before is sent again later and later.
        let asked: Vec<ConnId> = self.doubts.due.iter().map(|(_, conn)| *conn).collect();
        for conn in asked {
            let doubt = self.peers.get_mut(&conn).and_then(|peer| peer.doubt.as_mut());
            if let Some(since) = doubt.and_then(|doubt| doubt.since.as_mut()) {
                *since = now;
            }
        }
        let next = self.doubts.last.map(|last| last + limits::DOUBT_EVERY);
        if let Some(next) = next.filter(|next| *next > now) {
            self.doubts.again = Some(next);
            return;
        }
        (self.doubts.last, self.doubts.again) = (Some(now), None);
        let open = self.peers.iter().filter(|(_, peer)| peer.life.is_open());
        let open: Vec<ConnId> = open.map(|(conn, _)| *conn).collect();
        let spread = match open.len() {
            0..=limits::DOUBTED_AT_ONCE => 0,
            _ => limits::DOUBT_SPREAD.as_micros() as u64,
        };
        for conn in open {
            let at = now + std::time::Duration::from_micros(self.rng.below(spread));
            self.doubt_at(at, conn);
        }
        self.swarms.forgive(now);
        self.ask_for_names(now);
    }

    /// Whether one is still there, because somebody says that he has taken its place.
    pub(super) fn doubt(&mut self, now: Instant, conn: ConnId) {
        if self.peers.get(&conn).is_some_and(|peer| peer.life.is_open()) {
            self.doubt_at(now, conn);
        }
    }

    fn doubt_at(&mut self, at: Instant, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if peer.doubt.is_none() {
            peer.doubt = Some(Doubt::default());
            self.doubts.due.insert((at, conn));
        }
    }

    /// The interfaces are others than before: whether that can matter to anybody.
    pub(super) fn doubt_interfaces(&mut self, now: Instant, before: &[Interface]) {
        let first = !std::mem::replace(&mut self.doubts.told, true);
        let excluded = &self.config.lan_exclude;
        let useful = |list: &[Interface]| -> BTreeSet<(u32, IpAddr)> {
            // Every container comes with an address that leads nowhere else.
            let inner = |on: &Interface| match on.address {
                IpAddr::V6(ip) => ip.is_unicast_link_local() && hosts::is_excluded(excluded, on),
                IpAddr::V4(_) => false,
            };
            let useful = list.iter().filter(|on| !on.loopback && !inner(on));
            useful.map(|on| (on.index, on.address)).collect()
        };
        if !first && useful(before) != useful(&self.interfaces) {
            log::debug!("the interfaces have changed");
            self.doubt_all(now);
        }
    }

    /// At a deadline: whether it comes so late that we must have slept. Where both clocks stood still, as in
    /// a machine that was paused from outside, the calendar leaps when somebody sets it right.
    pub(super) fn notice_sleep(&mut self, now: Instant) {
        let late = self.doubts.promised.take().map(|at| now.since(at));
        let leap = self.doubts.seen.replace((now, self.wall)).is_some_and(|(then, wall)| {
            let passed = i64::try_from(now.since(then).as_millis()).unwrap_or(i64::MAX);
            let slept = limits::SLEPT.as_millis() as i64;
            self.wall.0.saturating_sub(wall.0).saturating_sub(passed) > slept
        });
        if leap || late.is_some_and(|late| late > limits::SLEPT) {
            log::debug!("this process has slept");
            self.doubt_all(now);
        }
    }

    pub(super) fn doubts_next(&self) -> Option<Instant> {
        self.doubts.next().filter(|_| self.stopping == Stopping::No)
    }

    /// Asks some of those whose time has come, or judges them.
    pub(super) fn doubts_due(&mut self, now: Instant) {
        if self.doubts.again.is_some_and(|at| at <= now) {
            self.doubt_all(now);
        }
        for _ in 0..limits::PEERS_DUE_AT_ONCE {
            let Some((at, conn)) = self.doubts.due.pop_first() else { return };
            if at > now {
                self.doubts.due.insert((at, conn));
                return;
            }
            self.out.push_back(Output::AskUnacknowledged { conn });
        }
    }

    /// What was written to a peer in doubt and is not acknowledged.
    pub(super) fn unacknowledged(&mut self, now: Instant, conn: ConnId, bytes: io::Result<usize>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let (Some(doubt), Ok(bytes)) = (peer.doubt.take(), bytes) else { return };
        let acknowledged = peer.life.sent_bytes.saturating_sub(bytes as u64);
        match doubt {
            Doubt { acknowledged: None, .. } => {
                let since = (bytes > 0).then_some(now);
                peer.doubt = Some(Doubt { acknowledged: Some(acknowledged), since });
                peer.keepalive = true;
                self.out.push_back(Output::Wake { conn });
                self.doubts.due.insert((now + limits::DOUBT_LIMIT, conn));
            }
            Doubt { acknowledged: Some(before), .. } if acknowledged > before => {}
            Doubt { since: Some(since), .. } if now >= since + limits::DOUBT_LIMIT => {
                self.close(now, conn, Reason::Unanswered);
            }
            doubt => {
                // (What holds our bytes back here says nothing of the peer.)
                let since = doubt.since.unwrap_or(now);
                peer.doubt = Some(doubt);
                self.doubts.due.insert((since + limits::DOUBT_LIMIT, conn));
            }
        }
    }
}
