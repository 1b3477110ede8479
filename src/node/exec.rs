//! `--exec`: a program is run on events, one at a time, with the facts in its environment. It is a
//! subscriber like any other: while it is slow, events wait in a bounded queue, and what does not
//! fit becomes a gap.

use crate::sys::Program;

use super::Node;
use super::event::{Event, Interest, Observer, Subscriber};
use super::io::Tag;

pub struct Exec {
    /// `None`: nothing is run.
    command: Option<String>,
    queue: Subscriber,
    running: bool,
}

impl Exec {
    pub fn new(command: Option<String>) -> Exec {
        Exec { command, queue: Subscriber::new(Interest::NOTABLE), running: false }
    }

    /// The program to start now, if none runs and something happened.
    pub fn next_program(&mut self) -> Option<Program> {
        if self.running {
            return None;
        }
        let command = self.command.clone()?;
        let event = self.queue.next_event()?;
        self.running = true;
        Some(Program { command, environment: event.environment() })
    }

    /// From now on this command is run. What waits for its turn is told to it, too; nothing, if there was
    /// none before.
    pub fn set_command(&mut self, command: Option<String>) {
        if command.is_none() {
            self.queue = Subscriber::new(Interest::NOTABLE);
        }
        self.command = command;
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
        if self.command.is_some() {
            self.queue.event(event);
        }
    }
}

impl Node {
    /// A program ended, or could not be started.
    pub(super) fn program_ended(&mut self, tag: Tag, code: i32) {
        self.tags.remove(&tag);
        self.exec.ended();
        if code != 0 {
            log::warn!("the program of --exec ended with code {code}");
        }
    }

    /// The command that is run on events from now on. A program that runs goes on to its end, and the next
    /// one waits for that.
    pub fn set_exec(&mut self, command: Option<String>) {
        self.exec.set_command(command);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_run_one_at_a_time_and_see_the_facts() {
        let mut exec = Exec::new(Some("true".into()));
        assert!(exec.next_program().is_none());
        exec.event(&Event::FileDeleted { path: "a".into() });
        exec.event(&Event::FileDeleted { path: "b".into() });
        let first = exec.next_program().expect("something happened");
        assert!(first.environment.contains(&("GANNET_PATH".into(), "a".into())));
        assert!(exec.next_program().is_none(), "the first still runs");
        exec.ended();
        assert!(exec.next_program().is_some());
    }

    #[test]
    fn another_command_takes_what_waits_and_waits_for_what_runs() {
        let mut exec = Exec::new(None);
        exec.event(&Event::FileDeleted { path: "before".into() });
        exec.set_command(Some("one".into()));
        assert!(exec.next_program().is_none(), "nobody was to hear of it");
        for path in ["a", "b", "c"] {
            exec.event(&Event::FileDeleted { path: path.into() });
        }
        assert_eq!(exec.next_program().expect("something happened").command, "one");
        exec.set_command(Some("two".into()));
        assert!(exec.next_program().is_none(), "the first still runs");
        exec.ended();
        let next = exec.next_program().expect("there is more");
        assert!(
            next.command == "two" && next.environment.contains(&("GANNET_PATH".into(), "b".into()))
        );
        exec.set_command(None);
        exec.ended();
        assert!(exec.next_program().is_none());
        exec.set_command(Some("three".into()));
        assert!(exec.next_program().is_none(), "what came before is not told");
    }
}
