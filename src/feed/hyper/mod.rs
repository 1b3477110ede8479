//! Cores of Hypercore 10 and 11 as pure state (hyper/SPEC c.8–c.13): who may sign, what is asked and
//! proven, what a proof makes trustworthy. Knows no file, no peer, no message. The flat tree is the one
//! of Dat; hashes, signatures and proofs are not.

mod ask;
mod authority;
mod build;
mod check;
mod manifest;
mod nodes;
mod reorg;
mod seek;
#[cfg(test)]
mod tests;
mod tree;

pub use ask::{Ask, Grown, Indexed, Path, Proof, Seek, SeekPath, Upgrade};
pub use authority::{
    Authority, Container, EncryptionKey, Sealed, Share, WrongManifest, open_block,
};
pub use build::{Source, Unprovable, build};
pub use check::{Accepted, Ours, Refusal, Signed, verify, verify_alone};
pub use manifest::{BadManifest, Manifest, Prologue, Signer};
pub use nodes::{put_nodes, read_nodes};
pub use reorg::{Conflict, Reorg, conflict};
pub use seek::{Place, byte_offset, find};
pub use tree::{Held, Misplaced, Tree, missing};
