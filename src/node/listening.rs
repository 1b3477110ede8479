//! Where peers reach us: the listeners, and others in their place while everything goes on. The new ones are
//! opened before the old ones are closed; where one cannot be had, everything stays as it was.

use std::io;
use std::net::SocketAddr;

use crate::failure::Failure;
use crate::sys::Endpoint;
use crate::time::Instant;

use super::io::{Output, Tag};
use super::topic::TopicId;
use super::{Node, Purpose};

/// The listeners that stand, and those that are to take their place.
#[derive(Default)]
pub(super) struct Listeners {
    stand: Vec<Listener>,
    change: Option<Box<Change>>,
    /// They stood once: from then on nothing that fails ends the run.
    stood: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    tag: Tag,
    /// As it was asked for: port 0 is any.
    wanted: SocketAddr,
    at: SocketAddr,
}

struct Change {
    wanted: Vec<SocketAddr>,
    any_port: bool,
    /// Asked for, and not answered yet.
    pending: Vec<Tag>,
    /// Open, or open before and to stay.
    opened: Vec<Listener>,
    /// Closed because a new one needs its port.
    gave_way: Vec<Listener>,
    failed: Option<Failure>,
}

impl Change {
    /// Whether a listener that stands is one of those that are to.
    fn keeps(&self, listener: &Listener) -> bool {
        self.opened.iter().any(|opened| opened.tag == listener.tag)
    }
}

/// Whether two sockets cannot listen at a time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let ips = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && ips
}

impl Node {
    pub(super) fn listen_at(&mut self, at: SocketAddr) {
        self.listeners_pending += 1;
        self.open_listener(at);
    }

    fn open_listener(&mut self, at: SocketAddr) -> Tag {
        let tag = self.tag(Purpose::Listener { at });
        self.out.push_back(Output::Listen { tag, at: Endpoint::Tcp(at) });
        tag
    }

    fn close_listener(&mut self, tag: Tag) {
        self.tags.remove(&tag);
        self.out.push_back(Output::Unlisten { tag });
    }

    /// A listener stands, or does not.
    pub(super) fn listening(&mut self, now: Instant, tag: Tag, at: io::Result<Endpoint>) {
        let wanted = match self.tags.get(&tag) {
            Some(Purpose::Listener { at }) => *at,
            Some(Purpose::Control) => {
                if let Err(error) = at {
                    log::warn!("no control socket: {error}");
                    self.tags.remove(&tag);
                    self.control_open = Some(false);
                } else {
                    self.control_open = Some(true);
                }
                self.say_ready(now);
                return;
            }
            // Nobody wants it any more.
            _ => return self.out.push_back(Output::Unlisten { tag }),
        };
        let at = at.map(|at| match at {
            Endpoint::Tcp(at) => at,
            Endpoint::Unix(_) => wanted,
        });
        if at.is_err() {
            self.tags.remove(&tag);
        }
        let changes = self.listeners.change.as_mut();
        if let Some(change) = changes.filter(|change| change.pending.contains(&tag)) {
            change.pending.retain(|other| *other != tag);
            return self.changed_listener(now, Listener { tag, wanted, at: wanted }, at);
        }
        self.listeners_pending = self.listeners_pending.saturating_sub(1);
        match at {
            Ok(at) => {
                self.listeners.stand.push(Listener { tag, wanted, at });
                self.set_listening();
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.config.any_port => {
                let any = SocketAddr::new(wanted.ip(), 0);
                self.listen_at(any);
            }
            // Without IPv6 (or IPv4) on this machine the other one is enough.
            Err(error) if self.config.listen.len() > 1 && wanted.is_ipv6() => {
                log::debug!("{wanted}: {error}");
            }
            Err(error) if self.listeners.stood => {
                let failure = Failure::io(wanted, &error);
                self.warn(format!("nobody can connect any more: {failure}"));
            }
            Err(error) => {
                self.fail(Failure::io(wanted, &error));
                return;
            }
        }
        self.say_ready(now);
    }

    fn set_listening(&mut self) {
        self.listening = self.listeners.stand.iter().map(|listener| listener.at).collect();
    }

    /// Peers are to be awaited there from now on, and nowhere else; those that are connected stay. If a
    /// socket cannot be had, the old ones stay, and the user is told.
    pub fn set_listen(&mut self, now: Instant, wanted: Vec<SocketAddr>, any_port: bool) {
        if let Some(change) = self.listeners.change.take() {
            self.take_listen_back(*change);
        }
        if (&wanted, any_port) == (&self.config.listen, self.config.any_port) {
            return;
        }
        self.listeners.stood = true;
        let (pending, opened, gave_way) = (Vec::new(), Vec::new(), Vec::new());
        let mut change =
            Change { wanted: wanted.clone(), any_port, pending, opened, gave_way, failed: None };
        for at in wanted {
            let same = |l: &&Listener| l.wanted == at || l.at == at;
            match self.listeners.stand.iter().find(same) {
                Some(stands) => change.opened.push(*stands),
                None => change.pending.push(self.open_listener(at)),
            }
        }
        self.listeners.change = Some(Box::new(change));
        self.settle_listen(now);
    }

    /// One of the new ones stands, or does not.
    fn changed_listener(&mut self, now: Instant, new: Listener, at: io::Result<SocketAddr>) {
        let Some(mut change) = self.listeners.change.take() else { return };
        match at {
            Ok(at) => change.opened.push(Listener { at, ..new }),
            Err(error) => self.no_listener(&mut change, new.wanted, &error),
        }
        self.listeners.change = Some(change);
        self.settle_listen(now);
    }

    fn no_listener(&mut self, change: &mut Change, wanted: SocketAddr, error: &io::Error) {
        if error.kind() == io::ErrorKind::AddrInUse {
            let ours = |l: &Listener| collide(l.at, wanted) && !change.keeps(l);
            if let Some(place) = self.listeners.stand.iter().position(ours) {
                // It is we who have the port.
                let old = self.listeners.stand.remove(place);
                self.close_listener(old.tag);
                change.gave_way.push(old);
                return change.pending.push(self.open_listener(wanted));
            }
            if change.any_port && wanted.port() != 0 {
                let any = SocketAddr::new(wanted.ip(), 0);
                return change.pending.push(self.open_listener(any));
            }
        }
        match change.wanted.len() > 1 && wanted.is_ipv6() {
            true => log::debug!("{wanted}: {error}"),
            false => drop(change.failed.get_or_insert(Failure::io(wanted, error))),
        }
    }

    /// Once all have been answered: the old ones go, or the new ones.
    fn settle_listen(&mut self, now: Instant) {
        let Some(change) = self.listeners.change.take_if(|change| change.pending.is_empty()) else {
            return;
        };
        if let Some(failure) = &change.failed {
            let stay: Vec<String> = self.listening.iter().map(ToString::to_string).collect();
            let stay = if stay.is_empty() { "nowhere".to_owned() } else { stay.join(", ") };
            self.warn(format!(
                "listen is not changed: {failure}; peers are still awaited at {stay}"
            ));
            return self.take_listen_back(*change);
        }
        let Change { wanted, any_port, opened, .. } = *change;
        for old in std::mem::replace(&mut self.listeners.stand, opened) {
            if !self.listeners.stand.iter().any(|new| new.tag == old.tag) {
                self.close_listener(old.tag);
            }
        }
        (self.config.listen, self.config.any_port) = (wanted, any_port);
        self.set_listening();
        log::info!("peers are awaited at {:?} from now on", self.listening);
        self.moved(now);
    }

    /// What was begun is undone.
    fn take_listen_back(&mut self, change: Change) {
        let stands = |tag| self.listeners.stand.iter().any(|listener| listener.tag == tag);
        let opened = change.opened.iter().map(|opened| opened.tag).filter(|tag| !stands(*tag));
        // (Those that are not answered yet are closed when they are.)
        for tag in opened.collect::<Vec<Tag>>() {
            self.close_listener(tag);
        }
        for tag in change.pending {
            self.tags.remove(&tag);
        }
        for old in change.gave_way {
            self.listen_at(old.at);
        }
    }

    /// Others are told where we are now.
    fn moved(&mut self, now: Instant) {
        let list = std::mem::take(&mut self.interfaces);
        self.interfaces_changed(now, list);
        self.announce_all(now);
    }

    /// Tells the local network of everything that is served.
    pub(super) fn announce_all(&mut self, now: Instant) {
        let served = self.topics.iter().filter(|(_, topic)| topic.ready && topic.is_active());
        let ids: Vec<TopicId> = served.map(|(id, _)| id).collect();
        for id in ids {
            if let Some(key) = self.topics.get(&id).map(|topic| topic.discovery_key) {
                self.announce(now, key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_cannot_listen_at_a_time() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let both = |one, other| collide(at(one), at(other));
        assert!(both("0.0.0.0:1", "10.0.0.1:1") && both("10.0.0.1:1", "0.0.0.0:1"));
        assert!(both("10.0.0.1:1", "10.0.0.1:1") && !both("10.0.0.1:1", "10.0.0.2:1"));
        assert!(!both("0.0.0.0:1", "[::]:1") && !both("0.0.0.0:1", "0.0.0.0:2"));
    }
}
