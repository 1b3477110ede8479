//! The lists of peers and bans of an earlier run, and links as people copy them.

use std::time::Duration;

use gannet::host::HostId;
use gannet::limits::{BANS, CANDIDATES};
use gannet::link::Link;
use gannet::rng::Rng;
use gannet::swarm::standing::{Standings, Who};
use gannet::swarm::{Source, Swarm};
use gannet::time::{Instant, Wall};

const NOW: Instant = Instant(5_000_000);
const WALL: Wall = Wall(1_700_000_000_000);

/// FNV-1a, as in the file: without the right sum nothing is looked at.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step).to_be_bytes()
}

/// Bytes without their sum. What is taken in comes out again in the same words.
pub fn peers(data: &[u8]) {
    let bytes = [data, &checksum(data)].concat();
    let mut swarm = Swarm::new(Rng::from_seed(1));
    if swarm.restore(&bytes, NOW, WALL).is_err() {
        return;
    }
    let again = swarm.encode(NOW, WALL);
    let mut second = Swarm::new(Rng::from_seed(1));
    second.restore(&again, NOW, WALL).expect("our own");
    assert_eq!(second.encode(NOW, WALL), again);
    let mut dials = 0;
    while swarm.poll_dial(NOW + Duration::from_secs(3600)).is_some() {
        dials += 1;
        assert!(dials <= CANDIDATES);
    }
}

pub fn peers_seeds() -> Vec<Vec<u8>> {
    let mut swarm = Swarm::new(Rng::from_seed(1));
    for port in 1..4 {
        swarm.found(NOW, ([10, 0, 0, 7], port).into(), Source::Multicast);
        swarm.found(NOW, ([0xfe80, 0, 0, 0, 0, 0, 0, 7], port).into(), Source::Multicast);
    }
    while let Some(addr) = swarm.poll_dial(NOW) {
        swarm.dial_failed(NOW, addr);
    }
    let bytes = swarm.encode(NOW, WALL);
    vec![bytes[..bytes.len() - 8].to_vec()]
}

/// Bytes without their sum.
pub fn bans(data: &[u8]) {
    let bytes = [data, &checksum(data)].concat();
    let mut all = Standings::default();
    if all.restore(&bytes, NOW, WALL).is_err() {
        assert_eq!(all.bans(NOW).count(), 0);
        return;
    }
    assert!(all.bans(NOW).count() <= BANS);
    let again = all.encode(NOW, WALL);
    let mut second = Standings::default();
    second.restore(&again, NOW, WALL).expect("our own");
    assert_eq!(second.encode(NOW, WALL), again);
    let listed: Vec<Who> = second.bans(NOW).map(|ban| ban.who).collect();
    assert!(listed.into_iter().all(|who| second.unban(NOW, who)));
}

pub fn bans_seeds() -> Vec<Vec<u8>> {
    let mut all = Standings::default();
    let addrs = [[10, 0, 0, 7].into(), "fe80::7".parse().expect("an address")];
    all.misbehaved(NOW, HostId([7; 32]));
    for who in [Who::Host(HostId([8; 32])), Who::Addr(addrs[0]), Who::Addr(addrs[1])] {
        all.ban(NOW, who, None).expect("there is room");
    }
    all.ban(NOW, Who::Host(HostId([9; 32])), Some(Duration::from_secs(60))).expect("room");
    let bytes = all.encode(NOW, WALL);
    vec![bytes[..bytes.len() - 8].to_vec()]
}

pub fn link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Link>() {
        Ok(link) => {
            let again: Link = link.to_string().parse().expect("our own");
            assert_eq!((again.key, again.dialect), (link.key, link.dialect));
            assert_eq!(again.version, link.version);
            assert!(!link.path.starts_with('/'));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

pub fn link_seeds() -> Vec<Vec<u8>> {
    let key = "5a".repeat(32);
    let letters = "yqooxx9u3aemh8mo5wcqq16yufu6jitouq1o4za751dger1igghy";
    let dat = ["dat://KEY", "KEY", "dat://KEY+12/a/b.txt", "dat:KEY/", "https://KEY"];
    let hyper = ["Z32", "hyper://Z32", "hyper://KEY", "pear://0.12.Z32/a b", "hyper://Z32+3"];
    dat.iter()
        .chain(&hyper)
        .map(|form| form.replace("KEY", &key).replace("Z32", letters).into_bytes())
        .collect()
}
