//! `gannet seed`.

use std::path::PathBuf;

use clap::Args;

use super::network::Network;
use super::{Global, Outcome, place};
use crate::daemon::{self, config::Run};
use crate::limits::QUOTA_LEAST;
use crate::link::Link;

/// Keep drives or feeds whole and serve them, without a folder of files
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet seed hyper://<key>
  gannet seed hyper://<key> dat://<other key> --dir /srv/seeds --max-storage 20G

--max-storage counts the blocks of the keys named here; what else lies in the directory, from
runs with other keys, stays as it is and is not counted. With a larger bound than before, what
was dropped is fetched again.")]
pub struct Arguments {
    /// What to keep
    #[arg(required = true)]
    links: Vec<Link>,
    /// Where it is kept [default: ~/.local/share/gannet/seeds]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep these below this size, as in 20G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_storage: Option<u64>,
    /// A key alone is one of Dat, not of Hypercore
    #[arg(long)]
    dat: bool,
    #[command(flatten)]
    network: Network,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let dir = self.dir.or_else(place::seeds).ok_or_else(place::homeless)?;
        if dir.exists() {
            place::directory(&dir)?;
        }
        let mut links = self.links;
        for link in &mut links {
            place::settle(link, self.dat, &dir.join(link.key.to_string()), "metadata.")?;
        }
        links.sort_unstable_by_key(|link| link.key);
        links.dedup_by_key(|link| link.key);
        let run = Run::Seed { links, dir, max_storage: self.max_storage };
        daemon::run(self.network.config(run, global))
    }
}

/// `20G`, `500M`, `1000000`.
fn size(text: &str) -> Result<u64, String> {
    match crate::text::size(text) {
        Some(bytes) if bytes >= QUOTA_LEAST => Ok(bytes),
        Some(bytes) => Err(format!("{bytes} bytes are too few: at least 1M, as in 20G")),
        None => Err("a size is a number, with K, M, G or T behind it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        assert_eq!(size("20G"), Ok(20 << 30));
        assert_eq!(size("1048576"), Ok(1 << 20));
        // The unit was forgotten.
        assert_eq!(size("20"), Err("20 bytes are too few: at least 1M, as in 20G".into()));
        assert!(size("1023k").is_err());
        assert_eq!(size("1t"), Ok(1 << 40));
        for bad in ["", "0", "G", "-1", "1.5G", "20GB", "99999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
