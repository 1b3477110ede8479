//! The world as the poll loop sees it. The loop is generic over [`Sys`], so the very code that runs
//! on mio and Linux also runs in the simulator.
//!
//! Readiness is edge-triggered: an event says that a handle *became* ready; the loop keeps a sticky
//! bit and clears it on `WouldBlock` alone. Spurious events are harmless.

pub mod linux;

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::disk::{Dir, Disk};
use crate::time::{Instant, Wall};

/// A socket, listener, watcher or other pollable thing of the system. Reused after `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub handle: Handle,
    pub readable: bool,
    pub writable: bool,
}

/// Where a stream listens or connects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    Tcp(SocketAddr),
    /// A Unix socket; made with mode 0600 when listened on.
    Unix(PathBuf),
}

/// A network interface that is up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interface {
    pub index: u32,
    pub name: String,
    pub address: IpAddr,
    pub loopback: bool,
    pub multicast: bool,
}

/// The way that packets to the rest of the world take, of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub interface: u32,
    pub gateway: Option<IpAddr>,
    /// Our own address on it.
    pub own: Option<IpAddr>,
}

/// A UDP socket to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub at: SocketAddr,
    /// Share the port with other programs (`SO_REUSEADDR` and `SO_REUSEPORT`).
    pub shared: bool,
    /// Multicast hops (TTL); our own packets are looped back to others on this machine.
    pub multicast_ttl: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Status,
    /// SIGCHLD: `reap` has something.
    Child,
}

/// A change below a watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// Something happened to `name` in the watched directory `watch`.
    Changed { watch: u32, name: OsString, what: Change },
    /// The watched directory itself is gone, moved or unmounted; the watch ended.
    Lost { watch: u32 },
    /// Events were lost: everything has to be looked at again.
    Overflow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Created, or moved in.
    Appeared { dir: bool },
    /// Removed, or moved out.
    Vanished { dir: bool },
    /// Written to, still open.
    Modified,
    /// Closed by a writer: complete for now.
    Closed,
    /// Mode, owner or times.
    Attributes,
}

/// A program to run with a few more variables in its environment; no terminal, no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Given to `/bin/sh -c`.
    pub command: String,
    pub environment: Vec<(String, OsString)>,
}

pub trait Sys {
    type Disk: Disk;

    fn disk(&mut self) -> &mut Self::Disk;
    fn now(&mut self) -> Instant;
    fn wall(&mut self) -> Wall;
    fn entropy(&mut self, out: &mut [u8]);

    /// Sleeps until something is ready or `timeout` is over (`None`: for ever). An interrupted wait
    /// is not an error.
    fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()>;

    // Streams. Every call may answer `WouldBlock`.
    fn listen(&mut self, at: &Endpoint) -> io::Result<(Handle, Endpoint)>;
    /// A connection with TCP_NODELAY set. Out of descriptors: the connection is taken and dropped
    /// with the help of a spare descriptor and the error returned, so the backlog cannot spin.
    fn accept(&mut self, listener: Handle) -> io::Result<(Handle, Endpoint)>;
    /// Starts connecting; the handle becomes writable when done, then ask `connected`.
    fn connect(&mut self, to: &Endpoint) -> io::Result<Handle>;
    /// `Ok(true)`: connected; `Ok(false)`: not yet.
    fn connected(&mut self, stream: Handle) -> io::Result<bool>;
    fn read(&mut self, stream: Handle, buf: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, stream: Handle, bytes: &[u8]) -> io::Result<usize>;
    /// Bytes written that the other end's system has not acknowledged.
    fn unacknowledged(&mut self, stream: Handle) -> io::Result<usize>;
    /// No more bytes from us (FIN).
    fn shutdown(&mut self, stream: Handle) -> io::Result<()>;
    /// Closes any handle.
    fn close(&mut self, handle: Handle);

    // Datagrams.
    /// Opens a UDP socket; returns also where it stands (port 0 asks for any free one).
    fn bind(&mut self, bind: &Bind) -> io::Result<(Handle, SocketAddr)>;
    fn join(&mut self, socket: Handle, group: IpAddr, on: &Interface) -> io::Result<()>;
    fn leave(&mut self, socket: Handle, group: IpAddr, on: &Interface) -> io::Result<()>;
    /// `via`: the interface for a multicast packet.
    fn send_to(
        &mut self,
        socket: Handle,
        to: SocketAddr,
        via: Option<&Interface>,
        bytes: &[u8],
    ) -> io::Result<usize>;
    fn receive_from(&mut self, socket: Handle, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// The interfaces that are up now, and have a wire or what stands for one.
    fn interfaces(&mut self) -> io::Result<Vec<Interface>>;
    /// The ways to the rest of the world that there are now; nothing is sent to find out.
    fn routes(&mut self) -> io::Result<Vec<Route>>;
    /// A handle that becomes readable when `interfaces` or `routes` may have changed; `interfaces` drains it.
    fn watch_interfaces(&mut self) -> io::Result<Handle>;

    // File system events.
    fn watch_open(&mut self) -> io::Result<Handle>;
    /// Watches one directory (not what is below it). The number names it in events. Out of watches
    /// is `ErrorKind::StorageFull`.
    fn watch_add(&mut self, watcher: Handle, dir: Dir, path: &Path) -> io::Result<u32>;
    fn watch_remove(&mut self, watcher: Handle, watch: u32);
    fn watch_next(&mut self, watcher: Handle) -> io::Result<WatchEvent>;

    // Processes and signals.
    /// The next signal that came in. Only if this `Sys` was told to hook signals.
    fn signal(&mut self) -> Option<Signal>;
    fn spawn(&mut self, program: &Program) -> io::Result<u32>;
    /// A program that ended: its number and exit code (128 + signal if it was killed).
    fn reap(&mut self) -> Option<(u32, i32)>;
}
