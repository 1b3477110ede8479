//! What a peer of the Hypercore dialect says that means no good: messages of every shape with numbers
//! up to the edges, and answers that were right once, or nearly.

use gannet::crypto::hash::Node;
use gannet::feed::hyper::{Ask, Grown, Indexed, Path, Proof, Seek, SeekPath, Upgrade};
use gannet::limits::MAX_SAFE_INTEGER;
use gannet::rng::Rng;
use gannet::wire::hyper::{Data, Message, Reason, Request, Session, Sync, Window};

/// Answers of honest peers that it remembers.
const KEPT: usize = 12;

/// An answer that an honest peer gave, owning its bytes.
#[derive(Clone)]
pub struct Kept {
    fork: u64,
    value: Option<Vec<u8>>,
    proof: Proof,
    manifest: Option<Vec<u8>>,
}

/// What it has learned of a core.
#[derive(Default)]
pub struct Known {
    answers: Vec<Kept>,
    /// The last that anybody honest said of its length.
    pub fork: u64,
    pub length: u64,
}

impl Known {
    pub fn learn(&mut self, rng: &mut Rng, data: &Data<'_>) {
        let kept = Kept {
            fork: data.fork,
            value: data.value.map(<[u8]>::to_vec),
            proof: data.proof.clone(),
            manifest: data.manifest.map(<[u8]>::to_vec),
        };
        match self.answers.len() {
            KEPT => self.answers[rng.below(KEPT as u64) as usize] = kept,
            _ => self.answers.push(kept),
        }
    }
}

/// Small, near a power of two, or at the edge of what can be said.
pub fn number(rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0..=2 => rng.below(40),
        3 => rng.next_u64() >> rng.between(11, 63),
        4 => (1u64 << rng.below(53)) - rng.below(2),
        _ => MAX_SAFE_INTEGER - rng.below(3),
    }
}

fn near(rng: &mut Rng, value: u64) -> u64 {
    match rng.below(5) {
        0 => number(rng),
        1 => value.saturating_sub(1),
        2 => (value + 1).min(MAX_SAFE_INTEGER),
        _ => value,
    }
}

fn bytes(rng: &mut Rng, most: u64) -> Vec<u8> {
    let mut bytes = vec![0; rng.below(most) as usize];
    rng.fill(&mut bytes);
    bytes
}

fn nodes(rng: &mut Rng) -> Vec<Node> {
    let node = |rng: &mut Rng| {
        let mut hash = [0; 32];
        rng.fill(&mut hash);
        Node { index: number(rng), hash, size: number(rng) }
    };
    (0..rng.below(8)).map(|_| node(rng)).collect()
}

/// What it says of its length: more than there is, another history, nothing.
pub fn head(rng: &mut Rng, known: &Known) -> Message<'static> {
    let fork = match rng.below(4) {
        0 => number(rng),
        1 => known.fork + rng.below(3),
        _ => known.fork,
    };
    let length = match rng.below(4) {
        0 => number(rng),
        1 => 0,
        _ => known.length + rng.below(100),
    };
    Message::Sync(Sync {
        fork,
        length,
        remote_length: near(rng, known.length),
        can_upgrade: !rng.one_in(4),
        uploading: !rng.one_in(8),
        downloading: !rng.one_in(8),
        has_manifest: rng.one_in(2),
        allow_push: rng.one_in(4),
    })
}

pub fn everything() -> Message<'static> {
    Message::Range { drop: false, start: 0, length: 1 << 20 }
}

/// A request for what may be there, asked for properly: to learn from the answer.
pub fn fair_request(rng: &mut Rng, known: &Known, id: u64) -> Request {
    let block = Some(Indexed { index: rng.below(known.length.max(1)), nodes: 0 });
    let upgrade = Some(Upgrade { start: 0, length: known.length });
    let ask = Ask { block: block.filter(|_| !rng.one_in(3)), upgrade, ..Ask::default() };
    Request { id, fork: known.fork, ask, manifest: true, priority: 0 }
}

fn wild_request(rng: &mut Rng, known: &Known, id: u64) -> Request {
    let indexed = |rng: &mut Rng| Indexed { index: number(rng), nodes: number(rng) };
    let mut maybe = |n: u64| rng.one_in(n);
    let (block, hash, seek, up) = (maybe(2), maybe(3), maybe(3), maybe(2));
    let ask = Ask {
        block: block.then(|| indexed(rng)),
        hash: hash.then(|| indexed(rng)),
        seek: seek.then(|| Seek { bytes: number(rng), padding: number(rng) }),
        upgrade: up.then(|| Upgrade { start: near(rng, 0), length: near(rng, known.length) }),
    };
    let (fork, manifest) = (near(rng, known.fork), rng.one_in(3));
    Request { id, fork, ask, manifest, priority: rng.below(3) }
}

fn wild_proof(rng: &mut Rng, block: Option<u64>) -> Proof {
    let upgrade = rng.one_in(2).then(|| Grown {
        start: near(rng, 0),
        length: number(rng),
        nodes: nodes(rng),
        additional: nodes(rng),
        signature: rng.one_in(2).then(|| bytes(rng, 200)),
    });
    let (hash, seek) = (rng.one_in(4), rng.one_in(4));
    Proof {
        block: block.map(|index| Path { index, nodes: nodes(rng) }),
        hash: hash.then(|| Path { index: number(rng), nodes: nodes(rng) }),
        seek: seek.then(|| SeekPath { bytes: number(rng), nodes: nodes(rng) }),
        upgrade,
    }
}

/// Something in an answer is not as it was.
fn spoil(rng: &mut Rng, kept: &mut Kept) {
    let Kept { fork, value, proof, manifest } = kept;
    match rng.below(8) {
        0 => *fork = near(rng, *fork),
        1 => value.iter_mut().flatten().take(1).for_each(|byte| *byte ^= 1),
        2 => drop(proof.block.as_mut().and_then(|block| block.nodes.pop())),
        3 => drop(proof.upgrade.as_mut().and_then(|up| up.nodes.pop())),
        4 => proof.block.iter_mut().for_each(|block| block.nodes = nodes(rng)),
        5 => {
            let signed = proof.upgrade.iter_mut().filter_map(|up| up.signature.as_mut());
            signed.for_each(|signature| signature.iter_mut().take(1).for_each(|b| *b ^= 0x40));
        }
        6 => *manifest = Some(bytes(rng, 200)),
        _ => proof.upgrade.iter_mut().for_each(|up| up.length = near(rng, up.length)),
    }
}

/// An answer with this number: one that was right before, the same spoiled, or nothing like it.
pub fn answer(
    rng: &mut Rng,
    known: &Known,
    to: &Request,
    session: &mut Session,
    core: &[u8; 32],
    out: &mut Vec<u8>,
) {
    let wanted = |kept: &&Kept| {
        let block = kept.proof.block.as_ref().map(|block| block.index);
        block == to.ask.block.map(|block| block.index)
            && (block.is_some() || kept.proof.upgrade.is_some())
    };
    let fits = known.answers.iter().find(wanted).cloned();
    let any = |rng: &mut Rng| {
        let at = rng.below(known.answers.len().max(1) as u64) as usize;
        known.answers.get(at).cloned()
    };
    let kept = match rng.below(6) {
        0 => None,
        1 => any(rng),
        2 | 3 => fits,
        _ => fits.or_else(|| any(rng)).map(|mut kept| {
            spoil(rng, &mut kept);
            kept
        }),
    };
    let kept = kept.unwrap_or_else(|| {
        let block = to.ask.block.map(|block| block.index).filter(|_| !rng.one_in(6));
        let proof = wild_proof(rng, block);
        let value = block.map(|_| bytes(rng, 3000));
        Kept { fork: near(rng, to.fork), value, proof, manifest: None }
    });
    let data = Data {
        request: if rng.one_in(6) { near(rng, to.id) } else { to.id },
        fork: kept.fork,
        value: kept.value.as_deref(),
        proof: kept.proof,
        manifest: kept.manifest.as_deref(),
    };
    say(session, core, &Message::Data(data), out);
}

pub fn say(session: &mut Session, core: &[u8; 32], message: &Message<'_>, out: &mut Vec<u8>) {
    // Refused: this one would have been worse than a lie.
    let _ = session.send(core, message, out);
}

/// One message of any kind.
pub fn flood(
    rng: &mut Rng,
    known: &Known,
    session: &mut Session,
    core: &[u8; 32],
    out: &mut Vec<u8>,
) {
    let id = number(rng);
    let window = Window { start: number(rng), length: number(rng), any: rng.one_in(3) };
    let aligned = Window { start: window.start & !8191, ..window };
    let mut word = [0; 4];
    rng.fill(&mut word);
    let words = vec![word; rng.below(200) as usize];
    let payload = bytes(rng, 50);
    let message = match rng.below(13) {
        0 => head(rng, known),
        1 | 2 => Message::Request(wild_request(rng, known, id)),
        3 => Message::Request(fair_request(rng, known, id)),
        4 => Message::Cancel { request: id },
        5 => {
            let reasons = [None, Some(Reason::NotAvailable), Some(Reason::Other(id))];
            Message::NoData { request: rng.below(30), reason: reasons[rng.below(3) as usize] }
        }
        6 => Message::Want(if rng.one_in(2) { window } else { aligned }),
        7 => Message::Unwant(window),
        8 => Message::Bitfield { start: number(rng) & !31, words: &words },
        9 | 10 => {
            Message::Range { drop: rng.one_in(3), start: window.start, length: window.length }
        }
        11 => Message::Extension { name: "x", payload: &payload },
        _ => {
            let to = Request { id: rng.below(30), ..wild_request(rng, known, id) };
            return answer(rng, known, &to, session, core, out);
        }
    };
    say(session, core, &message, out);
}
