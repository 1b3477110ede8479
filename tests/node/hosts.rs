//! Gannets that greet a node: what it wants of them, what it says to them, and what it is not told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gannet::crypto::hash::discovery_key;
use gannet::crypto::sign::KeyPair;
use gannet::host::HostId;
use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::Blocks;
use gannet::node::io::Input;
use gannet::reactor::Engine;
use gannet::swarm::balance::Bounds;
use gannet::wire::host::{
    Ask, BOOT_BYTES, Candidates, Close, Code, Continue, Hello, Message, VERSIONS, Versions,
};
use gannet::wire::ping::Pong;

use crate::streams::{MUTE, Rig, Stream};

fn hello(n: u8) -> Hello {
    Hello {
        versions: VERSIONS,
        host: HostId(KeyPair::from_seed([n; 32]).public()),
        boot: [n; BOOT_BYTES],
        number: 1,
        port: None,
        features: 0,
        seen: None,
        own: Vec::new(),
        holds: Vec::new(),
    }
}

fn bounds(max: usize) -> Bounds {
    Bounds { min: 1, target: 1, max }
}

/// A gannet that greets.
fn greet(rig: &mut Rig, n: u8) -> Stream {
    greet_with(rig, n, hello(n))
}

fn greet_with(rig: &mut Rig, n: u8, hello: Hello) -> Stream {
    let conn = rig.connect_from([10, 0, 0, n]);
    rig.greet_as(conn, n, Some(hello))
}

/// … and says continue.
fn meet(rig: &mut Rig, n: u8) -> Stream {
    let mut stream = greet(rig, n);
    go_on(rig, &mut stream);
    stream
}

fn go_on(rig: &mut Rig, stream: &mut Stream) {
    stream.say_host(|out| Continue { version: 1 }.encode(out));
    rig.talk(stream);
}

/// … and has the core.
fn join(rig: &mut Rig, stream: &mut Stream) {
    let key = rig.key();
    stream.session.open(&discovery_key(&key), &key, &mut stream.out).expect("it is up");
    rig.talk(stream);
}

fn said(stream: &Stream) -> Vec<Message<'_>> {
    let read = |bytes| Message::decode(bytes).expect("it speaks properly").expect("we know it");
    stream.heard.iter().map(|bytes| read(bytes)).collect()
}

fn close_of(stream: &Stream) -> Option<Close> {
    said(stream).into_iter().find_map(|message| match message {
        Message::Close(close) => Some(close),
        _ => None,
    })
}

#[test]
fn h01_hello_is_said_at_once_and_nothing_else_before_both_have_continued() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut stream = greet(&mut rig, 2);
    assert!(matches!(said(&stream)[..], [Message::Hello(_), Message::Continue(_)]));
    assert_eq!((stream.refused, rig.node.peer_count()), (0, 0));
    go_on(&mut rig, &mut stream);
    assert_eq!(rig.node.peer_count(), 0, "it has to show what it shares with us");
    join(&mut rig, &mut stream);
    assert_eq!(rig.node.peer_count(), 1);
    assert!(stream.live && !rig.ended(&stream));
}

#[test]
fn h10_a_core_before_continue_breaks_the_protocol() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut stream = greet(&mut rig, 2);
    join(&mut rig, &mut stream);
    assert!(rig.ended(&stream) && !stream.live);
    assert_eq!(rig.node.peer_count(), 0, "its place is free again");
}

#[test]
fn h04_versions_that_do_not_meet_are_said() {
    let mut rig = Rig::new(Blocks::Follow);
    let later = Hello { versions: Versions { first: 7, last: 9 }, ..hello(2) };
    let stream = greet_with(&mut rig, 2, later);
    let close = close_of(&stream).expect("it is told");
    assert_eq!((close.code, close.versions), (Code::Version, Some(VERSIONS)));
    assert!(rig.ended(&stream));
}

#[test]
fn h07_where_everything_is_paused_whoever_comes_is_told_so_and_when_to_come_again() {
    let mut rig = Rig::new(Blocks::Follow);
    let key = rig.key();
    let topic = rig.node.topic_of(&key).expect("it is kept");
    rig.change(|node, now, disk| assert!(node.pause_topic(now, topic, disk)));
    let stream = greet(&mut rig, 2);
    let close = close_of(&stream).expect("it is told");
    assert_eq!((close.code, close.retry), (Code::Paused, Some(limits::PAUSED_AGAIN)));
    assert!(rig.ended(&stream));
    rig.change(|node, now, disk| assert!(node.resume_topic(now, topic, disk)));
    let mut stream = meet(&mut rig, 3);
    join(&mut rig, &mut stream);
    assert!(stream.live && !rig.ended(&stream));
}

#[test]
fn h02_a_hello_of_another_connection_is_none() {
    let mut rig = Rig::new(Blocks::Follow);
    // Signed by a host that it does not name.
    let forged = Hello { host: HostId(KeyPair::from_seed([3; 32]).public()), ..hello(2) };
    let stream = greet_with(&mut rig, 2, forged);
    assert!(rig.ended(&stream) && rig.node.peer_count() == 0);
}

#[test]
fn h12_who_does_not_go_on_is_closed_in_time_however_many_bytes_come() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut stream = greet(&mut rig, 2);
    let mut mute = greet_with(&mut rig, 3, Hello { number: MUTE, ..hello(3) });
    for _ in 0..15 {
        rig.pass(Duration::from_secs(1));
        for stream in [&mut stream, &mut mute].into_iter() {
            stream.session.keepalive(&mut stream.out);
            rig.talk(stream);
        }
    }
    assert!(rig.ended(&stream) && rig.ended(&mute));
    let told = close_of(&stream).map(|close| close.code);
    assert_eq!(told, Some(Code::Timeout));
}

#[test]
fn h13_the_last_word_is_said_once_and_only_as_far_as_the_socket_takes_it() {
    let mut rig = Rig::bounded(Blocks::Follow, bounds(1));
    let mut first = meet(&mut rig, 2);
    join(&mut rig, &mut first);
    let full = greet(&mut rig, 3);
    assert_eq!(said(&full).len(), 2, "hello and close");
    assert!(rig.ended(&full));
}

#[test]
fn n03_at_the_maximum_who_comes_is_told_so_and_where_else_to_go() {
    let mut rig = Rig::bounded(Blocks::Follow, bounds(2));
    for n in 2..4 {
        let mut peer = meet(&mut rig, n);
        join(&mut rig, &mut peer);
    }
    let full = greet(&mut rig, 9);
    let close = close_of(&full).expect("it is told");
    assert_eq!((close.code, rig.node.peer_count()), (Code::Full, 2));
    assert!(close.retry.is_some_and(|wait| wait >= limits::FULL_SOON));
}

#[test]
fn h06_n06_two_connections_of_one_process_are_one_peer() {
    let mut rig = Rig::bounded(Blocks::Follow, bounds(1));
    let mut first = meet(&mut rig, 2);
    join(&mut rig, &mut first);
    // It has lost the first, it says.
    let again = Hello { number: 2, ..hello(2) };
    let mut second = greet_with(&mut rig, 2, again);
    assert!(close_of(&second).is_none(), "there is room for who is there");
    go_on(&mut rig, &mut second);
    join(&mut rig, &mut second);
    assert_eq!(rig.node.peer_count(), 1);
    assert!(rig.ended(&first) && !rig.ended(&second));
}

#[test]
fn h08_a_refusal_is_no_peer_that_left_and_its_place_is_free() {
    let mut rig = Rig::bounded(Blocks::Follow, bounds(1));
    let mut stream = greet(&mut rig, 2);
    let close = Close::new(Code::NotAllowed);
    stream.say_host(|out| close.encode(out));
    rig.talk(&mut stream);
    assert!(rig.ended(&stream));
    assert_eq!(rig.node.peer_count(), 0);
    let mut other = meet(&mut rig, 3);
    join(&mut rig, &mut other);
    assert!(!rig.ended(&other) && rig.node.peer_count() == 1);
}

#[test]
fn h09_who_continues_and_closes_frees_its_place_once() {
    let mut rig = Rig::bounded(Blocks::Follow, bounds(2));
    let mut stream = meet(&mut rig, 2);
    join(&mut rig, &mut stream);
    stream.say_host(|out| Close::new(Code::Finished).encode(out));
    rig.talk(&mut stream);
    rig.put(Input::Closed { conn: stream.conn, why: Ok(()) });
    assert_eq!(rig.node.peer_count(), 0);
    for n in 3..5 {
        let mut peer = meet(&mut rig, n);
        join(&mut rig, &mut peer);
        assert!(!rig.ended(&peer));
    }
    assert_eq!(rig.node.peer_count(), 2);
}

#[test]
fn k02_others_are_told_of_to_who_asks_and_has_the_core_and_not_often() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut peer = meet(&mut rig, 2);
    let core = discovery_key(&rig.key());
    let answers = |peer: &Stream| {
        said(peer).iter().filter(|message| matches!(message, Message::Candidates(_))).count()
    };
    let ask = |rig: &mut Rig, peer: &mut Stream| {
        peer.say_host(|out| Ask { core, count: 9 }.encode(out));
        rig.talk(peer);
    };
    ask(&mut rig, &mut peer);
    assert_eq!(answers(&peer), 0, "it does not have the core");
    join(&mut rig, &mut peer);
    for _ in 0..50 {
        ask(&mut rig, &mut peer);
    }
    assert_eq!(answers(&peer), 1);
    rig.pass(limits::ANSWER_EVERY);
    ask(&mut rig, &mut peer);
    assert_eq!(answers(&peer), 2);
}

#[test]
fn k02_what_nobody_asked_for_is_not_listened_to() {
    let mut rig = Rig::bounded(Blocks::Follow, Bounds { min: 2, target: 2, max: 8 });
    let mut peer = meet(&mut rig, 2);
    join(&mut rig, &mut peer);
    let core = discovery_key(&rig.key());
    let addrs: Vec<SocketAddr> = (0..32).map(|n| ([10, 7, 7, n], 3282).into()).collect();
    let tell = |rig: &mut Rig, peer: &mut Stream| {
        peer.say_host(|out| Candidates { core, addrs: addrs.clone() }.encode(out));
        rig.talk(peer);
    };
    tell(&mut rig, &mut peer);
    assert!(rig.dials.is_empty());
    rig.pass(limits::ASK_FIRST + Duration::from_millis(1));
    rig.talk(&mut peer);
    let asked = said(&peer).iter().any(|m| matches!(m, Message::Ask(ask) if ask.core == core));
    assert!(asked, "there are too few (N09)");
    tell(&mut rig, &mut peer);
    assert!(!rig.dials.is_empty());
    let before = rig.dials.len();
    tell(&mut rig, &mut peer);
    assert_eq!(rig.dials.len(), before, "once");
}

#[test]
fn h05_a_second_process_with_our_key_is_said_to_be_one() {
    let mut rig = Rig::new(Blocks::Follow);
    // The node's own static key, and another boot.
    let stream = greet_with(&mut rig, 1, hello(1));
    assert_eq!(close_of(&stream).map(|close| close.code), Some(Code::Cloned));
    assert!(rig.ended(&stream));
}

#[test]
fn l07_who_leaves_in_order_says_so() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut peer = meet(&mut rig, 2);
    join(&mut rig, &mut peer);
    rig.node.stop(rig.now, 0);
    rig.put(Input::Deadline);
    rig.talk(&mut peer);
    assert_eq!(close_of(&peer).map(|close| close.code), Some(Code::Shutdown));
}

#[test]
fn n02_who_shares_nothing_with_us_takes_nobodys_place() {
    let mut rig = Rig::bounded(Blocks::Follow, bounds(1));
    let strangers: Vec<Stream> = (2..6).map(|n| meet(&mut rig, n)).collect();
    assert_eq!(rig.node.peer_count(), 0);
    let mut peer = meet(&mut rig, 9);
    join(&mut rig, &mut peer);
    assert!(peer.live && !rig.ended(&peer) && rig.node.peer_count() == 1);
    // One of them may come to share something; there is no room for it any more.
    let mut late = strangers.into_iter().next().expect("there are four");
    join(&mut rig, &mut late);
    assert_eq!(close_of(&late).map(|close| close.code), Some(Code::Full));
    assert_eq!(rig.node.peer_count(), 1);
}

#[test]
fn n09_with_too_few_peers_others_are_asked_for_ever_more_rarely() {
    let mut rig = Rig::bounded(Blocks::Follow, Bounds { min: 2, target: 2, max: 8 });
    let mut peer = meet(&mut rig, 2);
    join(&mut rig, &mut peer);
    let mut asked = Vec::new();
    for second in 1..1000 {
        rig.pass(Duration::from_secs(1));
        peer.session.keepalive(&mut peer.out);
        rig.talk(&mut peer);
        let asks = said(&peer).iter().filter(|m| matches!(m, Message::Ask(_))).count();
        if asks > asked.len() {
            asked.push(second);
        }
    }
    assert!(asked[0] <= 3, "{asked:?}");
    let pauses: Vec<i32> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] >= 2 * pair[0] - 2), "{pauses:?}");
    assert!((3..=6).contains(&asked.len()), "{asked:?}");
}

#[test]
fn k07_where_a_peer_listens_is_looked_at_before_others_are_told_of_it() {
    let mut rig = Rig::new(Blocks::Follow);
    let mut peer = greet_with(&mut rig, 2, Hello { port: Some(4000), ..hello(2) });
    go_on(&mut rig, &mut peer);
    join(&mut rig, &mut peer);
    assert_eq!(rig.dials.len(), 1, "it is pinged there");
    let mut other = meet(&mut rig, 3);
    join(&mut rig, &mut other);
    let core = discovery_key(&rig.key());
    other.say_host(|out| Ask { core, count: 9 }.encode(out));
    rig.talk(&mut other);
    let told = said(&other).into_iter().find_map(|message| match message {
        Message::Candidates(said) => Some(said.addrs),
        _ => None,
    });
    assert_eq!(told, Some(Vec::new()), "nobody has answered there");
}

#[test]
fn k08_where_most_see_us_is_told_to_others_and_looked_at_as_one_more_place_of_theirs() {
    let mut rig = Rig::new(Blocks::Follow);
    let ours: IpAddr = [203, 0, 112, 5].into();
    let told = |rig: &mut Rig, from: [u8; 4], seen: Option<IpAddr>, own: Vec<IpAddr>| {
        let n = from[2];
        let conn = rig.connect_from(from);
        let hello = Hello { port: Some(4000), seen, own, ..hello(n) };
        let mut stream = rig.greet_as(conn, n, Some(hello));
        let greeting = match &said(&stream)[..] {
            [Message::Hello(greeting), ..] => greeting.claimed().clone(),
            _ => panic!("it greets"),
        };
        assert_eq!(greeting.seen, Some(from.into()));
        go_on(rig, &mut stream);
        join(rig, &mut stream);
        (stream, greeting.own)
    };
    let mut streams = Vec::new();
    for n in 7..=9 {
        let (stream, own) = told(&mut rig, [80, 1, n, 1], Some(ours), Vec::new());
        assert!(own.is_empty(), "two networks are not enough");
        streams.push(stream);
    }
    // Who says something else changes nothing, nor does who is in a network of its own.
    let (stream, own) = told(&mut rig, [80, 1, 4, 1], Some([66, 6, 6, 6].into()), Vec::new());
    assert_eq!(own, [ours]);
    streams.push(stream);
    assert_eq!(told(&mut rig, [10, 1, 5, 1], Some([66, 6, 6, 6].into()), Vec::new()).1, [ours]);
    // A pinged place fails: the next one is looked at. Of where it says that it is there is one more.
    let places = |rig: &mut Rig, own: Vec<IpAddr>| {
        let mut fresh = Rig::new(Blocks::Follow);
        std::mem::swap(rig, &mut fresh);
        let (_stream, _) = told(rig, [80, 1, 6, 1], None, own);
        let mut count = 0;
        while let Some(tag) = rig.dials.pop() {
            count += 1;
            let conn = Err(std::io::ErrorKind::ConnectionRefused.into());
            rig.put(Input::Dialed { tag, conn });
        }
        count
    };
    assert_eq!(places(&mut rig, Vec::new()), 1);
    assert_eq!(places(&mut rig, vec![[80, 1, 6, 1].into()]), 1, "it comes from there");
    assert_eq!(places(&mut rig, vec![[90, 2, 2, 2].into()]), 2);
    assert_eq!(places(&mut rig, vec![[192, 168, 2, 2].into()]), 1, "that is good nowhere else");
}

#[test]
fn k08_a_word_counts_of_peers_only_and_as_long_as_they_are_there() {
    let mut rig = Rig::new(Blocks::Follow);
    let ours: IpAddr = [203, 0, 112, 5].into();
    let seen = |rig: &mut Rig| rig.node.status(rig.now, &mut rig.disk).seen;
    let mut streams = Vec::new();
    for n in 2..=6 {
        let conn = rig.connect_from([80, 1, n, 1]);
        let hello = Hello { seen: Some(ours), ..hello(n) };
        streams.push(rig.greet_as(conn, n, Some(hello)));
    }
    assert_eq!(seen(&mut rig), [] as [IpAddr; 0], "they have not said continue");
    for stream in &mut streams[..3] {
        go_on(&mut rig, stream);
        join(&mut rig, stream);
    }
    assert_eq!(seen(&mut rig), [ours]);
    let hour = |rig: &mut Rig, streams: &mut [Stream]| {
        for _ in 0..1200 {
            rig.pass(Duration::from_secs(3));
            for stream in streams.iter_mut() {
                stream.session.keepalive(&mut stream.out);
                rig.talk(stream);
            }
        }
    };
    for _ in 0..3 {
        hour(&mut rig, &mut streams[..3]);
    }
    assert_eq!(seen(&mut rig), [ours], "they are there");
    for stream in &streams[..3] {
        rig.put(Input::Closed { conn: stream.conn, why: Ok(()) });
    }
    hour(&mut rig, &mut []);
    assert_eq!(seen(&mut rig), [ours]);
    hour(&mut rig, &mut []);
    assert_eq!(seen(&mut rig), [] as [IpAddr; 0]);
}

#[test]
fn k08_where_another_host_answers_no_peer_is_said_to_be() {
    for (answers, places) in [(2, 2), (3, 0)] {
        let mut rig = Rig::new(Blocks::Follow);
        let own = vec![[203, 0, 113, 9].into()];
        let hello = Hello { port: Some(4000), own, ..hello(2) };
        let conn = rig.connect_from([80, 1, 2, 1]);
        let mut peer = rig.greet_as(conn, 2, Some(hello));
        go_on(&mut rig, &mut peer);
        join(&mut rig, &mut peer);
        for dial in 0..2 {
            let conn = ConnId { slot: 900 + dial, generation: 1 };
            let tag = rig.dials[dial as usize];
            rig.put(Input::Dialed { tag, conn: Ok(conn) });
            let (mut ping, mut pong) = (Vec::new(), Vec::new());
            rig.node.poll_frames(rig.now, conn, &mut ping, 1 << 10, &mut rig.disk);
            let nonce = ping[4..20].try_into().expect("a ping");
            let host = HostId(KeyPair::from_seed([answers; 32]).public());
            Pong::new(nonce, host, 0).encode(&mut pong);
            rig.node.bytes(rig.now, conn, &mut pong, &mut rig.disk);
            rig.put(Input::Deadline);
        }
        let mut other = meet(&mut rig, 4);
        join(&mut rig, &mut other);
        let core = discovery_key(&rig.key());
        other.say_host(|out| Ask { core, count: 9 }.encode(out));
        rig.talk(&mut other);
        let addrs = said(&other).into_iter().find_map(|message| match message {
            Message::Candidates(said) => Some(said.addrs),
            _ => None,
        });
        let all: [SocketAddr; 2] = [([80, 1, 2, 1], 4000).into(), ([203, 0, 113, 9], 4000).into()];
        let mut addrs = addrs.expect("an answer");
        addrs.sort_unstable();
        assert_eq!(addrs, all[..places], "host {answers} answers");
    }
}

#[test]
fn n08_with_enough_peers_somebody_else_is_looked_at_now_and_then_so_that_islands_meet() {
    let mut rig = Rig::bounded(Blocks::Follow, Bounds { min: 2, target: 2, max: 8 });
    let mut peers = vec![meet(&mut rig, 2)];
    join(&mut rig, &mut peers[0]);
    let second = |rig: &mut Rig, peers: &mut Vec<Stream>| {
        rig.pass(Duration::from_secs(1));
        for peer in peers {
            peer.session.keepalive(&mut peer.out);
            rig.talk(peer);
        }
    };
    while !said(&peers[0]).iter().any(|message| matches!(message, Message::Ask(_))) {
        second(&mut rig, &mut peers);
    }
    // It tells of somebody who is not to be reached at the moment.
    let addrs = vec![SocketAddr::from(([10, 0, 0, 77], 3282))];
    let core = discovery_key(&rig.key());
    peers[0].say_host(|out| Candidates { core, addrs }.encode(out));
    rig.talk(&mut peers[0]);
    let tag = rig.dials.pop().expect("there are too few: it is dialled");
    rig.put(Input::Dialed { tag, conn: Err(std::io::ErrorKind::ConnectionRefused.into()) });
    let mut other = meet(&mut rig, 3);
    join(&mut rig, &mut other);
    peers.push(other);
    // Enough now: nobody is dialled, but after a while it is looked whether he is there.
    let mut looked = Vec::new();
    for at in 1..=500 {
        second(&mut rig, &mut peers);
        if let Some(tag) = rig.dials.pop() {
            looked.push(at);
            rig.put(Input::Dialed { tag, conn: Err(std::io::ErrorKind::ConnectionRefused.into()) });
        }
    }
    let every = limits::PROBE_EVERY.as_secs() as i32;
    assert!(looked[0] >= every / 2 && looked[0] <= 2 * every, "{looked:?}");
    assert!((2..=5).contains(&looked.len()), "{looked:?}");
}
