//! The Hypercore dialect: first bytes, sealed stream, messages.

use gannet::crypto::hash::discovery_key;
use gannet::crypto::hyper;
use gannet::crypto::noise::{Handshake, Role};
use gannet::crypto::sealed::{BEHIND_BYTES, HEADER_BYTES, Sealer};
use gannet::crypto::sign::KeyPair;
use gannet::wire::hyper::{Message, Session, Setup, What};

use super::segments::same_in_any_segments;

const KEY: [u8; 32] = [6; 32];
const LENGTH_BYTES: usize = 3;

fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed([n; 32])
}

fn session(role: Role) -> Session {
    let header = [8; HEADER_BYTES];
    Session::new(Setup { role, own: pair(2), ephemeral: pair(4), header })
}

fn framed(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(body.len() as u32).to_le_bytes()[..LENGTH_BYTES]);
    out.extend_from_slice(body);
}

/// The first bytes of a stranger, to an accepting and to a dialling session, in any segments.
pub fn first(data: &[u8]) {
    let (&sizes, bytes) = data.split_first().unwrap_or((&0, &[]));
    for role in [Role::Initiator, Role::Responder] {
        same_in_any_segments(sizes, bytes, || session(role), transcript);
    }
}

pub fn first_seeds() -> Vec<Vec<u8>> {
    let mut hello = vec![5];
    let header = [8; HEADER_BYTES];
    let setup = Setup { role: Role::Initiator, own: pair(1), ephemeral: pair(3), header };
    Session::new(setup).poll(&mut hello);
    let mut short = vec![1];
    framed(&[7; 96], &mut short);
    vec![hello, short]
}

/// What is said and heard when the bytes come in pieces of these sizes.
fn transcript(session: &mut Session, bytes: &[u8], size: &mut dyn FnMut() -> usize) -> String {
    let (mut log, mut buf, mut rest) = (String::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(size().clamp(1, rest.len()));
        buf.extend_from_slice(piece);
        rest = more;
        loop {
            let len = buf.len();
            let received = match session.receive(&mut buf) {
                Ok(received) => received,
                Err(fault) => return log + &format!("{fault:?}"),
            };
            if received.what == What::Incomplete {
                assert!(received.need == 0 || received.need > len);
                break;
            }
            assert!((1..=len).contains(&received.consumed));
            log += &format!("{:?}\n", received.what);
            let opened = match received.what {
                What::Opened { discovery_key } => Some(discovery_key),
                _ => None,
            };
            let consumed = received.consumed;
            buf.drain(..consumed);
            let mut out = Vec::new();
            if let Some(id) = opened {
                if id == discovery_key(&KEY) {
                    log += &format!("{:?}\n", session.open(&id, &KEY, &mut out));
                } else {
                    session.refuse(&id, &mut out);
                }
            }
            session.poll(&mut out);
        }
    }
    log
}

/// An accepting session whose handshake is over, the peer's cipher, and what it knows the key by.
fn up() -> (Session, Sealer, [u8; 32]) {
    let mut session = session(Role::Responder);
    let mut peer = Handshake::new(Role::Initiator, pair(1), pair(3));
    let say = |session: &mut Session, message: &[u8]| {
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        framed(message, &mut frame);
        session.receive(&mut frame).expect("an honest handshake");
        session.poll(&mut out);
        out
    };
    let mut message = Vec::new();
    peer.write(&mut message).expect("our turn");
    let answer = say(&mut session, &message);
    peer.read(&answer[LENGTH_BYTES..]).expect("an honest answer");
    message.clear();
    peer.write(&mut message).expect("our turn");
    say(&mut session, &message);
    let keys = peer.finish().expect("three messages");
    let header = [5; HEADER_BYTES];
    say(&mut session, &[&hyper::stream_id(&keys.hash, true)[..], &header].concat());
    let capability = hyper::capability(&keys.hash, true, &KEY);
    (session, Sealer::new(&keys.send, &header), capability)
}

fn sealed(sealer: &mut Sealer, text: &[u8], out: &mut Vec<u8>) {
    let mut body = [&[0], text, &[0; BEHIND_BYTES]].concat();
    sealer.seal(&mut body);
    framed(&body, out);
}

/// What the peer's cipher hides: the input is texts, each behind a byte with its length.
pub fn session_texts(data: &[u8]) {
    let (&sizes, mut texts) = data.split_first().unwrap_or((&0, &[]));
    let (_, mut sealer, _) = up();
    let mut bytes = Vec::new();
    while let Some((&len, rest)) = texts.split_first() {
        let (text, rest) = rest.split_at(usize::from(len).min(rest.len()));
        sealed(&mut sealer, text, &mut bytes);
        texts = rest;
    }
    same_in_any_segments(sizes, &bytes, || up().0, transcript);
}

fn opening() -> Vec<u8> {
    let mut text = vec![0, 1, 1, 15];
    text.extend(b"hypercore/alpha");
    text.push(32);
    text.extend(discovery_key(&KEY));
    text.push(1);
    text.extend(up().2);
    text
}

pub fn session_texts_seeds() -> Vec<Vec<u8>> {
    let mut all = vec![9];
    let mut rejected = opening();
    rejected[3] = 14;
    rejected.remove(18);
    let messages = message_seeds();
    let bodies = messages.iter().map(|seed| [&[1], &seed[..]].concat());
    let mut batch = vec![0, 0, 1];
    for seed in &messages {
        batch.push(seed.len() as u8);
        batch.extend(seed);
        batch.extend([0, 1]);
    }
    let texts = [rejected, opening(), vec![], batch, vec![0, 2, 1], vec![0, 3, 1]];
    for text in texts.into_iter().chain(bodies) {
        all.push(text.len() as u8);
        all.extend(text);
    }
    vec![all]
}

/// One message: its type, then its body. What we understand and may send ourselves comes through us
/// unchanged.
pub fn message(data: &[u8]) {
    let (mut session, mut sealer, _) = up();
    let id = discovery_key(&KEY);
    let mut bytes = Vec::new();
    session.open(&id, &KEY, &mut Vec::new()).expect("handshake is over");
    sealed(&mut sealer, &opening(), &mut bytes);
    let live = session.receive(&mut bytes).expect("an honest opening").consumed;
    bytes.drain(..live);
    sealed(&mut sealer, &[&[1], data].concat(), &mut bytes);
    let Ok(received) = session.receive(&mut bytes) else { return };
    let What::Message { message, .. } = received.what else { return };
    let again = text_of(&message);
    let mut bytes = Vec::new();
    sealed(&mut sealer, &again, &mut bytes);
    let received = session.receive(&mut bytes).expect("our own message");
    assert_eq!(received.what, What::Message { discovery_key: id, message });
}

/// The message as another session of ours writes it: channel, type, body.
fn text_of(message: &Message<'_>) -> Vec<u8> {
    use gannet::crypto::sealed::{Opener, text};
    let (mut session, mut sealer, _) = up();
    let id = discovery_key(&KEY);
    let mut bytes = Vec::new();
    sealed(&mut sealer, &opening(), &mut bytes);
    session.receive(&mut bytes).expect("an honest opening");
    let mut out = Vec::new();
    session.open(&id, &KEY, &mut out).expect("handshake is over");
    session.poll(&mut out);
    let before = out.len();
    session.send(&id, message, &mut out).expect("what came may go");
    session.poll(&mut out);
    // The keys are the peer's the other way round.
    let mut peer = Handshake::new(Role::Initiator, pair(1), pair(3));
    let mut other = Handshake::new(Role::Responder, pair(2), pair(4));
    let (mut from, mut to) = (&mut peer, &mut other);
    for _ in 0..3 {
        let mut message = Vec::new();
        from.write(&mut message).expect("our turn");
        to.read(&message).expect("an honest message");
        std::mem::swap(&mut from, &mut to);
    }
    let keys = peer.finish().expect("three messages");
    let mut opener = Opener::new(&keys.receive, &[8; HEADER_BYTES]);
    let mut texts = Vec::new();
    for frames in [&mut out[..before].to_vec(), &mut out[before..].to_vec()] {
        let body = &mut frames[LENGTH_BYTES..];
        opener.open(body).expect("our own frame");
        texts.push(text(body).to_vec());
    }
    let text = texts.pop().expect("two frames");
    match text.strip_prefix(&[0, 0]) {
        // A batch of one: channel, length, message.
        Some(batch) => {
            let mut r = gannet::codec::compact::Reader::new(batch);
            let channel = r.uint().expect("channel") as u8;
            [&[channel], r.buffer().expect("item")].concat()
        }
        None => text,
    }
}

pub fn message_seeds() -> Vec<Vec<u8>> {
    let node = [&[4, 9][..], &[3; 32]].concat();
    let mut data = vec![3, 0x19, 1, 0, 2, 3, 7, 7, 7, 1];
    data.extend(&node);
    data.extend([0, 5, 1]);
    data.extend(&node);
    data.extend([0, 2, 9, 9, 0, 0, 1]);
    let mut hash = vec![3, 6, 3, 0, 10, 1];
    hash.extend(&node);
    hash.extend([30, 1]);
    hash.extend(&node);
    vec![
        vec![0, 0x0b, 1, 200, 0, 3],
        vec![1, 0x29, 4, 0, 9, 0, 5, 5, 2],
        vec![1, 0x16, 4, 0, 9, 1, 30, 0],
        vec![2, 7],
        data,
        hash,
        vec![4, 5, 1, 1],
        vec![5, 0, 0xfe, 0, 0, 0x20, 0],
        vec![6, 32, 32, 1],
        vec![7, 0, 1, 0x89, 0, 0, 0],
        vec![8, 2, 9],
        vec![8, 1, 2, 4],
        vec![9, 2, b'h', b'i', 1, 2, 3],
    ]
}
