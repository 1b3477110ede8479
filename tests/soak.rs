//! Hours in minutes: a share that stays, copies that come and go, cut connections, edited files and
//! hostile visitors; what stays does not grow.
//!
//! `GANNET_SOAK_MINUTES=60 cargo test --test soak -- --ignored --nocapture`; without the variable
//! three minutes. Says what it measured.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "interop/processes.rs"]
mod processes;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gannet::rng::Rng;
use gannet::wire::{Have, Message, Request};

use processes::gannet::{Home, listening, ready_key};
use processes::peer::Peer;
use processes::relay::Relay;
use processes::session::Wire;
use processes::tools::{Scratch, eventually, files, key_bytes, noise, put, str};

/// The most that a gannet may ever need.
const MOST_KIB: u64 = 32 * 1024;
/// What resident memory may differ by between the second third of the run and the last: allocators
/// are no clockwork, and a feed that grows needs a bit for each block.
const SLACK_KIB: u64 = 1024;
/// A connection that was useful for less long counts as a failure, and is dialled again later and
/// later.
const CUT_EVERY: Duration = Duration::from_secs(20);
/// Files that are edited; there are never more.
const NAMES: u64 = 40;

/// What one process used at one moment.
#[derive(Clone, Copy)]
struct Sample {
    kib: u64,
    descriptors: u64,
}

/// A process that stays, and what it used over the time.
struct Watched {
    name: &'static str,
    pid: u32,
    samples: Vec<(Instant, Sample)>,
}

impl Watched {
    fn new(name: &'static str, peer: &Peer) -> Watched {
        Watched { name, pid: peer.pid(), samples: Vec::new() }
    }

    fn look(&mut self) {
        let at = PathBuf::from(format!("/proc/{}", self.pid));
        let status = fs::read_to_string(at.join("status"));
        let status = status.unwrap_or_else(|error| panic!("{} is gone: {error}", self.name));
        let number = |field: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let word = line.and_then(|line| line.split_whitespace().next());
            let word = word.unwrap_or_else(|| panic!("{} has ended: no {field}", self.name));
            word.parse().expect("a number")
        };
        assert_eq!(number("Threads:"), 1, "threads of {}", self.name);
        assert!(number("VmHWM:") < MOST_KIB, "{}: {} KiB", self.name, number("VmHWM:"));
        let descriptors = fs::read_dir(at.join("fd")).expect("its descriptors").count() as u64;
        let sample = Sample { kib: number("VmRSS:"), descriptors };
        self.samples.push((Instant::now(), sample));
    }

    /// Samples of the first, second and last third of the run.
    fn thirds(&self) -> [Vec<Sample>; 3] {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            panic!("{} was never looked at", self.name);
        };
        let third = (last.0 - first.0) / 3;
        let mut thirds = [const { Vec::new() }; 3];
        for (at, sample) in &self.samples {
            let place = (*at - first.0).as_nanos() / third.as_nanos().max(1);
            thirds[place.min(2) as usize].push(*sample);
        }
        thirds
    }

    /// Says what was measured; the last third of the run needs no more than the one before.
    fn is_flat(&self) {
        let thirds = self.thirds();
        assert!(thirds.iter().all(|third| third.len() > 2), "too few samples of {}", self.name);
        let kib = thirds.each_ref().map(|third| middle(third, |sample| sample.kib));
        let open = thirds.each_ref().map(|third| middle(third, |sample| sample.descriptors));
        let least = |third: &[Sample]| third.iter().map(|sample| sample.descriptors).min();
        println!(
            "{}: {} samples; resident KiB by thirds {kib:?}; descriptors by thirds {open:?}",
            self.name,
            self.samples.len()
        );
        assert!(kib[2] <= kib[1] + SLACK_KIB, "{} grows: {kib:?} KiB", self.name);
        // Connections and files come and go; what is there in the quietest moment has leaked.
        let (before, after) = (least(&thirds[1]), least(&thirds[2]));
        assert!(after <= before.map(|n| n + 1), "{} leaks: {before:?}, {after:?}", self.name);
        assert!(open[2] <= open[1] + 4, "{} holds more and more: {open:?}", self.name);
    }
}

fn middle(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> u64 {
    let mut all: Vec<u64> = samples.iter().map(value).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// How often something was done.
#[derive(Debug, Default)]
struct Counts {
    edits: u32,
    cut: usize,
    kills: u32,
    stops: u32,
    /// Those that got as far as to say what they came for.
    visits: u32,
}

struct Soak {
    home: Home,
    key: String,
    port: String,
    from: PathBuf,
    rng: Rng,
    share: Peer,
    /// With the time of the last cut.
    proxies: Vec<(Relay, Instant)>,
    /// Copies that come and go: folder, address to dial, process.
    passing: Vec<(PathBuf, String, Peer)>,
    /// Visitors that hold their connection and say nothing more.
    lurking: Vec<TcpStream>,
    counts: Counts,
}

#[test]
#[ignore = "minutes: GANNET_SOAK_MINUTES, or three"]
fn nothing_grows() {
    let minutes = std::env::var("GANNET_SOAK_MINUTES").map_or(3, |text| {
        text.parse().unwrap_or_else(|_| panic!("GANNET_SOAK_MINUTES is no number: {text}"))
    });
    let (scratch, home) = (Scratch::new(), Home::dat());
    let from = scratch.dir("from");
    for n in 0..NAMES {
        put(&from, &name(n), &noise(n, 1000 + 2000 * n as usize));
    }
    let mut share = home.share(&from, &[]);
    let ready = share.expect("ready");
    share.expect("published");
    let (key, port) = (ready_key(&ready), listening(&ready));

    // One copy and one seed stay, behind proxies; two copies behind the seed come and go.
    let proxies = [Relay::before(&port), Relay::before(&port)];
    let (copy, kept) = (scratch.name("copy"), scratch.name("kept"));
    let mut clone = home.clone(&key, &copy, &["--peer", &proxies[0].address()]);
    clone.expect("ready");
    let mut seed = home.seed(&key, &kept, &["--peer", &proxies[1].address()]);
    let behind = Relay::before(&listening(&seed.expect("ready")));
    let passing = (0..2)
        .map(|n| {
            let (folder, at) = (scratch.name(&format!("passing {n}")), behind.address());
            let mut peer = home.clone(&key, &folder, &["--peer", &at]);
            peer.expect("ready");
            (folder, at, peer)
        })
        .collect();
    let proxies =
        proxies.into_iter().chain([behind]).map(|relay| (relay, Instant::now())).collect();

    let mut watched =
        [Watched::new("share", &share), Watched::new("clone", &clone), Watched::new("seed", &seed)];
    let rng = Rng::from_seed(11);
    let (counts, lurking) = (Counts::default(), Vec::new());
    let mut soak = Soak { home, key, port, from, rng, share, proxies, passing, lurking, counts };
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let mut rounds = 0;
    while Instant::now() < until {
        soak.disturb();
        let wanted = files(&soak.from);
        let passing = soak.passing.iter().map(|(folder, ..)| folder);
        for folder in passing.chain([&copy]) {
            eventually("a copy", || folder.exists() && files(folder) == wanted);
        }
        watched.iter_mut().for_each(Watched::look);
        rounds += 1;
    }
    println!("{rounds} rounds in {minutes} minutes: {:?}", soak.counts);
    watched.iter().for_each(Watched::is_flat);
    let Counts { edits, cut, kills, stops, visits } = soak.counts;
    assert!(edits > 0 && cut > 0 && kills > 0 && stops > 0 && visits > 0, "too little happened");

    seed.stop();
    clone.stop();
    soak.passing.iter_mut().for_each(|(_, _, peer)| peer.stop());
    soak.share.stop();
    for folder in [&soak.from, &copy] {
        soak.home.gannet(&["verify", str(folder)]).succeed();
    }
}

fn name(n: u64) -> String {
    format!("{}/{n}", ["a", "b/c", "d"][n as usize % 3])
}

impl Soak {
    fn disturb(&mut self) {
        match self.rng.below(10) {
            0..=3 => self.edit(),
            4 => self.restart(),
            5 | 6 => self.cut(),
            _ => {
                // Refused, dropped or banned: all is well as long as the share is.
                let _ = self.visit();
            }
        }
    }

    fn edit(&mut self) {
        for _ in 0..=self.rng.below(3) {
            self.counts.edits += 1;
            let path = self.from.join(name(self.rng.below(NAMES)));
            let size = self.rng.below(150_000) as usize;
            let bytes = noise(self.rng.next_u64(), size);
            match self.rng.below(4) {
                0 => drop(fs::remove_file(&path)),
                1 => append(&path, &bytes[..size / 10]),
                _ => put(&self.from, str(&path), &bytes),
            }
        }
    }

    /// A copy ends, killed or asked to, and is started again.
    fn restart(&mut self) {
        let which = self.rng.below(self.passing.len() as u64) as usize;
        let killed = self.rng.one_in(2);
        let (folder, at, peer) = &mut self.passing[which];
        if killed {
            self.counts.kills += 1;
            peer.kill();
        } else {
            self.counts.stops += 1;
            peer.stop();
        }
        *peer = self.home.clone(&self.key, folder, &["--peer", at]);
        peer.expect("ready");
    }

    fn cut(&mut self) {
        let which = self.rng.below(self.proxies.len() as u64) as usize;
        let (relay, last) = &mut self.proxies[which];
        if last.elapsed() >= CUT_EVERY {
            *last = Instant::now();
            self.counts.cut += relay.cut();
        }
    }

    /// Somebody unpleasant.
    fn visit(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; self.rng.below(5000) as usize];
        self.rng.fill(&mut bytes);
        match self.rng.below(5) {
            0 => TcpStream::connect(format!("127.0.0.1:{}", self.port))?.write_all(&bytes)?,
            1 => {
                self.lurking.truncate(5);
                let stream = TcpStream::connect(format!("127.0.0.1:{}", self.port))?;
                self.lurking.insert(0, stream);
            }
            draw => {
                let mut wire = Wire::dial(&self.port, key_bytes(&self.key))?;
                wire.until_handshake()?;
                self.counts.visits += 1;
                for n in 0..1000 {
                    let message = match draw {
                        2 => Message::Request(Request { index: n % 7, ..Request::default() }),
                        3 => Message::Want { start: 0, length: Some(1 << 20) },
                        _ => Message::Have(Have {
                            start: n << 20,
                            length: 1 << 20,
                            bits: None,
                            ack: true,
                        }),
                    };
                    wire.stream.set_write_timeout(Some(Duration::from_secs(1)))?;
                    wire.send(&message)?;
                }
                wire.stream.set_read_timeout(Some(Duration::from_millis(1)))?;
                return match wire.stream.read(&mut bytes) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                    _ => Ok(()),
                };
            }
        }
        self.counts.visits += 1;
        Ok(())
    }
}

fn append(path: &Path, bytes: &[u8]) {
    if let Ok(mut file) = fs::OpenOptions::new().append(true).open(path) {
        file.write_all(bytes).expect("a file of ours");
    }
}
