//! `gannet hosts`.

use std::path::PathBuf;

use clap::Args;

use super::{Global, Outcome, peers};
use crate::failure::{Failure, Kind};
use crate::node::control::What;

/// The hosts that the process running on a folder knows on the local network
///
/// A line each: id, how it is known (live, silent, kept from an earlier run, told by others), when it
/// was last heard, where it listens.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The folder [default: the running daemon, else the current folder]
    dir: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        peers::of(self.dir, What::Hosts, global)?.ok_or_else(nobody_runs)
    }
}

/// Nobody is there who could be asked.
pub fn nobody_runs() -> Failure {
    Failure::new(Kind::NotFound, "no gannet is running here")
        .hint("start one with gannet daemon, share, clone or seed")
}
