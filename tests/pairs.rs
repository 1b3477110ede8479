//! Two processes that are told of each other and start at the same instant: one connection is left, each
//! time (CHECKLIST U06, U07). `GANNET_PAIRS=1000 cargo test --test pairs` for more of them.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "interop/processes.rs"]
mod processes;

use std::net::TcpListener;

use serde_json::Value;

use processes::gannet::Home;
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
    answer["peers"].as_array().cloned()
}

/// Both, as soon as they are ready; `None`: somebody else was faster at a port.
fn start(homes: [&Home; 2], key: &str, dirs: [&str; 2]) -> Option<[Peer; 2]> {
    let ports = ports();
    let run = |n: usize| {
        let listen = format!("127.0.0.1:{}", ports[n]);
        let peer = format!("127.0.0.1:{}", ports[1 - n]);
        let more = ["--listen", &listen, "--peer", &peer, "--no-discovery"];
        homes[n].gannet(&[&["seed", key, "--dir", dirs[n], "--json"], &more[..]].concat())
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
