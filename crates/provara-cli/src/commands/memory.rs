//! `provara memory`: what this machine remembers of vaults.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use provara_core::id::EventId;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{Remembered, Which, default_state_directory, forget, remembered};
use serde::Serialize;

use crate::args::JsonArg;
use crate::terminal::{self, GOOD, STRONG};
use crate::text::counted;

/// See what this machine remembers of vaults, or forget it
///
/// Each vault that verifies or is written here is remembered: how many events its seal covered, and the
/// root of the tree over them. An earlier state in its place is then told from a later one. It lies in
/// the user's state directory ($XDG_STATE_HOME/provara/memory).
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara memory list
  provara memory forget my-vault")]
pub(crate) struct MemoryArgs {
    #[command(subcommand)]
    command: MemoryCommand,
}

#[derive(Debug, Subcommand)]
enum MemoryCommand {
    List(ListArgs),
    Forget(ForgetArgs),
}

/// List the vaults that this machine remembers, by path
///
/// For each: the path, as typed and as resolved, how many events it had, when they were seen, and the
/// id of its GENESIS event, which tells one vault from another.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara memory list
  provara memory list --json | jq -r '.vaults[].path'")]
struct ListArgs {
    #[command(flatten)]
    json: JsonArg,
}

/// Forget what is remembered of a vault
///
/// Whatever stands at the path is then new to this machine: an earlier state is not told from a later one
/// until it has been seen again. After a restoration by hand, 'provara accept' is the command. Exit
/// codes: 0 forgotten, 3 nothing was remembered, or it could not be done.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara memory forget my-vault
  provara memory forget /media/stick/that/is/gone
  provara memory forget --id evt_745f1631c2bce9c561d6fe87 --json")]
struct ForgetArgs {
    /// The vault's directory, which need not be there any more
    #[arg(
        value_name = "VAULT",
        value_hint = clap::ValueHint::DirPath,
        required_unless_present = "id",
        conflicts_with = "id"
    )]
    vault: Option<PathBuf>,

    /// Forget the vault with this GENESIS event, wherever it was
    #[arg(long, value_name = "EVENT_ID", value_parser = event_id)]
    id: Option<EventId>,

    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Listing<'a> {
    vaults: &'a [Remembered],
    unreadable: &'a [String],
}

#[derive(Serialize)]
struct Forgotten<'a> {
    forgotten: &'a [Remembered],
}

impl MemoryArgs {
    /// The schema of what it prints with `--json`.
    pub(crate) fn schema(&self) -> &'static str {
        match self.command {
            MemoryCommand::List(_) => "provara.memory-list.v1",
            MemoryCommand::Forget(_) => "provara.memory-forget.v1",
        }
    }
}

pub(crate) fn run(args: &MemoryArgs) -> Result<(), Diagnostic> {
    match &args.command {
        MemoryCommand::List(args) => list(args),
        MemoryCommand::Forget(args) => forget_one(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Diagnostic> {
    let state = default_state_directory();
    let (vaults, unreadable) = remembered(&state).map_err(|error| vault_failure(error, &state))?;
    if args.json.json {
        return terminal::result_json(&Listing {
            vaults: &vaults,
            unreadable: &unreadable,
        });
    }
    terminal::result(&vaults.iter().map(lines).collect::<String>())?;
    if vaults.is_empty() {
        terminal::note("this machine remembers no vault.");
    }
    for reason in &unreadable {
        terminal::warn(&format!("a record cannot be read: {reason}."));
    }
    Ok(())
}

fn lines(it: &Remembered) -> String {
    let published = it.published.as_ref().map(|published| {
        let origin = terminal::clean(&published.origin).into_owned();
        format!(
            "  publishes tree heads as {origin}, the last over {}\n",
            counted(published.size, "event")
        )
    });
    format!(
        "{STRONG}{}{STRONG:#}\n  {}, up to {}, seen {}\n  vault {}, sealed {}\n{}",
        terminal::clean(&it.path.to_string_lossy()),
        counted(it.event_count, "event"),
        it.last_event_id,
        it.seen_at_utc,
        it.identity,
        it.signed_at_utc,
        published.unwrap_or_default(),
    )
}

fn forget_one(args: &ForgetArgs) -> Result<(), Diagnostic> {
    let which = match (&args.vault, args.id) {
        (_, Some(id)) => Which::Vault(id),
        (Some(path), None) => Which::At(path.clone()),
        (None, None) => unreachable!("the parser asks for one of them"),
    };
    let what = match &which {
        Which::Vault(id) => id.to_string(),
        Which::At(path) => format!("'{}'", path.display()),
    };
    let state = default_state_directory();
    let shown = args.vault.as_deref().unwrap_or(Path::new(&state));
    let forgotten = forget(&state, &which).map_err(|error| vault_failure(error, shown))?;
    if forgotten.is_empty() {
        return Err(Diagnostic::new(
            Class::Unavailable,
            format!("This machine remembers nothing of {what}."),
        )
        .fix("See what it remembers: provara memory list"));
    }
    let done = format!("{what} is forgotten");
    if args.json.json {
        return terminal::receipt_json(
            &done,
            &Forgotten {
                forgotten: &forgotten,
            },
        );
    }
    let text: String = forgotten.iter().map(lines).collect();
    terminal::receipt(&done, &format!("{GOOD}Forgotten{GOOD:#}\n{text}"))
}

fn event_id(text: &str) -> Result<EventId, String> {
    text.parse()
        .map_err(|_| "an event id is 'evt_' and 24 lower-case hex digits".to_owned())
}
