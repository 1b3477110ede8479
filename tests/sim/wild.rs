//! A Noise stream by hand: what `wire::hyper::Session` would never say, well sealed.

use gannet::codec::compact::{put_buffer, put_uint};
use gannet::crypto::hyper;
use gannet::crypto::noise::{Handshake, Role};
use gannet::crypto::sealed::{self, Sealer};
use gannet::crypto::sign::KeyPair;
use gannet::rng::Rng;

const LENGTH: usize = 3;

pub struct Wild {
    role: Role,
    handshake: Handshake,
    hash: [u8; 64],
    sealer: Option<Sealer>,
}

pub fn pair(rng: &mut Rng) -> KeyPair {
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    KeyPair::from_seed(seed)
}

fn framed(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(body.len() as u32).to_le_bytes()[..LENGTH]);
    out.extend_from_slice(body);
}

impl Wild {
    pub fn new(rng: &mut Rng, role: Role, out: &mut Vec<u8>) -> Wild {
        let handshake = Handshake::new(role, pair(rng), pair(rng));
        let mut wild = Wild { role, handshake, hash: [0; 64], sealer: None };
        wild.speak(rng, out);
        wild
    }

    pub fn is_up(&self) -> bool {
        self.sealer.is_some()
    }

    fn speak(&mut self, rng: &mut Rng, out: &mut Vec<u8>) {
        if self.handshake.writes_next() {
            let mut message = Vec::new();
            if self.handshake.write(&mut message).is_ok() {
                framed(&message, out);
            }
        }
        let Some(outcome) = self.handshake.finish().filter(|_| self.sealer.is_none()) else {
            return;
        };
        let mut header = [0; sealed::HEADER_BYTES];
        rng.fill(&mut header);
        self.hash = outcome.hash;
        let id = hyper::stream_id(&self.hash, self.role == Role::Initiator);
        framed(&[&id[..], &header].concat(), out);
        self.sealer = Some(Sealer::new(&outcome.send, &header));
    }

    /// Reads the handshake; the bytes taken. What comes sealed is not looked at.
    pub fn receive(&mut self, rng: &mut Rng, buf: &[u8], out: &mut Vec<u8>) -> usize {
        if self.is_up() {
            return buf.len();
        }
        let end = LENGTH + self.handshake.reads_next();
        let Some(message) = buf.get(LENGTH..end) else { return 0 };
        if self.handshake.read(message).is_ok() {
            self.speak(rng, out);
        }
        end
    }

    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let Some(sealer) = &mut self.sealer else { return };
        let from = out.len() + LENGTH;
        framed(&vec![0; plain.len() + sealed::OVERHEAD_BYTES], out);
        let at = from + sealed::FRONT_BYTES;
        out[at..at + plain.len()].copy_from_slice(plain);
        sealer.seal(&mut out[from..]);
    }

    /// Opens a core, knowing its key or not.
    pub fn open(&mut self, number: u64, core: &[u8; 32], key: &[u8; 32], out: &mut Vec<u8>) {
        let mut plain = vec![0, 1];
        put_uint(number, &mut plain);
        put_buffer(b"hypercore/alpha", &mut plain);
        put_buffer(core, &mut plain);
        plain.push(1);
        plain.extend(hyper::capability(&self.hash, self.role == Role::Initiator, key));
        self.seal(&plain, out);
    }

    /// A message of any type on a channel of any number, with whatever behind: single, or a batch.
    pub fn anything(&mut self, rng: &mut Rng, out: &mut Vec<u8>) {
        let mut body = vec![0; rng.below(60) as usize];
        rng.fill(&mut body);
        // Most numbers are small, or a count of more than there is.
        body.iter_mut().for_each(|byte| *byte = if rng.one_in(3) { *byte } else { *byte % 5 });
        let mut plain = Vec::new();
        match rng.below(5) {
            0 => plain.extend(body),
            1 => {
                plain.extend([0, 0, 1]);
                for _ in 0..rng.below(6) {
                    put_buffer(&body, &mut plain);
                }
                plain.extend(body);
            }
            2 => {
                plain.extend([0, rng.below(5) as u8]);
                plain.extend(body);
            }
            _ => {
                plain.extend([1, rng.below(12) as u8]);
                plain.extend(body);
            }
        }
        self.seal(&plain, out);
    }
}
