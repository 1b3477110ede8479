use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Set(u64),
    Clear(u64),
    SetRange(u64, u64),
    ClearRange(u64, u64),
}

const TOP: u64 = 5 * PAGE;

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![0..70u64, 0..3 * PAGE];
    prop_oneof![
        (0..TOP).prop_map(Op::Set),
        (0..TOP).prop_map(Op::Clear),
        (0..TOP, len.clone()).prop_map(|(a, b)| Op::SetRange(a, b.min(TOP - a))),
        (0..TOP, len).prop_map(|(a, b)| Op::ClearRange(a, b.min(TOP - a))),
        (0..6u64, 0..6u64).prop_map(|(a, b)| Op::SetRange(a * PAGE, b * PAGE)),
    ]
}

/// The same set, the plain way.
fn model(ops: &[Op]) -> BTreeSet<u64> {
    let mut set = BTreeSet::new();
    for op in ops {
        match *op {
            Op::Set(at) => drop(set.insert(at)),
            Op::Clear(at) => drop(set.remove(&at)),
            Op::SetRange(at, len) => set.extend(at..at + len),
            Op::ClearRange(at, len) => set.retain(|x| !(at..at + len).contains(x)),
        }
    }
    set
}

fn same(bits: &Bitfield, set: &BTreeSet<u64>) {
    assert_eq!(bits.count(), set.len() as u64);
    assert_eq!(bits.last_set(), set.last().copied());
    let runs: Vec<u64> = bits.ranges(0, u64::MAX).flat_map(|(at, len)| at..at + len).collect();
    assert!(runs.iter().eq(set.iter()));
    for at in (0..TOP + PAGE).step_by(97).chain(set.iter().copied().take(50)) {
        assert_eq!(bits.get(at), set.contains(&at), "{at}");
        assert_eq!(bits.next_set(at), set.range(at..).next().copied(), "next set from {at}");
        let clear = (at..).find(|x| !set.contains(x));
        assert_eq!(Some(bits.next_clear(at)), clear, "next clear from {at}");
    }
    assert_eq!(bits.prefix(), (0..).find(|x| !set.contains(x)).unwrap_or(0));
    for at in [0, 1, PAGE - 1, PAGE, PAGE + 63, 2 * PAGE + 64] {
        for len in [0, 1, 64, 65, PAGE, 2 * PAGE + 7] {
            assert_eq!(bits.count_range(at, len), set.range(at..at + len).count() as u64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn bitfield_is_a_set(ops in prop::collection::vec(op(), 1..25)) {
        let mut bits = Bitfield::new();
        for (done, op) in ops.iter().enumerate() {
            let before = model(&ops[..done]);
            match *op {
                Op::Set(at) => assert_eq!(bits.set(at), !before.contains(&at)),
                Op::Clear(at) => assert_eq!(bits.clear(at), before.contains(&at)),
                Op::SetRange(at, len) => bits.set_range(at, len),
                Op::ClearRange(at, len) => bits.clear_range(at, len),
            }
        }
        same(&bits, &model(&ops));
    }

    #[test]
    fn b01_ranges_commute(ranges in prop::collection::vec((0..TOP, 0..2 * PAGE), 1..12)) {
        let mut one = Bitfield::new();
        let mut other = Bitfield::new();
        ranges.iter().for_each(|&(at, len)| one.set_range(at, len));
        ranges.iter().rev().for_each(|&(at, len)| (at..at + len).for_each(|x| { let _ = other.set(x); }));
        assert!(one.ranges(0, u64::MAX).eq(other.ranges(0, u64::MAX)));
        assert_eq!(one.count(), other.count());
    }

    #[test]
    fn range_set_is_a_set(ops in prop::collection::vec((any::<bool>(), 0..60u64, 0..20u64), 1..40)) {
        let mut ranges = RangeSet::new();
        let mut set = BTreeSet::new();
        for (add, at, len) in ops {
            if add {
                ranges.insert(at, len);
                set.extend(at..at + len);
            } else {
                ranges.remove(at, len);
                set.retain(|x| !(at..at + len).contains(x));
            }
            assert!(ranges.iter().flat_map(|(at, len)| at..at + len).eq(set.iter().copied()));
            assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(a, b)| a.0 + a.1 < b.0));
            for at in 0..90 {
                assert_eq!(ranges.contains(at), set.contains(&at));
                assert_eq!(ranges.next(at), set.range(at..).next().copied());
                assert_eq!(ranges.covered(at, 13), set.range(at..at + 13).count() as u64);
            }
            assert_eq!(ranges.len(), set.len() as u64);
        }
    }
}

#[test]
fn b08_ten_bits_of_a_huge_feed_are_small() {
    let mut bits = Bitfield::new();
    (0..10).for_each(|i| {
        let _ = bits.set((i * 429_496_729) | 4095);
    });
    assert!(bits.memory() < 16 * 1024, "{}", bits.memory());
    assert_eq!(bits.count(), 10);
}

#[test]
fn a_claim_of_everything_costs_nothing() {
    let mut bits = Bitfield::new();
    bits.set_range(3, (1 << 53) - 7);
    assert!(bits.memory() < 4096);
    assert_eq!(bits.count(), (1 << 53) - 7);
    assert_eq!(bits.next_clear(3), (1 << 53) - 4);
    bits.set_range(0, u64::MAX);
    assert_eq!(bits.prefix(), u64::MAX);
    bits.clear(1 << 40);
    assert_eq!(bits.prefix(), 1 << 40);
    assert_eq!(bits.next_set(1 << 40), Some((1 << 40) + 1));
    bits.clear_range(0, u64::MAX);
    assert!(bits.is_empty());
}
