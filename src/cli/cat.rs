//! `gannet cat`.

use std::path::PathBuf;

use clap::Args;

use super::drive::Drive;
use super::offline::Offline;
use super::{Global, Outcome, put};
use crate::failure::{Failure, Kind};

/// Print files of a drive, each block verified
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet cat ./photos notes.txt
  gannet cat ./photos notes.txt --version 12")]
pub struct Arguments {
    /// The folder
    dir: PathBuf,
    /// The files
    #[arg(required = true)]
    paths: Vec<String>,
    /// As of this version (a folder keeps the content of its newest one only)
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

impl Arguments {
    pub fn run(self, _global: &Global) -> Outcome {
        let mut drive = Drive::open(Offline::looking(), &self.dir)?;
        let version = drive.version(self.version)?;
        for path in &self.paths {
            let path = path.trim_matches('/');
            let entry = drive.entry(version, path)?;
            if entry.stat.is_dir() {
                let what = format!("{path}: this is a directory");
                return Err(Failure::new(Kind::NotFound, what).hint("gannet ls lists it"));
            }
            if let Some(target) = drive.target(&entry)? {
                let what = format!("{path}: this is a link to {target}");
                return Err(Failure::new(Kind::NotFound, what).hint("name what it leads to"));
            }
            drive.bytes(&entry, |bytes| put(bytes).map(drop))?;
        }
        Ok(0)
    }
}
