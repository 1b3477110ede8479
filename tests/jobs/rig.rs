//! A share and its clones on simulated disks: the whole way from the files of one folder to the
//! files of another, without any network. Blocks go from store to store with their proofs.
#![allow(dead_code)] // Each test target uses another part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gannet::crypto::sign::KeyPair;
use gannet::drive::format::Format;
use gannet::drive::hyper::keys::{content_key, header, manifests};
use gannet::drive::stat::{Index, Stat};
use gannet::feed::hyper::{Ask, Authority, Indexed, Manifest, Upgrade};
use gannet::feed::proof::Accepted;
use gannet::job::history::Listing;
use gannet::job::import::Import;
use gannet::job::mirror::{Mirror, Options};
use gannet::job::{Budget, Cx, Nodes, Output, Step, format_of};
use gannet::rng::Rng;
use gannet::store::disk::{Dir, Disk};
use gannet::store::{
    Content, CoreAccepted, FeedStore, Flavor, Keys, Opening, Progress, StoreError,
};
use gannet::sys::Change;
use gannet::time::{Instant, Wall};

use super::disk::{Device, Item, SimDisk};

pub const SECOND: i128 = 1_000_000_000;
pub const START: i128 = 1_700_000_000 * SECOND;

/// A folder with some of everything that both networks know.
pub fn furnish(device: &Device, rng: &mut Rng) {
    device.write("/share/a.txt", b"hello").unwrap();
    device.write("/share/empty", b"").unwrap();
    device.write("/share/dir/deep/er/file", &bytes(rng, 1000)).unwrap();
    device.write("/share/dir/big", &bytes(rng, 200_000)).unwrap();
    device.write("/share/dir/exact", &bytes(rng, 131_072)).unwrap();
    device.write("/share/ünï/日本語 \u{1f426}.txt", b"names").unwrap();
    device.make_dirs("/share/nothing/in/here").unwrap();
    device.set_mode("/share/dir/big", 0o755).unwrap();
}

/// Calls until it is not "not yet".
pub fn retry<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> T {
    for _ in 0..10_000 {
        match call() {
            Err(StoreError::NotYet) => {}
            result => return result.unwrap(),
        }
    }
    panic!("not yet, for ever");
}

pub fn keys() -> KeyPair {
    KeyPair::from_seed([7; 32])
}

/// Opens a feed, however long the disk takes.
pub fn open(
    disk: &mut SimDisk,
    dir: Dir,
    prefix: &str,
    (key, secret): (Option<[u8; 32]>, Option<KeyPair>),
    content: Content,
) -> Result<FeedStore, StoreError> {
    let mut opening = Opening::new(dir, prefix, key, secret, content);
    let mut store = loop {
        match opening.step(disk) {
            Err(StoreError::NotYet) => {}
            opened => break opened?,
        }
    };
    if content == Content::File {
        while store.recovering() && retry(|| store.recover(disk, None, 1 << 16)) == Progress::More {
        }
    }
    Ok(store)
}

/// A folder that is published.
pub struct Share {
    pub device: Device,
    pub disk: SimDisk,
    pub dir: Dir,
    pub metadata: FeedStore,
    pub content: FeedStore,
    pub import: Import,
    pub now: Instant,
    pub budget: usize,
    /// What came out since `run` was called last.
    pub outputs: Vec<Output>,
    pub watched: BTreeSet<PathBuf>,
}

impl Share {
    /// A Dat drive.
    pub fn new(device: &Device) -> Share {
        Share::create(device, Format::Dat)
    }

    pub fn create(device: &Device, format: Format) -> Share {
        device.make_dirs("/share/.dat").unwrap();
        let mut disk = device.process();
        let dir = disk.open_root(Path::new("/share"), false).unwrap();
        let stores = disk.open_dir(dir, Path::new(".dat")).unwrap();
        let create = |disk: &mut SimDisk, prefix: &str, keys: Keys, content| {
            FeedStore::create(disk, stores, prefix, keys, content).unwrap()
        };
        let (keys, inner, first) = match format {
            Format::Dat => {
                let (pair, inner) = (keys(), keys().content_pair());
                let first = Index { content: inner.public() }.encode();
                let dat = |pair: KeyPair| Keys::dat(pair.public(), Some(pair), false);
                (dat(pair), dat(inner), first)
            }
            Format::Hyper => {
                let (bee, blobs) = manifests(keys().public());
                (core_keys(bee), core_keys(blobs), header())
            }
        };
        let mut metadata = create(&mut disk, "metadata.", keys, Content::File);
        let content = create(&mut disk, "content.", inner, Content::External);
        metadata.append(&mut disk, &[&first]).unwrap();
        metadata.commit(&mut disk, Instant(0)).unwrap();
        Share::with(device, disk, dir, metadata, content)
    }

    pub fn open(device: &Device) -> Share {
        let mut disk = device.process();
        let dir = disk.open_root(Path::new("/share"), false).unwrap();
        let stores = disk.open_dir(dir, Path::new(".dat")).unwrap();
        let pair = (None, Some(keys()));
        let metadata = open(&mut disk, stores, "metadata.", pair, Content::File).unwrap();
        let inner = match format_of(&metadata) {
            Format::Dat => keys().content_pair(),
            Format::Hyper => keys(),
        };
        let keys = (None, Some(inner));
        let content = open(&mut disk, stores, "content.", keys, Content::External).unwrap();
        Share::with(device, disk, dir, metadata, content)
    }

    pub fn with(
        device: &Device,
        disk: SimDisk,
        dir: Dir,
        metadata: FeedStore,
        content: FeedStore,
    ) -> Share {
        Share {
            device: device.clone(),
            disk,
            dir,
            metadata,
            content,
            import: Import::new(true),
            now: Instant(1_000_000),
            budget: 1 << 20,
            outputs: Vec::new(),
            watched: BTreeSet::new(),
        }
    }

    pub fn wall(&self) -> Wall {
        Wall(((START / 1_000_000) as u64 + self.now.0 / 1000) as i64)
    }

    pub fn try_step(&mut self) -> Result<Step, StoreError> {
        self.device.set_time(START + i128::from(self.now.0) * 1000);
        let wall = self.wall();
        let mut cx = Cx {
            disk: &mut self.disk,
            dir: self.dir,
            metadata: &mut self.metadata,
            content: Some(&mut self.content),
            now: self.now,
            wall,
        };
        let mut step = self.import.step(&mut cx, &mut Budget::new(self.budget))?;
        while let Some(output) = self.import.poll_output() {
            if let Output::Watch { path } = output {
                self.import.watched(&path, true);
                self.watched.insert(path);
                // It waited for that alone.
                step = Step::More;
            } else {
                self.outputs.push(output);
            }
        }
        Ok(step)
    }

    /// Until nothing is left to do before something happens, later than `wait` from now.
    pub fn run_for(&mut self, wait: Duration) -> Vec<Output> {
        let end = self.now + wait;
        for _ in 0..1_000_000 {
            let step = self.try_step().unwrap();
            self.now += Duration::from_micros(50);
            if step != Step::Idle {
                continue;
            }
            match self.import.next_deadline() {
                Some(due) if due <= end => self.now = self.now.max(due),
                _ => return std::mem::take(&mut self.outputs),
            }
        }
        panic!("no end");
    }

    pub fn run(&mut self) -> Vec<Output> {
        self.run_for(Duration::from_secs(5))
    }

    pub fn changed(&mut self, path: &str, what: Change) {
        self.import.changed(self.now, Path::new(path), what);
    }

    pub fn version(&self) -> u64 {
        format_of(&self.metadata).version(self.metadata.feed().length())
    }

    pub fn nodes(&mut self) -> Nodes<'_> {
        Nodes { disk: &mut self.disk, metadata: &mut self.metadata }
    }

    /// The newest version's entries.
    pub fn list(&mut self) -> BTreeMap<String, Stat> {
        let mut listing = Listing::new(self.version(), "");
        let mut all = BTreeMap::new();
        while let Some(entry) = retry(|| listing.next(&mut self.nodes())) {
            assert!(all.insert(entry.name, entry.stat.unwrap()).is_none());
        }
        all
    }

    /// A content block as it is served: from the file, checked.
    pub fn serve(&mut self, block: u64) -> Option<Vec<u8>> {
        let (offset, size) = retry(|| self.content.extent(&mut self.disk, block));
        let mut out = Vec::new();
        let (disk, dir) = (&mut self.disk, self.dir);
        let files = self.import.files();
        let found = retry(|| {
            out.clear();
            files.read(disk, dir, &mut self.metadata, block, offset, size, &mut out)
        });
        let right = found && retry(|| self.content.check_leaf(&mut self.disk, block, &out));
        right.then_some(out)
    }

    /// Every block of the newest version can be served, and no other is promised.
    pub fn check_all_served(&mut self) {
        for block in 0..self.content.feed().length() {
            if self.content.feed().has(block) {
                assert!(self.serve(block).is_some(), "block {block} is held and nowhere");
            }
        }
        for (name, stat) in self.list() {
            for block in stat.offset..stat.offset + stat.blocks {
                assert!(self.content.feed().has(block), "{name}: no bit for {block}");
                assert!(self.serve(block).is_some(), "{name}: block {block}");
            }
        }
    }

    /// `kill -9`.
    pub fn kill(self) -> Device {
        self.device
    }
}

/// Where a clone gets its blocks from.
pub trait Origin {
    fn parts(&mut self) -> (&mut SimDisk, &mut FeedStore, &mut FeedStore);
    fn serve(&mut self, block: u64) -> Option<Vec<u8>>;
}

impl Origin for Share {
    fn parts(&mut self) -> (&mut SimDisk, &mut FeedStore, &mut FeedStore) {
        (&mut self.disk, &mut self.metadata, &mut self.content)
    }

    fn serve(&mut self, block: u64) -> Option<Vec<u8>> {
        Share::serve(self, block)
    }
}

/// A folder that follows.
pub struct Copy {
    pub device: Device,
    pub disk: SimDisk,
    pub root: &'static str,
    pub keys: Keys,
    pub dir: Dir,
    pub stores: Dir,
    pub metadata: FeedStore,
    pub content: Option<FeedStore>,
    pub mirror: Mirror,
    pub now: Instant,
    pub budget: usize,
    pub outputs: Vec<Output>,
    /// How often each content block was fetched.
    pub fetched: BTreeMap<u64, u32>,
    /// Blocks fetched since the mirror last had a step: what a kill may lose.
    pub window: u32,
}

impl Copy {
    /// Of a Dat drive.
    pub fn new(device: &Device, options: Options) -> Copy {
        Copy::at(device, "/copy", options)
    }

    pub fn hyper(device: &Device, options: Options) -> Copy {
        let key = manifests(keys().public()).0.key();
        Copy::of(device, "/copy", Keys::core(key), options)
    }

    pub fn at(device: &Device, root: &'static str, options: Options) -> Copy {
        Copy::of(device, root, Keys::dat(keys().public(), None, false), options)
    }

    pub fn of(device: &Device, root: &'static str, keys: Keys, options: Options) -> Copy {
        device.make_dirs(Path::new(root).join(".dat")).unwrap();
        let mut disk = device.process();
        let dir = disk.open_root(Path::new(root), false).unwrap();
        let stores = disk.open_dir(dir, Path::new(".dat")).unwrap();
        let key = Some(keys.public);
        let metadata = match open(&mut disk, stores, "metadata.", (key, None), Content::File) {
            Err(StoreError::Missing) => {
                let file = Content::File;
                FeedStore::create(&mut disk, stores, "metadata.", keys.clone(), file).unwrap()
            }
            opened => opened.unwrap(),
        };
        Copy {
            device: device.clone(),
            disk,
            root,
            keys,
            dir,
            stores,
            metadata,
            content: None,
            mirror: Mirror::new(options),
            now: Instant(1_000_000),
            budget: 1 << 20,
            outputs: Vec::new(),
            fetched: BTreeMap::new(),
            window: 0,
        }
    }

    pub fn open_content(&mut self) {
        if self.content.is_some() || !self.metadata.feed().has(0) {
            return;
        }
        let mut block = Vec::new();
        retry(|| self.metadata.read(&mut self.disk, 0, &mut block));
        let feed = self.metadata.feed();
        let keys = match feed.as_core() {
            None => Keys::dat(Index::decode(&block).unwrap().content, None, false),
            Some(core) => {
                let manifest = core.authority.as_ref().and_then(Authority::manifest);
                Keys::core(content_key(feed.key(), manifest, Some(&block)).unwrap().unwrap())
            }
        };
        let (key, external) = (Some(keys.public), Content::External);
        let opened = open(&mut self.disk, self.stores, "content.", (key, None), external);
        self.content = Some(match opened {
            Err(StoreError::Missing) => {
                FeedStore::create(&mut self.disk, self.stores, "content.", keys, external).unwrap()
            }
            opened => opened.unwrap(),
        });
    }

    /// Fetches all metadata.
    pub fn pull(&mut self, share: &mut impl Origin) {
        let (share, metadata, _) = share.parts();
        for index in 0..metadata.feed().length() {
            if self.metadata.feed().has(index) {
                continue;
            }
            let mut value = Vec::new();
            retry(|| {
                value.clear();
                metadata.read(share, index, &mut value)
            });
            let sender = (&mut *share, &mut *metadata);
            let receiver = (&mut self.disk, &mut self.metadata);
            let proven = prove(sender, receiver, index, &value).unwrap();
            retry(|| proven.accept(&mut self.disk, &mut self.metadata, &value));
        }
        self.open_content();
    }

    pub fn cx(&mut self) -> (Cx<'_>, &mut Mirror) {
        self.device.set_time(START + i128::from(self.now.0) * 1000);
        let cx = Cx {
            disk: &mut self.disk,
            dir: self.dir,
            metadata: &mut self.metadata,
            content: self.content.as_mut(),
            now: self.now,
            wall: Wall(0),
        };
        (cx, &mut self.mirror)
    }

    pub fn try_step(&mut self) -> Result<Step, StoreError> {
        let mut budget = Budget::new(self.budget);
        let (mut cx, mirror) = self.cx();
        let step = mirror.step(&mut cx, &mut budget)?;
        if matches!(step, Step::Idle | Step::More) {
            self.window = 0;
        }
        while let Some(output) = self.mirror.poll_output() {
            self.outputs.push(output);
        }
        Ok(step)
    }

    /// Steps until the mirror has nothing to do by itself.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        for _ in 0..200_000 {
            let step = self.try_step()?;
            self.now += Duration::from_micros(100);
            match step {
                Step::Idle => match self.mirror.next_deadline() {
                    Some(due) => self.now = self.now.max(due),
                    None => return Ok(()),
                },
                Step::Full => return Err(StoreError::Full),
                Step::More | Step::Waiting => {}
            }
        }
        panic!("no end: {:?}", self.outputs.iter().rev().take(5).collect::<Vec<_>>());
    }

    /// The wanted blocks that are not here.
    pub fn missing(&self) -> Vec<u64> {
        let Some(content) = &self.content else { return Vec::new() };
        let all = self.mirror.wanted().iter().flat_map(|(start, len)| start..start + len);
        all.filter(|&b| !content.feed().has(b)).collect()
    }

    /// Fetches one content block. `false`: the share does not have it, or it is not needed.
    pub fn fetch(&mut self, share: &mut impl Origin, block: u64) -> Result<bool, StoreError> {
        let Some(value) = share.serve(block) else { return Ok(false) };
        let receiver = (&mut self.disk, self.content.as_mut().unwrap());
        let (share, _, content) = share.parts();
        let proven = prove((share, content), receiver, block, &value)?;
        loop {
            let (mut cx, mirror) = self.cx();
            match mirror.place(&mut cx, block, proven.offset(), &value) {
                Err(StoreError::NotYet) => {}
                Ok(true) => break,
                Ok(false) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        loop {
            let content = self.content.as_mut().unwrap();
            match proven.accept(&mut self.disk, content, &value) {
                Err(StoreError::NotYet) => {}
                result => {
                    result?;
                    break;
                }
            }
        }
        *self.fetched.entry(block).or_default() += 1;
        self.window += 1;
        self.mirror.stored(self.now, block);
        Ok(true)
    }

    /// A content block as it is served: from its file, checked.
    pub fn read(&mut self, block: u64) -> Option<Vec<u8>> {
        let content = self.content.as_mut().unwrap();
        let (offset, size) = retry(|| content.extent(&mut self.disk, block));
        let mut out = Vec::new();
        let (disk, dir, files) = (&mut self.disk, self.dir, self.mirror.files());
        let found = retry(|| {
            out.clear();
            files.read(disk, dir, &mut self.metadata, block, offset, size, &mut out)
        });
        let right = found && retry(|| content.check_leaf(&mut self.disk, block, &out));
        right.then_some(out)
    }

    /// Everything that there is, in an order drawn from `rng`; at most `max` blocks.
    pub fn sync(
        &mut self,
        share: &mut impl Origin,
        rng: &mut Rng,
        max: usize,
    ) -> Result<(), StoreError> {
        self.pull(share);
        let mut left = max;
        loop {
            self.settle()?;
            let mut missing = self.missing();
            rng.shuffle(&mut missing);
            let before = left;
            for block in missing {
                if left == 0 {
                    return Ok(());
                }
                if self.fetch(share, block)? {
                    left -= 1;
                }
                if rng.one_in(4) {
                    self.try_step()?;
                }
            }
            if before == left {
                return Ok(());
            }
        }
    }

    pub fn all(&mut self, share: &mut impl Origin) -> Vec<Output> {
        self.sync(share, &mut Rng::from_seed(1), usize::MAX).unwrap();
        std::mem::take(&mut self.outputs)
    }

    pub fn reopen(self, options: Options) -> Copy {
        let (device, root, keys) = (self.device.clone(), self.root, self.keys.clone());
        drop(self);
        Copy::of(&device, root, keys, options)
    }

    pub fn close(mut self) -> Device {
        loop {
            let (mut cx, mirror) = self.cx();
            match mirror.close(&mut cx) {
                Err(StoreError::NotYet) => {}
                result => break result.unwrap(),
            }
        }
        retry(|| self.metadata.commit(&mut self.disk, self.now));
        self.metadata.close(&mut self.disk, self.now).unwrap();
        if let Some(content) = self.content {
            content.close(&mut self.disk, self.now).unwrap();
        }
        self.device
    }

    pub fn nodes(&mut self) -> Nodes<'_> {
        Nodes { disk: &mut self.disk, metadata: &mut self.metadata }
    }
}

/// A block that one store has proven to another, in the way of their dialect.
pub enum Proven {
    Dat(Accepted),
    Core(Box<CoreAccepted>),
}

impl Proven {
    pub fn offset(&self) -> u64 {
        match self {
            Proven::Dat(accepted) => accepted.offset,
            Proven::Core(accepted) => accepted.block.unwrap().offset,
        }
    }

    pub fn accept(
        &self,
        disk: &mut SimDisk,
        store: &mut FeedStore,
        value: &[u8],
    ) -> Result<(), StoreError> {
        match self {
            Proven::Dat(accepted) => store.accept(disk, accepted, Some(value)).map(drop),
            Proven::Core(accepted) => store.accept_core(disk, accepted, Some(value)).map(drop),
        }
    }
}

fn patient<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match call() {
            Err(StoreError::NotYet) => {}
            result => return result,
        }
    }
}

pub fn prove(
    (from_disk, from): (&mut SimDisk, &mut FeedStore),
    (disk, to): (&mut SimDisk, &mut FeedStore),
    block: u64,
    value: &[u8],
) -> Result<Proven, StoreError> {
    if to.feed().as_core().is_none() {
        let digest = to.feed().digest(block);
        let proof = retry(|| from.proof(from_disk, block, digest, false));
        let signature = proof.signature.as_ref();
        let check = || to.check(disk, block, Some(value), &proof.nodes, signature);
        return patient(check).map(Proven::Dat);
    }
    let (start, length) = (to.feed().length(), from.feed().length());
    let upgrade = (start < length).then(|| Upgrade { start, length: length - start });
    let block = Some(Indexed { index: block, nodes: to.feed().levels(block) });
    let ask = Ask { block, upgrade, ..Ask::default() };
    let proof = retry(|| from.prove(from_disk, &ask));
    let (fork, manifest) = (from.feed().fork_id(), from.manifest());
    let check = || to.check_core(disk, fork, &proof, manifest.as_deref(), Some(value));
    patient(check).map(|accepted| Proven::Core(Box::new(accepted)))
}

fn core_keys(manifest: Manifest) -> Keys {
    let (public, secret) = (manifest.key(), Some(keys()));
    Keys { public, secret, keep_secret: false, flavor: Flavor::Core(Some(manifest)) }
}

/// What a clone makes equal: files with mode and time (in milliseconds), links as what they lead
/// to, and directories.
pub fn folder(device: &Device, root: &str) -> BTreeMap<PathBuf, Item> {
    let mut tree = device.tree(root);
    tree.retain(|path, _| !path.starts_with(".dat"));
    for (path, item) in &mut tree {
        match item {
            Item::File { mtime_ns, .. } => *mtime_ns -= *mtime_ns % 1_000_000,
            Item::Dir { mode } => *mode = 0,
            Item::Symlink(_) => {
                if let Ok(bytes) = device.read(Path::new(root).join(path)) {
                    *item = Item::File { bytes, mode: 0, mtime_ns: 0 };
                }
            }
            Item::Other => {}
        }
    }
    tree
}

/// The same of a hyperdrive, which knows whether a file can be executed, links, and no directories.
pub fn hyper_folder(device: &Device, root: &str) -> BTreeMap<PathBuf, Item> {
    let mut tree = device.tree(root);
    tree.retain(|path, item| !path.starts_with(".dat") && !matches!(item, Item::Dir { .. }));
    for item in tree.values_mut() {
        if let Item::File { mode, mtime_ns, .. } = item {
            (*mode, *mtime_ns) = (u32::from(*mode & 0o111 != 0), 0);
        }
    }
    tree
}

#[track_caller]
pub fn assert_equal(share: &Share, copy: &Copy) {
    let look = match format_of(&share.metadata) {
        Format::Dat => folder,
        Format::Hyper => hyper_folder,
    };
    assert_eq!(look(&copy.device, copy.root), look(&share.device, "/share"));
}

pub fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

pub fn complete(outputs: &[Output]) -> Option<(u64, u64, u64)> {
    outputs.iter().rev().find_map(|o| match o {
        Output::Complete { version, files, bytes } => Some((*version, *files, *bytes)),
        _ => None,
    })
}

pub fn has(outputs: &[Output], test: impl Fn(&Output) -> bool) -> Option<&Output> {
    outputs.iter().find(|o| test(o))
}
