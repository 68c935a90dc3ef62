//! Tombstones in the place of payloads, and a log that has them in the place of the one that was found.

use provara_core::canonical::token_preserving;
use provara_core::history;
use provara_core::id::{Digest, EventId};
use provara_core::json::object;
use provara_core::keys::SigningKey;
use provara_core::layout;
use provara_core::scan::{Field, Line, scan_line};

use crate::check::check_log;
use crate::error::VaultError;
use crate::found::{Found, refused_log};
use crate::intent::Operation;
use crate::intent::carry::{NewLog, Plan};
use crate::lock::LockedLog;
use crate::memory;
use crate::replay_record;
use crate::reseal::{SealText, retire};
use crate::seal::{set_entry, text_entry};
use provara_core::parallel::available_threads;

/// The members of a tombstone that a redaction decides.
pub(super) struct Tombstone<'a> {
    pub(super) redaction: EventId,
    pub(super) reason: &'a str,
}

/// Whether the rules leave the payload of an event alone.
pub(super) fn is_redactable(line: &Line<'_>) -> bool {
    history::is_redactable(&line.text(Field::Type).unwrap_or_default())
}

/// The line with a tombstone in the place of its payload; every other byte stays.
pub(super) fn replace(line: &[u8], by: &Tombstone<'_>) -> Vec<u8> {
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

/// A log with tombstones, in its place.
pub(super) struct Done {
    pub(super) log: LockedLog,
    pub(super) root: Digest,
    pub(super) removed: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Puts `log` in the place of the one found. `first` is the first line that lost its payload.
pub(super) fn publish(
    mut found: Found<'_>,
    log: &[u8],
    first: u64,
    key: &SigningKey,
) -> Result<Done, VaultError> {
    let verdict = check_log(log, b"", &found.registry, available_threads())?;
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
        files.push((layout::KEYS.into(), text));
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
    // First, so that whoever carries on what is interrupted need not know of it.
    replay_record::forget(found.vault);
    let prepared = plan.prepare(found.vault, &found.log)?;
    drop(plan);
    found.clear()?;
    found.notes.extend(retire(found.vault, &removed, false)?);
    let log = prepared.carry_out(found.log, found.whole as u64)?;
    // A replay may have been at work meanwhile.
    replay_record::forget(found.vault);
    found.notes.extend(memory::set(found.vault).notes());
    Ok(Done {
        log,
        root: seal.root,
        removed,
        notes: found.notes,
    })
}
