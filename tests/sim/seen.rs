//! Nodes of several networks that meet (CHECKLIST K08): who is seen at one address by enough of them
//! believes it, in time and after a change of address too; nobody ever believes anything else.

use std::net::IpAddr;

use gannet::daemon::config::{Blocks, Run};
use gannet::limits;
use gannet::link::{Dialect, Key, Link};

use crate::feeds::{self, DIR, create};
use crate::swarm::{PORT, Swarm};
use crate::world::SECOND;

/// To find each other, and after a change.
const MEET: u64 = 60 * SECOND;

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let keys = feeds::writer(Dialect::Hyper, seed);
    let link = Link::new(Dialect::Hyper, Key(keys.public));
    swarm.add_on(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)], &[0]);
    create(&swarm.world.device(swarm.posts[0].machine), &keys);
    for _ in 0..swarm.rng.between(2, 5) {
        let blocks = Blocks::Follow;
        let run = Run::CoreFetch { link: link.clone(), dir: DIR.into(), blocks, show: None };
        swarm.add_on(run, vec![(DIR.into(), "", true)], &[0]);
    }
    // Each is of a network of its own.
    let mut at: Vec<IpAddr> = Vec::new();
    for post in 0..swarm.posts.len() {
        at.push([80, 1, post as u8 + 1, 1].into());
        let machine = swarm.posts[post].machine;
        swarm.world.net().machines[machine].nics[1].interface.address = at[post];
    }
    let others = at.iter().skip(1).map(|at| format!("{at}:{PORT}"));
    swarm.posts[0].peers.extend(others);
    swarm.calm_down();
    // Who has too few peers believes nothing.
    let wanted = swarm.posts.len() > limits::SEEN_LEAST;
    will_know(&mut swarm, &at, wanted, None);
    let before = at[0];
    at[0] = [80, 1, 200, 1].into();
    let machine = swarm.posts[0].machine;
    swarm.world.net().set_interface(machine, 1, false);
    swarm.run(SECOND, |_| false);
    swarm.world.net().machines[machine].nics[1].interface.address = at[0];
    swarm.world.net().set_interface(machine, 1, true);
    will_know(&mut swarm, &at, wanted, Some(before));
    swarm.check_idle();
    swarm.check_stop();
    swarm.world.trace()
}

/// The first one learns where it is, if it can. `before`: where it was.
fn will_know(swarm: &mut Swarm, at: &[IpAddr], wanted: bool, before: Option<IpAddr>) {
    let known = swarm.run(MEET, |swarm| {
        for (post, at) in at.iter().enumerate() {
            let Some(seen) = swarm.status(post).map(|status| status.seen) else { continue };
            let old = before.filter(|_| post == 0);
            assert!(
                seen.iter().all(|ip| ip == at || Some(*ip) == old),
                "post {post}, which is at {at}, believes {seen:?}"
            );
        }
        swarm.status(0).is_some_and(|status| status.seen == [at[0]])
    });
    assert_eq!(known, wanted, "of {} networks", at.len());
}
