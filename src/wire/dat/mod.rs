//! Dat 1: hypercore-protocol 6 (dat/SPEC §3–§5). [`Session`] turns one connection's bytes into
//! messages and back; it knows which channel is which feed and nothing of what the messages lead to.

mod body;
mod channels;
mod fault;
mod handshake;
mod session;
#[cfg(test)]
mod tests;

pub use channels::Early;
pub use fault::{Fault, Unsendable};
pub use handshake::Handshake;
pub use session::{FirstFeed, Received, Session, What};
