//! How a run of the program fails: the kind, which decides the exit code, what happened, and what
//! to do about it. One line for the user, never a backtrace.

use std::fmt;
use std::io;

/// Kinds of failure; each has an exit code of its own, which scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything without a code of its own.
    General,
    /// Words on the command line that make no sense: unknown options, malformed links.
    Usage,
    /// A folder, file, entry, block or key that is not there.
    NotFound,
    /// Another process works on the folder.
    Locked,
    /// What is stored is inconsistent with its own proofs.
    Damaged,
    /// No peer was found, or none has what is missing.
    NoPeers,
    /// No space left.
    DiskFull,
    /// The system refuses access.
    Permission,
    /// An address or port that cannot be used.
    Network,
    /// Stopped by a signal before the work was done.
    Interrupted,
}

impl Kind {
    /// The exit code of the process.
    pub const fn code(self) -> i32 {
        match self {
            Kind::General => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Locked => 4,
            Kind::Damaged => 5,
            Kind::NoPeers => 6,
            Kind::DiskFull => 7,
            Kind::Permission => 8,
            Kind::Network => 9,
            Kind::Interrupted => 130,
        }
    }
}

/// A failed run: `what` happened, `hint` what to do (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub what: String,
    pub hint: String,
}

impl Failure {
    pub fn new(kind: Kind, what: impl Into<String>) -> Failure {
        Failure { kind, what: what.into(), hint: String::new() }
    }

    /// Says what the user can do.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = hint.into();
        self
    }

    /// An error of the system, met while doing something to `what` (a path or an address).
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Failure {
        let (kind, reason, hint) = explain(error);
        let reason = reason.map_or_else(|| error.to_string(), str::to_owned);
        Failure::new(kind, format!("{what}: {reason}")).hint(hint)
    }
}

fn explain(error: &io::Error) -> (Kind, Option<&'static str>, &'static str) {
    use io::ErrorKind as E;
    match error.kind() {
        E::NotFound => (Kind::NotFound, Some("there is nothing there"), "check the path"),
        E::NotADirectory => (Kind::NotFound, Some("not a folder"), "name a folder"),
        E::IsADirectory => (Kind::NotFound, Some("this is a folder"), "name a file"),
        E::PermissionDenied => (
            Kind::Permission,
            Some("access is refused"),
            "change its permissions or run as its owner",
        ),
        E::ReadOnlyFilesystem => {
            (Kind::Permission, Some("the file system is read-only"), "choose another folder")
        }
        E::StorageFull | E::QuotaExceeded => {
            (Kind::DiskFull, Some("no space is left"), "free some space and run it again")
        }
        E::AddrInUse => (
            Kind::Network,
            Some("the address is taken by another program"),
            "choose another one with --listen",
        ),
        E::AddrNotAvailable => (
            Kind::Network,
            Some("this machine does not have that address"),
            "choose another one with --listen",
        ),
        _ => (Kind::General, None, ""),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ() {
        let all = [
            Kind::General,
            Kind::Usage,
            Kind::NotFound,
            Kind::Locked,
            Kind::Damaged,
            Kind::NoPeers,
            Kind::DiskFull,
            Kind::Permission,
            Kind::Network,
            Kind::Interrupted,
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(a.code() > 0);
            assert!(all[..i].iter().all(|b| b.code() != a.code()));
        }
    }

    /// Scripts rely on them, and `gannet --help` tells them.
    #[test]
    fn codes_stay_what_they_are() {
        assert_eq!(Kind::General.code(), 1);
        assert_eq!(Kind::Usage.code(), 2);
        assert_eq!(Kind::NotFound.code(), 3);
        assert_eq!(Kind::Locked.code(), 4);
        assert_eq!(Kind::Damaged.code(), 5);
        assert_eq!(Kind::NoPeers.code(), 6);
        assert_eq!(Kind::DiskFull.code(), 7);
        assert_eq!(Kind::Permission.code(), 8);
        assert_eq!(Kind::Network.code(), 9);
        assert_eq!(Kind::Interrupted.code(), 130);
    }

    #[test]
    fn an_error_of_the_system_is_one_line_that_says_what_to_do() {
        let full = Failure::io("/srv/x", &io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.kind, Kind::DiskFull);
        assert_eq!(full.to_string(), "/srv/x: no space is left; free some space and run it again");
        assert!(!full.to_string().contains('\n'));
    }
}
