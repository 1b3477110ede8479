//! Looking for hosts that only others know.

use super::*;
use crate::discovery::hosts::table::{State, distance};
use crate::wire::host::datagram::Contact;

fn searched(wire: &Wire, post: usize) -> usize {
    wire.posts[post].said.iter().filter(|said| matches!(said, Output::Searched { .. })).count()
}

/// Lets a post know another one as if they had met, and nobody else.
fn introduce(wire: &mut Wire, post: usize, other: usize) {
    let now = wire.now;
    let (record, at) = {
        let other = &wire.posts[other];
        (other.hosts.record.as_ref().unwrap().0.clone(), other.at)
    };
    let table = &mut wire.posts[post].hosts.table;
    let mut known = Known::new(now, record, State::Live { window: Window::new(0) });
    known.proven.push(at);
    table.insert(now, known);
}

/// Posts without multicast that know the next ones of a chain only.
fn chain(count: u8) -> Wire {
    let mut wire = Wire::new();
    wire.no_multicast = true;
    for n in 1..=count {
        wire.add(n);
    }
    for n in 0..usize::from(count) - 1 {
        introduce(&mut wire, n, n + 1);
    }
    wire
}

#[test]
fn m11_a_host_is_found_over_others_and_asked_itself_before_it_is_believed() {
    let mut wire = chain(6);
    let now = wire.now;
    assert_eq!(wire.posts[0].hosts.find(now, id(6)), Finding::Searching);
    wire.run(Duration::from_secs(10));
    assert_eq!(searched(&wire, 0), 1);
    assert_eq!(wire.posts[0].hosts.find(now, id(6)), Finding::Known);
    assert!(wire.knows(0, id(6)), "it has answered");
    assert!(wire.posts[0].found.contains(&(id(6), tcp(6))));
    // Those who were asked on the way are no more believed than before.
    assert_eq!(wire.posts[0].hosts.find(now, id(2)), Finding::Known);
}

#[test]
fn m11_three_are_asked_at_a_time_eight_in_all_and_two_seconds_each() {
    let mut wire = Wire::of(30);
    wire.run(Duration::from_secs(15));
    wire.posts[1..].iter_mut().for_each(|post| post.deaf = true);
    wire.take_sent(0);
    let began = wire.now;
    assert_eq!(wire.posts[0].hosts.find(began, id(200)), Finding::Searching);
    let asked = |wire: &mut Wire| {
        wire.deliver();
        let finds = wire.posts[0].sent.iter().filter(|(_, _, bytes)| {
            matches!(heard(bytes).body, Body::FindHost { wanted, .. } if wanted == id(200))
        });
        let asked: Vec<(Instant, SocketAddr)> = finds.map(|(at, to, _)| (*at, *to)).collect();
        asked
    };
    let first = asked(&mut wire);
    assert_eq!(first.len(), limits::LAN_SEARCH_WIDTH);
    // The closest ones, by what their ids differ in.
    let mut all: Vec<u8> = (2..=30).collect();
    all.sort_by_key(|n| distance(id(200), id(*n)));
    let close: Vec<SocketAddr> = all[..3].iter().map(|n| udp(*n)).collect();
    assert_eq!(first.iter().map(|(_, to)| *to).collect::<Vec<_>>(), close);
    wire.run(Duration::from_millis(1999));
    assert_eq!(asked(&mut wire).len(), 3);
    wire.run(Duration::from_millis(1));
    assert_eq!(asked(&mut wire).len(), 6, "who does not answer in two seconds is done with");
    // Those that are known end it, each asked once.
    wire.run(Duration::from_secs(30));
    let all = asked(&mut wire);
    let mut once: Vec<SocketAddr> = all.iter().map(|(_, to)| *to).collect();
    once.sort();
    once.dedup();
    assert_eq!((once.len(), all.len()), (8, 8));
    assert_eq!(searched(&wire, 0), 1);
}

#[test]
fn m11_what_was_not_found_is_not_searched_for_again_at_once() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(15));
    let began = wire.now;
    assert_eq!(wire.posts[0].hosts.find(began, id(99)), Finding::Searching);
    wire.run(Duration::from_secs(3));
    assert_eq!(searched(&wire, 0), 1);
    wire.take_sent(0);
    let now = wire.now;
    assert_eq!(wire.posts[0].hosts.find(now, id(99)), Finding::Missing);
    assert!(!kinds(&wire.take_sent(0)).contains(&2));
    wire.run(limits::LAN_MISSING_FOR);
    let now = wire.now;
    assert_eq!(wire.posts[0].hosts.find(now, id(99)), Finding::Searching);
    // With nobody to ask it is over before it began.
    let mut alone = Wire::of(1);
    assert_eq!(alone.posts[0].hosts.find(START, id(99)), Finding::Missing);
}

#[test]
fn m11_searches_for_one_host_are_one_and_there_are_not_too_many() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(15));
    let now = wire.now;
    wire.take_sent(0);
    for _ in 0..10 {
        assert_eq!(wire.posts[0].hosts.find(now, id(99)), Finding::Searching);
    }
    assert_eq!(kinds(&wire.take_sent(0)), [2]);
    wire.posts[1].deaf = true;
    for n in 100..107 {
        assert_eq!(wire.posts[0].hosts.find(now, id(n)), Finding::Searching);
    }
    let mut last = Finding::Busy;
    for n in 107..110 {
        last = wire.posts[0].hosts.find(now, id(n));
    }
    assert_eq!(last, Finding::Busy);
    assert!(wire.posts[0].hosts.searches.len() <= limits::LAN_SEARCHES);
}

#[test]
fn m11_lies_in_answers_are_ignored() {
    let mut wire = Wire::of(1);
    let mut liar = Actor::new(7);
    liar.meet(&mut wire, 0, 7, 5);
    let now = wire.now;
    let wanted = id(8);
    assert_eq!(wire.posts[0].hosts.find(now, wanted), Finding::Searching);
    let find = wire.take_sent(0).pop().expect("it is asked");
    let Body::FindHost { challenge, .. } = heard(&find.1).body else { panic!("{find:?}") };
    // Records of others, of itself, forged ones; contacts that are us, or many.
    let mut records = Vec::new();
    let mut forged = Actor::new(8).record(1, &[ip(8)]).bytes().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let own = liar.record(9, &[ip(7)]);
    for record in [&forged, own.bytes()] {
        crate::codec::compact::put_buffer(record, &mut records);
    }
    let lo = ([127, 0, 0, 1], 22).into();
    let contacts = vec![
        Contact { host: id(1), addr: udp(9) },
        Contact { host: id(10), addr: lo },
        Contact { host: id(11), addr: udp(11) },
    ];
    let body = || Body::Found {
        echo: challenge,
        token: None,
        records: &records,
        contacts: contacts.clone(),
    };
    // Somebody who was not asked knows better.
    let mut other = Actor::new(6);
    let said = other.say(body());
    wire.tell(0, udp(6), &said);
    // Nor does the one who was, at another place, or with a nonce of his own.
    let said = liar.say(body());
    wire.tell(0, udp(9), &said);
    let wrong = Body::Found { echo: [1; 16], token: None, records: &records, contacts: Vec::new() };
    let said = liar.say(wrong);
    wire.tell(0, udp(7), &said);
    assert_eq!(wire.counts(0).unasked, 3);
    let said = liar.say(body());
    wire.tell(0, udp(7), &said);
    assert!(wire.posts[0].hosts.known().all(|known| known.host() == id(7)));
    // Asked next is the only one that may be somebody; then it is over.
    let asked = wire.take_sent(0);
    assert_eq!(asked.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [udp(11)]);
    wire.run(Duration::from_secs(3));
    let now = wire.now;
    assert_eq!(wire.posts[0].hosts.find(now, wanted), Finding::Missing);
}

#[test]
fn m11_no_liar_keeps_a_search_from_ending() {
    // Each of a crowd names eight more who do not exist, closer each time.
    let mut wire = Wire::of(1);
    let mut liar = Actor::new(7);
    liar.meet(&mut wire, 0, 7, 5);
    let began = wire.now;
    assert_eq!(wire.posts[0].hosts.find(began, id(8)), Finding::Searching);
    let mut next = 0u32;
    let mut rounds = 0;
    while searched(&wire, 0) == 0 {
        rounds += 1;
        assert!(rounds < 500, "no end");
        let asked = wire.take_sent(0);
        for (to, bytes) in asked {
            let command = heard(&bytes);
            let Body::FindHost { challenge, .. } = command.body else { continue };
            // He has the keys of the first thousand names, so that he can answer for them.
            let target = command.target.unwrap();
            let named = (0..next).find(|n| named(*n).id() == target);
            let mut speaker =
                named.map_or(Actor { counter: 1 << 30, ..Actor::new(7) }, self::named);
            let contacts = (0..8).map(|_| {
                next += 1;
                let addr = SocketAddr::from(([172, 16, (next >> 8) as u8, next as u8], UDP));
                Contact { host: self::named(next - 1).id(), addr }
            });
            let contacts: Vec<Contact> = contacts.collect();
            let said =
                speaker.say(Body::Found { echo: challenge, token: None, records: &[], contacts });
            wire.tell(0, to, &said);
        }
        wire.run(Duration::from_millis(500));
    }
    let took = wire.now.since(began);
    assert!(took <= limits::LAN_SEARCH_WITHIN, "{took:?}");
    assert!(wire.posts[0].hosts.searches.is_empty());
}

fn named(n: u32) -> Actor {
    let key = KeyPair::from_seed(crate::crypto::hyper::hash(&[b"liar", &n.to_le_bytes()]));
    Actor { key, boot: boot(200), counter: 0, expires: None }
}
