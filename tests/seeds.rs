//! Many keys seeded under a bound, on a disk of their own that becomes full, by processes that are killed
//! at any moment: it comes up again each time, stays within its bound and serves all that it says it has.
//!
//! `GANNET_SEEDS=1000 cargo test --test seeds -- --nocapture` takes so many keys, and says how it went.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "interop/processes.rs"]
mod processes;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use gannet::crypto::sign::KeyPair;
use gannet::link::{Dialect, Key, Link};
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys, StoreError};
use gannet::sys::linux::disk::LinuxDisk;
use gannet::time;
use serde_json::Value;

use processes::gannet::{Home, listening};
use processes::peer::Peer;
use processes::tools::{Scratch, eventually, noise, str};

const BLOCKS: usize = 64;
const BLOCK: usize = 4096;
/// Bytes of files that a seed has beside its blocks: whole pages, the head of a core in two places.
const BESIDE: usize = 80_000;

/// A small file system in memory, which only processes started inside see.
struct Small {
    /// Keeps it alive.
    holder: Peer,
    user: bool,
    dir: PathBuf,
}

impl Small {
    fn new(dir: PathBuf, bytes: usize) -> Small {
        let user = !rustix::process::geteuid().is_root();
        let mut unshare = Command::new("unshare");
        unshare.arg(if user { "-rm" } else { "-m" });
        let script = format!("mount -t tmpfs -o size={bytes} small \"$0\" && echo up && exec cat");
        unshare.args(["sh", "-c", &script]).arg(&dir);
        let mut holder = Peer::start("unshare (a file system of its own)", unshare);
        holder.expect_line("up");
        Small { holder, user, dir }
    }

    /// A `gannet` with these words that runs inside.
    fn command(&self, home: &Home, words: &[&str]) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.holder.pid().to_string(), "--mount"]);
        if self.user {
            nsenter.args(["--user", "--preserve-credentials"]);
        }
        nsenter.arg("--").arg(env!("CARGO_BIN_EXE_gannet")).arg("--json").args(words);
        home.settle(&mut nsenter);
        nsenter
    }

    /// Where we see it from outside.
    fn outside(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.pid());
        Path::new(&root).join(self.dir.strip_prefix("/").expect("it is absolute"))
    }

    /// Somebody else takes all the room there is.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.outside().join("filler")).expect("a file");
        let piece = vec![1; 4096];
        while file.write_all(&piece).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.outside().join("filler")).expect("it was there");
    }
}

/// Appends to cores and Dat feeds of ours that `gannet seed` will serve, made at first; their links.
fn write(dir: &Path, count: usize, seed: u64) -> Vec<String> {
    let mut disk = LinuxDisk::new();
    let root = disk.open_root(dir, true).expect("a folder");
    let links = (0..count).map(|n| {
        let mut secret = [3; 32];
        secret[..8].copy_from_slice(&(n as u64).to_le_bytes());
        let pair = KeyPair::from_seed(secret);
        let (dialect, keys) = match n % 3 {
            0 => (Dialect::Dat, Keys::dat(pair.public(), Some(pair), true)),
            _ => (Dialect::Hyper, Keys::core_writer(pair, true)),
        };
        let link = Link::new(dialect, Key(keys.public));
        let prefix = format!("{}/metadata.", link.key);
        let store = match disk.make_dir(root, Path::new(&link.key.to_string())) {
            Ok(()) => FeedStore::create(&mut disk, root, &prefix, keys, Content::File),
            Err(_) => {
                patiently(|| FeedStore::open(&mut disk, root, &prefix, None, None, Content::File))
            }
        };
        let mut store = store.expect("a store");
        let bytes = noise(seed ^ n as u64, BLOCKS * BLOCK);
        let blocks: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
        patiently(|| store.append(&mut disk, &blocks)).expect("room");
        store.close(&mut disk, time::Instant(0)).expect("room");
        link.to_string()
    });
    links.collect()
}

fn patiently<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match call() {
            Err(StoreError::NotYet) => {}
            done => return done,
        }
    }
}

fn words<'a>(links: &'a [String], dir: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["seed", "--dir", str(dir), "--no-discovery", "--listen", "127.0.0.1:0"];
    words.extend(more);
    words.extend(links.iter().map(String::as_str));
    words
}

fn status(mut command: Command) -> Option<Value> {
    serde_json::from_slice(&command.output().expect("it runs").stdout).ok()
}

/// Blocks held of each feed.
fn held(status: &Value) -> BTreeMap<String, u64> {
    let feeds = status["feeds"].as_array().expect("feeds").iter();
    let held = feeds.map(|feed| {
        let key = feed["key"].as_str().expect("a key").to_owned();
        (key, feed["have"].as_u64().expect("a number"))
    });
    held.collect()
}

fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn many_seeds_under_a_bound_survive_kills_and_a_full_disk() {
    let count = std::env::var("GANNET_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(110);
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let all = count * BLOCKS * BLOCK;
    // Of three blocks one may be kept at first, and one of six when all is written.
    let bound = (all / 3).max(1 << 20);
    let small = Small::new(scratch.dir("small"), bound + count * BESIDE);
    let kept = small.dir.join("seeds");
    let from = scratch.name("from");
    let links = write(&from, count, 1);
    let mut writer = home.gannet(&words(&links, &from, &[]));
    let mut at = format!("127.0.0.1:{}", listening(&writer.expect("ready")));
    let (most, mut slowest) = (bound.to_string(), Duration::ZERO);
    let mut start = |at: &str| {
        let began = Instant::now();
        let more = ["--peer", at, "--max-storage", &most];
        let command = small.command(&home, &words(&links, &kept, &more));
        let mut seed = Peer::start("gannet seed", command);
        let at = format!("127.0.0.1:{}", listening(&seed.expect("ready")));
        slowest = slowest.max(began.elapsed());
        (seed, at)
    };
    let ask = || status(small.command(&home, &["status", str(&kept)]));
    let mut rng = Rng::from_seed(9);
    let mut kills = 0;
    let mut killed = |seed: Peer, most_ms: u64| {
        thread::sleep(Duration::from_millis(rng.below(most_ms)));
        let mut seed = seed;
        assert!(!seed.has_ended());
        seed.kill();
        kills += 1;
    };
    // While it fetches,
    (0..4).for_each(|_| killed(start(&at).0, 1500));
    // while the disk has no room at all and there is more to fetch,
    writer.stop();
    write(&from, count, 2);
    writer = home.gannet(&words(&links, &from, &[]));
    at = format!("127.0.0.1:{}", listening(&writer.expect("ready")));
    small.fill();
    (0..3).for_each(|_| killed(start(&at).0, 800));
    let (seed, _) = start(&at);
    let said = ask().expect("a full disk keeps nobody from asking");
    let before = held(&said);
    assert!(before.values().any(|have| *have > 0), "nothing came before the disk was full");
    small.make_room();
    killed(seed, 1000);
    // and when there is room again.
    (0..3).for_each(|_| killed(start(&at).0, 1500));
    let (mut seed, address) = start(&at);
    let mut last = Value::Null;
    eventually("all that fits is here", || {
        last = ask().unwrap_or_default();
        let feeds = last["feeds"].as_array().cloned().unwrap_or_default();
        feeds.len() == count
            && last["disk"]["paused"] == ""
            && feeds.iter().all(|feed| {
                let busy = feed["wanted"].as_u64() != Some(0) || feed["in_flight"] != 0;
                !busy && feed["length"] == 2 * BLOCKS as u64
            })
    });
    let used = last["quota"]["used"].as_u64().expect("a number");
    assert!(used <= bound as u64, "{used} of {bound} bytes");
    assert!(used >= bound as u64 / 2, "{used} of {bound} bytes");
    writer.stop();
    let peak = memory_kib(seed.pid());

    // It serves on alone: who knows nobody else gets every block that it says it has.
    let has = held(&last);
    let fresh = scratch.name("fresh");
    let mut reader = home.gannet(&words(&links, &fresh, &["--peer", &address]));
    reader.expect("ready");
    eventually("all that is held is served", || {
        let mut command = home.gannet_quiet(&["--json", "status", str(&fresh)]);
        command.env("NO_COLOR", "1");
        status(command).is_some_and(|status| held(&status) == has)
    });
    reader.stop();
    seed.stop();
    for key in has.keys() {
        home.gannet(&["verify", str(&fresh.join(key))]).succeed();
        let verify = small.command(&home, &["verify", str(&kept.join(key))]);
        Peer::start("gannet verify", verify).succeed();
    }
    println!(
        "{count} seeds of {all} bytes twice under {bound}: killed {kills} times, ready within \
         {slowest:.1?}, {used} bytes of {} blocks held and served, peak of memory {peak} KiB",
        has.values().sum::<u64>()
    );
}
