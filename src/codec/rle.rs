//! Run-length-coded bitfields (dat/SPEC §6). Bits count from the most significant bit of each byte.
//! Runs are handed out as runs, so that a few bytes that stand for a million blocks stay cheap.

use super::varint;
use crate::limits::RLE_DECODED_BYTES;

/// Why a bitfield cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("bitfield is cut off")]
    Truncated,
    #[error("bitfield decodes to more than {RLE_DECODED_BYTES} bytes")]
    TooLong,
}

/// Consecutive bits, whole bytes of them. Bits behind the last run are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// First bit, a multiple of 8.
    pub start: u64,
    /// Bits, a multiple of 8.
    pub len: u64,
    pub kind: Kind<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// All bits have this value.
    Fill(bool),
    /// The bits themselves, `len / 8` bytes.
    Literal(&'a [u8]),
}

/// The runs of an encoded bitfield. Ends after the first error; never yields a run beyond
/// `RLE_DECODED_BYTES`.
pub fn runs(encoded: &[u8]) -> Runs<'_> {
    Runs { rest: encoded, decoded: 0 }
}

#[derive(Clone, Debug)]
pub struct Runs<'a> {
    rest: &'a [u8],
    /// Bytes of bitfield handed out.
    decoded: u64,
}

impl<'a> Runs<'a> {
    fn run(&mut self) -> Result<Run<'a>, Error> {
        let (head, n) = varint::decode(self.rest).map_err(|e| match e {
            varint::Error::Short => Error::Truncated,
            varint::Error::TooLong => Error::TooLong,
        })?;
        let rest = &self.rest[n..];
        let bytes = if head & 1 == 1 { head >> 2 } else { head >> 1 };
        if bytes > RLE_DECODED_BYTES as u64 - self.decoded {
            return Err(Error::TooLong);
        }
        let kind = if head & 1 == 1 {
            self.rest = rest;
            Kind::Fill(head & 2 != 0)
        } else {
            let (literal, rest) = rest.split_at_checked(bytes as usize).ok_or(Error::Truncated)?;
            self.rest = rest;
            Kind::Literal(literal)
        };
        let start = self.decoded * 8;
        self.decoded += bytes;
        Ok(Run { start, len: bytes * 8, kind })
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = Result<Run<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let run = self.run();
        if run.is_err() {
            self.rest = &[];
        }
        Some(run)
    }
}

/// Encodes a bitfield; its trailing zero bytes are dropped. The same bytes as the JavaScript
/// encoder's: a run of `00` or `ff` stands as a run where that is shorter than as literal bytes.
pub fn encode(bits: &[u8]) -> Vec<u8> {
    let end = bits.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    let bits = &bits[..end];
    let mut out = Vec::new();
    let mut literal = 0; // bytes from here on are not written yet
    let mut at = 0;
    while at < bits.len() {
        let byte = bits[at];
        let run = bits[at..].iter().take_while(|&&b| b == byte).count();
        if byte == 0 || byte == 0xff {
            let head = (run as u64) << 2 | u64::from(byte & 2) | 1;
            let as_run = literal_len(at - literal) + varint::len(head);
            if as_run < literal_len(at + run - literal) {
                put_literal(&bits[literal..at], &mut out);
                varint::encode(head, &mut out);
                literal = at + run;
            }
        }
        at += run;
    }
    put_literal(&bits[literal..], &mut out);
    out
}

fn literal_len(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { varint::len((bytes as u64) << 1) + bytes }
}

fn put_literal(bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        varint::encode((bytes.len() as u64) << 1, out);
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(encoded: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for run in runs(encoded) {
            let run = run?;
            assert_eq!(run.start, out.len() as u64 * 8);
            match run.kind {
                Kind::Fill(bit) => {
                    let n = out.len() + run.len as usize / 8;
                    out.resize(n, if bit { 0xff } else { 0 });
                }
                Kind::Literal(bytes) => {
                    assert_eq!(bytes.len() as u64 * 8, run.len);
                    out.extend_from_slice(bytes);
                }
            }
        }
        Ok(out)
    }

    fn trimmed(bits: &[u8]) -> &[u8] {
        &bits[..bits.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1)]
    }

    #[test]
    fn b02_huge_runs_are_refused_before_anything_is_made() {
        let mut giant = Vec::new();
        varint::encode((1 << 40) << 2 | 3, &mut giant);
        assert_eq!(runs(&giant).next(), Some(Err(Error::TooLong)));

        let mut many = Vec::new();
        for _ in 0..300 {
            varint::encode((RLE_DECODED_BYTES as u64 / 2) << 2 | 3, &mut many);
        }
        assert_eq!(runs(&many).filter(|r| r.is_ok()).count(), 2);
        assert_eq!(runs(&[255; 12]).next(), Some(Err(Error::TooLong)));
    }

    #[test]
    fn cut_off() {
        assert_eq!(decode(&[4, 1]), Err(Error::Truncated));
        assert_eq!(decode(&[0x83]), Err(Error::Truncated));
        assert_eq!(decode(&[]), Ok(vec![]));
        let (mut it, one) = (runs(&[7, 4, 1]), Run { start: 0, len: 8, kind: Kind::Fill(true) });
        assert_eq!(it.next(), Some(Ok(one)));
        assert_eq!(it.next(), Some(Err(Error::Truncated)));
        assert_eq!(it.next(), None);
    }

    proptest! {
        #[test]
        fn round_trip(parts in prop::collection::vec((any::<u8>(), 0usize..300, any::<bool>()), 0..20)) {
            let mut bits = Vec::new();
            for (byte, n, fill) in parts {
                let byte = if fill { if byte & 1 == 1 { 255 } else { 0 } } else { byte };
                bits.extend(std::iter::repeat_n(byte, n));
            }
            let encoded = encode(&bits);
            prop_assert!(encoded.len() <= bits.len() + 4);
            let decoded = decode(&encoded).unwrap();
            prop_assert_eq!(decoded.as_slice(), trimmed(&bits));
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            if let Ok(decoded) = decode(&bytes) {
                prop_assert!(decoded.len() <= RLE_DECODED_BYTES);
            }
        }
    }
}
