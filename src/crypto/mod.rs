//! Named types over well-kept crates; no type of theirs leaves this folder. Pure: keys, nonces and
//! seeds are arguments, nothing here draws randomness.

pub mod hash;
pub mod sign;
pub mod stream;
