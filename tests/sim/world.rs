//! N whole nodes on virtual time: each a real reactor over a [`SimSys`], all in one process and one
//! thread. Whoever comes next in time goes next; ties are broken by the seed.
//!
//! The world knows no message, feed or folder: that is the business of the scenario.

#![allow(dead_code)] // Scenarios use it all in the end.

pub mod net;
pub mod stream;
pub mod sys;
pub mod weather;

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;

use gannet::reactor::{Engine, Rates, Reactor, Tuning, Wakeup};
use gannet::rng::Rng;
use gannet::sys::Sys;
use gannet::time::Wall;

use crate::disk::Device;
use net::{MachineId, Net};
use sys::SimSys;
use weather::Weather;

pub const SECOND: u64 = 1_000_000;
/// More than any scenario needs: something spins.
const STEPS: u64 = 4_000_000;

/// A process on a machine.
struct Process<E: Live> {
    reactor: Reactor<SimSys, E>,
    /// When it wants its next turn by itself.
    next: Option<u64>,
    /// It is busy with its last turn, or frozen, until then.
    busy: u64,
    exit: Option<i32>,
}

/// An engine that may want to be told the calendar time before each turn.
pub trait Live: Engine {
    fn set_wall(&mut self, _: Wall) {}
}

pub struct World<E: Live> {
    net: Rc<RefCell<Net>>,
    processes: Vec<Option<Process<E>>>,
    pub turns: u64,
    steps: u64,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// This machine had a turn.
    Turn(MachineId),
    /// The power of this machine failed in the middle of its turn; the process is gone, the disk
    /// waits for `restore_power`.
    Cut(MachineId),
    /// Something arrived somewhere, or it is only later.
    Time,
    /// Nothing will happen before the time given.
    Rest,
}

impl<E: Live> World<E> {
    pub fn new(seed: u64, weather: Weather) -> World<E> {
        let net = Rc::new(RefCell::new(Net::new(seed, weather)));
        World { net, processes: Vec::new(), turns: 0, steps: 0 }
    }

    pub fn net(&self) -> RefMut<'_, Net> {
        self.net.borrow_mut()
    }

    pub fn now(&self) -> u64 {
        self.net.borrow().now
    }

    pub fn add_machine(&mut self, links: &[usize]) -> MachineId {
        self.processes.push(None);
        self.net.borrow_mut().add_machine(links)
    }

    pub fn machines(&self) -> usize {
        self.processes.len()
    }

    pub fn device(&self, machine: MachineId) -> Device {
        self.net.borrow().machines[machine].device.clone()
    }

    /// Starts a process; `make` gets the system to open what it needs. If it cannot, the process
    /// ends at once.
    pub fn start<X>(
        &mut self,
        machine: MachineId,
        tuning: Tuning,
        make: impl FnOnce(&mut SimSys) -> Result<E, X>,
    ) -> Result<(), X> {
        assert!(self.processes[machine].is_none(), "machine {machine} runs already");
        self.stamp(machine);
        let mut sys = SimSys::start(&self.net, machine);
        let engine = make(&mut sys)?;
        let reactor = Reactor::new(sys, engine, tuning);
        let now = self.now();
        self.processes[machine] = Some(Process { reactor, next: Some(now), busy: now, exit: None });
        Ok(())
    }

    pub fn runs(&self, machine: MachineId) -> bool {
        self.processes[machine].as_ref().is_some_and(|process| process.exit.is_none())
    }

    /// `kill -9`, or the end of a process that has exited.
    pub fn kill(&mut self, machine: MachineId) {
        // What a process does while it is dropped reaches nobody.
        self.net.borrow_mut().end_process(machine, false);
        self.processes[machine] = None;
        self.device(machine).kill();
    }

    /// The power fails: nobody is told, and of what was not synced anything may be left.
    pub fn cut_power(&mut self, machine: MachineId) {
        self.net.borrow_mut().end_process(machine, true);
        self.net.borrow_mut().machines[machine].up = false;
        self.processes[machine] = None;
        self.device(machine).crash();
    }

    pub fn restore_power(&mut self, machine: MachineId) {
        self.net.borrow_mut().machines[machine].up = true;
    }

    /// The process gets no turn for a while (a suspended laptop, a swapping router).
    pub fn freeze(&mut self, machine: MachineId, us: u64) {
        let until = self.now() + us;
        if let Some(process) = &mut self.processes[machine] {
            process.busy = process.busy.max(until);
        }
    }

    /// The machine sleeps: its process gets no turn, and nothing reaches it.
    pub fn suspend(&mut self, machine: MachineId, us: u64) {
        self.net.borrow_mut().suspend(machine, us);
        self.freeze(machine, us);
    }

    pub fn reactor(&mut self, machine: MachineId) -> Option<&mut Reactor<SimSys, E>> {
        self.processes[machine].as_mut().map(|process| &mut process.reactor)
    }

    pub fn engine(&self, machine: MachineId) -> Option<&E> {
        self.processes[machine].as_ref().map(|process| process.reactor.engine())
    }

    /// Calls into an engine as its embedder.
    pub fn with<R>(
        &mut self,
        machine: MachineId,
        call: impl FnOnce(&mut E, gannet::time::Instant, &mut dyn gannet::store::disk::Disk) -> R,
    ) -> Option<R> {
        self.stamp(machine);
        let now = self.now();
        let process = self.processes[machine].as_mut()?;
        let result = process.reactor.with(call);
        process.next = Some(now);
        Some(result)
    }

    pub fn exit_code(&self, machine: MachineId) -> Option<i32> {
        self.processes[machine].as_ref()?.exit
    }

    /// One hash over everything that happened.
    pub fn trace(&self) -> u64 {
        let net = self.net.borrow();
        net.machines.iter().fold(net.trace, |sum, machine| {
            sum.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ machine.device.trace()
        })
    }

    /// Lets the next thing happen, if that is not later than `limit`; else it becomes `limit`.
    pub fn step(&mut self, limit: u64) -> Step {
        let now = self.now();
        self.steps += 1;
        assert!(self.steps < STEPS, "no end after {STEPS} steps, at {now} µs");
        let mut best: Option<u64> = self.net.borrow().next();
        let mut turns: Vec<MachineId> = Vec::new();
        let mut soonest = u64::MAX;
        for machine in 0..self.processes.len() {
            let Some(process) = &self.processes[machine] else { continue };
            if process.exit.is_some() {
                continue;
            }
            let stirs = self.net.borrow_mut().stirs(machine);
            let wanted = if stirs { Some(now) } else { process.next };
            let Some(at) = wanted else { continue };
            let at = at.max(process.busy).max(now);
            if at < soonest {
                turns.clear();
                soonest = at;
            }
            if at == soonest {
                turns.push(machine);
            }
        }
        // What arrives at a moment is there before anybody's turn at that moment.
        if best.is_some_and(|at| at <= soonest) {
            turns.clear();
        } else if !turns.is_empty() {
            best = Some(soonest);
        }
        let Some(at) = best.filter(|at| *at <= limit) else {
            self.net.borrow_mut().now = limit;
            return Step::Rest;
        };
        self.net.borrow_mut().now = at.max(now);
        if turns.is_empty() {
            self.net.borrow_mut().happen();
            return Step::Time;
        }
        let pick = self.net.borrow_mut().rng.below(turns.len() as u64) as usize;
        self.turn(turns[pick])
    }

    fn turn(&mut self, machine: MachineId) -> Step {
        self.stamp(machine);
        self.turns += 1;
        let Some(process) = &mut self.processes[machine] else { return Step::Time };
        let wall = Wall(self.net.borrow().wall(machine));
        process.reactor.engine_mut().set_wall(wall);
        let result = process.reactor.turn();
        if self.device(machine).is_cut() {
            return Step::Cut(machine);
        }
        let exit = result.unwrap_or_else(|e: io::Error| panic!("machine {machine}: {e}"));
        let took = {
            let mut net = self.net.borrow_mut();
            let turn_us = net.weather.turn_us;
            net.rng.between(1, turn_us.max(1))
        };
        let now = self.now();
        let Some(process) = &mut self.processes[machine] else { return Step::Time };
        process.exit = exit;
        process.busy = process.busy.max(now + took);
        process.next = match process.reactor.wakeup() {
            Wakeup::Now => Some(now),
            Wakeup::At(at) => Some(self.net.borrow().time_of(machine, at)),
            Wakeup::Never => None,
        };
        Step::Turn(machine)
    }

    /// Tells the disk what time it is.
    fn stamp(&self, machine: MachineId) {
        let net = self.net.borrow();
        let ns = i128::from(net.wall(machine)) * 1_000_000 + i128::from(net.now % 1000) * 1000;
        net.machines[machine].device.set_time(ns);
    }

    /// Runs for `us` or until `done`; true if it is done. A power cut in between brings the machine
    /// down.
    pub fn run_until(&mut self, us: u64, mut done: impl FnMut(&mut World<E>) -> bool) -> bool {
        let limit = self.now() + us;
        while self.now() < limit {
            match self.step(limit) {
                Step::Cut(machine) => self.cut_power(machine),
                Step::Turn(_) if done(self) => return true,
                _ => {}
            }
        }
        done(self)
    }

    pub fn run_for(&mut self, us: u64) {
        self.run_until(us, |_| false);
    }
}

/// Limits of the loop drawn from the seed: a bug that hides behind a comfortable quantum shows
/// itself behind a mean one.
pub fn draw_tuning(rng: &mut Rng) -> Tuning {
    // (Drawn beside the others, which are what they are without it.)
    let mut tuning = Tuning { rates: draw_rates(&mut rng.clone()), ..Tuning::default() };
    if rng.one_in(4) {
        return tuning;
    }
    // (Beside the others, too.)
    tuning.turn_cost = 1 << rng.clone().between(10, 23);
    let mut size = |low: u32, high: u32| 1usize << rng.between(low.into(), high.into());
    tuning.read_quantum = size(6, 16);
    tuning.write_quantum = size(6, 16);
    tuning.frame_quantum = size(0, 8);
    tuning.send_low = size(0, 16);
    tuning.send_room = size(0, 16);
    tuning.send_memory = size(10, 21);
    tuning.accepts = size(0, 3);
    tuning.datagrams = size(0, 4);
    tuning.watch_events = size(0, 5);
    tuning.work_idle = size(8, 20);
    tuning.work_busy = size(8, 18);
    tuning
}

/// Mostly none; some that are hardly felt, and some with which nothing is quick.
pub fn draw_rates(rng: &mut Rng) -> Rates {
    let mut rates = Rates::default();
    if !rng.one_in(5) {
        return rates;
    }
    let least = [1024, 8 * 1024, 64 * 1024][rng.below(3) as usize];
    let mut rate = || rng.one_in(2).then(|| least << rng.below(8));
    rates.upload_rate = rate();
    rates.download_rate = rate();
    rates.peer_upload_rate = rate();
    rates.peer_download_rate = rate();
    rates
}

/// Makes a [`Sys`] usable where only its disk is wanted.
pub fn disk_of(sys: &mut SimSys) -> &mut crate::disk::SimDisk {
    sys.disk()
}
