//! Two nodes that hold a part of a feed each and fetch the rest from one another, and nobody else is
//! there: each asks and answers at the same time, through pipes as narrow as the seed has them. Neither
//! may stop reading because of what the other asks (R11).

use std::path::Path;

use gannet::daemon::config::{Blocks, Run};
use gannet::feed::hyper::{Ask, Indexed, Upgrade};
use gannet::link::{Dialect, Key, Link};
use gannet::node::event::Event;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::sync;
use gannet::time::Instant;

use crate::disk::{Device, SimDisk};
use crate::feeds::{self, DIR, create, patiently};
use crate::swarm::Swarm;
use crate::world::SECOND;

pub fn run(seed: u64) -> u64 {
    exchange(seed, Dialect::Dat)
}

pub fn run_cores(seed: u64) -> u64 {
    exchange(seed, Dialect::Hyper)
}

fn exchange(seed: u64, dialect: Dialect) -> u64 {
    let mut swarm = Swarm::new(seed);
    swarm.log = Some(Vec::new());
    let keys = feeds::writer(dialect, seed);
    let link = Link::new(dialect, Key(keys.public));
    for _ in 0..2 {
        let run = Run::CoreFetch {
            link: link.clone(),
            dir: DIR.into(),
            blocks: Blocks::Follow,
            show: None,
        };
        swarm.add(run, vec![(DIR.into(), "", true)]);
    }
    let first = Swarm::address(swarm.posts[0].machine);
    swarm.posts[1].peers.push(first);
    let desk = swarm.world.add_machine(&[0]);
    let desk = swarm.world.device(desk);
    create(&desk, &keys);
    // Half the time both ask for as much as anybody may from the first moment on.
    let eager = swarm.rng.one_in(2);
    if eager {
        let usual = sync::Tuning::default();
        let most = usual.tiny_requests;
        swarm.sync = Some(sync::Tuning { requests: (most, most), ..usual });
    }
    let sizes = [(60, 2000), (1000, 1500), (16_000, 240), (65_536, 60)];
    let (size, most) = sizes[swarm.rng.below(4) as usize];
    let count = swarm.rng.between(if eager { most / 2 } else { 20 }, most);
    let blocks: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; size]).collect();
    // Runs of blocks go to one or the other; sometimes nearly all to one.
    let bias = swarm.rng.between(1, 9);
    let mut owner = 0;
    let owners: Vec<usize> = (0..count)
        .map(|n| {
            if eager {
                owner = (n % 2) as usize;
            } else if swarm.rng.one_in(10) {
                owner = usize::from(swarm.rng.below(10) < bias);
            }
            owner
        })
        .collect();
    let devices = [0, 1].map(|post: usize| swarm.world.device(swarm.posts[post].machine));
    deal(&desk, &devices, &blocks, &owners);
    swarm.calm_down();
    if eager || swarm.rng.one_in(2) {
        // Fast lines that hold little: many requests are out, and few answers fit between the two.
        let window = 300 << swarm.rng.below(7);
        let weather = &mut swarm.world.net().weather;
        (weather.window, weather.segment) = (window, 536);
        (weather.latency_us, weather.rate, weather.turn_us) = ((20, 200), 50_000_000, 20);
    }
    let whole = |swarm: &mut Swarm| {
        let have = |post| Some(swarm.status(post)?.feeds.first()?.have);
        have(0) == Some(count) && have(1) == Some(count)
    };
    let done = swarm.run(7200 * SECOND, whole);
    let left: Vec<&Event> = swarm
        .log
        .iter()
        .flatten()
        .map(|(_, e)| e)
        .filter(|e| matches!(e, Event::PeerLeft { .. }))
        .collect();
    assert!(left.is_empty(), "somebody hung up in calm weather: {left:?}");
    assert!(done, "{count} blocks of {size} bytes: {:?} {:?}", swarm.status(0), swarm.status(1));
    swarm.check_idle();
    swarm.check_stop();
    swarm.world.trace()
}

/// Makes both readers' feeds, with their blocks and the proofs of them.
fn deal(desk: &Device, devices: &[Device; 2], blocks: &[Vec<u8>], owners: &[usize]) {
    let mut disk = desk.process();
    let dir = disk.open_root(Path::new(DIR), false).expect("it was made");
    let mut source = patiently(|| FeedStore::open(&mut disk, dir, "", None, None, Content::File));
    let parts: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    patiently(|| source.append(&mut disk, &parts));
    // Of a core nothing is proven to anybody before it is durable.
    patiently(|| source.commit(&mut disk, Instant(0)));
    for (post, device) in devices.iter().enumerate() {
        let mine: Vec<u64> =
            (0..blocks.len()).filter(|n| owners[*n] == post).map(|n| n as u64).collect();
        give(&mut disk, &mut source, device, &mine);
    }
    source.close(&mut disk, Instant(0)).expect("a good disk");
}

/// The whole tree of a core, and some of its blocks.
fn give_of_core(
    disk: &mut SimDisk,
    source: &mut FeedStore,
    there: &mut SimDisk,
    store: &mut FeedStore,
    blocks: &[u64],
) {
    let upgrade = Some(Upgrade { start: 0, length: source.feed().length() });
    let asks = std::iter::once((Ask { upgrade, ..Ask::default() }, None));
    let asks = asks.chain(blocks.iter().map(|&index| (Ask::default(), Some(index))));
    for (mut ask, index) in asks {
        let mut value = Vec::new();
        if let Some(index) = index {
            ask.block = Some(Indexed { index, nodes: store.feed().levels(index) });
            patiently(|| source.read(disk, index, &mut value));
        }
        let proof = patiently(|| source.prove(disk, &ask));
        let (manifest, value) = (source.manifest(), index.map(|_| &value[..]));
        let accepted = patiently(|| store.check_core(there, 0, &proof, manifest.as_deref(), value));
        patiently(|| store.accept_core(there, &accepted, value));
    }
}

/// Makes a reader's feed with some of the blocks and the proofs of them.
pub fn give(disk: &mut SimDisk, source: &mut FeedStore, device: &Device, blocks: &[u64]) {
    let mut there = device.process();
    let dir = there.open_root(Path::new(DIR), true).expect("the disk is empty");
    let public = *source.feed().key();
    let core = source.feed().as_core().is_some();
    let keys = || if core { Keys::core(public) } else { Keys::dat(public, None, false) };
    let mut store = patiently(|| FeedStore::create(&mut there, dir, "", keys(), Content::File));
    if core {
        give_of_core(disk, source, &mut there, &mut store, blocks);
    }
    for &block in blocks.iter().filter(|_| !core) {
        let digest = store.feed().digest(block);
        let proof = patiently(|| source.proof(disk, block, digest, false));
        let mut value = Vec::new();
        patiently(|| source.read(disk, block, &mut value));
        let signature = proof.signature.as_ref();
        let accepted =
            patiently(|| store.check(&mut there, block, Some(&value), &proof.nodes, signature));
        patiently(|| store.accept(&mut there, &accepted, Some(&value)));
    }
    store.close(&mut there, Instant(0)).expect("a good disk");
    device.sync();
}
