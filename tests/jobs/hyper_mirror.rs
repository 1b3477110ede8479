//! Drives of other programs → folder, held against a model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gannet::drive::hyper::blobs::BlobId;
use gannet::drive::hyper::entry::{self, Entry};
use gannet::drive::hyper::{Block, Level, encode_map};
use gannet::job::mirror::Options;
use gannet::job::{Output, Step, history};
use gannet::rng::Rng;
use gannet::store::StoreError;

use super::disk::{Device, Faults, Item};
use super::rig::*;
use super::writer::Writer;

#[track_caller]
fn assert_mirrors(writer: &Writer, device: &Device) {
    assert_eq!(hyper_folder(device, "/copy"), writer.model);
}

fn refused(outputs: &[Output]) -> Vec<(&str, &str)> {
    let refused = outputs.iter().filter_map(|o| match o {
        Output::Refused { path, why } => Some((path.as_str(), why.as_str())),
        _ => None,
    });
    refused.collect()
}

#[test]
fn files_links_and_odd_chunks_arrive_and_follow() {
    let there = Device::new(1);
    let mut rng = Rng::from_seed(1);
    let mut writer = Writer::new();
    let big = bytes(&mut rng, 300_000);
    writer.write("/big", &big, &mut rng);
    writer.write("/empty", b"", &mut rng);
    let blob = writer.chunks(&[&b"#!/bin/sh\n"[..], b"", b"true\n"]);
    writer.file("/bin/run", blob, b"#!/bin/sh\ntrue\n", true);
    writer.link("/link", "bin/run");
    writer.link("/bin/up", "../big");
    writer.raw(b"other\0/x", Some(b"not a file"));
    // Two entries with one content.
    writer.file("/bin/same", blob, b"#!/bin/sh\ntrue\n", false);
    writer.append();
    let mut copy = Copy::hyper(&there, Options::default());
    let outputs = copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    let total = 300_000 + 15 + 15;
    assert_eq!(complete(&outputs), Some((writer.version(), 6, total)), "{outputs:?}");
    assert!(refused(&outputs).is_empty());

    // A link becomes a file, a file a link, a directory a file and a file a directory; one only gets
    // executable.
    writer.delete("/bin/run");
    writer.delete("/bin/up");
    writer.delete("/bin/same");
    writer.write("/bin", b"a file", &mut rng);
    writer.write("/link", b"was one", &mut rng);
    writer.link("/empty", "big");
    writer.append();
    let blob = writer.chunks(&[&big]);
    writer.file("/big", blob, &big, true);
    writer.append();
    copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    writer.delete("/bin");
    writer.write("/bin/again/deep", b"a directory", &mut rng);
    writer.file("/big", blob, &big, false);
    writer.append();
    copy.fetched.clear();
    let outputs = copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    assert!(copy.fetched.values().sum::<u32>() <= 11, "the big file is not fetched again");
    let kept = |o: &Output| matches!(o, Output::Kept { .. } | Output::Refused { .. });
    assert!(has(&outputs, kept).is_none(), "{outputs:?}");
}

/// Contents whose equal chunks are stored once, in one file and between files.
#[test]
fn maps_of_shared_chunks() {
    let there = Device::new(1);
    let mut rng = Rng::from_seed(1);
    let mut writer = Writer::new();
    let mut known = Vec::new();
    let chunk = |n: u8| vec![n; 3000 + n as usize];
    let contents = [
        vec![chunk(1), chunk(2), chunk(1), chunk(3)],
        vec![chunk(3), chunk(3), chunk(4)],
        (0..40).map(|n| chunk(n % 5)).collect(),
        // Longer than a block of a map takes.
        (0..9000u32).map(|n| vec![(n % 7) as u8; 5]).collect(),
    ];
    for (n, content) in contents.iter().enumerate() {
        let blob = writer.mapped(content, &mut known);
        assert!(blob.block_map);
        writer.file(&format!("/{n}"), blob, &content.concat(), false);
    }
    writer.write("/plain", &chunk(9), &mut rng);
    writer.append();
    let mut copy = Copy::hyper(&there, Options::default());
    let outputs = copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    let bytes = contents.iter().map(|content| content.concat().len() as u64).sum::<u64>() + 3009;
    assert_eq!(complete(&outputs), Some((writer.version(), 5, bytes)));
    assert!(copy.fetched.values().all(|&n| n == 1));
    assert_eq!(there.tree("/copy/.dat/maps").len(), 4);
    // Every block of the version can be served, those of the maps as well.
    let all: Vec<u64> = copy
        .content
        .as_ref()
        .unwrap()
        .feed()
        .have()
        .ranges(0, u64::MAX)
        .flat_map(|(start, len)| start..start + len)
        .collect();
    assert_eq!(all.len() as u64, writer.blobs.feed().length());
    for block in all {
        let served = copy.read(block).unwrap_or_else(|| panic!("{block}"));
        assert_eq!(Some(served), writer.serve(block));
    }

    // As the command line reads them.
    let (root, blobs) = (copy.dir, writer.blobs.feed().length());
    for (n, content) in contents.iter().enumerate() {
        let name = format!("/{n}");
        let found = retry(|| history::find(&mut copy.nodes(), writer.version(), &name)).unwrap();
        let pieces = retry(|| history::pieces(&mut copy.disk, root, &found.stat.unwrap()));
        let sizes: Vec<u64> = content.iter().map(|chunk| chunk.len() as u64).collect();
        assert_eq!(pieces.iter().map(|piece| piece.bytes).collect::<Vec<_>>(), sizes);
        assert!(pieces.iter().all(|piece| piece.block < blobs));
    }

    // What others need stays; the rest goes.
    writer.delete("/0");
    writer.file("/1", BlobId::default(), b"", true);
    let same = writer.mapped(&contents[2], &mut known);
    writer.file("/2", same, &contents[2].concat(), true);
    writer.append();
    copy.fetched.clear();
    let outputs = copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    assert_eq!(copy.fetched.len(), 1, "only the new map was fetched");
    assert!(has(&outputs, |o| matches!(o, Output::Cleared { .. })).is_some());
    assert_eq!(there.tree("/copy/.dat/maps").len(), 2);
    let mut copy = copy.reopen(Options::default());
    copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    assert!(copy.fetched.is_empty());
    // The user's changes are seen there, too.
    let mut mine = there.read("/copy/2").unwrap();
    mine[100] ^= 1;
    there.write("/copy/2", &mine).unwrap();
    writer.write("/2", b"theirs", &mut rng);
    // A map that lies about a size, and one that is none.
    let blocks = encode_map(&[(0, 7)]);
    let blob = BlobId { block_map: true, ..writer.chunks(&[&blocks[0]]) };
    writer.entry("/lies", &Entry { blob: Some(blob), ..Entry::default() });
    let blob = BlobId { block_map: true, ..writer.chunks(&[b"\x00\x09"]) };
    writer.entry("/none", &Entry { blob: Some(blob), ..Entry::default() });
    writer.append();
    let outputs = copy.all(&mut writer);
    assert_eq!(there.read("/copy/2.kept-1").unwrap(), mine);
    assert_eq!(there.read("/copy/2").unwrap(), b"theirs");
    let mut bad: Vec<&str> = refused(&outputs).iter().map(|(path, _)| *path).collect();
    bad.sort_unstable();
    assert_eq!(bad, ["lies", "none"], "{outputs:?}");
    assert!(copy.mirror.is_settled());
}

#[test]
fn only_some_paths_and_only_one_version() {
    let there = Device::new(1);
    let mut rng = Rng::from_seed(1);
    let mut writer = Writer::new();
    for name in ["/a/1", "/a/2", "/b/1"] {
        writer.write(name, name.as_bytes(), &mut rng);
    }
    writer.append();
    let (old, version) = (writer.model.clone(), writer.version());
    writer.delete("/a/1");
    writer.write("/b/1", b"newer", &mut rng);
    writer.append();
    let options = Options { only: Vec::new(), version: Some(version) };
    let mut copy = Copy::hyper(&there, options);
    let outputs = copy.all(&mut writer);
    assert_eq!(complete(&outputs).map(|done| done.0), Some(version));
    assert_eq!(hyper_folder(&there, "/copy"), old);
    // On to the newest, and back.
    let mut copy = copy.reopen(Options::default());
    copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    let mut copy = copy.reopen(Options { only: Vec::new(), version: Some(version) });
    copy.all(&mut writer);
    assert_eq!(hyper_folder(&there, "/copy"), old);
    let elsewhere = Device::new(2);
    let mut copy = Copy::hyper(&elsewhere, Options { only: vec!["a".into()], version: None });
    copy.all(&mut writer);
    assert_eq!(hyper_folder(&elsewhere, "/copy").len(), 1);
}

#[test]
fn d08_what_is_the_users_stays() {
    let there = Device::new(1);
    let mut rng = Rng::from_seed(1);
    let mut writer = Writer::new();
    for name in ["/edited", "/deleted", "/untouched", "/relinked"] {
        writer.write(name, &bytes(&mut rng, 9000), &mut rng);
    }
    writer.link("/link", "edited");
    writer.link("/turned", "edited");
    writer.append();
    there.write("/copy/link", b"mine before").unwrap();
    let mut copy = Copy::hyper(&there, Options::default());
    let outputs = copy.all(&mut writer);
    let kept = |o: &Output| matches!(o, Output::Kept { kept_as, .. } if kept_as == "link.kept-1");
    assert!(has(&outputs, kept).is_some(), "{outputs:?}");
    assert_eq!(there.read("/copy/link.kept-1").unwrap(), b"mine before");

    // Of the same size: only the content tells.
    let mut mine = there.read("/copy/edited").unwrap();
    mine[8999] ^= 1;
    there.write("/copy/edited", &mine).unwrap();
    there.write("/copy/deleted", b"mine").unwrap();
    there.remove("/copy/relinked").unwrap();
    there.symlink("elsewhere", "/copy/relinked").unwrap();
    there.remove("/copy/turned").unwrap();
    there.symlink("mine", "/copy/turned").unwrap();
    writer.write("/edited", b"theirs", &mut rng);
    writer.delete("/deleted");
    writer.write("/untouched", b"theirs", &mut rng);
    writer.write("/relinked", b"theirs", &mut rng);
    writer.link("/turned", "untouched");
    writer.append();
    let outputs = copy.all(&mut writer);
    assert_eq!(there.read("/copy/edited.kept-1").unwrap(), mine);
    assert_eq!(there.read("/copy/deleted").unwrap(), b"mine");
    let tree = there.tree("/copy");
    let link = |path| match tree.get(Path::new(path)) {
        Some(Item::Symlink(target)) => target.clone(),
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(link("relinked.kept-1"), PathBuf::from("elsewhere"));
    assert_eq!(link("turned.kept-1"), PathBuf::from("mine"));
    assert_eq!(link("turned"), PathBuf::from("untouched"));
    assert!(!there.exists("/copy/untouched.kept-1"));
    for name in ["edited", "untouched", "relinked"] {
        assert_eq!(there.read(format!("/copy/{name}")).unwrap(), b"theirs");
    }
    assert_eq!(outputs.iter().filter(|o| matches!(o, Output::Kept { .. })).count(), 4);

    // A mode that its owner chose stays, but for what the drive says.
    there.set_mode("/copy/edited", 0o600).unwrap();
    let blob = writer.chunks(&[b"theirs!"]);
    writer.file("/edited", blob, b"theirs!", true);
    writer.append();
    copy.all(&mut writer);
    let Some(Item::File { mode, .. }) = there.tree("/copy").remove(Path::new("edited")) else {
        panic!()
    };
    assert_eq!(mode, 0o700);
}

#[test]
fn d04_d07_entries_that_lie_are_refused_and_the_rest_arrives() {
    let there = Device::new(1);
    let mut rng = Rng::from_seed(1);
    let mut writer = Writer::new();
    writer.write("/good", b"good", &mut rng);
    let blob = writer.chunks(&[b"five!", b"six !!"]);
    writer.write("/after", b"after", &mut rng);
    let file = |blob| Entry { blob: Some(blob), ..Entry::default() };
    let bad = [
        ("/longer", BlobId { byte_length: blob.byte_length + 1, ..blob }),
        ("/shorter", BlobId { byte_length: blob.byte_length - 1, ..blob }),
        ("/shifted", BlobId { byte_offset: blob.byte_offset + 1, ..blob }),
        ("/hollow", BlobId { block_length: 0, ..blob }),
        ("/huge", BlobId { byte_length: 1 << 50, ..blob }),
        ("/endless", BlobId { block_length: 1 << 40, byte_length: 1 << 52, ..blob }),
        ("/../out", blob),
        ("/a/../../out", blob),
        ("/.dat/metadata.key", blob),
        ("/nul\0", blob),
        ("//x", blob),
        ("/", blob),
    ];
    for (name, blob) in bad {
        writer.entry(name, &file(blob));
    }
    let links =
        [("/absolute", "/etc"), ("/out", ".."), ("/winding", "good/../.."), ("/d", ".dat/tmp")];
    for (name, target) in links {
        let link = Some(target.to_owned());
        writer.entry(name, &Entry { link, ..Entry::default() });
    }
    for (n, value) in
        ["{", "[]", "5", "{\"blob\":7}", "{\"linkname\":\"a\\u0000\"}"].iter().enumerate()
    {
        writer.raw(&entry::key(&format!("/json{n}")), Some(value.as_bytes()));
    }
    let long = format!("{{\"metadata\":\"{}\"}}", "x".repeat(100_000));
    writer.raw(&entry::key("/json5"), Some(long.as_bytes()));
    writer.raw(b"files\0/not-utf8\xff", Some(b"{}"));
    writer.raw(&entry::key(&"x".repeat(5000)), Some(b"{}"));
    writer.append();
    let mut copy = Copy::hyper(&there, Options::default());
    let outputs = copy.all(&mut writer);
    assert_mirrors(&writer, &there);
    let paths: Vec<&str> = refused(&outputs).iter().map(|(path, _)| *path).collect();
    for (name, _) in bad.iter().filter(|(name, _)| *name != "/hollow") {
        assert!(paths.contains(&name.trim_start_matches('/')), "{name} {paths:?}");
    }
    for (name, _) in links {
        assert!(paths.contains(&name.trim_start_matches('/')), "{name}");
    }
    assert_eq!(paths.len(), bad.len() + links.len() + 6 + 2, "{paths:?}");
    assert_eq!(complete(&outputs).unwrap().0, writer.version());
    // What was refused goes without harm.
    for (name, _) in bad {
        writer.delete(name);
    }
    writer.write("/longer", b"true now", &mut rng);
    writer.append();
    copy.all(&mut writer);
    assert_mirrors(&writer, &there);
}

/// A file where others have a directory is one of both, and nothing of the user's or ours is moved.
#[test]
fn a_name_that_is_file_and_directory() {
    for files_first in [true, false] {
        let there = Device::new(1);
        let mut rng = Rng::from_seed(1);
        let mut writer = Writer::new();
        let names = if files_first { ["/a", "/a/b"] } else { ["/a/b", "/a"] };
        let mut copy = Copy::hyper(&there, Options::default());
        for name in names {
            writer.write(name, name.as_bytes(), &mut rng);
            writer.append();
            let outputs = copy.all(&mut writer);
            let expected = if name == names[0] { 0 } else { 1 };
            assert_eq!(refused(&outputs).len(), expected, "{outputs:?}");
        }
        let first = there.read(format!("/copy{}", names[0])).unwrap();
        assert_eq!(first, names[0].as_bytes());
        assert!(!there.exists("/copy/a.kept-1"));
    }
}

fn level(keys: &[u64], children: &[(u64, u64)]) -> Level {
    Level { keys: keys.to_vec(), children: children.to_vec() }
}

/// Trees that no writer makes end with an error, at once and each time.
#[test]
fn bees_that_turn_in_circles() {
    let value = br#"{"executable":false,"linkname":null,"blob":null,"metadata":null}"#;
    let block = |key: &str, levels: &[Level]| {
        let mut out = Vec::new();
        Block::encode(&entry::key(key), Some(value), levels.to_vec(), &mut out);
        out
    };
    let trees: [Vec<Vec<u8>>; 6] = [
        // A node that is its own child.
        vec![block("/a", &[level(&[1], &[(1, 0), (1, 0)])])],
        // Children that lead back and forth.
        vec![block("/a", &[level(&[], &[(1, 1)]), level(&[], &[(1, 0)])])],
        // A key ahead.
        vec![block("/a", &[level(&[7], &[])])],
        // A child ahead.
        vec![block("/a", &[level(&[1], &[(9, 0), (9, 0)])])],
        // Keys out of order.
        vec![block("/b", &[level(&[1], &[])]), block("/a", &[level(&[1, 2], &[])])],
        // No bee at all.
        vec![b"\xff\xff\xff".to_vec()],
    ];
    for (n, blocks) in trees.into_iter().enumerate() {
        let there = Device::new(1);
        let mut writer = Writer::new();
        writer.write("/x", b"before", &mut Rng::from_seed(1));
        let good = n % 2 == 0;
        if good {
            // A version that was good stands.
            writer = Writer::new();
        }
        writer.blocks(&blocks);
        let mut copy = Copy::hyper(&there, Options::default());
        copy.pull(&mut writer);
        let error = loop {
            match copy.try_step() {
                Ok(Step::Idle) => break None,
                Ok(_) => {}
                Err(error) => break Some(error),
            }
        };
        assert!(matches!(error, Some(StoreError::Damaged(_))), "{n}: {error:?}");
        assert!(hyper_folder(&there, "/copy").len() <= 1, "{n}");
    }
}

#[test]
fn d08_killed_again_and_again() {
    for seed in 0..60 {
        again_and_again(seed, false);
    }
}

#[test]
fn d08_power_cut_again_and_again() {
    for seed in 1000..1060 {
        again_and_again(seed, true);
    }
}

/// Edits, kills at any point, and a user who writes a file of his own now and then. In the end the
/// folder is the drive's newest version, and every file of the user's is there.
fn again_and_again(seed: u64, power: bool) {
    let there = Device::new(seed);
    let mut rng = Rng::from_seed(seed);
    let mut writer = Writer::new();
    let mut known = Vec::new();
    let mut mine = Vec::new();
    writer.edit(&mut rng, &mut known);
    for round in 0..8u64 {
        let mut copy = Copy::hyper(&there, Options::default());
        copy.pull(&mut writer);
        there.sync();
        there.set_faults(Faults::gentle(&mut rng));
        if power {
            there.cut_after(rng.between(1, 150));
        }
        let blocks = rng.between(0, 12) as usize;
        let result = copy.sync(&mut writer, &mut rng, blocks);
        assert!(result.is_ok() || there.is_cut(), "{seed}: {result:?}");
        for _ in 0..rng.between(0, 20) {
            if copy.try_step().is_err() {
                break;
            }
            copy.now += Duration::from_millis(rng.between(1, 100));
        }
        drop(copy);
        match power {
            true => there.crash(),
            false => there.kill(),
        }
        there.set_faults(Faults::default());
        if rng.one_in(3) {
            let name = format!("/copy/{}/{}", rng.between(0, 2), rng.between(0, 5));
            let text = format!("mine {round}").into_bytes();
            let tree = there.tree("/copy");
            let file = matches!(tree.get(Path::new(&name[6..])), None | Some(Item::File { .. }));
            let over = there.read(&name).ok().filter(|_| file);
            if file && there.write(&name, &text).is_ok() {
                // What the user writes over is gone by the user's will.
                mine.retain(|text| Some(text) != over.as_ref());
                mine.push(text);
            }
        }
        writer.edit(&mut rng, &mut known);
    }
    there.sync();
    let mut copy = Copy::hyper(&there, Options::default());
    let outputs = copy.all(&mut writer);
    assert!(copy.mirror.is_settled(), "{seed}: {outputs:?}");
    assert_eq!(complete(&outputs).map(|done| done.0), Some(writer.version()), "{seed}");
    let mut folder = hyper_folder(&there, "/copy");
    for text in mine {
        let here =
            folder.values().any(|item| matches!(item, Item::File { bytes, .. } if *bytes == text));
        assert!(here, "{seed}: {} is gone", String::from_utf8_lossy(&text));
    }
    // What is the user's is not the drive's; an entry that did not change since stays under it.
    let mut model = writer.model.clone();
    folder.retain(|path, item| {
        let is_mine = matches!(item, Item::File { bytes, .. } if bytes.starts_with(b"mine"));
        if is_mine {
            model.remove(path);
        }
        !is_mine
    });
    assert_eq!(folder, model, "{seed}");
    let files = there.tree("/copy/.dat");
    let left: Vec<_> =
        files.keys().filter(|path| path.parent() == Some(Path::new("tmp"))).collect();
    assert!(left.is_empty(), "{seed}: {left:?}");
}

#[test]
fn d09_a_full_disk_pauses_and_goes_on() {
    let there = Device::new(1);
    let mut rng = Rng::from_seed(1);
    let mut writer = Writer::new();
    for n in 0..6 {
        writer.write(&format!("/f{n}"), &bytes(&mut rng, 60_000), &mut rng);
    }
    writer.append();
    let mut copy = Copy::hyper(&there, Options::default());
    copy.pull(&mut writer);
    there.set_capacity(there.used() + 150_000);
    let result = copy.sync(&mut writer, &mut rng, usize::MAX);
    assert!(matches!(result, Err(StoreError::Full)), "{result:?}");
    there.set_capacity(1 << 30);
    copy.all(&mut writer);
    assert_mirrors(&writer, &there);
}
