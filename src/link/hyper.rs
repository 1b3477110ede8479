//! Links of the Hypercore dialect (hyper/SPEC §0.4): keys in z-base-32 (52 letters) or hex (64
//! digits), bare or behind `hyper://` or `pear://`; `pear://fork.length.key` names a version.

use std::fmt;
use std::str::FromStr;

use super::{BadLink, Key, parse_key, parse_version};

const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
/// Letters of a key: 256 bits in fives, and four bits that are zero.
pub const LETTERS: usize = 52;

/// A parsed link to a core or drive of this dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperLink {
    pub key: Key,
    /// Behind a `+`, or before the key in a `pear` link: the state after that many blocks.
    pub version: Option<u64>,
    /// Behind the key: an entry, without the leading slash; empty for the whole drive.
    pub path: String,
    /// It can be of no other dialect: its scheme or its letters say so. A bare key in hex does not.
    pub certain: bool,
}

impl FromStr for HyperLink {
    type Err = BadLink;

    fn from_str(text: &str) -> Result<HyperLink, BadLink> {
        let text = text.trim();
        let (rest, pear, scheme) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("hyper") => (rest, false, true),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pear") => (rest, true, true),
            Some((scheme, _)) => return Err(BadLink::Scheme(scheme.escape_default().to_string())),
            None => (text, false, false),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (key, version) = match authority.split_once('+') {
            Some((key, version)) => (key, Some(parse_version(version)?)),
            None if pear => pear_version(authority)?,
            None => (authority, None),
        };
        let path = path.trim_matches('/').to_owned();
        let certain = scheme || key.len() == LETTERS;
        Ok(HyperLink { key: any_key(key)?, version, path, certain })
    }
}

/// `fork.length.key`, or the key alone.
fn pear_version(authority: &str) -> Result<(&str, Option<u64>), BadLink> {
    let mut parts = authority.rsplitn(3, '.');
    let key = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (None, _) => Ok((key, None)),
        (Some(length), Some(fork)) => {
            parse_version(fork)?;
            Ok((key, Some(parse_version(length)?)))
        }
        (Some(odd), None) => Err(BadLink::Version(odd.escape_default().to_string())),
    }
}

/// A key in either spelling.
fn any_key(text: &str) -> Result<Key, BadLink> {
    if text.len() == LETTERS { from_z32(text) } else { parse_key(text) }
}

/// The key that 52 letters of z-base-32 stand for, in either case.
pub fn from_z32(text: &str) -> Result<Key, BadLink> {
    let mut key = [0; 32];
    let (mut bits, mut have, mut at) = (0u32, 0, 0);
    for letter in text.chars() {
        let lower = letter.to_ascii_lowercase();
        let value = ALPHABET.iter().position(|&known| char::from(known) == lower);
        bits = bits << 5 | value.ok_or(BadLink::Letter(letter))? as u32;
        have += 5;
        if have >= 8 {
            have -= 8;
            *key.get_mut(at).ok_or(BadLink::Length(text.len()))? = (bits >> have) as u8;
            bits &= (1 << have) - 1;
            at += 1;
        }
    }
    // Other bits in the last letter would be another spelling of the same key.
    if at < key.len() || bits != 0 { Err(BadLink::Length(text.len())) } else { Ok(Key(key)) }
}

/// A key as people of this dialect write it.
pub fn z32(key: &Key) -> String {
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

impl fmt::Display for HyperLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hyper://{}", z32(&self.key))?;
        if let Some(version) = self.version {
            write!(f, "+{version}")?;
        }
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From the JavaScript package hypercore-id-encoding.
    const PAIRS: [(&str, &str); 3] = [
        (
            "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
            "yqooxx9u3aemh8mo5wcqq16yufu6jitouq1o4za751dger1igghy",
        ),
        (
            "d8c3a0597903b28d751c6e0b7107775e388ec5a3cf669bdd1e7ec41b8b8f6e72",
            "5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y",
        ),
        (
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "999999999999999999999999999999999999999999999999999o",
        ),
    ];

    fn parse(text: &str) -> Result<HyperLink, BadLink> {
        text.parse()
    }

    #[test]
    fn every_spelling_of_a_link() {
        for (hex, letters) in PAIRS {
            let key = parse(hex).unwrap().key;
            assert_eq!(z32(&key), letters);
            assert!(!parse(hex).unwrap().certain);
            for text in [
                letters.to_owned(),
                letters.to_uppercase(),
                format!("hyper://{letters}"),
                format!("HYPER://{hex}/"),
                format!(" pear://{letters}\n"),
                format!("pear://{hex}"),
            ] {
                let link = parse(&text).unwrap();
                assert_eq!((link.key, link.version, link.certain), (key, None, true), "{text}");
                assert_eq!(link.to_string(), format!("hyper://{letters}"));
            }
            let link = parse(&format!("pear://3.14.{letters}/a b.txt")).unwrap();
            assert_eq!((link.key, link.version, &link.path[..]), (key, Some(14), "a b.txt"));
            assert_eq!(parse(&link.to_string()), Ok(link));
        }
    }

    #[test]
    fn malformed_links_say_why() {
        let (hex, letters) = PAIRS[0];
        assert_eq!(parse(""), Err(BadLink::Empty));
        assert_eq!(parse("hyper://"), Err(BadLink::Empty));
        assert_eq!(parse(&hex[1..]), Err(BadLink::Length(63)));
        assert_eq!(parse(&format!("dat://{hex}")), Err(BadLink::Scheme("dat".into())));
        assert_eq!(parse(&format!("v{}", &letters[1..])), Err(BadLink::Letter('v')));
        assert_eq!(parse(&format!("{}9", &letters[..51])), Err(BadLink::Length(52)));
        assert_eq!(parse(&format!("pear://7.{letters}")), Err(BadLink::Version("7".into())));
        assert!(parse(&format!("pear://x.1.{letters}")).is_err());
        assert!(parse(&format!("{letters}+new")).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(key: [u8; 32]) {
            let key = Key(key);
            prop_assert_eq!(from_z32(&z32(&key)), Ok(key));
        }

        #[test]
        fn any_text_ends(text: String) {
            let _ = parse(&text);
            let _ = from_z32(&text);
        }
    }
}
