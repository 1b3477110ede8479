//! `gannet core`: bare feeds.

mod append;
mod create;
mod get;
mod info;
mod serve;
mod source;
mod tail;
mod truncate;

use clap::{Args, Subcommand};

use super::{Global, Outcome};

/// Bare feeds: append-only logs without a folder of files
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  gannet core create ./clock
  date | gannet core append ./clock
  gannet core serve ./clock                     let others fetch it
  gannet core get hyper://<key> 0..10 --peer nas.local:3282
  gannet core tail hyper://<key> -f"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(create::Arguments),
    Append(append::Arguments),
    Get(get::Arguments),
    Tail(tail::Arguments),
    Info(info::Arguments),
    Serve(serve::Arguments),
    Truncate(truncate::Arguments),
}

impl Arguments {
    pub fn run(self, global: &Global) -> Outcome {
        match self.command {
            Command::Create(args) => args.run(global),
            Command::Append(args) => args.run(global),
            Command::Get(args) => args.run(global),
            Command::Tail(args) => args.run(global),
            Command::Info(args) => args.run(global),
            Command::Serve(args) => args.run(global),
            Command::Truncate(args) => args.run(global),
        }
    }
}
