//! What cannot be opened: it stands in the status with its reason, and is tried again, ever more seldom.

use super::{Keeper, Kept, State};
use crate::failure::Failure;
use crate::limits;
use crate::node::Node;
use crate::node::status::Unopened;
use crate::time::Instant;

/// Why something is not open, since how many tries, and when the next one is.
pub(super) struct Trouble {
    why: String,
    /// The user has heard of it.
    told: bool,
    tries: u32,
    again: Instant,
}

impl Kept {
    /// It could not be opened. Whether that, or why, is news.
    pub(super) fn is_troubled(&mut self, now: Instant, failure: &Failure) -> bool {
        let (why, before) = (failure.to_string(), self.trouble.take());
        let tries = before.as_ref().map_or(0, |trouble| trouble.tries + 1);
        let news = before.is_none_or(|trouble| trouble.why != why || !trouble.told);
        let wait = limits::OPEN_AGAIN * 2u32.saturating_pow(tries.min(limits::OPEN_DOUBLINGS));
        self.trouble = Some(Trouble { why, told: true, tries, again: now + wait });
        self.state = State::Failed;
        news
    }

    /// It is tried at once, and told of again if that fails.
    pub(super) fn hasten(&mut self) {
        if self.state == State::Failed {
            self.state = State::New;
        }
        if let Some(trouble) = &mut self.trouble {
            (trouble.told, trouble.tries) = (false, 0);
        }
    }

    fn unopened(&self, now: Instant) -> Option<Unopened> {
        let trouble = self.trouble.as_ref().filter(|_| !self.goes())?;
        Some(Unopened {
            kind: self.entry.kind(),
            link: self.entry.link().map(ToString::to_string),
            folder: self.name(),
            why: trouble.why.clone(),
            again: trouble.again.max(now),
        })
    }
}

impl Keeper {
    /// When something that could not be opened is tried again.
    pub fn next_try(&self) -> Option<Instant> {
        let failed = self.kept.iter().filter(|kept| kept.state == State::Failed);
        failed.filter_map(|kept| kept.trouble.as_ref()).map(|trouble| trouble.again).min()
    }

    /// What could not be opened is to be opened, if it is time.
    pub(super) fn try_again(&mut self, now: Instant) {
        for kept in self.kept.iter_mut().filter(|kept| kept.state == State::Failed) {
            if kept.trouble.as_ref().is_none_or(|trouble| trouble.again <= now) {
                kept.state = State::New;
            }
        }
    }

    /// The status tells of it.
    pub(super) fn tell_troubles(&mut self, now: Instant, node: &mut Node) {
        let any = self.kept.iter().any(|kept| kept.trouble.is_some());
        if any || std::mem::take(&mut self.troubled) {
            self.troubled = any;
            node.set_unopened(self.kept.iter().filter_map(|kept| kept.unopened(now)).collect());
        }
    }
}
