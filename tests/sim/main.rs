//! The simulated world.

mod disk;
