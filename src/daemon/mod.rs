//! A gannet as a process: configuration, output, the control socket, and the run that joins the
//! reactor, the node and the system.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Ring 5 meets the system.

pub mod config;
pub mod control;
pub mod output;

pub mod adding;
mod drive_keys;
pub(crate) mod identity;
pub mod keeper;
pub mod open;
mod reach;
mod seeds;
pub mod service;
pub mod settings;
mod toml;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::crypto::sign::KeyPair;
use crate::discovery::hosts::EXCLUDED;
use crate::failure::Failure;
use crate::host;
use crate::limits;
use crate::node::event::{Interest, SubscriberId};
use crate::node::{self, Node};
use crate::reactor::{Reactor, Tuning};
use crate::swarm::balance::Bounds;
use crate::sys::Sys;
use crate::sys::linux::{LinuxSys, Signals, descriptors};
use crate::wire::host::BOOT_BYTES;
use config::{Config, Listen, Rates};
use keeper::Keeper;
use output::{Printer, Pumped};

/// Runs until the work is done or a signal ends it. The number is the exit code.
pub fn run(config: Config) -> Result<i32, Failure> {
    let mut sys = system(config.signals)?;
    let inside = open::inside(&config.run);
    std::fs::create_dir_all(&inside).map_err(|e| Failure::io(inside.display(), &e))?;
    let address = control::Address::new(&inside).ok();
    let host = identity::of_run(&mut sys, config.data.as_deref());
    let stream = host::stream_pair(&host, identity::place(&inside).as_os_str().as_bytes());
    let ground = Ground {
        listen: config.listen,
        discovery: config.discovery,
        exclude: usually_excluded(),
        data: config.data.clone(),
        exec: config.exec.clone(),
        control: address.as_ref().map(|a| PathBuf::from(a.path())),
        orders: false,
        connections: connections(config.connections),
    };
    let tuning = tuning(ground.connections, config.rates);
    let now = sys.now();
    let mut node = Node::new(node_config(ground, &mut sys, [&host, &stream]), now);
    open::run(&mut node, &mut sys, &config)?;
    let mut reactor = Reactor::new(sys, node, tuning);
    let printer = config.print.map(|print| Printer::new(print, config.run.shows()));
    let mut screen = begin(&mut reactor, printer);
    reactor.with(|node, now, _| {
        config.peers.iter().try_for_each(|peer| node.add_peer_everywhere(now, peer))
    })?;
    let code = turns(&mut reactor, &mut screen, &mut None);
    end(reactor, screen, address, code)
}

/// The system as the loop uses it.
fn system(signals: bool) -> Result<LinuxSys, Failure> {
    let signals = if signals { Signals::HookExitOnSecond } else { Signals::Leave };
    LinuxSys::new(signals).map_err(|e| Failure::io("this system", &e))
}

/// Starts the node, and hears what it says.
fn begin(reactor: &mut Reactor<LinuxSys, Node>, printer: Option<Printer>) -> Screen {
    let interest = printer.as_ref().map_or(Interest::NOTHING, Printer::interest);
    let subscriber = reactor.with(|node, now, _| {
        let subscriber = node.subscribers.add(interest);
        node.start(now);
        subscriber
    });
    printer.zip(subscriber)
}

/// The last words of a run, and what became of it.
fn end(
    mut reactor: Reactor<LinuxSys, Node>,
    mut screen: Screen,
    address: Option<control::Address>,
    code: io::Result<i32>,
) -> Result<i32, Failure> {
    if let Some((printer, subscriber)) = &mut screen {
        let now = reactor.sys().now();
        drain(&mut reactor, printer, *subscriber, now);
    }
    if let Some((printer, _)) = screen {
        printer.finish();
    }
    let failure = reactor.with(|node, now, disk| {
        node.close_all(now, disk);
        node.take_failure()
    });
    if let Some(address) = address {
        let _ = std::fs::remove_file(address.path());
    }
    match (failure, code) {
        (Some(failure), _) => Err(failure),
        (None, Ok(code)) => Ok(code),
        (None, Err(error)) => Err(Failure::io("the poll loop", &error)),
    }
}

/// How many connections there may be: as many as are asked for, as far as there are descriptors for them.
fn connections(wanted: Option<usize>) -> usize {
    let Some(wanted) = wanted else { return limits::CONNECTIONS };
    let beside = limits::REFUSED_AT_ONCE + limits::DESCRIPTORS_BESIDE;
    let given = descriptors(wanted + beside).saturating_sub(beside).max(1);
    if given < wanted {
        log::warn!(
            "descriptors for {given} connections only: allow more open files (ulimit -n {})",
            wanted + beside
        );
    }
    wanted.min(given)
}

fn tuning(connections: usize, rates: Rates) -> Tuning {
    let connections = connections + limits::REFUSED_AT_ONCE;
    Tuning { connections, rates, ..Tuning::default() }
}

type Screen = Option<(Printer, SubscriberId)>;

fn turns(
    reactor: &mut Reactor<LinuxSys, Node>,
    screen: &mut Screen,
    keeper: &mut Option<Keeper>,
) -> io::Result<i32> {
    loop {
        let wall = reactor.sys().wall();
        reactor.engine_mut().set_wall(wall);
        if let Some(code) = reactor.turn()? {
            return Ok(code);
        }
        if let Some(keeper) = keeper {
            service::keep(reactor, keeper);
        }
        let Some((printer, subscriber)) = screen else { continue };
        let now = reactor.sys().now();
        match drain(reactor, printer, *subscriber, now) {
            Pumped::Empty => {}
            Pumped::Pending => reactor.engine_mut().wake_at(now + limits::OUTPUT_RETRY),
            Pumped::Closed => reactor.with(|node, now, _| node.stop(now, 0)),
        }
    }
}

/// Hands what happened to the printer, as far as it has room.
fn drain(
    reactor: &mut Reactor<LinuxSys, Node>,
    printer: &mut Printer,
    subscriber: SubscriberId,
    now: crate::time::Instant,
) -> Pumped {
    while printer.room() {
        let Some(event) = reactor.engine_mut().subscribers.next_event(subscriber) else { break };
        printer.event(now, &event);
    }
    if reactor.engine_mut().take_status_request() {
        let status = reactor.with(|node, now, disk| node.status(now, disk));
        printer.status(&status);
    }
    while printer.block_room() && reactor.engine().can_show() {
        let shown = reactor.with(|node, now, disk| node.next_shown(now, disk));
        let Some((block, after)): Option<(Vec<u8>, Vec<u8>)> = shown else { break };
        printer.block(&block, &after);
    }
    printer.pump()
}

/// Where to listen, and whether any port does where that one is taken.
fn places(listen: Listen) -> (Vec<SocketAddr>, bool) {
    match listen {
        Listen::At(at) => (vec![at], false),
        Listen::Usual => {
            let everywhere: [IpAddr; 2] =
                [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            (everywhere.map(|ip| SocketAddr::new(ip, limits::DAT_PORT)).to_vec(), true)
        }
    }
}

/// Interfaces that hosts are not looked for on, unless the user says which.
fn usually_excluded() -> Vec<String> {
    EXCLUDED.iter().copied().map(str::to_owned).collect()
}

/// What a process is told of the world.
struct Ground {
    listen: Listen,
    discovery: bool,
    /// Names of interfaces that hosts are not looked for on.
    exclude: Vec<String>,
    data: Option<PathBuf>,
    exec: Option<String>,
    control: Option<PathBuf>,
    orders: bool,
    /// To peers, at most.
    connections: usize,
}

fn node_config(
    ground: Ground,
    sys: &mut LinuxSys,
    [identity, stream]: [&KeyPair; 2],
) -> node::Config {
    let (mut id, mut entropy, mut boot) = ([0; 32], [0; 32], [0; BOOT_BYTES]);
    sys.entropy(&mut id);
    sys.entropy(&mut entropy);
    sys.entropy(&mut boot);
    let seed_of = |pair: &KeyPair| {
        let mut seed = [0; 32];
        seed.copy_from_slice(&pair.secret()[..32]);
        seed
    };
    let mut seed = [0; 8];
    sys.entropy(&mut seed);
    let (listen, any_port) = places(ground.listen);
    // Who asks for more connections asks for more peers.
    let mut bounds = Bounds::default();
    if ground.connections > limits::CONNECTIONS {
        bounds.max = ground.connections - limits::HALF_OPEN;
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    node::Config {
        id,
        host: seed_of(stream),
        identity: seed_of(identity),
        boot,
        entropy,
        seed: u64::from_le_bytes(seed),
        bounds,
        listen,
        any_port,
        control: ground.control,
        discovery: ground.discovery,
        lan_exclude: ground.exclude,
        data: ground.data,
        exec: ground.exec,
        orders: ground.orders,
        hosts: read("/etc/hosts"),
        resolv_conf: read("/etc/resolv.conf"),
        tuning: crate::sync::Tuning::default(),
        connections: Some(ground.connections),
        pid: std::process::id(),
    }
}
