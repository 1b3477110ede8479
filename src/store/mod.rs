//! Feeds on disk, and the disk as the engine sees it.

pub mod disk;
