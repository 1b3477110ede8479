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
        let request = Request::ask(What::Peers, !global.json);
        for inside in place::asked(&self.dir, place::store(&self.dir)?) {
            if let Some(answer) = ask(&inside, &request)? {
                return put_answer(&answer);
            }
        }
        match global.json {
            true => put_answer(&serde_json::json!([])),
            false => {
                super::put(format!("not running\n{}", Status::default().peers_text()).as_bytes())
            }
        }
    }
}
