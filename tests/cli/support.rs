//! Running the binary in a home of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A temporary home directory, also the working directory of what runs in it.
pub struct Home(tempfile::TempDir);

/// A command that ended.
pub struct Done {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Home {
    pub fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    /// Where syncs cost nothing, if there is such a place: for what makes hundreds of files.
    pub fn in_memory() -> Home {
        let memory = tempfile::tempdir_in("/dev/shm");
        Home(memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// The binary with this home and nothing else from our environment.
    pub fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        command.args(words).env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Done {
        self.feed(words, b"")
    }

    /// Starts a command that stays, talking JSON and to this machine only.
    pub fn start<S: AsRef<OsStr>>(&self, words: &[S]) -> Running {
        let mut command = self.command(words);
        command.args(["--json", "--listen", "127.0.0.1", "--no-discovery"]);
        Running::start(command)
    }

    /// Runs with this standard input.
    pub fn feed<S: AsRef<OsStr>>(&self, words: &[S], input: &[u8]) -> Done {
        finish(self.command(words), input)
    }
}

/// A long-running command whose lines are read as they come. Killed when dropped.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(command: Command) -> Running {
        Running::start_logging(command, Stdio::null())
    }

    /// … whose log goes there.
    pub fn start_logging(mut command: Command, log: impl Into<Stdio>) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { return };
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines }
    }

    /// The next line.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line on standard output")
    }

    /// The next event of this name, whatever comes before.
    #[track_caller]
    pub fn event(&self, name: &str) -> serde_json::Value {
        loop {
            let event: serde_json::Value = serde_json::from_str(&self.line()).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops it in order; the exit code and all events of this name that were not taken yet.
    pub fn stop_and_hear(mut self, name: &str) -> (i32, Vec<serde_json::Value>) {
        self.signal(rustix::process::Signal::TERM);
        let code = end(&mut self.child);
        let events = self.lines.iter().map(|line| serde_json::from_str(&line).unwrap());
        (code, events.filter(|event: &serde_json::Value| event["event"] == name).collect())
    }

    /// Stops it in order; the exit code.
    pub fn stop(mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        end(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command, input: &[u8]) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The command may end without reading all of it.
            let _ = stdin.write_all(input);
        });
        let out = scope.spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let err = scope.spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let code = end(&mut child);
        Done { code, out: out.join().unwrap(), err: err.join().unwrap() }
    })
}

/// The exit code; 128 + signal if it was killed.
pub fn end(child: &mut Child) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Done {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// It worked, quietly; what it printed.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{}", self.err);
        assert_eq!(self.err, "");
        self.text()
    }

    /// It failed with this code and one line of words for a person.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}{}", self.text(), self.err);
        assert_eq!(self.err.matches('\n').count(), 1, "one line: {}", self.err);
        assert!(self.err.starts_with("gannet: ") && self.err.ends_with('\n'), "{}", self.err);
        assert!(self.err.contains(words), "{:?} is not in {}", words, self.err);
        for bug in ["panicked", "backtrace", "RUST_", "a bug in", "os error"] {
            assert!(!self.err.contains(bug), "{}", self.err);
        }
    }
}
