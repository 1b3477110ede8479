//! A stub resolver: host names to addresses by the hosts file and by asking the name servers of
//! resolv.conf over UDP, A and AAAA at once. Knows no socket and no file: it gets both texts and
//! the datagrams as arguments. It never asks over TCP; of a truncated answer it takes what is
//! there.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use thiserror::Error;

use super::packet;
use crate::few::Few;
use crate::limits;
use crate::rng::Rng;
use crate::time::Instant;

/// Names one look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookupId(pub u32);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    #[error("not a host name: {0}")]
    BadName(String),
    #[error("no such host: {0}")]
    NotFound(String),
    #[error("no name server answered for {0}")]
    TimedOut(String),
    #[error("too many look-ups at once")]
    TooMany,
}

/// Addresses in the order to try them, never empty.
pub type Answer = Result<Vec<SocketAddr>, ResolveError>;

/// One of the two questions of a look-up.
struct Asking {
    record: TYPE,
    id: u16,
    /// What is asked now: the host, or what it is an alias of.
    name: String,
    aliases: u8,
    tries: u32,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Waiting {
        server: SocketAddr,
        until: Instant,
    },
    /// The name exists; there may be no address of this family.
    Answered(Vec<IpAddr>),
    NoSuchName,
    TimedOut,
}

struct Lookup {
    text: String,
    port: u16,
    /// Names still to be tried when this one does not exist: search domains.
    others: VecDeque<String>,
    asking: [Asking; 2],
    /// The other address family has until then.
    grace: Option<Instant>,
}

/// Finished look-ups come out of [`Resolver::poll_done`], also those that needed no question.
pub struct Resolver {
    rng: Rng,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    lookups: Few<LookupId, Box<Lookup>>,
    next_id: u32,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    done: VecDeque<(LookupId, Answer)>,
}

impl Resolver {
    /// `hosts` and `resolv_conf` are the texts of the two files; either may be empty. `rng` must
    /// come from the system's entropy: it makes answers hard to forge.
    pub fn new(rng: Rng, hosts: &str, resolv_conf: &str) -> Resolver {
        let mut resolver = Resolver {
            rng,
            hosts: BTreeMap::new(),
            servers: Vec::new(),
            search: Vec::new(),
            lookups: Few::new(),
            next_id: 0,
            datagrams: VecDeque::new(),
            done: VecDeque::new(),
        };
        resolver.set_files(hosts, resolv_conf);
        resolver
    }

    /// New texts of the two files, for the look-ups to come.
    pub fn set_files(&mut self, hosts: &str, resolv_conf: &str) {
        self.hosts = parse_hosts(hosts);
        (self.servers, self.search) = parse_resolv_conf(resolv_conf);
    }

    /// Starts a look-up of a host name or an IP address in text.
    pub fn lookup(&mut self, now: Instant, name: &str, port: u16) -> LookupId {
        let id = LookupId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        match self.without_asking(name) {
            Some(Ok(addresses)) => self.finish(id, Ok(sockets(&addresses, port))),
            Some(Err(error)) => self.finish(id, Err(error)),
            None if self.lookups.len() >= limits::RESOLVE_LOOKUPS => {
                self.finish(id, Err(ResolveError::TooMany));
            }
            None => {
                let mut others = candidates(name, &self.search);
                let first = others.pop_front().unwrap_or_default();
                let asking = [TYPE::AAAA, TYPE::A].map(|record| self.ask(now, record, &first));
                let text = name.to_owned();
                let lookup = Lookup { text, port, others, asking, grace: None };
                self.lookups.insert(id, Box::new(lookup));
            }
        }
        id
    }

    /// Forgets a look-up; nothing will be reported for it.
    pub fn cancel(&mut self, id: LookupId) {
        self.lookups.remove(&id);
        self.done.retain(|(other, _)| *other != id);
    }

    /// A datagram from a name server, or from anybody.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Some(packet) = packet::parse(bytes) else { return };
        if !packet.has_flags(PacketFlag::RESPONSE) {
            return;
        }
        let mut found = None;
        for (id, lookup) in self.lookups.iter() {
            let of = lookup.asking.iter().position(|asking| asking.is_answered_by(from, &packet));
            found = found.or(of.map(|which| (*id, which)));
        }
        if let Some((id, which)) = found {
            self.answered(now, id, which, &packet);
            self.settle(now, id);
        }
    }

    /// Retries and gives up what is due.
    pub fn tick(&mut self, now: Instant) {
        let ids: Vec<LookupId> = self.lookups.keys().copied().collect();
        for id in ids {
            for which in 0..2 {
                let lookup = self.lookups.get(&id);
                let waiting = lookup.and_then(|lookup| lookup.asking[which].until());
                if waiting.is_some_and(|until| until <= now) {
                    self.try_next_server(now, id, which);
                }
            }
            self.settle(now, id);
        }
    }

    /// A question to send, from an unshared UDP socket of the server's address family.
    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.datagrams.pop_front()
    }

    pub fn poll_done(&mut self) -> Option<(LookupId, Answer)> {
        self.done.pop_front()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let of = |lookup: &Lookup| {
            let until = lookup.asking.iter().filter_map(Asking::until).min();
            until.into_iter().chain(lookup.grace).min()
        };
        self.lookups.values().filter_map(|lookup| of(lookup)).min()
    }

    fn finish(&mut self, id: LookupId, answer: Answer) {
        self.lookups.remove(&id);
        self.done.push_back((id, answer));
    }

    fn without_asking(&self, name: &str) -> Option<Result<Vec<IpAddr>, ResolveError>> {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if let Ok(ip) = bare.parse() {
            return Some(Ok(vec![ip]));
        }
        if !is_host_name(name) {
            return Some(Err(ResolveError::BadName(name.chars().take(255).collect())));
        }
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(addresses) = self.hosts.get(&plain) {
            return Some(Ok(addresses.clone()));
        }
        if plain == "localhost" || plain.ends_with(".localhost") {
            return Some(Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
        }
        None
    }

    /// Sends the first try of a question.
    fn ask(&mut self, now: Instant, record: TYPE, name: &str) -> Asking {
        let mut asking = Asking {
            record,
            id: 0,
            name: name.to_owned(),
            aliases: 0,
            tries: 0,
            state: State::TimedOut,
        };
        self.send(now, &mut asking);
        asking
    }

    /// Sends the next try of a question, to the next server, under a new id.
    fn send(&mut self, now: Instant, asking: &mut Asking) {
        let index = asking.tries as usize % self.servers.len().max(1);
        let server = self.servers.get(index).copied();
        let Some(server) = server.filter(|_| asking.tries < limits::RESOLVE_TRIES) else {
            asking.state = State::TimedOut;
            return;
        };
        asking.tries += 1;
        asking.id = self.rng.below(1 << 16) as u16;
        let mut packet = Packet::new_query(asking.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new_unchecked(&asking.name);
        let kind = QTYPE::TYPE(asking.record);
        packet.questions.push(Question::new(name, kind, QCLASS::CLASS(CLASS::IN), false));
        if let Ok(bytes) = packet.build_bytes_vec() {
            self.datagrams.push_back((server, bytes));
        }
        asking.state = State::Waiting { server, until: now + limits::RESOLVE_TIMEOUT };
    }

    fn try_next_server(&mut self, now: Instant, id: LookupId, which: usize) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        self.send(now, &mut lookup.asking[which]);
        self.lookups.insert(id, lookup);
    }

    fn answered(&mut self, now: Instant, id: LookupId, which: usize, packet: &Packet<'_>) {
        let Some(asking) = self.lookups.get_mut(&id).map(|lookup| &mut lookup.asking[which]) else {
            return;
        };
        let truncated = packet.has_flags(PacketFlag::TRUNCATION);
        match packet.rcode() {
            RCODE::NameError => asking.state = State::NoSuchName,
            RCODE::NoError => {
                let (alias, addresses) = read(packet, &asking.name, asking.record);
                match alias {
                    _ if !addresses.is_empty() => asking.state = State::Answered(addresses),
                    // The server does not follow aliases for us.
                    Some(alias) if asking.aliases < limits::RESOLVE_ALIASES => {
                        asking.aliases += 1;
                        asking.tries = 0;
                        asking.name = alias;
                        self.try_next_server(now, id, which);
                    }
                    _ if truncated => self.try_next_server(now, id, which),
                    _ => asking.state = State::Answered(Vec::new()),
                }
            }
            _ => self.try_next_server(now, id, which),
        }
    }

    /// Ends the look-up, or goes on to the next name, if there is enough to decide.
    fn settle(&mut self, now: Instant, id: LookupId) {
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        let waiting = lookup.asking.iter().any(|asking| asking.until().is_some());
        let addresses = interleave(&lookup.asking);
        if waiting {
            if addresses.is_empty() {
                return;
            }
            let grace = *lookup.grace.get_or_insert(now + limits::RESOLVE_GRACE);
            if now < grace {
                return;
            }
        }
        if !addresses.is_empty() {
            let port = lookup.port;
            return self.finish(id, Ok(sockets(&addresses, port)));
        }
        if let Some(name) = lookup.others.pop_front() {
            let asking = [TYPE::AAAA, TYPE::A].map(|record| self.ask(now, record, &name));
            if let Some(lookup) = self.lookups.get_mut(&id) {
                lookup.asking = asking;
            }
            return;
        }
        let text = lookup.text.clone();
        let silent = lookup.asking.iter().any(|asking| asking.state == State::TimedOut);
        let error = if silent { ResolveError::TimedOut } else { ResolveError::NotFound };
        self.finish(id, Err(error(text)));
    }
}

impl Asking {
    fn until(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether the packet answers this very question: right server, id, name and type.
    fn is_answered_by(&self, from: SocketAddr, packet: &Packet<'_>) -> bool {
        let State::Waiting { server, .. } = &self.state else { return false };
        let same = |question: &Question<'_>| {
            question.qtype == QTYPE::TYPE(self.record)
                && question.qclass == QCLASS::CLASS(CLASS::IN)
                && same_name(&question.qname, &self.name)
        };
        *server == from
            && packet.id() == self.id
            && packet.questions.len() == 1
            && packet.questions.iter().all(same)
    }
}

/// The addresses of `name` in an answer, through its aliases; and the last alias that was reached.
fn read(packet: &Packet<'_>, name: &str, record: TYPE) -> (Option<String>, Vec<IpAddr>) {
    let mut name = name.to_owned();
    let mut reached = None;
    for _ in 0..limits::RESOLVE_ALIASES {
        let alias = packet.answers.iter().find_map(|answer| match &answer.rdata {
            RData::CNAME(alias) if same_name(&answer.name, &name) => Some(alias.0.to_string()),
            _ => None,
        });
        let Some(alias) = alias.filter(|alias| is_host_name(alias)) else { break };
        name.clone_from(&alias);
        reached = Some(alias);
    }
    let addresses = packet.answers.iter().filter(|answer| same_name(&answer.name, &name));
    let addresses = addresses.filter_map(|answer| match (&answer.rdata, record) {
        (RData::A(a), TYPE::A) => Some(IpAddr::from(Ipv4Addr::from(a.address))),
        (RData::AAAA(a), TYPE::AAAA) => Some(IpAddr::from(Ipv6Addr::from(a.address))),
        _ => None,
    });
    (reached, addresses.take(limits::RESOLVE_ADDRESSES).collect())
}

fn same_name(name: &Name<'_>, text: &str) -> bool {
    let mut labels = text.trim_end_matches('.').split('.');
    let mut name = name.as_bytes();
    loop {
        match (name.next(), labels.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// The addresses found so far, the families taking turns, IPv6 first (RFC 8305 §4).
fn interleave(asking: &[Asking; 2]) -> Vec<IpAddr> {
    let [six, four] = asking.each_ref().map(|asking| match &asking.state {
        State::Answered(addresses) => addresses.as_slice(),
        _ => &[],
    });
    let longest = six.len().max(four.len());
    let turns = (0..longest).flat_map(|n| [six.get(n), four.get(n)]);
    turns.flatten().copied().collect()
}

fn sockets(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}

/// The names to ask for, in order: those in the search domains first if there is no dot.
fn candidates(name: &str, search: &[String]) -> VecDeque<String> {
    let mut names = VecDeque::new();
    if !name.contains('.') {
        let longer = search.iter().map(|domain| format!("{name}.{domain}"));
        names.extend(longer.filter(|name| is_host_name(name)));
    }
    names.push_back(name.trim_end_matches('.').to_owned());
    names
}

fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    name.len() <= 253 && name.split('.').all(|l| (1..=63).contains(&l.len()) && l.bytes().all(fits))
}

/// The words of each line, without comments.
fn lines(text: &str) -> impl Iterator<Item = std::str::SplitWhitespace<'_>> {
    text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default().split_whitespace())
}

fn parse_hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hosts = BTreeMap::<String, Vec<IpAddr>>::new();
    let mut room = limits::RESOLVE_HOSTS;
    for mut words in lines(text) {
        let Some(ip) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words.take(room) {
            room -= 1;
            let addresses = hosts.entry(name.to_ascii_lowercase()).or_default();
            if addresses.len() < limits::RESOLVE_ADDRESSES && !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
    }
    hosts
}

/// Name servers and search domains; without any server the one on this machine.
fn parse_resolv_conf(text: &str) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for mut words in lines(text) {
        match words.next() {
            Some("nameserver") => {
                servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
            }
            Some("search" | "domain") => {
                search = words.take(limits::RESOLVE_SEARCH).map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    servers.truncate(limits::RESOLVE_SERVERS);
    if servers.is_empty() {
        servers.push(Ipv4Addr::LOCALHOST.into());
    }
    (servers.into_iter().map(|ip| SocketAddr::new(ip, 53)).collect(), search)
}

#[cfg(test)]
mod tests;
