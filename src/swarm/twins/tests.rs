//! One behaviour at a time.

use std::time::Duration;

use super::super::hello::Standing;
use super::*;
use crate::host::HostId;
use crate::wire::host::{BOOT_BYTES, VERSIONS, Versions};

const NOW: Instant = Instant(1 << 40);
const LOW: PublicKey = [1; 32];
const HIGH: PublicKey = [2; 32];
const OURS: Boot = [1; BOOT_BYTES];

fn conn(n: u32) -> ConnId {
    ConnId { slot: n, generation: 0 }
}

fn hello(number: u64, boot: u8, holds: &[u64]) -> Verified {
    Verified::assumed(Hello {
        versions: VERSIONS,
        host: HostId(HIGH),
        boot: [boot; BOOT_BYTES],
        number,
        port: None,
        features: 0,
        seen: None,
        own: Vec::new(),
        holds: holds.to_vec(),
    })
}

/// The end that decides, and what it does.
struct End1 {
    twins: Twins,
    acts: Vec<Act>,
    numbers: u64,
}

impl End1 {
    fn of(ours: PublicKey, theirs: PublicKey) -> End1 {
        End1 { twins: Twins::new(ours, OURS, theirs), acts: Vec::new(), numbers: 0 }
    }

    fn begin(&mut self, n: u32, opened: Opened) -> Vec<u64> {
        self.numbers += 1;
        self.twins.begin(NOW, conn(n), opened, self.numbers).expect("room")
    }

    fn hello(&mut self, n: u32, said: Verified) -> Vec<Act> {
        self.twins.hello(NOW, conn(n), said, &Terms::default(), &mut self.acts);
        std::mem::take(&mut self.acts)
    }

    fn judged(&mut self, n: u32, said: Verified, terms: Terms) -> Vec<Act> {
        self.twins.hello(NOW, conn(n), said, &terms, &mut self.acts);
        std::mem::take(&mut self.acts)
    }

    fn continued(&mut self, n: u32) -> Vec<Act> {
        self.twins.continued(NOW, conn(n), 1, &mut self.acts);
        std::mem::take(&mut self.acts)
    }

    fn closed(&mut self, n: u32, close: Close) -> Vec<Act> {
        self.twins.closed(NOW, conn(n), &close, &mut self.acts);
        std::mem::take(&mut self.acts)
    }

    fn lost(&mut self, n: u32) -> Vec<Act> {
        self.twins.lost(NOW, conn(n), &mut self.acts);
        std::mem::take(&mut self.acts)
    }

    /// A connection that is open.
    fn open(&mut self, n: u32, opened: Opened, said: Verified) {
        self.begin(n, opened);
        assert_eq!(self.hello(n, said), [go_on(n)]);
        assert_eq!(self.continued(n)[0], Act::Opened { conn: conn(n) });
    }
}

fn go_on(n: u32) -> Act {
    Act::Continue { conn: conn(n), said: Continue { version: 1 } }
}

/// Closed for this, which is how it ended.
fn shut(n: u32, opened: Opened, close: Close, peer: bool) -> [Act; 2] {
    let end = End::Ours(close.code);
    let conn = conn(n);
    [Act::Close { conn, close }, Act::Ended { conn, opened, end, peer }]
}

fn duplicate(winner: u64) -> Close {
    Close { winner: Some(winner), ..Close::new(Code::Duplicate) }
}

use Opened::{ByPeer, ByUs};

#[test]
fn h01_hello_is_said_at_once_and_only_after_both_continues_is_there_a_peer() {
    let mut end = End1::of(LOW, HIGH);
    assert_eq!(end.begin(1, ByPeer), [0; 0]);
    assert_eq!(end.twins.current(), None);
    assert_eq!(end.hello(1, hello(1, 9, &[])), [go_on(1)]);
    assert_eq!(end.twins.current(), None);
    assert_eq!(end.continued(1), [Act::Opened { conn: conn(1) }]);
    assert_eq!(end.twins.current(), Some(conn(1)));
}

#[test]
fn h04_versions_that_do_not_meet_are_refused_with_ours() {
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    let versions = Versions { first: 2, last: 9 };
    let close = Close { versions: Some(versions), ..Close::new(Code::Version) };
    let acts = end.judged(1, hello(1, 9, &[]), Terms { versions, ..Terms::default() });
    assert_eq!(acts, shut(1, ByUs, close, false));
}

#[test]
fn h05_ourselves_and_a_second_process_with_our_key_are_told_apart() {
    for (boot, code) in [(OURS[0], Code::Ourselves), (7, Code::Cloned)] {
        let mut end = End1::of(LOW, LOW);
        end.begin(1, ByPeer);
        let acts = end.hello(1, hello(1, boot, &[]));
        assert_eq!(acts, shut(1, ByPeer, Close::new(code), false));
    }
}

#[test]
fn h05_two_that_share_a_key_are_found_when_the_first_comes_back() {
    let mut end = End1::of(LOW, HIGH);
    end.open(1, ByPeer, hello(1, 8, &[]));
    // As after a restart.
    end.begin(2, ByPeer);
    assert_eq!(end.hello(2, hello(1, 9, &[])), [go_on(2)]);
    end.continued(2);
    end.begin(3, ByPeer);
    let acts = end.hello(3, hello(2, 8, &[]));
    assert_eq!(acts, shut(3, ByPeer, Close::new(Code::Cloned), false));
    assert_eq!(end.twins.current(), Some(conn(2)));
}

#[test]
fn h07_who_may_not_be_a_peer_hears_why() {
    for (standing, room, code) in [
        (Standing::NotAllowed, true, Code::NotAllowed),
        (Standing::Banned, true, Code::Banned),
        (Standing::Paused, false, Code::Paused),
        (Standing::Allowed, false, Code::Full),
    ] {
        let mut end = End1::of(LOW, HIGH);
        end.begin(1, ByPeer);
        let acts = end.judged(1, hello(1, 9, &[]), Terms { standing, room, ..Terms::default() });
        assert_eq!(acts, shut(1, ByPeer, Close::new(code), false));
        assert!(end.twins.is_empty());
    }
}

#[test]
fn n06_a_second_connection_to_a_peer_needs_no_room() {
    let mut end = End1::of(LOW, HIGH);
    end.open(1, ByPeer, hello(1, 9, &[]));
    end.begin(2, ByUs);
    let full = Terms { room: false, ..Terms::default() };
    assert_eq!(end.judged(2, hello(2, 9, &[1]), full), [go_on(2)]);
}

#[test]
fn h08_a_refusal_after_our_continue_is_no_peer_that_left() {
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    end.hello(1, hello(1, 9, &[]));
    let retry = Some(Duration::from_secs(60));
    let acts = end.closed(1, Close { retry, ..Close::new(Code::Full) });
    let ended =
        Act::Ended { conn: conn(1), opened: ByUs, end: End::Theirs(Code::Full), peer: false };
    assert_eq!(acts, [ended]);
    assert!(end.twins.is_empty() && !end.twins.may_dial(NOW));
    assert!(end.twins.may_dial(NOW + Duration::from_secs(60)));
}

#[test]
fn h09_a_connection_ends_once_whatever_comes_later() {
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    assert_eq!(end.closed(1, Close::new(Code::Shutdown)).len(), 1);
    assert_eq!(end.closed(1, Close::new(Code::Full)), []);
    assert_eq!(end.lost(1), []);
    assert_eq!(end.continued(1), []);
    assert_eq!(end.hello(1, hello(1, 9, &[])), []);
}

#[test]
fn h10_what_comes_out_of_order_is_a_fault() {
    // A continue before hello.
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    assert_eq!(end.continued(1), shut(1, ByUs, Close::new(Code::Fault), false));
    // A second hello, a second continue, a continue of another version.
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    end.hello(1, hello(1, 9, &[]));
    let acts = end.hello(1, hello(2, 9, &[]));
    assert_eq!(acts, shut(1, ByUs, Close::new(Code::Fault), false));
    let mut end = End1::of(LOW, HIGH);
    end.open(1, ByUs, hello(1, 9, &[]));
    assert_eq!(end.continued(1), shut(1, ByUs, Close::new(Code::Fault), true));
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    end.hello(1, hello(1, 9, &[]));
    end.twins.continued(NOW, conn(1), 2, &mut end.acts);
    assert_eq!(end.acts, shut(1, ByUs, Close::new(Code::Fault), false));
}

#[test]
fn h12_what_does_not_come_in_time_ends_it() {
    use crate::limits::HOST_GREETING;
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    let at = NOW + HOST_GREETING;
    assert_eq!(end.twins.next_deadline(), Some(at));
    end.twins.tick(at - Duration::from_micros(1), &mut end.acts);
    assert_eq!(end.acts, []);
    end.twins.tick(at, &mut end.acts);
    assert_eq!(end.acts, shut(1, ByUs, Close::new(Code::Timeout), false));
    // The same for the continue; nothing is due when it is open.
    let mut end = End1::of(LOW, HIGH);
    end.begin(1, ByUs);
    end.hello(1, hello(1, 9, &[]));
    end.twins.tick(at, &mut end.acts);
    assert_eq!(end.acts, shut(1, ByUs, Close::new(Code::Timeout), false));
    let mut end = End1::of(LOW, HIGH);
    end.open(1, ByUs, hello(1, 9, &[]));
    assert_eq!(end.twins.next_deadline(), None);
}

#[test]
fn u01_of_a_process_that_started_anew_the_old_connection_goes_when_the_new_one_is_open() {
    for (ours, theirs) in [(LOW, HIGH), (HIGH, LOW)] {
        let mut end = End1::of(ours, theirs);
        end.open(1, ByUs, hello(70, 8, &[]));
        end.begin(2, ByPeer);
        assert_eq!(end.hello(2, hello(1, 9, &[])), [go_on(2)]);
        assert_eq!(end.twins.current(), Some(conn(1)), "make before break");
        let acts = end.continued(2);
        assert_eq!(acts[0], Act::Opened { conn: conn(2) });
        assert_eq!(acts[1..], shut(1, ByUs, duplicate(2), true));
    }
}

#[test]
fn u02_the_one_that_the_lower_opened_stays_and_only_it_closes() {
    // Ours is better: theirs is closed at its hello.
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByUs, hello(1, 9, &[]));
    low.begin(2, ByPeer);
    assert_eq!(low.hello(2, hello(2, 9, &[1])), shut(2, ByPeer, duplicate(1), false));
    // Theirs was first: it is closed when ours is open.
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByPeer, hello(1, 9, &[]));
    low.begin(2, ByUs);
    assert_eq!(low.hello(2, hello(2, 9, &[1])), [go_on(2)]);
    assert_eq!(low.continued(2)[1..], shut(1, ByPeer, duplicate(2), true));
    // The higher closes nothing.
    for (first, second) in [(ByUs, ByPeer), (ByPeer, ByUs), (ByUs, ByUs), (ByPeer, ByPeer)] {
        let mut high = End1::of(HIGH, LOW);
        high.open(1, first, hello(1, 9, &[]));
        high.begin(2, second);
        assert_eq!(high.hello(2, hello(2, 9, &[1])), [go_on(2)]);
        assert_eq!(high.continued(2), [Act::Opened { conn: conn(2) }]);
    }
}

#[test]
fn u02_of_two_that_one_end_opened_the_older_stays() {
    for opened in [ByUs, ByPeer] {
        let mut low = End1::of(LOW, HIGH);
        low.open(1, opened, hello(1, 9, &[]));
        low.begin(2, opened);
        assert_eq!(low.hello(2, hello(2, 9, &[1])), shut(2, opened, duplicate(1), false));
    }
}

#[test]
fn u03_the_loser_stays_until_the_winner_is_open_and_for_good_if_that_breaks() {
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByPeer, hello(1, 9, &[]));
    low.begin(2, ByUs);
    low.hello(2, hello(2, 9, &[1]));
    assert_eq!(low.lost(2).len(), 1);
    assert_eq!(low.twins.current(), Some(conn(1)));
}

#[test]
fn u04_who_lost_one_to_a_winner_on_its_way_waits_for_that() {
    let mut high = End1::of(HIGH, LOW);
    high.begin(1, ByUs);
    high.begin(2, ByPeer);
    high.hello(2, hello(1, 9, &[]));
    high.closed(1, duplicate(1));
    assert!(!high.twins.may_dial(NOW), "the winner is pending");
    high.lost(2);
    assert!(!high.twins.may_dial(NOW + DUPLICATE_PATIENCE - Duration::from_micros(1)));
    assert!(high.twins.may_dial(NOW + DUPLICATE_PATIENCE));
}

#[test]
fn u05_what_the_other_side_has_lost_gives_way_whoever_opened_it() {
    // It was begun before the hello that does not name it.
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByUs, hello(1, 9, &[]));
    low.begin(2, ByPeer);
    assert_eq!(low.hello(2, hello(2, 9, &[])), [go_on(2)]);
    assert_eq!(low.continued(2)[1..], shut(1, ByUs, duplicate(2), true));
    // It was begun after that hello, which only came late: nothing is lost.
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByUs, hello(5, 9, &[]));
    low.begin(2, ByPeer);
    assert_eq!(low.hello(2, hello(4, 9, &[])), shut(2, ByPeer, duplicate(1), false));
}

#[test]
fn u05_what_seems_dead_here_is_not_named_and_gives_way() {
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByUs, hello(1, 9, &[]));
    assert!(!low.twins.may_dial(NOW));
    low.twins.suspect(conn(1));
    assert!(low.twins.may_dial(NOW));
    assert_eq!(low.begin(2, ByPeer), [0; 0]);
    assert_eq!(low.hello(2, hello(2, 9, &[1])), [go_on(2)]);
    assert_eq!(low.continued(2)[1..], shut(1, ByUs, duplicate(2), true));
}

#[test]
fn u06_a_dial_under_way_goes_on_when_another_one_opens() {
    for (ours, theirs) in [(LOW, HIGH), (HIGH, LOW)] {
        let mut end = End1::of(ours, theirs);
        end.begin(1, ByUs);
        end.open(2, ByPeer, hello(1, 9, &[]));
        let meeting = end.twins.meeting(conn(1)).expect("it is still there");
        assert!(meeting.is_greeting());
    }
}

#[test]
fn u08_more_than_can_be_looked_at_are_refused() {
    let mut end = End1::of(LOW, HIGH);
    for n in 0..HOST_HOLDS as u32 {
        assert_eq!(end.begin(n, ByPeer).len(), n as usize);
    }
    assert_eq!(end.twins.begin(NOW, conn(99), ByPeer, 99), None);
    end.lost(3);
    assert!(end.twins.begin(NOW, conn(99), ByPeer, 99).is_some());
}

#[test]
fn u09_nothing_that_has_not_been_said_by_its_host_moves_what_is_open() {
    // A hello is handed in as `Verified`, which only a signature for this connection gives
    // (`wire::host::tests`). Until it is, nothing happens to others.
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByPeer, hello(1, 9, &[]));
    low.begin(2, ByPeer);
    low.twins.close(NOW, conn(2), Close::new(Code::Fault), &mut low.acts);
    assert_eq!(low.acts, shut(2, ByPeer, Close::new(Code::Fault), false));
    assert_eq!(low.twins.current(), Some(conn(1)));
    let meeting = low.twins.meeting(conn(1)).expect("open");
    assert_eq!(meeting.trust, Trust::Full);
}

#[test]
fn u10_one_that_comes_and_goes_is_dialled_ever_more_rarely_until_it_lasts() {
    let mut end = End1::of(HIGH, LOW);
    let mut now = NOW;
    let mut waits = Vec::new();
    for n in 0..12 {
        let mut acts = Vec::new();
        let number = u64::from(n) + 1;
        end.twins.begin(now, conn(n), ByUs, number).expect("room");
        end.twins.hello(now, conn(n), hello(number, 9, &[]), &Terms::default(), &mut acts);
        end.twins.continued(now, conn(n), 1, &mut acts);
        let lasted = if n == 11 { USEFUL_UPTIME } else { Duration::ZERO };
        now += lasted;
        end.twins.lost(now, conn(n), &mut acts);
        let began = now;
        while !end.twins.may_dial(now) {
            now += BACKOFF_FIRST;
        }
        waits.push(now.since(began).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 0]);
}

#[test]
fn l04_what_was_lost_with_the_network_does_not_count_as_coming_and_going() {
    let mut end = End1::of(HIGH, LOW);
    for n in 0..5 {
        end.open(n, ByUs, hello(u64::from(n) + 1, 9, &[]));
        end.twins.suspect(conn(n));
        end.lost(n);
        assert!(end.twins.may_dial(NOW));
    }
}

#[test]
fn l09_every_end_says_who_ended_it_and_why() {
    let mut end = End1::of(LOW, HIGH);
    end.open(1, ByUs, hello(1, 9, &[]));
    end.begin(2, ByPeer);
    let ended = |n, opened, end, peer| [Act::Ended { conn: conn(n), opened, end, peer }];
    assert_eq!(end.lost(2), ended(2, ByPeer, End::Lost, false));
    let shutdown = Close::new(Code::Shutdown);
    assert_eq!(end.closed(1, shutdown), ended(1, ByUs, End::Theirs(Code::Shutdown), true));
}

#[test]
fn u08_numbers_given_twice_do_not_keep_two_open() {
    let mut low = End1::of(LOW, HIGH);
    low.open(1, ByPeer, hello(7, 9, &[]));
    low.begin(2, ByPeer);
    assert_eq!(low.hello(2, hello(7, 9, &[])), shut(2, ByPeer, duplicate(1), false));
}

/// One thing that a peer, or chance, does.
type Event = (u8, u32, u64, u8, Vec<u64>);

fn happens(end: &mut End1, (kind, n, number, boot, holds): Event) {
    let opened = if number % 2 == 0 { ByUs } else { ByPeer };
    match kind {
        0 | 1 if end.twins.meeting(conn(n)).is_none() => {
            end.numbers += 1;
            end.twins.begin(NOW, conn(n), opened, end.numbers);
        }
        0..=2 => {
            let holds: Vec<u64> = holds.iter().map(|hold| hold % 8).collect();
            let said = hello(number, boot, &holds);
            end.twins.hello(NOW, conn(n), said, &Terms::default(), &mut end.acts);
        }
        3 | 4 => end.twins.continued(NOW, conn(n), 1, &mut end.acts),
        5 => end.twins.closed(NOW, conn(n), &duplicate(number), &mut end.acts),
        6 => end.twins.lost(NOW, conn(n), &mut end.acts),
        _ => end.twins.suspect(conn(n)),
    }
}

proptest::proptest! {
    /// Whatever a peer says, who decides holds one, and each connection ends once.
    #[test]
    fn u10_never_more_than_one_is_open(
        events: Vec<(u8, u8, u8, u8, Vec<u64>)>,
    ) {
        let mut end = End1::of(LOW, HIGH);
        let mut begun = std::collections::BTreeMap::<u32, i32>::new();
        for (n, (kind, slot, number, boot, holds)) in events.into_iter().enumerate() {
            let slot = u32::from(slot % 4);
            let before = end.twins.meeting(conn(slot)).is_some();
            happens(&mut end, (kind % 8, slot, u64::from(number % 8), boot % 3, holds));
            if !before && end.twins.meeting(conn(slot)).is_some() {
                *begun.entry(slot).or_default() += 1;
            }
            let open = end.twins.conns.values().filter(|meeting| meeting.is_open()).count();
            proptest::prop_assert!(open <= 1, "{} open after {} events", open, n + 1);
        }
        for (slot, times) in begun {
            let ended = |act: &&Act| matches!(act, Act::Ended { conn: c, .. } if *c == conn(slot));
            let there = i32::from(end.twins.meeting(conn(slot)).is_some());
            proptest::prop_assert_eq!(end.acts.iter().filter(ended).count() as i32 + there, times);
        }
    }
}
