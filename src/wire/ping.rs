//! Are you there, and are you one of us? A question on the port of the dialects that costs neither side
//! a handshake (docs/PROTOCOL.md §14.4): one ping, one pong, and the connection is over. Nothing in a
//! pong is proven: a hello proves it.

use super::host::{Fault, VERSIONS, Versions, fields};
use crate::host::HostId;

pub const NONCE_BYTES: usize = 16;
/// Drawn for each ping; who finds its own in a ping has dialled itself.
pub type Nonce = [u8; NONCE_BYTES];

/// Bytes of a ping. A pong has no more, so that nobody can have us send a victim more than they
/// spend.
pub const PING_BYTES: usize = 128;

/// How a ping begins. Its second byte is not 0: no Dat stream begins like that.
pub const MAGIC: [u8; 4] = *b"gnt?";
const ANSWER: [u8; 4] = *b"gnt!";
/// Magic, nonce, and the length of the fields.
const PONG_HEAD: usize = ANSWER.len() + NONCE_BYTES + 1;

const VERSION: u64 = 1;
const HOST: u64 = 2;
const LOAD: u64 = 3;

/// The highest load: no room for anybody.
pub const LOAD_FULL: u8 = 100;

/// What answers a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    pub nonce: Nonce,
    /// Of the protocol between hosts.
    pub versions: Versions,
    /// Who it says that it is.
    pub host: Option<HostId>,
    /// How much of its room is taken, in percent.
    pub load: u8,
}

/// A ping with this nonce; what follows it is room for later versions.
pub fn ping(nonce: &Nonce) -> [u8; PING_BYTES] {
    let mut bytes = [0; PING_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    bytes[MAGIC.len()..MAGIC.len() + NONCE_BYTES].copy_from_slice(nonce);
    bytes
}

/// The nonce of the ping at the front; `None`: not all of it is there.
pub fn read_ping(bytes: &[u8]) -> Result<Option<Nonce>, Fault> {
    let seen = bytes.len().min(MAGIC.len());
    if bytes[..seen] != MAGIC[..seen] {
        return Err(Fault::Bounds("ping"));
    }
    let nonce = || bytes.get(MAGIC.len()..)?.first_chunk().copied();
    Ok(if bytes.len() < PING_BYTES { None } else { nonce() })
}

impl Pong {
    pub fn new(nonce: Nonce, host: HostId, load: u8) -> Pong {
        Pong { nonce, versions: VERSIONS, host: Some(host), load: load.min(LOAD_FULL) }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut said = Vec::new();
        self.versions.put(VERSION, &mut said);
        if let Some(host) = &self.host {
            fields::put(HOST, &host.0, &mut said);
        }
        fields::put_number(LOAD, u64::from(self.load), &mut said);
        debug_assert!(PONG_HEAD + said.len() <= PING_BYTES);
        out.extend_from_slice(&ANSWER);
        out.extend_from_slice(&self.nonce);
        out.push(said.len() as u8);
        out.append(&mut said);
    }

    /// The pong that begins at the front; `None`: not all of it is there. A fault: who speaks is none of
    /// us, whatever may still come.
    pub fn read(bytes: &[u8]) -> Result<Option<Pong>, Fault> {
        let seen = bytes.len().min(ANSWER.len());
        if bytes[..seen] != ANSWER[..seen] {
            return Err(Fault::Bounds("pong"));
        }
        let Some((head, rest)) = bytes.split_first_chunk::<PONG_HEAD>() else { return Ok(None) };
        let length = usize::from(head[PONG_HEAD - 1]);
        if PONG_HEAD + length > PING_BYTES {
            return Err(Fault::Bounds("pong"));
        }
        let Some(said) = rest.get(..length) else { return Ok(None) };
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&head[ANSWER.len()..PONG_HEAD - 1]);
        Pong::of(nonce, said).map(Some)
    }

    fn of(nonce: Nonce, said: &[u8]) -> Result<Pong, Fault> {
        let (mut versions, mut host, mut load) = (None, None, 0);
        fields::read(said, |field, value| {
            match field {
                VERSION => versions = Some(Versions::read(value)?),
                HOST => host = Some(HostId(fields::fixed(value, "host")?)),
                LOAD => load = fields::uint(value, "load")?,
                _ => {}
            }
            Ok(())
        })?;
        let load = u8::try_from(load).ok().filter(|load| *load <= LOAD_FULL);
        Ok(Pong {
            nonce,
            versions: versions.ok_or(Fault::Missing("versions"))?,
            host,
            load: load.ok_or(Fault::Bounds("load"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Dialect, Opening, opening};
    use proptest::prelude::*;

    fn pong(nonce: Nonce) -> Vec<u8> {
        let mut bytes = Vec::new();
        Pong::new(nonce, HostId([9; 32]), 7).encode(&mut bytes);
        bytes
    }

    #[test]
    fn g01_a_ping_begins_like_no_dialect() {
        let bytes = ping(&[5; NONCE_BYTES]);
        assert_eq!(opening(&bytes), Some(Opening::Ping));
        assert_eq!(opening(&bytes[..3]), Some(Opening::Ping));
        (0..3).for_each(|short| assert_eq!(opening(&bytes[..short]), None));
        // A Dat stream whose first message has as many bytes as our first letter says.
        let dat = [MAGIC[0], 0, 0x0a];
        assert_eq!(opening(&dat), Some(Opening::Stream(Dialect::Dat)));
        assert_eq!(opening(&dat[..2]), Some(Opening::Stream(Dialect::Dat)));
    }

    #[test]
    fn g01_ping_and_pong_are_read_when_they_are_whole() {
        let bytes = ping(&[5; NONCE_BYTES]);
        assert_eq!(read_ping(&bytes), Ok(Some([5; NONCE_BYTES])));
        (0..PING_BYTES).for_each(|short| assert_eq!(read_ping(&bytes[..short]), Ok(None)));
        let bytes = pong([5; NONCE_BYTES]);
        let read = Pong::read(&bytes).unwrap().unwrap();
        assert_eq!(read, Pong::new([5; NONCE_BYTES], HostId([9; 32]), 7));
        (0..bytes.len()).for_each(|short| assert_eq!(Pong::read(&bytes[..short]), Ok(None)));
    }

    #[test]
    fn g02_no_pong_is_longer_than_a_ping() {
        let last = Versions { first: 65_535, last: 65_536 };
        let pong = Pong { nonce: [1; 16], versions: last, host: Some(HostId([1; 32])), load: 100 };
        let mut bytes = Vec::new();
        pong.encode(&mut bytes);
        assert!(bytes.len() <= PING_BYTES, "{} bytes", bytes.len());
        // Nor is one read that claims to be.
        let mut bytes = self::pong([0; NONCE_BYTES]);
        bytes[PONG_HEAD - 1] = (PING_BYTES - PONG_HEAD) as u8 + 1;
        assert_eq!(Pong::read(&bytes), Err(Fault::Bounds("pong")));
    }

    #[test]
    fn g05_what_else_a_port_says_is_none_of_ours_at_its_first_wrong_byte() {
        for said in ["SSH-2.0-", "HTTP/1.1 400", "g", "gn", "gnt", "gnt?"] {
            let read = Pong::read(said.as_bytes());
            let whole = "gnt!".starts_with(said);
            assert_eq!(read, if whole { Ok(None) } else { Err(Fault::Bounds("pong")) }, "{said}");
        }
        assert!(read_ping(b"gnt!").is_err());
    }

    #[test]
    fn what_a_later_version_adds_is_skipped() {
        let mut bytes = pong([3; NONCE_BYTES]);
        let mut said = bytes.split_off(PONG_HEAD);
        fields::put(77, b"later", &mut said);
        bytes[PONG_HEAD - 1] = said.len() as u8;
        bytes.extend(said);
        assert_eq!(Pong::read(&bytes).unwrap().unwrap().load, 7);
    }

    proptest! {
        #[test]
        fn any_bytes(front in 0..3usize, bytes: Vec<u8>) {
            let bytes = [[&b""[..], &MAGIC, &ANSWER][front], &bytes].concat();
            let _ = read_ping(&bytes);
            let _ = Pong::read(&bytes);
        }
    }
}
