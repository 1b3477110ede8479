//! Flags of the commands that talk to peers.

use std::net::SocketAddr;

use clap::Args;

use super::{Global, place};
use crate::daemon::config::{Config, Listen, Rates, Run};
use crate::daemon::settings::{address as listen, peer};
use crate::limits::{CONNECTIONS_MOST, RATE_LEAST};

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
    /// Send peers no more than this a second, all together, as in 500K
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    upload_rate: Option<u64>,
    /// Fetch no more than this a second from all peers together
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    download_rate: Option<u64>,
    /// Send each peer no more than this a second
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    peer_upload_rate: Option<u64>,
    /// Fetch no more than this a second from each peer
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    peer_download_rate: Option<u64>,
    /// Refuse more connections than this [default: 512]
    #[arg(long, value_name = "N", value_parser = connections)]
    max_connections: Option<usize>,
    /// Shell command for events, told in GANNET_EVENT, GANNET_PATH …
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
            connections: self.max_connections,
            rates: Rates {
                upload_rate: self.upload_rate,
                download_rate: self.download_rate,
                peer_upload_rate: self.peer_upload_rate,
                peer_download_rate: self.peer_download_rate,
            },
            exec: self.exec,
            secret_keys: place::secret_keys(),
            data: place::data(),
            signals: true,
            print: Some(global.print()),
        }
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=CONNECTIONS_MOST) => Ok(number),
        _ => Err(format!("a number from 1 to {CONNECTIONS_MOST}")),
    }
}

/// Bytes a second.
pub fn rate(text: &str) -> Result<u64, String> {
    match crate::text::size(text) {
        Some(rate) if rate >= RATE_LEAST => Ok(rate),
        Some(rate) => {
            Err(format!("{rate} bytes a second are too few: at least {RATE_LEAST}, as in 500K"))
        }
        None => Err("a rate is a number, with K, M or G behind it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!((rate("2M"), rate("1k"), rate("1024")), (Ok(2 << 20), Ok(1024), Ok(1024)));
        // The unit was forgotten.
        let few = "50 bytes a second are too few: at least 64, as in 500K";
        assert_eq!(rate("50"), Err(few.into()));
        for bad in ["", "K", "2MB", "2M/s", "-1K", "1.5M"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

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
