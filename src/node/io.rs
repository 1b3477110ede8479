//! What goes into the node and what comes out of it. The reactor carries these and understands
//! none of the messages inside.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::ids::ConnId;
use crate::store::disk::Dir;
use crate::sys::{Bind, Endpoint, Interface, Program, Signal, WatchEvent};

/// The node's own number for a listener, UDP socket, dial, watched directory or program.
pub type Tag = u32;

#[derive(Debug)]
pub enum Input<'a> {
    /// A listener stands at this address, or could not be opened.
    Listening {
        tag: Tag,
        at: Result<Endpoint, std::io::Error>,
    },
    Accepted {
        conn: ConnId,
        listener: Tag,
        from: Endpoint,
    },
    /// A dial ended: with a connection, or not.
    Dialed {
        tag: Tag,
        conn: Result<ConnId, std::io::Error>,
    },
    /// The peer sent FIN (`Ok`) or the socket failed. The connection is gone; do not close it.
    Closed {
        conn: ConnId,
        why: Result<(), std::io::Error>,
    },
    /// Bytes were taken by the socket, or it is ready for more.
    Sent {
        conn: ConnId,
        bytes: usize,
    },
    Bound {
        tag: Tag,
        at: Result<SocketAddr, std::io::Error>,
    },
    Datagram {
        tag: Tag,
        from: SocketAddr,
        bytes: &'a [u8],
    },
    Interfaces(Vec<Interface>),
    /// Packets to the rest of the world take another way than before.
    Rerouted,
    /// Bytes that the other end's system has not acknowledged, as it was asked for; an error: the system
    /// cannot tell.
    Unacknowledged {
        conn: ConnId,
        bytes: Result<usize, std::io::Error>,
    },
    /// A directory is watched from now on under this number of the watcher, or cannot be.
    Watching {
        tag: Tag,
        watch: Result<u32, std::io::Error>,
    },
    Watch(WatchEvent),
    Signal(Signal),
    Exited {
        tag: Tag,
        code: i32,
    },
    /// `next_deadline` has come.
    Deadline,
}

#[derive(Debug)]
pub enum Output {
    Listen {
        tag: Tag,
        at: Endpoint,
    },
    /// The reactor gives up after `limits::DIAL_TIMEOUT`.
    Dial {
        tag: Tag,
        to: Endpoint,
    },
    /// Frames are waiting: pull them with `poll_frames` when the socket has room.
    Wake {
        conn: ConnId,
    },
    /// Do not read this socket until `Resume`: a gate is closed.
    Hold {
        conn: ConnId,
    },
    Resume {
        conn: ConnId,
    },
    /// Close: `flush` sends what is queued first, for at most a second, then FIN.
    Close {
        conn: ConnId,
        flush: bool,
    },
    /// Stop listening, or close a UDP socket.
    Unlisten {
        tag: Tag,
    },
    Bind {
        tag: Tag,
        bind: Bind,
    },
    Join {
        tag: Tag,
        group: std::net::IpAddr,
        on: Interface,
    },
    Leave {
        tag: Tag,
        group: std::net::IpAddr,
        on: Interface,
    },
    Datagram {
        tag: Tag,
        to: SocketAddr,
        via: Option<Interface>,
        bytes: Vec<u8>,
    },
    /// Report how much of what was written the other end's system has not acknowledged.
    AskUnacknowledged {
        conn: ConnId,
    },
    /// Report the interfaces now and whenever they change, and when the ways out do.
    WatchInterfaces,
    /// Watch one directory.
    Watch {
        tag: Tag,
        dir: Dir,
        path: PathBuf,
    },
    Unwatch {
        watch: u32,
    },
    Spawn {
        tag: Tag,
        program: Program,
    },
    /// The loop ends after this turn.
    Exit {
        code: i32,
    },
}

/// What became of received bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Bytes of the buffer's front that are done with.
    pub bytes: usize,
    /// Frames handled.
    pub frames: usize,
    /// The whole length of the frame that is incomplete at the front, if known.
    pub need: usize,
    /// Stop: bytes are left that cannot be handled before `Output::Resume`.
    pub hold: bool,
}

/// What background work is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Idle,
    /// There is more to do at once.
    More,
    /// Everything left waits for the disk: try again soon.
    Waiting,
}
