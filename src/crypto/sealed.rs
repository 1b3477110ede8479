//! The sealed stream of one direction of a connection: libsodium's
//! `crypto_secretstream_xchacha20poly1305` (hyper/SPEC a.6), sealed and opened in place in the
//! caller's buffer. Knows no framing and no message; keys and headers are arguments.

use chacha20::R20;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use zeroize::Zeroizing;

use super::stream::ChaCha;

/// Bytes in front of the text in a sealed body: its encrypted tag.
pub const FRONT_BYTES: usize = 1;
/// Bytes behind the text: the authenticator.
pub const BEHIND_BYTES: usize = 16;
/// What sealing adds to a text.
pub const OVERHEAD_BYTES: usize = FRONT_BYTES + BEHIND_BYTES;
/// Bytes of the header that opens a stream.
pub const HEADER_BYTES: usize = 24;

/// Bytes of a ChaCha20 block.
const BLOCK_BYTES: usize = 64;
const TAG_MESSAGE: u8 = 0;
/// The bit of a tag after which both sides change the key.
const TAG_REKEY: u8 = 2;

/// The body was changed on its way, or is out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed message does not open: it was changed on its way")]
pub struct Forged;

/// Seals what one side sends.
pub struct Sealer(State);

impl Sealer {
    /// `header`: 24 fresh random bytes, which the other side needs too.
    pub fn new(key: &[u8; 32], header: &[u8; HEADER_BYTES]) -> Sealer {
        Sealer(State::new(key, header))
    }

    /// Counts the messages from here, which the other side has to do too; both begin at 1 unless a test
    /// is about the counter's end, where the key changes.
    pub fn count_from(&mut self, counter: u32) {
        self.0.count_from(counter);
    }

    /// Seals `body` where it is: [`FRONT_BYTES`] of room, the text, [`BEHIND_BYTES`] of room. What
    /// stands in the room does not matter.
    ///
    /// # Panics
    /// If `body` is shorter than [`OVERHEAD_BYTES`].
    pub fn seal(&mut self, body: &mut [u8]) {
        let (text, behind) = body.split_last_chunk_mut::<BEHIND_BYTES>().expect("room behind");
        let (front, text) = text.split_first_mut().expect("room in front");
        let Keyed { cipher, poly } = self.0.message();
        let mut block = *cipher.block(1);
        block[0] ^= TAG_MESSAGE;
        *front = block[0];
        cipher.apply(2, text);
        *behind = mac(poly, &block, text);
        self.0.advance(TAG_MESSAGE, behind);
    }
}

/// Opens what the other side sent.
pub struct Opener(State);

impl Opener {
    pub fn new(key: &[u8; 32], header: &[u8; HEADER_BYTES]) -> Opener {
        Opener(State::new(key, header))
    }

    /// As [`Sealer::count_from`].
    pub fn count_from(&mut self, counter: u32) {
        self.0.count_from(counter);
    }

    /// Opens a sealed body where it is. The text is what [`text`] cuts out of it. Nothing is
    /// decrypted unless the authenticator agrees.
    pub fn open(&mut self, body: &mut [u8]) -> Result<(), Forged> {
        let (rest, theirs) = body.split_last_chunk_mut::<BEHIND_BYTES>().ok_or(Forged)?;
        let (front, text) = rest.split_first_mut().ok_or(Forged)?;
        let Keyed { cipher, poly } = self.0.message();
        // The whole first block is authenticated, with the tag as it was sent.
        let mut block = *cipher.block(1);
        let tag = block[0] ^ *front;
        block[0] = *front;
        if !same(&mac(poly, &block, text), theirs) {
            return Err(Forged);
        }
        cipher.apply(2, text);
        *front = tag;
        self.0.advance(tag, theirs);
        Ok(())
    }
}

/// The text of an opened body; of a body to be sealed, where the text goes.
pub fn text(body: &[u8]) -> &[u8] {
    let end = body.len().saturating_sub(BEHIND_BYTES);
    body.get(FRONT_BYTES..end).unwrap_or_default()
}

struct State {
    key: Zeroizing<[u8; 32]>,
    /// A counter of 32 bits, then 8 bytes that each message changes.
    nonce: [u8; 12],
}

/// What one message is encrypted and authenticated with. The authenticator's key comes from block 0.
struct Keyed {
    cipher: ChaCha,
    poly: Poly1305,
}

impl State {
    fn new(key: &[u8; 32], header: &[u8; HEADER_BYTES]) -> State {
        let (input, rest) = header.split_first_chunk::<16>().expect("24 bytes");
        let mut nonce = [0; 12];
        nonce[0] = 1;
        nonce[4..].copy_from_slice(rest);
        let subkey = chacha20::hchacha::<R20>(key.into(), input.into());
        State { key: Zeroizing::new(subkey.into()), nonce }
    }

    fn count_from(&mut self, counter: u32) {
        self.nonce[..4].copy_from_slice(&counter.to_le_bytes());
    }

    fn message(&self) -> Keyed {
        keyed(&self.key, &self.nonce)
    }

    /// On to the next message, with another key if the tag asks for it or the counter is used up.
    fn advance(&mut self, tag: u8, mac: &[u8; BEHIND_BYTES]) {
        let (counter, rest) = self.nonce.split_first_chunk_mut::<4>().expect("12 bytes");
        rest.iter_mut().zip(mac).for_each(|(byte, mac)| *byte ^= mac);
        let next = u32::from_le_bytes(*counter).wrapping_add(1);
        *counter = next.to_le_bytes();
        if next == 0 || tag & TAG_REKEY != 0 {
            self.rekey();
        }
    }

    fn rekey(&mut self) {
        let mut fresh = Zeroizing::new([0; 40]);
        fresh[..32].copy_from_slice(&*self.key);
        fresh[32..].copy_from_slice(&self.nonce[4..]);
        ChaCha::new(&self.key, &self.nonce).apply(0, &mut *fresh);
        self.key.copy_from_slice(&fresh[..32]);
        self.nonce[4..].copy_from_slice(&fresh[32..]);
        self.nonce[..4].copy_from_slice(&1u32.to_le_bytes());
    }
}

fn keyed(key: &[u8; 32], nonce: &[u8; 12]) -> Keyed {
    let cipher = ChaCha::new(key, nonce);
    let (poly_key, _) = cipher.block(0).split_first_chunk::<32>().expect("64 bytes");
    let poly = Poly1305::new(poly_key.into());
    Keyed { cipher, poly }
}

/// libsodium's own order: the first block, the text, then as many zeros as the text has bytes over a
/// multiple of 16 (not what would fill it up), and both lengths.
fn mac(mut poly: Poly1305, block: &[u8; BLOCK_BYTES], text: &[u8]) -> [u8; BEHIND_BYTES] {
    poly.update_padded(block);
    let over = text.len() % 16;
    let (whole, rest) = text.split_at(text.len() - over);
    poly.update_padded(whole);
    let mut tail = [0; 15 + 15 + 16];
    tail[..over].copy_from_slice(rest);
    let lengths = 2 * over + 8;
    let authenticated = (BLOCK_BYTES + text.len()) as u64;
    tail[lengths..lengths + 8].copy_from_slice(&authenticated.to_le_bytes());
    poly.compute_unpadded(&tail[..lengths + 8]).into()
}

/// In a time that does not tell where they differ.
fn same(a: &[u8; BEHIND_BYTES], b: &[u8; BEHIND_BYTES]) -> bool {
    let differ = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(differ) == 0
}

/// ChaCha20-Poly1305 of RFC 8439, as Noise uses it (hyper/SPEC a.2). `seal` appends `text` and its
/// authenticator to `out`.
pub(super) fn aead_seal(
    key: &[u8; 32],
    nonce: &[u8; 12],
    ad: &[u8],
    text: &[u8],
    out: &mut Vec<u8>,
) {
    let Keyed { cipher, poly } = keyed(key, nonce);
    let from = out.len();
    out.extend_from_slice(text);
    cipher.apply(1, &mut out[from..]);
    let mac = aead_mac(poly, ad, &out[from..]);
    out.extend_from_slice(&mac);
}

/// The other way round: text without its authenticator, appended to `out`.
pub(super) fn aead_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    ad: &[u8],
    sealed: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Forged> {
    let (text, theirs) = sealed.split_last_chunk::<BEHIND_BYTES>().ok_or(Forged)?;
    let Keyed { cipher, poly } = keyed(key, nonce);
    if !same(&aead_mac(poly, ad, text), theirs) {
        return Err(Forged);
    }
    let from = out.len();
    out.extend_from_slice(text);
    cipher.apply(1, &mut out[from..]);
    Ok(())
}

fn aead_mac(mut poly: Poly1305, ad: &[u8], text: &[u8]) -> [u8; BEHIND_BYTES] {
    poly.update_padded(ad);
    poly.update_padded(text);
    let mut lengths = [0; 16];
    lengths[..8].copy_from_slice(&(ad.len() as u64).to_le_bytes());
    lengths[8..].copy_from_slice(&(text.len() as u64).to_le_bytes());
    poly.update_padded(&lengths);
    poly.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_secretstream::{Header, Key, PullStream, PushStream, Tag};
    use proptest::prelude::*;

    fn sealed(sealer: &mut Sealer, text: &[u8]) -> Vec<u8> {
        let mut body = [&[0xee][..], text, &[0xdd; BEHIND_BYTES]].concat();
        sealer.seal(&mut body);
        body
    }

    fn opened(opener: &mut Opener, mut body: Vec<u8>) -> Result<Vec<u8>, Forged> {
        opener.open(&mut body)?;
        Ok(text(&body).to_vec())
    }

    /// Bytes from a list instead of randomness.
    struct Given([u8; 24]);

    impl rand_core::CryptoRng for Given {}
    impl rand_core::RngCore for Given {
        fn next_u32(&mut self) -> u32 {
            unreachable!("only bytes are asked for")
        }
        fn next_u64(&mut self) -> u64 {
            unreachable!("only bytes are asked for")
        }
        fn fill_bytes(&mut self, out: &mut [u8]) {
            out.copy_from_slice(&self.0[..out.len()]);
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(out);
            Ok(())
        }
    }

    proptest! {
        /// Against an independent implementation, both ways, through changes of the key.
        #[test]
        fn as_another_implementation(
            key: [u8; 32],
            header: [u8; 24],
            texts in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0u8..3), 1..8),
        ) {
            let theirs = Key::from(key);
            let (sent, mut push) = PushStream::init(Given(header), &theirs);
            prop_assert_eq!(sent.as_ref(), &header);
            let mut pull = PullStream::init(Header::from(header), &theirs);
            let (mut sealer, mut opener) = (Sealer::new(&key, &header), Opener::new(&key, &header));
            for (text, tag) in texts {
                let mut body = sealed(&mut sealer, &text);
                let tag_seen = pull.pull(&mut body, &[]).unwrap();
                prop_assert!(tag_seen == Tag::Message);
                prop_assert_eq!(&body, &text);
                // They may change the key when they like. Not tested: the last tag, after which that
                // implementation keeps the key, while libsodium changes it.
                let tag = [Tag::Message, Tag::Push, Tag::Rekey][usize::from(tag)];
                let mut body = text.clone();
                push.push(&mut body, &[], tag).unwrap();
                prop_assert_eq!(opened(&mut opener, body), Ok(text));
            }
        }

        #[test]
        fn no_bit_can_be_flipped(
            text in proptest::collection::vec(any::<u8>(), 0..200),
            at: proptest::sample::Index,
            bit in 0u8..8,
        ) {
            let (key, header) = ([1; 32], [2; 24]);
            let whole = sealed(&mut Sealer::new(&key, &header), &text);
            let mut body = whole.clone();
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            let mut opener = Opener::new(&key, &header);
            prop_assert_eq!(opened(&mut opener, body), Err(Forged));
            // A refused body leaves the stream where it was.
            prop_assert_eq!(opened(&mut opener, whole), Ok(text));
        }
    }

    #[test]
    fn too_short_and_out_of_order() {
        let (key, header) = ([1; 32], [2; 24]);
        let mut sealer = Sealer::new(&key, &header);
        let first = sealed(&mut sealer, b"one");
        let second = sealed(&mut sealer, b"two");
        let mut opener = Opener::new(&key, &header);
        for len in 0..OVERHEAD_BYTES {
            assert_eq!(opened(&mut opener, vec![0; len]), Err(Forged));
        }
        assert_eq!(opened(&mut opener, second.clone()), Err(Forged));
        assert_eq!(opened(&mut opener, first.clone()), Ok(b"one".to_vec()));
        assert_eq!(opened(&mut opener, first), Err(Forged));
        assert_eq!(opened(&mut opener, second), Ok(b"two".to_vec()));
    }

    /// After 2^32 messages the key changes by itself. Bytes made with libsodium, whose state was set to
    /// the same counter.
    #[test]
    fn the_key_changes_when_the_counter_is_used_up() {
        let (key, header) = ([0x11; 32], [0x22; 24]);
        let mut sealer = Sealer::new(&key, &header);
        sealer.count_from(u32::MAX - 1);
        let mut opener = Opener::new(&key, &header);
        opener.count_from(u32::MAX - 1);
        for (text, expected) in [
            ("a", "29e8d7363d98e1e3ada83982157c81b02240"),
            ("bc", "88f6c0b40f1b94e683a56ae62131d4ad15a405"),
            ("def", "d9766039bb0d2f2d9f16c58d0fe0f0f69ee9b721"),
            ("", "8d86ed0f39653058e4bc41a110b548f12e"),
        ] {
            let body = sealed(&mut sealer, text.as_bytes());
            assert_eq!(hex::encode(&body), expected);
            assert_eq!(opened(&mut opener, body), Ok(text.as_bytes().to_vec()));
        }
    }
}
