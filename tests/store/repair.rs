//! Damage on disk: found, told, fetched again.

use gannet::rng::Rng;
use gannet::store::{Content, Cursor, Damage, FeedStore, Keys, Progress, StoreError};

use super::disk::{Faults, SimDisk};
use super::help::*;

fn verify(disk: &mut SimDisk, store: &mut FeedStore, repair: bool) -> (u64, Vec<Damage>) {
    let (mut cursor, mut blocks, mut bad) = (Cursor::default(), 0, Vec::new());
    loop {
        let found = wait(|| store.verify_step(disk, &mut cursor, None, 3000)).expect("verified");
        blocks += found.blocks;
        for damage in found.bad {
            if repair {
                wait(|| store.forget(disk, damage)).expect("forgotten");
            }
            bad.push(damage);
        }
        if found.done {
            return (blocks, bad);
        }
    }
}

fn pair_of_stores(length: u64) -> (SimDisk, FeedStore, SimDisk, FeedStore) {
    let (mut far, mut near) = (SimDisk::new(1), SimDisk::new(2));
    let mut writer = create(&mut far, "", true).expect("a writer");
    append(&mut far, &mut writer, length).expect("appended");
    let mut reader = create(&mut near, "", false).expect("a reader");
    for index in 0..length {
        fetch((&mut far, &mut writer), (&mut near, &mut reader), index).expect("stored");
    }
    reader.close(&mut near, NOW).expect("closed");
    let reader = open(&mut near, "").expect("opened");
    (far, writer, near, reader)
}

#[test]
fn any_rotten_byte_is_found_and_repaired() {
    for seed in 0..60 {
        let (mut far, mut writer, mut near, mut reader) = pair_of_stores(90);
        assert_eq!(verify(&mut near, &mut reader, false), (90, Vec::new()));
        reader.rest(&mut near).expect("rested");
        let device = near.device().clone();
        let mut rng = Rng::from_seed(seed);
        let file = ["/feed/data", "/feed/tree", "/feed/signatures"][seed as usize % 3];
        let mut bytes = device.read(file).expect("a file");
        let last = bytes.len() as u64 - 1;
        let at = match file {
            "/feed/signatures" => last - rng.below(64),
            _ => 32 + rng.below(last - 31),
        };
        bytes[at as usize] ^= 1 << rng.below(8);
        let blank = file == "/feed/tree" && !reader.feed().holds((at - 32) / 40);
        device.write(file, &bytes).expect("written");
        device.set_faults(Faults::gentle(&mut rng));
        let (_, bad) = verify(&mut near, &mut reader, true);
        assert!(!bad.is_empty() || blank, "seed {seed}: {file} at {at}");
        device.set_faults(Faults::default());
        for index in 0..90 {
            if !reader.feed().has(index) {
                fetch((&mut far, &mut writer), (&mut near, &mut reader), index).expect("stored");
            }
        }
        reader.close(&mut near, NOW).expect("closed");
        let mut reader = open(&mut near, "").expect("opened");
        assert_eq!(verify(&mut near, &mut reader, false), (90, Vec::new()), "seed {seed}");
        (0..90).for_each(|b| assert_eq!(read(&mut near, &mut reader, b), block(b)));
    }
}

#[test]
fn a_writer_is_told_and_keeps_what_it_has() {
    let mut disk = SimDisk::new(1);
    let mut store = create(&mut disk, "", true).expect("a writer");
    append(&mut disk, &mut store, 5).expect("appended");
    store.close(&mut disk, NOW).expect("closed");
    disk.device().clone().overwrite("/feed/signatures", 32 + 4 * 64, &[0; 64]).expect("written");
    let mut store = open(&mut disk, "").expect("opened");
    let (_, bad) = verify(&mut disk, &mut store, false);
    assert_eq!(bad, [Damage::Signature]);
    match store.forget(&mut disk, bad[0]) {
        Err(StoreError::Damaged(what)) => assert!(what.starts_with("signatures ")),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.feed().length(), 5);
}

#[test]
fn external_blocks_are_recovered_through_their_reader() {
    let mut far = SimDisk::new(1);
    let mut writer = create(&mut far, "", true).expect("a writer");
    append(&mut far, &mut writer, 120).expect("appended");
    let mut near = SimDisk::new(2);
    let dir = root(&mut near);
    let keys = Keys::dat(pair().public(), None, false);
    let mut store =
        FeedStore::create(&mut near, dir, "content.", keys, Content::External).expect("created");
    for index in (0..120).step_by(2) {
        fetch((&mut far, &mut writer), (&mut near, &mut store), index).expect("stored");
    }
    store.flush(&mut near).expect("flushed");
    store.abandon(&mut near);
    assert!(!near.device().exists("/feed/content.data"));
    let mut store =
        FeedStore::open(&mut near, dir, "content.", None, None, Content::External).expect("opened");
    assert!(store.recovering() && store.feed().have().is_empty());
    let mut asked = Vec::new();
    let mut reader = |_: &mut dyn gannet::store::disk::Disk,
                      index: u64,
                      offset: u64,
                      size: u64,
                      out: &mut Vec<u8>| {
        let before: u64 = (0..index).map(|b| block(b).len() as u64).sum();
        assert_eq!((before, block(index).len() as u64), (offset, size));
        asked.push(index);
        // Some are not there any more, some were changed.
        match index % 10 {
            0 | 1 | 3 | 5 | 7 | 9 => return Ok(false),
            2 => out.extend(vec![0xee; size as usize]),
            _ => out.extend(block(index)),
        }
        Ok(true)
    };
    while store.recover(&mut near, Some(&mut reader), 500).expect("recovered") == Progress::More {}
    assert_eq!(store.feed().length(), 120);
    let expected = |b: u64| {
        b.is_multiple_of(2) && !b.is_multiple_of(10) && (b % 10 != 2 || block(b).is_empty())
    };
    for index in 0..120 {
        assert_eq!(store.feed().has(index), expected(index), "block {index}");
    }
    assert!(asked.len() >= 60);
    store.close(&mut near, NOW).expect("closed");
    assert!(!near.device().exists("/feed/content.gannet.open"));
}
