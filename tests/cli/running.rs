//! Commands that stay, and asking them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Home, Running};

/// A home with a folder of three files, shared; the share, its link and its address.
fn shared() -> (Home, Running, String, String) {
    let home = Home::new();
    std::fs::create_dir_all(home.path("folder/sub")).unwrap();
    std::fs::write(home.path("folder/a.txt"), "hello\n").unwrap();
    std::fs::write(home.path("folder/empty"), "").unwrap();
    let noise: Vec<u8> = (0..200_000u32).map(|n| (n * 31 + n / 251) as u8).collect();
    std::fs::write(home.path("folder/sub/b.bin"), noise).unwrap();
    std::fs::set_permissions(home.path("folder/a.txt"), PermissionsExt::from_mode(0o640)).unwrap();
    let share = home.start(&["share", "folder", "--dat"]);
    let (link, address) = ready(&share);
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

#[test]
fn a_running_share_answers_and_can_be_looked_into() {
    let (home, share, link, address) = shared();
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
    assert_eq!(status["drives"][0]["version"], 3);
    assert_eq!(home.run(&["peers", "folder"]).ok(), "0 peers\n");

    assert_eq!(home.run(&["ls", "folder"]).ok(), "a.txt\nempty\nsub/b.bin\n");
    assert_eq!(home.run(&["ls", "folder", "sub"]).ok(), "sub/b.bin\n");
    assert_eq!(home.run(&["ls", "folder", "--version", "1"]).ok(), "a.txt\n");
    home.run(&["ls", "folder", "--version", "4"]).failed(3, "no version 4; the newest is 3");
    home.run(&["ls", "folder", "nothing"]).failed(3, "there is no nothing in version 3");
    let long = home.run(&["ls", "folder", "a.txt", "-l"]);
    assert!(long.ok().starts_with("-rw-r-----            6 2"), "{}", long.ok());
    let entry = figures(home.run(&["ls", "folder", "sub/b.bin", "--json"]).ok());
    assert_eq!((&entry["size"], &entry["version"]), (&200_000.into(), &3.into()));

    let log = home.run(&["log", "folder"]);
    let first = log.ok().lines().next().unwrap();
    assert!(first.starts_with("1\tput\ta.txt\t6 B\t"), "{first}");
    assert_eq!(log.ok().lines().count(), 3);

    assert_eq!(home.run(&["cat", "folder", "a.txt", "empty"]).ok(), "hello\n");
    let bytes = home.run(&["cat", "folder", "sub/b.bin"]).out;
    assert_eq!(bytes, std::fs::read(home.path("folder/sub/b.bin")).unwrap());
    home.run(&["cat", "folder", "c.txt"]).failed(3, "there is no c.txt in version 3");
    assert_eq!(home.run(&["verify", "folder"]).ok(), "9 blocks checked, all well\n");

    home.run(&["share", "folder"]).failed(4, "another process");
    home.run(&["verify", "folder", "--repair"]).failed(4, "another process");
    assert_eq!(share.stop(), 0);
    assert!(!home.path("folder/.dat/gannet.sock").exists());
    let status = home.run(&["status", "folder"]);
    assert!(status.ok().starts_with("not running\n") && status.ok().contains("3 files, 200 kB"));
}

#[test]
fn a_clone_is_equal_and_ends_with_complete() {
    let (home, share, link, address) = shared();
    let words = ["clone", &link, "copy", "--once", "--peer", &address];
    let clone = home.start(&words);
    assert_eq!(ready(&clone).0, link);
    let complete = clone.event("complete");
    assert_eq!((&complete["version"], &complete["files"]), (&3.into(), &3.into()));
    let mut clone = clone;
    assert_eq!(crate::support::end(&mut clone.child), 0);
    for name in ["a.txt", "empty", "sub/b.bin"] {
        let (ours, theirs) = (home.path("folder").join(name), home.path("copy").join(name));
        assert_eq!(std::fs::read(&ours).unwrap(), std::fs::read(&theirs).unwrap(), "{name}");
        let (ours, theirs) = (ours.metadata().unwrap(), theirs.metadata().unwrap());
        assert_eq!(ours.permissions(), theirs.permissions(), "{name}");
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

#[test]
fn a_clone_follows_and_both_sides_know_their_peer() {
    let (home, share, link, address) = shared();
    let clone = home.start(&["clone", &link, "copy", "--peer", &address]);
    clone.event("complete");
    let peers = figures(home.run(&["peers", "copy", "--json"]).ok());
    assert_eq!(peers[0]["addr"], address);
    assert_eq!(peers[0]["dialect"], "dat");
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
#[test]
fn f05_the_content_feed_opens_for_peers_from_before_and_after_block_zero() {
    let (home, share, link, _) = shared();
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

#[test]
fn d10_a_signal_ends_it_in_order_and_soon() {
    let (home, share, link, address) = shared();
    let copy = home.start(&["clone", &link, "copy", "--peer", &address]);
    copy.event("complete");
    std::fs::write(home.path("folder/new.txt"), "news").unwrap();
    let began = Instant::now();
    assert_eq!(share.stop(), 0);
    // Two seconds, which the simulator holds it to, and some for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    copy.event("peer_left");
    for name in ["metadata.gannet.open", "content.gannet.open", "gannet.sock"] {
        assert!(!home.path("folder/.dat").join(name).exists(), "{name} is left");
    }
    assert!(home.run(&["verify", "folder"]).ok().contains("all well"));
    assert_eq!(copy.stop(), 0);
}

#[test]
fn sigusr1_prints_the_status() {
    let (_home, share, link, _) = shared();
    share.signal(Signal::USR1);
    let status = share.event("status");
    assert_eq!(status["status"]["drives"][0]["link"], link);
    assert_eq!(share.stop(), 0);
}

#[test]
fn interrupted_before_it_was_done_is_code_130() {
    let home = Home::new();
    let link = format!("dat://{}", "ab".repeat(32));
    let clone = home.start(&["clone", &link, "copy", "--once"]);
    ready(&clone);
    assert_eq!(clone.stop(), 130);
}

#[test]
fn an_address_that_is_taken_is_code_9() {
    let (home, share, _, address) = shared();
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

#[test]
fn a_damaged_seed_is_repaired_from_its_peers() {
    let (home, share, link, address) = shared();
    let seed = home.start(&["seed", &link, "--dir", "seeds", "--peer", &address]);
    let kept = format!("seeds/{}", &link["dat://".len()..]);
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

#[test]
fn what_an_edit_supersedes_is_no_damage_and_nobody_waits_for_it_unsaid() {
    let (home, share, link, address) = shared();
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

#[test]
fn a_seed_keeps_and_serves() {
    let (home, share, link, address) = shared();
    let seed = home.start(&["seed", &link, "--dir", "seeds", "--peer", &address]);
    let (seeded, seed_address) = ready(&seed);
    assert_eq!(seeded, link);
    let kept = format!("seeds/{}", &link["dat://".len()..]);
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
