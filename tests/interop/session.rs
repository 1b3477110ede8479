//! A peer that is driven by hand: our own wire session over a blocking socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};

use ::gannet::crypto::hash;
use ::gannet::wire::Message;
use ::gannet::wire::dat::{FirstFeed, Handshake, Session, What};

use super::peer::DEADLINE;

/// A blocking socket with a session on it.
pub struct Wire {
    pub stream: TcpStream,
    pub session: Session,
    /// Received, not consumed yet.
    buffer: Vec<u8>,
    pub discovery_key: [u8; 32],
}

impl Wire {
    fn new(stream: TcpStream, session: Session, key: &[u8; 32]) -> io::Result<Wire> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        let discovery_key = hash::discovery_key(key);
        Ok(Wire { stream, session, buffer: Vec::new(), discovery_key })
    }

    /// Connects and sends Feed and Handshake.
    pub fn dial(port: &str, key: [u8; 32]) -> io::Result<Wire> {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
        let discovery_key = hash::discovery_key(&key);
        let mut out = Vec::new();
        let session = Session::dial(FirstFeed { key, discovery_key, nonce: [7; 24] }, &mut out);
        let mut wire = Wire::new(stream, session, &key)?;
        wire.handshake(&mut out)?;
        Ok(wire)
    }

    /// Takes a connection and answers Feed and Handshake.
    pub fn accept(listener: &TcpListener, key: [u8; 32]) -> io::Result<Wire> {
        let (stream, _) = listener.accept()?;
        let mut wire = Wire::new(stream, Session::accept(), &key)?;
        let named = wire.next(|what| match what {
            What::FirstFeed { discovery_key } => Some(discovery_key),
            _ => None,
        })?;
        assert_eq!(named, wire.discovery_key);
        wire.session.provide_key(&key);
        let mut out = Vec::new();
        wire.session.open(&named, &[9; 24], &mut out).map_err(io::Error::other)?;
        wire.handshake(&mut out)?;
        Ok(wire)
    }

    fn handshake(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        // Nobody is the same peer twice.
        static PEERS: AtomicU8 = AtomicU8::new(0);
        let id = vec![PEERS.fetch_add(1, Ordering::Relaxed); 32];
        let handshake = Handshake { id, live: true, ..Handshake::default() };
        self.session.handshake(&handshake, out).map_err(io::Error::other)?;
        self.stream.write_all(out)
    }

    pub fn send(&mut self, message: &Message<'_>) -> io::Result<()> {
        let mut out = Vec::new();
        let sent = self.session.send(&self.discovery_key, message, &mut out);
        sent.map_err(io::Error::other)?;
        self.stream.write_all(&out)
    }

    /// Reads on until `pick` takes something.
    pub fn next<T>(&mut self, mut pick: impl FnMut(What<'_>) -> Option<T>) -> io::Result<T> {
        loop {
            let received = self.session.receive(&mut self.buffer).map_err(io::Error::other)?;
            let consumed = received.consumed;
            let incomplete = received.what == What::Incomplete;
            let picked = pick(received.what);
            self.buffer.drain(..consumed);
            if let Some(picked) = picked {
                return Ok(picked);
            }
            if incomplete {
                let mut part = [0; 1500];
                let length = self.stream.read(&mut part)?;
                if length == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                self.buffer.extend_from_slice(&part[..length]);
            }
        }
    }

    pub fn message<T>(&mut self, mut pick: impl FnMut(Message<'_>) -> Option<T>) -> io::Result<T> {
        let feed = self.discovery_key;
        self.next(|what| match what {
            What::Message { discovery_key, message } if discovery_key == feed => pick(message),
            _ => None,
        })
    }

    pub fn until_handshake(&mut self) -> io::Result<Handshake> {
        self.next(|what| match what {
            What::Handshake(handshake) => Some(handshake),
            _ => None,
        })
    }
}
