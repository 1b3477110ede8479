//! Who sits on the wire between two programs of ours, listens and meddles.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::gannet::{Home, listening};
use crate::peer::DEADLINE;
use crate::tools::{Scratch, hex, key_bytes, noise, sha256};

/// What is done once to one direction of a connection.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Flip,
    Drop,
    Insert,
    /// What passed before is said once more, so many bytes of it.
    Replay(usize),
}

/// In the direction from or to the server, behind so many bytes.
#[derive(Clone, Copy, Debug)]
struct Attack {
    deed: Deed,
    from_server: bool,
    at: usize,
}

/// A relay that attacks the first connection and lets the following ones pass.
struct Attacker {
    address: String,
    heard: Arc<Mutex<Vec<u8>>>,
    /// The attacked connection ended.
    ended: Receiver<()>,
}

impl Attacker {
    fn before(server: String, attack: Option<Attack>) -> Attacker {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (to, ended) = channel();
        let all = heard.clone();
        thread::spawn(move || {
            let mut attack = attack;
            for client in listener.incoming().flatten() {
                let _ = join(client, &server, attack.take(), &all, &to);
            }
        });
        Attacker { address, heard, ended }
    }
}

fn join(
    client: TcpStream,
    server: &str,
    attack: Option<Attack>,
    heard: &Arc<Mutex<Vec<u8>>>,
    ended: &Sender<()>,
) -> io::Result<()> {
    let server = TcpStream::connect(format!("127.0.0.1:{server}"))?;
    for from_server in [false, true] {
        let (from, to) = if from_server { (&server, &client) } else { (&client, &server) };
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (heard, ended) = (heard.clone(), ended.clone());
        let deed = attack.filter(|attack| attack.from_server == from_server);
        let attacked = attack.is_some();
        thread::spawn(move || {
            let _ = pass(&from, &to, deed, &heard);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            if attacked {
                let _ = ended.send(());
            }
        });
    }
    Ok(())
}

fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    mut attack: Option<Attack>,
    heard: &Mutex<Vec<u8>>,
) -> io::Result<()> {
    let (mut said, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut part = buffer[..length].to_vec();
        heard.lock().expect("no panic").extend_from_slice(&part);
        if let Some(Attack { deed, at, .. }) = attack.filter(|a| a.at < said.len() + part.len()) {
            attack = None;
            let at = at.saturating_sub(said.len());
            match deed {
                Deed::Flip => part[at] ^= 0x10,
                Deed::Drop => drop(part.remove(at)),
                Deed::Insert => part.insert(at, 0),
                Deed::Replay(count) => {
                    let all = [&said[..], &part[..at]].concat();
                    let again = all[all.len().saturating_sub(count)..].to_vec();
                    part.splice(at..at, again);
                }
            }
        }
        to.write_all(&part)?;
        said.extend_from_slice(&part);
    }
}

/// Whether these bytes stand anywhere in what was heard.
fn contains(heard: &[u8], needle: &[u8]) -> bool {
    heard.windows(needle.len()).any(|window| window == needle)
}

const BLOCK: usize = 10_000;

#[test]
fn who_listens_hears_no_block_and_no_key_and_who_meddles_ends_the_connection_and_changes_nothing() {
    let (scratch, home) = (Scratch::new(), Home::hyper());
    let (from, content) = (scratch.name("from"), noise(5, 100 * BLOCK));
    home.core_create(&from);
    home.core_append(&from, &content, Some(BLOCK));
    let key = home.core_key(&from);
    let mut serve = home.core_serve(&from, &[]);
    let server = listening(&serve.expect("ready"));
    let mut attacks = vec![None];
    for deed in [Deed::Flip, Deed::Drop, Deed::Insert, Deed::Replay(500), Deed::Replay(100_000)] {
        // In the handshake, in the first messages, in the blocks.
        for at in [2, 40, 250, 300_000] {
            // (Nothing was said before the first byte, and what was dropped there may be waited for.)
            let quiet = at < 100 && !matches!(deed, Deed::Flip);
            attacks.extend((!quiet).then_some(Some(Attack { deed, from_server: true, at })));
        }
        attacks.push(Some(Attack { deed, from_server: false, at: 500 }));
    }
    for (n, attack) in attacks.into_iter().enumerate() {
        let attacker = Attacker::before(server.clone(), attack);
        let to = scratch.name(&format!("to {n}"));
        let mut get = home.core_get(&key, &to, &["--peer", &attacker.address]);
        if attack.is_some() {
            let ended = attacker.ended.recv_timeout(DEADLINE);
            assert!(ended.is_ok(), "{attack:?}: the connection goes on");
        }
        get.succeed();
        let mut show =
            home.gannet_quiet(&["core", "get", to.to_str().expect("UTF-8"), "..", "--raw"]);
        assert_eq!(sha256(&show.output().expect("it runs").stdout), sha256(&content), "{attack:?}");
        let heard = attacker.heard.lock().expect("no panic");
        // A connection that was meddled with may be made anew past the attacker, by whoever of the two
        // knows where the other one listens.
        assert!(attack.is_some() || heard.len() > content.len());
        let key = key_bytes(&key);
        for secret in [&key[..], &::gannet::crypto::hash::discovery_key(&key), &content[..16]] {
            assert!(!contains(&heard, secret), "{} is said openly", hex(secret));
        }
        let seen = (0..100).any(|n| contains(&heard, &content[n * BLOCK + 5000..][..16]));
        assert!(!seen, "a block is said openly");
    }
}
