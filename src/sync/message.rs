//! What the synchronizer sends: the same as [`Message`], owned, and only the kinds it ever sends.

use crate::wire::{Bits, Have, Head, Message, Request};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedMessage {
    Info {
        uploading: bool,
        downloading: bool,
    },
    /// Only to peers that hear of everything (`Input::Joined`).
    Head(Head),
    Have {
        start: u64,
        length: u64,
        /// Run-length-coded.
        bits: Option<Vec<u8>>,
        ack: bool,
    },
    Unhave {
        start: u64,
        length: u64,
    },
    Want {
        start: u64,
        length: u64,
    },
    Request(Request),
    /// As a Request, for all that proves the block from nothing, or that shows which history of the feed
    /// the peer has within `length` blocks: what came before contradicts what is held.
    Probe {
        index: u64,
        length: u64,
    },
    Cancel(Request),
    /// What proves the feed longer, from `start` blocks on, or another history of it from 0 on.
    Grow {
        fork: u64,
        start: u64,
        length: u64,
    },
    /// This request is not going to be answered.
    Refusal(Request),
}

impl OwnedMessage {
    /// All of `start..start + length` is held.
    pub(super) fn have(start: u64, length: u64) -> OwnedMessage {
        OwnedMessage::Have { start, length, bits: None, ack: false }
    }

    /// The peer is to say something to it that has to be read.
    pub fn is_answered(&self) -> bool {
        matches!(
            self,
            OwnedMessage::Request(_) | OwnedMessage::Probe { .. } | OwnedMessage::Grow { .. }
        )
    }

    /// The message for a wire session. A feed that anybody can prove block by block needs no Grow.
    pub fn borrow(&self) -> Option<Message<'_>> {
        Some(match self {
            OwnedMessage::Info { uploading, downloading } => {
                Message::Info { uploading: *uploading, downloading: *downloading }
            }
            OwnedMessage::Head(head) => Message::Head(*head),
            OwnedMessage::Have { start, length, bits, ack } => Message::Have(Have {
                start: *start,
                length: *length,
                bits: bits.as_deref().map(Bits::Runs),
                ack: *ack,
            }),
            OwnedMessage::Unhave { start, length } => {
                Message::Unhave { start: *start, length: *length }
            }
            OwnedMessage::Want { start, length } => {
                Message::Want { start: *start, length: Some(*length) }
            }
            OwnedMessage::Request(request) => Message::Request(*request),
            OwnedMessage::Probe { index, .. } => {
                Message::Request(Request { index: *index, ..Request::default() })
            }
            OwnedMessage::Cancel(request) => Message::Cancel(*request),
            OwnedMessage::Refusal(request) => Message::Refusal { index: request.index },
            OwnedMessage::Grow { .. } => return None,
        })
    }
}
