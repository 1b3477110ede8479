//! Datagrams of local discovery and of name servers.

use std::net::SocketAddr;

use gannet::discovery::multicast::{Multicast, Output};
use gannet::discovery::packet::{self, Kind, Marker};
use gannet::discovery::resolve::Resolver;
use gannet::limits::MULTICAST_PEERS;
use gannet::rng::Rng;
use gannet::sys::Interface;
use gannet::time::Instant;

const KEY: [u8; 32] = [0x5a; 32];
const PREFIX: packet::Prefix = [0x5a; 20];

pub fn multicast(data: &[u8]) {
    let address = std::net::IpAddr::from([10, 0, 0, 1]);
    let on = Interface { index: 2, name: "lan".into(), address, loopback: false, multicast: true };
    let mut multicast = Multicast::new(Rng::from_seed(1));
    multicast.set_interfaces(Instant(0), &[on]);
    multicast.join(Instant(0), KEY, 3282);
    while multicast.poll_output().is_some() {}
    multicast.receive(Instant(1_000_000), SocketAddr::from(([10, 0, 0, 9], 5353)), data);
    let mut found = 0;
    while let Some(output) = multicast.poll_output() {
        if let Output::Found { discovery_key, addr } = output {
            assert!(discovery_key == KEY && addr.port() != 0);
            found += 1;
        }
    }
    assert!(found <= MULTICAST_PEERS);
}

pub fn multicast_seeds() -> Vec<Vec<u8>> {
    let marker = Marker { token: [1; 32], id: [2; 32] };
    let peers = ["10.0.0.7:3282", "0.0.0.0:4000"].map(|peer| peer.parse().expect("an address"));
    vec![
        packet::ask(&PREFIX, Kind::Dat),
        packet::ask(&PREFIX, Kind::Swarm),
        packet::answer_txt(&PREFIX, &marker, &peers),
        packet::announce_srv(&PREFIX, &marker, 3282),
    ]
}

/// The first two bytes of the question's id stand before every answer, so that it is looked at.
pub fn resolve(data: &[u8]) {
    let mut resolver = Resolver::new(Rng::from_seed(1), "", "nameserver 10.0.0.1");
    resolver.lookup(Instant(0), "host.example", 1);
    while let Some((server, question)) = resolver.poll_datagram() {
        let answer = [&question[..2], data].concat();
        resolver.receive(Instant(1), server, &answer);
    }
    resolver.tick(Instant(60_000_000));
    while let Some((_, answer)) = resolver.poll_done() {
        assert!(answer.is_err() || answer.is_ok_and(|found| !found.is_empty()));
    }
    let text = String::from_utf8_lossy(data);
    Resolver::new(Rng::from_seed(1), &text, &text).lookup(Instant(0), &text, 1);
}

pub fn resolve_seeds() -> Vec<Vec<u8>> {
    let name = b"\x04host\x07example\0";
    let head = |records: u8| [0x81, 0x80, 0, 1, 0, records, 0, 0, 0, 0];
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07";
    let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x11";
    vec![
        [&head(1)[..], name, b"\0\x01\0\x01", record].concat(),
        [&head(2)[..], name, b"\0\x01\0\x01", alias, record].concat(),
        b"127.0.0.1 localhost # here\nnameserver 10.0.0.1\nsearch lan\n".to_vec(),
    ]
}
