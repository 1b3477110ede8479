//! The one message about the connection itself.

/// Sent once a connection and direction, on channel 0 (dat/SPEC §4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// Names the process; 32 random bytes, at most `limits::DAT_ID_BYTES` accepted.
    pub id: Vec<u8>,
    /// Stay connected when there is nothing left to fetch.
    pub live: bool,
    /// Blocks received are to be acknowledged with a Have.
    pub ack: bool,
    /// Names of extensions, sorted.
    pub extensions: Vec<String>,
    pub user_data: Option<Vec<u8>>,
}
