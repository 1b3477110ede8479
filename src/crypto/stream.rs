//! XSalsa20 (dat/SPEC §3): the key stream of one direction of a connection.

use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher as _};

/// A key stream at some position. Encrypts and decrypts alike.
pub struct StreamCipher(XSalsa20);

impl StreamCipher {
    pub fn new(key: &[u8; 32], nonce: &[u8; 24]) -> StreamCipher {
        StreamCipher(XSalsa20::new(key.into(), nonce.into()))
    }

    /// XORs the next `bytes.len()` bytes of the key stream into `bytes`.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}
