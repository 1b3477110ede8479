//! `gannet core tail`.

use std::path::PathBuf;

use clap::Args;

use super::get::{after, show};
use super::source::{Source, kept};
use crate::cli::network::Network;
use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome};
use crate::daemon::{
    self,
    config::{Blocks, Run, Show},
};
use crate::failure::{Failure, Kind};
use crate::link::{Key, Link};

/// Print the last blocks of a feed, and with -f those that follow
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet core tail ./clock -n 3
  gannet core tail dat://<key> -f")]
pub struct Arguments {
    /// The feed's directory, or its link
    #[arg(value_parser = Source::parse, value_name = "DIR|LINK")]
    source: Source,
    /// How many
    #[arg(short = 'n', long = "blocks", value_name = "COUNT", default_value_t = 10)]
    count: u64,
    /// Stay, and print new blocks as they come from peers
    #[arg(short, long)]
    follow: bool,
    /// The bytes of the blocks and nothing between them
    #[arg(long)]
    raw: bool,
    /// Where a link's blocks are kept [default: ~/.local/share/gannet/feeds]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let (link, dir) = match self.source {
            Source::Link(link) => {
                let dir = kept(&link, self.dir)?;
                (link, dir)
            }
            Source::Dir(dir) => {
                let mut opened = Opened::open(Offline::looking(), At::core(&dir)?, None, None)?;
                if !self.follow {
                    let length = opened.feed().length();
                    let from = length.saturating_sub(self.count);
                    return show(&mut opened, from, length, &after(self.raw));
                }
                let key = Key(*opened.feed().key());
                if !dir.join("key").exists() {
                    let what = format!("{}: kept by gannet seed", dir.display());
                    return Err(Failure::new(Kind::Usage, what)
                        .hint(format!("follow its link: dat://{key}")));
                }
                (Link { key, version: None, path: String::new() }, dir)
            }
        };
        let count = self.count;
        let blocks = if self.follow { Blocks::Tail { count } } else { Blocks::Last { count } };
        let show = Some(Show { after: after(self.raw) });
        let run = Run::CoreFetch { link, dir, blocks, show };
        daemon::run(self.network.config(run, global))
    }
}
