//! The daemon: one process for everything that its user keeps. One of them runs for a user's data.

use std::io;
use std::path::{Path, PathBuf};

use super::config::Print;
use super::keeper::{Keeper, Memory, STATE, recall};
use super::open::{failed, patiently};
use super::output::Printer;
use super::settings::{Base, Settings};
use super::{
    Ground, begin, connections, control, end, identity, node_config, system, tuning, turns,
    usually_excluded,
};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::limits;
use crate::node::Node;
use crate::node::io::Work;
use crate::reactor::Reactor;
use crate::store::StoreError;
use crate::store::disk::{Dir, Disk, Open};
use crate::store::read_small;
use crate::sys::Sys;
use crate::sys::linux::LinuxSys;

/// There is one daemon for each.
const LOCK: &str = "daemon.lock";
/// What its streams are keyed with, beside the host's key.
const PLACE: &[u8] = b"gannet daemon";

/// What a daemon is told once.
#[derive(Clone, Debug)]
pub struct Service {
    /// The user's file, read again at SIGHUP, and what it says.
    pub file: PathBuf,
    pub settings: Settings,
    pub base: Base,
    pub secret_keys: Option<PathBuf>,
    /// Where keys, bans and what was added are kept.
    pub data: PathBuf,
    /// Where its control socket is.
    pub socket: PathBuf,
    pub print: Print,
}

/// Runs until a signal ends it. The number is the exit code.
pub fn run(service: Service) -> Result<i32, Failure> {
    let mut sys = system(true)?;
    let data = &service.data;
    let home = sys.disk().open_root(data, true).map_err(|e| Failure::io(data.display(), &e))?;
    lock(sys.disk(), home, data)?;
    let memory = remembered(&mut sys, home, &service)?;
    std::fs::create_dir_all(&service.socket)
        .map_err(|e| Failure::io(service.socket.display(), &e))?;
    let address = control::Address::new(&service.socket).ok();
    let host = identity::of_run(&mut sys, Some(data));
    let stream = host::stream_pair(&host, PLACE);
    let settings = &service.settings;
    let ground = Ground {
        listen: settings.listen,
        discovery: settings.discovery,
        exclude: settings.exclude.clone().unwrap_or_else(usually_excluded),
        data: Some(data.clone()),
        exec: settings.exec.clone(),
        control: address.as_ref().map(|a| PathBuf::from(a.path())),
        orders: true,
        connections: connections(settings.limits.connections()),
    };
    let room = ground.connections;
    let now = sys.now();
    let mut node = Node::new(node_config(ground, &mut sys, [&host, &stream]), now);
    node.set_wall(sys.wall());
    patiently(&mut sys, |disk| node.keep_bans_in(now, home, disk))
        .map_err(|error| failed(data, error))?;
    node.set_lists(now, settings.lists.clone());
    node.set_bounds(now, settings.limits.bounds());
    node.set_quota(settings.limits.max_storage);
    let Service { file, settings, base, secret_keys, print, .. } = service;
    let keeper = Keeper::new((file, settings), base, secret_keys, (home, memory));
    let tuning = tuning(room, keeper.limits().rates);
    let mut reactor = Reactor::new(sys, node, tuning);
    let mut screen = begin(&mut reactor, Some(Printer::new(print, false)));
    let mut keeper = Some(keeper);
    keeper.iter_mut().for_each(|keeper| keep(&mut reactor, keeper));
    let code = turns(&mut reactor, &mut screen, &mut keeper);
    end(reactor, screen, address, code)
}

/// Between two turns: what is kept.
pub(super) fn keep(reactor: &mut Reactor<LinuxSys, Node>, keeper: &mut Keeper) {
    if reactor.engine_mut().take_reload() {
        let before = keeper.limits().connections();
        reactor.with(|node, now, disk| keeper.reload(now, node, disk));
        reactor.set_rates(keeper.limits().rates);
        let most = keeper.limits().connections();
        if most != before {
            let room = connections(most);
            reactor.engine_mut().set_connections(room);
            reactor.set_connections(room + limits::REFUSED_AT_ONCE);
        }
    }
    let now = reactor.sys().now();
    if keeper.is_due(now, reactor.engine()) {
        work(reactor, keeper);
    }
    if let Some(at) = keeper.next_try() {
        reactor.engine_mut().wake_at(at);
    }
}

fn work(reactor: &mut Reactor<LinuxSys, Node>, keeper: &mut Keeper) {
    let mut random = zeroize::Zeroizing::new([0; 32]);
    reactor.sys().entropy(random.as_mut_slice());
    let work = reactor.with(|node, now, disk| keeper.work(now, node, disk, *random));
    let now = reactor.sys().now();
    match work {
        Work::Idle => {}
        Work::More => reactor.engine_mut().wake_at(now),
        Work::Waiting => reactor.engine_mut().wake_at(now + limits::WORK_RETRY_MAX),
    }
}

fn lock(disk: &mut dyn Disk, home: Dir, data: &Path) -> Result<(), Failure> {
    let locked = disk.open(home, Path::new(LOCK), Open::Create).and_then(|file| disk.lock(file));
    locked.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            Failure::new(Kind::Locked, format!("{}: a daemon runs already", data.display()))
                .hint("ask it with gannet status, or stop it first")
        }
        _ => Failure::io(data.join(LOCK).display(), &error),
    })
}

fn remembered(sys: &mut LinuxSys, home: Dir, service: &Service) -> Result<Memory, Failure> {
    let name = service.data.join(STATE);
    let read = |disk: &mut dyn Disk| read_small(disk, home, Path::new(STATE), limits::CONFIG_BYTES);
    let bytes: Result<_, StoreError> = patiently(sys, read);
    let Some(bytes) = bytes.map_err(|error| failed(&name, error))? else {
        return Ok(Memory::default());
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Kind::Damaged, format!("{}: not UTF-8", name.display())))?;
    recall(&name, &text, &service.base)
}
