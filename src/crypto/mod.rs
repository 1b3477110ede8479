//! Named types over well-kept crates; no type of theirs leaves this folder.

pub mod hash;
