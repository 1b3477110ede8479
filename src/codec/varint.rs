//! Unsigned LEB128: seven bits a byte, low group first (dat/SPEC, conventions).

/// Bytes of the longest encoding of a `u64`.
pub const MAX_BYTES: usize = 10;

/// Why no number could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end before the number does; more bytes may help.
    #[error("number is cut off")]
    Short,
    /// More than 64 bits; no further byte can help.
    #[error("number has more than 64 bits")]
    TooLong,
}

/// The number at the front of `bytes` and how many bytes it takes. Needlessly long encodings are
/// accepted up to `MAX_BYTES`, as other readers do.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<(u64, usize), Error> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(MAX_BYTES).enumerate() {
        if i == MAX_BYTES - 1 && byte > 1 {
            return Err(Error::TooLong);
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((value, i + 1));
        }
    }
    Err(Error::Short)
}

/// Appends `value`.
#[inline]
pub fn encode(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`encode`] appends.
#[inline]
pub fn len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_encodings() {
        for (value, bytes) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0x80, 1]),
            (300, vec![0xac, 2]),
            (1 << 20, vec![0x80, 0x80, 0x40]),
            (u64::MAX, vec![255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(decode(&bytes), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn cut_off_and_overlong() {
        assert_eq!(decode(&[]), Err(Error::Short));
        assert_eq!(decode(&[0x80; 9]), Err(Error::Short));
        assert_eq!(decode(&[0xff; 10]), Err(Error::TooLong));
        assert_eq!(decode(&[0x80, 0x80, 0]), Ok((0, 3)));
    }

    proptest! {
        #[test]
        fn round_trip(value: u64, shift in 0u32..64, tail: Vec<u8>) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            encode(value, &mut bytes);
            prop_assert_eq!(bytes.len(), len(value));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Err(Error::Short));
            }
            let n = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes), Ok((value, n)));
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            if let Ok((_, n)) = decode(&bytes) {
                prop_assert!(n > 0 && n <= bytes.len());
            }
        }
    }
}
