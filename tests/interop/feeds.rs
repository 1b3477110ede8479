//! Bare feeds between gannet and hypercore 6.26.0 and 7.7.1.

use std::path::Path;

use serde_json::Value;

use crate::gannet::{Home, listening, ready_key};
use crate::install::left_out;
use crate::peer::Peer;
use crate::tools::{Scratch, js, noise, port, sha256, str, text};

/// Lengths at which trees have different shapes, and one beyond a page of the bitfield.
const LENGTHS: [usize; 9] = [1, 2, 3, 5, 8, 100, 1000, 3001, 8200];

fn peer_at(ready: &Value) -> String {
    format!("127.0.0.1:{}", port(ready))
}

/// Opens a feed's folder with hypercore and compares every block with what `told` says of them.
fn same_on_disk(core: &str, folder: &Path, key: &str, told: &Value) {
    same_under(core, folder, "", key, told);
}

/// The same for files whose names begin with `prefix`.
fn same_under(core: &str, folder: &Path, prefix: &str, key: &str, told: &Value) {
    let at = ["--storage", str(folder), "--prefix", prefix, "--key", key];
    let mut reader = js("feed.js", &[&["--core", core], &at[..]].concat());
    let ready = reader.expect("ready");
    for fact in ["length", "bytes", "sha256", "sizes"] {
        assert_eq!(ready[fact], told[fact], "{fact} of {ready}");
    }
    audited(&mut reader);
}

/// Lets hypercore check every hash of a feed that it has open.
fn audited(peer: &mut Peer) {
    peer.say("audit");
    let audit = peer.expect("audit");
    assert_eq!(audit["invalid"], 0, "{audit}");
}

#[test]
fn feeds_of_all_lengths_come_from_hypercore() {
    if left_out() {
        return;
    }
    for (n, length) in LENGTHS.into_iter().enumerate() {
        let core = ["6", "7"][n % 2];
        let (scratch, home) = (Scratch::new(), Home::dat());
        let length = length.to_string();
        // Blocks of 10 bytes are asked for many at a time.
        let sizes = ["10,0,333,1,7000", "10"][n / 2 % 2];
        let options = ["--core", core, "--live", "--blocks", &length, "--sizes", sizes];
        let mut writer = js("feed.js", &options);
        let ready = writer.expect("ready");
        let (key, to) = (text(&ready, "key"), scratch.name("to"));
        home.core_get(key, &to, &["--peer", &peer_at(&ready)]).succeed();
        same_on_disk(core, &to, key, &ready);
    }
}

#[test]
fn feeds_of_all_lengths_go_to_hypercore() {
    if left_out() {
        return;
    }
    for (n, length) in LENGTHS.into_iter().enumerate() {
        let core = ["7", "6"][n % 2];
        let (scratch, home) = (Scratch::new(), Home::dat());
        let (from, bytes) = (scratch.name("from"), noise(n as u64, length * 100 - 99));
        home.core_create(&from);
        home.core_append(&from, &bytes, Some(100));
        let mut serve = home.core_serve(&from, &[]);
        let ready = serve.expect("ready");
        let (key, at) = (ready_key(&ready), listening(&ready));
        let options = ["--core", core, "--live", "--key", &key, "--connect", &at];
        let mut reader = js("feed.js", &options);
        let synced = reader.expect("synced");
        assert_eq!(
            (&synced["length"], text(&synced, "sha256")),
            (&length.into(), &*sha256(&bytes))
        );
        audited(&mut reader);
        serve.stop();
        same_on_disk(core, &from, &key, &synced);
    }
}

#[test]
fn what_hypercore_appends_arrives() {
    if left_out() {
        return;
    }
    for core in ["6", "7"] {
        let (scratch, home) = (Scratch::new(), Home::dat());
        let options = ["--core", core, "--live", "--blocks", "3", "--sizes", "10,70000,0"];
        let mut writer = js("feed.js", &options);
        let ready = writer.expect("ready");
        let (key, to) = (text(&ready, "key"), scratch.name("to"));
        let mut seed = home.seed(key, &to, &["--peer", &peer_at(&ready)]);
        let mut grown = ready.clone();
        for count in [1, 1, 5, 300] {
            writer.say(&format!("append {count}"));
            grown = writer.expect("appended");
            let length = grown["length"].clone();
            seed.expect_where("complete", |complete| complete["version"] == length);
        }
        seed.stop();
        same_under(core, &to.join(key), "metadata.", key, &grown);
    }
}

#[test]
fn what_hypercore_appends_is_printed_in_order() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let mut writer = js("feed.js", &["--live", "--blocks", "3", "--sizes", "0"]);
    let ready = writer.expect("ready");
    let (key, to) = (text(&ready, "key"), scratch.name("to"));
    let mut tail = home.core_follow(key, &to, &["--peer", &peer_at(&ready)]);
    tail.expect("peer_joined");
    // Empty blocks are empty lines.
    (0..3).for_each(|_| tail.expect_empty_line());
    for count in [1, 4] {
        writer.say(&format!("append {count}"));
        writer.expect("appended");
        (0..count).for_each(|_| tail.expect_empty_line());
    }
}

#[test]
fn what_gannet_appends_arrives() {
    if left_out() {
        return;
    }
    for core in ["6", "7"] {
        let (scratch, home) = (Scratch::new(), Home::dat());
        let from = scratch.name("from");
        home.core_create(&from);
        home.core_append(&from, b"one\ntwo\n", None);
        let mut serve = home.core_serve(&from, &[]);
        let ready = serve.expect("ready");
        let (key, at) = (ready_key(&ready), listening(&ready));
        let options = ["--core", core, "--live", "--key", &key, "--connect", &at];
        let mut reader = js("feed.js", &options);
        reader.expect_where("synced", |synced| synced["length"] == 2);
        for (n, length) in [(1, 3), (2, 5), (200, 205)] {
            home.core_append(&from, &b"another line\n".repeat(n), None);
            reader.expect_where("synced", |synced| synced["length"] == length);
        }
        audited(&mut reader);
    }
}

#[test]
fn the_largest_and_the_empty_block_go_both_ways() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let sizes = ["--live", "--blocks", "4", "--sizes", "8000000,0"];
    let mut writer = js("feed.js", &sizes);
    let ready = writer.expect("ready");
    let (key, to) = (text(&ready, "key"), scratch.name("to"));
    home.core_get(key, &to, &["--peer", &peer_at(&ready)]).succeed();
    same_on_disk("7", &to, key, &ready);
    // What was fetched is served on.
    drop(writer);
    let mut serve = home.core_serve(&to, &[]);
    let at = listening(&serve.expect("ready"));
    let mut reader = js("feed.js", &["--core", "6", "--live", "--key", key, "--connect", &at]);
    let synced = reader.expect("synced");
    assert_eq!((&synced["sha256"], &synced["sizes"]), (&ready["sha256"], &ready["sizes"]));
}

#[test]
fn either_side_may_dial() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let from = scratch.name("from");
    home.core_create(&from);
    home.core_append(&from, &noise(3, 100_000), Some(1000));
    let key = home.core_key(&from);
    let mut reader = js("feed.js", &["--live", "--key", &key]);
    let ready = reader.expect("ready");
    let _serve = home.core_serve(&from, &["--peer", &peer_at(&ready)]);
    assert_eq!(reader.expect("synced")["length"], 100);
}

#[test]
fn sessions_that_are_not_live_end_on_both_sides() {
    if left_out() {
        return;
    }
    for core in ["6", "7"] {
        let (scratch, home) = (Scratch::new(), Home::dat());
        let from = scratch.name("from");
        home.core_create(&from);
        home.core_append(&from, &noise(4, 5000), Some(100));
        let mut serve = home.core_serve(&from, &[]);
        let ready = serve.expect("ready");
        let (key, at) = (ready_key(&ready), listening(&ready));
        let mut reader = js("feed.js", &["--core", core, "--key", &key, "--connect", &at]);
        assert_eq!(reader.expect("synced")["length"], 50);
        let closed = reader.expect("closed");
        assert!(closed["error"].is_null(), "hypercore {core}: {closed}");

        let mut writer = js("feed.js", &["--core", core, "--blocks", "30"]);
        let ready = writer.expect("ready");
        let (key, to) = (text(&ready, "key"), scratch.name("to"));
        home.core_get(key, &to, &["--peer", &peer_at(&ready)]).succeed();
        let closed = writer.expect("closed");
        assert!(closed["error"].is_null(), "hypercore {core}: {closed}");
        same_on_disk(core, &to, key, &ready);
    }
}

#[test]
fn hypercore_continues_a_feed_of_gannet_and_back_again() {
    if left_out() {
        return;
    }
    for core in ["6", "7"] {
        let (scratch, home) = (Scratch::new(), Home::dat());
        let from = scratch.name("from");
        home.core_create(&from);
        home.core_append(&from, &noise(6, 1300), Some(100));
        let key = home.core_key(&from);
        let options = ["--core", core, "--live", "--storage", str(&from)];
        let mut writer = js("feed.js", &options);
        let ready = writer.expect("ready");
        assert_eq!((text(&ready, "key"), &ready["writable"]), (&*key, &true.into()));
        assert_eq!(
            (&ready["length"], text(&ready, "sha256")),
            (&13.into(), &*sha256(&noise(6, 1300)))
        );
        writer.say("append 6");
        assert_eq!(writer.expect("appended")["length"], 19);
        audited(&mut writer);
        writer.end_input();
        writer.succeed();
        home.core_append(&from, b"by gannet again\n", None);
        let mut writer = js("feed.js", &options);
        let ready = writer.expect("ready");
        assert_eq!(ready["length"], 20);
        audited(&mut writer);
        // Its signatures convince a stranger.
        let to = scratch.name("to");
        home.core_get(&key, &to, &["--peer", &peer_at(&ready)]).succeed();
        same_on_disk(core, &to, &key, &ready);
    }
}

#[test]
fn gannet_continues_a_feed_of_hypercore() {
    if left_out() {
        return;
    }
    for core in ["6", "7"] {
        let (scratch, home) = (Scratch::new(), Home::dat());
        let from = scratch.dir("from");
        let options = ["--core", core, "--storage", str(&from), "--blocks", "11", "--live"];
        let mut writer = js("feed.js", &options);
        let key = text(&writer.expect("ready"), "key").to_owned();
        writer.end_input();
        writer.succeed();
        home.core_append(&from, b"by gannet\n", None);
        let mut serve = home.core_serve(&from, &[]);
        let at = listening(&serve.expect("ready"));
        let mut reader =
            js("feed.js", &["--core", core, "--live", "--key", &key, "--connect", &at]);
        assert_eq!(reader.expect("synced")["length"], 12);
        audited(&mut reader);
    }
}

#[test]
fn a_fetch_that_hypercore_began_is_finished_and_the_other_way_round() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let mut writer = js("feed.js", &["--live", "--blocks", "500", "--sizes", "3000"]);
    let ready = writer.expect("ready");
    let (key, to) = (text(&ready, "key"), scratch.name("to"));
    let at = port(&ready);
    let sparse = ["--sparse", "--live", "--key", key, "--storage", str(&to), "--connect", &at];
    let mut began = js("feed.js", &sparse);
    for index in [0, 7, 250, 499] {
        began.say(&format!("get {index}"));
        began.expect("block");
    }
    began.end_input();
    began.succeed();
    home.core_get(key, &to, &["--peer", &peer_at(&ready)]).succeed();
    same_on_disk("7", &to, key, &ready);

    let to = scratch.name("to too");
    home.core_get_range(key, &to, "100..220", &["--peer", &peer_at(&ready)]).succeed();
    let rest = ["--live", "--key", key, "--storage", str(&to), "--connect", &at];
    let mut finished = js("feed.js", &rest);
    let synced = finished.expect("synced");
    assert_eq!((&synced["length"], &synced["sha256"]), (&500.into(), &ready["sha256"]));
    audited(&mut finished);
}

#[test]
fn a_hole_in_the_feed_of_hypercore_is_no_end() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::dat());
    let mut writer = js("feed.js", &["--live", "--blocks", "40"]);
    let ready = writer.expect("ready");
    writer.say("clear 5");
    writer.expect("cleared");
    let (key, to) = (text(&ready, "key"), scratch.name("to"));
    let peer = peer_at(&ready);
    home.core_get_range(key, &to, "6..40", &["--peer", &peer]).succeed();
    home.core_get_range(key, &to, "0..5", &["--peer", &peer]).succeed();
    let mut serve = home.core_serve(&to, &[]);
    let at = listening(&serve.expect("ready"));
    let sparse = ["--sparse", "--live", "--key", key, "--connect", &at];
    let mut reader = js("feed.js", &sparse);
    for index in [0, 4, 6, 39] {
        reader.say(&format!("get {index}"));
        reader.expect("block");
    }
}
