//! Several hosts on one wire, without sockets: what each says is handed to the others.

mod commands;
mod floods;
mod kept;
mod lan;
mod search;
mod stored;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::wire::host::datagram::{Body, Command, EVERYBODY};
use crate::wire::host::{BOOT_BYTES, Record};

const TCP: u16 = 3282;
const UDP: u16 = 40_000;
/// The calendar when a test begins.
const WALL: i64 = 1_790_000_000_000;
const START: Instant = Instant(100_000_000);

fn key(n: u8) -> KeyPair {
    KeyPair::from_seed([n; 32])
}

fn id(n: u8) -> HostId {
    HostId(key(n).public())
}

fn boot(n: u8) -> Boot {
    [n; BOOT_BYTES]
}

fn settings(n: u8, life: u8) -> Settings {
    Settings {
        key: key(n),
        boot: boot(life),
        network: EVERYBODY,
        secret: [life ^ 0x55; 32],
        stoppers: Vec::new(),
    }
}

fn ip(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

fn udp(n: u8) -> SocketAddr {
    (ip(n), UDP).into()
}

fn tcp(n: u8) -> SocketAddr {
    (ip(n), TCP).into()
}

fn interface(name: &str, index: u32, address: IpAddr) -> Interface {
    let loopback = address.is_loopback();
    Interface { index, name: name.into(), address, loopback, multicast: !loopback }
}

fn listening() -> [SocketAddr; 2] {
    [([0, 0, 0, 0], TCP).into(), (Ipv6Addr::UNSPECIFIED, TCP).into()]
}

fn ports() -> Ports {
    Ports { tcp: Some(TCP), udp: Some(UDP) }
}

/// One process on the wire.
struct Post {
    hosts: Hosts,
    at: SocketAddr,
    /// Nothing is delivered to it.
    deaf: bool,
    found: Vec<(HostId, SocketAddr)>,
    said: Vec<Output>,
    /// Datagrams that it sent: whether to the group, where to, and what.
    sent: Vec<(Instant, SocketAddr, Vec<u8>)>,
}

struct Wire {
    now: Instant,
    posts: Vec<Post>,
    /// What is sent to the group reaches nobody.
    no_multicast: bool,
    /// Only what this one says and hears is carried.
    only: Option<usize>,
    /// One in so many datagrams to everybody is lost.
    loss: u64,
    rng: Rng,
}

impl Wire {
    fn new() -> Wire {
        let rng = Rng::from_seed(3);
        Wire { now: START, posts: Vec::new(), no_multicast: false, only: None, loss: 0, rng }
    }

    fn of(count: u8) -> Wire {
        let mut wire = Wire::new();
        for n in 1..=count {
            wire.add(n);
        }
        wire
    }

    /// Host `n` begins, at its address.
    fn add(&mut self, n: u8) -> usize {
        self.add_with(settings(n, n), n)
    }

    fn add_with(&mut self, settings: Settings, at: u8) -> usize {
        let seed = self.rng.next_u64();
        let hosts = Hosts::new(Rng::from_seed(seed), settings);
        let (found, said, sent) = Default::default();
        self.posts.push(Post { hosts, at: udp(at), deaf: false, found, said, sent });
        let post = self.posts.len() - 1;
        let wall = self.wall();
        self.posts[post].hosts.set_wall(wall);
        let now = self.now;
        self.posts[post].hosts.restore(now, None).unwrap();
        self.move_to(post, at);
        post
    }

    /// Its address is another one from now on.
    fn move_to(&mut self, post: usize, at: u8) {
        self.posts[post].at = udp(at);
        let on = [interface("eth0", 2, ip(at))];
        let now = self.now;
        self.posts[post].hosts.set_places(now, &on, &listening(), ports(), &[]);
        self.deliver();
    }

    fn wall(&self) -> Wall {
        Wall(WALL + (self.now.since(START).as_millis() as i64))
    }

    /// Hands over everything that was said, and what that leads to.
    fn deliver(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (from, post) in self.posts.iter_mut().enumerate() {
                while let Some(output) = post.hosts.poll_output() {
                    match output {
                        Output::Send { to, bytes, .. } => {
                            assert!(bytes.len() <= limits::LAN_DATAGRAM_BYTES);
                            post.sent.push((self.now, to, bytes.clone()));
                            sent.push((from, to, bytes));
                        }
                        Output::Found { host, addr } => post.found.push((host, addr)),
                        other => post.said.push(other),
                    }
                }
            }
            if sent.is_empty() {
                return;
            }
            for (from, to, bytes) in sent {
                self.carry(from, to, &bytes);
            }
        }
    }

    fn carry(&mut self, from: usize, to: SocketAddr, bytes: &[u8]) {
        let (now, source) = (self.now, self.posts[from].at);
        for (n, post) in self.posts.iter_mut().enumerate() {
            let reached = if to.ip().is_multicast() { !self.no_multicast } else { post.at == to };
            let lost = to.ip().is_multicast() && self.loss > 0 && self.rng.one_in(self.loss);
            let carried = self.only.is_none_or(|only| [n, from].contains(&only));
            if reached && !post.deaf && !lost && carried {
                post.hosts.receive(now, source, bytes);
            }
        }
    }

    /// Time passes, everybody does what is due.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.deliver();
            let next = self.posts.iter().filter_map(|post| post.hosts.next_deadline()).min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            let (now, wall) = (self.now, self.wall());
            for post in &mut self.posts {
                post.hosts.set_wall(wall);
                if post.hosts.next_deadline().is_some_and(|at| at <= now) {
                    post.hosts.tick(now);
                    let next = post.hosts.next_deadline();
                    assert!(next.is_none_or(|at| at > now), "its deadline stays in the past");
                }
            }
        }
        self.now = end;
        let wall = self.wall();
        self.posts.iter_mut().for_each(|post| post.hosts.set_wall(wall));
    }

    /// Where a post believes that a host is.
    fn places(&self, post: usize, host: HostId) -> Vec<SocketAddr> {
        let known = self.posts[post].hosts.known();
        let live = known.filter(|known| known.host() == host && known.is_live());
        live.flat_map(|known| known.proven.clone()).collect()
    }

    fn knows(&self, post: usize, host: HostId) -> bool {
        !self.places(post, host).is_empty()
    }

    fn all_know_all(&self) -> bool {
        (0..self.posts.len()).all(|a| {
            self.posts.iter().enumerate().all(|(b, other)| a == b || self.knows(a, other.hosts.id))
        })
    }

    /// Something is said to a post from an address.
    fn tell(&mut self, post: usize, from: SocketAddr, bytes: &[u8]) {
        let now = self.now;
        self.posts[post].hosts.receive(now, from, bytes);
    }

    fn counts(&self, post: usize) -> Counts {
        self.posts[post].hosts.counts
    }

    /// What a post has sent to one address since the wire was last asked.
    fn take_sent(&mut self, post: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        self.deliver();
        let sent = std::mem::take(&mut self.posts[post].sent);
        sent.into_iter().map(|(_, to, bytes)| (to, bytes)).collect()
    }
}

/// Whoever can sign with a key, and is not one of us.
struct Actor {
    key: KeyPair,
    boot: Boot,
    counter: u64,
    expires: Option<Wall>,
}

impl Actor {
    fn new(n: u8) -> Actor {
        Actor { key: key(n), boot: boot(n), counter: 0, expires: None }
    }

    fn id(&self) -> HostId {
        HostId(self.key.public())
    }

    fn record(&self, sequence: u64, addresses: &[IpAddr]) -> SignedRecord {
        let record = Record {
            host: self.id(),
            boot: self.boot,
            sequence,
            ttl: limits::LAN_RECORD_TTL,
            tcp: Some(TCP),
            udp: Some(UDP),
            addresses: addresses.to_vec(),
        };
        record.sign(&self.key, &EVERYBODY)
    }

    fn say_to(&mut self, target: Option<HostId>, body: Body<'_>, least: usize) -> Vec<u8> {
        self.counter += 1;
        let command = Command {
            host: self.id(),
            boot: self.boot,
            counter: self.counter,
            expires: self.expires,
            target,
            body,
        };
        command.encode(&self.key, &EVERYBODY, least)
    }

    fn say(&mut self, body: Body<'_>) -> Vec<u8> {
        self.say_to(None, body, 0)
    }

    fn ping(&mut self) -> Vec<u8> {
        self.say_to(None, Body::Ping { challenge: [9; 16], record: None }, limits::LAN_PING_BYTES)
    }

    /// Makes itself known to a post at its address: pings it, and answers what it is asked.
    fn meet(&mut self, wire: &mut Wire, post: usize, at: u8, sequence: u64) {
        let ping = self.ping();
        wire.tell(post, udp(at), &ping);
        wire.run(Duration::from_millis(300));
        let challenge = self.challenged(wire, post, at).expect("it is answered");
        let record = self.record(sequence, &[ip(at)]);
        let pong = pong_of(challenge, &record);
        let pong = self.say(pong);
        wire.tell(post, udp(at), &pong);
        wire.deliver();
        assert!(wire.knows(post, self.id()), "it is known");
    }

    /// What a post has asked it at its address.
    fn challenged(&self, wire: &mut Wire, post: usize, at: u8) -> Option<[u8; 16]> {
        let sent = wire.take_sent(post);
        let to_it = sent.iter().rev().filter(|(to, _)| *to == udp(at));
        to_it.map(|(_, bytes)| heard(bytes)).find_map(|command| match command.body {
            Body::Pong { challenge, .. } => challenge,
            Body::Ping { challenge, .. } => Some(challenge),
            _ => None,
        })
    }
}

/// The answer of somebody who hears post 0 from its first address.
fn pong_of(echo: [u8; 16], record: &SignedRecord) -> Body<'_> {
    Body::Pong { echo, challenge: None, record: Some(record.bytes()), seen: Some(udp(1)) }
}

/// A datagram of ours, read.
fn heard(bytes: &[u8]) -> Command<'_> {
    let command = Unverified::decode(bytes, &EVERYBODY).expect("ours").verify();
    command.expect("signed")
}

fn kinds(sent: &[(SocketAddr, Vec<u8>)]) -> Vec<u64> {
    sent.iter().map(|(_, bytes)| heard(bytes).body.kind()).collect()
}
