//! What a daemon keeps that its user's file does not name, and what of all rests: remembered in a file of the
//! same words, which is replaced whole.

use std::path::Path;

use super::{Keeper, Kept, settings};
use crate::daemon::settings::{Base, Entry};
use crate::failure::{Failure, Kind};
use crate::node::Node;
use crate::node::control;
use crate::node::io::Work;
use crate::store::disk::{Dir, Disk};
use crate::store::{StoreError, write_small};

/// What was added and what rests.
pub const STATE: &str = "daemon.state";
const BESIDE: &str = "daemon.state.new";

/// What an earlier run remembered.
#[derive(Default)]
pub struct Memory {
    pub entries: Vec<Entry>,
    pub paused: Vec<String>,
}

/// What an earlier run remembered, from the text of its file.
pub fn recall(name: &Path, text: &str, base: &Base) -> Result<Memory, Failure> {
    let (entries, paused) = settings::read_state(name, text, base).map_err(|failure| {
        Failure::new(Kind::Damaged, failure.what).hint("mend it, or remove it to begin anew")
    })?;
    Ok(Memory { entries, paused })
}

impl Keeper {
    /// Remembers what is kept, and then says that it is.
    pub(super) fn save(&mut self, node: &mut Node, disk: &mut dyn Disk) -> Work {
        if !self.unsaved {
            return Work::Idle;
        }
        let written = write(disk, self.home, self.text().as_bytes());
        if matches!(written, Err(StoreError::NotYet)) {
            return Work::Waiting;
        }
        self.unsaved = false;
        for (conn, answer) in std::mem::take(&mut self.answers) {
            let answer = match &written {
                Ok(()) => answer,
                Err(error) => {
                    let why = format!("it is done, but not remembered: {STATE}: {error}");
                    control::refuse(&why)
                }
            };
            node.answer_order(conn, answer);
        }
        Work::Idle
    }

    /// What is remembered, as a file for `recall`.
    fn text(&self) -> String {
        let mut out =
            "# Written by gannet daemon: what gannet add added, and what is paused.\n".to_owned();
        let paused = self.kept.iter().filter(|kept| kept.paused && !kept.goes());
        let paused: Vec<String> = paused.map(|kept| settings::quoted(&kept.name())).collect();
        out.push_str(&format!("paused = [{}]\n", paused.join(", ")));
        let stays = |kept: &&Kept| !kept.fixed && !kept.goes();
        self.kept.iter().filter(stays).for_each(|kept| out.push_str(&kept.entry.text()));
        out
    }
}

fn write(disk: &mut dyn Disk, home: Dir, bytes: &[u8]) -> Result<(), StoreError> {
    write_small(disk, (home, Path::new(BESIDE)), Some(0o600), bytes, true)?;
    disk.rename(home, Path::new(BESIDE), Path::new(STATE), false)?;
    Ok(disk.sync_dir(home, Path::new(""))?)
}
