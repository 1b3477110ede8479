//! A map of few entries: a list that is searched from the front. A tree of each kind costs five
//! kilobytes of program, and for a handful of entries is no faster.

use std::slice;
use std::vec;

/// Entries in the order in which their keys came. Every call takes time in proportion to their
/// number: whoever owns one keeps it to some dozens.
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

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Few<K, V> {
        Few(Vec::new())
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

    use super::Few;
    use proptest::prelude::*;

    proptest! {
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
