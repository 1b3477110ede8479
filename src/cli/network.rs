//! Flags of the commands that talk to peers.

use std::net::SocketAddr;

use clap::Args;

use super::{Global, place};
use crate::daemon::config::{Config, Listen, Run};
use crate::daemon::settings::{address as listen, peer};

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
