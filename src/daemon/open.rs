//! Opens what a run works on: folders, stores and keys; every way in which that can fail is one
//! line for the user.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::{Blocks, Config, Run};
use crate::bits::RangeSet;
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::drive::hyper;
use crate::drive::stat::Index;
use crate::failure::{Failure, Kind};
use crate::feed::Feed;
use crate::link::{Dialect, Link};
use crate::node::event::Role;
use crate::node::{CloneOptions, CoreOptions, Node};
use crate::store::Opening;
use crate::store::disk::{Dir, Disk, Open};
use crate::store::{Content, FeedStore, Flavor, Keys, StoreError, secret, stored};
use crate::sys::Sys;

/// The directory of a drive's stores, in its folder.
const STORES: &str = ".dat";

/// Its lock is that of all seeds in the directory.
pub const SEEDS_LOCK: &str = "gannet.lock";

/// The directory in which a run keeps its stores and control socket.
pub(super) fn inside(run: &Run) -> PathBuf {
    match run {
        Run::Share { dir, .. } | Run::Clone { dir, .. } => dir.join(STORES),
        Run::Seed { dir, .. }
        | Run::Refill { dir, .. }
        | Run::CoreServe { dir }
        | Run::CoreFetch { dir, .. } => dir.clone(),
    }
}

/// Opens the stores of a run and hands them to the node.
pub fn run(node: &mut Node, sys: &mut impl Sys, config: &Config) -> Result<(), Failure> {
    match &config.run {
        Run::Share { dir, dat } => share(node, sys, config, dir, *dat),
        Run::Clone { link, dir, once, only } => {
            let options = CloneOptions { version: link.version, only: only.clone(), once: *once };
            clone(node, sys, link, dir, options)
        }
        Run::Seed { links, dir, max_storage } => {
            if let Some(max) = max_storage {
                node.set_quota(*max);
            }
            let place = Place::open(sys, dir, true)?;
            place.lock(sys)?;
            seeds(node, sys, links, &place)
        }
        Run::Refill { link, dir, bare, first, content } => {
            refill(node, sys, (link, *bare), dir, [first, content])
        }
        Run::CoreServe { dir } => core_serve(node, sys, dir),
        Run::CoreFetch { link, dir, blocks, show } => {
            let options = CoreOptions { blocks: *blocks, show: show.clone() };
            core_fetch(node, sys, link, dir, options)
        }
    }
}

/// A folder of the user's.
struct Place<'a> {
    path: &'a Path,
    dir: Dir,
}

impl<'a> Place<'a> {
    fn open(sys: &mut impl Sys, path: &'a Path, create: bool) -> Result<Place<'a>, Failure> {
        let dir =
            sys.disk().open_root(path, create).map_err(|e| Failure::io(path.display(), &e))?;
        Ok(Place { path, dir })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Takes the one lock of a directory with many seeds, for as long as the process runs.
    fn lock(&self, sys: &mut impl Sys) -> Result<(), Failure> {
        let disk = sys.disk();
        let locked = disk
            .open(self.dir, Path::new(SEEDS_LOCK), Open::Create)
            .and_then(|file| disk.lock(file));
        locked.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => self.failed(StoreError::Locked),
            _ => self.failed(error.into()),
        })
    }

    fn failed(&self, error: StoreError) -> Failure {
        let name = self.name();
        match error {
            StoreError::Io(error) => Failure::io(name, &error),
            StoreError::Full => Failure::io(name, &io::ErrorKind::StorageFull.into()),
            StoreError::Locked => {
                Failure::new(Kind::Locked, format!("{name}: another process works on this folder"))
                    .hint("stop it first, or ask it with gannet status")
            }
            StoreError::Damaged(what) => {
                Failure::new(Kind::Damaged, format!("{name}: damaged: {what}"))
                    .hint("run gannet verify --repair on it")
            }
            StoreError::OtherFeed => {
                Failure::new(Kind::Usage, format!("{name}: something else is kept here"))
                    .hint("choose another folder")
            }
            other => Failure::new(Kind::General, format!("{name}: {other}")),
        }
    }
}

/// Repeats what answers `NotYet` until the disk is ready. Only before the loop runs.
pub(super) fn patiently<T>(
    sys: &mut impl Sys,
    mut call: impl FnMut(&mut dyn Disk) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut ignored = Vec::new();
    loop {
        match call(sys.disk()) {
            Err(StoreError::NotYet) => {}
            done => return done,
        }
        sys.wait(Some(Duration::from_millis(1)), &mut ignored)?;
    }
}

fn open_store(
    sys: &mut impl Sys,
    dir: Dir,
    prefix: &str,
    key: Option<PublicKey>,
    secret: Option<KeyPair>,
    content: Content,
) -> Result<FeedStore, StoreError> {
    let mut opening = Opening::new(dir, prefix, key, secret, content);
    patiently(sys, |disk| opening.step(disk))
}

fn create_store(
    sys: &mut impl Sys,
    dir: Dir,
    prefix: &str,
    keys: Keys,
    content: Content,
) -> Result<FeedStore, StoreError> {
    patiently(sys, |disk| FeedStore::create(disk, dir, prefix, keys.clone(), content))
}

/// Opens the feed of a link, or makes an empty one for reading.
fn open_or_create(
    sys: &mut impl Sys,
    dir: Dir,
    prefix: &str,
    link: &Link,
) -> Result<FeedStore, StoreError> {
    let opening = Opening::new(dir, prefix, Some(link.key.0), None, Content::File);
    match opened(sys, opening, link)? {
        Some(store) => Ok(store),
        None => create_store(sys, dir, prefix, reader_keys(link), Content::File),
    }
}

fn reader_keys(link: &Link) -> Keys {
    Keys::reader(link.dialect.unwrap_or(Dialect::Hyper), link.key.0)
}

/// `None`: there is none; an empty one of the other kind was taken away.
fn opened(
    sys: &mut impl Sys,
    mut opening: Opening,
    link: &Link,
) -> Result<Option<FeedStore>, StoreError> {
    match patiently(sys, |disk| opening.step(disk)) {
        Err(StoreError::Missing) => Ok(None),
        Ok(mut store) if link.dialect.is_some_and(|said| said != store.feed().dialect()) => {
            recover(sys, &mut store)?;
            store.unmake(sys.disk())?;
            Ok(None)
        }
        other => other.map(Some),
    }
}

fn store_dir(sys: &mut impl Sys, place: &Place<'_>) -> Result<Dir, Failure> {
    let path = place.path.join(STORES);
    sys.disk().open_root(&path, true).map_err(|e| Failure::io(path.display(), &e))
}

/// The keys of a drive to publish, and whether it is a new one.
struct DriveKeys {
    metadata: Keys,
    content: Keys,
    new: bool,
}

impl DriveKeys {
    /// All follows from the writer's key pair.
    fn of(pair: KeyPair, dat: bool, new: bool) -> DriveKeys {
        if dat {
            let content = pair.content_pair();
            let content = Keys::dat(content.public(), Some(content), false);
            return DriveKeys {
                metadata: Keys::dat(pair.public(), Some(pair), false),
                content,
                new,
            };
        }
        let (bee, blobs) = hyper::keys::manifests(pair.public());
        let content = Keys::core_of(blobs, pair.clone(), false);
        DriveKeys { metadata: Keys::core_of(bee, pair, false), content, new }
    }

    /// Of the drive that is there, or a new one. Its secret key is the writer's, kept in the home.
    fn find(
        sys: &mut impl Sys,
        place: &Place<'_>,
        stores: Dir,
        secret_keys: Option<&Path>,
        dat: bool,
    ) -> Result<DriveKeys, Failure> {
        let known = patiently(sys, |disk| stored(disk, stores, "metadata."));
        if let Some(feed) = known.map_err(|e| place.failed(e))? {
            let pair = kept_pair(sys, place, stores, secret_keys, &feed)?;
            let keys = DriveKeys::of(pair, feed.dialect() == Dialect::Dat, false);
            if keys.metadata.public != *feed.key() {
                let what = format!("{}: this drive was not made by gannet", place.name());
                return Err(Failure::new(Kind::General, what)
                    .hint("follow it with gannet clone, or share another folder"));
            }
            return Ok(keys);
        }
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        sys.entropy(seed.as_mut_slice());
        let pair = KeyPair::from_seed(*seed);
        let keys = secret_keys.ok_or_else(|| {
            Failure::new(Kind::NotFound, "there is no home directory for the secret key")
                .hint("set HOME")
        })?;
        patiently(sys, |disk| Ok(secret::save(disk, keys, &pair)?))
            .map_err(|e| Place { path: keys, dir: place.dir }.failed(e))?;
        Ok(DriveKeys::of(pair, dat, true))
    }
}

/// The key pair that signs the drive which is there.
fn kept_pair(
    sys: &mut impl Sys,
    place: &Place<'_>,
    stores: Dir,
    secret_keys: Option<&Path>,
    feed: &Feed,
) -> Result<KeyPair, Failure> {
    let absent = || {
        let what = format!("{}: this drive's secret key is not here", place.name());
        Failure::new(Kind::NotFound, what)
            .hint("import it with gannet key import, or follow the drive with gannet clone")
    };
    let public = feed.signer().ok_or_else(absent)?;
    let kept = secret_keys
        .map(|keys| patiently(sys, |disk| Ok(secret::load(disk, keys, &public)?)))
        .transpose()
        .map_err(|e| place.failed(e))?
        .flatten();
    if let Some(pair) = kept {
        return Ok(pair);
    }
    let beside = patiently(sys, |disk| {
        Ok(secret::load_from(disk, stores, Path::new("metadata.secret_key"), &public)?)
    });
    beside.map_err(|e| place.failed(e))?.ok_or_else(absent)
}

fn share(
    node: &mut Node,
    sys: &mut impl Sys,
    config: &Config,
    dir: &Path,
    dat: bool,
) -> Result<(), Failure> {
    let place = Place::open(sys, dir, false)?;
    let stores = store_dir(sys, &place)?;
    let keys = DriveKeys::find(sys, &place, stores, config.secret_keys.as_deref(), dat)?;
    let (metadata, content) =
        writable_drive(sys, stores, keys).map_err(|error| place.failed(error))?;
    let now = sys.now();
    node.add_share(now, place.dir, stores, place.name(), metadata, content);
    Ok(())
}

/// Metadata and content feed of a drive of ours, made when there is none.
fn writable_drive(
    sys: &mut impl Sys,
    stores: Dir,
    keys: DriveKeys,
) -> Result<(FeedStore, FeedStore), StoreError> {
    let DriveKeys { metadata, content, new } = keys;
    let first = match metadata.flavor {
        Flavor::Dat => Index { content: content.public }.encode(),
        Flavor::Core(_) => hyper::keys::header(),
    };
    let mut metadata = if new {
        create_store(sys, stores, "metadata.", metadata, Content::File)
    } else {
        let (key, secret) = (Some(metadata.public), metadata.secret);
        open_store(sys, stores, "metadata.", key, secret, Content::File)
    }?;
    recover(sys, &mut metadata)?;
    let (key, secret) = (Some(content.public), content.secret.clone());
    let content = match open_store(sys, stores, "content.", key, secret, Content::External) {
        Err(StoreError::Missing) => {
            create_store(sys, stores, "content.", content, Content::External)
        }
        other => other,
    }?;
    if metadata.feed().length() == 0 {
        patiently(sys, |disk| metadata.append(disk, &[&first]))?;
        let now = sys.now();
        patiently(sys, |disk| metadata.commit(disk, now))?;
        // The marker of JavaScript owners: the secret key is in the home directory (dat/SPEC §10).
        patiently(sys, |disk| {
            let file = disk.open(stores, Path::new("metadata.ogd"), Open::Create)?;
            let wrote = disk.write_at(file, 0, &[0]);
            disk.close(file);
            wrote?;
            Ok(())
        })?;
    }
    Ok((metadata, content))
}

/// Brings back what an unclean stop left behind. Content in the user's files is the node's.
fn recover(sys: &mut impl Sys, store: &mut FeedStore) -> Result<(), StoreError> {
    while store.recovering() {
        let done = patiently(sys, |disk| store.recover(disk, None, crate::limits::WORK_IDLE_COST))?;
        if done == crate::store::Progress::Done {
            break;
        }
    }
    Ok(())
}

fn clone(
    node: &mut Node,
    sys: &mut impl Sys,
    link: &Link,
    dir: &Path,
    options: CloneOptions,
) -> Result<(), Failure> {
    let place = Place::open(sys, dir, true)?;
    let stores = store_dir(sys, &place)?;
    let mut metadata =
        open_or_create(sys, stores, "metadata.", link).map_err(|e| place.failed(e))?;
    recover(sys, &mut metadata).map_err(|e| place.failed(e))?;
    let now = sys.now();
    node.add_clone(now, place.dir, stores, place.name(), metadata, options);
    Ok(())
}

/// All seeds that can be opened. One that is damaged, or that the disk has no room for, does not keep the
/// others from being served; the first failure is told as one only if none opens. Those that are new
/// become durable together, at the price of one.
fn seeds(
    node: &mut Node,
    sys: &mut impl Sys,
    links: &[Link],
    root: &Place<'_>,
) -> Result<(), Failure> {
    let (mut stores, mut new, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for link in links {
        match seed(sys, link, root) {
            Ok((store, false)) => stores.push((link, store)),
            Ok((store, true)) => new.push((link, store)),
            Err(failure) => failures.push(failure),
        }
    }
    match name_all(sys, &mut new, root) {
        Ok(()) => stores.append(&mut new),
        Err(error) => {
            failures.push(root.failed(error));
            new.into_iter().for_each(|(_, store)| store.abandon(sys.disk()));
        }
    }
    if stores.is_empty() {
        return failures.into_iter().next().map_or(Ok(()), Err);
    }
    failures.iter().for_each(|failure| node.warn_at_start(format!("left out: {failure}")));
    let now = sys.now();
    for (link, store) in stores {
        let name = root.path.join(link.key.to_string()).display().to_string();
        node.add_keep(now, (root.dir, &format!("{}/", link.key)), name, store);
    }
    Ok(())
}

/// Makes feeds of what was created without a name.
fn name_all(
    sys: &mut impl Sys,
    new: &mut [(&Link, FeedStore)],
    root: &Place<'_>,
) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    patiently(sys, |disk| Ok(disk.sync_fs(root.dir)?))?;
    for (_, store) in new {
        patiently(sys, |disk| store.name(disk))?;
    }
    patiently(sys, |disk| Ok(disk.sync_fs(root.dir)?))
}

/// `root` is locked: thousands of seeds need no lock and no descriptor each. True: it is new, and has no
/// name yet.
fn seed(sys: &mut impl Sys, link: &Link, root: &Place<'_>) -> Result<(FeedStore, bool), Failure> {
    let name = link.key.to_string();
    let place = Place { path: &root.path.join(&name), dir: root.dir };
    let failed = |e| place.failed(e);
    match sys.disk().make_dir(root.dir, Path::new(&name)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(error.into()));
        }
        _ => {}
    }
    let (prefix, key) = (format!("{name}/metadata."), Some(link.key.0));
    let opening = Opening::new(root.dir, &prefix, key, None, Content::File).locked_above();
    let (mut store, new) = match opened(sys, opening, link).map_err(failed)? {
        Some(store) => (store, false),
        None => {
            let (keys, content) = (reader_keys(link), Content::File);
            let made = patiently(sys, |disk| {
                FeedStore::create_unnamed(disk, root.dir, &prefix, keys.clone(), content)
            });
            (made.map_err(failed)?, true)
        }
    };
    store.lock_above();
    let ready = recover(sys, &mut store).and_then(|()| patiently(sys, |disk| store.rest(disk)));
    if let Err(error) = ready {
        store.abandon(sys.disk());
        return Err(failed(error));
    }
    Ok((store, new))
}

/// The directory that a directory is in.
fn open_above(sys: &mut impl Sys, dir: &Path) -> Result<Dir, Failure> {
    let above = dir.join("..");
    sys.disk().open_root(&above, false).map_err(|e| Failure::io(above.display(), &e))
}

fn refill(
    node: &mut Node,
    sys: &mut impl Sys,
    (link, bare): (&Link, bool),
    dir: &Path,
    [first, content]: [&[(u64, u64)]; 2],
) -> Result<(), Failure> {
    let place = Place::open(sys, dir, false)?;
    let above = Place { path: dir, dir: open_above(sys, dir)? };
    if patiently(sys, |disk| Ok(disk.stat(above.dir, Path::new(SEEDS_LOCK), false).is_ok()))
        .map_err(|e| place.failed(e))?
    {
        above.lock(sys)?;
    }
    let (key, file) = (Some(link.key.0), Content::File);
    let (prefix, role) = if bare { ("", Role::Core) } else { ("metadata.", Role::Metadata) };
    let mut store =
        open_store(sys, place.dir, prefix, key, None, file).map_err(|e| place.failed(e))?;
    recover(sys, &mut store).map_err(|e| place.failed(e))?;
    let ranges = |list: &[(u64, u64)]| {
        let mut ranges = RangeSet::new();
        list.iter().for_each(|&(start, len)| ranges.insert(start, len));
        ranges
    };
    let (now, lost) = (sys.now(), (ranges(first), ranges(content)));
    node.add_refill(now, place.dir, place.name(), (store, role), lost);
    Ok(())
}

fn core_serve(node: &mut Node, sys: &mut impl Sys, dir: &Path) -> Result<(), Failure> {
    let place = Place::open(sys, dir, false)?;
    let mut store = open_store(sys, place.dir, "", None, None, Content::File).map_err(|e| {
        if matches!(e, StoreError::Missing) {
            Failure::new(Kind::NotFound, format!("{}: there is no feed here", place.name()))
                .hint("make one with gannet core create")
        } else {
            place.failed(e)
        }
    })?;
    recover(sys, &mut store).map_err(|e| place.failed(e))?;
    let now = sys.now();
    let options = CoreOptions { blocks: Blocks::Follow, show: None };
    node.add_core(now, place.dir, place.name(), store, options);
    Ok(())
}

fn core_fetch(
    node: &mut Node,
    sys: &mut impl Sys,
    link: &Link,
    dir: &Path,
    options: CoreOptions,
) -> Result<(), Failure> {
    let place = Place::open(sys, dir, true)?;
    let mut store = open_or_create(sys, place.dir, "", link).map_err(|e| place.failed(e))?;
    recover(sys, &mut store).map_err(|e| place.failed(e))?;
    let now = sys.now();
    node.add_core(now, place.dir, place.name(), store, options);
    Ok(())
}
