//! Streams like TCP: buffers, windows, latency, and every way for them to end.
//!
//! Readiness is edge-triggered in the strictest reading: after an event there is none until the
//! process was told `WouldBlock`, whatever happens to the socket.

use std::collections::VecDeque;
use std::io;

use gannet::sys::{Endpoint, Handle};

use super::net::*;

pub type StreamId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Dialer,
    Listener,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Dialer => Side::Listener,
            Side::Listener => Side::Dialer,
        }
    }
}

pub struct Stream {
    dialer: End,
    listener: End,
    to: Endpoint,
    /// Delivers nothing any more, and nobody is told.
    dead: bool,
}

pub struct End {
    pub machine: MachineId,
    /// Not while it waits in a backlog.
    pub handle: Option<Handle>,
    pub name: Endpoint,
    connected: bool,
    /// Arrived and not read.
    inbox: VecDeque<u8>,
    fin_in: bool,
    fin_out: bool,
    failed: Option<i32>,
    closed: bool,
    /// Lost in a power cut: answers nothing.
    pub gone: bool,
    /// Written and not known to be read.
    unacked: usize,
    /// Written and not known to have arrived; and when what has arrived is known to have.
    under_way: usize,
    arrived: VecDeque<(u64, usize)>,
    /// When the line out is free, and when the last bytes arrive.
    line_free: u64,
    arrival: u64,
    wants_read: bool,
    wants_write: bool,
    one_byte_reads: bool,
    one_byte_writes: bool,
}

impl Stream {
    pub fn pair(&self) -> (MachineId, MachineId) {
        let (a, b) = (self.dialer.machine, self.listener.machine);
        (a.min(b), a.max(b))
    }

    pub fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialer => &self.dialer,
            Side::Listener => &self.listener,
        }
    }

    /// Whether any process still has it, and whether both have.
    pub fn held(&self) -> (bool, bool) {
        let has = |end: &End| end.handle.is_some() && end.failed.is_none();
        let (one, other) = (has(&self.dialer), has(&self.listener));
        (one || other, one && other)
    }

    pub fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialer => &mut self.dialer,
            Side::Listener => &mut self.listener,
        }
    }
}

impl End {
    fn new(machine: MachineId, name: Endpoint) -> End {
        End {
            machine,
            handle: None,
            name,
            connected: false,
            inbox: VecDeque::new(),
            fin_in: false,
            fin_out: false,
            failed: None,
            closed: false,
            gone: false,
            unacked: 0,
            under_way: 0,
            arrived: VecDeque::new(),
            line_free: 0,
            arrival: 0,
            wants_read: false,
            wants_write: false,
            one_byte_reads: false,
            one_byte_writes: false,
        }
    }
}

/// How long a system retries before it declares a silent connection dead.
const GIVE_UP_US: u64 = 120_000_000;

impl Net {
    pub fn connect(&mut self, machine: MachineId, to: &Endpoint) -> io::Result<Handle> {
        if self.chance(self.weather.no_descriptor) {
            return fail(EMFILE);
        }
        let (there, name) = match to {
            Endpoint::Tcp(address) => {
                let port = self.free_port(machine);
                match self.route(machine, address.ip()) {
                    Some((there, own)) => (there, Endpoint::Tcp((own, port).into())),
                    // Nobody answers there: the dialer waits for itself.
                    None if self.can_try(machine, address.ip()) => (machine, to.clone()),
                    None => return fail(ENETUNREACH),
                }
            }
            unix => (machine, unix.clone()),
        };
        let lost = name == *to && matches!(to, Endpoint::Tcp(_));
        let unix = matches!(to, Endpoint::Unix(_));
        if unix && self.listener(machine, to).is_none() {
            return fail(ECONNREFUSED);
        }
        let mut dialer = End::new(machine, name);
        let mut listener = End::new(there, to.clone());
        for end in [&mut dialer, &mut listener] {
            end.one_byte_reads = self.chance(self.weather.one_byte);
            end.one_byte_writes = self.chance(self.weather.one_byte);
        }
        let id = self.new_stream(Stream { dialer, listener, to: to.clone(), dead: lost });
        let handle = self.keep(machine, Thing::Stream { id, side: Side::Dialer });
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.dialer.handle = Some(handle);
        }
        let at = self.now + self.latency(machine, there);
        let refused = !unix && self.chance(self.weather.refuse);
        match lost {
            true => {}
            false if refused => self.schedule(at, Action::Refused { stream: id }),
            false => self.schedule(at, Action::Syn { stream: id, tries: 0 }),
        }
        Ok(handle)
    }

    pub fn syn(&mut self, id: StreamId, tries: u32) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (machine, from, to) = (stream.listener.machine, stream.dialer.machine, &stream.to);
        let back = self.now;
        if !self.machines[machine].up || stream.dialer.closed {
            return;
        }
        let listener = self.listener(machine, to);
        let at = back + self.latency(machine, from);
        let Some(listener) = listener else {
            return self.schedule(at, Action::Refused { stream: id });
        };
        if let Ok(Thing::Listener { backlog, armed, .. }) = self.thing(machine, listener) {
            backlog.push_back(id);
            if std::mem::take(armed) {
                self.wake(machine, listener, true, false);
            }
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.listener.connected = true;
            stream.listener.arrival = at;
        }
        let _ = tries;
        self.schedule(at, Action::SynAck { stream: id });
    }

    pub fn syn_ack(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.dialer.connected = true;
        if let Some(handle) = stream.dialer.handle {
            let machine = stream.dialer.machine;
            self.wake(machine, handle, false, true);
        }
    }

    pub fn accept(
        &mut self,
        machine: MachineId,
        listener: Handle,
    ) -> io::Result<(Handle, Endpoint)> {
        if self.chance(self.weather.interrupted) {
            return fail(EINTR);
        }
        let Thing::Listener { backlog, armed, .. } = self.thing(machine, listener)? else {
            return fail(EINVAL);
        };
        let Some(id) = backlog.pop_front() else {
            *armed = true;
            return fail(EAGAIN);
        };
        if self.chance(self.weather.no_descriptor) {
            self.close_stream(id, Side::Listener);
            return fail(EMFILE);
        }
        let Some(stream) = self.streams.get(&id) else { return fail(ECONNABORTED) };
        if stream.listener.failed.is_some() {
            self.close_stream(id, Side::Listener);
            return fail(ECONNABORTED);
        }
        let from = stream.dialer.name.clone();
        let handle = self.keep(machine, Thing::Stream { id, side: Side::Listener });
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.listener.handle = Some(handle);
        }
        Ok((handle, from))
    }

    fn end_of(&mut self, machine: MachineId, handle: Handle) -> io::Result<(StreamId, Side)> {
        match self.thing(machine, handle)? {
            Thing::Stream { id, side } => Ok((*id, *side)),
            _ => fail(EINVAL),
        }
    }

    pub fn connected(&mut self, machine: MachineId, handle: Handle) -> io::Result<bool> {
        let (id, side) = self.end_of(machine, handle)?;
        let Some(stream) = self.streams.get(&id) else { return fail(ECONNRESET) };
        match stream.end(side).failed {
            Some(code) => fail(code),
            None => Ok(stream.end(side).connected),
        }
    }

    pub fn read(
        &mut self,
        machine: MachineId,
        handle: Handle,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        assert!(!buf.is_empty(), "reading into nothing looks like the end of the stream");
        let (id, side) = self.end_of(machine, handle)?;
        self.maybe_disturb(id, side)?;
        let short = self.chance(self.weather.short).then(|| self.rng.next_u64());
        let Some(stream) = self.streams.get_mut(&id) else { return fail(ECONNRESET) };
        let end = stream.end_mut(side);
        if end.inbox.is_empty() {
            if let Some(code) = end.failed {
                return fail(code);
            }
            if end.fin_in {
                return Ok(0);
            }
            end.wants_read = true;
            return fail(EAGAIN);
        }
        let mut count = buf.len().min(end.inbox.len());
        if end.one_byte_reads {
            count = 1;
        } else if let Some(draw) = short {
            count = 1 + (draw % count as u64) as usize;
        }
        for (place, byte) in buf.iter_mut().zip(end.inbox.drain(..count)) {
            *place = byte;
        }
        let writer = stream.end(side.other()).machine;
        let at = self.now + self.latency(machine, writer);
        self.schedule(at, Action::Acked { stream: id, to: side.other(), bytes: count });
        Ok(count)
    }

    pub fn write(&mut self, machine: MachineId, handle: Handle, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "writing nothing tells nothing");
        let (id, side) = self.end_of(machine, handle)?;
        self.maybe_disturb(id, side)?;
        let short = self.chance(self.weather.short).then(|| self.rng.next_u64());
        let window = self.weather.window;
        let Some(stream) = self.streams.get_mut(&id) else { return fail(ECONNRESET) };
        let end = stream.end_mut(side);
        if end.failed.is_some() || end.fin_out {
            return fail(EPIPE);
        }
        let room = window.saturating_sub(end.unacked);
        if room == 0 || !end.connected {
            end.wants_write = true;
            return fail(EAGAIN);
        }
        let mut count = bytes.len().min(room);
        if end.one_byte_writes {
            count = 1;
        } else if let Some(draw) = short {
            count = 1 + (draw % count as u64) as usize;
        }
        end.unacked += count;
        end.under_way += count;
        for segment in bytes[..count].chunks(self.weather.segment) {
            self.send_segment(id, side, segment);
        }
        Ok(count)
    }

    /// EINTR and resets.
    fn maybe_disturb(&mut self, id: StreamId, side: Side) -> io::Result<()> {
        if self.chance(self.weather.interrupted) {
            return fail(EINTR);
        }
        if self.chance(self.weather.reset) {
            self.fail_end(id, side, ECONNRESET);
            self.tell(id, side, |stream, to| Action::Reset { stream, to });
        }
        Ok(())
    }

    fn send_segment(&mut self, id: StreamId, from: Side, bytes: &[u8]) {
        let rate = self.weather.rate;
        let Some(stream) = self.streams.get(&id) else { return };
        let (here, there) = (stream.end(from).machine, stream.end(from.other()).machine);
        let latency = self.latency(here, there);
        let late = match self.chance(self.weather.retransmit) {
            true => self.rng.between(200_000, 3_000_000),
            false => 0,
        };
        let dies = self.chance(self.weather.blackhole);
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.dead |= dies && here != there;
        let end = stream.end_mut(from);
        end.line_free = end.line_free.max(now) + bytes.len() as u64 * 1_000_000 / rate;
        end.arrival = end.arrival.max(end.line_free + latency + late);
        let (at, to) = (end.arrival, from.other());
        self.schedule(at, Action::Segment { stream: id, to, bytes: bytes.to_vec() });
        if dies {
            self.schedule(now + GIVE_UP_US, Action::GiveUp { stream: id });
        }
    }

    /// Sends something behind everything that was written.
    fn tell(&mut self, id: StreamId, from: Side, what: impl FnOnce(StreamId, Side) -> Action) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (here, there) = (stream.end(from).machine, stream.end(from.other()).machine);
        let at = stream.end(from).arrival.max(self.now + self.latency(here, there));
        self.schedule(at, what(id, from.other()));
    }

    pub fn segment_arrives(&mut self, id: StreamId, to: Side, bytes: Vec<u8>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let dead = stream.dead;
        let (machine, writer) = (stream.end(to).machine, stream.end(to.other()).machine);
        if dead || !self.machines[machine].up {
            return;
        }
        let known = self.now + self.latency(machine, writer);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.end_mut(to.other()).arrived.push_back((known, bytes.len()));
        let end = stream.end_mut(to);
        if end.closed {
            // Nobody is there to read this.
            self.tell(id, to, |stream, to| Action::Reset { stream, to });
            return;
        }
        if end.failed.is_some() {
            return;
        }
        end.inbox.extend(bytes);
        self.readable(id, to);
    }

    pub fn fin_arrives(&mut self, id: StreamId, to: Side) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.dead || !self.machines[stream.end(to).machine].up {
            return;
        }
        stream.end_mut(to).fin_in = true;
        self.readable(id, to);
        self.forget_ended(id);
    }

    pub fn reset_arrives(&mut self, id: StreamId, to: Side, code: i32) {
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.dead || !self.machines[stream.end(to).machine].up {
            return;
        }
        self.fail_end(id, to, code);
    }

    /// Two minutes of silence.
    pub fn give_up(&mut self, id: StreamId) {
        for side in [Side::Dialer, Side::Listener] {
            let Some(stream) = self.streams.get(&id) else { return };
            let end = stream.end(side);
            if end.unacked > 0 && !end.closed {
                self.fail_end(id, side, ETIMEDOUT);
            }
        }
    }

    fn fail_end(&mut self, id: StreamId, side: Side, code: i32) {
        let keeps = self.rng.one_in(2);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let end = stream.end_mut(side);
        if end.closed || end.failed.is_some() {
            return;
        }
        end.failed = Some(code);
        if !keeps {
            end.inbox.clear();
        }
        let (machine, handle) = (end.machine, end.handle);
        (end.wants_read, end.wants_write) = (false, false);
        if let Some(handle) = handle {
            self.wake(machine, handle, true, true);
        }
    }

    fn readable(&mut self, id: StreamId, side: Side) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let end = stream.end_mut(side);
        if std::mem::take(&mut end.wants_read)
            && let Some(handle) = end.handle
        {
            let machine = end.machine;
            self.wake(machine, handle, true, false);
        }
    }

    pub fn acked(&mut self, id: StreamId, to: Side, bytes: usize) {
        let window = self.weather.window;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let dead = stream.dead;
        let end = stream.end_mut(to);
        if dead {
            return;
        }
        end.unacked -= bytes;
        // Systems say "writable" when a third of the buffer is free.
        if window.saturating_sub(end.unacked) > window / 3
            && std::mem::take(&mut end.wants_write)
            && let Some(handle) = end.handle
        {
            let machine = end.machine;
            self.wake(machine, handle, false, true);
        }
    }

    /// What the other machine has not said that it has got, whether anybody reads it there or not.
    pub fn unacknowledged(&mut self, machine: MachineId, handle: Handle) -> io::Result<usize> {
        let (id, side) = self.end_of(machine, handle)?;
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&id) else { return fail(ECONNRESET) };
        let end = stream.end_mut(side);
        while let Some((_, count)) = end.arrived.pop_front_if(|(known, _)| *known <= now) {
            end.under_way -= count;
        }
        Ok(end.under_way)
    }

    /// Whether anything passes: both ends have the interface and address that the stream was opened on, and
    /// are awake.
    pub fn reaches(&self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(&id) else { return true };
        let (from, to) = (&stream.dialer, &stream.listener);
        let (Endpoint::Tcp(own), Endpoint::Tcp(there)) = (&from.name, &stream.to) else {
            return true;
        };
        let has = |end: &End, ip| {
            let machine = &self.machines[end.machine];
            let mut nics = machine.nics.iter();
            !machine.asleep && nics.any(|nic| nic.up && nic.interface.address == ip)
        };
        from.machine == to.machine || has(from, own.ip()) && has(to, there.ip())
    }

    /// What is written from now on arrives behind that.
    pub fn arrives_behind(&mut self, id: StreamId, at: u64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            for side in [Side::Dialer, Side::Listener] {
                let end = stream.end_mut(side);
                end.arrival = end.arrival.max(at);
            }
        }
    }

    pub fn shutdown(&mut self, machine: MachineId, handle: Handle) -> io::Result<()> {
        let (id, side) = self.end_of(machine, handle)?;
        let Some(stream) = self.streams.get_mut(&id) else { return fail(ECONNRESET) };
        let end = stream.end_mut(side);
        if end.failed.is_some() || !end.connected {
            return fail(EPIPE);
        }
        if !std::mem::replace(&mut end.fin_out, true) {
            self.tell(id, side, |stream, to| Action::Fin { stream, to });
        }
        Ok(())
    }

    pub fn close_stream(&mut self, id: StreamId, side: Side) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let end = stream.end_mut(side);
        let unread = !end.inbox.is_empty();
        end.closed = true;
        end.handle = None;
        end.inbox.clear();
        let tells = end.connected && !end.gone && end.failed.is_none();
        if tells && unread {
            self.tell(id, side, |stream, to| Action::Reset { stream, to });
        } else if tells && !std::mem::replace(&mut end.fin_out, true) {
            self.tell(id, side, |stream, to| Action::Fin { stream, to });
        }
        self.forget_ended(id);
    }

    /// Drops a stream that nobody can see any more.
    fn forget_ended(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let both = stream.dialer.closed && stream.listener.closed;
        let never = stream.dialer.closed && !stream.listener.connected;
        if both || never {
            self.streams.remove(&id);
        }
    }
}
