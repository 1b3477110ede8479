//! What may be sent when (dat/SPEC §5 and §12.1), as a watcher of one direction of one feed's
//! channel. The simulations put every message through one.

use super::*;
use crate::bits::{Bitfield, RangeSet};
use crate::codec::rle;

#[derive(Default)]
pub(super) struct Watcher {
    /// What the other end has announced to this one.
    heard: Bitfield,
    heard_length: u64,
    /// Its Wants that are not answered.
    wants: Vec<(u64, Option<u64>)>,
    windows: RangeSet,
    /// Wants of this end that are not answered.
    open: u32,
    ranges: u64,
    /// Blocks that this end has asked for.
    asked: std::collections::BTreeSet<u64>,
    /// Both ends tell of all that they hold, and how much that is.
    pub(super) told: bool,
    /// How long the other end says that its feed is.
    heard_head: u64,
}

impl Watcher {
    /// A message from the other end reached this one.
    pub(super) fn receives(&mut self, message: &OwnedMessage) {
        match message {
            OwnedMessage::Have { start, length, bits, .. } => match bits {
                Some(bits) => {
                    self.open = self.open.saturating_sub(u32::from(*length == 1 << 20));
                    let (ones, width) = unpack(bits);
                    self.heard.clear_range(*start, width);
                    for (first, count) in ones {
                        self.heard.set_range(start + first, count);
                        self.heard_length = self.heard_length.max(start + first + count);
                    }
                }
                None => {
                    self.heard.set_range(*start, *length);
                    self.heard_length = self.heard_length.max(start + length);
                }
            },
            OwnedMessage::Unhave { start, length } => self.heard.clear_range(*start, *length),
            OwnedMessage::Head(head) => {
                self.heard_head = head.length;
                self.heard_length = self.heard_length.max(head.length);
            }
            OwnedMessage::Want { start, length } => {
                self.wants.push((*start, Some(*length)));
                self.windows.insert(*start, *length);
            }
            _ => {}
        }
    }

    /// This end, whose feed is `own`, sends a message.
    pub(super) fn sends(&mut self, message: &OwnedMessage, own: &Feed) {
        match message {
            OwnedMessage::Have { start, length, bits: Some(bits), .. } => {
                self.sends_bits(*start, *length, bits, own);
            }
            OwnedMessage::Have { start, length, bits: None, ack } => {
                assert!(*length > 0 && start + length <= own.length(), "beyond our own end");
                assert_eq!(
                    own.have().count_range(*start, *length),
                    *length,
                    "not held: {message:?}"
                );
                let asked = self.told || *ack || !self.windows.is_empty();
                assert!(asked, "nobody wanted to hear {message:?}");
            }
            OwnedMessage::Unhave { length, .. } => assert!(*length > 0),
            OwnedMessage::Want { start, length } => {
                assert_eq!((*length, start % (1 << 20)), (1 << 20, 0));
                assert!(*start == 0 || *start < self.heard_length, "further than the peer reaches");
                assert_eq!(*start, self.ranges << 20, "a range twice, or one left out");
                self.ranges += 1;
                self.open += 1;
                assert!(self.told || self.open <= 16, "too many Wants unanswered");
            }
            OwnedMessage::Request(request) => {
                assert!(self.heard.get(request.index), "never announced: {request:?}");
                assert!(
                    self.told || self.wants.is_empty(),
                    "a Want must be answered before a Request"
                );
                assert_eq!((request.bytes, request.hash), (0, false));
                assert!(request.index < own.askable(), "not known to exist: {request:?}");
                self.asked.insert(request.index);
            }
            OwnedMessage::Cancel(request) => {
                assert!(self.asked.contains(&request.index), "never asked: {request:?}");
            }
            OwnedMessage::Probe { index, .. } => {
                assert!(self.asked.contains(index), "never asked before: block {index}");
            }
            OwnedMessage::Info { .. } | OwnedMessage::Refusal(_) => {}
            OwnedMessage::Head(head) => {
                assert!(self.told, "a peer that does not know what a Head is");
                assert_eq!((head.fork, head.length), (own.fork_id(), own.length()));
                assert_eq!(head.remote_length, self.heard_head, "not what the peer said");
            }
            OwnedMessage::Grow { start, length, .. } => {
                assert_eq!(*start, own.length(), "not from where we are");
                assert!(start + length <= self.heard_head, "further than the peer reaches");
            }
        }
    }

    fn sends_bits(&mut self, start: u64, length: u64, bits: &[u8], own: &Feed) {
        assert_eq!(start % 8192, 0, "JavaScript peers crash otherwise");
        let answered = self.wants.iter().position(|want| *want == (start, Some(length)));
        assert!(answered.is_some(), "a bitfield answers a Want by its start and length");
        answered.map(|at| self.wants.remove(at));
        let (ones, width) = unpack(bits);
        assert!(width <= length, "wider than the window");
        for (first, count) in ones {
            assert_eq!(own.have().count_range(start + first, count), count, "claims too much");
        }
    }
}

/// The runs of ones of an encoded bitfield, and the bits that it decodes to.
fn unpack(bits: &[u8]) -> (Vec<(u64, u64)>, u64) {
    let (mut ones, mut width) = (Vec::new(), 0);
    for run in rle::runs(bits) {
        let run = run.expect("readable");
        width = run.start + run.len;
        match run.kind {
            rle::Kind::Fill(true) => ones.push((run.start, run.len)),
            rle::Kind::Fill(false) => {}
            rle::Kind::Literal(bytes) => {
                let set = |bit: &u64| bytes[(bit / 8) as usize] & (0x80 >> (bit % 8)) != 0;
                ones.extend((0..run.len).filter(set).map(|bit| (run.start + bit, 1)));
            }
        }
    }
    (ones, width)
}
