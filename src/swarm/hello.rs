//! The beginning of a connection between two gannets: both say hello at once, each decides, and only
//! when both have said continue there is a peer (docs/PROTOCOL.md §14.3). One connection's state; what
//! several connections to one process mean to each other is in `twins`. Knows no clock and no socket.

use super::Opened;
use crate::limits::HOST_GREETING;
use crate::time::Instant;
use crate::wire::host::{Close, Code, Hello, VERSIONS, Verified, Versions};

/// How a connection ended: once, for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// We closed it.
    Ours(Code),
    /// The peer did, and said why.
    Theirs(Code),
    /// It broke, or ended without a word.
    Lost,
}

/// Where a connection is, with what only that state has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Our hello is out, the peer's has not come.
    Greeting {
        since: Instant,
    },
    /// The peer's is good, and we have said continue.
    Willing {
        theirs: Verified,
        version: u64,
        since: Instant,
    },
    /// Both have.
    Open {
        theirs: Verified,
        version: u64,
        since: Instant,
    },
    Ended(End),
}

/// One connection to a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meeting {
    state: State,
    pub opened: Opened,
    /// Of our hello.
    pub number: u64,
    pub trust: Trust,
}

/// Whether a connection is believed to work. What has lost trust does not get it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    Full,
    /// It seems dead to us.
    NotOurs,
    /// The peer does not have it any more, or it seems dead there.
    NotTheirs,
}

/// What the operator, or our knowledge of it, says about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Allowed,
    NotAllowed,
    Banned,
    Paused,
}

/// With what a hello is judged, besides itself.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub versions: Versions,
    pub standing: Standing,
    /// For one peer more.
    pub room: bool,
}

impl Terms {
    /// Whether we want a peer that says this: the version to speak, or what to close with.
    pub fn judge(&self, theirs: &Hello) -> Result<u64, Close> {
        let version = self
            .versions
            .common(theirs.versions)
            .ok_or_else(|| Close { versions: Some(self.versions), ..Close::new(Code::Version) })?;
        let refused = match self.standing {
            Standing::Allowed if self.room => return Ok(version),
            Standing::Allowed => Code::Full,
            Standing::NotAllowed => Code::NotAllowed,
            Standing::Banned => Code::Banned,
            Standing::Paused => Code::Paused,
        };
        Err(Close::new(refused))
    }
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { versions: VERSIONS, standing: Standing::Allowed, room: true }
    }
}

impl Meeting {
    /// Our hello has just been said.
    pub fn new(now: Instant, opened: Opened, number: u64) -> Meeting {
        Meeting { state: State::Greeting { since: now }, opened, number, trust: Trust::Full }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The only place where the state changes.
    fn set_state(&mut self, next: State) {
        let legal = matches!(
            (&self.state, &next),
            (State::Greeting { .. }, State::Willing { .. })
                | (State::Willing { .. }, State::Open { .. })
                | (
                    State::Greeting { .. } | State::Willing { .. } | State::Open { .. },
                    State::Ended(_)
                )
        );
        assert!(legal, "a connection cannot go from {:?} to {next:?}", self.state);
        self.state = next;
    }

    /// Whether the peer's hello is still to come.
    pub fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting { .. })
    }

    /// Their hello came and suits us: we say continue.
    pub fn willing(&mut self, now: Instant, theirs: Verified, version: u64) {
        self.set_state(State::Willing { theirs, version, since: now });
    }

    /// They said continue. A fault if it is not the time for it, or not of this version.
    pub fn continued(&mut self, now: Instant, said: u64) -> Result<(), Code> {
        match &self.state {
            State::Willing { theirs, version, .. } if *version == said => {
                let theirs = theirs.clone();
                self.set_state(State::Open { theirs, version: said, since: now });
                Ok(())
            }
            _ => Err(Code::Fault),
        }
    }

    /// Ends it; the first end stays.
    pub fn end(&mut self, end: End) {
        if !matches!(self.state, State::Ended(_)) {
            self.set_state(State::Ended(end));
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// What the peer said of itself, once that is known.
    pub fn theirs(&self) -> Option<&Hello> {
        match &self.state {
            State::Willing { theirs, .. } | State::Open { theirs, .. } => Some(theirs.hello()),
            State::Greeting { .. } | State::Ended(_) => None,
        }
    }

    /// When a peer that says nothing more is closed for it: in total, however many bytes come.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Greeting { since } | State::Willing { since, .. } => Some(since + HOST_GREETING),
            State::Open { .. } | State::Ended(_) => None,
        }
    }
}
