//! XSalsa20 (dat/SPEC §3): the key stream of one direction of a connection.
//!
//! The salsa20 crate computes block after block; this computes four or eight side by side where
//! the processor has vectors, two to three times as fast. The crate still derives the key
//! (HSalsa20) and is the reference in the tests.

use salsa20::cipher::consts::U10;

/// Bytes of a key stream block.
const BLOCK_BYTES: usize = 64;
/// Blocks made at a time.
const BATCH: usize = 8;
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
        for part in new.chunks_mut(BATCH_BYTES) {
            batch(&self.input, &mut self.batch);
            let (low, carry) = self.input[8].overflowing_add(BATCH as u32);
            self.input[8] = low;
            self.input[9] = self.input[9].wrapping_add(carry.into());
            xor(part, &self.batch);
            self.left = BATCH_BYTES - part.len();
        }
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

/// Makes the next `BATCH` blocks.
fn batch(input: &[u32; 16], out: &mut [u8; BATCH_BYTES]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { batch_avx2(input, out) }
    } else {
        blocks::<4, x86::Four>(input, out);
    }
    #[cfg(not(target_arch = "x86_64"))]
    blocks::<1, u32>(input, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn batch_avx2(input: &[u32; 16], out: &mut [u8; BATCH_BYTES]) {
    blocks::<8, x86::Eight>(input, out);
}

/// The same word of `N` blocks.
trait Lanes<const N: usize>: Copy {
    fn pack(words: [u32; N]) -> Self;
    fn unpack(self) -> [u32; N];
    /// `self + other` in each lane.
    fn plus(self, other: Self) -> Self;
    /// `self ^ ((a + b) <<< L)` in each lane; `L + R` is 32.
    fn mix<const L: i32, const R: i32>(self, a: Self, b: Self) -> Self;
}

impl Lanes<1> for u32 {
    #[inline(always)]
    fn pack([word]: [u32; 1]) -> u32 {
        word
    }

    #[inline(always)]
    fn unpack(self) -> [u32; 1] {
        [self]
    }

    #[inline(always)]
    fn plus(self, other: u32) -> u32 {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn mix<const L: i32, const R: i32>(self, a: u32, b: u32) -> u32 {
        let sum = a.wrapping_add(b);
        self ^ (sum << L | sum >> R)
    }
}

/// Vectors by hand: from plain loops over arrays the compiler makes them at one change of the code
/// and not at the next.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::Lanes;

    #[derive(Clone, Copy)]
    pub struct Four(__m128i);

    // SAFETY, here and below: a vector is as large as its array and all its values are valid; the
    // first lane is lowest. SSE2 is part of x86-64.
    impl Lanes<4> for Four {
        #[inline(always)]
        fn pack(words: [u32; 4]) -> Four {
            Four(unsafe { transmute::<[u32; 4], __m128i>(words) })
        }

        #[inline(always)]
        fn unpack(self) -> [u32; 4] {
            unsafe { transmute::<__m128i, [u32; 4]>(self.0) }
        }

        #[inline(always)]
        fn plus(self, other: Four) -> Four {
            Four(unsafe { _mm_add_epi32(self.0, other.0) })
        }

        #[inline(always)]
        fn mix<const L: i32, const R: i32>(self, a: Four, b: Four) -> Four {
            unsafe {
                let sum = _mm_add_epi32(a.0, b.0);
                let turned = _mm_or_si128(_mm_slli_epi32::<L>(sum), _mm_srli_epi32::<R>(sum));
                Four(_mm_xor_si128(self.0, turned))
            }
        }
    }

    #[derive(Clone, Copy)]
    pub struct Eight(__m256i);

    // SAFETY: only `batch_avx2` uses this.
    impl Lanes<8> for Eight {
        #[inline(always)]
        fn pack(words: [u32; 8]) -> Eight {
            Eight(unsafe { transmute::<[u32; 8], __m256i>(words) })
        }

        #[inline(always)]
        fn unpack(self) -> [u32; 8] {
            unsafe { transmute::<__m256i, [u32; 8]>(self.0) }
        }

        #[inline(always)]
        fn plus(self, other: Eight) -> Eight {
            Eight(unsafe { _mm256_add_epi32(self.0, other.0) })
        }

        #[inline(always)]
        fn mix<const L: i32, const R: i32>(self, a: Eight, b: Eight) -> Eight {
            unsafe {
                let sum = _mm256_add_epi32(a.0, b.0);
                let turned =
                    _mm256_or_si256(_mm256_slli_epi32::<L>(sum), _mm256_srli_epi32::<R>(sum));
                Eight(_mm256_xor_si256(self.0, turned))
            }
        }
    }
}

/// Fills `out` with consecutive blocks, `N` side by side.
#[inline(always)]
fn blocks<const N: usize, V: Lanes<N>>(input: &[u32; 16], out: &mut [u8; BATCH_BYTES]) {
    let mut first = u64::from(input[9]) << 32 | u64::from(input[8]);
    for out in out.chunks_exact_mut(N * BLOCK_BYTES) {
        let numbers: [u64; N] = std::array::from_fn(|lane| first.wrapping_add(lane as u64));
        first = first.wrapping_add(N as u64);
        let mut start = input.map(|word| [word; N]);
        start[8] = numbers.map(|number| number as u32);
        start[9] = numbers.map(|number| (number >> 32) as u32);
        let start = start.map(V::pack);
        let mut x = start;
        for _ in 0..10 {
            double_round(&mut x);
        }
        let mut sums = [[0; N]; 16];
        for ((sum, x), start) in sums.iter_mut().zip(x).zip(start) {
            *sum = x.plus(start).unpack();
        }
        let (pairs, _) = sums.as_chunks::<2>();
        for (lane, block) in out.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().enumerate() {
            let (places, _) = block.as_chunks_mut::<8>();
            for (bytes, [low, high]) in places.iter_mut().zip(pairs) {
                *bytes = (u64::from(high[lane]) << 32 | u64::from(low[lane])).to_le_bytes();
            }
        }
    }
}

/// A column and a row round.
#[inline(always)]
fn double_round<const N: usize, V: Lanes<N>>(x: &mut [V; 16]) {
    quarter_round(x, 0, 4, 8, 12);
    quarter_round(x, 5, 9, 13, 1);
    quarter_round(x, 10, 14, 2, 6);
    quarter_round(x, 15, 3, 7, 11);
    quarter_round(x, 0, 1, 2, 3);
    quarter_round(x, 5, 6, 7, 4);
    quarter_round(x, 10, 11, 8, 9);
    quarter_round(x, 15, 12, 13, 14);
}

#[inline(always)]
fn quarter_round<const N: usize, V: Lanes<N>>(
    x: &mut [V; 16],
    a: usize,
    b: usize,
    c: usize,
    d: usize,
) {
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
                let (mut one, mut best) = ([0; BATCH_BYTES], [0; BATCH_BYTES]);
                blocks::<1, u32>(&input, &mut one);
                batch(&input, &mut best);
                prop_assert_eq!(one, best);
                #[cfg(target_arch = "x86_64")]
                {
                    let mut four = [0; BATCH_BYTES];
                    blocks::<4, x86::Four>(&input, &mut four);
                    prop_assert_eq!(one, four);
                }
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
