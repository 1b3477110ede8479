//! A folder shared, cloned, kept and passed on, while its users work in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gannet::daemon::config::Run;
use gannet::link::{Dialect, Key, Link};
use gannet::rng::Rng;

use crate::disk::{Device, Item};
use crate::swarm::Swarm;
use crate::world::SECOND;

const SHARED: &str = "/w";
const COPY: &str = "/c";
/// Few names, so that everything happens to the same files.
const NAMES: [&str; 9] = ["a", "b.txt", "d/c", "d/e/f", "d/e/g", "h", "ü ñ/x", "z/1", "z/2"];

/// What a copy says of itself when what it lacks is nowhere.
const VAIN: &str = "waiting: no connected peer has the rest";

type Tree = BTreeMap<PathBuf, Item>;

/// A folder with a user in front of it.
#[derive(Default)]
struct User {
    /// Paths that they changed themselves.
    touched: BTreeSet<PathBuf>,
    /// What they wrote and did not replace, by path.
    wrote: BTreeMap<PathBuf, Vec<u8>>,
}

struct Drive {
    dialect: Dialect,
    swarm: Swarm,
    /// The shared folder as its user left it.
    shared: Tree,
    /// The users of the copies, by post.
    users: BTreeMap<usize, User>,
    texts: u64,
    /// Power cuts of the share that its user knows of.
    cuts: u32,
}

pub fn run(seed: u64) -> u64 {
    share(seed, Dialect::Dat)
}

/// The same with a drive of the Hypercore network.
pub fn run_hyper(seed: u64) -> u64 {
    share(seed, Dialect::Hyper)
}

/// A clone that ends by itself when it has everything, whatever the share does meanwhile.
pub fn run_once(seed: u64) -> u64 {
    let mut drive = Drive::new(seed, if seed % 8 < 4 { Dialect::Hyper } else { Dialect::Dat });
    drive.swarm.calm_down();
    let key = drive.publish();
    let link = Link::new(drive.dialect, key);
    let stores = format!("{COPY}/.dat");
    let feeds = vec![(stores.clone(), "metadata.", true), (stores, "content.", false)];
    let run = Run::Clone { link, dir: COPY.into(), once: true, only: Vec::new() };
    let copy = drive.swarm.add(run, feeds);
    drive.swarm.posts[copy].ends = true;
    drive.swarm.introduce();
    let pause = drive.swarm.rng.below(SECOND);
    drive.swarm.run(pause, |_| false);
    if drive.swarm.rng.one_in(2) {
        // It does not hear that the other leaves.
        let share = drive.swarm.posts[0].machine;
        drive.swarm.world.freeze(share, 20 * SECOND);
    }
    // (Some lines bring less than a kilobyte a second.)
    let ended = drive.swarm.run(1800 * SECOND, |swarm| swarm.posts[copy].ended.is_some());
    assert!(ended, "it does not end");
    let (_, code, failure) = drive.swarm.posts[copy].ended.take().expect("it has ended");
    assert_eq!((code, failure), (0, None));
    drive.users.insert(copy, User::default());
    assert_eq!(drive.unlike(), None);
    drive.swarm.world.trace()
}

fn share(seed: u64, dialect: Dialect) -> u64 {
    let mut drive = Drive::new(seed, dialect);
    let key = drive.publish();
    for _ in 0..drive.swarm.rng.between(1, 3) {
        drive.add_follower(key);
    }
    drive.swarm.introduce();
    if drive.swarm.rng.one_in(4) {
        drive.swarm.add_hostile(&Link::new(dialect, key));
    }
    for _ in 0..drive.swarm.rng.between(0, 12) {
        let span = drive.swarm.rng.below(4 * SECOND);
        drive.run(span);
        drive.swarm.accident();
        if drive.swarm.rng.one_in(2) {
            drive.edit_shared();
        }
        if drive.swarm.rng.one_in(4) {
            drive.edit_copy();
        }
    }
    drive.swarm.calm_down();
    drive.settle();
    drive.swarm.check_idle();
    drive.check_users();
    drive.swarm.check_stop();
    drive.swarm.world.trace()
}

impl Drive {
    fn new(seed: u64, dialect: Dialect) -> Drive {
        Drive {
            dialect,
            swarm: Swarm::new(seed),
            shared: Tree::new(),
            users: BTreeMap::new(),
            texts: 0,
            cuts: 0,
        }
    }

    fn device(&self, post: usize) -> Device {
        self.swarm.world.device(self.swarm.posts[post].machine)
    }

    /// The first run of the share, in fair weather: the others need its link.
    fn publish(&mut self) -> Key {
        let stores = format!("{SHARED}/.dat");
        let feeds = vec![(stores.clone(), "metadata.", true), (stores.clone(), "content.", false)];
        self.swarm.add(Run::Share { dir: SHARED.into(), dat: self.dialect == Dialect::Dat }, feeds);
        self.device(0).make_dirs(SHARED).expect("the disk is empty");
        for _ in 0..self.swarm.rng.below(8) {
            self.edit_shared();
        }
        self.swarm.run(SECOND, |_| false);
        let key = self.device(0).read(format!("{stores}/metadata.key")).expect("it has a key");
        // Its store and secret key are as durable as its user's patience.
        self.device(0).sync();
        self.swarm.world.kill(self.swarm.posts[0].machine);
        self.swarm.posts[0].down_until = Some(0);
        Key(key.try_into().expect("32 bytes"))
    }

    fn add_follower(&mut self, key: Key) {
        let link = Link::new(self.dialect, key);
        if self.swarm.rng.one_in(4) {
            let dir = format!("/seed/{key}");
            let feeds = vec![(dir.clone(), "metadata.", true), (dir, "content.", true)];
            self.swarm.add(
                Run::Seed { links: vec![link], dir: "/seed".into(), max_storage: None },
                feeds,
            );
            return;
        }
        let stores = format!("{COPY}/.dat");
        let feeds = vec![(stores.clone(), "metadata.", true), (stores, "content.", false)];
        let run = Run::Clone { link, dir: COPY.into(), once: false, only: Vec::new() };
        let post = self.swarm.add(run, feeds);
        self.users.insert(post, User::default());
    }

    fn run(&mut self, span: u64) {
        let end = self.swarm.world.now() + span;
        while self.swarm.world.now() < end {
            let left = end - self.swarm.world.now();
            self.swarm.run(left.min(SECOND / 2), |_| false);
            self.check_users();
        }
    }

    // ── What users do ───────────────────────────────────────────────────────────────────────────

    /// Bytes that exist nowhere else.
    fn text(&mut self) -> Vec<u8> {
        self.texts += 1;
        let size = [0, 20, 300, 5000, 70_000, 150_000][self.swarm.rng.below(6) as usize];
        let mut text = format!("text {} of the user\n", self.texts).into_bytes();
        let extra = self.swarm.rng.between(0, size) as usize;
        let start = text.len();
        text.resize(start + extra, 0);
        self.swarm.rng.fill(&mut text[start..]);
        text
    }

    fn edit_shared(&mut self) {
        let device = self.device(0);
        let path = Path::new(SHARED).join(draw(&mut self.swarm.rng));
        let other = Path::new(SHARED).join(draw(&mut self.swarm.rng));
        let text = self.text();
        let draw = self.swarm.rng.below(10);
        self.swarm.say(&format!("user edit {draw} of {}", path.display()));
        // What cannot be done (a file in place of a directory, …) is not done.
        let _ = match draw {
            0..=4 => device.write(&path, &text),
            5 => device.append(&path, b"more"),
            6 => device.remove(&path),
            7 => device.rename(&path, &other),
            8 => device.write(&path, b""),
            _ => {
                let mode = 0o400 | self.swarm.rng.below(0o400) as u32;
                device.set_mode(&path, mode | 0o600)
            }
        };
        // The kernel writes it back when it likes, unless the user waits for that.
        if self.swarm.rng.one_in(2) {
            device.sync();
        }
        self.shared = tree_of(&device, SHARED);
    }

    fn edit_copy(&mut self) {
        let posts: Vec<usize> = self.users.keys().copied().collect();
        if posts.is_empty() {
            return;
        }
        let post = posts[self.swarm.rng.below(posts.len() as u64) as usize];
        let device = self.device(post);
        let name = PathBuf::from(draw(&mut self.swarm.rng));
        let path = Path::new(COPY).join(&name);
        let text = self.text();
        let delete = self.swarm.rng.one_in(6);
        self.swarm.say(&format!("user of {post} changes {}", path.display()));
        let done = if delete { device.remove(&path) } else { device.write(&path, &text) };
        device.sync();
        let Some(user) = self.users.get_mut(&post) else { return };
        user.touched.insert(name.clone());
        if done.is_ok() || !delete {
            // What stood there is gone, even if the disk had no room for all of the new.
            user.wrote.remove(&name);
        }
        if done.is_ok() && !delete {
            user.wrote.insert(name, text);
        }
    }

    // ── What must hold ──────────────────────────────────────────────────────────────────────────

    /// Nothing of a user's was changed or lost.
    fn check_users(&mut self) {
        let shared = tree_of(&self.device(0), SHARED);
        let cuts = self.swarm.posts[0].cuts;
        if std::mem::replace(&mut self.cuts, cuts) != cuts {
            // What was not synced may be lost; what is there now is what there is to share.
            self.shared = shared.clone();
        }
        if shared != self.shared {
            panic!("the share changed its folder: {}", difference(&self.shared, &shared));
        }
        for (post, user) in &self.users {
            let device = self.device(*post);
            let copy = tree_of(&device, COPY);
            for (path, text) in &user.wrote {
                let found = copy
                    .values()
                    .any(|item| matches!(item, Item::File { bytes, .. } if bytes == text));
                assert!(found, "what the user of {post} wrote to {} is lost", path.display());
            }
            let outside: Vec<PathBuf> = device.tree("/").into_keys().collect();
            let roots = ["c", "home", "run"];
            let astray = outside.iter().find(|path| !roots.iter().any(|r| path.starts_with(r)));
            assert!(astray.is_none(), "post {post} wrote outside its folder: {astray:?}");
        }
    }

    /// Runs until every copy is what is shared.
    fn settle(&mut self) {
        for _ in 0..900 {
            self.swarm.run(SECOND, |_| false);
            self.check_users();
            if self.unlike().is_none() {
                return;
            }
        }
        let states: Vec<String> = (0..self.swarm.posts.len())
            .map(|post| format!("{post}: {:?}", self.swarm.status(post)))
            .collect();
        panic!("{}\n{}", self.unlike().unwrap_or_default(), states.join("\n"));
    }

    /// Paths whose content `post` may wait for in vain: where nobody is found but by name, a block
    /// comes only through those on the way to the share, and who changes a copied file has its
    /// blocks no more.
    fn overwritten_on_the_way(&self, post: usize) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        if self.swarm.posts[post].discovery {
            return paths;
        }
        let mut at = post;
        while let Some(next) = self.named_by(at) {
            paths.extend(self.users.get(&next).into_iter().flat_map(|user| user.touched.clone()));
            at = next;
        }
        paths
    }

    /// The honest post whose address the user of `post` names, if any.
    fn named_by(&self, post: usize) -> Option<usize> {
        let names = &self.swarm.posts[post].peers;
        (0..post).find(|other| names.contains(&Swarm::address(self.swarm.posts[*other].machine)))
    }

    /// What a drive's records can say of a file.
    fn as_drive(&self, item: Item) -> Item {
        match item {
            Item::File { bytes, mode, mtime_ns } if self.dialect == Dialect::Dat => {
                Item::File { bytes, mode, mtime_ns: mtime_ns.div_euclid(1_000_000) }
            }
            // Whether it can be executed.
            Item::File { bytes, mode, .. } => {
                Item::File { bytes, mode: u32::from(mode & 0o111 != 0), mtime_ns: 0 }
            }
            other => other,
        }
    }

    /// How some copy differs from the shared folder.
    fn unlike(&self) -> Option<String> {
        let keeps = 1..self.swarm.posts.len();
        let length = |post| Some(self.swarm.status(post)?.feeds.first()?.have);
        for post in keeps.filter(|post| !self.users.contains_key(post)) {
            if length(post) != length(0) {
                return Some(format!("{post} has not all metadata"));
            }
        }
        for (post, user) in &self.users {
            let theirs = |path: &Path| {
                user.touched.iter().any(|own| path.starts_with(own) || own.starts_with(path))
                    || path.to_string_lossy().contains(".kept-")
            };
            let only_files = |tree: Tree| -> Tree {
                let files = tree.into_iter().filter(|(_, item)| matches!(item, Item::File { .. }));
                files
                    .filter(|(path, _)| !theirs(path))
                    .map(|(path, item)| (path, self.as_drive(item)))
                    .collect()
            };
            let shared = only_files(self.shared.clone());
            let copy = only_files(tree_of(&self.device(*post), COPY));
            if shared == copy {
                continue;
            }
            let overwritten = self.overwritten_on_the_way(*post);
            let differing =
                shared.keys().chain(copy.keys()).filter(|p| shared.get(*p) != copy.get(*p));
            let status = self.swarm.status(*post);
            let said = status.is_some_and(|s| s.drives.iter().any(|d| d.state == VAIN));
            if !said || !differing.clone().all(|path| overwritten.contains(path)) {
                return Some(format!("the copy of {post} differs: {}", difference(&shared, &copy)));
            }
        }
        None
    }
}

fn draw(rng: &mut Rng) -> &'static str {
    NAMES[rng.below(NAMES.len() as u64) as usize]
}

/// A folder without gannet's own directory.
fn tree_of(device: &Device, root: &str) -> Tree {
    let mut tree = device.tree(root);
    tree.retain(|path, _| !path.starts_with(".dat"));
    tree
}

fn difference(wanted: &Tree, found: &Tree) -> String {
    let paths: BTreeSet<&PathBuf> = wanted.keys().chain(found.keys()).collect();
    let mut text = String::new();
    for path in paths {
        let (want, got) = (wanted.get(path), found.get(path));
        if want != got {
            text += &format!("\n  {}: wanted {want:?}, found {got:?}", path.display());
        }
    }
    text
}
