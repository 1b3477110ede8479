//! gannet as its users run it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::network::Network;
use super::peer::Peer;
use super::tools::{str, text};

const LOOPBACK: [&str; 3] = ["--no-discovery", "--listen", "127.0.0.1:0"];

/// A home directory of its own for each test: secret keys live there.
pub struct Home {
    dir: tempfile::TempDir,
    /// What is made here is Dat's, and so are keys without more.
    dat: bool,
}

impl Home {
    /// For feeds and drives of Dat.
    pub fn dat() -> Home {
        Home { dir: tempfile::tempdir().expect("a temporary folder"), dat: true }
    }

    /// For cores and hyperdrives.
    pub fn hyper() -> Home {
        Home { dat: false, ..Home::dat() }
    }

    fn kind(&self) -> &[&str] {
        if self.dat { &["--dat"] } else { &[] }
    }

    fn link(&self, key: &str) -> String {
        if self.dat && !key.contains("://") { format!("dat://{key}") } else { key.to_owned() }
    }

    /// Where dat keeps secret keys.
    pub fn secret_keys(&self) -> PathBuf {
        self.dir.path().join(".dat/secret_keys")
    }

    /// Gives a command this home and takes other traces of the real one away.
    pub fn settle(&self, command: &mut Command) {
        command.env("HOME", self.dir.path()).env("NO_COLOR", "1");
        command.env_remove("RUST_LOG").env_remove("XDG_DATA_HOME").env_remove("XDG_RUNTIME_DIR");
    }

    /// `gannet --json` with these words.
    pub fn gannet(&self, words: &[&str]) -> Peer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        command.arg("--json").args(words);
        self.settle(&mut command);
        Peer::start(&format!("gannet {}", words.join(" ")), command)
    }

    /// The same with its output as it is, to be run by the caller.
    pub fn gannet_quiet(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        command.args(words);
        self.settle(&mut command);
        command
    }

    /// The same inside a private network, where it may look for its peers.
    pub fn gannet_in(&self, network: &Network, words: &[&str]) -> Peer {
        let mut command = network.command(env!("CARGO_BIN_EXE_gannet"));
        command.arg("--json").args(words);
        self.settle(&mut command);
        Peer::start(&format!("gannet {}", words.join(" ")), command)
    }

    /// `gannet share`, on loopback alone.
    pub fn share(&self, folder: &Path, more: &[&str]) -> Peer {
        self.gannet(&[&["share", str(folder)], &LOOPBACK[..], self.kind(), more].concat())
    }

    /// `gannet clone`, on loopback alone.
    pub fn clone(&self, key: &str, folder: &Path, more: &[&str]) -> Peer {
        self.gannet(&[&["clone", &self.link(key), str(folder)], &LOOPBACK[..], more].concat())
    }

    /// Makes an empty feed.
    pub fn core_create(&self, folder: &Path) {
        self.core_create_as(folder, self.kind());
    }

    /// Makes an empty feed of a kind.
    pub fn core_create_as(&self, folder: &Path, kind: &[&str]) {
        self.gannet(&[&["core", "create", str(folder)], kind].concat()).succeed();
    }

    /// Appends lines, or blocks of one size.
    pub fn core_append(&self, folder: &Path, bytes: &[u8], block: Option<usize>) {
        let size = block.unwrap_or(0).to_string();
        let sizes: &[&str] = if block.is_some() { &["--block", &size] } else { &[] };
        let mut append = self.gannet(&[&["core", "append", str(folder)], sizes].concat());
        append.write(bytes);
        append.succeed();
    }

    pub fn core_serve(&self, folder: &Path, more: &[&str]) -> Peer {
        self.gannet(&[&["core", "serve", str(folder)], &LOOPBACK[..], more].concat())
    }

    /// Fetches the whole feed as it is now.
    pub fn core_get(&self, key: &str, folder: &Path, more: &[&str]) -> Peer {
        self.core_get_range(key, folder, "..", more)
    }

    /// Fetches some blocks.
    pub fn core_get_range(&self, key: &str, folder: &Path, range: &str, more: &[&str]) -> Peer {
        let words = ["core", "get", &self.link(key), range, "--dir", str(folder)];
        self.gannet(&[&words[..], &LOOPBACK[..], more].concat())
    }

    /// Keeps a feed or drive below `folder`, and serves it.
    pub fn seed(&self, key: &str, folder: &Path, more: &[&str]) -> Peer {
        self.gannet(
            &[&["seed", &self.link(key), "--dir", str(folder)], &LOOPBACK[..], more].concat(),
        )
    }

    /// Fetches everything and what follows, and prints it.
    pub fn core_follow(&self, key: &str, folder: &Path, more: &[&str]) -> Peer {
        let words = ["core", "tail", &self.link(key), "-f", "--dir", str(folder)];
        self.gannet(&[&words[..], &LOOPBACK[..], more].concat())
    }

    /// The key of a feed here.
    pub fn core_key(&self, folder: &Path) -> String {
        super::tools::hex(&std::fs::read(folder.join("key")).expect("a key"))
    }
}

/// The port that a `ready` event tells.
pub fn listening(ready: &Value) -> String {
    let at = ready["listen"][0].as_str().expect("an address");
    at.rsplit(':').next().expect("a port").to_owned()
}

pub fn ready_key(ready: &Value) -> String {
    text(ready, "key").to_owned()
}
