//! Bytes made by the JavaScript implementation, made again and read by ours: hashes, signatures,
//! ciphers, run lengths, messages and the first bytes of a connection. The versions that made them
//! stand in `tests/vectors/dat.json` under `madeWith`.

use gannet::codec::{rle, varint};
use gannet::crypto::hash::{self, Node};
use gannet::crypto::sign::{self, KeyPair};
use gannet::crypto::stream::StreamCipher;
use gannet::wire::dat::{FirstFeed, Handshake, Session, What};
use gannet::wire::{Bits, Data, Have, Message, Request};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/dat.json")).unwrap()
}

fn bytes(v: &Value) -> Vec<u8> {
    hex::decode(v.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(v: &Value) -> [u8; N] {
    bytes(v).try_into().unwrap()
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().unwrap()
}

fn node(v: &Value) -> Node {
    let (index, size) = (v["index"].as_u64().unwrap(), v["size"].as_u64().unwrap());
    Node { index, size, hash: array(&v["hash"]) }
}

/// The nodes that a feed of five blocks has.
fn nodes(feed: &Value) -> Vec<Node> {
    list(&feed["nodes"]).iter().filter(|n| n.get("absent").is_none()).map(node).collect()
}

#[test]
fn crypto() {
    let c = &vectors()["crypto"];
    let pair = KeyPair::from_seed(array(&c["seed"]));
    assert_eq!(pair.public(), array(&c["publicKey"]));
    assert_eq!(*pair.secret(), array(&c["secretKey"]));
    assert_eq!(KeyPair::from_secret(array(&c["secretKey"])).unwrap().public(), pair.public());
    assert_eq!(hash::discovery_key(&pair.public()), array(&c["discoveryKey"]));
    for leaf in list(&c["leaf"]) {
        let block = match leaf["data"].as_str().unwrap() {
            "65536 x 07" => vec![7; 65536],
            text => text.as_bytes().to_vec(),
        };
        assert_eq!(hash::leaf(&block), array(&leaf["hash"]));
    }
    let (left, right) = (node(&c["parent"]["left"]), node(&c["parent"]["right"]));
    for parent in [hash::parent(&left, &right), hash::parent(&right, &left)] {
        let parent = parent.unwrap();
        assert_eq!((parent.index, parent.size), (1, left.size + right.size));
        assert_eq!(parent.hash, array(&c["parent"]["hash"]));
    }
    let kdf = &c["kdf"];
    let content = KeyPair::from_secret(array(&kdf["metadataSecretKey"])).unwrap().content_pair();
    assert_eq!(content.public(), array(&kdf["contentPublicKey"]));
    assert_eq!(*content.secret(), array(&kdf["contentSecretKey"]));
}

#[test]
fn a_feeds_tree_and_signatures() {
    let v = vectors();
    let feed = &v["feed"];
    let blocks: Vec<Vec<u8>> = list(&feed["blocks"]).iter().map(bytes).collect();
    let nodes: Vec<Node> = nodes(feed);
    let find = |i: u64| nodes.iter().find(|n| n.index == i).unwrap();
    for (b, block) in blocks.iter().enumerate() {
        let leaf = find(2 * b as u64);
        assert_eq!((hash::leaf(block), block.len() as u64), (leaf.hash, leaf.size));
    }
    for (parent, left, right) in [(1, 0, 2), (5, 4, 6), (3, 1, 5)] {
        assert_eq!(hash::parent(find(left), find(right)).as_ref(), Some(find(parent)));
    }
    let pair = KeyPair::from_seed(array(&v["crypto"]["seed"]));
    assert_eq!(pair.public(), array(&feed["key"]));
    for at in list(&feed["perLength"]) {
        let roots: Vec<Node> = list(&at["roots"]).iter().map(node).collect();
        let roots = hash::roots(&roots);
        let signature: [u8; 64] = array(&at["signature"]);
        assert_eq!(roots, array(&at["rootHash"]));
        assert_eq!(pair.sign(&roots), signature);
        assert!(sign::verify(&pair.public(), &roots, &signature));
    }
}

#[test]
fn xsalsa20() {
    let v = &vectors()["xsalsa20"];
    let expected = bytes(&v["keystream"]);
    for step in [1, 7, 64, 65, expected.len()] {
        let mut cipher = StreamCipher::new(&array(&v["key"]), &array(&v["nonce"]));
        let mut stream = vec![0; expected.len()];
        for part in stream.chunks_mut(step) {
            cipher.apply(part);
        }
        assert_eq!(stream, expected);
    }
}

/// The bytes that an encoded bitfield stands for.
fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in rle::runs(encoded) {
        let run = run.unwrap();
        match run.kind {
            rle::Kind::Fill(bit) => {
                out.resize(out.len() + run.len as usize / 8, if bit { 255 } else { 0 });
            }
            rle::Kind::Literal(bytes) => out.extend_from_slice(bytes),
        }
    }
    out
}

#[test]
fn bitfield_rle() {
    for case in list(&vectors()["bitfieldRle"]) {
        let note = case["note"].as_str().unwrap();
        let input = match note {
            "ff x 100" => vec![255; 100],
            "ff x 1024 then 80" => [vec![255; 1024], vec![128]].concat(),
            "1048576 zero bytes with bit 5 of byte 1000" => {
                let mut bits = vec![0; 1 << 20];
                bits[1000] = 4;
                bits
            }
            _ => bytes(&case["input"]),
        };
        assert_eq!(input.len() as u64, case["inputLength"].as_u64().unwrap(), "{note}");
        let encoded = bytes(&case["encoded"]);
        assert_eq!(rle::encode(&input), encoded, "{note}");
        let mut decoded = decode(&encoded);
        assert!(decoded.len().next_multiple_of(4) as u64 == case["decodedAlign4Length"], "{note}");
        decoded.resize(input.len(), 0);
        assert_eq!(decoded, input, "{note}");
    }
}

#[test]
fn compress() {
    for case in list(&vectors()["compress"]) {
        let blocks = case["blocks"].as_u64().unwrap() as usize;
        let missing: Vec<usize> =
            list(&case["missing"]).iter().map(|b| b.as_u64().unwrap() as usize).collect();
        let mut bits = vec![0u8; 1 << 17];
        for b in (0..blocks).filter(|b| !missing.contains(b)) {
            bits[b / 8] |= 0x80 >> (b % 8);
        }
        assert_eq!(rle::encode(&bits), bytes(&case["rle"]));
        assert_eq!(rle::encode(&bits[1024..2048]), bytes(&case["rle8192at8192"]));
    }
}

/// Two sessions that have the same feed open, and the feed's discovery key.
struct Pair {
    dialer: Session,
    acceptor: Session,
    discovery_key: [u8; 32],
}

impl Pair {
    fn new() -> Pair {
        let v = vectors();
        let key = array(&v["firstFlight"]["key"]);
        let discovery_key = hash::discovery_key(&key);
        let (mut to_acceptor, mut to_dialer) = (Vec::new(), Vec::new());
        let first = FirstFeed { key, discovery_key, nonce: [0x22; 24] };
        let mut dialer = Session::dial(first, &mut to_acceptor);
        let mut acceptor = Session::accept();
        let got = acceptor.receive(&mut to_acceptor).unwrap();
        assert_eq!(got.what, What::FirstFeed { discovery_key });
        acceptor.provide_key(&key);
        acceptor.open(&discovery_key, &[0x33; 24], &mut to_dialer).unwrap();
        let got = dialer.receive(&mut to_dialer).unwrap();
        assert_eq!(got.what, What::Feed { discovery_key });
        Pair { dialer, acceptor, discovery_key }
    }

    /// Sends a message both ways and returns its plain payload on the wire.
    fn payload(&mut self, message: &Message<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.dialer.send(&self.discovery_key, message, &mut out).unwrap();
        let got = self.acceptor.receive(&mut out).unwrap();
        let (discovery_key, message) = (self.discovery_key, message.clone());
        assert_eq!(got.what, What::Message { discovery_key, message });
        let (_, n) = varint::decode(&out).unwrap();
        out.split_off(n)
    }
}

fn number(v: &Value, name: &str, default: u64) -> u64 {
    v.get(name).map_or(default, |n| n.as_u64().unwrap())
}

fn flag(v: &Value, name: &str) -> bool {
    v.get(name).is_some_and(|f| f.as_bool().unwrap())
}

fn message<'a>(kind: &str, v: &Value, bits: &'a [u8]) -> Option<Message<'a>> {
    let (start, length) = (number(v, "start", 0), number(v, "length", 1));
    let request = Request {
        index: number(v, "index", 0),
        bytes: number(v, "bytes", 0),
        hash: flag(v, "hash"),
        digest: number(v, "nodes", 0),
        numbered: None,
    };
    Some(match kind {
        "Info" => {
            Message::Info { uploading: flag(v, "uploading"), downloading: flag(v, "downloading") }
        }
        "Have" => {
            let bits = v.get("bitfield").map(|_| Bits::Runs(bits));
            Message::Have(Have { start, length, bits, ack: flag(v, "ack") })
        }
        "Unhave" => Message::Unhave { start, length },
        "Want" => Message::Want { start, length: Some(length) },
        "Unwant" => Message::Unwant { start, length: Some(length) },
        "Request" => Message::Request(request),
        "Cancel" => Message::Cancel(request),
        _ => return None,
    })
}

#[test]
fn messages() {
    let mut pair = Pair::new();
    for (kind, cases) in vectors()["messages"].as_object().unwrap() {
        for case in list(cases) {
            let value = &case["value"];
            let bits = value.get("bitfield").map(bytes).unwrap_or_default();
            let Some(message) = message(kind, value, &bits) else {
                assert!(kind == "Feed" || kind == "Handshake", "{kind}");
                continue;
            };
            let expected = bytes(&case["hex"]);
            // A default that JavaScript wrote out may be left out by us: same message.
            let ours = pair.payload(&message);
            if !(kind == "Unhave" && message == Message::Unhave { start: 3, length: 1 }) {
                assert_eq!(ours[1..], expected, "{kind} {value}");
            }
            assert_eq!(Reader::new().read(ours[0], &expected), message, "{kind} {value}");
        }
    }
}

/// A session that reads plain bodies written by JavaScript.
struct Reader {
    pair: Pair,
    cipher: StreamCipher,
}

impl Reader {
    fn new() -> Reader {
        let key = array(&vectors()["firstFlight"]["key"]);
        Reader { pair: Pair::new(), cipher: StreamCipher::new(&key, &[0x22; 24]) }
    }

    /// The frame as the dialling side would have encrypted it.
    fn frame(&mut self, header: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        varint::encode(1 + body.len() as u64, &mut out);
        out.push(header);
        out.extend_from_slice(body);
        self.cipher.apply(&mut out);
        out
    }

    fn read(mut self, header: u8, body: &[u8]) -> Message<'static> {
        let out = self.frame(header, body).leak();
        match self.pair.acceptor.receive(out).unwrap().what {
            What::Message { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn data_messages() {
    let v = vectors();
    let blocks: Vec<Vec<u8>> = list(&v["feed"]["blocks"]).iter().map(bytes).collect();
    let nodes = nodes(&v["feed"]);
    let mut pair = Pair::new();
    for proof in list(&v["feed"]["proofs"]) {
        let index = proof["index"].as_u64().unwrap();
        let hash_only = proof["hash"].as_bool().unwrap();
        let wanted = |i: &Value| *nodes.iter().find(|n| Some(n.index) == i.as_u64()).unwrap();
        let data = Data {
            index,
            value: (!hash_only).then(|| blocks[index as usize].as_slice()),
            nodes: list(&proof["nodes"]).iter().map(wanted).collect(),
            signature: proof["signature"].as_str().map(|_| array(&proof["signature"])),
        };
        let theirs = bytes(&proof["dataMessage"]);
        assert_eq!(Reader::new().read(9, &theirs), Message::Data(data.clone()));
        // Ours has the value last: other order, same bytes.
        let mut ours = pair.payload(&Message::Data(data)).split_off(1);
        assert_eq!(ours.len(), theirs.len());
        let mut theirs = theirs;
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn headers() {
    let v = vectors();
    for case in list(&v["headers"]) {
        let channel = case["channel"].as_u64().unwrap();
        let header = bytes(&case["header"]);
        let (number, n) = varint::decode(&header).unwrap();
        assert_eq!((n, number >> 4), (header.len(), channel));
        assert_eq!(number & 15, case["type"].as_u64().unwrap());
        if channel >= gannet::limits::DAT_CHANNELS as u64 {
            continue;
        }
        // The same header on the channel with that number in a real session.
        let mut pair = Pair::new();
        let mut discovery_key = pair.discovery_key;
        for c in 1..=channel {
            let mut out = Vec::new();
            discovery_key = [c as u8; 32];
            pair.dialer.open(&discovery_key, &[0; 24], &mut out).unwrap();
            pair.acceptor.receive(&mut out).unwrap();
            let payload = out.split_off(1);
            let mut expected = Vec::new();
            varint::encode(c << 4, &mut expected);
            assert!(payload.starts_with(&expected));
            pair.acceptor.open(&discovery_key, &[0; 24], &mut out).unwrap();
            pair.dialer.receive(&mut out[1..]).unwrap();
        }
        let message = match number & 15 {
            3 => Message::Have(Have { start: 1, length: 1, bits: None, ack: false }),
            7 => Message::Request(Request::default()),
            9 => Message::Data(Data { index: 0, value: Some(&[]), nodes: vec![], signature: None }),
            _ => continue,
        };
        pair.discovery_key = discovery_key;
        assert!(pair.payload(&message).starts_with(&header));
    }
}

#[test]
fn first_flight() {
    let v = vectors();
    let v = &v["firstFlight"];
    let key = array(&v["key"]);
    let discovery_key = hash::discovery_key(&key);
    let wire: Vec<Vec<u8>> = list(&v["wire"]).iter().map(|w| bytes(&w["wire"])).collect();
    let other_key = KeyPair::from_seed([9; 32]).public();
    let other = hash::discovery_key(&other_key);
    let handshake = Handshake {
        id: vec![0xaa; 32],
        live: true,
        ack: false,
        extensions: vec!["example".into()],
        user_data: None,
    };
    let want = Message::Want { start: 0, length: Some(1 << 20) };
    let hi = Message::Extension { id: 0, payload: b"hi" };

    let first = FirstFeed { key, discovery_key, nonce: array(&v["nonce"]) };
    let mut out = Vec::new();
    let mut dialer = Session::dial(first, &mut out);
    // JavaScript peers of the same feed answer; any Feed will do to open ours.
    let mut answer = Vec::new();
    Session::dial(FirstFeed { nonce: [0; 24], ..first }, &mut answer);
    dialer.receive(&mut answer).unwrap();
    let mut sent = vec![std::mem::take(&mut out)];
    let mut step = |f: &mut dyn FnMut(&mut Session, &mut Vec<u8>)| {
        let mut out = Vec::new();
        f(&mut dialer, &mut out);
        sent.push(out);
    };
    step(&mut |s, out| s.handshake(&handshake, out).unwrap());
    step(&mut |s, out| s.send(&discovery_key, &want, out).unwrap());
    step(&mut |s, out| s.keepalive(out));
    step(&mut |s, out| s.send(&discovery_key, &hi, out).unwrap());
    step(&mut |s, out| s.open(&other, &[0; 24], out).unwrap());
    assert_eq!(sent, wire);

    // And read, all in one piece.
    let mut stream = wire.concat();
    let mut acceptor = Session::accept();
    let got = acceptor.receive(&mut stream).unwrap();
    assert_eq!(got.what, What::FirstFeed { discovery_key });
    let mut at = got.consumed;
    acceptor.provide_key(&key);
    acceptor.open(&discovery_key, &[1; 24], &mut Vec::new()).unwrap();
    for expected in [
        What::Handshake(handshake),
        What::Message { discovery_key, message: want },
        What::KeepAlive,
        What::Message { discovery_key, message: hi },
        What::Feed { discovery_key: other },
    ] {
        let got = acceptor.receive(&mut stream[at..]).unwrap();
        assert_eq!(got.what, expected);
        at += got.consumed;
    }
    assert_eq!(at, stream.len());
}
