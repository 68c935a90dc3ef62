//! `provara adopt`: an owner who has looked says that what stands there is theirs.

use std::path::Path;

use clap::Args;
use provara_core::id::KeyId;
use provara_core::keys::KeyStatus;
use provara_explain::vault_failure;
use provara_report::Diagnostic;
use provara_vault::{AdoptOptions, FoundSeal, FoundState, KeyOrigin};

use crate::args::{AskingArgs, LockArgs, VaultArg, key_id};
use crate::terminal::{self, GOOD};
use crate::text::counted;
use crate::vault;

/// Say that a vault is yours as it stands: mark an older one, or seal what no seal vouches for
///
/// A vault that version 1.1 or an older tool made has no mark: who can write its files can list a key of
/// their own in keys.json, and take the seal away. This command puts an event into the log that says which keys
/// are the vault's; from then on they are those that signed events bring, and the seal must be there, of
/// what is there, by one of them. In a vault that has its mark, it is for an owner who has looked at what
/// 'provara verify' says, and knows why the seal does not vouch for what stands there: one more such event
/// takes it as it is. The log must verify; nothing in it is mended.
///
/// It shows what it found (how many events, from when to when, which keys and where they come from, what
/// the seal is of, what this machine remembers of it here and of a longer copy elsewhere), and asks. Keys
/// that keys.json alone vouches for are refused, unless they are in the keyfile or --trust names them; the
/// key that signs is always asked for.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara adopt my-vault
  provara adopt my-vault --yes --json

  With a key that no signed event leads to, as you know that it is yours:
    provara adopt my-vault --trust bp1_0123456789abcdef")]
pub(crate) struct AdoptArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// In a vault without a mark: count this key as one of its own, though keys.json alone lists it
    /// (repeatable)
    #[arg(long, value_name = "ID", value_parser = key_id)]
    trust: Vec<KeyId>,

    /// Who adopts [env: PROVARA_ACTOR] [default: provara_user]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    asking: AskingArgs,
}

pub(crate) fn run(args: &AdoptArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let keyfile = vault::keyfile(&vault, args.asking.key.keyfile.as_deref())?;
    let options = AdoptOptions {
        trust: args.trust.clone(),
        actor: Some(vault::actor(args.actor.as_deref())?),
        key_id: args.asking.key.key_id,
    };
    let found = vault.look().map_err(|error| vault_failure(error, path))?;
    if !args.asking.json.json {
        terminal::diagnostic(text(&found, path).trim_end());
    }
    let question = "Is all of this as it should be, and are these keys the vault's?";
    terminal::confirm(question, args.asking.yes)?;
    let receipt = vault
        .adopt(&keyfile, &options)
        .map_err(|error| vault_failure(error, path))?;
    // What was shown before the question is not said twice.
    let shown = |note: &String| !args.asking.json.json && found.elsewhere.contains(note);
    let notes = receipt.notes.iter().filter(|note| !shown(note));
    notes.for_each(|text| terminal::note(text));
    let done = format!("the vault '{}' was adopted", path.display());
    if args.asking.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    let keys = receipt.adopted_keys.iter().map(KeyId::to_string);
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Adopted{GOOD:#} {}\n  event        {}\n  keys         {}\n  events       {}\n  Merkle root  {}\n  signed by    {}\n",
            terminal::clean(&path.to_string_lossy()),
            receipt.event_id,
            keys.collect::<Vec<_>>().join(", "),
            receipt.event_count,
            receipt.merkle_root,
            receipt.key_id,
        ),
    )
}

fn text(found: &FoundState, path: &Path) -> String {
    let time = |time: &Option<String>| {
        let time = time.as_deref().unwrap_or("unknown");
        terminal::clean(time).into_owned()
    };
    let mut text = format!(
        "Found in {}\n  mark         {}\n  events       {}, from {} to {}\n  log          SHA-256 {}\n  tree         {} (size {})\n",
        terminal::clean(&path.to_string_lossy()),
        if found.marked {
            "there: its keys follow from signed events"
        } else {
            "none: nothing signed says which keys are its own"
        },
        found.event_count,
        time(&found.first_event_at),
        time(&found.last_event_at),
        found.log_sha256,
        found.tree_root,
        found.event_count,
    );
    let seal = match found.seal {
        FoundSeal::Absent => "none".to_owned(),
        FoundSeal::Stale => "of something else than what is there".to_owned(),
        FoundSeal::Continued => "of an earlier state, which the log goes on from".to_owned(),
        FoundSeal::Current => "of what is there".to_owned(),
    };
    let made = found.sealed_at.as_ref();
    let made = made.map_or_else(String::new, |at| format!(", made {}", terminal::clean(at)));
    text.push_str(&format!("  seal         {seal}{made}\n"));
    if let Some(refusal) = &found.refusal {
        text.push_str(&format!("               {}\n", terminal::clean(refusal)));
    }
    if let Some(remembered) = &found.remembered {
        text.push_str(&format!("  remembered   {}\n", terminal::clean(remembered)));
    }
    for other in &found.elsewhere {
        text.push_str(&format!("  note         {}\n", terminal::clean(other)));
    }
    for key in &found.keys {
        let origin = match key.origin {
            KeyOrigin::Introduced => "by the GENESIS event or an adoption",
            KeyOrigin::Event => "by an event of the log",
            KeyOrigin::Listed => "keys.json alone lists it",
        };
        let status = match key.status {
            KeyStatus::Active => "",
            KeyStatus::Revoked => ", revoked",
        };
        text.push_str(&format!(
            "  key          {} ({}{status}): {origin}; signed {}\n",
            key.key_id,
            terminal::clean(&key.roles.join(", ")),
            counted(key.events, "event"),
        ));
    }
    for difference in &found.differences {
        text.push_str(&format!("  file         {}\n", terminal::clean(difference)));
    }
    for warning in &found.warnings {
        text.push_str(&format!("  warning      {}\n", terminal::clean(warning)));
    }
    text
}
