//! Candidates: who told of them, who is told of them, whom there is room for, and who is forgotten.

use std::net::IpAddr;

use super::*;
use crate::swarm::{Hunger, NameId, may_know};

const PEER: Source = Source::Peer([7; 32]);

#[test]
fn k01_a_damaged_table_starts_empty_and_a_good_one_comes_back() {
    let mut before = swarm();
    (0..50).for_each(|n| before.hear(T0, n));
    let bytes = before.encode(T0, WALL);
    let mut after = swarm();
    assert_eq!(after.restore(&bytes[..bytes.len() - 1], T0, WALL), Err(Corrupt));
    assert!(after.candidates(T0).is_empty());
    assert_eq!(after.restore(&bytes, T0, WALL), Ok(()));
    assert_eq!(after.candidates(T0).len(), 50);
}

#[test]
fn k02_what_one_peer_tells_of_fills_no_table() {
    let mut swarm = swarm();
    let told = (0..10_000).filter(|n| swarm.found(T0, addr(*n), PEER)).count();
    assert_eq!(told, limits::TOLD_BY_ONE);
    // Another one may tell as much, and what is known already counts for nobody.
    let other = Source::Peer([8; 32]);
    assert!(!swarm.found(T0, addr(0), other) && swarm.found(T0, addr(20_000), other));
    assert!(swarm.found(T0, addr(20_001), Source::Multicast));
}

#[test]
fn k02_any_number_of_keys_tells_of_no_more_than_its_part_and_pushes_out_nobody_who_has_answered() {
    let mut swarm = swarm();
    for n in 0..1000 {
        swarm.found(T0, addr(n), Source::Multicast);
        swarm.answered(T0, addr(n), false);
    }
    for key in 0..200u8 {
        for n in 0..limits::TOLD_BY_ONE as u32 {
            let lie = addr(10_000 + u32::from(key) * 100 + n);
            assert!(swarm.found(T0, lie, Source::Peer([key; 32])));
        }
    }
    let all = swarm.candidates(T0);
    assert_eq!(all.len(), 1000 + limits::TOLD_OF);
    assert!((0..1000).all(|n| swarm.has_answered(addr(n))), "one who was there is forgotten");
    // The latest lies are there, and not the first.
    let known = |addr: SocketAddr| all.iter().any(|candidate| candidate.addr == addr);
    assert!(known(addr(10_000 + 199 * 100)) && !known(addr(10_000)));
    // Whoever is found on the way is not kept out by them, and counts as found from now on.
    let often = limits::CANDIDATES as u32 - 1000;
    assert!((0..often).all(|n| swarm.found(T0, addr(50_000 + n), Source::Multicast)));
    assert_eq!(swarm.candidates(T0).len(), limits::CANDIDATES);
    assert!((0..1000).all(|n| swarm.has_answered(addr(n))));
}

#[test]
fn g03_every_other_look_is_for_one_who_has_answered_before_however_many_others_are_told_of() {
    let mut swarm = swarm();
    swarm.found(T0, addr(1), Source::Multicast);
    swarm.answered(T0, addr(1), false);
    for n in 0..limits::TOLD_BY_ONE as u32 {
        swarm.found(T0, addr(100 + n), PEER);
    }
    let looks = (0..200).filter(|_| swarm.somebody_else(T0) == Some(addr(1))).count();
    assert!((60..140).contains(&looks), "{looks} of 200");
}

#[test]
fn k02_an_answer_tells_a_part_of_those_who_are_there_and_of_no_other_realm() {
    let mut swarm = swarm();
    let public = |n: u32| SocketAddr::from(([80, 1, (n >> 8) as u8, n as u8], 3282));
    for n in 0..100 {
        for addr in [addr(n), public(n)] {
            swarm.found(T0, addr, Source::Multicast);
            if n < 80 {
                swarm.answered(T0, addr, false);
            }
        }
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], 3282));
    swarm.found(T0, loopback, Source::Multicast);
    swarm.answered(T0, loopback, false);
    let far: IpAddr = [90, 1, 1, 1].into();
    let told = swarm.share(far, None, 1000);
    assert_eq!(told.len(), 201 * limits::SHARED_PERCENT / 100);
    assert!(told.iter().all(|addr| addr.ip().to_string().starts_with("80.1.")), "{told:?}");
    let near = swarm.share([10, 9, 9, 9].into(), None, 1000);
    assert!(near.iter().any(|addr| addr.ip().to_string().starts_with("10.")));
    assert!(near.iter().all(|addr| !addr.ip().is_loopback()));
    // Nobody is told of itself, nor of more than it asks for.
    for _ in 0..20 {
        let told = swarm.share(addr(3).ip(), Some(addr(3)), 1000);
        assert!(!told.contains(&addr(3)));
    }
    assert_eq!(swarm.share(far, None, 5).len(), 5);
    assert_ne!(swarm.share(far, None, 20), swarm.share(far, None, 20), "it is drawn anew");
    // Others on the asker's own machine are others, too.
    let mut swarm = super::swarm();
    for port in [1, 2] {
        swarm.found(T0, SocketAddr::from(([127, 0, 0, 1], port)), Source::Multicast);
        swarm.answered(T0, SocketAddr::from(([127, 0, 0, 1], port)), false);
    }
    let own = SocketAddr::from(([127, 0, 0, 1], 1));
    assert_eq!(swarm.share(own.ip(), Some(own), 9), [SocketAddr::from(([127, 0, 0, 1], 2))]);
}

#[test]
fn k03_the_named_come_first_then_anchors_then_the_proven_and_among_equals_chance_decides() {
    let mut firsts = BTreeSet::new();
    for seed in 0..40 {
        let mut swarm = Swarm::new(Rng::from_seed(seed));
        (0..5).for_each(|n| swarm.hear(T0, n));
        firsts.insert(dial(&mut swarm, T0).unwrap().1);
    }
    assert_eq!(firsts.len(), 5, "an address that is chosen cannot be dialed first each time");
}

#[test]
fn k04_who_refuses_is_left_alone_as_long_as_the_reason_lasts() {
    for (wait, most) in [(limits::FULL_AGAIN, 75), (limits::VERSION_AGAIN, 30 * 3600)] {
        let mut swarm = swarm();
        swarm.hear(T0, 1);
        let (now, at) = dial(&mut swarm, T0).unwrap();
        swarm.closed(now, Some(at), None, Duration::ZERO, End::Refused(wait));
        let (failures, retry) = swarm.look(now, 1);
        assert_eq!(failures, 0, "it is there, and a refusal is no failure");
        assert!(retry >= wait * 3 / 4 && retry <= Duration::from_secs(most), "{retry:?}");
    }
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    let (now, at) = dial(&mut swarm, T0).unwrap();
    swarm.mark_self(at);
    swarm.closed(now, Some(at), None, Duration::ZERO, End::Bad);
    assert_eq!(dial(&mut swarm, now), None, "ourselves: never");
}

#[test]
fn k04_a_host_that_rests_is_not_dialed_at_any_of_its_addresses() {
    let mut swarm = swarm();
    for n in 1..4 {
        swarm.hear(T0, n);
        swarm.alias(addr(n), b"host");
    }
    swarm.rest(b"host", at(100));
    let (now, _) = dial(&mut swarm, T0).unwrap();
    assert_eq!(now, at(100));
}

#[test]
fn k05_who_was_only_told_of_and_never_answers_is_forgotten_the_named_never() {
    let mut swarm = swarm();
    swarm.found(T0, addr(1), PEER);
    swarm.found(T0, addr(2), PEER);
    swarm.answered(T0, addr(2), false);
    swarm.configured(addr(3));
    swarm.hear(T0, 4);
    let mut now = T0;
    for _ in 0..200 {
        let Some((next, at)) = dial(&mut swarm, now) else { break };
        swarm.dial_failed(next, at);
        now = next;
    }
    let left: Vec<SocketAddr> = swarm.candidates(now).iter().map(|c| c.addr).collect();
    assert_eq!(left, [addr(2), addr(3), addr(4)]);
}

#[test]
fn k06_a_clock_that_jumps_freezes_and_expires_nobody() {
    let mut before = swarm();
    before.hear(T0, 1);
    let (now, at) = dial(&mut before, T0).unwrap();
    before.dial_failed(now, at);
    let bytes = before.encode(now, WALL);
    for wall in [Wall(0), Wall(WALL.0 * 2), Wall(i64::MIN), Wall(i64::MAX)] {
        let mut after = swarm();
        after.restore(&bytes, T0, wall).unwrap();
        let (failures, wait) = after.look(T0, 1);
        assert!(failures == 1 && wait <= 2 * limits::BACKOFF_MAX, "{wall:?}: {wait:?}");
    }
}

#[test]
fn l06_the_best_of_a_run_are_dialed_first_in_the_next() {
    let mut before = swarm();
    (0..60).for_each(|n| before.hear(T0, n));
    let mut good = BTreeSet::new();
    for n in 0u8..6 {
        let (_, at) = dial(&mut before, T0).unwrap();
        before.connected(Some(at), &[n]);
        if n < 2 {
            // It was good and is gone.
            before.leave(T0, at, &[n], 60, End::Good);
            continue;
        }
        before.closed(T0, Some(at), Some(&[n]), Duration::from_secs(60), End::Duplicate);
        let mut now = T0;
        while !good.contains(&at) {
            let (next, other) = dial(&mut before, now).unwrap();
            now = next;
            if other == at {
                before.connected(Some(at), &[n]);
                good.insert(at);
            } else {
                before.dial_failed(now, other);
            }
        }
    }
    let mut after = swarm();
    after.restore(&before.encode(at(4000), WALL), at(4000), WALL).unwrap();
    let firsts: BTreeSet<SocketAddr> =
        (0..limits::ANCHORS).map(|_| dial(&mut after, at(9000)).unwrap().1).collect();
    assert!(firsts.is_subset(&good), "{firsts:?} {good:?}");
}

#[test]
fn n01_with_enough_peers_only_the_lonely_dial_and_at_the_maximum_only_the_named() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    swarm.set_hunger(T0, Hunger::Lonely);
    assert!(dial(&mut swarm, T0).is_some(), "it has nobody");
    swarm.connected(None, b"somebody");
    swarm.hear(T0, 2);
    assert_eq!((dial(&mut swarm, T0), swarm.next_deadline()), (None, None), "it sleeps");
    swarm.configured(addr(3));
    assert_eq!(dial(&mut swarm, T0).map(|(_, at)| at), Some(addr(3)));
    swarm.set_hunger(T0, Hunger::Named);
    swarm.configured(addr(4));
    assert_eq!(dial(&mut swarm, T0).map(|(_, at)| at), Some(addr(4)));
    assert_eq!(dial(&mut swarm, T0), None);
    swarm.set_hunger(T0, Hunger::More);
    assert_eq!(dial(&mut swarm, T0).map(|(_, at)| at), Some(addr(2)));
}

#[test]
fn n01_those_who_lack_what_they_were_dialed_for_take_nobodys_place() {
    let mut swarm = swarm();
    let outgoing = swarm.caps.outgoing;
    let count = outgoing.max(limits::LACKING) as u16 + 2;
    let at = |n: u16| SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 3282));
    let mut now = T0;
    for n in 1..=count {
        assert!(swarm.found(now, at(n), Source::Lan), "{n}");
        let (when, dialed) = dial(&mut swarm, now).expect("it is not full of those that lack it");
        now = when;
        assert_eq!(dialed, at(n));
        swarm.connected(Some(at(n)), &n.to_be_bytes());
        assert_eq!(swarm.is_alone(), n == 0, "it may have it");
        swarm.lacks(now, at(n));
        swarm.lacks(now, at(n));
        assert!(swarm.is_alone());
    }
    assert_eq!(swarm.too_many_lack().next(), Some(at(1)));
    // One that has it after all is company, whatever the others are.
    swarm.has(at(2));
    assert!(!swarm.is_alone());
    for n in 1..=count {
        swarm.closed(now, Some(at(n)), Some(&n.to_be_bytes()), Duration::ZERO, End::Good);
    }
    assert!(swarm.is_alone() && swarm.too_many_lack().next().is_none());
    assert_eq!((swarm.connected, swarm.dialing, swarm.lacking.len()), (0, 0, 0));
}

#[test]
fn k02_nobody_tells_of_what_is_nearer_to_us_than_he_is() {
    let of = |text: &str| text.parse().expect("an address");
    let (here, lan, far) = ("127.0.0.1", "192.168.1.1", "203.0.113.7");
    for (from, addr, known) in [
        (far, here, false),
        (far, lan, false),
        (far, far, true),
        (lan, here, false),
        (lan, "10.0.0.1", true),
        (lan, far, true),
        (here, here, true),
        (far, "::1", false),
        (far, "fe80::1", false),
        (far, "::ffff:10.0.0.1", false),
        ("::ffff:127.0.0.1", here, true),
    ] {
        assert_eq!(may_know(of(from), of(addr)), known, "{addr} from {from}");
    }
}

#[test]
fn k02_who_answers_at_many_ports_of_one_network_pushes_out_only_his_own() {
    let mut swarm = swarm();
    let honest: Vec<SocketAddr> = (1..=50).map(|n| ([10, 3, n, 1], 3282).into()).collect();
    for at in &honest {
        assert!(swarm.found(T0, *at, Source::Proven));
        swarm.answered(T0, *at, false);
    }
    for port in 1..=2 * limits::CANDIDATES as u16 {
        let at = SocketAddr::from(([10, 66, 6, port as u8], port));
        assert!(swarm.found(T0, at, Source::Proven), "the newest is known");
        swarm.answered(T0, at, false);
    }
    assert!(honest.iter().all(|at| swarm.entries.contains_key(at)));
    assert_eq!(swarm.entries.len(), honest.len() + limits::CANDIDATES_OF_NETWORK);
}

#[test]
fn k02_addresses_that_are_said_to_be_ourselves_are_no_hearsay() {
    let mut swarm = swarm();
    for n in 0..limits::TOLD_OF as u16 {
        let at = SocketAddr::from(([10, 2, (n >> 8) as u8, n as u8], 3282));
        let teller = [(n / limits::TOLD_BY_ONE as u16) as u8; 32];
        assert!(swarm.found(T0, at, Source::Peer(teller)));
        swarm.mark_self(at);
    }
    // A liar whose addresses all say that they are ourselves has not filled the table.
    assert!(swarm.found(T0, addr(1), Source::Peer([255; 32])));
}

#[test]
fn g03_who_answers_a_feeler_is_dialed_once_although_there_are_enough() {
    let mut swarm = swarm();
    swarm.connected(None, b"somebody");
    swarm.hear(T0, 1);
    swarm.set_hunger(T0, Hunger::Lonely);
    assert_eq!(dial(&mut swarm, T0), None);
    assert_eq!(swarm.somebody_else(T0), Some(addr(1)));
    swarm.answered(T0, addr(1), true);
    let (now, at) = dial(&mut swarm, T0).unwrap();
    swarm.dial_failed(now, at);
    assert_eq!(dial(&mut swarm, now), None, "the invitation is used up");
    // Who is silent waits as after a failed dial.
    swarm.hear(now, 2);
    swarm.silent(now, addr(2));
    assert_eq!(swarm.look(now, 2).0, 1);
}

fn v6(n: u16) -> SocketAddr {
    SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, n], 3282))
}

/// All that is dialed at a time.
fn dials(swarm: &mut Swarm, now: Instant) -> Vec<SocketAddr> {
    std::iter::from_fn(|| swarm.poll_dial(now)).collect()
}

#[test]
fn k09_the_addresses_of_a_name_are_dialed_one_after_the_other_and_the_families_by_turns() {
    let mut swarm = swarm();
    let name = NameId(1);
    swarm.named(T0, name, &[v6(1), v6(2), v6(3), addr(1)]);
    let turn = limits::NAME_TURN;
    for (n, at) in [v6(1), addr(1), v6(2), v6(3)].into_iter().enumerate() {
        let now = T0 + turn * n as u32;
        assert_eq!(dials(&mut swarm, now), [at]);
        assert!(dials(&mut swarm, now + turn - Duration::from_millis(1)).is_empty());
    }
}

#[test]
fn k09_an_address_that_fails_at_once_does_not_keep_the_next_one_waiting() {
    let mut swarm = swarm();
    swarm.named(T0, NameId(1), &[v6(1), addr(1), v6(2)]);
    assert_eq!(dials(&mut swarm, T0), [v6(1)]);
    let now = T0 + Duration::from_millis(3);
    swarm.dial_failed(now, v6(1));
    assert_eq!(dials(&mut swarm, now), [addr(1)]);
}

#[test]
fn k09_the_first_that_connects_is_the_peer_and_the_others_have_not_failed() {
    let mut swarm = swarm();
    let name = NameId(1);
    swarm.named(T0, name, &[v6(1), addr(1), v6(2)]);
    assert_eq!(dials(&mut swarm, T0), [v6(1)]);
    let now = T0 + limits::NAME_TURN;
    assert_eq!(dials(&mut swarm, now), [addr(1)]);
    swarm.connected(Some(addr(1)), b"peer");
    // The slow one is given up in the end, and the third is not even dialed.
    let later = now + Duration::from_secs(3600);
    swarm.dial_failed(later, v6(1));
    assert!(dials(&mut swarm, later + limits::BACKOFF_MAX).is_empty());
    assert!(swarm.candidates(later).iter().all(|candidate| candidate.failures == 0));
    // Nor are they while it is looked up again.
    swarm.named(later, name, &[v6(1), addr(1), v6(2)]);
    assert!(dials(&mut swarm, later + limits::BACKOFF_MAX).is_empty());
    // Gone, they are all there again, in turn.
    let gone = later + limits::BACKOFF_MAX;
    swarm.closed(gone, Some(addr(1)), Some(b"peer"), Duration::from_secs(3600), End::Bad);
    assert!(!dials(&mut swarm, gone + limits::NAME_TURN).is_empty());
}

#[test]
fn k09_a_name_that_leads_elsewhere_is_dialed_there_and_what_it_led_to_is_nothing_special() {
    let mut swarm = swarm();
    swarm.named(T0, NameId(1), &[addr(1)]);
    assert_eq!(dials(&mut swarm, T0), [addr(1)]);
    swarm.dial_failed(T0, addr(1));
    swarm.named(T0, NameId(1), &[addr(2)]);
    assert!(!swarm.is_configured(addr(1)) && swarm.is_configured(addr(2)));
    assert_eq!(dials(&mut swarm, T0), [addr(2)]);
    // What failed waits as long as it has to, whoever names it again.
    swarm.dial_failed(T0, addr(2));
    swarm.named(T0, NameId(1), &[addr(2)]);
    assert!(dials(&mut swarm, T0).is_empty());
}
