//! Many feeds made at once.

use std::path::Path;

use gannet::crypto::sign::KeyPair;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys, StoreError};

use crate::disk::{Device, SimDisk};

const FEEDS: u8 = 20;

/// Cores and feeds of Dat.
fn keys(number: u8) -> Keys {
    let public = KeyPair::from_seed([number; 32]).public();
    if number.is_multiple_of(2) { Keys::core(public) } else { Keys::dat(public, None, false) }
}

/// Makes those that are not there yet.
fn make(disk: &mut SimDisk) -> Result<usize, StoreError> {
    let root = disk.open_root(Path::new("/seeds"), true)?;
    let mut new = Vec::new();
    for number in 0..FEEDS {
        let _ = disk.make_dir(root, Path::new(&format!("{number}")));
        let (prefix, keys) = (format!("{number}/metadata."), keys(number));
        match FeedStore::open(disk, root, &prefix, Some(keys.public), None, Content::File) {
            Err(StoreError::Missing) => {
                new.push(FeedStore::create_unnamed(disk, root, &prefix, keys, Content::File)?);
            }
            other => {
                let store = other?;
                assert_eq!(store.feed().length(), 0);
                assert_eq!(store.feed().as_core().is_some(), number.is_multiple_of(2));
                store.abandon(disk);
            }
        }
    }
    disk.sync_fs(root)?;
    for store in &mut new {
        store.name(disk)?;
    }
    disk.sync_fs(root)?;
    let made = new.len();
    new.into_iter().for_each(|store| store.abandon(disk));
    Ok(made)
}

#[test]
fn d11_many_feeds_are_made_for_the_price_of_one() {
    let device = Device::new(1);
    let made = make(&mut device.process());
    assert_eq!(made.expect("a good disk"), usize::from(FEEDS));
    assert_eq!(device.syncs(), 2);
    device.crash();
    assert_eq!(make(&mut device.process()).expect("all of them are durable"), 0);
}

#[test]
fn d11_feeds_half_made_when_the_power_failed_open_or_are_made_anew() {
    let device = Device::new(1);
    make(&mut device.process()).expect("a good disk");
    for cut in 0..device.writes() {
        let device = Device::new(cut);
        device.cut_after(cut);
        make(&mut device.process()).expect_err("the power failed");
        device.crash();
        make(&mut device.process()).expect("those that are there are whole");
        device.crash();
        assert_eq!(make(&mut device.process()).expect("all are durable"), 0);
    }
}

/// A kill: what was written stays, also where nothing was synced.
#[test]
fn d11_feeds_half_made_by_a_killed_process_open_or_are_made_anew() {
    let device = Device::new(1);
    make(&mut device.process()).expect("a good disk");
    for cut in 0..device.writes() {
        let device = Device::new(cut);
        device.cut_after(cut);
        make(&mut device.process()).expect_err("it was killed");
        device.kill();
        make(&mut device.process()).expect("those that are there are whole");
        device.crash();
        assert_eq!(make(&mut device.process()).expect("all are durable"), 0);
    }
}
