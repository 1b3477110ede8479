//! `gannet clone`.

use std::path::PathBuf;

use clap::Args;

use super::network::Network;
use super::{Global, Outcome, place};
use crate::daemon::{self, config::Run};
use crate::failure::{Failure, Kind};
use crate::link::Link;

/// Copy a drive into a folder and keep it up to date
///
/// Every block is verified before it touches the disk. Interrupted, it goes on where it was. Files
/// that you change in the copy are kept beside, under another name, when a newer version arrives.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  gannet clone hyper://<key>                      into ./<key>
  gannet clone hyper://<key> ./copy --once        until everything is here
  gannet clone hyper://<key>+12 ./old             the state of version 12
  gannet clone hyper://<key> ./some --only 2024 --only index.html
  gannet clone hyper://<key> ./copy --peer nas.local:3282 --no-discovery"
)]
pub struct Arguments {
    /// hyper://<key> or dat://<key>, with +VERSION or /PATH behind it if you like
    link: Link,
    /// The folder; made when missing [default: ./<key>]
    dir: Option<PathBuf>,
    /// End when everything is here
    #[arg(long)]
    once: bool,
    /// Exactly this version, nothing newer
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Only this file or directory (may be given several times)
    #[arg(long, value_name = "PATH")]
    only: Vec<String>,
    /// A key alone is one of Dat, not of Hypercore
    #[arg(long)]
    dat: bool,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let mut link = self.link;
        match (link.version, self.version) {
            (Some(a), Some(b)) if a != b => {
                let what = format!("the link says version {a} and --version says {b}");
                return Err(Failure::new(Kind::Usage, what).hint("give one of them"));
            }
            (known, asked) => link.version = asked.or(known),
        }
        let dir = self.dir.unwrap_or_else(|| PathBuf::from(link.key.to_string()));
        if dir.exists() {
            place::directory(&dir)?;
        }
        place::settle(&mut link, self.dat, &dir.join(".dat"), "metadata.")?;
        let mut only: Vec<String> =
            self.only.iter().map(|path| path.trim_matches('/').to_owned()).collect();
        if !link.path.is_empty() {
            only.push(std::mem::take(&mut link.path));
        }
        only.retain(|path| !path.is_empty());
        let run = Run::Clone { link, dir, once: self.once, only };
        daemon::run(self.network.config(run, global))
    }
}
