//! A node is told of another by a name that leads to several addresses, at some of which nobody is: it is
//! connected as soon as the turn of a good one has come, once, and stays so (CHECKLIST K09).

use gannet::daemon::config::{Blocks, Run};
use gannet::limits;
use gannet::link::{Dialect, Key, Link};

use crate::feeds::{self, DIR, create};
use crate::swarm::{PORT, Swarm};
use crate::world::SECOND;

/// What a start, a handshake and a byte at a time may take on the slowest line.
const MEETING: u64 = 5 * SECOND;

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let dialect = if seed.is_multiple_of(4) { Dialect::Dat } else { Dialect::Hyper };
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
    // Nobody answers, not even with a refusal, at some.
    let dead = swarm.rng.below(6);
    let writer = swarm.posts[0].machine + 1;
    let mut addrs: Vec<String> = (0..dead).map(|n| format!("10.{}.0.{}", n % 2, 200 + n)).collect();
    addrs.push(format!("10.0.0.{writer}"));
    if swarm.rng.one_in(2) {
        addrs.push(format!("10.1.0.{writer}"));
    }
    swarm.rng.shuffle(&mut addrs);
    swarm.posts[1].hosts = addrs.iter().map(|addr| format!("{addr} nas\n")).collect();
    swarm.posts[1].peers.push(format!("nas:{PORT}"));
    swarm.calm_down();
    let counts = |swarm: &Swarm| {
        [0, 1].map(|post| {
            let peers = swarm.status(post).map(|status| status.peers).unwrap_or_default();
            peers.iter().filter(|peer| !peer.id.is_empty()).count()
        })
    };
    let turns = dead * limits::NAME_TURN.as_micros() as u64;
    let met = swarm.run(SECOND + turns + MEETING, |swarm| counts(swarm) == [1, 1]);
    assert!(met, "{addrs:?}: {:?} after all turns", counts(&swarm));
    // Who was slower is no second connection, and who is dead is not dialed while one is up.
    swarm.run(20 * SECOND, |_| false);
    let left = swarm.partings();
    swarm.run(120 * SECOND, |swarm| {
        assert_eq!(counts(swarm), [1, 1], "{addrs:?}");
        false
    });
    assert_eq!(swarm.partings(), left, "{addrs:?}: somebody came and went");
    swarm.check_idle();
    swarm.check_stop();
    swarm.world.trace()
}
