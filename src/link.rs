//! Links and keys as people write them: `dat://<64 hex>`; keys in z-base-32 (52 letters) or hex, bare or
//! behind `hyper://` or `pear://` (hyper/SPEC §0.4); `dat://key+12/path` and `pear://fork.length.key`
//! name a version. Nothing here knows what a key is good for.

pub(crate) mod z32;

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

/// Which of the two networks a feed is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Dat 1.
    Dat,
    /// Hypercore 10 and 11.
    Hyper,
}

/// A parsed link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub key: Key,
    /// As its scheme or its letters tell. `None`: a key in hex alone, which may be of either.
    pub dialect: Option<Dialect>,
    /// Behind a `+`, or before the key in a `pear` link: the state after that many entries, instead of
    /// the newest.
    pub version: Option<u64>,
    /// Behind the key: an entry, without the leading slash; empty for the whole drive.
    pub path: String,
}

/// What is wrong with a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error("the link is empty")]
    Empty,
    #[error(
        "\"{0}\" is not a scheme known here: links begin with dat://, hyper:// or pear://, or are a key alone"
    )]
    Scheme(String),
    #[error(
        "the key has {0} hex digits, it should have 64: copy the whole link, or ask for it again"
    )]
    Length(usize),
    #[error(
        "the key has {0} letters and digits; a key is 64 hexadecimal digits, or 52 letters and digits of z-base-32: copy the whole link, or ask for it again"
    )]
    Size(usize),
    #[error("\"{0}\" does not belong in a key: only the digits 0-9 and a-f do")]
    Digit(char),
    #[error("\"{0}\" does not belong in a key of 52 letters: copy the whole link again")]
    Letter(char),
    #[error("the last letter of the key is a wrong one: copy the whole link again")]
    Last,
    #[error("\"+{0}\" is not a version: it is a number, as in dat://<key>+12")]
    Version(String),
}

impl Link {
    /// The whole of what a key stands for, as it is now.
    pub fn new(dialect: Dialect, key: Key) -> Link {
        Link { key, dialect: Some(dialect), version: None, path: String::new() }
    }
}

impl FromStr for Link {
    type Err = BadLink;

    fn from_str(text: &str) -> Result<Link, BadLink> {
        let text = text.trim();
        let (scheme, rest) = scheme(text)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (key, version) = match authority.split_once('+') {
            Some((key, version)) => (key, Some(parse_version(version)?)),
            None if scheme == Scheme::Pear => pear_version(authority)?,
            None => (authority, None),
        };
        let (key, dialect) = match scheme {
            Scheme::Dat => (parse_hex(key)?, Some(Dialect::Dat)),
            Scheme::Hyper | Scheme::Pear => (parse_key(key)?, Some(Dialect::Hyper)),
            Scheme::None => {
                let dialect = z32::is_meant(key).then_some(Dialect::Hyper);
                (parse_key(key)?, dialect)
            }
        };
        Ok(Link { key, dialect, version, path: path.trim_matches('/').to_owned() })
    }
}

#[derive(PartialEq, Eq)]
enum Scheme {
    Dat,
    Hyper,
    Pear,
    None,
}

/// The scheme of a link, and what follows it.
fn scheme(text: &str) -> Result<(Scheme, &str), BadLink> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(match text.strip_prefix("dat:") {
            Some(rest) => (Scheme::Dat, rest),
            None => (Scheme::None, text),
        });
    };
    let known = match scheme.to_ascii_lowercase().as_str() {
        "dat" => Scheme::Dat,
        "hyper" => Scheme::Hyper,
        "pear" => Scheme::Pear,
        _ => return Err(BadLink::Scheme(scheme.escape_default().to_string())),
    };
    Ok((known, rest))
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

fn parse_version(text: &str) -> Result<u64, BadLink> {
    text.parse()
        .ok()
        .filter(|v| *v <= crate::limits::MAX_SAFE_INTEGER)
        .ok_or_else(|| BadLink::Version(text.escape_default().to_string()))
}

/// A key in either spelling.
fn parse_key(text: &str) -> Result<Key, BadLink> {
    if z32::is_meant(text) {
        return z32::decode(text);
    }
    parse_hex(text).map_err(|bad| match bad {
        // Which of the two it was meant to be nobody knows.
        BadLink::Length(n) => BadLink::Size(n),
        bad => bad,
    })
}

fn parse_hex(text: &str) -> Result<Key, BadLink> {
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
        match self.dialect {
            Some(Dialect::Dat) => write!(f, "dat://{}", self.key)?,
            Some(Dialect::Hyper) => write!(f, "hyper://{}", z32::encode(&self.key))?,
            None => write!(f, "{}", self.key)?,
        }
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
mod tests;
