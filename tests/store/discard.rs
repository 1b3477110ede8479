//! Blocks that are given up for their space.

use gannet::rng::Rng;
use gannet::store::{FeedStore, StoreError};

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
