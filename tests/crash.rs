//! Real processes killed at any moment: what was stored is not fetched again, and in the end every
//! copy is equal.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "interop/processes.rs"]
mod processes;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use gannet::limits;
use gannet::rng::Rng;

use processes::gannet::{Home, listening, ready_key};
use processes::peer::Peer;
use processes::relay::Relay;
use processes::tools::{Scratch, eventually, files, noise, put, str};

/// The last window: what was asked for and not yet stored when a process was killed. Of it, what
/// the server had sent by then has passed the meter.
const WINDOW: u64 = limits::REQUEST_BYTES_IN_FLIGHT;
/// Most of it is never sent in vain: on average this much is.
const AVERAGE: u64 = WINDOW / 4;

/// What became of a run that was killed again and again.
#[derive(Default)]
struct Killed {
    /// (feed, block) told to be stored, by any run.
    stored: BTreeSet<(String, u64)>,
    twice: Vec<(String, u64)>,
    interrupted: u64,
    /// Bytes that the server had said by then.
    fetched: u64,
}

impl Killed {
    /// Starts a run fifty times and kills it within `most` milliseconds.
    fn fifty_times(meter: &Relay, most: u64, mut start: impl FnMut() -> Peer) -> Killed {
        let (mut rng, mut killed) = (Rng::from_seed(3), Killed::default());
        for _ in 0..50 {
            let mut run = start();
            run.expect("ready");
            thread::sleep(Duration::from_millis(rng.below(most)));
            killed.interrupted += u64::from(!run.has_ended());
            for event in run.kill_and_hear("block_stored") {
                let key = event["key"].as_str().expect("a key").to_owned();
                let block = (key, event["index"].as_u64().expect("a block"));
                if !killed.stored.insert(block.clone()) {
                    killed.twice.push(block);
                }
            }
        }
        killed.fetched = meter.bytes();
        killed
    }

    /// What a run has told to be stored, the next one does not fetch; and what was fetched in all
    /// goes beyond `bytes` by what was on its way when a run was killed.
    fn check(&self, bytes: u64, meter: &Relay) {
        let fetched = meter.bytes();
        let stored = self.stored.len();
        println!(
            "{fetched} bytes fetched, {stored} blocks, {} times interrupted",
            self.interrupted
        );
        assert!(self.interrupted > 10, "killed too late: {} times in time", self.interrupted);
        let twice = self.twice.len();
        assert_eq!(twice, 0, "blocks stored twice, the first {:?}", self.twice.first());
        let most = bytes * 101 / 100 + self.interrupted * AVERAGE;
        assert!(fetched <= most, "{fetched} bytes fetched, {most} allowed");
    }
}

#[test]
fn a_clone_killed_fifty_times_fetches_nothing_twice() {
    clone_killed(Home::dat());
}

#[test]
fn hyper_a_clone_killed_fifty_times_fetches_nothing_twice() {
    clone_killed(Home::hyper());
}

fn clone_killed(home: Home) {
    const BYTES: usize = 200_000_000;
    let scratch = Scratch::new();
    let (from, to) = (scratch.dir("from"), scratch.name("to"));
    put(&from, "one.bin", &noise(1, BYTES / 2));
    for n in 0..100u64 {
        put(&from, &format!("many/{n}"), &noise(n, BYTES / 200));
    }
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    share.expect("published");
    let (key, meter) = (ready_key(&ready), Relay::before(&listening(&ready)));
    let through = meter.address();
    let start = || home.clone(&key, &to, &["-vv", "--once", "--peer", &through]);
    let killed = Killed::fifty_times(&meter, 150, start);
    start().succeed();
    assert_eq!(files(&to), files(&from));
    killed.check(BYTES as u64, &meter);
}

#[test]
fn a_seed_killed_fifty_times_fetches_nothing_twice() {
    seed_killed(Home::dat());
}

#[test]
fn hyper_a_seed_killed_fifty_times_fetches_nothing_twice() {
    seed_killed(Home::hyper());
}

fn seed_killed(home: Home) {
    const BYTES: usize = 60_000_000;
    let scratch = Scratch::new();
    let (from, kept) = (scratch.dir("from"), scratch.name("kept"));
    put(&from, "one.bin", &noise(1, BYTES));
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    share.expect("published");
    let (key, meter) = (ready_key(&ready), Relay::before(&listening(&ready)));
    let through = meter.address();
    let start = || home.seed(&key, &kept, &["-vv", "--peer", &through]);
    let killed = Killed::fifty_times(&meter, 60, start);
    let mut seed = start();
    // Who copies from it gets what it has, and waits for the rest.
    let at = format!("127.0.0.1:{}", listening(&seed.expect("ready")));
    let to = scratch.name("to");
    home.clone(&key, &to, &["--once", "--peer", &at]).succeed();
    assert_eq!(files(&to), files(&from));
    seed.stop();
    home.gannet(&["verify", str(&kept.join(&key))]).succeed();
    killed.check(BYTES as u64, &meter);
}

#[test]
fn a_share_killed_while_it_imports_goes_on() {
    import_killed(Home::dat());
}

#[test]
fn hyper_a_share_killed_while_it_imports_goes_on() {
    import_killed(Home::hyper());
}

fn import_killed(home: Home) {
    let scratch = Scratch::new();
    let (from, to) = (scratch.dir("from"), scratch.name("to"));
    for n in 0..300u64 {
        put(&from, &format!("{}/{n}", n % 7), &noise(n, 60_000));
    }
    let mut rng = Rng::from_seed(4);
    let mut key = None;
    for _ in 0..15 {
        let mut share = home.share(&from, &[]);
        let ready = ready_key(&share.expect("ready"));
        assert_eq!(*key.get_or_insert(ready.clone()), ready, "the drive is the same");
        thread::sleep(Duration::from_millis(rng.below(40)));
        share.kill();
    }
    let mut share = home.share(&from, &[]);
    let at = format!("127.0.0.1:{}", listening(&share.expect("ready")));
    let key = key.expect("a key");
    let _clone = home.clone(&key, &to, &["--peer", &at]);
    eventually("the clone", || to.exists() && files(&to) == files(&from));
    share.stop();
    // Every signature and every block holds.
    home.gannet(&["verify", str(&from)]).succeed();
}

#[test]
fn ten_clones_killed_at_random_all_finish() {
    ten_clones_killed(Home::dat());
}

#[test]
fn hyper_ten_clones_killed_at_random_all_finish() {
    ten_clones_killed(Home::hyper());
}

fn ten_clones_killed(home: Home) {
    let scratch = Scratch::new();
    let from = scratch.dir("from");
    put(&from, "big.bin", &noise(1, 12_000_000));
    for n in 0..200u64 {
        put(&from, &format!("many/{n}"), &noise(n, 9000));
    }
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    share.expect("published");
    let (key, seed) = (ready_key(&ready), format!("127.0.0.1:{}", listening(&ready)));
    let folders: Vec<PathBuf> = (0..10).map(|n| scratch.name(&format!("clone {n}"))).collect();
    let mut known = vec![seed];
    let mut start = |folder: &PathBuf| -> Peer {
        let peers: Vec<&str> = known.iter().flat_map(|at| ["--peer", at.as_str()]).collect();
        let mut clone = home.clone(&key, folder, &peers);
        let at = format!("127.0.0.1:{}", listening(&clone.expect("ready")));
        known.push(at);
        known.truncate(4);
        clone
    };
    let mut clones: Vec<Peer> = folders.iter().map(&mut start).collect();
    let mut rng = Rng::from_seed(5);
    for _ in 0..30 {
        let which = rng.below(10) as usize;
        thread::sleep(Duration::from_millis(rng.below(50)));
        clones[which].kill();
        clones[which] = start(&folders[which]);
    }
    let wanted = files(&from);
    for folder in &folders {
        eventually("a clone", || folder.exists() && files(folder) == wanted);
    }
}

#[test]
fn a_relay_with_a_part_of_a_feed_serves_that_part() {
    relay_with_a_part(Home::dat());
}

#[test]
fn hyper_a_relay_with_a_part_of_a_feed_serves_that_part() {
    relay_with_a_part(Home::hyper());
}

fn relay_with_a_part(home: Home) {
    let scratch = Scratch::new();
    let (from, relay, to) = (scratch.name("from"), scratch.name("relay"), scratch.name("to"));
    home.core_create(&from);
    home.core_append(&from, &noise(6, 1_000_000), Some(1000));
    let key = home.core_key(&from);
    let mut serve = home.core_serve(&from, &[]);
    let at = format!("127.0.0.1:{}", listening(&serve.expect("ready")));
    home.core_get_range(&key, &relay, "300..700", &["--peer", &at]).succeed();
    serve.stop();
    let mut serve = home.core_serve(&relay, &[]);
    let at = format!("127.0.0.1:{}", listening(&serve.expect("ready")));
    home.core_get_range(&key, &to, "350..700", &["--peer", &at]).succeed();
}
