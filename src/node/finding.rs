//! Where peers come from: addresses given by the user, names looked up, the local network; and
//! when each is dialled.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::discovery::multicast::{self, Multicast};
use crate::discovery::resolve::LookupId;
use crate::failure::{Failure, Kind};
use crate::ids::FeedId;
use crate::limits;
use crate::link::Key;
use crate::rng::Rng;
use crate::store::disk::Disk;
use crate::swarm::{NameId, Source};
use crate::sys::{Bind, Endpoint, Interface};
use crate::time::Instant;

use super::event::Event;
use super::io::{Output, Tag};
use super::topic::TopicId;
use super::{Node, Purpose};

/// A UDP socket for name look-ups, one for each family.
#[derive(Debug, Default)]
pub(super) struct NameSocket {
    tag: Option<Tag>,
    open: bool,
    /// Waits for the socket.
    waiting: Vec<(SocketAddr, Vec<u8>)>,
}

/// A peer that the user named by a host name, which is looked up once for all topics.
pub(super) struct Named {
    /// As the user wrote it.
    name: String,
    /// What the swarms call it.
    id: NameId,
    /// Ascending.
    pub topics: Vec<TopicId>,
    /// What is being asked.
    lookup: Option<LookupId>,
    /// When it is asked again otherwise.
    again: Instant,
    /// What came of it last.
    addrs: Vec<SocketAddr>,
}

impl Node {
    pub(super) fn start_discovery(&mut self) {
        self.look_around();
        // Who looks for nobody has peers that a change of the network takes away, too.
        self.out.push_back(Output::WatchInterfaces);
    }

    fn look_around(&mut self) {
        if self.multicast.is_some() {
            let tag = self.tag(Purpose::Multicast);
            self.multicast_tag = Some(tag);
            self.out.push_back(Output::Bind { tag, bind: multicast::bind() });
            self.start_lan();
        }
    }

    /// Whether peers are looked for on the local network from now on. Those that are connected stay.
    pub fn set_discovery(&mut self, now: Instant, on: bool, disk: &mut dyn Disk) {
        if on == self.config.discovery {
            return;
        }
        self.config.discovery = on;
        if on {
            self.multicast = Some(Multicast::new(Rng::from_seed(self.rng.next_u64())));
            self.lan_awakes(now);
            self.look_around();
            self.announce_all(now);
        } else {
            self.multicast = None;
            if let Some(tag) = self.multicast_tag.take() {
                self.tags.remove(&tag);
                self.out.push_back(Output::Unlisten { tag });
            }
            self.lan_sleeps(now, disk);
        }
        self.work_due = true;
    }

    /// The run cannot go on.
    pub(super) fn fail(&mut self, failure: Failure) {
        let code = failure.kind.code();
        self.failure.get_or_insert(failure);
        self.out.push_back(Output::Exit { code });
    }

    /// Once everything stands, topics are announced to the user and on the network.
    pub(super) fn say_ready(&mut self, now: Instant) {
        let control_settled = self.config.control.is_none() || self.control_open.is_some();
        if !self.started_up || self.listeners_pending > 0 || !control_settled {
            return;
        }
        self.lan_places(now);
        let quiet: Vec<TopicId> = self
            .topics
            .iter()
            .filter(|(_, t)| !t.ready && t.is_active())
            .map(|(id, _)| id)
            .collect();
        for id in quiet {
            let Some(topic) = self.topics.get_mut(&id) else { continue };
            topic.ready = true;
            let (first, discovery_key, link) =
                (topic.first, topic.discovery_key, topic.link.clone());
            let Some(open) = self.feeds.get(first) else { continue };
            let key = Key(*open.store.feed().key());
            let listen = self.listening.clone();
            self.publish(&Event::Ready { link, key, listen });
            if self.is_forked(first) {
                // It was so in an earlier run: told when somebody listens.
                self.forked(now, first);
            }
            self.announce(now, discovery_key);
        }
    }

    /// Tells the local network of a topic, and asks it.
    pub(super) fn announce(&mut self, now: Instant, discovery_key: [u8; 32]) {
        let port = announced_port(&self.listening);
        if let Some(multicast) = &mut self.multicast {
            multicast.join(now, discovery_key, port);
        }
    }

    /// A topic's swarm is told what came of the names that its user gave.
    pub(super) fn name_peers(&mut self, now: Instant, topic: TopicId) {
        let Some(swarm) = self.swarms.get_mut(&topic) else { return };
        let named = self.names.iter().filter(|named| named.topics.contains(&topic));
        named.for_each(|named| swarm.named(now, named.id, &named.addrs));
    }

    pub(super) fn bound(&mut self, now: Instant, tag: Tag, at: io::Result<SocketAddr>) {
        if self.lan_bound(now, tag, &at) {
            return;
        }
        if Some(tag) == self.multicast_tag {
            if let Err(error) = at {
                let text = format!("no peers are looked for on the local network: {error}");
                self.publish(&Event::Warning { text });
                self.multicast = None;
            } else {
                let list = std::mem::take(&mut self.interfaces);
                self.interfaces_changed(now, list);
            }
            return;
        }
        let Some(socket) = self.name_sockets.iter_mut().find(|s| s.tag == Some(tag)) else {
            return;
        };
        socket.open = at.is_ok();
        if at.is_err() {
            socket.tag = None;
        }
        for (to, bytes) in std::mem::take(&mut socket.waiting) {
            self.out.push_back(Output::Datagram { tag, to, via: None, bytes });
        }
    }

    pub(super) fn datagram(&mut self, now: Instant, tag: Tag, from: SocketAddr, bytes: &[u8]) {
        if Some(tag) == self.multicast_tag {
            if let Some(multicast) = &mut self.multicast {
                multicast.receive(now, from, bytes);
            }
        } else if self.lan_datagram(now, tag, from, bytes) {
        } else if self.name_sockets.iter().any(|s| s.tag == Some(tag)) {
            self.resolver.receive(now, from, bytes);
        }
    }

    pub(super) fn interfaces_changed(&mut self, now: Instant, list: Vec<Interface>) {
        self.interfaces = list;
        let listen =
            self.config.listen.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
        let usable = multicast::usable(&self.interfaces, listen);
        if let Some(multicast) = &mut self.multicast {
            multicast.set_interfaces(now, &usable);
        }
        self.lan_places(now);
    }

    /// A dial has failed: if a name led there, it may lead elsewhere by now (K09).
    pub(super) fn doubt_name_of(&mut self, now: Instant, addr: SocketAddr) {
        for named in self.names.iter_mut().filter(|named| named.addrs.contains(&addr)) {
            named.again = named.again.min(now + limits::NAME_SOON);
        }
    }

    /// The servers that could not be asked before may be there again.
    pub(super) fn ask_for_names(&mut self, now: Instant) {
        for named in self.names.iter_mut().filter(|named| named.lookup.is_none()) {
            named.again = named.again.min(now);
        }
    }

    /// As `add_peer`, for every topic.
    pub fn add_peer_everywhere(&mut self, now: Instant, peer: &str) -> Result<(), Failure> {
        let all: Vec<TopicId> = self.topics.keys().collect();
        all.into_iter().try_for_each(|topic| self.add_peer(now, topic, peer))
    }

    /// A peer that the user named: `host:port`, `[v6]:port` or an address.
    pub fn add_peer(&mut self, now: Instant, topic: TopicId, peer: &str) -> Result<(), Failure> {
        let bad = || {
            Failure::new(Kind::Usage, format!("\"{peer}\" is not a peer"))
                .hint("write host:port, like nas.local:3282")
        };
        if let Ok(addr) = peer.parse::<SocketAddr>() {
            if let Some(swarm) = self.swarms.get_mut(&topic) {
                swarm.configured(addr);
            }
            return Ok(());
        }
        let (name, port) = peer.rsplit_once(':').ok_or_else(bad)?;
        let port: u16 = port.parse().map_err(|_| bad())?;
        if name.is_empty() || name.len() > limits::HOST_NAME_BYTES {
            return Err(bad());
        }
        if let Some(named) = self.names.iter_mut().find(|named| named.name == peer) {
            if let Err(place) = named.topics.binary_search(&topic) {
                named.topics.insert(place, topic);
            }
            if let Some(swarm) = self.swarms.get_mut(&topic) {
                swarm.named(now, named.id, &named.addrs);
            }
            return Ok(());
        }
        let lookup = Some(self.resolver.lookup(now, name, port));
        let (topics, addrs) = (vec![topic], Vec::new());
        self.name_ids += 1;
        let (name, id) = (peer.to_owned(), NameId(self.name_ids));
        self.names.push(Named { name, id, topics, lookup, again: now, addrs });
        Ok(())
    }

    /// The user does not name this peer any more: it is one like any. A connection to it stays.
    pub fn remove_peer_everywhere(&mut self, now: Instant, peer: &str) {
        let named = self.names.iter().position(|named| named.name == peer);
        let id = named.map(|at| self.names.remove(at).id);
        let addr = peer.parse::<SocketAddr>().ok();
        let resting = self.topics.iter_mut().filter_map(|(_, topic)| topic.resting());
        for swarm in self.swarms.values_mut().chain(resting) {
            addr.into_iter().for_each(|addr| swarm.not_configured(addr));
            id.into_iter().for_each(|id| swarm.named(now, id, &[]));
        }
    }

    /// What the clock asks of finding.
    pub(super) fn finding_deadline(&mut self, now: Instant) {
        if let Some(multicast) = &mut self.multicast {
            multicast.tick(now);
        }
        self.seen_expires(now);
        self.resolver.tick(now);
        for named in &mut self.names {
            if named.lookup.is_some() || named.again > now {
                continue;
            }
            named.again = now + limits::NAME_AGAIN;
            let mut met: Vec<TopicId> =
                self.peers.values().flat_map(|peer| peer.topics()).collect();
            met.sort_unstable();
            let mut active = named.topics.iter().filter(|topic| self.swarms.has(topic));
            let alone = active.any(|topic| met.binary_search(topic).is_err());
            if let Some((name, port)) = named.name.rsplit_once(':')
                && let (true, Ok(port)) = (alone, port.parse())
            {
                named.lookup = Some(self.resolver.lookup(now, name, port));
            }
        }
    }

    pub(super) fn finding_next(&mut self) -> Option<Instant> {
        if self.stopping != super::Stopping::No {
            // Nobody is dialled any more: that somebody could be wakes nobody up.
            return None;
        }
        // With all dials out, the next one that ends lets the others go on.
        let swarms = self.swarms.next().filter(|_| self.dialing < self.dials_at_once());
        let swarms = swarms.map(|(at, _)| at).into_iter();
        let names = self.names.iter().filter(|named| named.lookup.is_none());
        let names = names.map(|named| named.again);
        let cast = self.multicast.as_ref().and_then(Multicast::next_deadline);
        let others = cast.into_iter().chain(self.lan_next()).chain(self.seen.next_deadline());
        swarms.chain(names).chain(others).chain(self.resolver.next_deadline()).min()
    }

    pub(super) fn need_peers(&mut self, now: Instant, feed: FeedId) {
        let Some(open) = self.feeds.get(feed) else { return };
        let Some(topic) = self.topics.get(&open.topic) else { return };
        if let Some(multicast) = &mut self.multicast {
            multicast.refresh(now, &topic.discovery_key);
        }
    }

    /// Carries what discovery, resolver and swarms say to the outside.
    pub(super) fn settle_finding(&mut self, now: Instant, disk: &mut dyn Disk) -> bool {
        let mut moved = self.settle_lan(now);
        while let Some(output) = self.multicast.as_mut().and_then(|m| m.poll_output()) {
            moved = true;
            self.carry_out(now, output);
        }
        while let Some((to, bytes)) = self.resolver.poll_datagram() {
            moved = true;
            self.ask_server(to, bytes);
        }
        while let Some((id, result)) = self.resolver.poll_done() {
            moved = true;
            if self.looked_up(id, &result) {
                continue;
            }
            let asked = self.names.iter_mut().find(|named| named.lookup == Some(id));
            let Some(named) = asked else { continue };
            (named.lookup, named.again) = (None, now + limits::NAME_AGAIN);
            match result {
                Ok(addrs) => {
                    for topic in &named.topics {
                        let Some(swarm) = self.swarms.get_mut(topic) else { continue };
                        swarm.named(now, named.id, &addrs);
                    }
                    named.addrs = addrs;
                }
                Err(error) => {
                    let text = format!("{}: {error}; it is tried again", named.name);
                    self.publish(&Event::Warning { text });
                }
            }
        }
        if self.stopping == super::Stopping::No && self.listeners_pending == 0 {
            moved |= self.dial(now, disk);
        }
        moved
    }

    fn dial(&mut self, now: Instant, disk: &mut dyn Disk) -> bool {
        let mut dials = Vec::new();
        while self.dialing + dials.len() < self.dials_at_once()
            && let Some(dial) = self.swarms.poll_dial(now)
        {
            dials.push(dial);
        }
        for &(topic, addr) in &dials {
            if self.standings.is_barred(addr.ip(), now) {
                if let Some(swarm) = self.swarms.get_mut(&topic) {
                    swarm.dial_failed(now, addr);
                }
                continue;
            }
            if self.is_core(topic) && self.share_stream(now, topic, addr, disk) {
                continue;
            }
            self.dialing += 1;
            let tag = self.tag(Purpose::Dial { topics: vec![topic], addr });
            self.out.push_back(Output::Dial { tag, to: Endpoint::Tcp(addr) });
        }
        !dials.is_empty()
    }

    /// One stream carries the cores of many topics: one that stands, or is on its way, spares a dial.
    fn share_stream(
        &mut self,
        now: Instant,
        topic: TopicId,
        addr: SocketAddr,
        disk: &mut dyn Disk,
    ) -> bool {
        if let Some(conn) = self.stream_to(now, addr) {
            self.attach(now, conn, topic, true, disk);
            return true;
        }
        let pending = self.tags.iter().find_map(|(tag, purpose)| match purpose {
            Purpose::Dial { topics, addr: to } if *to == addr => topics.first().map(|t| (*tag, *t)),
            _ => None,
        });
        let Some((tag, _)) = pending.filter(|(_, first)| self.is_core(*first)) else {
            return false;
        };
        if let Some(Purpose::Dial { topics, .. }) = self.tags.get_mut(&tag) {
            topics.push(topic);
        }
        true
    }

    fn carry_out(&mut self, now: Instant, output: multicast::Output) {
        let Some(tag) = self.multicast_tag else { return };
        let group = multicast::group();
        match output {
            multicast::Output::Join(on) => self.out.push_back(Output::Join { tag, group, on }),
            multicast::Output::Leave(on) => self.out.push_back(Output::Leave { tag, group, on }),
            multicast::Output::Send { to, via, bytes } => {
                self.out.push_back(Output::Datagram { tag, to, via: Some(via), bytes });
            }
            multicast::Output::Found { discovery_key, addr } => {
                let Some(feed) = self.feeds.find(&discovery_key) else { return };
                let Some(topic) = self.feeds.get(feed).map(|open| open.topic) else { return };
                if !self.is_ours(addr)
                    && let Some(swarm) = self.swarms.get_mut(&topic)
                {
                    swarm.found(now, addr, Source::Multicast);
                }
            }
        }
    }

    /// Whether an address is one that we listen at.
    pub(super) fn is_ours(&self, addr: SocketAddr) -> bool {
        let here = |ip: IpAddr| self.interfaces.iter().any(|i| i.address == ip);
        self.listening.iter().any(|own| {
            own.port() == addr.port()
                && (own.ip() == addr.ip() || own.ip().is_unspecified() && here(addr.ip()))
        })
    }

    fn ask_server(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        let family = usize::from(to.is_ipv6());
        if self.name_sockets[family].tag.is_none() {
            let any: IpAddr = if to.is_ipv6() {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            };
            let bind = Bind { at: SocketAddr::new(any, 0), shared: false, multicast_ttl: 1 };
            let tag = self.tag(Purpose::Resolver);
            self.name_sockets[family].tag = Some(tag);
            self.out.push_back(Output::Bind { tag, bind });
        }
        let socket = &mut self.name_sockets[family];
        match (socket.tag, socket.open) {
            (Some(tag), true) => {
                self.out.push_back(Output::Datagram { tag, to, via: None, bytes });
            }
            _ if socket.waiting.len() < limits::RESOLVE_LOOKUPS => socket.waiting.push((to, bytes)),
            _ => {}
        }
    }
}

/// The port that multicast tells others. The announcements are IPv4 only (dat/SPEC §11.1): 0, which
/// is to ask without being announced, for who listens on IPv6 alone.
fn announced_port(listening: &[SocketAddr]) -> u16 {
    listening.iter().find(|at| at.is_ipv4()).map_or(0, SocketAddr::port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_on_ipv6_alone_is_not_announced() {
        let (four, six) = (([10, 0, 0, 1], 3282).into(), "[::1]:4000".parse().unwrap());
        assert_eq!(announced_port(&[six, four]), 3282);
        assert_eq!(announced_port(&[six]), 0);
        assert_eq!(announced_port(&[]), 0);
    }
}
