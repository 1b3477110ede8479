//! What Linux does for the loop, against the real thing.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod disk;
mod net;
mod watch;
