//! A connection as the loop sees it: a socket, what came in and is not consumed, what is to go out.
//! Knows nothing of what the bytes mean.

use std::io;

use slab::Slab;

use crate::ids::ConnId;
use crate::limits;
use crate::sys::Handle;
use crate::time::Instant;

use super::rates::{Share, Waits, Way};

/// A socket with its buffers.
pub(super) struct Conn {
    pub handle: Handle,
    pub state: State,
    /// The socket became readable and has not said `WouldBlock` since.
    pub readable: bool,
    /// The socket became writable and has not said `WouldBlock` since.
    pub writable: bool,
    /// Stands in the run queue.
    pub queued: bool,
    /// The engine has frames to pull.
    pub wake: bool,
    /// The engine wants no bytes now.
    pub held: bool,
    /// Waits at the gate of send memory.
    pub gated: bool,
    /// The receive buffer may hold a whole frame, left over when the quantum was used up.
    pub more: bool,
    /// What the receive buffer is charged with.
    pub charged: usize,
    /// A large frame waits for its turn: receive memory is full.
    pub crowded: bool,
    /// The length of the frame at the front of the receive buffer, if the engine knows it.
    pub need: usize,
    /// When bytes were last taken by the socket, or there first was something to send.
    pub progress: Instant,
    /// The timer against a peer that takes nothing runs.
    pub stalling: bool,
    pub inbox: Inbox,
    pub outbox: Outbox,
    /// Writing failed: what the peer sent before is still read, then the connection ends with this.
    pub broken: Option<io::Error>,
    /// It is a socket of this machine, whose bytes are not counted.
    pub unlimited: bool,
    /// What it has let pass up and down, once there was a rate for it.
    pub shares: Option<Box<[Share; 2]>>,
}

/// What is left to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The engine has it.
    Open,
    /// The engine is done with it; what is queued goes out.
    Flushing {
        /// The peer has sent its FIN.
        ended: bool,
    },
    /// Our FIN is out; the peer's is awaited, so that the kernel does not answer late bytes with a
    /// reset that destroys what the peer has not read yet.
    Draining,
}

impl Conn {
    pub fn new(handle: Handle, now: Instant) -> Conn {
        Conn {
            handle,
            state: State::Open,
            // Both may well be true already; if not, `WouldBlock` tells.
            readable: true,
            writable: true,
            queued: false,
            wake: false,
            held: false,
            gated: false,
            more: false,
            charged: 0,
            crowded: false,
            need: 0,
            progress: now,
            stalling: false,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            broken: None,
            unlimited: false,
            shares: None,
        }
    }

    /// How it waits for a rate.
    pub fn waits(&self, way: Way) -> Waits {
        self.shares.as_ref().map_or(Waits::No, |shares| shares[way as usize].state)
    }

    /// There is something to send, as far as is known, and a socket to send it to.
    pub fn may_send(&self) -> bool {
        let able = self.writable && self.broken.is_none() && self.state != State::Draining;
        able && (self.outbox.len() > 0 || self.wake)
    }

    /// It would let bytes pass this way if it might.
    pub fn wants(&self, way: Way) -> bool {
        match way {
            Way::Up => self.may_send() && !self.gated,
            Way::Down => {
                let open = self.state == State::Open && !self.held;
                open && self.readable && !self.crowded
            }
        }
    }

    /// True if a turn on this connection would do something.
    pub fn runnable(&self, send_low: usize) -> bool {
        let reads = match self.state {
            State::Open if self.broken.is_some() => true,
            State::Open => {
                let reads = self.readable && !self.crowded && !self.waits(Way::Down).is_shut();
                !self.held && (reads || self.more)
            }
            State::Flushing { ended } => self.readable && !ended,
            State::Draining => self.readable,
        };
        let pulls = self.wake && !self.gated && self.outbox.len() < send_low;
        let writes = match self.state {
            State::Draining => false,
            State::Flushing { .. } if self.outbox.len() == 0 && !self.wake => true,
            _ if self.broken.is_some() || self.waits(Way::Up).is_shut() => false,
            _ => self.writable && (self.outbox.len() > 0 || pulls),
        };
        reads || writes
    }
}

/// Received bytes that the engine has not consumed.
#[derive(Default)]
pub(super) struct Inbox {
    /// All of it is initialised; `start..end` holds bytes.
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..self.end]
    }

    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
    }

    /// Keeps a copy of `bytes` in place of what was there.
    pub fn keep(&mut self, bytes: &[u8], spare: &mut Spare) {
        self.start = 0;
        self.end = 0;
        if bytes.len() <= limits::SMALL_PARTIAL_BYTES {
            self.rest(spare);
        }
        self.space(bytes.len(), 0, spare);
        self.room(bytes.len()).copy_from_slice(bytes);
        self.end = bytes.len();
    }

    /// Makes room for `want` more bytes behind what is there. Grows in proportion to what has come in,
    /// whatever length the peer has announced, and not much beyond `most`.
    pub fn space(&mut self, want: usize, most: usize, spare: &mut Spare) {
        let least = self.len() + want;
        if self.buf.is_empty() && least > limits::SMALL_PARTIAL_BYTES {
            self.buf = spare.take();
        }
        if self.buf.len() - self.end < want {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buf.len() < least {
                let len = least.max((2 * self.end).min(most));
                self.buf.reserve_exact(len - self.buf.len());
                self.buf.resize(len, 0);
            }
        }
    }

    /// The room that `space` made.
    pub fn room(&mut self, want: usize) -> &mut [u8] {
        &mut self.buf[self.end..self.end + want]
    }

    /// `n` bytes were read into what `room` gave.
    pub fn filled(&mut self, n: usize) {
        self.end += n;
    }

    /// Gives the buffer back if nothing is in it.
    pub fn rest(&mut self, spare: &mut Spare) {
        if self.len() == 0 {
            self.start = 0;
            self.end = 0;
            let buf = std::mem::take(&mut self.buf);
            if buf.len() > limits::SMALL_PARTIAL_BYTES {
                spare.give(buf);
            }
        }
    }
}

/// Encoded frames that the socket has not taken.
#[derive(Default)]
pub(super) struct Outbox {
    buf: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Unsent bytes.
    pub fn len(&self) -> usize {
        self.buf.len() - self.sent
    }

    /// At most `max` of the unsent bytes.
    pub fn front(&self, max: usize) -> &[u8] {
        let end = self.buf.len().min(self.sent.saturating_add(max));
        &self.buf[self.sent..end]
    }

    pub fn sent(&mut self, n: usize) {
        self.sent += n;
        debug_assert!(self.sent <= self.buf.len());
    }

    /// The buffer to append frames to. What was sent is dropped from its front where that moves
    /// fewer bytes than it frees.
    pub fn take(&mut self, spare: &mut Spare) -> (Vec<u8>, usize) {
        let mut buf = std::mem::take(&mut self.buf);
        let mut sent = std::mem::take(&mut self.sent);
        if sent * 2 >= buf.len() {
            buf.drain(..sent);
            sent = 0;
        }
        if buf.capacity() == 0 {
            buf = spare.take();
            buf.clear();
        }
        (buf, sent)
    }

    pub fn put(&mut self, (buf, sent): (Vec<u8>, usize)) {
        self.buf = buf;
        self.sent = sent;
    }

    /// Gives the buffer back if nothing is in it.
    pub fn rest(&mut self, spare: &mut Spare) {
        if self.len() == 0 {
            self.sent = 0;
            spare.give(std::mem::take(&mut self.buf));
        }
    }

    /// Forgets everything; returns how many bytes that were.
    pub fn clear(&mut self) -> usize {
        let lost = self.len();
        *self = Outbox::default();
        lost
    }
}

/// Empty buffers for reuse: connections at rest own none, busy ones do not map memory each time.
#[derive(Default)]
pub(super) struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn give(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.bytes + buffer.capacity() <= limits::SPARE_BUFFER_BYTES {
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

/// The connections by id.
#[derive(Default)]
pub(super) struct Conns {
    slab: Slab<Conn>,
    /// The generation of each slot that was ever used.
    generations: Vec<u32>,
}

impl Conns {
    pub fn insert(&mut self, conn: Conn) -> ConnId {
        let slot = self.slab.insert(conn);
        if slot == self.generations.len() {
            self.generations.push(0);
        }
        ConnId { slot: slot as u32, generation: self.generations[slot] }
    }

    pub fn get(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = id.slot as usize;
        if self.generations.get(slot) != Some(&id.generation) {
            return None;
        }
        self.slab.get_mut(slot)
    }

    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        let slot = id.slot as usize;
        self.generations[slot] = self.generations[slot].wrapping_add(1);
        self.slab.try_remove(slot)
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.slab.iter().map(|(slot, conn)| {
            (ConnId { slot: slot as u32, generation: self.generations[slot] }, conn)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_closed_connection_finds_nothing() {
        let mut conns = Conns::default();
        let first = conns.insert(Conn::new(Handle(7), Instant(0)));
        assert!(conns.remove(first).is_some());
        let second = conns.insert(Conn::new(Handle(8), Instant(0)));
        assert_eq!(first.slot, second.slot);
        assert!(conns.get(first).is_none());
        assert!(conns.remove(first).is_none());
        assert_eq!(conns.get(second).map(|c| c.handle), Some(Handle(8)));
    }

    #[test]
    fn the_inbox_keeps_order_through_growth_and_compaction() {
        let mut inbox = Inbox::default();
        let mut spare = Spare::default();
        let (mut wrote, mut read) = (0u8, 0u8);
        for round in 0..1000usize {
            let n = round * 7 % 13;
            inbox.space(n, 0, &mut spare);
            for byte in inbox.room(n).iter_mut() {
                *byte = wrote;
                wrote = wrote.wrapping_add(1);
            }
            inbox.filled(n);
            let take = inbox.len().min(round * 5 % 17);
            for byte in &inbox.bytes()[..take] {
                assert_eq!(*byte, read);
                read = read.wrapping_add(1);
            }
            inbox.consume(take);
            inbox.rest(&mut spare);
        }
    }

    #[test]
    fn an_announced_length_costs_no_memory() {
        let mut inbox = Inbox::default();
        let mut spare = Spare::default();
        for _ in 0..100 {
            inbox.space(1000, 1 << 30, &mut spare);
            inbox.filled(1);
        }
        assert!(inbox.capacity() < 3000, "{}", inbox.capacity());
    }

    #[test]
    fn a_remainder_is_never_lost() {
        let mut outbox = Outbox::default();
        let mut spare = Spare::default();
        let (mut next, mut seen) = (0u8, 0u8);
        for round in 0..1000usize {
            let (mut buf, sent) = outbox.take(&mut spare);
            for _ in 0..round * 11 % 19 {
                buf.push(next);
                next = next.wrapping_add(1);
            }
            outbox.put((buf, sent));
            let n = outbox.front(round * 3 % 23).len();
            for byte in outbox.front(n) {
                assert_eq!(*byte, seen);
                seen = seen.wrapping_add(1);
            }
            outbox.sent(n);
            outbox.rest(&mut spare);
        }
    }
}
