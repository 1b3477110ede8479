//! `gannet id`.

use clap::Args;
use serde_json::json;

use super::offline::Offline;
use super::{Global, Outcome, place, put};
use crate::daemon::identity::{find_or_make, fresh};
use crate::failure::{Failure, Kind};
use crate::host::HostId;
use crate::store::identity::NAME;

/// Print who this host is: its id in short and in full
///
/// All processes of a user on a host have the same. Its key is made when it is first needed, in
/// ~/.local/share/gannet/identity ($XDG_DATA_HOME/gannet, or $GANNET_DATA_DIR, if these are set).
/// Whoever has a copy of that file is this host to others.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let data = place::data().ok_or_else(place::homeless)?;
        let mut missing = None;
        let new = fresh(|bytes| missing = getrandom::fill(bytes).err().or(missing));
        if let Some(error) = missing {
            let what = format!("the system gives no random bytes: {error}");
            return Err(Failure::new(Kind::General, what));
        }
        let mut off = Offline::writing();
        let pair = off.wait_io(|disk| find_or_make(disk, &data, &new)).map_err(|error| {
            let name = data.join(NAME);
            match error.kind() {
                std::io::ErrorKind::InvalidData => {
                    Failure::new(Kind::Damaged, format!("{}: {error}", name.display()))
                        .hint("restore it from a copy, or remove it: then this host is a new one")
                }
                _ => Failure::io(name.display(), &error),
            }
        })?;
        let id = HostId(pair.public());
        let text = match global.json {
            true => json!({ "short": id.short(), "id": id.to_string() }).to_string(),
            false => format!("{}\n{id}", id.short()),
        };
        put(format!("{text}\n").as_bytes())
    }
}
