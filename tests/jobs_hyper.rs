//! The jobs on hyperdrives: a folder published as one, and one written into a folder, held against what
//! the pure readers say and against a model.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "sim/disk.rs"]
#[allow(unused_imports)]
mod disk;
#[path = "jobs/rig.rs"]
mod rig;

#[path = "jobs/hyper_import.rs"]
mod import;
#[path = "jobs/hyper_mirror.rs"]
mod mirror;
#[path = "jobs/saved.rs"]
mod saved;
#[path = "jobs/hyper_writer.rs"]
mod writer;
