//! A writer whose disk was put back to an older state appends other blocks than it did the first time.
//! Whoever has the first history and meets the second one recognises the fork, keeps both proofs, fetches
//! no more of the feed, and holds it against nobody (B07): not against the writer, and not against a
//! reader that has blocks of both and knows it not yet.

use std::path::Path;

use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};
use gannet::node::event::Event;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore};
use gannet::time::Instant;

use crate::disk::Device;
use crate::feeds::{self, DIR, create, patiently};
use crate::mutual::give;
use crate::swarm::Swarm;
use crate::world::SECOND;

pub fn run(seed: u64) -> u64 {
    put_back(seed, Dialect::Dat)
}

pub fn run_cores(seed: u64) -> u64 {
    put_back(seed, Dialect::Hyper)
}

fn put_back(seed: u64, dialect: Dialect) -> u64 {
    let mut swarm = Swarm::new(seed);
    swarm.log = Some(Vec::new());
    let keys = feeds::writer(dialect, seed);
    let link = Link::new(dialect, Key(keys.public));
    swarm.add(Run::CoreServe { dir: DIR.into() }, vec![(DIR.into(), "", true)]);
    for _ in 0..2 {
        let blocks = Blocks::Follow;
        let run = Run::CoreFetch { link: link.clone(), dir: DIR.into(), blocks, show: None };
        swarm.add(run, vec![(DIR.into(), "", true)]);
    }
    // What both histories have, what only the first has, what only the second has.
    let common = swarm.rng.between(0, 20);
    let first = common + swarm.rng.between(1, 20);
    let second = first + swarm.rng.between(1, 30);
    let device = |swarm: &Swarm, post: usize| swarm.world.device(swarm.posts[post].machine);
    let desk = swarm.world.add_machine(&[0]);
    let desk = swarm.world.device(desk);
    create(&desk, &keys);
    create(&device(&swarm, 0), &keys);
    append(&desk, common, b"both");
    append(&device(&swarm, 0), common, b"both");
    append(&desk, first - common, b"lost");
    // One reader has all of the first history, or all but a few; the other has nothing.
    let hole = swarm.rng.below(2 * first);
    let held: Vec<u64> = (0..first).filter(|n| *n != hole || first == 1).collect();
    let mut disk = desk.process();
    let dir = disk.open_root(Path::new(DIR), false).expect("it was made");
    let mut source = patiently(|| FeedStore::open(&mut disk, dir, "", None, None, Content::File));
    give(&mut disk, &mut source, &device(&swarm, 1), &held);
    source.close(&mut disk, Instant(0)).expect("a good disk");
    let batches = swarm.rng.between(1, 3);
    for batch in 0..batches {
        let share = (second - common) / batches;
        let count = if batch == 0 { second - common - share * (batches - 1) } else { share };
        append(&device(&swarm, 0), count, b"again");
    }
    // The readers may know each other too: what one has of either history reaches the other.
    let linked = swarm.rng.one_in(2);
    for (post, known) in [(1, 0), (2, 0)].into_iter().chain(linked.then_some((2, 1))) {
        let known = Swarm::address(swarm.posts[known].machine);
        swarm.posts[post].peers.push(known);
    }
    // Gannets tell each other of others.
    let linked = linked || dialect == Dialect::Hyper;
    swarm.calm_down();
    let told = |swarm: &Swarm, post: usize| {
        let machine = swarm.posts[post].machine;
        let warns = |e: &Event| matches!(e, Event::Warning { text } if text.contains("histories"));
        swarm.log.iter().flatten().filter(|(at, event)| *at == machine && warns(event)).count()
    };
    let found = swarm.run(60 * SECOND, |swarm| {
        let have = swarm.status(2).and_then(|s| Some(s.feeds.first()?.have));
        // A reader linked to the first one may see both histories itself and stop there.
        told(swarm, 1) > 0 && (have == Some(second) || linked && told(swarm, 2) > 0)
    });
    assert!(found, "common {common}, first {first}, second {second}, hole {hole}: no fork seen");
    swarm.run(60 * SECOND, |_| false);
    assert_eq!((told(&swarm, 0), told(&swarm, 1)), (0, 1));
    assert!(told(&swarm, 2) <= usize::from(linked));
    for (machine, event) in swarm.log.iter().flatten() {
        let blamed = |reason: &str| !reason.ends_with("duplicate");
        let parted = matches!(event, Event::PeerLeft { reason, .. } if blamed(reason));
        assert!(!parted, "m{machine}: {event:?}");
    }
    // Frozen as it was, over a restart too.
    let length = |swarm: &Swarm| swarm.status(1).and_then(|s| Some(s.feeds.first()?.length));
    let before = length(&swarm);
    let machine = swarm.posts[1].machine;
    swarm.world.kill(machine);
    swarm.posts[1].down_until = Some(swarm.world.now());
    swarm.run(30 * SECOND, |_| false);
    assert_eq!((length(&swarm), told(&swarm, 1)), (before, 2));
    swarm.check_idle();
    let evidence = device(&swarm, 1).read(Path::new(DIR).join("gannet.fork"));
    assert!(evidence.is_ok_and(|bytes| bytes.len() > 72), "the second proof is kept");
    swarm.world.trace()
}

fn append(device: &Device, count: u64, what: &[u8]) {
    let mut disk = device.process();
    let dir = disk.open_root(Path::new(DIR), false).expect("it was made");
    let mut store = patiently(|| FeedStore::open(&mut disk, dir, "", None, None, Content::File));
    for number in 0..count {
        let block = [what, &number.to_be_bytes()].concat();
        patiently(|| store.append(&mut disk, &[&block]));
    }
    store.close(&mut disk, Instant(0)).expect("a good disk");
    device.sync();
}
