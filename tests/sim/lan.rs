//! Hosts on one local network, told of nobody: datagrams that are lost, doubled and late, addresses that
//! change, ports and settings that do, processes killed and started again, cables pulled, clocks set wrong, and somebody who says
//! again what he heard. Nobody is ever believed to be where he never was; and when it is calm, all know
//! all, at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gannet::crypto::sign::KeyPair;
use gannet::daemon::config::{Blocks, Run};
use gannet::host::HostId;
use gannet::link::{Dialect, Key, Link};

use crate::actor::Actor;
use crate::feeds::{self, DIR};
use crate::listener::Listener;
use crate::swarm::{PORT, Swarm};
use crate::world::{SECOND, draw_tuning};

/// What pings every minute at most takes, with its repeats.
const PATIENCE: u64 = 75 * SECOND;

struct Lan {
    /// Every address that each host ever had.
    had: BTreeMap<String, Vec<IpAddr>>,
    listener: Option<IpAddr>,
    next: u8,
}

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let link = Link::new(Dialect::Hyper, Key(feeds::writer(Dialect::Hyper, seed).public));
    for _ in 0..swarm.rng.between(2, 5) {
        let blocks = Blocks::Follow;
        let run = Run::CoreFetch { link: link.clone(), dir: DIR.into(), blocks, show: None };
        let post = swarm.add_on(run, vec![(DIR.into(), "", true)], &[0]);
        swarm.posts[post].discovery = true;
        swarm.posts[post].data = swarm.rng.one_in(2).then(|| "/home/data".into());
        if swarm.rng.one_in(3) {
            // A router without a battery.
            let machine = swarm.posts[post].machine;
            let (rng, mut net) = (&mut swarm.rng, swarm.world.net());
            net.machines[machine].wall_off_ms = -1_700_000_000_000 + rng.below(1 << 20) as i64;
        }
    }
    let mut lan = Lan { had: BTreeMap::new(), listener: None, next: 100 };
    for post in 0..swarm.posts.len() {
        let machine = swarm.posts[post].machine;
        lan.had.insert(id(post), vec![address(&swarm, machine)]);
    }
    if swarm.rng.one_in(2) {
        lan.add_listener(&mut swarm);
    }
    for _ in 0..swarm.rng.between(3, 25) {
        lan.accident(&mut swarm);
        let time = swarm.rng.below(15 * SECOND);
        swarm.run(time, |swarm| lan.check(swarm));
    }
    swarm.calm_down();
    for post in 0..swarm.posts.len() {
        let machine = swarm.posts[post].machine;
        swarm.world.with(machine, |actor, now, disk| {
            if let Actor::Node { node, .. } = actor {
                node.set_discovery(now, true, disk);
            }
        });
    }
    let known = swarm.run(PATIENCE, |swarm| !lan.check(swarm) && lan.all_know_all(swarm));
    assert!(known, "not all know all: {}", lan.who_knows_whom(&swarm));
    lan.changes_are_heard_of(&mut swarm);
    swarm.check_idle();
    swarm.run(SECOND, |swarm| lan.check(swarm));
    swarm.check_stop();
    swarm.world.trace()
}

fn id(post: usize) -> String {
    HostId(KeyPair::from_seed([post as u8 + 1; 32]).public()).to_string()
}

fn address(swarm: &Swarm, machine: usize) -> IpAddr {
    swarm.world.net().machines[machine].nics[1].interface.address
}

impl Lan {
    fn add_listener(&mut self, swarm: &mut Swarm) {
        let machine = swarm.world.add_machine(&[0]);
        let (seed, tuning) = (swarm.rng.next_u64(), draw_tuning(&mut swarm.rng));
        let started: Result<(), ()> = swarm.world.start(machine, tuning, |sys| {
            let now = gannet::sys::Sys::now(sys);
            Ok(Actor::Listener(Box::new(Listener::new(seed, now))))
        });
        assert!(started.is_ok());
        swarm.hostile = Some(machine);
        self.listener = Some(address(swarm, machine));
    }

    fn accident(&mut self, swarm: &mut Swarm) {
        let post = swarm.rng.below(swarm.posts.len() as u64) as usize;
        match swarm.rng.below(6) {
            0 | 1 => self.move_to_new_address(swarm, post),
            2 => self.change_settings(swarm, post),
            // Kills, power cuts, freezes, partitions, clocks, interfaces that go down.
            _ => swarm.accident(),
        }
    }

    /// The machine gets another address, as from a new lease.
    fn move_to_new_address(&mut self, swarm: &mut Swarm, post: usize) {
        let machine = swarm.posts[post].machine;
        self.next += 1;
        let fresh = IpAddr::from([10, 0, 1, self.next]);
        self.had.entry(id(post)).or_default().push(fresh);
        let mut net = swarm.world.net();
        net.set_interface(machine, 1, false);
        net.machines[machine].nics[1].interface.address = fresh;
        net.set_interface(machine, 1, true);
        drop(net);
        swarm.say(&format!("m{machine} is at {fresh}"));
    }

    /// Its user changes what it listens at, or whether it looks for others, while it runs.
    fn change_settings(&mut self, swarm: &mut Swarm, post: usize) {
        let (machine, draw) = (swarm.posts[post].machine, swarm.rng.below(8));
        swarm.world.with(machine, |actor, now, disk| {
            let Actor::Node { node, .. } = actor else { return };
            match draw {
                0..4 => {
                    node.set_listen(now, vec![([0, 0, 0, 0], PORT + draw as u16).into()], false)
                }
                // Somebody has this one: nothing is changed.
                4 => node.set_listen(now, vec![([192, 0, 2, 1], PORT).into()], false),
                _ => node.set_discovery(now, draw == 5, disk),
            }
        });
        swarm.say(&format!("m{machine} has other settings ({draw})"));
    }

    /// Whom a post takes for live, and where it would dial him. Only what every host has signed, and
    /// where it was: the listener is nobody but himself, at his own address.
    fn check(&self, swarm: &mut Swarm) -> bool {
        for post in 0..swarm.posts.len() {
            for host in hosts(swarm, post) {
                let real = self.had.get(&host.id);
                let own = [self.listener].into_iter().flatten().collect();
                let listener = host.id == Listener::id().to_string();
                let had = real.or(listener.then_some(&own));
                let had: &Vec<IpAddr> = had.unwrap_or_else(|| panic!("{post} knows {host:?}"));
                let mut believed = host.addresses.iter().filter(|_| host.how == "live");
                let wrong = believed.find(|at| !had.contains(&at.ip()));
                // The listener lies of where he is; that is not to be dialled.
                assert!(wrong.is_none() || listener, "{post} believes {host:?}");
                assert!(
                    !listener || host.proven.iter().all(|at| had.contains(&at.ip())),
                    "{host:?}"
                );
            }
        }
        false
    }

    fn knows(&self, swarm: &Swarm, post: usize, other: usize) -> bool {
        let at = address(swarm, swarm.posts[other].machine);
        let (id, all) = (id(other), hosts(swarm, post));
        all.iter().any(|host| {
            host.id == id && host.how == "live" && host.proven.first().is_some_and(|a| a.ip() == at)
        })
    }

    fn all_know_all(&self, swarm: &Swarm) -> bool {
        let posts = || 0..swarm.posts.len();
        posts().all(|a| posts().all(|b| a == b || self.knows(swarm, a, b)))
    }

    fn who_knows_whom(&self, swarm: &Swarm) -> String {
        let posts = 0..swarm.posts.len();
        posts.map(|post| format!("\n{post} {}: {:?}", id(post), hosts(swarm, post))).collect()
    }

    /// A start, and another address, in calm: known within a second, and what the lines take.
    fn changes_are_heard_of(&mut self, swarm: &mut Swarm) {
        let line = swarm.world.net().weather.latency_us.1;
        let soon = SECOND + 4 * line;
        let post = swarm.rng.below(swarm.posts.len() as u64) as usize;
        self.move_to_new_address(swarm, post);
        // Another address: within seconds.
        let known =
            swarm.run(soon + 2 * SECOND, |swarm| !self.check(swarm) && self.all_know_all(swarm));
        assert!(known, "{post} has moved: {}", self.who_knows_whom(swarm));
        let post = swarm.rng.below(swarm.posts.len() as u64) as usize;
        let machine = swarm.posts[post].machine;
        swarm.world.kill(machine);
        swarm.posts[post].down_until = Some(swarm.world.now());
        let known =
            swarm.run(soon + SECOND / 5, |swarm| !self.check(swarm) && self.all_know_all(swarm));
        assert!(known, "{post} has started: {}", self.who_knows_whom(swarm));
    }
}

fn hosts(swarm: &Swarm, post: usize) -> Vec<gannet::node::HostStatus> {
    let machine = swarm.posts[post].machine;
    let now = swarm.world.net().clock(machine);
    let node = swarm.world.engine(machine).and_then(Actor::node);
    node.map(|node| node.hosts(now)).unwrap_or_default()
}
