//! `gannet candidates`.

use std::path::PathBuf;

use clap::Args;

use super::{Global, Outcome, peers};
use crate::node::control::What;

/// Addresses that may be peers, and when each of them is tried again
#[derive(Args)]
pub struct Arguments {
    /// A folder that is kept [default: everything of the running daemon]
    dir: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        match peers::of(self.dir, What::Candidates, global)? {
            Some(code) => Ok(code),
            None if global.json => super::put(b"[]\n"),
            None => super::put(b"not running\n"),
        }
    }
}
