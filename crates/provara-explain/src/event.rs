//! One event of a log: found by its id or the beginning of it, and what there is to know of it: its place, its key,
//! what refers to it, and how to check it by hand.

use std::ops::ControlFlow;

use memchr::memmem;
use provara_core::json::{self, Value};
use provara_core::scan::{Field, scan_line};
use provara_core::tree::tombstone_in;
use provara_report::{Class, Diagnostic, shell};
use provara_vault::{KeyId, Query, SourceLog};
use serde::Serialize;

/// How many events are named where a beginning is that of several.
const NAMED: usize = 5;

/// An event of a log.
#[derive(Debug)]
pub struct Found<'l> {
    /// Its line, from 1.
    pub number: u64,
    /// Its text.
    pub line: &'l [u8],
}

/// The event whose id this is, or the only one whose id begins so.
///
/// # Errors
/// There is none, or more than one, or the text begins no id.
pub fn find<'l>(log: &'l SourceLog, text: &str) -> Result<Found<'l>, Diagnostic> {
    let digits = text.strip_prefix("evt_").unwrap_or(text);
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.is_empty() || digits.len() > 24 || !digits.bytes().all(hex) {
        return Err(Diagnostic::new(
            Class::Usage,
            format!("'{text}' is no event id, nor the beginning of one."),
        )
        .fix("An id is evt_ and 24 digits of 0-9a-f; provara query shows those of a log."));
    }
    let prefix = format!("evt_{digits}");
    let needle = format!("\"event_id\":\"{prefix}");
    let finder = memmem::Finder::new(&needle);
    let mut found: Vec<(Found<'l>, String)> = Vec::new();
    log.query(
        &Query::default().needle(needle.as_bytes()),
        |number, line| {
            if finder.find(line).is_some()
                && let Ok(scanned) = scan_line(line)
                && let Some(id) = scanned.text(Field::EventId)
                && id.starts_with(&prefix)
            {
                found.push((Found { number, line }, id.into_owned()));
            }
            match found.len() > NAMED {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        },
    );
    match found.len() {
        0 => Err(Diagnostic::new(
            Class::Usage,
            format!("No event of this log has an id that begins with '{prefix}'."),
        )
        .fix("provara query shows the ids of a log.")),
        1 => Ok(found.remove(0).0),
        _ => {
            let ids: Vec<_> = found
                .iter()
                .take(NAMED)
                .map(|(_, id)| id.as_str())
                .collect();
            let more = if found.len() > NAMED { ", …" } else { "" };
            Err(Diagnostic::new(
                Class::Usage,
                format!("More than one event has an id that begins with '{prefix}'."),
            )
            .detail(format!("{}{more}", ids.join(", ")))
            .fix("Give more of it."))
        }
    }
}

/// How many events are named that refer to this one.
const SHOWN: usize = 20;

/// Another event.
#[derive(Debug, Serialize)]
pub struct Other {
    /// Its id.
    pub event_id: String,
    /// Its line in the log, from 1.
    pub line: u64,
    /// The member that names the event, where it is one that refers to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// The events before and after one.
#[derive(Debug, Serialize)]
pub struct Chain {
    /// The event by the same actor before this one.
    pub previous: Option<Other>,
    /// The event by the same actor after this one.
    pub next: Option<Other>,
    /// The event in the line before, where the event names it.
    pub after: Option<Other>,
}

/// The key that signed an event, as signed events of the log say it.
#[derive(Debug, Serialize)]
pub struct Key {
    /// Its id, where the event names one.
    pub key_id: Option<String>,
    /// Its public half in Base64, where a signed event introduces it.
    pub public_key_b64: Option<String>,
    /// The event that introduced the key; none for a key that counts from the start.
    pub introduced_by: Option<Other>,
    /// The event that revoked the key.
    pub revoked_by: Option<Other>,
    /// Why the key was good for this event, or why that is not known.
    pub why: String,
}

/// What there is to know of an event, beside what it says (`schemas/show.v1.json`).
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its id.
    pub event_id: String,
    /// Its line in the log, from 1.
    pub line: u64,
    /// How many events the log has.
    pub event_count: u64,
    /// Whether the log was verified before.
    pub verified: bool,
    /// Whether its payload was erased by a redaction.
    pub redacted: bool,
    /// The events before and after it.
    pub chain: Chain,
    /// The key that signed it.
    pub key: Key,
    /// The first events that name it in a member.
    pub referred_by: Vec<Other>,
    /// How many there are.
    pub referred_by_count: usize,
    /// How to check it without this program; nothing for one whose payload was erased.
    pub check: Vec<Check>,
}

/// A step by hand.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What it checks.
    pub what: &'static str,
    /// The command, for a POSIX shell.
    pub command: String,
    /// What it must print.
    pub prints: String,
}

/// What there is to know of an event. `path` is that of the log's file, for the commands; `verified`, whether the
/// log was verified before.
#[must_use]
pub fn look(log: &SourceLog, found: &Found<'_>, path: &std::path::Path, verified: bool) -> Shown {
    let line = scan_line(found.line).ok();
    let text = |field| {
        let line = line.as_ref();
        line.and_then(|line| line.text(field))
            .map(std::borrow::Cow::into_owned)
    };
    let id = text(Field::EventId).unwrap_or_default();
    let by_id = |id: Option<String>| -> Option<Other> {
        let id = id?;
        let found = find(log, &id).ok()?;
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
