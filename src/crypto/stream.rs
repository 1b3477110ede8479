//! XSalsa20 (dat/SPEC §3): the key stream of one direction of a connection; and ChaCha20 beside
//! ([`ChaCha`]), of which sealed streams are made (hyper/SPEC a.6).
//!
//! The salsa20 crate computes block after block; this computes four, eight or sixteen side by side
//! where the processor has vectors, three to eight times as fast. The chacha20 crate has vectors too,
//! in generic functions that become calls for each word where the program is compiled for size: a
//! tenth of the speed. The crates still derive the keys (HSalsa20, HChaCha20) and are the reference in
//! the tests.

mod chacha;
mod lanes;

pub(super) use chacha::ChaCha;

use salsa20::cipher::consts::U10;

use lanes::Lanes;

/// Bytes of a key stream block.
const BLOCK_BYTES: usize = 64;
/// Blocks made at a time: as many as the widest vectors hold.
const BATCH: usize = 16;
const BATCH_BYTES: usize = BATCH * BLOCK_BYTES;

/// A key stream at some position. Encrypts and decrypts alike.
pub struct StreamCipher {
    /// Salsa20's input block; words 8 and 9 are the number of the next block.
    input: [u32; 16],
    /// Key stream made but not used yet: the last `left` bytes.
    batch: [u8; BATCH_BYTES],
    left: usize,
}

impl StreamCipher {
    pub fn new(key: &[u8; 32], nonce: &[u8; 24]) -> StreamCipher {
        let (head, tail) = nonce.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let subkey: [u8; 32] = salsa20::hsalsa::<U10>(key.into(), head.into()).into();
        let mut input = [0; 16];
        for (at, word) in [0, 5, 10, 15].into_iter().zip(words(b"expand 32-byte k")) {
            input[at] = word;
        }
        for (at, word) in [1, 2, 3, 4, 11, 12, 13, 14].into_iter().zip(words(&subkey)) {
            input[at] = word;
        }
        for (at, word) in [6, 7].into_iter().zip(words(tail)) {
            input[at] = word;
        }
        StreamCipher { input, batch: [0; BATCH_BYTES], left: 0 }
    }

    /// XORs the next `bytes.len()` bytes of the key stream into `bytes`.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let (old, new) = bytes.split_at_mut(self.left.min(bytes.len()));
        xor(old, &self.batch[BATCH_BYTES - self.left..]);
        self.left -= old.len();
        let (whole, rest) = new.as_chunks_mut::<BATCH_BYTES>();
        for part in whole {
            self.xor_batch(part);
        }
        if !rest.is_empty() {
            let mut made = [0; BATCH_BYTES];
            self.xor_batch(&mut made);
            self.batch = made;
            xor(rest, &self.batch);
            self.left = BATCH_BYTES - rest.len();
        }
    }

    fn xor_batch(&mut self, bytes: &mut [u8; BATCH_BYTES]) {
        xor_batch::<Salsa>(&self.input, bytes);
        let (low, carry) = self.input[8].overflowing_add(BATCH as u32);
        self.input[8] = low;
        self.input[9] = self.input[9].wrapping_add(carry.into());
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word))
}

/// XORs as much of `stream` into `bytes` as they are long.
fn xor(bytes: &mut [u8], stream: &[u8]) {
    let len = bytes.len().min(stream.len());
    let (words, rest) = bytes[..len].as_chunks_mut::<8>();
    let (stream_words, stream_rest) = stream[..len].as_chunks::<8>();
    for (word, stream) in words.iter_mut().zip(stream_words) {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(*stream)).to_ne_bytes();
    }
    for (byte, stream) in rest.iter_mut().zip(stream_rest) {
        *byte ^= stream;
    }
}

/// What two ciphers of one family differ in.
trait Cipher {
    /// Where the lower half of a block's number stands in the input.
    const NUMBER: usize;
    /// Words of the number.
    const NUMBER_WORDS: usize;

    /// A column and a row or diagonal round.
    fn double_round<V: Lanes>(x: &mut [V; 16]);
}

struct Salsa;

/// XORs the next `BATCH` blocks into `bytes`.
fn xor_batch<C: Cipher>(input: &[u32; 16], bytes: &mut [u8; BATCH_BYTES]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        unsafe { lanes::xor_avx512::<C>(input, bytes) }
    } else if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { lanes::xor_avx2::<C>(input, bytes) }
    } else {
        xor_blocks::<lanes::Four, C>(input, bytes);
    }
    #[cfg(not(target_arch = "x86_64"))]
    xor_blocks::<u32, C>(input, bytes);
}

/// XORs consecutive blocks into `bytes`, as many side by side as there are lanes.
#[inline(always)]
fn xor_blocks<V: Lanes, C: Cipher>(input: &[u32; 16], bytes: &mut [u8; BATCH_BYTES]) {
    let mut first = u64::from(input[C::NUMBER + 1]) << 32 | u64::from(input[C::NUMBER]);
    let mut start = input.map(V::splat);
    let (places, _) = bytes.as_chunks_mut::<16>();
    for places in places.chunks_exact_mut(V::COUNT * BLOCK_BYTES / 16) {
        let numbers = V::numbers(first);
        start[C::NUMBER] = numbers[0];
        if C::NUMBER_WORDS == 2 {
            start[C::NUMBER + 1] = numbers[1];
        }
        first = first.wrapping_add(V::COUNT as u64);
        let mut x = start;
        for _ in 0..10 {
            C::double_round(&mut x);
        }
        let mut at = 0;
        while at < 4 {
            let w = 4 * at;
            let sums = [
                x[w].plus(start[w]),
                x[w + 1].plus(start[w + 1]),
                x[w + 2].plus(start[w + 2]),
                x[w + 3].plus(start[w + 3]),
            ];
            V::xor_columns(sums, places, at);
            at += 1;
        }
    }
}

impl Cipher for Salsa {
    const NUMBER: usize = 8;
    const NUMBER_WORDS: usize = 2;

    #[inline(always)]
    fn double_round<V: Lanes>(x: &mut [V; 16]) {
        quarter_round(x, 0, 4, 8, 12);
        quarter_round(x, 5, 9, 13, 1);
        quarter_round(x, 10, 14, 2, 6);
        quarter_round(x, 15, 3, 7, 11);
        quarter_round(x, 0, 1, 2, 3);
        quarter_round(x, 5, 6, 7, 4);
        quarter_round(x, 10, 11, 8, 9);
        quarter_round(x, 15, 12, 13, 14);
    }
}

#[inline(always)]
fn quarter_round<V: Lanes>(x: &mut [V; 16], a: usize, b: usize, c: usize, d: usize) {
    x[b] = x[b].mix::<7, 25>(x[a], x[d]);
    x[c] = x[c].mix::<9, 23>(x[b], x[a]);
    x[d] = x[d].mix::<13, 19>(x[c], x[b]);
    x[a] = x[a].mix::<18, 14>(x[d], x[c]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use salsa20::XSalsa20;
    use salsa20::cipher::{KeyIvInit, StreamCipher as _, StreamCipherSeek};

    fn reference(key: &[u8; 32], nonce: &[u8; 24], from: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut cipher = XSalsa20::new(key.into(), nonce.into());
        cipher.seek(from);
        cipher.apply_keystream(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn equals_the_crate(key: [u8; 32], nonce: [u8; 24], parts in prop::collection::vec(0usize..1500, 0..8)) {
            let mut cipher = StreamCipher::new(&key, &nonce);
            let mut all = Vec::new();
            for part in parts {
                let from = all.len();
                all.resize(from + part, 0);
                cipher.apply(&mut all[from..]);
            }
            prop_assert_eq!(&all, &reference(&key, &nonce, 0, all.len()));
        }

        #[test]
        fn all_widths_agree(input: [u32; 16], near in 0u32..20) {
            let mut input = input;
            for low in [input[8], u32::MAX - near] {
                input[8] = low;
                widths::<Salsa>(&input);
            }
            widths::<chacha::Rounds>(&input);
        }
    }

    /// All widths make the same of an input.
    fn widths<C: Cipher>(input: &[u32; 16]) {
        let (mut one, mut best) = ([0; BATCH_BYTES], [0; BATCH_BYTES]);
        xor_blocks::<u32, C>(input, &mut one);
        xor_batch::<C>(input, &mut best);
        assert_eq!(one, best);
        #[cfg(target_arch = "x86_64")]
        {
            let mut four = [0; BATCH_BYTES];
            xor_blocks::<lanes::Four, C>(input, &mut four);
            assert_eq!(one, four);
            if std::arch::is_x86_feature_detected!("avx2") {
                let mut eight = [0; BATCH_BYTES];
                // SAFETY: the processor has AVX2.
                unsafe { lanes::xor_avx2::<C>(input, &mut eight) };
                assert_eq!(one, eight);
            }
        }
    }

    #[test]
    fn the_block_counter_carries_into_its_upper_half() {
        let (key, nonce) = ([7; 32], [9; 24]);
        let mut cipher = StreamCipher::new(&key, &nonce);
        let first = (1u64 << 32) - 12;
        (cipher.input[8], cipher.input[9]) = (first as u32, 0);
        let mut bytes = vec![0; 4000];
        cipher.apply(&mut bytes);
        assert_eq!(bytes, reference(&key, &nonce, first * 64, bytes.len()));
        assert_eq!(cipher.input[9], 1);
    }
}
