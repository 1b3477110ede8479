//! The peers by name, and folders to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::install;
use super::peer::Peer;

/// A JavaScript peer: `script` of `rigs/js` with its options.
pub fn js(script: &str, options: &[&str]) -> Peer {
    let mut node = Command::new("node");
    node.arg(install::rig("js").join(script)).args(options);
    Peer::start(&format!("node {script} {}", options.join(" ")), node)
}

/// The options that make a JavaScript peer dial or listen, from the `ready` of the other side.
pub fn port(ready: &Value) -> String {
    ready["port"].as_u64().expect("a port").to_string()
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key from its 64 hexadecimal digits.
pub fn key_bytes(hex: &str) -> [u8; 32] {
    let digit = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16);
    std::array::from_fn(|at| digit(at).expect("hexadecimal"))
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Files below a folder by relative name, with their bytes; `.dat` is left out. What goes away
/// while it is looked at is not there.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|name| name == ".dat") {
                continue;
            }
            if path.is_dir() {
                pending.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                let name = path.strip_prefix(folder).expect("below the folder");
                found.insert(name.to_str().expect("UTF-8").to_owned(), bytes);
            }
        }
    }
    found
}

/// The files that a JavaScript clone writes: it never makes empty ones.
pub fn not_empty(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// Writes a file below a folder, with the directories it needs.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, bytes).expect("a file");
}

/// `size` bytes that depend on `seed` alone and do not compress.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut rng = ::gannet::rng::Rng::from_seed(seed);
    let mut bytes = vec![0; size];
    rng.fill(&mut bytes);
    bytes
}

/// A folder with what folders have: nested, empty, big, hidden deep, and names of many languages.
pub fn sample(folder: &Path) {
    put(folder, "a.txt", b"first\n");
    put(folder, "empty", b"");
    put(folder, "exactly one block", &noise(1, 65_536));
    put(folder, "one byte more", &noise(2, 65_537));
    put(folder, "big.bin", &noise(3, 3_000_000));
    put(folder, "sub/b.txt", b"below\n");
    put(folder, "sub/deeper/and deeper/c.txt", b"far below\n");
    put(folder, "sub/deeper/empty too", b"");
    put(folder, "Grüße/Ελληνικά/日本語 🐦.txt", "größer".as_bytes());
    for n in 0..40u64 {
        put(folder, &format!("many/{n:02}.dat"), &noise(100 + n, 100 + 37 * n as usize));
    }
}

/// Waits until `done`, looking again and again; panics with `what` at the deadline.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + super::peer::DEADLINE;
    while !done() {
        assert!(std::time::Instant::now() < until, "{what}: not in time");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A folder that goes away with the test.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A folder in it, made if need be.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// A name in it that nothing stands under yet.
    pub fn name(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

pub fn str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
