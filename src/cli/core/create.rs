//! `gannet core create`.

use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome, put};
use crate::crypto::sign::KeyPair;
use crate::failure::{Failure, Kind};
use crate::link::{Key, Link};
use crate::store::Keys;

/// Make a new feed in a directory and print its link
///
/// The files are those of JavaScript's hypercore (key, secret_key, tree, …). Keep secret_key to
/// yourself: who has it can write.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The directory; made when missing
    dir: PathBuf,
    /// Make a Dat 1 feed (the only kind for now)
    #[arg(long)]
    dat: bool,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|e| {
            Failure::new(Kind::General, format!("the system gives no random bytes: {e}"))
        })?;
        let pair = KeyPair::from_seed(*seed);
        let public = pair.public();
        let keys = Keys::dat(public, Some(pair), true);
        Opened::create(Offline::writing(), At::new_core(&self.dir), &keys)?.close()?;
        let link = Link { key: Key(public), version: None, path: String::new() };
        put(match global.json {
            true => format!("{}\n", serde_json::json!({"link": link.to_string(), "key": link.key})),
            false => format!("{link}\n"),
        }
        .as_bytes())
    }
}
