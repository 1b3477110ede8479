//! The poll loop driven by a small engine: over real loopback sockets, and over a fake system that
//! does everything in little pieces.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod alone;
mod fake;
mod loopback;
mod mill;
mod rates;
