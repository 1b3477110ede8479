//! `gannet core truncate`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::ask::ask;
use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome, put};
use crate::failure::{Failure, Kind};
use crate::link::Dialect;
use crate::node::control::Request;

/// Take back the last blocks of a core
///
/// What is left is signed as a new history, which everybody who has the core follows: they drop the
/// blocks too. What somebody has read he has read. Feeds of Dat cannot do that.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  gannet core truncate ./clock 10               keep blocks 0 to 9"
)]
pub struct Arguments {
    /// The core's directory
    dir: PathBuf,
    /// How many blocks are kept
    length: u64,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let Arguments { dir, length } = self;
        let opened = Opened::open(Offline::looking(), At::core(&dir)?, None, None)?;
        let feed = opened.feed();
        if feed.dialect() == Dialect::Dat {
            let what = format!("{}: a feed of Dat never loses blocks", dir.display());
            return Err(Failure::new(Kind::Usage, what).hint("make a new one with core create"));
        }
        if length > feed.length() {
            let what = format!("{}: the core has {} blocks", dir.display(), feed.length());
            return Err(Failure::new(Kind::NotFound, what).hint("name how many are kept"));
        }
        if ask(&dir, &Request::truncate(length))?.is_none() {
            truncate(&dir, length)?;
        }
        match global.json {
            true => put(format!("{}\n", json!({"length": length})).as_bytes()),
            false if global.quiet => Ok(0),
            false => put(format!("{length} blocks\n").as_bytes()),
        }
    }
}

/// Nobody runs on the core.
fn truncate(dir: &Path, length: u64) -> Result<(), Failure> {
    let mut opened = Opened::open(Offline::writing(), At::core(dir)?, None, None)?;
    opened.recover()?;
    opened.truncate(length)?;
    opened.close()
}
