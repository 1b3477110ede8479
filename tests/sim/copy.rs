//! The loop alone, under a program of a page: a client copies a file from a server, dials again
//! whenever the connection is lost and goes on where its disk stands. If this fails, the loop or the
//! simulator is wrong, not gannet's protocols.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use gannet::ids::ConnId;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::Engine;
use gannet::rng::Rng;
use gannet::store::disk::{Disk, File, Open};
use gannet::sys::Endpoint;
use gannet::time::Instant;

use crate::actor::check_closed;
use crate::disk::Faults;
use crate::world::weather::Weather;
use crate::world::{Live, SECOND, World, draw_tuning};

const PORT: u16 = 3282;
const FRAME: usize = 1000;
const SILENCE: Duration = Duration::from_secs(20);
/// How long a client takes a rest from reading.
const HOLD: Duration = Duration::from_millis(50);

/// Client to server: the offset to go on from, eight bytes. Server to client: frames of two bytes of
/// length and as many bytes of the file; an empty one is its end.
pub struct Copy {
    file: File,
    server: Option<Endpoint>,
    outputs: VecDeque<Output>,
    conns: BTreeMap<ConnId, Peer>,
    redial: Option<Instant>,
    /// Client: a connection that says nothing until then is given up.
    silent: Option<Instant>,
    /// Client: bytes on disk. They are written as they come.
    have: u64,
    pub done: bool,
    /// Frames waiting for the disk.
    waiting: bool,
    /// Client: after so many frames it wants no more for a while; 0: it always does.
    hold_after: u64,
    frames: u64,
    held: Option<(ConnId, Instant)>,
}

struct Peer {
    /// Server: how far the file is sent. `None`: not asked yet.
    offset: Option<u64>,
    ended: bool,
    /// Client: the offset was sent.
    asked: bool,
}

impl Copy {
    fn new(disk: &mut dyn Disk, server: Option<Endpoint>, hold_after: u64) -> Copy {
        let name = if server.is_some() { "copy" } else { "original" };
        let dir = disk.open_root(Path::new("/data"), true).expect("the root can be made");
        let file = disk.open(dir, Path::new(name), Open::Create).expect("the file can be made");
        let have = disk.meta(file).expect("an open file has a length").size;
        let mut outputs = VecDeque::new();
        let mut redial = None;
        match server {
            Some(_) => redial = Some(Instant(0)),
            None => {
                let at = Endpoint::Tcp(([0, 0, 0, 0], PORT).into());
                outputs.push_back(Output::Listen { tag: 1, at });
            }
        }
        let conns = BTreeMap::new();
        Copy {
            file,
            server,
            outputs,
            conns,
            redial,
            silent: None,
            have,
            done: false,
            waiting: false,
            hold_after,
            frames: 0,
            held: None,
        }
    }

    fn lost(&mut self, now: Instant) {
        (self.silent, self.held) = (None, None);
        if self.server.is_some() && !self.done {
            self.redial = Some(now + Duration::from_millis(100));
        }
    }

    /// Client: as many frames as there are.
    fn take(&mut self, now: Instant, conn: ConnId, buf: &[u8], disk: &mut dyn Disk) -> Consumed {
        if buf.len() < 2 {
            return Consumed { need: 2, ..Consumed::default() };
        }
        let len = usize::from(u16::from_le_bytes([buf[0], buf[1]]));
        if buf.len() < 2 + len {
            return Consumed { need: 2 + len, ..Consumed::default() };
        }
        self.silent = Some(now + SILENCE);
        if len == 0 {
            self.silent = None;
            match disk.sync_data(self.file) {
                Ok(()) => self.done = true,
                Err(_) => self.lost(now),
            }
            self.conns.remove(&conn);
            self.outputs.push_back(Output::Close { conn, flush: true });
            return Consumed { bytes: 2, frames: 1, ..Consumed::default() };
        }
        let mut at = 0;
        while at < len {
            match disk.write_at(self.file, self.have, &buf[2 + at..2 + len]) {
                Ok(count) => {
                    at += count;
                    self.have += count as u64;
                }
                Err(_) => {
                    // Full or broken: later, from where the disk stands.
                    self.outputs.push_back(Output::Close { conn, flush: false });
                    self.conns.remove(&conn);
                    self.lost(now);
                    break;
                }
            }
        }
        self.frames += 1;
        if self.hold_after > 0 && self.frames.is_multiple_of(self.hold_after) {
            self.held = Some((conn, now + HOLD));
            self.outputs.push_back(Output::Hold { conn });
        }
        Consumed { bytes: 2 + len, frames: 1, ..Consumed::default() }
    }

    /// Server: one frame, unless the disk is not ready.
    fn give(&mut self, conn: ConnId, out: &mut Vec<u8>, disk: &mut dyn Disk) -> bool {
        let Some(Peer { offset: Some(offset), ended: false, .. }) = self.conns.get(&conn) else {
            return false;
        };
        let (offset, mut bytes) = (*offset, [0; FRAME]);
        match disk.read_at(self.file, offset, &mut bytes) {
            Ok(count) => {
                out.extend((count as u16).to_le_bytes());
                out.extend(&bytes[..count]);
                if let Some(peer) = self.conns.get_mut(&conn) {
                    peer.offset = Some(offset + count as u64);
                    peer.ended = count == 0;
                }
                true
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.waiting = true;
                false
            }
            Err(_) => {
                self.outputs.push_back(Output::Close { conn, flush: false });
                self.conns.remove(&conn);
                false
            }
        }
    }
}

impl Engine for Copy {
    fn handle(&mut self, now: Instant, input: Input<'_>, _: &mut dyn Disk) {
        check_closed(&input);
        match input {
            Input::Listening { at, .. } => drop(at.expect("the port is free")),
            Input::Accepted { conn, .. } => {
                self.conns.insert(conn, Peer { offset: None, ended: false, asked: true });
            }
            Input::Dialed { conn: Ok(conn), .. } => {
                self.conns.insert(conn, Peer { offset: None, ended: false, asked: false });
                self.silent = Some(now + SILENCE);
                self.outputs.push_back(Output::Wake { conn });
            }
            Input::Dialed { conn: Err(_), .. } => self.lost(now),
            Input::Closed { conn, .. } => {
                assert!(self.conns.remove(&conn).is_some(), "{conn:?} was not ours any more");
                self.lost(now);
            }
            Input::Deadline if self.redial.is_some_and(|at| at <= now) => {
                self.redial = None;
                if let Some(to) = self.server.clone() {
                    self.outputs.push_back(Output::Dial { tag: 2, to });
                }
            }
            Input::Deadline if self.held.is_some_and(|(_, at)| at <= now) => {
                let conn = self.held.take().map(|(conn, _)| conn);
                self.outputs.extend(conn.map(|conn| Output::Resume { conn }));
            }
            Input::Deadline if self.silent.is_some_and(|at| at <= now) => {
                let lost = std::mem::take(&mut self.conns).into_keys();
                self.outputs.extend(lost.map(|conn| Output::Close { conn, flush: false }));
                self.lost(now);
            }
            _ => {}
        }
    }

    fn bytes(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &mut [u8],
        disk: &mut dyn Disk,
    ) -> Consumed {
        if self.server.is_some() {
            return self.take(now, conn, buf, disk);
        }
        let Some(front) = buf.first_chunk::<8>() else {
            return Consumed { need: 8, ..Consumed::default() };
        };
        if let Some(peer) = self.conns.get_mut(&conn) {
            peer.offset = Some(u64::from_le_bytes(*front));
            self.outputs.push_back(Output::Wake { conn });
        }
        Consumed { bytes: 8, frames: 1, ..Consumed::default() }
    }

    fn poll_frames(
        &mut self,
        _: Instant,
        conn: ConnId,
        out: &mut Vec<u8>,
        room: usize,
        disk: &mut dyn Disk,
    ) {
        let before = out.len();
        if self.server.is_some() {
            if let Some(peer) = self.conns.get_mut(&conn)
                && !std::mem::replace(&mut peer.asked, true)
            {
                out.extend(self.have.to_le_bytes());
            }
            return;
        }
        while out.len() - before < room && self.give(conn, out, disk) {}
    }

    fn work(&mut self, _: Instant, _: usize, _: &mut dyn Disk) -> Work {
        if std::mem::take(&mut self.waiting) {
            let conns: Vec<ConnId> = self.conns.keys().copied().collect();
            self.outputs.extend(conns.into_iter().map(|conn| Output::Wake { conn }));
            return Work::Waiting;
        }
        Work::Idle
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let held = self.held.map(|(_, at)| at);
        [self.redial, self.silent, held].into_iter().flatten().min()
    }
}

impl Live for Copy {}

pub fn run(seed: u64) -> u64 {
    let mut rng = Rng::from_seed(seed);
    let weather = Weather::draw(&mut rng);
    let calm = weather.without_faults();
    let mut world: World<Copy> = World::new(seed, weather);
    let size = [0, 1, 999, 5000, 60_000][rng.below(5) as usize];
    let mut original = vec![0; size];
    rng.fill(&mut original);
    let server = world.add_machine(&[0]);
    world.device(server).write("/data/original", &original).expect("an empty disk takes it");
    world.device(server).sync();
    let address = Endpoint::Tcp(([10, 0, 0, 1], PORT).into());
    let clients: Vec<usize> = (0..rng.between(1, 3)).map(|_| world.add_machine(&[0])).collect();
    start(&mut world, &mut rng, server, None);
    for machine in 0..world.machines() {
        let faults = Faults { sync_error: rng.between(0, 5) / 4 * 3, ..Faults::gentle(&mut rng) };
        world.device(machine).set_faults(faults);
        world.net().machines[machine].drift_ppm = rng.between(0, 2000) as i64 - 1000;
    }
    for client in &clients {
        start(&mut world, &mut rng, *client, Some(&address));
    }
    for _ in 0..rng.between(0, 12) {
        let span = rng.below(SECOND);
        world.run_for(span);
        disturb(&mut world, &mut rng, &clients, &address);
    }
    // The faults stop; everything has to come to its end.
    world.net().weather = calm;
    world.net().heal_all();
    for machine in 0..world.machines() {
        world.device(machine).set_faults(Faults::default());
        world.device(machine).set_capacity(1 << 40);
    }
    let all = |world: &mut World<Copy>| {
        clients.iter().all(|client| world.engine(*client).is_some_and(|copy| copy.done))
    };
    assert!(world.run_until(300 * SECOND, all), "not everything arrived");
    for client in &clients {
        let copy = world.device(*client).read("/data/copy").expect("the copy is there");
        assert_eq!(copy.len(), original.len(), "client {client}");
        assert!(copy == original, "client {client} has other bytes");
    }
    let turns = world.turns;
    world.run_for(60 * SECOND);
    assert!(world.turns - turns < 100, "{} turns in an idle minute", world.turns - turns);
    world.trace()
}

fn start(world: &mut World<Copy>, rng: &mut Rng, machine: usize, server: Option<&Endpoint>) {
    let tuning = draw_tuning(rng);
    let to = server.cloned();
    let hold_after = rng.below(4);
    let started: Result<(), ()> = world
        .start(machine, tuning, |sys| Ok(Copy::new(crate::world::disk_of(sys), to, hold_after)));
    assert!(started.is_ok());
}

fn disturb(world: &mut World<Copy>, rng: &mut Rng, clients: &[usize], server: &Endpoint) {
    let client = clients[rng.below(clients.len() as u64) as usize];
    match rng.below(6) {
        0 => world.net().part(0, client),
        1 => world.net().heal_all(),
        2 => world.freeze(client, rng.below(5 * SECOND)),
        3 => {
            world.kill(client);
            start(world, rng, client, Some(server));
        }
        4 => world.device(client).set_capacity(rng.below(100_000)),
        _ => world.device(client).set_capacity(1 << 40),
    }
}
