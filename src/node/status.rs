//! What a running gannet says of itself: the shapes behind `gannet status`, `gannet peers`,
//! `--json` and SIGUSR1 (CHECKLIST D11), and their text. Figures only; who gathers them is `node`.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use crate::host::HostId;
use crate::link::{Key, Link};
use crate::node::event::Role;
use crate::text::{Count, Plain, Size, Span};
use crate::time::Instant;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    pub version: String,
    /// 0: nobody is running, this was read from the store.
    pub pid: u32,
    pub uptime_s: u64,
    pub listen: Vec<SocketAddr>,
    /// Where peers of most networks see this host.
    pub seen: Vec<std::net::IpAddr>,
    pub drives: Vec<DriveStatus>,
    pub feeds: Vec<FeedStatus>,
    /// What is to be kept and cannot be opened.
    pub unopened: Vec<UnopenedStatus>,
    pub peers: Vec<PeerStatus>,
    pub candidates: Vec<CandidateStatus>,
    /// Addresses not talked to any more.
    pub banned: u64,
    pub disk: DiskStatus,
    /// Of seeds with a bound.
    pub quota: Option<QuotaStatus>,
}

/// What all seeds of a run store together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct QuotaStatus {
    /// The bound, in bytes of blocks.
    pub max: u64,
    /// Bytes of the blocks that are here.
    pub used: u64,
    /// Blocks that exist and are neither here nor fetched, for want of room.
    pub dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriveStatus {
    pub link: String,
    pub key: Key,
    /// The folder, as the user named it.
    pub folder: String,
    pub writable: bool,
    /// It is kept without a folder of files.
    pub seed: bool,
    /// Newest version known.
    pub version: u64,
    /// Version that stands in the folder.
    pub shown: u64,
    pub files: u64,
    pub bytes: u64,
    /// What it is doing: "importing", "fetching", "up to date", "waiting for peers", "waiting:
    /// no connected peer has the rest", "3 of 7 blocks kept (bound)", "paused: …".
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedStatus {
    pub key: Key,
    pub role: Role,
    pub writable: bool,
    /// Blocks that exist, as far as proven.
    pub length: u64,
    /// Blocks stored here.
    pub have: u64,
    /// Blocks wanted and not stored.
    pub wanted: u64,
    /// Blocks asked of a peer right now.
    pub in_flight: u64,
    /// Bytes of all blocks that exist.
    pub bytes: u64,
    /// Peers that have it open.
    pub peers: u64,
    /// By its user: nothing is fetched or served.
    pub paused: bool,
}

/// Something that is to be kept and cannot be opened, as the embedder tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unopened {
    /// "share", "clone", "seed" or "core".
    pub kind: &'static str,
    pub link: Option<String>,
    /// Where its files are.
    pub folder: String,
    /// What is wrong, and what to do.
    pub why: String,
    /// When it is tried again.
    pub again: Instant,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnopenedStatus {
    pub kind: &'static str,
    pub link: Option<String>,
    pub folder: String,
    pub why: String,
    pub retry_in_s: u64,
}

impl Unopened {
    pub(super) fn status(&self, now: Instant) -> UnopenedStatus {
        let Unopened { kind, link, folder, why, again } = self.clone();
        UnopenedStatus { kind, link, folder, why, retry_in_s: again.since(now).as_secs() }
    }

    /// Whether a link or a folder names it, or a folder that it is in.
    pub(super) fn is_at(&self, at: &str) -> bool {
        let key = |text: &str| text.parse::<Link>().ok().map(|link| link.key);
        match key(at) {
            Some(named) => self.link.as_deref().and_then(key) == Some(named),
            None => Path::new(&self.folder).starts_with(at),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerStatus {
    pub addr: SocketAddr,
    /// The host it is, if it is a gannet that said so.
    pub host: Option<HostId>,
    /// What it calls itself, hexadecimal.
    pub id: String,
    pub inbound: bool,
    pub dialect: &'static str,
    pub age_s: u64,
    /// Smoothed time from request to answer; 0 before the first answer.
    pub delay_ms: u64,
    pub down_bytes_per_s: u64,
    pub up_bytes_per_s: u64,
    pub down_bytes: u64,
    pub up_bytes: u64,
    /// Requests of ours that it has not answered.
    pub outstanding: u64,
    /// Why it is kept when others have to go: "configured", "long-lived", "fast", "useful", "diverse",
    /// "new"; "stranger" if it has nothing of what is kept here; empty where nothing speaks for it.
    pub kept: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateStatus {
    pub addr: SocketAddr,
    pub failures: u32,
    /// Seconds until it is tried again; 0: as soon as there is room; `null`: never, it is this process.
    pub retry_in_s: Option<u64>,
    /// Why the last connection ended, or "nobody" if none came about; empty: there was none yet.
    pub why: &'static str,
}

/// The same for people.
fn why_not(why: &str) -> &'static str {
    match why {
        "nobody" => "nobody answered",
        "ourselves" | "peer-ourselves" => "it is this very process",
        "version" | "peer-version" => "it speaks no version that we speak",
        "full" => "there was no room for it here",
        "peer-full" => "it has no room",
        "banned" => "it is banned here",
        "peer-banned" => "it has banned us",
        "not-allowed" => "it is not allowed here",
        "peer-not-allowed" => "it does not allow us",
        "paused" => "it is paused here",
        "peer-paused" => "it has paused what is wanted of it",
        "cloned" | "peer-cloned" => "two processes have its key",
        "unknown-feed" => "it asked for what is not here",
        "fault" | "bad-data" => "it broke the protocol",
        "silent" | "write-stall" | "unanswered" | "handshake-timeout" => "it fell silent",
        "slow" => "it was too slow",
        "finished" | "peer-finished" | "removed" | "peer-removed" => "nothing was left to do",
        "duplicate" | "peer-duplicate" => "it has another connection",
        "shutdown" | "peer-shutdown" => "it was stopped",
        "" => "",
        _ => "it closed",
    }
}

/// Whom nobody talks to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BanStatus {
    /// A host, an address, or what a peer calls itself in hexadecimal digits.
    pub who: String,
    /// `null`: until it is lifted.
    pub ends_in_s: Option<u64>,
    /// "operator", "file" (the configuration) or "conduct".
    pub by: &'static str,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DiskStatus {
    /// Bytes written by us that are not durable yet.
    pub unsynced: u64,
    /// Bytes free on the file system of the first folder.
    pub free: u64,
    /// Why nothing is written, e.g. "disk full"; empty when all is well.
    pub paused: String,
}

impl Status {
    /// The whole status as text, lines ended.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    /// Peers and candidates as text.
    pub fn peers_text(&self) -> String {
        let mut out = String::new();
        let _ = self.write_peers(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        match self.pid {
            0 => writeln!(out, "not running")?,
            pid => {
                let up = Span(self.uptime_s);
                writeln!(out, "gannet {} running as process {pid} for {up}", self.version)?;
            }
        }
        for at in &self.listen {
            writeln!(out, "listening on {at}")?;
        }
        if !self.seen.is_empty() {
            let seen: Vec<String> = self.seen.iter().map(ToString::to_string).collect();
            writeln!(out, "peers see this host at {}", seen.join(", "))?;
        }
        for drive in &self.drives {
            drive.write(out)?;
        }
        for feed in &self.feeds {
            feed.write(out)?;
        }
        for unopened in &self.unopened {
            unopened.write(out)?;
        }
        if self.pid != 0 {
            self.write_peers(out)?;
        }
        if let Some(QuotaStatus { max, used, dropped }) = self.quota {
            let dropped = Count(dropped, "block");
            writeln!(
                out,
                "{} of {} used, {dropped} dropped or not fetched",
                Size(used),
                Size(max)
            )?;
        }
        self.disk.write(out)
    }

    fn write_peers(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "{}", Count(self.peers.len() as u64, "peer"))?;
        for peer in &self.peers {
            peer.write(out)?;
        }
        self.write_candidates(out)?;
        match self.banned {
            0 => Ok(()),
            n => writeln!(out, "{n} banned for misbehaving"),
        }
    }

    /// Candidates as text.
    pub fn candidates_text(&self) -> String {
        let mut out = String::new();
        let _ = self.write_candidates(&mut out);
        out
    }

    fn write_candidates(&self, out: &mut String) -> fmt::Result {
        for candidate in &self.candidates {
            let CandidateStatus { addr, failures, retry_in_s, why } = candidate;
            write!(out, "  {addr}: not connected")?;
            if !why.is_empty() {
                write!(out, ", {}", why_not(why))?;
            }
            match failures {
                0 => {}
                _ if retry_in_s.is_none() => {}
                1 => write!(out, ", failed once")?,
                many => write!(out, ", failed {many} times")?,
            }
            match retry_in_s {
                None => writeln!(out)?,
                Some(0) => writeln!(out, ", next in line")?,
                Some(s) => writeln!(out, ", tried again in {}", Span(*s))?,
            }
        }
        Ok(())
    }
}

impl DriveStatus {
    fn write(&self, out: &mut String) -> fmt::Result {
        let role = match (self.seed, self.writable) {
            (true, _) => "seed",
            (false, true) => "share",
            (false, false) => "copy",
        };
        writeln!(out, "{}", self.link)?;
        write!(out, "  {role} in {}: version {}", Plain(&self.folder), self.version)?;
        if self.seed {
            // There is no folder of files to tell of.
            writeln!(out)?;
        } else {
            if self.shown != self.version {
                write!(out, " ({} in the folder)", self.shown)?;
            }
            writeln!(out, ", {}, {}", Count(self.files, "file"), Size(self.bytes))?;
        }
        match self.state.as_str() {
            "" => Ok(()),
            state => writeln!(out, "  {}", Plain(state)),
        }
    }
}

impl FeedStatus {
    fn write(&self, out: &mut String) -> fmt::Result {
        let FeedStatus { key, role, length, have, wanted, in_flight, bytes, .. } = self;
        write!(out, "  {role} feed {}: {have} of {length} blocks", key.short())?;
        if *wanted > 0 || *in_flight > 0 {
            write!(out, ", {wanted} wanted, {in_flight} asked for")?;
        }
        write!(out, ", {} in all", Size(*bytes))?;
        out.push_str(if self.writable { ", ours" } else { "" });
        writeln!(out, "{}", if self.paused { ", paused" } else { "" })
    }
}

impl UnopenedStatus {
    fn write(&self, out: &mut String) -> fmt::Result {
        let UnopenedStatus { kind, link, folder, why, retry_in_s } = self;
        let again = match retry_in_s {
            0 => "at once".to_owned(),
            s => format!("in {}", Span(*s)),
        };
        if let Some(link) = link {
            writeln!(out, "{link}")?;
        }
        let indent = if link.is_some() { "  " } else { "" };
        writeln!(
            out,
            "{indent}{kind} in {}: cannot be opened, tried again {again}",
            Plain(folder)
        )?;
        writeln!(out, "  {}", Plain(why))
    }
}

/// Why a peer is kept that has nothing of what is kept here.
pub(super) const STRANGER: &str = "stranger";

impl PeerStatus {
    fn write(&self, out: &mut String) -> fmt::Result {
        let way = if self.inbound { "from" } else { "to" };
        write!(out, "  {way} {} ({}", self.addr, self.dialect)?;
        if let Some(host) = self.host {
            write!(out, " {}", host.short())?;
        } else if !self.id.is_empty() {
            // Eight digits tell peers apart; ids are made of ASCII digits, but take no chances.
            write!(out, " {}", Plain(self.id.get(..8).unwrap_or(&self.id)))?;
        }
        write!(out, ") for {}", Span(self.age_s))?;
        write!(out, ": down {}/s of {}", Size(self.down_bytes_per_s), Size(self.down_bytes))?;
        write!(out, ", up {}/s of {}", Size(self.up_bytes_per_s), Size(self.up_bytes))?;
        write!(out, ", delay {} ms, {} asked for", self.delay_ms, self.outstanding)?;
        match self.kept.as_str() {
            "" => writeln!(out),
            STRANGER => writeln!(out, ", has nothing of this"),
            why => writeln!(out, ", kept: {why}"),
        }
    }
}

impl DiskStatus {
    fn write(&self, out: &mut String) -> fmt::Result {
        if !self.paused.is_empty() {
            writeln!(out, "paused: {}", Plain(&self.paused))?;
        }
        match self.unsynced {
            0 => Ok(()),
            n => writeln!(out, "{} not durable yet", Size(n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D11: what a status tells, as text.
    #[test]
    fn d11_a_status_in_text() {
        let status = Status {
            version: "0.1.0".into(),
            pid: 7,
            uptime_s: 65,
            listen: vec!["127.0.0.1:3282".parse().unwrap()],
            seen: vec!["203.0.113.9".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            drives: vec![DriveStatus {
                link: "dat://ab".into(),
                key: Key([0xab; 32]),
                folder: "./photos".into(),
                writable: false,
                seed: false,
                version: 4,
                shown: 3,
                files: 2,
                bytes: 1500,
                state: "fetching".into(),
            }],
            feeds: vec![FeedStatus {
                key: Key([0xab; 32]),
                role: Role::Metadata,
                writable: false,
                length: 5,
                have: 4,
                wanted: 1,
                in_flight: 1,
                bytes: 500,
                peers: 1,
                paused: true,
            }],
            unopened: vec![
                UnopenedStatus {
                    kind: "share",
                    link: None,
                    folder: "/mnt/photos".into(),
                    why: "/mnt/photos: there is nothing there".into(),
                    retry_in_s: 40,
                },
                UnopenedStatus {
                    kind: "seed",
                    link: Some("dat://cd".into()),
                    folder: "/mnt/seeds/cd".into(),
                    why: "locked".into(),
                    retry_in_s: 0,
                },
            ],
            peers: vec![PeerStatus {
                addr: "127.0.0.1:4000".parse().unwrap(),
                host: None,
                id: "0011223344556677".into(),
                inbound: false,
                dialect: "dat",
                age_s: 3,
                delay_ms: 2,
                down_bytes_per_s: 1000,
                up_bytes_per_s: 0,
                down_bytes: 5000,
                up_bytes: 10,
                outstanding: 1,
                kept: "new".into(),
            }],
            candidates: vec![CandidateStatus {
                addr: "127.0.0.1:4001".parse().unwrap(),
                failures: 2,
                retry_in_s: Some(30),
                why: "peer-full",
            }],
            banned: 1,
            disk: DiskStatus { unsynced: 2000, free: 0, paused: "disk full".into() },
            quota: Some(QuotaStatus { max: 5_000_000, used: 4_800_000, dropped: 3 }),
        };
        assert_eq!(
            status.text(),
            "gannet 0.1.0 running as process 7 for 1 min 5 s\n\
             listening on 127.0.0.1:3282\n\
             peers see this host at 203.0.113.9, 2001:db8::1\n\
             dat://ab\n  copy in ./photos: version 4 (3 in the folder), 2 files, 1.5 kB\n  \
             fetching\n  \
             metadata feed abababab: 4 of 5 blocks, 1 wanted, 1 asked for, 500 B in all, paused\n\
             share in /mnt/photos: cannot be opened, tried again in 40 s\n  \
             /mnt/photos: there is nothing there\n\
             dat://cd\n  seed in /mnt/seeds/cd: cannot be opened, tried again at once\n  \
             locked\n\
             1 peer\n  \
             to 127.0.0.1:4000 (dat 00112233) for 3 s: down 1.0 kB/s of 5.0 kB, \
             up 0 B/s of 10 B, delay 2 ms, 1 asked for, kept: new\n  \
             127.0.0.1:4001: not connected, it has no room, failed 2 times, tried again in 30 s\n\
             1 banned for misbehaving\n\
             4.8 MB of 5.0 MB used, 3 blocks dropped or not fetched\n\
             paused: disk full\n\
             2.0 kB not durable yet\n"
        );
    }
}
