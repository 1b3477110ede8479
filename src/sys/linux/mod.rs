//! Linux: mio, sockets, files, inotify, signals, programs, clock and entropy.
//!
//! No thread is ever started, here or below.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // This is where the system is met.

mod beneath;
mod descriptors;
pub mod disk;
mod interfaces;
mod net;
mod process;
mod watch;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime,
    timerfd_create, timerfd_settime,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use slab::Slab;

use crate::limits;
use crate::store::disk::Dir;
use crate::time::{Instant, Wall};

use super::{Bind, Endpoint, Event, Handle, Interface, Program, Route, Signal, Sys, WatchEvent};
pub use descriptors::descriptors;
use disk::LinuxDisk;
use net::Datagrams;
use process::Programs;
use watch::Watcher;

/// What to do with the process's signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// Leave them alone: the embedder's business.
    Leave,
    /// Hook SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD.
    Hook,
    /// As `Hook`; a second SIGTERM or SIGINT ends the process at once with 128 + signal, even if
    /// the loop hangs.
    HookExitOnSecond,
}

/// The system of this machine.
///
/// SIGPIPE needs no care: sockets are written with `MSG_NOSIGNAL`, and Rust's runtime ignores it
/// before `main`.
pub struct LinuxSys {
    poll: Poll,
    events: Events,
    things: Slab<Thing>,
    disk: LinuxDisk,
    hook: Option<Hook>,
    signals: VecDeque<Signal>,
    programs: Programs,
    /// Given up for a moment to take a connection that there is no descriptor for.
    spare: Option<OwnedFd>,
    /// Answers messages about interfaces; opened at the first use.
    route: Option<OwnedFd>,
    alarm: Option<Alarm>,
}

/// What a handle stands for.
enum Thing {
    TcpListener(mio::net::TcpListener),
    UnixListener {
        listener: mio::net::UnixListener,
        path: PathBuf,
    },
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
    Datagrams(Datagrams),
    Watcher(Watcher),
    /// The routing socket that hears of changes.
    Route(OwnedFd),
    /// Becomes readable when a program ends.
    Program(OwnedFd),
}

/// The token of the pipe that signals come through, and of the timer beside `epoll_wait`.
const SIGNALS: Token = Token(usize::MAX >> 1);
const ALARM: Token = Token(SIGNALS.0 - 1);

/// A timer that goes on while the machine sleeps, and is due when it wakes up.
struct Alarm {
    timer: OwnedFd,
    /// When it comes, if it is set.
    at: Option<Instant>,
}

impl Alarm {
    fn new(poll: &Poll) -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        let raw = timer.as_raw_fd();
        poll.registry().register(&mut SourceFd(&raw), ALARM, Interest::READABLE)?;
        Ok(Alarm { timer, at: None })
    }

    /// (Setting it takes back that it was due, so it need not be read.)
    fn set(&mut self, at: Instant) {
        let value = Timespec {
            tv_sec: (at.0 / 1_000_000).try_into().unwrap_or_default(),
            tv_nsec: (at.0 % 1_000_000 * 1000) as _,
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once);
        self.at = set.is_ok().then_some(at);
    }
}

struct Hook {
    signals: signal_hook_mio::v1_0::Signals,
    /// Of `HookExitOnSecond`.
    flags: Vec<signal_hook::SigId>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        for id in self.flags.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

impl Hook {
    fn new(poll: &Poll, exit_on_second: bool) -> io::Result<Hook> {
        let mut flags = Vec::new();
        if exit_on_second {
            let stopping = Arc::new(AtomicBool::new(false));
            for signal in [SIGTERM, SIGINT] {
                // In this order: the first signal finds the flag down and raises it.
                let exit = 128 + signal;
                let end = signal_hook::flag::register_conditional_shutdown;
                flags.push(end(signal, exit, stopping.clone())?);
            }
            for signal in [SIGTERM, SIGINT] {
                flags.push(signal_hook::flag::register(signal, stopping.clone())?);
            }
        }
        let all = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD];
        let mut signals = signal_hook_mio::v1_0::Signals::new(all)?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Hook { signals, flags })
    }
}

impl LinuxSys {
    /// Opens the poll and hooks signals if asked to.
    pub fn new(signals: Signals) -> io::Result<LinuxSys> {
        let poll = Poll::new()?;
        let hook = match signals {
            Signals::Leave => None,
            Signals::Hook => Some(Hook::new(&poll, false)?),
            Signals::HookExitOnSecond => Some(Hook::new(&poll, true)?),
        };
        Ok(LinuxSys {
            poll,
            events: Events::with_capacity(limits::EVENTS),
            things: Slab::new(),
            disk: LinuxDisk::new(),
            hook,
            signals: VecDeque::new(),
            programs: Programs::default(),
            spare: net::spare(),
            route: None,
            alarm: None,
        })
    }

    /// Gives `thing` a handle and its events a way to the loop.
    fn add(&mut self, thing: Thing, interest: Interest) -> io::Result<Handle> {
        let entry = self.things.vacant_entry();
        let (key, thing) = (entry.key(), entry.insert(thing));
        let registered =
            thing.with_source(|source| source.register(self.poll.registry(), Token(key), interest));
        if let Err(e) = registered {
            self.things.remove(key);
            return Err(e);
        }
        Ok(Handle(key as u32))
    }

    fn thing(&mut self, handle: Handle) -> io::Result<&mut Thing> {
        self.things.get_mut(handle.0 as usize).ok_or_else(not_of_this_kind)
    }

    fn datagrams(&mut self, handle: Handle) -> io::Result<&mut Datagrams> {
        match self.thing(handle)? {
            Thing::Datagrams(datagrams) => Ok(datagrams),
            _ => Err(not_of_this_kind()),
        }
    }

    /// Asks the kernel through a routing socket.
    fn ask<T>(&mut self, what: impl FnOnce(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        let route = match self.route.take() {
            Some(route) => route,
            None => interfaces::open(0)?,
        };
        let answer = what(&route);
        // After a failure the rest of an answer may be left in it: open another one.
        self.route = answer.is_ok().then_some(route);
        answer
    }

    /// `epoll_wait` counts the time in which the machine is awake. So that a deadline which has passed in its
    /// sleep is seen when it wakes up, a timer stands beside that counts all of it.
    fn wake_by(&mut self, timeout: Duration) {
        let at = self.now() + timeout;
        let alarm = match &mut self.alarm {
            Some(alarm) => alarm,
            // Without it the sleep is noticed later.
            None => match Alarm::new(&self.poll) {
                Ok(alarm) => self.alarm.insert(alarm),
                Err(_) => return,
            },
        };
        // One that comes too early is no harm, and spares a call at most waits.
        if alarm.at.is_none_or(|set| set > at) {
            alarm.set(at);
        }
    }

    fn hear_signals(&mut self) {
        let Some(hook) = &mut self.hook else { return };
        for signal in hook.signals.pending() {
            self.signals.push_back(match signal {
                SIGHUP => Signal::Reload,
                SIGUSR1 => Signal::Status,
                SIGCHLD => Signal::Child,
                _ => Signal::Stop,
            });
        }
    }

    /// `epoll_wait` counts milliseconds. Work that waits for a disk sleeps for less.
    fn fine_wait(&self, timeout: Duration) {
        // SAFETY: the descriptor belongs to `self.poll` and is open as long as that is borrowed.
        let epoll = unsafe { BorrowedFd::borrow_raw(self.poll.as_raw_fd()) };
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        // Whatever comes of it, the wait that follows asks again.
        let _ = rustix::event::poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&timeout));
    }
}

impl Drop for LinuxSys {
    /// Socket files do not outlive their listeners.
    fn drop(&mut self) {
        for (_, thing) in &self.things {
            if let Thing::UnixListener { path, .. } = thing {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl Thing {
    /// Calls `call` with what mio watches.
    fn with_source(
        &mut self,
        call: impl FnOnce(&mut dyn Source) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Thing::TcpListener(listener) => call(listener),
            Thing::UnixListener { listener, .. } => call(listener),
            Thing::Tcp(stream) => call(stream),
            Thing::Unix(stream) => call(stream),
            Thing::Datagrams(datagrams) => call(datagrams.source()),
            Thing::Watcher(watcher) => call(&mut SourceFd(&watcher.as_raw_fd())),
            Thing::Route(fd) | Thing::Program(fd) => call(&mut SourceFd(&fd.as_raw_fd())),
        }
    }
}

fn not_of_this_kind() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the handle does not stand for such a thing")
}

impl Sys for LinuxSys {
    type Disk = LinuxDisk;

    fn disk(&mut self) -> &mut LinuxDisk {
        &mut self.disk
    }

    /// `CLOCK_BOOTTIME`: it goes on while the machine is suspended, so that a laptop or router that
    /// wakes up finds its time-outs past and its own stall to see, as peers and back-offs have
    /// aged meanwhile. `CLOCK_MONOTONIC` would hide the gap.
    fn now(&mut self) -> Instant {
        let now = clock_gettime(ClockId::Boottime);
        Instant(now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000)
    }

    fn wall(&mut self) -> Wall {
        let now = clock_gettime(ClockId::Realtime);
        Wall(now.tv_sec * 1000 + now.tv_nsec / 1_000_000)
    }

    fn entropy(&mut self, out: &mut [u8]) {
        // Without it no key or nonce can be made; there is nothing to go on with.
        getrandom::fill(out).expect("the system gives no random bytes");
    }

    fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        let timeout = match timeout {
            Some(time) if !time.is_zero() && time < limits::FINE_WAIT => {
                self.fine_wait(time);
                Some(Duration::ZERO)
            }
            timeout => {
                timeout
                    .filter(|time| *time > limits::LONG_WAIT)
                    .inspect(|time| self.wake_by(*time));
                timeout
            }
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        let mut signals = false;
        for event in &self.events {
            if event.token() == SIGNALS {
                signals = true;
                continue;
            }
            if event.token() == ALARM {
                if let Some(alarm) = &mut self.alarm {
                    alarm.at = None;
                }
                continue;
            }
            let key = event.token().0;
            if let Some(Thing::Program(_)) = self.things.get(key) {
                self.signals.push_back(Signal::Child);
                continue;
            }
            out.push(Event {
                handle: Handle(key as u32),
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            });
        }
        if signals {
            self.hear_signals();
        }
        Ok(())
    }

    fn listen(&mut self, at: &Endpoint) -> io::Result<(Handle, Endpoint)> {
        match at {
            Endpoint::Tcp(at) => {
                let listener = net::listen_tcp(*at)?;
                let at = listener.local_addr()?;
                let handle = self.add(Thing::TcpListener(listener), Interest::READABLE)?;
                Ok((handle, Endpoint::Tcp(at)))
            }
            Endpoint::Unix(path) => {
                let listener = net::listen_unix(path)?;
                let thing = Thing::UnixListener { listener, path: path.clone() };
                Ok((self.add(thing, Interest::READABLE)?, at.clone()))
            }
        }
    }

    fn accept(&mut self, listener: Handle) -> io::Result<(Handle, Endpoint)> {
        let accepted = match self.thing(listener)? {
            Thing::TcpListener(listener) => net::accept_tcp(listener),
            Thing::UnixListener { listener, path } => net::accept_unix(listener, path),
            _ => Err(not_of_this_kind()),
        };
        match accepted {
            Ok((thing, from)) => {
                Ok((self.add(thing, Interest::READABLE | Interest::WRITABLE)?, from))
            }
            Err(e) => {
                if net::out_of_descriptors(&e) {
                    // Take it and drop it: the peer learns at once, and the backlog shrinks.
                    self.spare = None;
                    match self.thing(listener)? {
                        Thing::TcpListener(listener) => drop(listener.accept()),
                        Thing::UnixListener { listener, .. } => drop(listener.accept()),
                        _ => {}
                    }
                    self.spare = net::spare();
                }
                Err(e)
            }
        }
    }

    fn connect(&mut self, to: &Endpoint) -> io::Result<Handle> {
        let thing = match to {
            Endpoint::Tcp(to) => Thing::Tcp(mio::net::TcpStream::connect(*to)?),
            Endpoint::Unix(path) => Thing::Unix(net::connect_unix(path)?),
        };
        self.add(thing, Interest::READABLE | Interest::WRITABLE)
    }

    fn connected(&mut self, stream: Handle) -> io::Result<bool> {
        let (error, peer) = match self.thing(stream)? {
            Thing::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Thing::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            _ => return Err(not_of_this_kind()),
        };
        match (error, peer) {
            (Some(e), _) => Err(e),
            (None, Ok(())) => {
                if let Thing::Tcp(stream) = self.thing(stream)? {
                    stream.set_nodelay(true)?;
                }
                Ok(true)
            }
            (None, Err(e)) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(e)) => Err(e),
        }
    }

    fn read(&mut self, stream: Handle, buf: &mut [u8]) -> io::Result<usize> {
        match self.thing(stream)? {
            Thing::Tcp(stream) => stream.read(buf),
            Thing::Unix(stream) => stream.read(buf),
            _ => Err(not_of_this_kind()),
        }
    }

    fn write(&mut self, stream: Handle, bytes: &[u8]) -> io::Result<usize> {
        match self.thing(stream)? {
            Thing::Tcp(stream) => stream.write(bytes),
            Thing::Unix(stream) => stream.write(bytes),
            _ => Err(not_of_this_kind()),
        }
    }

    fn unacknowledged(&mut self, stream: Handle) -> io::Result<usize> {
        match self.thing(stream)? {
            Thing::Tcp(stream) => net::unacknowledged(stream),
            _ => Err(not_of_this_kind()),
        }
    }

    fn shutdown(&mut self, stream: Handle) -> io::Result<()> {
        match self.thing(stream)? {
            Thing::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Thing::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            _ => Err(not_of_this_kind()),
        }
    }

    fn close(&mut self, handle: Handle) {
        let Some(mut thing) = self.things.try_remove(handle.0 as usize) else { return };
        // Before the descriptor is closed, in case somebody else has a copy of it.
        let _ = thing.with_source(|source| source.deregister(self.poll.registry()));
        if let Thing::UnixListener { path, .. } = &thing {
            let _ = std::fs::remove_file(path);
        }
    }

    fn bind(&mut self, bind: &Bind) -> io::Result<(Handle, SocketAddr)> {
        let datagrams = Datagrams::bind(bind)?;
        let at = datagrams.local_addr()?;
        Ok((self.add(Thing::Datagrams(datagrams), Interest::READABLE)?, at))
    }

    fn join(&mut self, socket: Handle, group: IpAddr, on: &Interface) -> io::Result<()> {
        self.datagrams(socket)?.join(group, on)
    }

    fn leave(&mut self, socket: Handle, group: IpAddr, on: &Interface) -> io::Result<()> {
        self.datagrams(socket)?.leave(group, on)
    }

    fn send_to(
        &mut self,
        socket: Handle,
        to: SocketAddr,
        via: Option<&Interface>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        self.datagrams(socket)?.send_to(to, via, bytes)
    }

    fn receive_from(&mut self, socket: Handle, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.datagrams(socket)?.receive_from(buf)
    }

    fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        for (_, thing) in &self.things {
            if let Thing::Route(fd) = thing {
                interfaces::drain(fd);
            }
        }
        self.ask(interfaces::list)
    }

    fn routes(&mut self) -> io::Result<Vec<Route>> {
        self.ask(interfaces::routes)
    }

    fn watch_interfaces(&mut self) -> io::Result<Handle> {
        let fd = interfaces::open(interfaces::CHANGES)?;
        self.add(Thing::Route(fd), Interest::READABLE)
    }

    fn watch_open(&mut self) -> io::Result<Handle> {
        self.add(Thing::Watcher(Watcher::new()?), Interest::READABLE)
    }

    fn watch_add(&mut self, watcher: Handle, dir: Dir, path: &Path) -> io::Result<u32> {
        let place = self.disk.locate(dir, path)?;
        match self.thing(watcher)? {
            Thing::Watcher(watcher) => watcher.add(&place),
            _ => Err(not_of_this_kind()),
        }
    }

    fn watch_remove(&mut self, watcher: Handle, watch: u32) {
        if let Ok(Thing::Watcher(watcher)) = self.thing(watcher) {
            watcher.remove(watch);
        }
    }

    fn watch_next(&mut self, watcher: Handle) -> io::Result<WatchEvent> {
        match self.thing(watcher)? {
            Thing::Watcher(watcher) => watcher.next(),
            _ => Err(not_of_this_kind()),
        }
    }

    fn signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    fn spawn(&mut self, program: &Program) -> io::Result<u32> {
        let (number, watch) = self.programs.spawn(program)?;
        if let Some(watch) = watch
            && let Ok(handle) = self.add(Thing::Program(watch), Interest::READABLE)
        {
            self.programs.watched(number, handle);
        }
        Ok(number)
    }

    fn reap(&mut self) -> Option<(u32, i32)> {
        let (number, code, watch) = self.programs.reap()?;
        if let Some(handle) = watch {
            self.close(handle);
        }
        Some((number, code))
    }
}
