//! Seeds of one directory on their way into the node, all of them under its one lock. One that is damaged,
//! or that the disk has no room for, does not keep the others from being served. Those that are new become
//! durable together, at the price of one.

use std::io;
use std::path::{Path, PathBuf};

use super::adding::{Added, not_twice};
use super::open::{Halt, failed};
use super::reach::Reach;
use crate::failure::Failure;
use crate::link::Link;
use crate::node::Node;
use crate::store::disk::{Dir, Disk};
use crate::store::{FeedStore, StoreError};
use crate::time::Instant;

pub(super) struct Seeds {
    path: PathBuf,
    root: Dir,
    links: std::vec::IntoIter<Link>,
    /// The one that is being opened, and when it is open, until its files rest.
    current: Option<(Link, Reach, Option<FeedStore>)>,
    stores: Vec<(Link, FeedStore)>,
    /// Made, and without a name.
    new: Vec<(Link, FeedStore)>,
    naming: Naming,
    added: Added,
}

/// How far those that are new have come.
#[derive(Clone, Copy, PartialEq)]
enum Naming {
    Nameless,
    /// Everything of them is durable; so many have their names.
    Synced(usize),
    Done,
}

impl Seeds {
    pub fn new(path: PathBuf, root: Dir, links: Vec<Link>) -> Seeds {
        Seeds {
            path,
            root,
            links: links.into_iter(),
            current: None,
            stores: Vec::new(),
            new: Vec::new(),
            naming: Naming::Nameless,
            added: Added::default(),
        }
    }

    /// Goes on with one of them. A failure only if none can be opened: that of the first.
    pub fn step(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        budget: usize,
    ) -> Result<Option<Added>, Halt> {
        if self.current.is_none() && !self.begin(disk) && self.links.len() == 0 {
            return self.end(now, node, disk);
        }
        let Some((link, mut reach, open)) = self.current.take() else { return Ok(None) };
        let mut store = match open.map_or_else(|| reach.step(disk, budget), Ok) {
            Ok(store) => store,
            Err(StoreError::NotYet) => {
                self.current = Some((link, reach, None));
                return Err(Halt::NotYet);
            }
            Err(error) => {
                self.leave_out(&link, failed(&self.place(&link), error));
                return Ok(None);
            }
        };
        let ready = store.rest(disk);
        if matches!(ready, Err(StoreError::NotYet)) {
            self.current = Some((link, reach, Some(store)));
            return Err(Halt::NotYet);
        }
        let place = self.place(&link);
        let ready = ready.map_err(|e| failed(&place, e));
        match ready.and_then(|()| not_twice(node, &place, &store)) {
            Ok(()) if reach.new => self.new.push((link, store)),
            Ok(()) => self.stores.push((link, store)),
            Err(failure) => {
                store.abandon(disk);
                self.leave_out(&link, failure);
            }
        }
        Ok(None)
    }

    fn place(&self, link: &Link) -> PathBuf {
        self.path.join(link.key.to_string())
    }

    fn leave_out(&mut self, link: &Link, failure: Failure) {
        self.added.left_out.push((link.key, failure));
    }

    /// Makes the directory of the next one. False: there is none, or it cannot be made.
    fn begin(&mut self, disk: &mut dyn Disk) -> bool {
        let Some(link) = self.links.next() else { return false };
        let name = link.key.to_string();
        match disk.make_dir(self.root, Path::new(&name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                let failure = failed(&self.place(&link), error.into());
                self.leave_out(&link, failure);
                return false;
            }
            _ => {}
        }
        let reach = Reach::reader(self.root, &format!("{name}/metadata."), &link).locked_above();
        self.current = Some((link, reach, None));
        true
    }

    /// All that could be opened are.
    fn end(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
    ) -> Result<Option<Added>, Halt> {
        match self.name_all(disk) {
            Ok(()) => self.stores.append(&mut self.new),
            Err(StoreError::NotYet) => return Err(Halt::NotYet),
            Err(error) => {
                let failure = failed(&self.path, error);
                for (link, store) in std::mem::take(&mut self.new) {
                    store.abandon(disk);
                    self.leave_out(&link, failure.clone());
                }
            }
        }
        let mut added = std::mem::take(&mut self.added);
        if self.stores.is_empty()
            && let Some((_, failure)) = added.left_out.first()
        {
            return Err(failure.clone().into());
        }
        for (link, store) in std::mem::take(&mut self.stores) {
            let name = self.place(&link).display().to_string();
            let topic = node.add_keep(now, (self.root, &format!("{}/", link.key)), name, store);
            added.topics.push(topic);
        }
        Ok(Some(added))
    }

    /// Makes feeds of what was created without a name.
    fn name_all(&mut self, disk: &mut dyn Disk) -> Result<(), StoreError> {
        if self.new.is_empty() {
            return Ok(());
        }
        if self.naming == Naming::Nameless {
            disk.sync_fs(self.root)?;
            self.naming = Naming::Synced(0);
        }
        while let Naming::Synced(named) = self.naming {
            let Some((_, store)) = self.new.get_mut(named) else {
                disk.sync_fs(self.root)?;
                self.naming = Naming::Done;
                break;
            };
            store.name(disk)?;
            self.naming = Naming::Synced(named + 1);
        }
        Ok(())
    }

    pub fn cancel(&mut self, disk: &mut dyn Disk) {
        if let Some((_, mut reach, open)) = self.current.take() {
            reach.cancel(disk);
            open.into_iter().for_each(|store| store.abandon(disk));
        }
        let stores = std::mem::take(&mut self.stores).into_iter();
        stores.chain(std::mem::take(&mut self.new)).for_each(|(_, store)| store.abandon(disk));
    }
}
