//! What many connections cost one process: `cargo bench --bench peers`. A node with one core serves streams of
//! the Hypercore dialect on loopback; the other ends are a process of their own. Told are medians of some
//! rounds, for the numbers of peers named behind `--` (2,000 and 10,000 otherwise): memory, processor time
//! at rest, the longest turn; handshakes and refusals a second of processor time.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "../tests/interop/line.rs"]
mod line;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gannet::crypto::sign::KeyPair;
use gannet::limits;
use gannet::node::event::{Event, Interest};
use gannet::node::{Blocks, Config, CoreOptions, Node};
use gannet::reactor::{Reactor, Tuning};
use gannet::rng::Rng;
use gannet::store::disk::Disk;
use gannet::store::{Content, FeedStore, Keys};
use gannet::swarm::balance::Bounds;
use gannet::sys::Sys;
use gannet::sys::linux::{LinuxSys, Signals, descriptors};
use rustix::time::{ClockId, clock_gettime};

use line::Line;

const ROUNDS: usize = 3;
/// How long peers that do nothing are watched.
const WATCHED: Duration = Duration::from_secs(20);
/// Whoever is full is knocked at for so long.
const KNOCKED: Duration = Duration::from_secs(3);
/// Between two signs of life of a gannet that was asked to speak seldom.
const SIGN: Duration = limits::SELDOM_KEEPALIVE_AFTER;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    descriptors(limits::CONNECTIONS_MOST + 1000);
    match &words[..] {
        [client, port, count] if client == "client" => {
            peers(port, count.parse().expect("a number"));
        }
        [knock, port] if knock == "knock" => println!("{}", knocked(port)),
        _ => {
            let counts: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
            let counts = if counts.is_empty() { vec![2000, 10_000] } else { counts };
            counts.into_iter().for_each(measure);
        }
    }
}

/// Processor time of this thread, in seconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("this process");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("resident memory");
    let kilobytes = line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
    kilobytes.expect("a number") * 1024.0
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// What the other side says, and the process that is it.
struct Other {
    child: Child,
    lines: Receiver<String>,
}

impl Other {
    fn start(words: &[&str]) -> Other {
        let me = std::env::current_exe().expect("this program");
        let mut command = Command::new(me);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|l| send.send(l))
        });
        Other { child, lines }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node in a loop, and how long its longest turn was.
struct Served {
    reactor: Reactor<LinuxSys, Node>,
    port: String,
    longest: f64,
}

impl Served {
    fn new(dir: &Path, connections: usize) -> Served {
        let mut sys = LinuxSys::new(Signals::Leave).expect("this system");
        let mut id = [0; 32];
        sys.entropy(&mut id);
        let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let connections = Some(connections);
        let config = Config {
            id,
            host: id,
            identity: id,
            entropy: id,
            listen,
            connections,
            bounds: Bounds { min: 1, target: 1, max: limits::CONNECTIONS_MOST },
            ..Config::default()
        };
        let now = sys.now();
        let mut node = Node::new(config, now);
        let disk = sys.disk();
        let dir = disk.open_root(dir, true).expect("a folder");
        let keys = Keys::core_compat(writer(), true);
        let mut store = FeedStore::create(disk, dir, "", keys, Content::File).expect("a core");
        store.append(disk, &[&[7; 100]]).expect("a block");
        store.commit(disk, now).expect("a good disk");
        let options = CoreOptions { blocks: Blocks::Follow, show: None };
        node.add_core(now, dir, String::new(), store, options);
        let events = node.subscribers.add(Interest::EVERYTHING).expect("room");
        let room = limits::CONNECTIONS_MOST + limits::REFUSED_AT_ONCE;
        let tuning = Tuning { connections: room, ..Tuning::default() };
        let mut reactor = Reactor::new(sys, node, tuning);
        reactor.with(|node, now, _| node.start(now));
        let port = loop {
            reactor.turn().expect("the loop runs");
            let event = reactor.engine_mut().subscribers.next_event(events);
            if let Some(Event::Ready { listen, .. }) = event {
                break listen[0].port().to_string();
            }
        };
        reactor.engine_mut().subscribers.remove(events);
        Served { reactor, port, longest: 0.0 }
    }

    /// Turns until the other side has said something; its processor time.
    fn until(&mut self, other: &Other, time: Duration) -> (f64, Option<String>) {
        let (before, began) = (cpu(), Instant::now());
        loop {
            if let Ok(line) = other.lines.try_recv() {
                return (cpu() - before, Some(line));
            }
            let left = time.saturating_sub(began.elapsed());
            if left.is_zero() {
                return (cpu() - before, None);
            }
            let soon = self.reactor.sys().now() + left.min(Duration::from_millis(100));
            self.reactor.engine_mut().wake_at(soon);
            let turn = cpu();
            self.reactor.turn().expect("the loop runs");
            self.longest = self.longest.max(cpu() - turn);
        }
    }
}

fn writer() -> KeyPair {
    KeyPair::from_seed([9; 32])
}

fn measure(count: usize) {
    let hour = Duration::from_secs(3600);
    let mut figures = [(); 7].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir().expect("a folder");
        let mut served = Served::new(dir.path(), count);
        let before = resident();
        let peers = Other::start(&["client", &served.port.clone(), &count.to_string()]);
        let (meeting, met) = served.until(&peers, hour);
        assert_eq!(met.as_deref(), Some("met"), "not all of them are met");
        let all = resident();
        let greeting = std::mem::take(&mut served.longest);
        let (rest, ended) = served.until(&peers, WATCHED);
        assert_eq!(ended, None, "they do not stay");
        let turn = std::mem::take(&mut served.longest);
        let knocking = Other::start(&["knock", &served.port.clone()]);
        let (refusing, refused) = served.until(&knocking, hour);
        let refused: f64 = refused.and_then(|n| n.parse().ok()).expect("a number");
        let of = [
            all / 1e6,
            (all - before) / count as f64 / 1e3,
            rest / WATCHED.as_secs_f64() * 100.0,
            turn * 1e3,
            greeting * 1e3,
            count as f64 / meeting,
            refused / refusing,
        ];
        figures.iter_mut().zip(of).for_each(|(all, one)| all.push(one));
    }
    // Later rounds have the room that the first one gave back.
    let each = figures[1][0];
    let [all, _, rest, turn, greeting, meeting, refusing] = figures.map(median);
    println!(
        "{count} peers: {all:.1} MB resident with them, {each:.1} KB each; {rest:.2} % of a core at \
         rest; {turn:.1} ms the longest turn, {greeting:.1} ms while they came; {meeting:.0} handshakes and {refusing:.0} refusals a \
         second of processor time"
    );
}

/// The other ends: as many streams as are wanted, each with a sign of life now and then.
fn peers(port: &str, count: usize) {
    let mut rng = Rng::from_seed(1);
    let (mut lines, mut next) = (Vec::new(), Instant::now() + SIGN);
    let key = writer().public();
    while lines.len() < count {
        let mut line = Line::dial(port, &mut rng).expect("a stream");
        line.meet(&mut rng).expect("there is room");
        line.open(&key).expect("the core is there");
        line.stream.set_nonblocking(true).expect("a socket");
        lines.push(line);
        if Instant::now() >= next {
            next = Instant::now() + SIGN;
            lines.iter_mut().for_each(sign);
        }
    }
    println!("met");
    // Evenly over the time, as those do that did not all come at once.
    for at in (0..count).cycle() {
        sign(&mut lines[at]);
        std::thread::sleep(SIGN / count as u32);
    }
}

fn sign(line: &mut Line) {
    while line.stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    line.session.keepalive(&mut line.out);
    let out = std::mem::take(&mut line.out);
    line.stream.write_all(&out).expect("a stream that stands");
}

/// How many are refused while one comes after the other.
fn knocked(port: &str) -> usize {
    let (began, mut refused) = (Instant::now(), 0);
    while began.elapsed() < KNOCKED {
        let Ok(mut stream) = TcpStream::connect(format!("127.0.0.1:{port}")) else { continue };
        let end = stream.read(&mut [0; 1]);
        assert!(!matches!(end, Ok(1)), "something was said to it");
        refused += 1;
    }
    refused
}
