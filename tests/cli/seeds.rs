//! One process that keeps hundreds of feeds.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use gannet::crypto::sign::KeyPair;
use gannet::link::{Dialect, Key, Link};
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::sys::linux::disk::LinuxDisk;
use gannet::time::Instant;

use crate::support::{Home, Running};

/// Cores whose files are many more than the descriptors of the processes that keep them.
const CORES: usize = 300;
const DESCRIPTORS: usize = 400;

/// Cores of one block each as seeds in a directory; their links.
fn seeds(dir: &Path, count: usize) -> Vec<String> {
    let mut disk = LinuxDisk::new();
    let root = disk.open_root(dir, true).unwrap();
    let mut links = Vec::new();
    for number in 0..count {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let keys = Keys::core_compat(KeyPair::from_seed(seed), false);
        let link = Link::new(Dialect::Hyper, Key(keys.public));
        disk.make_dir(root, Path::new(&link.key.to_string())).unwrap();
        let prefix = format!("{}/metadata.", link.key);
        let made = FeedStore::create(&mut disk, root, &prefix, keys, Content::File);
        let mut store = made.unwrap();
        store.append(&mut disk, &[&seed]).unwrap();
        store.close(&mut disk, Instant(1)).unwrap();
        links.push(link.to_string());
    }
    links
}

/// `gannet seed` that may have few files open.
fn seed(home: &Home, dir: &str, links: &[String], peer: Option<&str>) -> Running {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_gannet"), "seed", "--dir", dir]);
    command.args(["-vv", "--json", "--listen", "127.0.0.1", "--no-discovery"]).args(links);
    command.args(peer.iter().flat_map(|peer| ["--peer", *peer]));
    command.env_clear().env("HOME", home.path("")).current_dir(home.path(""));
    Running::start(command)
}

#[test]
fn p01_hundreds_of_seeds_need_few_open_files() {
    let home = Home::in_memory();
    let links = seeds(&home.path("theirs"), CORES);
    let server = seed(&home, "theirs", &links, None);
    let ready = server.event("ready");
    let reader = seed(&home, "ours", &links, ready["listen"][0].as_str());
    let mut whole = BTreeSet::new();
    while whole.len() < CORES {
        let event: serde_json::Value = serde_json::from_str(&reader.line()).unwrap();
        assert_ne!(event["event"], "paused", "{event}");
        if event["event"] == "block_stored" {
            whole.insert(event["key"].to_string());
        }
    }
    assert_eq!((reader.stop(), server.stop()), (0, 0));
    // What came is there.
    for link in links.iter().step_by(50) {
        let key = link.parse::<Link>().unwrap().key;
        let seen = home.run(&["verify", &format!("ours/{key}")]);
        assert_eq!(seen.ok(), "1 block checked, all well\n");
    }
}
