//! The little of protobuf that Dat needs: a reader over borrowed bytes that copies nothing, and
//! writers that always write the field they are told to (proto2 peers drop a message whose
//! required field was left out because it is zero). Knows no message.

use super::varint;

/// The bytes are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message")]
pub struct Malformed;

/// The content of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Int(u64),
    Bytes(&'a [u8]),
    /// Wire types that no message of ours uses; their bytes are skipped.
    Other,
}

impl<'a> Value<'a> {
    /// The number in it; bools are numbers.
    pub fn int(self) -> Result<u64, Malformed> {
        match self {
            Value::Int(n) => Ok(n),
            _ => Err(Malformed),
        }
    }

    pub fn bool(self) -> Result<bool, Malformed> {
        self.int().map(|n| n != 0)
    }

    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

/// The fields of a message in the order in which they stand, as `(number, value)`.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    fn int(&mut self) -> Result<u64, Malformed> {
        let (value, n) = varint::decode(self.rest).map_err(|_| Malformed)?;
        self.rest = &self.rest[n..];
        Ok(value)
    }

    #[inline]
    fn take(&mut self, n: u64) -> Result<&'a [u8], Malformed> {
        let n = usize::try_from(n).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let tag = self.int()?;
        let value = match tag & 7 {
            0 => Value::Int(self.int()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let n = self.int()?;
                Value::Bytes(self.take(n)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(Malformed),
        };
        Ok((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Appends a number (or a bool as 0 or 1).
#[inline]
pub fn put_int(number: u64, value: u64, out: &mut Vec<u8>) {
    varint::encode(number << 3, out);
    varint::encode(value, out);
}

/// Appends bytes (or a string, or an encoded message).
#[inline]
pub fn put_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_bytes_head(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends what stands before `len` bytes that the caller appends.
#[inline]
pub fn put_bytes_head(number: u64, len: usize, out: &mut Vec<u8>) {
    varint::encode(number << 3 | 2, out);
    varint::encode(len as u64, out);
}

/// Bytes that [`put_int`] appends for a field number below 16.
pub fn int_len(value: u64) -> usize {
    1 + varint::len(value)
}

/// Bytes that [`put_bytes`] appends for a field number below 16.
pub fn bytes_len(len: usize) -> usize {
    1 + varint::len(len as u64) + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_wrote_and_skips_the_unknown() {
        let mut out = Vec::new();
        put_int(1, 0, &mut out);
        out.extend_from_slice(&[0x11, 1, 2, 3, 4, 5, 6, 7, 8]);
        put_bytes(2, b"", &mut out);
        out.extend_from_slice(&[0x1d, 1, 2, 3, 4]);
        put_bytes(200, b"hi", &mut out);
        let got: Vec<_> = fields(&out).map(|f| f.unwrap()).collect();
        assert_eq!(
            got,
            [
                (1, Value::Int(0)),
                (2, Value::Other),
                (2, Value::Bytes(b"")),
                (3, Value::Other),
                (200, Value::Bytes(b"hi")),
            ]
        );
    }

    #[test]
    fn refuses_what_is_cut_off_or_a_group() {
        for bad in [&[0x08][..], &[0x0a, 5, 1], &[0x0b], &[0x09, 1], &[0x0d], &[0x80], &[0x0f, 0]] {
            assert!(fields(bad).any(|f| f.is_err()), "{bad:?}");
        }
        let huge = [0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(fields(&huge).next(), Some(Err(Malformed)));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            for field in fields(&bytes) {
                if let Ok((_, Value::Bytes(b))) = field {
                    prop_assert!(b.len() < bytes.len());
                }
            }
        }

        #[test]
        fn lengths(value: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_int(15, value, &mut out);
            prop_assert_eq!(out.len(), int_len(value));
            out.clear();
            put_bytes(15, &bytes, &mut out);
            prop_assert_eq!(out.len(), bytes_len(bytes.len()));
        }
    }
}
