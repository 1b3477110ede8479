//! What each command leads to. Its signature was checked; whether it was said just now, and whether
//! its sender is where he seems to be, is looked at here.

use std::net::SocketAddr;

use super::fresh::Purpose;
use super::table::{Group, State, distance};
use super::{Body, Command, Contact, Hosts, Output, Via};
use crate::host::HostId;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::Boot;
use crate::wire::host::datagram::{CONTACT_EACH_BYTES, CONTACTS_HEAD_BYTES, FOUND_BYTES, Nonce};

/// How it is known that something was said just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fresh {
    /// A counter of a process that is known.
    Counter,
    /// It repeats what we asked of everybody.
    Answer,
    /// It repeats what we asked of this host at this place, and heard it from us there.
    Direct,
    /// It repeats that, but somebody stands between us.
    Relayed,
    /// It is not known. Nothing may be believed, only answered.
    Unknown,
}

impl Hosts {
    pub(super) fn heard(&mut self, now: Instant, via: Via, command: &Command<'_>, bytes: &[u8]) {
        let leaving = command.body == Body::Leaving;
        if command.host == self.id && !via.ip().is_some_and(|ip| self.is_here(ip)) {
            // What a peer passes on of a process of ours that has left is no forgery.
            if !leaving {
                self.impostor(now, via);
            }
            return;
        }
        if matches!(via, Via::Peer(peer) if peer != command.host) && !leaving {
            self.counts.unasked += 1;
            return;
        }
        if let Some(fresh) = self.freshness(now, via, command) {
            self.obey(now, via, command, fresh, bytes);
        }
    }

    fn impostor(&mut self, now: Instant, via: Via) {
        self.counts.impostors += 1;
        let Via::Udp(from) = via else { return };
        self.warn(now, "impostor", || {
            format!(
                "another machine uses the key of this host: {}; give it one of its own",
                from.ip()
            )
        });
    }

    /// `None`: it was said before, or too long ago. Counters and answers come before clocks.
    fn freshness(&mut self, now: Instant, via: Via, command: &Command<'_>) -> Option<Fresh> {
        let answer = self.answers(now, via, command);
        if self.table.has_left(command.boot) {
            self.counts.replayed += 1;
            return None;
        }
        let known = self.table.get_mut(command.host, command.boot);
        if let Some(window) = known.and_then(|known| known.window()) {
            if !window.take(command.counter) {
                self.counts.replayed += 1;
                self.heard_again(now, via, command);
                return None;
            }
            return answer.or(Some(Fresh::Counter));
        }
        if answer.is_none() && self.is_expired(command) {
            self.counts.expired += 1;
            return None;
        }
        Some(answer.unwrap_or(Fresh::Unknown))
    }

    /// A ping goes out on every interface and over both families: it may come again from another address
    /// that the host has, as its own record says.
    fn heard_again(&mut self, now: Instant, via: Via, command: &Command<'_>) {
        let (host, boot) = (command.host, command.boot);
        if let (Via::Udp(from), Body::Ping { .. }) = (via, &command.body)
            && self
                .table
                .get_mut(host, boot)
                .is_some_and(|known| known.is_live() && !known.proven.contains(&from))
        {
            self.prove(now, (host, boot), from, false);
        }
    }

    fn answers(&self, now: Instant, via: Via, command: &Command<'_>) -> Option<Fresh> {
        let (Body::Pong { echo, .. } | Body::Done { echo }) = &command.body else { return None };
        let ours = |purpose| self.nonces.is_ours(now, purpose, via, echo);
        if ours(Purpose::One(command.host)) {
            let here = |seen: SocketAddr| self.is_here(seen.ip());
            let relayed = match (&command.body, via) {
                (Body::Pong { seen, .. }, Via::Udp(_)) => !seen.is_some_and(here),
                _ => false,
            };
            Some(if relayed { Fresh::Relayed } else { Fresh::Direct })
        } else {
            ours(Purpose::Everybody).then_some(Fresh::Answer)
        }
    }

    /// Only where both clocks were ever set.
    fn is_expired(&self, command: &Command<'_>) -> bool {
        let set = self.wall.0 >= limits::LAN_CLOCK_IS_SET_MS;
        let tolerance = limits::LAN_CLOCK_TOLERANCE.as_millis() as i64;
        let over = |at: i64| at.saturating_add(tolerance) < self.wall.0;
        set && command.expires.is_some_and(|expires| over(expires.0))
    }

    fn obey(&mut self, now: Instant, via: Via, command: &Command<'_>, fresh: Fresh, bytes: &[u8]) {
        let (host, boot) = (command.host, command.boot);
        match &command.body {
            Body::Ping { challenge, record } => {
                let known = fresh == Fresh::Counter || matches!(via, Via::Peer(_));
                if known {
                    self.believe(now, via, command, *record, false);
                }
                self.pinged(now, via, command, (*challenge, bytes.len()));
            }
            Body::Pong { .. } if matches!(fresh, Fresh::Counter | Fresh::Unknown) => {
                self.counts.unasked += 1;
            }
            Body::Pong { challenge, record, .. } => {
                self.believe(now, via, command, *record, fresh == Fresh::Direct);
                if let Some(challenge) = challenge {
                    self.pong(via, host, *challenge, None, limits::LAN_DATAGRAM_BYTES);
                }
                if fresh == Fresh::Answer && !self.is_proven(host, boot, via) {
                    self.ping_one(now, host, via);
                }
            }
            Body::FindHost { challenge, wanted } => {
                self.answer_search(now, via, host, (*challenge, *wanted), bytes.len());
            }
            Body::Found { .. } => self.search_answered(now, via, command),
            Body::StoreHost { token, record } => {
                let proven = fresh == Fresh::Counter && self.is_proven(host, boot, via);
                if proven || self.nonces.is_ours(now, Purpose::Token(host), via, token) {
                    self.store(now, record, group_of(via));
                } else {
                    self.counts.tokens += 1;
                }
            }
            Body::Leaving => self.left(via, host, boot, bytes),
            Body::ShutdownHost { challenge, life } => {
                self.told_to_stop(via, command, *challenge, *life);
            }
            Body::Done { .. } if fresh == Fresh::Direct => {
                self.outputs.push_back(Output::Stopped { host });
            }
            Body::Done { .. } => self.counts.unasked += 1,
            Body::Unsupported { .. } => self.counts.unsupported += 1,
            Body::Other(kind) => self.refuse(now, via, (host, boot), *kind),
        }
    }

    /// A ping to us alone is answered; one to everybody if its sender is not known at that place.
    fn pinged(
        &mut self,
        now: Instant,
        via: Via,
        command: &Command<'_>,
        (challenge, length): (Nonce, usize),
    ) {
        let (host, boot) = (command.host, command.boot);
        if command.target.is_some() {
            self.answer_ping(now, host, via, challenge, length);
        } else if let Via::Udp(from) = via
            && !self.is_proven(host, boot, via)
        {
            self.answer_later(now, (host, boot), from, challenge, length);
        }
    }

    pub(super) fn is_proven(&mut self, host: HostId, boot: Boot, via: Via) -> bool {
        match via {
            Via::Peer(_) => true,
            Via::Udp(from) => self
                .table
                .get_mut(host, boot)
                .is_some_and(|known| known.is_live() && known.proven.contains(&from)),
        }
    }

    /// Records of who is wanted, else who is closer to it, in no more bytes than the question had.
    fn answer_search(
        &mut self,
        now: Instant,
        via: Via,
        host: HostId,
        (echo, wanted): (Nonce, HostId),
        length: usize,
    ) {
        let most = match via {
            Via::Udp(_) => length,
            Via::Peer(_) => limits::LAN_DATAGRAM_BYTES,
        };
        let Some(mut room) = most.checked_sub(FOUND_BYTES) else { return };
        // Who searches for himself wants to know who is close to him.
        let own = wanted == host;
        let records = if own { Vec::new() } else { self.records_of(now, wanted, room) };
        room = room.saturating_sub(records.len() + CONTACTS_HEAD_BYTES);
        let mut contacts: Vec<Contact> = Vec::new();
        if records.is_empty() {
            let most = (room / CONTACT_EACH_BYTES).min(limits::LAN_CLOSEST);
            let close = self.table.closest(wanted, limits::LAN_CLOSEST + 2).into_iter();
            let others = close.filter(|(other, addr)| {
                *other != host && *other != self.id && super::table::is_reachable(addr.ip())
            });
            contacts.extend(others.take(most).map(|(host, addr)| Contact { host, addr }));
        }
        let token = Some(self.nonces.make(now, Purpose::Token(host), via));
        let body = Body::Found { echo, token, records: &records, contacts };
        self.say(via, Some(host), body, 0);
    }

    /// Those of one host one after the other, live ones first, as many as there is room for.
    fn records_of(&self, now: Instant, wanted: HostId, room: usize) -> Vec<u8> {
        let mut records = Vec::new();
        let mut put = |bytes: &[u8]| {
            // The lengths of the record and of the field around it.
            if records.len() + bytes.len() + 8 <= room {
                crate::codec::compact::put_buffer(bytes, &mut records);
            }
        };
        if wanted == self.id
            && let Some((own, _)) = &self.record
        {
            put(own.bytes());
        }
        for live in [true, false] {
            let known = self.table.iter().filter(|known| known.host() == wanted);
            let known = known.filter(|known| known.is_live() == live && known.expires > now);
            known.for_each(|known| put(known.record.bytes()));
        }
        records
    }

    /// Who says that he ends is forgotten, and the word passed on once: whoever hears it again has
    /// forgotten him already.
    fn left(&mut self, via: Via, host: HostId, boot: Boot, bytes: &[u8]) {
        if !self.table.leave(host, boot) {
            return;
        }
        let mut others = self.table.closest(self.id, limits::LAN_HOSTS);
        others.retain(|(_, addr)| via != Via::Udp(*addr));
        self.rng.shuffle(&mut others);
        others.truncate(limits::LAN_PASSED_ON);
        for (_, addr) in others {
            self.send(Via::Udp(addr), bytes.to_vec());
        }
        for peer in self.peers.clone() {
            if peer != host && via != Via::Peer(peer) {
                self.send(Via::Peer(peer), bytes.to_vec());
            }
        }
    }

    /// Good for this life of this process alone, so that it can be said once.
    fn told_to_stop(&mut self, via: Via, command: &Command<'_>, echo: Nonce, life: Boot) {
        let by = command.host;
        let to_us = command.target == Some(self.id) && life == self.boot;
        if !to_us || !self.stoppers.contains(&by) {
            self.counts.unauthorised += 1;
            return;
        }
        self.say(via, Some(by), Body::Done { echo }, 0);
        self.outputs.push_back(Output::Stop { by });
        self.leave();
    }

    /// A command that is not known here: whoever is known himself is told so, now and then.
    fn refuse(&mut self, now: Instant, via: Via, (host, boot): (HostId, Boot), kind: u64) {
        self.counts.unknown += 1;
        if !self.is_proven(host, boot, via) {
            return;
        }
        let Some(known) = self.table.get_mut(host, boot) else { return };
        let lately = |at| now.since(at) < limits::LAN_UNSUPPORTED_EVERY;
        if !known.refused.is_some_and(lately) {
            known.refused = Some(now);
            self.say(via, Some(host), Body::Unsupported { kind }, 0);
        }
    }

    /// Whether one of two hosts is closer to a third.
    pub(super) fn is_closer(to: HostId, one: HostId, other: HostId) -> bool {
        distance(to, one) < distance(to, other)
    }
}

/// Who told of something, as far as his share is concerned.
pub(super) fn group_of(via: Via) -> Group {
    match via {
        Via::Udp(addr) => Group::of(addr.ip()),
        Via::Peer(host) => Group::of_host(host),
    }
}

/// A process is heard: what was silent is live.
pub(super) fn revived(state: State, counter: u64) -> State {
    match state {
        State::Live { window } | State::Silent { window, .. } => State::Live { window },
        State::Told { .. } | State::Kept => {
            State::Live { window: super::fresh::Window::new(counter) }
        }
    }
}
