//! The command line: what can be typed. The help texts are the doc comments of the arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::terminal::Colour;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold())
    .valid(AnsiColor::Cyan.on_default().bold())
    .invalid(AnsiColor::Yellow.on_default().bold());

/// Signed, append-only logs that anyone can verify and nobody can silently rewrite.
///
/// A vault is a directory of plain files. Whoever holds a signing key appends events to it; whoever
/// has the directory can verify every event, without a key, a server or a plugin.
#[derive(Debug, Parser)]
#[command(
    name = "provara",
    bin_name = "provara",
    version,
    styles = STYLES,
    max_term_width = 100,
    propagate_version = false,
    subcommand_required = true,
    disable_help_subcommand = false,
    after_long_help = "\
Examples:
  provara init my-vault
  provara append my-vault --type OBSERVATION \\
    --data '{\"subject\":\"door\",\"predicate\":\"state\",\"value\":\"open\"}'
  provara verify my-vault

Exit codes:
  0  done
  1  the evidence is bad: the vault does not verify
  2  the request is wrong: an option, a name, the data
  3  it could not be done: a missing file, a lock, a disk
  4  a plugin failed or is invalid

Environment:
  PROVARA_KEYFILE  the keyfile, where --keyfile is not given
  PROVARA_ACTOR    the actor, where --actor is not given
  PROVARA_PYTHON   the Python interpreter that runs plugins
  PROVARA_PLUGINS  further plugins: pkg.module or pkg.module:Class, separated by commas
  PROVARA_SANDBOX  the walls around plugins, where --sandbox is not given
  NO_COLOR         no colours"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct CommonArgs {
    /// When to colour the output
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "Colour the output: auto, always, never",
        hide_default_value = true,
        display_order = 900
    )]
    pub(crate) color: Colour,
}

impl Cli {
    /// What was typed.
    ///
    /// # Errors
    /// What is wrong with it, or the help or the version that was asked for.
    pub(crate) fn of(typed: &[OsString]) -> Result<Self, clap::Error> {
        match Self::of_one_command(typed) {
            Some(cli) => Ok(cli),
            None => Self::try_parse_from(typed),
        }
    }

    /// As [`Cli::of`], for a command that is run once for every event or vault, where the time counts
    /// that it takes to set up all the other commands. `None` leaves it to them, and so does whatever
    /// has no plain meaning.
    fn of_one_command(typed: &[OsString]) -> Option<Self> {
        let name = typed.get(1)?.to_str()?;
        let command = match name {
            "append" => commands::append::AppendArgs::augment_args(clap::Command::new("append")),
            "verify" => commands::verify::VerifyArgs::augment_args(clap::Command::new("verify")),
            _ => return None,
        };
        let provara = CommonArgs::augment_args(clap::Command::new("provara")).subcommand(command);
        Self::from_arg_matches(&provara.try_get_matches_from(typed).ok()?).ok()
    }
}

/// The commands, in the order in which a person meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::InitArgs),
    Append(commands::append::AppendArgs),
    Verify(commands::verify::VerifyArgs),
    Query(commands::query::QueryArgs),
    Replay(commands::replay::ReplayArgs),
    Reduce(commands::reduce::ReduceArgs),
    Export(commands::export::ExportArgs),
    Redact(commands::redact::RedactArgs),
    Merge(commands::merge::MergeArgs),
    Delta(commands::delta::DeltaArgs),
    Backup(commands::backup::BackupArgs),
    Restore(commands::backup::RestoreArgs),
    Repair(commands::repair::RepairArgs),
    Adopt(commands::adopt::AdoptArgs),
    Accept(commands::accept::AcceptArgs),
    Memory(commands::memory::MemoryArgs),
    Checkpoint(commands::checkpoint::CheckpointArgs),
    Manifest(commands::manifest::ManifestArgs),
    Plugins(commands::plugins::PluginsArgs),
    Doctor(commands::doctor::DoctorArgs),
    Mcp(Box<commands::mcp::McpArgs>),
    Completions(commands::completions::CompletionsArgs),
}

/// The vault a command works on.
#[derive(Args, Debug)]
pub(crate) struct VaultArg {
    /// The vault's directory
    #[arg(value_name = "VAULT", value_hint = clap::ValueHint::DirPath)]
    pub(crate) vault: PathBuf,
}

/// The key a command signs with.
#[derive(Args, Debug)]
pub(crate) struct KeyArgs {
    /// Sign with a key from this file [env: PROVARA_KEYFILE] [default: the vault's own
    /// identity/private_keys.json]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) keyfile: Option<PathBuf>,

    /// Sign with this key of the keyfile [default: its first active key that may attest]
    #[arg(long, value_name = "ID", value_parser = key_id)]
    pub(crate) key_id: Option<provara_core::id::KeyId>,
}

/// Whether an unverified vault may be used.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct GateArgs {
    /// Go on even if the vault does not verify; says so on stderr
    #[arg(long)]
    pub(crate) unverified: bool,
}

/// A result for programs.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct JsonArg {
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a command takes that asks before it signs what cannot be taken back.
#[derive(Args, Debug)]
pub(crate) struct AskingArgs {
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    #[command(flatten)]
    pub(crate) json: JsonArg,
}

pub(crate) fn key_id(text: &str) -> Result<provara_core::id::KeyId, String> {
    text.parse()
        .map_err(|_| "a key id is 'bp1_' and 16 lower-case hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Vec<OsString> {
        let words = line.split_whitespace().map(OsString::from);
        [OsString::from("provara")]
            .into_iter()
            .chain(words)
            .collect()
    }

    #[test]
    fn a_command_that_is_set_up_alone_understands_what_it_always_does() {
        for line in [
            "append v --type OBSERVATION --data {}",
            "append v --color never --type=A.b.c --set a=1 --actor x --json --confidence 0.5",
            "append --batch - v --atomic --allow-unregistered",
            "verify v",
            "verify v --strict --json --no-cache --color=always",
        ] {
            let line = typed(line);
            let alone = Cli::of_one_command(&line).unwrap();
            let whole = Cli::try_parse_from(&line).unwrap();
            assert_eq!(format!("{alone:?}"), format!("{whole:?}"));
        }
    }

    #[test]
    fn what_is_wrong_or_asks_for_help_is_left_to_the_whole() {
        for line in [
            "",
            "append",
            "append --help",
            "append -h",
            "append v --type",
            "verify v --frobnicate",
            "verify v --color sometimes",
            "verifi v",
            "--color never verify v",
            "help append",
            "--version",
        ] {
            assert!(Cli::of_one_command(&typed(line)).is_none(), "{line}");
        }
    }
}
