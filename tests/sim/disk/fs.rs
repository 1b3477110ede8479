//! The file system itself: inodes, names, faults, and what a power cut leaves.
//!
//! **What survives a power cut.** *Contents*: what was there at the last `sync_data` or `sync_fs`,
//! and of everything later any mix, down to torn sectors; the length likewise. *Mode and mtime*: any
//! value since `sync_fs`, or since a `sync_data` that also had a new length to write. *Names*: each
//! change of names (create, remove, rename, make or remove a directory) is atomic, a rename included.
//! `sync_dir` makes the changes in that directory durable, `sync_fs` all. Of the others any subset
//! survives that is closed under dependency: a change is lost when an earlier lost one touched the
//! same name, made the directory it happens in, or emptied the directory it removes. In particular a
//! synced file is lost with its unsynced name, and a rename may survive without the contents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use gannet::rng::Rng;
use gannet::store::disk::{Entry, Kind, Meta, Open};
use gannet::sys::{Change, WatchEvent};

use super::Faults;
use super::content::{Content, PAGE, Taste};

pub type Ino = u64;
/// A process and its file number: who holds a lock.
pub type Owner = (u32, u32);

pub const ROOT: Ino = 1;
const UNLIMITED: u64 = 1 << 40;
const LINKS_FOLLOWED: usize = 40;
const WATCH_QUEUE: usize = 1024;

const ENOENT: i32 = 2;
pub const EIO: i32 = 5;
pub const EBADF: i32 = 9;
const EAGAIN: i32 = 11;
const EACCES: i32 = 13;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ENAMETOOLONG: i32 = 36;
const ENOTEMPTY: i32 = 39;
const ELOOP: i32 = 40;

pub fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn fail<T>(code: i32) -> io::Result<T> {
    Err(error(code))
}

/// Operations, for the trace and for counting writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    OpenRoot,
    OpenDir,
    Read,
    Lock,
    Stat,
    List,
    /// This one and those below change something, or make it durable.
    Open,
    Write,
    SetLen,
    SetMeta,
    MakeDir,
    RemoveDir,
    Remove,
    Rename,
    SyncData,
    SyncDir,
    SyncFs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// No symbolic link on the way; the last component may be one and is found itself.
    Never,
    /// Links are followed below the base.
    Beneath,
    /// Links lead anywhere.
    Anywhere,
}

#[derive(Clone, Copy)]
struct Attributes {
    mode: u32,
    mtime_ns: i128,
}

enum Body {
    File(Content),
    Dir(Names),
    Symlink(PathBuf),
    Other,
}

#[derive(Default)]
struct Names {
    live: BTreeMap<OsString, (Ino, u64)>,
    /// Listing order: a scrambled number for each name.
    order: BTreeMap<u64, OsString>,
    durable: BTreeMap<OsString, Ino>,
}

struct Inode {
    body: Body,
    attributes: Attributes,
    /// Empty: durable. Otherwise the durable ones first.
    old_attributes: Vec<Attributes>,
    ctime_ns: i128,
    /// Where its name stands now; `None` once removed.
    home: Option<(Ino, OsString)>,
    opens: u32,
    lock: Option<Owner>,
}

/// One atomic change of names.
struct NameOp {
    /// (directory, name, who has that name afterwards)
    changes: Vec<(Ino, OsString, Option<Ino>)>,
    /// The directory that it removes.
    removed_dir: Option<Ino>,
}

struct Spot {
    parent: Ino,
    /// Empty: the base directory itself.
    name: OsString,
    ino: Option<Ino>,
}

#[derive(Default)]
struct Watcher {
    watches: BTreeMap<u32, Ino>,
    last: u32,
    queue: VecDeque<WatchEvent>,
}

type Act = Box<dyn FnOnce(&mut Fs)>;

pub struct Fs {
    rng: Rng,
    pub faults: Faults,
    pub capacity: u64,
    /// Files cannot have holes made in them.
    pub solid: bool,
    pub now_ns: i128,
    /// Counts restarts of the machine or its process: older handles are dead.
    pub epoch: u32,
    pub next_process: u32,
    pub trace: u64,
    pub writes: u64,
    /// How often somebody waited for the device to keep something.
    pub syncs: u64,
    pub cut_in: Option<u64>,
    pub cut: bool,
    pub no_exchange: bool,
    /// What the user does between two calls, and after how many.
    pub user: Option<(u64, Act)>,
    inodes: BTreeMap<Ino, Inode>,
    last_ino: Ino,
    last_key: u64,
    pending: Vec<NameOp>,
    warm: BTreeSet<(Ino, u64)>,
    waiting: BTreeMap<(Ino, u64), u64>,
    watchers: BTreeMap<u32, Watcher>,
    /// Watchers whose queue was empty before: the system's edge-triggered readiness.
    pub woken: Vec<u32>,
}

impl Fs {
    pub fn new(seed: u64) -> Fs {
        let mut fs = Fs {
            rng: Rng::from_seed(seed ^ 0xd15c),
            faults: Faults::default(),
            capacity: UNLIMITED,
            solid: false,
            now_ns: 1_700_000_000_000_000_000,
            epoch: 0,
            next_process: 0,
            trace: 0,
            writes: 0,
            syncs: 0,
            cut_in: None,
            cut: false,
            no_exchange: false,
            user: None,
            inodes: BTreeMap::new(),
            last_ino: 0,
            last_key: 0,
            pending: Vec::new(),
            warm: BTreeSet::new(),
            waiting: BTreeMap::new(),
            watchers: BTreeMap::new(),
            woken: Vec::new(),
        };
        fs.add(Body::Dir(Names::default()), 0o755);
        fs
    }

    /// Runs one operation: folds it and its result into the trace, and lets the power fail at it.
    pub fn traced<A: Hash, T>(
        &mut self,
        op: Op,
        arguments: A,
        run: impl FnOnce(&mut Fs) -> io::Result<T>,
    ) -> io::Result<T> {
        self.now_ns += 1000;
        self.let_user_act();
        let result = if self.cut {
            fail(EIO)
        } else if op >= Op::Open && self.cut_now() {
            // The last operation may have happened, but nobody learns of it.
            if self.rng.one_in(2) {
                let _ = run(self);
            }
            self.cut = true;
            fail(EIO)
        } else {
            run(self)
        };
        let mut hasher = DefaultHasher::new();
        let code = result.as_ref().err().map_or(0, |e| e.raw_os_error().unwrap_or(-1));
        (self.trace, op, arguments, code).hash(&mut hasher);
        self.trace = hasher.finish();
        result
    }

    fn let_user_act(&mut self) {
        match self.user.take() {
            Some((0, act)) => {
                let faults = std::mem::take(&mut self.faults);
                act(self);
                self.faults = faults;
                self.now_ns += 1000;
            }
            Some((calls, act)) => self.user = Some((calls - 1, act)),
            None => {}
        }
    }

    fn cut_now(&mut self) -> bool {
        self.writes += 1;
        match &mut self.cut_in {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn fault(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.rng.one_in(one_in)
    }

    // ── Inodes and names ────────────────────────────────────────────────────────────────────────

    fn add(&mut self, body: Body, mode: u32) -> Ino {
        self.last_ino += 1;
        let inode = Inode {
            body,
            attributes: Attributes { mode, mtime_ns: self.now_ns },
            old_attributes: Vec::new(),
            ctime_ns: self.now_ns,
            home: None,
            opens: 0,
            lock: None,
        };
        self.inodes.insert(self.last_ino, inode);
        self.last_ino
    }

    fn inode(&self, ino: Ino) -> io::Result<&Inode> {
        self.inodes.get(&ino).ok_or_else(|| error(EBADF))
    }

    fn inode_mut(&mut self, ino: Ino) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or_else(|| error(EBADF))
    }

    fn names(&self, ino: Ino) -> io::Result<&Names> {
        match &self.inode(ino)?.body {
            Body::Dir(names) => Ok(names),
            _ => fail(ENOTDIR),
        }
    }

    fn names_mut(&mut self, ino: Ino) -> io::Result<&mut Names> {
        match &mut self.inode_mut(ino)?.body {
            Body::Dir(names) => Ok(names),
            _ => fail(ENOTDIR),
        }
    }

    fn content_mut(&mut self, ino: Ino) -> io::Result<(&mut Content, &mut Rng)> {
        let inode = self.inodes.get_mut(&ino).ok_or_else(|| error(EBADF))?;
        match &mut inode.body {
            Body::File(content) => Ok((content, &mut self.rng)),
            Body::Dir(_) => fail(EISDIR),
            _ => fail(EINVAL),
        }
    }

    /// Takes `names` for `ino` or from everybody, as one atomic change.
    fn change_names(&mut self, op: NameOp) {
        for (dir, name, after) in &op.changes {
            self.unlink_live(*dir, name);
            if let Some(ino) = after {
                self.link_live(*dir, name, *ino);
            }
        }
        let now = self.now_ns;
        for (dir, ..) in &op.changes {
            if let Some(inode) = self.inodes.get_mut(dir) {
                (inode.ctime_ns, inode.attributes.mtime_ns) = (now, now);
            }
        }
        self.pending.push(op);
    }

    fn link_live(&mut self, dir: Ino, name: &OsStr, ino: Ino) {
        self.last_key += 1;
        let key = self.last_key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
        if let Ok(names) = self.names_mut(dir) {
            names.live.insert(name.to_owned(), (ino, key));
            names.order.insert(key, name.to_owned());
        }
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.home = Some((dir, name.to_owned()));
        }
    }

    fn unlink_live(&mut self, dir: Ino, name: &OsStr) {
        let Ok(names) = self.names_mut(dir) else { return };
        let Some((ino, key)) = names.live.remove(name) else { return };
        names.order.remove(&key);
        if let Some(inode) = self.inodes.get_mut(&ino)
            && inode.home.as_ref().is_some_and(|(d, n)| *d == dir && n == name)
        {
            inode.home = None;
        }
    }

    fn kind(&self, ino: Ino) -> Kind {
        match self.inodes.get(&ino).map(|inode| &inode.body) {
            Some(Body::File(_)) => Kind::File,
            Some(Body::Dir(_)) => Kind::Dir,
            Some(Body::Symlink(_)) => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    fn may_write(&self, dir: Ino) -> io::Result<()> {
        let inode = self.inode(dir)?;
        if inode.home.is_none() && dir != ROOT {
            return fail(ENOENT);
        }
        if inode.attributes.mode & 0o200 == 0 { fail(EACCES) } else { Ok(()) }
    }

    // ── Paths ───────────────────────────────────────────────────────────────────────────────────

    fn resolve(&self, base: Ino, path: &Path, follow: Follow, last: bool) -> io::Result<Spot> {
        let mut todo: VecDeque<OsString> = VecDeque::new();
        push_components(&mut todo, path, follow)?;
        let mut way = vec![base];
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            let here = way[way.len() - 1];
            if name == ".." {
                if way.len() > 1 {
                    way.pop();
                } else if follow != Follow::Anywhere {
                    return fail(EACCES);
                }
                continue;
            }
            if name == "/" {
                way = vec![ROOT];
                continue;
            }
            let found = self.names(here)?.live.get(&name).map(|(ino, _)| *ino);
            let Some(ino) = found else {
                return match todo.is_empty() {
                    true => Ok(Spot { parent: here, name, ino: None }),
                    false => fail(ENOENT),
                };
            };
            match &self.inode(ino)?.body {
                Body::Symlink(target) if !todo.is_empty() || last => {
                    links += 1;
                    match follow {
                        Follow::Never => return fail(EACCES),
                        _ if links > LINKS_FOLLOWED => return fail(ELOOP),
                        Follow::Beneath if target.is_absolute() => return fail(EACCES),
                        _ => {}
                    }
                    let mut front = VecDeque::new();
                    push_components(&mut front, target, Follow::Anywhere)?;
                    front.append(&mut todo);
                    todo = front;
                }
                Body::Dir(_) if !todo.is_empty() => way.push(ino),
                _ if todo.is_empty() => return Ok(Spot { parent: here, name, ino: Some(ino) }),
                _ => return fail(ENOTDIR),
            }
        }
        let ino = way[way.len() - 1];
        Ok(Spot { parent: ino, name: OsString::new(), ino: Some(ino) })
    }

    pub fn lookup(&self, base: Ino, path: &Path, follow: Follow) -> io::Result<Ino> {
        self.resolve(base, path, follow, follow != Follow::Never)?.ino.ok_or_else(|| error(ENOENT))
    }

    /// Where below `base` an inode has its name.
    pub fn path_of(&self, base: Ino, ino: Ino) -> io::Result<PathBuf> {
        let (mut at, mut names) = (ino, Vec::new());
        while at != base {
            let (parent, name) = self.inode(at)?.home.as_ref().ok_or_else(|| error(ENOENT))?;
            names.push(name);
            at = *parent;
        }
        Ok(names.into_iter().rev().collect())
    }

    pub fn open_root(&mut self, path: &Path, create: bool) -> io::Result<Ino> {
        let mut absolute = PathBuf::from("/");
        absolute.push(path);
        if create {
            self.make_dirs(&absolute)?;
        }
        let ino = self.lookup(ROOT, &absolute, Follow::Anywhere)?;
        self.hold_dir(ino)
    }

    pub fn make_dirs(&mut self, absolute: &Path) -> io::Result<Ino> {
        let mut at = PathBuf::from("/");
        for part in absolute.components() {
            at.push(part);
            match self.resolve(ROOT, &at, Follow::Anywhere, true)? {
                Spot { ino: Some(_), .. } => {}
                Spot { parent, name, .. } => {
                    self.may_write(parent)?;
                    self.create(parent, name, Body::Dir(Names::default()), 0o755);
                }
            }
        }
        self.lookup(ROOT, absolute, Follow::Anywhere)
    }

    pub fn open_dir(&mut self, base: Ino, path: &Path) -> io::Result<Ino> {
        let ino = self.lookup(base, path, Follow::Never)?;
        if self.kind(ino) == Kind::Symlink {
            return fail(EACCES);
        }
        self.hold_dir(ino)
    }

    fn hold_dir(&mut self, ino: Ino) -> io::Result<Ino> {
        self.names(ino)?;
        self.inode_mut(ino)?.opens += 1;
        Ok(ino)
    }

    pub fn release(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.opens = inode.opens.saturating_sub(1);
        }
    }

    // ── Files ───────────────────────────────────────────────────────────────────────────────────

    fn create(&mut self, parent: Ino, name: OsString, body: Body, mode: u32) -> Ino {
        let dir = matches!(body, Body::Dir(_));
        let ino = self.add(body, mode);
        let changes = vec![(parent, name.clone(), Some(ino))];
        self.change_names(NameOp { changes, removed_dir: None });
        self.notify(parent, &name, Change::Appeared { dir });
        ino
    }

    pub fn open(&mut self, base: Ino, path: &Path, how: Open) -> io::Result<Ino> {
        let follow = if how == Open::ReadFollow { Follow::Beneath } else { Follow::Never };
        let spot = self.resolve(base, path, follow, follow == Follow::Beneath)?;
        let ino = match spot.ino {
            Some(_) if how == Open::CreateNew => return fail(EEXIST),
            Some(ino) => self.may_open(ino, how)?,
            None if matches!(how, Open::Create | Open::CreateNew) => {
                self.may_write(spot.parent)?;
                if self.fault(self.faults.no_space) {
                    return fail(ENOSPC);
                }
                self.create(spot.parent, spot.name, Body::File(Content::default()), 0o644)
            }
            None => return fail(ENOENT),
        };
        self.inode_mut(ino)?.opens += 1;
        Ok(ino)
    }

    fn may_open(&self, ino: Ino, how: Open) -> io::Result<Ino> {
        let need = if matches!(how, Open::Read | Open::ReadFollow) { 0o400 } else { 0o600 };
        let inode = self.inode(ino)?;
        match &inode.body {
            Body::File(_) if inode.attributes.mode & need != need => fail(EACCES),
            Body::File(_) => Ok(ino),
            Body::Dir(_) => fail(EISDIR),
            Body::Symlink(_) => fail(EACCES),
            Body::Other => fail(EINVAL),
        }
    }

    pub fn close(&mut self, ino: Ino, owner: Owner, wrote: bool) {
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        if inode.lock == Some(owner) {
            inode.lock = None;
        }
        let home = inode.home.clone();
        self.release(ino);
        if let Some((dir, name)) = home
            && wrote
        {
            self.notify(dir, &name, Change::Closed);
        }
    }

    pub fn read(&mut self, ino: Ino, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.fault(self.faults.read_error) {
            return fail(EIO);
        }
        let (content, _) = self.content_mut(ino)?;
        let end = content.len().min(offset.saturating_add(buf.len() as u64));
        if end <= offset {
            return Ok(0);
        }
        let mut len = self.warm_part(ino, offset, end)?;
        if len > 1 && self.fault(self.faults.short) {
            len = self.rng.between(1, len);
        }
        let (content, _) = self.content_mut(ino)?;
        Ok(content.read(offset, &mut buf[..len as usize]))
    }

    /// Asks for all pages of the range, and says how much at its front is there already.
    fn warm_part(&mut self, ino: Ino, offset: u64, end: u64) -> io::Result<u64> {
        if self.faults.cold == 0 {
            return Ok(end - offset);
        }
        let mut ready = None;
        for page in offset / PAGE..end.div_ceil(PAGE) {
            if !self.is_warm((ino, page)) && ready.is_none() {
                ready = Some(page);
            }
        }
        match ready {
            None => Ok(end - offset),
            Some(page) if page * PAGE > offset => Ok(page * PAGE - offset),
            Some(_) => fail(EAGAIN),
        }
    }

    fn is_warm(&mut self, page: (Ino, u64)) -> bool {
        if let Some(left) = self.waiting.get_mut(&page) {
            if *left > 0 {
                *left -= 1;
                return false;
            }
            self.waiting.remove(&page);
            self.warm.insert(page);
            return true;
        }
        if self.warm.contains(&page) && !self.fault(self.faults.cold) {
            return true;
        }
        let tries = self.rng.below(self.faults.cold_tries.max(1));
        self.waiting.insert(page, tries);
        self.warm.remove(&page);
        false
    }

    pub fn evict(&mut self) {
        self.warm.clear();
        self.waiting.clear();
    }

    pub fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if self.fault(self.faults.write_error) {
            return fail(EIO);
        }
        if self.fault(self.faults.no_space) {
            return fail(ENOSPC);
        }
        let mut len = bytes.len() as u64;
        if len > 1 && self.fault(self.faults.short) {
            len = self.rng.between(1, len);
        }
        let room = self.free() / PAGE;
        let (content, rng) = self.content_mut(ino)?;
        while len > 0 && content.missing(offset, len) > room {
            // Up to the page boundary before the end.
            len = ((offset + len - 1) / PAGE * PAGE).saturating_sub(offset);
        }
        if len == 0 && !bytes.is_empty() {
            return fail(ENOSPC);
        }
        content.write(rng, offset, &bytes[..len as usize]);
        for page in offset / PAGE..(offset + len).div_ceil(PAGE) {
            self.warm.insert((ino, page));
            self.waiting.remove(&(ino, page));
        }
        self.changed(ino, Change::Modified);
        Ok(len as usize)
    }

    /// Stamps a file whose content changed and tells the watchers.
    fn changed(&mut self, ino: Ino, what: Change) {
        let now = self.now_ns;
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        inode.ctime_ns = now;
        if what == Change::Modified {
            inode.remember_attributes();
            inode.attributes.mtime_ns = now;
        }
        if let Some((dir, name)) = inode.home.clone() {
            self.notify(dir, &name, what);
        }
    }

    pub fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        if self.fault(self.faults.no_space) {
            return fail(ENOSPC);
        }
        let (content, rng) = self.content_mut(ino)?;
        content.set_len(rng, len);
        self.changed(ino, Change::Modified);
        Ok(())
    }

    pub fn punch(&mut self, ino: Ino, offset: u64, len: u64) -> io::Result<()> {
        let (content, rng) = self.content_mut(ino)?;
        content.punch(rng, offset, len);
        self.changed(ino, Change::Modified);
        Ok(())
    }

    pub fn set_meta(&mut self, ino: Ino, mode: Option<u32>, mtime: Option<i128>) -> io::Result<()> {
        let inode = self.inode_mut(ino)?;
        inode.remember_attributes();
        if let Some(mode) = mode {
            inode.attributes.mode = mode & 0o7777;
        }
        if let Some(mtime) = mtime {
            inode.attributes.mtime_ns = mtime;
        }
        self.changed(ino, Change::Attributes);
        Ok(())
    }

    pub fn meta(&self, ino: Ino) -> io::Result<Meta> {
        let inode = self.inode(ino)?;
        let (kind, size) = match &inode.body {
            Body::File(content) => (Kind::File, content.len()),
            Body::Dir(_) => (Kind::Dir, PAGE),
            Body::Symlink(target) => (Kind::Symlink, target.as_os_str().len() as u64),
            Body::Other => (Kind::Other, 0),
        };
        Ok(Meta {
            kind,
            size,
            mode: inode.attributes.mode,
            mtime_ns: inode.attributes.mtime_ns,
            ctime_ns: inode.ctime_ns,
            inode: ino,
            device: 7,
            uid: 1000,
            gid: 1000,
        })
    }

    pub fn link_target(&self, ino: Ino) -> PathBuf {
        match self.inodes.get(&ino).map(|inode| &inode.body) {
            Some(Body::Symlink(target)) => target.clone(),
            _ => PathBuf::new(),
        }
    }

    pub fn lock(&mut self, ino: Ino, owner: Owner) -> io::Result<()> {
        let inode = self.inode_mut(ino)?;
        match inode.lock {
            Some(holder) if holder != owner => fail(EAGAIN),
            _ => {
                inode.lock = Some(owner);
                Ok(())
            }
        }
    }

    // ── Directories ─────────────────────────────────────────────────────────────────────────────

    pub fn list(
        &self,
        base: Ino,
        path: &Path,
        cursor: u64,
        max: usize,
        out: &mut Vec<Entry>,
    ) -> io::Result<Option<u64>> {
        let ino = self.lookup(base, path, Follow::Never)?;
        if self.kind(ino) == Kind::Symlink {
            return fail(EACCES);
        }
        if self.inode(ino)?.attributes.mode & 0o400 == 0 {
            return fail(EACCES);
        }
        let names = self.names(ino)?;
        let mut next = cursor;
        for (count, (key, name)) in names.order.range(cursor..).enumerate() {
            if count == max {
                return Ok(Some(next));
            }
            let kind = self.kind(names.live[name].0);
            out.push(Entry { name: name.clone(), kind });
            next = key + 1;
        }
        Ok(None)
    }

    pub fn make_dir(&mut self, base: Ino, path: &Path) -> io::Result<Ino> {
        self.make(base, path, Body::Dir(Names::default()), 0o755)
    }

    pub fn make_symlink(&mut self, base: Ino, path: &Path, target: &Path) -> io::Result<Ino> {
        self.make(base, path, Body::Symlink(target.to_owned()), 0o777)
    }

    /// Something that is neither file, directory nor link.
    pub fn make_other(&mut self, base: Ino, path: &Path) -> io::Result<Ino> {
        self.make(base, path, Body::Other, 0o644)
    }

    fn make(&mut self, base: Ino, path: &Path, body: Body, mode: u32) -> io::Result<Ino> {
        let spot = self.resolve(base, path, Follow::Never, false)?;
        if spot.ino.is_some() {
            return fail(EEXIST);
        }
        self.may_write(spot.parent)?;
        if self.fault(self.faults.no_space) {
            return fail(ENOSPC);
        }
        Ok(self.create(spot.parent, spot.name, body, mode))
    }

    pub fn remove_dir(&mut self, base: Ino, path: &Path) -> io::Result<()> {
        let spot = self.existing(base, path)?;
        let ino = spot.ino.unwrap_or(ROOT);
        if !self.names(ino)?.live.is_empty() {
            return fail(ENOTEMPTY);
        }
        self.remove_spot(spot, Some(ino));
        Ok(())
    }

    pub fn remove(&mut self, base: Ino, path: &Path) -> io::Result<()> {
        let spot = self.existing(base, path)?;
        if spot.ino.is_some_and(|ino| self.kind(ino) == Kind::Dir) {
            return fail(EISDIR);
        }
        self.remove_spot(spot, None);
        Ok(())
    }

    fn existing(&self, base: Ino, path: &Path) -> io::Result<Spot> {
        let spot = self.resolve(base, path, Follow::Never, false)?;
        match spot.ino {
            None => fail(ENOENT),
            Some(_) if spot.name.is_empty() => fail(EINVAL),
            Some(_) => self.may_write(spot.parent).map(|()| spot),
        }
    }

    fn remove_spot(&mut self, spot: Spot, removed_dir: Option<Ino>) {
        let changes = vec![(spot.parent, spot.name.clone(), None)];
        self.change_names(NameOp { changes, removed_dir });
        self.notify(spot.parent, &spot.name, Change::Vanished { dir: removed_dir.is_some() });
        if let Some(ino) = removed_dir {
            self.lose_watches(ino);
        }
    }

    pub fn rename(&mut self, base: Ino, from: &Path, to: &Path, keep: bool) -> io::Result<()> {
        let from = self.existing(base, from)?;
        let to = self.resolve(base, to, Follow::Never, false)?;
        self.may_write(to.parent)?;
        let ino = from.ino.unwrap_or(ROOT);
        if to.name.is_empty() || self.is_within(to.parent, ino) {
            return fail(EINVAL);
        }
        let dir = self.kind(ino) == Kind::Dir;
        let mut removed_dir = None;
        match to.ino {
            Some(_) if keep => return fail(EEXIST),
            Some(same) if same == ino => return Ok(()),
            Some(old) => match (dir, self.kind(old) == Kind::Dir) {
                (true, false) => return fail(ENOTDIR),
                (false, true) => return fail(EISDIR),
                (true, true) if !self.names(old)?.live.is_empty() => return fail(ENOTEMPTY),
                (true, true) => removed_dir = Some(old),
                (false, false) => {}
            },
            None => {}
        }
        let changes =
            vec![(from.parent, from.name.clone(), None), (to.parent, to.name.clone(), Some(ino))];
        self.change_names(NameOp { changes, removed_dir });
        self.notify(from.parent, &from.name, Change::Vanished { dir });
        self.notify(to.parent, &to.name, Change::Appeared { dir });
        if dir {
            self.lose_watches(ino);
        }
        Ok(())
    }

    pub fn exchange(&mut self, base: Ino, one: &Path, other: &Path) -> io::Result<()> {
        if self.no_exchange {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (one, other) = (self.existing(base, one)?, self.existing(base, other)?);
        let (Some(first), Some(second)) = (one.ino, other.ino) else { return fail(ENOENT) };
        if self.is_within(one.parent, second) || self.is_within(other.parent, first) {
            return fail(EINVAL);
        }
        let spots = [(one.parent, one.name), (other.parent, other.name)];
        let [(first_dir, first_name), (second_dir, second_name)] = spots.clone();
        let changes =
            vec![(first_dir, first_name, Some(second)), (second_dir, second_name, Some(first))];
        self.change_names(NameOp { changes, removed_dir: None });
        for ((parent, name), ino) in spots.iter().zip([second, first]) {
            let dir = self.kind(ino) == Kind::Dir;
            self.notify(*parent, name, Change::Vanished { dir });
            self.notify(*parent, name, Change::Appeared { dir });
        }
        Ok(())
    }

    /// Whether `dir` is `above` or below it.
    fn is_within(&self, dir: Ino, above: Ino) -> bool {
        let mut at = dir;
        loop {
            if at == above {
                return true;
            }
            match self.inodes.get(&at).and_then(|inode| inode.home.as_ref()) {
                Some((parent, _)) => at = *parent,
                None => return false,
            }
        }
    }

    // ── Durability ──────────────────────────────────────────────────────────────────────────────

    pub fn sync_data(&mut self, ino: Ino) -> io::Result<()> {
        self.syncs += 1;
        if self.fault(self.faults.sync_error) {
            return fail(EIO);
        }
        let inode = self.inode_mut(ino)?;
        if let Body::File(content) = &mut inode.body {
            if content.len_changed() {
                inode.old_attributes.clear();
            }
            content.sync();
        }
        Ok(())
    }

    pub fn sync_dir(&mut self, base: Ino, path: &Path) -> io::Result<()> {
        self.syncs += 1;
        if self.fault(self.faults.sync_error) {
            return fail(EIO);
        }
        let dir = self.lookup(base, path, Follow::Never)?;
        self.names(dir)?;
        let mut names: BTreeSet<(Ino, OsString)> = BTreeSet::new();
        let (mut emptied, mut homes) = (BTreeSet::new(), BTreeSet::new());
        let mut durable = vec![false; self.pending.len()];
        for (number, op) in self.pending.iter().enumerate().rev() {
            durable[number] = op.changes.iter().any(|(at, name, after)| {
                *at == dir
                    || emptied.contains(at)
                    || names.contains(&(*at, name.clone()))
                    || after.is_some_and(|ino| homes.contains(&ino))
            });
            if durable[number] {
                names.extend(op.changes.iter().map(|(at, name, _)| (*at, name.clone())));
                emptied.extend(op.removed_dir);
                if op.changes.len() > 1 {
                    // What moves into a new directory takes that directory's name with it.
                    homes.extend(op.changes.iter().map(|(at, ..)| *at));
                }
            }
        }
        let mut durable = durable.into_iter();
        let (done, left) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|_| durable.next() == Some(true));
        self.pending = left;
        self.make_durable(done);
        self.collect();
        Ok(())
    }

    fn make_durable(&mut self, ops: Vec<NameOp>) {
        for (dir, name, after) in ops.into_iter().flat_map(|op| op.changes) {
            if let Ok(names) = self.names_mut(dir) {
                match after {
                    Some(ino) => names.durable.insert(name, ino),
                    None => names.durable.remove(&name),
                };
            }
        }
    }

    pub fn sync_fs(&mut self) -> io::Result<()> {
        self.syncs += 1;
        if self.fault(self.faults.sync_error) {
            return fail(EIO);
        }
        let all = std::mem::take(&mut self.pending);
        self.make_durable(all);
        for inode in self.inodes.values_mut() {
            inode.old_attributes.clear();
            if let Body::File(content) = &mut inode.body {
                content.sync();
            }
        }
        self.collect();
        Ok(())
    }

    /// The power fails and comes back.
    pub fn crash(&mut self) {
        let kept = self.surviving_ops();
        self.make_durable(kept);
        for inode in self.inodes.values_mut() {
            if let Body::File(content) = &mut inode.body {
                content.crash(&mut self.rng);
            }
            let old = std::mem::take(&mut inode.old_attributes);
            if let Some(pick) = old.get(self.rng.below(old.len() as u64 + 1) as usize) {
                inode.attributes = *pick;
            }
            inode.home = None;
        }
        self.rebuild(ROOT);
        self.restart();
        self.evict();
    }

    /// Locks that are held.
    pub fn locks(&self) -> usize {
        self.inodes.values().filter(|inode| inode.lock.is_some()).count()
    }

    /// Files and directories that are open, each as often as it is.
    pub fn opened(&self) -> u64 {
        self.inodes.values().map(|inode| u64::from(inode.opens)).sum()
    }

    /// The process is gone, the machine runs on: handles, locks and watches end.
    pub fn restart(&mut self) {
        self.epoch += 1;
        (self.cut, self.cut_in) = (false, None);
        self.watchers.clear();
        self.woken.clear();
        for inode in self.inodes.values_mut() {
            (inode.opens, inode.lock) = (0, None);
        }
        self.collect();
    }

    fn surviving_ops(&mut self) -> Vec<NameOp> {
        let taste = Taste::draw(&mut self.rng);
        let mut pending = std::mem::take(&mut self.pending);
        if taste == Taste::Pages {
            // What a journal does: everything up to some moment.
            pending.truncate(self.rng.below(pending.len() as u64 + 1) as usize);
            return pending;
        }
        let mut lost_names: BTreeSet<(Ino, OsString)> = BTreeSet::new();
        let (mut lost_in, mut lost_inos) = (BTreeSet::new(), BTreeSet::new());
        let mut kept = Vec::new();
        for op in pending {
            let lost = op.removed_dir.is_some_and(|dir| lost_in.contains(&dir))
                || op.changes.iter().any(|(dir, name, _)| {
                    lost_inos.contains(dir) || lost_names.contains(&(*dir, name.clone()))
                });
            if !lost && taste.pick(&mut self.rng, 2) == 1 {
                kept.push(op);
                continue;
            }
            for (dir, name, after) in op.changes {
                lost_names.insert((dir, name));
                lost_in.insert(dir);
                lost_inos.extend(after);
            }
        }
        kept
    }

    /// Makes the durable names of a directory and all below it the live ones.
    fn rebuild(&mut self, dir: Ino) {
        let mut todo = vec![dir];
        while let Some(dir) = todo.pop() {
            let Ok(names) = self.names_mut(dir) else { continue };
            names.live.clear();
            names.order.clear();
            for (name, ino) in names.durable.clone() {
                let known = self.inodes.get(&ino).is_some_and(|inode| inode.home.is_none());
                assert!(known, "inode {ino} has no second name");
                self.link_live(dir, &name, ino);
                if self.kind(ino) == Kind::Dir {
                    todo.push(ino);
                }
            }
        }
    }

    /// Forgets inodes that nothing can bring back.
    fn collect(&mut self) {
        let gone = self.inodes.values().filter(|inode| inode.home.is_none()).count();
        if gone < 64 && !self.pending.is_empty() {
            return;
        }
        let mut kept: BTreeSet<Ino> = BTreeSet::from([ROOT]);
        for (ino, inode) in &self.inodes {
            if inode.home.is_some() || inode.opens > 0 {
                kept.insert(*ino);
            }
            if let Body::Dir(names) = &inode.body {
                kept.extend(names.durable.values());
            }
        }
        for op in &self.pending {
            kept.extend(
                op.changes.iter().flat_map(|(dir, _, after)| [Some(*dir), *after]).flatten(),
            );
        }
        self.inodes.retain(|ino, _| kept.contains(ino));
        self.warm.retain(|(ino, _)| kept.contains(ino));
    }

    // ── Space ───────────────────────────────────────────────────────────────────────────────────

    pub fn used(&self) -> u64 {
        let reachable = |inode: &&Inode| inode.home.is_some() || inode.opens > 0;
        self.inodes.values().filter(reachable).map(Inode::used).sum()
    }

    pub fn free(&self) -> u64 {
        if self.capacity == UNLIMITED {
            return UNLIMITED;
        }
        self.capacity.saturating_sub(self.used())
    }

    // ── Watching ────────────────────────────────────────────────────────────────────────────────

    fn notify(&mut self, dir: Ino, name: &OsStr, what: Change) {
        for (number, watcher) in &mut self.watchers {
            let found =
                watcher.watches.iter().find(|(_, ino)| **ino == dir).map(|(watch, _)| *watch);
            if let Some(watch) = found {
                let name = name.to_owned();
                if watcher.push(WatchEvent::Changed { watch, name, what }) {
                    self.woken.push(*number);
                }
            }
        }
    }

    fn lose_watches(&mut self, dir: Ino) {
        for (number, watcher) in &mut self.watchers {
            let lost: Vec<u32> =
                watcher.watches.iter().filter(|(_, ino)| **ino == dir).map(|(w, _)| *w).collect();
            for watch in lost {
                watcher.watches.remove(&watch);
                if watcher.push(WatchEvent::Lost { watch }) {
                    self.woken.push(*number);
                }
            }
        }
    }

    pub fn watch_open(&mut self) -> u32 {
        let number = self.watchers.keys().last().map_or(1, |last| last + 1);
        self.watchers.insert(number, Watcher::default());
        number
    }

    pub fn watch_close(&mut self, watcher: u32) {
        self.watchers.remove(&watcher);
    }

    pub fn watch_add(&mut self, watcher: u32, base: Ino, path: &Path) -> io::Result<u32> {
        let dir = self.lookup(base, path, Follow::Never)?;
        self.names(dir)?;
        let watcher = self.watchers.get_mut(&watcher).ok_or_else(|| error(EBADF))?;
        if let Some((watch, _)) = watcher.watches.iter().find(|(_, ino)| **ino == dir) {
            return Ok(*watch);
        }
        watcher.last += 1;
        watcher.watches.insert(watcher.last, dir);
        Ok(watcher.last)
    }

    pub fn watch_remove(&mut self, watcher: u32, watch: u32) {
        if let Some(watcher) = self.watchers.get_mut(&watcher) {
            watcher.watches.remove(&watch);
        }
    }

    pub fn watch_next(&mut self, watcher: u32) -> io::Result<WatchEvent> {
        let watcher = self.watchers.get_mut(&watcher).ok_or_else(|| error(EBADF))?;
        watcher.queue.pop_front().ok_or_else(|| error(EAGAIN))
    }

    /// Loses the queued events of all watchers, as a full kernel queue does.
    pub fn overflow_watches(&mut self) {
        for (number, watcher) in &mut self.watchers {
            watcher.queue.clear();
            watcher.queue.push_back(WatchEvent::Overflow);
            self.woken.push(*number);
        }
    }
}

impl Watcher {
    /// True if the queue was empty.
    fn push(&mut self, event: WatchEvent) -> bool {
        let first = self.queue.is_empty();
        if self.queue.back() == Some(&event) {
            return false;
        }
        if self.queue.len() >= WATCH_QUEUE {
            if self.queue.back() != Some(&WatchEvent::Overflow) {
                self.queue.push_back(WatchEvent::Overflow);
            }
            return false;
        }
        self.queue.push_back(event);
        first
    }
}

impl Inode {
    fn remember_attributes(&mut self) {
        if self.old_attributes.len() < 4 {
            self.old_attributes.push(self.attributes);
        }
    }

    fn used(&self) -> u64 {
        match &self.body {
            Body::File(content) => content.used(),
            _ => 0,
        }
    }
}

/// The components of `path`, with `/` and `..` only where `follow` lets them lead.
fn push_components(todo: &mut VecDeque<OsString>, path: &Path, follow: Follow) -> io::Result<()> {
    for component in path.components() {
        match component {
            Component::Normal(name) if name.as_bytes().contains(&0) => return fail(EINVAL),
            Component::Normal(name) if name.len() > 255 => return fail(ENAMETOOLONG),
            Component::CurDir => {}
            Component::Normal(name) => todo.push_back(name.to_owned()),
            _ if follow != Follow::Anywhere => return fail(EINVAL),
            Component::ParentDir => todo.push_back("..".into()),
            Component::RootDir | Component::Prefix(_) => todo.push_back("/".into()),
        }
    }
    Ok(())
}
