//! The Hypercore dialect's own parts — session, trees, proofs, bees, blobs — against hypercore 10.38.2 and
//! 11.37.1 and hyperdrive 13.3.4, before they are joined to the program: a plain loop around a blocking
//! socket takes the place of the reactor.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use gannet::crypto::hash::{Node, discovery_key};
use gannet::crypto::hyper;
use gannet::crypto::noise::Role;
use gannet::crypto::sign::KeyPair;
use gannet::drive::hyper::entry::{self, Entry};
use gannet::drive::hyper::{Batch, BlobId, Block, Blocks, Header, Layout, Malformed};
use gannet::feed::hyper::{
    Ask, Authority, Held, Indexed, Manifest, Ours, Proof, Reorg, Source, Tree, Upgrade, build,
    missing, verify,
};
use gannet::wire::hyper::{
    Data, DataHead, Message, Reason, Request, Session, Setup, Sync, What, Window,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::install::{left_out, rig};
use crate::peer::{DEADLINE, Peer};

/// Requests for blocks that wait for an answer.
const WINDOW: usize = 16;
/// The request for an upgrade, one for the steps of a reorganisation; those for blocks follow.
const UPGRADE: u64 = 1;
const REORG: u64 = 2;
const BLOCKS: u64 = 3;

fn core(words: &[&str]) -> (Peer, tempfile::TempDir) {
    javascript("core.js", words)
}

fn javascript(program: &str, words: &[&str]) -> (Peer, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Command::new("node");
    node.arg(program).arg("--dir").arg(dir.path()).args(words).current_dir(rig("hyper"));
    (Peer::start(program, node), dir)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

fn key(ready: &Value) -> [u8; 32] {
    hex::decode(text(ready, "key")).expect("hex").try_into().expect("32 bytes")
}

fn dial(ready: &Value) -> TcpStream {
    let port = ready["port"].as_u64().expect("a port") as u16;
    TcpStream::connect(("127.0.0.1", port)).expect("the peer listens")
}

fn block(i: u64, fork: u64) -> Vec<u8> {
    vec![(i + fork) as u8; (i * 7919 % 5000) as usize]
}

struct Shelf<'a>(&'a BTreeMap<u64, Node>);

impl Held for Shelf<'_> {
    type Error = Infallible;
    fn node(&mut self, index: u64) -> Result<Option<Node>, Infallible> {
        Ok(self.0.get(&index).copied())
    }
}

/// A core in memory and the connection that it is replicated over.
struct Side {
    socket: TcpStream,
    session: Session,
    inbox: Vec<u8>,
    out: Vec<u8>,
    key: [u8; 32],
    authority: Option<Authority>,
    pair: Option<KeyPair>,
    tree: Tree,
    fork: u64,
    signature: Vec<u8>,
    nodes: BTreeMap<u64, Node>,
    blocks: BTreeMap<u64, Vec<u8>>,
    live: bool,
    theirs: Sync,
    upgrading: bool,
    reorg: Option<Reorg>,
    /// Blocks asked for and not here.
    asked: BTreeMap<u64, u64>,
    uploads: u64,
}

impl Side {
    fn new(socket: TcpStream, role: Role, key: [u8; 32]) -> Side {
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let pair = |n| KeyPair::from_seed([n; 32]);
        let setup = Setup { role, own: pair(1), ephemeral: pair(2), header: [3; 24] };
        Side {
            socket,
            session: Session::new(setup),
            inbox: Vec::new(),
            out: Vec::new(),
            key,
            authority: None,
            pair: None,
            tree: Tree::default(),
            fork: 0,
            signature: Vec::new(),
            nodes: BTreeMap::new(),
            blocks: BTreeMap::new(),
            live: false,
            theirs: Sync::default(),
            upgrading: false,
            reorg: None,
            asked: BTreeMap::new(),
            uploads: 0,
        }
    }

    /// A writer of a core with so many blocks.
    fn writer(socket: TcpStream, role: Role, manifest: bool, blocks: u64) -> Side {
        let pair = KeyPair::from_seed([7; 32]);
        let authority = match manifest {
            true => Authority::of(Manifest::single(pair.public())),
            false => Authority::Compat(pair.public()),
        };
        let mut side = Side::new(socket, role, *authority.key());
        (side.authority, side.pair) = (Some(authority), Some(pair));
        side.append(blocks);
        side
    }

    fn append(&mut self, count: u64) {
        let (length, fork) = (self.tree.length(), self.fork);
        self.append_blocks((length..length + count).map(|i| block(i, fork)));
    }

    fn append_blocks(&mut self, blocks: impl IntoIterator<Item = Vec<u8>>) {
        let mut kept = Vec::new();
        for block in blocks {
            self.blocks.insert(self.tree.length(), block.clone());
            let size = block.len() as u64;
            self.tree.append_block(size, hyper::leaf(&block), &mut kept).expect("a short core");
        }
        self.nodes.extend(kept.into_iter().map(|node| (node.index, node)));
        let (authority, pair) = (self.authority.as_ref(), self.pair.as_ref());
        self.signature = authority
            .zip(pair)
            .and_then(|(authority, pair)| authority.sign(&self.tree, self.fork, pair))
            .expect("a core of ours");
        if self.live {
            self.announce();
        }
    }

    /// Drops blocks and appends two of the next fork.
    fn truncate(&mut self, length: u64) {
        let before = self.tree.length();
        self.tree = Tree::load(&mut Shelf(&self.nodes), length).expect("memory").expect("held");
        self.fork += 1;
        self.blocks.split_off(&length);
        self.nodes.retain(|&i, _| gannet::feed::flat::right_span(i) < 2 * length);
        let drop = Message::Range { drop: true, start: length, length: before - length };
        self.send(&drop);
        self.append(2);
    }

    fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        (0..self.tree.length()).for_each(|i| hash.update(&self.blocks[&i]));
        hex::encode(hash.finalize())
    }

    fn send(&mut self, message: &Message<'_>) {
        self.session.send(&discovery_key(&self.key), message, &mut self.out).expect("it is open");
    }

    fn say_sync(&mut self) {
        let (length, fork) = (self.tree.length(), self.fork);
        let sync = Sync {
            fork,
            length,
            remote_length: if self.theirs.fork == fork { self.theirs.length } else { 0 },
            can_upgrade: self.theirs.fork != fork || self.theirs.length < length,
            uploading: true,
            downloading: true,
            has_manifest: self.authority.as_ref().is_some_and(|a| a.manifest().is_some()),
            allow_push: false,
        };
        self.send(&Message::Sync(sync));
    }

    fn announce(&mut self) {
        let length = self.tree.length();
        if length > 0 && self.blocks.len() as u64 == length {
            self.send(&Message::Range { drop: false, start: 0, length });
        }
        self.say_sync();
    }

    /// Carries bytes until `done`.
    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Side) -> bool) {
        let until = Instant::now() + DEADLINE;
        let mut buffer = vec![0; 64 * 1024];
        while !done(self) {
            assert!(Instant::now() < until, "{what} takes too long");
            self.session.poll(&mut self.out);
            self.socket.write_all(&self.out).expect("the peer reads");
            self.out.clear();
            match self.socket.read(&mut buffer) {
                Ok(0) => panic!("{what}: the peer hung up"),
                Ok(n) => self.inbox.extend_from_slice(&buffer[..n]),
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "{what}: {error}"
                ),
            }
            self.handle();
        }
    }

    fn handle(&mut self) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let id = discovery_key(&self.key);
        loop {
            let got = self.session.receive(&mut inbox).expect("an honest peer");
            let consumed = got.consumed;
            match got.what {
                What::Incomplete => break,
                What::KeepAlive | What::Ignored => {}
                What::Up { .. } => {
                    // Whoever dialled opens first here, so that both orders are seen.
                    if self.pair.is_none() || self.tree.length().is_multiple_of(2) {
                        self.open(id);
                    }
                }
                What::Opened { discovery_key } if discovery_key == id => self.open(id),
                // A drive's other core, which another connection is for.
                What::Opened { discovery_key } => {
                    self.session.refuse(&discovery_key, &mut self.out);
                }
                What::Live { .. } => self.begin(),
                // It does not know of a drive's blobs before it has read the bee: it opens them then.
                What::Rejected { .. } => {}
                What::Message { message, .. } => self.message(message),
                other => panic!("{other:?}"),
            }
            inbox.drain(..consumed);
        }
        self.inbox = inbox;
    }

    fn open(&mut self, id: [u8; 32]) {
        match self.session.open(&id, &self.key, &mut self.out) {
            Ok(Some(_)) => self.begin(),
            Ok(None) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn begin(&mut self) {
        self.live = true;
        self.announce();
    }

    fn message(&mut self, message: Message<'_>) {
        match message {
            Message::Sync(sync) => self.sync(sync),
            Message::Request(request) => self.request(&request),
            Message::Data(data) => self.data(data),
            Message::NoData { .. } => panic!("{message:?}"),
            Message::Want(Window { .. }) => self.announce(),
            _ => {}
        }
    }

    fn sync(&mut self, sync: Sync) {
        let before = std::mem::replace(&mut self.theirs, sync);
        if (before.length, before.fork) != (sync.length, sync.fork) {
            // The acknowledgement without which JavaScript never asks again.
            self.say_sync();
        }
        if self.pair.is_some() || self.upgrading {
            return;
        }
        let own = self.tree.length();
        let manifest = self.authority.is_none() && sync.has_manifest;
        let ask = if sync.fork > self.fork && sync.length > 0 {
            Reorg::ask(sync.length)
        } else if sync.length > own && sync.can_upgrade && sync.remote_length == own {
            let upgrade = Upgrade { start: own, length: sync.length - own };
            Ask { upgrade: Some(upgrade), ..Ask::default() }
        } else {
            return;
        };
        self.upgrading = true;
        let request = Request { id: UPGRADE, fork: sync.fork, ask, manifest, priority: 0 };
        self.send(&Message::Request(request));
    }

    fn data(&mut self, data: Data<'_>) {
        if self.authority.is_none() {
            let manifest = data.manifest.map(|bytes| Manifest::decode(bytes).expect("a manifest"));
            self.authority = Some(Authority::new(self.key, manifest).expect("the core's"));
        }
        let authority = self.authority.clone().expect("there by now");
        let Ok(()) = self.store(&authority, &data);
        if data.request == UPGRADE {
            self.upgrading = false;
        }
        if self.reorg.is_none() {
            self.ask_blocks();
        }
    }

    fn store(&mut self, authority: &Authority, data: &Data<'_>) -> Result<(), Infallible> {
        let mut shelf = Shelf(&self.nodes);
        if data.fork > self.fork {
            match &mut self.reorg {
                None => {
                    let reorg =
                        Reorg::new(authority, &self.tree, &mut shelf, data.fork, &data.proof)?;
                    self.reorg = Some(reorg.expect("a signed tree"));
                }
                Some(reorg) => {
                    let step = reorg.narrowed(&self.tree, &mut shelf, &data.proof)?;
                    step.expect("hashes of that tree");
                }
            }
            self.go_on_with_reorg(data.fork);
            return Ok(());
        }
        let leaf = data.proof.block.as_ref().zip(data.value).map(|(path, value)| Node {
            index: 2 * path.index,
            size: value.len() as u64,
            hash: hyper::leaf(value),
        });
        let ours = Ours { authority, tree: &self.tree, fork: self.fork };
        let accepted = verify(ours, &mut shelf, data.fork, &data.proof, leaf)?;
        let accepted = accepted.unwrap_or_else(|why| panic!("{why}: {data:?}"));
        self.nodes.extend(accepted.nodes.iter().map(|node| (node.index, *node)));
        if let Some(signed) = accepted.grown {
            (self.tree, self.signature) = (signed.tree, signed.signature);
            self.say_sync();
        }
        if let (Some(path), Some(value)) = (&data.proof.block, data.value) {
            self.blocks.insert(path.index, value.to_vec());
            self.asked.remove(&path.index);
        }
        Ok(())
    }

    fn go_on_with_reorg(&mut self, fork: u64) {
        let Some(reorg) = self.reorg.take() else { return };
        if let Some(ask) = reorg.next() {
            let request = Request { id: REORG, fork, ask, manifest: false, priority: 0 };
            self.send(&Message::Request(request));
            self.reorg = Some(reorg);
            return;
        }
        let common = reorg.common();
        self.blocks.split_off(&common);
        self.nodes.retain(|&i, _| gannet::feed::flat::right_span(i) < 2 * common);
        let (signed, nodes) = reorg.finish();
        self.nodes.extend(nodes.into_iter().map(|node| (node.index, node)));
        (self.tree, self.fork, self.signature) = (signed.tree, signed.fork, signed.signature);
        self.asked.clear();
        self.say_sync();
    }

    fn ask_blocks(&mut self) {
        let length = self.tree.length();
        let wanted: Vec<u64> = (0..length)
            .filter(|i| !self.blocks.contains_key(i) && !self.asked.contains_key(i))
            .take(WINDOW - self.asked.len().min(WINDOW))
            .collect();
        for index in wanted {
            let Ok(nodes) = missing(&mut Shelf(&self.nodes), 2 * index, length);
            let ask = Ask { block: Some(Indexed { index, nodes }), ..Ask::default() };
            self.asked.insert(index, BLOCKS + index);
            let (id, fork) = (BLOCKS + index, self.fork);
            self.send(&Message::Request(Request { id, fork, ask, ..Request::default() }));
        }
    }

    fn request(&mut self, request: &Request) {
        let no = |reason| Message::NoData { request: request.id, reason: Some(reason) };
        if request.fork != self.fork {
            return self.send(&no(Reason::NotAvailable));
        }
        let signature = Some(&self.signature[..]);
        let source = Source { length: self.tree.length(), signature, prologue: None };
        let Ok(built) = build(source, &mut Shelf(&self.nodes), &request.ask);
        let Ok(proof) = built else { return self.send(&no(Reason::InvalidRequest)) };
        self.answer(request, &proof);
        self.uploads += 1;
    }

    fn answer(&mut self, request: &Request, proof: &Proof) {
        let mut encoded = Vec::new();
        let manifest = self.authority.as_ref().and_then(Authority::manifest);
        let manifest = manifest.filter(|_| request.manifest).map(|manifest| {
            manifest.encode(&mut encoded);
            &encoded[..]
        });
        let (id, fork) = (request.id, request.fork);
        let Some(path) = &proof.block else {
            let proof = proof.clone();
            let data = Data { request: id, fork, value: None, proof, manifest };
            return self.send(&Message::Data(data));
        };
        let head = DataHead { request: id, fork, proof, manifest };
        let (block, out) = (&self.blocks[&path.index], &mut self.out);
        let core = discovery_key(&self.key);
        let from = self.session.data_begin(&core, &head, block.len(), out).expect("it is open");
        out.extend_from_slice(block);
        self.session.data_end(from, &head, out).expect("a short block");
    }
}

/// Reads everything, then follows appends and, last, a truncation.
fn read_and_follow(version: &str, compat: bool) {
    let mut words = vec!["--core", version, "--blocks", "120"];
    words.extend(compat.then_some("--compat"));
    let (mut peer, _dir) = core(&words);
    let ready = peer.expect("ready");
    assert_eq!(ready["compat"], compat);
    let mut side = Side::new(dial(&ready), Role::Initiator, key(&ready));
    let whole = |side: &mut Side, told: &Value| {
        (Some(side.tree.length()), Some(side.fork))
            == (told["length"].as_u64(), told["fork"].as_u64())
            && side.blocks.len() as u64 == side.tree.length()
    };
    side.run_until("reading", |side| whole(side, &ready));
    assert_eq!(side.sha256(), text(&ready, "sha256"));
    for command in ["append 1", "append 30", "truncate 77", "append 9", "truncate 0"] {
        peer.say(command);
        let told = peer.expect("changed");
        side.run_until(command, |side| whole(side, &told));
        assert_eq!(side.sha256(), text(&told, "sha256"), "{command}");
    }
    assert_eq!(side.fork, 2);
}

#[test]
fn cores_come_from_hypercore_11() {
    if !left_out() {
        read_and_follow("11", false);
        read_and_follow("11", true);
    }
}

#[test]
fn cores_come_from_hypercore_10() {
    if !left_out() {
        read_and_follow("10", false);
        read_and_follow("10", true);
    }
}

/// A core of ours, read by hypercore, which is dialled or dials.
fn serve(version: &str, manifest: bool, they_dial: bool, blocks: u64) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
    let port = listener.local_addr().expect("bound").port().to_string();
    let pair = KeyPair::from_seed([7; 32]);
    let key = if manifest { Manifest::single(pair.public()).key() } else { pair.public() };
    let key = hex::encode(key);
    let mut words = vec!["--core", version, "--key", &key];
    if they_dial {
        words.extend(["--connect", &port]);
    }
    let (mut peer, _dir) = core(&words);
    let ready = peer.expect("ready");
    let mut side = if they_dial {
        let (socket, _) = listener.accept().expect("the peer dials");
        Side::writer(socket, Role::Responder, manifest, blocks)
    } else {
        Side::writer(dial(&ready), Role::Initiator, manifest, blocks)
    };
    let mut changes: Vec<fn(&mut Side)> =
        vec![|_| (), |side| side.append(1), |side| side.append(40), |side| side.truncate(33)];
    changes.push(|side| side.append(5));
    for (n, change) in changes.into_iter().enumerate() {
        change(&mut side);
        // It says what it has when it has everything; our part is to answer meanwhile.
        let (length, fork) = (side.tree.length(), side.fork);
        side.run_until(&format!("serving {n}"), |side| {
            (side.theirs.length, side.theirs.fork) == (length, fork)
        });
        let sha256 = side.sha256();
        let (to, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let peer = &mut peer;
            scope.spawn(move || {
                let fits = |told: &Value| {
                    (told["length"].as_u64(), told["fork"].as_u64()) == (Some(length), Some(fork))
                };
                let _ = to.send(peer.expect_where("synced", fits));
            });
            let mut synced = None;
            side.run_until(&format!("read {n}"), |_| {
                synced = told.try_recv().ok();
                synced.is_some()
            });
            assert_eq!(text(&synced.expect("told"), "sha256"), sha256, "change {n}");
        });
    }
    assert!(side.uploads > 100);
}

#[test]
fn cores_go_to_hypercore_11() {
    if !left_out() {
        serve("11", true, true, 100);
        serve("11", false, false, 101);
    }
}

#[test]
fn cores_go_to_hypercore_10() {
    if !left_out() {
        serve("10", true, false, 100);
        serve("10", false, true, 101);
    }
}

impl Blocks for Side {
    type Error = Malformed;
    fn block(&mut self, seq: u64) -> Result<Block, Malformed> {
        Block::decode(seq, self.blocks.get(&seq).ok_or(Malformed)?)
    }
}

/// What a drive holds, in the words of the JavaScript peer.
fn listed(db: &mut Side, blobs: &Side) -> BTreeMap<String, String> {
    let mut walk = entry::files(db.tree.length(), "");
    let mut files = BTreeMap::new();
    while let Some(found) = walk.next(db).expect("an honest tree") {
        let name = entry::name(&found.key).expect("a file").to_owned();
        let entry = Entry::decode(&found.value.expect("a record")).expect("a record");
        let told = match (&entry.link, &entry.blob) {
            (Some(link), _) => format!("link {link}"),
            (None, None) => panic!("{name} is nothing"),
            (None, Some(blob)) => {
                let layout = Layout::new(blob, []).expect("no map");
                let content: Vec<u8> = (0..layout.len())
                    .filter_map(|n| layout.chunk(n))
                    .flat_map(|chunk| blobs.blocks[&chunk.block].clone())
                    .collect();
                let kind = if entry.executable { "program" } else { "file" };
                let metadata = entry.metadata.as_deref().unwrap_or("null");
                let sha256 = hex::encode(Sha256::digest(&content));
                format!("{kind} {} {sha256} {metadata}", content.len())
            }
        };
        files.insert(name, told);
    }
    files
}

fn files(told: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(told["files"].clone()).expect("a list of files")
}

/// Everything that the peer has of a core is here.
fn complete(side: &mut Side) -> bool {
    side.tree.length() > 0
        && side.theirs.length == side.tree.length()
        && side.blocks.len() as u64 == side.tree.length()
}

#[test]
fn a_drive_comes_from_hyperdrive_13() {
    if left_out() {
        return;
    }
    let (mut peer, _dir) = javascript("drive.js", &[]);
    let ready = peer.expect("ready");
    let mut db = Side::new(dial(&ready), Role::Initiator, key(&ready));
    db.run_until("reading the bee", complete);
    let authority = db.authority.clone().expect("a peer sent it");
    let manifest = authority.manifest().expect("not compat");
    let blobs = manifest.of_blobs(&db.key).expect("version 1");
    let mut blobs = Side::new(dial(&ready), Role::Initiator, blobs.key());
    blobs.run_until("reading the blobs", complete);
    assert_eq!(listed(&mut db, &blobs), files(&ready));
    let before = db.tree.length();
    peer.say("change");
    let changed = peer.expect("changed");
    // 22 changes, and one more blob.
    db.run_until("the changed bee", |db| complete(db) && db.tree.length() == before + 22);
    let before = blobs.tree.length();
    blobs.run_until("the changed blobs", |blobs| {
        complete(blobs) && blobs.tree.length() == before + 1
    });
    assert_eq!(listed(&mut db, &blobs), files(&changed));
}

/// Puts a file; its content goes to `blobs` at once, as readers need it.
fn put(db: &mut Side, blobs: &mut Side, name: &str, content: &[u8], entry: Entry) {
    let (length, bytes) = (blobs.tree.length(), blobs.tree.byte_length());
    let blob = BlobId::append(length, bytes, content.len() as u64);
    let chunks = content.chunks(gannet::limits::DRIVE_BLOCK_BYTES).map(<[u8]>::to_vec);
    blobs.append_blocks(chunks.collect::<Vec<_>>());
    let blob = entry.link.is_none().then_some(blob);
    let mut value = Vec::new();
    Entry { blob, ..entry }.encode(&mut value).expect("a short record");
    let mut batch = Batch::new(db.tree.length());
    batch.put(db, &entry::key(name), Some(&value)).expect("our own tree");
    db.append_blocks(batch.finish());
}

#[test]
fn a_drive_goes_to_hyperdrive_13() {
    if left_out() {
        return;
    }
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("loopback"));
    let ports = listeners.each_ref().map(|l| l.local_addr().expect("bound").port().to_string());
    let pair = KeyPair::from_seed([7; 32]);
    let manifest = Manifest::single(pair.public());
    let key = manifest.key();
    let authority = Authority::of(manifest.of_blobs(&key).expect("version 1"));
    let words = ["--key", &hex::encode(key), "--connect", &ports.join(",")];
    let (mut peer, _dir) = javascript("drive.js", &words);
    let [mut db, mut blobs] = listeners.map(|listener| {
        let (socket, _) = listener.accept().expect("the peer dials");
        Side::writer(socket, Role::Responder, true, 0)
    });
    (blobs.key, blobs.authority) = (*authority.key(), Some(authority));
    let mut header = Vec::new();
    Header { metadata: true, ..Header::default() }.encode(&mut header);
    db.append_blocks([header]);
    let plain = Entry::default;
    put(&mut db, &mut blobs, "a.txt", b"hello\n", plain());
    put(&mut db, &mut blobs, "sub/run.sh", b"#!/bin/sh\n", Entry { executable: true, ..plain() });
    let metadata = Some(r#"{"b":1,"a":[2]}"#.to_owned());
    put(&mut db, &mut blobs, "sub/big.bin", &[7; 200_000], Entry { metadata, ..plain() });
    put(&mut db, &mut blobs, "empty", b"", plain());
    put(&mut db, &mut blobs, "link", b"", Entry { link: Some("a.txt".into()), ..plain() });
    for i in 0..40 {
        put(&mut db, &mut blobs, &format!("many/{i}"), format!("file {i}").as_bytes(), plain());
    }
    both_until_listed(&mut db, &mut blobs, &mut peer);
    let mut batch = Batch::new(db.tree.length());
    assert_eq!(batch.delete(&mut db, &entry::key("a.txt")), Ok(true));
    for i in (0..40).step_by(2) {
        assert_eq!(batch.delete(&mut db, &entry::key(&format!("many/{i}"))), Ok(true));
    }
    db.append_blocks(batch.finish());
    put(&mut db, &mut blobs, "sub/run.sh", b"changed", plain());
    both_until_listed(&mut db, &mut blobs, &mut peer);
}

/// Serves both cores until the peer lists what we have.
fn both_until_listed(db: &mut Side, blobs: &mut Side, peer: &mut Peer) {
    let expected = listed(db, blobs);
    let (to, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let expected = &expected;
        scope.spawn(move || {
            let _ = to.send(peer.expect_where("listed", |told| files(told) == *expected));
        });
        db.run_until("the drive is read", |_| {
            let mut once = false;
            blobs.run_until("its blobs", |_| std::mem::replace(&mut once, true));
            told.try_recv().is_ok()
        });
    });
}
