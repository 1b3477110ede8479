//! Hypercore 10 and 11: secret stream, Protomux, replication messages (hyper/SPEC a–c). [`Session`]
//! turns one connection's bytes into messages and back; it knows which channel is which core and
//! nothing of what the messages lead to. What it has to say by itself waits for [`Session::poll`].

mod body;
mod channels;
mod fault;
mod message;
mod session;
#[cfg(test)]
mod tests;

pub use body::DataHead;
pub use channels::Early;
pub use fault::{Fault, Unsendable};
pub use message::{Data, Message, Reason, Request, Sync, Window};
pub use session::{Received, Session, Setup, What};
