//! ChaCha20 of RFC 8439, for one message: a key, a nonce of 12 bytes, blocks numbered from 0.

use zeroize::Zeroizing;

use super::lanes::Lanes;
use super::{BATCH, BATCH_BYTES, BLOCK_BYTES, Cipher, words, xor, xor_batch};

/// The key stream of one message. A message has at most 2^32 blocks.
pub(in crate::crypto) struct ChaCha {
    input: [u32; 16],
    /// The first blocks, which a short message is done with.
    first: Zeroizing<[u8; BATCH_BYTES]>,
}

impl ChaCha {
    pub fn new(key: &[u8; 32], nonce: &[u8; 12]) -> ChaCha {
        let mut input = [0; 16];
        let (text, rest) = input.split_at_mut(4);
        text.iter_mut().zip(words(b"expand 32-byte k")).for_each(|(to, word)| *to = word);
        rest.iter_mut().zip(words(key)).for_each(|(to, word)| *to = word);
        input[13..].iter_mut().zip(words(nonce)).for_each(|(to, word)| *to = word);
        let mut first = Zeroizing::new([0; BATCH_BYTES]);
        xor_batch::<Rounds>(&input, &mut first);
        input[12] = BATCH as u32;
        ChaCha { input, first }
    }

    /// Block `number` of the key stream, one of the first `BATCH`.
    pub fn block(&self, number: usize) -> &[u8; BLOCK_BYTES] {
        &self.first.as_chunks().0[number]
    }

    /// XORs the key stream from block `number` on, one of the first `BATCH`, into all of `bytes`.
    pub fn apply(mut self, number: usize, bytes: &mut [u8]) {
        let first = &self.first[number * BLOCK_BYTES..];
        let (here, more) = bytes.split_at_mut(first.len().min(bytes.len()));
        xor(here, first);
        let (whole, rest) = more.as_chunks_mut::<BATCH_BYTES>();
        for part in whole {
            xor_batch::<Rounds>(&self.input, part);
            self.input[12] = self.input[12].wrapping_add(BATCH as u32);
        }
        if !rest.is_empty() {
            *self.first = [0; BATCH_BYTES];
            xor_batch::<Rounds>(&self.input, &mut self.first);
            xor(rest, &*self.first);
        }
    }
}

pub(super) struct Rounds;

impl Cipher for Rounds {
    const NUMBER: usize = 12;
    const NUMBER_WORDS: usize = 1;

    #[inline(always)]
    fn double_round<V: Lanes>(x: &mut [V; 16]) {
        quarter_round(x, 0, 4, 8, 12);
        quarter_round(x, 1, 5, 9, 13);
        quarter_round(x, 2, 6, 10, 14);
        quarter_round(x, 3, 7, 11, 15);
        quarter_round(x, 0, 5, 10, 15);
        quarter_round(x, 1, 6, 11, 12);
        quarter_round(x, 2, 7, 8, 13);
        quarter_round(x, 3, 4, 9, 14);
    }
}

#[inline(always)]
fn quarter_round<V: Lanes>(x: &mut [V; 16], a: usize, b: usize, c: usize, d: usize) {
    x[a] = x[a].plus(x[b]);
    x[d] = x[d].turn::<16, 16>(x[a]);
    x[c] = x[c].plus(x[d]);
    x[b] = x[b].turn::<12, 20>(x[c]);
    x[a] = x[a].plus(x[b]);
    x[d] = x[d].turn::<8, 24>(x[a]);
    x[c] = x[c].plus(x[d]);
    x[b] = x[b].turn::<7, 25>(x[c]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20;
    use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_crate(key: [u8; 32], nonce: [u8; 12], number in 0..BATCH, len in 0usize..5000) {
            let mut cipher = ChaCha20::new((&key).into(), (&nonce).into());
            let mut wanted = vec![0x5a; len];
            cipher.seek((number * BLOCK_BYTES) as u64);
            cipher.apply_keystream(&mut wanted);
            let ours = ChaCha::new(&key, &nonce);
            let block = *ours.block(number);
            let mut bytes = vec![0x5a; len];
            ours.apply(number, &mut bytes);
            prop_assert!(bytes == wanted);
            let seen = len.min(BLOCK_BYTES);
            prop_assert!(block[..seen].iter().zip(&wanted).all(|(a, b)| a ^ 0x5a == *b));
        }
    }
}
