//! A process under test: what it prints is read as it comes, waiting has a deadline, and it does
//! not outlive its test.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before the test fails. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// What lines of standard error are marked with.
const STDERR: &str = "stderr: ";
/// Lines kept for the message of a failing test.
const KEPT: usize = 60;

pub struct Peer {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// The last lines printed, for the message of a failing test.
    told: VecDeque<String>,
}

impl Peer {
    /// Starts a process; `name` is what it is called when the test fails.
    pub fn start(name: &str, mut command: Command) -> Peer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let signal = rustix::process::Signal::TERM;
        // SAFETY: prctl is a plain system call, allowed between fork and exec.
        unsafe {
            command.pre_exec(move || {
                Ok(rustix::process::set_parent_process_death_signal(Some(signal))?)
            });
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (to, lines) = channel();
        pass_on(child.stdout.take().expect("a pipe"), to.clone(), "");
        pass_on(child.stderr.take().expect("a pipe"), to, STDERR);
        let input = child.stdin.take();
        Peer { name: name.to_owned(), child, input, lines, told: VecDeque::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("standard input is open");
        input.write_all(bytes).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// The next event of this kind; others before it are skipped.
    pub fn expect(&mut self, event: &str) -> Value {
        self.expect_where(event, |_| true)
    }

    /// The next event of this kind; `None` if the process ends before.
    #[allow(dead_code)] // Not every test program needs it.
    pub fn try_expect(&mut self, event: &str) -> Option<Value> {
        let until = Instant::now() + DEADLINE;
        loop {
            let line = self.next_line(until)?;
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value["event"] == *event => return Some(value),
                _ => {}
            }
        }
    }

    /// The next event of this kind that `fits`.
    pub fn expect_where(&mut self, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.expect_any(&[event], fits)
    }

    /// The next event of one of these kinds that `fits`.
    pub fn expect_any(&mut self, events: &[&str], fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let Some(line) = self.next_line(until) else { self.fail(&format!("no {events:?}")) };
            let line = line.strip_prefix(STDERR).unwrap_or(&line);
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            if events.iter().any(|event| value["event"] == *event) && fits(&value) {
                return value;
            }
        }
    }

    /// The next line that contains `text`.
    pub fn expect_line(&mut self, text: &str) -> String {
        self.expect_line_where(&format!("line with {text:?}"), |line| line.contains(text))
    }

    pub fn expect_empty_line(&mut self) {
        self.expect_line_where("empty line", str::is_empty);
    }

    fn expect_line_where(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            let line = self.next_line(until);
            let line = line.unwrap_or_else(|| self.fail(&format!("no {what}")));
            if fits(&line) {
                return line;
            }
        }
    }

    /// Waits for the end of the process.
    pub fn finish(&mut self) -> ExitStatus {
        self.input = None;
        let until = Instant::now() + DEADLINE;
        while self.next_line(until).is_some() {}
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            if Instant::now() > until {
                self.fail("does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end, which has to be a good one.
    pub fn succeed(&mut self) {
        let status = self.finish();
        if !status.success() {
            self.fail(&format!("{status}"));
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// Whether it has ended by itself.
    #[allow(dead_code)] // Of the programs that share this file one asks.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Stops it as a user does, with SIGTERM, and waits.
    pub fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        self.finish();
    }

    /// Kills it without a chance to tidy up.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it; the events of this kind that nobody has read.
    #[allow(dead_code)] // Of the programs that share this file one asks.
    pub fn kill_and_hear(&mut self, event: &str) -> Vec<Value> {
        self.kill();
        let lines = self.lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        lines.filter(|value| value["event"] == event).collect()
    }

    fn keep(&mut self, line: String) {
        if self.told.len() == KEPT {
            self.told.pop_front();
        }
        self.told.push_back(line);
    }

    pub fn fail(&mut self, why: &str) -> ! {
        while let Ok(line) = self.lines.try_recv() {
            self.keep(line);
        }
        let last = self.told.make_contiguous().join("\n  ");
        panic!("{}: {why}; it said:\n  {last}", self.name);
    }

    fn next_line(&mut self, until: Instant) -> Option<String> {
        match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.keep(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Timeout) => self.fail("nothing more came in time"),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pass_on(from: impl Read + Send + 'static, to: Sender<String>, mark: &'static str) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { break };
            if to.send(format!("{mark}{}", String::from_utf8_lossy(&line))).is_err() {
                break;
            }
        }
    });
}
