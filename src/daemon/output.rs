//! What a run tells its user: progress on a terminal, a line an event in a pipe, JSON lines.
//!
//! Standard output may be slow or stuck; the loop may not. A [`Printer`] keeps a bounded amount of
//! text and writes only what the kernel takes at once; while it is full it takes no more events, so
//! that the subscriber's queue marks the gap.

use std::io::{IsTerminal, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::daemon::config::Print;
use crate::limits;
use crate::node::event::{Event, EventKind, Interest};
use crate::node::status::Status;
use crate::time::Instant;

/// What is left after a [`Printer::pump`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// All is written.
    Empty,
    /// The reader is slow: pump again after [`limits::OUTPUT_RETRY`].
    Pending,
    /// Nobody reads the blocks any more (`core get … | head`): the run may end.
    Closed,
}

/// Prints events. Between turns: `while printer.room()`, take the subscriber's next event; then
/// `pump`.
pub struct Printer {
    print: Print,
    lines: Stream,
    blocks: Option<Stream>,
    terminal: bool,
    /// The progress text that stands in the last line of the terminal.
    standing: String,
    progress_at: Option<Instant>,
}

impl Printer {
    /// Lines go to standard output, or to standard error where the run shows blocks.
    pub fn new(print: Print, shows: bool) -> Printer {
        let lines = if shows { Standard::Error } else { Standard::Output };
        Printer {
            print,
            terminal: !print.json && lines.is_terminal(),
            lines: Stream::new(lines),
            blocks: shows.then(|| Stream::new(Standard::Output)),
            standing: String::new(),
            progress_at: None,
        }
    }

    /// What to subscribe to.
    pub fn interest(&self) -> Interest {
        let quiet = Interest::NOTHING
            .with(EventKind::Warning)
            .with(EventKind::FileKept)
            .with(EventKind::FileRefused)
            .with(EventKind::Paused)
            .with(EventKind::Resumed);
        let peers = Interest::NOTHING
            .with(EventKind::PeerJoined)
            .with(EventKind::PeerLeft)
            .with(EventKind::FeedOpened)
            .with(EventKind::Appended);
        let usual = Interest::NOTABLE
            .without(EventKind::PeerJoined)
            .without(EventKind::PeerLeft)
            .without(EventKind::FeedOpened)
            .with(EventKind::Progress);
        match (self.print.verbosity, self.print.json) {
            (..0, false) => quiet,
            // Scripts wait for these two lines whatever else they want to hear.
            (..0, true) => quiet.with(EventKind::Ready).with(EventKind::Complete),
            (0, false) => usual,
            (0, true) | (1, _) => usual.and(peers),
            (2.., _) => Interest::EVERYTHING,
        }
    }

    /// Whether another event can be taken.
    pub fn room(&self) -> bool {
        self.lines.buffer.len() < limits::OUTPUT_BYTES
    }

    pub fn event(&mut self, now: Instant, event: &Event) {
        if self.print.json {
            self.lines.line(&event.json());
        } else if event.kind() == EventKind::Progress {
            self.progress(now, event);
        } else {
            self.line(&event.to_string());
        }
    }

    /// A line of text above the progress.
    fn line(&mut self, text: &str) {
        self.wipe();
        self.lines.line(text);
        let standing = std::mem::take(&mut self.standing);
        self.stand(standing);
    }

    fn progress(&mut self, now: Instant, event: &Event) {
        let text = event.to_string();
        if self.terminal {
            self.wipe();
            self.stand(text);
        } else if self.progress_at.is_none_or(|last| now.since(last) >= limits::PROGRESS_LINE_EVERY)
        {
            // A log wants to know that it goes on, not every percent.
            if self.progress_at.is_some() {
                self.lines.line(&text);
            }
            self.progress_at = Some(now);
        }
    }

    fn wipe(&mut self) {
        if self.terminal && !self.standing.is_empty() {
            self.lines.buffer.extend_from_slice(b"\r\x1b[K");
        }
    }

    fn stand(&mut self, text: String) {
        if self.terminal {
            self.lines.buffer.extend_from_slice(text.as_bytes());
            self.standing = text;
        }
    }

    /// The answer to SIGUSR1.
    pub fn status(&mut self, status: &Status) {
        if self.print.json {
            let status = serde_json::json!({"event": "status", "status": status});
            self.lines.line(&status.to_string());
        } else {
            self.line(status.text().trim_end());
        }
    }

    /// Whether another block for standard output can be taken.
    pub fn block_room(&self) -> bool {
        self.blocks.as_ref().is_some_and(|b| b.buffer.len() < limits::OUTPUT_BYTES)
    }

    /// A block of a bare feed, followed by `after`.
    pub fn block(&mut self, bytes: &[u8], after: &[u8]) {
        if let Some(blocks) = &mut self.blocks
            && !blocks.closed
        {
            blocks.buffer.extend_from_slice(bytes);
            blocks.buffer.extend_from_slice(after);
        }
    }

    /// Writes what can be written without waiting.
    pub fn pump(&mut self) -> Pumped {
        self.lines.pump();
        if let Some(blocks) = &mut self.blocks {
            blocks.pump();
        }
        if self.blocks.as_ref().is_some_and(|b| b.closed) {
            Pumped::Closed
        } else if self.lines.buffer.is_empty()
            && self.blocks.as_ref().is_none_or(|b| b.buffer.is_empty())
        {
            Pumped::Empty
        } else {
            Pumped::Pending
        }
    }

    /// At the end of the run: writes everything, waiting as long as it takes, and leaves the
    /// terminal with an empty line.
    pub fn finish(mut self) {
        self.wipe();
        self.lines.finish();
        if let Some(mut blocks) = self.blocks {
            blocks.finish();
        }
    }
}

#[derive(Clone, Copy)]
enum Standard {
    Output,
    Error,
}

impl Standard {
    fn is_terminal(self) -> bool {
        match self {
            Standard::Output => std::io::stdout().is_terminal(),
            Standard::Error => std::io::stderr().is_terminal(),
        }
    }

    fn with<R>(self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        match self {
            Standard::Output => f(std::io::stdout().as_fd()),
            Standard::Error => f(std::io::stderr().as_fd()),
        }
    }
}

/// Bytes on their way to a standard stream.
struct Stream {
    to: Standard,
    buffer: Vec<u8>,
    /// Nobody reads it: what is printed from now on is dropped.
    closed: bool,
}

impl Stream {
    fn new(to: Standard) -> Stream {
        Stream { to, buffer: Vec::new(), closed: false }
    }

    fn line(&mut self, text: &str) {
        if !self.closed {
            self.buffer.extend_from_slice(text.as_bytes());
            self.buffer.push(b'\n');
        }
    }

    fn pump(&mut self) {
        let mut written = 0;
        while written < self.buffer.len() && written < limits::OUTPUT_BYTES {
            let rest = &self.buffer[written..];
            // A pipe that polls as writable takes this much without blocking, whoever else has it
            // open: O_NONBLOCK would change it for them too.
            let part = &rest[..rest.len().min(limits::OUTPUT_PIECE_BYTES)];
            match self.to.with(|fd| write_now(fd, part)) {
                Ok(0) => break,
                Ok(n) => written += n,
                Err(_) => {
                    self.closed = true;
                    written = self.buffer.len();
                }
            }
        }
        self.buffer.drain(..written);
        if self.buffer.is_empty() && self.buffer.capacity() > limits::OUTPUT_BYTES {
            self.buffer = Vec::new();
        }
    }

    fn finish(&mut self) {
        if self.closed {
            return;
        }
        // Nobody is left to tell that the reader went away.
        let _ = match self.to {
            Standard::Output => {
                std::io::stdout().write_all(&self.buffer).and_then(|()| std::io::stdout().flush())
            }
            Standard::Error => std::io::stderr().write_all(&self.buffer),
        };
        self.buffer.clear();
    }
}

/// Bytes written at once; 0: not now.
fn write_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> rustix::io::Result<usize> {
    let mut polled = [PollFd::new(&fd, PollFlags::OUT)];
    match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(0),
        Ok(_) => match rustix::io::write(fd, bytes) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            other => other,
        },
        Err(error) => Err(error),
    }
}

/// Log lines on their way to a stream that may be slow or stuck: what it does not take at once is
/// dropped, and the next line that it takes is preceded by how many are missing.
pub struct LogLines<F> {
    to: F,
    missed: u64,
}

impl<F: AsFd> LogLines<F> {
    pub fn new(to: F) -> LogLines<F> {
        LogLines { to, missed: 0 }
    }

    /// Whether the line was taken. What is too long for one write is cut.
    fn put(&self, line: &[u8]) -> bool {
        let most = limits::OUTPUT_PIECE_BYTES;
        let mut short = Vec::new();
        let line = if line.len() > most {
            short.extend_from_slice(&line[..most - 1]);
            short.push(b'\n');
            &short
        } else {
            line
        };
        // Nobody is left to tell that the reader went away.
        write_now(self.to.as_fd(), line).is_ok_and(|written| written > 0)
    }
}

/// One call is one line, as the logger makes them. It never fails and never waits.
impl<F: AsFd> std::io::Write for LogLines<F> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.missed > 0 {
            let missed = crate::text::Count(self.missed, "line");
            let gap = format!("gannet: warn: {missed} of the log not shown: its reader is slow\n");
            if self.put(gap.as_bytes()) {
                self.missed = 0;
            }
        }
        if self.missed > 0 || !self.put(line) {
            self.missed += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Key;

    fn printer(json: bool, terminal: bool) -> Printer {
        let print = Print { json, verbosity: 0 };
        Printer { terminal, ..Printer::new(print, false) }
    }

    fn progress(done_bytes: u64) -> Event {
        let key = Key([1; 32]);
        let (done, total) = (done_bytes, 100);
        Event::Progress { key, done, total, done_bytes, total_bytes: 100, bytes_per_s: 0, peers: 0 }
    }

    fn text(printer: &Printer) -> String {
        String::from_utf8(printer.lines.buffer.clone()).unwrap()
    }

    #[test]
    fn a_terminal_keeps_its_progress_in_the_last_line() {
        let mut printer = printer(false, true);
        printer.event(Instant(0), &progress(1));
        printer.event(Instant(1), &Event::Resumed {});
        printer.event(Instant(2), &progress(2));
        assert_eq!(
            text(&printer),
            "1 % · 1 B of 100 B · 0 peers\r\x1b[Kresumed\n1 % · 1 B of 100 B · 0 peers\
             \r\x1b[K2 % · 2 B of 100 B · 0 peers"
        );
    }

    #[test]
    fn a_pipe_gets_calm_lines() {
        let mut printer = printer(false, false);
        for second in 0..=60 {
            printer.event(Instant(second * 1_000_000), &progress(second));
        }
        printer.event(Instant(0), &Event::Resumed {});
        assert_eq!(
            text(&printer),
            "30 % · 30 B of 100 B · 0 peers\n60 % · 60 B of 100 B · 0 peers\nresumed\n"
        );
    }

    #[test]
    fn json_is_an_object_a_line_and_full_means_no_room() {
        let mut printer = printer(true, false);
        printer.event(Instant(0), &Event::Resumed {});
        assert_eq!(text(&printer), "{\"event\":\"resumed\"}\n");
        let long = Event::Warning { text: "x".repeat(limits::OUTPUT_BYTES) };
        assert!(printer.room());
        printer.event(Instant(0), &long);
        assert!(!printer.room());
        printer.status(&Status::default());
        assert!(text(&printer).lines().last().unwrap().starts_with("{\"event\":\"status\","));
    }

    #[test]
    fn a_reader_that_is_slow_blocks_nothing_and_one_that_left_is_noticed() {
        let (reader, writer) = std::io::pipe().unwrap();
        let piece = [7; limits::OUTPUT_PIECE_BYTES];
        let mut written = 0;
        loop {
            match write_now(writer.as_fd(), &piece).unwrap() {
                0 => break,
                n => written += n,
            }
        }
        assert!(written >= piece.len());
        drop(reader);
        assert!(write_now(writer.as_fd(), &piece).is_err());
    }

    #[test]
    fn a_log_that_nobody_reads_costs_no_time_and_shows_its_gap() {
        use std::io::Read as _;
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut log = LogLines::new(writer);
        let line = [b'x'; 999];
        let mut taken = 0;
        while log.missed == 0 {
            log.write_all(&[&line[..], b"\n"].concat()).unwrap();
            taken += 1;
        }
        for _ in 0..1_000_000 - 1 {
            log.write_all(b"lost\n").unwrap();
        }
        assert!(taken > 4 && log.missed == 1_000_000);
        let mut read = vec![0; (taken - 1) * 1000];
        reader.read_exact(&mut read).unwrap();
        log.write_all(b"after\n").unwrap();
        log.write_all(&[b'y'; 3 * limits::OUTPUT_PIECE_BYTES]).unwrap();
        drop(log);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let lines: Vec<&str> = rest.lines().collect();
        assert!(
            lines[0].starts_with("gannet: warn: ") && lines[0].contains("of the log not shown")
        );
        assert_eq!((lines[1], lines.len()), ("after", 3));
        assert!(lines[2].len() < limits::OUTPUT_PIECE_BYTES && rest.ends_with("y\n"));
    }

    #[test]
    fn verbosity_chooses_what_is_heard() {
        let interest = |verbosity, json| Printer::new(Print { json, verbosity }, false).interest();
        assert!(!interest(-1, false).has(EventKind::Ready));
        assert!(interest(-1, true).has(EventKind::Complete));
        assert!(interest(0, false).has(EventKind::FilePut));
        assert!(!interest(0, false).has(EventKind::PeerJoined));
        assert!(interest(1, false).has(EventKind::PeerJoined));
        assert!(!interest(1, false).has(EventKind::BlockStored));
        assert!(interest(2, false).has(EventKind::BlockStored));
    }
}
