//! A store on its way to being open: opened, or made where there is none, and what an unclean stop left
//! behind brought back; each in steps that do not wait.

use crate::limits;
use crate::link::Dialect;
use crate::store::disk::{Dir, Disk};
use crate::store::{Content, FeedStore, Keys, Opening, Progress, StoreError};

pub(super) struct Reach {
    dir: Dir,
    /// What stands before the names of its files.
    prefix: String,
    /// What is opened, and made where there is none; `None`: whatever is there.
    keys: Option<Keys>,
    /// Whether it may be made.
    makes: bool,
    /// It is of this kind: an empty one of the other kind is taken away first.
    said: Option<Dialect>,
    content: Content,
    /// The caller holds the lock, and gives new ones their names.
    above: bool,
    stage: Stage,
    /// It was made, and has no name yet where the caller gives that.
    pub new: bool,
}

enum Stage {
    Begin,
    Opening(Box<Opening>),
    Recovering(Box<FeedStore>),
    /// It is an empty one of the other kind.
    Unmaking(Box<FeedStore>),
    Making,
    Ended,
}

impl Reach {
    /// What is there, of this key if it is given.
    pub fn there(dir: Dir, prefix: &str, keys: Option<Keys>, content: Content) -> Reach {
        Reach {
            dir,
            prefix: prefix.to_owned(),
            keys,
            makes: false,
            said: None,
            content,
            above: false,
            stage: Stage::Begin,
            new: false,
        }
    }

    /// What is there, else a new one.
    pub fn or_make(dir: Dir, prefix: &str, keys: Keys, content: Content) -> Reach {
        Reach { makes: true, ..Reach::there(dir, prefix, Some(keys), content) }
    }

    /// A new one.
    pub fn make(dir: Dir, prefix: &str, keys: Keys, content: Content) -> Reach {
        Reach { stage: Stage::Making, ..Reach::or_make(dir, prefix, keys, content) }
    }

    /// As `or_make`, for a feed that we read, of the kind that its link says.
    pub fn reader(dir: Dir, prefix: &str, link: &crate::link::Link) -> Reach {
        let keys = Keys::reader(link.dialect.unwrap_or(Dialect::Hyper), link.key.0);
        Reach { said: link.dialect, ..Reach::or_make(dir, prefix, keys, Content::File) }
    }

    /// The caller holds a lock above it.
    pub fn locked_above(mut self) -> Reach {
        self.above = true;
        self
    }

    /// Goes on; `NotYet`: again, when the disk is ready or there is time. `budget`: bytes looked at.
    pub fn step(&mut self, disk: &mut dyn Disk, budget: usize) -> Result<FeedStore, StoreError> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Begin => {
                    let (key, secret) = match &self.keys {
                        Some(keys) => (Some(keys.public), keys.secret.clone()),
                        None => (None, None),
                    };
                    let opening = Opening::new(self.dir, &self.prefix, key, secret, self.content);
                    let opening = if self.above { opening.locked_above() } else { opening };
                    self.stage = Stage::Opening(Box::new(opening));
                }
                Stage::Opening(mut opening) => match opening.step(disk) {
                    Ok(store) => self.opened(store),
                    Err(StoreError::Missing) if self.makes => self.stage = Stage::Making,
                    Err(StoreError::NotYet) => {
                        self.stage = Stage::Opening(opening);
                        return Err(StoreError::NotYet);
                    }
                    Err(error) => return Err(error),
                },
                Stage::Recovering(store) => {
                    return self.recovered(store, disk, budget).map(|store| *store);
                }
                Stage::Unmaking(store) => {
                    self.recovered(store, disk, budget)?.unmake(disk)?;
                    self.stage = Stage::Making;
                }
                Stage::Making => {
                    let store = self.made(disk)?;
                    self.new = true;
                    self.stage = Stage::Recovering(Box::new(store));
                }
                Stage::Ended => return Err(StoreError::Missing),
            }
        }
    }

    fn opened(&mut self, mut store: FeedStore) {
        if self.above {
            store.lock_above();
        }
        let other = self.said.is_some_and(|said| said != store.feed().dialect());
        self.stage = match other {
            true => Stage::Unmaking(Box::new(store)),
            false => Stage::Recovering(Box::new(store)),
        };
    }

    fn made(&mut self, disk: &mut dyn Disk) -> Result<FeedStore, StoreError> {
        let Some(keys) = self.keys.clone() else { return Err(StoreError::Missing) };
        let made = match self.above {
            true => FeedStore::create_unnamed(disk, self.dir, &self.prefix, keys, self.content),
            false => FeedStore::create(disk, self.dir, &self.prefix, keys, self.content),
        };
        match made {
            Ok(mut store) => {
                if self.above {
                    store.lock_above();
                }
                Ok(store)
            }
            Err(error) => {
                if matches!(error, StoreError::NotYet) {
                    self.stage = Stage::Making;
                }
                Err(error)
            }
        }
    }

    /// The store, once nothing is left to bring back. Content in the user's files is the node's.
    fn recovered(
        &mut self,
        mut store: Box<FeedStore>,
        disk: &mut dyn Disk,
        budget: usize,
    ) -> Result<Box<FeedStore>, StoreError> {
        let mut left = budget;
        while store.recovering() && self.content == Content::File {
            let piece = limits::WORK_IDLE_COST.min(left);
            let done = match store.recover(disk, None, piece) {
                Ok(Progress::Done) => break,
                Ok(Progress::More) => {
                    left -= piece;
                    left > 0
                }
                Err(StoreError::NotYet) => false,
                Err(error) => {
                    store.abandon(disk);
                    return Err(error);
                }
            };
            if !done {
                let other = self.said.is_some_and(|said| said != store.feed().dialect());
                self.stage = if other { Stage::Unmaking(store) } else { Stage::Recovering(store) };
                return Err(StoreError::NotYet);
            }
        }
        Ok(store)
    }

    /// Gives up.
    pub fn cancel(&mut self, disk: &mut dyn Disk) {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Opening(opening) => opening.cancel(disk),
            Stage::Recovering(store) | Stage::Unmaking(store) => store.abandon(disk),
            Stage::Begin | Stage::Making | Stage::Ended => {}
        }
    }
}
