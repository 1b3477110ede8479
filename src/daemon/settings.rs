//! The configuration file of the daemon (docs/CONFIG.md): what it says, with every mistake told by its line
//! and with what to do about it. Text in, settings out; who reads the file is `daemon`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::config::{Blocks, Listen, Rates, Run};
use super::toml::{self, Item, Table, Value};
use crate::failure::{Failure, Kind};
use crate::host::HostId;
use crate::limits::{self, CONNECTIONS_MOST};
use crate::link::{Key, Link};
use crate::swarm::balance::Bounds;
use crate::swarm::standing::{Lists, Nobody};

/// What a daemon is told by its user's file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub listen: Listen,
    pub discovery: bool,
    /// Names of interfaces that hosts are not looked for on, in place of the usual ones.
    pub exclude: Option<Vec<String>>,
    /// `host:port` of peers for everything that is kept.
    pub peers: Vec<String>,
    pub exec: Option<String>,
    pub limits: Limits,
    pub lists: Lists,
    pub entries: Vec<Entry>,
}

/// Bounds; where none is said, the program's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub min_peers: Option<usize>,
    pub target_peers: Option<usize>,
    pub max_peers: Option<usize>,
    /// Bytes a second.
    pub rates: Rates,
    /// Bytes of blocks that all seeds together store.
    pub max_storage: Option<u64>,
}

impl Limits {
    /// How many peers there are to be. Where only some of it is said, the rest follows it.
    pub fn bounds(&self) -> Bounds {
        let usual = Bounds::default();
        let said = [self.min_peers, self.target_peers, self.max_peers];
        let least = said.into_iter().flatten().max().unwrap_or(0);
        let max = self.max_peers.unwrap_or(usual.max.max(least));
        let target = self.target_peers.unwrap_or(usual.target.max(self.min_peers.unwrap_or(0)));
        let target = target.min(max);
        Bounds { min: self.min_peers.unwrap_or(usual.min).min(target), target, max }
    }
}

impl Limits {
    /// How many connections that takes, if it is more than usual: beside the peers there are those that may
    /// become some.
    pub fn connections(&self) -> Option<usize> {
        let most = self.max_peers.map(|max| max + limits::HALF_OPEN);
        most.filter(|most| *most > limits::CONNECTIONS)
    }
}

/// One thing that the daemon keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Share {
        dir: PathBuf,
        dat: bool,
    },
    Clone {
        link: Link,
        dir: PathBuf,
        only: Vec<String>,
    },
    Seed {
        link: Link,
        dir: PathBuf,
    },
    /// Without a link: whatever feed is there, served.
    Core {
        dir: PathBuf,
        link: Option<Link>,
    },
}

impl Entry {
    /// Where its files are.
    pub fn dir(&self) -> &Path {
        match self {
            Entry::Share { dir, .. }
            | Entry::Clone { dir, .. }
            | Entry::Seed { dir, .. }
            | Entry::Core { dir, .. } => dir,
        }
    }

    pub fn link(&self) -> Option<&Link> {
        match self {
            Entry::Share { .. } => None,
            Entry::Clone { link, .. } | Entry::Seed { link, .. } => Some(link),
            Entry::Core { link, .. } => link.as_ref(),
        }
    }

    pub fn set_dir(&mut self, to: PathBuf) {
        match self {
            Entry::Share { dir, .. }
            | Entry::Clone { dir, .. }
            | Entry::Seed { dir, .. }
            | Entry::Core { dir, .. } => *dir = to,
        }
    }

    /// As it stands in a file.
    pub fn text(&self) -> String {
        let mut out = format!("[[{}]]\ndir = {}\n", self.kind(), quoted_path(self.dir()));
        if let Some(link) = self.link() {
            out.push_str(&format!("link = {}\n", quoted(&link.to_string())));
        }
        match self {
            Entry::Share { dat: true, .. } => out.push_str("dat = true\n"),
            Entry::Clone { only, .. } if !only.is_empty() => {
                let only: Vec<String> = only.iter().map(|path| quoted(path)).collect();
                out.push_str(&format!("only = [{}]\n", only.join(", ")));
            }
            _ => {}
        }
        out
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Entry::Share { .. } => "share",
            Entry::Clone { .. } => "clone",
            Entry::Seed { .. } => "seed",
            Entry::Core { .. } => "core",
        }
    }

    /// Whether both cannot be kept at a time: they work on the same files, or on the same key.
    pub fn collides(&self, other: &Entry) -> bool {
        let key = |entry: &Entry| entry.link().map(|link| link.key);
        let seeds = matches!((self, other), (Entry::Seed { .. }, Entry::Seed { .. }));
        key(self).is_some() && key(self) == key(other) || !seeds && self.dir() == other.dir()
    }

    /// What opens it.
    pub fn run(&self) -> Run {
        match self.clone() {
            Entry::Share { dir, dat } => Run::Share { dir, dat },
            Entry::Clone { link, dir, only } => Run::Clone { link, dir, once: false, only },
            Entry::Seed { link, dir } => Run::Seed { links: vec![link], dir, max_storage: None },
            Entry::Core { dir, link: None } => Run::CoreServe { dir },
            Entry::Core { dir, link: Some(link) } => {
                Run::CoreFetch { link, dir, blocks: Blocks::Follow, show: None }
            }
        }
    }
}

/// Where names in a file lead.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// Of paths that do not begin at the root.
    pub dir: PathBuf,
    /// Of `~/`.
    pub home: Option<PathBuf>,
    /// Of seeds whose directory is not said.
    pub seeds: Option<PathBuf>,
}

impl Base {
    fn path(&self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() {
            return Err("the path is empty".into());
        }
        match text.strip_prefix("~/") {
            Some(rest) => {
                let home = self.home.as_ref().ok_or("there is no home directory: set HOME")?;
                Ok(home.join(rest))
            }
            None => Ok(self.dir.join(text)),
        }
    }
}

/// Reads the text of the file `name`.
pub fn read(name: &Path, text: &str, base: &Base) -> Result<Settings, Failure> {
    let root = toml::parse(text);
    let settings = root.map_err(|wrong| (wrong.line, wrong.what));
    settings.and_then(|mut root| whole(&mut root, base)).map_err(|(line, what)| {
        let what = format!("{}:{line}: {what}", name.display());
        Failure::new(Kind::Usage, what).hint("gannet config check tells when it is right")
    })
}

/// Reads what a daemon remembers: entries, and the names of what is paused.
pub fn read_state(
    name: &Path,
    text: &str,
    base: &Base,
) -> Result<(Vec<Entry>, Vec<String>), Failure> {
    let state = toml::parse(text).map_err(|wrong| (wrong.line, wrong.what)).and_then(|mut root| {
        let paused = match root.take("paused") {
            Some(item) => list(&item, "paused", |text| Ok(text.to_owned()))?,
            None => Vec::new(),
        };
        Ok((whole(&mut root, base)?.entries, paused))
    });
    state.map_err(|(line, what)| {
        Failure::new(Kind::Damaged, format!("{}:{line}: {what}", name.display()))
    })
}

/// A text between quotation marks, as TOML reads it.
pub fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    // The one character that JSON takes as it is and TOML does not.
    json.replace('\u{7f}', "\\u007f")
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// What is wrong in which line.
type Checked<T> = Result<T, (usize, String)>;

fn whole(root: &mut Table, base: &Base) -> Checked<Settings> {
    let mut settings = Settings { discovery: true, ..Settings::default() };
    if let Some(item) = root.take("listen") {
        settings.listen = Listen::At(of_text(&item, "listen", address)?);
    }
    if let Some(item) = root.take("discovery") {
        settings.discovery = truth(&item, "discovery")?;
    }
    if let Some(item) = root.take("exclude_interfaces") {
        settings.exclude = Some(list(&item, "exclude_interfaces", interface)?);
    }
    if let Some(item) = root.take("peers") {
        settings.peers = list(&item, "peers", peer)?;
    }
    if let Some(item) = root.take("exec") {
        settings.exec = Some(of_text(&item, "exec", |text| Ok(text.to_owned()))?);
    }
    if let Some(item) = root.take("limits") {
        settings.limits = bounds(&mut table(item, "limits")?)?;
    }
    if let Some(item) = root.take("hosts") {
        settings.lists = hosts(&mut table(item, "hosts")?)?;
    }
    let mut entries: Vec<(usize, Entry)> = Vec::new();
    for (kind, make) in KINDS {
        let Some(item) = root.take(kind) else { continue };
        for mut table in tables(item, kind)? {
            let line = table.line;
            let entry = make(&mut table, base)?;
            nothing_else(&table, &format!("[[{kind}]]"), "see docs/CONFIG.md")?;
            if let Some((at, _)) = entries.iter().find(|(_, other)| other.collides(&entry)) {
                return Err((line, format!("this is kept already, by line {at}")));
            }
            entries.push((line, entry));
        }
    }
    settings.entries = entries.into_iter().map(|(_, entry)| entry).collect();
    let known = "listen, discovery, exclude_interfaces, peers, exec, [limits], [hosts], [[share]], [[clone]], [[seed]], \
                 [[core]]";
    nothing_else(root, "the file", known)?;
    Ok(settings)
}

type Make = fn(&mut Table, &Base) -> Checked<Entry>;

const KINDS: [(&str, Make); 4] = [
    ("share", |table, base| Ok(Entry::Share { dir: dir(table, base)?, dat: flag(table, "dat")? })),
    ("clone", |table, base| {
        let (mut link, dir) = (needed_link(table)?, dir(table, base)?);
        let mut only = match table.take("only") {
            Some(item) => list(&item, "only", |text| Ok(text.trim_matches('/').to_owned()))?,
            None => Vec::new(),
        };
        only.push(std::mem::take(&mut link.path));
        only.retain(|path| !path.is_empty());
        Ok(Entry::Clone { link, dir, only })
    }),
    ("seed", |table, base| {
        let (mut link, line) = (needed_link(table)?, table.line);
        link.path.clear();
        let dir = match table.take("dir") {
            Some(item) => of_text(&item, "dir", |text| base.path(text))?,
            None => base.seeds.clone().ok_or((line, "there is no home: say dir".to_owned()))?,
        };
        Ok(Entry::Seed { link, dir })
    }),
    ("core", |table, base| Ok(Entry::Core { dir: dir(table, base)?, link: said_link(table)? })),
];

fn bounds(table: &mut Table) -> Checked<Limits> {
    let line = table.line;
    let (mut limits, mut rates) = (Limits::default(), Rates::default());
    for (name, field) in [
        ("min_peers", &mut limits.min_peers),
        ("target_peers", &mut limits.target_peers),
        ("max_peers", &mut limits.max_peers),
    ] {
        let Some(item) = table.take(name) else { continue };
        *field = match item.value {
            Value::Number(n @ 1..) if n as usize <= CONNECTIONS_MOST => Some(n as usize),
            _ => {
                let most = CONNECTIONS_MOST;
                return Err((item.line, format!("{name} is a number from 1 to {most}")));
            }
        };
    }
    for (name, field, least) in [
        ("upload_rate", &mut rates.upload_rate, limits::RATE_LEAST),
        ("download_rate", &mut rates.download_rate, limits::RATE_LEAST),
        ("peer_upload_rate", &mut rates.peer_upload_rate, limits::RATE_LEAST),
        ("peer_download_rate", &mut rates.peer_download_rate, limits::RATE_LEAST),
        ("max_storage", &mut limits.max_storage, limits::QUOTA_LEAST),
    ] {
        let Some(item) = table.take(name) else { continue };
        let bytes = match &item.value {
            Value::Text(text) => bytes(text),
            Value::Number(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        let bytes = bytes.ok_or_else(|| {
            (item.line, format!("{name} is a number of bytes with a unit, as in \"2 MB\""))
        })?;
        if bytes < least {
            return Err((item.line, format!("{name} is too little: at least {least} bytes")));
        }
        *field = Some(bytes);
    }
    limits.rates = rates;
    let order = [limits.min_peers, limits.target_peers, limits.max_peers];
    let order: Vec<usize> = order.into_iter().flatten().collect();
    if !order.is_sorted() {
        let what = "min_peers, target_peers and max_peers go from little to much";
        return Err((line, what.into()));
    }
    let known = "min_peers, target_peers, max_peers, upload_rate, download_rate, peer_upload_rate, \
                 peer_download_rate, max_storage";
    nothing_else(table, "[limits]", known)?;
    Ok(limits)
}

fn hosts(table: &mut Table) -> Checked<Lists> {
    let mut lists = Lists::default();
    for (name, field) in
        [("allow", &mut lists.allow), ("deny", &mut lists.deny), ("may_stop", &mut lists.stop)]
    {
        if let Some(item) = table.take(name) {
            *field = list(&item, name, host)?;
        }
    }
    if let Some(item) = table.take("banned") {
        lists.bans =
            list(&item, "banned", |text| text.parse().map_err(|no: Nobody| no.to_string()))?;
    }
    for (name, len) in [
        ("allow", lists.allow.len()),
        ("deny", lists.deny.len()),
        ("banned", lists.bans.len()),
        ("may_stop", lists.stop.len()),
    ] {
        if len > limits::BANS {
            return Err((table.line, format!("{name} has more than {} entries", limits::BANS)));
        }
    }
    nothing_else(table, "[hosts]", "allow, deny, banned, may_stop")?;
    Ok(lists)
}

fn nothing_else(table: &Table, place: &str, known: &str) -> Checked<()> {
    match table.first() {
        Some((name, line)) => Err((line, format!("{place} has no {name:?}; known are {known}"))),
        None => Ok(()),
    }
}

fn table(item: Item, name: &str) -> Checked<Table> {
    match item.value {
        Value::Table(table) => Ok(table),
        _ => Err((item.line, format!("{name} is a table: write [{name}] above its lines"))),
    }
}

fn tables(item: Item, name: &str) -> Checked<Vec<Table>> {
    match item.value {
        Value::Tables(tables) => Ok(tables),
        _ => Err((item.line, format!("there may be several: write [[{name}]] above each"))),
    }
}

fn truth(item: &Item, name: &str) -> Checked<bool> {
    match item.value {
        Value::Bool(value) => Ok(value),
        _ => Err((item.line, format!("{name} is true or false"))),
    }
}

fn flag(table: &mut Table, name: &str) -> Checked<bool> {
    table.take(name).map_or(Ok(false), |item| truth(&item, name))
}

fn of_text<T>(item: &Item, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Checked<T> {
    match &item.value {
        Value::Text(text) => read(text).map_err(|why| (item.line, format!("{name}: {why}"))),
        _ => Err((item.line, format!("{name} is a text: write it between \"\""))),
    }
}

fn list<T>(item: &Item, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Checked<Vec<T>> {
    match &item.value {
        Value::List(items) => items.iter().map(|item| of_text(item, name, &read)).collect(),
        _ => Err((item.line, format!("{name} is a list: write [\"one\", \"another\"]"))),
    }
}

fn dir(table: &mut Table, base: &Base) -> Checked<PathBuf> {
    let item = table.take("dir").ok_or((table.line, "dir is missing".to_owned()))?;
    of_text(&item, "dir", |text| base.path(text))
}

fn said_link(table: &mut Table) -> Checked<Option<Link>> {
    let read = |text: &str| text.parse::<Link>().map_err(|error| error.to_string());
    table.take("link").map(|item| of_text(&item, "link", read)).transpose()
}

fn needed_link(table: &mut Table) -> Checked<Link> {
    said_link(table)?.ok_or((table.line, "link is missing".to_owned()))
}

/// `host:port`; an IPv6 address stands in brackets.
pub fn peer(text: &str) -> Result<String, String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let hint = "a peer is HOST:PORT, as in nas.local:3282 or [fd00::2]:3282";
    let (host, port) = text.rsplit_once(':').ok_or(hint)?;
    let named = !host.is_empty()
        && host.len() <= limits::HOST_NAME_BYTES
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    match port.parse::<u16>() {
        Ok(1..) if named => Ok(text.to_owned()),
        Ok(0) | Err(_) => Err("the port is a number from 1 to 65535".into()),
        Ok(_) => Err(hint.into()),
    }
}

/// An address with or without a port; without, any free port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    text.parse::<SocketAddr>()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
        .map_err(|_| "an address is like 127.0.0.1:3282, 0.0.0.0 or [::1]:3282".into())
}

/// The name of an interface, or how it begins before a `*`.
fn interface(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let bad = text.is_empty() || name.contains(['*', '/', ' ']) || name.len() > 15;
    match bad {
        true => Err("an interface is its name, or how that begins, as in \"eth0\", \"wg*\"".into()),
        false => Ok(text.to_owned()),
    }
}

/// A host's id in full.
pub fn host(text: &str) -> Result<HostId, String> {
    match crate::link::z32::decode(text) {
        Ok(Key(key)) => Ok(HostId(key)),
        Err(_) => Err("a host is its id in full, as gannet id shows it".into()),
    }
}

/// `2 MB`, `500 kB`, `1.5 GB`, `20G`, `64 KiB`, `1000000`; `/s` may stand behind it. A letter alone is the
/// binary unit, as --max-storage has it.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.strip_suffix("/s").unwrap_or(text).trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.chars().next() {
        None | Some('b') => 0,
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some(_) => return None,
    };
    let size = match unit.get(1..).unwrap_or("") {
        "" | "ib" => 1024u64.pow(power),
        "b" if power > 0 => 1000u64.pow(power),
        _ => return None,
    };
    if whole.is_empty() || part.is_empty() || part.len() > 3 {
        return None;
    }
    let tail = part.parse::<u64>().ok()?.checked_mul(size)? / 10u64.pow(part.len() as u32);
    whole.parse::<u64>().ok()?.checked_mul(size)?.checked_add(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::standing::Who;

    const KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
    const HOST: &str = "7jfgaa9nutjyixzikb7tgmsf9gkwq7iqz498zr1nd5ig1fng4esy";

    fn base() -> Base {
        let path = |text: &str| Some(PathBuf::from(text));
        Base { dir: "/etc/gannet".into(), home: path("/home/me"), seeds: path("/data/seeds") }
    }

    fn good(text: &str) -> Settings {
        read(Path::new("g.toml"), text, &base()).unwrap()
    }

    /// The line and what is wrong.
    fn bad(text: &str) -> String {
        let failure = read(Path::new("g.toml"), text, &base()).expect_err(text);
        assert_eq!(failure.kind, Kind::Usage);
        assert!(!failure.what.contains('\n') && !failure.hint.is_empty(), "{failure}");
        failure.what.strip_prefix("g.toml:").unwrap().to_owned()
    }

    #[test]
    fn everything_that_can_be_said() {
        let text = format!(
            "listen = \"[::1]:3282\"\ndiscovery = false\npeers = [\"nas.local:3282\"]\nexec = \"true\"\n\
             [limits]\nmin_peers = 3\ntarget_peers = 4\nmax_peers = 5\nupload_rate = \"2 MB/s\"\n\
             download_rate = 65536\npeer_upload_rate = \"64KiB\"\npeer_download_rate = \"1.5 MB\"\n\
             max_storage = \"20G\"\n[hosts]\nallow = [\"{HOST}\"]\ndeny = []\n\
             banned = [\"::ffff:10.0.0.7\", \"{HOST}\"]\n[[share]]\ndir = \"photos\"\ndat = true\n\
             [[share]]\ndir = \"~/x\"\n[[clone]]\nlink = \"dat://{KEY}/a/b\"\ndir = \"/c\"\n\
             only = [\"/d/\"]\n[[seed]]\nlink = \"hyper://{HOST}\"\n[[core]]\ndir = \"../core\"\n"
        );
        let settings = good(&text);
        assert_eq!(settings.listen, Listen::At("[::1]:3282".parse().unwrap()));
        assert_eq!((settings.discovery, settings.peers.len()), (false, 1));
        let limits = Limits {
            min_peers: Some(3),
            target_peers: Some(4),
            max_peers: Some(5),
            rates: Rates {
                upload_rate: Some(2_000_000),
                download_rate: Some(65_536),
                peer_upload_rate: Some(65_536),
                peer_download_rate: Some(1_500_000),
            },
            max_storage: Some(20 << 30),
        };
        assert_eq!(settings.limits, limits);
        assert_eq!(limits.bounds(), Bounds { min: 3, target: 4, max: 5 });
        let few = Limits { max_peers: Some(4), ..Limits::default() };
        assert_eq!(few.bounds(), Bounds { min: 4, target: 4, max: 4 });
        let many = Limits { min_peers: Some(500), ..Limits::default() };
        assert_eq!(many.bounds(), Bounds { min: 500, target: 500, max: 500 });
        assert_eq!(Limits::default().bounds(), Bounds::default());
        assert_eq!(settings.lists.allow, [host(HOST).unwrap()]);
        assert_eq!(settings.lists.bans[0], Who::Addr([10, 0, 0, 7].into()));
        let dirs: Vec<&str> = settings.entries.iter().filter_map(|e| e.dir().to_str()).collect();
        let all = ["/etc/gannet/photos", "/home/me/x", "/c", "/data/seeds", "/etc/gannet/../core"];
        assert_eq!(dirs, all);
        let Entry::Clone { link, only, .. } = &settings.entries[2] else { panic!() };
        assert_eq!(
            (link.path.as_str(), only.as_slice()),
            ("", &["d".to_owned(), "a/b".into()][..])
        );
        let nothing = good("");
        assert!(nothing.discovery && nothing.entries.is_empty() && nothing.listen == Listen::Usual);
    }

    #[test]
    fn every_mistake_has_its_line_and_says_what_to_do() {
        for (text, said) in [
            ("lisen = 1", "1: the file has no \"lisen\"; known are listen,"),
            ("\nlisten = 3282", "2: listen is a text"),
            ("listen = \"localhost\"", "1: listen: an address is like"),
            ("discovery = \"yes\"", "1: discovery is true or false"),
            ("peers = \"a:1\"", "1: peers is a list"),
            ("peers = [\"a:1\",\n\"a\"]", "2: peers: a peer is HOST:PORT"),
            ("limits = 1", "1: limits is a table"),
            ("[limits]\nmax_peer = 3", "2: [limits] has no \"max_peer\"; known are min_peers"),
            ("[limits]\nmax_peers = 0", "2: max_peers is a number from 1 to"),
            ("[limits]\nmin_peers = 9\nmax_peers = 3", "1: min_peers, target_peers and max_peers"),
            ("[limits]\nupload_rate = \"fast\"", "2: upload_rate is a number of bytes"),
            ("[limits]\nupload_rate = 2", "2: upload_rate is too little"),
            ("[limits]\nmax_storage = \"20 kB\"", "2: max_storage is too little"),
            ("[hosts]\nallow = [\"7jfg-aa9n-utjy-ixzi\"]", "2: allow: a host is its id in full"),
            ("[hosts]\nbanned = [\"nobody\"]", "2: banned: this is neither"),
            ("[hosts]\nalow = []", "2: [hosts] has no \"alow\""),
            ("[share]\ndir = \"x\"", "1: there may be several: write [[share]]"),
            ("[[share]]", "1: dir is missing"),
            ("[[share]]\ndir = \"\"", "2: dir: the path is empty"),
            ("[[share]]\ndir = \"x\"\nlink = \"y\"", "3: [[share]] has no \"link\""),
            ("[[share]]\ndir = \"x\"\n[[core]]\ndir = \"x\"", "3: this is kept already, by line 1"),
            ("[[clone]]\ndir = \"x\"", "1: link is missing"),
            ("[[clone]]\ndir = \"x\"\nlink = \"dat://5a\"", "3: link: the key has 2 hex digits"),
            ("a = 1\na = 2", "2: a stands here a second time"),
            ("a =", "1: this is no TOML"),
        ] {
            let what = bad(text);
            assert!(what.starts_with(said), "{text:?}: {what}");
        }
        let seeds = format!("[[seed]]\nlink = \"{KEY}\"\n[[seed]]\nlink = \"dat://{KEY}\"\n");
        assert!(bad(&seeds).starts_with("3: this is kept already, by line 1"));
    }

    #[test]
    fn sizes_with_their_units() {
        for (text, size) in [
            ("1000", 1000),
            ("2 MB", 2_000_000),
            ("2MB/s", 2_000_000),
            ("20G", 20 << 30),
            ("64 KiB", 65_536),
            ("1.5 kB", 1500),
            ("0.001 MB", 1000),
            ("7 b", 7),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        let none = [
            "",
            "MB",
            "-1",
            "1..5",
            "1.",
            ".5",
            "2 XB",
            "2 MBB",
            "2 M B",
            "99999999 TB",
            "1.0001 MB",
        ];
        none.into_iter().for_each(|text| assert_eq!(bytes(text), None, "{text}"));
    }
}
