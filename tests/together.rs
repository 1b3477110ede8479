//! Processes that come together by themselves. Two that are told of each other and start at the same
//! instant: one connection is left, each time (CHECKLIST U06, U07; `GANNET_PAIRS=1000 cargo test --test
//! together` for more of them). Ten daemons told of one of them: nobody is outside the bounds.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "interop/processes.rs"]
mod processes;

use std::net::TcpListener;

use serde_json::Value;

use processes::gannet::{Home, listening};
use processes::peer::Peer;
use processes::tools::{Scratch, eventually, str};

/// Ports that the system has just had free.
fn ports() -> [u16; 2] {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

fn peers(home: &Home, dir: &str) -> Option<Vec<Value>> {
    let mut command = home.gannet_quiet(&["peers", dir, "--json"]);
    let answer: Value = serde_json::from_slice(&command.output().ok()?.stdout).ok()?;
    answer.as_array().cloned()
}

/// Both, as soon as they are ready; `None`: somebody else was faster at a port.
fn start(homes: [&Home; 2], key: &str, dirs: [&str; 2]) -> Option<[Peer; 2]> {
    let ports = ports();
    let run = |n: usize| {
        let listen = format!("127.0.0.1:{}", ports[n]);
        let peer = format!("127.0.0.1:{}", ports[1 - n]);
        let more = ["--listen", &listen, "--peer", &peer, "--no-discovery"];
        homes[n].gannet(&[&["seed", key, "--dir", dirs[n]], &more[..]].concat())
    };
    let mut both = [run(0), run(1)];
    both.iter_mut().all(|peer| peer.try_expect("ready").is_some()).then_some(both)
}

#[test]
fn u07_two_that_dial_each_other_at_once_are_left_with_one_connection_each_time() {
    let rounds = std::env::var("GANNET_PAIRS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let (one, other, scratch) = (Home::hyper(), Home::hyper(), Scratch::new());
    let source = scratch.name("source");
    one.core_create(&source);
    one.core_append(&source, b"one block", None);
    let key = one.core_key(&source);
    let dirs = ["one", "other"].map(|name| scratch.dir(name));
    let names = [str(&dirs[0]), str(&dirs[1])];
    let (mut done, mut tries) = (0, 0);
    while done < rounds {
        tries += 1;
        assert!(tries < 2 * rounds + 10, "ports are taken all the time");
        let Some([mut first, mut second]) = start([&one, &other], &key, names) else { continue };
        let counts = || {
            let both = [(&one, names[0]), (&other, names[1])];
            both.map(|(home, dir)| peers(home, dir).map_or(usize::MAX, |peers| peers.len()))
        };
        eventually("one connection", || counts() == [1, 1]);
        first.stop();
        second.stop();
        done += 1;
    }
}

/// A daemon with a home of its own that keeps the core, and its port.
fn daemon(home: &Home, key: &str, dir: &str, known: Option<u16>) -> (Peer, u16) {
    let peers = known.map(|port| format!("peers = [\"127.0.0.1:{port}\"]\n")).unwrap_or_default();
    let kept = match known {
        None => format!("[[core]]\ndir = \"{dir}\"\n"),
        Some(_) => format!("[[seed]]\nlink = \"{key}\"\ndir = \"{dir}\"\n"),
    };
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndiscovery = false\n{peers}\n[limits]\nmin_peers = 3\n\
         target_peers = 4\nmax_peers = 5\n\n{kept}"
    );
    let file = std::path::Path::new(dir).with_extension("toml");
    std::fs::write(&file, text).expect("a file");
    let mut daemon = home.gannet(&["daemon", "--config", str(&file)]);
    let ready = daemon.expect("ready");
    let port = listening(&ready).parse().expect("a port");
    (daemon, port)
}

/// How many peers each daemon has; none where it does not answer.
fn counts(homes: &[Home]) -> Vec<usize> {
    let count = |home: &Home| {
        let mut command = home.gannet_quiet(&["peers", "--json"]);
        let answer: Value = serde_json::from_slice(&command.output().ok()?.stdout).ok()?;
        Some(answer.as_array()?.len())
    };
    homes.iter().map(|home| count(home).unwrap_or(0)).collect()
}

#[test]
fn n07_ten_daemons_told_of_one_settle_within_their_bounds_and_heal() {
    let scratch = Scratch::new();
    let homes: Vec<Home> = (0..10).map(|_| Home::hyper()).collect();
    let source = scratch.name("source");
    homes[0].core_create(&source);
    homes[0].core_append(&source, b"one block", None);
    let key = homes[0].core_key(&source);
    let (first, port) = daemon(&homes[0], &key, str(&source), None);
    let mut daemons = vec![first];
    for (n, home) in homes.iter().enumerate().skip(1) {
        let dir = scratch.dir(&format!("seed {n}"));
        daemons.push(daemon(home, &key, str(&dir), Some(port)).0);
    }
    let mut most = 0;
    let mut settled = |homes: &[Home]| {
        let counts = counts(homes);
        most = most.max(counts.iter().copied().max().unwrap_or(0));
        counts.iter().all(|count| (3..=5).contains(count))
    };
    eventually("three to five peers each", || settled(&homes));
    // Four of them die without a word.
    for mut daemon in daemons.drain(6..) {
        daemon.kill();
    }
    eventually("three to five peers each of those that are left", || settled(&homes[..6]));
    assert!(most <= 5, "somebody had {most} peers");
    daemons.into_iter().for_each(|mut daemon| {
        daemon.stop();
    });
}
