//! A table whose entries mostly rest. It knows which of them were lent out since they were last looked at,
//! and which are awake: what is done as time goes by is done about those, not about all that there are.

use std::collections::{BTreeMap, BTreeSet};

/// Something that may be left alone.
pub trait Rests {
    /// Until something happens to it, nothing is to be done about it as time goes by.
    fn rests(&self) -> bool;
}

/// Entries by key, each with a note of whoever keeps an order of them beside.
pub struct Lent<K, V, N = ()> {
    slots: BTreeMap<K, Slot<V, N>>,
    /// Entries that are not taken out.
    count: usize,
    /// Lent out, taken out or put in since that was looked at, each once.
    lent: Vec<K>,
    awake: BTreeSet<K>,
}

struct Slot<V, N> {
    /// `None`: taken out, for a moment or for good.
    value: Option<Box<V>>,
    lent: bool,
    note: N,
}

impl<K: Copy + Ord, V: Rests, N: Default> Lent<K, V, N> {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.slots.get(key)?.value.as_deref()
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.slots.get_mut(key)?;
        if slot.value.is_some() && !std::mem::replace(&mut slot.lent, true) {
            self.lent.push(*key);
        }
        slot.value.as_deref_mut()
    }

    pub fn insert(&mut self, key: K, value: Box<V>) {
        let slot = self.slots.entry(key).or_insert_with(|| Slot {
            value: None,
            lent: false,
            note: N::default(),
        });
        if !std::mem::replace(&mut slot.lent, true) {
            self.lent.push(key);
        }
        self.count += usize::from(slot.value.replace(value).is_none());
    }

    /// Takes an entry out: for a moment if it is put in again, which costs no more than to look it up.
    pub fn remove(&mut self, key: &K) -> Option<Box<V>> {
        let slot = self.slots.get_mut(key)?;
        let value = slot.value.take()?;
        if !std::mem::replace(&mut slot.lent, true) {
            self.lent.push(*key);
        }
        self.count -= 1;
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().filter_map(|(key, slot)| Some((key, slot.value.as_deref()?)))
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.values().filter_map(|slot| slot.value.as_deref())
    }

    /// All of them, all lent out.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let lent = &mut self.lent;
        self.slots.iter_mut().filter_map(|(key, slot)| {
            if !std::mem::replace(&mut slot.lent, true) {
                lent.push(*key);
            }
            slot.value.as_deref_mut()
        })
    }

    /// The note of an entry, which is looked at again.
    pub fn note_mut(&mut self, key: &K) -> Option<&mut N> {
        self.get_mut(key)?;
        self.slots.get_mut(key).map(|slot| &mut slot.note)
    }

    /// Looks at what was lent out since the last time; `see` is told of each, with its note. Those that
    /// are out by now are gone.
    pub fn settle(&mut self, mut see: impl FnMut(K, Option<&V>, &mut N)) {
        for key in self.lent.drain(..) {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.lent = false;
            see(key, slot.value.as_deref(), &mut slot.note);
            let rests = slot.value.as_ref().map(|value| value.rests());
            match rests {
                Some(false) => drop(self.awake.insert(key)),
                Some(true) | None => drop(self.awake.remove(&key)),
            }
            if rests.is_none() {
                self.slots.remove(&key);
            }
        }
    }

    /// Whether any is awake, as it was when they were last looked at.
    pub fn any_awake(&self) -> bool {
        !self.awake.is_empty()
    }

    /// Those that are awake, as it was when they were last looked at.
    pub fn awake(&self) -> Vec<K> {
        self.awake.iter().copied().collect()
    }
}

impl<K, V, N> Default for Lent<K, V, N> {
    fn default() -> Lent<K, V, N> {
        Lent { slots: BTreeMap::new(), count: 0, lent: Vec::new(), awake: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Thing(u8);

    impl Rests for Thing {
        fn rests(&self) -> bool {
            self.0 == 0
        }
    }

    proptest! {
        #[test]
        fn is_a_map_that_knows_who_is_awake(
            steps in prop::collection::vec((0u8..6, 0u8..5, 0u8..3), 0..80),
        ) {
            let (mut lent, mut map) = (Lent::<u8, Thing, u8>::default(), BTreeMap::new());
            let mut noted = BTreeMap::new();
            for (key, what, value) in steps {
                match what {
                    0 => {
                        lent.insert(key, Box::new(Thing(value)));
                        map.insert(key, Thing(value));
                    }
                    1 => prop_assert_eq!(lent.remove(&key).map(|thing| *thing), map.remove(&key)),
                    2 => {
                        let both = (lent.get_mut(&key), map.get_mut(&key));
                        prop_assert_eq!(both.0.as_deref(), both.1.as_deref());
                        [both.0, both.1].into_iter().flatten().for_each(|thing| thing.0 = value);
                    }
                    3 => {
                        lent.values_mut().for_each(|thing| thing.0 |= value);
                        map.values_mut().for_each(|thing| thing.0 |= value);
                    }
                    _ => {
                        lent.settle(|key, thing, note| match thing {
                            Some(thing) => {
                                *note += 1;
                                noted.insert(key, (thing.0, *note));
                            }
                            None => drop(noted.remove(&key)),
                        });
                        let awake = map.iter().filter(|(_, thing)| !thing.rests());
                        let awake: Vec<u8> = awake.map(|(key, _)| *key).collect();
                        prop_assert_eq!(lent.any_awake(), !awake.is_empty());
                        prop_assert_eq!(lent.awake(), awake);
                        prop_assert!(noted.iter().map(|(k, (v, _))| (*k, Thing(*v))).eq(
                            map.iter().map(|(k, v)| (*k, *v))
                        ), "somebody was not looked at");
                        prop_assert_eq!(lent.slots.len(), lent.count);
                    }
                }
                prop_assert_eq!((lent.len(), lent.get(&key)), (map.len(), map.get(&key)));
                prop_assert!(lent.iter().eq(map.iter()));
            }
        }
    }
}
