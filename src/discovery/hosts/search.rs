//! Looking for a host that is not known: those closest to it are asked who is closer still, until one
//! has its record, which the host itself has signed. Answers are only taken from who was asked, where
//! he was asked.

use super::heard::group_of;
use super::table::is_reachable;
use super::{Body, Command, Hosts, Output, Purpose, Via};
use crate::host::HostId;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::Claim;
use crate::wire::host::datagram::{self, Nonce};

/// How a look-up stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is in the table.
    Known,
    /// Others are asked; `Output::Searched` says when that is over.
    Searching,
    /// Nobody who was asked knows it.
    Missing,
    /// Too many searches are under way.
    Busy,
}

pub(super) struct Search {
    wanted: HostId,
    /// It is for ourselves: our record is stored with those who turn out to be closest.
    publish: bool,
    began: Instant,
    steps: Vec<Step>,
}

struct Step {
    host: HostId,
    via: Via,
    /// Contacts of contacts of contacts.
    hop: u32,
    state: Asking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Not,
    Until(Instant),
    Answered { token: Option<Nonce> },
    Failed,
}

impl Search {
    pub fn next_deadline(&self) -> Option<Instant> {
        let until = |step: &Step| match step.state {
            Asking::Until(at) => Some(at),
            _ => None,
        };
        self.steps.iter().filter_map(until).min()
    }

    /// Adds somebody to be asked, unless he is known here or all are closer.
    fn add(&mut self, host: HostId, via: Via, hop: u32) {
        if self.steps.iter().any(|step| step.host == host) || hop > limits::LAN_HOPS {
            return;
        }
        if self.steps.len() >= limits::LAN_SEARCH_CONTACTS {
            let Some(last) = self.steps.last() else { return };
            let farther = Hosts::is_closer(self.wanted, host, last.host);
            if last.state != Asking::Not || !farther {
                return;
            }
            self.steps.pop();
        }
        self.steps.push(Step { host, via, hop, state: Asking::Not });
        let wanted = self.wanted;
        crate::few::sort(&mut self.steps, |a, b| Hosts::is_closer(wanted, a.host, b.host));
    }

    /// Who is asked next: the closest that was not, as long as it is among the closest that may answer.
    fn next(&self) -> Option<usize> {
        let asked = self.steps.iter().filter(|step| matches!(step.state, Asking::Until(_))).count();
        if asked >= limits::LAN_SEARCH_WIDTH {
            return None;
        }
        let good = self.steps.iter().enumerate().filter(|(_, step)| step.state != Asking::Failed);
        let mut close = good.take(limits::LAN_CLOSEST);
        close.find(|(_, step)| step.state == Asking::Not).map(|(at, _)| at)
    }

    fn is_waiting(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.state, Asking::Until(_)))
    }
}

impl Hosts {
    /// Whether a host is known; if not, it is searched for. Searches for one host are one.
    pub fn find(&mut self, now: Instant, wanted: HostId) -> Finding {
        if self.table.iter().any(|known| known.host() == wanted && known.expires > now) {
            return Finding::Known;
        }
        if self.missing.get(&wanted).is_some_and(|until| *until > now) {
            return Finding::Missing;
        }
        if self.searches.iter().any(|search| search.wanted == wanted) {
            return Finding::Searching;
        }
        if self.searches.len() >= limits::LAN_SEARCHES {
            return Finding::Busy;
        }
        match self.search(now, wanted, false) {
            true => Finding::Searching,
            false => Finding::Missing,
        }
    }

    /// Our own record is to be stored where it is looked for.
    pub(super) fn publish(&mut self, now: Instant) {
        let running = self.searches.iter().any(|search| search.publish);
        if !running && self.searches.len() < limits::LAN_SEARCHES {
            self.search(now, self.id, true);
        }
    }

    /// False: there is nobody to ask.
    fn search(&mut self, now: Instant, wanted: HostId, publish: bool) -> bool {
        let mut search = Search { wanted, publish, began: now, steps: Vec::new() };
        for (host, addr) in self.table.closest(wanted, limits::LAN_CLOSEST) {
            search.add(host, Via::Udp(addr), 1);
        }
        for host in &self.peers {
            search.add(*host, Via::Peer(*host), 1);
        }
        search.steps.retain(|step| step.host != self.id);
        if search.steps.is_empty() {
            self.miss(now, wanted);
            return false;
        }
        self.searches.push(search);
        self.drive_searches(now);
        true
    }

    fn miss(&mut self, now: Instant, wanted: HostId) {
        self.missing.retain(|until| *until > now);
        if self.missing.len() >= limits::LAN_MISSING {
            self.missing.remove_least(|until| *until);
        }
        self.missing.insert(wanted, now + limits::LAN_MISSING_FOR);
    }

    /// Asks on, and ends what has nobody left to ask.
    pub(super) fn drive_searches(&mut self, now: Instant) {
        let mut searches = std::mem::take(&mut self.searches);
        for search in &mut searches {
            for step in &mut search.steps {
                if matches!(step.state, Asking::Until(at) if at <= now) {
                    step.state = Asking::Failed;
                }
            }
            let late =
                now.since(search.began) + limits::LAN_HOP_TIMEOUT > limits::LAN_SEARCH_WITHIN;
            while let Some(at) = search.next().filter(|_| !late) {
                let step = &mut search.steps[at];
                step.state = Asking::Until(now + limits::LAN_HOP_TIMEOUT);
                let (of, wanted) = (step.host, search.wanted);
                let challenge = self.nonces.make(now, Purpose::Search { of, wanted }, step.via);
                let body = Body::FindHost { challenge, wanted };
                self.say(step.via, Some(of), body, limits::LAN_DATAGRAM_BYTES);
            }
        }
        let (going, over): (Vec<Search>, Vec<Search>) =
            searches.into_iter().partition(Search::is_waiting);
        self.searches = going;
        over.into_iter().for_each(|search| self.search_over(now, search));
    }

    fn search_over(&mut self, now: Instant, search: Search) {
        if !search.publish {
            self.miss(now, search.wanted);
            self.outputs.push_back(Output::Searched { wanted: search.wanted });
            return;
        }
        let Some((record, _)) = self.record.clone() else { return };
        let answered = search.steps.iter().filter_map(|step| match step.state {
            Asking::Answered { token: Some(token) } => Some((step, token)),
            _ => None,
        });
        for (step, token) in answered.take(limits::LAN_CLOSEST) {
            let body = Body::StoreHost { token, record: record.bytes() };
            self.say(step.via, Some(step.host), body, 0);
        }
    }

    pub(super) fn search_answered(&mut self, now: Instant, via: Via, command: &Command<'_>) {
        let Body::Found { echo, token, records, contacts } = &command.body else { return };
        let of = command.host;
        let mut searches = std::mem::take(&mut self.searches);
        let asked = searches.iter_mut().enumerate().find_map(|(at, search)| {
            let purpose = Purpose::Search { of, wanted: search.wanted };
            let ours = self.nonces.is_ours(now, purpose, via, echo);
            let asked = |step: &&mut Step| {
                step.host == of && step.via == via && matches!(step.state, Asking::Until(_))
            };
            let step = search.steps.iter_mut().find(asked).filter(|_| ours)?;
            step.state = Asking::Answered { token: *token };
            Some((at, step.hop + 1))
        });
        let Some((at, hop)) = asked else {
            self.searches = searches;
            self.counts.unasked += 1;
            return;
        };
        let wanted = searches[at].wanted;
        let found = !searches[at].publish && self.take_found(now, via, wanted, records);
        if found {
            searches.remove(at);
            self.searches = searches;
            self.outputs.push_back(Output::Searched { wanted });
            self.ask_soon(now);
        } else {
            for contact in contacts {
                if contact.host != self.id && is_reachable(contact.addr.ip()) {
                    searches[at].add(contact.host, Via::Udp(contact.addr), hop);
                }
            }
            self.searches = searches;
        }
        self.tick(now);
    }

    /// Records of the host that is wanted; of others none was asked for.
    fn take_found(&mut self, now: Instant, via: Via, wanted: HostId, records: &[u8]) -> bool {
        let mut found = false;
        for record in datagram::records(records).take(limits::LAN_INSTANCES) {
            let of_wanted = Claim::decode(record).is_ok_and(|c| c.claimed().host == wanted);
            if of_wanted {
                found |= self.store(now, record, group_of(via));
            } else {
                self.counts.records += 1;
            }
        }
        found
    }
}
