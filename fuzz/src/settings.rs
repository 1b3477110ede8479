//! The daemon's configuration file, and what it remembers in the same words.

use std::path::Path;

use gannet::daemon::settings::{self, Base};

fn base() -> Base {
    Base { dir: "/etc".into(), home: Some("/home/me".into()), seeds: Some("/seeds".into()) }
}

/// What is read is written in words that read the same; what is wrong is told in one line.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let name = Path::new("gannet.toml");
    let read = match settings::read(name, &text, &base()) {
        Ok(read) => read,
        Err(failure) => {
            let lines = text.lines().count().max(1);
            let rest = failure.what.strip_prefix("gannet.toml:").expect("the file is named");
            let (line, what) = rest.split_once(": ").expect("a line and what is wrong");
            let line: usize = line.parse().expect("a number");
            assert!((1..=lines + 1).contains(&line) && !what.is_empty(), "{failure}");
            return;
        }
    };
    let again: String = read.entries.iter().map(settings::Entry::text).collect();
    let second = settings::read(name, &again, &base()).expect("our own");
    assert_eq!(second.entries, read.entries);
    for name in read.entries.iter().map(|entry| entry.dir().display().to_string()) {
        let quoted = format!("paused = [{}]", settings::quoted(&name));
        let (_, paused) = settings::read_state(Path::new("s"), &quoted, &base()).expect("ours");
        assert_eq!(paused, [name]);
    }
}

pub fn settings_seeds() -> Vec<Vec<u8>> {
    let key = "5a".repeat(32);
    let all = format!(
        "listen = \"[::1]:3282\"\npeers = [\"a:1\"]\n[limits]\nmin_peers = 3\nupload_rate = \"2 MB\"\n\
         [hosts]\nbanned = [\"10.0.0.7\"]\n[[share]]\ndir = \"~/x \\u007f\\t\"\ndat = true\n\
         [[clone]]\nlink = \"dat://{key}+12/a\"\ndir = '/c'\nonly = [\"b\", \"c\"]\n"
    );
    let dotted =
        format!("limits.max_peers = 0x10\n[[seed]]\nlink = \"{key}\"\n[[core]]\ndir = \"d\"\n");
    let inline = "hosts = {allow = [], deny = []}\ndiscovery = false # why\n".to_owned();
    vec![all.into_bytes(), dotted.into_bytes(), inline.into_bytes(), b"a.b = 1\n[a]\n".to_vec()]
}
