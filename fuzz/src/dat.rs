//! Dat sessions: the first bytes of a stranger, the encrypted stream behind them, and the messages
//! in it.

use gannet::codec::varint;
use gannet::crypto::hash;
use gannet::crypto::stream::StreamCipher;
use gannet::wire::dat::{FirstFeed, Handshake, Session, Unsendable, What};

use super::segments::same_in_any_segments;

const KEY: [u8; 32] = [1; 32];
const NONCE: [u8; 24] = [2; 24];

fn first_feed() -> FirstFeed {
    FirstFeed { key: KEY, discovery_key: hash::discovery_key(&KEY), nonce: NONCE }
}

/// A dialling session with its feed open on both sides, the accepting one, and the key stream of
/// what is dialled with, at the same place.
fn pair() -> (Session, Session, StreamCipher) {
    let discovery_key = hash::discovery_key(&KEY);
    let (mut hello, mut answer) = (Vec::new(), Vec::new());
    let mut dialer = Session::dial(first_feed(), &mut hello);
    let handshake = Handshake { extensions: vec!["a".into(), "b".into()], ..Handshake::default() };
    let clear = hello.len();
    dialer.handshake(&handshake, &mut hello).expect("open");

    let mut acceptor = Session::accept();
    acceptor.provide_key(&KEY);
    acceptor.open(&discovery_key, &NONCE, &mut answer).expect("first feed");
    acceptor.receive(&mut hello).expect("a feed");
    acceptor.receive(&mut hello[clear..]).expect("a handshake");
    dialer.receive(&mut answer).expect("a feed");
    let mut cipher = StreamCipher::new(&KEY, &NONCE);
    cipher.apply(&mut hello[clear..]);
    (dialer, acceptor, cipher)
}

/// Everything that a session makes of bytes that come in segments, as text.
fn transcript(session: &mut Session, bytes: &[u8], segment: &mut dyn FnMut() -> usize) -> String {
    let (mut log, mut buf, mut rest) = (String::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(segment().clamp(1, rest.len()));
        buf.extend_from_slice(now);
        rest = later;
        loop {
            let len = buf.len();
            let received = match session.receive(&mut buf) {
                Ok(received) => received,
                Err(fault) => return format!("{log}{fault}"),
            };
            if received.what == What::Incomplete {
                assert_eq!(received.consumed, 0);
                assert!(received.need == 0 || received.need > len);
                break;
            }
            assert!((1..=len).contains(&received.consumed));
            log += &format!("{:?}\n", received.what);
            let key = matches!(received.what, What::FirstFeed { .. });
            let consumed = received.consumed;
            buf.drain(..consumed);
            if key {
                session.provide_key(&KEY);
            }
        }
    }
    log
}

/// The first bytes of a stranger, in clear, to an accepting and to a dialling session.
pub fn first(data: &[u8]) {
    let (&sizes, bytes) = data.split_first().unwrap_or((&0, &[]));
    same_in_any_segments(sizes, bytes, Session::accept, transcript);
    same_in_any_segments(sizes, bytes, || Session::dial(first_feed(), &mut Vec::new()), transcript);
}

pub fn first_seeds() -> Vec<Vec<u8>> {
    let mut hello = vec![7];
    let mut dialer = Session::dial(first_feed(), &mut hello);
    dialer
        .handshake(&Handshake { id: vec![3; 32], ..Handshake::default() }, &mut hello)
        .expect("open");
    dialer.open(&[4; 32], &NONCE, &mut hello).expect("second feed");
    vec![hello.clone(), hello[..20].to_vec()]
}

/// What the peer's cipher hides: the input is the plain stream.
pub fn session(data: &[u8]) {
    let (&sizes, plain) = data.split_first().unwrap_or((&0, &[]));
    let (_, _, mut cipher) = pair();
    let mut bytes = plain.to_vec();
    cipher.apply(&mut bytes);
    same_in_any_segments(sizes, &bytes, || pair().1, transcript);
}

pub fn session_seeds() -> Vec<Vec<u8>> {
    let mut all = vec![3];
    for seed in message_seeds() {
        frame(&seed, &mut all);
    }
    // A second feed, which is not opened here, and one message too many on it.
    let mut early = vec![0, 35, 0x10, 0x0a, 32];
    early.extend([5; 32]);
    for _ in 0..18 {
        early.extend([3, 0x13, 8, 1]);
    }
    vec![all, early]
}

/// A payload behind its length.
fn frame(payload: &[u8], out: &mut Vec<u8>) {
    varint::encode(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

/// One message on the first channel (the input's first byte is its header). What we understand and
/// may send ourselves comes through us unchanged.
pub fn message(data: &[u8]) {
    let (mut dialer, mut acceptor, mut cipher) = pair();
    let mut bytes = Vec::new();
    frame(data, &mut bytes);
    cipher.apply(&mut bytes);
    let Ok(received) = acceptor.receive(&mut bytes) else { return };
    let What::Message { discovery_key, message } = received.what else { return };
    let mut again = Vec::new();
    match dialer.send(&discovery_key, &message, &mut again) {
        Ok(()) => {
            let (_, mut acceptor, _) = pair();
            let received = acceptor.receive(&mut again).expect("our own message");
            assert_eq!(received.what, What::Message { discovery_key, message });
        }
        Err(refused) => assert!(matches!(refused, Unsendable::Harmful(_))),
    }
}

pub fn message_seeds() -> Vec<Vec<u8>> {
    let mut data = vec![9, 8, 1, 0x12, 2, 7, 7, 0x1a, 38, 8, 2, 0x12, 32];
    data.extend([9; 32]);
    data.extend([0x18, 1, 0x22, 64]);
    data.extend([6; 64]);
    vec![
        vec![2, 8, 1, 16, 0],
        vec![3, 8, 4],
        vec![3, 8, 0, 16, 128, 128, 64, 26, 2, 2, 0xf8],
        vec![3, 8, 7, 16, 1, 32, 1],
        vec![4, 8, 3, 16, 10],
        vec![5, 8, 0, 16, 128, 128, 64],
        vec![6, 8, 0, 16, 128, 128, 64],
        vec![7, 8, 172, 2, 16, 0, 24, 1, 32, 73],
        vec![8, 8, 4, 16, 0, 24, 0],
        vec![15, 0, 1, 2],
        data,
    ]
}
