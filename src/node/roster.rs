//! All connections to peers, and who of them is to be looked at: what a moment costs goes by those to which
//! something happened, or whose time has come, not by how many there are (CHECKLIST P01).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use crate::ids::ConnId;
use crate::lent::{Lent, Rests};
use crate::limits;
use crate::time::Instant;

use super::peer::Peer;
use super::session::Session;

/// A table of peers by connection; orders of them that are made anew, for those that were lent out, when
/// they are asked for.
#[derive(Default)]
pub(super) struct Roster {
    peers: Lent<ConnId, Peer, Seen>,
    orders: Orders,
}

#[derive(Default)]
struct Orders {
    /// When each is to be looked at; not later than that.
    due: BTreeSet<(Instant, ConnId)>,
    /// By the front of what they call themselves.
    ids: BTreeSet<(u64, ConnId)>,
    dialed: BTreeSet<(SocketAddr, ConnId)>,
}

/// Where a peer stands in the orders.
#[derive(Default)]
pub(super) struct Seen {
    due: Option<Instant>,
    /// It was looked at then: for a tick that will do.
    looked: Instant,
    id: Option<u64>,
    dialed: Option<SocketAddr>,
}

/// The front of an id: who shares it with others is told apart by the rest.
fn front(id: &[u8]) -> u64 {
    let mut front = [0; 8];
    front.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(front)
}

const FIRST: ConnId = ConnId { slot: 0, generation: 0 };
const LAST: ConnId = ConnId { slot: u32::MAX, generation: u32::MAX };

impl Roster {
    fn settle(&mut self, now: Instant) {
        let orders = &mut self.orders;
        self.peers.settle(|conn, peer, seen| orders.see(now, conn, peer, seen));
    }

    /// When the next one is to be looked at.
    pub fn next(&mut self, now: Instant) -> Option<Instant> {
        self.settle(now);
        self.orders.due.first().map(|(at, _)| *at)
    }

    /// Some of those whose time has come, and whether there are more.
    pub fn due(&mut self, now: Instant) -> (Vec<ConnId>, bool) {
        self.settle(now);
        let due = self.orders.due.range(..=(now, LAST)).take(limits::PEERS_DUE_AT_ONCE);
        let due: Vec<ConnId> = due.map(|(_, conn)| *conn).collect();
        for conn in &due {
            let Some(seen) = self.peers.note_mut(conn) else { continue };
            seen.looked = now;
            if let Some(at) = seen.due.take() {
                self.orders.due.remove(&(at, *conn));
            }
        }
        let more = self.orders.due.first().is_some_and(|(at, _)| *at <= now);
        (due, more)
    }

    /// Whether any is not met yet, waits for the disk, or is one of two.
    pub fn any_busy(&mut self, now: Instant) -> bool {
        self.settle(now);
        self.peers.any_awake()
    }

    /// Those that are.
    pub fn busy(&mut self, now: Instant) -> Vec<ConnId> {
        self.settle(now);
        self.peers.awake()
    }

    /// Those that call themselves so.
    pub fn called(&mut self, now: Instant, id: &[u8]) -> Vec<ConnId> {
        self.settle(now);
        let front = front(id);
        let alike = self.orders.ids.range((front, FIRST)..=(front, LAST)).map(|(_, conn)| *conn);
        alike.filter(|conn| self.peers.get(conn).is_some_and(|peer| peer.is(id))).collect()
    }

    /// Streams that were dialled to this address.
    pub fn streams_to(&mut self, now: Instant, addr: SocketAddr) -> Vec<ConnId> {
        self.settle(now);
        let there = self.orders.dialed.range((addr, FIRST)..=(addr, LAST)).map(|(_, conn)| *conn);
        let stream = |peer: &Peer| matches!(peer.session, Session::Hyper(_));
        there.filter(|conn| self.peers.get(conn).is_some_and(stream)).collect()
    }
}

impl Orders {
    fn see(&mut self, now: Instant, conn: ConnId, peer: Option<&Peer>, seen: &mut Seen) {
        let due = peer.and_then(Peer::next_look).map(|at| match seen.looked {
            Instant(0) => at,
            looked => at.max(looked + limits::TICK),
        });
        // One that moves away is found to have done so when its old time comes, unless that is soon.
        let stays = matches!((seen.due, due), (Some(old), Some(new)) if new >= old && old > now + limits::TICK);
        if !stays {
            order(&mut self.due, conn, &mut seen.due, due);
        }
        let id = peer.and_then(|peer| Some(front(&peer.handshake.as_ref()?.id)));
        order(&mut self.ids, conn, &mut seen.id, id);
        order(&mut self.dialed, conn, &mut seen.dialed, peer.and_then(|peer| peer.dialed));
    }
}

/// Moves `conn` from one place of an order to another.
fn order<T: Copy + Ord>(
    set: &mut BTreeSet<(T, ConnId)>,
    conn: ConnId,
    seen: &mut Option<T>,
    now: Option<T>,
) {
    if *seen == now {
        return;
    }
    if let Some(before) = std::mem::replace(seen, now) {
        set.remove(&(before, conn));
    }
    set.extend(now.map(|at| (at, conn)));
}

impl Deref for Roster {
    type Target = Lent<ConnId, Peer, Seen>;

    fn deref(&self) -> &Self::Target {
        &self.peers
    }
}

impl DerefMut for Roster {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.peers
    }
}

impl Rests for Peer {
    fn rests(&self) -> bool {
        !self.is_busy()
    }
}

impl Peer {
    /// When it is to be looked at, if nothing happens to it.
    fn next_look(&self) -> Option<Instant> {
        self.life.next_deadline().into_iter().chain(self.refusals.next()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::{Direction, Reason};
    use crate::sys::Endpoint;
    use crate::wire::dat::Handshake;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 1 }
    }

    fn peer(now: Instant, slot: u32) -> Box<Peer> {
        let remote = Endpoint::Tcp(([10, 0, 0, 1], slot as u16).into());
        let mut peer = Peer::new(now, Direction::Out, remote, Session::Unknown);
        peer.dialed = Some(([10, 0, 0, (slot % 4) as u8], 1).into());
        Box::new(peer)
    }

    fn meet(roster: &mut Roster, now: Instant, slot: u32, id: &[u8]) {
        let peer = roster.get_mut(&conn(slot)).expect("it is there");
        assert!(peer.life.handshaken(now, id.to_vec(), true));
        peer.life.queued(now, 1);
        peer.life.sent(now, 1);
        peer.handshake = Some(Handshake { id: id.to_vec(), ..Handshake::default() });
    }

    #[test]
    fn p01_ten_thousand_that_rest_cost_nothing_until_their_time_comes() {
        let now = Instant(5_000_000);
        let mut roster = Roster::default();
        for slot in 0..10_000 {
            roster.insert(conn(slot), peer(now, slot));
        }
        assert!(roster.any_busy(now), "nobody is met yet");
        for slot in 0..10_000 {
            meet(&mut roster, now, slot, &slot.to_be_bytes());
        }
        assert!(!roster.any_busy(now) && roster.due(now).0.is_empty());
        let at = now + limits::KEEPALIVE_AFTER;
        assert_eq!(roster.next(now), Some(at));
        // All at once: some at a time, each once.
        let (mut all, mut rounds) = (BTreeSet::new(), 0);
        loop {
            let (due, more) = roster.due(at);
            assert!(due.len() <= limits::PEERS_DUE_AT_ONCE);
            for conn in due {
                assert!(all.insert(conn), "twice");
                roster.get_mut(&conn).expect("it is there").life.queued(at, 1);
            }
            rounds += 1;
            if !more {
                break;
            }
        }
        assert_eq!((all.len(), rounds), (10_000, 10_000usize.div_ceil(limits::PEERS_DUE_AT_ONCE)));
    }

    #[test]
    fn they_are_found_by_id_and_address_while_they_are_there() {
        let now = Instant(5_000_000);
        let mut roster = Roster::default();
        // Two that share the front of their ids.
        let ids = [&b"same front, one"[..], b"same front, two", b"other"];
        for (slot, id) in (0..).zip(ids) {
            roster.insert(conn(slot), peer(now, slot));
            meet(&mut roster, now, slot, id);
        }
        assert_eq!(roster.called(now, ids[1]), [conn(1)]);
        assert_eq!(roster.called(now, b"same front"), []);
        // One that is out for a moment is not there, and is again.
        let out = roster.remove(&conn(1)).expect("it is there");
        assert_eq!((roster.called(now, ids[1]), roster.len()), (vec![], 2));
        roster.insert(conn(1), out);
        assert_eq!((roster.called(now, ids[1]), roster.len()), (vec![conn(1)], 3));
        roster.get_mut(&conn(1)).expect("it is there").life.close(Reason::Slow);
        drop(roster.remove(&conn(1)));
        assert_eq!(roster.called(now, ids[1]), []);
        roster.settle(now);
        assert_eq!((roster.orders.ids.len(), roster.orders.dialed.len()), (2, 2));
        assert_eq!(roster.orders.due.len(), 2);
    }
}
