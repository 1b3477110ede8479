//! Compact encoding, the byte format of Hypercore 10 and 11 (hyper/SPEC §0.1): a reader over
//! borrowed bytes that copies nothing and compares each count with the bytes that are left before
//! anything is sized by it, and writers that always use the shortest form, because manifests are
//! hashed. Knows no message.

use crate::limits::{COMPACT_ITEMS, MAX_SAFE_INTEGER};

/// Bytes of the longest encoding of a `uint`.
pub const MAX_BYTES: usize = 9;

/// Why nothing could be read. More bytes never help: messages come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the message ends within a value")]
    Short,
    #[error("a number is above 2^53 - 1")]
    TooLarge,
    #[error("a count is above {COMPACT_ITEMS}")]
    TooMany,
    #[error("a text is not UTF-8")]
    Text,
}

/// What is left of a message. A failed read leaves it where it was.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Everything that was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Error::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// `N` bytes as they are: hashes, keys, signatures.
    #[inline]
    pub fn fixed<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Error::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of at most 53 bits. Needlessly long forms are taken, as JavaScript takes them.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, Error> {
        let mut next = *self;
        let [first] = *next.fixed::<1>()?;
        let value = match first {
            0xfd => u64::from(u16::from_le_bytes(*next.fixed()?)),
            0xfe => u64::from(u32::from_le_bytes(*next.fixed()?)),
            0xff => u64::from_le_bytes(*next.fixed()?),
            small => u64::from(small),
        };
        if value > MAX_SAFE_INTEGER {
            return Err(Error::TooLarge);
        }
        *self = next;
        Ok(value)
    }

    /// A signed number: the sign is the lowest bit.
    pub fn int(&mut self) -> Result<i64, Error> {
        let n = self.uint()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// Bytes behind their length.
    #[inline]
    pub fn buffer(&mut self) -> Result<&'a [u8], Error> {
        let mut next = *self;
        let len = usize::try_from(next.uint()?).map_err(|_| Error::Short)?;
        let taken = next.take(len)?;
        *self = next;
        Ok(taken)
    }

    /// Bytes behind their length, where length 0 means that there are none.
    pub fn optional_buffer(&mut self) -> Result<Option<&'a [u8]>, Error> {
        self.buffer().map(|bytes| (!bytes.is_empty()).then_some(bytes))
    }

    pub fn string(&mut self) -> Result<&'a str, Error> {
        let mut next = *self;
        let text = std::str::from_utf8(next.buffer()?).map_err(|_| Error::Text)?;
        *self = next;
        Ok(text)
    }

    /// The count in front of an array whose items have at least `item_bytes` bytes each: no more
    /// than can follow.
    pub fn count(&mut self, item_bytes: usize) -> Result<usize, Error> {
        let mut next = *self;
        let count = next.uint()?;
        if count > COMPACT_ITEMS {
            return Err(Error::TooMany);
        }
        let count = count as usize;
        if count.saturating_mul(item_bytes) > next.0.len() {
            return Err(Error::Short);
        }
        *self = next;
        Ok(count)
    }

    /// An array of 32-bit words, four bytes each, little-endian, as the bytes they are.
    pub fn words(&mut self) -> Result<&'a [[u8; 4]], Error> {
        let mut next = *self;
        let count = next.count(4)?;
        let (words, _) = next.take(4 * count)?.as_chunks::<4>();
        *self = next;
        Ok(words)
    }
}

/// Appends a number in its shortest form.
#[inline]
pub fn put_uint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0xfc => out.push(value as u8),
        0xfd..=0xffff => {
            out.push(0xfd);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xfe);
            out.extend_from_slice(&(value as u32).to_le_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Bytes that [`put_uint`] appends.
#[inline]
pub fn uint_len(value: u64) -> usize {
    match value {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => MAX_BYTES,
    }
}

pub fn put_int(value: i64, out: &mut Vec<u8>) {
    put_uint((value << 1 ^ value >> 63) as u64, out);
}

pub fn put_buffer(bytes: &[u8], out: &mut Vec<u8>) {
    put_uint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Bytes that [`put_buffer`] appends.
pub fn buffer_len(len: usize) -> usize {
    uint_len(len as u64) + len
}

/// Appends words behind their count.
pub fn put_words(words: &[[u8; 4]], out: &mut Vec<u8>) {
    put_uint(words.len() as u64, out);
    out.extend_from_slice(words.as_flattened());
}

/// A byte of flags, lowest bit first.
pub fn flags<const N: usize>(bits: [bool; N]) -> u8 {
    const { assert!(N <= 8) };
    bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_failed_read_moves_nothing() {
        for bytes in [
            &[5u8, 1, 2][..],
            &[0xfd, 1],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x20, 0],
            &[0xfe, 1, 0, 0x10, 0, 0],
            &[2, 0xff, 0xfe],
        ] {
            let mut reader = Reader::new(bytes);
            if bytes[0] > 0xfc {
                assert!(reader.count(0).is_err());
            } else {
                assert!(reader.string().is_err());
                assert!(bytes.len() == 3 && bytes[1] > 2 || reader.buffer().is_err());
            }
            if bytes[1] != 0xff {
                assert_eq!(reader.rest(), bytes);
            }
            assert!(reader.words().is_err());
        }
        assert_eq!(Reader::new(&[0xfe, 1, 0, 0x10, 0]).count(0), Err(Error::TooMany));
        assert_eq!(Reader::new(&[4, 0, 0, 0]).count(1), Err(Error::Short));
        assert_eq!(Reader::new(&[3, 0, 0, 0]).count(1), Ok(3));
        let above = [0xff, 0, 0, 0, 0, 0, 0, 0x20, 0];
        assert_eq!(Reader::new(&above).uint(), Err(Error::TooLarge));
    }

    proptest! {
        #[test]
        fn numbers(value in 0..=MAX_SAFE_INTEGER, shift in 0u32..53, tail: Vec<u8>) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_uint(value, &mut bytes);
            prop_assert_eq!(bytes.len(), uint_len(value));
            for cut in 0..bytes.len() {
                prop_assert_eq!(Reader::new(&bytes[..cut]).uint(), Err(Error::Short));
            }
            bytes.extend(&tail);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.uint(), Ok(value));
            prop_assert_eq!(reader.rest(), &tail);
        }

        #[test]
        fn signed(value in -(1i64 << 52)..1 << 52) {
            let mut bytes = Vec::new();
            put_int(value, &mut bytes);
            prop_assert_eq!(Reader::new(&bytes).int(), Ok(value));
        }

        #[test]
        fn buffers_and_words(a: Vec<u8>, text: String, words: Vec<[u8; 4]>) {
            let mut bytes = Vec::new();
            put_buffer(&a, &mut bytes);
            prop_assert_eq!(bytes.len(), buffer_len(a.len()));
            put_buffer(text.as_bytes(), &mut bytes);
            put_words(&words, &mut bytes);
            put_buffer(&[], &mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.buffer(), Ok(&a[..]));
            prop_assert_eq!(reader.string(), Ok(&text[..]));
            prop_assert_eq!(reader.words(), Ok(&words[..]));
            prop_assert_eq!(reader.optional_buffer(), Ok(None));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn eight_flags(bits: [bool; 8]) {
            let byte = flags(bits);
            for (i, bit) in bits.into_iter().enumerate() {
                prop_assert_eq!(byte >> i & 1 == 1, bit);
            }
        }
    }
}
