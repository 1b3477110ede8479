//! Bare feeds on the command line, with files that JavaScript wrote and files that it can read
//! (dat/SPEC §8).

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use gannet::crypto::sign::KeyPair;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::sys::linux::disk::LinuxDisk;
use gannet::time::Instant;

use crate::support::{Home, end};

const LINES: &str = "a\nbb\n\ndddd\nhello world\n";

fn vectors() -> serde_json::Value {
    let text = include_str!("../vectors/dat.json");
    serde_json::from_str::<serde_json::Value>(text).unwrap()["sleep"]["files"].take()
}

fn bytes(file: &serde_json::Value) -> Vec<u8> {
    if let Some(text) = file["hex"].as_str() {
        return hex::decode(text).unwrap();
    }
    // The bitfield is given by its header and the bytes that are not zero.
    let mut bytes = hex::decode(file["header"].as_str().unwrap()).unwrap();
    bytes.resize(file["size"].as_u64().unwrap() as usize, 0);
    for pair in file["nonZeroBytes"].as_array().unwrap() {
        bytes[32 + pair[0].as_u64().unwrap() as usize] = pair[1].as_u64().unwrap() as u8;
    }
    bytes
}

/// The five-block feed as hypercore 7 wrote it.
fn from_javascript(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    for (name, file) in vectors().as_object().unwrap() {
        std::fs::write(dir.join(name), bytes(file)).unwrap();
    }
}

/// An empty feed of this secret key (`core create` draws one).
fn create_with_key(dir: &Path, secret: [u8; 64]) {
    let mut disk = LinuxDisk::new();
    let root = disk.open_root(dir, true).unwrap();
    let pair = KeyPair::from_secret(secret).unwrap();
    let keys = Keys::dat(pair.public(), Some(pair), true);
    let store = FeedStore::create(&mut disk, root, "", keys, Content::File).unwrap();
    store.close(&mut disk, Instant(0)).unwrap();
}

/// What `core create` is told, and what the link begins with.
const KINDS: [(&[&str], &str); 3] =
    [(&["--dat"], "dat://"), (&[], "hyper://"), (&["--compat"], "hyper://")];

/// A home with a new feed, for each kind of feed; its link.
fn created() -> impl Iterator<Item = (Home, String)> {
    KINDS.iter().map(|(flags, scheme)| {
        let home = Home::new();
        let made = home.run(&[&["core", "create", "feed"], *flags].concat());
        let link = made.ok().trim().to_owned();
        let letters = if *scheme == "dat://" { 64 } else { 52 };
        assert_eq!(link.strip_prefix(scheme).unwrap().len(), letters, "{link}");
        (home, link)
    })
}

fn figures(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn created_appended_read_back() {
    for (home, link) in created() {
        let mode = std::fs::metadata(home.path("feed/secret_key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        home.run(&["core", "create", "feed"]).failed(1, "there is a feed here already");

        assert_eq!(home.feed(&["core", "append", "feed"], LINES.as_bytes()).ok(), "5 blocks\n");
        assert_eq!(home.run(&["core", "get", "feed", ".."]).ok(), LINES);
        assert_eq!(home.run(&["core", "get", "feed", "1"]).ok(), "bb\n");
        assert_eq!(home.run(&["core", "get", "feed", "3..", "--raw"]).ok(), "ddddhello world");
        assert_eq!(home.run(&["core", "tail", "feed", "-n", "2"]).ok(), "dddd\nhello world\n");
        assert_eq!(home.run(&["core", "get", "feed", "4..5"]).ok(), "hello world\n");
        home.run(&["core", "get", "feed", "5"]).failed(3, "the feed has 5 blocks");
        home.run(&["core", "get", "feed", "4..6"]).failed(3, "the feed has 5 blocks");

        let info = figures(home.run(&["core", "info", "feed", "--json"]).ok());
        assert_eq!(info["link"], link);
        assert_eq!(
            (&info["length"], &info["have"], &info["bytes"]),
            (&5.into(), &5.into(), &18.into())
        );
        assert_eq!(info["writable"], true);
        assert!(home.run(&["core", "info", "feed"]).ok().contains("5 blocks, 18 B"));
        assert!(home.run(&["status", "feed"]).ok().contains("5 of 5 blocks"));
        assert_eq!(home.run(&["verify", "feed"]).ok(), "5 blocks checked, all well\n");
        assert_eq!(home.run(&["peers", "feed"]).ok(), "not running\n0 peers\n");
        assert_eq!(home.run(&["peers", "feed", "--json"]).ok(), "[]\n");
        let shown = home.run(&["key", "show", "feed"]);
        assert!(shown.ok().contains(&link) && shown.ok().contains("secret key     here\n"));
        // A bare feed is no drive, of whatever kind.
        home.run(&["ls", "feed"]).failed(3, "a bare feed, not a drive");
    }
}

#[test]
fn info_says_of_which_kind_a_feed_is_and_who_signs() {
    let kinds = ["Dat", "manifest version 1, signed by 1 of 1", "compat: the key is the signer's"];
    for ((home, link), kind) in created().zip(kinds) {
        let text = home.run(&["core", "info", "feed"]);
        assert!(text.ok().contains(&format!("link           {link}\n")), "{}", text.ok());
        assert!(text.ok().contains(kind), "{}", text.ok());
        let info = figures(home.run(&["core", "info", "feed", "--json"]).ok());
        if kind == "Dat" {
            assert_eq!((&info["kind"], info.get("fork")), (&"dat".into(), None));
            continue;
        }
        assert_eq!((&info["kind"], &info["fork"]), (&"hypercore".into(), &0.into()));
        assert_eq!(info["quorum"], 1);
        let version = info.get("manifest_version");
        let same = info["signers"][0] == info["key"];
        assert_eq!((version.is_some(), same), (!kind.starts_with("compat"), version.is_none()));
    }
}

#[test]
fn a_core_takes_blocks_back_and_a_dat_feed_does_not() {
    for (home, link) in created() {
        home.feed(&["core", "append", "feed"], LINES.as_bytes()).ok();
        if link.starts_with("dat:") {
            home.run(&["core", "truncate", "feed", "2"]).failed(2, "never loses blocks");
            continue;
        }
        home.run(&["core", "truncate", "feed", "6"]).failed(3, "the core has 5 blocks");
        assert_eq!(home.run(&["core", "truncate", "feed", "2"]).ok(), "2 blocks\n");
        assert_eq!(home.run(&["core", "get", "feed", ".."]).ok(), "a\nbb\n");
        let info = figures(home.run(&["core", "info", "feed", "--json"]).ok());
        assert_eq!((&info["fork"], &info["length"]), (&1.into(), &2.into()));
        assert_eq!(home.feed(&["core", "append", "feed"], b"new").ok(), "3 blocks\n");
        assert_eq!(home.run(&["core", "get", "feed", ".."]).ok(), "a\nbb\nnew\n");
        assert_eq!(home.run(&["core", "truncate", "feed", "0"]).ok(), "0 blocks\n");
        assert_eq!(home.run(&["core", "get", "feed", ".."]).ok(), "");
        assert_eq!(home.run(&["verify", "feed"]).ok(), "0 blocks checked, all well\n");
        std::fs::remove_file(home.path("feed/secret_key")).unwrap();
        home.feed(&["core", "append", "feed"], b"x").failed(8, "secret key is not here");
    }
}

/// Blocks as JavaScript encrypts them (hyper/SPEC c.14).
#[test]
fn encrypted_blocks_are_read_with_either_key() {
    use gannet::feed::hyper::{Authority, EncryptionKey};
    let home = Home::new();
    let pair = KeyPair::from_seed([7; 32]);
    let keys = Keys::core_writer(pair, true);
    let gannet::store::Flavor::Core(Some(manifest)) = keys.flavor.clone() else { panic!() };
    let cipher = Authority::of(manifest).cipher(EncryptionKey::Store([9; 32]));
    let stored: Vec<Vec<u8>> = (0..3)
        .map(|index| {
            let mut block = [&[0; 8][..], format!("secret {index}").as_bytes()].concat();
            cipher.encrypt(index, 0, &mut block).unwrap();
            block
        })
        .collect();
    let mut disk = LinuxDisk::new();
    let root = disk.open_root(&home.path("feed"), true).unwrap();
    let mut store = FeedStore::create(&mut disk, root, "", keys, Content::File).unwrap();
    let blocks: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
    store.append(&mut disk, &blocks).unwrap();
    store.close(&mut disk, Instant(0)).unwrap();

    let clear = "secret 0\nsecret 1\nsecret 2\n";
    let (of_all, of_blocks) = (hex::encode([9; 32]), hex::encode(cipher.block_key()));
    let get = |flag: &str, key: &str| home.run(&["core", "get", "feed", "..", flag, key]);
    assert_eq!(get("--encryption-key", &of_all).ok(), clear);
    assert_eq!(get("--key-of-blocks", &of_blocks).ok(), clear);
    assert!(!home.run(&["core", "get", "feed", "0"]).out.ends_with(b"secret 0\n"));
    get("--encryption-key", &of_all[2..]).failed(2, "64 hex digits");

    // The same over the network: who passes the blocks on needs no key.
    let serve = home.start(&["core", "serve", "feed"]);
    let ready = serve.event("ready");
    let (link, address) =
        (ready["link"].as_str().unwrap().to_owned(), ready["listen"][0].as_str().unwrap());
    let words = ["core", "tail", &link, "--key-of-blocks", &of_blocks, "--peer", address, "-q"];
    let done = home.run(&[&words[..], &["--listen", "127.0.0.1", "--no-discovery"]].concat());
    assert_eq!(done.ok(), clear);
    assert_eq!(serve.stop(), 0);
}

#[test]
fn blocks_of_a_size_and_binary() {
    for (home, _) in created() {
        let input: Vec<u8> = (0..300_000u32).map(|n| (n * 7 + n / 256) as u8).collect();
        let appended = home.feed(&["core", "append", "feed", "--block", "64K"], &input);
        assert_eq!(appended.ok(), "5 blocks\n");
        assert_eq!(home.run(&["core", "get", "feed", "..", "--raw"]).out, input);
        assert_eq!(home.run(&["core", "get", "feed", "4", "--raw"]).out, &input[4 * 65536..]);
        assert_eq!(home.run(&["core", "append", "feed"]).ok(), "");
        assert_eq!(home.feed(&["core", "append", "feed", "-q"], b"x").ok(), "");
        assert_eq!(home.run(&["core", "get", "feed", "5"]).ok(), "x\n");
    }
}

#[test]
fn an_empty_feed() {
    for (home, _) in created() {
        assert_eq!(home.run(&["core", "get", "feed", ".."]).ok(), "");
        assert_eq!(home.run(&["core", "tail", "feed"]).ok(), "");
        assert_eq!(home.run(&["verify", "feed"]).ok(), "0 blocks checked, all well\n");
        home.run(&["core", "get", "feed", "0"]).failed(3, "the feed has 0 blocks");
    }
}

#[test]
fn files_of_javascript_are_read_verified_and_continued() {
    let home = Home::new();
    from_javascript(&home.path("feed"));
    assert_eq!(home.run(&["core", "get", "feed", ".."]).ok(), LINES);
    assert_eq!(home.run(&["verify", "feed"]).ok(), "5 blocks checked, all well\n");
    assert_eq!(home.feed(&["core", "append", "feed"], b"more").ok(), "6 blocks\n");
    assert_eq!(home.run(&["core", "get", "feed", "4.."]).ok(), "hello world\nmore\n");
    assert_eq!(home.run(&["verify", "feed"]).ok(), "6 blocks checked, all well\n");
}

/// With the same keys and blocks our files are those of JavaScript, byte for byte.
#[test]
fn our_files_are_those_of_javascript() {
    let home = Home::new();
    let dir = home.path("feed");
    create_with_key(&dir, bytes(&vectors()["secret_key"]).try_into().unwrap());
    assert_eq!(home.feed(&["core", "append", "feed"], LINES.as_bytes()).ok(), "5 blocks\n");
    for (name, file) in vectors().as_object().unwrap() {
        let ours = std::fs::read(dir.join(name)).unwrap();
        let theirs = bytes(file);
        // The index at the end of a bitfield page is an accelerator that may be zero.
        let compared = if name == "bitfield" { 32 + 3072 } else { theirs.len() };
        assert_eq!(hex::encode(&ours[..compared]), hex::encode(&theirs[..compared]), "{name}");
        assert_eq!(ours.len(), theirs.len(), "{name}");
    }
}

#[test]
fn damage_is_found_named_and_code_5() {
    let home = Home::new();
    from_javascript(&home.path("feed"));
    let data = home.path("feed/data");
    let mut damaged = std::fs::read(&data).unwrap();
    damaged[4] ^= 1;
    std::fs::write(&data, damaged).unwrap();
    let done = home.run(&["verify", "feed"]);
    done.failed(5, "feed: 1 of 5 blocks damaged; gannet verify --repair");
    assert_eq!(done.text(), "core feed: block 3 is damaged\n");
    let done = home.run(&["verify", "feed", "--json"]);
    let line: serde_json::Value = serde_json::from_str(done.text()).unwrap();
    assert_eq!((&line["event"], &line["number"]), (&"damaged".into(), &3.into()));
    assert_eq!(done.code, 5);
}

#[test]
fn who_has_no_secret_key_cannot_append() {
    let home = Home::new();
    from_javascript(&home.path("feed"));
    std::fs::remove_file(home.path("feed/secret_key")).unwrap();
    home.feed(&["core", "append", "feed"], b"x").failed(8, "the feed's secret key is not here");
    assert!(home.run(&["core", "info", "feed"]).ok().contains("writable       no\n"));
    assert_eq!(home.run(&["core", "get", "feed", "0"]).ok(), "a\n");
}

#[test]
fn one_writer_at_a_time_but_any_number_of_readers() {
    for (home, _) in created() {
        let mut first = home
            .command(&["core", "append", "feed"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = first.stdin.take().unwrap();
        input.write_all(b"one\n").unwrap();
        let began = std::time::Instant::now();
        while home.run(&["core", "get", "feed", ".."]).ok() != "one\n" {
            assert!(began.elapsed().as_secs() < 20, "what came is durable while the input pauses");
        }
        home.feed(&["core", "append", "feed"], b"two")
            .failed(4, "another process is working on it");
        drop(input);
        assert_eq!(end(&mut first), 0);
        assert_eq!(home.feed(&["core", "append", "feed"], b"two").ok(), "2 blocks\n");
    }
}

#[test]
fn a_writer_that_was_killed_left_a_feed_that_can_be_continued() {
    for (home, _) in created() {
        let mut killed = home
            .command(&["core", "append", "feed"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        killed.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
        let began = std::time::Instant::now();
        while home.run(&["core", "get", "feed", ".."]).ok() != "one\n" {
            assert!(began.elapsed().as_secs() < 20);
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert_eq!(home.feed(&["core", "append", "feed"], b"two").ok(), "2 blocks\n");
        assert_eq!(home.run(&["core", "get", "feed", ".."]).ok(), "one\ntwo\n");
        assert_eq!(home.run(&["verify", "feed"]).ok(), "2 blocks checked, all well\n");
    }
}
