//! Every bound of the program, with its unit and why it has that size. Nothing else in the source
//! may hold a bound; a number from a peer is compared with one of these before it sizes, indexes
//! or loops.

use std::time::Duration;

// ── Wire (dat) ──────────────────────────────────────────────────────────────────────────────────

/// Bytes of a Dat message behind its length prefix; JavaScript peers destroy the connection above.
pub const DAT_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a length prefix.
pub const DAT_LENGTH_VARINT_BYTES: usize = 4;
/// Channels on a connection, each direction.
pub const DAT_CHANNELS: usize = 128;
/// Messages kept for a channel that we have not opened yet.
pub const DAT_EARLY_MESSAGES: usize = 17;
/// Bytes those kept messages may hold together on one connection.
pub const DAT_EARLY_BYTES: usize = 64 * 1024;
/// Bytes of a peer's id; everybody sends 32.
pub const DAT_ID_BYTES: usize = 64;
/// Extensions a Handshake may name; known peers name at most two.
pub const DAT_EXTENSIONS: usize = 64;
/// Bytes of all extension names and the user data of a Handshake together.
pub const DAT_HANDSHAKE_BYTES: usize = 8 * 1024;
/// Nodes of a Data message: two per level of a 2^53 tree is 106.
pub const PROOF_NODES: usize = 128;
/// Largest integer that a JavaScript peer can hold.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// Blocks that one Want or one Have with a bitfield covers.
pub const WANT_BLOCKS: u64 = 1024 * 1024;
/// Bytes a run-length-coded bitfield may decode to: one bit for each of `WANT_BLOCKS`.
pub const RLE_DECODED_BYTES: usize = (WANT_BLOCKS / 8) as usize;
/// A block's size: what fits into a message with its largest proof.
pub const BLOCK_BYTES: usize = DAT_MESSAGE_BYTES - 16 * 1024;

// ── Connection ──────────────────────────────────────────────────────────────────────────────────

/// Bytes read from one socket in one turn.
pub const READ_QUANTUM_BYTES: usize = 64 * 1024;
/// Frames handled for one connection in one turn.
pub const FRAME_QUANTUM: usize = 256;
/// Bytes written to one socket in one turn.
pub const WRITE_QUANTUM_BYTES: usize = 64 * 1024;
/// From connecting to a complete Handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence of ours after which a keep-alive is sent.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(4);
/// Silence of the peer after which it is dead.
pub const PEER_SILENCE: Duration = Duration::from_secs(20);
/// A socket that takes no byte for this long while we have something to send is closed.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// A dial that has not connected.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first stop signal to the end of the process.
pub const STOP_WITHIN: Duration = Duration::from_millis(1500);
/// The once-a-second timer.
pub const TICK: Duration = Duration::from_secs(1);
