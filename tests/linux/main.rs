//! What Linux does for the loop, against the real thing.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod disk;
#[allow(dead_code)]
#[path = "../interop/install.rs"]
mod install;
mod net;
mod watch;
