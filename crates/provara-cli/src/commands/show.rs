//! `provara show`: one event, its place, its key, and how to check it by hand.

use clap::Args;
use provara_explain::event::{self, Other, Shown};
use provara_report::Diagnostic;

use crate::args::{GateArgs, JsonArg, VaultArg};
use crate::{form, gate, terminal, vault};

/// Show one event: its place in the log, its key, what refers to it, and how to check it by hand
///
/// The vault must verify first. What is shown of the key is what signed events of the log say of it at the
/// event's place.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara show my-vault evt_0123456789abcdef01234567
  provara show my-vault 0123456
  provara show my-vault evt_0123456789abcdef01234567 --json | jq .chain")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The event's id, or as much of its beginning as no other id has
    #[arg(value_name = "EVENT_ID")]
    event: String,

    #[command(flatten)]
    json: JsonArg,

    #[command(flatten)]
    gate: GateArgs,
}

pub(crate) fn run(args: &ShowArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let log = gate::verify_first(&vault, path, args.gate)?;
    let found = event::find(&log, &args.event);
    let log_path = path.join(provara_core::layout::LOG);
    let shown = found.map(|found| {
        let shown = event::look(&log, &found, &log_path, !args.gate.unverified);
        (found, shown)
    });
    // First of all: what it read may be why it found nothing.
    gate::check_unchanged(&log, path)?;
    let (found, shown) = shown?;
    if args.json.json {
        let mut text = form::line(&shown).unwrap_or_default();
        // The event as it stands in the log, digit by digit: before the line's last brace.
        text.truncate(text.len().saturating_sub(2));
        text.extend_from_slice(b",\"event\":");
        text.extend_from_slice(found.line);
        text.extend_from_slice(b"}\n");
        return terminal::result_json_text(&text);
    }
    let text = String::from_utf8_lossy(&terminal::indented(found.line)).into_owned();
    terminal::result(&in_words(&shown, &text))
}

fn in_words(shown: &Shown, event: &str) -> String {
    let other = |other: &Option<Other>, none: &str| match other {
        Some(other) => format!("{} (line {})", other.event_id, other.line),
        None => none.to_owned(),
    };
    let key = &shown.key;
    let mut lines = vec![
        event.to_owned(),
        String::new(),
        format!("Event     {}", shown.event_id),
        format!("Place     line {} of {}", shown.line, shown.event_count),
        format!(
            "Before    {}",
            other(&shown.chain.previous, "none: the first by its actor")
        ),
        format!(
            "Next      {}",
            other(&shown.chain.next, "none: the last by its actor")
        ),
    ];
    if shown.chain.after.is_some() {
        lines.push(format!("After     {}", other(&shown.chain.after, "")));
    }
    let id = key.key_id.as_deref().unwrap_or("not named");
    lines.push(format!("Key       {}", terminal::clean(id)));
    lines.push(format!("          {}", key.why));
    let named = match shown.referred_by_count {
        0 => "by no event".to_owned(),
        1 => "by 1 event".to_owned(),
        count => format!("by {count} events"),
    };
    lines.push(format!("Named     {named}"));
    for it in &shown.referred_by {
        let member = it.member.as_deref().unwrap_or_default();
        let member = terminal::clean(member);
        lines.push(format!(
            "          {} (line {}) in {member}",
            it.event_id, it.line
        ));
    }
    if shown.referred_by_count > shown.referred_by.len() {
        lines.push("          …".to_owned());
    }
    if shown.redacted {
        lines.push(String::new());
        lines.push(
            "The payload was erased by a redaction. The id and the signature are over what was there, so \
             neither can be\nchecked from this line alone; 'provara verify' holds it against the redaction, \
             which is signed."
                .to_owned(),
        );
    }
    if !shown.check.is_empty() {
        lines.push(String::new());
        lines.push("By hand:".to_owned());
    }
    for check in &shown.check {
        lines.push(format!("  # {}", check.what));
        lines.push(format!("  {}", terminal::clean(&check.command)));
        lines.push(format!("  # must print {}", check.prints));
    }
    lines.push(String::new());
    lines.join("\n")
}
