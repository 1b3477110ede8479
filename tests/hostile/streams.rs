//! The same in the Hypercore dialect, against a shared hyperdrive.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gannet::crypto::noise::Role;
use gannet::crypto::sign::KeyPair;
use gannet::rng::Rng;
use gannet::wire::hyper::{Session, Setup, What};

use super::{Victim, is_closed, pour};
use crate::processes::gannet::Home;

/// An attacker's end of a stream.
struct Line {
    stream: TcpStream,
    session: Session,
    out: Vec<u8>,
}

impl Line {
    /// Shakes hands; a host key of its own each time.
    fn dial(port: &str, rng: &mut Rng) -> io::Result<Line> {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut seed = || {
            let mut seed = [0; 32];
            rng.fill(&mut seed);
            KeyPair::from_seed(seed)
        };
        let (own, ephemeral) = (seed(), seed());
        let role = Role::Initiator;
        let session = Session::new(Setup { role, own, ephemeral, header: [5; 24] });
        let mut line = Line { stream, session, out: Vec::new() };
        line.until(|what| matches!(what, What::Up { .. }))?;
        Ok(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.poll(&mut self.out);
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out)
    }

    /// Reads until something comes.
    fn until(&mut self, mut found: impl FnMut(&What<'_>) -> bool) -> io::Result<()> {
        let (mut buf, mut part) = (Vec::new(), [0; 4096]);
        loop {
            loop {
                let received = self.session.receive(&mut buf).map_err(io::Error::other)?;
                let (consumed, done) = (received.consumed, found(&received.what));
                buf.drain(..consumed);
                if done {
                    return Ok(());
                }
                if consumed == 0 {
                    break;
                }
            }
            self.flush()?;
            match self.stream.read(&mut part)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buf.extend_from_slice(&part[..count]),
            }
        }
    }
}

#[test]
fn broken_streams_are_dropped() {
    let mut victim = Victim::of(Home::hyper());
    let mut rng = Rng::from_seed(1);
    for _ in 0..60 {
        let mut noise = vec![0; rng.below(3000) as usize];
        rng.fill(&mut noise);
        // A Noise stream begins so.
        let mut stream = victim.raw();
        pour(&mut stream, &[&[32, 0, 0][..], &noise].concat());
    }
    let mut half = victim.raw();
    pour(&mut half, &[32, 0, 0, 1, 2, 3]);
    for sealed in [false, true] {
        let mut line = Line::dial(&victim.port, &mut rng).expect("a stream");
        if sealed {
            line.session.keepalive(&mut line.out);
            let end = line.out.len() - 1;
            line.out[end] ^= 1;
            line.flush().expect("it is read");
        } else {
            pour(&mut line.stream, &[0xff; 4000]);
        }
        assert!(is_closed(&mut line.stream), "nonsense is listened to");
    }
    assert!(is_closed(&mut half), "who never greets is dropped");
    victim.serves_honest_peers("broken streams");
}
