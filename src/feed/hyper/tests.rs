//! Any tree, any request, any subset held: what we build we accept, and nothing that was changed.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::crypto::hash::Node;
use crate::crypto::hyper;
use crate::crypto::sign::KeyPair;
use crate::feed::flat;

fn pair() -> KeyPair {
    KeyPair::from_seed([7; 32])
}

fn authority() -> Authority {
    Authority::of(Manifest::single(pair().public()))
}

/// Somebody with a part of a core.
#[derive(Clone, Default)]
struct Holder {
    tree: Tree,
    nodes: BTreeMap<u64, Node>,
    signature: Vec<u8>,
    fork: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

struct Shelf<'a>(&'a BTreeMap<u64, Node>);

impl Held for Shelf<'_> {
    type Error = Infallible;
    fn node(&mut self, index: u64) -> Result<Option<Node>, Infallible> {
        Ok(self.0.get(&index).copied())
    }
}

fn get<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl Holder {
    fn writer(blocks: &[Vec<u8>], fork: u64) -> Holder {
        let mut writer = Holder { fork, ..Holder::default() };
        writer.append(blocks);
        writer
    }

    fn append(&mut self, blocks: &[Vec<u8>]) {
        let mut kept = Vec::new();
        for block in blocks {
            self.blocks.insert(self.tree.length(), block.clone());
            let size = block.len() as u64;
            self.tree.append_block(size, hyper::leaf(block), &mut kept).unwrap();
        }
        self.nodes.extend(kept.into_iter().map(|node| (node.index, node)));
        self.signature = authority().sign(&self.tree, self.fork, &pair()).unwrap();
    }

    fn shelf(&self) -> Shelf<'_> {
        Shelf(&self.nodes)
    }

    fn build(&self, ask: &Ask) -> Result<Proof, Unprovable> {
        let (length, signature) = (self.tree.length(), Some(&self.signature[..]));
        get(build(Source { length, signature, prologue: None }, &mut self.shelf(), ask))
    }

    fn check(&self, fork: u64, proof: &Proof, value: Option<&[u8]>) -> Result<Accepted, Refusal> {
        let authority = authority();
        let leaf = proof.block.as_ref().zip(value).map(|(block, value)| Node {
            index: block.index.wrapping_mul(2),
            size: value.len() as u64,
            hash: hyper::leaf(value),
        });
        let ours = Ours { authority: &authority, tree: &self.tree, fork: self.fork };
        get(verify(ours, &mut self.shelf(), fork, proof, leaf))
    }

    /// Stores what was accepted.
    fn take(&mut self, proof: &Proof, value: Option<&[u8]>, accepted: Accepted) {
        self.nodes.extend(accepted.nodes.iter().map(|node| (node.index, *node)));
        for node in accepted.unsure {
            self.nodes.entry(node.index).or_insert(node);
        }
        if let (Some(block), Some(value)) = (&proof.block, value) {
            self.blocks.insert(block.index, value.to_vec());
        }
        if let Some(signed) = accepted.grown {
            self.tree = signed.tree;
            self.signature = signed.signature;
            self.fork = signed.fork;
        }
    }
}

fn blocks(most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..most)
}

/// What a reader may want next, drawn.
#[derive(Clone, Debug)]
enum Wish {
    Block(Index),
    Hash(Index),
    Seek(Index),
    Upgrade(Index),
    BlockAndUpgrade(Index, Index),
    SeekAndUpgrade(Index, Index),
}

fn wish() -> impl Strategy<Value = Wish> {
    let i = || any::<Index>();
    prop_oneof![
        i().prop_map(Wish::Block),
        i().prop_map(Wish::Hash),
        i().prop_map(Wish::Seek),
        i().prop_map(Wish::Upgrade),
        (i(), i()).prop_map(|(a, b)| Wish::BlockAndUpgrade(a, b)),
        (i(), i()).prop_map(|(a, b)| Wish::SeekAndUpgrade(a, b)),
    ]
}

/// The request that a reader makes for a wish; `None`: there is nothing to ask.
fn ask_for(reader: &Holder, length: u64, bytes: u64, wish: &Wish) -> Option<Ask> {
    let own = reader.tree.length();
    let of = |index: &Index, n: u64| index.index(n as usize) as u64;
    let missing = |index| get(missing(&mut reader.shelf(), index, own));
    let block = |index| {
        let nodes = if index < own { missing(2 * index) } else { 0 };
        Some(Indexed { index, nodes })
    };
    let upgrade = |index: &Index| {
        (own < length).then(|| Upgrade { start: own, length: 1 + of(index, length - own) })
    };
    let ask = Ask::default();
    Some(match wish {
        Wish::Block(i) if own > 0 => Ask { block: block(of(i, own)), ..ask },
        Wish::Hash(i) if own > 0 => {
            let index = of(i, 2 * own - 1);
            if flat::right_span(index) >= 2 * own {
                return None;
            }
            Ask { hash: Some(Indexed { index, nodes: missing(index) }), ..ask }
        }
        Wish::Seek(i) if own > 0 => {
            let bytes = of(i, reader.tree.byte_length() + 2);
            let seek = Seek { bytes, padding: 0 };
            let Place::Below { node } = get(find(&reader.tree, &mut reader.shelf(), seek)) else {
                return None;
            };
            let depth = u64::from(flat::depth(node));
            let hash = Indexed { index: flat::left_span(node), nodes: depth };
            Ask { hash: Some(hash), seek: Some(seek), ..ask }
        }
        Wish::Upgrade(u) => Ask { upgrade: Some(upgrade(u)?), ..ask },
        Wish::BlockAndUpgrade(i, u) => {
            let upgrade = upgrade(u)?;
            let end = own + upgrade.length;
            Ask { block: block(of(i, end)), upgrade: Some(upgrade), ..ask }
        }
        Wish::SeekAndUpgrade(i, u) => {
            let seek = Seek { bytes: of(i, bytes + 2), padding: 0 };
            Ask { seek: Some(seek), upgrade: Some(upgrade(u)?), ..ask }
        }
        _ => return None,
    })
}

/// The places in a proof where a bit can be flipped.
fn spots(proof: &Proof, value: Option<&[u8]>) -> usize {
    node_lists(&mut proof.clone()).iter().map(|list| list.len()).sum::<usize>() * (64 + 64 + 256)
        + value.map_or(0, |value| 8 * value.len())
        + proof.upgrade.as_ref().map_or(0, |up| 128 + 8 * up.signature.as_ref().map_or(0, Vec::len))
        + 64 * usize::from(proof.block.is_some())
        + 64 * usize::from(proof.hash.is_some())
}

fn node_lists(proof: &mut Proof) -> Vec<&mut Vec<Node>> {
    let Proof { block, hash, seek, upgrade } = proof;
    let mut lists = Vec::new();
    lists.extend(block.as_mut().map(|block| &mut block.nodes));
    lists.extend(hash.as_mut().map(|hash| &mut hash.nodes));
    lists.extend(seek.as_mut().map(|seek| &mut seek.nodes));
    if let Some(upgrade) = upgrade {
        lists.push(&mut upgrade.nodes);
        lists.push(&mut upgrade.additional);
    }
    lists
}

/// Flips one of them.
fn flip(proof: &mut Proof, value: &mut Option<Vec<u8>>, mut spot: usize) {
    for node in node_lists(proof).into_iter().flatten() {
        match spot {
            0..64 => return node.index ^= 1 << spot,
            64..128 => return node.size ^= 1 << (spot - 64),
            128..384 => return node.hash[(spot - 128) / 8] ^= 1 << (spot % 8),
            _ => spot -= 384,
        }
    }
    if let Some(value) = value {
        if spot < 8 * value.len() {
            return value[spot / 8] ^= 1 << (spot % 8);
        }
        spot -= 8 * value.len();
    }
    if let Some(upgrade) = &mut proof.upgrade {
        let signature = upgrade.signature.as_mut().unwrap();
        match spot {
            0..64 => return upgrade.start ^= 1 << spot,
            64..128 => return upgrade.length ^= 1 << (spot - 64),
            _ => spot -= 128,
        }
        if spot < 8 * signature.len() {
            return signature[spot / 8] ^= 1 << (spot % 8);
        }
        spot -= 8 * signature.len();
    }
    let path = if proof.block.is_some() { &mut proof.block } else { &mut proof.hash };
    path.as_mut().unwrap().index ^= 1 << spot;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Readers ask the writer and, of what they hold by then, each other. Whatever is answered is
    /// accepted and true; one flipped bit anywhere is refused.
    #[test]
    fn what_is_built_is_accepted_and_nothing_else(
        blocks in blocks(70),
        wishes in proptest::collection::vec((0usize..2, 0usize..2, wish(), any::<Index>()), 1..60),
    ) {
        let writer = Holder::writer(&blocks, 0);
        let mut readers = [Holder::default(), Holder::default()];
        for (who, of_writer, wish, spot) in wishes {
            let source = if of_writer == 0 { &writer } else { &readers[1 - who] };
            let source = source.clone();
            let reader = &mut readers[who];
            let (length, bytes) = (source.tree.length(), source.tree.byte_length());
            let Some(ask) = ask_for(reader, length, bytes, &wish) else { continue };
            let proof = match source.build(&ask) {
                Ok(proof) => proof,
                Err(why) => {
                    // The writer holds everything; a reader that lacks the block's path says so.
                    prop_assert!(of_writer == 1 || why == Unprovable::Invalid, "{ask:?} {why}");
                    prop_assert!(of_writer == 1 || ask.seek.is_some(), "{ask:?}");
                    continue;
                }
            };
            let value = proof.block.as_ref().map(|block| source.blocks.get(&block.index));
            let value = match value {
                Some(None) => continue,
                Some(Some(value)) => Some(value.clone()),
                None => None,
            };
            let empty = proof == Proof::default();
            let accepted = reader.check(0, &proof, value.as_deref());
            if empty {
                prop_assert_eq!(accepted, Err(Refusal::Empty));
                continue;
            }
            prop_assert!(accepted.is_ok(), "{:?} {:?} {:?}", ask, proof, accepted);
            prop_assert_eq!(reader.check(1, &proof, value.as_deref()), Err(Refusal::Fork));

            let (mut changed, mut other) = (proof.clone(), value.clone());
            flip(&mut changed, &mut other, spot.index(spots(&proof, value.as_deref())));
            let refused = reader.check(0, &changed, other.as_deref());
            // Another block of the same bytes, held before: that is as true.
            let moved = changed.block.as_ref().filter(|_| changed.block != proof.block);
            let true_too = moved.is_some_and(|block| {
                block.nodes.is_empty() && writer.blocks.get(&block.index) == other.as_ref()
            });
            prop_assert!(refused.is_err() || true_too, "{:?} became {:?}", proof, changed);

            reader.take(&proof, value.as_deref(), accepted.unwrap());
            for node in reader.nodes.values() {
                prop_assert_eq!(writer.nodes.get(&node.index), Some(node));
            }
        }
    }

    /// A reader with nothing but the roots finds any byte with at most a tree's depth of questions.
    #[test]
    fn any_byte_is_found(blocks in blocks(90), at: Index, padding in 0u64..3) {
        let blocks: Vec<Vec<u8>> =
            blocks.into_iter().map(|block| [vec![0; padding as usize], block].concat()).collect();
        let writer = Holder::writer(&blocks, 0);
        let mut reader = Holder::default();
        let all = Upgrade { start: 0, length: writer.tree.length() };
        let proof = writer.build(&Ask { upgrade: Some(all), ..Ask::default() }).unwrap();
        let accepted = reader.check(0, &proof, None).unwrap();
        reader.take(&proof, None, accepted);
        let size = |block: &Vec<u8>| block.len() as u64 - padding;
        let total: u64 = blocks.iter().map(size).sum();
        let bytes = at.index(total as usize + 1) as u64;
        let seek = Seek { bytes, padding };
        let mut asked = 0;
        let (index, offset) = loop {
            match get(find(&reader.tree, &mut reader.shelf(), seek)) {
                Place::Block { index, offset } => break (index, offset),
                Place::Beyond => panic!("within the core"),
                Place::Below { node } => {
                    asked += 1;
                    prop_assert!(asked <= 8);
                    let depth = u64::from(flat::depth(node));
                    let hash = Indexed { index: flat::left_span(node), nodes: depth };
                    let ask = Ask { hash: Some(hash), seek: Some(seek), ..Ask::default() };
                    let proof = writer.build(&ask).unwrap();
                    let accepted = reader.check(0, &proof, None).unwrap();
                    reader.take(&proof, None, accepted);
                }
            }
        };
        let before: u64 = blocks.iter().take(index as usize).map(size).sum();
        prop_assert_eq!(before + offset, bytes);
        prop_assert!(offset == 0 || offset < size(&blocks[index as usize]));
    }

    /// Absurd requests are answered or not, and never panic.
    #[test]
    fn any_request_ends(
        blocks in blocks(20),
        numbers in proptest::collection::vec(prop_oneof![0u64..45, any::<u64>(), Just(1 << 33)], 8),
        parts in 0u8..16,
    ) {
        let writer = Holder::writer(&blocks, 0);
        let part = |n: u8| parts >> n & 1 == 1;
        let ask = Ask {
            block: part(0).then(|| Indexed { index: numbers[0], nodes: numbers[1] }),
            hash: part(1).then(|| Indexed { index: numbers[2], nodes: numbers[3] }),
            seek: part(2).then(|| Seek { bytes: numbers[4], padding: numbers[5] }),
            upgrade: part(3).then(|| Upgrade { start: numbers[6], length: numbers[7] }),
        };
        if let Ok(proof) = writer.build(&ask) {
            let value =
                proof.block.as_ref().and_then(|block| writer.blocks.get(&block.index).cloned());
            let _ = Holder::default().check(0, &proof, value.as_deref());
        }
    }

    /// After a truncation the reader keeps exactly what both histories share.
    #[test]
    fn a_higher_fork_is_followed(
        shared in blocks(40),
        old in blocks(20),
        new in blocks(20),
        held: Vec<Index>,
    ) {
        let both = |tail: &[Vec<u8>]| [&shared[..], tail].concat();
        let before = Holder::writer(&both(&old), 0);
        let after = Holder::writer(&both(&new), 1);
        let mut reader = Holder::default();
        let length = before.tree.length();
        let ask = Ask { upgrade: Some(Upgrade { start: 0, length }), ..Ask::default() };
        let proof = before.build(&ask).unwrap();
        let accepted = reader.check(0, &proof, None).unwrap();
        reader.take(&proof, None, accepted);
        for index in held {
            let index = index.index(length as usize) as u64;
            let nodes = get(missing(&mut reader.shelf(), 2 * index, length));
            let ask = Ask { block: Some(Indexed { index, nodes }), ..Ask::default() };
            let proof = before.build(&ask).unwrap();
            let value = &before.blocks[&index];
            let accepted = reader.check(0, &proof, Some(value)).unwrap();
            reader.take(&proof, Some(value), accepted);
        }
        let proof = after.build(&Reorg::ask(after.tree.length())).unwrap();
        let start = |fork| {
            get(Reorg::new(&authority(), &reader.tree, &mut reader.shelf(), fork, &proof))
        };
        prop_assert_eq!(start(0), Err(Refusal::Unsigned));
        let mut reorg = start(1).unwrap();
        let mut asked = 0;
        while let Some(ask) = reorg.next() {
            asked += 1;
            prop_assert!(asked <= 7);
            let proof = after.build(&ask).unwrap();
            let mut wrong = proof.clone();
            wrong.hash.as_mut().unwrap().nodes[0].hash[3] ^= 1;
            let (ours, mut shelf) = (&reader.tree, reader.shelf());
            prop_assert_eq!(get(reorg.narrowed(ours, &mut shelf, &wrong)), Err(Refusal::Wrong));
            prop_assert_eq!(get(reorg.narrowed(ours, &mut shelf, &proof)), Ok(()));
        }
        let really = both(&old).iter().zip(&both(&new)).take_while(|(a, b)| a == b).count() as u64;
        // What was never held cannot be compared: less may stay, never more.
        prop_assert!(reorg.common() <= really);
        if let Some(all) = full(&reader, really) {
            prop_assert!(reorg.common() == really, "{} of {}", reorg.common(), all);
        }
        let (signed, nodes) = reorg.finish();
        prop_assert_eq!((&signed.tree, signed.fork), (&after.tree, 1));
        for node in nodes {
            prop_assert_eq!(after.nodes.get(&node.index), Some(&node));
        }
    }

    /// Two signatures for one length and fork are evidence; one history grown is not.
    #[test]
    fn equivocation_is_seen(shared in blocks(20), a in blocks(9), b in blocks(9), more in blocks(9)) {
        let both = |tail: &[Vec<u8>]| [&shared[..], tail].concat();
        let first = Holder::writer(&both(&a), 0);
        let second = Holder::writer(&both(&b), 0);
        let mut longer = first.clone();
        longer.append(&more);
        let probe = |ours: &Holder, theirs: &Holder| {
            let length = ours.tree.length().min(theirs.tree.length());
            let proof = theirs.build(&Reorg::ask(length)).unwrap();
            get(conflict(&authority(), &ours.tree, &mut ours.shelf(), 0, &proof)).unwrap()
        };
        prop_assert_eq!(probe(&first, &longer), None);
        prop_assert_eq!(probe(&longer, &first), None);
        prop_assert_eq!(probe(&first, &first), None);
        let common = first.tree.length().min(second.tree.length()) as usize;
        let differ = both(&a)[..common] != both(&b)[..common];
        for (ours, theirs) in [(&first, &second), (&second, &first)] {
            let found = probe(ours, theirs);
            prop_assert_eq!(found.is_some(), differ);
            if let Some(Conflict { theirs: signed }) = found {
                prop_assert_eq!(signed.tree, theirs.tree.clone());
            }
        }
        // And it does not verify as growth.
        if differ && second.tree.length() > first.tree.length() {
            let (start, length) = (first.tree.length(), second.tree.length());
            let upgrade = Upgrade { start, length: length - start };
            let proof = second.build(&Ask { upgrade: Some(upgrade), ..Ask::default() }).unwrap();
            prop_assert_eq!(first.check(0, &proof, None), Err(Refusal::Unsigned));
        }
    }
}

/// All leaves and parents of the first `length` blocks are held.
fn full(holder: &Holder, length: u64) -> Option<u64> {
    let all = (0..2 * length).filter(|&i| flat::right_span(i) < 2 * length);
    all.into_iter().all(|i| holder.nodes.contains_key(&i)).then_some(length)
}

#[test]
fn sizes_that_only_add_up_are_not_taken_for_proven() {
    let writer = Holder::writer(&[vec![1; 5], vec![2; 6], vec![3; 7], vec![4; 8]], 0);
    let mut reader = Holder::default();
    let proof = writer.build(&Reorg::ask(4)).unwrap();
    let accepted = reader.check(0, &proof, None).unwrap();
    reader.take(&proof, None, accepted);
    let hash = Some(Indexed { index: 2, nodes: 2 });
    let mut proof = writer.build(&Ask { hash, ..Ask::default() }).unwrap();
    let path = &mut proof.hash.as_mut().unwrap().nodes;
    (path[0].size, path[1].size) = (1, 10);
    let accepted = reader.check(0, &proof, None).unwrap();
    let numbers = |nodes: &[Node]| nodes.iter().map(|node| node.index).collect::<Vec<_>>();
    assert_eq!(numbers(&accepted.unsure), [2, 0]);
    assert!(!numbers(&accepted.nodes).contains(&0));
    // The same in an upgrade whose nodes are no roots of the signed tree.
    let up = Upgrade { start: 0, length: 2 };
    let mut proof = writer.build(&Ask { upgrade: Some(up), ..Ask::default() }).unwrap();
    let grown = proof.upgrade.as_mut().unwrap();
    (grown.nodes[0].size, grown.additional[0].size) = (12, 14);
    let accepted = verify_alone(&authority(), 0, &proof, None).unwrap();
    assert_eq!(numbers(&accepted.unsure), [1, 5]);
    assert_eq!(numbers(&accepted.nodes), [3]);
}

#[test]
fn absurd_nodes_never_overflow() {
    let reader = Holder::default();
    let node = |index, size| Node { index, size, hash: [0; 32] };
    for nodes in [
        vec![node(u64::MAX, 0)],
        vec![node(0, u64::MAX), node(2, u64::MAX)],
        vec![node((1 << 33) - 1, 1)],
        vec![node(3, 1); 200],
    ] {
        let upgrade =
            Grown { start: 0, length: u64::MAX, nodes: nodes.clone(), ..Grown::default() };
        let long = Grown { length: 1 << 32, ..upgrade.clone() };
        let short = Grown { length: 2, ..upgrade.clone() };
        for upgrade in [upgrade, long, short] {
            let proof = Proof { upgrade: Some(upgrade), ..Proof::default() };
            assert!(reader.check(0, &proof, None).is_err());
        }
        let hash = Path { index: nodes[0].index, nodes };
        let proof = Proof { hash: Some(hash), ..Proof::default() };
        assert!(reader.check(0, &proof, None).is_err());
    }
    let block = Some(Path { index: u64::MAX, nodes: vec![] });
    let proof = Proof { block, ..Proof::default() };
    assert_eq!(reader.check(0, &proof, Some(b"x")), Err(Refusal::Index));
}
