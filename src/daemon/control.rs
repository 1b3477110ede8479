//! Where the control socket of a folder is. The running process listens there, `status` and
//! `peers` ask there (the conversation is `node::control`).
//!
//! It lies beside the stores, so that who may write there may ask, and both sides find it by the
//! folder alone. A Unix socket's address holds 107 bytes; a longer path is reached through the
//! open directory, as `/proc/self/fd/N/…`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The socket's name beside the stores.
pub const SOCKET: &str = "gannet.sock";

/// Bytes of a Unix socket's path, without the zero behind it.
const ADDRESS_BYTES: usize = 107;

/// A path for `bind` or `connect`, valid while this is kept.
#[derive(Debug)]
pub struct Address {
    path: PathBuf,
    /// What a path through `/proc/self/fd` stands on.
    _directory: Option<File>,
}

impl Address {
    /// The address of the socket for the stores in `inside`: `DIR/.dat` of a drive, `DIR` of a
    /// bare feed or of a seed. An error if `inside` is no directory that can be opened.
    pub fn new(inside: &Path) -> io::Result<Address> {
        let path = inside.join(SOCKET);
        if path.as_os_str().len() <= ADDRESS_BYTES {
            return Ok(Address { path, _directory: None });
        }
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let directory =
            File::options().read(true).custom_flags(flags.bits().cast_signed()).open(inside)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()).into();
        Ok(Address { path, _directory: Some(directory) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn folders_of_any_depth_have_a_socket() {
        let root = tempfile::tempdir().unwrap();
        for depth in [0, 30] {
            let mut dir = root.path().to_owned();
            (0..depth).for_each(|_| dir.push("a folder"));
            std::fs::create_dir_all(&dir).unwrap();
            let address = Address::new(&dir).unwrap();
            assert!(address.path().as_os_str().len() <= ADDRESS_BYTES);
            let _listener = UnixListener::bind(address.path()).unwrap();
            assert!(dir.join(SOCKET).exists());
            UnixStream::connect(Address::new(&dir).unwrap().path()).unwrap();
        }
    }
}
