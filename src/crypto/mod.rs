//! Named types over well-kept crates; no type of theirs leaves this folder. Pure: keys, nonces and
//! seeds are arguments, nothing here draws randomness.

pub mod hash;
pub mod hyper;
pub mod noise;
pub mod sealed;
pub mod sign;
pub mod stream;
