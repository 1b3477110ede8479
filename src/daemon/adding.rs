//! A run, or one of the things that a daemon keeps, on its way into the node: opened in steps, none of
//! which waits, so that everything else goes on meanwhile.

use std::path::{Path, PathBuf};

use super::config::{Blocks, Run};
use super::drive_keys::DriveKeys;
use super::open::{Halt, SEEDS_LOCK, STORES, Shelf, lock_seeds, open_dir};
use super::reach::Reach;
use super::seeds::Seeds;
use crate::bits::RangeSet;
use crate::crypto::sign::KeyPair;
use crate::failure::{Failure, Kind};
use crate::link::Key;
use crate::node::event::Role;
use crate::node::{CloneOptions, CoreOptions, Node, TopicId};
use crate::store::disk::{Dir, Disk, Open};
use crate::store::{Content, FeedStore, Keys, StoreError};
use crate::time::Instant;

/// What has come of it.
#[derive(Debug, Default)]
pub struct Added {
    pub topics: Vec<TopicId>,
    /// Of several seeds those that cannot be opened, and why.
    pub left_out: Vec<(Key, Failure)>,
}

#[derive(Debug)]
pub enum Step {
    More,
    /// The disk is fetching what is needed: again, soon.
    Waiting,
    Done(Added),
}

pub struct Adding {
    run: Run,
    /// The writer's keys, should the drive be a new one.
    fresh: KeyPair,
    /// Directories that are open; the node's in the end.
    dirs: Vec<Dir>,
    stage: Stage,
}

enum Stage {
    Begin,
    /// Whose drive a shared folder is.
    Keys,
    /// The one store that is all to begin with.
    One(Box<Reach>),
    Share(Box<ShareStage>),
    Seeds(Box<Seeds>),
    Ended,
}

/// Both stores of a drive of ours, made when there are none.
struct ShareStage {
    metadata: Half,
    content: Half,
    first_block: Vec<u8>,
    appended: bool,
}

enum Half {
    Coming(Box<Reach>),
    Here(Box<FeedStore>),
    Gone,
}

impl Half {
    /// True: it has come just now.
    fn step(&mut self, disk: &mut dyn Disk, budget: usize) -> Result<bool, StoreError> {
        let Half::Coming(reach) = self else { return Ok(false) };
        *self = Half::Here(Box::new(reach.step(disk, budget)?));
        Ok(true)
    }

    fn take(&mut self) -> Option<FeedStore> {
        match std::mem::replace(self, Half::Gone) {
            Half::Here(store) => Some(*store),
            Half::Coming(_) | Half::Gone => None,
        }
    }

    fn cancel(&mut self, disk: &mut dyn Disk) {
        match std::mem::replace(self, Half::Gone) {
            Half::Coming(mut reach) => reach.cancel(disk),
            Half::Here(store) => store.abandon(disk),
            Half::Gone => {}
        }
    }
}

impl Adding {
    /// `seed`: random bytes that a new drive's keys are made of.
    pub fn new(run: Run, seed: [u8; 32]) -> Adding {
        Adding { run, fresh: KeyPair::from_seed(seed), dirs: Vec::new(), stage: Stage::Begin }
    }

    /// Goes on, one piece at a time. `budget`: bytes that may be looked at in it. After a failure nothing of
    /// it is open.
    pub fn step(
        &mut self,
        now: Instant,
        node: &mut Node,
        shelf: &mut Shelf,
        disk: &mut dyn Disk,
        budget: usize,
    ) -> Result<Step, Failure> {
        match self.advance(now, node, shelf, disk, budget) {
            Ok(step) => Ok(step),
            Err(Halt::NotYet) => Ok(Step::Waiting),
            Err(Halt::Failed(failure)) => {
                self.cancel(disk);
                Err(failure)
            }
        }
    }

    /// Gives up: everything is closed as a killed process would.
    pub fn cancel(&mut self, disk: &mut dyn Disk) {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::One(mut reach) => reach.cancel(disk),
            Stage::Share(mut share) => {
                share.metadata.cancel(disk);
                share.content.cancel(disk);
            }
            Stage::Seeds(mut seeds) => seeds.cancel(disk),
            Stage::Begin | Stage::Keys | Stage::Ended => {}
        }
        self.dirs.drain(..).for_each(|dir| disk.close_dir(dir));
    }

    fn advance(
        &mut self,
        now: Instant,
        node: &mut Node,
        shelf: &mut Shelf,
        disk: &mut dyn Disk,
        budget: usize,
    ) -> Result<Step, Halt> {
        match &mut self.stage {
            Stage::Begin => {
                self.stage = self.begin(shelf, disk)?;
                Ok(Step::More)
            }
            Stage::Keys => {
                self.stage = self.find_keys(shelf, disk)?;
                Ok(Step::More)
            }
            Stage::One(reach) => {
                let store = reach.step(disk, budget).map_err(|e| self.halt(e))?;
                self.one(now, node, store, disk)
            }
            Stage::Share(share) => {
                let stores = self.dirs.last().copied().unwrap_or(Dir(0));
                match share.step(now, stores, disk, budget) {
                    Ok(true) => self.share(now, node),
                    Ok(false) => Ok(Step::More),
                    Err(error) => Err(self.halt(error)),
                }
            }
            Stage::Seeds(seeds) => match seeds.step(now, node, disk, budget)? {
                Some(added) => Ok(Step::Done(added)),
                None => Ok(Step::More),
            },
            Stage::Ended => Ok(Step::Done(Added::default())),
        }
    }

    fn path(&self) -> &Path {
        match &self.run {
            Run::Share { dir, .. }
            | Run::Clone { dir, .. }
            | Run::Seed { dir, .. }
            | Run::Refill { dir, .. }
            | Run::CoreServe { dir }
            | Run::CoreFetch { dir, .. } => dir,
        }
    }

    fn name(&self) -> String {
        self.path().display().to_string()
    }

    fn halt(&self, error: StoreError) -> Halt {
        if let (Run::CoreServe { .. }, StoreError::Missing) = (&self.run, &error) {
            let what = format!("{}: there is no feed here", self.name());
            let failure = Failure::new(Kind::NotFound, what);
            return failure.hint("make one with gannet core create").into();
        }
        Halt::at(self.path(), error)
    }

    /// Opens directories.
    fn begin(&mut self, shelf: &mut Shelf, disk: &mut dyn Disk) -> Result<Stage, Halt> {
        let mut dirs = Vec::new();
        let mut open = |path: PathBuf, create: bool| -> Result<Dir, Failure> {
            let dir = open_dir(disk, &path, create)?;
            dirs.push(dir);
            Ok(dir)
        };
        let stage = match &self.run {
            Run::Share { dir, .. } => open(dir.clone(), false)
                .and_then(|_| open(dir.join(STORES), true))
                .map(|_| Stage::Keys),
            Run::Clone { link, dir, .. } => {
                let stores = open(dir.clone(), true).and_then(|_| open(dir.join(STORES), true));
                stores.map(|stores| Stage::One(Reach::reader(stores, "metadata.", link).into()))
            }
            Run::CoreServe { dir } => open(dir.clone(), false)
                .map(|dir| Stage::One(Reach::there(dir, "", None, Content::File).into())),
            Run::CoreFetch { link, dir, .. } => {
                open(dir.clone(), true).map(|dir| Stage::One(Reach::reader(dir, "", link).into()))
            }
            Run::Refill { link, dir, bare, .. } => open(dir.clone(), false).map(|at| {
                let keys = Some(Keys::dat(link.key.0, None, false));
                let prefix = if *bare { "" } else { "metadata." };
                Stage::One(Reach::there(at, prefix, keys, Content::File).into())
            }),
            Run::Seed { links, dir, .. } => {
                let root = shelf.root(disk, dir)?;
                return Ok(Stage::Seeds(Seeds::new(dir.clone(), root, links.clone()).into()));
            }
        };
        self.dirs = dirs;
        let stage = stage?;
        if let Run::Refill { dir, .. } = &self.run {
            lock_above(disk, dir)?;
        }
        Ok(stage)
    }

    fn find_keys(&mut self, shelf: &Shelf, disk: &mut dyn Disk) -> Result<Stage, Halt> {
        let Run::Share { dir, dat } = &self.run else { return Ok(Stage::Ended) };
        let stores = self.dirs.last().copied().unwrap_or(Dir(0));
        let secret_keys = shelf.secret_keys.as_deref();
        let keys = DriveKeys::find(disk, dir, stores, secret_keys, (&self.fresh, *dat))?;
        let first_block = keys.first_block();
        let DriveKeys { metadata, content, new } = keys;
        let metadata = match new {
            true => Reach::make(stores, "metadata.", metadata, Content::File),
            false => Reach::there(stores, "metadata.", Some(metadata), Content::File),
        };
        let content = Reach::or_make(stores, "content.", content, Content::External);
        let (metadata, content) = (Half::Coming(metadata.into()), Half::Coming(content.into()));
        let share = ShareStage { metadata, content, first_block, appended: false };
        Ok(Stage::Share(Box::new(share)))
    }

    /// A store that is all to begin with goes to the node.
    fn one(
        &mut self,
        now: Instant,
        node: &mut Node,
        store: FeedStore,
        disk: &mut dyn Disk,
    ) -> Result<Step, Halt> {
        if let Err(failure) = not_twice(node, self.path(), &store) {
            store.abandon(disk);
            return Err(failure.into());
        }
        self.stage = Stage::Ended;
        let name = self.name();
        let mut dirs = std::mem::take(&mut self.dirs).into_iter();
        let Some(dir) = dirs.next() else { return Ok(Step::Done(Added::default())) };
        let topic = match &self.run {
            Run::Clone { link, once, only, .. } => {
                let (version, only) = (link.version, only.clone());
                let options = CloneOptions { version, only, once: *once };
                let stores = dirs.next().unwrap_or(dir);
                node.add_clone(now, dir, stores, name, store, options)
            }
            Run::CoreFetch { blocks, show, .. } => {
                let options = CoreOptions { blocks: *blocks, show: show.clone() };
                node.add_core(now, dir, name, store, options)
            }
            Run::Refill { bare, first, content, .. } => {
                let role = if *bare { Role::Core } else { Role::Metadata };
                let lost = (ranges(first), ranges(content));
                node.add_refill(now, dir, name, (store, role), lost)
            }
            Run::CoreServe { .. } | Run::Share { .. } | Run::Seed { .. } => {
                let options = CoreOptions { blocks: Blocks::Follow, show: None };
                node.add_core(now, dir, name, store, options)
            }
        };
        Ok(Step::Done(Added { topics: vec![topic], left_out: Vec::new() }))
    }

    /// A drive of ours goes to the node.
    fn share(&mut self, now: Instant, node: &mut Node) -> Result<Step, Halt> {
        if let Stage::Share(share) = &self.stage
            && let Half::Here(store) = &share.metadata
        {
            not_twice(node, self.path(), store)?;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        let Stage::Share(mut share) = stage else { return Ok(Step::Done(Added::default())) };
        let dirs = std::mem::take(&mut self.dirs);
        let stores = (share.metadata.take(), share.content.take());
        let ([dir, at], (Some(metadata), Some(content))) = (&dirs[..], stores) else {
            return Ok(Step::Done(Added::default()));
        };
        let topic = node.add_share(now, *dir, *at, self.name(), metadata, content);
        Ok(Step::Done(Added { topics: vec![topic], left_out: Vec::new() }))
    }
}

impl ShareStage {
    /// True: both are here, and the metadata begins as it has to.
    fn step(
        &mut self,
        now: Instant,
        stores: Dir,
        disk: &mut dyn Disk,
        budget: usize,
    ) -> Result<bool, StoreError> {
        if self.metadata.step(disk, budget)? || self.content.step(disk, budget)? {
            return Ok(false);
        }
        let Half::Here(metadata) = &mut self.metadata else { return Ok(true) };
        if !self.appended && metadata.feed().length() == 0 {
            metadata.append(disk, &[&self.first_block])?;
            self.appended = true;
        }
        if self.appended {
            metadata.commit(disk, now)?;
            // The marker of JavaScript owners: the secret key is in the home directory (dat/SPEC §10).
            let file = disk.open(stores, Path::new("metadata.ogd"), Open::Create)?;
            let wrote = disk.write_at(file, 0, &[0]);
            disk.close(file);
            wrote?;
        }
        Ok(true)
    }
}

/// A feed is kept once.
pub(super) fn not_twice(node: &Node, path: &Path, store: &FeedStore) -> Result<(), Failure> {
    let Some(folder) = node.folder_of(store.feed().key()) else { return Ok(()) };
    let what = format!("{}: this is kept already, in {folder}", path.display());
    Err(Failure::new(Kind::Usage, what).hint("remove that first"))
}

/// Where a directory is one of many that a lock above them is for, that is taken.
fn lock_above(disk: &mut dyn Disk, path: &Path) -> Result<(), Halt> {
    let above = open_dir(disk, &path.join(".."), false)?;
    match disk.stat(above, Path::new(SEEDS_LOCK), false) {
        // It is kept until the process ends.
        Ok(_) => lock_seeds(disk, above, path).map(drop)?,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Err(Halt::NotYet),
        Err(_) => disk.close_dir(above),
    }
    Ok(())
}

fn ranges(list: &[(u64, u64)]) -> RangeSet {
    let mut ranges = RangeSet::new();
    list.iter().for_each(|&(start, len)| ranges.insert(start, len));
    ranges
}
