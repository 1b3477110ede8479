//! The table over a restart.

use super::*;
use crate::discovery::hosts::table::State;

/// When a post's table was written in so much time.
fn writes(wire: &mut Wire, post: usize, time: Duration) -> Vec<Instant> {
    let end = wire.now + time;
    let mut at = Vec::new();
    while wire.now < end {
        wire.run(Duration::from_secs(1));
        let now = wire.now;
        let hosts = &mut wire.posts[post].hosts;
        if hosts.next_keep().is_some_and(|due| due <= now) {
            hosts.encode(now);
            at.push(now);
        }
    }
    at
}

#[test]
fn m13_the_table_is_written_seldom_and_only_if_it_changed() {
    let mut wire = Wire::of(3);
    let quiet = writes(&mut wire, 0, Duration::from_secs(3000));
    assert_eq!(quiet.len(), 1, "nothing changes");
    // Somebody comes every minute or two.
    let mut at = Vec::new();
    for n in 10..22 {
        wire.add(n);
        at.extend(writes(&mut wire, 0, Duration::from_secs(100)));
    }
    assert!(at.len() >= 3 && at.windows(2).all(|w| w[1].since(w[0]) >= limits::LAN_KEEP_EVERY));
}

#[test]
fn m13_a_restart_finds_who_was_there_where_multicast_does_not_reach() {
    let mut wire = Wire::of(3);
    wire.run(Duration::from_secs(20));
    let now = wire.now;
    let sequence = wire.posts[0].hosts.sequence;
    let bytes = wire.posts[0].hosts.encode(now);
    wire.no_multicast = true;
    let again = |bytes: &[u8], wire: &Wire, wall: Wall| {
        let mut hosts = Hosts::new(Rng::from_seed(9), settings(1, 11));
        hosts.set_wall(wall);
        hosts.restore(wire.now, Some(bytes)).map(|()| hosts)
    };
    // The clock is that of 1970 after the restart.
    let hosts = again(&bytes, &wire, Wall(3_000)).expect("our own");
    assert_eq!(hosts.known().filter(|known| known.state() == State::Kept).count(), 2);
    wire.posts[0].hosts = hosts;
    wire.posts[0].found.clear();
    wire.move_to(0, 1);
    assert!(wire.posts[0].hosts.sequence > sequence, "numbers go on");
    wire.run(Duration::from_secs(1));
    assert!(wire.knows(0, id(2)) && wire.knows(0, id(3)) && wire.posts[0].found.len() == 2);
    // Who is not there any more is asked three times, believed nowhere, and over in its time.
    let mut hosts = again(&bytes, &wire, Wall(WALL)).expect("our own");
    std::mem::swap(&mut wire.posts[0].hosts, &mut hosts);
    wire.posts[2].deaf = true;
    wire.move_to(0, 1);
    wire.take_sent(0);
    wire.run(Duration::from_secs(20));
    let pings = wire.take_sent(0).into_iter().filter(|(to, _)| *to == udp(3)).count();
    assert!((2..=3).contains(&pings) && !wire.knows(0, id(3)), "{pings}");
    wire.run(limits::LAN_RECORD_TTL + Duration::from_secs(120));
    assert!(wire.posts[0].hosts.known().all(|known| known.host() != id(3)));
}

#[test]
fn m13_runs_in_a_row_do_not_write_more_often_than_one() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(20));
    let now = wire.now;
    assert!(wire.posts[0].hosts.may_keep(now));
    let bytes = wire.posts[0].hosts.encode(now);
    let mut next = Hosts::new(Rng::from_seed(9), settings(1, 11));
    next.set_wall(wire.wall());
    next.restore(now, Some(&bytes)).unwrap();
    let on = [interface("eth0", 2, ip(1))];
    next.set_places(now, &on, &listening(), ports(), &[]);
    assert_eq!(next.next_keep(), Some(now + limits::LAN_KEEP_EVERY));
    assert!(!next.may_keep(now + Duration::from_secs(299)));
    assert!(next.may_keep(now + limits::LAN_KEEP_EVERY));
}

#[test]
fn m13_a_damaged_table_starts_empty() {
    let mut wire = Wire::of(4);
    wire.run(Duration::from_secs(20));
    let now = wire.now;
    let bytes = wire.posts[0].hosts.encode(now);
    let restore = |bytes: &[u8]| {
        let mut hosts = Hosts::new(Rng::from_seed(9), settings(1, 11));
        hosts.set_wall(Wall(WALL));
        let result = hosts.restore(now, Some(bytes));
        assert!(result.is_ok() || hosts.known().count() == 0);
        result.map(|()| hosts.known().count())
    };
    assert_eq!(restore(&bytes), Ok(3));
    for cut in 0..bytes.len() {
        assert_eq!(restore(&bytes[..cut]), Err(Corrupt), "{cut}");
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        assert_eq!(restore(&bad), Err(Corrupt), "{at}");
    }
    assert_eq!(Corrupt.to_string(), "the list of hosts is damaged and starts empty");
}
