//! The swarms of all topics, and which of them may dial next: what that costs goes by those to which
//! something happened, not by how many topics there are (CHECKLIST P01).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::few::Numbered;
use crate::limits;
use crate::rng::Rng;
use crate::swarm::{Hunger, Swarm};
use crate::time::Instant;

use super::topic::TopicId;

struct Entry {
    swarm: Swarm,
    /// As it stands in `Swarms::due`.
    due: Option<Instant>,
    lent: bool,
}

#[derive(Default)]
pub(super) struct Swarms {
    all: Numbered<TopicId, Entry>,
    /// When each of them may have somebody to dial, if it is known.
    due: BTreeSet<(Instant, TopicId)>,
    /// Those that were lent out since: that may be another time now.
    lent: Vec<TopicId>,
    hunger: Hunger,
}

impl Swarms {
    pub fn insert(&mut self, topic: TopicId, mut swarm: Swarm) {
        swarm.set_hunger(Instant::default(), self.hunger);
        self.all.insert(topic, Entry { swarm, due: None, lent: true });
        self.lent.push(topic);
    }

    pub fn remove(&mut self, topic: &TopicId) -> Option<Swarm> {
        let entry = self.all.remove(topic)?;
        if let Some(due) = entry.due {
            self.due.remove(&(due, *topic));
        }
        Some(entry.swarm)
    }

    pub fn has(&self, topic: &TopicId) -> bool {
        self.all.contains_key(topic)
    }

    pub fn iter(&self) -> impl Iterator<Item = (TopicId, &Swarm)> {
        self.all.iter().map(|(id, entry)| (id, &entry.swarm))
    }

    pub fn values(&self) -> impl Iterator<Item = &Swarm> {
        self.all.values().map(|entry| &entry.swarm)
    }

    pub fn get(&self, topic: &TopicId) -> Option<&Swarm> {
        self.all.get(topic).map(|entry| &entry.swarm)
    }

    pub fn get_mut(&mut self, topic: &TopicId) -> Option<&mut Swarm> {
        let entry = self.all.get_mut(topic)?;
        if !std::mem::replace(&mut entry.lent, true) {
            self.lent.push(*topic);
        }
        Some(&mut entry.swarm)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Swarm> {
        self.all.values_mut().map(|entry| &mut entry.swarm)
    }

    /// There is room for these from now on.
    pub fn set_hunger(&mut self, now: Instant, hunger: Hunger) {
        self.hunger = hunger;
        for (topic, entry) in self.all.iter_mut() {
            let changed = entry.swarm.set_hunger(now, hunger);
            if changed && !std::mem::replace(&mut entry.lent, true) {
                self.lent.push(topic);
            }
        }
    }

    /// The network has changed, or we slept; see [`Swarm::forgive`].
    pub fn forgive(&mut self, now: Instant) {
        for (topic, entry) in self.all.iter_mut() {
            entry.swarm.forgive(now);
            if !std::mem::replace(&mut entry.lent, true) {
                self.lent.push(topic);
            }
        }
    }

    /// Somebody of a topic drawn at random who is not connected.
    pub fn somebody_else(&mut self, now: Instant, rng: &mut Rng) -> Option<(TopicId, SocketAddr)> {
        let count = self.all.values().count() as u64;
        let first = if count > 0 { rng.below(count) as usize } else { 0 };
        let topics: Vec<TopicId> =
            self.all.keys().skip(first).take(limits::PROBED_TOPICS).collect();
        topics
            .into_iter()
            .find_map(|topic| Some((topic, self.get_mut(&topic)?.somebody_else(now)?)))
    }

    /// When one of them may have somebody to dial, and which.
    pub fn next(&mut self) -> Option<(Instant, TopicId)> {
        for topic in self.lent.drain(..) {
            let Some(entry) = self.all.get_mut(&topic) else { continue };
            entry.lent = false;
            let due = entry.swarm.next_deadline();
            if due == entry.due {
                continue;
            }
            if let Some(before) = std::mem::replace(&mut entry.due, due) {
                self.due.remove(&(before, topic));
            }
            self.due.extend(due.map(|at| (at, topic)));
        }
        self.due.first().copied()
    }

    /// Whom to dial now, and for what; see [`Swarm::poll_dial`].
    pub fn poll_dial(&mut self, now: Instant) -> Option<(TopicId, SocketAddr)> {
        loop {
            let (_, topic) = self.next().filter(|(at, _)| *at <= now)?;
            if let Some(addr) = self.get_mut(&topic)?.poll_dial(now) {
                return Some((topic, addr));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn p01_only_those_are_looked_at_that_something_happened_to() {
        let (mut swarms, now) = (Swarms::default(), Instant(5_000_000));
        for topic in 0..1000 {
            swarms.insert(TopicId(topic), Swarm::new(Rng::from_seed(1)));
        }
        assert_eq!((swarms.poll_dial(now), swarms.due.len()), (None, 0));
        let addr = ([10, 0, 0, 1], 1).into();
        for topic in [TopicId(7), TopicId(700)] {
            swarms.get_mut(&topic).expect("it is there").configured(addr);
        }
        assert_eq!(swarms.lent.len(), 2);
        assert_eq!(swarms.poll_dial(now), Some((TopicId(7), addr)));
        assert_eq!(swarms.poll_dial(now), Some((TopicId(700), addr)));
        assert_eq!((swarms.poll_dial(now), swarms.next()), (None, None));
        // What failed is due again after its pause, and none before.
        swarms.get_mut(&TopicId(700)).expect("it is there").dial_failed(now, addr);
        assert_eq!(swarms.poll_dial(now), None);
        let (again, topic) = swarms.next().expect("a pause");
        assert!(again > now && topic == TopicId(700) && swarms.lent.is_empty());
        assert_eq!(swarms.poll_dial(again), Some((TopicId(700), addr)));
    }
}
