//! One process keeps feeds of both networks and is known to all: who writes a Dat feed, who writes a
//! core, and readers of either that know nobody else. Each is served on the one port.

use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};

use crate::feeds::{self, DIR, Truth};
use crate::swarm::Swarm;
use crate::world::SECOND;

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let mut links = Vec::new();
    let mut truths = Vec::new();
    for dialect in [Dialect::Dat, Dialect::Hyper] {
        let keys = feeds::writer(dialect, seed);
        links.push(Link::new(dialect, Key(keys.public)));
        let post = swarm.add(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)]);
        let device = swarm.world.device(swarm.posts[post].machine);
        feeds::create(&device, &keys);
        let mut truth = Truth::new();
        feeds::append(&mut swarm.rng, &device, &mut truth);
        truths.push(truth);
    }
    let stores = links.iter().map(|link| (format!("/seed/{}", link.key), "metadata.", true));
    let keeper = swarm.add(feeds::keep(links.clone()), stores.collect());
    for link in &links {
        let blocks = Blocks::Follow;
        let run = Run::CoreFetch { link: link.clone(), dir: DIR.into(), blocks, show: None };
        swarm.add(run, vec![(DIR.into(), "", true)]);
    }
    let known = Swarm::address(swarm.posts[keeper].machine);
    for post in (0..swarm.posts.len()).filter(|post| *post != keeper) {
        swarm.posts[post].peers.push(known.clone());
        // Nobody finds anybody else.
        swarm.posts[post].discovery = false;
    }
    if swarm.rng.one_in(3) {
        let link = &links[swarm.rng.below(2) as usize];
        swarm.add_hostile(link);
    }
    for _ in 0..swarm.rng.between(0, 6) {
        let span = swarm.rng.below(3 * SECOND);
        swarm.run(span, |_| false);
        swarm.accident();
        let writer = swarm.rng.below(2) as usize;
        if !swarm.world.runs(swarm.posts[writer].machine) {
            let device = swarm.world.device(swarm.posts[writer].machine);
            feeds::append(&mut swarm.rng, &device, &mut truths[writer]);
        }
    }
    swarm.calm_down();
    let have = |swarm: &Swarm, post: usize, key: &Key| {
        let status = swarm.status(post)?;
        Some(status.feeds.iter().find(|feed| feed.key == *key)?.have)
    };
    let whole = |swarm: &mut Swarm| {
        links.iter().zip(&truths).enumerate().all(|(writer, (link, truth))| {
            let least = truth.keys().last().map_or(0, |last| last + 1);
            let all = have(swarm, writer, &link.key);
            let others = [keeper, keeper + 1 + writer];
            all.is_some_and(|all| all >= least)
                && others.iter().all(|post| have(swarm, *post, &link.key) == all)
        })
    };
    if !swarm.run(600 * SECOND, whole) {
        let states: Vec<String> =
            (0..swarm.posts.len()).map(|post| format!("{:?}", swarm.status(post))).collect();
        panic!("not everything arrived:\n{}", states.join("\n"));
    }
    swarm.check_idle();
    swarm.check_stop();
    for (writer, truth) in truths.iter().enumerate() {
        let stores = swarm.check_stores(keeper + 1 + writer);
        let feed = stores.values().next().expect("there is a feed");
        for (number, block) in truth {
            assert!(feed.block(*number) == Ok(&block[..]), "block {number} of {writer}");
        }
    }
    swarm.world.trace()
}
