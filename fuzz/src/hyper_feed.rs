//! Manifests, signature containers, and proofs from strangers.

use std::collections::BTreeMap;
use std::convert::Infallible;

use gannet::crypto::hash::Node;
use gannet::crypto::hyper;
use gannet::crypto::sign::KeyPair;
use gannet::feed::hyper::{
    Ask, Authority, Container, Held, Indexed, Manifest, Ours, Prologue, Reorg, Seek, Share, Signer,
    Source, Tree, Upgrade, build, verify,
};

pub fn manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::decode(data) else { return };
    let mut shortest = Vec::new();
    manifest.encode(&mut shortest);
    assert!(shortest.len() <= data.len());
    assert_eq!(Manifest::decode(&shortest).as_ref(), Ok(&manifest));
    let authority = Authority::new(manifest.key(), Some(manifest.clone()));
    assert!(authority.is_ok_and(|authority| !authority.verify(&Tree::default(), 0, Some(data))));
}

pub fn manifest_seeds() -> Vec<Vec<u8>> {
    let one = Signer { namespace: [4; 32], key: [5; 32] };
    let single = Manifest::single([5; 32]);
    let prologue = Some(Prologue { hash: [3; 32], length: 300 });
    let several = Manifest { quorum: 2, signers: vec![one.clone(), one], ..single.clone() };
    let mut seeds = Vec::new();
    for version in 0..4 {
        let full = Manifest {
            version,
            allow_patch: true,
            prologue,
            linked: Some(vec![[9; 32]]),
            user_data: Some(b"x".to_vec()),
            ..several.clone()
        };
        let none = Manifest { version, prologue, signers: vec![], ..single.clone() };
        for manifest in [Manifest { version, ..single.clone() }, full, none] {
            let mut out = Vec::new();
            manifest.encode(&mut out);
            seeds.push(out);
        }
    }
    seeds
}

/// The first byte is the manifest's version.
pub fn signature(data: &[u8]) {
    let (&version, bytes) = data.split_first().unwrap_or((&0, &[]));
    let version = u64::from(version % 4);
    let Ok(container) = Container::decode(version, bytes) else { return };
    let patches = container.signed.iter().any(|share| share.patch > 0);
    if version > 0 || !patches {
        let mut again = Vec::new();
        container.encode(version, &mut again);
        assert_eq!(Container::decode(version, &again), Ok(container));
    }
}

pub fn signature_seeds() -> Vec<Vec<u8>> {
    let share = |signer, patch| Share { signer, signature: [7; 64], patch };
    let nodes = vec![Node { index: 4, size: 9, hash: [1; 32] }];
    let container = Container { signed: vec![share(0, 0), share(1, 3)], nodes };
    let seed = |version| {
        let mut out = vec![version];
        container.encode(u64::from(version), &mut out);
        out
    };
    vec![seed(0), seed(1)]
}

struct Shelf(BTreeMap<u64, Node>);

impl Held for Shelf {
    type Error = Infallible;
    fn node(&mut self, index: u64) -> Result<Option<Node>, Infallible> {
        Ok(self.0.get(&index).copied())
    }
}

/// A core of eleven blocks.
fn core() -> (Authority, Tree, Shelf, Vec<u8>) {
    let pair = KeyPair::from_seed([7; 32]);
    let authority = Authority::of(Manifest::single(pair.public()));
    let (mut tree, mut kept) = (Tree::default(), Vec::new());
    for n in 0..11 {
        tree.append_block(n, hyper::leaf(&vec![n as u8; n as usize]), &mut kept).expect("short");
    }
    let signature = authority.sign(&tree, 0, &pair).expect("our own core");
    let nodes = kept.into_iter().map(|node| (node.index, node)).collect();
    (authority, tree, Shelf(nodes), signature)
}

/// Any request, from a list of numbers: what is answered is accepted by a reader of its start, and
/// the same with one byte changed never proves a node that is not the core's.
pub fn proof(data: &[u8]) {
    let (authority, tree, mut shelf, signature) = core();
    let byte = |n: usize| u64::from(data.get(n).copied().unwrap_or(0));
    // Small numbers mostly; huge ones with the eighth bit.
    let number = |n: usize| if byte(n) < 128 { byte(n) } else { byte(n) << 46 };
    let parts = byte(0);
    let part = |n: u32| parts >> n & 1 == 1;
    let ask = Ask {
        block: part(0).then(|| Indexed { index: number(1), nodes: number(2) }),
        hash: part(1).then(|| Indexed { index: number(3), nodes: number(4) }),
        seek: part(2).then(|| Seek { bytes: number(5), padding: number(6) }),
        upgrade: part(3).then(|| Upgrade { start: number(7), length: number(8) }),
    };
    let source = Source { length: 11, signature: Some(&signature), prologue: None };
    let Ok(built) = build(source, &mut shelf, &ask);
    let Ok(mut proof) = built else { return };
    let start = ask.upgrade.map_or(11, |upgrade| upgrade.start);
    let Ok(Some(before)) = Tree::load(&mut shelf, start) else {
        unreachable!("everything up to what was asked is held")
    };
    assert!(before.length() <= tree.length());
    let ours = Ours { authority: &authority, tree: &before, fork: 0 };
    let leaf = proof.block.as_ref().map(|block| shelf.0[&(2 * block.index)]);
    let Ok(honest) = verify(ours, &mut shelf, 0, &proof, leaf);
    let empty = proof.block.is_none() && proof.hash.is_none() && proof.upgrade.is_none();
    assert!(honest.is_ok() || empty);
    let lists = [&mut proof.block, &mut proof.hash];
    for node in lists.into_iter().flatten().flat_map(|path| &mut path.nodes) {
        node.hash[0] ^= byte(9) as u8;
        node.size = node.size.wrapping_add(byte(10));
    }
    let Ok(changed) = verify(ours, &mut shelf, 0, &proof, leaf);
    for node in changed.iter().flat_map(|accepted| &accepted.nodes) {
        assert_eq!(shelf.0[&node.index], *node);
    }
}

pub fn proof_seeds() -> Vec<Vec<u8>> {
    let whole = Reorg::ask(11).upgrade.map_or(0, |upgrade| upgrade.length as u8);
    vec![
        vec![1, 5, 2, 0, 0, 0, 0, 0, 0, 1, 0],
        vec![9, 5, 0, 0, 0, 0, 0, 0, whole, 0, 1],
        vec![9, 2, 1, 0, 0, 0, 0, 8, 3],
        vec![6, 0, 0, 0, 3, 20, 0, 0, 0, 0, 1],
        vec![12, 0, 0, 0, 0, 30, 1, 0, 11],
        vec![10, 0, 0, 17, 0, 0, 0, 4, 7],
    ]
}
