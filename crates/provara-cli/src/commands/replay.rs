//! `provara replay`: the beliefs that the events add up to.

use std::ops::ControlFlow;

use clap::Args;
use provara_explain::vault_failure;
use provara_report::Diagnostic;

use crate::args::{GateArgs, VaultArg};
use crate::progress::Progress;
use crate::{gate, terminal, vault};

/// Replay the events into the vault's beliefs, and print them as JSON
///
/// The state has four maps, canonical, local, contested and archived, and metadata with the state's
/// hash. The same events give the same bytes, always. The vault must verify first.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara replay my-vault
  provara replay my-vault --json | jq '.local'
  provara replay my-vault --json | jq -r .metadata.state_hash")]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    vault: VaultArg,

    #[command(flatten)]
    gate: GateArgs,

    /// Print the state as one line of canonical JSON instead of indented
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReplayArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let log = gate::verify_first(&vault, path, args.gate)?;
    let progress = Progress::new();
    let state = log.beliefs_watched(&|done, total| {
        progress.bytes("replaying", done, total);
        ControlFlow::Continue(())
    });
    progress.clear();
    let state = state.map_err(|error| vault_failure(error, path))?;
    let mut text = state.to_json();
    if !args.json {
        text = terminal::indented(&text);
    }
    text.push(b'\n');
    terminal::result_json_text(&text)
}
