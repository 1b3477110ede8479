//! Somebody with any number of keys who wants to be everybody's only company: he comes to everybody again
//! and again as another gannet, in need each time, keeps what he gets, and tells who asks for others of
//! addresses where nobody is (CHECKLIST K02, N03, N04).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gannet::crypto::hash::discovery_key;
use gannet::crypto::noise::Role;
use gannet::crypto::sealed;
use gannet::crypto::sign::KeyPair;
use gannet::host::HostId;
use gannet::ids::ConnId;
use gannet::limits;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::Engine;
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::sys::Endpoint;
use gannet::time::Instant;
use gannet::wire::host::{
    Candidates, Close, Code, Continue, Hello, Message, NEEDY, VERSIONS, put_spare,
};
use gannet::wire::hyper::{Session, Setup, What};

use crate::wild::pair;

pub struct Sybil {
    rng: Rng,
    key: [u8; 32],
    core: [u8; 32],
    targets: Vec<Endpoint>,
    /// Connections that he holds to each of them at most.
    each: usize,
    conns: BTreeMap<ConnId, Conn>,
    /// Dials under way, and whom they lead to.
    dials: BTreeMap<u32, usize>,
    tag: u32,
    hellos: u64,
    outputs: VecDeque<Output>,
    next: Instant,
    /// When all connections get a sign of life.
    sign_next: Instant,
    quiet: bool,
}

struct Conn {
    session: Session,
    identity: KeyPair,
    out: Vec<u8>,
    to: Option<usize>,
}

impl Sybil {
    pub fn new(
        seed: u64,
        now: Instant,
        key: [u8; 32],
        targets: Vec<Endpoint>,
        each: usize,
    ) -> Sybil {
        let at = Endpoint::Tcp(([0, 0, 0, 0], 3282).into());
        Sybil {
            rng: Rng::from_seed(seed),
            core: discovery_key(&key),
            key,
            targets,
            each,
            conns: BTreeMap::new(),
            dials: BTreeMap::new(),
            tag: 2,
            hellos: 0,
            outputs: VecDeque::from([Output::Listen { tag: 1, at }]),
            next: now,
            sign_next: now,
            quiet: false,
        }
    }

    pub fn rest(&mut self) {
        self.quiet = true;
        let conns = std::mem::take(&mut self.conns);
        self.outputs.extend(conns.into_keys().map(|conn| Output::Close { conn, flush: false }));
    }

    fn add(&mut self, conn: ConnId, to: Option<usize>) {
        if self.quiet {
            return self.outputs.push_back(Output::Close { conn, flush: false });
        }
        let rng = &mut self.rng;
        let mut header = [0; sealed::HEADER_BYTES];
        rng.fill(&mut header);
        let role = if to.is_some() { Role::Initiator } else { Role::Responder };
        let (own, identity) = (pair(rng), pair(rng));
        let session = Session::new(Setup { role, own, ephemeral: pair(rng), header });
        self.conns.insert(conn, Conn { session, identity, out: Vec::new(), to });
        self.outputs.push_back(Output::Wake { conn });
    }

    /// Addresses of the local network that nobody has.
    fn lies(rng: &mut Rng, count: usize) -> Vec<std::net::SocketAddr> {
        let lie = |rng: &mut Rng| {
            let ip = [10, 0, rng.between(1, 250) as u8, rng.between(1, 250) as u8];
            (ip, 3282).into()
        };
        (0..count).map(|_| lie(rng)).collect()
    }

    /// Reads one frame; `None` if there is none, `Some(None)` if that was the last of this connection.
    fn read(&mut self, id: ConnId, buf: &mut [u8]) -> Option<Option<usize>> {
        let Sybil { rng, key, core, hellos, .. } = self;
        let Some(conn) = self.conns.get_mut(&id) else { return Some(Some(buf.len())) };
        let Conn { session, identity, out, .. } = conn;
        let Ok(received) = session.receive(buf) else { return Some(None) };
        let consumed = received.consumed;
        match received.what {
            What::Incomplete if consumed == 0 => return None,
            What::Up { .. } => {
                *hellos += 1;
                let mut boot = [0; gannet::wire::host::BOOT_BYTES];
                rng.fill(&mut boot);
                let hello = Hello {
                    versions: VERSIONS,
                    host: HostId(identity.public()),
                    boot,
                    number: *hellos,
                    port: rng.one_in(2).then(|| rng.between(1, 60_000) as u16),
                    features: NEEDY,
                    seen: None,
                    own: Vec::new(),
                    holds: Vec::new(),
                };
                session.open_host(out).ok();
                let mut said = Vec::new();
                hello.encode(identity, session.channel(true), &mut said);
                session.say_host(out, |out| out.extend_from_slice(&said));
            }
            What::Host { message } => match Message::decode(message) {
                Ok(Some(Message::Hello(_))) if rng.one_in(20) => {
                    let hints = Sybil::lies(rng, limits::HOST_HINTS);
                    let close = Close { hints, ..Close::new(Code::Full) };
                    session.say_host(out, |out| close.encode(out));
                }
                Ok(Some(Message::Hello(_))) => {
                    let said = Continue { version: VERSIONS.last };
                    session.say_host(out, |out| said.encode(out));
                }
                Ok(Some(Message::Continue(_))) => {
                    let _ = session.open(core, key, out);
                    session.say_host(out, |out| put_spare(false, out));
                }
                Ok(Some(Message::Ask(ask))) => {
                    let addrs = Sybil::lies(rng, limits::HOST_CANDIDATES);
                    let said = Candidates { core: ask.core, addrs };
                    session.say_host(out, |out| said.encode(out));
                }
                Ok(Some(Message::Close(_))) => return Some(None),
                _ => {}
            },
            What::Opened { discovery_key } if discovery_key == *core => {
                let _ = session.open(core, key, out);
            }
            What::Opened { discovery_key } => session.refuse(&discovery_key, out),
            _ => {}
        }
        self.outputs.push_back(Output::Wake { conn: id });
        Some(Some(consumed))
    }

    fn turn(&mut self, now: Instant) {
        // Everybody is tried about once in two seconds.
        self.next = now + Duration::from_millis(2000) / self.targets.len().max(1) as u32;
        let target = self.rng.below(self.targets.len() as u64) as usize;
        let there = self.conns.values().filter(|conn| conn.to == Some(target)).count()
            + self.dials.values().filter(|to| **to == target).count();
        if there < self.each {
            self.tag += 1;
            self.dials.insert(self.tag, target);
            let to = self.targets[target].clone();
            self.outputs.push_back(Output::Dial { tag: self.tag, to });
        }
        if self.sign_next <= now {
            self.sign_next = now + limits::STREAM_KEEPALIVE_AFTER;
            for (id, conn) in &mut self.conns {
                conn.session.keepalive(&mut conn.out);
                self.outputs.push_back(Output::Wake { conn: *id });
            }
        }
    }
}

impl Engine for Sybil {
    fn handle(&mut self, now: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Accepted { conn, .. } => self.add(conn, None),
            Input::Dialed { tag, conn } => {
                let to = self.dials.remove(&tag);
                if let Ok(conn) = conn {
                    self.add(conn, to);
                }
            }
            Input::Closed { conn, .. } => drop(self.conns.remove(&conn)),
            Input::Deadline if !self.quiet && self.next <= now => self.turn(now),
            _ => {}
        }
    }

    fn bytes(&mut self, _: Instant, id: ConnId, buf: &mut [u8], _: &mut dyn Disk) -> Consumed {
        match self.read(id, buf) {
            Some(Some(bytes)) => Consumed { bytes, frames: 1, ..Consumed::default() },
            Some(None) => {
                self.conns.remove(&id);
                self.outputs.push_back(Output::Close { conn: id, flush: false });
                Consumed { bytes: buf.len(), frames: 1, ..Consumed::default() }
            }
            None => Consumed::default(),
        }
    }

    fn poll_frames(
        &mut self,
        _: Instant,
        id: ConnId,
        out: &mut Vec<u8>,
        _: usize,
        _: &mut dyn Disk,
    ) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.session.poll(&mut conn.out);
        out.append(&mut conn.out);
    }

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
