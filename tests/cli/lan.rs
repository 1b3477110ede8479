//! Machines on one network of their own (namespaces with a bridge between them), a process on each that
//! was told of nobody.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, Running, end, finish};

/// What a busy machine may take for what takes a second.
const SOON: Duration = Duration::from_secs(5);

/// A namespace, kept alive by a process in it.
struct Space(Child);

impl Space {
    /// In the namespace of `outer`, if there is one; else in a user namespace of its own when not root.
    fn new(outer: Option<&Space>) -> Space {
        let mut command = match outer {
            Some(outer) => outer.command("unshare"),
            None => Command::new("unshare"),
        };
        let user = outer.is_none() && !rustix::process::geteuid().is_root();
        command.arg(if user { "-rn" } else { "-n" });
        command.args(["sh", "-c", "ip link set lo up && echo up && exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = [0; 3];
        let out = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(out, &mut line).expect("a private network (unshare -n)");
        Space(child)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    fn ip(&self, words: &str) {
        let mut command = self.command("ip");
        let done = command.args(words.split(' ')).status().unwrap();
        assert!(done.success(), "ip {words}");
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Machine {
    space: Space,
    home: Home,
    process: Option<Running>,
    id: String,
}

impl Machine {
    fn new(wire: &Space, n: u8) -> Machine {
        let space = Space::new(Some(wire));
        let pid = space.0.id();
        wire.ip(&format!("link add port{n} type veth peer name eth0 netns {pid}"));
        wire.ip(&format!("link set port{n} master wire up"));
        space.ip(&format!("address add 10.9.0.{n}/24 dev eth0"));
        space.ip("link set eth0 up");
        let home = Home::new();
        home.run(&["core", "create", "feed"]).ok();
        let id: Value = serde_json::from_str(home.run(&["id", "--json"]).ok()).unwrap();
        let id = id["id"].as_str().unwrap().to_owned();
        Machine { space, home, process: None, id }
    }

    /// Its process listens, and looks for others.
    fn start(&mut self) {
        self.start_with(&["core", "serve", "feed", "--json"]);
    }

    fn start_with(&mut self, words: &[&str]) {
        let inner = self.home.command(words);
        let mut command = self.space.command(inner.get_program().to_str().unwrap());
        command.args(inner.get_args());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path("")).current_dir(self.home.path(""));
        let process = Running::start(command);
        process.event("ready");
        self.process = Some(process);
    }

    /// How many blocks of the one core that it keeps in a directory it has.
    fn has(&self, dir: &str) -> u64 {
        let status = self.home.run(&["status", dir, "--json"]);
        let status: Value = serde_json::from_str(status.ok()).unwrap();
        status["feeds"][0]["have"].as_u64().unwrap_or_default()
    }

    fn hosts(&self) -> Vec<Value> {
        let answer: Value =
            serde_json::from_str(self.home.run(&["hosts", "feed", "--json"]).ok()).unwrap();
        answer["hosts"].as_array().unwrap().clone()
    }

    /// Whether another one is known to be live, and to have answered at an address.
    fn knows(&self, other: &Machine, ip: &str) -> bool {
        let there = |at: &Value| at.as_str().unwrap().starts_with(&format!("{ip}:"));
        self.hosts().iter().any(|host| {
            let proven = host["proven"].as_array().unwrap().iter().any(there);
            host["id"] == *other.id && host["how"] == "live" && proven
        })
    }

    /// Waits until it does, and says how long that took.
    #[track_caller]
    fn will_know(&self, other: &Machine, ip: &str, since: Instant) {
        while !self.knows(other, ip) {
            assert!(since.elapsed() < SOON, "{ip} is not known: {:?}", self.hosts());
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("{ip} is known after {:?}", since.elapsed());
    }
}

#[test]
fn m01_three_processes_find_each_other_within_a_second_and_again_where_they_move_to() {
    let wire = Space::new(None);
    wire.ip("link add wire type bridge mcast_snooping 0");
    wire.ip("link set wire up");
    let mut machines: Vec<Machine> = (1..=3).map(|n| Machine::new(&wire, n)).collect();
    for machine in &mut machines {
        machine.start();
    }
    let began = Instant::now();
    for (a, b) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        machines[a].will_know(&machines[b], &format!("10.9.0.{}", b + 1), began);
    }
    // Another address.
    machines[2].space.ip("address del 10.9.0.3/24 dev eth0");
    machines[2].space.ip("address add 10.9.0.77/24 dev eth0");
    let moved = Instant::now();
    machines[0].will_know(&machines[2], "10.9.0.77", moved);
    machines[1].will_know(&machines[2], "10.9.0.77", moved);
    // Killed without a word, and started again: one process of one host, still.
    machines[1].process = None;
    machines[1].start();
    let again = Instant::now();
    machines[1].will_know(&machines[0], "10.9.0.1", again);
    machines[1].will_know(&machines[2], "10.9.0.77", again);
    machines[0].will_know(&machines[1], "10.9.0.2", again);
    assert_eq!(machines[0].hosts().len(), 2, "{:?}", machines[0].hosts());
    // By its short id and in full; the text is a line for each.
    let short = machines[1].id[..16].to_owned();
    let home = &machines[0].home;
    for name in [&short, &machines[1].id, &format!("{}-{}", &short[..4], &short[4..8])] {
        let found = home.run(&["find", name, "feed"]);
        assert!(found.ok().contains("live") && found.ok().contains("10.9.0.2:3282"), "{name}");
    }
    assert_eq!(home.run(&["hosts", "feed"]).ok().lines().count(), 2);
    // Nobody knows it: the others were asked.
    let nobody = Home::new().run(&["id"]).ok().lines().last().unwrap().to_owned();
    home.run(&["find", &nobody, "feed"]).failed(3, "was found; is it running?");
    home.run(&["find", "ybnd-ybnd", "feed"]).failed(3, "no host ybnd-ybnd was found");
    // Who says that it leaves is gone at once.
    let process = machines[1].process.take().unwrap();
    assert_eq!(process.stop(), 0);
    let left = Instant::now();
    while machines[0].hosts().len() != 1 {
        assert!(left.elapsed() < SOON, "{:?}", machines[0].hosts());
    }
}

#[test]
fn m03_m15_a_host_is_stopped_by_whom_it_allows_and_looks_for_nobody_where_it_shall_not() {
    let wire = Space::new(None);
    wire.ip("link add wire type bridge mcast_snooping 0");
    wire.ip("link set wire up");
    let mut machines: Vec<Machine> = (1..=3).map(|n| Machine::new(&wire, n)).collect();
    let write = |machine: &Machine, settings: &str| {
        std::fs::create_dir_all(machine.home.path(".config/gannet")).unwrap();
        let core = format!("[[core]]\ndir = \"{}\"\n", machine.home.path("feed").display());
        let text = format!("{settings}{core}");
        std::fs::write(machine.home.path(".config/gannet/gannet.toml"), text).unwrap();
    };
    write(&machines[1], "exclude_interfaces = [\"eth*\"]\n");
    write(&machines[2], "");
    machines[1].start_with(&["daemon", "--json"]);
    machines[0].start();
    machines[2].start_with(&["daemon", "--json"]);
    let began = Instant::now();
    machines[0].will_know(&machines[2], "10.9.0.3", began);
    machines[2].will_know(&machines[0], "10.9.0.1", began);
    assert!(!machines[0].knows(&machines[1], "10.9.0.2") && machines[1].hosts().is_empty());
    write(&machines[1], &format!("[hosts]\nmay_stop = [\"{}\"]\n", machines[0].id));
    machines[1].process.as_ref().unwrap().signal(rustix::process::Signal::HUP);
    machines[0].will_know(&machines[1], "10.9.0.2", Instant::now());
    let home = &machines[0].home;
    home.run(&["shutdown", &machines[2].id, "feed"]).failed(1, "it does not answer: perhaps this");
    assert_eq!(machines[2].hosts().len(), 2, "it goes on");
    let short = machines[1].id[..8].to_owned();
    home.run(&["shutdown", &short, "feed"]).ok();
    assert_eq!(end(&mut machines[1].process.take().unwrap().child), 0);
    let left = Instant::now();
    while machines[0].hosts().iter().any(|host| host["id"] == *machines[1].id) {
        assert!(left.elapsed() < SOON, "{:?}", machines[0].hosts());
    }
    machines[0].home.run(&["shutdown", &short, "feed"]).failed(1, "no such host is known");
}

/// Machines of which the first writes a core and the others keep it.
struct Copies {
    machines: Vec<Machine>,
    blocks: u64,
}

/// A change of the network, or a sleep, is acted upon at once, who is asked has two seconds, and changes in a
/// row are taken together for three; the rest is for a busy machine.
const BACK: Duration = Duration::from_secs(15);

impl Copies {
    /// What is written now is everywhere soon, so all are connected.
    #[track_caller]
    fn are_together(&mut self, when: &str) {
        let began = Instant::now();
        self.blocks += 1;
        self.machines[0].home.feed(&["core", "append", "feed"], b"a block").ok();
        while self.machines[1..].iter().any(|machine| machine.has("kept") < self.blocks) {
            let has: Vec<u64> = self.machines[1..].iter().map(|m| m.has("kept")).collect();
            assert!(began.elapsed() < BACK, "{when}: {has:?} of {}", self.blocks);
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("together {when} after {:?}", began.elapsed());
    }

    /// One of those who keep has a connection with the writer that is not of an address which that one had
    /// before. What is written may have come another way.
    #[track_caller]
    fn reaches_the_writer(&self, machine: usize, before: &str) {
        let began = Instant::now();
        let writer = &self.machines[0].id;
        loop {
            let peers = self.machines[machine].home.run(&["peers", "kept", "--json"]);
            let peers: Value = serde_json::from_str(peers.ok()).unwrap();
            let reached = |peer: &Value| {
                peer["host"] == **writer && !peer["addr"].as_str().unwrap().starts_with(before)
            };
            if peers.as_array().unwrap().iter().any(reached) {
                return;
            }
            assert!(began.elapsed() < BACK, "{peers}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn will_leave(&self, machine: usize, reason: &str) {
        let process = self.machines[machine].process.as_ref().unwrap();
        while process.event("peer_left")["reason"] != *reason {}
    }
}

#[test]
fn l04_l05_three_processes_stay_together_through_pulled_cables_new_addresses_stops_and_kills() {
    let wire = Space::new(None);
    wire.ip("link add wire type bridge mcast_snooping 0");
    wire.ip("link set wire up");
    let mut machines: Vec<Machine> = (1..=3).map(|n| Machine::new(&wire, n)).collect();
    machines[0].start_with(&["core", "serve", "feed", "--json", "-v"]);
    let info = machines[0].home.run(&["core", "info", "feed", "--json"]);
    let key = serde_json::from_str::<Value>(info.ok()).unwrap()["key"].as_str().unwrap().to_owned();
    for machine in &mut machines[1..] {
        machine.start_with(&["seed", &key, "--dir", "kept", "--json", "-v"]);
    }
    let mut copies = Copies { machines, blocks: 0 };
    copies.are_together("at first");
    // The cable is pulled at the switch: the other end has no carrier, and keeps its address.
    wire.ip("link set port2 down");
    copies.will_leave(1, "unanswered");
    wire.ip("link set port2 up");
    copies.are_together("after a cable was pulled");
    // For a moment; and an interface that is taken down by itself.
    wire.ip("link set port3 down");
    wire.ip("link set port3 up");
    copies.are_together("after a short break");
    copies.machines[2].space.ip("link set eth0 down");
    copies.will_leave(2, "unanswered");
    copies.machines[2].space.ip("link set eth0 up");
    copies.are_together("after an interface was down");
    // Another address, of the one that all others fetch from, too.
    for n in [2, 0] {
        let space = &copies.machines[n].space;
        space.ip(&format!("address del 10.9.0.{}/24 dev eth0", n + 1));
        space.ip(&format!("address add 10.9.0.{}/24 dev eth0", n + 101));
        copies.are_together("at another address");
    }
    // Stopped until the others have given it up, or for longer than what counts as sleep.
    copies.reaches_the_writer(1, "10.9.0.1:");
    let stopped = std::env::var("GANNET_STOPPED_SECONDS").map(|text| text.parse().unwrap());
    let process = copies.machines[1].process.as_ref().unwrap();
    process.signal(rustix::process::Signal::STOP);
    copies.will_leave(0, "silent");
    std::thread::sleep(Duration::from_secs(stopped.unwrap_or(0)));
    copies.machines[1].process.as_ref().unwrap().signal(rustix::process::Signal::CONT);
    copies.are_together("after a stop");
    // Killed without a word.
    copies.machines[2].process = None;
    copies.machines[2].start_with(&["seed", &key, "--dir", "kept", "--json", "-v"]);
    copies.are_together("after a kill");
}

#[test]
fn m13_the_table_is_kept_beside_the_key_and_a_damaged_one_is_no_harm() {
    let wire = Space::new(None);
    wire.ip("link add wire type bridge mcast_snooping 0");
    wire.ip("link set wire up");
    let mut machines: Vec<Machine> = (1..=2).map(|n| Machine::new(&wire, n)).collect();
    for machine in &mut machines {
        machine.start();
    }
    machines[0].will_know(&machines[1], "10.9.0.2", Instant::now());
    let kept = machines[0].home.path(".local/share/gannet/hosts");
    assert_eq!(machines[0].process.take().unwrap().stop(), 0);
    let bytes = std::fs::read(&kept).unwrap();
    assert!(bytes.starts_with(b"gnhs"));
    // A run right after that does not write it again.
    machines[0].start();
    machines[0].will_know(&machines[1], "10.9.0.2", Instant::now());
    assert_eq!(machines[0].process.take().unwrap().stop(), 0);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
    std::fs::write(&kept, &bytes[..bytes.len() / 2]).unwrap();
    machines[0].start();
    machines[0].will_know(&machines[1], "10.9.0.2", Instant::now());
    assert_eq!(machines[0].process.take().unwrap().stop(), 0);
    assert_eq!(std::fs::read(&kept).unwrap()[..4], *b"gnhs");
    let names = std::fs::read_dir(machines[0].home.path(".local/share/gannet")).unwrap();
    assert_eq!(names.count(), 3, "identity, hosts, and their lock");
}

#[test]
fn who_is_not_to_look_for_hosts_says_so() {
    let home = Home::new();
    home.run(&["core", "create", "feed"]).ok();
    finish(home.command(&["hosts", "feed"]), b"").failed(3, "no gannet is running here");
    let process = home.start(&["core", "serve", "feed"]);
    process.event("ready");
    home.run(&["hosts", "feed"]).failed(1, "no hosts are looked for on the local network");
    home.run(&["find", "ybnd-rfg8", "feed"]).failed(1, "(--no-discovery)");
    assert_eq!(process.stop(), 0);
}

/// A daemon whose file changes: it looks for others, no more, and again, and finds them where they are then.
#[test]
fn m01_a_daemon_begins_and_ends_to_look_for_others_when_its_file_says_so() {
    let wire = Space::new(None);
    wire.ip("link add wire type bridge mcast_snooping 0");
    wire.ip("link set wire up");
    let mut machines: Vec<Machine> = (1..=2).map(|n| Machine::new(&wire, n)).collect();
    let says = |machine: &Machine, discovery: bool| {
        let feed = machine.home.path("feed");
        let text = format!("discovery = {discovery}\n[[core]]\ndir = \"{}\"\n", feed.display());
        std::fs::create_dir_all(machine.home.path(".config/gannet")).unwrap();
        std::fs::write(machine.home.path(".config/gannet/gannet.toml"), text).unwrap();
    };
    let reload = |machine: &Machine, discovery: bool| {
        says(machine, discovery);
        machine.process.as_ref().unwrap().signal(rustix::process::Signal::HUP);
    };
    let looks = |machine: &Machine| machine.home.run(&["hosts", "feed"]).code == 0;
    says(&machines[0], false);
    machines[0].start_with(&["daemon", "--json"]);
    machines[1].start();
    machines[0].home.run(&["hosts", "feed"]).failed(1, "no hosts are looked for");
    let begun = Instant::now();
    reload(&machines[0], true);
    while !looks(&machines[0]) {
        assert!(begun.elapsed() < SOON, "it does not begin");
    }
    machines[0].will_know(&machines[1], "10.9.0.2", begun);
    machines[1].will_know(&machines[0], "10.9.0.1", begun);
    let ended = Instant::now();
    reload(&machines[0], false);
    while looks(&machines[0]) {
        assert!(ended.elapsed() < SOON, "it does not end");
    }
    machines[1].space.ip("address del 10.9.0.2/24 dev eth0");
    machines[1].space.ip("address add 10.9.0.77/24 dev eth0");
    machines[0].space.ip("address del 10.9.0.1/24 dev eth0");
    machines[0].space.ip("address add 10.9.0.78/24 dev eth0");
    let again = Instant::now();
    reload(&machines[0], true);
    while !looks(&machines[0]) {
        assert!(again.elapsed() < SOON, "it does not begin again");
    }
    machines[0].will_know(&machines[1], "10.9.0.77", again);
    machines[1].will_know(&machines[0], "10.9.0.78", again);
}
