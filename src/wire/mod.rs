//! What peers say to each other, in one vocabulary for all dialects, and one folder per dialect
//! that turns bytes into it and back.

pub mod dat;
pub mod host;
pub mod hyper;
mod message;
pub mod ping;

pub use crate::link::Dialect;
pub use message::{Bits, Data, Have, Head, Message, Request};

/// What an accepted connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Stream(Dialect),
    Ping,
}

/// What a connection is for by its first bytes: a Noise stream opens with a message of 32 bytes behind a
/// length of three, a Dat stream with a Feed behind a varint, whose header is 0 and whose body begins with
/// the field of its discovery key; a ping with letters of its own. `None`: not enough bytes yet.
pub fn opening(first: &[u8]) -> Option<Opening> {
    const PING: [u8; 3] = [ping::MAGIC[0], ping::MAGIC[1], ping::MAGIC[2]];
    match first {
        [32, 0, 0, ..] => Some(Opening::Stream(Dialect::Hyper)),
        [] | [32] | [32, 0] => None,
        first if first.starts_with(&PING) => Some(Opening::Ping),
        first if PING.starts_with(first) => None,
        _ => Some(Opening::Stream(Dialect::Dat)),
    }
}
