//! Cores under power cuts and kills at every write: a writer that appends and truncates, a reader that
//! follows it.

use std::collections::BTreeMap;

use gannet::feed::Feed;
use gannet::feed::hyper::{Ask, Upgrade};
use gannet::rng::Rng;
use gannet::store::{FeedStore, StoreError};

use super::core::*;
use super::crash::{cuts, kill, lives, often};
use super::disk::{Device, SimDisk};
use super::help::*;
use super::reorg::{KIND, agrees, follow, writer};

fn at(feed: &Feed) -> (u64, u64) {
    (feed.fork_id(), feed.length())
}

/// What the world knows of a writer, over all its lives.
#[derive(Default)]
struct World {
    /// By fork and length, what somebody may have seen.
    signatures: BTreeMap<(u64, u64), Vec<u8>>,
    /// What was announced last.
    announced: (u64, u64),
    /// The blocks of each fork and length that was to become durable.
    histories: BTreeMap<(u64, u64), Vec<Vec<u8>>>,
    done: bool,
}

impl World {
    /// A stranger asks for all there is: it is signed, and only once.
    fn look(
        &mut self,
        device: &Device,
        disk: &mut SimDisk,
        store: &mut FeedStore,
    ) -> Result<(), StoreError> {
        let (fork, length) = at(store.feed());
        assert!((fork, length) >= self.announced, "{:?} was announced", self.announced);
        self.announced = (fork, length);
        if length == 0 {
            return Ok(());
        }
        let ask = Ask { upgrade: Some(Upgrade { start: 0, length }), ..Ask::default() };
        let proof = match answer(disk, store, &ask) {
            Err(_) if device.is_cut() => return Err(StoreError::NotYet),
            answer => answer.expect("provable").0,
        };
        let mut near = SimDisk::new(5);
        let mut reader = create_core(&mut near, KIND, false).expect("a reader");
        let manifest = store.manifest();
        reader.check_core(&mut near, fork, &proof, manifest.as_deref(), None).expect("signed");
        let signature = proof.upgrade.and_then(|grown| grown.signature).expect("a signature");
        let known = self.signatures.entry((fork, length)).or_insert_with(|| signature.clone());
        assert_eq!(*known, signature, "two signatures for fork {fork}, length {length}");
        Ok(())
    }
}

fn write_all(
    device: &Device,
    world: &mut World,
    life: u8,
    rng: &mut Rng,
) -> Result<(), StoreError> {
    let mut disk = device.process();
    let mut store = match open_core(&mut disk, KIND) {
        Err(StoreError::Missing) => create_core(&mut disk, KIND, true)?,
        other => other?,
    };
    assert!(store.is_writable());
    recover(&mut disk, &mut store)?;
    world.look(device, &mut disk, &mut store)?;
    let mut blocks = world.histories.get(&at(store.feed())).cloned().unwrap_or_default();
    assert_eq!(blocks.len() as u64, store.feed().length(), "a length that nobody asked for");
    assert_eq!(store.feed().have().prefix(), store.feed().length());
    for (index, expected) in blocks.iter().enumerate() {
        assert_eq!(try_read(&mut disk, &mut store, index as u64)?, *expected, "block {index}");
    }
    for _ in 0..40 {
        match rng.below(8) {
            0..=3 => {
                let count = rng.between(1, 9) as usize;
                let batch: Vec<Vec<u8>> =
                    (0..count).map(|_| vec![life; rng.below(40) as usize]).collect();
                let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
                wait(|| store.append(&mut disk, &slices))?;
                blocks.extend(batch);
            }
            4 => store.flush(&mut disk)?,
            5 if blocks.len() > 3 && rng.one_in(2) => {
                world.histories.insert(at(store.feed()), blocks.clone());
                let length = rng.below(blocks.len() as u64);
                blocks.truncate(length as usize);
                world.histories.insert((store.feed().fork_id() + 1, length), blocks.clone());
                wait(|| store.truncate(&mut disk, length))?;
                world.look(device, &mut disk, &mut store)?;
            }
            _ => {
                world.histories.insert(at(store.feed()), blocks.clone());
                wait(|| store.commit(&mut disk, NOW))?;
                world.look(device, &mut disk, &mut store)?;
            }
        }
    }
    world.histories.insert(at(store.feed()), blocks);
    world.done = true;
    store.close(&mut disk, NOW)
}

#[test]
fn d08_a_core_s_writer_cut_at_every_write_never_signs_twice() {
    let device = Device::new(0);
    let mut rng = Rng::from_seed(0);
    write_all(&device, &mut World::default(), 1, &mut rng).expect("no cut");
    let writes = device.writes();
    assert!(writes > 50);
    for (cut, seed, device) in cuts(writes + 40) {
        let mut world = World::default();
        let mut rng = Rng::from_seed(seed);
        let live = |life, rng: &mut Rng| write_all(&device, &mut world, life, rng);
        lives((&device, cut), (&mut rng, 29), live, often);
        let mut disk = device.process();
        let mut store = open_core(&mut disk, KIND).expect("opened");
        assert!(world.done && !store.recovering(), "cut {cut}");
        assert_eq!(everything(&mut disk, &mut store).1, [], "cut {cut}");
    }
}

/// A writer that is killed rather than cut off: the page cache stays, and with it what was flushed.
#[test]
fn d08_a_killed_writer_of_a_core_never_signs_twice() {
    for seed in 0..60 {
        let device = Device::new(seed);
        let mut world = World::default();
        let mut rng = Rng::from_seed(seed);
        for life in 1..12 {
            device.cut_after(rng.between(5, 120));
            let ended = write_all(&device, &mut world, life, &mut rng);
            assert!(ended.is_ok() || device.is_cut(), "seed {seed}, life {life}: {ended:?}");
            kill(&device);
            if rng.one_in(4) {
                device.crash();
            }
        }
        assert!(world.signatures.len() > 5, "seed {seed}: {} shown", world.signatures.len());
    }
}

/// What a writer finds after a kill in the midst of a commit it shows only when no power cut can take
/// it any more.
#[test]
fn d08_a_power_cut_after_a_kill_takes_nothing_that_was_shown() {
    let mut shown_more = 0;
    for (cut, seed) in (0..30).flat_map(|cut| (0..12).map(move |seed| (cut, seed))) {
        let device = Device::new(seed * 100 + cut);
        let mut disk = device.process();
        let mut store = create_core(&mut disk, KIND, true).expect("a writer");
        append(&mut disk, &mut store, 5).expect("appended");
        store.commit(&mut disk, NOW).expect("committed");
        append(&mut disk, &mut store, 3).expect("appended");
        device.cut_after(cut);
        let committed = store.commit(&mut disk, NOW);
        kill(&device);
        let mut disk = device.process();
        let mut store = open_core(&mut disk, KIND).expect("opened");
        let shown = at(store.feed());
        let ask = Ask { upgrade: Some(Upgrade { start: 0, length: shown.1 }), ..Ask::default() };
        answer(&mut disk, &mut store, &ask).expect("shown");
        assert!(shown == (0, 8) || shown == (0, 5) && committed.is_err());
        shown_more += u32::from(shown == (0, 8) && committed.is_err());
        device.crash();
        let mut disk = device.process();
        let mut store = open_core(&mut disk, KIND).expect("opened");
        assert_eq!(at(store.feed()), shown, "cut {cut}, seed {seed}");
        recover(&mut disk, &mut store).expect("recovered");
        assert_eq!(store.feed().have().prefix(), shown.1);
    }
    assert!(shown_more > 10, "the kill never came between writing and syncing");
}

const HISTORIES: [(u64, u64); 3] = [(0, 50), (31, 64), (12, 40)];

/// A reader's life beside a writer in each of its histories.
struct Sources(Vec<(SimDisk, FeedStore, Vec<u64>)>);

impl Sources {
    fn new() -> Sources {
        let source = |histories: &[(u64, u64)]| {
            let mut disk = SimDisk::new(7);
            let (store, forks) = writer(&mut disk, histories);
            (disk, store, forks)
        };
        Sources((1..=HISTORIES.len()).map(|n| source(&HISTORIES[..n])).collect())
    }
}

/// What a reader had made durable.
#[derive(Default)]
struct Kept {
    at: (u64, u64),
    blocks: Vec<u64>,
}

impl Kept {
    fn note(&mut self, store: &FeedStore) {
        self.at = at(store.feed());
        self.blocks = (0..self.at.1).filter(|&b| store.feed().has(b)).collect();
    }
}

fn read_all(
    device: &Device,
    sources: &mut Sources,
    kept: &mut Kept,
    rng: &mut Rng,
) -> Result<(), StoreError> {
    let mut disk = device.process();
    let mut store = match open_core(&mut disk, KIND) {
        Err(StoreError::Missing) => create_core(&mut disk, KIND, false)?,
        other => other?,
    };
    recover(&mut disk, &mut store)?;
    assert!(at(store.feed()) >= kept.at, "{:?} was durable", kept.at);
    if store.feed().fork_id() == kept.at.0 {
        for &index in &kept.blocks {
            assert!(store.feed().has(index), "block {index} was committed and is gone");
        }
    }
    let first = store.feed().fork_id() as usize;
    for (stage, (far, source, forks)) in sources.0.iter_mut().enumerate().skip(first) {
        // What is held is of the history that the store says it has.
        if store.feed().fork_id() == stage as u64 {
            agrees(&mut disk, &mut store, forks)?;
        }
        if store.feed().fork_id() < stage as u64 {
            // An empty one needs no way from history to history.
            follow((far, source), (&mut disk, &mut store)).inspect_err(|error| {
                assert!(device.is_cut(), "{error}");
            })?;
            agrees(&mut disk, &mut store, forks)?;
            kept.note(&store);
        }
        let length = source.feed().length();
        let mut missing: Vec<u64> = (0..length).filter(|&b| !store.feed().has(b)).collect();
        rng.shuffle(&mut missing);
        if stage + 1 < HISTORIES.len() {
            missing.truncate(missing.len() / 2);
        }
        for index in missing {
            bring((far, source), (&mut disk, &mut store), index)?;
            if rng.one_in(15) {
                store.flush(&mut disk)?;
            }
            if rng.one_in(25) {
                wait(|| store.commit(&mut disk, NOW))?;
                kept.note(&store);
            }
        }
    }
    store.close(&mut disk, NOW)?;
    let mut store = open_core(&mut disk, KIND)?;
    assert!(!store.recovering());
    let (_, last, forks) = &sources.0[HISTORIES.len() - 1];
    assert_eq!(at(store.feed()), at(last.feed()));
    assert_eq!(store.feed().have().prefix(), last.feed().length());
    agrees(&mut disk, &mut store, forks)
}

#[test]
fn d08_a_core_s_reader_cut_at_every_write() {
    let mut sources = Sources::new();
    let device = Device::new(0);
    let mut rng = Rng::from_seed(0);
    read_all(&device, &mut sources, &mut Kept::default(), &mut rng).expect("no cut");
    let writes = device.writes();
    assert!(writes > 60);
    for (cut, seed, device) in cuts(writes) {
        let mut kept = Kept::default();
        let mut rng = Rng::from_seed(seed);
        let live = |_, rng: &mut Rng| read_all(&device, &mut sources, &mut kept, rng);
        let next = |life, rng: &mut Rng| (cut % 3 != 0 && life <= 3).then(|| rng.below(cut + 10));
        lives((&device, cut), (&mut rng, 20), live, next);
    }
}

#[test]
fn a_killed_reader_of_a_core_keeps_its_length() {
    let mut sources = Sources::new();
    for seed in 0..20 {
        let device = Device::new(seed);
        let mut rng = Rng::from_seed(seed);
        let (far, source, _) = &mut sources.0[0];
        let mut flushed = Vec::new();
        for _ in 0..6 {
            let mut disk = device.process();
            let mut store = match open_core(&mut disk, KIND) {
                Err(StoreError::Missing) => create_core(&mut disk, KIND, false).expect("created"),
                other => other.expect("opened"),
            };
            recover(&mut disk, &mut store).expect("recovered");
            for &index in &flushed {
                assert!(store.feed().has(index), "seed {seed}: block {index} had been written");
            }
            for _ in 0..rng.between(1, 9) {
                let index = rng.below(50);
                bring((far, source), (&mut disk, &mut store), index).expect("stored");
            }
            store.flush(&mut disk).expect("flushed");
            flushed = (0..50).filter(|&b| store.feed().has(b)).collect();
            // Not closed: the process is gone.
            drop(disk);
        }
    }
}
