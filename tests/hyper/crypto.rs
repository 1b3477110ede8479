//! Compact encoding, namespaces, the handshake, the sealed stream, keys.

use gannet::codec::compact::{self, Reader};
use gannet::crypto::hyper::{self, BlockCipher, Corestore, Namespace};
use gannet::crypto::noise::{self, Handshake, Outcome, Role};
use gannet::crypto::sealed::{self, Opener, Sealer};
use gannet::crypto::sign::KeyPair;
use gannet::feed::hyper::{Authority, EncryptionKey, Manifest};
use serde_json::Value;

use super::{array, bytes, list, vectors};

#[test]
fn compact_encoding() {
    let v = &vectors()["compact_encoding"];
    for (value, encoded) in v["uint"].as_object().unwrap() {
        let (value, encoded) = (value.parse().unwrap(), bytes(encoded));
        let mut out = Vec::new();
        compact::put_uint(value, &mut out);
        assert_eq!(out, encoded);
        assert_eq!(Reader::new(&encoded).uint(), Ok(value));
    }
    let name = bytes(&v["string"]["hypercore_alpha"]);
    assert_eq!(Reader::new(&name).string(), Ok("hypercore/alpha"));
    for (encoded, expected) in [("empty", vec![]), ("x010203", vec![1, 2, 3])] {
        let encoded = bytes(&v["buffer"][encoded]);
        assert_eq!(Reader::new(&encoded).buffer(), Ok(&expected[..]));
        let mut out = Vec::new();
        compact::put_buffer(&expected, &mut out);
        assert_eq!(out, encoded);
    }
    let null = bytes(&v["optional_buffer"]["null"]);
    assert_eq!(Reader::new(&null).optional_buffer(), Ok(None));
    let words = bytes(&v["uint32array"]["one"]);
    let read: Vec<u32> =
        Reader::new(&words).words().unwrap().iter().map(|w| u32::from_le_bytes(*w)).collect();
    assert_eq!(read, [0x89, 0x8000_0001]);
}

#[test]
fn namespaces() {
    let v = &vectors()["namespaces"];
    for (namespace, expected) in [
        (Namespace::Tree, &v["hypercore"]["TREE"]),
        (Namespace::ReplicateInitiator, &v["hypercore"]["REPLICATE_INITIATOR"]),
        (Namespace::ReplicateResponder, &v["hypercore"]["REPLICATE_RESPONDER"]),
        (Namespace::Manifest, &v["hypercore"]["MANIFEST"]),
        (Namespace::DefaultNamespace, &v["hypercore"]["DEFAULT_NAMESPACE"]),
        (Namespace::DefaultEncryption, &v["hypercore"]["DEFAULT_ENCRYPTION"]),
        (Namespace::StreamInitiator, &v["secret_stream"]["INITIATOR"]),
        (Namespace::StreamResponder, &v["secret_stream"]["RESPONDER"]),
        (Namespace::Corestore, &v["corestore"]),
        (Namespace::Blobs, &v["hyperdrive_blobs"]),
    ] {
        assert_eq!(namespace.bytes(), array(expected), "{namespace:?}");
    }
}

#[test]
fn diffie_hellman() {
    let v = &vectors()["ed25519_dh"];
    let [a, b] = ["seed_a", "seed_b"].map(|seed| KeyPair::from_seed(array(&v[seed])));
    assert_eq!((a.public(), b.public()), (array(&v["public_a"]), array(&v["public_b"])));
    assert_eq!(*noise::agree(&a, &b.public()).unwrap(), array(&v["shared"]));
    assert_eq!(*noise::agree(&b, &a.public()).unwrap(), array(&v["shared_other_way"]));
}

fn pair(v: &Value, name: &str) -> KeyPair {
    let pair = KeyPair::from_seed(array(&v[format!("{name}_seed")]));
    assert_eq!(pair.public(), array(&v[format!("{name}_public")]));
    pair
}

/// Runs the handshake of the vectors; both outcomes.
fn handshake() -> [Outcome; 2] {
    let v = &vectors()["noise_xx"];
    let [mut a, mut b] =
        [(Role::Initiator, "initiator"), (Role::Responder, "responder")].map(|(role, name)| {
            let own = pair(v, &format!("{name}_static"));
            Handshake::new(role, own, pair(v, &format!("{name}_ephemeral")))
        });
    for (n, message) in list(&v["messages"]).iter().enumerate() {
        let (from, to) = if n % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let mut out = Vec::new();
        from.write(&mut out).unwrap();
        assert_eq!(out, bytes(&message["bytes"]));
        assert_eq!(out.len(), noise::MESSAGE_BYTES[n]);
        to.read(&out).unwrap();
    }
    [a.finish().unwrap(), b.finish().unwrap()]
}

#[test]
fn noise_xx() {
    let v = &vectors()["noise_xx"];
    let [a, b] = handshake();
    assert_eq!((a.hash, b.hash), (array(&v["handshake_hash"]), array(&v["handshake_hash"])));
    assert_eq!(*a.send, array(&v["initiator_tx_key"]));
    assert_eq!(*a.receive, array(&v["initiator_rx_key"]));
    assert_eq!((*b.send, *b.receive), (*a.receive, *a.send));
    assert_eq!(hyper::stream_id(&a.hash, true), array(&v["stream_id_initiator"]));
    assert_eq!(hyper::stream_id(&a.hash, false), array(&v["stream_id_responder"]));
}

#[test]
fn sealed_stream() {
    let v = &vectors()["secret_stream"];
    for way in ["initiator_to_responder", "responder_to_initiator"] {
        let (key, header) = (array(&v[way]["key"]), array(&v[way]["header"]));
        let (mut sealer, mut opener) = (Sealer::new(&key, &header), Opener::new(&key, &header));
        for frame in list(&v[way]["frames"]) {
            let (plain, expected) = (bytes(&frame["plain"]), bytes(&frame["ciphertext"]));
            let mut body = [&[0][..], &plain, &[0; sealed::BEHIND_BYTES]].concat();
            sealer.seal(&mut body);
            assert_eq!(body, expected);
            opener.open(&mut body).unwrap();
            assert_eq!(sealed::text(&body), plain);
        }
    }
}

#[test]
fn capability() {
    let v = &vectors()["capability"];
    let (hash, core) = (array(&v["handshake_hash"]), array(&v["core_key"]));
    assert_eq!(hyper::capability(&hash, true, &core), array(&v["initiator"]));
    assert_eq!(hyper::capability(&hash, false, &core), array(&v["responder"]));
}

#[test]
fn corestore() {
    let v = &vectors()["corestore"];
    let store = Corestore::new(array(&v["primary_key"]));
    assert_eq!(store.key_pair("db").public(), array(&v["db_public_key"]));
    let photos = store.namespace("photos");
    assert_eq!(photos.key_pair("db").public(), array(&v["photos_db_public_key"]));
}

#[test]
fn block_encryption() {
    let v = &vectors()["block_encryption"];
    let cipher = BlockCipher::new(&array(&v["core_key"]), &array(&v["encryption_key"]), false);
    for (index, (plain, stored)) in list(&v["plain"]).iter().zip(list(&v["stored"])).enumerate() {
        let plain = plain.as_str().unwrap().as_bytes();
        let mut block = [&[0; hyper::ENCRYPTION_BYTES][..], plain].concat();
        cipher.encrypt(index as u64, 0, &mut block).unwrap();
        assert_eq!(block, bytes(stored));
        cipher.decrypt(index as u64, &mut block).unwrap();
        assert_eq!(&block[hyper::ENCRYPTION_BYTES..], plain);
    }
    assert_eq!(cipher.decrypt(0, &mut [0; 7]), Err(hyper::TooShort));
    // A compat core's block 5 of fork 3, by hypercore 11.37.1.
    let core = array(&vectors()["manifest"]["compat"]["key"]);
    let cipher = BlockCipher::new(&core, &array(&v["encryption_key"]), true);
    let mut block = [&[0; hyper::ENCRYPTION_BYTES][..], b"secret of fork 3"].concat();
    cipher.encrypt(5, 3, &mut block).unwrap();
    assert_eq!(hex::encode(&block), "1f594e5aced70177b31b40068661cea2200dad772dcc075d");
    cipher.decrypt(5, &mut block).unwrap();
    assert_eq!(&block[hyper::ENCRYPTION_BYTES..], b"secret of fork 3");
}

/// The key that is given, of the store or of the blocks, and who signs the core lead to the same.
#[test]
fn encrypted_cores_are_read_with_either_key() {
    let v = &vectors()["block_encryption"];
    let stored: Vec<Vec<u8>> = list(&v["stored"]).iter().map(bytes).collect();
    let (core, key) = (array(&v["core_key"]), array(&v["encryption_key"]));
    let block_key = array(&v["block_key"]);
    let cipher = BlockCipher::new(&core, &key, false);
    assert_eq!(*cipher.block_key(), block_key);
    let pair = KeyPair::from_seed([7; 32]);
    let authority = Authority::of(Manifest::single(pair.public()));
    let compat = Authority::new(pair.public(), None).unwrap();
    for cipher in [cipher, compat.cipher(EncryptionKey::Block(block_key))] {
        for (index, plain) in list(&v["plain"]).iter().enumerate() {
            let block = cipher.open(index as u64, &stored[index]).unwrap();
            assert_eq!(block, plain.as_str().unwrap().as_bytes());
            let mut again = [&[0; hyper::ENCRYPTION_BYTES][..], &block].concat();
            cipher.encrypt(index as u64, 0, &mut again).unwrap();
            assert_eq!(again, stored[index]);
        }
        assert_eq!(cipher.open(0, &[0; 7]), Err(hyper::TooShort));
        assert_eq!(cipher.open(0, &[0; 8]), Ok(Vec::new()));
    }
    // By the core's kind: the key of a compat core is its signer's.
    for (authority, compat) in [(authority, false), (compat, true)] {
        let ours = authority.cipher(EncryptionKey::Store(key));
        let expected = BlockCipher::new(authority.key(), &key, compat);
        assert_eq!(ours.block_key(), expected.block_key());
    }
}
