//! `gannet add`: what the running daemon is to keep, too.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Global, Outcome, ask, place, put, put_answer};
use crate::daemon::settings::Entry;
use crate::failure::Failure;
use crate::link::Link;
use crate::node::control::{Request, What};

/// Have the running daemon keep something more
///
/// Answered when it is open and remembered: it is kept after a restart, too, until gannet remove.
/// Prints its link.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    arg_required_else_help = true,
    after_help = "\
Examples:
  gannet add share ./photos
  gannet add clone hyper://<key> ./copy
  gannet add seed dat://<key>
  gannet add core ./clock"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish a folder
    Share {
        dir: PathBuf,
        /// Make a Dat 1 drive, not a hyperdrive
        #[arg(long)]
        dat: bool,
    },
    /// Copy a drive into a folder and keep it up to date
    Clone {
        link: Link,
        /// The folder; made when missing [default: ./<key>]
        dir: Option<PathBuf>,
        /// Only this file or directory (may be given several times)
        #[arg(long, value_name = "PATH")]
        only: Vec<String>,
        /// A key alone is one of Dat, not of Hypercore
        #[arg(long)]
        dat: bool,
    },
    /// Keep a drive or feed whole, without a folder of files
    Seed {
        link: Link,
        /// Where it is kept [default: ~/.local/share/gannet/seeds]
        #[arg(long)]
        dir: Option<PathBuf>,
        /// A key alone is one of Dat, not of Hypercore
        #[arg(long)]
        dat: bool,
    },
    /// Serve the feed in a directory, or fetch one into it
    Core {
        dir: PathBuf,
        /// What to fetch
        #[arg(long)]
        link: Option<Link>,
        /// A key alone is one of Dat, not of Hypercore
        #[arg(long)]
        dat: bool,
    },
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let entry = match self.command {
            Command::Share { dir, dat } => {
                place::directory(&dir)?;
                Entry::Share { dir: whole(&dir)?, dat }
            }
            Command::Clone { mut link, dir, mut only, dat } => {
                let dir = dir.unwrap_or_else(|| PathBuf::from(link.key.to_string()));
                place::settle(&mut link, dat, &dir.join(".dat"), "metadata.")?;
                only.push(std::mem::take(&mut link.path));
                only.iter_mut().for_each(|path| *path = path.trim_matches('/').to_owned());
                only.retain(|path| !path.is_empty());
                Entry::Clone { link, dir: whole(&dir)?, only }
            }
            Command::Seed { mut link, dir, dat } => {
                let dir = dir.or_else(place::seeds).ok_or_else(place::homeless)?;
                let place = dir.join(link.key.to_string());
                place::settle(&mut link, dat, &place, "metadata.")?;
                Entry::Seed { link, dir: whole(&dir)? }
            }
            Command::Core { dir, mut link, dat } => {
                match &mut link {
                    Some(link) => place::settle(link, dat, &dir, "")?,
                    None => drop(place::core(&dir)?),
                }
                Entry::Core { dir: whole(&dir)?, link }
            }
        };
        let request =
            Request { entry: Some(entry.text()), ..Request::ask(What::Add, !global.json) };
        let answer = ask::daemon(&request)?;
        if global.quiet && !global.json { Ok(0) } else { put_answer(&answer) }
    }
}

/// The daemon works in another directory.
fn whole(dir: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(dir).map_err(|e| Failure::io(dir.display(), &e))
}

/// Which of the things that the daemon keeps
#[derive(Args)]
pub struct Named {
    /// Its link, or its folder
    #[arg(value_name = "LINK-OR-DIR")]
    at: String,
}

impl Named {
    /// Has the daemon do something with it.
    pub fn order(self, what: What, global: &Global) -> Outcome {
        let at = ask::name(&self.at);
        let request = Request { at: Some(at), ..Request::ask(what, !global.json) };
        ask::daemon(&request)?;
        if global.json { put(b"{\"ok\":true}\n") } else { Ok(0) }
    }
}
