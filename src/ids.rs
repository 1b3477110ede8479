//! Names of things that live in tables. A number is reused, a (number, generation) pair never is,
//! so an id held past the end of its thing finds nothing instead of finding a stranger.

use std::fmt;

use crate::few::Number;

/// A connection: its slot in the reactor's slab and the generation of that slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    pub slot: u32,
    pub generation: u32,
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.slot, self.generation)
    }
}

/// A feed open in this process. Numbers are given out once and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub u32);

impl Number for FeedId {
    fn of(number: u32) -> FeedId {
        FeedId(number)
    }

    fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", self.0)
    }
}
