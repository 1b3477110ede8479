//! Answers of cores, ours and those of peers: blocks, what proves a core longer, other histories, and
//! what shows that a writer signed two of them (hyper/SPEC c.7, c.11–c.13).

use crate::crypto::hash::Node as TreeNode;
use crate::feed::hyper::{Ask, Proof};
use crate::feed::{Refusal, flat};
use crate::ids::{ConnId, FeedId};
use crate::store::disk::Disk;
use crate::store::{Moved, StoreError, Stored};
use crate::sync::{Arrival as Verdict, Input};
use crate::time::Instant;
use crate::wire::hyper::{self, Data, DataHead};
use crate::wire::{Message, Request};

use super::Node;
use super::event::{Event, Role};
use super::frames::{Outcome, Served};
use super::io::Output;
use super::peer::{Arrival, Line, Peer, Purpose};
use super::session::{Aim, Probe, Session};

/// An answer, wherever its bytes are.
pub(super) struct Given<'a> {
    pub purpose: Purpose,
    pub fork: u64,
    pub value: Option<&'a [u8]>,
    pub proof: &'a Proof,
    pub manifest: Option<&'a [u8]>,
}

/// Blocks that a node is over.
fn span(node: &TreeNode) -> u64 {
    flat::blocks(node.index).1
}

/// What a request of a peer's is answered with; the block is in `Feeds::scratch`.
struct Answer {
    proof: Proof,
    manifest: Option<Vec<u8>>,
}

impl Node {
    /// An answer came in, or something that nobody asked for.
    pub(super) fn core_data(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        data: Data<'_>,
        disk: &mut dyn Disk,
    ) {
        let Session::Hyper(session) = &mut peer.session else { return };
        let purpose = if data.request == 0 {
            // We never allow what nobody asked for: it can only be the answer to a probe.
            session.asked.take_probe(feed).map(Purpose::Probe)
        } else {
            let aim = session.asked.take(data.request);
            match (&data.proof.block, aim) {
                (Some(block), _) => Some(Purpose::Block(block.index)),
                (None, Some((of, Aim::Growth))) if of == feed => Some(Purpose::Growth),
                (None, _) => None,
            }
        };
        let Some(purpose) = purpose else { return };
        let bytes = data.value.map_or(0, <[u8]>::len) as u64;
        let expected = match purpose.block() {
            Some(index) => {
                let verdict = self.sync.data(now, conn, feed, index, bytes);
                matches!(verdict, Verdict::Expected | Verdict::Late)
            }
            None => self.sync.grown(now, conn, feed),
        };
        if !expected {
            return;
        }
        peer.useful = true;
        let given = Given {
            purpose,
            fork: data.fork,
            value: data.value,
            proof: &data.proof,
            manifest: data.manifest,
        };
        match self.receive_proof(now, conn, peer, feed, &given, disk) {
            Outcome::Done => {}
            Outcome::Later => {
                peer.arrival = Some(Arrival::of_core(feed, purpose, data));
                self.work_due = true;
            }
        }
    }

    /// There is no answer to a request of ours.
    pub(super) fn no_data(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        request: u64,
    ) {
        let Session::Hyper(session) = &mut peer.session else { return };
        let purpose = match request {
            0 => session.asked.take_probe(feed).map(Purpose::Probe),
            id => session.asked.take(id).filter(|(of, _)| *of == feed).map(|(_, aim)| match aim {
                Aim::Block(block) => Purpose::Block(block),
                Aim::Growth => Purpose::Growth,
            }),
        };
        match purpose {
            Some(Purpose::Block(index) | Purpose::Probe(Probe::Block(index))) => {
                let message = &Message::Refusal { index };
                self.sync.handle(now, Input::Message { peer: conn, feed, message }, &self.feeds);
            }
            Some(Purpose::Growth | Purpose::Probe(Probe::Growth)) => {
                peer.reorgs.remove(&feed);
                self.growth_failed(now, conn, feed, false);
            }
            None => {}
        }
    }

    fn growth_failed(&mut self, now: Instant, conn: ConnId, feed: FeedId, bad: bool) {
        self.sync.handle(now, Input::GrowthFailed { peer: conn, feed, bad }, &self.feeds);
    }

    /// Checks an answer and takes over what it proves.
    pub(super) fn receive_proof(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        given: &Given<'_>,
        disk: &mut dyn Disk,
    ) -> Outcome {
        let result = match given.purpose {
            Purpose::Block(index) => {
                let result = self.store_core_block(now, feed, given, disk);
                return self.block_judged(now, conn, feed, (index, given.value), result);
            }
            Purpose::Growth => self.take_growth(now, conn, peer, feed, given, disk),
            Purpose::Probe(probe) => self.take_probe(now, conn, feed, probe, given, disk),
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(StoreError::NotYet) => Outcome::Later,
            Err(StoreError::Refused(why)) => {
                log::info!("{conn:?}: what is to prove {feed:?} longer is refused: {why}");
                peer.reorgs.remove(&feed);
                let two_histories = matches!(why, Refusal::Wrong | Refusal::Unsigned);
                let known = self.feeds.get(feed).is_some_and(|o| o.store.feed().length() > 0);
                if two_histories && known && given.purpose == Purpose::Growth {
                    // Before anybody is blamed: the writer may have signed two.
                    self.ask_on(now, conn, peer, feed, Line::Probe);
                } else {
                    // What was true when it was said may be overtaken.
                    let late = matches!(why, Refusal::Stale | Refusal::OtherFork | Refusal::Forked);
                    self.growth_failed(now, conn, feed, !late);
                }
                Outcome::Done
            }
            Err(error) => {
                peer.reorgs.remove(&feed);
                self.growth_failed(now, conn, feed, false);
                self.pause(now, feed, &error);
                Outcome::Done
            }
        }
    }

    fn store_core_block(
        &mut self,
        now: Instant,
        feed: FeedId,
        given: &Given<'_>,
        disk: &mut dyn Disk,
    ) -> Result<Stored, StoreError> {
        let files = self.taking(now, feed, disk)?;
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        if given.fork != open.store.feed().fork_id() {
            // It was asked for in another history.
            return Err(Refusal::OtherFork.into());
        }
        let Given { fork, proof, manifest, value, .. } = *given;
        let accepted = open.store.check_core(disk, fork, proof, manifest, value)?;
        if let (Some(topic), Some(block), Some(value)) = (files, accepted.block, value)
            && !self.place(now, topic, (block.index, block.offset), value, disk)?
        {
            return Err(StoreError::Absent);
        }
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let stored = open.store.accept_core(disk, &accepted, value)?;
        self.taken(now, feed, files);
        Ok(stored)
    }

    /// What proves a core longer, or leads to a history that supersedes ours.
    fn take_growth(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        given: &Given<'_>,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        let Given { fork, proof, manifest, value, .. } = *given;
        self.wake(now, feed, disk);
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let feed_now = open.store.feed();
        if fork < feed_now.fork_id() {
            return Err(StoreError::Refused(Refusal::OtherFork));
        }
        if fork == feed_now.fork_id() || feed_now.length() == 0 {
            let accepted = open.store.check_core(disk, fork, proof, manifest, value)?;
            let stored = open.store.accept_core(disk, &accepted, value)?;
            self.taken(now, feed, self.files_of(feed));
            match stored.grew {
                Some((from, to)) => self.core_grew(now, feed, from, to),
                None => self.growth_failed(now, conn, feed, false),
            }
            return Ok(());
        }
        // What it proves anew is not what was left of an earlier try.
        let goes_on = |reorg: &crate::store::Reorg| {
            reorg.fork() == fork && (reorg.next().is_none() || proof.upgrade.is_none())
        };
        if peer.reorgs.get(&feed).is_some_and(|reorg| !goes_on(reorg)) {
            peer.reorgs.remove(&feed);
        }
        match peer.reorgs.get_mut(&feed) {
            None => {
                let reorg = open.store.reorg_begin(disk, fork, proof, manifest)?;
                peer.reorgs.insert(feed, Box::new(reorg));
            }
            Some(reorg) if reorg.next().is_some() => open.store.reorg_narrow(disk, reorg, proof)?,
            // Only the disk kept it from its end.
            Some(_) => {}
        }
        let Some(reorg) = peer.reorgs.get(&feed) else { return Ok(()) };
        if let Some(ask) = reorg.next() {
            self.ask_on(now, conn, peer, feed, Line::Narrow { fork, ask });
            return Ok(());
        }
        if open.role == Role::Content
            && let Some(topic) = self.topics.get(&open.topic)
        {
            open.store.sync_around(disk, topic.dir)?;
        }
        let moved = open.store.reorganise(disk, reorg)?;
        peer.reorgs.remove(&feed);
        self.reorganised(now, feed, moved);
        Ok(())
    }

    pub(super) fn core_grew(&mut self, now: Instant, feed: FeedId, from: u64, to: u64) {
        self.sync.handle(now, Input::Grew { feed, from, to }, &self.feeds);
        // A job may have waited for it.
        self.work_due = true;
        if let Some(open) = self.feeds.get(feed) {
            let key = (*open.store.feed().key()).into();
            self.publish(&Event::Appended { key, from, to });
        }
    }

    /// The core has another history, which its peers hear of.
    pub(super) fn reorganised(&mut self, now: Instant, feed: FeedId, moved: Moved) {
        let Moved { common: kept, old: from, new: to } = moved;
        self.work_due = true;
        self.quota_moved(feed);
        self.sync.handle(now, Input::Reorganised { feed, from, kept }, &self.feeds);
        let Some(open) = self.feeds.get(feed) else { return };
        let key = (*open.store.feed().key()).into();
        if from > kept {
            self.publish(&Event::Cleared { key, start: kept, length: from - kept });
        }
        if to > kept {
            self.core_grew(now, feed, kept, to);
        }
    }

    /// What a peer gave for the question whether there are two histories of one fork.
    fn take_probe(
        &mut self,
        now: Instant,
        conn: ConnId,
        feed: FeedId,
        probe: Probe,
        given: &Given<'_>,
        disk: &mut dyn Disk,
    ) -> Result<(), StoreError> {
        self.wake(now, feed, disk);
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let found = match open.store.conflicts(disk, given.fork, given.proof) {
            Err(StoreError::Refused(_)) => false,
            other => other?,
        };
        if found {
            self.forked(now, feed);
        }
        match probe {
            Probe::Block(index) if found => {
                self.sync.handle(now, Input::Lost { feed, index }, &self.feeds);
            }
            Probe::Block(index) => {
                // A shorter tree of theirs may differ where we hold nothing to compare it with: then
                // nobody is to blame, and the block is asked of others.
                let shorter = given.proof.upgrade.as_ref().is_some_and(|up| {
                    let more = up.additional.iter().map(span);
                    let end = more.fold(up.length, u64::saturating_add);
                    end < self.feeds.get(feed).map_or(0, |open| open.store.feed().length())
                });
                let input = match shorter {
                    true => Input::Unusable { feed, peer: conn, index },
                    false => Input::Rejected { feed, peer: conn, index },
                };
                self.sync.handle(now, input, &self.feeds);
            }
            Probe::Growth => self.growth_failed(now, conn, feed, !found),
        }
        Ok(())
    }

    /// Asks the same peer for more that belongs to its answer.
    fn ask_on(&mut self, now: Instant, conn: ConnId, peer: &mut Peer, feed: FeedId, line: Line) {
        peer.outbox.push_back((feed, line));
        self.sync.growing_on(now, conn, feed);
        self.out.push_back(Output::Wake { conn });
    }

    /// Answers a request of a peer's.
    #[allow(clippy::too_many_arguments)] // Everything that an answer is made of.
    pub(super) fn serve_core(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        numbered: &hyper::Request,
        out: &mut Vec<u8>,
        disk: &mut dyn Disk,
    ) -> Served {
        let index = numbered.ask.block.map_or(0, |block| block.index);
        let sent = match self.core_answer(now, feed, numbered, disk) {
            Ok(answer) => self.send_answer(peer, feed, numbered, answer, out),
            Err(StoreError::NotYet) => return Served::Later,
            Err(error) => Err(error.to_string()),
        };
        match sent {
            Ok(bytes) => {
                peer.useful = true;
                if numbered.ask.block.is_some() {
                    self.quota_served(feed, index);
                }
                let uploaded = Input::Uploaded { peer: conn, feed, index, bytes };
                self.sync.handle(now, uploaded, &self.feeds);
                Served::Sent
            }
            Err(why) => {
                log::info!("{}: request {} not served: {why}", peer.name(), numbered.id);
                let request = Request { index, numbered: Some(*numbered), ..Request::default() };
                let unavailable = Input::Unavailable { peer: conn, feed, request };
                self.sync.handle(now, unavailable, &self.feeds);
                Served::Never
            }
        }
    }

    fn core_answer(
        &mut self,
        now: Instant,
        feed: FeedId,
        numbered: &hyper::Request,
        disk: &mut dyn Disk,
    ) -> Result<Answer, StoreError> {
        self.wake(now, feed, disk);
        let open = self.feeds.get_mut(feed).ok_or(StoreError::Absent)?;
        let manifest = if numbered.manifest { open.store.manifest() } else { None };
        let stale = numbered.fork != open.store.feed().fork_id();
        if stale || numbered.ask == Ask::default() {
            let proof = Proof::default();
            return manifest.map(|m| Answer { proof, manifest: Some(m) }).ok_or(StoreError::Absent);
        }
        if let Some(block) = numbered.ask.block
            && !open.store.feed().has(block.index)
        {
            return Err(StoreError::Absent);
        }
        let proof = open.store.prove(disk, &numbered.ask)?;
        if let Some(block) = &proof.block {
            self.read_block(now, feed, block.index, disk)?;
        }
        Ok(Answer { proof, manifest })
    }

    /// The bytes that were added to `out`, or why there are none.
    fn send_answer(
        &mut self,
        peer: &mut Peer,
        feed: FeedId,
        numbered: &hyper::Request,
        answer: Answer,
        out: &mut Vec<u8>,
    ) -> Result<u64, String> {
        let Session::Hyper(hyper) = &mut peer.session else { return Err("no stream".into()) };
        let Some(open) = self.feeds.get(feed) else { return Err("no core".into()) };
        let (key, fork) = (*open.store.feed().discovery_key(), open.store.feed().fork_id());
        let before = out.len();
        let manifest = answer.manifest.as_deref();
        let sent = if answer.proof.block.is_some() {
            let head = DataHead { request: numbered.id, fork, proof: &answer.proof, manifest };
            let value = &self.feeds.scratch;
            hyper.session.data_begin(&key, &head, value.len(), out).and_then(|from| {
                out.extend_from_slice(value);
                hyper.session.data_end(from, &head, out)
            })
        } else {
            let data =
                Data { request: numbered.id, fork, value: None, proof: answer.proof, manifest };
            hyper.session.send(&key, &hyper::Message::Data(data), out)
        };
        sent.map(|()| (out.len() - before) as u64).map_err(|error| error.to_string())
    }
}
