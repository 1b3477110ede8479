//! One process's view of the world: the system that its reactor runs on.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use gannet::store::disk::Dir;
use gannet::sys::{
    Bind, Endpoint, Event, Handle, Interface, Program, Route, Signal, Sys, WatchEvent,
};
use gannet::time::{Instant, Wall};

use super::net::*;
use crate::disk::SimDisk;

pub struct SimSys {
    net: Rc<RefCell<Net>>,
    machine: MachineId,
    epoch: u32,
    disk: SimDisk,
}

impl SimSys {
    /// A process starts on `machine`.
    pub fn start(net: &Rc<RefCell<Net>>, machine: MachineId) -> SimSys {
        let (epoch, disk) = {
            let net = net.borrow();
            (net.machines[machine].epoch, net.machines[machine].device.process())
        };
        SimSys { net: net.clone(), machine, epoch, disk }
    }

    /// Makes a call and notes it.
    fn call<T>(
        &mut self,
        what: &str,
        handle: Handle,
        facts: impl FnOnce(&T) -> u64,
        run: impl FnOnce(&mut Net, MachineId) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut net = self.net.borrow_mut();
        if net.machines[self.machine].device.is_cut() {
            // The power is gone in the middle of this turn: nothing more leaves the machine.
            return fail(EBADF);
        }
        let result = run(&mut net, self.machine);
        let noted = match &result {
            Ok(value) => (handle.0, facts(value), 0),
            Err(e) => (handle.0, 0, e.raw_os_error().unwrap_or(-1)),
        };
        net.note(self.machine, what, noted);
        result
    }
}

impl Drop for SimSys {
    fn drop(&mut self) {
        let mut net = self.net.borrow_mut();
        if net.machines[self.machine].epoch == self.epoch {
            net.end_process(self.machine, false);
        }
    }
}

fn count(value: &usize) -> u64 {
    *value as u64
}

fn nothing<T>(_: &T) -> u64 {
    0
}

const NONE: Handle = Handle(0);

impl Sys for SimSys {
    type Disk = SimDisk;

    fn disk(&mut self) -> &mut SimDisk {
        &mut self.disk
    }

    fn now(&mut self) -> Instant {
        self.net.borrow().clock(self.machine)
    }

    fn wall(&mut self) -> Wall {
        Wall(self.net.borrow().wall(self.machine))
    }

    fn entropy(&mut self, out: &mut [u8]) {
        self.net.borrow_mut().machines[self.machine].entropy.fill(out);
    }

    /// The world has moved the clock before it lets a process go on, so there is nothing to wait for.
    fn wait(&mut self, _: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        self.call(
            "wait",
            NONE,
            |count| *count,
            |net, m| {
                net.events(m, out)?;
                Ok(out.iter().fold(7, |sum: u64, e| {
                    let bits = u64::from(e.handle.0) * 4 + u64::from(e.readable) * 2;
                    sum.wrapping_mul(31).wrapping_add(bits + u64::from(e.writable))
                }))
            },
        )
        .map(drop)
    }

    fn listen(&mut self, at: &Endpoint) -> io::Result<(Handle, Endpoint)> {
        self.call(
            "listen",
            NONE,
            |(handle, _): &(Handle, _)| handle.0.into(),
            |net, m| net.listen(m, at),
        )
    }

    fn accept(&mut self, listener: Handle) -> io::Result<(Handle, Endpoint)> {
        let facts = |(handle, _): &(Handle, Endpoint)| handle.0.into();
        self.call("accept", listener, facts, |net, m| net.accept(m, listener))
    }

    fn connect(&mut self, to: &Endpoint) -> io::Result<Handle> {
        self.call("connect", NONE, |handle: &Handle| handle.0.into(), |net, m| net.connect(m, to))
    }

    fn connected(&mut self, stream: Handle) -> io::Result<bool> {
        self.call("connected", stream, |yes| u64::from(*yes), |net, m| net.connected(m, stream))
    }

    fn read(&mut self, stream: Handle, buf: &mut [u8]) -> io::Result<usize> {
        self.call("read", stream, count, |net, m| net.read(m, stream, buf))
    }

    fn write(&mut self, stream: Handle, bytes: &[u8]) -> io::Result<usize> {
        self.call("write", stream, count, |net, m| {
            let count = net.write(m, stream, bytes)?;
            net.note(m, "bytes", &bytes[..count]);
            Ok(count)
        })
    }

    fn unacknowledged(&mut self, stream: Handle) -> io::Result<usize> {
        self.call("unacknowledged", stream, count, |net, m| net.unacknowledged(m, stream))
    }

    fn shutdown(&mut self, stream: Handle) -> io::Result<()> {
        self.call("shutdown", stream, nothing, |net, m| net.shutdown(m, stream))
    }

    fn close(&mut self, handle: Handle) {
        // Closing cannot fail.
        let _ = self.call("close", handle, nothing, |net, m| {
            net.close(m, handle);
            Ok(())
        });
    }

    fn bind(&mut self, bind: &Bind) -> io::Result<(Handle, SocketAddr)> {
        self.call(
            "bind",
            NONE,
            |(handle, _): &(Handle, _)| handle.0.into(),
            |net, m| net.bind(m, bind),
        )
    }

    fn join(&mut self, socket: Handle, group: IpAddr, on: &Interface) -> io::Result<()> {
        self.call("join", socket, nothing, |net, m| {
            let up = net.machines[m].nics.iter().any(|n| n.up && n.interface.index == on.index);
            match net.thing(m, socket)? {
                Thing::Udp(udp) if up => {
                    udp.groups.insert((group, on.index));
                    Ok(())
                }
                _ => fail(EINVAL),
            }
        })
    }

    fn leave(&mut self, socket: Handle, group: IpAddr, on: &Interface) -> io::Result<()> {
        self.call("leave", socket, nothing, |net, m| match net.thing(m, socket)? {
            Thing::Udp(udp) => {
                let left = udp.groups.remove(&(group, on.index));
                if left { Ok(()) } else { fail(EADDRNOTAVAIL) }
            }
            _ => fail(EINVAL),
        })
    }

    fn send_to(
        &mut self,
        socket: Handle,
        to: SocketAddr,
        via: Option<&Interface>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let via = via.map(|interface| interface.index);
        self.call("send_to", socket, count, |net, m| net.send_to(m, socket, to, via, bytes))
    }

    fn receive_from(&mut self, socket: Handle, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.call(
            "receive_from",
            socket,
            |(count, _)| *count as u64,
            |net, m| {
                if net.chance(net.weather.interrupted) {
                    return fail(EINTR);
                }
                let Thing::Udp(udp) = net.thing(m, socket)? else { return fail(EINVAL) };
                let Some((from, bytes)) = udp.inbox.pop_front() else {
                    udp.armed = true;
                    return fail(EAGAIN);
                };
                let count = bytes.len().min(buf.len());
                buf[..count].copy_from_slice(&bytes[..count]);
                Ok((count, from))
            },
        )
    }

    fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        self.call(
            "interfaces",
            NONE,
            |list: &Vec<_>| list.len() as u64,
            |net, m| {
                if net.chance(net.weather.interrupted) {
                    return fail(EINTR);
                }
                Ok(net.interfaces(m))
            },
        )
    }

    fn routes(&mut self) -> io::Result<Vec<Route>> {
        self.call(
            "routes",
            NONE,
            |list: &Vec<_>| list.len() as u64,
            |net, m| Ok(net.machines[m].routes.clone()),
        )
    }

    fn watch_interfaces(&mut self) -> io::Result<Handle> {
        self.call("watch_interfaces", NONE, nothing, |net, m| {
            Ok(net.keep(m, Thing::Interfaces { armed: true }))
        })
    }

    fn watch_open(&mut self) -> io::Result<Handle> {
        self.call("watch_open", NONE, nothing, |net, m| {
            let number = net.machines[m].device.fs().watch_open();
            Ok(net.keep(m, Thing::Watcher { number, armed: true }))
        })
    }

    fn watch_add(&mut self, watcher: Handle, dir: Dir, path: &Path) -> io::Result<u32> {
        let base = self.disk.dir_ino(dir)?;
        self.call(
            "watch_add",
            watcher,
            |watch: &u32| (*watch).into(),
            |net, m| {
                let Thing::Watcher { number, .. } = net.thing(m, watcher)? else {
                    return fail(EINVAL);
                };
                let number = *number;
                net.machines[m].device.fs().watch_add(number, base, path)
            },
        )
    }

    fn watch_remove(&mut self, watcher: Handle, watch: u32) {
        // Nothing to be told about a watch that is gone already.
        let _ = self.call("watch_remove", watcher, nothing, |net, m| {
            let Thing::Watcher { number, .. } = net.thing(m, watcher)? else { return fail(EINVAL) };
            let number = *number;
            net.machines[m].device.fs().watch_remove(number, watch);
            Ok(())
        });
    }

    fn watch_next(&mut self, watcher: Handle) -> io::Result<WatchEvent> {
        self.call("watch_next", watcher, nothing, |net, m| {
            if net.chance(net.weather.interrupted) {
                return fail(EINTR);
            }
            let Thing::Watcher { number, .. } = net.thing(m, watcher)? else { return fail(EINVAL) };
            let number = *number;
            let event = net.machines[m].device.fs().watch_next(number);
            if event.is_err()
                && let Thing::Watcher { armed, .. } = net.thing(m, watcher)?
            {
                *armed = true;
            }
            event
        })
    }

    fn signal(&mut self) -> Option<Signal> {
        self.net.borrow_mut().machines[self.machine].signals.pop_front()
    }

    fn spawn(&mut self, program: &Program) -> io::Result<u32> {
        self.call(
            "spawn",
            NONE,
            |number| u64::from(*number),
            |net, m| {
                if net.chance(net.weather.no_descriptor) {
                    return fail(EMFILE);
                }
                let at = net.now + net.rng.below(2_000_000);
                let code = if net.rng.one_in(4) { 1 } else { 0 };
                let machine = &mut net.machines[m];
                machine.children += 1;
                machine.programs.push(program.clone());
                let (number, epoch) = (machine.children, machine.epoch);
                net.schedule(at, Action::Exited { machine: m, epoch, number, code });
                Ok(number)
            },
        )
    }

    fn reap(&mut self) -> Option<(u32, i32)> {
        self.net.borrow_mut().machines[self.machine].exited.pop_front()
    }
}
