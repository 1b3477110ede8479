//! The wire session alone, driven by hand, with hypercore on the other side: when this holds and
//! the rest does not, the fault is above the bytes.

use std::io::{self, Write};
use std::net::TcpListener;

use ::gannet::codec::rle;
use ::gannet::crypto::hash::{self, Node};
use ::gannet::crypto::sign::{self, KeyPair};
use ::gannet::wire::{Bits, Data, Have, Message, Request};

use crate::install::left_out;
use crate::session::Wire;
use crate::tools::{hex, js, key_bytes, port, sha256, text};

#[test]
fn hypercore_answers_our_want_and_our_request() -> io::Result<()> {
    if left_out() {
        return Ok(());
    }
    for core in ["6", "7"] {
        let mut writer = js("feed.js", &["--core", core, "--live", "--blocks", "1"]);
        let ready = writer.expect("ready");
        let key = key_bytes(text(&ready, "key"));
        let mut wire = Wire::dial(&port(&ready), key)?;
        let handshake = wire.until_handshake()?;
        assert!(handshake.live && handshake.id.len() == 32);
        wire.send(&Message::Want { start: 0, length: Some(1 << 20) })?;
        let held = wire.message(|message| match message {
            Message::Have(Have {
                start: 0,
                length: 0x10_0000,
                bits: Some(Bits::Runs(bits)),
                ..
            }) => Some(rle::runs(bits).map(|run| run.expect("good runs").len).sum::<u64>()),
            _ => None,
        })?;
        assert_eq!(held, 8, "the one bit and the rest of its byte");
        wire.send(&Message::Request(Request { index: 0, ..Request::default() }))?;
        let signature = wire.message(|message| match message {
            Message::Data(Data { index: 0, value: Some(value), nodes, signature }) => {
                assert_eq!((sha256(value), nodes.len()), (text(&ready, "sha256").into(), 0));
                let root = Node { index: 0, hash: hash::leaf(value), size: value.len() as u64 };
                let signature = signature.expect("a signature");
                assert!(sign::verify(&key, &hash::roots(&[root]), &signature));
                Some(signature)
            }
            _ => None,
        })?;
        assert_ne!(signature, [0; 64]);
    }
    Ok(())
}

#[test]
fn hypercore_accepts_a_block_from_us() -> io::Result<()> {
    if left_out() {
        return Ok(());
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
        let mut wire = Wire::accept(&listener, pair.public())?;
        assert!(wire.until_handshake()?.live);
        let want = wire.message(|message| match message {
            Message::Want { start, length } => Some((start, length)),
            _ => None,
        })?;
        assert_eq!(want, (0, Some(1 << 20)));
        let bits = rle::encode(&[0x80]);
        let answer = Have { start: 0, length: 1 << 20, bits: Some(Bits::Runs(&bits)), ack: false };
        wire.send(&Message::Have(answer))?;
        let asked = wire.message(|message| match message {
            Message::Request(request) => Some(request),
            _ => None,
        })?;
        assert_eq!((asked.index, asked.digest, asked.hash), (0, 0, false));
        let (mut out, feed) = (Vec::new(), wire.discovery_key);
        let header =
            wire.session.data_header(&feed, 0, block.len(), &[], Some(&signature), &mut out);
        out.extend_from_slice(&block);
        wire.session.seal(header.expect("an open channel"), &mut out);
        wire.session.keepalive(&mut out);
        wire.stream.write_all(&out)?;
        let synced = reader.expect("synced");
        assert_eq!((&synced["length"], text(&synced, "sha256")), (&1.into(), &*sha256(&block)));
    }
    Ok(())
}
