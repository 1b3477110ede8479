//! Cores and drives that are paused, go on and are removed while their peers are connected.

use std::time::Duration;

use gannet::crypto::sign::KeyPair;
use gannet::limits;
use gannet::node::TopicId;
use gannet::node::event::Event;
use gannet::node::io::Input;
use gannet::node::status::Status;
use gannet::store::Keys;

use crate::disk::Faults;
use crate::pair::{Pair, address, stored, writer};

const BLOCKS: usize = 200;

/// The first side has a core of its own, the second fetches it.
fn fetching(blocks: usize, keys: Keys) -> (Pair, [TopicId; 2]) {
    let mut pair = Pair::new();
    let now = pair.now;
    let mut reader = keys.clone();
    reader.secret = None;
    let ours = pair.sides[0].keep_many(now, keys, blocks);
    let theirs = pair.sides[1].keep(now, reader);
    pair.sides[1].node.add_peer_everywhere(now, "10.0.0.1:3282").expect("an address");
    pair.put(1, Input::Deadline);
    (pair, [ours, theirs])
}

fn change(
    pair: &mut Pair,
    side: usize,
    what: impl FnOnce(&mut gannet::node::Node, &mut crate::disk::SimDisk) -> bool,
) {
    assert!(pair.sides[side].call(what));
    pair.outputs(side);
}

/// Lets them talk until some blocks have come, but not all.
fn midway(pair: &mut Pair) -> usize {
    for _ in 0..1000 {
        pair.carry(0);
        pair.carry(1);
        let some = stored(&pair.sides[1].events());
        if some > 0 {
            assert!(some < BLOCKS, "all came at once");
            return some;
        }
    }
    panic!("nothing comes");
}

fn kinds() -> [Keys; 2] {
    let pair = KeyPair::from_seed([5; 32]);
    [writer(4), Keys::dat(pair.public(), Some(pair), true)]
}

#[test]
fn d02_what_is_paused_is_not_fetched_and_goes_on_without_a_block_twice() {
    for keys in kinds() {
        let (mut pair, [_, topic]) = fetching(BLOCKS, keys);
        let some = midway(&mut pair);
        let now = pair.now;
        change(&mut pair, 1, |node, disk| node.pause_topic(now, topic, disk));
        assert!(!pair.sides[1].call(|node, disk| node.pause_topic(now, topic, disk)));
        pair.pass(Duration::from_secs(600));
        assert_eq!(stored(&pair.sides[1].events()), 0, "a paused core is fetched");
        let status = pair.sides[1].call(|node, disk| node.status(now, disk));
        assert!(status.feeds[0].paused && status.feeds[0].have == some as u64);
        assert_eq!(status.candidates, []);
        let now = pair.now;
        change(&mut pair, 1, |node, disk| node.resume_topic(now, topic, disk));
        assert!(!pair.sides[1].call(|node, disk| node.resume_topic(now, topic, disk)));
        pair.pass(Duration::from_secs(60));
        assert_eq!(some + stored(&pair.sides[1].events()), BLOCKS);
        let said = pair.said[0];
        assert!(said < 3 * 100 * BLOCKS, "{said} bytes for {BLOCKS} blocks");
    }
}

#[test]
fn d02_what_is_paused_is_not_served_and_peers_get_it_when_it_goes_on() {
    for keys in kinds() {
        let (mut pair, [topic, _]) = fetching(BLOCKS, keys);
        let some = midway(&mut pair);
        let now = pair.now;
        change(&mut pair, 0, |node, disk| node.pause_topic(now, topic, disk));
        pair.talk();
        // What was in the other one's socket may still come in.
        let some = some + stored(&pair.sides[1].events());
        pair.pass(Duration::from_secs(120));
        assert_eq!(stored(&pair.sides[1].events()), 0, "a paused core is served");
        assert!(some < BLOCKS);
        let now = pair.now;
        change(&mut pair, 0, |node, disk| node.resume_topic(now, topic, disk));
        pair.pass(Duration::from_secs(600));
        assert_eq!(some + stored(&pair.sides[1].events()), BLOCKS);
    }
}

#[test]
fn f04_a_core_that_goes_on_is_opened_on_the_stream_that_stands() {
    let (mut pair, [topic, _]) = fetching(1, writer(4));
    pair.talk();
    let now = pair.now;
    pair.sides[0].keep(now, writer(5));
    let other = Keys::core(writer(5).public);
    pair.sides[1].keep(now, other);
    pair.talk();
    assert_eq!(stored(&pair.sides[1].events()), 2);
    change(&mut pair, 0, |node, disk| node.pause_topic(now, topic, disk));
    pair.talk();
    let peers = pair.sides[1].call(|node, disk| node.status(now, disk)).peers;
    assert_eq!(peers.len(), 1, "the stream is about the other core, too");
    change(&mut pair, 0, |node, disk| node.resume_topic(now, topic, disk));
    pair.talk();
    let open = |pair: &mut Pair| {
        let status = pair.sides[0].call(|node, disk| node.status(now, disk));
        status.feeds.iter().map(|feed| feed.peers).collect::<Vec<_>>()
    };
    assert_eq!(open(&mut pair), [1, 1]);
    let dials = pair.dials.iter().filter(|(side, _)| *side == 1);
    assert_eq!(dials.count(), 1, "one stream does");
}

#[test]
fn d10_what_is_removed_is_closed_in_order_and_its_lock_is_free() {
    for keys in kinds() {
        let mut reader = keys.clone();
        reader.secret = None;
        let (mut pair, [_, topic]) = fetching(BLOCKS, keys);
        let some = midway(&mut pair);
        let now = pair.now;
        pair.sides[1].device.set_faults(Faults { cold: 4, cold_tries: 3, ..Faults::default() });
        change(&mut pair, 1, |node, disk| node.remove_topic(now, topic, disk));
        assert!(!pair.sides[1].call(|node, disk| node.remove_topic(now, topic, disk)));
        pair.pass(Duration::from_secs(5));
        assert!(!pair.sides[1].node.has_topic(topic));
        let events = pair.sides[1].events();
        let gone = |event: &Event| matches!(event, Event::Topic { state: "removed", .. });
        assert_eq!((events.iter().filter(|e| gone(e)).count(), stored(&events)), (1, 0));
        let status = pair.sides[1].call(|node, disk| node.status(now, disk));
        assert!(status.feeds.is_empty() && status.peers.is_empty());
        // It can be kept again, and goes on where it was: nothing has to be recovered.
        pair.sides[1].device.set_faults(Faults::default());
        let now = pair.now;
        let again = pair.sides[1].keep(now, reader);
        assert_ne!(again, topic);
        pair.sides[1].node.add_peer(now, again, "10.0.0.1:3282").expect("an address");
        pair.pass(Duration::from_secs(60));
        assert_eq!(some + stored(&pair.sides[1].events()), BLOCKS);
    }
}

#[test]
fn a_topic_that_rests_can_be_removed_and_nothing_is_heard_of_it() {
    let (mut pair, [topic, _]) = fetching(1, writer(4));
    pair.talk();
    let now = pair.now;
    change(&mut pair, 0, |node, disk| node.pause_topic(now, topic, disk));
    change(&mut pair, 0, |node, disk| node.remove_topic(now, topic, disk));
    pair.talk();
    assert!(!pair.sides[0].node.has_topic(topic));
    assert!(!pair.sides[0].call(|node, disk| node.resume_topic(now, topic, disk)));
    assert_eq!(pair.sides[0].node.topic_of(&writer(4).public), None);
    pair.pass(3 * limits::REOPEN_AFTER);
    assert_eq!(pair.sides[0].call(|node, disk| node.status(now, disk)).feeds, []);
}

fn status(pair: &mut Pair, side: usize) -> Status {
    let now = pair.now;
    pair.sides[side].call(|node, disk| node.status(now, disk))
}

/// What the user is warned of.
fn warnings(events: &[Event]) -> Vec<&str> {
    let all = events.iter();
    let said = all.filter_map(|event| match event {
        Event::Warning { text } => Some(text.as_str()),
        _ => None,
    });
    said.collect()
}

const PAUSED: &str = "10.0.0.1:3282 has paused what this host wants of it; it is tried again";

/// The second side is told that what it wants is paused, comes again as seldom as it is told, and has a call
/// soon after the first side goes on.
fn is_told_and_called_back(pair: &mut Pair, topic: TopicId) {
    let events = pair.sides[1].events();
    assert_eq!(warnings(&events), [PAUSED]);
    let seen = status(pair, 1);
    assert_eq!((seen.peers.len(), seen.candidates.len()), (0, 1), "{seen:?}");
    let candidate = &seen.candidates[0];
    assert_eq!((candidate.addr, candidate.why), (address(0), "peer-paused"));
    let rests = candidate.retry_in_s.expect("it is tried again");
    assert!((40..=75).contains(&rests), "{candidate:?}");
    assert!(status(pair, 0).peers.is_empty());
    let dials = |pair: &Pair, side| pair.dials.iter().filter(|(of, _)| *of == side).count();
    let before = [0, 1].map(|side| dials(pair, side));
    pair.pass(Duration::from_secs(300));
    let again = dials(pair, 1) - before[1];
    assert!((3..=7).contains(&again), "{again} dials in five minutes");
    assert_eq!(dials(pair, 0), before[0], "who has paused it calls nobody");
    // It is said once.
    let events = pair.sides[1].events();
    assert_eq!((warnings(&events).len(), stored(&events)), (0, 0));
    let (now, begin) = (pair.now, pair.dials.len());
    change(pair, 0, |node, disk| node.resume_topic(now, topic, disk));
    pair.pass(2 * limits::FORGIVEN_WITHIN);
    let since = &pair.dials[begin..];
    assert_eq!(since.first(), Some(&(0, address(1))), "{since:?}");
    assert_eq!(status(pair, 1).peers.len(), 1);
}

#[test]
fn h07_who_wants_what_is_paused_is_told_so_and_called_when_it_goes_on() {
    let (mut pair, [topic, _]) = fetching(BLOCKS, writer(4));
    let some = midway(&mut pair);
    let now = pair.now;
    change(&mut pair, 0, |node, disk| node.pause_topic(now, topic, disk));
    pair.talk();
    let some = some + stored(&pair.sides[1].events_but_warnings());
    is_told_and_called_back(&mut pair, topic);
    pair.pass(Duration::from_secs(10));
    assert_eq!(some + stored(&pair.sides[1].events()), BLOCKS);
}

#[test]
fn h07_who_wants_one_thing_that_is_paused_among_others_is_told_so_too() {
    let mut pair = Pair::new();
    let now = pair.now;
    let paused = pair.sides[0].keep(now, writer(4));
    pair.sides[0].keep(now, writer(5));
    change(&mut pair, 0, |node, disk| node.pause_topic(now, paused, disk));
    pair.sides[1].keep(now, Keys::core(writer(4).public));
    pair.sides[1].node.add_peer_everywhere(now, "10.0.0.1:3282").expect("an address");
    pair.put(1, Input::Deadline);
    pair.talk();
    assert_eq!(status(&mut pair, 1).peers.len(), 1, "it may want more than that");
    pair.pass(limits::PAUSED_GRACE + 2 * limits::TICK);
    is_told_and_called_back(&mut pair, paused);
    assert_eq!(stored(&pair.sides[1].events()), 1);
}

#[test]
fn h07_who_wants_other_things_too_stays_and_has_what_is_paused_once_it_goes_on() {
    let mut pair = Pair::new();
    let now = pair.now;
    let paused = pair.sides[0].keep(now, writer(4));
    pair.sides[0].keep(now, writer(5));
    change(&mut pair, 0, |node, disk| node.pause_topic(now, paused, disk));
    for number in [4, 5] {
        pair.sides[1].keep(now, Keys::core(writer(number).public));
    }
    pair.sides[1].node.add_peer_everywhere(now, "10.0.0.1:3282").expect("an address");
    pair.put(1, Input::Deadline);
    pair.pass(Duration::from_secs(10));
    let events = pair.sides[1].events();
    assert_eq!((stored(&events), warnings(&events).len()), (1, 0), "{events:?}");
    let now = pair.now;
    change(&mut pair, 0, |node, disk| node.resume_topic(now, paused, disk));
    pair.talk();
    assert_eq!(stored(&pair.sides[1].events()), 1);
    // (The first side has looked whether somebody listens where the other one says so.)
    assert_eq!(pair.dials.iter().filter(|(side, _)| *side == 1).count(), 1, "one stream does");
    assert_eq!(status(&mut pair, 0).peers.len(), 1);
}

#[test]
fn h07_who_wants_many_things_where_all_is_paused_comes_once_a_minute_for_all_of_them() {
    let mut pair = Pair::new();
    let now = pair.now;
    let topic = pair.sides[0].keep(now, writer(4));
    change(&mut pair, 0, |node, disk| node.pause_topic(now, topic, disk));
    for number in 4..24 {
        pair.sides[1].keep(now, Keys::core(writer(number).public));
    }
    pair.sides[1].node.add_peer_everywhere(now, "10.0.0.1:3282").expect("an address");
    pair.put(1, Input::Deadline);
    pair.pass(Duration::from_secs(600));
    let dials = pair.dials.iter().filter(|(side, _)| *side == 1).count();
    assert!((8..=14).contains(&dials), "{dials} dials in ten minutes");
    assert_eq!(warnings(&pair.sides[1].events()), [PAUSED]);
}
