//! The disk of Linux against real files: paths that never lead out, with and without `openat2`;
//! listings in pieces; renames that keep; locks; cold reads.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use gannet::store::disk::{Dir, Disk, Kind, Open};
use gannet::sys::linux::disk::LinuxDisk;

fn both(test: impl Fn(&mut LinuxDisk, Dir, &Path)) {
    for mut disk in [LinuxDisk::new(), LinuxDisk::without_openat2()] {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        let dir = disk.open_root(&root, true).unwrap();
        test(&mut disk, dir, &root);
    }
}

fn p(path: &str) -> &Path {
    Path::new(path)
}

#[test]
fn writes_and_reads_files() {
    both(|disk, dir, root| {
        disk.make_dir(dir, p("a")).unwrap();
        disk.make_dir(dir, p("a/b")).unwrap();
        let file = disk.open(dir, p("a/b/c"), Open::CreateNew).unwrap();
        assert_eq!(disk.write_at(file, 3, b"hello").unwrap(), 5);
        let mut buf = [9; 16];
        assert_eq!(disk.read_at(file, 0, &mut buf).unwrap(), 8);
        assert_eq!(&buf[..8], b"\0\0\0hello");
        assert_eq!(disk.read_at(file, 8, &mut buf).unwrap(), 0);
        assert_eq!(disk.read_at(file, 1 << 40, &mut buf).unwrap(), 0);
        disk.set_len(file, 4).unwrap();
        disk.set_meta(file, Some(0o640), Some(-1)).unwrap();
        disk.sync_data(file).unwrap();
        disk.sync_dir(dir, p("a/b")).unwrap();
        disk.sync_dir(dir, p("")).unwrap();
        disk.sync_fs(dir).unwrap();
        let meta = disk.meta(file).unwrap();
        assert_eq!((meta.kind, meta.size, meta.mode, meta.mtime_ns), (Kind::File, 4, 0o640, -1));
        let real = std::fs::metadata(root.join("a/b/c")).unwrap();
        assert_eq!((meta.inode, meta.device), (real.ino(), real.dev()));
        assert_eq!(disk.stat(dir, p("a/b/c"), false).unwrap(), meta);
        assert_eq!(disk.stat(dir, p("a/b/c"), true).unwrap(), meta);
        assert_eq!(disk.stat(dir, p(""), false).unwrap().kind, Kind::Dir);
        disk.close(file);
        assert!(disk.read_at(file, 0, &mut buf).is_err());
        let exists = disk.open(dir, p("a/b/c"), Open::CreateNew).unwrap_err();
        assert_eq!(exists.kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            disk.open(dir, p("a/none"), Open::Read).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(disk.make_dir(dir, p("a")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        disk.remove(dir, p("a/b/c")).unwrap();
        disk.remove_dir(dir, p("a/b")).unwrap();
        let sub = disk.open_dir(dir, p("a")).unwrap();
        assert!(disk.space(sub).unwrap() > 0);
        disk.close_dir(sub);
        assert!(disk.space(sub).is_err());
    });
}

#[test]
fn d04_no_path_leads_out() {
    both(|disk, dir, root| {
        std::fs::write(root.parent().unwrap().join("secret"), "s").unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/file"), "f").unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("real", root.join("inside")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(root.join("real/file"), root.join("absolute")).unwrap();
        symlink("real/../real/file", root.join("winding")).unwrap();
        symlink("loop", root.join("loop")).unwrap();

        for path in ["/etc/passwd", "..", "../secret", "real/../../secret", "real/..", "a\0b"] {
            for how in [Open::Read, Open::ReadFollow, Open::Create] {
                let e = disk.open(dir, p(path), how).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::InvalidInput, "{path} {how:?} {e}");
            }
            assert!(disk.stat(dir, p(path), true).is_err());
            assert!(disk.make_dir(dir, p(path)).is_err());
            assert!(disk.rename(dir, p("real/file"), p(path), false).is_err());
        }
        for path in ["up/secret", "inside/file", "out", "winding", "absolute", "loop"] {
            for how in [Open::Read, Open::Write, Open::Create] {
                let e = disk.open(dir, p(path), how).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{path} {how:?} {e}");
            }
        }
        for path in ["up/secret", "out", "absolute", "loop", "up"] {
            let e = disk.stat(dir, p(path), true).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::PermissionDenied, "{path} {e}");
            assert!(disk.open(dir, p(path), Open::ReadFollow).is_err());
        }
        for path in ["up/new", "inside/new"] {
            assert!(disk.make_dir(dir, p(path)).is_err(), "{path}");
            assert!(disk.open(dir, p(path), Open::CreateNew).is_err(), "{path}");
            assert!(disk.rename(dir, p("real/file"), p(path), false).is_err(), "{path}");
            assert!(disk.remove(dir, p(path)).is_err(), "{path}");
            assert!(disk.list(dir, p("inside"), 0, 9, &mut Vec::new()).is_err());
        }
        for path in ["winding", "inside/file", "real/file"] {
            assert_eq!(disk.stat(dir, p(path), true).unwrap().size, 1, "{path}");
            let file = disk.open(dir, p(path), Open::ReadFollow).unwrap();
            assert_eq!(disk.read_at(file, 0, &mut [0; 4]).unwrap(), 1, "{path}");
        }
        for path in ["winding", "inside/file", "real/file"] {
            assert_eq!(disk.resolve(dir, p(path)).unwrap(), p("real/file"), "{path}");
        }
        assert_eq!(disk.resolve(dir, p("inside")).unwrap(), p("real"));
        assert_eq!(disk.resolve(dir, p("")).unwrap(), p(""));
        for (path, kind) in [
            ("out", ErrorKind::PermissionDenied),
            ("up", ErrorKind::PermissionDenied),
            ("loop", ErrorKind::PermissionDenied),
            ("none", ErrorKind::NotFound),
        ] {
            assert_eq!(disk.resolve(dir, p(path)).unwrap_err().kind(), kind, "{path}");
        }
        disk.set_dir_mode(dir, p("real"), 0o751).unwrap();
        assert_eq!(disk.stat(dir, p("real"), false).unwrap().mode, 0o751);
        assert!(disk.set_dir_mode(dir, p("inside"), 0o700).is_err());
        assert!(disk.set_dir_mode(dir, p("real/file"), 0o700).is_err());
        assert_eq!(disk.stat(dir, p("out"), false).unwrap().kind, Kind::Symlink);
        // A link itself can be removed and renamed.
        disk.rename(dir, p("out"), p("real/out"), true).unwrap();
        disk.remove(dir, p("real/out")).unwrap();
        assert!(root.parent().unwrap().join("secret").exists());
    });
}

#[test]
fn a_fifo_neither_blocks_nor_opens() {
    both(|disk, dir, root| {
        let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
        assert!(made.success());
        assert!(disk.open(dir, p("fifo"), Open::Read).is_err());
        assert_eq!(disk.stat(dir, p("fifo"), true).unwrap().kind, Kind::Other);
        assert!(disk.open(dir, p(""), Open::Read).is_err());
    });
}

#[test]
fn a_listing_in_pieces_is_whole() {
    both(|disk, dir, root| {
        let mut names = BTreeSet::new();
        for i in 0..1500 {
            let name = format!("a name that is not short at all {i}");
            std::fs::write(root.join(&name), "").unwrap();
            names.insert(name);
        }
        std::fs::create_dir(root.join("sub")).unwrap();
        symlink("sub", root.join("link")).unwrap();
        for max in [1usize, 7, 100, 5000] {
            let mut cursor = 0;
            let mut all = Vec::new();
            loop {
                let before = all.len();
                let next = disk.list(dir, p(""), cursor, max, &mut all).unwrap();
                assert!(all.len() - before <= max);
                match next {
                    Some(next) => cursor = next,
                    None => break,
                }
            }
            let files = all.iter().filter(|e| e.kind == Kind::File);
            let files: BTreeSet<_> = files.map(|e| e.name.to_string_lossy().into_owned()).collect();
            assert_eq!(files, names, "max {max}");
            assert!(all.iter().any(|e| e.name == "sub" && e.kind == Kind::Dir));
            assert!(all.iter().any(|e| e.name == "link" && e.kind == Kind::Symlink));
        }
    });
}

#[test]
fn a_rename_keeps_what_is_there_if_asked() {
    both(|disk, dir, root| {
        std::fs::create_dir(root.join("d")).unwrap();
        std::fs::write(root.join("a"), "a").unwrap();
        std::fs::write(root.join("d/b"), "b").unwrap();
        let e = disk.rename(dir, p("a"), p("d/b"), true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists);
        disk.rename(dir, p("a"), p("d/c"), true).unwrap();
        disk.rename(dir, p("d/c"), p("d/b"), false).unwrap();
        assert_eq!(std::fs::read(root.join("d/b")).unwrap(), b"a");
        disk.rename(dir, p("d"), p("e"), true).unwrap();
        assert_eq!(disk.remove_dir(dir, p("e")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    });
}

#[test]
fn two_names_are_exchanged() {
    both(|disk, dir, root| {
        std::fs::create_dir(root.join("d")).unwrap();
        std::fs::write(root.join("a"), "a").unwrap();
        std::fs::write(root.join("d/b"), "b").unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("link")).unwrap();
        let inode = disk.stat(dir, p("a"), false).unwrap().inode;
        disk.exchange(dir, p("a"), p("d/b")).unwrap();
        assert_eq!(std::fs::read(root.join("a")).unwrap(), b"b");
        assert_eq!(disk.stat(dir, p("d/b"), false).unwrap().inode, inode);
        // A link itself.
        disk.exchange(dir, p("link"), p("a")).unwrap();
        assert_eq!(disk.stat(dir, p("a"), false).unwrap().kind, Kind::Symlink);
        assert_eq!(std::fs::read(root.join("link")).unwrap(), b"b");
        let error = disk.exchange(dir, p("link"), p("none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(disk.exchange(dir, p("link"), p("../out")).is_err());
    });
}

#[test]
fn a_lock_has_one_holder() {
    both(|disk, dir, _| {
        let first = disk.open(dir, p("lock"), Open::Create).unwrap();
        let second = disk.open(dir, p("lock"), Open::Create).unwrap();
        disk.lock(first).unwrap();
        assert_eq!(disk.lock(second).unwrap_err().kind(), ErrorKind::WouldBlock);
        disk.close(first);
        disk.lock(second).unwrap();
    });
}

#[test]
fn modes_follow_the_umask() {
    both(|disk, dir, root| {
        disk.open(dir, p("new"), Open::Create).unwrap();
        std::fs::File::create(root.join("other")).unwrap();
        let mode = |name| std::fs::metadata(root.join(name)).unwrap().permissions().mode();
        assert_eq!(mode("new"), mode("other"));
    });
}

/// A cold file comes whole, put off or not, and in order.
#[test]
fn cold_reads_come_in_the_end() {
    both(|disk, dir, root| {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        let mut file = std::fs::File::create(root.join("big")).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        let file = disk.open(dir, p("big"), Open::Read).unwrap();
        let (mut at, mut put_off) = (0, 0);
        let mut buf = vec![0; 64 * 1024];
        while at < bytes.len() {
            match disk.read_at(file, at as u64, &mut buf) {
                Ok(0) => panic!("ended at {at}"),
                Ok(n) => {
                    assert_eq!(buf[..n], bytes[at..at + n]);
                    at += n;
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    put_off += 1;
                    assert!(put_off < 100_000);
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
            }
        }
        eprintln!("put off {put_off} times");
    });
}

#[test]
fn a_punched_hole_gives_its_space_back() {
    both(|disk, dir, root| {
        let file = disk.open(dir, p("data"), Open::CreateNew).unwrap();
        let bytes = vec![7; 1 << 20];
        assert_eq!(disk.write_at(file, 0, &bytes).unwrap(), bytes.len());
        disk.sync_data(file).unwrap();
        let blocks = || std::fs::metadata(root.join("data")).unwrap().blocks();
        let full = blocks();
        match disk.punch(file, 4096, 1 << 19) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
            Ok(()) => {
                assert!(blocks() + (1 << 10) <= full, "{} of {full}", blocks());
                let mut read = std::fs::read(root.join("data")).unwrap();
                assert!(read.drain(4096..4096 + (1 << 19)).all(|byte| byte == 0));
                assert!(read.len() == bytes.len() - (1 << 19) && read.iter().all(|b| *b == 7));
            }
        }
    });
}
