//! Feeds and cores that are added, paused, resumed and removed while nodes exchange them and things go
//! wrong: at the end everything that is kept is whole, and what is removed has left no lock.

use gannet::daemon::adding::{Adding, Step as Opened};
use gannet::daemon::config::{Blocks, Run};
use gannet::daemon::open::Shelf;
use gannet::limits;
use gannet::link::{Dialect, Key, Link};
use gannet::node::{Node, TopicId};
use gannet::store::disk::Disk;
use gannet::time::Instant;

use crate::actor::Actor;
use crate::feeds::{self, DIR, Truth};
use crate::swarm::Swarm;
use crate::world::SECOND;

/// What a reader may keep.
struct Thing {
    post: usize,
    link: Link,
    dir: String,
    /// Its user let it rest, in this life of the process.
    paused: Option<u32>,
    /// On its way, in this life of the process.
    adding: Option<(u32, Adding)>,
    /// It is being removed.
    leaving: Option<(u32, TopicId)>,
}

impl Thing {
    fn run(&self) -> Run {
        let (link, dir) = (self.link.clone(), self.dir.clone().into());
        Run::CoreFetch { link, dir, blocks: Blocks::Follow, show: None }
    }

    /// A user does something with it, or goes on with what he began.
    fn change(&mut self, swarm: &mut Swarm, draw: u64) {
        let (machine, life) = (swarm.posts[self.post].machine, swarm.posts[self.post].lives);
        let seed = [swarm.rng.next_u64() as u8; 32];
        let (mut run, mut adding) = (Some(self.run()), self.adding.take());
        adding.take_if(|(of, _)| *of != life);
        self.paused.take_if(|of| *of != life);
        self.leaving.take_if(|(of, _)| *of != life);
        let key = self.link.key.0;
        swarm.world.with(machine, |actor, now, disk| {
            let Actor::Node { node, .. } = actor else { return };
            if self.leaving.is_some_and(|(_, topic)| !node.has_topic(topic)) {
                self.leaving = None;
            }
            match (node.topic_of(&key), &mut adding) {
                (None, Some((_, going))) => {
                    if !go_on(going, now, node, disk) {
                        adding = None;
                    }
                }
                (None, None) if draw.is_multiple_of(2) => {
                    adding = run.take().map(|run| (life, Adding::new(run, seed)));
                }
                (Some(topic), _) => self.touch(now, node, disk, topic, (life, draw)),
                (None, None) => {}
            }
        });
        self.adding = adding;
    }

    fn touch(
        &mut self,
        now: Instant,
        node: &mut Node,
        disk: &mut dyn Disk,
        topic: TopicId,
        (life, draw): (u32, u64),
    ) {
        match (draw % 5, self.paused, self.leaving) {
            (0, None, None) => {
                assert!(node.pause_topic(now, topic, disk));
                self.paused = Some(life);
            }
            (1 | 2, Some(_), None) => {
                assert!(node.resume_topic(now, topic, disk));
                self.paused = None;
            }
            (3, _, None) => {
                assert!(node.remove_topic(now, topic, disk));
                (self.paused, self.leaving) = (None, Some((life, topic)));
            }
            _ => {}
        }
    }
}

/// False: it is done, or has failed.
fn go_on(adding: &mut Adding, now: Instant, node: &mut Node, disk: &mut dyn Disk) -> bool {
    let mut shelf = Shelf::new(None);
    match adding.step(now, node, &mut shelf, disk, limits::WORK_BUSY_COST) {
        Ok(Opened::More | Opened::Waiting) => true,
        Ok(Opened::Done(_)) | Err(_) => false,
    }
}

pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let (mut links, mut truths) = (Vec::new(), Vec::new());
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
    let mut things = Vec::new();
    for first in 0..2 {
        let post = 2 + first;
        for (number, link) in links.iter().enumerate() {
            let dir = format!("/feed{number}");
            let (paused, adding, leaving) = (None, None, None);
            things.push(Thing { post, link: link.clone(), dir, paused, adding, leaving });
        }
        // Each begins with one, and is told of the other while it runs.
        let begins = things[2 * first + first].run();
        let stores = (0..2).map(|number| (format!("/feed{number}"), "", true)).collect();
        assert_eq!(swarm.add(begins, stores), post);
        let known = [0, 1].map(|writer| Swarm::address(swarm.posts[writer].machine));
        swarm.posts[post].peers.extend(known);
    }
    swarm.posts.iter_mut().for_each(|post| post.discovery = true);
    for _ in 0..swarm.rng.between(4, 40) {
        let span = swarm.rng.below(SECOND / 2);
        swarm.run(span, |_| false);
        let at = swarm.rng.below(things.len() as u64) as usize;
        let draw = swarm.rng.next_u64();
        things[at].change(&mut swarm, draw);
        if swarm.rng.one_in(8) {
            swarm.accident();
        }
    }
    swarm.calm_down();
    let whole = |swarm: &mut Swarm| {
        // Everything is wanted: 2 adds and resumes, whatever it is now.
        things.iter_mut().for_each(|thing| thing.change(swarm, 2));
        let have = |post: usize, key: &Key| {
            let status = swarm.status(post)?;
            let feed = status.feeds.iter().find(|feed| feed.key == *key && !feed.paused)?;
            Some(feed.have)
        };
        links.iter().zip(&truths).enumerate().all(|(writer, (link, truth))| {
            let least = truth.keys().last().map_or(0, |last| last + 1);
            let all = have(writer, &link.key);
            all.is_some_and(|all| all >= least)
                && (2..4).all(|reader| have(reader, &link.key) == all)
        })
    };
    if !swarm.run(900 * SECOND, whole) {
        let states: Vec<String> =
            (0..swarm.posts.len()).map(|post| format!("{:?}", swarm.status(post))).collect();
        panic!("not everything arrived:\n{}", states.join("\n"));
    }
    swarm.check_idle();
    check_removed(&mut swarm, &mut things);
    swarm.check_stop();
    for reader in 2..4 {
        for (number, truth) in truths.iter().enumerate() {
            let device = swarm.world.device(swarm.posts[reader].machine);
            let feed = crate::sleep::load(&device, &format!("/feed{number}"), "");
            let feed = feed.expect("it reads").expect("there is a feed");
            for (block, bytes) in truth {
                assert!(feed.block(*block) == Ok(&bytes[..]), "block {block} of {number}");
            }
        }
    }
    swarm.world.trace()
}

/// Of a process that keeps nothing more no file is open and no lock is held.
fn check_removed(swarm: &mut Swarm, things: &mut [Thing]) {
    let reader = swarm.posts[2].machine;
    let locks = |swarm: &mut Swarm| swarm.world.device(reader).fs().locks();
    let held = swarm.run(120 * SECOND, |swarm| {
        // A process that was started again meanwhile has to be told of the second one again.
        things.iter_mut().filter(|t| t.post == 2).for_each(|thing| thing.change(swarm, 2));
        locks(swarm) == 2
    });
    assert!(held, "each store has its lock: {}", locks(swarm));
    for thing in things.iter_mut().filter(|thing| thing.post == 2) {
        thing.change(swarm, 3);
    }
    let gone = swarm
        .run(10 * SECOND, |swarm| swarm.status(2).is_some_and(|status| status.feeds.is_empty()));
    assert!(gone, "what was removed is still there");
    let status = swarm.status(2).expect("it runs");
    assert!(status.drives.is_empty() && status.candidates.is_empty(), "{status:?}");
    // Others may still connect to it: that opens nothing.
    swarm.run(20 * SECOND, |_| false);
    let device = swarm.world.device(reader);
    let locks = device.fs().locks();
    let opened = device.fs().opened();
    assert_eq!((locks, opened), (0, 0), "locks and open files");
    assert_eq!(swarm.status(2).map(|status| status.feeds.len()), Some(0));
}
