//! The loop's quanta and bounds as values, so that a simulation can draw them from its seed.

use std::time::Duration;

use crate::limits;

use super::rates::Rates;

/// How much of everything the loop does in one go. Any value from 1 on works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Bytes read from one socket in one turn.
    pub read_quantum: usize,
    /// Bytes written to one socket in one turn.
    pub write_quantum: usize,
    /// Frames handled for one connection in one turn.
    pub frame_quantum: usize,
    /// Frames are pulled when fewer unsent bytes than this are left on a connection.
    pub send_low: usize,
    /// Bytes of frames asked for in one pull.
    pub send_room: usize,
    /// Unsent bytes of all connections together above which only empty ones may pull, in turn.
    pub send_memory: usize,
    /// Bytes of one frame that is being received; a connection that needs more is closed.
    pub frame_bytes: usize,
    /// Receive buffers of all connections together; above it large frames take turns.
    pub receive_memory: usize,
    /// Connections, dials included, above which nothing is accepted.
    pub connections: usize,
    /// Connections accepted in one turn.
    pub accepts: usize,
    /// No accepting for this long after the descriptors ran out.
    pub accept_pause: Duration,
    /// A dial that has not connected.
    pub dial_timeout: Duration,
    /// From a flushing close to the end of the socket.
    pub linger: Duration,
    /// A socket that takes no byte for this long while there is something to send is closed.
    pub write_stall: Duration,
    /// Datagrams read from one socket in one turn.
    pub datagrams: usize,
    /// File system events handled in one turn.
    pub watch_events: usize,
    /// Cost units of background work in a turn with nothing else to do.
    pub work_idle: usize,
    /// Cost units of background work in a turn while connections are busy.
    pub work_busy: usize,
    /// Cost units of a turn above which what else is queued waits for the next one.
    pub turn_cost: usize,
    /// Background work that waits for the disk is tried again after this, doubling…
    pub work_retry_min: Duration,
    /// … up to this.
    pub work_retry_max: Duration,
    /// Rates at the start; see `Reactor::set_rates`.
    pub rates: Rates,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            read_quantum: limits::READ_QUANTUM_BYTES,
            write_quantum: limits::WRITE_QUANTUM_BYTES,
            frame_quantum: limits::FRAME_QUANTUM,
            send_low: limits::SEND_LOW_BYTES,
            send_room: limits::WRITE_QUANTUM_BYTES,
            send_memory: limits::SEND_MEMORY_BYTES,
            frame_bytes: limits::FRAME_BYTES,
            receive_memory: limits::RECEIVE_MEMORY_BYTES,
            connections: limits::CONNECTIONS,
            accepts: limits::ACCEPTS_PER_TURN,
            accept_pause: limits::ACCEPT_PAUSE,
            dial_timeout: limits::DIAL_TIMEOUT,
            linger: limits::LINGER,
            write_stall: limits::WRITE_STALL,
            datagrams: limits::DATAGRAMS_PER_TURN,
            watch_events: limits::WATCH_EVENTS_PER_TURN,
            work_idle: limits::WORK_IDLE_COST,
            work_busy: limits::WORK_BUSY_COST,
            turn_cost: limits::TURN_COST,
            work_retry_min: limits::WORK_RETRY_MIN,
            work_retry_max: limits::WORK_RETRY_MAX,
            rates: Rates::default(),
        }
    }
}
