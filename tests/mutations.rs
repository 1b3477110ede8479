//! The planted bugs of `tests/sim/mutations` fit the sources as they are, each in one place alone,
//! and are on the list in docs/TESTING.md. `contrib/mutate.sh` runs the simulator on them.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a hunk that are there before, and those that are there after.
#[derive(Default)]
struct Hunk {
    before: Vec<String>,
    after: Vec<String>,
}

/// The file that each part of a patch changes, with its hunks.
fn hunks(patch: &str) -> Vec<(String, Vec<Hunk>)> {
    let mut files: Vec<(String, Vec<Hunk>)> = Vec::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            files.push((name.to_owned(), Vec::new()));
            continue;
        }
        let Some((_, hunks)) = files.last_mut() else { continue };
        if line.starts_with("@@ ") {
            hunks.push(Hunk::default());
            continue;
        }
        let Some(hunk) = hunks.last_mut() else { continue };
        let (mark, text) = line.split_at_checked(1).unwrap_or((" ", ""));
        if mark != "+" && !line.starts_with("diff ") {
            hunk.before.push(text.to_owned());
        }
        if mark != "-" && !line.starts_with("diff ") {
            hunk.after.push(text.to_owned());
        }
    }
    files
}

/// Line numbers, from 0, at which these lines stand.
fn places(file: &str, lines: &[String]) -> Vec<usize> {
    let all: Vec<&str> = file.lines().collect();
    let here = |at: &usize| all[*at..].iter().zip(lines).all(|(a, b)| a == b);
    (0..(all.len() + 1).saturating_sub(lines.len())).filter(here).collect()
}

fn patches() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/mutations");
    let mut all: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn every_planted_bug_fits_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut found = 0;
    for path in patches() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let files = hunks(&fs::read_to_string(&path).unwrap());
        assert!(!files.is_empty(), "{name} changes nothing");
        for (file, hunks) in files {
            assert!(file.starts_with("src/"), "{name} changes {file}");
            assert!(!hunks.is_empty(), "{name} does not change {file}");
            let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
            for hunk in hunks {
                found += 1;
                assert_ne!(hunk.before, hunk.after, "{name}");
                let places = places(&text, &hunk.before);
                if places.len() != 1 {
                    let count = places.len();
                    wrong.push(format!("{name}: its lines stand {count} times in {file}"));
                }
            }
        }
    }
    assert!(found >= 12, "{found} planted bugs");
    assert!(wrong.is_empty(), "make these patches anew:\n{}", wrong.join("\n"));
}

#[test]
fn every_planted_bug_is_on_the_list() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TESTING.md");
    let list = fs::read_to_string(list).unwrap();
    for path in patches() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(list.contains(&format!("| `{name}` |")), "{name} is not in docs/TESTING.md");
    }
}

#[test]
fn the_reader_of_patches_reads_them() {
    let patch = "diff --git a/src/x.rs b/src/x.rs\n--- a/src/x.rs\n+++ b/src/x.rs\n\
                 @@ -2,3 +2,3 @@ impl X {\n same\n-old\n+new\n \n";
    let files = hunks(patch);
    let (name, hunks) = &files[0];
    assert_eq!((name.as_str(), files.len(), hunks.len()), ("src/x.rs", 1, 1));
    assert_eq!(hunks[0].before, ["same", "old", ""]);
    assert_eq!(hunks[0].after, ["same", "new", ""]);
    assert_eq!(places("first\nsame\nold\n\nsame\nold\n", &hunks[0].before), [1]);
    assert_eq!(places("same\nold\n\nsame\nold\n\n", &hunks[0].before), [0, 3]);
    assert_eq!(places("same\nnew\n\n", &hunks[0].before), [0; 0]);
}

/// `contrib/mutate.sh` on a copy of the tree that has nothing but itself, with a cargo whose sweep
/// says `says` and fails as `code`.
fn mutate(says: &str, code: u8) -> (bool, String) {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    let scratch = std::env::temp_dir().join(format!("gannet-mutate-{}-{code}", std::process::id()));
    for dir in ["bin", "tree/contrib"] {
        fs::create_dir_all(scratch.join(dir)).unwrap();
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/mutate.sh");
    let script = scratch.join("tree/contrib/mutate.sh");
    fs::copy(ours, &script).unwrap();
    let sweep = format!("case \"$*\" in *--no-run*) ;; *) {says}; exit {code} ;; esac");
    for (name, body) in [("git", "printf 'contrib/mutate.sh\\0'"), ("cargo", &sweep[..])] {
        let program = scratch.join("bin").join(name);
        fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", scratch.join("bin").display());
    let output = Command::new("sh").arg(&script).env("PATH", path).output().unwrap();
    fs::remove_dir_all(&scratch).unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_sweep_that_dies_without_a_word_is_red() {
    let red = "the sweep is red without any planted bug: ";
    assert_eq!(mutate("echo killed", 101), (false, format!("{red}fails with 101\n")));
    let said = "echo 'first: copy 0: other bytes'; echo 'first: copy 1: more'";
    assert_eq!(mutate(said, 1), (false, format!("{red}copy 0: other bytes\n")));
}
