//! Redactions whose target still has its payload: found in a log, and carried out.
//!
//! An older tool, or one that merges, leaves them open. Whoever writes next carries them out first.

use std::collections::{HashMap, HashSet};

use memchr::memmem::Finder;
use provara_core::id::{Digest, EventId};
use provara_core::json::{self, Value};
use provara_core::keys::Keyfile;
use provara_core::scan::{Field, scan_line};
use provara_core::tree;
use provara_core::verify::REDACTION_TYPE;

use super::tombstone::{Tombstone, is_redactable, publish, replace};
use crate::error::{RedactRefusal, VaultError};
use crate::found::Found;
use crate::lock::LockedLog;
use crate::log_snapshot::lines_of;
use crate::vault::Vault;

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
    log: LockedLog,
    keyfile: &Keyfile,
    unlike: Unlike,
) -> Result<(LockedLog, Option<String>), VaultError> {
    let mut found = Found::look(vault, log, Vec::new())?;
    found.refuse_fault()?;
    found.refuse_unless_vouched()?;
    let (found, note) = carry_out(found, keyfile, unlike)?;
    Ok((found.log, note))
}

pub(super) fn carry_out<'v>(
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

/// A redaction whose target still has its payload.
pub(super) struct Open {
    pub(super) redaction: EventId,
    pub(super) target: EventId,
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

pub(super) fn open_targets(log: &[u8]) -> Vec<Open> {
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
