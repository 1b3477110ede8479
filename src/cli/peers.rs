//! `gannet peers`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::ask::{self, ask};
use super::{Global, Outcome, place, put_answer};
use crate::failure::Failure;
use crate::node::control::{Request, What};
use crate::node::status::Status;

/// The peers of the process running on a folder, and the addresses it will try
#[derive(Args)]
pub struct Arguments {
    /// The folder [default: everything of the running daemon, else the current folder]
    dir: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        match of(self.dir, What::Peers, global)? {
            Some(code) => Ok(code),
            None if global.json => put_answer(&serde_json::json!([])),
            None => {
                super::put(format!("not running\n{}", Status::default().peers_text()).as_bytes())
            }
        }
    }
}

/// Puts the answer of whoever runs on a folder, or of whoever runs here. `None`: nobody does.
pub fn of(dir: Option<PathBuf>, what: What, global: &Global) -> Result<Option<i32>, Failure> {
    answer(dir, &Request::ask(what, !global.json))?.map(|answer| put_answer(&answer)).transpose()
}

/// The same, not put.
pub fn answer(dir: Option<PathBuf>, request: &Request) -> Result<Option<Value>, Failure> {
    if dir.is_none()
        && let Some(answer) = ask::here(request)?
    {
        return Ok(Some(answer));
    }
    let dir = dir.unwrap_or_else(|| ".".into());
    let holds = match place::store(&dir) {
        Ok(holds) => holds,
        // The daemon may have missed it, too.
        Err(failure) if !dir.exists() => return ask::kept(&dir, request)?.map(Some).ok_or(failure),
        Err(failure) => return Err(failure),
    };
    for inside in place::asked(&dir, holds) {
        if let Some(answer) = ask(&inside, request)? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}
