//! Flags of the commands that talk to peers.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::{Global, place};
use crate::daemon::config::{Config, Listen, Run};

#[derive(Args)]
pub struct Network {
    /// A peer to connect to (may be given several times)
    #[arg(long, value_name = "HOST:PORT", value_parser = peer)]
    peer: Vec<String>,
    /// Listen here only [default: port 3282, or any if it is taken]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = listen)]
    listen: Option<SocketAddr>,
    /// Do not look for peers on the local network
    #[arg(long)]
    no_discovery: bool,
    /// Shell command to run on events; GANNET_EVENT, GANNET_PATH … tell it
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
}

impl Network {
    /// The configuration of a run under these flags.
    pub fn config(self, run: Run, global: &Global) -> Config {
        Config {
            run,
            peers: self.peer,
            listen: self.listen.map_or(Listen::Usual, Listen::At),
            discovery: !self.no_discovery,
            exec: self.exec,
            secret_keys: place::secret_keys(),
            data: place::data(),
            signals: true,
            print: Some(global.print()),
        }
    }
}

/// `host:port`; an IPv6 address stands in brackets.
pub fn peer(text: &str) -> Result<String, String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let hint = "a peer is HOST:PORT, as in nas.local:3282 or [fd00::2]:3282";
    let (host, port) = text.rsplit_once(':').ok_or(hint)?;
    let named = !host.is_empty()
        && host.len() <= 253
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    match port.parse::<u16>() {
        Ok(1..) if named => Ok(text.to_owned()),
        Ok(0) | Err(_) => Err("the port is a number from 1 to 65535".into()),
        Ok(_) => Err(hint.into()),
    }
}

/// An address with or without a port; without, any free port.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    text.parse::<SocketAddr>()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
        .map_err(|_| "an address is like 127.0.0.1:3282, 0.0.0.0 or [::1]:3282".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_and_addresses() {
        for good in ["127.0.0.1:1", "[::1]:3282", "nas.local:3282", "a_b:65535"] {
            assert_eq!(peer(good).as_deref(), Ok(good));
        }
        for bad in ["", "nas", ":3282", "nas:", "nas:0", "nas:65536", "::1:80", "a b:1", "nas:x"] {
            assert!(peer(bad).is_err(), "{bad}");
        }
        assert_eq!(listen("127.0.0.1").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(listen("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert_eq!(listen("::").unwrap().to_string(), "[::]:0");
        assert!(listen("localhost").is_err() && listen("1.2.3.4:99999").is_err());
    }
}
