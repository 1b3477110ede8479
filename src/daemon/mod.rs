//! A gannet as a process: configuration, output, the control socket, and the run that joins the
//! reactor, the node and the system.

pub mod config;
pub mod control;
pub mod output;

use crate::failure::{Failure, Kind};
use config::Config;

/// Runs until the work is done or a signal ends it. The number is the exit code.
pub fn run(config: Config) -> Result<i32, Failure> {
    Err(Failure::new(Kind::General, format!("{:?} is not built yet", config.run)))
}
