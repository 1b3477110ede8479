mod candidates;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Caps, Corrupt, End, Hunger, NameId, Source, Swarm};
use crate::limits;
use crate::rng::Rng;
use crate::swarm::candidate::State;
use crate::time::{Instant, Wall};

const T0: Instant = Instant(1_000_000);
const WALL: Wall = Wall(1_700_000_000_000);

fn at(seconds: u64) -> Instant {
    T0 + Duration::from_secs(seconds)
}

fn addr(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 3282))
}

fn swarm() -> Swarm {
    Swarm::new(Rng::from_seed(1))
}

impl Swarm {
    fn hear(&mut self, now: Instant, n: u32) {
        self.found(now, addr(n), Source::Multicast);
    }

    /// Failures of an address and how long it waits.
    fn look(&self, now: Instant, n: u32) -> (u32, Duration) {
        let all = self.candidates(now);
        let found = all.iter().find(|c| c.addr == addr(n)).unwrap();
        (found.failures, found.retry_in)
    }

    fn leave(&mut self, now: Instant, at: SocketAddr, id: &[u8], useful: u64, end: End) {
        self.closed(now, Some(at), Some(id), Duration::from_secs(useful), end);
    }
}

/// The next dial and the time of it, from `from` on.
fn dial(swarm: &mut Swarm, from: Instant) -> Option<(Instant, SocketAddr)> {
    let mut now = from;
    for _ in 0..10 {
        if let Some(addr) = swarm.poll_dial(now) {
            return Some((now, addr));
        }
        now = swarm.next_deadline()?.max(now);
    }
    None
}

#[test]
fn p04_back_off_doubles_to_ten_minutes_with_a_quarter_of_jitter() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    let (mut now, _) = dial(&mut swarm, T0).unwrap();
    assert_eq!(now, T0);
    let mut waits = Vec::new();
    for _ in 0..14 {
        swarm.dial_failed(now, addr(1));
        // Found again and again: the wait stands.
        swarm.hear(now, 1);
        let (next, _) = dial(&mut swarm, now).unwrap();
        waits.push(next.since(now).as_millis() as u64);
        now = next;
    }
    for (n, wait) in waits.iter().enumerate() {
        let base = (1000 << n.min(20)).min(600_000);
        assert!((base * 3 / 4..=base * 5 / 4).contains(wait), "failure {n}: {wait} ms");
    }
    let distinct: BTreeSet<&u64> = waits[10..].iter().collect();
    assert!(distinct.len() > 1, "no jitter in {waits:?}");
}

#[test]
fn p04_only_a_useful_quarter_minute_resets_the_back_off() {
    let fail = |swarm: &mut Swarm, mut now| {
        for _ in 0..6 {
            let (at, c) = dial(swarm, now).unwrap();
            swarm.dial_failed(at, c);
            now = at;
        }
        dial(swarm, now).unwrap().0
    };
    for (useful, reset) in [(15, true), (14, false), (0, false)] {
        let mut swarm = swarm();
        swarm.hear(T0, 1);
        let now = fail(&mut swarm, T0);
        swarm.connected(Some(addr(1)), b"peer");
        let end = now + Duration::from_secs(20);
        swarm.leave(end, addr(1), b"peer", useful, End::Good);
        let wait = dial(&mut swarm, end).unwrap().0.since(end).as_secs();
        assert_eq!(wait < 2, reset, "useful for {useful} s, then a wait of {wait} s");
    }
}

#[test]
fn p04_a_duplicate_is_no_failure() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    assert!(swarm.poll_dial(T0).is_some());
    swarm.connected(Some(addr(1)), b"peer");
    swarm.leave(T0, addr(1), b"peer", 0, End::Duplicate);
    assert_eq!(swarm.look(T0, 1).0, 0);
}

#[test]
fn l04_a_change_of_the_network_forgives_failures_but_nobody_who_said_when() {
    let mut swarm = swarm();
    // One that never answered, one that did once, one that the user named, one that does not want us.
    for n in 1..=4 {
        swarm.hear(T0, n);
    }
    swarm.alias(addr(2), b"peer");
    swarm.configured(addr(3));
    let (mut now, refused) = (T0, Duration::from_secs(3600));
    for _ in 0..40 {
        let Some((at, to)) = dial(&mut swarm, now) else { break };
        now = at;
        if to == addr(4) {
            swarm.leave(at, to, b"other", 0, End::Refused(refused));
        } else {
            swarm.dial_failed(at, to);
        }
    }
    for n in 1..=4 {
        let (failures, wait) = swarm.look(now, n);
        assert!(wait > Duration::from_secs(30) || failures < limits::BACKOFF_DOUBLINGS, "{n}");
    }
    let before = swarm.look(now, 1).0;
    let rests = swarm.look(now, 4).1;
    swarm.forgive(now);
    for n in 1..=3 {
        let (failures, wait) = swarm.look(now, n);
        assert!(wait <= limits::FORGIVEN_WITHIN, "{n} waits {wait:?}");
        assert_eq!(failures, if n == 1 { before } else { 0 }, "failures of {n}");
    }
    assert!(before > 5 && rests > Duration::from_secs(60));
    assert_eq!(swarm.look(now, 4).1, rests, "who said when is asked then");
    // A stranger who fails once more waits as before.
    let soon = now + limits::FORGIVEN_WITHIN;
    while let Some(to) = swarm.poll_dial(soon) {
        swarm.dial_failed(soon, to);
    }
    assert!(
        swarm.look(soon, 1).1 > Duration::from_secs(30)
            && swarm.look(soon, 3).1 < Duration::from_secs(2)
    );
}

#[test]
fn l04_who_was_lost_with_the_network_has_not_failed() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    assert!(swarm.poll_dial(T0).is_some());
    swarm.connected(Some(addr(1)), b"peer");
    swarm.leave(T0, addr(1), b"peer", 0, End::Lost);
    let (failures, wait) = swarm.look(T0, 1);
    assert!(failures == 0 && wait < limits::FORGIVEN_WITHIN, "{failures} failures, {wait:?}");
}

#[test]
fn p04_who_is_known_to_be_there_again_is_dialled_soon() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    let mut now = T0;
    for _ in 0..8 {
        let (at, addr) = dial(&mut swarm, now).unwrap();
        swarm.dial_failed(at, addr);
        now = at;
    }
    let (failures, wait) = swarm.look(now, 1);
    assert!(wait > Duration::from_secs(60));
    swarm.found(now, addr(1), Source::Lan);
    assert_eq!(swarm.look(now, 1), (failures, limits::BACKOFF_FIRST));
    // Nobody is dialled sooner for being found often, and one that is not there waits longer again.
    swarm.found(now, addr(1), Source::Lan);
    let (at, _) = dial(&mut swarm, now).unwrap();
    assert_eq!(at, now + limits::BACKOFF_FIRST);
    swarm.dial_failed(at, addr(1));
    assert!(swarm.look(at, 1).1 > Duration::from_secs(60));
}

#[test]
fn p05_table_is_bounded_and_forgets_what_was_longest_not_used() {
    let mut swarm = swarm();
    swarm.configured(addr(0));
    for n in 1..10_000 {
        swarm.hear(T0, n);
        swarm.hear(T0, 1);
    }
    let left: BTreeSet<SocketAddr> = swarm.candidates(T0).into_iter().map(|c| c.addr).collect();
    assert_eq!(left.len(), limits::CANDIDATES);
    assert!(left.contains(&addr(0)) && left.contains(&addr(1)) && left.contains(&addr(9_999)));
    assert!(!left.contains(&addr(2)));
}

#[test]
fn p05_kept_table_keeps_back_off_proof_and_bans() {
    let mut swarm = swarm();
    swarm.configured(addr(9));
    for n in [1, 2] {
        swarm.hear(T0, n);
    }
    let v6: SocketAddr = "[fe80::1%3]:99".parse().unwrap();
    swarm.found(T0, v6, Source::Multicast);
    // 1 fails five times, 2 is useful.
    let mut now = T0;
    while swarm.entries[&addr(1)].failures() < 5 {
        let (at, dialed) = dial(&mut swarm, now).unwrap();
        now = at;
        if dialed == addr(2) {
            swarm.connected(Some(dialed), b"two");
            swarm.leave(now, dialed, b"two", 60, End::Good);
        } else {
            swarm.dial_failed(now, dialed);
        }
    }
    swarm.ban(now, Some(addr(77)), Some(b"seventy-seven"));
    let bytes = swarm.encode(now, WALL);
    let mut back = self::swarm();
    // An hour of calendar time passes; the new process counts from zero.
    back.restore(&bytes, T0, Wall(WALL.0 + 5_000)).unwrap();
    let (failures, wait) = back.look(T0, 1);
    assert_eq!(failures, 5);
    assert!((6..=15).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(back.candidates(T0).len(), 3, "what the user named is not kept");
    assert!(back.is_banned(T0, Some(addr(5)), Some(b"seventy-seven")));
    assert!(back.is_banned(T0, Some(addr(77)), None));
    assert!(!back.is_banned(T0, Some(addr(78)), None));
    assert!(!back.is_banned(T0 + limits::BAN, Some(addr(77)), None));
    // The proven one comes first.
    assert_eq!(back.poll_dial(at(5)), Some(addr(2)));
    // A clock set back to 1970 makes nobody wait longer than the longest back-off.
    let mut back = self::swarm();
    back.restore(&bytes, T0, Wall(0)).unwrap();
    assert!(back.candidates(T0).iter().all(|c| c.retry_in <= limits::BACKOFF_MAX * 2));
}

#[test]
fn p05_a_banned_host_stays_banned_over_a_restart() {
    let host = |port: u16| SocketAddr::from(([10, 9, 9, 9], port));
    let mut swarm = swarm();
    for port in 1..limits::BANS_OF_HOST as u16 {
        swarm.ban(T0, Some(host(port)), Some(&[port as u8]));
    }
    assert!(!swarm.is_banned(T0, Some(host(99)), None), "it may be one of many behind a router");
    let mut back = self::swarm();
    back.restore(&swarm.encode(T0, WALL), T0, WALL).unwrap();
    back.ban(T0, Some(host(50)), None);
    assert!(back.is_banned(T0, Some(host(99)), None), "those before the restart count");
    let bytes = back.encode(T0, WALL);
    let mut back = self::swarm();
    let later = Wall(WALL.0 + limits::BAN.as_millis() as i64 / 2);
    back.restore(&bytes, T0, later).unwrap();
    assert!(back.is_banned(T0, Some(host(99)), Some(b"new")));
    assert!(!back.is_banned(T0 + limits::BAN / 2 + Duration::from_secs(1), Some(host(99)), None));
    assert!(!back.is_banned(T0, Some(addr(1)), None));
    // What an earlier gannet wrote ends before the hosts.
    let mut old = self::swarm();
    old.hear(T0, 1);
    let mut bytes = old.encode(T0, WALL);
    bytes.truncate(bytes.len() - 12);
    bytes[4] = 1;
    bytes.extend(crate::codec::fnv::checksum(&bytes).to_be_bytes());
    let mut back = self::swarm();
    back.restore(&bytes, T0, WALL).unwrap();
    assert_eq!(back.candidates(T0).len(), 1);
}

#[test]
fn p05_the_longest_list_of_peers_fits_its_file() {
    let id = [7; limits::PEER_ID_BYTES];
    let far = |n: u32| SocketAddr::from((std::net::Ipv6Addr::from(u128::from(n) << 64 | 1), 9));
    let mut swarm = swarm();
    for n in 0..limits::CANDIDATES as u32 {
        swarm.found(T0, far(n), Source::Multicast);
    }
    swarm.entries.values_mut().for_each(|entry| entry.id = Some(id.to_vec()));
    for n in 0..2 * limits::BANS as u32 {
        let mut id = id;
        id[..4].copy_from_slice(&n.to_be_bytes());
        swarm.ban(T0, Some(far(n + 1_000_000)), Some(&id));
    }
    let bytes = swarm.encode(T0, WALL);
    assert!(bytes.len() <= limits::KEPT_PEERS_BYTES, "{} bytes", bytes.len());
    assert!(self::swarm().restore(&bytes, T0, WALL).is_ok());
}

#[test]
fn p05_damaged_bytes_are_refused_whole() {
    let mut full = swarm();
    for n in 0..20 {
        full.hear(T0, n);
    }
    full.ban(T0, Some(addr(3)), Some(b"three"));
    let bytes = full.encode(T0, WALL);
    let mut rng = Rng::from_seed(3);
    for n in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[n] ^= 1 << rng.below(8);
        let mut swarm = swarm();
        assert_eq!(swarm.restore(&bad, T0, WALL), Err(Corrupt));
        assert_eq!(swarm.restore(&bytes[..n], T0, WALL), Err(Corrupt));
        assert_eq!(swarm.candidates(T0).len(), 0);
    }
    // Bytes with a right checksum and wrong contents do not panic either.
    for _ in 0..3000 {
        let mut bad = bytes.clone();
        let body = bad.len() - 8;
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(body as u64) as usize;
            bad[at] = rng.next_u64() as u8;
        }
        bad.truncate(5 + rng.below(body as u64 - 5) as usize);
        let sum = crate::codec::fnv::checksum(&bad);
        bad.extend(sum.to_be_bytes());
        let _ = swarm().restore(&bad, T0, WALL);
    }
}

#[test]
fn p06_one_peer_at_two_addresses_is_dialed_at_one() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    swarm.hear(T0, 2);
    let first = swarm.poll_dial(T0).unwrap();
    let second = swarm.poll_dial(T0).unwrap();
    swarm.connected(Some(first), b"peer");
    // The second turns out to be the same one.
    swarm.connected(Some(second), b"peer");
    assert_eq!(swarm.sessions(b"peer"), 2);
    swarm.leave(at(1), second, b"peer", 0, End::Duplicate);
    assert_eq!(dial(&mut swarm, at(1)), None, "an alias is left alone while the peer is there");
    swarm.leave(at(60), first, b"peer", 0, End::Bad);
    assert!(dial(&mut swarm, at(60)).is_some());
}

#[test]
fn p06_a_peer_that_dialed_us_is_not_dialed() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    let dialed = swarm.poll_dial(T0).unwrap();
    swarm.connected(Some(dialed), b"peer");
    swarm.connected(None, b"peer");
    swarm.leave(at(20), dialed, b"peer", 0, End::Duplicate);
    assert_eq!(dial(&mut swarm, at(30)), None);
    swarm.closed(at(40), None, Some(b"peer"), Duration::ZERO, End::Bad);
    assert!(dial(&mut swarm, at(40)).is_some());
}

#[test]
fn p07_discovery_is_asked_again_only_without_candidates_and_not_often() {
    let mut swarm = swarm();
    assert!(swarm.refresh(T0));
    assert!(!swarm.refresh(at(29)));
    assert!(swarm.refresh(at(30)));
    swarm.hear(at(70), 1);
    assert!(!swarm.refresh(at(70)), "there is somebody to dial");
    let (now, dialed) = dial(&mut swarm, at(70)).unwrap();
    assert!(!swarm.refresh(at(70)), "a dial is under way");
    swarm.dial_failed(now, dialed);
    assert!(swarm.refresh(at(70)));
}

#[test]
fn f03_our_own_address_is_not_dialed_again_in_this_run() {
    let mut swarm = swarm();
    swarm.configured(addr(1));
    let dialed = swarm.poll_dial(T0).unwrap();
    swarm.connected(Some(dialed), b"me");
    swarm.mark_self(dialed);
    swarm.leave(T0, dialed, b"me", 0, End::Bad);
    swarm.hear(T0, 1);
    assert_eq!(dial(&mut swarm, at(3600)), None);
    // Nor is it kept as a candidate for the next.
    let mut next = self::swarm();
    next.restore(&swarm.encode(T0, WALL), T0, WALL).unwrap();
    assert_eq!(next.candidates(T0).len(), 0);
}

#[test]
fn r06_a_ban_lasts_an_hour_and_spares_those_that_the_user_named() {
    let mut swarm = swarm();
    swarm.hear(T0, 1);
    swarm.configured(addr(2));
    let mut dialed = [swarm.poll_dial(T0).unwrap(), swarm.poll_dial(T0).unwrap()];
    dialed.sort();
    for (dialed, id) in dialed.into_iter().zip([b"one", b"two"]) {
        swarm.connected(Some(dialed), id);
        swarm.leave(T0, dialed, id, 0, End::Bad);
        swarm.ban(T0, Some(dialed), Some(id));
    }
    assert!(swarm.is_banned(at(3599), Some(addr(1)), None));
    assert!(swarm.is_banned(at(3599), Some(addr(50)), Some(b"one")));
    assert!(swarm.is_banned(at(3599), None, Some(b"one")));
    assert!(!swarm.is_banned(at(3600), Some(addr(1)), Some(b"one")));
    assert!(!swarm.is_banned(T0, Some(addr(2)), None));
    let (now, again) = dial(&mut swarm, T0).unwrap();
    assert_eq!(again, addr(2));
    assert!(now >= at(400), "it waits as after many failures: {now:?}");
    swarm.connected(Some(again), b"two");
    let (now, again) = dial(&mut swarm, now).unwrap();
    assert_eq!((again, now >= at(3600)), (addr(1), true));
}

#[test]
fn r06_a_host_of_many_banned_peers_is_banned_but_not_this_one() {
    let mut swarm = swarm();
    let host = |ip: [u8; 4], port: u16| SocketAddr::from((ip, port));
    for n in 0..limits::BANS_OF_HOST as u16 {
        assert!(!swarm.is_banned(T0, Some(host([9, 9, 9, 9], 5000)), None));
        swarm.ban(T0, Some(host([9, 9, 9, 9], n + 1)), Some(&[n as u8]));
        swarm.ban(T0, Some(host([127, 0, 0, 1], n + 1)), Some(&[n as u8]));
    }
    assert!(swarm.is_banned(T0, Some(host([9, 9, 9, 9], 5000)), None));
    assert!(!swarm.is_banned(T0, Some(host([127, 0, 0, 1], 5000)), None));
    for n in 0..100_000_u32 {
        swarm.ban(T0, Some(addr(n)), Some(&n.to_be_bytes()));
    }
    assert!(swarm.banned(T0) <= limits::BANS);
}

#[test]
fn p04_dials_are_capped_and_configured_ones_come_first() {
    let mut swarm = swarm();
    for n in 0..50 {
        swarm.hear(T0, n);
    }
    swarm.configured(addr(60));
    let dialed: Vec<SocketAddr> = std::iter::from_fn(|| swarm.poll_dial(T0)).collect();
    assert_eq!(dialed.len(), limits::DIALS_AT_ONCE);
    assert_eq!(dialed[0], addr(60));
    assert_eq!(swarm.next_deadline(), None, "no wake-up while no dial is possible");
    swarm.dial_failed(T0, dialed[1]);
    assert!(swarm.poll_dial(T0).is_some());
    assert!(swarm.poll_dial(T0).is_none());
}

#[test]
fn p05_a_random_life_keeps_the_counts_right() {
    for seed in 0..100 {
        let mut rng = Rng::from_seed(seed);
        let caps = Caps { dialing: 3, outgoing: 6 };
        let mut swarm = Swarm::with_caps(Rng::from_seed(seed), caps);
        let (mut dialing, mut open) = (Vec::new(), Vec::new());
        let mut now = T0;
        for _ in 0..600 {
            now += Duration::from_millis(rng.below(3000));
            match rng.below(8) {
                0 | 1 => swarm.hear(now, rng.below(12) as u32),
                2 if !dialing.is_empty() => {
                    let c = dialing.swap_remove(rng.below(dialing.len() as u64) as usize);
                    swarm.dial_failed(now, c);
                }
                3 | 4 if !dialing.is_empty() => {
                    let c = dialing.swap_remove(rng.below(dialing.len() as u64) as usize);
                    swarm.connected(Some(c), &[rng.below(5) as u8]);
                    open.push(c);
                }
                5 if !open.is_empty() => {
                    let c = open.swap_remove(rng.below(open.len() as u64) as usize);
                    let id = swarm.entries[&c].id.clone().unwrap();
                    let end = [End::Good, End::Bad, End::Duplicate][rng.below(3) as usize];
                    swarm.leave(now, c, &id, rng.below(30), end);
                }
                6 => swarm.ban(now, Some(addr(rng.below(12) as u32)), Some(&[rng.below(5) as u8])),
                _ => {
                    if let Some(c) = swarm.poll_dial(now) {
                        assert!(!dialing.contains(&c) && !open.contains(&c));
                        assert!(!swarm.is_banned(now, Some(c), None));
                        assert_eq!(swarm.entries[&c].state(), State::Dialing);
                        dialing.push(c);
                    }
                }
            }
            assert_eq!((swarm.dialing, swarm.connected), (dialing.len(), open.len()));
            assert!(dialing.len() <= 3 && dialing.len() + open.len() <= 6);
            assert_eq!(swarm.sessions.values().sum::<u32>() as usize, open.len());
        }
    }
}

#[test]
fn who_is_off_the_users_list_is_a_candidate_like_any() {
    let mut swarm = swarm();
    swarm.configured(addr(1));
    swarm.named(T0, NameId(1), &[addr(2)]);
    swarm.set_hunger(T0, Hunger::Named);
    for _ in 0..2 {
        let (now, at) = dial(&mut swarm, T0).expect("the user named two");
        swarm.dial_failed(now, at);
    }
    swarm.not_configured(addr(1));
    assert!(!swarm.is_configured(addr(1)) && swarm.is_configured(addr(2)));
    let (now, next) = dial(&mut swarm, at(60)).expect("the user names one still");
    assert_eq!(next, addr(2));
    swarm.dial_failed(now, next);
    swarm.named(at(60), NameId(1), &[]);
    assert_eq!(dial(&mut swarm, at(7200)), None, "nobody is wanted but whom the user names");
    swarm.set_hunger(at(7200), Hunger::More);
    assert!(dial(&mut swarm, at(7200)).is_some(), "they are known still");
}
