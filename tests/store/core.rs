//! Cores of Hypercore 10 and 11: written, proven from store to store, reopened; strangers' answers.

use gannet::crypto::hyper as hashes;
use gannet::crypto::sign::KeyPair;
use gannet::feed::Refusal;
use gannet::feed::hyper::{
    Ask, Authority, Container, Indexed, Manifest, Proof, Seek, Share, Signer, Tree, Upgrade,
};
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::store::{
    Content, Cursor, Damage, FeedStore, Flavor, Keys, Opening, Progress, StoreError, Stored,
};

use super::disk::{Device, Faults, SimDisk};
use super::help::*;

/// How a core's key comes about.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// It is the signer's.
    Compat,
    /// The hash of a manifest of this version.
    Version(u64),
}

pub const KINDS: [Kind; 4] = [Kind::Compat, Kind::Version(0), Kind::Version(1), Kind::Version(3)];

pub fn keys(kind: Kind, write: bool) -> Keys {
    let manifest = match kind {
        Kind::Compat => None,
        Kind::Version(version) => Some(Manifest { version, ..Manifest::single(pair().public()) }),
    };
    let public = manifest.as_ref().map_or(pair().public(), Manifest::key);
    // A reader has the key alone.
    let flavor = Flavor::Core(manifest.filter(|_| write));
    Keys { public, secret: write.then(pair), keep_secret: write, flavor }
}

pub fn create_core(disk: &mut dyn Disk, kind: Kind, write: bool) -> Result<FeedStore, StoreError> {
    let dir = root(disk);
    wait(|| FeedStore::create(disk, dir, "", keys(kind, write), Content::File))
}

pub fn open_core(disk: &mut dyn Disk, kind: Kind) -> Result<FeedStore, StoreError> {
    let dir = root(disk);
    let mut opening = Opening::new(dir, "", Some(keys(kind, false).public), None, Content::File);
    wait(|| opening.step(disk))
}

/// What a reader asks for to get a block from somebody who has so many.
pub fn want(reader: &FeedStore, index: u64, length: u64) -> Ask {
    let start = reader.feed().length();
    let upgrade = (start < length).then(|| Upgrade { start, length: length - start });
    Ask {
        block: Some(Indexed { index, nodes: reader.feed().levels(index) }),
        upgrade,
        ..Ask::default()
    }
}

/// The answer to a request, and the block.
pub fn answer(
    disk: &mut dyn Disk,
    store: &mut FeedStore,
    ask: &Ask,
) -> Result<(Proof, Option<Vec<u8>>), StoreError> {
    let proof = wait(|| store.prove(disk, ask))?;
    let value = match &proof.block {
        Some(block) => Some(try_read(disk, store, block.index)?),
        None => None,
    };
    Ok((proof, value))
}

/// Asks, checks and stores as two peers would.
pub fn get(
    from: (&mut dyn Disk, &mut FeedStore),
    to: (&mut dyn Disk, &mut FeedStore),
    ask: &Ask,
) -> Result<Stored, StoreError> {
    let (proof, value) = answer(from.0, from.1, ask)?;
    let (fork, manifest) = (from.1.feed().fork_id(), from.1.manifest());
    let accepted =
        wait(|| to.1.check_core(to.0, fork, &proof, manifest.as_deref(), value.as_deref()))?;
    wait(|| to.1.accept_core(to.0, &accepted, value.as_deref()))
}

/// Brings a block over.
pub fn bring(
    from: (&mut dyn Disk, &mut FeedStore),
    to: (&mut dyn Disk, &mut FeedStore),
    index: u64,
) -> Result<Stored, StoreError> {
    let ask = want(to.1, index, from.1.feed().length());
    assert!(from.1.feed().answers(&ask, from.1.feed().fork_id()), "{ask:?}");
    get(from, to, &ask)
}

/// A writer with so many blocks, and an empty reader.
pub fn two(kind: Kind, length: u64) -> (SimDisk, FeedStore, SimDisk, FeedStore) {
    let (mut far, mut near) = (SimDisk::new(1), SimDisk::new(2));
    let mut writer = create_core(&mut far, kind, true).expect("a writer");
    append(&mut far, &mut writer, length).expect("appended");
    writer.commit(&mut far, NOW).expect("committed");
    let reader = create_core(&mut near, kind, false).expect("a reader");
    (far, writer, near, reader)
}

pub fn everything(disk: &mut SimDisk, store: &mut FeedStore) -> (u64, Vec<Damage>) {
    let (mut cursor, mut blocks, mut bad) = (Cursor::default(), 0, Vec::new());
    loop {
        let found = wait(|| store.verify_step(disk, &mut cursor, None, 3000)).expect("verified");
        blocks += found.blocks;
        bad.extend(found.bad);
        if found.done {
            return (blocks, bad);
        }
    }
}

#[test]
fn blocks_of_cores_in_any_order_with_a_moody_disk() {
    for seed in 0..12 {
        let kind = KINDS[seed as usize % KINDS.len()];
        let mut rng = Rng::from_seed(seed);
        let (source_device, device) = (Device::new(seed), Device::new(seed + 1000));
        let (mut near, mut far) = (device.process(), source_device.process());
        let mut writer = create_core(&mut far, kind, true).expect("a writer");
        let mut reader = create_core(&mut near, kind, false).expect("a reader");
        device.set_faults(Faults::gentle(&mut rng));
        source_device.set_faults(Faults::gentle(&mut rng));
        let length = rng.between(1, 500);
        while writer.feed().length() < length {
            let batch = rng.between(1, 90);
            append(&mut far, &mut writer, batch).expect("appended");
            wait(|| writer.commit(&mut far, NOW)).expect("committed");
            let known = writer.feed().length();
            for _ in 0..rng.below(60) {
                let index = rng.below(known);
                bring((&mut far, &mut writer), (&mut near, &mut reader), index).expect("stored");
                assert!(reader.feed().has(index) && reader.feed().length() == known);
                assert_eq!(reader.feed().levels(index), 0);
            }
            match rng.below(5) {
                0 => wait(|| reader.flush(&mut near)).expect("flushed"),
                1 => wait(|| reader.commit(&mut near, NOW)).expect("committed"),
                2 => wait(|| reader.rest(&mut near)).expect("rested"),
                3 => {
                    let before = reader.feed().clone();
                    wait(|| reader.commit(&mut near, NOW)).expect("committed");
                    match reader.close(&mut near, NOW) {
                        Ok(()) | Err(StoreError::NotYet) => {}
                        Err(error) => panic!("{error}"),
                    }
                    reader = open_core(&mut near, kind).expect("opened");
                    recover(&mut near, &mut reader).expect("recovered");
                    let after = reader.feed();
                    assert_eq!(after.length(), before.length());
                    assert_eq!(after.byte_length(), before.byte_length());
                    let signature = |feed: &gannet::feed::Feed| {
                        feed.as_core().expect("a core").signature.clone()
                    };
                    assert_eq!(signature(after), signature(&before));
                    let all = || before.have().ranges(0, length + 100);
                    assert!(after.have().ranges(0, length + 100).eq(all()));
                }
                _ => {}
            }
            device.evict();
        }
        let (length, mut offset) = (writer.feed().length(), 0);
        for index in 0..length {
            let bytes = block(index);
            assert_eq!(read(&mut far, &mut writer, index), bytes);
            if reader.feed().has(index) {
                assert_eq!(read(&mut near, &mut reader, index), bytes, "block {index}");
                let extent = wait(|| reader.extent(&mut near, index)).expect("an extent");
                assert_eq!(extent, (offset, bytes.len() as u64));
                assert!(wait(|| reader.check_leaf(&mut near, index, &bytes)).expect("checked"));
                let other = wait(|| reader.check_leaf(&mut near, index, b"else"));
                assert!(!other.expect("checked"));
            }
            offset += bytes.len() as u64;
        }
        assert_eq!(everything(&mut near, &mut reader).1, []);
        assert_eq!(everything(&mut far, &mut writer), (length, vec![]));
        // A third one gets from the relay all that it has.
        let mut third_disk = Device::new(seed + 2000).process();
        let mut third = create_core(&mut third_disk, kind, false).expect("a reader");
        let held: Vec<u64> = (0..length).filter(|&b| reader.feed().has(b)).collect();
        for &index in &held {
            let from = (&mut near as &mut dyn Disk, &mut reader);
            assert!(bring(from, (&mut third_disk, &mut third), index).expect("stored").new);
        }
        for &index in &held {
            let from = (&mut near as &mut dyn Disk, &mut reader);
            assert!(!bring(from, (&mut third_disk, &mut third), index).expect("stored").new);
            assert_eq!(read(&mut third_disk, &mut third, index), block(index));
        }
        assert_eq!(third.manifest(), writer.manifest());
        assert_eq!(writer.manifest().is_none(), matches!(kind, Kind::Compat));
    }
}

#[test]
fn what_a_writer_has_not_made_durable_nobody_sees() {
    let (mut far, mut writer, mut near, mut reader) = two(Kind::Version(1), 5);
    append(&mut far, &mut writer, 4).expect("appended");
    writer.flush(&mut far).expect("flushed");
    let ask = Ask { upgrade: Some(Upgrade { start: 0, length: 5 }), ..Ask::default() };
    get((&mut far, &mut writer), (&mut near, &mut reader), &ask).expect("stored");
    assert_eq!((writer.feed().length(), reader.feed().length()), (9, 5));
    let late = want(&reader, 7, 9);
    let refused = writer.prove(&mut far, &late);
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Index))));
    writer.commit(&mut far, NOW).expect("committed");
    get((&mut far, &mut writer), (&mut near, &mut reader), &late).expect("stored");
    assert_eq!((reader.feed().length(), reader.feed().has(7)), (9, true));
    // Killed before a commit: what nobody saw is gone.
    append(&mut far, &mut writer, 4).expect("appended");
    writer.flush(&mut far).expect("flushed");
    writer.abandon(&mut far);
    let mut writer = open_core(&mut far, Kind::Version(1)).expect("opened");
    recover(&mut far, &mut writer).expect("recovered");
    assert_eq!((writer.feed().length(), writer.feed().have().prefix()), (9, 9));
}

#[test]
fn the_manifest_comes_with_the_first_proof() {
    let (mut far, mut writer, mut near, mut reader) = two(Kind::Version(1), 3);
    let (proof, value) = answer(&mut far, &mut writer, &want(&reader, 1, 3)).expect("proven");
    let manifest = writer.manifest().expect("a manifest");
    let mut check = |manifest: Option<&[u8]>| {
        reader.check_core(&mut near, 0, &proof, manifest, value.as_deref())
    };
    let mut other = Vec::new();
    Manifest::single([1; 32]).encode(&mut other);
    assert!(matches!(check(None), Err(StoreError::Refused(Refusal::Unsigned))));
    for wrong in [&other[..], b"", b"\x09", &manifest[1..]] {
        assert!(matches!(check(Some(wrong)), Err(StoreError::Refused(Refusal::Manifest))));
    }
    let accepted = check(Some(&manifest)).expect("proven");
    assert!(accepted.authority.is_some());
    assert_eq!(reader.manifest(), None);
    reader.accept_core(&mut near, &accepted, value.as_deref()).expect("stored");
    assert_eq!(reader.manifest().as_ref(), Some(&manifest));
    reader.close(&mut near, NOW).expect("closed");
    let mut reader = open_core(&mut near, Kind::Version(1)).expect("opened");
    assert_eq!(reader.manifest().as_ref(), Some(&manifest));
    // From now on nobody has to give it.
    let (proof, value) = answer(&mut far, &mut writer, &want(&reader, 2, 3)).expect("proven");
    reader.check_core(&mut near, 0, &proof, None, value.as_deref()).expect("proven");
    // A core whose key is its signer's: what is said of a manifest does not matter.
    let (mut far, mut writer, mut near, mut reader) = two(Kind::Compat, 3);
    let (proof, _) = answer(
        &mut far,
        &mut writer,
        &Ask { upgrade: Some(Upgrade { start: 0, length: 3 }), ..Ask::default() },
    )
    .expect("proven");
    let mut own = Vec::new();
    Manifest::single(pair().public()).encode(&mut own);
    let accepted = reader.check_core(&mut near, 0, &proof, Some(&own), None).expect("proven");
    assert_eq!(accepted.authority, Some(Authority::Compat(pair().public())));
    reader.accept_core(&mut near, &accepted, None).expect("stored");
    assert_eq!(reader.manifest(), None);
    reader.close(&mut near, NOW).expect("closed");
    let reader = open_core(&mut near, Kind::Compat).expect("opened");
    assert_eq!(reader.feed().length(), 3);
}

#[test]
fn keys_that_do_not_belong_together() {
    let mut disk = SimDisk::new(1);
    let dir = root(&mut disk);
    let manifest = Manifest::single([1; 32]);
    let mut create = |keys| FeedStore::create(&mut disk, dir, "", keys, Content::File);
    let wrong = Keys { public: [2; 32], ..keys(Kind::Version(1), true) };
    assert!(matches!(create(wrong), Err(StoreError::Refused(Refusal::Manifest))));
    let (public, flavor) = (manifest.key(), Flavor::Core(Some(manifest)));
    let others = Keys { public, secret: Some(pair()), keep_secret: false, flavor };
    assert!(matches!(create(others), Err(StoreError::ReadOnly)));
    let made = create(Keys::core_writer(pair(), true)).expect("created");
    assert!(made.is_writable() && made.feed().as_core().is_some());
    assert_eq!(made.feed().key(), &keys(Kind::Version(1), false).public);
}

#[test]
fn several_signers_are_read() {
    let pairs: Vec<KeyPair> = (1..4).map(|seed| KeyPair::from_seed([seed; 32])).collect();
    let signers = pairs.iter().map(|pair| Signer { namespace: [4; 32], key: pair.public() });
    let manifest = Manifest { quorum: 2, signers: signers.collect(), ..Manifest::single([0; 32]) };
    let (mut tree, mut nodes) = (Tree::default(), Vec::new());
    for index in 0..3 {
        let bytes = block(index);
        tree.append_block(bytes.len() as u64, hashes::leaf(&bytes), &mut nodes).expect("room");
    }
    let signed = |by: &[usize]| {
        let message = hashes::signable(Some(&manifest.key()), &tree.hash(), tree.length(), 0);
        let share =
            |at: usize| Share { signer: at as u64, signature: pairs[at].sign(&message), patch: 0 };
        let signed = by.iter().map(|&at| share(at));
        let mut bytes = Vec::new();
        Container { signed: signed.collect(), nodes: Vec::new() }.encode(1, &mut bytes);
        bytes
    };
    let proof = |signature: Vec<u8>| Proof {
        upgrade: Some(gannet::feed::hyper::Grown {
            start: 0,
            length: 3,
            nodes: tree.roots().to_vec(),
            additional: Vec::new(),
            signature: Some(signature),
        }),
        ..Proof::default()
    };
    let mut disk = SimDisk::new(1);
    let dir = root(&mut disk);
    let key = Keys::core(manifest.key());
    let mut reader = FeedStore::create(&mut disk, dir, "", key, Content::File).expect("created");
    let mut bytes = Vec::new();
    manifest.encode(&mut bytes);
    for few in [&[0][..], &[1, 1], &[]] {
        let refused = reader.check_core(&mut disk, 0, &proof(signed(few)), Some(&bytes), None);
        assert!(matches!(refused, Err(StoreError::Refused(Refusal::Unsigned))), "{few:?}");
    }
    let enough = proof(signed(&[2, 0]));
    let accepted = reader.check_core(&mut disk, 0, &enough, Some(&bytes), None).expect("proven");
    reader.accept_core(&mut disk, &accepted, None).expect("stored");
    reader.flush(&mut disk).expect("flushed");
    reader.abandon(&mut disk);
    let mut reader =
        FeedStore::open(&mut disk, dir, "", None, None, Content::File).expect("opened");
    recover(&mut disk, &mut reader).expect("recovered");
    assert_eq!(reader.feed().length(), 3);
    let ask = Ask { upgrade: Some(Upgrade { start: 0, length: 3 }), ..Ask::default() };
    assert_eq!(reader.prove(&mut disk, &ask).expect("proven"), enough);
    assert_eq!(reader.manifest(), Some(bytes));
    let key = manifest.key();
    let secret = Some(pairs[0].clone());
    reader.close(&mut disk, NOW).expect("closed");
    let refused = FeedStore::open(&mut disk, dir, "", Some(key), secret, Content::File);
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "one of three cannot write");
}

#[test]
fn wrong_answers_are_refused_and_leave_nothing() {
    let mut rng = Rng::from_seed(3);
    for round in 0..300 {
        let (mut far, mut writer, mut near, mut reader) = two(Kind::Version(1), 40);
        for index in 0..rng.below(6) {
            let from = (&mut far as &mut dyn Disk, &mut writer);
            bring(from, (&mut near, &mut reader), index * 5).expect("stored");
        }
        append(&mut far, &mut writer, 7).expect("appended");
        writer.commit(&mut far, NOW).expect("committed");
        let index = 1 + 2 * rng.below(23);
        let ask = want(&reader, index, 47);
        let (mut proof, value) = answer(&mut far, &mut writer, &ask).expect("proven");
        let mut value = value.expect("a block");
        let mut fork = 0;
        let grown = proof.upgrade.as_mut().expect("an upgrade");
        let path = &mut proof.block.as_mut().expect("a block").nodes;
        match round % 10 {
            0 => value.push(1),
            1 => grown.signature.as_mut().expect("signed")[9] ^= 1,
            2 => grown.nodes.first_mut().expect("a node").hash[3] ^= 1,
            3 => grown.length -= 1,
            4 if !path.is_empty() => path[0].size += 1,
            5 if !path.is_empty() => drop(path.pop()),
            6 => fork = 1,
            7 => grown.start += 1,
            8 => proof.block.as_mut().expect("a block").index ^= 1,
            _ => grown.nodes.push(grown.nodes[0]),
        }
        let before = (reader.feed().length(), reader.feed().nodes().count());
        let manifest = writer.manifest();
        let refused = reader.check_core(&mut near, fork, &proof, manifest.as_deref(), Some(&value));
        assert!(matches!(refused, Err(StoreError::Refused(_))), "round {round}: {refused:?}");
        assert_eq!(before, (reader.feed().length(), reader.feed().nodes().count()));
        get((&mut far, &mut writer), (&mut near, &mut reader), &ask).expect("the right one");
    }
}

#[test]
fn what_came_too_late_is_told_apart_from_what_is_wrong() {
    let (mut far, mut writer, mut near, mut reader) = two(Kind::Version(1), 4);
    let ask = want(&reader, 0, 4);
    let (proof, value) = answer(&mut far, &mut writer, &ask).expect("proven");
    let manifest = writer.manifest();
    let accepted = reader
        .check_core(&mut near, 0, &proof, manifest.as_deref(), value.as_deref())
        .expect("proven");
    bring((&mut far, &mut writer), (&mut near, &mut reader), 1).expect("stored");
    let refused = reader.accept_core(&mut near, &accepted, value.as_deref());
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Stale))));
    let refused = reader.check_core(&mut near, 0, &proof, None, value.as_deref());
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Stale))));
    let refused = reader.check_core(&mut near, 1, &proof, None, value.as_deref());
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::OtherFork))));
}

#[test]
fn bytes_are_found_and_absurd_requests_refused() {
    let (mut far, mut writer, mut near, mut reader) = two(Kind::Compat, 60);
    let mut start = 0;
    for index in 0..60 {
        let size = block(index).len() as u64;
        if size > 0 {
            assert_eq!(writer.seek(&mut far, start + size / 2).expect("found"), (index, size / 2));
        }
        start += size;
    }
    assert!(matches!(writer.seek(&mut far, start), Err(StoreError::Absent)));
    bring((&mut far, &mut writer), (&mut near, &mut reader), 20).expect("stored");
    let block = |index, nodes| Ask { block: Some(Indexed { index, nodes }), ..Ask::default() };
    assert!(matches!(reader.prove(&mut near, &block(21, 0)), Err(StoreError::Absent)));
    assert!(!reader.feed().answers(&block(21, 0), 0) && !reader.feed().answers(&block(20, 0), 1));
    assert!(reader.feed().answers(&block(20, 0), 0));
    let up = |start, length| Ask { upgrade: Some(Upgrade { start, length }), ..Ask::default() };
    for absurd in [block(20, 9), up(0, 61), up(60, 0), up(u64::MAX, 2)] {
        let refused = reader.prove(&mut near, &absurd);
        assert!(matches!(refused, Err(StoreError::Refused(Refusal::Index))), "{absurd:?}");
    }
    assert!(!reader.feed().answers(&up(0, 61), 0) && !reader.feed().answers(&up(9, u64::MAX), 0));
    let seek = Some(Seek { bytes: 9, padding: u64::MAX });
    let ask = Ask { hash: Some(Indexed { index: 40, nodes: 1 }), seek, ..Ask::default() };
    assert!(writer.prove(&mut far, &ask).is_err());
}

#[test]
fn any_rotten_byte_of_a_core_is_found_and_repaired() {
    for seed in 0..40 {
        let (mut far, mut writer, mut near, mut reader) = two(Kind::Version(1), 90);
        for index in 0..90 {
            bring((&mut far, &mut writer), (&mut near, &mut reader), index).expect("stored");
        }
        reader.close(&mut near, NOW).expect("closed");
        let mut reader = open_core(&mut near, Kind::Version(1)).expect("opened");
        reader.rest(&mut near).expect("rested");
        let device = near.device().clone();
        let mut rng = Rng::from_seed(seed);
        let file = ["/feed/data", "/feed/tree"][seed as usize % 2];
        let mut bytes = device.read(file).expect("a file");
        let at = 32 + rng.below(bytes.len() as u64 - 32);
        bytes[at as usize] ^= 1 << rng.below(8);
        let blank = file == "/feed/tree" && !reader.feed().holds((at - 32) / 40);
        device.write(file, &bytes).expect("written");
        let (_, bad) = everything(&mut near, &mut reader);
        assert!(!bad.is_empty() || blank, "seed {seed}: {file} at {at}");
        for damage in bad {
            reader.forget(&mut near, damage).expect("forgotten");
        }
        for index in 0..90 {
            if !reader.feed().has(index) {
                bring((&mut far, &mut writer), (&mut near, &mut reader), index).expect("stored");
            }
        }
        reader.close(&mut near, NOW).expect("closed");
        let mut reader = open_core(&mut near, Kind::Version(1)).expect("opened");
        assert_eq!(everything(&mut near, &mut reader), (90, vec![]), "seed {seed}");
        (0..90).for_each(|b| assert_eq!(read(&mut near, &mut reader, b), block(b)));
    }
}

#[test]
fn a_rotten_head_is_not_taken_for_one_that_was_cut_off() {
    let (mut far, mut writer, mut near, mut reader) = two(Kind::Version(1), 9);
    bring((&mut far, &mut writer), (&mut near, &mut reader), 3).expect("stored");
    reader.close(&mut near, NOW).expect("closed");
    writer.close(&mut far, NOW).expect("closed");
    let slot = |disk: &SimDisk, at: usize| {
        let device = disk.device().clone();
        let mut bytes = device.read("/feed/core").expect("a file");
        bytes[at + 40] ^= 1;
        device.write("/feed/core", &bytes).expect("written");
    };
    // The first head lies in slot 0, the one of nine blocks in slot 1.
    slot(&far, gannet::limits::STORE_HEAD_BYTES);
    match open_core(&mut far, Kind::Version(1)) {
        Err(StoreError::Damaged(what)) => assert!(what.starts_with("core is rotten"), "{what}"),
        other => panic!("{other:?}"),
    }
    // A reader fetches again.
    slot(&near, gannet::limits::STORE_HEAD_BYTES);
    let reader = open_core(&mut near, Kind::Version(1)).expect("opened");
    assert_eq!((reader.feed().length(), reader.feed().have().count()), (0, 0));
    reader.close(&mut near, NOW).expect("closed");
    slot(&near, 0);
    slot(&near, gannet::limits::STORE_HEAD_BYTES);
    assert!(matches!(open_core(&mut near, Kind::Version(1)), Err(StoreError::Damaged(_))));
}

#[test]
fn a_full_disk_takes_nothing_from_a_core() {
    for room in 0..60 {
        let device = Device::new(room);
        let mut disk = device.process();
        let mut store = create_core(&mut disk, Kind::Version(1), true).expect("a writer");
        append(&mut disk, &mut store, 20).expect("appended");
        store.commit(&mut disk, NOW).expect("committed");
        device.set_capacity(device.used() + room * 150);
        let appended = append(&mut disk, &mut store, 30);
        let committed = appended.and_then(|_| store.commit(&mut disk, NOW));
        assert!(matches!(committed, Ok(()) | Err(StoreError::Full)), "{committed:?}");
        let shown = if committed.is_ok() { 50 } else { 20 };
        let whole = |length| Ask { upgrade: Some(Upgrade { start: 0, length }), ..Ask::default() };
        store.prove(&mut disk, &whole(shown)).expect("proven");
        device.set_capacity(1 << 40);
        if store.feed().length() < 50 {
            append(&mut disk, &mut store, 30).expect("appended");
        }
        store.commit(&mut disk, NOW).expect("committed");
        store.prove(&mut disk, &whole(50)).expect("proven");
        store.close(&mut disk, NOW).expect("closed");
        let mut store = open_core(&mut disk, Kind::Version(1)).expect("opened");
        assert_eq!(everything(&mut disk, &mut store), (50, vec![]));
    }
}

#[test]
fn content_of_a_core_that_lies_elsewhere() {
    let (mut far, mut near) = (SimDisk::new(1), SimDisk::new(2));
    let kind = Kind::Version(1);
    let dir = root(&mut far);
    let make = || keys(kind, true);
    let mut writer =
        FeedStore::create(&mut far, dir, "blobs.", make(), Content::External).expect("created");
    let leaf = |index| (block(index).len() as u64, hashes::leaf(&block(index)));
    let leaves: Vec<_> = (0..40).map(leaf).collect();
    assert_eq!(writer.append_leaves(&mut far, &leaves).expect("appended"), 40);
    writer.commit(&mut far, NOW).expect("committed");
    let dir = root(&mut near);
    let mut reader =
        FeedStore::create(&mut near, dir, "blobs.", keys(kind, false), Content::External)
            .expect("created");
    let manifest = writer.manifest();
    for index in (0..40).step_by(3) {
        let proof = writer.prove(&mut far, &want(&reader, index, 40)).expect("proven");
        let value = block(index);
        let accepted = reader
            .check_core(&mut near, 0, &proof, manifest.as_deref(), Some(&value))
            .expect("proven");
        let before: u64 = (0..index).map(|b| block(b).len() as u64).sum();
        let placed = accepted.block.expect("a block");
        assert_eq!((placed.index, placed.offset, placed.size), (index, before, value.len() as u64));
        assert!(reader.accept_core(&mut near, &accepted, Some(&value)).expect("stored").new);
    }
    assert!(!near.device().exists("/feed/blobs.data"));
    // Killed: what is still there is found through its reader.
    reader.flush(&mut near).expect("flushed");
    reader.abandon(&mut near);
    let mut reader =
        FeedStore::open(&mut near, dir, "blobs.", None, None, Content::External).expect("opened");
    let mut read = |_: &mut dyn Disk, index: u64, _: u64, _: u64, out: &mut Vec<u8>| {
        out.extend(block(index));
        // Others never came, one is gone.
        Ok(index.is_multiple_of(3) && index != 9)
    };
    while reader.recover(&mut near, Some(&mut read), 500).expect("recovered") == Progress::More {}
    for index in 0..40 {
        assert_eq!(reader.feed().has(index), index % 3 == 0 && index != 9, "block {index}");
    }
    writer.truncate(&mut far, 7).expect("truncated");
    assert_eq!((writer.feed().length(), writer.feed().have().count()), (7, 7));
}

#[test]
fn a_core_that_rests_has_no_file_open() {
    let mut disk = SimDisk::new(1);
    let dir = disk.open_root("/cores".as_ref(), true).expect("a directory");
    disk.make_dir(dir, "ab".as_ref()).expect("made");
    let mut store =
        FeedStore::create(&mut disk, dir, "ab/", Keys::core_writer(pair(), true), Content::File)
            .expect("created");
    store.lock_above();
    append(&mut disk, &mut store, 20).expect("appended");
    store.commit(&mut disk, NOW).expect("committed");
    append(&mut disk, &mut store, 5).expect("appended");
    store.rest(&mut disk).expect("rested");
    assert_eq!(disk.open_files(), 1, "only the directory");
    assert_eq!(read(&mut disk, &mut store, 21), block(21));
    store.commit(&mut disk, NOW).expect("committed");
    store.rest(&mut disk).expect("rested");
    assert_eq!(disk.open_files(), 1, "only the directory");
    store.close(&mut disk, NOW).expect("closed");
    let mut opening = Opening::new(dir, "ab/", None, None, Content::File).locked_above();
    let mut store = opening.step(&mut disk).expect("opened");
    assert!(!store.recovering());
    store.rest(&mut disk).expect("rested");
    assert_eq!(disk.open_files(), 1, "only the directory");
    // A lock of its own is not taken.
    let second = Opening::new(dir, "ab/", None, None, Content::File).locked_above().step(&mut disk);
    assert_eq!(second.expect("opened").feed().length(), 25);
    assert_eq!(store.feed().length(), 25);
}
