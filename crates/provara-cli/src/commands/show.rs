//! `provara show`: one event, its place, its key, and how to check it by hand.

use std::ops::ControlFlow;

use clap::Args;
use provara_core::json::{self, Value};
use provara_core::scan::{Field, scan_line};
use provara_core::tree::tombstone_in;
use provara_report::{Diagnostic, shell};
use provara_vault::{KeyId, Query, SourceLog};
use serde::Serialize;

use crate::args::{GateArgs, JsonArg, VaultArg};
use crate::event_ref::{self, Found};
use crate::{form, gate, terminal, vault};

/// How many events are named that refer to this one.
const SHOWN: usize = 20;

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

/// Another event.
#[derive(Serialize)]
struct Other {
    event_id: String,
    line: u64,
    /// The member that names the event, where it is one that refers to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
}

#[derive(Serialize)]
struct Chain {
    /// The event by the same actor before this one.
    previous: Option<Other>,
    /// The event by the same actor after this one.
    next: Option<Other>,
    /// The event in the line before, where the event names it.
    after: Option<Other>,
}

#[derive(Serialize)]
struct Key {
    key_id: Option<String>,
    public_key_b64: Option<String>,
    /// The event that introduced the key; none for a key that counts from the start.
    introduced_by: Option<Other>,
    /// The event that revoked the key.
    revoked_by: Option<Other>,
    /// Why the key was good for this event, or why that is not known.
    why: String,
}

#[derive(Serialize)]
struct Shown {
    event_id: String,
    line: u64,
    event_count: u64,
    verified: bool,
    /// Whether its payload was erased by a redaction.
    redacted: bool,
    chain: Chain,
    key: Key,
    referred_by: Vec<Other>,
    referred_by_count: usize,
    check: Vec<Check>,
}

/// A step by hand.
#[derive(Serialize)]
struct Check {
    what: &'static str,
    command: String,
    prints: String,
}

pub(crate) fn run(args: &ShowArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let log = gate::verify_first(&vault, path, args.gate)?;
    let found = event_ref::find(&log, &args.event)?;
    let log_path = path.join(provara_core::layout::LOG);
    let shown = look(&log, &found, &log_path, !args.gate.unverified);
    if args.json.json {
        let mut text = form::line(&shown).unwrap_or_default();
        // The event as it stands in the log, digit by digit: before the line's last brace.
        text.truncate(text.len().saturating_sub(2));
        text.extend_from_slice(b",\"event\":");
        text.extend_from_slice(found.line);
        text.extend_from_slice(b"}\n");
        return terminal::result_json_text(&text);
    }
    let event = String::from_utf8_lossy(&terminal::indented(found.line)).into_owned();
    terminal::result(&in_words(&shown, &event))
}

fn look(log: &SourceLog, found: &Found<'_>, path: &std::path::Path, verified: bool) -> Shown {
    let line = scan_line(found.line).ok();
    let text = |field| {
        let line = line.as_ref();
        line.and_then(|line| line.text(field))
            .map(std::borrow::Cow::into_owned)
    };
    let id = text(Field::EventId).unwrap_or_default();
    let by_id = |id: Option<String>| -> Option<Other> {
        let id = id?;
        let found = event_ref::find(log, &id).ok()?;
        Some(Other {
            event_id: id,
            line: found.number,
            member: None,
        })
    };
    let (mut referred_by, count) = references(log, &id, found.number);
    let actor = text(Field::Actor);
    let mut next = None;
    referred_by.retain(|other| {
        let chained = other.member.as_deref() == Some(Field::PrevEventHash.name());
        if chained && next.is_none() && actor.is_some() {
            next = Some((other.event_id.clone(), other.line));
        }
        true
    });
    let next = next.map(|(event_id, line)| Other {
        event_id,
        line,
        member: None,
    });
    let key_id = text(Field::ActorKeyId);
    let key = key(log, key_id.as_deref(), found.number);
    let payload = line.as_ref().and_then(|line| line.raw(Field::Payload));
    let payload = payload.and_then(|raw| json::parse(raw).ok());
    let redacted = payload.is_some_and(|it| tombstone_in(&it).is_some());
    // Both are over the payload that was there.
    let signature = text(Field::Sig).filter(|_| !redacted);
    let check = checks(
        found,
        &id,
        signature.as_deref(),
        key.public_key_b64.as_deref(),
        &shell(path),
    );
    Shown {
        event_id: id,
        line: found.number,
        event_count: log.lines().count() as u64,
        verified,
        redacted,
        chain: Chain {
            previous: by_id(text(Field::PrevEventHash)),
            next,
            after: by_id(text(Field::After)),
        },
        key,
        referred_by,
        referred_by_count: count,
        check,
    }
}

/// The events that name this id in a member, the first of them, and how many there are.
fn references(log: &SourceLog, id: &str, own: u64) -> (Vec<Other>, usize) {
    let (mut others, mut count) = (Vec::new(), 0);
    let needle = format!("\"{id}\"");
    log.query(
        &Query::default().needle(needle.as_bytes()),
        |number, line| {
            if number == own {
                return ControlFlow::Continue(());
            }
            let event = json::parse(line).unwrap_or(Value::Null);
            let mut member = None;
            place_of(&event, id, &mut String::new(), &mut member);
            if let Some(member) = member {
                count += 1;
                if others.len() < SHOWN {
                    let event_id = event.get("event_id").and_then(Value::as_str);
                    others.push(Other {
                        event_id: event_id.unwrap_or_default().to_owned(),
                        line: number,
                        member: Some(member),
                    });
                }
            }
            ControlFlow::Continue(())
        },
    );
    (others, count)
}

/// The first place in a value where this text stands.
fn place_of(value: &Value<'_>, text: &str, path: &mut String, found: &mut Option<String>) {
    if found.is_some() {
        return;
    }
    let length = path.len();
    match value {
        Value::String(it) if it == text => *found = Some(path.clone()),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                place_of(item, text, path, found);
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (key, item) in members {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                place_of(item, text, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn key(log: &SourceLog, key_id: Option<&str>, number: u64) -> Key {
    let mut key = Key {
        key_id: key_id.map(str::to_owned),
        public_key_b64: None,
        introduced_by: None,
        revoked_by: None,
        why: String::new(),
    };
    let id: Option<KeyId> = key_id.and_then(|text| text.parse().ok());
    let (Some(id), Some(history)) = (id, log.key_history()) else {
        key.why = "the log names its keys in an older form, without a mark: identity/keys.json lists them"
            .to_owned();
        return key;
    };
    let at = |line: u64| -> Option<Other> {
        let text = log
            .lines()
            .nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let id = scan_line(text).ok()?.text(Field::EventId)?.into_owned();
        Some(Other {
            event_id: id,
            line,
            member: None,
        })
    };
    key.public_key_b64 = history.public_key(&id).map(|key| key.to_base64());
    let introduced = history.introduced_at(&id);
    key.introduced_by = introduced.and_then(at);
    let revoked = history.revoked_at(&id);
    key.revoked_by = revoked.and_then(at);
    let since = match introduced {
        Some(line) if line > 0 => format!("line {line} introduced it"),
        Some(_) => "the policy in the first event names it".to_owned(),
        None => "no signed event introduces it".to_owned(),
    };
    key.why = match revoked {
        Some(line) if line < number => {
            format!("it was NOT good: {since}, and line {line} had revoked it before")
        }
        Some(line) => format!("it was good: {since}; line {line} revoked it only later"),
        None if introduced.is_some() => format!("it was good: {since}, and nothing has revoked it"),
        None => since,
    };
    key
}

/// How to check the event without this program: its id and its signature, from the bytes of the line.
fn checks(
    found: &Found<'_>,
    id: &str,
    signature: Option<&str>,
    public_key: Option<&str>,
    log: &str,
) -> Vec<Check> {
    let Some(signature) = signature else {
        return Vec::new();
    };
    let line = format!("LC_ALL=C sed -n {}p {log}", found.number);
    let no_signature = format!("LC_ALL=C sed 's|\"sig\":\"{signature}\",||'");
    let no_id = format!("LC_ALL=C sed 's|\"event_id\":\"{id}\",||'");
    let mut checks = vec![Check {
        what: "the id: the first 24 digits of the SHA-256 of the line without event_id and sig",
        command: format!(
            "{line} | {no_signature} | {no_id} | tr -d '\\n' | sha256sum | cut -c 1-24"
        ),
        prints: id.trim_start_matches("evt_").to_owned(),
    }];
    if let Some(public_key) = public_key {
        // The DER header of an Ed25519 key is 12 bytes, so its Base64 and the key's can be joined.
        let key = format!("MCowBQYDK2VwAyEA{public_key}");
        checks.push(Check {
            what: "the signature: Ed25519, over the line without sig (needs OpenSSL 3)",
            command: format!(
                "d=$(mktemp -d) && {line} | {no_signature} | tr -d '\\n' > \"$d/in\" && \
                 printf %s {signature} | base64 -d > \"$d/sig\" && printf '%s\\n' '-----BEGIN PUBLIC KEY-----' \
                 {key} '-----END PUBLIC KEY-----' > \"$d/key\" && openssl pkeyutl -verify -pubin -rawin -inkey \
                 \"$d/key\" -sigfile \"$d/sig\" -in \"$d/in\""
            ),
            prints: "Signature Verified Successfully".to_owned(),
        });
    }
    checks
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
