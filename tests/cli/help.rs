//! Help.

use crate::support::Home;

const COMMANDS: &[&str] = &[
    "share",
    "clone",
    "seed",
    "daemon",
    "add",
    "remove",
    "pause",
    "resume",
    "hosts",
    "find",
    "config",
    "status",
    "peers",
    "candidates",
    "ban",
    "unban",
    "bans",
    "ping",
    "log",
    "ls",
    "cat",
    "verify",
    "key",
    "id",
    "core",
];

#[test]
fn help_names_every_command_and_gives_examples() {
    let home = Home::new();
    let help = home.run(&["--help"]);
    for command in COMMANDS {
        assert!(help.ok().contains(&format!("\n  {command} ")), "{command}");
    }
    assert!(help.ok().contains("Examples:\n") && help.ok().contains("Exit codes:"));
    for words in [
        &["share", "--help"][..],
        &["clone", "--help"],
        &["seed", "--help"],
        &["daemon", "--help"],
        &["add", "--help"],
        &["ban", "--help"],
        &["ls", "--help"],
        &["cat", "--help"],
        &["verify", "--help"],
        &["key", "--help"],
        &["ping", "--help"],
        &["core", "--help"],
        &["core", "append", "--help"],
        &["core", "get", "--help"],
        &["core", "tail", "--help"],
    ] {
        assert!(home.run(words).ok().contains("Examples:\n  "), "{words:?}");
    }
    for command in COMMANDS {
        assert!(home.run(&[command, "-h"]).ok().contains("Usage: gannet"), "{command}");
    }
}

#[test]
fn no_line_of_help_is_wider_than_a_page() {
    let home = Home::new();
    for command in COMMANDS {
        for line in home.run(&[command, "--help"]).ok().lines() {
            assert!(line.chars().count() <= 100, "{command}: {line}");
        }
    }
}

#[test]
fn no_words_at_all_is_a_question_for_help() {
    let home = Home::new();
    let done = home.run::<&str>(&[]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("Usage: gannet"));
}

#[test]
fn version() {
    let home = Home::new();
    assert_eq!(home.run(&["--version"]).ok(), concat!("gannet ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_reader_that_left_is_no_failure() {
    use std::process::Stdio;
    let home = Home::new();
    let mut child = home.command(&["--help"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(crate::support::end(&mut child), 0);
}
