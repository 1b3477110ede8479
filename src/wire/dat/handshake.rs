//! The two messages about the connection itself, Feed and Handshake (dat/SPEC §4).

use super::Fault;
use super::body::Bad;
use crate::codec::proto;
use crate::limits;

/// Opens a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Feed<'a> {
    pub discovery_key: &'a [u8; 32],
    /// Only in a side's first.
    pub nonce: Option<&'a [u8; 24]>,
}

impl<'a> Feed<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Feed<'a>, Fault> {
        let mut discovery_key = &[][..];
        let mut nonce = None;
        for field in proto::fields(body) {
            match field.map_err(|_| Fault::DiscoveryKey)? {
                (1, value) => discovery_key = value.bytes().map_err(|_| Fault::DiscoveryKey)?,
                (2, value) => nonce = Some(value.bytes().map_err(|_| Fault::Nonce)?),
                _ => {}
            }
        }
        let discovery_key = discovery_key.try_into().map_err(|_| Fault::DiscoveryKey)?;
        let nonce = nonce.map(|n| n.try_into().map_err(|_| Fault::Nonce)).transpose()?;
        Ok(Feed { discovery_key, nonce })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        proto::put_bytes(1, self.discovery_key, out);
        if let Some(nonce) = self.nonce {
            proto::put_bytes(2, nonce, out);
        }
    }
}

/// Sent once a connection and direction, on channel 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// Names the process; 32 random bytes, at most `limits::DAT_ID_BYTES` accepted.
    pub id: Vec<u8>,
    /// Stay connected when there is nothing left to fetch.
    pub live: bool,
    /// Blocks received are to be acknowledged with a Have.
    pub ack: bool,
    /// Names of extensions, sorted.
    pub extensions: Vec<String>,
    pub user_data: Option<Vec<u8>>,
}

impl Handshake {
    /// Of a peer with this id that stays connected.
    pub fn of(id: &[u8]) -> Handshake {
        Handshake { id: id.to_vec(), live: true, ..Handshake::default() }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Handshake, Bad> {
        let mut handshake = Handshake::default();
        let mut room = limits::DAT_HANDSHAKE_BYTES;
        for field in proto::fields(body) {
            let (number, value) = field?;
            match number {
                1 => {
                    let id = value.bytes()?;
                    if id.len() > limits::DAT_ID_BYTES {
                        return Err(Bad::Bounds("id of a handshake"));
                    }
                    handshake.id = id.to_vec();
                }
                2 => handshake.live = value.bool()?,
                3 => handshake.user_data = Some(fit(value.bytes()?, &mut room)?.to_vec()),
                4 => {
                    let name = fit(value.bytes()?, &mut room)?;
                    if handshake.extensions.len() == limits::DAT_EXTENSIONS {
                        return Err(Bad::Bounds("number of extensions"));
                    }
                    handshake.extensions.push(String::from_utf8_lossy(name).into_owned());
                }
                5 => handshake.ack = value.bool()?,
                _ => {}
            }
        }
        Ok(handshake)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        proto::put_bytes(1, &self.id, out);
        proto::put_int(2, self.live.into(), out);
        if let Some(data) = &self.user_data {
            proto::put_bytes(3, data, out);
        }
        for name in &self.extensions {
            proto::put_bytes(4, name.as_bytes(), out);
        }
        proto::put_int(5, self.ack.into(), out);
    }
}

/// `bytes`, if they fit into what is left of the room for names and user data.
fn fit<'a>(bytes: &'a [u8], room: &mut usize) -> Result<&'a [u8], Bad> {
    *room = room.checked_sub(bytes.len()).ok_or(Bad::Bounds("size of a handshake"))?;
    Ok(bytes)
}
