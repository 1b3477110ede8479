//! `gannet completions`.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::{Cli, Outcome};

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet completions bash > ~/.local/share/bash-completion/completions/gannet
  gannet completions fish > ~/.config/fish/completions/gannet.fish")]
pub struct Arguments {
    #[arg(value_enum)]
    shell: Shells,
}

/// The shells that Unix systems come with.
#[derive(Clone, Copy, ValueEnum)]
enum Shells {
    Bash,
    Fish,
    Zsh,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let mut out = Vec::new();
        let mut command = Cli::command();
        let shell = match self.shell {
            Shells::Bash => Shell::Bash,
            Shells::Fish => Shell::Fish,
            Shells::Zsh => Shell::Zsh,
        };
        clap_complete::generate(shell, &mut command, "gannet", &mut out);
        super::put(&out)
    }
}
