//! What the synchronizer sends: the same as [`Message`], owned, and only the kinds it ever sends.

use crate::wire::{Have, Message, Request};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedMessage {
    Info { uploading: bool, downloading: bool },
    Have { start: u64, length: u64, bits: Option<Vec<u8>>, ack: bool },
    Unhave { start: u64, length: u64 },
    Want { start: u64, length: u64 },
    Request(Request),
    Cancel(Request),
}

impl OwnedMessage {
    /// All of `start..start + length` is held.
    pub(super) fn have(start: u64, length: u64) -> OwnedMessage {
        OwnedMessage::Have { start, length, bits: None, ack: false }
    }

    /// The message for a wire session.
    pub fn borrow(&self) -> Message<'_> {
        match self {
            OwnedMessage::Info { uploading, downloading } => {
                Message::Info { uploading: *uploading, downloading: *downloading }
            }
            OwnedMessage::Have { start, length, bits, ack } => Message::Have(Have {
                start: *start,
                length: *length,
                bits: bits.as_deref(),
                ack: *ack,
            }),
            OwnedMessage::Unhave { start, length } => {
                Message::Unhave { start: *start, length: *length }
            }
            OwnedMessage::Want { start, length } => {
                Message::Want { start: *start, length: Some(*length) }
            }
            OwnedMessage::Request(request) => Message::Request(*request),
            OwnedMessage::Cancel(request) => Message::Cancel(*request),
        }
    }
}
