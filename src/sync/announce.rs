//! What we tell peers that we hold: only what they asked to hear (B05), answers before all else
//! (dat/SPEC §5.2, §5.6).

use super::remote::Remote;
use super::{Feeds, OwnedMessage, PeerId, Sync};
use crate::bits::Bitfield;
use crate::codec::rle;
use crate::feed::Feed;
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;

impl Sync {
    pub(super) fn want(
        &mut self,
        now: Instant,
        id: PeerId,
        of: FeedId,
        start: u64,
        length: Option<u64>,
        feeds: &dyn Feeds,
    ) {
        let (Some(state), Some(feed)) = (self.feeds.get(&of), feeds.feed(of)) else { return };
        let upload = state.upload;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (burst, per_second) = (limits::WANT_ANSWERS_BURST, limits::WANT_ANSWERS_PER_SECOND);
        if !start.is_multiple_of(limits::WANT_ALIGN) || start > limits::MAX_SAFE_INTEGER {
            return;
        }
        let Some(remote) = peer.feeds.get_mut(&of) else { return };
        // The first of each feed is answered always: one stream may be about thousands of them.
        if !peer.first_wants.insert(of) && !peer.want_answers.take(now, burst, per_second) {
            return;
        }
        let first = !remote.windows.subscribed;
        if !remote.told {
            remote.windows.add(start, length);
        }
        let mut answers = Vec::new();
        if upload {
            if first && let Some(hint) = length_hint(feed) {
                remote.windows.hinted = feed.length();
                answers.push(hint);
            }
            match length {
                Some(length) => {
                    answers.push(window_answer(feed, start, length));
                    let more = start.saturating_add(limits::WANT_BLOCKS);
                    if length > limits::WANT_BLOCKS && feed.shown_length() > more {
                        answers.push(window_answer(feed, more, length - limits::WANT_BLOCKS));
                    }
                }
                None => answer_everything(feed, &mut answers),
            }
        } else {
            let length = length.map_or(1, |length| length.min(limits::WANT_BLOCKS));
            answers.push(OwnedMessage::Have { start, length, bits: Some(Vec::new()), ack: false });
        }
        remote.wants.have_sent = true;
        answers.into_iter().for_each(|answer| self.send(id, of, answer));
    }

    pub(super) fn unwant(&mut self, id: PeerId, of: FeedId, start: u64, length: Option<u64>) {
        let remote = self.peers.get_mut(&id).and_then(|peer| peer.feeds.get_mut(&of));
        if let Some(remote) = remote.filter(|remote| !remote.told) {
            // A stranger who punches holes into his windows goes on hearing of them.
            if remote.windows.blocks.ranges() < limits::WANT_WINDOWS {
                remote.windows.blocks.remove(start, length.unwrap_or(u64::MAX));
            }
            remote.windows.subscribed = !remote.windows.blocks.is_empty();
        }
    }

    /// A peer of 2017 crashes at a Request that comes before any Have from us.
    pub(super) fn have_before_request(&mut self, id: PeerId, of: FeedId) {
        let remote = self.peers.get_mut(&id).and_then(|peer| peer.feeds.get_mut(&of));
        if let Some(remote) = remote
            && remote.wants.old
            && !remote.wants.have_sent
        {
            remote.wants.have_sent = true;
            let bits = Some(Vec::new());
            self.send(id, of, OwnedMessage::Have { start: 0, length: 1, bits, ack: false });
        }
    }

    /// Tells the giver of a block that it is stored, if it asked for that.
    pub(super) fn acknowledge(&mut self, from: PeerId, of: FeedId, index: u64) {
        let remote = self.peers.get(&from).filter(|p| !p.leaving).and_then(|p| p.feeds.get(&of));
        if remote.is_some_and(|remote| remote.ack) {
            let message = OwnedMessage::Have { start: index, length: 1, bits: None, ack: true };
            self.send(from, of, message);
        }
    }

    /// A stored block is announced soon, together with its neighbours.
    pub(super) fn queue_announcement(
        &mut self,
        now: Instant,
        of: FeedId,
        index: u64,
        feeds: &dyn Feeds,
    ) {
        let Some(state) = self.feeds.get_mut(&of).filter(|state| state.upload) else { return };
        let Some(feed) = feeds.feed(of) else { return };
        let listens = |id| {
            let remote = self.peers.get(id).and_then(|peer| peer.feeds.get(&of));
            remote.is_some_and(|r| r.windows.subscribed && !r.has_the_same(index, feed))
        };
        if !state.peers.iter().any(listens) {
            return;
        }
        state.fresh.insert(index, 1);
        self.unannounced.insert(of);
        if self.announce_at.is_none() {
            self.announce_at = Some(now + limits::ANNOUNCE_AFTER);
            self.wake_for(self.announce_at);
        }
    }

    pub(super) fn announce_stored(&mut self, feeds: &dyn Feeds) {
        self.announce_at = None;
        while let Some(of) = self.unannounced.pop_first() {
            let Some(state) = self.feeds.get_mut(&of) else { continue };
            let fresh = std::mem::take(&mut state.fresh);
            for (start, length) in fresh.iter() {
                self.announce(of, start, start + length, feeds);
            }
        }
    }

    /// The proven length is `to`, and of `from..to` there may be blocks of our own.
    pub(super) fn grew(&mut self, of: FeedId, from: u64, to: u64, feeds: &dyn Feeds) {
        self.touched.insert(of);
        self.growth_succeeded(of);
        self.end_growth(of, None);
        let upload = self.feeds.get(&of).is_some_and(|state| state.upload);
        let Some(feed) = feeds.feed(of) else { return };
        // Those that come by Stored are not here yet.
        for (start, length) in feed.have().ranges(from, to).filter(|_| upload) {
            self.announce(of, start, start + length, feeds);
        }
        self.tell_head(of, feeds);
        if feed.askable() <= to {
            self.search_again(of);
        }
    }

    /// Tells a peer that hears of everything what we hold without a gap from the first block on; it
    /// asks for the rest.
    pub(super) fn tell_front(&mut self, id: PeerId, of: FeedId, feeds: &dyn Feeds) {
        let upload = self.feeds.get(&of).is_some_and(|state| state.upload);
        let Some(feed) = feeds.feed(of).filter(|_| upload) else { return };
        let front = feed.have().next_clear(0).min(feed.shown_length());
        if front > 0 {
            self.send(id, of, OwnedMessage::have(0, front));
        }
    }

    /// Tells all that asked for it that `start..end` is here.
    fn announce(&mut self, of: FeedId, start: u64, end: u64, feeds: &dyn Feeds) {
        let (Some(state), Some(feed)) = (self.feeds.get(&of), feeds.feed(of)) else { return };
        let mut messages = Vec::new();
        for id in &state.peers {
            let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.leaving) else { continue };
            let Some(remote) = peer.feeds.get_mut(&of) else { continue };
            let before = messages.len();
            remote.announcements(start, end, feed, |message| messages.push((*id, message)));
            remote.wants.have_sent |= messages.len() > before;
        }
        messages.into_iter().for_each(|(id, message)| self.send(id, of, message));
    }

    /// Uploading begins: those who asked meanwhile, and were told that nothing is here, hear of it.
    pub(super) fn announce_all(&mut self, of: FeedId, feeds: &dyn Feeds) {
        let Some(feed) = feeds.feed(of) else { return };
        let held = feed.have().ranges(0, feed.shown_length());
        for (start, length) in held.take(limits::ANNOUNCE_RANGES) {
            self.announce(of, start, start + length, feeds);
        }
    }

    /// Blocks are gone here: everybody who heard of them hears of it, and they may be wanted again.
    pub(super) fn cleared(&mut self, of: FeedId, start: u64, length: u64) {
        let end = start.saturating_add(length);
        let Some(state) = self.feeds.get_mut(&of).filter(|_| start < end) else { return };
        state.lost(start);
        state.fresh.remove(start, length);
        let mut messages = Vec::new();
        for id in &state.peers {
            let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.leaving) else { continue };
            peer.uploads.cleared(of, start, end);
            let Some(remote) = peer.feeds.get(&of).filter(|_| state.upload) else { continue };
            for (start, length) in remote.windows.blocks.within(start, end) {
                messages.push((*id, OwnedMessage::Unhave { start, length }));
            }
        }
        messages.into_iter().for_each(|(id, message)| self.send(id, of, message));
        self.touched.insert(of);
        self.search_again(of);
    }
}

impl super::remote::Windows {
    pub(super) fn add(&mut self, start: u64, length: Option<u64>) {
        self.subscribed = true;
        // A stranger with many odd windows hears of what is between them too.
        if self.count >= limits::WANT_WINDOWS {
            self.blocks.insert(0, u64::MAX);
            return;
        }
        self.count += 1;
        let start = if length.is_none() { 0 } else { start };
        self.blocks.insert(start, length.unwrap_or(u64::MAX));
    }
}

impl Remote {
    /// What to tell the peer of blocks `start..end`: its windows, without what it holds itself. A
    /// feed that grows out of all windows is hinted at once a range, so that the peer asks on.
    fn announcements(
        &mut self,
        start: u64,
        end: u64,
        feed: &Feed,
        mut tell: impl FnMut(OwnedMessage),
    ) {
        if !self.windows.subscribed {
            return;
        }
        for (start, length) in self.windows.blocks.within(start, end) {
            if length > limits::ANNOUNCE_SIFT {
                tell(OwnedMessage::have(start, length));
                continue;
            }
            let mut from = start;
            for block in start..=start + length {
                if block == start + length || self.has_the_same(block, feed) {
                    if from < block {
                        tell(OwnedMessage::have(from, block - from));
                    }
                    from = block + 1;
                }
            }
        }
        let (last, range) = (end - 1, |block: u64| block / limits::WANT_BLOCKS);
        let windows = self.windows.blocks.iter().next_back().map_or(0, |(from, n)| from + n);
        let told = windows.max(self.windows.hinted);
        if last >= told && range(last) > range(told.saturating_sub(1)) {
            self.windows.hinted = end;
            tell(OwnedMessage::have(last, 1));
        }
    }
}

/// "My last block is that one", which lets JavaScript peers learn the length early.
fn length_hint(feed: &Feed) -> Option<OwnedMessage> {
    let last = feed.shown_length().checked_sub(1)?;
    feed.has(last).then(|| OwnedMessage::have(last, 1))
}

/// The echo of a Want: same start, same length, what we hold in between.
fn window_answer(feed: &Feed, start: u64, length: u64) -> OwnedMessage {
    let length = length.min(limits::WANT_BLOCKS);
    let shown = feed.shown_length().saturating_sub(start);
    let bits = Some(encode(feed.have(), start, length.min(shown)));
    OwnedMessage::Have { start, length, bits, ack: false }
}

/// The answer to a Want without a length: everything, and that there is no need to ask further.
fn answer_everything(feed: &Feed, answers: &mut Vec<OwnedMessage>) {
    let bits = Some(encode(feed.have(), 0, limits::WANT_BLOCKS.min(feed.shown_length())));
    answers.push(OwnedMessage::Have { start: 0, length: 1, bits, ack: false });
    // What does not fit into one bitfield goes as ranges.
    let behind = feed.have().ranges(limits::WANT_BLOCKS, feed.shown_length());
    let ranges = behind.take(limits::WANT_WINDOWS);
    answers.extend(ranges.map(|(start, length)| OwnedMessage::have(start, length)));
}

/// Blocks `start..start + length`, run-length-coded. `length` is at most `limits::WANT_BLOCKS`.
fn encode(have: &Bitfield, start: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, count) in have.ranges(start, start.saturating_add(length)) {
        let (first, end) = (first - start, first - start + count);
        bytes.resize(end.div_ceil(8) as usize, 0);
        let (head, tail) = ((first / 8) as usize, (end / 8) as usize);
        let (left, right) = (0xff_u8 >> (first % 8), !(0xff_u8 >> (end % 8)));
        if head == tail {
            bytes[head] |= left & right;
        } else {
            bytes[head] |= left;
            bytes[head + 1..tail].fill(0xff);
            if right != 0 {
                bytes[tail] |= right;
            }
        }
    }
    rle::encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::encode;
    use crate::bits::Bitfield;
    use crate::codec::rle;
    use crate::rng::Rng;

    #[test]
    fn b05_windows_encode_as_the_bits_they_are() {
        for seed in 0..200 {
            let mut rng = Rng::from_seed(seed);
            let mut have = Bitfield::new();
            for _ in 0..rng.below(20) {
                have.set_range(8192 + rng.below(3000), 1 + rng.below(200));
            }
            let mut plain = vec![0_u8; 512];
            for bit in (0..4096).filter(|bit| have.get(8192 + bit)) {
                plain[bit as usize / 8] |= 0x80 >> (bit % 8);
            }
            assert_eq!(encode(&have, 8192, 4096), rle::encode(&plain));
        }
    }
}
