//! The poll loop: sockets, timers, datagrams, programs and background work, one bounded share of
//! each in turn. It carries bytes between a [`Sys`] and an [`Engine`] and knows no message, feed or
//! folder; it makes no system call of its own, so that the simulator runs this very code.
//!
//! One [`Reactor::turn`]:
//! * sleep until something is ready, the next deadline, or not at all while anything is queued;
//! * read the clock once: the whole turn sees this time;
//! * mark what is ready. Events only mark: the mark stays until the system says `WouldBlock`;
//! * signals, programs that ended, timers that are due;
//! * the run queue: each thing stands in it at most once and gets a quantum;
//! * background work with what budget is left; at last, accept a few connections.
//!
//! After every call into the engine all its outputs are carried out.

mod conn;
pub mod engine;
mod gate;
mod limited;
mod outputs;
pub mod rates;
mod sources;
mod stream;
pub mod timers;
pub mod tuning;

pub use engine::Engine;
pub use rates::Rates;
pub use tuning::Tuning;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use crate::few::Few;
use crate::ids::ConnId;
use crate::limits;
use crate::node::io::{Input, Tag, Work};
use crate::store::disk::Disk;
use crate::sys::{Event, Handle, Interface, Route, Sys};
use crate::time::Instant;

use conn::{Conns, Spare};
use gate::Gate;
use rates::{Line, Way};
use timers::Timers;

/// When the loop has something to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// At once: the next turn does not sleep.
    Now,
    /// At this time, if no event comes first.
    At(Instant),
    /// Only when an event comes.
    Never,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rounds of the loop.
    pub turns: u64,
    /// Turns that were allowed to sleep before they began.
    pub wakeups: u64,
    /// Cost units of all turns: bytes moved, and `limits::COST_OF_CALL` for each system call.
    pub cost: u64,
    /// Cost units of the longest turn.
    pub longest_turn: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Calls of `Sys::read` and `Sys::write`.
    pub reads: u64,
    pub writes: u64,
    pub accepted: u64,
    /// Times a listener paused because descriptors or memory ran out.
    pub accept_pauses: u64,
    pub dialed: u64,
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    /// Datagrams that the socket would not take.
    pub datagrams_dropped: u64,
    /// Connections closed because receive buffers were full and their frame took too long.
    pub evicted: u64,
}

/// The poll loop over a system and an engine.
pub struct Reactor<S: Sys, E: Engine> {
    sys: S,
    engine: E,
    tuning: Tuning,
    /// The time of this turn.
    now: Instant,
    conns: Conns,
    dials: Few<Tag, Dial>,
    /// Listeners and UDP sockets.
    sockets: Few<Tag, Socket>,
    watcher: Option<Watcher>,
    interfaces: Option<Interfaces>,
    /// Programs that run, by the system's number.
    programs: Few<u32, Tag>,
    /// Whose handle it is.
    handles: BTreeMap<Handle, Source>,
    queue: VecDeque<Source>,
    timers: Timers<Due>,
    gate: Gate,
    /// Who waits for the rates of all, up and down.
    lines: [Line; 2],
    work: Pace,
    /// The engine was called since its last `work`.
    touched: bool,
    exit: Option<i32>,
    stats: Stats,
    /// Cost units of this turn so far.
    cost: usize,
    // Buffers kept from turn to turn.
    events: Vec<Event>,
    due: Vec<Due>,
    scratch: Vec<u8>,
    datagram: Vec<u8>,
    /// What all receive buffers are charged with.
    inbox_bytes: usize,
    /// Grows beyond the bound on them, for now.
    large_turn: Option<ConnId>,
    /// Wait to be next.
    crowded: VecDeque<ConnId>,
    inboxes: Spare,
    outboxes: Spare,
}

/// Something that can be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Conn(ConnId),
    Dial(Tag),
    Listener(Tag),
    Datagrams(Tag),
    Watcher,
    Interfaces,
}

/// A timer of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A dial took too long.
    Dial(Tag),
    /// A flushing close took too long.
    Linger(ConnId),
    /// A peer may have taken nothing for too long.
    Stall(ConnId),
    /// A listener may try again.
    Accept(Tag),
    /// The interfaces may be listed again.
    Interfaces,
    /// The turn at the gate of send memory is over.
    Gate,
    /// The turn for a large frame took too long.
    Large,
    /// Those who wait for a rate of all: the next one may be called.
    Line(Way),
    /// A connection may let something pass by itself.
    Share(ConnId, Way),
}

struct Dial {
    handle: Handle,
    queued: bool,
    unlimited: bool,
}

enum Socket {
    Listener { handle: Handle, ready: bool, paused: bool },
    Datagrams { handle: Handle, ready: bool, queued: bool },
}

struct Watcher {
    handle: Handle,
    ready: bool,
    queued: bool,
}

struct Interfaces {
    queued: bool,
    last: Option<Vec<Interface>>,
    routes: Option<Vec<Route>>,
    /// When they were last asked for.
    listed: Option<Instant>,
}

/// When background work is called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Idle,
    More,
    /// The disk is awaited: not before `at`, unless something happens.
    Waiting {
        at: Instant,
        after: Duration,
    },
}

impl<S: Sys, E: Engine> Reactor<S, E> {
    pub fn new(mut sys: S, engine: E, tuning: Tuning) -> Reactor<S, E> {
        let now = sys.now();
        Reactor {
            now,
            conns: Conns::default(),
            dials: Few::new(),
            sockets: Few::new(),
            watcher: None,
            interfaces: None,
            programs: Few::new(),
            handles: BTreeMap::new(),
            queue: VecDeque::new(),
            timers: Timers::new(),
            gate: Gate::new(tuning.send_memory),
            lines: Default::default(),
            work: Pace::More,
            touched: true,
            exit: None,
            stats: Stats::default(),
            cost: 0,
            events: Vec::new(),
            due: Vec::new(),
            scratch: vec![0; limits::SMALL_PARTIAL_BYTES + tuning.read_quantum],
            datagram: Vec::new(),
            inbox_bytes: 0,
            large_turn: None,
            crowded: VecDeque::new(),
            inboxes: Spare::default(),
            outboxes: Spare::default(),
            sys,
            engine,
            tuning,
        }
    }

    /// Turns until the engine asks for the end; returns its exit code.
    pub fn run(&mut self) -> io::Result<i32> {
        loop {
            if let Some(code) = self.turn()? {
                return Ok(code);
            }
        }
    }

    /// One round: sleeps until there is something to do (not at all if there is at once), then does
    /// a bounded share of it. Returns the exit code once the engine asked for the end.
    ///
    /// An error means that the system can no longer be asked what is ready.
    pub fn turn(&mut self) -> io::Result<Option<i32>> {
        self.drain();
        if self.exit.is_some() {
            return Ok(self.exit);
        }
        let timeout = match self.wakeup() {
            Wakeup::Now => Some(Duration::ZERO),
            Wakeup::At(at) => Some(at.since(self.sys.now())),
            Wakeup::Never => None,
        };
        if timeout != Some(Duration::ZERO) {
            self.stats.wakeups += 1;
        }
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match self.sys.wait(timeout, &mut events) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        self.now = self.sys.now();
        self.cost = 2 * limits::COST_OF_CALL;
        for event in &events {
            self.mark(*event);
        }
        if events.is_empty() && timeout != Some(Duration::ZERO) {
            // Nothing moves: nobody needs buffers soon.
            self.inboxes = Spare::default();
            self.outboxes = Spare::default();
        }
        self.events = events;

        self.hear_signals();
        self.run_timers();
        for _ in 0..self.queue.len() {
            let Some(source) = self.queue.pop_front() else { break };
            self.serve(source);
            if self.cost > self.tuning.turn_cost {
                // The others come first in the next turn.
                break;
            }
        }
        self.do_work();
        self.accept();

        self.stats.turns += 1;
        self.stats.cost += self.cost as u64;
        self.stats.longest_turn = self.stats.longest_turn.max(self.cost as u64);
        if cfg!(debug_assertions) {
            self.check();
        }
        Ok(self.exit)
    }

    /// When the next turn is needed; the simulator schedules by it.
    pub fn wakeup(&mut self) -> Wakeup {
        if !self.queue.is_empty() || self.touched || self.work == Pace::More || self.can_accept() {
            return Wakeup::Now;
        }
        let retry = match self.work {
            Pace::Waiting { at, .. } => Some(at),
            _ => None,
        };
        let next = [self.timers.next_deadline(), self.engine.next_deadline(), retry];
        match next.into_iter().flatten().min() {
            Some(at) if at <= self.now => Wakeup::Now,
            Some(at) => Wakeup::At(at),
            None => Wakeup::Never,
        }
    }

    /// Lends the engine to the embedder, then carries out what it wants done.
    pub fn with<R>(&mut self, call: impl FnOnce(&mut E, Instant, &mut dyn Disk) -> R) -> R {
        self.now = self.sys.now();
        self.touched = true;
        let result = call(&mut self.engine, self.now, self.sys.disk());
        self.drain();
        result
    }

    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The engine, for what does not change what it wants done; else see `with`.
    pub fn engine_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    /// So many connections from now on; those that are there stay.
    pub fn set_connections(&mut self, most: usize) {
        self.tuning.connections = most;
    }

    /// The system; for what only the embedder knows of it.
    pub fn sys(&mut self) -> &mut S {
        &mut self.sys
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Connections, those on their way out included.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Unsent bytes of all connections.
    pub fn unsent(&self) -> usize {
        self.gate.used()
    }

    /// Asserts what must hold between turns: whatever could go on stands in the run queue, and the
    /// sum of unsent bytes is right. Debug builds and the simulator call it after each turn.
    pub fn check(&self) {
        let mut unsent = 0;
        for (id, conn) in self.conns.iter() {
            unsent += conn.outbox.len();
            let runnable = conn.runnable(self.tuning.send_low);
            assert!(!runnable || conn.queued, "{id:?} could go on but is not queued");
            assert!(
                conn.state == conn::State::Open || conn.inbox.len() == 0,
                "{id:?} closed, keeps bytes"
            );
            assert_eq!(self.handles.get(&conn.handle), Some(&Source::Conn(id)));
        }
        assert_eq!(unsent, self.gate.used());
        assert_eq!(
            self.inbox_bytes,
            self.conns.iter().map(|(_, conn)| conn.charged).sum::<usize>()
        );
        let queued = self.conns.iter().filter(|(_, conn)| conn.queued).count();
        let places = self.queue.iter().filter(|source| matches!(source, Source::Conn(_))).count();
        assert!(places >= queued, "a connection is marked as queued and is not");
        self.check_rates();
    }

    /// A call into the engine, and what it wants done.
    fn tell(&mut self, input: Input<'_>) {
        self.note(input);
        self.drain();
    }

    /// A call into the engine while outputs are being carried out.
    fn note(&mut self, input: Input<'_>) {
        self.touched = true;
        self.engine.handle(self.now, input, self.sys.disk());
    }

    fn mark(&mut self, event: Event) {
        let Some(source) = self.handles.get(&event.handle).copied() else { return };
        match source {
            Source::Conn(id) => {
                if let Some(conn) = self.conns.get(id) {
                    conn.readable |= event.readable;
                    conn.writable |= event.writable;
                }
            }
            Source::Dial(_) => {}
            Source::Listener(tag) | Source::Datagrams(tag) => match self.sockets.get_mut(&tag) {
                Some(Socket::Listener { ready, .. } | Socket::Datagrams { ready, .. }) => {
                    *ready |= event.readable;
                }
                None => {}
            },
            Source::Watcher => {
                if let Some(watcher) = &mut self.watcher {
                    watcher.ready |= event.readable;
                }
            }
            Source::Interfaces => {}
        }
        self.enqueue(source);
    }

    /// Puts `source` into the run queue if it can go on and is not there.
    fn enqueue(&mut self, source: Source) {
        let add = match source {
            Source::Conn(id) => self.conns.get(id).is_some_and(|conn| {
                let runnable = conn.runnable(self.tuning.send_low);
                runnable && !std::mem::replace(&mut conn.queued, true)
            }),
            Source::Dial(tag) => {
                self.dials.get_mut(&tag).is_some_and(|d| !std::mem::replace(&mut d.queued, true))
            }
            // Listeners have their own place in the turn.
            Source::Listener(_) => false,
            Source::Datagrams(tag) => match self.sockets.get_mut(&tag) {
                Some(Socket::Datagrams { ready, queued, .. }) => {
                    *ready && !std::mem::replace(queued, true)
                }
                _ => false,
            },
            Source::Watcher => self
                .watcher
                .as_mut()
                .is_some_and(|w| w.ready && !std::mem::replace(&mut w.queued, true)),
            Source::Interfaces => {
                self.interfaces.as_mut().is_some_and(|i| !std::mem::replace(&mut i.queued, true))
            }
        };
        if add {
            self.queue.push_back(source);
        }
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Conn(id) => self.serve_conn(id),
            Source::Dial(tag) => self.serve_dial(tag),
            Source::Listener(_) => {}
            Source::Datagrams(tag) => self.serve_datagrams(tag),
            Source::Watcher => self.serve_watcher(),
            Source::Interfaces => self.serve_interfaces(),
        }
    }

    fn run_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(self.now, &mut due);
        for timer in due.drain(..) {
            match timer {
                Due::Dial(tag) => self.end_dial(tag, Err(io::ErrorKind::TimedOut.into())),
                Due::Linger(id) => self.remove(id),
                Due::Stall(id) => self.stalled(id),
                Due::Accept(tag) => {
                    if let Some(Socket::Listener { paused, .. }) = self.sockets.get_mut(&tag) {
                        *paused = false;
                    }
                }
                Due::Interfaces => self.enqueue(Source::Interfaces),
                Due::Large => self.evict(),
                Due::Line(way) => self.call_line(way),
                Due::Share(id, way) => self.share_due(id, way),
                Due::Gate => {
                    self.gate.end_turn();
                    self.call_waiting();
                }
            }
        }
        self.due = due;
        if self.engine.next_deadline().is_some_and(|at| at <= self.now) {
            self.tell(Input::Deadline);
        }
    }

    /// Gives the engine time for background work if it may have any.
    fn do_work(&mut self) {
        let (due, after) = match self.work {
            Pace::Idle => (false, Duration::ZERO),
            Pace::More => (true, Duration::ZERO),
            Pace::Waiting { at, after } => (at <= self.now, after),
        };
        if !due && !self.touched {
            return;
        }
        let budget =
            if self.queue.is_empty() { self.tuning.work_idle } else { self.tuning.work_busy };
        self.touched = false;
        self.work = match self.engine.work(self.now, budget, self.sys.disk()) {
            Work::Idle => Pace::Idle,
            Work::More => Pace::More,
            Work::Waiting => {
                // Only a retry that came to nothing makes the next one later.
                let least = self.tuning.work_retry_min;
                let after = if due { (after * 2).max(least) } else { after.max(least) };
                let after = after.min(self.tuning.work_retry_max);
                Pace::Waiting { at: self.now + after, after }
            }
        };
        if self.work != Pace::Idle {
            self.cost += budget;
        }
        self.drain();
    }
}
