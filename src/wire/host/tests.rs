//! What is written is read; what is wrong is refused, each in its own words.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::codec::compact::{put_buffer, put_uint};
use crate::crypto::sign::KeyPair;
use crate::host::HostId;
use crate::limits::{
    HOST_CANDIDATES, HOST_FIELDS, HOST_HINTS, HOST_HOLDS, HOST_MESSAGE_BYTES, HOST_OWN, HOST_RETRY,
    HOST_VERSION, MAX_SAFE_INTEGER,
};

fn pair() -> KeyPair {
    KeyPair::from_seed([5; 32])
}

fn hello() -> Hello {
    Hello {
        versions: VERSIONS,
        host: HostId(pair().public()),
        boot: [3; BOOT_BYTES],
        number: 1 << 40,
        port: Some(3282),
        features: 5,
        seen: Some([203, 0, 113, 5].into()),
        own: vec![[203, 0, 113, 9].into()],
        holds: vec![1, 70_000],
    }
}

const HANDSHAKE: [u8; 64] = [8; 64];
const CHANNEL: Channel<'_> = Channel { handshake: &HANDSHAKE, initiator: true };

fn said(hello: &Hello) -> Vec<u8> {
    let mut out = Vec::new();
    hello.encode(&pair(), CHANNEL, &mut out);
    out
}

fn verified(bytes: &[u8], channel: Channel<'_>) -> Option<Hello> {
    match Message::decode(bytes) {
        Ok(Some(Message::Hello(signed))) => signed.verify(channel).map(|v| v.hello().clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn h02_a_hello_is_good_on_its_connection_from_its_side_and_nowhere_else() {
    let bytes = said(&hello());
    assert!(bytes.len() < HOST_MESSAGE_BYTES / 2, "{}", bytes.len());
    assert_eq!(verified(&bytes, CHANNEL), Some(hello()));
    let other = Channel { handshake: &[9; 64], ..CHANNEL };
    assert_eq!(verified(&bytes, other), None, "replayed");
    assert_eq!(verified(&bytes, Channel { initiator: false, ..CHANNEL }), None, "reflected");
}

#[test]
fn u09_no_bit_of_a_hello_can_be_changed() {
    let bytes = said(&hello());
    for at in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[at / 8] ^= 1 << (at % 8);
        if let Ok(Some(Message::Hello(signed))) = Message::decode(&bad) {
            assert_eq!(signed.verify(CHANNEL), None, "bit {at}");
        }
    }
}

#[test]
fn u09_nobody_speaks_for_another_host() {
    let mut bytes = Vec::new();
    hello().encode(&KeyPair::from_seed([6; 32]), CHANNEL, &mut bytes);
    assert_eq!(verified(&bytes, CHANNEL), None);
}

#[test]
fn k08_the_format_of_a_hello_does_not_change() {
    let bytes = said(&hello());
    let expected = [
        "00",
        "65",
        "010101",
        "0220",
        &hex::encode(pair().public()),
        "0310",
        &"03".repeat(16),
        "0409ff0000000000010000",
        "0503fdd20c",
        "060105",
        "070601fe70110100",
        "081000000000000000000000ffffcb007105",
        "091000000000000000000000ffffcb007109",
    ];
    let expected = expected.concat();
    let (head, signature) = bytes.split_at(bytes.len() - 64);
    let head_fields = &expected[4..];
    assert_eq!(hex::encode(&head[2..]), head_fields);
    assert_eq!(usize::from(head[1]), head.len() - 2);
    let signable = [b"gannet hello 1".as_slice(), &HANDSHAKE, &[1], &head[2..]].concat();
    assert_eq!(pair().sign(&signable).as_slice(), signature);
}

/// A hello of these fields, signed.
fn of_fields(fields: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    put_buffer(fields, &mut out);
    let signable = [b"gannet hello 1".as_slice(), &HANDSHAKE, &[1], fields].concat();
    out.extend_from_slice(&pair().sign(&signable));
    out
}

/// The fields of a whole hello, those of `instead` in the place of ours.
fn fields_with(instead: &[(u64, &[u8])]) -> Vec<u8> {
    let host = pair().public();
    let ours: [(u64, &[u8]); 4] = [(1, &[1]), (2, &host), (3, &[3; 16]), (4, &[9])];
    let mut all: Vec<(u64, &[u8])> =
        ours.into_iter().filter(|(n, _)| instead.iter().all(|(m, _)| n != m)).collect();
    all.extend_from_slice(instead);
    all.sort_by_key(|(number, _)| *number);
    let mut out = Vec::new();
    all.iter().for_each(|(number, value)| fields::put(*number, value, &mut out));
    out
}

fn fault(bytes: &[u8]) -> Fault {
    Message::decode(bytes).expect_err("it is wrong")
}

#[test]
fn h02_unknown_fields_and_types_are_skipped() {
    let bytes = of_fields(&fields_with(&[(10, b"new"), (1 << 50, &[])]));
    let read = verified(&bytes, CHANNEL).expect("signed with what is unknown");
    assert_eq!((read.number, read.port, read.features, &read.holds[..]), (9, None, 0, &[][..]));
    assert_eq!(Message::decode(&[7]), Ok(None));
    assert_eq!(Message::decode(&[0xfd, 0, 4, 9, 9]), Ok(None));
    let mut close = Vec::new();
    Close::new(Code::Full).encode(&mut close);
    fields::put(40, b"more", &mut close);
    assert_eq!(Message::decode(&close), Ok(Some(Message::Close(Close::new(Code::Full)))));
    assert_eq!(
        Message::decode(&[1, 1, 1, 1, 9, 0]),
        Ok(Some(Message::Continue(Continue { version: 1 })))
    );
}

#[test]
fn what_must_be_there_must_be_there() {
    for (field, name) in [(1u64, "versions"), (2, "host"), (3, "boot"), (4, "number")] {
        let mut out = Vec::new();
        fields::read(&fields_with(&[]), |number, value| {
            if number != field {
                fields::put(number, value, &mut out);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(fault(&of_fields(&out)), Fault::Missing(name));
    }
    assert_eq!(fault(&[1]), Fault::Missing("version"));
    assert_eq!(fault(&[2]), Fault::Missing("reason"));
    assert_eq!(fault(&[]), Fault::Malformed(compact::Error::Short));
}

#[test]
fn h03_every_bound_holds() {
    let long = vec![2; HOST_MESSAGE_BYTES + 1];
    assert_eq!(fault(&long), Fault::TooLong { len: HOST_MESSAGE_BYTES + 1 });
    let number = |value: u64| {
        let mut out = Vec::new();
        put_uint(value, &mut out);
        out
    };
    let many: Vec<u8> = (0..=HOST_HOLDS as u8).collect();
    let all_but_one = &many[1..];
    let bad: &[(u64, &[u8], &str)] = &[
        (1, &[], "versions"),
        (1, &[1, 1], "versions"),
        (1, &[2, 1], "versions"),
        (1, &[1, 2, 3], "versions"),
        (1, &number(HOST_VERSION + 1), "versions"),
        (2, &[0; 31], "host"),
        (3, &[0; 17], "boot"),
        (4, &[9, 9], "number"),
        (5, &[0], "port"),
        (5, &number(65_536), "port"),
        (6, &[1, 1], "features"),
        (7, &[3, 3], "holds"),
        (7, &[9], "holds"),
        (7, &many, "holds"),
    ];
    for (field, value, name) in bad {
        assert_eq!(fault(&of_fields(&fields_with(&[(*field, value)]))), Fault::Bounds(name));
    }
    let most = fields_with(&[(4, &[200]), (7, all_but_one)]);
    assert!(Message::decode(&of_fields(&most)).is_ok());

    let mut order = fields_with(&[]);
    fields::put(4, &[1], &mut order);
    assert_eq!(fault(&of_fields(&order)), Fault::Order(4));
    let unknown = |count: usize| -> Vec<u8> {
        let extra: Vec<(u64, &[u8])> = (0..count as u64 - 4).map(|n| (100 + n, &[][..])).collect();
        of_fields(&fields_with(&extra))
    };
    assert!(Message::decode(&unknown(HOST_FIELDS)).is_ok());
    assert_eq!(fault(&unknown(HOST_FIELDS + 1)), Fault::TooManyFields);

    let mut trailing = said(&hello());
    trailing.push(0);
    assert_eq!(fault(&trailing), Fault::Bounds("hello"));
    assert_eq!(fault(&[1, 1, 5, 0xfe, 1, 0, 1, 0]), Fault::Bounds("version"));
    assert_eq!(fault(&[1, 1, 2, 1, 1]), Fault::Bounds("version"));
    assert_eq!(fault(&[2, 1, 1, 1, 5, 1, 0]), Fault::Bounds("hints"));
    let hints = vec![1; 18 * (HOST_HINTS + 1)];
    let mut close = vec![2, 1, 1, 1];
    fields::put(5, &hints, &mut close);
    assert_eq!(fault(&close), Fault::Bounds("hints"));
    let mut close = vec![2, 1, 1, 1];
    fields::put_number(4, MAX_SAFE_INTEGER, &mut close);
    let Ok(Some(Message::Close(close))) = Message::decode(&close) else { panic!() };
    assert_eq!(close.retry, Some(HOST_RETRY), "a refusal does not last for ever");
}

#[test]
fn h04_the_highest_common_version() {
    let v = |first, last| Versions { first, last };
    for (a, b, common) in [
        (v(1, 1), v(1, 1), Some(1)),
        (v(1, 3), v(2, 5), Some(3)),
        (v(1, 9), v(4, 5), Some(5)),
        (v(1, 2), v(3, 4), None),
    ] {
        assert_eq!((a.common(b), b.common(a)), (common, common));
    }
}

#[test]
fn l09_codes_have_one_number_and_one_name_each() {
    for (at, code) in Code::NAMED.iter().enumerate() {
        assert_eq!(code.number(), at as u64 + 1, "numbers are never given again");
        assert_eq!(Code::of(code.number()), *code);
        assert!(Code::NAMED[..at].iter().all(|other| other.name() != code.name()));
    }
    let beyond = Code::NAMED.len() as u64 + 1;
    assert_eq!(Code::of(beyond), Code::Other(beyond));
    assert_eq!(Code::of(beyond).to_string(), format!("reason {beyond}"));
}

#[test]
fn hints_that_lead_nowhere_are_left_out() {
    let hints: Vec<SocketAddr> = ["0.0.0.0:1", "1.2.3.4:0", "[ff02::1]:5", "[::]:5", "1.2.3.4:5"]
        .map(|addr| addr.parse().unwrap())
        .into();
    let mut bytes = Vec::new();
    Close { hints: hints.clone(), ..Close::new(Code::Full) }.encode(&mut bytes);
    let Ok(Some(Message::Close(close))) = Message::decode(&bytes) else { panic!() };
    assert_eq!(close.hints, hints[4..]);
}

fn versions() -> impl Strategy<Value = Versions> {
    (0..=HOST_VERSION, 0..=HOST_VERSION)
        .prop_map(|(a, b)| Versions { first: a.min(b), last: a.max(b) })
}

fn hint() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(|ip| std::net::Ipv6Addr::from(ip).to_canonical()),
    ];
    let usable = |addr: &SocketAddr| !addr.ip().is_unspecified() && !addr.ip().is_multicast();
    (ip, 1u16..).prop_map(SocketAddr::from).prop_filter("leads somewhere", usable)
}

proptest! {
    #[test]
    fn k08_hellos(
        versions in versions(),
        boot: [u8; 16],
        number in 0..=MAX_SAFE_INTEGER,
        port in proptest::option::of(1u16..),
        features in 0..=MAX_SAFE_INTEGER,
        holds in proptest::collection::btree_set(0..=MAX_SAFE_INTEGER, 0..=HOST_HOLDS),
        seen in proptest::option::of(hint()),
        own in proptest::collection::vec(hint(), 0..=HOST_OWN),
        initiator: bool,
    ) {
        let seen = seen.map(|addr| addr.ip());
        let own = own.iter().map(SocketAddr::ip).collect();
        let holds = holds.into_iter().filter(|hold| *hold < number).collect();
        let host = HostId(pair().public());
        let hello = Hello { versions, host, boot, number, port, features, seen, own, holds };
        let channel = Channel { initiator, ..CHANNEL };
        let mut bytes = Vec::new();
        hello.encode(&pair(), channel, &mut bytes);
        prop_assert!(bytes.len() <= HOST_MESSAGE_BYTES);
        prop_assert_eq!(verified(&bytes, channel), Some(hello));
    }

    #[test]
    fn closes(
        code in 0..=MAX_SAFE_INTEGER,
        winner in proptest::option::of(0..=MAX_SAFE_INTEGER),
        versions in proptest::option::of(versions()),
        retry in proptest::option::of(0..=HOST_RETRY.as_secs()),
        hints in proptest::collection::vec(hint(), 0..=HOST_HINTS),
    ) {
        let retry = retry.map(Duration::from_secs);
        let close = Close { code: Code::of(code), winner, versions, retry, hints };
        let mut bytes = Vec::new();
        close.encode(&mut bytes);
        prop_assert!(bytes.len() <= HOST_MESSAGE_BYTES);
        prop_assert_eq!(Message::decode(&bytes), Ok(Some(Message::Close(close))));
    }

    #[test]
    fn continues(version in 0..=HOST_VERSION) {
        let mut bytes = Vec::new();
        Continue { version }.encode(&mut bytes);
        let read = Message::decode(&bytes);
        prop_assert_eq!(read, Ok(Some(Message::Continue(Continue { version }))));
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        let _ = Message::decode(&bytes);
    }
}

proptest! {
    #[test]
    fn k02_asking_for_candidates_and_the_answer_come_back(
        core: [u8; 32],
        count in 0usize..100,
        addrs in prop::collection::vec(any::<SocketAddr>(), 0..=HOST_CANDIDATES),
    ) {
        let mut out = Vec::new();
        Ask { core, count }.encode(&mut out);
        let count = count.min(HOST_CANDIDATES);
        prop_assert_eq!(Message::decode(&out), Ok(Some(Message::Ask(Ask { core, count }))));
        let said: Vec<SocketAddr> =
            addrs.iter().map(|at| SocketAddr::new(at.ip().to_canonical(), at.port())).collect();
        let somebody = |at: &&SocketAddr| {
            at.port() != 0 && !at.ip().is_unspecified() && !at.ip().is_multicast()
        };
        let read: Vec<SocketAddr> = said.iter().filter(somebody).copied().collect();
        out.clear();
        Candidates { core, addrs }.encode(&mut out);
        prop_assert!(out.len() <= HOST_MESSAGE_BYTES);
        let read = Candidates { core, addrs: read };
        prop_assert_eq!(Message::decode(&out), Ok(Some(Message::Candidates(read))));
    }
}

#[test]
fn k02_what_asks_or_answers_wrongly_is_a_fault() {
    let core = [&[1, 32][..], &[7; 32]].concat();
    let said = |kind: u8, fields: &[u8]| [&[kind], fields].concat();
    let bad = [
        (said(3, &[]), Fault::Missing("core")),
        (said(4, &[]), Fault::Missing("core")),
        (said(3, &[1, 31]), Fault::Malformed(crate::codec::compact::Error::Short)),
        (said(4, &[&core[..], &[2, 17], &[1; 17]].concat()), Fault::Bounds("addresses")),
        (said(3, &[&core[..], &[2, 2, 1, 1]].concat()), Fault::Bounds("count")),
    ];
    for (bytes, fault) in bad {
        assert_eq!(Message::decode(&bytes).err(), Some(fault), "{bytes:?}");
    }
    let many = vec![1; 18 * (HOST_CANDIDATES + 1)];
    let mut long = said(4, &core);
    put_uint(2, &mut long);
    put_buffer(&many, &mut long);
    assert_eq!(Message::decode(&long).err(), Some(Fault::Bounds("addresses")));
}
