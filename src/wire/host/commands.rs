//! Signed commands and records: what is written is read, not a bit can be changed, and the bytes are
//! those of docs/PROTOCOL.md §14.5.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::datagram::{Body, Command, Contact, EVERYBODY, NetworkId, Refused, Unverified, records};
use super::{Claim, Fault, Message, Record, fields, put_command};
use crate::codec::compact::put_buffer;
use crate::crypto::sign::KeyPair;
use crate::host::HostId;
use crate::limits::{
    HOST_MESSAGE_BYTES, LAN_ADDRESSES, LAN_CLOSEST, LAN_DATAGRAM_BYTES, LAN_RECORD_BYTES,
    LAN_RECORD_TTL, MAX_SAFE_INTEGER,
};
use crate::time::Wall;

fn pair() -> KeyPair {
    KeyPair::from_seed([5; 32])
}

fn id() -> HostId {
    HostId(pair().public())
}

fn record() -> Record {
    Record {
        host: id(),
        boot: [3; 16],
        sequence: 1 << 40,
        ttl: LAN_RECORD_TTL,
        tcp: Some(3282),
        udp: Some(40_000),
        addresses: vec![[192, 168, 1, 2].into(), "fe80::7".parse().unwrap()],
    }
}

fn command(body: Body<'_>) -> Command<'_> {
    Command { host: id(), boot: [3; 16], counter: 7, expires: None, target: None, body }
}

fn read<'a>(bytes: &'a [u8], network: &NetworkId) -> Option<Command<'a>> {
    Unverified::decode(bytes, network).expect("well formed").verify()
}

#[test]
fn m05_the_format_of_a_datagram_does_not_change() {
    let seen = Some(([10, 0, 0, 7], 40_000).into());
    let body = Body::Pong { echo: [2; 16], challenge: Some([1; 16]), record: Some(&[9, 9]), seen };
    let expires = Some(Wall(1_790_000_000_000));
    let full = Command { target: Some(HostId([4; 32])), expires, ..command(body) };
    let bytes = full.encode(&pair(), &EVERYBODY, 300);
    let expected = [
        "67616e6e6574",
        "01",
        "65766572796f6e65",
        "010101",
        "0220",
        &hex::encode(pair().public()),
        "0310",
        &"03".repeat(16),
        "040107",
        "0509ff006c50c4a0010000",
        "0620",
        &"04".repeat(32),
        "0710",
        &"01".repeat(16),
        "0810",
        &"02".repeat(16),
        "0d020909",
        "1012",
        "00000000000000000000ffff0a000007409c",
    ];
    let expected = expected.concat();
    let (signed, signature) = bytes.split_last_chunk::<64>().unwrap();
    let (head, padding) = signed.split_at(expected.len() / 2);
    assert_eq!(hex::encode(head), expected);
    assert_eq!((padding[0], usize::from(padding[1])), (17, padding.len() - 2));
    assert!(padding[2..].iter().all(|zero| *zero == 0));
    assert_eq!(bytes.len(), 300);
    let signable = [b"gannet datagram 1".as_slice(), signed].concat();
    assert_eq!(pair().sign(&signable), *signature);
    assert_eq!(read(&bytes, &EVERYBODY), Some(full));
}

#[test]
fn m09_the_format_of_a_record_does_not_change() {
    let signed = record().sign(&pair(), &EVERYBODY);
    let expected = [
        "0120",
        &hex::encode(pair().public()),
        "0210",
        &"03".repeat(16),
        "0309ff0000000000010000",
        "0403fd201c",
        "0503fdd20c",
        "0603fd409c",
        "0720",
        "00000000000000000000ffffc0a80102",
        "fe800000000000000000000000000007",
    ];
    let (fields, signature) = signed.bytes().split_last_chunk::<64>().unwrap();
    assert_eq!(hex::encode(&fields[1..]), expected.concat());
    assert_eq!(usize::from(fields[0]), fields.len() - 1);
    let signable = [b"gannet host record 1", &EVERYBODY[..], &fields[1..]].concat();
    assert_eq!(pair().sign(&signable), *signature);
    let claim = Claim::decode(signed.bytes()).unwrap();
    assert_eq!(claim.verify(&EVERYBODY), Some(signed));
}

#[test]
fn m05_no_bit_of_a_datagram_or_a_record_can_be_changed() {
    let signed = record().sign(&pair(), &EVERYBODY);
    let body = Body::Ping { challenge: [1; 16], record: Some(signed.bytes()) };
    let datagram = command(body).encode(&pair(), &EVERYBODY, 400);
    for at in 0..datagram.len() * 8 {
        let mut bad = datagram.clone();
        bad[at / 8] ^= 1 << (at % 8);
        let read = Unverified::decode(&bad, &EVERYBODY).map(Unverified::verify);
        assert!(matches!(read, Err(_) | Ok(None)), "bit {at}");
    }
    for at in 0..signed.bytes().len() * 8 {
        let mut bad = signed.bytes().to_vec();
        bad[at / 8] ^= 1 << (at % 8);
        let read = Claim::decode(&bad).map(|claim| claim.verify(&EVERYBODY));
        assert!(matches!(read, Err(_) | Ok(None)), "bit {at}");
    }
    let elsewhere = Claim::decode(signed.bytes()).unwrap().verify(b"elsewher");
    assert_eq!(elsewhere, None);
}

/// A datagram of these fields, signed.
fn of_fields(all: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = [b"gannet".as_slice(), &[1], &EVERYBODY].concat();
    all.iter().for_each(|(number, value)| fields::put(*number, value, &mut out));
    let signature = pair().sign(&[b"gannet datagram 1", &out[..]].concat());
    out.extend_from_slice(&signature);
    out
}

fn fault(all: &[(u64, &[u8])]) -> Fault {
    match Unverified::decode(&of_fields(all), &EVERYBODY) {
        Err(Refused::Malformed(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// The fields of every command.
fn head<'a>(host: &'a [u8; 32], kind: &'a [u8]) -> Vec<(u64, &'a [u8])> {
    vec![(1, kind), (2, host), (3, &[3; 16]), (4, &[7])]
}

#[test]
fn m16_unknown_fields_and_commands_are_read_and_what_lacks_something_is_not() {
    let host = pair().public();
    let mut unknown = head(&host, &[99]);
    unknown.extend([(7, &[1; 16][..]), (40, b"new"), (1 << 50, &[])]);
    let bytes = of_fields(&unknown);
    assert_eq!(read(&bytes, &EVERYBODY), Some(command(Body::Other(99))));
    for (at, name) in ["type", "host", "boot", "counter"].into_iter().enumerate() {
        let mut lacking = head(&host, &[5]);
        lacking.remove(at);
        assert_eq!(fault(&lacking), Fault::Missing(name));
    }
    for (kind, name) in [
        (0, "challenge"),
        (1, "echo"),
        (2, "wanted"),
        (3, "echo"),
        (4, "token"),
        (6, "life"),
        (7, "echo"),
        (8, "kind"),
    ] {
        let kind = [kind];
        assert_eq!(fault(&head(&host, &kind)), Fault::Missing(name), "{kind:?}");
    }
    for (number, value, name) in [
        (6, &[1; 31][..], "target"),
        (7, &[1; 15], "challenge"),
        (8, &[1; 17], "echo"),
        (9, &[], "token"),
        (10, &[1; 33], "wanted"),
        (13, &[1; LAN_RECORD_BYTES + 1], "record"),
        (15, &[1; 51], "contacts"),
        (16, &[1; 17], "seen"),
        (15, &[1; 50 * (LAN_CLOSEST + 1)], "contacts"),
    ] {
        let mut bad = head(&host, &[5]);
        bad.push((number, value));
        assert_eq!(fault(&bad), Fault::Bounds(name));
    }
}

#[test]
fn m09_a_record_has_its_bounds() {
    let most = Record {
        addresses: (0..LAN_ADDRESSES as u8).map(|n| [10, 0, 0, n].into()).collect(),
        ..record()
    };
    let signed = most.clone().sign(&pair(), &EVERYBODY);
    assert!(signed.bytes().len() <= 500, "{}", signed.bytes().len());
    assert_eq!(Claim::decode(signed.bytes()).unwrap().claimed(), &most);
    let of = |all: &[(u64, &[u8])]| {
        let mut inner = Vec::new();
        all.iter().for_each(|(number, value)| fields::put(*number, value, &mut inner));
        let mut out = Vec::new();
        put_buffer(&inner, &mut out);
        out.extend_from_slice(&[0; 64]);
        Claim::decode(&out).map(|claim| claim.claimed().clone())
    };
    let host = pair().public();
    let whole: [(u64, &[u8]); 4] = [(1, &host), (2, &[3; 16]), (3, &[9]), (4, &[60])];
    let with = |more: (u64, &[u8])| of(&[whole.as_slice(), &[more]].concat());
    assert_eq!(of(&whole).unwrap().ttl, Duration::from_secs(60));
    for (at, name) in ["host", "boot", "sequence", "ttl"].into_iter().enumerate() {
        let mut lacking = whole.to_vec();
        lacking.remove(at);
        assert_eq!(of(&lacking), Err(Fault::Missing(name)));
    }
    assert_eq!(with((5, &[0])), Err(Fault::Bounds("port")));
    assert_eq!(with((7, &[1; 17])), Err(Fault::Bounds("addresses")));
    assert_eq!(with((7, &[1; 16 * (LAN_ADDRESSES + 1)])), Err(Fault::Bounds("addresses")));
    assert_eq!(with((7, &[0; 16])).unwrap().addresses, [] as [IpAddr; 0], "nobody is at ::");
    // Longer than two hours it does not hold, whatever it says; filled up it ends at 1,000 bytes.
    let mut long = whole;
    long[3].1 = &[0xfe, 0, 0, 1, 0];
    assert_eq!(of(&long).unwrap().ttl, LAN_RECORD_TTL);
    let filler = |bytes: usize| with((60, &vec![0; bytes]));
    let room = (0..LAN_RECORD_BYTES).rev().find(|n| filler(*n).is_ok()).unwrap();
    assert_eq!(filler(room + 1), Err(Fault::Bounds("record")));
    assert!(room > 800);
}

#[test]
fn m16_a_command_on_a_connection_is_a_whole_datagram() {
    let datagram = command(Body::Leaving).encode(&pair(), &EVERYBODY, LAN_DATAGRAM_BYTES);
    let mut said = Vec::new();
    put_command(&datagram, &mut said);
    assert!(said.len() > HOST_MESSAGE_BYTES && said[0] == 6);
    assert_eq!(Message::decode(&said), Ok(Some(Message::Command(&datagram))));
    said.push(0);
    assert_eq!(Message::decode(&said), Err(Fault::TooLong { len: said.len() }));
}

fn nonce() -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>()
}

fn contact() -> impl Strategy<Value = Contact> {
    (any::<[u8; 32]>(), any::<[u8; 4]>(), 1u16..).prop_filter_map("nobody", |(host, ip, port)| {
        let addr = SocketAddr::from((ip, port));
        super::address::is_somebody(&addr).then_some(Contact { host: HostId(host), addr })
    })
}

proptest! {
    #[test]
    fn m04_commands(
        kind in 0u64..12,
        counter in 0..=MAX_SAFE_INTEGER,
        expires in proptest::option::of(0..=MAX_SAFE_INTEGER as i64),
        target in proptest::option::of(any::<[u8; 32]>()),
        (one, two, maybe) in (nonce(), nonce(), proptest::option::of(nonce())),
        record in proptest::collection::vec(any::<u8>(), 0..600),
        contacts in proptest::collection::vec(contact(), 0..=LAN_CLOSEST),
        least in 0..=LAN_DATAGRAM_BYTES,
    ) {
        let wanted = HostId([7; 32]);
        let body = match kind {
            0 => Body::Ping { challenge: one, record: Some(&record) },
            1 => Body::Pong {
                echo: one,
                challenge: maybe,
                record: Some(&record),
                seen: contacts.first().map(|contact| contact.addr),
            },
            2 => Body::FindHost { challenge: one, wanted },
            3 => Body::Found { echo: one, token: maybe, records: &record[..record.len() / 2], contacts },
            4 => Body::StoreHost { token: two, record: &record },
            5 => Body::Leaving,
            6 => Body::ShutdownHost { challenge: one, life: two },
            7 => Body::Done { echo: two },
            8 => Body::Unsupported { kind: counter },
            other => Body::Other(other),
        };
        let said = Command {
            host: id(),
            boot: two,
            counter,
            expires: expires.map(Wall),
            target: target.map(HostId),
            body,
        };
        let bytes = said.encode(&pair(), &EVERYBODY, least);
        prop_assert!(bytes.len() <= LAN_DATAGRAM_BYTES && bytes.len() + 2 >= least);
        prop_assert_eq!(read(&bytes, &EVERYBODY), Some(said));
    }

    #[test]
    fn m09_records(
        sequence in 0..=MAX_SAFE_INTEGER,
        ttl in 0..=LAN_RECORD_TTL.as_secs(),
        tcp in proptest::option::of(1u16..),
        udp in proptest::option::of(1u16..),
        ips in proptest::collection::vec(contact(), 0..=LAN_ADDRESSES),
    ) {
        let addresses = ips.into_iter().map(|contact| contact.addr.ip()).collect();
        let ttl = Duration::from_secs(ttl);
        let record = Record { sequence, ttl, tcp, udp, addresses, ..record() };
        let signed = record.clone().sign(&pair(), &EVERYBODY);
        let read = Claim::decode(signed.bytes()).unwrap();
        prop_assert_eq!(read.claimed(), &record);
        prop_assert_eq!(read.verify(&EVERYBODY), Some(signed));
    }

    #[test]
    fn any_bytes_may_be_a_datagram(bytes: Vec<u8>) {
        let _ = Unverified::decode(&bytes, &EVERYBODY);
        let behind = [b"gannet\x01everyone".as_slice(), &bytes, &[0; 64]].concat();
        let _ = Unverified::decode(&behind, &EVERYBODY);
        let _ = Claim::decode(&bytes);
        prop_assert!(records(&bytes).count() <= bytes.len());
    }
}
