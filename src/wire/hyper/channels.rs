//! Which channel is which core, in both directions, and what waits for a core that we have not opened
//! (hyper/SPEC b.1, b.3). Each side numbers the channels that it opens itself; equal ids pair them. A
//! number is free again when its channel is closed *and* the other side has answered its opening.

use std::collections::{BTreeMap, VecDeque};

use super::{Fault, Message, Unsendable, body};
use crate::limits::{HYPER_CHANNELS, HYPER_EARLY_BYTES, HYPER_EARLY_MESSAGES};

/// The discovery key of a core.
type Id = [u8; 32];
/// Stands for the channel between hosts, which is of no core: nobody may open a core of that name.
pub(super) const HOST: Id = [0xff; 32];

/// A proof of knowing the core's key.
type Capability = [u8; 32];

/// A channel number of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Free,
    Core(Id),
    /// We closed it before the peer had answered its opening; the answer is still to come. With
    /// the order of the closings: answers come in that order.
    Unanswered(Id, u64),
}

/// A core that one side or both have opened.
#[derive(Debug, Default)]
struct Core {
    ours: Option<u64>,
    theirs: Option<u64>,
    /// What the peer has to say to show that it knows the key, once we have opened the core.
    expected: Option<Capability>,
    /// What it said when it opened the core before us.
    said: Option<Said>,
    /// Messages waiting for us to open it.
    early: usize,
}

/// What the peer's opening said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// It answers seeks.
    pub seeks: bool,
    pub capability: Capability,
}

/// A message that came before we had opened its core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Early {
    kind: u64,
    body: Vec<u8>,
}

impl Early {
    /// Bytes that keeping it takes: an empty body is not free.
    fn bytes(&self) -> usize {
        size_of::<(Id, Early)>() + self.body.len()
    }

    /// The message, or `None` where `What::Ignored` would have been said.
    pub fn message(&self) -> Result<Option<Message<'_>>, Fault> {
        body::decode(self.kind, &self.body)
    }
}

/// What an opening of the peer's led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// We have not opened this core: it waits for us.
    Waits,
    Live {
        seeks: bool,
    },
    /// It answers an opening that we have taken back.
    TooLate,
    /// It is open already; the new channel is to be rejected.
    Again,
}

/// What a message's channel is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Closed or never opened.
    None,
    /// Not opened by us yet.
    Waits(Id),
    Live(Id),
}

#[derive(Debug, Default)]
pub(super) struct Channels {
    cores: BTreeMap<Id, Core>,
    /// By number, from 1.
    ours: Vec<Ours>,
    /// Places in `ours` that are free.
    free: Vec<usize>,
    /// How many of `ours` are unanswered.
    unanswered: usize,
    /// How many there were ever.
    closings: u64,
    /// By place, those in use: a stranger's numbers that are free again cost nothing.
    theirs: BTreeMap<usize, Id>,
    /// Places that the peer has used so far.
    reached: usize,
    early: VecDeque<(Id, Early)>,
    early_bytes: usize,
}

impl Channels {
    /// Gives a core our next number. Some: the peer had opened it and the core is live.
    pub fn open(
        &mut self,
        id: &Id,
        expected: &Capability,
    ) -> Result<(u64, Option<bool>), Unsendable> {
        let core = self.cores.get(id);
        if core.is_some_and(|core| core.ours.is_some()) {
            return Err(Unsendable::OpenAlready);
        }
        let said = core.and_then(|core| core.said);
        if said.is_some_and(|said| said.capability != *expected) {
            return Err(Unsendable::Capability);
        }
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.ours.len() == HYPER_CHANNELS => return Err(Unsendable::TooManyChannels),
            None => {
                self.ours.push(Ours::Free);
                self.ours.len() - 1
            }
        };
        self.ours[at] = Ours::Core(*id);
        let number = at as u64 + 1;
        let core = self.cores.entry(*id).or_default();
        core.ours = Some(number);
        core.expected = Some(*expected);
        Ok((number, said.map(|said| said.seeks)))
    }

    /// Whether the peer has opened a core and shown that it knows its key.
    pub fn has_shown(&self, id: &Id, expected: &Capability) -> bool {
        let said = self.cores.get(id).and_then(|core| core.said);
        said.is_some_and(|said| said.capability == *expected)
    }

    /// The peer takes a number of its own, a free one or the next, whatever it is for; its place.
    pub fn taken_by_peer(&mut self, number: u64) -> Result<usize, Fault> {
        let fault = Fault::Channel { number };
        let at = place(number).ok_or(fault)?;
        if at > self.reached || at >= HYPER_CHANNELS || self.theirs.contains_key(&at) {
            return Err(fault);
        }
        self.reached = self.reached.max(at + 1);
        Ok(at)
    }

    /// The peer opened a core at a place that [`Channels::taken_by_peer`] gave.
    pub fn opened_by_peer(&mut self, at: usize, id: &Id, said: Said) -> Result<Opening, Fault> {
        if let Some(ours) = self.oldest_unanswered(id) {
            self.answered(ours);
            return Ok(Opening::TooLate);
        }
        let core = self.cores.entry(*id).or_default();
        if core.theirs.is_some() {
            return Ok(Opening::Again);
        }
        if core.expected.is_some_and(|expected| expected != said.capability) {
            return Err(Fault::Capability);
        }
        core.theirs = Some(at as u64 + 1);
        core.said = Some(said);
        self.theirs.insert(at, *id);
        Ok(match core.ours {
            Some(_) => Opening::Live { seeks: said.seeks },
            None => Opening::Waits,
        })
    }

    /// The peer does not want a core that we opened; which.
    pub fn rejected(&mut self, number: u64) -> Result<Option<Id>, Fault> {
        let at = place(number).ok_or(Fault::Reject)?;
        match self.ours.get(at).copied() {
            Some(Ours::Unanswered(..)) => {
                self.answered(at);
                Ok(None)
            }
            Some(Ours::Core(id)) if self.cores.get(&id).is_some_and(|c| c.theirs.is_none()) => {
                self.free(number);
                self.forget(&id);
                Ok(Some(id))
            }
            _ => Err(Fault::Reject),
        }
    }

    /// The peer closed one of its channels. `Some`: what became of the core.
    pub fn closed_by_peer(&mut self, number: u64) -> Option<Closed> {
        let id = self.theirs.remove(&place(number)?)?;
        match self.cores.get(&id).and_then(|core| core.ours) {
            Some(ours) => {
                self.free(ours);
                self.forget(&id);
                Some(Closed::Core(id))
            }
            // It still waits for the answer to its opening.
            None => {
                self.forget(&id);
                Some(Closed::Unanswered(id))
            }
        }
    }

    /// We close a core that we opened; our number.
    pub fn close(&mut self, id: &Id) -> Option<u64> {
        let core = self.cores.get(id)?;
        let ours = core.ours?;
        match core.theirs {
            Some(theirs) => {
                self.free(ours);
                self.free_theirs(theirs);
            }
            None => {
                if let Some(slot) = place(ours).and_then(|at| self.ours.get_mut(at)) {
                    *slot = Ours::Unanswered(*id, self.closings);
                    self.unanswered += 1;
                    self.closings += 1;
                }
            }
        }
        self.forget(id);
        Some(ours)
    }

    /// We do not want a core that only the peer opened; its number.
    pub fn refuse(&mut self, id: &Id) -> Option<u64> {
        let core = self.cores.get(id).filter(|core| core.ours.is_none())?;
        let theirs = core.theirs?;
        self.free_theirs(theirs);
        self.forget(id);
        Some(theirs)
    }

    /// Our number for a core that is open on both sides.
    pub fn ours(&self, id: &Id) -> Option<u64> {
        let core = self.cores.get(id)?;
        core.ours.filter(|_| core.theirs.is_some())
    }

    /// What the peer's number stands for.
    pub fn channel(&self, number: u64) -> Channel {
        let id = place(number).and_then(|at| self.theirs.get(&at).copied());
        match id {
            None => Channel::None,
            Some(id) if self.ours(&id).is_some() => Channel::Live(id),
            Some(id) => Channel::Waits(id),
        }
    }

    /// Keeps a message of a core that we have not opened.
    pub fn keep(&mut self, id: &Id, kind: u64, body: &[u8]) -> Result<(), Fault> {
        let Some(core) = self.cores.get_mut(id) else { return Ok(()) };
        let left = HYPER_EARLY_BYTES - self.early_bytes;
        if core.early == HYPER_EARLY_MESSAGES || size_of::<(Id, Early)>() + body.len() > left {
            return Err(Fault::TooManyEarly);
        }
        let early = Early { kind, body: body.to_vec() };
        core.early += 1;
        self.early_bytes += early.bytes();
        self.early.push_back((*id, early));
        Ok(())
    }

    /// The oldest kept message of a core that both sides have opened by now.
    pub fn early(&mut self, id: &Id) -> Option<Early> {
        self.ours(id)?;
        let place = self.early.iter().position(|(core, _)| core == id)?;
        let (_, early) = self.early.remove(place)?;
        self.early_bytes -= early.bytes();
        if let Some(core) = self.cores.get_mut(id) {
            core.early -= 1;
        }
        Some(early)
    }

    fn forget(&mut self, id: &Id) {
        if self.cores.remove(id).is_some_and(|core| core.early > 0) {
            self.early.retain(|(core, _)| core != id);
            self.early_bytes = self.early.iter().map(|(_, early)| early.bytes()).sum();
        }
    }

    fn free(&mut self, number: u64) {
        let Some(at) = place(number) else { return };
        if let Some(slot) = self.ours.get_mut(at) {
            *slot = Ours::Free;
            self.free.push(at);
        }
    }

    fn oldest_unanswered(&self, id: &Id) -> Option<usize> {
        if self.unanswered == 0 {
            return None;
        }
        let closing = |(at, ours): (usize, &Ours)| match ours {
            Ours::Unanswered(core, closing) if core == id => Some((*closing, at)),
            _ => None,
        };
        self.ours.iter().enumerate().filter_map(closing).min().map(|(_, at)| at)
    }

    /// The answer came to an opening that we had taken back.
    fn answered(&mut self, at: usize) {
        self.unanswered -= 1;
        self.free(at as u64 + 1);
    }

    fn free_theirs(&mut self, number: u64) {
        if let Some(at) = place(number) {
            self.theirs.remove(&at);
        }
    }
}

/// What the peer's closing led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// The core is not open on either side any more.
    Core([u8; 32]),
    /// We had not answered its opening, and have to: by a reject.
    Unanswered([u8; 32]),
}

fn place(number: u64) -> Option<usize> {
    number.checked_sub(1).and_then(|at| usize::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_opened_a_core_may_have_shown_that_it_knows_the_key() {
        let mut channels = Channels::default();
        let said = Said { seeks: true, capability: [1; 32] };
        let at = channels.taken_by_peer(1).unwrap();
        assert_eq!(channels.opened_by_peer(at, &[7; 32], said), Ok(Opening::Waits));
        assert!(channels.has_shown(&[7; 32], &[1; 32]) && !channels.has_shown(&[7; 32], &[2; 32]));
        assert!(!channels.has_shown(&[8; 32], &[1; 32]));
        channels.refuse(&[7; 32]);
        assert!(!channels.has_shown(&[7; 32], &[1; 32]), "it is forgotten with the core");
    }

    #[test]
    fn refused_cores_leave_nothing_behind_and_their_numbers_can_be_used_again() {
        let mut channels = Channels::default();
        let said = Said { seeks: true, capability: [0; 32] };
        for number in 1..=HYPER_CHANNELS as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            let at = channels.taken_by_peer(number).unwrap();
            assert_eq!(channels.opened_by_peer(at, &id, said), Ok(Opening::Waits));
            assert_eq!(channels.refuse(&id), Some(number));
        }
        assert!(channels.theirs.is_empty() && channels.cores.is_empty());
        let beyond = HYPER_CHANNELS as u64 + 1;
        assert_eq!(channels.taken_by_peer(beyond), Err(Fault::Channel { number: beyond }));
        assert_eq!(channels.taken_by_peer(7), Ok(6));
    }
}
