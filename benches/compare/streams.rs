//! What connections of the Hypercore network cost the side that is dialled.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::gannet::rng::Rng;

use crate::gannet::{Home, listening};
use crate::line::Line;
use crate::tools::{Scratch, key_bytes, noise};
use crate::{MEGA, Options, cpu, median, status};

const HANDSHAKES: usize = 2000;
/// Fewer than a process takes.
const IDLE: usize = 400;
const HONEST: usize = 200;

pub fn streams(_: &Options) {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let store = scratch.name("core");
    home.core_create(&store);
    home.core_append(&store, &noise(1, 100_000), Some(1000));
    let key = key_bytes(&home.core_key(&store));
    let mut serving = home.core_serve(&store, &[]);
    let port = listening(&serving.expect("ready"));
    let mut rng = Rng::from_seed(1);
    let resident = |peer| status(peer, "VmRSS:") as f64 * 1024.0;

    let (before, began) = (cpu(&serving), Instant::now());
    for _ in 0..HANDSHAKES {
        let mut line = Line::dial(&port, &mut rng).expect("a stream");
        line.open(&key).expect("the core is there");
    }
    let (each, took) = ((cpu(&serving) - before) / HANDSHAKES as f64, began.elapsed());
    println!(
        "  handshakes: {:.2} ms of CPU each with a core opened, so {:.0} a second and core ({:.0} one after the other)",
        each * 1000.0,
        1.0 / each,
        HANDSHAKES as f64 / took.as_secs_f64()
    );

    let (before, mut lines) = (resident(serving.pid()), Vec::new());
    for _ in 0..IDLE {
        let mut line = Line::dial(&port, &mut rng).expect("a stream");
        line.open(&key).expect("the core is there");
        lines.push(line);
    }
    let more = (resident(serving.pid()) - before) / IDLE as f64;
    println!("  idle connections: {:.1} KB each for {IDLE} of them", more / 1000.0);
    drop(lines);

    let alone = honest(&port, &key, &mut rng);
    let (over, half_open) = (AtomicBool::new(false), AtomicU64::new(0));
    let flooded = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut waiting = std::collections::VecDeque::new();
            while !over.load(Ordering::Relaxed) {
                if let Ok(stream) = TcpStream::connect(format!("127.0.0.1:{port}")) {
                    half_open.fetch_add(1, Ordering::Relaxed);
                    waiting.push_back(stream);
                }
                if waiting.len() > 300 {
                    waiting.pop_front();
                }
            }
        });
        let flooded = honest(&port, &key, &mut rng);
        over.store(true, Ordering::Relaxed);
        flooded
    });
    println!(
        "  an honest handshake with its core: {:.2} ms, {:.2} ms while {} half-open ones come, {:.1} MB at most",
        alone.as_secs_f64() * 1000.0,
        flooded.as_secs_f64() * 1000.0,
        half_open.load(Ordering::Relaxed),
        status(serving.pid(), "VmHWM:") as f64 * 1024.0 / MEGA
    );
    serving.kill();
}

/// The median time until a core is open.
fn honest(port: &str, key: &[u8; 32], rng: &mut Rng) -> Duration {
    let took = (0..HONEST).map(|_| {
        let began = Instant::now();
        loop {
            // Who is pushed out by the flood comes again.
            let open = Line::dial(port, rng).and_then(|mut line| line.open(key));
            if open.is_ok() {
                return began.elapsed().as_secs_f64();
            }
        }
    });
    Duration::from_secs_f64(median(took.collect()))
}
