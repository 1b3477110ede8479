//! Hosts on the local network in the node: sockets for `discovery::hosts`, what they have found for the
//! swarms, the table over a restart, and answers to the user. Only where peers are looked for at all.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use crate::discovery::hosts::table::{Known, State};
use crate::discovery::hosts::{self, Counts, Finding, Hosts, Ports};
use crate::host::{HostId, SHORT_LETTERS};
use crate::ids::ConnId;
use crate::limits;
use crate::link::z32;
use crate::rng::Rng;
use crate::store::disk::{Disk, Open};
use crate::store::{StoreError, read_small, write_small};
use crate::swarm::Source;
use crate::swarm::hello::Standing;
use crate::sys::Interface;
use crate::text::Span;
use crate::time::Instant;
use crate::wire::host::datagram::EVERYBODY;

use super::control;
use super::event::Event;
use super::io::{Output, Tag, Work};
use super::session::Session;
use super::topic::TopicId;
use super::{Config, Node, Purpose};

const FILE: &str = "hosts";
const BESIDE: &str = "hosts.new";
/// Processes of one user share the file: who writes it holds this.
const LOCK: &str = "hosts.lock";

/// The sockets of one family: what goes to everybody comes in at one, the other is ours alone.
#[derive(Clone, Copy, Debug, Default)]
struct Sockets {
    group: Socket,
    own: Socket,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Socket {
    #[default]
    None,
    Asked(Tag),
    Bound(Tag, u16),
    /// This system has no such thing.
    Failed,
}

impl Socket {
    fn tag(self) -> Option<Tag> {
        match self {
            Socket::Asked(tag) | Socket::Bound(tag, _) => Some(tag),
            Socket::None | Socket::Failed => None,
        }
    }

    fn port(self) -> Option<u16> {
        match self {
            Socket::Bound(_, port) => Some(port),
            Socket::None | Socket::Asked(_) | Socket::Failed => None,
        }
    }

    fn is_settled(self) -> bool {
        matches!(self, Socket::Bound(..) | Socket::Failed)
    }
}

pub(super) struct Lan {
    hosts: Hosts,
    /// IPv4 and IPv6.
    sockets: [Sockets; 2],
    /// What an earlier run kept was read.
    restored: bool,
}

/// A host that was told to stop for a client, until that has heard what came of it.
pub(super) struct Shutdown {
    host: HostId,
    again: Instant,
    tries: u32,
    /// Whether it has stopped.
    over: Option<bool>,
}

/// A process of a host, as it is told to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostStatus {
    /// In full.
    pub id: String,
    pub short: String,
    /// Where peers may dial it; those where it is known to be first.
    pub addresses: Vec<SocketAddr>,
    /// Where its datagrams come from, the latest first.
    pub proven: Vec<SocketAddr>,
    /// Since it was heard, in seconds.
    pub age_s: u64,
    /// "live", "silent", "kept" from an earlier run, or "told" by others.
    pub how: &'static str,
}

#[derive(Serialize)]
struct All {
    hosts: Vec<HostStatus>,
    datagrams: Counts,
}

impl Lan {
    pub fn new(rng: Rng, config: &Config, key: &crate::crypto::sign::KeyPair) -> Lan {
        let settings = hosts::Settings {
            key: key.clone(),
            boot: config.boot,
            network: EVERYBODY,
            secret: crate::crypto::hyper::hash(&[b"gannet lan secret 1", &config.entropy]),
            stoppers: Vec::new(),
        };
        let sockets = Default::default();
        Lan { hosts: Hosts::new(rng, settings), sockets, restored: false }
    }

    /// The host whose id begins like that, or is that in full.
    fn named(&self, name: &str) -> Result<Option<HostId>, &'static str> {
        let letters: String = name.chars().filter(|c| *c != '-').collect();
        let mut named: Vec<HostId> = self.hosts.known().map(Known::host).collect();
        named.retain(|host| letters.len() >= 4 && host.to_string().starts_with(&letters));
        named.sort_unstable();
        named.dedup();
        match (named[..].split_first(), z32::decode(&letters).ok()) {
            (Some((host, [])), _) => Ok(Some(*host)),
            (Some(_), _) => Err("several hosts have ids like that"),
            (None, Some(key)) => Ok(Some(HostId(key.0))),
            // Of a part of an id nobody can be asked.
            (None, None) => Ok(None),
        }
    }

    /// Which socket a tag is.
    fn socket(&mut self, tag: Tag) -> Option<(usize, bool, &mut Socket)> {
        let families = self.sockets.iter_mut().enumerate();
        let mut all = families.flat_map(|(family, sockets)| {
            [(family, true, &mut sockets.own), (family, false, &mut sockets.group)]
        });
        all.find(|(.., socket)| socket.tag() == Some(tag))
    }

    fn is_settled(&self) -> bool {
        let all = |sockets: &Sockets| sockets.own.is_settled() && sockets.group.is_settled();
        self.restored && self.sockets.iter().all(all)
    }

    /// Interfaces of the families whose sockets stand.
    fn usable(&self, all: &[Interface]) -> Vec<Interface> {
        let stands = |on: &&Interface| {
            let sockets = self.sockets[usize::from(on.address.is_ipv6())];
            sockets.own.port().is_some() && sockets.group.port().is_some()
        };
        all.iter().filter(stands).cloned().collect()
    }
}

impl Node {
    pub(super) fn start_lan(&mut self) {
        for v6 in [false, true] {
            let group = self.lan_socket(hosts::bind_group(v6));
            // The other family follows at the same port, which is one in our record.
            let own = if v6 { Socket::None } else { self.lan_socket(hosts::bind_own(v6)) };
            if let Some(lan) = &mut self.lan {
                lan.sockets[usize::from(v6)] = Sockets { group, own };
            }
        }
    }

    fn lan_socket(&mut self, bind: crate::sys::Bind) -> Socket {
        if self.lan.is_none() {
            return Socket::None;
        }
        let tag = self.tag(Purpose::Lan);
        self.out.push_back(Output::Bind { tag, bind });
        Socket::Asked(tag)
    }

    /// A socket was bound, or could not be; false if it is none of ours.
    pub(super) fn lan_bound(
        &mut self,
        now: Instant,
        tag: Tag,
        at: &io::Result<SocketAddr>,
    ) -> bool {
        let Some((family, own, socket)) = self.lan.as_mut().and_then(|lan| lan.socket(tag)) else {
            return false;
        };
        *socket = match at {
            Ok(addr) => Socket::Bound(tag, addr.port()),
            Err(error) => {
                log::debug!("a socket for hosts on the local network: {error}");
                Socket::Failed
            }
        };
        if (family, own) == (0, true) {
            let mut bind = hosts::bind_own(true);
            bind.at.set_port(at.as_ref().map_or(0, SocketAddr::port));
            let own = self.lan_socket(bind);
            if let Some(lan) = &mut self.lan {
                lan.sockets[1].own = own;
            }
        }
        self.lan_places(now);
        true
    }

    /// False if it is not for us.
    pub(super) fn lan_datagram(
        &mut self,
        now: Instant,
        tag: Tag,
        from: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        let Some(lan) = self.lan.as_mut() else { return false };
        let ours = lan.socket(tag).is_some();
        if ours {
            lan.hosts.set_wall(self.wall);
            lan.hosts.receive(now, from, bytes);
        }
        ours
    }

    /// Listeners, sockets or interfaces are others than before: once all stand, they are told of.
    pub(super) fn lan_places(&mut self, now: Instant) {
        let ready = self.started_up && self.listeners_pending == 0;
        let four = self.listening.iter().find(|at| at.is_ipv4());
        let tcp = four.or(self.listening.first()).map(SocketAddr::port);
        let seen = self.seen_served(tcp);
        let Some(lan) = self.lan.as_mut().filter(|lan| ready && lan.is_settled()) else { return };
        let udp = lan.sockets[0].own.port().or(lan.sockets[1].own.port());
        let usable = lan.usable(&self.interfaces);
        let excluded = &self.config.lan_exclude;
        lan.hosts.set_wall(self.wall);
        lan.hosts.set_seen(seen);
        lan.hosts.set_places(now, &usable, &self.listening, Ports { tcp, udp }, excluded);
    }

    pub(super) fn lan_deadline(&mut self, now: Instant, disk: &mut dyn Disk) {
        self.shutdowns_due(now);
        let Some(lan) = &mut self.lan else { return };
        lan.hosts.set_wall(self.wall);
        lan.hosts.tick(now);
        if lan.hosts.next_keep().is_some_and(|at| at <= now) {
            self.keep_hosts(now, disk);
        }
    }

    pub(super) fn lan_next(&self) -> Option<Instant> {
        let lan = self.lan.as_ref()?;
        let keep = self.config.data.as_ref().and(lan.hosts.next_keep());
        let asked = self.shutdowns.iter().filter(|ask| ask.over.is_none());
        let asked = asked.map(|ask| ask.again).min();
        [lan.hosts.next_deadline(), keep, asked].into_iter().flatten().min()
    }

    /// Nobody is looked for any more. What was signed and counted is not forgotten: it goes on if hosts are
    /// looked for again. Nothing is said: this process does not end.
    pub(super) fn lan_sleeps(&mut self, now: Instant, disk: &mut dyn Disk) {
        self.keep_hosts_at_end(now, disk);
        let Some(mut lan) = self.lan.take() else { return };
        let sockets = std::mem::take(&mut lan.sockets);
        for tag in sockets.into_iter().flat_map(|of| [of.group.tag(), of.own.tag()]).flatten() {
            self.tags.remove(&tag);
            self.out.push_back(Output::Unlisten { tag });
        }
        lan.hosts.set_wall(self.wall);
        lan.hosts.set_places(now, &[], &[], Ports::default(), &[]);
        while lan.hosts.poll_output().is_some() {}
        self.lan_asleep = Some(lan);
        self.shutdowns.clear();
        // Who waits for a host is told that none is looked for.
        let waits = |client: &super::Client| client.finding.is_some() || client.shutting.is_some();
        let waiting = self.clients.iter().filter(|(_, client)| waits(client));
        self.out.extend(waiting.map(|(conn, _)| Output::Resume { conn: *conn }));
    }

    /// Hosts are looked for from now on.
    pub(super) fn lan_awakes(&mut self, now: Instant) {
        let lan = self.lan_asleep.take().unwrap_or_else(|| {
            let rng = Rng::from_seed(self.rng.next_u64());
            Box::new(Lan::new(rng, &self.config, &self.identity))
        });
        self.lan = Some(lan);
        self.set_stoppers(self.standings.lists().stop.clone());
        let hosts: Vec<HostId> = self.peers.values().filter_map(|peer| peer.kin.host()).collect();
        hosts.into_iter().for_each(|host| self.lan_joined(now, host));
    }

    /// This process ends: everybody is told.
    pub(super) fn lan_leave(&mut self) {
        if let Some(lan) = &mut self.lan {
            lan.hosts.leave();
        }
    }

    /// There is a connection with a host, on which it can be told something.
    pub(super) fn lan_joined(&mut self, now: Instant, host: HostId) {
        let own = self.host_id();
        if let Some(lan) = self.lan.as_mut().filter(|_| host != own) {
            lan.hosts.set_wall(self.wall);
            lan.hosts.peer_joined(now, host);
        }
    }

    /// A connection with a host is gone.
    pub(super) fn lan_parted(&mut self, host: HostId, conn: ConnId) {
        let mut others = self.peers.iter().filter(|(other, _)| **other != conn);
        let other = others.any(|(_, peer)| peer.kin.host() == Some(host));
        if let Some(lan) = self.lan.as_mut().filter(|_| !other) {
            lan.hosts.peer_left(host);
        }
    }

    /// A host says something on a connection.
    pub(super) fn lan_heard(&mut self, now: Instant, host: HostId, bytes: &[u8]) {
        if let Some(lan) = &mut self.lan {
            lan.hosts.set_wall(self.wall);
            lan.hosts.receive_from_peer(now, host, bytes);
        }
    }

    /// Carries out what the hosts want.
    pub(super) fn settle_lan(&mut self, now: Instant) -> bool {
        let mut moved = false;
        while let Some(output) = self.lan.as_mut().and_then(|lan| lan.hosts.poll_output()) {
            moved = true;
            match output {
                hosts::Output::Join(on) => self.lan_member(on, true),
                hosts::Output::Leave(on) => self.lan_member(on, false),
                hosts::Output::Send { to, via, bytes } => self.lan_send(to, via, bytes),
                hosts::Output::ToPeer { host, bytes } => self.lan_to_peer(host, &bytes),
                hosts::Output::Found { host, addr } => self.host_found(now, host, addr),
                hosts::Output::Searched { wanted } => self.searched(wanted),
                hosts::Output::Stop { by } => {
                    let text = format!("the host {} has told this one to stop", by.short());
                    self.publish(&Event::Warning { text });
                    self.stop(now, 0);
                }
                hosts::Output::Stopped { host } => {
                    log::info!("{} stops", host.short());
                    self.shut(host, true);
                }
                hosts::Output::Warn(text) => self.publish(&Event::Warning { text }),
            }
        }
        moved
    }

    fn lan_member(&mut self, on: Interface, join: bool) {
        let Some(lan) = &self.lan else { return };
        let socket = lan.sockets[usize::from(on.address.is_ipv6())].group;
        let (Some(tag), group) = (socket.tag(), hosts::group(on.address)) else { return };
        self.out.push_back(match join {
            true => Output::Join { tag, group, on },
            false => Output::Leave { tag, group, on },
        });
    }

    fn lan_send(&mut self, to: SocketAddr, via: Option<Interface>, bytes: Vec<u8>) {
        let Some(lan) = &self.lan else { return };
        if let Socket::Bound(tag, _) = lan.sockets[usize::from(to.is_ipv6())].own {
            self.out.push_back(Output::Datagram { tag, to, via, bytes });
        }
    }

    fn lan_to_peer(&mut self, host: HostId, bytes: &[u8]) {
        let on = self.peers.iter().find(|(_, peer)| peer.kin.host() == Some(host));
        let Some(conn) = on.map(|(conn, _)| *conn) else { return };
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if let Session::Hyper(hyper) = &mut peer.session {
            let said = |out: &mut Vec<u8>| crate::wire::host::put_command(bytes, out);
            hyper.session.say_host(&mut peer.staged, said);
            self.out.push_back(Output::Wake { conn });
        }
    }

    /// A host listens at an address: whatever it serves of what we have is found by dialling it. So
    /// many drives and feeds are looked for; the others are found by their keys.
    pub fn host_found(&mut self, now: Instant, host: HostId, addr: SocketAddr) {
        if self.is_ours(addr) || self.standing(&host, now) != Standing::Allowed {
            return;
        }
        log::debug!("{} is at {addr}", host.short());
        let topics: Vec<TopicId> = self.topics.keys().take(limits::LAN_TOPICS).collect();
        for topic in topics {
            if let Some(swarm) = self.swarms.get_mut(&topic) {
                swarm.found(now, addr, Source::Lan);
            }
        }
    }

    /// Where hosts of the local network listen that are live and may be peers.
    pub(super) fn live_hosts(&self, now: Instant) -> Vec<SocketAddr> {
        let Some(lan) = &self.lan else { return Vec::new() };
        let live = lan.hosts.known().filter(|known| known.is_live());
        let may = live.filter(|known| self.standing(&known.host(), now) == Standing::Allowed);
        may.flat_map(|known| known.offered.iter().copied()).collect()
    }

    // ── Over a restart ──────────────────────────────────────────────────────────────────────────

    /// Reads what an earlier run kept.
    pub(super) fn restore_hosts(&mut self, now: Instant, disk: &mut dyn Disk) -> Work {
        if self.lan.as_ref().is_none_or(|lan| lan.restored) {
            return Work::Idle;
        }
        let kept = match self.config.data.as_deref().map(|data| read_kept(disk, data)) {
            Some(Err(StoreError::NotYet)) => return Work::Waiting,
            Some(Err(error)) => {
                log::warn!("{FILE}: {error}");
                None
            }
            Some(Ok(kept)) => kept,
            None => None,
        };
        if let Some(lan) = &mut self.lan {
            lan.restored = true;
            lan.hosts.set_wall(self.wall);
            if let Err(error) = lan.hosts.restore(now, kept.as_deref()) {
                log::warn!("{error}");
            }
        }
        self.lan_places(now);
        Work::Idle
    }

    fn keep_hosts(&mut self, now: Instant, disk: &mut dyn Disk) {
        let (Some(lan), Some(data)) = (&mut self.lan, &self.config.data) else { return };
        let bytes = lan.hosts.encode(now);
        if let Err(error) = write_kept(disk, data, &bytes) {
            log::warn!("{FILE}: {error}");
        }
    }

    /// At the end of a run, if that is not too soon after the last time.
    pub(super) fn keep_hosts_at_end(&mut self, now: Instant, disk: &mut dyn Disk) {
        if self.lan.as_ref().is_some_and(|lan| lan.restored && lan.hosts.may_keep(now)) {
            self.keep_hosts(now, disk);
        }
    }

    // ── What the user asks ──────────────────────────────────────────────────────────────────────

    /// The hosts that are known on the local network, those heard last first.
    pub fn hosts(&self, now: Instant) -> Vec<HostStatus> {
        let Some(lan) = &self.lan else { return Vec::new() };
        let mut known: Vec<&Known> = lan.hosts.known().collect();
        crate::few::sort(&mut known, |a, b| a.heard > b.heard);
        known.into_iter().map(|known| status_of(now, known)).collect()
    }

    pub(super) fn answer_hosts(&self, now: Instant, text: bool) -> Vec<u8> {
        let Some(lan) = &self.lan else { return control::refuse(&NOT_LOOKING) };
        let all = All { hosts: self.hosts(now), datagrams: lan.hosts.counts };
        match text {
            true => control::said(&table(&all.hosts)),
            false => control::said(&all),
        }
    }

    /// `None`: others are asked; the client is read again when that is over.
    pub(super) fn answer_find(
        &mut self,
        now: Instant,
        conn: ConnId,
        (name, text): (&str, bool),
    ) -> Option<Vec<u8>> {
        let Some(lan) = &mut self.lan else { return Some(control::refuse(&NOT_LOOKING)) };
        lan.hosts.set_wall(self.wall);
        let wanted = match lan.named(name) {
            Ok(wanted) => wanted,
            Err(several) => return Some(control::refuse(&several)),
        };
        let client = self.clients.get_mut(&conn)?;
        client.finding = None;
        match wanted.map(|wanted| (wanted, lan.hosts.find(now, wanted))) {
            Some((wanted, Finding::Searching)) => {
                client.finding = Some(wanted);
                return None;
            }
            Some((_, Finding::Busy)) => {
                return Some(control::refuse(&"too many searches are under way"));
            }
            Some((_, Finding::Known | Finding::Missing)) | None => {}
        }
        let known = lan.hosts.known().filter(|known| Some(known.host()) == wanted);
        let found: Vec<HostStatus> = known.map(|known| status_of(now, known)).collect();
        Some(match text && !found.is_empty() {
            true => control::said(&table(&found)),
            false => control::said(&found),
        })
    }

    /// Names of interfaces that hosts are not looked for on, from now on.
    pub fn set_excluded(&mut self, now: Instant, patterns: Vec<String>) {
        if patterns != self.config.lan_exclude {
            self.config.lan_exclude = patterns;
            self.lan_places(now);
        }
    }

    /// Who may tell this process to end.
    pub(super) fn set_stoppers(&mut self, hosts: Vec<HostId>) {
        if let Some(lan) = &mut self.lan {
            lan.hosts.set_stoppers(hosts);
        }
    }

    /// `None`: the host was told to stop; the client is read again when it has answered, or too long has
    /// passed.
    pub(super) fn answer_shutdown(
        &mut self,
        now: Instant,
        conn: ConnId,
        name: &str,
    ) -> Option<Vec<u8>> {
        let Some(lan) = &mut self.lan else { return Some(control::refuse(&NOT_LOOKING)) };
        lan.hosts.set_wall(self.wall);
        let client = self.clients.get_mut(&conn)?;
        if let Some(host) = client.shutting.take() {
            let over = self.shutdowns.iter().position(|ask| ask.host == host && ask.over.is_some());
            let over = over.and_then(|at| self.shutdowns.swap_remove(at).over);
            return Some(match over {
                Some(true) => control::done(),
                _ => control::refuse(&NOT_STOPPED),
            });
        }
        let host = match lan.named(name) {
            Ok(Some(host)) => host,
            Ok(None) => return Some(control::refuse(&"no such host is known; see gannet hosts")),
            Err(several) => return Some(control::refuse(&several)),
        };
        if self.shutdowns.len() >= limits::LAN_SHUTDOWNS {
            return Some(control::refuse(&"too many hosts are told to stop at a time"));
        }
        if !lan.hosts.shut_down(now, host) {
            return Some(control::refuse(&"it is not there now; see gannet hosts"));
        }
        client.shutting = Some(host);
        let again = now + limits::LAN_SHUTDOWN_AGAIN;
        self.shutdowns.push(Shutdown { host, again, tries: 1, over: None });
        None
    }

    /// A host has answered that it stops, or has not for too long.
    fn shut(&mut self, host: HostId, stopped: bool) {
        let asked = self.shutdowns.iter_mut().filter(|ask| ask.host == host && ask.over.is_none());
        asked.for_each(|ask| ask.over = Some(stopped));
        let waiting = self.clients.iter().filter(|(_, client)| client.shutting == Some(host));
        let waiting: Vec<ConnId> = waiting.map(|(conn, _)| *conn).collect();
        if waiting.is_empty() {
            self.shutdowns.retain(|ask| ask.host != host);
        }
        self.out.extend(waiting.into_iter().map(|conn| Output::Resume { conn }));
    }

    /// Datagrams get lost: it is said again, and then it is over.
    fn shutdowns_due(&mut self, now: Instant) {
        let due = self.shutdowns.iter().filter(|ask| ask.over.is_none() && ask.again <= now);
        let due: Vec<HostId> = due.map(|ask| ask.host).collect();
        for host in due {
            let Some(ask) = self.shutdowns.iter_mut().find(|ask| ask.host == host) else {
                continue;
            };
            (ask.again, ask.tries) = (now + limits::LAN_SHUTDOWN_AGAIN, ask.tries + 1);
            let more = ask.tries <= limits::LAN_SHUTDOWN_TRIES;
            if !more || !self.lan.as_mut().is_some_and(|lan| lan.hosts.shut_down(now, host)) {
                self.shut(host, false);
            }
        }
    }

    /// A search has ended: whoever waits for it is read again.
    fn searched(&mut self, wanted: HostId) {
        for (conn, client) in self.clients.iter() {
            if client.finding == Some(wanted) {
                self.out.push_back(Output::Resume { conn: *conn });
            }
        }
    }
}

const NOT_STOPPED: &str =
    "it does not answer: perhaps this host does not stand in may_stop of its configuration";
const NOT_LOOKING: &str = "no hosts are looked for on the local network (--no-discovery)";

fn read_kept(disk: &mut dyn Disk, data: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let dir = match disk.open_root(data, false) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let read = read_small(disk, dir, Path::new(FILE), limits::LAN_KEPT_BYTES);
    disk.close_dir(dir);
    read
}

/// Replaces the file, unless another process of ours does so at this moment. It is not synced: one that
/// a power cut spoils does not fit its checksum.
fn write_kept(disk: &mut dyn Disk, data: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let dir = disk.open_root(data, true)?;
    let written = disk.open(dir, Path::new(LOCK), Open::Create).and_then(|lock| {
        let written = disk.lock(lock).map(|()| {
            write_small(disk, (dir, Path::new(BESIDE)), Some(0o600), bytes, false)?;
            Ok(disk.rename(dir, Path::new(BESIDE), Path::new(FILE), false)?)
        });
        disk.close(lock);
        written
    });
    disk.close_dir(dir);
    match written {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn status_of(now: Instant, known: &Known) -> HostStatus {
    let record = known.record.record();
    let mut addresses = known.offered.clone();
    for ip in &record.addresses {
        let addr = record.tcp.map(|port| SocketAddr::new(*ip, port));
        addresses.extend(addr.filter(|addr| addresses.iter().all(|a| a.ip() != addr.ip())));
    }
    let how = match known.state() {
        State::Live { .. } => "live",
        State::Silent { .. } => "silent",
        State::Kept => "kept",
        State::Told { .. } => "told",
    };
    let host = known.host();
    let age_s = now.since(known.heard).as_secs();
    let (id, short, proven) = (host.to_string(), host.short(), known.proven.clone());
    HostStatus { id, short, addresses, proven, age_s, how }
}

/// A line each.
fn table(hosts: &[HostStatus]) -> String {
    if hosts.is_empty() {
        return "no other host is known\n".into();
    }
    let width = SHORT_LETTERS + SHORT_LETTERS / 4 - 1;
    let mut out = String::new();
    for host in hosts {
        let at: Vec<String> = host.addresses.iter().map(SocketAddr::to_string).collect();
        let age = Span(host.age_s).to_string();
        out += &format!("{:width$}  {:6}  {age:>10}  {}\n", host.short, host.how, at.join(" "));
    }
    out
}
