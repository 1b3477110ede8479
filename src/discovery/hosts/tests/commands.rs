//! Leaving, being told to stop, what is not known, and commands on connections.

use super::*;

#[test]
fn m15_who_leaves_is_forgotten_and_the_word_is_passed_on_once() {
    let mut wire = Wire::of(5);
    wire.run(Duration::from_secs(15));
    // One hears nothing that goes to everybody: others tell it.
    wire.posts.iter_mut().for_each(|post| post.sent.clear());
    wire.posts[4].hosts.leave();
    wire.no_multicast = false;
    let word = wire.take_sent(4);
    assert_eq!(kinds(&word), [5]);
    wire.run(Duration::from_secs(1));
    assert!((0..4).all(|post| !wire.knows(post, id(5))));
    let passed: Vec<usize> = (0..4)
        .map(|post| kinds(&wire.take_sent(post)).iter().filter(|kind| **kind == 5).count())
        .collect();
    assert!(passed.iter().all(|count| (1..=3).contains(count)), "{passed:?}");
    // Said again it does nothing, and is not passed on.
    wire.tell(0, udp(2), &word[0].1);
    assert!(!kinds(&wire.take_sent(0)).contains(&5));
    // Nothing that it said before brings it back.
    assert_eq!(wire.posts[4].hosts.next_deadline(), None);
    wire.run(Duration::from_secs(120));
    assert!((0..4).all(|post| !wire.knows(post, id(5))));
}

#[test]
fn m15_nobody_says_for_another_that_he_leaves() {
    let mut wire = Wire::of(2);
    wire.run(Duration::from_secs(1));
    let mut actor = Actor::new(7);
    actor.meet(&mut wire, 0, 7, 5);
    // In the name of the life of another one.
    actor.boot = boot(2);
    let word = actor.say(Body::Leaving);
    wire.tell(0, udp(2), &word);
    assert!(wire.knows(0, id(2)) && wire.knows(0, id(7)));
}

#[test]
fn m15_a_command_to_stop_is_off_unless_its_key_is_named() {
    let mut wire = Wire::new();
    wire.add_with(Settings { stoppers: vec![id(7)], ..settings(1, 1) }, 1);
    wire.add(2);
    wire.run(Duration::from_secs(1));
    let (mut admin, mut other) = (Actor::new(7), Actor::new(8));
    let stop = |life: Boot| Body::ShutdownHost { challenge: [4; 16], life };
    let silent = |wire: &mut Wire, post: usize, bytes: &[u8]| {
        let (before, at) = (wire.counts(post).unauthorised, udp(70));
        wire.now += Duration::from_millis(300);
        wire.take_sent(post);
        wire.tell(post, at, bytes);
        let sent = wire.take_sent(post);
        assert!(sent.iter().all(|(to, _)| *to != at), "it is not answered");
        assert_eq!(wire.counts(post).unauthorised, before + 1);
        let stopped = |said: &Output| matches!(said, Output::Stop { .. });
        assert!(!wire.posts[post].said.iter().any(stopped));
    };
    // Another key; everybody where nobody was named; no target; another life; another host.
    silent(&mut wire, 0, &other.say_to(Some(id(1)), stop(boot(1)), 0));
    silent(&mut wire, 1, &admin.say_to(Some(id(2)), stop(boot(2)), 0));
    silent(&mut wire, 0, &admin.say_to(None, stop(boot(1)), 0));
    silent(&mut wire, 0, &admin.say_to(Some(id(1)), stop(boot(9)), 0));
    wire.tell(0, udp(70), &admin.say_to(Some(id(2)), stop(boot(2)), 0));
    // The right one is answered, told once, and the word goes round.
    let order = admin.say_to(Some(id(1)), stop(boot(1)), 0);
    wire.tell(0, udp(70), &order);
    wire.tell(0, udp(70), &order);
    let sent = wire.take_sent(0);
    let answer = sent.iter().find(|(to, _)| *to == udp(70)).expect("answered");
    assert!(matches!(heard(&answer.1).body, Body::Done { echo } if echo == [4; 16]));
    let stops = wire.posts[0].said.iter().filter(|said| matches!(said, Output::Stop { .. }));
    assert_eq!(stops.count(), 1);
    assert!(!wire.knows(1, id(1)));
    // The next life of that process does not hear the old order.
    wire.posts.remove(0);
    let next = wire.add_with(Settings { stoppers: vec![id(7)], ..settings(1, 11) }, 1);
    silent(&mut wire, next, &order);
}

#[test]
fn m15_a_host_that_may_stops_another() {
    let mut wire = Wire::new();
    wire.add_with(Settings { stoppers: vec![id(2)], ..settings(1, 1) }, 1);
    wire.add(2);
    wire.run(Duration::from_secs(5));
    let now = wire.now;
    assert!(!wire.posts[1].hosts.shut_down(now, id(9)), "nobody knows that one");
    assert!(wire.posts[1].hosts.shut_down(now, id(1)));
    wire.deliver();
    assert!(wire.posts[0].said.contains(&Output::Stop { by: id(2) }));
    assert!(wire.posts[1].said.contains(&Output::Stopped { host: id(1) }));
    assert!(!wire.knows(1, id(1)));
}

#[test]
fn m16_a_command_that_is_not_known_is_said_so_once_a_minute() {
    let mut wire = Wire::of(1);
    let mut actor = Actor::new(7);
    let refusals = |wire: &mut Wire, actor: &mut Actor, seconds: u64| {
        let mut count = 0;
        for _ in 0..seconds {
            wire.run(Duration::from_secs(1));
            wire.take_sent(0);
            let bytes = actor.say_to(None, Body::Other(77), 600);
            wire.tell(0, udp(7), &bytes);
            for (to, bytes) in wire.take_sent(0) {
                let command = heard(&bytes);
                if to == udp(7) && matches!(command.body, Body::Unsupported { kind: 77 }) {
                    assert_eq!(command.target, Some(id(7)));
                    count += 1;
                }
            }
        }
        count
    };
    assert_eq!(refusals(&mut wire, &mut actor, 30), 0, "a stranger is not even told");
    actor.meet(&mut wire, 0, 7, 5);
    assert_eq!(refusals(&mut wire, &mut actor, 50), 1);
    assert_eq!(refusals(&mut wire, &mut actor, 60), 1);
    assert_eq!(wire.counts(0).unknown, 140);
    // And nobody is told that "not known" is not known.
    let bytes = actor.say(Body::Unsupported { kind: 1 });
    wire.tell(0, udp(7), &bytes);
    assert!(!kinds(&wire.take_sent(0)).contains(&8));
}

#[test]
fn m16_the_same_commands_go_over_connections() {
    let mut wire = Wire::of(1);
    let mut actor = Actor::new(7);
    let now = wire.now;
    let to_peer = |wire: &mut Wire| -> Vec<Vec<u8>> {
        let all = std::iter::from_fn(|| wire.posts[0].hosts.poll_output());
        all.filter_map(|output| match output {
            Output::ToPeer { host, bytes } => (host == id(7)).then_some(bytes),
            _ => None,
        })
        .collect()
    };
    wire.posts[0].hosts.peer_joined(now, id(7));
    let asked = to_peer(&mut wire);
    let Body::Ping { challenge, .. } = heard(&asked[0]).body else { panic!("{asked:?}") };
    let record = actor.record(5, &[ip(7)]);
    let pong = pong_of(challenge, &record);
    let pong = actor.say(pong);
    wire.posts[0].hosts.receive_from_peer(now, id(7), &pong);
    assert!(wire.posts[0].hosts.known().any(|known| known.host() == id(7) && known.is_live()));
    assert!(wire.posts[0].found.is_empty(), "where it listens is not proven by that");
    // It may store, and is asked in searches; but speaks for nobody else.
    let other = Actor::new(8).record(1, &[ip(8)]);
    let store = actor.say(Body::StoreHost { token: [0; 16], record: other.bytes() });
    wire.posts[0].hosts.receive_from_peer(now, id(7), &store);
    assert!(wire.posts[0].hosts.known().any(|known| known.host() == id(8)));
    let foreign = Actor::new(9).ping();
    wire.posts[0].hosts.receive_from_peer(now, id(7), &foreign);
    assert_eq!(wire.counts(0).unasked, 1);
    to_peer(&mut wire);
    assert_eq!(wire.posts[0].hosts.find(now, id(99)), Finding::Searching);
    let asked = to_peer(&mut wire);
    assert!(matches!(heard(&asked[0]).body, Body::FindHost { wanted, .. } if wanted == id(99)));
    // Questions are answered on the connection, whole.
    let find = actor.say(Body::FindHost { challenge: [1; 16], wanted: id(8) });
    wire.posts[0].hosts.receive_from_peer(now, id(7), &find);
    let answers = to_peer(&mut wire);
    assert!(matches!(heard(&answers[0]).body, Body::Found { records, .. } if !records.is_empty()));
    wire.posts[0].hosts.peer_left(id(7));
    wire.posts[0].hosts.leave();
    assert!(to_peer(&mut wire).is_empty());
}
