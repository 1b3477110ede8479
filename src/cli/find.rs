//! `gannet find`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::hosts::nobody_runs;
use super::{Global, Outcome, peers, put_answer};
use crate::failure::{Failure, Kind};
use crate::node::control::Request;
use crate::text::Plain;

/// Find a host by its id
///
/// Looks among the hosts that the process running on a folder knows; one that is not there is asked
/// for by its full id at those that are. Exit codes: 0 found, 3 nobody knows it.
///
/// Examples:
///   gannet find 7jfg-aa9n-utjy-ixzi        by its short id, or how that begins
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The id, in full or in short
    id: String,
    /// The folder [default: the running daemon, else the current folder]
    dir: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let request = Request::find(self.id.clone(), !global.json);
        match peers::answer(self.dir, &request)?.ok_or_else(nobody_runs)? {
            Value::Array(none) if none.is_empty() => {
                let what = format!("no host {} was found", Plain(&self.id));
                Err(Failure::new(Kind::NotFound, what).hint("is it running?"))
            }
            found => put_answer(&found),
        }
    }
}
