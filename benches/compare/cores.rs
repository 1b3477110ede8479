//! Cores of Hypercore 11.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::gannet::{Home, listening};
use crate::hub::Hub;
use crate::peer::Peer;
use crate::tools::{Scratch, noise, text};
use crate::{
    Gannet, MEGA, Node, Options, Run, Served, compare, cpu, finished, peak_mb, with_serving,
};

/// Appended at once, so that the writer's memory says something.
const BATCH_BYTES: usize = 8 << 20;

/// A core on disk, written by either program.
pub fn core(options: &Options, blocks: usize, size: usize) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let stores = [scratch.name("gannet's"), scratch.name("node's")];
    home.core_create(&stores[0]);
    home.core_append(&stores[0], &noise(1, blocks * size), Some(size));
    let mut writer = Hub::in_store(&stores[1]);
    let key = text(&writer.create("a", false, 0, 0), "key").to_owned();
    let batch = BATCH_BYTES / size;
    for from in (0..blocks).step_by(batch) {
        writer.append("a", batch.min(blocks - from) as u64, size as u64);
    }
    drop(writer);
    let (unit, amount) = match size {
        0..1000 => ("blocks/s", blocks as f64),
        _ => ("MB/s", (blocks * size) as f64 / MEGA),
    };
    compare(options, unit, amount, |from, to| {
        let (serving, at) = match from {
            Gannet => serve_gannet(&home, &stores[0]),
            Node => serve_node(&stores[1], &key),
        };
        let before = cpu(&serving);
        let copy = scratch.name("copy");
        let run = match to {
            Gannet => fetch_gannet(&home, &at, &copy, blocks),
            Node => fetch_node(&at, &copy, blocks),
        };
        let run = with_serving(run, from, serving, before);
        fs::remove_dir_all(copy).expect("the copy");
        run
    });
}

fn serve_gannet(home: &Home, store: &Path) -> (Peer, Served) {
    let mut peer = home.core_serve(store, &[]);
    let port = listening(&peer.expect("ready"));
    (peer, Served { port, key: home.core_key(store) })
}

fn serve_node(store: &Path, key: &str) -> (Peer, Served) {
    let mut hub = Hub::in_store(store);
    hub.open("a", key);
    (hub.peer, Served { port: hub.port, key: key.to_owned() })
}

fn fetch_gannet(home: &Home, from: &Served, to: &Path, blocks: usize) -> Run {
    let began = Instant::now();
    let at = format!("127.0.0.1:{}", from.port);
    let mut peer = home.seed(&from.key, to, &["--peer", &at]);
    let done = peer.expect_where("complete", |done| done["version"] == blocks);
    finished(Gannet, began, &done, &mut peer)
}

fn fetch_node(from: &Served, to: &Path, blocks: usize) -> Run {
    let mut hub = Hub::in_store(to);
    hub.open("a", &from.key);
    let (began, before) = (Instant::now(), cpu(&hub.peer));
    hub.connect(&from.port);
    hub.tell("until", json!({"name": "a", "length": blocks}));
    hub.tell("download", json!({"name": "a"}));
    Run {
        seconds: began.elapsed().as_secs_f64(),
        fetching_mb: peak_mb(&hub.peer),
        fetching_cpu: cpu(&hub.peer) - before,
        ..Run::default()
    }
}
