//! Two connections to one peer: which of them stays (dat/SPEC §11.5). Both ends come to the same
//! answer from the two ids and from who opened what, without a word between them.

/// Which end opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opened {
    ByUs,
    ByPeer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivor {
    Old,
    New,
}

/// What to do about two open connections to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Close the other one.
    Keep(Survivor),
    /// Leave it to the peer, which closes one at once.
    Wait,
}

/// The rule itself: the connection opened by the lower id stays; of two opened by the same side, the
/// newer if that side is the lower, the older if it is the higher. `new` is who opened the newer
/// one; who opened the older does not matter.
pub fn survives(ours: &[u8], theirs: &[u8], new: Opened) -> Survivor {
    let (initiator, acceptor) = match new {
        Opened::ByUs => (ours, theirs),
        Opened::ByPeer => (theirs, ours),
    };
    if initiator > acceptor { Survivor::Old } else { Survivor::New }
}

/// The rule, applied so that two gannets never close both: two connections that one side opened
/// may become ready in different orders at the two ends, which would then disagree about which of
/// them is the newer. Therefore the accepting side alone decides about such a pair.
pub fn verdict(ours: &[u8], theirs: &[u8], old: Opened, new: Opened) -> Verdict {
    match (old, new) {
        (Opened::ByUs, Opened::ByUs) => Verdict::Wait,
        _ => Verdict::Keep(survives(ours, theirs, new)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Ends 0 and 1; end 0 has the lower id. `open[e]`: connections open at end e, oldest first.
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct World {
        /// Who opened connection c.
        by: Vec<usize>,
        /// Connections whose handshake end e has not seen through yet.
        coming: [BTreeSet<usize>; 2],
        open: [Vec<usize>; 2],
        /// Connections whose close is on its way to end e.
        closing: [BTreeSet<usize>; 2],
    }

    impl World {
        fn side(&self, end: usize, c: usize) -> Opened {
            if self.by[c] == end { Opened::ByUs } else { Opened::ByPeer }
        }

        fn close(&mut self, end: usize, c: usize) {
            self.open[end].retain(|o| *o != c);
            self.coming[end].remove(&c);
            self.closing[1 - end].insert(c);
        }

        fn opens(&mut self, end: usize, c: usize) {
            self.coming[end].remove(&c);
            let ids: [&[u8]; 2] = [b"a", b"b"];
            for old in self.open[end].clone() {
                let (o, n) = (self.side(end, old), self.side(end, c));
                match verdict(ids[end], ids[1 - end], o, n) {
                    Verdict::Keep(Survivor::Old) => return self.close(end, c),
                    Verdict::Keep(Survivor::New) => self.close(end, old),
                    Verdict::Wait => {}
                }
            }
            self.open[end].push(c);
        }

        fn explore(&self, seen: &mut BTreeSet<World>, ends: &mut Vec<World>) {
            if !seen.insert(self.clone()) {
                return;
            }
            let mut moved = false;
            for end in 0..2 {
                for &c in &self.coming[end] {
                    let mut next = self.clone();
                    next.opens(end, c);
                    next.explore(seen, ends);
                    moved = true;
                }
                for &c in &self.closing[end] {
                    let mut next = self.clone();
                    next.closing[end].remove(&c);
                    next.open[end].retain(|o| *o != c);
                    next.coming[end].remove(&c);
                    next.explore(seen, ends);
                    moved = true;
                }
            }
            if !moved {
                ends.push(self.clone());
            }
        }
    }

    #[test]
    fn u02_every_interleaving_of_two_to_four_connections_leaves_exactly_one() {
        for count in 2..=4 {
            for mask in 0..1 << count {
                let by: Vec<usize> = (0..count).map(|c| mask >> c & 1).collect();
                let all: BTreeSet<usize> = (0..count).collect();
                let world = World {
                    by: by.clone(),
                    coming: [all.clone(), all],
                    open: [vec![], vec![]],
                    closing: [BTreeSet::new(), BTreeSet::new()],
                };
                let mut ends = Vec::new();
                world.explore(&mut BTreeSet::new(), &mut ends);
                assert!(!ends.is_empty());
                for end in ends {
                    assert_eq!(end.open[0], end.open[1], "opened by {by:?}");
                    assert_eq!(end.open[0].len(), 1, "opened by {by:?}");
                    // Were there crossing ones, one opened by the lower id is left.
                    assert!(by.iter().all(|b| *b == 1) || by[end.open[0][0]] == 0);
                }
            }
        }
    }

    #[test]
    fn u02_both_ends_agree_on_the_rule_itself() {
        for (low, high) in [(b"a".as_slice(), b"b".as_slice()), (&[0; 32], &[1; 32])] {
            // Crossing dials, whatever the order: the one of the lower id.
            assert_eq!(survives(low, high, Opened::ByUs), Survivor::New);
            assert_eq!(survives(high, low, Opened::ByPeer), Survivor::New);
            assert_eq!(survives(low, high, Opened::ByPeer), Survivor::Old);
            assert_eq!(survives(high, low, Opened::ByUs), Survivor::Old);
        }
    }
}
