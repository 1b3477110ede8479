//! A stream of the Hypercore dialect, spoken by a test itself over a blocking socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ::gannet::crypto::hash::discovery_key;
use ::gannet::crypto::noise::Role;
use ::gannet::crypto::sign::KeyPair;
use ::gannet::rng::Rng;
use ::gannet::wire::hyper::{Session, Setup, What};

/// One end of a stream.
pub struct Line {
    pub stream: TcpStream,
    pub session: Session,
    pub out: Vec<u8>,
    /// Came in, and was not looked at yet.
    inbox: Vec<u8>,
}

impl Line {
    /// Shakes hands; a host key of its own each time.
    pub fn dial(port: &str, rng: &mut Rng) -> io::Result<Line> {
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
        let mut line = Line { stream, session, out: Vec::new(), inbox: Vec::new() };
        line.until(|what| matches!(what, What::Up { .. }))?;
        Ok(line)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.session.poll(&mut self.out);
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out)
    }

    /// Reads until something comes.
    pub fn until(&mut self, mut found: impl FnMut(&What<'_>) -> bool) -> io::Result<()> {
        let mut part = [0; 4096];
        loop {
            loop {
                let received = self.session.receive(&mut self.inbox).map_err(io::Error::other)?;
                let (consumed, done) = (received.consumed, found(&received.what));
                self.inbox.drain(..consumed);
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
                count => self.inbox.extend_from_slice(&part[..count]),
            }
        }
    }

    pub fn open(&mut self, key: &[u8; 32]) -> io::Result<()> {
        let core = discovery_key(key);
        self.session.open(&core, key, &mut self.out).map_err(io::Error::other)?;
        self.until(|what| matches!(what, What::Live { .. }))
    }
}
