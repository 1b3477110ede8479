//! Who the host is.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Home, Running, end, finish};

const KEPT: &str = ".local/share/gannet/identity";

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_id_stays_and_is_shown_in_short_and_in_full() {
    let home = Home::new();
    let shown = home.run(&["id"]);
    let lines: Vec<&str> = shown.ok().lines().collect();
    let [short, full] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((short.len(), full.len()), (19, 52));
    assert!(full.starts_with(&short.replace('-', "")), "{short} {full}");
    let kept = std::fs::metadata(home.path(KEPT)).unwrap();
    assert_eq!((kept.len(), kept.permissions().mode() & 0o7777), (64, 0o600));
    assert_eq!(home.run(&["id"]).ok(), shown.ok());
    let figures = json(home.run(&["id", "--json"]).ok());
    assert_eq!(figures, serde_json::json!({ "short": short, "id": full }));
    assert_ne!(Home::new().run(&["id"]).ok(), shown.ok());
}

#[test]
fn the_key_is_kept_where_the_environment_says() {
    let home = Home::new();
    let named = |name: &str, value: PathBuf| {
        let mut command = home.command(&["id"]);
        command.env("XDG_DATA_HOME", home.path("xdg")).env(name, value);
        finish(command, b"").ok().to_owned()
    };
    let ids = [
        home.run(&["id"]).ok().to_owned(),
        named("XDG_DATA_HOME", home.path("xdg")),
        named("GANNET_DATA_DIR", home.path("own")),
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3);
    for kept in [KEPT, "xdg/gannet/identity", "own/identity"] {
        assert!(home.path(kept).exists(), "{kept}");
    }
    // One that is not absolute says nothing.
    assert_eq!(named("GANNET_DATA_DIR", "own".into()), ids[1]);
    let mut homeless = home.command(&["id"]);
    homeless.env_remove("HOME");
    finish(homeless, b"").failed(3, "there is no home directory; set HOME");
}

#[test]
fn processes_that_start_at_once_are_one_host() {
    let home = Home::new();
    let start = |_| {
        let mut command = home.command(&["id"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..16).map(start).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    let shown: BTreeSet<Vec<u8>> = outputs
        .map(|output| {
            assert!(output.status.success() && output.stderr.is_empty());
            output.stdout
        })
        .collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(std::fs::read_dir(home.path(".local/share/gannet")).unwrap().count(), 1);
}

#[test]
fn a_damaged_key_is_named() {
    let home = Home::new();
    home.run(&["id"]).ok();
    std::fs::write(home.path(KEPT), [1; 64]).unwrap();
    home.run(&["id"]).failed(5, "it is not a host's key; restore it");
    assert_eq!(std::fs::read(home.path(KEPT)).unwrap(), [1; 64]);
}

/// A feed's process, and what it wrote on standard error by the time it was ready.
fn serve(home: &Home, set: impl Fn(&mut std::process::Command)) -> String {
    let mut command = home.command(&["core", "serve", "feed", "--json"]);
    command.args(["--listen", "127.0.0.1", "--no-discovery"]);
    set(&mut command);
    let words = home.path("words");
    let file = std::fs::File::create(&words).unwrap();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"ready\"") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut out, &mut line).unwrap(), 0, "it ended");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(end(&mut child), 0);
    std::fs::read_to_string(words).unwrap()
}

#[test]
fn what_cannot_be_kept_keeps_nobody_from_running_and_is_said_once() {
    let home = Home::new();
    home.run(&["core", "create", "feed"]).ok();
    std::fs::write(home.path("feed/host_key"), b"of an older gannet").unwrap();
    let words = serve(&home, |command| {
        command.env_remove("HOME");
    });
    assert_eq!(words.lines().count(), 1, "{words}");
    assert!(words.contains("there is no home directory"), "{words}");

    std::fs::write(home.path("file"), b"").unwrap();
    let words = serve(&home, |command| {
        command.env("GANNET_DATA_DIR", home.path("file"));
    });
    assert_eq!(words.lines().count(), 1, "{words}");
    assert!(words.contains("file/identity: not a folder: this host has another id"), "{words}");

    assert_eq!(serve(&home, |_| {}), "");
    assert_eq!(std::fs::metadata(home.path(KEPT)).unwrap().len(), 64);
    // That of older versions is neither used nor touched.
    assert_eq!(std::fs::read(home.path("feed/host_key")).unwrap(), b"of an older gannet");
}

/// Two processes of one host are two peers of a third, which is of this host too.
#[test]
fn processes_of_one_host_are_peers_of_each_other() {
    let home = Home::new();
    std::fs::create_dir(home.path("folder")).unwrap();
    std::fs::write(home.path("folder/a"), b"text").unwrap();
    let share = home.start(&["share", "folder"]);
    let ready = share.event("ready");
    let link = ready["link"].as_str().unwrap().to_owned();
    let at = ready["listen"][0].as_str().unwrap().to_owned();
    let copies: Vec<Running> =
        ["one", "two"].map(|copy| home.start(&["clone", &link, copy, "--peer", &at])).into();
    for copy in &copies {
        copy.event("complete");
    }
    let mut looks = 0;
    loop {
        let peers = json(home.run(&["peers", "folder", "--json"]).ok());
        let ids: BTreeSet<&str> = peers
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|peer| peer["id"].as_str())
            .filter(|id| !id.is_empty())
            .collect();
        if ids.len() == 2 {
            break;
        }
        looks += 1;
        assert!(looks < 200, "{peers}");
    }
    for process in copies.into_iter().chain([share]) {
        assert_eq!(process.stop(), 0);
    }
}
