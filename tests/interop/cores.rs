//! Cores between the program and hypercore 10.38.2 and 11.37.1.

use std::path::Path;

use serde_json::{Value, json};

use crate::gannet::{Home, listening, ready_key};
use crate::hub::Hub;
use crate::install::left_out;
use crate::tools::{Scratch, js, port, sha256, str, text};

/// A writer, gannet, and a reader that knows nobody but gannet.
fn passed_on(writer: &str, reader: &str, compat: bool) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (mut writer, mut reader) = (Hub::new(writer), Hub::new(reader));
    let made = writer.create("a", compat, 3, 100);
    let key = text(&made, "key");
    let mut seed = home.seed(key, &scratch.name("seeds"), &["--peer", &writer.address()]);
    let ready = seed.expect("ready");
    reader.open("a", key);
    reader.connect(&listening(&ready));
    let mut now = made.clone();
    let steps = [(0, 0), (1, 10), (1, 0), (5, 70_000), (300, 7), (1, 3)];
    for (count, size) in steps {
        if count > 0 {
            now = writer.append("a", count, size);
        }
        let (length, fork) = (now["length"].as_u64().unwrap(), now["fork"].as_u64().unwrap());
        let read = reader.whole("a", length, fork);
        assert_eq!(read["sha256"], writer.digest("a")["sha256"], "{count} of {size}: {read}");
    }
    for (length, more) in [(290, 0), (100, 2), (0, 1), (0, 200)] {
        now = writer.tell("truncate", json!({"name": "a", "length": length}));
        // (What has no signature cannot be shown to anybody.)
        if length == 0 || more > 0 {
            now = writer.append("a", more.max(1), 50);
        }
        let (length, fork) = (now["length"].as_u64().unwrap(), now["fork"].as_u64().unwrap());
        let read = reader.whole("a", length, fork);
        assert_eq!(read["sha256"], writer.digest("a")["sha256"], "fork {fork}: {read}");
    }
    seed.stop();
}

#[test]
fn cores_of_hypercore_11_are_passed_on() {
    if !left_out() {
        passed_on("11", "10", false);
        passed_on("11", "11", true);
    }
}

#[test]
fn cores_of_hypercore_10_are_passed_on() {
    if !left_out() {
        passed_on("10", "11", false);
        passed_on("10", "10", true);
    }
}

/// gannet writes, JavaScript reads what there is and what follows.
fn written(reader: &str, compat: bool, they_dial: bool) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (from, mut reader) = (scratch.name("from"), Hub::new(reader));
    let kind: &[&str] = if compat { &["--compat"] } else { &[] };
    home.core_create_as(&from, kind);
    home.core_append(&from, b"one\ntwo\n", None);
    let mut all = b"onetwo".to_vec();
    let at = reader.address();
    let more: &[&str] = if they_dial { &[] } else { &["--peer", &at] };
    reader.open("a", &home.core_key(&from));
    let mut serve = home.core_serve(&from, more);
    let ready = serve.expect("ready");
    assert_eq!(ready_key(&ready), home.core_key(&from));
    if they_dial {
        reader.connect(&listening(&ready));
    }
    let mut length = 2;
    for count in [0, 1, 1, 1, 40, 500] {
        if count > 0 {
            home.core_append(&from, &b"another line\n".repeat(count), None);
        }
        all.extend(b"another line".repeat(count));
        length += count as u64;
        let read = reader.whole("a", length, 0);
        assert_eq!(text(&read, "sha256"), sha256(&all), "{count}: {read}");
        assert_eq!(read["compat"], compat);
    }
    serve.stop();
}

#[test]
fn cores_of_gannet_are_read_by_hypercore_11() {
    if !left_out() {
        written("11", false, true);
        written("11", true, false);
    }
}

#[test]
fn cores_of_gannet_are_read_by_hypercore_10() {
    if !left_out() {
        written("10", false, false);
        written("10", true, true);
    }
}

/// Lines of sizes that differ, empty ones among them.
fn lines(from: u64, count: u64, fork: u64) -> Vec<String> {
    let line = |n: u64| format!("{n}.{fork} ").repeat((n * 7919 % 500) as usize);
    (from..from + count).map(line).collect()
}

/// gannet writes and takes blocks back; who is connected meanwhile follows, who comes later reads the same.
fn taken_back(follower: &str, late: &str, compat: bool) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (from, mut follower) = (scratch.name("from"), Hub::new(follower));
    let kind: &[&str] = if compat { &["--compat"] } else { &[] };
    home.core_create_as(&from, kind);
    let mut serve = home.core_serve(&from, &[]);
    let at = listening(&serve.expect("ready"));
    follower.open("a", &home.core_key(&from));
    follower.connect(&at);
    let (mut all, mut fork) = (Vec::new(), 0);
    let steps = [(0, 120), (77, 9), (50, 0), (33, 2), (34, 300), (0, 5), (5, 40)];
    for (length, more) in steps {
        if length < all.len() {
            home.gannet(&["core", "truncate", str(&from), &length.to_string()]).succeed();
            all.truncate(length);
            fork += 1;
        }
        if more > 0 {
            let new = lines(all.len() as u64, more, fork);
            home.core_append(&from, (new.join("\n") + "\n").as_bytes(), None);
            all.extend(new);
        }
        let (length, bytes) = (all.len() as u64, all.concat());
        let mut later = Hub::new(late);
        later.open("a", &home.core_key(&from));
        later.connect(&at);
        for reader in [&mut follower, &mut later] {
            let read = reader.whole("a", length, fork);
            assert_eq!(text(&read, "sha256"), sha256(bytes.as_bytes()), "fork {fork}: {read}");
            assert_eq!((&read["length"], &read["fork"]), (&length.into(), &fork.into()));
            assert_eq!((&read["compat"], &read["bytes"]), (&compat.into(), &bytes.len().into()));
        }
    }
    assert_eq!(fork, 5);
    serve.stop();
}

#[test]
fn blocks_that_gannet_takes_back_are_followed_by_hypercore_11() {
    if !left_out() {
        taken_back("11", "10", false);
        taken_back("11", "11", true);
    }
}

#[test]
fn blocks_that_gannet_takes_back_are_followed_by_hypercore_10() {
    if !left_out() {
        taken_back("10", "11", false);
        taken_back("10", "10", true);
    }
}

/// The JavaScript side has these blocks as `from` has them.
fn same(reader: &mut Hub, from: &mut Hub, name: &str, ranges: &[(u64, u64)]) {
    for (start, end) in ranges {
        let what = json!({"name": name, "start": start, "end": end});
        let (read, written) = (reader.tell("digest", what.clone()), from.tell("digest", what));
        assert_eq!(read["sha256"], written["sha256"], "{name} {start}..{end}");
    }
}

/// Fetches some blocks with the program.
fn get(home: &Home, key: &str, folder: &Path, (start, end): (u64, u64), from: &Hub) {
    let range = format!("{start}..{end}");
    home.core_get_range(key, folder, &range, &["--peer", &from.address()]).succeed();
}

#[test]
fn some_blocks_of_a_core_are_kept_and_passed_on() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (mut writer, some) = (Hub::new("11"), [(5, 6), (100, 200), (990, 1000)]);
    let made = writer.create("a", false, 1000, 100);
    let (key, here) = (text(&made, "key"), scratch.name("here"));
    some.iter().for_each(|range| get(&home, key, &here, *range, &writer));
    let mut serve = home.core_serve(&here, &[]);
    let at = listening(&serve.expect("ready"));
    for core in ["10", "11"] {
        let mut reader = Hub::new(core);
        reader.open("a", key);
        reader.connect(&at);
        reader.tell("until", json!({"name": "a", "length": 1000}));
        same(&mut reader, &mut writer, "a", &some);
        // Hashes say where a byte lies.
        for byte in [0, 550, 10_050, 19_999, 99_950] {
            let found = reader.tell("seek", json!({"name": "a", "bytes": byte}));
            assert_eq!(
                (&found["index"], &found["offset"]),
                (&json!(byte / 100), &json!(byte % 100))
            );
        }
        // What gannet has not is waited for, and comes from who has it.
        let rest = reader.begin("digest", json!({"name": "a"}));
        writer.connect(&reader.port);
        assert_eq!(reader.end(rest)["sha256"], writer.digest("a")["sha256"]);
    }
}

#[test]
fn some_blocks_of_a_core_are_found_at_javascript() {
    if left_out() {
        return;
    }
    let home = Home::hyper();
    let (mut writer, some) = (Hub::new("11"), [(3, 4), (40_000, 40_100), (69_990, 70_000)]);
    let made = writer.create("a", false, 70_000, 10);
    let key = text(&made, "key");
    for core in ["10", "11"] {
        let (scratch, mut middle) = (Scratch::new(), Hub::new(core));
        middle.open("a", key);
        writer.connect(&middle.port);
        middle.tell("until", json!({"name": "a", "length": 70_000}));
        for (start, end) in some {
            middle.tell("download", json!({"name": "a", "start": start, "end": end}));
        }
        middle.tell("disconnect", json!({}));
        some.iter().for_each(|range| get(&home, key, &scratch.name("here"), *range, &middle));
    }
}

/// Reads through gannet what a writer has of all its cores.
fn all_same(reader: &mut Hub, writer: &mut Hub, count: u64) {
    for name in (0..count).map(|n| format!("core {n}")) {
        let there = writer.digest(&name);
        let read = reader.whole(&name, there["length"].as_u64().unwrap(), 0);
        assert_eq!(read["sha256"], there["sha256"], "{name}");
    }
}

#[test]
fn one_stream_carries_many_cores_which_come_and_go() {
    if left_out() {
        return;
    }
    const COUNT: u64 = 12;
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (mut writer, mut reader) = (Hub::new("11"), Hub::new("10"));
    let name = |n: u64| format!("core {n}");
    let keys: Vec<String> = (0..COUNT)
        .map(|n| text(&writer.create(&name(n), n % 2 == 0, 7 * n + 1, 100), "key").to_owned())
        .collect();
    let folder = scratch.name("seeds");
    let mut words =
        vec!["seed", "--dir", str(&folder), "--no-discovery", "--listen", "127.0.0.1:0"];
    let from = writer.address();
    words.extend(["--peer", &from]);
    words.extend(keys.iter().map(String::as_str));
    let mut seed = home.gannet(&words);
    let at = listening(&seed.expect("ready"));
    (0..COUNT).for_each(|n| drop(reader.open(&name(n), &keys[n as usize])));
    reader.connect(&at);
    all_same(&mut reader, &mut writer, COUNT);
    (0..COUNT).for_each(|n| drop(writer.append(&name(n), 3, 1000)));
    all_same(&mut reader, &mut writer, COUNT);
    // A channel that is closed and opened again, with news and without.
    for news in [0, 2, 0] {
        reader.tell("close", json!({"name": name(3)}));
        writer.append(&name(3), news, 10);
        reader.open(&name(3), &keys[3]);
        all_same(&mut reader, &mut writer, COUNT);
    }
    // Both sides lose the connection; gannet finds the writer again, the reader gannet.
    reader.tell("disconnect", json!({}));
    reader.connect(&at);
    writer.append(&name(5), 2, 10);
    writer.tell("disconnect", json!({}));
    writer.append(&name(6), 2, 10);
    all_same(&mut reader, &mut writer, COUNT);
    seed.kill();
    let joined = seed.kill_and_hear("peer_joined");
    assert!(joined.len() <= 5, "{joined:?}");
}

#[test]
fn large_and_empty_blocks_are_passed_on() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (mut writer, mut reader) = (Hub::new("11"), Hub::new("11"));
    let made = writer.create("a", false, 2, 1 << 20);
    for (count, size) in [(1, 7_900_000), (1, 8 << 20), (1, 0), (10, 1 << 20)] {
        writer.append("a", count, size);
    }
    let key = text(&made, "key");
    let mut seed = home.seed(key, &scratch.name("seeds"), &["--peer", &writer.address()]);
    reader.open("a", key);
    reader.connect(&listening(&seed.expect("ready")));
    assert_eq!(reader.whole("a", 15, 0)["sha256"], writer.digest("a")["sha256"]);
}

#[test]
fn one_process_serves_peers_of_dat_of_hypercore_and_of_gannet_at_once() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let mut old = js("feed.js", &["--core", "7", "--live", "--blocks", "50", "--sizes", "300"]);
    let feed = old.expect("ready");
    let mut writer = Hub::new("11");
    let made = writer.create("a", false, 50, 300);
    let (dat, hyper) = (format!("dat://{}", text(&feed, "key")), text(&made, "key").to_owned());
    let (folder, from) = (scratch.name("seeds"), format!("127.0.0.1:{}", port(&feed)));
    let more = [&*hyper, "--peer", &from, "--peer", &writer.address()];
    let mut seed = home.seed(&dat, &folder, &more);
    let at = listening(&seed.expect("ready"));
    let here = format!("127.0.0.1:{at}");
    let words = ["--core", "7", "--live", "--key", text(&feed, "key"), "--connect", &at];
    let mut old_reader = js("feed.js", &words);
    let mut reader = Hub::new("10");
    reader.open("a", &hyper);
    reader.connect(&at);
    let mut followed: Vec<_> = [&dat, &hyper]
        .into_iter()
        .enumerate()
        .map(|(n, link)| home.seed(link, &scratch.name(&format!("{n}")), &["--peer", &here]))
        .collect();
    for (count, length) in [(0, 50), (1, 51), (20, 71)] {
        let mut there = feed.clone();
        if count > 0 {
            old.say(&format!("append {count}"));
            there = old.expect("appended");
            writer.append("a", count, 300);
        }
        let told = old_reader.expect_where("synced", |synced| synced["length"] == length);
        assert_eq!(told["sha256"], there["sha256"]);
        assert_eq!(reader.whole("a", length, 0)["sha256"], writer.digest("a")["sha256"]);
        for seed in &mut followed {
            seed.expect_where("complete", |complete| complete["version"] == length);
        }
    }
    let mut status = home.gannet_quiet(&["status", str(&folder), "--json"]);
    let told = status.output().expect("it runs").stdout;
    let told: Value = serde_json::from_slice(&told).expect("a status");
    let dialects = told["peers"].as_array().expect("peers").iter();
    let of = |dialect: &str| dialects.clone().filter(|peer| peer["dialect"] == dialect).count();
    // A writer, a reader in JavaScript and one of ours of each.
    assert_eq!((of("dat"), of("hypercore")), (3, 3), "{told}");
}

#[test]
fn bees_and_blobs_are_passed_on() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (mut writer, mut reader) = (Hub::new("11"), Hub::new("11"));
    let bee = writer.tell("create", json!({"name": "bee"}));
    let blobs = writer.tell("create", json!({"name": "blobs"}));
    let entries = |from: u64, to: u64| -> serde_json::Map<String, Value> {
        (from..to).map(|n| (format!("key {n}"), format!("value {n}").into())).collect()
    };
    writer.tell("bee", json!({"name": "bee", "puts": entries(0, 300)}));
    let put = json!({"name": "blobs", "sizes": [1, 65_536, 65_537, 200_000, 200_000]});
    let put = writer.tell("blobs", put);
    let keys = [text(&bee, "key"), text(&blobs, "key")];
    let more = [keys[1], "--peer", &writer.address()];
    let mut seed = home.seed(keys[0], &scratch.name("seeds"), &more);
    let at = listening(&seed.expect("ready"));
    reader.open("bee", keys[0]);
    reader.open("blobs", keys[1]);
    reader.connect(&at);
    let length = put["length"].as_u64().expect("a length");
    reader.tell("until", json!({"name": "blobs", "length": length}));
    for id in put["ids"].as_array().expect("ids") {
        let what = json!({"name": "blobs", "blob": id});
        let (read, written) = (reader.tell("blob", what.clone()), writer.tell("blob", what));
        assert_eq!((&read["length"], &read["sha256"]), (&written["length"], &written["sha256"]));
    }
    // Pieces of it are asked for as the tree is walked, its newest version included.
    for (step, dels) in [(0, 0), (1, 40)] {
        let dels: Vec<String> = (0..dels).map(|n| format!("key {}", 3 * n)).collect();
        let now = writer
            .tell("bee", json!({"name": "bee", "puts": entries(300, 300 + step), "dels": dels}));
        reader.tell("until", json!({"name": "bee", "length": now["length"]}));
        let what = json!({"name": "bee"});
        let (read, written) = (reader.tell("entries", what.clone()), writer.tell("entries", what));
        assert_eq!(read["entries"], written["entries"]);
    }
    seed.stop();
}

/// Who knows only a discovery key opens a core with a capability that is made up.
#[test]
fn who_does_not_know_the_key_gets_nothing() {
    if left_out() {
        return;
    }
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (from, mut stranger) = (scratch.name("from"), Hub::new("11"));
    home.core_create(&from);
    home.core_append(&from, b"one\ntwo\n", None);
    let mut serve = home.core_serve(&from, &[]);
    let at = listening(&serve.expect("ready"));
    let key = home.core_key(&from);
    let id =
        crate::tools::hex(&::gannet::crypto::hash::discovery_key(&crate::tools::key_bytes(&key)));
    stranger.connect(&at);
    let seen = stranger.tell("guess", json!({"discoveryKey": id}));
    // The connection is ended.
    assert_eq!(seen["heard"], json!([]));
    // Others are served on.
    let mut reader = Hub::new("10");
    reader.open("a", &key);
    reader.connect(&at);
    assert_eq!(text(&reader.whole("a", 2, 0), "sha256"), sha256(b"onetwo"));
    // A key that is not known here gets nothing, on a stream where another one gets all.
    let other: Value = reader.create("b", false, 1, 1);
    let (other, folder) = (text(&other, "key"), scratch.name("seeds"));
    let peer = format!("127.0.0.1:{at}");
    let more = [&*key, "--peer", &peer];
    let mut both = home.seed(other, &folder, &more);
    for length in [2, 3] {
        if length == 3 {
            home.core_append(&from, b"three\n", None);
        }
        both.expect_where("complete", |told| told["key"] == *key && told["version"] == length);
    }
    both.stop();
    let held = |key: &str| {
        let kept = folder.join(key);
        let words = ["core", "info", "--json", str(&kept)];
        let told = home.gannet_quiet(&words).output().expect("it runs").stdout;
        let told: Value = serde_json::from_slice(&told).expect("facts");
        told["have"].as_u64().expect("a number")
    };
    assert_eq!((held(&key), held(other)), (3, 0));
}
