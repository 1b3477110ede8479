//! How peers find each other: datagrams in, datagrams out. Knows no socket, no clock and no peer;
//! what it finds are addresses that *may* be peers.

mod allowance;
pub mod hosts;
pub mod multicast;
pub mod packet;
pub mod resolve;
