//! Drives between gannet and hyperdrive 9.16.0 on `dat-storage`, which is what the `dat` command
//! is made of.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::gannet::{Home, listening, ready_key};
use crate::install::left_out;
use crate::peer::Peer;
use crate::tools::{
    Scratch, eventually, files, js, noise, not_empty, port, put, sample, sha256, str, text,
};

/// Name → mode, mtime in milliseconds, digest.
type Tree = BTreeMap<String, (u64, i64, String)>;

/// What a drive says of a folder's files.
fn tree(folder: &Path) -> Tree {
    let entry = |(name, bytes): (String, Vec<u8>)| {
        let on = fs::metadata(folder.join(&name)).ok()?;
        let mtime = on.mtime() * 1000 + on.mtime_nsec() / 1_000_000;
        Some((name, (u64::from(on.mode() & 0o7777), mtime, sha256(&bytes))))
    };
    files(folder).into_iter().filter_map(entry).collect()
}

/// The same as a JavaScript peer tells it with `list`.
fn listed(peer: &mut Peer) -> Tree {
    peer.say("list");
    let told = peer.expect("list");
    let files = told["files"].as_object().expect("files");
    let entry = |(name, file): (&String, &serde_json::Value)| {
        let mode = file["mode"].as_u64().expect("a mode");
        let mtime = file["mtime"].as_i64().expect("a time");
        (name.clone(), (mode, mtime, text(file, "sha256").to_owned()))
    };
    files.iter().map(entry).collect()
}

/// Modes and times that a fresh file does not have by itself.
fn age(folder: &Path) {
    let old = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_123_456);
    for (name, mode) in [("a.txt", 0o600), ("sub/b.txt", 0o755), ("empty", 0o640)] {
        let path = folder.join(name);
        fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|f| f.set_modified(old))
            .expect("a time");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
}

/// Everything that happens to a folder in life.
fn change(folder: &Path) {
    put(folder, "a.txt", b"edited, and longer than before\n");
    put(folder, "big.bin", &noise(77, 1_500_000));
    put(folder, "new/and nested/file", &noise(78, 200_000));
    put(folder, "now empty", b"");
    put(folder, "sub/deeper/empty too", b"no longer empty");
    fs::remove_file(folder.join("one byte more")).expect("a file");
    fs::remove_dir_all(folder.join("many")).expect("a directory");
    fs::remove_file(folder.join("sub/b.txt")).expect("a file");
}

#[test]
fn gannet_shares_a_folder_and_its_changes_with_hyperdrive() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let (from, to) = (scratch.dir("from"), scratch.name("to"));
    sample(&from);
    age(&from);
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    let key = ready_key(&ready);
    let mut reader = js(
        "drive.js",
        &["--live", "--folder", str(&to), "--key", &key, "--connect", &listening(&ready)],
    );
    eventually("the first clone", || files(&to) == not_empty(files(&from)));
    assert_eq!(listed(&mut reader), tree(&from), "modes, times and empty files are in the drive");
    change(&from);
    eventually("the changes", || files(&to) == not_empty(files(&from)));
    eventually("the whole listing", || listed(&mut reader) == tree(&from));
}

#[test]
fn gannet_clones_a_hyperdrive_and_its_changes() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let (from, to, secrets) = (scratch.dir("from"), scratch.name("to"), scratch.dir("secrets"));
    sample(&from);
    age(&from);
    let mut writer =
        js("drive.js", &["--live", "--folder", str(&from), "--secrets", str(&secrets)]);
    let ready = writer.expect("ready");
    let mut clone = home.clone(text(&ready, "key"), &to, &["--peer", &peer(&ready)]);
    clone.expect_where("complete", |complete| complete["version"] == ready["version"]);
    assert_eq!(tree(&to), tree(&from), "equal, with modes, times and empty files");
    change(&from);
    for gone in ["one byte more", "sub/b.txt"] {
        writer.say(&format!("remove {gone}"));
        writer.expect("removed");
    }
    for n in 0..40 {
        writer.say(&format!("remove many/{n:02}.dat"));
        writer.expect("removed");
    }
    writer.say("import");
    writer.expect("imported");
    eventually("the changes", || to.exists() && tree(&to) == tree(&from));
    writer.say("history");
    writer.expect("history");
}

fn peer(ready: &serde_json::Value) -> String {
    format!("127.0.0.1:{}", port(ready))
}

#[test]
fn a_clone_of_gannet_serves_hyperdrive_and_the_other_way_round() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let from = scratch.dir("from");
    sample(&from);
    let secrets = scratch.dir("secrets");
    let mut writer =
        js("drive.js", &["--live", "--folder", str(&from), "--secrets", str(&secrets)]);
    let ready = writer.expect("ready");
    let key = text(&ready, "key").to_owned();
    let mut relay = home.clone(&key, &scratch.name("relay"), &["--peer", &peer(&ready)]);
    let relay_ready = relay.expect("ready");
    relay.expect("complete");
    writer.kill();
    let second = scratch.name("second");
    let mut second_relay = js(
        "drive.js",
        &["--live", "--folder", str(&second), "--key", &key, "--connect", &listening(&relay_ready)],
    );
    second_relay.expect_where("sync", |sync| sync["version"] == ready["version"]);
    assert_eq!(files(&second), not_empty(files(&from)));
    // A JavaScript clone that listens is asked for everything by a gannet that dials.
    relay.kill();
    drop(second_relay);
    let mut third = js("drive.js", &["--live", "--folder", str(&second), "--key", &key]);
    let third_at = peer(&third.expect("ready"));
    let to = scratch.name("to");
    home.clone(&key, &to, &["--once", "--peer", &third_at]).succeed();
    assert_eq!(not_empty(files(&to)), not_empty(files(&from)));
}

#[test]
fn hyperdrive_continues_a_folder_that_gannet_shared() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let from = scratch.dir("from");
    sample(&from);
    let mut share = home.share(&from, &[]);
    let key = ready_key(&share.expect("ready"));
    share.expect("published");
    share.stop();
    put(&from, "continued.txt", b"by JavaScript");
    let secrets = home.secret_keys();
    let options = ["--live", "--folder", str(&from), "--secrets", str(&secrets)];
    let mut writer = js("drive.js", &options);
    let ready = writer.expect("ready");
    assert_eq!((text(&ready, "key"), &ready["writable"]), (key.as_str(), &true.into()));
    assert_eq!(listed(&mut writer), tree(&from));
    let to = scratch.name("to");
    home.clone(&key, &to, &["--once", "--peer", &peer(&ready)]).succeed();
    assert_eq!(tree(&to), tree(&from));
    drop(writer);
    // And back again.
    put(&from, "continued.txt", b"by gannet, again");
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    assert_eq!(ready_key(&ready), key);
    let copy = scratch.name("copy");
    let at = listening(&ready);
    let options = ["--live", "--folder", str(&copy), "--key", &key, "--connect", &at];
    let mut reader = js("drive.js", &options);
    eventually("the second clone", || files(&copy) == not_empty(files(&from)));
    assert_eq!(listed(&mut reader), tree(&from));
}

#[test]
fn gannet_continues_a_folder_that_hyperdrive_shared() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let from = scratch.dir("from");
    sample(&from);
    let secrets = home.secret_keys();
    let options = ["--live", "--folder", str(&from), "--secrets", str(&secrets)];
    let mut writer = js("drive.js", &options);
    let key = text(&writer.expect("ready"), "key").to_owned();
    writer.say("remove a.txt");
    writer.expect("removed");
    writer.end_input();
    writer.succeed();
    put(&from, "continued.txt", b"by gannet");
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    assert_eq!(ready_key(&ready), key);
    let to = scratch.name("to");
    let at = listening(&ready);
    let options = ["--live", "--folder", str(&to), "--key", &key, "--connect", &at];
    let mut reader = js("drive.js", &options);
    eventually("the clone", || files(&to) == not_empty(files(&from)));
    eventually("the whole listing", || listed(&mut reader) == tree(&from));
}

#[test]
fn each_continues_a_clone_that_the_other_began() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let from = scratch.dir("from");
    sample(&from);
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    share.expect("published");
    let (key, at) = (ready_key(&ready), listening(&ready));
    let peer = format!("127.0.0.1:{at}");
    let to = scratch.name("to");
    home.clone(&key, &to, &["--once", "--peer", &peer]).succeed();
    assert_eq!(tree(&to), tree(&from));
    put(&from, "more.bin", &noise(5, 500_000));
    fs::remove_file(from.join("a.txt")).expect("a file");
    let options = ["--live", "--folder", str(&to), "--key", &key, "--connect", &at];
    let mut reader = js("drive.js", &options);
    eventually("JavaScript goes on", || not_empty(files(&to)) == not_empty(files(&from)));
    drop(reader.expect("sync"));
    reader.end_input();
    reader.finish();
    put(&from, "and more.bin", &noise(6, 500_000));
    fs::remove_file(from.join("more.bin")).expect("a file");
    share.expect_where("published", |published| published["version"].as_u64() > Some(0));
    let _clone = home.clone(&key, &to, &["--peer", &peer]);
    eventually("gannet goes on", || files(&to) == files(&from));
}

/// (A JavaScript peer that keeps the latest version alone never ends by itself, not even with its
/// like; one that keeps everything does.)
#[test]
fn a_drive_session_that_is_not_live_ends() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let from = scratch.dir("from");
    sample(&from);
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    share.expect("published");
    let (key, at, unused) = (ready_key(&ready), listening(&ready), scratch.name("unused"));
    let options = ["--memory", "--folder", str(&unused), "--key", &key, "--connect", &at];
    let mut reader = js("drive.js", &options);
    let closed = reader.expect("closed");
    assert!(closed["error"].is_null(), "{closed}");
    assert_eq!(listed(&mut reader), tree(&from));

    let (other, secrets, to) = (scratch.dir("other"), scratch.dir("secrets"), scratch.name("to"));
    sample(&other);
    let mut writer = js("drive.js", &["--folder", str(&other), "--secrets", str(&secrets)]);
    let ready = writer.expect("ready");
    home.clone(text(&ready, "key"), &to, &["--once", "--peer", &peer(&ready)]).succeed();
    let closed = writer.expect("closed");
    assert!(closed["error"].is_null(), "{closed}");
    assert_eq!(tree(&to), tree(&other));
}
