//! Trees, manifests, signatures, proofs.

use std::collections::BTreeMap;
use std::convert::Infallible;

use gannet::crypto::hash::{self, Node};
use gannet::crypto::hyper;
use gannet::crypto::sign::KeyPair;
use gannet::feed::hyper::{
    Ask, Authority, Container, Grown, Held, Indexed, Manifest, Ours, Place, Proof, Refusal, Seek,
    Source, Tree, Unprovable, Upgrade, build, byte_offset, find, verify, verify_alone,
};
use gannet::wire::hyper::DataHead;
use serde_json::Value;

use super::{array, bytes, list, more, vectors};

/// A core with everything, in memory.
struct Core {
    blocks: Vec<Vec<u8>>,
    nodes: BTreeMap<u64, Node>,
    tree: Tree,
}

impl Core {
    fn new(blocks: Vec<Vec<u8>>) -> Core {
        let (mut tree, mut kept) = (Tree::default(), Vec::new());
        for block in &blocks {
            tree.append_block(block.len() as u64, hyper::leaf(block), &mut kept).unwrap();
        }
        let nodes = kept.into_iter().map(|node| (node.index, node)).collect();
        Core { blocks, nodes, tree }
    }

    fn tree_at(&self, length: u64) -> Tree {
        Tree::load(&mut Shelf(&self.nodes), length).unwrap().unwrap()
    }
}

struct Shelf<'a>(&'a BTreeMap<u64, Node>);

impl Held for Shelf<'_> {
    type Error = Infallible;
    fn node(&mut self, index: u64) -> Result<Option<Node>, Infallible> {
        Ok(self.0.get(&index).copied())
    }
}

fn small() -> Core {
    Core::new(list(&vectors()["merkle"]["blocks"]).iter().map(bytes).collect())
}

/// The core of `hyper_more.json`.
fn longer() -> Core {
    Core::new((0..21).map(|i| vec![i as u8; (i * 7) % 23]).collect())
}

#[test]
fn trees_and_signatures() {
    let v = &vectors()["merkle"];
    let core = small();
    assert_eq!(core.nodes.len(), list(&v["nodes"]).len());
    for node in list(&v["nodes"]) {
        let ours = core.nodes[&node["index"].as_u64().unwrap()];
        assert_eq!((ours.size, ours.hash), (node["size"].as_u64().unwrap(), array(&node["hash"])));
    }
    let pair = KeyPair::from_seed(array(&v["signer_seed"]));
    let compat = Authority::Compat(pair.public());
    let authority = Authority::of(Manifest::single(pair.public()));
    assert_eq!(*authority.key(), array(&v["manifest_key"]));
    for at in list(&v["lengths"]) {
        let length = at["length"].as_u64().unwrap();
        let tree = core.tree_at(length);
        let roots: Vec<u64> = tree.roots().iter().map(|root| root.index).collect();
        assert_eq!(serde_json::json!(roots), at["roots"]);
        assert_eq!(tree.hash(), array(&at["tree_hash"]));
        for (context, signable) in
            [(Some(authority.key()), "signable_v1"), (None, "signable_compat")]
        {
            assert_eq!(hyper::signable(context, &tree.hash(), length, 0), bytes(&at[signable]));
        }
        for (authority, signature) in
            [(&authority, "signature_v1_on_wire"), (&compat, "signature_compat")]
        {
            let signature = bytes(&at[signature]);
            assert_eq!(authority.sign(&tree, 0, &pair).as_ref(), Some(&signature));
            assert!(authority.verify(&tree, 0, Some(&signature)));
            assert!(!authority.verify(&tree, 1, Some(&signature)));
            assert!(!authority.verify(&core.tree_at(length % 6 + 1), 0, Some(&signature)));
            assert!(!authority.verify(&tree, 0, None));
        }
    }
}

#[test]
fn manifests() {
    let v = &vectors()["manifest"];
    for (name, case) in v["cases"].as_object().unwrap() {
        let encoded = bytes(&case["encoded"]);
        let manifest = Manifest::decode(&encoded).unwrap();
        let mut again = Vec::new();
        manifest.encode(&mut again);
        assert_eq!(again, encoded, "{name}");
        let key = manifest.key();
        assert_eq!(key, array(&case["key"]), "{name}");
        assert_eq!(hash::discovery_key(&key), array(&case["discoveryKey"]), "{name}");
        assert!(Authority::new(key, Some(manifest.clone())).is_ok());
        assert!(Authority::new([1; 32], Some(manifest)).is_err());
    }
    // Whatever a manifest says: if its only signer's key is the core's, it is compat.
    let key = array(&v["compat"]["key"]);
    let compat = Authority::new(key, Some(Manifest::single(key)));
    assert_eq!(compat, Ok(Authority::Compat(key)));
    assert_eq!(hash::discovery_key(&key), array(&v["compat"]["discoveryKey"]));
    let blobs = &vectors()["hyperdrive"];
    let db = Manifest::decode(&bytes(&blobs["db_manifest"])).unwrap();
    let mut encoded = Vec::new();
    db.of_blobs(&array(&blobs["db_key"])).unwrap().encode(&mut encoded);
    assert_eq!(encoded, bytes(&blobs["blobs_manifest"]));
    assert_eq!(hyper::manifest_key(&encoded), array(&blobs["blobs_key"]));
}

fn indexed(v: &Value) -> Option<Indexed> {
    let number = |name: &str| v[name].as_u64().unwrap();
    (!v.is_null()).then(|| Indexed { index: number("index"), nodes: number("nodes") })
}

fn ask(v: &Value) -> Ask {
    let number = |v: &Value, name: &str| v[name].as_u64().unwrap();
    let seek = &v["seek"];
    let upgrade = &v["upgrade"];
    Ask {
        block: indexed(&v["block"]),
        hash: indexed(&v["hash"]),
        seek: (!seek.is_null())
            .then(|| Seek { bytes: number(seek, "bytes"), padding: number(seek, "padding") }),
        upgrade: (!upgrade.is_null()).then(|| Upgrade {
            start: number(upgrade, "start"),
            length: number(upgrade, "length"),
        }),
    }
}

/// The Data message with request 1 and fork 0 that carries a proof.
fn data_message(core: &Core, proof: &Proof) -> Vec<u8> {
    let head = DataHead { request: 1, fork: 0, proof, manifest: None };
    let value = proof.block.as_ref().map(|block| &core.blocks[block.index as usize][..]);
    let mut out = Vec::new();
    head.front(value.map(<[u8]>::len), &mut out);
    out.extend_from_slice(value.unwrap_or_default());
    head.tail(&mut out);
    out
}

/// What we build is what JavaScript builds; whoever holds what the request says accepts it.
fn same_and_accepted(
    core: &Core,
    signature: &[u8],
    authority: &Authority,
    ask: &Ask,
    data: &Value,
) {
    let source = Source { length: core.tree.length(), signature: Some(signature), prologue: None };
    let built = build(source, &mut Shelf(&core.nodes), ask).unwrap();
    if data.is_null() {
        assert!(built.is_err(), "{ask:?} {built:?}");
        return;
    }
    let proof = built.unwrap_or_else(|why| panic!("{ask:?}: {why}"));
    assert_eq!(hex::encode(data_message(core, &proof)), data.as_str().unwrap(), "{ask:?}");
    if proof.block.is_none() && proof.hash.is_none() && proof.upgrade.is_none() {
        return;
    }
    let length = ask.upgrade.map_or(core.tree.length(), |upgrade| upgrade.start);
    let tree = core.tree_at(length);
    let ours = Ours { authority, tree: &tree, fork: 0 };
    let leaf = proof.block.as_ref().map(|block| core.nodes[&(2 * block.index)]);
    let held: BTreeMap<u64, Node> = core
        .nodes
        .iter()
        .map(|(i, node)| (*i, *node))
        .filter(|(i, _)| gannet::feed::flat::right_span(*i) < 2 * length)
        .collect();
    let accepted = verify(ours, &mut Shelf(&held), 0, &proof, leaf).unwrap();
    let accepted = accepted.unwrap_or_else(|why| panic!("{ask:?}: {why}"));
    for node in accepted.nodes.iter().chain(&accepted.unsure) {
        assert_eq!(core.nodes[&node.index], *node);
    }
    let grown = accepted.grown.map_or(length, |signed| signed.tree.length());
    assert_eq!(grown, core.tree.length());
}

#[test]
fn proofs_of_a_small_core() {
    let v = &vectors()["core_small"];
    let core = small();
    let pair = KeyPair::from_seed([1; 32]);
    let authority = Authority::of(Manifest::single(pair.public()));
    assert_eq!(*authority.key(), array(&v["key"]));
    let signature = authority.sign(&core.tree, 0, &pair).unwrap();
    for case in list(&v["proofs"]) {
        let ask = ask(&case["request"]);
        same_and_accepted(&core, &signature, &authority, &ask, &case["data_message"]);
    }
}

#[test]
fn proofs_of_a_longer_core() {
    let v = more();
    let core = longer();
    let pair = KeyPair::from_seed([1; 32]);
    let authority = Authority::of(Manifest::single(pair.public()));
    let signature = bytes(&v["signature"]);
    assert_eq!(authority.sign(&core.tree, 0, &pair).as_ref(), Some(&signature));
    let mut refused = 0;
    for case in list(&v["proofs"]) {
        same_and_accepted(&core, &signature, &authority, &ask(&case["ask"]), &case["data"]);
        refused += usize::from(case["data"].is_null());
    }
    assert!(refused > 20);
}

#[test]
fn seeks() {
    let core = longer();
    for case in list(&more()["seeks"]) {
        let bytes = case["bytes"].as_u64().unwrap();
        assert_eq!(case["size"].as_u64().unwrap(), core.tree.byte_length());
        let found = find(&core.tree, &mut Shelf(&core.nodes), Seek { bytes, padding: 0 }).unwrap();
        let expected = match case["found"].as_array() {
            Some(found) => Place::Block {
                index: found[0].as_u64().unwrap(),
                offset: found[1].as_u64().unwrap(),
            },
            None => Place::Beyond,
        };
        assert_eq!(found, expected, "{bytes}");
    }
    let mut start = 0;
    for (index, block) in core.blocks.iter().enumerate() {
        let offset = byte_offset(&core.tree, &mut Shelf(&core.nodes), index as u64);
        assert_eq!(offset, Ok(Some(start)));
        start += block.len() as u64;
    }
}

#[test]
fn several_signers() {
    let core = longer();
    for case in list(&more()["multisig"]) {
        assert_eq!(case["ok"], true, "JavaScript accepts it");
        let encoded = bytes(&case["encoded"]);
        let manifest = Manifest::decode(&encoded).unwrap();
        let (version, quorum) = (manifest.version, manifest.quorum);
        let authority = Authority::new(array(&case["key"]), Some(manifest)).unwrap();
        let tree = core.tree_at(case["length"].as_u64().unwrap());
        let signature = bytes(&case["signature"]);
        assert!(authority.verify(&tree, 0, Some(&signature)), "{case}");
        assert!(!authority.verify(&tree, 1, Some(&signature)));
        assert!(!authority.verify(&core.tree_at(tree.length() - 1), 0, Some(&signature)));
        let container = Container::decode(version, &signature).unwrap();
        let patched = container.signed.iter().any(|share| share.patch > 0);
        if version > 0 || !patched {
            let mut again = Vec::new();
            container.encode(version, &mut again);
            assert_eq!(again, signature);
        }
        let says = |change: &dyn Fn(&mut Container)| {
            let mut changed = container.clone();
            change(&mut changed);
            let mut out = Vec::new();
            changed.encode(version, &mut out);
            authority.verify(&tree, 0, Some(&out))
        };
        assert!(says(&|_| ()));
        // One too few, the same one twice, nobody's, a bit of a signature, a bit of a node.
        assert!(!says(&|c| c.signed.truncate(c.signed.len() - 1)));
        if quorum > 1 {
            assert!(!says(&|c| c.signed[1] = c.signed[0].clone()));
        }
        assert!(!says(&|c| c.signed[0].signer = 3));
        assert!(!says(&|c| c.signed[0].signature[7] ^= 1));
        if patched {
            assert!(!says(&|c| c.nodes[0].hash[0] ^= 1));
            assert!(!says(&|c| c.nodes.clear()));
        }
    }
}

#[test]
fn a_prologue_and_version_0() {
    let core = longer();
    let v = &more()["prologue"];
    let manifest = Manifest::decode(&bytes(&v["encoded"])).unwrap();
    let authority = Authority::new(array(&v["key"]), Some(manifest)).unwrap();
    let prologue = authority.prologue().unwrap();
    assert_eq!(prologue.length, 10);
    assert!(authority.verify(&core.tree_at(10), 0, None));
    for length in [1, 9] {
        assert!(!authority.verify(&core.tree_at(length), 0, None));
    }
    let signature = bytes(&v["signature21"]);
    assert!(authority.verify(&core.tree, 0, Some(&signature)));
    // An upgrade has to reach its end, and the holder answers with all of it.
    let source = Source { length: 21, signature: Some(&signature), prologue: authority.prologue() };
    let ask = |start, length| Ask { upgrade: Some(Upgrade { start, length }), ..Ask::default() };
    let proof = build(source, &mut Shelf(&core.nodes), &ask(0, 3)).unwrap().unwrap();
    let Some(Grown { start: 0, length: 10, .. }) = proof.upgrade else { panic!("{proof:?}") };
    assert!(verify_alone(&authority, 0, &proof, None).is_ok());
    let source = Source { prologue: None, ..source };
    let short = build(source, &mut Shelf(&core.nodes), &ask(0, 3)).unwrap().unwrap();
    assert_eq!(verify_alone(&authority, 0, &short, None), Err(Refusal::Prologue));
    let source = Source { length: 10, signature: None, ..source };
    let whole = build(source, &mut Shelf(&core.nodes), &ask(0, 10)).unwrap().unwrap();
    assert!(verify_alone(&authority, 0, &whole, None).is_ok());
    assert_eq!(
        build(source, &mut Shelf(&core.nodes), &ask(0, 11)).unwrap(),
        Err(Unprovable::Invalid)
    );

    let v = &more()["v0"];
    let manifest = Manifest::decode(&bytes(&v["encoded"])).unwrap();
    let authority = Authority::new(array(&v["key"]), Some(manifest)).unwrap();
    let signature = bytes(&v["signature"]);
    assert!(authority.verify(&core.tree, 0, Some(&signature)));
    let pair = KeyPair::from_seed([2; 32]);
    assert_eq!(authority.sign(&core.tree, 0, &pair), Some(signature));
}

#[test]
fn a_truncated_core_is_signed_for_its_fork() {
    let v = &vectors()["core_reorg"];
    let pair = KeyPair::from_seed([1; 32]);
    let authority = Authority::of(Manifest::single(pair.public()));
    let (length, fork) = (v["length"].as_u64().unwrap(), v["fork"].as_u64().unwrap());
    let tree_hash = array(&v["tree_hash"]);
    let signable = hyper::signable(Some(authority.key()), &tree_hash, length, fork);
    assert_eq!(signable, bytes(&v["signable"]));
    let container = Container::decode(1, &bytes(&v["signature_on_wire"])).unwrap();
    assert_eq!(pair.sign(&signable), container.signed[0].signature);
}
