//! Strangers who repeat, flood, forge, and lie about the time.

use super::*;

#[test]
fn m04_what_is_longer_than_a_datagram_is_refused_and_rubbish_counted() {
    let mut wire = Wire::of(1);
    let mut actor = Actor::new(7);
    let body = || Body::Ping { challenge: [9; 16], record: None };
    let whole = actor.say_to(None, body(), limits::LAN_DATAGRAM_BYTES);
    assert_eq!(whole.len(), limits::LAN_DATAGRAM_BYTES);
    let long = [whole.as_slice(), &[0]].concat();
    wire.tell(0, udp(7), &long);
    assert_eq!(wire.counts(0).too_long, 1);
    let before = wire.counts(0);
    for cut in [30, 100, whole.len() - 1] {
        wire.tell(0, udp(7), &whole[..cut]);
    }
    wire.tell(0, udp(7), &[0; 100]);
    wire.tell(0, udp(7), &[]);
    let after = wire.counts(0);
    assert_eq!(after.malformed + after.forged - before.malformed - before.forged, 3);
    assert_eq!(after.foreign - before.foreign, 2);
    wire.take_sent(0);
    wire.run(Duration::from_millis(300));
    assert!(wire.take_sent(0).is_empty(), "nothing of that is answered");
    assert!(wire.posts[0].said.iter().all(|said| matches!(said, Output::Join(_))));
    wire.tell(0, udp(7), &whole);
    wire.run(Duration::from_millis(300));
    assert_eq!(kinds(&wire.take_sent(0)), [1], "the longest one is");
}

#[test]
fn m05_a_flood_costs_fifty_checks_a_second_and_five_for_one_address() {
    let mut wire = Wire::of(1);
    let forged = |actor: &mut Actor| {
        let mut bytes = actor.ping();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes
    };
    let mut actor = Actor::new(7);
    for n in 0..10_000u64 {
        wire.now += Duration::from_millis(1);
        let bytes = forged(&mut actor);
        wire.tell(0, udp(7), &bytes);
        assert_eq!(wire.counts(0).forged + wire.counts(0).limited, n + 1);
    }
    let one = wire.counts(0).forged;
    assert!((50..=5 * 10 + 10).contains(&one), "{one} checks in ten seconds for one address");
    // From many addresses.
    wire.now += Duration::from_secs(10);
    for n in 0..10_000u32 {
        wire.now += Duration::from_millis(1);
        let bytes = forged(&mut actor);
        let from = SocketAddr::from(([172, 16, (n >> 8) as u8, n as u8], UDP));
        wire.tell(0, from, &bytes);
    }
    let all = wire.counts(0).forged - one;
    assert!((400..=50 * 10 + 100).contains(&all), "{all} checks in ten seconds");
}

#[test]
fn m05_a_flood_from_everywhere_does_not_drown_who_is_known() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(5));
    let mut actor = Actor::new(7);
    for n in 0..100_000u32 {
        wire.now += Duration::from_millis(1);
        if n % 10 == 0 {
            let from = SocketAddr::from(([172, 16, (n >> 8) as u8, n as u8], UDP));
            let bytes = actor.ping();
            wire.tell(0, from, &bytes);
            wire.tell(1, from, &bytes);
        }
        if n % 100 == 0 {
            wire.run(Duration::from_millis(1));
        }
    }
    assert!(wire.counts(0).limited > 3_000);
    assert!(wire.all_know_all(), "later both are live still");
}

#[test]
fn m05_nothing_is_touched_before_the_signature_is_checked() {
    let mut wire = Wire::of(1);
    let mut actor = Actor::new(7);
    actor.meet(&mut wire, 0, 7, 5);
    let pong = actor.say(Body::Leaving);
    for at in 0..pong.len() * 8 {
        let mut bad = pong.clone();
        bad[at / 8] ^= 1 << (at % 8);
        wire.now += Duration::from_millis(300);
        wire.tell(0, udp(7), &bad);
        assert_eq!(wire.posts[0].hosts.known().count(), 1, "bit {at}");
    }
    wire.tell(0, udp(7), &pong);
    assert_eq!(wire.posts[0].hosts.known().count(), 0);
}

#[test]
fn m06_a_replayed_command_is_refused() {
    let mut wire = Wire::of(2);
    let mut actor = Actor::new(7);
    actor.meet(&mut wire, 0, 7, 5);
    // Its counter was seen: at the same host it does nothing, whatever it says.
    let record = actor.record(6, &[ip(7)]);
    let ping = actor.say(Body::Ping { challenge: [1; 16], record: Some(record.bytes()) });
    wire.tell(0, udp(7), &ping);
    let before = wire.counts(0).replayed;
    wire.tell(0, udp(8), &ping);
    assert_eq!(wire.counts(0).replayed, before + 1);
    assert_eq!(wire.places(0, id(7)), [udp(7)]);
    // At another host, and at this one after a new start, nobody believes it.
    wire.tell(1, udp(8), &ping);
    wire.run(Duration::from_secs(1));
    assert!(!wire.knows(1, id(7)));
    wire.posts.remove(0);
    let again = wire.add_with(settings(1, 11), 1);
    wire.tell(again, udp(7), &ping);
    wire.run(Duration::from_secs(1));
    assert!(!wire.knows(again, id(7)));
    assert!(wire.posts[again].hosts.known().all(|known| known.host() != id(7)));
}

#[test]
fn m06_an_answer_to_somebody_else_or_of_yesterday_is_no_answer() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(1));
    // What 2 said to 1 is told to a third, and to 1 again much later.
    let sent = wire.take_sent(1);
    let pongs: Vec<&Vec<u8>> = sent
        .iter()
        .filter(|(_, bytes)| matches!(heard(bytes).body, Body::Pong { .. }))
        .map(|(_, bytes)| bytes)
        .collect();
    assert!(!pongs.is_empty());
    let third = wire.add(3);
    wire.posts[1].deaf = true;
    wire.posts.swap_remove(1);
    let third = third - 1;
    for pong in &pongs {
        wire.tell(third, udp(2), pong);
    }
    assert!(!wire.knows(third, id(2)));
    wire.run(Duration::from_secs(3 * 3600));
    assert!(!wire.knows(0, id(2)));
    for pong in &pongs {
        wire.tell(0, udp(2), pong);
    }
    assert!(!wire.knows(0, id(2)));
}

#[test]
fn m06_the_life_before_a_restart_cannot_be_played_back() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(2));
    let old = wire.take_sent(1);
    wire.posts.remove(1);
    wire.add_with(settings(2, 22), 2);
    wire.run(Duration::from_secs(2));
    assert!(wire.all_know_all());
    for (_, bytes) in &old {
        wire.now += Duration::from_millis(500);
        wire.tell(0, udp(66), bytes);
    }
    wire.run(Duration::from_secs(2));
    assert_eq!(wire.places(0, id(2)), [udp(2)]);
    assert!(wire.posts[0].hosts.known().all(|known| known.boot() == boot(22)));
}

#[test]
fn m06_who_passes_on_what_two_hosts_say_is_not_taken_for_either() {
    let mut wire = Wire::new();
    wire.only = Some(99);
    wire.add(1);
    wire.add(2);
    // He says at his address what either of them says, to the other one, at once.
    let relay = udp(66);
    for _ in 0..200 {
        wire.run(Duration::from_millis(250));
        for (from, to) in [(0, 1), (1, 0)] {
            for (target, bytes) in wire.take_sent(from) {
                if target == relay || target.ip().is_multicast() {
                    wire.tell(to, relay, &bytes);
                }
            }
        }
    }
    for (post, other) in [(0, 2), (1, 1)] {
        assert_eq!(wire.places(post, id(other)), []);
        assert_eq!(wire.posts[post].found, []);
        assert!(wire.counts(post).received > 5, "he did say something");
    }
}

#[test]
fn m07_clocks_do_not_have_to_agree() {
    // A router that boots in 1970, one that is a year ahead, one that is a year behind.
    let year = 365 * 24 * 3600 * 1000;
    for (mine, theirs) in [(WALL, 5_000), (5_000, WALL), (WALL, WALL + year), (WALL, WALL - year)] {
        let mut wire = Wire::of(2);
        wire.posts.clear();
        for (n, wall) in [(1, mine), (2, theirs)] {
            let mut hosts = Hosts::new(Rng::from_seed(n), settings(n as u8, n as u8));
            hosts.set_wall(Wall(wall));
            let (found, said, sent) = Default::default();
            wire.posts.push(Post { hosts, at: udp(n as u8), deaf: false, found, said, sent });
            wire.move_to(n as usize - 1, n as u8);
        }
        // Without `run`, which would set their clocks right.
        for _ in 0..300 {
            wire.now += Duration::from_millis(10);
            let now = wire.now;
            wire.posts.iter_mut().for_each(|post| post.hosts.tick(now));
            wire.deliver();
        }
        assert!(wire.all_know_all(), "{mine} {theirs}");
    }
}

#[test]
fn m07_what_a_stranger_says_too_late_is_not_even_answered() {
    let mut wire = Wire::of(1);
    let mut actor = Actor::new(7);
    let tolerance = limits::LAN_CLOCK_TOLERANCE.as_millis() as i64;
    for (expires, answered) in [
        (None, true),
        (Some(Wall(WALL + 60_000)), true),
        (Some(Wall(WALL - tolerance + 5_000)), true),
        (Some(Wall(WALL - tolerance - 5_000)), false),
    ] {
        actor.expires = expires;
        wire.take_sent(0);
        let ping = actor.ping();
        wire.tell(0, udp(7), &ping);
        wire.run(Duration::from_millis(300));
        assert_eq!(actor.challenged(&mut wire, 0, 7).is_some(), answered, "{expires:?}");
    }
    assert_eq!(wire.counts(0).expired, 1);
    // Our own clock was never set: then nothing can be said of theirs.
    wire.posts[0].hosts.set_wall(Wall(5_000));
    let ping = actor.ping();
    wire.tell(0, udp(7), &ping);
    assert_eq!(wire.counts(0).expired, 1);
}

#[test]
fn m08_no_answer_to_a_stranger_is_longer_than_what_he_sent() {
    let mut wire = Wire::of(9);
    wire.run(Duration::from_secs(1));
    let mut actor = Actor::new(77);
    for least in (0..=limits::LAN_DATAGRAM_BYTES).step_by(50) {
        for body in [
            Body::Ping { challenge: [9; 16], record: None },
            Body::FindHost { challenge: [9; 16], wanted: id(3) },
            Body::FindHost { challenge: [9; 16], wanted: id(200) },
            Body::Other(99),
            Body::ShutdownHost { challenge: [9; 16], life: boot(1) },
        ] {
            for target in [None, Some(id(1))] {
                let bytes = actor.say_to(target, body.clone(), least);
                wire.now += Duration::from_secs(1);
                wire.take_sent(0);
                wire.tell(0, udp(77), &bytes);
                wire.run(Duration::from_millis(260));
                let to_him = wire.take_sent(0).into_iter().filter(|(to, _)| *to == udp(77));
                let answer: usize = to_him.map(|(_, answer)| answer.len()).sum();
                assert!(answer <= bytes.len(), "{answer} for {} bytes of {body:?}", bytes.len());
            }
        }
    }
    // The shortest ping gets what it takes to go on, without the record.
    let body = Body::Ping { challenge: [9; 16], record: None };
    let bytes = actor.say_to(None, body, 260);
    wire.tell(0, udp(77), &bytes);
    wire.run(Duration::from_millis(260));
    let answers = wire.take_sent(0);
    let answer = answers.iter().find(|(to, _)| *to == udp(77)).expect("an answer");
    assert!(matches!(heard(&answer.1).body, Body::Pong { record: None, .. }));
}

#[test]
fn m14_nobody_is_believed_for_another_id_and_our_own_elsewhere_is_reported() {
    let mut wire = Wire::of(1);
    // A record of one host in the mouth of another.
    let (mut actor, other) = (Actor::new(7), Actor::new(8));
    actor.meet(&mut wire, 0, 7, 5);
    let record = other.record(9, &[ip(7)]);
    let before = wire.counts(0).records;
    let ping = actor.say(Body::Ping { challenge: [1; 16], record: Some(record.bytes()) });
    wire.tell(0, udp(7), &ping);
    assert_eq!(wire.counts(0).records, before + 1);
    assert!(!wire.knows(0, id(8)));
    // One host answers where another was asked.
    let ping = Actor::new(9).ping();
    wire.take_sent(0);
    wire.tell(0, udp(9), &ping);
    wire.run(Duration::from_millis(300));
    let challenge = Actor::new(9).challenged(&mut wire, 0, 9).expect("asked");
    let record = actor.record(6, &[ip(9)]);
    let pong = pong_of(challenge, &record);
    let pong = actor.say(pong);
    let before = wire.counts(0).unasked;
    wire.tell(0, udp(9), &pong);
    assert_eq!(wire.counts(0).unasked, before + 1);
    assert_eq!(wire.places(0, id(7)), [udp(7)]);
    // Our own id, from another machine: refused, and said, but not a hundred times.
    let mut double = Actor::new(1);
    double.boot = boot(99);
    for _ in 0..100 {
        wire.now += Duration::from_millis(300);
        let ping = double.ping();
        wire.tell(0, udp(50), &ping);
    }
    wire.run(Duration::from_secs(1));
    assert!(wire.counts(0).impostors >= 100);
    assert!(!wire.knows(0, id(1)));
    let warned = wire.posts[0].said.iter().filter(|said| matches!(said, Output::Warn(_)));
    assert_eq!(warned.count(), 1);
    // On this machine it is another process of this host.
    let ping = double.ping();
    wire.tell(0, (ip(1), UDP + 9).into(), &ping);
    assert_eq!(wire.counts(0).impostors, 100);
}

#[test]
fn m17_other_networks_and_versions_are_not_heard() {
    let mut wire = Wire::of(1);
    let mut actor = Actor::new(7);
    let ping = actor.ping();
    for at in 0..15 {
        let mut other = ping.clone();
        other[at] ^= 1;
        wire.tell(0, udp(7), &other);
    }
    assert_eq!(wire.counts(0).foreign, 15);
    let other = Settings { network: *b"elsewher", ..settings(2, 2) };
    wire.add_with(other, 2);
    wire.run(Duration::from_secs(2));
    assert!(!wire.knows(0, id(2)) && !wire.knows(1, id(1)));
    assert_eq!(wire.counts(0).forged + wire.counts(0).limited, 0, "nothing of that was checked");
}
