//! `gannet core info`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::source::{Source, kept};
use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome, put};
use crate::link::Key;
use crate::text::Size;

/// Key, length and blocks of a feed that is here
#[derive(Args)]
pub struct Arguments {
    /// The feed's directory, or the link of one fetched before
    #[arg(value_parser = Source::parse, value_name = "DIR|LINK")]
    source: Source,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let dir: PathBuf = match self.source {
            Source::Dir(dir) => dir,
            Source::Link(link) => kept(&link, None)?,
        };
        let opened = Opened::open(Offline::looking(), At::core(&dir)?, None, None)?;
        let feed = opened.feed();
        let (key, discovery) = (Key(*feed.key()), Key(*feed.discovery_key()));
        let (length, have, bytes) = (feed.length(), feed.have().count(), feed.byte_length());
        let writable = dir.join("secret_key").exists();
        put(match global.json {
            true => format!(
                "{}\n",
                json!({
                    "link": format!("dat://{key}"), "key": key, "discovery_key": discovery,
                    "length": length, "have": have, "bytes": bytes, "writable": writable,
                })
            ),
            false => format!(
                "link           dat://{key}\ndiscovery key  {discovery}\n\
                 length         {length} blocks, {}\nhere           {have} blocks\n\
                 writable       {}\n",
                Size(bytes),
                if writable { "yes" } else { "no" }
            ),
        }
        .as_bytes())
    }
}
