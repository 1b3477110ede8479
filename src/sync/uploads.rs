//! The requests of one peer that wait for their answers, and token buckets for what a peer may make
//! us say.

use std::collections::VecDeque;
use std::time::Duration;

use super::Upload;
use crate::ids::FeedId;
use crate::limits;
use crate::time::Instant;
use crate::wire::Request;

/// First come, first served: a JavaScript peer times its oldest request only.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    queue: VecDeque<(Upload, u64)>,
    /// Bytes of the blocks asked for, by estimate.
    bytes: u64,
}

/// A request was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl Uploads {
    /// Queues a request for a block of about `bytes`. The same one twice is answered once.
    pub(super) fn push(&mut self, feed: FeedId, request: Request, bytes: u64) -> Result<(), Flood> {
        let same = |u: &Upload| u.feed == feed && same_block(&u.request, &request);
        if self.queue.iter().any(|(upload, _)| same(upload)) {
            return Ok(());
        }
        if self.queue.len() >= limits::UPLOAD_REQUESTS_HARD {
            return Err(Flood);
        }
        let bytes = if request.hash { 0 } else { bytes };
        self.queue.push_back((Upload { feed, request }, bytes));
        self.bytes += bytes;
        Ok(())
    }

    fn retain(&mut self, keep: impl Fn(&Upload) -> bool) {
        let Uploads { queue, bytes } = self;
        queue.retain(|(upload, size)| {
            let keep = keep(upload);
            *bytes -= if keep { 0 } else { *size };
            keep
        });
    }

    pub(super) fn cancel(&mut self, feed: FeedId, request: &Request) {
        self.retain(|u| u.feed != feed || !same_block(&u.request, request));
    }

    /// Drops requests for blocks that are gone.
    pub(super) fn cleared(&mut self, feed: FeedId, start: u64, end: u64) {
        let gone = |u: &Upload| {
            let r = &u.request;
            // Who numbers requests waits for an answer to each.
            let block = r.numbered.is_none() && r.bytes == 0 && !r.hash;
            u.feed == feed && block && (start..end).contains(&r.index)
        };
        self.retain(|u| !gone(u));
    }

    pub(super) fn forget(&mut self, feed: FeedId) {
        self.retain(|u| u.feed != feed);
    }

    pub(super) fn pop(&mut self) -> Option<Upload> {
        let (upload, bytes) = self.queue.pop_front()?;
        self.bytes -= bytes;
        Some(upload)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether the peer is not to be read. With `mutual` it owes us blocks: would we stop reading,
    /// it could not send them, and if it does the same nobody reads ever again.
    pub(super) fn full(&self, mutual: bool) -> bool {
        if mutual {
            return self.queue.len() >= limits::UPLOAD_REQUESTS_MUTUAL;
        }
        let many = self.queue.len() >= limits::UPLOAD_REQUESTS;
        many || self.queue.len() >= 2 && self.bytes >= limits::UPLOAD_BYTES
    }
}

/// The digest may differ: it says what the asker holds, not what it asks for.
fn same_block(a: &Request, b: &Request) -> bool {
    if a.numbered.is_some() || b.numbered.is_some() {
        return a.numbered.map(|a| a.id) == b.numbered.map(|b| b.id);
    }
    (a.index, a.bytes, a.hash) == (b.index, b.bytes, b.hash)
}

/// A token bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Taken, in thousandths of a token; it runs out over time.
    taken: u64,
    at: Instant,
}

impl Bucket {
    /// Takes a token of `burst`, which come back at `per_second`.
    pub(super) fn take(&mut self, now: Instant, burst: u32, per_second: u32) -> bool {
        let back = now.since(self.at).min(Duration::from_secs(3600)).as_millis() as u64;
        self.taken = self.taken.saturating_sub(back * u64::from(per_second));
        self.at = now;
        let free = self.taken + 1000 <= u64::from(burst) * 1000;
        self.taken += if free { 1000 } else { 0 };
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(index: u64) -> Request {
        Request { index, ..Request::default() }
    }

    #[test]
    fn r04_cancel_takes_a_queued_upload_out_and_is_harmless_later() {
        let mut uploads = Uploads::default();
        for n in 0..4 {
            uploads.push(FeedId(1), block(n), 10).unwrap();
        }
        uploads.cancel(FeedId(1), &Request { digest: 9, ..block(2) });
        uploads.cancel(FeedId(2), &block(1));
        assert_eq!(uploads.pop().map(|u| u.request.index), Some(0));
        uploads.cancel(FeedId(1), &block(0));
        let rest: Vec<u64> =
            std::iter::from_fn(|| uploads.pop()).map(|u| u.request.index).collect();
        assert_eq!(rest, [1, 3]);
    }

    #[test]
    fn r11_queue_is_bounded_and_repetitions_do_not_fill_it() {
        let mut uploads = Uploads::default();
        for _ in 0..100_000 {
            uploads.push(FeedId(1), block(7), 10).unwrap();
        }
        assert_eq!(uploads.len(), 1);
        let push = |uploads: &mut Uploads, n| uploads.push(FeedId(1), block(n), 10).is_ok();
        let taken = (0..100_000).take_while(|&n| push(&mut uploads, n)).count();
        assert!(uploads.full(false) && uploads.full(true));
        assert!(uploads.len() <= limits::UPLOAD_REQUESTS_HARD);
        assert!(taken >= limits::UPLOAD_REQUESTS);
        while uploads.pop().is_some() {}
        assert_eq!((uploads.len(), uploads.bytes), (0, 0));
    }

    #[test]
    fn r11_bytes_of_blocks_close_the_gate_too_but_one_block_never_does() {
        let mut uploads = Uploads::default();
        uploads.push(FeedId(1), block(0), limits::BLOCK_BYTES as u64).unwrap();
        assert!(!uploads.full(false));
        uploads.push(FeedId(1), block(1), 1).unwrap();
        assert!(uploads.full(false) && !uploads.full(true));
        uploads.cancel(FeedId(1), &block(0));
        assert!(!uploads.full(false));
        for n in 0..8 {
            assert!(!uploads.full(false), "{n}");
            uploads.push(FeedId(2), block(n), 64 * 1024).unwrap();
        }
        assert!(uploads.full(false));
        uploads.forget(FeedId(2));
        assert_eq!((uploads.len(), uploads.bytes), (1, 1));
    }

    #[test]
    fn r12_bucket_lets_a_burst_through_and_then_a_trickle() {
        let mut bucket = Bucket::default();
        let now = Instant(5_000_000);
        assert_eq!((0..100).filter(|_| bucket.take(now, 10, 2)).count(), 10);
        let later = now + Duration::from_secs(2);
        assert_eq!((0..100).filter(|_| bucket.take(later, 10, 2)).count(), 4);
    }
}
