//! A TCP connection that both ends have opened: two nodes that dial each other from the very ports that they
//! dial, on real sockets (CHECKLIST H16).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gannet::crypto::sign::KeyPair;
use gannet::ids::ConnId;
use gannet::node::io::Input;
use gannet::reactor::Engine;
use gannet::store::Keys;
use socket2::{Domain, Protocol, Socket, Type};

use crate::pair::{Pair, stored, writer};

/// Two sockets that nobody listens on, each bound to a port that the system chose.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    let at = socket.local_addr().expect("bound").as_socket().expect("an address");
    (socket, at)
}

/// One connection that both ends have opened. On loopback a SYN is answered at once, so both have to go out
/// within a microsecond: it is tried until that happens.
fn simultaneous() -> [TcpStream; 2] {
    let until = Instant::now() + Duration::from_secs(50);
    while Instant::now() < until {
        let sockets = [bound(), bound()];
        let ready = AtomicUsize::new(0);
        let connect = |n: usize| {
            let (socket, to) = (&sockets[n].0, sockets[1 - n].1.into());
            ready.fetch_add(1, Ordering::SeqCst);
            while ready.load(Ordering::SeqCst) < 2 {
                std::hint::spin_loop();
            }
            socket.connect(&to).is_ok()
        };
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| connect(1));
            connect(0) & other.join().expect("it ends")
        });
        if both {
            let [one, other] = sockets.map(|(socket, _)| TcpStream::from(socket));
            // Nobody listens, so each is the other end of the other.
            assert_eq!(one.local_addr().expect("bound"), other.peer_addr().expect("connected"));
            assert_eq!(other.local_addr().expect("bound"), one.peer_addr().expect("connected"));
            return [one, other];
        }
    }
    panic!("no connection was opened by both ends");
}

/// Carries what the nodes say over the sockets until nothing moves any more.
fn talk(pair: &mut Pair, sockets: &mut [TcpStream; 2], conns: [ConnId; 2]) {
    let (now, mut quiet) = (pair.now, Instant::now());
    let mut inboxes = [Vec::new(), Vec::new()];
    while quiet.elapsed() < Duration::from_millis(200) {
        for (side, conn) in conns.into_iter().enumerate() {
            let mut said = Vec::new();
            let node = &mut pair.sides[side];
            node.call(|node, disk| node.poll_frames(now, conn, &mut said, 1 << 16, disk));
            sockets[side].write_all(&said).expect("it is connected");
            pair.put(side, Input::Sent { conn, bytes: said.len() });
            let mut buf = [0; 4096];
            match sockets[side].read(&mut buf) {
                Ok(0) => panic!("{side} is told that it is over"),
                Ok(got) => inboxes[side].extend_from_slice(&buf[..got]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let inbox = &mut inboxes[side];
            let done = pair.sides[side].call(|node, disk| node.bytes(now, conn, inbox, disk));
            inbox.drain(..done.bytes);
            pair.sides[side].call(|node, disk| node.work(now, 1 << 20, disk));
            pair.outputs(side);
            if done.bytes + said.len() > 0 {
                quiet = Instant::now();
            }
        }
    }
}

#[test]
fn h16_a_connection_that_both_ends_have_opened_makes_one_peer() {
    let secret = KeyPair::from_seed([5; 32]);
    for keys in [writer(1), Keys::dat(secret.public(), Some(secret), true)] {
        let mut sockets = simultaneous();
        let mut pair = Pair::new();
        let now = pair.now;
        let mut reader = keys.clone();
        reader.secret = None;
        pair.sides[0].keep(now, keys);
        pair.sides[1].keep(now, reader);
        pair.held = Some(Vec::new());
        for (side, socket) in sockets.iter().enumerate() {
            let at = socket.peer_addr().expect("connected").to_string();
            pair.sides[side].node.add_peer_everywhere(now, &at).expect("an address");
            pair.put(side, Input::Deadline);
            socket.set_nonblocking(true).expect("a socket");
        }
        let dials = pair.held.clone().expect("they are held");
        assert_eq!(dials.iter().map(|(side, _)| *side).collect::<Vec<_>>(), [0, 1]);
        let conns = [ConnId { slot: 1, generation: 7 }; 2];
        for (side, tag) in dials {
            pair.put(side, Input::Dialed { tag, conn: Ok(conns[side]) });
        }
        talk(&mut pair, &mut sockets, conns);
        for side in 0..2 {
            assert_eq!(pair.sides[side].node.peer_count(), 1, "peers of {side}");
        }
        assert_eq!(stored(&pair.sides[1].events()), 1, "the block has come");
        assert_eq!(pair.held.as_ref().map(Vec::len), Some(2), "nobody dials again");
    }
}
