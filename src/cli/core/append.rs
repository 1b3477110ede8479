//! `gannet core append`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli::ask::{self, ask};
use crate::cli::offline::{At, Offline, Opened};
use crate::cli::{Global, Outcome, put};
use crate::failure::{Failure, Kind};
use crate::limits;
use crate::node::control::{Block, Request};

/// Append standard input to a feed, a block a line
///
/// Line ends are not part of the blocks. Each time the input pauses, what has come is signed and
/// made durable. While `gannet core serve DIR` runs, the blocks go to that process.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  date | gannet core append ./clock
  gannet core append ./backup --block 64K < disk.img"
)]
pub struct Arguments {
    /// The feed's directory
    dir: PathBuf,
    /// Cut the input into blocks of this size (K and M work) instead of lines
    #[arg(long, value_name = "SIZE", value_parser = size)]
    block: Option<usize>,
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        let mut to = Target::find(&self.dir)?;
        let mut cutter = Cutter::new(self.block);
        let mut piece = vec![0; limits::CONTROL_BATCH_BYTES];
        let (mut length, mut pending) = (None, 0);
        loop {
            let n = match io::stdin().read(&mut piece) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(|e| Failure::io("standard input", &e))?,
            };
            let blocks = if n == 0 { cutter.finish() } else { cutter.cut(&piece[..n])? };
            pending += n;
            if !blocks.is_empty() {
                length = Some(to.append(blocks)?);
            }
            if n == 0 {
                break;
            }
            if pending >= limits::APPEND_COMMIT_BYTES || !more_waits() {
                to.commit()?;
                pending = 0;
            }
        }
        to.close()?;
        match (length, global.json) {
            (Some(length), true) => {
                put(format!("{}\n", serde_json::json!({"length": length})).as_bytes())
            }
            (Some(length), false) if !global.quiet => put(format!("{length} blocks\n").as_bytes()),
            _ => Ok(0),
        }
    }
}

/// Who appends: we, or the process that has the feed open.
enum Target {
    Store(Box<Opened>),
    Process(PathBuf),
}

impl Target {
    fn find(dir: &Path) -> Result<Target, Failure> {
        let at = At::core(dir)?;
        if ask::is_there(dir)? {
            return Ok(Target::Process(dir.to_owned()));
        }
        let mut opened = Opened::open(Offline::writing(), at, None, None)?;
        if !opened.store.is_writable() {
            let what = format!("{}: the feed's secret key is not here", dir.display());
            return Err(Failure::new(Kind::Permission, what)
                .hint("only its owner can append; gannet key import brings a key here"));
        }
        opened.recover()?;
        Ok(Target::Store(Box::new(opened)))
    }

    /// The new length.
    fn append(&mut self, blocks: Vec<Vec<u8>>) -> Result<u64, Failure> {
        match self {
            Target::Store(opened) => {
                let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
                opened.append(&blocks)
            }
            Target::Process(dir) => hand_over(dir, blocks),
        }
    }

    /// The process commits before it answers.
    fn commit(&mut self) -> Result<(), Failure> {
        match self {
            Target::Store(opened) => opened.commit(),
            Target::Process(_) => Ok(()),
        }
    }

    fn close(self) -> Result<(), Failure> {
        match self {
            Target::Store(opened) => opened.close(),
            Target::Process(_) => Ok(()),
        }
    }
}

/// Whether standard input has more at once.
fn more_waits() -> bool {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Gives blocks to the process that serves `dir`, in batches that fit into a request.
fn hand_over(dir: &Path, blocks: Vec<Vec<u8>>) -> Result<u64, Failure> {
    let (mut batch, mut bytes, mut length) = (Vec::new(), 0, 0);
    let mut blocks = blocks.into_iter().peekable();
    while let Some(block) = blocks.next() {
        if block.len() > limits::CONTROL_BLOCK_BYTES {
            let what = format!("a block of {} bytes is too large for a running feed", block.len());
            return Err(Failure::new(Kind::Usage, what).hint("stop core serve, append, start it"));
        }
        bytes += block.len() + limits::CONTROL_BLOCK_OVERHEAD;
        batch.push(Block(block));
        let full = blocks.peek().is_none_or(|next| {
            bytes + next.len() + limits::CONTROL_BLOCK_OVERHEAD > limits::CONTROL_BATCH_BYTES
        });
        if full {
            let request = Request::append(std::mem::take(&mut batch));
            bytes = 0;
            length = ask(dir, &request)?.and_then(|answer| answer.as_u64()).ok_or_else(|| {
                Failure::new(Kind::General, format!("{}: the serving process ended", dir.display()))
                    .hint("run it again to append the rest")
            })?;
        }
    }
    Ok(length)
}

/// Cuts a stream of bytes into blocks.
struct Cutter {
    size: Option<usize>,
    rest: Vec<u8>,
}

impl Cutter {
    fn new(size: Option<usize>) -> Cutter {
        Cutter { size, rest: Vec::new() }
    }

    /// The blocks that are complete with these bytes.
    fn cut(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        self.rest.extend_from_slice(bytes);
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        let mut done = 0;
        match self.size {
            Some(size) => {
                let whole = self.rest.chunks_exact(size);
                done = self.rest.len() - whole.remainder().len();
                blocks.extend(whole.map(<[u8]>::to_vec));
            }
            None => {
                for line in self.rest.split_inclusive(|b| *b == b'\n') {
                    if let Some(block) = line.strip_suffix(b"\n") {
                        done += line.len();
                        blocks.push(block.to_vec());
                    }
                }
            }
        }
        self.rest.drain(..done);
        let longest = blocks.iter().map(Vec::len).max().unwrap_or(0).max(self.rest.len());
        if longest > limits::BLOCK_BYTES {
            let what = format!("a line is longer than {} bytes", limits::BLOCK_BYTES);
            return Err(Failure::new(Kind::Usage, what).hint("cut it into blocks with --block"));
        }
        Ok(blocks)
    }

    /// What is left at the end of the input.
    fn finish(&mut self) -> Vec<Vec<u8>> {
        match self.rest.is_empty() {
            true => Vec::new(),
            false => vec![std::mem::take(&mut self.rest)],
        }
    }
}

/// `65536`, `64K`, `1M`.
fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => match text.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1024 * 1024),
            None => (text, 1),
        },
    };
    let bytes = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    bytes
        .filter(|n| (1..=limits::BLOCK_BYTES).contains(n))
        .ok_or_else(|| format!("a block has 1 to {} bytes", limits::BLOCK_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(size: Option<usize>, pieces: &[&str]) -> Vec<String> {
        let mut cutter = Cutter::new(size);
        let mut blocks = Vec::new();
        for piece in pieces {
            blocks.extend(cutter.cut(piece.as_bytes()).unwrap());
        }
        blocks.extend(cutter.finish());
        blocks.into_iter().map(|b| String::from_utf8(b).unwrap()).collect()
    }

    #[test]
    fn lines_and_pieces() {
        assert_eq!(cut(None, &["a\nb", "c\n\n", "d"]), ["a", "bc", "", "d"]);
        assert_eq!(cut(None, &["a\n"]), ["a"]);
        assert!(cut(None, &[]).is_empty());
        assert_eq!(cut(Some(2), &["abc", "de"]), ["ab", "cd", "e"]);
        assert_eq!(cut(Some(2), &["ab"]), ["ab"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut cutter = Cutter::new(None);
        assert!(cutter.cut(&vec![b'x'; limits::BLOCK_BYTES + 1]).is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64K"), Ok(65536));
        assert_eq!(size("1m"), Ok(1 << 20));
        assert_eq!(size("7"), Ok(7));
        for bad in ["", "0", "K", "-1", "9M", "1G", "18446744073709551615M"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
