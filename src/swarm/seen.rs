//! Where others see us: what one of them says is his word, what most networks say is so (CHECKLIST K08).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{EVERYWHERE, network_of, realm};
use crate::limits::{SEEN_BY, SEEN_FOR, SEEN_LEAST};
use crate::time::Instant;

/// The last word of each network.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<(bool, IpAddr), (IpAddr, Instant)>);

impl Seen {
    /// Somebody at `by` sees us at `at`. Only who is anywhere in the world tells of what is good anywhere.
    pub fn told(&mut self, now: Instant, by: IpAddr, at: IpAddr) {
        let at = at.to_canonical();
        if realm(by) != EVERYWHERE || realm(at) != EVERYWHERE {
            return;
        }
        self.0.insert((at.is_ipv6(), network_of(by)), (at, now));
        if self.0.len() > SEEN_BY
            && let Some((oldest, _)) = self.0.iter().min_by_key(|(_, (_, when))| *when)
        {
            let oldest = *oldest;
            self.0.remove(&oldest);
        }
    }

    /// Where we are, of each family: what more than half of the networks say that have said anything lately.
    pub fn believed(&self, now: Instant) -> Vec<IpAddr> {
        [false, true].into_iter().filter_map(|v6| self.of_family(now, v6)).collect()
    }

    fn of_family(&self, now: Instant, v6: bool) -> Option<IpAddr> {
        let lately = |when: &Instant| now.since(*when) < SEEN_FOR;
        let votes = self.0.iter().filter(|((of, _), (_, when))| *of == v6 && lately(when));
        let (mut counts, mut all) = (BTreeMap::new(), 0);
        for (_, (at, _)) in votes {
            *counts.entry(*at).or_insert(0) += 1;
            all += 1;
        }
        let (at, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        (count >= SEEN_LEAST && 2 * count > all).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const T0: Instant = Instant(1_000_000_000);

    fn net(n: u8) -> IpAddr {
        [80, 1, n, 1].into()
    }

    fn ours() -> IpAddr {
        [203, 0, 112, 5].into()
    }

    #[test]
    fn k08_most_networks_have_to_agree_and_one_alone_says_nothing_however_often() {
        let mut seen = Seen::default();
        for n in 0..100u8 {
            seen.told(T0, [80, 1, 1, n].into(), ours());
        }
        assert!(seen.believed(T0).is_empty());
        seen.told(T0, net(2), ours());
        assert!(seen.believed(T0).is_empty());
        seen.told(T0, net(3), ours());
        assert_eq!(seen.believed(T0), [ours()]);
        // As many who say something else, whatever each says.
        for n in 10..13 {
            seen.told(T0, net(n), [203, 0, 112, n].into());
        }
        assert!(seen.believed(T0).is_empty());
        seen.told(T0, net(4), ours());
        assert_eq!(seen.believed(T0), [ours()]);
    }

    #[test]
    fn k08_liars_of_one_network_are_one_and_an_address_of_another_realm_is_none() {
        let mut seen = Seen::default();
        for n in 1..=3 {
            seen.told(T0, net(n), ours());
        }
        for n in 0..=255u8 {
            seen.told(T0, [90, 1, 1, n].into(), [66, 6, 6, 6].into());
        }
        assert_eq!(seen.believed(T0), [ours()]);
        for (by, at) in [
            ([10, 0, 0, 1], [66, 6, 6, 6]),
            ([80, 2, 1, 1], [192, 168, 1, 7]),
            ([80, 3, 1, 1], [127, 0, 0, 1]),
        ] {
            let mut seen = Seen::default();
            for n in 0..200 {
                let by = [by[0], by[1], n, 1];
                seen.told(T0, by.into(), at.into());
            }
            assert!(seen.0.is_empty() && seen.believed(T0).is_empty());
        }
    }

    #[test]
    fn k08_old_words_expire_new_ones_take_their_place_and_the_table_is_bounded() {
        let mut seen = Seen::default();
        let six: IpAddr = "2001:db8::7".parse().unwrap();
        for n in 1..=3 {
            seen.told(T0, net(n), ours());
            seen.told(T0, net(n), six);
        }
        assert_eq!(seen.believed(T0), [ours(), six]);
        let moved: IpAddr = [203, 0, 112, 99].into();
        (1..=3).for_each(|n| seen.told(T0 + SEEN_FOR / 2, net(n), moved));
        assert_eq!(seen.believed(T0 + SEEN_FOR / 2), [moved, six]);
        assert_eq!(seen.believed(T0 + SEEN_FOR), [moved]);
        assert!(seen.believed(T0 + 2 * SEEN_FOR).is_empty());
        for n in 0..=255 {
            seen.told(T0 + Duration::from_secs(u64::from(n)), net(n), ours());
        }
        assert_eq!(seen.0.len(), SEEN_BY);
    }
}
