//! Many nodes that keep the same core and are told of one of them: each comes to have the right number of
//! peers, whatever comes and goes (CHECKLIST N07 to N09). Small ones take part in the sweep; a large one
//! is measured with `cargo test --release --test sim -- --crowd 200`.

use std::fmt::Write as _;

use gannet::daemon::config::{Blocks, Run};
use gannet::link::{Dialect, Key, Link};
use gannet::swarm::balance::Bounds;

use crate::feeds::{self, DIR, create};
use crate::swarm::Swarm;
use crate::world::SECOND;

/// A few nodes told of one of them settle within a minute, also after some have died, after a line
/// between two halves was cut for a while, and besides somebody who would have them for himself.
pub fn run(seed: u64) -> u64 {
    let mut swarm = Swarm::new(seed);
    let count = swarm.rng.between(8, 12) as usize;
    let bounds = Bounds { min: 3, target: 4, max: 5 };
    gather(&mut swarm, seed, count, bounds, 0);
    swarm.calm_down();
    settle(&mut swarm, bounds, 60, "at the start");
    match swarm.rng.below(4) {
        0 => {
            // Some die without a word, and stay away for a while.
            let dead = swarm.rng.between(1, 3);
            for _ in 0..dead {
                let post = swarm.rng.between(1, count as u64 - 1) as usize;
                swarm.leave(post, true, 100 * SECOND);
            }
            settle(&mut swarm, bounds, 60, "after some have died");
        }
        1 => {
            let half = |post: usize| post % 2;
            let pairs: Vec<(usize, usize)> = (0..count)
                .flat_map(|a| (0..a).map(move |b| (a, b)))
                .filter(|(a, b)| half(*a) != half(*b))
                .map(|(a, b)| (swarm.posts[a].machine, swarm.posts[b].machine))
                .collect();
            pairs.iter().for_each(|(a, b)| swarm.world.net().part(*a, *b));
            swarm.run(60 * SECOND, |_| false);
            swarm.world.net().heal_all();
            // Each half had enough for itself: somebody has to look for others (N08).
            assert!(swarm.run(900 * SECOND, |swarm| meets(swarm)), "two islands stay apart");
            settle(&mut swarm, bounds, 60, "after two halves have met again");
        }
        2 => {
            // Somebody with any number of keys comes, who lies and would like to push the others out.
            let key = feeds::writer(Dialect::Hyper, seed).public;
            swarm.hostile = Some(swarm.add_sybil(key, bounds.min));
            swarm.run(120 * SECOND, |_| false);
            let post = swarm.rng.between(1, count as u64 - 1) as usize;
            swarm.leave(post, true, SECOND);
            let kept = |swarm: &mut Swarm| {
                let honest = honest(swarm);
                honest.len() == count && honest.iter().all(|(friends, _)| *friends > 0)
            };
            // Who has him alone thinks that he has enough, and finds others as two islands do.
            assert!(swarm.run(900 * SECOND, kept), "he has {:?} for himself", honest(&swarm));
            assert!(
                swarm.run(900 * SECOND, |swarm| meets(swarm)),
                "he has come between two groups"
            );
            // Without him there are too few for a while.
            swarm.calm_down();
            settle(&mut swarm, bounds, 60, "after he has gone");
        }
        _ => {}
    }
    // Who was last to come may still be in somebody's place.
    swarm.run(30 * SECOND, |_| false);
    let before = swarm.partings();
    swarm.run(60 * SECOND, |_| false);
    let partings = swarm.partings() - before;
    assert!(partings <= 2 * count as u32, "{partings} partings in a minute at rest");
    // Who was away comes back, so that all can be asked to stop.
    swarm.calm_down();
    swarm.run(10 * SECOND, |_| false);
    swarm.check_stop();
    swarm.world.trace()
}

/// So many nodes, of which some cannot be dialled, each told of the first.
fn gather(swarm: &mut Swarm, seed: u64, count: usize, bounds: Bounds, hidden_percent: u64) {
    let keys = feeds::writer(Dialect::Hyper, seed);
    let link = Link::new(Dialect::Hyper, Key(keys.public));
    swarm.bounds = bounds;
    for post in 0..count {
        let run = match post {
            0 => Run::CoreServe { dir: DIR.into() },
            _ => {
                let (link, blocks) = (link.clone(), Blocks::Follow);
                Run::CoreFetch { link, dir: DIR.into(), blocks, show: None }
            }
        };
        swarm.add_on(run, vec![(DIR.into(), "", true)], &[0]);
        swarm.posts[post].hidden = post > 0 && swarm.rng.below(100) < hidden_percent;
        if post > 0 {
            let first = Swarm::address(swarm.posts[0].machine);
            swarm.posts[post].peers.push(first);
        }
    }
    create(&swarm.world.device(swarm.posts[0].machine), &keys);
}

/// Peers of each node that runs.
fn counts(swarm: &Swarm) -> Vec<usize> {
    let nodes = (0..swarm.posts.len()).filter_map(|post| swarm.node(post));
    nodes.map(|node| node.peer_count()).collect()
}

fn settle(swarm: &mut Swarm, bounds: Bounds, seconds: u64, when: &str) {
    let mut over = 0;
    let settled = swarm.run(seconds * SECOND, |swarm| {
        let counts = counts(swarm);
        over = over.max(counts.iter().copied().max().unwrap_or(0));
        let most = counts.len().saturating_sub(1).min(bounds.min);
        counts.iter().all(|count| (most..=bounds.max).contains(count))
    });
    assert!(settled, "{when}: {:?} after {seconds} s", counts(swarm));
    assert!(over <= bounds.max + 1, "{when}: somebody had {over} peers");
}

/// Whether everybody is reached from the first node by way of peers.
fn meets(swarm: &Swarm) -> bool {
    let all: Vec<usize> =
        (0..swarm.posts.len()).filter(|post| swarm.node(*post).is_some()).collect();
    let ids = |post: usize| {
        let status = swarm.status(post);
        let peers = status.map(|status| status.peers).unwrap_or_default();
        peers.into_iter().filter_map(|peer| peer.host).collect::<Vec<_>>()
    };
    let Some(first) = all.first() else { return true };
    let (mut reached, mut next) = (vec![*first], vec![*first]);
    while let Some(post) = next.pop() {
        for host in ids(post) {
            let found =
                all.iter().find(|post| swarm.node(**post).map(|n| n.host_id()) == Some(host));
            if let Some(found) = found.filter(|found| !reached.contains(found)) {
                reached.push(*found);
                next.push(*found);
            }
        }
    }
    reached.len() == all.len()
}

/// A large crowd under churn, measured: what `docs/TESTING.md` quotes. The plot is an SVG.
pub fn measure(count: usize, seed: u64) -> (String, String) {
    let mut swarm = Swarm::new(seed);
    let bounds = Bounds { min: 8, target: 12, max: 32 };
    gather(&mut swarm, seed, count, bounds, 30);
    swarm.calm_down();
    let mut plot = Plot::default();
    let within = |swarm: &Swarm| {
        let counts = counts(swarm);
        let most = counts.len().saturating_sub(1).min(bounds.min);
        counts.iter().filter(|count| (most..=bounds.max).contains(count)).count() as f64
            / counts.len().max(1) as f64
    };
    let mut out = String::new();
    // From nothing.
    let begun = swarm.world.now();
    let (mut all, mut share) = (None, 0.0);
    swarm.run(120 * SECOND, |swarm| {
        share = within(swarm);
        plot.note(swarm.world.now(), share);
        if share >= 0.99 {
            all.get_or_insert(swarm.world.now());
        }
        false
    });
    let took = all.map_or(f64::NAN, |at| (at - begun) as f64 / SECOND as f64);
    let _ = writeln!(
        out,
        "{count} nodes, 30 % not dialled, told of one: 99 % within bounds after {took:.1} s"
    );
    // At rest.
    let before = swarm.partings();
    swarm.run(120 * SECOND, |swarm| {
        plot.note(swarm.world.now(), within(swarm));
        false
    });
    let rate = f64::from(swarm.partings() - before) / 2.0 / 2.0 / count as f64;
    let _ = writeln!(out, "at rest: {rate:.3} reconnects a node and minute");
    // A fifth leaves and comes back each minute.
    let (mut sum, mut looks) = (0.0, 0);
    let every = 60 * SECOND / (count as u64 / 5).max(1);
    let end = swarm.world.now() + 300 * SECOND;
    while swarm.world.now() < end {
        let post = swarm.rng.between(1, count as u64 - 1) as usize;
        let (silent, pause) = (swarm.rng.one_in(2), swarm.rng.between(5, 30) * SECOND);
        swarm.leave(post, silent, pause);
        swarm.run(every, |swarm| {
            let share = within(swarm);
            plot.note(swarm.world.now(), share);
            (sum, looks) = (sum + share, looks + 1);
            false
        });
    }
    let _ = writeln!(
        out,
        "under churn (20 % a minute): {:.2} % of the time within bounds",
        100.0 * sum / f64::from(looks)
    );
    // Half of them die at once.
    for post in (1..count).step_by(2) {
        swarm.leave(post, true, 600 * SECOND);
    }
    let begun = swarm.world.now();
    let mut healed = None;
    swarm.run(120 * SECOND, |swarm| {
        let share = within(swarm);
        plot.note(swarm.world.now(), share);
        if share >= 0.99 && swarm.world.now() > begun + SECOND {
            healed.get_or_insert(swarm.world.now());
        }
        false
    });
    let took = healed.map_or(f64::NAN, |at| (at - begun) as f64 / SECOND as f64);
    let _ = writeln!(
        out,
        "half of them dead without a word: 99 % within bounds again after {took:.1} s"
    );
    swarm.calm_down();
    swarm.run(120 * SECOND, |_| false);
    beset(&mut swarm, count, bounds, &mut out);
    (out, plot.svg())
}

/// Somebody comes who would be everybody's only company, and lies about where others are.
fn beset(swarm: &mut Swarm, count: usize, bounds: Bounds, out: &mut String) {
    swarm.add_sybil(feeds::writer(Dialect::Hyper, swarm.seed).public, bounds.min);
    let look = |swarm: &mut Swarm, seconds: u64, churn: bool| {
        let (mut within, mut fewest, mut his, mut looks) = (0, usize::MAX, 0.0, 0);
        for second in 0..seconds {
            if churn && second % (60 / (count as u64 / 5).clamp(1, 60)) == 0 {
                let post = swarm.rng.between(1, count as u64 - 1) as usize;
                let (silent, pause) = (swarm.rng.one_in(2), swarm.rng.between(5, 30) * SECOND);
                swarm.leave(post, silent, pause);
            }
            swarm.run(SECOND, |_| false);
            let honest = honest(swarm);
            within += honest.iter().filter(|(friends, _)| *friends >= bounds.min).count();
            fewest = honest.iter().map(|(friends, _)| *friends).min().unwrap_or(0);
            let all: usize = honest.iter().map(|(friends, others)| friends + others).sum();
            let others: usize = honest.iter().map(|(_, others)| others).sum();
            his += others as f64 / all.max(1) as f64;
            looks += honest.len();
        }
        let share = 100.0 * within as f64 / looks.max(1) as f64;
        (share, fewest, 100.0 * his / seconds as f64)
    };
    for (churn, what) in [(false, "at rest"), (true, "under churn")] {
        let (share, fewest, his) = look(swarm, 300, churn);
        let _ = writeln!(
            out,
            "beset by one with any number of keys, {what}: {share:.2} % of the time with the minimum of \
             honest peers; {his:.1} % of all peers were his; the loneliest had {fewest} at the end"
        );
    }
    let met = swarm.run(600 * SECOND, |swarm| meets(swarm));
    let _ = writeln!(out, "all honest ones reach each other: {met}");
}

/// Of each node that runs, how many of its peers are nodes as well, and how many are not.
fn honest(swarm: &Swarm) -> Vec<(usize, usize)> {
    let posts = 0..swarm.posts.len();
    let running: Vec<usize> = posts.filter(|post| swarm.node(*post).is_some()).collect();
    let ids: Vec<_> =
        running.iter().filter_map(|post| Some(swarm.node(*post)?.host_id())).collect();
    let of = |post: &usize| {
        let peers = swarm.status(*post).map(|status| status.peers).unwrap_or_default();
        let open = peers.iter().filter(|peer| peer.host.is_some());
        let (friends, others): (Vec<_>, Vec<_>) =
            open.partition(|peer| peer.host.is_some_and(|host| ids.contains(&host)));
        (friends.len(), others.len())
    };
    running.iter().map(of).collect()
}

/// The share of nodes within their bounds over time.
#[derive(Default)]
struct Plot(Vec<(u64, f64)>);

impl Plot {
    fn note(&mut self, at: u64, share: f64) {
        if self.0.last().is_none_or(|(last, _)| at >= last + SECOND) {
            self.0.push((at, share));
        }
    }

    fn svg(&self) -> String {
        let end = self.0.last().map_or(1, |(at, _)| *at).max(1) as f64;
        let mut line = String::new();
        for (at, share) in &self.0 {
            let (x, y) = (40.0 + 720.0 * *at as f64 / end, 20.0 + 200.0 * (1.0 - share));
            let _ = write!(line, "{x:.1},{y:.1} ");
        }
        let minutes = end / (60.0 * SECOND as f64);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 250\" font-family=\"sans-serif\" \
             font-size=\"11\">\n<path d=\"M40 20V220H760\" fill=\"none\" stroke=\"#888\"/>\n\
             <text x=\"4\" y=\"24\">100 %</text><text x=\"16\" y=\"222\">0 %</text>\n\
             <text x=\"700\" y=\"238\">{minutes:.0} minutes</text>\n\
             <polyline fill=\"none\" stroke=\"#246\" points=\"{}\"/>\n</svg>\n",
            line.trim_end()
        )
    }
}
