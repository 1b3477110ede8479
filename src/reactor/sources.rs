//! Everything that can be ready except connections: dials, listeners, datagrams, the watcher of the
//! file system, interfaces, signals and programs.

use std::io;

use crate::ids::ConnId;
use crate::limits;
use crate::node::io::{Input, Tag};
use crate::sys::{Endpoint, Handle, Signal, Sys};

use super::conn::Conn;
use super::{Due, Engine, Reactor, Socket, Source};

impl<S: Sys, E: Engine> Reactor<S, E> {
    pub(super) fn serve_dial(&mut self, tag: Tag) {
        let Some(dial) = self.dials.get_mut(&tag) else { return };
        dial.queued = false;
        self.cost += limits::COST_OF_CALL;
        match self.sys.connected(dial.handle) {
            Ok(false) => {}
            Ok(true) => {
                let handle = dial.handle;
                self.end_dial(tag, Ok(handle));
            }
            Err(e) => match e.kind() {
                io::ErrorKind::Interrupted => self.enqueue(Source::Dial(tag)),
                io::ErrorKind::WouldBlock => {}
                _ => self.end_dial(tag, Err(e)),
            },
        }
    }

    /// A dial has ended: with its handle connected, or not.
    pub(super) fn end_dial(&mut self, tag: Tag, result: io::Result<Handle>) {
        let conn = match result {
            Ok(handle) => {
                self.timers.cancel(Due::Dial(tag));
                let unlimited = self.dials.remove(&tag).is_some_and(|dial| dial.unlimited);
                self.stats.dialed += 1;
                Ok(self.add(handle, unlimited))
            }
            Err(e) => {
                if !self.drop_dial(tag) {
                    return;
                }
                Err(e)
            }
        };
        self.tell(Input::Dialed { tag, conn });
    }

    /// Gives up a dial; true if there was one.
    pub(super) fn drop_dial(&mut self, tag: Tag) -> bool {
        let Some(dial) = self.dials.remove(&tag) else { return false };
        self.timers.cancel(Due::Dial(tag));
        self.handles.remove(&dial.handle);
        self.sys.close(dial.handle);
        true
    }

    /// A new connection on `handle`.
    fn add(&mut self, handle: Handle, unlimited: bool) -> ConnId {
        let id = self.conns.insert(Conn { unlimited, ..Conn::new(handle, self.now) });
        self.handles.insert(handle, Source::Conn(id));
        self.enqueue(Source::Conn(id));
        id
    }

    /// True if the next turn can accept something.
    pub(super) fn can_accept(&self) -> bool {
        self.below_cap()
            && self
                .sockets
                .values()
                .any(|s| matches!(s, Socket::Listener { ready: true, paused: false, .. }))
    }

    fn below_cap(&self) -> bool {
        self.conns.len() + self.dials.len() < self.tuning.connections
    }

    /// Accepts a few connections, one from each listener in turn.
    pub(super) fn accept(&mut self) {
        let mut left = self.tuning.accepts;
        while left > 0 && self.can_accept() {
            let tags: Vec<Tag> = self.sockets.keys().copied().collect();
            for tag in tags {
                if left > 0 && self.below_cap() && self.accept_one(tag) {
                    left -= 1;
                }
            }
        }
    }

    /// Accepts one connection; true if that took a share of the turn.
    fn accept_one(&mut self, tag: Tag) -> bool {
        let Some(Socket::Listener { handle, ready, paused }) = self.sockets.get_mut(&tag) else {
            return false;
        };
        if !*ready || *paused {
            return false;
        }
        self.cost += limits::COST_OF_CALL;
        match self.sys.accept(*handle) {
            Ok((handle, from)) => {
                self.stats.accepted += 1;
                let conn = self.add(handle, matches!(from, Endpoint::Unix(_)));
                self.tell(Input::Accepted { conn, listener: tag, from });
            }
            Err(e) => match e.kind() {
                io::ErrorKind::WouldBlock => {
                    *ready = false;
                    return false;
                }
                // The peer was gone again before we came.
                io::ErrorKind::Interrupted
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset => {}
                // Out of descriptors or memory. Trying again at once would only spin.
                _ => {
                    self.stats.accept_pauses += 1;
                    if self.stats.accept_pauses.is_power_of_two() {
                        log::warn!(
                            "cannot accept a connection ({} times so far): {e}",
                            self.stats.accept_pauses
                        );
                    }
                    *paused = true;
                    self.timers.set(
                        self.now,
                        Due::Accept(tag),
                        self.now + self.tuning.accept_pause,
                    );
                }
            },
        }
        true
    }

    pub(super) fn serve_datagrams(&mut self, tag: Tag) {
        let Some(Socket::Datagrams { handle, queued, .. }) = self.sockets.get_mut(&tag) else {
            return;
        };
        *queued = false;
        let handle = *handle;
        let mut buf = std::mem::take(&mut self.datagram);
        buf.resize(limits::DATAGRAM_BYTES, 0);
        let mut errors = 0;
        for _ in 0..self.tuning.datagrams {
            self.cost += limits::COST_OF_CALL;
            match self.sys.receive_from(handle, &mut buf) {
                Ok((n, from)) => {
                    self.cost += n;
                    self.stats.datagrams_received += 1;
                    self.tell(Input::Datagram { tag, from, bytes: &buf[..n] });
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // What an earlier datagram of ours met at its destination comes as an error, once.
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                    log::debug!("receiving a datagram failed: {e}");
                    errors += 1;
                    if errors >= limits::SOCKET_ERRORS {
                        // It is still ready: there may be datagrams behind them.
                        break;
                    }
                }
                Err(_) => {
                    if let Some(Socket::Datagrams { ready, .. }) = self.sockets.get_mut(&tag) {
                        *ready = false;
                    }
                    break;
                }
            }
            // The engine may have closed the socket, or put another in its place.
            if !matches!(self.sockets.get(&tag), Some(Socket::Datagrams { handle: h, .. }) if *h == handle)
            {
                break;
            }
        }
        self.datagram = buf;
        self.enqueue(Source::Datagrams(tag));
    }

    pub(super) fn serve_watcher(&mut self) {
        for _ in 0..self.tuning.watch_events {
            let Some(watcher) = &mut self.watcher else { return };
            watcher.queued = false;
            match self.sys.watch_next(watcher.handle) {
                Ok(event) => {
                    self.cost += limits::COST_OF_CALL;
                    self.tell(Input::Watch(event));
                }
                Err(e) => {
                    match e.kind() {
                        io::ErrorKind::WouldBlock => watcher.ready = false,
                        io::ErrorKind::Interrupted => {}
                        _ => {
                            log::warn!("watching the file system failed: {e}");
                            watcher.ready = false;
                        }
                    }
                    break;
                }
            }
        }
        self.enqueue(Source::Watcher);
    }

    pub(super) fn serve_interfaces(&mut self) {
        let Some(interfaces) = &mut self.interfaces else { return };
        interfaces.queued = false;
        // What comes up brings several changes in a moment.
        if let Some(again) = interfaces.listed.map(|at| at + limits::INTERFACES_EVERY)
            && again > self.now
        {
            return self.timers.set(self.now, Due::Interfaces, again);
        }
        interfaces.listed = Some(self.now);
        self.cost += 8 * limits::COST_OF_CALL;
        match self.sys.interfaces() {
            Ok(list) => {
                let routes = self.sys.routes().unwrap_or_default();
                let before = interfaces.routes.replace(routes);
                let rerouted = before.is_some() && before != interfaces.routes;
                if interfaces.last.as_ref() != Some(&list) {
                    interfaces.last = Some(list.clone());
                    self.tell(Input::Interfaces(list));
                }
                if rerouted {
                    self.tell(Input::Rerouted);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                interfaces.listed = None;
                self.enqueue(Source::Interfaces);
            }
            Err(e) => log::warn!("cannot list the interfaces: {e}"),
        }
    }

    /// Signals, and programs that ended.
    pub(super) fn hear_signals(&mut self) {
        while let Some(signal) = self.sys.signal() {
            if signal != Signal::Child {
                self.tell(Input::Signal(signal));
            }
        }
        // Asked for each turn while any runs: a SIGCHLD says little about which one it was, and an
        // embedder may keep it to itself.
        while !self.programs.is_empty() {
            self.cost += limits::COST_OF_CALL;
            let Some((number, code)) = self.sys.reap() else { break };
            if let Some(tag) = self.programs.remove(&number) {
                self.tell(Input::Exited { tag, code });
            }
        }
    }
}
