//! What two gannets say to each other about themselves, on a channel of its own beside the cores of a
//! Hypercore stream (docs/PROTOCOL.md §14): a hello each, then continue or close. Bytes ⇄ messages;
//! when to say which is for `swarm::hello`.
//! Beside that, signed commands that need no connection (§14.5).

pub mod address;
mod candidates;
#[cfg(test)]
mod commands;
pub mod datagram;
pub(in crate::wire) mod fields;
mod hello;
mod message;
mod reason;
mod record;
#[cfg(test)]
mod tests;

pub use candidates::{Ask, Candidates};
pub use hello::{BOOT_BYTES, Boot, Channel, Hello, NEEDY, SELDOM, Signed, Verified, Versions};
pub use message::{Close, Continue, Message, put_command, put_spare};
pub use reason::Code;
pub use record::{Claim, Record, SignedRecord};

use crate::codec::compact;
use crate::limits;

/// The protocol's name in Protomux; its id is empty. It stands for a magic number: who does not know it
/// rejects the channel.
pub const PROTOCOL: &str = "gannet/host";

/// Versions that we speak.
pub const VERSIONS: Versions = Versions { first: 1, last: 1 };

/// The peer broke the protocol; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("message of {len} bytes is longer than {}", limits::HOST_MESSAGE_BYTES)]
    TooLong { len: usize },
    #[error("malformed message: {0}")]
    Malformed(#[from] compact::Error),
    #[error("field {0} does not come after the one before it")]
    Order(u64),
    #[error("more than {} fields", limits::HOST_FIELDS)]
    TooManyFields,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
}
