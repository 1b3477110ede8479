//! The real binary, as a user runs it: what it prints, what it leaves behind, its exit codes.
//! Every test has a home directory of its own.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod bad_input;
mod core;
mod daemon;
mod declined;
mod help;
mod id;
mod key;
mod lan;
mod ping;
mod running;
mod seeds;
mod support;
