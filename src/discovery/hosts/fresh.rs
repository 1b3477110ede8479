//! What shows that something was said just now: a counter not seen before, or an answer that repeats
//! what we drew. No clock of another machine is needed for either.

use std::net::SocketAddr;
use std::time::Duration;

use super::Via;
use crate::crypto::hyper;
use crate::host::HostId;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::datagram::{NONCE_BYTES, Nonce};

/// Counters of one process that were seen: the highest and the 64 below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    /// Bit n: `highest - n`.
    seen: u64,
}

impl Window {
    pub fn new(counter: u64) -> Window {
        Window { highest: counter, seen: 1 }
    }

    /// Whether a counter is new, and then it is so no longer. One too far below the highest counts
    /// as seen.
    pub fn take(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let by = counter - self.highest;
            self.seen = if by < 64 { self.seen << by | 1 } else { 1 };
            self.highest = counter;
            return true;
        }
        let below = self.highest - counter;
        let new = below < 64 && self.seen >> below & 1 == 0;
        if new {
            self.seen |= 1 << below;
        }
        new
    }
}

/// What a nonce is for: one cannot stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Asked of everybody who hears it.
    Everybody,
    /// Asked of one host at one place.
    One(HostId),
    /// For a search, asked of one host.
    Search { of: HostId, wanted: HostId },
    /// The right of one host to store something.
    Token(HostId),
}

/// Makes what others have to repeat, and knows it again without remembering it.
pub(super) struct Nonces {
    secret: [u8; 32],
}

impl Nonces {
    pub fn new(secret: [u8; 32]) -> Nonces {
        Nonces { secret }
    }

    pub fn make(&self, now: Instant, purpose: Purpose, to: Via) -> Nonce {
        self.of(epoch(now, purpose), purpose, to)
    }

    pub fn is_ours(&self, now: Instant, purpose: Purpose, from: Via, nonce: &Nonce) -> bool {
        let epoch = epoch(now, purpose);
        [Some(epoch), epoch.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|epoch| self.of(epoch, purpose, from) == *nonce)
    }

    fn of(&self, epoch: u64, purpose: Purpose, via: Via) -> Nonce {
        let (number, hosts) = match purpose {
            Purpose::Everybody => (0, [[0; 32]; 2]),
            Purpose::One(host) => (1, [host.0, [0; 32]]),
            Purpose::Search { of, wanted } => (2, [of.0, wanted.0]),
            Purpose::Token(host) => (3, [host.0, [0; 32]]),
        };
        let place = match via {
            // Whoever of all that hear it.
            _ if purpose == Purpose::Everybody => Vec::new(),
            Via::Udp(addr) => place(addr),
            Via::Peer(host) => host.0.to_vec(),
        };
        let parts: [&[u8]; 6] =
            [&self.secret, &epoch.to_le_bytes(), &[number], &hosts[0], &hosts[1], &place];
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hyper::hash(&parts)[..NONCE_BYTES]);
        nonce
    }
}

fn place(addr: SocketAddr) -> Vec<u8> {
    let port = addr.port().to_le_bytes();
    match addr {
        SocketAddr::V4(addr) => [addr.ip().octets().as_slice(), &port].concat(),
        SocketAddr::V6(addr) => {
            [addr.ip().octets().as_slice(), &port, &addr.scope_id().to_le_bytes()].concat()
        }
    }
}

fn epoch(now: Instant, purpose: Purpose) -> u64 {
    let length: Duration = match purpose {
        Purpose::Token(_) => limits::LAN_TOKEN_EPOCH,
        _ => limits::LAN_ECHO_EPOCH,
    };
    now.0 / length.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn m06_a_counter_is_taken_once(counters in prop::collection::vec(0u64..200, 1..300)) {
            let mut window = Window::new(counters[0]);
            let mut taken = vec![counters[0]];
            for counter in &counters[1..] {
                let highest = *taken.iter().max().expect("there is one");
                let new = !taken.contains(counter) && counter + 64 > highest;
                prop_assert_eq!(window.take(*counter), new, "{} at {}", counter, highest);
                if new {
                    taken.push(*counter);
                }
            }
        }
    }

    #[test]
    fn m06_a_window_ends_where_numbers_do() {
        let mut window = Window::new(0);
        assert!(window.take(u64::MAX) && !window.take(u64::MAX) && !window.take(0));
        assert!(window.take(u64::MAX - 63) && !window.take(u64::MAX - 64));
    }

    #[test]
    fn what_we_drew_is_known_for_its_time_its_place_and_its_purpose() {
        let nonces = Nonces::new([1; 32]);
        let (one, two) = (HostId([1; 32]), HostId([2; 32]));
        let at = |port| Via::Udp(([10, 0, 0, 1], port).into());
        let now = Instant(3_600_000_000);
        let nonce = nonces.make(now, Purpose::One(one), at(1));
        let ours = |now, purpose, at| nonces.is_ours(now, purpose, at, &nonce);
        assert!(ours(now, Purpose::One(one), at(1)));
        assert!(ours(now + limits::LAN_ECHO_EPOCH, Purpose::One(one), at(1)));
        assert!(!ours(now + 2 * limits::LAN_ECHO_EPOCH, Purpose::One(one), at(1)));
        assert!(!ours(now, Purpose::One(two), at(1)));
        assert!(!ours(now, Purpose::One(one), at(2)));
        assert!(!ours(now, Purpose::One(one), Via::Peer(one)));
        assert!(!ours(now, Purpose::Token(one), at(1)));
        assert!(!ours(now, Purpose::Everybody, at(1)));
        assert!(!Nonces::new([2; 32]).is_ours(now, Purpose::One(one), at(1), &nonce));
        let all = nonces.make(now, Purpose::Everybody, at(1));
        assert!(nonces.is_ours(now, Purpose::Everybody, at(2), &all));
    }
}
