//! A run that is to end (`clone --once`, `core get`): it ends with what it was asked for and exit
//! code 0, or, when it meets nobody who has that, after [`limits::NO_PEERS_AFTER`] with exit code 6;
//! so too when those whom it met have left for good with something still to come.

use std::path::Path;

use gannet::crypto::sign::KeyPair;
use gannet::daemon::config::{Blocks, Run, Show};
use gannet::failure::Kind;
use gannet::limits;
use gannet::link::{Dialect, Key, Link};
use gannet::node::Node;
use gannet::store::Keys;

use crate::actor::Actor;
use crate::feeds;
use crate::swarm::Swarm;
use crate::world::SECOND;

const DIR: &str = "/feed";
/// Clocks that drift, and the turns in which it happens.
const SLACK: u64 = SECOND;

/// Who is there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Company {
    Nobody,
    /// An address where nobody listens.
    NobodyThere,
    /// Somebody with another feed.
    Stranger,
    /// Somebody who has the feed, and comes later.
    Owner,
    /// Somebody who has the feed so far, and leaves before there is what was asked for.
    Leaver,
}

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    swarm.calm_down();
    let company = match swarm.rng.below(8) {
        0 => Company::Nobody,
        1 => Company::NobodyThere,
        2 => Company::Stranger,
        3 | 4 => Company::Leaver,
        _ => Company::Owner,
    };
    let wanted = KeyPair::from_seed([seed as u8; 32]);
    let other = KeyPair::from_seed([!seed as u8; 32]);
    let pair = if company == Company::Stranger { &other } else { &wanted };
    let owner = swarm.add(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)]);
    let device = swarm.world.device(swarm.posts[owner].machine);
    feeds::create(&device, &Keys::dat(pair.public(), Some(pair.clone()), true));
    let mut truth = feeds::Truth::new();
    feeds::append(&mut swarm.rng, &device, &mut truth);

    let link = Link::new(Dialect::Dat, Key(wanted.public()));
    // A bare feed is no drive: whoever clones it has to do without company.
    let met = matches!(company, Company::Owner | Company::Leaver);
    let run = if !met && swarm.rng.one_in(2) {
        Run::Clone { link, dir: DIR.into(), once: true, only: Vec::new() }
    } else {
        let show = swarm.rng.one_in(2).then(|| Show { after: b"\n".to_vec(), key: None });
        // The writer has not written the last one yet.
        let blocks = match company {
            Company::Leaver => Blocks::Range { from: 0, to: truth.len() as u64 + 1 },
            _ => Blocks::All,
        };
        Run::CoreFetch { link, dir: DIR.into(), blocks, show }
    };
    let reader = swarm.add(run, vec![(DIR.into(), "", true)]);
    swarm.posts[reader].ends = true;
    swarm.posts[reader].discovery = swarm.rng.one_in(2);
    swarm.posts[owner].discovery = swarm.rng.one_in(2);
    let known = swarm.posts[reader].discovery && swarm.posts[owner].discovery;
    if company != Company::Nobody && (!known || swarm.rng.one_in(2)) {
        let at = Swarm::address(swarm.posts[owner].machine);
        swarm.posts[reader].peers.push(at);
    }
    // Redials come at growing distances: who comes in the first seconds is met in the first minute.
    swarm.posts[owner].down_until = match company {
        Company::Nobody | Company::NobodyThere => None,
        Company::Stranger => Some(0),
        Company::Owner | Company::Leaver => Some(swarm.world.now() + swarm.rng.below(12 * SECOND)),
    };

    let shows = matches!(swarm.posts[reader].run, Run::CoreFetch { show: Some(_), .. });
    let mut began = swarm.world.now();
    swarm.posts[reader].down_until = Some(began);
    let mut shown = Vec::new();
    if company == Company::Leaver {
        began = leave(&mut swarm, owner, reader);
    }
    let ended = swarm.run(300 * SECOND, |swarm| {
        show(swarm, reader, &mut shown);
        swarm.posts[reader].ended.is_some()
    });
    assert!(ended, "it does not end, with {company:?}");
    let (at, code, failure) = swarm.posts[reader].ended.take().expect("it has ended");
    if company == Company::Owner {
        assert_eq!((code, failure), (0, None), "with somebody who has everything");
        let feed = swarm.check_stores(reader).pop_first().expect("a feed is there").1;
        for (number, block) in &truth {
            assert!(feed.block(*number) == Ok(&block[..]), "block {number}");
        }
        if shows {
            assert!(shown.iter().eq(truth.values()), "{} blocks were shown", shown.len());
        }
    } else {
        let failure = failure.unwrap_or_else(|| panic!("{company:?}: no failure, code {code}"));
        assert_eq!((failure.kind, code), (Kind::NoPeers, 6));
        assert!(!failure.to_string().contains('\n') && !failure.hint.is_empty());
        let most = limits::NO_PEERS_AFTER.as_micros() as u64;
        let after = at - began;
        assert!(after.abs_diff(most) <= SLACK, "{company:?}: given up after {after} µs");
        let feed = swarm.check_stores(reader).pop_first();
        let held = feed.map_or(0, |(_, feed)| feed.held.len());
        let all = if company == Company::Leaver { truth.len() } else { 0 };
        assert_eq!(held, all, "{company:?}: blocks held");
    }
    let left = swarm.world.device(swarm.posts[reader].machine).tree(DIR);
    assert!(!left.contains_key(Path::new("gannet.open")), "its store was not closed");
    swarm.world.trace()
}

/// Lets the owner come and go, a few times, and then for good: when that was. Each time the reader
/// gets all there is, and has a whole minute again.
fn leave(swarm: &mut Swarm, owner: usize, reader: usize) -> u64 {
    let peers = |swarm: &Swarm| swarm.status(reader).map_or(0, |status| status.peers.len());
    for _ in 0..swarm.rng.between(1, 3) {
        let met = swarm.run(60 * SECOND, |swarm| {
            let status = swarm.status(reader);
            status.is_some_and(|s| s.feeds.iter().any(|f| f.length > 0 && f.have == f.length))
                && peers(swarm) > 0
        });
        assert!(met, "they do not meet");
        let pause = swarm.rng.below(2 * SECOND);
        swarm.run(pause, |_| false);
        let machine = swarm.posts[owner].machine;
        swarm.world.kill(machine);
        // Looked at often: a quiet world makes few steps.
        let missed = (0..300).any(|_| {
            swarm.run(SECOND / 10, |_| false);
            peers(swarm) == 0
        });
        assert!(missed, "it is not missed");
        // Nobody is redialled later than half a minute after this.
        swarm.posts[owner].down_until = Some(swarm.world.now() + swarm.rng.below(5 * SECOND));
    }
    swarm.posts[owner].down_until = None;
    swarm.world.now()
}

/// Takes the blocks that a run has to show, as whoever prints them does.
fn show(swarm: &mut Swarm, post: usize, shown: &mut Vec<Vec<u8>>) {
    let machine = swarm.posts[post].machine;
    if !swarm.world.engine(machine).and_then(Actor::node).is_some_and(Node::can_show) {
        return;
    }
    swarm.world.with(machine, |actor, now, disk| {
        let Actor::Node { node, .. } = actor else { return };
        while let Some((block, _)) = node.next_shown(now, disk) {
            shown.push(block);
        }
    });
}
