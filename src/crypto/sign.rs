//! Ed25519 as libsodium does it (dat/SPEC §1): detached signatures, 64-byte secret keys of seed
//! and public key, and the derivation of a drive's content key pair.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::hash;

/// An Ed25519 public key; of a feed it is also the right to read it.
pub type PublicKey = [u8; 32];
pub type Signature = [u8; 64];

/// The halves of a stored secret key do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret key and its public half do not belong together")]
pub struct Mismatch;

/// What a writer signs with. Wiped from memory when dropped.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl KeyPair {
    pub fn from_seed(seed: [u8; 32]) -> KeyPair {
        KeyPair(SigningKey::from_bytes(&Zeroizing::new(seed)))
    }

    /// From a secret key as it lies on disk: seed, then public key.
    pub fn from_secret(secret: [u8; 64]) -> Result<KeyPair, Mismatch> {
        let secret = Zeroizing::new(secret);
        SigningKey::from_keypair_bytes(&secret).map(KeyPair).map_err(|_| Mismatch)
    }

    pub fn public(&self) -> PublicKey {
        self.0.verifying_key().to_bytes()
    }

    /// Seed, then public key.
    pub fn secret(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_keypair_bytes())
    }

    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message).to_bytes()
    }

    /// What Diffie-Hellman multiplies with, not clamped yet: the first half of the hashed seed.
    pub(super) fn scalar(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }

    /// The key pair of a drive's content feed, if this is its metadata feed's: libsodium's
    /// `crypto_kdf` with subkey 1 and context "hyperdri".
    pub fn content_pair(&self) -> KeyPair {
        let mut salt = [0; 16];
        salt[0] = 1;
        KeyPair::from_seed(hash::keyed(self.0.as_bytes(), &salt, b"hyperdri\0\0\0\0\0\0\0\0", &[]))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

/// Whether `key`'s owner signed `message`. Keys and signatures of small order are refused, as
/// libsodium refuses them.
pub fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}
