//! What must hold between any two inputs (rule 11). Swept in debug builds at every tick, and by the
//! simulations after every step.

use super::feed::Flight;
use super::{Feeds, Sync};

impl Sync {
    /// The first invariant found broken, in words.
    pub fn check_invariants(&self, feeds: &dyn Feeds) -> Result<(), String> {
        for (of, state) in self.feeds.iter() {
            let of = &of;
            for (&block, flight) in &state.flights {
                let at = format!("{of:?} block {block}");
                if feeds.feed(*of).is_some_and(|feed| feed.has(block)) {
                    return Err(format!("{at} is stored and in flight: {flight:?}"));
                }
                if let Flight::Asked(first, second) = flight
                    && Some(*first) == *second
                {
                    return Err(format!("{at} was asked of {first:?} twice"));
                }
                for owner in flight.owners() {
                    let peer = self.peers.get(&owner);
                    if peer.and_then(|peer| peer.asked_at(*of, block)).is_none() {
                        return Err(format!("{at} belongs to {owner:?}, who was not asked"));
                    }
                }
            }
            for id in &state.peers {
                if !self.peers.get(id).is_some_and(|peer| peer.feeds.contains_key(of)) {
                    return Err(format!("{id:?} does not know that it joined {of:?}"));
                }
            }
        }
        let mut held_bytes = 0;
        for (id, peer) in self.peers.iter() {
            held_bytes += peer.holdings_bytes();
            peer.check(&self.tuning).map_err(|why| format!("{id:?}: {why}"))?;
            for (of, block) in peer.live_asks() {
                let flight = self.feeds.get(&of).and_then(|state| state.flights.get(&block));
                if !flight.is_some_and(|flight| flight.owners().any(|owner| owner == *id)) {
                    return Err(format!("{id:?} was asked for {of:?} block {block}, unrecorded"));
                }
                let remote = peer.feeds.get(&of);
                if !remote.is_some_and(|remote| remote.holdings.contains(block)) {
                    return Err(format!("{id:?} never announced {of:?} block {block}"));
                }
            }
            for of in peer.feeds.keys() {
                if !self.feeds.get(of).is_some_and(|state| state.peers.contains(id)) {
                    return Err(format!("{of:?} does not know that {id:?} joined"));
                }
            }
            if peer.leaving && peer.live() > 0 {
                return Err(format!("{id:?} is leaving and still asked"));
            }
        }
        if held_bytes != self.held_bytes {
            return Err(format!("holdings take {held_bytes} bytes, {} noted", self.held_bytes));
        }
        Ok(())
    }
}
