//! Blocks that are given up for their space.

use gannet::rng::Rng;
use gannet::store::{FeedStore, Given, StoreError};

use super::crash::kill;
use super::disk::{Device, SimDisk};
use super::help::*;

const LENGTH: u64 = 400;

fn source() -> (SimDisk, FeedStore) {
    let mut disk = SimDisk::new(78);
    let mut store = create(&mut disk, "", true).expect("a writer");
    append(&mut disk, &mut store, LENGTH).expect("appended");
    (disk, store)
}

fn held(store: &FeedStore) -> u64 {
    (0..LENGTH).filter(|&n| store.feed().has(n)).map(|n| block(n).len() as u64).sum()
}

fn whole(disk: &mut SimDisk, store: &mut FeedStore) -> Result<(), StoreError> {
    for index in (0..LENGTH).filter(|&n| store.feed().has(n)).collect::<Vec<_>>() {
        assert_eq!(try_read(disk, store, index)?, block(index), "block {index}");
    }
    Ok(())
}

/// A reader that fetches and gives up blocks as it likes; fails at the cut.
fn live(device: &Device, source: &mut (SimDisk, FeedStore), seed: u64) -> Result<(), StoreError> {
    let mut rng = Rng::from_seed(seed);
    let mut disk = device.process();
    let mut store = match open(&mut disk, "") {
        Err(StoreError::Missing) => create(&mut disk, "", false)?,
        other => other?,
    };
    recover(&mut disk, &mut store)?;
    whole(&mut disk, &mut store)?;
    for _ in 0..30 {
        let (start, len) = (rng.below(LENGTH), rng.between(1, 40));
        for index in start..(start + len).min(LENGTH) {
            fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), index)?;
        }
        let (start, len) = (rng.below(LENGTH), rng.between(1, 80));
        let before = held(&store);
        let bytes = wait(|| store.discard(&mut disk, start, len, 1))?;
        assert_eq!(before - held(&store), bytes);
        assert_eq!(wait(|| store.held_bytes(&mut disk))?, held(&store));
        if rng.one_in(3) {
            // Some of it comes again before its space is given back.
            let again = start.min(LENGTH - 1);
            fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), again)?;
        }
        wait(|| store.commit(&mut disk, NOW))?;
        wait(|| store.give_back(&mut disk))?;
        whole(&mut disk, &mut store)?;
    }
    store.close(&mut disk, NOW)
}

#[test]
fn what_is_left_stays_whole_and_the_space_comes_back() {
    let mut source = source();
    for seed in 0..20 {
        let device = Device::new(seed);
        live(&device, &mut source, seed).expect("no faults");
        let mut disk = device.process();
        let mut store = open(&mut disk, "").expect("opened");
        for index in 0..LENGTH {
            fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), index).expect("stored");
        }
        store.commit(&mut disk, NOW).expect("committed");
        let full = device.used();
        assert_eq!(
            store.discard(&mut disk, 0, LENGTH, 1).expect("dropped"),
            source.1.feed().byte_length()
        );
        store.commit(&mut disk, NOW).expect("committed");
        store.give_back(&mut disk).expect("given back");
        store.close(&mut disk, NOW).expect("closed");
        let data = source.1.feed().byte_length();
        assert!(device.used() + data <= full + 4096, "{} of {full} bytes left", device.used());
    }
}

#[test]
fn d08_cut_at_every_write_no_bit_speaks_of_bytes_that_are_gone() {
    let mut source = source();
    let device = Device::new(1);
    live(&device, &mut source, 1).expect("no cut");
    for cut in 0..device.writes() {
        let device = Device::new(cut);
        device.cut_after(cut);
        let error = live(&device, &mut source, 1).expect_err("it is cut");
        assert!(device.is_cut(), "cut {cut}: {error}");
        if cut % 3 == 0 {
            kill(&device)
        } else {
            device.crash()
        }
        live(&device, &mut source, cut).expect("what is there is whole");
    }
}

#[test]
fn a_writer_gives_nothing_up() {
    let (mut disk, mut store) = source();
    assert!(matches!(store.discard(&mut disk, 0, 10, 1), Err(StoreError::ReadOnly)));
    assert_eq!(held(&store), store.feed().byte_length());
}

fn dropped(store: &FeedStore) -> Vec<(u64, u64)> {
    store.dropped().map_or(Vec::new(), |ranges| ranges.iter().collect())
}

#[test]
fn what_was_dropped_is_known_after_a_kill_and_a_power_cut_until_the_bound_is_larger() {
    let mut source = source();
    for cut in [kill as fn(&Device), Device::crash] {
        let device = Device::new(5);
        let mut disk = device.process();
        let mut store = create(&mut disk, "", false).expect("created");
        for index in 0..200 {
            fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), index).expect("stored");
        }
        wait(|| store.commit(&mut disk, NOW)).expect("committed");
        wait(|| store.discard(&mut disk, 10, 50, 7)).expect("dropped");
        store.set_aside(100, LENGTH, 7);
        assert!(store.owes());
        assert_eq!(wait(|| store.give_back(&mut disk)).expect("given back"), Given::Back);
        assert!(!store.owes());
        // Not committed since.
        cut(&device);
        let mut disk = device.process();
        let mut store = open(&mut disk, "").expect("opened");
        recover(&mut disk, &mut store).expect("recovered");
        assert_eq!(dropped(&store), [(10, 50), (200, LENGTH - 200)]);
        assert!((10..60).all(|block| !store.feed().has(block)));
        store.bound(7);
        assert_eq!(dropped(&store).len(), 2);
        // One of them comes all the same.
        fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), 20).expect("stored");
        assert_eq!(dropped(&store), [(10, 10), (21, 39), (200, LENGTH - 200)]);
        store.close(&mut disk, NOW).expect("closed");
        let mut store = open(&mut disk, "").expect("opened");
        assert_eq!(dropped(&store), [(10, 10), (21, 39), (200, LENGTH - 200)]);
        store.bound(8);
        assert_eq!(dropped(&store), []);
        store.close(&mut disk, NOW).expect("closed");
        assert_eq!(dropped(&open(&mut disk, "").expect("opened")), []);
    }
}

#[test]
fn a_full_disk_gives_back_and_what_has_no_room_is_listed_then() {
    let mut source = source();
    let device = Device::new(6);
    let mut disk = device.process();
    let mut store = create(&mut disk, "", false).expect("created");
    for index in 0..LENGTH {
        fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), index).expect("stored");
    }
    wait(|| store.commit(&mut disk, NOW)).expect("committed");
    let used = device.used();
    device.set_capacity(used);
    wait(|| store.discard(&mut disk, 0, LENGTH / 2, 1)).expect("dropped");
    assert_eq!(wait(|| store.give_back(&mut disk)).expect("it made room itself"), Given::Back);
    assert!(device.used() < used && !store.owes());
    kill(&device);
    let mut disk = device.process();
    let mut store = open(&mut disk, "").expect("opened");
    recover(&mut disk, &mut store).expect("recovered");
    assert_eq!(dropped(&store), [(0, LENGTH / 2)]);
    whole(&mut disk, &mut store).expect("what is left is whole");
}

#[test]
fn a_file_system_without_holes_says_so() {
    let mut source = source();
    let mut disk = SimDisk::new(7);
    disk.device().fs().solid = true;
    let mut store = create(&mut disk, "", false).expect("created");
    for index in 0..20 {
        fetch((&mut source.0, &mut source.1), (&mut disk, &mut store), index).expect("stored");
    }
    wait(|| store.discard(&mut disk, 0, 10, 1)).expect("dropped");
    assert_eq!(wait(|| store.give_back(&mut disk)).expect("forgotten all the same"), Given::Kept);
    assert_eq!((0..20).filter(|&n| store.feed().has(n)).count(), 10);
}
