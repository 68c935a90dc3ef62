//! `provara completions`: shell completions.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use provara_report::Diagnostic;

use crate::commands::Cli;
use crate::terminal;

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara completions bash > ~/.local/share/bash-completion/completions/provara
  provara completions zsh > ~/.zfunc/_provara
  provara completions fish > ~/.config/fish/completions/provara.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Diagnostic> {
    // Into memory first: the generator itself panics where a pipe breaks.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "provara", &mut script);
    terminal::result_bytes(&script)
}
