//! The commands: what can be typed, and what is run for it. Each module holds one command: its
//! arguments, whose doc comments are its help, and what it does.

pub(crate) mod accept;
pub(crate) mod adopt;
pub(crate) mod anchor;
pub(crate) mod append;
pub(crate) mod backup;
pub(crate) mod checkpoint;
pub(crate) mod completions;
pub(crate) mod delta;
pub(crate) mod disclose;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod manifest;
pub(crate) mod mcp;
pub(crate) mod memory;
pub(crate) mod merge;
pub(crate) mod plugins;
pub(crate) mod prove;
pub(crate) mod query;
pub(crate) mod redact;
pub(crate) mod reduce;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod show;
pub(crate) mod tree_head;
pub(crate) mod verify;
pub(crate) mod verify_proof;
pub(crate) mod witness;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, FromArgMatches, Parser, Subcommand};

use crate::terminal::Colour;
use provara_report::Diagnostic;

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
  130, 143  ended by Ctrl-C or SIGTERM; what was acknowledged before stands

Environment:
  PROVARA_KEYFILE  the keyfile, where --keyfile is not given
  PROVARA_ACTOR    the actor, where --actor is not given
  PROVARA_HEADS    a folder of tree heads, to which 'provara verify' holds vaults
  PROVARA_SIGNATURES
                   what verifies signatures: portable, avx2 or avx512, or dalek, which takes
                   one at a time; without it the fastest that the processor can run. The
                   verdicts are the same
  PROVARA_PYTHON   the Python interpreter that runs plugins
  PROVARA_PLUGINS  further plugins: pkg.module or pkg.module:Class, separated by commas
  PROVARA_SANDBOX  the sandbox of plugins, where --sandbox is not given
  NO_COLOR         no colours
  FORCE_COLOR      colours also where the output is no terminal"
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
            "append" => append::AppendArgs::augment_args(clap::Command::new("append")),
            "verify" => verify::VerifyArgs::augment_args(clap::Command::new("verify")),
            _ => return None,
        };
        let provara = CommonArgs::augment_args(clap::Command::new("provara")).subcommand(command);
        Self::from_arg_matches(&provara.try_get_matches_from(typed).ok()?).ok()
    }
}

/// The commands, in the order in which a person meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Append(append::AppendArgs),
    Verify(verify::VerifyArgs),
    Query(query::QueryArgs),
    Show(show::ShowArgs),
    Replay(replay::ReplayArgs),
    Reduce(reduce::ReduceArgs),
    Export(export::ExportArgs),
    Redact(redact::RedactArgs),
    Merge(merge::MergeArgs),
    Delta(delta::DeltaArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Repair(repair::RepairArgs),
    Adopt(adopt::AdoptArgs),
    Accept(accept::AcceptArgs),
    Memory(memory::MemoryArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Manifest(manifest::ManifestArgs),
    TreeHead(tree_head::TreeHeadArgs),
    Prove(prove::ProveArgs),
    Disclose(disclose::DiscloseArgs),
    VerifyProof(verify_proof::VerifyProofArgs),
    Anchor(anchor::AnchorArgs),
    Witness(witness::WitnessArgs),
    Plugins(plugins::PluginsArgs),
    Doctor(doctor::DoctorArgs),
    Mcp(Box<mcp::McpArgs>),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// The schema of what the command prints with `--json`: a file of that name in `schemas/`. Its number
    /// changes where a member is taken away or means something else, not where one is added.
    pub(crate) fn schema(&self) -> &'static str {
        match self {
            Self::Init(_) => "provara.init.v1",
            Self::Append(args) => args.schema(),
            Self::Verify(_) => "provara.verify.v1",
            Self::Query(args) => args.schema(),
            Self::Show(_) => "provara.show.v1",
            Self::Replay(_) => "provara.beliefs.v1",
            Self::Reduce(_) => "provara.summary.v1",
            Self::Export(_) => "provara.export.v1",
            Self::Redact(_) => "provara.redact.v1",
            Self::Merge(_) | Self::Delta(_) => "provara.merge.v1",
            Self::Backup(_) => "provara.backup.v1",
            Self::Restore(_) => "provara.restore.v1",
            Self::Repair(_) => "provara.repair.v1",
            Self::Adopt(_) => "provara.adopt.v1",
            Self::Accept(_) => "provara.accept.v1",
            Self::Memory(args) => args.schema(),
            Self::Checkpoint(_) => "provara.checkpoint.v1",
            Self::Manifest(_) => "provara.manifest.v1",
            Self::TreeHead(_) => "provara.tree-head.v1",
            // The proof is a document with a type of its own.
            Self::Prove(_) | Self::Disclose(_) => "",
            Self::VerifyProof(_) => "provara.verify-proof.v1",
            Self::Anchor(args) => args.schema(),
            Self::Witness(args) => args.schema(),
            Self::Plugins(args) => args.schema(),
            Self::Doctor(_) => "provara.doctor.v1",
            // They print no JSON of their own.
            Self::Mcp(_) | Self::Completions(_) | Self::Man(_) => "",
        }
    }
}

/// Runs a command. `Ok` carries an exit code because a verdict is a result, not a failure.
/// Runs a command. What verifies signatures was `chosen`, or could not be, which `doctor` alone goes on after.
pub(crate) fn run(
    command: &Command,
    chosen: Result<(), Diagnostic>,
) -> Result<ExitCode, Diagnostic> {
    if let Command::Doctor(args) = command {
        return doctor::run(args, chosen.err());
    }
    chosen?;
    match command {
        Command::Init(args) => init::run(args),
        Command::Append(args) => append::run(args),
        Command::Verify(args) => return verify::run(args),
        Command::Query(args) => query::run(args),
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Reduce(args) => reduce::run(args),
        Command::Export(args) => export::run(args),
        Command::Redact(args) => redact::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Delta(args) => delta::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => backup::restore(args),
        Command::Repair(args) => repair::run(args),
        Command::Adopt(args) => adopt::run(args),
        Command::Accept(args) => return accept::run(args),
        Command::Memory(args) => memory::run(args),
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Manifest(args) => manifest::run(args),
        Command::TreeHead(args) => tree_head::run(args),
        Command::Prove(args) => prove::run(args),
        Command::Disclose(args) => disclose::run(args),
        Command::VerifyProof(args) => verify_proof::run(args),
        Command::Anchor(args) => anchor::run(args),
        Command::Witness(args) => witness::run(args),
        Command::Plugins(args) => return plugins::run(args),
        Command::Doctor(args) => return doctor::run(args, None),
        Command::Mcp(args) => mcp::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
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
