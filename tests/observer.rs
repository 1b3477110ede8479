//! A program that embeds gannet as a library: two nodes in one thread, each in a loop of its own, over
//! loopback; observers hear what happens, and one that is slow gets a marked gap.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};

use gannet::daemon::config::{Config, Listen, Rates, Run};
use gannet::daemon::open;
use gannet::limits;
use gannet::link::Link;
use gannet::node::event::{Event, Interest, Observer, Role};
use gannet::node::{self, Node};
use gannet::reactor::{Reactor, Tuning};
use gannet::sys::Sys;
use gannet::sys::linux::{LinuxSys, Signals};

/// Keeps what it heard where the test can look.
#[derive(Clone, Default)]
struct Ear(Rc<RefCell<Vec<Event>>>);

impl Observer for Ear {
    fn event(&mut self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

impl Ear {
    fn heard(&self, like: impl Fn(&Event) -> bool) -> bool {
        self.0.borrow().iter().any(like)
    }
}

type Loop = Reactor<LinuxSys, Node>;

/// A node as an embedding program makes it, with its observer there before anything is opened.
fn embed(run: Run, keys: &Path, ear: &Ear) -> Loop {
    let mut sys = LinuxSys::new(Signals::Leave).expect("this system");
    let mut id = [0; 32];
    sys.entropy(&mut id);
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        run,
        peers: Vec::new(),
        listen: Listen::At(at),
        discovery: false,
        connections: None,
        rates: Rates::default(),
        exec: None,
        secret_keys: Some(keys.to_owned()),
        data: None,
        signals: false,
        print: None,
    };
    let node_config =
        node::Config { id, seed: 7, listen: vec![at], pid: 1, ..node::Config::default() };
    let now = sys.now();
    let mut node = Node::new(node_config, now);
    assert!(node.subscribers.observe(Box::new(ear.clone())));
    std::fs::create_dir_all(open_dir(&config.run).join(".dat")).expect("a folder");
    open::run(&mut node, &mut sys, &config).expect("opened");
    let mut reactor = Reactor::new(sys, node, Tuning::default());
    reactor.with(|node, now, _| node.start(now));
    reactor
}

fn open_dir(run: &Run) -> &Path {
    match run {
        Run::Share { dir, .. } | Run::Clone { dir, .. } => dir,
        _ => unreachable!("drives only"),
    }
}

/// Turns all loops until `done`, none of them sleeping for long.
fn turn(loops: &mut [&mut Loop], done: impl Fn() -> bool) {
    let end = Clock::now() + Duration::from_secs(60);
    while !done() {
        assert!(Clock::now() < end, "it takes too long");
        for reactor in &mut *loops {
            let wall = reactor.sys().wall();
            reactor.engine_mut().set_wall(wall);
            let now = reactor.sys().now();
            reactor.engine_mut().wake_at(now + Duration::from_millis(5));
            assert_eq!(reactor.turn().expect("a turn"), None, "nobody asked it to end");
        }
    }
}

fn link_of(ear: &Ear) -> Option<(Link, SocketAddr)> {
    ear.0.borrow().iter().find_map(|event| match event {
        Event::Ready { link, listen, .. } => Some((link.parse().ok()?, *listen.first()?)),
        _ => None,
    })
}

#[test]
fn an_observer_sees_a_feed_opened_appended_stored_complete_cleared_and_peers_come_and_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let (from, to, keys) =
        (dir.path().join("from"), dir.path().join("to"), dir.path().join("keys"));
    std::fs::create_dir_all(&from).expect("a folder");
    std::fs::write(from.join("a.txt"), vec![1; 200_000]).expect("written");
    let (giver, taker) = (Ear::default(), Ear::default());
    let mut share = embed(Run::Share { dir: from.clone(), dat: true }, &keys, &giver);
    turn(&mut [&mut share], || {
        link_of(&giver).is_some() && giver.heard(|e| matches!(e, Event::Published { .. }))
    });
    assert!(giver.heard(|e| matches!(e, Event::FeedOpened { role: Role::Content, .. })));
    assert!(giver.heard(|e| matches!(e, Event::Appended { from: 0, .. })));
    let (link, at) = link_of(&giver).expect("it is ready");
    let run = Run::Clone { link, dir: to.clone(), once: false, only: Vec::new() };
    let mut clone = embed(run, &keys, &taker);
    // Nobody drains this one: it keeps what fits and says what does not.
    let slow = clone.engine_mut().subscribers.add(Interest::EVERYTHING).expect("room");
    clone.with(|node, now, _| node.add_peer_everywhere(now, &at.to_string())).expect("an address");
    turn(&mut [&mut share, &mut clone], || taker.heard(|e| matches!(e, Event::Complete { .. })));
    for role in [Role::Metadata, Role::Content] {
        assert!(taker.heard(|e| matches!(e, Event::FeedOpened { role: r, .. } if *r == role)));
    }
    assert!(taker.heard(|e| matches!(e, Event::PeerJoined { inbound: false, .. })));
    assert!(giver.heard(|e| matches!(e, Event::PeerJoined { inbound: true, .. })));
    assert!(taker.heard(|e| matches!(e, Event::Appended { .. })));
    let stored: u64 = (taker.0.borrow().iter())
        .map(|event| if let Event::BlockStored { bytes, .. } = event { *bytes } else { 0 })
        .sum();
    assert!(stored >= 200_000, "{stored} bytes");
    assert_eq!(std::fs::read(to.join("a.txt")).expect("there"), vec![1; 200_000]);
    // A new version lets the blocks of the old one go.
    std::fs::write(from.join("a.txt"), vec![2; 100_000]).expect("written");
    turn(&mut [&mut share, &mut clone], || {
        giver.heard(|e| matches!(e, Event::Cleared { .. }))
            && std::fs::read(to.join("a.txt")).is_ok_and(|bytes| bytes == vec![2; 100_000])
    });
    // Events beyond what a queue takes: many small files.
    for n in 0..limits::SUBSCRIBER_EVENTS {
        std::fs::write(from.join(format!("{n}")), [n as u8]).expect("written");
    }
    let put = || {
        let heard = taker.0.borrow();
        let paths = heard.iter().filter_map(|event| match event {
            Event::FilePut { path, .. } => Some(path.clone()),
            _ => None,
        });
        paths.collect::<BTreeSet<String>>().len()
    };
    turn(&mut [&mut share, &mut clone], || put() > limits::SUBSCRIBER_EVENTS);
    drop(share);
    turn(&mut [&mut clone], || taker.heard(|e| matches!(e, Event::PeerLeft { .. })));
    let subscribers = &mut clone.engine_mut().subscribers;
    let late: Vec<Event> = std::iter::from_fn(|| subscribers.next_event(slow)).collect();
    assert!(late.len() <= limits::SUBSCRIBER_EVENTS, "{} events kept", late.len());
    let missed: u64 =
        late.iter().map(|e| if let Event::Gap { missed } = e { *missed } else { 0 }).sum();
    assert!(matches!(late.last(), Some(Event::Gap { .. })), "{:?}", late.last());
    assert!(missed > 0 && !taker.heard(|e| matches!(e, Event::Gap { .. })));
    clone.with(|node, now, disk| node.close_all(now, disk));
}
