//! Bytes of a peer to messages and back: what each message leads to, and what is sent next.

use crate::conn::Reason;
use crate::feed::Refusal;
use crate::ids::{ConnId, FeedId};
use crate::limits;
use crate::store::disk::Disk;
use crate::store::{StoreError, Stored};
use crate::sync::{self, Arrival as Verdict, Input};
use crate::time::Instant;
use crate::wire::{self, Data, Dialect, Message, Opening, Request};

use super::Node;
use super::io::{Consumed, Output};
use super::peer::{Arrival, Line, Peer};
use super::proofs::Given;
use super::session::{Session, What};

/// What became of a block that came in.
pub(super) enum Outcome {
    Done,
    /// The disk was not ready: keep the block and try again.
    Later,
}

/// What became of a request.
pub(super) enum Served {
    Sent,
    /// The disk was not ready: nothing was sent.
    Later,
    /// It cannot be answered; `sync` was told.
    Never,
}

impl Node {
    /// Handles what came in, at most a quantum of frames. The reason is why to close, if at all.
    pub(super) fn read_frames(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        buf: &mut [u8],
        disk: &mut dyn Disk,
    ) -> (Consumed, Option<Reason>) {
        let mut done = Consumed::default();
        peer.life.received(now, 0);
        while done.bytes < buf.len() && done.frames < limits::FRAME_QUANTUM {
            if self.is_deaf_to(conn, peer) {
                done.hold = true;
                peer.held = true;
                break;
            }
            if matches!(peer.session, Session::Unknown) {
                let session = match wire::opening(&buf[done.bytes..]) {
                    None => break,
                    Some(Opening::Stream(Dialect::Dat)) => {
                        Session::Dat(Box::new(wire::dat::Session::accept()))
                    }
                    Some(Opening::Stream(Dialect::Hyper)) => self.core_session(false),
                    Some(Opening::Ping) => Session::Ping,
                };
                peer.life.keepalive_after = session.keepalive_after();
                peer.session = session;
            }
            let received = match peer.session.receive(&mut buf[done.bytes..]) {
                Ok(received) => received,
                Err(fault) => {
                    log::info!("{}: {fault}", peer.name());
                    return (done, Some(Reason::Fault));
                }
            };
            done.bytes += received.consumed;
            peer.life.received(now, received.consumed);
            if received.what == What::Incomplete {
                done.need = received.need;
                if received.consumed == 0 {
                    let partial = buf.len() - done.bytes;
                    let more = partial.saturating_sub(peer.partial);
                    peer.partial = partial;
                    if done.need > 0 {
                        self.sync.progress(now, conn, more as u64);
                    }
                    break;
                }
                continue;
            }
            done.frames += 1;
            if peer.handshake.is_none() {
                done.frames += limits::GREETING_FRAMES;
            }
            let in_parts = std::mem::take(&mut peer.partial) > 0;
            let dirty = self.feeds.dirty();
            if let Some(why) = self.heard(now, conn, peer, received.what, disk) {
                return (done, Some(why));
            }
            if self.feeds.dirty() > dirty {
                done.frames += limits::FIRST_CHANGE_FRAMES;
            }
            if in_parts {
                self.sync.frame_over(conn);
            }
        }
        if peer.session.wants_to_send() {
            self.out.push_back(Output::Wake { conn });
        }
        (done, None)
    }

    pub(super) fn heard(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        what: What<'_>,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        match what {
            What::Ping { nonce } => self.pinged_by(now, conn, peer, nonce),
            What::FirstFeed { discovery_key } => self.greet(now, conn, peer, &discovery_key),
            What::Feed => {
                self.join(now, conn, peer, disk);
                None
            }
            What::Handshake(handshake) => self.meet(now, conn, peer, handshake, disk),
            What::Up { remote } => self.up(now, conn, peer, &remote),
            What::HostOpen => self.host_open(peer),
            What::HostClosed => self.host_closed(now, conn, peer, disk),
            What::Host { message } => self.host_message(now, conn, peer, message, disk),
            What::Opened { discovery_key } => self
                .meets_as_other(now, conn, peer, disk)
                .or_else(|| self.core_opened(now, conn, peer, &discovery_key, disk)),
            What::Live { discovery_key } => self.core_live(now, conn, peer, &discovery_key, disk),
            What::Closed { discovery_key } => {
                self.core_closed(now, conn, peer, &discovery_key);
                None
            }
            What::Message { discovery_key, message } => {
                if let Some(feed) = self.feeds.find(&discovery_key) {
                    self.message(now, conn, peer, feed, message, disk);
                }
                None
            }
            What::Data { discovery_key, data } => {
                if let Some(feed) = self.feeds.find(&discovery_key) {
                    self.core_data(now, conn, peer, feed, data, disk);
                }
                None
            }
            What::NoData { discovery_key, request } => {
                if let Some(feed) = self.feeds.find(&discovery_key) {
                    self.no_data(now, conn, peer, feed, request);
                }
                None
            }
            What::Incomplete | What::Nothing => None,
        }
    }

    pub(super) fn message(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        message: Message<'_>,
        disk: &mut dyn Disk,
    ) {
        match message {
            Message::Data(data) => self.data(now, conn, peer, feed, data, disk),
            other => {
                if matches!(other, Message::Request(_)) {
                    self.out.push_back(super::io::Output::Wake { conn });
                }
                self.sync.handle(
                    now,
                    Input::Message { peer: conn, feed, message: &other },
                    &self.feeds,
                );
            }
        }
    }

    fn data(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        data: Data<'_>,
        disk: &mut dyn Disk,
    ) {
        let len = data.value.map_or(0, <[u8]>::len) as u64;
        match self.sync.data(now, conn, feed, data.index, len) {
            Verdict::Expected | Verdict::Late => {}
            Verdict::Unneeded | Verdict::Unasked => return,
        }
        peer.useful = true;
        match self.receive_block(now, conn, feed, &data, disk) {
            Outcome::Done => {}
            Outcome::Later => {
                peer.arrival = Some(Arrival::owned(feed, data));
                self.work_due = true;
            }
        }
    }

    /// Verifies a block and puts it where it belongs.
    fn receive_block(
        &mut self,
        now: Instant,
        conn: ConnId,
        feed: FeedId,
        data: &Data<'_>,
        disk: &mut dyn Disk,
    ) -> Outcome {
        let result = self.store_block(now, feed, data, disk);
        self.block_judged(now, conn, feed, (data.index, data.value), result)
    }

    /// Tells everybody what became of a block.
    pub(super) fn block_judged(
        &mut self,
        now: Instant,
        conn: ConnId,
        feed: FeedId,
        (index, value): (u64, Option<&[u8]>),
        result: Result<Stored, StoreError>,
    ) -> Outcome {
        match result {
            Ok(stored) => {
                self.sync.handle(now, Input::Stored { feed, index }, &self.feeds);
                if let Some((from, to)) = stored.grew {
                    self.sync.handle(now, Input::Grew { feed, from, to }, &self.feeds);
                }
                self.block_stored(now, feed, index, value.map_or(0, <[u8]>::len), stored.grew);
                Outcome::Done
            }
            Err(StoreError::NotYet) => Outcome::Later,
            Err(StoreError::Refused(Refusal::Forked)) => {
                self.forked(now, feed);
                self.sync.handle(now, Input::Lost { feed, index }, &self.feeds);
                Outcome::Done
            }
            // What was true when it was asked for was overtaken.
            Err(StoreError::Refused(Refusal::Stale | Refusal::OtherFork)) => {
                self.sync.handle(now, Input::Overtaken { feed, peer: conn, index }, &self.feeds);
                Outcome::Done
            }
            Err(StoreError::Refused(why)) => {
                log::info!("{conn:?}: block {index} of {feed:?} refused: {why}");
                let input = match why {
                    Refusal::Contradicts => {
                        log::warn!("block {index} of {feed:?}: {why}; gannet verify tells more");
                        Input::Unusable { feed, peer: conn, index }
                    }
                    Refusal::Wrong | Refusal::Unsigned | Refusal::Roots => {
                        Input::Doubtful { feed, peer: conn, index }
                    }
                    _ => Input::Rejected { feed, peer: conn, index },
                };
                self.sync.handle(now, input, &self.feeds);
                Outcome::Done
            }
            // No file of the drive needs the block any more.
            Err(StoreError::Absent) => {
                self.sync.handle(now, Input::Lost { feed, index }, &self.feeds);
                Outcome::Done
            }
            Err(error) => {
                self.sync.handle(now, Input::Lost { feed, index }, &self.feeds);
                self.pause(now, feed, &error);
                Outcome::Done
            }
        }
    }

    /// Tries what waits for the disk again; true if the peer's socket may be read on.
    pub(super) fn retry_arrival(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        disk: &mut dyn Disk,
    ) -> bool {
        let Some(arrival) = peer.arrival.take() else { return true };
        let outcome = match &arrival {
            Arrival::Dat { feed, index, value, nodes, signature } => {
                let (value, nodes) = (value.as_deref(), nodes.clone());
                let data = Data { index: *index, value, nodes, signature: *signature };
                self.receive_block(now, conn, *feed, &data, disk)
            }
            Arrival::Core { feed, purpose, fork, value, proof, manifest } => {
                let given = Given {
                    purpose: *purpose,
                    fork: *fork,
                    value: value.as_deref(),
                    proof,
                    manifest: manifest.as_deref(),
                };
                self.receive_proof(now, conn, peer, *feed, &given, disk)
            }
        };
        match outcome {
            Outcome::Done => true,
            Outcome::Later => {
                peer.arrival = Some(arrival);
                false
            }
        }
    }

    /// Appends what is to be sent next, until `room` bytes were added.
    pub(super) fn write_frames(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        out: &mut Vec<u8>,
        room: usize,
        disk: &mut dyn Disk,
    ) -> Option<Reason> {
        let start = out.len();
        out.append(&mut peer.staged);
        while out.len() - start < room {
            if let Some((feed, line)) = peer.next_line() {
                self.say(peer, feed, &line, out);
                continue;
            }
            let next = peer.upload.take().or_else(|| {
                self.sync.next_upload(now, conn).map(|upload| (upload.feed, upload.request))
            });
            let Some((feed, request)) = next else { break };
            match self.serve(now, conn, peer, feed, request, out, disk) {
                Served::Sent | Served::Never => {}
                Served::Later => {
                    peer.upload = Some((feed, request));
                    self.work_due = true;
                    break;
                }
            }
        }
        if std::mem::take(&mut peer.keepalive) && out.len() == start {
            peer.session.keepalive(out);
        }
        peer.session.finish(out);
        self.read_on(conn, peer);
        // What is said to a ping is the last word.
        matches!(peer.session, Session::Ping).then_some(Reason::Pinged)
    }

    fn say(&self, peer: &mut Peer, of: FeedId, line: &Line, out: &mut Vec<u8>) {
        let Some(feed) = self.feeds.get(of).map(|open| open.store.feed()) else { return };
        let said = match (&mut peer.session, line) {
            (session, Line::Sync(message)) => session.say(of, feed, message, out),
            (Session::Hyper(hyper), Line::Narrow { fork, ask }) => {
                hyper.ask_on(of, feed, *fork, *ask, out)
            }
            (Session::Hyper(hyper), Line::Probe) => hyper.probe_growth(of, feed, out),
            (_, Line::Narrow { .. } | Line::Probe) => Ok(()),
        };
        if let Err(error) = said {
            log::debug!("{}: a message about {of:?} was not sent: {error}", peer.name());
        }
    }

    /// Whether nothing is read from a peer for now: what it sent, asked for or has us say is waiting.
    fn is_deaf_to(&self, conn: ConnId, peer: &Peer) -> bool {
        peer.arrival.is_some() || peer.is_full() || self.sync.uploads_full(conn)
    }

    /// Lets a socket be read again if nothing speaks against it any more.
    pub(super) fn read_on(&mut self, conn: ConnId, peer: &mut Peer) {
        if peer.held && !self.is_deaf_to(conn, peer) {
            peer.held = false;
            self.out.push_back(super::io::Output::Resume { conn });
        }
    }

    /// The same for all: what opens a gate is not always that something was sent.
    /// Those that are not at rest.
    pub(super) fn read_on_all(&mut self, now: Instant) -> Vec<ConnId> {
        let busy = self.peers.busy(now);
        for conn in &busy {
            let Some(peer) = self.peers.get(conn).filter(|peer| peer.held) else { continue };
            if !self.is_deaf_to(*conn, peer)
                && let Some(peer) = self.peers.get_mut(conn)
            {
                peer.held = false;
                self.out.push_back(Output::Resume { conn: *conn });
            }
        }
        busy
    }

    #[allow(clippy::too_many_arguments)] // Everything that an answer is made of.
    fn serve(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer,
        feed: FeedId,
        request: Request,
        out: &mut Vec<u8>,
        disk: &mut dyn Disk,
    ) -> Served {
        if let Some(numbered) = request.numbered {
            return self.serve_core(now, conn, peer, feed, &numbered, out, disk);
        }
        let answer = match self.answer(now, feed, request, disk) {
            Ok(answer) => answer,
            Err(StoreError::NotYet) => return Served::Later,
            Err(error) => {
                log::info!("{}: request for {} not served: {error}", peer.name(), request.index);
                let unavailable = Input::Unavailable { peer: conn, feed, request };
                self.sync.handle(now, unavailable, &self.feeds);
                return Served::Never;
            }
        };
        let index = answer.index;
        let Some(key) = self.feeds.discovery_key(feed) else { return Served::Never };
        let Session::Dat(session) = &mut peer.session else { return Served::Never };
        let nodes = &answer.proof.nodes;
        let signature = answer.proof.signature.as_ref();
        let before = out.len();
        let sent = if request.hash {
            let data =
                Data { index, value: None, nodes: nodes.clone(), signature: signature.copied() };
            session.send(&key, &Message::Data(data), out)
        } else {
            let value = &self.feeds.scratch;
            session.data_header(&key, index, value.len(), nodes, signature, out).map(|from| {
                out.extend_from_slice(value);
                session.seal(from, out);
            })
        };
        if let Err(error) = sent {
            log::info!("{}: block {index} not sent: {error}", peer.name());
            let request = Request { index, ..request };
            let unavailable = Input::Unavailable { peer: conn, feed, request };
            self.sync.handle(now, unavailable, &self.feeds);
            return Served::Never;
        }
        peer.useful = true;
        let bytes = (out.len() - before) as u64;
        self.quota_served(feed, index);
        self.sync.handle(now, Input::Uploaded { peer: conn, feed, index, bytes }, &self.feeds);
        Served::Sent
    }

    /// Carries out what `sync` decided.
    pub(super) fn settle_sync(&mut self, now: Instant) -> bool {
        let mut moved = false;
        while let Some(output) = self.sync.poll_output() {
            moved = true;
            match output {
                sync::Output::Send { peer: conn, feed, message } => {
                    if let Some(peer) = self.peers.get_mut(&conn) {
                        let asks = message.is_answered();
                        if asks && peer.held && peer.arrival.is_none() {
                            // Its answer has to be read.
                            peer.held = peer.is_full() || self.sync.uploads_full(conn);
                            if !peer.held {
                                self.out.push_back(Output::Resume { conn });
                            }
                        }
                        if peer.outbox.is_empty() {
                            self.out.push_back(super::io::Output::Wake { conn });
                        }
                        peer.queue(feed, message);
                        if peer.outbox.len() > limits::OUTBOX_LINES_HARD {
                            log::info!("{}: does not read", peer.name());
                            self.close(now, conn, Reason::Slow);
                        }
                    }
                }
                sync::Output::Drop { peer, why } => {
                    log::info!("{peer:?}: {why}");
                    let reason = match why {
                        sync::Why::BadData | sync::Why::Unasked => Reason::BadData,
                        sync::Why::Slow => Reason::Slow,
                        sync::Why::Flood | sync::Why::BadBitfield => Reason::Fault,
                    };
                    self.close(now, peer, reason);
                }
                sync::Output::Ban { peer, why } => self.ban(now, peer, why),
                sync::Output::Finished { peer } => self.finish(now, peer),
                sync::Output::Complete { feed, heard } => {
                    self.feed_complete(now, feed, heard);
                }
                sync::Output::NeedPeers { feed } => self.need_peers(now, feed),
            }
        }
        moved
    }
}
