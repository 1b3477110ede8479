//! Where blocks come from: a directory here, or a link.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::place;
use crate::daemon::config::Show;
use crate::failure::Failure;
use crate::feed::hyper::EncryptionKey;
use crate::link::{BadLink, Link};

/// A feed named on the command line.
#[derive(Clone, Debug)]
pub enum Source {
    Dir(PathBuf),
    Link(Link),
}

impl Source {
    /// A directory that exists, else a link, else a directory that does not.
    pub fn parse(text: &str) -> Result<Source, BadLink> {
        if Path::new(text).is_dir() {
            return Ok(Source::Dir(text.into()));
        }
        match text.parse() {
            Ok(link) => Ok(Source::Link(link)),
            Err(_) if !looks_like_a_link(text) => Ok(Source::Dir(text.into())),
            Err(bad) => Err(bad),
        }
    }
}

fn looks_like_a_link(text: &str) -> bool {
    text.is_empty()
        || text.contains("://")
        || text.starts_with("dat:")
        || (text.len() > 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        || (text.len() == 52 && text.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// How blocks are printed.
#[derive(Args)]
pub struct Shape {
    /// The bytes of the blocks and nothing between them
    #[arg(long)]
    raw: bool,
    /// The blocks are encrypted: the secret of all cores they belong to
    #[arg(long, value_name = "HEX", value_parser = secret, conflicts_with = "key_of_blocks")]
    encryption_key: Option<[u8; 32]>,
    /// The blocks are encrypted: the secret of this core's blocks alone
    #[arg(long, value_name = "HEX", value_parser = secret)]
    key_of_blocks: Option<[u8; 32]>,
}

impl Shape {
    pub fn show(&self) -> Show {
        let blocks = self.key_of_blocks.map(EncryptionKey::Block);
        let key = self.encryption_key.map(EncryptionKey::Store).or(blocks);
        Show { after: if self.raw { Vec::new() } else { b"\n".to_vec() }, key }
    }
}

fn secret(text: &str) -> Result<[u8; 32], String> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).map_err(|_| "an encryption key has 64 hex digits")?;
    Ok(key)
}

/// Where the blocks of a linked feed are kept, and what a key alone stands for.
#[derive(Args)]
pub struct Keep {
    /// Where a link's blocks are kept [default: ~/.local/share/gannet/feeds]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A key alone is one of Dat, not of Hypercore
    #[arg(long)]
    dat: bool,
}

impl Keep {
    pub fn place(self, mut link: Link) -> Result<(Link, PathBuf), Failure> {
        let dir = kept(&link, self.dir)?;
        place::settle(&mut link, self.dat, &dir, "")?;
        Ok((link, dir))
    }
}

/// Where the blocks of a linked feed are kept: `dir`, or our own place for them.
pub fn kept(link: &Link, dir: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match dir {
        Some(dir) => Ok(dir),
        None => Ok(place::feeds().ok_or_else(place::homeless)?.join(link.key.to_string())),
    }
}

/// Blocks by number: `7`, `2..5` (without 5), `2..`, `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: u64,
    /// `None`: to the end.
    pub to: Option<u64>,
}

impl Range {
    pub fn parse(text: &str) -> Result<Range, String> {
        let number = |text: &str| -> Result<u64, String> {
            text.parse().ok().filter(|n| *n < crate::limits::MAX_SAFE_INTEGER).ok_or_else(|| {
                "blocks are numbers counted from 0: 7, 2..5 (without 5), 2.. or ..".to_owned()
            })
        };
        let Some((from, to)) = text.split_once("..") else {
            let from = number(text)?;
            return Ok(Range { from, to: Some(from + 1) });
        };
        let from = if from.is_empty() { 0 } else { number(from)? };
        let to = if to.is_empty() { None } else { Some(number(to)?) };
        match to {
            Some(to) if to <= from => Err(format!("there are no blocks from {from} to {to}")),
            to => Ok(Range { from, to }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |from, to| Ok(Range { from, to });
        assert_eq!(Range::parse("7"), range(7, Some(8)));
        assert_eq!(Range::parse("2..5"), range(2, Some(5)));
        assert_eq!(Range::parse("2.."), range(2, None));
        assert_eq!(Range::parse(".."), range(0, None));
        for bad in ["", "a", "-1", "5..2", "3..3", "1...2", "18446744073709551615"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn folders_and_links() {
        let hex = "ab".repeat(32);
        assert!(matches!(Source::parse("/"), Ok(Source::Dir(_))));
        assert!(matches!(Source::parse("./not/there"), Ok(Source::Dir(_))));
        assert!(matches!(Source::parse(&hex), Ok(Source::Link(_))));
        assert!(Source::parse(&hex[2..]).is_err());
        assert!(Source::parse("dat://abc").is_err());
        assert!(Source::parse("").is_err());
    }
}
