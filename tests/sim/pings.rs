//! Nodes that know nobody ping each other, themselves, somebody who speaks something else, a machine on which
//! nothing runs, and machines that are cut off or stand still with their sockets open. Each ping comes to one
//! outcome in time and a true one, and nobody is a peer or a candidate for it (CHECKLIST G01, G04, G05).

use std::collections::BTreeMap;

use gannet::crypto::sign::KeyPair;
use gannet::daemon::config::{Blocks, Run};
use gannet::host::HostId;
use gannet::limits;
use gannet::link::{Dialect, Key, Link};
use gannet::node::{PingId, PingOutcome, Pinged};

use crate::actor::Actor;
use crate::feeds::{self, DIR, create};
use crate::swarm::{PORT, Swarm};
use crate::world::SECOND;
use crate::world::net::MachineId;

/// A machine stands still for so long, at most.
const FROZEN: u64 = 8 * SECOND;

struct Pings {
    /// Who asked whom and when, by the asking post.
    open: BTreeMap<(usize, PingId), (MachineId, u64)>,
    /// What came of those since the last look.
    ended: Vec<(usize, MachineId, Pinged)>,
    nobody: MachineId,
    /// From the ping to its outcome, in microseconds.
    patience: u64,
}

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let dialect = [Dialect::Dat, Dialect::Hyper][swarm.rng.below(2) as usize];
    let keys = feeds::writer(dialect, seed);
    let link = Link::new(dialect, Key(keys.public));
    swarm.add(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)]);
    for _ in 0..swarm.rng.between(1, 3) {
        let (link, blocks) = (link.clone(), Blocks::Follow);
        let run = Run::CoreFetch { link, dir: DIR.into(), blocks, show: None };
        swarm.add(run, vec![(DIR.into(), "", true)]);
    }
    create(&swarm.world.device(swarm.posts[0].machine), &keys);
    let nobody = swarm.world.add_machine(&[0]);
    let other = swarm.rng.one_in(2);
    if other {
        swarm.add_hostile(&link);
        swarm.posts.iter_mut().for_each(|post| post.peers.clear());
    }
    let timeouts = limits::DIAL_TIMEOUT + limits::PING_TIMEOUT;
    let patience = timeouts.as_micros() as u64 + FROZEN + 2 * SECOND;
    let mut pings = Pings { open: BTreeMap::new(), ended: Vec::new(), nobody, patience };
    swarm.run(SECOND, |_| false);
    for _ in 0..swarm.rng.between(5, 30) {
        pings.begin(&mut swarm);
        upset(&mut swarm);
        let span = swarm.rng.below(2 * SECOND);
        swarm.run(span, |swarm| pings.look(swarm));
    }
    swarm.calm_down();
    let rest = pings.patience;
    swarm.run(rest, |swarm| pings.look(swarm));
    pings.ended.clear();
    for _ in 0..10 {
        pings.begin(&mut swarm);
        swarm.run(2 * patience, |swarm| {
            pings.look(swarm);
            pings.open.is_empty()
        });
        pings.check_calm(&swarm);
    }
    if !other {
        swarm.run(limits::HANDSHAKE_TIMEOUT.as_micros() as u64 + 2 * SECOND, |_| false);
        for post in 0..swarm.posts.len() {
            let status = swarm.status(post).expect("it runs");
            assert!(status.peers.is_empty() && status.candidates.is_empty(), "{status:?}");
        }
    }
    swarm.check_idle();
    swarm.check_stop();
    swarm.world.trace()
}

/// Links fail and machines stand still; no process ends, whose pings would go with it.
fn upset(swarm: &mut Swarm) {
    let draw = |swarm: &mut Swarm| swarm.rng.below(swarm.world.machines() as u64) as usize;
    let (one, other) = (draw(swarm), draw(swarm));
    match swarm.rng.below(6) {
        0 if one != other => swarm.world.net().part(one, other),
        1 => swarm.world.net().heal_all(),
        2 => {
            let span = swarm.rng.below(FROZEN);
            swarm.world.freeze(one, span);
        }
        _ => {}
    }
}

impl Pings {
    /// Some post pings some machine.
    fn begin(&mut self, swarm: &mut Swarm) {
        let post = swarm.rng.below(swarm.posts.len() as u64) as usize;
        let target = swarm.rng.below(swarm.world.machines() as u64) as usize;
        let addr = ([10, 0, 0, target as u8 + 1], PORT).into();
        let now = swarm.world.now();
        let machine = swarm.posts[post].machine;
        let id = swarm.world.with(machine, |actor, now, _| match actor {
            Actor::Node { node, .. } => node.ping(now, addr),
            Actor::Hostile(_) | Actor::Listener(_) | Actor::Stranger(_) | Actor::Sybil(_) => None,
        });
        let id = id.flatten().expect("it runs and has room");
        assert_eq!(self.open.insert((post, id), (target, now)), None, "one number for two");
    }

    /// Takes what came of pings; none takes too long. Never done.
    fn look(&mut self, swarm: &mut Swarm) -> bool {
        for post in 0..swarm.posts.len() {
            let machine = swarm.posts[post].machine;
            let Some(reactor) = swarm.world.reactor(machine) else { continue };
            let Actor::Node { node, .. } = reactor.engine_mut() else { continue };
            while let Some(PingOutcome { id, addr, what }) = node.take_ping() {
                let asked = self.open.remove(&(post, id));
                let (target, _) = asked.unwrap_or_else(|| panic!("{id:?} ended twice: {what:?}"));
                assert_eq!(addr, ([10, 0, 0, target as u8 + 1], PORT).into());
                self.ended.push((post, target, what));
            }
        }
        self.check_true(swarm);
        let now = swarm.world.now();
        let late = self.open.iter().find(|(_, (_, since))| now > since + self.patience);
        assert!(late.is_none(), "nothing came of a ping: {late:?}");
        false
    }

    /// Nobody answers who is not there, or under another's name.
    fn check_true(&self, swarm: &Swarm) {
        for (post, target, what) in &self.ended {
            let asked = swarm.posts.iter().position(|post| post.machine == *target);
            match what {
                Pinged::Answered { host, .. } => {
                    let asked = asked.unwrap_or_else(|| panic!("m{target} is no gannet"));
                    let id = HostId(KeyPair::from_seed([asked as u8 + 1; 32]).public());
                    assert_eq!(*host, Some(id));
                    assert_ne!(asked, *post, "it takes itself for another");
                }
                Pinged::Ourselves => assert_eq!(asked, Some(*post)),
                Pinged::NotOurs | Pinged::Unreachable(_) => {}
            }
        }
    }

    /// Without faults there is one right outcome.
    fn check_calm(&mut self, swarm: &Swarm) {
        for (post, target, what) in self.ended.drain(..) {
            let asked = swarm.posts.iter().position(|post| post.machine == target);
            let right = match asked {
                Some(asked) if asked == post => what == Pinged::Ourselves,
                Some(_) => matches!(what, Pinged::Answered { .. }),
                None if target == self.nobody => matches!(what, Pinged::Unreachable(_)),
                None => what == Pinged::NotOurs,
            };
            assert!(right, "post {post} pinged m{target}: {what:?}");
        }
    }
}
