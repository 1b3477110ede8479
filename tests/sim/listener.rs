//! Somebody on the local network who hears what goes to everybody and means no good: says it again from
//! his own address, with bits turned, to the group and to single hosts; floods; and says of himself what
//! is not so. He has a key of his own, and nobody else's.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gannet::crypto::sign::KeyPair;
use gannet::discovery::hosts;
use gannet::host::HostId;
use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::Engine;
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::sys::Interface;
use gannet::time::Instant;
use gannet::wire::host::Record;
use gannet::wire::host::datagram::{Body, Command, EVERYBODY};

const GROUP: u32 = 1;
const OWN: u32 = 2;
/// Datagrams that he remembers.
const HEARD: usize = 200;

pub struct Listener {
    rng: Rng,
    key: KeyPair,
    next: Instant,
    counter: u64,
    on: Option<Interface>,
    heard: Vec<(SocketAddr, Vec<u8>)>,
    outputs: VecDeque<Output>,
    quiet: bool,
}

impl Listener {
    pub fn new(seed: u64, now: Instant) -> Listener {
        let outputs = [
            Output::Bind { tag: GROUP, bind: hosts::bind_group(false) },
            Output::Bind { tag: OWN, bind: hosts::bind_own(false) },
            Output::WatchInterfaces,
        ];
        Listener {
            rng: Rng::from_seed(seed),
            key: Listener::key(),
            next: now,
            counter: 0,
            on: None,
            heard: Vec::new(),
            outputs: outputs.into(),
            quiet: false,
        }
    }

    fn key() -> KeyPair {
        KeyPair::from_seed([0xbb; 32])
    }

    /// Who he is, to whoever asks.
    pub fn id() -> HostId {
        HostId(Listener::key().public())
    }

    /// He does nothing any more.
    pub fn rest(&mut self) {
        self.quiet = true;
    }

    fn say(&mut self, body: Body<'_>, least: usize) -> Vec<u8> {
        self.counter += 1;
        let command = Command {
            host: Listener::id(),
            boot: [0xbb; 16],
            counter: self.counter,
            expires: None,
            target: None,
            body,
        };
        command.encode(&self.key, &EVERYBODY, least)
    }

    /// A record of himself at an address that is somebody else's.
    fn record_at(&self, ip: IpAddr) -> Vec<u8> {
        let record = Record {
            host: Listener::id(),
            boot: [0xbb; 16],
            sequence: 1 << 50,
            ttl: limits::LAN_RECORD_TTL,
            tcp: Some(3282),
            udp: Some(7178),
            addresses: vec![ip],
        };
        record.sign(&self.key, &EVERYBODY).bytes().to_vec()
    }

    fn to(&mut self, victim: SocketAddr, bytes: Vec<u8>) {
        let Some(on) = self.on.clone() else { return };
        let everybody =
            SocketAddr::new(hosts::group(on.address), hosts::bind_group(false).at.port());
        let (to, via) = match self.rng.one_in(2) {
            true => (everybody, Some(on)),
            false => (victim, None),
        };
        self.outputs.push_back(Output::Datagram { tag: OWN, to, via, bytes });
    }

    fn strike(&mut self, now: Instant) {
        self.next = now + Duration::from_millis(self.rng.between(1, 2000));
        if self.heard.is_empty() {
            return;
        }
        let pick = |rng: &mut Rng, heard: &[(SocketAddr, Vec<u8>)]| {
            heard[rng.below(heard.len() as u64) as usize].clone()
        };
        let times = if self.rng.one_in(20) { 300 } else { 1 };
        for _ in 0..times {
            let (victim, mut bytes) = pick(&mut self.rng, &self.heard);
            match self.rng.below(6) {
                // As it was.
                0 | 1 => {}
                2 => {
                    let at = self.rng.below(bytes.len() as u64 * 8) as usize;
                    bytes[at / 8] ^= 1 << (at % 8);
                }
                3 => self.rng.fill(&mut bytes[15..]),
                4 => {
                    let record = self.record_at(victim.ip());
                    let mut challenge = [0; 16];
                    self.rng.fill(&mut challenge);
                    let body = Body::Ping { challenge, record: Some(&record) };
                    bytes = self.say(body, limits::LAN_PING_BYTES);
                }
                _ => {
                    let record = self.record_at(victim.ip());
                    bytes = self.say(Body::StoreHost { token: [7; 16], record: &record }, 0);
                }
            }
            self.to(victim, bytes);
        }
    }
}

impl Engine for Listener {
    fn handle(&mut self, now: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Interfaces(list) => {
                self.on = list.into_iter().find(|on| !on.loopback && on.address.is_ipv4());
                if let Some(on) = self.on.clone() {
                    let group = hosts::group(on.address);
                    self.outputs.push_back(Output::Join { tag: GROUP, group, on });
                }
            }
            Input::Datagram { from, bytes, .. } if bytes.len() > 100 => {
                if self.heard.len() >= HEARD {
                    let old = self.rng.below(HEARD as u64) as usize;
                    self.heard.swap_remove(old);
                }
                self.heard.push((from, bytes.to_vec()));
            }
            Input::Deadline if !self.quiet && self.next <= now => self.strike(now),
            _ => {}
        }
    }

    fn bytes(&mut self, _: Instant, _: ConnId, buf: &mut [u8], _: &mut dyn Disk) -> Consumed {
        Consumed { bytes: buf.len(), ..Consumed::default() }
    }

    fn poll_frames(&mut self, _: Instant, _: ConnId, _: &mut Vec<u8>, _: usize, _: &mut dyn Disk) {}

    fn work(&mut self, _: Instant, _: usize, _: &mut dyn Disk) -> Work {
        Work::Idle
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        (!self.quiet).then_some(self.next)
    }
}
