//! `gannet key`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::offline::{Offline, failure};
use super::place::{self, Holds};
use super::{Global, Outcome, put};
use crate::crypto::sign::{KeyPair, PublicKey};
use crate::failure::{Failure, Kind};
use crate::feed::Feed;
use crate::link::Key;
use crate::store::disk::Open;
use crate::store::{StoreError, secret, stored};

/// Show the keys of a folder or feed; export or import the secret one
///
/// Whoever has the secret key can write. Dat programs keep it in ~/.dat/secret_keys; a bare feed
/// has it in its own directory.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    verbatim_doc_comment,
    after_help = "\
Examples:
  gannet key show ./photos
  gannet key export ./photos > photos.secret
  gannet key import ./copy < photos.secret     now the copy can be shared from here"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print link, keys, and whether the secret key is here
    Show { dir: PathBuf },
    /// Print the secret key (128 hex digits): keep it to yourself
    Export { dir: PathBuf },
    /// Read the secret key from standard input and keep it
    Import { dir: PathBuf },
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        match self.command {
            Command::Show { dir } => show(&Owned::find(&dir)?, global),
            Command::Export { dir } => export(&Owned::find(&dir)?),
            Command::Import { dir } => import(&Owned::find(&dir)?),
        }
    }
}

/// A feed that may be ours, and where its secret key would be.
struct Owned {
    dir: PathBuf,
    feed: Feed,
    /// Whose secret key it takes.
    signer: PublicKey,
    holds: Holds,
}

impl Owned {
    fn find(dir: &Path) -> Result<Owned, Failure> {
        let holds = place::store(dir)?;
        let prefix = match holds {
            Holds::Core => "",
            Holds::Drive | Holds::Seed => "metadata.",
            Holds::Seeds => {
                let what = format!("{}: many feeds are kept here", dir.display());
                return Err(Failure::new(Kind::NotFound, what).hint("name one of its directories"));
            }
        };
        let inside = place::inside(dir, holds);
        let mut off = Offline::looking();
        let root = off.root(&inside, false)?;
        let feed = off
            .wait(|disk| stored(disk, root, prefix)?.ok_or(StoreError::Missing))
            .map_err(|e| failure(&inside, e))?;
        // Of a core whose manifest has not come yet it can only be the key itself.
        let signer = feed.signer().unwrap_or(*feed.key());
        Ok(Owned { dir: dir.to_owned(), feed, signer, holds })
    }

    /// The directory of secret keys, and the path in it.
    fn place(&self) -> Result<(PathBuf, PathBuf), Failure> {
        match self.holds {
            Holds::Drive | Holds::Seed => {
                let keys = place::secret_keys().ok_or_else(place::homeless)?;
                Ok((keys, secret::place(&self.signer)))
            }
            Holds::Core | Holds::Seeds => Ok((self.dir.clone(), "secret_key".into())),
        }
    }

    fn load(&self) -> Result<Option<KeyPair>, Failure> {
        let (keys, path) = self.place()?;
        let mut off = Offline::looking();
        let found = match self.holds {
            Holds::Drive | Holds::Seed => {
                off.wait_io(|disk| secret::load(disk, &keys, &self.signer))
            }
            Holds::Core | Holds::Seeds => {
                let dir = off.root(&keys, false)?;
                off.wait_io(|disk| secret::load_from(disk, dir, &path, &self.signer))
            }
        };
        found.map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => Failure::new(Kind::Damaged, e.to_string())
                .hint("restore it from a copy with gannet key import"),
            _ => Failure::io(keys.join(&path).display(), &e),
        })
    }

    /// Drives written before 2018 have it beside the feed.
    fn load_anywhere(&self) -> Result<Option<KeyPair>, Failure> {
        if let Some(pair) = self.load()? {
            return Ok(Some(pair));
        }
        if self.holds != Holds::Drive {
            return Ok(None);
        }
        let mut off = Offline::looking();
        let dir = off.root(&self.dir.join(".dat"), false)?;
        let path = Path::new("metadata.secret_key");
        off.wait_io(|disk| secret::load_from(disk, dir, path, &self.signer))
            .map_err(|e| Failure::io(self.dir.join(".dat").join(path).display(), &e))
    }
}

fn show(feed: &Owned, global: &Global) -> Outcome {
    let writable = feed.load_anywhere()?.is_some();
    let (link, signer) = (feed.feed.link(), Key(feed.signer));
    let (key, discovery) = (link.key, Key(*feed.feed.discovery_key()));
    let link = link.to_string();
    put(match global.json {
        true => format!(
            "{}\n",
            json!({
                "link": link, "key": key, "discovery_key": discovery, "signer": signer,
                "writable": writable,
            })
        ),
        false => format!(
            "link           {link}\nkey            {key}\ndiscovery key  {discovery}\n\
             signer         {signer}\nsecret key     {}\n",
            if writable { "here" } else { "not here" }
        ),
    }
    .as_bytes())
}

fn export(feed: &Owned) -> Outcome {
    let pair = feed.load_anywhere()?.ok_or_else(|| {
        let what = format!("{}: the secret key is not here", feed.dir.display());
        Failure::new(Kind::NotFound, what).hint("it is on the machine that made the drive or feed")
    })?;
    let mut text = Zeroizing::new([0; 129]);
    let secret = pair.secret();
    hex::encode_to_slice(secret.as_slice(), &mut text[..128])
        .map_err(|e| Failure::new(Kind::General, e.to_string()))?;
    text[128] = b'\n';
    put(text.as_slice())
}

fn import(feed: &Owned) -> Outcome {
    let pair = read_secret()?;
    if pair.public() != feed.signer {
        let what = format!("this is the secret key of {}, another signer", Key(pair.public()));
        let hint = format!("{} needs that of {}", feed.dir.display(), Key(feed.signer));
        return Err(Failure::new(Kind::Usage, what).hint(hint));
    }
    let (keys, path) = feed.place()?;
    let mut off = Offline::writing();
    let saved = match feed.holds {
        Holds::Drive | Holds::Seed => secret::save(&mut *off.disk, &keys, &pair),
        Holds::Core | Holds::Seeds => {
            let dir = off.root(&keys, false)?;
            secret::save_at(&mut *off.disk, dir, &path, &pair)
        }
    };
    saved.map_err(|e| Failure::io(keys.join(&path).display(), &e))?;
    if feed.holds == Holds::Drive {
        mark_owned(&mut off, &feed.dir)?;
    }
    Ok(0)
}

/// Writes `metadata.ogd`, by which JavaScript programs know that the secret key is in the home.
fn mark_owned(off: &mut Offline, dir: &Path) -> Result<(), Failure> {
    let inside = dir.join(".dat");
    let root = off.root(&inside, false)?;
    let name = Path::new("metadata.ogd");
    let mark = off.wait_io(|disk| {
        let file = disk.open(root, name, Open::Create)?;
        let done = disk.write_at(file, 0, &[0]).and_then(|_| disk.sync_data(file));
        disk.close(file);
        done
    });
    mark.map_err(|e| Failure::io(inside.join(name).display(), &e))
}

/// 128 hex digits from standard input, white space around them allowed.
fn read_secret() -> Result<KeyPair, Failure> {
    let mut text = Zeroizing::new(Vec::with_capacity(512));
    std::io::stdin()
        .take(512)
        .read_to_end(&mut text)
        .map_err(|e| Failure::io("standard input", &e))?;
    let digits = text.trim_ascii();
    let mut secret = Zeroizing::new([0; 64]);
    let usage = |what: &str| Failure::new(Kind::Usage, what).hint("see gannet key import --help");
    hex::decode_to_slice(digits, secret.as_mut_slice()).map_err(|_| {
        usage(&format!(
            "a secret key is 128 hex digits, standard input has {} bytes that are not",
            digits.len()
        ))
    })?;
    KeyPair::from_secret(*secret).map_err(|e| usage(&e.to_string()))
}
