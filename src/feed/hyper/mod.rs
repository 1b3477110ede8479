//! Cores of Hypercore 10 and 11 as pure state (hyper/SPEC c.8–c.13): who may sign, what is asked and
//! proven, what a proof makes trustworthy. Knows no file, no peer, no message. The flat tree is the one
//! of Dat; hashes, signatures and proofs are not.

mod ask;

pub use ask::{Ask, Grown, Indexed, Path, Proof, Seek, SeekPath, Upgrade};
