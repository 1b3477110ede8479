//! Who is there? Asked of everybody at times, of single hosts that were not heard for long, and
//! answered to strangers after a moment.

use std::net::SocketAddr;
use std::time::Duration;

use super::table::State;
use super::{Hosts, Purpose, Via};
use crate::host::HostId;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::Boot;
use crate::wire::host::datagram::{Body, Nonce};

/// When who is pinged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pings {
    /// Everybody, and how often it was since something changed.
    everybody: Option<(Instant, usize)>,
    /// Single hosts, and how often it was since they were due.
    single: Option<Instant>,
    /// Our record is stored with the hosts closest to us.
    publish: Option<Instant>,
}

impl Pings {
    pub fn next_deadline(&self) -> Option<Instant> {
        let everybody = self.everybody.map(|(at, _)| at);
        [everybody, self.single, self.publish].into_iter().flatten().min()
    }
}

/// A stranger whose ping is answered at a time.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub at: Instant,
    host: HostId,
    boot: Boot,
    from: SocketAddr,
    echo: Nonce,
    /// Bytes that he sent.
    length: usize,
}

impl Hosts {
    /// Something about us is new: everybody is pinged at once, and twice again.
    pub(super) fn ping_soon(&mut self, now: Instant) {
        self.pings.everybody = Some((now, 0));
        self.pings.publish = Some(now + limits::LAN_PUBLISH_AFTER);
        self.ping(now);
    }

    pub(super) fn ping(&mut self, now: Instant) {
        if self.pings.publish.is_some_and(|at| at <= now) {
            self.republish(now);
        }
        if let Some((at, count)) = self.pings.everybody
            && at <= now
        {
            self.table.expire(now);
            self.ping_everybody(now);
            let (low, high) = limits::LAN_PING_EVERY_MS;
            let usual = || Duration::from_millis(self.rng.between(low, high));
            let after = limits::LAN_PING_REPEATS.get(count).copied().unwrap_or_else(usual);
            self.pings.everybody = Some((now + after, count + 1));
            self.pings.single.get_or_insert(now);
        }
        if self.pings.single.is_some_and(|at| at <= now) {
            self.ping_silent(now);
        }
    }

    fn ping_everybody(&mut self, now: Instant) {
        let Some((record, _)) = self.record.clone() else { return };
        let to = Via::Peer(self.id);
        let challenge = self.nonces.make(now, Purpose::Everybody, to);
        let body = Body::Ping { challenge, record: Some(record.bytes()) };
        let bytes = self.sign(None, body, limits::LAN_PING_BYTES);
        self.cast(&bytes);
    }

    /// Asks one host whether it is where we think.
    pub(super) fn ping_one(&mut self, now: Instant, host: HostId, via: Via) {
        let Some((record, _)) = self.record.clone() else { return };
        let challenge = self.nonces.make(now, Purpose::One(host), via);
        let body = Body::Ping { challenge, record: Some(record.bytes()) };
        self.say(via, Some(host), body, limits::LAN_PING_BYTES);
    }

    /// Asks those that were not heard for long, and gives those up that were asked often enough.
    fn ping_silent(&mut self, now: Instant) {
        let mut asked: Vec<(HostId, SocketAddr)> = Vec::new();
        let mut count = 0;
        for known in self.table.iter_mut() {
            let due = match known.state() {
                State::Live { .. } => known.heard + limits::LAN_SILENCE <= now,
                State::Silent { again, .. } => again <= now,
                State::Told { .. } | State::Kept => {
                    known.tries <= limits::LAN_PING_REPEATS.len() as u32
                }
            };
            if !due || count >= limits::LAN_ASKED_AT_ONCE {
                continue;
            }
            if known.tries > limits::LAN_PING_REPEATS.len() as u32 {
                let again = now + limits::LAN_SILENT_AGAIN;
                if let Some(window) = known.window().copied() {
                    known.set_state(State::Silent { window, again });
                    // Should it come back, it is found anew.
                    (known.offered, known.tries) = (Vec::new(), 0);
                }
                continue;
            }
            known.tries += 1;
            count += 1;
            asked.extend(known.places().into_iter().map(|addr| (known.host(), addr)));
        }
        self.pings.single = (count > 0).then(|| now + limits::LAN_PING_REPEATS[1]);
        for (host, addr) in asked {
            self.ping_one(now, host, Via::Udp(addr));
        }
    }

    /// Looks at single hosts soon: one became known that has to be asked.
    pub(super) fn ask_soon(&mut self, now: Instant) {
        self.pings.single = Some(now);
    }

    /// Our record is stored with the hosts that are closest to us; a new one, once the last is as old
    /// as that takes.
    fn republish(&mut self, now: Instant) {
        self.pings.publish = Some(now + limits::LAN_REPUBLISH);
        if let Some((record, at)) = &self.record {
            if now.since(*at) >= limits::LAN_REPUBLISH {
                let addresses = record.record().addresses.clone();
                self.sign_record(now, addresses);
            }
            self.publish(now);
        }
    }

    /// A stranger has pinged everybody: he is answered after a moment that differs from host to host.
    pub(super) fn answer_later(
        &mut self,
        now: Instant,
        (host, boot): (HostId, Boot),
        from: SocketAddr,
        echo: Nonce,
        length: usize,
    ) {
        if let Some(waiting) = self.waiting.iter_mut().find(|w| (w.host, w.boot) == (host, boot)) {
            (waiting.from, waiting.echo, waiting.length) = (from, echo, length);
            return;
        }
        if self.waiting.len() < limits::LAN_PONGS_WAITING {
            let delay = Duration::from_millis(self.rng.below(limits::LAN_PONG_DELAY_MS + 1));
            let at = now + delay;
            self.waiting.push(Waiting { at, host, boot, from, echo, length });
        }
    }

    pub(super) fn answer_strangers(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.waiting.retain(|waiting| {
            let later = waiting.at > now;
            if !later {
                due.push(waiting.clone());
            }
            later
        });
        for Waiting { host, boot, from, echo, length, .. } in due {
            let known = self.table.get_mut(host, boot);
            // It may have been met by another way meanwhile.
            if !known.is_some_and(|known| known.is_live() && known.proven.contains(&from)) {
                self.answer_ping(now, host, Via::Udp(from), echo, length);
            }
        }
    }

    /// Who we are, in no more bytes than the other side sent, and the same question back.
    pub(super) fn answer_ping(
        &mut self,
        now: Instant,
        host: HostId,
        via: Via,
        echo: Nonce,
        length: usize,
    ) {
        let challenge = Some(self.nonces.make(now, Purpose::One(host), via));
        self.pong(via, host, echo, challenge, length);
    }

    pub(super) fn pong(
        &mut self,
        via: Via,
        host: HostId,
        echo: Nonce,
        challenge: Option<Nonce>,
        most: usize,
    ) {
        let Some((record, _)) = self.record.clone() else { return };
        let seen = match via {
            Via::Udp(addr) => Some(addr),
            Via::Peer(_) => None,
        };
        for record in [Some(record.bytes()), None] {
            let bytes = self.sign(Some(host), Body::Pong { echo, challenge, record, seen }, 0);
            if bytes.len() <= most {
                self.send(via, bytes);
                return;
            }
        }
    }
}
