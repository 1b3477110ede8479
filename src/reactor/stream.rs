//! A connection's turn: read, hand over, pull, write, and the ways to its end.

use std::io::{self, ErrorKind};

use crate::ids::ConnId;
use crate::limits;
use crate::node::io::Input;
use crate::sys::Sys;

use super::conn::State;
use super::gate::{Leave, TURN};
use super::rates::Way;
use super::{Due, Engine, Reactor, Source};

/// Why handing over stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// All bytes are consumed, or those left are not a whole frame.
    Starved,
    /// The frame quantum is used up.
    Quantum,
    /// The engine wants no more now, or the connection is no longer its own.
    Held,
}

/// What a read came to.
#[derive(Debug)]
enum Read {
    Some(usize),
    Fin,
    /// Nothing more in this turn.
    Dry,
    Failed(io::Error),
}

impl<S: Sys, E: Engine> Reactor<S, E> {
    pub(super) fn serve_conn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        conn.queued = false;
        if conn.state == State::Open {
            self.receive(id);
        } else {
            self.discard(id);
        }
        self.transmit(id);
        self.served(id);
        self.enqueue(Source::Conn(id));
    }

    /// Reads and hands over until a quantum is used up or nothing more comes.
    fn receive(&mut self, id: ConnId) {
        let mut bytes = self.tuning.read_quantum;
        let mut frames = self.tuning.frame_quantum;
        if self.conns.get(id).is_some_and(|conn| conn.more && !conn.held) {
            self.hand_over(id, &mut frames);
        }
        loop {
            let Some(conn) = self.conns.get(id) else { return };
            if conn.state != State::Open {
                return;
            }
            if conn.held || conn.more || conn.crowded || bytes == 0 || !conn.readable {
                break;
            }
            let small = conn.inbox.len() <= limits::SMALL_PARTIAL_BYTES;
            let most = bytes.min(self.room(id, Way::Down));
            if most == 0 {
                break;
            }
            let read = if small {
                self.read_scratch(id, most, &mut frames)
            } else {
                self.read_inbox(id, most, &mut frames)
            };
            match read {
                Read::Some(n) => bytes -= n,
                Read::Dry => break,
                Read::Fin => return self.ended(id),
                Read::Failed(e) => return self.fail(id, e),
            }
        }
        let Some(conn) = self.conns.get(id) else { return };
        // Writing failed before: all that the peer sent is read now, or nobody wants it.
        if (conn.held || conn.crowded || !conn.readable)
            && let Some(e) = conn.broken.take()
        {
            self.fail(id, e);
        }
    }

    /// Reads into the loop's own buffer, behind the few bytes that were left over: most of the time
    /// whole frames come in, are consumed, and the connection needs no buffer of its own.
    fn read_scratch(&mut self, id: ConnId, max: usize, frames: &mut usize) -> Read {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut partial = 0;
        if let Some(conn) = self.conns.get(id) {
            partial = conn.inbox.len();
            scratch[..partial].copy_from_slice(conn.inbox.bytes());
        }
        let read = self.read(id, &mut scratch[partial..partial + max]);
        if let Read::Some(n) = read {
            let all = partial + n;
            let (consumed, stop) = self.deliver(id, &mut scratch[..all], frames);
            if let Some(conn) = self.conns.get(id)
                && conn.state == State::Open
            {
                conn.inbox.keep(&scratch[consumed..all], &mut self.inboxes);
                self.settle(id, consumed, stop);
            }
        }
        self.scratch = scratch;
        read
    }

    /// Reads behind what is already there: the rest of a frame and a little of the next.
    fn read_inbox(&mut self, id: ConnId, max: usize, frames: &mut usize) -> Read {
        let Some(conn) = self.conns.get(id) else { return Read::Dry };
        let rest = conn.need.saturating_sub(conn.inbox.len());
        let (want, most) = match rest {
            0 => (max, self.tuning.frame_bytes),
            rest => (max.min(rest + limits::SMALL_PARTIAL_BYTES), conn.need),
        };
        let bytes = conn.inbox.len() + want;
        if !self.may_grow(id, bytes) {
            return Read::Dry;
        }
        let Some(conn) = self.conns.get(id) else { return Read::Dry };
        let mut inbox = std::mem::take(&mut conn.inbox);
        let most = most + limits::SMALL_PARTIAL_BYTES;
        inbox.space(want, most, &mut self.inboxes);
        let read = self.read(id, inbox.room(want));
        if let Read::Some(n) = read {
            inbox.filled(n);
        }
        if let Some(conn) = self.conns.get(id) {
            conn.inbox = inbox;
        }
        if let Read::Some(_) = read {
            self.hand_over(id, frames);
        }
        read
    }

    /// After handing over: what is left and why; and the bounds on memory.
    fn settle(&mut self, id: ConnId, consumed: usize, stop: Stop) {
        let Some(conn) = self.conns.get(id) else { return };
        conn.more = stop != Stop::Starved && conn.inbox.len() > 0;
        let charge = conn.inbox.capacity();
        self.inbox_bytes = self.inbox_bytes - conn.charged + charge;
        conn.charged = charge;
        // A frame that can never fit ends the connection. The engine knows better what it refuses;
        // this is the bound on memory.
        let most = self.tuning.frame_bytes;
        if stop == Stop::Starved && conn.inbox.len() > 0 && conn.need.max(conn.inbox.len()) > most {
            self.fail(id, io::Error::new(ErrorKind::InvalidData, "a frame is too large"));
        } else if consumed > 0 || conn.held {
            // One that is held may be so until another one, which waits for this turn, reads.
            self.end_large_turn(id);
        }
    }

    /// True if `id` may have a receive buffer of `bytes`. Above the mark those with large frames take
    /// turns, so that many of them, or one that never ends, cost no more memory; small frames always
    /// have room.
    fn may_grow(&mut self, id: ConnId, bytes: usize) -> bool {
        let small = bytes <= limits::LARGE_FRAME_BYTES.max(self.tuning.read_quantum);
        if small || self.inbox_bytes < self.tuning.receive_memory || self.large_turn == Some(id) {
            return true;
        }
        if self.large_turn.is_none() {
            self.large_turn = Some(id);
            self.timers.set(self.now, Due::Large, self.now + limits::LARGE_FRAME_TURN);
            return true;
        }
        if let Some(conn) = self.conns.get(id) {
            conn.crowded = true;
            self.crowded.push_back(id);
        }
        false
    }

    /// `id` has no large frame any more: the next one's turn.
    pub(super) fn end_large_turn(&mut self, id: ConnId) {
        if self.large_turn == Some(id) {
            self.large_turn = None;
            self.timers.cancel(Due::Large);
        }
        while self.large_turn.is_none() || self.inbox_bytes < self.tuning.receive_memory {
            let Some(id) = self.crowded.pop_front() else { return };
            if let Some(conn) = self.conns.get(id)
                && std::mem::take(&mut conn.crowded)
            {
                self.enqueue(Source::Conn(id));
                if self.inbox_bytes >= self.tuning.receive_memory {
                    return;
                }
            }
        }
    }

    /// The turn for a large frame took too long.
    pub(super) fn evict(&mut self) {
        let Some(id) = self.large_turn else { return };
        self.stats.evicted += 1;
        self.fail(id, io::Error::new(ErrorKind::OutOfMemory, "receive buffers are full"));
    }

    fn read(&mut self, id: ConnId, buf: &mut [u8]) -> Read {
        let Some(conn) = self.conns.get(id) else { return Read::Dry };
        self.stats.reads += 1;
        self.cost += limits::COST_OF_CALL;
        match self.sys.read(conn.handle, buf) {
            Ok(0) => {
                conn.readable = false;
                Read::Fin
            }
            Ok(n) => {
                self.stats.bytes_read += n as u64;
                self.cost += n;
                self.spend(id, Way::Down, n);
                Read::Some(n)
            }
            Err(e) => match e.kind() {
                ErrorKind::WouldBlock => {
                    conn.readable = false;
                    Read::Dry
                }
                // Still readable: the next turn tries again.
                ErrorKind::Interrupted => Read::Dry,
                _ => Read::Failed(e),
            },
        }
    }

    /// Hands over what is in the receive buffer.
    fn hand_over(&mut self, id: ConnId, frames: &mut usize) {
        let Some(conn) = self.conns.get(id) else { return };
        let mut inbox = std::mem::take(&mut conn.inbox);
        let (consumed, stop) = self.deliver(id, inbox.bytes(), frames);
        inbox.consume(consumed);
        inbox.rest(&mut self.inboxes);
        if let Some(conn) = self.conns.get(id)
            && conn.state == State::Open
        {
            conn.inbox = inbox;
            self.settle(id, consumed, stop);
        }
    }

    /// Calls the engine with `buf` until it is consumed, no whole frame is left, the quantum is used
    /// up or the engine wants no more. Returns how many bytes are consumed.
    fn deliver(&mut self, id: ConnId, buf: &mut [u8], frames: &mut usize) -> (usize, Stop) {
        let mut at = 0;
        while at < buf.len() {
            if *frames == 0 {
                return (at, Stop::Quantum);
            }
            self.touched = true;
            let consumed = self.engine.bytes(self.now, id, &mut buf[at..], self.sys.disk());
            debug_assert!(consumed.bytes <= buf.len() - at);
            at += consumed.bytes.min(buf.len() - at);
            *frames = frames.saturating_sub(consumed.frames);
            self.cost += consumed.frames * limits::COST_OF_FRAME;
            if let Some(conn) = self.conns.get(id) {
                conn.need = consumed.need;
                conn.held |= consumed.hold;
            }
            self.drain();
            match self.conns.get(id) {
                Some(conn) if conn.state == State::Open && !conn.held => {}
                _ => return (at, Stop::Held),
            }
            if consumed.bytes == 0 {
                // One that wanted no more and changed its mind in one breath is asked again later.
                return (at, if consumed.hold { Stop::Quantum } else { Stop::Starved });
            }
        }
        (at, Stop::Starved)
    }

    /// The engine is done with the connection: what still comes in is thrown away.
    fn discard(&mut self, id: ConnId) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(conn) = self.conns.get(id)
            && conn.readable
        {
            match self.read(id, &mut scratch) {
                Read::Some(_) | Read::Dry => {}
                Read::Fin => match self.conns.get(id) {
                    Some(conn) if conn.state != State::Draining => {
                        conn.state = State::Flushing { ended: true };
                    }
                    _ => self.remove(id),
                },
                Read::Failed(_) => self.remove(id),
            }
        }
        self.scratch = scratch;
    }

    /// Pulls frames and writes until a quantum is used up or the socket takes no more.
    fn transmit(&mut self, id: ConnId) {
        let mut left = self.tuning.write_quantum;
        let mut taken = 0;
        loop {
            let most = match self.conns.get(id) {
                Some(conn) if conn.may_send() => self.room(id, Way::Up),
                _ => usize::MAX,
            };
            if most == 0 {
                break;
            }
            self.pull(id, most);
            let Some(conn) = self.conns.get(id) else { return };
            if conn.broken.is_some() || conn.state == State::Draining {
                break;
            }
            if conn.outbox.len() == 0 {
                if matches!(conn.state, State::Flushing { .. }) && !conn.wake {
                    self.finish(id);
                }
                break;
            }
            if !conn.writable || left == 0 {
                break;
            }
            match self.write(id, left.min(most)) {
                Ok(0) => break,
                Ok(n) => {
                    left -= n;
                    taken += n;
                }
                Err(e) => {
                    self.write_failed(id, e);
                    break;
                }
            }
        }
        self.watch_progress(id, taken > 0);
        if taken > 0 && self.conns.get(id).is_some_and(|conn| conn.state == State::Open) {
            self.tell(Input::Sent { conn: id, bytes: taken });
        }
    }

    /// One write of at most `max` bytes. `Ok(0)`: the socket takes nothing now.
    fn write(&mut self, id: ConnId, max: usize) -> io::Result<usize> {
        let Some(conn) = self.conns.get(id) else { return Ok(0) };
        self.stats.writes += 1;
        self.cost += limits::COST_OF_CALL;
        let n = match self.sys.write(conn.handle, conn.outbox.front(max)) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                conn.writable = false;
                return Ok(0);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(0),
            Err(e) => return Err(e),
        };
        conn.outbox.sent(n);
        let unsent = conn.outbox.len();
        conn.outbox.rest(&mut self.outboxes);
        self.stats.bytes_written += n as u64;
        self.cost += n;
        self.spend(id, Way::Up, n);
        self.gate.released(id, n, unsent);
        self.call_waiting();
        Ok(n)
    }

    /// Pulls frames, about so many bytes, if there may be some, the socket takes them, and memory allows.
    fn pull(&mut self, id: ConnId, most: usize) {
        let Some(conn) = self.conns.get(id) else { return };
        let able = conn.state != State::Draining && conn.broken.is_none() && !conn.gated;
        if !able || !conn.wake || !conn.writable || conn.outbox.len() >= self.tuning.send_low {
            return;
        }
        let room = match self.gate.ask(id, conn.outbox.len(), self.tuning.send_room.min(most)) {
            Leave::Room(room) => room,
            Leave::OneFrame => {
                self.timers.set(self.now, Due::Gate, self.now + TURN);
                1
            }
            Leave::SendFirst => return,
            Leave::Wait => {
                conn.gated = true;
                return;
            }
        };
        let (mut buf, sent) = conn.outbox.take(&mut self.outboxes);
        let before = buf.len();
        self.touched = true;
        self.engine.poll_frames(self.now, id, &mut buf, room, self.sys.disk());
        let added = buf.len().saturating_sub(before);
        self.cost += added;
        if before == sent {
            conn.progress = self.now;
        }
        conn.outbox.put((buf, sent));
        let unsent = conn.outbox.len();
        if added == 0 {
            conn.wake = false;
            conn.outbox.rest(&mut self.outboxes);
        }
        self.gate.pulled(added);
        self.gate.released(id, 0, unsent);
        self.drain();
        self.call_waiting();
    }

    /// Lets those who wait at the gate ask again, as far as it is open.
    pub(super) fn call_waiting(&mut self) {
        while let Some(id) = self.gate.call() {
            if let Some(conn) = self.conns.get(id)
                && std::mem::take(&mut conn.gated)
            {
                self.enqueue(Source::Conn(id));
                if self.gate.used() >= self.tuning.send_memory {
                    break;
                }
            }
        }
        if self.gate.idle() {
            self.timers.cancel(Due::Gate);
        }
    }

    /// Keeps the timer that catches a peer which takes nothing.
    fn watch_progress(&mut self, id: ConnId, progress: bool) {
        let Some(conn) = self.conns.get(id) else { return };
        if progress {
            conn.progress = self.now;
        }
        let stalling = conn.outbox.len() > 0 && !conn.writable && conn.state == State::Open;
        if stalling && !conn.stalling {
            conn.stalling = true;
            self.timers.set(self.now, Due::Stall(id), conn.progress + self.tuning.write_stall);
        } else if conn.stalling && conn.outbox.len() == 0 {
            conn.stalling = false;
            self.timers.cancel(Due::Stall(id));
        }
    }

    /// The timer of `watch_progress` came up: it was not moved when there was progress.
    pub(super) fn stalled(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let end = conn.progress + self.tuning.write_stall;
        if end <= self.now {
            self.fail(id, io::Error::new(ErrorKind::TimedOut, "the peer takes no bytes"));
        } else {
            self.timers.set(self.now, Due::Stall(id), end);
        }
    }

    /// Writing is over; what the peer sent before is still worth reading.
    fn write_failed(&mut self, id: ConnId, e: io::Error) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.state != State::Open {
            return self.remove(id);
        }
        conn.broken = Some(e);
        conn.readable = true;
        let lost = conn.outbox.clear();
        self.gate.released(id, lost, 0);
        self.call_waiting();
    }

    /// The peer's FIN: frames that are ready still go out, for as long as a flushing close may take.
    fn ended(&mut self, id: ConnId) {
        self.pull(id, usize::MAX);
        let Some(conn) = self.conns.get(id) else { return };
        if let Some(e) = conn.broken.take() {
            return self.fail(id, e);
        }
        if conn.state != State::Open {
            return;
        }
        let cut = conn.inbox.len() > 0;
        if conn.outbox.len() > 0 {
            self.part(id, true);
        } else {
            self.remove(id);
        }
        let why = if cut { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        self.tell(Input::Closed { conn: id, why });
    }

    /// The connection is lost; the engine hears of it if it still has it.
    fn fail(&mut self, id: ConnId, why: io::Error) {
        let Some(conn) = self.conns.get(id) else { return };
        let open = conn.state == State::Open;
        self.remove(id);
        if open {
            self.tell(Input::Closed { conn: id, why: Err(why) });
        }
    }

    /// The engine wants an end.
    pub(super) fn close(&mut self, id: ConnId, flush: bool) {
        let Some(conn) = self.conns.get(id) else { return };
        if !flush || conn.broken.is_some() {
            self.remove(id);
        } else if conn.state == State::Open {
            self.part(id, false);
        }
    }

    /// The engine has no more to do with the connection. What is queued goes out within the linger
    /// time; `ended`: the peer has sent its FIN.
    fn part(&mut self, id: ConnId, ended: bool) {
        let Some(conn) = self.conns.get(id) else { return };
        conn.state = State::Flushing { ended };
        conn.wake &= !ended;
        conn.more = false;
        conn.inbox = Default::default();
        self.inbox_bytes -= std::mem::take(&mut conn.charged);
        conn.crowded = false;
        self.end_large_turn(id);
        self.timers.cancel(Due::Stall(id));
        self.timers.set(self.now, Due::Linger(id), self.now + self.tuning.linger);
        self.enqueue(Source::Conn(id));
    }

    /// All is flushed: send FIN and wait for the peer's.
    fn finish(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let ended = conn.state == State::Flushing { ended: true };
        conn.state = State::Draining;
        let failed = self.sys.shutdown(conn.handle).is_err();
        if ended || failed {
            self.remove(id);
        }
    }

    /// Closes the socket and forgets the connection.
    pub(super) fn remove(&mut self, id: ConnId) {
        self.leave_lines(id);
        let Some(mut conn) = self.conns.remove(id) else { return };
        self.timers.cancel(Due::Stall(id));
        self.timers.cancel(Due::Linger(id));
        self.inbox_bytes -= conn.charged;
        self.handles.remove(&conn.handle);
        self.sys.close(conn.handle);
        let lost = conn.outbox.clear();
        self.gate.released(id, lost, 0);
        self.call_waiting();
        self.end_large_turn(id);
    }
}
