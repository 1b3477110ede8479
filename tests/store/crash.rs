//! Power cuts and kills at every write.

use gannet::rng::Rng;
use gannet::store::{FeedStore, StoreError};

use super::disk::{Device, SimDisk};
use super::help::*;

const LENGTH: u64 = 150;

/// How many disks are cut at each write: `GANNET_SWEEPS`, or one.
fn sweeps() -> u64 {
    std::env::var("GANNET_SWEEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A disk for each write that is cut, and for each sweep: the number of the write, and a seed.
pub fn cuts(writes: u64) -> impl Iterator<Item = (u64, u64, Device)> {
    let sweeps = sweeps();
    (0..=writes).flat_map(move |cut| (0..sweeps).map(move |sweep| (cut, sweep))).map(
        |(cut, sweep)| {
            let seed = cut + (sweep << 32);
            let device = Device::new(seed);
            device.cut_after(cut);
            (cut, seed, device)
        },
    )
}

/// Lives on until one life comes through, of `most`: at each cut the process is ended or the power fails.
/// `next` says after how many writes it is cut again.
pub fn lives(
    (device, cut): (&Device, u64),
    (rng, most): (&mut Rng, u8),
    mut live: impl FnMut(u8, &mut Rng) -> Result<(), StoreError>,
    next: impl Fn(u8, &mut Rng) -> Option<u64>,
) {
    for life in 1..=most {
        match live(life, rng) {
            Ok(()) => return device.kill(),
            Err(error) => assert!(device.is_cut(), "cut {cut}, life {life}: {error}"),
        }
        if rng.one_in(3) {
            kill(device)
        } else {
            device.crash()
        }
        if let Some(writes) = next(life, rng) {
            device.cut_after(writes);
        }
    }
    panic!("cut {cut}: no end");
}

/// A writer is cut off often.
pub fn often(_: u8, rng: &mut Rng) -> Option<u64> {
    rng.one_in(2).then(|| rng.below(60))
}

/// Ends the process at the operation that was to be cut: the power stays, and with it all that was
/// written.
pub fn kill(device: &Device) {
    (device.fs().cut, device.fs().cut_in) = (false, None);
    device.kill();
}

/// What a reader had made durable when it was cut.
#[derive(Default)]
struct Kept {
    length: u64,
    blocks: Vec<u64>,
}

fn source() -> (SimDisk, FeedStore) {
    let mut disk = SimDisk::new(77);
    let mut store = create(&mut disk, "", true).expect("a writer");
    while store.feed().length() < LENGTH {
        append(&mut disk, &mut store, 10).expect("appended");
    }
    (disk, store)
}

/// A reader's life: opens or creates, recovers, fetches what it lacks. Fails at the cut.
fn read_all(
    device: &Device,
    source: &mut (SimDisk, FeedStore),
    kept: &mut Kept,
    seen: &mut Vec<u64>,
    seed: u64,
) -> Result<(), StoreError> {
    let mut rng = Rng::from_seed(seed);
    let mut disk = device.process();
    let mut store = match open(&mut disk, "") {
        Err(StoreError::Missing) => create(&mut disk, "", false)?,
        other => other?,
    };
    recover(&mut disk, &mut store)?;
    assert!(store.feed().length() >= kept.length, "the length went back");
    for &index in &kept.blocks {
        assert!(store.feed().has(index), "block {index} was committed and is gone");
    }
    for index in 0..LENGTH {
        if store.feed().has(index) {
            assert_eq!(try_read(&mut disk, &mut store, index)?, block(index), "block {index}");
        }
    }
    let mut missing: Vec<u64> = (0..LENGTH).filter(|&b| !store.feed().has(b)).collect();
    rng.shuffle(&mut missing);
    for index in missing {
        fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), index)?;
        seen.push(index);
        if rng.one_in(20) {
            store.flush(&mut disk)?;
        }
        if rng.one_in(30) {
            wait(|| store.commit(&mut disk, NOW))?;
            kept.length = store.feed().length();
            kept.blocks = (0..LENGTH).filter(|&b| store.feed().has(b)).collect();
        }
    }
    store.close(&mut disk, NOW)?;
    let mut store = open(&mut disk, "")?;
    assert!(!store.recovering());
    assert_eq!(store.feed().have().prefix(), LENGTH);
    for index in 0..LENGTH {
        assert_eq!(try_read(&mut disk, &mut store, index)?, block(index));
    }
    Ok(())
}

#[test]
fn d08_a_reader_cut_at_every_write() {
    let mut source = source();
    let device = Device::new(0);
    read_all(&device, &mut source, &mut Kept::default(), &mut Vec::new(), 0).expect("no cut");
    let writes = device.writes();
    assert!(writes > 50);
    for (cut, first, device) in cuts(writes) {
        let (mut kept, mut seen) = (Kept::default(), Vec::new());
        let mut seed = first;
        for _ in 0..20 {
            match read_all(&device, &mut source, &mut kept, &mut seen, seed) {
                Ok(()) => break,
                Err(error) => assert!(device.is_cut(), "cut {cut}: {error}"),
            }
            if (seed / 1000 + cut) % 3 == 0 {
                kill(&device)
            } else {
                device.crash()
            }
            seed += 1000;
            if cut % 3 == 0 && seed < first + 4000 {
                device.cut_after(cut / 3 + 7);
            }
        }
        device.kill();
        let mut disk = device.process();
        let store = open(&mut disk, "").expect("opened");
        assert_eq!(store.feed().have().prefix(), LENGTH, "cut {cut}");
    }
}

#[test]
fn d08_a_killed_reader_fetches_only_its_last_window_again() {
    let mut source = source();
    for seed in 0..40 {
        let device = Device::new(seed);
        let mut rng = Rng::from_seed(seed);
        let mut order: Vec<u64> = (0..LENGTH).collect();
        rng.shuffle(&mut order);
        let mut fetched = 0;
        let mut flushed: Vec<u64> = Vec::new();
        while fetched < LENGTH as usize {
            let mut disk = device.process();
            let mut store = match open(&mut disk, "") {
                Err(StoreError::Missing) => create(&mut disk, "", false).expect("created"),
                other => other.expect("opened"),
            };
            recover(&mut disk, &mut store).expect("recovered");
            for &index in &flushed {
                assert!(store.feed().has(index), "seed {seed}: block {index} had been written");
            }
            let stop = fetched + rng.between(1, 60) as usize;
            for &index in order.iter().take(stop) {
                if !store.feed().has(index) {
                    fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), index)
                        .expect("stored");
                }
            }
            match rng.below(3) {
                0 => store.commit(&mut disk, NOW).expect("committed"),
                _ => store.flush(&mut disk).expect("flushed"),
            }
            flushed = (0..LENGTH).filter(|&b| store.feed().has(b)).collect();
            fetched = stop;
            // Not closed: the process is gone.
            drop(disk);
        }
    }
}

/// A writer's life; `announced`: what others may have seen after a commit.
fn write_all(
    device: &Device,
    announced: &mut u64,
    life: u8,
    rng: &mut Rng,
    blocks: &mut Vec<Vec<u8>>,
) -> Result<(), StoreError> {
    let mut disk = device.process();
    let mut store = match open(&mut disk, "") {
        Err(StoreError::Missing) => create(&mut disk, "", true)?,
        other => other?,
    };
    assert!(store.is_writable());
    if store.recovering() {
        assert!(matches!(store.append(&mut disk, &[b"x"]), Err(StoreError::Recovering)));
    }
    recover(&mut disk, &mut store)?;
    let length = store.feed().length();
    assert!(length >= *announced, "announced {announced}, now {length}");
    *announced = length;
    assert!(length <= blocks.len() as u64);
    for (index, expected) in blocks.iter().enumerate().take(length as usize) {
        assert_eq!(try_read(&mut disk, &mut store, index as u64)?, *expected, "block {index}");
    }
    // What a fresh reader gets is whole, too.
    if length > 0 {
        let mut near = SimDisk::new(5);
        let mut reader = create(&mut near, "", false).expect("a reader");
        for index in [length - 1, 0, length / 2] {
            match fetch((&mut disk, &mut store), (&mut near, &mut reader), index) {
                Err(_) if device.is_cut() => return Err(StoreError::NotYet),
                fetched => fetched.expect("provable"),
            };
        }
        assert_eq!(reader.feed().length(), length);
    }
    blocks.truncate(length as usize);
    while store.feed().length() < LENGTH {
        let count = rng.between(1, 12) as usize;
        let batch: Vec<Vec<u8>> = (0..count).map(|_| vec![life; rng.below(40) as usize]).collect();
        blocks.extend(batch.iter().cloned());
        let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        wait(|| store.append(&mut disk, &batch))?;
        if rng.one_in(3) {
            store.flush(&mut disk)?;
        }
        if rng.one_in(4) {
            wait(|| store.commit(&mut disk, NOW))?;
            *announced = store.feed().length();
        }
    }
    store.close(&mut disk, NOW)
}

#[test]
fn d08_a_writer_cut_at_every_write_never_takes_back_what_was_announced() {
    let device = Device::new(0);
    let mut blocks = Vec::new();
    let mut rng = Rng::from_seed(0);
    write_all(&device, &mut 0, 1, &mut rng, &mut blocks).expect("no cut");
    let writes = device.writes();
    for (cut, seed, device) in cuts(writes + 40) {
        let (mut blocks, mut announced) = (Vec::new(), 0);
        let mut rng = Rng::from_seed(seed);
        let live = |life, rng: &mut Rng| write_all(&device, &mut announced, life, rng, &mut blocks);
        lives((&device, cut), (&mut rng, 29), live, often);
        let mut disk = device.process();
        let mut store = open(&mut disk, "").expect("opened");
        assert!(store.feed().length() >= LENGTH, "cut {cut}");
        for (index, expected) in blocks.iter().enumerate() {
            assert_eq!(read(&mut disk, &mut store, index as u64), *expected);
        }
    }
}
