//! gannet against the JavaScript programs it has to live with: hypercore 6.26.0 and 7.7.1,
//! hyperdrive 9.16.0, and the `dat` command 13.13.1 and 14.0.3, in both directions; and against
//! hypercore 10.38.2 and 11.37.1, hyperdrive 11.13.4 and 13.3.4.
//!
//! The packages are pinned in `rigs/*/package-lock.json` and installed once, below Cargo's target
//! directory. Without Node.js every test fails with the line that says so; `GANNET_NO_INTEROP=1`
//! leaves them out. Everything stays on loopback; what finds its peers by multicast runs in a
//! private network namespace.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod attacker;
mod cores;
mod dat;
mod drives;
mod feeds;
mod gannet;
mod hub;
mod hyperdrives;
mod install;
mod network;
mod peer;
mod rigs;
mod session;
mod store;
mod tools;
mod wire;
