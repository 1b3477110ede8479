//! `gannet seed`.

use std::path::PathBuf;

use clap::Args;

use super::network::Network;
use super::{Global, Outcome, place};
use crate::daemon::{self, config::Run};
use crate::link::Link;

/// Keep drives or feeds whole and serve them, without a folder of files
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet seed hyper://<key>
  gannet seed hyper://<key> dat://<other key> --dir /srv/seeds")]
pub struct Arguments {
    /// What to keep
    #[arg(required = true)]
    links: Vec<Link>,
    /// Where it is kept [default: ~/.local/share/gannet/seeds]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A key alone is one of Dat, not of Hypercore
    #[arg(long)]
    dat: bool,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let dir = self.dir.or_else(place::seeds).ok_or_else(place::homeless)?;
        if dir.exists() {
            place::directory(&dir)?;
        }
        let mut links = self.links;
        for link in &mut links {
            place::settle(link, self.dat, &dir.join(link.key.to_string()), "metadata.")?;
        }
        links.sort_unstable_by_key(|link| link.key);
        links.dedup_by_key(|link| link.key);
        let run = Run::Seed { links, dir };
        daemon::run(self.network.config(run, global))
    }
}
