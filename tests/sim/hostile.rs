//! A peer that knows the key and nothing good. Each of its connections has a temper: noise, frames
//! that break the rules, floods, blocks that are not what was signed, or silence.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gannet::crypto::hash::{Node, discovery_key};
use gannet::ids::ConnId;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::Engine;
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::sys::Endpoint;
use gannet::time::Instant;
use gannet::wire::dat::{FirstFeed, Handshake, Session, What};
use gannet::wire::{Bits, Data, Have, Message, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temper {
    /// Random bytes.
    Noise,
    /// A session, then payloads of random bytes, well encrypted.
    Malformed,
    /// Claims to have everything, and answers with lies.
    Liar,
    /// Requests, wants, haves and blocks that nobody asked for, without end.
    Flood,
    /// Opens channel after channel.
    Channels,
    /// Shakes hands and reads nothing more.
    Deaf,
    /// Shakes hands and says nothing more, not even keep-alives.
    Mute,
}

const TEMPERS: [Temper; 7] = [
    Temper::Noise,
    Temper::Malformed,
    Temper::Liar,
    Temper::Flood,
    Temper::Channels,
    Temper::Deaf,
    Temper::Mute,
];

struct Conn {
    temper: Temper,
    session: Session,
    /// Plain to be sent: made by the session already.
    out: Vec<u8>,
    greeted: bool,
    joined: bool,
}

pub struct Hostile {
    rng: Rng,
    key: [u8; 32],
    topic: [u8; 32],
    targets: Vec<Endpoint>,
    conns: BTreeMap<ConnId, Conn>,
    outputs: VecDeque<Output>,
    next: Instant,
    /// It rests from here on.
    quiet: bool,
}

impl Hostile {
    pub fn new(seed: u64, now: Instant, key: [u8; 32], targets: Vec<Endpoint>) -> Hostile {
        let at = Endpoint::Tcp(([0, 0, 0, 0], 3282).into());
        Hostile {
            rng: Rng::from_seed(seed),
            topic: discovery_key(&key),
            key,
            targets,
            conns: BTreeMap::new(),
            outputs: VecDeque::from([Output::Listen { tag: 1, at }]),
            next: now,
            quiet: false,
        }
    }

    /// No more attacks; what is open is closed.
    pub fn rest(&mut self) {
        self.quiet = true;
        let conns = std::mem::take(&mut self.conns);
        self.outputs.extend(conns.into_keys().map(|conn| Output::Close { conn, flush: false }));
    }

    fn add(&mut self, conn: ConnId, dialed: bool) {
        if self.quiet {
            return self.outputs.push_back(Output::Close { conn, flush: false });
        }
        let temper = TEMPERS[self.rng.below(TEMPERS.len() as u64) as usize];
        let mut out = Vec::new();
        let session = if dialed {
            let mut nonce = [0; 24];
            self.rng.fill(&mut nonce);
            let first = FirstFeed { key: self.key, discovery_key: self.topic, nonce };
            Session::dial(first, &mut out)
        } else {
            Session::accept()
        };
        let mut conn_state = Conn { temper, session, out, greeted: false, joined: false };
        if temper == Temper::Noise {
            conn_state.out = vec![0; self.rng.between(1, 3000) as usize];
            self.rng.fill(&mut conn_state.out);
        }
        self.conns.insert(conn, conn_state);
        self.outputs.push_back(Output::Wake { conn });
    }

    /// What one connection does when its time has come.
    fn attack(rng: &mut Rng, topic: &[u8; 32], conn: &mut Conn) {
        let Conn { session, out, .. } = conn;
        match conn.temper {
            Temper::Noise => {
                let mut noise = vec![0; rng.between(1, 2000) as usize];
                rng.fill(&mut noise);
                out.extend(noise);
            }
            Temper::Malformed => {
                let from = out.len();
                let len = rng.between(1, 40);
                out.push(len as u8);
                out.push((rng.below(16) | (rng.below(2) * 16 * rng.below(8))) as u8);
                let mut body = vec![0; len as usize - 1];
                rng.fill(&mut body);
                if rng.one_in(2) && body.len() > 3 {
                    // A field that announces more than there is.
                    (body[0], body[1], body[2]) = (0x0a, 0xff, 0x7f);
                }
                out.extend(body);
                session.seal(from, out);
            }
            Temper::Liar if rng.one_in(3) => say(session, topic, &everything(), out),
            Temper::Liar => {}
            Temper::Flood => {
                for _ in 0..rng.between(1, 40) {
                    flood(rng, session, topic, out);
                }
            }
            Temper::Channels => {
                for _ in 0..rng.between(1, 40) {
                    let mut unknown = [0; 32];
                    rng.fill(&mut unknown);
                    // Refused beyond our own limit.
                    let _ = session.open(&unknown, &[0; 24], out);
                }
            }
            Temper::Deaf | Temper::Mute => {}
        }
    }

    /// Reads one frame; `false` if there is none.
    fn read(&mut self, id: ConnId, buf: &mut [u8]) -> Option<usize> {
        let (key, topic) = (self.key, self.topic);
        let Some(conn) = self.conns.get_mut(&id) else { return Some(buf.len()) };
        let Ok(received) = conn.session.receive(buf) else { return Some(buf.len()) };
        let consumed = received.consumed;
        match received.what {
            What::Incomplete => return None,
            What::FirstFeed { .. } => {
                conn.session.provide_key(&key);
                let mut nonce = [0; 24];
                self.rng.fill(&mut nonce);
                let _ = conn.session.open(&topic, &nonce, &mut conn.out);
            }
            What::Message { message: Message::Request(request), .. }
                if conn.temper == Temper::Liar =>
            {
                lie(&mut self.rng, &mut conn.session, &topic, &request, &mut conn.out);
            }
            _ => {}
        }
        conn.joined = conn.session.is_open(&topic);
        if conn.joined && !conn.greeted && conn.temper != Temper::Noise {
            conn.greeted = true;
            let mut id = vec![0; 32];
            self.rng.fill(&mut id);
            let hand = Handshake { id, live: true, ..Handshake::default() };
            let _ = conn.session.handshake(&hand, &mut conn.out);
            let info = Message::Info { uploading: true, downloading: true };
            say(&mut conn.session, &topic, &info, &mut conn.out);
            say(&mut conn.session, &topic, &everything(), &mut conn.out);
        }
        self.outputs.push_back(Output::Wake { conn: id });
        if conn.temper == Temper::Deaf && conn.greeted {
            self.outputs.push_back(Output::Hold { conn: id });
        }
        Some(consumed)
    }
}

fn everything() -> Message<'static> {
    Message::Have(Have { start: 0, length: 1 << 20, bits: None, ack: false })
}

fn say(session: &mut Session, topic: &[u8; 32], message: &Message<'_>, out: &mut Vec<u8>) {
    // Refused: this one would have been worse than a lie.
    let _ = session.send(topic, message, out);
}

fn range(rng: &mut Rng) -> (u64, u64) {
    (rng.next_u64() >> rng.between(11, 63), rng.next_u64() >> rng.between(11, 63))
}

fn nodes(rng: &mut Rng) -> Vec<Node> {
    (0..rng.below(8))
        .map(|_| {
            let mut hash = [0; 32];
            rng.fill(&mut hash);
            Node { index: rng.next_u64() >> rng.between(11, 63), hash, size: rng.below(100) }
        })
        .collect()
}

fn flood(rng: &mut Rng, session: &mut Session, topic: &[u8; 32], out: &mut Vec<u8>) {
    let (start, length) = range(rng);
    let index = rng.below(40);
    let mut bytes = [0; 30];
    rng.fill(&mut bytes);
    let request = Request {
        index,
        hash: rng.one_in(4),
        digest: rng.below(4),
        bytes: rng.below(2) * start,
        numbered: None,
    };
    let message = match rng.below(9) {
        0 => Message::Have(Have { start, length, bits: None, ack: rng.one_in(2) }),
        1 => Message::Have(Have { start: 0, length, bits: Some(Bits::Runs(&bytes)), ack: false }),
        2 => Message::Unhave { start, length },
        3 => Message::Want { start: start & !8191, length: Some((length | 8191) + 1) },
        4 => Message::Unwant { start, length: None },
        5 | 6 => Message::Request(request),
        7 => Message::Cancel(request),
        _ => {
            let nodes = nodes(rng);
            Message::Data(Data { index, value: Some(&bytes), nodes, signature: Some([7; 64]) })
        }
    };
    say(session, topic, &message, out);
}

/// Answers a request with something that nobody signed.
fn lie(
    rng: &mut Rng,
    session: &mut Session,
    topic: &[u8; 32],
    request: &Request,
    out: &mut Vec<u8>,
) {
    let mut value = vec![0; rng.below(2000) as usize];
    rng.fill(&mut value);
    let mut signature = [0; 64];
    rng.fill(&mut signature);
    let data = Data {
        index: if rng.one_in(4) { rng.below(40) } else { request.index },
        value: (!rng.one_in(8)).then_some(&value[..]),
        nodes: nodes(rng),
        signature: rng.one_in(2).then_some(signature),
    };
    say(session, topic, &Message::Data(data), out);
}

impl Engine for Hostile {
    fn handle(&mut self, now: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Accepted { conn, .. } => self.add(conn, false),
            Input::Dialed { conn: Ok(conn), .. } => self.add(conn, true),
            Input::Closed { conn, .. } => drop(self.conns.remove(&conn)),
            Input::Deadline if !self.quiet && self.next <= now => {
                self.next = now + Duration::from_millis(self.rng.between(1, 400));
                if self.conns.len() < 6 {
                    let target = self.rng.below(self.targets.len() as u64) as usize;
                    let tag = self.rng.between(2, 1000) as u32;
                    self.outputs.push_back(Output::Dial { tag, to: self.targets[target].clone() });
                }
                for (id, conn) in &mut self.conns {
                    if conn.joined && conn.out.len() < 100_000 {
                        Hostile::attack(&mut self.rng, &self.topic, conn);
                        self.outputs.push_back(Output::Wake { conn: *id });
                    }
                    if self.rng.one_in(40) {
                        self.outputs.push_back(Output::Close { conn: *id, flush: false });
                    }
                }
                let closed: Vec<ConnId> = self
                    .outputs
                    .iter()
                    .filter_map(|output| match output {
                        Output::Close { conn, .. } => Some(*conn),
                        _ => None,
                    })
                    .collect();
                closed.iter().for_each(|conn| drop(self.conns.remove(conn)));
            }
            _ => {}
        }
    }

    fn bytes(&mut self, _: Instant, id: ConnId, buf: &mut [u8], _: &mut dyn Disk) -> Consumed {
        match self.read(id, buf) {
            Some(bytes) => Consumed { bytes, frames: 1, ..Consumed::default() },
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
        if let Some(conn) = self.conns.get_mut(&id) {
            out.append(&mut conn.out);
        }
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
