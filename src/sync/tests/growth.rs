//! Who is asked to prove a core longer, and what peers do about it who mean no good.

use super::*;
use crate::wire::Head;

const TELLS: Head = Head {
    fork: 0,
    length: 0,
    remote_length: 0,
    can_upgrade: true,
    uploading: true,
    downloading: true,
    has_manifest: false,
    allow_push: false,
};

fn rig() -> Rig {
    Rig::new(Feed::core([1; 32], None), Wanted::All)
}

impl Rig {
    fn meet(&mut self, id: PeerId) {
        self.put(Input::Joined { peer: id, feed: F, live: true, ack: false, told: true });
    }

    /// It knows how long we are, and says how long it is.
    fn tell(&mut self, from: PeerId, fork: u64, length: u64) {
        let feed = &self.shelf.0[&F];
        let remote_length = if fork == feed.fork_id() { feed.length() } else { 0 };
        self.message(from, Message::Head(Head { fork, length, remote_length, ..TELLS }));
    }

    /// The lengths that a peer was asked to prove since the last look.
    fn grows(&mut self, of: PeerId) -> Vec<u64> {
        let grow = |message| match message {
            OwnedMessage::Grow { start, length, .. } => Some(start + length),
            _ => None,
        };
        self.sent(of).into_iter().filter_map(grow).collect()
    }

    /// A peer proves the core this long.
    fn prove(&mut self, from: PeerId, length: u64) {
        assert!(self.sync.grown(self.now, from, F));
        self.drain();
        let feed = self.shelf.0.get_mut(&F).unwrap();
        let before = feed.length();
        feed.set_length(length);
        self.put(Input::Grew { feed: F, from: before, to: length });
    }

    fn fails(&mut self, from: PeerId, bad: bool) {
        self.put(Input::GrowthFailed { feed: F, peer: from, bad });
    }
}

#[test]
fn g01_the_longest_who_never_answers_holds_nobody_up() {
    let (liar, honest) = (peer(1), peer(2));
    let mut rig = rig();
    rig.meet(liar);
    rig.meet(honest);
    rig.tell(liar, 0, 1000);
    rig.tell(honest, 0, 10);
    assert_eq!((rig.grows(liar), rig.grows(honest)), (vec![1000], vec![]));
    rig.pass(2 * limits::HEDGE_AFTER);
    assert_eq!((rig.grows(liar), rig.grows(honest)), (vec![], vec![10]));
    rig.prove(honest, 10);
    assert_eq!(rig.shelf.0[&F].length(), 10);
}

#[test]
fn g01_one_that_says_another_length_each_time_holds_nobody_up() {
    for fork in [0, 3] {
        let (liar, honest) = (peer(1), peer(2));
        let mut rig = rig();
        rig.meet(liar);
        rig.meet(honest);
        rig.tell(honest, 0, 10);
        // Asked before the liar came; and it is the same when it answers that it has nothing.
        rig.fails(honest, false);
        rig.grows(honest);
        let mut asked = Vec::new();
        for n in 0..100 {
            rig.tell(liar, fork * (1 + n % 2), 1000 + n);
            if n % 2 == 1 && !rig.grows(liar).is_empty() {
                rig.fails(liar, false);
            }
            rig.pass(limits::HEDGE_AFTER);
            asked.extend(rig.grows(honest));
        }
        assert!(!asked.is_empty(), "who has something is never asked");
    }
}

#[test]
fn g02_an_answer_of_somebody_else_ends_no_growth() {
    let (asked, other) = (peer(1), peer(2));
    let mut rig = rig();
    rig.meet(asked);
    rig.meet(other);
    rig.tell(asked, 0, 10);
    assert_eq!(rig.grows(asked), [10]);
    rig.sync.grown(rig.now, other, F);
    rig.fails(other, false);
    rig.pass(Duration::from_millis(50));
    assert_eq!(rig.grows(asked), NONE, "it was asked twice");
    rig.prove(asked, 10);
}

#[test]
fn g03_the_end_of_a_connection_or_a_channel_sends_the_question_to_another() {
    for gone in [true, false] {
        let (first, second) = (peer(1), peer(2));
        let mut rig = rig();
        rig.meet(first);
        rig.meet(second);
        rig.tell(first, 0, 10);
        rig.tell(second, 0, 9);
        assert_eq!((rig.grows(first), rig.grows(second)), (vec![10], vec![]));
        rig.put(match gone {
            true => Input::Gone { peer: first },
            false => Input::Parted { peer: first, feed: F },
        });
        assert_eq!(rig.grows(second), [9], "at once");
        rig.prove(second, 9);
    }
}

#[test]
fn g04_who_has_nothing_after_all_is_asked_ever_more_rarely() {
    let empty = peer(1);
    let mut rig = rig();
    rig.meet(empty);
    rig.tell(empty, 0, 10);
    let mut asked = 0;
    for _ in 0..600 {
        for _ in rig.grows(empty) {
            asked += 1;
            rig.fails(empty, false);
        }
        rig.pass(limits::TICK);
    }
    assert!((3..20).contains(&asked), "asked {asked} times in ten minutes");
    assert_eq!(rig.dropped(empty), None);
    // Somebody who has it is asked at once.
    rig.meet(peer(2));
    rig.tell(peer(2), 0, 10);
    assert_eq!(rig.grows(peer(2)), [10]);
}

#[test]
fn g05_a_core_of_two_histories_grows_no_more() {
    let mut rig = rig();
    rig.meet(peer(1));
    rig.tell(peer(1), 0, 10);
    assert_eq!(rig.grows(peer(1)), [10]);
    rig.put(Input::Forked { feed: F });
    assert!(!rig.sync.grown(rig.now, peer(1), F));
    for n in 0..20 {
        rig.tell(peer(1), n % 3, 11 + n);
        rig.pass(limits::TICK);
    }
    assert_eq!(rig.grows(peer(1)), NONE);
}

#[test]
fn g06_lies_about_the_length_are_strikes_and_what_is_stale_is_none() {
    let (stale, liar) = (peer(1), peer(2));
    let mut rig = rig();
    rig.meet(stale);
    for n in 0..10 {
        rig.tell(stale, 0, 10 + n);
        rig.fails(stale, false);
        rig.pass(limits::TICK);
    }
    assert_eq!(rig.dropped(stale), None);
    rig.meet(liar);
    for n in 0..limits::STRIKES {
        rig.tell(liar, 0, 1000 + u64::from(n));
        rig.fails(liar, true);
    }
    assert_eq!(rig.dropped(liar), Some(Why::BadData));
    assert!(rig.said(|output| matches!(output, Output::Ban { peer, .. } if *peer == liar)));
}

#[test]
fn g07_boasters_who_take_turns_keep_nobody_from_growing() {
    for (fork, say_nothing) in [(0, true), (0, false), (2, true), (2, false)] {
        let (liars, honest) = ([peer(1), peer(2)], peer(3));
        let mut rig = rig();
        for id in [liars[0], liars[1], honest] {
            rig.meet(id);
        }
        let (mut boast, mut longest_wait, mut waits) = (1000, 0, 0);
        for round in 0..600 {
            let length = round / 20 + 1;
            rig.tell(honest, 0, length);
            for liar in liars {
                boast += 1;
                rig.tell(liar, fork, boast);
                let asked = rig.grows(liar).len();
                (0..asked).filter(|_| say_nothing).for_each(|_| rig.fails(liar, false));
            }
            if let Some(asked) = rig.grows(honest).last() {
                rig.prove(honest, *asked);
                waits = 0;
            }
            waits += u64::from(rig.shelf.0[&F].length() < length);
            longest_wait = longest_wait.max(waits);
            rig.pass(Duration::from_millis(50));
        }
        // The boasters are asked too, each at most once before it is known for one.
        let most = if say_nothing { 0 } else { 10 };
        assert!(longest_wait <= most, "fork {fork}: {longest_wait} x 50 ms without the honest one");
        assert!(rig.sync.growths.len() <= 9, "{}", rig.sync.growths.len());
    }
}
