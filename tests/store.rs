//! The feed store on the simulated disk: bytes on disk, reopening, faults, power cuts at every
//! write, damage and its repair.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "store/core.rs"]
mod core;
#[path = "store/core_crash.rs"]
mod core_crash;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/discard.rs"]
mod discard;
#[allow(unused_imports)]
#[path = "sim/disk.rs"]
mod disk;
#[path = "store/files.rs"]
mod files;
#[path = "store/help.rs"]
mod help;
#[path = "store/many.rs"]
mod many;
#[path = "store/reorg.rs"]
mod reorg;
#[path = "store/repair.rs"]
mod repair;
#[path = "store/speed.rs"]
mod speed;
