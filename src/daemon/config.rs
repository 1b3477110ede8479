//! What a long run is asked to do. The command line makes one of these; so can a program that
//! embeds the library.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::link::Link;
pub use crate::node::{Blocks, Show};
pub use crate::reactor::Rates;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub run: Run,
    /// `host:port` of peers to try, names not resolved yet.
    pub peers: Vec<String>,
    pub listen: Listen,
    /// Look for peers on the local network.
    pub discovery: bool,
    /// Connections to peers above which one more is refused; `None`: `limits::CONNECTIONS`.
    pub connections: Option<usize>,
    /// Bytes a second that may go to peers and come from them.
    pub rates: Rates,
    /// A command for `/bin/sh -c`, run on notable events with the facts in its environment.
    pub exec: Option<String>,
    /// Where secret keys are kept: `~/.dat/secret_keys`. `None`: there is no home; runs that need
    /// a secret key fail.
    pub secret_keys: Option<PathBuf>,
    /// Where the host's key is kept: `~/.local/share/gannet`. `None`: there is no home; then the host is
    /// somebody else in each run.
    pub data: Option<PathBuf>,
    /// Hook SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD. Whoever embeds the library decides.
    pub signals: bool,
    /// Print what happens to standard output and error; without, only the observer is told.
    pub print: Option<Print>,
}

/// What a run keeps going. A link that does not say of which kind it is stands for what is stored
/// there already, else for a core or drive of Hypercore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// Publish a folder and everything that changes in it. Makes a drive where there is none: one of
    /// Dat, or a hyperdrive.
    Share { dir: PathBuf, dat: bool },
    /// Copy a drive into a folder.
    Clone {
        /// `link.version`: exactly that version, then nothing newer is followed.
        link: Link,
        dir: PathBuf,
        /// End with exit code 0 when everything wanted is here and durable.
        once: bool,
        /// Paths below the root (files or directories); empty: everything.
        only: Vec<String>,
    },
    /// Keep and serve drives or bare feeds whole, without a folder of files. Each in
    /// `dir/<64 hex>/`: SLEEP files of the linked feed as `metadata.*`, those of a drive's content
    /// feed as `content.*`.
    Seed {
        links: Vec<Link>,
        dir: PathBuf,
        /// Bytes of blocks that are stored at most: those wanted least recently go first.
        max_storage: Option<u64>,
    },
    /// Fetch again what the feed or seed of a link has lost, and nothing else, then end. `dir` holds
    /// its files, and may have any name.
    Refill {
        link: Link,
        dir: PathBuf,
        /// It is a bare feed with files that have no prefix.
        bare: bool,
        /// Blocks of that feed or of the seed's first one: first and count.
        first: Vec<(u64, u64)>,
        /// Of the content feed.
        content: Vec<(u64, u64)>,
    },
    /// Serve the bare feed in `dir` (SLEEP files without prefix), whoever wrote it. Blocks of our
    /// own feed come in through the control socket (`node::control::What::Append`).
    CoreServe { dir: PathBuf },
    /// Fetch a bare feed into `dir`, made when missing, serving what is here meanwhile.
    CoreFetch { link: Link, dir: PathBuf, blocks: Blocks, show: Option<Show> },
}

impl Run {
    /// Whether blocks are handed out.
    pub fn shows(&self) -> bool {
        matches!(self, Run::CoreFetch { show: Some(_), .. })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// Port 3282 on every address, any free port when it is taken.
    #[default]
    Usual,
    /// Exactly here; a failure if it cannot be had. Port 0: any.
    At(SocketAddr),
}

/// How a run speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Print {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// -1: only failures; 0: what a user wants to know; 1: peers too; 2: every block.
    pub verbosity: i8,
}
