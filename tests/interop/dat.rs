//! The `dat` command, versions 13.13.1 and 14.0.3, which finds its peers by multicast alone here.

use std::path::Path;
use std::process::Command;

use crate::gannet::{Home, ready_key};
use crate::install::{self, left_out};
use crate::network::Network;
use crate::peer::Peer;
use crate::tools::{Scratch, eventually, files, hex, not_empty, put, sample, str};

/// `dat` with its own home, in a private network.
fn dat(network: &Network, version: &str, home: &Path, at: &Path, words: &[&str]) -> Peer {
    let program = install::rig(&format!("dat{version}")).join("node_modules/dat/bin/cli.js");
    let mut command: Command = network.command("node");
    command.arg(program).args(words).current_dir(at);
    // The compiled libsodium of its time does not load into today's Node.
    command.env("SODIUM_NATIVE", "disable").env("NO_UPDATE_NOTIFIER", "1").env("CI", "1");
    command.env("HOME", home);
    Peer::start(&format!("dat {version} {}", words.join(" ")), command)
}

/// The link of a folder that `dat share` has made, once it is made.
fn link(folder: &Path) -> String {
    let mut link = String::new();
    eventually("dat share makes its key", || {
        let key = std::fs::read(folder.join(".dat/metadata.key")).unwrap_or_default();
        link = format!("dat://{}", hex(&key));
        key.len() == 32
    });
    link
}

/// `dat clone`, again and again until it finds somebody: its first round may come too early.
fn dat_clone(
    network: &Network,
    version: &str,
    scratch: &Scratch,
    link: &str,
) -> std::path::PathBuf {
    let to = scratch.name("clone");
    let mut ended = false;
    eventually("dat clone", || {
        let home = scratch.dir("home of the clone");
        let words = ["clone", link, str(&to)];
        let mut clone = dat(network, version, &home, &scratch.dir("."), &words);
        ended = clone.finish().success();
        if !ended {
            let _ = std::fs::remove_dir_all(&to);
        }
        ended
    });
    to
}

#[test]
fn dat_clones_from_dat_through_multicast() {
    if left_out() {
        return;
    }
    for (sharing, cloning) in [("13", "13"), ("14", "14"), ("13", "14")] {
        let (scratch, network) = (Scratch::new(), Network::new());
        let from = scratch.dir("from");
        sample(&from);
        let home = scratch.dir("home of the share");
        let _share = dat(&network, sharing, &home, &from, &["share"]);
        let to = dat_clone(&network, cloning, &scratch, &link(&from));
        assert_eq!(files(&to), not_empty(files(&from)), "{sharing} to {cloning}");
    }
}

#[test]
fn gannet_clones_what_dat_shares_through_multicast() {
    if left_out() {
        return;
    }
    for version in ["13", "14"] {
        let (scratch, network, home) = (Scratch::new(), Network::new(), Home::dat());
        let (from, to) = (scratch.dir("from"), scratch.name("to"));
        sample(&from);
        let mut share = dat(&network, version, &scratch.dir("its home"), &from, &["share"]);
        let link = link(&from);
        let mut clone = home.gannet_in(&network, &["clone", &link, str(&to)]);
        clone.expect("ready");
        eventually("the clone", || to.exists() && files(&to) == files(&from));
        put(&from, "added.txt", b"later");
        std::fs::remove_file(from.join("a.txt")).expect("a file");
        eventually("the changes", || files(&to) == files(&from));
        share.kill();
    }
}

#[test]
fn dat_clones_what_gannet_shares_through_multicast() {
    if left_out() {
        return;
    }
    for version in ["13", "14"] {
        let (scratch, network, home) = (Scratch::new(), Network::new(), Home::dat());
        let from = scratch.dir("from");
        sample(&from);
        let mut share = home.gannet_in(&network, &["share", "--dat", str(&from)]);
        let key = ready_key(&share.expect("ready"));
        share.expect("published");
        let to = dat_clone(&network, version, &scratch, &format!("dat://{key}"));
        assert_eq!(files(&to), not_empty(files(&from)), "dat {version}");
    }
}
