//! An engine that sends frames to itself: clients send frames of drawn sizes, the server sends each
//! back, clients check that they come back whole and in order, then close. A frame is a length (u32,
//! little-endian) and that many bytes.

use std::collections::{BTreeMap, VecDeque};

use gannet::ids::ConnId;
use gannet::node::io::{Consumed, Input, Output, Work};
use gannet::reactor::Engine;
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::sys::Endpoint;
use gannet::time::Instant;

pub const SERVER: u32 = 1;
/// Unsent bytes above which the server takes no more.
const FULL: usize = 256 * 1024;

#[derive(Clone)]
pub struct Plan {
    pub clients: usize,
    pub frames: usize,
    pub largest: u64,
    /// The server closes each connection itself after so many frames, flushing.
    pub server_closes: bool,
}

pub struct Mill {
    pub plan: Plan,
    pub rng: Rng,
    pub peers: BTreeMap<ConnId, Peer>,
    pub outputs: VecDeque<Output>,
    pub dialed: usize,
    pub done: usize,
    pub failed: Vec<String>,
    pub at: Option<Endpoint>,
    pub deadline: Option<Instant>,
}

pub enum Peer {
    Server { back: VecDeque<Vec<u8>>, unsent: usize, held: bool, frames: usize, closing: bool },
    Client { left: usize, expected: VecDeque<Vec<u8>> },
}

impl Mill {
    pub fn new(plan: Plan, at: Endpoint, seed: u64) -> Mill {
        Mill {
            plan,
            rng: Rng::from_seed(seed),
            peers: BTreeMap::new(),
            outputs: VecDeque::from([Output::Listen { tag: SERVER, at }]),
            dialed: 0,
            done: 0,
            failed: Vec::new(),
            at: None,
            deadline: None,
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        let len = match self.rng.below(4) {
            0 => self.rng.below(4),
            1 => self.rng.below(300),
            _ => self.rng.below(self.plan.largest + 1),
        };
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn finished(&mut self) {
        self.done += 1;
        if self.done == self.plan.clients {
            self.outputs.push_back(Output::Exit { code: 0 });
        }
    }

    fn closed(&mut self, conn: ConnId, why: Result<(), std::io::Error>) {
        match self.peers.remove(&conn) {
            Some(Peer::Client { left, expected }) => {
                if left > 0 || !expected.is_empty() || why.is_err() {
                    self.failed
                        .push(format!("{conn:?} {why:?}, {left} left, {} out", expected.len()));
                }
                self.finished();
            }
            Some(Peer::Server { back, .. }) if !back.is_empty() => {
                self.failed.push(format!("server {conn:?} {why:?}"));
            }
            _ => {}
        }
    }
}

impl Engine for Mill {
    fn handle(&mut self, _: Instant, input: Input<'_>, _: &mut dyn Disk) {
        match input {
            Input::Listening { at, .. } => {
                self.at = Some(at.unwrap());
                for tag in 0..self.plan.clients {
                    let to = self.at.clone().unwrap();
                    self.outputs.push_back(Output::Dial { tag: tag as u32 + 10, to });
                }
            }
            Input::Accepted { conn, .. } => {
                let peer = Peer::Server {
                    back: VecDeque::new(),
                    unsent: 0,
                    held: false,
                    frames: 0,
                    closing: false,
                };
                assert!(self.peers.insert(conn, peer).is_none());
            }
            Input::Dialed { conn, .. } => {
                let conn = conn.unwrap();
                self.dialed += 1;
                let peer = Peer::Client { left: self.plan.frames, expected: VecDeque::new() };
                assert!(self.peers.insert(conn, peer).is_none());
                self.outputs.push_back(Output::Wake { conn });
            }
            Input::Closed { conn, why } => self.closed(conn, why),
            Input::Sent { conn, bytes } => assert!(bytes > 0 && self.peers.contains_key(&conn)),
            Input::Deadline => self.deadline = None,
            _ => {}
        }
    }

    fn bytes(&mut self, _: Instant, conn: ConnId, buf: &mut [u8], _: &mut dyn Disk) -> Consumed {
        let plan = self.plan.clone();
        let Some(len) = buf.first_chunk::<4>() else { return Consumed::default() };
        let need = u32::from_le_bytes(*len) as usize + 4;
        if buf.len() < need {
            // As a cipher would: what is not consumed is given again as it was left.
            return Consumed { need, ..Consumed::default() };
        }
        let frame = buf[4..need].to_vec();
        let one = Consumed { bytes: need, frames: 1, ..Consumed::default() };
        match self.peers.get_mut(&conn).unwrap() {
            Peer::Server { back, unsent, held, frames, closing } => {
                if *unsent > FULL {
                    *held = true;
                    return Consumed { hold: true, ..Consumed::default() };
                }
                *frames += 1;
                *unsent += frame.len();
                back.push_back(frame);
                self.outputs.push_back(Output::Wake { conn });
                if plan.server_closes && *frames == plan.frames {
                    *closing = true;
                    self.outputs.push_back(Output::Close { conn, flush: true });
                }
            }
            Peer::Client { left, expected } => {
                assert_eq!(expected.pop_front(), Some(frame), "a frame came back changed");
                if *left == 0 && expected.is_empty() && !plan.server_closes {
                    self.peers.remove(&conn);
                    self.outputs.push_back(Output::Close { conn, flush: true });
                    self.finished();
                }
            }
        }
        one
    }

    fn poll_frames(
        &mut self,
        _: Instant,
        conn: ConnId,
        out: &mut Vec<u8>,
        room: usize,
        _: &mut dyn Disk,
    ) {
        let end = out.len() + room;
        while out.len() <= end {
            let drawn = self.frame();
            let frame = match self.peers.get_mut(&conn) {
                Some(Peer::Server { back, unsent, held, .. }) => {
                    let Some(frame) = back.pop_front() else { return };
                    *unsent -= frame.len();
                    if *held && *unsent < FULL / 2 {
                        *held = false;
                        self.outputs.push_back(Output::Resume { conn });
                    }
                    frame
                }
                Some(Peer::Client { left, expected }) if *left > 0 => {
                    *left -= 1;
                    expected.push_back(drawn.clone());
                    drawn
                }
                _ => return,
            };
            out.extend((frame.len() as u32).to_le_bytes());
            out.extend(frame);
        }
    }

    fn work(&mut self, _: Instant, _: usize, _: &mut dyn Disk) -> Work {
        Work::Idle
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        self.deadline
    }
}
