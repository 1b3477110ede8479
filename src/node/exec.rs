//! `--exec`: a program is run on events, one at a time, with the facts in its environment. It is a
//! subscriber like any other: while it is slow, events wait in a bounded queue, and what does not
//! fit becomes a gap.

use crate::sys::Program;

use super::Node;
use super::event::{Event, Interest, Observer, Subscriber};
use super::io::Tag;

pub struct Exec {
    command: String,
    queue: Subscriber,
    running: bool,
}

impl Exec {
    pub fn new(command: String) -> Exec {
        Exec { command, queue: Subscriber::new(Interest::NOTABLE), running: false }
    }

    /// The program to start now, if none runs and something happened.
    pub fn next_program(&mut self) -> Option<Program> {
        if self.running {
            return None;
        }
        let event = self.queue.next_event()?;
        self.running = true;
        Some(Program { command: self.command.clone(), environment: event.environment() })
    }

    pub fn ended(&mut self) {
        self.running = false;
    }
}

impl Observer for Exec {
    fn interest(&self) -> Interest {
        self.queue.interest()
    }

    fn event(&mut self, event: &Event) {
        self.queue.event(event);
    }
}

impl Node {
    /// A program ended, or could not be started.
    pub(super) fn program_ended(&mut self, tag: Tag, code: i32) {
        self.tags.remove(&tag);
        if let Some(exec) = &mut self.exec {
            exec.ended();
        }
        if code != 0 {
            log::warn!("the program of --exec ended with code {code}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_run_one_at_a_time_and_see_the_facts() {
        let mut exec = Exec::new("true".into());
        assert!(exec.next_program().is_none());
        exec.event(&Event::FileDeleted { path: "a".into() });
        exec.event(&Event::FileDeleted { path: "b".into() });
        let first = exec.next_program().expect("something happened");
        assert!(first.environment.contains(&("GANNET_PATH".into(), "a".into())));
        assert!(exec.next_program().is_none(), "the first still runs");
        exec.ended();
        assert!(exec.next_program().is_some());
    }
}
