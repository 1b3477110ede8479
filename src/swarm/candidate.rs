//! What is known of one address, and how long it waits after a failure.

use std::time::Duration;

use super::{End, NameId};
use crate::crypto::sign::PublicKey;
use crate::limits;
use crate::rng::Rng;
use crate::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    state: State,
    pub(super) configured: bool,
    /// The name that leads to it and maybe to others, if the user named that.
    pub(super) name: Option<NameId>,
    /// Others of its name are dialed before it.
    pub(super) in_turn: bool,
    /// The peer that told of it, if a peer did.
    pub(super) told_by: Option<PublicKey>,
    /// It is to be dialed although there are enough peers.
    pub(super) invited: bool,
    /// It was one of the best of the last run.
    pub(super) anchor: bool,
    /// Somebody has answered there who is not dialed from here.
    pub(super) answers: bool,
    /// A session there was useful once.
    pub(super) proven: bool,
    /// It is an address of this process.
    pub(super) ourselves: bool,
    failures: u32,
    /// Not before: one of the two said so.
    rests: Instant,
    /// Why the last connection ended.
    pub(super) why: Option<&'static str>,
    /// The peer that answered there last. Entries with the same id are aliases of one peer (P06).
    pub(super) id: Option<Vec<u8>>,
    /// Serial of its latest use.
    pub(super) used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not dialed before `until`.
    Idle {
        until: Instant,
    },
    Dialing,
    Connected,
}

impl Entry {
    pub(super) fn new(now: Instant, configured: bool, used: u64) -> Entry {
        Entry {
            state: State::Idle { until: now },
            configured,
            name: None,
            in_turn: false,
            told_by: None,
            invited: false,
            anchor: false,
            answers: false,
            proven: false,
            ourselves: false,
            failures: 0,
            rests: Instant::default(),
            why: None,
            id: None,
            used,
        }
    }

    pub(super) fn kept(until: Instant, proven: bool, failures: u32, id: Option<Vec<u8>>) -> Entry {
        let failures = failures.min(limits::BACKOFF_DOUBLINGS);
        Entry { state: State::Idle { until }, proven, failures, id, ..Entry::new(until, false, 0) }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn set_state(&mut self, next: State) {
        debug_assert!(
            matches!(
                (self.state, next),
                (State::Idle { .. }, State::Dialing | State::Idle { .. })
                    | (State::Dialing, State::Connected | State::Idle { .. })
                    | (State::Connected, State::Idle { .. })
            ),
            "{:?} -> {next:?}",
            self.state
        );
        self.state = next;
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn may_be_forgotten(&self) -> bool {
        !self.configured && !self.ourselves && matches!(self.state, State::Idle { .. })
    }

    /// Who was told of by a peer and has never answered is not tried for ever (K05). What was found
    /// otherwise stays with its pause: it would be found again, without it.
    pub(super) fn is_dead(&self) -> bool {
        self.is_hearsay() && self.failures >= limits::DEAD_AFTER
    }

    /// Somebody was there once.
    pub(super) fn is_known(&self) -> bool {
        self.proven || self.answers
    }

    /// A peer told of it, and that is all.
    pub(super) fn is_hearsay(&self) -> bool {
        self.told_by.is_some() && !self.is_known() && !self.configured && !self.ourselves
    }

    /// A dial or a connection ended: how long it waits now (P04). `useful`: how long a connection
    /// on which blocks moved was up.
    pub(super) fn closed(&mut self, now: Instant, useful: Duration, end: End, rng: &mut Rng) {
        self.proven |= useful > Duration::ZERO;
        self.invited = false;
        let served = useful >= limits::USEFUL_UPTIME;
        if served {
            self.failures = 0;
        }
        let doublings = self.failures.min(limits::BACKOFF_DOUBLINGS);
        // A short session that ended in good order counts as well: what it shows is a peer that
        // leaves at once whenever it is dialed.
        if !served && !matches!(end, End::Duplicate | End::Refused(_) | End::Lost) {
            self.failures = (self.failures + 1).min(limits::BACKOFF_DOUBLINGS);
        }
        let wait = match end {
            End::Lost => return self.set_state(State::Idle { until: now + within(rng) }),
            End::Duplicate => limits::BACKOFF_FIRST,
            End::Refused(wait) => wait,
            End::Good | End::Bad => {
                (limits::BACKOFF_FIRST * (1 << doublings)).min(limits::BACKOFF_MAX)
            }
        };
        let until = now + rng.jitter(wait, limits::BACKOFF_JITTER_PERCENT);
        self.set_state(State::Idle { until });
        if let End::Refused(_) = end {
            self.rests = until;
        }
    }

    /// What failed before may have been the network: when it is dialled, if it waited.
    pub(super) fn forgive(&mut self, now: Instant, rng: &mut Rng) -> Option<Instant> {
        let State::Idle { until } = self.state else { return None };
        let known = self.configured || self.anchor || self.proven || self.answers;
        if known || self.id.is_some() {
            self.failures = 0;
        }
        let soon = (now + within(rng)).max(self.rests).min(until);
        self.set_state(State::Idle { until: soon });
        Some(soon)
    }

    /// It is not dialed before.
    pub(super) fn rest(&mut self, until: Instant) {
        self.rests = self.rests.max(until);
        if let State::Idle { until: at } = &mut self.state {
            *at = until.max(*at);
        }
    }

    /// It did wrong and cannot be banned: it waits as long as any.
    pub(super) fn punish(&mut self, now: Instant) {
        self.failures = limits::BACKOFF_DOUBLINGS;
        self.rests = now + limits::BACKOFF_MAX;
        if let State::Idle { .. } = self.state {
            self.set_state(State::Idle { until: now + limits::BACKOFF_MAX });
        }
    }
}

/// Nobody who comes back to many does so at one moment.
fn within(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.below(limits::FORGIVEN_WITHIN.as_micros() as u64))
}
