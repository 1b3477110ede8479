//! Drives between the program and hyperdrive 11.13.4 and 13.3.4.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use crate::gannet::{Home, listening, ready_key};
use crate::hub::Hub;
use crate::install::left_out;
use crate::tools::{Scratch, eventually, noise, put, sha256, str, text};

/// Path -> what stands there, in the words of the JavaScript side.
fn listed(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = format!("/{}", str(path.strip_prefix(folder).expect("below")));
            let Ok(about) = path.symlink_metadata() else { continue };
            if about.is_symlink() {
                let Ok(to) = fs::read_link(&path) else { continue };
                found.insert(name, format!("link {}", str(&to)));
            } else if about.is_dir() && name != "/.dat" {
                pending.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                let program = about.permissions().mode() & 0o100 != 0;
                let kind = if program { "program" } else { "file" };
                found.insert(name, format!("{kind} {} {}", bytes.len(), sha256(&bytes)));
            }
        }
    }
    found
}

/// What the JavaScript side finds in its drive.
fn found(hub: &mut Hub) -> BTreeMap<String, String> {
    let told = hub.tell("list", json!({}));
    serde_json::from_value(told["files"].clone()).expect("a list of files")
}

fn executable(folder: &Path, name: &str, yes: bool) {
    let mode = fs::Permissions::from_mode(if yes { 0o755 } else { 0o644 });
    fs::set_permissions(folder.join(name), mode).expect("a file");
}

/// All kinds of entries.
fn fill(folder: &Path) {
    crate::tools::sample(folder);
    put(folder, "sub/run.sh", b"#!/bin/sh\n");
    executable(folder, "sub/run.sh", true);
    symlink("a.txt", folder.join("link")).expect("a link");
    symlink("deeper", folder.join("sub/link to a folder")).expect("a link");
}

/// Some of each are changed, some go.
fn edit(folder: &Path) {
    put(folder, "new.txt", b"new\n");
    put(folder, "a.txt", b"changed\n");
    put(folder, "big.bin", &noise(9, 2_000_000));
    executable(folder, "sub/run.sh", false);
    fs::remove_file(folder.join("link")).expect("a link");
    symlink("new.txt", folder.join("link")).expect("a link");
    fs::remove_file(folder.join("empty")).expect("a file");
    for n in (0..40).step_by(2) {
        fs::remove_file(folder.join(format!("many/{n:02}.dat"))).expect("a file");
    }
}

fn shared(drive: &str) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (from, to, mut reader) = (scratch.dir("from"), scratch.dir("to"), Hub::drives(drive));
    fill(&from);
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    share.expect("published");
    reader.open("", &ready_key(&ready));
    reader.connect(&listening(&ready));
    for n in 0..2 {
        if n > 0 {
            edit(&from);
        }
        eventually("what was shared", || found(&mut reader) == listed(&from));
        // Hyperdrive itself writes it.
        reader.tell("give", json!({"folder": str(&to)}));
        assert_eq!(listed(&to), listed(&from));
    }
}

#[test]
fn what_gannet_shares_is_mirrored_by_hyperdrive() {
    if !left_out() {
        shared("13");
        shared("11");
    }
}

/// A drive of the JavaScript side's own, of what stands in a folder and an entry with metadata.
fn made(drive: &str, folder: &Path) -> (Hub, String) {
    fill(folder);
    let mut writer = Hub::drives(drive);
    let key = text(&writer.tell("create", json!({})), "key").to_owned();
    writer.tell("take", json!({"folder": str(folder)}));
    assert_eq!(found(&mut writer), listed(folder));
    let entry = json!({"path": "/with metadata", "text": "x", "metadata": {"a": [1, 2]}});
    writer.tell("put", entry);
    if drive == "13" {
        writer.tell("put", json!({"path": "/mapped", "size": 700_000, "dedup": true}));
    }
    (writer, key)
}

/// Changes of all kinds at the JavaScript side.
fn change(writer: &mut Hub) {
    writer.tell("put", json!({"path": "/a.txt", "text": "changed"}));
    writer.tell("put", json!({"path": "/sub/new", "size": 500_000, "executable": true}));
    writer.tell("put", json!({"path": "/sub/run.sh", "text": "no program any more"}));
    writer.tell("symlink", json!({"path": "/link", "to": "sub/new"}));
    for path in ["/big.bin", "/empty", "/sub/link to a folder"] {
        writer.tell("del", json!({"path": path}));
    }
    for n in (0..40).step_by(2) {
        writer.tell("del", json!({"path": format!("/many/{n:02}.dat")}));
    }
}

fn cloned(drive: &str) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (mut writer, key) = made(drive, &scratch.dir("from"));
    let to = scratch.name("to");
    let mut clone = home.clone(&key, &to, &["--peer", &writer.address()]);
    let expected = found(&mut writer);
    eventually("the clone", || listed(&to) == expected);
    change(&mut writer);
    if drive == "13" {
        writer.tell("put", json!({"path": "/mapped", "size": 900_000, "dedup": true}));
    }
    let expected = found(&mut writer);
    eventually("the clone of what was changed", || listed(&to) == expected);
    // While it is copied, much of it goes.
    for n in 0..30 {
        writer.tell("put", json!({"path": format!("/late/{n}"), "size": 100_000 + n}));
        writer.tell("del", json!({"path": format!("/late/{}", n / 2)}));
    }
    let expected = found(&mut writer);
    eventually("the clone of what went meanwhile", || listed(&to) == expected);
    clone.stop();
}

#[test]
fn a_hyperdrive_and_its_changes_are_cloned() {
    if !left_out() {
        cloned("13");
        cloned("11");
    }
}

/// A seed between two JavaScript sides, and alone once its writer is gone.
fn seeded(writer: &str, reader: &str) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (mut writer, key) = made(writer, &scratch.dir("from"));
    let mut seed = home.seed(&key, &scratch.name("seeds"), &["--peer", &writer.address()]);
    let at = listening(&seed.expect("ready"));
    let mut first = Hub::drives(reader);
    first.open("", &key);
    first.connect(&at);
    eventually("what is seeded", || found(&mut first) == found(&mut writer));
    change(&mut writer);
    let expected = found(&mut writer);
    eventually("what changed", || found(&mut first) == expected);
    drop((writer, first));
    let mut second = Hub::drives(reader);
    second.open("", &key);
    second.connect(&at);
    eventually("what is seeded alone", || found(&mut second) == expected);
    let told = second.tell("metadata", json!({"path": "/with metadata"}));
    assert_eq!(told["metadata"], json!({"a": [1, 2]}));
    drop(second);
    let to = scratch.name("to");
    let _clone = home.clone(&key, &to, &["--peer", &format!("127.0.0.1:{at}")]);
    eventually("a clone of the seed", || listed(&to) == expected);
}

#[test]
fn a_seed_serves_a_hyperdrive_whose_writer_is_gone() {
    if !left_out() {
        seeded("13", "11");
        seeded("11", "13");
    }
}
