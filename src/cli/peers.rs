//! `gannet peers`.

use std::path::PathBuf;

use clap::Args;

use super::ask::ask;
use super::{Global, Outcome, place, put_answer};
use crate::node::control::{Request, What};
use crate::node::status::Status;

/// The peers of the process running on a folder, and the addresses it will try
#[derive(Args)]
pub struct Arguments {
    /// The folder
    #[arg(default_value = ".")]
    dir: PathBuf,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let inside = place::inside(&self.dir, place::store(&self.dir)?);
        let request = Request::ask(What::Peers, !global.json);
        match ask(&inside, &request)? {
            Some(answer) => put_answer(&answer),
            None if global.json => put_answer(&serde_json::json!([])),
            None => {
                super::put(format!("not running\n{}", Status::default().peers_text()).as_bytes())
            }
        }
    }
}
