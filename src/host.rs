//! Who a host is: its Ed25519 key, and how people read it. Knows no file: `store::identity` keeps the
//! key, and `wire::host` proves it to others.
//!
//! An id in full is the public key in z-base-32, 52 letters and digits. In short it is the first 16 of
//! them in groups of four: 80 bits, so that among a million hosts two that look alike have a chance of
//! 4 · 10⁻¹³. Nothing is decided by the short one.

use std::fmt;

use crate::crypto::hyper;
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::link::{Key, z32};

/// Letters of a short id.
pub const SHORT_LETTERS: usize = 16;
/// Letters of its groups.
const GROUP: usize = 4;

/// The public key of a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub PublicKey);

impl HostId {
    /// For people: `ybnd-rfg8-ejkm-cpqx`.
    pub fn short(&self) -> String {
        let mut out = String::with_capacity(SHORT_LETTERS + SHORT_LETTERS / GROUP);
        for (at, letter) in z32::encode(&Key(self.0)).chars().take(SHORT_LETTERS).enumerate() {
            if at > 0 && at % GROUP == 0 {
                out.push('-');
            }
            out.push(letter);
        }
        out
    }
}

/// In full.
impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z32::encode(&Key(self.0)))
    }
}

impl serde::Serialize for HostId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// The key pair that a process of the host has in its Hypercore streams. `place` names what it works
/// on, which no two processes do at a time: JavaScript peers keep one connection for a key, so two
/// processes of one host need two; and the same place has the same one after each start.
pub fn stream_pair(host: &KeyPair, place: &[u8]) -> KeyPair {
    let secret = host.secret();
    KeyPair::from_seed(hyper::hash(&[b"gannet stream key 1", &secret[..32], place]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(n: u64) -> HostId {
        HostId(hyper::hash(&[&n.to_le_bytes()]))
    }

    #[test]
    fn an_id_reads_as_it_always_did() {
        let id = HostId(KeyPair::from_seed([7; 32]).public());
        assert_eq!(id.to_string(), "7jfgaa9nutjyixzikb7tgmsf9gkwq7iqz498zr1nd5ig1fng4esy");
        assert_eq!(id.short(), "7jfg-aa9n-utjy-ixzi");
    }

    #[test]
    fn the_short_id_begins_the_full_one_and_is_one_word_of_a_line() {
        for n in 0..1000 {
            let id = id(n);
            let letters: String = id.short().split('-').collect();
            assert_eq!(letters.len(), SHORT_LETTERS);
            assert!(id.to_string().starts_with(&letters));
            let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(id.short().chars().all(safe));
        }
    }

    #[test]
    fn short_ids_of_many_hosts_differ() {
        let count = 200_000;
        let distinct = |letters: usize| {
            let cut =
                |n| u128::from_be_bytes(*id(n).0.first_chunk().unwrap()) >> (128 - letters * 5);
            (0..count).map(cut).collect::<BTreeSet<u128>>().len() as u64
        };
        assert_eq!(distinct(SHORT_LETTERS), count);
        assert!(distinct(6) < count, "this would not see a collision");
    }

    #[test]
    fn stream_keys_are_those_of_the_host_and_the_place() {
        let (one, two) = (KeyPair::from_seed([1; 32]), KeyPair::from_seed([2; 32]));
        let keys = [
            stream_pair(&one, b"/a").public(),
            stream_pair(&one, b"/b").public(),
            stream_pair(&two, b"/a").public(),
            one.public(),
        ];
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(stream_pair(&one, b"/a").public(), keys[0]);
    }
}
