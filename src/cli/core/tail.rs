//! `gannet core tail`.

use clap::Args;

use super::get::show;
use super::source::{Keep, Shape, Source};
use crate::cli::network::Network;
use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome};
use crate::daemon::{
    self,
    config::{Blocks, Run},
};
use crate::failure::{Failure, Kind};

/// Print the last blocks of a feed, and with -f those that follow
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet core tail ./clock -n 3
  gannet core tail hyper://<key> -f")]
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
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let how = self.shape.show();
        let (link, dir) = match self.source {
            Source::Link(link) => self.keep.place(link)?,
            Source::Dir(dir) => {
                let mut opened = Opened::open(Offline::looking(), At::core(&dir)?, None, None)?;
                if !self.follow {
                    let length = opened.feed().length();
                    let from = length.saturating_sub(self.count);
                    return show(&mut opened, from, length, &how);
                }
                let link = opened.feed().link();
                if !dir.join("key").exists() {
                    let what = format!("{}: kept by gannet seed", dir.display());
                    return Err(
                        Failure::new(Kind::Usage, what).hint(format!("follow its link: {link}"))
                    );
                }
                (link, dir)
            }
        };
        let count = self.count;
        let blocks = if self.follow { Blocks::Tail { count } } else { Blocks::Last { count } };
        let run = Run::CoreFetch { link, dir, blocks, show: Some(how) };
        daemon::run(self.network.config(run, global))
    }
}
