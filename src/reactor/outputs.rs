//! What the engine wants done.

use std::io;

use crate::ids::ConnId;
use crate::limits;
use crate::node::io::{Input, Output};
use crate::sys::{Endpoint, Sys};

use super::conn::State;
use super::{Dial, Due, Engine, Interfaces, Reactor, Socket, Source, Watcher};

/// The exit code that stands for a program that could not be started, as shells have it.
const CANNOT_RUN: i32 = 127;

impl<S: Sys, E: Engine> Reactor<S, E> {
    /// Carries out everything the engine wants done.
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.apply(output);
        }
    }

    fn apply(&mut self, output: Output) {
        match output {
            Output::Wake { conn } => self.wake(conn),
            Output::Hold { conn } => self.hold(conn, true),
            Output::Resume { conn } => self.hold(conn, false),
            Output::Close { conn, flush } => self.close(conn, flush),
            Output::Listen { tag, at } => {
                let at = self.listen(tag, &at);
                self.note(Input::Listening { tag, at });
            }
            Output::Dial { tag, to } => {
                if let Err(e) = self.dial(tag, &to) {
                    self.note(Input::Dialed { tag, conn: Err(e) });
                }
            }
            Output::Bind { tag, bind } => {
                let at = self.bind(tag, &bind);
                self.note(Input::Bound { tag, at });
            }
            Output::Unlisten { tag } => self.unlisten(tag),
            Output::Join { tag, group, on } => {
                if let Some(Socket::Datagrams { handle, .. }) = self.sockets.get(&tag)
                    && let Err(e) = self.sys.join(*handle, group, &on)
                {
                    log::debug!("joining {group} on {} failed: {e}", on.name);
                }
            }
            Output::Leave { tag, group, on } => {
                if let Some(Socket::Datagrams { handle, .. }) = self.sockets.get(&tag) {
                    // An interface that is gone took its memberships along.
                    let _ = self.sys.leave(*handle, group, &on);
                }
            }
            Output::Datagram { tag, to, via, bytes } => {
                let Some(Socket::Datagrams { handle, .. }) = self.sockets.get(&tag) else { return };
                self.cost += limits::COST_OF_CALL + bytes.len();
                match self.sys.send_to(*handle, to, via.as_ref(), &bytes) {
                    Ok(_) => self.stats.datagrams_sent += 1,
                    // Whoever sends datagrams has to reckon with losses anyway.
                    Err(e) => {
                        self.stats.datagrams_dropped += 1;
                        log::trace!("a datagram to {to} was not sent: {e}");
                    }
                }
            }
            Output::AskUnacknowledged { conn } => {
                let Some(handle) = self.conns.get(conn).map(|conn| conn.handle) else { return };
                self.cost += limits::COST_OF_CALL;
                let bytes = self.sys.unacknowledged(handle);
                self.note(Input::Unacknowledged { conn, bytes });
            }
            Output::WatchInterfaces => self.watch_interfaces(),
            Output::Watch { tag, dir, path } => {
                let watch = self.watcher().and_then(|h| self.sys.watch_add(h, dir, &path));
                self.note(Input::Watching { tag, watch });
            }
            Output::Unwatch { watch } => {
                if let Some(watcher) = &self.watcher {
                    self.sys.watch_remove(watcher.handle, watch);
                }
            }
            Output::Spawn { tag, program } => match self.sys.spawn(&program) {
                Ok(number) => {
                    self.programs.insert(number, tag);
                }
                Err(e) => {
                    log::warn!("cannot run {:?}: {e}", program.command);
                    self.note(Input::Exited { tag, code: CANNOT_RUN });
                }
            },
            Output::Exit { code } => self.exit = Some(code),
        }
    }

    fn wake(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        if matches!(conn.state, State::Open | State::Flushing { .. }) {
            conn.wake = true;
            self.enqueue(Source::Conn(id));
        }
    }

    fn hold(&mut self, id: ConnId, held: bool) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.held && !held {
            conn.more = conn.inbox.len() > 0;
        }
        conn.held = held;
        if held {
            self.end_large_turn(id);
        }
        self.enqueue(Source::Conn(id));
    }

    fn listen(&mut self, tag: u32, at: &Endpoint) -> io::Result<Endpoint> {
        self.unlisten(tag);
        let (handle, at) = self.sys.listen(at)?;
        self.handles.insert(handle, Source::Listener(tag));
        self.sockets.insert(tag, Socket::Listener { handle, ready: true, paused: false });
        Ok(at)
    }

    fn bind(&mut self, tag: u32, bind: &crate::sys::Bind) -> io::Result<std::net::SocketAddr> {
        self.unlisten(tag);
        let (handle, at) = self.sys.bind(bind)?;
        self.handles.insert(handle, Source::Datagrams(tag));
        self.sockets.insert(tag, Socket::Datagrams { handle, ready: true, queued: false });
        self.enqueue(Source::Datagrams(tag));
        Ok(at)
    }

    fn unlisten(&mut self, tag: u32) {
        if let Some(Socket::Listener { handle, .. } | Socket::Datagrams { handle, .. }) =
            self.sockets.remove(&tag)
        {
            self.timers.cancel(Due::Accept(tag));
            self.handles.remove(&handle);
            self.sys.close(handle);
        }
    }

    fn dial(&mut self, tag: u32, to: &Endpoint) -> io::Result<()> {
        let handle = self.sys.connect(to)?;
        self.cost += limits::COST_OF_CALL;
        self.drop_dial(tag);
        self.handles.insert(handle, Source::Dial(tag));
        let unlimited = matches!(to, Endpoint::Unix(_));
        self.dials.insert(tag, Dial { handle, queued: false, unlimited });
        self.timers.set(self.now, Due::Dial(tag), self.now + self.tuning.dial_timeout);
        Ok(())
    }

    /// The watcher's handle, opened at the first use.
    fn watcher(&mut self) -> io::Result<crate::sys::Handle> {
        if let Some(watcher) = &self.watcher {
            return Ok(watcher.handle);
        }
        let handle = self.sys.watch_open()?;
        self.handles.insert(handle, Source::Watcher);
        self.watcher = Some(Watcher { handle, ready: false, queued: false });
        Ok(handle)
    }

    fn watch_interfaces(&mut self) {
        if self.interfaces.is_none() {
            match self.sys.watch_interfaces() {
                Ok(handle) => {
                    self.handles.insert(handle, Source::Interfaces);
                }
                Err(e) => log::debug!("changes of the interfaces will not be noticed: {e}"),
            }
            self.interfaces =
                Some(Interfaces { queued: false, last: None, routes: None, listed: None });
        }
        if let Some(interfaces) = &mut self.interfaces {
            (interfaces.last, interfaces.listed) = (None, None);
        }
        self.enqueue(Source::Interfaces);
    }
}
