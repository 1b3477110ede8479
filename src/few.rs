//! A map of few entries: a list that is searched from the front. A tree of each kind costs five
//! kilobytes of program, and for a handful of entries is no faster.

use std::marker::PhantomData;
use std::slice;
use std::vec;

/// Entries in the order in which their keys came. Every call takes time in proportion to their
/// number: whoever owns one keeps it to some dozens, or to a thousand that are seldom looked at.
#[derive(Clone, Debug)]
pub struct Few<K, V>(Vec<(K, V)>);

impl<K: PartialEq, V> Few<K, V> {
    pub const fn new() -> Few<K, V> {
        Few(Vec::new())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The value that the key had before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.get_mut(&key) {
            Some(known) => Some(std::mem::replace(known, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }

    /// The key's value, made if there is none.
    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let at = self.0.iter().position(|(known, _)| *known == key).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push((key, V::default()));
        }
        &mut self.0[at].1
    }

    pub fn iter(&self) -> slice::Iter<'_, (K, V)> {
        self.0.iter()
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.0.retain(|(_, value)| keep(value));
    }

    /// Takes an entry out whose value is the least.
    pub fn remove_least<O: Ord>(&mut self, value: impl Fn(&V) -> O) {
        let least = self.0.iter().enumerate().min_by_key(|(_, (_, v))| value(v));
        if let Some(at) = least.map(|(at, _)| at) {
            self.0.remove(at);
        }
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
}

/// A number that things are counted by, from 0 on.
pub trait Number: Copy {
    fn of(number: u32) -> Self;
    fn number(self) -> u32;
}

/// A map whose keys are such numbers, given out one after the other: a list with gaps. Boxed, so that a
/// gap costs a word.
#[derive(Clone, Debug)]
pub struct Numbered<K, V> {
    slots: Vec<Option<Box<V>>>,
    keys: PhantomData<K>,
}

impl<K: Number, V> Numbered<K, V> {
    pub const fn new() -> Numbered<K, V> {
        Numbered { slots: Vec::new(), keys: PhantomData }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.slots.get(key.number() as usize)?.as_deref()
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.slots.get_mut(key.number() as usize)?.as_deref_mut()
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub fn insert(&mut self, key: K, value: V) {
        let at = key.number() as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.slots[at] = Some(Box::new(value));
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.slots.get_mut(key.number() as usize)?.take().map(|value| *value)
    }

    /// From a key on, ascending.
    pub fn from(&self, key: K) -> impl Iterator<Item = (K, &V)> + Clone {
        let numbered = (0..).zip(&self.slots).skip(key.number() as usize);
        numbered.filter_map(|(at, slot)| Some((K::of(at), slot.as_deref()?)))
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> + Clone {
        self.from(K::of(0))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        let numbered = (0..).zip(&mut self.slots);
        numbered.filter_map(|(at, slot)| Some((K::of(at), slot.as_deref_mut()?)))
    }

    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().filter_map(|slot| slot.as_deref())
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.iter_mut().filter_map(|slot| slot.as_deref_mut())
    }
}

/// Sorts a few items so that none comes before one that it is to come behind: by insertion, where the
/// library's sort costs three kilobytes of program for each kind of item.
pub fn sort<T>(items: &mut [T], before: impl Fn(&T, &T) -> bool) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && before(&items[at], &items[at - 1]) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Few<K, V> {
        Few(Vec::new())
    }
}

impl<K: Number, V> Default for Numbered<K, V> {
    fn default() -> Numbered<K, V> {
        Numbered::new()
    }
}

impl<K, V> IntoIterator for Few<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> vec::IntoIter<(K, V)> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Few, Numbered};
    use crate::ids::FeedId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbered_is_a_map(steps in prop::collection::vec((0u32..9, 0u8..3, any::<u32>()), 0..60)) {
            let (mut numbered, mut map) = (Numbered::new(), BTreeMap::new());
            for (key, what, value) in steps {
                let key = FeedId(key);
                match what {
                    0 => {
                        numbered.insert(key, value);
                        map.insert(key, value);
                    }
                    1 => prop_assert_eq!(numbered.remove(&key), map.remove(&key)),
                    _ => prop_assert_eq!(numbered.get_mut(&key), map.get_mut(&key)),
                }
                prop_assert!(numbered.iter().eq(map.iter().map(|(key, value)| (*key, value))));
                prop_assert!(numbered.from(key).eq(map.range(key..).map(|(k, v)| (*k, v))));
            }
        }

        #[test]
        fn sorts(mut items: Vec<u8>) {
            let mut other = items.clone();
            other.sort_unstable_by(|a, b| b.cmp(a));
            super::sort(&mut items, |a, b| a > b);
            prop_assert_eq!(items, other);
        }

        #[test]
        fn is_a_map(steps in prop::collection::vec((0u8..6, 0u8..4, any::<u32>()), 0..60)) {
            let (mut few, mut map) = (Few::new(), BTreeMap::new());
            for (key, what, value) in steps {
                match what {
                    0 => prop_assert_eq!(few.insert(key, value), map.insert(key, value)),
                    1 => prop_assert_eq!(few.remove(&key), map.remove(&key)),
                    2 => *few.or_default(key) = *map.entry(key).or_default(),
                    _ => prop_assert_eq!(few.get_mut(&key), map.get_mut(&key)),
                }
                prop_assert_eq!(few.len(), map.len());
                prop_assert!(few.iter().all(|(key, value)| map.get(key) == Some(value)));
            }
        }
    }
}
