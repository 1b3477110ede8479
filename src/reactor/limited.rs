//! Connections under rates: who may let bytes pass, and who is woken when.
//!
//! A socket that waits for a rate is not read, or nothing is pulled for it and nothing written, so that what
//! is not sent yet can still change. Those who wait for the rate of all stand in a line: each is called
//! for a piece, then stands behind the others. Besides, a least flows on every connection, counted under the
//! rates but not held up by them: a handshake, then a trickle.

use std::cmp::Ordering;

use crate::ids::ConnId;
use crate::sys::Sys;

use super::rates::{Line, Rates, Share, Waits, Way, piece};
use super::{Due, Engine, Reactor, Source};

const WAYS: [Way; 2] = [Way::Up, Way::Down];

impl<S: Sys, E: Engine> Reactor<S, E> {
    /// Other rates from now on.
    pub fn set_rates(&mut self, rates: Rates) {
        if rates == self.tuning.rates {
            return;
        }
        self.tuning.rates = rates;
        let waits: Vec<(ConnId, Way)> = self
            .conns
            .iter()
            .flat_map(|(id, conn)| WAYS.map(|way| (id, way, conn.waits(way))))
            .filter(|(.., waits)| waits.is_shut() || waits.is_in_line())
            .map(|(id, way, _)| (id, way))
            .collect();
        for way in WAYS {
            self.lines[way as usize].clear();
            self.timers.cancel(Due::Line(way));
        }
        let limited = self.conns.iter().filter(|(_, conn)| conn.shares.is_some());
        let limited: Vec<ConnId> = limited.map(|(id, _)| id).collect();
        for id in limited {
            let shares = self.conns.get(id).and_then(|conn| conn.shares.as_deref_mut());
            shares.into_iter().flatten().for_each(Share::forget);
        }
        for (id, way) in waits {
            self.set_waits(id, way, Waits::No);
            self.timers.cancel(Due::Share(id, way));
            self.enqueue(Source::Conn(id));
        }
    }

    /// Whether the bytes of a connection count.
    fn is_limited(&self, way: Way) -> bool {
        let rates = &self.tuning.rates;
        rates.all(way).is_some() || rates.each(way).is_some()
    }

    /// Bytes that a connection may let pass now; 0: it waits, and is queued again when it may.
    pub(super) fn room(&mut self, id: ConnId, way: Way) -> usize {
        if !self.is_limited(way) {
            return usize::MAX;
        }
        let (now, rates) = (self.now, self.tuning.rates);
        let Some(conn) = self.conns.get(id) else { return 0 };
        if conn.unlimited || conn.broken.is_some() {
            return usize::MAX;
        }
        let share = &conn.shares.get_or_insert_default()[way as usize];
        let state = share.state;
        let own = share.room(now, rates.each(way));
        let line = match rates.all(way) {
            None => usize::MAX,
            Some(_) if state.is_in_line() => 0,
            Some(rate) => match state {
                Waits::Called(left) => left,
                _ => self.lines[way as usize].room(now, rate),
            },
        };
        match own.min(line) {
            0 => {}
            room => return room,
        }
        let floor = share.floor(now);
        if floor == 0 {
            self.wait(id, way, state, own == 0);
        }
        floor
    }

    /// Nothing may pass now. `alone`: its own rate says so.
    fn wait(&mut self, id: ConnId, way: Way, state: Waits, alone: bool) {
        // Who waits for itself does not keep the others waiting.
        self.end_turn(id, way);
        if !state.is_in_line() && !alone {
            self.lines[way as usize].wait(id);
        }
        let next = if alone && !state.is_in_line() { Waits::Alone } else { Waits::InLine };
        self.set_waits(id, way, next);
        let each = self.tuning.rates.each(way);
        if let Some(shares) = self.conns.get(id).and_then(|conn| conn.shares.as_deref()) {
            let at = shares[way as usize].opens(each);
            self.timers.set(self.now, Due::Share(id, way), at);
        }
        self.call_line(way);
    }

    fn set_waits(&mut self, id: ConnId, way: Way, state: Waits) {
        if let Some(shares) = self.conns.get(id).and_then(|conn| conn.shares.as_deref_mut()) {
            shares[way as usize].state = state;
        }
    }

    /// So many bytes have passed.
    pub(super) fn spend(&mut self, id: ConnId, way: Way, bytes: usize) {
        if !self.is_limited(way) {
            return;
        }
        let (now, rates) = (self.now, self.tuning.rates);
        let Some(conn) = self.conns.get(id).filter(|conn| !conn.unlimited) else { return };
        let share = &mut conn.shares.get_or_insert_default()[way as usize];
        share.spend(now, rates.each(way), bytes);
        if let Some(rate) = rates.all(way) {
            self.lines[way as usize].spend(now, rate, bytes);
        }
        match share.state {
            Waits::Called(left) if left > bytes => share.state = Waits::Called(left - bytes),
            // It has had its piece.
            Waits::Called(_) => self.end_turn(id, way),
            _ => {}
        }
    }

    /// A connection may let something pass by itself.
    pub(super) fn share_due(&mut self, id: ConnId, way: Way) {
        let Some(conn) = self.conns.get(id) else { return };
        match conn.waits(way) {
            Waits::Alone => self.set_waits(id, way, Waits::No),
            Waits::InLine => self.set_waits(id, way, Waits::InLineDue),
            Waits::No | Waits::InLineDue | Waits::Called(_) => {}
        }
        self.enqueue(Source::Conn(id));
    }

    /// Calls those who wait for the rate of all, as far as there is room.
    pub(super) fn call_line(&mut self, way: Way) {
        let Some(rate) = self.tuning.rates.all(way) else { return };
        while let Some(id) = self.lines[way as usize].call(self.now, rate) {
            self.timers.cancel(Due::Share(id, way));
            self.set_waits(id, way, Waits::Called(piece(rate)));
            self.enqueue(Source::Conn(id));
            if self.conns.get(id).is_none_or(|conn| !conn.queued) {
                // It has nothing to do any more.
                self.set_waits(id, way, Waits::No);
                self.lines[way as usize].turn_over();
            }
        }
        match self.lines[way as usize].next(rate) {
            Some(at) => self.timers.set(self.now, Due::Line(way), at),
            None => drop(self.timers.cancel(Due::Line(way))),
        }
    }

    /// A connection was served. Who was called and has no use for the rest of its piece now does not keep it
    /// from the others.
    pub(super) fn served(&mut self, id: ConnId) {
        for way in WAYS {
            if self.conns.get(id).is_some_and(|conn| !conn.wants(way)) {
                self.end_turn(id, way);
            }
        }
    }

    fn end_turn(&mut self, id: ConnId, way: Way) {
        if self.conns.get(id).is_some_and(|conn| conn.waits(way).is_called()) {
            self.set_waits(id, way, Waits::No);
            self.lines[way as usize].turn_over();
            self.call_line(way);
        }
    }

    /// A connection goes.
    pub(super) fn leave_lines(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id).filter(|conn| conn.shares.is_some()) else { return };
        let waits = WAYS.map(|way| conn.waits(way));
        for (way, waits) in WAYS.into_iter().zip(waits) {
            self.timers.cancel(Due::Share(id, way));
            if waits.is_in_line() {
                self.lines[way as usize].leave(id);
            }
        }
        WAYS.into_iter().for_each(|way| self.end_turn(id, way));
    }

    /// Asserts that whoever waits will be called.
    pub(super) fn check_rates(&self) {
        for way in WAYS {
            let line: &Line = &self.lines[way as usize];
            let states = || self.conns.iter().map(|(id, conn)| (id, conn.waits(way)));
            let called = states().filter(|(_, waits)| waits.is_called()).count();
            assert_eq!(called.cmp(&line.called()), Ordering::Equal, "turns that are never over");
            for (id, waits) in states() {
                assert_eq!(waits.is_in_line(), line.waits(id), "{id:?} waits {way:?}");
                let due = self.timers.due(Due::Share(id, way)).is_some();
                assert!(!waits.is_shut() || due, "{id:?} waits {way:?} for ever");
            }
            let next = self.tuning.rates.all(way).and_then(|rate| line.next(rate));
            assert!(next.is_none() || self.timers.due(Due::Line(way)).is_some(), "nobody calls");
        }
    }
}
