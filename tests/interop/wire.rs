//! The wire session alone, driven by hand over a blocking socket, with hypercore on the other
//! side: when this holds and the rest does not, the fault is above the bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use ::gannet::codec::rle;
use ::gannet::crypto::hash::{self, Node};
use ::gannet::crypto::sign::{self, KeyPair};
use ::gannet::wire::dat::{FirstFeed, Handshake, Session, What};
use ::gannet::wire::{Data, Have, Message, Request};

use crate::install::left_out;
use crate::peer::DEADLINE;
use crate::tools::{hex, js, port, sha256, text};

struct Wire {
    stream: TcpStream,
    session: Session,
    /// Received, not consumed yet.
    buffer: Vec<u8>,
    discovery_key: [u8; 32],
}

impl Wire {
    fn new(stream: TcpStream, session: Session, key: &[u8; 32]) -> Wire {
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        stream.set_nodelay(true).expect("no delay");
        let discovery_key = hash::discovery_key(key);
        Wire { stream, session, buffer: Vec::new(), discovery_key }
    }

    fn dial(port: &str, key: [u8; 32]) -> Wire {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("a connection");
        let discovery_key = hash::discovery_key(&key);
        let mut out = Vec::new();
        let session = Session::dial(FirstFeed { key, discovery_key, nonce: [7; 24] }, &mut out);
        let mut wire = Wire::new(stream, session, &key);
        wire.handshake(&mut out);
        wire.write(&out);
        wire
    }

    fn accept(listener: &TcpListener, key: [u8; 32]) -> Wire {
        let (stream, _) = listener.accept().expect("a connection");
        let mut wire = Wire::new(stream, Session::accept(), &key);
        let named = wire.next(|what| match what {
            What::FirstFeed { discovery_key } => Some(discovery_key),
            _ => None,
        });
        assert_eq!(named, wire.discovery_key);
        wire.session.provide_key(&key);
        let mut out = Vec::new();
        wire.session.open(&named, &[9; 24], &mut out).expect("room for a channel");
        wire.handshake(&mut out);
        wire.write(&out);
        wire
    }

    fn handshake(&mut self, out: &mut Vec<u8>) {
        let handshake = Handshake { id: vec![5; 32], live: true, ..Handshake::default() };
        self.session.handshake(&handshake, out).expect("the first Feed is out");
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the peer reads");
    }

    fn send(&mut self, message: &Message<'_>) {
        let mut out = Vec::new();
        self.session.send(&self.discovery_key, message, &mut out).expect("an open channel");
        self.write(&out);
    }

    /// Reads on until `pick` takes something.
    fn next<T>(&mut self, mut pick: impl FnMut(What<'_>) -> Option<T>) -> T {
        loop {
            let received = self.session.receive(&mut self.buffer).expect("no fault");
            let consumed = received.consumed;
            let incomplete = received.what == What::Incomplete;
            let picked = pick(received.what);
            self.buffer.drain(..consumed);
            if let Some(picked) = picked {
                return picked;
            }
            if incomplete {
                let mut part = [0; 1500];
                let length = self.stream.read(&mut part).expect("more in time");
                assert_ne!(length, 0, "the peer has closed");
                self.buffer.extend_from_slice(&part[..length]);
            }
        }
    }

    fn message<T>(&mut self, mut pick: impl FnMut(Message<'_>) -> Option<T>) -> T {
        let feed = self.discovery_key;
        self.next(|what| match what {
            What::Message { discovery_key, message } if discovery_key == feed => pick(message),
            _ => None,
        })
    }

    fn until_handshake(&mut self) -> Handshake {
        self.next(|what| match what {
            What::Handshake(handshake) => Some(handshake),
            _ => None,
        })
    }
}

#[test]
fn hypercore_answers_our_want_and_our_request() {
    if left_out() {
        return;
    }
    for core in ["6", "7"] {
        let mut writer = js("feed.js", &["--core", core, "--live", "--blocks", "1"]);
        let ready = writer.expect("ready");
        let mut key = [0; 32];
        key.copy_from_slice(&bytes(text(&ready, "key")));
        let mut wire = Wire::dial(&port(&ready), key);
        let handshake = wire.until_handshake();
        assert!(handshake.live && handshake.id.len() == 32);
        wire.send(&Message::Want { start: 0, length: Some(1 << 20) });
        let held = wire.message(|message| match message {
            Message::Have(Have { start: 0, length: 0x10_0000, bits: Some(bits), .. }) => {
                Some(rle::runs(bits).map(|run| run.expect("good runs").len).sum::<u64>())
            }
            _ => None,
        });
        assert_eq!(held, 8, "the one bit and the rest of its byte");
        wire.send(&Message::Request(Request { index: 0, ..Request::default() }));
        let signature = wire.message(|message| match message {
            Message::Data(Data { index: 0, value: Some(value), nodes, signature }) => {
                assert_eq!((sha256(value), nodes.len()), (text(&ready, "sha256").into(), 0));
                let root = Node { index: 0, hash: hash::leaf(value), size: value.len() as u64 };
                let signature = signature.expect("a signature");
                assert!(sign::verify(&key, &hash::roots(&[root]), &signature));
                Some(signature)
            }
            _ => None,
        });
        assert_ne!(signature, [0; 64]);
    }
}

#[test]
fn hypercore_accepts_a_block_from_us() {
    if left_out() {
        return;
    }
    let pair = KeyPair::from_seed([3; 32]);
    let block = b"a block of our own".repeat(500);
    let root = Node { index: 0, hash: hash::leaf(&block), size: block.len() as u64 };
    let signature = pair.sign(&hash::roots(&[root]));
    for core in ["6", "7"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("a port").port().to_string();
        let key = hex(&pair.public());
        let mut reader =
            js("feed.js", &["--core", core, "--live", "--key", &key, "--connect", &at]);
        let mut wire = Wire::accept(&listener, pair.public());
        assert!(wire.until_handshake().live);
        let want = wire.message(|message| match message {
            Message::Want { start, length } => Some((start, length)),
            _ => None,
        });
        assert_eq!(want, (0, Some(1 << 20)));
        let bits = rle::encode(&[0x80]);
        let answer = Have { start: 0, length: 1 << 20, bits: Some(&bits), ack: false };
        wire.send(&Message::Have(answer));
        let asked = wire.message(|message| match message {
            Message::Request(request) => Some(request),
            _ => None,
        });
        assert_eq!((asked.index, asked.digest, asked.hash), (0, 0, false));
        let (mut out, feed) = (Vec::new(), wire.discovery_key);
        let header =
            wire.session.data_header(&feed, 0, block.len(), &[], Some(&signature), &mut out);
        out.extend_from_slice(&block);
        wire.session.seal(header.expect("an open channel"), &mut out);
        wire.session.keepalive(&mut out);
        wire.write(&out);
        let synced = reader.expect("synced");
        assert_eq!((&synced["length"], text(&synced, "sha256")), (&1.into(), &*sha256(&block)));
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}
