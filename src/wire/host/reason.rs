//! Why a connection is not continued or not gone on with, as a number both sides know.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Numbers never change their meaning; those that are not known are kept as they came.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
            Other(u64),
        }

        impl Code {
            /// All that have a name.
            pub const NAMED: &[Code] = &[$(Code::$name,)*];

            pub fn number(self) -> u64 {
                match self {
                    $(Code::$name => $number,)*
                    Code::Other(number) => number,
                }
            }

            pub fn of(number: u64) -> Code {
                match number {
                    $($number => Code::$name,)*
                    other => Code::Other(other),
                }
            }

            /// The same where the peer said it.
            pub fn told_name(self) -> &'static str {
                match self {
                    $(Code::$name => concat!("peer-", $text),)*
                    Code::Other(_) => "peer-other",
                }
            }

            /// As logs, status and JSON have it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                    Code::Other(_) => "other",
                }
            }
        }
    };
}

codes! {
    /// It broke the protocol.
    Fault = 1, "fault";
    /// The other end is this very process.
    Ourselves = 2, "ourselves";
    /// No version that both speak.
    Version = 3, "version";
    /// Another connection to the same process stays.
    Duplicate = 4, "duplicate";
    /// No room for more.
    Full = 5, "full";
    /// Not a host that may be a peer here.
    NotAllowed = 6, "not-allowed";
    Banned = 7, "banned";
    /// Not now: somebody has paused it.
    Paused = 8, "paused";
    /// Hello or continue did not come in time.
    Timeout = 9, "handshake-timeout";
    /// Two processes have the same key and both are alive.
    Cloned = 10, "cloned";
    Shutdown = 11, "shutdown";
    /// Nothing is left to do for either side.
    Finished = 12, "finished";
    /// Too slow while others are faster.
    Slow = 13, "slow";
    /// It sent what does not verify.
    BadData = 14, "bad-data";
    /// What it was about was removed.
    Removed = 15, "removed";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Code::Other(number) => write!(f, "reason {number}"),
            named => f.write_str(named.name()),
        }
    }
}
