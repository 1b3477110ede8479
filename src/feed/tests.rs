use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::prelude::*;
use serde_json::Value;

use super::proof::{Nodes, Proof, Signed, build, verify};
use super::*;
use crate::crypto::sign::{KeyPair, Signature};

/// The vectors of `tests/vectors/dat.json`, made by the JavaScript stack.
fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/dat.json")).expect("vectors")
}

fn hex32(value: &Value) -> [u8; 32] {
    hex::decode(value.as_str().expect("text")).expect("hex").try_into().expect("32 bytes")
}

fn hex64(value: &Value) -> [u8; 64] {
    hex::decode(value.as_str().expect("text")).expect("hex").try_into().expect("64 bytes")
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().expect("list").iter().map(|n| n.as_u64().expect("number")).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("list")
}

/// Somebody with a part of a feed, all in memory.
#[derive(Clone)]
struct Holder {
    feed: Feed,
    nodes: BTreeMap<u64, Node>,
    signatures: BTreeMap<u64, Signature>,
    blocks: BTreeMap<u64, Vec<u8>>,
}

struct Shelf<'a>(&'a BTreeMap<u64, Node>, &'a BTreeMap<u64, Signature>);

impl Nodes for Shelf<'_> {
    type Error = Infallible;
    fn node(&mut self, index: u64) -> Result<Option<Node>, Infallible> {
        Ok(self.0.get(&index).copied())
    }
    fn signature(&mut self, length: u64) -> Result<Option<Signature>, Infallible> {
        Ok(self.1.get(&length).copied())
    }
}

impl Holder {
    fn empty(key: PublicKey) -> Holder {
        let (nodes, signatures, blocks) = Default::default();
        Holder { feed: Feed::new(key), nodes, signatures, blocks }
    }

    fn put(&mut self, node: Node) {
        self.nodes.insert(node.index, node);
        self.feed.set_node(node.index);
    }

    fn append(&mut self, pair: &KeyPair, block: &[u8], sign: bool) {
        let number = self.feed.length();
        self.blocks.insert(number, block.to_vec());
        self.feed.set_block(number);
        let mut node =
            Node { index: 2 * number, size: block.len() as u64, hash: hash::leaf(block) };
        self.put(node);
        while let Some(left) = self.nodes.get(&flat::sibling(node.index))
            && left.index < node.index
        {
            node = hash::parent(left, &node).expect("sizes");
            self.put(node);
        }
        self.feed.set_lengths(number + 1, self.feed.byte_length() + block.len() as u64);
        if sign {
            let roots: Vec<Node> =
                flat::full_roots(number + 1).map(|root| self.nodes[&root]).collect();
            self.signatures.insert(number + 1, pair.sign(&hash::roots(&roots)));
        }
    }

    fn build(&self, index: u64, digest: u64, hash_only: bool) -> Option<Proof> {
        let mut shelf = Shelf(&self.nodes, &self.signatures);
        let Ok(proof) = build(&self.feed, &mut shelf, index, digest, hash_only);
        proof
    }

    fn verify(&self, index: u64, value: Option<&[u8]>, proof: &Proof) -> Verdict {
        let leaf = value.map(|value| Node {
            index: 2 * index,
            size: value.len() as u64,
            hash: hash::leaf(value),
        });
        let mut shelf = Shelf(&self.nodes, &self.signatures);
        let Ok(verdict) =
            verify(&self.feed, &mut shelf, index, leaf, &proof.nodes, proof.signature.as_ref());
        verdict
    }

    fn take(&mut self, accepted: &Accepted, value: Option<&[u8]>) {
        for &node in &accepted.nodes {
            let old = self.nodes.get(&node.index).copied();
            assert!(old.is_none_or(|old| old == node));
            self.put(node);
        }
        if let Some(Signed { length, byte_length, signature }) = accepted.signed {
            self.signatures.insert(length, signature);
            if length > self.feed.length() {
                self.feed.set_lengths(length, byte_length);
            }
        }
        if let Some(value) = value {
            self.feed.set_block(accepted.index);
            self.blocks.insert(accepted.index, value.to_vec());
        }
    }

    /// Asks `from` for a block as a peer does.
    fn fetch(&mut self, from: &Holder, index: u64) {
        let proof = from.build(index, self.feed.digest(index), false).expect("a proof");
        let value = &from.blocks[&index];
        match self.verify(index, Some(value), &proof) {
            Verdict::Accepted(accepted) => {
                let offset: u64 =
                    (0..index).map_while(|b| from.nodes.get(&(2 * b))).map(|n| n.size).sum();
                if (0..index).all(|b| from.nodes.contains_key(&(2 * b))) {
                    assert_eq!(accepted.offset, offset);
                }
                self.take(&accepted, Some(value));
            }
            other => panic!("block {index}: {other:?}"),
        }
    }

    /// Who holds two siblings holds the parent, and it is theirs.
    fn closed(&self) {
        for node in self.nodes.values() {
            if let Some(other) = self.nodes.get(&flat::sibling(node.index)) {
                let parent = hash::parent(node, other).expect("sizes");
                assert_eq!(self.nodes.get(&parent.index), Some(&parent), "over {}", node.index);
            }
        }
    }
}

fn pair() -> KeyPair {
    KeyPair::from_seed([7; 32])
}

fn source(length: u64, signed: impl Fn(u64) -> bool) -> Holder {
    let mut holder = Holder::empty(pair().public());
    for block in 0..length {
        let bytes = vec![block as u8; (block * 7 % 23) as usize];
        holder.append(&pair(), &bytes, signed(block + 1) || block + 1 == length);
    }
    holder
}

#[test]
fn flat_tree_as_in_the_vectors() {
    let vectors = &vectors()["flatTree"];
    for v in list(&vectors["fullRoots"]) {
        let roots: Vec<u64> = flat::full_roots(v["blocks"].as_u64().expect("blocks")).collect();
        assert_eq!(roots, numbers(&v["roots"]));
    }
    for v in list(&vectors["rel"]) {
        let node = v["index"].as_u64().expect("index");
        assert_eq!(u64::from(flat::depth(node)), v["depth"]);
        assert_eq!(flat::offset(node), v["offset"]);
        assert_eq!(flat::index(flat::depth(node), flat::offset(node)), node);
        assert_eq!(flat::parent(node), v["parent"]);
        assert_eq!(flat::sibling(node), v["sibling"]);
        assert_eq!(flat::left_span(node), v["leftSpan"]);
        assert_eq!(flat::right_span(node), v["rightSpan"]);
        if let Some((left, right)) = flat::children(node) {
            assert_eq!((flat::parent(left), flat::parent(right)), (node, node));
            assert_eq!(flat::sibling(left), right);
        }
    }
}

fn vector_source() -> (KeyPair, Holder) {
    let vectors = vectors();
    let pair = KeyPair::from_seed(hex32(&vectors["crypto"]["seed"]));
    let mut holder = Holder::empty(pair.public());
    for block in list(&vectors["feed"]["blocks"]) {
        let block = hex::decode(block.as_str().expect("text")).expect("hex");
        holder.append(&pair, &block, true);
    }
    (pair, holder)
}

#[test]
fn proofs_as_in_the_vectors() {
    let vectors = vectors();
    let (pair, holder) = vector_source();
    assert_eq!(pair.public(), hex32(&vectors["feed"]["key"]));
    for v in list(&vectors["feed"]["perLength"]) {
        let length = v["length"].as_u64().expect("length");
        assert_eq!(holder.signatures[&length], hex64(&v["signature"]));
    }
    for v in list(&vectors["feed"]["proofs"]) {
        let (index, digest) = (v["index"].as_u64().expect("index"), v["digest"].as_u64());
        let hash_only = v["hash"].as_bool().expect("hash");
        let proof = holder.build(index, digest.expect("digest"), hash_only).expect("a proof");
        let nodes: Vec<u64> = proof.nodes.iter().map(|node| node.index).collect();
        assert_eq!(nodes, numbers(&v["nodes"]), "{v}");
        assert_eq!(proof.signature, v["signature"].as_str().map(|_| hex64(&v["signature"])));
    }
}

/// A holder of `nodes` of a feed with `length` blocks.
fn partial(length: u64, nodes: &[u64], signed: u64) -> Holder {
    let whole = source(length, |_| true);
    let mut holder = Holder::empty(pair().public());
    nodes.iter().for_each(|n| holder.put(whole.nodes[n]));
    holder.feed.set_lengths(length, 0);
    if signed > 0 {
        holder.signatures.insert(signed, whole.signatures[&signed]);
    }
    holder
}

#[test]
fn digests_and_answers_as_in_the_vectors() {
    for v in list(&vectors()["digests"]) {
        let length = v["length"].as_u64().expect("length");
        let block = v["block"].as_u64().expect("block");
        let asker = partial(length, &numbers(&v["nodesHeld"]), 0);
        assert_eq!(asker.feed.digest(block), v["digest"], "{v}");
        let server = source(length, |_| false);
        for (hash_only, name) in [(false, "answerNodes"), (true, "hashAnswerNodes")] {
            let proof = server.build(block, asker.feed.digest(block), hash_only).expect("proof");
            let nodes: Vec<u64> = proof.nodes.iter().map(|node| node.index).collect();
            assert_eq!(nodes, numbers(&v[name]), "{v}");
            let signed = v["answerNeedsSignatureOfLength"].as_u64().expect("length");
            assert_eq!(proof.signature.is_some(), signed != 0);
        }
    }
}

#[test]
fn partial_sources_as_in_the_vectors() {
    for v in list(&vectors()["partialSource"]) {
        let length = v["length"].as_u64().expect("length");
        let block = v["block"].as_u64().expect("block");
        let signed = v["answerNeedsSignatureOfLength"].as_u64().expect("length");
        let holder = partial(length, &numbers(&v["nodesHeld"]), signed);
        assert_eq!(holder.feed.length_by_nodes(), v["blocksByTree"], "{v}");
        let proof = holder.build(block, 0, false).expect("a proof");
        let nodes: Vec<u64> = proof.nodes.iter().map(|node| node.index).collect();
        assert_eq!(nodes, numbers(&v["answerNodes"]), "{v}");
        let value = &source(length, |_| false).blocks[&block];
        let asker = Holder::empty(pair().public());
        assert!(matches!(asker.verify(block, Some(value), &proof), Verdict::Accepted(_)));
    }
}

#[test]
fn a_feed_that_grows_while_it_is_fetched() {
    let mut writer = Holder::empty(pair().public());
    let mut relay = Holder::empty(pair().public());
    let mut reader = Holder::empty(pair().public());
    for block in 0..200u64 {
        writer.append(&pair(), &block.to_be_bytes(), true);
        if block % 3 != 1 {
            relay.fetch(&writer, block);
        }
        if block % 5 == 0 {
            reader.fetch(&relay, block - block % 3);
        }
    }
    relay.closed();
    assert_eq!(relay.feed.length(), 199);
    for block in (0..200).filter(|b| b % 3 != 1) {
        reader.fetch(&relay, block);
    }
    reader.closed();
    for block in (0..200).filter(|b| b % 3 == 1) {
        reader.fetch(&writer, block);
    }
    reader.closed();
    assert_eq!(reader.nodes, writer.nodes);
}

#[test]
fn b07_two_histories_are_a_fork() {
    let one = source(6, |_| true);
    let mut other = Holder::empty(pair().public());
    (0..6).for_each(|block: u64| other.append(&pair(), &[block as u8, 1], true));
    let mut reader = Holder::empty(pair().public());
    reader.fetch(&one, 2);
    let proof = other.build(5, 0, false).expect("a proof");
    let verdict = reader.verify(5, Some(&other.blocks[&5]), &proof);
    let Verdict::Forked(fork) = verdict else { panic!("{verdict:?}") };
    assert_eq!((fork.length, fork.signature.clone()), (6, other.signatures[&6].to_vec()));
    reader.feed.freeze(fork);
    let proof = one.build(0, 0, false).expect("a proof");
    let verdict = reader.verify(0, Some(&one.blocks[&0]), &proof);
    assert_eq!(verdict, Verdict::Refused(Refusal::Forked));
}

#[test]
fn b07_a_fork_below_a_newer_signature_is_seen_when_its_nodes_come() {
    // The first history has 5 blocks; the second shares 4 of them and has 8.
    let mut one = source(4, |_| true);
    let mut other = one.clone();
    one.append(&pair(), b"lost", true);
    (4..8).for_each(|block: u64| other.append(&pair(), &[block as u8], true));
    let mut reader = Holder::empty(pair().public());
    (0..5).for_each(|block| reader.fetch(&one, block));
    // Nothing in the proof of block 7 contradicts what is held: it is taken.
    let proof = other.build(7, 0, false).expect("a proof");
    let Verdict::Accepted(accepted) = reader.verify(7, Some(&other.blocks[&7]), &proof) else {
        panic!("it is signed");
    };
    reader.take(&accepted, Some(&other.blocks[&7]));
    // The sibling of block 5 is another one in each history; the digest leaves it out.
    let short = other.build(5, reader.feed.digest(5), false).expect("a proof");
    let verdict = reader.verify(5, Some(&other.blocks[&5]), &short);
    assert!(matches!(verdict, Verdict::Refused(Refusal::Unsigned | Refusal::Wrong)), "{verdict:?}");
    let whole = other.build(5, 0, false).expect("a proof");
    let verdict = reader.verify(5, Some(&other.blocks[&5]), &whole);
    let Verdict::Forked(fork) = verdict else { panic!("{verdict:?}") };
    assert_eq!((fork.length, fork.signature), (8, other.signatures[&8].to_vec()));
    // Were our own node only damaged, nobody would have signed it.
    reader.nodes.get_mut(&8).expect("a leaf").hash[0] ^= 1;
    let verdict = reader.verify(5, Some(&other.blocks[&5]), &whole);
    assert_eq!(verdict, Verdict::Refused(Refusal::Contradicts));
}

#[test]
fn b07_a_shorter_history_is_seen_where_the_longer_one_is_held_above_it() {
    // They share 3 blocks; one ends at 4, where the root's sibling in the other is held.
    let mut one = source(3, |_| true);
    let mut other = one.clone();
    one.append(&pair(), b"lost", true);
    (3..8).for_each(|block: u64| other.append(&pair(), &[block as u8, 1], true));
    let mut reader = Holder::empty(pair().public());
    reader.fetch(&other, 7);
    let proof = one.build(0, 0, false).expect("a proof");
    let verdict = reader.verify(0, Some(&one.blocks[&0]), &proof);
    let Verdict::Forked(fork) = verdict else { panic!("{verdict:?}") };
    assert_eq!((fork.length, fork.signature), (4, one.signatures[&4].to_vec()));
    // Not so what nobody signed, and what only a damaged node of ours contradicts.
    let mut forged = proof.clone();
    forged.signature = other.signatures.get(&8).copied();
    let verdict = reader.verify(0, Some(&one.blocks[&0]), &forged);
    assert_eq!(verdict, Verdict::Refused(Refusal::Wrong));
    reader.nodes.get_mut(&3).expect("the root's left half").hash[0] ^= 1;
    let verdict = reader.verify(0, Some(&one.blocks[&0]), &proof);
    assert_eq!(verdict, Verdict::Refused(Refusal::Contradicts));
}

#[test]
fn an_older_signature_never_shortens() {
    let long = source(9, |_| true);
    let short = source(5, |_| true);
    let mut reader = Holder::empty(pair().public());
    reader.fetch(&long, 8);
    reader.fetch(&short, 4);
    reader.fetch(&short, 1);
    assert_eq!(reader.feed.length(), 9);
    reader.closed();
}

#[test]
fn hash_only_sizes_are_not_believed() {
    let whole = source(8, |_| true);
    let mut reader = Holder::empty(pair().public());
    reader.fetch(&whole, 4);
    let mut proof = whole.build(4, 0, true).expect("a proof");
    proof.nodes[0].size += 1;
    proof.nodes[1].size -= 1;
    // The hash over both is right, so it is neither wrong nor a fork; but nothing of it is kept.
    match Holder::empty(pair().public()).verify(4, None, &proof) {
        Verdict::Accepted(accepted) => {
            assert!(accepted.nodes.iter().all(|node| node.index != 8 && node.index != 10));
        }
        other => panic!("{other:?}"),
    }
    assert!(!matches!(reader.verify(4, None, &proof), Verdict::Forked(_)));
}

fn sets() -> impl Strategy<Value = (u64, BTreeSet<u64>, BTreeSet<u64>, BTreeSet<u64>)> {
    (1..70u64).prop_flat_map(|length| {
        let some = prop::collection::btree_set(0..length, 0..12);
        (Just(length), some.clone(), some, prop::collection::btree_set(1..=length, 0..5))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_built_verifies((length, relayed, held, signed) in sets()) {
        let whole = source(length, |l| signed.contains(&l));
        // A relay with some blocks, got as the feed grew; a reader with some others.
        let mut relay = Holder::empty(pair().public());
        for &at in &signed {
            let before = source(at, |l| signed.contains(&l));
            relayed.iter().filter(|&&b| b < at && b % 2 == 0).for_each(|&b| relay.fetch(&before, b));
        }
        relayed.iter().for_each(|&b| relay.fetch(&whole, b));
        relay.closed();
        let mut reader = Holder::empty(pair().public());
        held.iter().for_each(|&b| reader.fetch(&whole, b));
        relayed.iter().for_each(|&b| reader.fetch(&relay, b));
        reader.closed();
        prop_assert!(reader.nodes.iter().all(|(i, node)| whole.nodes[i] == *node));
        for block in 0..length {
            // Any digest at all gets an answer or none, never a panic.
            relay.build(block, block.wrapping_mul(0x9e37_79b9_7f4a_7c15), false);
            relay.build(block, u64::MAX << (block % 64), true);
            let mut fresh = reader.clone();
            fresh.fetch(&whole, block);
        }
        prop_assert_eq!(relay.feed.length_by_nodes(), relay.feed.length());
        prop_assert_eq!(reader.feed.length_by_nodes(), reader.feed.length());
    }

    #[test]
    fn r06_any_flipped_bit_is_refused(
        (length, held, _, _) in sets(), block in any::<u64>(), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let whole = source(length, |_| true);
        let block = block % length;
        let mut reader = Holder::empty(pair().public());
        held.iter().filter(|&&b| b != block).for_each(|&b| reader.fetch(&whole, b));
        let good = whole.build(block, reader.feed.digest(block), false).expect("a proof");
        let value = whole.blocks[&block].clone();
        // Each byte of the message is a byte of the value, of a node or of the signature.
        let total = value.len() + good.nodes.len() * 48 + good.signature.map_or(0, |_| 64);
        prop_assume!(total > 0);
        let (mut proof, mut bytes, mut at) = (good, value, at.index(total));
        if at < bytes.len() {
            bytes[at] ^= 1 << bit;
        } else {
            at -= bytes.len();
            match proof.nodes.get_mut(at / 48) {
                Some(node) => match at % 48 {
                    i @ 0..32 => node.hash[i] ^= 1 << bit,
                    i @ 32..40 => node.index ^= 1 << ((i - 32) * 8 + usize::from(bit)),
                    i => node.size ^= 1 << ((i - 40) * 8 + usize::from(bit)),
                },
                None => {
                    let at = at - proof.nodes.len() * 48;
                    proof.signature.as_mut().expect("a signature")[at] ^= 1 << bit;
                }
            }
        }
        let verdict = reader.verify(block, Some(&bytes), &proof);
        prop_assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    }

    #[test]
    fn blocks_commute((length, some, _, _) in sets(), seed in any::<u64>()) {
        let whole = source(length, |_| false);
        let mut order: Vec<u64> = some.into_iter().collect();
        let mut one = Holder::empty(pair().public());
        order.iter().for_each(|&b| one.fetch(&whole, b));
        crate::rng::Rng::from_seed(seed).shuffle(&mut order);
        let mut other = Holder::empty(pair().public());
        order.iter().for_each(|&b| other.fetch(&whole, b));
        prop_assert_eq!(one.feed.length(), other.feed.length());
        prop_assert!(one.nodes.keys().eq(other.nodes.keys()));
    }

    #[test]
    fn stale_digests_verify((length, first, second, _) in sets()) {
        // Sixteen requests are under way at once: answers meet a reader that holds more by then.
        let whole = source(length, |_| false);
        let mut reader = Holder::empty(pair().public());
        first.iter().for_each(|&b| reader.fetch(&whole, b));
        let answers: Vec<_> = second
            .iter()
            .map(|&b| (b, whole.build(b, reader.feed.digest(b), false).expect("a proof")))
            .collect();
        for (block, proof) in answers {
            let value = &whole.blocks[&block];
            match reader.verify(block, Some(value), &proof) {
                Verdict::Accepted(accepted) => reader.take(&accepted, Some(value)),
                other => panic!("{other:?}"),
            }
        }
        reader.closed();
    }
}
