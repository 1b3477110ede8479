//! The command line: words in, one function a command, an exit code out. Thin: what a command does
//! is in the library.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Ring 5 meets the system.

mod add;
mod ask;
mod bans;
mod calendar;
mod candidates;
mod cat;
mod clone;
mod config;
mod core;
mod daemon;
mod drive;
mod find;
mod hosts;
mod id;
mod key;
mod log;
mod ls;
mod network;
mod offline;
mod panic;
mod peek;
mod peers;
mod ping;
mod place;
mod seed;
mod share;
mod shutdown;
mod status;
mod verify;

use std::ffi::OsString;
use std::io::Write as _;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::daemon::config::Print;
use crate::daemon::output::LogLines;
use crate::failure::{Failure, Kind};
use crate::node::control::What;

/// Keeps feeds and folders in sync between machines, peer to peer
#[derive(Parser)]
#[command(
    name = "gannet",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  gannet share ./photos                  publish a folder; prints its link
  gannet clone hyper://<key> ./copy      copy it elsewhere and keep it up to date
  gannet status ./copy                   what the running process is doing
  gannet daemon                          keep everything that a file names
  date | gannet core append ./clock      add a line to a bare feed

Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 in use by another process, 5 damaged store,
6 no peers, 7 disk full, 8 permission, 9 address or port, 130 interrupted before it was done.
RUST_LOG=debug (or -vvv) logs what goes on inside, to standard error.";

/// Flags of every command.
#[derive(Args)]
pub struct Global {
    /// One JSON object a line instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Tell more: peers too, with -vv every block, with -vvv the log
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Tell only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

impl Global {
    fn print(&self) -> Print {
        let verbosity = if self.quiet { -1 } else { self.verbose.min(3).cast_signed() };
        Print { json: self.json, verbosity }
    }
}

#[derive(Subcommand)]
enum Command {
    Share(share::Arguments),
    Clone(clone::Arguments),
    Seed(seed::Arguments),
    Daemon(daemon::Arguments),
    Add(add::Arguments),
    /// Have the running daemon keep something no longer; files stay as they are
    Remove(add::Named),
    /// Have the running daemon neither fetch nor serve something for now
    Pause(add::Named),
    /// Have the running daemon go on with something
    Resume(add::Named),
    Config(config::Arguments),
    Status(status::Arguments),
    Peers(peers::Arguments),
    Candidates(candidates::Arguments),
    Ban(bans::Ban),
    Unban(bans::Unban),
    Bans(bans::Bans),
    Ping(ping::Arguments),
    Log(log::Arguments),
    Ls(ls::Arguments),
    Cat(cat::Arguments),
    Verify(verify::Arguments),
    Key(key::Arguments),
    Id(id::Arguments),
    Hosts(hosts::Arguments),
    Find(find::Arguments),
    Shutdown(shutdown::Arguments),
    Core(core::Arguments),
}

/// What the command line understands: the manual page and the completions in contrib/ are made of
/// it, by a test, so that the program need not carry what makes them.
#[doc(hidden)]
pub fn words() -> clap::Command {
    Cli::command()
}

/// What a command ends with: an exit code, or a failure that still has to be told.
type Outcome = Result<i32, Failure>;

/// Runs the program with the words of its command line; the exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> i32 {
    panic::hook();
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) if asked_for(&error) => {
            // `gannet --help | head` may close the pipe.
            let _ = error.print();
            return 0;
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return Kind::Usage.code();
        }
        Err(error) => return tell(&usage(&error), false),
    };
    logging(&cli.global);
    match run(cli.command, &cli.global) {
        Ok(code) => code,
        Err(failure) => tell(&failure, cli.global.json),
    }
}

fn run(command: Command, global: &Global) -> Outcome {
    match command {
        Command::Share(args) => args.run(global),
        Command::Clone(args) => args.run(global),
        Command::Seed(args) => args.run(global),
        Command::Daemon(args) => args.run(global),
        Command::Add(args) => args.run(global),
        Command::Remove(named) => named.order(What::Remove, global),
        Command::Pause(named) => named.order(What::Pause, global),
        Command::Resume(named) => named.order(What::Resume, global),
        Command::Config(args) => args.run(global),
        Command::Status(args) => args.run(global),
        Command::Peers(args) => args.run(global),
        Command::Candidates(args) => args.run(global),
        Command::Ban(args) => args.run(global),
        Command::Unban(args) => args.run(global),
        Command::Bans(args) => args.run(global),
        Command::Ping(args) => args.run(global),
        Command::Log(args) => args.run(global),
        Command::Ls(args) => args.run(global),
        Command::Cat(args) => args.run(global),
        Command::Verify(args) => args.run(global),
        Command::Key(args) => args.run(global),
        Command::Id(args) => args.run(global),
        Command::Hosts(args) => args.run(global),
        Command::Find(args) => args.run(global),
        Command::Shutdown(args) => args.run(global),
        Command::Core(args) => args.run(global),
    }
}

fn asked_for(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// clap's paragraphs as one line, without the usage.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let parts: Vec<String> = text
        .split("\n\n")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty() && !part.starts_with("Usage:"))
        .filter(|part| !part.starts_with("For more information"))
        .collect();
    let what = parts.join("; ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    Failure::new(Kind::Usage, what).hint("see gannet --help")
}

/// One line on standard error (with `--json` an object), and the exit code.
fn tell(failure: &Failure, json: bool) -> i32 {
    let code = failure.kind.code();
    let line = if json {
        serde_json::json!({
            "event": "failed", "code": code, "what": failure.what, "hint": failure.hint,
        })
        .to_string()
    } else {
        let text = failure.to_string();
        format!("gannet: {}", crate::text::Plain(&text))
    };
    // Nobody is left to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
    code
}

/// Log lines go to standard error, which may be stuck without stopping anything; `RUST_LOG`
/// decides, else `-v`.
fn logging(global: &Global) {
    let level = match global.verbose {
        _ if global.quiet => "error",
        0 => "warn",
        1 | 2 => "info",
        3 => "debug",
        _ => "trace",
    };
    let env = env_logger::Env::default().default_filter_or(level);
    let lines = LogLines::new(std::io::stderr());
    let _ = env_logger::Builder::from_env(env)
        .target(env_logger::Target::Pipe(Box::new(lines)))
        .format(|out, record| {
            let level = record.level().as_str().to_ascii_lowercase();
            writeln!(out, "gannet: {level}: {}", record.args())
        })
        .try_init();
}

/// The whole output of a command on standard output. A reader that left is no failure.
fn put(bytes: &[u8]) -> Outcome {
    let mut out = std::io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("standard output", &error))
        }
        _ => Ok(0),
    }
}

/// An answer on standard output: its text, or its figures as a line.
fn put_answer(answer: &serde_json::Value) -> Outcome {
    match answer {
        serde_json::Value::String(text) => put(text.as_bytes()),
        figures => put(format!("{figures}\n").as_bytes()),
    }
}
