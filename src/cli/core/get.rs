//! `gannet core get`.

use std::path::Path;

use clap::Args;

use super::source::{Keep, Range, Shape, Source};
use crate::cli::network::Network;
use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome, put};
use crate::daemon;
use crate::daemon::config::{Blocks, Run, Show};
use crate::failure::{Failure, Kind};
use crate::feed::hyper::open_block;

/// Print blocks of a feed, each followed by a line end
///
/// From a directory: what is there. From a link: what is not here yet is fetched from peers first,
/// and kept for the next time.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  gannet core get ./clock 0
  gannet core get ./backup .. --raw > disk.img
  gannet core get hyper://<key> 10..20 --peer nas.local:3282
  gannet core get hyper://<key> 0 --encryption-key <64 hex digits>"
)]
pub struct Arguments {
    /// The feed's directory, or its link
    #[arg(value_parser = Source::parse, value_name = "DIR|LINK")]
    source: Source,
    /// Block numbers: 7, 2..5 (without 5), 2.. or ..
    #[arg(value_parser = Range::parse)]
    blocks: Range,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let show = self.shape.show();
        let (link, dir) = match self.source {
            Source::Dir(dir) => return print(&dir, self.blocks, &show),
            Source::Link(link) => self.keep.place(link)?,
        };
        let Range { from, to } = self.blocks;
        if let Some(to) = to
            && here(&dir, link.key.0, from, to)
        {
            return print(&dir, self.blocks, &show);
        }
        let blocks = match (from, to) {
            (from, Some(to)) => Blocks::Range { from, to },
            (0, None) => Blocks::All,
            (from, None) => Blocks::From { from },
        };
        let run = Run::CoreFetch { link, dir, blocks, show: Some(show) };
        daemon::run(self.network.config(run, global))
    }
}

/// Whether no peer is needed.
fn here(dir: &Path, key: [u8; 32], from: u64, to: u64) -> bool {
    At::core(dir)
        .and_then(|at| Opened::open(Offline::looking(), at, Some(key), None))
        .is_ok_and(|opened| opened.feed().have().count_range(from, to - from) == to - from)
}

/// Prints what lies in `dir`; nothing, if any of it is missing.
fn print(dir: &Path, range: Range, how: &Show) -> Outcome {
    let mut opened = Opened::open(Offline::looking(), At::core(dir)?, None, None)?;
    let length = opened.feed().length();
    let to = range.to.unwrap_or(length);
    if to > length || (range.from >= length && range.from > 0) {
        let what = format!("{}: the feed has {length} blocks", dir.display());
        return Err(Failure::new(Kind::NotFound, what).hint("blocks are counted from 0"));
    }
    show(&mut opened, range.from, to, how)
}

/// Prints blocks `from..to`.
pub fn show(opened: &mut Opened, from: u64, to: u64, how: &Show) -> Outcome {
    let mut block = Vec::new();
    for index in from..to {
        block.clear();
        opened.read(index, &mut block)?;
        if let Some(key) = how.key {
            open_block(opened.feed(), key, index, &mut block).map_err(|error| {
                let what = format!("block {index} cannot be decrypted: {error}");
                Failure::new(Kind::Damaged, what).hint("is it the right key?")
            })?;
        }
        block.extend_from_slice(&how.after);
        put(&block)?;
    }
    Ok(0)
}
