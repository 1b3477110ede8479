//! Orders that came over the control socket, and what is answered at once.

use std::path::Path;

use super::{Keeper, State, settings};
use crate::daemon::identity::place;
use crate::ids::ConnId;
use crate::limits;
use crate::node::Node;
use crate::node::control::{self, NOT_KEPT, Request, What};
use crate::store::disk::Disk;
use crate::time::Instant;

impl Keeper {
    /// The answer, if there is one at once.
    pub(super) fn order(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        conn: ConnId,
        request: &Request,
    ) -> Option<Vec<u8>> {
        if request.what == What::Add {
            let entry = request.entry.as_deref().unwrap_or_default();
            return match self.add(entry) {
                Ok(at) => {
                    self.kept[at].order = Some((conn, request.text));
                    None
                }
                Err(why) => Some(control::refuse(&why)),
            };
        }
        let name = request.at.as_deref().unwrap_or_default();
        let Some(at) = self.find_in(node, name) else {
            return Some(control::refuse(&NOT_KEPT));
        };
        let kept = &mut self.kept[at];
        if kept.order.is_some() || kept.state == State::Opening || kept.goes() {
            return Some(control::refuse(&"it is being opened or closed: try again"));
        }
        match request.what {
            What::Remove if kept.fixed => {
                let (file, pid) = (self.file.display(), node.pid());
                let why =
                    format!("{file} names it: take it out there, then reload (kill -HUP {pid})");
                return Some(control::refuse(&why));
            }
            What::Remove => self.remove(now, node, disk, (at, conn)),
            what => {
                kept.paused = what == What::Pause;
                if let State::Here(topic) = kept.state {
                    match kept.paused {
                        true => node.pause_topic(now, topic, disk),
                        false => node.resume_topic(now, topic, disk),
                    };
                }
                self.unsaved = true;
                self.answers.push((conn, control::done()));
            }
        }
        None
    }

    fn remove(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        (at, conn): (usize, ConnId),
    ) {
        let kept = &mut self.kept[at];
        match kept.state {
            State::Here(topic) => {
                node.remove_topic(now, topic, disk);
                kept.state = State::Leaving(topic);
                kept.order = Some((conn, false));
            }
            _ => {
                self.kept.remove(at);
                self.unsaved = true;
                self.answers.push((conn, control::done()));
            }
        }
    }

    /// What `gannet add` says is kept from now on.
    fn add(&mut self, text: &str) -> Result<usize, String> {
        let read = settings::read(Path::new("entry"), text, &self.base);
        let mut entries = read.map_err(|failure| failure.what)?.entries.into_iter();
        let (Some(mut entry), None) = (entries.next(), entries.next()) else {
            return Err("one thing is added at a time".into());
        };
        if entry.dir().to_str().is_none() {
            return Err(format!("{}: its name is not UTF-8", entry.dir().display()));
        }
        if self.kept.len() >= limits::KEPT_ENTRIES {
            return Err(format!("{} things are kept: remove one first", limits::KEPT_ENTRIES));
        }
        entry.set_dir(place(entry.dir()));
        if let Some(kept) = self.kept.iter().find(|kept| kept.entry.collides(&entry)) {
            return Err(format!("this is kept already, in {}", kept.folder().display()));
        }
        Ok(self.enter(entry, false))
    }
}
