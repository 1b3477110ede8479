//! What needs a process of its own: descriptors that run out, signals, counting threads. Each test
//! starts this binary again for one test that does nothing otherwise.

use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use gannet::node::io::Output;
use gannet::reactor::{Reactor, Tuning};
use gannet::sys::linux::{LinuxSys, Signals};

use super::loopback::{Ears, anywhere, ears, tcp, turn_for, turn_until};
use super::mill::{Mill, Plan};

const CHILD: &str = "GANNET_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs `test` in a child process; returns its exit code.
fn alone(test: &str) -> Option<i32> {
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("running 1 test"), "there is no test {test}");
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.code()
}

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn one_thread_while_data_moves() {
    assert_eq!(alone("alone::child_threads"), Some(0));
}

#[test]
fn child_threads() {
    if !is_child() {
        return;
    }
    let before = tasks();
    let plan = Plan { clients: 3, frames: 200, largest: 300_000, server_closes: false };
    let sys = LinuxSys::new(Signals::Hook).unwrap();
    let mut reactor = Reactor::new(sys, Mill::new(plan, anywhere(), 1), Tuning::default());
    let mut turns = 0;
    while reactor.turn().unwrap().is_none() {
        turns += 1;
        if turns % 16 == 0 {
            assert_eq!(tasks(), before, "a thread was started");
        }
    }
    assert!(turns > 200);
}

#[test]
fn h15_out_of_descriptors_the_loop_goes_on() {
    assert_eq!(alone("alone::child_descriptors"), Some(0));
}

#[test]
fn child_descriptors() {
    if !is_child() {
        return;
    }
    let mut reactor = ears(Tuning::default(), vec![Output::Listen { tag: 1, at: anywhere() }]);
    turn_until(&mut reactor, |ears| !ears.at.is_empty());
    let at = tcp(&reactor.engine().at[0]);
    // Both ends of each connection are ours: 40 descriptors are gone after 20 of them.
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = Some(48);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let mut peers = Vec::new();
    while let Ok(peer) = TcpStream::connect(at) {
        peers.push(peer);
    }
    assert!(peers.len() > 10);
    let woken = turn_for(&mut reactor, Duration::from_millis(500));
    assert!(woken < 50, "woke {woken} times");
    let accepted = reactor.engine().conns.len();
    assert!(accepted < peers.len(), "descriptors never ran out");
    // Somebody was turned away at once rather than left hanging.
    let mut away = 0;
    for peer in &mut peers {
        peer.set_nonblocking(true).unwrap();
        if !matches!(peer.read(&mut [0; 1]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock) {
            away += 1;
        }
    }
    assert!(away > 0);
    peers.clear();
    turn_for(&mut reactor, Duration::from_millis(300));
    let peer = TcpStream::connect(at).unwrap();
    let before = reactor.engine().conns.len();
    turn_until(&mut reactor, |ears| ears.conns.len() > before);
    drop(peer);
}

#[test]
fn signals_are_heard() {
    assert_eq!(alone("alone::child_signals"), Some(0));
}

#[test]
fn child_signals() {
    if !is_child() {
        return;
    }
    use rustix::process::{Signal, getpid, kill_process};
    let sys = LinuxSys::new(Signals::Hook).unwrap();
    let mut reactor = Reactor::new(sys, Ears::default(), Tuning::default());
    for (signal, heard) in [
        (Signal::HUP, "Signal(Reload)"),
        (Signal::USR1, "Signal(Status)"),
        (Signal::TERM, "Signal(Stop)"),
        (Signal::INT, "Signal(Stop)"),
        (Signal::TERM, "Signal(Stop)"),
    ] {
        reactor.with(|ears, _, _| ears.heard.clear());
        kill_process(getpid(), signal).unwrap();
        turn_until(&mut reactor, |ears| ears.heard.iter().any(|h| h == heard));
    }
    // Sockets apart, a broken pipe must not end the process either.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:")).unwrap().trim();
    assert!(u64::from_str_radix(ignored, 16).unwrap() & (1 << 12) != 0);
}

#[test]
fn a_second_stop_signal_ends_at_once_if_wanted() {
    assert_eq!(alone("alone::child_second_signal"), Some(128 + 15));
}

#[test]
fn child_second_signal() {
    if !is_child() {
        return;
    }
    use rustix::process::{Signal, getpid, kill_process};
    let _sys = LinuxSys::new(Signals::HookExitOnSecond).unwrap();
    kill_process(getpid(), Signal::INT).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    kill_process(getpid(), Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_secs(5));
}
