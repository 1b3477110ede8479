//! The real binary, as a user runs it: what it prints, what it leaves behind, its exit codes.
//! Every test has a home directory of its own.

mod bad_input;
mod core;
mod help;
mod key;
mod running;
mod support;
