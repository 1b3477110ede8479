//! What tests of the real program share, each of them using some of it.
#![allow(dead_code)]

pub mod gannet;
pub mod install;
pub mod line;
pub mod network;
pub mod peer;
pub mod relay;
pub mod session;
pub mod tools;
