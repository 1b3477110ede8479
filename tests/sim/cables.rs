//! Cables are pulled and put back, addresses and ways change, machines are suspended and processes stopped
//! (CHECKLIST L04, L05): whoever was connected is so again within seconds, on a line that is good for
//! something and with none left over that is not; and nobody parts for what changed nothing.

use std::net::IpAddr;

use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};
use gannet::node::event::Event;

use crate::feeds::{self, DIR, create};
use crate::swarm::Swarm;
use crate::world::SECOND;

/// To find each other in the first place.
const MEET: u64 = 60 * SECOND;
/// Until all are back: changes are taken together for three seconds, who is asked has two, the dial is
/// within one; the rest is what the lines take, and what a system waits before it sends again.
const BACK: u64 = 10 * SECOND;

pub fn run(seed: u64) -> u64 {
    disturb(seed, Dialect::Dat)
}

pub fn run_cores(seed: u64) -> u64 {
    disturb(seed, Dialect::Hyper)
}

struct Lines {
    /// Posts that are to be connected.
    pairs: Vec<(usize, usize)>,
    found: bool,
    next: u8,
}

fn disturb(seed: u64, dialect: Dialect) -> u64 {
    let mut swarm = Swarm::new(seed);
    let keys = feeds::writer(dialect, seed);
    let link = Link::new(dialect, Key(keys.public));
    let links: &[usize] = if swarm.rng.one_in(3) { &[0, 1] } else { &[0] };
    swarm.add_on(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)], links);
    create(&swarm.world.device(swarm.posts[0].machine), &keys);
    for _ in 0..swarm.rng.between(1, 3) {
        let blocks = Blocks::Follow;
        let run = Run::CoreFetch { link: link.clone(), dir: DIR.into(), blocks, show: None };
        swarm.add_on(run, vec![(DIR.into(), "", true)], links);
    }
    let count = swarm.posts.len();
    let found = swarm.rng.one_in(2);
    let mut pairs = Vec::new();
    for post in 0..count {
        swarm.posts[post].discovery = found;
        match found {
            true => pairs.extend((0..post).map(|other| (other, post))),
            false if post > 0 => {
                let first = Swarm::address(swarm.posts[0].machine);
                swarm.posts[post].peers.push(first);
                pairs.push((0, post));
            }
            false => {}
        }
    }
    let mut lines = Lines { pairs, found, next: 100 };
    swarm.calm_down();
    let rate = swarm.world.net().weather.rate.max(200_000);
    swarm.world.net().weather.rate = rate;
    lines.will_be_whole(&mut swarm, MEET, "at first");
    for _ in 0..swarm.rng.between(2, 5) {
        // Long enough for a connection to have been worth something.
        let pause = swarm.rng.between(16, 60) * SECOND;
        swarm.run(pause, |_| false);
        lines.event(&mut swarm);
    }
    swarm.check_idle();
    swarm.check_stop();
    swarm.world.trace()
}

impl Lines {
    fn event(&mut self, swarm: &mut Swarm) {
        // Where one is named by the others and does not know them, it is theirs to come back, which they do as
        // after any failure. So it befalls who can do something about it.
        let first = u64::from(!self.found);
        let post = swarm.rng.between(first, swarm.posts.len() as u64 - 1) as usize;
        let machine = swarm.posts[post].machine;
        let long = swarm.rng.between(61, 600) * SECOND;
        match swarm.rng.below(5) {
            0 => {
                swarm.say(&format!("m{machine} is suspended for {long}"));
                swarm.world.suspend(machine, long);
                swarm.run(long, |_| false);
                self.will_be_whole(swarm, BACK, "after sleep");
            }
            1 => {
                swarm.say(&format!("the process of m{machine} is stopped for {long}"));
                swarm.world.freeze(machine, long);
                swarm.run(long, |_| false);
                self.will_be_whole(swarm, BACK, "after a stop");
            }
            2 => self.nothing_happens(swarm, machine),
            _ => self.pull(swarm, post),
        }
    }

    /// A cable is pulled for a moment or for long, and put back; perhaps there is another address then.
    fn pull(&mut self, swarm: &mut Swarm, post: usize) {
        let machine = swarm.posts[post].machine;
        let out = [SECOND / 2, 2 * SECOND, 5 * SECOND, 40 * SECOND, 90 * SECOND];
        let out = out[swarm.rng.below(5) as usize] + swarm.rng.below(SECOND);
        swarm.say(&format!("the cable of m{machine} is pulled for {out}"));
        swarm.world.net().set_interface(machine, 1, false);
        swarm.run(out, |_| false);
        if swarm.rng.one_in(2) {
            self.next += 1;
            let fresh = IpAddr::from([10, 0, 1, self.next]);
            swarm.say(&format!("m{machine} is at {fresh}"));
            swarm.world.net().machines[machine].nics[1].interface.address = fresh;
        }
        swarm.world.net().set_interface(machine, 1, true);
        self.will_be_whole(swarm, BACK, "after a cable was pulled");
    }

    /// The way to elsewhere changes, again and again: all are asked, and all answer.
    fn nothing_happens(&mut self, swarm: &mut Swarm, machine: usize) {
        swarm.say(&format!("the way out of m{machine} changes"));
        let turns = swarm.world.turns;
        swarm.log = Some(Vec::new());
        for n in 0..100 {
            swarm.world.net().reroute(machine, IpAddr::from([10, 0, 0, 200 + n % 2]));
            swarm.run(SECOND / 10, |_| false);
        }
        swarm.run(10 * SECOND, |_| false);
        // (Who is known under several addresses may be dialled at another one.)
        let again = |event: &Event| matches!(event, Event::PeerLeft { reason, .. } if reason == "duplicate" || reason == "peer-closed");
        let mut log = swarm.log.take().unwrap_or_default();
        log.retain(|(_, event)| !again(event));
        assert!(log.is_empty(), "somebody parted because a way changed: {log:?}");
        let turns = swarm.world.turns - turns;
        let most = 600 * swarm.posts.len() as u64;
        assert!(turns < most, "{turns} turns because a way changed");
        self.will_be_whole(swarm, SECOND, "with another way out");
    }

    fn is_whole(&self, swarm: &Swarm, (a, b): (usize, usize)) -> bool {
        let (a, b) = (swarm.posts[a].machine, swarm.posts[b].machine);
        swarm.world.net().lines(a, b) == [true]
    }

    /// All are connected, and say so.
    fn will_be_whole(&self, swarm: &mut Swarm, within: u64, when: &str) {
        let began = swarm.world.now();
        let met = |swarm: &Swarm, post: usize| {
            let peers = swarm.status(post).map(|status| status.peers).unwrap_or_default();
            peers.iter().filter(|peer| !peer.id.is_empty()).count()
        };
        let whole = swarm.run(within, |swarm| {
            let due = |post| self.pairs.iter().filter(|(a, b)| *a == post || *b == post).count();
            self.pairs.iter().all(|pair| self.is_whole(swarm, *pair))
                && (0..swarm.posts.len()).all(|post| met(swarm, post) >= due(post))
        });
        let took = swarm.world.now() - began;
        swarm.say(&format!("whole {when} in {took}: {whole}"));
        let lines: Vec<_> = self
            .pairs
            .iter()
            .map(|(a, b)| swarm.world.net().lines(swarm.posts[*a].machine, swarm.posts[*b].machine))
            .collect();
        let states: Vec<String> =
            (0..swarm.posts.len()).map(|post| format!("{:?}", swarm.status(post))).collect();
        assert!(whole, "{when} not all are back: {lines:?}\n{}", states.join("\n"));
    }
}
