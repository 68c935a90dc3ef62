//! `provara accept`: what stands there is what is to stand there.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use provara_core::finding::Severity;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{Acceptance, GivenUp, Remembered};
use serde::Serialize;

use crate::args::{JsonArg, VaultArg};
use crate::terminal::{self, GOOD};
use crate::text::counted;
use crate::vault;

/// Take a vault as it is, after you put another copy in its place
///
/// This machine remembers how far each vault had come that verified or was written here, and 'provara
/// verify' warns (PROVARA_W010, PROVARA_W011), and writers refuse, where an earlier state, or another
/// vault, stands in its place. For somebody who has looked, and put it there, this command verifies the
/// vault, shows what was remembered and what is there, and remembers that instead. It changes nothing in
/// the vault, and takes none that does not verify. Exit codes: 0 accepted, 1 the vault does not verify, 3
/// it could not be done.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara verify my-vault
  provara accept my-vault
  provara accept my-vault --json | jq .given_up")]
pub(crate) struct AcceptArgs {
    #[command(flatten)]
    vault: VaultArg,

    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Receipt<'a> {
    vault: String,
    remembered_before: &'a [Remembered],
    remembered_now: &'a Remembered,
    given_up: &'a [GivenUp],
    notes: &'a [String],
}

pub(crate) fn run(args: &AcceptArgs) -> Result<ExitCode, Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let accepted = vault.accept().map_err(|error| vault_failure(error, path))?;
    let Some(now) = &accepted.now else {
        return Err(refusal(path, &accepted));
    };
    let receipt = Receipt {
        vault: path.to_string_lossy().into_owned(),
        remembered_before: &accepted.before,
        remembered_now: now,
        given_up: &accepted.given_up,
        notes: accepted.report.notes(),
    };
    if accepted.unsettled {
        terminal::note(
            "a command was interrupted here; when the next writer, or a repair, has settled it, what it \
             leaves is remembered.",
        );
    }
    if let Some(heads) = &accepted.heads_given_up {
        terminal::warn(&format!("{heads}."));
    }
    let done = format!("the vault '{}' is remembered as it is", receipt.vault);
    if args.json.json {
        terminal::receipt_json(&done, &receipt)?;
    } else {
        terminal::receipt(&done, &text(&receipt))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(receipt: &Receipt<'_>) -> String {
    let seen = |it: &Remembered| {
        format!(
            "{}, up to {}, sealed {}",
            counted(it.event_count, "event"),
            it.last_event_id,
            it.signed_at_utc
        )
    };
    let now = receipt.remembered_now;
    let mut text = format!(
        "{GOOD}Accepted{GOOD:#} {}\n",
        terminal::clean(&receipt.vault)
    );
    for before in receipt.remembered_before {
        text.push_str(&format!(
            "  remembered  {} (seen {} at {}",
            seen(before),
            before.seen_at_utc,
            terminal::clean(&before.path.to_string_lossy())
        ));
        text.push_str(match before.identity == now.identity {
            true => ")\n",
            false => ", another vault)\n",
        });
    }
    text.push_str(&format!("  is there    {}\n", seen(now)));
    for given_up in receipt.given_up {
        text.push_str(&format!(
            "  given up    {}\n",
            terminal::clean(&given_up.to_string())
        ));
    }
    if receipt.given_up.is_empty() {
        text.push_str("  Nothing that was remembered is given up.\n");
    }
    text
}

/// What does not verify is not accepted.
fn refusal(path: &Path, accepted: &Acceptance) -> Diagnostic {
    let mut failure = Diagnostic::new(
        Class::Evidence,
        format!(
            "The vault '{}' does not verify; what this machine remembers of it stays as it is.",
            path.display()
        ),
    );
    let findings = accepted.report.findings().iter();
    let errors = findings.filter(|finding| finding.severity == Severity::Error);
    for finding in errors.take(5) {
        failure = failure.detail(finding.to_string());
    }
    failure.fix(format!(
        "Run 'provara verify {}' to see every finding; restore the vault from a copy that verifies.",
        provara_report::shell(path)
    ))
}
