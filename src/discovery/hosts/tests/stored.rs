//! Records that others tell of.

use super::*;
use crate::discovery::hosts::table::{Group, State};

/// A host that has proven itself to post 0, and so may store there.
fn teller(wire: &mut Wire) -> Actor {
    let mut actor = Actor::new(7);
    actor.meet(wire, 0, 7, 5);
    actor
}

fn store(wire: &mut Wire, by: &mut Actor, record: &SignedRecord) {
    wire.now += Duration::from_millis(500);
    let ping = by.ping();
    wire.tell(0, udp(7), &ping);
    let bytes = by.say(Body::StoreHost { token: [0; 16], record: record.bytes() });
    wire.tell(0, udp(7), &bytes);
}

fn stored(wire: &Wire, host: HostId) -> Option<(u64, Instant)> {
    let known = wire.posts[0].hosts.known().find(|known| known.host() == host)?;
    Some((known.record.record().sequence, known.expires))
}

#[test]
fn m09_a_record_is_signed_by_whom_it_describes_and_its_sequence_grows() {
    let mut wire = Wire::of(1);
    let mut teller = teller(&mut wire);
    let other = Actor::new(8);
    store(&mut wire, &mut teller, &other.record(10, &[ip(8)]));
    let (sequence, expires) = stored(&wire, id(8)).expect("stored");
    assert_eq!(sequence, 10);
    assert_eq!(expires, wire.now + limits::LAN_RECORD_TTL);
    // It is only told: nobody is to dial it before it has answered.
    assert!(!wire.knows(0, id(8)));
    assert!(wire.posts[0].found.iter().all(|(host, _)| *host != id(8)));
    // The same one again holds it longer; a lower one and another of the same number are refused.
    wire.run(Duration::from_secs(600));
    store(&mut wire, &mut teller, &other.record(10, &[ip(8)]));
    assert_eq!(stored(&wire, id(8)), Some((10, wire.now + limits::LAN_RECORD_TTL)));
    let held = stored(&wire, id(8));
    store(&mut wire, &mut teller, &other.record(9, &[ip(8)]));
    store(&mut wire, &mut teller, &other.record(10, &[ip(9)]));
    assert_eq!(stored(&wire, id(8)), held);
    store(&mut wire, &mut teller, &other.record(11, &[ip(9)]));
    assert_eq!(stored(&wire, id(8)).unwrap().0, 11);
    // Signed by somebody else, or for another network.
    let forged = Record { host: id(9), ..other.record(1, &[]).record().clone() };
    let mut bytes = other.record(1, &[]).bytes().to_vec();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    for bad in [bytes, forged_bytes(&forged), elsewhere(&other)] {
        wire.now += Duration::from_millis(300);
        let before = wire.counts(0).records;
        let said = teller.say(Body::StoreHost { token: [0; 16], record: &bad });
        wire.tell(0, udp(7), &said);
        assert_eq!(wire.counts(0).records, before + 1);
    }
    assert_eq!(stored(&wire, id(8)).unwrap().0, 11);
    assert_eq!(stored(&wire, id(9)), None);
}

/// A record of host 9, with a signature of another one.
fn forged_bytes(record: &Record) -> Vec<u8> {
    let own = Actor::new(9).record(record.sequence, &record.addresses);
    let other = Actor::new(8).record(record.sequence, &record.addresses);
    let (fields, _) = own.bytes().split_last_chunk::<64>().unwrap();
    let (_, signature) = other.bytes().split_last_chunk::<64>().unwrap();
    [fields, signature.as_slice()].concat()
}

fn elsewhere(actor: &Actor) -> Vec<u8> {
    let record = Actor::new(8).record(99, &[ip(8)]).record().clone();
    record.sign(&actor.key, b"elsewher").bytes().to_vec()
}

#[test]
fn m09_records_hold_two_hours_and_are_told_anew_each_hour() {
    let mut wire = Wire::of(3);
    wire.run(Duration::from_secs(60));
    // Its own record is stored with others soon, and again with a new number each hour.
    let stores = |wire: &mut Wire| {
        let sent = wire.take_sent(1);
        let stores = sent.iter().map(|(_, bytes)| heard(bytes)).filter_map(|c| match c.body {
            Body::StoreHost { record, .. } => Some(record.to_vec()),
            _ => None,
        });
        let mut records: Vec<Vec<u8>> = stores.collect();
        records.dedup();
        records
    };
    let first = stores(&mut wire);
    assert_eq!(first.len(), 1);
    wire.run(limits::LAN_REPUBLISH + Duration::from_secs(60));
    let second = stores(&mut wire);
    assert!(second.len() == 1 && second != first);
    // What nobody tells again is over after its time.
    let mut teller = teller(&mut wire);
    store(&mut wire, &mut teller, &Actor::new(8).record(1, &[]));
    wire.run(limits::LAN_RECORD_TTL - Duration::from_secs(60));
    assert!(stored(&wire, id(8)).is_some());
    wire.run(Duration::from_secs(180));
    assert_eq!(stored(&wire, id(8)), None);
}

#[test]
fn m09_one_group_has_its_share_and_a_full_table_takes_newcomers() {
    let mut table = Table::new(id(1));
    let now = START;
    let record = |n: u64| {
        let key = KeyPair::from_seed(crate::crypto::hyper::hash(&[&n.to_le_bytes()]));
        let host = HostId(key.public());
        let mut boot = boot(0);
        boot[..8].copy_from_slice(&n.to_le_bytes());
        let (tcp, udp, addresses) = (Some(TCP), Some(UDP), Vec::new());
        let ttl = limits::LAN_RECORD_TTL;
        Record { host, boot, sequence: 1, ttl, tcp, udp, addresses }.sign(&key, &EVERYBODY)
    };
    let of = |ip: [u8; 4]| Group::of(IpAddr::from(ip));
    // A liar with a thousand names has 64 of them in.
    for n in 0..1000 {
        let by = of([172, 16, 0, n as u8]);
        table.insert(now, Known::new(now, record(n), State::Told { by }));
    }
    assert_eq!(table.iter().count(), limits::LAN_TOLD_PER_GROUP);
    // Many liars fill the table, and yet each newcomer gets in.
    for n in 1000..2500 {
        let by = of([10, (n >> 8) as u8, n as u8, 1]);
        let signed = record(n);
        table.insert(now, Known::new(now, signed.clone(), State::Told { by }));
        let host = table.iter().last().map(Known::host);
        assert!(host == Some(signed.record().host), "{n}");
    }
    assert_eq!(table.iter().count(), limits::LAN_HOSTS);
    // Who is live displaces who was only told, never the other way round.
    for n in 5000..5200 {
        let state = State::Live { window: Window::new(1) };
        table.insert(now, Known::new(now, record(n), state));
    }
    for n in 6000..7200 {
        let by = of([11, (n >> 8) as u8, n as u8, 1]);
        table.insert(now, Known::new(now, record(n), State::Told { by }));
    }
    assert_eq!(table.iter().filter(|known| known.is_live()).count(), 200);
    assert_eq!(table.iter().count(), limits::LAN_HOSTS);
    // What is over goes first.
    let later = now + limits::LAN_RECORD_TTL + Duration::from_secs(1);
    let state = State::Live { window: Window::new(1) };
    let expired = table.iter().filter(|known| known.expires <= later).count();
    table.insert(later, Known::new(later, record(9000), state));
    assert_eq!(table.iter().filter(|known| known.expires <= later).count(), expired - 1);
}

#[test]
fn m09_one_key_does_not_fill_the_table_with_its_lives() {
    let mut wire = Wire::of(1);
    let mut teller = teller(&mut wire);
    for life in 100..150 {
        let other = Actor { boot: boot(life), ..Actor::new(8) };
        store(&mut wire, &mut teller, &other.record(u64::from(life), &[]));
    }
    let lives = wire.posts[0].hosts.known().filter(|known| known.host() == id(8));
    assert_eq!(lives.count(), limits::LAN_INSTANCES);
}

#[test]
fn m10_who_was_not_given_a_token_stores_nothing() {
    let mut wire = Wire::of(1);
    let mut stranger = Actor::new(7);
    let record = Actor::new(8).record(1, &[ip(8)]);
    let guess = stranger.say(Body::StoreHost { token: [0; 16], record: record.bytes() });
    wire.tell(0, udp(7), &guess);
    assert_eq!((wire.counts(0).tokens, stored(&wire, id(8))), (1, None));
    // A search brings a token, good for its host at its place and for a time.
    let body = Body::FindHost { challenge: [3; 16], wanted: id(99) };
    let find = stranger.say_to(None, body, limits::LAN_DATAGRAM_BYTES);
    wire.take_sent(0);
    wire.tell(0, udp(7), &find);
    let answers = wire.take_sent(0);
    let Body::Found { echo, token: Some(token), .. } = heard(&answers[0].1).body else {
        panic!("{answers:?}")
    };
    assert_eq!(echo, [3; 16]);
    let mut other = Actor::new(6);
    for (from, by) in [(udp(8), &mut stranger), (udp(7), &mut other)] {
        let stolen = by.say(Body::StoreHost { token, record: record.bytes() });
        wire.tell(0, from, &stolen);
        assert_eq!(stored(&wire, id(8)), None, "{from}");
    }
    let store = stranger.say(Body::StoreHost { token, record: record.bytes() });
    wire.tell(0, udp(7), &store);
    assert_eq!(stored(&wire, id(8)).unwrap().0, 1);
    wire.run(2 * limits::LAN_TOKEN_EPOCH);
    let newer = Actor::new(8).record(2, &[ip(8)]);
    let late = stranger.say(Body::StoreHost { token, record: newer.bytes() });
    wire.tell(0, udp(7), &late);
    assert_eq!(stored(&wire, id(8)).unwrap().0, 1);
}
