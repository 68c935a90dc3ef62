//! `provara redact`: a payload goes, and its event stays.

use clap::Args;
use provara_core::id::EventId;
use provara_explain::vault_failure;
use provara_report::Diagnostic;
use provara_vault::RedactOptions;

use crate::args::{AskingArgs, LockArgs, VaultArg};
use crate::terminal::{self, GOOD};
use crate::vault;

/// Erase the payload of an event for good; the event stays in its place
///
/// A signed event says who erased it and why, and binds what is left: the rest of the event, and the hash
/// of the payload that was there. The event tree keeps its root. Checkpoints whose state may hold the
/// payload are removed. Backups, copies, exports and other machines keep what they hold: erase it there
/// too. A short payload can be guessed from its hash; 'provara append --blind' writes payloads that cannot.
///
/// The GENESIS event, events about keys, adoptions, statements of files, redactions and the closing event
/// cannot be redacted.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara redact my-vault evt_0123456789abcdef01234567 --reason 'GDPR Art. 17'
  provara redact my-vault evt_0123456789abcdef01234567 --reason erased --authority 'ticket 4711' --yes")]
pub(crate) struct RedactArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The event
    #[arg(value_name = "EVENT_ID", value_parser = event_id)]
    event_id: EventId,

    /// Why; the tombstone repeats it, for everybody to read
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Why, at length
    #[arg(long, value_name = "TEXT")]
    detail: Option<String>,

    /// Who asked for it
    #[arg(long, value_name = "TEXT")]
    authority: Option<String>,

    /// Who redacts [env: PROVARA_ACTOR] [default: provara_user]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    asking: AskingArgs,
}

fn event_id(text: &str) -> Result<EventId, String> {
    text.parse()
        .map_err(|_| "an event id is 'evt_' and 24 lower-case hex digits".to_owned())
}

pub(crate) fn run(args: &RedactArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let keyfile = vault::keyfile(&vault, args.asking.key.keyfile.as_deref())?;
    let options = RedactOptions {
        reason: args.reason.clone(),
        detail: args.detail.clone(),
        authority: args.authority.clone(),
        actor: Some(vault::actor(args.actor.as_deref())?),
        key_id: args.asking.key.key_id,
    };
    let question = format!(
        "Erase the payload of {} in {} for good?",
        args.event_id,
        terminal::clean(&path.to_string_lossy())
    );
    terminal::confirm(&question, args.asking.yes)?;
    let receipt = vault
        .redact(args.event_id, &keyfile, &options)
        .map_err(|error| vault_failure(error, path))?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    let done = format!("the payload of {} is gone", receipt.target_event_id);
    if args.asking.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Redacted{GOOD:#} {}\n  line         {}\n  leaf         {} (its hash in the event tree, as before)\n  redaction    {}\n  Merkle root  {}\n  signed by    {}\n",
            receipt.target_event_id,
            receipt.target_line,
            receipt.target_leaf_hash,
            receipt.event_id,
            receipt.merkle_root,
            receipt.key_id,
        ),
    )
}
