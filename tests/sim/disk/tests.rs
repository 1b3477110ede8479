//! The disk's own rules, first: whoever leans on a simulator has to trust it.

use std::io::ErrorKind;
use std::path::Path;

use gannet::store::disk::{Disk, Kind, Open};
use gannet::sys::{Change, WatchEvent};

use crate::disk::{Device, Faults, Item, SimDisk};

fn p(path: &str) -> &Path {
    Path::new(path)
}

fn fresh(seed: u64) -> (SimDisk, gannet::store::disk::Dir) {
    let mut disk = SimDisk::new(seed);
    let root = disk.open_root(p("/home/a"), true).unwrap();
    (disk, root)
}

#[test]
fn reads_back_what_was_written_with_holes() {
    let (mut disk, root) = fresh(1);
    let file = disk.open(root, p("f"), Open::CreateNew).unwrap();
    assert_eq!(disk.write_at(file, 10_000, b"hello").unwrap(), 5);
    let mut buf = [9; 8];
    assert_eq!(disk.read_at(file, 9_998, &mut buf).unwrap(), 7);
    assert_eq!(&buf[..7], b"\0\0hello");
    disk.set_len(file, 10_002).unwrap();
    disk.set_len(file, 10_010).unwrap();
    assert_eq!(disk.read_at(file, 10_000, &mut buf).unwrap(), 8);
    assert_eq!(&buf, b"he\0\0\0\0\0\0");
    assert_eq!(disk.read_at(file, 10_010, &mut buf).unwrap(), 0);
    assert_eq!(disk.meta(file).unwrap().size, 10_010);
}

#[test]
fn no_path_leads_out_of_its_directory() {
    let (mut disk, root) = fresh(1);
    let device = disk.device().clone();
    device.write("/secret", b"x").unwrap();
    device.make_dirs("/home/a/d").unwrap();
    device.symlink("/", "/home/a/top").unwrap();
    device.symlink("d", "/home/a/link").unwrap();
    device.symlink("../../secret", "/home/a/out").unwrap();
    device.symlink("../d/f", "/home/a/d/in").unwrap();
    device.write("/home/a/d/f", b"y").unwrap();
    for (path, how) in [
        ("../b", Open::Read),
        ("/secret", Open::Read),
        ("d/../../../secret", Open::ReadFollow),
        ("top/secret", Open::Read),
        ("top/secret", Open::ReadFollow),
        ("out", Open::ReadFollow),
        ("out", Open::Write),
        ("link/f", Open::Write),
        ("link/new", Open::Create),
    ] {
        let refused = disk.open(root, p(path), how).unwrap_err().kind();
        assert!(
            matches!(refused, ErrorKind::InvalidInput | ErrorKind::PermissionDenied),
            "{path}: {refused:?}"
        );
    }
    assert!(disk.open_dir(root, p("link")).is_err());
    assert!(disk.open(root, p("link/f"), Open::ReadFollow).is_ok());
    assert!(disk.open(root, p("d/in"), Open::ReadFollow).is_ok());
    assert_eq!(disk.stat(root, p("out"), false).unwrap().kind, Kind::Symlink);
    assert!(disk.rename(root, p("d/f"), p("top/f"), false).is_err());
    assert!(disk.stat(root, p("top/home"), false).is_err());
}

#[test]
fn names_obey_posix() {
    let (mut disk, root) = fresh(1);
    disk.make_dir(root, p("d")).unwrap();
    assert_eq!(disk.make_dir(root, p("d")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let file = disk.open(root, p("d/f"), Open::Create).unwrap();
    disk.write_at(file, 0, b"1").unwrap();
    assert_eq!(disk.remove_dir(root, p("d")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(disk.remove(root, p("d")).unwrap_err().kind(), ErrorKind::IsADirectory);
    let other = disk.open(root, p("g"), Open::Create).unwrap();
    disk.write_at(other, 0, b"22").unwrap();
    let kept = disk.rename(root, p("g"), p("d/f"), true).unwrap_err();
    assert_eq!(kept.kind(), ErrorKind::AlreadyExists);
    disk.rename(root, p("g"), p("d/f"), false).unwrap();
    // The replaced file lives on in its open handle.
    let mut byte = [0];
    assert_eq!(disk.read_at(file, 0, &mut byte).unwrap(), 1);
    assert_eq!(disk.stat(root, p("d/f"), false).unwrap().size, 2);
    assert_eq!(
        disk.rename(root, p("d"), p("d/e"), false).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    disk.device().clone().set_mode("/home/a/d", 0o500).unwrap();
    let denied = disk.open(root, p("d/new"), Open::Create).unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
}

#[test]
fn listing_in_pieces_misses_nothing() {
    let (mut disk, root) = fresh(1);
    let device = disk.device().clone();
    for n in 0..50 {
        device.write(format!("/home/a/{n}"), b"").unwrap();
    }
    let (mut out, mut cursor) = (Vec::new(), 0);
    while let Some(next) = disk.list(root, p(""), cursor, 7, &mut out).unwrap() {
        cursor = next;
        device.write(format!("/home/a/more{cursor}"), b"").unwrap();
    }
    for n in 0..50 {
        assert!(out.iter().any(|entry| entry.name == n.to_string().as_str()));
    }
}

#[test]
fn a_lock_ends_with_its_process() {
    let (mut disk, root) = fresh(1);
    let mut second = disk.device().process();
    let other_root = second.open_root(p("/home/a"), false).unwrap();
    let mine = disk.open(root, p("lock"), Open::Create).unwrap();
    let theirs = second.open(other_root, p("lock"), Open::Write).unwrap();
    disk.lock(mine).unwrap();
    assert_eq!(second.lock(theirs).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(disk);
    second.lock(theirs).unwrap();
    second.device().clone().kill();
    assert!(second.lock(theirs).is_err());
}

#[test]
fn cold_reads_wait_and_then_succeed() {
    let (mut disk, root) = fresh(3);
    let file = disk.open(root, p("f"), Open::Create).unwrap();
    disk.write_at(file, 0, &[7; 20_000]).unwrap();
    disk.device().set_faults(Faults { cold: 50, cold_tries: 3, ..Faults::default() });
    disk.device().evict();
    let (mut waits, mut got) = (0, 0);
    let mut buf = vec![0; 20_000];
    while got < 20_000 {
        match disk.read_at(file, got as u64, &mut buf[got..]) {
            Ok(count) => got += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                waits += 1;
            }
        }
        assert!(waits < 100);
    }
    assert!(waits > 0);
    assert_eq!(buf, vec![7; 20_000]);
}

#[test]
fn a_full_disk_writes_what_fits_and_heals() {
    let (mut disk, root) = fresh(1);
    let device = disk.device().clone();
    device.set_capacity(3 * 4096);
    let file = disk.open(root, p("f"), Open::Create).unwrap();
    assert_eq!(disk.write_at(file, 0, &[1; 20_000]).unwrap(), 3 * 4096);
    assert_eq!(disk.write_at(file, 3 * 4096, &[1; 10]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.space(root).unwrap(), 0);
    // Overwriting needs no space.
    assert_eq!(disk.write_at(file, 0, &[2; 100]).unwrap(), 100);
    device.set_capacity(10 * 4096);
    assert_eq!(disk.write_at(file, 3 * 4096, &[1; 10]).unwrap(), 10);
}

/// What is synced stays; what is not is a mix of old and new, never anything else.
#[test]
fn a_power_cut_keeps_what_was_synced() {
    let (mut old, mut new, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let (mut disk, root) = fresh(seed);
        let device = disk.device().clone();
        let file = disk.open(root, p("f"), Open::Create).unwrap();
        disk.write_at(file, 0, &[1; 10_000]).unwrap();
        disk.sync_data(file).unwrap();
        disk.sync_dir(root, p("")).unwrap();
        device.sync();
        disk.write_at(file, 0, &[2; 12_000]).unwrap();
        device.crash();
        let bytes = device.read("/home/a/f").unwrap();
        assert!(bytes.len() == 10_000 || bytes.len() == 12_000);
        assert!(bytes.iter().take(10_000).all(|b| *b == 1 || *b == 2));
        assert!(bytes.iter().skip(10_000).all(|b| *b == 0 || *b == 2));
        match (bytes.contains(&1), bytes.contains(&2)) {
            (true, true) => torn += 1,
            (true, false) => old += 1,
            _ => new += 1,
        }
    }
    assert!(old > 20 && new > 20 && torn > 20, "{old} {new} {torn}");
}

#[test]
fn names_survive_a_power_cut_only_with_their_directory() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..100 {
        let (mut disk, root) = fresh(seed);
        let device = disk.device().clone();
        device.sync();
        let file = disk.open(root, p("synced"), Open::Create).unwrap();
        disk.write_at(file, 0, b"x").unwrap();
        disk.sync_data(file).unwrap();
        disk.sync_dir(root, p("")).unwrap();
        let file = disk.open(root, p("unsynced"), Open::Create).unwrap();
        disk.write_at(file, 0, b"x").unwrap();
        disk.sync_data(file).unwrap();
        device.crash();
        assert_eq!(device.read("/home/a/synced").unwrap(), b"x");
        match device.read("/home/a/unsynced") {
            Ok(bytes) => {
                assert_eq!(bytes, b"x");
                kept += 1;
            }
            Err(_) => lost += 1,
        }
        assert!(disk.open(root, p("synced"), Open::Read).is_err(), "old handles are dead");
    }
    assert!(lost > 10 && kept > 10);
}

/// The pattern that must always work: write beside, sync, rename, sync the directory.
#[test]
fn replacing_by_rename_never_loses_both() {
    for seed in 0..300 {
        let (mut disk, root) = fresh(seed);
        let device = disk.device().clone();
        device.write("/home/a/f", b"old").unwrap();
        device.sync();
        device.cut_after(seed % 7);
        let replace = |disk: &mut SimDisk| -> std::io::Result<()> {
            let file = disk.open(root, p("f.tmp"), Open::CreateNew)?;
            disk.write_at(file, 0, b"newer")?;
            disk.sync_data(file)?;
            disk.rename(root, p("f.tmp"), p("f"), false)?;
            disk.sync_dir(root, p(""))
        };
        let done = replace(&mut disk).is_ok();
        assert_eq!(done, !device.is_cut());
        device.crash();
        let bytes = device.read("/home/a/f").unwrap();
        assert!(bytes == b"newer" || bytes == b"old" && !done, "{seed}: {bytes:?}");
    }
}

/// Files moved between directories are never lost, whatever happens to the directories.
#[test]
fn moves_are_atomic_across_directories() {
    for seed in 0..400 {
        let (mut disk, root) = fresh(seed);
        let device = disk.device().clone();
        device.write("/home/a/d/f", b"precious").unwrap();
        device.sync();
        let mut steps = || -> std::io::Result<()> {
            disk.make_dir(root, p("e"))?;
            disk.rename(root, p("d/f"), p("e/f"), false)?;
            disk.remove_dir(root, p("d"))?;
            if seed % 3 == 0 {
                disk.sync_dir(root, p("e"))?;
            }
            disk.rename(root, p("e/f"), p("g"), false)?;
            disk.remove_dir(root, p("e"))
        };
        device.cut_after(seed % 8);
        let _ = steps();
        device.crash();
        let found = ["d/f", "e/f", "g"]
            .iter()
            .filter(|path| device.read(p("/home/a").join(path)).is_ok_and(|b| b == b"precious"))
            .count();
        assert_eq!(found, 1, "seed {seed}: {:?}", device.tree("/home/a"));
    }
}

#[test]
fn the_same_seed_is_the_same_disk() {
    let run = |seed: u64| {
        let (mut disk, root) = fresh(seed);
        let device = disk.device().clone();
        device.set_faults(Faults { cold: 5, cold_tries: 3, short: 3, ..Faults::default() });
        let file = disk.open(root, p("f"), Open::Create).unwrap();
        for n in 0..100u64 {
            let _ = disk.write_at(file, n * 700, &[n as u8; 1000]);
            let _ = disk.read_at(file, n * 300, &mut [0; 500]);
        }
        let before = device.trace();
        device.crash();
        (before, format!("{:?}", device.tree("/")), device.read("/home/a/f").ok())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}

#[test]
fn watchers_see_what_happens() {
    let device = Device::new(1);
    device.make_dirs("/home/a/sub").unwrap();
    let ino = device.fs().lookup(1, p("/home/a"), crate::disk::Follow::Anywhere).unwrap();
    let watcher = device.fs().watch_open();
    let watch = device.fs().watch_add(watcher, ino, p("")).unwrap();
    let sub = device.fs().watch_add(watcher, ino, p("sub")).unwrap();
    device.write("/home/a/f", b"1").unwrap();
    device.rename("/home/a/f", "/home/a/g").unwrap();
    device.remove("/home/a/sub").unwrap();
    assert_eq!(device.fs().woken, vec![watcher]);
    let mut seen = Vec::new();
    while let Ok(event) = device.fs().watch_next(watcher) {
        seen.push(event);
    }
    let changed = |name: &str, what| WatchEvent::Changed { watch, name: name.into(), what };
    assert_eq!(
        seen,
        [
            changed("f", Change::Appeared { dir: false }),
            changed("f", Change::Modified),
            changed("f", Change::Closed),
            changed("f", Change::Vanished { dir: false }),
            changed("g", Change::Appeared { dir: false }),
            changed("sub", Change::Vanished { dir: true }),
            WatchEvent::Lost { watch: sub },
        ]
    );
    assert!(matches!(device.tree("/home/a")[p("g")], Item::File { .. }));
}
