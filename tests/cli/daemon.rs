//! `gannet daemon`, what is told to it while it runs, and its file.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Home, Running};

const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
const PATIENCE: Duration = Duration::from_secs(30);

fn file(home: &Home) -> std::path::PathBuf {
    home.path(".config/gannet/gannet.toml")
}

pub fn write_file(home: &Home, text: &str) {
    std::fs::create_dir_all(home.path(".config/gannet")).unwrap();
    let text = format!("listen = \"127.0.0.1\"\ndiscovery = false\n{text}");
    std::fs::write(file(home), text).unwrap();
}

/// A daemon that can be asked.
pub fn daemon(home: &Home, text: &str) -> Running {
    write_file(home, text);
    let running = Running::start(home.command(&["daemon", "--json", "-v"]));
    until("it answers", || home.run(&["bans"]).code == 0);
    running
}

#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn json(home: &Home, words: &[&str]) -> Value {
    serde_json::from_str(home.run(&[words, &["--json"]].concat()).ok()).unwrap()
}

/// A home whose daemon shares a folder, and the folder's link and the daemon's address.
pub fn sharing() -> (Home, Running, String, String) {
    sharing_with("")
}

/// The same with this before it in its file.
pub fn sharing_with(settings: &str) -> (Home, Running, String, String) {
    let home = Home::new();
    std::fs::create_dir(home.path("photos")).unwrap();
    std::fs::write(home.path("photos/a.txt"), "one").unwrap();
    let share = format!("[[share]]\ndir = \"{}\"\n", home.path("photos").display());
    let running = daemon(&home, &format!("{settings}{share}"));
    let ready = running.event("ready");
    let [link, at] = [&ready["link"], &ready["listen"][0]].map(|v| v.as_str().unwrap().to_owned());
    (home, running, link, at)
}

fn holds(home: &Home, name: &str, text: &str) -> bool {
    std::fs::read_to_string(home.path(name)).is_ok_and(|there| there == text)
}

#[test]
fn what_is_added_is_kept_paused_resumed_and_removed_and_remembered() {
    let (theirs, _sharing, link, at) = sharing();
    let home = Home::new();
    let peers = format!("peers = [\"{at}\"]\n");
    let running = daemon(&home, &peers);
    assert_eq!(home.run(&["add", "clone", &link, "copy"]).ok(), format!("{link}\n"));
    until("it is copied", || holds(&home, "copy/a.txt", "one"));
    let again = home.run(&["add", "clone", &link, "other"]);
    again.failed(1, "this is kept already, in ");
    assert!(!home.path("other/.dat").exists());
    // Paused, nothing comes; it is listed, and says that it rests.
    home.run(&["pause", "copy"]).ok();
    std::fs::write(theirs.path("photos/b.txt"), "two").unwrap();
    let status = json(&home, &["status"]);
    assert_eq!(
        (&status["drives"][0]["state"], &status["feeds"][0]["paused"]),
        (&Value::from("paused"), &Value::from(true))
    );
    std::thread::sleep(Duration::from_secs(2));
    assert!(!home.path("copy/b.txt").exists());
    // It is so after a restart, too.
    assert_eq!(running.stop(), 0);
    let running = daemon(&home, &peers);
    until("it is listed", || json(&home, &["status"])["drives"][0]["state"] == "paused");
    std::thread::sleep(Duration::from_secs(1));
    assert!(!home.path("copy/b.txt").exists());
    home.run(&["resume", &link]).ok();
    until("it goes on", || holds(&home, "copy/b.txt", "two"));
    // Of the folder alone, and of a folder that the daemon knows nothing of.
    assert_eq!(json(&home, &["status", "copy"])["drives"][0]["link"], link.as_str());
    assert_eq!(json(&home, &["peers", "copy"]).as_array().unwrap().len(), 1);
    home.run(&["status", "."]).failed(3, "no drive and no feed here");
    // Removed, its files stay and somebody else may work on it; nothing comes back.
    assert_eq!(home.run(&["remove", "copy", "--json"]).ok(), "{\"ok\":true}\n");
    assert!(holds(&home, "copy/a.txt", "one"));
    assert_eq!(json(&home, &["status"])["drives"], Value::from(Vec::<Value>::new()));
    assert_eq!(json(&home, &["status", "copy"])["pid"], 0);
    home.run(&["remove", "copy"]).failed(3, "it is not kept here");
    let alone = home.start(&["clone", &link, "copy"]);
    alone.event("ready");
    home.run(&["add", "clone", &link, "copy"]).failed(1, "another process works on this folder");
    assert_eq!(alone.stop(), 0);
    assert_eq!(running.stop(), 0);
    let _running = daemon(&home, &peers);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(json(&home, &["status"])["drives"], Value::from(Vec::<Value>::new()));
}

#[test]
fn sighup_adds_and_removes_and_peers_stay_connected() {
    let (theirs, sharing, link, at) = sharing();
    let home = Home::new();
    let clone = format!(
        "peers = [\"{at}\"]\n[[clone]]\nlink = \"{link}\"\ndir = \"{}\"\n",
        home.path("copy").display()
    );
    let running = daemon(&home, &clone);
    until("it is copied", || holds(&home, "copy/a.txt", "one"));
    let peers = |home: &Home| json(home, &["peers"]).as_array().unwrap().clone();
    let before = peers(&theirs);
    assert_eq!(before.len(), 1);
    std::fs::create_dir(theirs.path("more")).unwrap();
    let both = ["photos", "more"]
        .map(|dir| format!("[[share]]\ndir = \"{}\"\n", theirs.path(dir).display()));
    write_file(&theirs, &both.concat());
    sharing.signal(Signal::HUP);
    assert_ne!(sharing.event("ready")["link"], link.as_str());
    assert_eq!(json(&theirs, &["status"])["drives"].as_array().unwrap().len(), 2);
    // A file with a mistake changes nothing, and says where it is.
    write_file(&theirs, "\n[[share]]\ndri = \"x\"\n");
    sharing.signal(Signal::HUP);
    let said = sharing.event("warning")["text"].as_str().unwrap().to_owned();
    assert!(said.starts_with("nothing is changed: ") && said.contains("gannet.toml:4: "), "{said}");
    assert_eq!(json(&theirs, &["status"])["drives"].as_array().unwrap().len(), 2);
    write_file(&theirs, &both[0]);
    sharing.signal(Signal::HUP);
    let gone = sharing.event("topic");
    assert_eq!(
        (&gone["state"], &gone["folder"]),
        (&Value::from("removed"), &Value::from(theirs.path("more").to_str().unwrap()))
    );
    // All the time the peer was there: it is the same connection.
    let after = peers(&theirs);
    assert_eq!(after.len(), 1);
    assert_eq!((&after[0]["addr"], &after[0]["id"]), (&before[0]["addr"], &before[0]["id"]));
    assert!(after[0]["age_s"].as_u64() >= before[0]["age_s"].as_u64());
    std::fs::write(theirs.path("photos/c.txt"), "three").unwrap();
    until("it still follows", || holds(&home, "copy/c.txt", "three"));
    let (code, left) = running.stop_and_hear("peer_left");
    assert_eq!((code, left.len()), (0, 1), "{left:?}");
}

/// The whole file, whatever else tests have in it.
fn rewrite(home: &Home, running: &Running, text: &str) {
    std::fs::write(file(home), text).unwrap();
    running.signal(Signal::HUP);
}

fn listens(home: &Home) -> String {
    json(home, &["status"])["listen"][0].as_str().unwrap().to_owned()
}

/// Its only peer: the address and how long it is there.
fn only_peer(home: &Home) -> (String, u64) {
    let peers = json(home, &["peers"]);
    let peers = peers.as_array().unwrap();
    assert_eq!(peers.len(), 1, "{peers:?}");
    (peers[0]["addr"].as_str().unwrap().to_owned(), peers[0]["age_s"].as_u64().unwrap())
}

fn connects(at: &str) -> bool {
    std::net::TcpStream::connect(at).is_ok()
}

#[test]
fn sighup_changes_where_peers_are_awaited_and_those_that_are_there_stay() {
    let (theirs, sharing, link, at) = sharing();
    let home = Home::new();
    let clone = |at: &str, dir: &str| {
        let dir = home.path(dir);
        format!("peers = [\"{at}\"]\n[[clone]]\nlink = \"{link}\"\ndir = \"{}\"\n", dir.display())
    };
    let running = daemon(&home, &clone(&at, "copy"));
    until("it is copied", || holds(&home, "copy/a.txt", "one"));
    let before = only_peer(&theirs);
    let share =
        format!("discovery = false\n[[share]]\ndir = \"{}\"\n", theirs.path("photos").display());
    // Somebody else has that one: the old one stays, and the user is told in a line.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    rewrite(&theirs, &sharing, &format!("listen = \"{taken}\"\n{share}"));
    let said = sharing.event("warning")["text"].as_str().unwrap().to_owned();
    assert!(said.starts_with(&format!("listen is not changed: {taken}: ")), "{said}");
    assert!(said.ends_with(&format!("; peers are still awaited at {at}")), "{said}");
    assert!(listens(&theirs) == at && connects(&at));
    // Another one, of which the system chooses the port.
    rewrite(&theirs, &sharing, &format!("listen = \"127.0.0.2\"\n{share}"));
    until("it listens elsewhere", || listens(&theirs).starts_with("127.0.0.2:"));
    let now_at = listens(&theirs);
    assert!(connects(&now_at) && !connects(&at));
    // Its own port, which it has to make free first.
    let port = now_at.rsplit(':').next().unwrap();
    let everywhere = format!("0.0.0.0:{port}");
    rewrite(&theirs, &sharing, &format!("listen = \"{everywhere}\"\n{share}"));
    until("it listens everywhere", || listens(&theirs) == everywhere);
    let near = format!("127.0.0.1:{port}");
    assert!(connects(&near));
    // All the time the peer was there.
    let after = only_peer(&theirs);
    assert!(after.0 == before.0 && after.1 >= before.1, "{before:?} {after:?}");
    std::fs::write(theirs.path("photos/b.txt"), "two").unwrap();
    until("it still follows", || holds(&home, "copy/b.txt", "two"));
    let (code, left) = running.stop_and_hear("peer_left");
    assert_eq!((code, left.len()), (0, 1), "{left:?}");
    // Who comes from now on finds it there.
    let _running = daemon(&home, &clone(&near, "again"));
    until("it is copied again", || holds(&home, "again/b.txt", "two"));
}

#[test]
fn sighup_changes_the_command_that_is_run_on_events() {
    let (home, sharing, ..) = sharing_with("exec = \"echo $GANNET_PATH >> one\"\n");
    let lines = |name: &str| std::fs::read_to_string(home.path(name)).unwrap_or_default();
    let files = || json(&home, &["status"])["drives"][0]["files"].as_u64();
    // What is banned tells that the file was read.
    let change = |exec: &str, mark: &str| {
        let share = format!("[[share]]\ndir = \"{}\"\n", home.path("photos").display());
        write_file(&home, &format!("{exec}[hosts]\nbanned = [\"{mark}\"]\n{share}"));
        sharing.signal(Signal::HUP);
        until("the file is read", || home.run(&["bans"]).ok().contains(mark));
    };
    until("it is run", || lines("one").contains("a.txt"));
    change("exec = \"echo $GANNET_PATH >> two\"\n", "192.0.2.1");
    let before = lines("one");
    std::fs::write(home.path("photos/b.txt"), "two").unwrap();
    until("the other one is run", || lines("two").contains("b.txt"));
    change("", "192.0.2.2");
    std::fs::write(home.path("photos/c.txt"), "three").unwrap();
    until("it is published", || files() == Some(3));
    assert_eq!(sharing.stop(), 0);
    assert_eq!(lines("one"), before, "the old one is run");
    assert!(!lines("two").contains("c.txt"), "it is run still");
}

#[test]
fn sighup_changes_what_seeds_may_store_down_and_up_and_away() {
    let (theirs, _sharing, link, at) = sharing();
    let big: Vec<u8> =
        (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(theirs.path("photos/big"), &big).unwrap();
    let home = Home::new();
    let seed = |limit: &str| {
        let dir = home.path("seeds");
        format!(
            "peers = [\"{at}\"]\n[limits]\n{limit}\n[[seed]]\nlink = \"{link}\"\ndir = \"{}\"\n",
            dir.display()
        )
    };
    let running = daemon(&home, &seed("max_storage = \"2 MiB\""));
    let quota = || json(&home, &["status"])["quota"].clone();
    let have = || -> u64 {
        let status = json(&home, &["status"]);
        status["feeds"].as_array().unwrap().iter().map(|feed| feed["have"].as_u64().unwrap()).sum()
    };
    let all = || -> u64 {
        let status = json(&theirs, &["status"]);
        status["feeds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|feed| feed["length"].as_u64().unwrap())
            .sum()
    };
    let used = |quota: &Value| quota["used"].as_u64().unwrap_or_default();
    until("some of it does not fit", || {
        let quota = quota();
        quota["dropped"].as_u64() > Some(0) && used(&quota) > 1 << 20
    });
    let change = |limit: &str| {
        write_file(&home, &seed(limit));
        running.signal(Signal::HUP);
    };
    change("max_storage = \"1 MiB\"");
    until("what is too much goes", || {
        let quota = quota();
        quota["max"] == 1 << 20 && used(&quota) <= 1 << 20
    });
    change("max_storage = \"64 MiB\"");
    until("all of it fits", || have() == all() && quota()["dropped"] == 0);
    change("max_storage = \"1 MiB\"");
    until("it goes again", || {
        quota()["max"] == 1 << 20 && used(&quota()) <= 1 << 20 && have() < all()
    });
    change("");
    until("there is no bound", || quota() == Value::Null && have() == all());
    assert_eq!(only_peer(&home).0, at);
    assert_eq!(running.stop(), 0);
}

/// What cannot be opened, by the folder, and why.
fn unopened(home: &Home, words: &[&str]) -> Vec<(String, String)> {
    let status = json(home, words);
    let all = status["unopened"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter().map(|one| (text(&one["folder"]), text(&one["why"]))).collect()
}

#[test]
fn d11_what_cannot_be_opened_stands_in_the_status_and_is_kept_once_it_can_be() {
    let (_theirs, _sharing, link, at) = sharing();
    let home = Home::new();
    home.run(&["core", "create", "clock"]).ok();
    let holder = home.start(&["core", "serve", "clock"]);
    holder.event("ready");
    let dir = |name: &str| home.path(name).display().to_string();
    let entries = format!(
        "peers = [\"{at}\"]\n[[share]]\ndir = \"{}\"\n[[core]]\ndir = \"{}\"\n\
         [[clone]]\nlink = \"{link}\"\ndir = \"{}\"\n",
        dir("missing"),
        dir("clock"),
        dir("copy")
    );
    let running = daemon(&home, &entries);
    until("the good one is copied", || holds(&home, "copy/a.txt", "one"));
    until("both are told of", || unopened(&home, &["status"]).len() == 2);
    let both = unopened(&home, &["status"]);
    assert_eq!((&both[0].0, &both[1].0), (&dir("missing"), &dir("clock")));
    assert!(both[0].1.contains("there is nothing there"), "{both:?}");
    assert!(both[1].1.contains("another process works on this folder"), "{both:?}");
    let text = home.run(&["status"]);
    let lines = format!("share in {}: cannot be opened, tried again ", dir("missing"));
    assert!(text.ok().contains(&lines) && text.text().contains(&format!("  {}", both[0].1)));
    // Of that folder alone, and nothing of it when another is asked about.
    assert_eq!(unopened(&home, &["status", "missing"]), both[..1]);
    assert_eq!(unopened(&home, &["status", "copy"]), []);
    // It is open soon after it can be, by itself, and nothing is said of it any more.
    std::fs::create_dir(home.path("missing")).unwrap();
    std::fs::write(home.path("missing/b.txt"), "two").unwrap();
    until("it is shared", || unopened(&home, &["status"]) == both[1..]);
    assert_eq!(holder.stop(), 0);
    until("it is served", || unopened(&home, &["status"]).is_empty());
    assert_eq!(json(&home, &["status", "clock"])["feeds"].as_array().unwrap().len(), 1);
    // Each of the two was warned of once, however often it was tried.
    let (code, warned) = running.stop_and_hear("warning");
    assert_eq!((code, warned.len()), (0, 2), "{warned:?}");
}

#[test]
fn what_cannot_be_opened_can_be_removed_and_paused() {
    let home = Home::new();
    home.run(&["core", "create", "clock"]).ok();
    let running = daemon(&home, "");
    home.run(&["add", "core", "clock"]).ok();
    assert_eq!(running.stop(), 0);
    std::fs::rename(home.path("clock"), home.path("elsewhere")).unwrap();
    let running = daemon(&home, "");
    until("it is told of", || unopened(&home, &["status"]).len() == 1);
    home.run(&["pause", "clock"]).ok();
    std::fs::rename(home.path("elsewhere"), home.path("clock")).unwrap();
    running.signal(Signal::HUP);
    until("it is open", || unopened(&home, &["status"]).is_empty());
    assert_eq!(json(&home, &["status"])["feeds"][0]["paused"], true);
    assert_eq!(running.stop(), 0);
    std::fs::rename(home.path("clock"), home.path("elsewhere")).unwrap();
    let running = daemon(&home, "");
    until("it is told of", || unopened(&home, &["status"]).len() == 1);
    home.run(&["remove", "clock"]).ok();
    assert_eq!(unopened(&home, &["status"]), []);
    assert_eq!(running.stop(), 0);
}

#[test]
fn l08_bans_are_set_listed_kept_and_lifted() {
    let (theirs, sharing, link, at) = sharing();
    let home = Home::new();
    let clone = format!(
        "peers = [\"{at}\"]\n[[clone]]\nlink = \"{link}\"\ndir = \"{}\"\n",
        home.path("copy").display()
    );
    let _running = daemon(&home, &clone);
    until("it is copied", || holds(&home, "copy/a.txt", "one"));
    theirs.run(&["ban", "127.0.0.1", "--for", "2h"]).ok();
    assert_eq!(sharing.event("peer_left")["reason"], "banned");
    let id = json(&home, &["id"])["id"].as_str().unwrap().to_owned();
    theirs.run(&["ban", &id]).ok();
    assert_eq!(json(&theirs, &["peers"]), Value::from(Vec::<Value>::new()));
    drop(sharing);
    let text = std::fs::read_to_string(file(&theirs)).unwrap();
    let banned =
        format!("[hosts]\nbanned = [\"192.0.2.9\"]\n{}", text.split_once("false\n").unwrap().1);
    let _sharing = daemon(&theirs, &banned);
    let bans = json(&theirs, &["bans"]);
    let all: Vec<(&str, &str)> = bans
        .as_array()
        .unwrap()
        .iter()
        .map(|ban| (ban["who"].as_str().unwrap(), ban["by"].as_str().unwrap()))
        .collect();
    assert_eq!(all, [("127.0.0.1", "operator"), (&id, "operator"), ("192.0.2.9", "file")]);
    assert!(bans[0]["ends_in_s"].as_u64().is_some_and(|s| s > 7000 && s <= 7200));
    assert_eq!(bans[1]["ends_in_s"], Value::Null);
    let text = theirs.run(&["bans"]);
    assert!(text.ok().contains(&format!("{id}: until it is lifted, by operator\n")));
    theirs.run(&["unban", "127.0.0.1"]).ok();
    theirs.run(&["unban", &id]).ok();
    theirs.run(&["unban", &id]).failed(1, "is not banned: see gannet bans");
    theirs.run(&["unban", "192.0.2.9"]).failed(1, "banned by the configuration file");
    assert_eq!(json(&theirs, &["bans"]).as_array().unwrap().len(), 1);
}

#[test]
fn l08_whom_we_banned_and_dialled_in_vain_is_a_peer_soon_after_the_ban_is_lifted() {
    let (theirs, _sharing, link, at) = sharing();
    let home = Home::new();
    let clone = format!(
        "peers = [\"{at}\"]\n[[clone]]\nlink = \"{link}\"\ndir = \"{}\"\n",
        home.path("copy").display()
    );
    let _running = daemon(&home, &clone);
    let count = || json(&home, &["peers"]).as_array().unwrap().len();
    until("it is copied", || holds(&home, "copy/a.txt", "one"));
    let id = json(&theirs, &["id"])["id"].as_str().unwrap().to_owned();
    home.run(&["ban", &id]).ok();
    let failed = |times: &str| home.run(&["peers"]).ok().contains(&format!("failed {times} times"));
    until("it was dialled in vain", || failed("5"));
    assert_eq!(count(), 0);
    let lifted = std::time::Instant::now();
    home.run(&["unban", &id]).ok();
    until("it is back", || count() == 1);
    // The pause that had been due is sixteen seconds, a quarter more or less.
    assert!(lifted.elapsed() < std::time::Duration::from_secs(10), "{:?}", lifted.elapsed());
}

#[test]
fn a_core_that_the_daemon_serves_is_appended_to_through_it() {
    let home = Home::new();
    home.run(&["core", "create", "clock"]).ok();
    let running = daemon(&home, "");
    let added = json(&home, &["add", "core", "clock"]);
    assert_eq!(added["folder"], home.path("clock").to_str().unwrap());
    assert_eq!(home.feed(&["core", "append", "clock"], b"a\nb\n").ok(), "2 blocks\n");
    assert_eq!(json(&home, &["status", "clock"])["feeds"][0]["length"], 2);
    assert_eq!(home.run(&["core", "truncate", "clock", "1"]).ok(), "1 blocks\n");
    assert_eq!(json(&home, &["candidates"]), Value::from(Vec::<Value>::new()));
    home.run(&["candidates", "clock"]).ok();
    // What the daemon keeps it keeps alone, until it is told otherwise.
    home.run(&["core", "serve", "clock"]).failed(4, "another process works on this folder");
    home.run(&["remove", "clock"]).ok();
    home.start(&["core", "serve", "clock"]).event("ready");
    assert_eq!(running.stop(), 0);
}

#[test]
fn seeds_of_one_directory_come_and_go_and_its_lock_is_free_after_the_last() {
    let home = Home::new();
    let other = KEY.replace('0', "1");
    let _running = daemon(
        &home,
        &format!("[[seed]]\nlink = \"dat://{KEY}\"\ndir = \"{}\"\n", home.path("s").display()),
    );
    home.run(&["add", "seed", &format!("dat://{other}"), "--dir", "s"]).ok();
    until("both are there", || json(&home, &["status"])["drives"].as_array().unwrap().len() == 2);
    let file = file(&home);
    home.run(&["remove", KEY]).failed(1, &format!("{} names it", file.display()));
    write_file(&home, "");
    _running.signal(Signal::HUP);
    _running.event("topic");
    home.run(&["seed", &format!("dat://{other}"), "--dir", "s", "--no-discovery"])
        .failed(4, "another process works on this folder");
    home.run(&["remove", &other]).ok();
    home.start(&["seed", &format!("dat://{other}"), "--dir", "s"]).event("ready");
    assert!(home.path("s").join(KEY).join("metadata.key").exists());
}

#[test]
fn what_cannot_be_done_is_one_line() {
    let home = Home::new();
    std::fs::create_dir(home.path("photos")).unwrap();
    for words in
        [&["add", "share", "photos"][..], &["remove", KEY], &["ban", "10.0.0.1"], &["bans"]]
    {
        home.run(words).failed(3, "no daemon runs; start it with gannet daemon");
    }
    let _running = daemon(&home, "");
    home.run(&["daemon"]).failed(4, "a daemon runs already");
    home.run(&["add", "share", "missing"]).failed(3, "there is nothing there");
    home.run(&["add", "core", "photos"]).failed(3, "no feed here");
    home.run(&["pause", "photos"]).failed(3, "it is not kept here; see gannet status");
    home.run(&["ban", "nobody"]).failed(2, "neither a host's id in full nor an address");
    home.run(&["ban", "10.0.0.1", "--for", "2"]).failed(2, "as in 2h");
    home.run(&["unban", "10.0.0.1"]).failed(1, "is not banned");
    home.run(&["add", "fly", "x"]).failed(2, "fly");
    assert!(!home.path("missing").exists());
}

#[test]
fn config_check_tells_the_line() {
    let home = Home::new();
    home.run(&["config", "check"]).failed(3, "gannet.toml: there is nothing there");
    write_file(&home, "[[seed]]\nlink = \"hyper://x\"\n");
    home.run(&["config", "check"]).failed(2, "gannet.toml:4: link: ");
    home.run(&["daemon"]).failed(2, "gannet.toml:4: link: ");
    write_file(
        &home,
        "[limits]\nmax_peers = 3\nupload_rate = \"2 MB\"\n[[share]]\ndir = \"~/photos\"\n",
    );
    let right = home.run(&["config", "check"]);
    assert!(right.ok().ends_with(": right, with 1 shared, 0 cloned, 0 seeded and 0 bare\n"));
    assert_eq!(json(&home, &["config", "check"])["shares"], 1);
    std::fs::write(home.path("other.toml"), [0xff, 0xfe]).unwrap();
    home.run(&["config", "check", "other.toml"]).failed(2, "other.toml: not UTF-8 text");
    home.run(&["config", "check", "photos"]).failed(3, "photos: there is nothing there");
    // The one that comes with the program is right.
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/gannet.toml");
    home.run(&["config", "check", example.to_str().unwrap()]).ok();
}
