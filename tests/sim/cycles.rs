//! Two nodes that dial each other over a line that breaks all the time: hundreds of connections, and more dials,
//! that come and go at any stage, from both ends, refused or broken (CHECKLIST L10). At rest neither keeps a
//! handle, or a byte, more than before.

use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};

use crate::feeds::{self, DIR, create};
use crate::memory;
use crate::swarm::Swarm;
use crate::world::SECOND;

/// Rounds of storm and rest, and how long a storm is.
const ROUNDS: usize = 24;
const STORM: u64 = 3600 * SECOND;
/// Until all have parted, and no try is under way, and so on again.
const REST: u64 = 900 * SECOND;
/// What a look may find more than an earlier one: tables of which an entry has grown.
const SLACK: usize = 4 * 1024;

pub fn run(seed: u64) -> u64 {
    cycle(seed, Dialect::Dat)
}

pub fn run_cores(seed: u64) -> u64 {
    cycle(seed, Dialect::Hyper)
}

fn cycle(seed: u64, dialect: Dialect) -> u64 {
    let mut swarm = Swarm::new(seed);
    let keys = feeds::writer(dialect, seed);
    let link = Link::new(dialect, Key(keys.public));
    let blocks = Blocks::Follow;
    let runs = [
        Run::CoreServe { dir: DIR.into() },
        Run::CoreFetch { link, dir: DIR.into(), blocks, show: None },
    ];
    for run in runs {
        swarm.add_on(run, vec![(DIR.into(), "", true)], &[0]);
    }
    create(&swarm.world.device(swarm.posts[0].machine), &keys);
    for post in 0..2 {
        let other = Swarm::address(swarm.posts[1 - post].machine);
        swarm.posts[post].peers.push(other);
    }
    swarm.calm_down();
    let calm = swarm.world.net().weather.clone();
    let mut looks = Vec::new();
    for _ in 0..ROUNDS {
        let mut storm = calm.clone();
        // Resets at any read or write, and a third of all dials refused.
        storm.reset = swarm.rng.between(10, 100);
        storm.refuse = 3;
        swarm.world.net().weather = storm;
        swarm.run(STORM, |_| false);
        swarm.world.net().weather = calm.clone();
        // With the cables out all part, and nobody is reached; nothing is under way then.
        for post in 0..2 {
            let machine = swarm.posts[post].machine;
            swarm.world.net().set_interface(machine, 1, false);
        }
        let apart = |swarm: &mut Swarm| {
            (0..2).all(|post| {
                let machine = swarm.posts[post].machine;
                let reactor = swarm.world.reactor(machine);
                reactor.is_none_or(|reactor| reactor.connections() == 0)
            })
        };
        assert!(swarm.run(REST, apart), "somebody keeps a connection");
        let handles: Vec<usize> = (0..2)
            .map(|post| swarm.world.net().machines[swarm.posts[post].machine].things.len())
            .collect();
        for post in 0..2 {
            // What is not durable yet is kept by the simulated disk, twice.
            swarm.world.device(swarm.posts[post].machine).sync();
        }
        looks.push((handles, memory::used()));
        for post in 0..2 {
            let machine = swarm.posts[post].machine;
            swarm.world.net().set_interface(machine, 1, true);
        }
    }
    swarm.say(&format!("{} partings: {looks:?}", swarm.partings()));
    assert!(swarm.partings() > 200, "only {} connections ended", swarm.partings());
    let (early, late) = looks[ROUNDS / 4..].split_at(ROUNDS * 3 / 8);
    let handles = |looks: &[(Vec<usize>, usize)]| looks.iter().map(|look| look.0.clone()).min();
    assert_eq!(handles(early), handles(late), "handles: {looks:?}");
    let least = |looks: &[(Vec<usize>, usize)]| looks.iter().map(|look| look.1).min();
    let (early, late) = (least(early).unwrap_or_default(), least(late).unwrap_or_default());
    assert!(late <= early + SLACK, "the heap has grown from {early} to {late}: {looks:?}");
    swarm.check_stop();
    swarm.world.trace()
}
