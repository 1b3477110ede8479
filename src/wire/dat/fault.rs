//! What can be wrong with a peer's bytes, and with what we are asked to send.

use crate::limits;

/// The peer broke the protocol; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("message length takes more than {} bytes", limits::DAT_LENGTH_VARINT_BYTES)]
    LengthPrefix,
    #[error("message of {len} bytes is longer than {}", limits::DAT_MESSAGE_BYTES)]
    MessageTooLong { len: u64 },
    #[error("message header is not a number of at most {} bytes", limits::DAT_HEADER_VARINT_BYTES)]
    Header,
    #[error("channel {channel} is above the limit of {}", limits::DAT_CHANNELS)]
    TooManyChannels { channel: u64 },
    #[error("first message is not a feed on channel 0")]
    FirstNotFeed,
    #[error("first feed has no nonce of 24 bytes")]
    Nonce,
    #[error("discovery key has not 32 bytes")]
    DiscoveryKey,
    #[error("first feed is not the one that we opened first")]
    OtherFirstFeed,
    #[error("channel was opened twice")]
    ChannelAgain,
    #[error("message on a channel that was never opened")]
    NoSuchChannel,
    #[error("too many messages on a channel that we have not opened")]
    TooManyEarly,
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
}

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The feed is not open on both sides; before that only Feed may be sent.
    #[error("feed is not open on both sides")]
    NotOpen,
    #[error("feed is open already")]
    OpenAlready,
    #[error("more than {} feeds on one connection", limits::DAT_CHANNELS)]
    TooManyChannels,
    #[error("message is longer than {} bytes", limits::DAT_MESSAGE_BYTES)]
    TooLong,
    /// A JavaScript peer would crash, freeze, hang up or be deaf to it (dat/SPEC §12.1).
    #[error("message would harm a peer: {0}")]
    Harmful(&'static str),
}
