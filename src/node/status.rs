//! What a running gannet says of itself: the shapes behind `gannet status`, `gannet peers`,
//! `--json` and SIGUSR1 (CHECKLIST D11), and their text. Figures only; who gathers them is `node`.

use std::net::SocketAddr;

use serde::Serialize;

use crate::link::Key;
use crate::node::event::Role;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    pub version: String,
    /// 0: nobody is running, this was read from the store.
    pub pid: u32,
    pub uptime_s: u64,
    pub listen: Vec<SocketAddr>,
    pub drives: Vec<DriveStatus>,
    pub feeds: Vec<FeedStatus>,
    pub peers: Vec<PeerStatus>,
    pub candidates: Vec<CandidateStatus>,
    /// Addresses not talked to any more.
    pub banned: u64,
    pub disk: DiskStatus,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriveStatus {
    pub link: String,
    pub key: Key,
    /// The folder, as the user named it.
    pub folder: String,
    pub writable: bool,
    /// Newest version known.
    pub version: u64,
    /// Version that stands in the folder.
    pub shown: u64,
    pub files: u64,
    pub bytes: u64,
    /// What it is doing: "importing", "fetching", "up to date", "waiting for peers", "paused: …".
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
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerStatus {
    pub addr: SocketAddr,
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
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateStatus {
    pub addr: SocketAddr,
    pub failures: u32,
    /// Seconds until it is tried again; 0: as soon as there is room.
    pub retry_in_s: u64,
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
        String::new()
    }

    /// Peers and candidates as text.
    pub fn peers_text(&self) -> String {
        String::new()
    }
}
