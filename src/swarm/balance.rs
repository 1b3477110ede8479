//! How many peers there should be, all topics together, and who goes when there is no room: below the
//! minimum everybody is dialled until the target is reached; above it only for what nobody else has; at
//! the maximum who comes is refused, unless somebody is less worth keeping (CHECKLIST N01 to N10).
//!
//! Pure decisions about numbers and seats. Knows no connection and no address book.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::network_of;
use crate::limits::{
    DIVERSE_KEPT, EVICT_EVERY, FAST_KEPT, MAX_PEERS, MIN_PEERS, PEER_GRACE, TARGET_PEERS,
    USEFUL_KEPT,
};
use crate::time::Instant;

/// Of peers, not of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: usize,
    pub target: usize,
    pub max: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { min: MIN_PEERS, target: TARGET_PEERS, max: MAX_PEERS }
    }
}

/// Why there may be one more, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Yes,
    /// If somebody goes.
    Instead,
    No,
}

/// A peer as far as keeping it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat<K> {
    pub key: K,
    pub since: Instant,
    /// The user named it.
    pub configured: bool,
    /// It is the only one for something that is to be fetched or served.
    pub only: bool,
    /// It can do without us, it says.
    pub spare: bool,
    /// Smoothed time from request to answer, if there was one.
    pub delay: Option<Duration>,
    /// Bytes of blocks both ways.
    pub useful: u64,
    pub ip: Option<IpAddr>,
}

/// Somebody for whom another one may have to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comer {
    /// It has fewer peers than it needs, it says.
    pub needy: bool,
    /// Where it comes from.
    pub ip: Option<IpAddr>,
}

/// What speaks for keeping a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Merit {
    Configured,
    /// Nobody else is there for something.
    Needed,
    Useful,
    Fast,
    Diverse,
    LongLived,
    /// It has not had time to show what it is worth.
    New,
}

impl Merit {
    pub fn name(self) -> &'static str {
        match self {
            Merit::Configured => "configured",
            Merit::Needed => "needed",
            Merit::Useful => "useful",
            Merit::Fast => "fast",
            Merit::Diverse => "diverse",
            Merit::LongLived => "long-lived",
            Merit::New => "new",
        }
    }
}

/// Keeps the number of peers.
#[derive(Clone, Debug)]
pub struct Balance {
    bounds: Bounds,
    /// There were too few, and there are not enough yet.
    growing: bool,
    /// When somebody last had to go.
    evicted: Option<Instant>,
}

impl Balance {
    pub fn new(bounds: Bounds) -> Balance {
        let mut balance = Balance { bounds: Bounds::default(), growing: true, evicted: None };
        balance.set_bounds(bounds);
        balance
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whatever is said, the minimum is not above the target, nor that above the maximum.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        let max = bounds.max.max(1);
        let target = bounds.target.clamp(1, max);
        self.bounds = Bounds { min: bounds.min.min(target), target, max };
    }

    /// There are so many peers now.
    pub fn count(&mut self, peers: usize) {
        if peers < self.bounds.min {
            self.growing = true;
        } else if peers >= self.bounds.target {
            self.growing = false;
        }
    }

    /// Whether more peers are wanted, whoever they are.
    pub fn wants_more(&self) -> bool {
        self.growing
    }

    /// Whether to dial for a topic, with so many peers and dials under way; `alone`: it has no peer.
    pub fn may_dial(&self, peers: usize, dialing: usize, alone: bool) -> bool {
        let most = if self.growing { self.bounds.target } else { 0 };
        let coming = peers + dialing;
        coming < most || alone && coming < self.bounds.max
    }

    /// Whether there is room for one more that is not there in any way yet.
    pub fn room(&self, now: Instant, peers: usize, configured: bool) -> Room {
        if peers < self.bounds.max {
            Room::Yes
        } else if configured || self.may_evict(now) {
            Room::Instead
        } else {
            Room::No
        }
    }

    /// One decision at a time: who has just come has to show first what it is worth (N05).
    fn may_evict(&self, now: Instant) -> bool {
        self.evicted.is_none_or(|last| now.since(last) >= EVICT_EVERY)
    }

    /// So many peers are too many.
    pub fn surplus(&self, peers: usize) -> usize {
        peers.saturating_sub(self.bounds.max)
    }

    /// Who goes for somebody else: of those that nothing speaks for, the youngest of the network, and of
    /// the address there, that has the most of them. `None`: everybody is worth keeping, or is too young to be judged.
    ///
    /// For one in need the young go, too, if they can do without us: where everybody has come at once,
    /// nobody is older. Who comes takes the place of one of its own address, or of its own network, where
    /// there are such: with any number of keys nobody gets more places than he has networks.
    pub fn evict<K: Copy>(&mut self, now: Instant, comer: Comer, seats: &[Seat<K>]) -> Option<K> {
        let loser = self.least(now, comer, seats)?;
        self.evicted = Some(now);
        Some(seats[loser].key)
    }

    /// Who goes because there are too many: as [`Balance::evict`], and if nobody can be spared, the
    /// youngest that the user has not named.
    pub fn trim<K: Copy>(&mut self, now: Instant, seats: &[Seat<K>]) -> Option<K> {
        let youngest = || {
            let others = (0..seats.len()).filter(|at| !seats[*at].configured);
            others.max_by_key(|at| seats[*at].since)
        };
        let loser = self.least(now, Comer { needy: true, ip: None }, seats).or_else(youngest)?;
        self.evicted = Some(now);
        Some(seats[loser].key)
    }

    /// What speaks for keeping each, if anything does.
    pub fn merits<K>(&self, now: Instant, seats: &[Seat<K>]) -> Vec<Option<Merit>> {
        merits(now, self.bounds.max, seats)
    }

    /// For whom anybody could go.
    pub fn look<K>(&self, now: Instant, seats: &[Seat<K>]) -> Look {
        let mut look = Look::default();
        for (seat, merit) in seats.iter().zip(self.merits(now, seats)) {
            for needy in [false, true] {
                let could = seat.goes(merit, needy);
                let note = |of: &mut [bool; 2]| of[usize::from(needy)] |= could;
                note(&mut look.any);
                if let Some(ip) = seat.ip {
                    note(look.hosts.entry(ip.to_canonical()).or_default());
                    note(look.networks.entry(network_of(ip)).or_default());
                }
            }
        }
        look
    }

    fn least<K>(&self, now: Instant, comer: Comer, seats: &[Seat<K>]) -> Option<usize> {
        let merits = self.merits(now, seats);
        let host = |at: usize| seats[at].ip.map(|ip| ip.to_canonical());
        let network = |at: usize| seats[at].ip.map(network_of);
        let (own, home) = (comer.ip.map(|ip| ip.to_canonical()), comer.ip.map(network_of));
        let all = || 0..seats.len();
        let near: Vec<usize> = match () {
            () if own.is_some() && all().any(|at| host(at) == own) => {
                all().filter(|at| host(*at) == own).collect()
            }
            () if home.is_some() && all().any(|at| network(at) == home) => {
                all().filter(|at| network(*at) == home).collect()
            }
            () => all().collect(),
        };
        let goes = |at: &usize| seats[*at].goes(merits[*at], comer.needy);
        let spare: Vec<usize> = near.into_iter().filter(goes).collect();
        let (mut hosts, mut networks) = (BTreeMap::new(), BTreeMap::new());
        for at in &spare {
            *hosts.entry(host(*at)).or_insert(0) += 1;
            *networks.entry(network(*at)).or_insert(0) += 1;
        }
        let rank = |at: &usize| {
            let crowd = (networks.get(&network(*at)).copied(), hosts.get(&host(*at)).copied());
            (crowd, seats[*at].spare, seats[*at].since)
        };
        spare.iter().copied().max_by_key(rank)
    }
}

impl<K> Seat<K> {
    /// Whether it can go for somebody else.
    fn goes(&self, merit: Option<Merit>, needy: bool) -> bool {
        match merit {
            // Who cannot spare us would come back at once, in somebody else's place.
            None => needy || self.spare,
            Some(Merit::New) => needy && self.spare,
            Some(_) => false,
        }
    }
}

/// For whom somebody could go at one moment, so that a crowd at the door costs little: not for one in
/// need, and for one in need.
#[derive(Clone, Debug, Default)]
pub struct Look {
    any: [bool; 2],
    hosts: BTreeMap<IpAddr, [bool; 2]>,
    networks: BTreeMap<IpAddr, [bool; 2]>,
}

impl Look {
    /// What [`Balance::evict`] would find.
    pub fn could(&self, comer: Comer) -> bool {
        let near = comer.ip.and_then(|ip| {
            self.hosts.get(&ip.to_canonical()).or_else(|| self.networks.get(&network_of(ip)))
        });
        near.unwrap_or(&self.any)[usize::from(comer.needy)]
    }
}

/// What speaks for each of at most `max`, if anything does.
fn merits<K>(now: Instant, max: usize, seats: &[Seat<K>]) -> Vec<Option<Merit>> {
    // Where there are few, three quarters of them are not kept for what they are good at.
    let kept = |most: usize| most.min(max / 4);
    let mut merits: Vec<Option<Merit>> = seats
        .iter()
        .map(|seat| match seat {
            Seat { configured: true, .. } => Some(Merit::Configured),
            Seat { only: true, .. } => Some(Merit::Needed),
            Seat { since, .. } if now.since(*since) < PEER_GRACE => Some(Merit::New),
            _ => None,
        })
        .collect();
    let useful = |seat: &Seat<K>| (seat.useful > 0).then_some(u64::MAX - seat.useful);
    award(&mut merits, seats, Merit::Useful, kept(USEFUL_KEPT), useful);
    let fast = |seat: &Seat<K>| seat.delay.map(|delay| delay.as_micros() as u64);
    award(&mut merits, seats, Merit::Fast, kept(FAST_KEPT), fast);
    diversify(&mut merits, kept(DIVERSE_KEPT), seats);
    // Of those who are left, the half that is here longest.
    let left = merits.iter().filter(|merit| merit.is_none()).count();
    award(&mut merits, seats, Merit::LongLived, left / 2, |seat| Some(seat.since.0));
    merits
}

/// Gives a merit to the `most` least of those that have none yet.
fn award<K>(
    merits: &mut [Option<Merit>],
    seats: &[Seat<K>],
    merit: Merit,
    most: usize,
    value: impl Fn(&Seat<K>) -> Option<u64>,
) {
    let open = (0..seats.len()).filter(|at| merits[*at].is_none());
    let mut ranked: Vec<(u64, usize)> =
        open.filter_map(|at| Some((value(&seats[at])?, at))).collect();
    ranked.sort_unstable();
    for (_, at) in ranked.into_iter().take(most) {
        merits[at] = Some(merit);
    }
}

/// One of each of a few networks that nobody else is of.
fn diversify<K>(merits: &mut [Option<Merit>], mut left: usize, seats: &[Seat<K>]) {
    let mut networks: Vec<IpAddr> = Vec::new();
    let network = |seat: &Seat<K>| seat.ip.map(network_of);
    let kept = (0..seats.len()).filter(|at| merits[*at].is_some());
    networks.extend(kept.filter_map(|at| network(&seats[at])));
    let mut oldest: Vec<usize> = (0..seats.len()).filter(|at| merits[*at].is_none()).collect();
    oldest.sort_unstable_by_key(|at| seats[*at].since);
    for at in oldest {
        if let Some(ip) = network(&seats[at])
            && left > 0
            && !networks.contains(&ip)
        {
            networks.push(ip);
            merits[at] = Some(Merit::Diverse);
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const ANY: Comer = Comer { needy: false, ip: None };
    const NEEDY: Comer = Comer { needy: true, ip: None };

    fn now() -> Instant {
        Instant(0) + 100 * MINUTE
    }

    fn seat(key: u32) -> Seat<u32> {
        let ip = Some(IpAddr::from([10, 0, 0, key as u8]));
        let since = Instant(0) + Duration::from_secs(u64::from(key));
        Seat { key, since, configured: false, only: false, spare: true, delay: None, useful: 0, ip }
    }

    fn balance(min: usize, target: usize, max: usize) -> Balance {
        Balance::new(Bounds { min, target, max })
    }

    #[test]
    fn n01_below_the_minimum_it_grows_to_the_target_and_then_rests() {
        let mut balance = balance(2, 4, 8);
        balance.count(0);
        assert!(balance.may_dial(0, 0, false) && balance.may_dial(2, 1, false));
        assert!(!balance.may_dial(2, 2, false), "what is under way counts");
        balance.count(3);
        assert!(balance.may_dial(3, 0, false), "it has not reached the target yet");
        balance.count(4);
        balance.count(2);
        assert!(!balance.wants_more(), "between the two nothing is done");
        assert!(!balance.may_dial(2, 0, false) && balance.may_dial(2, 0, true));
        balance.count(1);
        assert!(balance.may_dial(1, 0, false));
        // At the maximum nobody is dialled, whatever for.
        assert!(!balance.may_dial(8, 0, true) && !balance.may_dial(7, 1, true));
    }

    #[test]
    fn n01_bounds_that_contradict_each_other_are_put_right() {
        for (min, target, max) in [(9, 3, 5), (0, 0, 0), (5, 9, 2), (1, 1, 1)] {
            let Bounds { min, target, max } = balance(min, target, max).bounds();
            assert!(min <= target && target <= max && target > 0, "{min} {target} {max}");
        }
    }

    #[test]
    fn n03_at_the_maximum_who_comes_needs_somebody_to_go_or_is_refused() {
        let mut balance = balance(1, 2, 3);
        assert_eq!(balance.room(now(), 2, false), Room::Yes);
        assert_eq!(balance.room(now(), 3, false), Room::Instead);
        let seats: Vec<Seat<u32>> = (0..3).map(seat).collect();
        assert!(balance.evict(now(), ANY, &seats).is_some());
        assert_eq!(balance.room(now(), 3, false), Room::No);
        assert_eq!(balance.room(now(), 3, true), Room::Instead, "who is named does not wait");
    }

    #[test]
    fn n03_eviction_protects_the_named_the_useful_the_fast_the_diverse_and_the_old() {
        let mut seats: Vec<Seat<u32>> = (0..40).map(seat).collect();
        seats[39].configured = true;
        seats[38].useful = 1;
        seats[37].delay = Some(Duration::from_millis(1));
        seats[36].ip = Some([192, 168, 7, 7].into());
        seats[35].only = true;
        let merits = merits(now(), 40, &seats);
        let of = |key: usize| merits[key];
        assert_eq!(of(39), Some(Merit::Configured));
        assert_eq!(of(38), Some(Merit::Useful));
        assert_eq!(of(37), Some(Merit::Fast));
        assert_eq!(of(36), Some(Merit::Diverse));
        assert_eq!(of(35), Some(Merit::Needed));
        assert_eq!(of(0), Some(Merit::LongLived));
        assert_eq!(of(34), None);
        let mut balance = balance(1, 2, 40);
        assert_eq!(balance.evict(now(), ANY, &seats), Some(34), "the youngest of all others");
    }

    #[test]
    fn n04_nobody_goes_within_the_grace() {
        let mut balance = balance(1, 2, 3);
        let seats: Vec<Seat<u32>> = (0..4).map(|key| Seat { since: now(), ..seat(key) }).collect();
        assert_eq!(balance.evict(now(), ANY, &seats), None);
        assert_eq!(balance.evict(now() + PEER_GRACE - Duration::from_micros(1), ANY, &seats), None);
        assert!(balance.evict(now() + PEER_GRACE, ANY, &seats).is_some());
    }

    #[test]
    fn n04_who_needs_a_peer_gets_the_place_of_a_young_one_that_can_spare_us_and_of_no_other() {
        let mut balance = balance(1, 2, 4);
        let young = |key: u32| Seat { since: now(), spare: false, ..seat(key) };
        let mut seats: Vec<Seat<u32>> = (0..4).map(young).collect();
        assert_eq!(balance.evict(now(), NEEDY, &seats), None, "they all need us");
        seats[2].spare = true;
        assert_eq!(balance.evict(now(), ANY, &seats), None);
        assert_eq!(balance.evict(now(), NEEDY, &seats), Some(2));
    }

    #[test]
    fn n05_a_crowd_that_comes_at_once_pushes_one_out() {
        let mut balance = balance(1, 2, 20);
        let seats: Vec<Seat<u32>> = (0..20).map(seat).collect();
        let mut gone = 0;
        for _ in 0..100 {
            if balance.room(now(), 20, false) == Room::Instead {
                gone += usize::from(balance.evict(now(), ANY, &seats).is_some());
            }
        }
        assert_eq!(gone, 1);
        assert_eq!(balance.room(now() + EVICT_EVERY, 20, false), Room::Instead);
    }

    #[test]
    fn n03_one_network_cannot_push_out_the_others() {
        // An attacker has all but four of the seats, and all of them are new enough to be judged.
        let mut seats: Vec<Seat<u32>> = (4..32).map(seat).collect();
        seats.extend(
            (0..4).map(|key| Seat { ip: Some([172, 16, key as u8, 1].into()), ..seat(key) }),
        );
        let mut balance = balance(1, 2, 32);
        let mut time = now();
        for _ in 0..60 {
            time += EVICT_EVERY;
            let Some(gone) = balance.evict(time, ANY, &seats) else { break };
            assert!(gone >= 4, "an honest one had to go");
            seats.retain(|seat| seat.key != gone);
            let new = 100 + time.0 as u32 % 100_000;
            seats.push(Seat { since: time, key: new, ip: Some([10, 0, 0, 9].into()), ..seat(0) });
        }
        assert_eq!(seats.iter().filter(|seat| seat.key < 4).count(), 4);
    }

    #[test]
    fn n03_who_comes_takes_the_place_of_one_of_its_own_address_or_network_if_there_is_any() {
        let mut seats: Vec<Seat<u32>> = (0..40).map(seat).collect();
        for (at, ip) in [(33, [10, 9, 0, 1]), (34, [10, 9, 0, 2]), (35, [10, 9, 0, 2])] {
            seats[at].ip = Some(ip.into());
        }
        let from = |ip: [u8; 4]| Comer { needy: true, ip: Some(ip.into()) };
        let gone = |seats: &[Seat<u32>], comer| {
            let mut balance = balance(1, 2, 40);
            let gone = balance.clone().evict(now(), comer, seats);
            assert_eq!(balance.look(now(), seats).could(comer), gone.is_some());
            assert_eq!(balance.evict(now(), comer, seats), gone);
            gone
        };
        assert_eq!(gone(&seats, NEEDY), Some(39));
        // (The one that is kept because it alone is of its network.)
        assert_eq!(gone(&seats, from([10, 9, 0, 1])), None);
        assert_eq!(gone(&seats, from([10, 9, 0, 2])), Some(35));
        assert_eq!(gone(&seats, from([10, 9, 0, 7])), Some(35));
        assert_eq!(gone(&seats, from([10, 8, 0, 7])), Some(39));
        // However new its own are: then it is refused.
        seats[33..36].iter_mut().for_each(|seat| (seat.since, seat.spare) = (now(), false));
        assert_eq!(gone(&seats, from([10, 9, 0, 2])), None);
        assert_eq!(gone(&seats, from([10, 9, 0, 7])), None);
        assert_eq!(gone(&seats, from([10, 8, 0, 7])), Some(39));
    }

    #[test]
    fn n10_a_lower_maximum_is_reached_one_by_one_and_the_named_stay() {
        let mut balance = balance(2, 4, 10);
        let mut seats: Vec<Seat<u32>> = (0..10).map(seat).collect();
        seats[9].configured = true;
        balance.set_bounds(Bounds { min: 1, target: 2, max: 3 });
        while balance.surplus(seats.len()) > 0 {
            let gone = balance.trim(now(), &seats).unwrap();
            seats.retain(|seat| seat.key != gone);
        }
        assert_eq!(seats.len(), 3);
        assert!(seats.iter().any(|seat| seat.configured));
        balance.set_bounds(Bounds { min: 5, target: 6, max: 9 });
        balance.count(3);
        assert!(balance.may_dial(3, 0, false), "a higher minimum makes it dial");
    }
}
