//! Cores whose writer truncates: histories followed, interrupted, contradicted.

use gannet::feed::Refusal;
use gannet::feed::hyper::{Ask, Authority, Manifest, Reorg, Tree, Upgrade};
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::store::{FeedStore, Moved, StoreError};

use super::core::*;
use super::disk::{Device, Faults, SimDisk};
use super::help::*;

pub const KIND: Kind = Kind::Version(1);

/// A block of a certain history: those of two histories differ.
pub fn block_of(fork: u64, number: u64) -> Vec<u8> {
    let mut bytes = block(number);
    bytes.extend_from_slice(&[fork as u8, number as u8]);
    bytes
}

/// A writer that comes through histories: of each, how much of the one before it keeps, and its
/// length. Of each block the history that it is from.
pub fn writer(disk: &mut SimDisk, histories: &[(u64, u64)]) -> (FeedStore, Vec<u64>) {
    let mut store = create_core(disk, KIND, true).expect("a writer");
    let mut forks = Vec::new();
    for (fork, &(keep, length)) in histories.iter().enumerate() {
        if fork > 0 {
            wait(|| store.truncate(disk, keep)).expect("truncated");
        }
        assert_eq!(store.feed().fork_id(), fork as u64);
        forks.truncate(keep as usize);
        while (forks.len() as u64) < length {
            let bytes = block_of(fork as u64, forks.len() as u64);
            wait(|| store.append(disk, &[&bytes])).expect("appended");
            forks.push(fork as u64);
        }
        wait(|| store.commit(disk, NOW)).expect("committed");
    }
    (store, forks)
}

/// Follows to the other's history, as two peers would.
pub fn follow(
    from: (&mut dyn Disk, &mut FeedStore),
    to: (&mut dyn Disk, &mut FeedStore),
) -> Result<Moved, StoreError> {
    let (fork, length) = (from.1.feed().fork_id(), from.1.feed().length());
    let manifest = from.1.manifest();
    let (proof, _) = answer(from.0, from.1, &Reorg::ask(length))?;
    let mut reorg = wait(|| to.1.reorg_begin(to.0, fork, &proof, manifest.as_deref()))?;
    let mut questions = 0;
    while let Some(ask) = reorg.next() {
        questions += 1;
        assert!(questions < 40, "questions without end");
        let (proof, _) = answer(from.0, from.1, &ask)?;
        wait(|| to.1.reorg_narrow(to.0, &mut reorg, &proof))?;
    }
    wait(|| to.1.reorganise(to.0, &reorg))
}

/// Every block that is held is the one of this history.
pub fn agrees(disk: &mut dyn Disk, store: &mut FeedStore, forks: &[u64]) -> Result<(), StoreError> {
    for (index, &fork) in forks.iter().enumerate() {
        if store.feed().has(index as u64) {
            let bytes = try_read(disk, store, index as u64)?;
            assert_eq!(bytes, block_of(fork, index as u64), "block {index}");
        }
    }
    let have = store.feed().have();
    assert_eq!(have.next_set(store.feed().length()), None, "held behind the end");
    Ok(())
}

#[test]
fn any_history_is_followed_by_any_reader() {
    for seed in 0..60 {
        let mut rng = Rng::from_seed(seed);
        let first = rng.between(1, 120);
        let mut histories = vec![(0, first)];
        for _ in 0..rng.between(1, 3) {
            let keep = rng.below(histories[histories.len() - 1].1);
            histories.push((keep, keep + rng.between(u64::from(keep == 0), 90)));
        }
        let (device, far_device) = (Device::new(seed), Device::new(seed + 500));
        let (mut near, mut old_disk) = (device.process(), SimDisk::new(9));
        let mut far = far_device.process();
        let seen = rng.below(histories.len() as u64) as usize;
        let (mut old, old_forks) = writer(&mut old_disk, &histories[..=seen]);
        let (mut new, forks) = writer(&mut far, &histories);
        device.set_faults(Faults::gentle(&mut rng));
        far_device.set_faults(Faults::gentle(&mut rng));
        let mut reader = create_core(&mut near, KIND, false).expect("a reader");
        for _ in 0..rng.below(40) {
            let Some(last) = old.feed().length().checked_sub(1) else { break };
            let index = rng.between(0, last);
            bring((&mut old_disk, &mut old), (&mut near, &mut reader), index).expect("stored");
        }
        if rng.one_in(2) {
            wait(|| reader.commit(&mut near, NOW)).expect("committed");
        }
        let (length, held) = (reader.feed().length(), reader.feed().have().clone());
        let (fork, ours) = (new.feed().fork_id(), reader.feed().fork_id());
        if fork == ours {
            continue;
        }
        let moved = follow((&mut far, &mut new), (&mut near, &mut reader)).expect("followed");
        let same = old_forks.iter().zip(&forks).take_while(|(a, b)| a == b).count() as u64;
        // It may be less where nothing is held that tells, and so nothing is lost.
        let common = same.min(length);
        assert_eq!((moved.old, moved.new), (length, forks.len() as u64), "seed {seed}");
        assert!(
            moved.common <= common && held.count_range(moved.common, common - moved.common) == 0
        );
        assert_eq!((reader.feed().fork_id(), reader.feed().length()), (fork, moved.new));
        for index in 0..moved.new {
            assert_eq!(reader.feed().has(index), index < common && held.get(index));
        }
        agrees(&mut near, &mut reader, &forks).expect("read");
        assert!(!device.exists("/feed/core.reorg"));
        // Opened again it is the same; then the rest comes, and goes on to a third.
        if rng.one_in(2) {
            match reader.close(&mut near, NOW) {
                Ok(()) | Err(StoreError::NotYet) => {}
                Err(error) => panic!("{error}"),
            }
            reader = open_core(&mut near, KIND).expect("opened");
            recover(&mut near, &mut reader).expect("recovered");
            assert_eq!((reader.feed().fork_id(), reader.feed().length()), (fork, moved.new));
        }
        for index in 0..moved.new {
            let stored = bring((&mut far, &mut new), (&mut near, &mut reader), index);
            assert_eq!(stored.expect("stored").new, !(index < common && held.get(index)));
        }
        agrees(&mut near, &mut reader, &forks).expect("read");
        assert_eq!(everything(&mut near, &mut reader), (moved.new, vec![]));
        let mut third_disk = SimDisk::new(3);
        let mut third = create_core(&mut third_disk, KIND, false).expect("a reader");
        for index in 0..moved.new {
            let from = (&mut near as &mut dyn Disk, &mut reader);
            bring(from, (&mut third_disk, &mut third), index).expect("stored");
        }
        assert_eq!(third.feed().fork_id(), fork);
    }
}

#[test]
fn blocks_that_stay_can_be_proven_at_once() {
    let (mut old_disk, mut far, mut near) = (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3));
    let (mut old, _) = writer(&mut old_disk, &[(0, 29)]);
    let (mut new, forks) = writer(&mut far, &[(0, 29), (22, 61)]);
    let mut reader = create_core(&mut near, KIND, false).expect("a reader");
    for index in (0..29).step_by(3) {
        bring((&mut old_disk, &mut old), (&mut near, &mut reader), index).expect("stored");
    }
    follow((&mut far, &mut new), (&mut near, &mut reader)).expect("followed");
    let mut third_disk = SimDisk::new(4);
    let mut third = create_core(&mut third_disk, KIND, false).expect("a reader");
    for index in (0..22).step_by(3) {
        let from = (&mut near as &mut dyn Disk, &mut reader);
        assert!(bring(from, (&mut third_disk, &mut third), index).expect("stored").new);
    }
    agrees(&mut third_disk, &mut third, &forks).expect("read");
}

#[test]
fn only_higher_forks_are_followed_and_only_from_what_is_here() {
    let (mut far, mut near) = (SimDisk::new(1), SimDisk::new(2));
    let (mut old_disk, mut late_disk) = (SimDisk::new(3), SimDisk::new(4));
    let (mut old, _) = writer(&mut old_disk, &[(0, 9)]);
    let (mut new, _) = writer(&mut far, &[(0, 9), (5, 8)]);
    let (mut late, _) = writer(&mut late_disk, &[(0, 9), (5, 8), (2, 40)]);
    let mut reader = create_core(&mut near, KIND, false).expect("a reader");
    for index in 0..9 {
        bring((&mut old_disk, &mut old), (&mut near, &mut reader), index).expect("stored");
    }
    let (proof, _) = answer(&mut far, &mut new, &Reorg::ask(8)).expect("proven");
    let begun = reader.reorg_begin(&mut near, 2, &proof, None);
    assert!(matches!(begun, Err(StoreError::Refused(Refusal::Unsigned))));
    let begun = reader.reorg_begin(&mut near, 0, &proof, None);
    assert!(matches!(begun, Err(StoreError::Refused(Refusal::OtherFork))));
    let mut first = reader.reorg_begin(&mut near, 1, &proof, None).expect("begun");
    let unfinished = reader.reorganise(&mut near, &first);
    assert!(matches!(unfinished, Err(StoreError::Refused(Refusal::Empty))));
    let ask = first.next().expect("a question");
    let (mut narrowing, _) = answer(&mut far, &mut new, &ask).expect("proven");
    let path = &mut narrowing.hash.as_mut().expect("a path").nodes;
    let sizes = (path[0].size, path[1].size);
    (path[0].size, path[1].size) = (sizes.0 + 1, sizes.1 - 1);
    let refused = reader.reorg_narrow(&mut near, &mut first, &narrowing);
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::Wrong))));
    assert_eq!(first.next(), Some(ask), "as if nothing had come");
    follow((&mut late_disk, &mut late), (&mut near, &mut reader)).expect("followed");
    let stale = reader.reorg_narrow(&mut near, &mut first, &narrowing);
    assert!(matches!(stale, Err(StoreError::Refused(Refusal::Stale))));
    let begun = reader.reorg_begin(&mut near, 1, &proof, None);
    assert!(matches!(begun, Err(StoreError::Refused(Refusal::OtherFork))));
    assert_eq!(reader.feed().have().count(), 2);
    // A writer takes back all.
    late.truncate(&mut late_disk, 0).expect("truncated");
    assert_eq!((late.feed().fork_id(), late.feed().length()), (3, 0));
    assert!(late.feed().as_core().expect("a core").signature.is_empty());
    late.close(&mut late_disk, NOW).expect("closed");
    let mut late = open_core(&mut late_disk, KIND).expect("opened");
    assert_eq!((late.feed().fork_id(), late.feed().length()), (3, 0));
    assert!(matches!(late.truncate(&mut late_disk, 1), Err(StoreError::Refused(Refusal::Index))));
    late.append(&mut late_disk, &[&block_of(3, 0)]).expect("appended");
    late.commit(&mut late_disk, NOW).expect("committed");
    let moved = follow((&mut late_disk, &mut late), (&mut near, &mut reader)).expect("followed");
    assert_eq!(moved, Moved { common: 0, old: 40, new: 1 });
    assert!(matches!(reader.truncate(&mut near, 0), Err(StoreError::ReadOnly)));
}

#[test]
fn two_histories_of_one_fork_freeze_the_core() {
    let whole = |length| Ask { upgrade: Some(Upgrade { start: 0, length }), ..Ask::default() };
    for (other_length, asked) in [(9, 9), (14, 9), (6, 6)] {
        let (mut far, mut near, mut other_disk) =
            (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3));
        let (mut one, forks) = writer(&mut far, &[(0, 9)]);
        let mut other = create_core(&mut other_disk, KIND, true).expect("a writer");
        append(&mut other_disk, &mut other, other_length).expect("appended");
        other.commit(&mut other_disk, NOW).expect("committed");
        let mut reader = create_core(&mut near, KIND, false).expect("a reader");
        for index in [0, 3, 8] {
            bring((&mut far, &mut one), (&mut near, &mut reader), index).expect("stored");
        }
        let (same, _) = answer(&mut far, &mut one, &whole(9)).expect("proven");
        assert!(!reader.conflicts(&mut near, 0, &same).expect("judged"));
        let (proof, _) = answer(&mut other_disk, &mut other, &whole(asked)).expect("proven");
        let mut forged = proof.clone();
        forged.upgrade.as_mut().expect("an upgrade").signature.as_mut().expect("signed")[5] ^= 1;
        let refused = reader.conflicts(&mut near, 0, &forged);
        assert!(matches!(refused, Err(StoreError::Refused(Refusal::Unsigned))));
        let refused = reader.conflicts(&mut near, 1, &proof);
        assert!(matches!(refused, Err(StoreError::Refused(Refusal::OtherFork))));
        let ask = want(&reader, 5, 9);
        let (next, value) = answer(&mut far, &mut one, &ask).expect("proven");
        let accepted =
            reader.check_core(&mut near, 0, &next, None, value.as_deref()).expect("proven");
        assert!(reader.conflicts(&mut near, 0, &proof).expect("judged"));
        let frozen = |result| matches!(result, Err(StoreError::Refused(Refusal::Forked)));
        let taken = reader.accept_core(&mut near, &accepted, value.as_deref());
        assert!(frozen(taken.map(drop)));
        reader.close(&mut near, NOW).expect("closed");
        let mut reader = open_core(&mut near, KIND).expect("opened");
        let evidence = reader.feed().fork().expect("evidence").clone();
        assert_eq!(evidence.length, other_length);
        let manifest = Manifest::single(pair().public());
        let tree = Tree::from_roots(evidence.roots).expect("a tree");
        let authority = Authority::new(manifest.key(), Some(manifest)).expect("its own");
        assert!(authority.verify(&tree, 0, Some(&evidence.signature)));
        assert!(frozen(bring((&mut far, &mut one), (&mut near, &mut reader), 5).map(drop)));
        assert!(reader.conflicts(&mut near, 0, &same).expect("judged"));
        agrees(&mut near, &mut reader, &forks).expect("read");
    }
}

#[test]
fn a_full_disk_stops_a_reorganisation_which_goes_on_later() {
    for room in 0..40 {
        let (mut far, mut old_disk) = (SimDisk::new(1), SimDisk::new(2));
        let (mut old, _) = writer(&mut old_disk, &[(0, 30)]);
        let (mut new, forks) = writer(&mut far, &[(0, 30), (11, 33)]);
        let device = Device::new(3);
        let mut near = device.process();
        let mut reader = create_core(&mut near, KIND, false).expect("a reader");
        for index in 0..30 {
            bring((&mut old_disk, &mut old), (&mut near, &mut reader), index).expect("stored");
        }
        reader.flush(&mut near).expect("flushed");
        device.set_capacity(device.used() + room * 200);
        match follow((&mut far, &mut new), (&mut near, &mut reader)) {
            Ok(moved) => assert_eq!(moved.common, 11),
            Err(StoreError::Full) => {
                device.set_capacity(1 << 40);
                if reader.feed().fork_id() == 0 {
                    let moved = follow((&mut far, &mut new), (&mut near, &mut reader));
                    assert_eq!(moved.expect("followed").common, 11, "room {room}");
                }
            }
            Err(error) => panic!("room {room}: {error}"),
        }
        device.set_capacity(1 << 40);
        for index in 0..33 {
            bring((&mut far, &mut new), (&mut near, &mut reader), index).expect("stored");
        }
        agrees(&mut near, &mut reader, &forks).expect("read");
        reader.close(&mut near, NOW).expect("closed");
        let mut reader = open_core(&mut near, KIND).expect("opened");
        assert_eq!(everything(&mut near, &mut reader), (33, vec![]));
        agrees(&mut near, &mut reader, &forks).expect("read");
    }
}
