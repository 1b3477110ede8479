//! The handshake of Hypercore connections: `Noise_XX_Ed25519_ChaChaPoly_BLAKE2b` with empty payloads
//! and an empty prologue (hyper/SPEC a.2–a.4). Diffie-Hellman runs on Edwards points as they are. Pure:
//! both key pairs are arguments; deadlines and framing belong to others.

use std::cmp::Ordering;

use blake2::Blake2b512;
use blake2::digest::Digest;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use zeroize::Zeroizing;

use super::sealed;
use super::sign::{KeyPair, PublicKey};

const NAME: &[u8] = b"Noise_XX_Ed25519_ChaChaPoly_BLAKE2b";
const HASH_BYTES: usize = 64;
/// The block of BLAKE2b, which HMAC pads its key to.
const BLOCK_BYTES: usize = 128;
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = sealed::BEHIND_BYTES;

/// Bytes of the three messages; the initiator sends the first and the third.
pub const MESSAGE_BYTES: [usize; 3] =
    [KEY_BYTES, 2 * KEY_BYTES + 2 * MAC_BYTES, KEY_BYTES + 2 * MAC_BYTES];

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Initiator,
    Responder,
}

impl Role {
    pub fn other(self) -> Role {
        match self {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        }
    }
}

/// Why a handshake failed; the connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    #[error("a handshake message has {0} bytes")]
    Length(usize),
    #[error("a handshake message does not open")]
    Forged,
    #[error("a key of the handshake is not a proper point")]
    Point,
    #[error("a handshake message out of turn")]
    Turn,
}

/// What a handshake is for.
#[derive(Clone)]
pub struct Outcome {
    /// Seals what we send.
    pub send: Zeroizing<[u8; KEY_BYTES]>,
    /// Opens what comes.
    pub receive: Zeroizing<[u8; KEY_BYTES]>,
    /// Names this connection and no other.
    pub hash: [u8; HASH_BYTES],
    /// The other side's static key, proven.
    pub remote: PublicKey,
}

/// A handshake under way: `write` and `read` in turn until `finish`.
pub struct Handshake {
    role: Role,
    /// Messages written or read so far.
    done: usize,
    own: KeyPair,
    ephemeral: KeyPair,
    remote: Option<PublicKey>,
    remote_ephemeral: Option<PublicKey>,
    symmetric: Symmetric,
    /// The other side began, too.
    crossed: bool,
}

impl Handshake {
    /// `ephemeral`: a fresh pair, never used before or after.
    pub fn new(role: Role, own: KeyPair, ephemeral: KeyPair) -> Handshake {
        Handshake {
            role,
            done: 0,
            own,
            ephemeral,
            remote: None,
            remote_ephemeral: None,
            symmetric: Symmetric::new(),
            crossed: false,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether a message of this length says that the other side began the handshake as we did, which is so
    /// where both have opened one TCP connection (a simultaneous open).
    pub fn crosses(&self, len: usize) -> bool {
        let began = self.role == Role::Initiator && self.done == 1 && !self.crossed;
        began && len == MESSAGE_BYTES[0]
    }

    /// Reads the first message of a side that began as we did: who has the lower ephemeral key goes on as if it
    /// had come alone, the other answers it, with the same key, which nothing was made of yet.
    pub fn cross(&mut self, message: &[u8]) -> Result<(), Failed> {
        if !self.crosses(message.len()) {
            return Err(Failed::Turn);
        }
        self.crossed = true;
        match self.ephemeral.public().as_slice().cmp(message) {
            Ordering::Less => Ok(()),
            // Our own words, from who has none.
            Ordering::Equal => Err(Failed::Turn),
            Ordering::Greater => {
                (self.role, self.done, self.symmetric) = (Role::Responder, 0, Symmetric::new());
                self.read(message)
            }
        }
    }

    /// It is our turn to write.
    pub fn writes_next(&self) -> bool {
        self.done < 3 && self.done.is_multiple_of(2) == (self.role == Role::Initiator)
    }

    /// Bytes of the message that is read next; 0 if none is.
    pub fn reads_next(&self) -> usize {
        if self.writes_next() { 0 } else { MESSAGE_BYTES.get(self.done).copied().unwrap_or(0) }
    }

    /// Appends our next message.
    pub fn write(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        if !self.writes_next() {
            return Err(Failed::Turn);
        }
        match self.done {
            0 => self.write_ephemeral(out),
            1 => {
                self.write_ephemeral(out);
                self.mix(Dh::Ee)?;
                self.write_static(out);
                self.mix(Dh::Es)?;
            }
            _ => {
                self.write_static(out);
                self.mix(Dh::Se)?;
            }
        }
        self.symmetric.seal(&[], out);
        self.done += 1;
        Ok(())
    }

    /// Reads the other side's next message.
    pub fn read(&mut self, message: &[u8]) -> Result<(), Failed> {
        if self.done > 2 || self.writes_next() {
            return Err(Failed::Turn);
        }
        if message.len() != MESSAGE_BYTES[self.done] {
            return Err(Failed::Length(message.len()));
        }
        let payload = match self.done {
            0 => self.read_ephemeral(message)?,
            1 => {
                let rest = self.read_ephemeral(message)?;
                self.mix(Dh::Ee)?;
                let rest = self.read_static(rest)?;
                self.mix(Dh::Es)?;
                rest
            }
            _ => {
                let rest = self.read_static(message)?;
                self.mix(Dh::Se)?;
                rest
            }
        };
        self.symmetric.open(payload, &mut Vec::new())?;
        self.done += 1;
        Ok(())
    }

    /// The keys, once all three messages have passed.
    pub fn finish(&self) -> Option<Outcome> {
        let remote = self.remote.filter(|_| self.done == 3)?;
        let [first, second] = self.symmetric.split();
        let (send, receive) = match self.role {
            Role::Initiator => (first, second),
            Role::Responder => (second, first),
        };
        Some(Outcome { send, receive, hash: self.symmetric.hash, remote })
    }

    fn write_ephemeral(&mut self, out: &mut Vec<u8>) {
        let public = self.ephemeral.public();
        self.symmetric.mix_hash(&public);
        out.extend_from_slice(&public);
    }

    fn write_static(&mut self, out: &mut Vec<u8>) {
        self.symmetric.seal(&self.own.public(), out);
    }

    fn read_ephemeral<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], Failed> {
        let (key, rest) = message.split_first_chunk().ok_or(Failed::Length(message.len()))?;
        self.symmetric.mix_hash(key);
        self.remote_ephemeral = Some(*key);
        Ok(rest)
    }

    fn read_static<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], Failed> {
        let sealed = KEY_BYTES + MAC_BYTES;
        let (sealed, rest) =
            message.split_at_checked(sealed).ok_or(Failed::Length(message.len()))?;
        let mut key = Vec::with_capacity(KEY_BYTES);
        self.symmetric.open(sealed, &mut key)?;
        self.remote = key.try_into().ok();
        Ok(rest)
    }

    /// `Es` is the initiator's ephemeral key with the responder's static one; `Se` the reverse.
    fn mix(&mut self, dh: Dh) -> Result<(), Failed> {
        let initiator = self.role == Role::Initiator;
        let (ours, theirs) = match dh {
            Dh::Ee => (&self.ephemeral, self.remote_ephemeral),
            Dh::Es if initiator => (&self.ephemeral, self.remote),
            Dh::Es => (&self.own, self.remote_ephemeral),
            Dh::Se if initiator => (&self.own, self.remote_ephemeral),
            Dh::Se => (&self.ephemeral, self.remote),
        };
        let shared = agree(ours, &theirs.ok_or(Failed::Turn)?)?;
        self.symmetric.mix_key(&*shared);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Dh {
    Ee,
    Es,
    Se,
}

/// The shared secret: our clamped scalar times their point, compressed. As libsodium does, points
/// outside the main subgroup or in another spelling than the shortest are refused.
pub fn agree(ours: &KeyPair, theirs: &PublicKey) -> Result<Zeroizing<[u8; 32]>, Failed> {
    let point = CompressedEdwardsY(*theirs).decompress().ok_or(Failed::Point)?;
    if point.compress().0 != *theirs || point.is_identity() || !point.is_torsion_free() {
        return Err(Failed::Point);
    }
    let shared = point.mul_clamped(*ours.scalar());
    Ok(Zeroizing::new(shared.compress().0))
}

/// Noise's SymmetricState with its CipherState.
struct Symmetric {
    hash: [u8; HASH_BYTES],
    chaining: Zeroizing<[u8; HASH_BYTES]>,
    key: Option<Zeroizing<[u8; KEY_BYTES]>>,
    sealed: u64,
}

impl Symmetric {
    fn new() -> Symmetric {
        let mut hash = [0; HASH_BYTES];
        hash[..NAME.len()].copy_from_slice(NAME);
        let chaining = Zeroizing::new(hash);
        let mut symmetric = Symmetric { hash, chaining, key: None, sealed: 0 };
        // The prologue is empty and still part of the transcript.
        symmetric.mix_hash(&[]);
        symmetric
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = Blake2b512::new().chain_update(self.hash).chain_update(data).finalize().into();
    }

    fn mix_key(&mut self, secret: &[u8]) {
        let [chaining, key] = derive(&self.chaining, secret);
        self.chaining = chaining;
        self.key = Some(first_half(&key));
        self.sealed = 0;
    }

    fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.sealed.to_le_bytes());
        self.sealed += 1;
        nonce
    }

    fn seal(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        let nonce = self.nonce();
        match &self.key {
            Some(key) => sealed::aead_seal(key, &nonce, &self.hash, text, out),
            None => out.extend_from_slice(text),
        }
        self.mix_hash(&out[from..]);
    }

    fn open(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
        let nonce = self.nonce();
        match &self.key {
            Some(key) => sealed::aead_open(key, &nonce, &self.hash, text, out)
                .map_err(|sealed::Forged| Failed::Forged)?,
            None => out.extend_from_slice(text),
        }
        self.mix_hash(text);
        Ok(())
    }

    fn split(&self) -> [Zeroizing<[u8; KEY_BYTES]>; 2] {
        derive(&self.chaining, &[]).map(|long| first_half(&long))
    }
}

fn first_half(long: &[u8; HASH_BYTES]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(&long[..KEY_BYTES]);
    key
}

/// Noise's HKDF with two outputs.
fn derive(chaining: &[u8; HASH_BYTES], input: &[u8]) -> [Zeroizing<[u8; HASH_BYTES]>; 2] {
    let temporary = hmac(chaining, &[input]);
    let first = hmac(&temporary, &[&[1]]);
    let second = hmac(&temporary, &[&*first, &[2]]);
    [first, second]
}

fn hmac(key: &[u8; HASH_BYTES], parts: &[&[u8]]) -> Zeroizing<[u8; HASH_BYTES]> {
    let pad = |byte: u8| {
        let mut block = Zeroizing::new([byte; BLOCK_BYTES]);
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let mut inner = Blake2b512::new().chain_update(*pad(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let outer = Blake2b512::new().chain_update(*pad(0x5c)).chain_update(inner.finalize());
    Zeroizing::new(outer.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(n: u8) -> KeyPair {
        KeyPair::from_seed([n; 32])
    }

    fn both() -> [Handshake; 2] {
        [
            Handshake::new(Role::Initiator, pair(1), pair(3)),
            Handshake::new(Role::Responder, pair(2), pair(4)),
        ]
    }

    /// Runs to the end, changing message `which` at one bit. Whether both sides finished.
    fn run(change: Option<(usize, usize)>) -> Result<[Outcome; 2], Failed> {
        let mut sides = both();
        for n in 0..3 {
            let mut message = Vec::new();
            assert_eq!(sides[n % 2].reads_next(), 0);
            assert_eq!(sides[1 - n % 2].reads_next(), MESSAGE_BYTES[n]);
            sides[n % 2].write(&mut message)?;
            if let Some((which, bit)) = change
                && which == n
            {
                message[bit / 8] ^= 1 << (bit % 8);
            }
            sides[1 - n % 2].read(&message)?;
        }
        Ok(sides.map(|side| side.finish().unwrap()))
    }

    #[test]
    fn both_sides_agree() {
        let [a, b] = run(None).ok().unwrap();
        assert_eq!((&*a.send, &*a.receive), (&*b.receive, &*b.send));
        assert_ne!(a.send, a.receive);
        assert_eq!((a.hash, a.remote, b.remote), (b.hash, pair(2).public(), pair(1).public()));
    }

    #[test]
    fn nobody_speaks_out_of_turn() {
        let [mut a, mut b] = both();
        assert_eq!(a.read(&[0; 96]), Err(Failed::Turn));
        assert_eq!(b.write(&mut Vec::new()), Err(Failed::Turn));
        assert!(a.finish().is_none());
        assert_eq!(b.read(&[0; 33]), Err(Failed::Length(33)));
    }

    #[test]
    fn points_that_libsodium_refuses() {
        let ours = pair(1);
        let mut identity = [0; 32];
        identity[0] = 1;
        // Order 2, order 4, order 8; y above the field's prime; not on the curve.
        let mut order_2 = [0xff; 32];
        (order_2[0], order_2[31]) = (0xec, 0x7f);
        let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
        let mut above = [0xff; 32];
        (above[0], above[31]) = (0xee, 0x7f);
        let mut off = [0; 32];
        off[0] = 2;
        for bad in [identity, order_2, [0; 32], above, off] {
            assert_eq!(agree(&ours, &bad), Err(Failed::Point), "{bad:02x?}");
        }
        let order_8: [u8; 32] = hex::decode(order_8).unwrap().try_into().unwrap();
        assert_eq!(agree(&ours, &order_8), Err(Failed::Point));
        // A good key with a part of small order added to it.
        let good = CompressedEdwardsY(pair(2).public()).decompress().unwrap();
        let torsion = CompressedEdwardsY(order_8).decompress().unwrap();
        let mixed = (good + torsion).compress().0;
        assert_eq!(agree(&ours, &mixed), Err(Failed::Point));
        assert!(agree(&ours, &pair(2).public()).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bit_can_be_flipped(which in 0usize..3, bit: proptest::sample::Index) {
            let bit = bit.index(8 * MESSAGE_BYTES[which]);
            prop_assert!(run(Some((which, bit))).is_err());
        }
    }
}
