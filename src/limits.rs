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

// ── Wire (hyper) ────────────────────────────────────────────────────────────────────────────────

/// Items of an array in compact encoding; JavaScript refuses more.
pub const COMPACT_ITEMS: u64 = 1 << 20;
/// Bytes of a frame behind its length, sealed: all that the format has numbers for. JavaScript adds a
/// block of any size to less than 8 MiB that wait to be sealed together, so that frames of two blocks
/// of 8 MiB come in ordinary life.
pub const HYPER_FRAME_BYTES: usize = (1 << 24) - 1;
/// Bytes of a core's block: what fits into a frame with the longest proof, and what JavaScript appends.
pub const HYPER_BLOCK_BYTES: usize = 15 * 1024 * 1024;
/// Bytes of small messages that are sealed together: about what a socket takes at once.
pub const HYPER_BATCH_BYTES: usize = 16 * 1024;
/// Bytes of room for them that a connection keeps when it has said less than that at once.
pub const HYPER_BATCH_KEPT: usize = 1024;
/// Cores open on one connection, each direction.
pub const HYPER_CHANNELS: usize = 16 * 1024;
/// Messages kept for a core that we have not opened yet.
pub const HYPER_EARLY_MESSAGES: usize = 17;
/// Bytes that keeping them may take on one connection; JavaScript stops reading at 32 KiB.
pub const HYPER_EARLY_BYTES: usize = 32 * 1024;
/// Channels refused whose refusal was not taken by the socket yet.
pub const HYPER_REJECTS: usize = 1024;
/// Requests of ours on one connection whose answers are told apart: twice what may be out.
pub const HYPER_ASKED: usize = 2 * (REQUESTS_TINY + REQUESTS_REMEMBERED);
/// Ranges in a window up to which they are told one by one rather than as a bitfield.
pub const HYPER_FEW_RANGES: usize = 8;
/// Bytes of a protocol's or an extension's name; known ones have at most 20.
pub const HYPER_NAME_BYTES: usize = 256;
/// Blocks that one bitfield tells of: the largest window that JavaScript asks for.
pub const HYPER_WINDOW_BLOCKS: u64 = 1 << 21;
/// Bytes of a message between hosts: a hello has about 250, and nobody is trusted yet.
pub const HOST_MESSAGE_BYTES: usize = 1024;
/// Fields of such a message, those that we do not know included: three times those that we do.
pub const HOST_FIELDS: usize = 24;
/// Earlier connections that a hello names, and connections to one process that are looked at: a host
/// has few addresses, and each is dialled once at a time.
pub const HOST_HOLDS: usize = 16;
/// The highest version of the protocol that can be spoken of.
pub const HOST_VERSION: u64 = 1 << 16;
/// Addresses that a refusal names: a few, so that being full spreads no lists.
pub const HOST_HINTS: usize = 8;
/// Addresses that an answer names: 576 bytes, and a few answers fill a table.
pub const HOST_CANDIDATES: usize = 32;
/// A refusal holds no longer than this, whatever it says: nobody is lost for good by one word.
pub const HOST_RETRY: Duration = Duration::from_secs(7 * 24 * 3600);
/// Pings answered for one host in a second: a person with a stop watch, and feelers of a whole household.
pub const PINGS_PER_SECOND: u32 = 10;
/// Hosts for which that is counted at a time; with more of them in a second nobody is answered.
pub const PING_SOURCES: usize = 256;
/// Pings of ours under way.
pub const PINGS: usize = 16;
/// From connecting to the pong: who says nothing for so long is none of us.
pub const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Outcomes of pings that nobody has asked for yet.
pub const PING_OUTCOMES: usize = 64;
/// Bytes of a manifest: a hundred signers, or some of them and a page of user data.
pub const HYPER_MANIFEST_BYTES: usize = 16 * 1024;
/// Signers of a core.
pub const HYPER_SIGNERS: usize = 128;
/// Other cores that a manifest names.
pub const HYPER_LINKED: usize = 256;
/// Bytes of a signature container: a hundred signatures, and the nodes between their lengths.
pub const HYPER_SIGNATURE_BYTES: usize = 16 * 1024;

// ── Connection ──────────────────────────────────────────────────────────────────────────────────

/// Bytes read from one socket in one turn.
pub const READ_QUANTUM_BYTES: usize = 64 * 1024;
/// Frames handled for one connection in one turn.
pub const FRAME_QUANTUM: usize = 256;
/// Frames that one counts for which is the first to change a feed since that was committed: the marker that
/// says so is synced.
pub const FIRST_CHANGE_FRAMES: usize = FRAME_QUANTUM / 4;
/// Frames that one counts for which belongs to a handshake: half a millisecond of key exchange.
pub const GREETING_FRAMES: usize = FRAME_QUANTUM / 2;
/// Bytes written to one socket in one turn.
pub const WRITE_QUANTUM_BYTES: usize = 64 * 1024;
/// From connecting to a complete Handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Accepted connections that have not greeted us yet, or share nothing with us; the oldest goes when one more comes. A flood of
/// 600 a second leaves an honest peer 200 ms for its greeting.
pub const HALF_OPEN: usize = 128;
/// Small messages that wait for one peer's socket, above which it is not read: what it says leads to
/// more of them. A window of requests and their cancels is far less.
pub const OUTBOX_LINES: usize = 4096;
/// The same above which it is given up as too slow: there are also those that others lead to.
pub const OUTBOX_LINES_HARD: usize = 4 * OUTBOX_LINES;
/// Bytes of openings and refusals that wait for it, above which it is not read: 700 cores.
pub const STAGED_BYTES: usize = 64 * 1024;
/// Silence of ours after which a keep-alive is sent.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(4);
/// The same on a Hypercore stream, where JavaScript peers wait for ever: two in the time of `PEER_SILENCE`,
/// and half of what thousands of idle peers cost.
pub const STREAM_KEEPALIVE_AFTER: Duration = Duration::from_secs(9);
/// Peers above which a host asks to be spoken to seldom, because signs of life are most of what it does.
pub const SELDOM_FROM: usize = 1000;
/// The same between two gannets of which one asked for that, a fifth more or less: a third of the wake-ups.
pub const SELDOM_KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Silence after which such a peer is dead: two signs of life may be lost.
pub const SELDOM_SILENCE: Duration = Duration::from_secs(90);
/// Silence of the peer after which it is dead.
pub const PEER_SILENCE: Duration = Duration::from_secs(20);
/// A socket that takes no byte for this long while we have something to send is closed.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// A deadline that is missed by so much means that we slept: suspended, stopped, or in a machine that was.
pub const SLEPT: Duration = Duration::from_secs(60);
/// A peer in doubt whose system acknowledges nothing for so long is gone: with the usual way there and back,
/// a lost packet is sent again three times by then.
pub const DOUBT_LIMIT: Duration = Duration::from_secs(2);
/// Changes of the network call all peers into doubt this often at most: an interface that comes up brings
/// half a dozen of them.
pub const DOUBT_EVERY: Duration = Duration::from_secs(3);
/// More peers than this are not asked all at once, but over this time.
pub const DOUBTED_AT_ONCE: usize = 16;
pub const DOUBT_SPREAD: Duration = Duration::from_secs(1);
/// After such a change those who are known to have been there are dialled within this time.
pub const FORGIVEN_WITHIN: Duration = Duration::from_secs(1);
/// The interfaces are listed this often at most, however often they change.
pub const INTERFACES_EVERY: Duration = Duration::from_millis(250);
/// Longer waits than this end when the machine wakes up.
pub const LONG_WAIT: Duration = Duration::from_secs(1);
/// A dial that has not connected.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first stop signal to the end of the process.
pub const STOP_WITHIN: Duration = Duration::from_millis(1500);
/// The once-a-second timer.
pub const TICK: Duration = Duration::from_secs(1);

/// Cores that a peer has opened in vain which are remembered, for the case that they are added.
pub const REFUSED_CORES: usize = 64;
/// A core that a peer did not have is opened again after this. Who gets it opens it by itself, as a rule.
pub const REOPEN_AFTER: Duration = Duration::from_secs(300);
/// Connections that are looked at before others have their turn: each may have a keep-alive to send.
pub const PEERS_DUE_AT_ONCE: usize = 128;
/// Cores opened on standing streams before other work has its turn.
pub const OPENED_LATE: usize = 64;

// ── Synchronizer ────────────────────────────────────────────────────────────────────────────────

/// How often the pause of a feed whose disk fails is doubled: from 2 s to 64 s.
pub const PAUSE_DOUBLINGS: u32 = 5;
/// Requests that a new peer gets at once: enough to measure it.
pub const REQUESTS_START: usize = 4;
/// Requests that one peer has unanswered; 64 × 64 KiB fill 100 Mbit/s over 300 ms.
pub const REQUESTS_MAX: usize = 64;
/// The same where blocks are tiny, so that a round trip still moves kilobytes.
pub const REQUESTS_TINY: usize = 256;
/// Bytes of a block up to which it is tiny.
pub const TINY_BLOCK_BYTES: u64 = 1024;
/// Bytes that one peer may owe us; at least two requests are out, however large the blocks.
pub const REQUEST_BYTES_IN_FLIGHT: u64 = 4 * 1024 * 1024;
/// How long requests may wait at a peer before more of them stop making it faster.
pub const REQUEST_QUEUE: Duration = Duration::from_millis(100);
/// Unanswered for so long, a request is given to another peer: at least, at first, and at most.
pub const REQUEST_TIMEOUT_MIN: Duration = Duration::from_secs(2);
pub const REQUEST_TIMEOUT_FIRST: Duration = Duration::from_secs(5);
pub const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Given-up requests remembered per peer, so that a late answer is known for what it is.
pub const REQUESTS_REMEMBERED: usize = 512;
/// A peer that did not answer for a block is asked for it again after at most this.
pub const DECLINED_FOR: Duration = Duration::from_secs(300);
/// Blocks remembered per peer as not answered, divided among its feeds, and of each feed at least.
pub const DECLINED: usize = 4096;
pub const DECLINED_LEAST: usize = 16;
/// In the endgame a second peer is asked for a block when the first has had it for this long.
pub const HEDGE_AFTER: Duration = Duration::from_millis(100);
/// Blocks looked up at a time to be asked of one peer, sorted by rarity.
pub const PICK_WINDOW: usize = 256;
/// Steps from gap to gap in one search for missing blocks; the rest is searched in the next turn.
pub const PICK_STEPS: usize = 4096;
/// Steps of all searches for one peer in one moment, and what a search counts for before its first.
pub const SEARCH_STEPS: usize = 4 * PICK_STEPS;
pub const SEARCH_LEAST: usize = 8;
/// Peers counted for the rarity of a block.
pub const RARITY_PEERS: usize = 32;
/// Wants unanswered on one feed by one peer, as JavaScript peers do it.
pub const WANTS_IN_FLIGHT: u32 = 16;
/// Wants sent for one feed to one peer: 2^32 blocks.
pub const WANT_RANGES: u64 = 4096;
/// Wants are asked for at multiples of this, or JavaScript peers ignore them.
pub const WANT_ALIGN: u64 = 8192;
/// Windows that a peer wants on one feed.
pub const WANT_WINDOWS: usize = 256;
/// Wants of one peer answered at once, and then in a second, besides the first on each feed: each may cost
/// 128 KiB to encode.
pub const WANT_ANSWERS_BURST: u32 = 64;
pub const WANT_ANSWERS_PER_SECOND: u32 = 16;
/// Heap for what one peer says it holds; 1 MiB is 8 million blocks, every other one missing.
pub const PEER_HOLDINGS_BYTES: usize = 1024 * 1024;
/// The same for all peers together.
pub const HOLDINGS_BYTES: usize = 8 * 1024 * 1024;
/// Stored blocks are announced together after this: far below a round trip, far above a block.
pub const ANNOUNCE_AFTER: Duration = Duration::from_millis(20);
/// Requests of one peer that wait here before its socket is not read: the most that a gannet has
/// out. They are small; their blocks are read from the disk when the socket has room.
pub const UPLOAD_REQUESTS: usize = REQUESTS_TINY;
/// Bytes of the blocks they ask for, if there are two or more: further ones are soon enough read
/// when these are on their way.
pub const UPLOAD_BYTES: u64 = 512 * 1024;
/// The same while that peer owes us blocks and must be read on, or both sides would wait for the
/// other to read: what a gannet has out and what it gave up without a word.
pub const UPLOAD_REQUESTS_MUTUAL: usize = REQUESTS_TINY + REQUESTS_REMEMBERED;
/// Requests that may still come from a connection that was told to hold.
pub const UPLOAD_REQUESTS_HARD: usize = UPLOAD_REQUESTS_MUTUAL + DAT_EARLY_MESSAGES;
/// "Do not have it" answers to one peer at once, and then in a second.
pub const REFUSALS_BURST: u32 = 64;
pub const REFUSALS_PER_SECOND: u32 = 16;
/// Blocks that verify but were never asked for, after which the sender is disconnected.
pub const UNASKED_BLOCKS: u64 = 64;
/// Things sent that do not verify, after which the sender is banned.
pub const STRIKES: u32 = 2;
/// Blocks of one peer and feed that fail without a strike while it may have another history of the
/// writer: what it has on its way when the first one fails, twice.
pub const DOUBTED_BLOCKS: u32 = 2 * REQUESTS_TINY as u32;
/// How long it is banned.
pub const BAN: Duration = Duration::from_secs(3600);
/// Bytes a second below which a peer is slow, whatever the others do.
pub const SLOW_PEER_BYTES_PER_SECOND: u64 = 8 * 1024;
/// A peer is slow below the median rate divided by this.
pub const SLOW_PEER_PART: u64 = 8;
/// How long a peer is watched before it is judged; doubles with each verdict and decays.
pub const SLOW_PEER_AFTER: Duration = Duration::from_secs(30);
/// A peer that everybody else waits for may be silent for so long; doubles to 64 s with each verdict
/// and decays.
pub const STALLED_PEER_AFTER: Duration = Duration::from_secs(2);
/// Verdicts in a row that double the patience.
pub const SLOW_PEER_DOUBLINGS: u32 = 5;
/// Between two calls for peers for one feed.
pub const NEED_PEERS_EVERY: Duration = Duration::from_secs(30);
/// Feeds looked at in a second to see whether peers are to be called for: 10,000 that are all alone
/// have their turn within `NEED_PEERS_EVERY`. A look costs some hundred nanoseconds.
pub const CALLS_PER_TICK: usize = 512;
/// Paused feeds for which the disk is asked in a second whether it has room, a system call each.
pub const PAUSED_PER_TICK: usize = 64;
/// A peer whose session is over may still open another feed for this long.
pub const FINISHED_GRACE: Duration = Duration::from_secs(1);
/// Bytes that a block of a feed still unknown is taken to have: what Dat writers cut files into.
pub const BLOCK_ESTIMATE_BYTES: u64 = 64 * 1024;
/// Announced ranges up to this length are sifted for blocks that the peer holds already.
pub const ANNOUNCE_SIFT: u64 = 4096;
/// Ranges announced when a feed begins to be uploaded while peers are there; a peer that asks
/// again hears of everything.
pub const ANNOUNCE_RANGES: usize = 1024;

// ── Swarm ───────────────────────────────────────────────────────────────────────────────────────

/// Addresses remembered for one drive or feed.
pub const CANDIDATES: usize = 4096;
/// Dials under way at a time.
pub const DIALS_AT_ONCE: usize = 4;
/// Dials under way for all topics together.
pub const DIALS: usize = 32;
/// Connections that we dialed for what their peers do not have, and keep in case they get it.
pub const LACKING: usize = 16;
/// Connections that we dialed; as many again may come in.
pub const OUTGOING_CONNECTIONS: usize = 64;
/// Wait after the first failure of an address, doubled after each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
pub const BACKOFF_MAX: Duration = Duration::from_secs(600);
/// 1 s × 2^10 is beyond `BACKOFF_MAX`.
pub const BACKOFF_DOUBLINGS: u32 = 10;
/// A wait is longer or shorter by up to this, so that a network that comes back is not stormed.
pub const BACKOFF_JITTER_PERCENT: u32 = 25;
/// A useful connection of this age makes its address good again.
pub const USEFUL_UPTIME: Duration = Duration::from_secs(15);
/// Banned ids, and banned addresses.
pub const BANS: usize = 1024;
/// Banned peers of one host after which the host is banned.
pub const BANS_OF_HOST: u32 = 3;
/// How long a peer may take to close one of two connections that we opened to it: far beyond any way
/// there and back.
pub const DUPLICATE_PATIENCE: Duration = Duration::from_secs(5);
/// From our hello to the peer's, and from that to its continue: far beyond any way there and back.
pub const HOST_GREETING: Duration = Duration::from_secs(10);
/// Peers below which more are looked for, all topics together; where that ends; and beyond which there
/// are none.
pub const MIN_PEERS: usize = 8;
pub const TARGET_PEERS: usize = 12;
pub const MAX_PEERS: usize = 256;
/// A peer of this age has had time to show what it is worth.
pub const PEER_GRACE: Duration = Duration::from_secs(60);
/// Between two peers that go in favour of others.
pub const EVICT_EVERY: Duration = Duration::from_secs(10);
/// It is looked this often whether somebody could go.
pub const EVICT_LOOK: Duration = Duration::from_secs(1);
/// Peers that are kept because they are the most useful, or answer fastest; and networks of which one is kept.
pub const USEFUL_KEPT: usize = 8;
pub const FAST_KEPT: usize = 8;
pub const DIVERSE_KEPT: usize = 8;
/// Addresses of one network (24 bits of IPv4, 48 of IPv6) that came with those who listen there; one more pushes
/// out one of them.
pub const CANDIDATES_OF_NETWORK: usize = 256;
/// Addresses told of by one peer: an answer or two, so that a liar fills no table.
pub const TOLD_BY_ONE: usize = 64;
/// Addresses of its own that a host tells of in a hello: one of each family.
pub const HOST_OWN: usize = 2;
/// Networks of whose word it is remembered where they see us, and for how long when they have left.
pub const SEEN_BY: usize = 32;
pub const SEEN_FOR: Duration = Duration::from_secs(2 * 3600);
/// So many have to agree, and be more than half.
pub const SEEN_LEAST: usize = 3;
/// Addresses told of by all peers together where nobody has answered yet.
pub const TOLD_OF: usize = CANDIDATES / 2;
/// An address that a peer told of is forgotten after so many failures, if nobody ever answered there.
pub const DEAD_AFTER: u32 = 3;
/// Percent of the addresses known that one answer tells of, and how many it may in any case.
pub const SHARED_PERCENT: usize = 23;
pub const SHARED_LEAST: usize = 8;
/// Good peers that are dialed first after a restart.
pub const ANCHORS: usize = 4;
/// Peers are asked for others so long after there were too few, and then at such times, doubled while
/// nothing comes of it: up to 16 minutes.
pub const ASK_FIRST: Duration = Duration::from_secs(2);
pub const ASK_EVERY: Duration = Duration::from_secs(30);
pub const ASK_DOUBLINGS: u32 = 5;
/// How many are asked.
pub const ASKED_AT_ONCE: usize = 3;
/// A peer is told of others this often at most.
pub const ANSWER_EVERY: Duration = Duration::from_secs(10);
/// With enough peers somebody else is looked for this often.
pub const PROBE_EVERY: Duration = Duration::from_secs(120);
/// Topics among which somebody else is looked for at a time.
pub const PROBED_TOPICS: usize = 32;
/// Addresses of peers that wait to be looked at.
pub const UNPROVEN: usize = 64;
/// Who had no room is asked again after this, unless it says otherwise: some peers have left by then.
pub const FULL_AGAIN: Duration = Duration::from_secs(60);
/// The same where nobody else was named.
pub const FULL_SOON: Duration = Duration::from_secs(5);
/// Who wants what is paused here is told to come again after this, if nothing else is opened for so long. So
/// many of them are dialled when it goes on.
pub const PAUSED_AGAIN: Duration = Duration::from_secs(60);
pub const PAUSED_GRACE: Duration = Duration::from_secs(2);
pub const PAUSED_CALLERS: usize = 64;
/// Who speaks no version of ours, after this: somebody has to install another program first.
pub const VERSION_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Who does not want us, or whom we do not want, after this: somebody may have changed their mind.
pub const REFUSED_AGAIN: Duration = Duration::from_secs(3600);
/// That one of two does not want the other is said this often, for each peer and reason.
pub const DECLINED_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Of so many it is remembered that it was said; of more it is not said.
pub const DECLINED_SAID: usize = 256;
/// Last words that wait for their sockets: those of what is closed in a turn or two.
pub const FAREWELLS: usize = 256;
/// Processes of gannets that are remembered beside those that are connected.
pub const PROCESSES: usize = 1024;
/// Earlier boots of a process that are known again: two that have one key take turns.
pub const HOST_BOOTS: usize = 4;
/// Bytes of a peer's id.
pub const PEER_ID_BYTES: usize = DAT_ID_BYTES;

// ── Poll loop ───────────────────────────────────────────────────────────────────────────────────

/// Unsent bytes of a connection below which more frames are pulled: little enough that a Cancel
/// still overtakes, enough that a fast socket does not run dry between two turns.
pub const SEND_LOW_BYTES: usize = 16 * 1024;
/// Unsent bytes of all connections together; above it only empty connections pull, in turn.
pub const SEND_MEMORY_BYTES: usize = 8 * 1024 * 1024;
/// Receive buffers of all connections together, a frame of the largest size and two of the usual
/// large ones; above it frames larger than `LARGE_FRAME_BYTES` take turns.
pub const RECEIVE_MEMORY_BYTES: usize = FRAME_BYTES + 2 * 1024 * 1024;
/// Bytes of one received frame with its length prefix.
pub const FRAME_BYTES: usize = HYPER_FRAME_BYTES + 3;
/// Connections and dials of one process: a router has 1024 descriptors, files need some too.
pub const CONNECTIONS: usize = 512;
/// The most that can be asked for: that many descriptors, and 200 MB.
pub const CONNECTIONS_MOST: usize = 16 * 1024;
/// Connections above the bound that are accepted to be closed at once, rather than to wait for an answer
/// that does not come.
pub const REFUSED_AT_ONCE: usize = 64;
/// Descriptors beside connections: files of feeds, sockets, watches.
pub const DESCRIPTORS_BESIDE: usize = 6 * FEEDS_AWAKE + 64;
/// Connections accepted in one turn, so that a flood of them leaves time for the others.
pub const ACCEPTS_PER_TURN: usize = 8;
/// No accepting for this long after descriptors ran out; trying at once would spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// From a flushing close to the end of the socket.
pub const LINGER: Duration = Duration::from_secs(1);
/// Datagrams read from one socket in one turn.
pub const DATAGRAMS_PER_TURN: usize = 32;
/// Errors of a UDP socket in one turn after which it waits for its next one.
pub const SOCKET_ERRORS: usize = 4;
/// Bytes of a datagram; UDP has no longer ones.
pub const DATAGRAM_BYTES: usize = 64 * 1024;
/// File system events handled in one turn.
pub const WATCH_EVENTS_PER_TURN: usize = 256;
/// Cost units (bytes) of background work in a turn with nothing else to do: about 1 ms of hashing.
pub const WORK_IDLE_COST: usize = 1024 * 1024;
/// Cost units of background work in a turn while connections are busy: as much as one of them gets.
pub const WORK_BUSY_COST: usize = 128 * 1024;
/// Cost units of a turn above which what else is queued waits for the next one: some milliseconds of
/// moving bytes, more of system calls.
pub const TURN_COST: usize = 1024 * 1024;
/// What a frame is charged beside its bytes.
pub const COST_OF_FRAME: usize = 1024;
/// What a system call is charged in cost units: the bytes that could be copied in that time.
pub const COST_OF_CALL: usize = 1024;
/// Work that waits for the disk is tried again after this: the answer time of a good SSD.
pub const WORK_RETRY_MIN: Duration = Duration::from_micros(200);
/// The longest wait before work that waits for the disk is tried again: half a disk's seek.
pub const WORK_RETRY_MAX: Duration = Duration::from_millis(5);
/// What passes in one go under a rate: the bytes of this time, and at least so many, or those of a second
/// where that is less. More often the loop is not woken for it.
pub const RATE_PIECE: Duration = Duration::from_millis(25);
pub const RATE_PIECE_BYTES: usize = 1024;
/// What was not used in this time is not lost: the loop may be late.
pub const RATE_AHEAD: Duration = Duration::from_millis(50);
/// Beyond this it is forgotten what passed above a rate because it was the least that flows: who connects
/// again and again cannot shut the rate for longer.
pub const RATE_DEBT: Duration = Duration::from_secs(120);
/// Bytes a second that flow on a connection whatever the rates say, how many of them at a time, and how many
/// in all, each way: what a handshake, two hellos and some cores need, in a second or two.
pub const RATE_FLOOR: u64 = 512;
pub const RATE_FLOOR_PIECE: usize = 256;
pub const RATE_CREDIT: u64 = 2048;
/// The same from there on: nobody is taken for dead.
pub const RATE_TRICKLE: u64 = 4;
pub const RATE_TRICKLE_PIECE: usize = 32;
/// What has flowed anyhow puts the next of these off by no more than this.
pub const RATE_FLOOR_DEBT: Duration = Duration::from_secs(2);
/// The least rate that can be asked for, in bytes a second: less is a unit forgotten.
pub const RATE_LEAST: u64 = 64;
/// A timer's delay in ticks of 1 ms; the wheel fires early near 2^32.
pub const TIMER_TICKS: u64 = 1 << 31;
/// Bytes of a frame that is received whatever others do: a common block with its proof, twice over.
pub const LARGE_FRAME_BYTES: usize = 128 * 1024;
/// How long a large frame may take while others wait for the memory it holds: 8 MiB at 280 KB/s.
pub const LARGE_FRAME_TURN: Duration = Duration::from_secs(30);
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
/// What a block costs in a request beside its bytes: quotes, comma, and the room base64 takes for
/// an empty one, so that a batch of empty lines is bounded too.
pub const CONTROL_BLOCK_OVERHEAD: usize = 8;
/// Bytes of a single block that can be appended through the control socket.
pub const CONTROL_BLOCK_BYTES: usize = 1024 * 1024;
/// Bytes of an answer that the client takes: a status of thousands of peers fits.
pub const CONTROL_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of standard input appended to a feed between two syncs, while more is waiting.
pub const APPEND_COMMIT_BYTES: usize = 8 * 1024 * 1024;
/// Names tried for a damaged file that is set aside.
pub const SET_ASIDE_NAMES: u32 = 100;
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

// ── Hosts on the local network ──────────────────────────────────────────────────────────────────

/// Bytes of a datagram between hosts: what no link cuts into pieces.
pub const LAN_DATAGRAM_BYTES: usize = 1200;
/// Bytes of a host's record, signature included: with the rest of a datagram around it.
pub const LAN_RECORD_BYTES: usize = 1000;
/// Addresses in a record; a host with more says the first.
pub const LAN_ADDRESSES: usize = 16;
/// Bytes to which a ping is filled up, so that its answer with a record of many addresses is shorter.
pub const LAN_PING_BYTES: usize = 640;
/// Hosts that are known; each process of a host is one entry.
pub const LAN_HOSTS: usize = 1024;
/// Processes of one host among them: a key shall not fill the table.
pub const LAN_INSTANCES: usize = 8;
/// Live ones behind one address, as a router has them that translates addresses.
pub const LAN_HOSTS_PER_ADDRESS: usize = 16;
/// Records that hosts behind one network prefix told of others.
pub const LAN_TOLD_PER_GROUP: usize = 64;
/// Addresses of one host at which it has answered.
pub const LAN_PROVEN: usize = 4;
/// How long a record holds after it was heard, at most, and when its host tells it anew.
pub const LAN_RECORD_TTL: Duration = Duration::from_secs(2 * 3600);
pub const LAN_REPUBLISH: Duration = Duration::from_secs(3600);
/// Between two pings to everybody, in milliseconds.
pub const LAN_PING_EVERY_MS: (u64, u64) = (30_000, 60_000);
/// A ping is repeated after these: Wi-Fi loses what goes to a group.
pub const LAN_PING_REPEATS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Milliseconds that an answer to a stranger waits at most, so that 200 hosts do not answer at once.
pub const LAN_PONG_DELAY_MS: u64 = 250;
/// Answers that wait.
pub const LAN_PONGS_WAITING: usize = 256;
/// Not heard for so long, a host is pinged itself: longer than from one ping to everybody to the next.
pub const LAN_SILENCE: Duration = Duration::from_secs(75);
/// One that does not answer is asked again after this.
pub const LAN_SILENT_AGAIN: Duration = Duration::from_secs(600);
/// Hosts that are asked themselves at a time.
pub const LAN_ASKED_AT_ONCE: usize = 16;
/// Signatures of datagrams that are checked in a second, and at once after a rest: a check costs 0.1 ms.
pub const LAN_VERIFIED_PER_SECOND: u32 = 50;
pub const LAN_VERIFIED_BURST: u32 = 100;
/// What of that is for addresses where nobody is known.
pub const LAN_STRANGERS_PER_SECOND: u32 = 40;
pub const LAN_STRANGERS_BURST: u32 = 80;
/// The same for one address, and the addresses that are told apart.
pub const LAN_SOURCE_PER_SECOND: u32 = 5;
pub const LAN_SOURCE_BURST: u32 = 10;
pub const LAN_SOURCES: usize = 256;
/// A datagram of a stranger may be so much older than it says, where clocks are set at all.
pub const LAN_CLOCK_TOLERANCE: Duration = Duration::from_secs(600);
/// A datagram is good for this long after it was said.
pub const LAN_EXPIRES_AFTER: Duration = Duration::from_secs(60);
/// A calendar clock that shows less was never set: 2024-01-01, in milliseconds since 1970.
pub const LAN_CLOCK_IS_SET_MS: i64 = 1_704_067_200_000;
/// What we drew for others to repeat is good for this long, and as long again.
pub const LAN_ECHO_EPOCH: Duration = Duration::from_secs(30);
/// The same for the right to store.
pub const LAN_TOKEN_EPOCH: Duration = Duration::from_secs(300);
/// Between two answers to one host that a command is not known.
pub const LAN_UNSUPPORTED_EVERY: Duration = Duration::from_secs(60);
/// Processes that have left which are remembered, so that nothing late brings one back.
pub const LAN_LEFT: usize = 64;
/// Hosts to which the word of one that left is passed on.
pub const LAN_PASSED_ON: usize = 3;
/// Contacts in an answer, and the closest hosts that a search wants to have asked.
pub const LAN_CLOSEST: usize = 8;
/// Hosts asked at a time in one search, and how long each has.
pub const LAN_SEARCH_WIDTH: usize = 3;
pub const LAN_HOP_TIMEOUT: Duration = Duration::from_secs(2);
/// A contact that was told of by one that was told of, and so on: a search goes no deeper.
pub const LAN_HOPS: u32 = 20;
/// Hosts that are told to stop at a time, how often each, and with which pause.
pub const LAN_SHUTDOWNS: usize = 16;
pub const LAN_SHUTDOWN_TRIES: u32 = 4;
pub const LAN_SHUTDOWN_AGAIN: Duration = Duration::from_millis(500);
/// A search that takes longer is over: all contacts, one after the other, and then some.
pub const LAN_SEARCH_WITHIN: Duration = Duration::from_secs(60);
/// Contacts remembered in one search.
pub const LAN_SEARCH_CONTACTS: usize = 64;
/// Searches at a time.
pub const LAN_SEARCHES: usize = 8;
/// What was not found is not searched for again before this, and the names remembered for that.
pub const LAN_MISSING_FOR: Duration = Duration::from_secs(30);
pub const LAN_MISSING: usize = 64;
/// Hosts to which we are connected that can be asked.
pub const LAN_PEERS: usize = 64;
/// A new record is stored with others after this: who they are is known by then.
pub const LAN_PUBLISH_AFTER: Duration = Duration::from_secs(20);
/// A run that has begun writes the table after this at the earliest.
pub const LAN_KEEP_SETTLED: Duration = Duration::from_secs(10);
/// Between two writes of the table, and two warnings of one kind.
pub const LAN_KEEP_EVERY: Duration = Duration::from_secs(300);
pub const LAN_WARN_EVERY: Duration = Duration::from_secs(600);
/// Bytes of its file: so many of the largest records, each with its addresses.
pub const LAN_KEPT_BYTES: usize = LAN_HOSTS * (LAN_RECORD_BYTES + 128) + 64;
/// Drives and feeds to which the address of a host is offered.
pub const LAN_TOPICS: usize = 256;

// ── Feeds and their store ───────────────────────────────────────────────────────────────────────

/// Bits of a `Bitfield` page: 512 bytes, so that ten lone bits stay under 16 KB.
pub const BITS_PER_PAGE: u64 = 4096;
/// Blocks of a feed: its files stay below 16 TiB, the least that common file systems allow.
pub const FEED_BLOCKS: u64 = 1 << 32;
/// Depth of the node above all blocks of the longest feed.
pub const FEED_DEPTH: u32 = FEED_BLOCKS.ilog2();
/// Signatures looked for below a root when the likely one is missing: a few pages of the file.
pub const SIGNATURES_TRIED: usize = 1024;
/// Pages of a feed's `tree` in memory, 128 nodes or 5 KiB each: several times what one proof needs.
pub const STORE_TREE_PAGES: usize = 128;
/// Pages of a feed's `signatures` in memory, 128 of them or 8 KiB each.
pub const STORE_SIGNATURE_PAGES: usize = 8;
/// Bytes written in one go after which the device is told to begin: a flash chip's favourite size,
/// and little enough that the sync of a commit waits for milliseconds.
pub const WRITE_BACK_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of a feed's blocks kept to be written together.
pub const STORE_DATA_BYTES: usize = 256 * 1024;
/// Separate places of the `data` file that they may lie at.
pub const STORE_DATA_RUNS: usize = 64;
/// Pages of the `bitfield` file read at once.
pub const STORE_BITFIELD_PAGES: usize = 16;
/// Signatures of longer trees looked at after an unclean stop.
pub const RECOVERY_SIGNATURES: u64 = 4096;
/// Bytes of the file that holds the evidence of a fork: a signature, with its length where it may be
/// a core's, and at most 64 roots.
pub const FORK_BYTES: usize = 2 * 8 + 4 + HYPER_SIGNATURE_BYTES + 64 * 48;
/// Bytes of a block that a store reads or takes from a peer.
pub const STORE_BLOCK_BYTES: usize = HYPER_BLOCK_BYTES;
/// Bytes of a slot of a core's head file: the longest signature container and what goes with it, in
/// whole pages, so that a torn write of one never reaches the other.
pub const STORE_HEAD_BYTES: usize = HYPER_SIGNATURE_BYTES + 4096;
/// Nodes that are taken over with another history: those of one narrowing after another, each with two
/// nodes a level, come to about half of this.
pub const STORE_REORG_NODES: usize = 2048;
/// Ranges of blocks that a seed remembers as dropped, for each feed, and those whose space is not given
/// back yet besides; with more of them the smallest gaps are closed. 16 bytes each in memory and a few
/// more, some 4 on disk.
pub const STORE_DROPPED_RANGES: usize = 16 * 1024;
/// Bytes of the list of them, were each number as long as numbers of blocks can be.
pub const STORE_DROPPED_BYTES: usize = 2 * STORE_DROPPED_RANGES * 2 * 5 + 64;
/// Bytes of the record of such a change: a head, those nodes, a number and a checksum.
pub const STORE_REORG_BYTES: usize = STORE_HEAD_BYTES + 48 * STORE_REORG_NODES + 64;
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

/// Keys in a node of a hyperbee; JavaScript writes at most 8.
pub const HYPER_BEE_KEYS: usize = 64;
/// Nodes of a hyperbee in one block. One put writes those on its way and what it splits; only other
/// writers have thousands.
pub const HYPER_BEE_LEVELS: usize = 1 << 16;
/// Levels of a hyperbee: 2^32 keys take 14.
pub const HYPER_BEE_DEPTH: usize = 32;
/// Bytes of blocks with many nodes that are kept while one hyperbee is read or written; one larger than
/// that is kept alone.
pub const HYPER_BEE_KEPT: usize = 1024 * 1024;
/// Puts and deletes appended to a hyperbee at once.
pub const HYPER_BEE_BATCH: usize = 4096;
/// Entries of a drive appended to its bee at once: the nodes that they changed stand in one block,
/// which is read for each of them again.
pub const BEE_BATCH_ENTRIES: usize = 512;
/// Bytes of a hyperdrive's entry: its record, a link's target and whatever an application adds.
pub const HYPER_ENTRY_BYTES: usize = 64 * 1024;
/// Blocks of a blob's map; JavaScript reads no more.
pub const HYPER_MAP_BLOCKS: u64 = 64;
/// Chunks that one of them names.
pub const HYPER_MAP_CHUNKS: usize = 8192;
/// Bytes of one of them: version, count, and two integers a chunk.
pub const HYPER_MAP_BLOCK_BYTES: u64 = 16 + 18 * HYPER_MAP_CHUNKS as u64;
/// Chunks of a blob that are remembered so that equal ones are stored once: about 3 MB. Those of 64 KiB
/// are 4 GB.
pub const HYPER_DEDUP_CHUNKS: usize = 1 << 16;

// ── Linux ───────────────────────────────────────────────────────────────────────────────────────

/// Bytes of directory entries fetched in one call.
pub const LIST_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes the kernel is asked to read ahead of a run of reads that met a cold cache.
pub const READ_AHEAD_BYTES: u64 = 1024 * 1024;
/// Bytes of one read that may wait for the device: a few milliseconds of a slow one.
pub const WAITING_READ_BYTES: usize = 128 * 1024;
/// Reads of one place put off before it is read in spite of waiting: 0.3 s at the retry's pace.
pub const NOT_YET_TRIES: u32 = 64;
/// Places of a file for which that is counted.
pub const NOT_YET_PLACES: usize = 8;
/// Tries to open a path while something in it is being renamed.
pub const OPEN_TRIES: u32 = 16;
/// Symbolic links followed in one path, as the kernel has it.
pub const SYMLINKS: usize = 40;
/// Events taken from the kernel in one wait; the rest comes with the next.
pub const EVENTS: usize = 256;
/// Connections that wait to be accepted.
pub const BACKLOG: i32 = 128;
/// Bytes of file system events fetched in one call: a few hundred names.
pub const WATCH_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of a message of the routing socket; the kernel sends at most 32 KiB at once.
pub const NETLINK_BYTES: usize = 32 * 1024;
/// Waits shorter than this are not rounded up to a whole millisecond.
pub const FINE_WAIT: Duration = Duration::from_millis(2);
/// Bytes of a Unix socket's path, with its end; longer ones go through a directory handle.
pub const UNIX_PATH_BYTES: usize = 108;
// ── Node ────────────────────────────────────────────────────────────────────────────────────────

/// Blocks of a seed that are dropped together, and how many of such pieces that were wanted last are
/// remembered (some 100 bytes each); which of the others goes first is as it comes.
pub const QUOTA_BLOCKS: u64 = 64;
pub const QUOTA_RECENT: usize = 16 * 1024;
/// Pieces that are dropped, and feeds that are counted, before other work has its turn.
pub const QUOTA_AT_ONCE: usize = 64;
/// Feeds whose space is given back before other work has its turn: each waits for the device.
pub const QUOTA_GIVEN_AT_ONCE: usize = 4;
/// Of a feed that lacks more than this part of the bound nothing more is fetched once the store is full.
pub const QUOTA_NEW: u64 = 4;
/// The least bound that can be asked for, in bytes: less is a unit forgotten.
pub const QUOTA_LEAST: u64 = 1024 * 1024;
/// What file systems give back is a multiple of this, in bytes.
pub const DISK_PAGE: u64 = 4096;
/// The quota's share that is made free at once, so that it is not looked for with every block, and the
/// most of that in bytes.
pub const QUOTA_SLACK: u64 = 16;
pub const QUOTA_SLACK_BYTES: u64 = 64 * 1024 * 1024;

/// Feeds whose files may be open at once, five of them each; the others are opened when they are needed.
pub const FEEDS_AWAKE: usize = 64;
/// Content feeds of drives that are being opened at a time, with some open files each.
pub const OPENINGS: usize = 8;

/// The port of Dat peers.
pub const DAT_PORT: u16 = 3282;
/// What was stored is made durable this long after the first byte that is not.
pub const COMMIT_EVERY: Duration = Duration::from_secs(2);
/// … or as soon as so many bytes of a feed wait for it.
pub const COMMIT_BYTES: usize = 64 * 1024 * 1024;
/// Feeds made durable before other work has its turn: each syncs up to five files, some milliseconds each.
pub const COMMITS_AT_ONCE: usize = 4;
/// Free space at which a feed that met a full disk goes on: two of the largest blocks and what the
/// tree and bitfields of the next commits take.
pub const RESUME_SPACE_BYTES: u64 = 20 * 1024 * 1024;
/// A host name, as DNS bounds it.
pub const HOST_NAME_BYTES: usize = 253;
/// Between the dials of two addresses of one name (RFC 8305).
pub const NAME_TURN: Duration = Duration::from_millis(250);
/// A name of which an address has failed is looked up again after this.
pub const NAME_SOON: Duration = Duration::from_secs(5);
/// A name of a peer is looked up again after this, if nobody is connected.
pub const NAME_AGAIN: Duration = Duration::from_secs(60);
/// A job that met a full disk is tried again after this.
pub const FULL_RETRY: Duration = Duration::from_secs(5);
/// Working files of a drive kept open for serving or writing.
pub const DRIVE_OPEN_FILES: usize = 8;
/// Files whose claimed blocks overlap that are looked at for one block; honest files never overlap.
pub const DRIVE_OVERLAPS: usize = 8;
/// Leaves of content that wait for one signature: 256 MiB of a big file.
pub const IMPORT_LEAVES: usize = 4096;
/// Entries that wait to be written together.
pub const IMPORT_ENTRIES: usize = 4096;
/// Bytes of entries appended under one signature.
pub const IMPORT_ENTRY_BYTES: usize = 1 << 20;
/// Names of a directory listed and sorted at a time.
pub const SCAN_NAMES: usize = 16 * 1024;
/// Changed paths remembered; with more the folder is looked at as a whole.
pub const CHANGED_PATHS: usize = 4096;
/// A file modified but not closed is taken when it has not changed for this long.
pub const STILL_FOR: Duration = Duration::from_secs(2);
/// From the end of a write to looking at the file.
pub const CLOSED_SETTLE: Duration = Duration::from_millis(30);
/// From a name's appearing to looking at it: it may be written to first.
pub const APPEARED_SETTLE: Duration = Duration::from_millis(200);
/// From a name's vanishing to deleting the entry: editors replace files that way.
pub const VANISHED_SETTLE: Duration = Duration::from_millis(250);
/// A file whose time is this close to now may change without its time or size telling.
pub const RACY_MTIME: Duration = Duration::from_secs(5);
/// Between two looks at the whole folder, however many events were lost.
pub const RESCAN_AFTER: Duration = Duration::from_secs(10);
/// Between two looks at a folder that cannot be watched.
pub const POLL_FOLDER: Duration = Duration::from_secs(60);
/// Symbolic links of a folder that are followed: each may show a whole directory once more.
pub const LINKS_FOLLOWED: usize = 4096;
/// Links to directories on the way to one path.
pub const LINKS_NESTED: usize = 4;
/// Skipped paths remembered so that each is reported once.
pub const SKIPPED_PATHS: usize = 1024;
/// Complete files of a clone put in place after one sync.
pub const MIRROR_BATCH_FILES: usize = 1024;
/// How long a complete file waits for others before the sync.
pub const MIRROR_BATCH_WAIT: Duration = Duration::from_millis(150);
/// Bytes placed after which the clone syncs them and commits their bits.
pub const MIRROR_COMMIT_BYTES: u64 = 64 << 20;
/// Names tried for a user's file that is kept beside.
pub const KEPT_NAMES: u32 = 1000;
/// Entries remembered of a file beside the one that was put in place last: as often a clone may be
/// killed between saying so and doing it.
pub const JOURNAL_BEFORE: usize = 8;
/// Bytes of the clone's list of files in place (16 each).
pub const JOURNAL_BYTES: u64 = 16 << 20;
/// Tried addresses and bans are written at most this often while they change.
pub const KEEP_PEERS_EVERY: Duration = Duration::from_secs(60);
/// What cannot be opened is tried again after this, and that doubled so often at most: soon for a disk that is
/// mounted late, and no load where nobody mends it.
pub const OPEN_AGAIN: Duration = Duration::from_secs(5);
pub const OPEN_DOUBLINGS: u32 = 6;
/// Bytes of a configuration file: thousands of drives.
pub const CONFIG_BYTES: usize = 4 * 1024 * 1024;
/// Whoever adds something waits this long for it to be open.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of the list of bans, each of them at most 60.
pub const KEPT_BANS_BYTES: usize = 64 * BANS + 64;
/// Things that a daemon keeps; each has some files.
pub const KEPT_ENTRIES: usize = 64 * 1024;
/// Lists and tables in it that stand in each other.
pub const CONFIG_DEPTH: usize = 8;
/// Such files written in a second, or read in one piece of work.
pub const KEPT_AT_ONCE: usize = 8;
/// Bytes of that file: 4,096 addresses, bans of 1,024 ids, addresses and hosts, and room to spare.
pub const KEPT_PEERS_BYTES: usize = 640 * 1024;
/// A run that is to end (`--once`, `core get`) gives up if it has met nobody by then.
pub const NO_PEERS_AFTER: Duration = Duration::from_secs(60);
