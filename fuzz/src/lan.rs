//! Signed commands of hosts, what they lead to, and the table of hosts of an earlier run.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gannet::codec::fnv;
use gannet::crypto::sign::KeyPair;
use gannet::discovery::hosts::{Hosts, Output, Ports, Settings};
use gannet::host::HostId;
use gannet::limits::{
    LAN_CLOSEST, LAN_DATAGRAM_BYTES, LAN_HOSTS, LAN_RECORD_BYTES, LAN_RECORD_TTL,
};
use gannet::rng::Rng;
use gannet::sys::Interface;
use gannet::time::{Instant, Wall};
use gannet::wire::host::datagram::{Body, Command, EVERYBODY, Unverified, records};
use gannet::wire::host::{Claim, Record};

const START: Instant = Instant(3_600_000_000);
const WALL: Wall = Wall(1_790_000_000_000);

fn pair(n: u8) -> KeyPair {
    KeyPair::from_seed([n; 32])
}

fn id(n: u8) -> HostId {
    HostId(pair(n).public())
}

/// What was read is within its bounds; written, it is read as the same.
pub fn datagram(data: &[u8]) {
    let _ = Claim::decode(data);
    assert!(records(data).count() <= data.len());
    let Ok(unverified) = Unverified::decode(data, &EVERYBODY) else { return };
    assert!(data.len() <= LAN_DATAGRAM_BYTES);
    let claimed = unverified.claimed().clone();
    match &claimed.body {
        Body::Ping { record, .. } | Body::Pong { record, .. } => {
            assert!(record.is_none_or(|record| record.len() <= LAN_RECORD_BYTES));
        }
        Body::Found { contacts, .. } => assert!(contacts.len() <= LAN_CLOSEST),
        _ => {}
    }
    // The fuzzer cannot sign: what is believed was said by us.
    if let Some(command) = unverified.verify() {
        assert_eq!(command.host, id(1));
    }
    let ours = Command { host: id(1), ..claimed };
    let again = ours.encode(&pair(1), &EVERYBODY, 0);
    if again.len() <= LAN_DATAGRAM_BYTES {
        let read = Unverified::decode(&again, &EVERYBODY).expect("what was written is read");
        assert_eq!(read.verify(), Some(ours));
    }
}

pub fn datagram_seeds() -> Vec<Vec<u8>> {
    let record = record(1, 5);
    let bodies = [
        Body::Ping { challenge: [1; 16], record: Some(&record) },
        Body::Pong { echo: [1; 16], challenge: Some([2; 16]), record: Some(&record), seen: None },
        Body::FindHost { challenge: [1; 16], wanted: id(2) },
        Body::StoreHost { token: [3; 16], record: &record },
        Body::ShutdownHost { challenge: [1; 16], life: [9; 16] },
        Body::Unsupported { kind: 77 },
        Body::Leaving,
    ];
    let mut counter = 0;
    let said = bodies.into_iter().map(|body| {
        counter += 1;
        say(1, counter, Some(id(2)), body)
    });
    said.chain([record.clone()]).collect()
}

fn record(n: u8, sequence: u64) -> Vec<u8> {
    let record = Record {
        host: id(n),
        boot: [n; 16],
        sequence,
        ttl: LAN_RECORD_TTL,
        tcp: Some(3282),
        udp: Some(4000),
        addresses: vec![[10, 0, 0, n].into()],
    };
    record.sign(&pair(n), &EVERYBODY).bytes().to_vec()
}

fn say(n: u8, counter: u64, target: Option<HostId>, body: Body<'_>) -> Vec<u8> {
    let (host, boot, expires) = (id(n), [n; 16], None);
    let command = Command { host, boot, counter, expires, target, body };
    command.encode(&pair(n), &EVERYBODY, 0)
}

/// A conversation: each segment is a datagram as it is, or what somebody says who can sign. A time
/// passes before each.
pub fn hosts(data: &[u8]) {
    let settings = Settings {
        key: pair(200),
        boot: [200; 16],
        network: EVERYBODY,
        secret: [7; 32],
        stoppers: vec![id(3)],
    };
    let mut hosts = Hosts::new(Rng::from_seed(1), settings);
    hosts.set_wall(WALL);
    hosts.restore(START, None).expect("nothing was kept");
    let address = IpAddr::from([10, 0, 0, 200]);
    let eth =
        Interface { index: 2, name: "eth0".into(), address, loopback: false, multicast: true };
    let ports = Ports { tcp: Some(3282), udp: Some(4000) };
    hosts.set_places(START, &[eth], &[([0, 0, 0, 0], 3282).into()], ports, &[]);
    let (mut now, mut counter) = (START, 0);
    let mut echo = [0; 16];
    let mut left = data;
    while let Some(segment) = segment(&mut left) {
        let [kind, n, wait, rest @ ..] = segment else { continue };
        now += Duration::from_millis(u64::from(*wait) * 40);
        counter += 1;
        let (n, at) = (n % 5, SocketAddr::from(([10, 0, 0, n % 7], 4000)));
        let own = record(n, u64::from(*wait));
        let inner = &rest[..rest.len().min(600)];
        let target = (kind & 0x80 != 0).then(|| id(200));
        let body = match kind % 10 {
            0 => Body::Ping { challenge: [1; 16], record: Some(&own) },
            1 => Body::Pong {
                echo,
                challenge: Some([2; 16]),
                record: Some(&own),
                seen: Some(SocketAddr::new(address, 4000)),
            },
            2 => Body::FindHost { challenge: [1; 16], wanted: id(*wait) },
            3 => Body::Found { echo, token: None, records: inner, contacts: Vec::new() },
            4 => Body::StoreHost { token: echo, record: inner },
            5 => Body::Leaving,
            6 => Body::ShutdownHost { challenge: [1; 16], life: [*wait; 16] },
            7 => Body::Ping { challenge: [1; 16], record: Some(inner) },
            8 => Body::Other(u64::from(*wait)),
            _ => Body::Done { echo },
        };
        let said = say(n, counter, target, body);
        match kind % 12 {
            10 => hosts.receive(now, at, rest),
            11 => hosts.receive_from_peer(now, id(n), &said),
            _ => hosts.receive(now, at, &said),
        }
        if *wait == 99 {
            let _ = hosts.find(now, id(n));
        }
        for _ in 0..8 {
            if hosts.next_deadline().is_some_and(|at| at <= now) {
                hosts.tick(now);
            }
        }
        assert!(hosts.next_deadline().is_none_or(|at| at > now), "it spins");
        heed(&mut hosts, &mut echo);
        assert!(hosts.known().count() <= LAN_HOSTS);
    }
    let bytes = hosts.encode(now);
    let settings = Settings {
        key: pair(200),
        boot: [201; 16],
        network: EVERYBODY,
        secret: [7; 32],
        stoppers: Vec::new(),
    };
    let mut next = Hosts::new(Rng::from_seed(1), settings);
    next.set_wall(WALL);
    next.restore(now, Some(&bytes)).expect("our own");
}

/// What stands behind the next length, or the rest.
fn segment<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)) % 1024;
    let (segment, rest) = rest.split_at(length.min(rest.len()));
    *data = rest;
    Some(segment)
}

/// Takes what is to be done; what was asked last may be answered.
fn heed(hosts: &mut Hosts, echo: &mut [u8; 16]) {
    while let Some(output) = hosts.poll_output() {
        let bytes = match output {
            Output::Send { bytes, .. } | Output::ToPeer { bytes, .. } => bytes,
            Output::Stop { by } => {
                assert_eq!(by, id(3));
                continue;
            }
            Output::Found { host, addr } => {
                assert!((0..5).any(|n| id(n) == host) && addr.port() == 3282);
                continue;
            }
            _ => continue,
        };
        assert!(bytes.len() <= LAN_DATAGRAM_BYTES);
        let command = Unverified::decode(&bytes, &EVERYBODY).expect("our own").verify();
        match command.expect("it is signed").body {
            Body::Ping { challenge, .. }
            | Body::Pong { challenge: Some(challenge), .. }
            | Body::FindHost { challenge, .. } => *echo = challenge,
            Body::Found { token: Some(token), .. } => *echo = token,
            _ => {}
        }
    }
}

pub fn hosts_seeds() -> Vec<Vec<u8>> {
    let store = [&[4u8, 1, 50][..], &record(4, 9)].concat();
    let talk: Vec<&[u8]> = vec![&[0, 1, 1], &[1, 1, 10], &[8, 1, 7], &[2, 1, 9], &store];
    let find: Vec<&[u8]> = vec![&[0, 2, 10], &[1, 2, 99], &[3, 2, 1], &[5, 2, 3]];
    let framed = |talk: Vec<&[u8]>| -> Vec<u8> {
        let framed = |part: &&[u8]| [&(part.len() as u16).to_be_bytes(), *part].concat();
        talk.iter().flat_map(framed).collect()
    };
    vec![framed(talk), framed(find)]
}

/// Bytes without their sum. What is taken in comes out again.
pub fn kept(data: &[u8]) {
    let bytes = [data, &fnv::checksum(data).to_be_bytes()].concat();
    let settings = || Settings {
        key: pair(200),
        boot: [200; 16],
        network: EVERYBODY,
        secret: [7; 32],
        stoppers: Vec::new(),
    };
    let restored = |bytes: &[u8]| {
        let mut hosts = Hosts::new(Rng::from_seed(1), settings());
        hosts.set_wall(WALL);
        hosts.restore(START, Some(bytes)).map(|()| hosts)
    };
    let Ok(mut hosts) = restored(&bytes) else { return };
    let count = hosts.known().count();
    assert!(count <= LAN_HOSTS);
    let again = hosts.encode(START);
    assert_eq!(restored(&again).expect("our own").known().count(), count);
}

pub fn kept_seeds() -> Vec<Vec<u8>> {
    let mut out = [b"gnhs".as_slice(), &[1], &9u64.to_be_bytes(), &WALL.0.to_be_bytes()].concat();
    out.extend(2u32.to_be_bytes());
    for n in [1, 2] {
        let record = record(n, 5);
        out.extend((WALL.0 + 60_000).to_be_bytes());
        out.extend((record.len() as u16).to_be_bytes());
        out.extend(record);
        out.push(1);
        out.extend([[0; 10].as_slice(), &[0xff, 0xff, 10, 0, 0, n, 9, 0]].concat());
    }
    vec![out]
}
