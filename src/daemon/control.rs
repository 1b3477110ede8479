//! Where the control socket of a folder is. The running process listens there, `status` and
//! `peers` ask there (the conversation is `node::control`).
//!
//! A Unix socket's path has a limit of 107 bytes. Below `.dat/` where that fits; else under
//! `$XDG_RUNTIME_DIR` (or `/tmp`) in a private directory, named after a hash of the folder's path.

use std::path::{Path, PathBuf};

/// The socket for the folder of stores `inside` (`DIR/.dat` of a drive, `DIR` of a bare feed):
/// both sides compute the same path.
pub fn socket_path(inside: &Path) -> PathBuf {
    inside.join("gannet.sock")
}
