//! Where others see us: what one of them says is his word, what most networks say is so (CHECKLIST K08).
//! Only addresses: the port of a connection is nobody's listener.

use std::net::IpAddr;

use super::{EVERYWHERE, network_of, realm};
use crate::ids::ConnId;
use crate::limits::{SEEN_BY, SEEN_FOR, SEEN_LEAST};
use crate::time::Instant;

/// The last word of a network about one family.
#[derive(Clone, Copy, Debug)]
struct Word {
    network: IpAddr,
    at: IpAddr,
    /// Who said it.
    conn: ConnId,
    /// He has left, and it counts until then.
    until: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct Seen {
    /// The latest last.
    words: Vec<Word>,
    /// One of each family at most.
    believed: Vec<IpAddr>,
}

impl Seen {
    /// A peer at `by` sees us at `at`. Only who is anywhere in the world tells of what is good anywhere.
    /// True if something else is believed now.
    pub fn told(&mut self, now: Instant, conn: ConnId, by: IpAddr, at: IpAddr) -> bool {
        let at = at.to_canonical();
        if realm(by) != EVERYWHERE || realm(at) != EVERYWHERE {
            return false;
        }
        let network = network_of(by);
        self.words.retain(|word| word.network != network || word.at.is_ipv6() != at.is_ipv6());
        if self.words.len() == SEEN_BY {
            let left = self.words.iter().position(|word| word.until.is_some());
            self.words.remove(left.unwrap_or(0));
        }
        self.words.push(Word { network, at, conn, until: None });
        self.count(now)
    }

    /// A connection is over: what its peer said counts for a while.
    pub fn parted(&mut self, now: Instant, conn: ConnId) {
        for word in self.words.iter_mut().filter(|word| word.conn == conn) {
            word.until.get_or_insert(now + SEEN_FOR);
        }
    }

    /// Where we are, of each family: what more than half of the networks say that have said anything.
    pub fn believed(&self) -> &[IpAddr] {
        &self.believed
    }

    /// When a word ceases to count.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.words.iter().filter_map(|word| word.until).min()
    }

    /// Forgets words that do not count any more. True if something else is believed now.
    pub fn expire(&mut self, now: Instant) -> bool {
        self.next_deadline().is_some_and(|at| at <= now) && self.count(now)
    }

    fn count(&mut self, now: Instant) -> bool {
        self.words.retain(|word| word.until.is_none_or(|until| until > now));
        let believed: Vec<IpAddr> =
            [false, true].into_iter().filter_map(|v6| self.of_family(v6)).collect();
        let changed = believed != self.believed;
        self.believed = believed;
        changed
    }

    fn of_family(&self, v6: bool) -> Option<IpAddr> {
        let words = || self.words.iter().filter(|word| word.at.is_ipv6() == v6);
        let votes = |at: IpAddr| words().filter(|word| word.at == at).count();
        let best = words().map(|word| word.at).find(|at| 2 * votes(*at) > words().count())?;
        (votes(best) >= SEEN_LEAST).then_some(best)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Instant = Instant(1_000_000_000);
    const NOWHERE: [IpAddr; 0] = [];

    fn net(n: u8) -> IpAddr {
        [80, 1, n, 1].into()
    }

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn ours() -> IpAddr {
        [203, 0, 112, 5].into()
    }

    fn told(seen: &mut Seen, by: IpAddr, at: IpAddr) -> bool {
        seen.told(T0, conn(1), by, at)
    }

    #[test]
    fn k08_most_networks_have_to_agree_and_one_alone_says_nothing_however_often() {
        let mut seen = Seen::default();
        for n in 0..100u8 {
            assert!(!told(&mut seen, [80, 1, 1, n].into(), ours()));
        }
        assert!(!told(&mut seen, net(2), ours()));
        assert_eq!(seen.believed(), NOWHERE);
        assert!(told(&mut seen, net(3), ours()));
        assert_eq!(seen.believed(), [ours()]);
        // As many who say something else, whatever each says.
        for n in 10..13 {
            told(&mut seen, net(n), [203, 0, 112, n].into());
        }
        assert_eq!(seen.believed(), NOWHERE);
        assert!(told(&mut seen, net(4), ours()));
        assert_eq!(seen.believed(), [ours()]);
    }

    #[test]
    fn k08_liars_of_one_network_are_one_and_an_address_of_another_realm_is_none() {
        let mut seen = Seen::default();
        for n in 1..=3 {
            told(&mut seen, net(n), ours());
        }
        for n in 0..=255u8 {
            told(&mut seen, [90, 1, 1, n].into(), [66, 6, 6, 6].into());
        }
        assert_eq!(seen.believed(), [ours()]);
        for (by, at) in [
            ([10, 0, 0, 1], [66, 6, 6, 6]),
            ([80, 2, 1, 1], [192, 168, 1, 7]),
            ([80, 3, 1, 1], [127, 0, 0, 1]),
        ] {
            let mut seen = Seen::default();
            for n in 0..200 {
                let by = [by[0], by[1], n, 1];
                told(&mut seen, by.into(), at.into());
            }
            assert!(seen.words.is_empty() && seen.believed().is_empty());
        }
    }

    #[test]
    fn k08_a_word_counts_while_its_peer_is_there_and_for_a_while_after() {
        let mut seen = Seen::default();
        let six: IpAddr = "2001:db8::7".parse().unwrap();
        for n in 1..=3 {
            seen.told(T0, conn(n), net(n as u8), ours());
            seen.told(T0, conn(n), net(n as u8), six);
        }
        assert_eq!((seen.believed(), seen.next_deadline()), (&[ours(), six][..], None));
        // Who comes back sees us elsewhere; that his older connection ends says nothing.
        let moved: IpAddr = [203, 0, 112, 99].into();
        (1..=3).for_each(|n| _ = seen.told(T0, conn(10 + n), net(n as u8), moved));
        assert_eq!(seen.believed(), [moved, six]);
        seen.parted(T0, conn(1));
        assert_eq!(seen.next_deadline(), Some(T0 + SEEN_FOR), "what it said of the other family");
        assert!(!seen.expire(T0) && seen.expire(T0 + SEEN_FOR));
        assert_eq!((seen.believed(), seen.next_deadline()), (&[moved][..], None));
    }

    #[test]
    fn k08_the_table_is_bounded_and_who_has_left_goes_first() {
        let mut seen = Seen::default();
        for n in 0..SEEN_BY as u32 {
            seen.told(T0, conn(n), net(n as u8), ours());
        }
        seen.parted(T0, conn(7));
        for n in 200..202 {
            seen.told(T0, conn(n), net(n as u8), ours());
        }
        assert_eq!(seen.words.len(), SEEN_BY);
        assert!(seen.words.iter().all(|word| word.conn != conn(7) && word.conn != conn(0)));
    }

    proptest! {
        #[test]
        fn k08_whatever_is_said_only_a_majority_of_networks_is_believed(
            said in prop::collection::vec((0u8..3, 0u8..8, 0u8..3, any::<bool>()), 0..80),
        ) {
            let (mut seen, mut now) = (Seen::default(), T0);
            for (slot, (kind, network, at, leaves)) in said.into_iter().enumerate() {
                let first = [10, 80, 90][usize::from(kind)];
                let (by, at) = ([first, network, 1, 1], [203, 0, 112, at]);
                seen.told(now, conn(slot as u32), by.into(), at.into());
                if leaves {
                    seen.parted(now, conn(slot as u32));
                    now += SEEN_FOR / 8;
                    seen.expire(now);
                }
                prop_assert!(seen.words.len() <= SEEN_BY && seen.believed().len() <= 1);
                for at in seen.believed() {
                    let votes = seen.words.iter().filter(|word| word.at == *at).count();
                    prop_assert!(votes >= SEEN_LEAST && 2 * votes > seen.words.len());
                }
            }
        }
    }
}
