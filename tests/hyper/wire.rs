//! The first bytes of a connection, Protomux, messages.

use gannet::crypto::hash::{self, Node};
use gannet::crypto::noise::{Handshake, Role};
use gannet::crypto::sealed::{self, Opener, Sealer};
use gannet::crypto::sign::KeyPair;
use gannet::feed::hyper::{Ask, Grown, Indexed, Path, Proof, Seek, SeekPath, Upgrade};
use gannet::wire::hyper::{Data, Message, Reason, Request, Session, Setup, Sync, What, Window};
use serde_json::Value;

use super::{array, bytes, list, vectors};

const LENGTH_BYTES: usize = 3;

fn key(v: &Value, name: &str) -> KeyPair {
    KeyPair::from_seed(array(&v["noise_xx"][name]))
}

fn session(v: &Value, role: Role) -> Session {
    let (name, way) = match role {
        Role::Initiator => ("initiator", "initiator_to_responder"),
        Role::Responder => ("responder", "responder_to_initiator"),
    };
    Session::new(Setup {
        role,
        own: key(v, &format!("{name}_static_seed")),
        ephemeral: key(v, &format!("{name}_ephemeral_seed")),
        header: array(&v["secret_stream"][way]["header"]),
    })
}

fn said(session: &mut Session) -> Vec<u8> {
    let mut out = Vec::new();
    session.poll(&mut out);
    out
}

#[test]
fn first_bytes() {
    let v = vectors();
    let s = &v["secret_stream"];
    let (mut a, mut b) = (session(&v, Role::Initiator), session(&v, Role::Responder));
    let wire: Vec<Vec<u8>> =
        list(&s["xx_handshake_on_wire"]).iter().map(|m| bytes(&m["bytes"])).collect();
    let mut first = said(&mut a);
    assert_eq!(first, wire[0]);
    b.receive(&mut first).unwrap();
    let mut second = said(&mut b);
    assert_eq!(second, wire[1]);
    a.receive(&mut second).unwrap();
    let third = said(&mut a);
    assert_eq!(third, [wire[2].clone(), bytes(&s["initiator_header_frame"])].concat());
    let mut rest = third;
    let consumed = b.receive(&mut rest).unwrap().consumed;
    let remote = array(&v["noise_xx"]["initiator_static_public"]);
    assert_eq!(b.receive(&mut rest[consumed..]).unwrap().what, What::Up { remote });
    let mut header = said(&mut b);
    assert_eq!(header, bytes(&s["responder_header_frame"]));
    let remote = array(&v["noise_xx"]["responder_static_public"]);
    assert_eq!(a.receive(&mut header).unwrap().what, What::Up { remote });
    // The empty message is a keep-alive.
    let mut out = Vec::new();
    a.keepalive(&mut out);
    assert_eq!(out.len(), LENGTH_BYTES + sealed::OVERHEAD_BYTES);
    assert_eq!(b.receive(&mut out).unwrap().what, What::KeepAlive);
}

/// The texts that a session seals, one a frame.
struct Reader(Opener);

impl Reader {
    fn texts(&mut self, mut out: &[u8]) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        while let Some(([a, b, c], rest)) = out.split_first_chunk::<LENGTH_BYTES>() {
            let (body, rest) = rest.split_at(u32::from_le_bytes([*a, *b, *c, 0]) as usize);
            let mut body = body.to_vec();
            self.0.open(&mut body).unwrap();
            texts.push(sealed::text(&body).to_vec());
            out = rest;
        }
        texts
    }
}

/// A session of ours that dialled, what opens its frames, and what seals the peer's.
struct Rig {
    session: Session,
    reader: Reader,
    sealer: Sealer,
}

impl Rig {
    fn new(v: &Value) -> Rig {
        let s = &v["secret_stream"];
        let mut session = session(v, Role::Initiator);
        for frame in [&s["xx_handshake_on_wire"][1]["bytes"], &s["responder_header_frame"]] {
            session.receive(&mut bytes(frame)).unwrap();
        }
        said(&mut session);
        let ways = ["initiator_to_responder", "responder_to_initiator"];
        let [out, back] = ways.map(|way| (array(&s[way]["key"]), array(&s[way]["header"])));
        let reader = Reader(Opener::new(&out.0, &out.1));
        Rig { session, reader, sealer: Sealer::new(&back.0, &back.1) }
    }

    /// What the peer's frame of this text leads to.
    fn hear(&mut self, text: &[u8]) -> Vec<String> {
        let mut body = [&[0], text, &[0; sealed::BEHIND_BYTES]].concat();
        self.sealer.seal(&mut body);
        let mut frame = (body.len() as u32).to_le_bytes()[..LENGTH_BYTES].to_vec();
        frame.extend(body);
        let mut whats = Vec::new();
        while !frame.is_empty() {
            let got = self.session.receive(&mut frame).unwrap();
            whats.push(format!("{:?}", got.what));
            let consumed = got.consumed;
            frame.drain(..consumed);
        }
        whats
    }

    fn texts(&mut self) -> Vec<Vec<u8>> {
        let out = said(&mut self.session);
        self.reader.texts(&out)
    }
}

#[test]
fn protomux() {
    let v = vectors();
    let m = &v["protomux"];
    let core: [u8; 32] = array(&v["capability"]["core_key"]);
    let discovery_key = hash::discovery_key(&core);
    let mut rig = Rig::new(&v);
    rig.session.open(&discovery_key, &core, &mut Vec::new()).unwrap();
    // As JavaScript batches a single opening; and its own, sealed alone.
    assert_eq!(rig.texts(), [bytes(&m["batch_with_control_open"])]);
    let theirs = bytes(&m["open_hypercore_channel_1"]);
    assert_eq!(&bytes(&m["batch_with_control_open"])[4..], &theirs[1..]);
    let mut answer = theirs.clone();
    let at = answer.len() - 32;
    answer[at..].copy_from_slice(&bytes(&v["capability"]["responder"]));
    let live = What::Live { discovery_key, seeks: true };
    assert_eq!(rig.hear(&answer), [format!("{live:?}")]);
    let sync = Sync { length: 5, uploading: true, downloading: true, ..Sync::default() };
    let sync = Sync { can_upgrade: true, has_manifest: true, ..sync };
    let range = Message::Range { drop: false, start: 0, length: 5 };
    for message in [&Message::Sync(sync), &range] {
        rig.session.send(&discovery_key, message, &mut Vec::new()).unwrap();
    }
    assert_eq!(rig.texts(), [bytes(&m["batch_sync_and_range_channel_1"])]);
    let [sync, range] = [Message::Sync(sync), range]
        .map(|message| format!("{:?}", What::Message { discovery_key, message }));
    let single = bytes(&m["single_sync_on_channel_1"]);
    assert_eq!(rig.hear(&single).concat(), sync);
    let batch = bytes(&m["batch_sync_and_range_channel_1"]);
    assert_eq!(rig.hear(&batch), [sync.clone(), range]);
    // The second channel of this one is not open: its message is passed over.
    let two = bytes(&m["batch_two_channels"]);
    assert_eq!(rig.hear(&two), [sync, format!("{:?}", What::Ignored)]);
    assert_eq!(
        rig.hear(&bytes(&m["close_local_1"])),
        [format!("{:?}", What::Closed { discovery_key })]
    );
    rig.session.open(&discovery_key, &core, &mut Vec::new()).unwrap();
    let rejected = format!("{:?}", What::Rejected { discovery_key });
    assert_eq!(rig.hear(&bytes(&m["reject_remote_1"])), [rejected]);
}

fn number(v: &Value, name: &str) -> u64 {
    v[name].as_u64().unwrap()
}

fn flag(v: &Value, name: &str) -> bool {
    v[name].as_bool().unwrap()
}

fn nodes(v: &Value) -> Vec<Node> {
    let node = |n: &Value| Node {
        index: number(n, "index"),
        size: number(n, "size"),
        hash: array(&n["hash"]),
    };
    list(v).iter().map(node).collect()
}

fn some<T>(v: &Value, read: impl FnOnce(&Value) -> T) -> Option<T> {
    (!v.is_null()).then(|| read(v))
}

fn window(v: &Value) -> Window {
    Window { start: number(v, "start"), length: number(v, "length"), any: flag(v, "any") }
}

fn request(v: &Value) -> Request {
    let indexed = |v: &Value| Indexed { index: number(v, "index"), nodes: number(v, "nodes") };
    let seek = |v: &Value| Seek { bytes: number(v, "bytes"), padding: number(v, "padding") };
    let upgrade = |v: &Value| Upgrade { start: number(v, "start"), length: number(v, "length") };
    let ask = Ask {
        block: some(&v["block"], indexed),
        hash: some(&v["hash"], indexed),
        seek: some(&v["seek"], seek),
        upgrade: some(&v["upgrade"], upgrade),
    };
    Request {
        id: number(v, "id"),
        fork: number(v, "fork"),
        ask,
        manifest: flag(v, "manifest"),
        priority: number(v, "priority"),
    }
}

fn proof(v: &Value) -> Proof {
    let path = |v: &Value| Path { index: number(v, "index"), nodes: nodes(&v["nodes"]) };
    Proof {
        block: some(&v["block"], path),
        hash: some(&v["hash"], path),
        seek: some(&v["seek"], |v| SeekPath {
            bytes: number(v, "bytes"),
            nodes: nodes(&v["nodes"]),
        }),
        upgrade: some(&v["upgrade"], |v| Grown {
            start: number(v, "start"),
            length: number(v, "length"),
            nodes: nodes(&v["nodes"]),
            additional: nodes(&v["additionalNodes"]),
            signature: some(&v["signature"], bytes),
        }),
    }
}

/// Its number in hyper/SPEC c.4, and what it is; `raw` holds what is borrowed.
fn message<'a>(kind: &str, v: &'a Value, raw: &'a Raw) -> (u8, Message<'a>) {
    match kind {
        "sync" => {
            let sync = Sync {
                fork: number(v, "fork"),
                length: number(v, "length"),
                remote_length: number(v, "remoteLength"),
                can_upgrade: flag(v, "canUpgrade"),
                uploading: flag(v, "uploading"),
                downloading: flag(v, "downloading"),
                has_manifest: flag(v, "hasManifest"),
                allow_push: flag(v, "allowPush"),
            };
            (0, Message::Sync(sync))
        }
        "request" => (1, Message::Request(request(v))),
        "cancel" => (2, Message::Cancel { request: number(v, "request") }),
        "data" => {
            let data = Data {
                request: number(v, "request"),
                fork: number(v, "fork"),
                value: some(&v["block"], |_| &raw.bytes[..]),
                proof: proof(v),
                manifest: some(&v["manifest"], |_| &raw.manifest[..]),
            };
            (3, Message::Data(data))
        }
        "noData" => {
            let reason = (number(v, "reason") == 1).then_some(Reason::NotAvailable);
            (4, Message::NoData { request: number(v, "request"), reason })
        }
        "want" => (5, Message::Want(window(v))),
        "unwant" => (6, Message::Unwant(window(v))),
        "bitfield" => (7, Message::Bitfield { start: number(v, "start"), words: &raw.words }),
        "range" => {
            let (start, length) = (number(v, "start"), number(v, "length"));
            (8, Message::Range { drop: flag(v, "drop"), start, length })
        }
        "extension" => {
            (9, Message::Extension { name: v["name"].as_str().unwrap(), payload: &raw.bytes })
        }
        other => panic!("{other}"),
    }
}

#[derive(Default)]
struct Raw {
    bytes: Vec<u8>,
    words: Vec<[u8; 4]>,
    manifest: Vec<u8>,
}

#[test]
fn messages() {
    let v = vectors();
    let core: [u8; 32] = array(&v["capability"]["core_key"]);
    let discovery_key = hash::discovery_key(&core);
    let mut rig = Rig::new(&v);
    rig.session.open(&discovery_key, &core, &mut Vec::new()).unwrap();
    let mut answer = bytes(&v["protomux"]["open_hypercore_channel_1"]);
    let at = answer.len() - 32;
    answer[at..].copy_from_slice(&bytes(&v["capability"]["responder"]));
    rig.hear(&answer);
    rig.texts();
    let mut seen = 0;
    for case in list(&v["wire"]) {
        let (kind, value, expected) =
            (case["message"].as_str().unwrap(), &case["value"], bytes(&case["bytes"]));
        if kind == "handshake" {
            assert_eq!(expected, [&[1][..], &[9; 32]].concat());
            continue;
        }
        let mut raw = Raw::default();
        if let Some(words) = value["bitfield"].as_array() {
            raw.words = words.iter().map(|w| (w.as_u64().unwrap() as u32).to_le_bytes()).collect();
        }
        if !value["manifest"].is_null() && kind == "data" {
            // The default one, whose length is fixed.
            raw.manifest = expected[expected.len() - 70..].to_vec();
        }
        if value["block"]["value"].is_string() {
            raw.bytes = bytes(&value["block"]["value"]);
        } else if value["message"].is_string() {
            raw.bytes = bytes(&value["message"]);
        }
        let (number, message) = message(kind, value, &raw);
        let mut out = Vec::new();
        rig.session.send(&discovery_key, &message, &mut out).unwrap();
        let mut texts = rig.reader.texts(&out);
        texts.extend(rig.texts());
        let body = [&[1, number], &expected[..]].concat();
        // Ours is alone in a frame, or in a batch behind its length.
        let batched = [&[0, 0, 1, 1 + expected.len() as u8, number], &expected[..]].concat();
        assert!(texts == [body.clone()] || texts == [batched], "{kind} {value}");
        let heard = What::Message { discovery_key, message };
        assert_eq!(rig.hear(&body), [format!("{heard:?}")], "{kind} {value}");
        seen += 1;
    }
    assert_eq!(seen, list(&v["wire"]).len() - 1);
    // Older peers leave out what may be left out.
    for (body, message) in [
        (vec![1, 4, 5], Message::NoData { request: 5, reason: None }),
        (vec![1, 5, 0, 32], Message::Want(Window { start: 0, length: 32, any: false })),
    ] {
        let heard = What::Message { discovery_key, message };
        assert_eq!(rig.hear(&body), [format!("{heard:?}")]);
    }
}

/// A handshake made by hand with the session's own pieces ends in the same keys.
#[test]
fn noise_alone_and_in_a_session() {
    let v = vectors();
    let mut b = session(&v, Role::Responder);
    let own = key(&v, "initiator_static_seed");
    let mut a = Handshake::new(Role::Initiator, own, key(&v, "initiator_ephemeral_seed"));
    let mut message = Vec::new();
    a.write(&mut message).unwrap();
    let mut frame = [&[32, 0, 0][..], &message].concat();
    b.receive(&mut frame).unwrap();
    let answer = said(&mut b);
    a.read(&answer[LENGTH_BYTES..]).unwrap();
    message.clear();
    a.write(&mut message).unwrap();
    assert_eq!(a.finish().unwrap().hash, array(&v["noise_xx"]["handshake_hash"]));
}
