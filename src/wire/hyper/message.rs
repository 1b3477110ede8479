//! The messages of a core (hyper/SPEC c.4). Borrowed bytes point into the connection's receive buffer.

use crate::feed::hyper::{Ask, Proof};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Sync(Sync),
    Request(Request),
    /// Takes a request back; it gets no answer then.
    Cancel {
        request: u64,
    },
    Data(Data<'a>),
    NoData {
        request: u64,
        reason: Option<Reason>,
    },
    Want(Window),
    Unwant(Window),
    /// Overrides everything that was said of these blocks.
    Bitfield {
        start: u64,
        /// 32 blocks each, little-endian, lowest bit first.
        words: &'a [[u8; 4]],
    },
    /// The sender holds blocks `start..start + length`, or, with `drop`, no longer does.
    Range {
        drop: bool,
        start: u64,
        length: u64,
    },
    Extension {
        /// Empty: the one named last in this direction.
        name: &'a str,
        payload: &'a [u8],
    },
}

/// What the sender holds and what it knows of the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sync {
    pub fork: u64,
    /// The sender's length.
    pub length: u64,
    /// The receiver's length as the sender knows it: the acknowledgement that readers wait for.
    pub remote_length: u64,
    /// The sender can prove an upgrade from `remote_length`.
    pub can_upgrade: bool,
    pub uploading: bool,
    pub downloading: bool,
    pub has_manifest: bool,
    pub allow_push: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Unused by any other request that is unanswered. 0 asks in case of a conflict.
    pub id: u64,
    pub fork: u64,
    pub ask: Ask,
    pub manifest: bool,
    pub priority: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data<'a> {
    /// The request's id; 0 for what nobody asked for.
    pub request: u64,
    pub fork: u64,
    /// The block, there if and only if `proof.block` is.
    pub value: Option<&'a [u8]>,
    pub proof: Proof,
    /// As it was encoded, which need not be the shortest form.
    pub manifest: Option<&'a [u8]>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    NotAvailable,
    InvalidRequest,
    /// One that we do not know.
    Other(u64),
}

/// Blocks that the receiver is asked to announce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub start: u64,
    pub length: u64,
    /// One block of them is enough.
    pub any: bool,
}
