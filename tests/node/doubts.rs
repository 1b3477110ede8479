//! Peers in doubt: when they are asked whether they are there, who stays, and who is dialled anew.

use std::net::IpAddr;
use std::time::Duration;

use gannet::limits;
use gannet::node::Blocks;
use gannet::node::event::Event;
use gannet::node::io::Input;
use gannet::reactor::Engine;
use gannet::store::Keys;
use gannet::sys::Interface;
use gannet::time::{Instant, Wall};

use crate::pair::{Pair, address, writer};
use crate::streams::Rig;

fn on(name: &str, index: u32, address: &str) -> Interface {
    let address: IpAddr = address.parse().expect("an address");
    Interface { index, name: name.into(), address, loopback: name == "lo", multicast: true }
}

/// The second dials the first, and both have heard of their interfaces once.
fn connected() -> Pair {
    let mut pair = Pair::new();
    let (keys, now) = (writer(1), pair.now);
    pair.sides[1].keep(now, Keys::core(keys.public));
    pair.sides[0].keep(now, keys);
    pair.sides[1].node.add_peer_everywhere(now, &address(0).to_string()).expect("an address");
    pair.put(1, Input::Deadline);
    pair.talk();
    for side in 0..2 {
        assert_eq!(pair.sides[side].node.peer_count(), 1);
        pair.put(side, Input::Interfaces(home()));
        pair.sides[side].events();
    }
    // It has been worth something by then.
    pair.pass(limits::USEFUL_UPTIME + Duration::from_secs(5));
    assert_eq!(pair.asked, [vec![], vec![]], "nothing has changed");
    pair.dials.clear();
    pair
}

fn home() -> Vec<Interface> {
    vec![on("lo", 1, "127.0.0.1"), on("eth0", 2, "10.0.0.2")]
}

fn elsewhere(n: u8) -> Vec<Interface> {
    vec![on("lo", 1, "127.0.0.1"), on("eth0", 2, &format!("10.0.0.{n}"))]
}

/// Why peers left, and how long after that was last asked.
fn partings(pair: &mut Pair, side: usize) -> Vec<String> {
    let left = |event| match event {
        Event::PeerLeft { reason, .. } => Some(reason),
        _ => None,
    };
    pair.sides[side].events().into_iter().filter_map(left).collect()
}

#[test]
fn l04_who_answers_after_a_change_of_the_network_stays() {
    for change in [Input::Interfaces(elsewhere(77)), Input::Interfaces(Vec::new()), Input::Rerouted]
    {
        let mut pair = connected();
        let now = pair.now;
        pair.put(1, change);
        pair.pass(Duration::from_secs(10));
        assert_eq!(pair.asked, [vec![], vec![now, now + limits::DOUBT_LIMIT]]);
        assert_eq!((partings(&mut pair, 1), pair.dials.len()), (vec![], 0));
    }
}

#[test]
fn l04_who_does_not_answer_is_closed_within_two_seconds_and_dialled_as_soon_as_there_is_a_way() {
    let mut pair = connected();
    pair.cut = true;
    pair.put(1, Input::Interfaces(Vec::new()));
    pair.pass(limits::DOUBT_LIMIT - Duration::from_millis(1));
    assert_eq!(partings(&mut pair, 1), Vec::<String>::new());
    pair.pass(Duration::from_millis(1));
    assert_eq!(partings(&mut pair, 1), ["unanswered"]);
    // It is tried, later and later.
    pair.pass(Duration::from_secs(200));
    let tried = pair.dials.len();
    assert!((1..=12).contains(&tried), "{tried} dials in vain");
    pair.cut = false;
    pair.put(1, Input::Interfaces(elsewhere(77)));
    pair.pass(limits::FORGIVEN_WITHIN);
    let dials = pair.dials.iter().filter(|(side, _)| *side == 1).count();
    assert_eq!((dials, pair.sides[1].node.peer_count()), (tried + 1, 1));
    assert_eq!(pair.sides[0].node.peer_count(), 1, "the old one is gone there, too");
}

#[test]
fn l04_what_leads_nowhere_else_calls_nobody_into_doubt() {
    let mut pair = connected();
    let containers = [on("lo", 1, "127.0.0.9"), on("veth12ab", 9, "fe80::1:2")];
    for more in containers {
        pair.put(1, Input::Interfaces(home().into_iter().chain([more]).collect()));
        pair.put(1, Input::Interfaces(home()));
        pair.pass(Duration::from_secs(5));
    }
    assert_eq!(pair.asked, [vec![], vec![]]);
    // A tunnel does.
    pair.put(1, Input::Interfaces(home().into_iter().chain([on("wg0", 9, "10.8.0.1")]).collect()));
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.asked[1].len(), 1);
}

#[test]
fn l04_changes_in_a_row_are_taken_together() {
    let mut pair = connected();
    for n in 0..200 {
        pair.put(1, Input::Interfaces(elsewhere(n)));
        pair.put(1, Input::Rerouted);
        pair.pass(Duration::from_millis(50));
    }
    pair.pass(Duration::from_secs(10));
    // Ten seconds: at the first, and every three, each asked and looked at.
    let asked = pair.asked[1].len();
    assert!((6..=12).contains(&asked), "asked {asked} times");
    assert_eq!((partings(&mut pair, 1), pair.dials.len()), (vec![], 0));
}

#[test]
fn l04_many_peers_are_asked_over_a_second() {
    const PEERS: usize = 100;
    let mut rig = Rig::new(Blocks::Follow);
    let streams: Vec<_> = (0..PEERS).map(|n| rig.meet(50 + n as u8)).collect();
    assert!(streams.iter().all(|stream| stream.live && !rig.ended(stream)));
    rig.put(Input::Rerouted);
    let began = rig.now;
    rig.pass(limits::DOUBT_SPREAD);
    let mut conns: Vec<_> = rig.asked.iter().map(|(_, conn)| *conn).collect();
    conns.sort_unstable();
    conns.dedup();
    assert_eq!((conns.len(), rig.asked.len()), (PEERS, PEERS), "each once");
    for tenth in 0..10 {
        let from = began + limits::DOUBT_SPREAD / 10 * tenth;
        let to = from + limits::DOUBT_SPREAD / 10;
        let asked = rig.asked.iter().filter(|(at, _)| *at >= from && *at < to).count();
        assert!(asked <= PEERS / 4, "{asked} of {PEERS} in a tenth of the time");
    }
}

#[test]
fn l05_who_has_slept_asks_all_and_those_who_answer_stay() {
    for (slept, asks) in
        [(limits::SLEPT - Duration::from_secs(1), false), (limits::SLEPT * 3, true)]
    {
        let mut pair = connected();
        let due = pair.sides[1].node.next_deadline().expect("a keep-alive");
        pair.now = due + slept + Duration::from_millis(1);
        let woke = pair.now;
        pair.put(1, Input::Deadline);
        pair.talk();
        pair.pass(Duration::from_secs(5));
        let expected = if asks { vec![woke, woke + limits::DOUBT_LIMIT] } else { vec![] };
        assert_eq!(pair.asked[1], expected);
        assert_eq!((partings(&mut pair, 1), pair.dials.len()), (vec![], 0), "after {slept:?}");
    }
}

#[test]
fn l05_who_is_gone_after_a_sleep_is_closed_within_two_seconds_and_dialled_again() {
    let mut pair = connected();
    pair.cut = true;
    pair.now += Duration::from_secs(3600);
    let woke = pair.now;
    pair.put(1, Input::Deadline);
    pair.talk();
    // (Nobody is judged for the time in which we stood still.)
    assert_eq!(partings(&mut pair, 1), Vec::<String>::new());
    pair.pass(limits::DOUBT_LIMIT);
    assert_eq!(partings(&mut pair, 1), ["unanswered"]);
    pair.cut = false;
    pair.pass(Duration::from_secs(4));
    assert_eq!(pair.sides[1].node.peer_count(), 1, "{:?} after it woke", pair.now.since(woke));
}

#[test]
fn l05_a_leap_of_the_calendar_counts_as_sleep_and_a_step_does_not() {
    for (leap, asks) in [(30_000, false), (3_600_000, true), (-3_600_000, false)] {
        let mut pair = connected();
        let at = |pair: &Pair| (pair.now.0 / 1000) as i64;
        pair.sides[1].node.set_wall(Wall(at(&pair)));
        pair.pass(Duration::from_secs(20));
        let wall = Wall(at(&pair) + leap);
        pair.sides[1].node.set_wall(wall);
        pair.pass(Duration::from_secs(5));
        // (The clock that we told stands still from then on.)
        assert_eq!(!pair.asked[1].is_empty(), asks, "{leap} ms");
        assert_eq!(partings(&mut pair, 1), Vec::<String>::new());
    }
}

#[test]
fn l05_a_system_that_cannot_tell_closes_nobody() {
    let mut pair = connected();
    pair.put(1, Input::Rerouted);
    let conn = gannet::ids::ConnId { slot: 1, generation: 1 };
    pair.put(1, Input::Unacknowledged { conn, bytes: Err(std::io::ErrorKind::Unsupported.into()) });
    pair.cut = true;
    pair.pass(limits::DOUBT_LIMIT * 2);
    assert_eq!(partings(&mut pair, 1), Vec::<String>::new());
    assert_ne!(pair.now, Instant(0));
}
