//! `gannet config`: the daemon's file.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Global, Outcome, place, put};
use crate::daemon::settings::{self, Base, Settings};
use crate::failure::{Failure, Kind};
use crate::limits;

/// The file of gannet daemon
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Whether the file is right; what is wrong is told with its line
    Check {
        /// The file [default: the daemon's]
        file: Option<PathBuf>,
    },
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let Command::Check { file } = self.command;
        let (file, _, settings) = load(file.or_else(place::config_file))?;
        let count = |kind| settings.entries.iter().filter(|entry| entry.kind() == kind).count();
        let [shares, clones, seeds, cores] = ["share", "clone", "seed", "core"].map(count);
        let text = match global.json {
            true => json!({
                "file": file, "shares": shares, "clones": clones, "seeds": seeds, "cores": cores,
            })
            .to_string(),
            false if global.quiet => return Ok(0),
            false => format!(
                "{}: right, with {shares} shared, {clones} cloned, {seeds} seeded and {cores} bare",
                file.display()
            ),
        };
        put(format!("{text}\n").as_bytes())
    }
}

/// What the daemon is told: by this file, or by its usual one, if there is one.
pub fn load(file: Option<PathBuf>) -> Result<(PathBuf, Base, Settings), Failure> {
    let said = file.is_some();
    let file = file.or_else(place::config_file).ok_or_else(place::homeless)?;
    let file = std::path::absolute(&file).map_err(|e| Failure::io(file.display(), &e))?;
    let base = base(file.parent().unwrap_or(Path::new("/")));
    let text = match std::fs::read(&file) {
        Ok(bytes) => text(&file, bytes)?,
        // Everything may come with gannet add.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !said => String::new(),
        Err(error) => return Err(Failure::io(file.display(), &error)),
    };
    let settings = settings::read(&file, &text, &base)?;
    Ok((file, base, settings))
}

fn text(file: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    if bytes.len() > limits::CONFIG_BYTES {
        let what = format!("{}: longer than {} bytes", file.display(), limits::CONFIG_BYTES);
        return Err(Failure::new(Kind::Usage, what).hint("is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::new(Kind::Usage, format!("{}: not UTF-8 text", file.display()))
            .hint("is it the right file?")
    })
}

/// Where names in a file in `dir` lead.
pub fn base(dir: &Path) -> Base {
    Base { dir: dir.to_owned(), home: place::home(), seeds: place::seeds() }
}
