//! Peers that mean harm, against the real program: whatever they send, it stays up and small, and
//! an honest peer gets its files meanwhile (dat/SPEC §12.2).
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "interop/processes.rs"]
mod processes;
#[path = "hostile/streams.rs"]
mod streams;

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gannet::codec::varint;
use gannet::crypto::hash::{self, Node};
use gannet::rng::Rng;
use gannet::wire::{Data, Have, Message, Request};

use processes::gannet::{Home, listening, ready_key};
use processes::peer::Peer;
use processes::session::Wire;
use processes::tools::{Scratch, files, key_bytes, noise, put};

/// The most that a gannet may ever need.
const MOST_KIB: u64 = 32 * 1024;

/// A share under attack, and where it is.
struct Victim {
    share: Peer,
    port: String,
    key: [u8; 32],
    hex: String,
    folder: std::path::PathBuf,
    scratch: Scratch,
    home: Home,
}

impl Victim {
    fn new() -> Victim {
        Victim::of(Home::dat())
    }

    fn of(home: Home) -> Victim {
        let scratch = Scratch::new();
        let folder = scratch.dir("folder");
        put(&folder, "big.bin", &noise(1, 20_000_000));
        for n in 0..50 {
            put(&folder, &format!("small/{n}"), &noise(n, 5000));
        }
        let mut share = home.share(&folder, &[]);
        let ready = share.expect("ready");
        share.expect("published");
        let hex = ready_key(&ready);
        let (port, key) = (listening(&ready), key_bytes(&hex));
        Victim { share, port, key, hex, folder, scratch, home }
    }

    /// A connection whose Handshakes are through.
    fn dial(&self) -> Wire {
        let mut wire = Wire::dial(&self.port, self.key).expect("a connection");
        wire.until_handshake().expect("a Handshake");
        wire
    }

    fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).expect("a connection");
        stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        stream
    }

    /// An honest peer clones everything, whatever is done to the victim meanwhile.
    fn serves_honest_peers(&mut self, name: &str) {
        let to = self.scratch.name(name);
        let peer = format!("127.0.0.1:{}", self.port);
        self.home.clone(&self.hex, &to, &["--once", "--peer", &peer]).succeed();
        assert_eq!(files(&to), files(&self.folder));
        self.is_well(name);
    }

    fn is_well(&mut self, after: &str) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.share.pid()));
        let status = status.unwrap_or_else(|_| self.share.fail(&format!("gone after {after}")));
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let peak = peak.unwrap_or_else(|| self.share.fail(&format!("has ended after {after}")));
        assert!(peak < MOST_KIB, "{peak} KiB after {after}");
    }
}

/// Sends bytes until the other side has closed or taken them all.
fn pour(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// Whether the other side closes within its time.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A message of any type with any body, encrypted as it should be.
fn frame(wire: &mut Wire, channel: u64, kind: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = channel << 4 | kind;
    varint::encode((varint::len(header) + body.len()) as u64, &mut out);
    varint::encode(header, &mut out);
    out.extend_from_slice(body);
    wire.session.seal(0, &mut out);
    out
}

fn fields(fields: &[(u64, u64)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, value) in fields {
        varint::encode(number << 3, &mut body);
        varint::encode(*value, &mut body);
    }
    body
}

fn bytes_field(number: u64, value: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    varint::encode(number << 3 | 2, &mut body);
    varint::encode(value.len() as u64, &mut body);
    body.extend_from_slice(value);
    body
}

#[test]
fn random_bytes_and_broken_beginnings_are_dropped() {
    let mut victim = Victim::new();
    let mut rng = Rng::from_seed(1);
    for _ in 0..60 {
        let mut noise = vec![0; rng.below(5000) as usize];
        rng.fill(&mut noise);
        pour(&mut victim.raw(), &noise);
    }
    let feed = hash::discovery_key(&victim.key);
    let named = |key: &[u8], nonce: &[u8]| {
        let body = [bytes_field(1, key), bytes_field(2, nonce)].concat();
        let mut out = Vec::new();
        varint::encode(1 + body.len() as u64, &mut out);
        [out, vec![0], body].concat()
    };
    let beginnings = [
        named(&feed, &[1; 23]),
        named(&feed, &[]),
        named(&feed[..31], &[1; 24]),
        named(&[9; 32], &[1; 24]),
        vec![0xff; 64],
        vec![0x80, 0x80, 0x80, 0x80, 0x01, 0, 0],
        [vec![0xff, 0xff, 0xff, 0x7f], vec![0; 100_000]].concat(),
        [vec![0x80, 0x80, 0x80, 0x04], vec![0; 100_000]].concat(),
        vec![0; 10_000],
    ];
    for (n, beginning) in beginnings.iter().enumerate() {
        let mut stream = victim.raw();
        pour(&mut stream, beginning);
        assert!(is_closed(&mut stream), "beginning {n} is not refused");
    }
    victim.serves_honest_peers("broken beginnings");
}

#[test]
fn one_byte_at_a_time_is_fine_and_silence_is_not() {
    let mut victim = Victim::new();
    let mut silent = victim.raw();
    let mut wire = victim.dial();
    let mut out = Vec::new();
    let feed = wire.discovery_key;
    let want = Message::Want { start: 0, length: Some(1 << 20) };
    wire.session.send(&feed, &want, &mut out).expect("an open channel");
    let request = Message::Request(Request { index: 0, ..Request::default() });
    wire.session.send(&feed, &request, &mut out).expect("an open channel");
    // Before and after the other one is dropped.
    for turn in 0..2 {
        for byte in &out {
            wire.stream.write_all(&[*byte]).expect("the victim reads");
        }
        let length = wire.message(|message| match message {
            Message::Data(Data { index: 0, value: Some(value), .. }) => Some(value.len()),
            _ => None,
        });
        assert!(length.expect("an answer") > 0);
        if turn == 0 {
            assert!(is_closed(&mut silent), "who says nothing is dropped");
            out.clear();
            wire.session.send(&feed, &request, &mut out).expect("an open channel");
        }
    }
    victim.serves_honest_peers("one byte at a time");
}

/// Every frame on a connection of its own: what it does to the connection is its own business.
#[test]
fn absurd_messages_cost_nothing() {
    let mut victim = Victim::new();
    let far = (1 << 53) - 1;
    let node = [fields(&[(1, 4)]), bytes_field(2, &[3; 32]), fields(&[(3, far)])].concat();
    let long_run = {
        let mut run = Vec::new();
        varint::encode(1 << 35 | 3, &mut run);
        run
    };
    let have = |bits: &[u8]| [fields(&[(1, 0), (2, 1 << 20)]), bytes_field(3, bits)].concat();
    let mut bodies: Vec<(u64, Vec<u8>)> = vec![
        (3, fields(&[(1, 0), (2, far)])),
        (3, fields(&[(1, far), (2, far)])),
        (3, fields(&[(1, u64::MAX), (2, u64::MAX)])),
        (3, have(&long_run)),
        (3, have(&[200, 1])),
        (3, have(&[0xff; 9])),
        (4, fields(&[(1, 0), (2, far)])),
        (4, fields(&[(1, far), (2, u64::MAX)])),
        (5, fields(&[(1, 3), (2, 5)])),
        (5, fields(&[(1, 0), (2, far)])),
        (5, fields(&[(1, far)])),
        (6, fields(&[(1, far), (2, far)])),
        (7, fields(&[(1, far)])),
        (7, fields(&[(1, 0), (2, far), (3, 1), (4, far)])),
        (7, fields(&[(1, 0), (4, u64::MAX)])),
        (8, fields(&[(1, far), (2, far)])),
        (9, fields(&[(1, 0)])),
        (9, [fields(&[(1, 1)]), bytes_field(2, b"not asked for")].concat()),
        (9, [fields(&[(1, far)]), bytes_field(2, b"x"), bytes_field(3, &node)].concat()),
        (9, [fields(&[(1, 0)]), bytes_field(3, &node).repeat(5000)].concat()),
        (9, [fields(&[(1, 0)]), bytes_field(3, b"\x08"), bytes_field(4, &[1; 63])].concat()),
        (0, [bytes_field(1, &[1; 31])].concat()),
        (1, bytes_field(1, &[1; 5000])),
        (2, fields(&[(1, 0), (2, 0)])),
        (10, vec![1; 100]),
        (15, vec![0xff; 12]),
    ];
    // Bodies that are no protobuf.
    bodies.extend((0..=15).map(|kind| (kind, vec![0xff; 20])));
    bodies.extend((0..=15).map(|kind| (kind, Vec::new())));
    for (kind, body) in bodies {
        for channel in [0, 1, 127, 1 << 40] {
            let mut wire = victim.dial();
            let frame = frame(&mut wire, channel, kind, &body);
            pour(&mut wire.stream, &frame);
        }
        victim.is_well(&format!("a message of type {kind}"));
    }
    victim.serves_honest_peers("absurd messages");
}

#[test]
fn channels_and_early_messages_are_bounded() {
    let mut victim = Victim::new();
    let mut wire = victim.dial();
    for channel in 1..400u64 {
        let key = hash::discovery_key(&[channel as u8; 32]);
        let feed = bytes_field(1, &[&key[..30], &channel.to_be_bytes()[6..]].concat());
        let frame = frame(&mut wire, channel, 0, &feed);
        pour(&mut wire.stream, &frame);
    }
    assert!(is_closed(&mut wire.stream), "too many channels");
    let mut wire = victim.dial();
    let feed = frame(&mut wire, 1, 0, &bytes_field(1, &[8; 32]));
    pour(&mut wire.stream, &feed);
    for _ in 0..18 {
        let frame = frame(&mut wire, 1, 15, &[vec![0], noise(5, 1_000_000)].concat());
        pour(&mut wire.stream, &frame);
    }
    assert!(is_closed(&mut wire.stream), "too much for a channel that nobody opened");
    victim.serves_honest_peers("channels");
}

#[test]
fn floods_from_many_sides_do_not_keep_an_honest_peer_waiting() {
    let mut victim = Victim::new();
    let (port, key) = (victim.port.clone(), victim.key);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        for attacker in 0..4u64 {
            let port = port.clone();
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // It may be refused, dropped or banned; it comes back.
                    let _ = flood(&port, key, attacker, over);
                }
            });
        }
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..3 {
                victim.serves_honest_peers(&format!("flood {round}"));
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = told {
            std::panic::resume_unwind(panic);
        }
    });
}

/// One connection of an attacker, until it is closed or `over`.
fn flood(port: &str, key: [u8; 32], attacker: u64, over: &AtomicBool) -> io::Result<()> {
    let mut wire = Wire::dial(port, key)?;
    wire.stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    wire.until_handshake()?;
    let (feed, mut batch) = (wire.discovery_key, Vec::new());
    for n in 0..2000u64 {
        let node = Node { index: 0, hash: [n as u8; 32], size: 1 };
        let message = match attacker {
            // The same block, again and again, and never a byte of it read.
            0 => Message::Request(Request { index: 0, ..Request::default() }),
            1 => Message::Want { start: 0, length: Some(1 << 20) },
            2 => Message::Data(Data {
                index: n,
                value: Some(b"forged"),
                nodes: vec![node],
                signature: Some([1; 64]),
            }),
            _ => Message::Have(Have { start: n * 8192, length: 1 << 30, bits: None, ack: false }),
        };
        wire.session.send(&feed, &message, &mut batch).map_err(io::Error::other)?;
    }
    wire.stream.set_nonblocking(true)?;
    let mut at = 0;
    while !over.load(Ordering::Relaxed) {
        match wire.stream.write(&batch[at..]) {
            Ok(0) => return Ok(()),
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Holds the connection open and its own window full.
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[test]
fn crowds_of_connections_are_bounded() {
    let mut victim = Victim::new();
    let crowd: Vec<TcpStream> = (0..300).map(|_| victim.raw()).collect();
    victim.is_well("300 connections");
    drop(crowd);
    victim.serves_honest_peers("a crowd");
}
