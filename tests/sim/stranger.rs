//! A peer of the Hypercore dialect that means no good. It may know the key. Each of its connections has
//! a temper.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gannet::crypto::hash::discovery_key;
use gannet::crypto::noise::Role;
use gannet::crypto::sealed;
use gannet::ids::ConnId;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::Engine;
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::sys::Endpoint;
use gannet::time::Instant;
use gannet::wire::hyper::{Message, Reason, Request, Session, Setup, What};

use crate::lies::{self, Known};
use crate::wild::{Wild, pair};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temper {
    /// Random bytes, or those of a handshake up to some point.
    Noise,
    /// A byte at a time.
    Dribble,
    /// Well sealed nonsense.
    Malformed,
    /// Opens a core whose key it does not know.
    Pretender,
    /// Bits of its frames flip.
    Flipped,
    /// Claims what is not, and answers requests rightly, late, twice, wrongly or not at all.
    Liar,
    /// The longest of all, again and again another length, and nothing behind it.
    Boaster,
    /// "Not available", whatever is asked.
    Empty,
    /// Everything that nobody asked for, without end.
    Flood,
    /// Opens and closes the core.
    Fickle,
    /// Opens cores that nobody has.
    Opener,
    /// Says more than it reads.
    Deaf,
    /// Opens the core and says nothing more.
    Mute,
}

const TEMPERS: [Temper; 13] = [
    Temper::Noise,
    Temper::Dribble,
    Temper::Malformed,
    Temper::Pretender,
    Temper::Flipped,
    Temper::Liar,
    Temper::Boaster,
    Temper::Empty,
    Temper::Flood,
    Temper::Fickle,
    Temper::Opener,
    Temper::Deaf,
    Temper::Mute,
];

/// Requests kept for a late answer.
const LATE: usize = 50;
/// Bytes waiting to be sent above which no attack is made.
const WAITING: usize = 100_000;

enum Line {
    Tame(Box<Session>),
    Wild(Box<Wild>),
}

struct Conn {
    temper: Temper,
    line: Line,
    out: Vec<u8>,
    greeted: bool,
    asked: u64,
    late: VecDeque<Request>,
}

pub struct Stranger {
    rng: Rng,
    key: [u8; 32],
    core: [u8; 32],
    known: Known,
    targets: Vec<Endpoint>,
    sealed_from: u32,
    conns: BTreeMap<ConnId, Conn>,
    outputs: VecDeque<Output>,
    next: Instant,
    /// It rests from here on.
    quiet: bool,
}

impl Stranger {
    pub fn new(
        seed: u64,
        now: Instant,
        key: [u8; 32],
        targets: Vec<Endpoint>,
        sealed_from: u32,
    ) -> Stranger {
        let at = Endpoint::Tcp(([0, 0, 0, 0], 3282).into());
        Stranger {
            rng: Rng::from_seed(seed),
            core: discovery_key(&key),
            key,
            known: Known::default(),
            targets,
            sealed_from,
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
        let rng = &mut self.rng;
        let temper = TEMPERS[rng.below(TEMPERS.len() as u64) as usize];
        let role = if dialed { Role::Initiator } else { Role::Responder };
        let mut out = Vec::new();
        let line = match temper {
            Temper::Noise | Temper::Malformed | Temper::Pretender => {
                Line::Wild(Box::new(Wild::new(rng, role, &mut out)))
            }
            _ => {
                let mut header = [0; sealed::HEADER_BYTES];
                rng.fill(&mut header);
                let setup = Setup { role, own: pair(rng), ephemeral: pair(rng), header };
                let mut session = Session::new(setup);
                session.count_from(self.sealed_from);
                Line::Tame(Box::new(session))
            }
        };
        if temper == Temper::Noise {
            match rng.below(3) {
                0 => out.truncate(rng.below(40) as usize),
                1 => out = vec![32, 0, 0],
                _ => {}
            }
            let mut noise = vec![0; rng.below(300) as usize];
            rng.fill(&mut noise);
            out.extend(noise);
        }
        let late = VecDeque::new();
        self.conns.insert(conn, Conn { temper, line, out, greeted: false, asked: 0, late });
        self.outputs.push_back(Output::Wake { conn });
    }

    /// What one connection does when its time has come.
    fn attack(rng: &mut Rng, key: &[u8; 32], core: &[u8; 32], known: &Known, conn: &mut Conn) {
        let Conn { temper, line, out, late, .. } = conn;
        let times = rng.between(1, 60);
        let session = match line {
            Line::Tame(session) => session,
            Line::Wild(wild) => {
                for number in 0..times {
                    match temper {
                        Temper::Pretender => wild.open(1 + number % 3, core, &[7; 32], out),
                        Temper::Malformed if number == 0 => wild.open(1, core, key, out),
                        Temper::Malformed => wild.anything(rng, out),
                        _ => out.extend([rng.below(256) as u8; 40]),
                    }
                }
                return;
            }
        };
        match temper {
            Temper::Liar if rng.one_in(4) => {
                lies::say(session, core, &lies::head(rng, known), out);
                lies::say(session, core, &lies::everything(), out);
            }
            Temper::Liar | Temper::Flipped => {
                while let Some(request) = late.pop_front() {
                    lies::answer(rng, known, &request, session, core, out);
                }
            }
            Temper::Boaster => {
                for _ in 0..times {
                    lies::say(session, core, &lies::head(rng, known), out);
                }
            }
            Temper::Flood | Temper::Deaf | Temper::Dribble => {
                for _ in 0..times {
                    lies::flood(rng, known, session, core, out);
                }
            }
            Temper::Fickle => {
                for _ in 0..times {
                    session.close(core, out);
                    let _ = session.open(core, key, out);
                    lies::flood(rng, known, session, core, out);
                }
            }
            Temper::Opener => {
                for _ in 0..10 * times {
                    let mut unknown = [0; 32];
                    rng.fill(&mut unknown);
                    // Refused beyond our own limit.
                    let _ = session.open(&discovery_key(&unknown), &unknown, out);
                }
            }
            _ => {}
        }
        if *temper == Temper::Flipped && rng.one_in(3) && !out.is_empty() {
            let at = rng.below(out.len() as u64) as usize;
            out[at] ^= 1 << rng.below(8);
        }
    }

    /// Reads one frame; `None` if there is none.
    fn read(&mut self, id: ConnId, buf: &mut [u8]) -> Option<usize> {
        let Stranger { rng, key, core, known, .. } = self;
        let Some(conn) = self.conns.get_mut(&id) else { return Some(buf.len()) };
        self.outputs.push_back(Output::Wake { conn: id });
        let Conn { temper, line, out, greeted, asked, late } = conn;
        let session = match line {
            Line::Tame(session) => session,
            Line::Wild(wild) => {
                let taken = wild.receive(rng, buf, out);
                return (taken > 0).then_some(taken);
            }
        };
        let Ok(received) = session.receive(buf) else { return Some(buf.len()) };
        let consumed = received.consumed;
        match received.what {
            What::Incomplete if consumed == 0 => return None,
            What::Up { .. } if !rng.one_in(8) => drop(session.open(core, key, out)),
            What::Opened { discovery_key } if discovery_key == *core => {
                let _ = session.open(core, key, out);
            }
            What::Opened { discovery_key } => session.refuse(&discovery_key, out),
            What::Message { message: Message::Sync(head), .. } => {
                (known.fork, known.length) = (head.fork, head.length);
                *asked += 1;
                let request = lies::fair_request(rng, known, *asked);
                lies::say(session, core, &Message::Request(request), out);
            }
            What::Message { message: Message::Data(data), .. } => known.learn(rng, &data),
            What::Message { message: Message::Request(request), .. } => match temper {
                Temper::Empty => {
                    let reason = Some(Reason::NotAvailable);
                    let none = Message::NoData { request: request.id, reason };
                    lies::say(session, core, &none, out);
                }
                Temper::Liar | Temper::Flipped => {
                    for _ in 0..rng.below(3) {
                        lies::answer(rng, known, &request, session, core, out);
                    }
                    if late.len() < LATE && rng.one_in(3) {
                        late.push_back(request);
                    }
                }
                _ => {}
            },
            _ => {}
        }
        if session.is_open(core) && !*greeted && *temper != Temper::Mute {
            *greeted = true;
            lies::say(session, core, &lies::head(rng, known), out);
            lies::say(session, core, &lies::everything(), out);
        }
        if *temper == Temper::Deaf && *greeted {
            self.outputs.push_back(Output::Hold { conn: id });
        }
        Some(consumed)
    }

    fn turn(&mut self, now: Instant) {
        self.next = now + Duration::from_millis(self.rng.between(1, 400));
        if self.conns.len() < 6 {
            let target = self.rng.below(self.targets.len() as u64) as usize;
            let tag = self.rng.between(2, 1000) as u32;
            self.outputs.push_back(Output::Dial { tag, to: self.targets[target].clone() });
        }
        let mut ended = Vec::new();
        for (id, conn) in &mut self.conns {
            let ready = match &conn.line {
                Line::Tame(session) => session.is_up(),
                Line::Wild(wild) => wild.is_up() || conn.temper == Temper::Noise,
            };
            if ready && conn.out.len() < WAITING {
                Stranger::attack(&mut self.rng, &self.key, &self.core, &self.known, conn);
                self.outputs.push_back(Output::Wake { conn: *id });
            }
            if self.rng.one_in(40) {
                ended.push(*id);
            }
        }
        for conn in ended {
            self.conns.remove(&conn);
            self.outputs.push_back(Output::Close { conn, flush: false });
        }
    }
}

impl Engine for Stranger {
    fn handle(&mut self, now: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Accepted { conn, .. } => self.add(conn, false),
            Input::Dialed { conn: Ok(conn), .. } => self.add(conn, true),
            Input::Closed { conn, .. } => drop(self.conns.remove(&conn)),
            Input::Deadline if !self.quiet && self.next <= now => self.turn(now),
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
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if let Line::Tame(session) = &mut conn.line {
            session.poll(&mut conn.out);
        }
        match conn.temper {
            Temper::Dribble => out.extend(conn.out.drain(..conn.out.len().min(1))),
            _ => out.append(&mut conn.out),
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
