//! Programs of the user's: started, never waited for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::sys::{Handle, Program};

/// The programs that run.
#[derive(Default)]
pub(super) struct Programs {
    running: Vec<Running>,
}

struct Running {
    child: Child,
    /// What becomes readable when it ends; kernels before 5.3 leave that to SIGCHLD.
    watch: Option<Handle>,
}

impl Programs {
    /// Starts `/bin/sh -c` with no input. What it prints goes to our standard error: standard
    /// output may be read by a machine. It gets a process group of its own, so that a Ctrl-C meant
    /// for us lets it finish. Returns its number and a descriptor that tells of its end.
    pub fn spawn(&mut self, program: &Program) -> io::Result<(u32, Option<OwnedFd>)> {
        let output = match std::io::stderr().as_fd().try_clone_to_owned() {
            Ok(stderr) => Stdio::from(stderr),
            Err(_) => Stdio::null(),
        };
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(&program.command)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .process_group(0)
            .spawn()?;
        let watch = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
        let number = child.id();
        self.running.push(Running { child, watch: None });
        Ok((number, watch))
    }

    /// `handle` watches the program.
    pub fn watched(&mut self, number: u32, handle: Handle) {
        if let Some(running) = self.running.iter_mut().find(|r| r.child.id() == number) {
            running.watch = Some(handle);
        }
    }

    /// One that has ended: its number, its exit code, and what watched it.
    pub fn reap(&mut self) -> Option<(u32, i32, Option<Handle>)> {
        for index in 0..self.running.len() {
            let code = match self.running[index].child.try_wait() {
                Ok(None) => continue,
                Ok(Some(status)) => {
                    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
                }
                // Somebody else has waited for it: nobody knows how it ended.
                Err(_) => -1,
            };
            let ended = self.running.swap_remove(index);
            return Some((ended.child.id(), code, ended.watch));
        }
        None
    }
}

impl Drop for Programs {
    /// Nothing that was started here outlives us unasked.
    fn drop(&mut self) {
        for running in &self.running {
            let _ = kill_process_group(Pid::from_child(&running.child), Signal::TERM);
        }
    }
}
