//! `gannet share`.

use std::path::PathBuf;

use clap::Args;

use super::network::Network;
use super::{Global, Outcome, place};
use crate::daemon::{self, config::Run};

/// Publish a folder and everything that changes in it
///
/// Makes a drive of the folder (or goes on with the one that is there), prints its link, and stays:
/// new, changed and deleted files are published as they become complete. Files that .datignore
/// names and hidden files are left out.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  gannet share ./photos
  gannet share ./photos --json --listen 127.0.0.1
  gannet share ./site --exec 'logger \"$GANNET_EVENT $GANNET_PATH\"'"
)]
pub struct Arguments {
    /// The folder
    dir: PathBuf,
    /// Make a Dat 1 drive, not a hyperdrive (a folder that is shared already stays what it is)
    #[arg(long)]
    dat: bool,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        place::directory(&self.dir)?;
        let run = Run::Share { dir: self.dir, dat: self.dat };
        daemon::run(self.network.config(run, global))
    }
}
