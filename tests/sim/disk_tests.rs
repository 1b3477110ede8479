//! The simulated disk's own tests; the simulation itself brings its own harness.

mod disk;
#[path = "disk/tests.rs"]
mod tests;
