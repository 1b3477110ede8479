//! gannet beside the JavaScript programs, on this machine, in one run: `cargo bench --bench compare`.
//!
//! Every figure is the median of some rounds in which the contestants take turns. Two processes on
//! loopback, disk to disk. Node.js has the compiled libsodium and is not charged for its start;
//! gannet is. What follows `--` chooses: words of scenario names, `--rounds N`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "compare/cores.rs"]
mod cores;
#[allow(dead_code)]
#[path = "../tests/interop/gannet.rs"]
mod gannet;
#[allow(dead_code)]
#[path = "../tests/interop/hub.rs"]
mod hub;
#[allow(dead_code)]
#[path = "../tests/interop/install.rs"]
mod install;
#[allow(dead_code)]
#[path = "../tests/interop/line.rs"]
mod line;
#[allow(dead_code)]
#[path = "../tests/interop/network.rs"]
mod network;
#[allow(dead_code)]
#[path = "../tests/interop/peer.rs"]
mod peer;
#[path = "compare/streams.rs"]
mod streams;
#[allow(dead_code)]
#[path = "../tests/interop/tools.rs"]
mod tools;

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ::gannet::crypto::hash;
use serde_json::Value;

use gannet::{Home, listening, ready_key};
use peer::Peer;
use tools::{Scratch, js, noise, port, put, str, text};

const MEGA: f64 = 1e6;

/// Which program is on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Gannet,
    Node,
}
use Side::{Gannet, Node};

const PAIRS: [(Side, Side); 4] = [(Gannet, Gannet), (Node, Node), (Gannet, Node), (Node, Gannet)];

/// One transfer.
#[derive(Clone, Copy, Default)]
struct Run {
    seconds: f64,
    /// Peak of resident memory, in MB: the serving side, the fetching side.
    serving_mb: f64,
    fetching_mb: f64,
    /// CPU seconds, user and system; a Node.js that was started before is charged from the dial on.
    serving_cpu: f64,
    fetching_cpu: f64,
    /// Most threads seen of a gannet.
    threads: u64,
}

struct Options {
    rounds: usize,
    words: Vec<String>,
}

type Scenario = (&'static str, fn(&Options));

const SCENARIOS: [Scenario; 9] = [
    ("core-64k: one core, 3,200 blocks of 64 KiB (210 MB)", |o| cores::core(o, 3200, 65_536)),
    ("core-100: one core, 100,000 blocks of 100 bytes", |o| cores::core(o, 100_000, 100)),
    ("feed-64k: one feed, 4,096 blocks of 64 KiB (268 MB)", |o| feed(o, 4096, 65_536)),
    ("feed-100: one feed, 100,000 blocks of 100 bytes", |o| feed(o, 100_000, 100)),
    ("drive-10000: 10,000 files of 1 to 16 KiB", drive),
    ("import-1g: one file of 1 GiB", import),
    ("idle: wake-ups and memory while nothing happens", idle),
    ("streams: handshakes, idle connections, a flood of half-open ones", streams::streams),
    ("size: the program", size),
];

fn main() {
    let options = options();
    // SAFETY: nothing else runs yet.
    unsafe { std::env::set_var("PEER_SODIUM", "native") };
    for (name, run) in SCENARIOS {
        if options.words.is_empty() || options.words.iter().any(|word| name.contains(word)) {
            println!("\n{name}");
            run(&options);
        }
    }
}

fn options() -> Options {
    let mut options = Options { rounds: 3, words: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bench" => {}
            "--rounds" => {
                options.rounds = words.next().and_then(|n| n.parse().ok()).expect("--rounds N");
            }
            _ => options.words.push(word),
        }
    }
    options
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// A number of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// CPU seconds of a process so far.
fn cpu(peer: &Peer) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", peer.pid())).unwrap_or_default();
    // The second field is a name in brackets and may hold anything.
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| after.split_whitespace().nth(at).and_then(|n| n.parse::<f64>().ok());
    let ticks = ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0);
    ticks / rustix::param::clock_ticks_per_second() as f64
}

fn peak_mb(peer: &Peer) -> f64 {
    status(peer.pid(), "VmHWM:") as f64 * 1024.0 / MEGA
}

fn threads(side: Side, peer: &Peer) -> u64 {
    if side == Gannet { status(peer.pid(), "Threads:") } else { 0 }
}

/// Rounds in which the pairs take turns, as a table with one line for each.
fn compare(options: &Options, unit: &str, amount: f64, run: impl Fn(Side, Side) -> Run) {
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); PAIRS.len()];
    for _ in 0..options.rounds {
        for (pair, (from, to)) in PAIRS.into_iter().enumerate() {
            runs[pair].push(run(from, to));
        }
    }
    let of = |pair: usize, what: fn(&Run) -> f64| median(runs[pair].iter().map(what).collect());
    let node = of(1, |run| run.seconds);
    println!(
        "  {:<16} {:>9} {:>12} {:>10}   CPU s of each   peak MB of each",
        "", "s", unit, "to Node"
    );
    for (pair, (from, to)) in PAIRS.into_iter().enumerate() {
        let seconds = of(pair, |run| run.seconds);
        println!(
            "  {:<16} {seconds:>9.3} {:>12.0} {:>8.2} x   {:>4.2} → {:>4.2}     {:.1} → {:.1}",
            format!("{from:?} → {to:?}"),
            amount / seconds,
            node / seconds,
            of(pair, |run| run.serving_cpu),
            of(pair, |run| run.fetching_cpu),
            of(pair, |run| run.serving_mb),
            of(pair, |run| run.fetching_mb),
        );
    }
    let most = runs.iter().flatten().map(|run| run.threads).max();
    println!("  threads of gannet: {}", most.unwrap_or(0));
}

/// What stands for a serving side.
struct Served {
    port: String,
    key: String,
}

fn served(ready: &Value) -> Served {
    Served { port: port(ready), key: text(ready, "key").to_owned() }
}

/// A feed on disk, written by either program.
fn feed(options: &Options, blocks: usize, size: usize) {
    let (scratch, home) = (Scratch::new(), Home::dat());
    let stores = [scratch.name("gannet's"), scratch.name("node's")];
    home.core_create(&stores[0]);
    home.core_append(&stores[0], &noise(1, blocks * size), Some(size));
    let (count, each) = (blocks.to_string(), size.to_string());
    let made = ["--quiet", "--blocks", &count, "--sizes", &each, "--storage", str(&stores[1])];
    let mut writer = js("feed.js", &made);
    writer.expect("ready");
    writer.end_input();
    writer.succeed();
    let (unit, amount) = match size {
        0..1000 => ("blocks/s", blocks as f64),
        _ => ("MB/s", (blocks * size) as f64 / MEGA),
    };
    compare(options, unit, amount, |from, to| {
        let store = &stores[usize::from(from == Node)];
        let (serving, at) = serve_feed(&home, from, store);
        let before = cpu(&serving);
        let run = fetch_feed(&home, to, &at, &scratch.name("copy"), blocks);
        fs::remove_dir_all(scratch.name("copy")).expect("the copy");
        with_serving(run, from, serving, before)
    });
}

fn serve_feed(home: &Home, side: Side, store: &Path) -> (Peer, Served) {
    if side == Gannet {
        let mut peer = home.core_serve(store, &[]);
        let ready = peer.expect("ready");
        return (peer, Served { port: listening(&ready), key: ready_key(&ready) });
    }
    let mut peer = js("feed.js", &["--quiet", "--live", "--storage", str(store)]);
    let ready = peer.expect("ready");
    (peer, served(&ready))
}

fn fetch_feed(home: &Home, side: Side, from: &Served, to: &Path, blocks: usize) -> Run {
    let began = Instant::now();
    let (event, fact, mut peer) = if side == Gannet {
        let at = format!("127.0.0.1:{}", from.port);
        ("complete", "version", home.seed(&from.key, to, &["--peer", &at]))
    } else {
        let at = ["--quiet", "--live", "--key", &from.key, "--storage", str(to), "--connect"];
        ("synced", "length", js("feed.js", &[&at[..], &[&from.port]].concat()))
    };
    let done = peer.expect_where(event, |done| done[fact] == blocks);
    finished(side, began, &done, &mut peer)
}

fn finished(side: Side, began: Instant, done: &Value, peer: &mut Peer) -> Run {
    let wall = began.elapsed().as_secs_f64();
    // Node tells how long it took since it was ready to dial.
    let seconds = done["ms"].as_f64().filter(|_| side == Node).map_or(wall, |ms| ms / 1000.0);
    let (fetching_mb, threads) = (peak_mb(peer), threads(side, peer));
    let fetching_cpu = cpu(peer);
    peer.kill();
    Run { seconds, fetching_mb, fetching_cpu, threads, ..Run::default() }
}

/// Ends the serving side; `before` is its CPU time before anybody dialled.
fn with_serving(run: Run, side: Side, mut serving: Peer, before: f64) -> Run {
    let threads = run.threads.max(threads(side, &serving));
    let serving_cpu = cpu(&serving) - before;
    let run = Run { serving_mb: peak_mb(&serving), serving_cpu, threads, ..run };
    serving.kill();
    run
}

/// Import and clone of a folder of many small files.
fn drive(options: &Options) {
    let (scratch, home) = (Scratch::new(), Home::dat());
    let (files, fresh) = (10_000, scratch.dir("fresh"));
    let mut bytes = 0;
    for n in 0..files {
        let size = 1024 + (n * 7919) % (15 * 1024);
        bytes += size;
        put(&fresh, &format!("{:02}/{n:05}", n % 100), &noise(n as u64, size));
    }
    let (shared, copies) = (imports(options, &scratch, &home, &fresh), Cell::new(0));
    println!("  clone of {files} files, {:.0} MB:", bytes as f64 / MEGA);
    compare(options, "files/s", files as f64, |from, to| {
        let folder = &shared[usize::from(from == Node)];
        let (serving, at, _) = share_folder(&home, from, folder);
        let before = cpu(&serving);
        // All copies stay to the end: file systems are slow to make files where many were just deleted.
        copies.set(copies.get() + 1);
        let run = clone_folder(&home, to, &at, &scratch.name(&format!("clone {}", copies.get())));
        with_serving(run, from, serving, before)
    });
}

/// Imports copies of a folder with both programs; the last copy of each is left.
fn imports(options: &Options, scratch: &Scratch, home: &Home, fresh: &Path) -> [PathBuf; 2] {
    let mut seconds = [Vec::new(), Vec::new()];
    let mut peaks = [Vec::new(), Vec::new()];
    let mut folders = [PathBuf::new(), PathBuf::new()];
    for round in 0..options.rounds {
        for (which, side) in [Gannet, Node].into_iter().enumerate() {
            folders[which] = scratch.name(&format!("{side:?} {round}"));
            let copied = Command::new("cp").arg("-a").args([fresh, &folders[which]]).status();
            assert!(copied.is_ok_and(|status| status.success()), "cp -a");
            let (mut peer, _, took) = share_folder(home, side, &folders[which]);
            seconds[which].push(took);
            peaks[which].push(peak_mb(&peer));
            peer.stop();
        }
    }
    let [ours, theirs] = seconds.map(median);
    let [our_peak, their_peak] = peaks.map(median);
    println!("  import by gannet: {ours:.3} s, peak {our_peak:.1} MB");
    println!("  import by Node:   {theirs:.3} s, peak {their_peak:.1} MB, {:.2} x", theirs / ours);
    folders
}

/// Shares a folder; the seconds until all of it is published.
fn share_folder(home: &Home, side: Side, folder: &Path) -> (Peer, Served, f64) {
    let began = Instant::now();
    if side == Gannet {
        let mut peer = home.share(folder, &[]);
        let ready = peer.expect("ready");
        let at = Served { port: listening(&ready), key: ready_key(&ready) };
        peer.expect("published");
        return (peer, at, began.elapsed().as_secs_f64());
    }
    let secrets = home.secret_keys();
    let options = ["--live", "--folder", str(folder), "--secrets", str(&secrets)];
    let mut peer = js("drive.js", &options);
    let ready = peer.expect("ready");
    (peer, served(&ready), began.elapsed().as_secs_f64())
}

fn clone_folder(home: &Home, side: Side, from: &Served, to: &Path) -> Run {
    let began = Instant::now();
    let (event, mut peer) = if side == Gannet {
        let at = format!("127.0.0.1:{}", from.port);
        ("complete", home.clone(&from.key, to, &["--peer", &at]))
    } else {
        let at = ["--live", "--folder", str(to), "--key", &from.key, "--connect", &from.port];
        ("sync", js("drive.js", &at))
    };
    let done = peer.expect(event);
    finished(side, began, &done, &mut peer)
}

/// Import of one big file, beside the mere hashing of as many bytes.
fn import(options: &Options) {
    let (scratch, home) = (Scratch::new(), Home::dat());
    let part = noise(1, 1 << 20);
    let mut seconds = [Vec::new(), Vec::new()];
    let mut peaks = Vec::new();
    for round in 0..options.rounds.min(3) {
        let folder = scratch.dir(&format!("folder {round}"));
        let mut file = fs::File::create(folder.join("big")).expect("a file");
        for _ in 0..1024 {
            file.write_all(&part).expect("a big file");
        }
        file.sync_all().expect("a big file");
        let (mut peer, _, took) = share_folder(&home, Gannet, &folder);
        seconds[0].push(took);
        peaks.push(peak_mb(&peer));
        peer.stop();
        let began = Instant::now();
        for _ in 0..1024 {
            for block in part.chunks(65_536) {
                std::hint::black_box(hash::leaf(block));
            }
        }
        seconds[1].push(began.elapsed().as_secs_f64());
        fs::remove_dir_all(folder).expect("the folder");
    }
    let bytes = 1024.0 * part.len() as f64 / MEGA;
    let [import, hashing] = seconds.map(median);
    let peak = median(peaks);
    println!("  import:        {import:.2} s, {:.0} MB/s, peak {peak:.1} MB", bytes / import);
    println!("  hashing alone: {hashing:.2} s, {:.0} MB/s", bytes / hashing);
}

/// Wake-ups a second and resident memory of a share that has nothing to do.
fn idle(_: &Options) {
    const WATCHED: Duration = Duration::from_secs(20);
    let (scratch, home) = (Scratch::new(), Home::dat());
    let folder = scratch.dir("folder");
    put(&folder, "file", &noise(1, 100_000));
    let (share, at, _) = share_folder(&home, Gannet, &folder);
    let watch = |what: &str| {
        std::thread::sleep(Duration::from_secs(5));
        let before = status(share.pid(), "voluntary_ctxt_switches:");
        std::thread::sleep(WATCHED);
        let wakes = status(share.pid(), "voluntary_ctxt_switches:") - before;
        println!(
            "  {what}: {:.2} wake-ups a second, {:.1} MB resident, threads: {}",
            wakes as f64 / WATCHED.as_secs_f64(),
            status(share.pid(), "VmRSS:") as f64 * 1024.0 / MEGA,
            status(share.pid(), "Threads:")
        );
    };
    watch("without a peer");
    let peer = format!("127.0.0.1:{}", at.port);
    let mut clone = home.clone(&at.key, &scratch.name("clone"), &["--peer", &peer]);
    clone.expect("complete");
    watch("with a peer");
}

fn size(_: &Options) {
    let program = fs::metadata(env!("CARGO_BIN_EXE_gannet")).expect("the program");
    println!("  {:.2} MB", program.len() as f64 / MEGA);
}
