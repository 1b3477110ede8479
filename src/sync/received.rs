//! What peers say. Every number in here comes from a stranger.

use super::requests::block_estimate;
use super::{Feeds, OwnedMessage, PeerId, Sync, Why};
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;
use crate::wire::{Bits, Have, Message, Request};

impl Sync {
    pub(super) fn received(
        &mut self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        message: &Message<'_>,
        feeds: &dyn Feeds,
    ) {
        let known = self.peers.get(&id).is_some_and(|p| !p.leaving && p.feeds.contains_key(&of));
        if !known {
            return;
        }
        match message {
            Message::Head(head) => self.head(now, id, of, head, feeds),
            Message::Have(have) => self.have(now, id, of, have, feeds),
            Message::Unhave { start, length } => self.unhave(now, id, of, *start, *length),
            Message::Want { start, length } => self.want(now, id, of, *start, *length, feeds),
            Message::Unwant { start, length } => self.unwant(id, of, *start, *length),
            Message::Request(request) => self.requested(now, id, of, request, feeds),
            Message::Cancel(request) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.uploads.cancel(of, request);
                }
            }
            Message::Info { uploading, downloading } => {
                self.info(now, id, of, *uploading, *downloading);
            }
            Message::Refusal { index } => self.refused(now, id, of, *index),
            Message::Data(_) | Message::Extension { .. } => {}
        }
    }

    /// The peer is not going to answer for a block; others are asked, and it perhaps later.
    fn refused(&mut self, now: Instant, id: PeerId, of: FeedId, index: u64) {
        if self.peers.get(&id).is_none_or(|peer| peer.asked_at(of, index).is_none()) {
            return;
        }
        self.decline(now, id, of, index);
        self.touched.insert(of);
        self.disown(now, id, of, index);
    }

    fn have(&mut self, now: Instant, id: PeerId, of: FeedId, have: &Have<'_>, feeds: &dyn Feeds) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        if have.start > limits::MAX_SAFE_INTEGER {
            return;
        }
        let own = remote.holdings.bytes();
        let room = (limits::PEER_HOLDINGS_BYTES.saturating_sub(peer.held_bytes))
            .min(limits::HOLDINGS_BYTES.saturating_sub(self.held_bytes))
            + own;
        let read = match have.bits {
            Some(Bits::Runs(bits)) if have.start.is_multiple_of(8) => {
                remote.holdings.replace(have.start, bits, room).map(|(end, _)| end).map_err(drop)
            }
            Some(Bits::Words(words)) if have.start.is_multiple_of(8) => {
                Ok(remote.holdings.replace_words(have.start, words, room))
            }
            Some(_) => Err(()),
            None => {
                let end = have.start.saturating_add(have.length.max(1));
                let end = end.min(limits::MAX_SAFE_INTEGER + 1);
                remote.holdings.set(have.start, end, room);
                Ok(end)
            }
        };
        let grown = remote.holdings.bytes();
        peer.held_bytes = peer.held_bytes - own + grown;
        self.held_bytes = self.held_bytes - own + grown;
        let Ok(end) = read else {
            return self.disconnect(now, id, Why::BadBitfield, false);
        };
        if remote.head.is_none() {
            remote.length = remote.length.max(end);
        }
        remote.wants.heard(have, remote.told);
        if have.bits.is_some() {
            self.take_back_lost(now, id, of);
        }
        self.extend_wants(id, of);
        self.offered(now, id, of, have, end, feeds);
    }

    /// The peer offers blocks up to `end` that it perhaps did not before.
    fn offered(
        &mut self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        have: &Have<'_>,
        end: u64,
        feeds: &dyn Feeds,
    ) {
        let (Some(state), Some(feed)) = (self.feeds.get(&of), feeds.feed(of)) else { return };
        if !state.downloading() {
            return;
        }
        self.touched.insert(of);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        if have.bits.is_none() && end - have.start == 1 {
            // A single block needs no search.
            let asked = have.start < feed.askable() && state.is_missing(feed, have.start);
            if !asked || !remote.offers(have.start, now) {
                return;
            }
            if remote.picks.queue.len() < limits::PICK_WINDOW {
                remote.picks.queue.push_back(have.start);
            } else {
                remote.picks.barren = false;
            }
        } else {
            remote.picks.barren = false;
        }
        peer.ripe.insert(of);
        self.hungry.insert(id);
    }

    /// What the peer was asked for and does not offer any more is asked of others.
    fn take_back_lost(&mut self, now: Instant, id: PeerId, of: FeedId) {
        let Some(peer) = self.peers.get(&id) else { return };
        let Some(remote) = peer.feeds.get(&of) else { return };
        let mut asked = peer.asked_in(of, 0, u64::MAX);
        asked.retain(|block| !remote.holdings.contains(*block));
        asked.into_iter().for_each(|block| self.disown(now, id, of, block));
    }

    /// The peer lost blocks (B03).
    pub(super) fn unhave(&mut self, now: Instant, id: PeerId, of: FeedId, start: u64, length: u64) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        let end = start.saturating_add(length.max(1));
        let own = remote.holdings.bytes();
        let free = limits::PEER_HOLDINGS_BYTES.saturating_sub(peer.held_bytes);
        remote.holdings.clear(start, end, own + free);
        let left = remote.holdings.bytes();
        peer.held_bytes = peer.held_bytes - own + left;
        self.held_bytes = self.held_bytes - own + left;
        self.take_back_lost(now, id, of);
        self.touched.insert(of);
    }

    fn requested(
        &mut self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        request: &Request,
        feeds: &dyn Feeds,
    ) {
        let Some(state) = self.feeds.get(&of) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let known = feeds.feed(of);
        let here = known.is_some_and(|feed| {
            if let Some(core) = &request.numbered {
                return feed.answers(&core.ask, core.fork) || core.manifest && feed.has_manifest();
            }
            let leaf = request.index.checked_mul(2).is_some_and(|leaf| feed.holds(leaf));
            match (request.bytes, request.hash) {
                (0, false) => feed.has(request.index) && request.index < feed.shown_length(),
                (0, true) => leaf || feed.has(request.index),
                (seek, _) => seek < feed.byte_length() || feed.has(request.index),
            }
        });
        if state.upload && here {
            let block = request.numbered.is_none_or(|core| core.ask.block.is_some());
            let bytes = known.filter(|_| block).map_or(0, block_estimate);
            if peer.uploads.push(of, *request, bytes).is_err() {
                self.disconnect(now, id, Why::Flood, false);
            }
        } else {
            self.refuse(now, id, of, request);
        }
    }

    /// Tells that we lack a block; not to a flood of requests, though (R12).
    fn refuse(&mut self, now: Instant, id: PeerId, of: FeedId, request: &Request) {
        let index = request.index;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (burst, per_second) = (limits::REFUSALS_BURST, limits::REFUSALS_PER_SECOND);
        if index <= limits::MAX_SAFE_INTEGER && peer.refusals.take(now, burst, per_second) {
            self.send(
                id,
                of,
                match request.numbered {
                    Some(_) => OwnedMessage::Refusal(*request),
                    None => OwnedMessage::Unhave { start: index, length: 1 },
                },
            );
        }
    }

    pub(super) fn unavailable(&mut self, now: Instant, id: PeerId, of: FeedId, request: &Request) {
        let joined = self.peers.get(&id).is_some_and(|p| !p.leaving && p.feeds.contains_key(&of));
        if joined {
            self.refuse(now, id, of, request);
        }
    }

    pub(super) fn info(
        &mut self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        uploading: bool,
        downloading: bool,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        if (remote.uploading, remote.downloading) == (uploading, downloading) {
            return;
        }
        remote.uploading = uploading;
        remote.downloading = downloading;
        if uploading {
            remote.picks.barren = false;
            peer.ripe.insert(of);
            self.hungry.insert(id);
        } else {
            self.return_all(now, id, Some(of));
        }
        self.touched.insert(of);
        // The end of the session may have come.
        self.wake_for(Some(now));
    }
}

impl super::remote::Wants {
    /// Takes a Have as the answer to a Want, if it can be one (dat/SPEC §5.2). Who tells of everything
    /// anyway may answer with any.
    fn heard(&mut self, have: &Have<'_>, told: bool) {
        self.answered = true;
        if told {
            self.open = self.open.saturating_sub(1);
            return;
        }
        if have.bits.is_none() {
            return;
        }
        if have.length <= 1 {
            self.old = true;
            self.open = 0;
        } else if have.length == limits::WANT_BLOCKS {
            self.open = self.open.saturating_sub(1);
        }
    }
}
