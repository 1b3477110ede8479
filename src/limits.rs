//! Every bound of the program, with its unit and why it has that size. Nothing else in the source
//! may hold a bound; a number from a peer is compared with one of these before it sizes, indexes
//! or loops.

use std::time::Duration;

// ── Wire (dat) ──────────────────────────────────────────────────────────────────────────────────

/// Bytes of a Dat message behind its length prefix; JavaScript peers destroy the connection above.
pub const DAT_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a length prefix.
pub const DAT_LENGTH_VARINT_BYTES: usize = 4;
/// Bytes of a message's header: a channel and a type need at most five.
pub const DAT_HEADER_VARINT_BYTES: usize = 5;
/// Bytes of a side's first message; known peers send 61, a stranger shall not make us buffer more.
pub const DAT_FIRST_BYTES: usize = 1024;
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
/// JavaScript peers ignore a Want, and crash at a bitfield, that does not start at a multiple of
/// this many blocks.
pub const WANT_ALIGN_BLOCKS: u64 = 8192;
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

// ── Poll loop ───────────────────────────────────────────────────────────────────────────────────

/// Unsent bytes of a connection below which more frames are pulled: little enough that a Cancel
/// still overtakes, enough that a fast socket does not run dry between two turns.
pub const SEND_LOW_BYTES: usize = 16 * 1024;
/// Unsent bytes of all connections together; above it only empty connections pull, in turn.
pub const SEND_MEMORY_BYTES: usize = 8 * 1024 * 1024;
/// Receive buffers of all connections together: two frames of the largest size.
pub const RECEIVE_MEMORY_BYTES: usize = 2 * FRAME_BYTES;
/// Bytes of one received frame with its length prefix.
pub const FRAME_BYTES: usize = DAT_MESSAGE_BYTES + DAT_LENGTH_VARINT_BYTES;
/// Connections and dials of one process: a router has 1024 descriptors, files need some too.
pub const CONNECTIONS: usize = 512;
/// Connections accepted in one turn, so that a flood of them leaves time for the others.
pub const ACCEPTS_PER_TURN: usize = 8;
/// No accepting for this long after descriptors ran out; trying at once would spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// From a flushing close to the end of the socket.
pub const LINGER: Duration = Duration::from_secs(1);
/// Datagrams read from one socket in one turn.
pub const DATAGRAMS_PER_TURN: usize = 32;
/// Bytes of a datagram; UDP has no longer ones.
pub const DATAGRAM_BYTES: usize = 64 * 1024;
/// File system events handled in one turn.
pub const WATCH_EVENTS_PER_TURN: usize = 256;
/// Cost units (bytes) of background work in a turn with nothing else to do: about 1 ms of hashing.
pub const WORK_IDLE_COST: usize = 1024 * 1024;
/// Cost units of background work in a turn while connections are busy: as much as one of them gets.
pub const WORK_BUSY_COST: usize = 128 * 1024;
/// What a system call is charged in cost units: the bytes that could be copied in that time.
pub const COST_OF_CALL: usize = 1024;
/// Work that waits for the disk is tried again after this: the answer time of a good SSD.
pub const WORK_RETRY_MIN: Duration = Duration::from_micros(200);
/// The longest wait before work that waits for the disk is tried again: half a disk's seek.
pub const WORK_RETRY_MAX: Duration = Duration::from_millis(5);
/// A timer's delay in ticks of 1 ms; the wheel fires early near 2^32.
pub const TIMER_TICKS: u64 = 1 << 31;
/// Bytes of an incomplete frame that are copied in front of the next read rather than read behind in
/// a buffer of the connection's own.
pub const SMALL_PARTIAL_BYTES: usize = 4 * 1024;
/// Bytes of empty receive and send buffers kept for reuse, so that they are not mapped each time.
pub const SPARE_BUFFER_BYTES: usize = 512 * 1024;

// ── Watching and asking ─────────────────────────────────────────────────────────────────────────

/// Events waiting for one subscriber; what comes beyond becomes a marked gap.
pub const SUBSCRIBER_EVENTS: usize = 1024;
/// Bytes of those events: paths are long, and a drive has many.
pub const SUBSCRIBER_BYTES: usize = 256 * 1024;
/// Subscribers of one node: output, `--exec`, and a few of an embedding program.
pub const SUBSCRIBERS: usize = 8;
/// Bytes of a request on the control socket: a batch of blocks, or one large block, in base64.
pub const CONTROL_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of blocks that go into one request together.
pub const CONTROL_BATCH_BYTES: usize = 256 * 1024;
/// Bytes of a single block that can be appended through the control socket.
pub const CONTROL_BLOCK_BYTES: usize = 1024 * 1024;
/// Bytes of an answer that the client takes: a status of thousands of peers fits.
pub const CONTROL_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Text waiting for a slow standard output; above it no more events are taken.
pub const OUTPUT_BYTES: usize = 64 * 1024;
/// Bytes that a pipe which polls as writable takes without blocking (`PIPE_BUF`).
pub const OUTPUT_PIECE_BYTES: usize = 4096;
/// Text that waits for standard output is tried again after this.
pub const OUTPUT_RETRY: Duration = Duration::from_millis(20);
/// In a pipe, progress is one line in this time.
pub const PROGRESS_LINE_EVERY: Duration = Duration::from_secs(30);
/// Control connections at a time.
pub const CONTROL_CONNECTIONS: usize = 8;
/// How long the client waits for a running gannet to answer.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);
// ── Discovery ───────────────────────────────────────────────────────────────────────────────────

/// Bytes of a DNS datagram: multicast DNS allows a jumbo frame (RFC 6762 §17).
pub const DNS_PACKET_BYTES: usize = 9000;
/// Records and questions of a DNS datagram: beyond what any answer for us needs.
pub const DNS_PACKET_RECORDS: usize = 128;
/// Drives asked and answered for by multicast.
pub const MULTICAST_KEYS: usize = 1024;
/// Network interfaces used for multicast.
pub const MULTICAST_INTERFACES: usize = 16;
/// Peers in one `peers=` string: 31 × 6 bytes in base64 is what a TXT string holds.
pub const MULTICAST_PEERS_PER_STRING: usize = 31;
/// Peers taken from one datagram.
pub const MULTICAST_PEERS: usize = 64;
/// Multicast datagrams sent in a second over a long time, and at once.
pub const MULTICAST_SENT_PER_SECOND: u32 = 40;
pub const MULTICAST_SENT_BURST: u32 = 200;
/// Addresses reported in a second over a long time, and at once.
pub const MULTICAST_FOUND_PER_SECOND: u32 = 50;
pub const MULTICAST_FOUND_BURST: u32 = 500;
/// Between two answers for one drive under one name: everybody hears each of them.
pub const MULTICAST_ANSWER_GAP: Duration = Duration::from_millis(250);
/// Between a joining and its repetitions: datagrams get lost.
pub const MULTICAST_REPEATS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Between two refreshes of one drive that was asked for.
pub const MULTICAST_REFRESH_GAP: Duration = Duration::from_secs(10);
/// Host name look-ups at once.
pub const RESOLVE_LOOKUPS: usize = 64;
/// Name servers used, as in the C library.
pub const RESOLVE_SERVERS: usize = 3;
/// Search domains used, as in the C library.
pub const RESOLVE_SEARCH: usize = 6;
/// Addresses taken from the hosts file.
pub const RESOLVE_HOSTS: usize = 8192;
/// Addresses of one host name.
pub const RESOLVE_ADDRESSES: usize = 32;
/// Aliases followed for one host name.
pub const RESOLVE_ALIASES: u8 = 8;
/// A name server that has not answered.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Times one question is sent, over all servers.
pub const RESOLVE_TRIES: u32 = 4;
/// What the second address family may take longer than the first.
pub const RESOLVE_GRACE: Duration = Duration::from_millis(250);

// ── Feeds and their store ───────────────────────────────────────────────────────────────────────

/// Bits of a `Bitfield` page: 512 bytes, so that ten lone bits stay under 16 KB.
pub const BITS_PER_PAGE: u64 = 4096;
/// Blocks of a feed: its files stay below 16 TiB, the least that common file systems allow.
pub const FEED_BLOCKS: u64 = 1 << 32;
/// Depth of the node above all blocks of the longest feed.
pub const FEED_DEPTH: u32 = FEED_BLOCKS.ilog2();
/// Signatures looked for below a root when the likely one is missing: a few pages of the file.
pub const SIGNATURES_TRIED: usize = 1024;
// ── Drives ──────────────────────────────────────────────────────────────────────────────────────

/// Bytes of content in a block that we cut from a file; what JavaScript drives use.
pub const DRIVE_BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of an entry's name: a path as long as Linux takes one.
pub const DRIVE_NAME_BYTES: usize = 4096;
/// Bytes of one component of a name: as long as common file systems take one.
pub const DRIVE_COMPONENT_BYTES: usize = 255;
/// Components of a name.
pub const DRIVE_DEPTH: usize = 128;
/// Names in one directory of a drive: a node lists them all, in 8 bytes each while it is walked.
pub const DRIVE_LIST_NAMES: usize = 1 << 18;
/// Numbers that the directories on one walk's path may hold together (8 bytes each).
pub const WALK_NUMBERS: usize = 1 << 20;
/// Members of directories that a drive's writer remembers (16 bytes each).
pub const TREE_CACHE_NUMBERS: usize = 1 << 16;
/// Bytes of `.datignore` that are read.
pub const IGNORE_BYTES: usize = 64 * 1024;
/// Patterns of it that are used: each is tried on every name.
pub const IGNORE_PATTERNS: usize = 1024;
/// Units of a job's budget that a system call or an entry costs; a byte costs one.
pub const COST_CALL: usize = 4096;
