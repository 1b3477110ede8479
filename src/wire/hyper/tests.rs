//! Two sessions over each other's bytes, and peers that break the rules.

use super::channels::{Channel, Channels, Closed, Opening, Said};
use super::*;
use crate::codec::compact;
use crate::crypto::hyper;
use crate::crypto::noise::{Handshake, Role};
use crate::crypto::sealed::{self, Sealer};
use crate::crypto::sign::KeyPair;
use crate::feed::hyper::{Ask, Indexed, Path, Proof};
use crate::limits::{HYPER_CHANNELS, HYPER_EARLY_BYTES, HYPER_EARLY_MESSAGES, HYPER_REJECTS};
use crate::wire::{self, Dialect};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed([n; 32])
}

fn setup(role: Role) -> Setup {
    let n = match role {
        Role::Initiator => 1,
        Role::Responder => 2,
    };
    Setup { role, own: pair(n), ephemeral: pair(n + 2), header: [n; 24] }
}

fn key(n: u8) -> [u8; 32] {
    [n; 32]
}

fn id(n: u8) -> [u8; 32] {
    crate::crypto::hash::discovery_key(&key(n))
}

/// What came out, without borrowed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Up,
    Opened([u8; 32]),
    Live([u8; 32]),
    Rejected([u8; 32]),
    Closed([u8; 32]),
    /// A cancel's number, or what any other message looks like.
    Message([u8; 32], String),
    KeepAlive,
    /// A message between hosts; empty: the channel was opened, or is closed.
    Host(Vec<u8>),
}

/// One end: its session and the bytes on their way to it.
struct End {
    session: Session,
    inbox: Vec<u8>,
    out: Vec<u8>,
}

impl End {
    fn new(role: Role) -> End {
        End { session: Session::new(setup(role)), inbox: Vec::new(), out: Vec::new() }
    }

    /// Reads what is in the inbox.
    fn read(&mut self) -> Result<Vec<Heard>, Fault> {
        let mut said = Vec::new();
        loop {
            let got = self.session.receive(&mut self.inbox)?;
            let consumed = got.consumed;
            said.extend(match got.what {
                What::Incomplete => break,
                What::Ignored => None,
                What::KeepAlive => Some(Heard::KeepAlive),
                What::Up { .. } => Some(Heard::Up),
                What::Opened { discovery_key } => Some(Heard::Opened(discovery_key)),
                What::Live { discovery_key, .. } => Some(Heard::Live(discovery_key)),
                What::Rejected { discovery_key } => Some(Heard::Rejected(discovery_key)),
                What::Closed { discovery_key } => Some(Heard::Closed(discovery_key)),
                What::HostOpen | What::HostClosed => Some(Heard::Host(Vec::new())),
                What::Host { message } => Some(Heard::Host(message.to_vec())),
                What::Message { discovery_key, message } => {
                    Some(Heard::Message(discovery_key, format!("{message:?}")))
                }
            });
            assert!(consumed > 0 && consumed <= self.inbox.len());
            self.inbox.drain(..consumed);
        }
        Ok(said)
    }

    fn flush(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.out);
        self.session.poll(&mut out);
        out
    }
}

/// Both ends with the handshake over.
fn ends() -> [End; 2] {
    let mut ends = [Role::Initiator, Role::Responder].map(End::new);
    let mut up = [false; 2];
    for round in 0..6 {
        let from = round % 2;
        let bytes = ends[from].flush();
        ends[1 - from].inbox.extend(bytes);
        up[1 - from] |= ends[1 - from].read().unwrap().contains(&Heard::Up);
    }
    assert_eq!(up, [true; 2]);
    ends
}

/// Carries everything both ways until nobody has anything to say.
fn settle(ends: &mut [End; 2]) -> [Vec<Heard>; 2] {
    let mut said = [Vec::new(), Vec::new()];
    loop {
        let bytes = [ends[0].flush(), ends[1].flush()];
        if bytes.iter().all(Vec::is_empty) {
            return said;
        }
        for (n, bytes) in bytes.into_iter().enumerate() {
            ends[1 - n].inbox.extend(bytes);
            said[1 - n].extend(ends[1 - n].read().unwrap());
        }
    }
}

/// Two that have dialled each other on one connection.
fn dialers(ephemeral: [u8; 2]) -> [End; 2] {
    let mut own = 1;
    ephemeral.map(|n| {
        let setup = Setup {
            role: Role::Initiator,
            own: pair(std::mem::replace(&mut own, 2)),
            ephemeral: pair(n),
            header: [n; 24],
        };
        End { session: Session::new(setup), inbox: Vec::new(), out: Vec::new() }
    })
}

#[test]
fn h16_two_ends_that_both_began_come_to_one_stream() {
    for ephemeral in [[3, 4], [4, 3]] {
        let mut ends = dialers(ephemeral);
        assert_eq!(settle(&mut ends), [[Heard::Up], [Heard::Up]]);
        for (one, other) in [(0, 1), (1, 0)] {
            let ours = ends[one].session.channel(true);
            assert_eq!(ours, ends[other].session.channel(false), "one name for each side's words");
        }
        assert!(open(&mut ends[0], 7).is_ok());
        assert_eq!(settle(&mut ends)[1], [Heard::Opened(id(7))]);
        assert!(open(&mut ends[1], 7).is_ok());
        assert_eq!(settle(&mut ends)[0], [Heard::Live(id(7))]);
    }
}

#[test]
fn h16_what_is_said_in_pieces_or_late_comes_together_as_well() {
    let mut ends = dialers([3, 4]);
    let first = [ends[0].flush(), ends[1].flush()];
    // The first hears a part, then the rest; its own words come long after.
    ends[0].inbox.extend(&first[1][..20]);
    assert_eq!(ends[0].read(), Ok(vec![]));
    ends[0].inbox.extend(&first[1][20..]);
    assert_eq!(ends[0].read(), Ok(vec![]));
    ends[1].inbox.extend(&first[0]);
    let more = ends[0].flush();
    ends[1].inbox.extend(more);
    assert_eq!(ends[1].read(), Ok(vec![]));
    assert_eq!(settle(&mut ends), [[Heard::Up], [Heard::Up]]);
}

#[test]
fn h16_who_says_our_own_words_or_begins_twice_is_none() {
    let [mut one, mut other] = dialers([3, 4]);
    let ours = one.flush();
    one.inbox.extend(&ours);
    assert!(one.read().is_err(), "an echo");
    let [mut one, _] = dialers([3, 4]);
    let begins = other.flush();
    one.inbox.extend(&begins);
    assert_eq!(one.read(), Ok(vec![]));
    one.inbox.extend(&begins);
    assert!(one.read().is_err(), "it began twice");
    // Nobody who was dialled is asked to dial.
    let mut dialled = End::new(Role::Responder);
    dialled.inbox.extend(&begins);
    assert_eq!(dialled.read(), Ok(vec![]));
    dialled.inbox.extend(&begins);
    assert!(dialled.read().is_err());
}

fn open(end: &mut End, n: u8) -> Result<Option<bool>, Unsendable> {
    end.session.open(&id(n), &key(n), &mut end.out)
}

fn cancel(end: &mut End, n: u8, request: u64) -> Result<(), Unsendable> {
    end.session.send(&id(n), &Message::Cancel { request }, &mut end.out)
}

fn heard(n: u8, request: u64) -> Heard {
    Heard::Message(id(n), format!("{:?}", Message::Cancel { request }))
}

#[test]
fn first_bytes_tell_the_dialects_apart() {
    let dialect = |first: &[u8]| match wire::opening(first)? {
        wire::Opening::Stream(dialect) => Some(dialect),
        wire::Opening::Ping => panic!("this is no ping"),
    };
    let mut hello = Vec::new();
    Session::new(setup(Role::Initiator)).poll(&mut hello);
    assert_eq!(dialect(&hello), Some(Dialect::Hyper));
    let mut feed = Vec::new();
    let first = crate::wire::dat::FirstFeed { key: key(1), discovery_key: id(1), nonce: [0; 24] };
    crate::wire::dat::Session::dial(first, &mut feed);
    assert_eq!(dialect(&feed), Some(Dialect::Dat));
    // A Feed of exactly 32 bytes, as no known peer sends it.
    assert_eq!(dialect(&[32, 0, 0x0a]), Some(Dialect::Dat));
    for short in [&[][..], &[32], &[32, 0]] {
        assert_eq!(dialect(short), None);
    }
}

#[test]
fn opened_here_then_there() {
    let mut ends = ends();
    assert_eq!(open(&mut ends[0], 7), Ok(None));
    assert_eq!(open(&mut ends[0], 7), Err(Unsendable::OpenAlready));
    assert_eq!(cancel(&mut ends[0], 7, 1), Err(Unsendable::NotOpen));
    assert_eq!(settle(&mut ends), [vec![], vec![Heard::Opened(id(7))]]);
    assert_eq!(open(&mut ends[1], 7), Ok(Some(true)));
    cancel(&mut ends[1], 7, 5).unwrap();
    assert_eq!(settle(&mut ends), [vec![Heard::Live(id(7)), heard(7, 5)], vec![]]);
    ends[0].session.close(&id(7), &mut Vec::new());
    assert_eq!(settle(&mut ends), [vec![], vec![Heard::Closed(id(7))]]);
    assert!(!ends[1].session.is_open(&id(7)));
    // And again, under the same numbers.
    assert_eq!(open(&mut ends[1], 7), Ok(None));
    settle(&mut ends);
    ends[0].session.refuse(&id(7), &mut Vec::new());
    assert_eq!(settle(&mut ends), [vec![], vec![Heard::Rejected(id(7))]]);
}

#[test]
fn who_does_not_know_the_key_is_found_out() {
    let wrong = [9; 32];
    let mut ends = ends();
    open(&mut ends[0], 7).unwrap();
    settle(&mut ends);
    // A capability for another key, by the side that opens first and by the one that answers.
    let capability = hyper::capability(&[0; 64], false, &wrong);
    let mut channels = Channels::default();
    let at = channels.taken_by_peer(1).unwrap();
    let said = Said { seeks: true, capability };
    assert_eq!(channels.opened_by_peer(at, &id(7), said), Ok(Opening::Waits));
    assert_eq!(channels.open(&id(7), &[1; 32]), Err(Unsendable::Capability));
    let mut channels = Channels::default();
    channels.open(&id(7), &[1; 32]).unwrap();
    let at = channels.taken_by_peer(1).unwrap();
    assert_eq!(channels.opened_by_peer(at, &id(7), said), Err(Fault::Capability));
}

#[test]
fn an_opening_taken_back_is_answered_all_the_same() {
    let said = Said { seeks: false, capability: [1; 32] };
    let mut channels = Channels::default();
    assert_eq!(channels.open(&id(1), &[1; 32]), Ok((1, None)));
    assert_eq!(channels.close(&id(1)), Some(1));
    // The number is not free before the answer.
    assert_eq!(channels.open(&id(2), &[1; 32]), Ok((2, None)));
    let at = channels.taken_by_peer(1).unwrap();
    assert_eq!(channels.opened_by_peer(at, &id(1), said), Ok(Opening::TooLate));
    assert_eq!(channels.open(&id(3), &[1; 32]), Ok((1, None)));
    assert_eq!(channels.rejected(1), Ok(Some(id(3))));
    assert_eq!(channels.rejected(1), Err(Fault::Reject));
    assert_eq!(channels.rejected(0), Err(Fault::Reject));
    // One that the peer takes back before we answered: it waits for our reject.
    let at = channels.taken_by_peer(1).unwrap();
    assert_eq!(channels.opened_by_peer(at, &id(4), said), Ok(Opening::Waits));
    assert_eq!(channels.closed_by_peer(1), Some(Closed::Unanswered(id(4))));
    assert_eq!(channels.closed_by_peer(1), None);
    assert_eq!(channels.channel(1), Channel::None);
    assert_eq!(channels.open(&id(4), &[9; 32]), Ok((1, None)));
}

/// A peer that seals whatever it likes.
struct Hostile {
    victim: Session,
    sealer: Sealer,
}

impl Hostile {
    fn new() -> Hostile {
        let mut victim = Session::new(setup(Role::Responder));
        let mut hello = Handshake::new(Role::Initiator, pair(1), pair(3));
        let framed = |victim: &mut Session, message: &[u8]| {
            let mut frame = (message.len() as u32).to_le_bytes()[..3].to_vec();
            frame.extend_from_slice(message);
            let len = frame.len();
            assert_eq!(victim.receive(&mut frame).unwrap().consumed, len);
            let mut out = Vec::new();
            victim.poll(&mut out);
            out
        };
        let mut message = Vec::new();
        hello.write(&mut message).unwrap();
        let answer = framed(&mut victim, &message);
        hello.read(&answer[3..]).unwrap();
        message.clear();
        hello.write(&mut message).unwrap();
        framed(&mut victim, &message);
        let keys = hello.finish().unwrap();
        let id = hyper::stream_id(&keys.hash, true);
        framed(&mut victim, &[&id[..], &[5; 24]].concat());
        Hostile { victim, sealer: Sealer::new(&keys.send, &[5; 24]) }
    }

    fn say(&mut self, text: &[u8]) -> Result<(), Fault> {
        let mut body = [&[0], text, &[0; sealed::BEHIND_BYTES]].concat();
        self.sealer.seal(&mut body);
        let mut frame = (body.len() as u32).to_le_bytes()[..3].to_vec();
        frame.extend(body);
        while !frame.is_empty() {
            let consumed = self.victim.receive(&mut frame)?.consumed;
            assert!(consumed > 0);
            frame.drain(..consumed);
        }
        Ok(())
    }

    fn opening(number: u64, protocol: &str, n: u8) -> Vec<u8> {
        let mut text = vec![0, 1];
        compact::put_uint(number, &mut text);
        compact::put_buffer(protocol.as_bytes(), &mut text);
        compact::put_buffer(&id(n), &mut text);
        text.push(1);
        text.extend([7; 32]);
        text
    }
}

#[test]
fn faults() {
    let opening = Hostile::opening;
    let name = "hypercore/alpha";
    for (text, fault) in [
        (opening(2, name, 1), Fault::Channel { number: 2 }),
        (opening(0, name, 1), Fault::Channel { number: 0 }),
        (vec![0, 0, 0, 2, 0, 0], Fault::NestedBatch),
        (vec![0, 2, 1], Fault::Reject),
        (vec![0, 0, 1, 9, 1], Fault::Malformed(compact::Error::Short)),
        (opening(1, name, 1)[..40].to_vec(), Fault::Malformed(compact::Error::Short)),
        (opening(1, &"x".repeat(300), 1), Fault::Bounds("protocol name")),
    ] {
        assert_eq!(Hostile::new().say(&text), Err(fault), "{text:?}");
    }
    let mut peer = Hostile::new();
    peer.say(&opening(1, name, 1)).unwrap();
    assert_eq!(peer.say(&opening(1, name, 2)), Err(Fault::Channel { number: 1 }));
    // The same core again is refused, not a fault; so is any other protocol.
    let mut peer = Hostile::new();
    peer.say(&opening(1, name, 1)).unwrap();
    peer.say(&opening(2, name, 1)).unwrap();
    peer.say(&opening(2, "hyperswarm/rpc", 1)).unwrap();
    peer.say(&opening(3, "hypercore", 3)).unwrap();
    assert!(peer.victim.wants_to_send());
    // Unknown channels, types and control messages are passed over.
    for text in [&[99, 0, 1][..], &[1, 77], &[0, 9, 9], &[1, 2]] {
        peer.say(text).unwrap();
    }
    assert_eq!(peer.victim.open(&id(1), &key(1), &mut Vec::new()), Err(Unsendable::Capability));
}

#[test]
fn early_messages_are_bounded() {
    let mut peer = Hostile::new();
    peer.say(&Hostile::opening(1, "hypercore/alpha", 1)).unwrap();
    for _ in 0..HYPER_EARLY_MESSAGES {
        peer.say(&[1, 2, 7]).unwrap();
    }
    assert_eq!(peer.say(&[1, 2, 7]), Err(Fault::TooManyEarly));
    // Nothing in many is much.
    let mut channels = Channels::default();
    let said = Said { seeks: true, capability: [0; 32] };
    let mut kept = 0;
    let refused = (0..HYPER_CHANNELS as u64).find_map(|n| {
        let mut core = [0; 32];
        core[..8].copy_from_slice(&n.to_le_bytes());
        let at = channels.taken_by_peer(n + 1).unwrap();
        channels.opened_by_peer(at, &core, said).unwrap();
        (0..HYPER_EARLY_MESSAGES).find_map(|_| {
            let refused = channels.keep(&core, 0, &[]).err();
            kept += usize::from(refused.is_none());
            refused
        })
    });
    assert_eq!(refused, Some(Fault::TooManyEarly));
    assert!(kept * size_of::<[u8; 32]>() <= HYPER_EARLY_BYTES, "{kept} are kept");
    // Room again when they are forgotten.
    let first = [0; 32];
    channels.refuse(&first).unwrap();
    channels.opened_by_peer(0, &first, said).unwrap();
    assert_eq!(channels.keep(&first, 0, &[]), Ok(()));
}

#[test]
fn openings_are_bounded() {
    let mut peer = Hostile::new();
    let foreign = Hostile::opening(1, "other", 1);
    for _ in 0..HYPER_REJECTS {
        peer.say(&foreign).unwrap();
    }
    assert_eq!(peer.say(&foreign), Err(Fault::TooManyOpens));
    let mut channels = Channels::default();
    for number in 1..=HYPER_CHANNELS as u64 {
        channels.taken_by_peer(number).unwrap();
    }
    assert!(channels.taken_by_peer(HYPER_CHANNELS as u64 + 1).is_err());
    for n in 0..HYPER_CHANNELS as u32 {
        let mut core = [0; 32];
        core[..4].copy_from_slice(&n.to_le_bytes());
        channels.open(&core, &[0; 32]).unwrap();
    }
    assert_eq!(channels.open(&[9; 32], &[0; 32]), Err(Unsendable::TooManyChannels));
}

#[test]
fn strangers_cannot_make_us_buffer() {
    for len in [0usize, 31, 33, 0xff_ffff] {
        let mut frame = (len as u32).to_le_bytes()[..3].to_vec();
        let mut session = Session::new(setup(Role::Responder));
        let expected = 32;
        assert_eq!(session.receive(&mut frame), Err(Fault::HandshakeLength { len, expected }));
    }
    // Behind the handshake frames may be as long as their length can say; who waits for one decides
    // whether there is room.
    let mut peer = Hostile::new();
    let mut length = [0xff; 3];
    let got = peer.victim.receive(&mut length).unwrap();
    assert_eq!((got.consumed, got.need, got.what), (0, 3 + 0xff_ffff, What::Incomplete));
}

/// JavaScript seals together what it says in one go until that has 8 MiB: whatever fits below, and one
/// more message of any size.
#[test]
fn a_block_of_eight_mib_behind_almost_eight_mib_comes_in_one_frame() {
    let mut ends = ends();
    open(&mut ends[0], 7).unwrap();
    settle(&mut ends);
    open(&mut ends[1], 7).unwrap();
    settle(&mut ends);
    let proof = |index| Proof { block: Some(Path { index, nodes: vec![] }), ..Proof::default() };
    let blocks = [vec![7; 7_900_000], vec![8; 8 << 20]];
    let mut body = vec![0, 0, 0, 1];
    for (index, value) in (0..).zip(&blocks) {
        let proof = proof(index);
        let head = DataHead { request: index, fork: 0, proof: &proof, manifest: None };
        let mut item = vec![body::DATA as u8];
        head.front(Some(value.len()), &mut item);
        item.extend_from_slice(value);
        head.tail(&mut item);
        compact::put_buffer(&item, &mut body);
    }
    body.extend([0; sealed::BEHIND_BYTES]);
    ends[0].session.outbound.as_mut().unwrap().seal(&mut body);
    ends[1].inbox.extend(&(body.len() as u32).to_le_bytes()[..3]);
    ends[1].inbox.extend(body);
    let heard = ends[1].read().unwrap();
    let said = (0..).zip(&blocks).map(|(index, value)| {
        let proof = proof(index);
        let data = Data { request: index, fork: 0, value: Some(value), proof, manifest: None };
        Heard::Message(id(7), format!("{:?}", Message::Data(data)))
    });
    assert!(heard.into_iter().eq(said));
}

#[test]
fn a_large_block_is_sealed_where_it_is() {
    let mut ends = ends();
    open(&mut ends[0], 7).unwrap();
    open(&mut ends[1], 7).unwrap();
    settle(&mut ends);
    let proof = Proof { block: Some(Path { index: 3, nodes: vec![] }), ..Proof::default() };
    let head = DataHead { request: 1, fork: 0, proof: &proof, manifest: None };
    let block = vec![0xab; 100_000];
    let mut out = Vec::with_capacity(200_000);
    cancel(&mut ends[0], 7, 1).unwrap();
    let from = ends[0].session.data_begin(&id(7), &head, block.len(), &mut out).unwrap();
    // What waited goes first.
    assert!(from > 0);
    let place = out.as_ptr();
    out.extend_from_slice(&block);
    ends[0].session.data_end(from, &head, &mut out).unwrap();
    assert_eq!(out.as_ptr(), place);
    ends[1].inbox.extend(out);
    let data = Data { request: 1, fork: 0, value: Some(&block), proof, manifest: None };
    let message = Heard::Message(id(7), format!("{:?}", Message::Data(data)));
    assert_eq!(ends[1].read().unwrap(), [heard(7, 1), message]);
    // Longer than any frame.
    let long = vec![0; crate::limits::HYPER_FRAME_BYTES];
    let extension = Message::Extension { name: "x", payload: &long };
    let sent = ends[0].session.send(&id(7), &extension, &mut Vec::new());
    assert_eq!(sent, Err(Unsendable::TooLong));
}

/// What one end does next.
#[derive(Clone, Debug)]
enum Act {
    Open(u8),
    Close(u8),
    Refuse(u8),
    Send(u8, u64),
    KeepAlive,
    /// Lets so many bytes of what the other end has said arrive.
    Hear(usize),
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        (0u8..3).prop_map(Act::Open),
        (0u8..3).prop_map(Act::Close),
        (0u8..3).prop_map(Act::Refuse),
        (0u8..3, 0u64..1000).prop_map(|(n, request)| Act::Send(n, request)),
        Just(Act::KeepAlive),
        (1usize..200).prop_map(Act::Hear),
    ];
    proptest::collection::vec((0usize..2, act), 1..120)
}

/// Two honest ends doing anything in any order, bytes arriving in any pieces.
struct World {
    ends: [End; 2],
    /// Bytes on their way to each.
    wire: [Vec<u8>; 2],
    /// Cancels that were sent to each on each core since it was last opened, not heard yet.
    sent: [Vec<(u8, u64)>; 2],
}

impl World {
    fn act(&mut self, who: usize, act: Act) {
        let end = &mut self.ends[who];
        match act {
            Act::Open(n) => {
                let _ = open(end, n);
                while let Some(early) = self.ends[who].session.early(&id(n)) {
                    let message = format!("{:?}", early.message().unwrap().unwrap());
                    self.hear(who, Heard::Message(id(n), message));
                }
            }
            Act::Close(n) => end.session.close(&id(n), &mut end.out),
            Act::Refuse(n) => end.session.refuse(&id(n), &mut end.out),
            Act::Send(n, request) => {
                if cancel(end, n, request).is_ok() {
                    self.sent[1 - who].push((n, request));
                }
            }
            Act::KeepAlive => end.session.keepalive(&mut end.out),
            Act::Hear(bytes) => {
                let out = self.ends[1 - who].flush();
                self.wire[who].extend(out);
                let bytes = bytes.min(self.wire[who].len());
                let some: Vec<u8> = self.wire[who].drain(..bytes).collect();
                self.ends[who].inbox.extend(some);
                let said = self.ends[who].read().expect("an honest peer makes no fault");
                said.into_iter().for_each(|said| self.hear(who, said));
            }
        }
    }

    /// Messages arrive in order; only closing loses some.
    fn hear(&mut self, who: usize, said: Heard) {
        let Heard::Message(core, message) = said else { return };
        let found = self.sent[who].iter().position(|(n, request)| {
            id(*n) == core && message == format!("{:?}", Message::Cancel { request: *request })
        });
        let found = found.expect("it was sent, and not heard before");
        let n = self.sent[who][found].0;
        let mut at = 0;
        self.sent[who].retain(|(core, _)| {
            at += 1;
            *core != n || at > found + 1
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn honest_ends_never_fault_and_agree_in_the_end(acts in acts()) {
        let mut world = World { ends: ends(), wire: Default::default(), sent: Default::default() };
        for (who, act) in acts {
            world.act(who, act);
        }
        // Everything arrives; what is open on one side and unanswered is answered.
        for _ in 0..4 {
            for who in [0, 1] {
                world.act(who, Act::Hear(usize::MAX));
            }
        }
        for n in 0..3 {
            let live = [0, 1].map(|who: usize| world.ends[who].session.is_open(&id(n)));
            prop_assert_eq!(live[0], live[1], "core {}", n);
        }
        // Both open everything: it all comes to life again.
        for n in 0..3 {
            for who in [0, 1] {
                world.act(who, Act::Open(n));
            }
        }
        for _ in 0..4 {
            for who in [0, 1] {
                world.act(who, Act::Hear(usize::MAX));
            }
        }
        let live: BTreeSet<u8> =
            (0..3).filter(|n| world.ends.iter().all(|end| end.session.is_open(&id(*n)))).collect();
        prop_assert_eq!(live.len(), 3);
    }

    /// The handshake and what follows, in any pieces.
    #[test]
    fn bytes_in_any_pieces(sizes in proptest::collection::vec(1usize..40, 1..30)) {
        let mut whole = ends();
        open(&mut whole[0], 7).unwrap();
        open(&mut whole[1], 7).unwrap();
        settle(&mut whole);
        for n in 0..5 {
            cancel(&mut whole[0], 7, n).unwrap();
            if n == 2 {
                let end = &mut whole[0];
                end.session.keepalive(&mut end.out);
            }
        }
        let block = Indexed { index: 1, nodes: 2 };
        let request =
            Request { id: 3, ask: Ask { block: Some(block), ..Ask::default() }, ..Request::default() };
        let end = &mut whole[0];
        end.session.send(&id(7), &Message::Request(request), &mut end.out).unwrap();
        let bytes = end.flush();
        let mut sizes = sizes.into_iter().cycle();
        let mut heard = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let size = sizes.next().unwrap().min(bytes.len() - at);
            whole[1].inbox.extend(&bytes[at..at + size]);
            heard.extend(whole[1].read().unwrap());
            at += size;
        }
        prop_assert_eq!(heard.len(), 7);
    }
}

#[test]
fn h02_the_channel_between_hosts_carries_hellos_and_is_of_no_core() {
    let mut ends = ends();
    for end in &mut ends {
        end.session.open_host(&mut end.out).unwrap();
        end.session.say_host(&mut end.out, |out| out.extend_from_slice(&[9, 8, 7]));
        assert_eq!(end.session.open_host(&mut end.out), Err(Unsendable::OpenAlready));
    }
    let said = settle(&mut ends);
    let heard = [Heard::Host(Vec::new()), Heard::Host(vec![9, 8, 7])];
    assert_eq!(said, [heard.to_vec(), heard.to_vec()]);
    let both = [0, 1].map(|end: usize| ends[end].session.channel(true).initiator);
    assert_eq!(both, [true, false]);
    assert_eq!(ends[0].session.channel(false), ends[1].session.channel(true));
    // Cores stand beside it.
    for end in &mut ends {
        open(end, 4).unwrap();
    }
    let said = settle(&mut ends);
    assert!(said.iter().all(|said| said.contains(&Heard::Live(id(4)))), "{said:?}");
}

#[test]
fn h03_who_rejects_the_channel_between_hosts_is_told_nothing_more_on_it() {
    let mut peer = Hostile::new();
    let mut out = Vec::new();
    peer.victim.open_host(&mut out).unwrap();
    peer.victim.say_host(&mut out, |out| out.push(1));
    peer.victim.poll(&mut out);
    assert!(!out.is_empty());
    peer.say(&[0, 2, 1]).unwrap();
    assert_eq!(peer.say(&[0, 2, 1]), Err(Fault::Reject), "once is enough");
    out.clear();
    peer.victim.say_host(&mut out, |out| out.push(1));
    peer.victim.poll(&mut out);
    assert!(out.is_empty());
}

#[test]
fn no_core_can_take_the_place_of_the_channel_between_hosts() {
    let mut peer = Hostile::new();
    peer.victim.open_host(&mut Vec::new()).unwrap();
    let mut text = vec![0, 1, 1];
    compact::put_buffer(b"hypercore/alpha", &mut text);
    compact::put_buffer(&[0xff; 32], &mut text);
    text.push(1);
    text.extend([0; 32]);
    peer.say(&text).unwrap();
    assert!(peer.victim.wants_to_send(), "it is rejected");
    assert!(!peer.victim.is_open(&[0xff; 32]));
}
