//! The user's file is read again while the daemon runs.

use super::{Keeper, Kept, State};
use crate::daemon::identity::place;
use crate::daemon::settings::{self, Entry, Settings};
use crate::daemon::{places, usually_excluded};
use crate::failure::Failure;
use crate::node::Node;
use crate::store::disk::Disk;
use crate::time::Instant;

impl Keeper {
    /// SIGHUP: what the file names now is kept, what it named before and does not any more is removed, and
    /// every other setting is as it says. Connections stay. A file with a mistake changes nothing.
    pub fn reload(&mut self, now: Instant, node: &mut Node, disk: &mut dyn Disk) {
        let text =
            std::fs::read_to_string(&self.file).map_err(|e| Failure::io(self.file.display(), &e));
        let read = text.and_then(|text| settings::read(&self.file, &text, &self.base));
        match read {
            Ok(settings) => self.apply(now, node, disk, settings),
            Err(failure) => node.warn(format!("nothing is changed: {failure}")),
        }
    }

    fn apply(&mut self, now: Instant, node: &mut Node, disk: &mut dyn Disk, new: Settings) {
        let mut wanted = new.entries.clone();
        wanted.iter_mut().for_each(|entry| entry.set_dir(place(entry.dir())));
        self.remove_unnamed(now, node, disk, &mut wanted);
        for entry in wanted {
            let mut others = self.kept.iter().filter(|kept| !kept.goes());
            let other = others.find(|kept| kept.entry.collides(&entry)).map(Kept::name);
            match other {
                Some(name) => {
                    let dir = entry.dir().display();
                    node.warn(format!("left out: {dir}: this is kept already, in {name}"));
                }
                None => {
                    self.enter(entry, true);
                }
            }
        }
        for peer in self.settings.peers.iter().filter(|peer| !new.peers.contains(peer)) {
            node.remove_peer_everywhere(now, peer);
        }
        for peer in new.peers.iter().filter(|peer| !self.settings.peers.contains(peer)) {
            // They were looked at when the file was read.
            let _ = node.add_peer_everywhere(now, peer);
        }
        let (listen, any_port) = places(new.listen);
        node.set_listen(now, listen, any_port);
        node.set_discovery(now, new.discovery, disk);
        node.set_exec(new.exec.clone());
        node.set_quota(new.limits.max_storage);
        node.set_lists(now, new.lists.clone());
        node.set_excluded(now, new.exclude.clone().unwrap_or_else(usually_excluded));
        node.set_bounds(now, new.limits.bounds());
        self.settings = new;
        self.tell_troubles(now, node);
    }

    /// Removes what the file has named and does not name any more. What is left of `wanted` is new.
    fn remove_unnamed(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        wanted: &mut Vec<Entry>,
    ) {
        for kept in self.kept.iter_mut().filter(|kept| !kept.goes()) {
            if let Some(at) = wanted.iter().position(|entry| *entry == kept.entry) {
                wanted.remove(at);
                self.unsaved |= !std::mem::replace(&mut kept.fixed, true);
                kept.hasten();
                continue;
            }
            kept.gone = kept.fixed;
            if let (true, State::Here(topic)) = (kept.gone, kept.state) {
                node.remove_topic(now, topic, disk);
                kept.state = State::Leaving(topic);
            }
        }
        self.kept.retain(|kept| !kept.gone || !matches!(kept.state, State::New | State::Failed));
    }
}
