//! Where things are: the home directory's corners, and what kind of store a folder holds.

use std::path::{Path, PathBuf};

use super::offline::{At, Offline, Opened};
use crate::daemon::open::SEEDS_LOCK;
use crate::failure::{Failure, Kind};
use crate::link::{Dialect, Key, Link};
use crate::store::Content;

/// What a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A drive: `DIR/.dat/metadata.key`.
    Drive,
    /// A bare feed: `DIR/key`.
    Core,
    /// What `seed` keeps, a drive or a feed: `DIR/metadata.key`.
    Seed,
    /// Seeds: folders named by their keys.
    Seeds,
}

/// `~/.dat/secret_keys`, shared with the JavaScript programs (dat/SPEC §10).
pub fn secret_keys() -> Option<PathBuf> {
    home().map(|home| home.join(".dat/secret_keys"))
}

/// Where `seed` keeps what it serves.
pub fn seeds() -> Option<PathBuf> {
    data().map(|data| data.join("seeds"))
}

/// Where `core get` and `core tail` keep what they fetched.
pub fn feeds() -> Option<PathBuf> {
    data().map(|data| data.join("feeds"))
}

/// Where what belongs to the user is kept, the host's key among it: `$GANNET_DATA_DIR`, else `gannet` in
/// the directory that XDG names.
pub fn data() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    named("GANNET_DATA_DIR").or_else(|| {
        named("XDG_DATA_HOME")
            .or_else(|| home().map(|home| home.join(".local/share")))
            .map(|data| data.join("gannet"))
    })
}

/// The file of the daemon: `$GANNET_CONFIG`, else `gannet/gannet.toml` in the directory that XDG names.
pub fn config_file() -> Option<PathBuf> {
    let named = std::env::var_os("GANNET_CONFIG").filter(|name| !name.is_empty());
    named.map(PathBuf::from).or_else(|| {
        let xdg = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let xdg = xdg.filter(|path| path.is_absolute());
        let dir = xdg.or_else(|| home().map(|home| home.join(".config")))?;
        Some(dir.join("gannet/gannet.toml"))
    })
}

/// The directory with the daemon's control socket: that of `$GANNET_DATA_DIR` if it is set, which makes a
/// daemon of its own; else the user's directory for such things, and where there is none the data.
pub fn daemon_socket() -> Option<PathBuf> {
    if std::env::var_os("GANNET_DATA_DIR").is_some() {
        return data();
    }
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    run.filter(|dir| dir.is_absolute() && dir.is_dir()).or_else(data)
}

/// Where the daemon is looked for: one that was started outside a session has its socket with the data.
pub fn daemon_sockets() -> impl Iterator<Item = PathBuf> {
    let (first, second) = (daemon_socket(), data());
    let second = second.filter(|second| first.as_ref() != Some(second));
    first.into_iter().chain(second)
}

pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// The failure of a command that cannot do without a home directory.
pub fn homeless() -> Failure {
    Failure::new(Kind::NotFound, "there is no home directory").hint("set HOME")
}

/// An existing directory, or what is wrong with it.
pub fn directory(dir: &Path) -> Result<(), Failure> {
    let meta = std::fs::metadata(dir).map_err(|e| Failure::io(dir.display(), &e))?;
    if !meta.is_dir() {
        let what = format!("{}: not a folder", dir.display());
        return Err(Failure::new(Kind::NotFound, what).hint("name a folder"));
    }
    Ok(())
}

/// What `dir` holds; a failure that says how to make one if it holds nothing.
pub fn store(dir: &Path) -> Result<Holds, Failure> {
    directory(dir)?;
    if dir.join(".dat/metadata.key").exists() {
        Ok(Holds::Drive)
    } else if dir.join("key").exists() {
        Ok(Holds::Core)
    } else if dir.join("metadata.key").exists() {
        Ok(Holds::Seed)
    } else if holds_seeds(dir) {
        Ok(Holds::Seeds)
    } else {
        Err(Failure::new(Kind::NotFound, format!("{}: no drive and no feed here", dir.display()))
            .hint("make one with gannet share, clone or core create"))
    }
}

/// Of which kind a key alone is: what `--dat` says, else that of what is stored in `dir` already under
/// file names that begin with `prefix`, else Hypercore. A failure if what is said is not what is stored,
/// unless that is empty: it is made anew.
pub fn settle(link: &mut Link, dat: bool, dir: &Path, prefix: &'static str) -> Result<(), Failure> {
    if dat && link.dialect == Some(Dialect::Hyper) {
        let what = "the link is one of Hypercore, --dat says that it is one of Dat";
        return Err(Failure::new(Kind::Usage, what).hint("leave --dat out"));
    }
    let said = link.dialect.or(dat.then_some(Dialect::Dat));
    let there = |name: &str| dir.join(format!("{prefix}{name}")).exists();
    let core = if there("core") { Dialect::Hyper } else { Dialect::Dat };
    let stored = there("key").then_some(core);
    if let (Some(said), Some(stored)) = (said, stored)
        && said != stored
    {
        refuse_unless_empty((dir, prefix), link.key, (said, stored), dat)?;
    }
    link.dialect = said.or(stored).or(Some(Dialect::Hyper));
    Ok(())
}

/// What was asked for under a wrong name has left a store in which nothing is.
fn refuse_unless_empty(
    (path, prefix): (&Path, &'static str),
    key: Key,
    (said, stored): (Dialect, Dialect),
    dat: bool,
) -> Result<(), Failure> {
    let at = At { path, prefix, content: Content::File };
    let opened = Opened::open(Offline::looking(), at, Some(key.0), None)?;
    if opened.store.is_empty_reader() {
        return Ok(());
    }
    let name = |dialect| match dialect {
        Dialect::Dat => "Dat",
        Dialect::Hyper => "Hypercore",
    };
    let (who, hint) = match dat {
        true => ("--dat", "leave --dat out"),
        false => ("the link", "give the key alone, in hexadecimal digits"),
    };
    let (path, said, stored) = (path.display(), name(said), name(stored));
    let what =
        format!("{path}: what is stored here is of {stored}, {who} says that it is of {said}");
    Err(Failure::new(Kind::Usage, what).hint(hint))
}

fn holds_seeds(dir: &Path) -> bool {
    !seeds_in(dir).is_empty()
}

/// The directories of the seeds kept in `dir`, sorted.
pub fn seeds_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut seeds: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.len() == 64 && hex::decode(name).is_ok())
        })
        .map(|entry| entry.path())
        // A process that was killed, or had no room, may have left a directory without a key in it.
        .filter(|dir| std::fs::metadata(dir.join("metadata.key")).is_ok_and(|key| key.len() > 0))
        .collect();
    seeds.sort_unstable();
    seeds
}

/// The directory with the stores (and the control socket) of what `dir` holds.
pub fn inside(dir: &Path, holds: Holds) -> PathBuf {
    match holds {
        Holds::Drive => dir.join(".dat"),
        Holds::Core | Holds::Seed | Holds::Seeds => dir.to_owned(),
    }
}

/// Where the process that runs on `dir` may be asked: at what it holds, and for a seed among others that
/// stand under one lock, at the directory that it is in.
pub fn asked(dir: &Path, holds: Holds) -> Vec<PathBuf> {
    let above = dir.join("..");
    let shared = holds == Holds::Seed && above.join(SEEDS_LOCK).exists();
    std::iter::once(inside(dir, holds)).chain(shared.then_some(above)).collect()
}

/// What stands before the names of the files of the bare feed in `dir`, made here or seeded.
pub fn core(dir: &Path) -> Result<&'static str, Failure> {
    directory(dir)?;
    for prefix in ["", "metadata."] {
        if dir.join(format!("{prefix}key")).exists() {
            return Ok(prefix);
        }
    }
    let drive = dir.join(".dat/metadata.key").exists();
    Err(Failure::new(Kind::NotFound, format!("{}: no feed here", dir.display())).hint(if drive {
        "it is a drive: use gannet share, clone, ls or cat"
    } else {
        "make one with gannet core create"
    }))
}
