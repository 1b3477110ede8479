//! Why a connection ended. Every end has exactly one reason, logged and counted.

use std::fmt;

use crate::wire::host::Code;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The peer closed in good order.
    PeerClosed,
    /// The socket failed.
    Broken,
    /// The peer broke the protocol.
    Fault,
    HandshakeTimeout,
    /// No byte from the peer for too long.
    Silent,
    /// The peer took no byte for too long.
    WriteStall,
    /// The network has changed, or we slept, and its system acknowledged nothing since.
    Unanswered,
    /// The other end is this very process.
    Ourselves,
    /// A second connection to the same peer.
    Duplicate,
    /// The peer asked for a feed that we do not have.
    UnknownFeed,
    /// Nothing is left to do for either side of a session that is not live.
    Finished,
    /// The peer is too slow while others are faster.
    Slow,
    /// The peer sent data that does not verify.
    BadData,
    Banned,
    /// No room for more connections.
    Full,
    /// We are stopping.
    Shutdown,
    /// The feed was removed here.
    Removed,
    /// It was a ping, which is over with its answer.
    Pinged,
    /// No version that both speak.
    Version,
    /// The host may not be a peer here.
    NotAllowed,
    Paused,
    /// Two processes have one key.
    Cloned,
    /// The peer closed it, and said why.
    Told(Code),
}

impl Reason {
    /// Ours, by the number that the peer is told.
    pub fn of(code: Code) -> Reason {
        match code {
            Code::Fault | Code::Other(_) => Reason::Fault,
            Code::Ourselves => Reason::Ourselves,
            Code::Version => Reason::Version,
            Code::Duplicate => Reason::Duplicate,
            Code::Full => Reason::Full,
            Code::NotAllowed => Reason::NotAllowed,
            Code::Banned => Reason::Banned,
            Code::Paused => Reason::Paused,
            Code::Timeout => Reason::HandshakeTimeout,
            Code::Cloned => Reason::Cloned,
            Code::Shutdown => Reason::Shutdown,
            Code::Finished => Reason::Finished,
            Code::Slow => Reason::Slow,
            Code::BadData => Reason::BadData,
            Code::Removed => Reason::Removed,
        }
    }

    /// What a peer that can be told is told. `None`: it is gone, or not worth it.
    pub fn said(self) -> Option<Code> {
        Some(match self {
            Reason::Ourselves => Code::Ourselves,
            Reason::Duplicate => Code::Duplicate,
            Reason::HandshakeTimeout => Code::Timeout,
            Reason::Finished => Code::Finished,
            Reason::Slow => Code::Slow,
            Reason::BadData => Code::BadData,
            Reason::Banned => Code::Banned,
            Reason::Full => Code::Full,
            Reason::Shutdown => Code::Shutdown,
            Reason::Removed => Code::Removed,
            Reason::Version => Code::Version,
            Reason::NotAllowed => Code::NotAllowed,
            Reason::Paused => Code::Paused,
            Reason::Cloned => Code::Cloned,
            Reason::PeerClosed
            | Reason::Broken
            | Reason::Fault
            | Reason::Silent
            | Reason::WriteStall
            | Reason::Unanswered
            | Reason::UnknownFeed
            | Reason::Pinged
            | Reason::Told(_) => return None,
        })
    }

    /// The code used in logs, status and JSON.
    pub fn code(self) -> &'static str {
        match self {
            Reason::PeerClosed => "peer-closed",
            Reason::Broken => "broken",
            Reason::Fault => "fault",
            Reason::HandshakeTimeout => "handshake-timeout",
            Reason::Silent => "silent",
            Reason::WriteStall => "write-stall",
            Reason::Unanswered => "unanswered",
            Reason::Ourselves => "ourselves",
            Reason::Duplicate => "duplicate",
            Reason::UnknownFeed => "unknown-feed",
            Reason::Finished => "finished",
            Reason::Slow => "slow",
            Reason::BadData => "bad-data",
            Reason::Banned => "banned",
            Reason::Full => "full",
            Reason::Shutdown => "shutdown",
            Reason::Removed => "removed",
            Reason::Pinged => "pinged",
            Reason::Version => "version",
            Reason::NotAllowed => "not-allowed",
            Reason::Paused => "paused",
            Reason::Cloned => "cloned",
            Reason::Told(code) => code.told_name(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
