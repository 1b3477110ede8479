//! Sessions against sessions, and against bytes made by hand.

use proptest::prelude::*;

use super::{Fault, FirstFeed, Handshake, Session, Unsendable, What};
use crate::codec::{proto, varint};
use crate::crypto::hash::{self, Node};
use crate::crypto::stream::StreamCipher;
use crate::limits;
use crate::wire::{Bits, Data, Have, Message, Request};

const KEY: [u8; 32] = [5; 32];
const NONCE: [u8; 24] = [6; 24];

fn first() -> FirstFeed {
    FirstFeed { key: KEY, discovery_key: hash::discovery_key(&KEY), nonce: NONCE }
}

/// An accepting session and a peer that can write whatever it likes.
struct Rig {
    session: Session,
    cipher: StreamCipher,
    dk: [u8; 32],
}

impl Rig {
    /// The first feed is open on both sides.
    fn new() -> Rig {
        let mut rig = Rig::unopened();
        rig.session.open(&rig.dk, &NONCE, &mut Vec::new()).unwrap();
        rig
    }

    /// The peer has opened the first feed, we have not.
    fn unopened() -> Rig {
        let dk = hash::discovery_key(&KEY);
        let mut hello = Vec::new();
        Session::dial(first(), &mut hello);
        let mut session = Session::accept();
        let len = hello.len();
        let got = session.receive(&mut hello).unwrap();
        assert_eq!((got.consumed, got.what), (len, What::FirstFeed { discovery_key: dk }));
        assert_eq!(session.receive(&mut [1, 2, 3]).unwrap().what, What::Incomplete);
        session.provide_key(&KEY);
        Rig { session, cipher: StreamCipher::new(&KEY, &NONCE), dk }
    }

    fn raw(&mut self, plain: &[u8]) -> Result<What<'static>, Fault> {
        let wire = plain.to_vec().leak();
        self.cipher.apply(wire);
        let len = wire.len();
        let got = self.session.receive(wire)?;
        assert!(got.consumed == len || got.what == What::Incomplete);
        Ok(got.what)
    }

    fn message(&mut self, channel: u64, kind: u8, body: &[u8]) -> Result<What<'static>, Fault> {
        self.raw(&frame(channel, kind, body))
    }
}

fn frame(channel: u64, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    varint::encode(channel << 4 | u64::from(kind), &mut payload);
    payload.extend_from_slice(body);
    let mut out = Vec::new();
    varint::encode(payload.len() as u64, &mut out);
    out.extend(payload);
    out
}

fn feed_body(dk: &[u8], nonce: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    proto::put_bytes(1, dk, &mut out);
    if let Some(nonce) = nonce {
        proto::put_bytes(2, nonce, &mut out);
    }
    out
}

fn have(start: u64) -> Message<'static> {
    Message::Have(Have { start, length: 1, bits: None, ack: false })
}

#[test]
fn f01_first_message_is_a_feed_in_clear_with_nonce() {
    let dk = hash::discovery_key(&KEY);
    let nonce = Some(&NONCE[..]);
    for (bytes, fault) in [
        (frame(0, 1, &[]), Fault::FirstNotFeed),
        (frame(1, 0, &feed_body(&dk, nonce)), Fault::FirstNotFeed),
        (frame(0, 3, &[8, 0]), Fault::FirstNotFeed),
        (frame(0, 0, &vec![0; 2000]), Fault::FirstNotFeed),
        (frame(0, 0, &feed_body(&dk, None)), Fault::Nonce),
        (frame(0, 0, &feed_body(&dk, Some(&[1; 23]))), Fault::Nonce),
        (frame(0, 0, &feed_body(&dk[1..], nonce)), Fault::DiscoveryKey),
        (frame(0, 0, &[]), Fault::DiscoveryKey),
        (vec![255, 255, 255, 255], Fault::LengthPrefix),
        (vec![0x81, 0x80, 0x80, 0x04], Fault::MessageTooLong { len: 8_388_609 }),
        (vec![0x80, 0x80, 0x80, 0x04], Fault::FirstNotFeed),
    ] {
        let mut wire = bytes.clone();
        assert_eq!(Session::accept().receive(&mut wire), Err(fault), "{bytes:?}");
    }
}

#[test]
fn f01_both_first_feeds_must_be_the_same() {
    let mut dialer = Session::dial(first(), &mut Vec::new());
    let mut other = Vec::new();
    Session::dial(FirstFeed { discovery_key: [9; 32], ..first() }, &mut other);
    assert_eq!(dialer.receive(&mut other), Err(Fault::OtherFirstFeed));

    let mut rig = Rig::unopened();
    let mut out = Vec::new();
    assert_eq!(rig.session.open(&[9; 32], &NONCE, &mut out), Err(Unsendable::NotOpen));
    assert_eq!(rig.session.handshake(&Handshake::default(), &mut out), Err(Unsendable::NotOpen));
    rig.session.keepalive(&mut out);
    assert!(out.is_empty());
}

#[test]
fn f02_second_handshake_is_ignored() {
    let mut rig = Rig::new();
    let mut handshake = Handshake { id: vec![1; 32], live: true, ..Handshake::default() };
    let mut body = Vec::new();
    handshake.encode(&mut body);
    assert_eq!(rig.message(0, 1, &body), Ok(What::Handshake(handshake.clone())));
    handshake.id = vec![2; 32];
    body.clear();
    handshake.encode(&mut body);
    assert_eq!(rig.message(0, 1, &body), Ok(What::Ignored));
}

#[test]
fn handshake_is_bounded() {
    let mut too_long = Vec::new();
    proto::put_bytes(1, &[0; 65], &mut too_long);
    assert!(matches!(Rig::new().message(0, 1, &too_long), Err(Fault::Bounds(_))));
    let mut too_many = Vec::new();
    for _ in 0..65 {
        proto::put_bytes(4, b"x", &mut too_many);
    }
    assert!(matches!(Rig::new().message(0, 1, &too_many), Err(Fault::Bounds(_))));
    let mut too_big = Vec::new();
    proto::put_bytes(3, &[0; 8193], &mut too_big);
    assert!(matches!(Rig::new().message(0, 1, &too_big), Err(Fault::Bounds(_))));
}

#[test]
fn f04_a_feed_opened_later_becomes_usable() {
    let mut rig = Rig::new();
    let other = [7; 32];
    assert_eq!(
        rig.message(1, 0, &feed_body(&other, None)),
        Ok(What::Feed { discovery_key: other })
    );
    assert!(!rig.session.is_open(&other));
    assert_eq!(rig.session.send(&other, &have(1), &mut Vec::new()), Err(Unsendable::NotOpen));
    assert_eq!(rig.message(1, 3, &[8, 1]), Ok(What::Ignored));
    assert_eq!(rig.session.early(&other), None);

    rig.session.open(&other, &NONCE, &mut Vec::new()).unwrap();
    assert!(rig.session.is_open(&other));
    let early = rig.session.early(&other).unwrap();
    assert_eq!(early.message(), Ok(Some(have(1))));
    assert_eq!(rig.session.early(&other), None);
    let what = What::Message { discovery_key: other, message: have(2) };
    assert_eq!(rig.message(1, 3, &[8, 2]), Ok(what));
}

#[test]
fn early_messages_are_bounded_by_number_and_bytes() {
    let mut rig = Rig::unopened();
    for _ in 0..limits::DAT_EARLY_MESSAGES {
        assert_eq!(rig.message(0, 3, &[8, 1]), Ok(What::Ignored));
        assert_eq!(rig.message(0, 12, &[8, 1]), Ok(What::Ignored));
    }
    assert_eq!(rig.message(0, 3, &[8, 1]), Err(Fault::TooManyEarly));

    let mut rig = Rig::unopened();
    let big = vec![0; limits::DAT_EARLY_BYTES / 2 + 1];
    assert_eq!(rig.message(0, 15, &big), Ok(What::Ignored));
    assert_eq!(rig.message(0, 15, &big), Err(Fault::TooManyEarly));

    let mut rig = Rig::unopened();
    rig.message(0, 15, &big).unwrap();
    assert_eq!(
        rig.message(1, 0, &feed_body(&[8; 32], None)),
        Ok(What::Feed { discovery_key: [8; 32] })
    );
    rig.session.open(&rig.dk, &NONCE, &mut Vec::new()).unwrap();
    assert!(rig.session.early(&rig.dk).is_some());
    assert_eq!(rig.message(1, 15, &big), Ok(What::Ignored));
}

#[test]
fn f07_channels_up_to_the_limit() {
    let mut rig = Rig::new();
    let last = limits::DAT_CHANNELS as u64;
    for channel in 1..last {
        let dk = [channel as u8; 32];
        rig.message(channel, 0, &feed_body(&dk, None)).unwrap();
        rig.session.open(&dk, &NONCE, &mut Vec::new()).unwrap();
    }
    let body = feed_body(&[255; 32], None);
    assert_eq!(rig.message(last, 0, &body), Err(Fault::TooManyChannels { channel: last }));
    let refused = rig.session.open(&[255; 32], &NONCE, &mut Vec::new());
    assert_eq!(refused, Err(Unsendable::TooManyChannels));
}

#[test]
fn a_channel_is_opened_once_and_a_feed_may_come_again_on_another() {
    let dk = hash::discovery_key(&KEY);
    assert_eq!(Rig::new().message(0, 0, &feed_body(&[1; 32], None)), Err(Fault::ChannelAgain));
    assert_eq!(Rig::new().message(1, 0, &feed_body(&[1; 31], None)), Err(Fault::DiscoveryKey));
    let again = Rig::new().session.open(&dk, &NONCE, &mut Vec::new());
    assert_eq!(again, Err(Unsendable::OpenAlready));

    let mut rig = Rig::new();
    assert_eq!(rig.message(1, 0, &feed_body(&dk, None)), Ok(What::Ignored));
    for channel in [0, 1] {
        let what = What::Message { discovery_key: dk, message: have(7) };
        assert_eq!(rig.message(channel, 3, &[8, 7]), Ok(what));
    }
}

#[test]
fn f09_unknown_is_skipped_and_too_long_is_refused_at_once() {
    let mut rig = Rig::new();
    for kind in 10..15 {
        assert_eq!(rig.message(0, kind, &[1, 2, 3]), Ok(What::Ignored));
    }
    assert_eq!(rig.message(0, 15, &[0, 1]), Ok(What::Ignored), "extension before a handshake");
    assert_eq!(rig.message(0, 3, &[0x08, 4, 0x48, 1, 0x52, 1, 0]), {
        Ok(What::Message { discovery_key: rig.dk, message: have(4) })
    });
    assert_eq!(rig.raw(&[1, 2]), Ok(What::Ignored), "one byte of payload");
    assert_eq!(rig.message(5, 3, &[8, 1]), Err(Fault::NoSuchChannel));
    assert_eq!(Rig::new().message(1 << 40, 3, &[8, 1]), Err(Fault::Header));
    assert_eq!(Rig::new().raw(&[255, 255, 255, 127]), {
        Err(Fault::MessageTooLong { len: (1 << 28) - 1 })
    });
    assert_eq!(Rig::new().raw(&[128, 128, 128, 128]), Err(Fault::LengthPrefix));
    assert_eq!(Rig::new().raw(&[128, 128, 128, 4]), Ok(What::Incomplete));
}

#[test]
fn f10_keepalive() {
    let mut rig = Rig::new();
    assert_eq!(rig.raw(&[0]), Ok(What::KeepAlive));
    assert_eq!(rig.raw(&[0x80, 0]), Ok(What::KeepAlive));
    assert_eq!(Session::accept().receive(&mut [0]).unwrap().what, What::KeepAlive);
}

#[test]
fn malformed_is_dropped_and_out_of_bounds_is_a_fault() {
    let node = |hash: usize, size: u64| {
        let mut node = Vec::new();
        proto::put_int(1, 2, &mut node);
        proto::put_bytes(2, &vec![0; hash], &mut node);
        proto::put_int(3, size, &mut node);
        let mut body = vec![8, 1];
        proto::put_bytes(3, &node, &mut body);
        body
    };
    let mut signature = vec![8, 1];
    proto::put_bytes(4, &[0; 63], &mut signature);
    for (kind, body) in [
        (3, vec![0x10, 1]),
        (3, vec![0x0a, 1, 1]),
        (5, vec![0xff, 0xff]),
        (7, vec![0x10, 0, 0x18, 0]),
        (9, vec![0x12, 1, 1]),
        (9, vec![8, 1, 0x1a, 2, 8, 1]),
        (9, vec![8, 1, 0x12, 200, 1]),
    ] {
        assert_eq!(Rig::new().message(0, kind, &body), Ok(What::Ignored), "{kind} {body:?}");
    }
    let mut many = vec![8, 1];
    for _ in 0..=limits::PROOF_NODES {
        many.extend_from_slice(&node(32, 1)[2..]);
    }
    let huge = [8, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    for (kind, body) in [
        (9, node(31, 1)),
        (9, node(32, 1 << 53)),
        (9, signature),
        (9, many),
        (3, huge.to_vec()),
        (5, vec![8, 1, 16, 255, 255, 255, 255, 255, 255, 255, 15]),
        (7, huge.to_vec()),
    ] {
        assert!(matches!(Rig::new().message(0, kind, &body), Err(Fault::Bounds(_))), "{kind}");
    }
}

#[test]
fn what_harms_peers_is_never_sent() {
    let mut rig = Rig::new();
    let bits = |start, bits| {
        Message::Have(Have { start, length: 8192, bits: Some(Bits::Runs(bits)), ack: false })
    };
    let data = Data { index: 0, value: None, nodes: vec![], signature: None };
    for message in [
        Message::Data(data),
        Message::Want { start: 0, length: Some(1 << 32) },
        Message::Want { start: 0, length: Some(1 << 31) },
        Message::Want { start: 8, length: Some(8192) },
        Message::Want { start: 0, length: Some(100) },
        bits(8, &[7]),
        bits(8192, &[4, 1]),
        bits(0, &[255, 255, 255, 255, 255, 15]),
        Message::Have(Have { start: 0, length: 1 << 28, bits: None, ack: false }),
        Message::Request(Request { index: 1 << 53, ..Request::default() }),
    ] {
        let mut out = Vec::new();
        let refused = rig.session.send(&rig.dk, &message, &mut out);
        assert!(matches!(refused, Err(Unsendable::Harmful(_))), "{message:?}");
        assert!(out.is_empty());
    }
    let mut out = Vec::new();
    let value = vec![0; limits::DAT_MESSAGE_BYTES];
    let data = Data { index: 0, value: Some(&value), nodes: vec![], signature: None };
    assert_eq!(rig.session.send(&rig.dk, &Message::Data(data), &mut out), Err(Unsendable::TooLong));
    let header = rig.session.data_header(&rig.dk, 0, value.len(), &[], None, &mut out);
    assert_eq!(header, Err(Unsendable::TooLong));
    assert!(out.is_empty());
}

#[test]
fn a_block_of_the_largest_size_with_the_largest_proof_fits() {
    let mut rig = Rig::new();
    let nodes = [Node { index: 1 << 52, size: 1 << 52, hash: [1; 32] }; limits::PROOF_NODES];
    let big = limits::BLOCK_BYTES;
    let mut out = Vec::new();
    rig.session.data_header(&rig.dk, 1 << 52, big, &nodes, Some(&[2; 64]), &mut out).unwrap();
}

#[test]
fn data_written_in_place_reads_as_the_same_message() {
    let mut rig = Rig::new();
    let mut peer = Session::dial(first(), &mut Vec::new());
    let mut hello = Vec::new();
    Session::dial(first(), &mut hello);
    peer.receive(&mut hello).unwrap();
    let nodes = [Node { index: 3, size: 4, hash: [5; 32] }];
    for len in [0, 1, 100, 70_000] {
        let mut out = Vec::new();
        peer.keepalive(&mut out);
        let from = peer.data_header(&rig.dk, 9, len, &nodes, Some(&[6; 64]), &mut out).unwrap();
        out.resize(out.len() + len, 7);
        peer.seal(from, &mut out);
        peer.keepalive(&mut out);
        assert_eq!(rig.session.receive(&mut out).unwrap().what, What::KeepAlive);
        let got = rig.session.receive(&mut out[1..]).unwrap();
        let value = vec![7; len];
        let nodes = nodes.to_vec();
        let data = Data { index: 9, value: Some(&value), nodes, signature: Some([6; 64]) };
        let (discovery_key, message) = (rig.dk, Message::Data(data));
        assert_eq!(got.what, What::Message { discovery_key, message });
        let at = 1 + got.consumed;
        assert_eq!(rig.session.receive(&mut out[at..]).unwrap().what, What::KeepAlive);
        assert_eq!(at + 1, out.len());
    }
}

/// A message that owns its bytes.
#[derive(Clone, Debug)]
enum Step {
    Small(Message<'static>),
    Have { start: u64, bits: Vec<u8> },
    Data { index: u64, value: Option<Vec<u8>>, nodes: Vec<(u64, u64)>, signed: bool },
    Extension(Vec<u8>),
    KeepAlive,
}

impl Step {
    fn message(&self) -> Option<Message<'_>> {
        Some(match self {
            Step::Small(message) => message.clone(),
            Step::Have { start, bits } => Message::Have(Have {
                start: *start,
                length: 8192,
                bits: Some(Bits::Runs(bits)),
                ack: false,
            }),
            Step::Data { index, value, nodes, signed } => {
                let nodes = nodes.iter().map(|&(index, size)| Node { index, size, hash: [3; 32] });
                Message::Data(Data {
                    index: *index,
                    value: value.as_deref(),
                    nodes: nodes.collect(),
                    signature: signed.then_some([4; 64]),
                })
            }
            Step::Extension(payload) => Message::Extension { id: 1, payload },
            Step::KeepAlive => return None,
        })
    }
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..limits::MAX_SAFE_INTEGER;
    let page = (0u64..1000).prop_map(|p| p * limits::WANT_ALIGN_BLOCKS);
    let ranges = (page.clone(), prop::option::of(1u64..=128));
    let request = (n.clone(), n.clone(), any::<bool>(), n.clone()).prop_map(
        |(index, bytes, hash, digest)| Request { index, bytes, hash, digest, numbered: None },
    );
    let nodes = prop::collection::vec((n.clone(), n.clone()), 0..5);
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..3000));
    prop_oneof![
        Just(Step::KeepAlive),
        any::<(bool, bool)>().prop_map(|(uploading, downloading)| {
            Step::Small(Message::Info { uploading, downloading })
        }),
        (0u64..1 << 50, 1u64..1 << 20, any::<bool>()).prop_map(|(start, length, ack)| {
            Step::Small(Message::Have(Have { start, length, bits: None, ack }))
        }),
        (0u64..1 << 50, 1u64..1 << 20)
            .prop_map(|(start, length)| Step::Small(Message::Unhave { start, length })),
        (ranges.clone(), any::<bool>()).prop_map(|((start, pages), un)| {
            let length = pages.map(|p| p * limits::WANT_ALIGN_BLOCKS);
            Step::Small(match un {
                true => Message::Unwant { start, length },
                false => Message::Want { start, length },
            })
        }),
        request.clone().prop_map(|r| Step::Small(Message::Request(r))),
        request.prop_map(|r| Step::Small(Message::Cancel(Request { digest: 0, ..r }))),
        (page, prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(start, bits)| {
            Step::Have { start, bits: crate::codec::rle::encode(&bits) }
        }),
        (n, value, nodes, any::<bool>()).prop_map(|(index, value, nodes, signed)| {
            let value = value.or_else(|| nodes.is_empty().then(Vec::new));
            Step::Data { index, value, nodes, signed }
        }),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Extension),
    ]
}

proptest! {
    /// The same bytes in any segments, from the first one on: the switch to ciphertext in the
    /// middle of a read, all kinds of messages, two channels.
    #[test]
    fn h11_any_segments_give_the_same_messages(
        steps in prop::collection::vec((step(), any::<bool>()), 0..12),
        sizes in prop::collection::vec(prop_oneof![Just(1usize), 1usize..100, 1usize..5000], 1..20),
    ) {
        let dk = hash::discovery_key(&KEY);
        let other = [0x77; 32];
        let handshake = Handshake {
            id: vec![9; 32],
            extensions: vec!["a".into(), "b".into()],
            ..Handshake::default()
        };
        let mut wire = Vec::new();
        let mut dialer = Session::dial(first(), &mut wire);
        dialer.handshake(&handshake, &mut wire).unwrap();
        dialer.open(&other, &NONCE, &mut wire).unwrap();

        let mut acceptor = Session::accept();
        acceptor.provide_key(&KEY);
        let mut answer = Vec::new();
        acceptor.open(&dk, &[1; 24], &mut answer).unwrap();
        acceptor.open(&other, &[1; 24], &mut answer).unwrap();
        let n = dialer.receive(&mut answer).unwrap().consumed;
        dialer.receive(&mut answer[n..]).unwrap();
        let mut expected = vec![
            What::Feed { discovery_key: dk },
            What::Handshake(handshake),
            What::Feed { discovery_key: other },
        ];
        for (step, second) in &steps {
            let discovery_key = if *second { other } else { dk };
            match step.message() {
                None => {
                    dialer.keepalive(&mut wire);
                    expected.push(What::KeepAlive);
                }
                Some(message) => {
                    dialer.send(&discovery_key, &message, &mut wire).unwrap();
                    expected.push(What::Message { discovery_key, message });
                }
            }
        }

        let (mut got, mut buf, mut wire) = (0, Vec::new(), wire.as_slice());
        for size in sizes.iter().cycle() {
            if wire.is_empty() {
                break;
            }
            let (now, later) = wire.split_at((*size).min(wire.len()));
            buf.extend_from_slice(now);
            wire = later;
            loop {
                let received = acceptor.receive(&mut buf).unwrap();
                let (consumed, need) = (received.consumed, received.need);
                if received.what == What::Incomplete {
                    prop_assert_eq!(consumed, 0);
                    break;
                }
                prop_assert_eq!(Some(&received.what), expected.get(got));
                got += 1;
                prop_assert!(consumed > 0 && need == 0);
                buf.drain(..consumed);
            }
        }
        prop_assert_eq!(got, expected.len());
        prop_assert!(buf.is_empty());
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), inside: bool) {
        let mut rig = Rig::new();
        let (mut session, mut bytes) = (Session::accept(), bytes);
        if inside {
            rig.cipher.apply(&mut bytes);
            session = rig.session;
        }
        let mut at = 0;
        while let Ok(got) = session.receive(&mut bytes[at..]) {
            if got.what == What::Incomplete {
                break;
            }
            at += got.consumed;
        }
    }

    #[test]
    fn any_body_decodes_or_not(kind in 0u8..16, body in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Rig::new().message(0, kind, &body);
    }
}
