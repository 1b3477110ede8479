//! `gannet core info`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::source::{Source, kept};
use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome, put};
use crate::feed::hyper::Authority;
use crate::feed::{Core, Feed};
use crate::link::Key;
use crate::text::{Count, Size};

/// Kind, keys, length and blocks of a feed that is here
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
        let writable = dir.join("secret_key").exists();
        if global.json {
            put(format!("{}\n", figures(feed, writable)).as_bytes())
        } else {
            put(text(feed, writable).as_bytes())
        }
    }
}

fn figures(feed: &Feed, writable: bool) -> Value {
    let mut figures = json!({
        "link": feed.link().to_string(), "key": Key(*feed.key()),
        "discovery_key": Key(*feed.discovery_key()), "kind": "dat",
        "length": feed.length(), "have": feed.have().count(), "bytes": feed.byte_length(),
        "writable": writable,
    });
    let Some(core) = feed.as_core() else { return figures };
    figures["kind"] = "hypercore".into();
    figures["fork"] = core.fork.into();
    let signers = signers(core);
    figures["signers"] = signers.iter().map(|key| json!(Key(*key))).collect();
    match &core.authority {
        Some(Authority::Compat(_)) => figures["quorum"] = 1.into(),
        Some(Authority::Manifest { manifest, .. }) => {
            figures["manifest_version"] = manifest.version.into();
            figures["quorum"] = manifest.quorum.into();
        }
        None => {}
    }
    figures
}

fn text(feed: &Feed, writable: bool) -> String {
    let (length, have, bytes) = (feed.length(), feed.have().count(), feed.byte_length());
    let kind = feed.as_core().map_or_else(|| "Dat".to_owned(), kind);
    let mut text = format!(
        "link           {}\nkind           {kind}\ndiscovery key  {}\n\
         length         {}, {}\nhere           {}\nwritable       {}\n",
        feed.link(),
        Key(*feed.discovery_key()),
        Count(length, "block"),
        Size(bytes),
        Count(have, "block"),
        if writable { "yes" } else { "no" }
    );
    let Some(core) = feed.as_core() else { return text };
    text.push_str(&format!("fork           {}\n", core.fork));
    for key in signers(core) {
        text.push_str(&format!("signer         {}\n", Key(key)));
    }
    text
}

fn kind(core: &Core) -> String {
    match &core.authority {
        None => "Hypercore, its manifest is not known yet".to_owned(),
        Some(Authority::Compat(_)) => "Hypercore, compat: the key is the signer's".to_owned(),
        Some(Authority::Manifest { manifest, .. }) => format!(
            "Hypercore, manifest version {}, signed by {} of {}",
            manifest.version,
            manifest.quorum,
            manifest.signers.len()
        ),
    }
}

fn signers(core: &Core) -> Vec<[u8; 32]> {
    match &core.authority {
        None => Vec::new(),
        Some(Authority::Compat(key)) => vec![*key],
        Some(Authority::Manifest { manifest, .. }) => {
            manifest.signers.iter().map(|signer| signer.key).collect()
        }
    }
}
