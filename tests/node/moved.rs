//! Settings that change while peers are connected: where a node listens, and whether it looks for others.

use std::io::ErrorKind;
use std::net::SocketAddr;

use gannet::limits;
use gannet::node::Blocks;
use gannet::node::event::{Event, Interest, SubscriberId};
use gannet::node::io::{Input, Output};
use gannet::sys::{Endpoint, Interface};
use gannet::wire::host::Message;

use crate::streams::{Rig, Stream};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A node with a peer.
fn rig() -> (Rig, Stream, SubscriberId) {
    let mut rig = Rig::new(Blocks::Follow);
    let events = rig.node.subscribers.add(Interest::EVERYTHING).expect("room");
    let peer = rig.meet(7);
    assert!(peer.live);
    (rig, peer, events)
}

fn listen(rig: &mut Rig, to: &[&str]) {
    let to = to.iter().map(|text| at(text)).collect();
    rig.change(|node, now, _| node.set_listen(now, to, false));
}

fn wants(rig: &mut Rig) -> Vec<Output> {
    std::mem::take(&mut rig.wants)
}

/// The one listener that is asked for, and where.
fn asked(rig: &mut Rig) -> (u32, SocketAddr) {
    match wants(rig)[..] {
        [Output::Listen { tag, at: Endpoint::Tcp(at) }] => (tag, at),
        ref other => panic!("{other:?}"),
    }
}

fn stands(rig: &mut Rig, tag: u32, at: SocketAddr) {
    rig.put(Input::Listening { tag, at: Ok(Endpoint::Tcp(at)) });
}

fn fails(rig: &mut Rig, tag: u32, kind: ErrorKind) {
    rig.put(Input::Listening { tag, at: Err(kind.into()) });
}

fn listens(rig: &mut Rig) -> Vec<SocketAddr> {
    rig.node.status(rig.now, &mut rig.disk).listen
}

fn warnings(rig: &mut Rig, events: SubscriberId) -> Vec<String> {
    let all = std::iter::from_fn(|| rig.node.subscribers.next_event(events));
    let said = |event| match event {
        Event::Warning { text } => Some(text),
        _ => None,
    };
    all.filter_map(said).collect()
}

/// The port that a gannet is told which comes now.
fn told_port(rig: &mut Rig) -> Option<u16> {
    let hello = gannet::wire::host::Hello {
        versions: gannet::wire::host::VERSIONS,
        host: gannet::host::HostId(gannet::crypto::sign::KeyPair::from_seed([3; 32]).public()),
        boot: [3; gannet::wire::host::BOOT_BYTES],
        number: 1,
        port: None,
        features: 0,
        seen: None,
        own: Vec::new(),
        holds: Vec::new(),
    };
    let conn = rig.connect_from([10, 0, 0, 3]);
    let stream = rig.greet_as(conn, 3, Some(hello));
    let told = stream.heard.iter().find_map(|bytes| match Message::decode(bytes) {
        Ok(Some(Message::Hello(hello))) => hello.verify(stream.session.channel(false)),
        _ => None,
    });
    told.expect("it says hello").hello().port
}

#[test]
fn where_it_listens_changes_the_new_one_first_and_peers_stay() {
    let (mut rig, peer, events) = rig();
    assert_eq!(told_port(&mut rig), Some(3282));
    listen(&mut rig, &["0.0.0.0:4000"]);
    let (tag, to) = asked(&mut rig);
    assert_eq!((to, listens(&mut rig)), (at("0.0.0.0:4000"), vec![at("0.0.0.0:3282")]));
    stands(&mut rig, tag, to);
    assert!(matches!(wants(&mut rig)[..], [Output::Unlisten { tag: old }] if old != tag));
    assert_eq!(listens(&mut rig), [to]);
    assert!(!rig.ended(&peer));
    assert_eq!(told_port(&mut rig), Some(4000));
    // Once more the same is no change.
    listen(&mut rig, &["0.0.0.0:4000"]);
    assert!(wants(&mut rig).is_empty() && warnings(&mut rig, events).is_empty());
}

#[test]
fn where_it_cannot_listen_everything_stays_and_is_said_once_in_a_line() {
    let (mut rig, peer, events) = rig();
    listen(&mut rig, &["192.0.2.1:4000", "0.0.0.0:4001"]);
    let tags: Vec<u32> = wants(&mut rig)
        .iter()
        .map(|want| match want {
            Output::Listen { tag, .. } => *tag,
            other => panic!("{other:?}"),
        })
        .collect();
    stands(&mut rig, tags[1], at("0.0.0.0:4001"));
    fails(&mut rig, tags[0], ErrorKind::AddrNotAvailable);
    assert!(matches!(wants(&mut rig)[..], [Output::Unlisten { tag }] if tag == tags[1]));
    assert_eq!(listens(&mut rig), [at("0.0.0.0:3282")]);
    let said = warnings(&mut rig, events);
    assert!(said.len() == 1 && !said[0].contains('\n'), "{said:?}");
    assert!(said[0].starts_with("listen is not changed: 192.0.2.1:4000: "), "{said:?}");
    assert!(said[0].ends_with("peers are still awaited at 0.0.0.0:3282"), "{said:?}");
    assert!(!rig.ended(&peer));
    // It is tried again when the user says so.
    listen(&mut rig, &["192.0.2.1:4000"]);
    let (tag, to) = asked(&mut rig);
    stands(&mut rig, tag, to);
    assert_eq!(listens(&mut rig), [to]);
}

#[test]
fn its_own_port_at_another_address_is_made_free_for_it_and_taken_back() {
    let (mut rig, peer, events) = rig();
    for good in [false, true] {
        listen(&mut rig, &["10.0.0.1:3282"]);
        let (tag, _) = asked(&mut rig);
        fails(&mut rig, tag, ErrorKind::AddrInUse);
        let [Output::Unlisten { .. }, Output::Listen { tag, at: Endpoint::Tcp(to) }] =
            wants(&mut rig)[..]
        else {
            panic!("the old one goes first")
        };
        assert_eq!(to, at("10.0.0.1:3282"));
        if good {
            stands(&mut rig, tag, to);
            assert_eq!(listens(&mut rig), [to]);
            continue;
        }
        fails(&mut rig, tag, ErrorKind::AddrInUse);
        let (tag, to) = asked(&mut rig);
        assert_eq!(to, at("0.0.0.0:3282"));
        stands(&mut rig, tag, to);
        assert_eq!(listens(&mut rig), [to]);
        assert_eq!(warnings(&mut rig, events).len(), 1);
    }
    assert!(!rig.ended(&peer));
}

#[test]
fn a_change_that_comes_while_another_is_under_way_takes_its_place() {
    let (mut rig, _, _) = rig();
    listen(&mut rig, &["0.0.0.0:4000"]);
    let (first, _) = asked(&mut rig);
    listen(&mut rig, &["0.0.0.0:5000"]);
    let (second, to) = asked(&mut rig);
    stands(&mut rig, first, at("0.0.0.0:4000"));
    assert!(matches!(wants(&mut rig)[..], [Output::Unlisten { tag }] if tag == first));
    stands(&mut rig, second, to);
    assert_eq!(listens(&mut rig), [to]);
}

#[test]
fn others_are_looked_for_from_now_on_and_no_more_and_again() {
    let (mut rig, peer, _) = rig();
    let wire = Interface {
        index: 2,
        name: "eth0".into(),
        address: [10, 0, 0, 1].into(),
        loopback: false,
        multicast: true,
    };
    rig.put(Input::Interfaces(vec![wire]));
    for _ in 0..2 {
        rig.change(|node, now, disk| node.set_discovery(now, true, disk));
        let (mut bound, mut joined) = (Vec::new(), 0);
        while !rig.wants.is_empty() {
            for want in wants(&mut rig) {
                match want {
                    Output::Bind { tag, bind } => {
                        bound.push(tag);
                        rig.put(Input::Bound { tag, at: Ok(bind.at) });
                    }
                    Output::Join { .. } => joined += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        // Multicast DNS, and for hosts one for all and one of its own in each family.
        assert_eq!(bound.len(), 5, "{bound:?}");
        rig.pass(limits::TICK);
        let later = wants(&mut rig);
        assert!(later.iter().all(|want| matches!(want, Output::Join { .. })), "{later:?}");
        assert!(joined + later.len() >= 2, "it hears neither of dat.local nor of hosts");
        rig.change(|node, now, disk| node.set_discovery(now, false, disk));
        let mut closed: Vec<u32> = wants(&mut rig)
            .iter()
            .map(|want| match want {
                Output::Unlisten { tag } => *tag,
                other => panic!("{other:?}"),
            })
            .collect();
        closed.sort_unstable();
        bound.sort_unstable();
        assert_eq!(closed, bound);
        rig.pass(3 * limits::TICK);
        assert!(rig.wants.is_empty(), "{:?}", rig.wants);
    }
    assert!(!rig.ended(&peer));
}
