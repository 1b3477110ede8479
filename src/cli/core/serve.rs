//! `gannet core serve`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::network::Network;
use crate::cli::{Global, Outcome, place};
use crate::daemon::{self, config::Run};

/// Let others fetch a feed, until stopped
///
/// Meanwhile `gannet core append DIR` hands its blocks to this process, and peers get them at once.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The feed's directory
    dir: PathBuf,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        place::core(&self.dir)?;
        let run = Run::CoreServe { dir: self.dir };
        daemon::run(self.network.config(run, global))
    }
}
