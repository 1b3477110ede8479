//! Whom the operator wants as peers, and whom nobody talks to: lists of hosts and bans of hosts and
//! addresses, which outlive the process. A pure table, the same for all drives and feeds; what a single
//! drive learned of its peers is in [`super::Swarm`]. Knows no file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::hello::Standing;
use super::kept::{Corrupt, Reader, checksum, put_addr, put_time};
use crate::host::HostId;
use crate::limits;
use crate::link::z32;
use crate::time::{Instant, Wall};

const MAGIC: &[u8; 4] = b"gnbn";
const VERSION: u8 = 1;

/// Who is banned: a host by its key, or whatever speaks from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Host(HostId),
    /// In its canonical form.
    Addr(IpAddr),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Host(host) => host.fmt(f),
            Who::Addr(ip) => ip.fmt(f),
        }
    }
}

/// What is neither a host nor an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is neither a host's id in full nor an address like 192.0.2.7")]
pub struct Nobody;

impl FromStr for Who {
    type Err = Nobody;

    /// A host's id in full, or an address with or without a port.
    fn from_str(text: &str) -> Result<Who, Nobody> {
        if let Ok(key) = z32::decode(text) {
            return Ok(Who::Host(HostId(key.0)));
        }
        let ip = text.parse::<SocketAddr>().map(|addr| addr.ip()).or_else(|_| text.parse());
        ip.map(|ip: IpAddr| Who::Addr(ip.to_canonical())).map_err(|_| Nobody)
    }
}

/// Who decided that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Operator,
    /// It misbehaved.
    Conduct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    pub who: Who,
    /// `None`: until it is lifted.
    pub until: Option<Instant>,
    pub by: By,
}

impl Ban {
    fn stands(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// Why somebody cannot be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} bans stand: lift one first", limits::BANS)]
pub struct Full;

/// What the operator says of all hosts; by default everybody is welcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Nobody but these, if there are any. They never ban themselves by what they do (CHECKLIST L08).
    pub allow: Vec<HostId>,
    pub deny: Vec<HostId>,
    /// Banned as long as they stand here.
    pub bans: Vec<Who>,
    /// Who may tell this process to end (CHECKLIST M15).
    pub stop: Vec<HostId>,
}

#[derive(Clone, Debug, Default)]
pub struct Standings {
    lists: Lists,
    bans: Vec<Ban>,
    changed: bool,
}

impl Standings {
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    pub fn set_lists(&mut self, lists: Lists) {
        self.lists = lists;
    }

    pub fn standing(&self, host: &HostId, now: Instant) -> Standing {
        if self.is_banned(Who::Host(*host), now) {
            Standing::Banned
        } else if self.lists.deny.contains(host) || !self.may_come(host) {
            Standing::NotAllowed
        } else {
            Standing::Allowed
        }
    }

    fn may_come(&self, host: &HostId) -> bool {
        self.lists.allow.is_empty() || self.lists.allow.contains(host)
    }

    /// Whether nobody at this address is talked to.
    pub fn is_barred(&self, addr: IpAddr, now: Instant) -> bool {
        self.is_banned(Who::Addr(addr.to_canonical()), now)
    }

    fn is_banned(&self, who: Who, now: Instant) -> bool {
        self.lists.bans.contains(&who)
            || self.bans.iter().any(|ban| ban.who == who && ban.stands(now))
    }

    /// The operator bans somebody, for a time or until it is lifted. It takes the place of an earlier ban,
    /// and of one for conduct if there are too many.
    pub fn ban(&mut self, now: Instant, who: Who, span: Option<Duration>) -> Result<(), Full> {
        let until = span.map(|span| now + span);
        self.enter(now, Ban { who, until, by: By::Operator })
    }

    /// A host misbehaved: it is banned for [`limits::BAN`], unless the operator named it. False: it is not.
    pub fn misbehaved(&mut self, now: Instant, host: HostId) -> bool {
        let who = Who::Host(host);
        if self.lists.allow.contains(&host) || self.is_banned(who, now) {
            return false;
        }
        let until = Some(now + limits::BAN);
        self.enter(now, Ban { who, until, by: By::Conduct }).is_ok()
    }

    fn enter(&mut self, now: Instant, ban: Ban) -> Result<(), Full> {
        self.bans.retain(|known| known.who != ban.who && known.stands(now));
        if self.bans.len() >= limits::BANS {
            let conduct = self.bans.iter().enumerate().filter(|(_, ban)| ban.by == By::Conduct);
            let first = conduct.min_by_key(|(_, ban)| ban.until).map(|(at, _)| at);
            self.bans.remove(first.ok_or(Full)?);
        }
        self.bans.push(ban);
        self.changed = true;
        Ok(())
    }

    /// False: there was no such ban, or it is one of the lists.
    pub fn unban(&mut self, now: Instant, who: Who) -> bool {
        let before = self.bans.iter().any(|ban| ban.who == who && ban.stands(now));
        self.bans.retain(|ban| ban.who != who);
        self.changed |= before;
        before
    }

    /// Those that stand, without those of the lists.
    pub fn bans(&self, now: Instant) -> impl Iterator<Item = &Ban> {
        self.bans.iter().filter(move |ban| ban.stands(now))
    }

    /// Whether bans came or went since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The bans, to be kept over a restart.
    pub fn encode(&self, now: Instant, wall: Wall) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let standing: Vec<&Ban> = self.bans(now).collect();
        out.push(VERSION);
        out.extend((standing.len() as u32).to_be_bytes());
        for Ban { who, until, by } in standing {
            match who {
                Who::Host(host) => {
                    out.push(0);
                    out.extend(host.0);
                }
                Who::Addr(ip) => {
                    out.push(1);
                    put_addr(Some(SocketAddr::new(*ip, 0)), &mut out);
                }
            }
            out.push(u8::from(*by == By::Conduct));
            out.push(u8::from(until.is_some()));
            put_time(until.unwrap_or(now), now, wall, &mut out);
        }
        out.extend(checksum(&out).to_be_bytes());
        out
    }

    /// Takes kept bans in, beside those that are there. On an error nothing changes.
    pub fn restore(&mut self, bytes: &[u8], now: Instant, wall: Wall) -> Result<(), Corrupt> {
        let mut from = Reader::checked(bytes, MAGIC)?;
        if from.take()? != [VERSION] {
            return Err(Corrupt);
        }
        let mut kept = Vec::new();
        for _ in 0..from.count(limits::BANS)? {
            let who = match from.take()? {
                [0] => Who::Host(HostId(from.take()?)),
                [1] => Who::Addr(from.addr()?.ok_or(Corrupt)?.ip().to_canonical()),
                _ => return Err(Corrupt),
            };
            let [conduct, ends] = from.take()?;
            let by = if conduct == 0 { By::Operator } else { By::Conduct };
            // A clock that was set back makes no ban for conduct longer than one can be.
            let most = if by == By::Conduct { limits::BAN } else { Duration::MAX };
            let at = from.time(now, wall, most)?;
            kept.push(Ban { who, until: (ends != 0).then_some(at), by });
        }
        from.end()?;
        for ban in kept.into_iter().filter(|ban| ban.stands(now)) {
            if !self.bans.iter().any(|known| known.who == ban.who) {
                // There are not more than fit, but for those that came since.
                let _ = self.enter(now, ban);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(1_000_000_000);
    const WALL: Wall = Wall(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn host(n: u32) -> HostId {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        HostId(key)
    }

    fn at(n: u8) -> Who {
        Who::Addr([10, 0, 0, n].into())
    }

    #[test]
    fn lists_say_who_may_come() {
        let mut all = Standings::default();
        assert_eq!(all.standing(&host(1), NOW), Standing::Allowed);
        all.set_lists(Lists { deny: vec![host(1)], ..Lists::default() });
        assert_eq!(all.standing(&host(1), NOW), Standing::NotAllowed);
        assert_eq!(all.standing(&host(2), NOW), Standing::Allowed);
        let allow = vec![host(1), host(2)];
        all.set_lists(Lists { allow, deny: vec![host(1)], bans: vec![at(1)], stop: vec![] });
        assert_eq!(all.standing(&host(1), NOW), Standing::NotAllowed);
        assert_eq!(all.standing(&host(2), NOW), Standing::Allowed);
        assert_eq!(all.standing(&host(3), NOW), Standing::NotAllowed);
        assert!(all.is_barred("::ffff:10.0.0.1".parse().unwrap(), NOW));
        assert!(!all.is_barred([10, 0, 0, 2].into(), NOW));
        assert!(!all.unban(NOW, at(1)) && all.is_barred([10, 0, 0, 1].into(), NOW));
    }

    #[test]
    fn l08_bans_end_are_listed_and_lifted() {
        let mut all = Standings::default();
        let who = Who::Host(host(1));
        all.ban(NOW, who, Some(HOUR)).unwrap();
        all.ban(NOW, at(7), None).unwrap();
        assert_eq!(all.standing(&host(1), NOW), Standing::Banned);
        assert_eq!(all.bans(NOW).count(), 2);
        assert_eq!(all.standing(&host(1), NOW + HOUR), Standing::Allowed);
        assert!(all.bans(NOW + HOUR).map(|ban| ban.who).eq([at(7)]));
        assert!(all.is_barred([10, 0, 0, 7].into(), NOW + 100_000 * HOUR));
        // The later word counts.
        all.ban(NOW, who, Some(HOUR / 2)).unwrap();
        assert_eq!((all.bans(NOW).count(), all.bans(NOW + HOUR / 2).count()), (2, 1));
        assert!(all.take_changed() && !all.take_changed());
        assert!(all.unban(NOW, who) && !all.unban(NOW, who));
        assert_eq!(all.standing(&host(1), NOW), Standing::Allowed);
        assert!(all.take_changed());
    }

    #[test]
    fn l08_whom_the_operator_named_is_never_banned_by_itself() {
        let mut all = Standings::default();
        assert!(all.misbehaved(NOW, host(2)));
        assert_eq!(all.standing(&host(2), NOW), Standing::Banned);
        assert_eq!(all.standing(&host(2), NOW + limits::BAN), Standing::Allowed);
        all.set_lists(Lists { allow: vec![host(1)], ..Lists::default() });
        assert!(!all.misbehaved(NOW, host(1)));
        assert_eq!(all.standing(&host(1), NOW), Standing::Allowed);
        // What the operator said is not made shorter by what a host does.
        all.ban(NOW, Who::Host(host(3)), None).unwrap();
        assert!(!all.misbehaved(NOW, host(3)));
        assert_eq!(all.bans(NOW + 2 * limits::BAN).count(), 1);
    }

    #[test]
    fn l08_the_list_of_bans_is_bounded() {
        let mut all = Standings::default();
        for n in 0..limits::BANS as u32 + 5 {
            assert!(all.misbehaved(NOW + Duration::from_secs(n.into()), host(n)));
        }
        let listed = |all: &Standings, n| all.bans(NOW).any(|ban| ban.who == Who::Host(host(n)));
        assert_eq!(all.bans(NOW).count(), limits::BANS);
        assert!(!listed(&all, 4) && listed(&all, 5));
        for n in 0..limits::BANS as u32 {
            assert_eq!(all.ban(NOW, Who::Host(host(10_000 + n)), None), Ok(()));
        }
        assert_eq!(all.ban(NOW, at(1), None), Err(Full));
        assert!(!all.misbehaved(NOW, host(1)));
        assert_eq!(all.bans(NOW).filter(|ban| ban.by == By::Operator).count(), limits::BANS);
    }

    #[test]
    fn l08_bans_come_back_after_a_restart() {
        let mut all = Standings::default();
        all.ban(NOW, Who::Host(host(1)), None).unwrap();
        all.ban(NOW, Who::Addr("fe80::1".parse().unwrap()), Some(2 * HOUR)).unwrap();
        all.misbehaved(NOW, host(2));
        let bytes = all.encode(NOW, WALL);
        let mut again = Standings::default();
        // The clock of the next process has another beginning; an hour and a half have passed.
        let (start, later) = (Instant(7), Wall(WALL.0 + 90 * 60 * 1000));
        again.restore(&bytes, start, later).unwrap();
        let left: Vec<Ban> = again.bans(start).copied().collect();
        assert_eq!(left.len(), 2);
        assert_eq!((left[0].who, left[0].until), (Who::Host(host(1)), None));
        assert_eq!(left[1].until, Some(start + HOUR / 2));
        assert_eq!(left[1].by, By::Operator);
    }

    #[test]
    fn a_damaged_list_changes_nothing() {
        let mut all = Standings::default();
        all.ban(NOW, Who::Host(host(1)), None).unwrap();
        let good = all.encode(NOW, WALL);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(Standings::default().restore(&bad, NOW, WALL), Err(Corrupt), "{at}");
            assert!(Standings::default().restore(&good[..at], NOW, WALL).is_err());
        }
        let (mut many, count) = (MAGIC.to_vec(), limits::BANS as u32 + 1);
        many.push(VERSION);
        many.extend(count.to_be_bytes());
        many.extend(vec![0; 64 * 1024]);
        many.extend(checksum(&many).to_be_bytes());
        assert_eq!(Standings::default().restore(&many, NOW, WALL), Err(Corrupt));
    }
}
