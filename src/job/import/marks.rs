//! Paths that something happened to, and when they are to be looked at: at once after a writer
//! closed them, a little later when they vanished (editors replace files that way), and only when
//! they are still if nobody says that the writer is done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits::{APPEARED_SETTLE, CHANGED_PATHS, CLOSED_SETTLE, STILL_FOR, VANISHED_SETTLE};
use crate::store::disk::Meta;
use crate::sys::Change;
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    due: Instant,
    writer: Writer,
    /// What equal size and time prove.
    pub trust: Trust,
    /// It is a directory that may have names nobody told of.
    pub scan: bool,
    /// Size and time when it was last found not still.
    seen: Option<(u64, i128)>,
}

/// When a file of the same size and time as its entry counts as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Always.
    Times,
    /// It was written to: if the time is not so new that it may have stayed the same.
    OldTimes,
    /// Its content is known to be another.
    Nothing,
}

/// What is known of whoever writes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// Nothing says that there is one.
    None,
    /// The name is new; somebody may be about to write.
    Perhaps,
    Busy,
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: BTreeMap<PathBuf, Box<Mark>>,
    /// No mark is due before.
    next: Option<Instant>,
    ready: Vec<PathBuf>,
}

impl Marks {
    /// `false`: there are too many, look at everything.
    pub fn add(&mut self, now: Instant, path: &Path, what: Change) -> bool {
        let full = self.marks.len() >= CHANGED_PATHS;
        let fresh =
            Mark { due: now, writer: Writer::None, trust: Trust::Times, scan: false, seen: None };
        let mut mark = match self.marks.get(path) {
            Some(mark) => **mark,
            None if full => return false,
            None => fresh,
        };
        let doubted = mark.trust == Trust::Nothing;
        match what {
            Change::Appeared { dir: true } => {
                mark.due = now + CLOSED_SETTLE;
                mark.scan = true;
            }
            Change::Appeared { dir: false } => {
                mark.due = now + APPEARED_SETTLE;
                mark.writer = Writer::Perhaps;
                mark.trust = Trust::OldTimes;
            }
            Change::Modified => {
                mark = written(now + STILL_FOR, Writer::Busy);
            }
            Change::Closed => {
                mark = written(now + CLOSED_SETTLE, Writer::Done);
            }
            Change::Attributes => mark.due = mark.due.max(now + CLOSED_SETTLE),
            Change::Vanished { .. } => mark.due = now + VANISHED_SETTLE,
        }
        if doubted {
            mark.trust = Trust::Nothing;
        }
        self.set(path, mark);
        true
    }

    /// The file's content is another than its entry says. `false`: as for `add`.
    pub fn doubt(&mut self, now: Instant, path: &Path) -> bool {
        // Whoever asks again and again must not put it off.
        if let Some(mark) = self.marks.get_mut(path) {
            mark.trust = Trust::Nothing;
            return true;
        }
        let full = self.marks.len() >= CHANGED_PATHS;
        if !full {
            let due = now + CLOSED_SETTLE;
            self.set(path, Mark { trust: Trust::Nothing, ..written(due, Writer::None) });
        }
        !full
    }

    /// The file changed while it was read: again when it is still.
    pub fn again(&mut self, now: Instant, path: &Path) {
        self.set(path, written(now + STILL_FOR, Writer::Busy));
    }

    fn set(&mut self, path: &Path, mark: Mark) {
        self.next = Some(self.next.map_or(mark.due, |next| next.min(mark.due)));
        self.marks.insert(path.to_owned(), Box::new(mark));
    }

    /// A path whose time has come.
    pub fn due(&mut self, now: Instant) -> Option<(PathBuf, Mark)> {
        loop {
            while let Some(path) = self.ready.pop() {
                let Some(mark) = self.marks.get(&path).filter(|m| m.due <= now) else { continue };
                let mark = **mark;
                self.marks.remove(&path);
                return Some((path, mark));
            }
            if self.next.is_none_or(|next| next > now) {
                return None;
            }
            let due = self.marks.iter().filter(|(_, m)| m.due <= now).map(|(path, _)| path.clone());
            self.ready = due.collect();
            self.ready.reverse();
            self.next = self.marks.values().map(|m| m.due).filter(|&due| due > now).min();
        }
    }

    /// Whether the file may be taken as it is; else it is marked to be looked at again.
    pub fn is_still(&mut self, now: Instant, path: &Path, mut mark: Mark, meta: &Meta) -> bool {
        let busy = match mark.writer {
            Writer::None | Writer::Done => false,
            Writer::Perhaps => meta.size == 0,
            Writer::Busy => true,
        };
        let seen = Some((meta.size, meta.mtime_ns));
        if !busy || mark.seen == seen {
            return true;
        }
        // The first look comes a while after the last change that was told of; one more will do.
        let wait = if mark.seen.is_none() { Duration::from_millis(100) } else { STILL_FOR };
        mark.due = now + if mark.writer == Writer::Perhaps { STILL_FOR } else { wait };
        mark.seen = seen;
        self.set(path, mark);
        false
    }

    pub fn next(&self) -> Option<Instant> {
        if self.ready.is_empty() { self.next } else { Some(Instant::default()) }
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Marks::default();
    }
}

fn written(due: Instant, writer: Writer) -> Mark {
    Mark { due, writer, trust: Trust::OldTimes, scan: false, seen: None }
}
