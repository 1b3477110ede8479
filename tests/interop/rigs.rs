//! The JavaScript peers with each other: when these fail, it is the rigs or the machine.

use crate::install::left_out;
use crate::tools::{Scratch, files, js, not_empty, port, put, sample, str, text};

#[test]
fn hypercore_6_and_7_exchange_a_feed_and_what_is_appended() {
    if left_out() {
        return;
    }
    for (writer, reader) in [("6", "7"), ("7", "6")] {
        let options = ["--core", writer, "--live", "--blocks", "100", "--sizes", "0,1,70000"];
        let mut writer = js("feed.js", &options);
        let ready = writer.expect("ready");
        let (key, port) = (text(&ready, "key").to_owned(), port(&ready));
        let mut reader =
            js("feed.js", &["--core", reader, "--live", "--key", &key, "--connect", &port]);
        assert_eq!(reader.expect("synced")["sha256"], ready["sha256"]);
        writer.say("append 20");
        let grown = writer.expect("appended");
        let synced = reader.expect_where("synced", |synced| synced["length"] == 120);
        assert_eq!((&synced["sha256"], &synced["sizes"]), (&grown["sha256"], &grown["sizes"]));
    }
}

#[test]
fn a_feed_that_is_not_live_ends() {
    if left_out() {
        return;
    }
    let mut writer = js("feed.js", &["--blocks", "10"]);
    let ready = writer.expect("ready");
    let (key, port) = (text(&ready, "key").to_owned(), port(&ready));
    let mut reader = js("feed.js", &["--key", &key, "--connect", &port]);
    assert_eq!(reader.expect("synced")["sha256"], ready["sha256"]);
    reader.expect("closed");
    writer.expect("closed");
    reader.succeed();
}

#[test]
fn hyperdrive_clones_a_folder_and_what_changes_in_it() {
    if left_out() {
        return;
    }
    let scratch = Scratch::new();
    let (from, to, secrets) = (scratch.dir("from"), scratch.name("to"), scratch.dir("secrets"));
    sample(&from);
    let mut writer =
        js("drive.js", &["--live", "--folder", str(&from), "--secrets", str(&secrets)]);
    let ready = writer.expect("ready");
    let (key, port) = (text(&ready, "key").to_owned(), port(&ready));
    let mut reader =
        js("drive.js", &["--live", "--folder", str(&to), "--key", &key, "--connect", &port]);
    reader.expect_where("sync", |sync| sync["version"] == ready["version"]);
    assert_eq!(files(&to), not_empty(files(&from)));
    put(&from, "added.txt", b"new");
    writer.say("import");
    let version = writer.expect("imported")["version"].clone();
    reader.expect_where("sync", |sync| sync["version"] == version);
    std::fs::remove_file(from.join("a.txt")).expect("a file");
    writer.say("remove a.txt");
    let version = writer.expect("removed")["version"].clone();
    reader.expect_where("sync", |sync| sync["version"] == version);
    assert_eq!(files(&to), not_empty(files(&from)));
    writer.say("list");
    reader.say("list");
    let (written, read) = (writer.expect("list"), reader.expect("list"));
    assert_eq!(written["files"], read["files"]);
    assert_eq!(written["files"]["empty"]["size"], 0);
}
