//! Commands that stay, and asking them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Home, Running};

/// What the drive is one of.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Dat,
    Hyper,
}

impl Kind {
    /// The number that people know a version by, after so many entries.
    fn version(self, entries: u64) -> u64 {
        entries + u64::from(self == Kind::Hyper)
    }
}

/// Each of these once for every kind of drive.
macro_rules! of_both_kinds {
    ($($name:ident)*) => {
        mod dat {
            $(#[test] fn $name() { super::$name(super::Kind::Dat) })*
        }
        mod hyper {
            $(#[test] fn $name() { super::$name(super::Kind::Hyper) })*
        }
    };
}

of_both_kinds! {
    a_running_share_answers_and_can_be_looked_into
    a_clone_is_equal_and_ends_with_complete
    a_clone_follows_and_both_sides_know_their_peer
    f05_the_content_feed_opens_for_peers_from_before_and_after_block_zero
    d10_a_signal_ends_it_in_order
    sigusr1_prints_the_status
    interrupted_before_it_was_done_is_code_130
    a_damaged_seed_is_repaired_from_its_peers
    a_repair_fetches_what_was_lost_and_no_more
    what_an_edit_supersedes_is_no_damage_and_nobody_waits_for_it_unsaid
    a_seed_keeps_and_serves
}

/// Where a seed is kept.
fn kept(link: &str) -> String {
    let link: gannet::link::Link = link.parse().unwrap();
    format!("seeds/{}", link.key)
}

/// A home with a folder of three files, shared; the share, its link and its address.
fn shared(kind: Kind) -> (Home, Running, String, String) {
    let home = Home::new();
    std::fs::create_dir_all(home.path("folder/sub")).unwrap();
    std::fs::write(home.path("folder/a.txt"), "hello\n").unwrap();
    std::fs::write(home.path("folder/empty"), "").unwrap();
    let noise: Vec<u8> = (0..200_000u32).map(|n| (n * 31 + n / 251) as u8).collect();
    std::fs::write(home.path("folder/sub/b.bin"), noise).unwrap();
    std::fs::set_permissions(home.path("folder/a.txt"), PermissionsExt::from_mode(0o640)).unwrap();
    let share = match kind {
        Kind::Dat => home.start(&["share", "folder", "--dat"]),
        Kind::Hyper => home.start(&["share", "folder"]),
    };
    let (link, address) = ready(&share);
    assert!(link.starts_with(if kind == Kind::Dat { "dat://" } else { "hyper://" }), "{link}");
    let published = share.event("published");
    assert_eq!((&published["files"], &published["bytes"]), (&3.into(), &200_006.into()));
    (home, share, link, address)
}

/// The first line of a share, seed or serve.
fn ready(run: &Running) -> (String, String) {
    let first: serde_json::Value = serde_json::from_str(&run.line()).unwrap();
    assert_eq!(first["event"], "ready");
    let link = first["link"].as_str().unwrap().to_owned();
    let parsed: gannet::link::Link = link.parse().unwrap();
    assert_eq!(first["key"], parsed.key.to_string());
    (link, first["listen"][0].as_str().unwrap().to_owned())
}

fn figures(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Waits until a file has this content.
#[track_caller]
fn becomes(path: &Path, content: &str) {
    let began = Instant::now();
    while std::fs::read_to_string(path).ok().as_deref() != Some(content) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn a_running_share_answers_and_can_be_looked_into(kind: Kind) {
    let (home, share, link, address) = shared(kind);
    let socket = std::fs::metadata(home.path("folder/.dat/gannet.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    let status = home.run(&["status", "folder"]);
    assert!(status.ok().starts_with(&format!(
        "gannet {} running as process {}",
        env!("CARGO_PKG_VERSION"),
        share.child.id()
    )));
    assert!(status.ok().contains(&link) && status.ok().contains("3 files, 200 kB"));
    let status = figures(home.run(&["status", "folder", "--json"]).ok());
    assert_eq!(status["pid"], share.child.id());
    assert_eq!(status["listen"][0], address);
    assert_eq!(status["drives"][0]["version"], kind.version(3));
    assert_eq!(home.run(&["peers", "folder"]).ok(), "0 peers\n");

    assert_eq!(home.run(&["ls", "folder"]).ok(), "a.txt\nempty\nsub/b.bin\n");
    assert_eq!(home.run(&["ls", "folder", "sub"]).ok(), "sub/b.bin\n");
    let (first, newest, none) = (kind.version(1), kind.version(3), kind.version(4));
    let early = home.run(&["ls", "folder", "--version", &first.to_string()]);
    match kind {
        Kind::Dat => assert_eq!(early.ok(), "a.txt\n"),
        Kind::Hyper => early.failed(3, "together with others; the next that can be looked at is 4"),
    }
    home.run(&["ls", "folder", "--version", &none.to_string()])
        .failed(3, &format!("no version {none}; the newest is {newest}"));
    home.run(&["ls", "folder", "nothing"])
        .failed(3, &format!("there is no nothing in version {newest}"));
    let long = home.run(&["ls", "folder", "a.txt", "-l"]);
    // Of the mode a hyperdrive has one bit, and no time.
    let start = match kind {
        Kind::Dat => "-rw-r-----            6 2",
        Kind::Hyper => "-rw-r--r--            6 - a.txt",
    };
    assert!(long.ok().starts_with(start), "{}", long.ok());
    let entry = figures(home.run(&["ls", "folder", "sub/b.bin", "--json"]).ok());
    assert_eq!((&entry["size"], &entry["version"]), (&200_000.into(), &newest.into()));

    let log = home.run(&["log", "folder"]);
    let line = log.ok().lines().next().unwrap();
    assert!(line.starts_with(&format!("{first}\tput\ta.txt\t6 B")), "{line}");
    assert_eq!(log.ok().lines().count(), 3);

    assert_eq!(home.run(&["cat", "folder", "a.txt", "empty"]).ok(), "hello\n");
    let bytes = home.run(&["cat", "folder", "sub/b.bin"]).out;
    assert_eq!(bytes, std::fs::read(home.path("folder/sub/b.bin")).unwrap());
    home.run(&["cat", "folder", "c.txt"]).failed(3, &format!("no c.txt in version {newest}"));
    assert_eq!(home.run(&["verify", "folder"]).ok(), "9 blocks checked, all well\n");

    home.run(&["share", "folder"]).failed(4, "another process");
    home.run(&["verify", "folder", "--repair"]).failed(4, "another process");
    assert_eq!(share.stop(), 0);
    assert!(!home.path("folder/.dat/gannet.sock").exists());
    let status = home.run(&["status", "folder"]);
    assert!(status.ok().starts_with("not running\n") && status.ok().contains("3 files, 200 kB"));
}

fn a_clone_is_equal_and_ends_with_complete(kind: Kind) {
    let (home, share, link, address) = shared(kind);
    let words = ["clone", &link, "copy", "--once", "--peer", &address];
    let clone = home.start(&words);
    assert_eq!(ready(&clone).0, link);
    let complete = clone.event("complete");
    assert_eq!((&complete["version"], &complete["files"]), (&kind.version(3).into(), &3.into()));
    let mut clone = clone;
    assert_eq!(crate::support::end(&mut clone.child), 0);
    for name in ["a.txt", "empty", "sub/b.bin"] {
        let (ours, theirs) = (home.path("folder").join(name), home.path("copy").join(name));
        assert_eq!(std::fs::read(&ours).unwrap(), std::fs::read(&theirs).unwrap(), "{name}");
        let (ours, theirs) = (ours.metadata().unwrap(), theirs.metadata().unwrap());
        if kind == Kind::Dat {
            assert_eq!(ours.permissions(), theirs.permissions(), "{name}");
        }
    }
    assert!(home.run(&["key", "show", "copy"]).ok().contains(&link));
    assert_eq!(home.run(&["verify", "copy"]).ok(), "9 blocks checked, all well\n");

    // A byte that changed under us is found, named, and not printed.
    let mut bytes = std::fs::read(home.path("copy/sub/b.bin")).unwrap();
    bytes[70_000] ^= 1;
    std::fs::write(home.path("copy/sub/b.bin"), bytes).unwrap();
    let done = home.run(&["verify", "copy"]);
    done.failed(5, "copy: 1 of 9 blocks damaged");
    assert_eq!(done.text(), "content feed: block 2 of sub/b.bin is damaged\n");
    let done = home.run(&["cat", "copy", "sub/b.bin"]);
    done.failed(5, "sub/b.bin does not hold what the drive says");
    assert_eq!(done.out.len(), 65_536);

    // Repaired from the share; what stood there is kept aside.
    let repair = ["verify", "copy", "--repair", "--peer", &address, "--listen", "127.0.0.1"];
    let done = home.run(&[&repair[..], &["--no-discovery"]].concat());
    assert_eq!(done.code, 0, "{}{}", done.text(), done.err);
    let whole = std::fs::read(home.path("folder/sub/b.bin")).unwrap();
    assert_eq!(std::fs::read(home.path("copy/sub/b.bin")).unwrap(), whole);
    let aside = std::fs::read(home.path("copy/sub/b.bin (damaged 1)")).unwrap();
    assert_eq!((aside.len(), aside == whole), (whole.len(), false));
    assert_eq!(home.run(&["verify", "copy"]).ok(), "9 blocks checked, all well\n");
    assert_eq!(home.run(&["verify", "copy", "--repair"]).ok(), "9 blocks checked, all well\n");
    assert_eq!(share.stop(), 0);

    // Nobody else can repair what is ours.
    std::fs::write(home.path("folder/a.txt"), "hallo\n").unwrap();
    assert_eq!(home.run(&["verify", "folder", "--repair"]).code, 5);
}

fn a_clone_follows_and_both_sides_know_their_peer(kind: Kind) {
    let (home, share, link, address) = shared(kind);
    let clone = home.start(&["clone", &link, "copy", "--peer", &address]);
    clone.event("complete");
    let peers = figures(home.run(&["peers", "copy", "--json"]).ok());
    assert_eq!(peers[0]["addr"], address);
    let dialect = if kind == Kind::Dat { "dat" } else { "hypercore" };
    assert_eq!(peers[0]["dialect"], dialect);
    assert!(home.run(&["peers", "folder"]).ok().starts_with("1 peer\n  from 127.0.0.1:"));
    std::fs::write(home.path("folder/new.txt"), "news").unwrap();
    becomes(&home.path("copy/new.txt"), "news");
    std::fs::remove_file(home.path("folder/a.txt")).unwrap();
    let began = Instant::now();
    while home.path("copy/a.txt").exists() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!((clone.stop(), share.stop()), (0, 0));
}

/// Two copies meet before either has block 0; the writer comes later, and a third copy last.
fn f05_the_content_feed_opens_for_peers_from_before_and_after_block_zero(kind: Kind) {
    let (home, share, link, _) = shared(kind);
    assert_eq!(share.stop(), 0);
    let far = home.start(&["clone", &link, "far"]);
    let (_, at_far) = ready(&far);
    let near = home.start(&["clone", &link, "near", "--peer", &at_far]);
    let (_, at_near) = ready(&near);
    near.event("peer_joined");
    far.event("peer_joined");
    assert!(!home.path("near/a.txt").exists());
    let share = home.start(&["share", "folder", "--peer", &at_near]);
    near.event("complete");
    far.event("complete");
    let late = home.start(&["clone", &link, "late", "--peer", &at_far]);
    late.event("complete");
    let bytes = std::fs::read(home.path("folder/sub/b.bin")).unwrap();
    for copy in ["near", "far", "late"] {
        assert!(std::fs::read(home.path(copy).join("sub/b.bin")).unwrap() == bytes, "{copy}");
    }
    assert_eq!((late.stop(), far.stop(), near.stop(), share.stop()), (0, 0, 0, 0));
}

fn d10_a_signal_ends_it_in_order(kind: Kind) {
    let (home, share, link, address) = shared(kind);
    let copy = home.start(&["clone", &link, "copy", "--peer", &address]);
    copy.event("complete");
    std::fs::write(home.path("folder/new.txt"), "news").unwrap();
    // How soon, the simulator knows: two seconds (`tests/sim`).
    assert_eq!(share.stop(), 0);
    copy.event("peer_left");
    for name in ["metadata.gannet.open", "content.gannet.open", "gannet.sock"] {
        assert!(!home.path("folder/.dat").join(name).exists(), "{name} is left");
    }
    assert!(home.run(&["verify", "folder"]).ok().contains("all well"));
    assert_eq!(copy.stop(), 0);
}

fn sigusr1_prints_the_status(kind: Kind) {
    let (_home, share, link, _) = shared(kind);
    share.signal(Signal::USR1);
    let status = share.event("status");
    assert_eq!(status["status"]["drives"][0]["link"], link);
    assert_eq!(share.stop(), 0);
}

fn interrupted_before_it_was_done_is_code_130(kind: Kind) {
    let home = Home::new();
    let scheme = if kind == Kind::Dat { "dat" } else { "hyper" };
    let link = format!("{scheme}://{}", "ab".repeat(32));
    let clone = home.start(&["clone", &link, "copy", "--once"]);
    ready(&clone);
    assert_eq!(clone.stop(), 130);
}

#[test]
fn an_address_that_is_taken_is_code_9() {
    let (home, share, _, address) = shared(Kind::Dat);
    std::fs::create_dir(home.path("other")).unwrap();
    let words = ["share", "other", "--listen", &address, "--no-discovery"];
    home.run(&words).failed(9, "the address is taken by another program");
    assert_eq!(share.stop(), 0);
}

/// In all kinds of feeds; a core takes blocks back, too.
#[test]
fn a_served_feed_takes_appends_and_is_read_by_link() {
    for kind in ["--dat", "--compat", ""] {
        served_and_read(kind);
    }
}

fn served_and_read(kind: &str) {
    let home = Home::new();
    let flags: Vec<&str> = [kind].into_iter().filter(|kind| !kind.is_empty()).collect();
    let made = home.run(&[&["core", "create", "feed"], &flags[..]].concat());
    let link = made.ok().trim().to_owned();
    home.feed(&["core", "append", "feed"], b"one\ntwo\n").ok();
    let serve = home.start(&["core", "serve", "feed"]);
    let (served, address) = ready(&serve);
    assert_eq!(served, link);
    assert_eq!(home.feed(&["core", "append", "feed"], b"three").ok(), "3 blocks\n");
    assert_eq!(home.run(&["core", "get", "feed", "2"]).ok(), "three\n");

    let network = ["--peer", &address, "--listen", "127.0.0.1", "--no-discovery", "-q"];
    let get = |words: &[&str]| {
        let words: Vec<&str> = words.iter().chain(&network).copied().collect();
        home.run(&words).ok().to_owned()
    };
    assert_eq!(get(&["core", "get", &link, "1", "--dir", "one"]), "two\n");
    assert_eq!(get(&["core", "get", &link, "1..", "--dir", "two"]), "two\nthree\n");
    assert_eq!(get(&["core", "tail", &link, "-n", "1", "--dir", "three"]), "three\n");
    assert_eq!(get(&["core", "get", &link, ".."]), "one\ntwo\nthree\n");

    let tail = home.command(&["core", "tail", &link, "-f", "-n", "2", "--dir", "four"]);
    let tail = following(tail, &network);
    assert_eq!((tail.line(), tail.line()), ("two".into(), "three".into()));
    // More than fits into one request, empty lines among them.
    let many: String = (0..20_000).map(|n| format!("{}\n", "x".repeat(n % 50))).collect();
    assert_eq!(home.feed(&["core", "append", "feed"], many.as_bytes()).ok(), "20003 blocks\n");
    for n in 0..20_000 {
        assert_eq!(tail.line().len(), n % 50);
    }
    assert_eq!(tail.stop(), 0);
    // A key in hex alone is taken for what is stored there, else for what is asked for.
    let key = link.parse::<gannet::link::Link>().unwrap().key.to_string();
    assert_eq!(get(&["core", "get", &key, "0", "--dir", "four"]), "one\n");
    let dat: &[&str] = if kind == "--dat" { &["--dat"] } else { &[] };
    let words = [&["core", "get", &key, "0", "--dir", "five"], dat].concat();
    assert_eq!(get(&words), "one\n");
    assert!(home.run(&["core", "info", "five"]).ok().contains(&link));

    // A damaged copy is repaired from its peer.
    let data = home.path("one/data");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    assert_eq!(home.run(&["verify", "one"]).code, 5);
    let words = [&["verify", "one", "--repair"][..], &network].concat();
    assert_eq!(home.run(&words).code, 0);
    assert_eq!(home.run(&["verify", "one"]).code, 0);
    if kind == "--dat" {
        home.run(&["core", "truncate", "feed", "2"]).failed(2, "never loses blocks");
    } else {
        let follower = home.command(&["core", "tail", &link, "-f", "-n", "1", "--dir", "six"]);
        let follower = following(follower, &network);
        assert_eq!(follower.line().len(), 49);
        assert_eq!(home.run(&["core", "truncate", "feed", "2"]).ok(), "2 blocks\n");
        let began = Instant::now();
        let length = |dir: &str| {
            let info = figures(home.run(&["core", "info", dir, "--json"]).ok());
            (info["fork"].as_u64().unwrap(), info["length"].as_u64().unwrap())
        };
        assert_eq!(length("feed"), (1, 2));
        while length("six") != (1, 2) {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", length("six"));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(follower.stop(), 0);
    }
    assert_eq!(serve.stop(), 0);
    // What was fetched is here without anybody.
    assert_eq!(home.run(&["core", "get", &link, "0..2"]).ok(), "one\ntwo\n");
    home.run(&["core", "get", "three", "1"]).failed(3, "block 1 is not here");
    assert_eq!(home.run(&["verify", "four"]).code, 0);
}

fn following(mut command: std::process::Command, network: &[&str]) -> Running {
    command.args(network);
    Running::start(command)
}

/// Turns a bit in the middle of a file.
fn damage(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn a_damaged_seed_is_repaired_from_its_peers(kind: Kind) {
    let (home, share, link, address) = shared(kind);
    let seed = home.start(&["seed", &link, "--dir", "seeds", "--peer", &address]);
    let kept = kept(&link);
    let began = Instant::now();
    while home.run(&["verify", &kept]).text() != "9 blocks checked, all well\n" {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(seed.stop(), 0);
    // Under another name: it is repaired where it is.
    std::fs::rename(home.path(&kept), home.path("moved")).unwrap();
    let network = ["--peer", &address, "--listen", "127.0.0.1", "--no-discovery"];
    let repair = [&["verify", "moved", "--repair"][..], &network].concat();
    for file in ["content.data", "metadata.data", "content.tree"] {
        damage(&home.path("moved").join(file));
        assert_eq!(home.run(&["verify", "moved"]).code, 5, "{file}");
        let done = home.run(&repair);
        assert_eq!(done.code, 0, "{file}: {}{}", done.text(), done.err);
        assert_eq!(home.run(&["verify", "moved"]).ok(), "9 blocks checked, all well\n", "{file}");
    }
    assert_eq!(home.run(&repair).ok(), "9 blocks checked, all well\n");
    assert_eq!(share.stop(), 0);
}

/// A key alone was taken for one of Hypercore, or the wrong one was said: the empty store that is left
/// is no hindrance, one with blocks is named.
#[test]
fn what_was_asked_for_under_a_wrong_name_comes_under_the_right_one() {
    let home = Home::new();
    for dat in [true, false] {
        let (folder, flags): (&str, &[&str]) = if dat { ("a", &["--dat"]) } else { ("b", &[]) };
        let made = home.run(&[&["core", "create", folder], flags].concat());
        let link = made.ok().trim().to_owned();
        home.feed(&["core", "append", folder], b"one\ntwo\n").ok();
        let serve = home.start(&["core", "serve", folder]);
        let (_, address) = ready(&serve);
        let network = ["--peer", &address, "--listen", "127.0.0.1", "--no-discovery"];
        let key = link.parse::<gannet::link::Link>().unwrap().key.to_string();
        let (wrong, rights): (&[&str], Vec<Vec<&str>>) = match dat {
            true => (&[], vec![vec![&key, "--dat"], vec![&link]]),
            false => (&["--dat"], vec![vec![&link]]),
        };
        for right in rights {
            let get = home.start(&[&["core", "get", &key, "0", "--dir", "got"], wrong].concat());
            let began = Instant::now();
            while !home.path("got/key").exists() {
                assert!(began.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_millis(20));
            }
            get.stop();
            let words = [&["core", "get", right[0], "0", "--dir", "got"], &right[1..]].concat();
            let done = home.run(&[&words[..], &network, &["--quiet"]].concat());
            assert_eq!((done.code, done.text()), (0, "one\n"), "{}", done.err);

            let seed = home.start(&[&["seed", &key, "--dir", "seeds"], wrong].concat());
            ready(&seed);
            seed.stop();
            let words = [&["seed", "--dir", "seeds"][..], &right, &network[..2]].concat();
            let seed = home.start(&words);
            seed.event("complete");
            assert_eq!(seed.stop(), 0);

            // What has blocks is not touched.
            let (other, words) = match dat {
                true => (format!("hyper://{key}"), "the link says that it is of Hypercore"),
                false => (key.clone(), "--dat says that it is of Dat"),
            };
            for place in [&["core", "get", &other, "0", "--dir", "got"][..], &["seed", &other]] {
                let seeds: &[&str] = if place[0] == "seed" { &["--dir", "seeds"] } else { &[] };
                home.run(&[place, seeds, wrong].concat()).failed(2, words);
            }
            assert_eq!(home.run(&["core", "get", "got", "0"]).ok(), "one\n");
            std::fs::remove_dir_all(home.path("got")).unwrap();
            std::fs::remove_dir_all(home.path("seeds")).unwrap();
        }
        assert_eq!(serve.stop(), 0);
    }
}

/// Of bare feeds, seeds of them and seeds of drives, of which not all is there.
fn a_repair_fetches_what_was_lost_and_no_more(kind: Kind) {
    let (home, share, drive, drive_at) = shared(kind);
    let dat: &[&str] = if kind == Kind::Dat { &["--dat"] } else { &[] };
    let link = home.run(&[&["core", "create", "feed"], dat].concat()).ok().trim().to_owned();
    let lines: String = (0..2000).map(|n| format!("line {n:050}\n")).collect();
    home.feed(&["core", "append", "feed"], lines.as_bytes()).ok();
    let serve = home.start(&["core", "serve", "feed"]);
    let (_, feed_at) = ready(&serve);
    for (link, address, part) in [(&link, &feed_at, "700..900"), (&drive, &drive_at, "0..3")] {
        let network = ["--peer", address, "--listen", "127.0.0.1", "--no-discovery"];
        let get = ["core", "get", link, part, "--dir", "part"];
        let got = home.run(&[&get[..], &network].concat());
        assert_eq!(got.code, 0, "{}", got.err);
        let have = || {
            let info = figures(home.run(&["core", "info", "part", "--json"]).ok());
            info["have"].as_u64().unwrap()
        };
        let before = have();
        assert!(before < 300, "{before}");
        for seeded in [false, true] {
            if seeded {
                // As a seed that lacks some keeps it.
                for file in std::fs::read_dir(home.path("part")).unwrap() {
                    let (from, name) = file.map(|f| (f.path(), f.file_name())).unwrap();
                    let to = format!("metadata.{}", name.to_string_lossy());
                    if !name.to_string_lossy().contains("sock") {
                        std::fs::rename(&from, from.with_file_name(to)).unwrap();
                    }
                }
            }
            let name = if seeded { "part/metadata.data" } else { "part/data" };
            let mut bytes = std::fs::read(home.path(name)).unwrap();
            let last = bytes.len() - 5;
            bytes[last] ^= 1;
            std::fs::write(home.path(name), bytes).unwrap();
            assert_eq!(home.run(&["verify", "part"]).code, 5, "{link} {seeded}");
            let done = home.run(&[&["verify", "part", "--repair"][..], &network].concat());
            assert_eq!(done.code, 0, "{link} {seeded}: {}{}", done.text(), done.err);
            assert_eq!(have(), before, "{link} {seeded}");
            let checked = home.run(&["verify", "part"]);
            if seeded && *link == drive {
                // Which files there are is not known whole.
                checked.failed(3, "not all entries are here");
            } else {
                assert_eq!(checked.ok(), format!("{before} blocks checked, all well\n"));
            }
        }
        std::fs::remove_dir_all(home.path("part")).unwrap();
    }
    assert_eq!((serve.stop(), share.stop()), (0, 0));
}

fn what_an_edit_supersedes_is_no_damage_and_nobody_waits_for_it_unsaid(kind: Kind) {
    let (home, share, link, address) = shared(kind);
    std::fs::write(home.path("folder/a.txt"), "another text\n").unwrap();
    std::fs::remove_file(home.path("folder/sub/b.bin")).unwrap();
    while share.event("published")["files"] != 2 {}
    let seen = home.run(&["verify", "folder"]);
    assert_eq!(seen.code, 0, "{}{}", seen.text(), seen.err);
    // The old text is nowhere any more, and a seed that would keep it says so.
    let seed = home.start(&["seed", &link, "--dir", "seeds", "--peer", &address]);
    let began = Instant::now();
    let waits = "waiting: no connected peer has the rest";
    while !home.run(&["status", "seeds"]).text().contains(waits) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{}",
            home.run(&["status", "seeds"]).text()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((share.stop(), seed.stop()), (0, 0));
}

fn a_seed_keeps_and_serves(kind: Kind) {
    let (home, share, link, address) = shared(kind);
    let seed = home.start(&["seed", &link, "--dir", "seeds", "--peer", &address]);
    let (seeded, seed_address) = ready(&seed);
    assert_eq!(seeded, link);
    let kept = kept(&link);
    let began = Instant::now();
    while home.run(&["verify", &kept]).text() != "9 blocks checked, all well\n" {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(share.stop(), 0);
    let words = ["clone", &link, "copy", "--once", "--peer", &seed_address];
    let mut clone = home.start(&words);
    clone.event("complete");
    assert_eq!(crate::support::end(&mut clone.child), 0);
    assert_eq!(std::fs::read_to_string(home.path("copy/a.txt")).unwrap(), "hello\n");
    assert!(home.run(&["status", "seeds"]).ok().contains("running as process"));
    assert_eq!(seed.stop(), 0);
    assert_eq!(home.run(&["cat", &kept, "a.txt"]).ok(), "hello\n");
    assert_eq!(home.run(&["ls", &kept]).ok(), "a.txt\nempty\nsub/b.bin\n");
    assert!(home.run(&["status", "seeds"]).ok().contains("metadata feed"));
}

/// A folder that is shared already stays what it is, whatever is asked for.
#[test]
fn a_shared_folder_keeps_its_kind() {
    for (first, then) in [("--dat", ""), ("", "--dat")] {
        let home = Home::new();
        std::fs::create_dir(home.path("folder")).unwrap();
        let mut links = Vec::new();
        for flag in [first, then] {
            let flag: Vec<&str> = [flag].into_iter().filter(|flag| !flag.is_empty()).collect();
            let share = home.start(&[&["share", "folder"], &flag[..]].concat());
            links.push(ready(&share).0);
            assert_eq!(share.stop(), 0);
        }
        assert_eq!(links[0], links[1]);
        assert!(links[0].starts_with(if first == "--dat" { "dat://" } else { "hyper://" }));
    }
}

/// Links and who may execute a file go along in a hyperdrive; its secret key can be moved.
#[test]
fn links_and_keys_of_a_hyperdrive() {
    let home = Home::new();
    std::fs::create_dir(home.path("folder")).unwrap();
    std::fs::write(home.path("folder/run"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(home.path("folder/run"), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("run", home.path("folder/link")).unwrap();
    let share = home.start(&["share", "folder"]);
    let (link, address) = ready(&share);
    share.event("published");
    let clone = home.start(&["clone", &link, "copy", "--once", "--peer", &address]);
    clone.event("complete");
    let mode = std::fs::metadata(home.path("copy/run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    assert_eq!(std::fs::read_link(home.path("copy/link")).unwrap(), Path::new("run"));
    let long = home.run(&["ls", "copy", "-l"]);
    assert_eq!(long.ok(), "lrwxrwxrwx            0 - link -> run\n-rwxr-xr-x           10 - run\n");
    assert!(home.run(&["log", "copy"]).ok().contains("\tlink\tlink\n"));
    home.run(&["cat", "copy", "link"]).failed(3, "link: this is a link to run");
    assert_eq!(share.stop(), 0);

    let secret = home.run(&["key", "export", "folder"]).out;
    let shown = home.run(&["key", "show", "folder"]);
    assert!(shown.ok().contains(&link) && shown.ok().ends_with("secret key     here\n"));
    std::fs::remove_dir_all(home.path(".dat")).unwrap();
    home.run(&["share", "folder"]).failed(3, "this drive's secret key is not here");
    home.run(&["key", "export", "folder"]).failed(3, "the secret key is not here");
    home.feed(&["key", "import", "folder"], &secret).ok();
    let share = home.start(&["share", "folder"]);
    assert_eq!(ready(&share).0, link);
    assert_eq!(share.stop(), 0);
}

/// One process keeps drives and bare feeds of both networks, under one lock, and hundreds of links that
/// nobody answers to cost no descriptor.
#[test]
fn many_seeds_of_all_kinds_in_one_process() {
    let (home, share, drive, at_share) = shared(Kind::Hyper);
    let mut links = vec![drive.clone()];
    let mut peers = vec![at_share];
    let mut serving = Vec::new();
    for (name, flag) in [("a", "--dat"), ("b", "--compat"), ("c", "--json")] {
        home.run(&["core", "create", name, flag]).ok();
        home.feed(&["core", "append", name], format!("one of {name}\ntwo\n").as_bytes()).ok();
        let serve = home.start(&["core", "serve", name]);
        let (link, address) = ready(&serve);
        links.push(link);
        peers.push(address);
        serving.push(serve);
    }
    let strangers = (0..200u8).map(|n| format!("hyper://{}", hex::encode([n; 32])));
    let mut words = vec!["seed".to_owned(), "--dir".into(), "seeds".into()];
    words.extend(links.iter().cloned().chain(strangers));
    peers.iter().for_each(|peer| words.extend(["--peer".to_owned(), peer.clone()]));
    let seed = home.start(&words);
    let mut served = std::collections::BTreeSet::new();
    let mut address = String::new();
    while !links.iter().all(|link| served.contains(link)) {
        let event = seed.event("ready");
        served.insert(event["link"].as_str().unwrap().to_owned());
        address = event["listen"][0].as_str().unwrap().to_owned();
    }
    let wait = |dir: &str, said: &str| {
        let began = Instant::now();
        while home.run(&["verify", dir]).text() != said {
            assert!(began.elapsed() < Duration::from_secs(20), "{dir}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait(&kept(&drive), "9 blocks checked, all well\n");
    links[1..].iter().for_each(|link| wait(&kept(link), "2 blocks checked, all well\n"));
    let fds = std::fs::read_dir(format!("/proc/{}/fd", seed.child.id())).unwrap().count();
    assert!(fds < 100, "{fds} descriptors for 204 seeds");
    home.run(&["seed", &drive, "--dir", "seeds"]).failed(4, "another process works on this");
    home.run(&["verify", &kept(&drive), "--repair"]).failed(4, "another process");

    // Those who wrote them go, and the seed serves on.
    assert_eq!(share.stop(), 0);
    serving.into_iter().for_each(|serve| assert_eq!(serve.stop(), 0));
    let network = ["--peer", &address, "--listen", "127.0.0.1", "--no-discovery", "-q"];
    for (link, name) in links[1..].iter().zip(["a", "b", "c"]) {
        let done = home.run(&[&["core", "get", link, "0"][..], &network].concat());
        assert_eq!(done.ok(), format!("one of {name}\n"));
    }
    let done = home.run(&[&["clone", &drive, "copy", "--once"][..], &network].concat());
    assert_eq!(done.code, 0, "{}{}", done.text(), done.err);
    assert_eq!(std::fs::read_to_string(home.path("copy/a.txt")).unwrap(), "hello\n");
    assert_eq!(seed.stop(), 0);
    assert!(home.run(&["status", "seeds"]).ok().contains(&drive));
}

/// Bytes of the blocks that a seed has, and the space that its files take.
fn stored(home: &Home, dir: &str) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let status = figures(home.run(&["status", dir, "--json"]).ok());
    let length = status["feeds"][0]["length"].as_u64().unwrap();
    let have = status["feeds"][0]["have"].as_u64().unwrap();
    assert!(have <= length);
    let data = std::fs::metadata(home.path(dir).join("metadata.data")).unwrap();
    (have * 1000, data.blocks() * 512)
}

/// What is over the bound goes, and its space with it; what is new still comes; a restart fetches nothing
/// of it again.
#[test]
fn a_seed_keeps_to_its_quota() {
    for kind in ["--dat", "--compat", "--json"] {
        let home = Home::new();
        home.run(&["core", "create", "core", kind]).ok();
        let noise = |from: u32| -> Vec<u8> {
            (from..from + 3_000_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
        };
        let append = ["core", "append", "core", "--block", "1000"];
        home.feed(&append, &noise(0)).ok();
        let serve = home.start(&["core", "serve", "core"]);
        let (link, address) = ready(&serve);
        let start = |peer: &str| {
            let words = ["seed", &link, "--dir", "seeds", "--peer", peer, "--max-storage", "1M"];
            home.start(&[&words[..], &["-vv"]].concat())
        };
        let kept = kept(&link);
        let seed = start(&address);
        let (_, at_seed) = ready(&seed);
        // What the bound allows for came, the rest is not even fetched.
        let length = || {
            let status = figures(home.run(&["status", "seeds", "--json"]).ok());
            let feed = &status["feeds"][0];
            (feed["length"].as_u64().unwrap(), feed["wanted"].as_u64().unwrap())
        };
        let settled = |blocks: u64| {
            let began = Instant::now();
            while length() != (blocks, 0) {
                assert!(began.elapsed() < Duration::from_secs(30), "{kind}: {:?}", length());
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        settled(3000);
        let network = ["--peer", &at_seed, "--listen", "127.0.0.1", "--no-discovery", "-q"];
        // What is left is served.
        let held = |n: &u32| home.run(&["core", "get", &kept, &n.to_string()]).code == 0;
        let block = (0..3000).rev().step_by(64).find(held).unwrap();
        let words = ["core", "get", &link, &block.to_string(), "--raw", "--dir", "one"];
        let got = home.run(&[&words[..], &network].concat());
        assert_eq!(got.out, noise(0)[block as usize * 1000..][..1000]);
        home.feed(&append, &noise(7)).ok();
        settled(6000);
        let status = figures(home.run(&["status", &kept, "--json"]).ok());
        let (used, dropped) = (&status["quota"]["used"], status["quota"]["dropped"].as_u64());
        let have = status["feeds"][0]["have"].as_u64().unwrap();
        assert_eq!(status["quota"]["max"], 1 << 20);
        assert_eq!((used.as_u64(), dropped), (Some(have * 1000), Some(6000 - have)), "{kind}");
        let said = home.run(&["status", "seeds"]);
        let text = said.ok();
        assert!(text.contains(&format!("\n  {have} of 6000 blocks kept (bound)\n")), "{text}");
        assert!(text.contains(" of 1.0 MB used, ") && !text.contains("files"), "{text}");
        let (code, stored_once) = seed.stop_and_hear("block_stored");
        assert!(code == 0 && stored_once.len() < 4500, "{kind}: {} fetched", stored_once.len());
        let (bytes, space) = stored(&home, &kept);
        assert!((500_000..1_100_000).contains(&bytes), "{kind}: {bytes} bytes stored");
        assert!(space < bytes + 300_000, "{kind}: {space} bytes of space for {bytes}");
        assert_eq!(home.run(&["verify", &kept]).code, 0);

        // A start finds it full and fetches nothing again, but what is new.
        let seed = start(&address);
        let (_, at_seed) = ready(&seed);
        settled(6000);
        home.feed(&["core", "append", "core"], b"new").ok();
        settled(6001);
        let network = ["--peer", &at_seed, "--listen", "127.0.0.1", "--no-discovery", "-q"];
        let words = ["core", "get", &link, "6000", "--dir", "two"];
        assert_eq!(home.run(&[&words[..], &network].concat()).ok(), "new\n");
        let (code, fetched) = seed.stop_and_hear("block_stored");
        let fetched: Vec<_> = fetched.iter().map(|event| event["index"].as_u64()).collect();
        assert_eq!((serve.stop(), code, fetched), (0, 0, vec![Some(6000)]), "{kind}");
        let (after, _) = stored(&home, &kept);
        assert!(after < 1_100_000 && after.abs_diff(bytes) < 200_000, "{kind}: {after}, {bytes}");
    }
}

/// A seed that is damaged is left out and the others are served; nothing but damage is a failure. A seed
/// among others is asked about where the process runs that keeps it.
#[test]
fn one_bad_seed_does_not_stop_the_others() {
    let home = Home::new();
    let mut links = Vec::new();
    for name in ["a", "b"] {
        links.push(home.run(&["core", "create", name]).ok().trim().to_owned());
        home.feed(&["core", "append", name], b"one\n").ok();
    }
    let network = ["--listen", "127.0.0.1", "--no-discovery"];
    let seed = |more: &[&str]| {
        home.start(&[&["seed", &links[0], &links[1], "--dir", "seeds"][..], more].concat())
    };
    let first = seed(&[]);
    ready(&first);
    let said = home.run(&["status", &kept(&links[0])]);
    assert!(said.ok().starts_with("gannet ") && said.ok().contains("running as process"));
    assert_eq!(first.stop(), 0);
    assert!(home.run(&["status", &kept(&links[0])]).ok().starts_with("not running"));

    // A process was killed between a directory and its key.
    std::fs::create_dir(home.path(format!("seeds/{}", "ab".repeat(32)))).unwrap();
    std::fs::write(home.path(kept(&links[0])).join("metadata.bitfield"), "nonsense").unwrap();
    let said = home.run(&["status", "seeds"]);
    let text = said.text();
    assert!(
        text.contains("metadata.bitfield does not begin") && text.contains("core feed"),
        "{text}"
    );
    let second = seed(&["-v"]);
    let warning = second.event("warning");
    let text = warning["text"].as_str().unwrap();
    assert!(text.starts_with("left out: ") && text.contains(&kept(&links[0])), "{text}");
    let said = figures(home.run(&["status", "seeds", "--json"]).ok());
    assert_eq!(said["drives"].as_array().unwrap().len(), 1);
    assert_eq!(said["quota"], serde_json::Value::Null);
    assert_eq!(second.stop(), 0);

    std::fs::write(home.path(kept(&links[1])).join("metadata.bitfield"), "nonsense").unwrap();
    let words = ["seed", &links[0], &links[1], "--dir", "seeds"];
    home.run(&[&words[..], &network].concat()).failed(5, "damaged");
}
