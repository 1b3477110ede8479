//! Two nodes that know each other under two addresses each, and dial at the same time: after the
//! rule of duplicates (dat/SPEC §11.5) there is one connection, never none, never two for long.

use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};

use crate::feeds::{self, DIR, create};
use crate::swarm::{PORT, Swarm};
use crate::world::SECOND;

/// Patience with two connections, the tick that looks at it, and a way there and back.
const TWO_FOR: u64 = 8 * SECOND;
/// Until another dial has taken the place of what was lost.
const NONE_FOR: u64 = 5 * SECOND;

pub fn run(seed: u64) -> u64 {
    meet(seed, Dialect::Dat)
}

pub fn run_cores(seed: u64) -> u64 {
    meet(seed, Dialect::Hyper)
}

fn meet(seed: u64, dialect: Dialect) -> u64 {
    let mut swarm = Swarm::new(seed);
    let keys = feeds::writer(dialect, seed);
    let link = Link::new(dialect, Key(keys.public));
    let blocks = Blocks::Follow;
    let runs = [
        Run::CoreServe { dir: DIR.into() },
        Run::CoreFetch { link, dir: DIR.into(), blocks, show: None },
    ];
    for run in runs {
        swarm.add_on(run, vec![(DIR.into(), "", true)], &[0, 1]);
    }
    create(&swarm.world.device(swarm.posts[0].machine), &keys);
    // Both dial both ways, or one side does.
    let dialing: &[usize] = [&[0, 1][..], &[0], &[1]][swarm.rng.below(3) as usize];
    for &post in dialing {
        let other = swarm.posts[1 - post].machine + 1;
        for net in 0..2 {
            swarm.posts[post].peers.push(format!("10.{net}.0.{other}:{PORT}"));
        }
        swarm.posts[post].discovery = swarm.rng.one_in(3);
    }
    swarm.calm_down();
    let mut connected = false;
    let (mut two_since, mut none_since) = (None, None);
    swarm.run(90 * SECOND, |swarm| {
        let now = swarm.world.now();
        let counts = [0, 1].map(|post| {
            let peers = swarm.status(post).map(|status| status.peers).unwrap_or_default();
            peers.iter().filter(|peer| !peer.id.is_empty()).count()
        });
        connected |= counts.contains(&1);
        let since = |is: bool, at: &mut Option<u64>| {
            *at = if is { at.or(Some(now)) } else { None };
            at.map_or(0, |at| now - at)
        };
        let two = since(counts.iter().any(|count| *count > 1), &mut two_since);
        assert!(two < TWO_FOR, "more than one connection for {two} µs: {counts:?}");
        let none = since(connected && counts.contains(&0), &mut none_since);
        assert!(none < NONE_FOR, "no connection for {none} µs: {counts:?}");
        false
    });
    assert!(connected, "they never met");
    assert_eq!((two_since, none_since), (None, None));
    swarm.check_idle();
    check_quiet(&mut swarm);
    swarm.check_stop();
    swarm.world.trace()
}

/// Turns of both nodes in a minute in which nothing is asked, owed or written: each says every four
/// seconds that it is there, and hears so.
const QUIET_TURNS: u64 = 120;

fn check_quiet(swarm: &mut Swarm) {
    let discovery = swarm.posts.iter().any(|post| post.discovery);
    let before = swarm.world.turns;
    swarm.run(60 * SECOND, |_| false);
    let turns = swarm.world.turns - before;
    assert!(discovery || turns <= QUIET_TURNS, "{turns} turns in a quiet minute");
}
