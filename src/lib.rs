//! gannet keeps feeds and folders in sync between machines, peer to peer, from one process, one
//! thread and one poll loop.

pub mod bits;
pub mod cli;
pub mod codec;
pub mod conn;
pub mod crypto;
pub mod daemon;
pub mod discovery;
pub mod drive;
pub mod failure;
pub mod feed;
pub mod few;
pub mod host;
pub mod ids;
pub mod job;
pub mod lent;
pub mod limits;
pub mod link;
pub mod node;
pub mod reactor;
pub mod rng;
pub mod store;
pub mod swarm;
pub mod sync;
pub mod sys;
pub mod text;
pub mod time;
pub mod wire;
