//! `gannet ping`: a node that listens nowhere and keeps nothing, run until its pings have come to
//! something.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Global, Outcome, put, put_answer};
use crate::discovery::resolve::ResolveError;
use crate::failure::{Failure, Kind};
use crate::limits;
use crate::node::{self, Node, PingId, PingOutcome, Pinged};
use crate::reactor::{Reactor, Tuning};
use crate::sys::Sys;
use crate::sys::linux::{LinuxSys, Signals};
use crate::text::Plain;
use crate::time::Instant;

/// Between two pings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ask a host whether a gannet runs there, and how long the answer takes
///
/// What the answer says of itself is not proven. Exit codes: 0 a gannet answered at least once,
/// 3 there is no such host, 6 nobody answered or something else did.
///
/// Examples:
///   gannet ping nas.local                  on port 3282
///   gannet ping [fd00::2]:4000 --count 5   five times, once a second
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Whom to ask; the usual port is 3282
    #[arg(value_name = "HOST[:PORT]", value_parser = host)]
    host: (String, u16),
    /// How often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

/// Whom to ask: a name or address, and a port.
fn host(text: &str) -> Result<(String, u16), String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::IpAddr>().is_ok() || !text.contains(':') {
        let dots = crate::daemon::settings::peer(&format!("{text}:1"));
        return match bare.contains(':') {
            true => Ok((bare.to_owned(), limits::DAT_PORT)),
            false => dots.map(|_| (text.to_owned(), limits::DAT_PORT)),
        };
    }
    let named = crate::daemon::settings::peer(text)?;
    let (name, port) = named.rsplit_once(':').ok_or("a host is HOST or HOST:PORT")?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    Ok((name.to_owned(), port.parse().map_err(|_| "the port is a number from 1 to 65535")?))
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let mut run = Run::new(&self.host, global)?;
        let mut answers = 0;
        let mut last = None;
        for round in 0..self.count {
            let began = run.now();
            let outcome = run.round()?;
            run.say(&outcome)?;
            answers += u32::from(matches!(outcome.what, Pinged::Answered { .. }));
            last = Some(outcome);
            if round + 1 < self.count {
                run.sleep_until(began + INTERVAL)?;
            }
        }
        match last {
            Some(outcome) if answers == 0 => Err(failed(&self.host, &outcome)),
            _ => Ok(0),
        }
    }
}

/// A loop with a node that only pings.
struct Run<'a> {
    reactor: Reactor<LinuxSys, Node>,
    /// Addresses of the host, the next one to try first.
    addrs: Vec<SocketAddr>,
    global: &'a Global,
}

impl<'a> Run<'a> {
    fn new((name, port): &(String, u16), global: &'a Global) -> Result<Run<'a>, Failure> {
        let mut sys = LinuxSys::new(Signals::Leave).map_err(|e| Failure::io("this system", &e))?;
        let (mut entropy, mut seed) = ([0; 32], [0; 8]);
        sys.entropy(&mut entropy);
        sys.entropy(&mut seed);
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let config = node::Config {
            entropy,
            seed: u64::from_le_bytes(seed),
            hosts: read("/etc/hosts"),
            resolv_conf: read("/etc/resolv.conf"),
            ..node::Config::default()
        };
        let now = sys.now();
        let mut reactor = Reactor::new(sys, Node::new(config, now), Tuning::default());
        reactor.with(|node, now, _| node.look_up(now, name, *port));
        let mut run = Run { reactor, addrs: Vec::new(), global };
        run.addrs = run.until(Node::take_looked_up)?.map_err(|error| {
            let kind = match error {
                ResolveError::TimedOut(_) | ResolveError::TooMany => Kind::Network,
                ResolveError::NotFound(_) | ResolveError::BadName(_) => Kind::NotFound,
            };
            Failure::new(kind, error.to_string()).hint("check the name")
        })?;
        Ok(run)
    }

    fn now(&mut self) -> Instant {
        self.reactor.sys().now()
    }

    /// Turns until the node has something to say.
    fn until<T>(&mut self, take: impl Fn(&mut Node) -> Option<T>) -> Result<T, Failure> {
        loop {
            if let Some(taken) = take(self.reactor.engine_mut()) {
                return Ok(taken);
            }
            self.reactor.turn().map_err(|e| Failure::io("the poll loop", &e))?;
        }
    }

    fn sleep_until(&mut self, at: Instant) -> Result<(), Failure> {
        self.reactor.engine_mut().wake_at(at);
        while self.now() < at {
            self.reactor.turn().map_err(|e| Failure::io("the poll loop", &e))?;
        }
        Ok(())
    }

    /// Pings the host's addresses in turn, until somebody is there.
    fn round(&mut self) -> Result<PingOutcome, Failure> {
        let mut left = self.addrs.len();
        loop {
            let addr = self.addrs.first().copied();
            let asked =
                addr.and_then(|addr| self.reactor.with(|node, now, _| node.ping(now, addr)));
            let asked: PingId = asked.ok_or_else(|| Failure::new(Kind::General, "no address"))?;
            let outcome = self.until(Node::take_ping)?;
            debug_assert_eq!(outcome.id, asked);
            left = left.saturating_sub(1);
            if left == 0 || !matches!(outcome.what, Pinged::Unreachable(_)) {
                return Ok(outcome);
            }
            self.addrs.rotate_left(1);
        }
    }

    fn say(&self, outcome: &PingOutcome) -> Outcome {
        if self.global.json {
            return put_answer(&figures(outcome));
        }
        match self.global.quiet {
            true => Ok(0),
            false => put(format!("{}: {}\n", outcome.addr, words(&outcome.what)).as_bytes()),
        }
    }
}

fn milliseconds(delay: Duration) -> f64 {
    delay.as_micros() as f64 / 1000.0
}

fn words(what: &Pinged) -> String {
    match what {
        Pinged::Answered { host, versions, load, delay } => {
            let host = host.map_or_else(|| "a host without a name".to_owned(), |host| host.short());
            let (version, delay) = (versions.last, milliseconds(*delay));
            format!("{host}, version {version}, {load} % full, {delay:.1} ms")
        }
        Pinged::NotOurs => "no answer, or not that of a gannet".to_owned(),
        Pinged::Unreachable(kind) => format!("cannot be reached: {kind}"),
        Pinged::Ourselves => "this very process".to_owned(),
    }
}

fn figures(PingOutcome { addr, what, .. }: &PingOutcome) -> Value {
    match what {
        Pinged::Answered { host, versions, load, delay } => json!({
            "addr": addr,
            "answer": "pong",
            "id": host.map(|host| host.to_string()),
            "short": host.map(|host| host.short()),
            "versions": [versions.first, versions.last],
            "load_percent": load,
            "delay_ms": milliseconds(*delay),
        }),
        Pinged::NotOurs => json!({ "addr": addr, "answer": "not-ours" }),
        Pinged::Unreachable(kind) => {
            json!({ "addr": addr, "answer": "unreachable", "why": kind.to_string() })
        }
        Pinged::Ourselves => json!({ "addr": addr, "answer": "ourselves" }),
    }
}

fn failed((name, port): &(String, u16), outcome: &PingOutcome) -> Failure {
    let at = Plain(name);
    let (what, hint) = match outcome.what {
        Pinged::Unreachable(_) => {
            (format!("nobody listens at {at}, port {port}"), "is gannet running there?")
        }
        _ => {
            let what = format!("who listens at {at}, port {port} does not answer as a gannet");
            (what, "is it the right port, and a gannet that knows pings?")
        }
    };
    Failure::new(Kind::NoPeers, what).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_a_port() {
        let usual = limits::DAT_PORT;
        for (text, name, port) in [
            ("nas.local", "nas.local", usual),
            ("nas.local:4000", "nas.local", 4000),
            ("10.0.0.1", "10.0.0.1", usual),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("fd00::2", "fd00::2", usual),
            ("[fd00::2]", "fd00::2", usual),
            ("[fd00::2]:4000", "fd00::2", 4000),
        ] {
            assert_eq!(host(text), Ok((name.to_owned(), port)), "{text}");
        }
        for bad in ["", ":1", "nas:", "nas:0", "nas:x", "a b", "nas:1:2", "[nas]"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
