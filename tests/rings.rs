//! Imports point down only: reads the `use` lines and paths of every source file and fails where a
//! ring uses what is above or beside it. docs/ARCHITECTURE.md has the picture.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules of each ring, from the bottom.
const RINGS: &[&[&str]] = &[
    &[
        "limits", "time", "rng", "ids", "host", "bits", "codec", "crypto", "link", "text",
        "failure", "few", "lent",
    ],
    &["feed", "drive", "folder", "wire"],
    &["conn", "sync", "swarm", "discovery", "store", "job"],
    &["node"],
    &["reactor", "sys"],
    &["daemon", "cli"],
];

/// What a module may use beside it, or above it where that is only the shape of things.
const ARROWS: &[(&str, &str)] = &[
    ("codec", "limits"),
    ("crypto", "codec"),
    ("crypto", "limits"),
    ("bits", "limits"),
    ("bits", "codec"),
    ("link", "limits"),
    ("rng", "time"),
    ("host", "crypto"),
    ("host", "link"),
    ("ids", "time"),
    ("drive", "feed"),
    // What is asked and proven, as messages carry it.
    ("wire", "feed"),
    ("job", "store"),
    ("reactor", "sys"),
    // `Sys` lends a `Disk`.
    ("sys", "store"),
    ("daemon", "cli"),
    ("cli", "daemon"),
];

/// What `sys` has in shapes rather than calls: where a stream listens, what an interface is, what
/// happened to a file.
const SHAPES: &[&str] = &[
    "sys::Bind",
    "sys::Change",
    "sys::Endpoint",
    "sys::Interface",
    "sys::Program",
    "sys::Signal",
    "sys::WatchEvent",
];

/// Of these modules the arrows only reach these paths, up or down.
const NARROW: &[(&str, &str, &[&str])] = &[
    ("sys", "store", &["store::disk"]),
    ("reactor", "store", &["store::disk"]),
    // The engine's side of the poll loop.
    ("node", "reactor", &["reactor::Engine"]),
    ("node", "sys", SHAPES),
    ("conn", "sys", SHAPES),
    ("discovery", "sys", SHAPES),
    ("job", "sys", SHAPES),
    // What `stat` says of a file.
    ("drive", "store", &["store::disk::Meta"]),
    // Types that are carried through, and the engine itself; no message, feed or folder.
    ("reactor", "node", &["node::io", "node::Node"]),
];

/// Modules that may use these of the crate and no others: the loop knows no message, feed or folder.
const ONLY: &[(&str, &[&str])] = &[
    ("reactor", &["limits", "time", "ids", "few", "node", "store", "sys"]),
    ("sys", &["limits", "time", "ids", "store"]),
];

/// Nobody below ring 4 may name these.
const SYSTEM_CRATES: &[&str] =
    &["mio", "rustix", "socket2", "inotify", "signal_hook", "signal_hook_mio", "getrandom"];

fn ring(module: &str) -> Option<usize> {
    RINGS.iter().position(|ring| ring.contains(&module))
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The source without comments, string contents and the unit tests at its end: tests of a ring may
/// use what they like.
fn code(text: &str) -> String {
    let text = text.find("\n#[cfg(test)]\nmod tests {").map_or(text, |end| &text[..end]);
    let strip = |line: &str| line.find("//").map_or(line.to_owned(), |at| line[..at].to_owned());
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

/// Paths that begin with `crate::`, braces resolved: `crate::{a::b, c}` gives `a::b` and `c`.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, word) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        expand(&code[at + word.len()..], String::new(), &mut found);
    }
    found
}

/// Adds the paths that `rest` begins with, each behind `prefix`; returns what follows them.
fn expand<'a>(rest: &'a str, prefix: String, out: &mut BTreeSet<String>) -> &'a str {
    let mut rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n', '\t']);
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => {
                    let before = rest.len();
                    rest = expand(rest, prefix.clone(), out);
                    if rest.len() == before {
                        return &rest[rest.len()..];
                    }
                }
            }
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let path = if prefix.is_empty() {
        rest[..end].to_owned()
    } else {
        format!("{prefix}::{}", &rest[..end])
    };
    rest = &rest[end..];
    match rest.strip_prefix("::") {
        Some(more) if more.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{') => {
            expand(more, path, out)
        }
        _ => {
            out.insert(path);
            // `use a as b` inside braces.
            match rest.strip_prefix(" as ") {
                Some(alias) => alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
                None => rest,
            }
        }
    }
}

fn allowed(from: &str, path: &str) -> bool {
    let to = path.split("::").next().unwrap_or_default();
    let (Some(here), Some(there)) = (ring(from), ring(to)) else {
        // A macro or something at the top of the crate.
        return ring(from).is_none() || ring(to).is_none();
    };
    if from == to {
        return true;
    }
    if let Some((_, only)) = ONLY.iter().find(|(f, _)| *f == from)
        && !only.contains(&to)
    {
        return false;
    }
    let narrow = NARROW.iter().find(|(f, t, _)| *f == from && *t == to);
    if let Some((_, _, paths)) = narrow {
        return paths.iter().any(|p| {
            path.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
    }
    there < here || here == 0 && there == 0 || ARROWS.contains(&(from, to))
}

#[test]
fn imports_point_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 20);
    let mut wrong = Vec::new();
    for file in &files {
        let below = file.strip_prefix(&src).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(here) = ring(&module) else {
            wrong.push(format!("{}: the module {module} is in no ring", below.display()));
            continue;
        };
        let code = code(&std::fs::read_to_string(file).unwrap());
        for path in crate_paths(&code) {
            if !allowed(&module, &path) {
                wrong.push(format!("{}: {module} may not use {path}", below.display()));
            }
        }
        let linux = below.starts_with("sys/linux");
        for name in SYSTEM_CRATES {
            let used = code.contains(&format!("{name}::"));
            if used && here < 5 && !linux {
                wrong.push(format!(
                    "{}: the system is met through Sys, not {name}",
                    below.display()
                ));
            }
        }
        if module == "reactor" || (module == "sys" && !linux) {
            for call in ["std::fs::", "std::process::", "std::thread::", "std::env::"] {
                if code.contains(call) {
                    wrong.push(format!("{}: {call} is for sys/linux", below.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_use_lines_reads_them() {
    let code =
        "use crate::{a::b, c::{d, e as f, g::{self, h}}};\nlet x = crate::k::L::new(crate::m);";
    let paths: Vec<_> = crate_paths(code).into_iter().collect();
    assert_eq!(paths, ["a::b", "c::d", "c::e", "c::g::h", "c::g::self", "k::L::new", "m"]);
    assert!(allowed("sync", "feed::Feed"));
    assert!(allowed("job", "store::StoreError"));
    assert!(!allowed("sync", "conn::State"));
    assert!(!allowed("feed", "store::FeedStore"));
    assert!(!allowed("reactor", "feed::Feed"));
    assert!(!allowed("reactor", "store::FeedStore"));
    assert!(!allowed("node", "reactor::Reactor"));
}
