//! Redaction: a payload goes, and what is left of its event stays bound by a signature (spec/VAULT_FORMAT,
//! section 8).
//!
//! A signed event states the leaf that its target has in the event tree; the target's payload is replaced by
//! a tombstone that keeps this leaf. Both happen in one step, with an [intent](crate::intent). No copy of
//! the payload is made on the way, and checkpoints whose states may hold it go without one.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use memchr::memmem::Finder;
use provara_core::canonical::token_preserving;
use provara_core::history::KeyEventKind;
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json::{self, Value, object};
use provara_core::keys::{Keyfile, SigningKey};
use provara_core::layout;
use provara_core::mark::FILES_TYPE;
use provara_core::scan::{Field, Line, scan_line};
use provara_core::tree;
use provara_core::verify::CLOSING_TYPE;
use provara_core::verify::REDACTION_TYPE;
use serde::Serialize;

use crate::check::check_log;
use crate::error::{RedactRefusal, VaultError};
use crate::found::{Found, refused_log};
use crate::intent::Operation;
use crate::intent::carry::{NewLog, Plan};
use crate::log_snapshot::lines_of;
use crate::memory;
use crate::parallel::available_threads;
use crate::reseal::{SealText, retire};
use crate::scribe::{OWNER, Scribe};
use crate::seal::{set_entry, text_entry};
use crate::vault::Vault;

/// How a payload is redacted.
#[derive(Debug, Clone, Default)]
pub struct RedactOptions {
    /// Why, in a word or two; the tombstone repeats it, in the open.
    pub reason: String,
    /// Why, at length.
    pub detail: Option<String>,
    /// Who asked for it.
    pub authority: Option<String>,
    /// Who redacts; `provara_user` where it is not said.
    pub actor: Option<String>,
    /// Sign with this key of the keyfile.
    pub key_id: Option<KeyId>,
}

/// A redaction that is durable and sealed.
#[derive(Debug, Clone, Serialize)]
pub struct RedactReceipt {
    /// The redaction event.
    pub event_id: EventId,
    /// The event whose payload went.
    pub target_event_id: EventId,
    /// Its line, counted from 1.
    pub target_line: u64,
    /// Its leaf in the event tree, as before.
    pub target_leaf_hash: Digest,
    /// How many events the log holds.
    pub event_count: u64,
    /// The root of the new seal.
    pub merkle_root: Digest,
    /// The key that signed both.
    pub key_id: KeyId,
    /// The checkpoints that went, as their states may hold the payload.
    pub removed_checkpoints: Vec<String>,
    /// What else was found and done.
    pub notes: Vec<String>,
}

/// The members of a tombstone that a redaction decides.
struct Tombstone<'a> {
    redaction: EventId,
    reason: &'a str,
}

impl Vault {
    /// Replaces the payload of `target` by a tombstone, and appends the event that permits it: one step.
    ///
    /// # Errors
    /// [`VaultError::Redaction`] for an event that cannot be redacted; the errors of a writer and of a
    /// keyfile. The vault is then as it was, but for [`VaultError::Interrupted`].
    pub fn redact(
        &self,
        target: EventId,
        keyfile: &Keyfile,
        options: &RedactOptions,
    ) -> Result<RedactReceipt, VaultError> {
        if options.reason.trim().is_empty() {
            return Err(RedactRefusal::NoReason.into());
        }
        let mut found = Found::open(self)?;
        found.refuse_fault()?;
        found.refuse_unless_vouched()?;
        // What is refused changes nothing, not even what is open besides.
        find_target(&found, target)?;
        let mut open = open_targets(found.log()).into_iter();
        if let Some(by) = open.find(|by| by.target == target) {
            return Err(RedactRefusal::Open {
                event_id: target,
                redaction: by.redaction,
            }
            .into());
        }
        let carried = carry_out(found, keyfile, Unlike::Refused)?;
        found = carried.0;
        found.notes.extend(carried.1);
        let at = find_target(&found, target)?;
        let (line, leaf) = {
            let line = &found.log()[at.start..at.end];
            let scanned = scan_line(line).expect("a log that verifies");
            (line.to_vec(), tree::leaf(&scanned))
        };
        let key = found.signing_key(keyfile, options.key_id)?;
        let actor = options.actor.as_deref().unwrap_or(OWNER);
        let index = found.index.clone().expect("a log that verifies");
        let mut scribe = Scribe::new(index, actor, key, found.seal_name())?;
        let mut payload = vec![
            ("target_event_id", target.to_string().into()),
            ("target_leaf_hash", leaf.to_string().into()),
            ("reason", options.reason.clone().into()),
            ("redaction_method", "tombstone".into()),
        ];
        let texts = [
            ("reason_detail", &options.detail),
            ("authority", &options.authority),
        ];
        for (name, text) in texts {
            payload.extend(text.clone().map(|text| (name, Value::from(text))));
        }
        let event = scribe.write(REDACTION_TYPE, &object(payload))?;
        let tombstone = Tombstone {
            redaction: event.id,
            reason: &options.reason,
        };
        let replaced = replace(&line, &tombstone);
        let log = [
            &found.log()[..at.start],
            &replaced,
            &found.log()[at.end..],
            &scribe.finish(),
        ]
        .concat();
        let mut receipt = RedactReceipt {
            event_id: event.id,
            target_event_id: target,
            target_line: at.number,
            target_leaf_hash: leaf,
            event_count: found.verdict.lines + 1,
            merkle_root: Digest([0; 32]),
            key_id: key.key_id(),
            removed_checkpoints: Vec::new(),
            notes: Vec::new(),
        };
        let done = publish(found, &log, at.number, key)?;
        receipt.merkle_root = done.root;
        receipt.removed_checkpoints = done.removed;
        receipt.notes = done.notes;
        Ok(receipt)
    }
}

/// What becomes of a redaction that states another leaf than its target has: nobody can carry it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlike {
    /// The whole command, with [`RedactRefusal::OtherLeaf`].
    Refused,
    /// It stays as it is: who appends has no part in it.
    Left,
}

/// Carries out the redactions whose target still has its payload; gives the log to go on with, and a note if
/// there was one. Under the lock on `log`; everything else must be read anew after a note.
pub(crate) fn carry_out_pending(
    vault: &Vault,
    log: File,
    keyfile: &Keyfile,
    unlike: Unlike,
) -> Result<(File, Option<String>), VaultError> {
    let mut found = Found::look(vault, log, Vec::new())?;
    found.refuse_fault()?;
    found.refuse_unless_vouched()?;
    let (found, note) = carry_out(found, keyfile, unlike)?;
    Ok((found.log, note))
}

fn carry_out<'v>(
    found: Found<'v>,
    keyfile: &Keyfile,
    unlike: Unlike,
) -> Result<(Found<'v>, Option<String>), VaultError> {
    let mut open = open_targets(found.log());
    if unlike == Unlike::Left {
        open.retain(|it| it.agrees);
    }
    if open.is_empty() {
        return Ok((found, None));
    }
    let key = found.signing_key(keyfile, None)?;
    let mut log = Vec::with_capacity(found.log().len());
    let mut first = u64::MAX;
    for (number, piece) in (1..).zip(found.log().split_inclusive(|byte| *byte == b'\n')) {
        let line = piece.strip_suffix(b"\n").unwrap_or(piece);
        let scanned = scan_line(line).expect("a log that verifies");
        let id: Option<EventId> = scanned.text(Field::EventId).and_then(|id| id.parse().ok());
        let by = open.iter().find(|by| Some(by.target) == id);
        // What the rules read stays, whatever a redaction says.
        let Some(by) = by.filter(|_| is_redactable(&scanned)) else {
            log.extend_from_slice(piece);
            continue;
        };
        if !by.agrees {
            return Err(RedactRefusal::OtherLeaf {
                redaction: by.redaction,
                target: by.target,
            }
            .into());
        }
        first = first.min(number);
        let tombstone = Tombstone {
            redaction: by.redaction,
            reason: &by.reason,
        };
        log.extend_from_slice(&replace(line, &tombstone));
        log.extend_from_slice(&piece[line.len()..]);
    }
    if first == u64::MAX {
        return Ok((found, None));
    }
    let vault = found.vault;
    let done = publish(found, &log, first, key)?;
    let note = format!(
        "{} redactions had not been carried out; they were, and the payloads are gone",
        open.len()
    );
    let found = Found::look(vault, done.log, done.notes)?;
    Ok((found, Some(note)))
}

/// A log with tombstones, in its place.
struct Done {
    log: File,
    root: Digest,
    removed: Vec<String>,
    notes: Vec<String>,
}

/// Puts `log` in the place of the one found. `first` is the first line that lost its payload.
fn publish(
    mut found: Found<'_>,
    log: &[u8],
    first: u64,
    key: &SigningKey,
) -> Result<Done, VaultError> {
    let verdict = check_log(log, b"", &found.registry, available_threads());
    let mut findings = verdict.findings.iter();
    let wrong = findings.find(|finding| !finding.code.is_warning());
    if let Some(finding) = wrong {
        return Err(match refused_log(finding) {
            VaultError::BrokenLog { reason, .. } | VaultError::Structure { reason, .. } => {
                VaultError::WouldNotVerify {
                    code: finding.code.as_str(),
                    reason,
                }
            }
            error => error,
        });
    }
    let mut entries = std::mem::replace(&mut found.entries, Ok(Vec::new()))?;
    let mut files = Vec::new();
    if let Some(text) = found.keys_text() {
        set_entry(&mut entries, text_entry(layout::KEYS, &text));
        files.push((layout::KEYS, text));
    }
    set_entry(&mut entries, text_entry(layout::LOG, log));
    // Their states were reduced from what is to be gone.
    let holds = |path: &str| layout::checkpoint_events(path).is_some_and(|count| count >= first);
    let (removed, entries): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| holds(&entry.path));
    let removed: Vec<String> = removed.into_iter().map(|entry| entry.path).collect();
    let seal = SealText::write(entries, key)?;
    files.extend(seal.files);
    let plan = Plan {
        operation: Operation::Redact,
        log: NewLog::Other {
            before: found.log(),
            log,
        },
        files,
        removed: removed.clone(),
        seal: seal.signature,
    };
    let prepared = plan.prepare(found.vault, &found.log)?;
    drop(plan);
    found.clear()?;
    found.notes.extend(retire(found.vault, &removed, false)?);
    let log = prepared.carry_out(found.log)?;
    found.notes.extend(memory::set(found.vault).notes());
    Ok(Done {
        log,
        root: seal.root,
        removed,
        notes: found.notes,
    })
}

/// Where a line stands in the log.
struct At {
    number: u64,
    start: usize,
    /// Its line end not included.
    end: usize,
}

fn find_target(found: &Found<'_>, target: EventId) -> Result<At, VaultError> {
    let mut start = 0;
    for (number, line) in (1..).zip(lines_of(found.log())) {
        let at = At {
            number,
            start,
            end: start + line.len(),
        };
        start = at.end + 1;
        let scanned = scan_line(line).expect("a log that verifies");
        if scanned.text(Field::EventId).as_deref() != Some(&target.to_string()) {
            continue;
        }
        if !is_redactable(&scanned) {
            let event_type = scanned.text(Field::Type).unwrap_or_default().into_owned();
            return Err(RedactRefusal::Kind {
                event_id: target,
                event_type,
            }
            .into());
        }
        if found.verdict.redacted_lines.contains(&number) {
            let by = tree::tombstone(&scanned).and_then(|it| it.redaction);
            return Err(RedactRefusal::Already {
                event_id: target,
                redaction: by.map_or_else(|| "an event".to_owned(), |id| id.to_string()),
            }
            .into());
        }
        return Ok(at);
    }
    Err(RedactRefusal::Unknown(target).into())
}

/// Whether the rules leave the payload of an event alone.
fn is_redactable(line: &Line<'_>) -> bool {
    let kind = line.text(Field::Type).unwrap_or_default();
    KeyEventKind::of(&kind).is_none()
        && ![FILES_TYPE, REDACTION_TYPE, CLOSING_TYPE].contains(&&*kind)
}

/// The line with a tombstone in the place of its payload; every other byte stays.
fn replace(line: &[u8], by: &Tombstone<'_>) -> Vec<u8> {
    let scanned = scan_line(line).expect("a log that verifies");
    let payload = scanned.raw(Field::Payload).expect("an event has one");
    let start = payload.as_ptr() as usize - line.as_ptr() as usize;
    let tombstone = object([
        (
            "original_payload_hash",
            Digest::of(payload).to_string().into(),
        ),
        ("redacted", true.into()),
        ("redaction_event_id", by.redaction.to_string().into()),
        ("redaction_reason", by.reason.to_owned().into()),
    ]);
    [
        &line[..start],
        &token_preserving(&tombstone),
        &line[start + payload.len()..],
    ]
    .concat()
}

/// A redaction whose target still has its payload.
struct Open {
    redaction: EventId,
    target: EventId,
    leaf: Option<Digest>,
    /// Whether that is its target's, if it states one.
    agrees: bool,
    reason: String,
}

/// Whether a redaction of `log` can be carried out.
pub(crate) fn has_pending(log: &[u8]) -> bool {
    open_targets(log).iter().any(|open| open.agrees)
}

/// The redactions of `log` whose target is there with its payload. Only the lines that name the type are read
/// whole, and those of their targets.
pub(crate) fn open_redactions(log: &[u8]) -> Vec<EventId> {
    open_targets(log)
        .into_iter()
        .map(|open| open.redaction)
        .collect()
}

fn open_targets(log: &[u8]) -> Vec<Open> {
    let needle = format!("\"type\":\"{REDACTION_TYPE}\"");
    let finder = Finder::new(&needle);
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(found) = finder.find(&log[at..]) {
        let start = memchr::memrchr(b'\n', &log[..at + found]).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', &log[start..]).map_or(log.len(), |end| start + end);
        at = end;
        let read = || {
            let line = scan_line(&log[start..end]).ok()?;
            (line.text(Field::Type)? == REDACTION_TYPE).then_some(())?;
            let payload = json::parse(line.raw(Field::Payload)?).ok()?;
            let text = |name| payload.get(name).and_then(Value::as_str);
            Some(Open {
                redaction: line.text(Field::EventId)?.parse().ok()?,
                target: text("target_event_id")?.parse().ok()?,
                leaf: text("target_leaf_hash").and_then(|leaf| leaf.parse().ok()),
                agrees: true,
                reason: text("reason").unwrap_or_default().to_owned(),
            })
        };
        // Of two for one target the first decides.
        let new = read().filter(|new| open.iter().all(|it| it.target != new.target));
        open.extend(new);
    }
    if open.is_empty() {
        return open;
    }
    let mut targets: HashSet<EventId> = open.iter().map(|it| it.target).collect();
    let mut whole = HashMap::new();
    for bytes in lines_of(log) {
        let Ok(line) = scan_line(bytes) else { continue };
        let id = line.text(Field::EventId).and_then(|id| id.parse().ok());
        let Some(id) = id.filter(|id| targets.remove(id)) else {
            continue;
        };
        if tree::tombstone(&line).is_none() && is_redactable(&line) {
            whole.insert(id, tree::leaf(&line));
        }
    }
    open.retain_mut(|it| {
        let leaf = whole.get(&it.target);
        it.agrees = it.leaf.is_none() || it.leaf.as_ref() == leaf;
        leaf.is_some()
    });
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_and_what_of_it_can_be_carried_out() {
        let target = r#"{"event_id":"evt_111111111111111111111111","payload":{"text":"x"},"type":"OBSERVATION"}"#;
        let leaf = tree::leaf(&scan_line(target.as_bytes()).unwrap());
        let redaction = |leaf: Option<Digest>| {
            let stated = leaf.map_or(String::new(), |leaf| {
                format!(r#","target_leaf_hash":"{leaf}""#)
            });
            format!(
                r#"{{"event_id":"evt_222222222222222222222222","payload":{{"reason":"r","target_event_id":"evt_111111111111111111111111"{stated}}},"type":"{REDACTION_TYPE}"}}"#
            )
        };
        for (stated, pending) in [
            (None, true),
            (Some(leaf), true),
            (Some(Digest([0; 32])), false),
        ] {
            let log = format!("{target}\n{}\n", redaction(stated));
            assert_eq!(open_redactions(log.as_bytes()).len(), 1);
            assert_eq!(has_pending(log.as_bytes()), pending);
        }
        let tombstone = Tombstone {
            redaction: EventId([2; 12]),
            reason: "r",
        };
        let gone = String::from_utf8(replace(target.as_bytes(), &tombstone)).unwrap();
        let log = format!("{gone}\n{}\n", redaction(Some(leaf)));
        assert!(open_redactions(log.as_bytes()).is_empty());
        assert!(!has_pending(format!("{target}\n").as_bytes()));
    }
}
