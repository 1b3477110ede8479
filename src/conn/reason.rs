//! Why a connection ended. Every end has exactly one reason, logged and counted.

use std::fmt;

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
}

impl Reason {
    /// The code used in logs, status and JSON.
    pub fn code(self) -> &'static str {
        match self {
            Reason::PeerClosed => "peer-closed",
            Reason::Broken => "broken",
            Reason::Fault => "fault",
            Reason::HandshakeTimeout => "handshake-timeout",
            Reason::Silent => "silent",
            Reason::WriteStall => "write-stall",
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
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
