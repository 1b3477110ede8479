//! What can be wrong with a peer's bytes, and with what we are asked to send.

use crate::codec::compact;
use crate::crypto::noise;
use crate::crypto::sealed::Forged;
use crate::limits;

/// The peer broke the protocol; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("frame of {len} bytes where {expected} belong")]
    HandshakeLength { len: usize, expected: usize },
    #[error("handshake failed: {0}")]
    Handshake(#[from] noise::Failed),
    #[error("the sealed stream is not for this handshake")]
    StreamId,
    #[error("{0}")]
    Forged(#[from] Forged),
    #[error("malformed message: {0}")]
    Malformed(#[from] compact::Error),
    #[error("channel {number} cannot be opened")]
    Channel { number: u64 },
    #[error("a batch within a batch")]
    NestedBatch,
    #[error("rejects a channel that waits for no answer")]
    Reject,
    #[error("does not know the key of a core that it opens")]
    Capability,
    #[error("too many messages on a channel that we have not opened")]
    TooManyEarly,
    #[error("opens more than it takes answers for")]
    TooManyOpens,
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
}

/// Why something cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("the handshake is not over")]
    NotUp,
    #[error("core is not open on both sides")]
    NotOpen,
    #[error("core is open already")]
    OpenAlready,
    #[error("more than {} cores on one connection", limits::HYPER_CHANNELS)]
    TooManyChannels,
    #[error("message is longer than {} bytes", limits::HYPER_FRAME_BYTES)]
    TooLong,
    /// It opened the core first, with a capability that is not the core's: drop the connection.
    #[error("the peer does not know the core's key")]
    Capability,
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
}
