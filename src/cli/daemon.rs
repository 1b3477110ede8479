//! `gannet daemon`.

use std::path::PathBuf;

use clap::Args;

use super::{Global, Outcome, config, place};
use crate::daemon::service::{self, Service};

/// Keep everything that a file names, in one process
///
/// What is kept can be changed while it runs: with gannet add, remove, pause and resume, and by the
/// file, which SIGHUP reads again. Peers stay. Other commands find it by themselves.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  gannet daemon
  gannet daemon --config /etc/gannet.toml
  gannet add share ./photos                     while it runs
  kill -HUP <pid>                               after the file was changed

The file is $GANNET_CONFIG, else ~/.config/gannet/gannet.toml ($XDG_CONFIG_HOME/gannet). What
stands in it is told in docs/CONFIG.md, and contrib/gannet.toml is an example. There is one
daemon for each user, or for each $GANNET_DATA_DIR."
)]
pub struct Arguments {
    /// The file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let data = place::data().ok_or_else(place::homeless)?;
        let (file, base, settings) = config::load(self.config)?;
        service::run(Service {
            file,
            settings,
            base,
            secret_keys: place::secret_keys(),
            socket: place::daemon_socket().ok_or_else(place::homeless)?,
            data,
            print: global.print(),
        })
    }
}
