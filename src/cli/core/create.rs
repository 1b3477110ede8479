//! `gannet core create`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome, put};
use crate::crypto::sign::KeyPair;
use crate::failure::{Failure, Kind};
use crate::store::Keys;

/// Make a new feed in a directory and print its link
///
/// It is a core of Hypercore 11, unless you say otherwise. Keep the file secret_key to yourself: who
/// has it can write.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The directory; made when missing
    dir: PathBuf,
    /// Make a core whose key is its signer's, as Hypercore 10 did
    #[arg(long, conflicts_with = "dat")]
    compat: bool,
    /// Make a Dat 1 feed; the files are those of JavaScript's hypercore 6 and 7
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
        let keys = match (self.dat, self.compat) {
            (true, _) => Keys::dat(pair.public(), Some(pair), true),
            (_, true) => Keys::core_compat(pair, true),
            (_, false) => Keys::core_writer(pair, true),
        };
        let opened = Opened::create(Offline::writing(), At::new_core(&self.dir), &keys)?;
        let link = opened.feed().link();
        opened.close()?;
        put(match global.json {
            true => format!("{}\n", json!({"link": link.to_string(), "key": link.key})),
            false => format!("{link}\n"),
        }
        .as_bytes())
    }
}
