//! What lies on disk, and what can be asked of it.

use std::path::Path;

use gannet::feed::Refusal;
use gannet::rng::Rng;
use gannet::store::disk::{Disk, Open};
use gannet::store::{Content, FeedStore, Keys, StoreError};

use super::disk::{Device, Faults, SimDisk};
use super::help::*;

#[test]
fn files_as_javascript_writes_them() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../vectors/dat.json")).expect("vectors");
    let seed = hex::decode(vectors["crypto"]["seed"].as_str().expect("text")).expect("hex");
    let pair = gannet::crypto::sign::KeyPair::from_seed(seed.try_into().expect("32 bytes"));
    let blocks: Vec<Vec<u8>> = vectors["feed"]["blocks"]
        .as_array()
        .expect("list")
        .iter()
        .map(|block| hex::decode(block.as_str().expect("text")).expect("hex"))
        .collect();
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let mut disk = SimDisk::new(1);
    let dir = root(&mut disk);
    let keys = Keys::dat(pair.public(), Some(pair), true);
    let mut store = FeedStore::create(&mut disk, dir, "m.", keys, Content::File).expect("created");
    assert_eq!(store.append(&mut disk, &blocks).expect("appended"), 5);
    assert_eq!(store.feed().byte_length(), 18);
    store.close(&mut disk, NOW).expect("closed");

    let device = disk.device().clone();
    let files = &vectors["sleep"]["files"];
    for name in ["data", "key", "secret_key", "signatures", "tree"] {
        let bytes = device.read(format!("/feed/m.{name}")).expect("a file");
        assert_eq!(hex::encode(bytes), files[name]["hex"].as_str().expect("text"), "{name}");
    }
    let bitfield = device.read("/feed/m.bitfield").expect("a file");
    assert_eq!(bitfield.len() as u64, files["bitfield"]["size"].as_u64().expect("size"));
    assert_eq!(hex::encode(&bitfield[..32]), files["bitfield"]["header"].as_str().expect("text"));
    let mut expected = vec![0; 3584];
    for byte in files["bitfield"]["nonZeroBytes"].as_array().expect("list") {
        expected[byte[0].as_u64().expect("at") as usize] = byte[1].as_u64().expect("byte") as u8;
    }
    assert_eq!(bitfield[32..], expected);
    assert!(!device.exists("/feed/m.gannet.open"));
    let listed = device.tree("/feed");
    assert_eq!(listed.keys().filter(|path| path.to_string_lossy().contains("m.")).count(), 6);
}

#[test]
fn blocks_in_any_order_with_a_moody_disk() {
    for seed in 0..12 {
        let mut rng = Rng::from_seed(seed);
        let (source_device, device) = (Device::new(seed), Device::new(seed + 1000));
        let (mut near, mut far) = (device.process(), source_device.process());
        let mut writer = create(&mut far, "", true).expect("a writer");
        let mut reader = create(&mut near, "content.", false).expect("a reader");
        device.set_faults(Faults::gentle(&mut rng));
        source_device.set_faults(Faults::gentle(&mut rng));
        let length = rng.between(1, 700);
        while writer.feed().length() < length {
            let batch = rng.between(1, 90);
            append(&mut far, &mut writer, batch).expect("appended");
            let known = writer.feed().length();
            for _ in 0..rng.below(60) {
                let index = rng.below(known);
                let stored = fetch((&mut far, &mut writer), (&mut near, &mut reader), index);
                stored.expect("stored");
            }
            match rng.below(5) {
                0 => wait(|| reader.flush(&mut near)).expect("flushed"),
                1 => wait(|| reader.commit(&mut near, NOW)).expect("committed"),
                2 => wait(|| reader.rest(&mut near)).expect("rested"),
                3 => {
                    let (length, held) = (reader.feed().length(), reader.feed().have().clone());
                    let bytes = reader.feed().byte_length();
                    wait(|| reader.commit(&mut near, NOW)).expect("committed");
                    reader
                        .close(&mut near, NOW)
                        .or_else(|error| match error {
                            StoreError::NotYet => Ok(()),
                            error => Err(error),
                        })
                        .expect("closed");
                    reader = open(&mut near, "content.").expect("opened");
                    recover(&mut near, &mut reader).expect("recovered");
                    assert_eq!(
                        (reader.feed().length(), reader.feed().byte_length()),
                        (length, bytes)
                    );
                    assert!(reader.feed().have().ranges(0, length).eq(held.ranges(0, length)));
                }
                _ => {}
            }
            device.evict();
        }
        for index in 0..writer.feed().length() {
            assert_eq!(read(&mut far, &mut writer, index), block(index));
            if reader.feed().has(index) {
                assert_eq!(read(&mut near, &mut reader, index), block(index), "block {index}");
                let offset: u64 = (0..index).map(|b| block(b).len() as u64).sum();
                let extent = wait(|| reader.extent(&mut near, index)).expect("an extent");
                assert_eq!(extent, (offset, block(index).len() as u64));
            }
        }
        // A third one gets from the relay all that it has.
        let third_device = Device::new(seed + 2000);
        let mut third_disk = third_device.process();
        let mut third = create(&mut third_disk, "", false).expect("a reader");
        let held: Vec<u64> =
            (0..reader.feed().length()).filter(|&b| reader.feed().has(b)).collect();
        for &index in &held {
            let stored = fetch((&mut near, &mut reader), (&mut third_disk, &mut third), index);
            assert!(stored.expect("stored").new);
        }
        for &index in &held {
            let stored = fetch((&mut near, &mut reader), (&mut third_disk, &mut third), index);
            assert!(!stored.expect("stored").new, "r08: the second time changes nothing");
        }
    }
}

#[test]
fn small_and_large_blocks_and_seeking() {
    let (mut far, mut near) = (SimDisk::new(1), SimDisk::new(2));
    let mut writer = create(&mut far, "", true).expect("a writer");
    let mut reader = create(&mut near, "", false).expect("a reader");
    let large: Vec<u8> = (0..gannet::limits::BLOCK_BYTES).map(|at| (at / 7) as u8).collect();
    let blocks: [&[u8]; 6] = [b"", b"one", b"", &large, b"", b"last"];
    writer.append(&mut far, &blocks).expect("appended");
    let too_large = vec![0; gannet::limits::BLOCK_BYTES + 1];
    let refused = writer.append(&mut far, &[&too_large]);
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Size))));
    for index in [3, 0, 5, 4, 2, 1] {
        fetch((&mut far, &mut writer), (&mut near, &mut reader), index).expect("stored");
        assert_eq!(read(&mut near, &mut reader, index), blocks[index as usize]);
    }
    reader.close(&mut near, NOW).expect("closed");
    let mut reader = open(&mut near, "").expect("opened");
    assert_eq!(reader.feed().byte_length(), 7 + large.len() as u64);
    for (index, expected) in blocks.iter().enumerate() {
        assert_eq!(read(&mut near, &mut reader, index as u64), *expected);
        assert!(reader.check_leaf(&mut near, index as u64, expected).expect("checked"));
        assert!(!reader.check_leaf(&mut near, index as u64, b"else").expect("checked"));
    }
    let large = large.len() as u64;
    for (byte, at) in [(0, (1, 0)), (2, (1, 2)), (3, (3, 0)), (large + 2, (3, large - 1))] {
        assert_eq!(reader.seek(&mut near, byte).expect("found"), at);
    }
    assert_eq!(reader.seek(&mut near, large + 6).expect("found"), (5, 3));
    assert!(matches!(reader.seek(&mut near, large + 7), Err(StoreError::Absent)));
    assert!(matches!(reader.append(&mut near, &[b"no"]), Err(StoreError::ReadOnly)));
}

#[test]
fn a_feed_of_more_than_a_million_blocks() {
    let mut disk = SimDisk::new(3);
    let dir = root(&mut disk);
    let keys = Keys::dat(pair().public(), Some(pair()), true);
    let mut store =
        FeedStore::create(&mut disk, dir, "", keys, Content::External).expect("created");
    let leaves: Vec<_> =
        (0..1_100_000u64).map(|b| (8, gannet::crypto::hash::leaf(&b.to_be_bytes()))).collect();
    for part in leaves.chunks(100_000) {
        store.append_leaves(&mut disk, part).expect("appended");
        store.commit(&mut disk, NOW).expect("committed");
    }
    store.close(&mut disk, NOW).expect("closed");
    let mut store =
        FeedStore::open(&mut disk, dir, "", None, None, Content::External).expect("opened");
    assert_eq!((store.feed().length(), store.feed().byte_length()), (1_100_000, 8_800_000));
    assert_eq!(store.feed().have().prefix(), 1_100_000);
    let mut near = SimDisk::new(4);
    let mut reader = create(&mut near, "", false).expect("a reader");
    for index in [1_099_999u64, 1_048_575, 1_048_576, 0, 524_288, 1_099_998] {
        let proof = proof(&mut disk, &mut store, index, reader.feed().digest(index));
        let stored = take(&mut near, &mut reader, index, &index.to_be_bytes(), &proof);
        assert!(stored.expect("stored").new);
        assert_eq!(store.extent(&mut disk, index).expect("an extent"), (8 * index, 8));
    }
    reader.close(&mut near, NOW).expect("closed");
    let mut reader = open(&mut near, "").expect("opened");
    assert_eq!(reader.feed().length(), 1_100_000);
    assert_eq!(read(&mut near, &mut reader, 1_048_576), 1_048_576u64.to_be_bytes());
    assert!(!near.device().exists("/feed/data.x") && reader.feed().have().memory() < 8192);
}

#[test]
fn folders_made_before_2018() {
    let mut disk = SimDisk::new(5);
    let mut store = create(&mut disk, "", true).expect("a writer");
    append(&mut disk, &mut store, 20_000).expect("appended");
    store.close(&mut disk, NOW).expect("closed");
    let device = disk.device().clone();
    let new = device.read("/feed/bitfield").expect("a file");
    let mut old = new[..32].to_vec();
    old[5..7].copy_from_slice(&3328u16.to_be_bytes());
    for page in new[32..].chunks(3584) {
        old.extend_from_slice(&page[..3328]);
    }
    device.write("/feed/bitfield", &old).expect("written");
    let mut store = open(&mut disk, "").expect("opened");
    assert_eq!(store.feed().length(), 20_000);
    append(&mut disk, &mut store, 10_000).expect("appended");
    store.close(&mut disk, NOW).expect("closed");
    let bytes = device.read("/feed/bitfield").expect("a file");
    assert_eq!(bytes.len(), 32 + 4 * 3328);
    assert!(bytes[32 + 3328 + 3072..32 + 2 * 3328].iter().all(|&byte| byte == 0 || byte == 0xff));
    let mut store = open(&mut disk, "").expect("opened");
    assert_eq!(store.feed().have().prefix(), 30_000);
    assert_eq!(read(&mut disk, &mut store, 29_999), block(29_999));
}

#[test]
fn who_may_open_what() {
    let device = Device::new(6);
    let mut disk = device.process();
    assert!(matches!(open(&mut disk, ""), Err(StoreError::Missing)));
    let mut store = create(&mut disk, "", true).expect("a writer");
    append(&mut disk, &mut store, 3).expect("appended");
    assert!(matches!(create(&mut disk, "", false), Err(StoreError::Exists)));
    let mut second = device.process();
    assert!(matches!(open(&mut second, ""), Err(StoreError::Locked)));
    store.close(&mut disk, NOW).expect("closed");
    let dir = root(&mut second);
    let other = FeedStore::open(&mut second, dir, "", Some([1; 32]), None, Content::File);
    assert!(matches!(other, Err(StoreError::OtherFeed)));
    let before = second.open_files();
    device.overwrite("/feed/tree", 3, &[9]).expect("written");
    match open(&mut second, "") {
        Err(StoreError::Damaged(what)) => assert!(what.starts_with("tree "), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(second.open_files(), before + 1, "only the directory of this try");
    device.overwrite("/feed/tree", 3, &[2]).expect("written");
    device.remove("/feed/secret_key").expect("removed");
    let store = open(&mut second, "").expect("opened");
    assert!(!store.is_writable());
}

#[test]
fn idle_feeds_hold_one_descriptor() {
    let mut disk = SimDisk::new(7);
    let mut store = create(&mut disk, "", true).expect("a writer");
    append(&mut disk, &mut store, 300).expect("appended");
    assert!(store.dirty() > 0);
    store.commit(&mut disk, NOW).expect("committed");
    assert_eq!(store.dirty(), 0);
    store.rest(&mut disk).expect("rested");
    assert_eq!(disk.open_files(), 1 + 1, "the directory and the lock");
    assert_eq!(read(&mut disk, &mut store, 200), block(200));
    append(&mut disk, &mut store, 1).expect("appended");
    store.close(&mut disk, NOW).expect("closed");
    assert_eq!(disk.open_files(), 1);
}

#[test]
fn d09_a_full_disk_changes_nothing() {
    let device = Device::new(8);
    let mut far = SimDisk::new(9);
    let mut writer = create(&mut far, "", true).expect("a writer");
    append(&mut far, &mut writer, 30_000).expect("appended");
    let mut near = device.process();
    let mut reader = create(&mut near, "", false).expect("a reader");
    let mut rng = Rng::from_seed(8);
    let mut order: Vec<u64> = (0..30_000).collect();
    rng.shuffle(&mut order);
    device.set_capacity(device.used() + 100_000);
    let mut full = 0;
    for (at, &index) in order.iter().enumerate() {
        loop {
            let result = fetch((&mut far, &mut writer), (&mut near, &mut reader), index)
                .and_then(|_| if at % 500 == 0 { reader.commit(&mut near, NOW) } else { Ok(()) });
            match result {
                Ok(()) => break,
                Err(StoreError::Full) => {
                    full += 1;
                    device.set_capacity(device.used() + 200_000);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(full > 3);
    device.set_capacity(1 << 40);
    reader.close(&mut near, NOW).expect("closed");
    let mut reader = open(&mut near, "").expect("opened");
    assert_eq!(reader.feed().have().prefix(), 30_000);
    (0..30_000).for_each(|b| assert_eq!(read(&mut near, &mut reader, b), block(b)));
    // A writer whose batch does not fit has appended nothing, or all.
    device.set_capacity(device.used());
    let mut store = create(&mut near, "w.", true);
    while store.is_err() {
        device.set_capacity(device.used() + 4096);
        store = create(&mut near, "w.", true);
    }
    let mut store = store.expect("a writer");
    for _ in 0..20 {
        loop {
            let before = store.feed().length();
            match append(&mut near, &mut store, 2000) {
                Ok(length) => break assert_eq!(length, before + 2000),
                Err(StoreError::Full) => {
                    assert_eq!(store.feed().length(), before);
                    device.set_capacity(device.used() + 50_000);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    device.set_capacity(1 << 40);
    store.close(&mut near, NOW).expect("closed");
    let mut store = open(&mut near, "w.").expect("opened");
    (0..40_000).for_each(|b| assert_eq!(read(&mut near, &mut store, b), block(b)));
}

#[test]
fn d08_after_a_failed_sync_nothing_counts_as_durable_until_it_was_looked_at_again() {
    let mut source = SimDisk::new(1);
    let mut writer = create(&mut source, "", true).expect("a writer");
    append(&mut source, &mut writer, 20).expect("appended");
    let device = Device::new(2);
    let mut disk = device.process();
    let mut store = create(&mut disk, "", false).expect("a reader");
    let mut get = |store: &mut FeedStore, disk: &mut SimDisk, block| {
        fetch((&mut source, &mut writer), (disk, store), block)
    };
    get(&mut store, &mut disk, 3).expect("stored");
    store.commit(&mut disk, NOW).expect("committed");
    let bits = device.read("/feed/bitfield").expect("it is there");
    get(&mut store, &mut disk, 4).expect("stored");
    device.set_faults(Faults { sync_error: 1, ..Faults::default() });
    assert!(matches!(store.commit(&mut disk, NOW), Err(StoreError::Io(_))));
    device.set_faults(Faults::default());
    // The device forgot what it could not write; it does not fail again.
    assert!(matches!(store.commit(&mut disk, NOW), Err(StoreError::Unsynced)));
    assert!(matches!(get(&mut store, &mut disk, 5), Err(StoreError::Unsynced)));
    assert!(matches!(store.close(&mut disk, NOW), Err(StoreError::Unsynced)));
    assert_eq!(device.read("/feed/bitfield").expect("it is there"), bits);
    let mut store = open(&mut disk, "").expect("opened");
    assert!(store.recovering(), "the marker lies there");
    recover(&mut disk, &mut store).expect("recovered");
    get(&mut store, &mut disk, 5).expect("stored");
    store.close(&mut disk, NOW).expect("closed");
}

#[test]
fn b07_a_fork_freezes_the_feed_and_both_are_kept() {
    let (mut one_disk, mut other_disk, mut disk) =
        (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3));
    let mut one = create(&mut one_disk, "", true).expect("a writer");
    let mut other = create(&mut other_disk, "", true).expect("a writer");
    append(&mut one_disk, &mut one, 6).expect("appended");
    other.append(&mut other_disk, &[b"another".as_slice(); 7]).expect("appended");
    let mut reader = create(&mut disk, "", false).expect("a reader");
    fetch((&mut one_disk, &mut one), (&mut disk, &mut reader), 2).expect("stored");
    // Asked without telling what is held: otherwise the answer leaves out what would contradict.
    let proof = proof(&mut other_disk, &mut other, 1, 0);
    let refused = take(&mut disk, &mut reader, 1, b"another", &proof);
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Forked))));
    reader.close(&mut disk, NOW).expect("closed");
    let mut reader = open(&mut disk, "").expect("opened");
    let fork = reader.feed().fork().expect("a fork").clone();
    assert_eq!((fork.length, fork.roots.len()), (7, 3));
    assert_eq!((reader.feed().length(), reader.feed().has(2)), (6, true));
    let refused = fetch((&mut one_disk, &mut one), (&mut disk, &mut reader), 3);
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Forked))));
    assert_eq!(read(&mut disk, &mut reader, 2), block(2));
}

#[test]
fn b07_a_forked_feed_serves_whole_proofs_of_either_history() {
    let (mut one_disk, mut other_disk, mut disk) =
        (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3));
    let mut one = create(&mut one_disk, "", true).expect("a writer");
    let mut other = create(&mut other_disk, "", true).expect("a writer");
    append(&mut one_disk, &mut one, 4).expect("appended");
    append(&mut other_disk, &mut other, 4).expect("appended");
    one.append(&mut one_disk, &[b"lost"]).expect("appended");
    other.append(&mut other_disk, &[b"again".as_slice(); 4]).expect("appended");
    let mut reader = create(&mut disk, "", false).expect("a reader");
    (0..5).for_each(|b| {
        fetch((&mut one_disk, &mut one), (&mut disk, &mut reader), b).expect("stored");
    });
    // The second history covers the first without showing where they part.
    let whole = proof(&mut other_disk, &mut other, 7, 0);
    take(&mut disk, &mut reader, 7, b"again", &whole).expect("it is signed");
    let whole = proof(&mut other_disk, &mut other, 5, 0);
    let refused = take(&mut disk, &mut reader, 5, b"again", &whole);
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Forked))), "{refused:?}");
    // A stranger can check what it gets, whatever it says that it holds.
    let mut far = SimDisk::new(4);
    let mut stranger = create(&mut far, "", false).expect("a reader");
    for b in [0, 3, 7] {
        fetch((&mut disk, &mut reader), (&mut far, &mut stranger), b).expect("proven");
    }
    assert_eq!(stranger.feed().length(), 8);
    let mut far = SimDisk::new(5);
    let mut stranger = create(&mut far, "", false).expect("a reader");
    fetch((&mut disk, &mut reader), (&mut far, &mut stranger), 4).expect("proven");
    assert_eq!((stranger.feed().length(), read(&mut far, &mut stranger, 4)), (5, b"lost".into()));
}

#[test]
fn cleared_blocks_are_gone_but_provable() {
    let mut disk = SimDisk::new(1);
    let mut store = create(&mut disk, "", true).expect("a writer");
    append(&mut disk, &mut store, 100).expect("appended");
    store.clear(&mut disk, 10, 20).expect("cleared");
    store.clear(&mut disk, 90, u64::MAX).expect("cleared");
    store.close(&mut disk, NOW).expect("closed");
    let mut store = open(&mut disk, "").expect("opened");
    assert_eq!(store.feed().length(), 100);
    let runs: Vec<_> = store.feed().have().ranges(0, 200).collect();
    assert_eq!(runs, [(0, 10), (30, 60)]);
    assert!(matches!(store.read(&mut disk, 15, &mut Vec::new()), Err(StoreError::Absent)));
    let hash_only = store.proof(&mut disk, 15, 0, true).expect("a proof");
    assert_eq!(hash_only.nodes[0].index, 30);
}

#[test]
fn files_of_another_program_are_respected() {
    // JavaScript leaves out what was never written.
    let mut disk = SimDisk::new(1);
    let dir = root(&mut disk);
    for name in ["key", "bitfield", "tree", "signatures"] {
        let file = disk.open(dir, Path::new(name), Open::Create).expect("made");
        if name == "key" {
            disk.write_at(file, 0, &pair().public()).expect("written");
        }
        disk.close(file);
    }
    let mut store =
        FeedStore::open(&mut disk, dir, "", None, Some(pair()), Content::File).expect("opened");
    append(&mut disk, &mut store, 10).expect("appended");
    store.close(&mut disk, NOW).expect("closed");
    let mut store = open(&mut disk, "").expect("opened");
    assert_eq!(read(&mut disk, &mut store, 9), block(9));
}
