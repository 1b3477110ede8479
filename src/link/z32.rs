//! Keys in z-base-32, as people of the Hypercore network write them.

use super::{BadLink, Key};

const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
/// Letters of a key: 256 bits in fives, and four bits that are zero.
const LETTERS: usize = 52;

fn value(letter: char) -> Option<u32> {
    let lower = letter.to_ascii_lowercase();
    ALPHABET.iter().position(|&known| char::from(known) == lower).map(|place| place as u32)
}

/// Whether a key is one of letters rather than of hex digits, if a bad one.
pub fn is_meant(text: &str) -> bool {
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    text.len() == LETTERS || (!hex && text.chars().all(|c| value(c).is_some()))
}

/// The key that 52 letters stand for, in either case.
pub fn decode(text: &str) -> Result<Key, BadLink> {
    let mut key = [0; 32];
    let (mut bits, mut have, mut at) = (0u32, 0, 0);
    for letter in text.chars() {
        bits = bits << 5 | value(letter).ok_or(BadLink::Letter(letter))?;
        have += 5;
        if have >= 8 {
            have -= 8;
            *key.get_mut(at).ok_or(BadLink::Size(text.len()))? = (bits >> have) as u8;
            bits &= (1 << have) - 1;
            at += 1;
        }
    }
    if text.len() != LETTERS {
        return Err(BadLink::Size(text.len()));
    }
    // Other bits in the last letter would be another spelling of the same key.
    if bits != 0 { Err(BadLink::Last) } else { Ok(Key(key)) }
}

/// A key in letters.
pub fn encode(key: &Key) -> String {
    let mut out = String::with_capacity(LETTERS);
    let (mut bits, mut have) = (0u32, 0);
    let mut put = |bits: u32| out.push(char::from(ALPHABET[(bits & 31) as usize]));
    for byte in key.0 {
        bits = bits << 8 | u32::from(byte);
        have += 8;
        while have >= 5 {
            have -= 5;
            put(bits >> have);
        }
        bits &= (1 << have) - 1;
    }
    put(bits << (5 - have));
    out
}
