//! Vectors by hand: from plain loops over arrays the compiler makes them at one change of the code
//! and not at the next.

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Four, xor_avx2, xor_avx512};

/// Four words of a block.
pub(super) type Place = [u8; 16];

/// The same word of `COUNT` blocks.
pub(super) trait Lanes: Copy {
    const COUNT: usize;

    fn splat(word: u32) -> Self;

    /// Lower and upper words of the numbers of blocks from `first` on.
    fn numbers(first: u64) -> [Self; 2];

    /// `self + other` in each lane.
    fn plus(self, other: Self) -> Self;

    /// `self ^ ((a + b) <<< L)` in each lane; `L + R` is 32.
    fn mix<const L: i32, const R: i32>(self, a: Self, b: Self) -> Self;

    /// `(self ^ other) <<< L` in each lane; `L + R` is 32.
    fn turn<const L: i32, const R: i32>(self, other: Self) -> Self;

    /// XORs four consecutive words of each block into `places`, a block being four of them; `at`
    /// tells which of the four.
    fn xor_columns(words: [Self; 4], places: &mut [Place], at: usize);
}

impl Lanes for u32 {
    const COUNT: usize = 1;

    #[inline(always)]
    fn splat(word: u32) -> u32 {
        word
    }

    #[inline(always)]
    fn numbers(first: u64) -> [u32; 2] {
        [first as u32, (first >> 32) as u32]
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

    #[inline(always)]
    fn turn<const L: i32, const R: i32>(self, other: u32) -> u32 {
        let both = self ^ other;
        both << L | both >> R
    }

    #[inline(always)]
    fn xor_columns(words: [u32; 4], places: &mut [Place], at: usize) {
        for (bytes, word) in places[at].as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = (u32::from_le_bytes(*bytes) ^ word).to_le_bytes();
        }
    }
}

/// Gives a wider vector its `Lanes`. Four-by-four words are turned in each 128 bits of a vector:
/// afterwards quarter `q` of row `r` is of block `4 q + r`.
#[cfg(target_arch = "x86_64")]
macro_rules! lanes {
    ($name:ident, $of:ty, $count:literal, $splat:ident, $add:ident, $xor:ident, $low32:ident, $high32:ident,
     $low64:ident, $high64:ident, |$sum:ident| $turn:expr) => {
        #[derive(Clone, Copy)]
        pub struct $name($of);

        // SAFETY, here and below: a vector is as large as its array and all its values are valid;
        // the first lane is lowest. Whoever names the type has made sure of the instructions.
        impl Lanes for $name {
            const COUNT: usize = $count;

            #[inline(always)]
            fn splat(word: u32) -> $name {
                $name(unsafe { $splat(word as i32) })
            }

            #[inline(always)]
            fn numbers(first: u64) -> [$name; 2] {
                let numbers: [u64; $count] =
                    std::array::from_fn(|lane| first.wrapping_add(lane as u64));
                let (low, high) = (
                    numbers.map(|number| number as u32),
                    numbers.map(|number| (number >> 32) as u32),
                );
                [low, high].map(|words| $name(unsafe { transmute::<[u32; $count], $of>(words) }))
            }

            #[inline(always)]
            fn plus(self, other: $name) -> $name {
                $name(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn mix<const L: i32, const R: i32>(self, a: $name, b: $name) -> $name {
                unsafe {
                    let $sum = $add(a.0, b.0);
                    $name($xor(self.0, $turn))
                }
            }

            #[inline(always)]
            fn turn<const L: i32, const R: i32>(self, other: $name) -> $name {
                unsafe {
                    let $sum = $xor(self.0, other.0);
                    $name($turn)
                }
            }

            #[inline(always)]
            fn xor_columns([a, b, c, d]: [$name; 4], places: &mut [Place], at: usize) {
                let rows = unsafe {
                    let (ab, cd) = ($low32(a.0, b.0), $low32(c.0, d.0));
                    let (ab_high, cd_high) = ($high32(a.0, b.0), $high32(c.0, d.0));
                    [
                        $low64(ab, cd),
                        $high64(ab, cd),
                        $low64(ab_high, cd_high),
                        $high64(ab_high, cd_high),
                    ]
                };
                // Counted loops and indexed arrays cost no call, whatever the program is compiled for.
                let mut r = 0;
                while r < 4 {
                    let quarters = unsafe { transmute::<$of, [Place; $count / 4]>(rows[r]) };
                    let mut q = 0;
                    while q < $count / 4 {
                        let place = &mut places[(4 * q + r) * 4 + at];
                        *place = (u128::from_ne_bytes(*place) ^ u128::from_ne_bytes(quarters[q]))
                            .to_ne_bytes();
                        q += 1;
                    }
                    r += 1;
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::super::{BATCH_BYTES, Cipher, xor_blocks};
    use super::{Lanes, Place};

    #[target_feature(enable = "avx2")]
    pub fn xor_avx2<C: Cipher>(input: &[u32; 16], bytes: &mut [u8; BATCH_BYTES]) {
        xor_blocks::<Eight, C>(input, bytes);
    }

    #[target_feature(enable = "avx512f")]
    pub fn xor_avx512<C: Cipher>(input: &[u32; 16], bytes: &mut [u8; BATCH_BYTES]) {
        xor_blocks::<Sixteen, C>(input, bytes);
    }

    // SSE2 is part of x86-64.
    lanes!(
        Four,
        __m128i,
        4,
        _mm_set1_epi32,
        _mm_add_epi32,
        _mm_xor_si128,
        _mm_unpacklo_epi32,
        _mm_unpackhi_epi32,
        _mm_unpacklo_epi64,
        _mm_unpackhi_epi64,
        |sum| _mm_or_si128(_mm_slli_epi32::<L>(sum), _mm_srli_epi32::<R>(sum))
    );
    lanes!(
        Eight,
        __m256i,
        8,
        _mm256_set1_epi32,
        _mm256_add_epi32,
        _mm256_xor_si256,
        _mm256_unpacklo_epi32,
        _mm256_unpackhi_epi32,
        _mm256_unpacklo_epi64,
        _mm256_unpackhi_epi64,
        |sum| _mm256_or_si256(_mm256_slli_epi32::<L>(sum), _mm256_srli_epi32::<R>(sum))
    );
    lanes!(
        Sixteen,
        __m512i,
        16,
        _mm512_set1_epi32,
        _mm512_add_epi32,
        _mm512_xor_si512,
        _mm512_unpacklo_epi32,
        _mm512_unpackhi_epi32,
        _mm512_unpacklo_epi64,
        _mm512_unpackhi_epi64,
        |sum| _mm512_rol_epi32::<L>(sum)
    );
}
