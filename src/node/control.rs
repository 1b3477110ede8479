//! The control conversation: one JSON object a line each way, over a Unix socket that only its
//! owner can open. Bytes in, bytes out; the socket belongs to the reactor.
//!
//! `{"do":"add","entry":"[[seed]]\n…"}`, `{"do":"pause","at":"hyper://…"}` and their like to a daemon; `at`
//! bounds what is told to one thing. Request: `{"do":"status"}`, `{"do":"peers"}`, `{"do":"stop"}`, with `"text":true` for a
//! readable text instead of figures; `{"do":"append","blocks":["<base64>",…]}` to a bare feed of
//! ours; `{"do":"truncate","length":7}` to a core of ours; `{"do":"hosts"}`, `{"do":"find","host":"<id>"}`. Answer: `{"ok":true,"status":{…}}`, `{"ok":true,"peers":[…]}`, `{"ok":true,"text":"…"}`,
//! `{"ok":true,"length":7}` (durable then), or `{"ok":false,"error":"…"}`.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::limits;
use crate::node::status::{BanStatus, PeerStatus, Status};
use crate::text::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Status,
    Peers,
    /// An orderly stop, as SIGTERM.
    Stop,
    /// `blocks` for the bare feed served here.
    Append,
    /// Hosts on the local network.
    Hosts,
    /// One of them (`host`), which is searched for.
    Find,
    /// One of them (`host`) is told to end its process.
    Shutdown,
    /// The core served here keeps so many blocks (`length`).
    Truncate,
    /// Addresses that may be peers.
    Candidates,
    /// Nobody talks to the host or address `at`, for so many `seconds` or until it is lifted.
    Ban,
    Unban,
    Bans,
    /// Keep `entry` from now on, too; no longer keep `at`; let it rest, and go on.
    Add,
    Remove,
    Pause,
    Resume,
}

impl What {
    /// Whether it is about what is kept, which is the embedder's business.
    pub fn is_order(self) -> bool {
        matches!(self, What::Add | What::Remove | What::Pause | What::Resume)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    #[serde(rename = "do")]
    pub what: What,
    #[serde(default)]
    pub text: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// What it is about: a link, a folder, a host, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// As it stands in a configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// An id, or how one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// The refusal of who does not keep what a request is about.
pub const NOT_KEPT: &str = "it is not kept here";

impl Request {
    /// A question, to be answered in `text` or in figures.
    pub fn ask(what: What, text: bool) -> Request {
        let (blocks, length) = (Vec::new(), None);
        let (at, entry, seconds, host) = (None, None, None, None);
        Request { what, text, blocks, length, at, entry, seconds, host }
    }

    pub fn find(host: String, text: bool) -> Request {
        Request { host: Some(host), ..Request::ask(What::Find, text) }
    }

    pub fn shutdown(host: String) -> Request {
        Request { host: Some(host), ..Request::ask(What::Shutdown, false) }
    }

    pub fn append(blocks: Vec<Block>) -> Request {
        Request { blocks, ..Request::ask(What::Append, false) }
    }

    pub fn truncate(length: u64) -> Request {
        Request { length: Some(length), ..Request::ask(What::Truncate, false) }
    }
}

/// Bytes that travel as base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(pub Vec<u8>);

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Block, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map(Block).map_err(serde::de::Error::custom)
    }
}

/// Why a request is not answered. The connection is closed after the refusal was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request is longer than {} bytes", limits::CONTROL_REQUEST_BYTES)]
    TooLong,
    #[error("not a request known here: {0}")]
    Unknown(String),
}

/// The request at the front of `bytes` and its length, or `None` if its line is incomplete.
pub fn decode(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    let window = &bytes[..bytes.len().min(limits::CONTROL_REQUEST_BYTES)];
    let Some(end) = window.iter().position(|b| *b == b'\n') else {
        return if bytes.len() >= limits::CONTROL_REQUEST_BYTES {
            Err(Refusal::TooLong)
        } else {
            Ok(None)
        };
    };
    let request =
        serde_json::from_slice(&window[..end]).map_err(|e| Refusal::Unknown(e.to_string()))?;
    Ok(Some((request, end + 1)))
}

/// A request as the client sends it.
pub fn encode(request: &Request) -> Vec<u8> {
    line(request)
}

/// The answer to `Status`, `Peers` and `Stop`, a line.
pub fn answer(request: &Request, status: &Status) -> Vec<u8> {
    match (request.what, request.text) {
        (What::Status, false) => line(&Answer { status: Some(status), ..Answer::OK }),
        (What::Status, true) => line(&Answer { text: Some(status.text()), ..Answer::OK }),
        (What::Peers, false) => line(&Answer { peers: Some(&status.peers), ..Answer::OK }),
        (What::Peers, true) => line(&Answer { text: Some(status.peers_text()), ..Answer::OK }),
        (What::Candidates, false) => said(&status.candidates),
        (What::Candidates, true) => said(&status.candidates_text()),
        _ => done(),
    }
}

/// The answer to `Bans`.
pub fn bans(request: &Request, bans: &[BanStatus]) -> Vec<u8> {
    if !request.text {
        return said(&bans);
    }
    let mut text = String::new();
    for BanStatus { who, ends_in_s, by } in bans {
        let until = ends_in_s.map(|s| format!("for {}", Span(s)));
        let until = until.unwrap_or_else(|| "until it is lifted".to_owned());
        text.push_str(&format!("{who}: {until}, by {by}\n"));
    }
    said(&text)
}

/// What was asked for is done.
pub fn done() -> Vec<u8> {
    line(&Answer::OK)
}

/// An answer of whatever shape.
pub fn said(answer: &impl Serialize) -> Vec<u8> {
    let answer = serde_json::value::to_raw_value(answer).ok();
    line(&Answer { answer: answer.as_deref(), ..Answer::OK })
}

/// The answer to `Append` and `Truncate`, once that is durable: the feed's new length.
pub fn appended(length: u64) -> Vec<u8> {
    line(&Answer { length: Some(length), ..Answer::OK })
}

/// The answer to what cannot be done.
pub fn refuse(why: &impl fmt::Display) -> Vec<u8> {
    line(&Answer { ok: false, error: Some(why.to_string()), ..Answer::OK })
}

#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<&'a [PeerStatus]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Answer<'_> {
    const OK: Answer<'static> = Answer {
        ok: true,
        status: None,
        peers: None,
        text: None,
        length: None,
        answer: None,
        error: None,
    };
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut out = serde_json::to_vec(value).unwrap_or_default();
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back() {
        for what in [What::Status, What::Peers, What::Stop] {
            for text in [false, true] {
                let request = Request::ask(what, text);
                let bytes = encode(&request);
                assert_eq!(decode(&bytes), Ok(Some((request, bytes.len()))));
                assert_eq!(decode(&bytes[..bytes.len() - 1]), Ok(None));
            }
        }
        let two = b"{\"do\":\"stop\"}\n{\"do\":\"peers\"}\n";
        let (first, length) = decode(two).unwrap().unwrap();
        assert_eq!((first.what, length), (What::Stop, 14));
    }

    #[test]
    fn blocks_come_back_whatever_their_bytes() {
        let request = Request::append(vec![Block(vec![]), Block((0..=255).collect())]);
        let bytes = encode(&request);
        assert_eq!(decode(&bytes), Ok(Some((request, bytes.len()))));
        assert!(decode(b"{\"do\":\"append\",\"blocks\":[\"*\"]}\n").is_err());
        assert_eq!(appended(7), b"{\"ok\":true,\"length\":7}\n");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bad in ["\n", "{}\n", "{\"do\":\"fly\"}\n", "[[[[[[[[[\n", "\u{0}\n", "{\"do\":1}\n"] {
            assert!(matches!(decode(bad.as_bytes()), Err(Refusal::Unknown(_))), "{bad:?}");
        }
        let long = vec![b' '; limits::CONTROL_REQUEST_BYTES];
        assert_eq!(decode(&long), Err(Refusal::TooLong));
        assert_eq!(decode(&long[1..]), Ok(None));
        let refused = refuse(&Refusal::TooLong);
        assert_eq!(
            refused,
            format!("{{\"ok\":false,\"error\":\"{}\"}}\n", Refusal::TooLong).into_bytes()
        );
    }

    #[test]
    fn an_answer_is_one_line() {
        let status = Status { pid: 3, ..Status::default() };
        let text = answer(&Request::ask(What::Status, true), &status);
        assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 1);
        let json = answer(&Request::ask(What::Peers, false), &status);
        assert_eq!(json, b"{\"ok\":true,\"peers\":[]}\n");
    }
}
