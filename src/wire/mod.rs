//! What peers say to each other, in one vocabulary for all dialects, and one folder per dialect
//! that turns bytes into it and back.

pub mod dat;
pub mod host;
pub mod hyper;
mod message;

pub use crate::link::Dialect;
pub use message::{Bits, Data, Have, Head, Message, Request};

/// Bytes that are needed to tell the dialects apart.
pub const DIALECT_BYTES: usize = 3;

/// The dialect of an accepted connection by its first bytes: a Noise stream opens with a message of
/// 32 bytes behind a length of three, a Dat stream with a Feed behind a varint, whose body begins with
/// the field of its discovery key. `None`: not enough bytes yet.
pub fn dialect(first: &[u8]) -> Option<Dialect> {
    match first {
        [32, 0, 0, ..] => Some(Dialect::Hyper),
        [] | [32] | [32, 0] => None,
        _ => Some(Dialect::Dat),
    }
}
