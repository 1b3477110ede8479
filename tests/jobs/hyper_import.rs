//! Folder → drive, and on to another folder.

use std::collections::BTreeMap;
use std::time::Duration;

use gannet::drive::format::{self, Format};
use gannet::drive::hyper::blobs::BlobId;
use gannet::drive::hyper::entry::Entry;
use gannet::job::mirror::Options;
use gannet::job::{Output, Which};
use gannet::rng::Rng;
use gannet::sys::Change;

use super::disk::{Device, Faults, Item};
use super::rig::*;

/// With links of all kinds.
fn fill(device: &Device, rng: &mut Rng) {
    furnish(device, rng);
    device.symlink("dir/big", "/share/link").unwrap();
    device.symlink("../../a.txt", "/share/dir/deep/up").unwrap();
    device.symlink("dir", "/share/linked-dir").unwrap();
    device.symlink("nowhere", "/share/dangling").unwrap();
    device.symlink("/etc/passwd", "/share/absolute").unwrap();
    device.symlink("dir/../../out", "/share/out").unwrap();
}

/// All entries as the bee has them.
fn records(share: &mut Share) -> BTreeMap<String, (u64, Entry)> {
    let names = share.list();
    let version = share.version();
    let mut all = BTreeMap::new();
    for name in names.into_keys() {
        let found = retry(|| {
            let mut nodes = share.nodes();
            Ok(Format::Hyper.get(&mut nodes, version, &name)?)
        });
        let seq = found.unwrap().seq;
        let entry = retry(|| Ok(format::record(&mut share.nodes(), seq)?));
        all.insert(name, (seq, entry.unwrap()));
    }
    all
}

/// The drive says what the folder has, and every block can be served.
fn assert_published(share: &mut Share) {
    share.check_all_served();
    let mut expected = BTreeMap::new();
    for (path, item) in hyper_folder(&share.device, "/share") {
        let name = format!("/{}", path.display());
        if !["/absolute", "/out"].contains(&&name[..]) {
            expected.insert(name, item);
        }
    }
    let records = records(share);
    assert_eq!(records.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, (_, entry)) in records {
        assert_eq!(entry.metadata, None);
        match &expected[&name] {
            Item::Symlink(target) => {
                assert_eq!(entry.link.as_deref(), target.to_str(), "{name}");
                assert!(entry.blob.is_none() && !entry.executable, "{name}");
            }
            Item::File { bytes, mode, .. } => {
                assert_eq!((entry.link.as_ref(), u32::from(entry.executable)), (None, *mode));
                let BlobId { block_offset, block_length, byte_length, .. } = entry.blob.unwrap();
                let mut content = Vec::new();
                for block in block_offset..block_offset + block_length {
                    content.extend(share.serve(block).unwrap_or_else(|| panic!("{name} {block}")));
                }
                assert_eq!((content.len() as u64, &content), (byte_length, bytes), "{name}");
                assert_eq!(block_length, byte_length.div_ceil(65_536));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_folder_is_published_and_arrives() {
    let (here, there) = (Device::new(1), Device::new(2));
    fill(&here, &mut Rng::from_seed(3));
    let mut share = Share::create(&here, Format::Hyper);
    let outputs = share.run();
    // The header and ten entries.
    let done = complete(&outputs).unwrap();
    assert_eq!((share.version(), done), (11, (11, 10, 332_082)));
    let skipped: Vec<&str> = outputs
        .iter()
        .filter_map(|o| match o {
            Output::Skipped { path, .. } => Some(path.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(skipped, ["absolute", "out"]);
    assert_published(&mut share);
    // Content is announced before the entries that speak of it.
    let grew: Vec<Which> = outputs
        .iter()
        .filter_map(|o| match o {
            Output::Grew { which, .. } => Some(*which),
            _ => None,
        })
        .collect();
    assert_eq!(grew, [Which::Content, Which::Metadata]);

    let mut copy = Copy::hyper(&there, Options::default());
    let outputs = copy.all(&mut share);
    here.remove("/share/absolute").unwrap();
    here.remove("/share/out").unwrap();
    assert_equal(&share, &copy);
    assert_eq!(complete(&outputs), Some(done));
    assert!(copy.mirror.is_settled());
    assert_eq!(copy.mirror.applied(), 11);
    let latest = [11u64.to_be_bytes(), [0; 8]].concat();
    assert_eq!(there.read("/copy/.dat/metadata.latest").unwrap(), latest);
    assert!(copy.fetched.values().all(|&n| n == 1));
    assert!(there.tree("/copy/.dat/tmp").is_empty());
    let mode = |path| match there.tree("/copy").remove(std::path::Path::new(path)) {
        Some(Item::File { mode, .. }) => mode,
        other => panic!("{other:?}"),
    };
    assert_eq!((mode("dir/big"), mode("a.txt")), (0o755, 0o644));
}

#[test]
fn edits_follow_and_old_blocks_are_dropped() {
    let (here, there) = (Device::new(1), Device::new(2));
    fill(&here, &mut Rng::from_seed(3));
    here.remove("/share/absolute").unwrap();
    here.remove("/share/out").unwrap();
    let mut share = Share::create(&here, Format::Hyper);
    share.run();
    let mut copy = Copy::hyper(&there, Options::default());
    copy.all(&mut share);

    here.write("/share/a.txt", b"changed").unwrap();
    share.changed("a.txt", Change::Closed);
    here.write("/share/new/file", b"new").unwrap();
    share.changed("new", Change::Appeared { dir: true });
    for path in ["dir/deep/er/file", "dir/deep/er", "dir/deep/up", "dir/deep", "dangling"] {
        here.remove(format!("/share/{path}")).unwrap();
        share.changed(path, Change::Vanished { dir: false });
    }
    here.remove("/share/link").unwrap();
    here.symlink("a.txt", "/share/link").unwrap();
    share.changed("link", Change::Appeared { dir: false });
    // A link becomes a file, a file a link, and a file a directory.
    here.remove("/share/linked-dir").unwrap();
    here.write("/share/linked-dir", b"a file").unwrap();
    share.changed("linked-dir", Change::Closed);
    here.remove("/share/empty").unwrap();
    here.symlink("a.txt", "/share/empty").unwrap();
    share.changed("empty", Change::Appeared { dir: false });
    here.remove("/share/dir/exact").unwrap();
    here.write("/share/dir/exact/now", b"a directory").unwrap();
    share.changed("dir/exact", Change::Appeared { dir: true });
    let outputs = share.run();
    assert!(has(&outputs, |o| matches!(o, Output::Cleared { .. })).is_some());
    assert_published(&mut share);
    let outputs = copy.all(&mut share);
    assert_equal(&share, &copy);
    assert!(!there.exists("/copy/dir/deep"), "an empty directory is not kept");
    let bad = |o: &Output| matches!(o, Output::Kept { .. } | Output::Refused { .. });
    assert!(has(&outputs, bad).is_none(), "{outputs:?}");
    assert!(has(&outputs, |o| matches!(o, Output::Cleared { .. })).is_some());

    // Whether it can be executed moves no content; other bits of the mode are nothing.
    here.set_mode("/share/dir/big", 0o640).unwrap();
    here.set_mode("/share/a.txt", 0o600).unwrap();
    share.changed("dir/big", Change::Attributes);
    share.changed("a.txt", Change::Attributes);
    let (length, version) = (share.content.feed().length(), share.version());
    share.run();
    assert_eq!((share.content.feed().length(), share.version()), (length, version + 1));
    copy.fetched.clear();
    copy.all(&mut share);
    assert_equal(&share, &copy);
    assert!(copy.fetched.is_empty());
}

#[test]
fn an_unchanged_folder_is_not_read_again() {
    let here = Device::new(1);
    fill(&here, &mut Rng::from_seed(3));
    let mut share = Share::create(&here, Format::Hyper);
    share.run();
    let version = share.version();
    let read = |share: &mut Share| {
        share.run();
        share.import.figures().bytes_done
    };
    share.kill();
    let mut share = Share::open(&here);
    assert_eq!((read(&mut share), share.version()), (0, version));
    assert_published(&mut share);
    share.kill();
    // Without its memory every file is compared, and nothing is published again.
    here.remove("/share/.dat/gannet.times").unwrap();
    let mut share = Share::open(&here);
    assert!(read(&mut share) >= 332_082);
    assert_eq!(share.version(), version);
    share.kill();
    // A torn memory is none; a whole one is made of it again.
    let times = here.read("/share/.dat/gannet.times").unwrap();
    let mut torn = times.clone();
    for record in torn.chunks_mut(24).filter(|record| record.iter().any(|&byte| byte != 0)) {
        record[20] ^= 1;
    }
    here.write("/share/.dat/gannet.times", &torn).unwrap();
    let mut share = Share::open(&here);
    assert!(read(&mut share) >= 332_082);
    assert_eq!(share.version(), version);
    share.kill();
    assert_eq!(here.read("/share/.dat/gannet.times").unwrap(), times);
    // Another time alone publishes nothing; another content of the same size and a later time does.
    here.set_mtime("/share/a.txt", START).unwrap();
    let mut share = Share::open(&here);
    assert!(read(&mut share) > 0);
    assert_eq!(share.version(), version);
    here.write("/share/a.txt", b"HELLO").unwrap();
    here.set_mtime("/share/a.txt", START + SECOND).unwrap();
    share.kill();
    let mut share = Share::open(&here);
    read(&mut share);
    assert_eq!(share.version(), version + 1);
    assert_published(&mut share);
}

#[test]
fn a_file_larger_than_a_batch_and_many_small_ones() {
    let here = Device::new(1);
    let mut rng = Rng::from_seed(1);
    for n in 0..3000 {
        here.write(format!("/share/{}/{n}", n % 7), &n.to_string().into_bytes()).unwrap();
    }
    here.write("/share/large", &bytes(&mut rng, 5000 * 65_536 + 1)).unwrap();
    let mut share = Share::create(&here, Format::Hyper);
    share.run();
    assert_eq!(share.version(), 3002);
    let large = records(&mut share)["/large"].1.blob.unwrap();
    assert_eq!((large.block_length, large.byte_length), (5001, 5000 * 65_536 + 1));
    for block in [0, 4095, 4096, 5000] {
        assert!(share.serve(large.block_offset + block).is_some());
    }
    let mut copy = Copy::hyper(&Device::new(2), Options::default());
    // The small ones alone.
    copy.pull(&mut share);
    let only = (0..7).map(|n| n.to_string()).collect();
    let mut copy = copy.reopen(Options { only, version: None });
    copy.all(&mut share);
    assert_eq!(hyper_folder(&copy.device, "/copy").len(), 3000);
}

#[test]
fn the_share_survives_power_cuts() {
    for seed in 0..24 {
        let here = Device::new(seed);
        let mut rng = Rng::from_seed(seed);
        fill(&here, &mut rng);
        here.remove("/share/absolute").unwrap();
        here.remove("/share/out").unwrap();
        here.sync();
        Share::create(&here, Format::Hyper).kill();
        here.sync();
        for round in 0..6 {
            here.set_faults(Faults::gentle(&mut rng));
            let mut share = Share::open(&here);
            here.cut_after(rng.between(1, 120));
            let mut steps = 0;
            while !here.is_cut() && steps < 3000 {
                steps += 1;
                if share.try_step().is_err() {
                    break;
                }
                share.now += Duration::from_micros(50);
            }
            drop(share);
            here.crash();
            here.set_faults(Faults::default());
            here.write("/share/a.txt", &bytes(&mut rng, 10 + round)).unwrap();
            here.write(format!("/share/dir/n{round}"), &bytes(&mut rng, 70_000)).unwrap();
            here.sync();
        }
        let mut share = Share::open(&here);
        share.run_for(Duration::from_secs(20));
        assert_published(&mut share);
    }
}
