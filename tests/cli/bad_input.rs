//! Bad input gets one clear line and an exit code of its own kind.

use std::os::unix::fs::PermissionsExt;

use crate::support::Home;

const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

/// Command lines that make no sense: code 2, nothing touched.
#[test]
fn words_that_make_no_sense() {
    let short = &KEY[2..];
    let long = format!("dat://{KEY}ff");
    let other_digit = KEY.replace('0', "g");
    let web = format!("https://{KEY}");
    let version = format!("dat://{KEY}+new");
    let two_versions = format!("dat://{KEY}+3");
    let hyper = format!("hyper://{KEY}");
    let cases: &[(&[&str], &str)] = &[
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["shre", "."], "'share'"),
        (&["share"], "<DIR>"),
        (&["share", ".", "--loud"], "--loud"),
        (&["share", ".", "-q", "-v"], "cannot be used with"),
        (&["clone"], "<LINK>"),
        (&["clone", ""], "the link is empty"),
        (&["clone", short], "has 62 letters and digits; a key is 64 hexadecimal digits, or 52"),
        (&["clone", &long], "66 hex digits, it should have 64"),
        (&["clone", &other_digit], "\"g\" does not belong in a key"),
        (&["clone", &web], "\"https\" is not a scheme"),
        (&["clone", &version], "\"+new\" is not a version"),
        (&["clone", &two_versions, "--version", "4"], "version 3 and --version says 4"),
        (&["clone", KEY, "--version", "-1"], "-1"),
        (&["clone", KEY, "--peer", "nas"], "HOST:PORT"),
        (&["clone", KEY, "--peer", "nas:0"], "from 1 to 65535"),
        (&["clone", KEY, "--listen", "nas"], "127.0.0.1:3282"),
        (&["seed"], "<LINKS>"),
        (&["seed", KEY, "abc"], "has 3 letters and digits"),
        (&["core", "append", ".", "--block", "0"], "1 to"),
        (&["core", "append", ".", "--block", "9M"], "1 to"),
        (&["core", "get", ".", "x"], "blocks are numbers"),
        (&["core", "get", ".", "5..2"], "no blocks from 5 to 2"),
        (&["core", "get", "dat://abc", "0"], "3 hex digits"),
        (
            &["clone", "hyper://yyy"],
            "has 3 letters and digits; a key is 64 hexadecimal digits, or 52",
        ),
        (
            &["clone", "hyper://abc"],
            "has 3 letters and digits; a key is 64 hexadecimal digits, or 52",
        ),
        (&["clone", &hyper, "--dat"], "--dat says that it is one of Dat"),
        (&["core", "get", &hyper, "0", "--dat"], "--dat says that it is one of Dat"),
        (&["core", "get", &hyper, "0", "--encryption-key", "ab"], "64 hex digits"),
        (&["core", "create", "new", "--dat", "--compat"], "cannot be used with"),
        (&["core", "tail", ".", "-n", "many"], "many"),
        (&["key", "hide", "."], "hide"),
    ];
    let home = Home::new();
    for (words, expected) in cases {
        home.run(words).failed(2, expected);
    }
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
}

/// Places that are not there, or not what they should be: code 3.
#[test]
fn places_that_are_not_there() {
    let home = Home::new();
    std::fs::write(home.path("file"), "x").unwrap();
    std::fs::create_dir(home.path("empty")).unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["share", "missing"], "missing: there is nothing there"),
        (&["share", "file"], "file: not a folder"),
        (&["clone", KEY, "file"], "file: not a folder"),
        (&["seed", KEY, "--dir", "file"], "file: not a folder"),
        (&["status", "missing"], "missing: there is nothing there"),
        (&["status", "empty"], "no drive and no feed here"),
        (&["peers", "empty"], "no drive and no feed here"),
        (&["log", "empty"], "no drive and no feed here"),
        (&["ls", "empty"], "no drive and no feed here"),
        (&["ls", "file"], "file: not a folder"),
        (&["cat", "empty", "a"], "no drive and no feed here"),
        (&["verify", "empty"], "no drive and no feed here"),
        (&["verify", "empty", "--repair"], "no drive and no feed here"),
        (&["key", "show", "empty"], "no drive and no feed here"),
        (&["key", "export", "missing"], "missing: there is nothing there"),
        (&["core", "append", "empty"], "no feed here; make one with gannet core create"),
        (&["core", "get", "empty", "0"], "no feed here"),
        (&["core", "info", "missing"], "missing: there is nothing there"),
        (&["core", "tail", "empty"], "no feed here"),
        (&["core", "serve", "empty"], "no feed here"),
    ];
    for (words, expected) in cases {
        home.run(words).failed(3, expected);
    }
    assert_eq!(std::fs::read_dir(home.path("empty")).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_written_is_code_8() {
    let home = Home::new();
    std::fs::create_dir(home.path("locked")).unwrap();
    std::fs::set_permissions(home.path("locked"), PermissionsExt::from_mode(0o555)).unwrap();
    if std::fs::write(home.path("locked/x"), "").is_ok() {
        // The superuser writes everywhere but where the file system itself refuses.
        home.run(&["core", "create", "/sys/feed"]).failed(8, "/sys/feed: access is refused");
        return;
    }
    home.run(&["core", "create", "locked/feed"]).failed(8, "access is refused");
}

#[test]
fn without_a_home_directory_one_is_asked_for() {
    let home = Home::new();
    let mut command = home.command(&["seed", KEY]);
    command.env_remove("HOME");
    crate::support::finish(command, b"").failed(3, "there is no home directory; set HOME");
}

#[test]
fn failures_as_json() {
    let home = Home::new();
    let done = home.run(&["--json", "share", "missing"]);
    assert_eq!(done.code, 3);
    let told: serde_json::Value = serde_json::from_str(&done.err).unwrap();
    assert_eq!(told["event"], "failed");
    assert_eq!(told["code"], 3);
    assert_eq!(told["what"], "missing: there is nothing there");
}

#[test]
fn a_name_with_control_characters_cannot_move_the_cursor() {
    let home = Home::new();
    home.run(&["share", "a\x1b[2Jb\nc"]).failed(3, "a\\u{1b}[2Jb\\u{a}c");
}
