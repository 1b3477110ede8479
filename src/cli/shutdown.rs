//! `gannet shutdown`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::hosts::nobody_runs;
use super::{Global, Outcome, peers, put_answer};
use crate::node::control::Request;

/// Stop the gannet on another host of the local network
///
/// The process running on a folder tells it to, signed with this host's key. It obeys if this host's id stands
/// in may_stop of its configuration, and answers before it stops. Exit codes: 0 it stops, 1 it does not.
///
/// Examples:
///   gannet shutdown 7jfg-aa9n-utjy-ixzi        by its short id, as gannet hosts lists it
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The id, in full or in short
    host: String,
    /// The folder [default: the running daemon, else the current folder]
    dir: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let request = Request::shutdown(self.host.clone());
        peers::answer(self.dir, &request)?.ok_or_else(nobody_runs)?;
        match global.json {
            true => put_answer(&json!({"host": self.host, "stopped": true})),
            false => Ok(0),
        }
    }
}
