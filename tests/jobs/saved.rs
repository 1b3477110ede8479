//! A user saves a file while the clone is about to replace, remove or adopt the one that stands
//! there: right before each single call that the clone makes. What the user has saved is never lost.

use std::rc::Rc;
use std::time::Duration;

use gannet::job::mirror::Options;
use gannet::rng::Rng;

use super::disk::{Device, Fs, Item};
use super::rig::*;
use super::writer::Writer;

const MINE: &[u8] = b"what the user has saved meanwhile";
/// Where a program writes it into a file as it is.
const AT: usize = 2000;
/// Calls of one round at most: there is an end.
const CALLS: u64 = 2000;

type Act = fn(&mut Fs);

fn saves(fs: &mut Fs) {
    fs.user_saves("/copy/big", MINE);
}

/// As long as what stands there.
fn saves_as_much(fs: &mut Fs) {
    fs.user_saves("/copy/big", &MINE.repeat(1000)[..20_000]);
}

fn writes_into_it(fs: &mut Fs) {
    fs.user_writes("/copy/big", AT as u64, MINE);
}

/// Whether the user's bytes are in the folder, under whatever name.
fn is_there(device: &Device) -> bool {
    let mine = |bytes: &[u8]| {
        bytes.starts_with(MINE) || bytes.get(AT..).is_some_and(|bytes| bytes.starts_with(MINE))
    };
    let tree = device.tree("/copy");
    let mut files = tree.iter().filter(|(path, _)| !path.starts_with(".dat"));
    files.any(|(_, item)| matches!(item, Item::File { bytes, .. } if mine(bytes)))
}

fn assert_tidy(device: &Device, call: u64) {
    let left = device.tree("/copy/.dat/tmp");
    assert!(left.is_empty(), "call {call}: {left:?}");
}

/// The user acts before the call; `false`: so many are not made.
fn round(
    device: &Device,
    (call, act): (u64, Act),
    run: impl FnOnce(),
    after: impl FnOnce(),
) -> bool {
    device.before(call, act);
    run();
    if device.is_to_act() {
        return false;
    }
    assert!(is_there(device), "call {call}: lost");
    assert_tidy(device, call);
    // Nor is it taken for the drive's later.
    after();
    assert!(is_there(device), "call {call}: lost with the next version");
    true
}

fn each_call(round: impl Fn(u64) -> bool) {
    let calls = (0..CALLS).find(|&call| !round(call)).expect("an end");
    assert!(calls > 20, "{calls} calls");
}

fn hyper(big: &[u8]) -> (Writer, Copy, Device) {
    let device = Device::new(1);
    let mut rng = Rng::from_seed(1);
    let mut writer = Writer::new();
    writer.write("/big", big, &mut rng);
    writer.write("/other", b"as it was", &mut rng);
    writer.append();
    let mut copy = Copy::hyper(&device, Options::default());
    // Many turns.
    copy.budget = 5000;
    copy.all(&mut writer);
    (writer, copy, device)
}

fn big() -> Vec<u8> {
    bytes(&mut Rng::from_seed(9), 20_000)
}

#[test]
fn while_a_file_is_replaced() {
    for act in [saves, saves_as_much, writes_into_it] {
        each_call(|call| {
            let (writer, copy, device) = hyper(&big());
            let (mut rng, both) = (Rng::from_seed(2), std::cell::RefCell::new((writer, copy)));
            let run = || {
                let (writer, copy) = &mut *both.borrow_mut();
                writer.write("/big", &[7; 3000], &mut rng);
                writer.append();
                copy.all(writer);
            };
            let after = || {
                let (writer, copy) = &mut *both.borrow_mut();
                writer.delete("/big");
                writer.append();
                copy.all(writer);
            };
            round(&device, (call, act), run, after)
        });
    }
}

/// Where names cannot be exchanged, the moment between the last look and the rename is left.
#[test]
fn while_a_file_is_replaced_without_an_exchange() {
    for act in [saves, saves_as_much, writes_into_it] {
        let mut lost = Vec::new();
        for call in 0.. {
            assert!(call < CALLS);
            let (mut writer, mut copy, device) = hyper(&big());
            device.forbid_exchange();
            writer.write("/big", &[7; 3000], &mut Rng::from_seed(2));
            writer.append();
            device.before(call, act);
            copy.all(&mut writer);
            if device.is_to_act() {
                break;
            }
            assert_tidy(&device, call);
            lost.extend((!is_there(&device)).then_some(call));
        }
        assert!(lost.len() <= 1, "{lost:?}");
    }
}

#[test]
fn while_a_file_is_removed() {
    for act in [saves, saves_as_much, writes_into_it] {
        each_call(|call| {
            let (mut writer, mut copy, device) = hyper(&big());
            let run = || {
                writer.delete("/big");
                writer.append();
                copy.all(&mut writer);
            };
            round(&device, (call, act), run, || {})
        });
    }
}

/// With and without a file of the same content that stands there before.
#[test]
fn while_a_file_is_adopted_or_arrives() {
    for act in [saves, saves_as_much, writes_into_it] {
        for stands in [true, false] {
            each_call(|call| {
                let device = Device::new(1);
                let here = Device::new(2);
                here.write("/share/big", &big()).unwrap();
                here.write("/share/other", b"other").unwrap();
                let mut share = Share::new(&here);
                share.run();
                if stands {
                    device.write("/copy/big", &big()).unwrap();
                }
                let both = std::cell::RefCell::new((share, Copy::new(&device, Options::default())));
                let run = || {
                    let (share, copy) = &mut *both.borrow_mut();
                    copy.budget = 5000;
                    copy.all(share);
                };
                let after = || {
                    let (share, copy) = &mut *both.borrow_mut();
                    here.remove("/share/big").unwrap();
                    share.now += Duration::from_secs(2);
                    share.changed("big", gannet::sys::Change::Vanished { dir: false });
                    share.run();
                    copy.all(share);
                };
                round(&device, (call, act), run, after)
            });
        }
    }
}

/// Only the time changes (Dat): the file that stands there gets it, no other.
#[test]
fn while_a_file_gets_another_time() {
    for act in [saves, saves_as_much] {
        each_call(|call| {
            let (here, device) = (Device::new(2), Device::new(1));
            here.write("/share/big", &big()).unwrap();
            here.write("/share/other", b"other").unwrap();
            let mut share = Share::new(&here);
            share.run();
            let mut copy = Copy::new(&device, Options::default());
            copy.budget = 5000;
            copy.all(&mut share);
            let both = std::cell::RefCell::new((share, copy));
            let publish = |share: &mut Share, what| {
                share.now += Duration::from_secs(2);
                share.changed("big", what);
                share.run();
            };
            let run = || {
                let (share, copy) = &mut *both.borrow_mut();
                here.set_mtime("/share/big", 981_173_106_789_000_000).unwrap();
                publish(share, gannet::sys::Change::Attributes);
                copy.all(share);
            };
            let after = || {
                let (share, copy) = &mut *both.borrow_mut();
                here.remove("/share/big").unwrap();
                publish(share, gannet::sys::Change::Vanished { dir: false });
                copy.all(share);
            };
            round(&device, (call, act), run, after)
        });
    }
}

/// The clone is killed a few calls after the user has saved: the next run finds what was taken out of
/// its place, and knows whose it is.
#[test]
fn and_the_clone_is_killed_right_after() {
    let mut kills = 0;
    for removed in [false, true] {
        for call in 0.. {
            assert!(call < CALLS);
            let acts = Rc::new(std::cell::Cell::new(0));
            for later in 0..8 {
                let (mut writer, mut copy, device) = hyper(&big());
                match removed {
                    true => writer.delete("/big"),
                    false => writer.write("/big", &[7; 3000], &mut Rng::from_seed(2)),
                }
                writer.append();
                copy.pull(&mut writer);
                let counted = acts.clone();
                device.before(call, move |fs| {
                    saves(fs);
                    counted.set(counted.get() + 1);
                    fs.user = Some((later, Box::new(Fs::restart)));
                });
                let failed = copy.sync(&mut writer, &mut Rng::from_seed(1), usize::MAX).is_err();
                device.fs().user = None;
                kills += u32::from(failed);
                let mut copy = copy.reopen(Options::default());
                copy.all(&mut writer);
                assert!(acts.get() == 0 || is_there(&device), "call {call}, {later} later: lost");
                assert_tidy(&device, call);
                copy.close();
                if acts.get() == 0 {
                    break;
                }
            }
            if acts.get() == 0 {
                break;
            }
        }
    }
    assert!(kills > 500, "{kills}");
}
