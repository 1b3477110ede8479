//! A stream of the Hypercore dialect, spoken by a test itself over a blocking socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ::gannet::crypto::hash::discovery_key;
use ::gannet::crypto::noise::Role;
use ::gannet::crypto::sign::KeyPair;
use ::gannet::host::HostId;
use ::gannet::rng::Rng;
use ::gannet::wire::host::{BOOT_BYTES, Continue, Hello, Message, VERSIONS};
use ::gannet::wire::hyper::{Session, Setup, What};

/// One end of a stream.
pub struct Line {
    pub stream: TcpStream,
    pub session: Session,
    pub out: Vec<u8>,
    own: KeyPair,
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
        let session = Session::new(Setup { role, own: own.clone(), ephemeral, header: [5; 24] });
        let mut line = Line { stream, session, out: Vec::new(), own, inbox: Vec::new() };
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

    /// Becomes a peer as gannets do: hello and continue of both sides. Another process each time.
    pub fn meet(&mut self, rng: &mut Rng) -> io::Result<()> {
        let mut boot = [0; BOOT_BYTES];
        rng.fill(&mut boot);
        let hello = Hello {
            versions: VERSIONS,
            host: HostId(self.own.public()),
            boot,
            number: 1,
            port: None,
            features: 0,
            seen: None,
            own: Vec::new(),
            holds: Vec::new(),
        };
        self.session.open_host(&mut self.out).map_err(io::Error::other)?;
        let mut said = Vec::new();
        hello.encode(&self.own, self.session.channel(true), &mut said);
        self.session.say_host(&mut self.out, |out| out.extend_from_slice(&said));
        let is = |what: &What<'_>, wanted: fn(&Message<'_>) -> bool| match what {
            What::Host { message } => matches!(Message::decode(message), Ok(Some(m)) if wanted(&m)),
            _ => false,
        };
        self.until(|what| is(what, |m| matches!(m, Message::Hello(_))))?;
        let said = Continue { version: VERSIONS.last };
        self.session.say_host(&mut self.out, |out| said.encode(out));
        self.until(|what| is(what, |m| matches!(m, Message::Continue(_))))
    }

    pub fn open(&mut self, key: &[u8; 32]) -> io::Result<()> {
        let core = discovery_key(key);
        self.session.open(&core, key, &mut self.out).map_err(io::Error::other)?;
        self.until(|what| matches!(what, What::Live { .. }))
    }
}
