//! `gannet status`.

use std::path::PathBuf;

use clap::Args;

use super::ask::ask;
use super::{Global, Outcome, place, put_answer};
use crate::node::control::{Request, What};

/// What is in a folder, and what the process running on it is doing
///
/// Asks the running share, clone, seed or core serve; where none runs, reads the store.
#[derive(Args)]
pub struct Arguments {
    /// The folder
    #[arg(default_value = ".")]
    dir: PathBuf,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let inside = place::inside(&self.dir, place::store(&self.dir)?);
        let request = Request::ask(What::Status, !global.json);
        match ask(&inside, &request)? {
            Some(answer) => put_answer(&answer),
            None => todo!(),
        }
    }
}
