//! A JavaScript process with hypercores or a hyperdrive that is told what to do, one order after the other.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::install::rig;
use crate::peer::Peer;
use crate::tools::{Scratch, port, str};

pub struct Hub {
    pub peer: Peer,
    /// Where it listens.
    pub port: String,
    orders: u64,
    _dir: Option<Scratch>,
}

impl Hub {
    /// With hypercore "10" or "11".
    pub fn new(core: &str) -> Hub {
        Hub::start("cores.js", &["--core", core])
    }

    /// With hyperdrive "11" or "13".
    pub fn drives(drive: &str) -> Hub {
        Hub::start("drives.js", &["--drive", drive])
    }

    /// With hypercore 11 and a store that outlives it: the first core opened is the first ever created.
    #[allow(dead_code, reason = "benches alone use it")]
    pub fn in_store(store: &Path) -> Hub {
        Hub::start_in("cores.js", &[], store)
    }

    fn start(program: &str, words: &[&str]) -> Hub {
        let dir = Scratch::new();
        let hub = Hub::start_in(program, words, &dir.dir("store"));
        Hub { _dir: Some(dir), ..hub }
    }

    fn start_in(program: &str, words: &[&str], store: &Path) -> Hub {
        let mut node = Command::new("node");
        node.arg(program).args(words).args(["--dir", str(store)]);
        node.current_dir(rig("hyper"));
        let mut peer = Peer::start(&format!("{program} {}", words.join(" ")), node);
        let port = port(&peer.expect("ready"));
        Hub { peer, port, orders: 0, _dir: None }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Begins something that others do not wait for; its number.
    pub fn begin(&mut self, what: &str, mut with: Value) -> u64 {
        with["meanwhile"] = true.into();
        self.order(what, with)
    }

    fn order(&mut self, what: &str, mut with: Value) -> u64 {
        self.orders += 1;
        with["id"] = self.orders.into();
        with["do"] = what.into();
        self.peer.say(&with.to_string());
        self.orders
    }

    /// What became of what was begun.
    pub fn end(&mut self, id: u64) -> Value {
        let of = |value: &Value| value["id"] == id;
        let told = self.peer.expect_any(&["done", "failed"], of);
        assert_eq!(told["event"], "done", "{told}");
        told
    }

    pub fn tell(&mut self, what: &str, with: Value) -> Value {
        let id = self.order(what, with);
        self.end(id)
    }

    /// A core of its own with so many blocks of one size; what is known of it.
    pub fn create(&mut self, name: &str, compat: bool, count: u64, size: u64) -> Value {
        self.tell("create", json!({"name": name, "compat": compat}));
        self.append(name, count, size)
    }

    pub fn append(&mut self, name: &str, count: u64, size: u64) -> Value {
        self.tell("append", json!({"name": name, "count": count, "size": size}))
    }

    pub fn open(&mut self, name: &str, key: &str) -> Value {
        self.tell("open", json!({"name": name, "key": key}))
    }

    pub fn connect(&mut self, port: &str) {
        self.tell("connect", json!({"port": port}));
    }

    /// Waits until a core is so long, and fetches all of it.
    pub fn whole(&mut self, name: &str, length: u64, fork: u64) -> Value {
        self.tell("until", json!({"name": name, "length": length, "fork": fork}));
        self.digest(name)
    }

    pub fn digest(&mut self, name: &str) -> Value {
        self.tell("digest", json!({"name": name}))
    }
}
