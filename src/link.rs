//! Links and keys as people write them: `dat://<64 hex>`, bare hex, `dat://key+12/path`.
//! [`hyper`] has those of the other dialect. Nothing here knows what a key is good for.

pub mod hyper;

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A feed's public key, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Key {
    /// The start of the key, enough to tell feeds apart in a line of text.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

/// A parsed link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub key: Key,
    /// Behind a `+`: the state after that many entries, instead of the newest.
    pub version: Option<u64>,
    /// Behind the key: an entry, without the leading slash; empty for the whole drive.
    pub path: String,
}

/// What is wrong with a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error("the link is empty")]
    Empty,
    #[error("\"{0}\" is not a scheme known here: links look like dat://<64 hex digits>")]
    Scheme(String),
    #[error(
        "the key has {0} hex digits, a Dat key has 64: copy the whole link, or ask for it again"
    )]
    Length(usize),
    #[error("\"{0}\" does not belong in a key: only the digits 0-9 and a-f do")]
    Digit(char),
    #[error("\"{0}\" does not belong in a key of 52 letters: copy the whole link again")]
    Letter(char),
    #[error("\"+{0}\" is not a version: it is a number, as in dat://<key>+12")]
    Version(String),
}

impl FromStr for Link {
    type Err = BadLink;

    fn from_str(text: &str) -> Result<Link, BadLink> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("dat") => rest,
            Some((scheme, _)) => return Err(BadLink::Scheme(scheme.escape_default().to_string())),
            None => text.strip_prefix("dat:").unwrap_or(text),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (key, version) = match authority.split_once('+') {
            Some((key, version)) => (key, Some(parse_version(version)?)),
            None => (authority, None),
        };
        Ok(Link { key: parse_key(key)?, version, path: path.trim_matches('/').to_owned() })
    }
}

fn parse_version(text: &str) -> Result<u64, BadLink> {
    text.parse()
        .ok()
        .filter(|v| *v <= crate::limits::MAX_SAFE_INTEGER)
        .ok_or_else(|| BadLink::Version(text.escape_default().to_string()))
}

fn parse_key(text: &str) -> Result<Key, BadLink> {
    if text.is_empty() {
        return Err(BadLink::Empty);
    }
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(BadLink::Digit(odd));
    }
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).map_err(|_| BadLink::Length(text.len()))?;
    Ok(Key(key))
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dat://{}", self.key)?;
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

    const HEX: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

    fn parse(text: &str) -> Result<Link, BadLink> {
        text.parse()
    }

    #[test]
    fn every_spelling_of_a_link() {
        for text in [
            HEX.to_owned(),
            format!("dat://{HEX}"),
            format!("DAT://{}", HEX.to_uppercase()),
            format!("dat:{HEX}"),
            format!("  dat://{HEX}/\n"),
        ] {
            let link = parse(&text).unwrap();
            assert_eq!(link.to_string(), format!("dat://{HEX}"));
        }
        let link = parse(&format!("dat://{HEX}+12/a/b c.txt")).unwrap();
        assert_eq!((link.version, link.path.as_str()), (Some(12), "a/b c.txt"));
        assert_eq!(parse(&link.to_string()).unwrap(), link);
    }

    #[test]
    fn malformed_links_say_why() {
        assert_eq!(parse(""), Err(BadLink::Empty));
        assert_eq!(parse("dat://"), Err(BadLink::Empty));
        assert_eq!(parse(&HEX[1..]), Err(BadLink::Length(63)));
        assert_eq!(parse(&format!("{HEX}00")), Err(BadLink::Length(66)));
        assert_eq!(parse(&HEX.replace('0', "x")), Err(BadLink::Digit('x')));
        assert_eq!(parse("dat://grüße"), Err(BadLink::Digit('g')));
        assert_eq!(parse(&format!("https://{HEX}")), Err(BadLink::Scheme("https".into())));
        assert_eq!(parse(&format!("dat://{HEX}+new")), Err(BadLink::Version("new".into())));
        assert!(parse(&format!("dat://{HEX}+99999999999999999999")).is_err());
    }
}
