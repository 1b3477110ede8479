//! One peer: its feeds, the requests it owes us, how fast it is, what it did wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::rates::{self, Delay, Depth, Rate};
use super::remote::Remote;
use super::uploads::{Bucket, Uploads};
use super::{PeerStatus, Tuning};
use crate::ids::FeedId;
use crate::lent::Rests;
use crate::limits;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) feeds: BTreeMap<FeedId, Box<Remote>>,
    /// It stays when everything is fetched, as its Handshake says.
    pub(super) lasting: bool,
    /// Feeds that may have a block to ask of it; the others need not be searched.
    pub(super) ripe: BTreeSet<FeedId>,
    /// Feeds with blocks that it did not answer for; with leftovers.
    declining: BTreeSet<FeedId>,
    /// The feed that was asked last: the next one has its turn.
    pub(super) turn: FeedId,
    asks: BTreeMap<(FeedId, u64), Ask>,
    /// Live asks, oldest first; with leftovers of answered ones.
    order: VecDeque<(FeedId, u64, u64)>,
    /// Given-up asks, oldest first; with leftovers.
    given_up: VecDeque<(FeedId, u64, u64)>,
    serial: u64,
    live: usize,
    /// There was no room for another request, and still is little.
    pub(super) full: bool,
    /// Bytes that the live asks stand for, by estimate.
    owed: u64,
    pub(super) depth: Depth,
    pub(super) delay: Delay,
    blocks: Rate,
    pub(super) down: Rate,
    pub(super) up: Rate,
    /// Bytes of the frame that is arriving, counted already.
    partial: u64,
    /// When a part of a block last came in.
    pub(super) heard: Instant,
    /// Time-outs since its last answer.
    pub(super) silent: u32,
    pub(super) uploads: Uploads,
    pub(super) refusals: Bucket,
    pub(super) want_answers: Bucket,
    /// Feeds of ours that it sent a Want for, however often it opened them.
    pub(super) first_wants: BTreeSet<FeedId>,
    pub(super) strikes: u32,
    pub(super) unasked: u64,
    /// It is to be disconnected: nothing more for it or from it.
    pub(super) leaving: bool,
    pub(super) finished: bool,
    pub(super) watch: Watch,
    pub(super) head: Head,
    /// When the youngest request that it answered was sent.
    pub(super) reached: Instant,
    /// Heap for what it says it holds.
    pub(super) held_bytes: usize,
    /// Steps of searching for something to ask of it, in which moment.
    searched: (u64, usize),
    /// Look again for something to ask of it then.
    pub(super) retry: Option<Instant>,
}

/// A request that was sent to the peer.
#[derive(Clone, Copy, Debug)]
struct Ask {
    sent: Instant,
    serial: u64,
    /// Bytes expected.
    estimate: u64,
    live: bool,
    /// The block has been stored since.
    satisfied: bool,
    /// So many requests for it before were given up, and may be answered too.
    earlier: u32,
}

/// What it delivered since it began to owe us something without a pause, or did not answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    pub(super) since: Option<Instant>,
    pub(super) bytes: u64,
}

/// Time without a byte from it while all that is left to fetch was asked of it and others wait
/// (the head of the window, in Bitcoin's words).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    /// It goes on since then.
    since: Option<Instant>,
    /// Before that.
    spent: Duration,
    /// It began then.
    pub(super) first: Option<Instant>,
}

impl Head {
    pub(super) fn total(&self, now: Instant) -> Duration {
        self.spent + self.since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// The judge has spoken about another peer: its time begins anew.
    pub(super) fn restart(&mut self, now: Instant) {
        let since = self.since.map(|_| now);
        *self = Head { since, spent: Duration::ZERO, first: since };
    }

    fn is_on(&self) -> bool {
        self.first.is_some() || self.since.is_some()
    }

    /// When the time is over, if it goes on like this.
    pub(super) fn due(&self, limit: Duration) -> Option<Instant> {
        let over = self.first.filter(|_| self.spent >= limit);
        over.or_else(|| self.since.map(|since| since + limit.saturating_sub(self.spent)))
    }
}

/// How the peer stands to a block that came from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Asked,
    GivenUp,
    /// Given up, and stored since.
    Satisfied,
    Unasked,
}

impl Watch {
    /// Bytes a second, and over which time.
    pub(super) fn rate(&self, now: Instant) -> Option<(u64, Duration)> {
        let span = now.since(self.since?);
        Some(((u128::from(self.bytes) * 1_000_000 / span.as_micros().max(1)) as u64, span))
    }

    /// Forgets half of what was seen: the next verdict is about what comes and the other half.
    pub(super) fn fade(&mut self, now: Instant) {
        self.since = self.since.map(|since| since + now.since(since) / 2);
        self.bytes /= 2;
    }
}

impl Rests for Peer {
    /// It owes us nothing and we owe it nothing, it stays, and nothing is to be tried again.
    fn rests(&self) -> bool {
        let asked = !self.asks.is_empty() || !self.order.is_empty() || self.uploads.len() > 0;
        let watched = self.watch.since.is_some() || self.head.is_on();
        !asked && !watched && self.lasting && !self.leaving && self.retry.is_none()
    }
}

impl Peer {
    pub(super) fn new(tuning: &Tuning) -> Peer {
        Peer {
            feeds: BTreeMap::new(),
            lasting: true,
            ripe: BTreeSet::new(),
            declining: BTreeSet::new(),
            turn: FeedId(0),
            asks: BTreeMap::new(),
            order: VecDeque::new(),
            given_up: VecDeque::new(),
            serial: 0,
            live: 0,
            full: false,
            owed: 0,
            depth: Depth::new(tuning.requests, tuning.tiny_requests),
            delay: Delay::default(),
            blocks: Rate::default(),
            down: Rate::default(),
            up: Rate::default(),
            partial: 0,
            heard: Instant::default(),
            silent: 0,
            uploads: Uploads::default(),
            refusals: Bucket::default(),
            want_answers: Bucket::default(),
            first_wants: BTreeSet::new(),
            strikes: 0,
            unasked: 0,
            leaving: false,
            finished: false,
            watch: Watch::default(),
            head: Head::default(),
            reached: Instant::default(),
            held_bytes: 0,
            searched: (0, 0),
            retry: None,
        }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whether blocks that it was asked for are still to come. What was not answered in time may
    /// be on its way too, until it answers again.
    pub(super) fn owes(&self) -> bool {
        self.live > 0 || self.silent > 0
    }

    /// Heap for what it says it holds, counted anew.
    pub(super) fn holdings_bytes(&self) -> usize {
        self.feeds.values().map(|r| r.holdings.bytes()).sum()
    }

    /// Whether one more request fits, for a block of about `estimate` bytes. A peer that went
    /// silent gets one at a time. One whose pipeline was full has room again only
    /// when a quarter of it is free: requests then travel together, for a fraction of the packets
    /// and system calls.
    pub(super) fn can_ask(&self, estimate: u64, tuning: &Tuning) -> bool {
        let depth = if self.silent > 0 { 1 } else { self.depth.get() };
        let part = if self.full { 4 } else { u64::MAX };
        let count = self.live + (depth as u64 / part) as usize;
        let bytes = self.owed.saturating_add(estimate) + tuning.bytes_in_flight / part;
        !self.leaving && count < depth && (bytes <= tuning.bytes_in_flight || self.live < 2)
    }

    pub(super) fn ask(&mut self, now: Instant, feed: FeedId, block: u64, estimate: u64) {
        self.serial += 1;
        let (sent, serial) = (now, self.serial);
        let ask = Ask { sent, serial, estimate, live: true, satisfied: false, earlier: 0 };
        if let Some(old) = self.asks.insert((feed, block), ask) {
            self.uncount(now, &old);
            if let Some(ask) = self.asks.get_mut(&(feed, block)) {
                ask.earlier = old.earlier.saturating_add(1);
            }
        }
        self.live += 1;
        self.owed = self.owed.saturating_add(estimate);
        self.order.push_back((feed, block, self.serial));
        if self.order.len() > 2 * self.live + limits::REQUESTS_MAX {
            let asks = &self.asks;
            self.order.retain(|(feed, block, serial)| {
                asks.get(&(*feed, *block)).is_some_and(|a| a.live && a.serial == *serial)
            });
        }
        self.watch.since = self.watch.since.or(Some(now));
    }

    fn uncount(&mut self, now: Instant, ask: &Ask) {
        if ask.live {
            self.live -= 1;
            self.owed = self.owed.saturating_sub(ask.estimate);
        }
        // One that was silent is watched until it answers.
        if self.live == 0 && self.silent == 0 {
            self.watch = Watch::default();
            self.head = Head { since: None, spent: self.head.total(now), ..self.head };
        }
    }

    /// Others have nothing left to do but what this peer was asked for.
    pub(super) fn holds_up(&mut self, now: Instant, feed: FeedId, block: u64) {
        let asked = self.asked_at(feed, block).unwrap_or(now);
        self.head.since = self.head.since.or(Some(asked.max(self.heard)));
        self.head.first = self.head.first.or(self.head.since);
    }

    /// The peer is not asked for a block for `wait`, or longer if it did not answer before. Until when.
    pub(super) fn decline(
        &mut self,
        now: Instant,
        wait: Duration,
        feed: FeedId,
        block: u64,
    ) -> Option<Instant> {
        let most = self.declined_most();
        let until = self.feeds.get_mut(&feed)?.declined.add(block, now, wait, most);
        self.declining.insert(feed);
        Some(until)
    }

    /// Whether to search for something to ask of it in this moment; messages that cost the peer nothing
    /// would otherwise cost us a search each.
    pub(super) fn may_search(&mut self, moment: u64) -> bool {
        if self.searched.0 != moment {
            self.searched = (moment, 0);
        }
        self.searched.1 < limits::SEARCH_STEPS
    }

    pub(super) fn searched(&mut self, steps: usize) {
        self.searched.1 += steps + limits::SEARCH_LEAST;
    }

    /// Feeds with blocks that it may be asked for again are searched again.
    pub(super) fn search_declined(&mut self) {
        let Peer { feeds, ripe, declining, .. } = self;
        declining.retain(|of| feeds.get(of).is_some_and(|remote| !remote.declined.is_empty()));
        ripe.extend(declining.iter());
    }

    /// The peer is never asked for a block again.
    pub(super) fn decline_for_good(&mut self, now: Instant, feed: FeedId, block: u64) {
        let most = self.declined_most();
        if let Some(remote) = self.feeds.get_mut(&feed) {
            remote.declined.add_for_good(block, now, most);
        }
    }

    /// How many blocks of one feed are remembered as not answered: fewer where it has many feeds.
    fn declined_most(&self) -> usize {
        (limits::DECLINED / self.feeds.len().max(1)).max(limits::DECLINED_LEAST)
    }

    /// The block is not expected any more, but may come.
    pub(super) fn give_up(&mut self, now: Instant, feed: FeedId, block: u64) {
        let Some(ask) = self.asks.get_mut(&(feed, block)).filter(|ask| ask.live) else { return };
        let old = *ask;
        ask.live = false;
        self.given_up.push_back((feed, block, old.serial));
        self.uncount(now, &old);
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        while self.given_up.len() > limits::REQUESTS_REMEMBERED {
            let Some((feed, block, serial)) = self.given_up.pop_front() else { break };
            if self.asks.get(&(feed, block)).is_some_and(|a| !a.live && a.serial == serial) {
                self.asks.remove(&(feed, block));
            }
        }
    }

    /// A block is stored: should this peer still send it, it comes for nothing.
    pub(super) fn satisfied(&mut self, feed: FeedId, block: u64) {
        if self.given_up.is_empty() {
            return;
        }
        if let Some(ask) = self.asks.get_mut(&(feed, block)) {
            ask.satisfied = true;
        }
    }

    /// A block came, with `bytes` of value.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        feed: FeedId,
        block: u64,
        bytes: u64,
    ) -> Answer {
        let fresh = bytes - bytes.min(self.partial);
        self.partial = 0;
        self.down.add(now, fresh);
        self.heard = now;
        self.head = Head::default();
        let Some(ask) = self.asks.remove(&(feed, block)) else { return Answer::Unasked };
        self.watch.bytes += fresh;
        self.silent = 0;
        self.uncount(now, &ask);
        if let Some(earlier) = ask.earlier.checked_sub(1) {
            // Two answers crossed what we said in between: neither is more than was asked for.
            let left = Ask { live: false, satisfied: true, earlier, ..ask };
            self.asks.insert((feed, block), left);
            self.given_up.push_back((feed, block, ask.serial));
            self.forget_oldest();
        }
        self.reached = self.reached.max(ask.sent);
        self.blocks.add(now, 1);
        // What a given-up request tells of the delay counts too: the peer is as slow as that.
        self.delay.add(now, now.since(ask.sent));
        self.depth.answered(self.blocks.last(), &self.delay, bytes);
        match (ask.live, ask.satisfied) {
            (_, true) => Answer::Satisfied,
            (true, false) => Answer::Asked,
            (false, false) => Answer::GivenUp,
        }
    }

    /// Part of a block came.
    pub(super) fn partial(&mut self, now: Instant, bytes: u64) {
        self.partial += bytes;
        self.watch.bytes += bytes;
        self.down.add(now, bytes);
        self.heard = now;
        self.head = Head::default();
    }

    /// What came in parts was no block: it says nothing of how fast blocks come.
    pub(super) fn no_block(&mut self) {
        self.watch.bytes = self.watch.bytes.saturating_sub(self.partial);
        self.partial = 0;
    }

    /// When its oldest live ask is overdue. A block that is just coming in at a decent rate is
    /// given more time.
    pub(super) fn next_overdue(&mut self) -> Option<Instant> {
        while let Some(&(feed, block, serial)) = self.order.front() {
            match self.asks.get(&(feed, block)) {
                Some(ask) if ask.live && ask.serial == serial => {
                    let mut due = ask.sent + self.timeout();
                    let floor = limits::SLOW_PEER_BYTES_PER_SECOND;
                    if self.partial > 0 && self.down.per_second(self.heard) >= floor {
                        due = due.max(self.heard + limits::REQUEST_TIMEOUT_MIN);
                    }
                    return Some(due);
                }
                _ => drop(self.order.pop_front()),
            }
        }
        None
    }

    /// The live asks that are overdue now, which the caller gives up. There being any counts as
    /// one silence.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Vec<(FeedId, u64)> {
        let mut overdue = Vec::new();
        while self.next_overdue().is_some_and(|due| due <= now) {
            overdue.extend(self.order.pop_front().map(|(feed, block, _)| (feed, block)));
        }
        self.silent += u32::from(!overdue.is_empty());
        overdue
    }

    pub(super) fn timeout(&self) -> Duration {
        rates::timeout(&self.delay, self.down.last(), self.owed, self.silent)
    }

    /// How long its answers may take after what was seen of it; zero before the first one.
    pub(super) fn usual(&self) -> Duration {
        match self.delay.smooth() {
            Some(_) => rates::timeout(&self.delay, self.down.last(), self.owed, 0),
            None => Duration::ZERO,
        }
    }

    /// When the live ask for a block was sent.
    pub(super) fn asked_at(&self, feed: FeedId, block: u64) -> Option<Instant> {
        self.asks.get(&(feed, block)).filter(|ask| ask.live).map(|ask| ask.sent)
    }

    /// The live asks for blocks of a feed in `start..end`.
    pub(super) fn asked_in(&self, feed: FeedId, start: u64, end: u64) -> Vec<u64> {
        let range = self.asks.range((feed, start)..(feed, end.max(start)));
        range.filter(|(_, ask)| ask.live).map(|((_, block), _)| *block).collect()
    }

    pub(super) fn live_asks(&self) -> impl Iterator<Item = (FeedId, u64)> + '_ {
        self.asks.iter().filter(|(_, ask)| ask.live).map(|(at, _)| *at)
    }

    /// Forgets everything about one feed; its live asks are the caller's to return. The heap that
    /// became free.
    pub(super) fn forget(&mut self, now: Instant, feed: FeedId) -> usize {
        for block in self.asked_in(feed, 0, u64::MAX) {
            self.give_up(now, feed, block);
        }
        self.asks.retain(|(of, _), _| *of != feed);
        self.ripe.remove(&feed);
        self.uploads.forget(feed);
        let freed = self.feeds.remove(&feed).map_or(0, |remote| remote.holdings.bytes());
        self.held_bytes -= freed;
        freed
    }

    /// Our own process stood still: its time does not count against the peer (P03).
    pub(super) fn excuse(&mut self, span: Duration) {
        self.asks.values_mut().for_each(|ask| ask.sent += span);
        if let Some(since) = &mut self.watch.since {
            *since += span;
        }
        for at in [&mut self.head.since, &mut self.head.first].into_iter().flatten() {
            *at += span;
        }
        self.heard += span;
    }

    pub(super) fn status(&self, now: Instant) -> PeerStatus {
        PeerStatus {
            down_per_second: self.down.per_second(now),
            up_per_second: self.up.per_second(now),
            down_bytes: self.down.total(),
            up_bytes: self.up.total(),
            delay: self.delay.smooth().unwrap_or_default(),
            outstanding: self.live as u64,
            depth: self.depth.get() as u64,
            queued_uploads: self.uploads.len() as u64,
            strikes: self.strikes,
            unasked: self.unasked,
        }
    }

    /// That the books agree with each other.
    pub(super) fn check(&self, tuning: &Tuning) -> Result<(), String> {
        let live: Vec<&Ask> = self.asks.values().filter(|ask| ask.live).collect();
        let owed: u64 = live.iter().map(|ask| ask.estimate).sum();
        let most = tuning.requests.1.max(tuning.tiny_requests);
        for (good, what) in [
            (live.len() == self.live, "live asks are miscounted"),
            (owed == self.owed, "owed bytes are miscounted"),
            (self.holdings_bytes() == self.held_bytes, "heap for holdings is miscounted"),
            (self.live <= most, "too many requests out"),
            (self.uploads.len() <= limits::UPLOAD_REQUESTS_HARD, "too many uploads queued"),
            (self.asks.len() <= most + limits::REQUESTS_REMEMBERED, "too many asks remembered"),
            (
                self.watch.since.is_some() == (self.live > 0 || self.silent > 0),
                "watched without owing",
            ),
        ] {
            if !good {
                return Err(what.to_string());
            }
        }
        Ok(())
    }
}
