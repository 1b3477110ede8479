//! The same in the Hypercore dialect, against a shared hyperdrive.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gannet::crypto::hash::discovery_key;
use gannet::feed::hyper::{Ask, Grown, Indexed, Path, Proof, Upgrade};
use gannet::rng::Rng;
use gannet::wire::hyper::{Data, Message, Request, Sync};

use super::{Victim, is_closed, pour};
use crate::processes::gannet::Home;
use crate::processes::line::Line;

/// One connection of an attacker, until it is closed or `over`. `met`: somebody came through.
fn flood(
    port: &str,
    key: &[u8; 32],
    attacker: u64,
    rng: &mut Rng,
    met: &AtomicBool,
    over: &AtomicBool,
) -> io::Result<()> {
    let core = discovery_key(key);
    let mut line = Line::dial(port, rng)?;
    line.open(key)?;
    met.store(true, Ordering::Relaxed);
    line.stream.set_nonblocking(true)?;
    let mut waiting: Vec<u8> = Vec::new();
    for n in 0u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let block = Some(Indexed { index: n % 4, nodes: n % 70 });
        let upgrade = Some(Upgrade { start: 0, length: 1 + n % 9 });
        let message = match attacker {
            // Blocks, and never a byte of them read.
            0 => {
                let ask = Ask { block, upgrade, ..Ask::default() };
                Message::Request(Request { id: 1 + n, ask, manifest: true, ..Request::default() })
            }
            // Another length each time, to each of which there is an answer.
            1 => Message::Sync(Sync {
                length: n % 1000,
                fork: n % 3,
                can_upgrade: true,
                uploading: n % 2 == 0,
                ..Sync::default()
            }),
            2 => {
                let upgrade = Grown { length: n, signature: Some(vec![1; 64]), ..Grown::default() };
                let block = Path { index: n % 9, ..Path::default() };
                let proof =
                    Proof { block: Some(block), upgrade: Some(upgrade), ..Proof::default() };
                let value = Some(&b"forged"[..]);
                Message::Data(Data { request: n % 20, value, proof, ..Data::default() })
            }
            _ => {
                let mut other = [0; 32];
                rng.fill(&mut other);
                let unknown = discovery_key(&other);
                let _ = line.session.open(&unknown, &other, &mut waiting);
                line.session.close(&core, &mut waiting);
                let _ = line.session.open(&core, key, &mut waiting);
                Message::Range { drop: n % 2 == 0, start: n * 4096, length: 1 << 30 }
            }
        };
        let _ = line.session.send(&core, &message, &mut waiting);
        line.session.poll(&mut waiting);
        while waiting.len() > 64 * 1024 && !over.load(Ordering::Relaxed) {
            match line.stream.write(&waiting) {
                Ok(0) => return Ok(()),
                Ok(count) => drop(waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Holds the connection open and its own window full.
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[test]
fn streams_that_flood_do_not_keep_an_honest_peer_waiting() {
    let mut victim = Victim::of(Home::hyper());
    let (port, key) = (victim.port.clone(), victim.key);
    let (over, met) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for attacker in 0..4u64 {
            let (port, over, met) = (port.clone(), &over, &met);
            scope.spawn(move || {
                let mut rng = Rng::from_seed(attacker);
                while !over.load(Ordering::Relaxed) {
                    // It may be refused, dropped or banned; it comes back.
                    let _ = flood(&port, &key, attacker, &mut rng, met, over);
                }
            });
        }
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..3 {
                victim.serves_honest_peers(&format!("flood of streams {round}"));
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = told {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(met.load(Ordering::Relaxed), "no attack came through");
}

#[test]
fn broken_streams_are_dropped() {
    let mut victim = Victim::of(Home::hyper());
    let mut rng = Rng::from_seed(1);
    for _ in 0..60 {
        let mut noise = vec![0; rng.below(3000) as usize];
        rng.fill(&mut noise);
        // A Noise stream begins so.
        let mut stream = victim.raw();
        pour(&mut stream, &[&[32, 0, 0][..], &noise].concat());
    }
    let mut half = victim.raw();
    pour(&mut half, &[32, 0, 0, 1, 2, 3]);
    for sealed in [false, true] {
        let mut line = Line::dial(&victim.port, &mut rng).expect("a stream");
        if sealed {
            line.session.keepalive(&mut line.out);
            let end = line.out.len() - 1;
            line.out[end] ^= 1;
            line.flush().expect("it is read");
        } else {
            // (Three bytes of a length, of a frame that comes whole.)
            pour(&mut line.stream, &[&[100, 0, 0][..], &[0xff; 4000]].concat());
        }
        assert!(is_closed(&mut line.stream), "nonsense is listened to");
    }
    assert!(is_closed(&mut half), "who never greets is dropped");
    victim.serves_honest_peers("broken streams");
}
