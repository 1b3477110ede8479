//! What the poll loop drives. The node is the one engine of the daemon; tests drive the same loop
//! with a few lines of their own.

use crate::ids::ConnId;
use crate::node::io::{Consumed, Input, Output, Work};
use crate::store::disk::Disk;
use crate::time::Instant;

/// A pure state machine behind the poll loop.
///
/// After each call that may change it, the loop takes every [`Output`] before it does anything else,
/// so an engine sees the effects of one call settled before the next one begins.
pub trait Engine {
    /// Something happened. Called with [`Input::Deadline`] once a turn while `next_deadline` is due.
    fn handle(&mut self, now: Instant, input: Input<'_>, disk: &mut dyn Disk);

    /// Bytes that came in on `conn`, from the first one not yet consumed on; they may be changed in
    /// place (decrypted), the loop keeps what is not consumed as it is and gives it again with more
    /// behind it. The engine may handle one frame or several in a call; the loop calls again until
    /// the buffer is empty, nothing is consumed, `hold` is set or the frame quantum is used up.
    fn bytes(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &mut [u8],
        disk: &mut dyn Disk,
    ) -> Consumed;

    /// Appends encoded frames for `conn` to `out` until more than `room` bytes were added or
    /// nothing is left to send. `out` may hold unsent bytes already; they must not be touched.
    /// After a call that added nothing the loop does not ask again before [`Output::Wake`].
    fn poll_frames(
        &mut self,
        now: Instant,
        conn: ConnId,
        out: &mut Vec<u8>,
        room: usize,
        disk: &mut dyn Disk,
    );

    /// Does background work worth about `budget` cost units (a unit is a byte touched; see
    /// `limits::COST_OF_CALL` for a system call).
    fn work(&mut self, now: Instant, budget: usize, disk: &mut dyn Disk) -> Work;

    /// The next thing to do for the engine, until none is left.
    fn poll_output(&mut self) -> Option<Output>;

    /// When the engine wants [`Input::Deadline`]; `None`: never, as things stand.
    fn next_deadline(&mut self) -> Option<Instant>;
}
